//! `/health/live` and `/health/ready`, for those who start and stop processes and send them traffic.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use super::ServerState;

/// How long the database may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// What the process is able to do. Names parts, and nothing of them that is a secret.
#[derive(Debug, Serialize)]
struct Readiness {
    /// `all`, `api` or `realtime`.
    role: &'static str,
    /// `ready`, or `unavailable`: send no traffic.
    status: &'static str,
    /// `ok` or `away`.
    database: &'static str,
    /// `applied`, `pending`, or `unknown` while the database is away.
    migrations: &'static str,
    /// `ok`, or `degraded`: what happens in other processes arrives later.
    bus: &'static str,
    /// Whether the process is about to end.
    closing: bool,
}

/// The process runs and answers. Asks nobody else: a database that is away is no reason to restart this.
pub async fn live() -> Response {
    answer(StatusCode::OK, br#"{"status":"live"}"#.to_vec())
}

/// Whether the process can do its work: 200, or 503 with what is missing. Redis being away is told and is no reason
/// to send traffic elsewhere: everything durable works without.
///
/// `migrated`: whether all migrations were found applied before.
pub async fn ready(State(state): State<ServerState>, migrated: Arc<AtomicBool>) -> Response {
    let closing = state.closing.is_cancelled();
    let database = within_time(state.app.db.ping()).await.is_some();
    let migrations = if database { migrations(&state, &migrated).await } else { "unknown" };
    let is_ready = !closing && database && migrations == "applied";
    let readiness = Readiness {
        role: state.app.config.server.role.name(),
        status: if is_ready { "ready" } else { "unavailable" },
        database: if database { "ok" } else { "away" },
        migrations,
        bus: if state.app.bus.is_healthy() { "ok" } else { "degraded" },
        closing,
    };
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer(status, serde_json::to_vec(&readiness).expect("a struct of strings is JSON"))
}

/// Once they have been applied nobody takes them back, so the database is asked until then only.
async fn migrations(state: &ServerState, migrated: &AtomicBool) -> &'static str {
    if migrated.load(Ordering::Relaxed) {
        return "applied";
    }
    match within_time(state.app.db.migrations()).await.map(|migrations| migrations.n_pending) {
        Some(0) => {
            migrated.store(true, Ordering::Relaxed);
            "applied"
        }
        Some(_) => "pending",
        None => "unknown",
    }
}

async fn within_time<T>(work: impl Future<Output = Result<T, crate::error::Error>>) -> Option<T> {
    tokio::time::timeout(PING_TIMEOUT, work).await.ok()?.ok()
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
