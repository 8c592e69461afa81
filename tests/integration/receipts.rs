//! Who has read what, and who does not want that known.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{full_story, story, support::*};

const EVENTS_WITH_RECEIPTS: &str = "subscription($after: String) { events(after: $after) { cursor event { __typename
    ... on ReadReceipt { conversationId sequence user { id } }
    ... on MessageEvent { type messageEdge { node { id } } }
    ... on ConversationChanged { conversation { id unreadCount } }
    ... on MemberChanged { memberEdge { node { id } lastReadSequence lastReadAt } } } } }";

async fn read_by(person: &Person, message: &Value) -> Vec<String> {
    let query = "query($id: ID!) { node(id: $id) { ... on Message { readBy(first: 100) { nodes { username } } } } }";
    let data = person.ask(query, json!({"id": message["id"]})).await;
    let nodes = data["node"]["readBy"]["nodes"].as_array().expect("a list").clone();
    let mut names: Vec<String> =
        nodes.iter().map(|node| node["username"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

/// How far somebody has read, as a person sees it; and whether a time goes with it.
async fn position(viewer: &Person, of: &Person, conversation: &str) -> (i64, bool) {
    let selection = "members(first: 100) { edges { lastReadSequence lastReadAt node { id } } }";
    let members = viewer.conversation(conversation, selection).await;
    let edges = members["members"]["edges"].as_array().expect("a list").clone();
    let edge = edges.into_iter().find(|edge| edge["node"]["id"] == of.id.as_str()).expect("a member");
    (edge["lastReadSequence"].as_i64().expect("a number"), edge["lastReadAt"].is_string())
}

async fn want_receipts(person: &Person, on: bool) {
    let payload = person.mutate("updateProfile", json!({"readReceipts": on}), "viewer { readReceipts }").await;
    assert_eq!(payload.ok()["viewer"]["readReceipts"], on);
}

fn sequence(message: &Value) -> i64 {
    message["sequence"].as_i64().expect("a sequence")
}

story!(a_message_knows_who_has_read_it, |world| async {
    const N: usize = 7;
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let names: Vec<String> = (0..N).map(|n| format!("extra{n}")).collect();
    let people: Vec<Person> = stream::iter(&names).map(|name| server.person(name)).buffered(4).collect().await;
    world.all_join("extra").await;
    let first = alice.send(&conversation, "One.").await;
    let second = bob.send(&conversation, "Two.").await;
    let third = alice.send(&conversation, "Three.").await;
    assert_eq!(read_by(&bob, &first).await, ["bob"], "who writes has read what was there; the sender is left out");
    assert_eq!(read_by(&alice, &second).await, ["alice"]);
    assert!(read_by(&alice, &third).await.is_empty());
    for person in &people {
        person.mark_read(&conversation, sequence(&second)).await.ok();
    }
    assert_eq!(read_by(&alice, &first).await.len(), N + 1);
    assert_eq!(read_by(&people[0], &second).await.len(), N + 1);
    assert!(read_by(&alice, &third).await.is_empty());
    bob.mark_read(&conversation, sequence(&third)).await.ok();
    assert_eq!(read_by(&alice, &third).await, ["bob"]);

    // Pages both ways are the list.
    let page = async |arguments: &str| {
        let query = format!("query($id: ID!) {{ node(id: $id) {{ ... on Message {{ readBy{arguments} {{
            edges {{ cursor node {{ id }} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }} }}");
        let mut data = alice.ask(&query, json!({"id": first["id"]})).await;
        data["node"]["readBy"].take()
    };
    let ids = |page: &Value| -> Vec<String> {
        page["edges"].as_array().expect("edges").iter().map(|edge| edge["node"]["id"].to_string()).collect()
    };
    let all = ids(&page("(first: 100)").await);
    assert_eq!(all.len(), N + 1);
    let (mut forward, mut after) = (Vec::new(), String::new());
    loop {
        let page = page(&format!("(first: 3{after})")).await;
        forward.extend(ids(&page));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = format!(", after: {}", page["pageInfo"]["endCursor"]);
    }
    assert_eq!(forward, all);
    let (mut backward, mut before) = (Vec::new(), String::new());
    loop {
        let page = page(&format!("(last: 3{before})")).await;
        backward.splice(0..0, ids(&page));
        if page["pageInfo"]["hasPreviousPage"] == false {
            break;
        }
        before = format!(", before: {}", page["pageInfo"]["startCursor"]);
    }
    assert_eq!(backward, all);

    // Several pages of several messages in one operation do not mix.
    let query = "query($id: ID!) { conversation(id: $id) { messages(first: 10) { nodes { sequence
        few: readBy(first: 2) { nodes { id } pageInfo { hasNextPage } } many: readBy(last: 50) { nodes { id } } } } } }";
    let data = bob.ask(query, json!({"id": conversation})).await;
    let counts: Vec<(usize, bool, usize)> = data["conversation"]["messages"]["nodes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|node| {
            let n = |list: &Value| list["nodes"].as_array().expect("a list").len();
            (n(&node["few"]), node["few"]["pageInfo"]["hasNextPage"] == true, n(&node["many"]))
        })
        .collect();
    assert_eq!(counts, [(2, true, N + 1), (2, true, N + 1), (1, false, 1)]);

    // Who has left is not among them.
    world.sql("DELETE FROM member WHERE user_id IN (SELECT id FROM \"user\" WHERE username = 'extra0')").await;
    assert_eq!(read_by(&alice, &first).await.len(), N);
    for arguments in ["(first: -1)", "(first: 101)", "(first: 1, last: 1)", "(first: 1, after: \"nonsense\")"] {
        let query = format!(
            "query($id: ID!) {{ node(id: $id) {{ ... on Message {{ readBy{arguments} {{ nodes {{ id }} }} }} }} }}"
        );
        let answer = alice.graphql(&query, json!({"id": first["id"]})).await;
        assert_eq!(answer.code(), Some("BAD_USER_INPUT"), "{arguments}: {}", answer.text);
    }
});

/// Bob switches read receipts off and on while everybody listens; Alice talks to `a`, Bob to `b`.
async fn receipts_are_switched(a: &Server, b: &Server) {
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let bob = bob.at(b);
    let phone = bob.another_device().await;
    assert_eq!(bob.viewer("readReceipts").await["readReceipts"], true, "on until switched off");
    let sockets = [alice.socket().await, bob.socket().await, phone.socket().await];
    let mut everything = Vec::new();
    for socket in &sockets {
        let mut events = socket.subscribe(EVENTS_WITH_RECEIPTS, json!({}));
        events.until(|event| event["__typename"] == "CaughtUp").await;
        everything.push(events);
    }
    let mut receipts: Vec<_> = sockets[..2]
        .iter()
        .map(|socket| socket.subscribe(READ_RECEIPTS, json!({"conversationId": conversation})))
        .collect();
    let mut n = 0;
    for _ in 0..8 {
        n = sequence(&alice.send(&conversation, "Something to read.").await);
    }
    // Everybody hears: `readReceipts` as soon as it is live.
    let mut read = 0;
    for receipts in &mut receipts {
        let mut heard = None;
        while heard.is_none() && read < n - 2 {
            read += 1;
            bob.mark_read(&conversation, read).await.ok();
            heard = receipts.try_next(std::time::Duration::from_millis(500)).await;
        }
        assert_eq!(heard.expect("a receipt")["user"]["id"], bob.id.as_str());
    }
    for events in &mut everything {
        let at = |event: &Value| event["__typename"] == "ReadReceipt" && event["sequence"] == read;
        events.until(at).await;
    }
    let marker = n;
    assert_eq!(position(&alice, &bob, &conversation).await, (read, true));

    // Off: others do not see Bob's, Bob does not see others'. His own edge and counts go on.
    want_receipts(&bob, false).await;
    for who in [&bob, &phone] {
        assert_eq!(who.viewer("readReceipts").await["readReceipts"], false);
    }
    bob.mark_read(&conversation, marker).await.ok();
    let by_bob = bob.send(&conversation, "I have read that.").await;
    assert_eq!(position(&alice, &bob, &conversation).await, (0, false));
    assert_eq!(position(&bob, &bob, &conversation).await, (sequence(&by_bob), true));
    assert_eq!(position(&bob, &alice, &conversation).await, (0, false));
    assert_eq!(position(&alice, &alice, &conversation).await, (marker, true));
    let to_bob = alice.send(&conversation, "Really?").await;
    assert_eq!(bob.conversation(&conversation, "unreadCount").await["unreadCount"], 1);
    assert_eq!(bob.mark_read(&conversation, sequence(&to_bob)).await.ok()["conversation"]["unreadCount"], 0);
    alice.mark_read(&conversation, sequence(&to_bob)).await.ok();
    assert!(read_by(&alice, &to_bob).await.is_empty());
    assert_eq!(read_by(&alice, &by_bob).await, ["alice"]);
    assert!(read_by(&bob, &by_bob).await.is_empty());

    // The other's position moves, and Bob's streams stay silent about it. His other device hears that there is nothing
    // unread any more.
    let unread = alice.send(&conversation, "One more.").await;
    bob.mark_read(&conversation, sequence(&unread)).await.ok();
    let last = bob.send(&conversation, "The end of this.").await;
    alice.mark_read(&conversation, sequence(&last)).await.ok();
    let end = bob.send(&conversation, "A mark.").await;
    let is_end = |event: &Value| event["messageEdge"]["node"]["id"] == end["id"];
    for (n, events) in everything.iter_mut().enumerate() {
        let heard = events.until(is_end).await;
        let told: Vec<&Value> = heard
            .iter()
            .map(|envelope| &envelope["event"])
            .filter(|event| event["__typename"] == "ReadReceipt")
            .collect();
        let of_alice = told.iter().filter(|event| event["user"]["id"] == alice.id.as_str()).count();
        assert_eq!(told.len(), of_alice, "nobody is told of Bob's: {told:?}");
        match n {
            0 => assert!(of_alice > 0, "Alice's other devices hear of hers"),
            _ => assert_eq!(of_alice, 0, "Bob hears of nobody's"),
        }
        if n == 2 {
            let changed = |event: &Value| {
                event["__typename"] == "ConversationChanged" && event["conversation"]["unreadCount"] == 0
            };
            if !heard.iter().any(|envelope| changed(&envelope["event"])) {
                events.until(changed).await;
            }
        }
    }

    // On again: what moves from now on is told, to both.
    want_receipts(&phone, true).await;
    assert_eq!(position(&alice, &bob, &conversation).await.0, sequence(&end), "and where he is is seen");
    let again = alice.send(&conversation, "And now?").await;
    bob.mark_read(&conversation, sequence(&again)).await.ok();
    let from_bob = bob.send(&conversation, "Now.").await;
    alice.mark_read(&conversation, sequence(&from_bob)).await.ok();
    let of = |person: &Person, message: &Value| {
        let (id, sequence) = (person.id.clone(), message["sequence"].clone());
        move |event: &Value| event["user"]["id"] == id.as_str() && event["sequence"] == sequence
    };
    for events in &mut everything {
        events.until(of(&alice, &from_bob)).await;
    }
    // The narrow stream has left out all that was silent. What it may tell besides is where Bob was when he switched: it
    // is shown again.
    let (shown, hidden) = (read, sequence(&end));
    for receipts in &mut receipts {
        let (mut of_bob, mut of_alice) = (0, 0);
        while of_bob < sequence(&again) || of_alice < sequence(&from_bob) {
            let heard = receipts.next().await;
            let at = heard["sequence"].as_i64().expect("a number");
            if heard["user"]["id"] == alice.id.as_str() {
                of_alice = at;
            } else {
                assert!(at <= shown || at >= hidden, "{heard}");
                of_bob = at;
            }
        }
    }
}

/// Bob switches, and Alice, on another process, hears it in their conversation and in their group, live and by replay.
async fn a_switch_is_told(here: &Server, there: &Server) {
    let (alice, bob, conversation) = here.friends("alice", "bob").await;
    let carol = here.person("carol").await;
    let closed = carol.befriend(&bob).await;
    let group = alice.create_group("The group").await;
    alice.bring(&group, &bob).await;
    let mut sent = Vec::new();
    for id in [&conversation, &group] {
        sent.push(alice.send(id, "Read this.").await);
        bob.mark_read(id, sequence(&sent[0])).await.ok();
    }
    bob.mark_read(&group, sequence(&sent[1])).await.ok();
    carol.to_user("removeFriend", &bob).await.ok();
    let (alice_there, carol_there) = (alice.at(there), carol.at(there));
    let (socket, carol_socket) = (alice_there.socket().await, carol_there.socket().await);
    let (mut hears, _) = socket.follow(None).await;
    let (mut carol_hears, _) = carol_socket.follow(None).await;
    let cursor = {
        alice.send(&conversation, "Before.").await;
        let said = hears.until(|event| event["messageEdge"]["node"]["body"] == "Before.").await;
        said.last().expect("an event")["cursor"].as_str().expect("a cursor").to_owned()
    };
    let is_told = |event: &Value, id: &str, shown: bool| {
        event["__typename"] == "MemberChanged"
            && event["conversationId"] == id
            && event["memberEdge"]["node"]["id"] == bob.id.as_str()
            && (event["memberEdge"]["lastReadSequence"] != 0) == shown
    };
    for on in [false, true, false] {
        want_receipts(&bob, on).await;
        let (mut in_both, mut heard) = ([false; 2], Vec::new());
        while in_both != [true; 2] {
            let told = hears.until(|event| event["__typename"] == "MemberChanged").await.pop().expect("an event");
            for (told_in, id) in in_both.iter_mut().zip([&conversation, &group]) {
                *told_in |= is_told(&told["event"], id, on);
            }
            heard.push(told);
        }
        assert_eq!(heard.len(), 2, "once in each: {heard:?}");
        // What is so already is no change.
        want_receipts(&bob, on).await;
    }
    let (mut more, replayed) = socket.follow(Some(&cursor)).await;
    for id in [&conversation, &group] {
        assert!(replayed.iter().any(|envelope| is_told(&envelope["event"], id, false)), "{replayed:?}");
    }
    alice.send(&conversation, "After.").await;
    for stream in [&mut hears, &mut more] {
        let rest = stream.until(|event| event["messageEdge"]["node"]["body"] == "After.").await;
        assert!(rest.iter().all(|envelope| envelope["event"]["__typename"] != "MemberChanged"), "{rest:?}");
    }
    carol.create_group("A sign").await;
    let heard = carol_hears.until(|event| event["conversation"]["name"] == "A sign").await;
    assert!(heard.iter().all(|envelope| envelope["event"]["conversationId"] != closed.as_str()), "{heard:?}");
}

story!(who_is_in_a_conversation_hears_a_switch_of_receipts, |world| async {
    let server = world.server().await;
    a_switch_is_told(&server, &server).await;
});

full_story!(a_switch_of_receipts_is_told_by_another_process_with_and_without_redis, |world| async {
    let mut redis = Redis::private(world).await;
    let options = || Options::default().redis(redis.url()).set("KITH_RECONCILE_SECONDS", "0.5");
    let (a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    a_switch_is_told(&a, &b).await;
    world.sql(r#"UPDATE "user" SET username = username || '_1'"#).await;
    redis.kill().await;
    a_switch_is_told(&a, &b).await;
});

story!(reading_on_after_the_end_of_a_friendship_does_not_show, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    for (name, ending) in [("bob", "removeFriend"), ("carol", "blockUser")] {
        let other = server.person(name).await;
        let conversation = alice.befriend(&other).await;
        let other_socket = other.socket().await;
        let (mut hears, _) = other_socket.follow(None).await;
        let mut sent = Vec::new();
        for n in 1..=4 {
            sent.push(other.send(&conversation, &format!("Message {n}.")).await);
        }
        alice.mark_read(&conversation, 2).await.ok();
        let receipt = |event: &Value| event["__typename"] == "ReadReceipt";
        let cursor = hears.until(receipt).await.pop().expect("a receipt")["cursor"].take();
        assert_eq!(position(&other, &alice, &conversation).await, (2, true));
        alice.mark_read(&conversation, 3).await.ok();
        hears.until(receipt).await;
        alice.to_user(ending, &other).await.ok();

        alice.mark_read(&conversation, 4).await.ok();
        assert_eq!(alice.conversation(&conversation, "unreadCount").await["unreadCount"], 0);
        assert_eq!(position(&alice, &alice, &conversation).await, (4, true), "she sees her own");
        assert_eq!(read_by(&alice, &sent[3]).await, ["alice"]);
        assert_eq!(position(&other, &alice, &conversation).await, (3, true), "{name} sees what was");
        assert_eq!(read_by(&other, &sent[2]).await, ["alice"]);
        assert!(read_by(&other, &sent[3]).await.is_empty());
        let query = "subscription($after: String) { events(after: $after) { event { __typename
            ... on ReadReceipt { sequence user { id } } } } }";
        let mut replay = other_socket.subscribe(query, json!({"after": cursor}));
        let replayed = replay.until(|event| event["__typename"] == "CaughtUp").await;
        let sequences: Vec<&Value> = replayed
            .iter()
            .map(|envelope| &envelope["event"])
            .filter(|event| receipt(event))
            .map(|event| &event["sequence"])
            .collect();
        assert!(sequences.iter().all(|sequence| **sequence == 3) && !sequences.is_empty(), "{replayed:?}");

        if ending == "blockUser" {
            alice.to_user("unblockUser", &other).await.ok();
        }
        alice.befriend(&other).await;
        assert_eq!(position(&other, &alice, &conversation).await, (4, true), "friends again, it goes on");
        assert_eq!(read_by(&other, &sent[3]).await, ["alice"]);
        let more = other.send(&conversation, "Message 5.").await;
        alice.mark_read(&conversation, sequence(&more)).await.ok();
        assert_eq!(position(&other, &alice, &conversation).await, (5, true));
    }
});

story!(who_wants_no_receipts_sends_none_and_sees_none, |world| async {
    let server = world.server().await;
    receipts_are_switched(&server, &server).await;
});

full_story!(a_switch_of_receipts_is_heard_in_every_process, |world| async {
    let (a, b) = (world.server().await, world.server().await);
    receipts_are_switched(&a, &b).await;
});

full_story!(a_switch_of_receipts_is_heard_without_redis, |world| async {
    let mut redis = Redis::private(world).await;
    let options = || Options::default().redis(redis.url()).set("KITH_RECONCILE_SECONDS", "0.3");
    let (a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let socket = bob.at(&b).socket().await;
    let mut events = socket.subscribe(EVENTS_WITH_RECEIPTS, json!({}));
    events.until(|event| event["__typename"] == "CaughtUp").await;
    redis.kill().await;
    want_receipts(&bob.at(&a), false).await;
    // Told by then: a later personal event has come through.
    let carol = a.person("carol").await;
    carol.invite(&bob).await.ok();
    events.until(|event| event["__typename"] == "InviteChanged").await;
    let said = bob.send(&conversation, "Read this.").await;
    alice.mark_read(&conversation, sequence(&said)).await.ok();
    let end = alice.send(&conversation, "I did.").await;
    let heard = events.until(|event| event["messageEdge"]["node"]["id"] == end["id"]).await;
    assert!(heard.iter().all(|envelope| envelope["event"]["__typename"] != "ReadReceipt"), "{heard:?}");
});

story!(a_replay_keeps_to_the_switch, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let begin = async |person: &Person| {
        let socket = person.socket().await;
        let mut events = socket.subscribe(EVENTS_WITH_RECEIPTS, json!({}));
        events.until(|event| event["__typename"] == "CaughtUp").await.pop().expect("an envelope")["cursor"].take()
    };
    let replay = async |person: &Person, after: &Value| {
        let socket = person.socket().await;
        let mut events = socket.subscribe(EVENTS_WITH_RECEIPTS, json!({"after": after}));
        let replayed = events.until(|event| event["__typename"] == "CaughtUp").await;
        let told = replayed.iter().map(|envelope| &envelope["event"]);
        told.filter(|event| event["__typename"] == "ReadReceipt").cloned().collect::<Vec<Value>>()
    };
    let (alice_cursor, bob_cursor) = tokio::join!(begin(&alice), begin(&bob));
    let by_alice = alice.send(&conversation, "Yours to read.").await;
    let by_bob = bob.send(&conversation, "And yours.").await;
    let more = alice.send(&conversation, "More.").await;
    bob.mark_read(&conversation, sequence(&more)).await.ok();
    let again = bob.send(&conversation, "More.").await;
    alice.mark_read(&conversation, sequence(&again)).await.ok();
    let _ = (by_alice, by_bob);
    assert_eq!(replay(&alice, &alice_cursor).await.len(), 2, "both moved");
    assert_eq!(replay(&bob, &bob_cursor).await.len(), 2);
    want_receipts(&bob, false).await;
    let told = replay(&alice, &alice_cursor).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["user"]["id"], alice.id.as_str());
    assert!(replay(&bob, &bob_cursor).await.is_empty());
    want_receipts(&bob, true).await;
    assert_eq!(replay(&bob, &bob_cursor).await.len(), 2, "positions are state");
});
