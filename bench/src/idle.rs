//! What a socket costs that has nothing to say.

use std::time::{Duration, Instant};

use memchr::memmem;
use serde_json::json;

use crate::{
    Options, Outcome, cpu,
    cpu::Watched,
    fanout,
    report::Report,
    server::{Scratch, Server},
    world::Database,
};

const EVERYTHING: &str = "subscription { events { cursor occurredAt event { __typename \
    ... on MessageEvent { type cursor messageEdge { cursor node { id sequence body createdAt sender { id displayName } } } } \
    ... on ReadReceipt { conversationId sequence readAt user { id } } } } }";

/// Until what was set in motion by connecting has come to rest.
const SETTLING: Duration = Duration::from_secs(2);

pub async fn run(
    options: &Options,
    scratch: &Scratch,
    report: &mut Report,
    n_sockets: u64,
    documents: &[Subscription],
) -> Outcome<()> {
    let mut rows = Vec::new();
    for subscription in documents {
        let (name, document) = match subscription {
            Subscription::MessageEvents => ("messageEvents", fanout::DOCUMENT),
            Subscription::Events => ("events", EVERYTHING),
        };
        let database = Database::new_postgres(options.database_name(&format!("idle_{}", name.to_lowercase()))).await?;
        let server = Server::start_kith(scratch, &database.url(), options.redis_url.as_deref(), "warn").await?;
        database.add_people(1, 2 * n_sockets).await?;
        // Everybody in a conversation of their own, with somebody who is not here.
        database.add_conversations(1, 1, n_sockets, n_sockets).await?;
        database.analyze().await?;
        let watched = Watched { server: Some(server.pid()), database: database.postmaster() };
        let resident = || cpu::resident_kib(server.pid()).ok_or("the server is gone");
        let before = resident()?;
        let started = Instant::now();
        let mut sockets = fanout::connect(server.address, n_sockets, |person| person, document).await?;
        let connects = n_sockets as f64 / started.elapsed().as_secs_f64();
        tokio::time::sleep(SETTLING).await;
        let (idle_from, held) = (watched.sample(), resident()?);
        tokio::time::sleep(SETTLING).await;
        let usage = idle_from.until(&watched.sample());
        let a_socket = (held as f64 - before as f64) / n_sockets as f64;

        // Everybody still answers.
        let started = Instant::now();
        for socket in &mut sockets {
            socket.say(&json!({ "type": "ping" })).await?;
        }
        let mut n_dead = 0u64;
        for socket in &mut sockets {
            // `events` says `CaughtUp` first.
            let alive = async {
                loop {
                    let heard = socket.hear().await?;
                    if memmem::find(&heard, b"\"pong\"").is_some() {
                        return Ok::<_, crate::Failure>(());
                    }
                    if memmem::find(&heard, b"\"next\"").is_none() {
                        return Err(String::from_utf8_lossy(&heard).into_owned().into());
                    }
                }
            };
            match tokio::time::timeout(Duration::from_secs(5), alive).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    n_dead += 1;
                    report.fault(format!("idle, {name}: a socket is dead: {error}"));
                }
                Err(_) => n_dead += 1,
            }
        }
        if n_dead > 0 {
            report.fault(format!("idle, {name}: {n_dead} of {n_sockets} sockets do not answer"));
        }
        let pings = started.elapsed();
        rows.push(vec![
            format!("{n_sockets} × {name}"),
            format!("{a_socket:.1} KiB"),
            format!("{:.0} → {:.0} MiB", before as f64 / 1024.0, held as f64 / 1024.0),
            format!("{connects:.0}/s"),
            format!("{} in {:.1} s", n_sockets - n_dead, pings.as_secs_f64()),
            usage.shares(),
        ]);
        if matches!(subscription, Subscription::MessageEvents) {
            report.at_most(format!("idle-{n_sockets}-{name} KiB per socket"), a_socket, 12.0);
        }
        drop((sockets, server));
        database.drop().await;
    }
    let head = ["", "a socket", "server RSS", "connecting", "answer pings", "idle CPU % server / database / generator"];
    report.table("Idle sockets with one subscription each", &head, &rows);
    Ok(())
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Subscription {
    MessageEvents,
    Events,
}
