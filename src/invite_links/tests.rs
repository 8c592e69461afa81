//! Stories of links in the database, on SQLite and on PostgreSQL.

use std::sync::Arc;

use entity::{ConversationId, Timestamp, invite_link, member};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, sea_query::Expr};

use super::{
    KEPT_SECONDS, MAX_LIVE,
    actions::{self, Joined},
};
use crate::{
    app::App,
    auth::Viewer,
    error::{Failure, Outcome, UserErrorCode},
    groups::{self, types::GroupName},
    users::testing::World,
};

async fn make_group(app: &App, owner: &Viewer) -> ConversationId {
    let name = GroupName::parse("The group").expect("a name");
    groups::actions::create(app, owner, name, None).await.expect("is made").id
}

async fn make(
    app: &App,
    viewer: &Viewer,
    group_id: ConversationId,
    max_uses: Option<i32>,
) -> (invite_link::Model, String) {
    let (link, code) = actions::create(app, viewer, group_id, None, max_uses).await.expect("is made");
    ((*link.into_row()).clone(), code.encode())
}

async fn n_members(app: &App, id: ConversationId) -> u64 {
    let query = member::Entity::find().filter(member::Column::ConversationId.eq(id));
    query.count(app.db.read()).await.expect("counts")
}

async fn uses(app: &App, link: &invite_link::Model) -> i32 {
    let row = invite_link::Entity::find_by_id(link.id).one(app.db.read()).await.expect("reads");
    row.expect("is there").uses
}

fn refusal<T: std::fmt::Debug>(outcome: Outcome<T>) -> (UserErrorCode, String) {
    match outcome {
        Err(Failure::Refused(refusals)) => (refusals[0].code, refusals[0].message.to_string()),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_who_join_at_once_on_one_use_one_gets_in() {
    for world in World::each().await {
        let app = &world.app;
        let ann = world.user("ann").await;
        let group_id = make_group(app, &ann).await;
        for (max_uses, n_in) in [(1, 1), (7, 7)] {
            let before = n_members(app, group_id).await;
            let (link, code) = make(app, &ann, group_id, Some(max_uses)).await;
            let mut joining = Vec::new();
            for n in 0..50 {
                let somebody = world.user(&format!("user{max_uses}_{n}")).await;
                joining.push((Arc::clone(app), somebody, code.clone()));
            }
            let joining = joining
                .into_iter()
                .map(|(app, somebody, code)| tokio::spawn(async move { actions::join(&app, &somebody, &code).await }));
            let joined = futures_util::future::join_all(joining.collect::<Vec<_>>()).await;
            let mut n_joined = 0;
            for outcome in joined {
                match outcome.expect("no panic") {
                    Ok(Joined::In(group)) => {
                        assert_eq!(group.id, group_id);
                        n_joined += 1;
                    }
                    refused => assert_eq!(refusal(refused).0, UserErrorCode::InvalidToken),
                }
            }
            assert_eq!(n_joined, n_in);
            assert_eq!(n_members(app, group_id).await, before + n_in);
            assert_eq!(uses(app, &link).await, max_uses);
        }
    }
}

#[tokio::test]
async fn who_is_in_uses_nothing_up_and_what_is_over_is_told_from_nothing() {
    for world in World::each().await {
        let app = &world.app;
        let (ann, bob) = (world.user("ann").await, world.user("bob").await);
        let group_id = make_group(app, &ann).await;
        let (link, code) = make(app, &ann, group_id, Some(2)).await;
        assert_ne!(link.code_hash, code.as_bytes());
        assert!(
            matches!(actions::join(app, &ann, &code).await.expect("is in"), Joined::Already(group) if group.id == group_id)
        );
        assert_eq!(uses(app, &link).await, 0);
        actions::join(app, &bob, &code).await.expect("joins");
        assert!(matches!(actions::join(app, &bob, &code).await.expect("is in"), Joined::Already(_)));
        assert_eq!(uses(app, &link).await, 1);

        let eve = world.user("eve").await;
        let (revoked, revoked_code) = make(app, &ann, group_id, None).await;
        actions::revoke(app, &ann, revoked.id).await.expect("is revoked");
        assert_eq!(refusal(actions::revoke(app, &ann, revoked.id).await).0, UserErrorCode::NotFound);
        let (expired, expired_code) = make(app, &ann, group_id, None).await;
        let past = app.clock.now().plus_seconds(-1);
        invite_link::Entity::update_many()
            .col_expr(invite_link::Column::ExpiresAt, Expr::value(past))
            .filter(invite_link::Column::Id.eq(expired.id))
            .exec(app.db.writer())
            .await
            .expect("updates");
        let (_, used_up) = make(app, &ann, group_id, Some(1)).await;
        actions::join(app, &world.user("cid").await, &used_up).await.expect("joins");
        let gone = make_group(app, &ann).await;
        let (_, of_the_gone) = make(app, &ann, gone, None).await;
        groups::actions::delete(app, &ann, gone).await.expect("is deleted");
        let unknown = super::types::Code::random().encode();
        let mut said = Vec::new();
        for code in [&*revoked_code, &expired_code, &used_up, &of_the_gone, &unknown, "nonsense", "", "\0"] {
            said.push(refusal(actions::join(app, &eve, code).await));
        }
        assert!(said.iter().all(|said| *said == said_of_nothing()), "{said:?}");
        // Members are not told more than others.
        assert_eq!(refusal(actions::join(app, &bob, &revoked_code).await), said_of_nothing());
    }
}

fn said_of_nothing() -> (UserErrorCode, String) {
    (UserErrorCode::InvalidToken, "This link is not valid, or no longer.".into())
}

#[tokio::test]
async fn a_group_has_so_many_links_and_old_ones_are_swept() {
    for world in World::each().await {
        let app = &world.app;
        let (ann, bob) = (world.user("ann").await, world.user("bob").await);
        let group_id = make_group(app, &ann).await;
        let now = app.clock.now();
        for (expires_at, max_uses, is_good) in [
            (Some(now), None, false),
            (Some(Timestamp(i64::MAX)), None, false),
            (None, Some(0), false),
            (None, Some(-1), false),
            (Some(now.plus_seconds(3600)), Some(10_000), true),
        ] {
            let made = actions::create(app, &ann, group_id, expires_at, max_uses).await;
            match is_good {
                true => drop(made.expect("is made")),
                false => assert_eq!(refusal(made).0, UserErrorCode::InvalidInput, "{expires_at:?} {max_uses:?}"),
            }
        }
        let mut newest = None;
        for _ in 1..MAX_LIVE {
            newest = Some(make(app, &ann, group_id, None).await.0);
        }
        assert_eq!(refusal(actions::create(app, &ann, group_id, None, None).await).0, UserErrorCode::LimitReached);
        assert_eq!(refusal(actions::create(app, &bob, group_id, None, None).await).0, UserErrorCode::NotFound);
        let newest = newest.expect("there are some");
        assert_eq!(refusal(actions::revoke(app, &bob, newest.id).await).0, UserErrorCode::NotFound);
        actions::revoke(app, &ann, newest.id).await.expect("is revoked");
        make(app, &ann, group_id, None).await;

        assert_eq!(actions::sweep(app).await.expect("sweeps"), 0);
        let long_ago = now.plus_seconds(-KEPT_SECONDS - 1);
        invite_link::Entity::update_many()
            .col_expr(invite_link::Column::RevokedAt, Expr::value(long_ago))
            .filter(invite_link::Column::Id.eq(newest.id))
            .exec(app.db.writer())
            .await
            .expect("updates");
        assert_eq!(actions::sweep(app).await.expect("sweeps"), 1);
        let n_left = invite_link::Entity::find().count(app.db.read()).await.expect("counts");
        assert_eq!(n_left, MAX_LIVE);
    }
}
