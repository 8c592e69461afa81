//! graphql-transport-ws to the letter, with the close codes that make clients do the right thing.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{sqlite_story, story, support::*};

const TOO_LONG: &str = "a type of a message that nobody has ever heard of, and whose name is so long that the reason of \
     a close frame, which has room for one hundred and twenty-three bytes, cannot hold it";

story!(what_is_no_message_closes_with_4400, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    let subscribe = |payload: Value| json!({"type": "subscribe", "id": "1", "payload": payload}).to_string();
    let before_init = [
        ("no JSON", "hello".to_owned()),
        ("an empty text", String::new()),
        ("a list", "[]".into()),
        ("a number", "5".into()),
        ("half a message", r#"{"type": "connection_init""#.into()),
        ("no type", "{}".into()),
        ("a type that is no text", r#"{"type": 5}"#.into()),
        ("an unknown type", r#"{"type": "connection_terminate"}"#.into()),
        ("a very long unknown type", json!({"type": TOO_LONG}).to_string()),
        ("an init that is no object", r#"{"type": "connection_init", "payload": 5}"#.into()),
    ];
    let after_init = [
        ("no JSON", "hello".to_owned()),
        ("an unknown type", r#"{"type": "start", "id": "1", "payload": {"query": "{ __typename }"}}"#.into()),
        ("a message of servers", r#"{"type": "next", "id": "1", "payload": {"data": {}}}"#.into()),
        ("another message of servers", r#"{"type": "connection_ack"}"#.into()),
        ("no id", json!({"type": "subscribe", "payload": {"query": "{ __typename }"}}).to_string()),
        ("an empty id", json!({"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}).to_string()),
        (
            "an id that is no text",
            json!({"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}).to_string(),
        ),
        ("no payload", json!({"type": "subscribe", "id": "1"}).to_string()),
        ("a payload that is no object", subscribe(json!("{ __typename }"))),
        ("a list of payloads", subscribe(json!([{"query": "{ __typename }"}]))),
        ("no query", subscribe(json!({}))),
        ("a query that is no text", subscribe(json!({"query": 5}))),
        ("variables that are no object", subscribe(json!({"query": "{ __typename }", "variables": [1]}))),
        ("an operation name that is no text", subscribe(json!({"query": "{ __typename }", "operationName": 5}))),
        ("a complete without an id", r#"{"type": "complete"}"#.into()),
    ];
    let cases = before_init.map(|case| (false, case)).into_iter().chain(after_init.map(|case| (true, case)));
    for (accepted, (what, text)) in cases {
        let mut socket = alice.raw_socket().await;
        if accepted {
            socket.init(Some(alice.access_token())).await;
        }
        socket.send_message(Message::text(text)).await;
        let ended = socket.ended(PATIENCE).await;
        assert_eq!(ended.code(), Some(4400), "{what} (accepted: {accepted}): {ended:?}");
    }
});

story!(each_breach_of_the_protocol_has_its_close_code, |world| async {
    let server = world.server().await;
    let (alice, _bob, conversation) = server.friends("alice", "bob").await;
    let listen = json!({"conversationId": conversation});

    let mut hasty = alice.raw_socket().await;
    hasty.subscribe("1", MESSAGE_EVENTS, listen.clone()).await;
    assert_eq!(hasty.ended(PATIENCE).await.code(), Some(4401), "subscribe before connection_init");

    let mut repeating = alice.raw_socket().await;
    repeating.init(Some(alice.access_token())).await;
    repeating.send(json!({"type": "connection_init"})).await;
    assert_eq!(repeating.ended(PATIENCE).await.code(), Some(4429), "a second connection_init");

    let mut confused = alice.raw_socket().await;
    confused.init(Some(alice.access_token())).await;
    confused.subscribe("same", MESSAGE_EVENTS, listen.clone()).await;
    confused.subscribe("same", MESSAGE_EVENTS, listen.clone()).await;
    let ended = confused.ended(PATIENCE).await;
    assert_eq!(ended.code(), Some(4409), "an id that is in use: {ended:?}");

    for authorization in [
        json!("Bearer nonsense"),
        json!("nonsense"),
        json!(format!("Basic {}", alice.access_token())),
        json!(format!("Bearer {}x", alice.access_token())),
    ] {
        let mut stranger = alice.raw_socket().await;
        stranger.send(json!({"type": "connection_init", "payload": {"authorization": authorization}})).await;
        let ended = stranger.ended(PATIENCE).await;
        assert_eq!(ended.code(), Some(4403), "{authorization}: {ended:?}");
        assert!(matches!(ended, Ended::Closed(_, reason) if !reason.is_empty()), "it says why");
    }

    let mut verbose = alice.raw_socket().await;
    verbose.init(Some(alice.access_token())).await;
    let payload = json!({"query": "{ __typename }", "extensions": {"padding": "x".repeat(70_000)}});
    verbose.send(json!({"type": "subscribe", "id": "1", "payload": payload})).await;
    let ended = verbose.ended(PATIENCE).await;
    assert_eq!(ended.code(), Some(1009), "a message of 70 kB: {ended:?}");

    let mut greedy = alice.raw_socket().await;
    greedy.init(Some(alice.access_token())).await;
    for n in 0..100 {
        greedy.subscribe(&n.to_string(), MESSAGE_EVENTS, listen.clone()).await;
    }
    greedy.round_trip().await;
    greedy.subscribe("one too many", MESSAGE_EVENTS, listen).await;
    let ended = greedy.ended(PATIENCE).await;
    assert_eq!(ended.code(), Some(1013), "101 subscriptions: {ended:?}");
});

story!(only_graphql_transport_ws_is_spoken, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    for protocol in [None, Some("graphql-ws"), Some("chat, graphql-ws")] {
        let upgrade = Upgrade { protocol, ..Upgrade::default() };
        let mut socket = RawSocket::open(&server.url, upgrade).await.expect("the refusal is a close frame");
        assert_eq!(socket.protocol, None, "{protocol:?}");
        assert_eq!(socket.ended(PATIENCE).await.code(), Some(4406), "{protocol:?}");
    }
    for protocol in ["graphql-ws, graphql-transport-ws", "graphql-transport-ws,graphql-ws"] {
        let upgrade = Upgrade { protocol: Some(protocol), ..Upgrade::default() };
        let mut socket = RawSocket::open(&server.url, upgrade).await.expect("the upgrade is accepted");
        assert_eq!(socket.protocol.as_deref(), Some("graphql-transport-ws"));
        socket.init(Some(alice.access_token())).await;
        socket.subscribe("1", "{ __typename }", json!({})).await;
        assert_eq!(
            socket.next_json().await,
            json!({"type": "next", "id": "1", "payload": {"data": {"__typename": "Query"}}})
        );
        assert_eq!(socket.next_json().await, json!({"type": "complete", "id": "1"}));
    }
});

story!(a_ping_is_answered_with_its_payload, |world| async {
    let server = world.server().await;
    let mut socket = server.anonymous().raw_socket().await;
    // Pings may be sent at any time.
    for payload in [None, Some(json!({"n": 1})), Some(json!({}))] {
        let mut ping = json!({"type": "ping"});
        if let Some(payload) = &payload {
            ping["payload"] = payload.clone();
        }
        socket.send(ping).await;
        let pong = socket.next_json().await;
        assert_eq!(pong["type"], "pong");
        if let Some(payload) = payload {
            assert_eq!(pong["payload"], payload);
        }
    }
    socket.send(json!({"type": "pong"})).await;
    socket.init(None).await;
    socket.round_trip().await;
    socket.send_message(Message::Ping("hello".into())).await;
    assert_eq!(socket.next().await, Frame::Pong);
});

story!(queries_and_mutations_work_over_a_socket_under_the_same_guard, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = alice.socket().await;
    let data = |heard: Heard| match heard {
        Heard::Next(mut payload) if payload["errors"].is_null() => payload["data"].take(),
        other => panic!("{other:?}"),
    };
    let code = |heard: Heard| match heard {
        Heard::Error(errors) => errors[0]["extensions"]["code"].as_str().unwrap_or("none").to_owned(),
        Heard::Next(payload) => panic!("a refused document has no result: {payload}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        data(socket.ask("{ viewer { user { username } } }", json!({})).await),
        json!({"viewer": {"user": {"username": "alice"}}})
    );
    let send =
        "mutation($input: SendMessageInput!) { sendMessage(input: $input) { messageEdge { node { sequence } } } }";
    let sent = data(socket.ask(send, json!({"input": {"conversationId": conversation, "body": "By socket."}})).await);
    assert_eq!(sent["sendMessage"]["messageEdge"]["node"]["sequence"], 1);
    assert_eq!(bob.history(&conversation).await[0]["body"], "By socket.");

    let mut bomb = String::from("query { ...F0 }");
    for n in 0..22 {
        bomb.push_str(&format!(" fragment F{n} on Query {{ ...F{} ...F{} }}", n + 1, n + 1));
    }
    bomb.push_str(" fragment F22 on Query { __typename }");
    assert_eq!(code(socket.ask(&bomb, json!({})).await), "TOO_COMPLEX");
    let aliases: String = (0..101).map(|n| format!("a{n}: __typename ")).collect();
    assert_eq!(code(socket.ask(&format!("{{ {aliases} }}"), json!({})).await), "TOO_COMPLEX");
    let bomb_of_events =
        bomb.replacen("query {", "subscription { events { cursor }", 1).replace("on Query", "on Subscription");
    assert_eq!(code(socket.ask(&bomb_of_events, json!({})).await), "TOO_COMPLEX");
    assert!(socket.is_open(), "a refused operation costs the operation only");

    // What a resolver refuses is a result with errors, and the operation is complete.
    let Heard::Next(payload) = socket.ask("{ conversation(id: \"nonsense\") { id } }", json!({})).await else {
        panic!("a resolver's error is a result");
    };
    assert_eq!(payload["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    assert_eq!(payload["data"], json!({"conversation": null}));

    // Without a token a socket is as little signed in as a request.
    let stranger = server.anonymous().socket().await;
    assert_eq!(data(stranger.ask("{ viewer { id } }", json!({})).await), json!({"viewer": null}));
});

story!(a_document_that_is_refused_gives_an_error_and_its_id_is_free_again, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    let mut socket = alice.raw_socket().await;
    socket.init(Some(alice.access_token())).await;
    let refused = [
        ("no such field", "subscription { nonsense }"),
        ("no such field in a query", "{ nonsense }"),
        ("a syntax error", "subscription {"),
        ("nothing", ""),
        ("a missing variable", "subscription($id: ID!) { messageEvents(conversationId: $id) { cursor } }"),
        ("two root fields", "subscription { a: events { cursor } b: events { cursor } }"),
        (
            "two root fields by a fragment",
            "subscription { events { cursor } ...F } fragment F on Subscription { b: events { cursor } }",
        ),
        ("two operations and no name", "query A { __typename } query B { __typename }"),
    ];
    for (what, query) in refused {
        socket.subscribe("1", query, json!({})).await;
        let message = socket.next_json().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("1")), "{what}: {message}");
        let errors = message["payload"].as_array().unwrap_or_else(|| panic!("{what}: a list of errors, not {message}"));
        assert!(errors.iter().all(|error| error["message"].is_string()) && !errors.is_empty(), "{what}: {message}");
        // An error ends the operation: no `complete` follows, and nothing else.
        socket.send(json!({"type": "ping"})).await;
        assert_eq!(socket.next_json().await["type"], "pong", "{what}");
    }
    socket.subscribe("1", "{ __typename }", json!({})).await;
    assert_eq!(socket.next_json().await["type"], "next");
    assert_eq!(socket.next_json().await["type"], "complete");
});

story!(a_subscription_may_be_written_as_any_client_writes_it, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let documents = [
        "subscription($id: ID!) { ...F } fragment F on Subscription { messageEvents(conversationId: $id) { cursor type } }",
        "subscription($id: ID!) { ... on Subscription { messageEvents(conversationId: $id) { cursor type } } }",
        "subscription($id: ID!) { ... { ...F } } fragment F on Subscription { ...G }
            fragment G on Subscription { messageEvents(conversationId: $id) { ...H } }
            fragment H on MessageEvent { cursor type }",
        "subscription($id: ID!) { heard: messageEvents(conversationId: $id) { cursor type } }",
        "query Q { __typename } subscription S($id: ID!) { messageEvents(conversationId: $id) { cursor type } }",
        "subscription($id: ID!) { messageEvents(conversationId: $id) { __typename cursor type messageEdge { __typename node { __typename conversation { __typename } } } } }",
    ];
    let mut subscriptions = Vec::new();
    for document in documents {
        let mut subscription = if document.starts_with("query") {
            let mut raw = bob.raw_socket().await;
            raw.init(Some(bob.access_token())).await;
            let payload = json!({"query": document, "operationName": "S", "variables": {"id": conversation}});
            raw.send(json!({"type": "subscribe", "id": "1", "payload": payload})).await;
            let mut heard = false;
            for _ in 0..20 {
                alice.send(&conversation, "Can you hear me?").await;
                if let Ok(message) = tokio::time::timeout(Duration::from_millis(500), raw.next_json()).await {
                    assert_eq!(message["payload"]["data"]["messageEvents"]["type"], "ADDED", "{document}");
                    heard = true;
                    break;
                }
            }
            assert!(heard, "{document}");
            continue;
        } else {
            socket.subscribe(document, json!({"id": conversation}))
        };
        let mut heard = None;
        for _ in 0..20 {
            alice.send(&conversation, "Can you hear me?").await;
            heard = subscription.try_next(Duration::from_millis(500)).await;
            if heard.is_some() {
                break;
            }
        }
        let heard = heard.unwrap_or_else(|| panic!("nothing is heard by {document}"));
        assert_eq!(heard["type"], "ADDED", "{document}");
        if document.contains("__typename") {
            assert_eq!(heard["__typename"], "MessageEvent");
            assert_eq!(heard["messageEdge"]["node"]["conversation"]["__typename"], "DirectConversation");
        }
        subscriptions.push(subscription);
    }
});

story!(who_says_complete_hears_no_more_and_the_others_go_on, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let mut socket = bob.raw_socket().await;
    socket.init(Some(bob.access_token())).await;
    let other = bob.socket().await;
    let mut others_ears = other.listen(&conversation, &alice).await;
    let events = EVENTS;
    for id in ["leaving", "staying"] {
        socket.subscribe(id, events, json!({})).await;
        loop {
            let message = socket.next_json().await;
            assert_eq!(message["type"], "next", "{message}");
            if message["id"] == id && message["payload"]["data"]["events"]["event"]["__typename"] == "CaughtUp" {
                break;
            }
        }
    }
    socket.send(json!({"type": "complete", "id": "leaving"})).await;
    socket.round_trip().await;
    let sent = alice.send(&conversation, "Who is still here?").await;
    loop {
        let message = socket.next_json().await;
        assert_eq!(message["id"], "staying", "{message}");
        if message["payload"]["data"]["events"]["event"]["messageEdge"]["node"]["id"] == sent["id"] {
            break;
        }
    }
    assert_eq!(others_ears.next().await["messageEdge"]["node"]["id"], sent["id"]);
    // The id can be used again, and completing what is over is no breach.
    socket.send(json!({"type": "complete", "id": "leaving"})).await;
    socket.send(json!({"type": "complete", "id": "never begun"})).await;
    socket.subscribe("leaving", "{ __typename }", json!({})).await;
    while socket.next_json().await["id"] != "leaving" {}
});

story!(a_token_that_expires_closes_with_4403, |world| async {
    let server = world.server_with(Options::default().set("KITH_ACCESS_TOKEN_SECONDS", "3")).await;
    let alice = server.person("alice").await.another_device().await;
    let socket = alice.socket().await;
    let (mut hears, _) = socket.follow(None).await;
    let ended = socket.ended(PATIENCE).await;
    assert_eq!(ended.code(), Some(4403), "{ended:?}");
    while hears.next_or_end().await.is_some() {}
    let mut raw = alice.raw_socket().await;
    raw.send(
        json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {}", alice.access_token())}}),
    )
    .await;
    assert_eq!(raw.ended(PATIENCE).await.code(), Some(4403), "the old token is refused");
    let answer = alice.graphql("{ viewer { id } }", json!({})).await;
    assert_eq!(answer.code(), Some("UNAUTHENTICATED"), "{}", answer.text);
    // A fresh one is had without signing in again.
    let refreshed = alice.mutate("refreshSession", json!({"refreshToken": alice.refresh_token}), "accessToken").await;
    let fresh = alice.with_token(refreshed.ok()["accessToken"].as_str().expect("a token"));
    assert!(fresh.socket().await.is_open());
});

// The one story that waits for the ten seconds that a client has to introduce itself.
sqlite_story!(who_does_not_introduce_himself_is_closed_with_4408, |world| async {
    let server = world.server().await;
    let mut silent = server.anonymous().raw_socket().await;
    let mut only_pinging = server.anonymous().raw_socket().await;
    only_pinging.send(json!({"type": "ping"})).await;
    let limit = Duration::from_secs(15);
    let (one, other) = tokio::join!(silent.ended(limit), only_pinging.ended(limit));
    assert_eq!((one.code(), other.code()), (Some(4408), Some(4408)), "{one:?} {other:?}");
});

story!(a_socket_is_opened_only_for_allowed_origins, |world| async {
    let server = world.server_with(Options::default().set("KITH_ALLOWED_ORIGINS", "https://app.example")).await;
    let open = async |origin: Option<&str>| {
        let headers = origin.map(|origin| ("origin", origin.to_owned())).into_iter().collect();
        RawSocket::open(&server.url, Upgrade { headers, ..Upgrade::default() }).await
    };
    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example.evil.example",
        "https://evil-app.example",
        "https://app.example:8443",
        "null",
    ] {
        match open(Some(origin)).await {
            Err(UpgradeRefused(answer)) => assert_eq!(answer.status, 403, "{origin}"),
            Ok(_) => panic!("{origin} was let in"),
        }
    }
    for origin in [Some("https://app.example"), None] {
        let mut socket = open(origin).await.unwrap_or_else(|refused| panic!("{origin:?}: {refused:?}"));
        socket.init(None).await;
    }
});

story!(a_token_in_the_upgrade_is_as_good_as_one_in_the_first_message, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    let headers = vec![("authorization", format!("Bearer {}", alice.access_token()))];
    let mut socket = RawSocket::open(&server.url, Upgrade { headers, ..Upgrade::default() }).await.expect("accepted");
    socket.init(None).await;
    socket.subscribe("1", "{ viewer { user { username } } }", json!({})).await;
    assert_eq!(socket.next_json().await["payload"]["data"]["viewer"]["user"]["username"], "alice");
});

story!(a_logout_ends_the_sockets_of_its_session_only, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let phone = alice.another_device().await;
    let (phone_socket, socket) = tokio::join!(phone.socket(), alice.socket());
    let mut ears = socket.listen(&conversation, &bob).await;
    let mut stream = EventSource::open(&phone, EVENTS, json!({})).await.expect("it is accepted");
    phone.ask("mutation { logout { userErrors { code } } }", json!({})).await;
    assert_eq!(phone_socket.ended(Duration::from_secs(1)).await.code(), Some(1008));
    within(PATIENCE, "the stream to end", async {
        while stream.next().await.is_some_and(|(event, _)| event != "complete") {}
    })
    .await;
    let sent = bob.send(&conversation, "Are you there?").await;
    assert_eq!(ears.next().await["messageEdge"]["node"]["id"], sent["id"]);
    assert!(socket.is_open());
});

story!(who_ends_their_own_session_over_a_socket_is_answered, |world| async {
    let server = world.server().await;
    let (alice, _, conversation) = server.friends("alice", "bob").await;
    for round in 0..10 {
        let phone = alice.another_device().await;
        let sessions = phone.viewer("sessions { id current }").await;
        let sessions = sessions["sessions"].as_array().expect("a list");
        let own = sessions.iter().find(|session| session["current"] == true).expect("the current one");
        let mut socket = RawSocket::open(&server.url, Upgrade::default()).await.expect("it is accepted");
        socket.init(Some(phone.access_token())).await;
        socket.subscribe("ears", MESSAGE_EVENTS, json!({"conversationId": conversation})).await;
        socket.round_trip().await;
        let (field, document, variables) = match round % 2 {
            0 => ("logout", "mutation { logout { userErrors { code } } }", json!({})),
            _ => (
                "revokeSession",
                "mutation($id: ID!) { revokeSession(input: {sessionId: $id}) { userErrors { code } } }",
                json!({"id": own["id"]}),
            ),
        };
        socket.subscribe("end", document, variables).await;
        let answer = socket.next_json().await;
        assert_eq!(answer["payload"]["data"], json!({field: {"userErrors": []}}), "{answer}");
        assert_eq!(socket.next_json().await, json!({"type": "complete", "id": "end"}));
        let Frame::Ended(ended) = socket.next().await else { panic!("nothing else is said") };
        assert_eq!(ended.code(), Some(1008));
    }
});
