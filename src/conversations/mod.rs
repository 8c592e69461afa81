//! Rooms of messages and who is in them.
//!
//! A **conversation** is direct (two people) or a group. It is **open** while somebody may send: a direct one is open
//! while the friendship lives. Its row carries two counters, both taken under its row lock in the committing
//! transaction: `sequence` numbers messages, `position` numbers durable events, both 1, 2, 3 … without gaps.
//!
//! | right | who has it |
//! | --- | --- |
//! | read, listen | members; former friends stay members, so that their history stays readable |
//! | send, edit | members while the conversation is open |
//!
//! While a conversation is closed, nothing is written to its event log but its opening: nothing that happens after
//! the end of a friendship is delivered, live or by replay.
//!
//! Unread messages are those above a member's read position. Sending moves one's own position to what was sent, so
//! all of them are by others, and the count is a subtraction.
//!
//! Read positions are shown to others as **read receipts** (`readBy`, member edges, `ReadReceipt`), unless one of the two
//! wants none: who does not send them does not see them (ADR 0017).
//!
//! Raises `ConversationJoined`, `ConversationChanged`, `ReadMoved`.

pub mod access;
pub mod actions;
pub mod graphql;
pub mod store;

/// Most members of a group; `server.limits.maxGroupMembers`.
pub const MAX_GROUP_MEMBERS: i32 = 5000;
