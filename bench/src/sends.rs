//! Acknowledged messages a second, beside one transaction a message.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use memchr::memmem;
use serde_json::json;
use sqlx::{Connection as _, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::mpsc;

use crate::{
    Backend, Options, Outcome,
    cpu::{Usage, Watched},
    http::{self, Connection},
    report::{Report, median, new_histogram, percentile_ms, sum},
    server::{Scratch, Server},
    world::{self, Database, LONG_AGO},
};

pub const DOCUMENT: &str = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { \
    messageEdge { cursor node { id sequence createdAt } } replayed userErrors { code message } } }";
pub const BODY: &str = "See you at the station at half past seven, platform 4.";

const N_PEOPLE: u64 = 64;
/// Conversations of two: person N's own is number N.
const HOT: u64 = 1000;
/// The floor's own: person N's is this many further on.
const FLOOR: u64 = 2000;
const FLOOR_HOT: u64 = 3000;

const WARM_UP: Duration = Duration::from_millis(300);
const FLOOR_CLIENTS: [u64; 4] = [4, 8, 16, 64];
const FLOOR_HOT_CLIENTS: [u64; 3] = [4, 16, 64];

/// Somebody who sends message after message: one request, in which only the key changes.
pub struct Sender {
    connection: Connection,
    request: Vec<u8>,
    key_at: usize,
    n_sent: u64,
    /// Where a time may be put into the body; see [`crate::fanout`].
    pub body_at: usize,
}

impl Sender {
    /// `series` keeps the keys of different runs apart.
    pub async fn open(address: SocketAddr, person: u64, conversation: u64, series: u64, body: &str) -> Outcome<Self> {
        const NO_KEY: &str = "00000000-0000-4000-8000-000000000000";
        let input =
            json!({ "conversationId": world::conversation_id(conversation), "body": body, "idempotencyKey": NO_KEY });
        let mut request = http::request(&world::token(person), DOCUMENT, &json!({ "input": input }));
        let key_at = memmem::find(&request, NO_KEY.as_bytes()).ok_or("the request has no key")?;
        let body_at = memmem::find(&request, body.as_bytes()).ok_or("the request has no body")?;
        request[key_at..key_at + 8].copy_from_slice(format!("{series:08}").as_bytes());
        Ok(Self { connection: Connection::open(address).await?, request, key_at, n_sent: 0, body_at })
    }

    /// Sends one message and answers its sequence.
    pub async fn send(&mut self) -> Outcome<u64> {
        self.n_sent += 1;
        let mut n = self.n_sent;
        for digit in self.request[self.key_at + 24..self.key_at + 36].iter_mut().rev() {
            *digit = b'0' + (n % 10) as u8;
            n /= 10;
        }
        let (status, body) = self.connection.exchange(&self.request).await?;
        let sequence = find_sequence(body);
        match sequence {
            Some(sequence) if status == 200 && memmem::find(body, b"\"replayed\":false").is_some() => Ok(sequence),
            _ => Err(format!("a send was answered {status} {}", String::from_utf8_lossy(body)).into()),
        }
    }

    /// Puts a text over the beginning of the body.
    pub fn mark(&mut self, text: &[u8]) {
        self.request[self.body_at..self.body_at + text.len()].copy_from_slice(text);
    }
}

pub fn find_sequence(text: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"sequence\":";
    http::number_at(text, memmem::find(text, NAME)? + NAME.len())
}

/// The answers of a run, by conversation, to be checked in the end.
#[derive(Default)]
struct Ledger(BTreeMap<u64, Vec<u64>>);

impl Ledger {
    fn add(&mut self, conversation: u64, sequences: Vec<u64>) {
        self.0.entry(conversation).or_default().extend(sequences);
    }

    /// Every answered send has a number of its own, there are no gaps, and the database has exactly these.
    async fn check(mut self, database: &Database, report: &mut Report) -> Outcome<()> {
        for (conversation, sequences) in &mut self.0 {
            sequences.sort_unstable();
            let n = sequences.len() as u64;
            if let Some((expected, got)) = (1..).zip(&*sequences).find(|(expected, got)| expected != *got) {
                report.fault(format!("conversation {conversation}: expected sequence {expected}, answered was {got}"));
            }
            let (n_rows, counter) = database.count(*conversation).await?;
            if n_rows as u64 != n || counter as u64 != n {
                report.fault(format!(
                    "conversation {conversation}: {n} sends answered, {n_rows} messages kept, {counter} counted"
                ));
            }
        }
        Ok(())
    }
}

/// What one stretch of time brought.
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

const WARMING: u8 = 0;
const RECORDING: u8 = 1;
const STOPPED: u8 = 2;

/// Some people, each in a conversation, as fast as they are answered.
async fn closed_loop(
    address: SocketAddr,
    watched: Watched,
    places: &[(u64, u64)],
    series: u64,
    duration: Duration,
    ledger: &mut Ledger,
) -> Outcome<Slice> {
    let phase = Arc::new(AtomicU8::new(WARMING));
    let histogram = Arc::new(Mutex::new(new_histogram()));
    let mut tasks = Vec::new();
    for &(person, conversation) in places {
        let mut sender = Sender::open(address, person, conversation, series, BODY).await?;
        let (phase, histogram) = (Arc::clone(&phase), Arc::clone(&histogram));
        tasks.push(tokio::spawn(async move {
            let mut sequences = Vec::new();
            while phase.load(Ordering::Relaxed) != STOPPED {
                let started = Instant::now();
                sequences.push(sender.send().await?);
                if phase.load(Ordering::Relaxed) == RECORDING {
                    record(&histogram, started);
                }
            }
            Ok::<_, crate::Failure>((conversation, sequences))
        }));
    }
    tokio::time::sleep(WARM_UP).await;
    let before = watched.sample();
    phase.store(RECORDING, Ordering::Relaxed);
    tokio::time::sleep(duration).await;
    phase.store(STOPPED, Ordering::Relaxed);
    let after = watched.sample();
    for task in tasks {
        let (conversation, sequences) = task.await??;
        ledger.add(conversation, sequences);
    }
    let histogram = std::mem::replace(&mut *histogram.lock().expect("nobody panicked"), new_histogram());
    Ok(Slice { n: histogram.len(), histogram, usage: before.until(&after) })
}

fn record(histogram: &Mutex<Histogram<u64>>, started: Instant) {
    histogram.lock().expect("nobody panicked").saturating_record(started.elapsed().as_micros() as u64);
}

/// Messages at a fixed rate, whether or not the earlier ones have been answered; a latency counts from the moment at
/// which the message was to be sent.
async fn open_loop(
    address: SocketAddr,
    watched: Watched,
    rate: f64,
    series: u64,
    duration: Duration,
    ledger: &mut Ledger,
) -> Outcome<Slice> {
    const N_CONNECTIONS: u64 = 128;
    let (give, take) = mpsc::unbounded_channel::<Instant>();
    let take = Arc::new(tokio::sync::Mutex::new(take));
    let histogram = Arc::new(Mutex::new(new_histogram()));
    let mut tasks = Vec::new();
    for n in 0..N_CONNECTIONS {
        let person = 1 + n % N_PEOPLE;
        // Two connections of one person have different keys.
        let series = series * 10 + n / N_PEOPLE;
        let mut sender = Sender::open(address, person, person, series, BODY).await?;
        let (take, histogram) = (Arc::clone(&take), Arc::clone(&histogram));
        tasks.push(tokio::spawn(async move {
            let mut sequences = Vec::new();
            loop {
                let Some(due) = take.lock().await.recv().await else { break };
                sequences.push(sender.send().await?);
                record(&histogram, due);
            }
            Ok::<_, crate::Failure>((person, sequences))
        }));
    }
    let before = watched.sample();
    let started = Instant::now();
    let n_total = (rate * duration.as_secs_f64()) as u64;
    for n in 0..n_total {
        let due = started + Duration::from_secs_f64(n as f64 / rate);
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        give.send(due)?;
    }
    drop(give);
    for task in tasks {
        let (conversation, sequences) = task.await??;
        ledger.add(conversation, sequences);
    }
    let after = watched.sample();
    let histogram = std::mem::replace(&mut *histogram.lock().expect("nobody panicked"), new_histogram());
    Ok(Slice { n: histogram.len(), histogram, usage: before.until(&after) })
}

async fn settle(database: &Database) -> Outcome<()> {
    database.add_people(1, 2 * N_PEOPLE).await?;
    database.add_conversations(1, 1, N_PEOPLE, N_PEOPLE).await?;
    database.add_conversations(FLOOR + 1, 1, N_PEOPLE - 1, N_PEOPLE + 1).await?;
    // What the pairs above have not used up: each pair of people has one conversation at most.
    database.add_conversations(FLOOR + N_PEOPLE, 1, 1, 2).await?;
    database.add_members(FLOOR + N_PEOPLE, N_PEOPLE, N_PEOPLE).await?;
    for (conversation, first) in [(HOT, 5), (FLOOR_HOT, 7)] {
        database.add_conversations(conversation, first, first, 1).await?;
        database.add_members(conversation, 1, first - 1).await?;
        database.add_members(conversation, first + 2, N_PEOPLE).await?;
    }
    database.analyze().await
}

/// Who sends where.
fn places(n: u64, hot: bool) -> Vec<(u64, u64)> {
    (1..=n).map(|person| (person, if hot { HOT } else { person })).collect()
}

pub async fn run(options: &Options, scratch: &Scratch, report: &mut Report, backend: Backend) -> Outcome<()> {
    match backend {
        Backend::Postgres => on_postgres(options, scratch, report).await,
        Backend::Sqlite => on_sqlite(options, scratch, report).await,
    }
}

/// The server under steady load and nothing else, for a profiler.
pub async fn alone(
    options: &Options,
    scratch: &Scratch,
    report: &mut Report,
    backend: Backend,
    n_people: u64,
) -> Outcome<()> {
    let database = match backend {
        Backend::Postgres => Database::new_postgres(options.database_name("alone")).await?,
        Backend::Sqlite => Database::new_sqlite(scratch.path("alone.db")),
    };
    let server = Server::start_kith(scratch, &database.url(), options.redis_url.as_deref(), "warn").await?;
    settle(&database).await?;
    println!("server: process {}, database: {}", server.pid(), database.url());
    let watched = Watched { server: Some(server.pid()), database: database.postmaster() };
    let mut ledger = Ledger::default();
    let places = places(n_people.clamp(1, N_PEOPLE), false);
    let mut slices = Vec::new();
    for round in 0..options.rounds as u64 {
        slices.push(closed_loop(server.address, watched, &places, 1 + round, options.slice(), &mut ledger).await?);
    }
    report.table("Sends, alone", &HEAD, &[row(format!("kith, {n_people} people"), String::new(), &slices, true)]);
    ledger.check(&database, report).await?;
    drop(server);
    database.drop().await;
    Ok(())
}

async fn on_postgres(options: &Options, scratch: &Scratch, report: &mut Report) -> Outcome<()> {
    let database = Database::new_postgres(options.database_name("sends")).await?;
    let server = Server::start_kith(scratch, &database.url(), options.redis_url.as_deref(), "warn").await?;
    settle(&database).await?;
    let watched = Watched { server: Some(server.pid()), database: database.postmaster() };
    let mut ledger = Ledger::default();

    // First everybody once, unrecorded: plans are made, pages are in memory.
    closed_loop(server.address, watched, &places(N_PEOPLE, false), 1, Duration::from_millis(200), &mut ledger).await?;

    let scenarios: [(&str, u64, bool); 4] = [
        ("1 person", 1, false),
        ("16 people, 16 conversations", 16, false),
        ("64 people, 64 conversations", 64, false),
        ("64 people, 1 conversation", 64, true),
    ];
    let mut ours: Vec<Vec<Slice>> = scenarios.iter().map(|_| Vec::new()).collect();
    let mut floors: BTreeMap<(bool, u64), Vec<Slice>> = BTreeMap::new();
    let mut series = 10;
    for _ in 0..options.rounds {
        for (idx, &(_, n, hot)) in scenarios.iter().enumerate() {
            series += 1;
            let places = places(n, hot);
            ours[idx].push(closed_loop(server.address, watched, &places, series, options.slice(), &mut ledger).await?);
            // The floors of one kind right beside the figure that they are compared with.
            let clients: &[u64] = match (n, hot) {
                (64, false) => &FLOOR_CLIENTS,
                (64, true) => &FLOOR_HOT_CLIENTS,
                (1, _) => &[1],
                _ => &[],
            };
            for &n_clients in clients {
                series += 1;
                let floor = pgbench(options, scratch, &database, watched, n_clients, hot, series).await?;
                floors.entry((hot, n_clients)).or_default().push(floor);
            }
        }
    }

    let best = |hot: bool, round: usize| {
        let of_round =
            floors.iter().filter(|((of, n), _)| *of == hot && *n > 1).map(|(_, slices)| slices[round].rate());
        of_round.fold(0.0, f64::max)
    };
    let ratio = |slices: &[Slice], floor: &dyn Fn(usize) -> f64| {
        median(slices.iter().enumerate().map(|(round, slice)| slice.rate() / floor(round)))
    };
    let alone = |round: usize| floors[&(false, 1)][round].rate();
    let spread = |round: usize| best(false, round);
    let hot = |round: usize| best(true, round);
    let mut rows = Vec::new();
    for (idx, (name, ..)) in scenarios.iter().enumerate() {
        let (beside, floor): (&str, &dyn Fn(usize) -> f64) = match idx {
            0 => ("1 client", &alone),
            3 => ("best, 1 row", &hot),
            _ => ("best", &spread),
        };
        let ratio = ratio(&ours[idx], floor);
        rows.push(row(format!("kith, {name}"), format!("{ratio:.2} × {beside}"), &ours[idx], true));
    }
    for ((hot, n_clients), slices) in &floors {
        let kind = if *hot { "one row" } else { "own rows" };
        rows.push(row(format!("pgbench, {n_clients} clients, {kind}"), String::new(), slices, false));
    }
    let rate = 0.5 * median(ours[2].iter().map(Slice::rate));
    let open = open_loop(server.address, watched, rate, series + 1, options.slice(), &mut ledger).await?;
    rows.push(row(format!("kith, open loop at {rate:.0}/s"), String::new(), &[open], true));
    report.table("Sends on PostgreSQL", &HEAD, &rows);

    report.at_least("sends-spread / best pgbench", ratio(&ours[2], &spread), 1.5);
    report.at_least("sends-hot / best pgbench on one row", ratio(&ours[3], &hot), 4.0);
    let cpu = median(ours[2].iter().map(|slice| slice.usage.server_us_per(slice.n)));
    report.at_most("server µs per send, 64 conversations", cpu, 60.0);
    ledger.check(&database, report).await?;
    drop(server);
    database.drop().await;
    Ok(())
}

const HEAD: [&str; 7] =
    ["", "ratio", "messages/s", "p50 / p99 ms", "server µs", "database µs", "CPU % server / database / generator"];

fn row(name: String, ratio: String, slices: &[Slice], with_server: bool) -> Vec<String> {
    let mut histogram = new_histogram();
    for slice in slices {
        histogram += &slice.histogram;
    }
    let per = |of: fn(&Usage, u64) -> f64| median(slices.iter().map(|slice| of(&slice.usage, slice.n)));
    vec![
        name,
        ratio,
        format!("{:.0}", median(slices.iter().map(Slice::rate))),
        match histogram.len() {
            0 => String::new(),
            _ => format!("{:.2} / {:.2}", percentile_ms(&histogram, 50.0), percentile_ms(&histogram, 99.0)),
        },
        if with_server { format!("{:.0}", per(Usage::server_us_per)) } else { String::new() },
        format!("{:.0}", per(Usage::database_us_per)),
        sum(slices.iter().map(|slice| slice.usage)).shares(),
    ]
}

// ---------------------------------------------------------------- the floors

/// The same statements, one message and one transaction at a time, as one statement: the kindest form there is.
fn pgbench_script(hot: bool) -> String {
    let (user, conversation) = world::pgbench_ids();
    let number = if hot { FLOOR_HOT.to_string() } else { format!("{FLOOR} + :client_id + 1") };
    let hash = "\\\\x".to_owned() + &"5a".repeat(32);
    format!(
        r#"\set n :n + 1
\set person :client_id + 1
\set place {number}
\set id :n * 100 + :client_id
WITH allowed AS MATERIALIZED (
  SELECT c.id, m.user_id, u.username, u.display_name, u.discoverable, u.created_at
  FROM member m JOIN conversation c ON c.id = m.conversation_id JOIN "user" u ON u.id = m.user_id
  WHERE m.conversation_id = ('{conversation}' || lpad(:place, 12, '0'))::uuid
    AND m.user_id = ('{user}' || lpad(:person, 12, '0'))::uuid AND c.open
), numbered AS (
  UPDATE conversation c SET sequence = c.sequence + 1, position = c.position + 1,
    last_activity_at = greatest(c.last_activity_at, {LONG_AGO})
  FROM allowed a WHERE c.id = a.id
  RETURNING c.id, c.sequence, c.position, a.user_id, a.username, a.display_name, a.discoverable, a.created_at
), messages AS (
  INSERT INTO message (id, conversation_id, sequence, sender_id, body, idempotency_key, input_hash, created_at)
  SELECT ('019000000004' || lpad(:id, 20, '0'))::uuid, n.id, n.sequence, n.user_id, '{BODY}',
    '00000000-0000-4000-8000' || lpad(:id, 13, '-'), E'{hash}'::bytea, {LONG_AGO}
  FROM numbered n RETURNING id
), events AS (
  INSERT INTO event (kind, conversation_id, position, message_id, created_at)
  SELECT 1, n.id, n.position, m.id, {LONG_AGO} FROM numbered n, messages m
), members AS (
  UPDATE member m SET last_read_sequence = n.sequence, last_read_at = {LONG_AGO} FROM numbered n
  WHERE m.conversation_id = n.id AND m.user_id = n.user_id AND m.last_read_sequence < n.sequence
)
SELECT n.sequence, n.position, n.username, n.display_name, n.discoverable, n.created_at FROM numbered n;
"#
    )
}

async fn pgbench(
    options: &Options,
    scratch: &Scratch,
    database: &Database,
    watched: Watched,
    n_clients: u64,
    hot: bool,
    series: u64,
) -> Outcome<Slice> {
    let script = scratch.path(if hot { "hot.sql" } else { "spread.sql" });
    std::fs::write(&script, pgbench_script(hot))?;
    let program = match std::env::var_os("KITH_TEST_POSTGRES_BIN") {
        Some(folder) => std::path::Path::new(&folder).join("pgbench"),
        None => "pgbench".into(),
    };
    let mut command = std::process::Command::new(program);
    command
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
        .arg(format!("--client={n_clients}"))
        .arg(format!("--time={}", options.seconds))
        .arg(format!("--define=n={}", series * 100_000_000))
        .arg(format!("--file={}", script.display()))
        .arg(database.url())
        // The settings that suit it best, as the server has its own.
        .env(
            "PGOPTIONS",
            "-c jit=off -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off \
             -c enable_mergejoin=off",
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let before = watched.sample();
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let after = watched.sample();
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("pgbench failed: {text} {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let field = |before: &str| text.lines().find_map(|line| line.split_once(before)?.1.split_whitespace().next());
    let rate: f64 = field("tps = ").ok_or("pgbench says no rate")?.parse()?;
    let latency: f64 = field("latency average = ").ok_or("pgbench says no latency")?.parse()?;
    let n: u64 = field("transactions actually processed: ").ok_or("pgbench says no count")?.parse()?;
    // By its own clock, which leaves out connecting.
    let usage = Usage { elapsed: Duration::from_secs_f64(n as f64 / rate), ..before.until(&after) };
    let mut histogram = new_histogram();
    // Only a mean is known: shown as the median.
    histogram.saturating_record((latency * 1000.0) as u64);
    Ok(Slice { n, histogram, usage })
}

async fn on_sqlite(options: &Options, scratch: &Scratch, report: &mut Report) -> Outcome<()> {
    let database = Database::new_sqlite(scratch.path("sends.db"));
    let floor_database = Database::new_sqlite(scratch.path("floor.db"));
    // The same program makes both files' tables.
    let floor_tables = Server::start_kith(scratch, &floor_database.url(), None, "warn").await?;
    settle(&floor_database).await?;
    drop(floor_tables);
    let server = Server::start_kith(scratch, &database.url(), None, "warn").await?;
    settle(&database).await?;
    let watched = Watched { server: Some(server.pid()), database: None };
    let mut ledger = Ledger::default();
    let mut floor = SqliteFloor::open(scratch).await?;
    let (mut ours, mut hot, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds as u64 {
        let spread = places(N_PEOPLE, false);
        ours.push(closed_loop(server.address, watched, &spread, 10 + 2 * round, options.slice(), &mut ledger).await?);
        floors.push(floor.run(watched, options.slice()).await?);
        let one = places(N_PEOPLE, true);
        hot.push(closed_loop(server.address, watched, &one, 11 + 2 * round, options.slice(), &mut ledger).await?);
    }
    let ratio = |slices: &[Slice]| median(slices.iter().zip(&floors).map(|(our, floor)| our.rate() / floor.rate()));
    let times = |slices: &[Slice]| format!("{:.2} × one by one", ratio(slices));
    let rows = [
        row("kith, 64 people, 64 conversations".into(), times(&ours), &ours, true),
        row("kith, 64 people, 1 conversation".into(), times(&hot), &hot, true),
        row("one commit per message".into(), String::new(), &floors, false),
    ];
    report.table("Sends on SQLite", &HEAD, &rows);
    report.at_least("sends-sqlite / one commit per message", ratio(&ours), 10.0);
    ledger.check(&database, report).await?;
    Ok(())
}

/// A plain loop: one message, one commit, flushed.
struct SqliteFloor {
    connection: SqliteConnection,
    n: AtomicU64,
}

impl SqliteFloor {
    async fn open(scratch: &Scratch) -> Outcome<Self> {
        let options = SqliteConnectOptions::new()
            .filename(scratch.path("floor.db"))
            .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
            .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
            .foreign_keys(true);
        Ok(Self { connection: SqliteConnection::connect_with(&options).await?, n: 0.into() })
    }

    async fn run(&mut self, watched: Watched, duration: Duration) -> Outcome<Slice> {
        let mut histogram = new_histogram();
        let before = watched.sample();
        let until = Instant::now() + duration;
        while Instant::now() < until {
            let started = Instant::now();
            let n = self.n.fetch_add(1, Ordering::Relaxed);
            self.send(1 + n % N_PEOPLE, n).await?;
            histogram.saturating_record(started.elapsed().as_micros() as u64);
        }
        let after = watched.sample();
        Ok(Slice { n: histogram.len(), histogram, usage: before.until(&after) })
    }

    async fn send(&mut self, person: u64, n: u64) -> Outcome<()> {
        let (conversation, user) = (world::conversation_uuid(FLOOR + person), world::user_uuid(person));
        let id: uuid::Uuid = format!("019000000004{n:020}").parse()?;
        let mut tx = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let row = sqlx::query(
            "SELECT c.sequence, c.position, u.username, u.display_name, u.discoverable, u.created_at \
             FROM member m JOIN conversation c ON c.id = m.conversation_id JOIN user u ON u.id = m.user_id \
             WHERE m.conversation_id = ?1 AND m.user_id = ?2 AND c.open",
        )
        .bind(conversation)
        .bind(user)
        .fetch_one(&mut *tx)
        .await?;
        let (sequence, position): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        sqlx::query(
            "INSERT INTO message (id, conversation_id, sequence, sender_id, body, idempotency_key, input_hash, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(id)
        .bind(conversation)
        .bind(sequence + 1)
        .bind(user)
        .bind(BODY)
        .bind(id.hyphenated().to_string())
        .bind(&[0x5a; 32][..])
        .bind(LONG_AGO)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO event (kind, conversation_id, position, message_id, created_at) VALUES (1, ?1, ?2, ?3, ?4)",
        )
        .bind(conversation)
        .bind(position + 1)
        .bind(id)
        .bind(LONG_AGO)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE conversation SET sequence = ?2, position = ?3, last_activity_at = max(last_activity_at, ?4) \
             WHERE id = ?1",
        )
        .bind(conversation)
        .bind(sequence + 1)
        .bind(position + 1)
        .bind(LONG_AGO)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE member SET last_read_sequence = ?3, last_read_at = ?4 WHERE conversation_id = ?1 AND user_id = ?2",
        )
        .bind(conversation)
        .bind(user)
        .bind(sequence + 1)
        .bind(LONG_AGO)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }
}
