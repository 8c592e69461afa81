//! Who is there, who may see it, and who is told.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use entity::{ConversationId, Timestamp, UserId, block, conversation, friendship, member, user};
use futures_util::future::join_all;
use kith::graphql::ids::GlobalId;
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{full_story, story, support::*};

const PRESENCE: &str = "
    subscription Presence($userIds: [ID!]) {
        presence(userIds: $userIds) { user { id username } status lastSeenAt }
    }";

const EVERYTHING: &str = "
    subscription { events { cursor event { __typename
        ... on Presence { user { id } status lastSeenAt }
        ... on FriendshipChanged { user { id } }
        ... on CaughtUp { at }
    } } }";

/// Without a grace, what happens is told at once.
fn no_grace() -> Options {
    Options::default().set("KITH_PRESENCE_GRACE_SECONDS", "0")
}

fn watch(socket: &Socket) -> Subscription {
    socket.subscribe(PRESENCE, json!({}))
}

fn watch_named(socket: &Socket, people: &[&Person]) -> Subscription {
    let ids: Vec<&str> = people.iter().map(|person| person.id.as_str()).collect();
    socket.subscribe(PRESENCE, json!({"userIds": ids}))
}

/// What is told, in short: `alice ONLINE`.
fn short(told: &Value) -> String {
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    let is_online = told["status"] == "ONLINE";
    assert!(!is_online || told["lastSeenAt"].is_null(), "who is here was not last seen: {told}");
    format!("{} {}", word(&told["user"]["username"]), word(&told["status"]))
}

/// The first that is told of somebody.
async fn told_of(told: &mut Subscription, person: &Person) -> Value {
    loop {
        let next = told.next().await;
        if next["user"]["id"] == person.id.as_str() {
            return next;
        }
    }
}

/// The presence of somebody as another sees it.
async fn seen(viewer: &Person, person: &Person) -> Value {
    let query = "query($id: ID!) { node(id: $id) { ... on User { presence { status lastSeenAt user { id } } } } }";
    viewer.ask(query, json!({"id": person.id})).await["node"]["presence"].take()
}

async fn until_seen(viewer: &Person, person: &Person, status: &str) -> Value {
    eventually(status, async || Some(seen(viewer, person).await).filter(|seen| seen["status"] == status)).await
}

fn id(person: &Person) -> UserId {
    UserId::decode(&person.id).expect("an id")
}

/// Makes a group behind everybody's back.
async fn group_of(world: &World, members: &[UserId]) -> ConversationId {
    let database = world.database().await;
    let group = ConversationId(Uuid::from_u128(world.rng().next().into()));
    let now = Timestamp(1);
    let row = conversation::ActiveModel {
        id: Set(group),
        kind: Set(conversation::Kind::Group),
        direct_low: Set(None),
        direct_high: Set(None),
        open: Set(true),
        name: Set(Some("A group".into())),
        description: Set(None),
        deleted_at: Set(None),
        sequence: Set(0),
        position: Set(0),
        created_at: Set(now),
        last_activity_at: Set(now),
    };
    conversation::Entity::insert(row).exec_without_returning(&database).await.expect("is written");
    for members in members.chunks(500) {
        let rows = members.iter().map(|user_id| member::ActiveModel {
            conversation_id: Set(group),
            user_id: Set(*user_id),
            role: Set(member::Role::Member),
            joined_at: Set(now),
            last_read_sequence: Set(0),
            last_read_at: Set(None),
            ..Default::default()
        });
        member::Entity::insert_many(rows).exec_without_returning(&database).await.expect("is written");
    }
    database.close().await.expect("closes");
    group
}

story!(somebody_is_online_while_any_device_is_connected, |world| async {
    let server = world.server_with(no_grace()).await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut told = watch(&socket);
    let first = told.next().await;
    assert_eq!(short(&first), "alice OFFLINE");
    assert!(first["lastSeenAt"].is_null(), "who asks over HTTP was never seen: {first}");
    assert_eq!(seen(&bob, &alice).await["status"], "OFFLINE");

    let phone = alice.socket().await;
    assert_eq!(short(&told.next().await), "alice ONLINE");
    let laptop = EventSource::open(&alice, EVERYTHING, json!({})).await.expect("a stream is a connection too");
    drop(phone);
    let tablet = alice.socket().await;
    assert_eq!(seen(&bob, &alice).await["status"], "ONLINE");
    let before = alice_clock(&alice).await;
    drop(laptop);
    assert_eq!(seen(&bob, &alice).await["status"], "ONLINE");
    drop(tablet);
    // Of the other devices nothing was told: the next word is of the end of the last.
    let last = told.next().await;
    assert_eq!(short(&last), "alice OFFLINE");
    let seen_at = DateTime::of(&last["lastSeenAt"]);
    assert!(seen_at >= before && seen_at <= before + 10_000, "{last}");
    assert_eq!(seen(&bob, &alice).await["lastSeenAt"], last["lastSeenAt"]);
    assert_eq!(seen(&alice, &alice).await["lastSeenAt"], last["lastSeenAt"], "and she sees herself");
    assert_eq!(told.try_next(Duration::from_millis(600)).await, None);
});

/// Milliseconds since 1970 of a time on the wire.
struct DateTime;

impl DateTime {
    fn of(value: &Value) -> i64 {
        let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
        let parsed = async_graphql::ScalarType::parse(async_graphql::Value::from(text));
        let kith::graphql::scalars::DateTime(at) = parsed.unwrap_or_else(|_| panic!("no time: {value}"));
        at.0
    }
}

/// What time it is for the server: when somebody signs in.
async fn alice_clock(person: &Person) -> i64 {
    person.another_device().await;
    let sessions = person.viewer("sessions { createdAt }").await;
    let created = sessions["sessions"].as_array().expect("a list").iter().map(|it| DateTime::of(&it["createdAt"]));
    created.max().expect("a session")
}

story!(a_reload_is_not_told, |world| async {
    let server = world.server_with(Options::default().set("KITH_PRESENCE_GRACE_SECONDS", "1.5")).await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let tab = alice.socket().await;
    until_seen(&bob, &alice, "ONLINE").await;
    let socket = bob.socket().await;
    let mut told = watch(&socket);
    assert_eq!(short(&told.next().await), "alice ONLINE");
    drop(tab);
    for _ in 0..5 {
        drop(alice.socket().await);
    }
    let reloaded = alice.socket().await;
    assert_eq!(told.try_next(Duration::from_millis(2500)).await, None, "nothing but reloads");
    let started = Instant::now();
    drop(reloaded);
    assert_eq!(short(&told.next().await), "alice OFFLINE");
    assert!(started.elapsed() >= Duration::from_millis(1500), "not before the grace is over");
});

story!(only_those_who_may_see_it_hear_of_it, |world| async {
    let server = world.server_with(no_grace()).await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let (stranger, former, mate, blocked) = tokio::join!(
        server.person("stranger"),
        server.person("former"),
        server.person("mate"),
        server.person("blocked")
    );
    alice.befriend(&former).await;
    former.to_user("removeFriend", &alice).await.ok();
    group_of(world, &[id(&alice), id(&mate), id(&blocked)]).await;
    alice.mutate("updateProfile", json!({"discoverable": true}), "").await.ok();
    alice.to_user("blockUser", &blocked).await.ok();

    let mut watching = Vec::new();
    for (who, sees) in
        [(&stranger, false), (&former, false), (&blocked, false), (&mate, true), (&bob, true), (&alice, true)]
    {
        let query = "{ user(username: \"alice\") { id presence { status } } }";
        let user = who.ask(query, json!({})).await["user"].take();
        assert_eq!(user["id"], alice.id.as_str(), "{} sees her", who.name);
        // The blocked one is shown somebody who is away: see below.
        assert_eq!(user["presence"].is_null(), !sees && who.name != "blocked", "{}: {user}", who.name);
        let socket = who.socket().await;
        let named = watch_named(&socket, &[&alice]);
        let unnamed = watch(&socket);
        watching.push((who, sees, named, unnamed, socket));
    }
    // Who watches is connected, and Alice is among them: everybody is told that she is there, first or at once.
    for (who, sees, named, unnamed, _) in &mut watching {
        if *sees {
            let mut first = named.next().await;
            if first["status"] == "OFFLINE" {
                first = named.next().await;
            }
            assert_eq!(short(&first), "alice ONLINE", "to {}", who.name);
        }
        if who.name == "blocked" {
            assert_eq!(short(&named.next().await), "alice OFFLINE", "for them she is away");
        }
        let mut unasked = Vec::new();
        while let Some(told) = unnamed.try_next(Duration::from_millis(700)).await {
            unasked.push(short(&told));
        }
        let hears_unasked = *sees && who.name != "alice";
        assert_eq!(unasked.iter().any(|told| told == "alice ONLINE"), hears_unasked, "{}: {unasked:?}", who.name);
        for hidden in ["stranger", "former", "blocked"] {
            let hears = unasked.iter().any(|told| told.starts_with(hidden));
            // The blocked one and the mate are in one group, and nothing is between them.
            assert_eq!(hears, hidden == "blocked" && who.name == "mate", "{}: {unasked:?}", who.name);
        }
    }
    // The end of a right, on sockets that are open.
    bob.to_user("removeFriend", &alice).await.ok();
    world.sql("DELETE FROM member").await;
    let (_, _, _, _, socket) = watching.pop().expect("alice");
    drop(socket);
    until_seen(&alice, &alice, "OFFLINE").await;
    assert!(seen(&mate, &alice).await.is_null() && seen(&bob, &alice).await.is_null());
    for (who, _, named, unnamed, _) in &mut watching {
        for told in [named.try_next(Duration::from_millis(500)).await, unnamed.try_next(Duration::from_millis(1)).await]
        {
            let told = told.filter(|told| told["user"]["username"] == "alice" && told["status"] == "OFFLINE");
            assert_eq!(told, None, "to {}", who.name);
        }
    }
});

story!(who_is_blocked_sees_somebody_who_is_away, |world| async {
    let server = world.server_with(no_grace()).await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let (blocked, mate) = tokio::join!(server.person("blocked"), server.person("mate"));
    alice.befriend(&mate).await;
    group_of(world, &[id(&alice), id(&bob), id(&blocked), id(&mate)]).await;
    let here = alice.socket().await;
    let sockets = tokio::join!(blocked.socket(), bob.socket(), mate.socket());
    let (mut to_blocked, mut to_bob, mut to_mate) =
        (watch_named(&sockets.0, &[&alice]), watch_named(&sockets.1, &[&alice]), watch_named(&sockets.2, &[&alice]));
    for told in [&mut to_blocked, &mut to_bob, &mut to_mate] {
        assert_eq!(short(&told.next().await), "alice ONLINE");
    }
    // A stranger, a friend, and one who is only a friend no more.
    let before = alice_clock(&alice).await;
    alice.to_user("blockUser", &blocked).await.ok();
    alice.to_user("blockUser", &bob).await.ok();
    alice.to_user("removeFriend", &mate).await.ok();
    assert_eq!(seen(&mate, &alice).await["status"], "ONLINE");
    assert!(seen(&alice, &blocked).await.is_null() && seen(&alice, &bob).await.is_null(), "she knows whom she blocked");
    let (away, away_for_bob) = tokio::join!(seen(&blocked, &alice), seen(&bob, &alice));
    for away in [&away, &away_for_bob] {
        assert_eq!((&away["status"], &away["user"]["id"]), (&json!("OFFLINE"), &json!(alice.id)), "{away}");
        assert!(DateTime::of(&away["lastSeenAt"]) >= before, "{away}");
    }
    let members = "{ viewer { conversations { nodes { ... on Group {
        members { edges { node { username presence { status lastSeenAt } } } } } } } } }";
    let of_alice = json!({"username": "alice", "presence": {"status": "OFFLINE", "lastSeenAt": away["lastSeenAt"]}});
    assert!(blocked.ask(members, json!({})).await.to_string().contains(&of_alice.to_string()));

    // To whom the end of the friendship is told, she is away from then on.
    let told = to_bob.next().await;
    assert_eq!((short(&told).as_str(), &told["lastSeenAt"]), ("alice OFFLINE", &away_for_bob["lastSeenAt"]));
    // To the others once she leaves, and never again.
    let comes_and_goes = async |told: &mut Subscription| {
        // After an unfriending how she is may be told once more.
        while short(&told.next().await) != "alice OFFLINE" {}
        let back = alice.socket().await;
        assert_eq!(short(&told.next().await), "alice ONLINE");
        drop(back);
        assert_eq!(short(&told.next().await), "alice OFFLINE");
    };
    drop(here);
    comes_and_goes(&mut to_mate).await;
    let told = to_blocked.next().await;
    assert_eq!((short(&told).as_str(), &told["lastSeenAt"]), ("alice OFFLINE", &away["lastSeenAt"]));
    // Who looks only now is told the same, named or not.
    let mut anew = [watch_named(&sockets.0, &[&alice]), watch(&sockets.0)];
    for anew in &mut anew {
        let told = told_of(anew, &alice).await;
        assert_eq!((short(&told).as_str(), &told["lastSeenAt"]), ("alice OFFLINE", &away["lastSeenAt"]));
    }
    let back = alice.socket().await;
    assert_eq!(short(&to_mate.next().await), "alice ONLINE");
    drop(back);
    comes_and_goes(&mut to_mate).await;
    let (blocked_socket, bob_socket, _) = sockets;
    let [named, unnamed] = &mut anew;
    for told in [&mut to_blocked, &mut to_bob, named, unnamed] {
        while let Some(told) = told.try_next(Duration::from_millis(300)).await {
            assert_ne!(
                told["user"]["id"],
                alice.id.as_str(),
                "she comes and goes, and nobody whom she blocked is told"
            );
        }
    }
    assert_eq!(seen(&blocked, &alice).await, away);
    // And when all is well again, it is as it was.
    alice.to_user("unblockUser", &blocked).await.ok();
    let _back = alice.socket().await;
    until_seen(&blocked, &alice, "ONLINE").await;
    assert_eq!(short(&told_of(&mut to_blocked, &alice).await), "alice ONLINE");
    assert!(blocked_socket.is_open() && bob_socket.is_open());
});

story!(the_current_state_comes_first_and_once_for_each_person, |world| async {
    let server = world.server_with(no_grace()).await;
    let alice = server.person("alice").await;
    let names = ["ann", "ben", "cat", "dan"];
    let friends = join_all(names.map(|name| server.person(name))).await;
    for friend in &friends {
        alice.befriend(friend).await;
    }
    let stranger = server.person("stranger").await;
    let here = friends[0].socket().await;
    until_seen(&alice, &friends[0], "ONLINE").await;
    let socket = alice.socket().await;
    let expected = ["ann ONLINE", "ben OFFLINE", "cat OFFLINE", "dan OFFLINE"];
    let mut all = watch(&socket);
    let mut told: Vec<String> = all.take(4).await.iter().map(short).collect();
    told.sort();
    assert_eq!(told, expected);
    let mut some = watch_named(&socket, &[&friends[1], &friends[1], &stranger, &friends[0], &alice]);
    let mut told: Vec<String> = some.take(3).await.iter().map(short).collect();
    told.sort();
    assert_eq!(told, ["alice ONLINE", "ann ONLINE", "ben OFFLINE"], "the stranger is left out without a word");

    let _cat = friends[2].socket().await;
    assert_eq!(short(&all.next().await), "cat ONLINE");
    drop(here);
    assert_eq!(short(&all.next().await), "ann OFFLINE");
    assert_eq!(short(&some.next().await), "ann OFFLINE", "of cat nothing: she was not named");

    // Who becomes a friend is told of at once.
    let (_strange, _) = tokio::join!(stranger.socket(), async {});
    alice.befriend(&stranger).await;
    for told in [&mut all, &mut some] {
        let told = told.next().await;
        assert_eq!(short(&told), "stranger ONLINE");
    }
});

story!(events_tell_changes_of_those_whom_the_viewer_may_see, |world| async {
    let server = world.server_with(no_grace()).await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let (stranger, _other) = (server.person("stranger").await, ());
    let socket = bob.socket().await;
    let mut told = socket.subscribe(EVERYTHING, json!({}));
    told.until(|event| event["__typename"] == "CaughtUp").await;
    let (mut unasked, _) = socket.follow(None).await;
    let (_strange, phone) = tokio::join!(stranger.socket(), alice.socket());
    let online = told.until(|event| event["__typename"] == "Presence").await.pop().expect("an event");
    assert_eq!((&online["event"]["user"]["id"], &online["event"]["status"]), (&json!(alice.id), &json!("ONLINE")));
    assert!(online["cursor"].is_string());
    drop(phone);
    let offline = told.until(|event| event["__typename"] == "Presence").await.pop().expect("an event");
    assert_eq!((&offline["event"]["user"]["id"], &offline["event"]["status"]), (&json!(alice.id), &json!("OFFLINE")));
    assert!(offline["event"]["lastSeenAt"].is_string());
    // Its cursor is as good as any.
    let after = offline["cursor"].as_str().expect("a cursor");
    let sent = alice.send(&conversation, "After that.").await;
    let (_, replayed) = socket.follow(Some(after)).await;
    assert!(replayed.iter().any(|envelope| envelope["event"]["messageEdge"]["node"]["id"] == sent["id"]));
    // Who does not ask for presence is not told.
    let heard = unasked.until(|event| event["messageEdge"]["node"]["id"] == sent["id"]).await;
    assert!(heard.iter().all(|envelope| envelope["event"]["__typename"] != "Presence"), "{heard:?}");
});

story!(when_somebody_was_last_seen_survives_a_restart, |world| async {
    // Still within the grace when the server ends.
    let server = world.server_with(Options::default().set("KITH_PRESENCE_GRACE_SECONDS", "3")).await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let (left, stays) = tokio::join!(alice.socket(), bob.socket());
    let after = alice_clock(&alice).await;
    drop(left);
    assert_eq!(seen(&bob, &alice).await["status"], "ONLINE");
    assert!(server.terminate().await.success());
    assert!(stays.ended(PATIENCE).await.code().is_some());

    let server = world.server_with(no_grace()).await;
    let (alice, bob) = (alice.at(&server), bob.at(&server));
    let seen_at = DateTime::of(&until_seen(&bob, &alice, "OFFLINE").await["lastSeenAt"]);
    assert!((after..after + 10_000).contains(&seen_at), "{seen_at} after {after}");
    assert!(until_seen(&alice, &bob, "OFFLINE").await["lastSeenAt"].is_string());
    let _back = alice.socket().await;
    assert!(until_seen(&bob, &alice, "ONLINE").await["lastSeenAt"].is_null());
});

story!(absurd_lists_of_people_are_refused, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let socket = alice.socket().await;
    let nobody = |n: usize| UserId(Uuid::from_u128(n as u128)).encode().to_string();
    let too_many: Vec<String> = (0..101).map(nobody).collect();
    for bad in [
        json!(too_many),
        json!(["user_x"]),
        json!([""]),
        json!(["a\u{0}b"]),
        json!(["conv_01h2xcejqtf2nbrexx3vqjhp41"]),
        json!(["👩‍👩‍👧‍👦"]),
    ] {
        let mut told = socket.subscribe(PRESENCE, json!({"userIds": bad}));
        match told.hear().await {
            Heard::Error(errors) => assert_eq!(errors[0]["extensions"]["code"], "BAD_USER_INPUT", "{errors}"),
            other => panic!("{bad} was taken: {other:?}"),
        }
    }
    // A hundred are not too many; who does not exist is left out.
    let many: Vec<String> = (0..99).map(nobody).chain([bob.id.clone()]).collect();
    assert_eq!(short(&socket.subscribe(PRESENCE, json!({"userIds": many})).next().await), "bob OFFLINE");
    socket.subscribe(PRESENCE, json!({"userIds": []}));
    let answer = alice.ask("{ viewer { id } }", json!({})).await;
    assert!(answer["viewer"]["id"].is_string() && socket.is_open());
});

story!(a_large_group_does_not_tell_its_members_of_one_another_unless_they_ask, |world| async {
    let server = world.server_with(no_grace()).await;
    let (alice, bob, carol) = tokio::join!(server.person("alice"), server.person("bob"), server.person("carol"));
    let crowd = crowd(world, 600).await;
    let everybody: Vec<UserId> = crowd.iter().map(|one| one.id).chain([id(&alice), id(&bob)]).collect();
    group_of(world, &everybody).await;
    alice.befriend(&carol).await;
    let socket = alice.socket().await;
    let (mut unasked, mut named) = (watch(&socket), watch_named(&socket, &[&bob]));
    assert_eq!(short(&unasked.next().await), "carol OFFLINE", "nobody of the group");
    assert_eq!(short(&named.next().await), "bob OFFLINE");
    let _here = bob.socket().await;
    assert_eq!(short(&named.next().await), "bob ONLINE");
    let _here = carol.socket().await;
    assert_eq!(short(&unasked.next().await), "carol ONLINE", "and of bob nothing");
});

/// Somebody who was put into the database.
struct Extra {
    id: UserId,
    client: Client,
}

/// Many people at once, without waiting for their passwords to be hashed. Their clients lead nowhere yet.
async fn crowd(world: &World, n: usize) -> Vec<Extra> {
    let tokens = kith::auth::Tokens::new(world.jwt_secret.as_bytes(), 3600);
    let now = kith::clock::Clock.now();
    let database = world.database().await;
    let mut crowd = Vec::new();
    let mut rng = world.rng();
    for n in 0..n {
        let id = UserId(Uuid::from_u128((u128::from(rng.next()) << 64) | n as u128));
        let (token, _) = tokens.sign(id, entity::SessionId(id.0), now).expect("signs");
        crowd.push(Extra { id, client: Client::new("").with_token(&token) });
    }
    for some in crowd.chunks(200) {
        let rows = some.iter().map(|one| user::ActiveModel {
            id: Set(one.id),
            username: Set(format!("x{}", &one.id.0.simple().to_string()[..30])),
            display_name: Set("One of many".into()),
            discoverable: Set(false),
            created_at: Set(now),
        });
        user::Entity::insert_many(rows).exec_without_returning(&database).await.expect("is written");
    }
    database.close().await.expect("closes");
    crowd
}

/// Makes everybody of a crowd a friend of somebody.
async fn befriend_all(world: &World, crowd: &[Extra], person: &Person) {
    let database = world.database().await;
    for some in crowd.chunks(200) {
        let conversation_id = ConversationId(Uuid::nil());
        let rows = some.iter().flat_map(|one| {
            [(one.id, id(person)), (id(person), one.id)].map(|(user_id, friend_id)| friendship::ActiveModel {
                user_id: Set(user_id),
                friend_id: Set(friend_id),
                conversation_id: Set(conversation_id),
                since: Set(Timestamp(1)),
            })
        });
        friendship::Entity::insert_many(rows).exec_without_returning(&database).await.expect("is written");
    }
    database.close().await.expect("closes");
}

async fn connect_all(crowd: &[Extra], server: &Server) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for some in crowd.chunks(50) {
        let clients: Vec<Client> = some.iter().map(|one| one.client.at(server)).collect();
        sockets.extend(join_all(clients.iter().map(Client::socket)).await);
    }
    sockets
}

/// Takes out what is told until everybody has been told of as `status`; how often each was.
async fn count_until(told: &mut Subscription, n: usize, status: &str) -> HashMap<String, usize> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    within(PATIENCE * 3, "everybody to be told of", async {
        while counts.len() < n {
            let event = told.next().await;
            assert_eq!(event["status"], status, "{event}");
            *counts.entry(event["user"]["id"].as_str().expect("an id").to_owned()).or_default() += 1;
        }
    })
    .await;
    counts
}

story!(a_storm_of_reconnections_does_not_flood, |world| async {
    const N: usize = 300;
    // Longer than the reconnections take on a busy machine.
    let server = world.server_with(Options::default().set("KITH_PRESENCE_GRACE_SECONDS", "6")).await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    alice.befriend(&bob).await;
    let crowd = crowd(world, N).await;
    let conversation = group_of(world, &[]).await;
    // Friendships lead to a conversation; one stands for all.
    world
        .sql(&match world.backend {
            Backend::Sqlite => {
                format!("UPDATE conversation SET id = zeroblob(16) WHERE id = x'{}'", conversation.0.simple())
            }
            Backend::Full => format!("UPDATE conversation SET id = '{}' WHERE id = '{}'", Uuid::nil(), conversation.0),
        })
        .await;
    befriend_all(world, &crowd, &alice).await;

    let socket = alice.socket().await;
    let mut told = watch(&socket);
    assert_eq!(told.take(N + 1).await.len(), N + 1, "everybody, once");
    let sockets = connect_all(&crowd, &server).await;
    let counts = count_until(&mut told, N, "ONLINE").await;
    assert!(counts.values().all(|n| *n == 1), "each once");

    // All at once, and back within the grace: not a word. The next is of somebody else.
    drop(sockets);
    let sockets = connect_all(&crowd, &server).await;
    let _bob = bob.socket().await;
    assert_eq!(short(&told.next().await), "bob ONLINE");

    // For good: once for each.
    drop(sockets);
    let counts = count_until(&mut told, N, "OFFLINE").await;
    assert!(counts.values().all(|n| *n == 1), "each once");
    assert_eq!(told.try_next(Duration::from_millis(600)).await, None);
    assert!(socket.is_open());
});

/// Who joins a group, and who is in it, are told of each other at once; each on a process.
async fn join(here: &Server, there: &Server) {
    let (alice, bob, _) = here.friends("alice", "bob").await;
    let cat = here.person("cat").await;
    alice.befriend(&cat).await;
    let group = alice.create_group("Chess").await;
    alice.bring(&group, &bob).await;
    let (bob_there, cat_there) = (bob.at(there), cat.at(there));
    let (socket, cats) = (bob_there.socket().await, cat.socket().await);
    until_seen(&cat_there, &cat, "ONLINE").await;
    until_seen(&bob, &bob, "ONLINE").await;
    let (mut told, mut named) = (watch(&socket), watch_named(&socket, &[&cat, &bob]));
    let mut told_to_cat = watch(&cats);
    assert_eq!(short(&told.next().await), "alice OFFLINE");
    assert_eq!(short(&named.next().await), "bob ONLINE");
    assert_eq!(short(&told_to_cat.next().await), "alice OFFLINE");
    let mut events = socket.subscribe(EVERYTHING, json!({}));
    events.until(|event| event["__typename"] == "CaughtUp").await;

    alice.bring(&group, &cat).await;
    assert_eq!(short(&told.next().await), "cat ONLINE");
    assert_eq!(short(&named.next().await), "cat ONLINE");
    // Also of Alice, whom she knows already.
    while short(&told_to_cat.next().await) != "bob ONLINE" {}
    // Bob has joined a moment ago, so that Alice may come first.
    events.until(|event| event["user"]["id"] == cat.id.as_str() && event["status"] == "ONLINE").await;
}

story!(who_joins_a_group_is_told_of_at_once, |world| async {
    let server = world.server_with(no_grace()).await;
    join(&server, &server).await;
});

full_story!(who_joins_a_group_is_told_of_on_other_processes, |world| async {
    let (a, b) = (world.server_with(no_grace()).await, world.server_with(no_grace()).await);
    join(&a, &b).await;
});

full_story!(devices_on_two_processes_are_one_person, |world| async {
    let (a, b) = (world.server_with(no_grace()).await, world.server_with(no_grace()).await);
    let (alice, bob, _) = a.friends("alice", "bob").await;
    let (on_b, bob_on_b) = (alice.at(&b), bob.at(&b));
    let socket = bob_on_b.socket().await;
    let mut told = watch(&socket);
    assert_eq!(short(&told.next().await), "alice OFFLINE");
    let phone = alice.socket().await;
    assert_eq!(short(&told.next().await), "alice ONLINE");
    assert_eq!(seen(&bob_on_b, &alice).await["status"], "ONLINE");
    let laptop = on_b.socket().await;
    until_seen(&bob, &alice, "ONLINE").await;
    drop(phone);
    // Not told: the laptop is on the other process.
    assert_eq!(told.try_next(Duration::from_millis(1000)).await, None);
    assert_eq!(seen(&bob, &alice).await["status"], "ONLINE");
    drop(laptop);
    let last = told.next().await;
    assert_eq!(short(&last), "alice OFFLINE");
    assert_eq!(until_seen(&bob, &alice, "OFFLINE").await["lastSeenAt"], last["lastSeenAt"]);
});

full_story!(the_people_of_a_killed_process_are_offline_soon, |world| async {
    const LEASE: Duration = Duration::from_secs(2);
    let options = || no_grace().set("KITH_PRESENCE_LEASE_SECONDS", LEASE.as_secs());
    let (a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    let (alice, bob, _) = a.friends("alice", "bob").await;
    let carol = b.person("carol").await;
    carol.befriend(&bob.at(&b)).await;
    let (bob, carol_on_a) = (bob.at(&b), carol.at(&a));
    let (_alice, _carol, _carol_here) = tokio::join!(alice.socket(), carol_on_a.socket(), carol.socket());
    let socket = bob.socket().await;
    until_seen(&bob, &alice, "ONLINE").await;
    let mut told = watch(&socket);
    let mut first: Vec<String> = told.take(2).await.iter().map(short).collect();
    first.sort();
    assert_eq!(first, ["alice ONLINE", "carol ONLINE"]);
    let mut events = socket.subscribe(EVERYTHING, json!({}));
    events.until(|event| event["__typename"] == "CaughtUp").await;
    // They stay for longer than a lease: it is prolonged.
    assert_eq!(told.try_next(LEASE * 2).await, None);

    let before = alice_clock(&alice).await;
    a.kill9().await;
    let killed = Instant::now();
    let last = told.next().await;
    assert_eq!(short(&last), "alice OFFLINE");
    // The lease, two looks for the dead, and some time for a busy machine.
    assert!(killed.elapsed() < LEASE * 2, "after {:?}", killed.elapsed());
    let seen_at = DateTime::of(&last["lastSeenAt"]);
    assert!((seen_at - before).abs() < 5_000, "{seen_at}, killed about {before}");
    assert_eq!(until_seen(&bob, &alice, "OFFLINE").await["lastSeenAt"], last["lastSeenAt"]);
    let envelope = events.until(|event| event["__typename"] == "Presence").await.pop().expect("an event");
    assert_eq!(envelope["event"]["user"]["id"], alice.id.as_str(), "and nothing of carol, who is here too");
    assert_eq!(told.try_next(Duration::from_millis(500)).await, None);
});

full_story!(a_rolling_restart_is_not_told, |world| async {
    let options = || Options::default().set("KITH_PRESENCE_GRACE_SECONDS", "3").set("KITH_PRESENCE_LEASE_SECONDS", "3");
    let (mut a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    let (alice, bob, _) = a.friends("alice", "bob").await;
    let carol = a.person("carol").await;
    carol.befriend(&bob).await;
    let bob = bob.at(&b);
    let (alice_on_a, carol_on_a) = tokio::join!(alice.socket(), carol.socket());
    let socket = bob.socket().await;
    until_seen(&bob, &alice, "ONLINE").await;
    until_seen(&bob, &carol, "ONLINE").await;
    let mut told = watch(&socket);
    told.take(2).await;

    a.begin_to_terminate();
    assert_eq!(alice_on_a.ended(PATIENCE).await.code(), Some(1012));
    let back = alice.at(&b).socket().await;
    assert_eq!(carol_on_a.ended(PATIENCE).await.code(), Some(1012));
    let ended = Instant::now();
    assert!(a.ended().await.success());
    // Carol does not come back. Alice is not told of: nothing before, nothing after.
    assert_eq!(short(&told.next().await), "carol OFFLINE");
    assert!(ended.elapsed() < Duration::from_secs(6), "the grace and a moment, not the whole lease");
    assert_eq!(told.try_next(Duration::from_secs(4)).await, None);
    assert_eq!(seen(&bob, &alice).await["status"], "ONLINE");
    drop(back);
    assert_eq!(short(&told.next().await), "alice OFFLINE");
});

full_story!(presence_comes_back_with_redis, |world| async {
    let mut redis = Redis::private(world).await;
    let options = || no_grace().redis(redis.url()).set("KITH_PRESENCE_LEASE_SECONDS", "2");
    let (a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let carol = a.person("carol").await;
    carol.befriend(&bob).await;
    let bob = bob.at(&b);
    let phone = alice.socket().await;
    let socket = bob.socket().await;
    until_seen(&bob, &alice, "ONLINE").await;
    let mut told = watch(&socket);
    told.take(2).await;

    redis.kill().await;
    // Everything durable works, and nothing waits.
    let started = Instant::now();
    alice.send(&conversation, "Is anybody there?").await;
    assert!(seen(&bob, &alice).await["status"].is_string());
    assert_eq!(seen(&alice, &alice).await["status"], "ONLINE", "what a process knows by itself it tells");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    drop(phone);
    let _carol = carol.socket().await;

    redis.start().await;
    // Late, and right in the end.
    let mut last: HashMap<String, String> = HashMap::new();
    within(PATIENCE * 2, "the truth", async {
        let is = |last: &HashMap<String, String>, who: &str, status: &str| last.get(who).is_some_and(|it| it == status);
        while !(is(&last, "alice", "OFFLINE") && is(&last, "carol", "ONLINE")) {
            let event = told.next().await;
            last.insert(
                event["user"]["username"].as_str().expect("a name").into(),
                event["status"].as_str().expect("a status").into(),
            );
        }
    })
    .await;
    assert_eq!(seen(&bob, &carol).await["status"], "ONLINE");
    assert_eq!(seen(&bob, &alice).await["status"], "OFFLINE");
    assert!(socket.is_open());
});

full_story!(without_redis_is_told_what_a_process_knows, |world| async {
    let mut redis = Redis::private(world).await;
    let options = || no_grace().redis(redis.url());
    let (a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    let (alice, bob, _) = a.friends("alice", "bob").await;
    let carol = a.person("carol").await;
    carol.befriend(&bob).await;
    let (bob, carol) = (bob.at(&b), carol.at(&b));
    let (_alice, _carol, socket) = (alice.socket().await, carol.socket().await, bob.socket().await);
    until_seen(&bob, &alice, "ONLINE").await;
    redis.kill().await;
    let started = Instant::now();
    let mut told = watch(&socket);
    let mut first: Vec<String> = told.take(2).await.iter().map(short).collect();
    first.sort();
    assert_eq!(first, ["alice OFFLINE", "carol ONLINE"]);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    // Longer than changes are on their way.
    assert_eq!(told.try_next(Duration::from_millis(3500)).await, None);
    redis.start().await;
    assert_eq!(short(&within(PATIENCE * 2, "the truth", told.next()).await), "alice ONLINE");
    assert_eq!(told.try_next(Duration::from_millis(1500)).await, None, "of carol it was the truth");
});

full_story!(who_died_while_redis_forgot_is_told_of, |world| async {
    let mut redis = Redis::private(world).await;
    let options = || no_grace().redis(redis.url()).set("KITH_PRESENCE_LEASE_SECONDS", "2");
    let (a, b, c) = tokio::join!(
        world.server_with(options()),
        world.server_with(options()),
        world.server_with(options().set("KITH_ROLE", "realtime")),
    );
    let (alice, bob, _) = a.friends("alice", "bob").await;
    let carol = a.person("carol").await;
    carol.befriend(&bob).await;
    let bob = bob.at(&b);
    let _alice = alice.socket().await;
    let carol_here = carol.at(&b).socket().await;
    let socket = bob.socket().await;
    until_seen(&bob, &alice, "ONLINE").await;
    let mut told = watch(&socket);
    told.take(2).await;
    // Nothing is told at the beginning of this one: he has asked another process.
    let elsewhere = bob.at(&c).socket().await;
    let mut events = elsewhere.subscribe(EVERYTHING, json!({}));
    events.until(|event| event["__typename"] == "CaughtUp").await;

    redis.kill().await;
    a.kill9().await;
    redis.start().await;
    let until_offline = async |told: &mut Subscription, who: &str| {
        let mut before = Vec::new();
        while before.last() != Some(&format!("{who} OFFLINE")) {
            before.push(short(&told.next().await));
        }
        before
    };
    let before = until_offline(&mut told, "alice").await;
    assert!(!before.contains(&"carol OFFLINE".to_owned()), "her process lives: {before:?}");
    let envelope = events.until(|event| event["__typename"] == "Presence" && event["status"] == "OFFLINE").await;
    assert_eq!(envelope.last().expect("an event")["event"]["user"]["id"], alice.id.as_str());
    assert_eq!(seen(&bob, &carol).await["status"], "ONLINE");
    drop(carol_here);
    until_offline(&mut told, "carol").await;
});

full_story!(a_lease_that_cannot_be_held_stops_no_other, |world| async {
    const LEASE: Duration = Duration::from_secs(2);
    let redis = Redis::private(world).await;
    let options = || no_grace().redis(redis.url()).set("KITH_PRESENCE_LEASE_SECONDS", LEASE.as_secs());
    let (a, b) = (world.server_with(options()).await, world.server_with(options()).await);
    let (carol, bob, _) = a.friends("carol", "bob").await;
    let alice = a.person("alice").await;
    let bob = bob.at(&b);
    let socket = bob.socket().await;
    let mut told = watch(&socket);
    assert_eq!(short(&told.next().await), "carol OFFLINE");

    // What a dead node of a cluster is to others: Alice's lease fails each time.
    let key = format!("{}:presence:{{{}}}", world.redis_prefix, id(&alice).0.simple());
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis can be reached");
    let _: () = redis::cmd("SET").arg(&key).arg("no lease").query_async(&mut connection).await.expect("it is set");
    let _alice = alice.socket().await;
    let _carol = carol.socket().await;
    assert_eq!(short(&told.next().await), "carol ONLINE");
    // Nobody takes the process for dead, and the lease is prolonged.
    assert_eq!(told.try_next(LEASE * 3).await, None);
    assert_eq!(seen(&bob, &carol).await["status"], "ONLINE");

    let _: () = redis::cmd("DEL").arg(&key).query_async(&mut connection).await.expect("it is deleted");
    until_seen(&alice.at(&b), &alice, "ONLINE").await;
});

story!(a_block_among_group_mates_hides_the_one_and_makes_the_other_away, |world| async {
    let server = world.server_with(no_grace()).await;
    let (alice, bob) = tokio::join!(server.person("alice"), server.person("bob"));
    group_of(world, &[id(&alice), id(&bob)]).await;
    assert_eq!(seen(&alice, &bob).await["status"], "OFFLINE");
    let database = world.database().await;
    let row =
        block::ActiveModel { blocker_id: Set(id(&bob)), blocked_id: Set(id(&alice)), created_at: Set(Timestamp(1)) };
    block::Entity::insert(row).exec_without_returning(&database).await.expect("is written");
    database.close().await.expect("closes");
    let (sees_bob, sees_alice) = (seen(&alice, &bob).await, seen(&bob, &alice).await);
    assert!(sees_alice.is_null(), "{sees_alice}");
    assert_eq!((&sees_bob["status"], &sees_bob["lastSeenAt"]), (&json!("OFFLINE"), &json!("1970-01-01T00:00:00.001Z")));
});
