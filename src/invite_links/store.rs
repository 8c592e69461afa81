//! Statements about invite links.

use std::{collections::HashMap, sync::Arc};

use entity::{
    ConversationId, InviteLinkId, Timestamp, conversation,
    invite_link::{self, Column, Entity},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel, JoinType, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, RelationTrait, Select, sea_query::Expr,
};

use super::types::{Code, is_alive};
use crate::{db::Db, error::Error, events::Transaction, graphql::loaders::Key};

/// [`is_alive`] as a condition, of links whose group is not deleted.
fn alive(now: Timestamp) -> Select<Entity> {
    Entity::find()
        .join(JoinType::InnerJoin, invite_link::Relation::Group.def())
        .filter(conversation::Column::DeletedAt.is_null())
        .filter(not_over(now))
}

fn not_over(now: Timestamp) -> Condition {
    Condition::all()
        .add(Column::RevokedAt.is_null())
        .add(Column::ExpiresAt.is_null().or(Column::ExpiresAt.gt(now)))
        .add(Column::MaxUses.is_null().or(Expr::col((Entity, Column::Uses)).lt(Expr::col((Entity, Column::MaxUses)))))
}

/// The link of a code, if it is alive: one statement, whatever there is.
pub(super) async fn by_code(
    db: &impl ConnectionTrait,
    code: &Code,
    now: Timestamp,
) -> Result<Option<invite_link::Model>, Error> {
    Ok(alive(now).filter(Column::CodeHash.eq(code.hash())).one(db).await?)
}

/// The links with ids that are alive.
pub(super) async fn by_ids(db: &Db, ids: &[InviteLinkId], now: Timestamp) -> Result<Vec<invite_link::Model>, Error> {
    Ok(alive(now).filter(Column::Id.is_in(ids.iter().copied())).all(db.read()).await?)
}

pub(super) async fn by_id(tx: &Transaction<'_>, id: InviteLinkId) -> Result<Option<invite_link::Model>, Error> {
    Ok(Entity::find_by_id(id).one(tx.db()).await?)
}

pub(super) async fn count_alive(tx: &Transaction<'_>, group_id: ConversationId, now: Timestamp) -> Result<u64, Error> {
    Ok(Entity::find().filter(Column::GroupId.eq(group_id)).filter(not_over(now)).count(tx.db()).await?)
}

pub(super) async fn insert(tx: &Transaction<'_>, link: &invite_link::Model) -> Result<(), Error> {
    Entity::insert(link.clone().into_active_model()).exec_without_returning(tx.db()).await?;
    Ok(())
}

pub(super) async fn count_use(tx: &Transaction<'_>, id: InviteLinkId) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::Uses, Expr::col(Column::Uses).add(1))
        .filter(Column::Id.eq(id))
        .exec(tx.db())
        .await?;
    Ok(())
}

pub(super) async fn revoke(tx: &Transaction<'_>, id: InviteLinkId, now: Timestamp) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::RevokedAt.is_null())
        .exec(tx.db())
        .await?;
    Ok(())
}

/// Deletes links that were over before a time; of what is used up, what was made before it.
pub(super) async fn delete_over(db: &Db, before: Timestamp) -> Result<u64, Error> {
    let used_up =
        Condition::all().add(Column::CreatedAt.lt(before)).add(Expr::col(Column::Uses).gte(Expr::col(Column::MaxUses)));
    let over = Condition::any().add(Column::RevokedAt.lt(before)).add(Column::ExpiresAt.lt(before)).add(used_up);
    Ok(Entity::delete_many().filter(over).exec(db.writer()).await?.rows_affected)
}

/// The links of a group that are alive at a time, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinksOf {
    pub group_id: ConversationId,
    pub now: Timestamp,
}

impl Key for LinksOf {
    type Value = Arc<Vec<invite_link::Model>>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        let Some(earliest) = keys.iter().map(|key| key.now).min() else { return Ok(HashMap::new()) };
        let rows = alive(earliest)
            .filter(Column::GroupId.is_in(keys.iter().map(|key| key.group_id)))
            .order_by_desc(Column::Id)
            .all(db.read())
            .await?;
        let of_group = |key: &Self| {
            rows.iter().filter(|row| row.group_id == key.group_id && is_alive(row, key.now)).cloned().collect()
        };
        Ok(keys.iter().map(|key| (*key, Arc::new(of_group(key)))).collect())
    }
}
