//! `node(id)` and `nodes(ids)`: anything with a global id, through the same gates as everywhere.

use std::{borrow::Cow, collections::HashMap};

use async_graphql::{
    Context, ContextSelectionSet, ID, Interface, Object, OutputType, Positioned, ServerResult, Value,
    parser::types::Field, registry::Registry,
};
use entity::{ConversationId, DataExportId, InviteId, InviteLinkId, MessageId, SessionId, UserId};

use super::{
    app,
    ids::{GlobalId, ViewerId},
    viewer,
};
use crate::{
    accounts::graphql::{Session, Viewer, session_nodes, viewer_node},
    auth,
    conversations::{
        access::reader,
        graphql::{Conversation, DirectConversation, Group},
    },
    error::Error,
    exports::graphql::{DataExport, data_export_nodes},
    graphql::loaders,
    invite_links::{
        access::{VisibleLink, managed},
        graphql::InviteLink,
    },
    invites::{
        access::{preview, visible_invites},
        graphql::Invite,
    },
    messages::graphql::Message,
    users::{access::visible, graphql::User},
};

/// Most ids in one `nodes(ids)`.
pub const MAX_NODES: usize = 100;

/// Anything with a global id. Ids are opaque, typed and time-ordered (`user_…`, `msg_…`): a TypeID over a UUIDv7.
#[derive(Clone, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Opaque, unique over all types."))]
pub enum Node {
    User(User),
    Viewer(Viewer),
    Session(Session),
    Invite(Invite),
    InviteLink(InviteLink),
    Conversation(DirectConversation),
    Group(Group),
    Message(Message),
    DataExport(DataExport),
}

/// Registers that the interface `Conversation` implements `Node`, which the library's derive cannot say.
pub struct ConversationIsNode;

impl OutputType for ConversationIsNode {
    fn type_name() -> Cow<'static, str> {
        <Conversation as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        let conversation = <Conversation as OutputType>::create_type_info(registry);
        <Node as OutputType>::create_type_info(registry);
        registry.add_implements(&Self::type_name(), &<Node as OutputType>::type_name());
        conversation
    }

    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        // No field has this type.
        Ok(Value::Null)
    }
}

/// An id whose kind is known.
#[derive(Clone, Copy)]
pub(super) enum AnyId {
    User(UserId),
    Viewer(ViewerId),
    Session(SessionId),
    Invite(InviteId),
    InviteLink(InviteLinkId),
    Conversation(ConversationId),
    Message(MessageId),
    DataExport(DataExportId),
}

impl AnyId {
    pub(super) fn decode(id: &ID) -> Result<Self, Error> {
        let kind = id.split_once('_').map_or("", |(kind, _)| kind);
        let decoded = match kind {
            "user" => GlobalId::decode(id).map(Self::User),
            "viewer" => GlobalId::decode(id).map(Self::Viewer),
            "session" => GlobalId::decode(id).map(Self::Session),
            "invite" => GlobalId::decode(id).map(Self::Invite),
            "link" => GlobalId::decode(id).map(Self::InviteLink),
            "conv" => GlobalId::decode(id).map(Self::Conversation),
            "msg" => GlobalId::decode(id).map(Self::Message),
            "export" => GlobalId::decode(id).map(Self::DataExport),
            _ => None,
        };
        decoded.ok_or(Error::BadUserInput(
            "An id has the form user_…, conv_…, msg_…, invite_…, link_…, session_…, export_… or viewer_….".into(),
        ))
    }
}

#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Anything by its global id; null for what does not exist and for what the viewer may not know about. A group that the
    /// viewer is invited into is what `Invite.group` shows of it.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A global id of any type.")] id: ID,
    ) -> Option<async_graphql::Result<Node>> {
        let find = async {
            let found = find(ctx, &viewer(ctx)?, vec![Some(AnyId::decode(&id)?)]).await?;
            Ok::<_, Error>(found.into_iter().next().flatten())
        };
        find.await.map_err(Into::into).transpose()
    }

    /// Several by their global ids, at most 100, in the same order; null in the place of each that `node` would answer
    /// with null.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global ids of any types.")] ids: Vec<ID>,
    ) -> async_graphql::Result<Vec<Option<Node>>> {
        if ids.len() > MAX_NODES {
            return Err(Error::bad_input(format!("At most {MAX_NODES} ids at once.")).into());
        }
        let ids = ids.iter().map(|id| AnyId::decode(id).map(Some)).collect::<Result<_, _>>()?;
        Ok(find(ctx, &viewer(ctx)?, ids).await?)
    }
}

/// Looks ids up with a number of statements that does not depend on how many there are; nothing in the place of none.
pub(super) async fn find(
    ctx: &Context<'_>,
    viewer: &auth::Viewer,
    ids: Vec<Option<AnyId>>,
) -> Result<Vec<Option<Node>>, Error> {
    let app = app(ctx);
    let (mut user_ids, mut session_ids, mut invite_ids) = (Vec::new(), Vec::new(), Vec::new());
    let (mut link_ids, mut export_ids) = (Vec::new(), Vec::new());
    for id in ids.iter().flatten() {
        match *id {
            AnyId::User(id) => user_ids.push(id),
            AnyId::Session(id) => session_ids.push(id),
            AnyId::Invite(id) => invite_ids.push(id),
            AnyId::InviteLink(id) => link_ids.push(id),
            AnyId::DataExport(id) => export_ids.push(id),
            // By loaders, or by nothing.
            AnyId::Viewer(_) | AnyId::Conversation(_) | AnyId::Message(_) => {}
        }
    }
    let users = if user_ids.is_empty() { Default::default() } else { visible(app, viewer, &user_ids).await? };
    let invites =
        if invite_ids.is_empty() { Default::default() } else { visible_invites(app, viewer, &invite_ids).await? };
    let loaders = loaders(ctx);
    let links = if link_ids.is_empty() { Vec::new() } else { managed(app, &loaders, viewer, &link_ids).await? };
    let links: HashMap<InviteLinkId, VisibleLink> = links.into_iter().map(|link| (link.id(), link)).collect();
    let sessions =
        if session_ids.is_empty() { Default::default() } else { session_nodes(app, viewer, &session_ids).await? };
    let exports =
        if export_ids.is_empty() { Default::default() } else { data_export_nodes(app, viewer, &export_ids).await? };
    let (users, sessions, invites, links, exports, loaders) = (&users, &sessions, &invites, &links, &exports, &loaders);
    let found = ids.into_iter().map(|id| async move {
        let Some(id) = id else { return Ok(None) };
        Ok(match id {
            AnyId::User(id) => users.get(&id).cloned().map(|user| Node::User(user.into())),
            AnyId::Viewer(id) => viewer_node(viewer, id).map(Node::Viewer),
            AnyId::Session(id) => sessions.get(&id).cloned().map(Node::Session),
            AnyId::Invite(id) => invites.get(&id).cloned().map(|invite| Node::Invite(invite.into())),
            AnyId::InviteLink(id) => links.get(&id).cloned().map(|link| Node::InviteLink(link.into())),
            AnyId::Conversation(id) => match reader(loaders, viewer, id).await?.as_ref().map(Conversation::of) {
                Some(Conversation::Direct(direct)) => Some(Node::Conversation(direct)),
                Some(Conversation::Group(group)) => Some(Node::Group(group)),
                None => preview(app, loaders, viewer, id).await?.map(Group::preview).map(Node::Group),
            },
            AnyId::DataExport(id) => exports.get(&id).cloned().map(Node::DataExport),
            AnyId::Message(id) => crate::messages::access::readable(loaders, viewer, id)
                .await?
                .map(|readable| Node::Message(Message::of(&readable))),
        })
    });
    futures_util::future::try_join_all(found).await
}
