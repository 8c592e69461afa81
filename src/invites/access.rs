//! Who sees an invite, and who may answer it.

use std::{collections::HashMap, sync::Arc};

use entity::{
    ConversationId, InviteId, Timestamp, UserId, conversation,
    invite::{self, Column, Entity, Status},
    user,
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use super::{
    store::Asked,
    types::{Answer, InviteStatus, Role, Unanswerable, next},
};
use crate::{
    accounts,
    app::App,
    auth::{MailToken, Viewer},
    error::{Error, Outcome, Refusal, UserErrorCode},
    events::Transaction,
    friends::{self, types::Pair},
    graphql::loaders::Loaders,
    mails::letters::Invitation,
    users::access::hold,
};

/// The invites that somebody may know of: their own, and those to them that are not hidden. Every list is restricted
/// by it.
pub(super) fn visible_to(viewer_id: UserId) -> Condition {
    Condition::any().add(outgoing(viewer_id)).add(incoming(viewer_id))
}

/// Invites by the viewer.
pub(super) fn outgoing(viewer_id: UserId) -> Condition {
    Condition::all().add(Column::InviterId.eq(viewer_id))
}

/// Invites to the viewer, without those of people whom they have blocked.
pub(super) fn incoming(viewer_id: UserId) -> Condition {
    Condition::all().add(Column::InviteeId.eq(viewer_id)).add(Column::Hidden.eq(false))
}

/// An invite that the viewer may see. Only this gate makes one.
#[derive(Clone, Debug)]
pub struct VisibleInvite(Arc<invite::Model>);

impl VisibleInvite {
    pub fn into_row(self) -> Arc<invite::Model> {
        self.0
    }
}

/// The invite with an id, if the viewer may see it: the inviter always, the invitee unless it is hidden.
pub async fn visible_invite(app: &App, viewer: &Viewer, id: InviteId) -> Result<Option<VisibleInvite>, Error> {
    Ok(visible_invites(app, viewer, &[id]).await?.remove(&id))
}

/// Those among the ids that the viewer may see, by one statement.
pub async fn visible_invites(
    app: &App,
    viewer: &Viewer,
    ids: &[InviteId],
) -> Result<HashMap<InviteId, VisibleInvite>, Error> {
    let query = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).filter(visible_to(viewer.user_id()));
    let rows = query.all(app.db.read()).await?;
    Ok(rows.into_iter().map(|row| (row.id, VisibleInvite(Arc::new(row)))).collect())
}

/// A pending invite, and what the viewer, who may do so, makes of it. The lock of its pair of people is held, and both
/// have an account. Only the gates of this module make one.
#[derive(Debug)]
pub struct PendingInvite {
    row: invite::Model,
    next: Status,
}

impl PendingInvite {
    pub(super) fn row(&self) -> &invite::Model {
        &self.row
    }

    pub(super) fn next(&self) -> Status {
        self.next
    }
}

/// The gate to an answer.
///
/// Refused with `NOT_FOUND` for what the viewer may not see, with `FORBIDDEN` on the wrong side, with
/// `INVITE_NOT_PENDING` after its end.
pub async fn answerable(
    tx: &Transaction<'_>,
    viewer: &Viewer,
    id: InviteId,
    answer: Answer,
    now: Timestamp,
) -> Outcome<PendingInvite> {
    let find = || Entity::find_by_id(id).filter(visible_to(viewer.user_id())).one(tx.db());
    let not_found = || Refusal::new(UserErrorCode::NotFound, "There is no such invite.").of_field("inviteId");
    let row = find().await?.ok_or_else(not_found)?;
    // Of an invite that nobody has claimed there is no pair: only the inviter sees it, and only to take it back.
    let held = match row.invitee_id {
        Some(invitee_id) => Pair::of(row.inviter_id, invitee_id).lock(tx).await?,
        None => hold(tx, &[viewer.user_id()]).await?,
    };
    held.require(viewer.user_id())?;
    // As it is under the lock.
    let row = find().await?.ok_or_else(not_found)?;
    if !held.has(row.inviter_id) {
        return Err(Refusal::from(Unanswerable::NotPending(InviteStatus::Revoked)).into());
    }
    answerable_row(row, viewer, answer, now)
}

/// The gate to an invite that holds the slot of the viewer and somebody else, under the lock of the two. It is the
/// viewer's to answer also when it is hidden: by inviting back they have shown that they wish it.
pub(super) fn answerable_row(
    row: invite::Model,
    viewer: &Viewer,
    answer: Answer,
    now: Timestamp,
) -> Outcome<PendingInvite> {
    let role = role_of(&row, viewer);
    let next = next(status_of(&row, now), role, answer).map_err(Refusal::from)?;
    Ok(PendingInvite { row, next })
}

/// A token from a mail that names a pending invite which nobody has claimed. Only this gate makes one; somebody else may
/// still be faster.
#[derive(Debug)]
pub struct Claim {
    pub(super) row: invite::Model,
    pub(super) token_hash: Vec<u8>,
    field: &'static str,
}

impl Claim {
    /// The same for unknown, used, expired and revoked ones.
    pub(super) fn refusal(&self) -> Refusal {
        invalid_token(self.field)
    }

    pub(super) fn field(&self) -> &'static str {
        self.field
    }
}

/// The gate to an email invite, by the token that came in `field` of the mutation's input: refused with `INVALID_TOKEN`.
pub async fn claimable(app: &App, token: &str, field: &'static str) -> Outcome<Claim> {
    let token_hash = MailToken::received(token).ok_or_else(|| invalid_token(field))?.hash();
    let query = Entity::find().filter(unclaimed(&token_hash, app.clock.now()));
    let row = query.one(app.db.read()).await?.ok_or_else(|| invalid_token(field))?;
    Ok(Claim { row, token_hash, field })
}

/// What makes an email invite one that its token can still claim.
pub(super) fn unclaimed(token_hash: &[u8], now: Timestamp) -> Condition {
    Condition::all()
        .add(Column::TokenHash.eq(token_hash))
        .add(Column::InviteeId.is_null())
        .add(Column::Status.eq(Status::Pending))
        .add(Column::ExpiresAt.gt(now))
}

fn invalid_token(field: &'static str) -> Refusal {
    Refusal::new(UserErrorCode::InvalidToken, "This invite is not valid any more.").of_field(field)
}

/// What the mail of an email invite tells, as it is about to be sent; nothing when it should not be: the invite is not
/// pending any more, or the address is of somebody who has blocked the inviter. The inviter cannot tell.
pub async fn to_mail(app: &App, id: InviteId, recipient: &str) -> Result<Option<Invitation>, Error> {
    let Some(row) = Entity::find_by_id(id).one(app.db.read()).await? else { return Ok(None) };
    if status_of(&row, app.clock.now()) != InviteStatus::Pending || row.invitee_id.is_some() {
        return Ok(None);
    }
    if let Some(owner_id) = accounts::recovery::owner_of(app, recipient).await?
        && friends::store::has_blocked(&app.db, owner_id, row.inviter_id).await?
    {
        return Ok(None);
    }
    let group = match row.group_id {
        Some(group_id) => conversation::Entity::find_by_id(group_id).one(app.db.read()).await?,
        None => None,
    };
    let inviter = user::Entity::find_by_id(row.inviter_id).one(app.db.read()).await?;
    Ok(inviter.map(|inviter| Invitation {
        inviter: inviter.display_name,
        username: inviter.username,
        group: group.filter(|group| group.deleted_at.is_none()).and_then(|group| group.name),
        note: row.note,
        expires_at: row.expires_at,
    }))
}

/// A group that the viewer is asked into by a pending invite, and which they may see as far as [`Group::preview`] shows
/// it.
///
/// [`Group::preview`]: crate::conversations::graphql::Group::preview
pub async fn preview(
    app: &App,
    loaders: &Loaders,
    viewer: &Viewer,
    group_id: ConversationId,
) -> Result<Option<Arc<conversation::Model>>, Error> {
    let asked = Asked { invitee_id: viewer.user_id(), group_id, now: app.clock.now() };
    let (asked, group) = futures_util::try_join!(loaders.load(asked), loaders.load(group_id))?;
    Ok(group.filter(|group| asked.is_some() && group.deleted_at.is_none()))
}

/// The side that the viewer, who is on one of them, is on.
pub(super) fn role_of(row: &invite::Model, viewer: &Viewer) -> Role {
    if row.inviter_id == viewer.user_id() { Role::Inviter } else { Role::Invitee }
}

pub fn is_expired(row: &invite::Model, now: Timestamp) -> bool {
    row.expires_at <= now
}

pub fn status_of(row: &invite::Model, now: Timestamp) -> InviteStatus {
    InviteStatus::of(row.status, is_expired(row, now))
}
