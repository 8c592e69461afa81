//! Signing up, signing in, and changing one's profile.

use super::{
    recovery,
    sessions::{self, SignedIn},
    store,
    types::{Email, Identifier, Password, Phone, present},
};
use crate::{
    app::App,
    auth::{PasswordHash, RequestContext, Viewer},
    conversations,
    error::{Failure, Outcome, Refusal, UserErrorCode},
    events::{Event, Transaction},
    friends,
    invites::{self, access::Claim},
    rate_limits::{self, Action},
    users::{
        access::hold,
        types::{DisplayName, Username},
    },
};
use entity::{Timestamp, UserId, account, user};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr, EntityTrait, SqlErr};

pub(super) use crate::users::access::GONE;

/// What somebody fills in to sign up.
pub struct NewAccount {
    pub username: String,
    pub email: String,
    pub password: String,
    /// The username when there is none.
    pub display_name: Option<String>,
    pub phone: Option<String>,
    /// From the mail of an invite.
    pub invite_token: Option<String>,
}

/// Makes an account and signs in to it. Says that a username is taken, and never whether an address is: that is for
/// the owner of the mailbox to learn (ADR 0003), who is asked by mail whether the address is theirs. An invite's token
/// binds the invite to the account; where the invite was mailed to the very address, it answers that question too.
///
/// Refused with `INVALID_INPUT`, `USERNAME_TAKEN`, and with `INVALID_TOKEN` for the invite.
pub async fn register(app: &App, request: &RequestContext, form: NewAccount) -> Outcome<SignedIn> {
    let form = Registration::parse(form)?;
    app.rate_limits.check(Action::Register, &rate_limits::address(request.client_ip)).await?;
    // A courtesy before the costly part; the unique index has the last word.
    if store::is_taken(app.db.read(), &form.username).await? {
        return Err(username_taken().into());
    }
    let invite = match &form.invite_token {
        // So too of the token.
        Some(token) => Some(invites::access::claimable(app, token, "inviteToken").await?),
        None => None,
    };
    let PasswordHash(password_hash) = app.passwords.hash(form.password.into_string()).await?;

    let user_id: UserId = app.clock.new_id();
    let now = app.clock.now();
    let mut tx = Transaction::begin(app).await?;
    let user = user::ActiveModel {
        id: Set(user_id),
        username: Set(form.username.as_str().to_owned()),
        display_name: Set(form.display_name.into_string()),
        discoverable: Set(false),
        created_at: Set(now),
    };
    user::Entity::insert(user).exec_without_returning(tx.db()).await.map_err(taken_or_fault)?;
    let is_verified = match invite {
        Some(claim) => shows_mailbox(&mut tx, user_id, claim, &form.email, now).await?,
        None => false,
    };
    if !is_verified {
        recovery::ask_mailbox(&mut tx, user_id, form.username.as_str(), form.email.as_str(), now).await?;
    }
    let account = account::ActiveModel {
        user_id: Set(user_id),
        email: Set(form.email.as_str().to_owned()),
        email_folded: Set(form.email.folded().to_owned()),
        email_verified_at: Set(is_verified.then_some(now)),
        phone: Set(form.phone.map(Phone::into_string)),
        password_hash: Set(password_hash),
        read_receipts: Set(true),
    };
    account::Entity::insert(account).exec_without_returning(tx.db()).await?;
    Ok(sessions::open(app, tx, user_id, request).await?)
}

/// Claims an invite for a new account. Whether that shows, too, that the account's address is theirs: the token went to
/// that mailbox and nowhere else. Where another account has verified the address it does not; they learn of that by mail.
async fn shows_mailbox(
    tx: &mut Transaction<'_>,
    user_id: UserId,
    claim: Claim,
    email: &Email,
    now: Timestamp,
) -> Outcome<bool> {
    let invite = invites::actions::bind(tx, user_id, claim, now).await?;
    let went_to = invite.email.as_deref().and_then(|address| Email::parse(address).ok());
    if went_to.is_none_or(|address| address.folded() != email.folded()) {
        return Ok(false);
    }
    store::lock_address(tx, email.folded()).await?;
    Ok(!store::is_verified(tx.db(), email.folded()).await?)
}

/// A [`NewAccount`] whose every field is in order.
struct Registration {
    username: Username,
    email: Email,
    password: Password,
    display_name: DisplayName,
    phone: Option<Phone>,
    invite_token: Option<String>,
}

impl Registration {
    /// All that is wrong is told at once.
    fn parse(form: NewAccount) -> Result<Self, Failure> {
        let username = Username::parse_field(&form.username, "username");
        let email = Email::parse(&form.email).map_err(|message| Refusal::invalid("email", message));
        let password = Password::choose(&form.password).map_err(|message| Refusal::invalid("password", message));
        let display_name = match present(form.display_name) {
            Some(name) => DisplayName::parse_field(&name, "displayName"),
            // Of a bad username it is enough to say so once.
            None => DisplayName::parse_field(username.as_ref().map_or("?", Username::as_str), "displayName"),
        };
        let phone = parse_phone(present(form.phone));
        match (username, email, password, display_name, phone) {
            (Ok(username), Ok(email), Ok(password), Ok(display_name), Ok(phone)) => {
                let invite_token = present(form.invite_token);
                Ok(Self { username, email, password, display_name, phone, invite_token })
            }
            (username, email, password, display_name, phone) => {
                let refusals =
                    [username.err(), email.err(), password.err(), display_name.err(), phone.err()].into_iter();
                Err(Failure::Refused(refusals.flatten().collect()))
            }
        }
    }
}

/// Signs in. An unknown account and a wrong password are answered alike, in words and in time.
pub async fn login(app: &App, request: &RequestContext, identifier: &str, password: &str) -> Outcome<SignedIn> {
    let address = rate_limits::address(request.client_ip);
    app.rate_limits.check(Action::SignInFromAddress, &address).await?;
    let identifier = Identifier::parse(identifier);
    let subject = sign_in_subject(identifier.as_ref(), &address);
    app.rate_limits.check(Action::SignIn, &subject).await?;

    let Some(password) = Password::received(password) else { return Err(invalid_credentials().into()) };
    let accounts = match &identifier {
        Some(identifier) => store::find_accounts(app.db.read(), identifier).await?,
        None => vec![None],
    };
    let mut found = None;
    for account in accounts {
        // Each costs the same, whether it is there, and whether another one has matched already.
        let stored = account.as_ref().map(|account| PasswordHash(account.password_hash.clone()));
        let matches = app.passwords.verify(password.clone().into_string(), stored.clone()).await?;
        found = found.or(account.zip(stored).filter(|_| matches));
    }
    let Some((account, stored)) = found else { return Err(invalid_credentials().into()) };
    // Who knows the password does not guess.
    app.rate_limits.refund(Action::SignIn, &subject).await;

    // A queue that is full now is no reason to refuse: the next sign-in does it.
    let renewed = match app.passwords.is_outdated(&stored) {
        true => app.passwords.hash(password.into_string()).await.ok(),
        false => None,
    };
    let tx = Transaction::begin(app).await?;
    let is_still_so = match renewed {
        Some(PasswordHash(renewed)) => store::replace_hash(tx.db(), &account, renewed).await?,
        None => store::still_has_hash(&tx, &account).await?,
    };
    if !is_still_so {
        // The password was changed while this one was checked: it opens no session past that change.
        return Err(invalid_credentials().into());
    }
    Ok(sessions::open(app, tx, account.user_id, request).await?)
}

/// By what was typed and not by the account behind it: counting a name and an address of one account together would
/// tell that they are one's. As a digest, so that Redis holds no addresses.
fn sign_in_subject(identifier: Option<&Identifier>, address: &str) -> String {
    format!("{}@{address}", rate_limits::digest(identifier.map_or("", Identifier::as_str)))
}

/// What to change about oneself; `None` leaves a field as it is.
#[derive(Default)]
pub struct ProfileChanges {
    pub username: Option<String>,
    pub display_name: Option<String>,
    /// An empty text clears it.
    pub phone: Option<String>,
    pub discoverable: Option<bool>,
    pub read_receipts: Option<bool>,
}

/// A person as they see themselves: the public half and the private one.
pub struct Profile {
    pub user: user::Model,
    pub account: account::Model,
}

/// Changes the viewer's profile. Their friends and their own devices hear of a new name; who is in a conversation with them,
/// of a switch of read receipts. An old username is free at once:
/// it is an address to be invited by, and nothing else hangs on it.
pub async fn update_profile(app: &App, viewer: &Viewer, changes: ProfileChanges) -> Outcome<Profile> {
    let username = changes.username.map(|name| Username::parse_field(&name, "username")).transpose();
    let display_name = changes.display_name.map(|name| DisplayName::parse_field(&name, "displayName")).transpose();
    let phone = changes.phone.map(|phone| parse_phone(present(Some(phone)))).transpose();
    let (username, display_name, phone) = match (username, display_name, phone) {
        (Ok(username), Ok(display_name), Ok(phone)) => (username, display_name, phone),
        (username, display_name, phone) => {
            let refusals = [username.err(), display_name.err(), phone.err()];
            return Err(Failure::Refused(refusals.into_iter().flatten().collect()));
        }
    };

    let mut tx = Transaction::begin(app).await?;
    // Else a name could be given to a tombstone.
    hold(&tx, &[viewer.user_id()]).await?.require(viewer.user_id())?;
    let (old_user, account) = store::person(tx.db(), viewer.user_id()).await?.ok_or(GONE)?;

    let mut user: user::ActiveModel = old_user.clone().into();
    set_if_some(&mut user.username, username.map(Username::into_string));
    set_if_some(&mut user.display_name, display_name.map(DisplayName::into_string));
    set_if_some(&mut user.discoverable, changes.discoverable);
    let switched = changes.read_receipts.filter(|on| *on != account.read_receipts);
    let mut account: account::ActiveModel = account.into();
    set_if_some(&mut account.read_receipts, switched);
    set_if_some(&mut account.phone, phone.map(|phone| phone.map(Phone::into_string)));

    let user = user.update(tx.db()).await.map_err(taken_or_fault)?;
    let account = account.update(tx.db()).await?;
    if (&user.username, &user.display_name) != (&old_user.username, &old_user.display_name) {
        friends::actions::tell_of_new_name(&mut tx, user.id).await?;
    }
    if let Some(on) = switched {
        let user_id = viewer.user_id();
        tx.record_personal(user_id, Event::ReceiptsSwitched { user_id, on }).await?;
        conversations::actions::tell_of_receipts(&mut tx, &user).await?;
    }
    tx.commit().await?;
    Ok(Profile { user, account })
}

fn set_if_some<T: Into<sea_orm::Value>>(field: &mut sea_orm::ActiveValue<T>, value: Option<T>) {
    if let Some(value) = value {
        *field = Set(value);
    }
}

fn parse_phone(phone: Option<String>) -> Result<Option<Phone>, Refusal> {
    phone.map(|phone| Phone::parse(&phone)).transpose().map_err(|message| Refusal::invalid("phone", message))
}

/// The only thing of a user that is unique and chosen is the username.
fn taken_or_fault(error: DbErr) -> Failure {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => username_taken().into(),
        _ => error.into(),
    }
}

fn username_taken() -> Refusal {
    Refusal::new(UserErrorCode::UsernameTaken, "Somebody has this username.").of_field("username")
}

fn invalid_credentials() -> Refusal {
    Refusal::new(UserErrorCode::InvalidCredentials, "The username, email or password is wrong.")
}
