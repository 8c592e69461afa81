//! The index and its use on PostgreSQL.

use entity::{ConversationId, MessageId};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::{
    Place, Search, TIME_LIMIT,
    index::{Log, Patience, Progress, Stale},
    too_slow,
};
use crate::{db::begin_postgres, error::Error};

/// What matches is found first, and by the index: the planner would rather walk the newest messages until it has met a
/// page of them, which for a rare word is all of them.
pub const FIND: &str = "\
    WITH hits AS MATERIALIZED ( \
        SELECT s.message_id, s.conversation_id, s.version, s.place FROM message_search s \
        WHERE s.document @@ CASE WHEN $2 = '' THEN websearch_to_tsquery('simple', $1) \
                                 ELSE websearch_to_tsquery('simple', $1) && $2::tsquery END \
            AND ($3::bigint IS NULL OR s.place < $3) \
    ) \
    SELECT h.place, h.message_id FROM hits h \
    JOIN member ON member.conversation_id = h.conversation_id AND member.user_id = $4 \
    JOIN message m ON m.id = h.message_id AND m.deleted_at IS NULL AND coalesce(m.edited_at, 0) = h.version \
    WHERE $5::uuid IS NULL OR h.conversation_id = $5 \
    ORDER BY h.place DESC LIMIT $6";

const STALE: &str = "\
    SELECT e.id, m.id, m.conversation_id, coalesce(m.edited_at, 0), CASE WHEN m.deleted_at IS NULL THEN m.body END \
    FROM event e JOIN message m ON m.id = e.message_id LEFT JOIN message_search s ON s.message_id = m.id \
    WHERE e.id > $1 AND e.kind IN (1, 2, 3) \
        AND CASE WHEN m.deleted_at IS NULL THEN s.version IS DISTINCT FROM coalesce(m.edited_at, 0) \
                 ELSE s.message_id IS NOT NULL END \
    ORDER BY e.id LIMIT $2";

/// A message keeps the place that it was first indexed with: that of its sending in the log.
const UPSERT: &str = "\
    INSERT INTO message_search (message_id, conversation_id, version, document, place) \
    SELECT i.id, i.conversation_id, i.version, to_tsvector('simple', i.words) || array_to_tsvector(ARRAY[i.scope]), i.place \
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::bigint[]) \
        AS i (id, conversation_id, version, words, scope, place) \
    ON CONFLICT (message_id) DO UPDATE SET version = excluded.version, document = excluded.document";

/// A plan of index look-ups whatever the statistics say.
pub const PLAN: &str =
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// The lexeme of a conversation: no word of a text has a colon.
fn scope(id: ConversationId) -> String {
    format!("conv:{}", id.0.simple())
}

pub(super) async fn find(pool: &PgPool, search: &Search<'_>) -> Result<Vec<(Place, MessageId)>, Error> {
    let scopes = search.scopes.as_deref().unwrap_or_default();
    let scope_query: Vec<String> = scopes.iter().map(|id| format!("'{}'", scope(*id))).collect();
    let only = if let [only] = scopes { Some(only.0) } else { None };
    let mut tx = begin_postgres(pool).await?;
    let limit = format!("{PLAN}; SET LOCAL statement_timeout = {}", TIME_LIMIT.as_millis());
    sqlx::raw_sql(sqlx::AssertSqlSafe(limit)).execute(&mut *tx).await?;
    let rows = sqlx::query(FIND)
        .bind(search.query.for_postgres())
        .bind(scope_query.join(" | "))
        .bind(search.after.map(|Place(place)| place))
        .bind(search.user_id.0)
        .bind(only)
        .bind(search.limit)
        .fetch_all(&mut *tx)
        .await
        .map_err(|error| if has_code(&error, "57014") { too_slow() } else { error.into() })?;
    tx.commit().await?;
    rows.iter().map(|row| Ok((Place(row.try_get(0)?), MessageId(row.try_get::<Uuid, _>(1)?)))).collect()
}

/// One pass of the index: see [`super::index`]. None when another process is at it and the patience is at an end.
pub(super) async fn pass(pool: &PgPool, patience: Patience, batch: i64) -> Result<Option<bool>, sqlx::Error> {
    let mut tx = begin_postgres(pool).await?;
    // What is lost of the index with a crash is indexed again.
    let settings = format!("{PLAN}; SET LOCAL lock_timeout = 1000; SET LOCAL synchronous_commit = off");
    sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(&mut *tx).await?;
    let log = look_at_log(&mut tx).await?;
    let lock = match patience {
        Patience::Some => "SELECT done, next_bound, next_xmax FROM search_progress WHERE id = 1 FOR UPDATE",
        Patience::None => "SELECT done, next_bound, next_xmax FROM search_progress WHERE id = 1 FOR UPDATE SKIP LOCKED",
    };
    let locked = match sqlx::query(lock).fetch_optional(&mut *tx).await {
        Err(error) if has_code(&error, "55P03") => return Ok(None),
        locked => locked?,
    };
    let Some(row) = locked else { return Ok(None) };
    let progress = Progress { done: row.try_get(0)?, next_bound: row.try_get(1)?, next_xmax: row.try_get(2)? };
    let rows = sqlx::query(STALE).bind(progress.done).bind(batch).fetch_all(&mut *tx).await?;
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
    write(&mut tx, Stale::newest(stale)).await?;
    let next = progress.after(log, covered);
    if next != progress {
        sqlx::query("UPDATE search_progress SET done = $1, next_bound = $2, next_xmax = $3 WHERE id = 1")
            .bind(next.done)
            .bind(next.next_bound)
            .bind(next.next_xmax)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(Some(is_full))
}

async fn look_at_log(tx: &mut PgConnection) -> Result<Log, sqlx::Error> {
    let row = sqlx::query(
        "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint, \
         (SELECT coalesce(max(id), 0) FROM event) FROM pg_current_snapshot() s",
    )
    .fetch_one(tx)
    .await?;
    Ok(Log { xmin: row.try_get(0)?, xmax: row.try_get(1)?, newest: row.try_get(2)? })
}

async fn write(tx: &mut PgConnection, stale: Vec<Stale>) -> Result<(), sqlx::Error> {
    let (gone, written): (Vec<Stale>, Vec<Stale>) = stale.into_iter().partition(|stale| stale.body.is_none());
    if !gone.is_empty() {
        sqlx::query("DELETE FROM message_search WHERE message_id = ANY($1)")
            .bind(gone.iter().map(|stale| stale.message_id).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
    }
    if !written.is_empty() {
        sqlx::query(UPSERT)
            .bind(written.iter().map(|stale| stale.message_id).collect::<Vec<_>>())
            .bind(written.iter().map(|stale| stale.conversation_id).collect::<Vec<_>>())
            .bind(written.iter().map(|stale| stale.version).collect::<Vec<_>>())
            .bind(written.iter().map(Stale::words).collect::<Vec<_>>())
            .bind(written.iter().map(|stale| scope(ConversationId(stale.conversation_id))).collect::<Vec<_>>())
            .bind(written.iter().map(|stale| stale.event_id).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

pub(super) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some(code))
}
