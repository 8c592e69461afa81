//! GraphQL over HTTP (<https://graphql.github.io/graphql-over-http/draft/>) at `/graphql`.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST` with `application/json` | the operation's result |
//! | `POST` with another or no type, another charset than UTF-8, or an encoded body | 415: simple cross-site forms never reach the schema |
//! | `POST` of more than [`MAX_BODY`] bytes | 413 |
//! | `POST` that does not arrive within [`BODY_TIMEOUT`] | 408 |
//! | `GET` of a query | its result |
//! | `GET` of a mutation | 405 |
//! | subscription | 400, and where subscriptions are |
//! | mutation, at a process of the role `realtime` | 421, see [`crate::server::roles`] |
//! | another method | 405 |
//! | `Accept` that allows neither type | 406 |
//! | no well-formed request: broken JSON, a batch, no `query`, wrong types | 400 |
//! | refused before execution, as `application/graphql-response+json` | 400 |
//! | refused before execution, as `application/json` | 200, as that type's clients expect |
//! | executed, with or without errors | 200 |
//!
//! Every body is a GraphQL response; one of a request that was not executed has no `data`.

use std::time::Duration;

use async_graphql::{ServerError, parser::types::OperationType};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::engine::{Executed, GraphqlRequest, bad_request, coded};
use crate::{
    rate_limits,
    server::{
        ServerState,
        request::context_of,
        roles::{misdirected, misdirected_response},
    },
};

/// Most bytes of a request's body.
pub const MAX_BODY: usize = 128 * 1024;
/// How long a body may take to arrive, however steadily it drips.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Most bytes of a refused body that are read and thrown away, so that the client gets to reading the answer.
const MAX_DRAIN: u64 = 16 * 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");

/// Answers at `/graphql`.
pub async fn handler(State(state): State<ServerState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(media_type) = negotiate(&parts.headers) else {
        drain(body, &parts.headers).await;
        let message =
            "The answer would be application/graphql-response+json or application/json; Accept allows neither.";
        return refuse(StatusCode::NOT_ACCEPTABLE, MediaType::Json, message);
    };
    match parts.method {
        Method::POST => post(&state, parts, body, media_type).await,
        Method::GET | Method::HEAD => get(&state, parts, media_type).await,
        // A preflight was answered before; this is somebody asking what there is.
        Method::OPTIONS => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.headers_mut().insert(header::ALLOW, ALLOWED_METHODS);
            response
        }
        _ => {
            drain(body, &parts.headers).await;
            let mut response = refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                media_type,
                "GraphQL is served over POST, queries over GET too.",
            );
            response.headers_mut().insert(header::ALLOW, ALLOWED_METHODS);
            response
        }
    }
}

async fn post(state: &ServerState, parts: Parts, body: Body, media_type: MediaType) -> Response {
    match read_post(&parts.headers, body, media_type).await {
        Ok(request) => execute(state, &parts, request, media_type).await,
        Err(refused) => *refused,
    }
}

async fn get(state: &ServerState, parts: Parts, media_type: MediaType) -> Response {
    if parts.headers.contains_key(header::UPGRADE) {
        return refuse(StatusCode::BAD_REQUEST, media_type, "WebSockets connect to /graphql/ws.");
    }
    match read_get(&parts, media_type) {
        Ok(request) => execute(state, &parts, request, media_type).await,
        Err(refused) => *refused,
    }
}

/// The request in the body of a `POST`, or the answer that refuses it.
pub(super) async fn read_post(
    headers: &HeaderMap,
    body: Body,
    media_type: MediaType,
) -> Result<GraphqlRequest, Box<Response>> {
    if let Err(message) = check_content(headers) {
        drain(body, headers).await;
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, media_type, message).into());
    }
    let body = match read(body, headers).await {
        Ok(body) => body,
        Err(BodyError::TooLarge) => {
            let message = format!("The body is larger than {MAX_BODY} bytes.");
            let error = coded(message, "TOO_COMPLEX");
            return Err(encode_refusal(StatusCode::PAYLOAD_TOO_LARGE, media_type, &[error]).into());
        }
        Err(BodyError::TooSlow) => {
            let mut response = refuse(StatusCode::REQUEST_TIMEOUT, media_type, "The body took too long to arrive.");
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return Err(response.into());
        }
        Err(BodyError::Broken) => {
            return Err(refuse(StatusCode::BAD_REQUEST, media_type, "The body did not arrive whole.").into());
        }
    };
    GraphqlRequest::from_json(&body)
        .map_err(|error| encode_refusal(StatusCode::BAD_REQUEST, media_type, &[error]).into())
}

/// The request in the URL of a `GET`, or the answer that refuses it.
pub(super) fn read_get(parts: &Parts, media_type: MediaType) -> Result<GraphqlRequest, Box<Response>> {
    from_query_string(parts.uri.query().unwrap_or_default())
        .map_err(|error| encode_refusal(StatusCode::BAD_REQUEST, media_type, &[error]).into())
}

async fn execute(state: &ServerState, parts: &Parts, request: GraphqlRequest, media_type: MediaType) -> Response {
    let prepared = match state.engine.prepare(request) {
        Ok(prepared) => prepared,
        Err(errors) => return encode_refusal(media_type.status_of_refusal(), media_type, &errors),
    };
    match prepared.kind {
        OperationType::Mutation if parts.method != Method::POST => {
            let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, media_type, "Mutations are sent by POST.");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        OperationType::Subscription => {
            let message =
                "Subscriptions are served at /graphql/ws (graphql-transport-ws) and /graphql/stream (graphql-sse).";
            return refuse(StatusCode::BAD_REQUEST, media_type, message);
        }
        OperationType::Query | OperationType::Mutation => {}
    }
    let role = state.app.config.server.role;
    if let Some(error) = misdirected(role, prepared.kind) {
        return misdirected_response(role, error);
    }
    let context = context_of(parts, state);
    let Executed { response, began, retry_after, counted } = state.engine.execute(prepared, context).await;
    let mut answer = if began {
        encode(StatusCode::OK, media_type, &response)
    } else {
        encode_refusal(media_type.status_of_refusal(), media_type, &response.errors)
    };
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some((policies, limits)) = rate_limits::header_fields(&counted) {
        for (name, value) in [("ratelimit-policy", policies), ("ratelimit", limits)] {
            let value = HeaderValue::try_from(value).expect("names and numbers can stand in a header");
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

// ---------------------------------------------------------------- what came

/// Reads a request from a URL's query. Names are as in a body; `variables` and `extensions` are JSON.
fn from_query_string(query: &str) -> Result<GraphqlRequest, ServerError> {
    let (mut document, mut document_id) = (None, None);
    let (mut operation_name, mut variables, mut extensions) = (None, None, None);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let place = match &*name {
            "query" => &mut document,
            "documentId" => &mut document_id,
            "operationName" => &mut operation_name,
            "variables" => &mut variables,
            "extensions" => &mut extensions,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(bad_request(format!("The parameter {name} is there twice.")));
        }
    }
    let parse_error = |name: &str| bad_request(format!("The parameter {name} must be a JSON object."));
    let given = |text: &std::borrow::Cow<'_, str>| !text.is_empty();
    let request = GraphqlRequest {
        query: document.filter(given).map(Into::into),
        document_id: document_id.map(Into::into),
        operation_name: operation_name.map(Into::into),
        variables: match variables.filter(given) {
            Some(text) => serde_json::from_str(&text).map_err(|_| parse_error("variables"))?,
            None => None,
        },
        extensions: match extensions.filter(given) {
            Some(text) => serde_json::from_str(&text).map_err(|_| parse_error("extensions"))?,
            None => None,
        },
    };
    match request.has_document() {
        true => Ok(request),
        false => Err(bad_request("The parameter query is missing.")),
    }
}

/// Whether the body is JSON in UTF-8 as it is, or a sentence why not.
fn check_content(headers: &HeaderMap) -> Result<(), &'static str> {
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err("Encoded bodies are not accepted: leave Content-Encoding out.");
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(content_type), None) = (types.next(), types.next()) else {
        return Err("The body must be sent as Content-Type: application/json.");
    };
    let content_type = content_type.to_str().unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Err("The body must be sent as Content-Type: application/json.");
    }
    if !parts.all(is_utf8_or_no_charset) {
        return Err("The body must be in UTF-8.");
    }
    Ok(())
}

/// Whether a parameter of a media type names no other charset than UTF-8.
fn is_utf8_or_no_charset(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    }
}

enum BodyError {
    TooLarge,
    TooSlow,
    Broken,
}

/// Reads a body, within the limits of size and time. One that comes in one piece is not copied.
async fn read(mut body: Body, headers: &HeaderMap) -> Result<Bytes, BodyError> {
    if content_length(headers).is_some_and(|length| length > MAX_BODY as u64) {
        drain(body, headers).await;
        return Err(BodyError::TooLarge);
    }
    let deadline = Instant::now() + BODY_TIMEOUT;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(BodyError::Broken),
            Ok(None) => break,
            Err(_) => return Err(BodyError::TooSlow),
        };
        let Ok(data) = frame.into_data() else { continue };
        if first.len().max(all.len()) + data.len() > MAX_BODY {
            drain(body, headers).await;
            return Err(BodyError::TooLarge);
        }
        if first.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Reads what is left of a body that is refused. A connection closed on a client that is still sending would lose it
/// the answer. Bounded: a client that sends on and on is closed on.
async fn drain(mut body: Body, headers: &HeaderMap) {
    if content_length(headers).is_some_and(|length| length > MAX_DRAIN) {
        return;
    }
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    let mut n_bytes = 0;
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        n_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if n_bytes > MAX_DRAIN {
            return;
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

// ---------------------------------------------------------------- what goes

/// The type of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/graphql-response+json`: its status says whether the operation was executed.
    GraphqlResponse,
    /// `application/json`: for clients that take everything but 200 for a broken network.
    Json,
}

impl MediaType {
    const fn content_type(self) -> HeaderValue {
        match self {
            Self::GraphqlResponse => HeaderValue::from_static("application/graphql-response+json; charset=utf-8"),
            Self::Json => HeaderValue::from_static("application/json; charset=utf-8"),
        }
    }

    /// Of a well-formed request that was refused before execution.
    const fn status_of_refusal(self) -> StatusCode {
        match self {
            Self::GraphqlResponse => StatusCode::BAD_REQUEST,
            Self::Json => StatusCode::OK,
        }
    }
}

/// The type that the client likes best. Of two that it likes as much, the one that it names more precisely, then
/// `application/graphql-response+json`. Without an `Accept`, and for one that only has wildcards, `application/json`:
/// such clients are the oldest.
pub fn negotiate(headers: &HeaderMap) -> Option<MediaType> {
    let mut accepts = headers.get_all(header::ACCEPT).iter().filter(|value| !value.is_empty()).peekable();
    if accepts.peek().is_none() {
        return Some(MediaType::Json);
    }
    let (mut graphql_response, mut json) = (Preference::default(), Preference::default());
    for range in accepts.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let (mut quality, mut fits) = (1000, true);
        for parameter in parts {
            match parameter.split_once('=') {
                Some((name, value)) if name.trim().eq_ignore_ascii_case("q") => quality = parse_quality(value.trim()),
                _ => fits &= is_utf8_or_no_charset(parameter),
            }
        }
        if !fits {
            continue;
        }
        if essence.eq_ignore_ascii_case("application/graphql-response+json") {
            graphql_response.note(3, quality);
        } else if essence.eq_ignore_ascii_case("application/json") {
            json.note(3, quality);
        } else if essence.eq_ignore_ascii_case("application/*") {
            graphql_response.note(2, quality);
            json.note(2, quality);
        } else if essence == "*/*" {
            graphql_response.note(1, quality);
            json.note(1, quality);
        }
    }
    match graphql_response.rank().max(json.rank()) {
        (0, _) => None,
        best if best == json.rank() && (best != graphql_response.rank() || best.1 < 3) => Some(MediaType::Json),
        _ => Some(MediaType::GraphqlResponse),
    }
}

/// What an `Accept` says of one type: the most precise range that covers it counts.
#[derive(Default)]
struct Preference {
    precision: u8,
    /// In thousandths.
    quality: u16,
}

impl Preference {
    fn note(&mut self, precision: u8, quality: u16) {
        if precision > self.precision {
            *self = Self { precision, quality };
        } else if precision == self.precision {
            self.quality = self.quality.max(quality);
        }
    }

    fn rank(&self) -> (u16, u8) {
        (self.quality, self.precision)
    }
}

/// A quality in thousandths; one that cannot be read is 1.
fn parse_quality(text: &str) -> u16 {
    text.parse::<f32>().map_or(1000, |quality| (quality.clamp(0.0, 1.0) * 1000.0) as u16)
}

/// Refuses what is no GraphQL request for us.
fn refuse(status: StatusCode, media_type: MediaType, message: impl Into<String>) -> Response {
    encode_refusal(status, media_type, &[bad_request(message)])
}

/// The answer to what was not executed: errors, and no `data`.
fn encode_refusal(status: StatusCode, media_type: MediaType, errors: &[ServerError]) -> Response {
    #[derive(Serialize)]
    struct Refusal<'a> {
        errors: &'a [ServerError],
    }
    encode(status, media_type, &Refusal { errors })
}

fn encode(status: StatusCode, media_type: MediaType, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(1024);
    serde_json::to_writer(&mut bytes, body).expect("a GraphQL response has text for keys and is written to memory");
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type.content_type());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// An answer of the server that is not the schema's: an unknown path, a refused origin.
pub fn plain_refusal(status: StatusCode, message: &str, code: &'static str) -> Response {
    plain_refusals(status, &[coded(message, code)])
}

/// As [`plain_refusal`], with errors of more than a code.
pub fn plain_refusals(status: StatusCode, errors: &[ServerError]) -> Response {
    encode_refusal(status, MediaType::Json, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn the_type_that_the_client_likes_best() {
        use MediaType::{GraphqlResponse, Json};
        for (accept, expected) in [
            (&[][..], Some(Json)),
            (&[""], Some(Json)),
            (&["*/*"], Some(Json)),
            (&["application/*"], Some(Json)),
            (&["application/json"], Some(Json)),
            (&["application/json; charset=utf-8"], Some(Json)),
            (&["application/json; charset=\"UTF-8\""], Some(Json)),
            (&["application/json; charset=latin1"], None),
            (&["application/graphql-response+json"], Some(GraphqlResponse)),
            (&["APPLICATION/GraphQL-Response+JSON"], Some(GraphqlResponse)),
            (
                &["application/graphql-response+json; charset=utf-8, application/json; charset=utf-8"],
                Some(GraphqlResponse),
            ),
            (&["application/json, application/graphql-response+json"], Some(GraphqlResponse)),
            (&["application/json", "application/graphql-response+json"], Some(GraphqlResponse)),
            (&["application/json, application/graphql-response+json;q=0.9"], Some(Json)),
            (&["application/graphql-response+json;q=0.5, application/json;q=0.4"], Some(GraphqlResponse)),
            (&["application/graphql-response+json, */*"], Some(GraphqlResponse)),
            (&["application/json, text/plain, */*"], Some(Json)),
            (&["application/json;q=0, */*"], Some(GraphqlResponse)),
            (&["application/json;q=0.1, */*"], Some(GraphqlResponse)),
            (&["application/*;q=0.1, */*"], Some(Json)),
            (&["text/html, application/xhtml+xml, */*;q=0.8"], Some(Json)),
            (&["text/html"], None),
            (&["*/*;q=0"], None),
            (&["application/json;q=nonsense"], Some(Json)),
            (&["multipart/mixed; boundary=graphql, application/json"], Some(Json)),
            (&[",,;"], None),
        ] {
            assert_eq!(negotiate(&headers(header::ACCEPT, accept)), expected, "{accept:?}");
        }
    }

    #[test]
    fn bodies_are_json_in_utf_8_and_not_encoded() {
        for (types, is_accepted) in [
            (&["application/json"][..], true),
            (&["application/json; charset=utf-8"], true),
            (&["Application/JSON;charset=\"UTF-8\""], true),
            (&["application/json; charset=utf-16"], false),
            (&["application/json; charset=iso-8859-1"], false),
            (&["application/graphql"], false),
            (&["application/graphql-response+json"], false),
            (&["text/plain"], false),
            (&["text/plain; application/json"], false),
            (&["application/x-www-form-urlencoded"], false),
            (&["multipart/form-data; boundary=x"], false),
            (&["application/json", "text/plain"], false),
            (&["application/json, text/plain"], false),
            (&[""], false),
            (&[], false),
        ] {
            assert_eq!(check_content(&headers(header::CONTENT_TYPE, types)).is_ok(), is_accepted, "{types:?}");
        }
        let mut encoded = headers(header::CONTENT_TYPE, &["application/json"]);
        encoded.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(check_content(&encoded).is_err());
        encoded.insert(header::CONTENT_ENCODING, HeaderValue::from_static("identity"));
        assert!(check_content(&encoded).is_ok());
    }

    #[test]
    fn a_url_carries_a_request() {
        let request =
            from_query_string("query=%7Ba%7D&operationName=A&variables=%7B%22a%22%3A1%7D&token=t&extensions=")
                .expect("is read");
        assert_eq!((request.query.as_deref(), request.operation_name.as_deref()), (Some("{a}"), Some("A")));
        assert_eq!(request.variables.expect("are there").len(), 1);
        for bad in [
            "",
            "query=",
            "documentId=",
            "query=a&query=b",
            "query=a&variables=1",
            "query=a&variables=[]",
            "query=a&extensions=1",
        ] {
            assert!(from_query_string(bad).is_err(), "{bad}");
        }
        let with_null = from_query_string("query=a&variables=null&extensions=null").expect("is read");
        assert!(with_null.variables.is_none() && with_null.extensions.is_none());
    }
}
