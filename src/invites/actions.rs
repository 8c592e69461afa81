//! Sending and answering invites.

use std::sync::Arc;

use entity::{
    ConversationId, InviteId, Timestamp, UserId,
    invite::{self, Kind, Status},
};

use super::{
    INVITE_SECONDS, MAX_PENDING,
    access::{self, Claim, PendingInvite},
    store,
    types::{Answer, Holder, InviteStatus, Note, SendDecision, SendFacts, Unanswerable, judge_send},
};
use crate::{
    accounts::types::Email,
    app::App,
    auth::{MailToken, RequestContext, Viewer},
    conversations,
    error::{Error, Failure, Outcome, Refusal, UserErrorCode},
    events::{Event, Transaction},
    friends::{
        self,
        types::{Pair, lock_sender},
    },
    mails::{self, Mail},
    rate_limits::{self, Action},
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

/// Invites whoever reads a mailbox to be friends. Nobody looks whether the address has an account: the answer and its time
/// say nothing of it.
///
/// Refused with `INVALID_INPUT`, `ALREADY_INVITED` (this inviter, this address), `LIMIT_REACHED`.
pub async fn send_by_email(app: &App, viewer: &Viewer, email: &str, note: Option<&str>) -> Outcome<Changed> {
    let at = |field: &'static str| {
        move |message: &'static str| Refusal::new(UserErrorCode::InvalidInput, message).of_path(&["email", field])
    };
    let email = Email::parse(email).map_err(at("email"));
    let note = note.map(Note::parse).transpose().map_err(at("note"));
    let (email, note) = match (email, note) {
        (Ok(email), Ok(note)) => (email, note.flatten()),
        (email, note) => return Err(Failure::Refused(email.err().into_iter().chain(note.err()).collect())),
    };
    app.rate_limits.check(Action::SendInvite, &viewer.user_id().0.to_string()).await?;
    app.rate_limits.check(Action::MailInvite, &rate_limits::digest(email.folded())).await?;
    let token = MailToken::generate();
    let slot = email_slot(viewer.user_id(), &email);

    let mut tx = Transaction::begin(app).await?;
    lock_sender(&tx, viewer.user_id()).await?;
    let now = app.clock.now();
    let already = || {
        let message = "Your invite to this address is pending.";
        Refusal::new(UserErrorCode::AlreadyInvited, message).of_path(&["email", "email"])
    };
    if let Some(holder) = store::holder_of(&tx, &slot).await? {
        if !access::is_expired(&holder, now) {
            return Err(already().into());
        }
        store::expire(&tx, &holder).await?;
    }
    let row = invite::Model {
        id: app.clock.new_id(),
        kind: Kind::Email,
        status: Status::Pending,
        inviter_id: viewer.user_id(),
        invitee_id: None,
        email: Some(email.as_str().to_owned()),
        token_hash: Some(token.hash()),
        group_id: None,
        note: note.map(|note| note.as_str().to_owned()),
        hidden: false,
        pending_slot: Some(slot),
        created_at: now,
        expires_at: now.plus_seconds(INVITE_SECONDS),
        responded_at: None,
    };
    let mail = Mail::Invite { invite_id: row.id, token: token.into_text() };
    let changed = make(&mut tx, row).await?.ok_or_else(already)?;
    mails::queue(&mut tx, email.as_str(), &mail).await?;
    tx.commit().await?;
    Ok(changed)
}

/// Makes an email invite one to the viewer, by the token from the mail. It can be accepted then.
///
/// Refused with `INVALID_TOKEN` for what is unknown, used, expired or revoked, all alike, and where the inviter has
/// blocked the viewer; with `FORBIDDEN` where the viewer has blocked the inviter; with `INVALID_INPUT` for one's own.
pub async fn claim(app: &App, viewer: &Viewer, request: &RequestContext, token: &str) -> Outcome<Changed> {
    app.rate_limits.check(Action::UseMailToken, &rate_limits::address(request.client_ip)).await?;
    let claim = access::claimable(app, token, "token").await?;
    let mut tx = Transaction::begin(app).await?;
    let row = bind(&mut tx, viewer.user_id(), claim, app.clock.now()).await?;
    tx.commit().await?;
    Ok(Changed { invite: Arc::new(row), conversation_id: None })
}

/// [`claim`], in the transaction of another verb.
pub async fn bind(tx: &mut Transaction<'_>, user_id: UserId, claim: Claim, now: Timestamp) -> Outcome<invite::Model> {
    let inviter_id = claim.row.inviter_id;
    if inviter_id == user_id {
        return Err(Refusal::invalid(claim.field(), "This is your own invite.").into());
    }
    Pair::of(inviter_id, user_id).lock(tx).await?;
    let blocks = friends::store::blocks(tx, user_id, inviter_id).await?;
    if blocks.by_other {
        // As if they had taken it back, which they would have.
        return Err(claim.refusal().into());
    }
    if blocks.by_viewer {
        let message = "You have blocked the person who invites you. Unblock them first.";
        return Err(Refusal::new(UserErrorCode::Forbidden, message).of_field(claim.field()).into());
    }
    let row = store::bind(tx, &claim, user_id, now).await?.ok_or_else(|| claim.refusal())?;
    record_changed(tx, &row).await?;
    Ok(row)
}

/// What only one pending email invite of somebody to an address may hold.
fn email_slot(inviter_id: UserId, email: &Email) -> String {
    format!("email:{}:{}", inviter_id.0.simple(), rate_limits::digest(email.folded()))
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
    pair.lock(&tx).await?;
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
                expires_at: now.plus_seconds(INVITE_SECONDS),
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
    let inviter_id = invite.row().inviter_id;
    let nobody = || Error::internal("an invite that nobody has claimed was accepted");
    let invitee_id = invite.row().invitee_id.ok_or_else(nobody)?;
    match invite.row().kind {
        Kind::Friend | Kind::Email => {
            let blocks = friends::store::blocks(tx, invitee_id, inviter_id).await?;
            if blocks.by_viewer || blocks.by_other {
                return Err(Refusal::from(Unanswerable::NotPending(InviteStatus::Revoked)).into());
            }
        }
        Kind::Group => return Err(Error::internal("invites of this kind are not made yet").into()),
    }
    let kind = invite.row().kind;
    let row = store::settle(tx, invite, now).await?;
    record_changed(tx, &row).await?;
    let conversation_id = match kind {
        Kind::Email => befriend_by_email(tx, inviter_id, invitee_id, now).await?,
        Kind::Friend | Kind::Group => friends::actions::befriend(tx, inviter_id, invitee_id, now).await?,
    };
    Ok(Changed { invite: Arc::new(row), conversation_id: Some(conversation_id) })
}

/// Makes friends of two people one of whom invited the other's mailbox, without knowing whose it is: so they may be friends
/// already, or a friend invite may be on its way, which is accepted with it.
async fn befriend_by_email(
    tx: &mut Transaction<'_>,
    inviter_id: UserId,
    invitee_id: UserId,
    now: Timestamp,
) -> Outcome<ConversationId> {
    if friends::store::are_friends(tx, inviter_id, invitee_id).await? {
        return Ok(conversations::actions::open_direct(tx, inviter_id, invitee_id).await?);
    }
    let pair = Pair::of(inviter_id, invitee_id);
    if let Some(crossing) = store::holder_of(tx, &pair.pending_slot()).await? {
        let (status, responded_at) = match access::is_expired(&crossing, now) {
            true => (Status::Expired, None),
            false => (Status::Accepted, Some(now)),
        };
        if let Some(row) = store::update_pending(tx, &crossing, status, responded_at).await? {
            record_changed(tx, &row).await?;
        }
    }
    Ok(friends::actions::befriend(tx, inviter_id, invitee_id, now).await?)
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
