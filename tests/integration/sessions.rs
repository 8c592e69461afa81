//! Signing in, staying signed in, and being sent away.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::{story, support::*};

const TOKENS: &str = "accessToken refreshToken";
const WHO: &str = "{ viewer { user { username } } }";

async fn refresh(client: &Client, token: &str) -> Payload {
    client.mutate("refreshSession", json!({"refreshToken": token}), TOKENS).await
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}"))
}

async fn is_signed_in(client: &Client) -> bool {
    let answer = client.graphql(WHO, json!({})).await;
    match answer.code() {
        None => answer.body["data"]["viewer"]["user"]["username"].is_string(),
        Some("UNAUTHENTICATED") => false,
        other => panic!("{other:?}"),
    }
}

story!(one_signs_in_by_username_or_by_address, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    for identifier in ["alice", "ALICE", "alice@example.org", "Alice@Example.ORG", " alice "] {
        let login = alice.try_login(identifier, &alice.password).await;
        assert_eq!(login.ok()["viewer"]["user"]["username"], "alice", "{identifier}");
        assert!(is_signed_in(&alice.with_token(text(&login.ok()["accessToken"]))).await);
    }
    assert_eq!(server.anonymous().graphql(WHO, json!({})).await.body, json!({"data": {"viewer": null}}));

    // Whether there is such an account is not told.
    let wrong = alice.try_login("alice", "not the pass phrase").await;
    assert_eq!(wrong.code(), Some("INVALID_CREDENTIALS"));
    for (identifier, password) in [
        ("nobody", "not the pass phrase"),
        ("nobody@example.org", "not the pass phrase"),
        ("alice@example.org", "not the pass phrase"),
        ("bad name!", "not the pass phrase"),
        ("", ""),
        ("alice", ""),
        ("alice\u{0}", "x"),
        ("alice", "\u{0}"),
        (&"x".repeat(10_000), "x"),
        ("alice", &"x".repeat(10_000)),
        ("' OR 1=1 --", "' OR 1=1 --"),
    ] {
        let refused = alice.try_login(identifier, password).await;
        assert_eq!(refused.answer.text, wrong.answer.text, "{:?}", (identifier.len(), password.len()));
    }
});

story!(a_refresh_token_works_once_and_its_reuse_ends_the_session, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    let phone = alice.another_device().await;
    let anonymous = server.anonymous();

    let first = refresh(&anonymous, &phone.refresh_token).await;
    let (access, successor) = (text(&first.ok()["accessToken"]), text(&first.ok()["refreshToken"]));
    assert_ne!(successor, phone.refresh_token);
    assert!(is_signed_in(&phone.with_token(access)).await);
    let second = refresh(&anonymous, successor).await;
    let newest = text(&second.ok()["refreshToken"]).to_owned();
    let socket = phone.with_token(text(&second.ok()["accessToken"])).socket().await;
    assert!(is_signed_in(&phone).await, "older access tokens live on until they expire");

    // Somebody else comes with a token that has been used: one of the two is a thief.
    let reused = refresh(&anonymous, &phone.refresh_token).await;
    assert_eq!(reused.code(), Some("INVALID_TOKEN"));
    assert!(reused.value()["accessToken"].is_null() && reused.value()["refreshToken"].is_null());
    assert_eq!(refresh(&anonymous, &newest).await.code(), Some("INVALID_TOKEN"), "the whole session is over");
    assert!(!is_signed_in(&phone).await);
    assert!(!is_signed_in(&phone.with_token(text(&second.ok()["accessToken"]))).await);
    assert_eq!(socket.ended(PATIENCE).await.code(), Some(1008));
    assert!(is_signed_in(&alice).await, "the other session is not");

    for nonsense in ["", "nonsense", "kr_", "\u{0}", &"x".repeat(10_000), alice.access_token()] {
        assert_eq!(refresh(&anonymous, nonsense).await.code(), Some("INVALID_TOKEN"), "{:?}", nonsense.len());
    }
    assert!(!is_signed_in(&alice.with_token(&alice.refresh_token)).await, "a refresh token is no access token");
    assert!(is_signed_in(&alice).await);
    let stored = world.database().await;
    let statement = sea_orm::Statement::from_string(
        sea_orm::ConnectionTrait::get_database_backend(&stored),
        "SELECT count(*) FROM refresh_token WHERE length(token_hash) <> 32",
    );
    let row = sea_orm::ConnectionTrait::query_one_raw(&stored, statement).await.expect("asked").expect("a row");
    assert_eq!(row.try_get_by_index::<i64>(0).expect("a number"), 0, "only hashes are stored");
});

story!(of_twenty_refreshes_with_one_token_one_is_honoured, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await.another_device().await;
    let anonymous = server.anonymous();
    let refreshes = join_all((0..20).map(|_| refresh(&anonymous, &alice.refresh_token))).await;
    let outcomes: Vec<_> = refreshes.iter().map(Payload::code).collect();
    assert_eq!(outcomes.iter().filter(|code| code.is_none()).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|code| matches!(code, None | Some("INVALID_TOKEN"))), "{outcomes:?}");
    let honoured = refreshes.iter().find(|payload| payload.code().is_none()).expect("one");
    let next = refresh(&anonymous, text(&honoured.ok()["refreshToken"])).await;
    assert_eq!(next.code(), Some("INVALID_TOKEN"), "nineteen reuses ended the session");
    assert!(!is_signed_in(&alice.with_token(text(&honoured.ok()["accessToken"]))).await);
});

story!(sessions_are_listed_and_can_be_revoked, |world| async {
    let server = world.server().await;
    let (alice, eve) = tokio::join!(server.person("alice"), server.person("eve"));
    let phone = alice.another_device().await;
    let list = async |person: &Person| {
        let viewer = person.viewer("sessions { id current userAgent createdAt lastUsedAt }").await;
        viewer["sessions"].as_array().expect("a list").clone()
    };
    let sessions = list(&phone).await;
    assert_eq!(
        sessions.iter().map(|session| session["current"] == true).collect::<Vec<_>>(),
        [true, false],
        "newest first"
    );
    let session = text(&sessions[0]["id"]).to_owned();
    assert_eq!(list(&alice).await[1]["current"], true);

    let revoke =
        async |person: &Person, id: &str| person.mutate("revokeSession", json!({"sessionId": id}), "sessionId").await;
    let foreign = revoke(&eve, &session).await;
    let missing = revoke(&eve, "session_00000000000000000000000000").await;
    assert_eq!(foreign.code(), Some("NOT_FOUND"));
    assert_eq!(foreign.answer.text, missing.answer.text, "somebody else's is like none");
    assert!(is_signed_in(&phone).await);
    assert_eq!(revoke(&alice, "nonsense").await.code(), Some("INVALID_INPUT"));

    let socket = phone.socket().await;
    assert_eq!(revoke(&alice, &session).await.ok()["sessionId"], session.as_str());
    assert_eq!(socket.ended(PATIENCE).await.code(), Some(1008));
    assert!(!is_signed_in(&phone).await);
    assert_eq!(refresh(&server.anonymous(), &phone.refresh_token).await.code(), Some("INVALID_TOKEN"));
    assert_eq!(list(&alice).await.len(), 1);

    // It stays revoked for a process that starts later.
    assert!(server.terminate().await.success());
    let server = world.server().await;
    assert!(!is_signed_in(&phone.at(&server)).await);
    assert!(is_signed_in(&alice.at(&server)).await);
    assert!(!is_signed_in(&server.anonymous().with_token("")).await);
});

story!(forged_tokens_are_refused, |world| async {
    let server = world.server().await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    let part = |token: &str, n: usize| -> Value {
        let part = token.split('.').nth(n).expect("a JWT has three parts");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
    };
    let header: Header = serde_json::from_value(part(alice.access_token(), 0)).expect("a header");
    let claims = part(alice.access_token(), 1);
    let claim = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().expect("an object").remove(name);
        claims
    };
    let sign = |header: &Header, claims: &Value, secret: &str| {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).expect("it can be signed")
    };
    let signed = |claims: &Value| sign(&header, claims, &world.jwt_secret);
    let unsigned = |algorithm: &str| {
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut header = part(alice.access_token(), 0);
        header["alg"] = json!(algorithm);
        format!("{}.{}.", encode(header), encode(claims.clone()))
    };
    let of_algorithm = |algorithm| Header { alg: algorithm, ..header.clone() };
    let now = claims["iat"].as_i64().expect("issued at");
    assert!(is_signed_in(&alice.with_token(&signed(&claims))).await, "the set-up is sound");

    let mut tampered = alice.access_token().to_owned();
    let middle = tampered.find('.').expect("a dot") + 5;
    let replacement = if &tampered[middle..=middle] == "A" { "B" } else { "A" };
    tampered.replace_range(middle..=middle, replacement);
    let bobs_claims = bob.access_token().split('.').nth(1).expect("claims");
    let parts: Vec<&str> = alice.access_token().split('.').collect();
    let forged = [
        ("no algorithm", unsigned("none")),
        ("no algorithm, in capitals", unsigned("None")),
        ("no signature", unsigned("HS256")),
        ("another secret", sign(&header, &claims, "another secret of more than thirty-two bytes")),
        ("an empty secret", sign(&header, &claims, "")),
        ("another algorithm", sign(&of_algorithm(Algorithm::HS512), &claims, &world.jwt_secret)),
        ("a third algorithm", sign(&of_algorithm(Algorithm::HS384), &claims, &world.jwt_secret)),
        ("another key id", sign(&Header { kid: Some("2".into()), ..header.clone() }, &claims, &world.jwt_secret)),
        (
            "a path as key id",
            sign(&Header { kid: Some("/dev/null".into()), ..header.clone() }, &claims, &world.jwt_secret),
        ),
        ("another issuer", signed(&claim("iss", json!("elsewhere")))),
        ("no issuer", signed(&without("iss"))),
        ("another audience", signed(&claim("aud", json!("elsewhere")))),
        ("no audience", signed(&without("aud"))),
        ("expired", signed(&claim("exp", json!(now - 3600)))),
        ("expired long ago", signed(&claim("exp", json!(0)))),
        ("an expiry before all time", signed(&claim("exp", json!(i64::MIN)))),
        ("no expiry", signed(&without("exp"))),
        ("an expiry that is no number", signed(&claim("exp", json!("never")))),
        ("good from an hour on", signed(&claim("nbf", json!(now + 3600)))),
        ("issued in an hour", signed(&claim("iat", json!(now + 3600)))),
        (
            "something critical",
            sign(&Header { crit: Some(vec!["exp".into()]), ..header.clone() }, &claims, &world.jwt_secret),
        ),
        ("no subject", signed(&without("sub"))),
        ("no session", signed(&without("sid"))),
        ("a subject that is no id", signed(&claim("sub", json!("alice")))),
        ("tampered with", tampered),
        ("somebody else's claims", format!("{}.{bobs_claims}.{}", parts[0], parts[2])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{}.x", alice.access_token())),
        ("long", format!("{}{}", alice.access_token(), "x".repeat(5000))),
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("a refresh token", alice.refresh_token.clone()),
    ];
    for (what, token) in forged {
        let client = alice.with_token(&token);
        let answer = client.graphql(WHO, json!({})).await;
        assert_eq!(answer.code(), Some("UNAUTHENTICATED"), "{what}: {}", answer.text);
        assert!(answer.body["data"]["viewer"].is_null(), "{what}: {}", answer.text);
    }
    for authorization in ["Basic YWxpY2U6YWxpY2U=", "Bearer", "nonsense", ""] {
        let request =
            server.anonymous().post().header("authorization", authorization).header("content-type", "application/json");
        let request = request.body(json!({"query": WHO}).to_string());
        let answer = Answer::read(request.send().await.expect("answered")).await.expect("whole");
        assert_eq!(answer.code(), Some("UNAUTHENTICATED"), "{authorization:?}: {}", answer.text);
    }
    // A token in the URL is nobody's.
    let by_url = server
        .anonymous()
        .get(&format!("/graphql?query=%7Bviewer%7Bid%7D%7D&access_token={0}&token={0}", alice.access_token()))
        .await;
    assert_eq!(by_url.body["data"], json!({"viewer": null}), "{}", by_url.text);
    assert!(!server.logged().contains(alice.access_token()), "tokens are not logged");
    assert!(!server.logged().contains(&alice.password) && !server.logged().contains(&alice.refresh_token));
});

story!(a_name_search_is_limited_and_says_when_to_come_back, |world| async {
    // People are made without limits: they all come from one address.
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    assert!(server.terminate().await.success());
    let server = world.server_with(Options::default().rate_limits()).await;
    let (alice, bob) = (alice.at(&server), bob.at(&server));

    let search = "{ searchUsers(query: \"ali\", first: 5) { nodes { id } } }";
    let limited = within(PATIENCE * 2, "the limit", async {
        loop {
            let answer = alice.graphql(search, json!({})).await;
            match answer.code() {
                None => {}
                Some("RATE_LIMITED") => return answer,
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    let retry_after = limited.errors()[0]["extensions"]["retryAfter"].as_i64().expect("seconds");
    assert!((1..=3600).contains(&retry_after), "{}", limited.text);
    assert_eq!(limited.header("retry-after"), Some(retry_after.to_string().as_str()));
    assert_eq!(bob.graphql(search, json!({})).await.code(), None, "each has their own");
    assert_eq!(alice.graphql(WHO, json!({})).await.code(), None, "the rest works");

    // Sends: a repeated one is free at any time, a new one is not.
    let input = |key: &str| json!({"conversationId": conversation, "body": "hi", "idempotencyKey": key});
    assert_eq!(alice.send_input(input("first")).await.code(), None);
    within(PATIENCE * 3, "the limit", async {
        for round in 0.. {
            let sends = join_all((0..20).map(|n| alice.send_input(input(&format!("{round}.{n}"))))).await;
            if sends.iter().any(|sent| sent.code() == Some("RATE_LIMITED")) {
                return;
            }
        }
    })
    .await;
    let repeated = join_all((0..30).map(|_| alice.send_input(input("first")))).await;
    for payload in repeated {
        assert_eq!(payload.ok()["replayed"], true, "a repeat is not counted");
    }
});

story!(a_made_up_address_does_not_get_around_a_limit, |world| async {
    let server = world.server_with(Options::default().rate_limits()).await;
    let limited = within(PATIENCE * 3, "the limit", async {
        for n in 0.. {
            let input = json!({"refreshToken": format!("nonsense {n}")});
            let document =
                "mutation($input: RefreshSessionInput!) { refreshSession(input: $input) { userErrors { code } } }";
            let request = server
                .anonymous()
                .post()
                .header("content-type", "application/json")
                .header("x-forwarded-for", format!("10.0.{}.{}", n / 250, n % 250))
                .header("forwarded", format!("for=10.1.{}.{}", n / 250, n % 250))
                .header("x-real-ip", format!("10.2.{}.{}", n / 250, n % 250))
                .body(json!({"query": document, "variables": {"input": input}}).to_string());
            let answer = Answer::read(request.send().await.expect("answered")).await.expect("whole");
            if answer.code() == Some("RATE_LIMITED") {
                return n;
            }
            let refused = &answer.body["data"]["refreshSession"]["userErrors"][0]["code"];
            assert_eq!(refused, "INVALID_TOKEN", "{}", answer.text);
        }
        unreachable!("a loop without an end");
    })
    .await;
    println!("limited after {limited}");
});

story!(passwords_cannot_be_guessed_at_leisure, |world| async {
    let server = world.server().await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    assert!(server.terminate().await.success());
    let server = world.server_with(Options::default().rate_limits()).await;
    let (alice, _bob) = (alice.at(&server), bob.at(&server));
    within(PATIENCE * 3, "the limit", async {
        for n in 0.. {
            let guess = alice.try_login("alice", &format!("guess number {n}")).await;
            match guess.code() {
                Some("INVALID_CREDENTIALS") => {}
                Some("RATE_LIMITED") => return,
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    // Nor is there a way around it in one request.
    let logins: String = (0..5)
        .map(|n| format!("a{n}: login(input: {{identifier: \"alice\", password: \"guess {n}\"}}) {{ accessToken userErrors {{ code }} }} "))
        .collect();
    let answer = server.anonymous().graphql(&format!("mutation {{ {logins} }}"), json!({})).await;
    assert!(!answer.text.contains("INVALID_CREDENTIALS"), "no guess was looked at: {}", answer.text);
    assert!(is_signed_in(&alice).await, "who is signed in is not locked out");
});
