//! Who may read, and who may send. Both hand out proof.

use std::sync::Arc;

use entity::{ConversationId, conversation, member};

use super::store::Membership;
use crate::{auth::Viewer, error::Error, graphql::loaders::Loaders};

/// Proof that the viewer may read a conversation and listen to it.
#[derive(Clone, Debug)]
pub struct Reader {
    viewer: Viewer,
    conversation: Arc<conversation::Model>,
    member: Arc<member::Model>,
}

impl Reader {
    pub fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    pub fn conversation(&self) -> &Arc<conversation::Model> {
        &self.conversation
    }

    /// The viewer's own place in it.
    pub fn member(&self) -> &member::Model {
        &self.member
    }
}

/// The gate to a conversation. `None` when it does not exist and when the viewer may not know that it does.
pub async fn reader(loaders: &Loaders, viewer: &Viewer, id: ConversationId) -> Result<Option<Reader>, Error> {
    let membership = Membership { conversation_id: id, user_id: viewer.user_id() };
    let (conversation, member) = futures_util::try_join!(loaders.load(id), loaders.load(membership))?;
    Ok(match (conversation, member) {
        (Some(conversation), Some(member)) => Some(Reader { viewer: *viewer, conversation, member }),
        _ => None,
    })
}

/// Proof that the viewer may send in a conversation, as it was when it was loaded. What commits judges again, under the
/// conversation's lock.
#[derive(Clone, Debug)]
pub struct Sender(Reader);

impl Sender {
    pub fn viewer(&self) -> &Viewer {
        &self.0.viewer
    }

    pub fn conversation(&self) -> &Arc<conversation::Model> {
        &self.0.conversation
    }
}

/// Proof that a reader may also send, if they may.
pub fn sender(reader: Reader) -> Option<Sender> {
    rights(true, reader.conversation.open).may_send.then_some(Sender(reader))
}

/// What a member of a conversation may do in it. Pure, so that a table tests it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    pub may_read: bool,
    pub may_send: bool,
}

/// The rights of somebody who is a member or not, in a conversation that is open or not.
pub fn rights(is_member: bool, is_open: bool) -> Rights {
    Rights { may_read: is_member, may_send: is_member && is_open }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_read_and_send_only_while_it_is_open() {
        for (is_member, is_open, may_read, may_send) in [
            (false, false, false, false),
            (false, true, false, false),
            (true, false, true, false),
            (true, true, true, true),
        ] {
            assert_eq!(rights(is_member, is_open), Rights { may_read, may_send }, "{is_member} {is_open}");
        }
    }
}
