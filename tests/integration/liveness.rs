//! What is alive says so, and what is dead is noticed. The times are shortened; a unit test beside the settings has the
//! promised ones.

use std::time::{Duration, Instant};

use chrono::{DateTime, FixedOffset, TimeDelta};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{story, support::*};

/// `events` with nothing but what a heartbeat has.
const BEATS: &str = "subscription($after: String) { events(after: $after) { cursor occurredAt event {
    __typename ... on Heartbeat { at } } } }";

fn time(value: &Value) -> DateTime<FixedOffset> {
    let time = DateTime::parse_from_rfc3339(value.as_str().unwrap_or_default());
    time.unwrap_or_else(|error| panic!("{value} is no time: {error}"))
}

story!(a_silent_stream_of_everything_has_a_heartbeat, |world| async {
    let server = world.server_with(Options::default().set("KITH_HEARTBEAT_SECONDS", "2")).await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    let is_beat = |event: &Value| event["__typename"] == "Heartbeat";
    let is_invite = |event: &Value| event["__typename"] == "InviteChanged";
    let socket = bob.socket().await;
    let mut ears = socket.subscribe(BEATS, json!({}));
    let mut stream = EventSource::open(&bob, BEATS, json!({})).await.expect("it is accepted");

    let mut heard = ears.until(is_beat).await;
    assert_eq!(heard.len(), 2, "CaughtUp and then nothing else: {heard:?}");
    assert_eq!(heard[0]["event"]["__typename"], "CaughtUp");
    // The same over server-sent events, where a comment keeps the connection and says nothing of the subscription.
    for expected in ["CaughtUp", "Heartbeat"] {
        let (name, data) = stream.next().await.expect("the stream is open");
        assert_eq!((name.as_str(), &data["data"]["events"]["event"]["__typename"]), ("next", &json!(expected)));
    }
    drop(stream);

    // It comes after silence, and not by the clock: what happens puts it off.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        let invited = alice.invite(&bob).await;
        heard.extend(ears.until(is_invite).await);
        alice.answer_invite("revokeInvite", invited.ok()["invite"]["id"].as_str().expect("an id")).await.ok();
        heard.extend(ears.until(is_invite).await);
    }
    heard.extend(ears.until(is_beat).await);
    for [before, after] in heard.array_windows() {
        if is_beat(&after["event"]) {
            let silence = time(&after["event"]["at"]) - time(&before["occurredAt"]);
            assert!(silence >= TimeDelta::seconds(1), "two seconds, counted in whole ones: {before} {after}");
        }
    }

    // Its cursor counts: what happens after it is what a resume brings.
    drop(socket);
    let invited = alice.invite(&bob).await;
    let socket = bob.socket().await;
    let (_, replayed) = socket.follow(heard.last().expect("a heartbeat")["cursor"].as_str()).await;
    assert_eq!(replayed.last().expect("the invite")["event"]["invite"]["id"], invited.ok()["invite"]["id"]);
});

story!(who_answers_no_ping_is_taken_for_dead, |world| async {
    let server = world.server_with(Options::default().set("KITH_PING_SECONDS", "1")).await;
    let alice = server.person("alice").await;
    let observer = server.anonymous();
    let mut alive = alice.raw_socket().await;
    alive.init(Some(alice.access_token())).await;
    // By hand: every library answers pings.
    let upgrade = format!(
        "GET /graphql/ws HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: c2l4dGVlbiBieXRlcy4uLg==\r\n\
         sec-websocket-protocol: graphql-transport-ws\r\nauthorization: Bearer {}\r\n\r\n",
        alice.access_token()
    );
    let (mut dead, answer) = raw_request(&server.url, upgrade.as_bytes()).await.expect("the server answers");
    assert_eq!(answer.status, 101);
    let init = br#"{"type":"connection_init"}"#;
    // A final frame of text, masked with zeros.
    let head = [0x81, 0x80 | u8::try_from(init.len()).expect("is short"), 0, 0, 0, 0];
    dead.write_all(&[&head[..], init].concat()).await.expect("the frame is taken");

    // Two sockets and the one who looks; then one socket less.
    let n_open = async || {
        let n_sockets = observer.metric(r#"kith_sockets{transport="ws"}"#).await;
        (n_sockets, observer.metric("kith_connections").await)
    };
    eventually("both sockets to be counted", async || (n_open().await == (2.0, 3.0)).then_some(())).await;
    let mut read = answer.rest;
    let dying = within(PATIENCE, "the dead one to be dropped", dead.read_to_end(&mut read));
    // Who answers may be silent otherwise, for longer than the dead one lives. Reading answers.
    let living = async {
        let mut n_pings = 0;
        while n_pings < 4 {
            match alive.next().await {
                Frame::Ping => n_pings += 1,
                other => panic!("expected a ping, got {other:?}"),
            }
        }
        alive.round_trip().await;
    };
    let (died, ()) = tokio::join!(dying, living);
    died.expect("the end is seen");
    let ack = br#"{"type":"connection_ack"}"#;
    let ack = [&[0x81, u8::try_from(ack.len()).expect("is short")][..], ack].concat();
    let pings = [0x89, 0, 0x89, 0];
    assert_eq!(read, [&ack[..], &pings].concat(), "two pings, and no farewell to who is not there");
    eventually("the dead one to be counted no more", async || {
        // Reading answers: the other one must not die of our looking away.
        alive.round_trip().await;
        (n_open().await == (1.0, 2.0)).then_some(())
    })
    .await;
});
