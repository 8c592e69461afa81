//! What is in an export.
//!
//! What is the person's own, and of others what the person sees anyway: the usernames and display names of friends,
//! blocked people, people on the other side of invites, and peers of direct conversations. Not what others wrote, not
//! who blocked the person, not an invite that is hidden from them; no hash of anything.
//!
//! Everything is read page by page, by keys that do not change. A list is as it was when it was read: there is no moment
//! for the whole.

use std::collections::HashMap;

use async_graphql::ID;
use entity::{
    ConversationId, InviteId, MessageId, SessionId, UserId, account, block, conversation, data_export, friendship,
    invite, member, message, reaction, session, user,
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Serialize;

use super::maker::{Interrupted, Parts};
use crate::{
    app::App,
    error::Error,
    graphql::{ids::GlobalId, scalars::DateTime},
    invites::types::InviteStatus,
    users::access::GONE,
};

/// What clients of the archive look at before anything else in it.
const FORMAT: &str = "kith-export-1";
/// Rows that are read at once.
const PAGE: u64 = 200;
/// Bytes of a part, but for the last one.
const PART_BYTES: usize = 256 * 1024;

/// Writes the whole archive of a person.
pub(super) async fn write(
    app: &App,
    export: &data_export::Model,
    archive: &mut Archive<'_>,
) -> Result<(), Interrupted> {
    let user_id = export.user_id;
    let gone = || Interrupted::Fault(GONE);
    let user = user::Entity::find_by_id(user_id).one(app.db.read()).await?.ok_or_else(gone)?;
    let account = account::Entity::find_by_id(user_id).one(app.db.read()).await?.ok_or_else(gone)?;
    archive.value("format", &FORMAT)?;
    archive.value("exportedAt", &DateTime(app.clock.now()))?;
    archive.value("profile", &Profile::new(user, account))?;
    sessions(app, user_id, archive).await?;
    friends(app, user_id, archive).await?;
    blocked(app, user_id, archive).await?;
    invites(app, user_id, archive).await?;
    memberships(app, user_id, archive).await?;
    messages(app, user_id, archive).await?;
    reactions(app, user_id, archive).await
}

/// One JSON object, written member by member, that leaves in parts.
pub(super) struct Archive<'a> {
    parts: Parts<'a>,
    buffer: Vec<u8>,
    /// What stands before the next member, or before the next item of the list that is open.
    separator: &'static [u8],
}

impl<'a> Archive<'a> {
    pub(super) fn new(parts: Parts<'a>) -> Self {
        Self { parts, buffer: Vec::with_capacity(PART_BYTES), separator: b"{\n" }
    }

    fn value(&mut self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        self.name(name)?;
        self.json(value)?;
        self.separator = b",\n";
        Ok(())
    }

    fn begin_list(&mut self, name: &str) -> Result<(), Error> {
        self.name(name)?;
        self.buffer.push(b'[');
        self.separator = b"\n";
        Ok(())
    }

    async fn item(&mut self, item: &impl Serialize) -> Result<(), Interrupted> {
        self.buffer.extend_from_slice(self.separator);
        self.json(item)?;
        self.separator = b",\n";
        while self.buffer.len() >= PART_BYTES {
            let rest = self.buffer.split_off(PART_BYTES);
            self.parts.write(std::mem::replace(&mut self.buffer, rest)).await?;
        }
        Ok(())
    }

    fn end_list(&mut self) {
        self.buffer.push(b']');
        self.separator = b",\n";
    }

    /// Writes what is left.
    pub(super) async fn finish(mut self) -> Result<Parts<'a>, Interrupted> {
        self.buffer.extend_from_slice(b"\n}\n");
        self.parts.write(self.buffer).await?;
        Ok(self.parts)
    }

    fn name(&mut self, name: &str) -> Result<(), Error> {
        self.buffer.extend_from_slice(self.separator);
        self.json(&name)?;
        self.buffer.push(b':');
        Ok(())
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        serde_json::to_writer(&mut self.buffer, value).map_err(Error::internal)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    id: ID,
    username: String,
    display_name: String,
    created_at: DateTime,
    discoverable: bool,
    email: String,
    email_verified_at: Option<DateTime>,
    phone: Option<String>,
    read_receipts: bool,
}

impl Profile {
    fn new(user: user::Model, account: account::Model) -> Self {
        Self {
            id: user.id.encode(),
            username: user.username,
            display_name: user.display_name,
            created_at: user.created_at.into(),
            discoverable: user.discoverable,
            email: account.email,
            email_verified_at: account.email_verified_at.map(Into::into),
            phone: account.phone,
            read_receipts: account.read_receipts,
        }
    }
}

/// Somebody else, as the person sees them.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Other {
    id: ID,
    username: String,
    display_name: String,
}

async fn others(app: &App, ids: impl Iterator<Item = UserId>) -> Result<HashMap<UserId, Other>, Error> {
    let rows = user::Entity::find().filter(user::Column::Id.is_in(ids)).all(app.db.read()).await?;
    let other =
        |row: user::Model| Other { id: row.id.encode(), username: row.username, display_name: row.display_name };
    Ok(rows.into_iter().map(|row| (row.id, other(row))).collect())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    id: ID,
    user_agent: Option<String>,
    created_at: DateTime,
    last_used_at: DateTime,
    expires_at: DateTime,
    revoked_at: Option<DateTime>,
}

async fn sessions(app: &App, user_id: UserId, archive: &mut Archive<'_>) -> Result<(), Interrupted> {
    use session::{Column, Entity};
    archive.begin_list("sessions")?;
    let mut after: Option<SessionId> = None;
    loop {
        let mut query = Entity::find().filter(Column::UserId.eq(user_id)).order_by_asc(Column::Id).limit(PAGE);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.all(app.db.read()).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        for row in rows {
            let session = Session {
                id: row.id.encode(),
                user_agent: row.user_agent,
                created_at: row.created_at.into(),
                last_used_at: row.last_used_at.into(),
                expires_at: row.expires_at.into(),
                revoked_at: row.revoked_at.map(Into::into),
            };
            archive.item(&session).await?;
        }
    }
    archive.end_list();
    Ok(())
}

/// A friend, or somebody blocked.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Related {
    #[serde(flatten)]
    other: Other,
    since: DateTime,
}

async fn friends(app: &App, user_id: UserId, archive: &mut Archive<'_>) -> Result<(), Interrupted> {
    use friendship::{Column, Entity};
    archive.begin_list("friends")?;
    let mut after: Option<UserId> = None;
    loop {
        let mut query = Entity::find().filter(Column::UserId.eq(user_id)).order_by_asc(Column::FriendId).limit(PAGE);
        if let Some(after) = after {
            query = query.filter(Column::FriendId.gt(after));
        }
        let rows = query.all(app.db.read()).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.friend_id);
        let others = others(app, rows.iter().map(|row| row.friend_id)).await?;
        for row in rows {
            if let Some(other) = others.get(&row.friend_id).cloned() {
                archive.item(&Related { other, since: row.since.into() }).await?;
            }
        }
    }
    archive.end_list();
    Ok(())
}

async fn blocked(app: &App, user_id: UserId, archive: &mut Archive<'_>) -> Result<(), Interrupted> {
    use block::{Column, Entity};
    archive.begin_list("blockedUsers")?;
    let mut after: Option<UserId> = None;
    loop {
        let mut query =
            Entity::find().filter(Column::BlockerId.eq(user_id)).order_by_asc(Column::BlockedId).limit(PAGE);
        if let Some(after) = after {
            query = query.filter(Column::BlockedId.gt(after));
        }
        let rows = query.all(app.db.read()).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.blocked_id);
        let others = others(app, rows.iter().map(|row| row.blocked_id)).await?;
        for row in rows {
            if let Some(other) = others.get(&row.blocked_id).cloned() {
                archive.item(&Related { other, since: row.created_at.into() }).await?;
            }
        }
    }
    archive.end_list();
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invite {
    id: ID,
    direction: &'static str,
    kind: invite::Kind,
    status: &'static str,
    /// Who is on the other side; null for an address that nobody has claimed.
    other: Option<Other>,
    email: Option<String>,
    group_id: Option<ID>,
    note: Option<String>,
    created_at: DateTime,
    expires_at: DateTime,
    responded_at: Option<DateTime>,
}

async fn invites(app: &App, user_id: UserId, archive: &mut Archive<'_>) -> Result<(), Interrupted> {
    use invite::{Column, Entity};
    archive.begin_list("invites")?;
    let mut after: Option<InviteId> = None;
    loop {
        // As in every list of invites: not those to the person that are hidden from them.
        let incoming = Column::InviteeId.eq(user_id).and(Column::Hidden.eq(false));
        let visible = Condition::any().add(Column::InviterId.eq(user_id)).add(incoming);
        let mut query = Entity::find().filter(visible).order_by_asc(Column::Id).limit(PAGE);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.all(app.db.read()).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        let now = app.clock.now();
        let other_of =
            |row: &invite::Model| if row.inviter_id == user_id { row.invitee_id } else { Some(row.inviter_id) };
        let others = others(app, rows.iter().filter_map(other_of)).await?;
        for row in rows {
            let invite = Invite {
                id: row.id.encode(),
                direction: if row.inviter_id == user_id { "outgoing" } else { "incoming" },
                kind: row.kind,
                status: match InviteStatus::of(row.status, row.expires_at <= now) {
                    InviteStatus::Pending => "pending",
                    InviteStatus::Accepted => "accepted",
                    InviteStatus::Rejected => "rejected",
                    InviteStatus::Expired => "expired",
                    InviteStatus::Revoked => "revoked",
                },
                other: other_of(&row).and_then(|id| others.get(&id).cloned()),
                // Only the inviter sees it, here too.
                email: row.email.filter(|_| row.inviter_id == user_id),
                group_id: row.group_id.map(GlobalId::encode),
                note: row.note,
                created_at: row.created_at.into(),
                expires_at: row.expires_at.into(),
                responded_at: row.responded_at.map(Into::into),
            };
            archive.item(&invite).await?;
        }
    }
    archive.end_list();
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Membership {
    conversation_id: ID,
    kind: conversation::Kind,
    /// Groups: what they are called.
    name: Option<String>,
    /// Direct conversations: with whom.
    peer: Option<Other>,
    role: &'static str,
    joined_at: DateTime,
    last_read_sequence: i64,
    last_read_at: Option<DateTime>,
}

async fn memberships(app: &App, user_id: UserId, archive: &mut Archive<'_>) -> Result<(), Interrupted> {
    use member::{Column, Entity};
    archive.begin_list("conversations")?;
    let mut after: Option<ConversationId> = None;
    loop {
        let mut query =
            Entity::find().filter(Column::UserId.eq(user_id)).order_by_asc(Column::ConversationId).limit(PAGE);
        if let Some(after) = after {
            query = query.filter(Column::ConversationId.gt(after));
        }
        let rows = query.all(app.db.read()).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.conversation_id);
        let ids = rows.iter().map(|row| row.conversation_id);
        let conversations = conversation::Entity::find().filter(conversation::Column::Id.is_in(ids));
        let conversations: HashMap<ConversationId, conversation::Model> =
            conversations.all(app.db.read()).await?.into_iter().map(|row| (row.id, row)).collect();
        let peer_of = |row: &conversation::Model| {
            if row.direct_low == Some(user_id) { row.direct_high } else { row.direct_low }
        };
        let others = others(app, conversations.values().filter_map(peer_of)).await?;
        for row in rows {
            let Some(conversation) = conversations.get(&row.conversation_id) else { continue };
            let membership = Membership {
                conversation_id: row.conversation_id.encode(),
                kind: conversation.kind,
                name: conversation.name.clone(),
                peer: peer_of(conversation).and_then(|id| others.get(&id).cloned()),
                role: match row.role {
                    member::Role::Owner => "owner",
                    member::Role::Admin => "admin",
                    member::Role::Member => "member",
                },
                joined_at: row.joined_at.into(),
                last_read_sequence: row.last_read_sequence,
                last_read_at: row.last_read_at.map(Into::into),
            };
            archive.item(&membership).await?;
        }
    }
    archive.end_list();
    Ok(())
}

/// A message by the person, also in a group that they have left.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    id: ID,
    conversation_id: ID,
    sequence: i64,
    body: Option<String>,
    reply_to_id: Option<ID>,
    created_at: DateTime,
    edited_at: Option<DateTime>,
    deleted_at: Option<DateTime>,
}

async fn messages(app: &App, user_id: UserId, archive: &mut Archive<'_>) -> Result<(), Interrupted> {
    use message::{Column, Entity};
    archive.begin_list("messages")?;
    let mut after: Option<MessageId> = None;
    loop {
        // Always above 0: this says which index is meant.
        let own = Condition::all().add(Column::SenderId.eq(user_id)).add(Column::Sequence.gt(0));
        let mut query = Entity::find().filter(own).order_by_asc(Column::Id).limit(PAGE);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.all(app.db.read()).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        for row in rows {
            let message = Message {
                id: row.id.encode(),
                conversation_id: row.conversation_id.encode(),
                sequence: row.sequence,
                body: row.body,
                reply_to_id: row.reply_to_id.map(GlobalId::encode),
                created_at: row.created_at.into(),
                edited_at: row.edited_at.map(Into::into),
                deleted_at: row.deleted_at.map(Into::into),
            };
            archive.item(&message).await?;
        }
    }
    archive.end_list();
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reaction {
    message_id: ID,
    emoji: String,
    created_at: DateTime,
}

async fn reactions(app: &App, user_id: UserId, archive: &mut Archive<'_>) -> Result<(), Interrupted> {
    use reaction::{Column, Entity};
    archive.begin_list("reactions")?;
    let mut after: Option<(MessageId, String)> = None;
    loop {
        let mut query = Entity::find().filter(Column::UserId.eq(user_id)).limit(PAGE);
        if let Some((message_id, emoji)) = after {
            let same = Column::MessageId.eq(message_id).and(Column::Emoji.gt(emoji));
            query = query.filter(Column::MessageId.gt(message_id).or(same));
        }
        let rows = query.order_by_asc(Column::MessageId).order_by_asc(Column::Emoji).all(app.db.read()).await?;
        let Some(last) = rows.last() else { break };
        after = Some((last.message_id, last.emoji.clone()));
        for row in rows {
            let reaction =
                Reaction { message_id: row.message_id.encode(), emoji: row.emoji, created_at: row.created_at.into() };
            archive.item(&reaction).await?;
        }
    }
    archive.end_list();
    Ok(())
}
