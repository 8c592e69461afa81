//! What WebSockets and server-sent events have in common.

use std::{ops::Deref, sync::Arc, time::Duration};

use async_graphql::{Response, ServerError};
use bytes::Bytes;
use entity::Timestamp;
use metrics::{Gauge, gauge};
use tokio::time::Instant;

use crate::{
    clock::{Clock, random_bytes},
    delivery::outbox::Outbox,
    server::metrics::{SOCKETS, SUBSCRIPTIONS},
};

/// Over how long streams spread their ends when the server closes, so that clients do not come back all at once.
pub const DRAIN_SPREAD: Duration = Duration::from_secs(1);

/// Longest sleep that is not looked at again.
const MAX_SLEEP_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Counts something that is open in a gauge, for as long as it lives.
pub struct Counted(Gauge);

impl Counted {
    pub fn socket(transport: &'static str) -> Self {
        Self::new(gauge!(SOCKETS, "transport" => transport))
    }

    pub fn subscription() -> Self {
        Self::new(gauge!(SUBSCRIPTIONS))
    }

    fn new(gauge: Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// An outbox in the hands of who takes from it. Nothing goes in any more when that is gone.
pub struct Reader(Arc<Outbox>);

impl Reader {
    pub fn new() -> Self {
        Self(Outbox::new())
    }
}

impl Deref for Reader {
    type Target = Arc<Outbox>;

    fn deref(&self) -> &Arc<Outbox> {
        &self.0
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The result of an executed operation as JSON, on one line.
pub fn encode_response(response: &Response) -> Bytes {
    serde_json::to_vec(response).expect("a response has text for keys and is written to memory").into()
}

/// An array of errors as JSON, on one line.
pub fn encode_errors(errors: &[ServerError]) -> Bytes {
    serde_json::to_vec(errors).expect("errors have text for keys and are written to memory").into()
}

/// When the wall clock will show `timestamp`, if nobody sets it.
pub fn instant_of(clock: &Clock, timestamp: Timestamp) -> Instant {
    let left = timestamp.0.saturating_sub(clock.now().0).clamp(0, MAX_SLEEP_MILLIS);
    Instant::now() + Duration::from_millis(left.unsigned_abs())
}

/// A random number from 0 to 1.
pub fn random_fraction() -> f64 {
    f64::from(u16::from_le_bytes(random_bytes())) / f64::from(u16::MAX)
}
