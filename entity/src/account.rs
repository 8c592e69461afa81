//! The private half of a person: how to sign in and how to be reached.

use sea_orm::entity::prelude::*;

use crate::{Timestamp, UserId};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// As its owner wrote it.
    pub email: String,
    /// Case-folded for look-up. Several accounts may claim an address, only one may verify it.
    pub email_folded: String,
    pub email_verified_at: Option<Timestamp>,
    /// E.164.
    pub phone: Option<String>,
    /// PHC string of argon2id.
    pub password_hash: String,
    /// Whether others see how far this person has read, and this person how far others have.
    pub read_receipts: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
