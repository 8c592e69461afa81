//! Making, revoking and using links.

use entity::{ConversationId, InviteLinkId, Timestamp, invite_link};

use super::{
    KEPT_SECONDS, MAX_LIVE,
    access::VisibleLink,
    store,
    types::{Code, check_expiry, check_max_uses, is_alive},
};
use crate::{
    app::App,
    auth::Viewer,
    error::{Error, Failure, Outcome, Refusal, UserErrorCode},
    events::Transaction,
    groups::{
        self,
        access::{Act, allowed},
        actions::Unjoinable,
    },
    rate_limits::Action,
    users::access::hold,
};

/// Makes a link. The code is in nobody's hands but the caller's.
///
/// Refused as [`allowed`] says; with `INVALID_INPUT` for limits that make no sense, with `LIMIT_REACHED` when the group
/// has too many links.
pub async fn create(
    app: &App,
    viewer: &Viewer,
    group_id: ConversationId,
    expires_at: Option<Timestamp>,
    max_uses: Option<i32>,
) -> Outcome<(VisibleLink, Code)> {
    let now = app.clock.now();
    let expiry = expires_at.map_or(Ok(()), |expires_at| check_expiry(expires_at, now));
    let uses = max_uses.map_or(Ok(()), check_max_uses);
    let wrong: Vec<Refusal> = [("expiresAt", expiry), ("maxUses", uses)]
        .into_iter()
        .filter_map(|(field, check)| check.err().map(|message| Refusal::invalid(field, message)))
        .collect();
    if !wrong.is_empty() {
        return Err(Failure::Refused(wrong));
    }
    app.rate_limits.check(Action::CreateInviteLink, &viewer.user_id().0.to_string()).await?;
    let code = Code::random();
    let tx = Transaction::begin(app).await?;
    allowed(&tx, viewer, group_id, Act::ManageLinks).await?;
    if store::count_alive(&tx, group_id, now).await? >= MAX_LIVE {
        let message = format!("The group has {MAX_LIVE} links. Revoke some first.");
        return Err(Refusal::new(UserErrorCode::LimitReached, message).into());
    }
    let link = invite_link::Model {
        id: app.clock.new_id(),
        group_id,
        code_hash: code.hash(),
        created_by: viewer.user_id(),
        created_at: now,
        expires_at,
        max_uses,
        uses: 0,
        revoked_at: None,
    };
    store::insert(&tx, &link).await?;
    tx.commit().await?;
    Ok((VisibleLink::own(link), code))
}

/// Ends a link. Who is on their way in by it and has not arrived does not arrive.
///
/// Refused with `NOT_FOUND` for who does not manage the links of its group, as for a link that does not exist or is
/// over.
pub async fn revoke(app: &App, viewer: &Viewer, id: InviteLinkId) -> Outcome<VisibleLink> {
    let not_found = || Refusal::new(UserErrorCode::NotFound, "There is no such link.").of_field("inviteLinkId");
    let now = app.clock.now();
    let tx = Transaction::begin(app).await?;
    let group_id = store::by_id(&tx, id).await?.ok_or_else(not_found)?.group_id;
    match allowed(&tx, viewer, group_id, Act::ManageLinks).await {
        Ok(_) => {}
        Err(Failure::Refused(_)) => return Err(not_found().into()),
        Err(fault) => return Err(fault),
    }
    // As it is under the lock.
    let link = store::by_id(&tx, id).await?.filter(|link| is_alive(link, now)).ok_or_else(not_found)?;
    store::revoke(&tx, id, now).await?;
    tx.commit().await?;
    Ok(VisibleLink::own(invite_link::Model { revoked_at: Some(now), ..link }))
}

/// What came of using a link that is alive.
#[derive(Clone, Debug)]
pub enum Joined {
    In(groups::actions::Group),
    /// They were in it before; nothing is used up.
    Already(groups::actions::Group),
}

/// Joins the group of a link.
///
/// Refused with `INVALID_TOKEN` for every code that no living link has, whatever the reason; with `LIMIT_REACHED` when
/// the group is full.
pub async fn join(app: &App, viewer: &Viewer, code: &str) -> Outcome<Joined> {
    app.rate_limits.check(Action::UseInviteLink, &viewer.user_id().0.to_string()).await?;
    let code = Code::parse(code).ok_or_else(no_link)?;
    let now = app.clock.now();
    let mut tx = Transaction::begin(app).await?;
    let group_id = store::by_code(tx.db(), &code, now).await?.ok_or_else(no_link)?.group_id;
    hold(&tx, &[viewer.user_id()]).await?.require(viewer.user_id())?;
    let group = groups::access::open(&tx, group_id).await?.ok_or_else(no_link)?;
    // As it is under the lock of the group, which everybody who joins takes.
    let link = store::by_code(tx.db(), &code, now).await?.ok_or_else(no_link)?;
    match groups::actions::let_in_by_link(&mut tx, &group, viewer.user_id()).await? {
        Ok(_) => {}
        Err(Unjoinable::AlreadyMember) => return Ok(Joined::Already(group.into_row())),
        Err(Unjoinable::Gone) => return Err(no_link().into()),
        Err(full @ Unjoinable::Full) => return Err(full.refusal().into()),
    }
    store::count_use(&tx, link.id).await?;
    tx.commit().await?;
    Ok(Joined::In(group.into_row()))
}

/// Deletes what has been over for long; how many.
pub async fn sweep(app: &App) -> Result<u64, Error> {
    store::delete_over(&app.db, app.clock.now().plus_seconds(-KEPT_SECONDS)).await
}

/// The one refusal of a code that opens nothing.
fn no_link() -> Refusal {
    Refusal::new(UserErrorCode::InvalidToken, "This link is not valid, or no longer.").of_field("code")
}
