//! How strangers become friends, and how they part.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{story, support::*};

/// Whether an event tells of an invite in a status.
fn invite_is(event: &Value, invite_id: &Value, status: &str) -> bool {
    event["__typename"] == "InviteChanged" && event["invite"]["id"] == *invite_id && event["invite"]["status"] == status
}

/// Whether an event tells how the listener stands to somebody now.
fn stands_to(event: &Value, person: &Person, relationship: &str) -> bool {
    event["__typename"] == "FriendshipChanged"
        && event["user"]["id"] == person.id.as_str()
        && event["user"]["relationship"] == relationship
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["body"].as_str().expect("a body")).collect()
}

story!(two_people_become_friends_and_talk_live_and_a_restart_keeps_it, |world| async {
    let server = world.server().await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    let (alice_socket, bob_socket) = tokio::join!(alice.socket(), bob.socket());
    let (mut alice_hears, _) = alice_socket.follow(None).await;
    let (mut bob_hears, _) = bob_socket.follow(None).await;

    let invited = alice.invite(&bob).await;
    let invite = &invited.ok()["invite"];
    assert_eq!(invite["status"], "PENDING");
    assert_eq!(invite["kind"], "FRIEND");
    assert_eq!(invite["note"], "It is me.");
    assert!(invited.ok()["conversation"].is_null(), "an invite alone opens nothing");
    bob_hears.until(|event| invite_is(event, &invite["id"], "PENDING")).await;
    alice_hears.until(|event| invite_is(event, &invite["id"], "PENDING")).await;
    assert_eq!(alice.relationship_to(&bob).await, "INVITE_SENT");
    assert_eq!(bob.relationship_to(&alice).await, "INVITE_RECEIVED");

    let accepted = bob.answer_invite("acceptInvite", invite["id"].as_str().expect("an id")).await;
    assert_eq!(accepted.ok()["invite"]["status"], "ACCEPTED");
    assert_eq!(accepted.ok()["conversation"]["viewerCanSend"], true);
    let conversation = conversation_id_of(accepted.ok());
    // One change, several events; in which order they come is not promised.
    let heard = alice_hears.until(|event| stands_to(event, &bob, "FRIEND")).await;
    if !heard.iter().any(|envelope| invite_is(&envelope["event"], &invite["id"], "ACCEPTED")) {
        alice_hears.until(|event| invite_is(event, &invite["id"], "ACCEPTED")).await;
    }
    bob_hears.until(|event| stands_to(event, &alice, "FRIEND")).await;
    for (person, peer) in [(&alice, &bob), (&bob, &alice)] {
        let viewer = person
            .viewer("friends(first: 10) { totalCount edges { since node { id relationship conversation { id } } } }")
            .await;
        assert_eq!(viewer["friends"]["totalCount"], 1);
        let friend = &viewer["friends"]["edges"][0]["node"];
        assert_eq!(
            *friend,
            json!({"id": peer.id, "relationship": "FRIEND", "conversation": {"id": conversation}}),
            "{} sees the friend",
            person.name
        );
    }

    let mut bob_listens = bob_socket.listen(&conversation, &alice).await;
    let mut alice_listens = alice_socket.listen(&conversation, &bob).await;
    bob_listens.up_to_now(&bob, &conversation).await;
    let mut said = bodies(&alice.history(&conversation).await).into_iter().map(str::to_owned).collect::<Vec<_>>();
    for n in 0..10 {
        let (speaker, body) = if n % 2 == 0 { (&alice, format!("ping {n}")) } else { (&bob, format!("pong {n}")) };
        speaker.send(&conversation, &body).await;
        for (name, ears) in [("alice", &mut alice_listens), ("bob", &mut bob_listens)] {
            let event = ears.next().await;
            assert_eq!(event["type"], "ADDED");
            assert_eq!(event["messageEdge"]["node"]["body"], body.as_str(), "{name} hears it, in order");
            assert_eq!(event["messageEdge"]["node"]["sender"]["id"], speaker.id.as_str());
        }
        said.push(body);
    }

    assert!(server.terminate().await.success());
    let server = world.server().await;
    for person in [alice.at(&server), bob.at(&server)] {
        assert_eq!(bodies(&person.history(&conversation).await), said, "{} still reads everything", person.name);
    }
});

story!(crossing_invites_make_friends, |world| async {
    let server = world.server().await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    alice.invite(&bob).await.ok();
    let crossing = bob.invite(&alice).await;
    assert_eq!(crossing.ok()["invite"]["status"], "ACCEPTED");
    let conversation = conversation_id_of(crossing.ok());
    alice.send(&conversation, "At the same time!").await;
    assert_eq!(bodies(&bob.history(&conversation).await), ["At the same time!"]);
});

story!(invites_sent_in_the_same_moment_make_friends_once, |world| async {
    let server = world.server().await;
    for n in 0..4 {
        let (one_name, other_name) = (format!("one{n}"), format!("other{n}"));
        let (one, other) = tokio::join!(server.person(&one_name), server.person(&other_name));
        // Two devices of each press the button at once.
        let (a, b, c, d) = tokio::join!(one.invite(&other), other.invite(&one), one.invite(&other), other.invite(&one));
        for payload in [a, b, c, d] {
            assert!(
                matches!(payload.code(), None | Some("ALREADY_INVITED" | "ALREADY_FRIENDS")),
                "{}",
                payload.answer.text
            );
        }
        for person in [&one, &other] {
            let viewer = person.viewer("friends { totalCount } conversations { nodes { id viewerCanSend } }").await;
            assert_eq!(viewer["friends"]["totalCount"], 1);
            assert_eq!(viewer["conversations"]["nodes"].as_array().expect("a list").len(), 1);
            assert_eq!(viewer["conversations"]["nodes"][0]["viewerCanSend"], true);
        }
        assert!(one.invites("INCOMING").await.iter().all(|invite| invite["status"] != "PENDING"));
        assert!(one.invites("OUTGOING").await.iter().all(|invite| invite["status"] != "PENDING"));
    }
});

story!(an_invite_is_answered_once_and_only_by_those_it_concerns, |world| async {
    let server = world.server().await;
    let (alice, bob, eve) = tokio::join!(server.person("alice"), server.person("bob"), server.person("eve"));
    let id_of = |payload: &Payload| payload.ok()["invite"]["id"].as_str().expect("an id").to_owned();

    let invite = id_of(&alice.invite(&bob).await);
    assert_eq!(alice.invite(&bob).await.code(), Some("ALREADY_INVITED"));
    assert_eq!(alice.answer_invite("acceptInvite", &invite).await.code(), Some("FORBIDDEN"));
    assert_eq!(alice.answer_invite("rejectInvite", &invite).await.code(), Some("FORBIDDEN"));
    assert_eq!(bob.answer_invite("revokeInvite", &invite).await.code(), Some("FORBIDDEN"));
    for mutation in ["acceptInvite", "rejectInvite", "revokeInvite"] {
        assert_eq!(eve.answer_invite(mutation, &invite).await.code(), Some("NOT_FOUND"), "{mutation}");
    }
    let bob_socket = bob.socket().await;
    let alice_socket = alice.socket().await;
    let (mut bob_hears, _) = bob_socket.follow(None).await;
    let (mut alice_hears, _) = alice_socket.follow(None).await;
    let rejected = bob.answer_invite("rejectInvite", &invite).await;
    assert_eq!(rejected.ok()["invite"]["status"], "REJECTED");
    assert!(rejected.ok()["conversation"].is_null());
    alice_hears.until(|event| invite_is(event, &json!(invite), "REJECTED")).await;
    for (person, mutation) in [(&bob, "acceptInvite"), (&bob, "rejectInvite"), (&alice, "revokeInvite")] {
        let again = person.answer_invite(mutation, &invite).await;
        assert_eq!(again.code(), Some("INVITE_NOT_PENDING"), "{mutation}");
    }

    let invite = id_of(&eve.invite(&bob).await);
    bob_hears.until(|event| invite_is(event, &json!(invite), "PENDING")).await;
    assert_eq!(eve.answer_invite("revokeInvite", &invite).await.ok()["invite"]["status"], "REVOKED");
    bob_hears.until(|event| invite_is(event, &json!(invite), "REVOKED")).await;
    assert_eq!(bob.answer_invite("acceptInvite", &invite).await.code(), Some("INVITE_NOT_PENDING"));
    assert_eq!(bob.viewer("friends { totalCount }").await["friends"]["totalCount"], 0);
    assert!(eve.invite(&bob).await.code().is_none(), "what was revoked can be sent again");

    assert!(alice.invite(&alice).await.code().is_some(), "nobody befriends themselves");
    assert_eq!(alice.invite_username("nobody_has_this_name").await.code(), Some("NOT_FOUND"));
    assert_eq!(alice.invite_username("").await.answer.status, 200, "an empty name is refused politely");
});

story!(an_expired_invite_cannot_be_accepted_and_makes_room_for_another, |world| async {
    let server = world.server().await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    let invited = alice.invite(&bob).await;
    let invite = invited.ok()["invite"]["id"].as_str().expect("an id");
    world.sql("UPDATE invite SET expires_at = 1000").await;
    assert_eq!(bob.invites("INCOMING").await[0]["status"], "EXPIRED");
    assert_eq!(bob.answer_invite("acceptInvite", invite).await.code(), Some("INVITE_NOT_PENDING"));
    assert_eq!(alice.relationship_to(&bob).await, "NONE", "an expired invite is no relation");
    let conversation = alice.befriend(&bob).await;
    bob.send(&conversation, "The second letter came in time.").await;
});

story!(an_invite_accepted_and_revoked_in_the_same_moment_is_one_of_the_two, |world| async {
    let server = world.server().await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    for _ in 0..5 {
        let invited = alice.invite(&bob).await;
        let invite = invited.ok()["invite"]["id"].as_str().expect("an id");
        let (accepted, revoked) =
            tokio::join!(bob.answer_invite("acceptInvite", invite), alice.answer_invite("revokeInvite", invite));
        let outcomes = [accepted.code(), revoked.code()];
        assert!(
            matches!(outcomes, [None, Some("INVITE_NOT_PENDING")] | [Some("INVITE_NOT_PENDING"), None]),
            "{outcomes:?}"
        );
        let expected = if accepted.code().is_none() { "FRIEND" } else { "NONE" };
        assert_eq!(alice.relationship_to(&bob).await, expected);
        if expected == "FRIEND" {
            alice.to_user("removeFriend", &bob).await.ok();
        }
    }
});

story!(after_unfriending_nobody_can_send_and_both_can_still_read, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let message = alice.send(&conversation, "Remember this.").await;
    assert_eq!(alice.invite(&bob).await.code(), Some("ALREADY_FRIENDS"));
    let bob_socket = bob.socket().await;
    let (mut bob_hears, _) = bob_socket.follow(None).await;

    assert_eq!(alice.to_user("removeFriend", &bob).await.ok()["user"]["relationship"], "NONE");
    bob_hears.until(|event| stands_to(event, &alice, "NONE")).await;
    assert!(alice.to_user("removeFriend", &bob).await.code().is_some(), "they are no friends any more");
    for person in [&alice, &bob] {
        let sent = person.send_input(json!({"conversationId": conversation, "body": "One more thing"})).await;
        assert_eq!(sent.code(), Some("NOT_FRIENDS"));
        assert_eq!(person.conversation(&conversation, "viewerCanSend").await["viewerCanSend"], false);
        assert_eq!(bodies(&person.history(&conversation).await), ["Remember this."]);
    }
    let edit = json!({"messageId": message["id"], "body": "Forget it."});
    let edited = alice.mutate("editMessage", edit, "messageEdge { node { body } }").await;
    assert!(
        matches!(edited.code(), Some("NOT_FRIENDS" | "FORBIDDEN")),
        "an edit is something new to read: {}",
        edited.answer.text
    );

    assert_eq!(bob.befriend(&alice).await, conversation, "friends again, in the same room");
    assert_eq!(bob.send(&conversation, "There you are.").await["sequence"], 2);
});

/// What `messageEvents` says up to a message, that one included.
async fn up_to(ears: &mut Subscription, message: &Value) -> Vec<Value> {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|event: &Value| event["messageEdge"]["node"]["id"] != message["id"]) {
        heard.push(ears.next().await);
    }
    heard
}

story!(what_was_deleted_meanwhile_is_told_when_friends_again, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let mut said = Vec::new();
    for n in 0..4 {
        said.push(alice.send(&conversation, &format!("Said {n}.")).await);
    }
    let by_bob = bob.send(&conversation, "And I.").await;
    let socket = bob.socket().await;
    let mut listens = socket.listen(&conversation, &alice).await;
    let (mut hears, _) = socket.follow(None).await;
    let marker = alice.send(&conversation, "The last.").await;
    let cursor = up_to(&mut listens, &marker).await.pop().expect("the marker")["cursor"].clone();
    let of_log = hears
        .until(|event| event["messageEdge"]["node"]["id"] == marker["id"])
        .await
        .pop()
        .expect("the marker")["cursor"]
        .clone();
    let delete = async |person: &Person, message: &Value| {
        person.mutate("deleteMessage", json!({"messageId": message["id"]}), "messageEdge { node { id } }").await.ok();
    };

    alice.to_user("removeFriend", &bob).await.ok();
    hears.until(|event| stands_to(event, &alice, "NONE")).await;
    // In another order than they were said; one of them twice, and one by Bob.
    for message in [&said[2], &said[0], &said[0]] {
        delete(&alice, message).await;
    }
    delete(&bob, &by_bob).await;
    let expected = [&said[0], &said[2], &by_bob].map(|message| message["id"].clone());
    assert!(listens.try_next(Duration::from_millis(500)).await.is_none(), "nothing while it is closed");

    alice.befriend(&bob).await;
    let again = alice.send(&conversation, "Again.").await;
    let deleted = |events: &[Value]| -> Vec<Value> {
        let deleted = events.iter().filter(|event| event["type"] == "DELETED");
        deleted
            .map(|event| {
                assert!(event["messageEdge"]["node"]["body"].is_null(), "{event}");
                event["messageEdge"]["node"]["id"].clone()
            })
            .collect()
    };
    assert_eq!(deleted(&up_to(&mut listens, &again).await), expected, "live");
    let heard = hears.until(|event| event["messageEdge"]["node"]["id"] == again["id"]).await;
    let heard: Vec<Value> = heard.into_iter().map(|envelope| envelope["event"].clone()).collect();
    assert_eq!(deleted(&heard), expected, "live, on the stream of everything");
    let mut resumed = socket.subscribe(MESSAGE_EVENTS, json!({"conversationId": conversation, "after": cursor}));
    assert_eq!(deleted(&up_to(&mut resumed, &again).await), expected, "replayed");
    let (_, replayed) = socket.follow(of_log.as_str()).await;
    let replayed: Vec<Value> = replayed.into_iter().map(|envelope| envelope["event"].clone()).collect();
    assert_eq!(deleted(&replayed), expected, "replayed, on the stream of everything");

    // What was told is not told again.
    alice.to_user("removeFriend", &bob).await.ok();
    delete(&alice, &said[3]).await;
    alice.befriend(&bob).await;
    let last = alice.send(&conversation, "And again.").await;
    assert_eq!(deleted(&up_to(&mut listens, &last).await), [said[3]["id"].clone()]);
});

story!(unfriending_is_final_for_sends_in_flight, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let bob_socket = bob.socket().await;
    let mut bob_listens = bob_socket.listen(&conversation, &alice).await;
    let sending = async {
        let mut accepted = Vec::new();
        loop {
            let input = json!({"conversationId": conversation, "body": "still here?"});
            let sent = alice.send_input(input).await;
            match sent.code() {
                None => accepted.push(sent.ok()["messageEdge"]["node"]["sequence"].as_i64().expect("a number")),
                Some("NOT_FRIENDS") => return accepted,
                other => panic!("{other:?}"),
            }
        }
    };
    let unfriending = async {
        for _ in 0..5 {
            bob_listens.next().await;
        }
        bob.to_user("removeFriend", &alice).await.ok();
        bob.history(&conversation).await.len()
    };
    let (accepted, n_when_unfriended) = within(PATIENCE, "both", async { tokio::join!(sending, unfriending) }).await;
    // Sequences have no gaps, so the history's length is the newest sequence there was.
    let newest = accepted.last().copied().expect("five were heard before");
    assert!(
        newest <= n_when_unfriended as i64,
        "{newest} was sent after the answer to removeFriend: {n_when_unfriended}"
    );
});

story!(a_blocked_person_is_not_told, |world| async {
    let server = world.server().await;
    let (alice, bob, carol, dave) =
        tokio::join!(server.person("alice"), server.person("bob"), server.person("carol"), server.person("dave"));
    let with_bob = alice.befriend(&bob).await;
    let with_dave = alice.befriend(&dave).await;
    let bob_socket = bob.socket().await;
    let (mut bob_hears, _) = bob_socket.follow(None).await;
    // Bob is blocked; Dave is only a friend no more. They must not be able to tell which they are.
    assert_eq!(alice.to_user("blockUser", &bob).await.ok()["user"]["relationship"], "BLOCKED");
    alice.to_user("removeFriend", &dave).await.ok();
    bob_hears.until(|event| stands_to(event, &alice, "NONE")).await;
    assert_eq!(alice.relationship_to(&bob).await, "BLOCKED");
    let blocked = alice.viewer("blockedUsers { nodes { username } }").await;
    assert_eq!(blocked["blockedUsers"]["nodes"], json!([{"username": "bob"}]));

    world.sql(r#"UPDATE "user" SET discoverable = TRUE"#).await;
    let queries = [
        "query($user: ID!) { node(id: $user) { ... on User { username displayName relationship } } }",
        "{ user(username: \"alice\") { id displayName relationship conversation { id } } }",
        "{ searchUsers(query: \"ali\") { nodes { id relationship } } }",
        "query($conversation: ID!) { conversation(id: $conversation) { viewerCanSend unreadCount
            ... on DirectConversation { peer { username relationship } } } }",
        "{ viewer { friends { totalCount } blockedUsers { nodes { id } } } }",
    ];
    for query in queries {
        let to_bob = bob.graphql(query, json!({"user": alice.id, "conversation": with_bob})).await;
        let to_dave = dave.graphql(query, json!({"user": alice.id, "conversation": with_dave})).await;
        assert_eq!(to_bob.errors(), &[] as &[Value], "{query}");
        assert_eq!(normalised(&to_bob.text), normalised(&to_dave.text), "{query}");
    }
    let send = |conversation: &str| json!({"conversationId": conversation, "body": "Hello?"});
    let (to_bob, to_dave) = (bob.send_input(send(&with_bob)).await, dave.send_input(send(&with_dave)).await);
    assert_eq!(normalised(&to_bob.answer.text), normalised(&to_dave.answer.text));

    // Both invite her again. She hears of one invite, and both see theirs as pending.
    let alice_socket = alice.socket().await;
    let (mut alice_hears, _) = alice_socket.follow(None).await;
    let from_bob = bob.invite(&alice).await;
    assert_eq!(from_bob.ok()["invite"]["status"], "PENDING");
    assert_eq!(bob.invites("OUTGOING").await[0]["status"], "PENDING");
    let from_carol = carol.invite(&alice).await;
    let heard = alice_hears.until(|event| invite_is(event, &from_carol.ok()["invite"]["id"], "PENDING")).await;
    assert!(
        !heard.iter().any(|envelope| envelope["event"]["__typename"] == "InviteChanged"
            && envelope["event"]["invite"]["inviter"]["id"] == bob.id.as_str()),
        "alice hears nothing of bob: {heard:?}"
    );
    let incoming = alice.invites("INCOMING").await;
    assert!(incoming.iter().all(|invite| invite["inviter"]["id"] != bob.id.as_str() || invite["status"] != "PENDING"));
    let accepted = alice.answer_invite("acceptInvite", from_bob.ok()["invite"]["id"].as_str().expect("an id")).await;
    assert!(accepted.code().is_some(), "what alice cannot see she cannot accept");
    assert_eq!(
        bob.answer_invite("revokeInvite", from_bob.ok()["invite"]["id"].as_str().expect("an id")).await.code(),
        None
    );

    alice.to_user("unblockUser", &bob).await.ok();
    assert_eq!(alice.relationship_to(&bob).await, "NONE", "unblocking is not befriending");
    assert_eq!(alice.befriend(&bob).await, with_bob);
});

story!(an_invite_that_a_block_has_hidden_is_there_again_after_it, |world| async {
    let server = world.server().await;
    let (alice, bob, carol) = tokio::join!(server.person("alice"), server.person("bob"), server.person("carol"));
    bob.befriend(&carol).await;
    let socket = carol.socket().await;
    let group = bob.create_group("The group").await;
    let from_alice = alice.invite(&carol).await.ok()["invite"]["id"].as_str().expect("an id").to_owned();
    let into_group = bob.invite_to(&group, &carol).await.ok()["invite"]["id"].as_str().expect("an id").to_owned();
    let pending = async || {
        let invites = carol.invites("INCOMING").await;
        let pending = invites.iter().filter(|invite| invite["status"] == "PENDING");
        pending.map(|invite| invite["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(pending().await, [into_group.clone(), from_alice.clone()]);
    let (mut hears, _) = socket.follow(None).await;
    let alice_socket = alice.socket().await;
    let (mut alice_hears, _) = alice_socket.follow(None).await;
    for person in [&alice, &bob] {
        carol.to_user("blockUser", person).await.ok();
        hears.until(|event| stands_to(event, person, "BLOCKED")).await;
    }
    assert_eq!(pending().await, [] as [String; 0]);
    // One is sent under the block, after the first was taken back.
    alice.answer_invite("revokeInvite", &from_alice).await.ok();
    alice_hears.until(|event| invite_is(event, &json!(from_alice), "REVOKED")).await;
    let meanwhile = alice.invite(&carol).await.ok()["invite"]["id"].as_str().expect("an id").to_owned();
    alice_hears.until(|event| invite_is(event, &json!(meanwhile), "PENDING")).await;
    for person in [&alice, &bob] {
        carol.to_user("unblockUser", person).await.ok();
    }
    let heard = hears.until(|event| stands_to(event, &bob, "NONE")).await;
    let told: Vec<&Value> =
        heard.iter().map(|envelope| &envelope["event"]["invite"]["id"]).filter(|id| !id.is_null()).collect();
    assert_eq!(told, [&json!(into_group)]);
    assert_eq!(pending().await, std::slice::from_ref(&into_group), "what came under the block stays hidden");
    let accepted = carol.answer_invite("acceptInvite", &into_group).await;
    assert_eq!(conversation_id_of(accepted.ok()), group);
    // And of all that, who was blocked has heard nothing.
    alice.create_group("A sign").await;
    let heard = alice_hears.until(|event| event["__typename"] == "ConversationChanged").await;
    assert_eq!(heard.len(), 1, "{heard:?}");

    // A friend invite comes back as well.
    let dave = server.person("dave").await;
    let from_dave = dave.invite(&carol).await.ok()["invite"]["id"].as_str().expect("an id").to_owned();
    hears.until(|event| invite_is(event, &json!(from_dave), "PENDING")).await;
    carol.to_user("blockUser", &dave).await.ok();
    assert_eq!(pending().await, [] as [String; 0]);
    carol.to_user("unblockUser", &dave).await.ok();
    hears.until(|event| invite_is(event, &json!(from_dave), "PENDING")).await;
    assert_eq!(carol.relationship_to(&dave).await, "INVITE_RECEIVED");
    carol.answer_invite("acceptInvite", &from_dave).await.ok();
});

story!(strangers_are_found_only_when_they_want_to_be, |world| async {
    let server = world.server().await;
    let (alice, shy, open) = tokio::join!(server.person("alice"), server.person("shy_one"), server.person("shy.open"));
    world.sql(r#"UPDATE "user" SET discoverable = TRUE WHERE username = 'shy.open'"#).await;
    let user = "query($name: String!) { user(username: $name) { id } }";
    let search = "query($text: String!) { searchUsers(query: $text, first: 10) { nodes { username } } }";
    assert_eq!(alice.ask(user, json!({"name": open.name})).await["user"]["id"], open.id.as_str());
    assert_eq!(alice.ask(user, json!({"name": "SHY.Open"})).await["user"]["id"], open.id.as_str(), "case is no matter");
    assert_eq!(alice.ask(user, json!({"name": shy.name})).await["user"], Value::Null);
    assert_eq!(alice.ask(user, json!({"name": "alice"})).await["user"]["id"], alice.id.as_str());
    let hidden = alice.graphql(user, json!({"name": shy.name})).await;
    let missing = alice.graphql(user, json!({"name": "nobody_at_all"})).await;
    assert_eq!(hidden.text, missing.text, "hidden and absent are the same");
    let found = async |text: &str| alice.ask(search, json!({"text": text})).await["searchUsers"]["nodes"].take();
    assert_eq!(found("shy").await, json!([{"username": "shy.open"}]));
    assert_eq!(found("SHY").await, json!([{"username": "shy.open"}]));
    for wild in ["sh%", "s_y", "%%%", "___", "\\\\\\", "hy.", "sh*"] {
        let answer = alice.graphql(search, json!({"text": wild})).await;
        let found = answer.body["data"]["searchUsers"]["nodes"].as_array().cloned().unwrap_or_default();
        assert!(found.is_empty(), "{wild:?} is no wildcard: {}", answer.text);
        assert_ne!(answer.code(), Some("INTERNAL"), "{wild:?}: {}", answer.text);
    }
    alice.befriend(&shy).await;
    assert_eq!(
        alice.ask(user, json!({"name": shy.name})).await["user"]["id"],
        shy.id.as_str(),
        "friends see each other"
    );
    assert_eq!(found("shy").await, json!([{"username": "shy.open"}]), "search shows only who opted in");
});

story!(a_username_belongs_to_one_person, |world| async {
    let server = world.server().await;
    server.person("alice").await;
    let register = |username: &str, email: &str| {
        let input = json!({"username": username, "email": email, "password": "correct horse battery"});
        let anonymous = server.anonymous();
        async move { anonymous.mutate("register", input, "accessToken viewer { id }").await }
    };
    assert_eq!(register("alice", "other@example.org").await.code(), Some("USERNAME_TAKEN"));
    assert_eq!(register("ALICE", "other@example.org").await.code(), Some("USERNAME_TAKEN"));
    let racing =
        futures_util::future::join_all((0..6).map(|n| register("racer", &format!("racer{n}@example.org")))).await;
    let outcomes: Vec<_> = racing.iter().map(Payload::code).collect();
    assert_eq!(outcomes.iter().filter(|code| code.is_none()).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|code| matches!(code, None | Some("USERNAME_TAKEN"))), "{outcomes:?}");
    for username in ["ab", "", "white space", "ünïcode", "alice\u{0}", "a@b.c", &"x".repeat(33), "аlice"] {
        let payload = register(username, "fine@example.org").await;
        assert_eq!(payload.code(), Some("INVALID_INPUT"), "{username:?}: {}", payload.answer.text);
        assert_eq!(payload.value()["userErrors"][0]["field"], json!(["input", "username"]), "{username:?}");
        assert!(payload.value()["accessToken"].is_null());
    }
    for email in
        ["", "no at sign", "a@b@c", "a@b\u{0}.example", "a b@example.org", &format!("{}@example.org", "x".repeat(300))]
    {
        assert_eq!(register("fine_name", email).await.code(), Some("INVALID_INPUT"), "{email:?}");
    }
    for password in ["", "short", "password123", &"x".repeat(600)] {
        let input = json!({"username": "fine_name", "email": "fine@example.org", "password": password});
        let payload = server.anonymous().mutate("register", input, "accessToken").await;
        assert_eq!(payload.code(), Some("INVALID_INPUT"), "{password:?}");
        if password.len() > 5 {
            assert!(!payload.answer.text.contains(password), "a password is not repeated");
        }
    }
});
