//! Counting in Redis, for all processes together.

use std::time::Duration;

use parking_lot::Mutex;
use redis::{RedisError, Script, aio::ConnectionManager};
use tokio::time::{Instant, timeout};

use super::Action;

/// How long a request waits for Redis before the process counts by itself.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long Redis is left alone after it did not answer.
const REST: Duration = Duration::from_secs(1);

pub(super) struct Shared {
    connection: ConnectionManager,
    script: Script,
    prefix: String,
    resting_until: Mutex<Option<Instant>>,
}

impl Shared {
    pub fn new(connection: ConnectionManager, prefix: &str) -> Self {
        Self {
            connection,
            script: Script::new(include_str!("gcra.lua")),
            prefix: format!("{prefix}:rate:"),
            resting_until: Mutex::new(None),
        }
    }

    /// Counts one; else tells how long to wait. `None`: Redis does not answer.
    pub async fn check(&self, action: Action, subject: &str) -> Option<Result<(), Duration>> {
        match self.run(action, subject, 1).await? {
            0 => Some(Ok(())),
            wait => Some(Err(Duration::from_micros(wait))),
        }
    }

    /// Takes one back. `None`: Redis does not answer.
    pub async fn refund(&self, action: Action, subject: &str) -> Option<()> {
        self.run(action, subject, -1).await.map(|_| ())
    }

    async fn run(&self, action: Action, subject: &str, amount: i32) -> Option<u64> {
        if self.resting_until.lock().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let rule = action.rule();
        let mut invocation = self.script.prepare_invoke();
        invocation
            .key(format!("{}{}:{subject}", self.prefix, rule.name))
            .arg(rule.interval.as_micros() as u64)
            .arg((rule.interval * rule.burst).as_micros() as u64)
            .arg(amount);
        let mut connection = self.connection.clone();
        let cause = match timeout(PATIENCE, invocation.invoke_async(&mut connection)).await {
            Ok(Ok(wait)) => return Some(wait),
            Ok(Err(error)) => RedisError::to_string(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(cause, "Redis does not count: the process counts by itself");
        *self.resting_until.lock() = Some(Instant::now() + REST);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use redis::aio::ConnectionManagerConfig;
    use tokio::process::{Child, Command};

    use super::*;

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
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a URL");
        let config = ConnectionManagerConfig::new().set_number_of_retries(1);
        let connection = ConnectionManager::new_with_config(client, config).await.expect("connects");
        Shared::new(connection, "kith-test")
    }

    #[tokio::test]
    async fn processes_count_together() {
        let Some((_server, port)) = start_redis().await else { return };
        let (one, other) = (connect(port).await, connect(port).await);
        // The slowest to refill, so that the test's own time does not count.
        for idx in 0..100 {
            let shared = if idx % 2 == 0 { &one } else { &other };
            assert_eq!(shared.check(Action::Register, "192.0.2.7").await, Some(Ok(())), "{idx}");
        }
        for shared in [&one, &other] {
            let verdict = shared.check(Action::Register, "192.0.2.7").await;
            let Some(Err(wait)) = verdict else { panic!("one too many: {verdict:?}") };
            assert!(wait > Duration::from_secs(25) && wait <= Duration::from_secs(36), "{wait:?}");
        }
        assert_eq!(one.check(Action::Register, "192.0.2.8").await, Some(Ok(())));
        one.refund(Action::Register, "192.0.2.7").await.expect("an answer");
        assert_eq!(other.check(Action::Register, "192.0.2.7").await, Some(Ok(())));
        assert!(matches!(other.check(Action::Register, "192.0.2.7").await, Some(Err(_))));

        let mut connection = one.connection.clone();
        let life: i64 = redis::cmd("PTTL")
            .arg("kith-test:rate:register:192.0.2.7")
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
        let mut connection = shared.connection.clone();
        let n_keys: i64 = redis::cmd("DBSIZE").query_async(&mut connection).await.expect("an answer");
        assert_eq!(n_keys, 0);
    }

    #[tokio::test]
    async fn a_slow_or_dead_redis_is_not_waited_for() {
        let Some((mut server, port)) = start_redis().await else { return };
        let shared = connect(port).await;
        assert_eq!(shared.check(Action::SignIn, "ann").await, Some(Ok(())));

        let mut connection = connect(port).await.connection;
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
