//! The GraphQL face: one schema, assembled from the slices, and the transports that speak it.

pub mod documents;
pub mod engine;
pub mod guard;
pub mod http;
pub mod ids;
pub mod loaders;
pub mod node;
pub mod pagination;
pub mod scalars;
pub mod sse;
mod streaming;
pub mod ws;

use std::sync::Arc;

use async_graphql::{Context, MergedObject, MergedSubscription, SDLExportOptions, Schema, SchemaBuilder};

use self::loaders::Loaders;
use crate::{
    app::App,
    auth::{RequestContext, Viewer},
    error::Error,
};

/// The schema of the whole server.
pub type KithSchema = Schema<Query, Mutation, Subscription>;

/// Everything that can be asked.
#[derive(MergedObject, Default)]
pub struct Query(
    crate::accounts::graphql::AccountQuery,
    node::NodeQuery,
    crate::users::graphql::UserQuery,
    crate::conversations::graphql::ConversationQuery,
);

/// Everything that can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(
    crate::accounts::graphql::AccountMutation,
    crate::exports::graphql::ExportMutation,
    crate::invites::graphql::InviteMutation,
    crate::friends::graphql::FriendMutation,
    crate::messages::graphql::MessageMutation,
    crate::conversations::graphql::ConversationMutation,
);

/// Everything that can be listened to.
#[derive(MergedSubscription, Default)]
pub struct Subscription(
    crate::delivery::graphql::EventSubscription,
    crate::messages::graphql::MessageSubscription,
    crate::conversations::graphql::ConversationSubscription,
);

/// The schema with all that resolvers ask the context for, except what is the request's.
pub fn build_schema(app: &Arc<App>) -> KithSchema {
    let mut schema = assemble().data(Arc::clone(app));
    if !app.config.introspection() {
        schema = schema.disable_introspection();
    }
    if app.config.in_production() {
        // "Did you mean …?" would tell the schema a field at a time.
        schema = schema.disable_suggestions();
    }
    schema.finish()
}

/// The schema in the schema definition language, with descriptions.
pub fn sdl() -> String {
    let options = SDLExportOptions::new().include_specified_by().use_space_ident().indent_width(2);
    assemble().finish().sdl_with_options(options)
}

fn assemble() -> SchemaBuilder<Query, Mutation, Subscription> {
    // The guard has refused what nests deeper; the library's own walk would expand every spread again.
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
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
        let current = parking_lot::Mutex::new(Arc::new(Loaders::new(app.db.clone())));
        Arc::new(Self { app: Arc::clone(app), current, signed_in: parking_lot::Mutex::new(None) })
    }

    /// Forgets what was loaded.
    pub fn renew(&self) {
        *self.current.lock() = Arc::new(Loaders::new(self.app.db.clone()));
    }

    fn get(&self) -> Arc<Loaders> {
        Arc::clone(&self.current.lock())
    }
}
