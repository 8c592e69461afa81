//! The number of SQL statements of an operation does not depend on how many nodes it returns (G12).

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{story, support::*};

/// What the driver logs for each statement: one line of JSON.
const STATEMENT: &str = "\"target\":\"sqlx::query\"";

fn n_statements(server: &Server) -> usize {
    server.logged().lines().filter(|line| line.contains(STATEMENT)).count()
}

const LISTS: &[(&str, &str)] = &[
    ("friends", "query($n: Int!, $c: ID!) { viewer { friends(first: $n) { totalCount edges { since node {
        username relationship conversation { id unreadCount } } } } } node(id: $c) { id } }"),
    ("conversations", "query($n: Int!, $c: ID!) { viewer { conversations(first: $n) { nodes {
        id unreadCount viewerCanSend lastMessage { body sender { username } }
        ... on DirectConversation { peer { username relationship } } } } } node(id: $c) { id } }"),
    ("members of conversations", "query($n: Int!, $c: ID!) { viewer { conversations(first: $n) { nodes {
        members(first: 2) { totalCount edges { role lastReadSequence node { username relationship } } } } } } node(id: $c) { id } }"),
    ("messages of conversations", "query($n: Int!, $c: ID!) { viewer { conversations(first: $n) { nodes {
        messages(last: 3) { nodes { body sender { username } } } } } } node(id: $c) { id } }"),
    ("invites", "query($n: Int!, $c: ID!) { viewer { invites(first: $n) { totalCount nodes {
        status inviter { username relationship } invitee { username relationship } } } } node(id: $c) { id } }"),
    ("sessions", "query($n: Int!, $c: ID!) { viewer { sessions { id current } friends(first: $n) { nodes { id } } } node(id: $c) { id } }"),
    ("messages", "query($n: Int!, $c: ID!) { conversation(id: $c) { messages(last: $n) { nodes {
        body sender { username relationship } conversation { id unreadCount } replyTo { body sender { username } } } } } }"),
    ("old messages", "query($n: Int!, $c: ID!) { conversation(id: $c) { messages(first: $n) { nodes {
        body sender { username } replyTo { body } } } } }"),
    ("messages with reactions", "query($n: Int!, $c: ID!) { conversation(id: $c) { messages(last: $n) { nodes {
        reactions { emoji count viewerHasReacted } } } } }"),
    ("messages with readers", "query($n: Int!, $c: ID!) { conversation(id: $c) { messages(last: $n) { nodes {
        readBy(first: 5) { nodes { username } } } } } }"),
    ("read receipts", "query($n: Int!, $c: ID!) { viewer { conversations(first: $n) { nodes {
        members(first: 2) { edges { lastReadSequence lastReadAt } } } } } node(id: $c) { id } }"),
    ("found messages", "query($n: Int!, $c: ID!) { searchMessages(query: \"go on\", first: $n) { nodes {
        body sender { username } conversation { id } reactions { count viewerHasReacted } readBy(first: 2) { nodes { id } }
        } } node(id: $c) { id } }"),
];

story!(the_number_of_statements_does_not_grow_with_the_page, |world| async {
    const N: usize = 12;
    let options = Options::default()
        .set("RUST_LOG", "warn,sqlx::query=debug")
        .set("KITH_LOG_FORMAT", "json")
        // Nothing else asks the database meanwhile.
        .set("KITH_RECONCILE_SECONDS", "60")
        .set("KITH_SEARCH_INDEX_SECONDS", "60");
    let server = world.server_with(options).await;
    let alice = server.person("alice").await;
    let names: Vec<String> = (0..N).map(|n| format!("friend{n}")).collect();
    let friends = join_all(names.iter().map(|name| server.person(name))).await;
    let mut conversations = Vec::new();
    for friend in &friends {
        let conversation = alice.befriend(friend).await;
        let said = friend.send(&conversation, "Hello.").await;
        let reply = json!({"conversationId": conversation, "body": "Hello!", "replyToId": said["id"]});
        for _ in 0..2 {
            alice.send_input(reply.clone()).await.ok();
        }
        conversations.push(conversation);
    }
    let talk = &conversations[0];
    let mut newest = alice.send(talk, "Let me tell you something.").await;
    for n in 0..2 * N {
        let speaker = if n % 2 == 0 { &*alice } else { &*friends[0] };
        let input = json!({"conversationId": talk, "body": "Go on.", "replyToId": newest["id"]});
        newest = speaker.send_input(input).await.ok()["messageEdge"]["node"].clone();
        for emoji in ["👍", "❤️"].iter().take(1 + n % 2) {
            alice.react("addReaction", &newest, emoji).await.ok();
        }
    }

    let cost = async |query: &str, variables: Value| {
        // The first time may prepare something; what counts is the least that it takes.
        let mut least = usize::MAX;
        for _ in 0..3 {
            let before = n_statements(&server);
            alice.ask(query, variables.clone()).await;
            least = least.min(n_statements(&server) - before);
        }
        least
    };
    let mut growing = Vec::new();
    for (what, query) in LISTS {
        let few = cost(query, json!({"n": 2, "c": talk})).await;
        let many = cost(query, json!({"n": N, "c": talk})).await;
        println!("{what}: {few} statements for 2, {many} for {N}");
        assert!(few > 0, "{what}: the statements are counted");
        if many > few {
            growing.push(format!("{what}: {few} statements for 2, {many} for {N}"));
        }
    }
    let ids: Vec<&str> =
        friends.iter().map(|friend| friend.id.as_str()).chain(conversations.iter().map(String::as_str)).collect();
    let nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { id ... on User { username relationship conversation { id } }
        ... on DirectConversation { unreadCount lastMessage { body } peer { username } } } }";
    let few = cost(nodes, json!({"ids": [ids[0], ids[N]]})).await;
    let many = cost(nodes, json!({"ids": ids})).await;
    println!("nodes: {few} statements for 2, {many} for {}", ids.len());
    if many > few {
        growing.push(format!("nodes: {few} statements for 2, {many} for {}", ids.len()));
    }
    assert!(growing.is_empty(), "{}", growing.join("\n"));
});
