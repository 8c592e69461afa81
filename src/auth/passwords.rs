//! Password hashes: argon2id, off the async threads, few at a time.

use std::{sync::Arc, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// Requests that may wait for a hash; more are told to come back.
const MAX_WAITING: usize = 64;

/// A PHC string of argon2id, the only form in which a password is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash(pub String);

/// Hashes and checks passwords. Each takes some 20 MiB and tens of milliseconds of a core, so that as many run at
/// once as there are cores, and a queue of bounded length waits.
pub struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Checked against for an unknown account, so that it costs what a known one costs.
    decoy: PasswordHash,
}

impl Passwords {
    pub fn new() -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            running: Arc::new(Semaphore::new(cores)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            decoy: hash("decoy")?,
        })
    }

    pub async fn hash(&self, password: String) -> Result<PasswordHash, Error> {
        self.run(move || hash(&password)).await
    }

    /// Whether the password belongs to the hash. `None` stands for an account that does not exist: it costs the same
    /// and is never true.
    pub async fn verify(&self, password: String, stored: Option<PasswordHash>) -> Result<bool, Error> {
        let exists = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.clone());
        let matches = self
            .run(move || Ok(Argon2::default().verify_password(password.as_bytes(), stored.0.as_str()).is_ok()))
            .await?;
        Ok(matches && exists)
    }

    /// Whether the hash was made with other parameters than today's.
    pub fn is_outdated(&self, stored: &PasswordHash) -> bool {
        // `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`
        let parameters = |hash: &PasswordHash| hash.0.splitn(5, '$').take(4).map(str::to_owned).collect::<Vec<_>>();
        parameters(stored) != parameters(&self.decoy)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = Arc::clone(&self.waiting).try_acquire_owned();
        let place: OwnedSemaphorePermit = place.map_err(|_| Error::busy(Duration::from_secs(1)))?;
        let permit = Arc::clone(&self.running).acquire_owned().await.map_err(Error::internal)?;
        let result = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((permit, place));
            result
        });
        result.await.map_err(Error::internal)?
    }
}

fn hash(password: &str) -> Result<PasswordHash, Error> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(Error::internal)?;
    Ok(PasswordHash(hash.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_belongs_to_its_hash_alone() {
        let passwords = Passwords::new().expect("hashes");
        let hash = passwords.hash("correct horse".into()).await.expect("hashes");
        assert!(hash.0.starts_with("$argon2id$"), "{}", hash.0);
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.expect("verifies"));
        assert!(!passwords.verify("wrong horse".into(), Some(hash)).await.expect("verifies"));
    }

    #[tokio::test]
    async fn an_unknown_account_never_matches() {
        let passwords = Passwords::new().expect("hashes");
        assert!(!passwords.verify("decoy".into(), None).await.expect("verifies"));
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_is_known() {
        let passwords = Passwords::new().expect("hashes");
        let hash = passwords.hash("correct horse".into()).await.expect("hashes");
        assert!(!passwords.is_outdated(&hash));
        for (from, to) in [("m=19456", "m=4096"), ("t=2", "t=1"), ("v=19", "v=16"), ("argon2id", "argon2i")] {
            assert!(hash.0.contains(from), "{}", hash.0);
            assert!(passwords.is_outdated(&PasswordHash(hash.0.replace(from, to))), "{to}");
        }
        assert!(passwords.is_outdated(&PasswordHash("$2b$12$something".into())));
    }

    #[tokio::test]
    async fn a_flood_is_turned_away_and_does_not_queue_up() {
        let passwords = Arc::new(Passwords::new().expect("hashes"));
        let tries = (0..MAX_WAITING + 20).map(|_| {
            let passwords = Arc::clone(&passwords);
            async move { passwords.hash("x".into()).await }
        });
        let results = futures_util::future::join_all(tries).await;
        let n_refused = results.iter().filter(|result| matches!(result, Err(Error::RateLimited(_)))).count();
        assert_eq!(n_refused, 20);
    }
}
