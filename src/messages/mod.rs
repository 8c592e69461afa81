//! messages

pub mod graphql;

/// Writes messages in groups.
pub struct Committer {}
