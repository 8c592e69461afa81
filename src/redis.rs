//! Redis, one server or a cluster: what the bus, the rate limits and everything else that is shared by several processes
//! stand on.
//!
//! Nothing durable is kept there, so whoever uses it must do without when it is away. Keys are made by [`Redis::key`],
//! which marks what they belong to as their hash tag: in a cluster, all keys of one subject are on one node, and a script
//! that touches several of them works.

use std::{fmt, time::Duration};

use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind,
    ToRedisArgs, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::{ClusterClient, ClusterConfig},
    cluster_async::ClusterConnection,
};
use secrecy::{ExposeSecret, SecretString};

use crate::error::Error;

/// How long a connection and an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What `REDIS_URL` names. The URLs hold passwords.
#[derive(Clone)]
pub enum RedisUrl {
    Single(SecretString),
    Cluster(ClusterUrl),
}

/// A cluster: some of its nodes, and how to sign in to each.
#[derive(Clone)]
pub struct ClusterUrl {
    /// `redis` or `rediss`.
    scheme: &'static str,
    /// `user:password@`, or nothing.
    credentials: SecretString,
    /// `host:port` of nodes to ask first; the cluster names the others.
    seeds: Vec<String>,
}

impl RedisUrl {
    /// Reads `redis://HOST:PORT`, or `redis+cluster://HOST:PORT,HOST:PORT…`; `rediss…` for TLS. A sentence when it is
    /// neither, without what was given: it holds a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected redis://HOST:PORT, or redis+cluster://HOST:PORT,HOST:PORT for a cluster \
                                (rediss for TLS)";
        let Some((scheme, rest)) = text.split_once("://") else { return Err(EXPECTED.into()) };
        let scheme = match scheme {
            "redis" | "rediss" => {
                let url = url::Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
                if rest.contains(',') || url.host_str().is_none() {
                    return Err(EXPECTED.into());
                }
                Client::open(text).map_err(|_| EXPECTED.to_owned())?;
                return Ok(Self::Single(text.to_owned().into()));
            }
            "redis+cluster" => "redis",
            "rediss+cluster" => "rediss",
            _ => return Err(EXPECTED.into()),
        };
        let (credentials, nodes) =
            rest.rsplit_once('@').map_or(("", rest), |(credentials, nodes)| (credentials, nodes));
        let credentials = if credentials.is_empty() { String::new() } else { format!("{credentials}@") };
        let mut seeds = Vec::new();
        for node in nodes.trim_end_matches('/').split(',').map(str::trim) {
            let url = url::Url::parse(&format!("{scheme}://{node}")).map_err(|error| format!("not a URL: {error}"))?;
            if url.host_str().is_none_or(str::is_empty) || !matches!(url.path(), "" | "/") || url.query().is_some() {
                return Err(EXPECTED.into());
            }
            seeds.push(if url.port().is_some() { node.to_owned() } else { format!("{node}:6379") });
        }
        let cluster = ClusterUrl { scheme, credentials: credentials.into(), seeds };
        ClusterClient::new(cluster.urls()).map_err(|_| EXPECTED.to_owned())?;
        Ok(Self::Cluster(cluster))
    }
}

impl ClusterUrl {
    fn urls(&self) -> Vec<String> {
        self.seeds.iter().map(|seed| self.url_of(seed)).collect()
    }

    /// The URL of one node, `host:port`, over which RESP3 is spoken.
    pub fn url_of(&self, node: &str) -> String {
        format!("{}://{}{node}?protocol=resp3", self.scheme, self.credentials.expose_secret())
    }

    /// The host of the first node that was named: where a cluster does not say under which name it is reached.
    pub fn first_host(&self) -> &str {
        let seed = &self.seeds[0];
        seed.rsplit_once(':').map_or(seed, |(host, _)| host)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(_) => f.write_str("Single([REDACTED])"),
            Self::Cluster(cluster) => write!(f, "Cluster({:?})", cluster.seeds),
        }
    }
}

/// The way to Redis. Cheap to clone; every clone shares its connections.
#[derive(Clone)]
pub struct Redis {
    url: RedisUrl,
    prefix: String,
    connection: Connection,
}

/// A connection that comes back by itself, for commands that touch one key, or keys with one hash tag.
#[derive(Clone)]
pub enum Connection {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Redis {
    /// Redis need not be there now. `prefix` stands in front of every key and channel.
    pub fn open(url: &RedisUrl, prefix: &str) -> Result<Self, Error> {
        let refuse = |error: RedisError| Error::internal(format!("Redis cannot be used: {error}"));
        let connection = match url {
            RedisUrl::Single(url) => {
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(PATIENCE))
                    .set_response_timeout(Some(PATIENCE))
                    .set_max_delay(PATIENCE);
                let client = Client::open(url.expose_secret()).map_err(refuse)?;
                Connection::Single(ConnectionManager::new_lazy_with_config(client, config).map_err(refuse)?)
            }
            RedisUrl::Cluster(cluster) => {
                let client = ClusterClient::builder(cluster.urls())
                    .connection_timeout(PATIENCE)
                    .response_timeout(PATIENCE)
                    .retries(4)
                    .build()
                    .map_err(refuse)?;
                Connection::Cluster(client.get_pending_async_connection_with_config(ClusterConfig::new()))
            }
        };
        Ok(Self { url: url.clone(), prefix: prefix.to_owned(), connection })
    }

    pub fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// A clone to send commands by: `cmd.query_async(&mut redis.connection())`.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// `prefix:kind:{subject}`: the key, or the channel, of something that belongs to a subject. All keys of one subject
    /// are on one node of a cluster.
    pub fn key(&self, kind: &str, subject: impl fmt::Display) -> String {
        format!("{}:{kind}:{{{subject}}}", self.prefix)
    }

    /// Runs a script on the node that has its keys, all of one subject. Sends its text only where Redis has not seen it.
    /// For many subjects, run it for all of them at once: what is under way together travels together, and a pipeline
    /// could not go to several nodes.
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[impl ToRedisArgs],
    ) -> RedisResult<T> {
        let mut connection = self.connection();
        let call = |name: &str, what: &str| {
            let mut call = redis::cmd(name);
            call.arg(what).arg(keys.len()).arg(keys).arg(arguments);
            call
        };
        match call("EVALSHA", &script.hash).query_async(&mut connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                call("EVAL", script.text).query_async(&mut connection).await
            }
            outcome => outcome,
        }
    }
}

/// A script in Lua, known to Redis by its hash.
pub struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    pub fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_or_some_nodes_of_a_cluster() {
        for single in ["redis://h:1", "rediss://user:pass@h/3", "redis://[::1]:6379", "redis://h:1?protocol=resp3"] {
            assert!(matches!(RedisUrl::parse(single), Ok(RedisUrl::Single(_))), "{single}");
        }
        for (text, urls) in [
            ("redis+cluster://a:1", &["redis://a:1?protocol=resp3"][..]),
            (
                "redis+cluster://a:1,b,[::1]:2/",
                &["redis://a:1?protocol=resp3", "redis://b:6379?protocol=resp3", "redis://[::1]:2?protocol=resp3"],
            ),
            ("rediss+cluster://u:p@a:1,b:2", &["rediss://u:p@a:1?protocol=resp3", "rediss://u:p@b:2?protocol=resp3"]),
        ] {
            let Ok(RedisUrl::Cluster(cluster)) = RedisUrl::parse(text) else { panic!("{text}") };
            assert_eq!(cluster.urls(), urls, "{text}");
        }
        for bad in [
            "",
            "h:1",
            "http://h:1",
            "redis://",
            "redis://a:1,b:2",
            "redis+cluster://",
            "redis+cluster://a:1,",
            "redis+cluster://a:1,b:99999",
            "redis+cluster://a:1/3",
            "redis+cluster://a:1?x=y",
            "redis+sentinel://a:1",
        ] {
            assert!(RedisUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_are_not_printed() {
        for text in ["redis://:hunter2@a:1", "redis+cluster://u:hunter2@a:1,b:2"] {
            let printed = format!("{:?}", RedisUrl::parse(text).expect("a URL"));
            assert!(!printed.contains("hunter2"), "{printed}");
        }
    }
}
