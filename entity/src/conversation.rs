//! A room of messages. A direct conversation has the two people on its row, a group has a name.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::{ConversationId, Timestamp, UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, EnumIter, DeriveActiveEnum)]
#[serde(rename_all = "lowercase")]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Kind {
    #[sea_orm(string_value = "direct")]
    Direct,
    #[sea_orm(string_value = "group")]
    Group,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "conversation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ConversationId,
    pub kind: Kind,
    /// Direct conversations: the lower and the higher user id; unique together.
    pub direct_low: Option<UserId>,
    pub direct_high: Option<UserId>,
    /// Groups: what they are called.
    pub name: Option<String>,
    pub description: Option<String>,
    /// Whether anybody may send: for a direct conversation, whether the friendship lives; for a group, until it is deleted.
    pub open: bool,
    /// The newest message's number; messages are 1, 2, 3 … without gaps.
    pub sequence: i64,
    /// The newest durable event's number; events are 1, 2, 3 … without gaps.
    pub position: i64,
    pub created_at: Timestamp,
    pub last_activity_at: Timestamp,
    /// Groups: when its owner deleted it. It has no members from then on, and what was in it is purged.
    pub deleted_at: Option<Timestamp>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
