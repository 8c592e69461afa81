//! The bus of several processes: pub/sub of a Redis ([`single`]), or sharded pub/sub of a Redis Cluster ([`cluster`]).
//!
//! A channel is subscribed to only while somebody here listens. What happens in this process reaches its own listeners
//! without the way through Redis; the echo is told by the publisher's name in front of each payload, and dropped.
//!
//! Connections come back by themselves. What was published meanwhile is found in the log: see [`Bus::came_back`].

mod cluster;
mod single;

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use redis::Client;
use secrecy::ExposeSecret;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{Bus, Sink};
use crate::{
    clock::random_bytes,
    error::Error,
    events::{Delivery, Topic},
    redis::{Redis, RedisUrl},
};

/// Events that may wait to be published; past that they are left to the reconcilers of the other processes.
const MAX_WAITING: usize = 65_536;
/// Events in one pipeline.
const MAX_PIPELINE: usize = 256;
/// How long Redis may take to answer before it counts as away.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How often the subscriber asks whether Redis is still there.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Length of a publisher's name.
const NAME_BYTES: usize = 8;

pub struct RedisBus {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Arc<Delivery>>,
    changes: mpsc::UnboundedSender<Change>,
}

struct Shared {
    redis: Redis,
    /// This process, in front of what it publishes.
    name: [u8; NAME_BYTES],
    sink: OnceLock<Weak<dyn Sink>>,
    publisher_is_well: AtomicBool,
    subscriber_is_well: AtomicBool,
    came_back: Notify,
}

enum Change {
    Join(Vec<Topic>, oneshot::Sender<()>),
    Leave(Topic),
}

impl RedisBus {
    /// Starts the connections. They need not succeed now.
    pub fn start(redis: Redis) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            redis: redis.clone(),
            name: random_bytes(),
            sink: OnceLock::new(),
            publisher_is_well: true.into(),
            subscriber_is_well: false.into(),
            came_back: Notify::new(),
        });
        let (outgoing, to_publish) = mpsc::channel(MAX_WAITING);
        let (changes, to_change) = mpsc::unbounded_channel();
        match redis.url() {
            RedisUrl::Single(url) => {
                let refuse = |error| Error::internal(format!("Redis cannot be used: {error}"));
                let client = Client::open(url.expose_secret()).map_err(refuse)?;
                tokio::spawn(single::publish(Arc::clone(&shared), redis.connection(), to_publish));
                tokio::spawn(single::subscribe(Arc::clone(&shared), client, to_change));
            }
            RedisUrl::Cluster(url) => {
                tokio::spawn(cluster::publish(Arc::clone(&shared), to_publish));
                tokio::spawn(cluster::subscribe(Arc::clone(&shared), url.clone(), to_change));
            }
        }
        Ok(Self { shared, outgoing, changes })
    }
}

impl Bus for RedisBus {
    fn publish(&self, deliveries: Vec<Arc<Delivery>>) {
        let sink = self.shared.sink.get().and_then(Weak::upgrade);
        for delivery in deliveries {
            if let Some(sink) = &sink {
                sink.receive(Arc::clone(&delivery));
            }
            if self.outgoing.try_send(delivery).is_err() {
                metrics::counter!(crate::server::metrics::BUS_DROPPED).increment(1);
            }
        }
    }

    fn join(&self, topics: Vec<Topic>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (done, joined) = oneshot::channel();
            if self.changes.send(Change::Join(topics, done)).is_ok() {
                // Without Redis the reconciler delivers; nobody waits for it.
                let _ = tokio::time::timeout(ANSWER_LIMIT, joined).await;
            }
        })
    }

    fn leave(&self, topic: Topic) {
        // The task ends with the process.
        let _ = self.changes.send(Change::Leave(topic));
    }

    fn deliver_to(&self, sink: Weak<dyn Sink>) {
        // A second sink would be a mistake of the start-up, seen at once in every test.
        let _ = self.shared.sink.set(sink);
    }

    fn is_healthy(&self) -> bool {
        self.shared.publisher_is_well.load(Ordering::Relaxed) && self.shared.subscriber_is_well.load(Ordering::Relaxed)
    }

    fn came_back(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.came_back.notified())
    }
}

impl Shared {
    fn channel(&self, topic: Topic) -> String {
        match topic {
            Topic::Conversation(id) => self.redis.key("conversation", id.0.simple()),
            Topic::User(id) => self.redis.key("user", id.0.simple()),
            Topic::Sessions => self.redis.key("sessions", "all"),
        }
    }

    /// Whether what is published arrives, told to the log when it changes.
    fn publisher_is(&self, well: bool) {
        if self.publisher_is_well.swap(well, Ordering::Relaxed) != well {
            match well {
                true => tracing::info!("events reach Redis again"),
                false => tracing::warn!("events do not reach Redis; other processes read them from the log"),
            }
        }
    }

    /// Hands what another process published to who listens here.
    fn hear(&self, payload: &[u8]) {
        let target = self.sink.get().and_then(Weak::upgrade);
        if let Some((target, delivery)) = target.zip(self.decode(payload)) {
            target.receive(Arc::new(delivery));
        }
    }

    fn encode(&self, delivery: &Delivery) -> Option<Vec<u8>> {
        let mut payload = Vec::with_capacity(640);
        payload.extend_from_slice(&self.name);
        serde_json::to_writer(&mut payload, delivery).ok()?;
        Some(payload)
    }

    /// An event from another process; none for our own echo and for what we do not understand.
    fn decode(&self, payload: &[u8]) -> Option<Delivery> {
        let (name, json) = payload.split_at_checked(NAME_BYTES)?;
        if name == self.name {
            return None;
        }
        serde_json::from_slice(json)
            .inspect_err(|error| tracing::warn!(%error, "an event from another process cannot be read"))
            .ok()
    }
}
