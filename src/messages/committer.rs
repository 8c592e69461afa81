//! The group commit.
//!
//! Sends that arrive while a commit is in flight form the next transaction: no timer, so that nobody waits who comes
//! alone, and one round trip and one flush for all who come together. A send is answered after its commit.
//!
//! A conversation always goes by the same lane, so two batches never wait for each other's row locks, and within a
//! batch the conversations are locked in id order. Retries with one key within a batch are joined before the
//! database sees them. Other messages with that key wait for what it makes; if it makes nothing they are in the next
//! batch. Across lanes and processes the unique index decides, and the batch is tried again.

mod postgres;
pub(crate) mod sqlite;

use std::{collections::HashMap, sync::Arc};

use entity::{ConversationId, MessageId, Timestamp, UserId, message, user};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    actions::not_friends,
    types::{IdempotencyKey, MessageBody},
};
use crate::{
    app::App,
    auth::Viewer,
    clock::Clock,
    db::Db,
    error::{Error, Failure, Outcome, Refusal, UserErrorCode},
    events::{Delivery, Event, MessageChange, Topic, bus::Bus},
    server::metrics::{COMMIT_BATCH_SIZE, COMMITS},
};

/// Most messages in one transaction.
const MAX_BATCH: usize = 256;
/// Sends that may wait in a lane; more are told to come back.
const MAX_WAITING: usize = 4096;
/// Tries of a batch that meets a key which another process commits at the same moment.
const MAX_TRIES: usize = 3;

/// A message that somebody wants to send.
#[derive(Clone, Debug)]
pub struct Draft {
    id: MessageId,
    conversation_id: ConversationId,
    sender_id: UserId,
    body: String,
    reply_to_id: Option<MessageId>,
    key: Option<String>,
    /// Of everything that the key stands for; only with a key.
    hash: Option<Vec<u8>>,
}

/// A message that is committed.
#[derive(Clone, Debug)]
pub struct Sent {
    pub message: Arc<message::Model>,
    /// The key had been used before, and this is the message it made then.
    pub replayed: bool,
}

impl Draft {
    pub fn new(
        app: &App,
        viewer: &Viewer,
        conversation_id: ConversationId,
        body: MessageBody,
        reply_to_id: Option<MessageId>,
        key: Option<IdempotencyKey>,
    ) -> Self {
        let hash = key.as_ref().map(|_| {
            let mut hash = Sha256::new();
            hash.update(conversation_id.0);
            hash.update(reply_to_id.map_or([0; 16], |id| id.0.into_bytes()));
            hash.update(body.as_str());
            hash.finalize().to_vec()
        });
        Self {
            id: app.clock.new_id(),
            conversation_id,
            sender_id: viewer.user_id(),
            body: body.into_string(),
            reply_to_id,
            key: key.map(IdempotencyKey::into_string),
            hash,
        }
    }

    fn into_message(self, sequence: i64, created_at: Timestamp) -> message::Model {
        message::Model {
            id: self.id,
            conversation_id: self.conversation_id,
            sequence,
            sender_id: self.sender_id,
            body: Some(self.body),
            reply_to_id: self.reply_to_id,
            idempotency_key: self.key,
            input_hash: self.hash,
            created_at,
            edited_at: None,
            deleted_at: None,
        }
    }
}

/// What the database made of a draft.
#[derive(Debug)]
enum Verdict {
    Added {
        sequence: i64,
        position: i64,
        sender: Arc<user::Model>,
    },
    /// The key is known: with this message.
    Replayed(MessageId),
    Refused(Reason),
}

/// Why a draft was not committed. The numbers are those that the SQL answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    KeyConflict,
    NotMember,
    NotOpen,
    NoReplyTarget,
}

impl Reason {
    fn refusal(self) -> Refusal {
        match self {
            Self::KeyConflict => Refusal::new(
                UserErrorCode::IdempotencyConflict,
                "This idempotency key was used for another message. Use a new key for each message.",
            )
            .of_field("idempotencyKey"),
            Self::NotMember => crate::conversations::graphql::no_conversation(),
            Self::NotOpen => not_friends(),
            Self::NoReplyTarget => {
                Refusal::new(UserErrorCode::NotFound, "There is no such message in this conversation.")
                    .of_field("replyToId")
            }
        }
    }
}

/// What the SQL answers for a draft: the outcome, the message that its key made earlier, and for an added one its
/// sequence, its position and the sender's columns.
type Answer = (i16, Option<Uuid>, Option<i64>, Option<i64>, Option<String>, Option<String>, Option<bool>, Option<i64>);

/// The answers are in the order of the drafts.
fn verdicts(drafts: &[&Draft], answers: Vec<Answer>) -> Result<Vec<Verdict>, sqlx::Error> {
    if answers.len() != drafts.len() {
        return Err(sqlx::Error::Protocol(format!("{} verdicts for {} drafts", answers.len(), drafts.len())));
    }
    drafts.iter().zip(answers).map(|(draft, answer)| verdict(draft, answer)).collect()
}

fn verdict(draft: &Draft, answer: Answer) -> Result<Verdict, sqlx::Error> {
    Ok(match answer {
        (
            0,
            _,
            Some(sequence),
            Some(position),
            Some(username),
            Some(display_name),
            Some(discoverable),
            Some(created_at),
        ) => {
            let created_at = Timestamp(created_at);
            let sender = user::Model { id: draft.sender_id, username, display_name, discoverable, created_at };
            Verdict::Added { sequence, position, sender: Arc::new(sender) }
        }
        (1, Some(earlier), ..) => Verdict::Replayed(MessageId(earlier)),
        (2, ..) => Verdict::Refused(Reason::KeyConflict),
        (3, ..) => Verdict::Refused(Reason::NotMember),
        (4, ..) => Verdict::Refused(Reason::NotOpen),
        (5, ..) => Verdict::Refused(Reason::NoReplyTarget),
        other => return Err(sqlx::Error::Protocol(format!("not a verdict: {other:?}"))),
    })
}

struct Waiting {
    draft: Draft,
    answer: oneshot::Sender<Outcome<Sent>>,
}

/// Takes drafts and commits them in groups.
pub struct Committer {
    lanes: Vec<mpsc::Sender<Waiting>>,
}

impl Committer {
    /// Starts the lanes. They end when the committer is dropped, after what waits has been committed.
    pub fn start(db: Db, clock: Clock, bus: Arc<dyn Bus>, n_lanes: u8) -> Self {
        let n_lanes = if db.is_postgres() { n_lanes.max(1) } else { 1 };
        let lanes = (0..n_lanes).map(|_| {
            let (sender, receiver) = mpsc::channel(MAX_WAITING);
            let lane = Lane { db: db.clone(), clock: clock.clone(), bus: Arc::clone(&bus) };
            tokio::spawn(lane.run(receiver));
            sender
        });
        Self { lanes: lanes.collect() }
    }

    /// Commits a draft with whatever else is on its way, and answers after the commit.
    pub async fn send(&self, draft: Draft) -> Outcome<Sent> {
        let lane = &self.lanes[draft.conversation_id.0.as_u128() as usize % self.lanes.len()];
        let (answer, answered) = oneshot::channel();
        lane.try_send(Waiting { draft, answer })
            .map_err(|_| Error::Unavailable("the committer's queue is full".into()))?;
        answered.await.map_err(|_| Error::Unavailable("the committer has stopped".into()))?
    }
}

/// What a draft's key made before, when it made something.
pub(super) async fn find_replay(app: &App, draft: &Draft) -> Result<Option<Outcome<Sent>>, Error> {
    use message::Column;
    let Some(key) = &draft.key else { return Ok(None) };
    let earlier = message::Entity::find()
        .filter(Column::SenderId.eq(draft.sender_id))
        .filter(Column::IdempotencyKey.eq(key))
        .one(app.db.read())
        .await?;
    Ok(earlier.map(|earlier| {
        if earlier.input_hash == draft.hash {
            Ok(Sent { message: Arc::new(earlier), replayed: true })
        } else {
            Err(Reason::KeyConflict.refusal().into())
        }
    }))
}

struct Lane {
    db: Db,
    clock: Clock,
    bus: Arc<dyn Bus>,
}

impl Lane {
    async fn run(self, mut receiver: mpsc::Receiver<Waiting>) {
        // What the batch before left begins the next one.
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while !batch.is_empty() || receiver.recv_many(&mut batch, MAX_BATCH).await > 0 {
            // Sends whose requests have arrived and are only not read yet come along; nobody waits for more than that.
            tokio::task::yield_now().await;
            while batch.len() < MAX_BATCH
                && let Ok(waiting) = receiver.try_recv()
            {
                batch.push(waiting);
            }
            metrics::counter!(COMMITS).increment(1);
            metrics::histogram!(COMMIT_BATCH_SIZE).record(batch.len() as f64);
            batch = self.commit(std::mem::take(&mut batch)).await;
        }
    }

    /// Commits a batch and answers everybody in it, but those who are to be judged in the next one.
    async fn commit(&self, mut batch: Vec<Waiting>) -> Vec<Waiting> {
        batch.sort_by_key(|waiting| waiting.draft.conversation_id);
        let (first_tries, repeats) = join_repeats(batch);
        let drafts: Vec<&Draft> = first_tries.iter().map(|waiting| &waiting.draft).collect();
        let verdicts = match self.judge(&drafts).await {
            Ok(verdicts) => verdicts,
            // One draft that the database cannot take, or one conversation whose lock somebody sits on, must not take
            // the others with it.
            Err(error) if may_pass_in_parts(&drafts, &error) => self.judge_parts(&drafts, &error).await,
            Err(error) => all_failed(&drafts, self.clock.now(), &error.into()),
        };
        self.answer(first_tries, verdicts, repeats).await
    }

    /// Commits a batch in smaller parts: by conversation where a lock was in the way, else one by one.
    async fn judge_parts(&self, drafts: &[&Draft], why: &sqlx::Error) -> Vec<Judged> {
        let together =
            |one: &&Draft, next: &&Draft| is_lock_timeout(why) && one.conversation_id == next.conversation_id;
        let mut verdicts = Vec::with_capacity(drafts.len());
        for part in drafts.chunk_by(together) {
            match self.judge(part).await {
                Ok(of_part) => verdicts.extend(of_part),
                Err(error) => verdicts.extend(all_failed(part, self.clock.now(), &error.into())),
            }
        }
        verdicts
    }

    async fn judge(&self, drafts: &[&Draft]) -> Result<Vec<Judged>, sqlx::Error> {
        let mut n_tries = 0;
        loop {
            n_tries += 1;
            let now = self.clock.now();
            let commit = async {
                match self.db.is_postgres() {
                    true => postgres::commit(self.db.lanes().get_postgres_connection_pool(), drafts, now).await,
                    false => sqlite::commit(self.db.lanes().get_sqlite_connection_pool(), drafts, now).await,
                }
            };
            let result = tokio::select! {
                biased;
                result = commit => result,
                // Whether it was committed is not known; a retry with the same key finds out.
                () = self.db.is_away() => Err(sqlx::Error::PoolTimedOut),
            };
            match result {
                Ok(verdicts) => return Ok(verdicts.into_iter().map(|verdict| (now, Ok(verdict))).collect()),
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() && n_tries < MAX_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Publishes what was added, in order, and answers. Gives back whom it could not answer.
    async fn answer(
        &self,
        first_tries: Vec<Waiting>,
        verdicts: Vec<Judged>,
        mut repeats: HashMap<MessageId, Vec<Waiting>>,
    ) -> Vec<Waiting> {
        let mut unanswered = Vec::new();
        let mut deliveries = Vec::with_capacity(first_tries.len());
        let mut answers = Vec::with_capacity(first_tries.len());
        let mut replayed = Vec::new();
        for (waiting, (now, verdict)) in first_tries.into_iter().zip(verdicts) {
            let Waiting { draft, answer } = waiting;
            let (id, hash) = (draft.id, draft.hash.clone());
            let outcome = match verdict {
                Ok(Verdict::Added { sequence, position, sender }) => {
                    let message = Arc::new(draft.into_message(sequence, now));
                    deliveries.push(Arc::new(Delivery {
                        topic: Topic::Conversation(message.conversation_id),
                        position: Some(position),
                        log_id: None,
                        occurred_at: now,
                        event: Event::Message {
                            change: MessageChange::Added,
                            message: Arc::clone(&message),
                            sender,
                            reactions: Some(Vec::new()),
                        },
                    }));
                    Ok(Sent { message, replayed: false })
                }
                Ok(Verdict::Replayed(earlier)) => {
                    replayed.push((earlier, hash, answer, repeats.remove(&id).unwrap_or_default()));
                    continue;
                }
                Ok(Verdict::Refused(reason)) => Err(reason.refusal().into()),
                Err(error) => Err(error.into()),
            };
            answers.push((outcome, hash, answer, repeats.remove(&id).unwrap_or_default()));
        }
        self.bus.publish(deliveries);
        for (outcome, hash, answer, repeats) in answers {
            unanswered.extend(tell(outcome, hash.as_deref(), answer, repeats));
        }
        if !replayed.is_empty() {
            let loaded = self.load(replayed.iter().map(|(earlier, ..)| *earlier)).await;
            for (earlier, hash, answer, repeats) in replayed {
                let outcome = match &loaded {
                    Ok(messages) => match messages.get(&earlier) {
                        Some(message) => Ok(Sent { message: Arc::clone(message), replayed: true }),
                        None => Err(Error::internal("a replayed message is gone").into()),
                    },
                    Err(error) => Err(error.clone().into()),
                };
                unanswered.extend(tell(outcome, hash.as_deref(), answer, repeats));
            }
        }
        unanswered
    }

    async fn load(
        &self,
        ids: impl Iterator<Item = MessageId>,
    ) -> Result<HashMap<MessageId, Arc<message::Model>>, Error> {
        let rows = message::Entity::find().filter(message::Column::Id.is_in(ids)).all(self.db.read()).await?;
        Ok(rows.into_iter().map(|row| (row.id, Arc::new(row))).collect())
    }
}

/// A verdict, and when it was made.
type Judged = (Timestamp, Result<Verdict, Error>);

fn all_failed(drafts: &[&Draft], now: Timestamp, error: &Error) -> Vec<Judged> {
    drafts.iter().map(|_| (now, Err(error.clone()))).collect()
}

/// Whether parts of a batch may succeed where the whole failed.
fn may_pass_in_parts(drafts: &[&Draft], error: &sqlx::Error) -> bool {
    match is_lock_timeout(error) {
        true => drafts.iter().any(|draft| draft.conversation_id != drafts[0].conversation_id),
        false => drafts.len() > 1 && matches!(Error::from_sqlx(error), Error::Internal(_)),
    }
}

/// Somebody held a conversation's row for longer than may be waited.
fn is_lock_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("55P03"))
}

/// Answers a draft and those that repeat its key. Gives back those that say something else and of which its outcome
/// says nothing.
fn tell(
    outcome: Outcome<Sent>,
    hash: Option<&[u8]>,
    answer: oneshot::Sender<Outcome<Sent>>,
    repeats: Vec<Waiting>,
) -> Vec<Waiting> {
    let mut unanswered = Vec::new();
    for repeat in repeats {
        match repeat_outcome(&outcome, hash == repeat.draft.hash.as_deref()) {
            // Who has gone away misses the answer, not the message.
            Some(outcome) => _ = repeat.answer.send(outcome),
            None => unanswered.push(repeat),
        }
    }
    let _ = answer.send(outcome);
    unanswered
}

/// Takes the drafts out that repeat an earlier one's key, filed under the id of that one.
fn join_repeats(batch: Vec<Waiting>) -> (Vec<Waiting>, HashMap<MessageId, Vec<Waiting>>) {
    let mut first_tries: Vec<Waiting> = Vec::with_capacity(batch.len());
    let mut repeats: HashMap<MessageId, Vec<Waiting>> = HashMap::new();
    let mut by_key: HashMap<(UserId, String), MessageId> = HashMap::new();
    for waiting in batch {
        if let Some(key) = &waiting.draft.key {
            match by_key.entry((waiting.draft.sender_id, key.clone())) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    repeats.entry(*first.get()).or_default().push(waiting);
                    continue;
                }
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(waiting.draft.id);
                }
            }
        }
        first_tries.push(waiting);
    }
    (first_tries, repeats)
}

/// What a repeat is told, from what the first with its key was told; nothing when that is no answer to it.
fn repeat_outcome(first: &Outcome<Sent>, same_input: bool) -> Option<Outcome<Sent>> {
    match first {
        Ok(sent) if same_input => Some(Ok(Sent { message: Arc::clone(&sent.message), replayed: true })),
        Ok(_) => Some(Err(Reason::KeyConflict.refusal().into())),
        // Nothing can be committed now, whatever it says.
        Err(Failure::Fault(error @ Error::Unavailable(_))) => Some(Err(error.clone().into())),
        Err(Failure::Refused(refusals)) if same_input => Some(Err(Failure::Refused(refusals.clone()))),
        Err(Failure::Fault(error)) if same_input => Some(Err(error.clone().into())),
        // The first made nothing, so the key may be free for the other input, or stand for it already.
        Err(Failure::Refused(_) | Failure::Fault(_)) => None,
    }
}
