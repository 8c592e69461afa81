//! The life of an account: its address, its password, its names.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{full_story, story, support::*};

const NEW: &str = "quite another pass phrase";

async fn verify(client: &Client, token: &str) -> Payload {
    client.mutate("verifyEmail", json!({"token": token}), "viewer { emailVerified }").await
}

async fn request_reset(client: &Client, email: &str) -> Payload {
    client.mutate("requestPasswordReset", json!({"email": email}), "").await
}

async fn reset(client: &Client, token: &str, password: &str) -> Payload {
    client.mutate("resetPassword", json!({"token": token, "newPassword": password}), "").await
}

async fn change(person: &Person, current: &str, new: &str) -> Payload {
    person.mutate("changePassword", json!({"currentPassword": current, "newPassword": new}), "").await
}

async fn is_signed_in(client: &Client) -> bool {
    let answer = client.graphql("{ viewer { id } }", json!({})).await;
    match answer.code() {
        None => true,
        Some("UNAUTHENTICATED") => false,
        other => panic!("{other:?}"),
    }
}

/// Somebody who has verified their address.
async fn verified(server: &Server, mails: &MailServer, name: &str) -> Person {
    let person = server.person(name).await;
    let letter = mails.letter(&person.email, "Confirm").await;
    verify(&server.anonymous(), &letter.token()).await.ok();
    person
}

/// Twenty uses at once, of which one is honoured and nineteen are refused.
async fn one_of_twenty(uses: impl Fn() -> futures_util::future::BoxFuture<'static, Payload>) {
    let payloads = join_all((0..20).map(|_| uses())).await;
    let codes: Vec<_> = payloads.iter().map(Payload::code).collect();
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, None | Some("INVALID_TOKEN"))), "{codes:?}");
}

story!(an_address_is_verified_by_the_token_that_was_mailed_to_it, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    let token = mails.letter(&alice.email, "Confirm").await.token();
    let anonymous = server.anonymous();

    let unknown = verify(&anonymous, "AAAAAAAAAAAAAAAAAAAAAA").await;
    assert_eq!(unknown.code(), Some("INVALID_TOKEN"));
    for nonsense in ["", " ", "\u{0}", "x", &"x".repeat(10_000), &alice.refresh_token] {
        assert_eq!(verify(&anonymous, nonsense).await.answer.text, unknown.answer.text);
    }
    assert_eq!(reset(&anonymous, &token, NEW).await.code(), Some("INVALID_TOKEN"), "it is for one thing only");
    one_of_twenty(|| {
        let (anonymous, token) = (anonymous.clone(), token.clone());
        Box::pin(async move { verify(&anonymous, &token).await })
    })
    .await;
    assert_eq!(alice.viewer("emailVerified").await["emailVerified"], true);
    assert_eq!(bob.viewer("emailVerified").await["emailVerified"], false);

    // What is over is like what never was; another one comes when asked for.
    let old = mails.letter(&bob.email, "Confirm").await.token();
    world.sql("UPDATE email_token SET expires_at = 1").await;
    assert_eq!(verify(&bob, &old).await.answer.text, unknown.answer.text);
    let again = "mutation { requestEmailVerification { userErrors { code } } }";
    bob.ask(again, json!({})).await;
    let token = mails.nth_letter(&bob.email, "Confirm", 1).await.token();
    let by_himself = verify(&bob, &token).await;
    assert_eq!(by_himself.ok()["viewer"]["emailVerified"], true);
    bob.ask(again, json!({})).await;
    let count = world.count("email_token").await;
    assert_eq!(count, 0, "of a verified address nobody is asked again, and nothing is left");
});

story!(of_two_accounts_with_one_address_one_verifies_it, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let register = async |name: &str, email: &str| {
        let input = json!({"username": name, "email": email, "password": NEW});
        server.anonymous().mutate("register", input, "viewer { email emailVerified } accessToken").await
    };
    let (first, second) =
        (register("first", "Shared@example.org").await, register("second", "shared@example.org").await);
    let first_token = mails.letter("Shared@example.org", "Confirm").await.token();
    let second_token = mails.letter("shared@example.org", "Confirm").await.token();
    let anonymous = server.anonymous();
    let race = tokio::join!(verify(&anonymous, &first_token), verify(&anonymous, &second_token));
    let codes = [race.0.code(), race.1.code()];
    assert!(codes.contains(&None) && codes.contains(&Some("EMAIL_TAKEN")), "{codes:?}");
    assert_eq!(first.ok()["viewer"]["emailVerified"], false);
    assert_eq!(second.ok()["viewer"]["emailVerified"], false);

    // Who registers later is told nothing that they would not be told of a fresh address; the mailbox is.
    let taken = register("third", "shared@example.org").await;
    let fresh = register("fourth", "fourth@example.org").await;
    assert_eq!(taken.ok()["viewer"], json!({"email": "shared@example.org", "emailVerified": false}));
    assert_eq!(fresh.ok()["viewer"], json!({"email": "fourth@example.org", "emailVerified": false}));
    let token = mails.nth_letter("shared@example.org", "Confirm", 1).await.token();
    for _ in 0..2 {
        assert_eq!(verify(&server.anonymous(), &token).await.code(), Some("EMAIL_TAKEN"));
    }
});

story!(a_password_of_any_characters_is_good_unless_it_is_a_common_one, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    let mut current = alice.password.clone();
    let in_parts = "e\u{301}".repeat(128);
    for good in [
        &"x".repeat(128),
        "aaaaaaaaaaaaa",
        "abcdabcdabcd",
        "p@ssw0rd-7319",
        "summer of 2026",
        "alice@example.org",
        "\u{0}\t\n 🦀 nothing is special",
        &in_parts,
    ] {
        change(&alice, &current, good).await.ok();
        alice.try_login("alice", good).await.ok();
        current = good.to_owned();
    }
    // And as another keyboard writes it.
    alice.try_login("alice", &"é".repeat(128)).await.ok();
    for common in ["password123", "PASSWORD123", "1q2w3e4r5t", "qwertyuiop"] {
        assert_eq!(change(&alice, &current, common).await.code(), Some("INVALID_INPUT"), "{common:?}");
    }
});

story!(a_forgotten_password_is_replaced_by_mail, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let alice = verified(&server, &mails, "alice").await;
    let phone = alice.another_device().await;
    let (socket, phone_socket) = (alice.socket().await, phone.socket().await);
    let anonymous = server.anonymous();
    // However it is written, the mail goes to the account's own address.
    request_reset(&anonymous, " ALICE@Example.org ").await.ok();
    request_reset(&anonymous, "alice@example.org").await.ok();
    let letters = [
        mails.nth_letter(&alice.email, "Choose a new password", 0).await,
        mails.nth_letter(&alice.email, "Choose a new password", 1).await,
    ];
    assert!(letters[0].text.contains("https://app.example/reset-password?token="));
    let [token, other] = letters.map(|letter| letter.token());

    for bad in ["short", "password123", "PassWord123"] {
        assert_eq!(reset(&anonymous, &token, bad).await.code(), Some("INVALID_INPUT"), "and the token lives");
    }
    assert!(is_signed_in(&alice).await && is_signed_in(&phone).await);
    assert_eq!(verify(&anonymous, &token).await.code(), Some("INVALID_TOKEN"), "it is for one thing only");
    one_of_twenty(|| {
        let (anonymous, token) = (anonymous.clone(), token.clone());
        Box::pin(async move { reset(&anonymous, &token, NEW).await })
    })
    .await;
    assert_eq!(reset(&anonymous, &other, NEW).await.code(), Some("INVALID_TOKEN"), "the other one died with it");
    assert_eq!(socket.ended(PATIENCE).await.code(), Some(1008));
    assert_eq!(phone_socket.ended(PATIENCE).await.code(), Some(1008));
    assert!(!is_signed_in(&alice).await && !is_signed_in(&phone).await);
    let refreshed =
        anonymous.mutate("refreshSession", json!({"refreshToken": phone.refresh_token}), "accessToken").await;
    assert_eq!(refreshed.code(), Some("INVALID_TOKEN"));
    assert_eq!(alice.try_login("alice", &alice.password).await.code(), Some("INVALID_CREDENTIALS"));
    alice.try_login("alice@example.org", NEW).await.ok();
    let notice = mails.letter(&alice.email, "Your password was changed").await;
    assert!(notice.text.contains("@alice") && !notice.text.contains("token"));

    // An hour later.
    request_reset(&anonymous, "alice@example.org").await.ok();
    let late = mails.nth_letter(&alice.email, "Choose a new password", 2).await.token();
    world.sql("UPDATE email_token SET expires_at = 1").await;
    let expired = reset(&anonymous, &late, "yet another pass phrase").await;
    let unknown = reset(&anonymous, "AAAAAAAAAAAAAAAAAAAAAA", "yet another pass phrase").await;
    assert_eq!(expired.code(), Some("INVALID_TOKEN"));
    assert_eq!(expired.answer.text, unknown.answer.text);
});

story!(asking_for_a_new_password_tells_nothing_of_accounts, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    verified(&server, &mails, "alice").await;
    server.person("bob").await;
    mails.letter("bob@example.org", "Confirm").await;
    let anonymous = server.anonymous();
    let (mut texts, mut times) = (Vec::new(), [const { Vec::new() }; 3]);
    for round in 0..15 {
        // Each has each turn: what was asked before is being mailed meanwhile.
        for n in (0..3).map(|turn| (turn + round) % 3) {
            let who = ["alice", "bob", "nobody"][n];
            let asked = Instant::now();
            let payload = request_reset(&anonymous, &format!("{who}@example.org")).await;
            times[n].push(asked.elapsed());
            payload.ok();
            texts.push(payload.answer.text);
        }
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    // The fastest of each: a busy machine makes times longer, never shorter.
    let fastest = times.map(|times| times.into_iter().min().expect("some"));
    let (least, most) = (fastest.iter().min().expect("some"), fastest.iter().max().expect("some"));
    assert!(*most < *least * 2 + Duration::from_millis(10), "{fastest:?}");
    mails.nth_letter("alice@example.org", "Choose", 14).await;
    eventually("an empty outbox", async || (world.count("mail").await == 0).then_some(())).await;
    mails.nth_letter("bob@example.org", "Choose", 14).await;
    assert!(mails.letters_to("nobody@example.org").is_empty());
    assert_eq!(world.count("email_token").await, 1 + 2 * 15);
    for nonsense in ["", "alice", "alice@", "a@b\r\nBcc: eve@example.org", "\u{0}@example.org"] {
        assert_eq!(request_reset(&anonymous, nonsense).await.code(), Some("INVALID_INPUT"), "{nonsense:?}");
    }
});

story!(a_mailbox_is_not_filled_by_requests, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options().rate_limits()).await;
    let anonymous = server.anonymous();
    let limited = async |email: &str| {
        within(PATIENCE, "the limit", async {
            for n in 0.. {
                match request_reset(&anonymous, email).await.code() {
                    None => {}
                    Some("RATE_LIMITED") => return n,
                    other => panic!("{other:?}"),
                }
            }
            unreachable!("a loop without an end")
        })
        .await
    };
    let alice = verified(&server, &mails, "alice").await;
    // While Redis is slow, the process counts by itself.
    for email in ["alice@example.org", "nobody@example.org"] {
        let n = limited(email).await;
        assert!((5..=10).contains(&n), "limited after {n}, for anybody's and nobody's");
    }
    let again = "mutation { requestEmailVerification { userErrors { code } } }";
    within(PATIENCE, "the limit", async {
        while alice.graphql(again, json!({})).await.code() != Some("RATE_LIMITED") {}
    })
    .await;
    let input = json!({"email": {"email": "guest@example.org"}});
    within(PATIENCE, "the limit", async {
        loop {
            let invited = alice.mutate("sendInvite", input.clone(), "invite { id }").await;
            if invited.code() == Some("RATE_LIMITED") {
                return;
            }
            let id = invited.ok()["invite"]["id"].as_str().expect("an id");
            alice.answer_invite("revokeInvite", id).await.ok();
        }
    })
    .await;
    // Whoever holds a token of hers does not find out her password by it.
    within(PATIENCE * 2, "the limit", async {
        while change(&alice, "not the pass phrase", NEW).await.code() != Some("RATE_LIMITED") {}
    })
    .await;
});

story!(a_new_password_ends_the_other_sessions, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let alice = verified(&server, &mails, "alice").await;
    let phone = alice.another_device().await;
    let (socket, phone_socket) = (alice.socket().await, phone.socket().await);
    request_reset(&server.anonymous(), &alice.email).await.ok();
    let token = mails.letter(&alice.email, "Choose a new password").await.token();

    let wrong = change(&alice, "not the pass phrase", NEW).await;
    assert_eq!(wrong.code(), Some("INVALID_CREDENTIALS"));
    assert_eq!(wrong.value()["userErrors"][0]["field"], json!(["input", "currentPassword"]));
    for bad in ["short", "password123", "QWERTYUIOP", &"x".repeat(129), &"x".repeat(1000)] {
        let refused = change(&alice, &alice.password, bad).await;
        assert_eq!(refused.value()["userErrors"][0]["field"], json!(["input", "newPassword"]), "{bad:?}");
    }
    assert!(is_signed_in(&phone).await, "nothing has happened yet");

    change(&alice, &alice.password, NEW).await.ok();
    assert_eq!(phone_socket.ended(PATIENCE).await.code(), Some(1008));
    assert!(!is_signed_in(&phone).await);
    assert!(is_signed_in(&alice).await, "this one stays");
    assert_eq!(alice.viewer("sessions { current }").await["sessions"], json!([{"current": true}]));
    assert!(socket.is_open());
    assert_eq!(alice.try_login("alice", &alice.password).await.code(), Some("INVALID_CREDENTIALS"));
    alice.try_login("alice", NEW).await.ok();
    assert_eq!(reset(&server.anonymous(), &token, "yet another pass phrase").await.code(), Some("INVALID_TOKEN"));
    mails.letter(&alice.email, "Your password was changed").await;

    // Of changes at once, one finds the password as it was.
    let changes = join_all((0..5).map(|n| {
        let (alice, new) = (alice.clone(), format!("the pass phrase number {n}"));
        async move { change(&alice, NEW, &new).await }
    }))
    .await;
    let codes: Vec<_> = changes.iter().map(Payload::code).collect();
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, None | Some("INVALID_CREDENTIALS"))), "{codes:?}");
});

full_story!(a_new_password_ends_sessions_on_other_processes, |world| async {
    let (one, other) = tokio::join!(world.server(), world.server());
    let alice = one.person("alice").await;
    let phone = alice.another_device().await.at(&other);
    let socket = phone.socket().await;
    assert!(is_signed_in(&phone).await);
    let changed = Instant::now();
    change(&alice, &alice.password, NEW).await.ok();
    assert_eq!(socket.ended(Duration::from_secs(2)).await.code(), Some(1008));
    assert!(!is_signed_in(&phone).await);
    println!("ended after {:?}", changed.elapsed());
    assert!(is_signed_in(&alice.at(&other)).await);
});

/// The next event of a kind, past others.
async fn next(ears: &mut Subscription, kind: &str) -> Value {
    let envelopes = ears.until(|event| event["__typename"] == kind).await;
    envelopes.last().expect("it ends with that event")["event"].clone()
}
story!(friends_and_ones_own_devices_hear_of_a_new_name, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let (eve, phone) = tokio::join!(server.person("eve"), alice.another_device());
    let events = "subscription { events { event { __typename
        ... on FriendshipChanged { user { id username displayName relationship } } } } }";
    let (bobs, phones, eves) = (bob.socket().await, phone.socket().await, eve.socket().await);
    let [mut bobs_ears, mut phones_ears, mut eves_ears] =
        [&bobs, &phones, &eves].map(|socket| socket.subscribe(events, json!({})));
    for ears in [&mut bobs_ears, &mut phones_ears, &mut eves_ears] {
        next(ears, "CaughtUp").await;
    }
    let update = async |person: &Person, input: Value| {
        person.mutate("updateProfile", input, "viewer { user { username displayName } }").await
    };
    update(&alice, json!({"username": "Alicia"})).await.ok();
    let user = |relationship: &str, display: &str| json!({"id": alice.id, "username": "alicia", "displayName": display, "relationship": relationship});
    assert_eq!(next(&mut bobs_ears, "FriendshipChanged").await["user"], user("FRIEND", "alice"));
    assert_eq!(next(&mut phones_ears, "FriendshipChanged").await["user"], user("SELF", "alice"));
    update(&alice, json!({"displayName": "Ålice"})).await.ok();
    assert_eq!(next(&mut bobs_ears, "FriendshipChanged").await["user"], user("FRIEND", "Ålice"));
    assert_eq!(next(&mut phones_ears, "FriendshipChanged").await["user"], user("SELF", "Ålice"));

    // Rules of the name, and of what is no news.
    for (input, code) in [
        (json!({"username": "BOB"}), Some("USERNAME_TAKEN")),
        (json!({"username": "deleted.bc3bbd1eef28d881"}), Some("INVALID_INPUT")),
        (json!({"username": "an-n"}), Some("INVALID_INPUT")),
        (json!({"username": "a"}), Some("INVALID_INPUT")),
        (json!({"username": "ALICIA", "displayName": " Ålice "}), None),
        (json!({"discoverable": true, "phone": "+49 30 123456"}), None),
    ] {
        assert_eq!(update(&alice, input.clone()).await.code(), code, "{input}");
    }
    // Of the allowed characters all make a name, in any order.
    for name in ["_._", "...", "Admin", "deleted", "0__0..", "alicia"] {
        update(&alice, json!({"username": name})).await.ok();
        let heard = next(&mut bobs_ears, "FriendshipChanged").await;
        assert_eq!(heard["user"]["username"], name.to_lowercase());
        next(&mut phones_ears, "FriendshipChanged").await;
        let found = bob.ask("query($name: String!) { user(username: $name) { id } }", json!({"name": name})).await;
        assert_eq!(found["user"]["id"], alice.id.as_str(), "{name}");
        alice.try_login(name, &alice.password).await.ok();
    }
    // The old name is free at once, and leads to who has it now.
    update(&eve, json!({"username": "alice"})).await.ok();
    let user = bob.ask("{ user(username: \"alicia\") { id } }", json!({})).await;
    assert_eq!(user["user"]["id"], alice.id.as_str());
    assert_eq!(alice.try_login("alice", &alice.password).await.code(), Some("INVALID_CREDENTIALS"));
    alice.try_login("alicia", &alice.password).await.ok();
    // She is the first whom Eve hears of: of strangers there was nothing, and Bob heard no repeats.
    assert_eq!(next(&mut eves_ears, "FriendshipChanged").await["user"]["id"], eve.id.as_str());
    update(&bob, json!({"displayName": "Rob"})).await.ok();
    assert_eq!(next(&mut bobs_ears, "FriendshipChanged").await["user"]["id"], bob.id.as_str());
});
