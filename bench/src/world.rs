//! Databases of our own, and who and what is in them. All of it is inserted by SQL: setting up is no measurement.
//!
//! Ids are numbers in the clothes of a UUIDv7, so that every part of the bench, SQL and pgbench included, can write
//! them down without asking.

use std::{path::PathBuf, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use sqlx::{
    AssertSqlSafe, PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use uuid::Uuid;

use crate::{Outcome, cpu};

pub const JWT_SECRET: &str = "the bench's own secret, which guards nothing";
/// The moment of everything that was there before.
pub const LONG_AGO: i64 = 1_750_000_000_000;

const USER: &str = "01900000000070008000";
const SESSION: &str = "01900000000170008000";
const CONVERSATION: &str = "01900000000270008000";
const MESSAGE: &str = "01900000000370008000";

/// A database made for this run.
pub enum Database {
    Postgres { pool: PgPool, admin: PgPool, name: String, url: String, postmaster: Option<u32> },
    Sqlite { pool: SqlitePool, path: PathBuf },
}

impl Database {
    /// An empty database in the PostgreSQL that `scripts/services` started.
    pub async fn new_postgres(name: String) -> Outcome<Self> {
        let server = std::env::var("KITH_TEST_POSTGRES_URL").map_err(
            |_| "KITH_TEST_POSTGRES_URL is not set: run as `make bench`, or as `scripts/services run target/release/bench`",
        )?;
        let options: PgConnectOptions = server.parse()?;
        let admin = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&admin).await?;
        let pool = PgPoolOptions::new().max_connections(2).connect_with(options.database(&name)).await?;
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&pool).await?;
        // A server on another machine has a number that means nothing here.
        let postmaster = u32::try_from(backend).ok().and_then(cpu::parent_of);
        let (base, _) = server.rsplit_once('/').ok_or("KITH_TEST_POSTGRES_URL names no database")?;
        Ok(Self::Postgres { pool, admin, url: format!("{base}/{name}"), name, postmaster })
    }

    /// A file that the server will make its tables in.
    pub fn new_sqlite(path: PathBuf) -> Self {
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(Duration::from_secs(5));
        Self::Sqlite { pool: SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options), path }
    }

    pub fn url(&self) -> String {
        match self {
            Self::Postgres { url, .. } => url.clone(),
            Self::Sqlite { path, .. } => format!("sqlite://{}", path.display()),
        }
    }

    pub fn postmaster(&self) -> Option<u32> {
        match self {
            Self::Postgres { postmaster, .. } => *postmaster,
            Self::Sqlite { .. } => None,
        }
    }

    pub async fn execute(&self, sql: String) -> Outcome<()> {
        match self {
            Self::Postgres { pool, .. } => sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(drop)?,
            Self::Sqlite { pool, .. } => sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(drop)?,
        }
        Ok(())
    }

    /// How many messages a conversation has, and how many it counts.
    pub async fn count(&self, conversation: u64) -> Outcome<(i64, i64)> {
        let id = self.id(CONVERSATION, &conversation.to_string());
        let sql = AssertSqlSafe(format!(
            "SELECT (SELECT count(*) FROM message WHERE conversation_id = {id}), sequence FROM conversation WHERE id = {id}"
        ));
        Ok(match self {
            Self::Postgres { pool, .. } => sqlx::query_as(sql).fetch_one(pool).await?,
            Self::Sqlite { pool, .. } => sqlx::query_as(sql).fetch_one(pool).await?,
        })
    }

    pub async fn drop(self) {
        if let Self::Postgres { pool, admin, name, .. } = self {
            pool.close().await;
            // What cannot be dropped goes with the server, which is a temporary one.
            let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            let _ = sqlx::raw_sql(drop).execute(&admin).await;
        }
    }

    /// People with accounts and sessions, from one number to another.
    pub async fn add_people(&self, from: u64, to: u64) -> Outcome<()> {
        let (user, session, series) = (self.id(USER, "i"), self.id(SESSION, "i"), series(from, to));
        let expires_at = LONG_AGO * 2;
        let text = |prefix: &str| format!("'{prefix}' || {}", self.text("i"));
        self.execute(format!(
            "INSERT INTO \"user\" (id, username, display_name, discoverable, created_at) \
             SELECT {user}, {}, {}, true, {LONG_AGO} FROM {series}",
            text("person_"),
            text("Person "),
        ))
        .await?;
        self.execute(format!(
            "INSERT INTO account (user_id, email, email_folded, password_hash) \
             SELECT {user}, {email}, {email}, 'none' FROM {series}",
            email = format!("{} || '@example.org'", text("person_")),
        ))
        .await?;
        self.execute(format!(
            "INSERT INTO session (id, user_id, created_at, last_used_at, expires_at) \
             SELECT {session}, {user}, {LONG_AGO}, {LONG_AGO}, {expires_at} FROM {series}"
        ))
        .await
    }

    /// Conversations of two, each between a person and the one `apart` further on, with both as friends and members:
    /// conversation `first` is of person `from`, the next one of the next person.
    pub async fn add_conversations(&self, first: u64, from: u64, to: u64, apart: u64) -> Outcome<()> {
        let series = series(from, to);
        let conversation = self.id(CONVERSATION, &format!("i + {first} - {from}"));
        let (low, high) = (self.id(USER, "i"), self.id(USER, &format!("i + {apart}")));
        self.execute(format!(
            "INSERT INTO conversation (id, kind, direct_low, direct_high, open, created_at, last_activity_at) \
             SELECT {conversation}, 'direct', {low}, {high}, true, {LONG_AGO}, {LONG_AGO} FROM {series}"
        ))
        .await?;
        for (one, other) in [(&low, &high), (&high, &low)] {
            self.execute(format!(
                "INSERT INTO friendship (user_id, friend_id, conversation_id, since) \
                 SELECT {one}, {other}, {conversation}, {LONG_AGO} FROM {series}"
            ))
            .await?;
            self.execute(format!(
                "INSERT INTO member (conversation_id, user_id, role, joined_at) \
                 SELECT {conversation}, {one}, 'member', {LONG_AGO} FROM {series}"
            ))
            .await?;
        }
        Ok(())
    }

    /// More members than a conversation of two can have by itself.
    pub async fn add_members(&self, conversation: u64, from: u64, to: u64) -> Outcome<()> {
        let conversation = self.id(CONVERSATION, &conversation.to_string());
        let (user, series) = (self.id(USER, "i"), series(from, to));
        self.execute(format!(
            "INSERT INTO member (conversation_id, user_id, role, joined_at) \
             SELECT {conversation}, {user}, 'member', {LONG_AGO} FROM {series}"
        ))
        .await
    }

    /// A history. Its rows are right by construction, so PostgreSQL need not look each reference up.
    pub async fn add_messages(&self, conversation: u64, sender: u64, n: u64) -> Outcome<()> {
        let id = self.id(CONVERSATION, &conversation.to_string());
        let (message, sender, series) = (self.id(MESSAGE, "i"), self.id(USER, &sender.to_string()), series(1, n));
        let trusting = match self {
            Self::Postgres { .. } => "SET session_replication_role = replica;",
            Self::Sqlite { .. } => "",
        };
        let checking = trusting.replace("= replica", "= origin");
        self.execute(format!(
            "{trusting} INSERT INTO message (id, conversation_id, sequence, sender_id, body, created_at) \
             SELECT {message}, {id}, i, {sender}, 'What somebody said, number ' || {}, {LONG_AGO} + i FROM {series}; \
             UPDATE conversation SET sequence = {n} WHERE id = {id}; {checking}",
            self.text("i"),
        ))
        .await
    }

    /// Up-to-date statistics, so that nobody's plan is a matter of luck.
    pub async fn analyze(&self) -> Outcome<()> {
        match self {
            Self::Postgres { .. } => self.execute("VACUUM ANALYZE".into()).await,
            Self::Sqlite { .. } => Ok(()),
        }
    }

    fn id(&self, kind: &str, number: &str) -> String {
        match self {
            Self::Postgres { .. } => format!("('{kind}' || lpad(({number})::text, 12, '0'))::uuid"),
            Self::Sqlite { .. } => format!("unhex('{kind}' || printf('%012d', {number}))"),
        }
    }

    fn text(&self, number: &str) -> String {
        match self {
            Self::Postgres { .. } => format!("({number})::text"),
            Self::Sqlite { .. } => format!("CAST({number} AS TEXT)"),
        }
    }
}

/// A table of the numbers `i`, on both databases.
fn series(from: u64, to: u64) -> String {
    format!(
        "(WITH RECURSIVE s(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM s WHERE i < {to}) SELECT i FROM s) AS s"
    )
}

fn uuid(kind: &str, number: u64) -> Uuid {
    format!("{kind}{number:012}").parse().expect("32 hexadecimal digits")
}

pub fn user_uuid(number: u64) -> Uuid {
    uuid(USER, number)
}

pub fn conversation_uuid(number: u64) -> Uuid {
    uuid(CONVERSATION, number)
}

/// What pgbench writes before a number of twelve digits.
pub fn pgbench_ids() -> (&'static str, &'static str) {
    (USER, CONVERSATION)
}

/// A conversation's id as clients see it: a TypeID, whose alphabet is Crockford's.
pub fn conversation_id(number: u64) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let value = conversation_uuid(number).as_u128();
    let digits = (0..26).rev().map(|idx| char::from(DIGITS[(value >> (5 * idx)) as usize & 31]));
    format!("conv_{}", digits.collect::<String>())
}

/// An access token that the server takes for its own.
pub fn token(user: u64) -> String {
    #[derive(Serialize)]
    struct Claims {
        iss: &'static str,
        aud: &'static str,
        sub: Uuid,
        sid: Uuid,
        iat: u64,
        exp: u64,
    }
    let now = unix_seconds();
    let (sub, sid) = (user_uuid(user), uuid(SESSION, user));
    let claims = Claims { iss: "kith", aud: "kith-api", sub, sid, iat: now, exp: now + 3600 };
    let header = Header { kid: Some("1".into()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(JWT_SECRET.as_bytes())).expect("plain claims")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a token's life is measured by the clock on the wall, here and in the server"
)]
pub fn unix_seconds() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
