//! One call of the function `send_messages` commits a batch: see its SQL in the migration.

use entity::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Answer, Draft, Verdict, verdicts};

const SEND: &str = "SELECT outcome, message_id, message_sequence, event_position, \
     sender_username, sender_display_name, sender_discoverable, sender_created_at \
     FROM send_messages($1, $2, $3, $4, $5, $6, $7, $8) ORDER BY n";

/// Commits the drafts and answers a verdict for each, in their order.
pub(super) async fn commit(pool: &PgPool, drafts: &[&Draft], now: Timestamp) -> Result<Vec<Verdict>, sqlx::Error> {
    let column = |of: fn(&Draft) -> Uuid| drafts.iter().map(|draft| of(draft)).collect::<Vec<Uuid>>();
    let answers: Vec<Answer> = sqlx::query_as(SEND)
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
    verdicts(drafts, answers)
}
