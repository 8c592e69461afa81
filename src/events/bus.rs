//! The bus: carries events from the process where they happened to every process that has listeners.
//!
//! It hurries and never guarantees: what it loses, the reconciler finds in the event log.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Delivery, Topic};

/// What every bus can do. A publisher never waits and never fails: the database has the event already.
pub trait Bus: Send + Sync {
    /// Hands committed events to every process that has joined their topics, this one included.
    fn publish(&self, deliveries: Vec<Arc<Delivery>>);

    /// Starts to receive topics. Ready when what is published from now on arrives, or when the carrier is away: then
    /// the reconciler delivers.
    fn join(&self, topics: Vec<Topic>) -> BoxFuture<'_, ()>;

    /// Stops receiving a topic.
    fn leave(&self, topic: Topic);

    /// Whether events reach other processes now.
    fn is_healthy(&self) -> bool;
}

/// Where a bus brings what arrives.
pub trait Sink: Send + Sync {
    fn receive(&self, delivery: Arc<Delivery>);
}
