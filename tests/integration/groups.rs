//! Groups: who is in them, who may do what, and how they end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{full_story, story, support::*};

/// Whether an event tells of a conversation that is as `matches` says.
fn conversation_is(event: &Value, group: &str, matches: impl Fn(&Value) -> bool) -> bool {
    event["__typename"] == "ConversationChanged"
        && event["conversation"]["id"] == group
        && matches(&event["conversation"])
}

/// Whether an event tells that somebody is in a group, with a role.
fn member_is(event: &Value, group: &str, person: &Person, role: &str) -> bool {
    event["__typename"] == "MemberChanged"
        && event["conversationId"] == group
        && event["memberEdge"]["node"]["id"] == person.id.as_str()
        && event["memberEdge"]["role"] == role
}

/// Whether an event tells that somebody else is no longer in a group.
fn member_went(event: &Value, group: &str, person: &Person) -> bool {
    event["__typename"] == "MemberRemoved" && event["conversationId"] == group && event["userId"] == person.id.as_str()
}

fn is_gone(event: &Value, group: &str) -> bool {
    event["__typename"] == "ConversationRemoved" && event["conversationId"] == group
}

fn says(event: &Value, body: &str) -> bool {
    event["messageEdge"]["node"]["body"] == body
}

/// Who is in a group, with their roles, as somebody sees it.
async fn roles(person: &Person, group: &str) -> Vec<(String, String)> {
    let group = person.conversation(group, "members(first: 100) { edges { role node { username } } }").await;
    let edges = group["members"]["edges"].as_array().expect("a member sees the members").clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut roles: Vec<_> = edges.iter().map(|edge| (text(&edge["node"]["username"]), text(&edge["role"]))).collect();
    roles.sort();
    roles
}

fn pairs(roles: &[(&str, &str)]) -> Vec<(String, String)> {
    roles.iter().map(|(name, role)| ((*name).to_owned(), (*role).to_owned())).collect()
}

/// Shows that a group is not there for somebody, on any road.
async fn is_absent_for(person: &Person, group: &str, message: &Value, cursor: Option<&str>) {
    let node = person.ask("query($id: ID!) { node(id: $id) { id } }", json!({"id": group})).await;
    assert_eq!(node, json!({"node": null}));
    is_closed_to(person, group, message, cursor).await;
}

/// Shows that somebody has no part in a group, on any road; they may be invited into it.
async fn is_closed_to(person: &Person, group: &str, message: &Value, cursor: Option<&str>) {
    assert!(person.conversation(group, "id").await.is_null());
    let node = person.ask("query($id: ID!) { node(id: $id) { id } }", json!({"id": message["id"]})).await;
    assert_eq!(node, json!({"node": null}));
    let listed = person.viewer("conversations(first: 50) { nodes { id } }").await;
    let listed = listed["conversations"]["nodes"].as_array().expect("a list").clone();
    assert!(listed.iter().all(|node| node["id"] != group), "{listed:?}");
    let sent = person.send_input(json!({"conversationId": group, "body": "Still here."})).await;
    assert_eq!(sent.code(), Some("NOT_FOUND"));
    assert_eq!(person.mark_read(group, 1).await.code(), Some("NOT_FOUND"));
    let edit = json!({"messageId": message["id"], "body": "Never said."});
    assert_eq!(person.mutate("editMessage", edit, "messageEdge { node { id } }").await.code(), Some("NOT_FOUND"));
    for mutation in ["leaveGroup", "deleteGroup"] {
        assert_eq!(person.to_group(mutation, group).await.code(), Some("NOT_FOUND"), "{mutation}");
    }
    let socket = person.socket().await;
    for (document, after) in [(MESSAGE_EVENTS, None), (MESSAGE_EVENTS, cursor), (READ_RECEIPTS, None)] {
        let mut variables = json!({"conversationId": group});
        if let Some(after) = after {
            variables["after"] = json!(after);
        }
        match socket.subscribe(document, variables).hear().await {
            Heard::Error(errors) => assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND", "{errors}"),
            Heard::Next(payload) => panic!("heard {payload}"),
            other => panic!("heard {other:?}"),
        }
    }
}

story!(a_group_lives_from_its_first_day_to_its_last, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let carol = server.person("carol").await;
    alice.befriend(&carol).await;
    let (alice_socket, bob_socket) = tokio::join!(alice.socket(), bob.socket());
    let (mut alice_hears, _) = alice_socket.follow(None).await;
    let (mut bob_hears, _) = bob_socket.follow(None).await;

    let created = alice
        .mutate(
            "createGroup",
            json!({"name": "  Chess ", "description": "On Tuesdays."}),
            "group { id name description memberCount viewerRole viewerCanSend unreadCount lastMessage { id }
                members { totalCount nodes { username } } }",
        )
        .await;
    let mut group = created.ok()["group"].clone();
    let id = group["id"].as_str().expect("an id").to_owned();
    group.as_object_mut().expect("an object").remove("id");
    assert_eq!(
        group,
        json!({"name": "Chess", "description": "On Tuesdays.", "memberCount": 1, "viewerRole": "OWNER",
            "viewerCanSend": true, "unreadCount": 0, "lastMessage": null,
            "members": {"totalCount": 1, "nodes": [{"username": "alice"}]}})
    );
    alice_hears.until(|event| conversation_is(event, &id, |group| group["viewerRole"] == "OWNER")).await;
    let said = alice.send(&id, "Is anybody here?").await;

    // Bob is asked, and sees what it is that he is asked into, and no more.
    let invited = alice.invite_to(&id, &bob).await;
    let invite = invited.ok()["invite"].clone();
    assert_eq!(invite["kind"], "GROUP");
    assert_eq!(invite["group"], json!({"id": id, "name": "Chess"}));
    bob_hears.until(|event| event["invite"]["id"] == invite["id"]).await;
    let preview = bob
        .ask(
            "query($id: ID!) { node(id: $id) { ... on Invite { group { id name description memberCount viewerRole
                viewerCanSend unreadCount lastMessage { id } messages(first: 5) { nodes { id } pageInfo { hasNextPage } }
                members { totalCount nodes { id } } createdAt lastActivityAt } } } }",
            json!({"id": invite["id"]}),
        )
        .await["node"]["group"]
        .clone();
    assert_eq!(
        preview,
        json!({"id": id, "name": "Chess", "description": "On Tuesdays.", "memberCount": 1, "viewerRole": "MEMBER",
            "viewerCanSend": false, "unreadCount": 0, "lastMessage": null,
            "messages": {"nodes": [], "pageInfo": {"hasNextPage": false}},
            "members": {"totalCount": 0, "nodes": []},
            "createdAt": preview["createdAt"], "lastActivityAt": preview["createdAt"]})
    );
    is_closed_to(&bob, &id, &said, None).await;

    let accepted = bob.answer_invite("acceptInvite", invite["id"].as_str().expect("an id")).await;
    assert_eq!(accepted.ok()["invite"]["status"], "ACCEPTED");
    assert_eq!(accepted.ok()["conversation"], json!({"id": id, "viewerCanSend": true}));
    bob_hears.until(|event| conversation_is(event, &id, |group| group["memberCount"] == 2)).await;
    alice_hears.until(|event| member_is(event, &id, &bob, "MEMBER")).await;
    // He reads what was said before he came, and none of it counts as unread.
    assert_eq!(bob.history(&id).await[0]["body"], "Is anybody here?");
    assert_eq!(bob.conversation(&id, "unreadCount").await["unreadCount"], 0);
    alice.send(&id, "Welcome.").await;
    bob_hears.until(|event| says(event, "Welcome.")).await;
    assert_eq!(bob.conversation(&id, "unreadCount").await["unreadCount"], 1);
    let by_bob = bob.send(&id, "Thank you.").await;
    alice_hears.until(|event| says(event, "Thank you.")).await;

    // An admin may what a member may not.
    assert_eq!(bob.invite_to(&id, &alice).await.code(), Some("FORBIDDEN"));
    assert_eq!(alice.give_role(&id, &bob, "ADMIN").await.code(), None);
    bob_hears.until(|event| member_is(event, &id, &bob, "ADMIN")).await;
    let renamed = json!({"groupId": id, "name": "Chess and Go", "description": null});
    let renamed = bob.mutate("updateGroup", renamed, "group { name description }").await;
    assert_eq!(renamed.ok()["group"], json!({"name": "Chess and Go", "description": null}));
    alice_hears.until(|event| conversation_is(event, &id, |group| group["name"] == "Chess and Go")).await;

    alice.bring(&id, &carol).await;
    bob_hears.until(|event| member_is(event, &id, &carol, "MEMBER")).await;
    assert_eq!(roles(&carol, &id).await, pairs(&[("alice", "OWNER"), ("bob", "ADMIN"), ("carol", "MEMBER")]));
    assert_eq!(alice.to_member("transferOwnership", &id, &bob).await.ok()["group"]["viewerRole"], "ADMIN");
    bob_hears.until(|event| member_is(event, &id, &bob, "OWNER")).await;
    assert_eq!(roles(&carol, &id).await, pairs(&[("alice", "ADMIN"), ("bob", "OWNER"), ("carol", "MEMBER")]));

    let left = alice.to_group("leaveGroup", &id).await;
    assert!(left.ok()["group"].is_null());
    alice_hears.until(|event| is_gone(event, &id)).await;
    bob_hears.until(|event| member_went(event, &id, &alice)).await;
    is_absent_for(&alice, &id, &said, None).await;

    assert_eq!(bob.to_group("deleteGroup", &id).await.ok()["groupId"], id.as_str());
    bob_hears.until(|event| is_gone(event, &id)).await;
    for person in [&alice, &bob, &carol] {
        is_absent_for(person, &id, &by_bob, None).await;
    }
    let invites = bob.ask("{ viewer { invites { nodes { status group { id } } } } }", json!({})).await;
    assert!(
        invites["viewer"]["invites"]["nodes"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|invite| invite["group"].is_null())
    );
});

story!(each_role_may_what_the_table_says_and_no_more, |world| async {
    let server = world.server().await;
    let (owner, admin, _) = server.friends("olga", "adam").await;
    let (second, member, stranger, guest) = tokio::join!(
        server.person("second"),
        server.person("member"),
        server.person("stranger"),
        server.person("guest")
    );
    let group = owner.create_group("The group").await;
    for person in [&second, &member, &guest, &stranger] {
        owner.befriend(person).await;
    }
    for person in [&admin, &second, &member] {
        owner.bring(&group, person).await;
    }
    for person in [&admin, &second] {
        owner.give_role(&group, person, "ADMIN").await.ok();
    }
    let before = roles(&owner, &group).await;

    // What is refused to all but some, first; then it is allowed, in the same group.
    let people = [&owner, &admin, &member, &stranger];
    let invite = async |who: &Person| who.invite_to(&group, &guest).await.code().map(str::to_owned);
    for (who, expected) in [(&member, "FORBIDDEN"), (&stranger, "NOT_FOUND")] {
        assert_eq!(invite(who).await.as_deref(), Some(expected), "{} invites", who.name);
    }
    for (who, expected) in people.iter().zip([None, None, Some("FORBIDDEN"), Some("NOT_FOUND")]) {
        let name = format!("Named by {}", who.name);
        let named = who.mutate("updateGroup", json!({"groupId": group, "name": name}), "group { name }").await;
        assert_eq!(named.code(), expected, "{} names", who.name);
    }
    for (who, whom, expected) in [
        (&owner, &owner, "INVALID_INPUT"),
        (&admin, &admin, "INVALID_INPUT"),
        (&admin, &owner, "FORBIDDEN"),
        (&admin, &second, "FORBIDDEN"),
        (&admin, &guest, "NOT_FOUND"),
        (&member, &owner, "FORBIDDEN"),
        (&member, &admin, "FORBIDDEN"),
        (&member, &guest, "FORBIDDEN"),
        (&stranger, &member, "NOT_FOUND"),
        (&stranger, &stranger, "NOT_FOUND"),
    ] {
        let removed = who.to_member("removeMember", &group, whom).await;
        assert_eq!(removed.code(), Some(expected), "{} removes {}", who.name, whom.name);
    }
    for (who, whom, role, expected) in [
        (&owner, &owner, "MEMBER", "LAST_OWNER"),
        (&owner, &member, "OWNER", "INVALID_INPUT"),
        (&owner, &guest, "ADMIN", "NOT_FOUND"),
        (&admin, &member, "ADMIN", "FORBIDDEN"),
        (&admin, &second, "MEMBER", "FORBIDDEN"),
        (&admin, &admin, "OWNER", "FORBIDDEN"),
        (&admin, &owner, "MEMBER", "FORBIDDEN"),
        (&member, &member, "ADMIN", "FORBIDDEN"),
        (&stranger, &member, "ADMIN", "NOT_FOUND"),
    ] {
        let given = who.give_role(&group, whom, role).await;
        assert_eq!(given.code(), Some(expected), "{} makes {} {role}", who.name, whom.name);
    }
    for (who, whom, expected) in [
        (&owner, &owner, "INVALID_INPUT"),
        (&owner, &guest, "NOT_FOUND"),
        (&admin, &admin, "FORBIDDEN"),
        (&member, &member, "FORBIDDEN"),
        (&stranger, &stranger, "NOT_FOUND"),
    ] {
        let given = who.to_member("transferOwnership", &group, whom).await;
        assert_eq!(given.code(), Some(expected), "{} hands over to {}", who.name, whom.name);
    }
    for (who, expected) in [(&admin, "FORBIDDEN"), (&member, "FORBIDDEN"), (&stranger, "NOT_FOUND")] {
        assert_eq!(who.to_group("deleteGroup", &group).await.code(), Some(expected), "{} deletes", who.name);
    }
    assert_eq!(owner.to_group("leaveGroup", &group).await.code(), Some("LAST_OWNER"));
    assert_eq!(stranger.to_group("leaveGroup", &group).await.code(), Some("NOT_FOUND"));
    assert_eq!(roles(&owner, &group).await, before, "what was refused changed nothing");

    assert_eq!(invite(&admin).await.as_deref(), Some("NOT_FOUND"), "he cannot find the guest");
    admin.befriend(&guest).await;
    assert_eq!(invite(&admin).await, None);
    assert_eq!(invite(&owner).await.as_deref(), Some("ALREADY_INVITED"), "whoever invited");
    assert_eq!(owner.invite_to(&group, &member).await.code(), Some("ALREADY_MEMBER"));
    admin.to_member("removeMember", &group, &member).await.ok();
    admin.give_role(&group, &admin, "MEMBER").await.ok();
    assert_eq!(roles(&owner, &group).await, pairs(&[("adam", "MEMBER"), ("olga", "OWNER"), ("second", "ADMIN")]));
    // The invite of who may no longer invite is over, and makes room for another.
    let invite_of_admin = guest.invites("INCOMING").await[0].clone();
    assert_eq!(invite_of_admin["status"], "REVOKED");
    let answered = guest.answer_invite("acceptInvite", invite_of_admin["id"].as_str().expect("an id")).await;
    assert_eq!(answered.code(), Some("INVITE_NOT_PENDING"));
    second.befriend(&guest).await;
    assert_eq!(second.invite_to(&group, &guest).await.code(), None);
    owner.to_member("removeMember", &group, &second).await.ok();
    assert_eq!(guest.invites("INCOMING").await[0]["status"], "REVOKED", "nor of who is not even in it");
    owner.to_member("transferOwnership", &group, &admin).await.ok();
    assert_eq!(roles(&owner, &group).await, pairs(&[("adam", "OWNER"), ("olga", "ADMIN")]));
    owner.to_group("leaveGroup", &group).await.ok();
    assert_eq!(admin.to_group("leaveGroup", &group).await.code(), Some("LAST_OWNER"), "also when alone");
    admin.to_group("deleteGroup", &group).await.ok();
    assert!(admin.conversation(&group, "id").await.is_null());
});

story!(a_retry_after_the_removal_tells_that_it_was_sent_and_no_more, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let group = alice.create_group("The group").await;
    alice.bring(&group, &bob).await;
    let question = alice.send(&group, "Who comes?").await;
    let input =
        json!({"conversationId": group, "body": "I do.", "replyToId": question["id"], "idempotencyKey": "mine"});
    let selection = "replayed messageEdge { node { id body reactions { emoji } readBy(first: 5) { nodes { id } }
        replyTo { body editedAt reactions { emoji } sender { displayName } } conversation { members { totalCount } } } }";
    let sent = bob.mutate("sendMessage", input.clone(), selection).await;
    let again = bob.mutate("sendMessage", input.clone(), selection).await;
    assert_eq!(again.ok()["replayed"], true);
    assert_eq!(again.ok()["messageEdge"], sent.ok()["messageEdge"], "a member gets the message");

    alice.to_member("removeMember", &group, &bob).await.ok();
    let edit = json!({"messageId": question["id"], "body": "Without him: who comes?"});
    alice.mutate("editMessage", edit, "messageEdge { node { id } }").await.ok();
    let reaction = json!({"messageId": sent.ok()["messageEdge"]["node"]["id"], "emoji": "👍"});
    alice.mutate("addReaction", reaction, "messageEdge { node { id } }").await.ok();
    let again = bob.mutate("sendMessage", input.clone(), selection).await;
    assert_eq!(again.code(), Some("NOT_FOUND"), "{}", again.answer.text);
    assert!(again.answer.errors().is_empty(), "{}", again.answer.text);
    assert_eq!(again.value()["replayed"], true, "it was sent then");
    assert!(again.value()["messageEdge"].is_null(), "{}", again.answer.text);
    // Back again, it is his again.
    alice.bring(&group, &bob).await;
    assert_eq!(bob.mutate("sendMessage", input, selection).await.ok()["replayed"], true);
});

story!(a_removal_cuts_delivery_exactly_and_a_return_brings_everything_back, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let group = alice.create_group("The group").await;
    alice.bring(&group, &bob).await;
    let (alice_socket, bob_socket) = tokio::join!(alice.socket(), bob.socket());
    let (mut bob_hears, _) = bob_socket.follow(None).await;
    let mut listens = bob_socket.listen(&group, &alice).await;
    let mut receipts = bob_socket.subscribe(READ_RECEIPTS, json!({"conversationId": group}));
    let alice_listens = alice_socket.listen(&group, &bob).await;
    drop(alice_listens);
    // The receipts are live when one is heard.
    let mut heard = None;
    while heard.is_none() {
        let sent = bob.send(&group, "Read this.").await;
        alice.mark_read(&group, sent["sequence"].as_i64().expect("a number")).await.ok();
        heard = receipts.try_next(Duration::from_millis(500)).await;
    }
    let last = alice.send(&group, "Before.").await;
    let cursor = loop {
        let event = listens.next().await;
        if says(&event, "Before.") {
            break event["cursor"].as_str().expect("a cursor").to_owned();
        }
    };

    let before_removal = alice.send(&group, "The last that he hears.").await;
    alice.to_member("removeMember", &group, &bob).await.ok();
    let after = alice.send(&group, "Behind his back.").await;
    bob.send_input(json!({"conversationId": group, "body": "Hello?"})).await;
    assert!(says(&listens.next().await, "The last that he hears."));
    let Heard::Error(errors) = listens.hear().await else { panic!("the subscription ends with an error") };
    assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND");
    loop {
        match receipts.hear().await {
            Heard::Next(payload) => assert!(payload["errors"].is_null(), "{payload}"),
            Heard::Error(errors) => break assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND"),
            other => panic!("{other:?}"),
        }
    }
    let heard = bob_hears.until(|event| is_gone(event, &group)).await;
    assert!(heard.iter().all(|envelope| !says(&envelope["event"], "Behind his back.")));
    is_absent_for(&bob, &group, &last, Some(&cursor)).await;
    let resumed = bob.at(&server).socket().await;
    let (_, replayed) = resumed.follow(heard[0]["cursor"].as_str()).await;
    assert!(replayed.iter().all(|envelope| {
        let event = &envelope["event"];
        event["messageEdge"]["node"]["conversation"]["id"] != group.as_str()
            && event["conversation"]["id"] != group.as_str()
    }));
    assert!(replayed.iter().any(|envelope| is_gone(&envelope["event"], &group)));

    // He comes back, on the same stream, and the whole history is his.
    alice.bring(&group, &bob).await;
    bob_hears.until(|event| conversation_is(event, &group, |group| group["viewerCanSend"] == true)).await;
    alice.send(&group, "There you are.").await;
    let heard = bob_hears.until(|event| says(event, "There you are.")).await;
    assert!(heard.iter().all(|envelope| !says(&envelope["event"], "Behind his back.")), "it is in the history");
    let history = bob.history(&group).await;
    for message in [&before_removal, &after] {
        assert!(history.iter().any(|known| known["id"] == message["id"]));
    }
    for n in 0..3 {
        alice.send(&group, &format!("Once {n}")).await;
    }
    let heard = bob_hears.until(|event| says(event, "Once 2")).await;
    let said: Vec<_> =
        heard.iter().filter_map(|envelope| envelope["event"]["messageEdge"]["node"]["body"].as_str()).collect();
    assert_eq!(said, ["Once 0", "Once 1", "Once 2"], "each once");
});

story!(what_was_said_in_a_deleted_group_is_purged_also_after_a_restart, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let group = alice.create_group("Words to lose").await;
    alice.bring(&group, &bob).await;
    alice.send(&conversation, "To keep.").await;
    for n in 0..20 {
        let said = alice.send(&group, &format!("To lose {n}")).await;
        bob.send_input(json!({"conversationId": group, "body": "I lose this too.", "replyToId": said["id"]}))
            .await
            .ok();
    }
    alice.to_group("deleteGroup", &group).await.ok();
    assert!(server.terminate().await.success());
    assert_eq!(world.count("message").await, 41);
    world.sql("UPDATE conversation SET deleted_at = 1000 WHERE deleted_at IS NOT NULL").await;
    let server = world.server().await;
    eventually("the messages to go", async || (world.count("message").await == 1).then_some(())).await;
    eventually("the name to go", async || {
        (world.count_where("conversation", "name = 'Words to lose'").await == 0).then_some(())
    })
    .await;
    assert_eq!(world.count_where("event", "kind = 13").await, 1, "what tells of the deletion stays");
    assert_eq!(alice.at(&server).history(&conversation).await[0]["body"], "To keep.");
});

const LINK: &str = "inviteLink { id code uses maxUses expiresAt createdBy { id } group { id name memberCount } }";

async fn join(person: &Person, code: &str) -> Payload {
    person.mutate("joinGroup", json!({"code": code}), "group { id viewerRole memberCount }").await
}

story!(a_link_opens_a_group_while_it_lives, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let (carol, dave) = tokio::join!(server.person("carol"), server.person("dave"));
    let group = alice.create_group("Open house").await;
    alice.bring(&group, &bob).await;
    let alice_socket = alice.socket().await;
    let (mut alice_hears, _) = alice_socket.follow(None).await;

    let made = alice.mutate("createInviteLink", json!({"groupId": group, "maxUses": 2}), LINK).await;
    let link = made.ok()["inviteLink"].clone();
    let code = link["code"].as_str().expect("the code is shown to its maker").to_owned();
    let id = link["id"].as_str().expect("an id").to_owned();
    assert_eq!(link["createdBy"]["id"], alice.id.as_str());
    assert_eq!((&link["uses"], &link["maxUses"], &link["expiresAt"]), (&json!(0), &json!(2), &Value::Null));

    // The code is shown once. The owner and admins see the link; a member does not.
    let links = async |person: &Person| {
        person.conversation(&group, &format!("... on Group {{ inviteLinks {{ {} }} }}", LINK_FIELDS)).await["inviteLinks"].clone()
    };
    let node = "query($id: ID!) { node(id: $id) { ... on InviteLink { id code } } }";
    let shown = links(&alice).await;
    assert_eq!(shown[0]["id"], id.as_str());
    assert!(shown[0]["code"].is_null());
    assert_eq!(alice.ask(node, json!({"id": id})).await["node"], json!({"id": id, "code": null}));
    assert_eq!(links(&bob).await, json!([]));
    assert!(bob.ask(node, json!({"id": id})).await["node"].is_null());
    alice.give_role(&group, &bob, "ADMIN").await.ok();
    assert_eq!(links(&bob).await[0]["id"], id.as_str());
    assert_eq!(bob.ask(node, json!({"id": id})).await["node"]["id"], id.as_str());

    // A look counts nothing and tells a stranger of nobody.
    let preview = "query($code: String!) { inviteLink(code: $code) { code uses createdBy { id } group { id name description memberCount } } }";
    for _ in 0..3 {
        let seen = carol.ask(preview, json!({"code": code})).await["inviteLink"].clone();
        assert_eq!(
            seen,
            json!({"code": null, "uses": 0, "createdBy": null,
                "group": {"id": group, "name": "Open house", "description": null, "memberCount": 2}})
        );
    }
    assert!(carol.conversation(&group, "id").await.is_null(), "a look is no membership");

    let carol_socket = carol.socket().await;
    let (mut carol_hears, _) = carol_socket.follow(None).await;
    let joined = join(&carol, &code).await;
    assert_eq!(joined.ok()["group"], json!({"id": group, "viewerRole": "MEMBER", "memberCount": 3}));
    alice_hears.until(|event| member_is(event, &group, &carol, "MEMBER")).await;
    carol_hears.until(|event| conversation_is(event, &group, |group| group["viewerCanSend"] == true)).await;
    alice.send(&group, "Welcome, Carol.").await;
    carol_hears.until(|event| says(event, "Welcome, Carol.")).await;
    let again = join(&carol, &code).await;
    assert_eq!(again.code(), Some("ALREADY_MEMBER"));
    assert_eq!(again.value()["group"]["id"], group.as_str(), "with the group");
    assert_eq!(links(&alice).await[0]["uses"], 1);

    // The link goes on without the role of its maker, until it is revoked.
    alice.to_member("transferOwnership", &group, &bob).await.ok();
    bob.to_member("removeMember", &group, &alice).await.ok();
    assert!(alice.ask(node, json!({"id": id})).await["node"].is_null());
    assert_eq!(
        carol.mutate("revokeInviteLink", json!({"inviteLinkId": id}), "inviteLink { id }").await.code(),
        Some("NOT_FOUND")
    );
    assert!(!dave.ask(preview, json!({"code": code})).await["inviteLink"].is_null());
    bob.mutate("revokeInviteLink", json!({"inviteLinkId": id}), "inviteLink { id }").await.ok();
    let over = join(&dave, &code).await;
    assert_eq!(over.code(), Some("INVALID_TOKEN"));
    assert!(dave.ask(preview, json!({"code": code})).await["inviteLink"].is_null());
    assert_eq!(links(&bob).await, json!([]));

    // Whatever the reason, it is one answer.
    let make = async |input: Value| {
        let mut input = input;
        input["groupId"] = json!(group);
        bob.mutate("createInviteLink", input, "inviteLink { code }").await.ok()["inviteLink"]["code"]
            .as_str()
            .expect("a code")
            .to_owned()
    };
    let used_up = make(json!({"maxUses": 1})).await;
    join(&alice, &used_up).await.ok();
    let expired = make(json!({"expiresAt": "2999-01-01T00:00:00Z"})).await;
    world.sql("UPDATE invite_link SET expires_at = 1000 WHERE expires_at IS NOT NULL").await;
    let of_the_deleted = make(json!({})).await;
    bob.to_group("deleteGroup", &group).await.ok();
    for code in [&used_up, &expired, &of_the_deleted, "AAAAAAAAAAAAAAAAAAAAAA", "nonsense", ""] {
        assert_eq!(join(&dave, code).await.answer.text, over.answer.text, "{code:?}");
        assert!(dave.ask(preview, json!({"code": code})).await["inviteLink"].is_null());
    }
});

const LINK_FIELDS: &str = "id code uses maxUses createdBy { id }";

story!(an_invite_into_a_group_ends_with_the_group_and_is_hidden_from_who_blocked_the_inviter, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let (carol, stranger) = tokio::join!(server.person("carol"), server.person("stranger"));
    alice.befriend(&carol).await;
    let group = alice.create_group("The group").await;
    let bob_socket = bob.socket().await;
    let (mut bob_hears, _) = bob_socket.follow(None).await;

    // Whom one cannot find is like nobody.
    let hidden = alice.invite_to(&group, &stranger).await;
    let input = json!({"group": {"groupId": group, "username": "nobody_at_all", "note": "Come in."}});
    let nobody = alice.mutate("sendInvite", input, "invite { id kind status group { id name } invitee { id } }").await;
    assert_eq!(hidden.code(), Some("NOT_FOUND"));
    assert_eq!(hidden.answer.text, nobody.answer.text);

    // Carol has blocked Alice, who sees what she would see otherwise.
    carol.to_user("blockUser", &alice).await.ok();
    let to_carol = alice.invite_to(&group, &carol).await;
    assert_eq!(to_carol.ok()["invite"]["status"], "PENDING");
    assert!(carol.invites("INCOMING").await.iter().all(|invite| invite["kind"] != "GROUP"));
    let hidden = to_carol.ok()["invite"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(carol.answer_invite("acceptInvite", &hidden).await.code(), Some("NOT_FOUND"));
    assert_eq!(alice.invite_to(&group, &carol).await.code(), Some("ALREADY_INVITED"));
    // Nor can she tell by another admin, who invites as if there were none.
    let dave = server.person("dave").await;
    alice.befriend(&dave).await;
    alice.bring(&group, &dave).await;
    alice.give_role(&group, &dave, "ADMIN").await.ok();
    dave.befriend(&carol).await;
    let by_dave = dave.invite_to(&group, &carol).await;
    let seen = by_dave.ok()["invite"]["id"].as_str().expect("an id").to_owned();
    assert!(carol.invites("INCOMING").await.iter().any(|invite| invite["id"] == seen.as_str()));
    for person in [&alice, &dave] {
        assert_eq!(person.invite_to(&group, &carol).await.code(), Some("ALREADY_INVITED"));
    }

    let to_bob = alice.invite_to(&group, &bob).await;
    let invite = to_bob.ok()["invite"]["id"].as_str().expect("an id").to_owned();
    bob_hears.until(|event| event["invite"]["id"] == invite.as_str()).await;
    alice.to_group("deleteGroup", &group).await.ok();
    bob_hears.until(|event| event["invite"]["id"] == invite.as_str() && event["invite"]["status"] == "REVOKED").await;
    assert_eq!(bob.answer_invite("acceptInvite", &invite).await.code(), Some("INVITE_NOT_PENDING"));
    let statuses: Vec<_> = alice
        .invites("OUTGOING")
        .await
        .iter()
        .filter(|invite| invite["kind"] == "GROUP")
        .map(|invite| invite["status"].clone())
        .collect();
    assert_eq!(statuses, ["REVOKED", "ACCEPTED", "REVOKED"], "Dave's is the one in the middle");

    // Blocking ends what was pending, as with invites to be friends.
    let group = alice.create_group("Another").await;
    let to_bob = alice.invite_to(&group, &bob).await;
    let invite = to_bob.ok()["invite"]["id"].as_str().expect("an id").to_owned();
    bob.to_user("blockUser", &alice).await.ok();
    assert_eq!(bob.answer_invite("acceptInvite", &invite).await.code(), Some("NOT_FOUND"));
    assert_eq!(alice.invites("OUTGOING").await[0]["status"], "PENDING", "she is not told");
    alice.bring(&group, &dave).await;
    alice.give_role(&group, &dave, "ADMIN").await.ok();
    dave.befriend(&bob).await;
    assert_eq!(alice.invite_to(&group, &bob).await.code(), Some("ALREADY_INVITED"), "as by hers");
    let by_dave = dave.invite_to(&group, &bob).await;
    let seen = by_dave.ok()["invite"]["id"].as_str().expect("an id").to_owned();
    let accepted = bob.answer_invite("acceptInvite", &seen).await;
    assert_eq!(conversation_id_of(accepted.ok()), group);
});

story!(who_is_out_of_a_group_does_not_come_back_by_an_older_invite, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let dave = server.person("dave").await;
    alice.befriend(&dave).await;
    dave.befriend(&bob).await;
    let alice_socket = alice.socket().await;
    let (mut alice_hears, _) = alice_socket.follow(None).await;
    let bob_socket = bob.socket().await;
    let (mut bob_hears, _) = bob_socket.follow(None).await;
    for ending in ["removeMember", "leaveGroup"] {
        let group = alice.create_group("The group").await;
        alice.bring(&group, &dave).await;
        alice.give_role(&group, &dave, "ADMIN").await.ok();
        let made = alice.mutate("createInviteLink", json!({"groupId": group}), "inviteLink { code }").await;
        let code = made.ok()["inviteLink"]["code"].clone();
        let invited = alice.invite_to(&group, &bob).await;
        let invite = invited.ok()["invite"]["id"].clone();
        // He comes by the link: with that the invite is accepted.
        bob.mutate("joinGroup", json!({"code": code}), "group { id }").await.ok();
        let accepted = |event: &Value| event["invite"]["id"] == invite && event["invite"]["status"] == "ACCEPTED";
        alice_hears.until(accepted).await;
        bob_hears.until(accepted).await;
        let answer = async || bob.answer_invite("acceptInvite", invite.as_str().expect("an id")).await;
        assert_eq!(answer().await.code(), Some("INVITE_NOT_PENDING"));
        // And if one were left, as by a server of before, it would end with his membership.
        world.sql(r#"UPDATE invite SET status = 'pending' WHERE status = 'accepted' AND kind = 'group'"#).await;
        match ending {
            "removeMember" => alice.to_member("removeMember", &group, &bob).await.ok().clone(),
            _ => bob.to_group("leaveGroup", &group).await.ok().clone(),
        };
        let revoked = |event: &Value| event["invite"]["id"] == invite && event["invite"]["status"] == "REVOKED";
        alice_hears.until(revoked).await;
        assert_eq!(answer().await.code(), Some("INVITE_NOT_PENDING"));
        assert!(bob.conversation(&group, "id").await.is_null());
        world.sql(r#"UPDATE invite SET status = 'accepted' WHERE status = 'pending' AND kind = 'group'"#).await;
        // A new one lets him in again.
        alice.bring(&group, &bob).await;
        alice.to_group("deleteGroup", &group).await.ok();
    }
});

story!(an_invite_into_a_group_ends_with_the_friendship_however_that_ends, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    let group = alice.create_group("The group").await;
    let mut told = Vec::new();
    for (name, ending) in [("bob", "removeFriend"), ("eve", "blockUser")] {
        let other = server.person(name).await;
        alice.befriend(&other).await;
        let socket = other.socket().await;
        let (mut hears, _) = socket.follow(None).await;
        let invited = alice.invite_to(&group, &other).await;
        let invite = invited.ok()["invite"]["id"].as_str().expect("an id").to_owned();
        hears.until(|event| event["invite"]["id"] == invite.as_str()).await;
        alice.to_user(ending, &other).await.ok();
        // In no order: they are of several topics.
        let mut kinds = Vec::new();
        for _ in 0..3 {
            kinds.push(hears.next().await["event"]["__typename"].as_str().expect("a kind").to_owned());
        }
        kinds.sort();
        let answer = other.answer_invite("acceptInvite", &invite).await;
        let invites: Vec<Value> = other.invites("INCOMING").await.iter().map(|it| it["status"].clone()).collect();
        told.push((kinds, answer.code().map(str::to_owned), invites));
    }
    assert_eq!(told[0], told[1], "nothing tells the two apart");
    assert_eq!(told[0].0, ["ConversationChanged", "FriendshipChanged", "InviteChanged"]);
    assert_eq!((told[0].1.as_deref(), &told[0].2[0]), (Some("INVITE_NOT_PENDING"), &json!("REVOKED")));
});

story!(who_is_invited_sees_of_the_group_the_same_by_its_id_as_by_the_invite, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let group = alice.create_group("The group").await;
    alice.send(&group, "Among ourselves.").await;
    let by_id = async |person: &Person| {
        let query = "query($id: ID!) {
            node(id: $id) { ...Shown } nodes(ids: [$id]) { ...Shown } conversation(id: $id) { id }
        }
        fragment Shown on Group { id name description memberCount viewerRole viewerCanSend unreadCount lastActivityAt
            lastMessage { id } messages { edges { cursor } } members { totalCount edges { cursor } } }";
        person.ask(query, json!({"id": group})).await
    };
    let by_invite = async |person: &Person| {
        let query = "{ viewer { invites { nodes { kind group { id name description memberCount viewerRole viewerCanSend
            unreadCount lastActivityAt lastMessage { id } messages { edges { cursor } }
            members { totalCount edges { cursor } } } } } } }";
        let data = person.ask(query, json!({})).await;
        let nodes = data["viewer"]["invites"]["nodes"].as_array().expect("a list").clone();
        nodes.into_iter().find(|node| node["kind"] == "GROUP").expect("the invite")["group"].take()
    };
    let nothing = json!({"node": null, "nodes": [null], "conversation": null});
    assert_eq!(by_id(&bob).await, nothing);
    for (mutation, person) in [("rejectInvite", &bob), ("revokeInvite", &alice)] {
        let invited = alice.invite_to(&group, &bob).await;
        let invite = invited.ok()["invite"]["id"].as_str().expect("an id").to_owned();
        let shown = by_invite(&bob).await;
        assert_eq!((&shown["name"], &shown["memberCount"]), (&json!("The group"), &json!(1)));
        assert_eq!((&shown["lastMessage"], &shown["messages"]["edges"]), (&Value::Null, &json!([])));
        assert_eq!(by_id(&bob).await, json!({"node": shown, "nodes": [shown], "conversation": null}));
        person.answer_invite(mutation, &invite).await.ok();
        assert_eq!(by_id(&bob).await, nothing, "after {mutation}");
    }
    // Nor for whom it is hidden from.
    bob.to_user("blockUser", &alice).await.ok();
    bob.ask("{ viewer { id } }", json!({})).await;
    assert_eq!(by_id(&bob).await, nothing);
});

/// The life of a group on one process, heard on another.
async fn heard_elsewhere(here: &Server, there: &Server) {
    let (alice, bob, _) = here.friends("alice", "bob").await;
    let socket = bob.at(there).socket().await;
    let (mut hears, _) = socket.follow(None).await;
    let group = alice.create_group("The group").await;
    for round in 0..3 {
        alice.bring(&group, &bob).await;
        hears.until(|event| conversation_is(event, &group, |group| group["viewerCanSend"] == true)).await;
        let mut listens = socket.listen(&group, &alice).await;
        alice.send(&group, &format!("Hello {round}")).await;
        hears.until(|event| says(event, &format!("Hello {round}"))).await;
        alice.give_role(&group, &bob, "ADMIN").await.ok();
        hears.until(|event| member_is(event, &group, &bob, "ADMIN")).await;
        let name = format!("Round {round}");
        alice.mutate("updateGroup", json!({"groupId": group, "name": name}), "group { id }").await.ok();
        hears.until(|event| conversation_is(event, &group, |group| group["name"] == name.as_str())).await;
        alice.send(&group, "The last that he hears.").await;
        alice.to_member("removeMember", &group, &bob).await.ok();
        let behind = format!("Behind his back {round}");
        alice.send(&group, &behind).await;
        let said = async {
            let mut said = Vec::new();
            loop {
                match listens.hear().await {
                    Heard::Next(payload) => {
                        let node = &payload["data"]["messageEvents"]["messageEdge"]["node"];
                        said.push(node["body"].as_str().expect("a body").to_owned());
                    }
                    Heard::Error(errors) => {
                        assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND");
                        return said;
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        let said = within(PATIENCE * 2, "the end of the subscription", said).await;
        assert_eq!(said.last().map(String::as_str), Some("The last that he hears."), "all before, and nothing after");
        let heard = hears.until(|event| is_gone(event, &group)).await;
        assert!(heard.iter().all(|envelope| !says(&envelope["event"], &behind)));
        assert!(bob.at(there).conversation(&group, "id").await.is_null());
    }
    alice.bring(&group, &bob).await;
    hears.until(|event| conversation_is(event, &group, |group| group["viewerCanSend"] == true)).await;
    alice.to_group("deleteGroup", &group).await.ok();
    hears.until(|event| is_gone(event, &group)).await;
    assert!(socket.is_open());
}

full_story!(a_group_on_one_process_is_heard_on_another, |world| async {
    let (a, b) = (world.server().await, world.server().await);
    heard_elsewhere(&a, &b).await;
});

full_story!(a_group_on_one_process_is_heard_on_another_without_redis, |world| async {
    let mut redis = Redis::private(world).await;
    let options = || Options::default().redis(redis.url()).set("KITH_RECONCILE_SECONDS", "0.5");
    let (a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    redis.kill().await;
    heard_elsewhere(&a, &b).await;
});

full_story!(without_redis_who_is_removed_hears_all_of_before_and_then_that_they_are_out, |world| async {
    let redis = Redis::private(world).await;
    let options = || Options::default().redis(redis.url()).set("KITH_RECONCILE_SECONDS", "0.5");
    let (a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    let (alice, bob, _) = a.friends("alice", "bob").await;
    let socket = bob.at(&b).socket().await;
    let group = alice.create_group("The group").await;
    alice.bring(&group, &bob).await;
    let (mut hears, _) = socket.follow(None).await;
    redis.freeze();
    for round in 0..3 {
        for n in 0..5 {
            alice.send(&group, &format!("{round} {n}")).await;
        }
        alice.to_member("removeMember", &group, &bob).await.ok();
        let heard = hears.until(|event| is_gone(event, &group)).await;
        let said: Vec<&str> =
            heard.iter().filter_map(|envelope| envelope["event"]["messageEdge"]["node"]["body"].as_str()).collect();
        let sent: Vec<String> = (0..5).map(|n| format!("{round} {n}")).collect();
        assert_eq!(said, sent, "all of it, before the end");
        alice.bring(&group, &bob).await;
        let since = hears.until(|event| conversation_is(event, &group, |group| group["viewerCanSend"] == true)).await;
        assert!(
            since.iter().all(|envelope| envelope["event"]["messageEdge"].is_null()),
            "nothing of before: {since:?}"
        );
    }
    redis.thaw();
});

full_story!(verbs_of_two_processes_at_once_leave_one_owner_or_no_group, |world| async {
    let (a, b) = (world.server().await, world.server().await);
    let (alice, bob, _) = a.friends("alice", "bob").await;
    let carol = a.person("carol").await;
    alice.befriend(&carol).await;
    for round in 0..6 {
        let group = alice.create_group("Contested").await;
        for person in [&bob, &carol] {
            alice.bring(&group, person).await;
        }
        alice.give_role(&group, &bob, "ADMIN").await.ok();
        let (alice_b, bob_b) = (alice.at(&b), bob.at(&b));
        let last = async {
            match round % 2 {
                0 => alice_b.to_group("deleteGroup", &group).await,
                _ => bob_b.to_member("removeMember", &group, &carol).await,
            }
        };
        tokio::join!(
            alice.to_member("transferOwnership", &group, &bob),
            alice_b.to_member("transferOwnership", &group, &carol),
            alice.to_group("leaveGroup", &group),
            bob_b.to_group("leaveGroup", &group),
            bob.to_member("transferOwnership", &group, &alice),
            alice_b.give_role(&group, &bob, "MEMBER"),
            carol.to_group("leaveGroup", &group),
            last,
        );
        let id = world.count_where("conversation", "kind = 'group' AND deleted_at IS NULL").await;
        let n_owners = world.count_where("member", "role = 'owner'").await;
        assert_eq!(id, n_owners, "each group that is left has one owner");
    }
});

story!(several_who_write_in_a_group_agree_on_one_order_without_gaps, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let carol = server.person("carol").await;
    alice.befriend(&carol).await;
    let group = alice.create_group("Everybody talks").await;
    alice.bring(&group, &bob).await;
    alice.bring(&group, &carol).await;
    let socket = bob.socket().await;
    let mut listens = socket.listen(&group, &alice).await;
    let last = bob.history(&group).await.len() as i64;
    const N: i64 = 30;
    let speaks = async |person: &Person| {
        for n in 0..N {
            person.send(&group, &format!("{} {n}", person.name)).await;
        }
    };
    tokio::join!(speaks(&alice), speaks(&bob), speaks(&carol));
    let mut heard = Vec::new();
    for _ in 0..3 * N {
        heard.push(listens.next().await["messageEdge"]["node"]["sequence"].as_i64().expect("a number"));
    }
    assert_eq!(heard, (last + 1..=last + 3 * N).collect::<Vec<_>>());
    let unread = carol.conversation(&group, "unreadCount lastMessage { sender { username } }").await;
    let said = carol.history(&group).await;
    let after_carol = said.iter().rev().take_while(|message| message["sender"]["id"] != carol.id.as_str()).count();
    assert_eq!(unread["unreadCount"], after_carol as i64);
});
