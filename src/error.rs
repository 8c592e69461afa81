//! What can go wrong, in two classes.
//!
//! A [`Refusal`] is for the person at the keyboard to correct; it travels in the payload's `userErrors`.
//! An [`Error`] is everything else; it travels as a GraphQL error with `extensions.code`. Our own faults go
//! out as a code and a request id, and their cause goes to the log.

use std::{borrow::Cow, time::Duration};

use async_graphql::{Enum, SimpleObject};
use sea_orm::{DbErr, RuntimeErr};

use crate::rate_limits::{Limited, TooMuch};

/// A failure that is not the person's to correct, or not through the form that they sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Unauthenticated(&'static str),
    #[error("{0}")]
    NotFound(&'static str),
    #[error("{0}")]
    Forbidden(&'static str),
    /// An argument that a correct client would not send, e.g. a malformed id or cursor.
    #[error("{0}")]
    BadUserInput(Cow<'static, str>),
    #[error("{0}")]
    RateLimited(Limited),
    /// A part that the server needs is away; the same request may succeed in a moment.
    #[error("The service is unavailable for a moment. Try again.")]
    Unavailable(String),
    /// The cause is for the log only.
    #[error("Something went wrong on our side.")]
    Internal(String),
}

impl Error {
    /// The value of `extensions.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated(_) => "UNAUTHENTICATED",
            Self::NotFound(_) => "NOT_FOUND",
            Self::Forbidden(_) => "FORBIDDEN",
            Self::BadUserInput(_) => "BAD_USER_INPUT",
            Self::RateLimited(_) => "RATE_LIMITED",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    /// The machine has too much to do, for whomever.
    pub fn busy(wait: Duration) -> Self {
        Self::RateLimited(Limited { what: TooMuch::Work, wait })
    }

    pub fn bad_input(message: impl Into<Cow<'static, str>>) -> Self {
        Self::BadUserInput(message.into())
    }

    pub fn from_sqlx(error: &sqlx::Error) -> Self {
        if is_transient_sqlx(error) { Self::Unavailable(error.to_string()) } else { Self::Internal(error.to_string()) }
    }

    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::Internal(cause.to_string())
    }

    /// The database failed: away for a moment, or in a way that it should not.
    pub fn from_db(error: &DbErr) -> Self {
        if is_transient(error) { Self::Unavailable(error.to_string()) } else { Self::Internal(error.to_string()) }
    }

    /// What to log, for the failures that are ours.
    pub fn cause(&self) -> Option<&str> {
        match self {
            Self::Unavailable(cause) | Self::Internal(cause) => Some(cause),
            _ => None,
        }
    }
}

/// Whole seconds to wait, rounded up; the value of `extensions.retryAfter`.
pub fn retry_after_seconds(wait: &Duration) -> u64 {
    wait.as_millis().div_ceil(1000).max(1) as u64
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        Self::from_db(&error)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::from_sqlx(&error)
    }
}

/// Whether the database is away, busy or giving up on time, as opposed to refusing what we said.
fn is_transient(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error) => match error {
            RuntimeErr::SqlxError(error) => is_transient_sqlx(error),
            RuntimeErr::Internal(_) => false,
        },
        _ => false,
    }
}

fn is_transient_sqlx(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => true,
        // 08 connection, 40 rollback, 53 resources, 55P03 lock timeout, 57 operator intervention (statement
        // timeout, shutdown); 25006 a standby. SQLite: 5 busy, 6 locked, with their extended codes.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            let code = code.as_ref();
            ["08", "40", "53", "57"].iter().any(|class| code.len() == 5 && code.starts_with(class))
                || matches!(code, "55P03" | "25006" | "5" | "6" | "261" | "262" | "517" | "518")
        }),
        _ => false,
    }
}

/// Why a mutation was refused, for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum UserErrorCode {
    /// Too long, too short, of the wrong form, or empty.
    InvalidInput,
    /// Somebody has this username.
    UsernameTaken,
    /// Only ever told to the owner of the address, by mail.
    EmailTaken,
    /// The identifier and the password do not belong together.
    InvalidCredentials,
    /// Unknown, used, expired or revoked.
    InvalidToken,
    /// Also for what the viewer may not know exists.
    NotFound,
    /// Known to the viewer, but the role or relation does not allow it.
    Forbidden,
    /// Only friends can do this.
    NotFriends,
    /// They are friends already.
    AlreadyFriends,
    /// An invite to this person is pending.
    AlreadyInvited,
    /// The person is a member already.
    AlreadyMember,
    /// The invite was answered, revoked or has expired.
    InviteNotPending,
    /// An owner must hand over before leaving.
    LastOwner,
    /// Too many of them.
    LimitReached,
    /// The same idempotency key came with different input.
    IdempotencyConflict,
}

/// An expected, correctable failure of a mutation. Everything else is a GraphQL error with `extensions.code`.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
#[graphql(name = "UserError")]
pub struct Refusal {
    /// Why, for a program.
    pub code: UserErrorCode,
    /// One sentence for the person at the keyboard.
    pub message: Cow<'static, str>,
    /// Path of the offending input field, e.g. `["input", "username"]`; null when no single field is at fault.
    pub field: Option<Vec<String>>,
}

impl Refusal {
    pub fn new(code: UserErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    /// Names a field of the mutation's `input` as the one at fault.
    pub fn of_field(self, field: &str) -> Self {
        Self { field: Some(vec!["input".into(), field.into()]), ..self }
    }

    /// Names a field nested in the mutation's `input`, e.g. `&["friend", "username"]`.
    pub fn of_path(self, path: &[&str]) -> Self {
        let field = std::iter::once("input").chain(path.iter().copied()).map(str::to_owned).collect();
        Self { field: Some(field), ..self }
    }

    /// A value of the wrong form in a field of the mutation's `input`.
    pub fn invalid(field: &str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(UserErrorCode::InvalidInput, message).of_field(field)
    }
}

/// How a verb fails: refused for reasons the person can correct, or by a fault.
#[derive(Debug)]
pub enum Failure {
    Refused(Vec<Refusal>),
    Fault(Error),
}

/// What a verb answers.
pub type Outcome<T> = Result<T, Failure>;

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![refusal])
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::Fault(error.into())
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// Splits a verb's outcome for a payload: the value, or the user errors; faults leave by `?`.
///
/// ```ignore
/// let (invite, user_errors) = payload(invites::send(...).await)?;
/// ```
pub fn payload<T>(outcome: Outcome<T>) -> Result<(Option<T>, Vec<Refusal>), Error> {
    match outcome {
        Ok(value) => Ok((Some(value), Vec::new())),
        Err(Failure::Refused(refusals)) => Ok((None, refusals)),
        Err(Failure::Fault(error)) => Err(error),
    }
}
