//! Sending and answering invites.

use std::sync::Arc;

use entity::{
    ConversationId, InviteId, Timestamp, UserId,
    invite::{self, Kind, Status},
};

use super::{
    FRIEND_INVITE_SECONDS, MAX_PENDING,
    access::{self, PendingInvite},
    store,
    types::{Answer, Holder, InviteStatus, Note, SendDecision, SendFacts, Unanswerable, judge_send},
};
use crate::{
    app::App,
    auth::Viewer,
    error::{Error, Failure, Outcome, Refusal, UserErrorCode},
    events::{Event, Transaction},
    friends::{
        self,
        types::{Pair, lock_sender},
    },
    rate_limits::Action,
    users::{self, types::Username},
};

/// How often a send is judged anew after another took the slot from under it.
const MAX_ATTEMPTS: usize = 5;

/// An invite as a verb left it, and the conversation that it opened.
#[derive(Clone, Debug)]
pub struct Changed {
    pub invite: Arc<invite::Model>,
    pub conversation_id: Option<ConversationId>,
}

/// Invites the person with a username to be friends. If their invite to the viewer is pending, accepts that instead:
/// both want the same.
///
/// Refused with `NOT_FOUND`, `INVALID_INPUT` (oneself, a bad note), `FORBIDDEN` (the viewer has blocked them),
/// `ALREADY_FRIENDS`, `ALREADY_INVITED`, `LIMIT_REACHED`. Who has blocked the viewer gets a hidden invite, which
/// the viewer cannot tell from one that is not answered.
pub async fn send_to_friend(app: &App, viewer: &Viewer, username: &str, note: Option<&str>) -> Outcome<Changed> {
    let (username, note) = parse(username, note)?;
    app.rate_limits.check(Action::SendInvite, &viewer.user_id().0.to_string()).await?;
    let invitee = users::store::by_username(&app.db, &username).await?.ok_or_else(nobody)?;
    if invitee.id == viewer.user_id() {
        let message = "You cannot invite yourself.";
        return Err(Refusal::new(UserErrorCode::InvalidInput, message).of_path(&["friend", "username"]).into());
    }
    for _ in 0..MAX_ATTEMPTS {
        if let Some(changed) = try_send(app, viewer, invitee.id, note.as_ref()).await? {
            return Ok(changed);
        }
    }
    Err(Error::Unavailable("an invite lost its slot to others again and again".into()).into())
}

/// Accepts an invite: two friends and their conversation, in one transaction.
///
/// Refused as [`access::answerable`] says.
pub async fn accept(app: &App, viewer: &Viewer, id: InviteId) -> Outcome<Changed> {
    let now = app.clock.now();
    let mut tx = Transaction::begin(app).await?;
    let invite = access::answerable(&tx, viewer, id, Answer::Accept, now).await?;
    let changed = accept_pending(&mut tx, invite, now).await?;
    tx.commit().await?;
    Ok(changed)
}

/// Declines an invite. The inviter may send another.
///
/// Refused as [`access::answerable`] says.
pub async fn reject(app: &App, viewer: &Viewer, id: InviteId) -> Outcome<Changed> {
    end(app, viewer, id, Answer::Reject).await
}

/// Takes an invite back.
///
/// Refused as [`access::answerable`] says.
pub async fn revoke(app: &App, viewer: &Viewer, id: InviteId) -> Outcome<Changed> {
    end(app, viewer, id, Answer::Revoke).await
}

/// At a block, under the lock of the two: revokes the blocker's pending invites to the blocked, and hides those that
/// come from them, who go on to see them pending.
pub async fn end_between(
    tx: &mut Transaction<'_>,
    blocker_id: UserId,
    blocked_id: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    for row in store::pending_between(tx, blocker_id, blocked_id, now).await? {
        if row.inviter_id == blocker_id {
            if let Some(row) = store::update_pending(tx, &row, Status::Revoked, None).await? {
                record_changed(tx, &row).await?;
            }
        } else {
            store::hide(tx, &row).await?;
        }
    }
    Ok(())
}

/// For who deletes their account, and whose account is held so that nobody else can: revokes their pending invites,
/// lets those to them expire, and empties what they wrote in any and the addresses that lead to them. The others hear
/// of it as ever.
pub async fn forget(tx: &mut Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    for row in store::end_pending_of(tx, user_id).await? {
        let is_outgoing = row.inviter_id == user_id;
        let other_id = if is_outgoing { row.invitee_id.filter(|_| !row.hidden) } else { Some(row.inviter_id) };
        if let Some(other_id) = other_id {
            tx.record_personal(other_id, Event::InviteChanged { invite_id: row.id }).await?;
        }
    }
    store::empty_all_of(tx, user_id).await
}

fn parse(username: &str, note: Option<&str>) -> Outcome<(Username, Option<Note>)> {
    let username = Username::parse(username).map_err(|_| nobody());
    let note = note
        .map(Note::parse)
        .transpose()
        .map_err(|message| Refusal::new(UserErrorCode::InvalidInput, message).of_path(&["friend", "note"]));
    match (username, note) {
        (Ok(username), Ok(note)) => Ok((username, note.flatten())),
        (username, note) => Err(Failure::Refused(username.err().into_iter().chain(note.err()).collect())),
    }
}

fn nobody() -> Refusal {
    Refusal::new(UserErrorCode::NotFound, "Nobody has this username.").of_path(&["friend", "username"])
}

/// One attempt; `None` when another took the slot meanwhile.
async fn try_send(app: &App, viewer: &Viewer, invitee_id: UserId, note: Option<&Note>) -> Outcome<Option<Changed>> {
    let pair = Pair::of(viewer.user_id(), invitee_id);
    let mut tx = Transaction::begin(app).await?;
    let held = pair.lock(&tx).await?;
    held.require(viewer.user_id())?;
    if !held.has(invitee_id) {
        return Err(nobody().into());
    }
    let now = app.clock.now();
    let holder = store::holder_of(&tx, &pair.pending_slot()).await?;
    let blocks = friends::store::blocks(&tx, viewer.user_id(), invitee_id).await?;
    let facts = SendFacts {
        blocked_by_viewer: blocks.by_viewer,
        blocked_by_other: blocks.by_other,
        friends: friends::store::are_friends(&tx, viewer.user_id(), invitee_id).await?,
        holder: holder
            .as_ref()
            .map(|row| Holder { viewer_is: access::role_of(row, viewer), expired: access::is_expired(row, now) }),
    };
    let changed = match (judge_send(facts).map_err(Refusal::from)?, holder) {
        (SendDecision::Accept, Some(row)) => {
            let invite = access::answerable_row(row, viewer, Answer::Accept, now)?;
            accept_pending(&mut tx, invite, now).await?
        }
        (SendDecision::Make { hidden } | SendDecision::Replace { hidden }, holder) => {
            if let Some(expired) = holder {
                store::expire(&tx, &expired).await?;
            }
            let row = invite::Model {
                id: app.clock.new_id(),
                kind: Kind::Friend,
                status: Status::Pending,
                inviter_id: viewer.user_id(),
                invitee_id: Some(invitee_id),
                email: None,
                token_hash: None,
                group_id: None,
                note: note.map(|note| note.as_str().to_owned()),
                hidden,
                pending_slot: Some(pair.pending_slot()),
                created_at: now,
                expires_at: now.plus_seconds(FRIEND_INVITE_SECONDS),
                responded_at: None,
            };
            match make(&mut tx, row).await? {
                Some(changed) => changed,
                None => return Ok(None),
            }
        }
        (SendDecision::Accept, None) => return Err(Error::internal("a crossing invite without an invite").into()),
    };
    tx.commit().await?;
    Ok(Some(changed))
}

/// Writes a new invite; `None` when its slot is taken.
async fn make(tx: &mut Transaction<'_>, row: invite::Model) -> Outcome<Option<Changed>> {
    lock_sender(tx, row.inviter_id).await?;
    if store::count_pending_by(tx, row.inviter_id, row.created_at).await? >= MAX_PENDING {
        let message = format!("You have {MAX_PENDING} pending invites. Wait for answers, or revoke some.");
        return Err(Refusal::new(UserErrorCode::LimitReached, message).into());
    }
    if !store::insert(tx, &row).await? {
        return Ok(None);
    }
    record_changed(tx, &row).await?;
    Ok(Some(Changed { invite: Arc::new(row), conversation_id: None }))
}

async fn accept_pending(tx: &mut Transaction<'_>, invite: PendingInvite, now: Timestamp) -> Outcome<Changed> {
    let (inviter_id, invitee_id) = (invite.row().inviter_id, invite.invitee_id());
    match invite.row().kind {
        Kind::Friend => {
            let blocks = friends::store::blocks(tx, invitee_id, inviter_id).await?;
            if blocks.by_viewer || blocks.by_other {
                return Err(Refusal::from(Unanswerable::NotPending(InviteStatus::Revoked)).into());
            }
        }
        Kind::Group | Kind::Email => return Err(Error::internal("invites of this kind are not made yet").into()),
    }
    let row = store::settle(tx, invite, now).await?;
    record_changed(tx, &row).await?;
    let conversation_id = friends::actions::befriend(tx, inviter_id, invitee_id, now).await?;
    Ok(Changed { invite: Arc::new(row), conversation_id: Some(conversation_id) })
}

async fn end(app: &App, viewer: &Viewer, id: InviteId, answer: Answer) -> Outcome<Changed> {
    let now = app.clock.now();
    let mut tx = Transaction::begin(app).await?;
    let invite = access::answerable(&tx, viewer, id, answer, now).await?;
    let row = store::settle(&tx, invite, now).await?;
    record_changed(&mut tx, &row).await?;
    tx.commit().await?;
    Ok(Changed { invite: Arc::new(row), conversation_id: None })
}

/// Tells both sides; of a hidden invite only the inviter.
async fn record_changed(tx: &mut Transaction<'_>, row: &invite::Model) -> Result<(), Error> {
    let event = Event::InviteChanged { invite_id: row.id };
    tx.record_personal(row.inviter_id, event.clone()).await?;
    match row.invitee_id {
        Some(invitee_id) if !row.hidden => tx.record_personal(invitee_id, event).await,
        _ => Ok(()),
    }
}
