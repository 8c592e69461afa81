//! One conversation's room: many sockets on the same document, beside a bare broadcast.

use std::{
    collections::HashMap,
    future::poll_fn,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Poll, ready},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use memchr::memmem;
use serde_json::json;
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    Options, Outcome,
    cpu::{Usage, Watched},
    http,
    report::{Report, median, new_histogram, percentile_ms, sum},
    sends::{BODY, Sender, find_sequence},
    server::{Scratch, Server},
    socket::{Frame, Socket, closed},
    world::{self, Database},
};

pub const DOCUMENT: &str = "subscription($id: ID!) { messageEvents(conversationId: $id) { type cursor messageEdge { cursor \
    node { id sequence body createdAt sender { id displayName } } } } }";

const ROOM: u64 = 1;
/// Messages under way: sent, and not yet with everybody.
const N_UNDER_WAY: u64 = 4;
/// Sockets that connect at once.
const N_CONNECTING: usize = 64;
const SETTLING: Duration = Duration::from_secs(20);

/// A room full of sockets and those who speak in it.
struct Room {
    address: SocketAddr,
    watched: Watched,
    shared: Arc<Shared>,
    sockets: JoinSet<Outcome<()>>,
    senders: Vec<Sender>,
}

/// What the sockets' tasks note.
struct Shared {
    n_sockets: u64,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    scratch: Vec<u8>,
    histogram: Histogram<u64>,
    recording: bool,
    n_delivered: u64,
    /// How many have got a message, until all have.
    counts: HashMap<u64, u64>,
    /// Who waits until all have a message.
    waiting: HashMap<u64, oneshot::Sender<()>>,
    /// Sockets that have got their first message.
    n_listening: u64,
    /// The last sequence that each socket has got.
    last: Vec<u64>,
    frame_bytes: usize,
    faults: Vec<String>,
}

impl Room {
    async fn fill(address: SocketAddr, watched: Watched, n_sockets: u64, series: u64) -> Outcome<Self> {
        let shared = Arc::new(Shared {
            n_sockets,
            started: Instant::now(),
            state: Mutex::new(State {
                scratch: vec![0; 64 * 1024],
                histogram: new_histogram(),
                recording: false,
                n_delivered: 0,
                counts: HashMap::new(),
                waiting: HashMap::new(),
                n_listening: 0,
                last: vec![0; n_sockets as usize],
                frame_bytes: 0,
                faults: Vec::new(),
            }),
        });
        let mut sockets = JoinSet::new();
        let mut all = connect(address, n_sockets, |_| ROOM, DOCUMENT).await?;
        for (idx, socket) in all.drain(..).enumerate() {
            sockets.spawn(Arc::clone(&shared).listen(idx, socket));
        }
        let mut senders = Vec::new();
        for person in 1..=N_UNDER_WAY {
            let body = format!("{:016} {BODY}", 0);
            senders.push(Sender::open(address, person, ROOM, series, &body).await?);
        }
        let mut room = Self { address, watched, shared, sockets, senders };
        room.settle().await?;
        Ok(room)
    }

    /// Says something from time to time until everybody has heard something.
    async fn settle(&mut self) -> Outcome<()> {
        let deadline = Instant::now() + SETTLING;
        loop {
            let (sender, shared) = (&mut self.senders[0], &self.shared);
            send(sender, shared).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            let n_listening = shared.state.lock().expect("nobody panicked").n_listening;
            if n_listening == shared.n_sockets {
                break;
            }
            if Instant::now() > deadline {
                let n_sockets = shared.n_sockets;
                return Err(format!("{n_listening} of {n_sockets} sockets have heard something").into());
            }
        }
        // What was said before everybody listened is with nobody any more.
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.shared.state.lock().expect("nobody panicked").counts.clear();
        Ok(())
    }

    async fn run(&mut self, duration: Duration) -> Outcome<Slice> {
        let until = Instant::now() + duration;
        {
            let mut state = self.shared.state.lock().expect("nobody panicked");
            state.histogram = new_histogram();
            state.recording = true;
            state.n_delivered = 0;
        }
        let before = self.watched.sample();
        let mut tasks = JoinSet::new();
        for mut sender in self.senders.drain(..) {
            let shared = Arc::clone(&self.shared);
            tasks.spawn(async move {
                while Instant::now() < until {
                    let sequence = send(&mut sender, &shared).await?;
                    if let Some(everywhere) = shared.wait_for(sequence) {
                        tokio::time::timeout(Duration::from_secs(20), everywhere)
                            .await
                            .map_err(|_| format!("message {sequence} has not reached everybody in 20 s"))??;
                    }
                }
                Ok::<_, crate::Failure>(sender)
            });
        }
        while let Some(sender) = tasks.join_next().await {
            self.senders.push(sender??);
        }
        let after = self.watched.sample();
        let mut state = self.shared.state.lock().expect("nobody panicked");
        state.recording = false;
        let histogram = std::mem::replace(&mut state.histogram, new_histogram());
        Ok(Slice { n: state.n_delivered, histogram, usage: before.until(&after) })
    }

    /// Everybody has everything, in order, and nobody was cut off.
    fn check(&mut self, name: &str, report: &mut Report) {
        while let Some(ended) = self.sockets.try_join_next() {
            let why = match ended {
                Ok(Ok(())) => "ended".into(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            report.fault(format!("{name} at {}: a socket {why}", self.address));
        }
        let state = self.shared.state.lock().expect("nobody panicked");
        for fault in &state.faults {
            report.fault(format!("{name}: {fault}"));
        }
        let newest = state.last.iter().copied().max().unwrap_or(0);
        let n_behind = state.last.iter().filter(|last| **last != newest).count();
        if n_behind > 0 {
            report.fault(format!("{name}: {n_behind} sockets lack the newest message"));
        }
    }
}

/// Sends a message with the time in its body.
async fn send(sender: &mut Sender, shared: &Shared) -> Outcome<u64> {
    let time = shared.started.elapsed().as_micros();
    sender.mark(format!("{time:016}").as_bytes());
    sender.send().await
}

impl Shared {
    /// Waits until all have a message, unless they have it already.
    fn wait_for(&self, sequence: u64) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state.lock().expect("nobody panicked");
        if state.counts.get(&sequence) == Some(&self.n_sockets) {
            state.counts.remove(&sequence);
            return None;
        }
        let (tell, told) = oneshot::channel();
        state.waiting.insert(sequence, tell);
        Some(told)
    }

    /// Reads one socket for ever.
    async fn listen(self: Arc<Self>, idx: usize, mut socket: Socket) -> Outcome<()> {
        loop {
            let mut pong: Option<Vec<u8>> = None;
            poll_fn(|cx| {
                let mut state = self.state.lock().expect("nobody panicked");
                let state = &mut *state;
                let n_read = ready!(socket.poll_read(cx, &mut state.scratch))?;
                let mut scratch = std::mem::take(&mut state.scratch);
                let now = self.started.elapsed().as_micros() as u64;
                let taken = socket.take(&mut scratch, n_read, |frame| {
                    match frame {
                        Frame::Text(text) => self.note(state, idx, text, now)?,
                        Frame::Ping(payload) => pong = Some(payload.to_vec()),
                        Frame::Pong => {}
                        Frame::Close(reason) => return Err(closed(reason)),
                    }
                    Ok(())
                });
                state.scratch = scratch;
                Poll::Ready(taken)
            })
            .await?;
            if let Some(payload) = pong {
                socket.pong(&payload).await?;
            }
        }
    }

    fn note(&self, state: &mut State, idx: usize, text: &[u8], now: u64) -> Outcome<()> {
        const BODY: &[u8] = b"\"body\":\"";
        let sequence = find_sequence(text);
        let sent_at = memmem::find(text, BODY).and_then(|at| http::number_at(text, at + BODY.len()));
        let Some((sequence, sent_at)) = sequence.zip(sent_at) else {
            return Err(format!("not a message: {}", String::from_utf8_lossy(text)).into());
        };
        let last = std::mem::replace(&mut state.last[idx], sequence);
        if last == 0 {
            state.n_listening += 1;
            state.frame_bytes = text.len();
        } else if sequence != last + 1 {
            state.faults.push(format!("socket {idx} got message {sequence} after {last}"));
        }
        if state.recording {
            state.n_delivered += 1;
            state.histogram.saturating_record(now.saturating_sub(sent_at));
        }
        let count = state.counts.entry(sequence).or_default();
        *count += 1;
        if *count == self.n_sockets
            && let Some(tell) = state.waiting.remove(&sequence)
        {
            state.counts.remove(&sequence);
            // Who has given up waiting says so.
            let _ = tell.send(());
        }
        Ok(())
    }
}

/// Sockets of the people from number 1 on, each on a conversation.
pub async fn connect(
    address: SocketAddr,
    n_sockets: u64,
    conversation: fn(u64) -> u64,
    document: &'static str,
) -> Outcome<Vec<Socket>> {
    let mut connecting = JoinSet::new();
    let mut sockets = Vec::with_capacity(n_sockets as usize);
    for person in 1..=n_sockets {
        if connecting.len() >= N_CONNECTING
            && let Some(socket) = connecting.join_next().await
        {
            sockets.push(socket??);
        }
        connecting.spawn(async move {
            let variables = match document.contains("$id") {
                true => json!({ "id": world::conversation_id(conversation(person)) }),
                false => json!({}),
            };
            Socket::subscribe(address, person as usize, &world::token(person), document, &variables).await
        });
    }
    while let Some(socket) = connecting.join_next().await {
        sockets.push(socket??);
    }
    Ok(sockets)
}

struct Slice {
    n: u64,
    histogram: Histogram<u64>,
    usage: Usage,
}

impl Slice {
    fn rate(&self) -> f64 {
        self.n as f64 / self.usage.elapsed.as_secs_f64()
    }
}

pub async fn run(options: &Options, scratch: &Scratch, report: &mut Report, sizes: &[u64]) -> Outcome<()> {
    let mut rows = Vec::new();
    for &n_sockets in sizes {
        let database = Database::new_postgres(options.database_name(&format!("fanout{n_sockets}"))).await?;
        let server = Server::start_kith(scratch, &database.url(), options.redis_url.as_deref(), "warn").await?;
        database.add_people(1, n_sockets).await?;
        database.add_conversations(ROOM, 1, 1, 1).await?;
        database.add_members(ROOM, 3, n_sockets).await?;
        database.analyze().await?;
        let watched = Watched { server: Some(server.pid()), database: database.postmaster() };
        let mut ours = Room::fill(server.address, watched, n_sockets, 1).await?;
        let n_bytes = ours.shared.state.lock().expect("nobody panicked").frame_bytes;

        let floor_server = Server::start_floor(scratch, n_bytes).await?;
        let floor_watched = Watched { server: Some(floor_server.pid()), database: None };
        let mut floor = Room::fill(floor_server.address, floor_watched, n_sockets, 1).await?;

        let (mut ours_slices, mut floor_slices) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            ours_slices.push(ours.run(options.slice()).await?);
            floor_slices.push(floor.run(options.slice()).await?);
        }
        ours.check(&format!("kith, {n_sockets} sockets"), report);
        floor.check(&format!("the floor, {n_sockets} sockets"), report);
        let ratio = median(ours_slices.iter().zip(&floor_slices).map(|(our, floor)| our.rate() / floor.rate()));
        rows.push(row(format!("kith, {n_sockets} sockets"), format!("{ratio:.2} × bare"), &ours_slices));
        rows.push(row(format!("bare axum broadcast, {n_bytes} bytes"), String::new(), &floor_slices));
        report.at_least(format!("fanout-{n_sockets} / bare broadcast"), ratio, 0.8);
        drop((ours, floor, server, floor_server));
        database.drop().await;
    }
    let head = ["", "ratio", "deliveries/s", "p50 / p99 ms", "server µs", "CPU % server / database / generator"];
    report.table(&format!("Fan-out, {N_UNDER_WAY} messages under way"), &head, &rows);
    Ok(())
}

fn row(name: String, ratio: String, slices: &[Slice]) -> Vec<String> {
    let mut histogram = new_histogram();
    for slice in slices {
        histogram += &slice.histogram;
    }
    vec![
        name,
        ratio,
        format!("{:.0}", median(slices.iter().map(Slice::rate))),
        format!("{:.1} / {:.1}", percentile_ms(&histogram, 50.0), percentile_ms(&histogram, 99.0)),
        format!("{:.2}", median(slices.iter().map(|slice| slice.usage.server_us_per(slice.n)))),
        sum(slices.iter().map(|slice| slice.usage)).shares(),
    ]
}
