//! Conversations and members in the database.

use std::{collections::HashMap, sync::Arc};

use entity::{ConversationId, UserId, account, conversation, member};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, JoinType, Order, QueryFilter, QueryOrder,
    QuerySelect, RelationTrait,
    sea_query::{Alias, Expr, Query, SelectStatement, SimpleExpr, UnionType},
};
use uuid::Uuid;

use crate::{
    db::{Db, MAX_PARTS},
    error::Error,
    graphql::{
        loaders::Key,
        pagination::{Direction, Page, PageRequest},
    },
};

impl Key for ConversationId {
    type Value = Arc<conversation::Model>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        let rows = conversation::Entity::find()
            .filter(conversation::Column::Id.is_in(keys.iter().copied()))
            .all(db.read())
            .await?;
        Ok(rows.into_iter().map(|row| (row.id, Arc::new(row))).collect())
    }
}

/// Somebody's place in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
}

impl Key for Membership {
    type Value = Arc<member::Model>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        use member::Column;
        let mut found = HashMap::new();
        for keys in keys.chunks(MAX_PARTS) {
            let wanted = keys.iter().fold(Condition::any(), |any, key| {
                any.add(Column::ConversationId.eq(key.conversation_id).and(Column::UserId.eq(key.user_id)))
            });
            for row in member::Entity::find().filter(wanted).all(db.read()).await? {
                found.insert(Self { conversation_id: row.conversation_id, user_id: row.user_id }, Arc::new(row));
            }
        }
        Ok(found)
    }
}

/// How many members a conversation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberCount(pub ConversationId);

impl Key for MemberCount {
    type Value = i64;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        let counts: Vec<(ConversationId, i64)> = member::Entity::find()
            .select_only()
            .column(member::Column::ConversationId)
            .column_as(member::Column::UserId.count(), "n_members")
            .filter(member::Column::ConversationId.is_in(keys.iter().map(|key| key.0)))
            .group_by(member::Column::ConversationId)
            .into_tuple()
            .all(db.read())
            .await?;
        Ok(counts.into_iter().map(|(id, count)| (Self(id), count)).collect())
    }
}

/// The direct conversation of two people, whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirectPair {
    low: UserId,
    high: UserId,
}

impl DirectPair {
    pub fn of(one: UserId, other: UserId) -> Self {
        if one < other { Self { low: one, high: other } } else { Self { low: other, high: one } }
    }

    pub fn low(self) -> UserId {
        self.low
    }

    pub fn high(self) -> UserId {
        self.high
    }
}

/// A page of a conversation's members, by user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberPage {
    pub conversation_id: ConversationId,
    pub backward: bool,
    pub limit: u64,
    pub after: Option<UserId>,
    pub before: Option<UserId>,
}

impl MemberPage {
    pub fn of(conversation_id: ConversationId, page: &PageRequest<Uuid>) -> Self {
        Self {
            conversation_id,
            backward: page.direction == Direction::Backward,
            limit: page.limit(),
            after: page.after.map(UserId),
            before: page.before.map(UserId),
        }
    }

    fn select(&self) -> SelectStatement {
        use member::Column;
        let mut page = Query::select();
        page.columns([
            Column::ConversationId,
            Column::UserId,
            Column::Role,
            Column::JoinedAt,
            Column::LastReadSequence,
            Column::LastReadAt,
            Column::ShownReadSequence,
            Column::ShownReadAt,
        ])
        .from(member::Entity)
        .and_where(Column::ConversationId.eq(self.conversation_id))
        .and_where_option(self.after.map(|after| Column::UserId.gt(after)))
        .and_where_option(self.before.map(|before| Column::UserId.lt(before)))
        .order_by(Column::UserId, if self.backward { Order::Desc } else { Order::Asc })
        .limit(self.limit);
        // SQLite takes an ORDER BY within a UNION only inside a subquery.
        Query::select().column(sea_orm::sea_query::Asterisk).from_subquery(page, Alias::new("page")).to_owned()
    }
}

impl Key for MemberPage {
    type Value = Arc<Vec<member::Model>>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        let mut by_conversation: HashMap<ConversationId, Vec<member::Model>> = HashMap::new();
        for keys in keys.chunks(MAX_PARTS) {
            let mut pages = keys.iter().map(Self::select);
            let Some(mut all) = pages.next() else { continue };
            for page in pages {
                all.union(UnionType::All, page);
            }
            let all = db.read().get_database_backend().build(&all);
            for row in member::Entity::find().from_raw_sql(all).all(db.read()).await? {
                by_conversation.entry(row.conversation_id).or_default().push(row);
            }
        }
        Ok(keys
            .iter()
            .map(|key| {
                let mut rows = by_conversation.get(&key.conversation_id).cloned().unwrap_or_default();
                // Two pages of one conversation in a batch arrive mixed.
                rows.retain(|row| {
                    key.after.is_none_or(|after| row.user_id > after)
                        && key.before.is_none_or(|before| row.user_id < before)
                });
                rows.sort_by_key(|row| row.user_id);
                rows.dedup_by_key(|row| row.user_id);
                if key.backward {
                    rows.reverse();
                }
                rows.truncate(key.limit as usize);
                (*key, Arc::new(rows))
            })
            .collect())
    }
}

/// The conversations somebody is in, most recently active first.
pub async fn page_of(
    db: &Db,
    user_id: UserId,
    page: &PageRequest<(entity::Timestamp, Uuid)>,
) -> Result<Page<conversation::Model>, Error> {
    use conversation::Column;
    let place = |(time, id): (entity::Timestamp, Uuid)| (time, Column::LastActivityAt.eq(time), ConversationId(id));
    let mut rows = conversation::Entity::find().filter(
        Column::Id.in_subquery(
            Query::select()
                .column(member::Column::ConversationId)
                .from(member::Entity)
                .and_where(member::Column::UserId.eq(user_id))
                .to_owned(),
        ),
    );
    // Later in the list means less recent.
    if let Some(after) = page.after {
        let (time, same_time, id) = place(after);
        rows = rows.filter(Column::LastActivityAt.lt(time).or(same_time.and(Column::Id.lt(id))));
    }
    if let Some(before) = page.before {
        let (time, same_time, id) = place(before);
        rows = rows.filter(Column::LastActivityAt.gt(time).or(same_time.and(Column::Id.gt(id))));
    }
    let order = match page.direction {
        Direction::Forward => Order::Desc,
        Direction::Backward => Order::Asc,
    };
    let rows = rows
        .order_by(Column::LastActivityAt, order.clone())
        .order_by(Column::Id, order)
        .limit(page.limit())
        .all(db.read())
        .await?;
    Ok(page.page(rows))
}

/// Unread messages over all of somebody's conversations.
pub async fn unread_count(db: &Db, user_id: UserId) -> Result<i64, Error> {
    let count: Option<i64> = member::Entity::find()
        .select_only()
        .column_as(unread().sum().cast_as("bigint"), "unread")
        .join(JoinType::InnerJoin, member::Relation::Conversation.def())
        .filter(member::Column::UserId.eq(user_id))
        .into_tuple()
        .one(db.read())
        .await?
        .flatten();
    Ok(count.unwrap_or(0))
}

fn unread() -> SimpleExpr {
    Expr::col((conversation::Entity, conversation::Column::Sequence))
        .sub(Expr::col((member::Entity, member::Column::LastReadSequence)))
}

/// The conversations somebody is in, with the position of each.
pub async fn positions_of(db: &impl ConnectionTrait, user_id: UserId) -> Result<Vec<(ConversationId, i64)>, Error> {
    let positions = member::Entity::find()
        .select_only()
        .column(member::Column::ConversationId)
        .column(conversation::Column::Position)
        .join(JoinType::InnerJoin, member::Relation::Conversation.def())
        .filter(member::Column::UserId.eq(user_id))
        .into_tuple()
        .all(db)
        .await?;
    Ok(positions)
}

/// Whether somebody sends read receipts and sees those of others. An account that is gone does neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipts(pub UserId);

impl Key for Receipts {
    type Value = bool;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        use account::Column;
        let rows: Vec<(UserId, bool)> = account::Entity::find()
            .select_only()
            .columns([Column::UserId, Column::ReadReceipts])
            .filter(Column::UserId.is_in(keys.iter().map(|key| key.0)))
            .into_tuple()
            .all(db.read())
            .await?;
        Ok(rows.into_iter().map(|(user_id, on)| (Self(user_id), on)).collect())
    }
}

/// Whether somebody sends read receipts and sees those of others, asked by itself.
pub async fn wants_receipts(db: &impl ConnectionTrait, user_id: UserId) -> Result<bool, Error> {
    let on: Option<bool> = account::Entity::find_by_id(user_id)
        .select_only()
        .column(account::Column::ReadReceipts)
        .into_tuple()
        .one(db)
        .await?;
    Ok(on.unwrap_or(false))
}

/// A page of those who have read a message, by user id: the members who send read receipts and whose read position has
/// reached it, without its sender. A former friend's is where it was at the end of the friendship.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadersPage {
    pub conversation_id: ConversationId,
    pub sequence: i64,
    pub sender_id: UserId,
    /// Who asks: their own read position goes on.
    pub viewer_id: UserId,
    pub backward: bool,
    pub limit: u64,
    pub after: Option<UserId>,
    pub before: Option<UserId>,
}

impl ReadersPage {
    fn select(&self, number: usize) -> SelectStatement {
        use member::Column;
        let member = |column: Column| Expr::col((member::Entity, column));
        let goes_on = Condition::all()
            .add(member(Column::ShownReadSequence).is_null().or(member(Column::UserId).eq(self.viewer_id)))
            .add(member(Column::LastReadSequence).gte(self.sequence))
            .add(member(Column::LastReadAt).is_not_null());
        let has_stopped = Condition::all()
            .add(member(Column::ShownReadSequence).gte(self.sequence))
            .add(member(Column::ShownReadAt).is_not_null());
        let mut page = Query::select();
        page.expr_as(Expr::val(number as i64), Alias::new("page_number"))
            .column((member::Entity, Column::UserId))
            .from(member::Entity)
            .inner_join(
                account::Entity,
                Expr::col((account::Entity, account::Column::UserId)).equals((member::Entity, Column::UserId)),
            )
            .and_where(member(Column::ConversationId).eq(self.conversation_id))
            .cond_where(Condition::any().add(goes_on).add(has_stopped))
            .and_where(member(Column::UserId).ne(self.sender_id))
            .and_where(Expr::col((account::Entity, account::Column::ReadReceipts)).eq(true))
            .and_where_option(self.after.map(|after| member(Column::UserId).gt(after)))
            .and_where_option(self.before.map(|before| member(Column::UserId).lt(before)))
            .order_by((member::Entity, Column::UserId), if self.backward { Order::Desc } else { Order::Asc })
            .limit(self.limit);
        // SQLite takes an ORDER BY within a UNION only inside a subquery.
        Query::select().column(sea_orm::sea_query::Asterisk).from_subquery(page, Alias::new("page")).to_owned()
    }
}

impl Key for ReadersPage {
    type Value = Arc<Vec<UserId>>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        let mut found: HashMap<Self, Vec<UserId>> = HashMap::new();
        for keys in keys.chunks(MAX_PARTS) {
            let mut pages = keys.iter().enumerate().map(|(number, key)| key.select(number));
            let Some(mut all) = pages.next() else { continue };
            for page in pages {
                all.union(UnionType::All, page);
            }
            for row in db.read().query_all_raw(db.read().get_database_backend().build(&all)).await? {
                let number: i64 = row.try_get_by_index(0)?;
                let user_id = row.try_get_by_index(1)?;
                found.entry(keys[number as usize]).or_default().push(user_id);
            }
        }
        Ok(found
            .into_iter()
            .map(|(key, mut users)| {
                // A UNION promises no order.
                users.sort();
                if key.backward {
                    users.reverse();
                }
                (key, Arc::new(users))
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use entity::Timestamp;
    use sea_orm::IntoActiveModel;

    use super::*;
    use crate::{clock::Clock, db::tests::loose};

    #[tokio::test]
    async fn a_thousand_members_and_pages_are_found_at_once() {
        let (_directory, db) = loose().await;
        let members: Vec<member::Model> = (0..1200)
            .map(|_| member::Model {
                conversation_id: Clock.new_id(),
                user_id: Clock.new_id(),
                role: member::Role::Member,
                joined_at: Timestamp(0),
                last_read_sequence: 0,
                last_read_at: None,
                shown_read_sequence: None,
                shown_read_at: None,
            })
            .collect();
        let rows = members.iter().map(|member| member.clone().into_active_model());
        member::Entity::insert_many(rows).exec(db.writer()).await.expect("they are written");

        let keys: Vec<Membership> = members
            .iter()
            .map(|member| Membership { conversation_id: member.conversation_id, user_id: member.user_id })
            .collect();
        assert_eq!(Membership::load(&db, &keys).await.expect("they are read").len(), keys.len());

        let page = |member: &member::Model, backward| MemberPage {
            conversation_id: member.conversation_id,
            backward,
            limit: 2,
            after: None,
            before: None,
        };
        let keys: Vec<MemberPage> =
            members.iter().map(|it| page(it, false)).chain(members.iter().map(|it| page(it, true))).collect();
        let pages = MemberPage::load(&db, &keys).await.expect("they are read");
        for (key, member) in keys.iter().zip(members.iter().cycle()) {
            assert_eq!(pages[key].as_slice(), std::slice::from_ref(member));
        }
    }
}
