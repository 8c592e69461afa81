//! Everything that a running process shares, made once at the start.

use std::sync::Arc;

use crate::{
    auth::{Passwords, Revocations, Tokens},
    clock::Clock,
    config::Config,
    db::Db,
    delivery::Hub,
    events::bus::Bus,
    messages::Committer,
    rate_limits::RateLimits,
};

/// The one context. Passed first and by reference.
pub struct App {
    /// The settings, checked.
    pub config: Config,
    /// Where everything durable is.
    pub db: Db,
    /// Time and new ids.
    pub clock: Clock,
    /// Signs and checks access tokens.
    pub tokens: Tokens,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// The sessions that ended before their tokens did.
    pub revocations: Arc<Revocations>,
    /// How often who may do what.
    pub rate_limits: RateLimits,
    /// The database's own id, in every cursor.
    pub epoch: Arc<str>,
    /// Carries events to listeners here and in other processes. Only [`crate::events::Transaction`] and the committer
    /// publish on it.
    pub bus: Arc<dyn Bus>,
    /// Who here listens to what.
    pub hub: Arc<Hub>,
    /// Writes messages in groups.
    pub committer: Committer,
}
