//! The index database in memory: a power cut loses batches from the last one back, and changes fail.
//! Absent: the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Call, Faults, Hook, Rng};
use crate::index::{Change, Db, DbError};

struct DbState {
    rng: Rng,
    one_in: u64,
    now: BTreeMap<Vec<u8>, Vec<u8>>,
    durable: BTreeMap<Vec<u8>, Vec<u8>>,
    since_sync: Vec<Vec<Change>>,
    hook: Option<Hook>,
    /// The durable state at its first failure: a crash may restore it.
    older: Option<BTreeMap<Vec<u8>, Vec<u8>>>,
    distrusted: bool,
}

/// A database in memory. Clones are the same database.
#[derive(Clone)]
pub struct SimDb(Arc<Mutex<DbState>>);

impl SimDb {
    /// An empty database whose faults follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(DbState {
            rng: Rng::new(seed),
            one_in: 0,
            now: BTreeMap::new(),
            durable: BTreeMap::new(),
            since_sync: Vec::new(),
            hook: None,
            older: None,
            distrusted: false,
        })))
    }

    /// Whether the note that it is not to be relied on exists.
    pub fn is_distrusted(&self) -> bool {
        self.0.lock().distrusted
    }

    /// From now on `hook` sees changes.
    pub fn on_call(&self, hook: impl Fn(Call) + Send + Sync + 'static) {
        self.0.lock().hook = Some(Arc::new(hook));
    }

    /// From now on changes and syncs fail once in this many times (0: never).
    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().one_in = faults.index;
    }

    /// Cuts the power: of what was not synced, a prefix of the batches survives.
    pub fn crash(&self) {
        let mut state = self.0.lock();
        let state = &mut *state;
        let kept = state.rng.below(state.since_sync.len() as u64 + 1);
        for batch in state.since_sync.drain(..).take(usize::try_from(kept).unwrap_or(0)) {
            apply_batch(&mut state.durable, &batch);
        }
        if let Some(older) = state.older.take()
            && state.rng.one_in(2)
        {
            state.durable = older;
        }
        state.now = state.durable.clone();
        state.one_in = 0;
    }

    /// Loses everything.
    pub fn lose_all(&self) {
        let mut state = self.0.lock();
        state.now.clear();
        state.durable.clear();
        state.since_sync.clear();
        state.older = None;
        state.distrusted = false;
    }
}

fn apply_batch(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, batch: &[Change]) {
    for (key, value) in batch {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

impl DbState {
    fn fails(&mut self) -> Result<(), DbError> {
        if self.one_in > 0 && self.rng.one_in(self.one_in) {
            self.older.get_or_insert_with(|| self.durable.clone());
            return Err(DbError::io("simulated index failure"));
        }
        Ok(())
    }
}

impl Db for SimDb {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        Ok(self.0.lock().now.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), DbError> {
        let state = self.0.lock();
        for (key, value) in state.now.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) {
                break;
            }
            each(key, value);
        }
        Ok(())
    }

    fn apply(&self, changes: &[Change]) -> Result<(), DbError> {
        let hook = self.0.lock().hook.clone();
        if let Some(hook) = hook {
            hook(Call::Index);
        }
        let mut state = self.0.lock();
        state.fails()?;
        apply_batch(&mut state.now, changes);
        state.since_sync.push(changes.to_vec());
        Ok(())
    }

    fn sync(&self) -> Result<(), DbError> {
        let mut state = self.0.lock();
        state.fails()?;
        state.durable = state.now.clone();
        state.since_sync.clear();
        Ok(())
    }

    fn reopen(&self) -> Result<(), DbError> {
        self.0.lock().fails()
    }

    fn distrust(&self) -> Result<(), DbError> {
        self.0.lock().distrusted = true;
        Ok(())
    }

    fn clear(&self) -> Result<(), DbError> {
        let mut state = self.0.lock();
        let keys: Vec<Change> = state.now.keys().map(|key| (key.clone(), None)).collect();
        state.now.clear();
        state.since_sync.push(keys);
        Ok(())
    }

    fn size(&self) -> u64 {
        0
    }
}
