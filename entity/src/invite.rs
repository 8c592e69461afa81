//! One model for friend requests, group invites and email invites.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::{ConversationId, InviteId, Timestamp, UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, EnumIter, DeriveActiveEnum)]
#[serde(rename_all = "lowercase")]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Kind {
    #[sea_orm(string_value = "friend")]
    Friend,
    #[sea_orm(string_value = "group")]
    Group,
    #[sea_orm(string_value = "email")]
    Email,
}

/// What is stored. That a pending invite has expired is seen when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Status {
    #[sea_orm(string_value = "pending")]
    Pending,
    #[sea_orm(string_value = "accepted")]
    Accepted,
    #[sea_orm(string_value = "rejected")]
    Rejected,
    #[sea_orm(string_value = "revoked")]
    Revoked,
    #[sea_orm(string_value = "expired")]
    Expired,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invite")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InviteId,
    pub kind: Kind,
    pub status: Status,
    pub inviter_id: UserId,
    /// Null for an email invite that nobody has claimed yet.
    pub invitee_id: Option<UserId>,
    pub email: Option<String>,
    /// SHA-256 of the single-use token that an email invite carries.
    pub token_hash: Option<Vec<u8>>,
    /// The group to join on acceptance.
    pub group_id: Option<ConversationId>,
    pub note: Option<String>,
    /// The invitee has blocked the inviter: the inviter sees a pending invite, the invitee sees none.
    pub hidden: bool,
    /// What only one pending invite may hold, e.g. a pair of people for a friend request;
    /// null once it is no longer pending. The unique index on it decides every race.
    pub pending_slot: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub responded_at: Option<Timestamp>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
