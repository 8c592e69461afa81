//! GraphQL over HTTP: what is let in, what is refused, and how it is said.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{sqlite_story, story, support::*};

const JSON: &str = "application/json";

const REGISTER: &str = "mutation { register(input: {username: \"intruder\", email: \"intruder@example.org\", \
                        password: \"the pass phrase of an intruder\"}) { accessToken userErrors { code } } }";

async fn answer(request: RequestBuilder) -> Answer {
    Answer::read(request.timeout(PATIENCE).send().await.expect("the server answers"))
        .await
        .expect("the answer is whole")
}

fn typed(request: RequestBuilder, content_type: &str) -> RequestBuilder {
    request.header("content-type", content_type)
}

story!(what_the_front_door_refuses_changes_nothing, |world| async {
    let server = world.server().await;
    let client = server.anonymous();
    // The newer media type, for its statuses say whether anything was executed.
    let newer = |request: RequestBuilder| request.header("accept", "application/graphql-response+json");
    let post = || newer(client.post());
    let body = json!({"query": REGISTER}).to_string();
    let encoded: String = url::form_urlencoded::byte_serialize(REGISTER.as_bytes()).collect();
    let multipart = format!("--x\r\ncontent-disposition: form-data; name=\"operations\"\r\n\r\n{body}\r\n--x--\r\n");
    let get = |query: &str| newer(client.http.get(format!("{}/graphql", server.url))).query(&[("query", query)]);
    let two = format!("query Q {{ __typename }} {}", REGISTER.replacen("mutation", "mutation M", 1));
    let with = |name: &str, value: Value| {
        let mut body = json!({"query": REGISTER});
        body[name] = value;
        typed(post(), JSON).body(body.to_string())
    };
    let refused = [
        ("a mutation by GET", 405, get(REGISTER)),
        ("a mutation chosen by GET", 405, get(&two).query(&[("operationName", "M")])),
        ("plain text", 415, typed(post(), "text/plain").body(body.clone())),
        ("plain text with a hint", 415, typed(post(), "text/plain; application/json").body(body.clone())),
        ("a form", 415, typed(post(), "application/x-www-form-urlencoded").body(format!("query={encoded}"))),
        (
            "a form with the operation in the URL",
            415,
            typed(post(), "application/x-www-form-urlencoded").query(&[("query", REGISTER)]),
        ),
        ("a multipart form", 415, typed(post(), "multipart/form-data; boundary=x").body(multipart)),
        ("a bare document", 415, typed(post(), "application/graphql").body(REGISTER)),
        ("no content type", 415, post().body(body.clone())),
        ("a compressed body", 415, typed(post(), JSON).header("content-encoding", "gzip").body(body.clone())),
        ("a body compressed twice", 415, typed(post(), JSON).header("content-encoding", "gzip, br").body(body.clone())),
        ("a batch", 400, typed(post(), JSON).body(format!("[{body}]"))),
        ("a batch of ten", 400, typed(post(), JSON).body(format!("[{}]", [body.as_str(); 10].join(",")))),
        ("an empty batch", 400, typed(post(), JSON).body("[]")),
        ("no JSON", 400, typed(post(), JSON).body("mutation")),
        ("half a JSON", 400, typed(post(), JSON).body(body[..body.len() - 1].to_owned())),
        ("two JSONs", 400, typed(post(), JSON).body(format!("{body}{body}"))),
        ("bytes that are no text", 400, typed(post(), JSON).body(vec![0xff, 0xfe, 0x00])),
        ("nothing", 400, typed(post(), JSON).body("")),
        ("no query", 400, typed(post(), JSON).body("{}")),
        ("a query that is no text", 400, with("query", json!(5))),
        ("a query that is null", 400, with("query", Value::Null)),
        ("variables that are a list", 400, with("variables", json!([]))),
        ("variables that are a text", 400, with("variables", json!("{}"))),
        ("an operation name that is a number", 400, with("operationName", json!(5))),
        ("an operation name that is nobody's", 400, with("operationName", json!("Nobody"))),
        ("extensions that are a number", 400, with("extensions", json!(5))),
        ("a body that is too big", 413, with("padding", json!("x".repeat(200_000)))),
        ("a document that does not parse", 400, with("query", json!(format!("{REGISTER} }}")))),
        (
            "a document that is not valid",
            400,
            with("query", json!(REGISTER.replace("accessToken", "accessToken nonsense"))),
        ),
        ("a subscription", 400, with("query", json!("subscription { events { cursor } }"))),
        (
            "another method",
            405,
            client
                .http
                .request(Method::PUT, format!("{}/graphql", server.url))
                .header("content-type", JSON)
                .body(body.clone()),
        ),
        (
            "a mutation by the event stream's GET",
            405,
            client
                .http
                .get(format!("{}/graphql/stream", server.url))
                .header("accept", "text/event-stream")
                .query(&[("query", REGISTER)]),
        ),
        (
            "plain text to the event stream",
            415,
            typed(client.http.post(format!("{}/graphql/stream", server.url)), "text/plain")
                .header("accept", "text/event-stream")
                .body(body.clone()),
        ),
    ];
    let n_users = world.count("user").await;
    for (what, status, request) in refused {
        let answer = answer(request).await;
        // 400 or 405 for a subscription: the draft leaves it open.
        let statuses = if what == "a subscription" { [400, 405] } else { [status, status] };
        assert!(statuses.contains(&answer.status), "{what}: expected {status}, got {} {}", answer.status, answer.text);
        assert!(!answer.errors().is_empty(), "{what}: the errors are told in GraphQL's way: {}", answer.text);
        assert!(
            answer.errors().iter().all(|error| error["message"].as_str().is_some_and(|text| text.len() < 400)),
            "{what}: {}",
            answer.text
        );
        assert!(answer.body.get("data").is_none(), "{what}: nothing was executed: {}", answer.text);
        assert_eq!(world.count("user").await, n_users, "{what} made an account");
        if what == "a mutation by GET" {
            assert_eq!(answer.header("allow"), Some("POST"), "it says what is allowed");
        }
    }
    // The same operation, sent properly.
    let allowed = answer(typed(post(), JSON).body(body)).await;
    assert_eq!(allowed.status, 200, "{}", allowed.text);
    assert!(allowed.body["data"]["register"]["accessToken"].is_string(), "{}", allowed.text);
    assert_eq!(world.count("user").await, n_users + 1);
});

story!(an_answer_comes_in_the_media_type_that_was_asked_for, |world| async {
    let server = world.server().await;
    let client = server.anonymous();
    const NEW: &str = "application/graphql-response+json";
    let accepts = [
        (None, JSON),
        (Some("*/*"), JSON),
        (Some("application/*"), JSON),
        (Some(JSON), JSON),
        (Some("APPLICATION/JSON"), JSON),
        (Some("application/json; charset=utf-8"), JSON),
        (Some(NEW), NEW),
        (Some("application/graphql-response+json; charset=utf-8, application/json; charset=utf-8"), NEW),
        (Some("application/json;q=0.5, application/graphql-response+json"), NEW),
        (Some("application/graphql-response+json;q=0.1, application/json;q=0.9"), JSON),
        (Some("text/html, application/json;q=0.9"), JSON),
    ];
    for (accept, expected) in accepts {
        let mut request = typed(client.post(), JSON).body(json!({"query": "{ __typename }"}).to_string());
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let answer = answer(request).await;
        assert_eq!((answer.status, answer.media_type()), (200, expected), "Accept: {accept:?}");
        assert!(
            answer.header("content-type").is_some_and(|value| value.to_ascii_lowercase().contains("charset=utf-8"))
        );
        assert_eq!(answer.body, json!({"data": {"__typename": "Query"}}));
        assert!(answer.header("x-content-type-options") == Some("nosniff"), "{:?}", answer.headers);
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("no-store")), "{:?}", answer.headers);
    }
    for accept in ["text/html", "image/png", "application/xml", "application/json;q=0"] {
        let request = typed(client.post(), JSON).header("accept", accept).body(json!({"query": REGISTER}).to_string());
        let answer = answer(request).await;
        // The draft allows both: to refuse, or to answer in the default type.
        match answer.status {
            406 => assert!(answer.body.get("data").is_none(), "refused and executed: {}", answer.text),
            200 => assert_eq!(answer.media_type(), JSON),
            other => panic!("{accept}: {other}"),
        }
    }

    // Where execution never began the new type says so by its status.
    let broken = |accept: &'static str| {
        typed(client.post(), JSON).header("accept", accept).body(json!({"query": "{ nonsense }"}).to_string())
    };
    let refused = answer(broken(NEW)).await;
    assert_eq!((refused.status, refused.media_type()), (400, NEW));
    assert!(refused.body.get("data").is_none(), "{}", refused.text);
    let refused = answer(broken(JSON)).await;
    assert_eq!(refused.media_type(), JSON);
    assert!(refused.body.get("data").is_none() && !refused.errors().is_empty(), "{}", refused.text);
    // A resolver's error is a partial result: 200, with data.
    let partial = client.graphql("{ conversation(id: \"nonsense\") { id } server { version } }", json!({})).await;
    assert_eq!(partial.status, 200);
    assert!(partial.body["data"]["server"]["version"].is_string(), "{}", partial.text);
    assert_eq!(partial.errors()[0]["path"], json!(["conversation"]));
});

story!(queries_can_be_asked_by_get, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    let get = |parameters: &[(&str, &str)]| {
        alice.http.get(format!("{}/graphql", server.url)).bearer_auth(alice.access_token()).query(parameters)
    };
    let query = "query Q($name: String!) { user(username: $name) { username } } query R { __typename }";
    let variables = r#"{"name": "alice"}"#;
    let found = answer(get(&[("query", query), ("operationName", "Q"), ("variables", variables)])).await;
    assert_eq!(found.body, json!({"data": {"user": {"username": "alice"}}}));
    let typename = answer(get(&[("query", query), ("operationName", "R"), ("variables", "")])).await;
    assert_eq!(typename.status, 200, "{}", typename.text);
    for parameters in [
        &[("query", query), ("operationName", "Q"), ("variables", "{")][..],
        &[("query", query), ("operationName", "Q"), ("variables", "[]")],
        &[("query", query)],
        &[("query", "{")],
        &[("query", "")],
        &[("variables", variables)],
    ] {
        let refused = answer(get(parameters).header("accept", "application/graphql-response+json")).await;
        assert_eq!(refused.status, 400, "{parameters:?}: {}", refused.text);
        assert!(!refused.errors().is_empty(), "{parameters:?}");
    }
});

story!(variables_that_are_not_given_have_their_defaults, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let query = "query($yes: Boolean! = true, $no: Boolean = false, $name: String! = \"alice\") {
        user(username: $name) { username @include(if: $yes) id @include(if: $no) displayName @skip(if: $no) ...F } }
        fragment F on User { relationship @include(if: $yes) createdAt @skip(if: $yes) }";
    let expected = json!({"user": {"username": "alice", "displayName": "alice", "relationship": "SELF"}});
    assert_eq!(alice.ask(query, json!({})).await, expected);
    let socket = bob.socket().await;
    let Heard::Next(payload) = socket.ask(&query.replace("alice", "bob"), json!({})).await else {
        panic!("a result is expected");
    };
    assert_eq!(payload["data"]["user"]["username"], "bob");

    let subscription = "subscription($id: ID!, $yes: Boolean! = true, $no: Boolean = false) {
        messageEvents(conversationId: $id) { cursor type @include(if: $yes) messageEdge @skip(if: $no) { node { body } } } }";
    let mut ears = socket.subscribe(subscription, json!({"id": conversation}));
    let mut heard = None;
    for _ in 0..20 {
        alice.send(&conversation, "Can you hear me?").await;
        heard = ears.try_next(Duration::from_millis(500)).await;
        if heard.is_some() {
            break;
        }
    }
    let heard = heard.expect("it becomes live");
    assert_eq!(heard["type"], "ADDED");
    assert_eq!(heard["messageEdge"], json!({"node": {"body": "Can you hear me?"}}));
});

story!(every_answer_has_a_request_id_and_a_failure_of_ours_tells_nothing_else, |world| async {
    let server = world.server().await;
    let (alice, _bob, conversation) = server.friends("alice", "bob").await;
    let fine = alice.graphql("{ server { version } }", json!({})).await;
    let other = alice.graphql("{ server { version } }", json!({})).await;
    let id_of = |answer: &Answer| answer.header("x-request-id").expect("a request id").to_owned();
    assert_ne!(id_of(&fine), id_of(&other));

    alice.send(&conversation, "Something to look for.").await;
    // Nobody outside can break a query, so the table is taken away.
    world.sql("ALTER TABLE message RENAME TO taken_away").await;
    let query = "query($id: ID!) { conversation(id: $id) { messages(last: 1) { nodes { id } } } }";
    let broken = alice.graphql(query, json!({"id": conversation})).await;
    world.sql("ALTER TABLE taken_away RENAME TO message").await;
    assert_eq!(broken.code(), Some("INTERNAL"), "{}", broken.text);
    let error = &broken.errors()[0];
    let request_id = error["extensions"]["requestId"].as_str().expect("a request id");
    assert_eq!(request_id, id_of(&broken));
    assert_eq!(error["path"], json!(["conversation", "messages"]), "{}", broken.text);
    let lower = broken.text.to_lowercase();
    for telling in ["table", "sql", "relation", "select", "message_", ".rs", "panicked"] {
        assert!(!lower.contains(telling), "{telling:?} is told: {}", broken.text);
    }
    eventually("the cause in the log", async || server.logged().contains(request_id).then_some(())).await;
    assert_eq!(alice.graphql(query, json!({"id": conversation})).await.errors(), &[] as &[Value], "and it is over");
});

story!(browsers_may_call_from_allowed_origins_only, |world| async {
    let server = world
        .server_with(Options::default().set("KITH_ALLOWED_ORIGINS", "https://app.example,http://localhost:3000"))
        .await;
    let client = server.anonymous();
    let preflight = |origin: &'static str| {
        client
            .http
            .request(Method::OPTIONS, format!("{}/graphql", server.url))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
    };
    for origin in ["https://app.example", "http://localhost:3000"] {
        let allowed = answer(preflight(origin)).await;
        assert!((200..300).contains(&allowed.status), "{origin}: {}", allowed.status);
        assert_eq!(allowed.header("access-control-allow-origin"), Some(origin));
        let headers = allowed.header("access-control-allow-headers").unwrap_or_default().to_ascii_lowercase();
        assert!(
            headers.contains("authorization") && (headers.contains("content-type") || headers.contains('*')),
            "{headers}"
        );
        let simple =
            typed(client.post(), JSON).header("origin", origin).body(json!({"query": "{ __typename }"}).to_string());
        let simple = answer(simple).await;
        assert_eq!(simple.header("access-control-allow-origin"), Some(origin));
        assert!(simple.all_of("vary").to_ascii_lowercase().contains("origin"));
        assert_eq!(simple.header("access-control-allow-credentials"), None, "tokens are never ambient");
    }
    for origin in ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"] {
        let refused = answer(preflight(origin)).await;
        assert_eq!(refused.header("access-control-allow-origin"), None, "{origin}");
        let before = world.count("user").await;
        let request = typed(client.post(), JSON).header("origin", origin).body(json!({"query": REGISTER}).to_string());
        let cross = answer(request).await;
        assert_eq!(cross.header("access-control-allow-origin"), None, "{origin}");
        // Refused or not, the page cannot read the answer. What was refused was not executed.
        if cross.status == 403 {
            assert_eq!(world.count("user").await, before);
        }
    }
});

story!(the_small_endpoints_answer, |world| async {
    let server = world.server().await;
    let client = server.anonymous();
    assert_eq!(client.get("/health/live").await.status, 200);
    assert_eq!(client.get("/health/ready").await.status, 200);
    let metrics = client.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text.contains("# TYPE kith_"), "{}", metrics.text);
    let schema = client.get("/schema.graphql").await;
    assert_eq!(schema.status, 200);
    assert!(schema.text.contains("type Subscription"));
    assert_eq!(client.get("/nothing/here").await.status, 404);
});

sqlite_story!(pages_of_the_playground_may_run_nothing_of_anybody_else, |world| async {
    let server = world.server().await;
    let client = server.anonymous();
    for path in
        ["/", "/join/a-code", "/verify-email?token=x", "/reset-password?token=x", "/invite?token=x", "/explorer"]
    {
        let page = client.get(path).await;
        assert_eq!((page.status, page.media_type()), (200, "text/html"), "{path}");
        let policy = page.header("content-security-policy").expect("a policy").to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("connect-src 'self'"), "{path}: {policy}");
        assert_eq!(policy.contains("unsafe"), path == "/explorer", "{path}: {policy}");
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert!(!page.text.contains("KITH-NONCE"), "{path}");
        if let Some((_, rest)) = policy.split_once("'nonce-") {
            let (nonce, _) = rest.split_once('\'').expect("an end");
            assert!(page.text.contains(&format!("nonce=\"{nonce}\"")), "{path}");
            let again = client.get(path).await;
            assert_ne!(again.header("content-security-policy"), Some(&*policy), "{path}: it is another one each time");
        }
        for (_, rest) in page.text.match_indices("src=\"").map(|(at, mark)| page.text.split_at(at + mark.len())) {
            let file = rest.split('"').next().expect("an address");
            let address = url::Url::parse(&format!("{}{path}", server.url)).expect("a URL").join(file).expect("a URL");
            assert_eq!(client.get(address.path()).await.status, 200, "{path}: {file}");
        }
    }
    assert_eq!(client.get("/join/a/b").await.status, 404);
    assert_eq!(client.get("/assets/nothing.js").await.status, 404);
    assert!(server.terminate().await.success());

    // Whether they are there is a setting, and in production they are there only if it says so.
    let production = || Options::default().set("KITH_ENV", "production");
    for (options, expected) in [
        (Options::default().set("KITH_PLAYGROUND", "off"), 404),
        (production(), 404),
        (production().set("KITH_PLAYGROUND", "on"), 200),
    ] {
        let server = world.server_with(options).await;
        for path in ["/", "/join/a-code", "/explorer"] {
            assert_eq!(server.anonymous().get(path).await.status, expected, "{path}");
        }
        assert!(server.terminate().await.success());
    }
});

// The one story that waits for the ten seconds that a client has to say what it wants.
sqlite_story!(a_client_that_dribbles_is_dropped, |world| async {
    let server = world.server().await;
    let address = server.url.strip_prefix("http://").expect("a plain URL").to_owned();
    // Each sends a byte now and then, so that no timeout between two bytes would notice.
    let dribble = async |head: &str, endless: &str| {
        let mut stream = TcpStream::connect(&address).await.expect("the server can be reached");
        stream.write_all(head.as_bytes()).await.expect("the head is taken");
        let mut said = Vec::new();
        within(Duration::from_secs(25), "the connection to be dropped", async {
            let mut ticks = tokio::time::interval(Duration::from_millis(500));
            loop {
                tokio::select! {
                    read = stream.read_buf(&mut said) => if !matches!(read, Ok(n) if n > 0) { return },
                    _ = ticks.tick() => if stream.write_all(endless.as_bytes()).await.is_err() { return },
                }
            }
        })
        .await;
        String::from_utf8_lossy(&said).into_owned()
    };
    let body_head =
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{";
    let (in_head, in_body, silent) = tokio::join!(
        dribble("POST /graphql HTTP/1.1\r\nhost: localhost\r\n", "x-a: b\r\n"),
        dribble(body_head, " "),
        dribble("", ""),
    );
    for (what, said) in [("in the head", in_head), ("in the body", in_body), ("silent", silent)] {
        assert!(!said.starts_with("HTTP/1.1 200"), "{what}: {said}");
    }
    assert!(server.is_ready().await, "nobody else was harmed");
});

story!(one_connection_too_many_is_told_so_and_harms_nobody, |world| async {
    let server = world.server_with(Options::default().set("KITH_MAX_CONNECTIONS", "12")).await;
    let address = server.url.strip_prefix("http://").expect("a plain URL");
    let ask = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut held = Vec::new();
    let refused = within(PATIENCE, "a refusal", async {
        loop {
            held.push(TcpStream::connect(address).await.expect("the port is open"));
            match raw_request(&server.url, ask).await {
                Ok((_, answer)) if answer.status == 200 => {}
                Ok((_, answer)) => return answer.status,
                // It was closed before the request was read.
                Err(_) => return 503,
            }
        }
    })
    .await;
    assert_eq!(refused, 503);
    // Who was answered gives their place back a moment later, so that one that came in between was refused, too. What
    // counts is how many the server lets stay.
    let held: Vec<_> = held.into_iter().map(|stream| stream.into_std().expect("a socket")).collect();
    let stay = |stream: &&std::net::TcpStream| matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    eventually("no more than allowed", async || (held.iter().filter(stay).count() <= 12).then_some(())).await;
    assert!(held.iter().filter(stay).count() > 6, "and who came in time is kept");
    drop(held);
    eventually("room again", async || {
        raw_request(&server.url, ask).await.ok().filter(|(_, answer)| answer.status == 200).map(drop)
    })
    .await;
});

story!(what_people_say_and_who_they_are_is_in_no_log_and_no_metric, |world| async {
    let server = world.server_with(Options::default().set("RUST_LOG", "debug,kith=trace")).await;
    let (alice, bob, conversation) = server.friends("alicecanary", "bobcanary").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    alice.send(&conversation, "a-canary-in-a-body").await;
    ears.next().await;
    alice.try_login("alicecanary", "a-canary-in-a-password").await;
    alice.graphql("{ user(username: \"a-canary-in-a-document\") { id } a-canary }", json!({})).await;
    alice.graphql("query($n: String!) { user(username: $n) { id } }", json!({"n": "a-canary-in-a-variable"})).await;
    let refreshed = alice.mutate("refreshSession", json!({"refreshToken": alice.refresh_token}), "refreshToken").await;
    let request = alice.post().header("content-type", JSON).body("{\"query\": \"a-canary-in-broken-json");
    answer(request).await;
    let said = server.logged() + &alice.get("/metrics").await.text;
    let token = alice.access_token();
    let secrets = [
        "canary-in",
        "alicecanary@",
        &alice.password,
        token,
        &token[token.len() - 20..],
        &alice.refresh_token,
        refreshed.ok()["refreshToken"].as_str().expect("a token"),
        &world.jwt_secret,
    ];
    for secret in secrets {
        if let Some(line) = said.lines().find(|line| line.contains(secret)) {
            panic!("{secret:?} is in: {line}");
        }
    }
});

story!(a_head_that_is_too_big_is_refused, |world| async {
    let server = world.server().await;
    for head in [
        format!("GET /graphql?query={} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(500_000)),
        format!("GET /graphql HTTP/1.1\r\nhost: localhost\r\nx-big: {}\r\n\r\n", "a".repeat(500_000)),
        format!("GET /graphql HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x-many: a\r\n".repeat(2000)),
    ] {
        // It may cut the connection before all of it is sent.
        if let Ok((_, answer)) = raw_request(&server.url, head.as_bytes()).await {
            assert!((400..500).contains(&answer.status), "{}", answer.status);
        }
        assert!(server.is_ready().await);
    }
});
