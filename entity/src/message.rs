//! A message. A deleted one stays as a tombstone without its body.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{ConversationId, MessageId, Timestamp, UserId};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "message")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: MessageId,
    pub conversation_id: ConversationId,
    /// 1, 2, 3 … within the conversation.
    pub sequence: i64,
    pub sender_id: UserId,
    /// Null once deleted.
    pub body: Option<String>,
    pub reply_to_id: Option<MessageId>,
    /// Unique for each sender, for ever.
    #[serde(skip)]
    pub idempotency_key: Option<String>,
    /// SHA-256 of the input that came with the key, to tell a retry from a misuse.
    #[serde(skip)]
    pub input_hash: Option<Vec<u8>>,
    pub created_at: Timestamp,
    pub edited_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
