//! Kith's tables as sea-orm entities.
//!
//! Ids and states are types here too: a [`UserId`] is not a [`MessageId`], and an
//! invite's status is an enum. Rows know nothing of the wire; the GraphQL types in
//! the `kith` crate wrap them and choose their fields by hand.
//!
//! Times are [`Timestamp`]s, milliseconds since 1970 UTC in a `BIGINT`, so that
//! SQLite and PostgreSQL store, compare and page by the very same values.

pub mod account;
pub mod block;
pub mod conversation;
pub mod data_export;
pub mod data_export_part;
pub mod departure;
pub mod email_token;
pub mod event;
pub mod friendship;
pub mod invite;
pub mod invite_link;
pub mod last_seen;
pub mod mail;
pub mod member;
pub mod message;
pub mod missed_deletion;
pub mod reaction;
pub mod refresh_token;
pub mod session;
pub mod user;

mod ids;
mod timestamp;

pub use ids::{ConversationId, DataExportId, InviteId, InviteLinkId, MailId, MessageId, SessionId, UserId};
pub use timestamp::Timestamp;
