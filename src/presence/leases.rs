//! Who is connected to any process: leases in Redis, by the time of Redis.
//!
//! | key | what |
//! | --- | --- |
//! | `…:presence:{user}` | the processes that have connections of somebody, by when each lease ends |
//! | `…:presence:held:{process}` | the people whose leases a process holds |
//! | `…:presence:processes` | the processes, by when each is taken for dead |
//! | `…:presence:changes` | who came or went lately, by when |
//!
//! Each script touches one key, so that it runs on one node of a cluster; what belongs together travels in one
//! pipeline. Nothing waits for Redis for longer than [`PATIENCE`], and what did not get through is tried again.

use std::{collections::HashSet, time::Duration};

use entity::{Timestamp, UserId};
use parking_lot::Mutex;
use redis::{Pipeline, aio::ConnectionManager};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::clock::random_bytes;

/// How long Redis may take to answer a background task.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a request waits for Redis before it is answered from what this process knows.
const SHORT_PATIENCE: Duration = Duration::from_millis(250);
/// How long requests leave Redis alone after it did not answer.
const REST: Duration = Duration::from_secs(1);
/// People in one pipeline.
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

/// Says that a process lives for some time. Answers the time, and the dead with when they were to be.
const BEAT: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 86400000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 100)";

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
    redis: ConnectionManager,
    prefix: String,
    /// This process.
    name: String,
    /// How long a lease lasts.
    lease: Duration,
    /// Changes up to here are known, in microseconds of Redis.
    known_until: tokio::sync::Mutex<Option<i64>>,
    resting_until: Mutex<Option<Instant>>,
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
    pub fn new(redis: ConnectionManager, prefix: &str, lease: Duration) -> Self {
        let name = Uuid::from_bytes(random_bytes()).simple().to_string();
        Self {
            redis,
            prefix: format!("{prefix}:presence"),
            name,
            lease,
            known_until: Default::default(),
            resting_until: Mutex::default(),
        }
    }

    /// Holds leases for people, new ones or longer ones. Answers who had none before, from any process.
    pub async fn hold(&self, user_ids: &[UserId]) -> Result<Vec<UserId>, Away> {
        if user_ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for user_id in user_ids {
            self.script(&mut pipeline, HOLD, &self.of_user(*user_id)).arg(&self.name).arg(millis(self.lease));
        }
        let held = self.of_process(&self.name);
        pipeline.cmd("SADD").arg(&held).arg(names(user_ids)).ignore();
        pipeline.cmd("PEXPIRE").arg(&held).arg(86_400_000).ignore();
        let n_before: Vec<i64> = self.ask(&pipeline, PATIENCE).await?;
        Ok(user_ids.iter().zip(n_before).filter(|(_, n)| *n == 0).map(|(id, _)| *id).collect())
    }

    /// Gives leases up. Answers who has none any more, from any process.
    pub async fn let_go(&self, user_ids: &[UserId]) -> Result<Vec<UserId>, Away> {
        if user_ids.is_empty() {
            return Ok(Vec::new());
        }
        let gone = self.let_go_of(&self.name, user_ids).await?;
        let mut pipeline = redis::pipe();
        pipeline.cmd("SREM").arg(self.of_process(&self.name)).arg(names(user_ids)).ignore();
        self.ask::<()>(&pipeline, PATIENCE).await?;
        Ok(gone)
    }

    async fn let_go_of(&self, process: &str, user_ids: &[UserId]) -> Result<Vec<UserId>, Away> {
        let mut pipeline = redis::pipe();
        for user_id in user_ids {
            self.script(&mut pipeline, LET_GO, &self.of_user(*user_id)).arg(process);
        }
        let n_left: Vec<i64> = self.ask(&pipeline, PATIENCE).await?;
        Ok(user_ids.iter().zip(n_left).filter(|(_, n)| *n == 0).map(|(id, _)| *id).collect())
    }

    /// This process ends: its leases last no longer than `grace` from now, so that who comes back elsewhere was never
    /// away. Who does not is found by the others as if the process had died then.
    pub async fn shorten(&self, user_ids: &[UserId], grace: Duration) -> Result<(), Away> {
        for chunk in user_ids.chunks(CHUNK) {
            let mut pipeline = redis::pipe();
            for user_id in chunk {
                self.script(&mut pipeline, HOLD, &self.of_user(*user_id)).arg(&self.name).arg(millis(grace));
                pipeline.ignore();
            }
            self.ask::<()>(&pipeline, PATIENCE).await?;
        }
        self.beat(grace).await?;
        Ok(())
    }

    /// Says that this process lives for so long, and answers which processes are dead, with when each was last alive.
    pub async fn beat(&self, life: Duration) -> Result<Vec<(String, Timestamp)>, Away> {
        let mut pipeline = redis::pipe();
        self.script(&mut pipeline, BEAT, &self.key("processes")).arg(&self.name).arg(millis(life));
        let (dead,): (Vec<(String, f64)>,) = self.ask(&pipeline, PATIENCE).await?;
        let died = |until: f64| Timestamp(until as i64 - self.lease.as_millis() as i64);
        Ok(dead.into_iter().filter(|(name, _)| *name != self.name).map(|(name, at)| (name, died(at))).collect())
    }

    /// Takes some of the people whose leases a dead process held, and gives them up. Answers whom it held, and who of
    /// them has none any more; nobody once all are taken. Several processes may do this at once: each takes others.
    pub async fn bury(&self, process: &str) -> Result<(usize, Vec<UserId>), Away> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("SPOP").arg(self.of_process(process)).arg(CHUNK);
        let (taken,): (Vec<String>,) = self.ask(&pipeline, PATIENCE).await?;
        if taken.is_empty() {
            let mut pipeline = redis::pipe();
            pipeline.cmd("ZREM").arg(self.key("processes")).arg(process).ignore();
            self.ask::<()>(&pipeline, PATIENCE).await?;
            return Ok((0, Vec::new()));
        }
        let user_ids: Vec<UserId> = taken.iter().filter_map(|name| user_of(name)).collect();
        Ok((taken.len(), self.let_go_of(process, &user_ids).await?))
    }

    /// Tells the other processes that people came or went.
    pub async fn note(&self, user_ids: &[UserId]) -> Result<(), Away> {
        for chunk in user_ids.chunks(CHUNK) {
            let mut pipeline = redis::pipe();
            self.script(&mut pipeline, NOTE, &self.key("changes")).arg(millis(MEMORY)).arg(names(chunk));
            pipeline.ignore();
            self.ask::<()>(&pipeline, PATIENCE).await?;
        }
        Ok(())
    }

    /// Who came or went since this was asked last, as far as anybody remembers.
    pub async fn changed(&self) -> Result<Vec<UserId>, Away> {
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

    async fn changed_since(&self, known_until: &mut Option<i64>) -> Result<Vec<UserId>, Away> {
        let mut pipeline = redis::pipe();
        let from = known_until.map_or_else(|| "+inf".to_owned(), |since| since.to_string());
        self.script(&mut pipeline, SINCE, &self.key("changes")).arg(from);
        let ((now, changed),): ((i64, Vec<String>),) = self.ask(&pipeline, PATIENCE).await?;
        *known_until = Some(now);
        Ok(changed.iter().filter_map(|name| user_of(name)).collect())
    }

    /// Who among people is connected to some process. For requests: none when Redis does not answer soon.
    pub async fn online_among(&self, user_ids: &[UserId]) -> Option<HashSet<UserId>> {
        if self.is_resting() {
            return None;
        }
        let mut online = HashSet::new();
        for chunk in user_ids.chunks(CHUNK) {
            match self.count(chunk, SHORT_PATIENCE).await {
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

    async fn count(&self, user_ids: &[UserId], patience: Duration) -> Result<Vec<UserId>, Away> {
        let mut pipeline = redis::pipe();
        for user_id in user_ids {
            self.script(&mut pipeline, COUNT, &self.of_user(*user_id));
        }
        let n_held: Vec<i64> = self.ask(&pipeline, patience).await?;
        Ok(user_ids.iter().zip(n_held).filter(|(_, n)| *n > 0).map(|(id, _)| *id).collect())
    }

    /// Adds a script to a pipeline. They are short: sending the text each time saves the case of a Redis that has
    /// forgotten it, and it works on every node of a cluster.
    fn script<'a>(&self, pipeline: &'a mut Pipeline, script: &str, key: &str) -> &'a mut Pipeline {
        pipeline.cmd("EVAL").arg(script).arg(1).arg(key)
    }

    async fn ask<T: redis::FromRedisValue>(&self, pipeline: &Pipeline, patience: Duration) -> Result<T, Away> {
        let mut redis = self.redis.clone();
        match timeout(patience, pipeline.query_async(&mut redis)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Away(error.to_string())),
            Err(_) => Err(Away("no answer in time".into())),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    fn of_user(&self, user_id: UserId) -> String {
        format!("{}:{{{}}}", self.prefix, user_id.0.simple())
    }

    fn of_process(&self, process: &str) -> String {
        format!("{}:held:{{{process}}}", self.prefix)
    }
}

fn names(user_ids: &[UserId]) -> Vec<String> {
    user_ids.iter().map(|id| id.0.simple().to_string()).collect()
}

fn user_of(name: &str) -> Option<UserId> {
    name.parse().ok().map(UserId)
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
