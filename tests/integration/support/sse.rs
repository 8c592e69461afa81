//! Server-sent events, as graphql-sse's distinct connections mode sends them.

use std::io::ErrorKind;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{
    client::{Answer, Client},
    raw_http::{RawAnswer, address},
    wait::{PATIENCE, within},
};

/// An open stream of events.
pub struct EventSource {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

impl EventSource {
    /// Subscribes; an answer that is no stream of events is given back.
    pub async fn open(client: &Client, query: &str, variables: Value) -> Result<Self, Answer> {
        let mut request = client.http.post(format!("{}/graphql/stream", client.url));
        if let Some(token) = &client.token {
            request = request.bearer_auth(token);
        }
        let request = request
            .header("content-type", "application/json")
            .header("accept", "text/event-stream")
            .body(json!({"query": query, "variables": variables}).to_string());
        let response = within(PATIENCE, "the stream to open", request.send()).await.expect("the server answers");
        let media_type = response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("");
        if response.status().is_success() && media_type.starts_with("text/event-stream") {
            Ok(Self { response, buffer: Vec::new() })
        } else {
            Err(Answer::read(response).await.expect("the answer is whole"))
        }
    }

    /// The next event with its data; none at the end of the stream. Comments are passed over.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(event) = take_event(&mut self.buffer) {
                return Some(event);
            }
            match within(PATIENCE, "an event", self.response.chunk()).await.expect("the stream is whole") {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return None,
            }
        }
    }
}

/// Takes the first whole event with its data out of what was read. Comments are passed over.
fn take_event(buffer: &mut Vec<u8>) -> Option<(String, Value)> {
    loop {
        let end = buffer.windows(2).position(|window| window == b"\n\n")?;
        let block: Vec<u8> = buffer.drain(..end + 2).collect();
        let block = String::from_utf8(block).expect("events are UTF-8");
        let field =
            |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let Some(event) = field("event") else { continue };
        let data = field("data").unwrap_or_default();
        let data = if data.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(data).unwrap_or_else(|error| panic!("{data:?} is not JSON: {error}"))
        };
        return Some((event.to_owned(), data));
    }
}

/// A stream of events whose client has fallen asleep: nothing is read until it wakes up.
pub struct SleepingEventSource {
    stream: TcpStream,
    read: Vec<u8>,
}

/// All that a client got.
pub struct Slept {
    pub events: Vec<(String, Value)>,
    pub n_bytes: usize,
    /// Whether the answer came to its proper end. A client takes one that did not for a broken connection.
    pub is_whole: bool,
}

impl SleepingEventSource {
    /// Subscribes, and reads the head of the answer.
    pub async fn open(client: &Client, query: &str, variables: Value) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.set_recv_buffer_size(4096).expect("the buffer can be set");
        let address = address(&client.url);
        let connected = socket.connect(address.parse().expect("an address"));
        let mut stream = within(PATIENCE, "a connection", connected).await.expect("the server can be reached");
        let body = json!({"query": query, "variables": variables}).to_string();
        let request = format!(
            "POST /graphql/stream HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\naccept: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
            client.token.as_deref().unwrap_or_default(),
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("the request can be sent");
        let answer = RawAnswer::read(&mut stream).await.expect("the request is answered");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "its end can be told from a broken one");
        Self { stream, read: answer.rest }
    }

    /// Reads everything up to the end of the connection.
    pub async fn wake_up(mut self) -> Slept {
        let reading = async {
            loop {
                match self.stream.read_buf(&mut self.read).await {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                    Err(error) => panic!("the stream cannot be read: {error}"),
                }
            }
        };
        within(PATIENCE * 2, "the stream to end", reading).await;
        let n_bytes = self.read.len();
        let (mut text, is_whole) = without_chunks(&self.read);
        Slept { events: std::iter::from_fn(|| take_event(&mut text)).collect(), n_bytes, is_whole }
    }
}

/// What a chunked body says, and whether its last chunk is there.
fn without_chunks(mut body: &[u8]) -> (Vec<u8>, bool) {
    let mut text = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("a chunk begins with its size");
        if size == 0 {
            return (text, true);
        }
        let chunk = &body[end + 2..];
        text.extend_from_slice(&chunk[..size.min(chunk.len())]);
        body = chunk.get(size + 2..).unwrap_or_default();
    }
    (text, false)
}
