//! One Redis: one pipelined connection publishes, one subscribes, whatever the number of listeners.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::StreamExt;
use redis::{
    Client,
    aio::{PubSubSink, PubSubStream},
};
use tokio::sync::{mpsc, oneshot};

use super::{ANSWER_LIMIT, Change, MAX_PIPELINE, PING_INTERVAL, Shared};
use crate::{
    events::{Delivery, Topic},
    redis::Connection,
};

pub async fn publish(shared: Arc<Shared>, mut redis: Connection, mut outgoing: mpsc::Receiver<Arc<Delivery>>) {
    let mut batch = Vec::with_capacity(MAX_PIPELINE);
    while outgoing.recv_many(&mut batch, MAX_PIPELINE).await > 0 {
        let mut pipeline = redis::pipe();
        for delivery in batch.drain(..) {
            if let Some(payload) = shared.encode(&delivery) {
                pipeline.publish(shared.channel(delivery.topic), payload).ignore();
            }
        }
        let result = tokio::time::timeout(ANSWER_LIMIT, pipeline.query_async::<()>(&mut redis)).await;
        shared.publisher_is(matches!(result, Ok(Ok(()))));
    }
}

/// Keeps one subscriber connection and what it is subscribed to.
pub async fn subscribe(shared: Arc<Shared>, client: Client, mut changes: mpsc::UnboundedReceiver<Change>) {
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
                shared.hear(message.get_payload_bytes());
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
