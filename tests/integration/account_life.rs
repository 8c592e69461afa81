//! How an account ends, and what its owner can take along.

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::{full_story, story, support::*};

const DELETED: &str = "deleteAccount";

/// Everything that is stored, as text in lower case; bytes also as what they spell.
async fn dump(world: &World) -> String {
    let database = world.database().await;
    let backend = database.get_database_backend();
    let texts = async |sql: String| -> Vec<String> {
        let rows = database.query_all_raw(Statement::from_string(backend, sql)).await.expect("the table can be read");
        rows.iter().map(|row| row.try_get_by_index::<Option<String>>(0).expect("a text").unwrap_or_default()).collect()
    };
    let tables = match world.backend {
        Backend::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Backend::Full => "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
    };
    let mut dump = String::new();
    for table in texts(tables.to_owned()).await {
        let rows = match world.backend {
            Backend::Sqlite => {
                let columns = texts(format!("SELECT name FROM pragma_table_info('{table}')")).await;
                let texts_of: Vec<String> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
                texts(format!("SELECT {} FROM \"{table}\"", texts_of.join(" || ' ' || "))).await
            }
            Backend::Full => texts(format!("SELECT t::text FROM \"{table}\" t")).await,
        };
        for row in rows {
            dump.push_str(&format!("{table}: {}\n", row.to_lowercase()));
        }
    }
    database.close().await.expect("closes");
    dump
}

/// The rows of a dump in which a text stands, as it is or in hexadecimal digits.
fn found<'a>(dump: &'a str, text: &str) -> Vec<&'a str> {
    let text = text.to_lowercase();
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    dump.lines().filter(|line| line.contains(&text) || line.contains(&hex)).collect()
}

/// A number out of the database.
async fn number(world: &World, sql: &str) -> i64 {
    let database = world.database().await;
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await.expect("the query is accepted").expect("a row");
    database.close().await.expect("closes");
    row.try_get_by_index(0).expect("a number")
}

async fn delete_account(person: &Person) -> Payload {
    person.mutate(DELETED, json!({"password": person.password}), "").await
}

/// Asks until the newest export has left PENDING.
async fn made(person: &Person) -> Value {
    eventually("the export to be made", async || {
        let export = person.viewer("dataExport { id status requestedAt expiresAt url }").await["dataExport"].take();
        (export["status"] != "PENDING").then_some(export)
    })
    .await
}

async fn request_export(person: &Person) -> Value {
    let request = "mutation { requestDataExport { dataExport { id status expiresAt url } userErrors { code } } }";
    person.ask(request, json!({})).await["requestDataExport"]["dataExport"].take()
}

async fn fetch_export(person: &Person) -> Value {
    let export = made(person).await;
    assert_eq!(export["status"], "READY", "{export}");
    let anonymous = Client { token: None, ..Client::clone(person) };
    let answer = anonymous.get(path_of(&export["url"]).as_str()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.media_type(), "application/json");
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"kith-export.json\""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("content-length"), Some(answer.text.len().to_string().as_str()));
    answer.body
}

/// An address as a path at the server that is asked.
fn path_of(url: &Value) -> String {
    let url = url.as_str().expect("an address");
    url[url.find("/exports/").expect("an address of an export")..].to_owned()
}

fn stands_to(event: &Value, person: &Person, relationship: &str) -> bool {
    event["__typename"] == "FriendshipChanged"
        && event["user"]["id"] == person.id.as_str()
        && event["user"]["relationship"] == relationship
}

fn invite_is(event: &Value, invite_id: &Value, status: &str) -> bool {
    event["__typename"] == "InviteChanged" && event["invite"]["id"] == *invite_id && event["invite"]["status"] == status
}

story!(of_a_deleted_account_a_tombstone_stays_and_nothing_personal, |world| async {
    const SECRETS: [&str; 7] = [
        "zenobia_p",
        "Zenobia of Palmyra",
        "zenobia.of.palmyra@example.org",
        "+493012345678",
        "a note by the queen",
        "Palmyrene Messenger/3.0",
        "the pass phrase of zenobia_p",
    ];
    let verbose = || Options::default().set("RUST_LOG", "debug");
    let server = world.server_with(verbose()).await;
    let (bob, carol, dave, erin, frank) = tokio::join!(
        server.person("bob"),
        server.person("carol"),
        server.person("dave"),
        server.person("erin"),
        server.person("frank")
    );
    let zenobia = server.person("zenobia_p").await;
    let profile = json!({"displayName": SECRETS[1], "phone": "+49 30 12345678", "discoverable": true});
    zenobia.mutate("updateProfile", profile, "viewer { id }").await.ok();
    world
        .sql("UPDATE account SET email = 'Zenobia.Of.Palmyra@example.org', email_folded = 'zenobia.of.palmyra@example.org' \
              WHERE email = 'zenobia_p@example.org'")
        .await;
    let login = json!({"query": format!(
        "mutation {{ login(input: {{identifier: \"zenobia_p\", password: \"{}\"}}) {{ accessToken refreshToken }} }}",
        zenobia.password
    )});
    let request = server.anonymous().post().header("content-type", "application/json");
    let answer = request.header("user-agent", SECRETS[5]).body(login.to_string()).send().await.expect("an answer");
    let phone = Answer::read(answer).await.expect("whole").body["data"]["login"].take();
    let phone_client = zenobia.with_token(phone["accessToken"].as_str().expect("a token"));

    let conversation = zenobia.befriend(&bob).await;
    let to_carol = json!({"friend": {"username": "carol", "note": SECRETS[4]}});
    let to_carol = zenobia.mutate("sendInvite", to_carol, "invite { id }").await.ok()["invite"]["id"].clone();
    let from_dave = dave.invite(&zenobia).await.ok()["invite"]["id"].clone();
    zenobia.to_user("blockUser", &erin).await.code();
    frank.ask("query { user(username: \"zenobia_p\") { id } }", json!({})).await;
    frank.to_user("blockUser", &zenobia).await.ok();
    let key = json!({"conversationId": conversation, "body": "I was here.", "idempotencyKey": "zenobia_p.1"});
    zenobia.send_input(key).await.ok();
    bob.send(&conversation, "So was I.").await;
    request_export(&zenobia).await;
    let export = made(&zenobia).await;
    assert_eq!(export["status"], "READY");

    let before = dump(world).await;
    for secret in &SECRETS[..6] {
        assert!(!found(&before, secret).is_empty(), "the set-up is sound: {secret} is stored somewhere");
    }

    let other = if world.backend == Backend::Full { Some(world.server_with(verbose()).await) } else { None };
    let elsewhere = zenobia.at(other.as_ref().unwrap_or(&server));
    let (socket, phone_socket) = tokio::join!(elsewhere.socket(), phone_client.socket());
    let (bob_socket, carol_socket, dave_socket, frank_socket) =
        tokio::join!(bob.socket(), carol.socket(), dave.socket(), frank.socket());
    let (mut bob_hears, _) = bob_socket.follow(None).await;
    let (mut carol_hears, _) = carol_socket.follow(None).await;
    let (mut dave_hears, _) = dave_socket.follow(None).await;
    let (mut frank_hears, _) = frank_socket.follow(None).await;

    for password in ["", "not the pass phrase", "\u{0}", &"x".repeat(100_000)] {
        let refused = zenobia.mutate(DELETED, json!({"password": password}), "").await;
        assert_eq!(refused.code(), Some("INVALID_CREDENTIALS"));
        assert_eq!(refused.value()["userErrors"][0]["field"], json!(["input", "password"]));
    }
    assert_eq!(zenobia.viewer("user { username }").await["user"]["username"], "zenobia_p", "nothing has happened");
    delete_account(&zenobia).await.ok();

    // Her devices, everywhere.
    for client in [&*zenobia, &phone_client] {
        assert_eq!(client.graphql("{ viewer { id } }", json!({})).await.code(), Some("UNAUTHENTICATED"));
    }
    assert_eq!(socket.ended(PATIENCE).await.code(), Some(1008));
    assert_eq!(phone_socket.ended(PATIENCE).await.code(), Some(1008));
    assert_eq!(elsewhere.graphql("{ viewer { id } }", json!({})).await.code(), Some("UNAUTHENTICATED"));
    for token in [&zenobia.refresh_token, phone["refreshToken"].as_str().expect("a token")] {
        let refreshed = server.anonymous().mutate("refreshSession", json!({"refreshToken": token}), "").await;
        assert_eq!(refreshed.code(), Some("INVALID_TOKEN"));
    }
    for identifier in ["zenobia_p", "zenobia.of.palmyra@example.org"] {
        assert_eq!(zenobia.try_login(identifier, &zenobia.password).await.code(), Some("INVALID_CREDENTIALS"));
    }
    assert_eq!(delete_account(&zenobia).await.code(), Some("UNAUTHENTICATED"), "once is enough");
    let anonymous = server.anonymous();
    assert_eq!(anonymous.get(&path_of(&export["url"])).await.status, 404, "her export is gone");

    // The others.
    bob_hears.until(|event| stands_to(event, &zenobia, "NONE")).await;
    carol_hears.until(|event| invite_is(event, &to_carol, "REVOKED")).await;
    dave_hears.until(|event| invite_is(event, &from_dave, "EXPIRED")).await;
    frank_hears.until(|event| stands_to(event, &zenobia, "NONE")).await;
    let history = bob
        .conversation(
            &conversation,
            "viewerCanSend messages(first: 10) { nodes { body sender { id username displayName } } }",
        )
        .await;
    assert_eq!(history["viewerCanSend"], false);
    let nodes = history["messages"]["nodes"].as_array().expect("a list");
    assert_eq!(
        nodes.iter().map(|node| node["body"].as_str()).collect::<Vec<_>>(),
        [Some("I was here."), Some("So was I.")]
    );
    let sender = &nodes[0]["sender"];
    assert_eq!(sender["id"], zenobia.id.as_str(), "she is the same for who remembers the id");
    assert_eq!(sender["displayName"], "Deleted account");
    let tombstone = sender["username"].as_str().expect("a name").to_owned();
    assert!(tombstone.starts_with("deleted."), "{tombstone}");
    let more = bob.send_input(json!({"conversationId": conversation, "body": "Are you there?"})).await;
    assert_eq!(more.code(), Some("NOT_FRIENDS"));
    let by_name = "query($name: String!) { user(username: $name) { id } }";
    for name in ["zenobia_p", &tombstone] {
        assert!(bob.ask(by_name, json!({"name": name})).await["user"].is_null(), "{name}");
        assert_eq!(dave.invite_username(name).await.code(), Some("NOT_FOUND"), "{name}");
    }
    let searched = dave.ask("{ searchUsers(query: \"zen\") { nodes { id } } }", json!({})).await;
    assert_eq!(searched["searchUsers"]["nodes"], json!([]));
    assert_eq!(bob.viewer("friends { totalCount }").await["friends"]["totalCount"], 0);
    assert_eq!(frank.viewer("blockedUsers { nodes { id } }").await["blockedUsers"]["nodes"], json!([]));
    assert_eq!(bob.to_user("blockUser", &zenobia).await.code(), Some("NOT_FOUND"), "there is nobody to block");
    assert_eq!(bob.to_user("removeFriend", &zenobia).await.code(), Some("NOT_FRIENDS"));

    // What is stored, and what was logged.
    eventually("the keys of her messages to be emptied", async || (world.count("departure").await == 0).then_some(()))
        .await;
    let after = dump(world).await;
    for secret in SECRETS {
        assert_eq!(found(&after, secret), Vec::<&str>::new(), "{secret} is still stored");
    }
    assert!(!found(&after, "I was here.").is_empty(), "the dump shows what is there");
    for table in ["data_export", "data_export_part", "friendship", "block", "departure"] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
    for server in std::iter::once(&server).chain(&other) {
        let logged = server.logged().to_lowercase();
        assert!(logged.contains("listening"), "the log is read");
        for secret in SECRETS {
            assert!(!logged.contains(&secret.to_lowercase()), "{secret} was logged");
        }
    }

    // The name is free, for another person.
    let heir = server.person("zenobia_p").await;
    assert_ne!(heir.id, zenobia.id);
    assert!(bob.ask(by_name, json!({"name": "zenobia_p"})).await["user"].is_null(), "whom nobody knows yet");
    bob.befriend(&heir).await;
    assert_eq!(bob.relationship_to(&heir).await, "FRIEND");
    assert_eq!(bob.relationship_to(&zenobia).await, "NONE");
    assert_eq!(
        bob.viewer("conversations { nodes { id } }").await["conversations"]["nodes"].as_array().map(Vec::len),
        Some(2)
    );
});

story!(of_deletions_in_the_same_moment_one_is_done, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let payloads = join_all((0..6).map(|_| delete_account(&alice))).await;
    let n_done = payloads.iter().filter(|payload| payload.code().is_none()).count();
    assert_eq!(n_done, 1);
    for payload in payloads {
        assert!(matches!(payload.code(), None | Some("UNAUTHENTICATED")), "{}", payload.answer.text);
    }
    let seen = bob.conversation(&conversation, "viewerCanSend").await;
    assert_eq!(seen["viewerCanSend"], false);
});

story!(an_owner_hands_over_before_they_go_and_members_just_leave, |world| async {
    let server = world.server().await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    let conversation = alice.befriend(&bob).await;
    let (hers, alone, his) =
        tokio::join!(alice.create_group("Hers"), alice.create_group("Hers alone"), bob.create_group("His"));
    alice.bring(&hers, &bob).await;
    bob.bring(&his, &alice).await;
    let said = alice.send(&his, "I was in this group.").await;
    let reaction = json!({"messageId": said["id"], "emoji": "👍"});
    alice.mutate("addReaction", reaction, "messageEdge { node { id } }").await.ok();

    let refused = delete_account(&alice).await;
    assert_eq!(refused.code(), Some("LAST_OWNER"));
    let groups = "conversations { nodes { id viewerCanSend } }";
    let kept = alice.viewer(groups).await["conversations"]["nodes"].take();
    assert_eq!(kept.as_array().map(Vec::len), Some(4), "nothing has happened");
    assert!(kept.as_array().expect("a list").iter().all(|node| node["viewerCanSend"] == true));
    assert_eq!(alice.relationship_to(&bob).await, "FRIEND");

    alice.to_member("transferOwnership", &hers, &bob).await.ok();
    let socket = bob.socket().await;
    let (mut bob_hears, _) = socket.follow(None).await;
    delete_account(&alice).await.ok();
    let mut left = Vec::new();
    while left.len() < 2 {
        let heard = bob_hears.until(|event| event["__typename"] == "MemberRemoved").await;
        let event = &heard.last().expect("the one waited for")["event"];
        assert_eq!(event["userId"], alice.id.as_str());
        left.push(event["conversationId"].as_str().expect("an id").to_owned());
    }
    left.sort_unstable();
    let mut expected = [hers.clone(), his.clone()];
    expected.sort_unstable();
    assert_eq!(left, expected);
    for group in [&hers, &his] {
        let seen = bob.conversation(group, "viewerCanSend ... on Group { memberCount viewerRole }").await;
        assert_eq!(seen, json!({"viewerCanSend": true, "memberCount": 1, "viewerRole": "OWNER"}));
    }
    let node = "query($id: ID!) { node(id: $id) { ... on Message { body sender { displayName } reactions { emoji count } } } }";
    let message = bob.ask(node, json!({"id": said["id"]})).await["node"].take();
    assert_eq!(message["body"], "I was in this group.");
    assert_eq!(message["sender"]["displayName"], "Deleted account");
    assert_eq!(message["reactions"], json!([{"emoji": "👍", "count": 1}]), "reactions stay as messages do");
    let seen = bob.conversation(&conversation, "viewerCanSend").await;
    assert_eq!(seen["viewerCanSend"], false);
    bob.send(&his, "And the group goes on.").await;
    eventually("the group that was hers alone to be gone", async || {
        let sql = "SELECT count(*) FROM conversation WHERE kind = 'group' AND deleted_at IS NOT NULL";
        (number(world, sql).await == 1).then_some(())
    })
    .await;
    assert!(bob.conversation(&alone, "id").await.is_null());
});

story!(a_group_is_never_left_to_a_tombstone, |world| async {
    const N_ROUNDS: usize = 5;
    let server = world.server().await;
    let bob = server.person("bob").await;
    for round in 0..N_ROUNDS {
        let alice = server.person(&format!("alice{round}")).await;
        bob.befriend(&alice).await;
        let (offered, open) = tokio::join!(bob.create_group("Offered"), bob.create_group("Open"));
        bob.bring(&offered, &alice).await;
        let invite = bob.invite_to(&open, &alice).await.ok()["invite"]["id"].as_str().expect("an id").to_owned();
        let delete = async {
            for _ in 0..round {
                alice.viewer("id").await;
            }
            delete_account(&alice).await
        };
        let (deleted, handed_over, accepted, created) = tokio::join!(
            delete,
            bob.to_member("transferOwnership", &offered, &alice),
            alice.answer_invite("acceptInvite", &invite),
            alice.mutate("createGroup", json!({"name": "Hers"}), "group { id }")
        );
        let codes = [&deleted, &handed_over, &accepted, &created].map(Payload::code);
        match codes[0] {
            // She owned the group by then.
            Some(code) => {
                assert_eq!(code, "LAST_OWNER", "{}", deleted.answer.text);
                assert_eq!(codes[1], None, "{}", handed_over.answer.text);
            }
            None => assert!(matches!(codes[1], Some("NOT_FOUND")), "{}", handed_over.answer.text),
        }
        let is_expected = |code| matches!(code, None | Some("UNAUTHENTICATED" | "INVITE_NOT_PENDING" | "NOT_FOUND"));
        assert!(is_expected(codes[2]), "{}", accepted.answer.text);
        assert!(is_expected(codes[3]), "{}", created.answer.text);
    }
    let gone = r#"(SELECT id FROM "user" WHERE username LIKE 'deleted.%')"#;
    let in_groups = format!(
        "SELECT count(*) FROM member m JOIN conversation c ON c.id = m.conversation_id
         WHERE c.kind = 'group' AND m.user_id IN {gone}"
    );
    assert_eq!(number(world, &in_groups).await, 0);
    let ownerless = "SELECT count(*) FROM conversation c WHERE c.kind = 'group' AND c.deleted_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM member m WHERE m.conversation_id = c.id AND m.role = 'owner')";
    assert_eq!(number(world, ownerless).await, 0);
});

story!(whatever_races_with_a_deletion_comes_before_or_after, |world| async {
    const N_ROUNDS: usize = 5;
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let bob = server.person("bob").await;
    for round in 0..N_ROUNDS {
        let (name, guest) = (format!("alice{round}"), format!("guest{round}"));
        let (alice, guest) = tokio::join!(server.person(&name), server.person(&guest));
        let conversation = alice.befriend(&bob).await;
        let invite = guest.invite(&alice).await.ok()["invite"]["id"].as_str().expect("an id").to_owned();
        // Three by mail: hers to claim, hers that is claimed, and one to her.
        let mailed = async |from: &Person, to: &str| {
            let address = format!("{to}{round}@mail.example");
            from.mutate("sendInvite", json!({"email": {"email": address}}), "invite { id }").await.ok();
            mails.letter(&address, "").await.token()
        };
        let (to_guest, to_bob, to_alice) =
            (mailed(&alice, "guest").await, mailed(&alice, "bob").await, mailed(&bob, "alice").await);
        let claim = async |person: &Person, token: &str| {
            person.mutate("claimInvite", json!({"token": token}), "invite { id }").await
        };
        let claimed = claim(&guest, &to_guest).await.ok()["invite"]["id"].as_str().expect("an id").to_owned();
        let by_mail = async {
            let payload = guest.answer_invite("acceptInvite", &claimed).await;
            // Hidden from guests who have just blocked her.
            let expected = matches!(payload.code(), None | Some("INVITE_NOT_PENDING" | "NOT_FOUND"));
            assert!(expected, "{}", payload.answer.text);
            let payload = claim(&bob, &to_bob).await;
            assert!(matches!(payload.code(), None | Some("INVALID_TOKEN")), "{}", payload.answer.text);
            let payload = claim(&alice, &to_alice).await;
            assert!(matches!(payload.code(), None | Some("UNAUTHENTICATED")), "{}", payload.answer.text);
        };
        let send_by_mail = async {
            for n in 0..10 {
                let input = json!({"email": {"email": format!("many{n}@mail.example")}});
                let payload = alice.mutate("sendInvite", input, "invite { id }").await;
                assert!(matches!(payload.code(), None | Some("UNAUTHENTICATED")), "{}", payload.answer.text);
            }
        };
        let send = async |person: &Person, who: &str| {
            let mut answered = Vec::new();
            for n in 0..40 {
                let body = format!("{who} {n}");
                let key = format!("{round}.{body}");
                let input = json!({"conversationId": conversation, "body": body, "idempotencyKey": key});
                let payload = person.send_input(input).await;
                match payload.code() {
                    None => answered.push(body),
                    Some("NOT_FRIENDS" | "UNAUTHENTICATED") => {}
                    Some(_) => panic!("{}", payload.answer.text),
                }
            }
            answered
        };
        let delete = async {
            // In the middle of the others.
            for _ in 0..round {
                alice.viewer("id").await;
            }
            delete_account(&alice).await.ok();
        };
        let rename = async {
            for n in 0..10 {
                let input = json!({"displayName": format!("Alice the {n}th")});
                let payload = alice.mutate("updateProfile", input, "viewer { id }").await;
                assert!(matches!(payload.code(), None | Some("UNAUTHENTICATED")), "{}", payload.answer.text);
            }
        };
        let sign_in = async {
            for _ in 0..3 {
                let payload = alice.try_login(&alice.name, &alice.password).await;
                let code = payload.code();
                assert!(
                    matches!(code, None | Some("INVALID_CREDENTIALS" | "UNAUTHENTICATED")),
                    "{}",
                    payload.answer.text
                );
            }
        };
        let refresh = async {
            let mut token = alice.refresh_token.clone();
            loop {
                let input = json!({"refreshToken": token});
                let payload = server.anonymous().mutate("refreshSession", input, "refreshToken").await;
                match payload.code() {
                    None => token = payload.ok()["refreshToken"].as_str().expect("a token").to_owned(),
                    Some("INVALID_TOKEN") => break,
                    Some(_) => panic!("{}", payload.answer.text),
                }
            }
        };
        let accept = async {
            let code = alice.answer_invite("acceptInvite", &invite).await;
            let expected = matches!(code.code(), None | Some("INVITE_NOT_PENDING" | "UNAUTHENTICATED" | "NOT_FOUND"));
            assert!(expected, "{}", code.answer.text);
        };
        let approach = async {
            for _ in 0..5 {
                for payload in [bob.invite_username(&name).await, guest.to_user("blockUser", &alice).await] {
                    let code = payload.code();
                    let expected =
                        matches!(code, None | Some("NOT_FOUND" | "ALREADY_FRIENDS" | "ALREADY_INVITED" | "FORBIDDEN"));
                    assert!(expected, "{}", payload.answer.text);
                }
                guest.to_user("unblockUser", &alice).await;
            }
        };
        let export = async {
            let request = "mutation { requestDataExport { dataExport { id } userErrors { code } } }";
            let answer = alice.graphql(request, json!({})).await;
            assert!(matches!(answer.code(), None | Some("UNAUTHENTICATED")), "{}", answer.text);
        };
        // Somebody waits for the name.
        let inherit = async {
            eventually("the name to be free", async || {
                let input = json!({"username": name, "email": "heir@example.org", "password": "an heir's pass phrase"});
                let payload = server.anonymous().mutate("register", input, "viewer { user { id } }").await;
                assert!(matches!(payload.code(), None | Some("USERNAME_TAKEN")), "{}", payload.answer.text);
                (payload.code().is_none()).then_some(())
            })
            .await;
        };
        let (hers, his, ..) = tokio::join!(
            send(&alice, "alice"),
            send(&bob, "bob"),
            delete,
            rename,
            sign_in,
            refresh,
            accept,
            approach,
            export,
            inherit,
            by_mail,
            send_by_mail
        );
        let history = bob.history(&conversation).await;
        let mut said: Vec<&str> = history.iter().map(|message| message["body"].as_str().expect("a body")).collect();
        let mut answered: Vec<&str> = hers.iter().chain(&his).map(String::as_str).collect();
        said.sort_unstable();
        answered.sort_unstable();
        assert_eq!(said, answered, "what was answered is there, and nothing else");
        let sequences = bob.sequences(&conversation).await;
        assert_eq!(sequences, (1..=sequences.len() as i64).collect::<Vec<_>>());
    }
    let gone = r#"(SELECT id FROM "user" WHERE username LIKE 'deleted.%')"#;
    assert_eq!(number(world, &format!("SELECT count(*) FROM ({gone}) gone")).await, N_ROUNDS as i64);
    for (what, sql) in [
        ("friends", format!("SELECT count(*) FROM friendship WHERE user_id IN {gone} OR friend_id IN {gone}")),
        ("blocks", format!("SELECT count(*) FROM block WHERE blocker_id IN {gone} OR blocked_id IN {gone}")),
        (
            "pending invites",
            format!(
                "SELECT count(*) FROM invite WHERE (inviter_id IN {gone} OR invitee_id IN {gone}) AND status = 'pending'"
            ),
        ),
        ("live sessions", format!("SELECT count(*) FROM session WHERE user_id IN {gone} AND revoked_at IS NULL")),
        (
            "tokens",
            format!(
                "SELECT count(*) FROM refresh_token WHERE session_id IN (SELECT id FROM session WHERE user_id IN {gone})"
            ),
        ),
        ("accounts", format!("SELECT count(*) FROM account WHERE user_id IN {gone}")),
        ("exports", format!("SELECT count(*) FROM data_export WHERE user_id IN {gone}")),
        ("names", format!(r#"SELECT count(*) FROM "user" WHERE id IN {gone} AND display_name <> 'Deleted account'"#)),
        (
            "open conversations",
            format!("SELECT count(*) FROM conversation WHERE open AND (direct_low IN {gone} OR direct_high IN {gone})"),
        ),
    ] {
        assert_eq!(number(world, &sql).await, 0, "{what}");
    }
    eventually("the keys to be emptied", async || {
        let sql = format!("SELECT count(*) FROM message WHERE sender_id IN {gone} AND idempotency_key IS NOT NULL");
        (number(world, &sql).await == 0).then_some(())
    })
    .await;
});

story!(an_export_holds_what_is_ones_own_and_nothing_private_of_others, |world| async {
    let server = world.server().await;
    let (alice, bob, _carol, mallory) =
        tokio::join!(server.person("alice"), server.person("bob"), server.person("carol"), server.person("mallory"));
    let phones = [(&alice, "+49 30 12345678"), (&bob, "+49 30 87654321")];
    for (person, phone) in phones {
        let changes = json!({"phone": phone, "displayName": format!("{} the \"1st\"\u{2028}", person.name).replace('\u{2028}', "")});
        person.mutate("updateProfile", changes, "viewer { id }").await.ok();
    }
    assert!(alice.viewer("dataExport { id }").await["dataExport"].is_null());
    let with_bob = alice.befriend(&bob).await;
    let first = alice.send(&with_bob, "Mine: \"quoted\" 🦀\n").await;
    bob.send(&with_bob, "Bob's own words.").await;
    let second = alice.send(&with_bob, "Mine, too.").await;
    let third = alice.send(&with_bob, "Regretted.").await;
    alice.mutate("deleteMessage", json!({"messageId": third["id"]}), "messageEdge { node { id } }").await.ok();
    alice
        .mutate("sendInvite", json!({"friend": {"username": "carol", "note": "A note of mine."}}), "invite { id }")
        .await
        .ok();
    let with_mallory = alice.befriend(&mallory).await;
    alice.to_user("blockUser", &mallory).await.ok();
    let hidden = json!({"friend": {"username": "alice", "note": "A hidden note."}});
    mallory.mutate("sendInvite", hidden, "invite { id }").await.ok();

    let requested = request_export(&alice).await;
    assert_eq!(requested["status"], "PENDING");
    assert!(requested["url"].is_null() && requested["expiresAt"].is_null());
    let archive = fetch_export(&alice).await;
    let text = archive.to_string();
    assert_eq!(archive["format"], "kith-export-1");
    let profile = &archive["profile"];
    assert_eq!(profile["id"], alice.id.as_str());
    assert_eq!(profile["username"], "alice");
    assert_eq!(profile["displayName"], "alice the \"1st\"");
    assert_eq!(profile["email"], "alice@example.org");
    assert_eq!(profile["phone"], "+493012345678");
    assert_eq!(archive["sessions"].as_array().map(Vec::len), Some(1));
    let bob_as_seen = json!({"id": bob.id, "username": "bob", "displayName": "bob the \"1st\""});
    let friends = archive["friends"].as_array().expect("a list");
    assert_eq!(friends.len(), 1);
    assert_eq!((&friends[0]["id"], &friends[0]["username"]), (&bob_as_seen["id"], &bob_as_seen["username"]));
    assert_eq!(archive["blockedUsers"][0]["username"], "mallory");
    let invites = archive["invites"].as_array().expect("a list");
    let to_carol = invites.iter().find(|invite| invite["other"]["username"] == "carol").expect("the invite to Carol");
    assert_eq!(to_carol["direction"], "outgoing");
    assert_eq!(to_carol["status"], "pending");
    assert_eq!(to_carol["note"], "A note of mine.");
    assert_eq!(invites.len(), 3, "to Bob, Carol and Mallory, and not the hidden one: {invites:?}");
    let conversations = archive["conversations"].as_array().expect("a list");
    assert_eq!(conversations.len(), 2);
    let membership = conversations.iter().find(|row| row["conversationId"] == with_bob.as_str()).expect("Bob's");
    assert_eq!(membership["peer"], bob_as_seen);
    assert_eq!((&membership["kind"], &membership["role"]), (&json!("direct"), &json!("member")));
    assert!(conversations.iter().any(|row| row["conversationId"] == with_mallory.as_str()));
    let messages = archive["messages"].as_array().expect("a list");
    let expected = [(&first, json!("Mine: \"quoted\" 🦀\n")), (&second, json!("Mine, too.")), (&third, Value::Null)];
    assert_eq!(messages.len(), expected.len());
    for (message, (sent, body)) in messages.iter().zip(expected) {
        assert_eq!((&message["id"], &message["body"]), (&sent["id"], &body));
        assert_eq!(message["conversationId"], with_bob.as_str());
    }
    for private in
        ["Bob's own words.", "bob@example.org", "+493087654321", "A hidden note.", "Regretted.", "argon2", "carol@"]
    {
        assert!(!text.contains(private), "{private} is in it");
    }

    // Whose it is.
    let node = "query($id: ID!) { node(id: $id) { id ... on DataExport { status url } } }";
    let found = alice.ask(node, json!({"id": requested["id"]})).await;
    assert_eq!(found["node"]["status"], "READY");
    assert!(bob.ask(node, json!({"id": requested["id"]})).await["node"].is_null());
    assert!(bob.viewer("dataExport { id }").await["dataExport"].is_null());
    let another = request_export(&alice).await;
    assert_ne!(another["id"], requested["id"], "what is ready is not pending");
    assert_eq!(made(&alice).await["id"], another["id"], "the newest");
});

story!(requests_in_the_same_moment_are_one_export, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    let ids = join_all((0..8).map(|_| request_export(&alice))).await;
    assert_eq!(made(&alice).await["status"], "READY");
    let n_exports = world.count("data_export").await;
    let mut ids: Vec<String> = ids.iter().map(|export| export["id"].to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(n_exports, ids.len() as i64);
    // A later one may have found the earlier ready; while one was pending there was no other.
    assert!(n_exports < 8, "{n_exports}");
});

story!(an_address_that_was_tampered_with_is_an_address_of_nothing, |world| async {
    let server = world.server().await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    request_export(&alice).await;
    request_export(&bob).await;
    let (alices, bobs) = (made(&alice).await, made(&bob).await);
    let (good, foreign) = (path_of(&alices["url"]), path_of(&bobs["url"]));
    let anonymous = server.anonymous();
    let nothing = anonymous.get("/nothing/is/here").await;
    assert_eq!(nothing.status, 404);
    let (path, query) = good.split_once('?').expect("a query");
    let (expires, signature) = query.split_once('&').expect("two parameters");
    let flipped = if good.ends_with('A') { "B" } else { "A" };
    let foreign_query = foreign.split_once('?').expect("a query").1;
    let variants = [
        path.to_owned(),
        format!("{path}?{expires}"),
        format!("{path}?{signature}"),
        format!("{path}?expires=99999999999&{signature}"),
        format!("{path}?expires=-1&{signature}"),
        format!("{path}?{query}&{expires}"),
        format!("{path}?{expires}&signature="),
        format!("{path}?{expires}&signature=%00"),
        format!("{path}/?{query}"),
        format!("{path}x?{query}"),
        format!("{path}?{foreign_query}"),
        format!("{path}?{}{flipped}{}", &query[..query.len() - 5], &query[query.len() - 4..]),
        format!("/exports/%FF?{query}"),
        format!("/exports/?{query}"),
        format!("/exports/nonsense?{query}"),
        format!("/exports/{}?{query}", bobs["id"].as_str().expect("an id")),
    ];
    for variant in variants {
        let answer = anonymous.get(&variant).await;
        assert_eq!((answer.status, &answer.text), (404, &nothing.text), "{variant}");
        let with_token = alice.get(&variant).await;
        assert_eq!(with_token.status, 404, "a token changes nothing");
    }
    assert_eq!(anonymous.get(&good).await.status, 200, "and the true one works");
    assert_eq!(anonymous.get(&foreign).await.status, 200);
    let posted = anonymous.http.post(format!("{}{good}", server.url)).send().await.expect("an answer");
    assert_eq!(posted.status().as_u16(), 405);

    // Its time comes: the export's, and with it the address's.
    world.sql("UPDATE data_export SET expires_at = 1").await;
    let answer = anonymous.get(&good).await;
    assert_eq!((answer.status, &answer.text), (404, &nothing.text));
    let over = alice.viewer("dataExport { status url }").await["dataExport"].take();
    assert_eq!(over, json!({"status": "EXPIRED", "url": null}));
    eventually("what was in it to be deleted", async || (world.count("data_export_part").await == 0).then_some(()))
        .await;
    assert_eq!(alice.viewer("dataExport { status }").await["dataExport"]["status"], "EXPIRED");
});

story!(an_export_of_three_thousand_messages_survives_a_killed_server, |world| async {
    const N_MESSAGES: usize = 3000;
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let filler = "Sphinx of black quartz, judge my vow. ".repeat(8);
    let writers = (0..60).map(|writer| {
        let (alice, conversation, filler) = (alice.clone(), conversation.clone(), &filler);
        async move {
            for n in 0..N_MESSAGES / 60 {
                alice.send(&conversation, &format!("{}: {filler}", writer * (N_MESSAGES / 60) + n)).await;
            }
        }
    });
    join_all(writers).await;
    bob.send(&conversation, "All that?").await;

    let pending = "SELECT count(*) FROM data_export WHERE status = 'pending' AND claim IS NOT NULL";
    let mut server = server;
    let mut was_killed_in_the_middle = false;
    for _ in 0..10 {
        let database = world.database().await;
        let alice = alice.at(&server);
        request_export(&alice).await;
        let statement = || Statement::from_string(database.get_database_backend(), pending);
        let claimed = async || {
            let row = database.query_one_raw(statement()).await.expect("is read").expect("a row");
            row.try_get_by_index::<i64>(0).expect("a number") == 1
        };
        for _ in 0..200 {
            if claimed().await {
                break;
            }
        }
        server.kill9().await;
        was_killed_in_the_middle = claimed().await;
        database.close().await.expect("closes");
        server = world.server().await;
        if was_killed_in_the_middle {
            break;
        }
    }
    assert!(was_killed_in_the_middle, "the kill came in the middle");
    let alice = alice.at(&server);
    assert_eq!(alice.viewer("dataExport { status }").await["dataExport"]["status"], "PENDING");
    // The claim of the dead runs out.
    world.sql("UPDATE data_export SET claimed_until = 1 WHERE status = 'pending'").await;
    let archive = fetch_export(&alice).await;
    let messages = archive["messages"].as_array().expect("a list");
    assert_eq!(messages.len(), N_MESSAGES);
    let mut sequences: Vec<i64> =
        messages.iter().map(|message| message["sequence"].as_i64().expect("a number")).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=N_MESSAGES as i64).collect::<Vec<_>>(), "each of hers once");
    let newest = "(SELECT max(requested_at) FROM data_export)";
    let parts = format!(
        "SELECT count(*) FROM data_export_part p JOIN data_export e ON e.id = p.export_id WHERE e.requested_at = {newest}"
    );
    assert!(number(world, &parts).await >= 4, "in parts");
    let longest = match world.backend {
        Backend::Sqlite => "SELECT max(length(data)) FROM data_export_part",
        Backend::Full => "SELECT max(octet_length(data))::bigint FROM data_export_part",
    };
    assert!(number(world, longest).await <= 256 * 1024, "of bounded size");
});

full_story!(each_export_is_made_by_one_of_several_processes_and_served_by_all, |world| async {
    let (one, other) = (world.server().await, world.server().await);
    let people = join_all((0..12).map(|n| {
        let server = if n % 2 == 0 { &one } else { &other };
        let name = format!("person{n}");
        async move { server.person(&name).await }
    }))
    .await;
    join_all(people.iter().map(request_export)).await;
    for person in &people {
        let archive = fetch_export(&person.at(&one)).await;
        assert_eq!(archive["profile"]["id"], person.id.as_str());
        assert_eq!(fetch_export(&person.at(&other)).await, archive, "the same from the other process");
    }
    assert_eq!(
        number(world, "SELECT max(attempts)::bigint FROM data_export").await,
        1,
        "nobody began what another made"
    );
});

story!(an_export_that_fails_again_and_again_is_given_up, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    world.sql("ALTER TABLE block RENAME TO elsewhere").await;
    request_export(&alice).await;
    let attempts = async || number(world, "SELECT CAST(max(attempts) AS bigint) FROM data_export").await;
    eventually("the first attempt", async || (attempts().await == 1).then_some(())).await;
    world.sql("UPDATE data_export SET attempts = 4").await;
    world.sql("UPDATE data_export SET claimed_until = 1 WHERE status = 'pending'").await;
    eventually("the last attempt", async || (attempts().await == 5).then_some(())).await;
    world.sql("ALTER TABLE elsewhere RENAME TO block").await;
    world.sql("UPDATE data_export SET claimed_until = 1 WHERE status = 'pending'").await;
    let failed = made(&alice).await;
    assert_eq!((&failed["status"], &failed["url"]), (&json!("FAILED"), &Value::Null));
    assert_ne!(request_export(&alice).await["id"], failed["id"], "another can be had");
    assert_eq!(made(&alice).await["status"], "READY");
});

story!(passwords_are_not_guessed_at_a_deletion_and_exports_are_few, |world| async {
    let server = world.server_with(Options::default().rate_limits()).await;
    let alice = server.person("alice").await;
    for _ in 0..2 {
        request_export(&alice).await;
        request_export(&alice).await;
        made(&alice).await;
    }
    let request = "mutation { requestDataExport { dataExport { id } userErrors { code } } }";
    let answer = alice.graphql(request, json!({})).await;
    assert_eq!(answer.code(), Some("RATE_LIMITED"), "{}", answer.text);
    assert!(answer.errors()[0]["extensions"]["retryAfter"].as_i64().is_some_and(|seconds| seconds > 3600));

    // Five at once, and a few more where Redis was slow to answer and the process counted by itself.
    let mut codes = Vec::new();
    while codes.len() < 12 && codes.last().is_none_or(|code| code != "RATE_LIMITED") {
        let input = json!({"password": format!("guess number {}", codes.len())});
        let refused = alice.mutate(DELETED, input, "").await;
        codes.push(refused.code().expect("refused").to_owned());
    }
    assert_eq!(codes[..5], ["INVALID_CREDENTIALS"; 5]);
    assert_eq!(codes.last().map(String::as_str), Some("RATE_LIMITED"), "{codes:?}");
    let deleted = delete_account(&alice).await;
    assert_eq!(deleted.code(), Some("RATE_LIMITED"), "also with the right one, for a while");
    assert_eq!(alice.viewer("user { username }").await["user"]["username"], "alice");
});
