//! The GraphQL face: one schema, assembled from the slices, and the transports that speak it.

pub mod documents;
pub mod engine;
pub mod federation;
pub mod guard;
pub mod http;
pub mod ids;
pub mod loaders;
pub mod node;
pub mod pagination;
pub mod persisted;
pub mod scalars;
pub mod sse;
mod streaming;
pub mod trusted;
pub mod ws;

use std::sync::Arc;

use async_graphql::{
    Context, MergedObject, MergedSubscription, ObjectType, Request, Response, SDLExportOptions, Schema, SchemaBuilder,
};
use futures_util::{StreamExt, stream::BoxStream};

use self::loaders::Loaders;
use crate::{
    app::App,
    auth::{RequestContext, Viewer},
    config::Switch,
    error::Error,
};

/// The schema of the whole server.
#[derive(Clone)]
pub enum KithSchema {
    Plain(Schema<Query, Mutation, Subscription>),
    /// With what a federation router asks for.
    Subgraph(Schema<SubgraphQuery, Mutation, Subscription>),
}

/// A root of queries, made of those of the slices.
macro_rules! query_of {
    ($(#[$doc:meta])* $name:ident $(, $more:ty)*) => {
        $(#[$doc])*
        #[derive(MergedObject, Default)]
        #[graphql(name = "Query")]
        pub struct $name(
            crate::accounts::graphql::AccountQuery,
            node::NodeQuery,
            crate::users::graphql::UserQuery,
            crate::conversations::graphql::ConversationQuery,
            crate::invite_links::graphql::InviteLinkQuery,
            crate::messages::graphql::MessageQuery,
            $($more,)*
        );
    };
}

query_of! {
    /// Everything that can be asked.
    Query
}

query_of! {
    /// Everything that can be asked, also by a federation router.
    SubgraphQuery, federation::FederationQuery
}

/// Everything that can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(
    crate::accounts::graphql::AccountMutation,
    crate::invites::graphql::InviteMutation,
    crate::friends::graphql::FriendMutation,
    crate::groups::graphql::GroupMutation,
    crate::invite_links::graphql::InviteLinkMutation,
    crate::messages::graphql::MessageMutation,
    crate::conversations::graphql::ConversationMutation,
    crate::typing::graphql::TypingMutation,
);

/// Everything that can be listened to.
#[derive(MergedSubscription, Default)]
pub struct Subscription(
    crate::delivery::graphql::EventSubscription,
    crate::messages::graphql::MessageSubscription,
    crate::conversations::graphql::ConversationSubscription,
    crate::presence::graphql::PresenceSubscription,
    crate::typing::graphql::TypingSubscription,
);

/// The schema with all that resolvers ask the context for, except what is the request's.
pub fn build_schema(app: &Arc<App>) -> KithSchema {
    if app.config.documents.federation == Switch::On {
        KithSchema::Subgraph(configure(app, assemble()).finish())
    } else {
        KithSchema::Plain(configure(app, assemble()).finish())
    }
}

fn configure<Q: ObjectType + 'static>(
    app: &Arc<App>,
    schema: SchemaBuilder<Q, Mutation, Subscription>,
) -> SchemaBuilder<Q, Mutation, Subscription> {
    let mut schema = schema.data(Arc::clone(app));
    if !app.config.introspection() {
        schema = schema.disable_introspection();
    }
    if app.config.in_production() {
        // "Did you mean …?" would tell the schema a field at a time.
        schema = schema.disable_suggestions();
    }
    schema
}

impl KithSchema {
    /// Executes a query or a mutation.
    pub async fn execute(&self, request: Request) -> Response {
        match self {
            Self::Plain(schema) => schema.execute(request).await,
            Self::Subgraph(schema) => schema.execute(request).await,
        }
    }

    /// Executes a subscription.
    pub fn execute_stream(&self, request: Request) -> BoxStream<'static, Response> {
        match self {
            Self::Plain(schema) => schema.execute_stream(request).boxed(),
            Self::Subgraph(schema) => schema.execute_stream(request).boxed(),
        }
    }
}

/// The schema in the schema definition language, with descriptions.
pub fn sdl() -> String {
    let options = SDLExportOptions::new().include_specified_by().use_space_ident().indent_width(2);
    assemble::<Query>().finish().sdl_with_options(options)
}

fn assemble<Q: ObjectType + Default + 'static>() -> SchemaBuilder<Q, Mutation, Subscription> {
    // The guard has refused what nests deeper; the library's own walk would expand every spread again.
    Schema::build(Q::default(), Mutation::default(), Subscription::default())
        .register_output_type::<node::Node>()
        .register_output_type::<node::ConversationIsNode>()
        .limit_recursive_depth(2 * guard::MAX_NESTING)
}

pub fn app<'a>(ctx: &Context<'a>) -> &'a Arc<App> {
    ctx.data_unchecked::<Arc<App>>()
}

/// Who asks, and the request's id.
pub fn request<'a>(ctx: &Context<'a>) -> &'a RequestContext {
    ctx.data_unchecked::<RequestContext>()
}

/// The proof of being signed in, or UNAUTHENTICATED.
pub fn viewer(ctx: &Context<'_>) -> Result<Viewer, Error> {
    match *ctx.data_unchecked::<Arc<CurrentLoaders>>().signed_in.lock() {
        Some(viewer) => Ok(viewer),
        None => request(ctx).caller.viewer(),
    }
}

/// From here on the operation is that of who has just signed in with it, so that `login { viewer { … } }` can ask for
/// what needs a viewer.
pub fn act_as(ctx: &Context<'_>, viewer: Viewer) {
    *ctx.data_unchecked::<Arc<CurrentLoaders>>().signed_in.lock() = Some(viewer);
}

/// The loaders of this operation; of this event on a subscription.
pub fn loaders(ctx: &Context<'_>) -> Arc<Loaders> {
    ctx.data_unchecked::<Arc<CurrentLoaders>>().get()
}

/// Makes a mutation's payload show what the mutation changed: what was loaded before it is loaded again.
pub fn forget_loaded(ctx: &Context<'_>) {
    ctx.data_unchecked::<Arc<CurrentLoaders>>().renew();
}

/// The place of an operation's loaders: a subscription puts a fresh set in for each event.
pub struct CurrentLoaders {
    app: Arc<App>,
    current: parking_lot::Mutex<Arc<Loaders>>,
    /// Who has signed in with this very operation.
    signed_in: parking_lot::Mutex<Option<Viewer>>,
}

impl CurrentLoaders {
    pub fn new(app: &Arc<App>) -> Arc<Self> {
        let current = parking_lot::Mutex::new(Arc::new(Loaders::new(app.db.clone(), Arc::clone(&app.presence))));
        Arc::new(Self { app: Arc::clone(app), current, signed_in: parking_lot::Mutex::new(None) })
    }

    /// Forgets what was loaded.
    pub fn renew(&self) {
        *self.current.lock() = Arc::new(Loaders::new(self.app.db.clone(), Arc::clone(&self.app.presence)));
    }

    fn get(&self) -> Arc<Loaders> {
        Arc::clone(&self.current.lock())
    }
}
