//! Reading the event log.
//!
//! Every row has a key that grows with commits: on PostgreSQL the id of the transaction that wrote it, on SQLite the
//! row id, since there is one writer. A **watermark** is a key below which nothing can still appear:
//! `pg_snapshot_xmin` there, one past the last row here. Never a timestamp, never a bare bigserial, whose order is not
//! the order of commits.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use entity::{
    ConversationId, InviteId, MessageId, SessionId, Timestamp, UserId, conversation, event, invite, member, message,
    user,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement, Value,
};

use super::{Delivery, EmojiCount, Event, MessageChange, Topic};
use crate::{
    conversations::store::Receipts, db::Db, error::Error, graphql::loaders::Key, messages::store::ReactionsTo,
};

/// Events that are read at once.
pub const BATCH: u64 = 500;
/// Personal events and read positions that one comparison looks at.
const MAX_COMPARED: u64 = 10_000;
/// Pairs of a conversation and a person that one statement looks up.
const MAX_TERMS: usize = 400;

/// The key below which nothing can still appear.
pub async fn watermark(db: &Db) -> Result<i64, Error> {
    let statement = match db.is_postgres() {
        true => "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
        false => "SELECT coalesce(max(id), 0) + 1 FROM event",
    };
    let row = db.read().query_one_raw(Statement::from_string(backend(db), statement)).await?;
    Ok(row.ok_or_else(|| Error::internal("no watermark"))?.try_get_by_index(0)?)
}

/// The newest position of each conversation.
pub async fn positions(db: &Db, ids: &[ConversationId]) -> Result<HashMap<ConversationId, i64>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(ConversationId, i64)> = conversation::Entity::find()
        .select_only()
        .columns([conversation::Column::Id, conversation::Column::Position])
        .filter(conversation::Column::Id.is_in(ids.iter().copied()))
        .into_tuple()
        .all(db.read())
        .await?;
    Ok(rows.into_iter().collect())
}

/// A conversation's numbered events after a position, in order.
pub async fn conversation_after(db: &Db, id: ConversationId, after: i64, limit: u64) -> Result<Vec<Delivery>, Error> {
    use event::Column;
    let rows = event::Entity::find()
        .filter(Column::ConversationId.eq(id))
        .filter(Column::Position.gt(after))
        .order_by_asc(Column::Position)
        .limit(limit)
        .all(db.read())
        .await?;
    deliveries(db, rows).await
}

/// Everything that somebody may know about, from a watermark on, in the order of the log.
pub async fn since(db: &Db, user_id: UserId, watermark: i64, limit: u64) -> Result<Vec<Delivery>, Error> {
    let key = key(db);
    let order = match db.is_postgres() {
        true => "txn, id",
        false => "id",
    };
    let columns = "e.*";
    let statement = format!(
        "SELECT * FROM (\
             SELECT {columns} FROM event e JOIN member m ON m.conversation_id = e.conversation_id \
             WHERE m.user_id = $1 AND e.{key} >= $2 \
             UNION ALL \
             SELECT {columns} FROM event e WHERE e.conversation_id IS NULL AND e.user_id = $1 AND e.{key} >= $2\
         ) missed ORDER BY {order} LIMIT $3"
    );
    let values: [Value; 3] = [user_id.into(), watermark.into(), (limit as i64).into()];
    let rows = event::Entity::find()
        .from_raw_sql(Statement::from_sql_and_values(backend(db), statement, values))
        .all(db.read())
        .await?;
    deliveries(db, in_order_of_positions(newest_reads(rows))).await
}

/// The newest id of the log; 0 while it is empty.
pub async fn newest_id(db: &Db) -> Result<i64, Error> {
    let statement = Statement::from_string(backend(db), "SELECT coalesce(max(id), 0) FROM event");
    let row = db.read().query_one_raw(statement).await?;
    Ok(row.ok_or_else(|| Error::internal("no newest id"))?.try_get_by_index(0)?)
}

/// The log ids of people's personal events from a watermark on, in order.
pub async fn personal_ids(db: &Db, people: &[UserId], watermark: i64) -> Result<HashMap<UserId, Vec<i64>>, Error> {
    let mut ids: HashMap<UserId, Vec<i64>> = HashMap::new();
    if people.is_empty() {
        return Ok(ids);
    }
    let (key, places) = (key(db), places(2, people.len()));
    let statement = format!(
        "SELECT user_id, id FROM event WHERE conversation_id IS NULL AND user_id IN ({places}) AND {key} >= $1 \
         ORDER BY id LIMIT {MAX_COMPARED}"
    );
    let values = std::iter::once(Value::from(watermark)).chain(people.iter().map(|id| Value::from(*id)));
    for row in db.read().query_all_raw(Statement::from_sql_and_values(backend(db), statement, values)).await? {
        ids.entry(row.try_get_by_index(0)?).or_default().push(row.try_get_by_index(1)?);
    }
    Ok(ids)
}

/// Everybody's personal events from a watermark on, at most [`MAX_COMPARED`] after a row of the log.
pub async fn personal(db: &Db, watermark: i64, after_id: i64) -> Result<Compared, Error> {
    let key = key(db);
    let statement = format!(
        "SELECT * FROM event WHERE conversation_id IS NULL AND {key} >= $1 AND id > $2 ORDER BY id LIMIT {MAX_COMPARED}"
    );
    let values: [Value; 2] = [watermark.into(), after_id.into()];
    let rows = event::Entity::find()
        .from_raw_sql(Statement::from_sql_and_values(backend(db), statement, values))
        .all(db.read())
        .await?;
    Compared::of(db, rows).await
}

/// A part of what a comparison looks at.
pub struct Compared {
    pub deliveries: Vec<Delivery>,
    /// Where the next part begins; none when this was the last.
    pub next_after_id: Option<i64>,
}

impl Compared {
    async fn of(db: &Db, rows: Vec<event::Model>) -> Result<Self, Error> {
        let is_full = rows.len() as u64 >= MAX_COMPARED;
        let next_after_id = rows.last().filter(|_| is_full).map(|row| row.id);
        Ok(Self { deliveries: deliveries(db, newest_reads(rows)).await?, next_after_id })
    }
}

/// The read positions that moved in these conversations from a watermark on, as [`personal`].
pub async fn reads(db: &Db, ids: &[ConversationId], watermark: i64, after_id: i64) -> Result<Compared, Error> {
    if ids.is_empty() {
        return Ok(Compared { deliveries: Vec::new(), next_after_id: None });
    }
    let (key, places) = (key(db), places(3, ids.len()));
    let statement = format!(
        "SELECT * FROM event WHERE conversation_id IN ({places}) AND position IS NULL AND {key} >= $1 AND id > $2 \
         ORDER BY id LIMIT {MAX_COMPARED}"
    );
    let values =
        [Value::from(watermark), Value::from(after_id)].into_iter().chain(ids.iter().map(|id| Value::from(*id)));
    let rows = event::Entity::find()
        .from_raw_sql(Statement::from_sql_and_values(backend(db), statement, values))
        .all(db.read())
        .await?;
    Compared::of(db, rows).await
}

/// `$2, $3, …`
fn places(first: usize, n: usize) -> String {
    let places: Vec<String> = (first..first + n).map(|place| format!("${place}")).collect();
    places.join(", ")
}

fn backend(db: &Db) -> DbBackend {
    db.read().get_database_backend()
}

fn key(db: &Db) -> &'static str {
    match db.is_postgres() {
        true => "txn",
        false => "id",
    }
}

/// A transaction gets its id before it gets its positions, so the order of the log is not that of positions: puts each
/// conversation's numbered events in order, in the places that they have together.
fn in_order_of_positions(mut rows: Vec<event::Model>) -> Vec<event::Model> {
    let mut places: HashMap<ConversationId, Vec<usize>> = HashMap::new();
    for (idx, row) in rows.iter().enumerate() {
        if let (Some(id), Some(_)) = (row.conversation_id, row.position) {
            places.entry(id).or_default().push(idx);
        }
    }
    for places in places.into_values() {
        let mut sorted: Vec<event::Model> = places.iter().map(|idx| rows[*idx].clone()).collect();
        sorted.sort_by_key(|row| row.position);
        for (idx, row) in places.into_iter().zip(sorted) {
            rows[idx] = row;
        }
    }
    rows
}

/// Leaves only the last of several moves of one read position: it is state.
fn newest_reads(mut rows: Vec<event::Model>) -> Vec<event::Model> {
    let mut told = HashSet::new();
    rows.reverse();
    rows.retain(|row| row.kind != event::Kind::ReadMoved || told.insert((row.conversation_id, row.user_id)));
    rows.reverse();
    rows
}

/// The invites named in the rows that have been hidden from their invitee since.
async fn hidden_invites(db: &Db, rows: &[event::Model]) -> Result<HashSet<(InviteId, UserId)>, Error> {
    let ids: HashSet<InviteId> = rows.iter().filter_map(|row| row.invite_id).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let hidden = invite::Entity::find()
        .filter(invite::Column::Id.is_in(ids))
        .filter(invite::Column::Hidden.eq(true))
        .all(db.read())
        .await?;
    Ok(hidden.into_iter().filter_map(|row| Some((row.id, row.invitee_id?))).collect())
}

/// Whose place in which conversation a row is about.
fn member_of(row: &event::Model) -> Option<(ConversationId, UserId)> {
    match row.kind {
        event::Kind::ReadMoved | event::Kind::MemberChanged => row.conversation_id.zip(row.user_id),
        event::Kind::ConversationJoined | event::Kind::ConversationRemoved => row.joined_id.zip(row.user_id),
        _ => None,
    }
}

/// The reactions to the messages that rows name; a deleted one has none.
async fn reactions_to(
    db: &Db,
    messages: &HashMap<MessageId, Arc<message::Model>>,
) -> Result<HashMap<ReactionsTo, Vec<EmojiCount>>, Error> {
    let keys: Vec<ReactionsTo> = messages
        .values()
        .filter(|message| message.deleted_at.is_none())
        .map(|message| ReactionsTo(message.id))
        .collect();
    match keys.is_empty() {
        true => Ok(HashMap::new()),
        false => ReactionsTo::load(db, &keys).await,
    }
}

/// Whether the people whose read positions or switches rows tell of want read receipts.
async fn receipts_of(db: &Db, rows: &[event::Model]) -> Result<HashMap<Receipts, bool>, Error> {
    let is_about = |row: &&event::Model| matches!(row.kind, event::Kind::ReadMoved | event::Kind::ReceiptsSwitched);
    let people: HashSet<UserId> = rows.iter().filter(is_about).filter_map(|row| row.user_id).collect();
    match people.is_empty() {
        true => Ok(HashMap::new()),
        false => Receipts::load(db, &people.into_iter().map(Receipts).collect::<Vec<_>>()).await,
    }
}

/// Fills rows with what subscribers need to render them, as it is now. Six statements at most, however many rows.
async fn deliveries(db: &Db, rows: Vec<event::Model>) -> Result<Vec<Delivery>, Error> {
    let message_ids: HashSet<_> = rows.iter().filter_map(|row| row.message_id).collect();
    let messages: HashMap<_, _> = match message_ids.is_empty() {
        true => HashMap::new(),
        false => message::Entity::find()
            .filter(message::Column::Id.is_in(message_ids))
            .all(db.read())
            .await?
            .into_iter()
            .map(|row| (row.id, Arc::new(row)))
            .collect(),
    };
    let of_members: HashSet<(ConversationId, UserId)> = rows.iter().filter_map(member_of).collect();
    let members: HashMap<_, _> = match of_members.is_empty() {
        true => HashMap::new(),
        false => {
            let mut members = HashMap::new();
            // SQLite takes no more than a thousand terms.
            for chunk in of_members.iter().collect::<Vec<_>>().chunks(MAX_TERMS) {
                let wanted = chunk.iter().fold(sea_orm::Condition::any(), |any, (conversation_id, user_id)| {
                    use sea_orm::ExprTrait;
                    let of = member::Column::ConversationId.eq(*conversation_id);
                    any.add(of.and(member::Column::UserId.eq(*user_id)))
                });
                let rows = member::Entity::find().filter(wanted).all(db.read()).await?;
                members.extend(rows.into_iter().map(|row| ((row.conversation_id, row.user_id), row)));
            }
            members
        }
    };
    let user_ids: HashSet<UserId> = messages
        .values()
        .map(|message| message.sender_id)
        .chain(of_members.iter().map(|(_, user_id)| *user_id))
        .collect();
    let users: HashMap<_, _> = match user_ids.is_empty() {
        true => HashMap::new(),
        false => user::Entity::find()
            .filter(user::Column::Id.is_in(user_ids))
            .all(db.read())
            .await?
            .into_iter()
            .map(|row| (row.id, Arc::new(row)))
            .collect(),
    };
    let hidden = hidden_invites(db, &rows).await?;
    let reactions = reactions_to(db, &messages).await?;
    let receipts = receipts_of(db, &rows).await?;
    let wants_receipts = |user_id: UserId| receipts.get(&Receipts(user_id)).copied().unwrap_or(false);
    let event_of = |row: &event::Model| -> Option<Event> {
        let message = |change| {
            let message = messages.get(&row.message_id?)?;
            let sender = users.get(&message.sender_id)?;
            Some(Event::Message {
                change,
                message: Arc::clone(message),
                sender: Arc::clone(sender),
                reactions: Some(reactions.get(&ReactionsTo(message.id)).cloned().unwrap_or_default()),
            })
        };
        match row.kind {
            event::Kind::MessageAdded => message(MessageChange::Added),
            event::Kind::MessageEdited => message(MessageChange::Edited),
            event::Kind::MessageDeleted => message(MessageChange::Deleted),
            event::Kind::MessageReacted => message(MessageChange::Reacted),
            event::Kind::MemberChanged => {
                let (conversation_id, user_id) = (row.conversation_id?, row.user_id?);
                Some(match members.get(&(conversation_id, user_id)).zip(users.get(&user_id)) {
                    Some((member, user)) => {
                        Event::MemberChanged { member: Arc::new(member.clone()), user: Arc::clone(user) }
                    }
                    // They have left since.
                    None => Event::MemberRemoved { conversation_id, user_id, early: true },
                })
            }
            event::Kind::MemberRemoved => {
                let (conversation_id, user_id) = (row.conversation_id?, row.user_id?);
                Some(Event::MemberRemoved { conversation_id, user_id, early: false })
            }
            event::Kind::ConversationDeleted => {
                Some(Event::ConversationDeleted { conversation_id: row.conversation_id? })
            }
            event::Kind::ConversationChanged => {
                Some(Event::ConversationChanged { conversation_id: row.conversation_id? })
            }
            event::Kind::ReadMoved => {
                let (conversation_id, user_id) = (row.conversation_id?, row.user_id?);
                let (sequence, read_at) = members.get(&(conversation_id, user_id))?.shown_read();
                Some(Event::ReadMoved {
                    conversation_id,
                    user: Arc::clone(users.get(&user_id)?),
                    sequence,
                    read_at: read_at?,
                    hidden: !wants_receipts(user_id),
                })
            }
            event::Kind::InviteChanged => {
                let invite_id = row.invite_id?;
                let is_hidden = row.user_id.is_some_and(|user_id| hidden.contains(&(invite_id, user_id)));
                (!is_hidden).then_some(Event::InviteChanged { invite_id })
            }
            event::Kind::FriendshipChanged => Some(Event::FriendshipChanged { other_id: row.subject_id? }),
            // Both tell what is so now: who has left since has not joined, who has come back has not left.
            event::Kind::ConversationJoined => {
                let (conversation_id, after) = (row.joined_id?, row.position.unwrap_or(0));
                let is_member = members.contains_key(&(conversation_id, row.user_id?));
                is_member.then_some(Event::ConversationJoined { conversation_id, after })
            }
            event::Kind::ConversationRemoved => {
                let conversation_id = row.joined_id?;
                let is_member = members.contains_key(&(conversation_id, row.user_id?));
                (!is_member).then_some(Event::ConversationRemoved { conversation_id })
            }
            event::Kind::SessionRevoked => Some(Event::SessionRevoked {
                session_id: SessionId(row.session_id?.0),
                // As long as a token can live at all: a day is the most that can be set.
                forget_at: Timestamp(row.created_at.0).plus_seconds(86_400),
            }),
            event::Kind::ReceiptsSwitched => {
                let user_id = row.user_id?;
                Some(Event::ReceiptsSwitched { user_id, on: wants_receipts(user_id) })
            }
        }
    };
    let deliveries = rows.iter().filter_map(|row| {
        let topic = match (row.conversation_id, row.user_id) {
            (Some(id), _) => Topic::Conversation(id),
            (None, Some(id)) => Topic::User(id),
            (None, None) => return None,
        };
        let event = event_of(row)?;
        // What one person hears has no number of its own.
        let position = row.conversation_id.and(row.position);
        Some(Delivery { topic, position, log_id: Some(row.id), occurred_at: row.created_at, event })
    });
    Ok(deliveries.collect())
}
