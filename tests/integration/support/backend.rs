//! What a world stands on.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// One file and events inside the process: what `kith serve` is without any settings.
    Sqlite,
    /// PostgreSQL and Redis.
    Full,
}

/// Where PostgreSQL is. Without it a story fails: what is skipped shows nothing.
pub fn postgres_url() -> String {
    needed("KITH_TEST_POSTGRES_URL")
}

/// Where Redis is.
pub fn redis_url() -> String {
    needed("KITH_TEST_REDIS_URL")
}

fn needed(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make test`, which starts a PostgreSQL and a Redis for the tests")
    })
}
