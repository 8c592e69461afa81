//! GraphQL over server-sent events: the graphql-sse protocol in its distinct connections mode, at `/graphql/stream`.
//!
//! One operation, one request. `POST` takes `application/json` and every kind of operation; `GET`, for `EventSource`,
//! takes no mutations. The token comes in the `authorization` header only.
//!
//! | what happens | what the client sees |
//! | --- | --- |
//! | a result | `event: next` with the result |
//! | the operation is over | `event: complete` |
//! | refused before execution | `event: next` with the errors, then `event: complete`, as the protocol asks |
//! | a mutation, at a process of the role `realtime` | 421 |
//! | too many connections of this address, by way of a proxy | 429 |
//! | no well-formed request, or not one for here | 400, 405, 406, 408, 413, 415, as at `/graphql` |
//! | a bad or expired token | 401, which clients retry, asking for another token |
//! | the session is revoked | `event: next` with UNAUTHENTICATED, then `event: complete`: nothing to come back for |
//! | the token expires, the client reads too slowly, the server closes | the connection breaks without `complete`: clients connect again, and resume from their cursor |
//!
//! A stream that only ended would leave the standard client waiting for ever if it was busy at that moment; hence it
//! breaks.

use std::{collections::VecDeque, future::pending, io, sync::Arc, time::Duration};

use async_graphql::{ServerError, parser::types::OperationType};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use entity::Timestamp;
use futures_util::stream;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    engine::coded,
    http::{MediaType, plain_refusal, read_get, read_post},
    streaming::{Counted, DRAIN_SPREAD, Reader, encode_errors, encode_response, instant_of, random_fraction},
};
use crate::{
    auth::{Caller, Watch},
    delivery::{
        self, Subscription,
        outbox::{Closed, Outgoing},
    },
    presence::Connected,
    server::{
        ServerState,
        addresses::Place,
        request::{context_of, place_of},
        roles::{misdirected, misdirected_response},
    },
};

/// After how long a silent stream sends a comment.
const KEEP_ALIVE: Duration = Duration::from_secs(12);
/// Room for how many items is kept between two batches.
const KEPT_BATCH: usize = 8;

/// Answers at `/graphql/stream`.
pub async fn handler(State(state): State<ServerState>, request: Request) -> Response {
    serve(&state, request).await.unwrap_or_else(|refused| *refused)
}

async fn serve(state: &ServerState, request: Request) -> Result<Response, Box<Response>> {
    let (parts, body) = request.into_parts();
    if !accepts_event_stream(&parts.headers) {
        let message = "The answer would be text/event-stream; Accept does not allow it.";
        return Err(refuse(StatusCode::NOT_ACCEPTABLE, message, "BAD_USER_INPUT"));
    }
    let request = match parts.method {
        Method::POST => read_post(&parts.headers, body, MediaType::Json).await?,
        Method::GET => read_get(&parts, MediaType::Json)?,
        _ => {
            return Err(refuse_method(
                "Operations are sent by POST, queries and subscriptions by GET too.",
                "GET, POST",
            ));
        }
    };
    if state.closing.is_cancelled() {
        let mut refused = refuse(StatusCode::SERVICE_UNAVAILABLE, "The server restarts. Try again.", "UNAVAILABLE");
        refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return Err(refused);
    }
    let context = context_of(&parts, state);
    if let Caller::Rejected(reason) = context.caller {
        let mut refused = refuse(StatusCode::UNAUTHORIZED, reason, "UNAUTHENTICATED");
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return Err(refused);
    }
    let prepared = match state.engine.prepare(request) {
        Ok(prepared) => prepared,
        Err(errors) => return Ok(event_stream(refused(&errors))),
    };
    let role = state.app.config.server.role;
    if let Some(error) = misdirected(role, prepared.kind) {
        return Err(Box::new(misdirected_response(role, error)));
    }
    match prepared.kind {
        OperationType::Mutation if parts.method == Method::GET => {
            Err(refuse_method("Mutations are sent by POST.", "POST"))
        }
        OperationType::Query | OperationType::Mutation => {
            let executed = state.engine.execute(prepared, context).await;
            let events = if executed.began {
                let mut events = Vec::new();
                put_next(&mut events, &encode_response(&executed.response));
                put_complete(&mut events);
                events
            } else {
                refused(&executed.response.errors)
            };
            Ok(event_stream(events))
        }
        OperationType::Subscription => {
            let caller = context.caller;
            let place = place_of(state, &parts)?;
            let reader = Reader::new();
            match delivery::subscribe(&state.engine, prepared, context, &reader, Arc::from("")).await {
                Ok(subscription) => {
                    let events = Events::new(state, &caller, reader, subscription, place);
                    Ok(event_stream(Body::from_stream(stream::unfold(events, Events::next))))
                }
                Err(response) => Ok(event_stream(refused(&response.errors))),
            }
        }
    }
}

/// The events of a subscription, until one side has enough. Dropped with the connection, and so is the subscription.
struct Events {
    state: ServerState,
    reader: Reader,
    _subscription: Subscription,
    watch: Option<Watch>,
    /// Somebody is there for as long as they listen.
    _connected: Option<Connected>,
    /// When the access token dies.
    expires_at: Option<(Instant, Timestamp)>,
    keep_alive_at: Instant,
    /// When to leave, while the server closes.
    leave_at: Option<Instant>,
    is_over: bool,
    batch: VecDeque<Outgoing>,
    _counted: [Counted; 2],
    _place: Option<Place>,
    /// A server that closes waits for the stream to end.
    _tracked: TaskTrackerToken,
}

impl Events {
    fn new(
        state: &ServerState,
        caller: &Caller,
        reader: Reader,
        subscription: Subscription,
        place: Option<Place>,
    ) -> Self {
        let (watch, expires_at) = match caller {
            Caller::SignedIn { viewer, expires_at } => (
                Some(state.app.revocations.watch(viewer.session_id())),
                Some((instant_of(&state.app.clock, *expires_at), *expires_at)),
            ),
            Caller::Anonymous | Caller::Rejected(_) => (None, None),
        };
        Self {
            state: state.clone(),
            reader,
            _subscription: subscription,
            watch,
            _connected: caller.viewer().ok().map(|viewer| state.app.presence.connected(viewer.user_id())),
            expires_at,
            // At once: the comment brings the headers through proxies that wait for a first byte.
            keep_alive_at: Instant::now(),
            leave_at: None,
            is_over: false,
            batch: VecDeque::new(),
            _counted: [Counted::socket("sse"), Counted::subscription()],
            _place: place,
            _tracked: state.sockets.token(),
        }
    }

    /// What to write next; an error breaks the connection.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if self.is_over {
            return None;
        }
        let chunk = self.chunk().await;
        self.is_over |= chunk.is_err();
        Some((chunk, self))
    }

    async fn chunk(&mut self) -> io::Result<Bytes> {
        loop {
            let wake_at = [self.expires_at.map(|(at, _)| at), self.leave_at].into_iter().flatten();
            let wake_at = wake_at.fold(self.keep_alive_at, Instant::min);
            let revoked = async {
                match &self.watch {
                    Some(watch) => watch.revoked().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = revoked => {
                    self.is_over = true;
                    return Ok(refused(&[coded("The session has ended.", "UNAUTHENTICATED")]).into());
                }
                () = self.state.closing.cancelled(), if self.leave_at.is_none() => {
                    self.leave_at = Some(Instant::now() + DRAIN_SPREAD.mul_f64(random_fraction()));
                }
                () = sleep_until(wake_at) => {
                    if let Some(comment) = self.ring()? {
                        return Ok(comment);
                    }
                }
                taken = self.reader.take(&mut self.batch) => match taken {
                    Ok(()) => {
                        self.keep_alive_at = Instant::now() + KEEP_ALIVE;
                        return Ok(self.encode_batch());
                    }
                    Err(Closed::Overflow) => return Err(io::Error::other("the client reads too slowly")),
                    Err(Closed::Gone) => return Err(io::Error::other("the delivery ended")),
                },
            }
        }
    }

    /// Does what is due now.
    fn ring(&mut self) -> io::Result<Option<Bytes>> {
        let now = Instant::now();
        if let Some((at, expires_at)) = &mut self.expires_at
            && *at <= now
        {
            // The wall clock decides: it may have been set meanwhile.
            if *expires_at <= self.state.app.clock.now() {
                return Err(io::Error::other("the access token has expired"));
            }
            *at = instant_of(&self.state.app.clock, *expires_at);
        }
        if self.leave_at.is_some_and(|at| at <= now) {
            return Err(io::Error::other("the server closes"));
        }
        if self.keep_alive_at > now {
            return Ok(None);
        }
        self.keep_alive_at = now + KEEP_ALIVE;
        Ok(Some(Bytes::from_static(b":\n\n")))
    }

    fn encode_batch(&mut self) -> Bytes {
        let mut events = Vec::new();
        for item in self.batch.drain(..) {
            match item {
                Outgoing::Next { payload, .. } => put_next(&mut events, &payload),
                Outgoing::Error { errors, .. } => {
                    put_errors(&mut events, &errors);
                    put_complete(&mut events);
                    self.is_over = true;
                    break;
                }
                Outgoing::Complete { .. } => {
                    put_complete(&mut events);
                    self.is_over = true;
                    break;
                }
            }
        }
        if self.batch.capacity() > KEPT_BATCH {
            self.batch = VecDeque::new();
        }
        events.into()
    }
}

/// `payload` is JSON on one line.
fn put_next(events: &mut Vec<u8>, payload: &[u8]) {
    events.reserve(payload.len() + 32);
    events.extend_from_slice(b"event: next\ndata: ");
    events.extend_from_slice(payload);
    events.extend_from_slice(b"\n\n");
}

fn put_errors(events: &mut Vec<u8>, errors: &[u8]) {
    put_next(events, &[b"{\"errors\":", errors, b"}"].concat());
}

fn put_complete(events: &mut Vec<u8>) {
    events.extend_from_slice(b"event: complete\ndata:\n\n");
}

/// The whole stream of an operation that was refused.
fn refused(errors: &[ServerError]) -> Vec<u8> {
    let mut events = Vec::new();
    put_errors(&mut events, &encode_errors(errors));
    put_complete(&mut events);
    events
}

fn event_stream(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn refuse(status: StatusCode, message: &str, code: &'static str) -> Box<Response> {
    Box::new(plain_refusal(status, message, code))
}

fn refuse_method(message: &str, allow: &'static str) -> Box<Response> {
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, message, "BAD_USER_INPUT");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// Whether the client takes events. The most precise range that covers them decides; without an `Accept` anything goes.
fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let mut accepts = headers.get_all(header::ACCEPT).iter().filter(|value| !value.is_empty()).peekable();
    if accepts.peek().is_none() {
        return true;
    }
    let mut best = (0, false);
    for range in accepts.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let precision = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/event-stream" => 3,
            "text/*" => 2,
            "*/*" => 1,
            _ => continue,
        };
        let quality = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let is_wanted = quality.is_none_or(|(_, quality)| quality.parse::<f32>().is_ok_and(|quality| quality > 0.0));
        best = best.max((precision, is_wanted));
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_as_the_standard_client_prints_them() {
        let errors = [ServerError::new("two\nlines \u{2028} \"quoted\" 👋", None)];
        let text = String::from_utf8(refused(&errors)).expect("is text");
        let json = text
            .strip_prefix("event: next\ndata: ")
            .and_then(|text| text.strip_suffix("\n\nevent: complete\ndata:\n\n"));
        let json = json.expect("one result, then the end");
        assert!(!json.contains(['\n', '\r']), "{json}");
        let value: serde_json::Value = serde_json::from_str(json).expect("is JSON");
        assert_eq!(value["errors"][0]["message"], "two\nlines \u{2028} \"quoted\" 👋");
        assert!(value.get("data").is_none(), "nothing was executed");
    }

    #[test]
    fn the_client_must_take_events() {
        for (accept, expected) in [
            (&[][..], true),
            (&[""], true),
            (&["text/event-stream"], true),
            (&["Text/Event-Stream; charset=utf-8"], true),
            (&["application/json", "text/event-stream"], true),
            (&["application/json, text/*;q=0.1"], true),
            (&["*/*"], true),
            (&["*/*, text/event-stream;q=0"], false),
            (&["text/event-stream;q=0.0"], false),
            (&["application/json"], false),
            (&["text/html"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, value.parse().expect("a header"));
            }
            assert_eq!(accepts_event_stream(&headers), expected, "{accept:?}");
        }
    }
}
