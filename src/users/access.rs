//! Whom a viewer may see.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use entity::{UserId, account, user};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::LockType,
};

use super::{
    store::{self, Acquaintance},
    types::Username,
};
use crate::{app::App, auth::Viewer, db::Db, error::Error, events::Transaction, graphql::loaders::Key};

/// What is known of a viewer and somebody, for [`may_see`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The viewer themselves.
    pub myself: bool,
    /// They opted in to discovery.
    pub discoverable: bool,
    pub friend: bool,
    /// Also one that is closed: former friends keep their history.
    pub shares_conversation: bool,
    /// There is or was an invite between them that the viewer may see.
    pub invite: bool,
    /// The viewer blocked them, and finds them among the blocked.
    pub blocked: bool,
}

/// Whether the viewer may know of the person behind an id or a name. To all others the person does not exist. That the
/// person has blocked the viewer is no fact here: it would tell.
pub fn may_see(facts: Facts) -> bool {
    let Facts { myself, discoverable, friend, shares_conversation, invite, blocked } = facts;
    myself || discoverable || friend || shares_conversation || invite || blocked
}

/// Somebody whom the viewer may see. Only this gate makes one.
#[derive(Clone, Debug)]
pub struct VisibleUser(Arc<user::Model>);

impl VisibleUser {
    pub fn id(&self) -> UserId {
        self.0.id
    }

    pub fn into_row(self) -> Arc<user::Model> {
        self.0
    }
}

/// A token outlives its account by some minutes, and a request in flight by a moment.
pub const GONE: Error = Error::Unauthenticated("The account does not exist any more.");

/// People who have an account, and keep it until the transaction ends: who deletes theirs waits. Only [`hold`] makes
/// one.
#[derive(Debug)]
pub struct Held(HashSet<UserId>);

impl Held {
    pub fn has(&self, user_id: UserId) -> bool {
        self.0.contains(&user_id)
    }

    /// For the viewer, and for whom the verb writes: [`GONE`] if they are.
    pub fn require(&self, user_id: UserId) -> Result<(), Error> {
        if self.has(user_id) { Ok(()) } else { Err(GONE) }
    }
}

/// Those among people who still have an account. Whoever writes a row that makes somebody a friend, an invitee, a member
/// or signed in holds them: else it could come to be just after all such rows of theirs were deleted. To be held before
/// any other lock: a deletion holds the person first, then conversations.
pub async fn hold(tx: &Transaction<'_>, user_ids: &[UserId]) -> Result<Held, Error> {
    hold_in(tx.db(), user_ids).await
}

/// As [`hold`], in a transaction that raises no events.
pub async fn hold_in(tx: &DatabaseTransaction, user_ids: &[UserId]) -> Result<Held, Error> {
    use account::{Column, Entity};
    let query = Entity::find().select_only().column(Column::UserId).filter(Column::UserId.is_in(user_ids.to_vec()));
    let query = query.order_by_asc(Column::UserId).lock(LockType::KeyShare);
    Ok(Held(query.into_tuple::<UserId>().all(tx).await?.into_iter().collect()))
}

/// Those among the ids whom the viewer may see, by a constant number of statements.
pub async fn visible(app: &App, viewer: &Viewer, user_ids: &[UserId]) -> Result<HashMap<UserId, VisibleUser>, Error> {
    let rows = user::Entity::find().filter(user::Column::Id.is_in(user_ids.iter().copied()));
    let rows = rows.all(app.db.read()).await?.into_iter().map(Arc::new).collect();
    Ok(visible_rows(app, viewer, rows).await?.into_iter().map(|user| (user.id(), user)).collect())
}

/// The person behind an id, if the viewer may see them.
pub async fn visible_user(app: &App, viewer: &Viewer, user_id: UserId) -> Result<Option<VisibleUser>, Error> {
    Ok(visible(app, viewer, &[user_id]).await?.remove(&user_id))
}

/// The person with a name, if the viewer may see them.
pub async fn visible_by_name(app: &App, viewer: &Viewer, name: &Username) -> Result<Option<VisibleUser>, Error> {
    let found = store::by_username(&app.db, name).await?;
    Ok(visible_rows(app, viewer, found.into_iter().collect()).await?.pop())
}

/// Lets through whom the viewer may see.
pub(super) async fn visible_rows(
    app: &App,
    viewer: &Viewer,
    rows: Vec<Arc<user::Model>>,
) -> Result<Vec<VisibleUser>, Error> {
    seen_by(&app.db, viewer.user_id(), rows).await
}

async fn seen_by(db: &Db, viewer_id: UserId, rows: Vec<Arc<user::Model>>) -> Result<Vec<VisibleUser>, Error> {
    let mut facts: HashMap<UserId, Facts> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let known = Facts { myself: row.id == viewer_id, discoverable: row.discoverable, ..Facts::default() };
        facts.insert(row.id, known);
    }
    let in_doubt: Vec<UserId> = facts.iter().filter(|(_, facts)| !may_see(**facts)).map(|(id, _)| *id).collect();
    if !in_doubt.is_empty() {
        for (user_id, how) in store::acquainted_among(db, viewer_id, &in_doubt).await? {
            let facts = facts.entry(user_id).or_default();
            match how {
                Acquaintance::Friend => facts.friend = true,
                Acquaintance::SharesConversation => facts.shares_conversation = true,
                Acquaintance::Invite => facts.invite = true,
                Acquaintance::Blocked => facts.blocked = true,
            }
        }
    }
    let seen = |row: &Arc<user::Model>| facts.get(&row.id).is_some_and(|facts| may_see(*facts));
    Ok(rows.into_iter().filter(seen).map(VisibleUser).collect())
}

/// Somebody as a viewer may see them or not; the key of [`VisibleUser`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    pub viewer_id: UserId,
    pub user_id: UserId,
}

impl Key for Seen {
    type Value = VisibleUser;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, VisibleUser>, Error> {
        let mut found = HashMap::with_capacity(keys.len());
        for (viewer_id, user_ids) in store::by_viewer(keys.iter().map(|key| (key.viewer_id, key.user_id))) {
            let rows = user::Entity::find().filter(user::Column::Id.is_in(user_ids)).all(db.read()).await?;
            for user in seen_by(db, viewer_id, rows.into_iter().map(Arc::new).collect()).await? {
                found.insert(Self { viewer_id, user_id: user.id() }, user);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_is_enough_and_without_one_nobody_is_there() {
        let none = Facts::default();
        for (facts, visible) in [
            (none, false),
            (Facts { myself: true, ..none }, true),
            (Facts { discoverable: true, ..none }, true),
            (Facts { friend: true, ..none }, true),
            (Facts { shares_conversation: true, ..none }, true),
            (Facts { invite: true, ..none }, true),
            (Facts { blocked: true, ..none }, true),
        ] {
            assert_eq!(may_see(facts), visible, "{facts:?}");
        }
    }
}
