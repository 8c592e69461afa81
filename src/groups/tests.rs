//! Stories of groups in the database, on SQLite and on PostgreSQL.

use std::sync::Arc;

use entity::{
    ConversationId, UserId, conversation, event,
    member::{self, Role},
    user,
};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};

use super::{
    actions::{self, Unjoinable},
    types::GroupName,
};
use crate::{
    app::{self, App},
    auth::Viewer,
    conversations::MAX_GROUP_MEMBERS,
    error::{Failure, Outcome, UserErrorCode},
    events::Transaction,
    users::testing::World,
};

async fn make(app: &App, owner: &Viewer) -> ConversationId {
    let name = GroupName::parse("The group").expect("a name");
    actions::create(app, owner, name, None).await.expect("is made").id
}

async fn join(app: &App, id: ConversationId, user_id: UserId) -> Result<(), Unjoinable> {
    let mut tx = Transaction::begin(app).await.expect("begins");
    let joined = actions::add_member(&mut tx, id, user_id).await.expect("the database answers");
    if joined.is_ok() {
        tx.commit().await.expect("commits");
    }
    joined.map(drop)
}

async fn members(app: &App, id: ConversationId) -> Vec<member::Model> {
    use member::{Column, Entity};
    let query = Entity::find().filter(Column::ConversationId.eq(id)).order_by_asc(Column::UserId);
    query.all(app.db.read()).await.expect("reads")
}

async fn row(app: &App, id: ConversationId) -> conversation::Model {
    conversation::Entity::find_by_id(id).one(app.db.read()).await.expect("reads").expect("is there")
}

/// The kinds of a group's events, in the order of their positions, which have no gaps.
async fn log(app: &App, id: ConversationId) -> Vec<event::Kind> {
    use event::{Column, Entity};
    let query = Entity::find().filter(Column::ConversationId.eq(id)).order_by_asc(Column::Position);
    let rows = query.all(app.db.read()).await.expect("reads");
    for (idx, row) in rows.iter().enumerate() {
        assert_eq!(row.position, Some(idx as i64 + 1));
    }
    assert_eq!(row(app, id).await.position, rows.len() as i64);
    rows.into_iter().map(|row| row.kind).collect()
}

fn code<T: std::fmt::Debug>(outcome: Outcome<T>) -> Option<UserErrorCode> {
    match outcome {
        Ok(_) => None,
        Err(Failure::Refused(refusals)) => Some(refusals[0].code),
        Err(Failure::Fault(error)) => panic!("{error:?}: {:?}", error.cause()),
    }
}

/// Apps that share a database: two on PostgreSQL, where several processes may.
async fn apps(world: &World) -> Vec<Arc<App>> {
    let mut apps = vec![Arc::clone(&world.app)];
    if world.app.db.is_postgres() {
        apps.push(app::build(world.app.config.clone()).await.expect("a second process"));
    }
    apps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_happens_at_once_a_group_has_one_owner_or_is_no_more() {
    for world in World::each().await {
        let apps = apps(&world).await;
        let people =
            [world.user("ann").await, world.user("bob").await, world.user("cid").await, world.user("dan").await];
        let mut n_done = 0;
        for round in 0..25 {
            let id = make(&world.app, &people[0]).await;
            for (idx, person) in people.iter().enumerate().skip(1) {
                join(&world.app, id, person.user_id()).await.expect("joins");
                if idx % 2 == 0 {
                    actions::change_role(&world.app, &people[0], id, person.user_id(), Role::Admin)
                        .await
                        .expect("is admin");
                }
            }
            let [ann, bob, cid, dan] = people;
            let deletes = round % 5 == 4;
            let storm: Vec<_> = (0..8)
                .map(|n| {
                    let app = Arc::clone(&apps[n % apps.len()]);
                    tokio::spawn(async move {
                        match (n + round) % 8 {
                            0 => code(actions::transfer(&app, &ann, id, bob.user_id()).await),
                            1 => code(actions::transfer(&app, &ann, id, cid.user_id()).await),
                            2 => code(actions::leave(&app, &ann, id).await),
                            3 => code(actions::leave(&app, &bob, id).await),
                            4 => code(actions::change_role(&app, &ann, id, cid.user_id(), Role::Member).await),
                            5 => code(actions::remove(&app, &cid, id, bob.user_id()).await),
                            6 if deletes => code(actions::delete(&app, &ann, id).await),
                            6 => code(actions::transfer(&app, &bob, id, dan.user_id()).await),
                            _ => code(actions::change_role(&app, &bob, id, ann.user_id(), Role::Member).await),
                        }
                    })
                })
                .collect();
            for done in futures_util::future::join_all(storm).await {
                n_done += usize::from(done.expect("no panic").is_none());
            }
            let members = members(&world.app, id).await;
            let n_owners = members.iter().filter(|member| member.role == Role::Owner).count();
            let kinds = log(&world.app, id).await;
            match row(&world.app, id).await.deleted_at {
                None => assert_eq!(n_owners, 1, "{members:?}"),
                Some(_) => {
                    assert!(members.is_empty(), "{members:?}");
                    assert_eq!(kinds.last(), Some(&event::Kind::ConversationDeleted));
                }
            }
        }
        assert!(n_done > 25, "only {n_done} of the storm was done at all");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_group_takes_nobody_and_everybody_hears_of_its_end() {
    for world in World::each().await {
        let app = &world.app;
        let (ann, bob, cid) = (world.user("ann").await, world.user("bob").await, world.user("cid").await);
        let id = make(app, &ann).await;
        let crowd: Vec<UserId> = (0..MAX_GROUP_MEMBERS - 2).map(|_| app.clock.new_id()).collect();
        let now = app.clock.now();
        for (idx, chunk) in crowd.chunks(1000).enumerate() {
            let users = chunk.iter().enumerate().map(|(n, id)| user::ActiveModel {
                id: Set(*id),
                username: Set(format!("user{idx}_{n}")),
                display_name: Set("User".into()),
                discoverable: Set(false),
                created_at: Set(now),
            });
            user::Entity::insert_many(users).exec_without_returning(app.db.writer()).await.expect("users");
            let members = chunk.iter().map(|user_id| member::ActiveModel {
                conversation_id: Set(id),
                user_id: Set(*user_id),
                role: Set(Role::Member),
                joined_at: Set(now),
                last_read_sequence: Set(0),
                last_read_at: Set(None),
                ..Default::default()
            });
            member::Entity::insert_many(members).exec_without_returning(app.db.writer()).await.expect("members");
        }
        // One place is left.
        let (one, other) = tokio::join!(join(app, id, bob.user_id()), join(app, id, cid.user_id()));
        assert!(
            matches!((one, other), (Ok(()), Err(Unjoinable::Full)) | (Err(Unjoinable::Full), Ok(()))),
            "{one:?} {other:?}"
        );
        let inside = if one.is_ok() { &bob } else { &cid };
        assert_eq!(join(app, id, inside.user_id()).await, Err(Unjoinable::AlreadyMember));
        assert_eq!(members(app, id).await.len(), MAX_GROUP_MEMBERS as usize);

        actions::delete(app, &ann, id).await.expect("is deleted");
        assert!(members(app, id).await.is_empty());
        let told = event::Entity::find()
            .filter(event::Column::Kind.eq(event::Kind::ConversationRemoved))
            .filter(event::Column::JoinedId.eq(id))
            .count(app.db.read())
            .await
            .expect("counts");
        assert_eq!(told, MAX_GROUP_MEMBERS as u64, "each of them");
        crate::delivery::reconcile::pass(&app.hub).await.expect("so many at once are compared with what was delivered");
        assert_eq!(world.heard_by(&ann).await, ["joined", "removed"]);
        assert_eq!(join(app, id, bob.user_id()).await, Err(Unjoinable::Gone));
        assert_eq!(code(actions::delete(app, &ann, id).await), Some(UserErrorCode::NotFound));
    }
}

#[tokio::test]
async fn who_joins_starts_at_what_was_said_and_hears_from_their_own_coming_on() {
    for world in World::each().await {
        let app = &world.app;
        let (ann, bob) = (world.user("ann").await, world.user("bob").await);
        let id = make(app, &ann).await;
        let mut tx = Transaction::begin(app).await.expect("begins");
        conversation::Entity::update_many()
            .col_expr(conversation::Column::Sequence, sea_orm::sea_query::Expr::value(7))
            .filter(conversation::Column::Id.eq(id))
            .exec(tx.db())
            .await
            .expect("seven messages");
        let member = actions::add_member(&mut tx, id, bob.user_id()).await.expect("answers").expect("joins");
        tx.commit().await.expect("commits");
        assert_eq!((member.role, member.last_read_sequence, member.last_read_at), (Role::Member, 7, None));
        assert_eq!(log(app, id).await, [event::Kind::MemberChanged]);
        let joined = event::Entity::find()
            .filter(event::Column::Kind.eq(event::Kind::ConversationJoined))
            .filter(event::Column::UserId.eq(bob.user_id()))
            .one(app.db.read())
            .await
            .expect("reads")
            .expect("is told");
        assert_eq!((joined.joined_id, joined.position), (Some(id), Some(0)), "the position before");
    }
}

#[tokio::test]
async fn an_account_that_ends_leaves_no_group_without_an_owner() {
    for world in World::each().await {
        let app = &world.app;
        let (ann, bob, cid) = (world.user("ann").await, world.user("bob").await, world.user("cid").await);
        let (alone, with_admin, with_members, of_bob) =
            (make(app, &ann).await, make(app, &ann).await, make(app, &ann).await, make(app, &bob).await);
        for id in [with_admin, with_members] {
            join(app, id, bob.user_id()).await.expect("joins");
            join(app, id, cid.user_id()).await.expect("joins");
        }
        actions::change_role(app, &ann, with_admin, cid.user_id(), Role::Admin).await.expect("is admin");
        join(app, of_bob, ann.user_id()).await.expect("joins");

        let mut tx = Transaction::begin(app).await.expect("begins");
        actions::withdraw(&mut tx, ann.user_id()).await.expect("withdraws");
        tx.commit().await.expect("commits");
        let roles = async |id| {
            let members = members(app, id).await;
            members.into_iter().map(|member| (member.user_id, member.role)).collect::<Vec<_>>()
        };
        assert!(row(app, alone).await.deleted_at.is_some());
        assert_eq!(roles(alone).await, []);
        assert_eq!(roles(with_admin).await, [(bob.user_id(), Role::Member), (cid.user_id(), Role::Owner)]);
        assert_eq!(roles(with_members).await, [(bob.user_id(), Role::Owner), (cid.user_id(), Role::Member)]);
        assert_eq!(roles(of_bob).await, [(bob.user_id(), Role::Owner)]);
        assert_eq!(
            log(app, with_members).await[2..],
            [event::Kind::MemberChanged, event::Kind::MemberChanged, event::Kind::MemberRemoved]
        );
        assert_eq!(world.heard_by(&ann).await.iter().filter(|what| **what == "removed").count(), 4);
    }
}

#[tokio::test]
async fn purging_takes_what_was_said_and_leaves_the_end_of_it() {
    for world in World::each().await {
        let app = &world.app;
        let ann = world.user("ann").await;
        let (lost, kept) = (make(app, &ann).await, make(app, &ann).await);
        for id in [lost, kept] {
            let mut tx = Transaction::begin(app).await.expect("begins");
            for _ in 0..3 {
                let event = crate::events::Event::ConversationChanged { conversation_id: id };
                tx.record(id, event).await.expect("records");
            }
            tx.commit().await.expect("commits");
        }
        actions::delete(app, &ann, lost).await.expect("is deleted");
        let later = app.clock.now().plus_seconds(1);
        assert_eq!(
            super::purge::sweep(app, app.clock.now().plus_seconds(-60)).await.expect("sweeps"),
            0,
            "not at once"
        );
        assert_eq!(super::purge::sweep(app, later).await.expect("sweeps"), 1);
        assert_eq!(super::purge::sweep(app, later).await.expect("sweeps"), 0, "once");
        let events = event::Entity::find().filter(event::Column::ConversationId.eq(lost));
        let left = events.all(app.db.read()).await.expect("reads");
        assert_eq!(
            left.iter().map(|row| (row.kind, row.position)).collect::<Vec<_>>(),
            [(event::Kind::ConversationDeleted, Some(4))]
        );
        assert_eq!(row(app, lost).await.name, None);
        assert_eq!(log(app, kept).await.len(), 3);
        assert_eq!(row(app, kept).await.name.as_deref(), Some("The group"));
        // Who still has to hear of its end goes straight to it.
        let missed = crate::events::log::conversation_after(&app.db, lost, 1, 10).await.expect("reads");
        assert_eq!(missed.len(), 1);
        assert_eq!(missed[0].position, Some(4));
    }
}
