//! graphql-transport-ws: frame by frame, and as a client that listens.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, Role},
    },
};

use super::{
    client::Client,
    documents::{EVENTS, MESSAGE_EVENTS},
    person::Person,
    raw_http::{RawAnswer, address},
    wait::{PATIENCE, within},
};

/// The sub-protocol.
pub const PROTOCOL: &str = "graphql-transport-ws";

/// How the upgrade is asked for.
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Protocol`; none: the header is left out.
    pub protocol: Option<&'static str>,
    pub headers: Vec<(&'static str, String)>,
    /// The socket's receive buffer in bytes, for a client that will be slow.
    pub receive_buffer: Option<u32>,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self { protocol: Some(PROTOCOL), headers: Vec::new(), receive_buffer: None }
    }
}

/// The upgrade was answered like any request.
#[derive(Debug)]
pub struct UpgradeRefused(pub RawAnswer);

/// What comes out of a socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A text frame of JSON.
    Json(Value),
    /// A text or binary frame of something else.
    Odd(String),
    Ping,
    Pong,
    /// The socket is over.
    Ended(Ended),
}

/// How a socket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a close frame.
    Closed(u16, String),
    /// Without one.
    Lost(String),
}

impl Ended {
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Closed(code, _) => Some(*code),
            Self::Lost(_) => None,
        }
    }
}

/// A socket on which the test says and hears each frame. Nothing is read unless it is asked for.
pub struct RawSocket {
    stream: WebSocketStream<TcpStream>,
    /// The sub-protocol that the server chose.
    pub protocol: Option<String>,
}

impl RawSocket {
    pub async fn open(url: &str, upgrade: Upgrade) -> Result<Self, UpgradeRefused> {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        if let Some(size) = upgrade.receive_buffer {
            socket.set_recv_buffer_size(size).expect("the buffer can be set");
        }
        let address = address(url);
        let target = address.parse().expect("an address");
        let mut tcp =
            within(PATIENCE, "a connection", socket.connect(target)).await.expect("the server can be reached");
        tcp.set_nodelay(true).expect("small frames leave at once");
        let mut request = format!(
            "GET /graphql/ws HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {}\r\n",
            STANDARD.encode(b"sixteen bytes...")
        );
        if let Some(protocol) = upgrade.protocol {
            request.push_str(&format!("sec-websocket-protocol: {protocol}\r\n"));
        }
        for (name, value) in upgrade.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        tcp.write_all(request.as_bytes()).await.expect("the request can be sent");
        let answer = RawAnswer::read(&mut tcp).await.expect("the upgrade is answered");
        if answer.status != 101 {
            return Err(UpgradeRefused(answer));
        }
        let protocol = answer.header("sec-websocket-protocol").map(str::to_owned);
        let stream = WebSocketStream::from_partially_read(tcp, answer.rest, Role::Client, None).await;
        Ok(Self { stream, protocol })
    }

    pub async fn send(&mut self, message: Value) {
        self.send_message(Message::text(message.to_string())).await;
    }

    /// Sends anything. That the socket is closed already is seen by who reads.
    pub async fn send_message(&mut self, message: Message) {
        within(PATIENCE, "the frame to be taken", self.stream.send(message)).await.ok();
    }

    /// The next frame.
    pub async fn next(&mut self) -> Frame {
        within(PATIENCE, "a frame", self.read()).await
    }

    /// The next frame of JSON; pings and pongs of the WebSocket itself are passed over.
    #[track_caller]
    pub fn next_json(&mut self) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            loop {
                match self.next().await {
                    Frame::Json(value) => return value,
                    Frame::Ping | Frame::Pong => {}
                    other => panic!("expected a message, got {other:?} (at {caller})"),
                }
            }
        }
    }

    /// Passes over everything until the socket ends.
    pub async fn ended(&mut self, limit: Duration) -> Ended {
        within(limit, "the socket to end", async {
            loop {
                if let Frame::Ended(ended) = self.read().await {
                    return ended;
                }
            }
        })
        .await
    }

    /// Says who is there, and waits for the acknowledgement.
    pub async fn init(&mut self, token: Option<&str>) {
        let payload = token.map_or(json!({}), |token| json!({"authorization": format!("Bearer {token}")}));
        self.send(json!({"type": "connection_init", "payload": payload})).await;
        let answer = self.next_json().await;
        assert_eq!(answer["type"], "connection_ack", "{answer}");
    }

    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({"query": query, "variables": variables});
        self.send(json!({"type": "subscribe", "id": id, "payload": payload})).await;
    }

    /// Sends the protocol's ping and passes over everything until its pong: what was sent before has been read.
    pub async fn round_trip(&mut self) {
        self.send(json!({"type": "ping"})).await;
        while self.next_json().await["type"] != "pong" {}
    }

    /// The next frame, without a limit.
    async fn read(&mut self) -> Frame {
        frame_of(self.stream.next().await)
    }
}

fn frame_of(message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Frame {
    match message {
        None => Frame::Ended(Ended::Lost("the stream ended".into())),
        Some(Err(error)) => Frame::Ended(Ended::Lost(error.to_string())),
        Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
            Ok(value) => Frame::Json(value),
            Err(_) => Frame::Odd(text.to_string()),
        },
        Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
            Frame::Ended(Ended::Closed(code.into(), reason.to_string()))
        }
        Some(Ok(Message::Close(None))) => Frame::Ended(Ended::Closed(1005, String::new())),
        Some(Ok(Message::Ping(_))) => Frame::Ping,
        Some(Ok(Message::Pong(_))) => Frame::Pong,
        Some(Ok(other)) => Frame::Odd(format!("{other:?}")),
    }
}

/// What a subscription hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A result: `{"data": …}`, with `errors` perhaps.
    Next(Value),
    /// The operation was refused: a list of errors.
    Error(Value),
    Complete,
    /// The socket is over.
    Ended(Ended),
}

/// A client as applications use one: it is always listening.
pub struct Socket {
    outgoing: mpsc::UnboundedSender<Message>,
    operations: Operations,
    ended: watch::Receiver<Option<Ended>>,
    next_id: AtomicU64,
    task: JoinHandle<()>,
}

type Operations = Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Heard>>>>;

impl Socket {
    /// Opens one and signs in, if the client has a token.
    pub async fn open(client: &Client) -> Self {
        match Self::try_open(client).await {
            Ok(socket) => socket,
            Err(why) => panic!("the socket was not accepted: {why}"),
        }
    }

    /// Like `open`, where the server may be away.
    pub async fn try_open(client: &Client) -> Result<Self, String> {
        let reachable = TcpStream::connect(address(&client.url)).await;
        drop(reachable.map_err(|error| error.to_string())?);
        let mut raw = RawSocket::open(&client.url, Upgrade::default()).await.map_err(|error| format!("{error:?}"))?;
        let payload =
            client.token.as_ref().map_or(json!({}), |token| json!({"authorization": format!("Bearer {token}")}));
        raw.send(json!({"type": "connection_init", "payload": payload})).await;
        match raw.next().await {
            Frame::Json(answer) if answer["type"] == "connection_ack" => Ok(Self::new(raw)),
            other => Err(format!("{other:?}")),
        }
    }

    fn new(raw: RawSocket) -> Self {
        let (outgoing, queue) = mpsc::unbounded_channel();
        let operations = Operations::default();
        let (end, ended) = watch::channel(None);
        let task = tokio::spawn(carry(raw, queue, Arc::clone(&operations), end));
        Self { outgoing, operations, ended, next_id: AtomicU64::new(1), task }
    }

    /// Begins an operation.
    pub fn subscribe(&self, query: &str, variables: Value) -> Subscription {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, heard) = mpsc::unbounded_channel();
        self.operations.lock().insert(id.clone(), sender);
        let payload = json!({"query": query, "variables": variables});
        self.say(json!({"type": "subscribe", "id": id, "payload": payload}));
        Subscription { heard, ended: self.ended.clone() }
    }

    /// Follows a conversation from now on, and gives the subscription when it is live: `speaker` has said something
    /// that was heard, and everything up to that has been taken out.
    pub async fn listen(&self, conversation: &str, speaker: &Person) -> Subscription {
        let mut subscription = self.subscribe(MESSAGE_EVENTS, json!({"conversationId": conversation}));
        for _ in 0..20 {
            let marker = speaker.send(conversation, "Can you hear me?").await;
            // What is heard once is heard from then on; only the first may come too early for it.
            let mut heard = subscription.try_next(Duration::from_millis(500)).await;
            while let Some(event) = heard {
                if event["messageEdge"]["node"]["sequence"] == marker["sequence"] {
                    return subscription;
                }
                heard = subscription.try_next(PATIENCE).await;
            }
        }
        panic!("the subscription never became live");
    }

    /// Follows everything from a cursor or from now on, and gives the subscription when it has caught up, with what
    /// was replayed.
    pub async fn follow(&self, after: Option<&str>) -> (Subscription, Vec<Value>) {
        let mut subscription = self.subscribe(EVENTS, json!({"after": after}));
        let mut replayed = Vec::new();
        loop {
            let envelope = subscription.next().await;
            if envelope["event"]["__typename"] == "CaughtUp" {
                return (subscription, replayed);
            }
            replayed.push(envelope);
        }
    }

    /// Begins a query or mutation and gives its result.
    pub async fn ask(&self, query: &str, variables: Value) -> Heard {
        let mut operation = self.subscribe(query, variables);
        let heard = operation.hear().await;
        if let Heard::Next(_) = heard {
            assert_eq!(operation.hear().await, Heard::Complete, "a query gives one result");
        }
        heard
    }

    /// Sends any message.
    pub fn say(&self, message: Value) {
        // That the socket is gone is heard by the subscriptions.
        self.outgoing.send(Message::text(message.to_string())).ok();
    }

    /// How the socket ended; it must end within the limit.
    pub async fn ended(&self, limit: Duration) -> Ended {
        let mut ended = self.ended.clone();
        let seen = within(limit, "the socket to end", ended.wait_for(Option::is_some)).await;
        seen.expect("the end is told").clone().expect("it has ended")
    }

    pub fn is_open(&self) -> bool {
        self.ended.borrow().is_none()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries messages between the wire and the operations until the socket ends.
async fn carry(
    raw: RawSocket,
    mut queue: mpsc::UnboundedReceiver<Message>,
    operations: Operations,
    end: watch::Sender<Option<Ended>>,
) {
    let (mut sink, mut stream) = raw.stream.split();
    let ended = loop {
        tokio::select! {
            message = queue.recv() => match message {
                Some(message) => drop(sink.send(message).await),
                None => break Ended::Lost("the test let go of it".into()),
            },
            message = stream.next() => match frame_of(message) {
                Frame::Json(mut message) => {
                    let heard = match message["type"].as_str() {
                        Some("next") => Heard::Next(message["payload"].take()),
                        Some("error") => Heard::Error(message["payload"].take()),
                        Some("complete") => Heard::Complete,
                        Some("ping") => {
                            drop(sink.send(Message::text(json!({"type": "pong"}).to_string())).await);
                            continue;
                        }
                        _ => continue,
                    };
                    let id = message["id"].as_str().expect("a message about an operation has its id");
                    if let Some(operation) = operations.lock().get(id) {
                        operation.send(heard).ok();
                    }
                }
                Frame::Ended(ended) => break ended,
                Frame::Ping | Frame::Pong => {}
                Frame::Odd(frame) => panic!("the server sent an odd frame: {frame}"),
            },
        }
    };
    end.send_replace(Some(ended));
    // Subscriptions see the end once they have taken out what came before it.
    operations.lock().clear();
}

/// One operation of a [`Socket`].
pub struct Subscription {
    heard: mpsc::UnboundedReceiver<Heard>,
    ended: watch::Receiver<Option<Ended>>,
}

impl Subscription {
    /// Whatever comes next.
    pub async fn hear(&mut self) -> Heard {
        within(PATIENCE, "something to hear", self.hear_without_limit()).await
    }

    /// The next result's root field, which must come without errors.
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            match self.hear().await {
                Heard::Next(payload) => root_field(payload),
                other => panic!("expected a result, heard {other:?} (at {caller})"),
            }
        }
    }

    /// The next result's root field, if one comes within the limit.
    pub async fn try_next(&mut self, limit: Duration) -> Option<Value> {
        match tokio::time::timeout(limit, self.hear_without_limit()).await {
            Ok(Heard::Next(payload)) => Some(root_field(payload)),
            Ok(other) => panic!("expected a result, heard {other:?}"),
            Err(_) => None,
        }
    }

    /// The next result's root field; none once the operation or the socket is over.
    pub async fn next_or_end(&mut self) -> Option<Value> {
        match self.hear().await {
            Heard::Next(payload) => Some(root_field(payload)),
            Heard::Error(errors) => panic!("expected a result, heard {errors}"),
            Heard::Complete | Heard::Ended(_) => None,
        }
    }

    /// Takes out what is heard of a conversation up to its newest message, so that what comes next is new.
    pub async fn up_to_now(&mut self, person: &Person, conversation: &str) {
        let newest = person.conversation(conversation, "lastMessage { sequence }").await;
        while self.next().await["messageEdge"]["node"]["sequence"] != newest["lastMessage"]["sequence"] {}
    }

    /// The next `n` results.
    pub async fn take(&mut self, n: usize) -> Vec<Value> {
        let mut results = Vec::with_capacity(n);
        while results.len() < n {
            results.push(self.next().await);
        }
        results
    }

    /// Envelopes of `events` up to the first whose event fulfils the condition, that one last.
    #[track_caller]
    pub fn until(&mut self, condition: impl Fn(&Value) -> bool) -> impl Future<Output = Vec<Value>> {
        let caller = std::panic::Location::caller();
        let what = format!("the event that the story waits for at {caller}");
        async move {
            let mut envelopes = Vec::new();
            within(PATIENCE, &what, async {
                loop {
                    let envelope = self.next().await;
                    let found = condition(&envelope["event"]);
                    envelopes.push(envelope);
                    if found {
                        return;
                    }
                }
            })
            .await;
            envelopes
        }
    }

    async fn hear_without_limit(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => {
                let ended = self.ended.wait_for(Option::is_some).await;
                Heard::Ended(ended.ok().and_then(|ended| ended.clone()).unwrap_or(Ended::Lost("dropped".into())))
            }
        }
    }
}

/// The value of the only field under `data`.
#[track_caller]
fn root_field(mut payload: Value) -> Value {
    assert!(payload.get("errors").is_none(), "a result came with errors: {payload}");
    match payload["data"].as_object_mut().and_then(|data| data.values_mut().next()) {
        Some(field) => field.take(),
        None => panic!("a result without data: {payload}"),
    }
}
