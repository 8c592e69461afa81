//! Signed-in devices, from the first token to the last.

use entity::{SessionId, Timestamp, UserId, refresh_token, session};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait};

use super::{store, types::user_agent};
use crate::{
    app::App,
    auth::{RefreshToken, RequestContext, Viewer},
    error::{Error, Outcome, Refusal, UserErrorCode},
    events::{Event, Transaction},
    rate_limits::{self, Action},
    users::access::hold,
};

/// Most live sessions of one person: the longest unused one ends when there is one more.
pub const MAX_SESSIONS: usize = 50;

/// Longest refresh token that is looked at; ours have 46 bytes.
const MAX_TOKEN_BYTES: usize = 256;

/// Clocks of several processes differ, and a token may have been signed while its session was being revoked.
const CLOCK_SLACK_SECONDS: i64 = 60;

/// What somebody holds who has just signed in.
pub struct SignedIn {
    pub viewer: Viewer,
    pub access_token: String,
    pub access_token_expires_at: Timestamp,
    pub refresh_token: String,
}

/// Buys the next pair of tokens with a refresh token, which dies of it. A second use of one ends the session: either
/// the one or the other was a thief.
pub async fn refresh(app: &App, request: &RequestContext, token: String) -> Outcome<SignedIn> {
    app.rate_limits.check(Action::RefreshSession, &rate_limits::address(request.client_ip)).await?;
    if token.len() > MAX_TOKEN_BYTES {
        return Err(invalid_token().into());
    }
    let token_hash = RefreshToken::received(token).hash();
    // An unknown token is refused before it takes the writer.
    let Some(token) = store::find_refresh_token(app.db.read(), token_hash.clone()).await? else {
        return Err(invalid_token().into());
    };
    let now = app.clock.now();
    let tx = Transaction::begin(app).await?;
    // Before the tokens, in the order of a deletion.
    store::hold_owner(&tx, token.session_id).await?;
    if !store::use_refresh_token(tx.db(), token_hash, now).await? {
        end(app, tx, &[token.session_id]).await?;
        return Err(invalid_token().into());
    }
    let session = store::prolong_session(tx.db(), token.session_id, now, expiry(app, now)).await?;
    let session = session.ok_or_else(invalid_token)?;
    let refresh_token = add_refresh_token(tx.db(), session.id, now).await?;
    tx.commit().await?;
    Ok(sign(app, session.user_id, session.id, refresh_token, now)?)
}

/// Ends the session that the viewer signed in with.
pub async fn logout(app: &App, viewer: &Viewer) -> Outcome<()> {
    Ok(end(app, Transaction::begin(app).await?, &[viewer.session_id()]).await?)
}

/// Ends one of the viewer's sessions, the current one included.
pub async fn revoke(app: &App, viewer: &Viewer, session_id: SessionId) -> Outcome<SessionId> {
    let tx = Transaction::begin(app).await?;
    let session = store::live_session(tx.db(), viewer.user_id(), session_id, app.clock.now()).await?;
    let not_found = || Refusal::new(UserErrorCode::NotFound, "There is no such session.").of_field("sessionId");
    let session = session.ok_or_else(not_found)?;
    end(app, tx, &[session.id]).await?;
    Ok(session.id)
}

/// The viewer's live sessions, newest first.
pub async fn list(app: &App, viewer: &Viewer) -> Result<Vec<session::Model>, Error> {
    Ok(store::live_sessions(app.db.read(), viewer.user_id(), app.clock.now()).await?)
}

/// The viewer's live sessions among the ids, by one statement.
pub async fn find(app: &App, viewer: &Viewer, session_ids: &[SessionId]) -> Result<Vec<session::Model>, Error> {
    Ok(store::live_sessions_among(app.db.read(), viewer.user_id(), session_ids, app.clock.now()).await?)
}

/// Opens a session for who has proved to be the user, in the verb's transaction and with its commit.
pub(super) async fn open(
    app: &App,
    mut tx: Transaction<'_>,
    user_id: UserId,
    request: &RequestContext,
) -> Result<SignedIn, Error> {
    let now = app.clock.now();
    hold(&tx, &[user_id]).await?.require(user_id)?;
    let mut others = store::live_sessions(tx.db(), user_id, now).await?;
    others.sort_by_key(|session| std::cmp::Reverse(session.last_used_at));
    let surplus: Vec<SessionId> = others.iter().skip(MAX_SESSIONS - 1).map(|session| session.id).collect();

    let session_id: SessionId = app.clock.new_id();
    let row = session::ActiveModel {
        id: Set(session_id),
        user_id: Set(user_id),
        user_agent: Set(user_agent(request)),
        created_at: Set(now),
        last_used_at: Set(now),
        expires_at: Set(expiry(app, now)),
        revoked_at: Set(None),
    };
    session::Entity::insert(row).exec_without_returning(tx.db()).await?;
    let refresh_token = add_refresh_token(tx.db(), session_id, now).await?;
    let ended = record_end(app, &mut tx, &surplus).await?;
    tx.commit().await?;
    ended.refuse_tokens(app);
    sign(app, user_id, session_id, refresh_token, now)
}

/// Fills the memory of revoked sessions, at the start of a process.
pub async fn load_revocations(app: &App) -> Result<(), Error> {
    let life = i64::from(app.config.auth.access_token_seconds) + CLOCK_SLACK_SECONDS;
    let revoked = store::revoked_since(app.db.read(), app.clock.now().plus_seconds(-life)).await?;
    for session in revoked {
        if let Some(revoked_at) = session.revoked_at {
            app.revocations.revoke(session.id, revoked_at.plus_seconds(life));
        }
    }
    Ok(())
}

/// Days that an ended session and its tokens are kept, to recognise a stolen one.
const KEPT_DAYS: i64 = 30;
/// Sessions deleted by one transaction.
const SWEEP_BATCH: u64 = 200;

/// Deletes what nobody needs any more: sessions that ended long ago, and their tokens. Returns how many sessions.
pub async fn sweep(app: &App) -> Result<usize, Error> {
    let before = app.clock.now().plus_seconds(-KEPT_DAYS * 86_400);
    let mut n_deleted = 0;
    loop {
        let tx = app.db.begin().await?;
        let n_batch = store::delete_ended_sessions(&tx, before, SWEEP_BATCH).await?;
        tx.commit().await?;
        n_deleted += n_batch;
        if (n_batch as u64) < SWEEP_BATCH {
            return Ok(n_deleted);
        }
    }
}

/// For who deletes their account, whose account is locked: ends all their sessions, and takes away their refresh tokens
/// and what is known of the devices. The bare rows stay for a while, so that a process that starts refuses the tokens too.
pub(super) async fn forget(app: &App, tx: &mut Transaction<'_>, user_id: UserId) -> Result<Ended, Error> {
    let now = app.clock.now();
    let mut revoked = store::revoke_all_of(tx.db(), user_id, now).await?;
    // The tokens of what has expired have expired before it.
    revoked.retain(|session| session.expires_at > now);
    let ended = tell_ended(app, tx, &revoked, now).await?;
    store::strip_sessions_of(tx.db(), user_id).await?;
    Ok(ended)
}

/// Ends all of a person's sessions but one, with the verb's commit. The row of the account is locked: no sign-in with the
/// old password is under way.
pub(super) async fn end_all(
    app: &App,
    tx: Transaction<'_>,
    user_id: UserId,
    kept: Option<SessionId>,
) -> Result<(), Error> {
    let live = store::live_sessions(tx.db(), user_id, app.clock.now()).await?;
    let others: Vec<SessionId> = live.iter().map(|session| session.id).filter(|id| Some(*id) != kept).collect();
    end(app, tx, &others).await
}

/// Ends sessions, commits, and refuses their tokens from then on.
async fn end(app: &App, mut tx: Transaction<'_>, session_ids: &[SessionId]) -> Result<(), Error> {
    let ended = record_end(app, &mut tx, session_ids).await?;
    tx.commit().await?;
    ended.refuse_tokens(app);
    Ok(())
}

/// Sessions whose end is written down; once that is committed, [`Ended::refuse_tokens`].
#[must_use]
pub(super) struct Ended {
    session_ids: Vec<SessionId>,
    forget_at: Timestamp,
}

impl Ended {
    /// Does here at once what the event does in every process.
    pub(super) fn refuse_tokens(self, app: &App) {
        for session_id in self.session_ids {
            app.revocations.revoke(session_id, self.forget_at);
        }
    }
}

async fn record_end(app: &App, tx: &mut Transaction<'_>, session_ids: &[SessionId]) -> Result<Ended, Error> {
    let now = app.clock.now();
    let revoked = match session_ids {
        [] => Vec::new(),
        session_ids => store::revoke_sessions(tx.db(), session_ids, now).await?,
    };
    tell_ended(app, tx, &revoked, now).await
}

async fn tell_ended(
    app: &App,
    tx: &mut Transaction<'_>,
    revoked: &[session::Model],
    now: Timestamp,
) -> Result<Ended, Error> {
    let forget_at = now.plus_seconds(i64::from(app.config.auth.access_token_seconds) + CLOCK_SLACK_SECONDS);
    let mut ended = Ended { session_ids: Vec::new(), forget_at };
    for session in revoked {
        tx.record_personal(session.user_id, Event::SessionRevoked { session_id: session.id, forget_at }).await?;
        ended.session_ids.push(session.id);
    }
    Ok(ended)
}

async fn add_refresh_token(
    db: &impl ConnectionTrait,
    session_id: SessionId,
    now: Timestamp,
) -> Result<RefreshToken, Error> {
    let token = RefreshToken::generate();
    let row = refresh_token::ActiveModel {
        token_hash: Set(token.hash()),
        session_id: Set(session_id),
        created_at: Set(now),
        used_at: Set(None),
    };
    refresh_token::Entity::insert(row).exec_without_returning(db).await?;
    Ok(token)
}

fn sign(
    app: &App,
    user_id: UserId,
    session_id: SessionId,
    refresh_token: RefreshToken,
    now: Timestamp,
) -> Result<SignedIn, Error> {
    let (access_token, access_token_expires_at) = app.tokens.sign(user_id, session_id, now)?;
    let viewer = Viewer::proven(user_id, session_id);
    Ok(SignedIn { viewer, access_token, access_token_expires_at, refresh_token: refresh_token.into_text() })
}

fn expiry(app: &App, now: Timestamp) -> Timestamp {
    now.plus_seconds(i64::from(app.config.auth.session_days) * 86_400)
}

/// The same for unknown, used, expired and revoked ones.
fn invalid_token() -> Refusal {
    Refusal::new(UserErrorCode::InvalidToken, "The refresh token is not valid any more. Sign in again.")
        .of_field("refreshToken")
}
