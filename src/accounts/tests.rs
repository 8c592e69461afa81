//! Stories of accounts on SQLite, and on PostgreSQL when `KITH_TEST_POSTGRES_URL` names a server.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use async_graphql::Request;
use clap::Parser;
use entity::{SessionId, Timestamp, UserId, account, event, refresh_token, session, user};
use futures_util::future::join_all;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, Database, EntityTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    actions::{self, NewAccount, ProfileChanges},
    deletion,
    graphql::{session_nodes, viewer_node},
    sessions::{self, SignedIn},
};
use crate::{
    app::{self, App},
    auth::{Caller, RequestContext, Viewer, authenticate},
    clock::Clock,
    config::Config,
    error::{Error, Failure, Outcome, UserErrorCode},
    graphql::{
        CurrentLoaders, build_schema,
        ids::{GlobalId, ViewerId},
    },
};

const PASSWORD: &str = "correct horse";

// ------------------------------------------------------------------ the world

struct World {
    app: Arc<App>,
    _directory: tempfile::TempDir,
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: Config,
}

/// The same world on each database.
async fn worlds(flags: &[&str]) -> Vec<World> {
    let directory = tempfile::tempdir().expect("a directory");
    let sqlite = format!("sqlite://{}", directory.path().join("kith.db").display());
    let mut worlds = vec![World::new(&sqlite, flags, directory).await];
    if let Ok(server) = std::env::var("KITH_TEST_POSTGRES_URL") {
        let name = format!("kith_{}", Clock.new_id::<UserId>().0.simple());
        let admin = Database::connect(&server).await.expect("PostgreSQL answers");
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("a database");
        let mut url = url::Url::parse(&server).expect("a URL");
        url.set_path(&name);
        worlds.push(World::new(url.as_str(), flags, tempfile::tempdir().expect("a directory")).await);
    }
    worlds
}

impl World {
    async fn new(database_url: &str, flags: &[&str], directory: tempfile::TempDir) -> Self {
        let arguments =
            ["kith", "--database-url", database_url, "--jwt-secret", "a-secret-of-at-least-thirty-two-bytes"];
        let arguments = arguments.into_iter().chain(flags.iter().copied());
        let config = Cli::try_parse_from(arguments).expect("flags").config;
        let app = app::build(config).await.expect("starts");
        Self { app, _directory: directory }
    }

    async fn register(&self, username: &str) -> SignedIn {
        actions::register(&self.app, &request(1), form(username)).await.expect("registers")
    }

    async fn login(&self, identifier: &str) -> Outcome<SignedIn> {
        actions::login(&self.app, &request(1), identifier, PASSWORD).await
    }

    async fn refresh(&self, token: &str) -> Outcome<SignedIn> {
        sessions::refresh(&self.app, &request(1), token.to_owned()).await
    }

    fn caller(&self, signed_in: &SignedIn) -> Caller {
        authenticate(&self.app, Some(&format!("Bearer {}", signed_in.access_token)))
    }

    fn is_refused(&self, signed_in: &SignedIn) -> bool {
        matches!(self.caller(signed_in), Caller::Rejected(_))
    }

    /// The sessions of whose end the event log tells, each with who hears of it.
    async fn ends_told(&self) -> Vec<(SessionId, UserId)> {
        let events = event::Entity::find().filter(event::Column::Kind.eq(event::Kind::SessionRevoked));
        let events = events.order_by_asc(event::Column::Id).all(self.app.db.read()).await.expect("reads");
        let ids = events.into_iter().map(|event| (event.session_id.expect("whose"), event.user_id.expect("who hears")));
        ids.collect()
    }

    async fn change_session(&self, session_id: SessionId, change: impl FnOnce(&mut session::ActiveModel)) {
        let db = self.app.db.writer();
        let session = session::Entity::find_by_id(session_id).one(db).await.expect("reads").expect("a session");
        let mut session = session.into_active_model();
        change(&mut session);
        session.update(db).await.expect("writes");
    }

    async fn graphql(&self, caller: Caller, document: &str) -> Value {
        let request =
            Request::new(document).data(RequestContext { caller, ..request(1) }).data(CurrentLoaders::new(&self.app));
        serde_json::to_value(build_schema(&self.app).execute(request).await).expect("JSON")
    }
}

fn request(host: u8) -> RequestContext {
    RequestContext {
        caller: Caller::Anonymous,
        request_id: "test".into(),
        client_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
        user_agent: Some("Test/1.0".into()),
    }
}

fn form(username: &str) -> NewAccount {
    NewAccount {
        username: username.into(),
        email: format!("{username}@example.com"),
        password: PASSWORD.into(),
        display_name: None,
        phone: None,
        invite_token: None,
    }
}

/// The codes and fields of a refusal; a fault fails the test.
fn refusals<T>(outcome: Outcome<T>) -> Vec<(UserErrorCode, String)> {
    match outcome {
        Ok(_) => Vec::new(),
        Err(Failure::Refused(refusals)) => {
            refusals.into_iter().map(|it| (it.code, it.field.map_or("".into(), |path| path[1..].join(".")))).collect()
        }
        Err(Failure::Fault(error)) => panic!("a fault: {error:?}"),
    }
}

fn refused(code: UserErrorCode, field: &str) -> Vec<(UserErrorCode, String)> {
    vec![(code, field.into())]
}

/// What no input may turn into a fault.
fn hostile() -> Vec<String> {
    ["", " ", "\0", "a\0bc", "\u{301}", "\u{202e}x", "%_\\", "' OR 1", "🦀"]
        .into_iter()
        .map(str::to_owned)
        .chain(["x".repeat(1_000_000), "\u{301}".repeat(500_000), format!("{}@example.com\0", "x".repeat(100))])
        .collect()
}

// ------------------------------------------------------------------ signing up

#[tokio::test]
async fn who_registers_is_signed_in() {
    for world in worlds(&[]).await {
        let form = NewAccount {
            display_name: Some(" Ann of Cleves ".into()),
            phone: Some("+49 30 123456".into()),
            email: "Ann@Example.com".into(),
            ..form("ANN")
        };
        let ann = actions::register(&world.app, &request(1), form).await.expect("registers");
        let document = "{ viewer { id user { id username displayName } email emailVerified phone discoverable
            sessions { id current userAgent createdAt lastUsedAt } } }";
        let answer = world.graphql(world.caller(&ann), document).await;
        let viewer = &answer["data"]["viewer"];
        assert_eq!(viewer["id"], json!(ViewerId(ann.viewer.user_id().0).encode().as_str()), "{answer}");
        assert_eq!(viewer["user"]["username"], "ann");
        assert_eq!(viewer["user"]["displayName"], "Ann of Cleves");
        assert_eq!(viewer["email"], "Ann@Example.com");
        assert_eq!(viewer["emailVerified"], false);
        assert_eq!(viewer["phone"], "+4930123456");
        assert_eq!(viewer["discoverable"], false);
        assert_eq!(viewer["sessions"][0]["current"], true);
        assert_eq!(viewer["sessions"][0]["userAgent"], "Test/1.0");
        assert_eq!(viewer["sessions"].as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test]
async fn all_that_is_wrong_with_a_form_is_told_at_once() {
    for world in worlds(&[]).await {
        let bad = NewAccount {
            username: "a".into(),
            email: "ann".into(),
            password: "short".into(),
            display_name: Some("\0".into()),
            phone: Some("030".into()),
            invite_token: None,
        };
        let told = refusals(actions::register(&world.app, &request(1), bad).await);
        let fields: Vec<&str> = told.iter().map(|(_, field)| field.as_str()).collect();
        assert_eq!(fields, ["username", "email", "password", "displayName", "phone"]);

        let common = NewAccount { password: "PassWord123".into(), ..form("ann") };
        let told = refusals(actions::register(&world.app, &request(1), common).await);
        assert_eq!(told, refused(UserErrorCode::InvalidInput, "password"));
    }
}

#[tokio::test]
async fn no_text_makes_signing_up_or_in_a_fault() {
    for world in worlds(&["--rate-limits", "off"]).await {
        let ann = world.register("ann").await;
        for text in hostile() {
            let text = || text.clone();
            for form in [NewAccount { username: text(), ..form("ben") }, NewAccount { email: text(), ..form("ben") }] {
                assert!(!refusals(actions::register(&world.app, &request(1), form).await).is_empty());
            }
            // A password may be any text of its length.
            let free = NewAccount { password: text(), ..form("ben") };
            refusals(actions::register(&world.app, &request(1), free).await);
            let name = NewAccount { display_name: Some(text()), ..form("ann") };
            assert!(!refusals(actions::register(&world.app, &request(1), name).await).is_empty());
            refusals(actions::login(&world.app, &request(1), &text(), PASSWORD).await);
            let wrong = actions::login(&world.app, &request(1), "ann", &text()).await;
            assert_eq!(refusals(wrong), refused(UserErrorCode::InvalidCredentials, ""));
            assert_eq!(refusals(world.refresh(&text()).await), refused(UserErrorCode::InvalidToken, "refreshToken"));
            for changes in [
                ProfileChanges { username: Some(text()), ..Default::default() },
                ProfileChanges { display_name: Some(text()), ..Default::default() },
                ProfileChanges { phone: Some(text()), ..Default::default() },
            ] {
                refusals(actions::update_profile(&world.app, &ann.viewer, changes).await);
            }
        }
    }
}

#[tokio::test]
async fn of_many_who_want_a_username_one_gets_it() {
    for world in worlds(&[]).await {
        let request = request(1);
        let tries = (0..8).map(|_| actions::register(&world.app, &request, form("ann")));
        let outcomes = join_all(tries).await;
        let n_made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(n_made, 1);
        for outcome in outcomes.into_iter().filter(Result::is_err) {
            assert_eq!(refusals(outcome), refused(UserErrorCode::UsernameTaken, "username"));
        }
        assert_eq!(account::Entity::find().count(world.app.db.read()).await.expect("counts"), 1, "nothing half made");
    }
}

#[tokio::test]
async fn an_address_may_be_claimed_by_many_and_is_the_verifiers() {
    for world in worlds(&[]).await {
        let mut ids = Vec::new();
        for username in ["ann", "ben", "cem"] {
            let form = NewAccount { email: "Shared@Example.com".into(), ..form(username) };
            let made = actions::register(&world.app, &request(1), form).await.expect("nobody is told");
            ids.push(made.viewer.user_id());
        }
        let by_address = world.login("shared@example.COM").await.expect("signs in");
        assert_eq!(by_address.viewer.user_id(), ids[0], "who claimed it first");

        let verify = |id| account::ActiveModel {
            user_id: Set(id),
            email_verified_at: Set(Some(Timestamp(1))),
            ..Default::default()
        };
        verify(ids[1]).update(world.app.db.writer()).await.expect("the first to verify");
        let by_address = world.login("shared@example.com").await.expect("signs in");
        assert_eq!(by_address.viewer.user_id(), ids[1], "who verified it");
        verify(ids[2]).update(world.app.db.writer()).await.expect_err("one account verifies an address");
        assert_eq!(world.login("cem").await.expect("by name").viewer.user_id(), ids[2]);

        // Whoever claims it now signs in by it, too: a refusal would tell that it was somebody's already.
        let password = "another pass phrase";
        let dan = NewAccount { email: "shared@example.com".into(), password: password.into(), ..form("dan") };
        let dan = actions::register(&world.app, &request(1), dan).await.expect("nobody is told").viewer.user_id();
        let by_address = actions::login(&world.app, &request(1), "shared@example.com", password).await;
        assert_eq!(by_address.expect("signs in").viewer.user_id(), dan);
        let by_address = world.login("shared@example.com").await.expect("signs in");
        assert_eq!(by_address.viewer.user_id(), ids[1], "still who verified it");
    }
}

// ------------------------------------------------------------------ signing in

#[tokio::test]
async fn unknown_and_wrong_are_answered_alike() {
    for world in worlds(&[]).await {
        world.register("ann").await;
        for identifier in ["ann", "ANN", "ann@example.com", "Ann@Example.Com", " ann "] {
            assert!(world.login(identifier).await.is_ok(), "{identifier}");
        }
        let mut messages = Vec::new();
        for (identifier, password) in [
            ("ann", "wrong horse"),
            ("ann@example.com", "wrong horse"),
            ("nobody", PASSWORD),
            ("nobody@example.com", PASSWORD),
            ("no such thing", PASSWORD),
            ("ann", ""),
        ] {
            match actions::login(&world.app, &request(1), identifier, password).await {
                Err(Failure::Refused(refusals)) => messages.push(refusals),
                _ => panic!("{identifier} must be refused"),
            }
        }
        messages.dedup();
        assert_eq!(messages.len(), 1, "{messages:?}");
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_and_locks_nobody_out() {
    for world in worlds(&[]).await {
        world.register("ann").await;
        let guess = async |host| actions::login(&world.app, &request(host), "ann", "wrong horse").await;
        for _ in 0..10 {
            assert_eq!(refusals(guess(66).await), refused(UserErrorCode::InvalidCredentials, ""));
        }
        assert!(matches!(guess(66).await, Err(Failure::Fault(Error::RateLimited(_)))));
        for _ in 0..15 {
            assert!(actions::login(&world.app, &request(7), "ann", PASSWORD).await.is_ok(), "the owner, elsewhere");
        }
    }
}

#[tokio::test]
async fn an_old_hash_is_renewed() {
    for world in worlds(&[]).await {
        let ann = world.register("ann").await.viewer.user_id();
        let hash = async || {
            let account = account::Entity::find_by_id(ann).one(world.app.db.read()).await;
            account.expect("reads").expect("an account").password_hash
        };
        let old = {
            use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
            let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).expect("valid"));
            weak.hash_password(PASSWORD.as_bytes()).expect("hashes").to_string()
        };
        let account = account::ActiveModel { user_id: Set(ann), password_hash: Set(old.clone()), ..Default::default() };
        account.update(world.app.db.writer()).await.expect("writes");

        assert!(actions::login(&world.app, &request(1), "ann", "wrong horse").await.is_err());
        assert_eq!(hash().await, old);
        world.login("ann").await.expect("signs in");
        assert!(hash().await.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash().await);
        world.login("ann").await.expect("signs in");
    }
}

// ------------------------------------------------------------------ sessions

#[tokio::test]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_session() {
    for world in worlds(&[]).await {
        let first = world.register("ann").await;
        let other_device = world.login("ann").await.expect("signs in");
        let second = world.refresh(&first.refresh_token).await.expect("the first use");
        assert_eq!(second.viewer, first.viewer);
        let third = world.refresh(&second.refresh_token).await.expect("the first use");
        assert!(!world.is_refused(&third));

        let reuse = world.refresh(&first.refresh_token).await;
        assert_eq!(refusals(reuse), refused(UserErrorCode::InvalidToken, "refreshToken"));
        let newest = world.refresh(&third.refresh_token).await;
        assert_eq!(refusals(newest), refused(UserErrorCode::InvalidToken, "refreshToken"));
        assert!(world.is_refused(&first) && world.is_refused(&third));
        assert_eq!(world.ends_told().await, [(first.viewer.session_id(), first.viewer.user_id())], "told once");

        assert!(!world.is_refused(&other_device));
        world.refresh(&other_device.refresh_token).await.expect("another session lives");
    }
}

#[tokio::test]
async fn of_many_uses_at_once_one_succeeds_and_the_session_ends() {
    for world in worlds(&["--connections", "16"]).await {
        let ann = world.register("ann").await;
        let outcomes = join_all((0..20).map(|_| world.refresh(&ann.refresh_token))).await;
        let (made, others): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 1);
        for outcome in others {
            assert_eq!(refusals(outcome), refused(UserErrorCode::InvalidToken, "refreshToken"));
        }
        for successor in made.into_iter().flatten() {
            assert!(world.is_refused(&successor));
            assert!(world.refresh(&successor.refresh_token).await.is_err());
        }
        assert_eq!(world.ends_told().await, [(ann.viewer.session_id(), ann.viewer.user_id())], "told once");
        let n_tokens = refresh_token::Entity::find().count(world.app.db.read()).await.expect("counts");
        assert_eq!(n_tokens, 2, "the first and its one successor");
    }
}

#[tokio::test]
async fn refreshing_prolongs_and_idling_ends() {
    for world in worlds(&["--session-days", "3"]).await {
        let ann = world.register("ann").await;
        let id = ann.viewer.session_id();
        let yesterday = world.app.clock.now().plus_seconds(-86_400);
        world.change_session(id, |session| session.last_used_at = Set(yesterday)).await;
        let ann = world.refresh(&ann.refresh_token).await.expect("refreshes");
        let session = sessions::find(&world.app, &ann.viewer, &[id]).await.expect("reads").pop().expect("a session");
        assert!(session.last_used_at > yesterday);
        assert_eq!(session.expires_at, session.last_used_at.plus_seconds(3 * 86_400));

        let now = world.app.clock.now();
        world.change_session(id, |session| session.expires_at = Set(now)).await;
        let late = world.refresh(&ann.refresh_token).await;
        assert_eq!(refusals(late), refused(UserErrorCode::InvalidToken, "refreshToken"));
        assert!(sessions::list(&world.app, &ann.viewer).await.expect("reads").is_empty());
    }
}

#[tokio::test]
async fn who_logs_out_is_out() {
    for world in worlds(&[]).await {
        let (here, there) = (world.register("ann").await, world.login("ann").await.expect("signs in"));
        sessions::logout(&world.app, &here.viewer).await.expect("logs out");
        assert!(world.is_refused(&here) && !world.is_refused(&there));
        assert!(world.refresh(&here.refresh_token).await.is_err());
        assert_eq!(world.ends_told().await, [(here.viewer.session_id(), here.viewer.user_id())]);
        sessions::logout(&world.app, &here.viewer).await.expect("once more is no harm");
        assert_eq!(world.ends_told().await.len(), 1);
    }
}

#[tokio::test]
async fn a_deletion_ends_all_sessions_and_tells_of_the_live_ones() {
    for world in worlds(&[]).await {
        let (here, there, expired, revoked) = (
            world.register("ann").await,
            world.login("ann").await.expect("signs in"),
            world.login("ann").await.expect("signs in"),
            world.login("ann").await.expect("signs in"),
        );
        let other = world.register("ben").await;
        let now = world.app.clock.now();
        let long_ago = now.plus_seconds(-86_400);
        world.change_session(expired.viewer.session_id(), |it| it.expires_at = Set(long_ago)).await;
        world.change_session(revoked.viewer.session_id(), |it| it.revoked_at = Set(Some(long_ago))).await;
        deletion::delete(&world.app, &here.viewer, PASSWORD).await.expect("deletes");
        assert!(world.is_refused(&here) && world.is_refused(&there) && !world.is_refused(&other));
        let told: HashSet<_> = world.ends_told().await.into_iter().collect();
        let id = here.viewer.user_id();
        assert_eq!(told, HashSet::from([(here.viewer.session_id(), id), (there.viewer.session_id(), id)]));
        for session in session::Entity::find().all(world.app.db.read()).await.expect("reads") {
            let is_theirs = session.user_id == id;
            assert_eq!((session.revoked_at.is_some(), session.user_agent.is_none()), (is_theirs, is_theirs));
            if session.id == revoked.viewer.session_id() {
                assert_eq!(session.revoked_at, Some(long_ago), "as it was");
            }
        }
        let tokens = refresh_token::Entity::find().all(world.app.db.read()).await.expect("reads");
        let owners: Vec<SessionId> = tokens.iter().map(|token| token.session_id).collect();
        assert_eq!(owners, [other.viewer.session_id()]);
    }
}

#[tokio::test]
async fn a_session_is_its_owners_to_revoke() {
    for world in worlds(&[]).await {
        let (phone, laptop) = (world.register("ann").await, world.login("ann").await.expect("signs in"));
        let ben = world.register("ben").await;
        let revoke = async |by: &SignedIn, id| refusals(sessions::revoke(&world.app, &by.viewer, id).await);
        let not_found = refused(UserErrorCode::NotFound, "sessionId");
        assert_eq!(revoke(&ben, phone.viewer.session_id()).await, not_found);
        assert_eq!(revoke(&ben, SessionId(Uuid::nil())).await, not_found);
        assert!(!world.is_refused(&phone));

        let ids = async || {
            let list = sessions::list(&world.app, &laptop.viewer).await.expect("reads");
            list.iter().map(|session| session.id).collect::<Vec<_>>()
        };
        assert_eq!(ids().await, [laptop.viewer.session_id(), phone.viewer.session_id()], "newest first");
        assert_eq!(revoke(&laptop, phone.viewer.session_id()).await, []);
        assert!(world.is_refused(&phone) && !world.is_refused(&laptop));
        assert_eq!(ids().await, [laptop.viewer.session_id()]);
        assert_eq!(revoke(&laptop, phone.viewer.session_id()).await, not_found);

        assert_eq!(revoke(&laptop, laptop.viewer.session_id()).await, [], "the current one");
        assert!(world.is_refused(&laptop));
    }
}

#[tokio::test]
async fn the_longest_unused_session_makes_room() {
    for world in worlds(&["--rate-limits", "off"]).await {
        let first = world.register("ann").await;
        let mut others = Vec::new();
        for _ in 1..sessions::MAX_SESSIONS {
            others.push(world.login("ann").await.expect("signs in"));
        }
        assert!(world.ends_told().await.is_empty());
        let an_hour_ago = world.app.clock.now().plus_seconds(-3600);
        let unused = others[20].viewer.session_id();
        world.change_session(unused, |session| session.last_used_at = Set(an_hour_ago)).await;
        world.login("ann").await.expect("signs in");
        assert_eq!(world.ends_told().await, [(unused, first.viewer.user_id())]);
        assert!(world.is_refused(&others[20]) && !world.is_refused(&first));
        let list = sessions::list(&world.app, &first.viewer).await.expect("reads");
        assert_eq!(list.len(), sessions::MAX_SESSIONS);
    }
}

#[tokio::test]
async fn a_process_that_starts_knows_who_is_out() {
    for world in worlds(&[]).await {
        let (out, long_out, here) =
            (world.register("ann").await, world.register("ben").await, world.register("cem").await);
        let now = world.app.clock.now();
        let revoked_at = |at| move |session: &mut session::ActiveModel| session.revoked_at = Set(Some(at));
        world.change_session(out.viewer.session_id(), revoked_at(now.plus_seconds(-900))).await;
        world.change_session(long_out.viewer.session_id(), revoked_at(now.plus_seconds(-1000))).await;
        sessions::load_revocations(&world.app).await.expect("loads");
        assert!(world.is_refused(&out));
        assert!(!world.app.revocations.is_revoked(long_out.viewer.session_id()), "its tokens are dead by themselves");
        assert!(!world.is_refused(&here));
    }
}

#[tokio::test]
async fn what_ended_long_ago_is_swept_away() {
    for world in worlds(&[]).await {
        let now = world.app.clock.now();
        let (revoked, expired, recent, live) = (
            world.register("ann").await,
            world.register("ben").await,
            world.register("cem").await,
            world.register("dan").await,
        );
        let days_ago = |days: i64| now.plus_seconds(-days * 86_400);
        world.refresh(&revoked.refresh_token).await.expect("two tokens");
        world.change_session(revoked.viewer.session_id(), |it| it.revoked_at = Set(Some(days_ago(31)))).await;
        world.change_session(expired.viewer.session_id(), |it| it.expires_at = Set(days_ago(31))).await;
        world.change_session(recent.viewer.session_id(), |it| it.revoked_at = Set(Some(days_ago(29)))).await;
        assert_eq!(sessions::sweep(&world.app).await.expect("sweeps"), 2);
        assert_eq!(sessions::sweep(&world.app).await.expect("sweeps"), 0);
        let left = session::Entity::find().all(world.app.db.read()).await.expect("reads");
        let left: Vec<SessionId> = left.iter().map(|session| session.id).collect();
        assert!(left.len() == 2 && left.contains(&recent.viewer.session_id()));
        assert_eq!(refresh_token::Entity::find().count(world.app.db.read()).await.expect("counts"), 2);
        world.refresh(&live.refresh_token).await.expect("lives");
    }
}

// ------------------------------------------------------------------ the profile

#[tokio::test]
async fn a_profile_changes_where_it_is_told_to() {
    for world in worlds(&[]).await {
        let ann = world.register("ann").await;
        world.register("ben").await;
        let change = async |changes| actions::update_profile(&world.app, &ann.viewer, changes).await;
        let none = ProfileChanges::default;

        let profile = change(none()).await.expect("nothing to do");
        assert_eq!((profile.user.username.as_str(), profile.account.phone), ("ann", None));
        let all = ProfileChanges {
            username: Some("Anna".into()),
            display_name: Some("Anna".into()),
            phone: Some("+4930123456".into()),
            discoverable: Some(true),
            read_receipts: Some(false),
        };
        let profile = change(all).await.expect("changes");
        assert_eq!(profile.user.username, "anna");
        assert_eq!(profile.user.display_name, "Anna");
        assert!(profile.user.discoverable && !profile.account.read_receipts);
        assert_eq!(profile.account.phone.as_deref(), Some("+4930123456"));

        let taken = change(ProfileChanges { username: Some("BEN".into()), display_name: Some("B".into()), ..none() });
        assert_eq!(refusals(taken.await), refused(UserErrorCode::UsernameTaken, "username"));
        let bad = change(ProfileChanges { username: Some("b".into()), phone: Some("1".into()), ..none() });
        assert_eq!(refusals(bad.await).len(), 2);
        let profile = change(ProfileChanges { phone: Some(" ".into()), username: Some("anna".into()), ..none() }).await;
        let profile = profile.expect("changes");
        assert_eq!((profile.account.phone, profile.user.display_name.as_str()), (None, "Anna"));

        world.register("ann").await;
        assert!(world.login("anna").await.is_ok());
        let users = user::Entity::find().count(world.app.db.read()).await.expect("counts");
        assert_eq!(users, 3);
    }
}

// ------------------------------------------------------------------ on the wire

#[tokio::test]
async fn the_viewer_is_null_for_nobody_and_an_error_for_a_bad_token() {
    for world in worlds(&[]).await {
        let answer = world.graphql(Caller::Anonymous, "{ viewer { id } server { featureLevel } }").await;
        assert_eq!(answer, json!({"data": {"viewer": null, "server": {"featureLevel": 1}}}));
        let answer = world.graphql(Caller::Rejected("expired"), "{ viewer { id } server { featureLevel } }").await;
        assert_eq!(answer["data"], json!({"viewer": null, "server": {"featureLevel": 1}}), "only the field is null");
        assert_eq!(answer["errors"][0]["message"], "expired");
        assert_eq!(answer["errors"][0]["path"], json!(["viewer"]));
        for mutation in ["logout { userErrors { code } }", "updateProfile(input: {}) { viewer { id } }"] {
            let answer = world.graphql(Caller::Anonymous, &format!("mutation {{ {mutation} }}")).await;
            assert_eq!(answer["errors"][0]["message"], "Sign in first.", "{mutation}");
        }

        let answer = world.graphql(
            Caller::Anonymous,
            "{ server { version limits { maxPageSize maxMessageLength
            maxGroupMembers maxDepth maxComplexity accessTokenSeconds } } }",
        );
        let answer = answer.await;
        assert_eq!(answer["data"]["server"]["version"], env!("CARGO_PKG_VERSION"), "{answer}");
        assert_eq!(answer["data"]["server"]["limits"]["maxPageSize"], 100);
        assert_eq!(answer["data"]["server"]["limits"]["accessTokenSeconds"], 900);
    }
}

#[tokio::test]
async fn a_session_goes_its_way_on_the_wire() {
    for world in worlds(&[]).await {
        let register = format!(
            r#"mutation {{ register(input: {{username: "ann", email: "ann@example.com", password: "{PASSWORD}"}}) {{
                accessToken refreshToken accessTokenExpiresAt viewer {{ email user {{ username relationship }} sessions {{ current }} friends {{ totalCount }} }}
                userErrors {{ code }} }} }}"#
        );
        let answer = world.graphql(Caller::Anonymous, &register).await;
        let payload = &answer["data"]["register"];
        assert_eq!(payload["viewer"]["user"]["username"], "ann", "{answer}");
        assert_eq!(payload["viewer"]["sessions"], json!([{"current": true}]));
        assert_eq!(payload["viewer"]["user"]["relationship"], "SELF", "what needs a viewer has the new one");
        assert_eq!(payload["userErrors"], json!([]));
        let again = world.graphql(Caller::Anonymous, &register).await;
        assert_eq!(
            again["data"]["register"],
            json!({"accessToken": null, "refreshToken": null, "accessTokenExpiresAt": null, "viewer": null,
                "userErrors": [{"code": "USERNAME_TAKEN"}]})
        );

        let token = payload["refreshToken"].as_str().expect("a token");
        // With a dead access token too: that is when clients refresh.
        let refresh = format!(
            r#"mutation {{ refreshSession(input: {{refreshToken: "{token}"}}) {{ accessToken viewer {{ email }} }} }}"#
        );
        let answer = world.graphql(Caller::Rejected("expired"), &refresh).await;
        let payload = &answer["data"]["refreshSession"];
        assert_eq!(payload["viewer"]["email"], "ann@example.com", "{answer}");
        let bearer = format!("Bearer {}", payload["accessToken"].as_str().expect("a token"));
        let caller = authenticate(&world.app, Some(&bearer));
        let viewer = caller.viewer().expect("signed in");

        let update = r#"mutation {
            one: updateProfile(input: {displayName: "One"}) { viewer { user { displayName } } }
            two: updateProfile(input: {displayName: "Two", phone: null}) { viewer { user { displayName } discoverable } }
        }"#;
        let answer = world.graphql(caller, update).await;
        assert_eq!(answer["data"]["one"]["viewer"]["user"]["displayName"], "One", "{answer}");
        assert_eq!(answer["data"]["two"]["viewer"]["user"]["displayName"], "Two", "not as it was loaded before");

        assert!(viewer_node(&viewer, ViewerId(viewer.user_id().0)).is_some());
        assert!(viewer_node(&viewer, ViewerId(Uuid::nil())).is_none());
        let id = viewer.session_id();
        assert!(session_nodes(&world.app, &viewer, &[id]).await.expect("reads").contains_key(&id));
        let ben = Viewer::proven(UserId(Uuid::nil()), viewer.session_id());
        assert!(session_nodes(&world.app, &ben, &[id]).await.expect("reads").is_empty());

        for (id, session_id, code) in [
            ("session_zzz".to_owned(), None, "INVALID_INPUT"),
            (viewer.user_id().encode().to_string(), None, "INVALID_INPUT"),
            (SessionId(Uuid::nil()).encode().to_string(), None, "NOT_FOUND"),
            (viewer.session_id().encode().to_string(), Some(viewer.session_id().encode().to_string()), ""),
        ] {
            let document = format!(
                r#"mutation {{ revokeSession(input: {{sessionId: "{id}"}}) {{ sessionId userErrors {{ code field }} }} }}"#
            );
            let answer = world.graphql(caller, &document).await;
            let payload = &answer["data"]["revokeSession"];
            assert_eq!(payload["sessionId"], json!(session_id), "{answer}");
            assert_eq!(payload["userErrors"][0]["code"].as_str().unwrap_or(""), code, "{answer}");
        }
        assert!(matches!(authenticate(&world.app, Some(&bearer)), Caller::Rejected(_)));
    }
}
