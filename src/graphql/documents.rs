//! documents
pub struct CachedDocument {}
pub struct DocumentCache {}
