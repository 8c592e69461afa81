//! Feeding the index from the event log.
//!
//! A **pass** takes a batch of events after `done` whose message the index lacks, or has in another version, and writes
//! them into it; a version is the time of the last edit. Repeating a pass changes nothing, and one process at a time
//! makes it.
//!
//! `done` is an id of the log below which nothing can still appear. On SQLite, with one writer, that is the newest one.
//! On PostgreSQL an id is taken before its transaction commits, so ids become visible out of order. But whoever writes
//! about a message has locked its conversation before, hence has a transaction id before it takes an id of the log: all
//! ids up to the newest visible one belong to transactions below the snapshot's `xmax`. When those have all ended
//! (`xmin` has reached that `xmax`), these ids are settled. So each look notes a bound for a later one. What is visible
//! above it is indexed at once nevertheless.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{postgres, query::words, sqlite};
use crate::{app::App, db::Db, error::Error};

/// Messages in one pass on PostgreSQL. On SQLite it holds the only writer while it writes.
const POSTGRES_BATCH: i64 = 500;
const SQLITE_BATCH: i64 = 250;
/// Passes that one search makes at most.
const MAX_PASSES: usize = 4;

/// A message that the index lacks or has in another version.
pub(super) struct Stale {
    pub event_id: i64,
    pub message_id: Uuid,
    pub conversation_id: Uuid,
    pub version: i64,
    /// None once deleted.
    pub body: Option<String>,
}

impl Stale {
    /// Several events may name one message, which is the same in all of them.
    pub(super) fn newest(stale: Vec<Self>) -> Vec<Self> {
        let mut seen = HashSet::new();
        stale.into_iter().filter(|stale| seen.insert(stale.message_id)).collect()
    }

    pub(super) fn words(&self) -> String {
        words(self.body.as_deref().unwrap_or_default()).join(" ")
    }
}

/// Whether to wait while another process makes a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Some,
    None,
}

/// How far the log is indexed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Everything up to this id is indexed, and nothing can still appear there.
    pub done: i64,
    /// Nothing can still appear up to this id once all transactions below `next_xmax` have ended.
    pub next_bound: i64,
    pub next_xmax: i64,
}

/// The log as it stands before a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    pub xmin: i64,
    pub xmax: i64,
    /// The newest visible id.
    pub newest: i64,
}

impl Progress {
    /// The progress that a pass makes. `covered`: the last id that it looked at, when it did not look at all.
    pub(super) fn after(self, log: Log, covered: Option<i64>) -> Self {
        // Transaction ids begin anew when a database is restored from a dump.
        let is_of_another_time = self.next_xmax > log.xmax;
        let has_come = log.xmin >= self.next_xmax;
        let settled = match (log.xmin >= log.xmax, has_come) {
            (true, _) => log.newest,
            (false, true) => self.next_bound,
            (false, false) => self.done,
        };
        let (next_bound, next_xmax) = match has_come || is_of_another_time {
            true => (log.newest, log.xmax),
            false => (self.next_bound, self.next_xmax),
        };
        Self { next_bound, next_xmax, ..self.settled(settled, covered) }
    }

    /// The progress that a pass makes when everything up to `settled` is.
    pub(super) fn settled(self, settled: i64, covered: Option<i64>) -> Self {
        Self { done: self.done.max(covered.map_or(settled, |covered| covered.min(settled))), ..self }
    }
}

/// The index of this process's database.
#[derive(Default)]
pub struct SearchIndex {
    /// Held by whoever makes passes.
    turn: tokio::sync::Mutex<()>,
    /// Catch-ups that began, and the last of them that is over.
    n_begun: AtomicU64,
    last_done: AtomicU64,
}

impl SearchIndex {
    /// Indexes what is committed by now, as far as a few passes go. Those who ask together share the work.
    pub(super) async fn catch_up(&self, db: &Db) -> Result<(), Error> {
        let wanted = self.n_begun.load(Ordering::Acquire) + 1;
        let _turn = self.turn.lock().await;
        if self.last_done.load(Ordering::Acquire) >= wanted {
            return Ok(());
        }
        let begun = self.n_begun.fetch_add(1, Ordering::AcqRel) + 1;
        let mut n_conflicts = 0;
        for _ in 0..MAX_PASSES {
            match pass(db, Patience::Some).await {
                Ok(Some(true)) => {}
                Ok(Some(false)) => break,
                // Another process is at it for long: answered from what there is.
                Ok(None) => break,
                // A message that was purged meanwhile.
                Err(error) if is_conflict(&error) && n_conflicts < MAX_PASSES => n_conflicts += 1,
                Err(error) => return Err(error.into()),
            }
        }
        self.last_done.store(begun, Ordering::Release);
        Ok(())
    }

    /// Indexes all that there is, with pauses as long as the work, until told to stop.
    async fn catch_up_at_leisure(&self, db: &Db, stop: &CancellationToken) -> Result<(), Error> {
        loop {
            let began = Instant::now();
            let is_full = {
                let _turn = self.turn.lock().await;
                pass(db, Patience::None).await?
            };
            if is_full != Some(true) {
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(began.elapsed()) => {}
            }
        }
    }
}

/// Whether there is more to do; none when another process is at it.
async fn pass(db: &Db, patience: Patience) -> Result<Option<bool>, sqlx::Error> {
    match db.is_postgres() {
        true => postgres::pass(db.writer().get_postgres_connection_pool(), patience, POSTGRES_BATCH).await,
        false => {
            let (reader, writer) = (db.read().get_sqlite_connection_pool(), db.writer().get_sqlite_connection_pool());
            sqlite::pass(reader, writer, SQLITE_BATCH).await.map(Some)
        }
    }
}

fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.is_foreign_key_violation())
        || postgres::has_code(error, "40P01")
}

/// Keeps the index near the log until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(app.config.storage.search_interval) => {}
        }
        if let Err(error) = app.search_index.catch_up_at_leisure(&app.db, &stop).await {
            tracing::warn!(cause = error.cause(), "messages cannot be indexed for search; trying again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn log(xmin: i64, xmax: i64, newest: i64) -> Log {
        Log { xmin, xmax, newest }
    }

    #[test]
    fn nothing_is_done_that_can_still_appear() {
        let start = Progress::default();
        // Nobody writes: all that is there is settled.
        assert_eq!(start.after(log(10, 10, 7), None), Progress { done: 7, next_bound: 7, next_xmax: 10 });
        // Transaction 8 is under way and may own an id below 7.
        let waiting = start.after(log(8, 10, 7), None);
        assert_eq!(waiting, Progress { done: 0, next_bound: 7, next_xmax: 10 });
        // It still is: the bound stays, however much comes.
        assert_eq!(waiting.after(log(8, 20, 15), None), waiting);
        // All below 10 have ended; others are under way.
        let moved = waiting.after(log(12, 20, 15), None);
        assert_eq!(moved, Progress { done: 7, next_bound: 15, next_xmax: 20 });
        assert_eq!(moved.after(log(25, 26, 18), None), Progress { done: 15, next_bound: 18, next_xmax: 26 });
    }

    #[test]
    fn a_part_of_the_log_is_done_as_far_as_it_was_looked_at() {
        let start = Progress { done: 3, next_bound: 100, next_xmax: 10 };
        assert_eq!(start.after(log(12, 20, 200), Some(50)).done, 50);
        assert_eq!(start.after(log(12, 20, 200), Some(150)).done, 100);
        assert_eq!(start.after(log(5, 20, 200), Some(50)).done, 3);
        assert_eq!(start.after(log(20, 20, 200), Some(150)).done, 150);
    }

    #[test]
    fn a_restored_database_begins_to_count_anew() {
        let before = Progress { done: 7, next_bound: 9, next_xmax: 1_000_000 };
        let after = before.after(log(700, 710, 12), None);
        assert_eq!(after, Progress { done: 7, next_bound: 12, next_xmax: 710 });
        assert_eq!(after.after(log(711, 712, 13), None).done, 12);
    }
}
