//! How often who may do what.
//!
//! The classes of actions, their defaults, settings and messages are one list: [`Action`]. The count is the generic cell
//! rate algorithm: an allowance that refills steadily, not in windows.
//!
//! With Redis all processes count together; while it is slow or away, and without one, each process counts by itself.
//! Who asks waits for Redis at most [`shared::PATIENCE`]. A send does not wait at all while its sender is far from the
//! limit: see [`ahead`] and ADR 0019.
//!
//! What was counted for a request is gathered by [`counted`], for the fields `RateLimit` of its answer.

mod action;
mod ahead;
mod classes;
mod local;
mod shared;

use std::{
    cell::RefCell,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use governor::clock::DefaultClock;
use sha2::{Digest, Sha256};

pub use self::action::{Action, Per, Rule, Rules, unknown_setting};
use self::{ahead::Ahead, local::Local, shared::Shared};
use crate::{
    config::{Config, Switch},
    error::{Error, retry_after_seconds},
    redis::Redis,
};

/// Counts actions and refuses what is too much.
pub struct RateLimits {
    counting: Option<Counting>,
    rules: Rules,
}

struct Counting {
    local: Local<DefaultClock>,
    shared: Option<Arc<Shared>>,
    ahead: Option<Ahead>,
}

/// What a subject has left of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many may come now.
    pub remaining: u32,
    /// When the allowance is full again.
    pub full_in: Duration,
}

/// One too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// What there was too much of.
    pub what: TooMuch,
    /// How long to wait.
    pub wait: Duration,
}

/// What there may be too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// An action came too often.
    Action(Action, Rule),
    /// A session has so many subscriptions open at once: the most that it may.
    OpenStreams(u32),
    /// The machine has too much to do, for whomever.
    Work,
}

/// An action that was counted for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub action: Action,
    pub rule: Rule,
    pub budget: Budget,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            TooMuch::Action(action, _) => action.message(),
            TooMuch::OpenStreams(_) => "This device has too many subscriptions open. End some.",
            TooMuch::Work => "Too many requests.",
        };
        write!(f, "{what} Try again in {} s.", retry_after_seconds(&self.wait))
    }
}

impl RateLimits {
    /// Needs a runtime: with Redis, a task of its own tells it what was counted ahead.
    pub fn new(config: &Config, redis: Option<Redis>) -> Self {
        let rules = config.rate_limits.clone();
        let counting = match config.server.rate_limits {
            Switch::Off => None,
            Switch::On => {
                let shared = redis.map(|redis| Arc::new(Shared::new(redis, rules.clone())));
                let ahead = shared.clone().map(|shared| Ahead::start(shared, &rules));
                Some(Counting { local: Local::new(&rules, DefaultClock::default()), shared, ahead })
            }
        };
        Self { counting, rules }
    }

    /// Whether anything is counted at all.
    pub fn are_on(&self) -> bool {
        self.counting.is_some()
    }

    /// What is in force for an action.
    pub fn rule(&self, action: Action) -> Option<Rule> {
        self.counting.as_ref().and_then(|_| self.rules.of(action))
    }

    /// Counts one action of a subject: a user id, or an address as [`address`] writes it. `RATE_LIMITED` when it is
    /// one too many; that one is not counted.
    pub async fn check(&self, action: Action, subject: &str) -> Result<(), Error> {
        let (Some(counting), Some(rule)) = (&self.counting, self.rule(action)) else { return Ok(()) };
        // What is left of a mailbox would tell strangers what others ask of it.
        let is_told = action.per() != Per::Mailbox;
        match counting.check(action, subject).await {
            Ok(budget) => {
                if is_told {
                    note(Counted { action, rule, budget });
                }
                Ok(())
            }
            Err(wait) => {
                if is_told {
                    note(Counted { action, rule, budget: Budget { remaining: 0, full_in: wait } });
                }
                metrics::counter!(crate::server::metrics::RATE_LIMITED, "action" => action.name()).increment(1);
                Err(Error::RateLimited(Limited { what: TooMuch::Action(action, rule), wait }))
            }
        }
    }

    /// Takes one counted action back: it turned out to be a repeat of an earlier one, or harmless.
    pub async fn refund(&self, action: Action, subject: &str) {
        let (Some(counting), Some(_)) = (&self.counting, self.rule(action)) else { return };
        if action == Action::SendMessage
            && let Some(ahead) = &counting.ahead
        {
            counting.local.refund(action, subject);
            return ahead.refund(subject);
        }
        if let Some(shared) = &counting.shared
            && shared.refund(action, subject).await.is_some()
        {
            return;
        }
        counting.local.refund(action, subject);
    }
}

impl Counting {
    async fn check(&self, action: Action, subject: &str) -> Result<Budget, Duration> {
        if action == Action::SendMessage
            && let Some(ahead) = &self.ahead
        {
            // What this process alone has seen too much of is too much.
            let budget = self.local.check(action, subject)?;
            if ahead.takes(subject) {
                return Ok(budget);
            }
            let shared = self.shared.as_ref().expect("nothing is counted ahead without it");
            return match shared.check(action, subject).await {
                Some(Ok(shared)) => Ok(Budget { remaining: shared.remaining.min(budget.remaining), ..shared }),
                Some(Err(wait)) => {
                    self.local.refund(action, subject);
                    Err(wait)
                }
                None => Ok(budget),
            };
        }
        if let Some(shared) = &self.shared
            && let Some(verdict) = shared.check(action, subject).await
        {
            return verdict;
        }
        self.local.check(action, subject)
    }
}

// ---------------------------------------------------------------- what a request's answer tells

tokio::task_local! {
    static COUNTED: RefCell<Vec<Counted>>;
}

/// Runs a request and says what was counted for it: of each action, the one with the least left.
pub async fn counted<T>(request: impl Future<Output = T>) -> (T, Vec<Counted>) {
    COUNTED
        .scope(RefCell::default(), async {
            let answer = request.await;
            (answer, COUNTED.with(RefCell::take))
        })
        .await
}

fn note(counted: Counted) {
    // Outside of a request nobody is told.
    let _ = COUNTED.try_with(|all| {
        let mut all = all.borrow_mut();
        match all.iter_mut().find(|other| other.action == counted.action) {
            Some(other) if other.budget.remaining <= counted.budget.remaining => {}
            Some(other) => *other = counted,
            None => all.push(counted),
        }
    });
}

/// The values of `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10): a member for each action
/// that was counted, with the quota and its window, and with what is left and when all of it is back.
pub fn header_fields(counted: &[Counted]) -> Option<(String, String)> {
    if counted.is_empty() {
        return None;
    }
    let (mut policies, mut limits) = (String::new(), String::new());
    for Counted { action, rule, budget } in counted {
        use fmt::Write;
        let comma = if policies.is_empty() { "" } else { ", " };
        let name = action.name();
        // A string takes everything.
        let _ = write!(policies, "{comma}\"{name}\";q={};w={}", rule.limit, rule.period.as_secs());
        let _ =
            write!(limits, "{comma}\"{name}\";r={};t={}", budget.remaining, budget.full_in.as_millis().div_ceil(1000));
    }
    Some((policies, limits))
}

/// The subject that an address is counted as. Of an IPv6 address it is the network of 64 bits, since one customer has
/// all of it.
pub fn address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("{}/64", Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

/// The subject that a text of a client's is counted as, an email address say: Redis holds no addresses.
pub fn digest(text: &str) -> String {
    let digest = Sha256::digest(text);
    format!("{:032x}", u128::from_be_bytes(digest[..16].try_into().expect("a digest has 32 bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process without Redis.
    fn alone() -> RateLimits {
        let rules = Rules::default();
        let local = Local::new(&rules, DefaultClock::default());
        RateLimits { counting: Some(Counting { local, shared: None, ahead: None }), rules }
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
        let limits = alone();
        for _ in 0..10 {
            limits.check(Action::SignIn, "ann").await.expect("within the burst");
        }
        let Err(Error::RateLimited(Limited { wait, what })) = limits.check(Action::SignIn, "ann").await else {
            panic!("the eleventh is one too many");
        };
        assert_eq!(what, TooMuch::Action(Action::SignIn, Action::SignIn.default_rule()));
        assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(6), "{wait:?}");
        limits.check(Action::SignIn, "ben").await.expect("somebody else");
        limits.refund(Action::SignIn, "ann").await;
        limits.check(Action::SignIn, "ann").await.expect("one was taken back");
    }

    #[tokio::test]
    async fn switched_off_nothing_is_counted() {
        let limits = RateLimits { counting: None, rules: Rules::default() };
        for _ in 0..1000 {
            limits.check(Action::SignIn, "ann").await.expect("not counted");
        }
    }

    #[tokio::test]
    async fn what_was_counted_for_a_request_is_told() {
        let limits = alone();
        let request = async {
            limits.check(Action::Discovery, "ann").await.expect("allowed");
            limits.check(Action::Discovery, "ann").await.expect("allowed");
            for _ in 0..11 {
                let _ = limits.check(Action::SignIn, "ann").await;
            }
            limits.check(Action::SignIn, "ben").await.expect("allowed");
        };
        let ((), counted) = counted(request).await;
        let (policies, limits) = header_fields(&counted).expect("something was counted");
        assert_eq!(policies, "\"DISCOVERY\";q=30;w=60, \"SIGN_IN\";q=10;w=60");
        assert_eq!(limits, "\"DISCOVERY\";r=28;t=4, \"SIGN_IN\";r=0;t=60");
        assert_eq!(header_fields(&[]), None);
    }
}
