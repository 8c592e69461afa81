//! Two people.

use entity::UserId;
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};
use sha2::{Digest, Sha256};

use crate::{error::Error, events::Transaction};

/// Two people without regard to who is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    low: UserId,
    high: UserId,
}

impl Pair {
    pub fn of(one: UserId, other: UserId) -> Self {
        Self { low: one.min(other), high: one.max(other) }
    }

    /// What only one pending friend invite between the two may hold.
    pub fn pending_slot(&self) -> String {
        format!("friend:{}:{}", self.low.0.simple(), self.high.0.simple())
    }

    /// Waits until nobody else is changing how the two stand to each other; holds it until the transaction ends. Take
    /// it before any row. On SQLite the one writer is the lock.
    ///
    /// The rows themselves cannot be locked for this: a block must also wait for an invite that is not there yet.
    pub async fn lock(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        lock(tx, &[self.low.0.as_bytes().as_slice(), self.high.0.as_bytes()]).await
    }
}

/// Waits until no other transaction counts what one person has sent; take it after the lock of a [`Pair`].
pub async fn lock_sender(tx: &Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    lock(tx, &[user_id.0.as_bytes().as_slice()]).await
}

/// Waits for the lock of a name and holds it until the transaction ends. Names are without structure: two that end up
/// with one key only wait for each other once more.
pub async fn lock(tx: &Transaction<'_>, name: &[&[u8]]) -> Result<(), Error> {
    if tx.db().get_database_backend() != DatabaseBackend::Postgres {
        return Ok(());
    }
    let digest = Sha256::digest(name.concat());
    let key = i64::from_be_bytes(std::array::from_fn(|idx| digest[idx]));
    let sql = "SELECT pg_advisory_xact_lock($1)";
    tx.db().execute_raw(Statement::from_sql_and_values(DatabaseBackend::Postgres, sql, [key.into()])).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_pair_has_no_direction_and_its_slot_fits_the_column() {
        let (one, other) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        assert_eq!(Pair::of(one, other), Pair::of(other, one));
        let slot = Pair::of(other, one).pending_slot();
        assert!(slot.starts_with("friend:00000000000000000000000000000001:"), "{slot}");
        assert!(slot.len() <= 160);
    }
}
