//! What waits to be written to one client.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Most items that wait for one client.
pub const MAX_ITEMS: usize = 256;
/// Most bytes that wait for one client.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Something to tell a client about one of its operations. Transports wrap it: a WebSocket in a frame with the
/// operation's id, server-sent events in an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// A result: `{"data": …}`, encoded once and shared by everybody who gets the same.
    Next { id: Arc<str>, payload: Bytes },
    /// The operation was refused: the `errors` array, encoded.
    Error { id: Arc<str>, errors: Bytes },
    /// The operation is over.
    Complete { id: Arc<str> },
}

impl Outgoing {
    fn len(&self) -> usize {
        match self {
            Self::Next { payload, .. } => payload.len(),
            Self::Error { errors, .. } => errors.len(),
            Self::Complete { .. } => 0,
        }
    }
}

/// Why an outbox takes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The client reads too slowly: it is cut off, reconnects and resumes from its cursor.
    Overflow,
    /// The client is gone.
    Gone,
}

/// A bounded queue of one client: many tasks put in, the one task that writes takes out.
#[derive(Default)]
pub struct Outbox {
    state: Mutex<State>,
    reader: AtomicWaker,
    /// Wakes those who wait for room.
    room: Notify,
}

#[derive(Default)]
struct State {
    items: VecDeque<Outgoing>,
    n_bytes: usize,
    closed: Option<Closed>,
}

impl Outbox {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// For live events: never waits. A client with no room left is cut off, whatever is put in after that is refused.
    pub fn push(&self, item: Outgoing) -> Result<(), Closed> {
        let result = {
            let mut state = self.state.lock();
            match state.closed {
                Some(closed) => return Err(closed),
                None if state.has_room() => {
                    state.put(item);
                    Ok(())
                }
                None => {
                    state.close(Closed::Overflow);
                    Err(Closed::Overflow)
                }
            }
        };
        self.reader.wake();
        if result.is_err() {
            self.room.notify_waiters();
        }
        result
    }

    /// For a replay: waits until the queue is half empty, so that a long one is sent as fast as the client reads.
    pub async fn push_when_room(&self, item: Outgoing) -> Result<(), Closed> {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            {
                let mut state = self.state.lock();
                if let Some(closed) = state.closed {
                    return Err(closed);
                }
                if state.is_half_empty() {
                    state.put(item);
                    drop(state);
                    self.reader.wake();
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// Takes everything that waits into `batch`, in order. Ready when there was something, or with an error when the
    /// outbox is closed and empty. For the one task that writes.
    pub fn poll_take(&self, cx: &mut Context<'_>, batch: &mut VecDeque<Outgoing>) -> Poll<Result<(), Closed>> {
        self.reader.register(cx.waker());
        let mut state = self.state.lock();
        if let Some(closed) = state.closed {
            return Poll::Ready(Err(closed));
        }
        if state.items.is_empty() {
            return Poll::Pending;
        }
        std::mem::swap(&mut state.items, batch);
        state.n_bytes = 0;
        drop(state);
        self.room.notify_waiters();
        Poll::Ready(Ok(()))
    }

    /// [`Outbox::poll_take`] as a future. `batch` must be empty; its capacity is reused.
    pub async fn take(&self, batch: &mut VecDeque<Outgoing>) -> Result<(), Closed> {
        debug_assert!(batch.is_empty(), "what was taken before has been written");
        std::future::poll_fn(|cx| self.poll_take(cx, batch)).await
    }

    /// Cuts the client off: it reconnects and resumes from its cursor.
    pub fn overflow(&self) {
        self.state.lock().close(Closed::Overflow);
        self.reader.wake();
        self.room.notify_waiters();
    }

    /// The client is gone: nothing more is taken in.
    pub fn close(&self) {
        self.state.lock().close(Closed::Gone);
        self.reader.wake();
        self.room.notify_waiters();
    }

    /// Whether there is less than half of the room left: what may be dropped is not put in any more.
    pub fn is_half_full(&self) -> bool {
        let state = self.state.lock();
        state.closed.is_none() && !state.is_half_empty()
    }

    pub fn is_closed(&self) -> bool {
        self.state.lock().closed.is_some()
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.items.len() < MAX_ITEMS && self.n_bytes < MAX_BYTES
    }

    fn is_half_empty(&self) -> bool {
        self.items.len() < MAX_ITEMS / 2 && self.n_bytes < MAX_BYTES / 2
    }

    fn put(&mut self, item: Outgoing) {
        self.n_bytes += item.len();
        self.items.push_back(item);
    }

    fn close(&mut self, why: Closed) {
        self.closed.get_or_insert(why);
        self.items = VecDeque::new();
        self.n_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(n: usize) -> Outgoing {
        Outgoing::Next { id: "1".into(), payload: Bytes::from(n.to_string()) }
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_in_order() {
        let outbox = Outbox::new();
        for n in 0..10 {
            outbox.push(next(n)).expect("has room");
        }
        let mut batch = VecDeque::new();
        outbox.take(&mut batch).await.expect("open");
        assert_eq!(batch, (0..10).map(next).collect::<VecDeque<_>>());
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off() {
        let outbox = Outbox::new();
        for n in 0..MAX_ITEMS {
            outbox.push(next(n)).expect("has room");
        }
        assert_eq!(outbox.push(next(0)), Err(Closed::Overflow));
        assert_eq!(outbox.push(next(0)), Err(Closed::Overflow));
        assert_eq!(outbox.take(&mut VecDeque::new()).await, Err(Closed::Overflow));
    }

    #[tokio::test]
    async fn bytes_count_too() {
        let outbox = Outbox::new();
        let big = |id: &str| Outgoing::Next { id: id.into(), payload: Bytes::from(vec![0; MAX_BYTES]) };
        outbox.push(big("1")).expect("has room");
        assert_eq!(outbox.push(big("2")), Err(Closed::Overflow));
    }

    #[tokio::test]
    async fn a_replay_waits_for_the_reader() {
        let outbox = Outbox::new();
        let writer = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move {
                for n in 0..MAX_ITEMS * 10 {
                    outbox.push_when_room(next(n)).await.expect("open");
                }
            }
        });
        let (mut batch, mut n_taken) = (VecDeque::new(), 0);
        while n_taken < MAX_ITEMS * 10 {
            outbox.take(&mut batch).await.expect("open");
            for item in batch.drain(..) {
                assert_eq!(item, next(n_taken));
                n_taken += 1;
            }
        }
        writer.await.expect("the writer ends");
    }

    #[tokio::test]
    async fn closing_frees_who_waits() {
        let outbox = Outbox::new();
        for n in 0..MAX_ITEMS / 2 {
            outbox.push(next(n)).expect("has room");
        }
        let waiting = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { outbox.push_when_room(next(0)).await }
        });
        tokio::task::yield_now().await;
        outbox.close();
        assert_eq!(waiting.await.expect("ends"), Err(Closed::Gone));
    }
}
