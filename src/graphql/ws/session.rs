//! One client on one socket: a single task that reads, writes and keeps time.

use std::{
    collections::VecDeque,
    future::{pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_graphql::parser::types::OperationType;
use bytes::Bytes;
use entity::Timestamp;
use futures_util::{Sink, SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::{JoinError, JoinHandle},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        error::ProtocolError,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

use super::{
    protocol::{self, Authorization, ClientMessage, Close, frames},
    wire::Wire,
};
use crate::{
    auth::{Caller, RequestContext, authenticate},
    delivery::{
        self, Subscription,
        outbox::{Closed, Outgoing},
    },
    error::Error,
    graphql::{
        engine::GraphqlRequest,
        streaming::{Counted, DRAIN_SPREAD, Reader, encode_errors, encode_response, instant_of, random_fraction},
    },
    server::{ServerState, roles::misdirected},
};

/// Largest message that a client may send.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Most operations of one socket at once, subscriptions included.
const MAX_OPERATIONS: usize = 100;
/// How long a client may take to say `connection_init`.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// How long a write may be stuck.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// A client that said nothing after this many pings, and half an interval, is taken for dead.
const MAX_UNANSWERED_PINGS: u8 = 2;
/// How long the peer may take to answer a close frame.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);
/// How much longer a closing server waits for answers in flight.
const DRAIN_LIMIT: Duration = Duration::from_secs(4);
/// How long the answers of mutations may take to leave after the session has ended: one of them may have ended it.
const REVOKED_LIMIT: Duration = Duration::from_secs(1);
/// Between two looks at whether the answers in flight have left.
const DRAIN_RECHECK: Duration = Duration::from_millis(50);
/// Room for how many items is kept between two batches.
const KEPT_BATCH: usize = 8;
/// How many batches are written before what the client says is looked at, when there is always more to write.
const BATCHES_BEFORE_READ: u8 = 8;

type Socket<S> = WebSocketStream<Wire<S>>;

/// Why a session is over.
enum End {
    /// There is nobody to say anything to.
    Gone,
    /// The client closed.
    ByPeer,
    /// The server closes.
    ByUs(Close),
    /// The server closes, and what the client sent last cannot be read further.
    Unreadable(Close),
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::ByUs(close)
    }
}

/// Speaks the protocol until one side closes. `context` is of the upgrade request: its caller stands unless the client
/// authorizes itself in `connection_init`.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(stream: S, state: ServerState, mut context: RequestContext) {
    let _counted = Counted::socket("ws");
    let mut socket = open(stream).await;
    let end = match greet(&mut socket, &state, context.caller).await {
        Ok(caller) => {
            context.caller = caller;
            live(&mut socket, &state, context).await
        }
        Err(end) => end,
    };
    farewell(socket, end).await;
}

/// Closes a socket whose client does not speak the protocol.
pub async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(stream: S, close: Close) {
    farewell(open(stream).await, End::ByUs(close)).await;
}

async fn open<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Socket<S> {
    // The read buffer is allocated for good and filled with zeros at each read. Writes pass through: `Wire` buffers.
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_write_buffer_size(4096)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    WebSocketStream::from_raw_socket(Wire::new(stream), Role::Server, Some(config)).await
}

/// Waits for `connection_init` and says who it is.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    state: &ServerState,
    caller_of_upgrade: Caller,
) -> Result<Caller, End> {
    let greeting = async {
        loop {
            match understand(socket.next().await)? {
                Some(ClientMessage::ConnectionInit { authorization }) => {
                    let caller = match authorization {
                        Some(Authorization::Text(text)) => authenticate(&state.app, Some(&text)),
                        Some(Authorization::Other) => Caller::Rejected("The authorization must be `Bearer TOKEN`."),
                        None => caller_of_upgrade,
                    };
                    if let Caller::Rejected(reason) = caller {
                        return Err(Close::forbidden(reason).into());
                    }
                    frames::connection_ack(socket.get_mut().buffer());
                    return Ok(caller);
                }
                Some(ClientMessage::Ping { payload }) => {
                    frames::pong(socket.get_mut().buffer(), payload.as_deref().map(|payload| payload.get()));
                    socket.flush().await.map_err(|_| End::Gone)?;
                }
                Some(ClientMessage::Subscribe { .. }) => return Err(Close::UNAUTHORIZED.into()),
                Some(ClientMessage::Complete { .. } | ClientMessage::Pong) | None => {}
            }
        }
    };
    tokio::select! {
        biased;
        () = state.closing.cancelled() => Err(Close::DRAIN.into()),
        greeted = timeout(INIT_LIMIT, greeting) => greeted.unwrap_or(Err(Close::NO_INIT.into())),
    }
}

/// What was read, if the protocol has something to do with it.
fn understand(heard: Option<Result<Message, tungstenite::Error>>) -> Result<Option<ClientMessage>, End> {
    match heard {
        Some(Ok(Message::Text(text))) => Ok(Some(protocol::parse(&text)?)),
        Some(Ok(Message::Binary(_))) => Err(Close::BINARY.into()),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
        Some(Ok(Message::Close(_))) => Err(End::ByPeer),
        Some(Err(tungstenite::Error::Capacity(_))) => Err(End::Unreadable(Close::TOO_BIG)),
        Some(Err(tungstenite::Error::Utf8(_))) => Err(End::Unreadable(Close::NOT_UTF8)),
        Some(Err(tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => Err(End::Gone),
        Some(Err(tungstenite::Error::Protocol(_))) => Err(End::Unreadable(Close::NOT_A_WEBSOCKET)),
        Some(Err(_)) | None => Err(End::Gone),
    }
}

/// What the task woke up for.
enum Wake {
    Heard(Option<Result<Message, tungstenite::Error>>),
    /// The batch holds what to tell.
    ToTell(Result<(), Closed>),
    /// A task of an operation ended.
    Ran(usize, Result<Ran, JoinError>),
    /// A write is stuck since now.
    Stuck,
    WriteFailed,
    Timer,
    Revoked,
    Closing,
}

/// Serves a socket that was acknowledged.
async fn live<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    state: &ServerState,
    context: RequestContext,
) -> End {
    let mut times = Times::new(state, &context.caller);
    times.note_anonymous(true);
    let mut sleep = pin!(sleep_until(times.next()));
    let mut closing = pin!(state.closing.cancelled());
    let watch = context.caller.viewer().ok().map(|viewer| state.app.revocations.watch(viewer.session_id()));
    let _connected = context.caller.viewer().ok().map(|viewer| state.app.presence.connected(viewer.user_id()));
    let mut revoked = pin!(async {
        match &watch {
            Some(watch) => watch.revoked().await,
            None => pending().await,
        }
    });
    let mut operations = Operations { state, context, outbox: Reader::new(), all: Vec::new(), n_running: 0 };
    let mut batch = VecDeque::new();
    let mut n_batches_since_read = 0;

    loop {
        let wake = poll_fn(|cx| {
            if !times.is_leaving() && closing.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Closing);
            }
            if revoked.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Revoked);
            }
            if sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Timer);
            }
            // Who does not read is not listened to either, and nothing more is taken from the outbox: it is bounded.
            if socket.get_ref().is_waiting() {
                match poll_flush(socket, cx) {
                    // The pongs to look for have waited as long as this write.
                    Poll::Ready(Ok(())) if times.write_by.take().is_some() => {
                        n_batches_since_read = BATCHES_BEFORE_READ
                    }
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Wake::WriteFailed),
                    Poll::Pending if times.write_by.is_none() => return Poll::Ready(Wake::Stuck),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let reads_first = n_batches_since_read >= BATCHES_BEFORE_READ;
            if !reads_first && let Poll::Ready(taken) = operations.outbox.poll_take(cx, &mut batch) {
                n_batches_since_read += 1;
                return Poll::Ready(Wake::ToTell(taken));
            }
            if let Poll::Ready((idx, ran)) = operations.poll_running(cx) {
                return Poll::Ready(Wake::Ran(idx, ran));
            }
            if let Poll::Ready(heard) = socket.poll_next_unpin(cx) {
                return Poll::Ready(Wake::Heard(heard));
            }
            n_batches_since_read = 0;
            if reads_first { operations.outbox.poll_take(cx, &mut batch).map(Wake::ToTell) } else { Poll::Pending }
        })
        .await;

        match wake {
            Wake::Heard(heard) => {
                times.n_unanswered_pings = 0;
                let out = socket.get_mut().buffer();
                let done = match understand(heard) {
                    // The client asks the next server again when this one has left.
                    Ok(Some(ClientMessage::Subscribe { .. })) if times.is_leaving() => Ok(()),
                    Ok(Some(message)) => operations.hear(message, out),
                    Ok(None) => Ok(()),
                    Err(end) => return end,
                };
                if let Err(close) = done {
                    return close.into();
                }
            }
            Wake::ToTell(Ok(())) => operations.tell(&mut batch, socket.get_mut().buffer()),
            Wake::ToTell(Err(Closed::Overflow)) => return Close::TOO_SLOW.into(),
            Wake::ToTell(Err(Closed::Gone)) | Wake::WriteFailed => return End::Gone,
            Wake::Ran(idx, ran) => operations.ran(idx, ran, socket.get_mut().buffer()),
            Wake::Stuck => times.write_by = Some(Instant::now() + WRITE_LIMIT),
            Wake::Revoked => {
                operations.finish_mutations(socket.get_mut().buffer()).await;
                return Close::REVOKED.into();
            }
            Wake::Closing => times.leave(),
            Wake::Timer => match times.ring(state, operations.owes_an_answer()) {
                Ok(Ring::Ping) => frames::websocket_ping(socket.get_mut().buffer()),
                Ok(Ring::Nothing) => {}
                Err(end) => return end,
            },
        }

        times.note_anonymous(operations.all.is_empty());
        let next = times.next();
        if next < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(next);
        }
    }
}

fn poll_flush<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), tungstenite::Error>> {
    Pin::new(socket).poll_flush(cx)
}

/// Closes in good order: sends the close frame and reads until the peer's.
async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(mut socket: Socket<S>, end: End) {
    let until = Instant::now() + FAREWELL_LIMIT;
    let (close, readable) = match end {
        End::Gone => return,
        End::ByPeer => (None, true),
        End::ByUs(close) => (Some(close), true),
        End::Unreadable(close) => (Some(close), false),
    };
    let goodbye = async {
        if let Some(Close { code, reason }) = close {
            socket.send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))).await?;
        }
        if readable {
            // Reading answers the peer's close frame, and leaves the answer in the buffer.
            while let Some(Ok(_)) = socket.next().await {}
            socket.get_mut().flush().await?;
        } else {
            // Unread bytes would make the system reset the connection, close frame and all.
            let mut bytes = vec![0; 4096];
            while socket.get_mut().read(&mut bytes).await? > 0 {}
        }
        Ok::<_, tungstenite::Error>(())
    };
    // A failure here only means that the client is gone.
    _ = timeout_at(until, goodbye).await;
}

/// When what is due.
struct Times {
    /// Between two pings.
    ping_interval: Duration,
    ping_at: Instant,
    n_unanswered_pings: u8,
    /// When the access token dies.
    expires_at: Option<(Instant, Timestamp)>,
    /// On a socket on which nobody signed in: how long it may stay without an operation, and until when.
    anonymous: Option<(Duration, Option<Instant>)>,
    /// When a stuck write has been stuck for too long.
    write_by: Option<Instant>,
    /// While the server closes: when to leave, and when to leave even if an answer is owed.
    leave: Option<(Instant, Instant)>,
}

enum Ring {
    Nothing,
    Ping,
}

impl Times {
    fn new(state: &ServerState, caller: &Caller) -> Self {
        let expires_at = match caller {
            Caller::SignedIn { expires_at, .. } => Some((instant_of(&state.app.clock, *expires_at), *expires_at)),
            Caller::Anonymous | Caller::Rejected(_) => None,
        };
        let anonymous = caller.viewer().is_err();
        let anonymous = anonymous.then(|| (Duration::from_secs(state.app.config.server.anonymous_seconds), None));
        let ping_interval = Duration::from_secs(state.app.config.server.ping_seconds);
        let ping_at = Instant::now() + ping_interval.mul_f64(random_fraction());
        Self { ping_interval, ping_at, n_unanswered_pings: 0, expires_at, anonymous, write_by: None, leave: None }
    }

    fn next(&self) -> Instant {
        let expires_at = self.expires_at.map(|(at, _)| at);
        let leave_at = self.leave.map(|(at, _)| at);
        let anonymous_until = self.anonymous.and_then(|(_, until)| until);
        [expires_at, self.write_by, leave_at, anonymous_until].into_iter().flatten().fold(self.ping_at, Instant::min)
    }

    /// Whether there is an operation decides how long an anonymous socket may stay.
    fn note_anonymous(&mut self, is_idle: bool) {
        if let Some((limit, until)) = &mut self.anonymous {
            *until = is_idle.then(|| until.unwrap_or_else(|| Instant::now() + *limit));
        }
    }

    fn is_leaving(&self) -> bool {
        self.leave.is_some()
    }

    fn leave(&mut self) {
        let at = Instant::now() + DRAIN_SPREAD.mul_f64(random_fraction());
        self.leave = Some((at, at + DRAIN_LIMIT));
    }

    /// Does what is due now.
    fn ring(&mut self, state: &ServerState, owes_an_answer: bool) -> Result<Ring, End> {
        let now = Instant::now();
        if let Some((at, expires_at)) = &mut self.expires_at
            && *at <= now
        {
            // The wall clock decides: it may have been set meanwhile.
            if *expires_at <= state.app.clock.now() {
                return Err(Close::EXPIRED.into());
            }
            *at = instant_of(&state.app.clock, *expires_at);
        }
        if self.write_by.is_some_and(|by| by <= now) {
            return Err(Close::TOO_SLOW.into());
        }
        if self.anonymous.and_then(|(_, until)| until).is_some_and(|until| until <= now) {
            return Err(Close::ANONYMOUS.into());
        }
        if let Some((at, by)) = &mut self.leave
            && *at <= now
        {
            if !owes_an_answer || *by <= now {
                return Err(Close::DRAIN.into());
            }
            *at = now + DRAIN_RECHECK;
        }
        if self.ping_at > now {
            return Ok(Ring::Nothing);
        }
        if self.n_unanswered_pings >= MAX_UNANSWERED_PINGS {
            return Err(End::Gone);
        }
        self.n_unanswered_pings += 1;
        let is_last = self.n_unanswered_pings == MAX_UNANSWERED_PINGS;
        self.ping_at = now + if is_last { self.ping_interval / 2 } else { self.ping_interval };
        Ok(Ring::Ping)
    }
}

/// The operations of a socket.
struct Operations<'a> {
    state: &'a ServerState,
    context: RequestContext,
    outbox: Reader,
    all: Vec<Operation>,
    /// How many of them are in the state `Running`.
    n_running: usize,
}

struct Operation {
    /// As JSON. What is told of the operation carries this very `Arc`: what is left over of an earlier operation of
    /// the same id carries another.
    id: Arc<str>,
    state: OperationState,
}

enum OperationState {
    /// A query or mutation is executed, or a subscription admitted.
    Running { kind: OperationType, task: JoinHandle<Ran> },
    /// A subscription was admitted; it ends when dropped.
    Live { _subscription: Subscription, _counted: Counted },
}

/// What became of a task of an operation.
enum Ran {
    Answered(Bytes),
    Refused(Bytes),
    Admitted(Subscription),
}

impl Drop for OperationState {
    fn drop(&mut self) {
        if let Self::Running { task, .. } = self {
            // What nobody waits for any more; the engine finishes a mutation nevertheless.
            task.abort();
        }
    }
}

impl Operations<'_> {
    /// Acts on what the client says after it was acknowledged.
    fn hear(&mut self, message: ClientMessage, out: &mut Vec<u8>) -> Result<(), Close> {
        match message {
            ClientMessage::ConnectionInit { .. } => Err(Close::SECOND_INIT),
            ClientMessage::Ping { payload } => {
                frames::pong(out, payload.as_deref().map(|payload| payload.get()));
                Ok(())
            }
            ClientMessage::Pong => Ok(()),
            ClientMessage::Subscribe { id, payload } => self.start(id, payload, out),
            ClientMessage::Complete { id } => {
                if let Some(idx) = self.all.iter().position(|operation| operation.id == id) {
                    self.remove(idx);
                }
                Ok(())
            }
        }
    }

    fn start(&mut self, id: Arc<str>, request: GraphqlRequest, out: &mut Vec<u8>) -> Result<(), Close> {
        if self.all.iter().any(|operation| operation.id == id) {
            return Err(Close::DUPLICATE_ID);
        }
        if self.all.len() >= MAX_OPERATIONS {
            return Err(Close::TOO_MANY_OPERATIONS);
        }
        let engine = Arc::clone(&self.state.engine);
        let prepared = match catch_unwind(AssertUnwindSafe(|| engine.prepare(request))) {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(errors)) => {
                frames::error(out, &id, &encode_errors(&errors));
                return Ok(());
            }
            Err(_) => {
                frames::error(out, &id, &panicked(&self.context));
                return Ok(());
            }
        };
        let kind = prepared.kind;
        if let Some(error) = misdirected(self.state.app.config.server.role, kind) {
            frames::error(out, &id, &encode_errors(&[error]));
            return Ok(());
        }
        let context = self.context.clone();
        let task = match kind {
            OperationType::Subscription => {
                let (outbox, id) = (Arc::clone(&self.outbox), Arc::clone(&id));
                self.state.sockets.spawn(async move {
                    match delivery::subscribe(&engine, prepared, context, &outbox, id).await {
                        Ok(subscription) => Ran::Admitted(subscription),
                        Err(response) => Ran::Refused(encode_errors(&response.errors)),
                    }
                })
            }
            OperationType::Query | OperationType::Mutation => self.state.sockets.spawn(async move {
                let executed = engine.execute(prepared, context).await;
                if executed.began {
                    Ran::Answered(encode_response(&executed.response))
                } else {
                    Ran::Refused(encode_errors(&executed.response.errors))
                }
            }),
        };
        self.all.reserve_exact(1);
        self.all.push(Operation { id, state: OperationState::Running { kind, task } });
        self.n_running += 1;
        Ok(())
    }

    /// Ready with an operation whose task has ended.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Poll<(usize, Result<Ran, JoinError>)> {
        if self.n_running == 0 {
            return Poll::Pending;
        }
        for (idx, operation) in self.all.iter_mut().enumerate() {
            if let OperationState::Running { task, .. } = &mut operation.state
                && let Poll::Ready(ran) = Pin::new(task).poll(cx)
            {
                return Poll::Ready((idx, ran));
            }
        }
        Poll::Pending
    }

    fn ran(&mut self, idx: usize, ran: Result<Ran, JoinError>, out: &mut Vec<u8>) {
        let id = &self.all[idx].id;
        match ran {
            Ok(Ran::Answered(payload)) => {
                frames::next(out, id, &payload);
                frames::complete(out, id);
            }
            Ok(Ran::Refused(errors)) => frames::error(out, id, &errors),
            Ok(Ran::Admitted(subscription)) => {
                self.n_running -= 1;
                let counted = Counted::subscription();
                self.all[idx].state = OperationState::Live { _subscription: subscription, _counted: counted };
                return;
            }
            // Only when the process ends are tasks cancelled that nobody removed.
            Err(error) if error.is_cancelled() => {}
            Err(_) => frames::error(out, id, &panicked(&self.context)),
        }
        self.remove(idx);
    }

    /// Puts what waited in the outbox into frames.
    fn tell(&mut self, batch: &mut VecDeque<Outgoing>, out: &mut Vec<u8>) {
        let len = |item: &Outgoing| match item {
            Outgoing::Next { id, payload } => id.len() + payload.len(),
            Outgoing::Error { id, errors } => id.len() + errors.len(),
            Outgoing::Complete { id } => id.len(),
        };
        out.reserve_exact(batch.iter().map(|item| len(item) + frames::OVERHEAD).sum());
        for item in batch.drain(..) {
            let (Outgoing::Next { id, .. } | Outgoing::Error { id, .. } | Outgoing::Complete { id }) = &item;
            // The client completes operations too, and what was on its way then is for nobody.
            let Some(idx) = self.all.iter().position(|operation| Arc::ptr_eq(&operation.id, id)) else { continue };
            match &item {
                Outgoing::Next { id, payload } => frames::next(out, id, payload),
                Outgoing::Error { id, errors } => {
                    frames::error(out, id, errors);
                    self.remove(idx);
                }
                Outgoing::Complete { id } => {
                    frames::complete(out, id);
                    self.remove(idx);
                }
            }
        }
        if batch.capacity() > KEPT_BATCH {
            *batch = VecDeque::new();
        }
    }

    /// For a session that has ended: ends everything but mutations at once, and puts the answers of these into frames,
    /// as far as they come in time.
    async fn finish_mutations(&mut self, out: &mut Vec<u8>) {
        let is_mutation = |operation: &Operation| matches!(&operation.state, OperationState::Running { kind, .. } if *kind == OperationType::Mutation);
        for idx in (0..self.all.len()).rev() {
            if !is_mutation(&self.all[idx]) {
                self.remove(idx);
            }
        }
        let by = Instant::now() + REVOKED_LIMIT;
        while self.n_running > 0 {
            let Ok((idx, ran)) = timeout_at(by, poll_fn(|cx| self.poll_running(cx))).await else { return };
            self.ran(idx, ran, out);
        }
    }

    fn owes_an_answer(&self) -> bool {
        let answers = |operation: &Operation| matches!(&operation.state, OperationState::Running { kind, .. } if *kind != OperationType::Subscription);
        self.all.iter().any(answers)
    }

    fn remove(&mut self, idx: usize) {
        let operation = self.all.swap_remove(idx);
        if let OperationState::Running { .. } = operation.state {
            self.n_running -= 1;
        }
    }
}

/// The errors of an operation that panicked. The panic hook has written where.
fn panicked(context: &RequestContext) -> Bytes {
    let error = Error::internal("panicked");
    tracing::error!(request_id = %context.request_id, "an operation panicked");
    let extensions = serde_json::json!({ "code": error.code(), "requestId": &*context.request_id });
    serde_json::json!([{ "message": error.to_string(), "extensions": extensions }]).to_string().into()
}
