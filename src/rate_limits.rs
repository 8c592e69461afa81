//! How often who may do what.

use crate::error::Error;

/// Counts actions and refuses what is too much.
pub struct RateLimits {}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Making an account, by address.
    Register,
    /// A try to sign in, by account and by address.
    SignIn,
    /// `refreshSession`, by address.
    RefreshSession,
    /// `user(username)` and `searchUsers`, by viewer.
    Discovery,
    /// `sendInvite`, by viewer.
    SendInvite,
    /// `sendMessage`, by viewer.
    SendMessage,
}

impl RateLimits {
    /// Counts one action of a subject (a user id, an address). `RATE_LIMITED` when it is one too many.
    pub async fn check(&self, _action: Action, _subject: &str) -> Result<(), Error> {
        Ok(())
    }

    /// Takes one counted action back: it turned out to be a repeat of an earlier one.
    pub async fn refund(&self, _action: Action, _subject: &str) {}
}
