//! One transaction commits a batch: `BEGIN IMMEDIATE`, all statements in one go, `COMMIT`. Their number does not depend
//! on the size of the batch: the drafts travel as one JSON text into a temporary table of the connection, which also
//! takes the verdicts, and from which the others take them.

use entity::Timestamp;
use serde_json::{Value, json};
use sqlx::SqlitePool;

use super::{Answer, Draft, Verdict, verdicts};

/// Makes the table of drafts. For each connection that commits, when it is made.
pub const PREPARE: &str = "\
    CREATE TEMP TABLE draft (\
        n INTEGER PRIMARY KEY, outcome INTEGER, id BLOB, conversation_id BLOB, sender_id BLOB, body TEXT, reply_to_id BLOB, \
        key TEXT, hash BLOB, created_at INTEGER, earlier_id BLOB, sequence INTEGER, position INTEGER\
    )";

/// Judges, numbers and writes the drafts of `?1`, at the moment `?2`, and answers as `send_messages` of PostgreSQL does.
/// Sent as one, because each statement of its own would be two more trips between threads. Only the first that has
/// parameters may have them: the driver counts on from one statement to the next. `OR FAIL` spares the journals that
/// would undo a statement which fails half-way: the whole transaction is undone then.
const SEND: &str = "\
    DELETE FROM draft;\
    \
    INSERT OR FAIL INTO draft \
    WITH input AS MATERIALIZED (\
        SELECT key AS n, unhex(value ->> 0) AS id, unhex(value ->> 1) AS conversation_id, unhex(value ->> 2) AS sender_id, \
            value ->> 3 AS body, unhex(value ->> 4) AS reply_to_id, value ->> 5 AS key, unhex(value ->> 6) AS hash \
        FROM json_each(?1)\
    ), judged AS (\
        SELECT input.*, earlier.id AS earlier_id, conversation.sequence, conversation.position, \
            CASE \
                WHEN earlier.id IS NOT NULL AND earlier.input_hash IS input.hash THEN 1 \
                WHEN earlier.id IS NOT NULL THEN 2 \
                WHEN member.user_id IS NULL THEN 3 \
                WHEN NOT conversation.open THEN 4 \
                WHEN input.reply_to_id IS NOT NULL AND replied.id IS NULL THEN 5 \
                ELSE 0 \
            END AS outcome \
        FROM input \
        LEFT JOIN message earlier ON earlier.sender_id = input.sender_id AND earlier.idempotency_key = input.key \
        LEFT JOIN conversation ON conversation.id = input.conversation_id \
        LEFT JOIN member ON member.conversation_id = input.conversation_id AND member.user_id = input.sender_id \
        LEFT JOIN message replied ON replied.id = input.reply_to_id AND replied.conversation_id = input.conversation_id\
    ) \
    SELECT n, outcome, id, conversation_id, sender_id, body, reply_to_id, key, hash, ?2, earlier_id, \
        sequence + sum(outcome = 0) OVER so_far, position + sum(outcome = 0) OVER so_far \
    FROM judged WINDOW so_far AS (PARTITION BY conversation_id ORDER BY n);\
    \
    INSERT OR FAIL INTO message \
        (id, conversation_id, sequence, sender_id, body, reply_to_id, idempotency_key, input_hash, created_at) \
    SELECT id, conversation_id, sequence, sender_id, body, reply_to_id, key, hash, created_at \
    FROM draft WHERE outcome = 0 ORDER BY n;\
    \
    INSERT OR FAIL INTO event (kind, conversation_id, position, message_id, created_at) \
    SELECT 1, conversation_id, position, id, created_at FROM draft WHERE outcome = 0 ORDER BY n;\
    \
    UPDATE OR FAIL conversation \
    SET sequence = t.sequence, position = t.position, last_activity_at = max(last_activity_at, t.created_at) \
    FROM (SELECT conversation_id, max(sequence) AS sequence, max(position) AS position, created_at \
          FROM draft WHERE outcome = 0 GROUP BY 1) t \
    WHERE conversation.id = t.conversation_id;\
    \
    UPDATE OR FAIL member SET last_read_sequence = t.sequence, last_read_at = t.created_at \
    FROM (SELECT conversation_id, sender_id, max(sequence) AS sequence, created_at \
          FROM draft WHERE outcome = 0 GROUP BY 1, 2) t \
    WHERE member.conversation_id = t.conversation_id AND member.user_id = t.sender_id \
        AND member.last_read_sequence < t.sequence;\
    \
    SELECT draft.outcome, draft.earlier_id, draft.sequence, draft.position, \
        u.username, u.display_name, u.discoverable, u.created_at \
    FROM draft LEFT JOIN user u ON u.id = draft.sender_id ORDER BY draft.n";

/// Commits the drafts and answers a verdict for each, in their order.
pub(super) async fn commit(pool: &SqlitePool, drafts: &[&Draft], now: Timestamp) -> Result<Vec<Verdict>, sqlx::Error> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let answers: Vec<Answer> = sqlx::query_as(SEND).bind(json(drafts)).bind(now.0).fetch_all(&mut *tx).await?;
    let verdicts = verdicts(drafts, answers)?;
    tx.commit().await?;
    Ok(verdicts)
}

fn json(drafts: &[&Draft]) -> String {
    let hex = |uuid: uuid::Uuid| uuid.simple().to_string();
    let drafts: Vec<Value> = drafts
        .iter()
        .map(|draft| {
            json!([
                hex(draft.id.0),
                hex(draft.conversation_id.0),
                hex(draft.sender_id.0),
                draft.body,
                draft.reply_to_id.map(|id| hex(id.0)),
                draft.key,
                draft.hash.as_ref().map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
            ])
        })
        .collect();
    Value::from(drafts).to_string()
}
