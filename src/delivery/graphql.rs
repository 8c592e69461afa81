//! `events`: everything the viewer may know about, in one stream.

use async_graphql::{Context, ID, Object, SimpleObject, Subscription, Union};
use entity::{ConversationId, InviteId, Timestamp, UserId};
use futures_util::Stream;

use super::{
    cursor::{self, LogCursor},
    feed::{Feed, Root, Source},
};
use crate::{
    conversations::{
        self,
        graphql::{Conversation, MemberEdge, ReadReceipt},
    },
    error::Error,
    graphql::{loaders, scalars::DateTime, viewer},
    invites::graphql::Invite,
    messages::graphql::MessageEvent,
    presence::graphql::Presence,
    typing::graphql::TypingEvent,
    users::graphql::User,
};

/// Something that happened, and from where to resume after it.
#[derive(Clone, SimpleObject)]
pub struct EventEnvelope {
    /// Resume token for `after`.
    pub cursor: String,
    /// When it happened.
    pub occurred_at: DateTime,
    /// What happened.
    pub event: Event,
}

/// New members may be added: clients ignore those that they do not know.
#[derive(Clone, Union)]
pub enum Event {
    Message(MessageEvent),
    Read(ReadReceipt),
    Typing(TypingEvent),
    Presence(Presence),
    Invite(InviteChanged),
    Conversation(ConversationChanged),
    Removed(ConversationRemoved),
    Member(MemberChanged),
    MemberRemoved(MemberRemoved),
    Friendship(FriendshipChanged),
    CaughtUp(CaughtUp),
    Heartbeat(Heartbeat),
    Resync(ResyncRequired),
}

/// An invite to or by the viewer appeared or changed its status.
#[derive(Clone)]
pub struct InviteChanged(pub InviteId);

/// An invite to or by the viewer appeared or changed its status.
#[Object]
impl InviteChanged {
    /// The invite as it is now.
    async fn invite(&self, ctx: &Context<'_>) -> async_graphql::Result<Invite> {
        let invite = crate::invites::graphql::load(ctx, self.0).await?;
        Ok(invite.ok_or(Error::NotFound("The invite is gone."))?)
    }
}

/// Joined, opened, closed, or its last message or unread count moved: the conversation as it is now.
#[derive(Clone)]
pub struct ConversationChanged(pub ConversationId);

/// Joined, opened, closed, or its last message or unread count moved: the conversation as it is now.
#[Object]
impl ConversationChanged {
    /// The conversation as it is now.
    async fn conversation(&self, ctx: &Context<'_>) -> async_graphql::Result<Conversation> {
        let reader = conversations::access::reader(&loaders(ctx), &viewer(ctx)?, self.0).await?;
        Ok(Conversation::of(&reader.ok_or(Error::NotFound("The conversation is gone."))?))
    }
}

/// Left, removed from, or deleted: the viewer may no longer see it.
#[derive(Clone, SimpleObject)]
pub struct ConversationRemoved {
    /// `conv_…`
    pub conversation_id: ID,
}

/// Somebody joined a conversation of the viewer's, has another role in it, or has switched read receipts: whether
/// `lastReadSequence` is shown.
#[derive(Clone, SimpleObject)]
pub struct MemberChanged {
    /// `conv_…`
    pub conversation_id: ID,
    /// The member as they are now.
    pub member_edge: MemberEdge,
}

/// Somebody else left a conversation of the viewer's, or was removed from it.
#[derive(Clone, SimpleObject)]
pub struct MemberRemoved {
    /// `conv_…`
    pub conversation_id: ID,
    /// `user_…`
    pub user_id: ID,
}

/// How the viewer stands to somebody changed, or what somebody is called, a friend or the viewer: `user` is as they are
/// now, and `user.relationship` says how the viewer stands to them. With `BLOCKED`, their pending invites to the viewer
/// are gone without an `InviteChanged` for each: a client drops the invites by them.
#[derive(Clone)]
pub struct FriendshipChanged(pub UserId);

/// How the viewer stands to somebody changed, or what somebody is called, a friend or the viewer: `user` is as they are
/// now, and `user.relationship` says how the viewer stands to them. With `BLOCKED`, their pending invites to the viewer
/// are gone without an `InviteChanged` for each: a client drops the invites by them.
#[Object]
impl FriendshipChanged {
    /// The other person; the viewer, when it is their own name that changed.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<User> {
        let user = loaders(ctx).load(self.0).await?;
        Ok(User::new(user.ok_or(Error::NotFound("The user is gone."))?))
    }
}

/// Replay is over; what follows is live.
#[derive(Clone, SimpleObject)]
pub struct CaughtUp {
    /// When it was over.
    pub at: DateTime,
}

/// Sent when nothing else was for 25 s: the subscription is alive, not only the socket.
#[derive(Clone, SimpleObject)]
pub struct Heartbeat {
    /// When it was sent.
    pub at: DateTime,
}

/// What was missed can no longer be replayed: fetch anew, then go on from this envelope's cursor.
#[derive(Clone, SimpleObject)]
pub struct ResyncRequired {
    /// Why, in one sentence.
    pub reason: String,
}

impl EventEnvelope {
    pub fn new(epoch: &str, watermark: i64, occurred_at: Timestamp, event: Event) -> Self {
        Self { cursor: LogCursor::encode(epoch, watermark), occurred_at: occurred_at.into(), event }
    }
}

#[derive(Default)]
pub struct EventSubscription;

#[Subscription]
impl EventSubscription {
    /// Everything the viewer may know about, in one stream for a whole app session. `after` takes the last `cursor`
    /// received: durable events missed meanwhile are replayed first, then `CaughtUp`, then live. Never a silent gap:
    /// where the server cannot replay it says `ResyncRequired`. Every event carries absolute state, so applying one
    /// twice changes nothing.
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The last `cursor` received; without it, only what happens from now on.")] after: Option<
            String,
        >,
    ) -> async_graphql::Result<impl Stream<Item = EventEnvelope>> {
        let feed = Feed::of(ctx)?;
        feed.admit(async {
            viewer(ctx)?;
            let after = after.map(|after| LogCursor::decode(&after, cursor::epoch(ctx))).transpose()?;
            Ok(Source::Everything { after })
        })
        .await?;
        Ok(feed.roots(Root::into_envelope))
    }
}
