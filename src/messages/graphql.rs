//! Messages on the wire.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject, Subscription};
use entity::{ConversationId, MessageId, conversation, message, user};
use futures_util::Stream;

use super::{
    access::{self, Readable},
    actions::{self, Reacted, SendOutcome},
    search::{self, query::SearchQuery},
    store::{MessageRange, ReactionsBy, ReactionsTo},
    types::{Emoji, IdempotencyKey, MessageBody},
};
use crate::{
    connection,
    conversations::graphql::{Conversation, int, no_conversation, of_message, read_by},
    delivery::{
        cursor::{self, EventCursor},
        feed::{Feed, Root, Source},
    },
    error::{Error, Refusal, UserErrorCode, payload},
    events::{EmojiCount, MessageChange},
    graphql::{
        app,
        ids::{GlobalId, decode_argument, decode_field},
        loaders::Loaders,
        pagination::{Direction, PageArguments, PageInfo, PageRequest, encode_cursor, page_info_of},
        scalars::DateTime,
        viewer,
    },
    users::graphql::{User, UserConnection},
};

/// Something that somebody wrote in a conversation.
#[derive(Clone)]
pub struct Message {
    row: Arc<message::Model>,
    /// The sender, where they came along with the message.
    sender: Option<Arc<user::Model>>,
    /// What stands at it, where that came along.
    reactions: Option<Vec<EmojiCount>>,
}

impl Message {
    /// For a row that the viewer may see.
    pub fn new(row: Arc<message::Model>) -> Self {
        Self { row, sender: None, reactions: None }
    }

    pub fn with(row: Arc<message::Model>, sender: Arc<user::Model>, reactions: Option<Vec<EmojiCount>>) -> Self {
        Self { row, sender: Some(sender), reactions }
    }

    pub fn of(readable: &Readable) -> Self {
        Self::new(Arc::clone(readable.message()))
    }

    /// The message in its place among those of its conversation.
    pub fn into_edge(self) -> MessageEdge {
        MessageEdge { cursor: encode_cursor(&self.row.sequence), node: self }
    }
}

/// Something that somebody wrote in a conversation.
#[Object]
impl Message {
    /// Global id, `msg_…`.
    pub async fn id(&self) -> ID {
        self.row.id.encode()
    }

    /// Where it was written.
    async fn conversation(&self, ctx: &Context<'_>) -> async_graphql::Result<Conversation> {
        Ok(of_message(ctx, self.row.id, self.row.conversation_id).await?)
    }

    /// 1, 2, 3 … within the conversation: no gaps, never reused, the order everybody sees.
    async fn sequence(&self) -> i32 {
        int(self.row.sequence)
    }

    /// Who wrote it.
    async fn sender(&self, ctx: &Context<'_>) -> async_graphql::Result<User> {
        if let Some(sender) = &self.sender {
            return Ok(User::new(Arc::clone(sender)));
        }
        let sender = loaders(ctx).load(self.row.sender_id).await?;
        Ok(User::new(sender.ok_or_else(|| Error::internal("a message without its sender"))?))
    }

    /// What it says, exactly as it was written. Null once deleted.
    async fn body(&self) -> Option<&str> {
        self.row.body.as_deref()
    }

    /// The message that this one answers; null when it answers none.
    async fn reply_to(&self, ctx: &Context<'_>) -> Option<async_graphql::Result<Message>> {
        let reply_to_id = self.row.reply_to_id?;
        let replied = loaders(ctx).load(reply_to_id).await;
        replied.map_err(Into::into).map(|replied| replied.map(Message::new)).transpose()
    }

    /// What people reacted with, the emoji first used first. Empty once deleted.
    async fn reactions(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<ReactionCount>> {
        let message_id = self.row.id;
        let counts = match &self.reactions {
            _ if self.row.deleted_at.is_some() => Vec::new(),
            Some(counts) => counts.clone(),
            None => loaders(ctx).load(ReactionsTo(message_id)).await?.unwrap_or_default(),
        };
        Ok(counts.into_iter().map(|count| ReactionCount { message_id, count }).collect())
    }

    /// When it was committed.
    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }

    /// When its body was last replaced; null when never.
    async fn edited_at(&self) -> Option<DateTime> {
        self.row.edited_at.map(Into::into)
    }

    /// When it was deleted; null while it stands.
    async fn deleted_at(&self) -> Option<DateTime> {
        self.row.deleted_at.map(Into::into)
    }

    /// Members whose read position has reached this message, the sender left out, in a stable order. Who sends no read
    /// receipts is not among them; it is empty for a viewer who wants none (`viewer.readReceipts`).
    async fn read_by(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the start (or from `after`), up to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end (or from `before`), up to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<UserConnection> {
        let page = PageArguments { first, after, last, before };
        let readers = read_by(ctx, self.row.conversation_id, self.row.sequence, self.row.sender_id, page).await?;
        Ok(readers)
    }
}

/// One emoji at a message.
#[derive(Clone)]
pub struct ReactionCount {
    message_id: MessageId,
    count: EmojiCount,
}

/// One emoji at a message, and how many people put it there.
#[Object]
impl ReactionCount {
    /// The emoji, in its fully qualified form.
    async fn emoji(&self) -> &str {
        &self.count.emoji
    }

    /// How many people reacted with it.
    async fn count(&self) -> i32 {
        int(self.count.count)
    }

    /// Whether the viewer is one of them.
    async fn viewer_has_reacted(&self, ctx: &Context<'_>) -> async_graphql::Result<bool> {
        let user_id = viewer(ctx)?.user_id();
        if let Some(by) = &self.count.by {
            return Ok(by.contains(&user_id));
        }
        let own = loaders(ctx).load(ReactionsBy { message_id: self.message_id, user_id }).await?;
        Ok(own.is_some_and(|own| own.contains(&self.count.emoji)))
    }
}

fn loaders(ctx: &Context<'_>) -> Arc<Loaders> {
    crate::graphql::loaders(ctx)
}

connection!(MessageConnection, MessageEdge, Message);

impl MessageConnection {
    /// For who may not see the messages, whatever page they ask for.
    pub fn nothing(_: &PageRequest<i64>) -> Self {
        Self { page_info: PageInfo::default(), edges: Vec::new() }
    }
}

/// A page of a conversation's messages. Sequences have no gaps, so the page is a range and its neighbours are known.
pub async fn messages_page(
    loaders: &Loaders,
    conversation: &conversation::Model,
    arguments: PageArguments,
) -> Result<MessageConnection, Error> {
    let page = arguments.resolve::<i64>(Direction::Backward)?;
    let newest = conversation.sequence;
    let lowest = page.after.map_or(1, |after| after.saturating_add(1).max(1));
    let highest = page.before.map_or(newest, |before| before.saturating_sub(1).min(newest));
    let size = page.size as i64;
    let (from, to) = match page.direction {
        Direction::Forward => (lowest, highest.min(lowest.saturating_add(size - 1))),
        Direction::Backward => (lowest.max(highest.saturating_sub(size - 1)), highest),
    };
    let range = MessageRange { conversation_id: conversation.id, from, to };
    let rows = if from <= to { loaders.load(range).await? } else { None };
    let edges: Vec<MessageEdge> =
        rows.iter().flat_map(|rows| rows.iter()).map(|row| Message::new(Arc::clone(row)).into_edge()).collect();
    let (has_next_page, has_previous_page) = match edges.is_empty() {
        // An empty page lies just before `lowest`, or just after `highest`.
        true => match page.direction {
            Direction::Forward => (lowest <= newest, lowest > 1 && newest > 0),
            Direction::Backward => (highest < newest, highest > 0),
        },
        false => (to < newest, from > 1),
    };
    Ok(MessageConnection {
        page_info: page_info_of(has_next_page, has_previous_page, &edges, |edge| &edge.cursor),
        edges,
    })
}

/// Finding messages.
#[derive(Default)]
pub struct MessageQuery;

#[Object]
impl MessageQuery {
    /// Full-text search in the viewer's own conversations, newest first: messages that have all the words, without regard
    /// to case and accents. `"words in a row"` finds them in this order, `-word` leaves out messages that have it. Words
    /// are whole: there are no wildcards. Deleted messages are not found. What was committed before is found, except for
    /// a while after a server of long use has got this search. Rate limited: wait until the person has stopped typing.
    async fn search_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most 200 characters and 16 words, at least one of them wanted.")] query: String,
        #[graphql(desc = "`conv_…` of the one conversation to search in; all without it.")] conversation_id: Option<ID>,
        #[graphql(desc = "Size of the page, at most `server.limits.maxPageSize`; 25 by default.")] first: Option<i32>,
        #[graphql(desc = "Continues after this cursor of the same search.")] after: Option<String>,
    ) -> async_graphql::Result<MessageConnection> {
        let viewer = viewer(ctx)?;
        let query = SearchQuery::parse(&query)?;
        let page = PageArguments::forward(first, after).resolve(Direction::Forward)?;
        let loaders = loaders(ctx);
        let within = match conversation_id {
            Some(id) => {
                let id: ConversationId = decode_argument(&id, "conversationId")?;
                let reader = crate::conversations::access::reader(&loaders, &viewer, id).await?;
                Some(reader.ok_or(Error::NotFound("There is no such conversation."))?)
            }
            None => None,
        };
        let page = search::search(app(ctx), &viewer, &query, within.as_ref(), &page).await?;
        let rows = loaders.load_many(page.rows.iter().map(|(_, id)| *id).collect()).await?;
        let edges: Vec<MessageEdge> = page
            .rows
            .iter()
            .filter_map(|(place, id)| {
                let row = rows.get(id).filter(|row| row.deleted_at.is_none())?;
                Some(MessageEdge { cursor: encode_cursor(place), node: Message::new(Arc::clone(row)) })
            })
            .collect();
        Ok(MessageConnection {
            page_info: page_info_of(page.has_next_page, page.has_previous_page, &edges, |edge| &edge.cursor),
            edges,
        })
    }
}

/// A message to send.
#[derive(InputObject)]
pub struct SendMessageInput {
    /// `conv_…`
    conversation_id: ID,
    /// What it says: 1 to 4000 characters, kept exactly.
    body: String,
    /// `msg_…` of the message that it answers, in the same conversation.
    reply_to_id: Option<ID>,
    /// Repeat a send after a lost answer with the same key and get the first message back, never a second one. A
    /// UUID for each message is a good key; it never expires.
    idempotency_key: Option<String>,
}

/// The answer to `sendMessage`.
#[derive(SimpleObject)]
pub struct SendMessagePayload {
    /// The edge, not only the node: append it to the cached connection as it is. Null when refused.
    message_edge: Option<MessageEdge>,
    /// This key was used before, and this is the message it made then. Who has left the conversation since learns that
    /// it was sent, and no more: `messageEdge` is null, and `userErrors` says `NOT_FOUND`.
    replayed: bool,
    /// Why it was refused; empty when it was sent.
    user_errors: Vec<Refusal>,
}

/// A new body for a message.
#[derive(InputObject)]
pub struct EditMessageInput {
    /// `msg_…` of a message that the viewer sent.
    message_id: ID,
    /// What it says from now on: 1 to 4000 characters.
    body: String,
}

/// A message to delete.
#[derive(InputObject)]
pub struct DeleteMessageInput {
    /// `msg_…` of a message that the viewer sent.
    message_id: ID,
}

/// An emoji at a message.
#[derive(InputObject)]
pub struct ReactionInput {
    /// `msg_…`
    message_id: ID,
    /// Exactly one emoji. Its forms with and without a variation selector are the same.
    emoji: String,
}

/// The answer to a change of a message.
#[derive(SimpleObject)]
pub struct MessagePayload {
    /// The edge, not only the node. Null when refused.
    message_edge: Option<MessageEdge>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

#[derive(Default)]
pub struct MessageMutation;

#[Object]
impl MessageMutation {
    /// Sends a message. When the answer comes, it is on the disk.
    async fn send_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to send, and where.")] input: SendMessageInput,
    ) -> async_graphql::Result<SendMessagePayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let conversation_id: ConversationId = decode_field(&input.conversation_id, "conversationId")?;
            let body = MessageBody::parse(input.body)?;
            let reply_to_id = input.reply_to_id.map(|id| decode_field(&id, "replyToId")).transpose()?;
            let key = input.idempotency_key.map(IdempotencyKey::parse).transpose()?;
            actions::send(app(ctx), &viewer, conversation_id, body, reply_to_id, key).await
        };
        let (outcome, user_errors) = payload(outcome.await)?;
        let edge = |message| Some(Message::new(message).into_edge());
        let (message_edge, replayed, user_errors) = match outcome {
            Some(SendOutcome::Added(message)) => (edge(message), false, user_errors),
            Some(SendOutcome::Replayed(message)) => (edge(message), true, user_errors),
            Some(SendOutcome::ReplayedOutside) => (None, true, vec![no_conversation()]),
            None => (None, false, user_errors),
        };
        Ok(SendMessagePayload { message_edge, replayed, user_errors })
    }

    /// Replaces the body of a message that the viewer sent.
    async fn edit_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and the new body.")] input: EditMessageInput,
    ) -> async_graphql::Result<MessagePayload> {
        let outcome = async {
            let body = MessageBody::parse(input.body)?;
            let own = own(ctx, &input.message_id).await?;
            actions::edit(app(ctx), &own, body).await
        };
        message_payload(outcome.await)
    }

    /// Deletes a message that the viewer sent: its place stays, its body goes, for everybody.
    async fn delete_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: DeleteMessageInput,
    ) -> async_graphql::Result<MessagePayload> {
        let outcome = async {
            let own = own(ctx, &input.message_id).await?;
            actions::delete(app(ctx), &own).await
        };
        message_payload(outcome.await)
    }

    /// Puts an emoji to a message, once for each person. Repeating it changes nothing. A message has at most 20 different
    /// ones.
    async fn add_reaction(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which emoji, at which message.")] input: ReactionInput,
    ) -> async_graphql::Result<MessagePayload> {
        let outcome = async {
            let emoji = Emoji::parse(&input.emoji)?;
            let readable = readable(ctx, &input.message_id).await?;
            actions::add_reaction(app(ctx), &readable, emoji).await
        };
        reaction_payload(outcome.await)
    }

    /// Takes the viewer's emoji away from a message. Where it is not, nothing changes.
    async fn remove_reaction(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which emoji, at which message.")] input: ReactionInput,
    ) -> async_graphql::Result<MessagePayload> {
        let outcome = async {
            let emoji = Emoji::parse(&input.emoji)?;
            let readable = readable(ctx, &input.message_id).await?;
            actions::remove_reaction(app(ctx), &readable, emoji).await
        };
        reaction_payload(outcome.await)
    }
}

async fn readable(ctx: &Context<'_>, id: &ID) -> crate::error::Outcome<Readable> {
    let viewer = viewer(ctx)?;
    let id: MessageId = decode_field(id, "messageId")?;
    Ok(access::readable(&loaders(ctx), &viewer, id).await?.ok_or_else(actions::no_message)?)
}

async fn own(ctx: &Context<'_>, id: &ID) -> crate::error::Outcome<access::Own> {
    let own = readable(ctx, id).await?.own();
    Ok(own.ok_or_else(|| {
        Refusal::new(UserErrorCode::Forbidden, "Only its sender can change a message.").of_field("messageId")
    })?)
}

fn message_payload(outcome: crate::error::Outcome<Arc<message::Model>>) -> async_graphql::Result<MessagePayload> {
    let (message, user_errors) = payload(outcome)?;
    Ok(MessagePayload { message_edge: message.map(|message| Message::new(message).into_edge()), user_errors })
}

fn reaction_payload(outcome: crate::error::Outcome<actions::Reacted>) -> async_graphql::Result<MessagePayload> {
    let (reacted, user_errors) = payload(outcome)?;
    let edge =
        |Reacted { message, reactions }| Message { row: message, sender: None, reactions: Some(reactions) }.into_edge();
    Ok(MessagePayload { message_edge: reacted.map(edge), user_errors })
}

/// A change of a message. It carries the message as it is, so applying it twice changes nothing.
#[derive(Clone, SimpleObject)]
pub struct MessageEvent {
    /// What happened to the message.
    #[graphql(name = "type")]
    pub change: MessageEventType,
    /// Resume token for `after`.
    pub cursor: String,
    /// The message in its place.
    pub message_edge: MessageEdge,
}

/// What can happen to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum MessageEventType {
    /// It was sent.
    Added,
    /// Its body was replaced.
    Edited,
    /// Only its tombstone remains.
    Deleted,
    /// Somebody reacted to it, or took a reaction back: `reactions` has them as they are now.
    Reacted,
}

impl From<MessageChange> for MessageEventType {
    fn from(change: MessageChange) -> Self {
        match change {
            MessageChange::Added => Self::Added,
            MessageChange::Edited => Self::Edited,
            MessageChange::Deleted => Self::Deleted,
            MessageChange::Reacted => Self::Reacted,
        }
    }
}

#[derive(Default)]
pub struct MessageSubscription;

#[Subscription]
impl MessageSubscription {
    /// Messages of one conversation as they are added, edited, deleted or reacted to. `after` replays what changed since that
    /// event: each change exactly once, in order.
    async fn message_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "`conv_…`")] conversation_id: ID,
        #[graphql(desc = "The last `cursor` received; without it, only what happens from now on.")] after: Option<
            String,
        >,
    ) -> async_graphql::Result<impl Stream<Item = MessageEvent>> {
        let feed = Feed::of(ctx)?;
        feed.admit(async {
            let viewer = viewer(ctx)?;
            let id: ConversationId = decode_argument(&conversation_id, "conversationId")?;
            // The position first, and the membership after it: an end of the membership is then above the position.
            loaders(ctx).load(id).await?;
            let reader = crate::conversations::access::reader(&loaders(ctx), &viewer, id).await?;
            let reader = reader.ok_or(Error::NotFound("There is no such conversation."))?;
            let head = reader.conversation().position;
            let after = match after {
                None => head,
                Some(after) => EventCursor::decode(&after, cursor::epoch(ctx), id, head)?,
            };
            Ok(Source::Messages { conversation_id: id, after })
        })
        .await?;
        Ok(feed.roots(Root::into_message))
    }
}

/// The message, when the viewer may read it; for `node(id)`.
pub async fn load(ctx: &Context<'_>, id: MessageId) -> Result<Option<Message>, Error> {
    let readable = access::readable(&loaders(ctx), &viewer(ctx)?, id).await?;
    Ok(readable.as_ref().map(Message::of))
}
