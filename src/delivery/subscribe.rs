//! Sitting down to listen: register, then look.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_graphql::Response;
use bytes::Bytes;
use entity::{ConversationId, UserId, member, user};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::{
    cursor::LogCursor,
    feed::{Root, Source},
    graphql::{CaughtUp, ConversationChanged, Event as WireEvent, ResyncRequired},
    hub::Hub,
    operation::{Operation, Renderer},
    outbox::{Closed, Outbox, Outgoing},
    sharing,
    streams::Open,
    topic::{self, Ear, GroupKey, Listening, Subscriber, Topic},
};
use crate::{
    auth::RequestContext,
    conversations::store::positions_of,
    error::Error,
    events::{Event, Topic as Key, log},
    graphql::{
        engine::{Engine, Prepared},
        guard,
    },
    presence::{self, Scope, Watcher, access::Shown},
    rate_limits::Action,
    users::graphql::User,
};

/// Most events that `events(after)` replays; past that it is cheaper to fetch anew, and `ResyncRequired` says so.
pub const MAX_REPLAY: u64 = 5000;

/// A subscription of a client. Dropping it ends it.
pub struct Subscription {
    hub: Arc<Hub>,
    subscriber: Arc<Subscriber>,
    catching_up: tokio::task::AbortHandle,
    _open: Option<Open>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.catching_up.abort();
        self.hub.leave(&self.subscriber);
    }
}

/// Admits a subscription (validation and gate) and starts delivering into the outbox, under the operation's id. The
/// errors to tell, where it is refused.
pub async fn subscribe(
    engine: &Arc<Engine>,
    prepared: Prepared,
    context: RequestContext,
    outbox: &Arc<Outbox>,
    id: Arc<str>,
) -> Result<Subscription, Response> {
    let operation = Arc::new(Operation::new(Arc::clone(engine), prepared, context));
    let hub = Arc::clone(&engine.app.hub);
    let refuse = |error: Error| {
        let mut response = Response::from_errors(vec![
            async_graphql::Error::from(error).into_server_error(async_graphql::Pos::default()),
        ]);
        engine.finish(&mut response, operation.context());
        response
    };
    if let Ok(viewer) = operation.context().caller.viewer() {
        let subject = viewer.user_id().0.to_string();
        engine.app.rate_limits.check(Action::Subscribe, &subject).await.map_err(refuse)?;
    }
    let source = {
        // Never closed.
        let _turn = hub.turns.acquire().await;
        operation.admit().await?
    };
    let viewer = operation.context().caller.viewer().map_err(refuse)?;
    let open = engine.app.streams.open(viewer.session_id(), &source).map_err(refuse)?;
    let subscriber = Subscriber::new(id, Arc::clone(outbox), viewer);
    let start = Start { hub: Arc::clone(&hub), subscriber: Arc::clone(&subscriber), operation, source };
    // Boxed: a task's own memory stays as long as its handle, and this one's future is large.
    let catching_up = tokio::spawn(Box::pin(start.run())).abort_handle();
    Ok(Subscription { hub, subscriber, catching_up, _open: open })
}

struct Start {
    hub: Arc<Hub>,
    subscriber: Arc<Subscriber>,
    operation: Arc<Operation>,
    source: Source,
}

/// Why a subscription stops before it is live.
enum Stop {
    Closed,
    /// The viewer may no longer see the conversation.
    PutOut,
    Fault(Error),
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl Start {
    async fn run(self) {
        let result = match &self.source {
            Source::Messages { conversation_id, after } => self.messages(*conversation_id, *after).await,
            Source::Reads { conversation_id } => self.reads(*conversation_id).await,
            Source::Typing { conversation_id } => self.state(*conversation_id, Ear::Typing).await,
            Source::Presence { named } => self.presence(named.as_ref()).await,
            Source::Everything { after } => self.everything(*after).await,
        };
        match result {
            Ok(()) | Err(Stop::Closed) => {}
            Err(Stop::PutOut) => self.subscriber.end(&self.hub, &put_out_errors()),
            // It has been told nothing wrong so far: the client subscribes again from its last cursor.
            Err(Stop::Fault(error)) => {
                let mut response = Response::from_errors(vec![
                    async_graphql::Error::from(error).into_server_error(async_graphql::Pos::default()),
                ]);
                let engine = self.operation.engine();
                engine.finish(&mut response, self.operation.context());
                let errors = serde_json::to_vec(&response.errors).unwrap_or_else(|_| b"[]".to_vec());
                self.subscriber.end(&self.hub, &errors.into());
            }
        }
    }

    async fn messages(&self, conversation_id: ConversationId, after: i64) -> Result<(), Stop> {
        let topic = self.sit(Key::Conversation(conversation_id), Ear::Messages).await?;
        self.catch_up(&topic, conversation_id, Ear::Messages, after, 0).await
    }

    async fn reads(&self, conversation_id: ConversationId) -> Result<(), Stop> {
        self.hub.learn_receipts(&self.subscriber).await?;
        self.state(conversation_id, Ear::Reads).await
    }

    async fn state(&self, conversation_id: ConversationId, ear: Ear) -> Result<(), Stop> {
        let topic = self.sit(Key::Conversation(conversation_id), ear).await?;
        // Read positions and typing are state: there is nothing to catch up with. But the membership may have ended since
        // the gate and before the seat; if it does after this look, its end has a number above the position.
        let position = log::positions(self.hub.db(), &[conversation_id]).await?.remove(&conversation_id);
        if !is_member(&self.hub, conversation_id, self.subscriber.viewer.user_id()).await? {
            return Err(Stop::PutOut);
        }
        topic.unmute_reads(&self.subscriber, position.unwrap_or(0));
        Ok(())
    }

    async fn presence(&self, named: Option<&Arc<HashSet<UserId>>>) -> Result<(), Stop> {
        let hub = &self.hub;
        let viewer_id = self.subscriber.viewer.user_id();
        // Register, then look.
        let scope = named.map_or(Scope::Everybody, |named| Scope::Named(Arc::clone(named)));
        let watcher = self.watch(scope, Ear::Presence, false)?;
        hub.presence.begin_to_watch().await;
        // For the friends to come: their friendship is told there.
        let topic = self.sit(Key::User(viewer_id), Ear::Presence).await?;
        topic.unmute(&self.subscriber, 0);
        let people = {
            // Never closed.
            let _turn = hub.turns.acquire().await;
            match named {
                Some(named) => {
                    let named: Vec<UserId> = named.iter().copied().collect();
                    presence::store::visible_among(hub.db(), viewer_id, &named).await?
                }
                None => presence::store::acquaintances(hub.db(), viewer_id, presence::MAX_TOLD_AT_FIRST).await?,
            }
        };
        let mut first = HashMap::with_capacity(people.len());
        let mut renderer = Renderer::new(Arc::clone(&self.operation));
        for shown in people.chunks(presence::store::CHUNK) {
            let people: Vec<UserId> = shown.iter().map(|(id, _)| *id).collect();
            let shown: HashMap<UserId, Shown> = shown.iter().copied().collect();
            let (states, is_certain, rows) = {
                let _turn = hub.turns.acquire().await;
                let rows = user::Entity::find().filter(user::Column::Id.is_in(people.iter().copied()));
                let rows = rows.all(hub.db().read()).await.map_err(Error::from)?;
                match hub.presence.certain_states(hub.db(), &people).await? {
                    Some(states) => (states, true, rows),
                    None => (hub.presence.states_here(hub.db(), &people).await?, false, rows),
                }
            };
            for row in rows {
                let state = states.get(&row.id).zip(shown.get(&row.id)).and_then(|(state, shown)| shown.of(*state));
                let Some(state) = state else { continue };
                let is_online = state == presence::State::Online;
                if is_certain {
                    first.insert(row.id, is_online);
                } else {
                    hub.presence.watchers.correct_later(&watcher, row.id, is_online);
                }
                let told = presence::graphql::Presence::new(User::new(Arc::new(row)), state);
                self.put(renderer.render(Root::Presence(Box::new(told))).await).await?;
            }
        }
        hub.presence.watchers.start(&watcher, first);
        Ok(())
    }

    /// Registers to hear who comes and goes.
    fn watch(&self, scope: Scope, ear: Ear, started: bool) -> Result<Arc<Watcher>, Stop> {
        let prepared = self.operation.prepared();
        let shared = sharing::is_presence_shareable(&prepared.document.document, prepared.operation_name.as_deref());
        let (key, operation) = self.group(ear, shared);
        let watchers = &self.hub.presence.watchers;
        watchers.register(&self.subscriber, scope, key, &operation, started, self.hub.now()).ok_or(Stop::Closed)
    }

    async fn everything(&self, after: Option<LogCursor>) -> Result<(), Stop> {
        let hub = &self.hub;
        let viewer_id = self.subscriber.viewer.user_id();
        hub.learn_receipts(&self.subscriber).await?;
        // What it joins meanwhile waits until it sits.
        let _joining = self.subscriber.joining.lock().await;
        // Never closed.
        let turn = hub.turns.acquire().await;
        let pin = hub.pin();
        let head = log::watermark(hub.db()).await?;
        let (after, watermark) = match after {
            Some(LogCursor::Here(watermark)) if watermark <= head => (after, watermark),
            // No process has ever been further than the log is now: it was restored from a backup.
            Some(LogCursor::Here(_) | LogCursor::Elsewhere) => (Some(LogCursor::Elsewhere), head),
            // What a new stream leaves out: all that is there before it begins.
            None => (None, head),
        };
        let before: Vec<(ConversationId, i64)> = positions_of(hub.db().read(), viewer_id).await?;
        let seen = match after {
            Some(_) => Vec::new(),
            None => log::personal_ids(hub.db(), &[viewer_id], watermark).await?.remove(&viewer_id).unwrap_or_default(),
        };
        drop(turn);
        let mut keys = vec![Key::User(viewer_id)];
        keys.extend(before.iter().map(|(id, _)| Key::Conversation(*id)));
        let topics = hub.topics(&keys).await?;
        for topic in &topics {
            self.sit_everywhere(topic)?;
        }
        self.subscriber.told_at(hub.second());
        hub.everything.lock().push((Arc::downgrade(&self.subscriber), Arc::clone(&self.operation)));
        // What was joined before the seats were taken told nobody to sit down in it.
        for (id, position) in positions_of(hub.db().read(), viewer_id).await? {
            if !before.iter().any(|(known, _)| *known == id) {
                join_later(hub, Arc::clone(&self.subscriber), id, position);
            }
        }

        // Everything below this is in the log that is read next, and nothing live says more until all seats hear.
        let mut settled = pin.watermark.max(watermark);
        let missed = {
            let _turn = hub.turns.acquire().await;
            log::since(hub.db(), viewer_id, watermark, MAX_REPLAY + 1).await?
        };
        let mut renderer = Renderer::new(Arc::clone(&self.operation));
        let before: HashMap<ConversationId, i64> = before.into_iter().collect();
        let mut last = before.clone();
        let mut moved: HashSet<ConversationId> = HashSet::new();
        let too_many = missed.len() as u64 > MAX_REPLAY;
        if after == Some(LogCursor::Elsewhere) || too_many {
            let reason = match too_many {
                true => format!("More than {MAX_REPLAY} events were missed."),
                false => "The cursor is from another time of this server.".into(),
            };
            let resync = WireEvent::Resync(ResyncRequired { reason });
            // Whoever fetches anew sees at least what is settled by now.
            settled = settled.max(log::watermark(hub.db()).await?);
            self.put(renderer.render_surely(topic::envelope(hub.epoch(), settled, hub.now(), resync)).await?).await?;
            metrics::counter!(crate::server::metrics::RESYNCS).increment(1);
        } else {
            for delivery in &missed {
                if let Some((id, position)) = topic::conversation_of(delivery.topic).zip(delivery.position) {
                    if after.is_none() && before.get(&id).is_some_and(|before| position <= *before) {
                        continue;
                    }
                    let last = last.entry(id).or_default();
                    *last = (*last).max(position);
                } else if delivery.log_id.is_some_and(|log_id| seen.contains(&log_id)) {
                    continue;
                }
                if let Some(id) = topic::conversation_of(delivery.topic)
                    && before.contains_key(&id)
                    && topic::moves_state(&delivery.event, Some(viewer_id))
                {
                    moved.insert(id);
                }
                if !self.subscriber.may_hear(&delivery.event) {
                    continue;
                }
                let Some(wire) = topic::wire_event(hub.epoch(), delivery) else { continue };
                let root = topic::envelope(hub.epoch(), watermark, delivery.occurred_at, wire);
                self.put(renderer.render_surely(root).await?).await?;
            }
        }
        if self.wants_state() {
            for id in moved {
                self.put(renderer.render_surely(self.state_of(id, watermark)).await?).await?;
            }
        }
        let caught_up = WireEvent::CaughtUp(CaughtUp { at: hub.now().into() });
        self.put(renderer.render_surely(topic::envelope(hub.epoch(), settled, hub.now(), caught_up)).await?).await?;
        for topic in &topics {
            if let Some(id) = topic::conversation_of(topic.key()) {
                let last = last.get(&id).copied().unwrap_or(0);
                match self.catch_up(topic, id, Ear::Everything, last, watermark).await {
                    // They hear `ConversationRemoved` on their own topic.
                    Ok(()) | Err(Stop::PutOut) => {}
                    Err(stop) => return Err(stop),
                }
            }
        }
        // Their own topic comes last: it says that they are out of a conversation, after all that was said there before.
        for topic in topics.iter().filter(|topic| topic::person_of(topic.key()).is_some()) {
            topic.unmute(&self.subscriber, 0);
        }
        drop(pin);
        if self.mentions("Presence") {
            self.watch(Scope::Everybody, Ear::Everything, true)?;
            hub.presence.begin_to_watch().await;
        }
        Ok(())
    }

    async fn sit(&self, key: Key, ear: Ear) -> Result<Arc<Topic>, Stop> {
        let topics = self.hub.topics(&[key]).await?;
        let topic = topics.into_iter().next().ok_or_else(|| Error::internal("one key, no topic"))?;
        self.sit_in(&topic, ear, self.is_shareable())?;
        Ok(topic)
    }

    /// Sits in a topic to hear all of it: where messages can be shared, they are.
    fn sit_everywhere(&self, topic: &Arc<Topic>) -> Result<(), Stop> {
        let of_conversation = topic::conversation_of(topic.key()).is_some();
        if of_conversation && self.is_shareable() {
            self.sit_in(topic, Ear::EverythingShared, true)?;
            self.sit_in(topic, Ear::EverythingElse, false)
        } else {
            self.sit_in(topic, Ear::Everything, false)
        }
    }

    fn sit_in(&self, topic: &Arc<Topic>, ear: Ear, shared: bool) -> Result<(), Stop> {
        let (key, operation) = self.group(ear, shared);
        let listening = Listening {
            key,
            operation,
            wants_state: matches!(ear, Ear::Everything | Ear::EverythingElse) && self.wants_state(),
            wants_typing: !ear.is_everything() || self.mentions("TypingEvent"),
        };
        match topic.seat(&self.subscriber, &listening) {
            true => Ok(()),
            false => Err(Stop::Closed),
        }
    }

    /// With whom an execution is shared, and which.
    fn group(&self, ear: Ear, shared: bool) -> (Arc<GroupKey>, Arc<Operation>) {
        let prepared = self.operation.prepared();
        let document = &prepared.document.document;
        let name = prepared.operation_name.as_deref();
        let below = guard::variables_used_below_root(document, name);
        let variables: serde_json::Map<String, serde_json::Value> = prepared
            .variables
            .iter()
            .filter(|(name, _)| below.contains(name.as_str()))
            .map(|(name, value)| (name.to_string(), value.clone().into_json().unwrap_or_default()))
            .collect();
        let key = GroupKey {
            ear,
            document: prepared.document.id,
            operation_name: prepared.operation_name.clone(),
            variables: serde_json::Value::from(variables).to_string(),
            viewer: (!shared).then_some(self.subscriber.viewer),
        };
        let operation = match shared {
            true => Arc::new(self.operation.for_everybody()),
            false => Arc::clone(&self.operation),
        };
        (Arc::new(key), operation)
    }

    /// Whether something of a kind of event is asked for on `events`.
    fn mentions(&self, member: &str) -> bool {
        let prepared = self.operation.prepared();
        let name = prepared.operation_name.as_deref();
        sharing::mentions_event(&prepared.document.document, name, &self.source, member)
    }

    fn is_shareable(&self) -> bool {
        let prepared = self.operation.prepared();
        sharing::is_shareable(&prepared.document.document, prepared.operation_name.as_deref())
    }

    /// Whether it asks for what messages and read positions make of a conversation.
    fn wants_state(&self) -> bool {
        self.mentions("ConversationChanged")
    }

    /// A conversation as it is when this is rendered.
    fn state_of(&self, id: ConversationId, watermark: i64) -> Root {
        let changed = WireEvent::Conversation(ConversationChanged(id));
        topic::envelope(self.hub.epoch(), watermark, self.hub.now(), changed)
    }

    /// Reads the log from `last` until the topic has taken up nothing beyond it, then goes live. On `events`, what is
    /// read here carries `watermark` as its cursor.
    async fn catch_up(
        &self,
        topic: &Arc<Topic>,
        id: ConversationId,
        ear: Ear,
        mut last: i64,
        watermark: i64,
    ) -> Result<(), Stop> {
        let mut renderer = None;
        let mut has_moved = false;
        while !topic.unmute(&self.subscriber, last) {
            let missed = log::conversation_after(self.hub.db(), id, last, log::BATCH).await?;
            if missed.is_empty() {
                // Nothing where something must be: not as fast as the database can say so.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            for delivery in &missed {
                let Some(position) = delivery.position else { continue };
                last = position;
                if is_out(&delivery.event, self.subscriber.viewer.user_id())
                    && !is_member(&self.hub, id, self.subscriber.viewer.user_id()).await?
                {
                    topic.dismiss(&self.subscriber);
                    return Err(Stop::PutOut);
                }
                has_moved |= topic::moves_state(&delivery.event, Some(self.subscriber.viewer.user_id()));
                if !self.subscriber.may_hear(&delivery.event) {
                    continue;
                }
                if let Some(root) = topic::root(&self.hub, ear, delivery, watermark) {
                    let renderer = renderer.get_or_insert_with(|| Renderer::new(Arc::clone(&self.operation)));
                    self.put(renderer.render_surely(root).await?).await?;
                }
            }
        }
        if has_moved && ear.is_everything() && self.wants_state() {
            let renderer = renderer.get_or_insert_with(|| Renderer::new(Arc::clone(&self.operation)));
            self.put(renderer.render_surely(self.state_of(id, watermark)).await?).await?;
        }
        Ok(())
    }

    async fn put(&self, payload: Bytes) -> Result<(), Stop> {
        if payload.is_empty() {
            return Ok(());
        }
        let id = Arc::clone(&self.subscriber.id);
        self.subscriber.told_at(self.hub.second());
        Ok(self.subscriber.outbox.push_when_room(Outgoing::Next { id, payload }).await?)
    }
}

/// Whether an event ends the delivery of a conversation to somebody.
pub(super) fn is_out(event: &Event, viewer_id: UserId) -> bool {
    match event {
        Event::MemberRemoved { user_id, early, .. } => *user_id == viewer_id && !early,
        Event::ConversationDeleted { .. } => true,
        _ => false,
    }
}

async fn is_member(hub: &Hub, conversation_id: ConversationId, user_id: UserId) -> Result<bool, Error> {
    let member = member::Entity::find_by_id((conversation_id, user_id)).one(hub.db().read()).await?;
    Ok(member.is_some())
}

/// What a listener of one conversation is told when they are put out of it.
fn put_out_errors() -> Bytes {
    Bytes::from_static(br#"[{"message":"You are no longer in this conversation.","extensions":{"code":"NOT_FOUND"}}]"#)
}

/// After somebody has lost their seat in a conversation, at an event that puts them out of it: ends a subscription to
/// it. One to everything goes on; if they are back by now, so is their seat.
pub(super) fn put_out(
    hub: &Arc<Hub>,
    subscriber: Arc<Subscriber>,
    ear: Ear,
    conversation_id: ConversationId,
    position: i64,
) {
    if !ear.is_everything() {
        subscriber.end(hub, &put_out_errors());
        return;
    }
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        match is_member(&hub, conversation_id, subscriber.viewer.user_id()).await {
            Ok(false) => {}
            Ok(true) => join_later(&hub, subscriber, conversation_id, position),
            // Cut off, the client comes back and resumes from its cursor.
            Err(_) => subscriber.outbox.overflow(),
        }
    });
}

/// Lets a listener of `events` hear a conversation that they have just joined, from a position on.
pub(super) fn join_later(hub: &Arc<Hub>, subscriber: Arc<Subscriber>, conversation_id: ConversationId, after: i64) {
    let operation = {
        let everything = hub.everything.lock();
        everything
            .iter()
            .find(|(weak, _)| std::ptr::eq(weak.as_ptr(), Arc::as_ptr(&subscriber)))
            .map(|(_, operation)| Arc::clone(operation))
    };
    let Some(operation) = operation else { return };
    // Before anything else can be told to be settled.
    let pin = hub.pin();
    let start = Start { hub: Arc::clone(hub), subscriber, operation, source: Source::Everything { after: None } };
    tokio::spawn(async move {
        let join = async {
            let _joining = start.subscriber.joining.lock().await;
            let topics = start.hub.topics(&[Key::Conversation(conversation_id)]).await?;
            for topic in &topics {
                if topic.has(&start.subscriber) {
                    continue;
                }
                start.sit_everywhere(topic)?;
                match start.catch_up(topic, conversation_id, Ear::Everything, after, pin.watermark).await {
                    Ok(()) | Err(Stop::PutOut) => {}
                    Err(stop) => return Err(stop),
                }
            }
            Ok::<(), Stop>(())
        };
        if let Err(Stop::Fault(error)) = join.await {
            // Cut off, the client comes back and resumes from its cursor.
            tracing::warn!(cause = error.cause(), "a listener could not join a conversation");
            start.subscriber.outbox.overflow();
        }
    });
}
