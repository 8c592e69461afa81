//! What is said in a conversation.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{story, support::*};

fn sequence(message: &Value) -> i64 {
    message["sequence"].as_i64().unwrap_or_else(|| panic!("no sequence in {message}"))
}

fn node(event: &Value) -> &Value {
    &event["messageEdge"]["node"]
}

story!(twenty_sends_with_one_key_make_one_message_and_one_event, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let input = json!({"conversationId": conversation, "body": "Once.", "idempotencyKey": "the same key"});

    let sends = join_all((0..20).map(|_| alice.send_input(input.clone()))).await;
    let ids: HashSet<&str> = sends.iter().map(|sent| node(sent.ok())["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), 1, "all get the same message");
    let n_first = sends.iter().filter(|sent| sent.ok()["replayed"] == false).count();
    assert_eq!(n_first, 1, "one was the first, the others are told that they repeat it");

    let later = alice.send_input(input.clone()).await;
    assert_eq!(later.ok()["replayed"], true);
    assert_eq!(node(later.ok()), node(sends[0].ok()));
    let last = alice.send(&conversation, "Twice?").await;
    let heard = ears.take(2).await;
    assert_eq!(node(&heard[0])["body"], "Once.");
    assert_eq!(node(&heard[1])["id"], last["id"], "and one event: the next is another message");

    let changed = [
        json!({"conversationId": conversation, "body": "Something else.", "idempotencyKey": "the same key"}),
        json!({"conversationId": conversation, "body": "Once.", "idempotencyKey": "the same key", "replyToId": last["id"]}),
    ];
    for input in changed {
        let conflict = alice.send_input(input).await;
        assert_eq!(conflict.code(), Some("IDEMPOTENCY_CONFLICT"));
        assert!(conflict.value()["messageEdge"].is_null());
    }
    let by_bob = bob.send_input(input).await;
    assert_eq!(by_bob.ok()["replayed"], false, "keys of two people have nothing to do with each other");
    for key in ["", &"k".repeat(129), "\u{0}"] {
        let input = json!({"conversationId": conversation, "body": "x", "idempotencyKey": key});
        assert_eq!(alice.send_input(input).await.code(), Some("INVALID_INPUT"), "{key:?}");
    }

    let server = {
        assert!(server.terminate().await.success());
        world.server().await
    };
    let input = json!({"conversationId": conversation, "body": "Once.", "idempotencyKey": "the same key"});
    let after_restart = alice.at(&server).send_input(input).await;
    assert_eq!(after_restart.ok()["replayed"], true, "at any age");
});

story!(a_retry_is_answered_whatever_else_its_key_is_used_for_at_once, |world| async {
    let server = world.server().await;
    let (alice, _, conversation) = server.friends("alice", "bob").await;
    for round in 0..8 {
        let input = |body: &str| {
            let (body, key) = (format!("{body} {round}"), format!("key {round}"));
            json!({"conversationId": conversation, "body": body, "idempotencyKey": key})
        };
        // In half of the rounds the key is taken before.
        let first = if round % 2 == 0 { Some(alice.send_input(input("one")).await) } else { None };
        let bodies = (0..30).map(|n| if n % 2 == 0 { "other" } else { "one" });
        let sends = join_all(bodies.map(async |body| (body, alice.send_input(input(body)).await))).await;
        let winner = match &first {
            Some(_) => "one",
            None => sends.iter().find(|(_, sent)| sent.code().is_none()).expect("one of them is sent").0,
        };
        for (body, sent) in &sends {
            let expected = if *body == winner { None } else { Some("IDEMPOTENCY_CONFLICT") };
            assert_eq!(sent.code(), expected, "round {round}, {body}, {winner} won: {}", sent.answer.text);
        }
    }
    assert_eq!(world.count("message").await, 8);

    // One that is refused takes no other with it.
    let no_message = format!("msg_{}", "0".repeat(26));
    for round in 0..8 {
        let input = |body: &str, reply: Option<&str>| json!({"conversationId": conversation, "body": body, "replyToId": reply, "idempotencyKey": format!("free {round}")});
        let sends = (0..30).map(async |n| match n % 2 {
            0 => (false, alice.send_input(input("To nothing.", Some(&no_message))).await),
            _ => (true, alice.send_input(input("To all.", None)).await),
        });
        for (is_good, sent) in join_all(sends).await {
            match is_good {
                true => assert_eq!(sent.code(), None, "{}", sent.answer.text),
                false => {
                    assert!(matches!(sent.code(), Some("NOT_FOUND" | "IDEMPOTENCY_CONFLICT")), "{}", sent.answer.text)
                }
            }
        }
    }
});

story!(eight_senders_and_two_listeners_agree_on_one_order_without_gaps, |world| async {
    const N_EACH: usize = 20;
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let (alice_socket, bob_socket) = tokio::join!(alice.socket(), bob.socket());
    let mut bob_ears = bob_socket.listen(&conversation, &alice).await;
    let mut alice_ears = alice_socket.listen(&conversation, &bob).await;
    bob_ears.up_to_now(&bob, &conversation).await;
    let last_marker = alice.history(&conversation).await.len() as i64;

    let sender = |n: usize| {
        let (person, conversation) =
            (if n.is_multiple_of(2) { alice.clone() } else { bob.clone() }, conversation.clone());
        async move {
            let mut last = 0;
            for m in 0..N_EACH {
                let sent = person.send(&conversation, &format!("{n}.{m}")).await;
                assert!(sequence(&sent) > last, "what one says later comes later");
                last = sequence(&sent);
            }
        }
    };
    within(PATIENCE * 3, "all sends", join_all((0..8).map(sender))).await;
    let by_alice = alice_ears.take(8 * N_EACH).await;
    let by_bob = bob_ears.take(8 * N_EACH).await;

    let order = |events: &[Value]| -> Vec<(i64, String)> {
        events.iter().map(|event| (sequence(node(event)), node(event)["body"].to_string())).collect()
    };
    assert_eq!(order(&by_alice), order(&by_bob));
    let sequences: Vec<i64> = by_alice.iter().map(|event| sequence(node(event))).collect();
    let expected: Vec<i64> = (last_marker + 1..=last_marker + 8 * N_EACH as i64).collect();
    assert_eq!(sequences, expected);
    let history = alice.history(&conversation).await;
    assert_eq!(
        history.iter().map(sequence).collect::<Vec<_>>(),
        (1..=*expected.last().expect("some")).collect::<Vec<_>>()
    );
    assert_eq!(
        history[last_marker as usize..].iter().map(|message| message["body"].to_string()).collect::<Vec<_>>(),
        order(&by_bob).into_iter().map(|(_, body)| body).collect::<Vec<_>>()
    );
});

story!(a_message_can_be_answered_edited_and_deleted_and_a_replay_never_shows_what_was_deleted, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let carol = server.person("carol").await;
    let elsewhere = alice.befriend(&carol).await;
    let foreign = alice.send(&elsewhere, "Elsewhere.").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let edge = format!("messageEdge {{ cursor node {{ {MESSAGE} }} }}");

    let first = alice.send(&conversation, "A secret to be forgoten.").await;
    let cursor_before = {
        let added = ears.next().await;
        assert_eq!(node(&added), &first);
        added["cursor"].clone()
    };
    let reply =
        bob.send_input(json!({"conversationId": conversation, "body": "Really?", "replyToId": first["id"]})).await;
    assert_eq!(node(reply.ok())["replyTo"]["id"], first["id"]);
    assert_eq!(node(&ears.next().await)["replyTo"]["id"], first["id"]);
    for reply_to in [foreign["id"].clone(), json!("msg_00000000000000000000000000"), json!("nonsense")] {
        let input = json!({"conversationId": conversation, "body": "What?", "replyToId": reply_to});
        let refused = bob.send_input(input).await;
        assert!(matches!(refused.code(), Some("NOT_FOUND" | "INVALID_INPUT")), "{}", refused.answer.text);
    }

    let edit = |body: &str| json!({"messageId": first["id"], "body": body});
    assert_eq!(bob.mutate("editMessage", edit("Mine now"), &edge).await.code(), Some("FORBIDDEN"));
    assert_eq!(carol.mutate("editMessage", edit("Mine now"), &edge).await.code(), Some("NOT_FOUND"));
    assert_eq!(alice.mutate("editMessage", edit("  "), &edge).await.code(), Some("INVALID_INPUT"));
    let edited = alice.mutate("editMessage", edit("A secret to be forgotten."), &edge).await;
    assert_eq!(node(edited.ok())["body"], "A secret to be forgotten.");
    assert!(node(edited.ok())["editedAt"].is_string());
    assert_eq!(node(edited.ok())["sequence"], first["sequence"], "an edit moves nothing");
    let heard = ears.next().await;
    assert_eq!((&heard["type"], node(&heard)), (&json!("EDITED"), node(edited.ok())));

    let delete = json!({"messageId": first["id"]});
    assert_eq!(bob.mutate("deleteMessage", delete.clone(), &edge).await.code(), Some("FORBIDDEN"));
    assert_eq!(carol.mutate("deleteMessage", delete.clone(), &edge).await.code(), Some("NOT_FOUND"));
    let deleted = alice.mutate("deleteMessage", delete.clone(), &edge).await;
    assert!(node(deleted.ok())["body"].is_null());
    assert!(node(deleted.ok())["deletedAt"].is_string());
    let heard = ears.next().await;
    assert_eq!((&heard["type"], node(&heard)), (&json!("DELETED"), node(deleted.ok())));
    assert!(alice.mutate("editMessage", edit("I take it back"), &edge).await.code().is_some(), "it is gone");

    let history = bob.history(&conversation).await;
    let tombstone = history.iter().find(|message| message["id"] == first["id"]).expect("the tombstone keeps its place");
    assert!(tombstone["body"].is_null());
    assert_eq!(history.iter().map(sequence).collect::<Vec<_>>(), (1..=history.len() as i64).collect::<Vec<_>>());
    let answered = history.last().expect("the reply");
    assert_eq!(answered["replyTo"]["id"], first["id"], "the reply still says what it answers");

    // Whoever resumes from before sees what happened, and never the deleted text.
    let mut resumed = bob.socket().await;
    let after = json!({"conversationId": conversation, "after": cursor_before});
    let mut replay = resumed.subscribe(MESSAGE_EVENTS, after.clone());
    let replayed = replay.take(3).await;
    assert_eq!(
        replayed.iter().map(|event| event["type"].as_str().expect("a type")).collect::<Vec<_>>(),
        ["ADDED", "EDITED", "DELETED"]
    );
    assert!(!json!(replayed).to_string().contains("forgot"), "{replayed:?}");
    resumed = alice.socket().await;
    let (_, everything) = resumed.follow(None).await;
    assert!(!json!(everything).to_string().contains("forgot"));
});

story!(read_positions_only_move_forward_and_unread_counts_follow_them, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = alice.socket().await;
    let mut receipts = socket.subscribe(READ_RECEIPTS, json!({"conversationId": conversation}));
    let unread = async |person: &Person| {
        let in_conversation = person.conversation(&conversation, "unreadCount").await["unreadCount"].take();
        let overall = person.viewer("unreadCount").await["unreadCount"].take();
        assert_eq!(in_conversation, overall, "{} has one conversation", person.name);
        in_conversation.as_i64().expect("a number")
    };
    let read_position = async |person: &Person| {
        let selection = "members(first: 10) { edges { lastReadSequence lastReadAt node { id } } }";
        let members = bob.conversation(&conversation, selection).await;
        let edges = members["members"]["edges"].as_array().expect("a list").clone();
        let edge = edges.into_iter().find(|edge| edge["node"]["id"] == person.id.as_str()).expect("a member");
        edge["lastReadSequence"].as_i64().expect("a number")
    };

    for n in 1..=10 {
        alice.send(&conversation, &format!("Message {n}")).await;
    }
    assert_eq!((unread(&alice).await, unread(&bob).await), (0, 10));
    assert_eq!((read_position(&alice).await, read_position(&bob).await), (10, 0));

    // The subscription is live when the first move is heard; positions are state, so nothing else is said of them.
    let mut heard = None;
    let mut position = 0;
    while heard.is_none() && position < 4 {
        position += 1;
        assert_eq!(bob.mark_read(&conversation, position).await.ok()["conversation"]["unreadCount"], 10 - position);
        heard = receipts.try_next(std::time::Duration::from_millis(500)).await;
    }
    let heard = heard.expect("the subscription becomes live");
    assert_eq!(heard["conversationId"], conversation.as_str());
    assert_eq!(heard["user"]["id"], bob.id.as_str());

    bob.mark_read(&conversation, 7).await.ok();
    let mut receipt = receipts.next().await;
    while receipt["sequence"] != 7 {
        assert!(receipt["sequence"].as_i64() < Some(7), "{receipt}");
        receipt = receipts.next().await;
    }
    for lower in [6, 1, 0] {
        let payload = bob.mark_read(&conversation, lower).await;
        assert_ne!(payload.code(), Some("INTERNAL"), "{}", payload.answer.text);
        assert_eq!((read_position(&bob).await, unread(&bob).await), (7, 3), "never back");
    }
    for absurd in [-1, i64::from(i32::MIN), 11, i64::from(i32::MAX)] {
        let payload = bob.mark_read(&conversation, absurd).await;
        assert!(matches!(payload.code(), None | Some("INVALID_INPUT")), "{absurd}: {}", payload.answer.text);
        let position = read_position(&bob).await;
        assert!((7..=10).contains(&position), "{absurd} moved the position to {position}");
        assert_eq!(unread(&bob).await, 10 - position);
    }
    let too_big = bob
        .graphql(
            "mutation($id: ID!) { markRead(input: {conversationId: $id, sequence: 2147483648}) { userErrors { code } } }",
            json!({"id": conversation}),
        )
        .await;
    assert!(!too_big.errors().is_empty() && too_big.code() != Some("INTERNAL"), "{}", too_big.text);

    // Racing devices: the furthest wins, whoever comes last.
    for n in 11..=30 {
        alice.send(&conversation, &format!("Message {n}")).await;
    }
    join_all((11..=30).rev().map(|sequence| bob.mark_read(&conversation, sequence))).await;
    assert_eq!((read_position(&bob).await, unread(&bob).await), (30, 0));

    // Saying something means having read what was said.
    alice.send(&conversation, "And?").await;
    bob.send(&conversation, "Yes.").await;
    assert_eq!((unread(&alice).await, unread(&bob).await), (1, 0));
    assert_eq!(read_position(&bob).await, 32);
});

const PAGE: &str = "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String) { conversation(id: $id) {
    messages(first: $first, after: $after, last: $last, before: $before) {
        edges { cursor node { sequence } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";

story!(pages_both_ways_are_the_list_while_it_grows, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let mut rng = world.rng();
    let page = async |mut arguments: Value| {
        arguments["id"] = json!(conversation);
        let mut data = bob.ask(PAGE, arguments).await;
        data["conversation"]["messages"].take()
    };
    let sequences = |page: &Value| -> Vec<i64> {
        page["edges"].as_array().expect("edges").iter().map(|edge| sequence(&edge["node"])).collect()
    };
    let empty = page(json!({"last": 5})).await;
    assert_eq!(empty["edges"], json!([]));
    let no_more = json!({"hasNextPage": false, "hasPreviousPage": false, "startCursor": null, "endCursor": null});
    assert_eq!(empty["pageInfo"], no_more);
    for _ in 0..5 {
        alice.send(&conversation, "a beginning").await;
    }

    // Walk from both ends while somebody writes.
    let growing = async {
        for n in 0..120 {
            alice.send(&conversation, &format!("{n}")).await;
        }
    };
    let sizes: Vec<u64> = (0..50).map(|_| 1 + rng.below(9)).collect();
    let walking = async {
        let (mut forward, mut after) = (Vec::new(), Value::Null);
        for size in sizes.iter().cycle() {
            let page = page(json!({"first": size, "after": after})).await;
            forward.extend(sequences(&page));
            if let end @ Value::String(_) = &page["pageInfo"]["endCursor"] {
                after = end.clone();
            }
            if forward.len() >= 125 {
                break;
            }
        }
        forward
    };
    let backwards = async {
        for _ in 0..3 {
            let (mut backward, mut before) = (Vec::new(), Value::Null);
            loop {
                let page = page(json!({"last": 7, "before": before})).await;
                let mut rows = sequences(&page);
                rows.append(&mut backward);
                backward = rows;
                if page["pageInfo"]["hasPreviousPage"] == false {
                    break;
                }
                before = page["pageInfo"]["startCursor"].clone();
            }
            assert_eq!(backward, (1..=backward.len() as i64).collect::<Vec<_>>(), "no skip and no repeat, backwards");
        }
    };
    let (_, forward, _) = within(PATIENCE * 3, "the walks", async { tokio::join!(growing, walking, backwards) }).await;
    assert_eq!(forward, (1..=125).collect::<Vec<_>>(), "no skip and no repeat, forwards");

    // Any page equals that of a model list.
    let all = page(json!({"first": 100})).await;
    let mut edges = all["edges"].as_array().expect("edges").clone();
    let rest = page(json!({"first": 100, "after": edges[99]["cursor"]})).await;
    edges.extend(rest["edges"].as_array().expect("edges").clone());
    let cursors: Vec<&str> = edges.iter().map(|edge| edge["cursor"].as_str().expect("a cursor")).collect();
    assert_eq!(cursors.iter().collect::<HashSet<_>>().len(), 125);
    for _ in 0..60 {
        let size = 1 + rng.below(30) as usize;
        let place = rng.below(125) as usize;
        let forwards = rng.below(2) == 0;
        let (page, expected, more) = if forwards {
            let model: Vec<i64> = (place as i64 + 2..=125).take(size).collect();
            let more = place + 1 + size < 125;
            (page(json!({"first": size, "after": cursors[place]})).await, model, more)
        } else {
            let from = place.saturating_sub(size);
            let model: Vec<i64> = (from as i64 + 1..=place as i64).collect();
            (page(json!({"last": size, "before": cursors[place]})).await, model, from > 0)
        };
        assert_eq!(sequences(&page), expected, "{size} from {place}, forwards: {forwards}");
        let told = if forwards { "hasNextPage" } else { "hasPreviousPage" };
        assert_eq!(page["pageInfo"][told], more, "{told} of {size} from {place}");
        assert_eq!(page["pageInfo"]["startCursor"].as_str(), expected.first().map(|n| cursors[*n as usize - 1]));
        assert_eq!(page["pageInfo"]["endCursor"].as_str(), expected.last().map(|n| cursors[*n as usize - 1]));
    }
    // A page of nothing still says what it leaves out.
    for (arguments, told) in [("first", "hasNextPage"), ("last", "hasPreviousPage")] {
        let nothing = page(json!({arguments: 0})).await;
        assert_eq!((&nothing["edges"], &nothing["pageInfo"][told]), (&json!([]), &json!(true)), "{arguments}: 0");
    }
    let between = page(json!({"first": 10, "after": cursors[9], "before": cursors[14]})).await;
    assert_eq!(sequences(&between), [11, 12, 13, 14], "both ends can be given");
    assert_eq!(sequences(&page(json!({})).await).last(), Some(&125), "without arguments: the newest page");
});

story!(absurd_page_arguments_are_refused, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    for _ in 0..3 {
        alice.send(&conversation, "something to page through").await;
    }
    let refused = [
        json!({"first": -1}),
        json!({"last": -1}),
        json!({"first": 101}),
        json!({"last": 101}),
        json!({"first": i32::MAX}),
        json!({"first": i32::MIN}),
        json!({"first": 1, "last": 1}),
        json!({"first": 1, "after": ""}),
        json!({"first": 1, "after": "nonsense"}),
        json!({"first": 1, "after": "🦀"}),
        json!({"first": 1, "after": "\u{0}"}),
        json!({"first": 1, "after": "A".repeat(5000)}),
        json!({"last": 1, "before": "bm90IGEgbnVtYmVy"}),
    ];
    for mut arguments in refused {
        arguments["id"] = json!(conversation);
        let answer = bob.graphql(PAGE, arguments.clone()).await;
        assert!(
            matches!(answer.code(), Some("BAD_USER_INPUT" | "TOO_COMPLEX")),
            "{} was answered with {}",
            arguments.to_string().chars().take(200).collect::<String>(),
            answer.text
        );
    }
    for too_big in ["2147483648", "1e3", "\"1\"", "1.5"] {
        let query = format!(
            "query($id: ID!) {{ conversation(id: $id) {{ messages(first: {too_big}) {{ nodes {{ id }} }} }} }}"
        );
        let answer = bob.graphql(&query, json!({"id": conversation})).await;
        assert!(!answer.errors().is_empty() && answer.code() != Some("INTERNAL"), "{too_big}: {}", answer.text);
    }
    let allowed = bob.graphql(PAGE, json!({"id": conversation, "first": 0})).await;
    assert_eq!(allowed.body["data"]["conversation"]["messages"]["edges"], json!([]), "{}", allowed.text);
    let allowed = bob.graphql(PAGE, json!({"id": conversation, "first": 100})).await;
    assert_eq!(allowed.body["data"]["conversation"]["messages"]["edges"].as_array().map(Vec::len), Some(3));

    // The other lists pass the same gate.
    for field in ["friends", "invites", "conversations", "blockedUsers"] {
        for arguments in ["first: -1", "first: 101", "last: 101", "first: 1, last: 1", "first: 1, after: \"nonsense\""]
        {
            let answer = bob
                .graphql(&format!("{{ viewer {{ {field}({arguments}) {{ nodes {{ __typename }} }} }} }}"), json!({}))
                .await;
            assert!(
                matches!(answer.code(), Some("BAD_USER_INPUT" | "TOO_COMPLEX")),
                "{field}({arguments}): {}",
                answer.text
            );
        }
    }
});

story!(a_body_is_kept_as_it_was_said_or_refused_clearly, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let input = |body: &str| json!({"conversationId": conversation, "body": body});
    let long = "x".repeat(4001);
    let refused = [
        ("nothing", ""),
        ("spaces", "   \n\t  "),
        ("other spaces", "\u{2003}\u{00a0}"),
        ("NUL", "zero\u{0}byte"),
        ("an escape character", "\u{1b}[31mred"),
        ("4001 characters", long.as_str()),
    ];
    for (what, body) in refused {
        let payload = alice.send_input(input(body)).await;
        assert_eq!(payload.code(), Some("INVALID_INPUT"), "{what}: {}", payload.answer.text);
        assert_eq!(payload.value()["userErrors"][0]["field"], json!(["input", "body"]), "{what}");
    }

    let most = "ß".repeat(4000);
    let kept = [
        "👩‍👩‍👧‍👦 and 🏳️‍🌈 and 👍🏽",
        "two\nlines\tand a tab",
        "שלום עולם — مرحبا بالعالم",
        "\u{202e}backwards\u{202c}",
        "\"quotes\" \\ and </script><b>tags</b> & {{braces}} $1 %s ' OR 1=1 --",
        "日本語 한국어 𝒳 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
        most.as_str(),
    ];
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let n_before = alice.history(&conversation).await.len();
    for body in kept {
        let sent = alice.send(&conversation, body).await;
        assert_eq!(sent["body"], body);
        assert_eq!(node(&ears.next().await)["body"], body);
    }
    assert_eq!(alice.send(&conversation, "e\u{301}").await["body"], "e\u{301}", "also where it could be composed");

    // A flood of combining marks is kept or refused; it breaks nothing.
    let flood = format!("e{}", "\u{489}".repeat(3999));
    let payload = alice.send_input(input(&flood)).await;
    assert!(matches!(payload.code(), None | Some("INVALID_INPUT")), "{}", payload.answer.text);

    // Half a surrogate pair is no text: as JSON, and inside the document.
    let document = mutation_with_raw_body(&conversation, r"\ud800");
    for body in [
        document,
        json!({"query": format!(r#"mutation {{ sendMessage(input: {{conversationId: "{conversation}", body: "\ud800"}}) {{ replayed }} }}"#)})
            .to_string(),
    ] {
        let request = alice.post().header("content-type", "application/json").body(body);
        let request = request.header("accept", "application/graphql-response+json");
        let response = request.send().await.expect("answered");
        let answer = Answer::read(response).await.expect("whole");
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert!(!answer.errors().is_empty() && answer.code() != Some("INTERNAL"), "{}", answer.text);
    }
    let n_kept = (n_before + kept.len() + 1) as i64 + i64::from(payload.code().is_none());
    assert_eq!(alice.sequences(&conversation).await, (1..=n_kept).collect::<Vec<_>>(), "what was refused left nothing");
});

/// A request whose body holds a piece of JSON text as it is.
fn mutation_with_raw_body(conversation: &str, raw: &str) -> String {
    format!(
        r#"{{"query": "mutation($input: SendMessageInput!) {{ sendMessage(input: $input) {{ replayed }} }}",
            "variables": {{"input": {{"conversationId": "{conversation}", "body": "{raw}"}}}}}}"#
    )
}

story!(conversations_are_listed_by_their_last_activity, |world| async {
    let server = world.server().await;
    let (alice, bob, carol, dave) =
        tokio::join!(server.person("alice"), server.person("bob"), server.person("carol"), server.person("dave"));
    let mut conversations = Vec::new();
    for friend in [&bob, &carol, &dave] {
        conversations.push(alice.befriend(friend).await);
    }
    for (n, index) in [0usize, 1, 2, 0, 1].into_iter().enumerate() {
        // Activity is told in milliseconds.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        alice.send(&conversations[index], &format!("{n}")).await;
    }
    let viewer = alice
        .viewer("conversations(first: 2) { nodes { id lastMessage { body } } pageInfo { hasNextPage endCursor } }")
        .await;
    assert_eq!(
        viewer["conversations"]["nodes"],
        json!([{"id": conversations[1], "lastMessage": {"body": "4"}}, {"id": conversations[0], "lastMessage": {"body": "3"}}])
    );
    let after = viewer["conversations"]["pageInfo"]["endCursor"].as_str().expect("a cursor");
    let rest = alice
        .viewer(&format!("conversations(first: 2, after: {after:?}) {{ nodes {{ id }} pageInfo {{ hasNextPage }} }}"))
        .await;
    assert_eq!(rest["conversations"], json!({"nodes": [{"id": conversations[2]}], "pageInfo": {"hasNextPage": false}}));
});
