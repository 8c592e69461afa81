//! No input is an INTERNAL error (G11): whatever a text or a number is, the answer is clear.

use serde_json::{Value, json};

use crate::story;

fn texts() -> Vec<String> {
    let texts = [
        "",
        " ",
        "\u{0}",
        "a\u{0}b",
        "\u{1}\u{7f}\u{9f}",
        "\u{feff}\u{200b}",
        "\u{fffe}\u{ffff}\u{10ffff}",
        "\u{202e}\u{2066}",
        "👩‍👩‍👧‍👦",
        "e\u{301}\u{301}\u{301}",
        "ﷺﬃ",
        "' OR 1=1; DROP TABLE message; --",
        "\"}}) { x } #",
        "%_\\*?[a-z]",
        "$1 :a ?1 {0}",
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "NULL",
        "-1",
        "1e309",
    ];
    let long = ["x".repeat(300), "x".repeat(70_000), "\u{489}".repeat(9_000), "🦀".repeat(5_000)];
    texts.iter().map(|text| (*text).to_owned()).chain(long).collect()
}

/// Every operation that takes a text, as `$x`.
pub const PLACES: &[&str] = &[
    "query($x: ID!) { node(id: $x) { id } }",
    "query($x: [ID!]!) { nodes(ids: $x) { id } }",
    "query($x: ID!) { conversation(id: $x) { id } }",
    "query($x: String!) { user(username: $x) { id } }",
    "query($x: String!) { searchUsers(query: $x) { nodes { id } } }",
    "query($x: String!) { searchUsers(query: \"ali\", after: $x) { nodes { id } } }",
    "query($x: String!) { viewer { friends(first: 1, after: $x) { nodes { id } } } }",
    "query($x: String!) { viewer { invites(last: 1, before: $x) { nodes { id } } } }",
    "query($x: String!) { viewer { conversations(first: 1, after: $x) { nodes { id } } } }",
    "query($x: String!) { viewer { blockedUsers(first: 1, after: $x) { nodes { id } } } }",
    "query($x: String!, $c: ID!) { conversation(id: $c) { messages(last: 1, before: $x) { nodes { id } } } }",
    "query($x: String!, $c: ID!) { conversation(id: $c) { members(first: 1, after: $x) { nodes { id } } } }",
    "mutation($x: String!) { login(input: {identifier: $x, password: \"not the pass phrase\"}) { userErrors { code } } }",
    "mutation($x: String!) { login(input: {identifier: \"nobody here\", password: $x}) { userErrors { code } } }",
    "mutation($x: String!) { register(input: {username: $x, email: \"x\", password: \"x\"}) { userErrors { code } } }",
    "mutation($x: String!) { register(input: {username: \"x\", email: $x, password: \"x\"}) { userErrors { code } } }",
    "mutation($x: String!) { register(input: {username: \"x\", email: \"x\", password: $x, displayName: $x, phone: $x}) { userErrors { code } } }",
    "mutation($x: String!) { register(input: {username: \"newcomer\", email: \"new@example.org\", password: \"correct horse battery\", inviteToken: $x, phone: \"x\"}) { userErrors { code } } }",
    "mutation($x: String!) { verifyEmail(input: {token: $x}) { userErrors { code } } }",
    "mutation($x: String!) { requestPasswordReset(input: {email: $x}) { userErrors { code } } }",
    "mutation($x: String!) { resetPassword(input: {token: $x, newPassword: \"correct horse battery\"}) { userErrors { code } } }",
    "mutation($x: String!) { resetPassword(input: {token: \"x\", newPassword: $x}) { userErrors { code } } }",
    "mutation($x: String!) { changePassword(input: {currentPassword: $x, newPassword: \"correct horse battery\"}) { userErrors { code } } }",
    "mutation($x: String!) { changePassword(input: {currentPassword: \"x\", newPassword: $x}) { userErrors { code } } }",
    "mutation($x: String!) { claimInvite(input: {token: $x}) { userErrors { code } } }",
    "mutation($x: String!) { sendInvite(input: {email: {email: $x}}) { userErrors { code } } }",
    "mutation($x: String!) { sendInvite(input: {email: {email: \"guest@example.org\", note: $x}}) { userErrors { code } } }",
    "mutation($x: String!) { refreshSession(input: {refreshToken: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { revokeSession(input: {sessionId: $x}) { userErrors { code } } }",
    "mutation($x: String!) { updateProfile(input: {displayName: $x}) { userErrors { code } } }",
    "mutation($x: String!) { updateProfile(input: {phone: $x}) { userErrors { code } } }",
    "mutation($x: String!) { sendInvite(input: {friend: {username: $x}}) { userErrors { code } } }",
    "mutation($x: String!) { sendInvite(input: {friend: {username: \"nobody\", note: $x}}) { userErrors { code } } }",
    "mutation($x: ID!) { acceptInvite(input: {inviteId: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { rejectInvite(input: {inviteId: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { revokeInvite(input: {inviteId: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { removeFriend(input: {userId: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { blockUser(input: {userId: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { unblockUser(input: {userId: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { sendMessage(input: {conversationId: $x, body: \"x\"}) { userErrors { code } } }",
    "mutation($x: String!, $c: ID!) { sendMessage(input: {conversationId: $c, body: $x}) { userErrors { code } } }",
    "mutation($x: String!, $c: ID!) { sendMessage(input: {conversationId: $c, body: \"x\", idempotencyKey: $x}) { userErrors { code } } }",
    "mutation($x: ID!, $c: ID!) { sendMessage(input: {conversationId: $c, body: \"x\", replyToId: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { editMessage(input: {messageId: $x, body: \"x\"}) { userErrors { code } } }",
    "mutation($x: String!, $m: ID!) { editMessage(input: {messageId: $m, body: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { deleteMessage(input: {messageId: $x}) { userErrors { code } } }",
    "mutation($x: String!, $c: ID!) { sendInvite(input: {group: {groupId: $c, username: $x}}) { userErrors { code } } }",
    "mutation($x: ID!) { sendInvite(input: {group: {groupId: $x, username: \"nobody\"}}) { userErrors { code } } }",
    "mutation($x: String!, $g: ID!) { sendInvite(input: {group: {groupId: $g, username: $x, note: $x}}) { userErrors { code } } }",
    "mutation($x: String!) { createGroup(input: {name: $x, description: $x}) { userErrors { code } } }",
    "mutation($x: String!) { createGroup(input: {name: \"x\", description: $x}) { userErrors { code } } }",
    "mutation($x: String!, $g: ID!) { updateGroup(input: {groupId: $g, name: $x}) { userErrors { code } } }",
    "mutation($x: String!, $g: ID!) { updateGroup(input: {groupId: $g, description: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { updateGroup(input: {groupId: $x, name: \"x\"}) { userErrors { code } } }",
    "mutation($x: ID!) { leaveGroup(input: {groupId: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { deleteGroup(input: {groupId: $x}) { userErrors { code } } }",
    "mutation($x: ID!, $g: ID!) { removeMember(input: {groupId: $g, userId: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { changeMemberRole(input: {groupId: $x, userId: $x, role: ADMIN}) { userErrors { code } } }",
    "mutation($x: ID!, $g: ID!) { transferOwnership(input: {groupId: $g, userId: $x}) { userErrors { code } } }",
    "query($x: String!) { inviteLink(code: $x) { id } }",
    "mutation($x: String!) { joinGroup(input: {code: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { createInviteLink(input: {groupId: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { revokeInviteLink(input: {inviteLinkId: $x}) { userErrors { code } } }",
    "query($x: String!, $g: ID!) { conversation(id: $g) { members(first: 1, after: $x) { nodes { id } } } }",
    "query($x: String!) { searchMessages(query: $x) { nodes { id } } }",
    "query($x: String!) { searchMessages(query: \"alice\", after: $x) { nodes { id } } }",
    "query($x: ID!) { searchMessages(query: \"alice\", conversationId: $x) { nodes { id } } }",
    "query($x: String!, $m: ID!) { node(id: $m) { ... on Message { readBy(first: 1, after: $x) { nodes { id } } } } }",
    "mutation($x: ID!) { addReaction(input: {messageId: $x, emoji: \"👍\"}) { userErrors { code } } }",
    "mutation($x: String!, $m: ID!) { addReaction(input: {messageId: $m, emoji: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { removeReaction(input: {messageId: $x, emoji: \"👍\"}) { userErrors { code } } }",
    "mutation($x: String!, $m: ID!) { removeReaction(input: {messageId: $m, emoji: $x}) { userErrors { code } } }",
    "mutation($x: ID!) { markRead(input: {conversationId: $x, sequence: 1}) { userErrors { code } } }",
    "mutation($x: ID!) { setTyping(input: {conversationId: $x, typing: true}) { userErrors { code } } }",
    "query($x: String!) { user(username: $x) { presence { status lastSeenAt } } }",
];

story!(no_text_is_an_internal_error, |world| async {
    let server = world.server().await;
    let (alice, _bob, conversation) = server.friends("alice", "bob").await;
    let message = alice.send(&conversation, "Something to edit.").await;
    let group = alice.create_group("A group").await;
    let texts = texts();
    let mut wrong = Vec::new();
    for document in PLACES {
        for text in &texts {
            let variables = json!({"x": text, "c": conversation, "g": group, "m": message["id"]});
            let answer = alice.graphql(document, variables).await;
            let is_clear = match answer.code() {
                None => answer.status == 200 && answer.body["data"].is_object(),
                Some("INTERNAL" | "UNAVAILABLE" | "UNAUTHENTICATED") => false,
                Some(_) => true,
            };
            // Nor is what was sent thrown back at length.
            if !is_clear || answer.text.len() > 20_000 && !answer.text.contains(text.as_str()) {
                wrong.push(format!("{document}\n    with {:.40?}: {:.300}", text, answer.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers are not clear:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(alice.viewer("user { username }").await["user"]["username"], "alice", "and all is well");
});

story!(no_value_of_a_wrong_type_is_an_internal_error, |world| async {
    let server = world.server().await;
    let (alice, _bob, conversation) = server.friends("alice", "bob").await;
    let message = alice.send(&conversation, "Something to edit.").await;
    let group = alice.create_group("A group").await;
    let values = [
        Value::Null,
        json!(0),
        json!(-1),
        json!(1.5),
        json!(i64::MAX),
        json!(1e300),
        json!(true),
        json!([]),
        json!(["a", null]),
        json!({}),
        json!({"a": {"b": []}}),
    ];
    let numbers = [
        "query($x: Int, $c: ID!) { conversation(id: $c) { messages(first: $x) { nodes { id } } } }",
        "query($x: Int) { searchUsers(query: \"ali\", first: $x) { nodes { id } } }",
        "mutation($x: Int!, $c: ID!) { markRead(input: {conversationId: $c, sequence: $x}) { userErrors { code } } }",
        "query($x: InviteStatus) { viewer { invites(status: $x) { nodes { id } } } }",
        "mutation($x: Role!, $g: ID!) { changeMemberRole(input: {groupId: $g, userId: $g, role: $x}) { userErrors { code } } }",
        "mutation($x: Int, $g: ID!) { createInviteLink(input: {groupId: $g, maxUses: $x}) { userErrors { code } } }",
        "mutation($x: DateTime, $g: ID!) { createInviteLink(input: {groupId: $g, expiresAt: $x}) { userErrors { code } } }",
        "mutation($x: UpdateGroupInput!) { updateGroup(input: $x) { userErrors { code } } }",
        "mutation($x: SendInviteInput!) { sendInvite(input: $x) { userErrors { code } } }",
        "mutation($x: Boolean!, $c: ID!) { setTyping(input: {conversationId: $c, typing: $x}) { userErrors { code } } }",
        "mutation($x: Boolean) { updateProfile(input: {discoverable: $x}) { userErrors { code } } }",
        "mutation($x: Boolean) { updateProfile(input: {readReceipts: $x}) { userErrors { code } } }",
        "query($x: Int) { searchMessages(query: \"alice\", first: $x) { nodes { id } } }",
        "query($x: Int, $m: ID!) { node(id: $m) { ... on Message { readBy(last: $x) { nodes { id } } } } }",
    ];
    for document in PLACES.iter().chain(&numbers) {
        for value in &values {
            let variables = json!({"x": value, "c": conversation, "g": group, "m": message["id"]});
            let answer = alice.graphql(document, variables).await;
            assert!(
                !matches!(answer.code(), Some("INTERNAL" | "UNAVAILABLE")),
                "{document}\n    with {value}: {}",
                answer.text
            );
        }
    }
});
