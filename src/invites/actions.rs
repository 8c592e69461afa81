//! Sending and answering invites.

use std::{collections::HashSet, sync::Arc};

use entity::{
    ConversationId, InviteId, Timestamp, UserId,
    invite::{self, Kind, Status},
};

use super::{
    EMAIL_INVITE_SECONDS, FRIEND_INVITE_SECONDS, GROUP_INVITE_SECONDS, MAX_PENDING,
    access::{self, Claim, PendingInvite},
    store,
    types::{
        Among, Answer, GroupSendFacts, Holder, InviteStatus, Note, SendDecision, SendFacts, Unanswerable,
        judge_group_send, judge_send,
    },
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
    groups::{self, access::Act, actions::Unjoinable},
    mails::{self, Mail},
    rate_limits::{self, Action},
    users::{self, access::hold, types::Username},
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
    let (username, note) = parse("friend", username, note)?;
    app.rate_limits.check(Action::SendInvite, &viewer.user_id().0.to_string()).await?;
    let invitee = users::store::by_username(&app.db, &username).await?.ok_or_else(|| nobody("friend"))?;
    if invitee.id == viewer.user_id() {
        return Err(yourself("friend").into());
    }
    for _ in 0..MAX_ATTEMPTS {
        if let Some(changed) = try_send(app, viewer, invitee.id, note.as_ref()).await? {
            return Ok(changed);
        }
    }
    Err(lost_slot().into())
}

/// Invites whoever reads a mailbox to be friends, and into a group if one is named. Nobody looks whether the address has an
/// account: the answer and its time say nothing of it.
///
/// Refused with `INVALID_INPUT`, `ALREADY_INVITED` (this inviter, this address, this group), `LIMIT_REACHED`; of a group
/// with `NOT_FOUND`, and with `FORBIDDEN` without the right to invite.
pub async fn send_by_email(
    app: &App,
    viewer: &Viewer,
    email: &str,
    group_id: Option<ConversationId>,
    note: Option<&str>,
) -> Outcome<Changed> {
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
    let slot = email_slot(viewer.user_id(), &email, group_id);

    let mut tx = Transaction::begin(app).await?;
    hold(&tx, &[viewer.user_id()]).await?.require(viewer.user_id())?;
    lock_sender(&tx, viewer.user_id()).await?;
    if let Some(group_id) = group_id {
        groups::access::allowed(&tx, viewer, group_id, Act::Invite).await.map_err(of_group("email"))?;
    }
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
        invitee_id: None,
        email: Some(email.as_str().to_owned()),
        token_hash: Some(token.hash()),
        group_id,
        pending_slot: Some(slot),
        expires_at: now.plus_seconds(EMAIL_INVITE_SECONDS),
        ..new_row(app, Kind::Email, viewer, viewer.user_id(), note.as_ref(), false, now)
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
    hold(&tx, &[viewer.user_id()]).await?.require(viewer.user_id())?;
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
    let held = Pair::of(inviter_id, user_id).lock(tx).await?;
    if !held.has(inviter_id) {
        // It was revoked with their account.
        return Err(claim.refusal().into());
    }
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

/// What only one pending email invite of somebody to an address, and into a group or none, may hold.
fn email_slot(inviter_id: UserId, email: &Email, group_id: Option<ConversationId>) -> String {
    let group = group_id.map_or_else(String::new, |group_id| group_id.0.simple().to_string());
    format!("email:{}:{}:{group}", inviter_id.0.simple(), rate_limits::digest(email.folded()))
}

/// Invites the person with a username into a group. They must be somebody whom the viewer finds by `user(username)`.
///
/// Refused with `NOT_FOUND` (no such person, no such group), `INVALID_INPUT` (oneself, a bad note), `FORBIDDEN` (without
/// the right to invite, or the viewer has blocked them), `ALREADY_MEMBER`, `ALREADY_INVITED` (by whomever they see),
/// `LIMIT_REACHED`. Who has blocked the viewer gets a hidden invite, as with friend invites.
pub async fn send_to_group(
    app: &App,
    viewer: &Viewer,
    group_id: ConversationId,
    username: &str,
    note: Option<&str>,
) -> Outcome<Changed> {
    let (username, note) = parse("group", username, note)?;
    app.rate_limits.check(Action::SendInvite, &viewer.user_id().0.to_string()).await?;
    // Who may not invite learns nothing from the answer about the person.
    groups::access::look(app, viewer, group_id, Act::Invite).await.map_err(of_group("group"))?;
    let invitee = users::access::visible_by_name(app, viewer, &username).await?.ok_or_else(|| nobody("group"))?.id();
    if invitee == viewer.user_id() {
        return Err(yourself("group").into());
    }
    for _ in 0..MAX_ATTEMPTS {
        if let Some(changed) = try_send_to_group(app, viewer, group_id, invitee, note.as_ref()).await? {
            return Ok(changed);
        }
    }
    Err(lost_slot().into())
}

/// Accepts an invite, in one transaction with what it unlocks: two friends and their conversation, or a membership.
/// Who is in the group already by another door has accepted, and nothing else changes.
///
/// Refused as [`access::answerable`] says; with `INVITE_NOT_PENDING` also when the inviter may no longer invite or the
/// group is deleted; with `LIMIT_REACHED` when the group is full.
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

/// At the end of a friendship and at a block, under the lock of the two: revokes the pending invites of who ended it to
/// the other. In both cases, or they would tell which it was.
pub async fn take_back(
    tx: &mut Transaction<'_>,
    inviter_id: UserId,
    invitee_id: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    for row in store::pending_between(tx, inviter_id, invitee_id, now).await? {
        if row.inviter_id == inviter_id
            && let Some(row) = store::update_pending(tx, &row, Status::Revoked, None).await?
        {
            record_changed(tx, &row).await?;
        }
    }
    Ok(())
}

/// At a block, under the lock of the two: as [`take_back`], and hides the invites that come from the blocked, who goes on
/// to see them pending.
pub async fn end_between(
    tx: &mut Transaction<'_>,
    blocker_id: UserId,
    blocked_id: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    take_back(tx, blocker_id, blocked_id, now).await?;
    for row in store::pending_between(tx, blocker_id, blocked_id, now).await? {
        if row.inviter_id == blocked_id {
            let slot = match row.group_id {
                Some(group_id) if row.kind == Kind::Group => Some(hidden_group_slot(group_id, blocker_id, blocked_id)),
                _ => row.pending_slot.clone(),
            };
            store::hide(tx, &row, slot).await?;
        }
    }
    Ok(())
}

/// At the end of a block, under the lock of the two: shows the invites again that the block has hidden, and that are
/// pending. The invitee is told; to the inviter nothing has changed. What was sent under the block stays hidden. So does
/// an invite into a group while another one is there.
pub async fn show_again(
    tx: &mut Transaction<'_>,
    inviter_id: UserId,
    invitee_id: UserId,
    blocked_since: Timestamp,
    now: Timestamp,
) -> Result<(), Error> {
    let mut rows = store::pending_between(tx, inviter_id, invitee_id, now).await?;
    rows.retain(|row| row.inviter_id == inviter_id && row.hidden && row.created_at <= blocked_since);
    // Rows of conversations are locked in the order of their ids.
    rows.sort_by_key(|row| row.group_id);
    for row in rows {
        let slot = match row.group_id {
            Some(group_id) if row.kind == Kind::Group => {
                let slot = group_slot(group_id, invitee_id);
                // Who sends another holds the lock of the group.
                if groups::access::open(tx, group_id).await?.is_none() || store::holder_of(tx, &slot).await?.is_some() {
                    continue;
                }
                Some(slot)
            }
            _ => row.pending_slot.clone(),
        };
        store::show(tx, &row, slot).await?;
        tx.record_personal(invitee_id, Event::InviteChanged { invite_id: row.id }).await?;
    }
    Ok(())
}

/// For who deletes their account, and whose account is held so that nobody else can: revokes their pending invites,
/// lets those to them expire, and empties what they wrote in any and the addresses that lead to them. The others hear
/// of it as ever.
pub async fn forget(tx: &mut Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    store::lock_all_of(tx, user_id).await?;
    let ended = store::end_pending_of(tx, user_id).await?;
    let emptied = store::empty_all_of(tx, user_id).await?;
    let mut told = HashSet::new();
    for row in ended.into_iter().chain(emptied) {
        if !told.insert(row.id) {
            continue;
        }
        let is_outgoing = row.inviter_id == user_id;
        let other_id = if is_outgoing { row.invitee_id.filter(|_| !row.hidden) } else { Some(row.inviter_id) };
        if let Some(other_id) = other_id {
            tx.record_personal(other_id, Event::InviteChanged { invite_id: row.id }).await?;
        }
    }
    Ok(())
}

/// For a group whose row lock is held: revokes pending invites into it that can no longer be accepted. Those by email go on without the group: they are invites to be friends, too.
pub async fn end_into_group(tx: &mut Transaction<'_>, group_id: ConversationId, among: Among) -> Result<(), Error> {
    let revoked = store::end_into_group(tx, group_id, among, Status::Revoked, tx.app().clock.now()).await?;
    let bare = store::take_out_of_group(tx, group_id, among).await?;
    record_all_changed(tx, revoked.iter().chain(&bare)).await
}

/// For a group whose row lock is held, and somebody who has just come into it: accepts whatever other invites into it wait
/// for them, also hidden ones, whose senders see them there. One that was left would bring them back after a removal.
pub async fn settle_into_group(
    tx: &mut Transaction<'_>,
    group_id: ConversationId,
    user_id: UserId,
) -> Result<(), Error> {
    let now = tx.app().clock.now();
    let accepted = store::end_into_group(tx, group_id, Among::To(user_id), Status::Accepted, now).await?;
    record_all_changed(tx, accepted.iter()).await
}

async fn record_all_changed(tx: &mut Transaction<'_>, rows: impl Iterator<Item = &invite::Model>) -> Result<(), Error> {
    let events = rows.flat_map(|row| {
        let event = Event::InviteChanged { invite_id: row.id };
        hearers(row).map(move |user_id| (user_id, event.clone()))
    });
    tx.record_personal_all(events.collect()).await
}

fn lost_slot() -> Error {
    Error::Unavailable("an invite lost its slot to others again and again".into())
}

fn parse(kind: &str, username: &str, note: Option<&str>) -> Outcome<(Username, Option<Note>)> {
    let username = Username::parse(username).map_err(|_| nobody(kind));
    let note = note
        .map(Note::parse)
        .transpose()
        .map_err(|message| Refusal::new(UserErrorCode::InvalidInput, message).of_path(&[kind, "note"]));
    match (username, note) {
        (Ok(username), Ok(note)) => Ok((username, note.flatten())),
        (username, note) => Err(Failure::Refused(username.err().into_iter().chain(note.err()).collect())),
    }
}

/// `kind` is the field of the input that names the kind of invite.
fn nobody(kind: &str) -> Refusal {
    Refusal::new(UserErrorCode::NotFound, "Nobody has this username.").of_path(&[kind, "username"])
}

fn yourself(kind: &str) -> Refusal {
    Refusal::new(UserErrorCode::InvalidInput, "You cannot invite yourself.").of_path(&[kind, "username"])
}

/// A refusal of the group's gate, told at the place of the group in this input.
fn of_group(kind: &'static str) -> impl Fn(Failure) -> Failure {
    move |failure| match failure {
        Failure::Refused(refusals) => {
            Failure::Refused(refusals.into_iter().map(|refusal| refusal.of_path(&[kind, "groupId"])).collect())
        }
        fault @ Failure::Fault(_) => fault,
    }
}

/// One attempt; `None` when another took the slot meanwhile.
async fn try_send(app: &App, viewer: &Viewer, invitee_id: UserId, note: Option<&Note>) -> Outcome<Option<Changed>> {
    let pair = Pair::of(viewer.user_id(), invitee_id);
    let mut tx = Transaction::begin(app).await?;
    let held = pair.lock(&tx).await?;
    held.require(viewer.user_id())?;
    if !held.has(invitee_id) {
        return Err(nobody("friend").into());
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
    let changed = match (judge_send(facts).map_err(|refused| refused.refusal("friend"))?, holder) {
        (SendDecision::Accept, Some(row)) => {
            let invite = access::answerable_row(row, viewer, Answer::Accept, now)?;
            accept_pending(&mut tx, invite, now).await?
        }
        (SendDecision::Make { hidden } | SendDecision::Replace { hidden }, holder) => {
            if let Some(expired) = holder {
                store::expire(&tx, &expired).await?;
            }
            let row = invite::Model {
                pending_slot: Some(pair.pending_slot()),
                expires_at: now.plus_seconds(FRIEND_INVITE_SECONDS),
                ..new_row(app, Kind::Friend, viewer, invitee_id, note, hidden, now)
            };
            lock_sender(&tx, viewer.user_id()).await?;
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

/// One attempt; `None` when another took the slot meanwhile.
async fn try_send_to_group(
    app: &App,
    viewer: &Viewer,
    group_id: ConversationId,
    invitee_id: UserId,
    note: Option<&Note>,
) -> Outcome<Option<Changed>> {
    let mut tx = Transaction::begin(app).await?;
    // People before conversations.
    let held = Pair::of(viewer.user_id(), invitee_id).lock(&tx).await?;
    held.require(viewer.user_id())?;
    if !held.has(invitee_id) {
        return Err(nobody("group").into());
    }
    lock_sender(&tx, viewer.user_id()).await?;
    let allowed = groups::access::allowed(&tx, viewer, group_id, Act::Invite).await.map_err(of_group("group"))?;
    let now = app.clock.now();
    let slot = group_slot(group_id, invitee_id);
    let hidden_slot = hidden_group_slot(group_id, invitee_id, viewer.user_id());
    let holder = store::holder_of(&tx, &slot).await?;
    let own_hidden = store::holder_of(&tx, &hidden_slot).await?;
    let blocks = friends::store::blocks(&tx, viewer.user_id(), invitee_id).await?;
    let facts = GroupSendFacts {
        blocked_by_viewer: blocks.by_viewer,
        blocked_by_other: blocks.by_other,
        member: groups::actions::is_member(&tx, &allowed, invitee_id).await?,
        holder_expired: holder.as_ref().map(|row| access::is_expired(row, now)),
        own_hidden_expired: own_hidden.as_ref().map(|row| access::is_expired(row, now)),
    };
    let hidden = match judge_group_send(facts).map_err(|refused| refused.refusal("group"))? {
        SendDecision::Make { hidden } | SendDecision::Replace { hidden } => hidden,
        SendDecision::Accept => return Err(Error::internal("an invite into a group cannot cross another").into()),
    };
    for expired in holder.into_iter().chain(own_hidden) {
        store::expire(&tx, &expired).await?;
    }
    let row = invite::Model {
        group_id: Some(group_id),
        pending_slot: Some(if hidden { hidden_slot } else { slot }),
        expires_at: now.plus_seconds(GROUP_INVITE_SECONDS),
        ..new_row(app, Kind::Group, viewer, invitee_id, note, hidden, now)
    };
    let Some(changed) = make(&mut tx, row).await? else { return Ok(None) };
    tx.commit().await?;
    Ok(Some(changed))
}

/// What only one pending invite into a group may hold, whoever sent it. Not a hidden one: see [`hidden_group_slot`].
fn group_slot(group_id: ConversationId, invitee_id: UserId) -> String {
    format!("group:{}:{}", group_id.0.simple(), invitee_id.0.simple())
}

/// What a pending invite into a group holds that is hidden from the invitee, one for each inviter: in the slot of all, it
/// would show to the others whom the invitee has blocked.
fn hidden_group_slot(group_id: ConversationId, invitee_id: UserId, inviter_id: UserId) -> String {
    format!("{}:{}", group_slot(group_id, invitee_id), inviter_id.0.simple())
}

fn new_row(
    app: &App,
    kind: Kind,
    viewer: &Viewer,
    invitee_id: UserId,
    note: Option<&Note>,
    hidden: bool,
    now: Timestamp,
) -> invite::Model {
    invite::Model {
        id: app.clock.new_id(),
        kind,
        status: Status::Pending,
        inviter_id: viewer.user_id(),
        invitee_id: Some(invitee_id),
        email: None,
        token_hash: None,
        group_id: None,
        note: note.map(|note| note.as_str().to_owned()),
        hidden,
        pending_slot: None,
        created_at: now,
        expires_at: now,
        responded_at: None,
    }
}

/// Writes a new invite, under the lock of its sender; `None` when its slot is taken.
async fn make(tx: &mut Transaction<'_>, row: invite::Model) -> Outcome<Option<Changed>> {
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
    let revoked = || Refusal::from(Unanswerable::NotPending(InviteStatus::Revoked));
    let blocks = friends::store::blocks(tx, invitee_id, inviter_id).await?;
    if blocks.by_viewer || blocks.by_other {
        return Err(revoked().into());
    }
    match (invite.row().kind, invite.row().group_id) {
        (Kind::Friend, _) => {
            let row = store::settle(tx, invite, now).await?;
            record_changed(tx, &row).await?;
            let conversation_id = friends::actions::befriend(tx, inviter_id, invitee_id, now).await?;
            Ok(Changed { invite: Arc::new(row), conversation_id: Some(conversation_id) })
        }
        (Kind::Group, Some(group_id)) => {
            // The group's row before the invite's: a deletion takes them in this order.
            match groups::actions::add_invited(tx, group_id, inviter_id, invitee_id).await? {
                Ok(_) | Err(Unjoinable::AlreadyMember) => {}
                Err(Unjoinable::Gone) => return Err(revoked().into()),
                Err(full @ Unjoinable::Full) => return Err(full.refusal().into()),
            }
            let row = store::settle(tx, invite, now).await?;
            record_changed(tx, &row).await?;
            settle_into_group(tx, group_id, invitee_id).await?;
            Ok(Changed { invite: Arc::new(row), conversation_id: Some(group_id) })
        }
        (Kind::Group, None) => Err(Error::internal("an invite into no group").into()),
        (Kind::Email, group_id) => {
            let group_id = match group_id {
                Some(group_id) => {
                    // Rows of conversations in the order of their ids.
                    conversations::actions::lock_direct_before(tx, (inviter_id, invitee_id), group_id).await?;
                    match groups::actions::add_invited(tx, group_id, inviter_id, invitee_id).await? {
                        Ok(_) | Err(Unjoinable::AlreadyMember) => Some(group_id),
                        // They wished to be friends, too.
                        Err(Unjoinable::Gone) => None,
                        Err(full @ Unjoinable::Full) => return Err(full.refusal().into()),
                    }
                }
                None => None,
            };
            let row = store::settle(tx, invite, now).await?;
            record_changed(tx, &row).await?;
            if let Some(group_id) = group_id {
                settle_into_group(tx, group_id, invitee_id).await?;
            }
            let direct_id = befriend_by_email(tx, inviter_id, invitee_id, now).await?;
            Ok(Changed { invite: Arc::new(row), conversation_id: Some(group_id.unwrap_or(direct_id)) })
        }
    }
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
    for user_id in hearers(row) {
        tx.record_personal(user_id, Event::InviteChanged { invite_id: row.id }).await?;
    }
    Ok(())
}

/// The inviter, and the invitee of an invite that is not hidden.
fn hearers(row: &invite::Model) -> impl Iterator<Item = UserId> + use<> {
    let invitee_id = row.invitee_id.filter(|_| !row.hidden);
    std::iter::once(row.inviter_id).chain(invitee_id)
}
