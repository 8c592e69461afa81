//! One transaction of a handful of statements commits a batch. Their number does not depend on its size: the drafts
//! travel as one JSON text into a temporary table of the connection, from which the others take them.

use std::{collections::HashMap, sync::Arc};

use entity::{ConversationId, MessageId, Timestamp, UserId, user};
use serde_json::{Value, json};
use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use super::{Draft, Reason, Verdict};

/// Makes the table of drafts. For each connection that commits, when it is made.
pub const PREPARE: &str = "\
    CREATE TEMP TABLE draft (\
        n INTEGER PRIMARY KEY, id BLOB, conversation_id BLOB, sender_id BLOB, body TEXT, reply_to_id BLOB, key TEXT, \
        hash BLOB, sequence INTEGER, position INTEGER\
    )";

const FILL: &str = "\
    INSERT INTO draft (n, id, conversation_id, sender_id, body, reply_to_id, key, hash) \
    SELECT key, unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), value ->> 3, unhex(value ->> 4), value ->> 5, \
        unhex(value ->> 6) \
    FROM json_each(?1)";

/// Judges each draft, in order.
const JUDGE: &str = "\
    SELECT earlier.id AS earlier_id, earlier.input_hash AS earlier_hash, member.user_id AS member_id, \
        conversation.open, conversation.sequence, conversation.position, replied.id AS replied_id, \
        u.username, u.display_name, u.discoverable, u.created_at \
    FROM draft \
    LEFT JOIN message earlier ON earlier.sender_id = draft.sender_id AND earlier.idempotency_key = draft.key \
    LEFT JOIN conversation ON conversation.id = draft.conversation_id \
    LEFT JOIN member ON member.conversation_id = draft.conversation_id AND member.user_id = draft.sender_id \
    LEFT JOIN message replied ON replied.id = draft.reply_to_id AND replied.conversation_id = draft.conversation_id \
    LEFT JOIN user u ON u.id = draft.sender_id \
    ORDER BY draft.n";

const NUMBER: &str = "\
    UPDATE draft SET sequence = given.value ->> 1, position = given.value ->> 2 \
    FROM json_each(?1) given WHERE draft.n = given.value ->> 0";

const INSERT_MESSAGES: &str = "\
    INSERT INTO message (id, conversation_id, sequence, sender_id, body, reply_to_id, idempotency_key, input_hash, created_at) \
    SELECT id, conversation_id, sequence, sender_id, body, reply_to_id, key, hash, ?1 \
    FROM draft WHERE sequence IS NOT NULL ORDER BY n";

const INSERT_EVENTS: &str = "\
    INSERT INTO event (kind, conversation_id, position, message_id, created_at) \
    SELECT 1, conversation_id, position, id, ?1 FROM draft WHERE sequence IS NOT NULL ORDER BY n";

const UPDATE_CONVERSATIONS: &str = "\
    UPDATE conversation SET sequence = t.sequence, position = t.position, last_activity_at = max(last_activity_at, ?1) \
    FROM (SELECT conversation_id, max(sequence) AS sequence, max(position) AS position \
          FROM draft WHERE sequence IS NOT NULL GROUP BY 1) t \
    WHERE conversation.id = t.conversation_id";

const UPDATE_MEMBERS: &str = "\
    UPDATE member SET last_read_sequence = t.sequence, last_read_at = ?1 \
    FROM (SELECT conversation_id, sender_id, max(sequence) AS sequence \
          FROM draft WHERE sequence IS NOT NULL GROUP BY 1, 2) t \
    WHERE member.conversation_id = t.conversation_id AND member.user_id = t.sender_id AND member.last_read_sequence < t.sequence";

/// Commits the drafts and answers a verdict for each, in their order.
pub(super) async fn commit(pool: &SqlitePool, drafts: &[&Draft], now: Timestamp) -> Result<Vec<Verdict>, sqlx::Error> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    // What is there is of a batch that came to nothing.
    sqlx::query("DELETE FROM draft").execute(&mut *tx).await?;
    sqlx::query(FILL).bind(json(drafts)).execute(&mut *tx).await?;
    let rows = sqlx::query(JUDGE).fetch_all(&mut *tx).await?;
    let mut numbers = HashMap::new();
    let verdicts = drafts.iter().zip(&rows).map(|(draft, row)| judge(draft, row, &mut numbers));
    let verdicts = verdicts.collect::<Result<Vec<_>, _>>()?;
    let given: Vec<Value> = verdicts
        .iter()
        .enumerate()
        .filter_map(|(n, verdict)| match verdict {
            Verdict::Added { sequence, position, .. } => Some(json!([n, sequence, position])),
            Verdict::Replayed(_) | Verdict::Refused(_) => None,
        })
        .collect();
    if !given.is_empty() {
        sqlx::query(NUMBER).bind(Value::from(given).to_string()).execute(&mut *tx).await?;
        for statement in [INSERT_MESSAGES, INSERT_EVENTS, UPDATE_CONVERSATIONS, UPDATE_MEMBERS] {
            sqlx::query(statement).bind(now.0).execute(&mut *tx).await?;
        }
    }
    tx.commit().await?;
    Ok(verdicts)
}

/// `numbers`: how many messages each conversation has got within the batch.
fn judge(draft: &Draft, row: &SqliteRow, numbers: &mut HashMap<ConversationId, i64>) -> Result<Verdict, sqlx::Error> {
    if let Some(earlier) = row.try_get::<Option<uuid::Uuid>, _>("earlier_id")? {
        let hash: Option<Vec<u8>> = row.try_get("earlier_hash")?;
        return Ok(match hash == draft.hash {
            true => Verdict::Replayed(MessageId(earlier)),
            false => Verdict::Refused(Reason::KeyConflict),
        });
    }
    if row.try_get::<Option<uuid::Uuid>, _>("member_id")?.is_none() {
        return Ok(Verdict::Refused(Reason::NotMember));
    }
    if !row.try_get::<bool, _>("open")? {
        return Ok(Verdict::Refused(Reason::NotOpen));
    }
    if draft.reply_to_id.is_some() && row.try_get::<Option<uuid::Uuid>, _>("replied_id")?.is_none() {
        return Ok(Verdict::Refused(Reason::NoReplyTarget));
    }
    let n_new = numbers.entry(draft.conversation_id).or_default();
    *n_new += 1;
    Ok(Verdict::Added {
        sequence: row.try_get::<i64, _>("sequence")? + *n_new,
        position: row.try_get::<i64, _>("position")? + *n_new,
        sender: Arc::new(user::Model {
            id: UserId(draft.sender_id.0),
            username: row.try_get("username")?,
            display_name: row.try_get("display_name")?,
            discoverable: row.try_get("discoverable")?,
            created_at: Timestamp(row.try_get("created_at")?),
        }),
    })
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
