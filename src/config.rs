//! Settings: each from a flag or an environment variable, all checked before anything starts.

use std::{ffi::OsStr, net::SocketAddr, num::NonZeroU32, path::PathBuf, str::FromStr, time::Duration};

use clap::{Arg, Args, Command, ValueEnum, builder::TypedValueParser, error::ErrorKind};
use secrecy::{ExposeSecret, SecretString};

/// Everything that can be set, in sections.
#[derive(Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    pub server: ServerConfig,
    #[command(flatten)]
    pub storage: StorageConfig,
    #[command(flatten)]
    pub auth: AuthConfig,
    #[command(flatten)]
    pub presence: PresenceConfig,
    #[command(flatten)]
    pub log: LogConfig,
}

/// Where and how the server answers.
#[derive(Args, Clone, Debug)]
pub struct ServerConfig {
    /// Address and port to listen on.
    #[arg(long, env = "KITH_LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// In production the schema cannot be introspected, the playground is off, migrations are run by
    /// `kith migrate` and a JWT secret is required.
    #[arg(long = "env", env = "KITH_ENV", value_enum, default_value_t = Environment::Development)]
    pub environment: Environment,
    /// Whether the schema can be introspected; unset: in development only.
    #[arg(long, env = "KITH_INTROSPECTION", value_enum)]
    pub introspection: Option<Switch>,
    /// Origins that browsers may call from, separated by commas, e.g. `https://app.example`. None set: any, since
    /// tokens are never ambient.
    #[arg(long, env = "KITH_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = parse_origin)]
    pub allowed_origins: Vec<String>,
    /// Addresses of reverse proxies, separated by commas, whose `X-Forwarded-For` is believed.
    #[arg(long, env = "KITH_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<std::net::IpAddr>,
    /// Rate limits; `off` is for load tests.
    #[arg(long, env = "KITH_RATE_LIMITS", value_enum, default_value_t = Switch::On)]
    pub rate_limits: Switch,
    /// Most sockets that this process holds at once.
    #[arg(long, env = "KITH_MAX_CONNECTIONS", default_value = "19000")]
    pub max_connections: NonZeroU32,
    /// Seconds that requests in flight may take to finish after SIGTERM.
    #[arg(long, env = "KITH_SHUTDOWN_SECONDS", default_value = "10")]
    pub shutdown_seconds: u64,
    /// Seconds of silence on `events` after which a heartbeat is sent. Clients count on one within a minute.
    #[arg(long, env = "KITH_HEARTBEAT_SECONDS", default_value = "25", value_parser = clap::value_parser!(u64).range(1..=50))]
    pub heartbeat_seconds: u64,
    /// Seconds between two pings on a WebSocket. Who leaves two of them unanswered is taken for dead half of that later.
    #[arg(long, env = "KITH_PING_SECONDS", default_value = "20", value_parser = clap::value_parser!(u64).range(1..=50))]
    pub ping_seconds: u64,
}

/// Where the data is.
#[derive(Args, Clone, Debug)]
pub struct StorageConfig {
    /// `sqlite://FILE` or `postgres://USER:PASSWORD@HOST/NAME`.
    #[arg(long, env = "DATABASE_URL", default_value = "sqlite://kith.db", hide_env_values = true, value_parser = Secret(DatabaseUrl::from_str))]
    pub database_url: DatabaseUrl,
    /// `redis://HOST:PORT`: joins several processes. None: one process, events stay inside it.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_parser = Secret(parse_redis_url))]
    pub redis_url: Option<SecretString>,
    /// Prefix of every Redis channel and key, so that several installations can share a Redis.
    #[arg(long, env = "KITH_REDIS_PREFIX", default_value = "kith")]
    pub redis_prefix: String,
    /// Connections to PostgreSQL. More make it slower, not faster: sends are committed in groups.
    #[arg(long, env = "KITH_DATABASE_CONNECTIONS", default_value = "8")]
    pub connections: NonZeroU32,
    /// Batches of sends under way at once on PostgreSQL: one computes while another waits for the disk. More lanes make
    /// smaller batches. SQLite has one writer and one lane.
    #[arg(long, env = "KITH_COMMIT_LANES", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub commit_lanes: u8,
    /// Seconds between two comparisons of what was delivered with the event log.
    #[arg(long, env = "KITH_RECONCILE_SECONDS", default_value = "2", value_parser = parse_reconcile)]
    pub reconcile_interval: Duration,
}

/// Signing in.
#[derive(Args, Clone, Debug)]
pub struct AuthConfig {
    /// Secret that signs access tokens, 32 bytes at least. Required in production; in development one is made and
    /// kept beside the database.
    #[arg(long, env = "KITH_JWT_SECRET", hide_env_values = true, value_parser = Secret(parse_jwt_secret))]
    pub jwt_secret: Option<SecretString>,
    /// Life of an access token in seconds.
    #[arg(long, env = "KITH_ACCESS_TOKEN_SECONDS", default_value = "900", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub access_token_seconds: u32,
    /// Days after which an unused session ends.
    #[arg(long, env = "KITH_SESSION_DAYS", default_value = "60", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub session_days: u32,
}

/// Who is online.
#[derive(Args, Clone, Debug)]
pub struct PresenceConfig {
    /// Seconds for which somebody stays online after their last connection closed, so that a reload is not told.
    #[arg(long = "presence-grace-seconds", env = "KITH_PRESENCE_GRACE_SECONDS", default_value = "10", value_parser = parse_grace)]
    pub grace: Duration,
    /// Seconds after which the connections of a process that died no longer count, where several processes share a
    /// Redis. The same for all of them.
    #[arg(long = "presence-lease-seconds", env = "KITH_PRESENCE_LEASE_SECONDS", default_value = "45", value_parser = parse_lease)]
    pub lease: Duration,
}

/// What is written about it.
#[derive(Args, Clone, Debug)]
pub struct LogConfig {
    /// `pretty` for people, `json` for machines. What is logged is set by `RUST_LOG`.
    #[arg(long = "log-format", env = "KITH_LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Environment {
    Development,
    Production,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Pretty,
    Json,
}

/// A database address, known to be of a kind that Kith can use.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// Path of the file, without `sqlite://`.
    Sqlite(PathBuf),
    Postgres(SecretString),
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let path = path.split('?').next().unwrap_or(path);
            if path.is_empty() || path.contains(":memory:") {
                return Err("a file is needed, e.g. sqlite://kith.db: messages are kept".into());
            }
            return Ok(Self::Sqlite(path.into()));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            url::Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
            return Ok(Self::Postgres(text.to_owned().into()));
        }
        Err("expected sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME".into())
    }
}

impl Config {
    /// Takes empty variables for unset ones, and checks what no single value can show. One sentence for the operator.
    pub fn validated(mut self) -> Result<Self, String> {
        let is_set = |secret: &SecretString| !secret.expose_secret().is_empty();
        self.server.allowed_origins.retain(|origin| !origin.is_empty());
        self.storage.redis_url = self.storage.redis_url.filter(is_set);
        self.auth.jwt_secret = self.auth.jwt_secret.filter(is_set);
        if self.server.environment == Environment::Production && self.auth.jwt_secret.is_none() {
            return Err("KITH_JWT_SECRET is required in production: at least 32 random bytes".into());
        }
        Ok(self)
    }

    pub fn in_production(&self) -> bool {
        self.server.environment == Environment::Production
    }

    /// Whether the schema can be introspected.
    pub fn introspection(&self) -> bool {
        self.server.introspection.map_or(!self.in_production(), |switch| switch == Switch::On)
    }
}

/// Parses a value that is never shown, not even when it is wrong: clap's own parsers repeat what they refuse.
#[derive(Clone)]
struct Secret<T: 'static>(fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Secret<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let name =
            argument.map_or_else(String::new, |argument| format!("--{}: ", argument.get_long().unwrap_or_default()));
        let parsed = value.to_str().ok_or_else(|| "not UTF-8".to_owned()).and_then(self.0);
        parsed.map_err(|reason| {
            clap::Error::raw(ErrorKind::ValueValidation, format!("{name}{reason}\n")).with_cmd(command)
        })
    }
}

fn parse_origin(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let url = url::Url::parse(text.trim()).map_err(|error| format!("not an origin: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.path() != "/" || url.query().is_some() {
        return Err("an origin is scheme://host[:port], e.g. https://app.example".into());
    }
    Ok(url.origin().ascii_serialization())
}

fn parse_redis_url(text: &str) -> Result<SecretString, String> {
    if text.is_empty() {
        return Ok(SecretString::default());
    }
    let url = url::Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(url.scheme(), "redis" | "rediss") {
        return Err("expected redis://HOST:PORT or rediss://HOST:PORT".into());
    }
    Ok(text.to_owned().into())
}

fn parse_jwt_secret(text: &str) -> Result<SecretString, String> {
    if (1..32).contains(&text.len()) {
        return Err("32 bytes at least, e.g. from `openssl rand -base64 48`".into());
    }
    Ok(text.to_owned().into())
}

fn parse_reconcile(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected seconds".to_owned())?;
    if !(0.1..=60.0).contains(&seconds) {
        return Err("between 0.1 and 60".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn parse_grace(text: &str) -> Result<Duration, String> {
    parse_seconds(text, 0.0..=30.0)
}

fn parse_lease(text: &str) -> Result<Duration, String> {
    parse_seconds(text, 1.0..=50.0)
}

fn parse_seconds(text: &str, range: std::ops::RangeInclusive<f64>) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected seconds".to_owned())?;
    if !range.contains(&seconds) {
        return Err(format!("between {} and {}", range.start(), range.end()));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    fn parse(arguments: &[&str]) -> Result<Config, String> {
        let cli = Cli::try_parse_from(["kith"].iter().chain(arguments)).map_err(|error| error.to_string())?;
        cli.config.validated()
    }

    #[test]
    fn defaults_need_nothing() {
        let config = parse(&[]).expect("defaults are valid");
        assert!(matches!(config.storage.database_url, DatabaseUrl::Sqlite(path) if path.as_os_str() == "kith.db"));
    }

    /// Client developers are promised these; a story that sets its own would not notice a change.
    #[test]
    fn the_promised_times_are_the_defaults() {
        let config = parse(&[]).expect("defaults are valid");
        assert_eq!(config.server.heartbeat_seconds, 25);
        assert_eq!(config.server.ping_seconds, 20);
    }

    #[test]
    fn bad_values_stop_the_start() {
        for arguments in [
            &["--database-url", "mysql://x"][..],
            &["--database-url", "sqlite::memory:"],
            &["--redis-url", "http://x"],
            &["--jwt-secret", "short"],
            &["--access-token-seconds", "0"],
            &["--allowed-origins", "app.example"],
            &["--allowed-origins", "https://app.example/path"],
            &["--env", "production"],
            &["--reconcile-interval", "0"],
            &["--heartbeat-seconds", "0"],
            &["--heartbeat-seconds", "51"],
            &["--ping-seconds", "0"],
            &["--ping-seconds", "51"],
            &["--presence-grace-seconds", "-1"],
            &["--presence-grace-seconds", "31"],
            &["--presence-lease-seconds", "0.5"],
            &["--presence-lease-seconds", "51"],
            &["--presence-lease-seconds", "NaN"],
            &["--listen", "nowhere"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn an_empty_value_is_an_unset_one() {
        let config = parse(&["--allowed-origins", "", "--redis-url", "", "--jwt-secret", ""]).expect("valid");
        assert!(config.server.allowed_origins.is_empty());
        assert!(config.storage.redis_url.is_none() && config.auth.jwt_secret.is_none());
        assert!(parse(&["--env", "production", "--jwt-secret", ""]).is_err());
    }

    #[test]
    fn a_refused_secret_is_not_repeated() {
        for arguments in [
            ["--jwt-secret", "hunter2"],
            ["--redis-url", "http://:hunter2@h"],
            ["--database-url", "mysql://u:hunter2@h/d"],
        ] {
            let error = parse(&arguments).expect_err("refused");
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains(arguments[0]), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = "a-secret-of-more-than-thirty-two-bytes";
        let config = parse(&[
            "--jwt-secret",
            secret,
            "--redis-url",
            "redis://:hunter2@h",
            "--database-url",
            "postgres://u:hunter2@h/d",
        ])
        .expect("valid");
        let printed = format!("{config:?}");
        assert!(!printed.contains(secret) && !printed.contains("hunter2"), "{printed}");
    }
}
