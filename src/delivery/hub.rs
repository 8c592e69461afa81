//! Every topic that somebody here listens to.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Instant,
};

use entity::{ConversationId, Timestamp, UserId};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    feed::Root,
    graphql::Event as WireEvent,
    topic::{self, Beginning, Subscriber, Topic},
};
use crate::{
    auth::Revocations,
    clock::Clock,
    conversations::store::wants_receipts,
    db::Db,
    error::Error,
    events::{
        Delivery, Event, Topic as Key,
        bus::{Bus, Sink},
        log,
    },
    presence::Presence,
};

/// Subscriptions that ask the database at once, each for its gate or its place in the log. When thousands come back
/// together they wait for their turn here, where waiting has no limit, and leave connections to those who send.
const N_LOOKING: usize = 6;
/// Events that are rendered for one viewer at once: fewer than there are connections to the database, see there.
const N_RENDERING: usize = 6;

/// The process's listeners, by topic.
pub struct Hub {
    db: Db,
    clock: Clock,
    bus: Arc<dyn Bus>,
    revocations: Arc<Revocations>,
    pub(super) presence: Arc<Presence>,
    epoch: Arc<str>,
    /// Everything in the log below this has been given to the topics.
    watermark: AtomicI64,
    /// Everything in the log below this has been looked at by the reconciler. Unlike the watermark it waits for nobody.
    reconciled: AtomicI64,
    /// Watermarks that listeners who still catch up must not be told to be past.
    pins: Mutex<BTreeMap<u64, i64>>,
    next_pin: AtomicU64,
    started: Instant,
    topics: Mutex<HashMap<Key, Arc<Topic>>>,
    /// A turn to ask the database on behalf of a subscription that begins. Held for short looks only, never while
    /// a client is written to.
    pub(super) turns: Semaphore,
    /// A turn to render an event for one viewer.
    pub(super) rendering: Semaphore,
    /// Who here may be told read positions, by person, so that a switch reaches them.
    receipts: Mutex<HashMap<UserId, Vec<Weak<Subscriber>>>>,
    /// Who listens to `events`, for heartbeats.
    pub(super) everything: Mutex<Vec<(Weak<Subscriber>, Arc<super::operation::Operation>)>>,
    me: Weak<Hub>,
}

impl Hub {
    /// Makes the hub and lets the bus bring it what arrives. Nothing is delivered before the bus has joined a topic.
    pub async fn start(
        db: Db,
        clock: Clock,
        bus: Arc<dyn Bus>,
        revocations: Arc<Revocations>,
        presence: Arc<Presence>,
        epoch: Arc<str>,
    ) -> Result<Arc<Self>, Error> {
        let watermark = log::watermark(&db).await?;
        let hub = Arc::new_cyclic(|me| Self {
            db,
            clock,
            bus,
            revocations,
            presence,
            epoch,
            watermark: watermark.into(),
            reconciled: watermark.into(),
            pins: Mutex::default(),
            next_pin: AtomicU64::new(0),
            started: Instant::now(),
            topics: Mutex::default(),
            turns: Semaphore::new(N_LOOKING),
            rendering: Semaphore::new(N_RENDERING),
            receipts: Mutex::default(),
            everything: Mutex::default(),
            me: Weak::clone(me),
        });
        let sink: Arc<dyn Sink> = Arc::clone(&hub) as Arc<dyn Sink>;
        hub.bus.deliver_to(Arc::downgrade(&sink));
        hub.bus.join(vec![Key::Sessions]).await;
        Ok(hub)
    }

    pub fn db(&self) -> &Db {
        &self.db
    }

    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    /// Seconds since the start, for heartbeats.
    pub fn second(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    pub fn watermark(&self) -> i64 {
        self.watermark.load(Ordering::Acquire)
    }

    /// From where the reconciler looks next.
    pub(super) fn reconciled(&self) -> i64 {
        self.reconciled.load(Ordering::Acquire)
    }

    pub(super) fn set_reconciled(&self, watermark: i64) {
        self.reconciled.fetch_max(watermark, Ordering::AcqRel);
    }

    /// Raises the watermark, as far as the pins let it.
    pub(super) fn raise_watermark(&self, watermark: i64) {
        let pins = self.pins.lock();
        let highest = pins.values().min().map_or(watermark, |pin| watermark.min(*pin));
        self.watermark.fetch_max(highest, Ordering::AcqRel);
    }

    /// Holds the watermark where it is while a listener catches up: what reaches it live meanwhile must not carry a
    /// cursor past what it has still to read.
    pub(super) fn pin(self: &Arc<Self>) -> Pin {
        let mut pins = self.pins.lock();
        let pin = self.next_pin.fetch_add(1, Ordering::Relaxed);
        // Not the watermark, which other pins may hold: one after the other they would hold it for ever. What is below
        // this is in the log, so whoever holds the pin reads it.
        let watermark = self.reconciled();
        pins.insert(pin, watermark);
        Pin { hub: Arc::clone(self), pin, watermark }
    }

    /// An event for `events`, with the cursor from which a client that has it resumes.
    pub fn envelope(&self, occurred_at: Timestamp, event: WireEvent) -> Root {
        topic::envelope(&self.epoch, self.watermark(), occurred_at, event)
    }

    /// The topics of these keys, ready: what happens from now on will be delivered to who sits in them.
    pub async fn topics(&self, keys: &[Key]) -> Result<Vec<Arc<Topic>>, Error> {
        let topics: Vec<_> = {
            let mut all = self.topics.lock();
            let topic =
                |key: &Key| Arc::clone(all.entry(*key).or_insert_with(|| Topic::new(*key, Weak::clone(&self.me))));
            keys.iter().map(topic).collect()
        };
        let new: Vec<_> = topics.iter().filter(|topic| !topic.is_ready()).cloned().collect();
        if !new.is_empty() {
            // Register, then look.
            self.bus.join(new.iter().map(|topic| topic.key()).collect()).await;
            let conversations: Vec<_> = new.iter().filter_map(|topic| topic::conversation_of(topic.key())).collect();
            let people: Vec<_> = new.iter().filter_map(|topic| topic::person_of(topic.key())).collect();
            let (newest_log_id, mut personal_ids, positions) = {
                // Never closed.
                let _turn = self.turns.acquire().await;
                (
                    log::newest_id(&self.db).await?,
                    log::personal_ids(&self.db, &people, self.reconciled()).await?,
                    log::positions(&self.db, &conversations).await?,
                )
            };
            for topic in new {
                topic.set_ready(Beginning {
                    position: topic::conversation_of(topic.key()).map(|id| positions.get(&id).copied().unwrap_or(0)),
                    personal_ids: topic::person_of(topic.key())
                        .and_then(|id| personal_ids.remove(&id))
                        .unwrap_or_default(),
                    newest_log_id,
                });
            }
        }
        Ok(topics)
    }

    /// Learns whether a subscriber is told read positions, and keeps up with its person's switch.
    pub(super) async fn learn_receipts(&self, subscriber: &Arc<Subscriber>) -> Result<(), Error> {
        let user_id = subscriber.viewer.user_id();
        // Register, then look.
        self.receipts.lock().entry(user_id).or_default().push(Arc::downgrade(subscriber));
        // Never closed.
        let _turn = self.turns.acquire().await;
        subscriber.found_receipts(wants_receipts(self.db.read(), user_id).await?);
        Ok(())
    }

    fn switch_receipts(&self, user_id: UserId, on: bool) {
        let receipts = self.receipts.lock();
        let subscribers = receipts.get(&user_id).into_iter().flatten().filter_map(Weak::upgrade);
        subscribers.for_each(|subscriber| subscriber.switch_receipts(on));
    }

    fn forget_receipts(&self, subscriber: &Arc<Subscriber>) {
        let user_id = subscriber.viewer.user_id();
        let mut receipts = self.receipts.lock();
        if let Some(subscribers) = receipts.get_mut(&user_id) {
            subscribers.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(subscriber)));
            if subscribers.is_empty() {
                receipts.remove(&user_id);
            }
        }
    }

    /// Gives up every seat of a subscriber, and the topics where nobody sits any more.
    pub fn leave(&self, subscriber: &Arc<Subscriber>) {
        self.forget_receipts(subscriber);
        for topic in subscriber.leave() {
            self.close_if_empty(&topic);
        }
        self.presence.watchers.leave(subscriber);
    }

    /// Forgets a topic in which nobody sits.
    pub fn close_if_empty(&self, topic: &Arc<Topic>) {
        let mut topics = self.topics.lock();
        let is_current = topics.get(&topic.key()).is_some_and(|current| Arc::ptr_eq(current, topic));
        // Whoever has just looked it up, to sit down in it, holds it: one reference is the map's, one is ours.
        if is_current && topic.is_empty() && Arc::strong_count(topic) <= 2 {
            topics.remove(&topic.key());
            self.bus.leave(topic.key());
        }
    }

    /// Forgets the topics where nobody sits although nobody closed them, and lets idle executions rest.
    pub(super) fn sweep(&self) {
        self.receipts.lock().retain(|_, subscribers| {
            subscribers.retain(|subscriber| subscriber.strong_count() > 0);
            !subscribers.is_empty()
        });
        let topics: Vec<_> = self.topics.lock().values().cloned().collect();
        for topic in topics {
            topic.rest();
            self.close_if_empty(&topic);
        }
        self.presence.watchers.rest();
    }

    pub(super) fn all_topics(&self) -> Vec<Arc<Topic>> {
        self.topics.lock().values().filter(|topic| topic.is_ready()).cloned().collect()
    }

    pub(super) fn topic(&self, key: Key) -> Option<Arc<Topic>> {
        self.topics.lock().get(&key).cloned()
    }

    pub(super) fn conversation_topics(&self) -> Vec<(ConversationId, Arc<Topic>)> {
        let topics = self.all_topics().into_iter();
        topics.filter_map(|topic| Some((topic::conversation_of(topic.key())?, topic))).collect()
    }
}

/// A held watermark; let go when dropped.
pub(super) struct Pin {
    hub: Arc<Hub>,
    pin: u64,
    pub(super) watermark: i64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.hub.pins.lock().remove(&self.pin);
        self.hub.raise_watermark(self.hub.reconciled());
    }
}

impl Sink for Hub {
    fn receive(&self, delivery: Arc<Delivery>) {
        if let Event::SessionRevoked { session_id, forget_at } = delivery.event {
            self.revocations.revoke(session_id, forget_at);
        }
        if let Event::ReceiptsSwitched { user_id, on } = delivery.event {
            self.switch_receipts(user_id, on);
        }
        if let Some(topic) = self.topic(delivery.topic) {
            topic.receive(delivery);
        }
    }
}
