//! The way from an event into an execution of the library's.
//!
//! A subscription's root resolver asks to be admitted (the gate), then streams what is put into its feed. We put one
//! root value in and take one response out, so we always know which event a response belongs to.

use std::{collections::HashSet, sync::Arc};

use async_graphql::Context;
use entity::{ConversationId, UserId};
use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::{
    cursor::LogCursor,
    graphql::{Event, EventEnvelope},
};
use crate::{
    conversations::graphql::ReadReceipt, error::Error, messages::graphql::MessageEvent, presence::graphql::Presence,
    typing::graphql::TypingEvent,
};

/// A root value of a subscription.
#[derive(Clone)]
pub enum Root {
    Message(Box<MessageEvent>),
    Read(Box<ReadReceipt>),
    Typing(Box<TypingEvent>),
    Presence(Box<Presence>),
    Envelope(Box<EventEnvelope>),
}

impl Root {
    pub fn into_message(self) -> Option<MessageEvent> {
        match self {
            Self::Message(event) => Some(*event),
            _ => None,
        }
    }

    pub fn into_read(self) -> Option<ReadReceipt> {
        match self {
            Self::Read(receipt) => Some(*receipt),
            _ => None,
        }
    }

    /// Whether rendering it looks up what it tells of, which may be gone by then.
    pub fn looks_something_up(&self) -> bool {
        matches!(self, Self::Envelope(envelope) if matches!(envelope.event, Event::Conversation(_) | Event::Invite(_)))
    }

    pub fn into_envelope(self) -> Option<EventEnvelope> {
        match self {
            Self::Envelope(envelope) => Some(*envelope),
            _ => None,
        }
    }

    pub fn into_typing(self) -> Option<TypingEvent> {
        match self {
            Self::Typing(event) => Some(*event),
            _ => None,
        }
    }

    pub fn into_presence(self) -> Option<Presence> {
        match self {
            Self::Presence(presence) => Some(*presence),
            _ => None,
        }
    }
}

/// What an admitted subscription listens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Messages of a conversation, from a position on.
    Messages { conversation_id: ConversationId, after: i64 },
    /// Read positions of a conversation.
    Reads { conversation_id: ConversationId },
    /// Who types in a conversation.
    Typing { conversation_id: ConversationId },
    /// Who is there: those named, or everybody whom the viewer knows.
    Presence { named: Option<Arc<HashSet<UserId>>> },
    /// Everything that the viewer may know about.
    Everything { after: Option<LogCursor> },
}

/// One execution's feed, in its request data.
pub struct Feed {
    /// Taken by the gate. None when the subscription has been admitted before, and goes on after a rest.
    admission: Mutex<Option<oneshot::Sender<Source>>>,
    roots: Mutex<Option<mpsc::Receiver<Root>>>,
}

impl Feed {
    /// A feed whose subscription has yet to pass its gate; the receiver tells what it was admitted to.
    pub fn to_admit() -> (Arc<Self>, oneshot::Receiver<Source>) {
        let (admit, admitted) = oneshot::channel();
        let feed = Self { admission: Mutex::new(Some(admit)), roots: Mutex::default() };
        (Arc::new(feed), admitted)
    }

    /// A feed of a subscription that passed its gate before.
    pub fn admitted() -> (Arc<Self>, mpsc::Sender<Root>) {
        let (sender, receiver) = mpsc::channel(1);
        (Arc::new(Self { admission: Mutex::default(), roots: Mutex::new(Some(receiver)) }), sender)
    }

    pub fn of(ctx: &Context<'_>) -> Result<Arc<Self>, Error> {
        let feed = ctx.data_opt::<Arc<Self>>();
        feed.cloned().ok_or(Error::BadUserInput("Subscribe over /graphql/ws or /graphql/stream.".into()))
    }

    /// Passes the gate, unless it has been passed before.
    pub async fn admit(&self, gate: impl Future<Output = Result<Source, Error>>) -> Result<(), Error> {
        let admission = self.admission.lock().take();
        if let Some(admission) = admission {
            // Nobody waits any more for a subscription that was given up meanwhile.
            let _ = admission.send(gate.await?);
        }
        Ok(())
    }

    /// The root values of one kind as they come.
    pub fn roots<T: Send + 'static>(&self, pick: fn(Root) -> Option<T>) -> impl Stream<Item = T> + Send + use<T> {
        let receiver = self.roots.lock().take();
        let roots = match receiver {
            Some(receiver) => {
                stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed()
            }
            // Being admitted is all that this execution was for.
            None => stream::pending().boxed(),
        };
        roots.filter_map(move |root| std::future::ready(pick(root)))
    }
}
