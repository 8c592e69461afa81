//! Loading by key, in batches.
//!
//! Every nested field that loads by key goes through [`Loaders`]: what an operation asks for within one turn of its
//! execution is fetched by one statement. A set lives for one operation (for one event on a subscription), so that
//! nothing is remembered across viewers or across time.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::Arc,
};

use dataloader::{BatchFn, cached::Loader};
use entity::UserId;
use parking_lot::Mutex;

use crate::{
    db::Db,
    error::Error,
    presence::{Presence, State},
};

/// A key that something can be loaded by. The id newtypes are keys; what depends on the viewer has the viewer in its
/// key.
pub trait Key: Copy + Eq + Hash + std::fmt::Debug + Send + Sync + 'static {
    type Value: Clone + Send + Sync + 'static;

    /// Fetches many, by a number of statements that does not depend on how many. What does not exist is left out.
    fn load(db: &Db, keys: &[Self]) -> impl Future<Output = Result<HashMap<Self, Self::Value>, Error>> + Send;
}

type Loaded<K> = Result<Option<<K as Key>::Value>, Error>;
type KeyLoader<K> = Loader<K, Loaded<K>, Batch>;

/// The loaders of one operation, made when first used.
pub struct Loaders {
    db: Db,
    presence: Arc<Presence>,
    loaders: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Loaders {
    pub fn new(db: Db, presence: Arc<Presence>) -> Self {
        Self { db, presence, loaders: Mutex::default() }
    }

    /// What the key stands for, if it exists.
    pub async fn load<K: Key>(&self, key: K) -> Result<Option<K::Value>, Error> {
        self.loader::<K>().try_load(key).await.map_err(Error::internal)?
    }

    /// Several at once, in one batch.
    pub async fn load_many<K: Key>(&self, keys: Vec<K>) -> Result<HashMap<K, K::Value>, Error> {
        let loaded = self.loader::<K>().try_load_many(keys).await.map_err(Error::internal)?;
        loaded
            .into_iter()
            .filter_map(|(key, value)| value.map(|value| value.map(|value| (key, value))).transpose())
            .collect()
    }

    /// Tells what a key stands for, so that it is not fetched again.
    pub async fn prime<K: Key>(&self, key: K, value: K::Value) {
        self.loader::<K>().prime(key, Ok(Some(value))).await;
    }

    /// How somebody is. Not all of it is in the database, so it is no [`Key`].
    pub async fn presence(&self, user_id: UserId) -> Result<State, Error> {
        let loader = {
            let mut loaders = self.loaders.lock();
            let loader = loaders.entry(TypeId::of::<PresenceBatch>()).or_insert_with(|| {
                let batch = PresenceBatch { db: self.db.clone(), presence: Arc::clone(&self.presence) };
                let loader: PresenceLoader = Loader::new(batch).with_max_batch_size(1000);
                Arc::new(loader)
            });
            loader.downcast_ref::<PresenceLoader>().expect("the map is keyed by the type of the batch").clone()
        };
        loader.try_load(user_id).await.map_err(Error::internal)?
    }

    fn loader<K: Key>(&self) -> KeyLoader<K> {
        let mut loaders = self.loaders.lock();
        let loader = loaders.entry(TypeId::of::<K>()).or_insert_with(|| {
            let loader: KeyLoader<K> = Loader::new(Batch { db: self.db.clone() }).with_max_batch_size(1000);
            Arc::new(loader)
        });
        loader.downcast_ref::<KeyLoader<K>>().expect("the map is keyed by the type of the key").clone()
    }
}

pub struct Batch {
    db: Db,
}

impl<K: Key> BatchFn<K, Loaded<K>> for Batch {
    async fn load(&mut self, keys: &[K]) -> HashMap<K, Loaded<K>> {
        match K::load(&self.db, keys).await {
            Ok(mut found) => keys.iter().map(|key| (*key, Ok(found.remove(key)))).collect(),
            Err(error) => keys.iter().map(|key| (*key, Err(error.clone()))).collect(),
        }
    }
}

type PresenceLoader = Loader<UserId, Result<State, Error>, PresenceBatch>;

struct PresenceBatch {
    db: Db,
    presence: Arc<Presence>,
}

impl BatchFn<UserId, Result<State, Error>> for PresenceBatch {
    async fn load(&mut self, keys: &[UserId]) -> HashMap<UserId, Result<State, Error>> {
        match self.presence.states(&self.db, keys).await {
            Ok(states) => states.into_iter().map(|(id, state)| (id, Ok(state))).collect(),
            Err(error) => keys.iter().map(|id| (*id, Err(error.clone()))).collect(),
        }
    }
}
