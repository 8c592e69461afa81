//! All that a test owns.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

use super::{
    backend::{Backend, postgres_url, redis_url},
    redis::RedisCluster,
    rng::{Rng, seed, unpredictable},
    server::{Options, Server},
    wait::within,
};

/// No story takes longer.
const LONGEST_STORY: Duration = Duration::from_secs(120);

pub struct World {
    pub backend: Backend,
    /// `sqlite://…` or `postgres://…`.
    pub database_url: String,
    /// The shared Redis of the test run; none on SQLite.
    pub redis_url: Option<String>,
    /// Prefix of this world's Redis keys and channels.
    pub redis_prefix: String,
    /// Signs the access tokens of every server in this world.
    pub jwt_secret: String,
    /// On a Redis Cluster, its nodes.
    pub cluster: Option<tokio::sync::Mutex<RedisCluster>>,
    /// Where [`World::rng`] starts.
    pub seed: u64,
    dir: TempDir,
    n_files: AtomicUsize,
}

/// Runs a story in a new world, and cleans up. When it fails, prints what the servers logged.
pub fn tell(backend: Backend, story: impl AsyncFnOnce(&World)) {
    tell_in(backend, false, story);
}

/// As [`tell`], on PostgreSQL and a Redis Cluster of three nodes, which is the world's own.
pub fn tell_on_cluster(story: impl AsyncFnOnce(&World)) {
    tell_in(Backend::Full, true, story);
}

fn tell_in(backend: Backend, on_cluster: bool, story: impl AsyncFnOnce(&World)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let world = runtime.block_on(World::new(backend, on_cluster));
    println!("seed {} ({backend:?})", world.seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(within(LONGEST_STORY, "the end of the story", story(&world)));
    }));
    if outcome.is_err() {
        world.print_logs();
    }
    let cleaned = catch_unwind(AssertUnwindSafe(|| runtime.block_on(world.end())));
    // The first failure is the one to tell.
    outcome.and(cleaned).unwrap_or_else(|failure| resume_unwind(failure));
}

impl World {
    async fn new(backend: Backend, on_cluster: bool) -> Self {
        let dir = tempfile::Builder::new().prefix("kith-test-").tempdir().expect("a temporary directory can be made");
        let name = format!("kith_test_{:016x}", unpredictable());
        let cluster = if on_cluster {
            let nodes = dir.path().join("cluster");
            std::fs::create_dir(&nodes).expect("a directory can be made");
            Some(RedisCluster::start(&nodes).await)
        } else {
            None
        };
        let (database_url, redis_url) = match backend {
            Backend::Sqlite => (format!("sqlite://{}", dir.path().join("kith.db").display()), None),
            Backend::Full => {
                let postgres = postgres_url();
                administer(&postgres, &format!("CREATE DATABASE {name}")).await;
                let mut url = url::Url::parse(&postgres).expect("KITH_TEST_POSTGRES_URL is a URL");
                url.set_path(&name);
                let redis = match &cluster {
                    Some(cluster) => cluster.url(),
                    None => redis_url(),
                };
                (url.into(), Some(redis))
            }
        };
        Self {
            backend,
            database_url,
            redis_url,
            redis_prefix: name,
            jwt_secret: format!("a secret of the world {:016x}{:016x}", unpredictable(), unpredictable()),
            seed: seed(),
            cluster: cluster.map(tokio::sync::Mutex::new),
            dir,
            n_files: AtomicUsize::new(0),
        }
    }

    /// A server with the usual settings: rate limits off, migrations done, ready.
    pub async fn server(&self) -> Server {
        self.server_with(Options::default()).await
    }

    pub async fn server_with(&self, options: Options) -> Server {
        Server::start(self, options).await
    }

    /// Runs the program once, e.g. `kith migrate`, with this world's settings.
    pub async fn kith(&self, arguments: &[&str], options: Options) -> Output {
        let mut command = options.command(self);
        command.args(arguments).kill_on_drop(true);
        within(Duration::from_secs(30), "the program to end", command.output()).await.expect("the program can be run")
    }

    /// Chance that can be played again.
    pub fn rng(&self) -> Rng {
        Rng::new(self.seed)
    }

    /// A connection to this world's database, for looking behind the curtain.
    pub async fn database(&self) -> DatabaseConnection {
        let mut url = self.database_url.clone();
        if self.backend == Backend::Sqlite {
            url.push_str("?mode=rwc");
        }
        let mut options = sea_orm::ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        Database::connect(options).await.expect("the database can be reached")
    }

    /// Changes what no client can change, e.g. when an invite expires.
    pub async fn sql(&self, statement: &str) {
        let database = self.database().await;
        database.execute_unprepared(statement).await.expect("the statement is accepted");
        database.close().await.expect("closes");
    }

    /// Makes everybody whose name begins so a member of the only conversation that there is, as if it were a group.
    pub async fn all_join(&self, prefix: &str) {
        self.sql(&format!(
            r#"INSERT INTO member (conversation_id, user_id, role, joined_at, last_read_sequence)
               SELECT c.id, u.id, 'member', 0, 0 FROM conversation c, "user" u WHERE u.username LIKE '{prefix}%'"#
        ))
        .await;
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &str) -> i64 {
        self.count_where(table, "TRUE").await
    }

    /// How many rows of a table are so.
    pub async fn count_where(&self, table: &str, condition: &str) -> i64 {
        let database = self.database().await;
        let statement = Statement::from_string(
            database.get_database_backend(),
            format!(r#"SELECT count(*) FROM "{table}" WHERE {condition}"#),
        );
        let row = database.query_one_raw(statement).await.expect("the table can be read").expect("a row");
        database.close().await.expect("closes");
        row.try_get_by_index(0).expect("a number")
    }

    /// The path of a new file in the world's directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{}-{name}", self.n_files.fetch_add(1, Ordering::Relaxed)))
    }

    /// The world's directory: the working directory of its servers.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn print_logs(&self) {
        let mut logs: Vec<PathBuf> = std::fs::read_dir(self.dir.path())
            .expect("the directory is there")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        logs.sort();
        for log in logs {
            let text = String::from_utf8_lossy(&std::fs::read(&log).expect("the log can be read")).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            println!("---- {} (last lines)", log.display());
            for line in &lines[lines.len().saturating_sub(150)..] {
                println!("{line}");
            }
        }
    }

    async fn end(self) {
        if self.backend == Backend::Full {
            let name = &self.redis_prefix;
            administer(&postgres_url(), &format!("DROP DATABASE {name} WITH (FORCE)")).await;
            forget_keys(&redis_url(), name).await;
        }
        self.dir.close().expect("the temporary directory can be removed");
    }
}

async fn administer(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.expect("PostgreSQL of KITH_TEST_POSTGRES_URL can be reached");
    connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("PostgreSQL does as told");
    connection.close().await.expect("closes");
}

/// Removes what a world left in the shared Redis.
async fn forget_keys(url: &str, prefix: &str) {
    let client = redis::Client::open(url).expect("KITH_TEST_REDIS_URL is a URL");
    let mut connection =
        client.get_multiplexed_async_connection().await.expect("Redis of KITH_TEST_REDIS_URL can be reached");
    let mut cursor = 0u64;
    loop {
        let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(1000)
            .query_async(&mut connection)
            .await
            .expect("Redis lists keys");
        if !keys.is_empty() {
            let _: () = redis::cmd("UNLINK").arg(keys).query_async(&mut connection).await.expect("Redis forgets keys");
        }
        cursor = next;
        if cursor == 0 {
            return;
        }
    }
}
