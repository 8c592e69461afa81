//! Messages in the database.

use std::{collections::HashMap, sync::Arc};

use entity::{ConversationId, MessageId, UserId, message};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};

use crate::{db::Db, error::Error, graphql::loaders::Key};

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
        let wanted = keys.iter().filter(|key| key.sequence > 0).fold(Condition::any(), |any, key| {
            any.add(Column::ConversationId.eq(key.conversation_id).and(Column::Sequence.eq(key.sequence)))
        });
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = message::Entity::find().filter(wanted).all(db.read()).await?;
        Ok(rows
            .into_iter()
            .map(|row| (Self { conversation_id: row.conversation_id, sequence: row.sequence }, Arc::new(row)))
            .collect())
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
        let wanted = keys.iter().filter(|key| key.from <= key.to).fold(Condition::any(), |any, key| {
            any.add(Column::ConversationId.eq(key.conversation_id).and(Column::Sequence.between(key.from, key.to)))
        });
        let rows = match wanted.is_empty() {
            true => Vec::new(),
            false => message::Entity::find().filter(wanted).order_by_asc(Column::Sequence).all(db.read()).await?,
        };
        let mut by_conversation: HashMap<ConversationId, Vec<Arc<message::Model>>> = HashMap::new();
        for row in rows {
            by_conversation.entry(row.conversation_id).or_default().push(Arc::new(row));
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
