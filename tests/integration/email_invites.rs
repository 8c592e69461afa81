//! Invites by mail: to a mailbox, whoever reads it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{story, support::*};

const INVITE: &str = "invite { id kind status email note inviter { id } invitee { id } } conversation { id }";

async fn invite(person: &Person, email: &str) -> Payload {
    person.mutate("sendInvite", json!({"email": {"email": email, "note": "It is me."}}), INVITE).await
}

async fn claim(client: &Client, token: &str) -> Payload {
    client.mutate("claimInvite", json!({"token": token}), INVITE).await
}

async fn register(server: &Server, name: &str, email: &str, token: &str) -> Payload {
    let input = json!({"username": name, "email": email, "password": "correct horse battery", "inviteToken": token});
    let selection = "accessToken viewer { emailVerified user { id }
        invites { nodes { id status email inviter { id } invitee { id } } } }";
    server.anonymous().mutate("register", input, selection).await
}

fn id_of(payload: &Payload) -> String {
    payload.ok()["invite"]["id"].as_str().expect("an id").to_owned()
}

/// The token of the mail to an address.
async fn token(mails: &MailServer, email: &str) -> String {
    mails.letter(email, "").await.token()
}

async fn verify(server: &Server, mails: &MailServer, person: &Person) {
    let token = mails.letter(&person.email, "Confirm").await.token();
    server.anonymous().mutate("verifyEmail", json!({"token": token}), "viewer { id }").await.ok();
}

story!(an_invite_by_mail_is_claimed_and_then_accepted, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    let (hers, his) = (alice.socket().await, bob.socket().await);
    let ((mut her_ears, _), (mut his_ears, _)) = tokio::join!(hers.follow(None), his.follow(None));
    let sent = invite(&alice, "Someone@example.org").await;
    let id = id_of(&sent);
    let expected = json!({"id": id, "kind": "EMAIL", "status": "PENDING", "email": "Someone@example.org",
        "note": "It is me.", "inviter": {"id": alice.id}, "invitee": null});
    assert_eq!(sent.ok()["invite"], expected);
    assert_eq!(sent.ok()["conversation"], Value::Null);
    her_ears.until(|event| event["invite"]["id"] == id.as_str()).await;
    assert_eq!(invite(&alice, " someone@EXAMPLE.org").await.code(), Some("ALREADY_INVITED"), "in any case");
    let node = "query($id: ID!) { node(id: $id) { id } }";
    assert_eq!(bob.ask(node, json!({"id": id})).await["node"], Value::Null, "nobody's yet");
    for answer in ["acceptInvite", "rejectInvite"] {
        assert_eq!(alice.answer_invite(answer, &id).await.code(), Some("FORBIDDEN"));
        assert_eq!(bob.answer_invite(answer, &id).await.code(), Some("NOT_FOUND"));
    }

    let token = token(&mails, "Someone@example.org").await;
    assert_eq!(claim(&alice, &token).await.code(), Some("INVALID_INPUT"), "it is her own");
    let claims = join_all((0..20).map(|_| claim(&bob, &token))).await;
    let (honoured, refused): (Vec<_>, Vec<_>) = claims.iter().partition(|claim| claim.code().is_none());
    assert_eq!(honoured.len(), 1);
    assert!(refused.iter().all(|claim| claim.code() == Some("INVALID_TOKEN")));
    let claimed = &honoured[0].ok()["invite"];
    assert_eq!(claimed["invitee"]["id"], bob.id.as_str());
    assert_eq!(
        (&claimed["status"], &claimed["email"]),
        (&json!("PENDING"), &Value::Null),
        "the address is hers to see"
    );
    her_ears.until(|event| event["invite"]["invitee"]["id"] == bob.id.as_str()).await;
    his_ears.until(|event| event["invite"]["id"] == id.as_str()).await;
    assert_eq!(alice.relationship_to(&bob).await, "NONE");

    let accepted = bob.answer_invite("acceptInvite", &id).await;
    let conversation = conversation_id_of(accepted.ok());
    assert_eq!(accepted.ok()["invite"]["status"], "ACCEPTED");
    assert_eq!(alice.relationship_to(&bob).await, "FRIEND");
    her_ears.until(|event| event["invite"]["status"] == "ACCEPTED").await;
    alice.send(&conversation, "There you are!").await;
    assert_eq!(bob.sequences(&conversation).await, [1]);
    assert_eq!(bob.answer_invite("acceptInvite", &id).await.code(), Some("INVITE_NOT_PENDING"));
    invite(&alice, "someone@example.org").await.ok();
});

story!(registering_with_an_invite_binds_it_and_shows_the_mailbox, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let alice = server.person("alice").await;
    for name in ["bob", "carol", "dave"] {
        invite(&alice, &format!("{name}@example.net")).await.ok();
    }
    let n_users = world.count("user").await;
    let unknown = register(&server, "bob", "bob@example.net", "AAAAAAAAAAAAAAAAAAAAAA").await;
    assert_eq!(unknown.code(), Some("INVALID_TOKEN"));
    assert_eq!(unknown.value()["userErrors"][0]["field"], json!(["input", "inviteToken"]));
    assert_eq!(world.count("user").await, n_users, "nobody was made");

    // The very mailbox: it needs no other mail.
    let bobs = token(&mails, "bob@example.net").await;
    let bob = register(&server, "bob", "BOB@example.net", &bobs).await;
    let viewer = &bob.ok()["viewer"];
    assert_eq!(viewer["emailVerified"], true);
    let invites = viewer["invites"]["nodes"].as_array().expect("a list");
    assert_eq!((invites.len(), &invites[0]["inviter"]["id"]), (1, &json!(alice.id)));
    assert_eq!((&invites[0]["status"], &invites[0]["email"]), (&json!("PENDING"), &Value::Null));
    let again = register(&server, "robert", "bob@example.net", &bobs).await;
    assert_eq!(again.code(), Some("INVALID_TOKEN"), "it works once");
    let as_bob = alice.with_token(bob.ok()["accessToken"].as_str().expect("a token"));
    let accept = as_bob.mutate("acceptInvite", json!({"inviteId": invites[0]["id"]}), "conversation { id }").await;
    assert!(accept.ok()["conversation"]["id"].is_string());

    // Another mailbox: it is asked.
    let carols = token(&mails, "carol@example.net").await;
    let carol = register(&server, "carol", "carol@home.example", &carols).await;
    assert_eq!(carol.ok()["viewer"]["emailVerified"], false);
    mails.letter("carol@home.example", "Confirm").await;
    assert!(mails.letters_to("BOB@example.net").is_empty());

    // A mailbox that another account has verified: whoever reads it is told by mail, and nobody else.
    let erin = register(&server, "erin", "dave@example.net", "").await;
    assert_eq!(erin.ok()["viewer"]["emailVerified"], false);
    let erins = mails.letter("dave@example.net", "Confirm").await.token();
    let verify_by =
        async |token: &str| server.anonymous().mutate("verifyEmail", json!({"token": token}), "viewer { id }").await;
    verify_by(&erins).await.ok();
    let daves = mails.letter("dave@example.net", "alice").await.token();
    let dave = register(&server, "dave", "dave@example.net", &daves).await;
    assert_eq!(dave.ok()["viewer"]["emailVerified"], false);
    assert_eq!(dave.ok()["viewer"]["invites"]["nodes"][0]["inviter"]["id"], alice.id.as_str(), "and has the invite");
    let confirm = mails.nth_letter("dave@example.net", "Confirm", 1).await.token();
    assert_eq!(verify_by(&confirm).await.code(), Some("EMAIL_TAKEN"));
});

story!(inviting_an_address_tells_nothing_of_its_owner, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let alice = server.person("alice").await;
    let (known, unverified, blocker) =
        tokio::join!(server.person("known"), server.person("unverified"), server.person("blocker"));
    verify(&server, &mails, &known).await;
    verify(&server, &mails, &blocker).await;
    alice.mutate("updateProfile", json!({"discoverable": true}), "viewer { id }").await.ok();
    blocker.to_user("blockUser", &alice).await.ok();
    let (mut texts, mut times) = (Vec::new(), [const { Vec::new() }; 4]);
    const ROUNDS: usize = 8;
    for n in 0..ROUNDS {
        // Each has each turn: what was sent before is being mailed meanwhile.
        for idx in (0..4).map(|turn| (turn + n) % 4) {
            let email = [&known.email, &unverified.email, &blocker.email, "nobody@example.org"][idx];
            let asked = Instant::now();
            let sent = invite(&alice, email).await;
            times[idx].push(asked.elapsed());
            texts.push(normalised(&sent.answer.text).replace(email, "ADDRESS"));
            if n + 1 < ROUNDS {
                alice.answer_invite("revokeInvite", &id_of(&sent)).await.ok();
            }
        }
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    // The fastest of each: a busy machine makes times longer, never shorter.
    let fastest = times.map(|times| times.into_iter().min().expect("some"));
    let (least, most) = (fastest.iter().min().expect("some"), fastest.iter().max().expect("some"));
    assert!(*most < *least * 2 + Duration::from_millis(10), "{fastest:?}");
    for email in [&known.email, &unverified.email, "nobody@example.org"] {
        mails.letter(email, "alice").await;
    }
    eventually("an empty outbox", async || (world.count("mail").await == 0).then_some(())).await;
    let to_blocker = mails.letters_to(&blocker.email);
    assert!(to_blocker.iter().all(|letter| letter.subject.starts_with("Confirm")), "nothing from whom they blocked");
    assert_eq!(alice.invites("OUTGOING").await.iter().filter(|invite| invite["status"] == "PENDING").count(), 4);
});

story!(an_invite_that_is_over_cannot_be_claimed, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    let unknown = claim(&bob, "AAAAAAAAAAAAAAAAAAAAAA").await;
    assert_eq!(unknown.code(), Some("INVALID_TOKEN"));
    for nonsense in ["", "\u{0}", "nonsense", &"x".repeat(10_000), bob.access_token()] {
        assert_eq!(claim(&bob, nonsense).await.answer.text, unknown.answer.text);
    }
    let revoked = invite(&alice, "revoked@example.org").await;
    let of_revoked = token(&mails, "revoked@example.org").await;
    let answer = alice.answer_invite("revokeInvite", &id_of(&revoked)).await;
    assert_eq!(answer.ok()["invite"]["status"], "REVOKED");
    let used = invite(&alice, "used@example.org").await;
    let of_used = token(&mails, "used@example.org").await;
    claim(&bob, &of_used).await.ok();
    let answer = bob.answer_invite("rejectInvite", &id_of(&used)).await;
    assert_eq!(answer.ok()["invite"]["status"], "REJECTED");
    invite(&alice, "expired@example.org").await.ok();
    let of_expired = token(&mails, "expired@example.org").await;
    world.sql("UPDATE invite SET expires_at = 1 WHERE status = 'pending'").await;
    for token in [of_revoked, of_used, of_expired] {
        assert_eq!(claim(&bob, &token).await.answer.text, unknown.answer.text);
    }
    assert_eq!(alice.invites("OUTGOING").await[0]["status"], "EXPIRED");
    // What was revoked before it was mailed is not mailed.
    mails.feel(Mood::Busy);
    let early = invite(&alice, "early@example.org").await;
    invite(&alice, "expired@example.org").await.ok();
    alice.answer_invite("revokeInvite", &id_of(&early)).await.ok();
    mails.feel(Mood::Well);
    mails.nth_letter("expired@example.org", "alice", 1).await;
    eventually("an empty outbox", async || (world.count("mail").await == 0).then_some(())).await;
    assert!(mails.letters_to("early@example.org").is_empty());
});

story!(a_block_stands_between_an_invite_by_mail_and_its_claim, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    for person in [&alice, &bob] {
        person.mutate("updateProfile", json!({"discoverable": true}), "viewer { id }").await.ok();
    }
    invite(&alice, "somebody@example.org").await.ok();
    let token = token(&mails, "somebody@example.org").await;
    let unknown = claim(&bob, "AAAAAAAAAAAAAAAAAAAAAA").await;

    bob.to_user("blockUser", &alice).await.ok();
    assert_eq!(claim(&bob, &token).await.code(), Some("FORBIDDEN"), "he knows whom he blocked");
    alice.to_user("blockUser", &bob).await.ok();
    bob.to_user("unblockUser", &alice).await.ok();
    assert_eq!(claim(&bob, &token).await.answer.text, unknown.answer.text, "and is not told who blocked him");
    alice.to_user("unblockUser", &bob).await.ok();
    let id = id_of(&claim(&bob, &token).await);

    // Claimed, it is like any other: who blocks no longer sees it, who is blocked goes on to.
    bob.to_user("blockUser", &alice).await.ok();
    assert_eq!(bob.answer_invite("acceptInvite", &id).await.code(), Some("NOT_FOUND"));
    assert!(bob.invites("INCOMING").await.is_empty());
    assert_eq!(alice.invites("OUTGOING").await[0]["status"], "PENDING");
});

story!(an_invite_by_mail_can_lead_into_a_group, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    let make = json!({"name": "Reading <circle>"});
    let made = alice.mutate("createGroup", make, "group { id }").await;
    let group = made.ok()["group"]["id"].as_str().expect("a group").to_owned();
    let invite_into = async |person: &Person, email: &str| {
        let input = json!({"email": {"email": email, "groupId": group}});
        person.mutate("sendInvite", input, "invite { id group { id name } }").await
    };
    let stranger = invite_into(&bob, "someone@example.org").await;
    assert_eq!(stranger.code(), Some("NOT_FOUND"), "he does not know of it");
    assert_eq!(stranger.value()["userErrors"][0]["field"], json!(["input", "email", "groupId"]));
    let sent = invite_into(&alice, "bob@work.example").await;
    assert_eq!(sent.ok()["invite"]["group"]["name"], "Reading <circle>");
    assert_eq!(invite_into(&alice, "bob@work.example").await.code(), Some("ALREADY_INVITED"));
    invite(&alice, "bob@work.example").await.ok();
    let letters =
        [mails.nth_letter("bob@work.example", "", 0).await, mails.nth_letter("bob@work.example", "", 1).await];
    let letter = letters.iter().find(|letter| letter.text.contains("Reading")).expect("one is into the group");
    assert!(letter.text.contains("in the group Reading <circle>") && !letter.html.contains("<circle>"));

    let id = id_of(&claim(&bob, &letter.token()).await);
    let preview = "query($id: ID!) { node(id: $id) { ... on Invite { group { name } } } }";
    assert_eq!(bob.ask(preview, json!({"id": id})).await["node"]["group"]["name"], "Reading <circle>");
    let accepted = bob.answer_invite("acceptInvite", &id).await;
    assert_eq!(conversation_id_of(accepted.ok()), group);
    alice.send(&group, "Welcome!").await;
    assert_eq!(bob.sequences(&group).await.len(), 1);
    assert_eq!(alice.relationship_to(&bob).await, "FRIEND");

    // He is no admin; and who has become one no more, or has left, lets nobody in: they are friends all the same.
    assert_eq!(invite_into(&bob, "carol@work.example").await.code(), Some("FORBIDDEN"));
    let admin = json!({"groupId": group, "userId": bob.id, "role": "ADMIN"});
    alice.mutate("changeMemberRole", admin, "group { id }").await.ok();
    invite_into(&bob, "carol@work.example").await.ok();
    let carol = server.person("carol").await;
    let id = id_of(&claim(&carol, &token(&mails, "carol@work.example").await).await);
    let preview = "query($id: ID!) { node(id: $id) { ... on Invite { status group { name } } } }";
    assert_eq!(carol.ask(preview, json!({"id": id})).await["node"]["group"]["name"], "Reading <circle>");
    let (hers, his) = (carol.socket().await, bob.socket().await);
    let ((mut her_ears, _), (mut his_ears, _)) = tokio::join!(hers.follow(None), his.follow(None));
    let demoted = json!({"groupId": group, "userId": bob.id, "role": "MEMBER"});
    alice.mutate("changeMemberRole", demoted, "group { id }").await.ok();
    for ears in [&mut her_ears, &mut his_ears] {
        ears.until(|event| event["invite"]["id"] == id.as_str()).await;
    }
    for person in [&carol, &bob] {
        let seen = person.ask(preview, json!({"id": id})).await;
        assert_eq!(seen["node"], json!({"status": "PENDING", "group": null}), "it leads into the group no more");
    }
    let admin = json!({"groupId": group, "userId": bob.id, "role": "ADMIN"});
    alice.mutate("changeMemberRole", admin, "group { id }").await.ok();
    assert_eq!(carol.ask(preview, json!({"id": id})).await["node"]["group"], Value::Null, "not by itself");
    invite_into(&bob, "carol@work.example").await.ok();
    assert_eq!(invite_into(&bob, "carol@work.example").await.code(), Some("ALREADY_INVITED"));
    bob.mutate("leaveGroup", json!({"groupId": group}), "group { id }").await.ok();
    let accepted = carol.answer_invite("acceptInvite", &id).await;
    let direct = conversation_id_of(accepted.ok());
    assert_ne!(direct, group);
    carol.send(&direct, "Hello!").await;
    assert_eq!(carol.conversation(&group, "id").await, Value::Null);
});

story!(friends_and_crossing_invites_meet_in_one_friendship, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    invite(&alice, "friend@example.org").await.ok();
    let id = id_of(&claim(&bob, &token(&mails, "friend@example.org").await).await);
    let accepted = bob.answer_invite("acceptInvite", &id).await;
    assert_eq!(conversation_id_of(accepted.ok()), conversation, "they are friends already");
    alice.send(&conversation, "Still here.").await;

    let carol = server.person("carol").await;
    let by_name = alice.invite(&carol).await;
    invite(&alice, "carol@work.example").await.ok();
    let id = id_of(&claim(&carol, &token(&mails, "carol@work.example").await).await);
    let accepted = carol.answer_invite("acceptInvite", &id).await;
    let conversation = conversation_id_of(accepted.ok());
    let statuses: Vec<_> = carol.invites("INCOMING").await.iter().map(|invite| invite["status"].clone()).collect();
    assert_eq!(statuses, ["ACCEPTED", "ACCEPTED"], "the one by name is answered with it");
    let late = carol.answer_invite("acceptInvite", &id_of(&by_name)).await;
    assert_eq!(late.code(), Some("INVITE_NOT_PENDING"));
    carol.send(&conversation, "Hello!").await;
    assert_eq!(alice.viewer("friends { totalCount }").await["friends"]["totalCount"], 2);
});
