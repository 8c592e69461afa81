//! What was said in a deleted group goes in the background, in small pieces.
//!
//! The group's row says what is left to do, so a restart goes on where the last process stopped, and any process may
//! help. A piece is a transaction under the row's lock. Events go before messages, so that no event of the log ever
//! lacks its message. What stays for ever is the row without its words, and the event that tells of the deletion: who
//! still has to hear of it finds nothing else in between.

use std::{sync::Arc, time::Duration};

use entity::{ConversationId, Timestamp, conversation, event, invite_link, message};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, LockBehavior, LockType},
};
use tokio_util::sync::CancellationToken;

use crate::{app::App, error::Error};

/// How long a deleted group waits: processes that lag may still deliver what was said before its end.
const GRACE_SECONDS: i64 = 60;
/// How often to look for groups.
const INTERVAL: Duration = Duration::from_secs(30);
/// Rows that one piece deletes.
const PIECE: u64 = 500;
/// Time for others between two pieces.
const PAUSE: Duration = Duration::from_millis(20);

/// Purges until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let purged = tokio::select! {
            () = stop.cancelled() => return,
            purged = sweep(&app, app.clock.now().plus_seconds(-GRACE_SECONDS)) => purged,
        };
        match purged {
            Ok(0) => {}
            Ok(n_groups) => tracing::info!(n_groups, "deleted groups were purged"),
            Err(error) => tracing::warn!(cause = error.cause(), "deleted groups cannot be purged; tried again soon"),
        }
    }
}

/// Purges the groups that were deleted before a time; how many.
pub async fn sweep(app: &App, before: Timestamp) -> Result<usize, Error> {
    use conversation::{Column, Entity};
    let mut n_purged = 0;
    loop {
        let ids: Vec<ConversationId> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::DeletedAt.lt(before))
            .filter(Column::Name.is_not_null())
            .order_by_asc(Column::DeletedAt)
            .limit(PIECE)
            .into_tuple()
            .all(app.db.read())
            .await?;
        let n_found = ids.len();
        let mut n_done = 0;
        for id in ids {
            n_done += usize::from(purge(app, id).await?);
        }
        n_purged += n_done;
        // What another process has in hand is not ours to wait for.
        if n_done == 0 || (n_found as u64) < PIECE {
            return Ok(n_purged);
        }
    }
}

/// Whether the group was purged to its end; not when another process is at it.
async fn purge(app: &App, id: ConversationId) -> Result<bool, Error> {
    use conversation::{Column, Entity};
    loop {
        let tx = app.db.begin().await?;
        let mine = Entity::find_by_id(id)
            .filter(Column::Name.is_not_null())
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .one(&tx)
            .await?;
        if mine.is_none() {
            return Ok(false);
        }
        if delete_piece(&tx, id).await? {
            tx.commit().await?;
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        Entity::update_many()
            .col_expr(Column::Name, Expr::value(Option::<String>::None))
            .col_expr(Column::Description, Expr::value(Option::<String>::None))
            .filter(Column::Id.eq(id))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        return Ok(true);
    }
}

/// Deletes some of what is left; false when nothing was.
async fn delete_piece(tx: &DatabaseTransaction, id: ConversationId) -> Result<bool, Error> {
    let events = event::Entity::find()
        .select_only()
        .column(event::Column::Id)
        .filter(event::Column::ConversationId.eq(id))
        .filter(event::Column::Kind.ne(event::Kind::ConversationDeleted))
        .limit(PIECE)
        .into_query();
    let deleted = event::Entity::delete_many().filter(event::Column::Id.in_subquery(events)).exec(tx).await?;
    if deleted.rows_affected > 0 {
        return Ok(true);
    }
    // The newest first: an answer is newer than what it answers, and refers to it.
    let newest: Option<i64> = message::Entity::find()
        .select_only()
        .column(message::Column::Sequence)
        .filter(message::Column::ConversationId.eq(id))
        .order_by_desc(message::Column::Sequence)
        .limit(1)
        .into_tuple()
        .one(tx)
        .await?;
    if let Some(newest) = newest {
        message::Entity::delete_many()
            .filter(message::Column::ConversationId.eq(id))
            .filter(message::Column::Sequence.gt(newest - PIECE as i64))
            .exec(tx)
            .await?;
        return Ok(true);
    }
    let links = invite_link::Entity::delete_many().filter(invite_link::Column::GroupId.eq(id)).exec(tx).await?;
    Ok(links.rows_affected > 0)
}
