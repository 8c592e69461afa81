//! Sessions that have ended although their access tokens have not expired.

use std::collections::HashMap;

use entity::{SessionId, Timestamp};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

/// The ended sessions whose tokens could still be alive, and the sockets to end when a session does.
///
/// Filled at the start from the database, then by the bus, and by the reconciler from the event log, so that a
/// request asks memory and not the database.
#[derive(Default)]
pub struct Revocations {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// With the time after which no token of the session can be alive.
    revoked: HashMap<SessionId, Timestamp>,
    watched: HashMap<SessionId, (CancellationToken, usize)>,
}

impl Revocations {
    pub fn is_revoked(&self, session_id: SessionId) -> bool {
        self.state.read().revoked.contains_key(&session_id)
    }

    /// Refuses the session's tokens from now on and ends what watches it. `forget_at`: when its last token is dead.
    pub fn revoke(&self, session_id: SessionId, forget_at: Timestamp) {
        let mut state = self.state.write();
        state.revoked.insert(session_id, forget_at);
        if let Some((token, _)) = state.watched.get(&session_id) {
            token.cancel();
        }
    }

    /// Forgets the sessions whose last token is dead.
    pub fn sweep(&self, now: Timestamp) {
        self.state.write().revoked.retain(|_, forget_at| *forget_at > now);
    }

    /// Something that lives as long as the session: [`Watch::revoked`] returns when it ends.
    pub fn watch(self: &std::sync::Arc<Self>, session_id: SessionId) -> Watch {
        let mut state = self.state.write();
        let revoked = state.revoked.contains_key(&session_id);
        let (token, n_watching) = state.watched.entry(session_id).or_default();
        *n_watching += 1;
        if revoked {
            token.cancel();
        }
        let token = token.clone();
        Watch { revocations: std::sync::Arc::clone(self), session_id, token }
    }
}

/// A place among those who are told that a session ended; given up when dropped.
pub struct Watch {
    revocations: std::sync::Arc<Revocations>,
    session_id: SessionId,
    token: CancellationToken,
}

impl Watch {
    /// Returns when the session has been revoked.
    pub async fn revoked(&self) {
        self.token.cancelled().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.revocations.state.write();
        if let Some((_, n_watching)) = state.watched.get_mut(&self.session_id) {
            *n_watching -= 1;
            if *n_watching == 0 {
                state.watched.remove(&self.session_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;

    const FAR: Timestamp = Timestamp(i64::MAX);

    #[tokio::test]
    async fn who_watches_a_session_is_told_that_it_ended() {
        let revocations = Arc::new(Revocations::default());
        let (one, other) = (SessionId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)));
        let (watch_one, watch_other) = (revocations.watch(one), revocations.watch(other));
        revocations.revoke(one, FAR);
        watch_one.revoked().await;
        assert!(revocations.is_revoked(one) && !revocations.is_revoked(other));
        assert!(!watch_other.token.is_cancelled());
        revocations.watch(one).revoked().await;
    }

    #[test]
    fn watching_leaves_nothing_behind() {
        let revocations = Arc::new(Revocations::default());
        drop((revocations.watch(SessionId(Uuid::nil())), revocations.watch(SessionId(Uuid::nil()))));
        assert!(revocations.state.read().watched.is_empty());
    }

    #[test]
    fn a_dead_token_needs_no_revocation() {
        let revocations = Revocations::default();
        revocations.revoke(SessionId(Uuid::nil()), Timestamp(10));
        revocations.sweep(Timestamp(9));
        assert!(revocations.is_revoked(SessionId(Uuid::nil())));
        revocations.sweep(Timestamp(10));
        assert!(!revocations.is_revoked(SessionId(Uuid::nil())));
    }
}
