//! Who is connected to this process.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use entity::{Timestamp, UserId};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock::Clock;

/// Open connections by person. Somebody whose last one closed stays here for the grace.
pub struct Connections {
    clock: Clock,
    grace: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    here: HashMap<UserId, Here>,
    /// Who came since somebody asked.
    arrived: Vec<UserId>,
    /// Whose grace may be over, and when; in that order, since the grace is the same for all.
    closing: VecDeque<(Instant, UserId)>,
}

#[derive(Clone, Copy, Default)]
struct Here {
    n_open: u32,
    /// When the last one closed.
    closed: Option<(Instant, Timestamp)>,
}

/// An open connection of somebody; it is closed when dropped.
pub struct Connected {
    connections: Arc<Connections>,
    user_id: UserId,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.connections.close(self.user_id, Instant::now());
    }
}

impl Connections {
    pub fn new(clock: Clock, grace: Duration) -> Arc<Self> {
        Arc::new(Self { clock, grace, state: Mutex::default() })
    }

    pub fn open(self: &Arc<Self>, user_id: UserId) -> Connected {
        let mut state = self.state.lock();
        let state = &mut *state;
        let here = state.here.entry(user_id).or_insert_with(|| {
            state.arrived.push(user_id);
            Here::default()
        });
        here.n_open += 1;
        here.closed = None;
        Connected { connections: Arc::clone(self), user_id }
    }

    fn close(&self, user_id: UserId, now: Instant) {
        let mut state = self.state.lock();
        let Some(here) = state.here.get_mut(&user_id) else { return };
        here.n_open = here.n_open.saturating_sub(1);
        if here.n_open == 0 {
            here.closed = Some((now, self.clock.now()));
            state.closing.push_back((now, user_id));
        }
    }

    /// Whether somebody is connected here, or was so a moment ago.
    pub fn has(&self, user_id: UserId) -> bool {
        self.state.lock().here.contains_key(&user_id)
    }

    /// Everybody who is connected here, or was so a moment ago.
    pub fn all(&self) -> Vec<UserId> {
        self.state.lock().here.keys().copied().collect()
    }

    /// Everybody here, and since when each has no connection any more.
    pub fn closed_at(&self, now: Timestamp) -> Vec<(UserId, Timestamp)> {
        let state = self.state.lock();
        state.here.iter().map(|(id, here)| (*id, here.closed.map_or(now, |(_, at)| at))).collect()
    }

    /// Who came since this was asked last.
    pub fn take_arrived(&self) -> Vec<UserId> {
        std::mem::take(&mut self.state.lock().arrived)
    }

    /// Who is gone: the grace after their last connection is over. With when it closed.
    pub fn take_left(&self, now: Instant) -> Vec<(UserId, Timestamp)> {
        let mut state = self.state.lock();
        let mut left = Vec::new();
        while let Some((closed, user_id)) = state.closing.front().copied() {
            if now.saturating_duration_since(closed) < self.grace {
                break;
            }
            state.closing.pop_front();
            // They may be back, or have been back and closed again since.
            if let Some((last, at)) = state.here.get(&user_id).and_then(|here| here.closed)
                && last == closed
            {
                state.here.remove(&user_id);
                left.push((user_id, at));
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn ann() -> UserId {
        UserId(Uuid::from_u128(1))
    }

    #[tokio::test(start_paused = true)]
    async fn several_devices_are_one_person_and_a_reload_is_nothing() {
        let connections = Connections::new(Clock, GRACE);
        let (phone, laptop) = (connections.open(ann()), connections.open(ann()));
        assert_eq!(connections.take_arrived(), [ann()]);
        drop(phone);
        tokio::time::advance(GRACE * 2).await;
        assert!(connections.take_left(Instant::now()).is_empty() && connections.has(ann()));

        drop(laptop);
        tokio::time::advance(GRACE / 2).await;
        let reloaded = connections.open(ann());
        tokio::time::advance(GRACE).await;
        assert!(connections.take_left(Instant::now()).is_empty());
        assert!(connections.take_arrived().is_empty());

        // The grace counts from the last close, not from an earlier one.
        drop(reloaded);
        tokio::time::advance(GRACE - Duration::from_millis(1)).await;
        assert!(connections.take_left(Instant::now()).is_empty() && connections.has(ann()));
        tokio::time::advance(Duration::from_millis(1)).await;
        let left = connections.take_left(Instant::now());
        assert_eq!(left.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ann()]);
        assert!(!connections.has(ann()));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_leave_nothing_behind() {
        let connections = Connections::new(Clock, GRACE);
        for _ in 0..100 {
            drop(connections.open(ann()));
        }
        tokio::time::advance(GRACE).await;
        assert_eq!(connections.take_arrived().len(), 1);
        assert_eq!(connections.take_left(Instant::now()).len(), 1);
        let state = connections.state.lock();
        assert!(state.here.is_empty() && state.closing.is_empty() && state.arrived.is_empty());
    }
}
