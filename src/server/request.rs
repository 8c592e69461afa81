//! What is known of a request before anybody looks at what it asks.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use ipnet::IpNet;

use super::{ServerState, addresses::Place};
use crate::{
    auth::{RequestContext, authenticate},
    clock::random_bytes,
    graphql::http::plain_refusal,
};

/// Longest `x-request-id` of a client that is taken over.
const MAX_REQUEST_ID: usize = 64;
/// Longest `user-agent` that is kept: it names a session in a list for people.
const MAX_USER_AGENT: usize = 256;

/// The request's number and sender; in the extensions of every request that reaches a handler.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    pub request_id: Arc<str>,
    pub client_ip: IpAddr,
    /// Whether it came by a proxy of ours, whose connection carries requests of many clients.
    pub by_proxy: bool,
}

/// With the caller of the `authorization` header. A token in the URL is never looked at. A bad token does not stop the
/// request: the caller is then [`crate::auth::Caller::Rejected`], and fields decide.
impl FromRequestParts<ServerState> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState) -> Result<Self, Infallible> {
        Ok(context_of(parts, state))
    }
}

/// As the extractor, for handlers that take the request apart themselves.
pub fn context_of(parts: &Parts, state: &ServerState) -> RequestContext {
    let info = parts.extensions.get::<RequestInfo>();
    // What is not text is not a token either, and is refused as such.
    let authorization = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    RequestContext {
        caller: authenticate(&state.app, authorization),
        request_id: info.map_or_else(new_request_id, |info| Arc::clone(&info.request_id)),
        client_ip: info.map_or(IpAddr::from([0, 0, 0, 0]), |info| info.client_ip),
        user_agent: user_agent.map(|text| text.get(..MAX_USER_AGENT).unwrap_or(text).into()),
    }
}

/// A place for a socket or a stream among the connections of its client's address, or the answer that refuses it. Its
/// own connection has one already, unless it is a proxy's.
pub fn place_of(state: &ServerState, parts: &Parts) -> Result<Option<Place>, Box<Response>> {
    match parts.extensions.get::<RequestInfo>() {
        Some(info) if info.by_proxy => state.addresses.place(info.client_ip).map_err(|_| {
            let message = "Too many connections from this address. Close some, or try again in 5 s.";
            let mut refused = plain_refusal(StatusCode::TOO_MANY_REQUESTS, message, "RATE_LIMITED");
            refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            Box::new(refused)
        }),
        _ => Ok(None),
    }
}

/// The client's own `x-request-id` if it can stand in a log and a header, or else a new one.
pub fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    match given {
        Some(id) if is_sane_request_id(id) => id.into(),
        _ => new_request_id(),
    }
}

fn is_sane_request_id(id: &str) -> bool {
    (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Sixteen hexadecimal digits, never twice the same in one process and hard to guess from the one before. It is a
/// label, not a secret.
fn new_request_id() -> Arc<str> {
    static SEED: LazyLock<u64> = LazyLock::new(|| u64::from_le_bytes(random_bytes()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // The mixing steps of splitmix64, each of which can be undone: different counts give different ids.
    let mut id = SEED.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    id ^= id >> 31;
    let mut digits = [0; 16];
    for (idx, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(id >> (60 - 4 * idx)) as usize & 0xf];
    }
    std::str::from_utf8(&digits).expect("hexadecimal digits are ASCII").into()
}

/// Who sent the request: the peer, or, when the peer is a proxy of ours, the right-most address of `X-Forwarded-For`
/// that is not a proxy of ours. Whatever stands further left was written by the client and proves nothing.
pub fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted_proxies.iter().any(|proxies| proxies.contains(&address));
    if trusted_proxies.is_empty() || !is_trusted(client) {
        return client;
    }
    let values: Vec<_> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        // A proxy writes addresses; at anything else, the last address that one of ours vouched for stands.
        let Some(address) = parse_hop(hop.trim()) else { break };
        client = address;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

fn parse_hop(hop: &str) -> Option<IpAddr> {
    let address = hop
        .parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()))
        .or_else(|_| hop.trim_start_matches('[').trim_end_matches(']').parse());
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_forwarded_address_is_believed_only_from_our_proxies() {
        let proxies = ["10.0.0.1/32", "10.0.0.2/31"].map(|network| network.parse::<IpNet>().expect("a network"));
        for (peer, forwarded, expected) in [
            // Not from a proxy: the header is the client's own invention.
            ("203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["1.1.1.1, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1, nonsense, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().expect("a header"));
            }
            assert_eq!(client_ip(ip(peer), &headers, &proxies), ip(expected), "{peer} {forwarded:?}");
            assert_eq!(client_ip(ip(peer), &headers, &[]), ip(peer).to_canonical(), "no proxies: {peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_request_id_is_kept_if_it_is_harmless() {
        let id_of = |given: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", axum::http::HeaderValue::from_bytes(given).expect("a header"));
            request_id(&headers)
        };
        assert_eq!(&*id_of(b"0190-abc_D.7"), "0190-abc_D.7");
        for strange in [&b""[..], b"a b", b"a\"b", "\u{e9}".as_bytes(), &[b'a'; 65]] {
            let id = id_of(strange);
            assert!(id.len() == 16 && is_sane_request_id(&id), "{id}");
        }
    }

    #[test]
    fn new_request_ids_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| new_request_id()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
