//! Sending, editing, deleting, reacting.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use entity::{
    ConversationId, MessageId, UserId, conversation, departure, member, message, missed_deletion, reaction, user,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    access::{Own, Readable},
    committer::{Draft, Sent},
    store::{self, count_reactions, reactions_of},
    types::{Emoji, IdempotencyKey, MAX_EMOJI, MessageBody},
};
use crate::{
    app::App,
    auth::Viewer,
    error::{Error, Outcome, Refusal, UserErrorCode},
    events::{EmojiCount, Event, MessageChange, Transaction},
    rate_limits::Action,
};

/// What became of a send.
pub enum SendOutcome {
    Added(Arc<message::Model>),
    /// An earlier try with the same key had sent it.
    Replayed(Arc<message::Model>),
    /// So had it, and the viewer has left the conversation since: what stands around the message now is not theirs.
    ReplayedOutside,
}

/// Sends a message, or finds the one that an earlier try with the same key sent. The rules are judged where it is
/// committed, under the conversation's lock.
pub async fn send(
    app: &App,
    viewer: &Viewer,
    conversation_id: ConversationId,
    body: MessageBody,
    reply_to_id: Option<MessageId>,
    key: Option<IdempotencyKey>,
) -> Outcome<SendOutcome> {
    let subject = viewer.user_id().0.to_string();
    let draft = Draft::new(app, viewer, conversation_id, body, reply_to_id, key);
    if let Err(limited) = app.rate_limits.check(Action::SendMessage, &subject).await {
        // A retry is answered before the limits count it.
        return match super::committer::find_replay(app, &draft).await? {
            Some(outcome) => replay(app, viewer, outcome?.message).await,
            None => Err(limited.into()),
        };
    }
    let Sent { message, replayed } = app.committer.send(draft).await?;
    if !replayed {
        return Ok(SendOutcome::Added(message));
    }
    app.rate_limits.refund(Action::SendMessage, &subject).await;
    replay(app, viewer, message).await
}

/// A retry passes the gate of the conversation like every other look at it.
async fn replay(app: &App, viewer: &Viewer, message: Arc<message::Model>) -> Outcome<SendOutcome> {
    let seat = member::Entity::find_by_id((message.conversation_id, viewer.user_id())).one(app.db.read()).await?;
    Ok(match seat {
        Some(_) => SendOutcome::Replayed(message),
        None => SendOutcome::ReplayedOutside,
    })
}

/// Replaces the body of a message.
pub async fn edit(app: &App, own: &Own, body: MessageBody) -> Outcome<Arc<message::Model>> {
    let mut tx = Transaction::begin(app).await?;
    let (conversation, message) = lock(&tx, own.message(), own.message().sender_id).await?;
    if message.deleted_at.is_some() {
        return Err(deleted().into());
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
    let reactions = reactions_of(tx.db(), message.id).await?;
    tell(&mut tx, MessageChange::Edited, &message, reactions).await?;
    tx.commit().await?;
    Ok(Arc::new(message))
}

/// Makes a tombstone of a message. Deleting it again changes nothing.
pub async fn delete(app: &App, own: &Own) -> Outcome<Arc<message::Model>> {
    let mut tx = Transaction::begin(app).await?;
    let (conversation, message) = lock(&tx, own.message(), own.message().sender_id).await?;
    if message.deleted_at.is_some() {
        return Ok(Arc::new(message));
    }
    let mut row = message.into_active_model();
    row.body = Set(None);
    row.deleted_at = Set(Some(app.clock.now()));
    let message = row.update(tx.db()).await?;
    reaction::Entity::delete_many().filter(reaction::Column::MessageId.eq(message.id)).exec(tx.db()).await?;
    if conversation.open {
        tell(&mut tx, MessageChange::Deleted, &message, Vec::new()).await?;
    } else {
        // After the end of a friendship nobody is told, until they are friends again.
        let missed = missed_deletion::Model { conversation_id: conversation.id, message_id: message.id };
        missed_deletion::Entity::insert(missed.into_active_model()).exec_without_returning(tx.db()).await?;
    }
    tx.commit().await?;
    Ok(Arc::new(message))
}

/// Messages that are loaded at once to tell that they were deleted.
const MISSED_BATCH: usize = 1000;

/// For a conversation that has just opened, under its lock: tells what was deleted in it while it was closed.
pub async fn tell_missed_deletions(tx: &mut Transaction<'_>, id: ConversationId) -> Result<(), Error> {
    use missed_deletion::{Column, Entity};
    let missed = Entity::find().select_only().column(Column::MessageId).filter(Column::ConversationId.eq(id));
    let missed: Vec<MessageId> = missed.into_tuple().all(tx.db()).await?;
    let mut messages = Vec::with_capacity(missed.len());
    for ids in missed.chunks(MISSED_BATCH) {
        let ids = ids.iter().copied();
        messages.extend(message::Entity::find().filter(message::Column::Id.is_in(ids)).all(tx.db()).await?);
    }
    messages.sort_unstable_by_key(|message| message.sequence);
    let senders: HashSet<UserId> = messages.iter().map(|message| message.sender_id).collect();
    let senders = user::Entity::find().filter(user::Column::Id.is_in(senders)).all(tx.db()).await?;
    let senders: HashMap<UserId, Arc<user::Model>> = senders.into_iter().map(|row| (row.id, Arc::new(row))).collect();
    let mut events = Vec::with_capacity(messages.len());
    for message in messages {
        let sender = senders.get(&message.sender_id).ok_or_else(|| Error::internal("the sender is gone"))?;
        let (change, sender, message) = (MessageChange::Deleted, Arc::clone(sender), Arc::new(message));
        events.push(Event::Message { change, message, sender, reactions: Some(Vec::new()) });
    }
    Entity::delete_many().filter(Column::ConversationId.eq(id)).exec(tx.db()).await?;
    tx.record_all(id, events).await
}

/// Turns to react. All who react to one message wait for its conversation's row: here, where waiting holds no connection
/// to the database, so that a message which everybody reacts to leaves connections to the others.
#[derive(Default)]
pub struct ReactionTurns([Mutex<()>; 4]);

impl ReactionTurns {
    async fn take(&self, id: ConversationId) -> MutexGuard<'_, ()> {
        self.0[id.0.as_u128() as usize % self.0.len()].lock().await
    }
}

/// A message with what stands at it.
pub struct Reacted {
    pub message: Arc<message::Model>,
    pub reactions: Vec<EmojiCount>,
}

/// Puts the viewer's emoji to a message. Where it is already, nothing changes and nobody is told.
pub async fn add_reaction(app: &App, readable: &Readable, emoji: Emoji) -> Outcome<Reacted> {
    let _turn = app.reaction_turns.take(readable.message().conversation_id).await;
    let (tx, message) = begin_to_react(app, readable).await?;
    let standing = count_reactions(tx.db(), std::iter::once(message.id)).await?;
    let place = match standing.iter().find(|(_, standing, ..)| standing == emoji.as_str()) {
        Some((.., place)) => *place,
        None if standing.len() >= MAX_EMOJI => {
            let message = format!("A message has at most {MAX_EMOJI} different emoji. Choose one of them.");
            return Err(Refusal::new(UserErrorCode::LimitReached, message).of_field("emoji").into());
        }
        None => standing.iter().map(|(.., place)| place + 1).max().unwrap_or(1),
    };
    let key = (message.id, emoji.as_str().to_owned(), readable.reader().viewer().user_id());
    let is_new = reaction::Entity::find_by_id(key.clone()).one(tx.db()).await?.is_none();
    if is_new {
        let (message_id, emoji, user_id) = key;
        let row = reaction::Model { message_id, emoji, user_id, place, created_at: app.clock.now() };
        reaction::Entity::insert(row.into_active_model()).exec_without_returning(tx.db()).await?;
    }
    finish_to_react(tx, message, is_new).await
}

/// Takes the viewer's emoji away from a message. Where it is not, nothing changes and nobody is told.
pub async fn remove_reaction(app: &App, readable: &Readable, emoji: Emoji) -> Outcome<Reacted> {
    let _turn = app.reaction_turns.take(readable.message().conversation_id).await;
    let (tx, message) = begin_to_react(app, readable).await?;
    let key = (message.id, emoji.as_str().to_owned(), readable.reader().viewer().user_id());
    let removed = reaction::Entity::delete_by_id(key).exec(tx.db()).await?;
    finish_to_react(tx, message, removed.rows_affected > 0).await
}

/// The gate of a reaction, judged under the conversation's lock: so counts are those of one order of all reactions.
async fn begin_to_react<'a>(app: &'a App, readable: &Readable) -> Outcome<(Transaction<'a>, message::Model)> {
    let user_id = readable.reader().viewer().user_id();
    let tx = Transaction::begin(app).await?;
    let (conversation, message) = lock(&tx, readable.message(), user_id).await?;
    if message.deleted_at.is_some() {
        return Err(deleted().into());
    }
    if !conversation.open {
        return Err(not_friends().into());
    }
    Ok((tx, message))
}

async fn finish_to_react(mut tx: Transaction<'_>, message: message::Model, changed: bool) -> Outcome<Reacted> {
    let reactions = reactions_of(tx.db(), message.id).await?;
    if changed {
        tell(&mut tx, MessageChange::Reacted, &message, reactions.clone()).await?;
        tx.commit().await?;
    }
    Ok(Reacted { message: Arc::new(message), reactions })
}

/// The row locks of a change, conversation first as everywhere. Refused for who is no longer in the conversation, as
/// for a message that does not exist: the proof may be of the moment before.
async fn lock(
    tx: &Transaction<'_>,
    message: &message::Model,
    user_id: UserId,
) -> Outcome<(conversation::Model, message::Model)> {
    let gone = || Error::internal("a message or its conversation is gone");
    let conversation = conversation::Entity::find_by_id(message.conversation_id).lock_exclusive();
    let conversation = conversation.one(tx.db()).await?.ok_or_else(gone)?;
    let member = member::Entity::find_by_id((conversation.id, user_id)).one(tx.db()).await?;
    member.ok_or_else(no_message)?;
    let message = message::Entity::find_by_id(message.id).lock_exclusive().one(tx.db()).await?;
    Ok((conversation, message.ok_or_else(gone)?))
}

async fn tell(
    tx: &mut Transaction<'_>,
    change: MessageChange,
    message: &message::Model,
    reactions: Vec<EmojiCount>,
) -> Result<(), Error> {
    let sender = user::Entity::find_by_id(message.sender_id).one(tx.db()).await?;
    let sender = sender.ok_or_else(|| Error::internal("the sender is gone"))?;
    let conversation_id = message.conversation_id;
    let (message, sender, reactions) = (Arc::new(message.clone()), Arc::new(sender), Some(reactions));
    tx.record(conversation_id, Event::Message { change, message, sender, reactions }).await?;
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

fn deleted() -> Refusal {
    Refusal::new(UserErrorCode::NotFound, "The message was deleted.").of_field("messageId")
}

/// What somebody is told who may not know that a message exists.
pub(super) fn no_message() -> Refusal {
    Refusal::new(UserErrorCode::NotFound, "There is no such message.").of_field("messageId")
}

pub(super) fn not_friends() -> Refusal {
    Refusal::new(UserErrorCode::NotFriends, "You are not friends any more, so nothing new can be written here.")
}
