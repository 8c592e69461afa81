//! What a bus loses is found in the log.
//!
//! Every few seconds, and when the bus comes back, one pass compares what the topics here have delivered with what
//! the log has, lets them read what they lack, and then raises the watermark below which nothing can be missing. The
//! passes also beat the heart of `events`, and let idle executions rest.

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::ConversationId;
use tokio_util::sync::CancellationToken;

use super::{
    graphql::{Event as WireEvent, Heartbeat},
    hub::Hub,
    operation::Renderer,
    topic::Topic,
};
use crate::{
    app::App,
    error::Error,
    events::{bus::Sink, log},
    server::metrics::BUS_HEALTHY,
};

/// How long an event may be under way on the bus before it counts as lost.
const UNDER_WAY: Duration = Duration::from_millis(250);
/// How long a pass waits for the topics that it woke.
const REPAIR_LIMIT: Duration = Duration::from_secs(10);
/// Conversations in one comparison.
const CHUNK: usize = 1000;

/// Runs passes until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let interval = app.config.storage.reconcile_interval;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
            () = app.bus.came_back() => {}
        }
        metrics::gauge!(BUS_HEALTHY).set(f64::from(u8::from(app.bus.is_healthy())));
        if let Err(error) = pass(&app.hub).await {
            tracing::warn!(cause = error.cause(), "the event log cannot be compared with what was delivered");
        }
        app.revocations.sweep(app.clock.now());
    }
}

/// One comparison.
pub async fn pass(hub: &Arc<Hub>) -> Result<(), Error> {
    let from = hub.reconciled();
    let to = log::watermark(hub.db()).await?;
    let topics: HashMap<ConversationId, Arc<Topic>> = hub.conversation_topics().into_iter().collect();
    let ids: Vec<ConversationId> = topics.keys().copied().collect();
    let mut behind = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        for (id, head) in log::positions(hub.db(), chunk).await? {
            let topic = &topics[&id];
            if topic.delivered().is_some_and(|delivered| delivered < head) {
                behind.push((Arc::clone(topic), head));
            }
        }
        let mut next = Some(0);
        while let Some(after_id) = next {
            let part = log::reads(hub.db(), chunk, from, after_id).await?;
            part.deliveries.into_iter().for_each(|delivery| hub.receive(Arc::new(delivery)));
            next = part.next_after_id;
        }
    }
    let mut next = Some(0);
    while let Some(after_id) = next {
        let part = log::personal(hub.db(), from, after_id).await?;
        part.deliveries.into_iter().for_each(|delivery| hub.receive(Arc::new(delivery)));
        next = part.next_after_id;
    }
    // What was received up to here has to be in the outboxes before the watermark may say so.
    let tickets: Vec<_> = hub.all_topics().into_iter().map(|topic| (topic.ticket(), topic)).collect();
    if !behind.is_empty() {
        tokio::time::sleep(UNDER_WAY).await;
        for (topic, head) in &behind {
            if topic.position().is_some_and(|position| position < *head) {
                topic.fell_behind();
            }
        }
    }
    let delivered = async {
        for (ticket, topic) in &tickets {
            wait_until(|| topic.has_done(*ticket)).await;
        }
        for (topic, head) in &behind {
            wait_until(|| topic.delivered().is_some_and(|delivered| delivered >= *head)).await;
        }
    };
    // While a topic still repairs, the watermark stays: resuming from it repeats and does not lose.
    let is_delivered = tokio::time::timeout(REPAIR_LIMIT, delivered).await.is_ok();
    // What a full queue turned away is looked at again in the next pass.
    let is_lost = tickets.iter().fold(false, |lost, (_, topic)| topic.take_lost() || lost);
    if is_delivered && !is_lost {
        hub.set_reconciled(to);
        hub.raise_watermark(to);
    }
    Ok(())
}

async fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Beats until told to stop.
pub async fn beat(app: Arc<App>, stop: CancellationToken) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut n_seconds: u64 = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = second.tick() => {}
        }
        n_seconds += 1;
        heartbeats(&app.hub, app.config.server.heartbeat_seconds).await;
        if n_seconds.is_multiple_of(30) {
            app.hub.sweep();
        }
    }
}

/// Tells everybody who listens to `events` and was told nothing for so many seconds.
async fn heartbeats(hub: &Arc<Hub>, n_silent: u64) {
    let second = hub.second();
    let silent: Vec<_> = {
        let mut everything = hub.everything.lock();
        everything.retain(|(subscriber, _)| subscriber.strong_count() > 0);
        everything
            .iter()
            .filter_map(|(subscriber, operation)| Some((subscriber.upgrade()?, Arc::clone(operation))))
            .filter(|(subscriber, _)| second >= subscriber.last_told() + n_silent)
            .collect()
    };
    for (subscriber, operation) in silent {
        let beat = WireEvent::Heartbeat(Heartbeat { at: hub.now().into() });
        let root = hub.envelope(hub.now(), beat);
        let payload = Renderer::new(operation).render(root).await;
        subscriber.tell(&payload);
        subscriber.told_at(second);
    }
}
