//! Deleting an account, for good.
//!
//! Everything in one transaction, each slice by its own `forget`. The locks, in the order that holds everywhere: the
//! person (the row of the account, which whoever makes them somebody's friend, a member or signed in holds too), then
//! their conversations in the order of ids. So whatever races with it comes wholly before, and is undone with the rest,
//! or wholly after, and finds nobody.
//!
//! A tombstone stays where the person was (ADR 0023).

use std::sync::Arc;

use entity::{account, user};
use sea_orm::{EntityTrait, QuerySelect};

use super::{actions::GONE, sessions, store, types::Password};
use crate::{
    app::App,
    auth::{PasswordHash, Viewer},
    conversations,
    error::{Outcome, Refusal, UserErrorCode},
    events::Transaction,
    exports, friends, groups, invites, mails, messages, presence,
    rate_limits::Action,
    users,
};

/// Deletes the viewer's account. From the commit on, their tokens are dead in every process and nothing of theirs is
/// accepted.
///
/// Refused with `INVALID_CREDENTIALS`, and with `LAST_OWNER` while they own a group that others are in.
pub async fn delete(app: &Arc<App>, viewer: &Viewer, password: &str) -> Outcome<()> {
    let user_id = viewer.user_id();
    let subject = user_id.0.to_string();
    app.rate_limits.check(Action::DeleteAccount, &subject).await?;
    let password = Password::received(password).ok_or_else(wrong_password)?;
    let account = account::Entity::find_by_id(user_id).one(app.db.read()).await?.ok_or(GONE)?;
    let stored = PasswordHash(account.password_hash);
    if !app.passwords.verify(password.into_string(), Some(stored.clone())).await? {
        return Err(wrong_password().into());
    }
    let mut tx = Transaction::begin(app).await?;
    let account = account::Entity::find_by_id(user_id).lock_exclusive().one(tx.db()).await?.ok_or(GONE)?;
    if account.password_hash != stored.0 {
        return Err(wrong_password().into());
    }
    let username = user::Entity::find_by_id(user_id).one(tx.db()).await?.ok_or(GONE)?.username;
    conversations::actions::lock_all_of(&tx, user_id).await?;
    groups::actions::forget(&mut tx, user_id).await?;
    invites::actions::forget(&mut tx, user_id).await?;
    friends::actions::forget(&mut tx, user_id).await?;
    messages::actions::forget(&tx, user_id).await?;
    exports::actions::forget(&tx, user_id).await?;
    presence::store::forget(&tx, user_id).await?;
    mails::forget(&tx, &account, &username).await?;
    store::delete_all_email_tokens(tx.db(), user_id).await?;
    let ended = sessions::forget(app, &mut tx, user_id).await?;
    users::actions::forget(&tx, user_id).await?;
    account::Entity::delete_by_id(user_id).exec(tx.db()).await?;
    tx.commit().await?;
    ended.refuse_tokens(app);

    // What may take long. Cut off, it is taken up by the next housekeeping.
    let app = Arc::clone(app);
    tokio::spawn(async move {
        if let Err(error) = messages::actions::empty_keys_of_departed(&app).await {
            tracing::warn!(cause = error.cause(), "keys of messages cannot be emptied now; tried again in an hour");
        }
    });
    Ok(())
}

fn wrong_password() -> Refusal {
    Refusal::new(UserErrorCode::InvalidCredentials, "The password is wrong.").of_field("password")
}
