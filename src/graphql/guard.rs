//! guard
pub struct Limits {}
