//! Mails: they arrive once, whatever happens to the server that sends them and to the one that takes them.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use futures_util::future::join_all;
use serde_json::json;

use crate::{full_story, sqlite_story, story, support::*};

/// How many tries had an outcome, by the server's own count.
async fn counted(server: &Server, outcome: &str) -> u64 {
    let name = format!("kith_mails_total{{outcome=\"{outcome}\"}} ");
    let metrics = server.anonymous().get("/metrics").await.text;
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().expect("a number"))
}

/// Waits until every address has a letter; each must have one only, and nothing may be left.
async fn everybody_has_one_letter(world: &World, mails: &MailServer, names: &[String]) {
    within(PATIENCE * 5, "all letters", async {
        loop {
            if world.count("mail").await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let mut letters: BTreeMap<String, usize> = BTreeMap::new();
    for letter in mails.letters() {
        *letters.entry(letter.to).or_default() += 1;
    }
    let expected: BTreeMap<String, usize> = names.iter().map(|name| (format!("{name}@example.org"), 1)).collect();
    assert_eq!(letters, expected);
}

fn names(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|n| format!("{prefix}{n}")).collect()
}

async fn register(server: &Server, names: &[String]) {
    // Passwords are hashed a few at a time.
    for names in names.chunks(4) {
        join_all(names.iter().map(|name| server.person(name))).await;
    }
}

story!(a_mail_has_two_parts_and_what_people_write_is_escaped, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let alice = server.person("alice").await;
    let name = json!({"displayName": "=?utf-8?q?Kith?="});
    alice.mutate("updateProfile", name, "viewer { id }").await.ok();
    let input = json!({"email": {"email": "first@example.org", "note": "One.\r\nTwo."}});
    alice.mutate("sendInvite", input, "invite { id }").await.ok();
    let letter = mails.letter("first@example.org", "").await;
    assert_eq!(letter.subject, "=?utf-8?q?Kith?= invites you", "as it was written, and not what it could be read as");
    let lines: Vec<&str> = letter.text.lines().filter(|line| line.starts_with('>')).collect();
    assert_eq!(lines, ["> One.", "> Two."]);
    let name = json!({"displayName": "Äl <b>ice</b> & \"Co\""});
    alice.mutate("updateProfile", name, "viewer { id }").await.ok();
    let note = "<script>alert(1)</script>\r\n.\r\nQUIT\r\n.. Grüße 🦀";
    let input = json!({"email": {"email": "Guest@BÜCHER.example", "note": note}});
    alice.mutate("sendInvite", input, "invite { id }").await.ok();

    let letter = mails.letter("Guest@xn--bcher-kva.example", "").await;
    assert_eq!(letter.subject, "Äl <b>ice</b> & \"Co\" invites you");
    assert!(letter.text.contains("Äl <b>ice</b> & \"Co\" (@alice) would like to talk"), "{}", letter.text);
    for line in ["> <script>alert(1)</script>", "> .", "> QUIT", "> .. Grüße 🦀"] {
        assert!(letter.text.lines().any(|text| text == line), "{line:?} in {}", letter.text);
    }
    assert!(!letter.html.contains("<script>") && !letter.html.contains("<b>ice"), "{}", letter.html);
    assert!(letter.html.contains("Grüße 🦀"), "{}", letter.html);
    let link = format!("https://app.example/invite?token={}", letter.token());
    assert!(letter.text.contains(&link) && letter.html.contains(&format!("href=\"{link}\"")));
    assert!(letter.token().len() >= 22, "128 bits");
    let headers = ["content-type", "date", "from", "message-id", "mime-version", "subject", "to"];
    assert_eq!(letter.headers.iter().map(String::as_str).collect::<Vec<_>>(), headers);

    let verification = mails.letter("alice@example.org", "Confirm").await;
    assert!(verification.message_id.ends_with("@app.example") && verification.message_id != letter.message_id);
    assert!(verification.text.contains("@alice") && verification.html.contains("@alice"));
    for secret in ["example.org", "bcher", "BÜCHER", "Grüße", &letter.token(), &verification.token()] {
        assert!(!server.logged().contains(secret), "{secret} is in the log");
    }
});

sqlite_story!(mails_travel_encrypted_where_that_is_asked_for, |world| async {
    for mails in [MailServer::starttls(world).await, MailServer::tls(world).await] {
        let server = world.server_with(mails.options()).await;
        let name = format!("alice{}", world.count("user").await);
        let alice = server.person(&name).await;
        assert!(mails.letter(&alice.email, "Confirm").await.encrypted);
        assert!(server.terminate().await.success());
    }
    // A mail server that cannot is told nothing.
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options_demanding_tls()).await;
    server.person("carol").await;
    eventually("a try", async || (counted(&server, "failed").await > 0).then_some(())).await;
    assert!(mails.letters().is_empty());
    assert_eq!(world.count("mail").await, 1);
    assert!(server.logged().contains("cannot be spoken to by TLS"), "{}", server.logged());
    assert!(server.terminate().await.success());
    // Nor one whom nobody vouches for; and the log says what it is.
    let mails = MailServer::tls(world).await;
    let server = world.server_with(mails.options().set("SSL_CERT_FILE", "/dev/null")).await;
    eventually("a try", async || (counted(&server, "failed").await > 0).then_some(())).await;
    assert!(mails.letters().is_empty());
    assert!(server.logged().contains("cannot be spoken to by TLS"), "{}", server.logged());
    assert!(!server.logged().contains("cannot be reached"), "{}", server.logged());
});

story!(a_mail_server_that_is_away_delays_mails_and_loses_none, |world| async {
    let mails = MailServer::plain(world).await;
    mails.feel(Mood::Dead);
    let server = world.server_with(mails.options()).await;
    let mut all = Vec::new();
    for (n, mood) in [Mood::Dead, Mood::Busy, Mood::Dropping, Mood::Hanging].into_iter().enumerate() {
        mails.feel(mood);
        // More than are sent at once.
        let some = names(&format!("person{n}x"), 10);
        within(PATIENCE, "answers, as if nothing were wrong", register(&server, &some)).await;
        all.extend(some);
    }
    eventually("tries in vain", async || (counted(&server, "failed").await > 0).then_some(())).await;
    assert_eq!(mails.letters().len(), 0);
    assert_eq!(world.count("mail").await, all.len() as i64);
    assert!(server.is_ready().await);
    mails.feel(Mood::Well);
    everybody_has_one_letter(world, &mails, &all).await;
    assert_eq!(counted(&server, "sent").await, all.len() as u64);
});

story!(what_is_refused_for_good_is_given_up_after_hours, |world| async {
    let mails = MailServer::plain(world).await;
    mails.feel(Mood::Refusing);
    let server = world.server_with(mails.options()).await;
    server.person("alice").await;
    eventually("a refusal", async || (counted(&server, "failed").await > 0).then_some(())).await;
    assert_eq!(world.count("mail").await, 1, "it may be a mistake that somebody mends");
    assert!(server.terminate().await.success());
    world.sql("UPDATE mail SET queued_at = queued_at - 22000000, due_at = 0").await;
    let server = world.server_with(mails.options()).await;
    eventually("the end", async || (world.count("mail").await == 0).then_some(())).await;
    assert_eq!(counted(&server, "given_up").await, 1);
    assert!(server.logged().contains("a mail was given up") && !server.logged().contains("example.org"));
});

story!(a_server_killed_before_it_has_sent_loses_no_mail, |world| async {
    let mails = MailServer::plain(world).await;
    mails.feel(Mood::Hanging);
    let server = world.server_with(mails.options()).await;
    let all = names("person", 12);
    register(&server, &all).await;
    server.kill9().await;
    assert_eq!(world.count("mail").await, 12);
    mails.feel(Mood::Well);
    // The dead one's leases pass.
    world.sql("UPDATE mail SET due_at = 0").await;
    let server = world.server_with(mails.options()).await;
    everybody_has_one_letter(world, &mails, &all).await;
    drop(server);
});

story!(a_server_that_stops_finishes_what_it_sends, |world| async {
    let mails = MailServer::plain(world).await;
    let server = world.server_with(mails.options()).await;
    let all = names("person", 12);
    register(&server, &all).await;
    assert!(server.terminate().await.success());
    let server = world.server_with(mails.options()).await;
    everybody_has_one_letter(world, &mails, &all).await;
    drop(server);
});

full_story!(two_processes_send_each_mail_once, |world| async {
    let mails = MailServer::plain(world).await;
    mails.feel(Mood::Dead);
    let server = world.server_with(mails.options()).await;
    let mut all = names("early", 60);
    register(&server, &all).await;
    server.kill9().await;
    // All at once, for both.
    world.sql("UPDATE mail SET due_at = 0").await;
    mails.feel(Mood::Well);
    let (one, other) = tokio::join!(world.server_with(mails.options()), world.server_with(mails.options()));
    let (ones, others) = (names("one", 10), names("other", 10));
    tokio::join!(register(&one, &ones), register(&other, &others));
    all.extend(ones.into_iter().chain(others));
    everybody_has_one_letter(world, &mails, &all).await;
    let sent = [counted(&one, "sent").await, counted(&other, "sent").await];
    assert_eq!(sent.iter().sum::<u64>(), 80);
    assert!(sent.iter().all(|n| *n > 0), "both took part: {sent:?}");
});

story!(without_a_mail_server_mails_are_files, |world| async {
    let server = world.server().await;
    let alice = server.person("alice").await;
    let outbox = world.dir().join("outbox");
    let files = || -> Vec<std::path::PathBuf> {
        let Ok(entries) = std::fs::read_dir(&outbox) else { return Vec::new() };
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect()
    };
    let file = eventually("the file", async || files().pop()).await;
    let letter = read(&file);
    assert!(letter.text.contains("@alice"));
    assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    let verified = server.anonymous().mutate("verifyEmail", json!({"token": letter.token()}), "viewer { id }").await;
    verified.ok();
    assert_eq!(alice.viewer("emailVerified").await["emailVerified"], true);
    server.person("bob").await;
    eventually("another file", async || (files().len() == 2).then_some(())).await;
    assert_eq!(server.logged().matches("mails are written to files").count(), 1);
    assert!(!server.logged().contains("example.org") && !server.logged().contains(&letter.token()));
    eventually("an empty outbox", async || (world.count("mail").await == 0).then_some(())).await;

    let elsewhere = world.dir().join("elsewhere/mails");
    assert!(server.terminate().await.success());
    let server = world.server_with(Options::default().set("KITH_OUTBOX_DIR", elsewhere.display())).await;
    server.person("carol").await;
    let entry = eventually("the file", async || elsewhere.read_dir().ok()?.next()).await;
    entry.expect("it can be seen");
});

fn read(path: &Path) -> Letter {
    Letter::parse("", &std::fs::read(path).expect("it can be read"), false)
}
