//! How many subscriptions one session may have open here.

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::SessionId;
use parking_lot::Mutex;

use super::feed::Source;
use crate::{
    error::Error,
    rate_limits::{Limited, TooMuch},
};

/// A stream of everything listens to all that its viewer has, and counts accordingly.
const WEIGHT_OF_EVERYTHING: u32 = 10;
/// When to try again: streams end when people close what they look at.
const WAIT: Duration = Duration::from_secs(5);

/// The open subscriptions of each session.
pub struct Streams {
    /// None: as many as they like.
    max: Option<u32>,
    open: Mutex<HashMap<SessionId, u32>>,
}

impl Streams {
    pub fn new(max: Option<u32>) -> Arc<Self> {
        Arc::new(Self { max, open: Mutex::default() })
    }

    /// Counts one more, until the returned value is dropped. `RATE_LIMITED` when the session has too many.
    pub(super) fn open(self: &Arc<Self>, session_id: SessionId, source: &Source) -> Result<Option<Open>, Error> {
        let weight = match source {
            Source::Everything { .. } => WEIGHT_OF_EVERYTHING,
            _ => 1,
        };
        self.count(session_id, weight)
    }

    fn count(self: &Arc<Self>, session_id: SessionId, weight: u32) -> Result<Option<Open>, Error> {
        let Some(max) = self.max else { return Ok(None) };
        let mut open = self.open.lock();
        let n_open = open.entry(session_id).or_default();
        // Whatever it weighs, one is always allowed.
        if *n_open > 0 && *n_open + weight > max {
            return Err(Error::RateLimited(Limited { what: TooMuch::OpenStreams(max), wait: WAIT }));
        }
        *n_open += weight;
        Ok(Some(Open { streams: Arc::clone(self), session_id, weight }))
    }
}

/// An open subscription of a session.
pub(super) struct Open {
    streams: Arc<Streams>,
    session_id: SessionId,
    weight: u32,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock();
        if let Some(n_open) = open.get_mut(&self.session_id) {
            *n_open = n_open.saturating_sub(self.weight);
            if *n_open == 0 {
                open.remove(&self.session_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_session_has_so_many_streams_and_no_more() {
        let streams = Streams::new(Some(12));
        let [ann, ben] = [1, 2].map(|n| SessionId(Uuid::from_u128(n)));
        let everything = streams.count(ann, WEIGHT_OF_EVERYTHING).expect("the first");
        let two = (streams.count(ann, 1).expect("the second"), streams.count(ann, 1).expect("the third"));
        assert!(matches!(streams.count(ann, 1), Err(Error::RateLimited(_))));
        let other = streams.count(ben, 1).expect("somebody else's");
        drop(everything);
        let again = streams.count(ann, WEIGHT_OF_EVERYTHING).expect("there is room again");
        assert!(streams.count(ann, WEIGHT_OF_EVERYTHING).is_err());
        drop((two, again, other));
        assert!(streams.open.lock().is_empty(), "nothing is left behind");

        let few = Streams::new(Some(1));
        let one = few.count(ann, WEIGHT_OF_EVERYTHING).expect("one is always allowed");
        assert!(few.count(ann, 1).is_err());
        drop(one);
        let unlimited = Streams::new(None);
        let many: Vec<_> = (0..500).map(|_| unlimited.count(ann, 1)).collect();
        assert!(many.iter().all(Result::is_ok));
    }
}
