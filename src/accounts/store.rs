//! Accounts and sessions in the database.

use std::{collections::HashMap, sync::Arc};

use entity::{
    SessionId, Timestamp, UserId, account,
    email_token::{self, Purpose},
    refresh_token, session, user,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, Select,
    sea_query::{Expr, LockType, Order},
};

use super::types::Identifier;
use crate::{
    auth::MailToken,
    db::Db,
    error::Error,
    events::Transaction,
    friends::types::lock,
    graphql::loaders::Key,
    users::{access::hold, types::Username},
};

/// A user's account as a key to load by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccountOf(pub UserId);

impl Key for AccountOf {
    type Value = Arc<account::Model>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        let user_ids = keys.iter().map(|key| key.0);
        let rows = account::Entity::find().filter(account::Column::UserId.is_in(user_ids)).all(db.read()).await?;
        Ok(rows.into_iter().map(|row| (AccountOf(row.user_id), Arc::new(row))).collect())
    }
}

/// The accounts that somebody may mean who signs in, by the same statements whether they exist or not: by username one
/// at most. By address two: that of the account that verified it, else that of the one that claimed it first; and that
/// of the one that claimed it last.
///
/// Always as many places as the identifier allows. To take the first alone would tell whoever claims an address, and then
/// cannot sign in by it, that it was somebody's already.
pub async fn find_accounts(
    db: &impl ConnectionTrait,
    identifier: &Identifier,
) -> Result<Vec<Option<account::Model>>, DbErr> {
    let accounts = account::Entity::find();
    match identifier {
        Identifier::Username(username) => {
            let user_id = user::Entity::find().select_only().column(user::Column::Id);
            let user_id = user_id.filter(user::Column::Username.eq(username.as_str())).into_query();
            Ok(vec![accounts.filter(account::Column::UserId.in_subquery(user_id)).one(db).await?])
        }
        Identifier::Email(folded) => {
            let last = accounts.filter(account::Column::EmailFolded.eq(folded)).order_by_desc(account::Column::UserId);
            let (first, last) = (first_of(folded).one(db).await?, last.one(db).await?);
            let is_same = first.as_ref().map(|row| row.user_id) == last.as_ref().map(|row| row.user_id);
            Ok(vec![first, last.filter(|_| !is_same)])
        }
    }
}

/// Waits for what else changes an account now.
pub async fn lock_account(tx: &Transaction<'_>, user_id: UserId) -> Result<(), DbErr> {
    account::Entity::find_by_id(user_id).lock(LockType::NoKeyUpdate).one(tx.db()).await?;
    Ok(())
}

pub async fn is_taken(db: &impl ConnectionTrait, username: &Username) -> Result<bool, DbErr> {
    let row = user::Entity::find().filter(user::Column::Username.eq(username.as_str())).one(db).await?;
    Ok(row.is_some())
}

/// Both halves of a person.
pub async fn person(
    db: &impl ConnectionTrait,
    user_id: UserId,
) -> Result<Option<(user::Model, account::Model)>, DbErr> {
    let user = user::Entity::find_by_id(user_id).one(db).await?;
    let account = account::Entity::find_by_id(user_id).one(db).await?;
    Ok(user.zip(account))
}

/// The person whose account has verified an address.
pub async fn verified_person(
    db: &impl ConnectionTrait,
    email_folded: &str,
) -> Result<Option<(user::Model, account::Model)>, DbErr> {
    match account::Entity::find().filter(has_verified(email_folded)).one(db).await? {
        Some(account) => person(db, account.user_id).await,
        None => Ok(None),
    }
}

/// The person whom an address means: whose account has verified it, else claimed it first.
pub async fn claimant(
    db: &impl ConnectionTrait,
    email_folded: &str,
) -> Result<Option<(user::Model, account::Model)>, DbErr> {
    match first_of(email_folded).one(db).await? {
        Some(account) => person(db, account.user_id).await,
        None => Ok(None),
    }
}

fn first_of(email_folded: &str) -> Select<account::Entity> {
    account::Entity::find()
        .filter(account::Column::EmailFolded.eq(email_folded))
        .order_by(account::Column::EmailVerifiedAt.is_null(), Order::Asc)
        // Ids are ordered by time.
        .order_by_asc(account::Column::UserId)
}

fn has_verified(email_folded: &str) -> Condition {
    let column = account::Column::EmailFolded;
    Condition::all().add(column.eq(email_folded)).add(account::Column::EmailVerifiedAt.is_not_null())
}

/// Waits until no other transaction verifies an address; holds it until the transaction ends. The unique index would do,
/// but a transaction that it stops is lost.
pub async fn lock_address(tx: &Transaction<'_>, email_folded: &str) -> Result<(), Error> {
    lock(tx, &[b"email:", email_folded.as_bytes()]).await
}

/// Whether anybody has verified an address.
pub async fn is_verified(db: &impl ConnectionTrait, email_folded: &str) -> Result<bool, DbErr> {
    Ok(account::Entity::find().filter(has_verified(email_folded)).count(db).await? > 0)
}

/// Marks an account's address as verified, under the lock of the address. Not when another account's is: whether this
/// one's is now.
pub async fn verify_address(tx: &Transaction<'_>, account: &account::Model, now: Timestamp) -> Result<bool, DbErr> {
    if account.email_verified_at.is_some() {
        return Ok(true);
    }
    if is_verified(tx.db(), &account.email_folded).await? {
        return Ok(false);
    }
    let updated = account::Entity::update_many()
        .col_expr(account::Column::EmailVerifiedAt, Expr::value(now))
        .filter(account::Column::UserId.eq(account.user_id))
        .filter(account::Column::EmailFolded.eq(&account.email_folded))
        .exec(tx.db())
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Whether a password's hash is still the one that was checked; it stays so until the transaction ends.
pub async fn still_has_hash(tx: &Transaction<'_>, account: &account::Model) -> Result<bool, DbErr> {
    let row = account::Entity::find_by_id(account.user_id)
        .filter(account::Column::PasswordHash.eq(&account.password_hash))
        .lock(LockType::Share)
        .one(tx.db())
        .await?;
    Ok(row.is_some())
}

pub async fn set_hash(db: &impl ConnectionTrait, user_id: UserId, hash: String) -> Result<(), DbErr> {
    account::Entity::update_many()
        .col_expr(account::Column::PasswordHash, Expr::value(hash))
        .filter(account::Column::UserId.eq(user_id))
        .exec(db)
        .await?;
    Ok(())
}

/// Replaces a password's hash unless another change was first; whether it did.
pub async fn replace_hash(
    db: &impl ConnectionTrait,
    account: &account::Model,
    new_hash: String,
) -> Result<bool, DbErr> {
    let updated = account::Entity::update_many()
        .col_expr(account::Column::PasswordHash, Expr::value(new_hash))
        .filter(account::Column::UserId.eq(account.user_id))
        .filter(account::Column::PasswordHash.eq(&account.password_hash))
        .exec(db)
        .await?;
    Ok(updated.rows_affected == 1)
}

pub async fn insert_email_token(
    db: &impl ConnectionTrait,
    token: &MailToken,
    user_id: UserId,
    purpose: Purpose,
    expires_at: Timestamp,
) -> Result<(), DbErr> {
    let row = email_token::ActiveModel {
        token_hash: Set(token.hash()),
        user_id: Set(user_id),
        purpose: Set(purpose),
        expires_at: Set(expires_at),
    };
    email_token::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// What makes an email token good.
fn is_good(token: &MailToken, purpose: Purpose, now: Timestamp) -> Condition {
    Condition::all()
        .add(email_token::Column::TokenHash.eq(token.hash()))
        .add(email_token::Column::Purpose.eq(purpose))
        .add(email_token::Column::ExpiresAt.gt(now))
}

pub async fn find_email_token(
    db: &impl ConnectionTrait,
    token: &MailToken,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Option<email_token::Model>, DbErr> {
    email_token::Entity::find().filter(is_good(token, purpose, now)).one(db).await
}

/// Uses an email token up; whether it was good. Of uses at once, one is.
pub async fn use_email_token(
    db: &impl ConnectionTrait,
    token: &MailToken,
    purpose: Purpose,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let deleted = email_token::Entity::delete_many().filter(is_good(token, purpose, now)).exec(db).await?;
    Ok(deleted.rows_affected == 1)
}

/// Deletes all of a person's email tokens of one purpose.
pub async fn delete_email_tokens(db: &impl ConnectionTrait, user_id: UserId, purpose: Purpose) -> Result<(), DbErr> {
    email_token::Entity::delete_many()
        .filter(email_token::Column::UserId.eq(user_id))
        .filter(email_token::Column::Purpose.eq(purpose))
        .exec(db)
        .await?;
    Ok(())
}

/// Deletes all of a person's email tokens.
pub async fn delete_all_email_tokens(db: &impl ConnectionTrait, user_id: UserId) -> Result<(), DbErr> {
    email_token::Entity::delete_many().filter(email_token::Column::UserId.eq(user_id)).exec(db).await?;
    Ok(())
}

pub async fn delete_expired_email_tokens(db: &impl ConnectionTrait, now: Timestamp) -> Result<(), DbErr> {
    email_token::Entity::delete_many().filter(email_token::Column::ExpiresAt.lte(now)).exec(db).await?;
    Ok(())
}

/// What makes a session live.
fn is_live(now: Timestamp) -> Condition {
    Condition::all().add(session::Column::RevokedAt.is_null()).add(session::Column::ExpiresAt.gt(now))
}

/// A person's live sessions, newest first.
pub async fn live_sessions(
    db: &impl ConnectionTrait,
    user_id: UserId,
    now: Timestamp,
) -> Result<Vec<session::Model>, DbErr> {
    session::Entity::find()
        .filter(session::Column::UserId.eq(user_id))
        .filter(is_live(now))
        .order_by_desc(session::Column::CreatedAt)
        .order_by_desc(session::Column::Id)
        .all(db)
        .await
}

/// One of a person's live sessions.
pub async fn live_session(
    db: &impl ConnectionTrait,
    user_id: UserId,
    session_id: SessionId,
    now: Timestamp,
) -> Result<Option<session::Model>, DbErr> {
    session::Entity::find_by_id(session_id)
        .filter(session::Column::UserId.eq(user_id))
        .filter(is_live(now))
        .one(db)
        .await
}

/// A person's live sessions among the ids.
pub async fn live_sessions_among(
    db: &impl ConnectionTrait,
    user_id: UserId,
    session_ids: &[SessionId],
    now: Timestamp,
) -> Result<Vec<session::Model>, DbErr> {
    session::Entity::find()
        .filter(session::Column::Id.is_in(session_ids.iter().copied()))
        .filter(session::Column::UserId.eq(user_id))
        .filter(is_live(now))
        .all(db)
        .await
}

/// Ends sessions; returns those that this ended and nothing had ended before.
pub async fn revoke_sessions(
    db: &impl ConnectionTrait,
    session_ids: &[SessionId],
    now: Timestamp,
) -> Result<Vec<session::Model>, DbErr> {
    session::Entity::update_many()
        .col_expr(session::Column::RevokedAt, Expr::value(now))
        .filter(session::Column::Id.is_in(session_ids.iter().copied()))
        .filter(session::Column::RevokedAt.is_null())
        .exec_with_returning(db)
        .await
}

/// Holds the account that a session belongs to, as [`crate::users::access::hold`] does.
pub async fn hold_owner(tx: &Transaction<'_>, session_id: SessionId) -> Result<(), Error> {
    let session = session::Entity::find_by_id(session_id).one(tx.db()).await?;
    if let Some(session) = session {
        hold(tx, &[session.user_id]).await?;
    }
    Ok(())
}

/// Ends all of a person's sessions that nothing had ended before; returns them. Of those that ended earlier somebody may
/// have very many.
pub async fn revoke_all_of(
    db: &impl ConnectionTrait,
    user_id: UserId,
    now: Timestamp,
) -> Result<Vec<session::Model>, DbErr> {
    session::Entity::update_many()
        .col_expr(session::Column::RevokedAt, Expr::value(now))
        .filter(session::Column::UserId.eq(user_id))
        .filter(session::Column::RevokedAt.is_null())
        .exec_with_returning(db)
        .await
}

/// Takes away the refresh tokens of all of a person's sessions, and what is known of the devices.
pub async fn strip_sessions_of(db: &impl ConnectionTrait, user_id: UserId) -> Result<(), DbErr> {
    let theirs = session::Entity::find().select_only().column(session::Column::Id);
    let theirs = theirs.filter(session::Column::UserId.eq(user_id)).into_query();
    let tokens = refresh_token::Column::SessionId.in_subquery(theirs);
    refresh_token::Entity::delete_many().filter(tokens).exec(db).await?;
    session::Entity::update_many()
        .col_expr(session::Column::UserAgent, Expr::value(None::<String>))
        .filter(session::Column::UserId.eq(user_id))
        .filter(session::Column::UserAgent.is_not_null())
        .exec(db)
        .await?;
    Ok(())
}

/// Moves a live session's end; `None` if it is not live any more.
pub async fn prolong_session(
    db: &impl ConnectionTrait,
    session_id: SessionId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<Option<session::Model>, DbErr> {
    let rows = session::Entity::update_many()
        .col_expr(session::Column::LastUsedAt, Expr::value(now))
        .col_expr(session::Column::ExpiresAt, Expr::value(expires_at))
        .filter(session::Column::Id.eq(session_id))
        .filter(is_live(now))
        .exec_with_returning(db)
        .await?;
    Ok(rows.into_iter().next())
}

/// Sessions that ended by revocation after `since`.
pub async fn revoked_since(db: &impl ConnectionTrait, since: Timestamp) -> Result<Vec<session::Model>, DbErr> {
    session::Entity::find().filter(session::Column::RevokedAt.gt(since)).all(db).await
}

pub async fn find_refresh_token(
    db: &impl ConnectionTrait,
    token_hash: Vec<u8>,
) -> Result<Option<refresh_token::Model>, DbErr> {
    refresh_token::Entity::find_by_id(token_hash).one(db).await
}

/// Uses a refresh token up; whether it was the first use. Of uses at once, one is.
pub async fn use_refresh_token(db: &impl ConnectionTrait, token_hash: Vec<u8>, now: Timestamp) -> Result<bool, DbErr> {
    let updated = refresh_token::Entity::update_many()
        .col_expr(refresh_token::Column::UsedAt, Expr::value(now))
        .filter(refresh_token::Column::TokenHash.eq(token_hash))
        .filter(refresh_token::Column::UsedAt.is_null())
        .exec(db)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Deletes some of the sessions that ended before a time, with their tokens; how many.
pub async fn delete_ended_sessions(db: &impl ConnectionTrait, before: Timestamp, most: u64) -> Result<usize, DbErr> {
    let ended = Condition::any().add(session::Column::RevokedAt.lt(before)).add(session::Column::ExpiresAt.lt(before));
    let ended = session::Entity::find().filter(ended).limit(most).all(db).await?;
    let ids: Vec<SessionId> = ended.iter().map(|session| session.id).collect();
    if !ids.is_empty() {
        let tokens = refresh_token::Column::SessionId.is_in(ids.iter().copied());
        refresh_token::Entity::delete_many().filter(tokens).exec(db).await?;
        session::Entity::delete_many().filter(session::Column::Id.is_in(ids)).exec(db).await?;
    }
    Ok(ended.len())
}
