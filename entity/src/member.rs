//! Who is in a conversation, and how far they have read.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{ConversationId, Timestamp, UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Role {
    #[sea_orm(string_value = "owner")]
    Owner,
    #[sea_orm(string_value = "admin")]
    Admin,
    #[sea_orm(string_value = "member")]
    Member,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "member")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub conversation_id: ConversationId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    pub role: Role,
    pub joined_at: Timestamp,
    /// Only ever moves forward.
    pub last_read_sequence: i64,
    pub last_read_at: Option<Timestamp>,
    /// Direct conversations that are closed: how far the other is shown that they had read, at the end of the friendship.
    #[serde(default)]
    pub shown_read_sequence: Option<i64>,
    #[serde(default)]
    pub shown_read_at: Option<Timestamp>,
}

impl Model {
    /// How far they have read and when, as others are shown it.
    pub fn shown_read(&self) -> (i64, Option<Timestamp>) {
        match self.shown_read_sequence {
            Some(sequence) => (sequence, self.shown_read_at),
            None => (self.last_read_sequence, self.last_read_at),
        }
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::conversation::Entity",
        from = "Column::ConversationId",
        to = "super::conversation::Column::Id"
    )]
    Conversation,
}

impl ActiveModelBehavior for ActiveModel {}
