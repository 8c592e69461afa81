//! Who is connected to any process: leases in Redis, by the time of Redis.
//!
//! | key | what |
//! | --- | --- |
//! | `…:presence:{user}` | the processes that have connections of somebody, by when each lease ends |
//! | `…:presence-held:{process}` | the people whose leases a process holds |
//! | `…:presence-all:{processes}` | the processes, by when each is taken for dead |
//! | `…:presence-all:{changes}` | who came or went lately, and who joined which group, by when |
//!
//! Each script touches one key, so that it runs on one node of a cluster; those of many people are under way at once
//! and travel together. Nothing waits for Redis for longer than [`PATIENCE`], and what did not get through is tried again.

use std::{collections::HashSet, time::Duration};

use entity::{ConversationId, Timestamp, UserId};
use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{Changes, Joined};
use crate::{
    clock::random_bytes,
    redis::{Redis, Script},
};

/// How long Redis may take to answer a background task.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a request waits for Redis before it is answered from what this process knows.
const SHORT_PATIENCE: Duration = Duration::from_millis(250);
/// How long requests leave Redis alone after it did not answer.
const REST: Duration = Duration::from_secs(1);
/// People who are asked about at once.
pub const CHUNK: usize = 500;
/// How long changes are kept for processes that could not ask.
const MEMORY: Duration = Duration::from_secs(300);

/// Begins or prolongs a lease. Answers how many there were.
const HOLD: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local held = redis.call('ZCARD', KEYS[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIREAT', KEYS[1], redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])
return held";

/// Gives a lease up. Answers how many are left.
const LET_GO: &str = r"
local t = redis.call('TIME')
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + math.floor(t[2] / 1000))
return redis.call('ZCARD', KEYS[1])";

/// How many leases there are.
const COUNT: &str = r"
local t = redis.call('TIME')
return redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)), '+inf')";

/// Says that a process lives for some time. Answers whether that was unknown, and the dead, with until when each was to
/// live.
const BEAT: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local added = redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 86400000)
return {added, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 100)}";

/// Writes down who came or went.
const NOTE: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
for n = 2, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[n]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1] * 1000)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return now";

/// Answers the time, and who came or went since another.
const SINCE: &str = r"
local t = redis.call('TIME')
return {t[1] * 1000000 + t[2], redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf')}";

pub struct Leases {
    redis: Redis,
    scripts: Scripts,
    /// This process.
    name: String,
    /// How long a lease lasts.
    lease: Duration,
    /// Changes up to here are known, in microseconds of Redis.
    known_until: tokio::sync::Mutex<Option<i64>>,
    resting_until: Mutex<Option<Instant>>,
}

struct Scripts {
    hold: Script,
    let_go: Script,
    count: Script,
    beat: Script,
    note: Script,
    since: Script,
}

/// What Redis answered about some people: each has a lease of their own, and of a cluster not every node may answer.
#[derive(Debug, Default)]
pub struct Answers {
    /// Those of whom it is so.
    pub so: Vec<UserId>,
    /// Those of whom nothing is known, not even whether what was asked for was done.
    pub unanswered: Vec<UserId>,
    /// Why there are such.
    pub away: Option<Away>,
}

impl Answers {
    fn none(user_ids: &[UserId], away: Away) -> Self {
        Self { so: Vec::new(), unanswered: user_ids.to_vec(), away: Some(away) }
    }

    fn complete(self) -> Result<Vec<UserId>, Away> {
        self.away.map_or(Ok(self.so), Err)
    }
}

/// What Redis answered to who said that they live.
#[derive(Debug)]
pub struct Beat {
    /// It did not know of this process: the process begins, was taken for dead, or Redis has lost its data.
    pub is_new: bool,
    /// Which processes are dead, with when each was last alive.
    pub dead: Vec<(String, Timestamp)>,
}

/// Redis did not answer.
#[derive(Debug)]
pub struct Away(String);

impl std::fmt::Display for Away {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Leases {
    pub fn new(redis: Redis, lease: Duration) -> Self {
        let scripts = Scripts {
            hold: Script::new(HOLD),
            let_go: Script::new(LET_GO),
            count: Script::new(COUNT),
            beat: Script::new(BEAT),
            note: Script::new(NOTE),
            since: Script::new(SINCE),
        };
        let name = Uuid::from_bytes(random_bytes()).simple().to_string();
        Self { redis, scripts, name, lease, known_until: Default::default(), resting_until: Mutex::default() }
    }

    /// Holds leases for people, new ones or longer ones. Answers who had none before, from any process.
    pub async fn hold(&self, user_ids: &[UserId]) -> Answers {
        if user_ids.is_empty() {
            return Answers::default();
        }
        // First, so that nobody is held of whom the others would not know when we die.
        let written = self.write_down(&self.name, user_ids).await;
        // Where that did not work the lease is still prolonged: who is here is not to be taken for dead.
        let held = self.hold_for(user_ids, self.lease).await;
        match written {
            Ok(()) => held,
            Err(away) => Answers { so: held.so, ..Answers::none(user_ids, away) },
        }
    }

    async fn write_down(&self, process: &str, user_ids: &[UserId]) -> Result<(), Away> {
        let held = self.of_process(process);
        self.command::<()>(redis::cmd("SADD").arg(&held).arg(names(user_ids))).await?;
        self.command::<()>(redis::cmd("PEXPIRE").arg(&held).arg(86_400_000)).await
    }

    async fn hold_for(&self, user_ids: &[UserId], lease: Duration) -> Answers {
        self.who(user_ids, &self.scripts.hold, &[self.name.clone(), millis(lease)], PATIENCE, |n_before| n_before == 0)
            .await
    }

    /// Gives leases up. Answers who has none any more, from any process. Doing it again answers the same.
    pub async fn let_go(&self, user_ids: &[UserId]) -> Answers {
        if user_ids.is_empty() {
            return Answers::default();
        }
        let gone = self.let_go_of(&self.name, user_ids).await;
        let unanswered: HashSet<UserId> = gone.unanswered.iter().copied().collect();
        let done: Vec<UserId> = user_ids.iter().copied().filter(|id| !unanswered.contains(id)).collect();
        if done.is_empty() {
            return gone;
        }
        let erased = self.command::<()>(redis::cmd("SREM").arg(self.of_process(&self.name)).arg(names(&done))).await;
        match erased {
            Ok(()) => gone,
            Err(away) => Answers { so: gone.so, ..Answers::none(user_ids, away) },
        }
    }

    async fn let_go_of(&self, process: &str, user_ids: &[UserId]) -> Answers {
        self.who(user_ids, &self.scripts.let_go, &[process.to_owned()], PATIENCE, |n_left| n_left == 0).await
    }

    /// This process ends: its leases last no longer than `grace` from now, so that who comes back elsewhere was never
    /// away. Who does not is found by the others as if the process had died then.
    pub async fn shorten(&self, user_ids: &[UserId], grace: Duration) -> Result<(), Away> {
        let mut away = None;
        for chunk in user_ids.chunks(CHUNK) {
            away = self.hold_for(chunk, grace).await.away.or(away);
        }
        self.beat(grace).await?;
        away.map_or(Ok(()), Err)
    }

    /// Says that this process lives for so long.
    pub async fn beat(&self, life: Duration) -> Result<Beat, Away> {
        let arguments = [self.name.clone(), millis(life)];
        let (n_added, dead): (i64, Vec<String>) =
            self.run(&self.scripts.beat, self.of_all("processes"), &arguments, PATIENCE).await?;
        let died = |until: &str| {
            let until = until.parse::<f64>().unwrap_or_default() as i64;
            Timestamp(until - self.lease.as_millis() as i64)
        };
        // Names and scores in turn.
        let dead = dead.chunks_exact(2).map(|pair| (pair[0].clone(), died(&pair[1])));
        let dead = dead.filter(|(name, _)| *name != self.name).collect();
        Ok(Beat { is_new: n_added > 0, dead })
    }

    /// Takes some of the people whose leases a dead process held, and gives them up. Answers how many it took, and who
    /// of them has none any more; nobody once all are taken. Several processes may do this at once: each takes others.
    pub async fn bury(&self, process: &str) -> Result<(usize, Answers), Away> {
        let taken: Vec<String> = self.command(redis::cmd("SPOP").arg(self.of_process(process)).arg(CHUNK)).await?;
        if taken.is_empty() {
            self.command::<()>(redis::cmd("ZREM").arg(self.of_all("processes")).arg(process)).await?;
            return Ok((0, Answers::default()));
        }
        let user_ids: Vec<UserId> = taken.iter().filter_map(|name| user_of(name)).collect();
        let gone = self.let_go_of(process, &user_ids).await;
        if !gone.unanswered.is_empty() {
            // For whoever comes next.
            self.write_down(process, &gone.unanswered).await?;
        }
        Ok((taken.len(), gone))
    }

    /// Tells the other processes that people came or went: at most [`CHUNK`] at once.
    pub async fn note(&self, user_ids: &[UserId]) -> Result<(), Away> {
        self.put_down(names(user_ids)).await
    }

    /// Tells the other processes that people joined groups: at most [`CHUNK`] at once.
    pub async fn note_joined(&self, joined: &[Joined]) -> Result<(), Away> {
        let name = |new: &Joined| format!("{}@{}", new.user_id.0.simple(), new.group_id.0.simple());
        self.put_down(joined.iter().map(name).collect()).await
    }

    async fn put_down(&self, changes: Vec<String>) -> Result<(), Away> {
        let arguments: Vec<String> = std::iter::once(millis(MEMORY)).chain(changes).collect();
        self.run(&self.scripts.note, self.of_all("changes"), &arguments, PATIENCE).await
    }

    /// Who came or went, and who joined, since this was asked last, as far as anybody remembers.
    pub async fn changed(&self) -> Result<Changes, Away> {
        let mut known_until = self.known_until.lock().await;
        self.changed_since(&mut known_until).await
    }

    /// From here on [`Leases::changed`] tells what changes.
    pub async fn begin_to_follow(&self) {
        let mut known_until = self.known_until.lock().await;
        if known_until.is_none()
            && !self.is_resting()
            && let Err(away) = self.changed_since(&mut known_until).await
        {
            self.rest(&away);
        }
    }

    /// Nobody follows any more, unless `is_followed` after all.
    pub async fn end_to_follow(&self, is_followed: impl FnOnce() -> bool) {
        let mut known_until = self.known_until.lock().await;
        if known_until.is_some() && !is_followed() {
            *known_until = None;
        }
    }

    async fn changed_since(&self, known_until: &mut Option<i64>) -> Result<Changes, Away> {
        let from = known_until.map_or_else(|| "+inf".to_owned(), |since| since.to_string());
        let (now, changed): (i64, Vec<String>) =
            self.run(&self.scripts.since, self.of_all("changes"), &[from], PATIENCE).await?;
        *known_until = Some(now);
        Ok(Changes {
            people: changed.iter().filter_map(|name| user_of(name)).collect(),
            joined: changed.iter().filter_map(|name| joined_of(name)).collect(),
        })
    }

    /// Who among people is connected to some process. For requests: none when Redis does not answer soon.
    pub async fn online_among(&self, user_ids: &[UserId]) -> Option<HashSet<UserId>> {
        if user_ids.is_empty() {
            return Some(HashSet::new());
        }
        if self.is_resting() {
            return None;
        }
        let mut online = HashSet::new();
        for chunk in user_ids.chunks(CHUNK) {
            let none: &[String] = &[];
            match self.who(chunk, &self.scripts.count, none, SHORT_PATIENCE, |n_held| n_held > 0).await.complete() {
                Ok(found) => online.extend(found),
                Err(away) => {
                    self.rest(&away);
                    return None;
                }
            }
        }
        Some(online)
    }

    fn is_resting(&self) -> bool {
        self.resting_until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn rest(&self, away: &Away) {
        tracing::warn!(cause = %away, "Redis does not tell who is online");
        *self.resting_until.lock() = Some(Instant::now() + REST);
    }

    /// Runs a script for each of some people, and answers for whom its number is as wanted.
    async fn who(
        &self,
        user_ids: &[UserId],
        script: &Script,
        arguments: &[String],
        patience: Duration,
        is_wanted: impl Fn(i64) -> bool,
    ) -> Answers {
        let numbers = user_ids.iter().map(|id| self.run::<i64>(script, self.of_user(*id), arguments, patience));
        let mut answers = Answers::default();
        for (id, number) in user_ids.iter().zip(join_all(numbers).await) {
            match number {
                Ok(number) if is_wanted(number) => answers.so.push(*id),
                Ok(_) => {}
                Err(away) => {
                    answers.unanswered.push(*id);
                    answers.away = Some(away);
                }
            }
        }
        answers
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        key: String,
        arguments: &[String],
        patience: Duration,
    ) -> Result<T, Away> {
        let keys = [key];
        answered(timeout(patience, self.redis.run(script, &keys, arguments)).await)
    }

    async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        let mut connection = self.redis.connection();
        answered(timeout(PATIENCE, command.query_async(&mut connection)).await)
    }

    fn of_user(&self, user_id: UserId) -> String {
        self.redis.key("presence", user_id.0.simple())
    }

    fn of_process(&self, process: &str) -> String {
        self.redis.key("presence-held", process)
    }

    fn of_all(&self, what: &str) -> String {
        self.redis.key("presence-all", what)
    }
}

fn answered<T>(answer: Result<redis::RedisResult<T>, tokio::time::error::Elapsed>) -> Result<T, Away> {
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Away(error.to_string())),
        Err(_) => Err(Away("no answer in time".into())),
    }
}

fn names(user_ids: &[UserId]) -> Vec<String> {
    user_ids.iter().map(|id| id.0.simple().to_string()).collect()
}

fn user_of(name: &str) -> Option<UserId> {
    name.parse().ok().map(UserId)
}

fn joined_of(name: &str) -> Option<Joined> {
    let (user, group) = name.split_once('@')?;
    Some(Joined { user_id: user_of(user)?, group_id: group.parse().ok().map(ConversationId)? })
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
