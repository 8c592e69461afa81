//! GraphQL over WebSockets: the graphql-transport-ws protocol.
//!
//! The upgrade is made here and not by axum's extractor, because its socket hides the connection: the frames of a
//! burst could not be written at once without a write buffer that each socket then keeps for its life.

mod protocol;
mod session;
mod wire;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use self::protocol::Close;
use super::http::plain_refusal;
use crate::server::{
    ServerState,
    request::{context_of, place_of},
};

/// Answers at `/graphql/ws`: upgrades to a WebSocket and serves it in a task of its own. Whether the page's origin may
/// call was asked before.
pub async fn handler(State(state): State<ServerState>, mut request: Request) -> Response {
    let accept = match accept_key(&request) {
        Ok(accept) => accept,
        Err(refused) => return *refused,
    };
    let offered = offers_protocol(request.headers());
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let place = match place_of(&state, &parts) {
        Ok(place) => place,
        Err(refused) => return *refused,
    };
    let context = context_of(&parts, &state);

    let socket = {
        let state = state.clone();
        async move {
            let _place = place;
            // The client left before it was answered: nothing to do.
            let Ok(upgraded) = upgrade.await else { return };
            let stream = TokioIo::new(upgraded);
            if offered {
                session::run(stream, state, context).await;
            } else {
                session::refuse(stream, Close::NO_SUBPROTOCOL).await;
            }
        }
    };
    state.sockets.spawn(socket);

    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if offered {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol::NAME));
    }
    response
}

/// What answers the client's key, or why this is no WebSocket handshake (RFC 6455, 4.2).
fn accept_key(request: &Request) -> Result<HeaderValue, Box<Response>> {
    let headers = request.headers();
    let upgrades = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && names(headers, header::CONNECTION).any(|name| name.eq_ignore_ascii_case("upgrade"))
        && names(headers, header::UPGRADE).any(|name| name.eq_ignore_ascii_case("websocket"));
    let is_version_13 = headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    if !upgrades || !is_version_13 {
        let message = "A WebSocket is served here: connect with the protocol graphql-transport-ws.";
        let mut response = plain_refusal(StatusCode::UPGRADE_REQUIRED, message, "BAD_USER_INPUT");
        let hints =
            [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_VERSION, "13")];
        response.headers_mut().extend(hints.map(|(name, value)| (name, HeaderValue::from_static(value))));
        return Err(Box::new(response));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
    let key = key.ok_or_else(|| {
        plain_refusal(StatusCode::BAD_REQUEST, "The Sec-WebSocket-Key is not valid.", "BAD_USER_INPUT")
    })?;
    Ok(derive_accept_key(key).try_into().expect("base64 is a header value"))
}

fn offers_protocol(headers: &HeaderMap) -> bool {
    names(headers, header::SEC_WEBSOCKET_PROTOCOL).any(|name| name == protocol::NAME)
}

/// The members of a header that is a list.
fn names(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}
