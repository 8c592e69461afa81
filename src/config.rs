//! Settings: each from a flag or an environment variable, all checked before anything starts.

use std::{
    ffi::OsStr,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::{Arg, Args, Command, ValueEnum, builder::TypedValueParser, error::ErrorKind};
use ipnet::{IpNet, Ipv4Net};
use lettre::{AsyncSmtpTransport, Tokio1Executor, message::Mailbox};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{rate_limits::Rules, redis::RedisUrl};

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
    pub mail: MailConfig,
    #[command(flatten)]
    pub presence: PresenceConfig,
    #[command(flatten)]
    pub rate_limits: Rules,
    #[command(flatten)]
    pub documents: DocumentConfig,
    #[command(flatten)]
    pub log: LogConfig,
}

/// Where and how the server answers.
#[derive(Args, Clone, Debug)]
pub struct ServerConfig {
    /// Address and port to listen on.
    #[arg(long, env = "KITH_LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// What this process does. `api` answers queries and mutations over HTTP and holds no subscriptions; `realtime` holds
    /// WebSockets and event streams and changes nothing; `all` does everything. `api` and `realtime` need PostgreSQL and
    /// Redis, which join them.
    #[arg(long, env = "KITH_ROLE", value_enum, default_value_t = Role::All)]
    pub role: Role,
    /// Another address and port for `/metrics` and `/health`, for those who watch. `/metrics` is then not at `--listen`,
    /// where everybody could read it.
    #[arg(long, env = "KITH_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// In production the schema cannot be introspected, the playground is off, migrations are run by
    /// `kith migrate` and a JWT secret is required. The first two have settings of their own.
    #[arg(long = "env", env = "KITH_ENV", value_enum, default_value_t = Environment::Development)]
    pub environment: Environment,
    /// Whether the schema can be introspected; unset: in development only.
    #[arg(long, env = "KITH_INTROSPECTION", value_enum)]
    pub introspection: Option<Switch>,
    /// Whether the chat is at `/` and the explorer at `/explorer`; unset: in development only.
    #[arg(long, env = "KITH_PLAYGROUND", value_enum)]
    pub playground: Option<Switch>,
    /// Origins that browsers may call from, separated by commas, e.g. `https://app.example`. None set: any, since
    /// tokens are never ambient.
    #[arg(long, env = "KITH_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = parse_origin)]
    pub allowed_origins: Vec<String>,
    /// Addresses and networks of reverse proxies, separated by commas, whose `X-Forwarded-For` is believed, e.g.
    /// `10.0.0.7,172.16.0.0/12`.
    #[arg(long, env = "KITH_TRUSTED_PROXIES", value_delimiter = ',', value_parser = parse_network)]
    pub trusted_proxies: Vec<IpNet>,
    /// All limits of how often and how many for one person, session or address; `off` is for load tests.
    #[arg(long, env = "KITH_RATE_LIMITS", value_enum, default_value_t = Switch::On)]
    pub rate_limits: Switch,
    /// Most connections that this process holds for one client address, the own machine left out.
    #[arg(long, env = "KITH_MAX_CONNECTIONS_PER_ADDRESS", default_value = "1000")]
    pub max_connections_per_address: NonZeroU32,
    /// Most subscriptions that this process holds for one session; one of `events` counts as ten.
    #[arg(long, env = "KITH_MAX_STREAMS_PER_SESSION", default_value = "200")]
    pub max_streams_per_session: NonZeroU32,
    /// Seconds after which a WebSocket is closed on which nobody has signed in and nothing is asked.
    #[arg(long, env = "KITH_ANONYMOUS_SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub anonymous_seconds: u64,
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
    /// `redis://HOST:PORT`, or `redis+cluster://HOST:PORT,HOST:PORT` for a Redis Cluster, of which any nodes are named
    /// (`rediss` for TLS): joins several processes. None: one process, events stay inside it.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_parser = Secret(parse_redis_url))]
    pub redis_url: Option<SecretString>,
    /// Prefix of every Redis channel and key, so that several installations can share a Redis.
    #[arg(long, env = "KITH_REDIS_PREFIX", default_value = "kith", value_parser = parse_redis_prefix)]
    pub redis_prefix: String,
    /// Connections to PostgreSQL for all but sends, which have one for each commit lane. More make it slower, not faster.
    #[arg(long, env = "KITH_DATABASE_CONNECTIONS", default_value = "8")]
    pub connections: NonZeroU32,
    /// Batches of sends under way at once on PostgreSQL: one computes while another waits for the disk. More lanes make
    /// smaller batches. SQLite has one writer and one lane.
    #[arg(long, env = "KITH_COMMIT_LANES", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub commit_lanes: u8,
    /// Seconds between two comparisons of what was delivered with the event log.
    #[arg(long, env = "KITH_RECONCILE_SECONDS", default_value = "2", value_parser = parse_reconcile)]
    pub reconcile_interval: Duration,
    /// Seconds between two looks for messages that message search has yet to index. A search looks by itself, too.
    #[arg(long, env = "KITH_SEARCH_INDEX_SECONDS", default_value = "3", value_parser = parse_reconcile)]
    pub search_interval: Duration,
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

/// Mails: how they leave, and what they say of us.
#[derive(Args, Clone, Debug)]
pub struct MailConfig {
    /// `smtp://[USER:PASSWORD@]HOST[:PORT]`, with `?tls=required` for STARTTLS; `smtps://…` for TLS from the start. None:
    /// mails are written to files.
    #[arg(long, env = "KITH_SMTP_URL", hide_env_values = true, value_parser = Secret(parse_smtp_url))]
    pub smtp_url: Option<SecretString>,
    /// Who mails come from, e.g. `Kith <kith@example.com>`. To be set in production with a mail server.
    #[arg(long, env = "KITH_MAIL_FROM", default_value = DEFAULT_MAIL_FROM, value_parser = parse_mailbox)]
    pub mail_from: Mailbox,
    /// Directory that mails are written to when there is no mail server.
    #[arg(long, env = "KITH_OUTBOX_DIR", default_value = "outbox")]
    pub outbox_dir: PathBuf,
    /// Where people open Kith in a browser: links in mails begin so. To be set in production with a mail server.
    #[arg(long, env = "KITH_PUBLIC_URL", default_value = DEFAULT_PUBLIC_URL, value_parser = parse_public_url)]
    pub public_url: Url,
}

const DEFAULT_MAIL_FROM: &str = "Kith <kith@localhost>";
impl MailConfig {
    /// Where people open Kith, if somebody said so.
    pub fn chosen_public_url(&self) -> Option<&Url> {
        let is_default = parse_public_url(DEFAULT_PUBLIC_URL).is_ok_and(|default| default == self.public_url);
        (!is_default).then_some(&self.public_url)
    }
}

const DEFAULT_PUBLIC_URL: &str = "http://localhost:8000/";

#[cfg(test)]
impl Default for MailConfig {
    fn default() -> Self {
        Self {
            smtp_url: None,
            mail_from: parse_mailbox(DEFAULT_MAIL_FROM).expect("it is one"),
            outbox_dir: "outbox".into(),
            public_url: parse_public_url(DEFAULT_PUBLIC_URL).expect("it is one"),
        }
    }
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

/// Which documents run.
#[derive(Args, Clone, Debug)]
pub struct DocumentConfig {
    /// Directory of trusted documents: `.graphql` files, and manifests as Apollo, graphql-codegen and Relay write them.
    /// All are checked at the start.
    #[arg(long = "trusted-documents", env = "KITH_TRUSTED_DOCUMENTS", value_parser = parse_path)]
    pub trusted: Option<PathBuf>,
    /// `only`: nothing but the trusted documents runs. `also`: they can be named by their ids, and all others run too.
    #[arg(long = "trusted-documents-mode", env = "KITH_TRUSTED_DOCUMENTS_MODE", value_enum, default_value_t = TrustedMode::Only)]
    pub mode: TrustedMode,
    /// Whether a federation router can ask this server as a subgraph: `_service` and `_entities`. Then nobody else
    /// should reach it.
    #[arg(long, env = "KITH_FEDERATION", value_enum, default_value_t = Switch::Off)]
    pub federation: Switch,
}

/// What is written about it.
#[derive(Args, Clone, Debug)]
pub struct LogConfig {
    /// `pretty` for people, `json` for machines. What is logged is set by `RUST_LOG`.
    #[arg(long = "log-format", env = "KITH_LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    pub format: LogFormat,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    All,
    Api,
    Realtime,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Api => "api",
            Self::Realtime => "realtime",
        }
    }

    /// Whether it answers subscriptions.
    pub const fn streams(self) -> bool {
        matches!(self, Self::All | Self::Realtime)
    }

    /// Whether it answers mutations.
    pub const fn mutates(self) -> bool {
        matches!(self, Self::All | Self::Api)
    }
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
pub enum TrustedMode {
    Only,
    Also,
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
        self.server.trusted_proxies.retain(|network| *network != NO_NETWORK);
        self.storage.redis_url = self.storage.redis_url.filter(is_set);
        self.auth.jwt_secret = self.auth.jwt_secret.filter(is_set);
        self.mail.smtp_url = self.mail.smtp_url.filter(is_set);
        self.documents.trusted = self.documents.trusted.filter(|directory| !directory.as_os_str().is_empty());
        let only_trusted = self.documents.trusted.is_some() && self.documents.mode == TrustedMode::Only;
        if self.documents.federation == Switch::On && only_trusted {
            return Err(
                "KITH_FEDERATION=on cannot go with KITH_TRUSTED_DOCUMENTS: a router makes its documents as it \
                        goes; KITH_TRUSTED_DOCUMENTS_MODE=also lets them run"
                    .into(),
            );
        }
        if self.server.environment == Environment::Production && self.auth.jwt_secret.is_none() {
            return Err("KITH_JWT_SECRET is required in production: at least 32 random bytes".into());
        }
        if self.mail.smtp_url.is_some() && self.in_production() {
            let defaults = [
                ("KITH_MAIL_FROM", parse_mailbox(DEFAULT_MAIL_FROM).is_ok_and(|it| it == self.mail.mail_from)),
                ("KITH_PUBLIC_URL", parse_public_url(DEFAULT_PUBLIC_URL).is_ok_and(|it| it == self.mail.public_url)),
            ];
            // Links to nowhere, or a sender that nobody believes.
            if let Some((name, _)) = defaults.into_iter().find(|(_, is_default)| *is_default) {
                return Err(format!("{name} is required with KITH_SMTP_URL in production"));
            }
        }
        let role = self.server.role;
        let is_joined =
            matches!(self.storage.database_url, DatabaseUrl::Postgres(_)) && self.storage.redis_url.is_some();
        if role != Role::All && !is_joined {
            return Err(format!(
                "the role {} works beside processes of the other one, joined by PostgreSQL and Redis: set DATABASE_URL to \
                 postgres://… and REDIS_URL, or leave KITH_ROLE at all",
                role.name()
            ));
        }
        Ok(self)
    }

    /// Where Redis is, if there is one.
    pub fn redis(&self) -> Option<RedisUrl> {
        let url = self.storage.redis_url.as_ref()?;
        Some(RedisUrl::parse(url.expose_secret()).expect("it was read once when the settings were"))
    }

    pub fn in_production(&self) -> bool {
        self.server.environment == Environment::Production
    }

    /// Whether the schema can be introspected.
    pub fn introspection(&self) -> bool {
        self.server.introspection.map_or(!self.in_production(), |switch| switch == Switch::On)
    }

    /// Whether the playground's pages are served.
    pub fn playground(&self) -> bool {
        self.server.playground.map_or(!self.in_production(), |switch| switch == Switch::On)
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

/// Stands for an empty value: nobody comes from there.
const NO_NETWORK: IpNet = IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 32));

/// An address is a network of its own.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(NO_NETWORK);
    }
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(|address| address.to_canonical().into()))
        .map_err(|_| "expected an address or a network, e.g. 10.0.0.7 or 172.16.0.0/12".to_owned())
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

/// Unlike clap's own, takes an empty one, for an unset one.
fn parse_path(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(text.into())
}

/// An empty value is an unset one.
fn parse_redis_url(text: &str) -> Result<SecretString, String> {
    if !text.is_empty() {
        RedisUrl::parse(text)?;
    }
    Ok(text.to_owned().into())
}

fn parse_smtp_url(text: &str) -> Result<SecretString, String> {
    if text.is_empty() {
        return Ok(SecretString::default());
    }
    // What is wrong with it is not repeated: it holds a password.
    let is_known = Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "smtp" | "smtps") && url.port() != Some(0));
    if !is_known || AsyncSmtpTransport::<Tokio1Executor>::from_url(text).is_err() {
        return Err("expected smtp://[USER:PASSWORD@]HOST[:PORT][?tls=required] or smtps://…".into());
    }
    Ok(text.to_owned().into())
}

fn parse_mailbox(text: &str) -> Result<Mailbox, String> {
    let text = if text.is_empty() { DEFAULT_MAIL_FROM } else { text };
    text.parse().map_err(|error| format!("expected NAME <ADDRESS>, e.g. Kith <kith@example.com>: {error}"))
}

fn parse_public_url(text: &str) -> Result<Url, String> {
    let text = if text.is_empty() { DEFAULT_PUBLIC_URL } else { text };
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || !is_plain {
        return Err("expected http(s)://HOST[:PORT][/PATH], e.g. https://app.example".into());
    }
    Ok(url)
}

fn parse_redis_prefix(text: &str) -> Result<String, String> {
    // Braces would be taken for the hash tag of every key, which puts them all on one node of a cluster.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if !(1..=64).contains(&text.len()) || !text.bytes().all(is_plain) {
        return Err("1 to 64 letters, digits, or any of - _ . :".into());
    }
    Ok(text.to_owned())
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
        assert_eq!(config.server.role, Role::All);
    }

    #[test]
    fn roles_are_joined_by_postgresql_and_redis() {
        for role in ["api", "realtime"] {
            let arguments = ["--role", role, "--database-url", "postgres://u@h/d", "--redis-url", "redis://h"];
            parse(&arguments).expect("valid");
            let error = parse(&["--role", role]).expect_err("refused");
            assert!(error.contains(role) && error.contains("DATABASE_URL") && error.contains("REDIS_URL"), "{error}");
        }
    }

    #[test]
    fn a_proxy_is_an_address_or_a_network() {
        let config = parse(&["--trusted-proxies", "10.0.0.7, 172.16.0.0/12,::1"]).expect("valid");
        let proxies: Vec<String> = config.server.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(proxies, ["10.0.0.7/32", "172.16.0.0/12", "::1/128"]);
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
            &["--redis-url", "redis+cluster://"],
            &["--redis-prefix", "{kith}"],
            &["--trusted-proxies", "10.0.0.0/33"],
            &["--role", "api"],
            &["--role", "realtime", "--database-url", "postgres://u@h/d"],
            &["--role", "api", "--redis-url", "redis://h"],
            &["--role", "api", "--redis-url", "", "--database-url", "postgres://u@h/d"],
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
            &["--trusted-documents-mode", "never"],
            &["--federation", "on", "--trusted-documents", "d"],
            &["--smtp-url", "http://mail.example"],
            &["--smtp-url", "smtp://mail.example?tls=perhaps", "--mail-from", "a@b.example"],
            &["--smtp-url", "smtp://mail.example:0"],
            &["--smtp-url", "smtps://mail.example:0"],
            &["--mail-from", "nobody"],
            &["--mail-from", "Kith <kith@app.example>\r\nBcc: eve@example.com"],
            &["--public-url", "app.example"],
            &["--public-url", "https://app.example/?x=1"],
            &["--public-url", "javascript:alert(1)"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn a_mail_server_in_production_needs_a_sender_and_an_address_to_link_to() {
        for url in ["smtp://mail.example", "smtp://u:p%40ss@mail.example:2525?tls=required", "smtps://mail.example"] {
            let flags =
                ["--smtp-url", url, "--mail-from", "Kith <kith@app.example>", "--public-url", "https://app.example"];
            let config = parse(&flags).expect(url);
            assert_eq!(config.mail.mail_from.email.to_string(), "kith@app.example");
        }
        assert!(parse(&["--smtp-url", ""]).expect("valid").mail.smtp_url.is_none());
        let mailing = ["--smtp-url", "smtp://mail.example"];
        assert!(parse(&mailing).is_ok(), "to try it out on one machine");
        let secret = "x".repeat(32);
        let in_production = [&mailing[..], &["--env", "production", "--jwt-secret", &secret]].concat();
        let sender = ["--mail-from", "kith@app.example"];
        let address = ["--public-url", "https://app.example"];
        assert!(parse(&in_production).is_err());
        assert!(parse(&[&in_production[..], &sender].concat()).is_err());
        assert!(parse(&[&in_production[..], &address].concat()).is_err());
        assert!(parse(&[&in_production[..], &sender, &address].concat()).is_ok());
    }

    #[test]
    fn an_empty_value_is_an_unset_one() {
        let config =
            parse(&["--allowed-origins", "", "--redis-url", "", "--jwt-secret", "", "--trusted-documents", ""])
                .expect("valid");
        assert!(parse(&["--trusted-proxies", ""]).expect("valid").server.trusted_proxies.is_empty());
        assert!(config.documents.trusted.is_none());
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
            ["--smtp-url", "smtp://u:hunter2@h?tls=perhaps"],
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
