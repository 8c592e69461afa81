//! From a change to those who watch.
//!
//! One task looks a few times a second who came and went since, judges by a handful of statements who may see them
//! *now*, and tells those of their watchers who listen here. However often somebody came and went between two looks,
//! they are told once, as they are then. A watcher whose outbox is half full is passed over and told later how
//! things are by then: the other half is for what must not be lost.
//!
//! Who is blocked believes the blocker to be away, and hears no change of it. A watcher who was there before the block
//! is told once that they are away, when they leave or the friendship ends: it would wonder else.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use entity::{Timestamp, UserId, user};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Changes, Joined, State,
    graphql::Presence as WirePresence,
    store::{self, CHUNK, Hears},
};
use crate::{
    app::App,
    delivery::{
        feed::Root,
        graphql::Event as WireEvent,
        hub::Hub,
        operation::{Operation, Renderer},
        topic::{Ear, GroupKey, Subscriber},
    },
    error::Error,
    server::metrics::DELIVERIES,
    users::graphql::User,
};

/// How often is looked.
const TICK: Duration = Duration::from_millis(250);
/// How long a change may be on its way from where it happened to where it is told.
const ON_THE_WAY: Duration = Duration::from_secs(3);
/// People whose last told state is remembered, so that who came and went in between is not told.
const MAX_REMEMBERED: usize = 100_000;

/// Executions of one look, most shared ones first. For whom there is no more room it waits until the next look, so that
/// what costs an execution for each watcher holds up nobody else.
const MAX_EXECUTIONS: usize = 1000;
/// Those who joined groups whose members are looked up in one look.
const MAX_INTRODUCTIONS: usize = 20;
/// Executions under way at once.
const N_AT_ONCE: usize = 16;

/// Whom a watcher hears of.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Friends, and people in groups that tell.
    Everybody,
    /// Those whom they named.
    Named(Arc<HashSet<UserId>>),
}

impl Scope {
    fn covers(&self, person: UserId, unasked: bool) -> bool {
        match self {
            Self::Everybody => unasked,
            Self::Named(named) => named.contains(&person),
        }
    }
}

/// A subscription that hears of presence.
pub struct Watcher {
    subscriber: Arc<Subscriber>,
    scope: Scope,
    group: Arc<Group>,
    began_at: Timestamp,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    /// Whether it has been told how everybody was at its beginning.
    started: bool,
    /// Who is to be told of when there is room. Most have nobody: no memory for them.
    #[expect(clippy::box_collection, reason = "one word and not six in each of thousands of watchers")]
    people: Option<Box<HashSet<UserId>>>,
    /// Who was online at its beginning and who was not, for a moment: changes from before are still on their way then,
    /// and are no news.
    #[expect(clippy::box_collection, reason = "as above")]
    first: Option<Box<HashMap<UserId, bool>>>,
    /// Who has blocked its person since it began, and is taken to be away.
    #[expect(clippy::box_collection, reason = "as above")]
    away: Option<Box<HashSet<UserId>>>,
    /// Of whom it was told while Redis was away what this process knew: the same is no news when the truth is known.
    #[expect(clippy::box_collection, reason = "as above")]
    guessed: Option<Box<HashMap<UserId, bool>>>,
}

/// Watchers who share an execution.
struct Group {
    ear: Ear,
    renderer: tokio::sync::Mutex<Renderer>,
}

/// Everybody who watches on this process.
#[derive(Default)]
pub struct Watchers(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    by_viewer: HashMap<UserId, Vec<Arc<Watcher>>>,
    groups: HashMap<Arc<GroupKey>, Weak<Group>>,
    /// Those who named somebody.
    naming: Vec<Weak<Watcher>>,
    /// Those for whom somebody waits.
    late: Vec<Weak<Watcher>>,
    /// Those that started lately, and when.
    fresh: VecDeque<(Instant, Weak<Watcher>)>,
}

impl Watchers {
    /// Registers a subscription. Unless it has `started`, what changes is kept for it until [`Watchers::start`]. None
    /// when it has ended meanwhile.
    pub fn register(
        &self,
        subscriber: &Arc<Subscriber>,
        scope: Scope,
        key: Arc<GroupKey>,
        operation: &Arc<Operation>,
        started: bool,
        began_at: Timestamp,
    ) -> Option<Arc<Watcher>> {
        let mut registry = self.0.lock();
        // Whoever leaves says so first, and then comes here for this lock.
        if subscriber.has_left() {
            return None;
        }
        let existing = registry.groups.get(&key).and_then(Weak::upgrade);
        let group = existing.unwrap_or_else(|| {
            let renderer = tokio::sync::Mutex::new(Renderer::new(Arc::clone(operation)));
            let group = Arc::new(Group { ear: key.ear, renderer });
            registry.groups.insert(key, Arc::downgrade(&group));
            group
        });
        let watcher = Arc::new(Watcher {
            subscriber: Arc::clone(subscriber),
            scope,
            group,
            began_at,
            waiting: Mutex::new(Waiting { started, people: None, first: None, away: None, guessed: None }),
        });
        if let Scope::Named(_) = watcher.scope {
            registry.naming.push(Arc::downgrade(&watcher));
        }
        registry.by_viewer.entry(subscriber.viewer.user_id()).or_default().push(Arc::clone(&watcher));
        Some(watcher)
    }

    /// It has been told how everybody was: from now on it hears what changes, beginning with what was kept for it.
    pub fn start(&self, watcher: &Arc<Watcher>, first: HashMap<UserId, bool>) {
        let mut registry = self.0.lock();
        let mut waiting = watcher.waiting.lock();
        waiting.started = true;
        waiting.first = Some(Box::new(first));
        registry.fresh.push_back((Instant::now(), Arc::downgrade(watcher)));
        if waiting.people.is_some() {
            registry.late.push(Arc::downgrade(watcher));
        }
    }

    /// It has been told of somebody what this process knows while Redis is away: told the truth later, if that differs.
    pub fn correct_later(&self, watcher: &Arc<Watcher>, person: UserId, is_online: bool) {
        watcher.waiting.lock().guessed.get_or_insert_default().insert(person, is_online);
        self.keep_for(watcher, person);
    }

    /// Forgets a subscription that ended.
    pub fn leave(&self, subscriber: &Arc<Subscriber>) {
        let mut registry = self.0.lock();
        let viewer_id = subscriber.viewer.user_id();
        let Some(watchers) = registry.by_viewer.get_mut(&viewer_id) else { return };
        watchers.retain(|watcher| !Arc::ptr_eq(&watcher.subscriber, subscriber));
        if watchers.is_empty() {
            registry.by_viewer.remove(&viewer_id);
        }
    }

    /// How two people stand to each other changed: who watches is told how the other is, if they may see it now.
    pub fn look_at(&self, viewer_id: UserId, person: UserId) {
        for watcher in self.of(viewer_id) {
            if watcher.scope.covers(person, true) {
                self.keep_for(&watcher, person);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().by_viewer.is_empty()
    }

    /// Lets idle executions rest, and forgets those of nobody.
    pub fn rest(&self) {
        let groups: Vec<Arc<Group>> = {
            let mut registry = self.0.lock();
            registry.groups.retain(|_, group| group.strong_count() > 0);
            registry.naming.retain(|watcher| watcher.strong_count() > 0);
            registry.groups.values().filter_map(Weak::upgrade).collect()
        };
        for group in groups {
            if let Ok(mut renderer) = group.renderer.try_lock() {
                renderer.rest();
            }
        }
    }

    fn of(&self, viewer_id: UserId) -> Vec<Arc<Watcher>> {
        self.0.lock().by_viewer.get(&viewer_id).cloned().unwrap_or_default()
    }

    /// Somebody is new in a group: its members are told how they are, and they how the members are. In a group that does
    /// not tell (`members` are none) only those who named the other.
    fn look_at_each_other(&self, newcomer: UserId, members: Option<&[UserId]>) {
        match members {
            Some(members) => {
                for member in members.iter().filter(|member| **member != newcomer) {
                    self.look_at(*member, newcomer);
                    self.look_at(newcomer, *member);
                }
            }
            None => {
                self.naming(&[newcomer]).into_iter().for_each(|viewer_id| self.look_at(viewer_id, newcomer));
                for watcher in self.of(newcomer) {
                    if let Scope::Named(named) = &watcher.scope {
                        named.iter().for_each(|person| self.keep_for(&watcher, *person));
                    }
                }
            }
        }
    }

    fn has(&self, viewer_id: UserId) -> bool {
        self.0.lock().by_viewer.contains_key(&viewer_id)
    }

    /// Who named one of some people.
    fn naming(&self, people: &[UserId]) -> HashSet<UserId> {
        let registry = self.0.lock();
        let names = |watcher: &Arc<Watcher>| match &watcher.scope {
            Scope::Named(named) => people.iter().any(|person| named.contains(person)),
            Scope::Everybody => false,
        };
        let naming = registry.naming.iter().filter_map(Weak::upgrade).filter(names);
        naming.map(|watcher| watcher.subscriber.viewer.user_id()).collect()
    }

    /// Somebody is to be told of later.
    pub fn keep_for(&self, watcher: &Arc<Watcher>, person: UserId) {
        let mut registry = self.0.lock();
        let mut waiting = watcher.waiting.lock();
        let is_first = waiting.people.is_none();
        waiting.people.get_or_insert_default().insert(person);
        if is_first && waiting.started {
            registry.late.push(Arc::downgrade(watcher));
        }
    }

    /// Those for whom somebody waits and who have room now, with whom.
    fn take_late(&self) -> Vec<(Arc<Watcher>, HashSet<UserId>)> {
        let mut registry = self.0.lock();
        while let Some((_, watcher)) = registry.fresh.pop_front_if(|(since, _)| since.elapsed() >= ON_THE_WAY) {
            if let Some(watcher) = watcher.upgrade() {
                watcher.waiting.lock().first = None;
            }
        }
        let mut ready = Vec::new();
        registry.late.retain(|late| {
            let Some(watcher) = late.upgrade() else { return false };
            if watcher.subscriber.outbox.is_half_full() {
                return true;
            }
            let people = watcher.waiting.lock().people.take();
            ready.extend(people.map(|people| (watcher, *people)));
            false
        });
        ready
    }
}

impl Watcher {
    /// Whether it can be told of a change now.
    fn is_ready(&self) -> bool {
        self.waiting.lock().started && !self.subscriber.outbox.is_half_full()
    }

    /// Whether it takes somebody to be away who has blocked its person.
    fn misses(&self, person: UserId) -> bool {
        self.waiting.lock().away.as_ref().is_some_and(|away| away.contains(&person))
    }

    /// From now on somebody is away for it. Whether they were not so already.
    fn miss(&self, person: UserId) -> bool {
        self.waiting.lock().away.get_or_insert_default().insert(person)
    }

    /// Whether it began a moment ago with being told that somebody is online: that they come is of before, then.
    fn began_with(&self, person: UserId) -> bool {
        self.waiting.lock().first.as_ref().is_some_and(|first| first.get(&person) == Some(&true))
    }

    /// From now on it knows how somebody is.
    fn meet(&self, person: UserId) {
        if let Some(away) = &mut self.waiting.lock().away {
            away.remove(&person);
        }
    }

    /// Whether how somebody is differs from what it was told at its beginning.
    fn is_news(&self, person: UserId, is_online: bool) -> bool {
        let mut waiting = self.waiting.lock();
        if let Some(guessed) = &mut waiting.guessed {
            let guess = guessed.remove(&person);
            if guessed.is_empty() {
                waiting.guessed = None;
            }
            if guess == Some(is_online) {
                return false;
            }
        }
        match waiting.first.as_mut() {
            Some(first) => first.insert(person, is_online) != Some(is_online),
            None => true,
        }
    }

    fn tell(&self, second: u64, payload: &Bytes) {
        self.subscriber.tell(payload);
        self.subscriber.told_at(second);
    }
}

/// Tells until told to stop.
pub async fn tell(app: Arc<App>, stop: CancellationToken) {
    let mut teller = Teller::default();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = teller.tick(&app).await {
            tracing::warn!(cause = error.cause(), "who came and went cannot be told; trying again");
        }
    }
}

#[derive(Default)]
struct Teller {
    /// Who came or went and was not told yet.
    changed: HashSet<UserId>,
    /// Who joined a group, and was not told to those in it yet.
    joined: HashSet<Joined>,
    /// Whether somebody was last told to be online.
    told: HashMap<UserId, bool>,
}

impl Teller {
    async fn tick(&mut self, app: &App) -> Result<(), Error> {
        let watchers = &app.presence.watchers;
        // Taken before the look at the watchers: who registers after it looks by themselves.
        let changed = match &app.presence.leases {
            None => app.presence.changed.lock().take(),
            // They come back by the common list.
            Some(_) => Changes::default(),
        };
        if watchers.is_empty() {
            if let Some(leases) = &app.presence.leases {
                leases.end_to_follow(|| !watchers.is_empty()).await;
            }
            *self = Self::default();
            return Ok(());
        }
        self.take(changed);
        if let Some(leases) = &app.presence.leases {
            match leases.changed().await {
                Ok(changed) => self.take(changed),
                // It is tried again, and nobody forgets for minutes.
                Err(away) => tracing::debug!(cause = %away, "Redis does not tell who came and went"),
            }
        }
        self.introduce(app).await?;
        let changed: HashSet<UserId> = self.changed.iter().copied().take(CHUNK).collect();
        let late = watchers.take_late();
        if changed.is_empty() && late.is_empty() {
            return Ok(());
        }
        let told = self.tell(app, &changed, &late).await;
        match &told {
            Ok(true) => self.changed.retain(|person| !changed.contains(person)),
            Ok(false) | Err(_) => {
                for (watcher, people) in &late {
                    people.iter().for_each(|person| watchers.keep_for(watcher, *person));
                }
            }
        }
        told.map(drop)
    }

    fn take(&mut self, changes: Changes) {
        self.changed.extend(changes.people);
        self.joined.extend(changes.joined);
    }

    /// Has those who joined a group and those in it told of each other.
    async fn introduce(&mut self, app: &App) -> Result<(), Error> {
        let joined: Vec<Joined> = self.joined.iter().copied().take(MAX_INTRODUCTIONS).collect();
        for new in joined {
            let members = store::members_who_are_told(&app.db, new.group_id).await?;
            app.presence.watchers.look_at_each_other(new.user_id, members.as_deref());
            self.joined.remove(&new);
        }
        Ok(())
    }

    /// False when it cannot be known now how they are.
    async fn tell(
        &mut self,
        app: &App,
        changed: &HashSet<UserId>,
        late: &[(Arc<Watcher>, HashSet<UserId>)],
    ) -> Result<bool, Error> {
        let presence = &app.presence;
        let changed: Vec<UserId> = changed.iter().copied().collect();
        let Some(states) = presence.certain_states(&app.db, &changed).await? else { return Ok(false) };
        let is_online = |person: &UserId| states.get(person) == Some(&State::Online);
        let news: HashSet<UserId> =
            changed.iter().copied().filter(|person| self.told.get(person) != Some(&is_online(person))).collect();
        let waited: HashSet<UserId> = late.iter().flat_map(|(_, people)| people).copied().collect();
        // What is news comes first.
        let people: Vec<UserId> = news.iter().chain(waited.difference(&news)).copied().collect();
        let late: HashMap<usize, &HashSet<UserId>> =
            late.iter().map(|(watcher, people)| (address(watcher), people)).collect();
        let mut n_left = MAX_EXECUTIONS;
        for people in people.chunks(CHUNK) {
            let Some(states) = presence.certain_states(&app.db, people).await? else { return Ok(false) };
            let rows = user::Entity::find().filter(user::Column::Id.is_in(people.iter().copied()));
            let rows = rows.all(app.db.read()).await?;
            let naming = presence.watchers.naming(people);
            let audience = store::audience(&app.db, people, &|id| presence.watchers.has(id), &naming).await?;
            let mut tellings = Vec::new();
            for row in rows {
                let (person, row) = (row.id, Arc::new(row));
                let (Some(state), Some(hearing)) = (states.get(&person), audience.get(&person)) else { continue };
                let told = WirePresence::new(User::new(row), *state);
                gather(app, person, &told, hearing, news.contains(&person), &late, &mut tellings);
            }
            n_left = tell_all(app, tellings, n_left).await;
        }
        if self.told.len() > MAX_REMEMBERED {
            self.told = HashMap::new();
        }
        self.told.extend(news.iter().map(|person| (*person, is_online(person))));
        Ok(true)
    }
}

/// How somebody is, for watchers who share an execution.
struct Telling {
    person: UserId,
    presence: WirePresence,
    group: Arc<Group>,
    watching: Vec<Arc<Watcher>>,
    /// Whether it is for those whom they have blocked.
    is_pretence: bool,
}

/// Gathers the watchers of one person who may hear of them: all, if it is news, else only those for whom it waited.
fn gather(
    app: &App,
    person: UserId,
    presence: &WirePresence,
    hearing: &[Hears],
    is_news: bool,
    late: &HashMap<usize, &HashSet<UserId>>,
    tellings: &mut Vec<Telling>,
) {
    let watchers = &app.presence.watchers;
    let waited = |watcher: &Arc<Watcher>| late.get(&address(watcher)).is_some_and(|people| people.contains(&person));
    let mut by_group: HashMap<(usize, Option<Timestamp>), Vec<Arc<Watcher>>> = HashMap::new();
    for hears in hearing {
        for watcher in watchers.of(hears.viewer_id) {
            let waited = waited(&watcher);
            if !watcher.scope.covers(person, hears.unasked) || !(is_news || waited) {
                continue;
            }
            if let Some(since) = hears.blocked_since {
                // Who was away when it began, or comes only now, is away: that is no news.
                if watcher.misses(person) || (!waited && since <= watcher.began_at) {
                    continue;
                }
                if !waited && presence.is_online() {
                    if !watcher.began_with(person) {
                        watcher.miss(person);
                    }
                    continue;
                }
            }
            by_group.entry((address(&watcher.group), hears.blocked_since)).or_default().push(watcher);
        }
    }
    for ((_, blocked_since), watching) in by_group {
        let Some(group) = watching.first().map(|watcher| Arc::clone(&watcher.group)) else { continue };
        let presence = match blocked_since {
            Some(since) => presence.away_since(since),
            None => presence.clone(),
        };
        tellings.push(Telling { person, presence, group, watching, is_pretence: blocked_since.is_some() });
    }
}

/// Tells as much as there is room for, the rest later. Answers how many more executions there may be.
async fn tell_all(app: &App, mut tellings: Vec<Telling>, n_left: usize) -> usize {
    let watchers = &app.presence.watchers;
    tellings.sort_by_key(|telling| Reverse(telling.watching.len()));
    for telling in tellings.split_off(tellings.len().min(n_left)) {
        telling.watching.iter().for_each(|watcher| watchers.keep_for(watcher, telling.person));
    }
    let n_left = n_left - tellings.len();
    let second = app.hub.second();
    let tell = async |telling: Telling| {
        let Telling { person, presence, group, mut watching, is_pretence } = telling;
        let is_online = presence.is_online();
        watching.retain(|watcher| {
            if !watcher.is_ready() {
                watchers.keep_for(watcher, person);
                return false;
            }
            if is_pretence {
                return watcher.miss(person) && watcher.is_news(person, is_online);
            }
            watcher.meet(person);
            watcher.is_news(person, is_online)
        });
        if watching.is_empty() {
            return;
        }
        let payload = group.renderer.lock().await.render(root(&app.hub, group.ear, presence)).await;
        watching.iter().for_each(|watcher| watcher.tell(second, &payload));
        metrics::counter!(DELIVERIES).increment(watching.len() as u64);
    };
    stream::iter(tellings).for_each_concurrent(N_AT_ONCE, tell).await;
    n_left
}

/// Tells one shared thing from another, for as long as both live.
fn address<T>(of: &Arc<T>) -> usize {
    Arc::as_ptr(of).addr()
}

/// How somebody is, as a kind of listener is told.
pub fn root(hub: &Hub, ear: Ear, presence: WirePresence) -> Root {
    if ear.is_everything() {
        hub.envelope(hub.now(), WireEvent::Presence(presence))
    } else {
        Root::Presence(Box::new(presence))
    }
}
