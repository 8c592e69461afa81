//! Counting sends ahead of Redis, so that a send does not wait for it.
//!
//! A sender has credit: so many sends may be taken that Redis has not been told of. A task tells it, all that has
//! gathered since the last time at once, and Redis answers what is left for this sender over all processes. Where that is
//! little, the sender's next sends are counted in Redis before they are taken, until enough has come back; so are sends
//! beyond the credit. Hence the limit of all processes together is exceeded by at most the credit of each.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{Action, Budget, Rule, Rules, shared::Shared};

/// Which part of a limit a process may take before it has told Redis.
const CREDIT: u32 = 10;
/// Between two times of telling: what gathers is told at once.
const PAUSE: Duration = Duration::from_millis(20);
/// How many senders are told of at once.
const WIDTH: usize = 64;
/// Most senders that are remembered; of more, each send is counted in Redis.
const MAX_SENDERS: usize = 100_000;

pub(super) struct Ahead {
    book: Arc<Book>,
}

struct Book {
    credit: i64,
    rule: Option<Rule>,
    senders: Mutex<HashMap<String, Sender>>,
    something: Notify,
    is_over: AtomicBool,
}

#[derive(Default)]
struct Sender {
    /// Taken, and Redis does not know; below zero when more were taken back.
    untold: i64,
    /// Of those, how many Redis is being told.
    on_the_way: i64,
    /// Until then this sender is near the limit.
    near_until: Option<Instant>,
}

impl Ahead {
    pub fn start(shared: Arc<Shared>, rules: &Rules) -> Self {
        let rule = rules.of(Action::SendMessage);
        let book = Arc::new(Book {
            credit: rule.map_or(0, |rule| i64::from((rule.limit / CREDIT).max(1))),
            rule,
            senders: Mutex::default(),
            something: Notify::new(),
            is_over: AtomicBool::new(false),
        });
        tokio::spawn(tell(Arc::clone(&book), shared));
        Self { book }
    }

    /// Takes a send on credit. False: it must be counted in Redis.
    pub fn takes(&self, subject: &str) -> bool {
        let mut senders = self.book.senders.lock();
        let is_full = senders.len() >= MAX_SENDERS;
        let sender = match senders.get_mut(subject) {
            Some(sender) => sender,
            None if is_full => return false,
            None => senders.entry(subject.to_owned()).or_default(),
        };
        if sender.near_until.is_some_and(|until| Instant::now() < until) || sender.untold >= self.book.credit {
            return false;
        }
        sender.untold += 1;
        drop(senders);
        self.book.something.notify_one();
        true
    }

    /// Takes one back.
    pub fn refund(&self, subject: &str) {
        let mut senders = self.book.senders.lock();
        if senders.len() >= MAX_SENDERS && !senders.contains_key(subject) {
            return;
        }
        senders.entry(subject.to_owned()).or_default().untold -= 1;
        drop(senders);
        self.book.something.notify_one();
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.book.is_over.store(true, Ordering::Relaxed);
        self.book.something.notify_one();
    }
}

impl Book {
    /// What Redis is to be told now.
    fn take(&self) -> Vec<(String, i64)> {
        let now = Instant::now();
        let mut senders = self.senders.lock();
        senders.retain(|_, sender| sender.untold != 0 || sender.near_until.is_some_and(|until| now < until));
        senders
            .iter_mut()
            .filter(|(_, sender)| sender.untold != 0)
            .map(|(subject, sender)| {
                sender.on_the_way = sender.untold;
                (subject.clone(), sender.untold)
            })
            .collect()
    }

    /// Redis was told, or does not answer: then the process counts by itself, and nothing is owed.
    fn told(&self, subject: &str, left: Option<Budget>) {
        let mut senders = self.senders.lock();
        let Some(sender) = senders.get_mut(subject) else { return };
        sender.untold -= std::mem::take(&mut sender.on_the_way);
        sender.near_until = left.zip(self.rule).and_then(|(left, rule)| {
            // Every process may be taking its credit at this moment; a third is room for a few of them.
            let enough = rule.limit.div_ceil(3);
            let missing = enough.saturating_sub(left.remaining);
            (missing > 0).then(|| Instant::now() + rule.interval() * missing)
        });
    }
}

async fn tell(book: Arc<Book>, shared: Arc<Shared>) {
    loop {
        book.something.notified().await;
        loop {
            let debts = book.take();
            if debts.is_empty() {
                break;
            }
            stream::iter(debts)
                .for_each_concurrent(WIDTH, |(subject, amount)| {
                    let (book, shared) = (&book, &shared);
                    async move {
                        let left = shared.debit(Action::SendMessage, &subject, amount).await;
                        book.told(&subject, left);
                    }
                })
                .await;
            tokio::time::sleep(PAUSE).await;
        }
        if book.is_over.load(Ordering::Relaxed) {
            return;
        }
    }
}
