//! Who sees an invite, and who may answer it.

use std::{collections::HashMap, sync::Arc};

use entity::{
    InviteId, Timestamp, UserId,
    invite::{self, Column, Entity, Status},
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use super::types::{Answer, InviteStatus, Role, next};
use crate::{
    app::App,
    auth::Viewer,
    error::{Error, Outcome, Refusal, UserErrorCode},
    events::Transaction,
    friends::types::Pair,
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

/// A pending invite, and what the viewer, who may do so, makes of it. The lock of its pair of people is held. Only the
/// gates of this module make one.
#[derive(Debug)]
pub struct PendingInvite {
    row: invite::Model,
    invitee_id: UserId,
    next: Status,
}

impl PendingInvite {
    pub(super) fn row(&self) -> &invite::Model {
        &self.row
    }

    pub(super) fn invitee_id(&self) -> UserId {
        self.invitee_id
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
    let invitee_id = row.invitee_id.ok_or_else(not_found)?;
    Pair::of(row.inviter_id, invitee_id).lock(tx).await?;
    // As it is under the lock.
    let row = find().await?.ok_or_else(not_found)?;
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
    let invitee_id = row.invitee_id.ok_or_else(|| Error::internal("a pending invite to nobody was answered"))?;
    Ok(PendingInvite { row, invitee_id, next })
}

/// Whether somebody is the one who is asked by an invite, and may still answer.
pub(super) fn is_asked(row: &invite::Model, user_id: UserId, now: Timestamp) -> bool {
    row.invitee_id == Some(user_id) && !row.hidden && status_of(row, now) == InviteStatus::Pending
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
