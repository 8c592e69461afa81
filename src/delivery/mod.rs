//! From an event to the sockets of those who hear it.

pub mod outbox;

use std::sync::Arc;

use self::outbox::Outbox;
use crate::{
    auth::RequestContext,
    graphql::engine::{Engine, Prepared},
};

// A placeholder with the signature of the real one, which the lead writes.

/// A subscription that is delivered; it ends when dropped.
pub struct Subscription {}

/// Admits a subscription and starts delivering into the outbox.
pub async fn subscribe(
    _engine: &Arc<Engine>,
    _prepared: Prepared,
    _context: RequestContext,
    _outbox: &Arc<Outbox>,
    _id: Arc<str>,
) -> Result<Subscription, async_graphql::Response> {
    Err(async_graphql::Response::from_errors(vec![async_graphql::ServerError::new("not yet", None)]))
}
