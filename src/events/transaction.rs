//! One transaction of a verb: rows, event-log rows, commit, and only then the bus.

use std::sync::Arc;

use entity::{ConversationId, Timestamp, UserId, event};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, sea_query::Expr,
};

use super::{Delivery, Event, MessageChange, Topic};
use crate::{app::App, error::Error};

/// Rows of the log that one statement writes.
const ROWS_AT_ONCE: usize = 1000;

/// A verb's unit of work. Dropped without [`Transaction::commit`], nothing of it happened and nobody hears of it.
pub struct Transaction<'a> {
    app: &'a App,
    tx: DatabaseTransaction,
    deliveries: Vec<Arc<Delivery>>,
    /// Something waits in the outbox of mails.
    has_mails: bool,
}

impl<'a> Transaction<'a> {
    pub async fn begin(app: &'a App) -> Result<Self, Error> {
        Ok(Self { app, tx: app.db.begin().await?, deliveries: Vec::new(), has_mails: false })
    }

    pub fn app(&self) -> &'a App {
        self.app
    }

    /// Where the verb's statements run.
    pub fn db(&self) -> &DatabaseTransaction {
        &self.tx
    }

    /// Writes a durable event of a conversation and numbers it. Takes the conversation's row lock until the commit,
    /// so numbers are without gaps and in the order of commits; take it last.
    pub async fn record(&mut self, conversation_id: ConversationId, event: Event) -> Result<i64, Error> {
        use entity::conversation::{Column, Entity};
        let updated = Entity::update_many()
            .col_expr(Column::Position, Expr::col(Column::Position).add(1_i64))
            .filter(Column::Id.eq(conversation_id))
            .exec_with_returning(&self.tx)
            .await?;
        let position = updated.first().ok_or_else(|| Error::internal("the conversation is gone"))?.position;
        self.write(Topic::Conversation(conversation_id), Some(position), event).await?;
        Ok(position)
    }

    /// As [`Transaction::record`], of many events of one conversation, by a few statements.
    pub async fn record_all(&mut self, conversation_id: ConversationId, events: Vec<Event>) -> Result<(), Error> {
        use entity::conversation::{Column, Entity};
        if events.is_empty() {
            return Ok(());
        }
        let n_events = events.len() as i64;
        // The statement of `record`, which the driver prepares once: with a number of the same type.
        let updated = Entity::update_many()
            .col_expr(Column::Position, Expr::col(Column::Position).add(n_events))
            .filter(Column::Id.eq(conversation_id))
            .exec_with_returning(&self.tx)
            .await?;
        let last = updated.first().ok_or_else(|| Error::internal("the conversation is gone"))?.position;
        let (topic, occurred_at) = (Topic::Conversation(conversation_id), self.app.clock.now());
        let events: Vec<(i64, Event)> = (last - n_events + 1..=last).zip(events).collect();
        for chunk in events.chunks(ROWS_AT_ONCE) {
            let rows = chunk.iter().map(|(position, event)| row_of(topic, Some(*position), event, occurred_at));
            let rows: Vec<event::ActiveModel> = rows.collect::<Result<_, Error>>()?;
            event::Entity::insert_many(rows).exec_without_returning(&self.tx).await?;
        }
        let delivery =
            |(position, event)| Delivery { topic, position: Some(position), log_id: None, occurred_at, event };
        self.deliveries.extend(events.into_iter().map(delivery).map(Arc::new));
        Ok(())
    }

    /// Writes an event of a conversation that is state and not history: it has no number.
    pub async fn record_state(&mut self, conversation_id: ConversationId, event: Event) -> Result<(), Error> {
        self.write(Topic::Conversation(conversation_id), None, event).await
    }

    /// Writes an event that one person hears.
    pub async fn record_personal(&mut self, user_id: UserId, event: Event) -> Result<(), Error> {
        self.write(Topic::User(user_id), None, event).await
    }

    /// Writes one event for each of many people, by a few statements.
    pub async fn record_personal_to_each(&mut self, user_ids: &[UserId], event: &Event) -> Result<(), Error> {
        let events: Vec<(UserId, Event)> = user_ids.iter().map(|user_id| (*user_id, event.clone())).collect();
        self.record_personal_all(events).await
    }

    /// Writes many events of one kind, each for one person, by a few statements.
    pub async fn record_personal_all(&mut self, events: Vec<(UserId, Event)>) -> Result<(), Error> {
        self.write_all(events.into_iter().map(|(user_id, event)| (Topic::User(user_id), event)).collect()).await
    }

    /// As [`Transaction::record_state`], of many conversations and by a few statements.
    pub async fn record_state_all(&mut self, events: Vec<(ConversationId, Event)>) -> Result<(), Error> {
        self.write_all(events.into_iter().map(|(id, event)| (Topic::Conversation(id), event)).collect()).await
    }

    async fn write_all(&mut self, events: Vec<(Topic, Event)>) -> Result<(), Error> {
        let occurred_at = self.app.clock.now();
        for chunk in events.chunks(ROWS_AT_ONCE) {
            let rows = chunk.iter().map(|(topic, event)| row_of(*topic, None, event, occurred_at));
            let rows: Vec<event::ActiveModel> = rows.collect::<Result<_, Error>>()?;
            let mut written = event::Entity::insert_many(rows).exec_with_returning(&self.tx).await?;
            written.sort_unstable_by_key(|row| row.id);
            let is_of = |row: &event::Model, topic: Topic| match topic {
                Topic::Conversation(id) => row.conversation_id == Some(id),
                Topic::User(id) => row.conversation_id.is_none() && row.user_id == Some(id),
                Topic::Sessions => false,
            };
            if written.len() != chunk.len() || !written.iter().zip(chunk).all(|(row, (topic, _))| is_of(row, *topic)) {
                return Err(Error::internal("the rows of the log are not in the order in which they were written"));
            }
            for ((topic, event), row) in chunk.iter().zip(written) {
                let (topic, log_id, event) = (*topic, Some(row.id), event.clone());
                self.deliveries.push(Arc::new(Delivery { topic, position: None, log_id, occurred_at, event }));
            }
        }
        Ok(())
    }

    /// For [`crate::mails::queue`]: whoever sends mails is woken after the commit.
    pub(crate) fn wake_mails(&mut self) {
        self.has_mails = true;
    }

    /// Makes it all true, then hands the events to the bus.
    pub async fn commit(self) -> Result<(), Error> {
        self.tx.commit().await?;
        for delivery in &self.deliveries {
            if let (Topic::User(user_id), Event::ConversationJoined { conversation_id, .. }) =
                (delivery.topic, &delivery.event)
            {
                self.app.presence.joined(user_id, *conversation_id);
            }
        }
        self.app.bus.publish(self.deliveries);
        if self.has_mails {
            self.app.mails.wake();
        }
        Ok(())
    }

    async fn write(&mut self, topic: Topic, position: Option<i64>, event: Event) -> Result<(), Error> {
        let occurred_at = self.app.clock.now();
        let row = row_of(topic, position, &event, occurred_at)?;
        let inserted = event::Entity::insert(row).exec(&self.tx).await?;
        let delivery = Delivery { topic, position, log_id: Some(inserted.last_insert_id), occurred_at, event };
        if let Event::SessionRevoked { .. } | Event::ReceiptsSwitched { .. } = delivery.event {
            self.deliveries.push(Arc::new(Delivery { topic: Topic::Sessions, ..delivery.clone() }));
        }
        self.deliveries.push(Arc::new(delivery));
        Ok(())
    }
}

fn row_of(
    topic: Topic,
    position: Option<i64>,
    event: &Event,
    occurred_at: Timestamp,
) -> Result<event::ActiveModel, Error> {
    let mut row = event::ActiveModel {
        kind: Set(kind_of(event)?),
        position: Set(position),
        created_at: Set(occurred_at),
        ..Default::default()
    };
    match topic {
        Topic::Conversation(conversation_id) => row.conversation_id = Set(Some(conversation_id)),
        Topic::User(user_id) => row.user_id = Set(Some(user_id)),
        Topic::Sessions => {}
    }
    match event {
        Event::Message { message, .. } => row.message_id = Set(Some(message.id)),
        Event::ConversationChanged { .. } => {}
        Event::MemberChanged { user, .. } => row.user_id = Set(Some(user.id)),
        Event::MemberRemoved { user_id, .. } => row.user_id = Set(Some(*user_id)),
        Event::ConversationDeleted { .. } => {}
        Event::ReadMoved { user, .. } => row.user_id = Set(Some(user.id)),
        Event::InviteChanged { invite_id } => row.invite_id = Set(Some(*invite_id)),
        Event::FriendshipChanged { other_id } => row.subject_id = Set(Some(*other_id)),
        // Not `conversation_id`: that says who hears it, and this is for one person.
        Event::ConversationJoined { conversation_id, after } => {
            row.joined_id = Set(Some(*conversation_id));
            row.position = Set(Some(*after));
        }
        Event::ConversationRemoved { conversation_id } => row.joined_id = Set(Some(*conversation_id)),
        Event::SessionRevoked { session_id, .. } => row.session_id = Set(Some(*session_id)),
        Event::ReceiptsSwitched { .. } | Event::Typing { .. } => {}
    }
    Ok(row)
}

fn kind_of(event: &Event) -> Result<event::Kind, Error> {
    Ok(match event {
        Event::Message { change: MessageChange::Added, .. } => event::Kind::MessageAdded,
        Event::Message { change: MessageChange::Edited, .. } => event::Kind::MessageEdited,
        Event::Message { change: MessageChange::Deleted, .. } => event::Kind::MessageDeleted,
        Event::Message { change: MessageChange::Reacted, .. } => event::Kind::MessageReacted,
        Event::ConversationChanged { .. } => event::Kind::ConversationChanged,
        Event::MemberChanged { .. } => event::Kind::MemberChanged,
        Event::MemberRemoved { .. } => event::Kind::MemberRemoved,
        Event::ConversationDeleted { .. } => event::Kind::ConversationDeleted,
        Event::ReadMoved { .. } => event::Kind::ReadMoved,
        Event::InviteChanged { .. } => event::Kind::InviteChanged,
        Event::FriendshipChanged { .. } => event::Kind::FriendshipChanged,
        Event::ConversationJoined { .. } => event::Kind::ConversationJoined,
        Event::ConversationRemoved { .. } => event::Kind::ConversationRemoved,
        Event::SessionRevoked { .. } => event::Kind::SessionRevoked,
        Event::ReceiptsSwitched { .. } => event::Kind::ReceiptsSwitched,
        Event::Typing { .. } => return Err(Error::internal("typing is not logged")),
    })
}
