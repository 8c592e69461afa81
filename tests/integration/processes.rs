//! Several processes, and parts that fail: PostgreSQL, Redis, the process itself.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};

use crate::{cluster_story, full_story, joined_story, sqlite_story, story, support::*};

fn sequence_of(event: &Value) -> i64 {
    event["messageEdge"]["node"]["sequence"].as_i64().unwrap_or_else(|| panic!("no message in {event}"))
}

full_story!(processes_that_start_at_once_on_an_empty_database_all_come_up, |world| async {
    let (a, b, c) = tokio::join!(world.server(), world.server(), world.server());
    let alice = a.person("alice").await;
    for server in [&b, &c] {
        assert_eq!(alice.at(server).viewer("user { username }").await["user"]["username"], "alice");
    }
});

joined_story!(two_processes_are_one_service, |world| async {
    let (a, b) = (world.server().await, world.server().await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let bob = bob.at(&b);
    let (alice_socket, bob_socket) = tokio::join!(alice.socket(), bob.socket());
    let (mut bob_hears, _) = bob_socket.follow(None).await;
    let mut on_b = bob_socket.listen(&conversation, &alice).await;
    let mut on_a = alice_socket.listen(&conversation, &bob).await;
    on_b.up_to_now(&bob, &conversation).await;
    let last = alice.history(&conversation).await.len() as i64;
    for n in 1..=50 {
        // Read your writes: what one process answered the other knows.
        let (speaker, reader) = if n % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
        let sent = speaker.send(&conversation, &format!("{n}")).await;
        let newest = reader.conversation(&conversation, "lastMessage { id }").await;
        assert_eq!(newest["lastMessage"]["id"], sent["id"]);
        for ears in [&mut on_a, &mut on_b] {
            assert_eq!(sequence_of(&ears.next().await), last + n);
        }
    }
    let carol = a.person("carol").await;
    let invited = carol.invite(&bob).await;
    bob_hears.until(|event| event["invite"]["id"] == invited.ok()["invite"]["id"]).await;

    let mut receipts = alice_socket.subscribe(READ_RECEIPTS, json!({"conversationId": conversation}));
    let newest = alice.send(&conversation, "Read this.").await["sequence"].as_i64().expect("a number");
    let mut heard = None;
    for sequence in newest - 3..=newest {
        bob.mark_read(&conversation, sequence).await.ok();
        heard = heard.or(receipts.try_next(Duration::from_millis(500)).await);
    }
    assert_eq!(heard.expect("a receipt")["user"]["id"], bob.id.as_str());
});

joined_story!(what_a_killed_process_had_committed_is_heard_on_the_others, |world| async {
    let (mut a, b) = (world.server().await, world.server().await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let socket = bob.at(&b).socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let mut heard = vec![alice.send(&conversation, "From here on.").await["sequence"].as_i64().expect("a number")];
    assert_eq!(sequence_of(&ears.next().await), heard[0]);
    for _ in 0..4 {
        // The kill comes at any moment: between a commit and its word to the others, too.
        let senders: Vec<_> = (0..8)
            .map(|n| {
                let (person, conversation) = (alice.at(&a), conversation.clone());
                tokio::spawn(async move {
                    for m in 0.. {
                        let input = json!({"conversationId": conversation, "body": format!("{n}.{m}")});
                        if person.try_send_input(input).await.is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        for _ in 0..40 {
            heard.push(sequence_of(&ears.next().await));
        }
        a.kill9().await;
        for sender in senders {
            within(PATIENCE * 2, "the senders to notice", sender).await.expect("no send was refused");
        }
        let newest = bob.at(&b).conversation(&conversation, "lastMessage { sequence }").await;
        let newest = newest["lastMessage"]["sequence"].as_i64().expect("a number");
        while heard.last() != Some(&newest) {
            heard.push(sequence_of(&ears.next().await));
        }
        a = world.server().await;
    }
    assert_eq!(heard, (heard[0]..heard[0] + heard.len() as i64).collect::<Vec<_>>(), "each once, in order");
});

joined_story!(a_logout_ends_the_socket_on_another_process_at_once, |world| async {
    let (a, b) = (world.server().await, world.server().await);
    let alice = a.person("alice").await;
    let (phone, laptop) = tokio::join!(alice.another_device(), alice.another_device());
    let (phone_on_b, laptop_on_b) = (phone.at(&b), laptop.at(&b));
    let (phone_socket, laptop_socket) = tokio::join!(phone_on_b.socket(), laptop_on_b.socket());
    let (mut phone_hears, _) = phone_socket.follow(None).await;
    let (mut laptop_hears, _) = laptop_socket.follow(None).await;

    phone.ask("mutation { logout { userErrors { code } } }", json!({})).await;
    let ended = phone_socket.ended(Duration::from_secs(1)).await;
    assert_eq!(ended.code(), Some(1008), "{ended:?}");
    assert!(matches!(phone_hears.hear().await, Heard::Complete | Heard::Ended(_)));
    for person in [&phone, &phone_on_b] {
        let answer = person.graphql("{ viewer { id } }", json!({})).await;
        assert_eq!(answer.code(), Some("UNAUTHENTICATED"), "{}", answer.text);
        assert!(Socket::try_open(person).await.is_err(), "no new socket");
    }

    // The other device goes on.
    let bob = b.person("bob").await;
    bob.invite(&alice.at(&b)).await.ok();
    laptop_hears.until(|event| event["__typename"] == "InviteChanged").await;
    assert!(laptop_socket.is_open());

    // And can be sent away from here.
    let sessions = alice.viewer("sessions { id current }").await;
    let sessions = sessions["sessions"].as_array().expect("a list").clone();
    assert_eq!(sessions.len(), 2, "the phone is gone: {sessions:?}");
    let other = sessions.iter().find(|session| session["current"] == false).expect("the laptop");
    let revoked = alice.mutate("revokeSession", json!({"sessionId": other["id"]}), "sessionId").await;
    assert_eq!(revoked.ok()["sessionId"], other["id"]);
    assert_eq!(laptop_socket.ended(Duration::from_secs(1)).await.code(), Some(1008));
});

full_story!(a_logout_is_heard_without_redis, |world| async {
    let mut redis = Redis::private(world).await;
    let options = || Options::default().redis(redis.url()).set("KITH_RECONCILE_SECONDS", "0.5");
    let (a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    let alice = a.person("alice").await;
    let socket = alice.at(&b).socket().await;
    redis.kill().await;
    alice.ask("mutation { logout { userErrors { code } } }", json!({})).await;
    assert_eq!(socket.ended(PATIENCE).await.code(), Some(1008));
    let answer = alice.at(&b).graphql("{ viewer { id } }", json!({})).await;
    assert_eq!(answer.code(), Some("UNAUTHENTICATED"), "{}", answer.text);
});

/// Sends on one process what is heard on another, while Redis, or a part of it, is in trouble for five seconds.
async fn trouble_for_five_seconds(world: &World, options: Options, trouble: impl AsyncFnOnce(&str, Duration)) {
    let (a, b) = (world.server_with(options.clone()).await, world.server_with(options).await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let socket = bob.at(&b).socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let first = alice.send(&conversation, "Before.").await["sequence"].as_i64().expect("a number");
    assert_eq!(sequence_of(&ears.next().await), first);

    let sender = |person: Person| {
        let conversation = conversation.clone();
        async move {
            let started = Instant::now();
            let mut n = 0;
            // Load for as long as Redis is away and a while longer.
            while started.elapsed() < Duration::from_secs(7) {
                person.send(&conversation, "on and on").await;
                n += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            n
        }
    };
    let trouble = async {
        // The length of the outage is what the story is about.
        tokio::time::sleep(Duration::from_millis(500)).await;
        trouble(&conversation, Duration::from_secs(5)).await;
    };
    let (n, m, ()) =
        within(PATIENCE * 3, "the load", async { tokio::join!(sender(alice.clone()), sender(bob.clone()), trouble) })
            .await;
    let last = alice.send(&conversation, "After.").await["sequence"].as_i64().expect("a number");
    assert_eq!(last, first + n + m + 1, "every send was answered");
    let mut heard = Vec::new();
    while heard.last() != Some(&last) {
        heard.push(sequence_of(&ears.next().await));
    }
    assert_eq!(heard, (first + 1..=last).collect::<Vec<_>>(), "everything, once, in order, on the same socket");
    assert!(socket.is_open());
    // Redis works again: what is said now need not wait for the next look at the log.
    let said = alice.send(&conversation, "Healed.").await;
    assert_eq!(ears.next().await["messageEdge"]["node"]["id"], said["id"]);
}

async fn redis_away_for_five_seconds(world: &World, freeze: bool) {
    let mut redis = Redis::private(world).await;
    let options = Options::default().redis(redis.url());
    trouble_for_five_seconds(world, options, async |_, outage| {
        if freeze {
            redis.freeze()
        } else {
            redis.kill().await
        }
        tokio::time::sleep(outage).await;
        if freeze { redis.thaw() } else { redis.start().await }
    })
    .await;
}

full_story!(redis_killed_under_load_loses_nothing, |world| async {
    redis_away_for_five_seconds(world, false).await;
});

full_story!(redis_frozen_under_load_loses_nothing, |world| async {
    redis_away_for_five_seconds(world, true).await;
});

/// The channel of the only conversation there is.
async fn channel_of_the_conversation(world: &World) -> String {
    let database = world.database().await;
    let query = sea_orm::Statement::from_string(
        sea_orm::ConnectionTrait::get_database_backend(&database),
        "SELECT replace(id::text, '-', '') FROM conversation",
    );
    let rows = sea_orm::ConnectionTrait::query_all_raw(&database, query).await.expect("the table can be read");
    let [row] = rows.as_slice() else { panic!("{} conversations", rows.len()) };
    let id: String = row.try_get_by_index(0).expect("a text");
    database.close().await.expect("closes");
    format!("{}:conversation:{{{id}}}", world.redis_prefix)
}

async fn a_node_away_for_five_seconds(world: &World, freeze: bool) {
    let mut cluster = world.cluster.as_ref().expect("a cluster").lock().await;
    trouble_for_five_seconds(world, Options::default(), async |_, outage| {
        let (_, owner) = cluster.place_of(&channel_of_the_conversation(world).await).await;
        let node = &mut cluster.nodes[owner];
        if freeze {
            node.freeze()
        } else {
            node.kill().await
        }
        tokio::time::sleep(outage).await;
        if freeze { node.thaw() } else { node.start().await }
    })
    .await;
}

cluster_story!(a_node_of_the_cluster_killed_under_load_loses_nothing, |world| async {
    a_node_away_for_five_seconds(world, false).await;
});

cluster_story!(a_node_of_the_cluster_frozen_under_load_loses_nothing, |world| async {
    a_node_away_for_five_seconds(world, true).await;
});

cluster_story!(a_slot_that_moves_is_followed, |world| async {
    // The log is not looked at while the story lasts: what arrives came by Redis.
    let options = || Options::default().set("KITH_RECONCILE_SECONDS", "60");
    let (a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let socket = bob.at(&b).socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let cluster = world.cluster.as_ref().expect("a cluster").lock().await;
    let channel = channel_of_the_conversation(world).await;
    let (slot, mut owner) = cluster.place_of(&channel).await;
    let n_listening = async |idx: usize| cluster.nodes[idx].ask(&format!("PUBSUB SHARDNUMSUB {channel}")).await;
    for _ in 0..3 {
        let next = (owner + 1) % 3;
        cluster.move_slot(slot, owner, next).await;
        owner = next;
        // Both have subscribed where the slot is now.
        eventually("the channel to be subscribed to at its new place", async || {
            n_listening(owner).await.ends_with(":1\r\n").then_some(())
        })
        .await;
        for n in 0..3 {
            let sent = alice.send(&conversation, &format!("{n}")).await;
            assert_eq!(ears.next().await["messageEdge"]["node"]["id"], sent["id"]);
        }
    }
    assert!(socket.is_open());
});

cluster_story!(a_server_starts_and_works_without_its_cluster, |world| async {
    let mut cluster = world.cluster.as_ref().expect("a cluster").lock().await;
    for node in &mut cluster.nodes {
        node.kill().await;
    }
    let options = || Options::default().set("KITH_RECONCILE_SECONDS", "0.3").rate_limits();
    let (a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let socket = bob.at(&b).socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    for n in 0..5 {
        let sent = alice.send(&conversation, &format!("{n}")).await;
        assert_eq!(ears.next().await["messageEdge"]["node"]["id"], sent["id"]);
    }
    for node in &mut cluster.nodes {
        node.start().await;
    }
    cluster.whole().await;
    for server in [&a, &b] {
        eventually("the bus to be well", async || {
            let health = server.anonymous().get("/health/ready").await;
            // The publisher knows when it has published.
            alice.at(server).send(&conversation, "Is anybody there?").await;
            (health.body["bus"] == "ok").then_some(())
        })
        .await;
    }
});

full_story!(a_server_starts_and_works_without_its_redis, |world| async {
    let mut redis = Redis::private(world).await;
    redis.kill().await;
    let options = Options::default().redis(redis.url()).set("KITH_RECONCILE_SECONDS", "0.3");
    let server = world.server_with(options).await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    for n in 0..5 {
        let sent = alice.send(&conversation, &format!("{n}")).await;
        assert_eq!(ears.next().await["messageEdge"]["node"]["id"], sent["id"]);
    }
});

/// What a server says when its database is away, and how soon.
async fn without_database(world: &World, trouble: impl Fn(&Proxy)) {
    let (proxy, url) = Proxy::before(&world.database_url).await;
    let server = world.server_with(Options::default().database(&url)).await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let send = json!({"conversationId": conversation, "body": "Anybody there?", "idempotencyKey": "while away"});

    trouble(&proxy);
    for _ in 0..2 {
        let started = Instant::now();
        let (read, sent) = tokio::join!(
            alice.graphql("{ viewer { friends { totalCount } } }", json!({})),
            alice.send_input(send.clone())
        );
        let took = started.elapsed();
        assert_eq!(read.code(), Some("UNAVAILABLE"), "{}", read.text);
        assert_eq!(sent.code(), Some("UNAVAILABLE"), "{}", sent.answer.text);
        assert!(read.errors()[0]["extensions"]["requestId"].is_string(), "{}", read.text);
        // Two seconds are promised; the rest is for a busy machine.
        assert!(took < Duration::from_millis(2900), "it took {took:?}");
        assert!(server.anonymous().get("/health/live").await.status == 200, "the process lives");
    }
    assert!(!server.is_ready().await, "and is not ready");

    proxy.heal();
    eventually("the server to be ready again", async || server.is_ready().await.then_some(())).await;
    let sent = eventually("a send to be taken", async || {
        let sent = alice.send_input(send.clone()).await;
        sent.code().is_none().then(|| sent.ok()["messageEdge"]["node"].clone())
    })
    .await;
    // Each connection of the pool may have to find out by itself that it is dead.
    let query = "query($id: ID!) { conversation(id: $id) { lastMessage { id sequence } } }";
    let newest = eventually("the database behind every connection", async || {
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(alice.graphql(query, json!({"id": conversation})));
        }
        let answers = futures_util::future::join_all(answers).await;
        answers.iter().all(|answer| answer.errors().is_empty()).then(|| answers[0].body["data"]["conversation"].clone())
    })
    .await;
    assert_eq!(newest["lastMessage"]["id"], sent["id"], "it was sent once");
    let n_sent = alice.history(&conversation).await.len();
    assert_eq!(sent["sequence"], n_sent, "and nothing else was");
    let mut heard = ears.next().await;
    while heard["messageEdge"]["node"]["id"] != sent["id"] {
        heard = ears.next().await;
    }
    assert!(socket.is_open(), "the socket lived through it");
}

full_story!(who_sends_where_a_row_is_held_is_told_soon_and_nobody_else_suffers, |world| async {
    const LONGEST: Duration = Duration::from_millis(3500);
    let server = world.server().await;
    let (alice, bob, held) = server.friends("alice", "bob").await;
    let mut free = Vec::new();
    for name in ["carol", "dave", "erin", "frank"] {
        free.push(alice.befriend(&server.person(name).await).await);
    }
    let database = world.database().await;
    let holder = database.begin().await.expect("a transaction");
    let hold =
        "SELECT 1 FROM conversation c JOIN member m ON m.conversation_id = c.id JOIN \"user\" u ON u.id = m.user_id
                WHERE u.username = 'bob' FOR UPDATE OF c";
    holder.execute_unprepared(hold).await.expect("the row is locked");
    let input = |conversation: &str, n: usize| json!({"conversationId": conversation, "body": "Hello.", "idempotencyKey": format!("{conversation} {n}")});
    let sends = (0..40).map(async |n: usize| {
        tokio::time::sleep(Duration::from_millis(100) * n as u32).await;
        let (is_held, conversation) = if n.is_multiple_of(5) { (true, &held) } else { (false, &free[n % 5 - 1]) };
        let began = Instant::now();
        let sent = alice.send_input(input(conversation, n)).await;
        (is_held, sent.code().map(str::to_owned), began.elapsed())
    });
    for (is_held, code, took) in join_all(sends).await {
        assert_eq!(code.as_deref(), if is_held { Some("UNAVAILABLE") } else { None });
        assert!(took < LONGEST, "it took {took:?}");
    }
    holder.rollback().await.expect("the row is let go");
    database.close().await.expect("closes");
    for n in (0..40).step_by(5) {
        assert_eq!(alice.send_input(input(&held, n)).await.code(), None);
    }
    assert_eq!(bob.history(&held).await.len(), 8);
});

full_story!(a_refused_database_is_unavailable_and_recovers, |world| async {
    without_database(world, Proxy::cut).await;
});

full_story!(a_silent_database_is_unavailable_and_recovers, |world| async {
    without_database(world, Proxy::swallow).await;
});

story!(a_terminated_server_finishes_and_says_goodbye, |world| async {
    let mut server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let mut idle = alice.raw_socket().await;
    idle.init(Some(alice.access_token())).await;

    // A request that the server is reading when it is told to end.
    let input = json!({"conversationId": conversation, "body": "Last words."});
    let body = json!({
        "query": "mutation($input: SendMessageInput!) { sendMessage(input: $input) { messageEdge { node { body } } } }",
        "variables": {"input": input},
    })
    .to_string();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        alice.access_token(),
        body.len()
    );
    let (mut stream, answer) = raw_request(&server.url, head.as_bytes()).await.expect("the server reads");
    assert_eq!(answer.status, 100, "the server asks for the body");

    server.begin_to_terminate();
    for ended in [idle.ended(PATIENCE).await, socket.ended(PATIENCE).await] {
        assert_eq!(ended.code(), Some(1012), "{ended:?}");
    }
    tokio::io::AsyncWriteExt::write_all(&mut stream, body.as_bytes()).await.expect("the body is taken");
    let answer = RawAnswer::read(&mut stream).await.expect("what was begun is answered");
    assert_eq!(answer.status, 200);
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
    drop(ears.next_or_end().await);

    let server = world.server().await;
    let history = alice.at(&server).history(&conversation).await;
    assert_eq!(history.last().expect("a message")["body"], "Last words.");
});

story!(a_terminated_server_does_not_wait_for_ever, |world| async {
    let mut server = world.server_with(Options::default().set("KITH_SHUTDOWN_SECONDS", "1")).await;
    let alice = server.person("alice").await;
    let head = "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 1000\r\nexpect: 100-continue\r\n\r\n";
    let (_stream, answer) = raw_request(&server.url, head.as_bytes()).await.expect("the server reads");
    assert_eq!(answer.status, 100);
    let _socket = alice.socket().await;
    server.begin_to_terminate();
    assert_eq!(server.ended().await.code(), Some(0), "the body never came");
});

sqlite_story!(a_second_process_on_one_file_is_refused, |world| async {
    let server = world.server().await;
    let second = world.kith(&["serve"], Options::default()).await;
    assert!(!second.status.success(), "SQLite is for one process");
    let said = format!("{}{}", String::from_utf8_lossy(&second.stdout), String::from_utf8_lossy(&second.stderr));
    assert!(said.contains("kith.db"), "it says which file is taken: {said}");
    assert!(server.is_ready().await, "the first goes on");
    server.kill9().await;
    assert!(world.server().await.is_ready().await, "a killed process leaves no lock behind");
});

story!(who_stops_reading_is_cut_off_and_harms_nobody, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let first = alice.send(&conversation, "From here on.").await["sequence"].as_i64().expect("a number");
    let cursor = ears.next().await["cursor"].clone();

    // Ten times the same subscription on one socket whose owner has fallen asleep.
    let upgrade = Upgrade { receive_buffer: Some(4096), ..Upgrade::default() };
    let mut slow = RawSocket::open(&server.url, upgrade).await.expect("the upgrade is accepted");
    slow.init(Some(bob.access_token())).await;
    for id in 0..10 {
        let variables = json!({"conversationId": conversation, "after": cursor});
        slow.subscribe(&id.to_string(), MESSAGE_EVENTS, variables).await;
    }
    slow.round_trip().await;
    let long = "€".repeat(4000);
    let sender = || async {
        for _ in 0..25 {
            alice.send(&conversation, &long).await;
        }
    };
    // 200 messages of 12 kB, ten times: more than any buffer on the way holds.
    within(PATIENCE * 4, "the sends", futures_util::future::join_all((0..8).map(|_| sender()))).await;
    let heard = ears.take(200).await;
    assert_eq!(heard.iter().map(sequence_of).collect::<Vec<_>>(), (first + 1..=first + 200).collect::<Vec<_>>());

    // It wakes up, reads what had been sent, and is told why it ends.
    let mut last = json!({"cursor": cursor});
    let mut n_heard = 0;
    let ended = within(PATIENCE * 2, "the slow socket to end", async {
        loop {
            match slow.next().await {
                Frame::Json(mut message) if message["type"] == "next" => {
                    if message["id"] == "0" {
                        last = message["payload"]["data"]["messageEvents"].take();
                        n_heard += 1;
                        assert_eq!(sequence_of(&last), first + n_heard, "in order up to the end");
                    }
                }
                Frame::Ended(ended) => return ended,
                Frame::Ping | Frame::Pong => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert_eq!(ended.code(), Some(1013), "{ended:?}");
    assert!(n_heard < 200, "it was cut off");

    // Having read the rest later, it has missed nothing.
    let awake = bob.socket().await;
    let mut resumed = awake.subscribe(MESSAGE_EVENTS, json!({"conversationId": conversation, "after": last["cursor"]}));
    let rest = resumed.take((200 - n_heard) as usize).await;
    let expected: Vec<i64> = (first + n_heard + 1..=first + 200).collect();
    assert_eq!(rest.iter().map(sequence_of).collect::<Vec<_>>(), expected);
});

story!(an_event_stream_that_nobody_reads_is_cut_off_and_harms_nobody, |world| async {
    // 128 kB for each message, 19 MB together. What may wait for a client is 1 MiB; the rest of the bound is for the
    // buffers of the system and of HTTP on both sides.
    const DOCUMENT: &str = "subscription($conversationId: ID!, $after: String) {
        messageEvents(conversationId: $conversationId, after: $after) { cursor messageEdge { node { sequence
            a: body b: body c: body d: body e: body f: body g: body h: body } } } }";
    const N: i64 = 150;
    const MAX_HELD_BYTES: usize = 8 * 1024 * 1024;
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let first = alice.send(&conversation, "From here on.").await["sequence"].as_i64().expect("a number");
    let cursor = ears.next().await["cursor"].clone();
    let n_subscriptions = bob.metric("kith_subscriptions").await;

    let variables = |after: &Value| json!({"conversationId": conversation, "after": after});
    let asleep = SleepingEventSource::open(&bob, DOCUMENT, variables(&cursor)).await;
    assert_eq!(bob.metric(r#"kith_sockets{transport="sse"}"#).await, 1.0);
    let long = "🦀".repeat(4000);
    let sender = || async {
        for _ in 0..N / 6 {
            alice.send(&conversation, &long).await;
        }
    };
    within(PATIENCE * 4, "the sends", futures_util::future::join_all((0..6).map(|_| sender()))).await;
    let heard = ears.take(N as usize).await;
    assert_eq!(heard.iter().map(sequence_of).collect::<Vec<_>>(), (first + 1..=first + N).collect::<Vec<_>>());

    // It wakes up to a connection that breaks: a stream that ended well would not make its client come back.
    let slept = asleep.wake_up().await;
    assert!(!slept.is_whole, "the answer breaks off");
    assert!(slept.n_bytes < MAX_HELD_BYTES, "{} bytes were held for it", slept.n_bytes);
    let mut last = json!({"cursor": cursor});
    let mut n_heard = 0;
    for (name, mut data) in slept.events {
        assert_eq!(name, "next");
        last = data["data"]["messageEvents"].take();
        n_heard += 1;
        assert_eq!(sequence_of(&last), first + n_heard, "in order up to the end");
    }
    assert!(n_heard < N, "it was cut off");
    eventually("what was held for it to be let go", async || {
        let n_sockets = bob.metric(r#"kith_sockets{transport="sse"}"#).await;
        (n_sockets == 0.0 && bob.metric("kith_subscriptions").await == n_subscriptions).then_some(())
    })
    .await;

    // Having read the rest later, it has missed nothing.
    let mut awake = EventSource::open(&bob, DOCUMENT, variables(&last["cursor"])).await.expect("it is accepted");
    for sequence in first + n_heard + 1..=first + N {
        let (_, data) = awake.next().await.expect("the stream is open");
        assert_eq!(sequence_of(&data["data"]["messageEvents"]), sequence);
    }
    assert!(socket.is_open());
});
