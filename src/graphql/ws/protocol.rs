//! The words of graphql-transport-ws. Nothing here waits, reads or writes.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::graphql::engine::GraphqlRequest;

/// The sub-protocol's name in the handshake.
pub const NAME: &str = "graphql-transport-ws";

const MAX_ID_BYTES: usize = 256;

/// Why the server ends a socket.
///
/// Standard clients try again after 4403, 4408, 1012 and 1013, and take the others for final. The reason is fixed
/// text: a close frame holds 123 bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    pub code: u16,
    pub reason: &'static str,
}

impl Close {
    pub const UNAUTHORIZED: Self = Self::new(4401, "Unauthorized: send connection_init first");
    pub const NO_SUBPROTOCOL: Self = Self::new(4406, "Subprotocol not acceptable: offer graphql-transport-ws");
    pub const NO_INIT: Self = Self::new(4408, "Connection initialisation timeout");
    pub const DUPLICATE_ID: Self = Self::new(4409, "Subscriber for this id already exists");
    pub const SECOND_INIT: Self = Self::new(4429, "Too many initialisation requests");
    pub const ANONYMOUS: Self = Self::new(4401, "Nobody signed in, and nothing was asked for a while");
    pub const BINARY: Self = Self::bad_message("Messages are text");
    pub const EXPIRED: Self = Self::forbidden("The access token has expired.");
    pub const NOT_A_WEBSOCKET: Self = Self::new(1002, "Protocol error");
    pub const NOT_UTF8: Self = Self::new(1007, "Text must be UTF-8");
    pub const REVOKED: Self = Self::new(1008, "The session has ended.");
    pub const TOO_BIG: Self = Self::new(1009, "A message may have 64 KiB");
    pub const DRAIN: Self = Self::new(1012, "The server restarts. Connect again.");
    pub const TOO_SLOW: Self = Self::new(1013, "Read too slowly. Connect again and resume from the cursor.");
    pub const TOO_MANY_OPERATIONS: Self = Self::new(1013, "Too many operations on one socket");

    const fn new(code: u16, reason: &'static str) -> Self {
        assert!(reason.len() <= 123, "must fit into a control frame");
        Self { code, reason }
    }

    const fn bad_message(reason: &'static str) -> Self {
        Self::new(4400, reason)
    }

    /// The token is bad or has expired; the client may come back with another one.
    pub const fn forbidden(reason: &'static str) -> Self {
        Self::new(4403, reason)
    }
}

/// What a client says.
#[derive(Debug)]
pub enum ClientMessage {
    ConnectionInit {
        /// `authorization` of the payload.
        authorization: Option<Authorization>,
    },
    Ping {
        /// To be sent back.
        payload: Option<Box<RawValue>>,
    },
    Pong,
    Subscribe {
        id: Arc<str>,
        payload: GraphqlRequest,
    },
    Complete {
        id: Arc<str>,
    },
}

/// What a client put under `authorization`.
#[derive(Debug, PartialEq, Eq)]
pub enum Authorization {
    Text(String),
    /// Not even text.
    Other,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

/// Reads a text message.
pub fn parse(text: &str) -> Result<ClientMessage, Close> {
    if !is_object(text) {
        return Err(Close::bad_message("A message must be a JSON object"));
    }
    let Envelope { kind, id, payload } =
        serde_json::from_str(text).map_err(|_| Close::bad_message("A message must be a JSON object with a `type`"))?;
    match kind.as_str() {
        "connection_init" => {
            let payload = optional_object(payload)?;
            Ok(ClientMessage::ConnectionInit { authorization: payload.and_then(authorization) })
        }
        "ping" => Ok(ClientMessage::Ping { payload: optional_object(payload)?.map(ToOwned::to_owned) }),
        "pong" => optional_object(payload).map(|_| ClientMessage::Pong),
        "subscribe" => {
            let id = operation_id(id)?;
            let payload = payload.map(RawValue::get).filter(|text| is_object(text));
            let payload = payload.ok_or(Close::bad_message("`subscribe` needs a payload object"))?;
            let payload = serde_json::from_str(payload).map_err(|_| {
                Close::bad_message("The payload must have a `query`, and fitting operationName, variables, extensions")
            })?;
            Ok(ClientMessage::Subscribe { id, payload })
        }
        "complete" => Ok(ClientMessage::Complete { id: operation_id(id)? }),
        _ => Err(Close::bad_message("Unknown message type")),
    }
}

fn is_object(text: &str) -> bool {
    text.trim_ascii_start().starts_with('{')
}

fn optional_object(payload: Option<&RawValue>) -> Result<Option<&RawValue>, Close> {
    match payload {
        Some(payload) if !is_object(payload.get()) => Err(Close::bad_message("The payload must be an object")),
        payload => Ok(payload),
    }
}

fn authorization(payload: &RawValue) -> Option<Authorization> {
    let mut payload: serde_json::Map<String, serde_json::Value> = serde_json::from_str(payload.get()).ok()?;
    match payload.remove("authorization").or_else(|| payload.remove("Authorization"))? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(Authorization::Text(text)),
        _ => Some(Authorization::Other),
    }
}

/// The id as it is written into frames: JSON, with its quotes. Equal ids have equal JSON.
fn operation_id(id: Option<&RawValue>) -> Result<Arc<str>, Close> {
    const WRONG: Close = Close::bad_message("`id` must be a string of 1 to 256 bytes");
    let id: String = id.and_then(|id| serde_json::from_str(id.get()).ok()).ok_or(WRONG)?;
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Err(WRONG);
    }
    Ok(serde_json::to_string(&id).expect("text is JSON").into())
}

/// What the server says: each function appends one whole WebSocket frame.
pub mod frames {
    pub fn connection_ack(out: &mut Vec<u8>) {
        text(out, &[br#"{"type":"connection_ack"}"#]);
    }

    pub fn pong(out: &mut Vec<u8>, payload: Option<&str>) {
        match payload {
            Some(payload) => text(out, &[br#"{"type":"pong","payload":"#, payload.as_bytes(), b"}"]),
            None => text(out, &[br#"{"type":"pong"}"#]),
        }
    }

    pub fn next(out: &mut Vec<u8>, id: &str, payload: &[u8]) {
        text(out, &[br#"{"id":"#, id.as_bytes(), br#","type":"next","payload":"#, payload, b"}"]);
    }

    pub fn error(out: &mut Vec<u8>, id: &str, errors: &[u8]) {
        text(out, &[br#"{"id":"#, id.as_bytes(), br#","type":"error","payload":"#, errors, b"}"]);
    }

    pub fn complete(out: &mut Vec<u8>, id: &str) {
        text(out, &[br#"{"id":"#, id.as_bytes(), br#","type":"complete"}"#]);
    }

    /// The WebSocket's own ping, which clients answer by themselves.
    pub fn websocket_ping(out: &mut Vec<u8>) {
        out.extend_from_slice(&[0x89, 0]);
    }

    /// Most bytes that a frame takes beyond an id and a payload.
    pub const OVERHEAD: usize = 64;

    fn text(out: &mut Vec<u8>, parts: &[&[u8]]) {
        const FINAL_TEXT: u8 = 0x81;
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        out.reserve(len + 10);
        out.push(FINAL_TEXT);
        match len {
            0..=125 => out.push(len as u8),
            126..=0xffff => {
                out.push(126);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                out.push(127);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        for part in parts {
            out.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Arc<str> {
        serde_json::to_string(text).expect("text is JSON").into()
    }

    fn authorization_of(text: &str) -> Option<Authorization> {
        match parse(text) {
            Ok(ClientMessage::ConnectionInit { authorization }) => authorization,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn messages_of_the_protocol_are_understood() {
        let token = || Some(Authorization::Text("Bearer x".into()));
        assert_eq!(authorization_of(r#"{"type":"connection_init"}"#), None);
        assert_eq!(authorization_of(r#" {"type":"connection_init","payload":null,"more":1}"#), None);
        assert_eq!(authorization_of(r#"{"type":"connection_init","payload":{"a":[1]}}"#), None);
        assert_eq!(authorization_of(r#"{"type":"connection_init","payload":{"authorization":"Bearer x"}}"#), token());
        assert_eq!(authorization_of(r#"{"payload":{"Authorization":"Bearer x"},"type":"connection_init"}"#), token());
        assert_eq!(authorization_of(r#"{"type":"connection_init","payload":{"authorization":null}}"#), None);
        assert_eq!(
            authorization_of(r#"{"type":"connection_init","payload":{"authorization":7}}"#),
            Some(Authorization::Other)
        );

        let Ok(ClientMessage::Ping { payload }) = parse(r#"{"type":"ping","payload":{"n": 1}}"#) else { panic!() };
        assert_eq!(payload.expect("sent").get(), r#"{"n": 1}"#);
        assert!(matches!(parse(r#"{"type":"ping","id":7}"#), Ok(ClientMessage::Ping { payload: None })));
        assert!(matches!(parse(r#"{"type":"pong","payload":{}}"#), Ok(ClientMessage::Pong)));
        assert!(
            matches!(parse(r#"{"type":"complete","id":"a"}"#), Ok(ClientMessage::Complete { id: it }) if it == id("a"))
        );
        let subscribe = r#"{"id":"\u0061\"\n👋","type":"subscribe","payload":{"query":"{a}","operationName":null,
            "variables":{"a":1},"extensions":{}}}"#;
        let Ok(ClientMessage::Subscribe { id: it, payload }) = parse(subscribe) else { panic!() };
        assert_eq!((it, payload.query.as_deref()), (id("a\"\n👋"), Some("{a}")));
    }

    #[test]
    fn anything_else_is_a_bad_message() {
        let subscribe = |id: &str, payload: &str| format!(r#"{{"type":"subscribe","id":{id},"payload":{payload}}}"#);
        let long = serde_json::to_string(&"é".repeat(129)).expect("text is JSON");
        for text in [
            "",
            "hello",
            "7",
            "null",
            r#"["connection_init"]"#,
            r#"{"type":"connection_init"} x"#,
            r#"{"type":"connection_init""#,
            r#"{"id":"1"}"#,
            r#"{"type":7}"#,
            r#"{"type":null}"#,
            r#"{"type":"connection_init","payload":[]}"#,
            r#"{"type":"connection_init","payload":"x"}"#,
            r#"{"type":"ping","payload":1}"#,
            r#"{"type":"pong","payload":true}"#,
            r#"{"type":"start","id":"1","payload":{"query":"{a}"}}"#,
            r#"{"type":"connection_terminate"}"#,
            r#"{"type":"next","id":"1","payload":{}}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"complete","id":""}"#,
            r#"{"type":"complete","id":1}"#,
            r#"{"type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            &subscribe("null", r#"{"query":"{a}"}"#),
            &subscribe(r#""\ud800""#, r#"{"query":"{a}"}"#),
            &subscribe(&long, r#"{"query":"{a}"}"#),
            &subscribe(r#""1""#, "null"),
            &subscribe(r#""1""#, r#"["{a}"]"#),
            &subscribe(r#""1""#, "{}"),
            &subscribe(r#""1""#, r#"{"query":7}"#),
            &subscribe(r#""1""#, r#"{"query":"{a}","operationName":7}"#),
            &subscribe(r#""1""#, r#"{"query":"{a}","variables":[]}"#),
            &subscribe(r#""1""#, r#"{"query":"{a}","variables":"x"}"#),
            &subscribe(r#""1""#, r#"{"query":"{a}","extensions":[]}"#),
        ] {
            assert_eq!(parse(text).expect_err(text).code, 4400, "{text}");
        }
        assert!(parse(&subscribe(&format!("{:?}", "x".repeat(256)), r#"{"query":"{a}"}"#)).is_ok(), "just fits");
    }

    /// Takes the one text frame out of `out`.
    fn read(out: &[u8]) -> serde_json::Value {
        assert_eq!(out[0], 0x81);
        let (len, payload) = match out[1] {
            126 => (u64::from(u16::from_be_bytes([out[2], out[3]])), &out[4..]),
            127 => (u64::from_be_bytes(out[2..10].try_into().expect("eight bytes")), &out[10..]),
            len => (len.into(), &out[2..]),
        };
        assert_eq!(len, payload.len() as u64);
        serde_json::from_slice(payload).expect("a frame holds JSON")
    }

    #[test]
    fn frames_carry_ids_and_payloads_of_any_kind_and_size() {
        for text in ["1", "a\"b\\c", "👋 \u{0}\n\u{2028}", "é".repeat(128).as_str()] {
            for len in [0, 50, 90, 125, 126, 65_000, 65_535, 65_536, 100_000] {
                let payload = serde_json::json!({ "data": "x".repeat(len) });
                let mut out = Vec::new();
                frames::next(&mut out, &id(text), payload.to_string().as_bytes());
                assert_eq!(read(&out), serde_json::json!({ "id": text, "type": "next", "payload": payload }));
                assert!(out.len() <= id(text).len() + payload.to_string().len() + frames::OVERHEAD);
            }
        }
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            read(&out)
        };
        assert_eq!(
            written(&|out| frames::error(out, &id("1"), br#"[{"message":"no"}]"#)),
            serde_json::json!({ "id": "1", "type": "error", "payload": [{ "message": "no" }] })
        );
        assert_eq!(
            written(&|out| frames::complete(out, &id("1"))),
            serde_json::json!({ "id": "1", "type": "complete" })
        );
        assert_eq!(written(&frames::connection_ack), serde_json::json!({ "type": "connection_ack" }));
        assert_eq!(written(&|out| frames::pong(out, None)), serde_json::json!({ "type": "pong" }));
        assert_eq!(written(&|out| frames::pong(out, Some("{}"))), serde_json::json!({ "type": "pong", "payload": {} }));
    }
}
