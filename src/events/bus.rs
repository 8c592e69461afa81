//! The bus: carries events from the process where they happened to every process that has listeners.
//!
//! It hurries and never guarantees: what it loses, the reconciler finds in the event log.

use std::sync::{Arc, OnceLock, Weak};

use futures_util::future::BoxFuture;

use super::{Delivery, Topic};

pub mod redis;

/// What every bus can do. A publisher never waits and never fails: the database has the event already.
pub trait Bus: Send + Sync {
    /// Hands committed events to every process that has joined their topics, this one included.
    fn publish(&self, deliveries: Vec<Arc<Delivery>>);

    /// Starts to receive topics. Ready when what is published from now on arrives, or when the carrier is away: then
    /// the reconciler delivers.
    fn join(&self, topics: Vec<Topic>) -> BoxFuture<'_, ()>;

    /// Stops receiving a topic.
    fn leave(&self, topic: Topic);

    /// Where to bring what arrives. Said once, before the first join.
    fn deliver_to(&self, sink: Weak<dyn Sink>);

    /// Whether events reach other processes now.
    fn is_healthy(&self) -> bool;

    /// Returns when the carrier is back after it was away, so that what it lost is looked for at once.
    fn came_back(&self) -> BoxFuture<'_, ()>;
}

/// Where a bus brings what arrives.
pub trait Sink: Send + Sync {
    fn receive(&self, delivery: Arc<Delivery>);
}

/// The bus of a single process: publishing is receiving.
#[derive(Default)]
pub struct LocalBus {
    sink: OnceLock<Weak<dyn Sink>>,
}

impl Bus for LocalBus {
    fn publish(&self, deliveries: Vec<Arc<Delivery>>) {
        if let Some(sink) = self.sink.get().and_then(Weak::upgrade) {
            for delivery in deliveries {
                sink.receive(delivery);
            }
        }
    }

    fn join(&self, _: Vec<Topic>) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn leave(&self, _: Topic) {}

    fn deliver_to(&self, sink: Weak<dyn Sink>) {
        // A second sink would be a mistake of the start-up, seen at once in every test.
        let _ = self.sink.set(sink);
    }

    fn is_healthy(&self) -> bool {
        true
    }

    fn came_back(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}
