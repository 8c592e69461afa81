//! Statements about invites.

use std::collections::HashMap;

use entity::{
    ConversationId, InviteId, Timestamp, UserId,
    invite::{self, Column, Entity, Status},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, ExprTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, TryInsertResult,
};
use uuid::Uuid;

use super::{
    access::{self, Claim, PendingInvite},
    types::{Among, InviteDirection, InviteKind, InviteStatus, Unanswerable},
};
use crate::{
    db::Db,
    error::{Error, Outcome, Refusal},
    events::Transaction,
    graphql::{
        loaders::Key,
        pagination::{Page, PageRequest},
    },
};

/// The invite that holds a slot, also an expired one.
pub(super) async fn holder_of(tx: &Transaction<'_>, slot: &str) -> Result<Option<invite::Model>, Error> {
    Ok(Entity::find().filter(Column::PendingSlot.eq(slot)).one(tx.db()).await?)
}

/// Pending invites of any kind between two people, either way.
pub(super) async fn pending_between(
    tx: &Transaction<'_>,
    one: UserId,
    other: UserId,
    now: Timestamp,
) -> Result<Vec<invite::Model>, Error> {
    let direction =
        |inviter_id: UserId, invitee_id: UserId| Column::InviterId.eq(inviter_id).and(Column::InviteeId.eq(invitee_id));
    let query = Entity::find()
        .filter(direction(one, other).or(direction(other, one)))
        .filter(has_status(InviteStatus::Pending, now));
    Ok(query.all(tx.db()).await?)
}

pub(super) async fn count_pending_by(tx: &Transaction<'_>, inviter_id: UserId, now: Timestamp) -> Result<u64, Error> {
    let query = Entity::find().filter(access::outgoing(inviter_id)).filter(has_status(InviteStatus::Pending, now));
    Ok(query.count(tx.db()).await?)
}

/// Writes a new invite. Whether its slot was free: the unique index on it has the last word.
pub(super) async fn insert(tx: &Transaction<'_>, row: &invite::Model) -> Result<bool, Error> {
    let inserted = Entity::insert(row.clone().into_active_model())
        .on_conflict_do_nothing_on([Column::PendingSlot])
        .exec_without_returning(tx.db())
        .await?;
    Ok(matches!(inserted, TryInsertResult::Inserted(1..)))
}

/// Makes an expired invite say so, and free its slot.
pub(super) async fn expire(tx: &Transaction<'_>, row: &invite::Model) -> Result<(), Error> {
    update_pending(tx, row, Status::Expired, None).await?;
    Ok(())
}

/// Writes the answer to an invite, unless another answer was there first.
pub(super) async fn settle(tx: &Transaction<'_>, invite: PendingInvite, now: Timestamp) -> Outcome<invite::Model> {
    let status = invite.next();
    let responded_at = match status {
        Status::Accepted | Status::Rejected => Some(now),
        Status::Pending | Status::Revoked | Status::Expired => None,
    };
    match update_pending(tx, invite.row(), status, responded_at).await? {
        Some(row) => Ok(row),
        None => Err(Refusal::from(Unanswerable::NotPending(InviteStatus::Pending)).into()),
    }
}

/// Makes an email invite one to somebody, and its token worthless; nothing if it cannot be claimed any more. Of claims at
/// once, one succeeds.
pub(super) async fn bind(
    tx: &Transaction<'_>,
    claim: &Claim,
    user_id: UserId,
    now: Timestamp,
) -> Result<Option<invite::Model>, Error> {
    let change = invite::ActiveModel { invitee_id: Set(Some(user_id)), token_hash: Set(None), ..Default::default() };
    let updated = Entity::update_many()
        .set(change)
        .filter(access::unclaimed(&claim.token_hash, now))
        .exec_with_returning(tx.db())
        .await?;
    Ok(updated.into_iter().next())
}

/// Hides a pending invite from its invitee; what slot it holds from then on.
pub(super) async fn hide(tx: &Transaction<'_>, row: &invite::Model, slot: Option<String>) -> Result<(), Error> {
    Entity::update_many()
        .set(invite::ActiveModel { hidden: Set(true), pending_slot: Set(slot), ..Default::default() })
        .filter(Column::Id.eq(row.id))
        .filter(Column::Status.eq(Status::Pending))
        .exec(tx.db())
        .await?;
    Ok(())
}

/// Shows a pending invite to its invitee again; what slot it holds from then on.
pub(super) async fn show(tx: &Transaction<'_>, row: &invite::Model, slot: Option<String>) -> Result<(), Error> {
    Entity::update_many()
        .set(invite::ActiveModel { hidden: Set(false), pending_slot: Set(slot), ..Default::default() })
        .filter(Column::Id.eq(row.id))
        .filter(Column::Status.eq(Status::Pending))
        .exec(tx.db())
        .await?;
    Ok(())
}

pub(super) async fn update_pending(
    tx: &Transaction<'_>,
    row: &invite::Model,
    status: Status,
    responded_at: Option<Timestamp>,
) -> Result<Option<invite::Model>, Error> {
    // What is accepted is no secret to the one who accepted it.
    let hidden = row.hidden && status != Status::Accepted;
    let change = invite::ActiveModel {
        status: Set(status),
        pending_slot: Set(None),
        // What is over cannot be claimed.
        token_hash: Set(None),
        responded_at: Set(responded_at),
        hidden: Set(hidden),
        ..Default::default()
    };
    let updated = Entity::update_many()
        .set(change)
        .filter(Column::Id.eq(row.id))
        .filter(Column::Status.eq(Status::Pending))
        .exec_with_returning(tx.db())
        .await?;
    Ok(updated.into_iter().next())
}

fn is_among(among: Among) -> Condition {
    match among {
        Among::All => Condition::all(),
        Among::By(inviter_id) => Condition::all().add(Column::InviterId.eq(inviter_id)),
        Among::To(invitee_id) => Condition::all().add(Column::InviteeId.eq(invitee_id)),
    }
}

/// Ends pending invites into a group, also hidden ones. As they are then.
pub(super) async fn end_into_group(
    tx: &Transaction<'_>,
    group_id: ConversationId,
    among: Among,
    status: Status,
    now: Timestamp,
) -> Result<Vec<invite::Model>, Error> {
    let responded_at = (status == Status::Accepted).then_some(now);
    let change = invite::ActiveModel {
        status: Set(status),
        pending_slot: Set(None),
        responded_at: Set(responded_at),
        ..Default::default()
    };
    let query = Entity::update_many()
        .set(change)
        .filter(Column::GroupId.eq(group_id))
        .filter(Column::Kind.eq(invite::Kind::Group))
        .filter(has_status(InviteStatus::Pending, now))
        .filter(is_among(among));
    Ok(query.exec_with_returning(tx.db()).await?)
}

/// Makes pending email invites into a group lead into none. As they are then: without the slot of the group, so that who
/// may invite again can.
pub(super) async fn take_out_of_group(
    tx: &Transaction<'_>,
    group_id: ConversationId,
    among: Among,
) -> Result<Vec<invite::Model>, Error> {
    let change = invite::ActiveModel { group_id: Set(None), pending_slot: Set(None), ..Default::default() };
    let query = Entity::update_many()
        .set(change)
        .filter(Column::GroupId.eq(group_id))
        .filter(Column::Kind.eq(invite::Kind::Email))
        .filter(Column::Status.eq(Status::Pending))
        .filter(is_among(among));
    Ok(query.exec_with_returning(tx.db()).await?)
}

/// Takes the row locks of all invites by or to a person, in the order of ids: two who delete their accounts at once have
/// invites in common.
pub(super) async fn lock_all_of(tx: &Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    let theirs = Entity::find().select_only().column(Column::Id);
    let theirs = theirs.filter(Column::InviterId.eq(user_id).or(Column::InviteeId.eq(user_id)));
    theirs.order_by_asc(Column::Id).lock_exclusive().into_tuple::<InviteId>().all(tx.db()).await?;
    Ok(())
}

/// Ends whatever is pending by or to a person; what this ended.
pub(super) async fn end_pending_of(tx: &Transaction<'_>, user_id: UserId) -> Result<Vec<invite::Model>, Error> {
    let mut ended = Vec::new();
    for (side, status) in [(Column::InviterId, Status::Revoked), (Column::InviteeId, Status::Expired)] {
        let change = invite::ActiveModel { status: Set(status), pending_slot: Set(None), ..Default::default() };
        let pending = Entity::update_many()
            .set(change)
            .filter(side.eq(user_id))
            .filter(Column::Status.eq(Status::Pending))
            .exec_with_returning(tx.db());
        ended.extend(pending.await?);
    }
    Ok(ended)
}

/// Empties the notes that a person wrote, and the addresses and tokens of invites by and to them; what this changed.
pub(super) async fn empty_all_of(tx: &Transaction<'_>, user_id: UserId) -> Result<Vec<invite::Model>, Error> {
    let bare = invite::ActiveModel { email: Set(None), token_hash: Set(None), ..Default::default() };
    let by_them = invite::ActiveModel { note: Set(None), ..bare.clone() };
    let has_address = || Column::Email.is_not_null().or(Column::TokenHash.is_not_null());
    let mut emptied = Vec::new();
    for (change, side, is_full) in [
        (by_them, Column::InviterId, has_address().or(Column::Note.is_not_null())),
        (bare, Column::InviteeId, has_address()),
    ] {
        let query = Entity::update_many().set(change).filter(side.eq(user_id)).filter(is_full);
        emptied.extend(query.exec_with_returning(tx.db()).await?);
    }
    Ok(emptied)
}

/// Somebody's being asked into a group, by a pending invite that they see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    pub invitee_id: UserId,
    pub group_id: ConversationId,
    pub now: Timestamp,
}

impl Key for Asked {
    type Value = ();

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, ()>, Error> {
        let rows: Vec<(UserId, ConversationId, Timestamp)> = Entity::find()
            .select_only()
            .columns([Column::InviteeId, Column::GroupId, Column::ExpiresAt])
            .filter(Column::InviteeId.is_in(keys.iter().map(|key| key.invitee_id)))
            .filter(Column::GroupId.is_in(keys.iter().map(|key| key.group_id)))
            .filter(Column::Hidden.eq(false))
            .filter(Column::Status.eq(Status::Pending))
            .into_tuple()
            .all(db.read())
            .await?;
        let is_asked = |key: &Self| {
            let mut to_them = rows.iter().filter(|row| (row.0, row.1) == (key.invitee_id, key.group_id));
            to_them.any(|(_, _, expires_at)| *expires_at > key.now)
        };
        Ok(keys.iter().filter(|key| is_asked(key)).map(|key| (*key, ())).collect())
    }
}

/// Which of a viewer's invites to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub direction: Option<InviteDirection>,
    pub kind: Option<InviteKind>,
    pub status: Option<InviteStatus>,
}

impl Filter {
    fn condition(&self, viewer_id: UserId, now: Timestamp) -> Condition {
        let visible = match self.direction {
            None => access::visible_to(viewer_id),
            Some(InviteDirection::Incoming) => access::incoming(viewer_id),
            Some(InviteDirection::Outgoing) => access::outgoing(viewer_id),
        };
        Condition::all()
            .add(visible)
            .add_option(self.kind.map(|kind| Column::Kind.eq(invite::Kind::from(kind))))
            .add_option(self.status.map(|status| has_status(status, now)))
    }
}

/// A viewer's invites, the newest first.
pub(super) async fn page(
    db: &Db,
    viewer_id: UserId,
    filter: &Filter,
    now: Timestamp,
    request: &PageRequest<(Timestamp, Uuid)>,
) -> Result<Page<invite::Model>, Error> {
    let query = Entity::find().filter(filter.condition(viewer_id, now));
    Ok(request.page(request.newest_first(query, Column::CreatedAt, Column::Id).all(db.read()).await?))
}

pub(super) async fn count(db: &Db, viewer_id: UserId, filter: &Filter, now: Timestamp) -> Result<u64, Error> {
    Ok(Entity::find().filter(filter.condition(viewer_id, now)).count(db.read()).await?)
}

/// [`InviteStatus::of`] as a condition.
fn has_status(status: InviteStatus, now: Timestamp) -> Condition {
    let pending = || Condition::all().add(Column::Status.eq(Status::Pending));
    let stored = |status: Status| Condition::all().add(Column::Status.eq(status));
    match status {
        InviteStatus::Pending => pending().add(Column::ExpiresAt.gt(now)),
        InviteStatus::Expired => {
            Condition::any().add(stored(Status::Expired)).add(pending().add(Column::ExpiresAt.lte(now)))
        }
        InviteStatus::Accepted => stored(Status::Accepted),
        InviteStatus::Rejected => stored(Status::Rejected),
        InviteStatus::Revoked => stored(Status::Revoked),
    }
}
