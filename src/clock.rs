//! Time and new ids come from here, so that tests can choose them.

use entity::Timestamp;
use uuid::Uuid;

/// The wall clock. Order is never taken from it: messages are ordered by their sequence.
#[derive(Clone, Debug, Default)]
pub struct Clock;

impl Clock {
    pub fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's time")]
        let now = chrono::Utc::now();
        Timestamp(now.timestamp_millis())
    }

    /// A new time-ordered id, for any of the id types.
    pub fn new_id<I: From<Uuid>>(&self) -> I {
        #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
        let id = Uuid::now_v7();
        I::from(id)
    }
}

/// Random bytes from the operating system, for tokens and secrets.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
