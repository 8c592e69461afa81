//! A page of fifty, at depth.

use std::time::Instant;

use serde_json::json;

use crate::{
    Options, Outcome,
    cpu::Watched,
    http::{self, Connection},
    report::{Report, median, new_histogram, percentile_ms},
    sends::find_sequence,
    server::{Scratch, Server},
    world::{self, Database},
};

const DOCUMENT: &str = "query($id: ID!, $before: String) { conversation(id: $id) { messages(last: 50, before: $before) { \
    edges { cursor node { id sequence body createdAt sender { id displayName } } } \
    pageInfo { hasPreviousPage startCursor } } } }";

const ROOM: u64 = 1;
const PAGE: u64 = 50;
/// Requests of each depth in one round; the depths take turns.
const N_REQUESTS: usize = 150;

pub async fn run(options: &Options, scratch: &Scratch, report: &mut Report, n_messages: u64) -> Outcome<()> {
    let database = Database::new_postgres(options.database_name("pages")).await?;
    let server = Server::start_kith(scratch, &database.url(), options.redis_url.as_deref(), "warn").await?;
    database.add_people(1, 2).await?;
    database.add_conversations(ROOM, 1, 1, 1).await?;
    database.add_messages(ROOM, 1, n_messages).await?;
    database.analyze().await?;
    let watched = Watched { server: Some(server.pid()), database: database.postmaster() };

    let deepest = n_messages.saturating_sub(100);
    let mut depths: Vec<u64> = [0, 1_000, 100_000, 1_000_000].into_iter().filter(|depth| *depth < deepest).collect();
    if depths.last() != Some(&1_000_000) {
        depths.push(deepest);
    }
    let requests: Vec<Vec<u8>> = depths.iter().map(|depth| request(n_messages, *depth)).collect();
    let mut connection = Connection::open(server.address).await?;
    let mut rounds: Vec<Vec<f64>> = depths.iter().map(|_| Vec::new()).collect();
    let mut usages = Vec::new();
    let mut histograms: Vec<_> = depths.iter().map(|_| new_histogram()).collect();
    for round in 0..=options.rounds {
        let mut of_round: Vec<_> = depths.iter().map(|_| new_histogram()).collect();
        let before = watched.sample();
        for _ in 0..N_REQUESTS {
            for (idx, request) in requests.iter().enumerate() {
                let started = Instant::now();
                let (status, body) = connection.exchange(request).await?;
                let elapsed = started.elapsed();
                check_page(status, body, n_messages - depths[idx], report);
                of_round[idx].saturating_record(elapsed.as_nanos() as u64 / 1000);
            }
        }
        // The first round only warms up.
        if round > 0 {
            usages.push(before.until(&watched.sample()));
            for (idx, histogram) in of_round.iter().enumerate() {
                rounds[idx].push(percentile_ms(histogram, 50.0));
                histograms[idx] += histogram;
            }
        }
    }
    let counts = count_statements(scratch, &database, &requests).await?;
    let ratio = |idx: usize| median(rounds[idx].iter().zip(&rounds[0]).map(|(deep, newest)| deep / newest));
    let n_all = (N_REQUESTS * depths.len()) as u64;
    let shares = crate::report::sum(usages.iter().copied());
    let rows: Vec<_> = depths
        .iter()
        .enumerate()
        .map(|(idx, depth)| {
            vec![
                format!("at depth {depth}"),
                format!("{:.2} × newest", ratio(idx)),
                format!("{:.2} / {:.2}", median(rounds[idx].iter().copied()), percentile_ms(&histograms[idx], 99.0)),
                counts[idx].to_string(),
                format!("{:.0}", shares.server_us_per(n_all * options.rounds as u64)),
                shares.shares(),
            ]
        })
        .collect();
    let head = ["", "ratio", "p50 / p99 ms", "statements", "server µs", "CPU % server / database / generator"];
    report.table(&format!("A page of {PAGE} among {n_messages} messages"), &head, &rows);
    let deep = depths.len() - 1;
    report.at_most(format!("page at depth {} / newest", depths[deep]), ratio(deep), 1.1);
    let is_constant = counts.iter().all(|count| *count == counts[0] && *count > 0);
    report.at_most("statements of a deep page beyond the newest page's", if is_constant { 0.0 } else { 1.0 }, 0.0);
    drop(server);
    database.drop().await;
    Ok(())
}

fn request(n_messages: u64, depth: u64) -> Vec<u8> {
    // The server's cursors are opaque to clients; making one here saves walking there.
    let before = (depth > 0).then(|| base64_of_digits(&(n_messages - depth + 1).to_string()));
    let variables = json!({ "id": world::conversation_id(ROOM), "before": before });
    http::request(&world::token(1), DOCUMENT, &variables)
}

fn base64_of_digits(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let groups = text.as_bytes().chunks(3).map(|chunk| {
        let value = chunk.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digits = (0..=chunk.len()).map(move |idx| char::from(DIGITS[(value >> (18 - 6 * idx)) as usize & 63]));
        digits.collect::<String>()
    });
    groups.collect()
}

/// A page ends where it was asked to and has its full size.
fn check_page(status: u16, body: &[u8], newest: u64, report: &mut Report) {
    let first = find_sequence(body);
    let n = memchr::memmem::find_iter(body, b"\"sequence\":").count() as u64;
    if status != 200 || first != Some(newest - PAGE + 1) || n != PAGE {
        let text = String::from_utf8_lossy(body.get(..300).unwrap_or(body)).into_owned();
        report.fault(format!("a page before {newest}: {status}, {n} messages from {first:?}: {text}"));
    }
}

/// How many statements each request takes, as a second server's log tells.
async fn count_statements(scratch: &Scratch, database: &Database, requests: &[Vec<u8>]) -> Outcome<Vec<usize>> {
    let server = Server::start_kith(scratch, &database.url(), None, "warn,sqlx::query=debug").await?;
    let mut connection = Connection::open(server.address).await?;
    let n_logged = || -> Outcome<usize> {
        let log = std::fs::read_to_string(&server.log)?;
        // What the server asks by itself from time to time, the reconciler's statements, is about events.
        let asked = |line: &&str| line.contains("summary") && !line.contains("event") && !line.contains("pg_snapshot");
        Ok(log.lines().filter(asked).count())
    };
    // Once for the caches and connections.
    for request in requests {
        connection.exchange(request).await?;
    }
    let mut counts = Vec::new();
    for request in requests {
        let before = n_logged()?;
        connection.exchange(request).await?;
        counts.push(n_logged()? - before);
    }
    Ok(counts)
}
