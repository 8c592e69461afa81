//! Documents that would cost too much are refused before anything runs (G11).

use serde_json::{Value, json};

use crate::{story, support::*};

/// Fragments of which each spreads the next `n_spreads` times, `n_levels` deep.
fn bomb(n_levels: usize, n_spreads: usize) -> String {
    let mut document = String::from("{ ...F0 }");
    for level in 0..n_levels {
        document.push_str(&format!(
            " fragment F{level} on Query {{ {} }}",
            format!("...F{} ", level + 1).repeat(n_spreads)
        ));
    }
    document.push_str(&format!(" fragment F{n_levels} on Query {{ __typename }}"));
    document
}

/// The same shape with inline fragments and aliased fields, whose size is as it seems.
fn nested(n_levels: usize) -> String {
    let mut document = String::from("{ viewer { user {");
    for _ in 0..n_levels {
        document.push_str(" conversation { peer {");
    }
    document.push_str(" id");
    for _ in 0..n_levels {
        document.push_str(" } }");
    }
    document.push_str(" } } }");
    document
}

async fn refused(client: &Client, what: &str, query: &str, variables: Value) -> String {
    let answer = client.graphql(query, variables).await;
    assert_eq!(answer.status, 400, "{what}: {}", answer.text);
    assert!(answer.body.get("data").is_none(), "{what}: {}", answer.text);
    assert!(answer.text.len() < 1000, "{what}: one short error, not {} bytes", answer.text.len());
    answer.code().unwrap_or("none").to_owned()
}

story!(documents_that_would_explode_are_refused, |world| async {
    let server = world.server().await;
    let (alice, _bob, _conversation) = server.friends("alice", "bob").await;
    let aliases = |n: usize| format!("{{ {} }}", (0..n).map(|n| format!("a{n}: __typename ")).collect::<String>());
    let logins: String = (0..100)
        .map(|n| format!("a{n}: login(input: {{identifier: \"alice\", password: \"guess {n}\"}}) {{ accessToken }} "))
        .collect();
    let too_complex = [
        ("22 levels of 2 spreads", bomb(22, 2)),
        ("8 levels of 8 spreads", bomb(8, 8)),
        ("30 levels of 2 spreads", bomb(30, 2)),
        ("4 levels of 40 spreads", bomb(4, 40)),
        ("7 levels of 14 spreads", bomb(7, 14)),
        ("101 aliases", aliases(101)),
        ("500 times the same field", format!("{{ {} }}", "__typename ".repeat(500))),
        ("100 guesses of a password in one request", format!("mutation {{ {logins} }}")),
        ("depth 100", nested(50)),
        ("a directive a thousand times", format!("{{ __typename {} }}", "@include(if: true) ".repeat(1000))),
        ("a big document", format!("{{ __typename }} # {}", "x".repeat(40_000))),
    ];
    for (what, query) in too_complex {
        assert_eq!(refused(&alice, what, &query, json!({})).await, "TOO_COMPLEX", "{what}");
    }
    let refused_somehow = [
        ("30 000 brackets", "{a".repeat(15_000)),
        ("30 000 brackets in a value", format!("{{ user(username: {}) {{ id }} }}", "[".repeat(30_000))),
        ("a deep value", format!("{{ user(username: {}1{}) {{ id }} }}", "[".repeat(2_000), "]".repeat(2_000))),
        ("a deep object", format!("{{ user(username: {}1{}) {{ id }} }}", "{a:".repeat(2_000), "}".repeat(2_000))),
        ("a deep type", format!("query($a: {}Int{}) {{ __typename }}", "[".repeat(5_000), "]".repeat(5_000))),
        ("fragments in a circle", "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".to_owned()),
        ("a fragment in itself", "{ ...A } fragment A on Query { __typename ...A }".to_owned()),
        (
            "ten unknown directives",
            format!("{{ server {{ version {} }} }}", (0..10).map(|n| format!("@no{n} ")).collect::<String>()),
        ),
        (
            "introspection in a circle",
            format!(
                "{{ __schema {{ types {{ fields {{ type {{ {} name {} }} }} }} }} }}",
                "fields { type { ".repeat(12),
                "} }".repeat(12)
            ),
        ),
        ("a hundred operations", (0..100).map(|n| format!("query Q{n} {{ __typename }} ")).collect()),
        ("control characters", "{ \u{0} \u{1} }".to_owned()),
        ("an endless string", format!("{{ user(username: \"{}", "x".repeat(10_000))),
    ];
    for (what, query) in refused_somehow {
        let code = refused(&alice, what, &query, json!({})).await;
        assert_ne!(code, "INTERNAL", "{what}");
    }
    // Variables can be absurd too.
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    for (what, variables) in [
        ("a deep value", json!({"name": deep})),
        ("a long value", json!({"name": "x".repeat(100_000)})),
        ("many values", json!({"name": "x", "more": vec![0; 20_000]})),
    ] {
        let answer = alice.graphql("query($name: String!) { user(username: $name) { id } }", variables).await;
        assert_ne!(answer.code(), Some("INTERNAL"), "{what}: {}", answer.text);
        assert!(answer.text.len() < 2000, "{what}: {} bytes", answer.text.len());
    }
    // What people really send passes.
    let reasonable = "{ viewer { user { username } friends(first: 20) { nodes { username } }
        conversations(first: 20) { nodes { id unreadCount lastMessage { body sender { username } } } } } }";
    assert_eq!(alice.graphql(reasonable, json!({})).await.errors(), &[] as &[Value]);
    assert_eq!(alice.graphql(&aliases(10), json!({})).await.errors(), &[] as &[Value]);
    assert_eq!(alice.graphql(&bomb(3, 2), json!({})).await.errors(), &[] as &[Value]);
});

story!(a_literal_may_have_any_escape_of_graphql, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let send = async |literal: &str| {
        let query = format!(
            "mutation {{ sendMessage(input: {{conversationId: \"{conversation}\", body: {literal}}}) {{
                messageEdge {{ node {{ body }} }} userErrors {{ code }} }} }}"
        );
        alice.graphql(&query, json!({})).await
    };
    for (literal, body) in [
        (r#""\ud83d\udc4d""#, "👍"),
        (r#""\u{1F600} \u{e4}\u00e4""#, "😀 ää"),
        (r#""\\ud83d""#, r"\ud83d"),
        (r#""""\ud83d""""#, r"\ud83d"),
    ] {
        let sent = send(literal).await;
        assert_eq!(sent.body["data"]["sendMessage"]["messageEdge"]["node"]["body"], body, "{}", sent.text);
    }
    let said: Vec<Value> = bob.history(&conversation).await.iter().map(|message| message["body"].clone()).collect();
    assert_eq!(said.len(), 4);
    for half in [r#""\ud83d""#, r#""\udc4d\ud83d""#, r#""\u{d83d}""#, r#""\u{110000}""#] {
        let refused = send(half).await;
        assert_eq!((refused.status, refused.code()), (400, Some("GRAPHQL_PARSE_FAILED")), "{}", refused.text);
    }
});

story!(a_page_costs_as_much_as_it_may_hold, |world| async {
    let server = world.server().await;
    let (alice, _bob, _conversation) = server.friends("alice", "bob").await;
    let nested = |outer: &str, inner: &str| {
        format!(
            "query($n: Int) {{ viewer {{ conversations({outer}) {{ nodes {{ messages({inner}) {{ nodes {{ body sender {{ username }} }} }} }} }}
                friends(first: $n) {{ totalCount }} }} }}"
        )
    };
    for (outer, inner) in [("first: 100", "first: 100"), ("first: 100", "last: 100"), ("first: $n", "first: $n")] {
        let code = refused(&alice, inner, &nested(outer, inner), json!({"n": 100})).await;
        assert_eq!(code, "TOO_COMPLEX", "{outer}, {inner}");
    }
    let small = alice.graphql(&nested("first: 2", "last: 2"), json!({"n": 1})).await;
    assert_eq!(small.errors(), &[] as &[Value], "{}", small.text);
    let by_variable = alice.graphql(&nested("first: $n", "first: $n"), json!({"n": 2})).await;
    assert_eq!(by_variable.errors(), &[] as &[Value], "{}", by_variable.text);
    // A page of a hundred messages is what the ceiling is for.
    let page = "{ viewer { conversations(first: 1) { nodes { messages(first: 100) { nodes { body sender { username } } } } } } }";
    assert_eq!(alice.graphql(page, json!({})).await.errors(), &[] as &[Value]);
    // Lists of ids count as what they ask for.
    let ids: Vec<&str> = vec![alice.id.as_str(); 5000];
    let answer = alice.graphql("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", json!({"ids": ids})).await;
    assert!(
        matches!(answer.code(), Some("TOO_COMPLEX" | "BAD_USER_INPUT")),
        "{}",
        &answer.text[..answer.text.len().min(300)]
    );
});

story!(the_limits_in_force_are_told, |world| async {
    let server = world.server().await;
    let query = "{ server { version featureLevel limits {
        maxPageSize maxMessageLength maxGroupMembers maxDepth maxComplexity accessTokenSeconds } } }";
    let limits = server.anonymous().ask(query, json!({})).await["server"]["limits"].take();
    assert_eq!(limits["maxPageSize"], 100);
    assert_eq!(limits["maxMessageLength"], 4000);
    assert_eq!(limits["accessTokenSeconds"], 900);
    for name in ["maxDepth", "maxComplexity", "maxGroupMembers"] {
        assert!(limits[name].as_i64().is_some_and(|limit| limit > 0), "{limits}");
    }
});

/// What explorers and code generators ask.
const INTROSPECTION: &str = "query IntrospectionQuery {
    __schema {
        description
        queryType { name kind } mutationType { name kind } subscriptionType { name kind }
        types { ...FullType }
        directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } }
    }
}
fragment FullType on __Type {
    kind name description specifiedByURL isOneOf
    fields(includeDeprecated: true) {
        name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason
    }
    inputFields(includeDeprecated: true) { ...InputValue }
    interfaces { ...TypeRef }
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
    possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue {
    name description type { ...TypeRef } defaultValue isDeprecated deprecationReason
}
fragment TypeRef on __Type {
    kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
        kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }
}";

story!(the_schema_can_be_introspected_in_development_and_not_in_production, |world| async {
    let server = world.server().await;
    let answer = server.anonymous().graphql(INTROSPECTION, json!({})).await;
    assert_eq!(answer.errors(), &[] as &[Value]);
    let types = answer.body["data"]["__schema"]["types"].as_array().expect("types");
    assert!(types.iter().any(|kind| kind["name"] == "Message"));
    let invite = types.iter().find(|kind| kind["name"] == "SendInviteInput").expect("the type is there");
    assert_eq!(invite["isOneOf"], true);
    let misspelt = server.anonymous().graphql("{ sever { version } }", json!({})).await;
    assert_eq!(misspelt.status, 400);
    assert!(server.terminate().await.success());

    let production = || Options::default().set("KITH_ENV", "production");
    let server = world.server_with(production()).await;
    for query in [INTROSPECTION, "{ __schema { queryType { name } } }", "{ __type(name: \"Message\") { name } }"] {
        let answer = server.anonymous().graphql(query, json!({})).await;
        assert!(!answer.text.contains("\"Message\"") && !answer.text.contains("\"Query\""), "{}", answer.text);
        assert!(!answer.errors().is_empty(), "it is said that it is off: {}", answer.text);
    }
    let typename = server.anonymous().ask("{ __typename server { __typename version } }", json!({})).await;
    assert_eq!(typename["server"]["__typename"], "ServerInfo", "__typename is no introspection");
    let misspelt = server.anonymous().graphql("{ sever { version } }", json!({})).await;
    assert!(!misspelt.text.contains("server"), "no suggestions: {}", misspelt.text);
    assert!(server.terminate().await.success());

    let server = world.server_with(production().set("KITH_INTROSPECTION", "on")).await;
    let answer = server.anonymous().graphql("{ __schema { queryType { name } } }", json!({})).await;
    assert_eq!(answer.body["data"]["__schema"]["queryType"]["name"], "Query", "{}", answer.text);
});
