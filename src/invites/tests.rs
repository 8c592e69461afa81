//! Stories of people who become friends or do not, on SQLite and on PostgreSQL.

use std::{
    cell::Cell,
    collections::HashSet,
    sync::{Arc, Once},
};

use entity::{InviteId, Timestamp, conversation, friendship, invite};
use futures_util::future::join_all;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, sea_query::Expr};
use serde_json::{Value, json};
use tracing_subscriber::layer::{self, Layer, SubscriberExt};

use super::{
    MAX_PENDING,
    actions::{self, Changed},
    types::InviteStatus,
};
use crate::{
    app::App,
    auth::Viewer,
    error::{Failure, Outcome, UserErrorCode},
    friends,
    graphql::ids::GlobalId,
    users::{access::visible_user, testing::World},
};

async fn send(app: &App, viewer: &Viewer, username: &str) -> Outcome<Changed> {
    actions::send_to_friend(app, viewer, username, None).await
}

fn code<T: std::fmt::Debug>(outcome: Outcome<T>) -> UserErrorCode {
    match outcome {
        Err(Failure::Refused(refusals)) => refusals[0].code,
        other => panic!("not refused: {other:?}"),
    }
}

async fn befriend(world: &World, one: &Viewer, other: &Viewer, other_name: &str) -> Changed {
    let sent = send(&world.app, one, other_name).await.expect("sends");
    actions::accept(&world.app, other, sent.invite.id).await.expect("accepts")
}

async fn n_friendships(app: &App) -> u64 {
    friendship::Entity::find().count(app.db.read()).await.expect("counts")
}

async fn relationship(world: &World, viewer: &Viewer, username: &str) -> Value {
    let query = "query ($name: String!) { user(username: $name) { relationship conversation { id } } }";
    world.ask(viewer, query, json!({ "name": username })).await["user"]["relationship"].clone()
}

async fn make_expired(app: &App, id: InviteId) {
    let past = Timestamp(app.clock.now().0 - 1);
    let query = invite::Entity::update_many().col_expr(invite::Column::ExpiresAt, Expr::value(past));
    query.filter(invite::Column::Id.eq(id)).exec(app.db.writer()).await.expect("updates");
}

#[tokio::test]
async fn an_accepted_invite_makes_two_friends_and_their_conversation() {
    for world in World::each().await {
        let (ann, bob) = (world.user("ann").await, world.user("bob").await);
        const SEND: &str = r#"mutation ($note: String) { sendInvite(input: { friend: { username: "BOB", note: $note } }) {
            invite { id kind status note email respondedAt inviter { username } invitee { username relationship } }
            conversation { id } userErrors { code }
        } }"#;
        let sent = world.ask(&ann, SEND, json!({ "note": "  It's me " })).await["sendInvite"].clone();
        let id = sent["invite"]["id"].clone();
        assert_eq!(
            sent,
            json!({
                "invite": {
                    "id": id, "kind": "FRIEND", "status": "PENDING", "note": "It's me", "email": null,
                    "respondedAt": null, "inviter": { "username": "ann" },
                    "invitee": { "username": "bob", "relationship": "INVITE_SENT" }
                },
                "conversation": null, "userErrors": []
            })
        );
        assert_eq!(world.heard_by(&ann).await, ["invite"]);
        assert_eq!(world.heard_by(&bob).await, ["invite"]);
        assert_eq!(relationship(&world, &bob, "ann").await, "INVITE_RECEIVED");

        const ACCEPT: &str = r#"mutation ($id: ID!) { acceptInvite(input: { inviteId: $id }) {
            invite { status inviter { relationship conversation { id } } } conversation { id } userErrors { code }
        } }"#;
        let accepted = world.ask(&bob, ACCEPT, json!({ "id": id })).await["acceptInvite"].clone();
        let conversation = accepted["conversation"].clone();
        assert!(conversation["id"].as_str().is_some_and(|id| id.starts_with("conv_")), "{accepted}");
        assert_eq!(
            accepted["invite"],
            json!({ "status": "ACCEPTED", "inviter": { "relationship": "FRIEND", "conversation": conversation } })
        );
        assert_eq!(world.heard_by(&ann).await, ["invite", "friendship", "joined"]);
        assert_eq!(world.heard_by(&bob).await, ["invite", "friendship", "joined"]);
        assert_eq!(n_friendships(&world.app).await, 2);

        let friends = "{ friends { totalCount edges { since node { username } } nodes { username } } }";
        let friends = world.ask(&ann, friends, json!({})).await["friends"].clone();
        assert_eq!(friends["totalCount"], 1);
        assert_eq!(friends["nodes"], json!([{ "username": "bob" }]));
        let again = world.ask(&bob, ACCEPT, json!({ "id": id })).await["acceptInvite"].clone();
        assert_eq!(again["userErrors"][0]["code"], "INVITE_NOT_PENDING");
        assert_eq!(code(send(&world.app, &ann, "bob").await), UserErrorCode::AlreadyFriends);
    }
}

#[tokio::test]
async fn what_is_not_ones_own_to_answer_is_refused() {
    for world in World::each().await {
        let (ann, bob, eve) = (world.user("ann").await, world.user("bob").await, world.user("eve").await);
        let app = &world.app;
        assert_eq!(code(send(app, &ann, "ann").await), UserErrorCode::InvalidInput);
        for name in ["nobody", "no", "b%b", "bob\0", "admin"] {
            assert_eq!(code(send(app, &ann, name).await), UserErrorCode::NotFound, "{name:?}");
        }
        let noted = actions::send_to_friend(app, &ann, "bob", Some("\0")).await;
        assert_eq!(code(noted), UserErrorCode::InvalidInput);
        let sent = send(app, &ann, "bob").await.expect("sends").invite.id;
        assert_eq!(code(send(app, &ann, "Bob").await), UserErrorCode::AlreadyInvited);

        let unknown: InviteId = app.clock.new_id();
        for id in [sent, unknown] {
            assert_eq!(code(actions::accept(app, &eve, id).await), UserErrorCode::NotFound);
            assert_eq!(code(actions::reject(app, &eve, id).await), UserErrorCode::NotFound);
            assert_eq!(code(actions::revoke(app, &eve, id).await), UserErrorCode::NotFound);
            assert!(super::access::visible_invite(app, &eve, id).await.expect("asks").is_none());
        }
        assert_eq!(code(actions::accept(app, &ann, sent).await), UserErrorCode::Forbidden);
        assert_eq!(code(actions::reject(app, &ann, sent).await), UserErrorCode::Forbidden);
        assert_eq!(code(actions::revoke(app, &bob, sent).await), UserErrorCode::Forbidden);

        world.heard_by(&ann).await;
        world.heard_by(&bob).await;
        let rejected = actions::reject(app, &bob, sent).await.expect("rejects").invite;
        assert!(rejected.responded_at.is_some() && rejected.pending_slot.is_none());
        assert_eq!((world.heard_by(&ann).await, world.heard_by(&bob).await), (vec!["invite"], vec!["invite"]));
        let second = send(app, &ann, "bob").await.expect("a rejected invite frees its slot").invite.id;
        let revoked = actions::revoke(app, &ann, second).await.expect("revokes").invite;
        assert_eq!(revoked.responded_at, None);
        assert_eq!(code(actions::accept(app, &bob, second).await), UserErrorCode::InviteNotPending);
        assert_eq!(code(friends::actions::remove(app, &ann, bob.user_id()).await), UserErrorCode::NotFriends);
        assert_eq!(code(friends::actions::remove(app, &ann, app.clock.new_id()).await), UserErrorCode::NotFriends);
        assert_eq!(n_friendships(app).await, 0);
    }
}

#[tokio::test]
async fn invites_that_cross_make_friends() {
    for world in World::each().await {
        let (ann, bob) = (world.user("ann").await, world.user("bob").await);
        let sent = send(&world.app, &ann, "bob").await.expect("sends");
        let crossed = send(&world.app, &bob, "ann").await.expect("crosses");
        assert_eq!(crossed.invite.id, sent.invite.id);
        assert_eq!(crossed.invite.status, invite::Status::Accepted);
        assert!(crossed.conversation_id.is_some());
        assert_eq!(relationship(&world, &ann, "bob").await, "FRIEND");
    }
}

#[tokio::test]
async fn a_blocked_person_is_not_told() {
    for world in World::each().await {
        let app = &world.app;
        let (ann, bob) = (world.user("ann").await, world.discoverable_user("bob").await);
        befriend(&world, &ann, &bob, "bob").await;
        for viewer in [&ann, &bob] {
            world.heard_by(viewer).await;
        }
        friends::actions::block(app, &bob, ann.user_id()).await.expect("blocks");
        friends::actions::block(app, &bob, ann.user_id()).await.expect("blocks again");
        assert_eq!((world.heard_by(&ann).await, world.heard_by(&bob).await), (vec!["friendship"], vec!["friendship"]));
        assert_eq!(relationship(&world, &ann, "bob").await, "NONE");
        assert_eq!(relationship(&world, &bob, "ann").await, "BLOCKED");
        assert_eq!(n_friendships(app).await, 0);
        let open = conversation::Entity::find().one(app.db.read()).await.expect("asks").expect("stays").open;
        assert!(!open);
        assert_eq!(code(send(app, &bob, "ann").await), UserErrorCode::Forbidden);

        // To the blocked, all is as with somebody who does not answer.
        let sent = send(app, &ann, "bob").await.expect("looks sent");
        assert_eq!((world.heard_by(&ann).await, world.heard_by(&bob).await), (vec!["invite"], vec![]));
        assert_eq!(relationship(&world, &ann, "bob").await, "INVITE_SENT");
        assert_eq!(code(send(app, &ann, "bob").await), UserErrorCode::AlreadyInvited);
        const LIST: &str = "{ invites(status: PENDING) { totalCount nodes { id status } } }";
        assert_eq!(world.ask(&ann, LIST, json!({})).await["invites"]["totalCount"], 1);
        assert_eq!(world.ask(&bob, LIST, json!({})).await["invites"], json!({ "totalCount": 0, "nodes": [] }));
        assert!(super::access::visible_invite(app, &ann, sent.invite.id).await.expect("asks").is_some());
        assert!(super::access::visible_invite(app, &bob, sent.invite.id).await.expect("asks").is_none());
        assert_eq!(code(actions::accept(app, &bob, sent.invite.id).await), UserErrorCode::NotFound);
        assert_eq!(code(actions::reject(app, &bob, sent.invite.id).await), UserErrorCode::NotFound);

        friends::actions::unblock(app, &bob, ann.user_id()).await.expect("unblocks");
        assert_eq!(world.heard_by(&bob).await, ["friendship"]);
        assert_eq!(relationship(&world, &bob, "ann").await, "NONE", "the hidden invite stays hidden");
        let crossed = send(app, &bob, "ann").await.expect("crosses the hidden invite");
        assert_eq!((crossed.invite.id, crossed.invite.hidden), (sent.invite.id, false));
        assert_eq!(relationship(&world, &ann, "bob").await, "FRIEND");
        let open = conversation::Entity::find().one(app.db.read()).await.expect("asks").expect("stays").open;
        assert!(open);
        let friends: Vec<friendship::Model> = friendship::Entity::find().all(app.db.read()).await.expect("asks");
        assert_eq!(friends.len(), 2);
    }
}

#[tokio::test]
async fn a_block_ends_what_is_pending_between_the_two() {
    for world in World::each().await {
        let app = &world.app;
        let (ann, bob) = (world.user("ann").await, world.user("bob").await);
        let (cid, dan) = (world.user("cid").await, world.user("dan").await);
        let own = send(app, &ann, "bob").await.expect("sends").invite.id;
        let theirs = send(app, &cid, "ann").await.expect("sends").invite.id;
        for viewer in [&ann, &bob, &cid] {
            world.heard_by(viewer).await;
        }
        friends::actions::block(app, &ann, bob.user_id()).await.expect("blocks");
        friends::actions::block(app, &ann, cid.user_id()).await.expect("blocks");
        assert_eq!(world.heard_by(&ann).await, ["invite", "friendship", "friendship"]);
        assert_eq!((world.heard_by(&bob).await, world.heard_by(&cid).await), (vec!["invite"], vec![]));
        assert_eq!(code(actions::accept(app, &bob, own).await), UserErrorCode::InviteNotPending);
        assert_eq!(code(actions::accept(app, &ann, theirs).await), UserErrorCode::NotFound);
        assert_eq!(relationship(&world, &cid, "ann").await, "INVITE_SENT");
        actions::revoke(app, &cid, theirs).await.expect("the inviter can still revoke it");
        assert_eq!(world.heard_by(&ann).await, Vec::<&str>::new());

        assert_eq!(code(friends::actions::block(app, &ann, ann.user_id()).await), UserErrorCode::InvalidInput);
        assert_eq!(code(friends::actions::block(app, &ann, dan.user_id()).await), UserErrorCode::NotFound);
        assert_eq!(code(friends::actions::unblock(app, &ann, dan.user_id()).await), UserErrorCode::NotFound);
        let blocked = world.ask(&ann, "{ blockedUsers { nodes { username relationship } } }", json!({})).await;
        let entry = |name| json!({ "username": name, "relationship": "BLOCKED" });
        assert_eq!(blocked["blockedUsers"]["nodes"], json!([entry("cid"), entry("bob")]));
        // Within one operation the second answer is not the memory of the first.
        let id = bob.user_id().encode().to_string();
        const TWICE: &str = "mutation ($id: ID!) {
            a: unblockUser(input: { userId: $id }) { user { relationship } }
            b: blockUser(input: { userId: $id }) { user { relationship } }
        }";
        let twice = world.ask(&ann, TWICE, json!({ "id": id })).await;
        assert_eq!(twice["a"]["user"]["relationship"], "NONE");
        assert_eq!(twice["b"]["user"]["relationship"], "BLOCKED");
    }
}

#[tokio::test]
async fn an_expired_invite_frees_its_slot() {
    for world in World::each().await {
        let app = &world.app;
        let (ann, bob) = (world.user("ann").await, world.user("bob").await);
        let first = send(app, &ann, "bob").await.expect("sends").invite.id;
        make_expired(app, first).await;
        assert_eq!(relationship(&world, &ann, "bob").await, "NONE");
        for (viewer, outcome) in [
            (&bob, actions::accept(app, &bob, first).await),
            (&bob, actions::reject(app, &bob, first).await),
            (&ann, actions::revoke(app, &ann, first).await),
        ] {
            assert_eq!(code(outcome), UserErrorCode::InviteNotPending, "{viewer:?}");
        }
        const LIST: &str = "query ($status: InviteStatus) { invites(status: $status) { totalCount nodes { status } } }";
        let n_of = async |status| world.ask(&bob, LIST, json!({ "status": status })).await["invites"].clone();
        assert_eq!(n_of("EXPIRED").await, json!({ "totalCount": 1, "nodes": [{ "status": "EXPIRED" }] }));
        assert_eq!(n_of("PENDING").await["totalCount"], 0);
        let second = send(app, &bob, "ann").await.expect("no crossing with what is over");
        assert_ne!(second.invite.id, first);
        assert_eq!(second.invite.status, invite::Status::Pending);
        assert_eq!(n_of("EXPIRED").await["totalCount"], 1, "stored now");
        assert_eq!(n_of("PENDING").await["totalCount"], 1);
        assert_eq!(InviteStatus::of(second.invite.status, true), InviteStatus::Expired);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_has_more_than_a_hundred_pending_invites_out() {
    for world in World::each().await {
        let app = &world.app;
        let ann = world.user("ann").await;
        let names: Vec<String> = (0..MAX_PENDING + 8).map(|idx| format!("user{idx}")).collect();
        for name in &names {
            world.user(name).await;
        }
        let (first, rest) = names.split_at(96);
        let mut sent = Vec::new();
        for name in first {
            sent.push(send(app, &ann, name).await.expect("sends").invite.id);
        }
        let outcomes = spawn_all(rest.iter().map(|name| {
            let (app, name) = (Arc::clone(app), name.clone());
            async move { send(&app, &ann, &name).await }
        }))
        .await;
        let (sent_at_once, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!((sent_at_once.len(), refused.len()), (4, 8));
        assert!(refused.into_iter().all(|refused| code(refused) == UserErrorCode::LimitReached));
        actions::revoke(app, &ann, sent[0]).await.expect("revokes");
        send(app, &ann, &names[0]).await.expect("there is room for one");
    }
}

async fn spawn_all<F: Future<Output: Send + 'static> + Send + 'static>(
    futures: impl Iterator<Item = F>,
) -> Vec<F::Output> {
    let tasks: Vec<_> = futures.map(tokio::spawn).collect();
    join_all(tasks).await.into_iter().map(|task| task.expect("does not panic")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_sends_at_once_are_one_invite() {
    for world in World::each().await {
        let ann = world.user("ann").await;
        for round in 0..5 {
            let name = format!("bob{round}");
            let bob = world.user(&name).await;
            let outcomes = spawn_all((0..20).map(|_| {
                let (app, name) = (Arc::clone(&world.app), name.clone());
                async move { send(&app, &ann, &name).await }
            }))
            .await;
            let (sent, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
            assert_eq!(sent.len(), 1);
            assert!(refused.into_iter().all(|refused| code(refused) == UserErrorCode::AlreadyInvited));
            assert_eq!(world.heard_by(&bob).await, ["invite"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossing_sends_at_once_are_one_friendship() {
    for world in World::each().await {
        for round in 0..15 {
            let names = [format!("ann{round}"), format!("bob{round}")];
            let (ann, bob) = (world.user(&names[0]).await, world.user(&names[1]).await);
            let outcomes = spawn_all((0..6).map(|idx| {
                let app = Arc::clone(&world.app);
                let (viewer, name) = if idx % 2 == 0 { (ann, names[1].clone()) } else { (bob, names[0].clone()) };
                async move { send(&app, &viewer, &name).await }
            }))
            .await;
            let (sent, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
            let ids: HashSet<InviteId> = sent.iter().flatten().map(|changed| changed.invite.id).collect();
            assert_eq!((sent.len(), ids.len()), (2, 1), "one sends, one accepts by crossing");
            for refused in refused {
                let code = code(refused);
                assert!(matches!(code, UserErrorCode::AlreadyInvited | UserErrorCode::AlreadyFriends), "{code:?}");
            }
            assert_eq!(n_friendships(&world.app).await, 2 * (round + 1));
            assert_eq!(world.heard_by(&ann).await, ["invite", "invite", "friendship", "joined"]);
            assert_eq!(world.heard_by(&bob).await, ["invite", "invite", "friendship", "joined"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_answers_at_once_one_wins() {
    for world in World::each().await {
        let mut n_friends = 0;
        for round in 0..15 {
            let (ann_name, bob_name) = (format!("ann{round}"), format!("bob{round}"));
            let (ann, bob) = (world.user(&ann_name).await, world.user(&bob_name).await);
            let id = send(&world.app, &ann, &bob_name).await.expect("sends").invite.id;
            let outcomes = spawn_all((0..4).map(|idx| {
                let app = Arc::clone(&world.app);
                async move {
                    match (idx + round) % 4 {
                        0 | 1 => actions::accept(&app, &bob, id).await,
                        2 => actions::revoke(&app, &ann, id).await,
                        _ => actions::reject(&app, &bob, id).await,
                    }
                }
            }))
            .await;
            let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
            assert_eq!(won.len(), 1);
            assert!(lost.into_iter().all(|lost| code(lost) == UserErrorCode::InviteNotPending));
            if won.iter().flatten().all(|won| won.conversation_id.is_some()) {
                n_friends += 1;
            }
            assert_eq!(n_friendships(&world.app).await, 2 * n_friends);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_at_the_same_moment_leaves_no_friendship_and_no_visible_invite() {
    for world in World::each().await {
        for round in 0..15 {
            let (ann_name, bob_name) = (format!("ann{round}"), format!("bob{round}"));
            let (ann, bob) = (world.discoverable_user(&ann_name).await, world.discoverable_user(&bob_name).await);
            let pending = if round % 2 == 0 {
                Some(send(&world.app, &ann, &bob_name).await.expect("sends").invite.id)
            } else {
                None
            };
            let (app, other_app) = (Arc::clone(&world.app), Arc::clone(&world.app));
            let (name, blocker, ann_id) = (bob_name.clone(), bob, ann.user_id());
            let block =
                tokio::spawn(async move { friends::actions::block(&other_app, &blocker, ann_id).await.map(drop) });
            let invite = tokio::spawn(async move {
                match pending {
                    Some(id) => actions::accept(&app, &bob, id).await.map(drop),
                    None => send(&app, &ann, &name).await.map(drop),
                }
            });
            block.await.expect("does not panic").expect("blocks");
            if let Err(Failure::Fault(fault)) = invite.await.expect("does not panic") {
                panic!("{fault:?}");
            }
            assert_eq!(n_friendships(&world.app).await, 0);
            let list = "{ invites(direction: INCOMING, status: PENDING) { totalCount } }";
            assert_eq!(world.ask(&bob, list, json!({})).await["invites"]["totalCount"], 0, "round {round}");
            assert_eq!(relationship(&world, &bob, &ann_name).await, "BLOCKED");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verbs_of_many_people_at_once_do_not_deadlock() {
    for world in World::each().await {
        let mut people = Vec::new();
        for idx in 0..4 {
            let name = format!("user{idx}");
            people.push((world.discoverable_user(&name).await, name));
        }
        let outcomes = spawn_all((0..120_usize).map(|idx| {
            let app = Arc::clone(&world.app);
            let (viewer, _) = people[idx % 4];
            let (other, name) = people[(idx % 4 + 1 + idx / 4 % 3) % 4].clone();
            async move {
                match idx % 5 {
                    0..=2 => send(&app, &viewer, &name).await.map(drop),
                    3 => friends::actions::remove(&app, &viewer, other.user_id()).await.map(drop),
                    _ if idx % 2 == 0 => friends::actions::block(&app, &viewer, other.user_id()).await.map(drop),
                    _ => friends::actions::unblock(&app, &viewer, other.user_id()).await.map(drop),
                }
            }
        }))
        .await;
        for outcome in outcomes {
            assert!(!matches!(outcome, Err(Failure::Fault(_))), "{outcome:?}");
        }
        assert_eq!(n_friendships(&world.app).await % 2, 0);
    }
}

#[tokio::test]
async fn only_who_has_a_tie_is_seen() {
    for world in World::each().await {
        let (ann, bob) = (world.user("ann").await, world.user("bob").await);
        let (cid, dan) = (world.user("cid").await, world.discoverable_user("dan").await);
        let app = &world.app;
        send(app, &cid, "ann").await.expect("sends");
        befriend(&world, &ann, &bob, "bob").await;
        for (name, seen) in [
            ("ann", json!("SELF")),
            ("BOB", json!("FRIEND")),
            ("cid", json!("INVITE_RECEIVED")),
            ("dan", json!("NONE")),
            ("nobody", json!(null)),
            ("a%", json!(null)),
            ("b_b", json!(null)),
            ("\0", json!(null)),
            ("", json!(null)),
        ] {
            assert_eq!(relationship(&world, &ann, name).await, seen, "{name:?}");
        }
        assert_eq!(relationship(&world, &bob, "cid").await, json!(null), "no tie");
        assert!(visible_user(app, &bob, cid.user_id()).await.expect("asks").is_none());
        assert!(visible_user(app, &bob, dan.user_id()).await.expect("asks").is_some());
        friends::actions::remove(app, &ann, bob.user_id()).await.expect("removes");
        assert_eq!(relationship(&world, &ann, "bob").await, "NONE", "former friends share a conversation");
        assert_eq!(world.heard_by(&bob).await, ["invite", "invite", "friendship", "joined", "friendship"]);
        let (data, errors) = world.try_ask(None, r#"{ user(username: "dan") { id } }"#, json!({})).await;
        assert_eq!((data, errors.len()), (json!({ "user": null }), 1));
    }
}

#[tokio::test]
async fn search_finds_the_discoverable_by_prefix_in_pages() {
    const SEARCH: &str = "query ($query: String!, $first: Int, $after: String) {
        searchUsers(query: $query, first: $first, after: $after) {
            nodes { username } pageInfo { hasNextPage hasPreviousPage endCursor }
        }
    }";
    for world in World::each().await {
        let ann = world.discoverable_user("ann").await;
        for name in ["an_a", "an.b", "anna", "annb", "annc", "ao", "anZ", "am"] {
            world.discoverable_user(&name.to_lowercase()).await;
        }
        world.user("annhidden").await;
        let found = async |query: &str| {
            let found = world.ask(&ann, SEARCH, json!({ "query": query })).await;
            let names = found["searchUsers"]["nodes"].as_array().expect("a list").iter();
            names.map(|node| node["username"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("AN").await, ["an.b", "an_a", "ann", "anna", "annb", "annc", "anz"]);
        assert_eq!(found("an_").await, ["an_a"]);
        assert_eq!(found("an.").await, ["an.b"]);
        for nothing in ["%", "_%", "a%", "\\", "an n", "ä", "\0", "annh", "' OR 1=1 --", "\u{1F980}"] {
            assert!(found(nothing).await.is_empty(), "{nothing:?}");
        }
        for bad in ["", &"a".repeat(33), &"a".repeat(10_000)] {
            let (_, errors) = world.try_ask(Some(&ann), SEARCH, json!({ "query": bad })).await;
            assert_eq!(errors, ["`query` must have 1 to 32 characters."]);
        }
        let mut after = Value::Null;
        let mut names = Vec::new();
        loop {
            let page = world.ask(&ann, SEARCH, json!({ "query": "an", "first": 3, "after": after })).await;
            let page = &page["searchUsers"];
            names.extend(page["nodes"].as_array().expect("a list").iter().map(|node| node["username"].clone()));
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(names, ["an.b", "an_a", "ann", "anna", "annb", "annc", "anz"]);
    }
}

#[tokio::test]
async fn lists_are_paged_both_ways_newest_first() {
    for world in World::each().await {
        let ann = world.user("ann").await;
        let mut newest_first = Vec::new();
        for idx in 0..5 {
            let name = format!("bob{idx}");
            let bob = world.user(&name).await;
            befriend(&world, &ann, &bob, &name).await;
            newest_first.insert(0, name);
        }
        for field in ["friends", "invites"] {
            let node = if field == "friends" { "username" } else { "invitee { username }" };
            let query = format!(
                "query ($first: Int, $after: String, $last: Int, $before: String) {{
                    page: {field}(first: $first, after: $after, last: $last, before: $before) {{
                        totalCount nodes {{ {node} }}
                        pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
                    }}
                }}"
            );
            let page = async |arguments: Value| {
                let page = world.ask(&ann, &query, arguments).await["page"].clone();
                assert_eq!(page["totalCount"], 5);
                let name = |node: &Value| {
                    node["username"].as_str().or(node["invitee"]["username"].as_str()).map(str::to_owned)
                };
                let names: Vec<String> = page["nodes"].as_array().expect("a list").iter().filter_map(name).collect();
                (names, page["pageInfo"].clone())
            };
            let (names, info) = page(json!({ "first": 2 })).await;
            assert_eq!((&names[..], &info["hasNextPage"]), (&newest_first[..2], &json!(true)));
            let (names, next) = page(json!({ "first": 2, "after": info["endCursor"] })).await;
            assert_eq!(names, newest_first[2..4]);
            let (names, _) = page(json!({ "last": 2, "before": next["startCursor"] })).await;
            assert_eq!(names, newest_first[..2]);
            let (names, info) = page(json!({ "last": 2 })).await;
            assert_eq!((&names[..], &info["hasPreviousPage"]), (&newest_first[3..], &json!(true)));
            for bad in [json!({ "after": "nonsense" }), json!({ "first": -1 }), json!({ "first": 101 })] {
                assert_eq!(world.try_ask(Some(&ann), &query, bad).await.1.len(), 1);
            }
        }
    }
}

/// On PostgreSQL, where statements are logged on the thread that asks.
#[tokio::test]
async fn the_number_of_statements_does_not_grow_with_the_page() {
    let Some(world) = World::postgres().await else { return };
    let ann = world.user("ann").await;
    for idx in 0..12 {
        let name = format!("bob{idx}");
        let bob = world.discoverable_user(&name).await;
        if idx % 2 == 0 {
            befriend(&world, &ann, &bob, &name).await;
        } else {
            send(&world.app, &ann, &name).await.expect("sends");
        }
    }
    const USER: &str = "id username relationship conversation { id }";
    StatementCounter::install();
    for query in [
        format!("query ($n: Int) {{ friends(first: $n) {{ totalCount nodes {{ {USER} }} }} }}"),
        format!("query ($n: Int) {{ invites(first: $n) {{ nodes {{ inviter {{ {USER} }} invitee {{ {USER} }} }} }} }}"),
        format!("query ($n: Int) {{ searchUsers(query: \"bob\", first: $n) {{ nodes {{ {USER} }} }} }}"),
    ] {
        let counted = async |n: i32| {
            let before = STATEMENTS.get();
            world.ask(&ann, &query, json!({ "n": n })).await;
            STATEMENTS.get() - before
        };
        let (two, many) = (counted(2).await, counted(12).await);
        assert!(two > 0 && two == many, "{two} and {many} statements: {query}");
    }
}

thread_local! {
    static STATEMENTS: Cell<usize> = const { Cell::new(0) };
}

/// Counts the statements of each thread. For the whole program: what one thread listens to, the threads that do not
/// would silence at the shared call sites.
struct StatementCounter;

impl StatementCounter {
    fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let subscriber = tracing_subscriber::registry().with(Self);
            tracing::subscriber::set_global_default(subscriber).expect("nobody else listens");
            tracing::callsite::rebuild_interest_cache();
        });
    }
}

impl<S: tracing::Subscriber> Layer<S> for StatementCounter {
    fn on_event(&self, event: &tracing::Event<'_>, _: layer::Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            STATEMENTS.set(STATEMENTS.get() + 1);
        }
    }
}
