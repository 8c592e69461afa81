//! Server-sent events, as graphql-sse's distinct connections mode sends them.

use serde_json::{Value, json};

use super::{
    client::{Answer, Client},
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
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("events are UTF-8");
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
                };
                let Some(event) = field("event") else { continue };
                let data = field("data").unwrap_or_default();
                let data = if data.is_empty() {
                    Value::Null
                } else {
                    serde_json::from_str(data).unwrap_or_else(|error| panic!("{data:?} is not JSON: {error}"))
                };
                return Some((event.to_owned(), data));
            }
            match within(PATIENCE, "an event", self.response.chunk()).await.expect("the stream is whole") {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return None,
            }
        }
    }
}
