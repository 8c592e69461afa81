//! Statements about the outbox.
//!
//! What is due is judged by the database's clock, since the clocks of several processes differ: a mail that is taken in
//! one must not look due in another.

use entity::{
    MailId, Timestamp,
    mail::{self, Column, Entity},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseBackend, EntityTrait, QueryFilter, Statement, Value,
    sea_query::Expr,
};

use super::Mail;
use crate::{db::Db, error::Error};

pub async fn insert(
    db: &impl ConnectionTrait,
    id: MailId,
    recipient: &str,
    mail: &Mail,
    now: Timestamp,
) -> Result<(), Error> {
    let row = mail::ActiveModel {
        id: Set(id),
        recipient: Set(recipient.to_owned()),
        content: Set(encode(mail)?),
        attempts: Set(0),
        queued_at: Set(now),
        due_at: Set(Timestamp(0)),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

pub async fn replace(db: &impl ConnectionTrait, id: MailId, recipient: &str, mail: &Mail) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::Recipient, Expr::value(recipient))
        .col_expr(Column::Content, Expr::value(encode(mail)?))
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(())
}

fn encode(mail: &Mail) -> Result<String, Error> {
    serde_json::to_string(mail).map_err(Error::internal)
}

/// Milliseconds until something is due, 0 when it is; nothing when nothing waits.
pub async fn next_due(db: &Db, now: Timestamp) -> Result<Option<u64>, Error> {
    let (now, values) = clock(db, now);
    let sql = format!("SELECT due_at - {now} FROM mail ORDER BY due_at, id LIMIT 1");
    let row = db.read().query_one_raw(Statement::from_sql_and_values(backend(db), sql, values)).await?;
    let wait: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(wait.map(|wait| u64::try_from(wait).unwrap_or(0)))
}

/// Takes what is due, at most so many, for the time of the lease. What another process is taking is left to it.
pub async fn take(db: &Db, most: usize, lease_seconds: i64, now: Timestamp) -> Result<Vec<mail::Model>, Error> {
    let (now, values) = clock(db, now);
    let skip = if db.is_postgres() { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!(
        "UPDATE mail SET due_at = {now} + {lease} WHERE id IN (\
             SELECT id FROM mail WHERE due_at <= {now} ORDER BY due_at, id LIMIT {most} {skip}\
         ) RETURNING *",
        lease = lease_seconds * 1000,
    );
    let statement = Statement::from_sql_and_values(backend(db), sql, values);
    Ok(Entity::find().from_raw_sql(statement).all(db.writer()).await?)
}

/// Lets go of a mail that is not sent; it is due again after some seconds.
pub async fn put_back(db: &Db, row: &mail::Model, wait_seconds: i64, now: Timestamp) -> Result<(), Error> {
    let (now, mut values) = clock(db, now);
    let n = values.len();
    values.extend([Value::from(row.id), Value::from(row.due_at)]);
    // Whoever holds it by a later lease has other plans.
    let sql = format!(
        "UPDATE mail SET due_at = {now} + {wait}, attempts = attempts + 1 WHERE id = ${id} AND due_at = ${due_at}",
        wait = wait_seconds * 1000,
        id = n + 1,
        due_at = n + 2,
    );
    db.writer().execute_raw(Statement::from_sql_and_values(backend(db), sql, values)).await?;
    Ok(())
}

pub async fn delete(db: &Db, id: MailId) -> Result<(), Error> {
    Entity::delete_by_id(id).exec(db.writer()).await?;
    Ok(())
}

/// The time as the database has it, and the values that it needs. SQLite is in this process, and has ours.
fn clock(db: &Db, now: Timestamp) -> (&'static str, Vec<Value>) {
    match db.is_postgres() {
        true => ("(extract(epoch FROM clock_timestamp()) * 1000)::bigint", Vec::new()),
        false => ("$1", vec![now.into()]),
    }
}

fn backend(db: &Db) -> DatabaseBackend {
    db.read().get_database_backend()
}
