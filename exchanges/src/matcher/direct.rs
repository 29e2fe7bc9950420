//! Direct exchanges: binding key to targets.

use hashbrown::HashMap;

use crate::QueueId;
use crate::matcher::Sink;
use crate::targets::{Target, TargetSet};

/// Keys come from clients, hence a map with a secret seed.
pub(crate) struct Direct<D> {
    keys: HashMap<Box<[u8]>, TargetSet<D>>,
}

impl<D> Default for Direct<D> {
    fn default() -> Self {
        Self { keys: HashMap::new() }
    }
}

impl<D: QueueId> Direct<D> {
    pub(super) fn add(&mut self, key: &str, target: Target<D>) {
        let set = self.keys.entry(key.as_bytes().into()).or_default();
        set.add(target);
    }

    pub(super) fn remove(&mut self, key: &str, target: Target<D>) {
        if let Some(set) = self.keys.get_mut(key.as_bytes()) {
            set.remove(target);
            if set.is_empty() {
                self.keys.remove(key.as_bytes());
            }
        }
    }

    #[inline]
    pub(super) fn route(&self, key: &[u8], sink: &mut Sink<'_, D>) {
        if let Some(set) = self.keys.get(key) {
            sink.add(set);
        }
    }

    /// Whether there are no bindings.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The first queue bound with this key.
    pub(super) fn queue(&self, key: &[u8]) -> Option<D> {
        self.keys.get(key)?.queues().first().copied()
    }
}
