//! What the server says, and the only road on which it says it.
//!
//! | event | who hears it |
//! | --- | --- |
//! | [`Event::Message`] | the members of the conversation |
//! | [`Event::ConversationChanged`] | the members of the conversation |
//! | [`Event::MemberChanged`] | the members of the conversation |
//! | [`Event::MemberRemoved`] | the members who stay; it ends the delivery of who leaves |
//! | [`Event::ConversationDeleted`] | nobody: it ends everybody's delivery |
//! | [`Event::ReadMoved`] | the members of the conversation who want read receipts; when hidden, nobody: it moves the
//! reader's own unread count |
//! | [`Event::InviteChanged`] | the inviter and the invitee, each by their own copy |
//! | [`Event::FriendshipChanged`] | the two people, each by their own copy; with a new name, all friends and oneself |
//! | [`Event::ConversationJoined`] | who joined |
//! | [`Event::ConversationRemoved`] | who left, was removed, or was in it when it was deleted |
//! | [`Event::SessionRevoked`] | every process, and the person's devices |
//! | [`Event::Typing`] | the members of the conversation but the author; never logged, see [`signal`] |
//! | [`Event::ReceiptsSwitched`] | every process |
//!
//! A verb writes its rows and its events in one [`Transaction`]; they leave for the bus after the commit, never
//! before. The event log is outbox and replay store at once: the database is the truth, the bus only hurries it.

pub mod bus;
pub mod log;
mod signal;
mod transaction;

use std::{sync::Arc, time::Duration};

use entity::{ConversationId, InviteId, SessionId, Timestamp, UserId, member, message, user};
use serde::{Deserialize, Serialize};

pub use signal::signal;
pub use transaction::Transaction;

use crate::typing::LIFE;

/// Whose ears an event is for, and the name of a channel of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// The members of a conversation.
    Conversation(ConversationId),
    /// One person, on all their devices.
    User(UserId),
    /// Every process: sessions that ended, read receipts that were switched.
    Sessions,
}

/// Something that happened, with what a subscriber needs to render it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A message was added, edited, deleted or reacted to; the message is as the change left it.
    Message {
        change: MessageChange,
        message: Arc<message::Model>,
        sender: Arc<user::Model>,
        /// The reactions to it, where they are known: then rendering asks the database nothing for them.
        reactions: Option<Vec<EmojiCount>>,
    },
    /// The conversation opened, closed or was described anew.
    ConversationChanged { conversation_id: ConversationId },
    /// Somebody joined, or has another role. Without a number: how far they have read is shown now, or is not.
    MemberChanged { member: Arc<member::Model>, user: Arc<user::Model> },
    /// Somebody left or was removed. Nothing with a higher number is for them.
    MemberRemoved {
        conversation_id: ConversationId,
        user_id: UserId,
        /// Read in the log in place of a change of somebody who is gone since: their removal has a higher number.
        #[serde(default)]
        early: bool,
    },
    /// The group was deleted.
    ConversationDeleted { conversation_id: ConversationId },
    /// A read position moved forward.
    ReadMoved {
        conversation_id: ConversationId,
        user: Arc<user::Model>,
        sequence: i64,
        read_at: Timestamp,
        /// The reader sends no read receipts.
        #[serde(default)]
        hidden: bool,
    },
    /// An invite to or by the person appeared or changed.
    InviteChanged { invite_id: InviteId },
    /// How the person stands to another changed, or what the other (or the person) is called.
    FriendshipChanged { other_id: UserId },
    /// The person is in a conversation that they were not in before; they hear of what has a number above `after`.
    ConversationJoined { conversation_id: ConversationId, after: i64 },
    /// The person may no longer see a conversation.
    ConversationRemoved { conversation_id: ConversationId },
    /// A session ended; its tokens are dead by themselves at `forget_at`.
    SessionRevoked { session_id: SessionId, forget_at: Timestamp },
    /// Somebody began to type, goes on, or stopped. Is told and forgotten: it has no row in the log and no number.
    Typing {
        conversation_id: ConversationId,
        user: Arc<user::Model>,
        typing: bool,
        said_at: Timestamp,
        /// How long it still lasts: what waited to be told was said a while ago.
        #[serde(default = "whole_life")]
        left: Duration,
    },
    /// A person wants read receipts from now on, or none any more.
    ReceiptsSwitched { user_id: UserId, on: bool },
}

/// Of processes that do not say how long it lasts.
fn whole_life() -> Duration {
    LIFE
}

/// One emoji at a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmojiCount {
    pub emoji: String,
    pub count: i64,
    /// All who reacted with it, where they were few enough to come along.
    pub by: Option<Vec<UserId>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MessageChange {
    Added,
    Edited,
    Deleted,
    Reacted,
}

/// An event on its way to those who hear it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub topic: Topic,
    /// The event's number within its conversation; none for what is not history (read positions, personal events).
    pub position: Option<i64>,
    /// The event's row in the log, for what has no position.
    pub log_id: Option<i64>,
    pub occurred_at: Timestamp,
    pub event: Event,
}
