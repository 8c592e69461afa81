//! Limits of how often and how many (G11).

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use crate::{full_story, inputs, joined_story, schema, sqlite_story, story, support::*};

const SEND: &str = "
    mutation($input: SendMessageInput!) {
        sendMessage(input: $input) { replayed messageEdge { node { id } } userErrors { code } }
    }";

const LIMITS: &str = "{ server { limits { rateLimits { action limit periodSeconds } } } }";

/// The actions that the server says are limited.
async fn limited_actions(client: &Client) -> Vec<Value> {
    client.ask(LIMITS, json!({})).await["server"]["limits"]["rateLimits"].as_array().expect("a list").clone()
}

story!(a_limit_is_told_everywhere, |world| async {
    let options = Options::default()
        .rate_limits()
        .set("KITH_RATE_LIMIT_SEND_MESSAGE", "4/1h")
        .set("KITH_RATE_LIMIT_DISCOVERY", "off");
    let server = world.server_with(options).await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;

    let actions = limited_actions(&server.anonymous()).await;
    assert!(actions.contains(&json!({"action": "SEND_MESSAGE", "limit": 4, "periodSeconds": 3600})), "{actions:?}");
    assert!(actions.iter().any(|limit| limit["action"] == "SIGN_IN"));
    assert!(actions.iter().all(|limit| limit["action"] != "DISCOVERY"), "what is off is not listed: {actions:?}");

    let input = |key: &str| json!({"input": {"conversationId": conversation, "body": key, "idempotencyKey": key}});
    for n in 0..4 {
        let sent = alice.graphql(SEND, input(&n.to_string())).await;
        assert!(sent.errors().is_empty(), "{}", sent.text);
        assert_eq!(sent.header("ratelimit-policy"), Some("\"SEND_MESSAGE\";q=4;w=3600"));
        let left = sent.header("ratelimit").expect("what is left is told");
        assert!(left.starts_with(&format!("\"SEND_MESSAGE\";r={};t=", 3 - n)), "{left}");
    }
    let refused = alice.graphql(SEND, input("4")).await;
    let extensions = &refused.errors()[0]["extensions"];
    let seconds = extensions["retryAfter"].as_u64().expect("a number");
    assert!((800..=900).contains(&seconds), "a quarter of an hour: {}", refused.text);
    let expected = json!({
        "code": "RATE_LIMITED", "action": "SEND_MESSAGE", "limit": 4, "periodSeconds": 3600, "retryAfter": seconds,
    });
    assert_eq!(*extensions, expected);
    assert_eq!(refused.header("retry-after"), Some(seconds.to_string().as_str()));
    assert!(refused.header("ratelimit").is_some_and(|left| left.starts_with("\"SEND_MESSAGE\";r=0;t=")), "{refused:?}");
    let message = refused.errors()[0]["message"].as_str().expect("a message");
    assert!(message.contains("too fast") && message.contains(&format!("{seconds} s")), "{message}");
    // On a socket there are no headers; the error has it all.
    match alice.socket().await.ask(SEND, input("5")).await {
        Heard::Next(answer) => assert_eq!(answer["errors"][0]["extensions"]["action"], "SEND_MESSAGE", "{answer}"),
        other => panic!("{other:?}"),
    }
    // A retry of what was answered is answered, and costs nobody anything.
    for n in 0..4 {
        let retried = alice.ask(SEND, input(&n.to_string())).await;
        assert_eq!(retried["sendMessage"]["replayed"], true, "{retried}");
    }
    assert_eq!(alice.conversation(&conversation, "lastMessage { body }").await["lastMessage"]["body"], "3");
    let sent = bob.graphql(SEND, input("of another")).await;
    assert!(sent.errors().is_empty(), "others are not limited by it: {}", sent.text);
    let quiet = alice.graphql("{ viewer { id } }", json!({})).await;
    assert!(quiet.header("ratelimit").is_none(), "nothing was counted");
    for _ in 0..100 {
        alice.ask("{ user(username: \"nobody\") { id } }", json!({})).await;
    }
});

/// Counted by an address, an account or a mailbox, or only when they get so far: the stories of their slices tell of them.
const COUNTED_IN_VERBS: &[&str] = &[
    "register",
    "login",
    "refreshSession",
    "requestPasswordReset",
    "resetPassword",
    "changePassword",
    "verifyEmail",
    "requestEmailVerification",
    "claimInvite",
    "deleteAccount",
    "requestDataExport",
    "createGroup",
    "createInviteLink",
    "joinGroup",
    "setTyping",
];

story!(every_mutation_is_limited, |world| async {
    // Every action once an hour. People are made before, so that making them is not in the way.
    let mutations: Vec<String> = schema::committed_shape().fields_of("Mutation").map(str::to_owned).collect();
    let mutations: Vec<&str> =
        mutations.iter().map(String::as_str).filter(|mutation| !COUNTED_IN_VERBS.contains(mutation)).collect();
    let server = world.server().await;
    let mut people = Vec::new();
    for idx in 0..mutations.len() {
        people.push(server.person(&format!("person_{idx}")).await);
    }
    let (alice, _bob, conversation) = server.friends("alice", "bob").await;
    let message = alice.send(&conversation, "Nobody else may touch it.").await;
    let actions = limited_actions(&server.anonymous()).await;
    assert!(actions.is_empty(), "they are off: {actions:?}");
    assert!(server.terminate().await.success());
    let settings = world.kith(&["serve", "--help"], Options::default()).await;
    let settings = String::from_utf8_lossy(&settings.stdout).into_owned();
    let settings: HashSet<&str> = settings
        .split(|c: char| !c.is_ascii_uppercase() && c != '_')
        .filter(|word| word.starts_with("KITH_RATE_LIMIT_"))
        .collect();
    assert!(settings.len() > 10, "each action has its setting: {settings:?}");
    let options =
        settings.iter().fold(Options::default().rate_limits(), |options, setting| options.set(setting, "1/1h"));
    let server = world.server_with(options).await;
    assert_eq!(limited_actions(&server.anonymous()).await.len(), settings.len());

    let mut wrong = Vec::new();
    for (mutation, person) in mutations.iter().zip(&people) {
        let person = person.at(&server);
        let call = format!("{{ {mutation}(");
        let documents = || inputs::PLACES.iter().filter(|it| it.starts_with("mutation") && it.contains(&call));
        // One in which only a text is strange is looked at longest.
        let document = documents().find(|it| it.contains("$c:") || it.contains("$m:")).or_else(|| documents().next());
        let document = document
            .map_or_else(|| format!("mutation {{ {mutation} {{ userErrors {{ code }} }} }}"), |it| (*it).into());
        let mut variables = json!({"x": "nobody_here", "m": message["id"]});
        let names = document.split('$').skip(1).filter_map(|rest| rest.split_once(':'));
        for (name, _) in names.filter(|(name, _)| name.chars().all(char::is_alphanumeric)) {
            // Whatever kind of thing it should be: it is a stranger's.
            variables.as_object_mut().expect("an object").entry(name).or_insert_with(|| json!(conversation));
        }
        let first = person.graphql(&document, variables.clone()).await;
        if *mutation == "logout" {
            // Whoever has left is refused for that.
            continue;
        }
        let second = person.graphql(&document, variables).await;
        let is_told =
            |answer: &Answer| answer.code() == Some("RATE_LIMITED") && answer.errors()[0]["extensions"]["limit"] == 1;
        if first.code() == Some("RATE_LIMITED") || !is_told(&second) {
            wrong.push(format!("{mutation}: {:.200} and then {:.300}", first.text, second.text));
        }
    }
    assert!(wrong.is_empty(), "not limited as they should be:\n{}", wrong.join("\n"));
});

story!(accounts_are_made_slowly, |world| async {
    let options = Options::default()
        .rate_limits()
        .set("KITH_TRUSTED_PROXIES", "127.0.0.1")
        .set("KITH_RATE_LIMIT_REGISTER", "3/1h");
    let server = world.server_with(options).await;
    let register = async |name: String, address: &str| {
        let input = json!({"username": name, "email": format!("{name}@example.org"), "password": "a good pass phrase"});
        let query = "mutation($input: RegisterInput!) { register(input: $input) { accessToken userErrors { code } } }";
        let body = json!({"query": query, "variables": {"input": input}});
        let request = server.anonymous().post().header("content-type", "application/json");
        let request = request.header("x-forwarded-for", address).body(body.to_string());
        Answer::read(request.send().await.expect("the server answers")).await.expect("the answer is whole")
    };
    for n in 0..3 {
        let made = register(format!("account_{n}"), "203.0.113.7").await;
        assert!(made.errors().is_empty() && made.body["data"]["register"]["accessToken"].is_string(), "{}", made.text);
    }
    let refused = register("account_3".into(), "203.0.113.7").await;
    assert_eq!(refused.errors()[0]["extensions"]["action"], "REGISTER", "{}", refused.text);
    let other = register("account_3".into(), "198.51.100.7").await;
    assert!(other.errors().is_empty(), "from elsewhere: {}", other.text);
});

joined_story!(processes_count_together, |world| async {
    let options = || {
        Options::default()
            .rate_limits()
            .set("KITH_RATE_LIMIT_DISCOVERY", "6/1h")
            .set("KITH_RATE_LIMIT_SEND_MESSAGE", "40/1h")
    };
    let servers = [world.server_with(options()).await, world.server_with(options()).await];
    // On a busy machine Redis may answer too late, and then each process counts by itself: one of some tries is exact.
    let mut tries = Vec::new();
    for n in 0..5 {
        let (alice, _bob, conversation) = servers[0].friends(&format!("alice_{n}"), &format!("bob_{n}")).await;
        match count_together(&servers, &alice, &conversation).await {
            Ok(()) => return,
            Err(why) => tries.push(why),
        }
    }
    panic!("never exact: {tries:?}");
});

async fn count_together(servers: &[Server; 2], alice: &Person, conversation: &str) -> Result<(), String> {
    let there = servers.each_ref().map(|server| alice.at(server));
    // Whoever looks for people waits for the count, so it is exact.
    for n in 0..6 {
        let answer = there[n % 2].graphql("{ user(username: \"nobody\") { id } }", json!({})).await;
        let left = answer.header("ratelimit").map(str::to_owned).expect("what is left is told");
        if !answer.errors().is_empty() || !left.contains(&format!("r={};", 5 - n)) {
            return Err(format!("{n}: {left} {}", answer.text));
        }
    }
    for person in &there {
        let answer = person.graphql("{ user(username: \"nobody\") { id } }", json!({})).await;
        if answer.code() != Some("RATE_LIMITED") {
            return Err(format!("one too many: {}", answer.text));
        }
    }
    // A send does not wait: each process may be ahead by a tenth, and no more.
    let mut n_sent = 0;
    let mut is_refused = [false; 2];
    for n in 0..80 {
        let input = json!({"conversationId": conversation, "body": format!("{n}")});
        let sent = there[n % 2].send_input(input).await;
        match sent.code() {
            None => n_sent += 1,
            Some("RATE_LIMITED") => is_refused[n % 2] = true,
            other => panic!("{other:?}: {}", sent.answer.text),
        }
    }
    match (n_sent, is_refused) {
        (40..=48, [true, true]) => Ok(()),
        _ => Err(format!("{n_sent} of 40 went through; refused: {is_refused:?}")),
    }
}

full_story!(without_redis_each_process_counts, |world| async {
    let mut redis = Redis::private(world).await;
    let options = Options::default()
        .rate_limits()
        .redis(redis.url())
        .set("KITH_RATE_LIMIT_DISCOVERY", "3/1h")
        .set("KITH_RATE_LIMIT_SEND_MESSAGE", "5/1h");
    let server = world.server_with(options).await;
    let (alice, _bob, conversation) = server.friends("alice", "bob").await;
    redis.kill().await;
    for n in 0..10 {
        let looked = alice.graphql("{ user(username: \"nobody\") { id } }", json!({})).await;
        assert_eq!(looked.code(), (n >= 3).then_some("RATE_LIMITED"), "{n}: {}", looked.text);
        let sent = alice.send_input(json!({"conversationId": conversation, "body": format!("{n}")})).await;
        assert_eq!(sent.code(), (n >= 5).then_some("RATE_LIMITED"), "{n}: {}", sent.answer.text);
    }
});

story!(a_session_has_so_many_subscriptions_and_no_more, |world| async {
    let options = Options::default().rate_limits().set("KITH_MAX_STREAMS_PER_SESSION", "12");
    let server = world.server_with(options).await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let (phone, laptop) = (alice.another_device().await, alice.another_device().await);
    let (one, other) = (phone.socket().await, phone.socket().await);
    // One stream of everything counts as ten.
    let (_everything, _) = one.follow(None).await;
    let mut first = one.listen(&conversation, &bob).await;
    let second = other.listen(&conversation, &bob).await;
    first.up_to_now(&bob, &conversation).await;
    match other.ask(MESSAGE_EVENTS, json!({"conversationId": conversation})).await {
        Heard::Error(errors) => {
            let expected = json!({"code": "RATE_LIMITED", "limit": 12, "retryAfter": 5});
            assert_eq!(errors[0]["extensions"], expected, "{errors}");
            assert!(errors[0].get("locations").is_none(), "{errors}");
            assert!(errors[0]["message"].as_str().is_some_and(|message| message.contains("End some")), "{errors}");
        }
        heard => panic!("{heard:?}"),
    }
    let refused =
        EventSource::open(&phone, EVENTS, json!({})).await.expect("a stream that tells the error").next().await;
    let (_, refused) = refused.expect("an event");
    assert_eq!(refused["errors"][0]["extensions"]["code"], "RATE_LIMITED", "{refused}");
    laptop.socket().await.listen(&conversation, &bob).await;
    first.up_to_now(&bob, &conversation).await;
    let said = bob.send(&conversation, "Those that are open go on.").await;
    assert_eq!(first.next().await["messageEdge"]["node"]["id"], said["id"]);
    // What has ended makes room.
    drop((one, second, other));
    let again = phone.socket().await;
    eventually("room for another", async || {
        let heard = again.subscribe(EVENTS, json!({})).hear().await;
        matches!(heard, Heard::Next(_)).then_some(())
    })
    .await;
});

sqlite_story!(a_limit_that_does_not_exist_stops_the_start, |world| async {
    let options = Options::default().set("KITH_RATE_LIMIT_LOGIN", "5/m");
    let output = world.kith(&["serve"], options).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("KITH_RATE_LIMIT_LOGIN is not a limit"), "{said}");
});

story!(subscriptions_are_started_slowly, |world| async {
    let options = Options::default().rate_limits().set("KITH_RATE_LIMIT_SUBSCRIBE", "3/1h");
    let server = world.server_with(options).await;
    let alice = server.person("alice").await;
    for n in 0..6 {
        let socket = alice.socket().await;
        match socket.subscribe(EVENTS, json!({})).hear().await {
            Heard::Next(_) => assert!(n < 3, "{n}"),
            Heard::Error(errors) => {
                assert!(n >= 3, "{n}: {errors}");
                assert_eq!(errors[0]["extensions"]["action"], "SUBSCRIBE", "{errors}");
            }
            other => panic!("{n}: {other:?}"),
        }
    }
});

story!(a_socket_on_which_nobody_signs_in_ends, |world| async {
    let server = world.server_with(Options::default().set("KITH_ANONYMOUS_SECONDS", "2")).await;
    let alice = server.person("alice").await;
    let signed_in = alice.socket().await;
    let mut idle = server.anonymous().raw_socket().await;
    idle.init(None).await;
    let ended = idle.ended(PATIENCE).await;
    assert_eq!(ended.code(), Some(4401), "{ended:?}");
    assert!(signed_in.is_open(), "who signed in may be silent");
    // Who asks may stay; the limit begins anew behind each answer.
    let busy = Socket::open(&server.anonymous()).await;
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(4) {
        assert!(matches!(busy.ask("{ server { version } }", json!({})).await, Heard::Next(_)));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(busy.is_open());
    assert_eq!(busy.ended(PATIENCE).await.code(), Some(4401));
});

story!(an_address_has_so_many_connections_and_no_more, |world| async {
    let options = Options::default()
        .rate_limits()
        .set("KITH_TRUSTED_PROXIES", "127.0.0.0/8")
        .set("KITH_MAX_CONNECTIONS_PER_ADDRESS", "2");
    let server = world.server_with(options).await;
    let open = async |address: &str| {
        let headers = vec![("x-forwarded-for", address.to_owned())];
        RawSocket::open(&server.url, Upgrade { headers, ..Upgrade::default() }).await
    };
    let one = open("203.0.113.7").await.expect("the first");
    let _two = open("203.0.113.7").await.expect("the second");
    let refused = open("203.0.113.7").await.err().expect("one too many").0;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("5")));
    let body = String::from_utf8_lossy(&refused.rest).into_owned();
    assert!(body.is_empty() || body.contains("RATE_LIMITED"), "{body}");
    let _other = open("203.0.113.8").await.expect("another address");
    let _network = open("2001:db8::1").await.expect("a third");
    let _network = open("2001:db8::2").await.expect("the second of its network");
    assert_eq!(open("2001:db8::3").await.err().expect("one too many").0.status, 429);
    drop(one);
    let _again = eventually("a place", async || open("203.0.113.7").await.ok()).await;
    // Streams have the same places.
    let alice = server.person("alice").await;
    let request = alice.http.post(format!("{}/graphql/stream", server.url)).bearer_auth(alice.access_token());
    let body = json!({"query": EVENTS}).to_string();
    let request = request.header("content-type", "application/json").header("x-forwarded-for", "203.0.113.7");
    let answer = Answer::read(request.body(body).send().await.expect("an answer")).await.expect("a whole one");
    assert_eq!((answer.status, answer.code()), (429, Some("RATE_LIMITED")), "{}", answer.text);
    assert_eq!(answer.header("retry-after"), Some("5"));
    // Requests are not held, so they are not counted.
    for _ in 0..5 {
        let request = alice.post().header("content-type", "application/json").header("x-forwarded-for", "203.0.113.7");
        let request = request.body(json!({"query": "{ viewer { id } }"}).to_string());
        let answer = Answer::read(request.send().await.expect("an answer")).await.expect("a whole one");
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
});
