//! The server: accepts connections, routes requests, and leaves in an orderly way.
//!
//! | address | what |
//! | --- | --- |
//! | `/graphql` | queries and mutations, see [`crate::graphql::http`] |
//! | `/graphql/ws`, `/graphql/stream` | subscriptions over WebSocket and server-sent events |
//! | `/exports/…` | archives of what is people's own, see [`crate::exports::http`] |
//! | `/`, `/explorer`, … | the playground, unless it is off: see [`playground`] |
//! | `/schema.graphql` | the schema, while it may be introspected |
//! | `/health/live`, `/health/ready` | see [`health`] |
//! | `/metrics` | see [`metrics`] |
//!
//! When it is told to stop: `/health/ready` says 503, no connection is accepted, idle ones are closed, sockets say
//! goodbye, what is being answered is answered; all of it within `KITH_SHUTDOWN_SECONDS`.

pub mod addresses;
mod connection;
mod health;
pub mod metrics;
mod origins;
mod playground;
pub mod request;
pub mod roles;

use std::{
    convert::Infallible,
    future::IntoFuture,
    io,
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::State,
    http::{HeaderValue, Request, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use self::{
    addresses::Addresses,
    connection::{Connection, Held, IdleWhenDropped, Phase, Progress},
    origins::Verdict,
    request::{RequestInfo, client_ip, request_id},
};
use crate::{
    app::App,
    error::Error,
    graphql::{self, engine::Engine, http::plain_refusal},
    presence,
};

/// Most bytes of a request's head; more is 431. A query of the largest size fits into a URL even when half of it is
/// escaped.
const MAX_HEAD: usize = 32 * 1024;
/// Most bytes of a connection that wait to be looked at or to be sent.
const MAX_BUFFER: usize = 64 * 1024;
/// How long a process that ends may take to tell the others who was here.
const LEAVING_LIMIT: Duration = Duration::from_secs(3);
/// How long to wait when the process has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the other side of a connection may be silent to the kernel's questions and our data before it is given up.
const ABSENCE: Duration = Duration::from_secs(60);

/// What every handler shares. Cheap to clone.
#[derive(Clone)]
pub struct ServerState {
    pub app: Arc<App>,
    pub engine: Arc<Engine>,
    /// Cancelled when the server begins to close: sockets and streams say goodbye and end.
    pub closing: CancellationToken,
    /// How many connections each client address has here.
    pub addresses: Arc<Addresses>,
    /// Counts the tasks of sockets and streams, which outlive the request that opened them: the server waits for
    /// them when it closes.
    pub sockets: TaskTracker,
}

/// Serves until `stop` is cancelled, then leaves as described above. What is still going on when the time is over is
/// cut off, with a line in the log.
///
/// Fails only if the listener does.
///
/// `watchers` is where `/metrics` is asked for when it has an address of its own. It answers until the end.
pub async fn run(
    engine: Engine,
    listener: TcpListener,
    watchers: Option<TcpListener>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let app = Arc::clone(&engine.app);
    let max_connections_per_address = app.config.server.max_connections_per_address.get() as usize;
    let state = ServerState {
        engine: Arc::new(engine),
        addresses: Addresses::new(app.rate_limits.are_on().then_some(max_connections_per_address)),
        app,
        closing: stop.clone(),
        sockets: TaskTracker::new(),
    };
    let front = Front::new(state.clone());
    let config = &state.app.config.server;
    let permits = Arc::new(Semaphore::new(config.max_connections.get() as usize));
    let connections = TaskTracker::new();
    let background = CancellationToken::new();
    let _ends_with_us = background.clone().drop_guard();
    let keep_up = tokio::spawn(metrics::keep_up());
    tokio::spawn(state.app.db.clone().watch(background.clone()));
    tokio::spawn(crate::delivery::reconcile::run(Arc::clone(&state.app), background.clone()));
    tokio::spawn(crate::delivery::reconcile::beat(Arc::clone(&state.app), background.clone()));
    tokio::spawn(crate::exports::maker::run(Arc::clone(&state.app), background.clone()));
    tokio::spawn(crate::messages::search::index::run(Arc::clone(&state.app), background.clone()));
    tokio::spawn(crate::groups::purge::run(Arc::clone(&state.app), background.clone()));
    let mails = TaskTracker::new();
    mails.spawn(crate::mails::run(Arc::clone(&state.app), stop.clone()));
    tokio::spawn(housekeep(Arc::clone(&state.app), background.clone()));
    tokio::spawn(presence::tell(Arc::clone(&state.app), background.clone()));
    let keep_count = background.child_token();
    let keeping_count = tokio::spawn(presence::keep(Arc::clone(&state.app), keep_count.clone()));
    if let Some(watchers) = watchers {
        let router = router_for_watchers(state.clone());
        let serving = axum::serve(watchers, router).with_graceful_shutdown(background.clone().cancelled_owned());
        tokio::spawn(serving.into_future());
    }
    // So that a lack of descriptors is one line in the log and not ten each second.
    let mut can_accept = true;

    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                can_accept = true;
                let peer = peer.ip().to_canonical();
                // A proxy carries requests of many; their sockets are counted where they are opened.
                let is_proxy = config.trusted_proxies.iter().any(|proxies| proxies.contains(&peer));
                let place = if is_proxy { Ok(None) } else { state.addresses.place(peer) };
                match (Arc::clone(&permits).try_acquire_owned(), place) {
                    (Ok(permit), Ok(place)) => {
                        connections.spawn(serve(Arc::clone(&front), stream, peer, (permit, place)));
                    }
                    (Err(_), _) => refuse_connection(&stream, TOO_MANY),
                    (Ok(_), Err(_)) => refuse_connection(&stream, TOO_MANY_OF_ADDRESS),
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if can_accept {
                    tracing::warn!(%error, "accepting connections is not possible for a moment");
                    can_accept = false;
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    drop(listener);
    keep_up.abort();
    let parts = [&connections, &state.sockets, &state.engine.mutations, &mails];
    for part in parts {
        part.close();
    }
    let finished = async {
        // In this order: a request in flight may open a socket or start a mutation.
        for part in parts {
            part.wait().await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(config.shutdown_seconds), finished).await.is_err() {
        let [n_connections, n_sockets, n_mutations, n_mails] = parts.map(TaskTracker::len);
        tracing::warn!(
            n_connections,
            n_sockets,
            n_mutations,
            n_mails,
            "the time to close is over: what is left is cut off"
        );
    }
    // Nobody is counted here any more: the others take over.
    keep_count.cancel();
    let leaving = async {
        // It ends at its next tick; a panic in it has been logged.
        let _ = keeping_count.await;
        presence::leave(&state.app).await;
    };
    if tokio::time::timeout(LEAVING_LIMIT, leaving).await.is_err() {
        tracing::warn!("what is known of who was here could not be handed over");
    }
    Ok(())
}

/// Deletes what nobody needs any more, every hour.
async fn housekeep(app: Arc<App>, stop: CancellationToken) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hours.tick() => {}
        }
        if let Err(error) = crate::accounts::sessions::sweep(&app).await {
            tracing::warn!(cause = error.cause(), "old sessions cannot be deleted; tried again in an hour");
        }
        if let Err(error) = crate::messages::actions::empty_keys_of_departed(&app).await {
            tracing::warn!(cause = error.cause(), "keys of messages cannot be emptied now; tried again in an hour");
        }
        if let Err(error) = crate::accounts::recovery::sweep(&app).await {
            tracing::warn!(cause = error.cause(), "old tokens cannot be deleted; tried again in an hour");
        }
        if let Err(error) = crate::invite_links::actions::sweep(&app).await {
            tracing::warn!(cause = error.cause(), "old invite links cannot be deleted; tried again in an hour");
        }
    }
}

/// Lets the kernel end a connection whose other side has vanished without a word, also when nothing is to be written.
fn notice_absence(stream: &TcpStream) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    let keepalive = socket2::TcpKeepalive::new().with_time(ABSENCE / 2).with_interval(ABSENCE / 6).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(ABSENCE))?;
    Ok(())
}

/// Serves one connection until it is closed or becomes a WebSocket.
async fn serve(front: Arc<Front>, stream: TcpStream, peer: IpAddr, held: Held) {
    // An answer is written at once or in large pieces: waiting for more would only delay its end.
    if stream.set_nodelay(true).and_then(|()| notice_absence(&stream)).is_err() {
        return;
    }
    let progress = Progress::new();
    let io = TokioIo::new(Connection::new(stream, Arc::clone(&progress), held));
    let closing = front.state.closing.clone();
    let service = service_fn(|request| {
        let front = Arc::clone(&front);
        let progress = Arc::clone(&progress);
        async move {
            progress.set(Phase::Busy);
            let response = front.answer(peer, request).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                progress.set(Phase::Upgraded);
                return Ok::<_, Infallible>(response);
            }
            if response.body().size_hint().exact().is_some() {
                progress.set(Phase::Idle);
                return Ok(response);
            }
            // A stream keeps the connection busy until it ends, and the body is dropped.
            let idle = IdleWhenDropped(progress);
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _busy = &idle;
                    frame
                }))
            }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // `Connection` limits this time.
        .header_read_timeout(None)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    // Errors are the client's way of leaving, mostly; nobody could act on them.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = closing.cancelled() => {
            // hyper would wait for the first request of a connection that has never had one.
            if progress.phase() != Phase::New {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }
}

/// Tells a client that there are too many, without waiting for it.
fn refuse_connection(stream: &TcpStream, answer: &[u8]) {
    ::metrics::counter!(metrics::CONNECTIONS_REFUSED).increment(1);
    // The buffer of a new connection is empty, so this is written or the client has gone.
    let _ = stream.try_write(answer);
}

/// The server is full.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n";
/// One address has too many.
const TOO_MANY_OF_ADDRESS: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n";

/// Whether the next connection may well be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// What every request passes on its way in and every answer on its way out.
struct Front {
    state: ServerState,
    router: Router,
}

impl Front {
    fn new(state: ServerState) -> Arc<Self> {
        Arc::new(Self { router: router(state.clone()), state })
    }

    /// Answers one request, whatever happens.
    async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Response {
        let started = Instant::now();
        let (mut parts, body) = request.into_parts();
        let config = &self.state.app.config.server;
        let has_list = !config.allowed_origins.is_empty();
        let request_id = request_id(&parts.headers);
        let verdict = origins::judge(&parts.headers, &config.allowed_origins);
        // Only for the log, so only when it is written: a path may hold anything.
        let logged = tracing::enabled!(tracing::Level::DEBUG).then(|| (parts.method.clone(), known(parts.uri.path())));

        let mut response = if verdict == Verdict::Foreign && parts.uri.path().starts_with("/graphql") {
            plain_refusal(StatusCode::FORBIDDEN, "Pages of this origin may not call.", "FORBIDDEN")
        } else if origins::is_preflight(&parts) {
            let mut response = StatusCode::NO_CONTENT.into_response();
            if verdict != Verdict::Foreign {
                origins::grant_preflight(response.headers_mut());
            }
            response
        } else {
            let client_ip = client_ip(peer, &parts.headers, &config.trusted_proxies);
            let by_proxy = client_ip != peer;
            parts.extensions.insert(RequestInfo { request_id: Arc::clone(&request_id), client_ip, by_proxy });
            let answer = self.router.clone().oneshot(Request::from_parts(parts, body));
            match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(Ok(response)) => response,
                Err(_) => {
                    plain_refusal(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.", "INTERNAL")
                }
            }
        };

        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            headers.insert("x-request-id", value);
        }
        origins::grant(&verdict, has_list, headers);
        if let Some((method, path)) = logged {
            let (status, elapsed_us) = (response.status().as_u16(), started.elapsed().as_micros() as u64);
            tracing::debug!(request_id = &*request_id, %method, path, status, elapsed_us, "answered");
        }
        response
    }
}

fn router(state: ServerState) -> Router {
    let streams = Router::new()
        .route("/graphql/ws", get(graphql::ws::handler))
        .route("/graphql/stream", any(graphql::sse::handler))
        .route_layer(from_fn_with_state(state.clone(), roles::only_where_streams_are));
    let router = Router::new()
        .route("/graphql", any(graphql::http::handler))
        .merge(streams)
        .route("/exports/{id}", get(crate::exports::http::handler))
        .merge(playground::routes())
        .route("/schema.graphql", get(schema))
        .merge(health_routes());
    let router = match state.app.config.server.metrics_listen {
        None => router.route("/metrics", get(show_metrics)),
        Some(_) => router,
    };
    finish_router(router, state)
}

/// What those who watch ask for, at an address of their own.
fn router_for_watchers(state: ServerState) -> Router {
    finish_router(health_routes().route("/metrics", get(show_metrics)), state)
}

fn health_routes() -> Router<ServerState> {
    let migrated = Arc::default();
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(move |state| health::ready(state, Arc::clone(&migrated))))
}

fn finish_router(router: Router<ServerState>, state: ServerState) -> Router {
    router.fallback(not_found).method_not_allowed_fallback(method_not_allowed).with_state(state)
}

/// The path of a request as it may be logged.
fn known(path: &str) -> &'static str {
    const PATHS: [&str; 9] = [
        "/graphql",
        "/graphql/ws",
        "/graphql/stream",
        "/",
        "/explorer",
        "/schema.graphql",
        "/health/live",
        "/health/ready",
        "/metrics",
    ];
    PATHS.into_iter().find(|known| *known == path).unwrap_or("other")
}

/// The schema, for tools. As closed as introspection is.
async fn schema(State(state): State<ServerState>) -> Response {
    if !state.app.config.introspection() {
        return not_found().await;
    }
    plain_text("text/plain; charset=utf-8", graphql::sdl())
}

async fn show_metrics() -> Response {
    plain_text("text/plain; version=0.0.4; charset=utf-8", metrics::install().render())
}

fn plain_text(content_type: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) async fn not_found() -> Response {
    plain_refusal(StatusCode::NOT_FOUND, "Nothing is at this address. The API is at /graphql.", "NOT_FOUND")
}

async fn method_not_allowed() -> Response {
    plain_refusal(StatusCode::METHOD_NOT_ALLOWED, "This address does not take that method.", "BAD_USER_INPUT")
}

/// Binds the address, or says in one sentence why that is not possible.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::internal(format!("{address} is in use by another program")),
        io::ErrorKind::PermissionDenied => Error::internal(format!("listening on {address} is not allowed")),
        _ => Error::internal(format!("cannot listen on {address}: {error}")),
    })
}
