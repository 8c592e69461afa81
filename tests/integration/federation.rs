//! A subgraph of a federated graph: what a router asks for, through the same gates.

use serde_json::{Value, json};

use crate::{npm_clients, schema, sqlite_story, story, support::*};

const ENTITIES: &str = "query($representations: [_Any!]!) { _entities(representations: $representations) { __typename
    ... on User { id username } ... on Message { id body } ... on Invite { id status }
    ... on DirectConversation { id viewerCanSend } ... on Group { id name } } }";

fn key(name: &str, id: &str) -> Value {
    json!({"__typename": name, "id": id})
}

async fn entities(client: &Client, representations: Value) -> Answer {
    client.graphql(ENTITIES, json!({"representations": representations})).await
}

sqlite_story!(the_subgraph_composes_with_others, |world| async {
    let output = world.kith(&["schema", "--federation"], Options::default()).await;
    assert!(output.status.success(), "{output:?}");
    let subgraph = world.file("subgraph.graphql");
    std::fs::write(&subgraph, &output.stdout).expect("is written");
    let plain = world.file("schema.graphql");
    std::fs::write(&plain, schema::committed()).expect("is written");
    let mut compose = npm_clients::script("compose.mjs");
    compose.env("KITH_SUBGRAPH", subgraph).env("KITH_SCHEMA", plain);
    npm_clients::run(compose).await;
});

story!(a_router_gets_entities_through_the_gates_of_who_asks, |world| async {
    let server = world.server_with(Options::default().set("KITH_FEDERATION", "on")).await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let (stranger, guest) = tokio::join!(server.person("stranger"), server.person("guest"));
    let message = alice.send(&conversation, "between us").await["id"].as_str().expect("an id").to_owned();
    let invite = alice.invite(&guest).await.ok()["invite"]["id"].as_str().expect("an id").to_owned();

    let group = alice.create_group("Chess").await;

    let printed = world.kith(&["schema", "--federation"], Options::default()).await.stdout;
    let service = server.anonymous().ask("{ _service { sdl } }", json!({})).await;
    assert_eq!(service["_service"]["sdl"], String::from_utf8(printed).expect("UTF-8"));

    let all = json!([
        key("User", &alice.id),
        key("Message", &message),
        key("Invite", &invite),
        key("DirectConversation", &conversation),
        key("User", &bob.id),
        key("Group", &group),
        // Not of the type that it is said to be.
        key("User", &message),
        key("Message", "msg_00000000000000000000000000"),
    ]);
    let seen = |answer: &Answer| -> Vec<bool> {
        let found = answer.body["data"]["_entities"].as_array().expect("a list");
        found.iter().map(|entity| !entity.is_null()).collect()
    };
    let of_alice = entities(&alice, all.clone()).await;
    assert_eq!(
        of_alice.body["data"]["_entities"],
        json!([
            {"__typename": "User", "id": alice.id, "username": "alice"},
            {"__typename": "Message", "id": message, "body": "between us"},
            {"__typename": "Invite", "id": invite, "status": "PENDING"},
            {"__typename": "DirectConversation", "id": conversation, "viewerCanSend": true},
            {"__typename": "User", "id": bob.id, "username": "bob"},
            {"__typename": "Group", "id": group, "name": "Chess"},
            null,
            null,
        ])
    );
    assert_eq!(seen(&entities(&bob, all.clone()).await), [true, true, false, true, true, false, false, false]);
    assert_eq!(seen(&entities(&guest, all.clone()).await), [true, false, true, false, false, false, false, false]);
    assert_eq!(seen(&entities(&stranger, all.clone()).await), [false; 8]);
    assert_eq!(entities(&server.anonymous(), all).await.code(), Some("UNAUTHENTICATED"));

    for bad in [
        json!([key("Viewer", "viewer_00000000000000000000000000")]),
        json!([key("User", "nonsense\u{0}")]),
        json!([{"__typename": "User"}]),
        json!([{"id": alice.id}]),
        json!([7, null]),
        json!([{"__typename": ["User"], "id": {}}]),
    ] {
        let answer = entities(&alice, bad.clone()).await;
        assert_eq!(answer.code(), Some("BAD_USER_INPUT"), "{bad}: {}", answer.text);
    }
    assert_eq!(entities(&alice, json!([])).await.body["data"]["_entities"], json!([]));
    let costly = "query($representations: [_Any!]!) { _entities(representations: $representations) {
        ... on User { conversation { messages(last: 100) { nodes { id } } } } } }";
    let many: Vec<Value> = (0..200).map(|_| key("User", &bob.id)).collect();
    let answer = alice.graphql(costly, json!({"representations": many})).await;
    assert_eq!((answer.status, answer.code()), (400, Some("TOO_COMPLEX")), "a list counts: {}", answer.text);
});

story!(who_is_no_subgraph_has_no_entities, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    for query in ["{ _service { sdl } }", "{ _entities(representations: []) { __typename } }"] {
        assert_eq!(alice.graphql(query, json!({})).await.code(), Some("GRAPHQL_VALIDATION_FAILED"), "{query}");
    }
});
