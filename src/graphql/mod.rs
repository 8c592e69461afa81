//! The GraphQL face: one schema, assembled from the slices, and the transports that speak it.

pub mod documents;
pub mod engine;
pub mod guard;
pub mod ids;
pub mod loaders;
pub mod pagination;
pub mod scalars;

use std::sync::Arc;

use async_graphql::{Context, MergedObject, MergedSubscription, Schema};

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
pub struct Query(crate::users::graphql::UserQuery, crate::accounts::graphql::AccountQuery);

/// Everything that can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(crate::users::graphql::UserMutation, crate::accounts::graphql::AccountMutation);

/// Everything that can be listened to.
#[derive(MergedSubscription, Default)]
pub struct Subscription(crate::messages::graphql::MessageSubscription);

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
