//! Statements about friendships and blocks.

use entity::{ConversationId, Timestamp, UserId, block, friendship};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QuerySelect, TryInsertResult,
    sea_query::SimpleExpr,
};
use uuid::Uuid;

use crate::{
    db::Db,
    error::Error,
    events::Transaction,
    graphql::pagination::{Page, PageRequest},
};

/// Who of two people has blocked the other, seen by one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    pub by_viewer: bool,
    pub by_other: bool,
}

pub async fn are_friends(tx: &Transaction<'_>, one: UserId, other: UserId) -> Result<bool, Error> {
    Ok(friendship::Entity::find_by_id((one, other)).one(tx.db()).await?.is_some())
}

pub async fn blocks(tx: &Transaction<'_>, viewer_id: UserId, other_id: UserId) -> Result<Blocks, Error> {
    use block::{Column, Entity};
    let mine = Column::BlockerId.eq(viewer_id).and(Column::BlockedId.eq(other_id));
    let theirs = Column::BlockerId.eq(other_id).and(Column::BlockedId.eq(viewer_id));
    let mut blocks = Blocks::default();
    for row in Entity::find().filter(mine.or(theirs)).all(tx.db()).await? {
        if row.blocker_id == viewer_id {
            blocks.by_viewer = true;
        } else {
            blocks.by_other = true;
        }
    }
    Ok(blocks)
}

pub async fn has_blocked(db: &Db, blocker_id: UserId, blocked_id: UserId) -> Result<bool, Error> {
    Ok(block::Entity::find_by_id((blocker_id, blocked_id)).one(db.read()).await?.is_some())
}

pub(super) async fn insert_friendship(
    tx: &Transaction<'_>,
    (one, other): (UserId, UserId),
    conversation_id: ConversationId,
    since: Timestamp,
) -> Result<(), Error> {
    let rows = [(one, other), (other, one)].map(|(user_id, friend_id)| friendship::ActiveModel {
        user_id: Set(user_id),
        friend_id: Set(friend_id),
        conversation_id: Set(conversation_id),
        since: Set(since),
    });
    friendship::Entity::insert_many(rows).exec_without_returning(tx.db()).await?;
    Ok(())
}

/// Whether there was one to delete.
pub(super) async fn delete_friendship(tx: &Transaction<'_>, one: UserId, other: UserId) -> Result<bool, Error> {
    use friendship::{Column, Entity};
    let direction = |user_id: UserId, friend_id: UserId| -> SimpleExpr {
        Column::UserId.eq(user_id).and(Column::FriendId.eq(friend_id))
    };
    let deleted = Entity::delete_many().filter(direction(one, other).or(direction(other, one))).exec(tx.db()).await?;
    Ok(deleted.rows_affected > 0)
}

/// Whether it was not there before.
pub(super) async fn insert_block(
    tx: &Transaction<'_>,
    blocker_id: UserId,
    blocked_id: UserId,
    now: Timestamp,
) -> Result<bool, Error> {
    let row = block::ActiveModel { blocker_id: Set(blocker_id), blocked_id: Set(blocked_id), created_at: Set(now) };
    let inserted = block::Entity::insert(row).on_conflict_do_nothing().exec_without_returning(tx.db()).await?;
    Ok(matches!(inserted, TryInsertResult::Inserted(1..)))
}

/// Since when it was there; none where there was none to delete.
pub(super) async fn delete_block(
    tx: &Transaction<'_>,
    blocker_id: UserId,
    blocked_id: UserId,
) -> Result<Option<Timestamp>, Error> {
    let block = block::Entity::find_by_id((blocker_id, blocked_id)).one(tx.db()).await?;
    block::Entity::delete_by_id((blocker_id, blocked_id)).exec(tx.db()).await?;
    Ok(block.map(|block| block.created_at))
}

/// Deletes all friendships of a person; whose friends they were.
pub(super) async fn delete_friendships_of(tx: &Transaction<'_>, user_id: UserId) -> Result<Vec<UserId>, Error> {
    use friendship::{Column, Entity};
    let mine = Entity::delete_many().filter(Column::UserId.eq(user_id)).exec_with_returning(tx.db()).await?;
    Entity::delete_many().filter(Column::FriendId.eq(user_id)).exec(tx.db()).await?;
    Ok(mine.into_iter().map(|row| row.friend_id).collect())
}

/// Deletes the blocks by a person and of them; who had blocked them.
pub(super) async fn delete_blocks_of(tx: &Transaction<'_>, user_id: UserId) -> Result<Vec<UserId>, Error> {
    use block::{Column, Entity};
    Entity::delete_many().filter(Column::BlockerId.eq(user_id)).exec(tx.db()).await?;
    let theirs = Entity::delete_many().filter(Column::BlockedId.eq(user_id)).exec_with_returning(tx.db()).await?;
    Ok(theirs.into_iter().map(|row| row.blocker_id).collect())
}

/// A person's friends, the newest friendship first.
pub(super) async fn friends(
    db: &Db,
    user_id: UserId,
    request: &PageRequest<(Timestamp, Uuid)>,
) -> Result<Page<friendship::Model>, Error> {
    use friendship::{Column, Entity};
    let query = Entity::find().filter(Column::UserId.eq(user_id));
    Ok(request.page(request.newest_first(query, Column::Since, Column::FriendId).all(db.read()).await?))
}

/// All of a person's friends.
pub(super) async fn friend_ids(tx: &Transaction<'_>, user_id: UserId) -> Result<Vec<UserId>, Error> {
    use friendship::{Column, Entity};
    let query = Entity::find().select_only().column(Column::FriendId).filter(Column::UserId.eq(user_id));
    Ok(query.into_tuple().all(tx.db()).await?)
}

pub(super) async fn count_friends(db: &Db, user_id: UserId) -> Result<u64, Error> {
    Ok(friendship::Entity::find().filter(friendship::Column::UserId.eq(user_id)).count(db.read()).await?)
}

/// The people whom somebody has blocked, the newest block first.
pub(super) async fn blocked(
    db: &Db,
    blocker_id: UserId,
    request: &PageRequest<(Timestamp, Uuid)>,
) -> Result<Page<block::Model>, Error> {
    use block::{Column, Entity};
    let query = Entity::find().filter(Column::BlockerId.eq(blocker_id));
    Ok(request.page(request.newest_first(query, Column::CreatedAt, Column::BlockedId).all(db.read()).await?))
}
