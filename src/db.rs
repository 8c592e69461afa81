//! The database: one writer and a few readers on SQLite; on PostgreSQL one pool, and another of the committer's lanes.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use migration::{Migrator, MigratorTrait};
use parking_lot::Mutex;
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, SqlxPostgresConnector,
    SqlxSqliteConnector, Statement, TransactionTrait,
};
use secrecy::ExposeSecret;
use sqlx::{
    ConnectOptions, Connection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::random_bytes,
    config::{DatabaseUrl, StorageConfig},
    error::Error,
    messages::committer::sqlite::PREPARE as PREPARE_COMMIT,
};

/// How long a request waits for a connection: the database being away is told within 2 s.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How often PostgreSQL is asked whether it is there, and how long it may take to say so.
const HEALTH_INTERVAL: Duration = Duration::from_millis(250);
const HEALTH_LIMIT: Duration = Duration::from_secs(1);

/// How long the committer waits for the rows of a batch. A batch that waits in vain is tried once more in parts, and the
/// next one in its lane has waited for that and is tried in parts as well. So where one row is held, who sends is told
/// after four times this at the latest.
const LANE_LOCK_TIMEOUT: &str = "800";

/// The advisory lock of whoever migrates: "kith" as bytes.
const MIGRATION_LOCK: i64 = 0x6b69_7468;

/// Connections that only read, on SQLite.
const SQLITE_READERS: u32 = 4;

/// Keys that one statement asks for part by part: SQLite takes 500 parts of a UNION, and 1000 of an OR.
pub const MAX_PARTS: usize = 400;

/// Where everything durable is.
#[derive(Clone, Debug)]
pub struct Db {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    /// Where the committer writes.
    lanes: DatabaseConnection,
    /// Whether PostgreSQL answers; none on SQLite, which is always there.
    health: Option<Arc<Health>>,
    /// Keeps a second process away from an SQLite file, as long as this one lives.
    _lock: Option<Arc<File>>,
}

/// How the migrations that were applied to a database and those of this program compare.
#[derive(Clone, Debug)]
pub struct Migrations {
    /// How many this program knows and the database lacks.
    pub n_pending: usize,
    /// Those that a newer version of the program has applied. It may run beside this one, or have been rolled back: the
    /// code of the release before runs on the new schema.
    pub unknown: Vec<String>,
}

/// Begins a transaction of PostgreSQL that may be given up at any moment.
///
/// In a task of its own: sqlx 0.9 gives a connection whose BEGIN was under way when its future was dropped back to the
/// pool inside of that transaction, and what is written over it next would never be committed.
pub async fn begin_postgres(pool: &PgPool) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin().await }).await;
    begun.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))?
}

impl Db {
    pub async fn connect(config: &StorageConfig) -> Result<Self, Error> {
        match &config.database_url {
            DatabaseUrl::Sqlite(path) => {
                let lock = lock_file(path)?;
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    // An answered send is on the disk.
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(2))
                    .foreign_keys(true)
                    .pragma("temp_store", "memory")
                    // 64 MiB of pages at most.
                    .pragma("cache_size", "-65536")
                    // Copying the log into the file waits for the disk too: less often, and more at once.
                    .pragma("wal_autocheckpoint", "8000");
                let pool = |connections| {
                    SqlitePoolOptions::new()
                        .max_connections(connections)
                        .min_connections(1)
                        .acquire_timeout(ACQUIRE_TIMEOUT)
                        .test_before_acquire(false)
                        .idle_timeout(None)
                        .max_lifetime(None)
                };
                let writer = pool(1)
                    .after_connect(|connection, _| {
                        Box::pin(async { sqlx::raw_sql(PREPARE_COMMIT).execute(connection).await.map(drop) })
                    })
                    .connect_with(options.clone())
                    .await?;
                let reader = pool(SQLITE_READERS).connect_with(options.pragma("query_only", "on")).await?;
                let writer = SqlxSqliteConnector::from_sqlx_sqlite_pool(writer);
                Ok(Self {
                    lanes: writer.clone(),
                    writer,
                    reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
                    health: None,
                    _lock: Some(Arc::new(lock)),
                })
            }
            DatabaseUrl::Postgres(url) => {
                let options = PgConnectOptions::from_str(url.expose_secret())?.application_name("kith").options([
                    ("statement_timeout", "5000"),
                    ("lock_timeout", "2000"),
                    // A process that stopped in the middle of a verb must not hold its locks for ever.
                    ("idle_in_transaction_session_timeout", "5000"),
                    ("jit", "off"),
                ]);
                let health = Arc::new(Health::new(options.clone()));
                let pool = |connections| {
                    let health = Arc::clone(&health);
                    PgPoolOptions::new()
                        .max_connections(connections)
                        .acquire_timeout(ACQUIRE_TIMEOUT)
                        // A ping before each statement would double its cost; a dead connection shows itself.
                        .test_before_acquire(false)
                        // A connection from before an outage may be dead without knowing it.
                        .before_acquire(move |_, metadata| {
                            let is_younger = health.is_younger_than_outage(metadata.age);
                            Box::pin(std::future::ready(Ok(is_younger)))
                        })
                };
                let all = pool(config.connections.get()).connect_with(options.clone()).await?;
                // A pool lends its connections in turn, and each has to plan a batch, and to warm the processor's
                // caches up, for itself: so the lanes have as many as they need and no more.
                let lanes = pool(config.commit_lanes.max(1).into())
                    .connect_lazy_with(options.options([("lock_timeout", LANE_LOCK_TIMEOUT)]));
                let all = SqlxPostgresConnector::from_sqlx_postgres_pool(all);
                let lanes = SqlxPostgresConnector::from_sqlx_postgres_pool(lanes);
                let db = Self { writer: all.clone(), reader: all, lanes, health: Some(health), _lock: None };
                db.refuse_unsafe_postgres().await?;
                Ok(db)
            }
        }
    }

    /// Where to read outside of a transaction. Always the primary: what was answered is seen.
    pub fn read(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// Begins a transaction that writes. On SQLite it has the only writer from here on. Verbs use
    /// [`crate::events::Transaction`], which is the only road to the event log and the bus.
    pub async fn begin(&self) -> Result<DatabaseTransaction, Error> {
        // In a task of its own: see [`begin_postgres`].
        let writer = self.writer.clone();
        let tx = tokio::spawn(async move { writer.begin().await }).await.map_err(Error::internal)?;
        Ok(tx?)
    }

    pub fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// The committer's own: see [`crate::messages::committer`].
    pub fn lanes(&self) -> &DatabaseConnection {
        &self.lanes
    }

    pub fn is_postgres(&self) -> bool {
        self.writer.get_database_backend() == DatabaseBackend::Postgres
    }

    /// Brings the schema up to date. Processes that start together do it one after the other. Where a newer version has
    /// been before, everything of this one is there: that is no failure.
    pub async fn migrate(&self) -> Result<(), Error> {
        if !self.is_postgres() {
            return self.migrate_alone().await;
        }
        let mut connection = self.writer.get_postgres_connection_pool().acquire().await?;
        sqlx::raw_sql("SET statement_timeout = 0; SET lock_timeout = 0").execute(&mut *connection).await?;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(MIGRATION_LOCK).execute(&mut *connection).await?;
        let migrated = self.migrate_alone().await;
        // Closing gives the lock back, whatever happened.
        connection.close().await?;
        migrated
    }

    async fn migrate_alone(&self) -> Result<(), Error> {
        let Migrations { n_pending, unknown } = self.migrations().await?;
        // With migrations that it does not know the migrator does nothing; it says so where it should do something.
        if n_pending > 0 || unknown.is_empty() {
            Migrator::up(&self.writer, None).await?;
        }
        Ok(())
    }

    /// Asks PostgreSQL whether it answers, again and again, until told to stop.
    pub async fn watch(self, stop: CancellationToken) {
        if let Some(health) = self.health {
            tokio::select! {
                () = stop.cancelled() => {}
                () = health.watch() => {}
            }
        }
    }

    /// Returns when the database does not answer: what waits for it need not wait any longer.
    pub async fn is_away(&self) {
        match &self.health {
            Some(health) => {
                let mut away = health.away.subscribe();
                // The sender lives as long as we do.
                let _ = away.wait_for(|away| *away).await;
            }
            None => std::future::pending().await,
        }
    }

    /// How the database's migrations and those of this program compare.
    pub async fn migrations(&self) -> Result<Migrations, Error> {
        let known: Vec<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
        let applied = Migrator::get_migration_models(&self.writer).await?;
        let applied: Vec<String> = applied.into_iter().map(|row| row.version).collect();
        Ok(Migrations {
            n_pending: known.iter().filter(|name| !applied.contains(name)).count(),
            unknown: applied.into_iter().filter(|name| !known.contains(name)).collect(),
        })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        Ok(self.reader.ping().await?)
    }

    /// An id that the database got when it was made. Cursors carry it, so that one from another
    /// database is recognised.
    pub async fn epoch(&self) -> Result<String, Error> {
        let statement = Statement::from_string(self.reader.get_database_backend(), "SELECT epoch FROM instance");
        let row = self.reader.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| Error::internal("the table `instance` is empty"))?;
        Ok(row.try_get_by_index(0)?)
    }

    /// Gives the database a new epoch: it is another one than before, restored from a backup.
    pub async fn renew_epoch(&self) -> Result<(), Error> {
        let epoch = random_bytes::<6>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let statement = Statement::from_sql_and_values(
            self.writer.get_database_backend(),
            "UPDATE instance SET epoch = $1",
            [epoch.into()],
        );
        self.writer.execute_raw(statement).await?;
        Ok(())
    }

    /// An answered send must be on the disk: refuses to work where PostgreSQL is set up not to care.
    async fn refuse_unsafe_postgres(&self) -> Result<(), Error> {
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let statement = Statement::from_string(DatabaseBackend::Postgres, format!("SHOW {setting}"));
            let row = self.reader.query_one_raw(statement).await?;
            let value: String = row.ok_or_else(|| Error::internal("SHOW gave no row"))?.try_get_by_index(0)?;
            if value == "off" {
                return Err(Error::internal(format!("PostgreSQL has {setting}=off: answered messages could be lost")));
            }
        }
        Ok(())
    }
}

/// Whether PostgreSQL answers, by a connection of its own.
#[derive(Debug)]
struct Health {
    options: PgConnectOptions,
    away: watch::Sender<bool>,
    /// When it was last seen to be away.
    last_away: Mutex<Option<Instant>>,
}

impl Health {
    fn new(options: PgConnectOptions) -> Self {
        Self { options, away: watch::Sender::new(false), last_away: Mutex::default() }
    }

    fn is_younger_than_outage(&self, age: Duration) -> bool {
        self.last_away.lock().is_none_or(|last_away| age < last_away.elapsed())
    }

    async fn watch(&self) {
        let mut connection = None;
        loop {
            let answers = tokio::time::timeout(HEALTH_LIMIT, async {
                let mut asked = match connection.take() {
                    Some(connection) => connection,
                    None => self.options.connect().await?,
                };
                asked.ping().await?;
                Ok::<_, sqlx::Error>(asked)
            });
            let is_away = match answers.await {
                Ok(Ok(answered)) => {
                    connection = Some(answered);
                    false
                }
                // The connection is dropped with its future.
                Ok(Err(_)) | Err(_) => {
                    *self.last_away.lock() = Some(Instant::now());
                    true
                }
            };
            if self.away.send_replace(is_away) != is_away {
                match is_away {
                    true => tracing::error!("the database does not answer"),
                    false => tracing::info!("the database answers again"),
                }
            }
            tokio::time::sleep(HEALTH_INTERVAL).await;
        }
    }
}

/// Takes the one place of a process at an SQLite file: two would not hear each other's events. By whatever links it is
/// reached, the lock lies beside the file itself.
fn lock_file(path: &Path) -> Result<File, Error> {
    let refuse = |cause: String| Error::Unavailable(cause);
    let real = real_path(path).map_err(|error| refuse(format!("{} cannot be found: {error}", path.display())))?;
    let mut lock_path = real.into_os_string();
    lock_path.push(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(&lock_path);
    let file =
        file.map_err(|error| refuse(format!("{} cannot be opened: {error}", Path::new(&lock_path).display())))?;
    file.try_lock().map_err(|_| {
        refuse(format!("another process uses {}: several processes need PostgreSQL and Redis", path.display()))
    })?;
    Ok(file)
}

/// Where a file lies, or will lie once it is made.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // SQLite makes the file that a link points to. As many links as the system follows.
    for _ in 0..40 {
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let folder = folder.canonicalize()?;
        match path.read_link() {
            // An absolute target replaces the folder.
            Ok(target) => path = folder.join(target),
            Err(_) => {
                let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
                return Ok(folder.join(name));
            }
        }
    }
    Err(io::Error::other("too many links"))
}

#[cfg(test)]
pub mod tests {
    use std::{fs, os::unix::fs::symlink};

    use clap::Parser;
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::config::StorageConfig;

    fn config(path: &Path) -> StorageConfig {
        let url = format!("sqlite://{}", path.display());
        Cli::try_parse_from(["kith", "--database-url", &url]).expect("it is valid").storage
    }

    #[tokio::test]
    async fn a_file_has_one_process_by_whatever_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let folder = directory.path().join("folder");
        fs::create_dir(&folder).expect("a folder");
        symlink(&folder, directory.path().join("linked")).expect("a link");
        symlink("folder/kith.db", directory.path().join("link.db")).expect("a link");
        symlink(directory.path().join("link.db"), directory.path().join("link of link.db")).expect("a link");
        let names = ["folder/kith.db", "link.db", "linked/kith.db", "folder/../linked/kith.db", "link of link.db"];
        // Whichever comes first, the file made already or not.
        for (n, first) in names.iter().enumerate() {
            let db = Db::connect(&config(&directory.path().join(first))).await.expect("the first may");
            for other in names {
                let second = Db::connect(&config(&directory.path().join(other))).await;
                assert!(matches!(second, Err(Error::Unavailable(_))), "{first}, then {other}");
            }
            drop(db);
            if n % 2 == 0 {
                fs::remove_file(folder.join("kith.db")).expect("it was made there");
            }
        }
    }

    #[tokio::test]
    async fn an_older_program_takes_what_a_newer_one_has_migrated() {
        let (_directory, db) = loose().await;
        let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_newer', 0)";
        db.writer().execute_unprepared(newer).await.expect("SQLite does as told");
        let Migrations { n_pending, unknown } = db.migrations().await.expect("they are compared");
        assert_eq!((n_pending, unknown), (0, vec!["m29991231_000001_newer".to_owned()]));
        db.migrate().await.expect("there is nothing to do");
        // Where there is something to do, somebody has to look.
        let gap = "DELETE FROM seaql_migrations WHERE version LIKE '%_core'";
        db.writer().execute_unprepared(gap).await.expect("SQLite does as told");
        assert_eq!(db.migrations().await.expect("they are compared").n_pending, 1);
        assert!(db.migrate().await.is_err());
    }

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        storage: StorageConfig,
    }

    /// A database of its own in a directory that lives as long. Rows may stand in it by themselves.
    pub async fn loose() -> (tempfile::TempDir, Db) {
        let directory = tempfile::tempdir().expect("a directory");
        let db = Db::connect(&config(&directory.path().join("kith.db"))).await.expect("it is made");
        db.migrate().await.expect("it is migrated");
        db.writer().execute_unprepared("PRAGMA foreign_keys = OFF").await.expect("SQLite does as told");
        (directory, db)
    }
}
