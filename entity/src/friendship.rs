//! One direction of a friendship: each has two rows, so that a list of friends is one index range.

use sea_orm::entity::prelude::*;

use crate::{ConversationId, Timestamp, UserId};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "friendship")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub friend_id: UserId,
    /// The direct conversation of the two.
    pub conversation_id: ConversationId,
    pub since: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
