//! A reusable, revocable link into a group.

use sea_orm::entity::prelude::*;

use crate::{ConversationId, InviteLinkId, Timestamp, UserId};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invite_link")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InviteLinkId,
    pub group_id: ConversationId,
    /// SHA-256 of the code, which is shown once and kept nowhere.
    pub code_hash: Vec<u8>,
    /// Who made it.
    pub created_by: UserId,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub max_uses: Option<i32>,
    /// How many joined by it; counted in the transaction that joins.
    pub uses: i32,
    pub revoked_at: Option<Timestamp>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::conversation::Entity",
        from = "Column::GroupId",
        to = "super::conversation::Column::Id"
    )]
    Group,
}

impl ActiveModelBehavior for ActiveModel {}
