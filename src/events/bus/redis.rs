//! The bus of several processes: Redis pub/sub.
//!
//! One pipelined connection publishes, one subscribes, whatever the number of listeners. A channel is subscribed to
//! only while somebody here listens. What happens in this process reaches its own listeners without the way through
//! Redis; the echo is told by the publisher's name in front of each payload, and dropped.
//!
//! Both connections come back by themselves. What was published meanwhile is found in the log: see
//! [`Bus::came_back`].

use std::{
    collections::HashSet,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture};
use redis::{
    Client,
    aio::{ConnectionManager, PubSubSink, PubSubStream},
};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{Bus, Sink};
use crate::{
    clock::random_bytes,
    events::{Delivery, Topic},
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
    prefix: String,
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
    /// Starts the two connections. They need not succeed now.
    pub fn start(client: Client, publisher: ConnectionManager, prefix: String) -> Self {
        let shared = Arc::new(Shared {
            prefix,
            name: random_bytes(),
            sink: OnceLock::new(),
            publisher_is_well: true.into(),
            subscriber_is_well: false.into(),
            came_back: Notify::new(),
        });
        let (outgoing, to_publish) = mpsc::channel(MAX_WAITING);
        let (changes, to_change) = mpsc::unbounded_channel();
        tokio::spawn(publish(Arc::clone(&shared), publisher, to_publish));
        tokio::spawn(subscribe(Arc::clone(&shared), client, to_change));
        Self { shared, outgoing, changes }
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
            Topic::Conversation(id) => format!("{}:conversation:{}", self.prefix, id.0.simple()),
            Topic::User(id) => format!("{}:user:{}", self.prefix, id.0.simple()),
            Topic::Sessions => format!("{}:sessions", self.prefix),
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

async fn publish(shared: Arc<Shared>, mut redis: ConnectionManager, mut outgoing: mpsc::Receiver<Arc<Delivery>>) {
    let mut batch = Vec::with_capacity(MAX_PIPELINE);
    while outgoing.recv_many(&mut batch, MAX_PIPELINE).await > 0 {
        let mut pipeline = redis::pipe();
        for delivery in batch.drain(..) {
            if let Some(payload) = shared.encode(&delivery) {
                pipeline.publish(shared.channel(delivery.topic), payload).ignore();
            }
        }
        let result = tokio::time::timeout(ANSWER_LIMIT, pipeline.query_async::<()>(&mut redis)).await;
        let is_well = matches!(result, Ok(Ok(())));
        if shared.publisher_is_well.swap(is_well, Ordering::Relaxed) != is_well {
            match is_well {
                true => tracing::info!("events reach Redis again"),
                false => tracing::warn!("events do not reach Redis; other processes read them from the log"),
            }
        }
    }
}

/// Keeps one subscriber connection and what it is subscribed to.
async fn subscribe(shared: Arc<Shared>, client: Client, mut changes: mpsc::UnboundedReceiver<Change>) {
    let mut topics: HashSet<Topic> = HashSet::new();
    let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
    let mut pause = Duration::from_millis(50);
    loop {
        match connect(&shared, &client, &topics).await {
            Some((sink, stream)) => {
                pause = Duration::from_millis(50);
                for done in waiting.drain(..) {
                    // Who has given up waiting does not mind.
                    let _ = done.send(());
                }
                shared.subscriber_is_well.store(true, Ordering::Relaxed);
                tracing::info!("events arrive from Redis");
                // What was lost meanwhile is in the log.
                shared.came_back.notify_one();
                let open = listen(&shared, sink, stream, &mut topics, &mut changes).await;
                shared.subscriber_is_well.store(false, Ordering::Relaxed);
                if !open {
                    return;
                }
                tracing::warn!("Redis is away; events of other processes are read from the log");
            }
            None => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
        while let Ok(change) = changes.try_recv() {
            match change {
                Change::Join(more, done) => {
                    topics.extend(more);
                    waiting.push(done);
                }
                Change::Leave(topic) => {
                    topics.remove(&topic);
                }
            }
        }
        waiting.retain(|done| !done.is_closed());
    }
}

async fn connect(shared: &Shared, client: &Client, topics: &HashSet<Topic>) -> Option<(PubSubSink, PubSubStream)> {
    let connecting = async {
        let (mut sink, stream) = client.get_async_pubsub().await?.split();
        let channels: Vec<String> = topics.iter().map(|topic| shared.channel(*topic)).collect();
        for channels in channels.chunks(1000) {
            sink.subscribe(channels).await?;
        }
        Ok::<_, redis::RedisError>((sink, stream))
    };
    tokio::time::timeout(ANSWER_LIMIT * 5, connecting).await.ok()?.ok()
}

/// Receives and changes subscriptions until the connection breaks. False when the bus is gone.
async fn listen(
    shared: &Shared,
    mut sink: PubSubSink,
    mut stream: PubSubStream,
    topics: &mut HashSet<Topic>,
    changes: &mut mpsc::UnboundedReceiver<Change>,
) -> bool {
    let mut ping = tokio::time::interval(PING_INTERVAL);
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // A host that is gone says nothing by itself.
            _ = ping.tick() => {
                if !matches!(tokio::time::timeout(ANSWER_LIMIT, sink.ping::<redis::Value>()).await, Ok(Ok(_))) {
                    return true;
                }
            }
            message = stream.next() => {
                let Some(message) = message else { return true };
                let target = shared.sink.get().and_then(Weak::upgrade);
                if let Some((target, delivery)) = target.zip(shared.decode(message.get_payload_bytes())) {
                    target.receive(Arc::new(delivery));
                }
            }
            change = changes.recv() => match change {
                None => return false,
                Some(Change::Join(more, done)) => {
                    let channels: Vec<String> = more.iter().map(|topic| shared.channel(*topic)).collect();
                    topics.extend(more);
                    match tokio::time::timeout(ANSWER_LIMIT, sink.subscribe(&channels)).await {
                        // Who has given up waiting does not mind.
                        Ok(Ok(())) => drop(done.send(())),
                        _ => return true,
                    }
                }
                Some(Change::Leave(topic)) => {
                    topics.remove(&topic);
                    let left = tokio::time::timeout(ANSWER_LIMIT, sink.unsubscribe(shared.channel(topic))).await;
                    if !matches!(left, Ok(Ok(()))) {
                        return true;
                    }
                }
            },
        }
    }
}
