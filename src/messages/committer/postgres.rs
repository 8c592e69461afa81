//! One call of the function `send_messages` commits a batch: see its SQL in the migration.

use std::sync::Arc;

use entity::{MessageId, Timestamp, user};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::{Draft, Reason, Verdict};

const SEND: &str = "SELECT n, outcome, message_id, message_sequence, event_position, \
     sender_username, sender_display_name, sender_discoverable, sender_created_at \
     FROM send_messages($1, $2, $3, $4, $5, $6, $7, $8) ORDER BY n";

/// Commits the drafts and answers a verdict for each, in their order.
pub(super) async fn commit(pool: &PgPool, drafts: &[&Draft], now: Timestamp) -> Result<Vec<Verdict>, sqlx::Error> {
    let column = |of: fn(&Draft) -> Uuid| drafts.iter().map(|draft| of(draft)).collect::<Vec<Uuid>>();
    let rows = sqlx::query(SEND)
        .bind(column(|draft| draft.conversation_id.0))
        .bind(column(|draft| draft.sender_id.0))
        .bind(column(|draft| draft.id.0))
        .bind(drafts.iter().map(|draft| draft.body.as_str()).collect::<Vec<_>>())
        .bind(drafts.iter().map(|draft| draft.reply_to_id.map(|id| id.0)).collect::<Vec<_>>())
        .bind(drafts.iter().map(|draft| draft.key.as_deref()).collect::<Vec<_>>())
        .bind(drafts.iter().map(|draft| draft.hash.as_deref()).collect::<Vec<_>>())
        .bind(now.0)
        .fetch_all(pool)
        .await?;
    if rows.len() != drafts.len() {
        return Err(sqlx::Error::Protocol(format!("{} verdicts for {} drafts", rows.len(), drafts.len())));
    }
    drafts
        .iter()
        .zip(&rows)
        .map(|(draft, row)| {
            Ok(match row.try_get::<i16, _>(1)? {
                0 => Verdict::Added {
                    sequence: row.try_get(3)?,
                    position: row.try_get(4)?,
                    sender: Arc::new(user::Model {
                        id: draft.sender_id,
                        username: row.try_get(5)?,
                        display_name: row.try_get(6)?,
                        discoverable: row.try_get(7)?,
                        created_at: Timestamp(row.try_get(8)?),
                    }),
                },
                1 => Verdict::Replayed(MessageId(row.try_get(2)?)),
                2 => Verdict::Refused(Reason::KeyConflict),
                3 => Verdict::Refused(Reason::NotMember),
                4 => Verdict::Refused(Reason::NotOpen),
                5 => Verdict::Refused(Reason::NoReplyTarget),
                other => return Err(sqlx::Error::Protocol(format!("an unknown outcome: {other}"))),
            })
        })
        .collect()
}
