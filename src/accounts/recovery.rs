//! What a mailbox proves, and what a password changes.
//!
//! A token travels by mail and is stored as a hash; it works once. The one to verify an address lives 48 hours, the one
//! to a new password an hour. Whoever changes a password ends every other session of the account, on every process, and
//! every other way to a new password.
//!
//! Who asks for a new password is answered before anybody looks whether the address has an account: the request goes into
//! the outbox of mails as it is, and what it comes to is found out when it is sent ([`answer_request`]).

use entity::{SessionId, Timestamp, UserId, account, email_token::Purpose, mail, user};

use super::{
    actions::GONE,
    sessions, store,
    types::{Email, Password},
};
use crate::{
    app::App,
    auth::{MailToken, PasswordHash, RequestContext, Viewer},
    error::{Error, Outcome, Refusal, UserErrorCode},
    events::Transaction,
    mails::{self, Mail},
    rate_limits::{self, Action},
    users::access::hold,
};

/// Life of a token that verifies an address.
pub const VERIFY_SECONDS: i64 = 48 * 3600;
/// Life of a token that buys a new password.
pub const RESET_SECONDS: i64 = 3600;

/// Asks a mailbox whether it is the account's, with the verb's commit.
pub(super) async fn ask_mailbox(
    tx: &mut Transaction<'_>,
    user_id: UserId,
    username: &str,
    email: &str,
    now: Timestamp,
) -> Result<(), Error> {
    // Whoever claims somebody's address again and again does not fill their mailbox. Nobody is told: it would tell of others.
    let folded = Email::parse(email).map(|email| rate_limits::digest(email.folded())).unwrap_or_default();
    if tx.app().rate_limits.check(Action::VerifyMailbox, &folded).await.is_err() {
        return Ok(());
    }
    let token = MailToken::generate();
    store::insert_email_token(tx.db(), &token, user_id, Purpose::VerifyEmail, now.plus_seconds(VERIFY_SECONDS)).await?;
    let mail = Mail::VerifyEmail { username: username.to_owned(), token: token.into_text() };
    mails::queue(tx, email, &mail).await
}

/// Sends the viewer another mail to verify their address with. Of a verified one, nothing happens.
pub async fn request_verification(app: &App, viewer: &Viewer) -> Outcome<()> {
    app.rate_limits.check(Action::VerificationMail, &viewer.user_id().0.to_string()).await?;
    let mut tx = Transaction::begin(app).await?;
    hold(&tx, &[viewer.user_id()]).await?.require(viewer.user_id())?;
    let (user, account) = store::person(tx.db(), viewer.user_id()).await?.ok_or(GONE)?;
    if account.email_verified_at.is_none() {
        ask_mailbox(&mut tx, user.id, &user.username, &account.email, app.clock.now()).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Believes the bearer of a token that they read the account's mailbox. Needs no sign-in: the mail may be read on another
/// device.
///
/// Refused with `INVALID_TOKEN`, and with `EMAIL_TAKEN` where another account has verified the address: that is told only
/// to who has shown that the mailbox is theirs.
pub async fn verify_email(app: &App, request: &RequestContext, token: &str) -> Outcome<()> {
    app.rate_limits.check(Action::UseMailToken, &rate_limits::address(request.client_ip)).await?;
    let token = MailToken::received(token).ok_or_else(invalid_token)?;
    let now = app.clock.now();
    // An unknown token is refused before it takes the writer.
    let found = store::find_email_token(app.db.read(), &token, Purpose::VerifyEmail, now).await?;
    let user_id = found.ok_or_else(invalid_token)?.user_id;
    let tx = Transaction::begin(app).await?;
    store::lock_account(&tx, user_id).await?;
    let (_, account) = store::person(tx.db(), user_id).await?.ok_or_else(invalid_token)?;
    store::lock_address(&tx, &account.email_folded).await?;
    if !store::use_email_token(tx.db(), &token, Purpose::VerifyEmail, now).await? {
        return Err(invalid_token().into());
    }
    store::verify_address(&tx, &account, now).await?.then_some(()).ok_or_else(email_taken)?;
    store::delete_email_tokens(tx.db(), user_id, Purpose::VerifyEmail).await?;
    tx.commit().await?;
    Ok(())
}

/// Asks for a mail with the way to a new password. Answers the same, after the same, for any address; a mail comes to who
/// has verified it, else claimed it first, and to nobody else.
pub async fn request_reset(app: &App, request: &RequestContext, email: &str) -> Outcome<()> {
    let email = Email::parse(email).map_err(|message| Refusal::invalid("email", message))?;
    app.rate_limits.check(Action::ResetFromAddress, &rate_limits::address(request.client_ip)).await?;
    app.rate_limits.check(Action::ResetPassword, &rate_limits::digest(email.folded())).await?;
    let mut tx = Transaction::begin(app).await?;
    mails::queue(&mut tx, email.as_str(), &Mail::PasswordResetRequested).await?;
    tx.commit().await?;
    Ok(())
}

/// What a request for a new password comes to, when it is about to be sent: a mail to the address *of the account*, which
/// the typed one only resembles. Nothing where nobody has claimed the address.
pub async fn answer_request(app: &App, request: &mail::Model) -> Result<Option<(String, Mail)>, Error> {
    let Ok(email) = Email::parse(&request.recipient) else { return Ok(None) };
    let Some((user, account)) = store::claimant(app.db.read(), email.folded()).await? else { return Ok(None) };
    let tx = Transaction::begin(app).await?;
    if !hold(&tx, &[user.id]).await?.has(user.id) {
        return Ok(None);
    }
    let token = MailToken::generate();
    let expires_at = app.clock.now().plus_seconds(RESET_SECONDS);
    store::insert_email_token(tx.db(), &token, user.id, Purpose::ResetPassword, expires_at).await?;
    let mail = Mail::PasswordReset { username: user.username, token: token.into_text() };
    // Should it have to be tried again, it is the same token.
    mails::replace(&tx, request.id, &account.email, &mail).await?;
    tx.commit().await?;
    Ok(Some((account.email, mail)))
}

/// Who has verified an address.
pub async fn owner_of(app: &App, address: &str) -> Result<Option<UserId>, Error> {
    let Ok(email) = Email::parse(address) else { return Ok(None) };
    let owner = store::verified_person(app.db.read(), email.folded()).await?;
    Ok(owner.map(|(user, _)| user.id))
}

/// Gives the bearer of a token a new password, and ends all sessions.
///
/// Refused with `INVALID_TOKEN`, and with `INVALID_INPUT` for a bad password, which leaves the token.
pub async fn reset_password(app: &App, request: &RequestContext, token: &str, new_password: &str) -> Outcome<()> {
    app.rate_limits.check(Action::UseMailToken, &rate_limits::address(request.client_ip)).await?;
    let token = MailToken::received(token).ok_or_else(invalid_token)?;
    let found = store::find_email_token(app.db.read(), &token, Purpose::ResetPassword, app.clock.now()).await?;
    let user_id = found.ok_or_else(invalid_token)?.user_id;
    let (user, account) = store::person(app.db.read(), user_id).await?.ok_or_else(invalid_token)?;
    let password = choose(new_password)?;
    let PasswordHash(hash) = app.passwords.hash(password.into_string()).await?;

    let tx = Transaction::begin(app).await?;
    // The account before its tokens, as everywhere.
    store::lock_account(&tx, user_id).await?;
    if !store::use_email_token(tx.db(), &token, Purpose::ResetPassword, app.clock.now()).await? {
        return Err(invalid_token().into());
    }
    store::set_hash(tx.db(), user_id, hash).await?;
    settle(app, tx, &user, &account, None).await
}

/// Changes the viewer's password; ends their other sessions.
///
/// Refused with `INVALID_CREDENTIALS` for the wrong current password, with `INVALID_INPUT` for a bad new one.
pub async fn change_password(app: &App, viewer: &Viewer, current: &str, new_password: &str) -> Outcome<()> {
    let (user, account) = store::person(app.db.read(), viewer.user_id()).await?.ok_or(GONE)?;
    let new_password = choose(new_password)?;
    let subject = viewer.user_id().0.to_string();
    app.rate_limits.check(Action::ChangePassword, &subject).await?;
    let current = Password::received(current).ok_or_else(wrong_password)?;
    let stored = PasswordHash(account.password_hash.clone());
    if !app.passwords.verify(current.into_string(), Some(stored)).await? {
        return Err(wrong_password().into());
    }
    let PasswordHash(hash) = app.passwords.hash(new_password.into_string()).await?;

    let tx = Transaction::begin(app).await?;
    // Another change may have come between: then the current one was not that any more.
    if !store::replace_hash(tx.db(), &account, hash).await? {
        return Err(wrong_password().into());
    }
    settle(app, tx, &user, &account, Some(viewer.session_id())).await
}

/// Deletes the tokens that nobody can use any more.
pub async fn sweep(app: &App) -> Result<(), Error> {
    Ok(store::delete_expired_email_tokens(app.db.writer(), app.clock.now()).await?)
}

/// What follows from a new password, and the commit.
async fn settle(
    app: &App,
    mut tx: Transaction<'_>,
    user: &user::Model,
    account: &account::Model,
    kept: Option<SessionId>,
) -> Outcome<()> {
    store::delete_email_tokens(tx.db(), user.id, Purpose::ResetPassword).await?;
    if account.email_verified_at.is_some() {
        let mail = Mail::PasswordChanged { username: user.username.clone() };
        mails::queue(&mut tx, &account.email, &mail).await?;
    }
    Ok(sessions::end_all(app, tx, user.id, kept).await?)
}

fn choose(password: &str) -> Result<Password, Refusal> {
    Password::choose(password).map_err(|message| Refusal::invalid("newPassword", message))
}

/// The same for unknown, used and expired ones.
fn invalid_token() -> Refusal {
    Refusal::new(UserErrorCode::InvalidToken, "The link is not valid any more. Ask for a new one.").of_field("token")
}

fn email_taken() -> Refusal {
    let message = "Another account has verified this address. Sign in to that one, or ask for a new password for it.";
    Refusal::new(UserErrorCode::EmailTaken, message)
}

fn wrong_password() -> Refusal {
    Refusal::new(UserErrorCode::InvalidCredentials, "This is not the current password.").of_field("currentPassword")
}
