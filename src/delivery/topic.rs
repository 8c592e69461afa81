//! One conversation or one person, and who here listens to it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use entity::{ConversationId, Timestamp, UserId, conversation};
use futures_util::StreamExt;
use parking_lot::Mutex;
use sea_orm::{EntityTrait, QuerySelect};
use tokio::{sync::OnceCell, time::Instant};

use super::{
    cursor::EventCursor,
    feed::Root,
    graphql::{
        ConversationChanged, ConversationRemoved, Event as WireEvent, EventEnvelope, FriendshipChanged, InviteChanged,
        MemberChanged, MemberRemoved,
    },
    hub::Hub,
    operation::{Operation, Renderer},
    outbox::{Closed, Outbox, Outgoing},
    subscribe,
    typists::{Over, Typists},
};
use crate::{
    auth::Viewer,
    conversations::graphql::{MemberEdge, ReadReceipt, int},
    events::{Delivery, Event, MessageChange, Topic as Key, log},
    graphql::ids::GlobalId,
    messages::graphql::{Message, MessageEvent},
    server::metrics::{DELIVERIES, GAPS_REPAIRED},
    typing::{LIFE, graphql::TypingEvent},
    users::graphql::User,
};

/// Events that may wait in a topic; past that they are read from the log.
const MAX_QUEUE: usize = 1024;
/// Personal events that are remembered, to drop those that come again.
const N_REMEMBERED: usize = 256;
/// Executions under way at once for one event, when it has to be rendered for several groups.
const N_RENDERING: usize = 16;
/// How long changes of a conversation's state (its last message, its unread count) are gathered before it is told.
const GATHERING: Duration = Duration::from_millis(250);
/// Least time between two looks at whose typing is over.
const ENDING: Duration = Duration::from_millis(20);
/// Most time between two looks while somebody types: less than what is left of any word when it is told.
const ENDING_AT_MOST: Duration = Duration::from_secs(1);
/// How long the end of somebody's membership may be on its way to the conversation's topic, before it is looked for.
const ON_THE_WAY: Duration = Duration::from_millis(50);
/// How long it is waited for a listener who still reads what came before it.
const CATCHING_UP: Duration = Duration::from_secs(2);
/// Before the second look; twice as long before each further one, so that the many of a large group cost little.
const LOOKING: Duration = Duration::from_millis(5);
const LOOKING_AT_MOST: Duration = Duration::from_millis(80);
/// Events without a number that are held for one seat; past that its client is cut off and resumes.
const MAX_HELD: usize = 256;

/// A listener: one subscription of one client.
pub struct Subscriber {
    /// The operation's id as the transport wants it.
    pub id: Arc<str>,
    pub outbox: Arc<Outbox>,
    pub viewer: Viewer,
    /// Where it sits, so that it can leave; none any more once it has left.
    seats: Mutex<Option<Vec<Arc<Topic>>>>,
    /// When it was last told something, in seconds of the hub's clock.
    last_told: AtomicU64,
    /// Whether it is told read positions: see [`Subscriber::switch_receipts`].
    receipts: AtomicU8,
    /// Held while one on `events` takes its seats in conversations: one after the other, so that it never sits twice
    /// and never misses that it has to sit again.
    pub(super) joining: tokio::sync::Mutex<()>,
}

/// Not known yet; on; off.
const RECEIPTS_UNKNOWN: u8 = 0;
const RECEIPTS_ON: u8 = 1;
const RECEIPTS_OFF: u8 = 2;

impl Subscriber {
    pub fn new(id: Arc<str>, outbox: Arc<Outbox>, viewer: Viewer) -> Arc<Self> {
        Arc::new(Self {
            id,
            outbox,
            viewer,
            seats: Mutex::new(Some(Vec::new())),
            last_told: AtomicU64::new(0),
            receipts: AtomicU8::new(RECEIPTS_UNKNOWN),
            joining: tokio::sync::Mutex::default(),
        })
    }

    /// Says how its person has switched read receipts just now.
    pub(super) fn switch_receipts(&self, on: bool) {
        self.receipts.store(if on { RECEIPTS_ON } else { RECEIPTS_OFF }, Ordering::Release);
    }

    /// Says how the switch stood when it was looked at; what happened since is known better.
    pub(super) fn found_receipts(&self, on: bool) {
        let found = if on { RECEIPTS_ON } else { RECEIPTS_OFF };
        let _ = self.receipts.compare_exchange(RECEIPTS_UNKNOWN, found, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether it is told an event. Read positions are only for those who want read receipts; their own removal is told
    /// to nobody in this way, and not before its time.
    pub(super) fn may_hear(&self, event: &Event) -> bool {
        match event {
            Event::ReadMoved { .. } => self.receipts.load(Ordering::Acquire) == RECEIPTS_ON,
            Event::MemberRemoved { user_id, early: true, .. } => *user_id != self.viewer.user_id(),
            _ => true,
        }
    }

    fn offer(&self, payload: &Bytes) {
        if payload.is_empty() {
            return;
        }
        // A client that is cut off or gone will leave by itself.
        let _: Result<(), Closed> =
            self.outbox.push(Outgoing::Next { id: Arc::clone(&self.id), payload: payload.clone() });
    }

    /// Tells something outside of the topics.
    pub fn tell(&self, payload: &Bytes) {
        self.offer(payload);
    }

    /// Ends the subscription with errors. A client that is gone is not told.
    pub(super) fn end(self: &Arc<Self>, hub: &Hub, errors: &Bytes) {
        hub.leave(self);
        let _: Result<(), Closed> =
            self.outbox.push(Outgoing::Error { id: Arc::clone(&self.id), errors: errors.clone() });
    }

    pub fn told_at(&self, second: u64) {
        self.last_told.store(second, Ordering::Relaxed);
    }

    pub fn last_told(&self) -> u64 {
        self.last_told.load(Ordering::Relaxed)
    }

    /// Whether it has given up its seats.
    pub fn has_left(&self) -> bool {
        self.seats.lock().is_none()
    }

    /// Gives up every seat; takes none any more.
    pub fn leave(self: &Arc<Self>) -> Vec<Arc<Topic>> {
        let topics = self.seats.lock().take().unwrap_or_default();
        for topic in &topics {
            topic.dismiss(self);
        }
        topics
    }
}

/// What a group of listeners hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ear {
    /// `messageEvents`.
    Messages,
    /// `readReceipts`.
    Reads,
    /// `typing`.
    Typing,
    /// `presence`: nothing of a topic.
    Presence,
    /// `events`: all of it.
    Everything,
    /// `events`: messages and read receipts, rendered once for everybody.
    EverythingShared,
    /// `events`: what the shared execution leaves.
    EverythingElse,
}

impl Ear {
    pub fn is_everything(self) -> bool {
        matches!(self, Self::Everything | Self::EverythingShared | Self::EverythingElse)
    }

    fn hears(self, event: &Event) -> bool {
        let is_shared_kind = matches!(
            event,
            Event::Message { .. }
                | Event::ReadMoved { .. }
                | Event::Typing { .. }
                | Event::MemberChanged { .. }
                | Event::MemberRemoved { .. }
        );
        match self {
            Self::Messages => matches!(event, Event::Message { .. }),
            Self::Reads => matches!(event, Event::ReadMoved { .. }),
            Self::Typing => matches!(event, Event::Typing { .. }),
            Self::Presence => false,
            Self::Everything => true,
            Self::EverythingShared => is_shared_kind,
            Self::EverythingElse => !is_shared_kind,
        }
    }
}

/// Who may share one execution: the same document and variables, and the same viewer where fields depend on them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupKey {
    pub ear: Ear,
    pub document: u64,
    pub operation_name: Option<String>,
    /// Those used below the root field, as JSON.
    pub variables: String,
    pub viewer: Option<Viewer>,
}

/// Listeners who share an execution.
struct Group {
    ear: Ear,
    viewer: Option<Viewer>,
    renderer: tokio::sync::Mutex<Renderer>,
    seats: Mutex<Vec<Seat>>,
    /// Whether a change of the conversation's state is worth telling.
    wants_state: bool,
    /// Whether typing is.
    wants_typing: bool,
    /// Whether telling it is already under way.
    gathering: std::sync::atomic::AtomicBool,
}

struct Seat {
    subscriber: Arc<Subscriber>,
    hearing: Hearing,
}

/// What a seat lets through.
enum Hearing {
    /// Its subscriber still reads the log. Numbered events are in there; the others are held until it has caught up.
    Muted(Vec<Bytes>),
    /// Numbered events after this one, and all others.
    After(i64),
}

/// What there was before a topic: not for its listeners, unless they read it from the log.
pub struct Beginning {
    /// Conversations: the newest event's number.
    pub position: Option<i64>,
    /// People: the log ids of the events that the reconciler may still bring.
    pub personal_ids: Vec<i64>,
    /// The log's newest id.
    pub newest_log_id: i64,
}

/// Why a subscriber sits down, and how.
pub struct Listening {
    pub key: Arc<GroupKey>,
    pub operation: Arc<Operation>,
    pub wants_state: bool,
    pub wants_typing: bool,
}

pub struct Topic {
    key: Key,
    hub: Weak<Hub>,
    /// Set when the bus brings the topic and its position is known.
    ready: OnceCell<()>,
    state: Mutex<State>,
}

/// What a topic's worker does next.
enum Next {
    Deliver(Arc<Delivery>),
    /// From this position on.
    ReadLog(i64),
    Done,
}

#[derive(Default)]
struct State {
    /// Conversations: the worker has taken up everything up to here.
    position: Option<i64>,
    /// Conversations: everything up to here is in the outboxes.
    delivered: Option<i64>,
    /// Events that ever came into the queue, and that left it and are in the outboxes.
    n_received: u64,
    n_done: u64,
    queue: VecDeque<Arc<Delivery>>,
    /// Something was missed: read the log before the queue.
    behind: bool,
    /// Something without a number was turned away.
    lost: bool,
    working: bool,
    groups: HashMap<Arc<GroupKey>, Arc<Group>>,
    /// Log ids of personal events already told.
    remembered: VecDeque<i64>,
    /// Read positions already told.
    reads: HashMap<UserId, i64>,
    /// Read positions that moved up to this id of the log are from before.
    read_floor: i64,
    /// Who types, once somebody did.
    typists: Option<Box<Typists>>,
    /// Whether a task waits for the end of somebody's typing.
    ending: bool,
}

impl Topic {
    pub fn new(key: Key, hub: Weak<Hub>) -> Arc<Self> {
        Arc::new(Self { key, hub, ready: OnceCell::new(), state: Mutex::default() })
    }

    pub fn key(&self) -> Key {
        self.key
    }

    pub fn is_ready(&self) -> bool {
        self.ready.initialized()
    }

    /// The bus brings the topic since before `beginning` was read: everything after it will be delivered.
    pub fn set_ready(self: &Arc<Self>, beginning: Beginning) {
        {
            let mut state = self.state.lock();
            if self.is_ready() {
                return;
            }
            state.position = beginning.position;
            state.delivered = beginning.position;
            state.remembered.extend(beginning.personal_ids);
            state.read_floor = beginning.newest_log_id;
            // Nobody else sets it: they would hold the lock.
            let _ = self.ready.set(());
        }
        self.work();
    }

    pub fn position(&self) -> Option<i64> {
        self.state.lock().position
    }

    /// Everything up to here is in the outboxes.
    pub fn delivered(&self) -> Option<i64> {
        self.state.lock().delivered
    }

    /// A ticket for what has been received so far: see [`Topic::has_done`].
    pub fn ticket(&self) -> u64 {
        self.state.lock().n_received
    }

    /// Whether all that a ticket stands for is in the outboxes.
    pub fn has_done(&self, ticket: u64) -> bool {
        self.state.lock().n_done >= ticket
    }

    /// Whether something without a number was turned away since this was asked last.
    pub fn take_lost(&self) -> bool {
        std::mem::take(&mut self.state.lock().lost)
    }

    pub fn is_empty(&self) -> bool {
        self.state.lock().groups.is_empty()
    }

    /// Sits down to listen, muted for numbered events. False when the subscriber has left meanwhile.
    pub fn seat(self: &Arc<Self>, subscriber: &Arc<Subscriber>, listening: &Listening) -> bool {
        let mut seats = subscriber.seats.lock();
        let Some(seats) = seats.as_mut() else { return false };
        // Under the topic's lock, so that nobody who leaves takes the group away meanwhile.
        let mut state = self.state.lock();
        let group = state.groups.entry(Arc::clone(&listening.key)).or_insert_with(|| {
            Arc::new(Group {
                ear: listening.key.ear,
                viewer: listening.key.viewer,
                renderer: tokio::sync::Mutex::new(Renderer::new(Arc::clone(&listening.operation))),
                seats: Mutex::default(),
                wants_state: listening.wants_state,
                wants_typing: listening.wants_typing,
                gathering: false.into(),
            })
        });
        group.seats.lock().push(Seat { subscriber: Arc::clone(subscriber), hearing: Hearing::Muted(Vec::new()) });
        drop(state);
        if !seats.iter().any(|topic| Arc::ptr_eq(topic, self)) {
            seats.push(Arc::clone(self));
        }
        true
    }

    /// Lets a subscriber hear what was held for it and what comes after `last`, if the topic has not taken up anything
    /// after it yet. If it has, the subscriber has to read that from the log first.
    pub fn unmute(&self, subscriber: &Arc<Subscriber>, last: i64) -> bool {
        let state = self.state.lock();
        if state.position.is_some_and(|position| position > last) {
            return false;
        }
        Self::let_hear(&state, subscriber, last);
        true
    }

    /// As [`Topic::unmute`], for who hears only what has no number: an end after `last` is an end for them.
    pub fn unmute_reads(&self, subscriber: &Arc<Subscriber>, last: i64) {
        let state = self.state.lock();
        Self::let_hear(&state, subscriber, last);
    }

    /// The worker raises the position, under the lock of the state, before it looks at the seats.
    fn let_hear(state: &State, subscriber: &Arc<Subscriber>, last: i64) {
        for group in state.groups.values() {
            for seat in group.seats.lock().iter_mut().filter(|seat| Arc::ptr_eq(&seat.subscriber, subscriber)) {
                let was = std::mem::replace(&mut seat.hearing, Hearing::After(last));
                if let Hearing::Muted(held) = was {
                    held.iter().for_each(|payload| subscriber.offer(payload));
                }
            }
        }
    }

    /// Whether a subscriber sits here.
    pub fn has(&self, subscriber: &Arc<Subscriber>) -> bool {
        let state = self.state.lock();
        let sits = |group: &Arc<Group>| group.seats.lock().iter().any(|seat| Arc::ptr_eq(&seat.subscriber, subscriber));
        state.groups.values().any(sits)
    }

    /// Whether a subscriber sits here and still reads the log.
    fn is_muted(&self, subscriber: &Arc<Subscriber>) -> bool {
        let muted =
            |seat: &Seat| Arc::ptr_eq(&seat.subscriber, subscriber) && matches!(seat.hearing, Hearing::Muted(_));
        self.state.lock().groups.values().any(|group| group.seats.lock().iter().any(muted))
    }

    pub(super) fn dismiss(&self, subscriber: &Arc<Subscriber>) {
        self.state.lock().groups.retain(|_, group| {
            let mut seats = group.seats.lock();
            seats.retain(|seat| !Arc::ptr_eq(&seat.subscriber, subscriber));
            !seats.is_empty()
        });
    }

    /// Lets idle executions rest.
    pub fn rest(&self) {
        let groups: Vec<_> = self.state.lock().groups.values().cloned().collect();
        for group in groups {
            if let Ok(mut renderer) = group.renderer.try_lock() {
                renderer.rest();
            }
        }
    }

    /// Takes an event from the bus or the reconciler.
    pub fn receive(self: &Arc<Self>, delivery: Arc<Delivery>) {
        {
            let mut state = self.state.lock();
            state.n_received += 1;
            if state.queue.len() < MAX_QUEUE {
                state.queue.push_back(delivery);
            } else {
                // What has a number is read from the log, the others are brought again by the reconciler.
                state.n_done += 1;
                state.behind |= delivery.position.is_some();
                state.lost |= delivery.position.is_none() && delivery.log_id.is_some();
            }
        }
        self.work();
    }

    /// Says that the log has more than was delivered.
    pub fn fell_behind(self: &Arc<Self>) {
        self.state.lock().behind = true;
        self.work();
    }

    /// Starts the one worker, which ends when nothing is left.
    fn work(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            let nothing = state.queue.is_empty() && !state.behind;
            if state.working || nothing || !self.is_ready() {
                return;
            }
            state.working = true;
        }
        tokio::spawn(Arc::clone(self).run());
    }

    async fn run(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                match (state.behind, state.position) {
                    (true, Some(position)) => Next::ReadLog(position),
                    _ => {
                        state.behind = false;
                        state.take_next()
                    }
                }
            };
            match next {
                Next::Done => return,
                Next::Deliver(delivery) => {
                    self.deliver(&delivery).await;
                    let mut state = self.state.lock();
                    state.n_done += 1;
                    state.delivered = state.delivered.max(delivery.position);
                }
                Next::ReadLog(position) => self.read_log(position).await,
            }
        }
    }

    /// Delivers what the log has after a position. Tried until the database answers: nothing may be skipped.
    async fn read_log(self: &Arc<Self>, position: i64) {
        let Key::Conversation(conversation_id) = self.key else {
            self.state.lock().behind = false;
            return;
        };
        let Some(hub) = self.hub.upgrade() else {
            self.state.lock().behind = false;
            return;
        };
        match log::conversation_after(hub.db(), conversation_id, position, log::BATCH).await {
            Ok(missed) => {
                metrics::counter!(GAPS_REPAIRED).increment(missed.len() as u64);
                if (missed.len() as u64) < log::BATCH {
                    self.state.lock().behind = false;
                }
                if missed.is_empty() {
                    // Nothing where something must be: not as fast as the database can say so.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                for delivery in missed {
                    let is_next = {
                        let mut state = self.state.lock();
                        let is_next = delivery.position > state.position;
                        if is_next {
                            state.position = delivery.position;
                        }
                        is_next
                    };
                    if is_next {
                        let position = delivery.position;
                        self.deliver(&Arc::new(delivery)).await;
                        self.state.lock().delivered = position;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(cause = error.cause(), "the event log cannot be read; trying again");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    /// Renders an event once for each group that hears it and puts it into the outboxes.
    async fn deliver(self: &Arc<Self>, delivery: &Arc<Delivery>) {
        let Some(hub) = self.hub.upgrade() else { return };
        if let Event::ConversationRemoved { conversation_id } = delivery.event {
            self.hear_out(&hub, conversation_id).await;
        }
        self.cut(&hub, delivery);
        if let Event::ConversationChanged { conversation_id } = delivery.event {
            self.end_typing_if_closed(&hub, conversation_id, delivery.occurred_at).await;
        }
        let groups: Vec<_> = {
            let state = self.state.lock();
            state.groups.values().filter(|group| group.hears(&delivery.event)).cloned().collect()
        };
        let hub = &hub;
        if let [group] = &groups[..] {
            group.tell(hub, delivery).await;
        } else {
            futures_util::stream::iter(&groups)
                .for_each_concurrent(N_RENDERING, |group| group.tell(hub, delivery))
                .await;
        }
        self.tell_state(hub, &delivery.event);
        self.mind_typists(delivery);
        if let (Key::User(viewer_id), Event::FriendshipChanged { other_id }) = (self.key, &delivery.event) {
            hub.presence.watchers.look_at(viewer_id, *other_id);
        }
        if let Event::ConversationJoined { conversation_id, after } = delivery.event {
            for group in &groups {
                for subscriber in group.subscribers() {
                    subscribe::join_later(hub, subscriber, conversation_id, after);
                }
            }
        }
    }

    /// Before the listeners of a person hear that they are out of a conversation: waits until they have heard what was
    /// said in it before. Its own topic brings that, and may be late, above all without Redis; afterwards a client has
    /// no place for it.
    async fn hear_out(&self, hub: &Arc<Hub>, conversation_id: ConversationId) {
        let Some(topic) = hub.topic(Key::Conversation(conversation_id)).filter(|topic| topic.is_ready()) else {
            return;
        };
        let listeners: Vec<_> = {
            let state = self.state.lock();
            state.groups.values().flat_map(|group| group.subscribers()).collect()
        };
        let sits = || listeners.iter().any(|subscriber| topic.has(subscriber));
        let started = Instant::now();
        let mut wait = LOOKING;
        while sits() && started.elapsed() < ON_THE_WAY {
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        // Not on its way, or they are back by now: their removal is in the log, so no more than what that has now.
        let mut last = None;
        while sits() {
            if last.is_none() {
                let found = {
                    // Never closed.
                    let _turn = hub.turns.acquire().await;
                    log::positions(hub.db(), &[conversation_id]).await
                };
                match found {
                    Ok(positions) => last = Some(positions.get(&conversation_id).copied().unwrap_or(0)),
                    Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                }
                continue;
            }
            if topic.delivered() >= last {
                // Who still reads the log comes to their removal there; not for ever, for others wait here.
                let catches_up = || listeners.iter().any(|subscriber| topic.is_muted(subscriber));
                if !catches_up() || started.elapsed() > CATCHING_UP {
                    return;
                }
            } else if topic.position() < last {
                topic.fell_behind();
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LOOKING_AT_MOST);
        }
    }

    /// Ends the typing of who has sent their message or is gone, and sees to the end of that which has begun.
    fn mind_typists(self: &Arc<Self>, delivery: &Delivery) {
        let mut state = self.state.lock();
        let Some(typists) = &mut state.typists else { return };
        let over = match &delivery.event {
            Event::Message { change: MessageChange::Added, message, sender, .. } => {
                typists.spoke(sender.id, message.created_at, Instant::now())
            }
            Event::MemberRemoved { user_id, .. } => typists.of(*user_id),
            _ => None,
        };
        let begins_to_wait = typists.next_end().is_some() && !std::mem::replace(&mut state.ending, true);
        drop(state);
        if let Some(over) = over {
            self.end_typing(over);
        }
        if begins_to_wait {
            tokio::spawn(Arc::clone(self).end_typing_in_time());
        }
    }

    /// Ends all typing before it is told that a conversation closed: nobody types where nobody may send.
    async fn end_typing_if_closed(self: &Arc<Self>, hub: &Arc<Hub>, id: ConversationId, at: Timestamp) {
        if self.state.lock().typists.is_none() {
            return;
        }
        // If that cannot be looked up it ends by itself.
        let open = conversation::Entity::find_by_id(id).select_only().column(conversation::Column::Open);
        if !matches!(open.into_tuple::<bool>().one(hub.db().read()).await, Ok(Some(false))) {
            return;
        }
        let over = self.state.lock().typists.as_mut().map(|typists| typists.close(at));
        for Over { user, said_at } in over.into_iter().flatten() {
            let event = Event::Typing { conversation_id: id, user, typing: false, said_at, left: Duration::ZERO };
            let over = Arc::new(Delivery { topic: self.key, position: None, log_id: None, occurred_at: at, event });
            Box::pin(self.deliver(&over)).await;
        }
    }

    /// Ends typing when its time is over, one after the other, until nobody types.
    async fn end_typing_in_time(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = state.typists.as_ref().and_then(|typists| typists.next_end());
                if next.is_none() || state.groups.is_empty() {
                    state.ending = false;
                    return;
                }
                next
            };
            let Some(next) = next else { return };
            let now = Instant::now();
            // Somebody may begin meanwhile whose time is over before that. The ends of before have been told by then, or
            // soon will be.
            tokio::time::sleep_until(next.min(now + ENDING_AT_MOST).max(now + ENDING)).await;
            let over = self.state.lock().typists.as_ref().map(|typists| typists.expired(Instant::now()));
            over.into_iter().flatten().for_each(|over| self.end_typing(over));
        }
    }

    /// Tells the listeners here that somebody stopped to type. It happens here: no bus brings it.
    fn end_typing(self: &Arc<Self>, Over { user, said_at }: Over) {
        let (Key::Conversation(conversation_id), Some(hub)) = (self.key, self.hub.upgrade()) else { return };
        let event = Event::Typing { conversation_id, user, typing: false, said_at, left: Duration::ZERO };
        let occurred_at = hub.now();
        self.receive(Arc::new(Delivery { topic: self.key, position: None, log_id: None, occurred_at, event }));
    }

    /// Ends the delivery to those whom an event puts out of the conversation, before anybody hears of it.
    fn cut(&self, hub: &Arc<Hub>, delivery: &Delivery) {
        let (Key::Conversation(conversation_id), Some(position)) = (self.key, delivery.position) else { return };
        let mut out: Vec<(Arc<Subscriber>, Ear)> = Vec::new();
        self.state.lock().groups.retain(|_, group| {
            let mut seats = group.seats.lock();
            seats.retain(|seat| {
                let concerns = match seat.hearing {
                    Hearing::After(after) => position > after,
                    // It reads of it in the log, after what came before. Who hears nothing that has a number does not.
                    Hearing::Muted(_) => matches!(group.ear, Ear::Reads | Ear::Typing),
                };
                let is_out = concerns && subscribe::is_out(&delivery.event, seat.subscriber.viewer.user_id());
                if is_out {
                    out.push((Arc::clone(&seat.subscriber), group.ear));
                }
                !is_out
            });
            !seats.is_empty()
        });
        let mut told = HashSet::new();
        for (subscriber, ear) in out {
            // One that shares what can be shared sits twice.
            if told.insert(Arc::as_ptr(&subscriber)) {
                subscribe::put_out(hub, subscriber, ear, conversation_id, position);
            }
        }
    }

    /// A message moves the conversation's last message and unread counts, a read position the reader's own unread
    /// count: `events` tells the conversation as it is then, after gathering for a moment.
    fn tell_state(self: &Arc<Self>, hub: &Arc<Hub>, event: &Event) {
        let Key::Conversation(conversation_id) = self.key else { return };
        let groups: Vec<_> = {
            let concerns = |group: &Group| moves_state(event, group.viewer.map(|viewer| viewer.user_id()));
            let state = self.state.lock();
            state.groups.values().filter(|group| group.wants_state && concerns(group)).cloned().collect()
        };
        for group in groups {
            if group.gathering.swap(true, Ordering::AcqRel) {
                continue;
            }
            let hub = Arc::clone(hub);
            tokio::spawn(async move {
                tokio::time::sleep(GATHERING).await;
                group.gathering.store(false, Ordering::Release);
                let changed = WireEvent::Conversation(ConversationChanged(conversation_id));
                let root = hub.envelope(hub.now(), changed);
                if let Some(payload) = group.render(&hub, root).await {
                    group.fan_out(&hub, None, &payload, |_| true);
                }
            });
        }
    }
}

impl State {
    /// The next event of the queue that is still to be delivered; a gap before it sends to the log.
    fn take_next(&mut self) -> Next {
        while let Some(delivery) = self.queue.pop_front() {
            match (delivery.position, self.position) {
                (Some(position), Some(last)) if position <= last => self.n_done += 1,
                (Some(position), Some(last)) if position > last + 1 => {
                    self.queue.push_front(delivery);
                    self.behind = true;
                    return Next::ReadLog(last);
                }
                (Some(position), Some(_)) => {
                    self.position = Some(position);
                    return Next::Deliver(delivery);
                }
                (Some(_) | None, None) | (None, Some(_)) => {
                    if self.is_news(&delivery) {
                        return Next::Deliver(delivery);
                    }
                    self.n_done += 1;
                }
            }
        }
        self.working = false;
        Next::Done
    }

    /// Whether an event without a position has not been told yet.
    fn is_news(&mut self, delivery: &Delivery) -> bool {
        if let Event::ReadMoved { user, sequence, .. } = &delivery.event {
            if delivery.log_id.is_some_and(|log_id| log_id <= self.read_floor) {
                return false;
            }
            let told = self.reads.entry(user.id).or_default();
            let is_news = *sequence > *told;
            *told = (*told).max(*sequence);
            return is_news;
        }
        if let Event::Typing { user, typing, said_at, left, .. } = &delivery.event {
            let until = Instant::now() + (*left).min(LIFE);
            return self.typists.get_or_insert_default().is_news(user, *typing, *said_at, until);
        }
        let Some(log_id) = delivery.log_id else { return true };
        // State of a conversation: who sits down later finds it as it is.
        if self.position.is_some() && log_id <= self.read_floor {
            return false;
        }
        if self.remembered.contains(&log_id) {
            return false;
        }
        if self.remembered.len() >= N_REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(log_id);
        true
    }
}

impl Group {
    fn hears(&self, event: &Event) -> bool {
        self.ear.hears(event) && (self.wants_typing || !matches!(event, Event::Typing { .. }))
    }

    async fn tell(&self, hub: &Arc<Hub>, delivery: &Delivery) {
        if let Event::Typing { user, .. } = &delivery.event {
            return self.tell_typing(hub, delivery, user.id).await;
        }
        let Some(root) = root(hub, self.ear, delivery, hub.watermark()) else { return };
        // Rendered for nobody would be in vain.
        if !self.seats.lock().iter().any(|seat| seat.subscriber.may_hear(&delivery.event)) {
            return;
        }
        let Some(payload) = self.render(hub, root).await else { return };
        self.fan_out(hub, delivery.position, &payload, |subscriber| subscriber.may_hear(&delivery.event));
    }

    /// Renders what must not be lost. None when it cannot be: then everybody here is cut off, comes back, and reads it
    /// in the log.
    async fn render(&self, hub: &Hub, root: Root) -> Option<Bytes> {
        // One that is rendered for each viewer by itself may ask the database each time: in a large conversation that
        // must not take all connections from those who send. Never closed.
        let _turn = match self.viewer {
            Some(_) => Some(hub.rendering.acquire().await),
            None => None,
        };
        match self.renderer.lock().await.render_surely(root).await {
            Ok(payload) => Some(payload),
            Err(error) => {
                tracing::warn!(cause = error.cause(), "listeners are cut off");
                self.seats.lock().iter().for_each(|seat| seat.subscriber.outbox.overflow());
                None
            }
        }
    }

    fn fan_out(&self, hub: &Hub, position: Option<i64>, payload: &Bytes, is_for: impl Fn(&Subscriber) -> bool) {
        let second = hub.second();
        let mut n_told = 0;
        for seat in self.seats.lock().iter_mut().filter(|seat| is_for(&seat.subscriber)) {
            match (&mut seat.hearing, position) {
                (Hearing::After(after), Some(position)) if position <= *after => {}
                (Hearing::After(_), _) => {
                    seat.subscriber.offer(payload);
                    seat.subscriber.told_at(second);
                    n_told += 1;
                }
                (Hearing::Muted(_), Some(_)) => {}
                (Hearing::Muted(held), None) if held.len() < MAX_HELD => held.push(payload.clone()),
                (Hearing::Muted(_), None) => seat.subscriber.outbox.overflow(),
            }
        }
        metrics::counter!(DELIVERIES).increment(n_told);
    }

    /// Tells everybody but the author. Who still catches up or has little room left is passed over: it is no loss.
    async fn tell_typing(&self, hub: &Arc<Hub>, delivery: &Delivery, author_id: UserId) {
        let has_room = |seat: &Seat| {
            matches!(seat.hearing, Hearing::After(_))
                && seat.subscriber.viewer.user_id() != author_id
                && !seat.subscriber.outbox.is_half_full()
        };
        if !self.seats.lock().iter().any(has_room) {
            return;
        }
        let Some(root) = root(hub, self.ear, delivery, hub.watermark()) else { return };
        let payload = self.renderer.lock().await.render(root).await;
        let second = hub.second();
        let mut n_told = 0;
        for seat in self.seats.lock().iter().filter(|seat| has_room(seat)) {
            seat.subscriber.offer(&payload);
            seat.subscriber.told_at(second);
            n_told += 1;
        }
        metrics::counter!(DELIVERIES).increment(n_told);
    }

    fn subscribers(&self) -> Vec<Arc<Subscriber>> {
        self.seats.lock().iter().map(|seat| Arc::clone(&seat.subscriber)).collect()
    }
}

/// Whether an event moves what a conversation looks like to somebody: its last message, its members, their unread count.
pub fn moves_state(event: &Event, viewer_id: Option<UserId>) -> bool {
    match event {
        Event::Message { .. } | Event::MemberChanged { .. } | Event::MemberRemoved { .. } => true,
        Event::ReadMoved { user, .. } => viewer_id.is_none_or(|viewer_id| viewer_id == user.id),
        _ => false,
    }
}

/// What a listener of a kind is told of an event; nothing if it is not for its ears. On `events` the watermark is its
/// cursor.
pub fn root(hub: &Hub, ear: Ear, delivery: &Delivery, watermark: i64) -> Option<Root> {
    if !ear.hears(&delivery.event) {
        return None;
    }
    let wire = wire_event(hub.epoch(), delivery)?;
    Some(match (ear, wire) {
        (Ear::Messages, WireEvent::Message(event)) => Root::Message(Box::new(event)),
        (Ear::Reads, WireEvent::Read(receipt)) => Root::Read(Box::new(receipt)),
        (Ear::Typing, WireEvent::Typing(event)) => Root::Typing(Box::new(event)),
        (Ear::Messages | Ear::Reads | Ear::Typing | Ear::Presence, _) => return None,
        (Ear::Everything | Ear::EverythingShared | Ear::EverythingElse, wire) => {
            envelope(hub.epoch(), watermark, delivery.occurred_at, wire)
        }
    })
}

/// An event as `events` shows it; none for what clients are not told.
pub fn wire_event(epoch: &str, delivery: &Delivery) -> Option<WireEvent> {
    Some(match &delivery.event {
        Event::Message { change, message, sender, reactions } => {
            let position = delivery.position.unwrap_or_default();
            WireEvent::Message(MessageEvent {
                change: (*change).into(),
                cursor: EventCursor::encode(epoch, message.conversation_id, position),
                message_edge: Message::with(Arc::clone(message), Arc::clone(sender), reactions.clone()).into_edge(),
            })
        }
        Event::ReadMoved { hidden: true, .. } => return None,
        Event::ReadMoved { conversation_id, user, sequence, read_at, hidden: false } => WireEvent::Read(ReadReceipt {
            conversation_id: conversation_id.encode(),
            user: User::new(Arc::clone(user)),
            sequence: int(*sequence),
            read_at: (*read_at).into(),
        }),
        Event::ConversationChanged { conversation_id } | Event::ConversationJoined { conversation_id, .. } => {
            WireEvent::Conversation(ConversationChanged(*conversation_id))
        }
        Event::ConversationRemoved { conversation_id } => {
            WireEvent::Removed(ConversationRemoved { conversation_id: conversation_id.encode() })
        }
        Event::MemberChanged { member, user } => WireEvent::Member(MemberChanged {
            conversation_id: member.conversation_id.encode(),
            member_edge: MemberEdge::new(member, User::new(Arc::clone(user))),
        }),
        Event::MemberRemoved { conversation_id, user_id, .. } => WireEvent::MemberRemoved(MemberRemoved {
            conversation_id: conversation_id.encode(),
            user_id: user_id.encode(),
        }),
        Event::Typing { conversation_id, user, typing, .. } => WireEvent::Typing(TypingEvent {
            conversation_id: conversation_id.encode(),
            user: User::new(Arc::clone(user)),
            typing: *typing,
        }),
        Event::InviteChanged { invite_id } => WireEvent::Invite(InviteChanged(*invite_id)),
        Event::FriendshipChanged { other_id } => WireEvent::Friendship(FriendshipChanged(*other_id)),
        // It only ends deliveries; each member hears `ConversationRemoved` for themselves.
        Event::ConversationDeleted { .. } | Event::SessionRevoked { .. } | Event::ReceiptsSwitched { .. } => {
            return None;
        }
    })
}

/// An envelope with a cursor.
pub fn envelope(epoch: &str, watermark: i64, occurred_at: Timestamp, event: WireEvent) -> Root {
    Root::Envelope(Box::new(EventEnvelope::new(epoch, watermark, occurred_at, event)))
}

/// The person whose topic it is.
pub fn person_of(key: Key) -> Option<UserId> {
    match key {
        Key::User(id) => Some(id),
        Key::Conversation(_) | Key::Sessions => None,
    }
}

/// The conversation whose topic it is.
pub fn conversation_of(key: Key) -> Option<ConversationId> {
    match key {
        Key::Conversation(id) => Some(id),
        Key::User(_) | Key::Sessions => None,
    }
}
