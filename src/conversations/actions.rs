//! PLACEHOLDER: what friends and invites need of conversations.

use entity::{ConversationId, UserId, conversation, member};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use crate::{
    error::Error,
    events::{Event, Transaction},
};

async fn find(tx: &Transaction<'_>, a: UserId, b: UserId) -> Result<Option<conversation::Model>, Error> {
    use conversation::{Column, Entity};
    let query = Entity::find().filter(Column::DirectLow.eq(a.min(b))).filter(Column::DirectHigh.eq(a.max(b)));
    Ok(query.one(tx.db()).await?)
}

pub async fn open_direct(tx: &mut Transaction<'_>, a: UserId, b: UserId) -> Result<ConversationId, Error> {
    if let Some(row) = find(tx, a, b).await? {
        let id = row.id;
        let mut row = row.into_active_model();
        row.open = Set(true);
        row.update(tx.db()).await?;
        tx.record(id, Event::ConversationChanged { conversation_id: id }).await?;
        return Ok(id);
    }
    let id: ConversationId = crate::clock::Clock.new_id();
    let now = crate::clock::Clock.now();
    conversation::ActiveModel {
        id: Set(id),
        kind: Set(conversation::Kind::Direct),
        direct_low: Set(Some(a.min(b))),
        direct_high: Set(Some(a.max(b))),
        open: Set(true),
        sequence: Set(0),
        position: Set(0),
        created_at: Set(now),
        last_activity_at: Set(now),
    }
    .insert(tx.db())
    .await?;
    for user_id in [a, b] {
        member::ActiveModel {
            conversation_id: Set(id),
            user_id: Set(user_id),
            role: Set(member::Role::Member),
            joined_at: Set(now),
            last_read_sequence: Set(0),
            last_read_at: Set(None),
        }
        .insert(tx.db())
        .await?;
        tx.record_personal(user_id, Event::ConversationJoined { conversation_id: id }).await?;
    }
    Ok(id)
}

pub async fn close_direct(tx: &mut Transaction<'_>, a: UserId, b: UserId) -> Result<(), Error> {
    let row = find(tx, a, b).await?.ok_or_else(|| Error::internal("friends have a conversation"))?;
    let id = row.id;
    let mut row = row.into_active_model();
    row.open = Set(false);
    row.update(tx.db()).await?;
    tx.record(id, Event::ConversationChanged { conversation_id: id }).await?;
    Ok(())
}
