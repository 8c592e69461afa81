//! Keeping count: leases, the dead, and when people were last seen.

use std::{collections::HashSet, sync::Arc, time::Duration};

use entity::{Timestamp, UserId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Joined, MAX_JOINED, Presence,
    leases::{Away, Beat, CHUNK, Leases},
    store,
};
use crate::app::App;

/// How often is looked at who came and went.
const TICK: Duration = Duration::from_millis(100);
/// A lease is prolonged so many times before it ends: two failures cost nothing.
const N_REFRESHES: u32 = 3;
/// A process says so many times within a lease that it lives, and looks for the dead as often.
const N_BEATS: u32 = 15;
/// What did not get through to Redis is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
/// How often is written down who has been seen, while they still are: of somebody whose process is killed at least that
/// much is known.
const SAVING: Duration = Duration::from_secs(60);
/// Of those who have been here for longer only each so many times.
const N_SAVINGS_OF_ALL: u64 = 5;
/// People who wait to be written down while the database is away; past that they are forgotten.
const MAX_UNSAVED: usize = 100_000;

/// Counts until told to stop.
pub async fn keep(app: Arc<App>, stop: CancellationToken) {
    let presence = Arc::clone(&app.presence);
    let mut keeper = Keeper::new(&presence);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        keeper.tick(&app).await;
    }
}

/// Gives everything up, after the last connection closed: writes down when people were seen, and lets leases live on
/// for the grace only.
pub async fn leave(app: &App) {
    let presence = &app.presence;
    let seen = presence.connections.closed_at(app.clock.now());
    let user_ids: Vec<UserId> = seen.iter().map(|(id, _)| *id).collect();
    presence.seen(seen);
    save(app).await;
    if let Some(leases) = &presence.leases
        && let Err(away) = leases.shorten(&user_ids, presence.grace).await
    {
        tracing::warn!(cause = %away, "Redis is not told that people are leaving: their leases end by themselves");
    }
}

struct Keeper<'a> {
    presence: &'a Presence,
    /// Who came and who left, where Redis does not know yet.
    to_hold: HashSet<UserId>,
    to_let_go: HashSet<UserId>,
    to_note: HashSet<UserId>,
    joined: Vec<Joined>,
    /// Whose lease may have begun without an answer: when they are held at last, Redis does not know them as new.
    unclear: HashSet<UserId>,
    /// Who came since it was written down that they have been seen.
    fresh: Vec<UserId>,
    /// Who was said to be online before Redis lost what it knew, and from when on it is looked whether they are.
    to_check: Vec<UserId>,
    check_at: Option<Instant>,
    next_try: Instant,
    next_beat: Instant,
    next_refresh: Instant,
    next_saving: Instant,
    n_savings: u64,
}

impl<'a> Keeper<'a> {
    fn new(presence: &'a Presence) -> Self {
        let now = Instant::now();
        Self {
            presence,
            to_hold: HashSet::new(),
            to_let_go: HashSet::new(),
            to_note: HashSet::new(),
            joined: Vec::new(),
            unclear: HashSet::new(),
            fresh: Vec::new(),
            to_check: Vec::new(),
            check_at: None,
            next_try: now,
            next_beat: now,
            next_refresh: now + presence.lease / N_REFRESHES,
            next_saving: now + SAVING,
            n_savings: 0,
        }
    }

    async fn tick(&mut self, app: &App) {
        let now = Instant::now();
        let connections = &self.presence.connections;
        let arrived = connections.take_arrived();
        let left = connections.take_left(now);
        self.fresh.extend(&arrived);
        if !left.is_empty() {
            self.presence.seen(left.iter().copied());
            // Before anybody is told, so that who is told can ask.
            save(app).await;
        }
        let left = left.into_iter().map(|(id, _)| id);
        match &self.presence.leases {
            None => self.presence.changed.lock().people.extend(arrived.into_iter().chain(left)),
            Some(leases) => {
                let joined = self.presence.changed.lock().take().joined;
                self.joined.extend(joined.into_iter().take(MAX_JOINED.saturating_sub(self.joined.len())));
                self.to_hold.extend(arrived);
                self.to_let_go.extend(left);
                self.beat(app, leases).await;
                self.check().await;
                if now >= self.next_try
                    && let Err(away) = self.agree(app, leases).await
                {
                    tracing::warn!(cause = %away, "Redis is not told who is online; trying again");
                    self.next_try = now + RETRY;
                }
            }
        }
        if now >= self.next_saving {
            self.next_saving = now + SAVING;
            self.n_savings += 1;
            let at = app.clock.now();
            let fresh = std::mem::take(&mut self.fresh);
            let seen = match self.n_savings.is_multiple_of(N_SAVINGS_OF_ALL) {
                true => connections.all(),
                false => fresh.into_iter().filter(|id| connections.has(*id)).collect(),
            };
            self.presence.seen(seen.into_iter().map(|id| (id, at)));
            save(app).await;
        }
    }

    /// Brings Redis to what is so here. A part that does not get through stops no other.
    async fn agree(&mut self, app: &App, leases: &Leases) -> Result<(), Away> {
        let connections = &self.presence.connections;
        let mut result = Ok(());
        // Who is back by now keeps the lease, and who is gone needs none.
        self.to_let_go.retain(|id| !connections.has(*id));
        self.to_hold.retain(|id| connections.has(*id));
        self.unclear.retain(|id| connections.has(*id));
        for chunk in chunks(&self.to_let_go) {
            self.beat(app, leases).await;
            let gone = leases.let_go(&chunk).await;
            for id in &chunk {
                self.to_let_go.remove(id);
            }
            self.to_let_go.extend(gone.unanswered);
            self.to_note.extend(gone.so);
            result = gone.away.map_or(result, Err);
        }
        for chunk in chunks(&self.to_hold) {
            result = self.hold(app, leases, &chunk).await.and(result);
        }
        if Instant::now() >= self.next_refresh {
            self.next_refresh = Instant::now() + self.presence.lease / N_REFRESHES;
            for chunk in connections.all().chunks(CHUNK) {
                // Who had no lease was taken for dead, or Redis has forgotten.
                result = self.hold(app, leases, chunk).await.and(result);
            }
        }
        for chunk in chunks(&self.to_note) {
            self.beat(app, leases).await;
            leases.note(&chunk).await?;
            for id in &chunk {
                self.to_note.remove(id);
            }
        }
        while !self.joined.is_empty() {
            let n_noted = self.joined.len().min(CHUNK);
            leases.note_joined(&self.joined[..n_noted]).await?;
            self.joined.drain(..n_noted);
        }
        result
    }

    /// Holds leases. Of whom nothing is answered is tried again, and told when it is: to tell them once more than
    /// needed is nothing, since it is looked how they are then.
    async fn hold(&mut self, app: &App, leases: &Leases, chunk: &[UserId]) -> Result<(), Away> {
        self.beat(app, leases).await;
        let held = leases.hold(chunk).await;
        self.to_note.extend(held.so);
        let unanswered: HashSet<UserId> = held.unanswered.into_iter().collect();
        for id in chunk.iter().filter(|id| !unanswered.contains(id)) {
            self.to_hold.remove(id);
            if self.unclear.remove(id) {
                self.to_note.insert(*id);
            }
        }
        self.to_hold.extend(&unanswered);
        self.unclear.extend(unanswered);
        held.away.map_or(Ok(()), Err)
    }

    /// Says that this process lives, when it is time, whatever else does not get through; and takes over what the dead
    /// have left.
    async fn beat(&mut self, app: &App, leases: &Leases) {
        if Instant::now() < self.next_beat {
            return;
        }
        let dead = match leases.beat(self.presence.lease).await {
            Ok(Beat { is_new, dead }) => {
                self.next_beat = Instant::now() + self.presence.lease / N_BEATS;
                if is_new {
                    self.begin_anew();
                }
                dead
            }
            Err(away) => {
                tracing::warn!(cause = %away, "Redis is not told that this process lives; trying again");
                self.next_beat = Instant::now() + RETRY.min(self.presence.lease / N_BEATS);
                return;
            }
        };
        for (process, died_at) in dead {
            if let Err(away) = self.bury(app, leases, &process, died_at).await {
                tracing::warn!(cause = %away, "the people of a process that ended cannot be taken over; trying again");
            }
        }
    }

    /// Redis knows nothing of this process: at its beginning, and when it has lost its data. Then nobody will find the
    /// dead of before, nor tell of them.
    fn begin_anew(&mut self) {
        self.next_refresh = Instant::now();
        // The others notice by their next beats, or when they prolong their leases, and hold them anew.
        self.check_at = Some(Instant::now() + self.presence.lease / N_REFRESHES + self.presence.lease / N_BEATS);
    }

    /// Looks at some of those who were said to be online, and has those told of who are not.
    async fn check(&mut self) {
        if self.check_at.is_some_and(|at| Instant::now() >= at) {
            self.check_at = None;
            self.to_check = self.presence.said_online.lock().all();
        }
        let n_left = self.to_check.len().saturating_sub(CHUNK);
        let some = self.to_check.split_off(n_left);
        if some.is_empty() {
            return;
        }
        match self.presence.online_among(&some).await {
            Some(online) => self.to_note.extend(some.into_iter().filter(|id| !online.contains(id))),
            None => self.to_check.extend(some),
        }
    }

    async fn bury(&mut self, app: &App, leases: &Leases, process: &str, died_at: Timestamp) -> Result<(), Away> {
        let mut n_buried = 0;
        loop {
            let (n_taken, gone) = leases.bury(process).await?;
            if n_taken == 0 {
                break;
            }
            n_buried += n_taken - gone.unanswered.len();
            self.presence.seen(gone.so.iter().map(|id| (*id, died_at)));
            save(app).await;
            self.to_note.extend(gone.so);
            if let Some(away) = gone.away {
                return Err(away);
            }
        }
        tracing::info!(n_buried, "took over the people of a process that ended");
        Ok(())
    }
}

/// People in parts that are asked about at once.
fn chunks(people: &HashSet<UserId>) -> Vec<Vec<UserId>> {
    let people: Vec<UserId> = people.iter().copied().collect();
    people.chunks(CHUNK).map(<[UserId]>::to_vec).collect()
}

/// Writes down who was seen when. What cannot be written waits.
async fn save(app: &App) {
    let seen = std::mem::take(&mut *app.presence.unsaved.lock());
    if seen.is_empty() {
        return;
    }
    let rows: Vec<(UserId, Timestamp)> = seen.iter().map(|(id, at)| (*id, *at)).collect();
    if let Err(error) = store::save_last_seen(&app.db, &rows).await {
        tracing::warn!(cause = error.cause(), "who was last seen when cannot be written; trying again");
        if app.presence.unsaved.lock().len() + seen.len() <= MAX_UNSAVED {
            app.presence.seen(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Config;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    /// Longest time from the death of a process until the watchers of its people are told: its last beat was at its
    /// death, so the whole lease; then an interval until somebody looks for the dead, and a second for what follows.
    fn told_within(lease: Duration) -> Duration {
        lease + lease / N_BEATS + Duration::from_secs(1)
    }

    #[test]
    fn the_people_of_a_killed_process_are_offline_within_a_minute() {
        let config = Cli::try_parse_from(["kith"]).expect("defaults are valid").config;
        assert!(told_within(config.presence.lease) <= Duration::from_secs(60));
        let longest =
            Cli::try_parse_from(["kith", "--presence-lease-seconds", "50"]).expect("the most is valid").config;
        assert!(told_within(longest.presence.lease) <= Duration::from_secs(60));
    }
}
