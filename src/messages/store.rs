//! Messages in the database.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use entity::{ConversationId, MessageId, UserId, message, reaction};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};

use crate::{
    db::{Db, MAX_PARTS},
    error::Error,
    events::EmojiCount,
    graphql::loaders::Key,
};

impl Key for MessageId {
    type Value = Arc<message::Model>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        let rows =
            message::Entity::find().filter(message::Column::Id.is_in(keys.iter().copied())).all(db.read()).await?;
        Ok(rows.into_iter().map(|row| (row.id, Arc::new(row))).collect())
    }
}

/// Empties some idempotency keys of a sender; how many.
pub(super) async fn empty_keys(db: &impl ConnectionTrait, sender_id: UserId, most: u64) -> Result<u64, Error> {
    use message::{Column, Entity};
    let some = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::SenderId.eq(sender_id))
        .filter(Column::IdempotencyKey.is_not_null())
        .limit(most);
    let ids: Vec<MessageId> = some.into_tuple().all(db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let emptied = Entity::update_many()
        .col_expr(Column::IdempotencyKey, Expr::value(None::<String>))
        .col_expr(Column::InputHash, Expr::value(None::<Vec<u8>>))
        .filter(Column::Id.is_in(ids))
        .exec(db)
        .await?;
    Ok(emptied.rows_affected)
}

/// The message with a sequence: the newest, when the sequence is the conversation's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LastMessage {
    pub conversation_id: ConversationId,
    pub sequence: i64,
}

impl Key for LastMessage {
    type Value = Arc<message::Model>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        use message::Column;
        let keys: Vec<&Self> = keys.iter().filter(|key| key.sequence > 0).collect();
        let mut found = HashMap::new();
        for keys in keys.chunks(MAX_PARTS) {
            let wanted = keys.iter().fold(Condition::any(), |any, key| {
                any.add(Column::ConversationId.eq(key.conversation_id).and(Column::Sequence.eq(key.sequence)))
            });
            for row in message::Entity::find().filter(wanted).all(db.read()).await? {
                found.insert(Self { conversation_id: row.conversation_id, sequence: row.sequence }, Arc::new(row));
            }
        }
        Ok(found)
    }
}

/// The messages of a conversation from one sequence to another, both included. Sequences have no gaps, so this is a
/// page, and every page costs the same however deep it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageRange {
    pub conversation_id: ConversationId,
    pub from: i64,
    pub to: i64,
}

impl Key for MessageRange {
    type Value = Arc<Vec<Arc<message::Model>>>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        use message::Column;
        let some: Vec<&Self> = keys.iter().filter(|key| key.from <= key.to).collect();
        let mut by_conversation: HashMap<ConversationId, Vec<Arc<message::Model>>> = HashMap::new();
        for some in some.chunks(MAX_PARTS) {
            let wanted = some.iter().fold(Condition::any(), |any, key| {
                any.add(Column::ConversationId.eq(key.conversation_id).and(Column::Sequence.between(key.from, key.to)))
            });
            for row in message::Entity::find().filter(wanted).all(db.read()).await? {
                by_conversation.entry(row.conversation_id).or_default().push(Arc::new(row));
            }
        }
        // Two ranges of one conversation may have messages in common.
        for rows in by_conversation.values_mut() {
            rows.sort_by_key(|row| row.sequence);
            rows.dedup_by_key(|row| row.sequence);
        }
        Ok(keys
            .iter()
            .map(|key| {
                let rows = by_conversation.get(&key.conversation_id).map_or(&[][..], Vec::as_slice);
                let page = rows.iter().filter(|row| (key.from..=key.to).contains(&row.sequence)).cloned().collect();
                (*key, Arc::new(page))
            })
            .collect())
    }
}

/// How often which emoji stands at a message, first reacted first. Messages without reactions are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReactionsTo(pub MessageId);

impl Key for ReactionsTo {
    type Value = Vec<EmojiCount>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        let mut counts: HashMap<Self, Self::Value> = HashMap::new();
        for (message_id, emoji, count, _) in count_reactions(db.read(), keys.iter().map(|key| key.0)).await? {
            counts.entry(Self(message_id)).or_default().push(EmojiCount { emoji, count, by: None });
        }
        Ok(counts)
    }
}

/// Which emoji somebody reacted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReactionsBy {
    pub message_id: MessageId,
    pub user_id: UserId,
}

impl Key for ReactionsBy {
    type Value = Arc<HashSet<String>>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        use reaction::Column;
        // One viewer for each operation: the two lists together are hardly ever more than was asked for.
        let rows: Vec<(MessageId, UserId, String)> = reaction::Entity::find()
            .select_only()
            .columns([Column::MessageId, Column::UserId, Column::Emoji])
            .filter(Column::MessageId.is_in(keys.iter().map(|key| key.message_id)))
            .filter(Column::UserId.is_in(keys.iter().map(|key| key.user_id).collect::<HashSet<_>>()))
            .into_tuple()
            .all(db.read())
            .await?;
        let mut found: HashMap<Self, HashSet<String>> = HashMap::new();
        for (message_id, user_id, emoji) in rows {
            found.entry(Self { message_id, user_id }).or_default().insert(emoji);
        }
        Ok(found.into_iter().map(|(key, emoji)| (key, Arc::new(emoji))).collect())
    }
}

/// Each emoji at each of the messages with its count and its place, in order.
pub(super) async fn count_reactions(
    db: &impl ConnectionTrait,
    ids: impl Iterator<Item = MessageId>,
) -> Result<Vec<(MessageId, String, i64, i64)>, Error> {
    use reaction::Column;
    Ok(reaction::Entity::find()
        .select_only()
        .columns([Column::MessageId, Column::Emoji])
        .column_as(Column::UserId.count(), "n_people")
        .column_as(Column::Place.min(), "first_place")
        .filter(Column::MessageId.is_in(ids))
        .group_by(Column::MessageId)
        .group_by(Column::Emoji)
        .order_by_asc(Expr::col("first_place"))
        .into_tuple()
        .all(db)
        .await?)
}

/// Most reactions of a message that travel with their people.
const MAX_NAMED: u64 = 100;

/// The reactions to one message, with their people unless they are many.
pub(super) async fn reactions_of(db: &impl ConnectionTrait, id: MessageId) -> Result<Vec<EmojiCount>, Error> {
    use reaction::Column;
    let rows = reaction::Entity::find()
        .filter(Column::MessageId.eq(id))
        .order_by_asc(Column::Place)
        .limit(MAX_NAMED + 1)
        .all(db)
        .await?;
    if rows.len() as u64 > MAX_NAMED {
        let counts = count_reactions(db, std::iter::once(id)).await?.into_iter();
        return Ok(counts.map(|(_, emoji, count, _)| EmojiCount { emoji, count, by: None }).collect());
    }
    Ok(rows
        .chunk_by(|one, next| one.place == next.place)
        .map(|of_one| EmojiCount {
            emoji: of_one[0].emoji.clone(),
            count: of_one.len() as i64,
            by: Some(of_one.iter().map(|row| row.user_id).collect()),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use entity::Timestamp;
    use sea_orm::IntoActiveModel;

    use super::*;
    use crate::{clock::Clock, db::tests::loose};

    #[tokio::test]
    async fn a_thousand_messages_and_ranges_are_found_at_once() {
        let (_directory, db) = loose().await;
        let messages: Vec<message::Model> = (0..1200)
            .map(|_| message::Model {
                id: Clock.new_id(),
                conversation_id: Clock.new_id(),
                sequence: 1,
                sender_id: Clock.new_id(),
                body: Some("Hello".into()),
                reply_to_id: None,
                idempotency_key: None,
                input_hash: None,
                created_at: Timestamp(0),
                edited_at: None,
                deleted_at: None,
            })
            .collect();
        let rows = messages.iter().map(|message| message.clone().into_active_model());
        message::Entity::insert_many(rows).exec(db.writer()).await.expect("they are written");

        let last = |message: &message::Model| LastMessage { conversation_id: message.conversation_id, sequence: 1 };
        let keys: Vec<LastMessage> = messages.iter().map(last).collect();
        assert_eq!(LastMessage::load(&db, &keys).await.expect("they are read").len(), keys.len());

        let range =
            |message: &message::Model, to| MessageRange { conversation_id: message.conversation_id, from: 1, to };
        // Each of them twice, in statements of their own.
        let keys: Vec<MessageRange> =
            messages.iter().map(|it| range(it, 1)).chain(messages.iter().map(|it| range(it, 2))).collect();
        let pages = MessageRange::load(&db, &keys).await.expect("they are read");
        for (key, message) in keys.iter().zip(messages.iter().cycle()) {
            assert_eq!(pages[key].iter().map(|it| it.id).collect::<Vec<_>>(), [message.id]);
        }
    }
}
