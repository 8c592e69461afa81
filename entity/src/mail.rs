//! The outbox of mails: a row is written in the transaction of the change that it tells of, and deleted when the mail has
//! been sent or given up, and all that it says of people with it.

use sea_orm::entity::prelude::*;

use crate::{MailId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mail")]
pub struct Model {
    /// Also the `Message-ID`, so that a mail that went out twice can be seen to be one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: MailId,
    pub recipient: String,
    /// What it says, as JSON.
    pub content: String,
    /// How often it was tried in vain.
    pub attempts: i32,
    pub queued_at: Timestamp,
    /// When it may be tried, by the database's clock: 0 for at once. Who tries it moves this ahead: a lease that ends by
    /// itself, should they not come back.
    pub due_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
