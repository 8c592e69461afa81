//! messages

pub mod graphql;

/// Longest body of a message; `server.limits.maxMessageLength`.
pub const MAX_BODY_CHARACTERS: usize = 4000;

/// Writes messages in groups.
pub struct Committer {}
