//! Finding messages by their words.

use futures_util::future::join_all;
use kith::messages::search::{FIND_ON_POSTGRES, FIND_ON_SQLITE, PLAN_ON_POSTGRES};
use serde_json::{Value, json};
use sqlx::{Connection, Row};

use crate::{full_story, story, support::*};

const SEARCH: &str = "query($query: String!, $in: ID, $first: Int, $after: String) {
    searchMessages(query: $query, conversationId: $in, first: $first, after: $after) {
        edges { cursor node { id body } } pageInfo { hasNextPage hasPreviousPage endCursor } } }";

async fn page(person: &Client, arguments: Value) -> Value {
    person.ask(SEARCH, arguments).await["searchMessages"].take()
}

fn bodies(page: &Value) -> Vec<String> {
    let edges = page["edges"].as_array().expect("edges").iter();
    edges.map(|edge| edge["node"]["body"].as_str().expect("a body").to_owned()).collect()
}

/// The bodies of what somebody finds, newest first.
async fn find(person: &Client, query: &str) -> Vec<String> {
    bodies(&page(person, json!({"query": query, "first": 100})).await)
}

story!(messages_are_found_by_their_words, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let said = [
        "The quick brown fox jumps over the lazy dog.",
        "Über den Wolken im CAFÉ",
        "brown and quick, said the fox",
        "see https://example.org/quick?x=1 or mail a.b@example.org",
        "東京で会いましょう",
        "don't panic: 3.14 is not π",
        "or and not near",
        "🦀 crab",
        "Ёлка и ёж",
        "foo-bar_baz",
    ];
    for body in said {
        bob.send(&conversation, body).await;
    }
    // The message's numbers, newest first.
    for (query, expected) in [
        ("quick", &[3, 2, 0][..]),
        ("QUICK fox", &[2, 0]),
        ("quick brown", &[2, 0]),
        ("\"quick brown\"", &[0]),
        ("\"brown quick\"", &[]),
        ("\"brown and quick\" fox", &[2]),
        ("quick -fox", &[3]),
        ("fox -\"lazy dog\"", &[2]),
        ("quick -fox -mail", &[]),
        ("cafe", &[1]),
        ("uber", &[1]),
        ("ÜBER wolken", &[1]),
        ("東京", &[4]),
        ("会い", &[4]),
        ("京東", &[]),
        ("don't", &[5]),
        ("3.14 π", &[5]),
        ("or", &[6, 3]),
        ("NOT", &[6, 5]),
        ("near or", &[6]),
        ("crab 🦀", &[7]),
        ("елка еж", &[8]),
        ("bar_baz", &[9]),
        ("bar foo", &[9]),
        ("example.org", &[3]),
        ("qui", &[]),
        ("quick*", &[3, 2, 0]),
        ("nothing", &[]),
    ] {
        let expected: Vec<&str> = expected.iter().map(|n| said[*n as usize]).collect();
        for person in [&alice, &bob] {
            assert_eq!(find(person, query).await, expected, "{query}");
        }
    }

    // Edited: found by the new words only; deleted: not at all.
    let edited = bob.send(&conversation, "a zebra").await;
    let deleted = bob.send(&conversation, "another zebra").await;
    assert_eq!(find(&alice, "zebra").await, ["another zebra", "a zebra"]);
    let edit = json!({"messageId": edited["id"], "body": "a giraffe"});
    bob.mutate("editMessage", edit, "messageEdge { cursor }").await.ok();
    assert_eq!(find(&alice, "zebra").await, ["another zebra"]);
    assert_eq!(find(&alice, "giraffe").await, ["a giraffe"]);
    bob.mutate("deleteMessage", json!({"messageId": deleted["id"]}), "messageEdge { cursor }").await.ok();
    assert!(find(&alice, "zebra").await.is_empty());
    bob.mutate("deleteMessage", json!({"messageId": edited["id"]}), "messageEdge { cursor }").await.ok();
    assert!(find(&alice, "giraffe").await.is_empty());
    assert_eq!(world.count("message_search").await, said.len() as i64, "nothing is left in the index");

    // What is purged takes its place in the index along.
    world.sql("DELETE FROM message").await;
    assert_eq!(world.count("message_search").await, 0);
    assert!(find(&alice, "quick").await.is_empty());
});

story!(one_finds_only_in_ones_own_conversations, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let carol = server.person("carol").await;
    let elsewhere = alice.befriend(&carol).await;
    alice.send(&conversation, "treasure for Bob").await;
    alice.send(&elsewhere, "treasure for Carol").await;
    assert_eq!(find(&alice, "treasure").await, ["treasure for Carol", "treasure for Bob"]);
    assert_eq!(find(&bob, "treasure").await, ["treasure for Bob"]);
    assert_eq!(find(&carol, "treasure").await, ["treasure for Carol"]);
    let stranger = server.person("stranger").await;
    assert!(find(&stranger, "treasure").await.is_empty());
    let within = page(&alice, json!({"query": "treasure", "in": conversation})).await;
    assert_eq!(bodies(&within), ["treasure for Bob"]);

    // Another's conversation is like one that does not exist.
    let foreign = bob.graphql(SEARCH, json!({"query": "treasure", "in": elsewhere})).await;
    let missing = bob.graphql(SEARCH, json!({"query": "treasure", "in": "conv_01h2xcejqtf2nbrexx3vqjhp41"})).await;
    assert_eq!(foreign.code(), Some("NOT_FOUND"));
    assert_eq!(normalised(&foreign.text), normalised(&missing.text));

    // Former friends find what they said; who is no member any more finds nothing.
    alice.to_user("blockUser", &bob).await.ok();
    for person in [&alice, &bob] {
        assert!(find(person, "treasure").await.contains(&"treasure for Bob".to_owned()));
    }
    world.sql("DELETE FROM member WHERE user_id IN (SELECT id FROM \"user\" WHERE username = 'bob')").await;
    assert!(find(&bob, "treasure").await.is_empty());
    assert_eq!(bob.graphql(SEARCH, json!({"query": "treasure", "in": conversation})).await.code(), Some("NOT_FOUND"));
});

story!(what_is_found_comes_in_pages_newest_first, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let carol = server.person("carol").await;
    let elsewhere = alice.befriend(&carol).await;
    let mut expected = Vec::new();
    for n in 0..25 {
        let body = format!("needle {n}");
        alice.send(if n % 3 == 0 { &elsewhere } else { &conversation }, &body).await;
        bob.send(&conversation, "hay").await;
        expected.insert(0, body);
    }
    for size in [1, 7, 25, 100] {
        let (mut found, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = page(&alice, json!({"query": "needle", "first": size, "after": after})).await;
            assert_eq!(page["pageInfo"]["hasPreviousPage"], !after.is_null());
            found.extend(bodies(&page));
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
            // What comes meanwhile is above.
            if size == 7 {
                alice.send(&conversation, "late needle").await;
            }
        }
        found.retain(|body| body != "late needle");
        assert_eq!(found, expected, "in pages of {size}");
    }
    let nothing = page(&alice, json!({"query": "needle", "first": 0})).await;
    assert_eq!((&nothing["edges"], &nothing["pageInfo"]["hasNextPage"]), (&json!([]), &json!(true)));
});

story!(hostile_searches_are_answered_clearly, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    bob.send(&conversation, "Robert'); DROP TABLE message; --").await;
    let n_before = world.count("message").await;
    for query in [
        "\"",
        "\"\"\"",
        "'",
        "''",
        "*",
        "a*",
        "^a",
        "a^2",
        "NEAR(a b, 2)",
        "a NEAR b",
        "body:a",
        "{body scope}: a",
        "scope : x",
        "- a",
        "-a b",
        "a -",
        "--",
        "(",
        ")",
        "((a)",
        "a AND",
        "AND",
        "OR",
        "NOT",
        "a NOT",
        "a OR b",
        "+a",
        "a:*",
        "a & b",
        "a | b",
        "!a",
        "a <-> b",
        "\\",
        "a\\",
        "%",
        "_",
        "$1",
        "?1",
        "a;b",
        "\u{0}",
        "a\u{0}b",
        "\u{202e}abc",
        "🦀",
        "e\u{301}",
        "\u{fe0f}",
        "' OR 1=1 --",
        "Robert'); DROP TABLE message;",
        "conv:1 | a",
    ] {
        let answer = alice.graphql(SEARCH, json!({"query": query})).await;
        assert!(matches!(answer.code(), None | Some("BAD_USER_INPUT")), "{query:?}: {}", answer.text);
    }
    assert_eq!(find(&alice, "robert drop table").await.len(), 1);
    for query in ["", " ", "-a", "\u{0}", "🦀", "...", &"a".repeat(201), &"a ".repeat(17), &"x".repeat(10_000)] {
        let answer = alice.graphql(SEARCH, json!({"query": query})).await;
        assert_eq!(answer.code(), Some("BAD_USER_INPUT"), "{query:.20?}: {}", answer.text);
    }
    for arguments in [
        json!({"query": "a", "first": -1}),
        json!({"query": "a", "first": 101}),
        json!({"query": "a", "after": "nonsense"}),
        json!({"query": "a", "after": ""}),
        json!({"query": "a", "in": "nonsense"}),
        json!({"query": "a", "in": bob.id}),
    ] {
        let answer = alice.graphql(SEARCH, arguments.clone()).await;
        assert_eq!(answer.code(), Some("BAD_USER_INPUT"), "{arguments}: {}", answer.text);
    }
    for cursor in ["MTIz", "MDE4OGJhYzc0YWZhNzhhYWJjM2JiZDFlZWYyOGQ4ODE"] {
        let answer = alice.graphql(SEARCH, json!({"query": "a", "after": cursor})).await;
        assert!(matches!(answer.code(), None | Some("BAD_USER_INPUT")), "{cursor}: {}", answer.text);
    }
    assert_eq!(world.count("message").await, n_before);
});

story!(searching_has_a_limit, |world| async {
    let server = world.server_with(Options::default().rate_limits()).await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    let mut limited = None;
    for _ in 0..60 {
        let answer = alice.graphql(SEARCH, json!({"query": "anything"})).await;
        if answer.code() == Some("RATE_LIMITED") {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("too many are refused");
    assert!(limited.errors()[0]["extensions"]["retryAfter"].as_i64() > Some(0), "{}", limited.text);
    find(&bob, "anything").await;
});

full_story!(what_one_process_answered_another_finds, |world| async {
    let (a, b) = (world.server().await, world.server().await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let bob = bob.at(&b);
    join_all((0..8).map(|n| {
        let (alice, bob, conversation) = (&alice, &bob, &conversation);
        async move {
            for m in 0..10 {
                let body = format!("word{n}x{m} common");
                // Other transactions are under way at every moment.
                let (sender, finder) = if m % 2 == 0 { (alice, bob) } else { (bob, alice) };
                sender.send(conversation, &body).await;
                assert_eq!(find(finder, &format!("word{n}x{m}")).await, [body]);
            }
        }
    }))
    .await;
    assert_eq!(find(&alice, "common").await.len(), 80);
});

full_story!(what_is_found_comes_by_sequence_whoever_sent_at_once, |world| async {
    const FOUND: &str = "query($after: String) { searchMessages(query: \"needle\", first: 50, after: $after) {
        edges { node { sequence conversation { id } } } pageInfo { hasNextPage endCursor } } }";
    let (a, b) = (world.server().await, world.server().await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let elsewhere = alice.befriend(&a.person("carol").await).await;
    let (alice_on_b, bob_on_b) = (alice.at(&b), bob.at(&b));
    join_all([&alice, &bob, &alice_on_b, &bob_on_b].map(|person| {
        let (conversation, elsewhere) = (&conversation, &elsewhere);
        async move {
            for n in 0..30 {
                let to = if n % 5 == 0 && person.name == "alice" { elsewhere } else { conversation };
                person.send(to, &format!("needle {n}")).await;
            }
        }
    }))
    .await;
    // An edit moves nothing.
    let first = page(&alice, json!({"query": "needle", "in": conversation, "first": 100})).await;
    let edited = &first["edges"][50]["node"]["id"];
    alice.mutate("editMessage", json!({"messageId": edited, "body": "edited needle"}), "messageEdge { cursor }").await;
    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut page = alice.ask(FOUND, json!({"after": after})).await["searchMessages"].take();
        found.append(page["edges"].as_array_mut().expect("edges"));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].take();
    }
    for (id, n) in [(&conversation, 108), (&elsewhere, 12)] {
        let of_it = found.iter().filter(|edge| edge["node"]["conversation"]["id"] == id.as_str());
        let sequences: Vec<i64> = of_it.map(|edge| edge["node"]["sequence"].as_i64().expect("a number")).collect();
        assert_eq!(sequences, (1..=n).rev().collect::<Vec<_>>());
    }
});

/// Messages of old: in the log, and not in the index.
async fn fill(world: &World, n: usize) {
    let (series, uuid, sequence) = match world.backend {
        Backend::Full => (format!("generate_series(1, {n}) AS t (n)"), "gen_random_uuid()", "c.sequence + t.n"),
        Backend::Sqlite => (
            format!(
                "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {n}) SELECT n FROM s) t"
            ),
            "randomblob(16)",
            "c.sequence + t.n",
        ),
    };
    let number = |column: &str| format!("CAST({column} AS text)");
    world
        .sql(&format!(
            "INSERT INTO message (id, conversation_id, sequence, sender_id, body, created_at)
             SELECT {uuid}, c.id, {sequence}, c.direct_low, 'common words and number' || {}, 1
             FROM conversation c, {series}",
            number("t.n")
        ))
        .await;
    world
        .sql(
            "INSERT INTO event (kind, conversation_id, position, message_id, created_at)
             SELECT 1, m.conversation_id, 1000 + m.sequence, m.id, 1 FROM message m
             WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.message_id = m.id)",
        )
        .await;
}

story!(a_rare_word_among_many_messages_is_found_by_the_index, |world| async {
    const N: usize = 20_000;
    let server = world.server_with(Options::default().set("KITH_SEARCH_INDEX_SECONDS", "0.1")).await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    fill(world, N).await;
    // While the old ones are indexed, a search answers.
    find(&alice, "number1").await;
    within(PATIENCE * 6, "the old messages to be indexed", async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(200));
        while world.count("message_search").await < N as i64 {
            looks.tick().await;
        }
    })
    .await;
    assert_eq!(find(&bob, "number777").await, ["common words and number777"]);
    assert_eq!(find(&bob, "\"words and number19999\"").await.len(), 1);
    let page = page(&alice, json!({"query": "common", "in": conversation, "first": 100})).await;
    assert_eq!((bodies(&page).len(), &page["pageInfo"]["hasNextPage"]), (100, &json!(true)));

    let plan: Vec<String> = match world.backend {
        Backend::Full => {
            let mut database = sqlx::PgConnection::connect(&world.database_url).await.expect("connects");
            let explain = format!("EXPLAIN {FIND_ON_POSTGRES}");
            let settings = format!("BEGIN; {PLAN_ON_POSTGRES}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(&mut database).await.expect("is set");
            let user: uuid::Uuid = sqlx::query_scalar("SELECT id FROM \"user\" WHERE username = 'bob'")
                .fetch_one(&mut database)
                .await
                .expect("bob is there");
            let rows = sqlx::query(sqlx::AssertSqlSafe(explain))
                .bind("\"number777\"")
                .bind("")
                .bind(None::<i64>)
                .bind(user)
                .bind(None::<uuid::Uuid>)
                .bind(26i64)
                .fetch_all(&mut database)
                .await
                .expect("is explained");
            rows.iter().map(|row| row.get(0)).collect()
        }
        Backend::Sqlite => {
            let mut database = sqlx::SqliteConnection::connect(&world.database_url).await.expect("connects");
            let explain = format!("EXPLAIN QUERY PLAN {FIND_ON_SQLITE}");
            let rows = sqlx::query(sqlx::AssertSqlSafe(explain))
                .bind("body : (\"number777\")")
                .bind(i64::MAX)
                .bind(uuid::Uuid::nil())
                .bind(None::<uuid::Uuid>)
                .bind(26i64)
                .fetch_all(&mut database)
                .await
                .expect("is explained");
            rows.iter().map(|row| row.get("detail")).collect()
        }
    };
    let plan = plan.join("\n");
    println!("{plan}");
    match world.backend {
        Backend::Full => {
            assert!(plan.contains("message_search_document") && !plan.contains("Seq Scan on message"), "{plan}")
        }
        Backend::Sqlite => {
            assert!(plan.contains("SCAN message_words VIRTUAL TABLE INDEX"), "{plan}");
            assert!(!plan.contains("SCAN s") && !plan.contains("SCAN m\n") && !plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
});

story!(sends_and_searches_at_once_do_not_harm_each_other, |world| async {
    let server = world.server_with(Options::default().set("KITH_SEARCH_INDEX_SECONDS", "0.1")).await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let sending = join_all((0..4).map(|n| {
        let (alice, conversation) = (&alice, &conversation);
        async move {
            for m in 0..25 {
                alice.send(conversation, &format!("storm {n}.{m}")).await;
            }
        }
    }));
    let searching = join_all((0..4).map(|_| {
        let bob = &bob;
        async move {
            let mut most = 0;
            for _ in 0..10 {
                let found = find(bob, "storm").await.len();
                assert!(found >= most, "what was found once stays found");
                most = found;
            }
        }
    }));
    within(PATIENCE * 3, "the storm", async { tokio::join!(sending, searching) }).await;
    assert_eq!(find(&bob, "storm").await.len(), 100);
});
