//! Who is calling.
//!
//! [`Viewer`] is the proof that a request is signed in. Only this module makes one, out of a verified access token
//! whose session has not been revoked; every gate of the slices starts from it.

mod passwords;
mod revocations;
mod tokens;

use std::sync::Arc;

use entity::{SessionId, Timestamp, UserId};

pub use passwords::{PasswordHash, Passwords};
pub use revocations::{Revocations, Watch};
pub use tokens::{AccessToken, MailToken, RefreshToken, Tokens};

use crate::{app::App, error::Error};

/// A signed-in person on one of their devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Viewer {
    user_id: UserId,
    session_id: SessionId,
}

impl Viewer {
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    pub fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// For who has just proved a password or a refresh token: see `accounts`.
    pub(crate) fn proven(user_id: UserId, session_id: SessionId) -> Self {
        Self { user_id, session_id }
    }
}

/// What a request says of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// No token came.
    Anonymous,
    /// A valid token came; it dies at `expires_at`.
    SignedIn { viewer: Viewer, expires_at: Timestamp },
    /// A token came and is not valid. What needs no sign-in (`refreshSession`, say) still works.
    Rejected(&'static str),
}

impl Caller {
    pub fn viewer(&self) -> Result<Viewer, Error> {
        match self {
            Self::SignedIn { viewer, .. } => Ok(*viewer),
            Self::Anonymous => Err(Error::Unauthenticated("Sign in first.")),
            Self::Rejected(reason) => Err(Error::Unauthenticated(reason)),
        }
    }

    /// The viewer; nobody for who sent no token; a refusal for who sent a bad one.
    pub fn optional_viewer(&self) -> Result<Option<Viewer>, Error> {
        match self {
            Self::Anonymous => Ok(None),
            _ => self.viewer().map(Some),
        }
    }
}

/// Reads the value of an `Authorization` header (or of `authorization` in a socket's `connection_init`).
pub fn authenticate(app: &App, authorization: Option<&str>) -> Caller {
    let Some(authorization) = authorization else { return Caller::Anonymous };
    let token = match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Caller::Rejected("The authorization must be `Bearer TOKEN`."),
    };
    match app.tokens.verify(token, app.clock.now()) {
        Ok(AccessToken { user_id, session_id, expires_at }) => {
            if app.revocations.is_revoked(session_id) {
                return Caller::Rejected("The session has ended.");
            }
            Caller::SignedIn { viewer: Viewer { user_id, session_id }, expires_at }
        }
        Err(reason) => Caller::Rejected(reason),
    }
}

/// What a request carries besides its document, for resolvers.
#[derive(Clone, Debug)]
pub struct RequestContext {
    pub caller: Caller,
    /// In the answer's `x-request-id`, in the log and in masked errors.
    pub request_id: Arc<str>,
    /// The address to count anonymous requests by.
    pub client_ip: std::net::IpAddr,
    pub user_agent: Option<Arc<str>>,
}
