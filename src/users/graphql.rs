//! People on the wire.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use entity::{UserId, user};

use super::{
    access::{self, VisibleUser},
    store::{self, DirectWith, StandingOf},
    types::{Relationship, Username, UsernamePrefix},
};
use crate::{
    connection,
    conversations::graphql::DirectConversation,
    error::Error,
    graphql::{
        app,
        ids::GlobalId,
        loaders,
        pagination::{Direction, PageArguments, encode_cursor, page_info_of},
        scalars::DateTime,
        viewer,
    },
    presence::{self, graphql::Presence},
    rate_limits::Action,
};

/// A person. What is private about them (email, phone, sessions) is only on their own `Viewer`.
#[derive(Clone, Debug)]
pub struct User(Arc<user::Model>);

impl User {
    /// For who may see the person: as the other party of something that the viewer may see, say.
    pub fn new(row: Arc<user::Model>) -> Self {
        Self(row)
    }

    /// The person that a row of something visible names.
    pub async fn load(ctx: &Context<'_>, user_id: UserId) -> Result<Self, Error> {
        let row = loaders(ctx).load(user_id).await?;
        row.map(Self).ok_or_else(|| Error::internal("a row names a user that does not exist"))
    }

    pub fn user_id(&self) -> UserId {
        self.0.id
    }
}

impl From<VisibleUser> for User {
    fn from(user: VisibleUser) -> Self {
        Self(user.into_row())
    }
}

/// A person. What is private about them (email, phone, sessions) is only on their own `Viewer`.
#[Object]
impl User {
    /// Opaque and stable, e.g. `user_01h455vb4pex5vsknk084sn02q`.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// Public and unique without regard to case: 3–32 of a–z, 0–9, `_` and `.`. Its owner can change it; remember the
    /// `id`. One that begins with `deleted.` is that of a deleted account.
    async fn username(&self) -> &str {
        &self.0.username
    }

    /// The name to show: 1–64 characters of any script, not unique.
    async fn display_name(&self) -> &str {
        &self.0.display_name
    }

    /// When the account was made.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// How the viewer stands to this user.
    async fn relationship(&self, ctx: &Context<'_>) -> async_graphql::Result<Relationship> {
        let viewer = viewer(ctx)?;
        if viewer.user_id() == self.0.id {
            return Ok(Relationship::Myself);
        }
        let key = StandingOf { viewer_id: viewer.user_id(), other_id: self.0.id };
        let standing = loaders(ctx).load(key).await?.unwrap_or_default();
        Ok(standing.relationship(app(ctx).clock.now()))
    }

    /// Whether they are there. Null unless this is the viewer, a friend, or someone who shares a group with the viewer,
    /// and for whom the viewer has blocked. Being blocked does not show: somebody who is away looks the same.
    async fn presence(&self, ctx: &Context<'_>) -> Option<async_graphql::Result<Presence>> {
        presence::graphql::of_user(ctx, self).await.map_err(Into::into).transpose()
    }

    /// The 1-to-1 conversation with the viewer; null until they are friends. It stays when the friendship ends: what
    /// was written can be read, and `viewerCanSend` is false.
    async fn conversation(&self, ctx: &Context<'_>) -> Option<async_graphql::Result<DirectConversation>> {
        self.load_conversation(ctx).await.map_err(Into::into).transpose()
    }
}

impl User {
    async fn load_conversation(&self, ctx: &Context<'_>) -> Result<Option<DirectConversation>, Error> {
        let viewer = viewer(ctx)?;
        if viewer.user_id() == self.0.id {
            return Ok(None);
        }
        let key = DirectWith { viewer_id: viewer.user_id(), other_id: self.0.id };
        Ok(loaders(ctx).load(key).await?.map(DirectConversation::new))
    }
}

connection!(UserConnection, UserEdge, User);

impl UserConnection {
    /// A page of people, each with the cursor of its place.
    pub fn new(edges: Vec<UserEdge>, has_next_page: bool, has_previous_page: bool) -> Self {
        let page_info = page_info_of(has_next_page, has_previous_page, &edges, |edge| &edge.cursor);
        Self { edges, page_info }
    }
}

/// Finding people.
#[derive(Default)]
pub struct UserQuery;

#[Object]
impl UserQuery {
    /// A person by exact username, in any case: the viewer, friends, people who share a conversation with the viewer,
    /// people with whom there is an invite, and accounts that opted in to discovery; null for the rest and for what is
    /// no username. Rate limited together with `searchUsers`.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The whole username, e.g. `ann`.")] username: String,
    ) -> Option<async_graphql::Result<User>> {
        user(ctx, &username).await.map_err(Into::into).transpose()
    }

    /// People whose username begins with `query`, by username. Finds only accounts that opted in to discovery. Rate
    /// limited: wait until the person has stopped typing.
    async fn search_users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The beginning of a username in any case, 1–32 characters. There are no wildcards.")]
        query: String,
        #[graphql(desc = "Size of the page, at most `server.limits.maxPageSize`; 25 by default.")] first: Option<i32>,
        #[graphql(desc = "Continues after this cursor.")] after: Option<String>,
    ) -> async_graphql::Result<UserConnection> {
        let viewer = viewer(ctx)?;
        let prefix = UsernamePrefix::parse(&query).map_err(Error::bad_input)?;
        let request = PageArguments::forward(first, after).resolve(Direction::Forward)?;
        let app = app(ctx);
        app.rate_limits.check(Action::Discovery, &viewer.user_id().0.to_string()).await?;
        let page = store::discoverable(&app.db, &prefix, &request).await?;
        let edges = page.rows.into_iter().map(|row| UserEdge { cursor: encode_cursor(&row.username), node: User(row) });
        Ok(UserConnection::new(edges.collect(), page.has_next_page, page.has_previous_page))
    }
}

async fn user(ctx: &Context<'_>, username: &str) -> Result<Option<User>, Error> {
    let viewer = viewer(ctx)?;
    let app = app(ctx);
    app.rate_limits.check(Action::Discovery, &viewer.user_id().0.to_string()).await?;
    let Ok(username) = Username::parse(username) else { return Ok(None) };
    let Some(row) = store::by_username(&app.db, &username).await? else { return Ok(None) };
    Ok(access::visible_rows(app, &viewer, vec![row]).await?.pop().map(User::from))
}
