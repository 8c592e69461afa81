//! Who may do what: the matrix, with allowed and refused in one set-up (G7–G10).

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use crate::{schema, story, support::*};

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Allowed,
    /// Null, without an error.
    Nothing,
    /// A GraphQL error with this code.
    Error(String),
    /// A user error with this code.
    Refused(String),
}

/// What the matrix expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Allowed,
    Nothing,
    Error(&'static str),
    Refused(&'static str),
    /// Refused by a user error of any code. (That a hidden thing is refused as a missing one is shown by another test.)
    SomehowRefused,
    /// Decided elsewhere.
    Anything,
}

use Expected::{Allowed, Anything, Error, Nothing, Refused, SomehowRefused};

impl Expected {
    fn agrees(self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Allowed, Outcome::Allowed)
            | (Nothing, Outcome::Nothing)
            | (Anything, _)
            | (SomehowRefused, Outcome::Refused(_)) => true,
            (Error(code), Outcome::Error(actual)) | (Refused(code), Outcome::Refused(actual)) => code == actual,
            _ => false,
        }
    }
}

const SIGN_IN: Expected = Error("UNAUTHENTICATED");
const ABSENT: Expected = Refused("NOT_FOUND");

/// A row: a field of the schema, an operation that asks for something of Alice's, and what becomes of it when it is
/// tried by: nobody, a stranger, a former friend, a blocked one, a friend, herself.
type Row = (&'static str, &'static str, [Expected; 6]);

const ACTORS: [&str; 6] = ["nobody", "a stranger", "a former friend", "a blocked one", "a friend", "herself"];

/// `$conversation` is Alice's with her friend, `$message` her message in it, `$invite` hers to a sixth person,
/// `$group` and `$club` her groups with her friend, `$session` one of her devices, `$user` and `$viewer` herself, `$guest` somebody whom nobody knows.
const ROWS: &[Row] = &[
    ("Query.server", "{ server { version } }", [Allowed; 6]),
    ("Query.viewer", "{ viewer { id email } }", [Nothing, Allowed, Allowed, Allowed, Allowed, Allowed]),
    (
        "Query.node",
        "query($user: ID!) { node(id: $user) { id } }",
        [SIGN_IN, Nothing, Anything, Anything, Allowed, Allowed],
    ),
    (
        "Query.node",
        "query($viewer: ID!) { node(id: $viewer) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Nothing, Allowed],
    ),
    (
        "Query.node",
        "query($session: ID!) { node(id: $session) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Nothing, Allowed],
    ),
    (
        "Query.node",
        "query($invite: ID!) { node(id: $invite) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Nothing, Allowed],
    ),
    (
        "Query.node",
        "query($conversation: ID!) { node(id: $conversation) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Allowed, Allowed],
    ),
    (
        "Query.node",
        "query($message: ID!) { node(id: $message) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Allowed, Allowed],
    ),
    (
        "Query.nodes",
        "query($message: ID!) { nodes(ids: [$message]) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Allowed, Allowed],
    ),
    (
        "Query.nodes",
        "query($invite: ID!) { nodes(ids: [$invite]) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Nothing, Allowed],
    ),
    // Former friends, blocked or not, find each other by name: they share a conversation.
    ("Query.user", "{ user(username: \"alice\") { id } }", [SIGN_IN, Nothing, Allowed, Allowed, Allowed, Allowed]),
    (
        "Query.searchUsers",
        "{ searchUsers(query: \"ali\") { nodes { id } } }",
        [SIGN_IN, Allowed, Allowed, Allowed, Allowed, Allowed],
    ),
    (
        "Query.conversation",
        "query($conversation: ID!) { conversation(id: $conversation) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Allowed, Allowed],
    ),
    (
        "Query.conversation",
        "query($conversation: ID!) { conversation(id: $conversation) { messages(last: 1) { nodes { body } } } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Allowed, Allowed],
    ),
    (
        "Query.node",
        "query($group: ID!) { node(id: $group) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Allowed, Allowed],
    ),
    (
        "Query.conversation",
        "query($group: ID!) { conversation(id: $group) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Allowed, Allowed],
    ),
    (
        "Query.searchMessages",
        "{ searchMessages(query: \"between\") { nodes { body } } }",
        [SIGN_IN, Allowed, Allowed, Allowed, Allowed, Allowed],
    ),
    (
        "Query.searchMessages",
        "query($conversation: ID!) { searchMessages(query: \"between\", conversationId: $conversation) { nodes { body } } }",
        [SIGN_IN, Error("NOT_FOUND"), Error("NOT_FOUND"), Error("NOT_FOUND"), Allowed, Allowed],
    ),
    (
        "Query.node",
        "query($message: ID!) { node(id: $message) { ... on Message { reactions { emoji } readBy { nodes { id } } } } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Allowed, Allowed],
    ),
    (
        "Mutation.addReaction",
        "mutation($message: ID!) { addReaction(input: {messageId: $message, emoji: \"👍\"}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Allowed, Allowed],
    ),
    (
        "Mutation.removeReaction",
        "mutation($message: ID!) { removeReaction(input: {messageId: $message, emoji: \"👍\"}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Allowed, Allowed],
    ),
    (
        "Mutation.register",
        "mutation { register(input: {username: \"alice\", email: \"x@example.org\", password: \"correct horse battery\"}) { userErrors { code } } }",
        [Refused("USERNAME_TAKEN"); 6],
    ),
    (
        "Mutation.login",
        "mutation { login(input: {identifier: \"alice\", password: \"not the pass phrase\"}) { userErrors { code } } }",
        [Refused("INVALID_CREDENTIALS"); 6],
    ),
    (
        "Mutation.refreshSession",
        "mutation { refreshSession(input: {refreshToken: \"nonsense\"}) { userErrors { code } } }",
        [Refused("INVALID_TOKEN"); 6],
    ),
    (
        "Mutation.verifyEmail",
        "mutation { verifyEmail(input: {token: \"nonsense\"}) { userErrors { code } } }",
        [Refused("INVALID_TOKEN"); 6],
    ),
    (
        "Mutation.resetPassword",
        "mutation { resetPassword(input: {token: \"nonsense\", newPassword: \"correct horse battery\"}) { userErrors { code } } }",
        [Refused("INVALID_TOKEN"); 6],
    ),
    (
        "Mutation.requestPasswordReset",
        "mutation { requestPasswordReset(input: {email: \"alice@example.org\"}) { userErrors { code } } }",
        [Allowed; 6],
    ),
    (
        "Mutation.requestEmailVerification",
        "mutation { requestEmailVerification { userErrors { code } } }",
        [SIGN_IN, Allowed, Allowed, Allowed, Allowed, Allowed],
    ),
    (
        "Mutation.changePassword",
        "mutation { changePassword(input: {currentPassword: \"not the pass phrase\", newPassword: \"correct horse battery\"}) { userErrors { code } } }",
        [
            SIGN_IN,
            Refused("INVALID_CREDENTIALS"),
            Refused("INVALID_CREDENTIALS"),
            Refused("INVALID_CREDENTIALS"),
            Refused("INVALID_CREDENTIALS"),
            Refused("INVALID_CREDENTIALS"),
        ],
    ),
    (
        "Mutation.updateProfile",
        "mutation { updateProfile(input: {displayName: \"Somebody\"}) { userErrors { code } } }",
        [SIGN_IN, Allowed, Allowed, Allowed, Allowed, Allowed],
    ),
    (
        "Query.node",
        "query($export: ID!) { node(id: $export) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Nothing, Allowed],
    ),
    (
        "Mutation.requestDataExport",
        "mutation { requestDataExport { userErrors { code } } }",
        [SIGN_IN, Allowed, Allowed, Allowed, Allowed, Allowed],
    ),
    // Whose it is, nobody can say but the owner: there is no id in it.
    (
        "Mutation.deleteAccount",
        "mutation { deleteAccount(input: {password: \"the pass phrase of somebody\"}) { userErrors { code } } }",
        [
            SIGN_IN,
            Refused("INVALID_CREDENTIALS"),
            Refused("INVALID_CREDENTIALS"),
            Refused("INVALID_CREDENTIALS"),
            Refused("INVALID_CREDENTIALS"),
            Refused("INVALID_CREDENTIALS"),
        ],
    ),
    (
        "Mutation.sendInvite",
        "mutation { sendInvite(input: {friend: {username: \"guest\"}}) { userErrors { code } } }",
        [SIGN_IN, Allowed, Allowed, Allowed, Allowed, Allowed],
    ),
    (
        "Mutation.sendInvite",
        "mutation { sendInvite(input: {email: {email: \"guest@example.org\"}}) { userErrors { code } } }",
        [SIGN_IN, Allowed, Allowed, Allowed, Allowed, Allowed],
    ),
    (
        "Mutation.claimInvite",
        "mutation { claimInvite(input: {token: \"nonsense\"}) { userErrors { code } } }",
        [
            SIGN_IN,
            Refused("INVALID_TOKEN"),
            Refused("INVALID_TOKEN"),
            Refused("INVALID_TOKEN"),
            Refused("INVALID_TOKEN"),
            Refused("INVALID_TOKEN"),
        ],
    ),
    (
        "Mutation.acceptInvite",
        "mutation($invite: ID!) { acceptInvite(input: {inviteId: $invite}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN")],
    ),
    (
        "Mutation.rejectInvite",
        "mutation($invite: ID!) { rejectInvite(input: {inviteId: $invite}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN")],
    ),
    (
        "Mutation.revokeInvite",
        "mutation($invite: ID!) { revokeInvite(input: {inviteId: $invite}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, ABSENT, Allowed],
    ),
    (
        "Mutation.removeFriend",
        "mutation($guest: ID!) { removeFriend(input: {userId: $guest}) { userErrors { code } } }",
        [SIGN_IN, SomehowRefused, SomehowRefused, SomehowRefused, SomehowRefused, SomehowRefused],
    ),
    (
        "Mutation.blockUser",
        "mutation($user: ID!) { blockUser(input: {userId: $user}) { userErrors { code } } }",
        [SIGN_IN, Anything, Anything, Anything, Anything, SomehowRefused],
    ),
    (
        "Mutation.unblockUser",
        "mutation($user: ID!) { unblockUser(input: {userId: $user}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, Allowed, Allowed, Allowed, Allowed],
    ),
    (
        "Mutation.markRead",
        "mutation($conversation: ID!) { markRead(input: {conversationId: $conversation, sequence: 1}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Allowed, Allowed],
    ),
    (
        "Mutation.setTyping",
        "mutation($conversation: ID!) { setTyping(input: {conversationId: $conversation, typing: true}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Allowed, Allowed],
    ),
    (
        "Mutation.sendMessage",
        "mutation($conversation: ID!) { sendMessage(input: {conversationId: $conversation, body: \"x\"}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Allowed, Allowed],
    ),
    (
        "Mutation.sendMessage",
        "mutation($conversation: ID!, $message: ID!) { sendMessage(input: {conversationId: $conversation, body: \"x\", replyToId: $message}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Allowed, Allowed],
    ),
    (
        "Mutation.editMessage",
        "mutation($message: ID!) { editMessage(input: {messageId: $message, body: \"x\"}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN"), Allowed],
    ),
    (
        "Mutation.deleteMessage",
        "mutation($message: ID!) { deleteMessage(input: {messageId: $message}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN"), Allowed],
    ),
    (
        "Mutation.revokeSession",
        "mutation($session: ID!) { revokeSession(input: {sessionId: $session}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, ABSENT, Allowed],
    ),
    (
        "Subscription.events",
        "subscription { events { cursor } }",
        [SIGN_IN, Allowed, Allowed, Allowed, Allowed, Allowed],
    ),
    (
        "Subscription.messageEvents",
        "subscription($conversation: ID!) { messageEvents(conversationId: $conversation) { cursor } }",
        [SIGN_IN, Error("NOT_FOUND"), Error("NOT_FOUND"), Error("NOT_FOUND"), Allowed, Allowed],
    ),
    (
        "Subscription.readReceipts",
        "subscription($conversation: ID!) { readReceipts(conversationId: $conversation) { sequence } }",
        [SIGN_IN, Error("NOT_FOUND"), Error("NOT_FOUND"), Error("NOT_FOUND"), Allowed, Allowed],
    ),
    (
        "Subscription.typing",
        "subscription($conversation: ID!) { typing(conversationId: $conversation) { typing } }",
        [SIGN_IN, Error("NOT_FOUND"), Error("NOT_FOUND"), Error("NOT_FOUND"), Allowed, Allowed],
    ),
    // Who may see nobody hears nothing; `presence::only_those_who_may_see_it_hear_of_it` has the rest.
    (
        "Subscription.presence",
        "subscription { presence { status } }",
        [SIGN_IN, Anything, Anything, Anything, Allowed, Allowed],
    ),
    (
        "Mutation.createGroup",
        "mutation { createGroup(input: {name: \"Anybody's\"}) { userErrors { code } } }",
        [SIGN_IN, Allowed, Allowed, Allowed, Allowed, Allowed],
    ),
    (
        "Mutation.sendInvite",
        "mutation($group: ID!) { sendInvite(input: {group: {groupId: $group, username: \"frank\"}}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN"), Allowed],
    ),
    (
        "Mutation.sendInvite",
        "mutation($group: ID!) { sendInvite(input: {group: {groupId: $group, username: \"alice\"}}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN"), Refused("INVALID_INPUT")],
    ),
    (
        "Mutation.updateGroup",
        "mutation($group: ID!) { updateGroup(input: {groupId: $group, description: \"x\"}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN"), Allowed],
    ),
    (
        "Mutation.removeMember",
        "mutation($group: ID!, $guest: ID!) { removeMember(input: {groupId: $group, userId: $guest}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN"), ABSENT],
    ),
    (
        "Mutation.changeMemberRole",
        "mutation($group: ID!, $user: ID!) { changeMemberRole(input: {groupId: $group, userId: $user, role: ADMIN}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN"), Refused("LAST_OWNER")],
    ),
    (
        "Mutation.transferOwnership",
        "mutation($group: ID!, $user: ID!) { transferOwnership(input: {groupId: $group, userId: $user}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN"), Refused("INVALID_INPUT")],
    ),
    (
        "Query.node",
        "query($link: ID!) { node(id: $link) { id } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Nothing, Allowed],
    ),
    (
        "Query.inviteLink",
        "query($code: String!) { inviteLink(code: $code) { group { name } } }",
        [SIGN_IN, Allowed, Allowed, Allowed, Allowed, Allowed],
    ),
    (
        "Query.inviteLink",
        "{ inviteLink(code: \"AAAAAAAAAAAAAAAAAAAAAA\") { group { name } } }",
        [SIGN_IN, Nothing, Nothing, Nothing, Nothing, Nothing],
    ),
    (
        "Mutation.joinGroup",
        "mutation { joinGroup(input: {code: \"AAAAAAAAAAAAAAAAAAAAAA\"}) { userErrors { code } } }",
        [
            SIGN_IN,
            Refused("INVALID_TOKEN"),
            Refused("INVALID_TOKEN"),
            Refused("INVALID_TOKEN"),
            Refused("INVALID_TOKEN"),
            Refused("INVALID_TOKEN"),
        ],
    ),
    (
        "Mutation.joinGroup",
        "mutation($code: String!) { joinGroup(input: {code: $code}) { userErrors { code } } }",
        [SIGN_IN, Anything, Anything, Anything, Refused("ALREADY_MEMBER"), Refused("ALREADY_MEMBER")],
    ),
    (
        "Mutation.createInviteLink",
        "mutation($group: ID!) { createInviteLink(input: {groupId: $group}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN"), Allowed],
    ),
    (
        "Mutation.revokeInviteLink",
        "mutation($link: ID!) { revokeInviteLink(input: {inviteLinkId: $link}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, ABSENT, Allowed],
    ),
    (
        "Mutation.leaveGroup",
        "mutation($group: ID!) { leaveGroup(input: {groupId: $group}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Allowed, Refused("LAST_OWNER")],
    ),
    (
        "Mutation.deleteGroup",
        "mutation($club: ID!) { deleteGroup(input: {groupId: $club}) { userErrors { code } } }",
        [SIGN_IN, ABSENT, ABSENT, ABSENT, Refused("FORBIDDEN"), Allowed],
    ),
    // Last, since it ends the sessions.
    (
        "Mutation.logout",
        "mutation { logout { userErrors { code } } }",
        [SIGN_IN, Allowed, Allowed, Allowed, Allowed, Allowed],
    ),
];

/// Alice and all that is hers, and the people who try to get at it.
struct Cast {
    alice: Person,
    bob: Person,
    actors: Vec<Client>,
    ids: Value,
}

impl Cast {
    async fn gather(server: &Server) -> Self {
        let (alice, bob, carol, dave) =
            tokio::join!(server.person("alice"), server.person("bob"), server.person("carol"), server.person("dave"));
        let (erin, frank, guest) = tokio::join!(server.person("erin"), server.person("frank"), server.person("guest"));
        let conversation = alice.befriend(&bob).await;
        alice.befriend(&dave).await;
        alice.befriend(&erin).await;
        alice.to_user("removeFriend", &dave).await.ok();
        alice.to_user("blockUser", &erin).await.ok();
        let message = alice.send(&conversation, "Between the two of us.").await;
        let invite = alice.invite(&frank).await;
        let (group, club) = tokio::join!(alice.create_group("The group"), alice.create_group("The club"));
        for group in [&group, &club] {
            alice.bring(group, &bob).await;
        }
        let input = json!({"groupId": group});
        let made = alice.mutate("createInviteLink", input, "inviteLink { id code }").await;
        let link = made.ok()["inviteLink"].clone();
        let phone = alice.another_device().await;
        let session = phone.viewer("sessions { id current }").await["sessions"][0]["id"].clone();
        let viewer = alice.viewer("id").await["id"].clone();
        let request = "mutation { requestDataExport { dataExport { id } } }";
        let export = alice.ask(request, json!({})).await["requestDataExport"]["dataExport"]["id"].clone();
        let ids = json!({
            "user": alice.id, "viewer": viewer, "session": session, "invite": invite.ok()["invite"]["id"],
            "conversation": conversation, "message": message["id"], "guest": guest.id, "export": export,
            "group": group, "club": club, "link": link["id"], "code": link["code"],
        });
        let actors = [&carol, &dave, &erin, &bob, &alice].map(|person| Client::clone(person));
        Self { actors: std::iter::once(server.anonymous()).chain(actors).collect(), alice, bob, ids }
    }

    /// The ids of nothing at all, of the same kinds.
    fn missing_ids(&self) -> Value {
        let mut ids = self.ids.clone();
        let is_id = |name: &str| name != "code";
        let ids_of = ids.as_object_mut().expect("an object").iter_mut().filter(|(name, _)| is_id(name));
        for (_, id) in ids_of {
            let prefix = id.as_str().and_then(|id| id.split('_').next()).expect("a prefix");
            *id = json!(format!("{prefix}_01h2xcejqtf2nbrexx3vqjhp41"));
        }
        ids
    }

    /// Tries an operation. Gives the outcome, and what was said word by word.
    async fn try_it(&self, actor: &Client, document: &str, ids: &Value) -> (Outcome, String) {
        if document.starts_with("subscription") {
            return self.try_to_listen(actor, document, ids).await;
        }
        let answer = actor.graphql(document, ids.clone()).await;
        let root = answer.body["data"].as_object().and_then(|data| data.values().next());
        let outcome = match (answer.errors(), root) {
            ([error, ..], _) => Outcome::Error(error["extensions"]["code"].as_str().unwrap_or("none").to_owned()),
            ([], None | Some(Value::Null)) => Outcome::Nothing,
            ([], Some(Value::Array(list))) if list.iter().all(Value::is_null) => Outcome::Nothing,
            ([], Some(root)) => match root["userErrors"][0]["code"].as_str() {
                Some(code) => Outcome::Refused(code.to_owned()),
                None => Outcome::Allowed,
            },
        };
        (outcome, answer.text)
    }

    /// A subscription is allowed when it hears something of what Alice and Bob do.
    async fn try_to_listen(&self, actor: &Client, document: &str, ids: &Value) -> (Outcome, String) {
        let socket = actor.socket().await;
        let mut subscription = socket.subscribe(document, ids.clone());
        let conversation = self.ids["conversation"].as_str().expect("an id");
        for _ in 0..20 {
            let sent = self.alice.send(conversation, "Who hears this?").await;
            self.bob.mark_read(conversation, sent["sequence"].as_i64().expect("a number")).await.ok();
            for typist in [&self.alice, &self.bob] {
                typist.set_typing(conversation, true).await.ok();
            }
            match tokio::time::timeout(Duration::from_millis(500), subscription.hear()).await {
                Err(_) => {}
                Ok(Heard::Error(errors)) => {
                    let code = errors[0]["extensions"]["code"].as_str().unwrap_or("none");
                    return (Outcome::Error(code.to_owned()), errors.to_string());
                }
                Ok(Heard::Next(payload)) => match payload["errors"][0]["extensions"]["code"].as_str() {
                    Some(code) => return (Outcome::Error(code.to_owned()), payload.to_string()),
                    None => return (Outcome::Allowed, String::new()),
                },
                Ok(other) => return (Outcome::Error(format!("{other:?}")), format!("{other:?}")),
            }
        }
        (Outcome::Nothing, "silence".into())
    }
}

story!(everybody_may_do_what_the_matrix_says_and_no_more, |world| async {
    let server = world.server().await;
    let cast = Cast::gather(&server).await;
    let mut wrong = Vec::new();
    for (field, document, expected) in ROWS {
        for ((who, actor), expected) in ACTORS.iter().zip(&cast.actors).zip(expected) {
            if let Anything = expected {
                continue;
            }
            let (outcome, said) = cast.try_it(actor, document, &cast.ids).await;
            if !expected.agrees(&outcome) {
                wrong.push(format!(
                    "{field} by {who}: expected {expected:?}, got {outcome:?}\n    {document}\n    {said}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
});

story!(what_one_may_not_see_is_like_what_does_not_exist, |world| async {
    let server = world.server().await;
    let cast = Cast::gather(&server).await;
    let missing = cast.missing_ids();
    let mut told = Vec::new();
    for (field, document, expected) in ROWS {
        // Who holds a code knows what it opens.
        if !document.contains('$') || document.contains("$code") {
            continue;
        }
        // The stranger sees nothing of Alice's; the others nothing of what she has with her friend.
        for (n, who) in [(1, "a stranger"), (2, "a former friend"), (3, "a blocked one"), (4, "a friend")] {
            let knows_the_thing = n > 1 && document.contains("$user");
            let hidden = matches!(expected[n], Nothing | Error("NOT_FOUND") | ABSENT | SomehowRefused) || n == 1;
            if !hidden || knows_the_thing || *field == "Mutation.logout" {
                continue;
            }
            let (_, of_hidden) = cast.try_it(&cast.actors[n], document, &cast.ids).await;
            let (_, of_missing) = cast.try_it(&cast.actors[n], document, &missing).await;
            if normalised(&of_hidden) != normalised(&of_missing) {
                told.push(format!("{field} to {who}:\n    {of_hidden}\n    {of_missing}"));
            }
        }
    }
    assert!(told.is_empty(), "{} tell:\n{}", told.len(), told.join("\n"));
});

story!(former_friends_read_what_was_and_add_nothing, |world| async {
    let server = world.server().await;
    let (alice, dave, erin) = tokio::join!(server.person("alice"), server.person("dave"), server.person("erin"));
    let (with_dave, with_erin) = (alice.befriend(&dave).await, alice.befriend(&erin).await);
    for (person, conversation, parting) in [(&dave, &with_dave, "removeFriend"), (&erin, &with_erin, "blockUser")] {
        let own = person.send(conversation, "What I said.").await;
        let hers = alice.send(conversation, "What she said.").await;
        let edge = "messageEdge { node { body } }";
        let edit = json!({"messageId": own["id"], "body": "What I would rather have said."});
        person.mutate("editMessage", edit.clone(), edge).await.ok();
        alice.to_user(parting, person).await.ok();

        for (who, message) in [(person, &own), (&alice, &hers)] {
            let edit = json!({"messageId": message["id"], "body": "Changed."});
            let edited = who.mutate("editMessage", edit, edge).await;
            assert!(matches!(edited.code(), Some("NOT_FRIENDS" | "FORBIDDEN")), "{}", edited.answer.text);
            let send = json!({"conversationId": conversation, "body": "More.", "replyToId": message["id"]});
            assert_eq!(who.send_input(send).await.code(), Some("NOT_FRIENDS"));
            let data = who
                .ask(
                    "query($c: ID!, $m: ID!) { conversation(id: $c) { viewerCanSend messages(last: 5) { nodes { body } } }
                        node(id: $m) { ... on Message { body } } }",
                    json!({"c": conversation, "m": message["id"]}),
                )
                .await;
            assert_eq!(data["conversation"]["viewerCanSend"], false);
            let bodies = json!([{"body": "What I would rather have said."}, {"body": "What she said."}]);
            assert_eq!(data["conversation"]["messages"]["nodes"], bodies);
            assert!(data["node"]["body"].is_string());
        }
    }
});

story!(every_node_is_found_by_its_id, |world| async {
    let server = world.server().await;
    let cast = Cast::gather(&server).await;
    let alice = &cast.alice;
    let types = [
        ("user", "User"),
        ("viewer", "Viewer"),
        ("session", "Session"),
        ("invite", "Invite"),
        ("conversation", "DirectConversation"),
        ("group", "Group"),
        ("link", "InviteLink"),
        ("message", "Message"),
        ("export", "DataExport"),
    ];
    let node = "query($id: ID!) { node(id: $id) { __typename id } }";
    let mut ids = Vec::new();
    let mut expected = Vec::new();
    for (name, kind) in types {
        let id = &cast.ids[name];
        let found = json!({"__typename": kind, "id": id});
        assert_eq!(alice.ask(node, json!({"id": id})).await["node"], found);
        ids.extend([id.clone(), cast.missing_ids()[name].clone()]);
        expected.extend([found, Value::Null]);
    }
    let nodes = alice.ask("query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", json!({"ids": ids})).await;
    assert_eq!(nodes["nodes"], json!(expected), "in the order that was asked for, null where there is nothing");
    for nonsense in
        ["", "nonsense", "user_", "user_zzz", "robot_01h2xcejqtf2nbrexx3vqjhp41", "\u{0}", &"x".repeat(5000)]
    {
        let answer = alice.graphql(node, json!({"id": nonsense})).await;
        assert!(matches!(answer.code(), None | Some("BAD_USER_INPUT")), "{nonsense:?}: {}", answer.text);
        assert!(answer.body["data"]["node"].is_null(), "{nonsense:?}: {}", answer.text);
    }
    let conversation = "query($id: ID!) { conversation(id: $id) { id } }";
    for other in ["user", "message", "invite"] {
        let answer = alice.graphql(conversation, json!({"id": cast.ids[other]})).await;
        assert_eq!(answer.code(), Some("BAD_USER_INPUT"), "{}", answer.text);
    }
});

#[test]
fn every_root_field_has_a_row_in_the_matrix() {
    // What is not about one's own or other people's things, or belongs to a later story.
    let elsewhere: BTreeSet<&str> = BTreeSet::new();
    let rows: BTreeSet<&str> = ROWS.iter().map(|(field, ..)| *field).collect();
    let fields = schema::committed_shape();
    for root in ["Query", "Mutation", "Subscription"] {
        for field in fields.fields_of(root) {
            let name = format!("{root}.{field}");
            assert!(
                rows.contains(name.as_str()) || elsewhere.contains(name.as_str()),
                "{name} has no row in the access matrix of tests/integration/access.rs: say who may use it"
            );
        }
    }
    for row in rows {
        let (root, field) = row.split_once('.').expect("Type.field");
        assert!(fields.fields_of(root).any(|known| known == field), "the matrix speaks of {row}, which does not exist");
    }
}

#[test]
fn addresses_and_numbers_exist_only_where_their_owner_looks() {
    let allowed = ["Viewer.email", "Viewer.emailVerified", "Viewer.phone", "Invite.email"];
    for field in schema::committed_shape().output_fields() {
        // Payloads are named after what they are about.
        let name = field.split_once('.').expect("Type.field").1.to_lowercase();
        let private =
            ["email", "mail", "phone", "password", "address", "secret"].iter().any(|word| name.contains(word));
        let is_payload = field.starts_with("Mutation.");
        assert!(!private || is_payload || allowed.contains(&field.as_str()), "{field} would show a private thing");
    }
}
