//! One transaction of a handful of statements commits a batch; their number does not depend on its size, since the
//! drafts travel as one JSON text.

use std::{collections::HashMap, sync::Arc};

use entity::{ConversationId, MessageId, Timestamp, UserId, user};
use serde_json::json;
use sqlx::{Row, SqlitePool};

use super::{Draft, Reason, Verdict};

/// Judges each draft, in order.
const JUDGE: &str = "\
    SELECT earlier.id AS earlier_id, earlier.input_hash AS earlier_hash, member.user_id AS member_id, \
        conversation.open, conversation.sequence, conversation.position, replied.id AS replied_id, \
        u.username, u.display_name, u.discoverable, u.created_at \
    FROM json_each(?1) i \
    LEFT JOIN message earlier ON earlier.sender_id = unhex(i.value ->> 's') AND earlier.idempotency_key = i.value ->> 'k' \
    LEFT JOIN conversation ON conversation.id = unhex(i.value ->> 'c') \
    LEFT JOIN member ON member.conversation_id = unhex(i.value ->> 'c') AND member.user_id = unhex(i.value ->> 's') \
    LEFT JOIN message replied ON replied.id = unhex(i.value ->> 'r') AND replied.conversation_id = unhex(i.value ->> 'c') \
    LEFT JOIN user u ON u.id = unhex(i.value ->> 's') \
    ORDER BY i.key";

const INSERT_MESSAGES: &str = "\
    INSERT INTO message (id, conversation_id, sequence, sender_id, body, reply_to_id, idempotency_key, input_hash, created_at) \
    SELECT unhex(value ->> 'i'), unhex(value ->> 'c'), value ->> 'q', unhex(value ->> 's'), value ->> 'b', \
        unhex(value ->> 'r'), value ->> 'k', unhex(value ->> 'h'), ?2 \
    FROM json_each(?1)";

const INSERT_EVENTS: &str = "\
    INSERT INTO event (kind, conversation_id, position, message_id, created_at) \
    SELECT 1, unhex(value ->> 'c'), value ->> 'p', unhex(value ->> 'i'), ?2 FROM json_each(?1)";

const UPDATE_CONVERSATIONS: &str = "\
    UPDATE conversation SET sequence = t.sequence, position = t.position, last_activity_at = max(last_activity_at, ?2) \
    FROM (SELECT unhex(value ->> 'c') AS id, max(value ->> 'q') AS sequence, max(value ->> 'p') AS position \
          FROM json_each(?1) GROUP BY 1) t \
    WHERE conversation.id = t.id";

const UPDATE_MEMBERS: &str = "\
    UPDATE member SET last_read_sequence = t.sequence, last_read_at = ?2 \
    FROM (SELECT unhex(value ->> 'c') AS conversation_id, unhex(value ->> 's') AS user_id, max(value ->> 'q') AS sequence \
          FROM json_each(?1) GROUP BY 1, 2) t \
    WHERE member.conversation_id = t.conversation_id AND member.user_id = t.user_id AND member.last_read_sequence < t.sequence";

/// Commits the drafts and answers a verdict for each, in their order.
pub(super) async fn commit(pool: &SqlitePool, drafts: &[&Draft], now: Timestamp) -> Result<Vec<Verdict>, sqlx::Error> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let rows = sqlx::query(JUDGE).bind(json(drafts.iter().map(|draft| (*draft, None)))).fetch_all(&mut *tx).await?;
    let mut numbers = Numbers::default();
    let verdicts = drafts.iter().zip(&rows).map(|(draft, row)| judge(draft, row, &mut numbers));
    let verdicts = verdicts.collect::<Result<Vec<_>, _>>()?;
    let added = drafts.iter().zip(&verdicts).filter_map(|(draft, verdict)| match verdict {
        Verdict::Added { sequence, position, .. } => Some((*draft, Some((*sequence, *position)))),
        Verdict::Replayed(_) | Verdict::Refused(_) => None,
    });
    let added = json(added);
    if added != "[]" {
        for statement in [INSERT_MESSAGES, INSERT_EVENTS, UPDATE_CONVERSATIONS, UPDATE_MEMBERS] {
            sqlx::query(statement).bind(&added).bind(now.0).execute(&mut *tx).await?;
        }
    }
    tx.commit().await?;
    Ok(verdicts)
}

/// How many messages each conversation has got within the batch.
#[derive(Default)]
struct Numbers(HashMap<ConversationId, i64>);

fn judge(draft: &Draft, row: &sqlx::sqlite::SqliteRow, numbers: &mut Numbers) -> Result<Verdict, sqlx::Error> {
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
    let n_new = numbers.0.entry(draft.conversation_id).or_default();
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

fn json<'a>(drafts: impl Iterator<Item = (&'a Draft, Option<(i64, i64)>)>) -> String {
    let hex = |uuid: uuid::Uuid| uuid.simple().to_string();
    let drafts: Vec<_> = drafts
        .map(|(draft, numbers)| {
            json!({
                "i": hex(draft.id.0),
                "c": hex(draft.conversation_id.0),
                "s": hex(draft.sender_id.0),
                "b": draft.body,
                "r": draft.reply_to_id.map(|id| hex(id.0)),
                "k": draft.key,
                "h": draft.hash.as_ref().map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
                "q": numbers.map(|(sequence, _)| sequence),
                "p": numbers.map(|(_, position)| position),
            })
        })
        .collect();
    serde_json::Value::from(drafts).to_string()
}
