//! Who was away hears what was missed (G4).

use std::{collections::HashMap, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{full_story, story, support::*};

fn sequence_of(event: &Value) -> i64 {
    event["messageEdge"]["node"]["sequence"].as_i64().unwrap_or_else(|| panic!("no message in {event}"))
}

/// What happened, in short: `ADDED 5`.
fn change(event: &Value) -> String {
    format!("{} {}", event["type"].as_str().expect("a type"), sequence_of(event))
}

story!(a_resumed_conversation_tells_each_change_once_and_in_order, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let known = alice.send(&conversation, "The last that bob hears.").await;
    let last = ears.next().await;
    assert_eq!(last["messageEdge"]["node"]["id"], known["id"]);
    drop(socket);

    let mut happened = Vec::new();
    let edge = "messageEdge { node { sequence } }";
    for n in 0..40 {
        let sent = alice.send(&conversation, &format!("While away {n}")).await;
        happened.push(format!("ADDED {}", sent["sequence"]));
        if n % 8 == 3 {
            let edit = json!({"messageId": sent["id"], "body": "Corrected"});
            alice.mutate("editMessage", edit, edge).await.ok();
            happened.push(format!("EDITED {}", sent["sequence"]));
        }
        if n % 16 == 7 {
            alice.mutate("deleteMessage", json!({"messageId": sent["id"]}), edge).await.ok();
            happened.push(format!("DELETED {}", sent["sequence"]));
        }
    }

    let socket = bob.socket().await;
    let mut resumed =
        socket.subscribe(MESSAGE_EVENTS, json!({"conversationId": conversation, "after": last["cursor"]}));
    let replayed = resumed.take(happened.len()).await;
    assert_eq!(replayed.iter().map(change).collect::<Vec<_>>(), happened);
    for n in 0..3 {
        let sent = alice.send(&conversation, &format!("Live again {n}")).await;
        assert_eq!(change(&resumed.next().await), format!("ADDED {}", sent["sequence"]), "and then it is live");
    }

    // Any cursor on the way is as good.
    let halfway = &replayed[20]["cursor"];
    let mut resumed = socket.subscribe(MESSAGE_EVENTS, json!({"conversationId": conversation, "after": halfway}));
    let rest = resumed.take(happened.len() - 21 + 3).await;
    assert_eq!(rest.iter().map(change).collect::<Vec<_>>()[..happened.len() - 21], happened[21..]);
});

story!(a_long_absence_is_replayed_while_others_go_on_talking, |world| async {
    const N_MISSED: i64 = 700;
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    alice.send(&conversation, "A place to come back to.").await;
    let place = ears.next().await;
    drop(socket);

    let send_many = async |n: i64| {
        let sender = |n: i64| {
            let (alice, conversation) = (alice.clone(), conversation.clone());
            async move {
                for _ in 0..n {
                    alice.send(&conversation, "missed, but not for good").await;
                }
            }
        };
        join_all((0..10).map(|_| sender(n / 10))).await;
    };
    within(PATIENCE * 4, "the sends", send_many(N_MISSED)).await;
    let socket = bob.socket().await;
    let mut resumed =
        socket.subscribe(MESSAGE_EVENTS, json!({"conversationId": conversation, "after": place["cursor"]}));
    let (_, heard) = within(PATIENCE * 4, "the replay", async {
        tokio::join!(send_many(100), resumed.take(N_MISSED as usize + 100))
    })
    .await;
    let expected: Vec<i64> = (1..=N_MISSED + 100).map(|n| sequence_of(&place) + n).collect();
    assert_eq!(heard.iter().map(sequence_of).collect::<Vec<_>>(), expected);
});

story!(a_resumed_stream_of_everything_tells_what_was_missed_then_that_it_caught_up, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let (carol, dave) = tokio::join!(server.person("carol"), server.person("dave"));
    let other = bob.befriend(&carol).await;
    let socket = bob.socket().await;
    let (mut hears, _) = socket.follow(None).await;
    let marker = alice.send(&conversation, "Before.").await;
    let is_marker = |event: &Value| event["messageEdge"]["node"]["id"] == marker["id"];
    let seen = hears.until(is_marker).await;
    let cursor = seen.last().expect("the marker")["cursor"].as_str().expect("a cursor").to_owned();
    drop(socket);

    let mut missed = Vec::new();
    for n in 0..15 {
        missed.push(alice.send(&conversation, &format!("alice {n}")).await["id"].clone());
        missed.push(carol.send(&other, &format!("carol {n}")).await["id"].clone());
    }
    let invited = dave.invite(&bob).await;
    let invite = &invited.ok()["invite"]["id"];
    carol.to_user("removeFriend", &bob).await.ok();
    // What is not bob's business is not in his stream.
    let private = alice.befriend(&dave).await;
    let hidden = alice.send(&private, "Not for bob.").await;

    let socket = bob.socket().await;
    let (mut hears, replayed) = socket.follow(Some(&cursor)).await;
    let first_seen: Vec<&Value> = {
        let mut seen: Vec<&Value> = Vec::new();
        for envelope in &replayed {
            let id = &envelope["event"]["messageEdge"]["node"]["id"];
            if id.is_string() && *id != marker["id"] && !seen.contains(&id) {
                seen.push(id);
            }
        }
        seen
    };
    let of = |conversation_start: usize| missed.iter().skip(conversation_start).step_by(2).collect::<Vec<_>>();
    for (who, expected) in [("alice", of(0)), ("carol", of(1))] {
        let heard: Vec<_> = first_seen.iter().filter(|id| expected.contains(id)).copied().collect();
        assert_eq!(heard, expected, "what {who} said, all of it, in order");
    }
    let events = || replayed.iter().map(|envelope| &envelope["event"]);
    assert!(events().any(|event| event["__typename"] == "InviteChanged" && event["invite"]["id"] == *invite));
    assert!(events().any(|event| event["__typename"] == "FriendshipChanged"
        && event["user"]["id"] == carol.id.as_str()
        && event["user"]["relationship"] == "NONE"));
    assert!(!events().any(|event| event["__typename"] == "ResyncRequired"), "{replayed:?}");
    assert!(!json!(replayed).to_string().contains("Not for bob."));
    assert!(!json!(replayed).to_string().contains(hidden["id"].as_str().expect("an id")));

    let live = alice.send(&conversation, "After.").await;
    hears.until(|event| event["messageEdge"]["node"]["id"] == live["id"]).await;

    // From where it caught up there is nothing to repeat but what came later.
    let socket = bob.socket().await;
    let (mut hears, _) = socket.follow(None).await;
    let last = alice.send(&conversation, "The end.").await;
    let seen = hears.until(|event| event["messageEdge"]["node"]["id"] == last["id"]).await;
    assert!(seen.iter().all(|envelope| envelope["event"]["messageEdge"]["node"]["id"] != live["id"]));
});

story!(a_cursor_that_cannot_be_resumed_from_is_refused_aloud, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let carol = server.person("carol").await;
    let other = bob.befriend(&carol).await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    alice.send(&conversation, "Something").await;
    let cursor = ears.next().await["cursor"].as_str().expect("a cursor").to_owned();
    let (mut everything, _) = socket.follow(None).await;
    alice.send(&conversation, "More").await;
    let envelope_cursor = everything.next().await["cursor"].as_str().expect("a cursor").to_owned();
    let edge_cursor = {
        let answer = bob
            .ask(
                "query($id: ID!) { conversation(id: $id) { messages(last: 1) { edges { cursor } } } }",
                json!({"id": conversation}),
            )
            .await;
        answer["conversation"]["messages"]["edges"][0]["cursor"].as_str().expect("a cursor").to_owned()
    };

    let refusal_of = async |heard: Heard| match heard {
        Heard::Error(errors) => errors[0]["extensions"]["code"].as_str().unwrap_or_default().to_owned(),
        Heard::Next(payload) if payload["errors"].is_array() => {
            payload["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
        }
        Heard::Next(payload) if payload["data"]["events"]["event"]["__typename"] == "ResyncRequired" => {
            "ResyncRequired".to_owned()
        }
        other => panic!("heard {other:?}"),
    };
    let nonsense = ["", "nonsense", "🦀", "\u{0}", "AAAA", &"A".repeat(3000)];
    for after in nonsense {
        let mut refused = socket.subscribe(MESSAGE_EVENTS, json!({"conversationId": conversation, "after": after}));
        assert_eq!(refusal_of(refused.hear().await).await, "BAD_USER_INPUT", "{after:?}");
        let mut refused = socket.subscribe(EVENTS, json!({"after": after}));
        let refusal = refusal_of(refused.hear().await).await;
        assert!(matches!(refusal.as_str(), "BAD_USER_INPUT" | "ResyncRequired"), "{after:?}: {refusal}");
    }
    for (what, after, conversation) in [
        ("another conversation's", &cursor, &other),
        ("a list's", &edge_cursor, &conversation),
        ("the other stream's", &envelope_cursor, &conversation),
    ] {
        let mut refused = socket.subscribe(MESSAGE_EVENTS, json!({"conversationId": conversation, "after": after}));
        assert_eq!(refusal_of(refused.hear().await).await, "BAD_USER_INPUT", "{what} cursor");
    }
    for (what, after) in [("a list's", &edge_cursor), ("the other stream's", &cursor)] {
        let mut refused = socket.subscribe(EVENTS, json!({"after": after}));
        let refusal = refusal_of(refused.hear().await).await;
        assert!(matches!(refusal.as_str(), "BAD_USER_INPUT" | "ResyncRequired"), "{what} cursor: {refusal}");
    }

    // A database from a backup without another epoch knows less than the cursor: that is said, and the stream goes on
    // from what there is.
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(&envelope_cursor).expect("base64url")).expect("text");
    let (before, watermark) = text.rsplit_once('.').expect("a number at the end");
    let watermark: i64 = watermark.parse().expect("a number");
    for ahead in [100_000, i64::MAX - watermark] {
        let after = URL_SAFE_NO_PAD.encode(format!("{before}.{}", watermark + ahead));
        let (mut hears, replayed) = socket.follow(Some(&after)).await;
        assert_eq!(replayed[0]["event"]["__typename"], "ResyncRequired", "{replayed:?}");
        assert_ne!(replayed[0]["cursor"], after.as_str(), "a client can go on from it");
        let live = alice.send(&conversation, "After.").await;
        hears.until(|event| event["messageEdge"]["node"]["id"] == live["id"]).await;
        let (_, replayed) = socket.follow(replayed[0]["cursor"].as_str()).await;
        assert!(replayed.iter().any(|envelope| envelope["event"]["messageEdge"]["node"]["id"] == live["id"]));
        assert!(replayed.iter().all(|envelope| envelope["event"]["__typename"] != "ResyncRequired"));
    }

    // A database from a backup has another epoch: what it knows of the cursor is not what the client knew.
    world.sql("UPDATE instance SET epoch = 'another0000'").await;
    assert!(server.terminate().await.success());
    let server = world.server().await;
    let socket = bob.at(&server).socket().await;
    let mut refused = socket.subscribe(MESSAGE_EVENTS, json!({"conversationId": conversation, "after": cursor}));
    let refusal = refusal_of(refused.hear().await).await;
    assert!(matches!(refusal.as_str(), "BAD_USER_INPUT" | "ResyncRequired"), "{refusal}");
    let mut refused = socket.subscribe(EVENTS, json!({"after": envelope_cursor}));
    assert_eq!(refusal_of(refused.hear().await).await, "ResyncRequired");
});

story!(a_conversation_that_opens_later_is_heard_from_its_first_message, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let socket = alice.socket().await;
    let (mut hears, _) = socket.follow(None).await;
    for n in 0..5 {
        let name = format!("newcomer{n}");
        let newcomer = server.person(&name).await;
        let invited = newcomer.invite(&alice).await;
        let accepted = alice.answer_invite("acceptInvite", invited.ok()["invite"]["id"].as_str().expect("an id")).await;
        let conversation = conversation_id_of(accepted.ok());
        let mut said = Vec::new();
        for m in 0..8 {
            said.push(newcomer.send(&conversation, &format!("{m}")).await["id"].clone());
        }
        let mut heard: Vec<Value> = Vec::new();
        while heard.len() < said.len() {
            let event = hears.next().await["event"].take();
            let node = &event["messageEdge"]["node"];
            if node["conversation"]["id"] == conversation.as_str() && !heard.contains(&node["id"]) {
                heard.push(node["id"].clone());
            }
        }
        assert_eq!(heard, said, "what {name} said, from the first word on");
    }
    drop(bob);
});

story!(a_subscription_outlives_a_quarrel_or_says_that_it_ended, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let (mut everything, _) = socket.follow(None).await;
    alice.to_user("removeFriend", &bob).await.ok();
    assert_eq!(alice.befriend(&bob).await, conversation);
    let mut said = Vec::new();
    for n in 0..5 {
        said.push(alice.send(&conversation, &format!("Friends again {n}")).await["id"].clone());
    }
    for id in &said {
        match ears.hear().await {
            Heard::Next(payload) => assert_eq!(payload["data"]["messageEvents"]["messageEdge"]["node"]["id"], *id),
            Heard::Complete | Heard::Error(_) => break,
            Heard::Ended(ended) => panic!("{ended:?}"),
        }
    }
    for id in &said {
        everything.until(|event| event["messageEdge"]["node"]["id"] == *id).await;
    }
});

story!(more_than_can_be_replayed_is_said_and_the_stream_goes_on, |world| async {
    const N_MISSED: usize = 5100;
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let (mut hears, _) = socket.follow(None).await;
    let marker = alice.send(&conversation, "Before a long absence.").await;
    let seen = hears.until(|event| event["messageEdge"]["node"]["id"] == marker["id"]).await;
    let cursor = seen.last().expect("the marker")["cursor"].as_str().expect("a cursor").to_owned();
    drop((hears, socket));

    let ten_sends: String = (0..10)
        .map(|n| format!("s{n}: sendMessage(input: {{conversationId: $id, body: \"x\"}}) {{ userErrors {{ code }} }} "))
        .collect();
    let ten_sends = format!("mutation($id: ID!) {{ {ten_sends} }}");
    let sender = |_| async {
        for _ in 0..N_MISSED / 10 / 15 {
            alice.ask(&ten_sends, json!({"id": conversation})).await;
        }
    };
    within(PATIENCE * 6, "the sends", join_all((0..15).map(sender))).await;
    let n_sent = 1 + (N_MISSED / 10 / 15 * 15 * 10) as i64;

    let socket = bob.socket().await;
    let (mut hears, replayed) = socket.follow(Some(&cursor)).await;
    let resync = replayed.iter().find(|envelope| envelope["event"]["__typename"] == "ResyncRequired");
    let resync = resync.unwrap_or_else(|| panic!("{} envelopes and no word that more was missed", replayed.len()));
    let live = alice.send(&conversation, "After.").await;
    assert_eq!(live["sequence"], n_sent + 1);
    hears.until(|event| event["messageEdge"]["node"]["id"] == live["id"]).await;
    // From the cursor that came with it a client can go on.
    let cursor = resync["cursor"].as_str().expect("a cursor");
    let (mut hears, replayed) = socket.follow(Some(cursor)).await;
    assert!(replayed.iter().all(|envelope| envelope["event"]["__typename"] != "ResyncRequired"));
    if !replayed.iter().any(|envelope| envelope["event"]["messageEdge"]["node"]["id"] == live["id"]) {
        hears.until(|event| event["messageEdge"]["node"]["id"] == live["id"]).await;
    }
});

/// How a listener's connection is broken.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Reset,
    Close,
    BlackHole,
}

story!(a_socket_cut_fifty_times_under_load_misses_nothing, |world| async {
    const N_CUTS: usize = 50;
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let proxy = Proxy::to(&format!("127.0.0.1:{}", server.port)).await;
    let far_bob = bob.via(&proxy.http_url());
    let mut rng = world.rng();
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let first = alice.send(&conversation, "From here on nothing may be missed.").await;
    let mut cursor = ears.next().await["cursor"].clone();
    let first = first["sequence"].as_i64().expect("a number");
    drop((ears, socket));

    let stop = tokio::sync::watch::Sender::new(false);
    let senders = [&alice, &bob, &alice].map(|person| {
        let (person, conversation, stop) = (person.clone(), conversation.clone(), stop.subscribe());
        tokio::spawn(async move {
            while !*stop.borrow() {
                person.send(&conversation, "on and on").await;
            }
        })
    });
    let mut heard = Vec::new();
    within(PATIENCE * 6, "fifty cuts", async {
        for _ in 0..N_CUTS {
            let cut = *rng.pick(&[Cut::Reset, Cut::Reset, Cut::Close, Cut::BlackHole]);
            let n_before_cut = rng.below(25);
            let socket = far_bob.socket().await;
            let variables = json!({"conversationId": conversation, "after": cursor});
            let mut ears = socket.subscribe(MESSAGE_EVENTS, variables);
            for _ in 0..n_before_cut {
                let event = ears.next().await;
                cursor = event["cursor"].clone();
                heard.push(sequence_of(&event));
            }
            match cut {
                Cut::Reset => proxy.reset_open(),
                Cut::Close => {}
                Cut::BlackHole => proxy.swallow(),
            }
            // What had arrived is not lost on an application that goes on reading what it has.
            if let Cut::Reset = cut {
                while let Some(event) = ears.next_or_end().await {
                    cursor = event["cursor"].clone();
                    heard.push(sequence_of(&event));
                }
            }
            drop((ears, socket));
            proxy.heal();
        }
    })
    .await;
    stop.send_replace(true);
    for sender in senders {
        within(PATIENCE, "the last sends", sender).await.expect("every send is answered");
    }
    let last = alice.send(&conversation, "The end.").await["sequence"].as_i64().expect("a number");
    let socket = bob.socket().await;
    let mut ears = socket.subscribe(MESSAGE_EVENTS, json!({"conversationId": conversation, "after": cursor}));
    while heard.last() != Some(&last) {
        heard.push(sequence_of(&ears.next().await));
    }
    assert_eq!(heard, (first + 1..=last).collect::<Vec<_>>(), "each once, in order");
});

story!(a_stream_of_everything_cut_twenty_times_under_load_misses_nothing, |world| async {
    let server = world.server().await;
    let (alice, bob, with_alice) = server.friends("alice", "bob").await;
    let carol = server.person("carol").await;
    let with_carol = bob.befriend(&carol).await;
    let proxy = Proxy::to(&format!("127.0.0.1:{}", server.port)).await;
    let far_bob = bob.via(&proxy.http_url());
    let mut rng = world.rng();
    let socket = bob.socket().await;
    let (mut hears, _) = socket.follow(None).await;
    let marker = alice.send(&with_alice, "From here on.").await;
    let seen = hears.until(|event| event["messageEdge"]["node"]["id"] == marker["id"]).await;
    let mut cursor = seen.last().expect("the marker")["cursor"].as_str().expect("a cursor").to_owned();
    drop((hears, socket));

    let stop = tokio::sync::watch::Sender::new(false);
    let senders = [(&alice, &with_alice), (&carol, &with_carol), (&bob, &with_carol)].map(|(person, conversation)| {
        let (person, conversation, stop) = (person.clone(), conversation.clone(), stop.subscribe());
        tokio::spawn(async move {
            while !*stop.borrow() {
                person.send(&conversation, "on and on").await;
            }
        })
    });
    // By conversation: the sequences in the order of their first delivery.
    let mut heard: HashMap<String, Vec<i64>> = HashMap::new();
    let mut hear = |envelope: &Value| {
        let node = &envelope["event"]["messageEdge"]["node"];
        if let (Some(conversation), Some(sequence)) = (node["conversation"]["id"].as_str(), node["sequence"].as_i64()) {
            let sequences = heard.entry(conversation.to_owned()).or_default();
            if !sequences.contains(&sequence) {
                sequences.push(sequence);
            }
        }
    };
    within(PATIENCE * 6, "twenty cuts", async {
        for _ in 0..20 {
            let socket = far_bob.socket().await;
            let mut hears = socket.subscribe(EVENTS, json!({"after": cursor}));
            for _ in 0..rng.below(40) {
                let envelope = hears.next().await;
                hear(&envelope);
                cursor = envelope["cursor"].as_str().expect("a cursor").to_owned();
            }
            proxy.reset_open();
        }
    })
    .await;
    stop.send_replace(true);
    for sender in senders {
        within(PATIENCE, "the last sends", sender).await.expect("every send is answered");
    }
    let socket = bob.socket().await;
    let (_, replayed) = socket.follow(Some(&cursor)).await;
    replayed.iter().for_each(&mut hear);
    for conversation in [&with_alice, &with_carol] {
        let n_sent = bob.history(conversation).await.len() as i64;
        let first = if *conversation == with_alice { 2 } else { 1 };
        let mut sequences = heard.remove(conversation.as_str()).expect("something was heard");
        sequences.retain(|sequence| *sequence >= first);
        assert_eq!(sequences, (first..=n_sent).collect::<Vec<_>>(), "everything, in order");
    }
});

story!(an_event_stream_over_http_hears_the_same_and_resumes, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let variables = |after: &Value| json!({"conversationId": conversation, "after": after});
    let mut stream = EventSource::open(&bob, MESSAGE_EVENTS, variables(&Value::Null)).await.expect("it is accepted");
    // The first message may come before the stream is live.
    let mut event = Value::Null;
    for _ in 0..20 {
        alice.send(&conversation, "Can you hear me?").await;
        let next = tokio::time::timeout(Duration::from_millis(500), stream.next());
        if let Ok(next) = next.await {
            let (name, data) = next.expect("the stream is open");
            assert_eq!(name, "next");
            event = data["data"]["messageEvents"].clone();
            break;
        }
    }
    drop(stream);
    let from = sequence_of(&event);
    for n in 0..5 {
        alice.send(&conversation, &format!("missed {n}")).await;
    }
    let mut stream =
        EventSource::open(&bob, MESSAGE_EVENTS, variables(&event["cursor"])).await.expect("it is accepted");
    for n in 1..=5 {
        let (name, data) = stream.next().await.expect("the stream is open");
        assert_eq!(name, "next");
        assert_eq!(sequence_of(&data["data"]["messageEvents"]), from + n);
    }
    // A query is answered on the same road, and ends.
    let mut stream = EventSource::open(&bob, "{ viewer { user { username } } }", json!({})).await.expect("accepted");
    let (name, data) = stream.next().await.expect("an answer");
    assert_eq!((name.as_str(), &data["data"]["viewer"]["user"]["username"]), ("next", &json!("bob")));
    assert_eq!(stream.next().await.expect("an end").0, "complete");
    assert_eq!(stream.next().await, None);
    // A refused document is told as a result, and the operation is over.
    let mut refused = EventSource::open(&bob, "subscription { nonsense }", json!({})).await.expect("it is a stream");
    let (name, data) = refused.next().await.expect("an answer");
    assert_eq!(name, "next");
    assert!(data["errors"][0]["message"].is_string() && data.get("data").is_none(), "{data}");
    assert_eq!(refused.next().await.expect("an end").0, "complete");
    // A bad token is refused before anything streams.
    let refused = EventSource::open(&bob.with_token("nonsense"), EVENTS, json!({})).await.err().expect("it is refused");
    assert_eq!((refused.status, refused.code()), (401, Some("UNAUTHENTICATED")), "{}", refused.text);
});

full_story!(what_redis_loses_the_event_log_gives, |world| async {
    // A deaf process: its Redis is another one, where nobody says anything.
    let redis = Redis::private(world).await;
    let speaking = world.server().await;
    let listening = world.server_with(Options::default().redis(redis.url()).set("KITH_RECONCILE_SECONDS", "0.3")).await;
    let (alice, bob, conversation) = speaking.friends("alice", "bob").await;
    let socket = bob.at(&listening).socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let (mut everything, _) = socket.follow(None).await;
    let mut sent = Vec::new();
    for n in 0..30 {
        sent.push(alice.send(&conversation, &format!("{n}")).await["id"].clone());
    }
    let heard = ears.take(30).await;
    assert_eq!(heard.iter().map(|event| event["messageEdge"]["node"]["id"].clone()).collect::<Vec<_>>(), sent);
    let mut n_heard = 0;
    while n_heard < sent.len() {
        let envelope = everything.next().await;
        if envelope["event"]["messageEdge"]["node"]["id"] == sent[n_heard] {
            n_heard += 1;
        }
    }
    let carol = speaking.person("carol").await;
    carol.invite(&bob).await.ok();
    everything.until(|event| event["__typename"] == "InviteChanged").await;
});
