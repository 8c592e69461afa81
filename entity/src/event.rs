//! The event log: outbox and replay store at once. A row is written in the transaction of the
//! change that it tells of; it names what changed and carries no content, so that a replay shows
//! the state as it is now and never a deleted text.

use sea_orm::entity::prelude::*;

use crate::{ConversationId, InviteId, MessageId, SessionId, Timestamp, UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum Kind {
    #[sea_orm(num_value = 1)]
    MessageAdded,
    #[sea_orm(num_value = 2)]
    MessageEdited,
    #[sea_orm(num_value = 3)]
    MessageDeleted,
    /// Its reactions changed.
    #[sea_orm(num_value = 4)]
    MessageReacted,
    /// The conversation opened, closed or was described anew.
    #[sea_orm(num_value = 10)]
    ConversationChanged,
    /// `user_id` joined, or has another role.
    #[sea_orm(num_value = 11)]
    MemberChanged,
    /// `user_id` left or was removed: nothing after this is for them.
    #[sea_orm(num_value = 12)]
    MemberRemoved,
    /// The group was deleted: nothing after this is for anybody.
    #[sea_orm(num_value = 13)]
    ConversationDeleted,
    /// `user_id`'s read position moved. Has no position: it is state, not history.
    #[sea_orm(num_value = 20)]
    ReadMoved,
    /// To `user_id`: an invite appeared or changed.
    #[sea_orm(num_value = 30)]
    InviteChanged,
    /// To `user_id`: how they stand to `subject_id` changed.
    #[sea_orm(num_value = 31)]
    FriendshipChanged,
    /// To `user_id`: they are in a conversation that they were not in before.
    #[sea_orm(num_value = 32)]
    ConversationJoined,
    /// To `user_id`: they may no longer see a conversation.
    #[sea_orm(num_value = 33)]
    ConversationRemoved,
    /// To `user_id`'s devices: one session ended.
    #[sea_orm(num_value = 40)]
    SessionRevoked,
    /// To every process: `user_id` wants read receipts from now on, or none any more.
    #[sea_orm(num_value = 45)]
    ReceiptsSwitched,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub kind: Kind,
    /// Set on what a conversation's members hear.
    pub conversation_id: Option<ConversationId>,
    /// 1, 2, 3 … within the conversation. Of what one person hears of joining: the joined conversation's newest before it.
    pub position: Option<i64>,
    /// Without a conversation, the one person who hears of it; with one, whom it is about.
    pub user_id: Option<UserId>,
    pub subject_id: Option<UserId>,
    /// The conversation that `user_id` joined or left.
    pub joined_id: Option<ConversationId>,
    pub message_id: Option<MessageId>,
    pub invite_id: Option<InviteId>,
    pub session_id: Option<SessionId>,
    pub created_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
