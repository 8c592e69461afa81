//! The database: one writer and a few readers on SQLite, one pool on PostgreSQL.

use std::{str::FromStr, time::Duration};

use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, SqlxPostgresConnector,
    SqlxSqliteConnector, Statement, TransactionTrait,
};
use secrecy::ExposeSecret;
use sqlx::{
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    config::{DatabaseUrl, StorageConfig},
    error::Error,
};

/// How long a request waits for a connection: the database being away is told within 2 s.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Connections that only read, on SQLite.
const SQLITE_READERS: u32 = 4;

/// Where everything durable is.
#[derive(Clone, Debug)]
pub struct Db {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
}

impl Db {
    pub async fn connect(config: &StorageConfig) -> Result<Self, Error> {
        match &config.database_url {
            DatabaseUrl::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    // An answered send is on the disk.
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(2))
                    .foreign_keys(true);
                let pool = |connections| {
                    SqlitePoolOptions::new()
                        .max_connections(connections)
                        .min_connections(1)
                        .acquire_timeout(ACQUIRE_TIMEOUT)
                        .test_before_acquire(false)
                        .idle_timeout(None)
                        .max_lifetime(None)
                };
                let writer = pool(1).connect_with(options.clone()).await?;
                let reader = pool(SQLITE_READERS).connect_with(options.pragma("query_only", "on")).await?;
                Ok(Self {
                    writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
                    reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
                })
            }
            DatabaseUrl::Postgres(url) => {
                let options = PgConnectOptions::from_str(url.expose_secret())?.application_name("kith").options([
                    ("statement_timeout", "5000"),
                    ("lock_timeout", "2000"),
                    ("jit", "off"),
                ]);
                let pool = PgPoolOptions::new()
                    .max_connections(config.connections.get())
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    // A ping before each statement would double its cost; a dead connection shows itself.
                    .test_before_acquire(false)
                    .connect_with(options)
                    .await?;
                let pool = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
                let db = Self { writer: pool.clone(), reader: pool };
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
        Ok(self.writer.begin().await?)
    }

    pub fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    pub fn is_postgres(&self) -> bool {
        self.writer.get_database_backend() == DatabaseBackend::Postgres
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<(), Error> {
        Ok(Migrator::up(&self.writer, None).await?)
    }

    /// How many migrations this program knows and the database lacks.
    pub async fn pending_migrations(&self) -> Result<usize, Error> {
        Ok(Migrator::get_pending_migrations(&self.writer).await?.len())
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
