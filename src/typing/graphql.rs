//! Typing on the wire.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject, Subscription};
use entity::ConversationId;
use futures_util::Stream;

use super::actions;
use crate::{
    conversations::{access, graphql::no_conversation},
    delivery::feed::{Feed, Root, Source},
    error::{Error, Refusal, UserErrorCode, payload},
    graphql::{
        app,
        ids::{decode_argument, decode_field},
        loaders, viewer,
    },
    users::graphql::User,
};

/// Somebody began to type, goes on, or stopped.
#[derive(Clone, SimpleObject)]
pub struct TypingEvent {
    /// `conv_…`
    pub conversation_id: ID,
    /// Who types.
    pub user: User,
    /// Whether they do. False is told when they say so, when their message is there, and 5 s after they last said that
    /// they type.
    pub typing: bool,
}

/// Where the viewer types, or stopped.
#[derive(InputObject)]
pub struct SetTypingInput {
    /// `conv_…`
    conversation_id: ID,
    /// True while they type, every few seconds; false when they stop without sending.
    typing: bool,
}

/// The answer to `setTyping`.
#[derive(SimpleObject)]
pub struct SetTypingPayload {
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

#[derive(Default)]
pub struct TypingMutation;

#[Object]
impl TypingMutation {
    /// Says that the viewer is typing; lasts 5 s unless repeated. Not stored. Repeat it as often as you like: others
    /// are told once in 3 s, and the last word when the 3 s are over. Refused with `NOT_FOUND`, and with `NOT_FRIENDS`
    /// where the viewer cannot send.
    async fn set_typing(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where, and whether.")] input: SetTypingInput,
    ) -> async_graphql::Result<SetTypingPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let id: ConversationId = decode_field(&input.conversation_id, "conversationId")?;
            let reader = access::reader(&loaders(ctx), &viewer, id).await?.ok_or_else(no_conversation)?;
            let sender = access::sender(reader).ok_or_else(closed)?;
            actions::set(app(ctx), &sender, input.typing).await
        };
        let (_, user_errors) = payload(outcome.await)?;
        Ok(SetTypingPayload { user_errors })
    }
}

fn closed() -> Refusal {
    Refusal::new(UserErrorCode::NotFriends, "You are not friends any more, so nothing new can be written here.")
        .of_field("conversationId")
}

#[derive(Default)]
pub struct TypingSubscription;

#[Subscription]
impl TypingSubscription {
    /// Who is typing in one conversation, the viewer left out.
    async fn typing(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "`conv_…`")] conversation_id: ID,
    ) -> async_graphql::Result<impl Stream<Item = TypingEvent>> {
        let feed = Feed::of(ctx)?;
        feed.admit(async {
            let id: ConversationId = decode_argument(&conversation_id, "conversationId")?;
            let reader = access::reader(&loaders(ctx), &viewer(ctx)?, id).await?;
            reader.ok_or(Error::NotFound("There is no such conversation."))?;
            Ok(Source::Typing { conversation_id: id })
        })
        .await?;
        Ok(feed.roots(Root::into_typing))
    }
}
