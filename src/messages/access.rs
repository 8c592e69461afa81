//! Whose a message is.

use std::sync::Arc;

use entity::{MessageId, message};

use crate::{
    auth::Viewer,
    conversations::access::{Reader, reader},
    error::Error,
    graphql::loaders::Loaders,
};

/// Proof that the viewer may read a message.
#[derive(Clone, Debug)]
pub struct Readable {
    message: Arc<message::Model>,
    reader: Reader,
}

/// Proof that the viewer sent a message.
#[derive(Clone, Debug)]
pub struct Own(Readable);

impl Readable {
    pub fn message(&self) -> &Arc<message::Model> {
        &self.message
    }

    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Proof that it is the viewer's own, if it is.
    pub fn own(self) -> Option<Own> {
        (self.message.sender_id == self.reader.viewer().user_id()).then_some(Own(self))
    }
}

impl Own {
    pub fn message(&self) -> &Arc<message::Model> {
        &self.0.message
    }
}

/// The gate to a message. `None` when it does not exist and when the viewer may not know that it does.
pub async fn readable(loaders: &Loaders, viewer: &Viewer, id: MessageId) -> Result<Option<Readable>, Error> {
    let Some(message) = loaders.load(id).await? else { return Ok(None) };
    let reader = reader(loaders, viewer, message.conversation_id).await?;
    Ok(reader.map(|reader| Readable { message, reader }))
}
