//! Asking over HTTP.

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

use super::{
    documents::{MESSAGE, input_type},
    server::Server,
    socket::{RawSocket, Socket, Upgrade},
    wait::{PATIENCE, within},
};

/// Somebody who talks to one server, with a token or without.
#[derive(Clone)]
pub struct Client {
    pub url: String,
    pub token: Option<String>,
    pub http: reqwest::Client,
}

impl Client {
    pub fn new(url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client can be made");
        Self { url: url.into(), token: None, http }
    }

    /// The same client talking to another process.
    pub fn at(&self, server: &Server) -> Self {
        Self { url: server.url.clone(), ..self.clone() }
    }

    /// The same client by another road, e.g. a proxy's.
    pub fn via(&self, url: &str) -> Self {
        Self { url: url.into(), ..self.clone() }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// A POST to `/graphql` with the token and nothing else.
    pub fn post(&self) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}/graphql", self.url)).timeout(PATIENCE * 2);
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// Sends an operation; fails where the server cannot be reached or gives no whole answer.
    pub async fn try_graphql(&self, query: &str, variables: Value) -> Result<Answer, reqwest::Error> {
        let body = json!({"query": query, "variables": variables}).to_string();
        let request = self
            .post()
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/graphql-response+json")
            .body(body);
        Answer::read(request.send().await?).await
    }

    /// Sends an operation.
    pub async fn graphql(&self, query: &str, variables: Value) -> Answer {
        self.try_graphql(query, variables).await.expect("the server answers")
    }

    /// Sends an operation that succeeds, and gives its `data`.
    #[track_caller]
    pub fn ask(&self, query: &str, variables: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.graphql(query, variables).await;
            assert!(answer.errors().is_empty(), "{query}\nwas answered with {} (at {caller})", answer.text);
            answer.body["data"].clone()
        }
    }

    /// Calls a mutation that has one input, and selects `selection` and the user errors of its payload.
    pub async fn mutate(&self, mutation: &str, input: Value, selection: &str) -> Payload {
        self.try_mutate(mutation, input, selection).await.expect("the server answers")
    }

    pub async fn try_mutate(&self, mutation: &str, input: Value, selection: &str) -> Result<Payload, reqwest::Error> {
        let document = mutation_document(mutation, selection);
        let answer = self.try_graphql(&document, json!({"input": input})).await?;
        Ok(Payload { mutation: mutation.into(), answer })
    }

    /// Sends a message that is accepted, and gives it.
    #[track_caller]
    pub fn send(&self, conversation: &str, body: &str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let payload = self.send_input(json!({"conversationId": conversation, "body": body})).await;
            assert!(payload.code().is_none(), "the message was refused: {} (at {caller})", payload.answer.text);
            payload.ok()["messageEdge"]["node"].clone()
        }
    }

    /// Sends a message with any input.
    pub async fn send_input(&self, input: Value) -> Payload {
        self.try_send_input(input).await.expect("the server answers")
    }

    pub async fn try_send_input(&self, input: Value) -> Result<Payload, reqwest::Error> {
        let selection = format!("replayed messageEdge {{ cursor node {{ {MESSAGE} }} }}");
        self.try_mutate("sendMessage", input, &selection).await
    }

    /// All messages of a conversation, oldest first, page by page.
    pub async fn history(&self, conversation: &str) -> Vec<Value> {
        let query = format!(
            "query($id: ID!, $after: String) {{ conversation(id: $id) {{
                messages(first: 100, after: $after) {{
                    nodes {{ {MESSAGE} }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
        );
        let (mut messages, mut after) = (Vec::new(), Value::Null);
        loop {
            let mut data = self.ask(&query, json!({"id": conversation, "after": after})).await;
            let page = &mut data["conversation"]["messages"];
            messages.append(page["nodes"].as_array_mut().expect("the conversation is there"));
            if page["pageInfo"]["hasNextPage"] == false {
                return messages;
            }
            after = page["pageInfo"]["endCursor"].take();
        }
    }

    /// The sequences of all messages.
    pub async fn sequences(&self, conversation: &str) -> Vec<i64> {
        let messages = self.history(conversation).await;
        messages.iter().map(|message| message["sequence"].as_i64().expect("a number")).collect()
    }

    /// A socket that has been accepted with the token.
    pub async fn socket(&self) -> Socket {
        Socket::open(self).await
    }

    /// A socket on which nothing has been said.
    pub async fn raw_socket(&self) -> RawSocket {
        RawSocket::open(&self.url, Upgrade::default()).await.expect("the upgrade is accepted")
    }

    /// What the server says at a path.
    pub async fn get(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.url)).timeout(PATIENCE * 2);
        let response = within(PATIENCE * 2, path, request.send()).await.expect("the server answers");
        Answer::read(response).await.expect("the answer is whole")
    }

    /// What `/metrics` shows under a name with its labels, e.g. `kith_sockets{transport="ws"}`; 0 what was never moved.
    pub async fn metric(&self, name: &str) -> f64 {
        let shown = self.get("/metrics").await.text;
        let value = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }
}

/// The document that calls a mutation with one input.
pub fn mutation_document(mutation: &str, selection: &str) -> String {
    format!(
        "mutation($input: {}!) {{ {mutation}(input: $input) {{ {selection} userErrors {{ code message field }} }} }}",
        input_type(mutation)
    )
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// Null when the text is not JSON.
    pub body: Value,
}

impl Answer {
    pub async fn read(response: reqwest::Response) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Self { status, headers, text, body })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of text"))
    }

    /// All headers of a name, in one text.
    pub fn all_of(&self, name: &str) -> String {
        let values: Vec<_> =
            self.headers.get_all(name).iter().map(|value| value.to_str().expect("a header of text")).collect();
        values.join(", ")
    }

    /// The media type, without its parameters.
    pub fn media_type(&self) -> &str {
        self.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim()
    }

    pub fn errors(&self) -> &[Value] {
        self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// `extensions.code` of the first error.
    pub fn code(&self) -> Option<&str> {
        self.errors().first()?["extensions"]["code"].as_str()
    }
}

/// The payload of a mutation.
#[derive(Clone, Debug)]
pub struct Payload {
    mutation: String,
    pub answer: Answer,
}

impl Payload {
    /// The payload as it is; null when the whole field failed.
    pub fn value(&self) -> &Value {
        &self.answer.body["data"][&self.mutation]
    }

    /// The payload of a mutation that succeeded.
    #[track_caller]
    pub fn ok(&self) -> &Value {
        assert!(
            self.code().is_none() && !self.value().is_null(),
            "{} was refused: {}",
            self.mutation,
            self.answer.text
        );
        self.value()
    }

    /// Why it was refused: the code of the first user error, else of the first error; none when it succeeded.
    pub fn code(&self) -> Option<&str> {
        if let Some(code) = self.value()["userErrors"][0]["code"].as_str() {
            return Some(code);
        }
        match self.answer.errors() {
            [] => None,
            [error, ..] => Some(error["extensions"]["code"].as_str().unwrap_or("an error without a code")),
        }
    }
}

/// The conversation in an invite's payload.
pub fn conversation_id_of(payload: &Value) -> String {
    payload["conversation"]["id"].as_str().expect("acceptance opens a conversation").to_owned()
}

/// A text with every id in it replaced by `ID`, to compare answers about different things.
pub fn normalised(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    'text: while !rest.is_empty() {
        for prefix in ["export_", "user_", "viewer_", "session_", "invite_", "conv_", "msg_", "link_"] {
            if let Some(tail) = rest.strip_prefix(prefix)
                && tail.len() >= 26
                && tail.bytes().take(26).all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            {
                result.push_str("ID");
                rest = &tail[26..];
                continue 'text;
            }
        }
        let length = rest.chars().next().map_or(0, char::len_utf8);
        result.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    result
}
