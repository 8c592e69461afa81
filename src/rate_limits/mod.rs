//! How often who may do what.
//!
//! | action | subject | at once | then one per | counted |
//! | --- | --- | --- | --- | --- |
//! | [`Action::Register`] | address | 100 | 36 s | everywhere |
//! | [`Action::SignIn`] | account and address | 10 | 6 s | everywhere |
//! | [`Action::SignInFromAddress`] | address | 120 | 0.5 s | everywhere |
//! | [`Action::RefreshSession`] | address | 200 | 0.1 s | everywhere |
//! | [`Action::Discovery`] | viewer | 30 | 2 s | everywhere |
//! | [`Action::SendInvite`] | viewer | 30 | 60 s | everywhere |
//! | [`Action::DeleteAccount`] | viewer | 5 | 60 s | everywhere |
//! | [`Action::RequestDataExport`] | viewer | 2 | 12 h | everywhere |
//! | [`Action::SendMessage`] | viewer | 100 | 0.05 s | in each process |
//!
//! *Everywhere*: in Redis when there is one, so that several processes count together; else, and while Redis is slow
//! or away, in the process. A send never waits for Redis, so that its limit holds for each process by itself.
//!
//! The count is the generic cell rate algorithm: an allowance that refills steadily, not in windows.

mod local;
mod shared;

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use governor::clock::DefaultClock;

use self::{local::Local, shared::Shared};
use crate::{
    config::{Config, Switch},
    error::Error,
};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Making an account, by address.
    Register,
    /// A try to sign in, by account and address: a stranger who guesses cannot lock the owner out.
    SignIn,
    /// A try to sign in, by address: one that guesses at many accounts.
    SignInFromAddress,
    /// `refreshSession`, by address. The tokens cannot be guessed; this bounds the work.
    RefreshSession,
    /// `user(username)` and `searchUsers`, by viewer.
    Discovery,
    /// `sendInvite`, by viewer.
    SendInvite,
    /// A try to delete the account, by viewer: who holds a stolen device cannot guess the password at it.
    DeleteAccount,
    /// `requestDataExport`, by viewer; not while one is pending.
    RequestDataExport,
    /// `sendMessage`, by viewer.
    SendMessage,
}

/// How often an action may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    /// Names the action in keys and metrics.
    name: &'static str,
    /// How many may come at once.
    burst: u32,
    /// How long it takes until one more may come.
    interval: Duration,
    reach: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Everywhere,
    Process,
}

impl Action {
    const ALL: [Self; 9] = [
        Self::Register,
        Self::SignIn,
        Self::SignInFromAddress,
        Self::RefreshSession,
        Self::Discovery,
        Self::SendInvite,
        Self::DeleteAccount,
        Self::RequestDataExport,
        Self::SendMessage,
    ];

    const fn rule(self) -> Rule {
        use Reach::{Everywhere, Process};
        let (name, burst, interval_ms, reach) = match self {
            Self::Register => ("register", 100, 36_000, Everywhere),
            Self::SignIn => ("sign-in", 10, 6_000, Everywhere),
            Self::SignInFromAddress => ("sign-in-from-address", 120, 500, Everywhere),
            Self::RefreshSession => ("refresh-session", 200, 100, Everywhere),
            Self::Discovery => ("discovery", 30, 2_000, Everywhere),
            Self::SendInvite => ("send-invite", 30, 60_000, Everywhere),
            Self::DeleteAccount => ("delete-account", 5, 60_000, Everywhere),
            Self::RequestDataExport => ("request-data-export", 2, 43_200_000, Everywhere),
            Self::SendMessage => ("send-message", 100, 50, Process),
        };
        Rule { name, burst, interval: Duration::from_millis(interval_ms), reach }
    }
}

/// Counts actions and refuses what is too much.
pub struct RateLimits {
    counting: Option<Counting>,
}

struct Counting {
    local: Local<DefaultClock>,
    shared: Option<Shared>,
}

impl RateLimits {
    pub fn new(config: &Config, redis: Option<redis::aio::ConnectionManager>) -> Self {
        let counting = match config.server.rate_limits {
            Switch::Off => None,
            Switch::On => Some(Counting {
                local: Local::new(DefaultClock::default()),
                shared: redis.map(|connection| Shared::new(connection, &config.storage.redis_prefix)),
            }),
        };
        Self { counting }
    }

    /// Counts one action of a subject: a user id, or an address as [`address`] writes it. `RATE_LIMITED` when it is
    /// one too many; that one is not counted.
    pub async fn check(&self, action: Action, subject: &str) -> Result<(), Error> {
        let Some(counting) = &self.counting else { return Ok(()) };
        counting.check(action, subject).await.map_err(|wait| {
            metrics::counter!(crate::server::metrics::RATE_LIMITED, "action" => action.rule().name).increment(1);
            Error::RateLimited(wait)
        })
    }

    /// Takes one counted action back: it turned out to be a repeat of an earlier one, or harmless.
    pub async fn refund(&self, action: Action, subject: &str) {
        let Some(counting) = &self.counting else { return };
        match &counting.shared {
            Some(shared) if action.rule().reach == Reach::Everywhere => {
                if shared.refund(action, subject).await.is_none() {
                    counting.local.refund(action, subject);
                }
            }
            _ => counting.local.refund(action, subject),
        }
    }
}

impl Counting {
    async fn check(&self, action: Action, subject: &str) -> Result<(), Duration> {
        if let (Some(shared), Reach::Everywhere) = (&self.shared, action.rule().reach)
            && let Some(verdict) = shared.check(action, subject).await
        {
            return verdict;
        }
        self.local.check(action, subject)
    }
}

/// The subject that an address is counted as. Of an IPv6 address it is the network of 64 bits, since one customer has
/// all of it.
pub fn address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("{}/64", Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_numbered_in_order() {
        for (idx, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, idx);
        }
    }

    #[test]
    fn addresses_of_one_customer_are_one_subject() {
        for (ip, subject) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::", "2001:db8:1:3::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(address(ip.parse().expect("an address")), subject);
        }
    }

    #[tokio::test]
    async fn without_redis_the_process_counts() {
        let limits =
            RateLimits { counting: Some(Counting { local: Local::new(DefaultClock::default()), shared: None }) };
        for _ in 0..10 {
            limits.check(Action::SignIn, "ann").await.expect("within the burst");
        }
        let Err(Error::RateLimited(wait)) = limits.check(Action::SignIn, "ann").await else {
            panic!("the eleventh is one too many");
        };
        assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(6), "{wait:?}");
        limits.check(Action::SignIn, "ben").await.expect("somebody else");
        limits.refund(Action::SignIn, "ann").await;
        limits.check(Action::SignIn, "ann").await.expect("one was taken back");
    }

    #[tokio::test]
    async fn switched_off_nothing_is_counted() {
        let limits = RateLimits { counting: None };
        for _ in 0..1000 {
            limits.check(Action::SignIn, "ann").await.expect("not counted");
        }
    }
}
