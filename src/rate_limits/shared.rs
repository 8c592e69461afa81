//! Counting in Redis, for all processes together.

use std::time::Duration;

use parking_lot::Mutex;
use redis::RedisError;
use tokio::time::{Instant, timeout};

use super::{Action, Budget, Rule, Rules};
use crate::redis::{Redis, Script};

/// How long a request waits for Redis before the process counts by itself.
pub const PATIENCE: Duration = Duration::from_millis(50);
/// How long Redis is left alone after it did not answer.
const REST: Duration = Duration::from_secs(1);

pub(super) struct Shared {
    redis: Redis,
    script: Script,
    rules: Rules,
    resting_until: Mutex<Option<Instant>>,
}

impl Shared {
    pub fn new(redis: Redis, rules: Rules) -> Self {
        Self { redis, script: Script::new(include_str!("gcra.lua")), rules, resting_until: Mutex::new(None) }
    }

    /// Counts one; else tells how long to wait. `None`: Redis does not answer.
    pub async fn check(&self, action: Action, subject: &str) -> Option<Result<Budget, Duration>> {
        self.run(action, subject, 1, false, PATIENCE).await
    }

    /// Takes one back. `None`: Redis does not answer.
    pub async fn refund(&self, action: Action, subject: &str) -> Option<()> {
        self.run(action, subject, -1, false, PATIENCE).await.map(|_| ())
    }

    /// Counts what has happened already, or takes back (`amount` below zero), and says what is left.
    pub async fn debit(&self, action: Action, subject: &str, amount: i64) -> Option<Budget> {
        // Nobody waits for this.
        self.run(action, subject, amount, true, PATIENCE * 10).await?.ok()
    }

    async fn run(
        &self,
        action: Action,
        subject: &str,
        amount: i64,
        has_happened: bool,
        patience: Duration,
    ) -> Option<Result<Budget, Duration>> {
        if self.resting_until.lock().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let rule = self.rules.of(action)?;
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let key = self.redis.key("rate", format_args!("{}:{subject}", action.name()));
        let arguments = [micros(rule.interval()).max(1), micros(rule.period), amount, has_happened.into()];
        let keys = [key];
        let cause = match timeout(patience, self.redis.run::<(i64, i64)>(&self.script, &keys, &arguments)).await {
            Ok(Ok((0, full_in))) => return Some(Ok(budget(rule, Duration::from_micros(full_in.unsigned_abs())))),
            Ok(Ok((wait, _))) => return Some(Err(Duration::from_micros(wait.unsigned_abs()))),
            Ok(Err(error)) => RedisError::to_string(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(cause, "Redis does not count: the process counts by itself");
        *self.resting_until.lock() = Some(Instant::now() + REST);
        None
    }
}

/// What is left when the allowance is full in this time.
pub(super) fn budget(rule: Rule, full_in: Duration) -> Budget {
    let left = rule.period.saturating_sub(full_in).as_nanos() / rule.interval().as_nanos().max(1);
    Budget { remaining: u32::try_from(left).unwrap_or(u32::MAX).min(rule.limit), full_in }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::process::{Child, Command};

    use super::*;
    use crate::redis::RedisUrl;

    /// A Redis of this test's own; `None` on a machine without one.
    async fn start_redis() -> Option<(Child, u16)> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let server = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(server) = server else {
            eprintln!("not run: there is no redis-server here");
            return None;
        };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some((server, port));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not listen");
    }

    async fn connect(port: u16) -> Shared {
        let url = RedisUrl::parse(&format!("redis://127.0.0.1:{port}")).expect("a URL");
        Shared::new(Redis::open(&url, "kith-test").expect("a client"), Rules::default())
    }

    #[tokio::test]
    async fn processes_count_together() {
        let Some((_server, port)) = start_redis().await else { return };
        let (one, other) = (connect(port).await, connect(port).await);
        // The slowest to refill, so that the test's own time does not count.
        for idx in 0..100 {
            let shared = if idx % 2 == 0 { &one } else { &other };
            let verdict = shared.check(Action::Register, "192.0.2.7").await;
            let Some(Ok(budget)) = verdict else { panic!("{idx}: {verdict:?}") };
            assert_eq!(budget.remaining, 99 - idx, "{idx}");
        }
        for shared in [&one, &other] {
            let verdict = shared.check(Action::Register, "192.0.2.7").await;
            let Some(Err(wait)) = verdict else { panic!("one too many: {verdict:?}") };
            assert!(wait > Duration::from_secs(25) && wait <= Duration::from_secs(36), "{wait:?}");
        }
        assert!(matches!(one.check(Action::Register, "192.0.2.8").await, Some(Ok(_))));
        one.refund(Action::Register, "192.0.2.7").await.expect("an answer");
        assert!(matches!(other.check(Action::Register, "192.0.2.7").await, Some(Ok(Budget { remaining: 0, .. }))));
        assert!(matches!(other.check(Action::Register, "192.0.2.7").await, Some(Err(_))));

        let mut connection = one.redis.connection();
        let life: i64 = redis::cmd("PTTL")
            .arg("kith-test:rate:{REGISTER:192.0.2.7}")
            .query_async(&mut connection)
            .await
            .expect("an answer");
        assert!(life > 3_500_000 && life <= 3_600_000, "the key dies by itself: {life}");
    }

    #[tokio::test]
    async fn what_is_taken_back_leaves_nothing_behind() {
        let Some((_server, port)) = start_redis().await else { return };
        let shared = connect(port).await;
        shared.refund(Action::SignIn, "ann").await.expect("an answer");
        shared.check(Action::SignIn, "ann").await.expect("an answer").expect("allowed");
        shared.refund(Action::SignIn, "ann").await.expect("an answer");
        let mut connection = shared.redis.connection();
        let n_keys: i64 = redis::cmd("DBSIZE").query_async(&mut connection).await.expect("an answer");
        assert_eq!(n_keys, 0);
    }

    #[tokio::test]
    async fn a_slow_or_dead_redis_is_not_waited_for() {
        let Some((mut server, port)) = start_redis().await else { return };
        let shared = connect(port).await;
        assert!(matches!(shared.check(Action::SignIn, "ann").await, Some(Ok(_))));

        let mut connection = connect(port).await.redis.connection();
        let pause = redis::cmd("CLIENT").arg("PAUSE").arg(60_000).exec_async(&mut connection).await;
        pause.expect("an answer");
        let start = Instant::now();
        assert_eq!(shared.check(Action::SignIn, "ann").await, None, "slow");
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
        let start = Instant::now();
        assert_eq!(shared.check(Action::SignIn, "ann").await, None, "left alone");
        assert!(start.elapsed() < Duration::from_millis(20), "{:?}", start.elapsed());

        server.kill().await.expect("stops");
        *shared.resting_until.lock() = None;
        let start = Instant::now();
        assert_eq!(shared.check(Action::SignIn, "ann").await, None, "dead");
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    }
}
