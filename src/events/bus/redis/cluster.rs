//! A Redis Cluster: sharded pub/sub. A channel lives on the master that has its slot, and a message crosses no other
//! node.
//!
//! **Publishing** goes by the one connection that all of this process shares, which follows moved slots by itself. Some
//! lanes, each with a range of slots, publish side by side: a node that does not answer holds up the lanes whose slots it
//! has, and no others. One channel's events keep their order.
//!
//! **Subscribing** has one connection to each master that has a channel of ours. Every channel is either placed on one of
//! them or waits for a place. Whatever goes wrong with a node (its connection breaks, it does not answer, it says that a
//! slot has moved), its channels lose their place, and are placed anew by the cluster's table of slots, asked for again;
//! the channels of other nodes never notice. Once all have a place again, what was lost is looked for in the log.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, Value, aio::MultiplexedConnection};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use super::{ANSWER_LIMIT, Change, MAX_PIPELINE, PING_INTERVAL, Shared};
use crate::{
    events::{Delivery, Topic},
    redis::ClusterUrl,
};

/// How many batches may be published at once.
const LANES: usize = 8;
/// Events that may wait in one lane; past that they are left to the reconcilers of the other processes.
const MAX_IN_LANE: usize = 8192;
/// How many slots a cluster has.
const SLOTS: u16 = 16_384;
/// Channels in one pipeline of subscriptions.
const MAX_SUBSCRIPTIONS: usize = 1000;
/// Between two tries to find a place for channels, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

// ---------------------------------------------------------------- publishing

pub async fn publish(shared: Arc<Shared>, mut outgoing: mpsc::Receiver<Arc<Delivery>>) {
    let lanes: Vec<mpsc::Sender<Arc<Delivery>>> = (0..LANES)
        .map(|_| {
            let (lane, deliveries) = mpsc::channel(MAX_IN_LANE);
            tokio::spawn(publish_lane(Arc::clone(&shared), deliveries));
            lane
        })
        .collect();
    while let Some(delivery) = outgoing.recv().await {
        let slot = slot_of(&shared.channel(delivery.topic));
        if lanes[usize::from(slot) * LANES / usize::from(SLOTS)].try_send(delivery).is_err() {
            metrics::counter!(crate::server::metrics::BUS_DROPPED).increment(1);
        }
    }
}

async fn publish_lane(shared: Arc<Shared>, mut deliveries: mpsc::Receiver<Arc<Delivery>>) {
    let mut batch = Vec::with_capacity(MAX_PIPELINE);
    while deliveries.recv_many(&mut batch, MAX_PIPELINE).await > 0 {
        // A pipeline goes to one node, so each channel has its own.
        let mut pipelines: HashMap<Topic, redis::Pipeline> = HashMap::new();
        for delivery in batch.drain(..) {
            if let Some(payload) = shared.encode(&delivery) {
                let pipeline = pipelines.entry(delivery.topic).or_default();
                pipeline.cmd("SPUBLISH").arg(shared.channel(delivery.topic)).arg(payload).ignore();
            }
        }
        let sent = join_all(pipelines.into_values().map(async |pipeline| {
            let mut connection = shared.redis.connection();
            let sent = timeout(ANSWER_LIMIT, pipeline.query_async::<()>(&mut connection)).await;
            matches!(sent, Ok(Ok(())))
        }))
        .await;
        shared.publisher_is(sent.iter().all(|sent| *sent));
    }
}

/// The slot of a channel, which always has a hash tag.
fn slot_of(channel: &str) -> u16 {
    let tag = channel.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or(channel, |(tag, _)| tag);
    crc16::State::<crc16::XMODEM>::calculate(tag.as_bytes()) % SLOTS
}

// ---------------------------------------------------------------- subscribing

/// A node, as `host:port`.
type Address = Arc<str>;

/// Which master has which slots: the first, the last, the node.
type Table = Vec<(u16, u16, Address)>;

pub async fn subscribe(shared: Arc<Shared>, url: ClusterUrl, changes: mpsc::UnboundedReceiver<Change>) {
    let (news_sender, news) = mpsc::unbounded_channel();
    let subscriber = Subscriber {
        shared,
        url,
        table: Table::new(),
        is_stale: true,
        placed: HashMap::new(),
        unplaced: HashMap::new(),
        nodes: HashMap::new(),
        resting: HashMap::new(),
        n_connections: 0,
        news: news_sender,
    };
    subscriber.run(changes, news).await;
}

struct Subscriber {
    shared: Arc<Shared>,
    url: ClusterUrl,
    table: Table,
    /// Whether the table is to be asked for again before it is believed.
    is_stale: bool,
    placed: HashMap<Topic, Address>,
    /// What has no place, and whether it had one: then something may have been lost.
    unplaced: HashMap<Topic, bool>,
    nodes: HashMap<Address, Node>,
    /// Nodes that failed, until when they are left alone, and for how long the next time.
    resting: HashMap<Address, (Instant, Duration)>,
    n_connections: u64,
    news: mpsc::UnboundedSender<News>,
}

struct Node {
    connection: MultiplexedConnection,
    /// Tells it from earlier connections to the same node.
    number: u64,
    /// Channels given up whose confirmation has not been seen.
    n_leaving: usize,
}

/// What a connection says unasked.
struct News {
    node: Address,
    number: u64,
    /// It has broken; else, a channel was given up.
    is_broken: bool,
}

impl Subscriber {
    async fn run(mut self, mut changes: mpsc::UnboundedReceiver<Change>, mut news: mpsc::UnboundedReceiver<News>) {
        let mut tick = interval(PING_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pause = PAUSES.0;
        let mut retry_at = Instant::now();
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                change = changes.recv() => {
                    let Some(change) = change else { return };
                    self.change(change, &mut waiting).await;
                    // What came at once is placed at once.
                    while let Ok(change) = changes.try_recv() {
                        self.change(change, &mut waiting).await;
                    }
                }
                Some(said) = news.recv() => self.hear(&said),
                _ = tick.tick() => self.look_around().await,
                () = sleep_until(retry_at), if !self.unplaced.is_empty() => {}
            }
            if !self.unplaced.is_empty() {
                self.settle().await;
            }
            for done in waiting {
                // Who has given up waiting does not mind. Without a place, the reconciler delivers.
                let _ = done.send(());
            }
            let is_well = self.unplaced.is_empty();
            pause = if is_well { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
            retry_at = Instant::now() + pause;
            if self.shared.subscriber_is_well.swap(is_well, Ordering::Relaxed) != is_well {
                match is_well {
                    true => tracing::info!("events arrive from Redis"),
                    false => tracing::warn!("a part of Redis is away; events of other processes are read from the log"),
                }
            }
        }
    }

    async fn change(&mut self, change: Change, waiting: &mut Vec<oneshot::Sender<()>>) {
        match change {
            Change::Join(topics, done) => {
                for topic in topics {
                    if !self.placed.contains_key(&topic) {
                        self.unplaced.entry(topic).or_insert(false);
                    }
                }
                waiting.push(done);
            }
            Change::Leave(topic) => {
                self.unplaced.remove(&topic);
                let Some(address) = self.placed.remove(&topic) else { return };
                let Some(node) = self.nodes.get_mut(&address) else { return };
                node.n_leaving += 1;
                let command = ["SUNSUBSCRIBE".to_owned(), self.shared.channel(topic)];
                let left = timeout(ANSWER_LIMIT, send(&mut node.connection, vec![command])).await;
                if !matches!(left, Ok(Ok(()))) {
                    self.lose(&address);
                }
            }
        }
    }

    fn hear(&mut self, news: &News) {
        let Some(node) = self.nodes.get_mut(&news.node).filter(|node| node.number == news.number) else { return };
        if news.is_broken || node.n_leaving == 0 {
            // Either it is gone, or it has given up a channel by itself: the slot is another node's now.
            self.lose(&news.node);
        } else {
            node.n_leaving -= 1;
        }
    }

    /// Everything that was placed on a node has no place any more.
    fn lose(&mut self, address: &Address) {
        self.nodes.remove(address);
        self.is_stale = true;
        let lost: Vec<Topic> =
            self.placed.iter().filter(|(_, place)| *place == address).map(|(topic, _)| *topic).collect();
        for topic in lost {
            self.placed.remove(&topic);
            self.unplaced.insert(topic, true);
        }
    }

    /// Asks every node whether it is there, and the cluster whether slots have moved.
    async fn look_around(&mut self) {
        let asked = self.nodes.iter_mut().map(|(address, node)| async move {
            let ping = redis::cmd("PING");
            let answer = timeout(ANSWER_LIMIT, ping.query_async::<Value>(&mut node.connection)).await;
            (!matches!(answer, Ok(Ok(_)))).then(|| Arc::clone(address))
        });
        let silent: Vec<Address> = join_all(asked).await.into_iter().flatten().collect();
        for address in silent {
            self.lose(&address);
        }
        self.ask_for_table().await;
        let moved: HashSet<Address> = self
            .placed
            .iter()
            .filter(|(topic, place)| self.node_of(**topic).is_some_and(|node| node != **place))
            .map(|(_, place)| Arc::clone(place))
            .collect();
        for address in moved {
            self.lose(&address);
        }
        // Who has no channel any more needs no connection.
        let used: HashSet<&Address> = self.placed.values().collect();
        self.nodes.retain(|address, _| used.contains(address));
    }

    async fn ask_for_table(&mut self) {
        let mut connection = self.shared.redis.connection();
        let mut ask = redis::cmd("CLUSTER");
        ask.arg("SLOTS");
        let answer = timeout(ANSWER_LIMIT, ask.query_async::<Value>(&mut connection)).await;
        if let Ok(Ok(answer)) = answer
            && let Some(table) = read_table(&answer, self.url.first_host())
        {
            self.table = table;
            self.is_stale = false;
        }
    }

    fn node_of(&self, topic: Topic) -> Option<Address> {
        let slot = slot_of(&self.shared.channel(topic));
        let range = self.table.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, address)| Arc::clone(address))
    }

    /// Tries to find a place for what has none.
    async fn settle(&mut self) {
        if self.is_stale {
            self.ask_for_table().await;
        }
        let now = Instant::now();
        let mut by_node: HashMap<Address, Vec<Topic>> = HashMap::new();
        for topic in self.unplaced.keys() {
            if let Some(address) = self.node_of(*topic)
                && self.resting.get(&address).is_none_or(|(until, _)| *until <= now)
            {
                by_node.entry(address).or_default().push(*topic);
            }
        }
        let tries: Vec<_> = by_node
            .into_iter()
            .map(|(address, topics)| {
                self.n_connections += 1;
                let (number, connected) = (self.n_connections, self.nodes.remove(&address));
                let commands =
                    topics.iter().map(|topic| ["SSUBSCRIBE".to_owned(), self.shared.channel(*topic)]).collect();
                let connecting = connect(&self.url, &self.shared, Arc::clone(&address), number, self.news.clone());
                async move {
                    let trying = async {
                        let mut node = match connected {
                            Some(node) => node,
                            None => Node { connection: connecting.await?, number, n_leaving: 0 },
                        };
                        send(&mut node.connection, commands).await?;
                        Ok::<_, RedisError>(node)
                    };
                    let outcome = match timeout(ANSWER_LIMIT * 2, trying).await {
                        Ok(outcome) => outcome.map_err(|error| error.to_string()),
                        Err(_) => Err("no answer in time".to_owned()),
                    };
                    (address, topics, outcome)
                }
            })
            .collect();
        let mut came_back = false;
        for (address, topics, outcome) in join_all(tries).await {
            match outcome {
                Ok(node) => {
                    self.resting.remove(&address);
                    self.nodes.insert(Arc::clone(&address), node);
                    for topic in topics {
                        came_back |= self.unplaced.remove(&topic).unwrap_or_default();
                        self.placed.insert(topic, Arc::clone(&address));
                    }
                }
                Err(cause) => {
                    tracing::debug!(node = &*address, cause, "channels find no place");
                    self.lose(&address);
                    let pause = self.resting.get(&address).map_or(PAUSES.0, |(_, pause)| (*pause * 2).min(PAUSES.1));
                    self.resting.insert(address, (Instant::now() + pause, pause));
                }
            }
        }
        if came_back {
            // What was lost meanwhile is in the log.
            self.shared.came_back.notify_one();
        }
    }
}

/// Connects to a node. What arrives on its channels is delivered at once; what else it says unasked is news.
async fn connect(
    url: &ClusterUrl,
    shared: &Arc<Shared>,
    address: Address,
    number: u64,
    news: mpsc::UnboundedSender<News>,
) -> Result<MultiplexedConnection, RedisError> {
    let client = Client::open(url.url_of(&address))?;
    let shared = Arc::downgrade(shared);
    let push = move |push: PushInfo| {
        let is_broken = match push.kind {
            PushKind::SMessage => {
                if let (Some(shared), Some(Value::BulkString(payload))) = (shared.upgrade(), push.data.get(1)) {
                    shared.hear(payload);
                }
                return Ok(());
            }
            PushKind::Disconnection => true,
            PushKind::SUnsubscribe => false,
            _ => return Ok(()),
        };
        news.send(News { node: Arc::clone(&address), number, is_broken })
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_LIMIT))
        .set_response_timeout(Some(ANSWER_LIMIT))
        .set_push_sender(push);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Sends commands for one channel each. Several channels of different slots cannot stand in one command.
async fn send(connection: &mut MultiplexedConnection, commands: Vec<[String; 2]>) -> Result<(), RedisError> {
    for commands in commands.chunks(MAX_SUBSCRIPTIONS) {
        let mut pipeline = redis::pipe();
        for [command, channel] in commands {
            pipeline.cmd(command).arg(channel).ignore();
        }
        pipeline.query_async::<()>(connection).await?;
    }
    Ok(())
}

/// Reads what `CLUSTER SLOTS` answers: `[first, last, [host, port, …master], …replicas]` for each range. A node that
/// does not know its own name is called as the first node that was named.
fn read_table(answer: &Value, unknown_host: &str) -> Option<Table> {
    let Value::Array(ranges) = answer else { return None };
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    };
    let read = |range: &Value| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = range.as_slice() else { return None };
        let [host, Value::Int(port), ..] = master.as_slice() else { return None };
        let host = text(host).filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| unknown_host.to_owned());
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, Address::from(format!("{host}:{port}"))))
    };
    ranges.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use redis::cluster_routing::Slot;

    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        for channel in ["kith:user:{0190}", "kith:conversation:{abc}", "a:b:sessions:{all}", "x{y}z{w}"] {
            assert_eq!(Slot::new(slot_of(channel)), Some(Slot::for_key(channel)), "{channel}");
        }
    }

    #[test]
    fn the_table_of_slots_names_the_masters() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec())]);
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range =
            |first, last, nodes: Vec<Value>| Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat());
        let answer = Value::Array(vec![
            range(0, 5460, vec![node(bulk("10.0.0.1"), 1), node(bulk("10.0.0.9"), 9)]),
            range(5461, 5461, vec![node(bulk("::1"), 2)]),
            range(5462, 16_383, vec![node(Value::Nil, 3)]),
        ]);
        let table = read_table(&answer, "seed").expect("is read");
        let table: Vec<_> = table.iter().map(|(first, last, node)| (*first, *last, &**node)).collect();
        assert_eq!(table, [(0, 5460, "10.0.0.1:1"), (5461, 5461, "[::1]:2"), (5462, 16_383, "seed:3")]);
        assert_eq!(read_table(&Value::Nil, "seed"), None);
        assert_eq!(read_table(&Value::Array(vec![Value::Int(1)]), "seed"), None);
    }
}
