//! Friends and blocks on the wire.

use std::{collections::HashMap, sync::Arc};

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::{Timestamp, UserId, user};
use uuid::Uuid;

use super::{actions, store};
use crate::{
    connection,
    error::{Outcome, Refusal, payload},
    graphql::{
        app, forget_loaded,
        ids::decode_field,
        loaders,
        pagination::{Direction, PageArguments, PageRequest, encode_cursor, page_info_of},
        scalars::DateTime,
        viewer,
    },
    users::{
        access::VisibleUser,
        graphql::{User, UserConnection, UserEdge},
    },
};

connection!(
    FriendConnection,
    FriendEdge,
    User,
    edge {
        /// When they became friends.
        since: DateTime,
    },
    with {
        /// How many friends there are in all.
        total_count: i32,
    }
);

/// The viewer's friends, and whom they blocked.
#[derive(Clone, Default)]
pub struct ViewerFriends;

#[Object]
impl ViewerFriends {
    /// The viewer's friends, the newest friendship first.
    async fn friends(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the start (or from `after`), up to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end (or from `before`), up to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<FriendConnection> {
        let viewer = viewer(ctx)?;
        let db = &app(ctx).db;
        let request: PageRequest<(Timestamp, Uuid)> =
            PageArguments { first, after, last, before }.resolve(Direction::Forward)?;
        let page = store::friends(db, viewer.user_id(), &request).await?;
        let total_count = match ctx.look_ahead().field("totalCount").exists() {
            true => store::count_friends(db, viewer.user_id()).await?,
            false => 0,
        };
        let users = load_users(ctx, page.rows.iter().map(|row| row.friend_id)).await?;
        let edge = |row: &entity::friendship::Model| {
            Some(FriendEdge {
                cursor: encode_cursor(&(row.since, row.friend_id.0)),
                node: User::new(Arc::clone(users.get(&row.friend_id)?)),
                since: row.since.into(),
            })
        };
        let edges: Vec<FriendEdge> = page.rows.iter().filter_map(edge).collect();
        Ok(FriendConnection {
            page_info: page_info_of(page.has_next_page, page.has_previous_page, &edges, |edge| &edge.cursor),
            edges,
            total_count: i32::try_from(total_count).unwrap_or(i32::MAX),
        })
    }

    /// The people whom the viewer has blocked, the newest block first. They are not told.
    async fn blocked_users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the start (or from `after`), up to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end (or from `before`), up to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<UserConnection> {
        let viewer = viewer(ctx)?;
        let request: PageRequest<(Timestamp, Uuid)> =
            PageArguments { first, after, last, before }.resolve(Direction::Forward)?;
        let page = store::blocked(&app(ctx).db, viewer.user_id(), &request).await?;
        let users = load_users(ctx, page.rows.iter().map(|row| row.blocked_id)).await?;
        let edge = |row: &entity::block::Model| {
            Some(UserEdge {
                cursor: encode_cursor(&(row.created_at, row.blocked_id.0)),
                node: User::new(Arc::clone(users.get(&row.blocked_id)?)),
            })
        };
        let edges = page.rows.iter().filter_map(edge).collect();
        Ok(UserConnection::new(edges, page.has_next_page, page.has_previous_page))
    }
}

async fn load_users(
    ctx: &Context<'_>,
    user_ids: impl Iterator<Item = UserId>,
) -> async_graphql::Result<HashMap<UserId, Arc<user::Model>>> {
    Ok(loaders(ctx).load_many(user_ids.collect()).await?)
}

/// Ending friendships, and blocking.
#[derive(Default)]
pub struct FriendMutation;

#[Object]
impl FriendMutation {
    /// Ends a friendship, and revokes the viewer's pending invites to them. Both still read what they wrote to each other;
    /// nobody can write until an invite is accepted anew. Refused with `NOT_FRIENDS`.
    async fn remove_friend(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The friend.")] input: UserActionInput,
    ) -> async_graphql::Result<UserPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async { actions::remove(app(ctx), &viewer, input.user_id()?).await };
        UserPayload::of(ctx, outcome.await)
    }

    /// Blocks somebody: ends the friendship, revokes the viewer's pending invites to them, and hides their pending invites
    /// to the viewer, and those that they send from now on, without an `InviteChanged` for each: a client drops the
    /// invites by whom the viewer blocks. In groups of both, everything stays: their messages are shown, and they see the
    /// viewer's. They are not told; to them the viewer is offline. Blocking again changes nothing. Refused with
    /// `NOT_FOUND`, and with `INVALID_INPUT` for oneself.
    async fn block_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to block.")] input: UserActionInput,
    ) -> async_graphql::Result<UserPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async { actions::block(app(ctx), &viewer, input.user_id()?).await };
        UserPayload::of(ctx, outcome.await)
    }

    /// Takes a block back. The two are strangers then: a friendship does not come back by itself. Invites that the block
    /// has hidden are there again if they are pending, each with an `InviteChanged`; those that were sent under the block
    /// stay hidden. Refused with `NOT_FOUND`.
    async fn unblock_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to unblock.")] input: UserActionInput,
    ) -> async_graphql::Result<UserPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async { actions::unblock(app(ctx), &viewer, input.user_id()?).await };
        UserPayload::of(ctx, outcome.await)
    }
}

/// Names a person to act upon.
#[derive(InputObject)]
pub struct UserActionInput {
    /// The person's `id`, e.g. `user_01h455vb4pex5vsknk084sn02q`.
    user_id: ID,
}

impl UserActionInput {
    fn user_id(&self) -> Result<UserId, Refusal> {
        decode_field(&self.user_id, "userId")
    }
}

/// The person as the change left them.
#[derive(SimpleObject)]
pub struct UserPayload {
    /// With the new `relationship`; null when refused.
    user: Option<User>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

impl UserPayload {
    fn of(ctx: &Context<'_>, outcome: Outcome<VisibleUser>) -> async_graphql::Result<Self> {
        forget_loaded(ctx);
        let (user, user_errors) = payload(outcome)?;
        Ok(Self { user: user.map(User::from), user_errors })
    }
}
