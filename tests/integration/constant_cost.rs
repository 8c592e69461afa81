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
    ("friends", "query($n: Int!) { viewer { friends(first: $n) { totalCount edges { since node {
        username relationship conversation { id unreadCount } } } } } }"),
    ("presence of friends", "query($n: Int!) { viewer { friends(first: $n) { nodes {
        username presence { status lastSeenAt } } } } }"),
    ("conversations", "query($n: Int!) { viewer { conversations(first: $n) { nodes {
        id unreadCount viewerCanSend lastMessage { body sender { username } }
        ... on DirectConversation { peer { username relationship } } } } } }"),
    ("members of conversations", "query($n: Int!) { viewer { conversations(first: $n) { nodes {
        members(first: 2) { totalCount edges { role lastReadSequence node { username relationship } } } } } } }"),
    ("messages of conversations", "query($n: Int!) { viewer { conversations(first: $n) { nodes {
        messages(last: 3) { nodes { body sender { username } } } } } } }"),
    ("groups", "query($n: Int!, $c: ID!) { viewer { conversations(first: $n) { nodes { id unreadCount viewerCanSend
        lastMessage { body sender { username } } ... on DirectConversation { peer { username } }
        ... on Group { name memberCount viewerRole inviteLinks { id uses createdBy { username } group { name memberCount } }
            members(first: 3) { totalCount edges { role node { username relationship } } } } } } } node(id: $c) { id } }"),
    ("members of a group", "query($n: Int!, $c: ID!, $g: ID!) { conversation(id: $g) { members(first: $n) { totalCount edges {
        role lastReadSequence node { username relationship conversation { id } } } } } node(id: $c) { id } }"),
    ("messages of a group", "query($n: Int!, $c: ID!, $g: ID!) { conversation(id: $g) { messages(last: $n) { nodes {
        body sender { username relationship } conversation { id unreadCount ... on Group { viewerRole } } } } } node(id: $c) { id } }"),
    ("invites into groups", "query($n: Int!, $c: ID!) { viewer { invites(first: $n, kind: GROUP) { nodes {
        status group { name memberCount viewerRole } invitee { username } } } } node(id: $c) { id } }"),
    ("invites", "query($n: Int!) { viewer { invites(first: $n) { totalCount nodes {
        status inviter { username relationship } invitee { username relationship } } } } }"),
    ("sessions", "query($n: Int!) { viewer { sessions { id current } friends(first: $n) { nodes { id } } } }"),
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

/// How many nodes the longer lists have.
const N: usize = 12;

/// How many statements more a longer list may take.
///
/// A loader fetches together what is asked for within a few turns. Where two paths of a document lead to the same kind
/// of thing (`node` and `viewer { conversations }` side by side both look up memberships), it depends on when the
/// database answers whether the two ask together or one after the other, and a busy machine makes it either. The
/// documents here avoid the paths that were seen to race, and this is for those that were not. It is a matter of the
/// document and not of the page, short or long; a statement for each node would be `N - 2` more.
const SLACK: usize = 2;

story!(the_number_of_statements_does_not_grow_with_the_page, |world| async {
    const { assert!(SLACK < (N - 2) / 2, "a statement for every second node is found") };
    let options = Options::default()
        .set("RUST_LOG", "warn,sqlx::query=debug")
        .set("KITH_LOG_FORMAT", "json")
        .set("KITH_FEDERATION", "on")
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
    // Groups among them: one with everybody, and some that lie between the others.
    let group = alice.create_group("Everybody").await;
    let mut links = Vec::new();
    for friend in &friends {
        alice.bring(&group, friend).await;
        friend.send(&group, "Here I am.").await;
        let own = alice.create_group("One more").await;
        for group in [&group, &own] {
            let input = json!({"groupId": group});
            let made = alice.mutate("createInviteLink", input, "inviteLink { id }").await;
            links.push(made.ok()["inviteLink"]["id"].as_str().expect("an id").to_owned());
        }
    }
    // The two newest conversations are one of each kind.
    friends[0].send(&group, "The last word.").await;
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

    let cost_once = async |query: &str, variables: &Value| {
        let before = n_statements(&server);
        alice.ask(query, variables.clone()).await;
        n_statements(&server) - before
    };
    let mut growing = Vec::new();
    let mut compare = async |what: &str, query: &str, short: Value, long: Value| {
        // The first time may prepare something, and paths may race: what counts is the least that it takes.
        let (mut few, mut many) = (usize::MAX, usize::MAX);
        for n in 0..10 {
            if n >= 3 && many <= few {
                break;
            }
            few = few.min(cost_once(query, &short).await);
            many = many.min(cost_once(query, &long).await);
        }
        println!("{what}: {few} statements for a short list, {many} for a long one");
        assert!(few > 0, "{what}: the statements are counted");
        if many > few + SLACK {
            growing.push(format!("{what}: {few} statements for a short list, {many} for a long one"));
        }
    };
    for (what, query) in LISTS {
        compare(what, query, json!({"n": 2, "c": talk, "g": group}), json!({"n": N, "c": talk, "g": group})).await;
    }
    let ids: Vec<&str> =
        friends.iter().map(|friend| friend.id.as_str()).chain(conversations.iter().map(String::as_str)).collect();
    let nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { id ... on User { username relationship conversation { id } }
        ... on DirectConversation { unreadCount lastMessage { body } peer { username } } } }";
    compare("nodes", nodes, json!({"ids": [ids[0], ids[N]]}), json!({"ids": ids})).await;
    let keys = |ids: &[String], name: &str| -> Vec<Value> {
        ids.iter().map(|id| json!({"__typename": name, "id": id})).collect()
    };
    let of_friends: Vec<String> = friends.iter().map(|friend| friend.id.clone()).collect();
    let many = [keys(&of_friends, "User"), keys(&conversations, "DirectConversation")].concat();
    let few = [many[0].clone(), many[N].clone()];
    let entities = "query($keys: [_Any!]!) { _entities(representations: $keys) { ... on User { username relationship }
        ... on DirectConversation { unreadCount lastMessage { body } } } }";
    compare("entities", entities, json!({"keys": few}), json!({"keys": many})).await;
    let nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { id ... on InviteLink { uses createdBy { username }
        group { name memberCount } } } }";
    compare("links", nodes, json!({"ids": links[..2]}), json!({"ids": links})).await;
    for _ in 1..N {
        alice.try_login(&alice.name, &alice.password).await.ok();
    }
    let sessions = alice.viewer("sessions { id }").await;
    let sessions: Vec<&str> = sessions["sessions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|session| session["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(sessions.len(), N);
    let nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { id ... on Session { current } } }";
    compare("sessions by ids", nodes, json!({"ids": sessions[..2]}), json!({"ids": sessions})).await;
    // Also of what is not there.
    let exports: Vec<String> = sessions.iter().map(|id| id.replace("session_", "export_")).collect();
    let nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { id ... on DataExport { status } } }";
    compare("exports by ids", nodes, json!({"ids": exports[..2]}), json!({"ids": exports})).await;
    assert!(growing.is_empty(), "{}", growing.join("\n"));
});
