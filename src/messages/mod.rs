//! Messages: sent, edited, deleted, replied to, reacted to, found, and listened to.
//!
//! A message's `sequence` is 1, 2, 3 … within its conversation: no gaps, never reused, the order everybody sees. So a
//! page is a range of sequences, and its neighbours are known without asking.
//!
//! | verb | who | what remains |
//! | --- | --- | --- |
//! | send | who may send; a retry with the same key, always | |
//! | edit | its sender, while the conversation is open | the new body and `editedAt` |
//! | delete | its sender, always | a tombstone: sequence, sender and times, no body, no reactions |
//! | react, take back | members, while the conversation is open | one row for each person and emoji |
//! | search | members, also of closed conversations | |
//!
//! Sends are committed in groups: see [`committer`]. Words are found by an index beside the messages: see [`search`].
//!
//! An emoji has a **place** at a message, given when it is first used and kept while anybody stands by it: so reactions
//! do not jump about. Counts are taken under the conversation's lock, and every event carries all of them.
//!
//! Raises `Message`.

pub mod access;
pub mod actions;
pub mod committer;
pub mod graphql;
pub mod search;
pub mod store;
pub mod types;

pub use actions::ReactionTurns;
pub use committer::Committer;
pub use search::index::SearchIndex;
pub use types::MAX_BODY_CHARACTERS;
