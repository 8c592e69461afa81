//! Waiting, always with a limit.

use std::{future::Future, time::Duration};

/// How long a story waits for something that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The result of a future, which must come within the limit.
#[track_caller]
pub fn within<F: Future>(limit: Duration, what: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(limit, future).await {
            Ok(result) => result,
            Err(_) => panic!("waited {limit:?} for {what} (at {caller})"),
        }
    }
}

/// Looks again and again until there is something to see.
#[track_caller]
pub fn eventually<T, L: AsyncFnMut() -> Option<T>>(what: &str, mut look: L) -> impl Future<Output = T> {
    within(PATIENCE, what, async move {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    })
}
