//! Conversations on the wire.

#![expect(clippy::duplicated_attributes, reason = "the arguments of an interface's fields repeat by their nature")]

use std::{borrow::Cow, sync::Arc};

use async_graphql::{
    ComplexObject, Context, ContextSelectionSet, Enum, ID, InputObject, Interface, Object, OutputType, Positioned,
    ServerResult, SimpleObject, Subscription, Value, parser::types::Field, registry::Registry,
};
use entity::{ConversationId, MessageId, Timestamp, UserId, conversation, member};
use futures_util::Stream;
use uuid::Uuid;

use super::{
    access::{self, Reader},
    actions,
    store::{self, MemberCount, MemberPage, Membership, ReadersPage, Receipts},
};
use crate::{
    connection,
    delivery::feed::{Feed, Root, Source},
    error::{Error, Refusal, UserErrorCode, payload},
    graphql::{
        app,
        ids::{GlobalId, decode_argument, decode_field},
        loaders,
        pagination::{Direction, PageArguments, PageInfo, PageRequest, encode_cursor, page_info_of},
        scalars::DateTime,
        viewer,
    },
    invite_links::{self, graphql::InviteLink},
    messages::{
        graphql::{Message, MessageConnection, messages_page},
        store::LastMessage,
    },
    users::graphql::{User, UserConnection, UserEdge},
};

/// A room of messages. A group *is* a conversation; so is the 1-to-1 of two friends.
#[derive(Interface)]
#[graphql(
    name = "Conversation",
    field(name = "id", ty = "ID", desc = "Global id, `conv_…`."),
    field(name = "created_at", ty = "DateTime", desc = "When it began."),
    field(
        name = "last_activity_at",
        ty = "DateTime",
        desc = "When the newest message was sent; when it began, if there is none."
    ),
    field(
        name = "last_message",
        ty = "Option<Message>",
        desc = "The newest message, also when it was deleted; null while there is none."
    ),
    field(
        name = "messages",
        ty = "MessageConnection",
        desc = "Oldest to newest; `last: 50` is the newest page, `before` walks back. Without `first` and `last`: the newest page.",
        arg(
            name = "first",
            ty = "Option<i32>",
            desc = "At most this many from the start (or from `after`), up to 100."
        ),
        arg(name = "after", ty = "Option<String>", desc = "Only what comes after this cursor."),
        arg(name = "last", ty = "Option<i32>", desc = "At most this many from the end (or from `before`), up to 100."),
        arg(name = "before", ty = "Option<String>", desc = "Only what comes before this cursor.")
    ),
    field(
        name = "members",
        ty = "MemberConnection",
        desc = "Who is in it, in a stable order, with how far each has read.",
        arg(
            name = "first",
            ty = "Option<i32>",
            desc = "At most this many from the start (or from `after`), up to 100."
        ),
        arg(name = "after", ty = "Option<String>", desc = "Only what comes after this cursor."),
        arg(name = "last", ty = "Option<i32>", desc = "At most this many from the end (or from `before`), up to 100."),
        arg(name = "before", ty = "Option<String>", desc = "Only what comes before this cursor.")
    ),
    field(name = "unread_count", ty = "i32", desc = "Messages by others above the viewer's read position."),
    field(
        name = "viewer_can_send",
        ty = "bool",
        desc = "False once unfriended, blocked, left or removed: history stays readable for former friends, nothing new can be sent."
    )
)]
pub enum ConversationInterface {
    Direct(DirectConversation),
    Group(Group),
}

/// A conversation of either kind. On the wire it is [`ConversationInterface`], but resolved as what it is: through
/// the interface the library would lose the path of a field's error.
#[derive(Clone)]
pub enum Conversation {
    Direct(DirectConversation),
    Group(Group),
}

impl OutputType for Conversation {
    fn type_name() -> Cow<'static, str> {
        ConversationInterface::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        ConversationInterface::create_type_info(registry)
    }

    fn introspection_type_name(&self) -> Cow<'static, str> {
        match self {
            Self::Direct(_) => DirectConversation::type_name(),
            Self::Group(_) => Group::type_name(),
        }
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        match self {
            Self::Direct(direct) => direct.resolve(ctx, field).await,
            Self::Group(group) => group.resolve(ctx, field).await,
        }
    }
}

impl Conversation {
    /// For who has passed the gate.
    pub fn of(reader: &Reader) -> Self {
        Self::of_row(Arc::clone(reader.conversation()))
    }

    /// The group that it is, if it is one.
    pub fn into_group(self) -> Option<Group> {
        match self {
            Self::Direct(_) => None,
            Self::Group(group) => Some(group),
        }
    }

    /// For a row that is known to be visible: it came with something of its own that is.
    pub fn of_row(row: Arc<conversation::Model>) -> Self {
        match row.kind {
            conversation::Kind::Direct => Self::Direct(DirectConversation::new(row)),
            conversation::Kind::Group => Self::Group(Group::new(row)),
        }
    }
}

/// What the kinds of conversation have in common.
#[derive(Clone)]
struct Room {
    row: Arc<conversation::Model>,
}

impl Room {
    async fn member(&self, ctx: &Context<'_>) -> Result<Option<Arc<member::Model>>, Error> {
        let user_id = viewer(ctx)?.user_id();
        loaders(ctx).load(Membership { conversation_id: self.row.id, user_id }).await
    }

    async fn last_message(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Message>> {
        let last = LastMessage { conversation_id: self.row.id, sequence: self.row.sequence };
        Ok(loaders(ctx).load(last).await?.map(Message::new))
    }

    async fn messages(&self, ctx: &Context<'_>, page: PageArguments) -> async_graphql::Result<MessageConnection> {
        Ok(messages_page(&loaders(ctx), &self.row, page).await?)
    }

    async fn members(&self, ctx: &Context<'_>, page: PageArguments) -> async_graphql::Result<MemberConnection> {
        let page = page.resolve::<Uuid>(Direction::Forward)?;
        let loaders = loaders(ctx);
        let key = MemberPage::of(self.row.id, &page);
        let (rows, total_count) = futures_util::try_join!(loaders.load(key), loaders.load(MemberCount(self.row.id)))?;
        let page = page.page(rows.map_or_else(Vec::new, |rows| rows.to_vec()));
        let users = loaders.load_many(page.rows.iter().map(|row| row.user_id).collect()).await?;
        let edges: Vec<MemberEdge> = page
            .rows
            .iter()
            .filter_map(|row| Some(MemberEdge::new(row, User::new(Arc::clone(users.get(&row.user_id)?)))))
            .collect();
        Ok(MemberConnection {
            page_info: page_info_of(page.has_next_page, page.has_previous_page, &edges, |edge| &edge.cursor),
            total_count: int(total_count.unwrap_or(0)),
            edges,
        })
    }

    async fn unread_count(&self, ctx: &Context<'_>) -> async_graphql::Result<i32> {
        let member = self.member(ctx).await?;
        Ok(member.map_or(0, |member| int(self.row.sequence - member.last_read_sequence)))
    }

    async fn viewer_can_send(&self, ctx: &Context<'_>) -> async_graphql::Result<bool> {
        let is_member = self.member(ctx).await?.is_some();
        Ok(access::rights(is_member, self.row.open).may_send)
    }
}

/// The 1-to-1 conversation of two friends. It appears when an invite is accepted and stays readable after the
/// friendship ends.
#[derive(Clone)]
pub struct DirectConversation {
    room: Room,
}

impl DirectConversation {
    pub fn new(row: Arc<conversation::Model>) -> Self {
        Self { room: Room { row } }
    }
}

/// The 1-to-1 conversation of two friends. It appears when an invite is accepted and stays readable after the
/// friendship ends.
#[Object]
impl DirectConversation {
    /// Global id, `conv_…`.
    pub async fn id(&self) -> ID {
        self.room.row.id.encode()
    }

    /// When it began.
    async fn created_at(&self) -> DateTime {
        self.room.row.created_at.into()
    }

    /// When the newest message was sent; when it began, if there is none.
    async fn last_activity_at(&self) -> DateTime {
        self.room.row.last_activity_at.into()
    }

    /// The newest message, also when it was deleted; null while there is none.
    async fn last_message(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Message>> {
        self.room.last_message(ctx).await
    }

    /// Oldest to newest; `last: 50` is the newest page, `before` walks back. Without `first` and `last`: the newest
    /// page.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the start (or from `after`), up to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end (or from `before`), up to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<MessageConnection> {
        self.room.messages(ctx, PageArguments { first, after, last, before }).await
    }

    /// Who is in it, in a stable order, with how far each has read.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the start (or from `after`), up to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end (or from `before`), up to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<MemberConnection> {
        self.room.members(ctx, PageArguments { first, after, last, before }).await
    }

    /// Messages by others above the viewer's read position.
    async fn unread_count(&self, ctx: &Context<'_>) -> async_graphql::Result<i32> {
        self.room.unread_count(ctx).await
    }

    /// False once unfriended or blocked: history stays readable for former friends, nothing new can be sent.
    async fn viewer_can_send(&self, ctx: &Context<'_>) -> async_graphql::Result<bool> {
        self.room.viewer_can_send(ctx).await
    }

    /// The other person.
    async fn peer(&self, ctx: &Context<'_>) -> async_graphql::Result<User> {
        let viewer_id = viewer(ctx)?.user_id();
        let row = &self.room.row;
        let peer = [row.direct_low, row.direct_high].into_iter().flatten().find(|id| *id != viewer_id);
        let peer = match peer {
            Some(peer) => loaders(ctx).load(peer).await?,
            None => None,
        };
        Ok(User::new(peer.ok_or_else(|| Error::internal("a direct conversation without a peer"))?))
    }
}

/// A conversation of many, with a name. Who is in it was invited, or came by an invite link.
#[derive(Clone)]
pub struct Group {
    room: Room,
    /// For who is not in it: invited, and has not answered yet.
    is_preview: bool,
}

impl Group {
    /// For a member.
    pub fn new(row: Arc<conversation::Model>) -> Self {
        Self { room: Room { row }, is_preview: false }
    }

    /// For who is invited into it: its name, its description and how many are in it, and no more.
    pub fn preview(row: Arc<conversation::Model>) -> Self {
        Self { room: Room { row }, is_preview: true }
    }
}

/// A conversation of many, with a name. Who is in it was invited, or came by an invite link. Who is only invited sees
/// its name, its description and how many are in it; what is said there, by whom and when is for members.
#[Object]
impl Group {
    /// Global id, `conv_…`.
    pub async fn id(&self) -> ID {
        self.room.row.id.encode()
    }

    /// When it began.
    async fn created_at(&self) -> DateTime {
        self.room.row.created_at.into()
    }

    /// When the newest message was sent; when it began, if there is none.
    async fn last_activity_at(&self) -> DateTime {
        match self.is_preview {
            true => self.room.row.created_at.into(),
            false => self.room.row.last_activity_at.into(),
        }
    }

    /// The newest message, also when it was deleted; null while there is none, and for who is only invited.
    async fn last_message(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Message>> {
        match self.is_preview {
            true => Ok(None),
            false => self.room.last_message(ctx).await,
        }
    }

    /// Oldest to newest; `last: 50` is the newest page, `before` walks back. Without `first` and `last`: the newest
    /// page. Empty for who is only invited.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the start (or from `after`), up to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end (or from `before`), up to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<MessageConnection> {
        let page = PageArguments { first, after, last, before };
        match self.is_preview {
            true => Ok(MessageConnection::nothing(&page.resolve(Direction::Backward)?)),
            false => self.room.messages(ctx, page).await,
        }
    }

    /// Who is in it, in a stable order, with how far each has read. Empty for who is only invited.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the start (or from `after`), up to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end (or from `before`), up to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<MemberConnection> {
        let page = PageArguments { first, after, last, before };
        match self.is_preview {
            true => Ok(MemberConnection::nothing(&page.resolve(Direction::Forward)?)),
            false => self.room.members(ctx, page).await,
        }
    }

    /// Messages by others above the viewer's read position.
    async fn unread_count(&self, ctx: &Context<'_>) -> async_graphql::Result<i32> {
        self.room.unread_count(ctx).await
    }

    /// True while the viewer is in the group.
    async fn viewer_can_send(&self, ctx: &Context<'_>) -> async_graphql::Result<bool> {
        self.room.viewer_can_send(ctx).await
    }

    /// What it is called; not unique.
    async fn name(&self) -> &str {
        self.room.row.name.as_deref().unwrap_or_default()
    }

    /// What it is about; null when nobody said.
    async fn description(&self) -> Option<&str> {
        self.room.row.description.as_deref()
    }

    /// How many members it has.
    async fn member_count(&self, ctx: &Context<'_>) -> async_graphql::Result<i32> {
        Ok(int(loaders(ctx).load(MemberCount(self.room.row.id)).await?.unwrap_or(0)))
    }

    /// What the viewer may do in it. For who is only invited `MEMBER`, which they would be; `viewerCanSend` is false
    /// then.
    async fn viewer_role(&self, ctx: &Context<'_>) -> async_graphql::Result<Role> {
        if self.is_preview {
            return Ok(Role::Member);
        }
        let member = self.room.member(ctx).await?.ok_or(Error::NotFound("You are no longer in this group."))?;
        Ok(member.role.into())
    }

    /// The invite links into it that can be used now, the newest first, at most 50. For the owner and admins; empty for
    /// everybody else.
    async fn invite_links(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<InviteLink>> {
        let loaders = loaders(ctx);
        match access::reader(&loaders, &viewer(ctx)?, self.room.row.id).await? {
            Some(reader) => {
                let links = invite_links::access::of_group(app(ctx), &loaders, &reader).await?;
                Ok(links.into_iter().map(Into::into).collect())
            }
            None => Ok(Vec::new()),
        }
    }
}

/// A counter as GraphQL's 32-bit `Int`.
pub(crate) fn int(count: i64) -> i32 {
    i32::try_from(count.max(0)).unwrap_or(i32::MAX)
}

/// What somebody may do in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum Role {
    /// Made the group or was given it: may do everything.
    Owner,
    /// Manages members and invite links.
    Admin,
    /// Reads and sends. Both people of a direct conversation are members.
    Member,
}

impl From<member::Role> for Role {
    fn from(role: member::Role) -> Self {
        match role {
            member::Role::Owner => Self::Owner,
            member::Role::Admin => Self::Admin,
            member::Role::Member => Self::Member,
        }
    }
}

impl From<Role> for member::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
        }
    }
}

/// A member and their place in the list.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct MemberEdge {
    /// For `after` and `before`.
    pub cursor: String,
    /// What is at this place.
    pub node: User,
    /// What they may do here.
    pub role: Role,
    /// When they came in.
    pub joined_at: DateTime,
    #[graphql(skip)]
    read: ReadPosition,
}

/// How far a member has read; for whom read receipts are.
#[derive(Clone, Copy)]
struct ReadPosition {
    user_id: UserId,
    own: (i64, Option<Timestamp>),
    /// To others.
    shown: (i64, Option<Timestamp>),
}

#[ComplexObject]
impl MemberEdge {
    /// Sequence of the newest message this member has read; 0 when none. This is the read receipt: of others it is also
    /// 0 when they send none, and when the viewer wants none (`viewer.readReceipts`). That of a former friend stays where
    /// it was when the friendship ended.
    async fn last_read_sequence(&self, ctx: &Context<'_>) -> async_graphql::Result<i32> {
        Ok(int(self.read.for_viewer(ctx).await?.0))
    }

    /// When they read it; null when `lastReadSequence` is 0.
    async fn last_read_at(&self, ctx: &Context<'_>) -> Option<async_graphql::Result<DateTime>> {
        let read = self.read.for_viewer(ctx).await;
        read.map(|(_, read_at)| read_at.map(DateTime::from)).map_err(Into::into).transpose()
    }
}

impl ReadPosition {
    async fn for_viewer(self, ctx: &Context<'_>) -> Result<(i64, Option<Timestamp>), Error> {
        let viewer_id = viewer(ctx)?.user_id();
        if viewer_id == self.user_id {
            return Ok(self.own);
        }
        let wants = loaders(ctx).load_many(vec![Receipts(viewer_id), Receipts(self.user_id)]).await?;
        let is_shown = [viewer_id, self.user_id].iter().all(|id| wants.get(&Receipts(*id)).copied().unwrap_or(false));
        Ok(if is_shown { self.shown } else { (0, None) })
    }
}

impl MemberConnection {
    /// For who may not see the members, whatever page they ask for.
    fn nothing(_: &PageRequest<Uuid>) -> Self {
        Self { page_info: PageInfo::default(), edges: Vec::new(), total_count: 0 }
    }
}

impl MemberEdge {
    pub(crate) fn new(row: &member::Model, node: User) -> Self {
        Self {
            cursor: encode_cursor(&row.user_id.0),
            node,
            role: row.role.into(),
            joined_at: row.joined_at.into(),
            read: ReadPosition {
                user_id: row.user_id,
                own: (row.last_read_sequence, row.last_read_at),
                shown: row.shown_read(),
            },
        }
    }
}

/// A page of the list.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct MemberConnection {
    /// The nodes with their cursors.
    pub edges: Vec<MemberEdge>,
    /// Where this page lies in the list.
    pub page_info: PageInfo,
    /// How many members there are in all.
    pub total_count: i32,
}

#[ComplexObject]
impl MemberConnection {
    /// The nodes without their cursors.
    async fn nodes(&self) -> Vec<User> {
        self.edges.iter().map(|edge| edge.node.clone()).collect()
    }
}

/// Those who have read a message: nobody, for a viewer who wants no read receipts.
pub(crate) async fn read_by(
    ctx: &Context<'_>,
    conversation_id: ConversationId,
    sequence: i64,
    sender_id: UserId,
    page: PageArguments,
) -> Result<UserConnection, Error> {
    let page = page.resolve::<Uuid>(Direction::Forward)?;
    let loaders = loaders(ctx);
    let viewer_id = viewer(ctx)?.user_id();
    if !loaders.load(Receipts(viewer_id)).await?.unwrap_or(false) {
        return Ok(UserConnection::new(Vec::new(), false, false));
    }
    let key = ReadersPage {
        conversation_id,
        sequence,
        sender_id,
        viewer_id,
        backward: page.direction == Direction::Backward,
        limit: page.limit(),
        after: page.after.map(UserId),
        before: page.before.map(UserId),
    };
    let page = page.page(loaders.load(key).await?.map_or_else(Vec::new, |users| users.to_vec()));
    let users = loaders.load_many(page.rows.clone()).await?;
    let edges = page.rows.iter().filter_map(|user_id| {
        Some(UserEdge { cursor: encode_cursor(&user_id.0), node: User::new(Arc::clone(users.get(user_id)?)) })
    });
    Ok(UserConnection::new(edges.collect(), page.has_next_page, page.has_previous_page))
}

connection!(ConversationConnection, ConversationEdge, Conversation);

#[derive(Default)]
pub struct ConversationQuery;

#[Object]
impl ConversationQuery {
    /// A conversation that the viewer is in; null for every other id.
    async fn conversation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "`conv_…`")] id: ID,
    ) -> Option<async_graphql::Result<Conversation>> {
        let find = async {
            let id: ConversationId = decode_argument(&id, "id")?;
            load(ctx, id).await
        };
        find.await.map_err(Into::into).transpose()
    }
}

/// The conversation, when the viewer may read it.
pub async fn load(ctx: &Context<'_>, id: ConversationId) -> Result<Option<Conversation>, Error> {
    let reader = access::reader(&loaders(ctx), &viewer(ctx)?, id).await?;
    Ok(reader.as_ref().map(Conversation::of))
}

/// The viewer's conversations.
#[derive(Clone, Default)]
pub struct ViewerConversations;

#[Object]
impl ViewerConversations {
    /// Most recently active first.
    async fn conversations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the start (or from `after`), up to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end (or from `before`), up to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<ConversationConnection> {
        let page = PageArguments { first, after, last, before }.resolve(Direction::Forward)?;
        let page = store::page_of(&app(ctx).db, viewer(ctx)?.user_id(), &page).await?;
        let edges: Vec<ConversationEdge> = page
            .rows
            .into_iter()
            .map(|row| ConversationEdge {
                cursor: encode_cursor(&(row.last_activity_at, row.id.0)),
                node: Conversation::of_row(Arc::new(row)),
            })
            .collect();
        Ok(ConversationConnection {
            page_info: page_info_of(page.has_next_page, page.has_previous_page, &edges, |edge| &edge.cursor),
            edges,
        })
    }

    /// Unread messages over all conversations.
    async fn unread_count(&self, ctx: &Context<'_>) -> async_graphql::Result<i32> {
        Ok(int(store::unread_count(&app(ctx).db, viewer(ctx)?.user_id()).await?))
    }
}

/// How far to move the viewer's read position.
#[derive(InputObject)]
pub struct MarkReadInput {
    /// `conv_…`
    conversation_id: ID,
    /// Sequence of the newest message that was seen. Past the newest one means the newest one.
    sequence: i32,
}

/// The answer to `markRead`.
#[derive(SimpleObject)]
pub struct MarkReadPayload {
    /// The conversation with its new `unreadCount`; null when refused.
    conversation: Option<Conversation>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

#[derive(Default)]
pub struct ConversationMutation;

#[Object]
impl ConversationMutation {
    /// Moves the viewer's read position forward to a sequence; never back.
    async fn mark_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to mark.")] input: MarkReadInput,
    ) -> async_graphql::Result<MarkReadPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let id: ConversationId = decode_field(&input.conversation_id, "conversationId")?;
            let reader = access::reader(&loaders(ctx), &viewer, id).await?.ok_or_else(no_conversation)?;
            actions::mark_read(app(ctx), &reader, input.sequence).await?;
            // What was loaded for the gate is as it was before.
            crate::graphql::forget_loaded(ctx);
            // Who was put out meanwhile has read nothing.
            Ok(load(ctx, id).await?.ok_or_else(no_conversation)?)
        };
        let (conversation, user_errors) = payload(outcome.await)?;
        Ok(MarkReadPayload { conversation, user_errors })
    }
}

/// What somebody is told who may not know that a conversation exists.
pub(crate) fn no_conversation() -> Refusal {
    Refusal::new(UserErrorCode::NotFound, "There is no such conversation.").of_field("conversationId")
}

/// A message's conversation: visible to whom the message is.
pub(crate) async fn of_message(
    ctx: &Context<'_>,
    message: MessageId,
    id: ConversationId,
) -> Result<Conversation, Error> {
    let row = loaders(ctx).load(id).await?;
    let row = row.ok_or_else(|| Error::internal(format!("message {message:?} without its conversation")))?;
    Ok(Conversation::of_row(row))
}

/// A read position moved forward. Sending moves the sender's own position too, which the message itself tells.
#[derive(Clone, SimpleObject)]
pub struct ReadReceipt {
    /// `conv_…`
    pub conversation_id: ID,
    /// Who read.
    pub user: User,
    /// Sequence of the newest message that they have read.
    pub sequence: i32,
    /// When they read it.
    pub read_at: DateTime,
}

#[derive(Default)]
pub struct ConversationSubscription;

#[Subscription]
impl ConversationSubscription {
    /// Read positions of one conversation as they move: of the members who send read receipts, and nothing for a viewer
    /// who wants none (`viewer.readReceipts`).
    async fn read_receipts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "`conv_…`")] conversation_id: ID,
    ) -> async_graphql::Result<impl Stream<Item = ReadReceipt>> {
        let feed = Feed::of(ctx)?;
        feed.admit(async {
            let id: ConversationId = decode_argument(&conversation_id, "conversationId")?;
            let reader = access::reader(&loaders(ctx), &viewer(ctx)?, id).await?;
            reader.ok_or(Error::NotFound("There is no such conversation."))?;
            Ok(Source::Reads { conversation_id: id })
        })
        .await?;
        Ok(feed.roots(Root::into_read))
    }
}
