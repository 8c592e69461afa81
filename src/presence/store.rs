//! Statements about who may see whom, and about when people were last seen.

use std::collections::{HashMap, HashSet};

use entity::{ConversationId, Timestamp, UserId, block, conversation, friendship, last_seen, member};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, ExprTrait, FromQueryResult, JoinType, QueryFilter, QuerySelect, QueryTrait,
    RelationTrait, Select,
    sea_query::{Alias, Expr, OnConflict},
};

use super::access::{Facts, Shown, shown};
use crate::{db::Db, error::Error, events::Transaction, graphql::loaders::Key, users::access::hold_in};

/// Members of a group above which it does not tell its members of one another by itself.
pub const MAX_TELLING_GROUP: u64 = 500;
/// People whom one statement asks about.
pub const CHUNK: usize = 500;

/// A person as another may see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    pub viewer_id: UserId,
    pub user_id: UserId,
}

impl Key for Sight {
    type Value = Facts;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Facts>, Error> {
        // An operation has one viewer.
        let mut by_viewer: HashMap<UserId, Vec<UserId>> = HashMap::new();
        for key in keys {
            by_viewer.entry(key.viewer_id).or_default().push(key.user_id);
        }
        let mut found = HashMap::with_capacity(keys.len());
        for (viewer_id, user_ids) in by_viewer {
            for (user_id, facts) in facts(db, viewer_id, &user_ids).await? {
                found.insert(Self { viewer_id, user_id }, facts);
            }
        }
        Ok(found)
    }
}

/// What there is between a viewer and others, by three statements.
async fn facts(db: &Db, viewer_id: UserId, user_ids: &[UserId]) -> Result<HashMap<UserId, Facts>, Error> {
    let mut facts: HashMap<UserId, Facts> = HashMap::with_capacity(user_ids.len());
    facts.entry(viewer_id).or_default().myself = true;
    let friends: Vec<UserId> = friendship::Entity::find()
        .select_only()
        .column(friendship::Column::FriendId)
        .filter(friendship::Column::UserId.eq(viewer_id))
        .filter(friendship::Column::FriendId.is_in(user_ids.iter().copied()))
        .into_tuple()
        .all(db.read())
        .await?;
    for friend_id in friends {
        facts.entry(friend_id).or_default().friend = true;
    }
    let mates: Vec<UserId> = member::Entity::find()
        .select_only()
        .column(member::Column::UserId)
        .distinct()
        .filter(member::Column::UserId.is_in(user_ids.iter().copied()))
        .filter(member::Column::ConversationId.in_subquery(groups_of(viewer_id).into_query()))
        .into_tuple()
        .all(db.read())
        .await?;
    for mate_id in mates {
        facts.entry(mate_id).or_default().shares_group = true;
    }
    for Block { blocker_id, blocked_id, since } in blocks_between(db, &[viewer_id], user_ids).await? {
        if blocker_id == viewer_id {
            facts.entry(blocked_id).or_default().blocks = true;
        } else {
            facts.entry(blocker_id).or_default().blocked_since = Some(since);
        }
    }
    Ok(facts)
}

/// Those among people of whose presence a viewer is shown something, in the order given, and what.
pub async fn visible_among(db: &Db, viewer_id: UserId, user_ids: &[UserId]) -> Result<Vec<(UserId, Shown)>, Error> {
    let facts = facts(db, viewer_id, user_ids).await?;
    let shown = user_ids.iter().map(|id| (*id, shown(facts.get(id).copied().unwrap_or_default())));
    Ok(shown.filter(|(_, shown)| *shown != Shown::Nothing).collect())
}

/// The groups that somebody is in.
fn groups_of(user_id: UserId) -> Select<member::Entity> {
    member::Entity::find()
        .select_only()
        .column(member::Column::ConversationId)
        .join(JoinType::InnerJoin, member::Relation::Conversation.def())
        .filter(member::Column::UserId.eq(user_id))
        .filter(conversation::Column::Kind.eq(conversation::Kind::Group))
        .filter(conversation::Column::DeletedAt.is_null())
}

/// Somebody has blocked somebody.
#[derive(FromQueryResult)]
struct Block {
    blocker_id: UserId,
    blocked_id: UserId,
    #[sea_orm(from_alias = "created_at")]
    since: Timestamp,
}

/// Blocks between some people and others, whoever blocked whom.
async fn blocks_between(db: &Db, some: &[UserId], others: &[UserId]) -> Result<Vec<Block>, Error> {
    use block::Column;
    let between = |blockers: &[UserId], blocked: &[UserId]| {
        Column::BlockerId.is_in(blockers.iter().copied()).and(Column::BlockedId.is_in(blocked.iter().copied()))
    };
    Ok(block::Entity::find()
        .filter(Condition::any().add(between(some, others)).add(between(others, some)))
        .into_model()
        .all(db.read())
        .await?)
}

/// A person's friends and the people in their groups, but for groups that are too large to tell: at most `limit`, and
/// what is shown of each.
pub async fn acquaintances(db: &Db, user_id: UserId, limit: usize) -> Result<Vec<(UserId, Shown)>, Error> {
    let friends: Vec<UserId> = friendship::Entity::find()
        .select_only()
        .column(friendship::Column::FriendId)
        .filter(friendship::Column::UserId.eq(user_id))
        .limit(limit as u64)
        .into_tuple()
        .all(db.read())
        .await?;
    let groups: Vec<ConversationId> = groups_of(user_id).into_tuple().all(db.read()).await?;
    let mut people: Vec<UserId> = friends;
    let mut known: HashSet<UserId> = people.iter().copied().chain([user_id]).collect();
    for chunk in groups.chunks(CHUNK) {
        let telling = telling_among(db, chunk).await?;
        if telling.is_empty() || people.len() >= limit {
            continue;
        }
        let mates: Vec<UserId> = member::Entity::find()
            .select_only()
            .column(member::Column::UserId)
            .distinct()
            .filter(member::Column::ConversationId.is_in(telling))
            .limit(2 * limit as u64)
            .into_tuple()
            .all(db.read())
            .await?;
        people.extend(mates.into_iter().filter(|id| known.insert(*id)));
    }
    people.truncate(limit);
    let mut visible = Vec::with_capacity(people.len());
    for chunk in people.chunks(CHUNK) {
        let mut blocked: HashMap<UserId, Shown> = HashMap::new();
        for Block { blocker_id, blocked_id, since } in blocks_between(db, &[user_id], chunk).await? {
            if blocker_id == user_id {
                blocked.insert(blocked_id, Shown::Nothing);
            } else {
                blocked.entry(blocker_id).or_insert(Shown::AwaySince(since));
            }
        }
        let shown = chunk.iter().map(|id| (*id, blocked.get(id).copied().unwrap_or(Shown::Truly)));
        visible.extend(shown.filter(|(_, shown)| *shown != Shown::Nothing));
    }
    Ok(visible)
}

/// Those among groups that are not too large to tell their members of one another.
async fn telling_among(db: &Db, groups: &[ConversationId]) -> Result<HashSet<ConversationId>, Error> {
    use member::Column;
    let telling: Vec<ConversationId> = member::Entity::find()
        .select_only()
        .column(Column::ConversationId)
        .filter(Column::ConversationId.is_in(groups.iter().copied()))
        .group_by(Column::ConversationId)
        .having(Column::UserId.count().lte(MAX_TELLING_GROUP))
        .into_tuple()
        .all(db.read())
        .await?;
    Ok(telling.into_iter().collect())
}

/// The members of a group that tells them of one another; none of one that does not, or is gone.
pub async fn members_who_are_told(db: &Db, group_id: ConversationId) -> Result<Option<Vec<UserId>>, Error> {
    if telling_among(db, &[group_id]).await?.is_empty() {
        return Ok(None);
    }
    let members = member::Entity::find().select_only().column(member::Column::UserId);
    Ok(Some(members.filter(member::Column::ConversationId.eq(group_id)).into_tuple().all(db.read()).await?))
}

/// Why a watcher hears of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hears {
    pub viewer_id: UserId,
    /// A friend, or in a group that tells. Others may see the person too and hear of them when they named them.
    pub unasked: bool,
    /// Since when the person has blocked them: to them the person is away since then.
    pub blocked_since: Option<Timestamp>,
}

/// Who, among viewers, may see each of some people now. Asks a number of statements that does not depend on how many
/// people, viewers and groups there are, and reads rows that grow with the people and their groups, never with pairs.
pub async fn audience(
    db: &Db,
    people: &[UserId],
    is_viewer: &(dyn Fn(UserId) -> bool + Sync),
    naming: &HashSet<UserId>,
) -> Result<HashMap<UserId, Vec<Hears>>, Error> {
    let mut audience: HashMap<UserId, HashMap<UserId, Hears>> = HashMap::with_capacity(people.len());
    let mut hears = |person: UserId, viewer_id: UserId, unasked: bool| {
        let viewers = audience.entry(person).or_default();
        let hears = viewers.entry(viewer_id).or_insert(Hears { viewer_id, unasked, blocked_since: None });
        hears.unasked |= unasked;
    };
    for person in people.iter().filter(|id| naming.contains(id)) {
        hears(*person, *person, false);
    }
    let friends: Vec<(UserId, UserId)> = friendship::Entity::find()
        .select_only()
        .columns([friendship::Column::UserId, friendship::Column::FriendId])
        .filter(friendship::Column::UserId.is_in(people.iter().copied()))
        .into_tuple()
        .all(db.read())
        .await?;
    for (person, friend_id) in friends.into_iter().filter(|(_, friend_id)| is_viewer(*friend_id)) {
        hears(person, friend_id, true);
    }
    let memberships: Vec<(ConversationId, UserId)> = member::Entity::find()
        .select_only()
        .columns([member::Column::ConversationId, member::Column::UserId])
        .join(JoinType::InnerJoin, member::Relation::Conversation.def())
        .filter(member::Column::UserId.is_in(people.iter().copied()))
        .filter(conversation::Column::Kind.eq(conversation::Kind::Group))
        .filter(conversation::Column::DeletedAt.is_null())
        .into_tuple()
        .all(db.read())
        .await?;
    let mut people_of: HashMap<ConversationId, Vec<UserId>> = HashMap::new();
    for (group_id, person) in memberships {
        people_of.entry(group_id).or_default().push(person);
    }
    let groups: Vec<ConversationId> = people_of.keys().copied().collect();
    for chunk in groups.chunks(CHUNK) {
        let telling = telling_among(db, chunk).await?;
        let silent: Vec<ConversationId> = chunk.iter().copied().filter(|id| !telling.contains(id)).collect();
        let mut wanted = Condition::any().add(member::Column::ConversationId.is_in(telling.iter().copied()));
        if !silent.is_empty() && !naming.is_empty() {
            // Large: only those who named somebody are looked for in them.
            wanted = wanted.add(
                member::Column::ConversationId
                    .is_in(silent)
                    .and(member::Column::UserId.is_in(naming.iter().copied().take(MAX_NAMING))),
            );
        }
        let members: Vec<(ConversationId, UserId)> = member::Entity::find()
            .select_only()
            .columns([member::Column::ConversationId, member::Column::UserId])
            .filter(wanted)
            .into_tuple()
            .all(db.read())
            .await?;
        for (group_id, viewer_id) in members.into_iter().filter(|(_, viewer_id)| is_viewer(*viewer_id)) {
            for person in people_of.get(&group_id).into_iter().flatten().filter(|person| **person != viewer_id) {
                hears(*person, viewer_id, telling.contains(&group_id));
            }
        }
    }
    if !people_of.is_empty() {
        let blocks: Vec<Block> = block::Entity::find()
            .filter(
                block::Column::BlockerId
                    .is_in(people.iter().copied())
                    .or(block::Column::BlockedId.is_in(people.iter().copied())),
            )
            .into_model()
            .all(db.read())
            .await?;
        for Block { blocker_id, blocked_id, since } in blocks {
            if let Some(viewers) = audience.get_mut(&blocked_id) {
                viewers.remove(&blocker_id);
            }
            if let Some(hears) = audience.get_mut(&blocker_id).and_then(|viewers| viewers.get_mut(&blocked_id)) {
                hears.blocked_since = Some(since);
            }
        }
    }
    Ok(audience.into_iter().map(|(person, viewers)| (person, viewers.into_values().collect())).collect())
}

/// People who name others, and who are looked for in large groups at once; the bound of a statement's values.
const MAX_NAMING: usize = 10_000;

/// When each of some people was last seen; those who never were are left out.
pub async fn last_seen(db: &Db, user_ids: &[UserId]) -> Result<HashMap<UserId, Timestamp>, Error> {
    if user_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows =
        last_seen::Entity::find().filter(last_seen::Column::UserId.is_in(user_ids.iter().copied())).all(db.read());
    Ok(rows.await?.into_iter().map(|row| (row.user_id, row.at)).collect())
}

/// For who deletes their account, whose account is locked: forgets when they were seen.
pub async fn forget(tx: &Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    last_seen::Entity::delete_by_id(user_id).exec(tx.db()).await?;
    Ok(())
}

/// Says when people were seen; never earlier than what is known. Of who has deleted their account, nothing.
pub async fn save_last_seen(db: &Db, seen: &[(UserId, Timestamp)]) -> Result<(), Error> {
    for chunk in seen.chunks(CHUNK) {
        // In one order everywhere, so that processes do not wait for each other in a circle.
        let latest: std::collections::BTreeMap<UserId, Timestamp> =
            chunk.iter().copied().fold(Default::default(), |mut latest, (id, at)| {
                let known = latest.entry(id).or_insert(at);
                *known = Ord::max(*known, at);
                latest
            });
        let tx = db.begin().await?;
        let held = hold_in(&tx, &latest.keys().copied().collect::<Vec<_>>()).await?;
        let latest: Vec<_> = latest.into_iter().filter(|(user_id, _)| held.has(*user_id)).collect();
        if latest.is_empty() {
            continue;
        }
        let rows =
            latest.into_iter().map(|(user_id, at)| last_seen::ActiveModel { user_id: Set(user_id), at: Set(at) });
        let excluded = Expr::col((Alias::new("excluded"), last_seen::Column::At));
        let conflict = OnConflict::column(last_seen::Column::UserId)
            .update_column(last_seen::Column::At)
            .action_and_where(excluded.gt(Expr::col((last_seen::Entity, last_seen::Column::At))))
            .to_owned();
        last_seen::Entity::insert_many(rows).on_conflict(conflict).exec_without_returning(&tx).await?;
        tx.commit().await?;
    }
    Ok(())
}
