//! Presence on the wire.

use std::{collections::HashSet, sync::Arc};

use async_graphql::{Context, Enum, ID, SimpleObject, Subscription};
use entity::{Timestamp, UserId};
use futures_util::Stream;

use super::{
    MAX_NAMED, State,
    access::{Shown, shown},
    store::Sight,
};
use crate::{
    delivery::feed::{Feed, Root, Source},
    error::Error,
    graphql::{ids::decode_argument, loaders, scalars::DateTime, viewer},
    users::graphql::User,
};

/// Whether somebody is there.
#[derive(Clone, SimpleObject)]
pub struct Presence {
    /// Who.
    user: User,
    /// Whether a connection of theirs is open, on any device.
    status: PresenceStatus,
    /// When their last connection closed; null while they are online, and if they were never seen.
    last_seen_at: Option<DateTime>,
}

impl Presence {
    /// For who may see it.
    pub fn new(user: User, state: State) -> Self {
        let (status, last_seen_at) = match state {
            State::Online => (PresenceStatus::Online, None),
            State::Offline(since) => (PresenceStatus::Offline, since.map(Into::into)),
        };
        Self { user, status, last_seen_at }
    }
}

impl Presence {
    /// The same person as if they had left then.
    pub fn away_since(&self, since: Timestamp) -> Self {
        Self::new(self.user.clone(), State::Offline(Some(since)))
    }

    pub fn is_online(&self) -> bool {
        self.status == PresenceStatus::Online
    }
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum PresenceStatus {
    /// A connection is open, or was so a moment ago: a reload is no absence.
    Online,
    /// No connection is open.
    Offline,
}

/// Somebody's presence, if the viewer may see it.
pub async fn of_user(ctx: &Context<'_>, user: &User) -> Result<Option<Presence>, Error> {
    let viewer_id = viewer(ctx)?.user_id();
    let loaders = loaders(ctx);
    let sight = Sight { viewer_id, user_id: user.user_id() };
    let shown = shown(loaders.load(sight).await?.unwrap_or_default());
    if shown == Shown::Nothing {
        return Ok(None);
    }
    let state = loaders.presence(user.user_id()).await?;
    Ok(shown.of(state).map(|state| Presence::new(user.clone(), state)))
}

#[derive(Default)]
pub struct PresenceSubscription;

#[Subscription]
impl PresenceSubscription {
    /// Presence of friends and of people in shared groups, or of those named: the current state first, one event for
    /// each person, then each change. Whom the viewer may not see (see `User.presence`) is left out without a word,
    /// and a right that ends, ends it. Changes are gathered for a moment: who came and went meanwhile is told as they
    /// are then. Groups of more than 500 members do not tell their members of one another by themselves: name those who are on
    /// the screen.
    async fn presence(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "`user_…`, at most 100. Without it: all friends, and the people in shared groups.")]
        user_ids: Option<Vec<ID>>,
    ) -> async_graphql::Result<impl Stream<Item = Presence>> {
        let feed = Feed::of(ctx)?;
        feed.admit(async {
            viewer(ctx)?;
            Ok(Source::Presence { named: user_ids.as_deref().map(named).transpose()? })
        })
        .await?;
        Ok(feed.roots(Root::into_presence))
    }
}

fn named(ids: &[ID]) -> Result<Arc<HashSet<UserId>>, Error> {
    if ids.len() > MAX_NAMED {
        return Err(Error::bad_input(format!("`userIds` has more than {MAX_NAMED} ids.")));
    }
    let ids: Result<HashSet<UserId>, Error> = ids.iter().map(|id| decode_argument(id, "userIds")).collect();
    Ok(Arc::new(ids?))
}
