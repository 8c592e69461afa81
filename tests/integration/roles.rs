//! Processes of one role, and the proxy in front of them.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::{full_story, joined_story, sqlite_story, story, support::*};

fn api() -> Options {
    Options::default().set("KITH_ROLE", "api").set("KITH_TRUSTED_PROXIES", "127.0.0.0/8")
}

fn realtime() -> Options {
    Options::default().set("KITH_ROLE", "realtime").set("KITH_TRUSTED_PROXIES", "127.0.0.0/8")
}

/// Two friends use a service by one address, as any client would.
async fn is_one_service(api: &Server, url: &str) {
    let (alice, bob, conversation) = api.friends("alice", "bob").await;
    let (alice, bob) = (alice.via(url), bob.via(url));
    let (alice_socket, bob_socket) = tokio::join!(alice.socket(), bob.socket());
    let (mut bob_follows, _) = bob_socket.follow(None).await;
    let mut alice_hears = alice_socket.listen(&conversation, &bob).await;
    let mut bob_hears = bob_socket.listen(&conversation, &alice).await;
    alice_hears.up_to_now(&alice, &conversation).await;
    let mut stream =
        EventSource::open(&bob, MESSAGE_EVENTS, json!({"conversationId": conversation})).await.expect("a stream");
    for n in 0..20 {
        let speaker = if n % 2 == 0 { &alice } else { &bob };
        let sent = speaker.send(&conversation, &format!("{n}")).await;
        for ears in [&mut alice_hears, &mut bob_hears] {
            assert_eq!(ears.next().await["messageEdge"]["node"]["id"], sent["id"]);
        }
    }
    let (kind, event) = stream.next().await.expect("an event");
    assert_eq!((kind.as_str(), event["data"]["messageEvents"]["type"].as_str()), ("next", Some("ADDED")), "{event}");
    let newest = alice.conversation(&conversation, "lastMessage { sequence }").await;
    // Bob spoke last, so that Alice has something to read.
    alice.mark_read(&conversation, newest["lastMessage"]["sequence"].as_i64().expect("a number")).await.ok();
    bob_follows.until(|event| event["__typename"] == "ReadReceipt" && event["user"]["id"] == alice.id.as_str()).await;

    bob.ask("mutation { logout { userErrors { code } } }", json!({})).await;
    let ended = bob_socket.ended(Duration::from_secs(2)).await;
    assert_eq!(ended.code(), Some(1008), "{ended:?}");
    assert!(alice_socket.is_open());
}

joined_story!(two_of_each_role_are_one_service, |world| async {
    let (api_1, realtime_1) = (world.server_with(api()).await, world.server_with(realtime()).await);
    let (api_2, realtime_2) = (world.server_with(api()).await, world.server_with(realtime()).await);
    let crossing = Crossing::of(&[&api_1, &api_2], &[&realtime_1, &realtime_2]).await;
    is_one_service(&api_1, &crossing.url()).await;
    for server in [api_1, realtime_1, api_2, realtime_2] {
        assert!(server.terminate().await.success());
    }
});

full_story!(what_belongs_to_the_other_role_is_refused_clearly, |world| async {
    let (api, realtime) = (world.server_with(api()).await, world.server_with(realtime()).await);
    let (alice, bob, conversation) = api.friends("alice", "bob").await;

    // An api has no subscriptions, neither for those who ask well nor for those who do not.
    let refused = RawSocket::open(&api.url, Upgrade::default()).await.err().expect("refused").0;
    assert_eq!((refused.status, refused.header("kith-role")), (421, Some("api")));
    let stream = EventSource::open(&alice, MESSAGE_EVENTS, json!({"conversationId": conversation})).await;
    let stream = stream.err().expect("refused");
    let plain = api.anonymous().get("/graphql/ws").await;
    for answer in [&stream, &plain] {
        assert_eq!((answer.status, answer.header("kith-role"), answer.code()), (421, Some("api"), Some("FORBIDDEN")));
        let message = answer.errors()[0]["message"].as_str().expect("a message");
        assert!(message.contains("realtime") && answer.body.get("data").is_none(), "{}", answer.text);
        assert_eq!(answer.errors()[0]["extensions"]["role"], "api");
    }

    // A realtime changes nothing, on no road, and says so; it answers questions.
    let there = alice.at(&realtime);
    let before = alice.history(&conversation).await.len();
    let input = json!({"conversationId": conversation, "body": "Nobody will read this."});
    let mutation = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { messageEdge { cursor } } }";
    let by_http = there.graphql(mutation, json!({"input": input})).await;
    let by_stream = EventSource::open(&there, mutation, json!({"input": input})).await.err().expect("refused");
    for answer in [&by_http, &by_stream] {
        let seen = (answer.status, answer.header("kith-role"), answer.code());
        assert_eq!(seen, (421, Some("realtime"), Some("FORBIDDEN")), "{}", answer.text);
        assert!(answer.text.contains("role api") && answer.body.get("data").is_none(), "{}", answer.text);
    }
    let socket = there.socket().await;
    match socket.ask(mutation, json!({"input": input})).await {
        Heard::Error(errors) => {
            assert_eq!(errors[0]["extensions"], json!({"code": "FORBIDDEN", "role": "realtime"}), "{errors}");
        }
        other => panic!("{other:?}"),
    }
    let query = "query($id: ID!) { conversation(id: $id) { lastMessage { sequence } } }";
    let asked = there.ask(query, json!({"id": conversation})).await;
    assert!(
        matches!(socket.ask(query, json!({"id": conversation})).await, Heard::Next(answer) if answer["data"] == asked)
    );
    assert_eq!(alice.history(&conversation).await.len(), before, "nothing was changed");
    assert!(socket.is_open());
    let mut ears = socket.listen(&conversation, &bob).await;
    let said = bob.send(&conversation, "This you hear.").await;
    assert_eq!(ears.next().await["messageEdge"]["node"]["id"], said["id"]);

    // Both are looked after in the same way; only one shows the playground.
    for (server, name, playground) in [(&api, "api", 200), (&realtime, "realtime", 404)] {
        assert_eq!(server.anonymous().get("/health/live").await.status, 200);
        let ready = server.anonymous().get("/health/ready").await;
        assert_eq!((&ready.body["role"], &ready.body["status"]), (&json!(name), &json!("ready")), "{}", ready.text);
        assert!(server.anonymous().get("/metrics").await.text.contains("kith_connections"));
        assert_eq!(server.anonymous().get("/").await.status, playground, "{name}");
    }
    assert!(api.terminate().await.success());
    let (status, ended) = tokio::join!(realtime.terminate(), socket.ended(PATIENCE));
    assert!(status.success());
    assert_eq!(ended.code(), Some(1012), "{ended:?}");
});

sqlite_story!(one_role_alone_does_not_start, |world| async {
    for (role, redis) in [("api", ""), ("realtime", ""), ("api", "redis://127.0.0.1:1")] {
        let options = Options::default().set("KITH_ROLE", role).redis(redis);
        let output = world.kith(&["serve"], options).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(role) && said.contains("PostgreSQL and Redis"), "{said}");
    }
    assert!(!world.dir().join("kith.db").exists(), "nothing was touched");
});

story!(metrics_can_have_an_address_of_their_own, |world| async {
    // Taken and given back: nobody else takes it so soon.
    let port =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.and_then(|it| it.local_addr()).expect("a port").port();
    let server = world.server_with(Options::default().set("KITH_METRICS_LISTEN", format!("127.0.0.1:{port}"))).await;
    server.person("alice").await;
    let watcher = server.anonymous().via(&format!("http://127.0.0.1:{port}"));
    let shown = watcher.get("/metrics").await;
    assert!(shown.status == 200 && shown.text.contains("kith_operations_total"), "{}", shown.text);
    assert_eq!(watcher.get("/health/ready").await.status, 200);
    assert_eq!(server.anonymous().get("/metrics").await.status, 404, "not for everybody");
    for path in ["/graphql?query=%7Bviewer%7Bid%7D%7D", "/", "/schema.graphql"] {
        assert_eq!(watcher.get(path).await.status, 404, "{path}");
    }
    let taken = Options::default().set("KITH_METRICS_LISTEN", format!("127.0.0.1:{port}"));
    let output = world.kith(&["serve"], taken.database(format!("sqlite://{}", world.file("other.db").display()))).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use"), "{output:?}");
    assert!(server.terminate().await.success());
});

full_story!(the_sample_for_nginx_works, |world| async {
    let Some(program) =
        ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].into_iter().find(|it| Path::new(it).exists())
    else {
        return println!("not run: there is no nginx here");
    };
    let (api, realtime) = (world.server_with(api()).await, world.server_with(realtime()).await);
    let port =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.and_then(|it| it.local_addr()).expect("a port").port();
    let sample = include_str!("../../docs/deploy/nginx.conf")
        .replace("api:8000", &format!("127.0.0.1:{}", api.port))
        .replace("realtime:8000", &format!("127.0.0.1:{}", realtime.port))
        .replace("listen 80;", &format!("listen 127.0.0.1:{port};"));
    for port in [api.port, realtime.port, port] {
        assert!(
            sample.contains(&format!("127.0.0.1:{port};")),
            "the sample names what the story puts in place: {sample}"
        );
    }
    let (dir, config) = (world.file("nginx"), world.file("nginx.conf"));
    std::fs::create_dir(&dir).expect("a directory can be made");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};\n", dir.display()))
        .concat();
    let whole = format!(
        "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log {0}/error.log;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}{sample}}}\n",
        dir.display()
    );
    std::fs::write(&config, whole).expect("the configuration can be written");
    let mut nginx = tokio::process::Command::new(program)
        .arg("-c")
        .arg(&config)
        .arg("-e")
        .arg(dir.join("error.log"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nginx can be started");
    let url = format!("http://127.0.0.1:{port}");
    eventually("nginx to listen", async || {
        if let Some(status) = nginx.try_wait().expect("nginx can be asked") {
            panic!("{status}: {}", std::fs::read_to_string(dir.join("error.log")).unwrap_or_default());
        }
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok().then_some(())
    })
    .await;
    is_one_service(&api, &url).await;
    let client = api.anonymous().via(&url);
    assert_eq!(client.get("/metrics").await.status, 404);
    assert_eq!(client.get("/health/ready").await.body["role"], "api");
    let version: Value = client.ask("{ server { version } }", json!({})).await;
    assert!(version["server"]["version"].is_string());
    nginx.kill().await.expect("nginx ends");
});
