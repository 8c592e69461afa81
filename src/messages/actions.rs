//! Sending, editing, deleting.

use std::sync::Arc;

use entity::{ConversationId, MessageId, UserId, conversation, departure, message, user};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel, QuerySelect};

use super::{
    access::Own,
    committer::{Draft, Sent},
    store,
    types::{IdempotencyKey, MessageBody},
};
use crate::{
    app::App,
    auth::Viewer,
    error::{Error, Outcome, Refusal, UserErrorCode},
    events::{Event, MessageChange, Transaction},
    rate_limits::Action,
};

/// Sends a message, or finds the one that an earlier try with the same key sent. The rules are judged where it is
/// committed, under the conversation's lock.
pub async fn send(
    app: &App,
    viewer: &Viewer,
    conversation_id: ConversationId,
    body: MessageBody,
    reply_to_id: Option<MessageId>,
    key: Option<IdempotencyKey>,
) -> Outcome<Sent> {
    let subject = viewer.user_id().0.to_string();
    let draft = Draft::new(app, viewer, conversation_id, body, reply_to_id, key);
    if let Err(limited) = app.rate_limits.check(Action::SendMessage, &subject).await {
        // A retry is answered before the limits count it.
        return match super::committer::find_replay(app, &draft).await? {
            Some(outcome) => outcome,
            None => Err(limited.into()),
        };
    }
    let outcome = app.committer.send(draft).await;
    if let Ok(Sent { replayed: true, .. }) = &outcome {
        app.rate_limits.refund(Action::SendMessage, &subject).await;
    }
    outcome
}

/// Replaces the body of a message.
pub async fn edit(app: &App, own: &Own, body: MessageBody) -> Outcome<Arc<message::Model>> {
    let mut tx = Transaction::begin(app).await?;
    let (conversation, message) = lock(&tx, own).await?;
    if message.deleted_at.is_some() {
        return Err(Refusal::new(UserErrorCode::NotFound, "The message was deleted.").of_field("messageId").into());
    }
    if !conversation.open {
        return Err(not_friends().into());
    }
    if message.body.as_deref() == Some(body.as_str()) {
        return Ok(Arc::new(message));
    }
    let mut row = message.into_active_model();
    row.body = Set(Some(body.into_string()));
    row.edited_at = Set(Some(app.clock.now()));
    let message = row.update(tx.db()).await?;
    tell(&mut tx, MessageChange::Edited, &message).await?;
    tx.commit().await?;
    Ok(Arc::new(message))
}

/// Makes a tombstone of a message. Deleting it again changes nothing.
pub async fn delete(app: &App, own: &Own) -> Outcome<Arc<message::Model>> {
    let mut tx = Transaction::begin(app).await?;
    let (conversation, message) = lock(&tx, own).await?;
    if message.deleted_at.is_some() {
        return Ok(Arc::new(message));
    }
    let mut row = message.into_active_model();
    row.body = Set(None);
    row.deleted_at = Set(Some(app.clock.now()));
    let message = row.update(tx.db()).await?;
    // After the end of a friendship nobody is told.
    if conversation.open {
        tell(&mut tx, MessageChange::Deleted, &message).await?;
    }
    tx.commit().await?;
    Ok(Arc::new(message))
}

/// The row locks of a change, conversation first as everywhere.
async fn lock(tx: &Transaction<'_>, own: &Own) -> Result<(conversation::Model, message::Model), Error> {
    let gone = || Error::internal("a message or its conversation is gone");
    let conversation = conversation::Entity::find_by_id(own.message().conversation_id).lock_exclusive();
    let conversation = conversation.one(tx.db()).await?.ok_or_else(gone)?;
    let message = message::Entity::find_by_id(own.message().id).lock_exclusive().one(tx.db()).await?;
    Ok((conversation, message.ok_or_else(gone)?))
}

async fn tell(tx: &mut Transaction<'_>, change: MessageChange, message: &message::Model) -> Result<(), Error> {
    let sender = user::Entity::find_by_id(message.sender_id).one(tx.db()).await?;
    let sender = sender.ok_or_else(|| Error::internal("the sender is gone"))?;
    let conversation_id = message.conversation_id;
    tx.record(conversation_id, Event::Message { change, message: Arc::new(message.clone()), sender: Arc::new(sender) })
        .await?;
    Ok(())
}

/// Messages whose keys are emptied by one transaction.
const FORGET_BATCH: u64 = 500;

/// For who deletes their account: notes that the keys of their messages are to be emptied. What they wrote stays.
pub async fn forget(tx: &Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    let row = departure::ActiveModel { user_id: Set(user_id) };
    departure::Entity::insert(row).exec_without_returning(tx.db()).await?;
    Ok(())
}

/// Empties the keys of messages by people who have deleted their accounts, a few at a time: somebody may have written a
/// million. Returns for how many people. Two processes that do it at once do no harm.
pub async fn empty_keys_of_departed(app: &App) -> Result<usize, Error> {
    let departed = departure::Entity::find().all(app.db.read()).await?;
    for departure in &departed {
        loop {
            let tx = app.db.begin().await?;
            let n_emptied = store::empty_keys(&tx, departure.user_id, FORGET_BATCH).await?;
            if n_emptied < FORGET_BATCH {
                departure::Entity::delete_by_id(departure.user_id).exec(&tx).await?;
            }
            tx.commit().await?;
            if n_emptied < FORGET_BATCH {
                break;
            }
        }
    }
    Ok(departed.len())
}

pub(super) fn not_friends() -> Refusal {
    Refusal::new(UserErrorCode::NotFriends, "You are not friends any more, so nothing new can be written here.")
}
