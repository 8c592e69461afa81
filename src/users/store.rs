//! Statements about people.

use std::{collections::HashMap, sync::Arc};

use entity::{UserId, block, conversation, friendship, invite, member, user};
use sea_orm::{ColumnTrait, Condition, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};

use super::types::{Standing, Username, UsernamePrefix};
use crate::{
    db::Db,
    error::Error,
    graphql::{
        loaders::Key,
        pagination::{Direction, Page, PageRequest},
    },
};

impl Key for UserId {
    type Value = Arc<user::Model>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        let rows = user::Entity::find().filter(user::Column::Id.is_in(keys.iter().copied())).all(db.read()).await?;
        Ok(rows.into_iter().map(|row| (row.id, Arc::new(row))).collect())
    }
}

/// A person as another sees them; the key of what depends on who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StandingOf {
    pub viewer_id: UserId,
    pub other_id: UserId,
}

impl Key for StandingOf {
    type Value = Standing;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Standing>, Error> {
        let mut found = HashMap::with_capacity(keys.len());
        for (viewer_id, others) in by_viewer(keys.iter().map(|key| (key.viewer_id, key.other_id))) {
            for (other_id, standing) in standings(db, viewer_id, &others).await? {
                found.insert(Self { viewer_id, other_id }, standing);
            }
        }
        Ok(found)
    }
}

/// The direct conversation of two people, seen by one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirectWith {
    pub viewer_id: UserId,
    pub other_id: UserId,
}

impl Key for DirectWith {
    type Value = Arc<conversation::Model>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        use conversation::{Column, Entity};
        let mut found = HashMap::with_capacity(keys.len());
        for (viewer_id, others) in by_viewer(keys.iter().map(|key| (key.viewer_id, key.other_id))) {
            let as_low = Column::DirectLow.eq(viewer_id).and(Column::DirectHigh.is_in(others.iter().copied()));
            let as_high = Column::DirectHigh.eq(viewer_id).and(Column::DirectLow.is_in(others.iter().copied()));
            for row in Entity::find().filter(as_low.or(as_high)).all(db.read()).await? {
                let other_id = if row.direct_low == Some(viewer_id) { row.direct_high } else { row.direct_low };
                let Some(other_id) = other_id else { continue };
                found.insert(Self { viewer_id, other_id }, Arc::new(row));
            }
        }
        Ok(found)
    }
}

/// One group for an operation's one viewer.
pub(super) fn by_viewer(keys: impl Iterator<Item = (UserId, UserId)>) -> HashMap<UserId, Vec<UserId>> {
    let mut groups: HashMap<UserId, Vec<UserId>> = HashMap::new();
    for (viewer_id, other_id) in keys {
        groups.entry(viewer_id).or_default().push(other_id);
    }
    groups
}

/// How a viewer stands to others; to those left out, in no way.
async fn standings(db: &Db, viewer_id: UserId, others: &[UserId]) -> Result<HashMap<UserId, Standing>, Error> {
    let mut standings: HashMap<UserId, Standing> = HashMap::new();
    for other_id in blocked_among(db, viewer_id, others).await? {
        standings.entry(other_id).or_default().blocked = true;
    }
    for other_id in friends_among(db, viewer_id, others).await? {
        standings.entry(other_id).or_default().friend = true;
    }
    let pending = invites_between(viewer_id, others)
        .add(invite::Column::Kind.eq(invite::Kind::Friend))
        .add(invite::Column::Status.eq(invite::Status::Pending));
    for row in invite::Entity::find().filter(pending).all(db.read()).await? {
        if row.inviter_id == viewer_id {
            let Some(invitee_id) = row.invitee_id else { continue };
            standings.entry(invitee_id).or_default().invite_sent_until = Some(row.expires_at);
        } else {
            standings.entry(row.inviter_id).or_default().invite_received_until = Some(row.expires_at);
        }
    }
    Ok(standings)
}

/// Those among others whom the viewer has to do with: friends, people who share a conversation with them, people with
/// whom there is an invite that the viewer may see, and people whom they blocked.
pub(super) async fn acquainted_among(
    db: &Db,
    viewer_id: UserId,
    others: &[UserId],
) -> Result<Vec<(UserId, Acquaintance)>, Error> {
    let mut found = Vec::new();
    let mut add = |ids: Vec<UserId>, how| found.extend(ids.into_iter().map(|id| (id, how)));
    add(friends_among(db, viewer_id, others).await?, Acquaintance::Friend);
    add(sharing_conversation_among(db, viewer_id, others).await?, Acquaintance::SharesConversation);
    add(inviting_among(db, viewer_id, others).await?, Acquaintance::Invite);
    add(blocked_among(db, viewer_id, others).await?, Acquaintance::Blocked);
    Ok(found)
}

/// What a viewer can have to do with somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acquaintance {
    Friend,
    SharesConversation,
    Invite,
    Blocked,
}

async fn blocked_among(db: &Db, viewer_id: UserId, others: &[UserId]) -> Result<Vec<UserId>, Error> {
    use block::{Column, Entity};
    let query = Entity::find().select_only().column(Column::BlockedId);
    let query = query.filter(Column::BlockerId.eq(viewer_id)).filter(Column::BlockedId.is_in(others.iter().copied()));
    Ok(query.into_tuple().all(db.read()).await?)
}

async fn friends_among(db: &Db, viewer_id: UserId, others: &[UserId]) -> Result<Vec<UserId>, Error> {
    use friendship::{Column, Entity};
    let query = Entity::find().select_only().column(Column::FriendId);
    let query = query.filter(Column::UserId.eq(viewer_id)).filter(Column::FriendId.is_in(others.iter().copied()));
    Ok(query.into_tuple().all(db.read()).await?)
}

async fn sharing_conversation_among(db: &Db, viewer_id: UserId, others: &[UserId]) -> Result<Vec<UserId>, Error> {
    use member::{Column, Entity};
    let mine = Entity::find().select_only().column(Column::ConversationId).filter(Column::UserId.eq(viewer_id));
    let query = Entity::find()
        .select_only()
        .column(Column::UserId)
        .distinct()
        .filter(Column::UserId.is_in(others.iter().copied()))
        .filter(Column::ConversationId.in_subquery(mine.into_query()));
    Ok(query.into_tuple().all(db.read()).await?)
}

async fn inviting_among(db: &Db, viewer_id: UserId, others: &[UserId]) -> Result<Vec<UserId>, Error> {
    use invite::{Column, Entity};
    let rows: Vec<(UserId, Option<UserId>)> = Entity::find()
        .select_only()
        .columns([Column::InviterId, Column::InviteeId])
        .distinct()
        .filter(invites_between(viewer_id, others))
        .into_tuple()
        .all(db.read())
        .await?;
    let other = |(inviter_id, invitee_id)| if inviter_id == viewer_id { invitee_id } else { Some(inviter_id) };
    Ok(rows.into_iter().filter_map(other).collect())
}

/// Invites between the viewer and others that the viewer may see: not those of people whom they blocked.
fn invites_between(viewer_id: UserId, others: &[UserId]) -> Condition {
    use invite::Column;
    let sent = Column::InviterId.eq(viewer_id).and(Column::InviteeId.is_in(others.iter().copied()));
    let received = Column::InviteeId.eq(viewer_id).and(Column::InviterId.is_in(others.iter().copied()));
    Condition::all().add(sent.or(received.and(Column::Hidden.eq(false))))
}

/// The account with a name, whoever asks: a gate comes after it.
pub async fn by_username(db: &Db, username: &Username) -> Result<Option<Arc<user::Model>>, Error> {
    let row = user::Entity::find().filter(user::Column::Username.eq(username.as_str())).one(db.read()).await?;
    Ok(row.map(Arc::new))
}

/// Discoverable accounts whose names begin so, by name.
pub(super) async fn discoverable(
    db: &Db,
    prefix: &UsernamePrefix,
    request: &PageRequest<String>,
) -> Result<Page<Arc<user::Model>>, Error> {
    use user::{Column, Entity};
    // A range of the index over the bytes of the names, instead of LIKE with its wildcards.
    let Some((from, to)) = prefix.range() else { return Ok(request.page(Vec::new())) };
    let mut query = Entity::find()
        .filter(Column::Discoverable.eq(true))
        .filter(Column::Username.gte(from))
        .filter(Column::Username.lt(to))
        .limit(request.limit());
    if let Some(after) = &request.after {
        query = query.filter(Column::Username.gt(after.as_str()));
    }
    if let Some(before) = &request.before {
        query = query.filter(Column::Username.lt(before.as_str()));
    }
    let query = match request.direction {
        Direction::Forward => query.order_by_asc(Column::Username),
        Direction::Backward => query.order_by_desc(Column::Username),
    };
    let rows = query.all(db.read()).await?;
    Ok(request.page(rows.into_iter().map(Arc::new).collect()))
}
