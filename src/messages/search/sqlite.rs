//! The index and its use on SQLite.

use std::time::Instant;

use entity::{ConversationId, MessageId};
use serde_json::{Value, json};
use sqlx::{Row, SqlitePool};
use uuid::Uuid;

use super::{
    Place, Search, TIME_LIMIT,
    index::{Progress, Stale},
    postgres::has_code,
    too_slow,
};
use crate::error::Error;

/// The words first, in the order of their row ids, which is that of the log: it ends with the page.
pub const FIND: &str = "\
    SELECT s.id, s.message_id FROM message_words \
    CROSS JOIN message_search s ON s.id = message_words.rowid \
    CROSS JOIN message m ON m.id = s.message_id \
    WHERE message_words MATCH ?1 AND message_words.rowid < ?2 \
        AND EXISTS (SELECT 1 FROM member WHERE member.conversation_id = s.conversation_id AND member.user_id = ?3) \
        AND (?4 IS NULL OR s.conversation_id = ?4) \
        AND m.deleted_at IS NULL AND coalesce(m.edited_at, 0) = s.version \
    ORDER BY message_words.rowid DESC LIMIT ?5";

const STALE: &str = "\
    SELECT e.id, m.id, m.conversation_id, coalesce(m.edited_at, 0), CASE WHEN m.deleted_at IS NULL THEN m.body END \
    FROM event e CROSS JOIN message m ON m.id = e.message_id LEFT JOIN message_search s ON s.message_id = m.id \
    WHERE e.id > ?1 AND e.id <= ?2 AND e.kind IN (1, 2, 3) \
        AND CASE WHEN m.deleted_at IS NULL THEN s.version IS NOT coalesce(m.edited_at, 0) \
                 ELSE s.message_id IS NOT NULL END \
    ORDER BY e.id LIMIT ?3";

/// Of each row: the message, its conversation, its version, its words.
const UPSERT: &str = "\
    INSERT INTO message_search (message_id, conversation_id, version) \
    SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2 FROM json_each(?1) WHERE true ORDER BY key \
    ON CONFLICT (message_id) DO UPDATE SET version = excluded.version";
const UPSERT_WORDS: &str = "\
    INSERT OR REPLACE INTO message_words (rowid, body, scope) \
    SELECT s.id, value ->> 3, value ->> 1 FROM json_each(?1) JOIN message_search s ON s.message_id = unhex(value ->> 0)";
const REMOVE: &str = "DELETE FROM message_search WHERE message_id IN (SELECT unhex(value) FROM json_each(?1))";

/// Events that may lie between what is indexed and what is there before it is written down that none of them matters.
const MAX_SKIPPED: i64 = 10_000;

pub(super) async fn find(pool: &SqlitePool, search: &Search<'_>) -> Result<Vec<(Place, MessageId)>, Error> {
    let scopes = search.scopes.as_deref().unwrap_or_default();
    let only = if let [only] = scopes { Some(only.0) } else { None };
    let query = sqlx::query(FIND)
        .bind(match_of(search, scopes))
        .bind(search.after.map_or(i64::MAX, |Place(id)| id))
        .bind(search.user_id.0)
        .bind(only)
        .bind(search.limit);
    let pool = pool.clone();
    // A task of its own: the statement would go on without who asked for it, and nobody would take its deadline away.
    let rows = tokio::spawn(async move {
        let mut connection = pool.acquire().await?;
        let end = Instant::now() + TIME_LIMIT;
        connection.lock_handle().await?.set_progress_handler(10_000, move || Instant::now() < end);
        let rows = query.fetch_all(&mut *connection).await;
        connection.lock_handle().await?.remove_progress_handler();
        rows
    })
    .await
    .map_err(Error::internal)?
    .map_err(|error| if has_code(&error, "9") { too_slow() } else { error.into() })?;
    rows.iter().map(|row| Ok((Place(row.try_get(0)?), MessageId(row.try_get::<Uuid, _>(1)?)))).collect()
}

fn match_of(search: &Search<'_>, scopes: &[ConversationId]) -> String {
    let words = search.query.for_sqlite();
    let scopes: Vec<String> = scopes.iter().map(|id| format!("\"{}\"", id.0.simple())).collect();
    match scopes.is_empty() {
        true => words,
        false => format!("{words} AND scope : ({})", scopes.join(" OR ")),
    }
}

/// One pass of the index: see [`super::index`]. What is to be indexed is read beside the writer, which is needed only to
/// write it down. Whether there is more.
pub(super) async fn pass(reader: &SqlitePool, writer: &SqlitePool, batch: i64) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT done, (SELECT coalesce(max(id), 0) FROM event) FROM search_progress WHERE id = 1")
        .fetch_one(reader)
        .await?;
    let (done, newest): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let rows = sqlx::query(STALE).bind(done).bind(newest).bind(batch).fetch_all(reader).await?;
    if rows.is_empty() && newest - done < MAX_SKIPPED {
        return Ok(false);
    }
    let stale = rows
        .iter()
        .map(|row| {
            Ok(Stale {
                event_id: row.try_get(0)?,
                message_id: row.try_get(1)?,
                conversation_id: row.try_get(2)?,
                version: row.try_get(3)?,
                body: row.try_get(4)?,
            })
        })
        .collect::<Result<Vec<Stale>, sqlx::Error>>()?;
    let is_full = stale.len() as i64 >= batch;
    let covered = stale.last().filter(|_| is_full).map(|last| last.event_id);
    let (gone, written): (Vec<Stale>, Vec<Stale>) =
        Stale::newest(stale).into_iter().partition(|stale| stale.body.is_none());
    let gone: Vec<Value> = gone.iter().map(|stale| json!(stale.message_id.simple().to_string())).collect();
    let written: Vec<Value> = written
        .iter()
        .map(|stale| {
            let (id, conversation_id) = (stale.message_id.simple(), stale.conversation_id.simple());
            json!([id.to_string(), conversation_id.to_string(), stale.version, stale.words()])
        })
        .collect();
    let written = Value::from(written).to_string();
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(REMOVE).bind(Value::from(gone).to_string()).execute(&mut *tx).await?;
    sqlx::query(UPSERT).bind(&written).execute(&mut *tx).await?;
    sqlx::query(UPSERT_WORDS).bind(&written).execute(&mut *tx).await?;
    // One writer: what is there is all that will ever be there below the newest.
    let progress = Progress { done, ..Progress::default() }.settled(newest, covered);
    sqlx::query("UPDATE search_progress SET done = ?1 WHERE id = 1").bind(progress.done).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(is_full)
}
