//! Counting in the memory of the process.

use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, Reference},
    middleware::{NoOpMiddleware, StateInformationMiddleware},
    nanos::Nanos,
    state::{
        StateStore,
        keyed::{DashMapStateStore, ShrinkableKeyedStateStore},
    },
};

use super::{Action, Budget, Rule, Rules, shared::budget};

/// How many checks pass between two looks at how much is remembered.
const CHECKS_BETWEEN_LOOKS: usize = 1024;
/// Below this, forgetting saves nothing.
const MIN_SUBJECTS: usize = 10_000;
/// Most subjects that are remembered for one action: some 10 MiB.
const MAX_SUBJECTS: usize = 200_000;

/// A subject's hash, keyed so that nobody can choose collisions: subjects of any length take the same little room.
type Key = u128;

pub(super) struct Local<C: Clock> {
    clock: C,
    /// None where the limit is off.
    counters: [Option<Counter<C>>; Action::ALL.len()],
    hashers: [RandomState; 2],
}

struct Counter<C: Clock> {
    limiter: RateLimiter<Key, Store, C, StateInformationMiddleware>,
    store: Store,
    start: C::Instant,
    rule: Rule,
    interval: Nanos,
    /// When everything of a full allowance is used, this is how long it takes to be full again.
    span: Duration,
    n_checks: AtomicUsize,
    /// How many subjects may be remembered before the next sweep: twice of what the last one left.
    sweep_above: AtomicUsize,
    max_subjects: usize,
}

impl<C: Clock + Clone> Local<C> {
    pub fn new(rules: &Rules, clock: C) -> Self {
        Self::with_room_for(rules, MAX_SUBJECTS, clock)
    }

    fn with_room_for(rules: &Rules, max_subjects: usize, clock: C) -> Self {
        let counter = |action| Some(Counter::new(rules.of(action)?, max_subjects, clock.clone()));
        let counters = Action::ALL.map(counter);
        Self { clock, counters, hashers: [RandomState::new(), RandomState::new()] }
    }

    /// Counts one and says what is left; else tells how long to wait.
    pub fn check(&self, action: Action, subject: &str) -> Result<Budget, Duration> {
        let Some(counter) = &self.counters[action as usize] else {
            return Ok(Budget { remaining: u32::MAX, full_in: Duration::ZERO });
        };
        if counter.n_checks.fetch_add(1, Ordering::Relaxed) % CHECKS_BETWEEN_LOOKS == CHECKS_BETWEEN_LOOKS - 1 {
            counter.forget(self.clock.now());
        }
        match counter.limiter.check_key(&self.key(subject)) {
            Ok(state) => {
                let n_used = counter.rule.limit.saturating_sub(state.remaining_burst_capacity());
                let full_in = counter.rule.interval() * n_used;
                Ok(Budget { remaining: state.remaining_burst_capacity(), ..budget(counter.rule, full_in) })
            }
            Err(not_until) => Err(not_until.wait_time_from(self.clock.now())),
        }
    }

    /// Takes one back.
    pub fn refund(&self, action: Action, subject: &str) {
        let Some(counter) = &self.counters[action as usize] else { return };
        let earlier = |arrival: Option<Nanos>| {
            let arrival = arrival.unwrap_or(Nanos::from(0));
            Ok::<_, std::convert::Infallible>(((), arrival.saturating_sub(counter.interval)))
        };
        let Ok(()) = counter.store.measure_and_replace(&self.key(subject), earlier);
    }

    fn key(&self, subject: &str) -> Key {
        let [high, low] = &self.hashers;
        u128::from(high.hash_one(subject)) << 64 | u128::from(low.hash_one(subject))
    }
}

impl<C: Clock> Counter<C> {
    fn new(rule: Rule, max_subjects: usize, clock: C) -> Self {
        let burst = NonZeroU32::new(rule.limit).expect("a rule has no zeros");
        let quota = Quota::with_period(rule.interval()).expect("a rule has no zeros").allow_burst(burst);
        let store = Store::default();
        let start = clock.now();
        Self {
            limiter: RateLimiter::<_, _, _, NoOpMiddleware<C::Instant>>::new(quota, store.clone(), clock)
                .with_middleware(),
            store,
            start,
            rule,
            interval: rule.interval().into(),
            span: rule.period,
            n_checks: AtomicUsize::new(0),
            sweep_above: AtomicUsize::new(MIN_SUBJECTS.min(max_subjects)),
            max_subjects,
        }
    }

    /// Keeps the memory bounded: forgets whose allowance is full again, and when there are too many of the others,
    /// those who have used the least of theirs.
    fn forget(&self, now: C::Instant) {
        if self.store.len() <= self.sweep_above.load(Ordering::Relaxed) {
            return;
        }
        self.limiter.retain_recent();
        let now = now.duration_since(self.start);
        for eighths in 1..=8 {
            if self.store.len() <= self.max_subjects {
                break;
            }
            self.store.retain_recent(now + self.span * eighths / 8);
        }
        let next = (self.store.len() * 2).clamp(MIN_SUBJECTS.min(self.max_subjects), self.max_subjects);
        self.sweep_above.store(next, Ordering::Relaxed);
    }
}

/// governor's store, shared with its limiter so that a count can be taken back and the least forgotten first.
#[derive(Clone, Default)]
struct Store(Arc<DashMapStateStore<Key>>);

impl StateStore for Store {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, f)
    }
}

impl ShrinkableKeyedStateStore<Key> for Store {
    fn retain_recent(&self, drop_below: Nanos) {
        ShrinkableKeyedStateStore::retain_recent(&*self.0, drop_below);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn local(max_subjects: usize) -> (Local<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Local::with_room_for(&Rules::default(), max_subjects, clock.clone()), clock)
    }

    fn n_allowed(local: &Local<FakeRelativeClock>, action: Action, subject: &str) -> usize {
        (0..100_000).take_while(|_| local.check(action, subject).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_steady_rate() {
        for action in Action::ALL {
            let (local, clock) = local(100);
            let rule = action.default_rule();
            let (burst, interval) = (rule.limit as usize, rule.interval());
            assert_eq!(n_allowed(&local, action, "ann"), burst, "{action:?}");
            assert_eq!(local.check(action, "ann"), Err(interval), "{action:?}");
            clock.advance(interval - Duration::from_nanos(1));
            assert_eq!(local.check(action, "ann"), Err(Duration::from_nanos(1)), "{action:?}");
            clock.advance(Duration::from_nanos(1));
            assert_eq!(n_allowed(&local, action, "ann"), 1, "{action:?}");
            clock.advance(interval * 3);
            assert_eq!(n_allowed(&local, action, "ann"), burst.min(3), "{action:?}");
            clock.advance(rule.period * 10);
            assert_eq!(n_allowed(&local, action, "ann"), burst, "{action:?}: no more is saved up");
        }
    }

    #[test]
    fn subjects_and_actions_are_counted_apart() {
        let (local, _) = local(100);
        assert_eq!(n_allowed(&local, Action::SignIn, "ann"), 10);
        assert_eq!(n_allowed(&local, Action::SignIn, "ben"), 10);
        assert_eq!(n_allowed(&local, Action::SendInvite, "ann"), 30);
    }

    #[test]
    fn what_is_taken_back_can_be_used_again_and_no_more() {
        let (local, clock) = local(100);
        assert_eq!(n_allowed(&local, Action::SignIn, "ann"), 10);
        local.refund(Action::SignIn, "ann");
        assert_eq!(n_allowed(&local, Action::SignIn, "ann"), 1);
        clock.advance(Duration::from_secs(3600));
        for _ in 0..20 {
            local.refund(Action::SignIn, "ann");
            local.refund(Action::SignIn, "never seen");
        }
        assert_eq!(n_allowed(&local, Action::SignIn, "ann"), 10);
        assert_eq!(n_allowed(&local, Action::SignIn, "never seen"), 10);
    }

    #[test]
    fn the_memory_is_bounded_and_the_worst_are_remembered() {
        let (local, _) = local(2_000);
        assert_eq!(n_allowed(&local, Action::SignIn, "guesser"), 10);
        for idx in 0..50_000 {
            local.check(Action::SignIn, &format!("subject {idx}")).expect("the first of each");
        }
        let n_subjects = local.counters[Action::SignIn as usize].as_ref().expect("is on").store.len();
        assert!(n_subjects <= 2_000 + CHECKS_BETWEEN_LOOKS, "{n_subjects}");
        assert!(local.check(Action::SignIn, "guesser").is_err());
    }

    #[test]
    fn who_has_a_full_allowance_again_is_forgotten() {
        let (local, clock) = local(100_000);
        for idx in 0..60_000 {
            local.check(Action::SignIn, &format!("subject {idx}")).expect("the first of each");
            clock.advance(Duration::from_millis(10));
        }
        let n_subjects = local.counters[Action::SignIn as usize].as_ref().expect("is on").store.len();
        assert!(n_subjects <= MIN_SUBJECTS + CHECKS_BETWEEN_LOOKS, "{n_subjects}");
    }
}
