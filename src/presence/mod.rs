//! Who is there.
//!
//! Somebody is *online* while any authenticated connection of theirs lives, on any process: a socket that was
//! acknowledged, or a stream of events. A *grace* after the last one hides reloads. They were *last seen* when the last
//! one closed.
//!
//! | rule | where |
//! | --- | --- |
//! | Who may see it: oneself, friends, people in a common group; not whom one has blocked | [`access::shown`] |
//! | To whom somebody has blocked they are away since, whatever they do | [`access::shown`] |
//! | Several devices are one person, a reload is nothing | [`connections`] |
//! | A process that dies takes its people offline within a minute | [`leases`], [`keep`] |
//! | Changes are told to watchers only, gathered, and never at the price of what is durable | [`telling`] |
//!
//! One process counts for itself. Several hold leases in Redis (ADR 0018). While Redis is away presence is late: what
//! this process knows is told, and nothing waits. Nothing of this is an event of the log; only the time of the last
//! close is durable, written in batches behind everybody's back.

pub mod access;
mod connections;
pub mod graphql;
mod keep;
mod leases;
pub mod store;
mod telling;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use entity::{ConversationId, Timestamp, UserId};
use parking_lot::Mutex;

pub use connections::Connected;
pub use keep::{keep, leave};
pub use telling::{Scope, Watcher, tell};

use self::{connections::Connections, leases::Leases, telling::Watchers};
use crate::{clock::Clock, config::Config, db::Db, error::Error, redis::Redis};

/// Most people whom one `presence` can name.
pub const MAX_NAMED: usize = 100;
/// Most people whose state `presence` tells at its beginning when nobody is named.
pub const MAX_TOLD_AT_FIRST: usize = 5000;

/// Newcomers in groups who wait to be told of while Redis is away; past that they are told of when they come or go.
const MAX_JOINED: usize = 10_000;
/// People of whom it is remembered that they were said to be online; at most twice as many.
const MAX_SAID_ONLINE: usize = 100_000;

/// How somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Online,
    /// Since when, if they were ever seen.
    Offline(Option<Timestamp>),
}

/// Somebody who is new in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Joined {
    pub user_id: UserId,
    pub group_id: ConversationId,
}

/// What is to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Who came or went.
    pub people: Vec<UserId>,
    pub joined: Vec<Joined>,
}

impl Changes {
    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// Of whom a process said that they are online. When Redis loses its data, nobody else knows whom the others are still
/// to be told of.
#[derive(Default)]
struct SaidOnline {
    lately: HashSet<UserId>,
    /// What was there when `lately` was full.
    before: HashSet<UserId>,
}

impl SaidOnline {
    fn note(&mut self, user_ids: &[UserId], online: &HashSet<UserId>) {
        for id in user_ids {
            if online.contains(id) {
                self.lately.insert(*id);
            } else {
                self.lately.remove(id);
                self.before.remove(id);
            }
        }
        if self.lately.len() > MAX_SAID_ONLINE {
            self.before = std::mem::take(&mut self.lately);
        }
    }

    fn all(&self) -> Vec<UserId> {
        self.lately.union(&self.before).copied().collect()
    }
}

/// Everything that a process knows of who is there.
pub struct Presence {
    connections: Arc<Connections>,
    /// Where several processes count together.
    leases: Option<Leases>,
    grace: Duration,
    lease: Duration,
    /// What changed since it was told: one process tells it by itself, of several each puts it into the common list.
    changed: Mutex<Changes>,
    /// Of whom it was said here lately that they are online.
    said_online: Mutex<SaidOnline>,
    /// Last seen, and not yet written down.
    unsaved: Mutex<HashMap<UserId, Timestamp>>,
    pub watchers: Watchers,
}

impl Presence {
    pub fn new(config: &Config, clock: Clock, redis: Option<Redis>) -> Arc<Self> {
        let (grace, lease) = (config.presence.grace, config.presence.lease);
        Arc::new(Self {
            connections: Connections::new(clock, grace),
            leases: redis.map(|redis| Leases::new(redis, lease)),
            grace,
            lease,
            changed: Mutex::default(),
            said_online: Mutex::default(),
            unsaved: Mutex::default(),
            watchers: Watchers::default(),
        })
    }

    /// Counts a connection of somebody until what this gives is dropped.
    pub fn connected(&self, user_id: UserId) -> Connected {
        self.connections.open(user_id)
    }

    /// People were seen then; to be written down.
    fn seen(&self, seen: impl IntoIterator<Item = (UserId, Timestamp)>) {
        let mut unsaved = self.unsaved.lock();
        for (id, at) in seen {
            let known = unsaved.entry(id).or_insert(at);
            *known = (*known).max(at);
        }
    }

    /// Somebody is new in a group, and that is committed: they and its members are told of each other.
    pub fn joined(&self, user_id: UserId, group_id: ConversationId) {
        let mut changed = self.changed.lock();
        if changed.joined.len() < MAX_JOINED {
            changed.joined.push(Joined { user_id, group_id });
        }
    }

    /// From here on changes are told to watchers who are registered. Before their first look at how people are.
    pub async fn begin_to_watch(&self) {
        if let Some(leases) = &self.leases {
            leases.begin_to_follow().await;
        }
    }

    /// How people are, by one round trip to Redis and one statement at most. Whoever may see them: a gate comes before.
    /// Of who is not here, while Redis does not answer, it is said that they are offline.
    pub async fn states(&self, db: &Db, user_ids: &[UserId]) -> Result<HashMap<UserId, State>, Error> {
        let online = self.online_among(user_ids).await.unwrap_or_else(|| self.here_among(user_ids));
        self.states_of(db, user_ids, &online).await
    }

    /// How people are as far as this process and the database know.
    pub async fn states_here(&self, db: &Db, user_ids: &[UserId]) -> Result<HashMap<UserId, State>, Error> {
        self.states_of(db, user_ids, &self.here_among(user_ids)).await
    }

    /// Like [`Presence::states`], and none while Redis does not answer: to be asked again.
    pub async fn certain_states(&self, db: &Db, user_ids: &[UserId]) -> Result<Option<HashMap<UserId, State>>, Error> {
        match self.online_among(user_ids).await {
            Some(online) => self.states_of(db, user_ids, &online).await.map(Some),
            None => Ok(None),
        }
    }

    async fn online_among(&self, user_ids: &[UserId]) -> Option<HashSet<UserId>> {
        let mut online = self.here_among(user_ids);
        if let Some(leases) = &self.leases {
            let elsewhere: Vec<UserId> = user_ids.iter().copied().filter(|id| !online.contains(id)).collect();
            online.extend(leases.online_among(&elsewhere).await?);
            self.said_online.lock().note(user_ids, &online);
        }
        Some(online)
    }

    fn here_among(&self, user_ids: &[UserId]) -> HashSet<UserId> {
        user_ids.iter().copied().filter(|id| self.connections.has(*id)).collect()
    }

    async fn states_of(
        &self,
        db: &Db,
        user_ids: &[UserId],
        online: &HashSet<UserId>,
    ) -> Result<HashMap<UserId, State>, Error> {
        let offline: Vec<UserId> = user_ids.iter().copied().filter(|id| !online.contains(id)).collect();
        let mut seen = store::last_seen(db, &offline).await?;
        {
            let unsaved = self.unsaved.lock();
            for id in &offline {
                if let Some(at) = unsaved.get(id) {
                    let known = seen.entry(*id).or_insert(*at);
                    *known = (*known).max(*at);
                }
            }
        }
        let state = |id: &UserId| match online.contains(id) {
            true => State::Online,
            false => State::Offline(seen.get(id).copied()),
        };
        Ok(user_ids.iter().map(|id| (*id, state(id))).collect())
    }
}
