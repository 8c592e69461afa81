//! The server: accepts connections, routes requests, and leaves in an orderly way.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{app::App, graphql::engine::Engine};

/// What every handler shares. Cheap to clone.
#[derive(Clone)]
pub struct ServerState {
    pub app: Arc<App>,
    pub engine: Arc<Engine>,
    /// Cancelled when the server begins to close: sockets and streams say goodbye and end.
    pub closing: CancellationToken,
    /// Counts the tasks of sockets and streams, which outlive the request that opened them: the server waits for
    /// them when it closes.
    pub sockets: TaskTracker,
}
