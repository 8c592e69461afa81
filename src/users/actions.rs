//! What changes the public half of a person.

use entity::{UserId, user};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};

use super::types::Username;
use crate::{error::Error, events::Transaction};

/// What a tombstone is called.
pub const TOMBSTONE_NAME: &str = "Deleted account";

/// For who deletes their account: leaves a tombstone in the place of the person, since their messages stay in the
/// histories of others. Their username is free from the commit on.
pub async fn forget(tx: &Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    use user::Column;
    user::Entity::update_many()
        .col_expr(Column::Username, Expr::value(Username::of_tombstone(user_id).into_string()))
        .col_expr(Column::DisplayName, Expr::value(TOMBSTONE_NAME))
        .col_expr(Column::Discoverable, Expr::value(false))
        .filter(Column::Id.eq(user_id))
        .exec(tx.db())
        .await?;
    Ok(())
}
