//! Documents that a request names instead of sending them: automatic persisted queries and trusted documents.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{sqlite_story, story, support::*};

const ME: &str = "query Me { viewer { user { username } } }";
const SEND: &str = "mutation Send($input: SendMessageInput!) { sendMessage(input: $input) { messageEdge { cursor } } }";
const GRAPHQL: &str = "application/graphql-response+json";
const JSON: &str = "application/json";

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn persisted(hash: &str) -> Value {
    json!({"persistedQuery": {"version": 1, "sha256Hash": hash}})
}

/// POSTs a body.
async fn post(client: &Client, accept: &str, body: Value) -> Answer {
    let request = client.post().header("content-type", JSON).header("accept", accept).body(body.to_string());
    Answer::read(request.send().await.expect("the server answers")).await.expect("the answer is whole")
}

async fn get(client: &Client, parameters: &[(&str, &str)]) -> Answer {
    let request = client.http.get(format!("{}/graphql", client.url)).query(parameters).header("accept", GRAPHQL);
    let request = request.bearer_auth(client.token.as_deref().expect("a person"));
    Answer::read(request.send().await.expect("the server answers")).await.expect("the answer is whole")
}

/// Over the stream of server-sent events: the data of the first event.
async fn sse(client: &Client, body: Value) -> Value {
    let request = client.http.post(format!("{}/graphql/stream", client.url)).header("accept", "text/event-stream");
    let request = request.bearer_auth(client.token.as_deref().expect("a person")).header("content-type", JSON);
    let response = request.body(body.to_string()).send().await.expect("the server answers");
    let answer = Answer::read(response).await.expect("the answer is whole");
    let data = answer.text.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event with data");
    serde_json::from_str(data).expect("JSON")
}

/// Over the socket: what comes of the operation.
async fn ws(socket: &mut RawSocket, id: &str, payload: Value) -> Value {
    socket.send(json!({"type": "subscribe", "id": id, "payload": payload})).await;
    let answer = socket.next_json().await;
    assert_eq!(answer["id"], id);
    if answer["type"] == "next" {
        assert_eq!(socket.next_json().await["type"], "complete");
    }
    answer["payload"].clone()
}

fn is_error(error: &Value, code: &str, message: &str) {
    assert_eq!(error["extensions"]["code"], code, "{error}");
    assert_eq!(error["message"], message, "{error}");
}

fn not_found(errors: &Value) {
    assert_eq!(errors.as_array().map(Vec::len), Some(1), "{errors}");
    is_error(&errors[0], "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound");
}

story!(a_query_that_was_sent_once_is_named_by_its_hash, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    let hash = hash(ME);
    let extensions = persisted(&hash);

    for (accept, status) in [(GRAPHQL, 400), (JSON, 200)] {
        let answer = post(&alice, accept, json!({"extensions": extensions})).await;
        assert_eq!((answer.status, answer.media_type()), (status, accept));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "that nobody knows it is not remembered");
        assert!(answer.body.get("data").is_none());
        not_found(&answer.body["errors"]);
    }
    let mut socket = alice.raw_socket().await;
    socket.init(alice.token.as_deref()).await;
    not_found(&ws(&mut socket, "1", json!({"extensions": extensions})).await);
    not_found(&sse(&alice, json!({"extensions": extensions})).await["errors"]);
    not_found(&get(&alice, &[("extensions", &extensions.to_string())]).await.body["errors"]);

    let sent = post(&alice, GRAPHQL, json!({"query": ME, "extensions": extensions})).await;
    assert_eq!((sent.status, &sent.body["data"]["viewer"]["user"]["username"]), (200, &json!("alice")));

    // With no text, with an empty one as some clients send, by the newer name, in capital letters.
    for body in [
        json!({"extensions": extensions}),
        json!({"query": "", "extensions": extensions}),
        json!({"query": null, "extensions": extensions}),
        json!({"documentId": format!("sha256:{hash}")}),
        json!({"extensions": persisted(&hash.to_uppercase())}),
        json!({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash, "miss": false}}}),
    ] {
        for accept in [GRAPHQL, JSON] {
            let answer = post(&alice, accept, body.clone()).await;
            assert_eq!((answer.status, &answer.body), (200, &sent.body), "{body}");
        }
        assert_eq!(ws(&mut socket, "2", body.clone()).await, sent.body, "{body}");
        assert_eq!(sse(&alice, body.clone()).await, sent.body, "{body}");
    }
    let answer = get(&alice, &[("extensions", &extensions.to_string()), ("operationName", "Me")]).await;
    assert_eq!((answer.status, &answer.body), (200, &sent.body));
    assert_eq!(answer.header("cache-control"), Some("no-store"), "it is about who asks");
    assert_eq!(get(&alice, &[("documentId", &format!("sha256:{hash}"))]).await.body, sent.body);
    let nobody = post(&server.anonymous(), GRAPHQL, json!({"extensions": extensions})).await;
    assert_eq!(nobody.body["data"], json!({"viewer": null}), "the document is anybody's, the data is not");
});

story!(subscriptions_and_mutations_are_named_by_hashes_too, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let listen = persisted(&hash(MESSAGE_EVENTS));
    let mut socket = bob.raw_socket().await;
    socket.init(bob.token.as_deref()).await;
    let variables = json!({"conversationId": conversation});
    not_found(&ws(&mut socket, "1", json!({"extensions": listen, "variables": variables})).await);
    // A document of which an operation was refused is no news.
    let refused = json!({"query": MESSAGE_EVENTS, "extensions": listen, "variables": {}});
    assert_eq!(ws(&mut socket, "2", refused).await[0]["extensions"]["code"], "BAD_USER_INPUT");
    not_found(&ws(&mut socket, "3", json!({"extensions": listen, "variables": variables})).await);
    for (id, payload) in [
        ("4", json!({"query": MESSAGE_EVENTS, "extensions": listen, "variables": variables})),
        ("5", json!({"extensions": listen, "variables": variables})),
    ] {
        socket.send(json!({"type": "subscribe", "id": id, "payload": payload})).await;
        socket.round_trip().await;
    }
    // Both are live once both have heard the same.
    let mut heard = std::collections::BTreeSet::new();
    eventually("both subscriptions to hear", async || {
        alice.send(&conversation, "hello").await;
        for _ in 0..4 {
            let next = tokio::time::timeout(std::time::Duration::from_millis(200), socket.next_json()).await;
            let Ok(next) = next else { break };
            assert_eq!(next["type"], "next", "{next}");
            heard.insert(next["id"].to_string());
        }
        (heard.len() == 2).then_some(())
    })
    .await;

    let extensions = persisted(&hash(SEND));
    let variables = json!({"input": {"conversationId": conversation, "body": "by hash"}});
    let before = alice.sequences(&conversation).await.len();
    let first = json!({"query": SEND, "extensions": extensions, "variables": variables});
    assert_eq!(post(&alice, GRAPHQL, first).await.status, 200);
    let again = json!({"extensions": extensions, "variables": variables});
    assert_eq!(post(&alice, GRAPHQL, again).await.status, 200);
    let by_get = get(&alice, &[("extensions", &extensions.to_string()), ("variables", &variables.to_string())]).await;
    assert_eq!((by_get.status, by_get.header("allow")), (405, Some("POST")));
    assert_eq!(alice.sequences(&conversation).await.len(), before + 2, "and nothing is sent by a GET");
});

story!(what_does_not_fit_its_hash_is_refused_and_not_kept, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    let other = hash("query Other { viewer { email } }");
    for bad in [
        json!({"query": ME, "extensions": persisted(&other)}),
        json!({"query": ME, "extensions": persisted("")}),
        json!({"query": ME, "extensions": persisted("👋\u{0}")}),
        json!({"query": ME, "extensions": {"persistedQuery": {"version": 2, "sha256Hash": hash(ME)}}}),
        json!({"query": ME, "extensions": {"persistedQuery": "yes"}}),
        json!({"query": ME, "documentId": format!("sha256:{other}")}),
    ] {
        let answer = post(&alice, GRAPHQL, bad.clone()).await;
        assert_eq!((answer.status, answer.code()), (400, Some("BAD_USER_INPUT")), "{bad}: {}", answer.text);
    }
    let unknown = post(&alice, GRAPHQL, json!({"documentId": "home"})).await;
    assert_eq!((unknown.status, unknown.code()), (400, Some("PERSISTED_DOCUMENT_NOT_FOUND")));
    let both = post(&alice, GRAPHQL, json!({"documentId": "home", "query": ME})).await;
    assert_eq!(both.code(), Some("PERSISTED_DOCUMENT_NOT_FOUND"));
    let neither = post(&alice, GRAPHQL, json!({"variables": {}})).await;
    assert_eq!((neither.status, neither.code()), (400, Some("BAD_USER_INPUT")));
    for (text, code) in [
        ("{ viewer", "GRAPHQL_PARSE_FAILED"),
        ("{ ...F } fragment F on Query { ...F }", "GRAPHQL_VALIDATION_FAILED"),
        (&format!("{{ {} }}", "__typename ".repeat(500)), "TOO_COMPLEX"),
    ] {
        let extensions = persisted(&hash(text));
        let sent = post(&alice, GRAPHQL, json!({"query": text, "extensions": extensions})).await;
        assert_eq!(sent.code(), Some(code));
        not_found(&post(&alice, GRAPHQL, json!({"extensions": extensions})).await.body["errors"]);
    }
    not_found(&post(&alice, GRAPHQL, json!({"extensions": persisted(&other)})).await.body["errors"]);
    not_found(&post(&alice, GRAPHQL, json!({"extensions": persisted(&hash(ME))})).await.body["errors"]);
});

/// A directory with a file, a manifest of Apollo's and one of graphql-codegen's.
fn trusted_directory(world: &World) -> std::path::PathBuf {
    let directory = world.file("trusted");
    std::fs::create_dir(&directory).expect("is made");
    let register = "mutation Register($input: RegisterInput!) { register(input: $input) { accessToken refreshToken \
                    viewer { id user { id username } } accessTokenExpiresAt userErrors { code message field } } }";
    let manifest = json!({
        "format": "apollo-persisted-query-manifest", "version": 1,
        "operations": [{"id": "apollo-me", "name": "Me", "type": "query", "body": ME}],
    });
    let codegen = json!({"listen": MESSAGE_EVENTS, hash(register): register});
    for (name, text) in [
        ("send.graphql", SEND.to_owned()),
        ("server.graphql", "query Server { server { version featureLevel } }".to_owned()),
        ("manifest.json", manifest.to_string()),
        ("persisted-documents.json", codegen.to_string()),
    ] {
        std::fs::write(directory.join(name), text).expect("is written");
    }
    directory
}

story!(where_documents_are_trusted_only_those_run, |world| async {
    let plain = world.server().await;
    let (alice, _bob, conversation) = plain.friends("alice", "bob").await;
    plain.terminate().await;
    let options = Options::default().set("KITH_TRUSTED_DOCUMENTS", trusted_directory(world).display());
    let server = world.server_with(options.clone()).await;
    let alice = alice.at(&server);
    let me = json!({"viewer": {"user": {"username": "alice"}}});

    let mut socket = alice.raw_socket().await;
    socket.init(alice.token.as_deref()).await;
    for body in [
        json!({"query": ME}),
        json!({"documentId": "apollo-me"}),
        json!({"documentId": "apollo-me", "query": ME}),
        json!({"documentId": format!("sha256:{}", hash(ME))}),
        json!({"extensions": persisted("apollo-me")}),
        json!({"extensions": persisted(&hash(ME))}),
        json!({"query": ME, "extensions": persisted(&hash(ME))}),
    ] {
        let answer = post(&alice, GRAPHQL, body.clone()).await;
        assert_eq!((answer.status, &answer.body["data"]), (200, &me), "{body}");
        assert_eq!(ws(&mut socket, "1", body.clone()).await["data"], me, "{body}");
        assert_eq!(sse(&alice, body.clone()).await["data"], me, "{body}");
    }
    assert_eq!(get(&alice, &[("documentId", "apollo-me")]).await.body["data"], me);
    assert_eq!(get(&alice, &[("documentId", "server")]).await.body["data"]["server"]["version"], "0.1.0");
    let listen = json!({"documentId": "listen", "variables": {"conversationId": conversation}});
    socket.send(json!({"type": "subscribe", "id": "2", "payload": listen})).await;
    eventually("the subscription to hear", async || {
        let input = json!({"conversationId": conversation, "body": "hello"});
        let sent = post(&alice, GRAPHQL, json!({"documentId": "send", "variables": {"input": input}})).await;
        assert!(sent.errors().is_empty(), "{}", sent.text);
        let next = tokio::time::timeout(std::time::Duration::from_millis(500), socket.next_json()).await.ok()?;
        assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!("2")), "{next}");
        Some(())
    })
    .await;

    // Everything else is refused, wherever and however it comes.
    let other = "query Me { viewer { user { username } } } ";
    let introspection = "{ __schema { types { name } } }";
    for text in [other, introspection, "{ viewer { email } }", "{", ""] {
        let answer = post(&alice, GRAPHQL, json!({"query": text})).await;
        assert_eq!((answer.status, answer.code()), (400, Some("DOCUMENT_NOT_TRUSTED")), "{text}");
        assert_eq!(post(&alice, JSON, json!({"query": text})).await.status, 200);
        let refused = ws(&mut socket, "3", json!({"query": text})).await;
        assert!(refused.to_string().contains("DOCUMENT_NOT_TRUSTED"), "{text}: {refused}");
        let refused = sse(&alice, json!({"query": text})).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "DOCUMENT_NOT_TRUSTED", "{text}");
    }
    let extensions = persisted(&hash(other));
    assert_eq!(get(&alice, &[("query", other)]).await.code(), Some("DOCUMENT_NOT_TRUSTED"));
    let sent = post(&alice, GRAPHQL, json!({"query": other, "extensions": extensions})).await;
    assert_eq!(sent.code(), Some("DOCUMENT_NOT_TRUSTED"));
    // Not "not found": sending the text would not help.
    let named = post(&alice, GRAPHQL, json!({"extensions": extensions})).await;
    is_error(&named.errors()[0], "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported");
    let unknown = post(&alice, GRAPHQL, json!({"documentId": "email"})).await;
    assert_eq!(unknown.code(), Some("PERSISTED_DOCUMENT_NOT_FOUND"));
    let mismatch = post(&alice, GRAPHQL, json!({"documentId": "apollo-me", "query": other})).await;
    assert_eq!(mismatch.code(), Some("BAD_USER_INPUT"));

    server.terminate().await;
    let also = world.server_with(options.set("KITH_TRUSTED_DOCUMENTS_MODE", "also")).await;
    let alice = alice.at(&also);
    for body in [
        json!({"query": other, "extensions": extensions}),
        json!({"extensions": extensions}),
        json!({"documentId": "apollo-me"}),
        json!({"query": other}),
    ] {
        assert_eq!(post(&alice, GRAPHQL, body.clone()).await.body["data"], me, "{body}");
    }
});

sqlite_story!(a_bad_trusted_document_stops_the_start, |world| async {
    for (name, text, why) in [
        ("a.graphql", "{ viewer { password } }", "Unknown field \"password\" on type \"Viewer\""),
        ("b.graphql", "{ viewer {", "Syntax error at line 1"),
        ("c.json", "{\"x\": 1}", "neither a manifest nor an object of ids and texts"),
    ] {
        let directory = world.file("trusted");
        std::fs::create_dir(&directory).expect("is made");
        std::fs::write(directory.join(name), text).expect("is written");
        let options = Options::default().set("KITH_TRUSTED_DOCUMENTS", directory.display());
        let output = world.kith(&["serve"], options).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(&format!("{name}: ")) && said.contains(why), "{said}");
    }
    let output = world.kith(&["serve"], Options::default().set("KITH_TRUSTED_DOCUMENTS", "/nowhere")).await;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("/nowhere: "), "{output:?}");
});
