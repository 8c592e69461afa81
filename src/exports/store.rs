//! Statements about exports.

use entity::{
    DataExportId, Timestamp, UserId,
    data_export::{self, Column, Entity, Status},
    data_export_part,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockBehavior, LockType},
};
use uuid::Uuid;

use crate::{db::Db, error::Error};

/// A person's newest export.
pub(super) async fn newest_of(db: &impl ConnectionTrait, user_id: UserId) -> Result<Option<data_export::Model>, Error> {
    Ok(Entity::find().filter(Column::UserId.eq(user_id)).order_by_desc(Column::Id).one(db).await?)
}

/// A person's exports among the ids.
pub(super) async fn among_those_of(
    db: &impl ConnectionTrait,
    user_id: UserId,
    ids: &[DataExportId],
) -> Result<Vec<data_export::Model>, Error> {
    let query = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).filter(Column::UserId.eq(user_id));
    Ok(query.all(db).await?)
}

/// An export with an id, whose-ever it is.
pub(super) async fn find(db: &impl ConnectionTrait, id: DataExportId) -> Result<Option<data_export::Model>, Error> {
    Ok(Entity::find_by_id(id).one(db).await?)
}

pub(super) async fn insert(
    db: &impl ConnectionTrait,
    id: DataExportId,
    user_id: UserId,
    now: Timestamp,
) -> Result<data_export::Model, Error> {
    let row = data_export::ActiveModel {
        id: Set(id),
        user_id: Set(user_id),
        status: Set(Status::Pending),
        requested_at: Set(now),
        attempts: Set(0),
        claim: Set(None),
        claimed_until: Set(None),
        n_bytes: Set(None),
        expires_at: Set(None),
    };
    Ok(Entity::insert(row).exec_with_returning(db).await?)
}

/// Deletes all exports of a person, with their parts.
pub(super) async fn delete_all_of(db: &impl ConnectionTrait, user_id: UserId) -> Result<(), Error> {
    // The parts go with them, also one that is just being written.
    Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(db).await?;
    Ok(())
}

/// Pending, and nobody's at the moment.
fn is_due(now: Timestamp) -> Condition {
    let unclaimed = Column::ClaimedUntil.is_null().or(Column::ClaimedUntil.lte(now));
    Condition::all().add(Column::Status.eq(Status::Pending)).add(unclaimed)
}

/// Whether there is something to make.
pub(super) async fn has_due(db: &Db, now: Timestamp) -> Result<bool, Error> {
    Ok(Entity::find().filter(is_due(now)).one(db.read()).await?.is_some())
}

/// The oldest export that is due and that no other process is just claiming; its row is locked.
pub(super) async fn lock_due(db: &impl ConnectionTrait, now: Timestamp) -> Result<Option<data_export::Model>, Error> {
    let due = Entity::find().filter(is_due(now)).order_by_asc(Column::Id);
    Ok(due.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).one(db).await?)
}

/// Claims an export whose row is locked, and takes away what an earlier attempt left.
pub(super) async fn claim(
    db: &impl ConnectionTrait,
    id: DataExportId,
    claim: Uuid,
    until: Timestamp,
) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::Claim, Expr::value(claim))
        .col_expr(Column::ClaimedUntil, Expr::value(until))
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    delete_parts(db, id).await
}

/// Prolongs a claim; whether it is still held.
pub(super) async fn prolong(
    db: &impl ConnectionTrait,
    id: DataExportId,
    claim: Uuid,
    until: Timestamp,
) -> Result<bool, Error> {
    let updated = Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(until))
        .filter(is_claimed(id, claim))
        .exec(db)
        .await?;
    Ok(updated.rows_affected == 1)
}

fn is_claimed(id: DataExportId, claim: Uuid) -> Condition {
    Condition::all().add(Column::Id.eq(id)).add(Column::Claim.eq(claim)).add(Column::Status.eq(Status::Pending))
}

pub(super) async fn insert_part(
    db: &impl ConnectionTrait,
    id: DataExportId,
    n: i32,
    data: Vec<u8>,
) -> Result<(), Error> {
    let row = data_export_part::ActiveModel { export_id: Set(id), n: Set(n), data: Set(data) };
    data_export_part::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Says that an export is whole; whether the claim was still held.
pub(super) async fn complete(
    db: &impl ConnectionTrait,
    id: DataExportId,
    claim: Uuid,
    n_bytes: i64,
    expires_at: Timestamp,
) -> Result<bool, Error> {
    let change = data_export::ActiveModel {
        status: Set(Status::Ready),
        claim: Set(None),
        claimed_until: Set(None),
        n_bytes: Set(Some(n_bytes)),
        expires_at: Set(Some(expires_at)),
        ..Default::default()
    };
    let updated = Entity::update_many().set(change).filter(is_claimed(id, claim)).exec(db).await?;
    Ok(updated.rows_affected == 1)
}

/// Gives an export up.
pub(super) async fn fail(db: &impl ConnectionTrait, id: DataExportId) -> Result<(), Error> {
    set_status(db, id, Status::Failed).await?;
    delete_parts(db, id).await
}

/// Exports whose time is over.
pub(super) async fn expired(db: &Db, now: Timestamp, most: u64) -> Result<Vec<DataExportId>, Error> {
    let over = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Status.eq(Status::Ready))
        .filter(Column::ExpiresAt.lte(now))
        .limit(most);
    Ok(over.into_tuple().all(db.read()).await?)
}

/// Deletes what is in an export, and says so.
pub(super) async fn expire(db: &impl ConnectionTrait, id: DataExportId) -> Result<(), Error> {
    set_status(db, id, Status::Expired).await?;
    delete_parts(db, id).await
}

/// Deletes the rows of exports that were over long ago.
pub(super) async fn delete_requested_before(db: &impl ConnectionTrait, before: Timestamp) -> Result<(), Error> {
    let over = Column::Status.is_in([Status::Failed, Status::Expired]);
    Entity::delete_many().filter(over).filter(Column::RequestedAt.lt(before)).exec(db).await?;
    Ok(())
}

async fn set_status(db: &impl ConnectionTrait, id: DataExportId, status: Status) -> Result<(), Error> {
    let change = data_export::ActiveModel {
        status: Set(status),
        claim: Set(None),
        claimed_until: Set(None),
        ..Default::default()
    };
    Entity::update_many().set(change).filter(Column::Id.eq(id)).exec(db).await?;
    Ok(())
}

async fn delete_parts(db: &impl ConnectionTrait, id: DataExportId) -> Result<(), Error> {
    data_export_part::Entity::delete_many().filter(data_export_part::Column::ExportId.eq(id)).exec(db).await?;
    Ok(())
}

pub(super) async fn part(db: &Db, id: DataExportId, n: i32) -> Result<Option<Vec<u8>>, Error> {
    let row = data_export_part::Entity::find_by_id((id, n)).one(db.read()).await?;
    Ok(row.map(|row| row.data))
}
