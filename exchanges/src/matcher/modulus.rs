//! x-modulus-hash: hash modulo the number of destinations.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::QueueId;
use crate::matcher::{Entry, Sink};
use crate::targets::Target;

/// Members sorted by kind and name, so that the choice does not depend on the order of binding. A change moves up to
/// as many entries as there are members; a modulus over many thousands is not expected.
pub(crate) struct Modulus<D> {
    members: Vec<Member<D>>,
}

struct Member<D> {
    name: Arc<str>,
    target: Target<D>,
    bindings: usize,
}

impl<D> Default for Modulus<D> {
    fn default() -> Self {
        Self { members: Vec::new() }
    }
}

impl<D: QueueId> Modulus<D> {
    pub(super) fn add(&mut self, entry: &Entry<'_, D>) {
        match self.place(entry) {
            Ok(place) => self.members[place].bindings += 1,
            Err(place) => self
                .members
                .insert(place, Member { name: Arc::clone(entry.name), target: entry.target, bindings: 1 }),
        }
    }

    pub(super) fn remove(&mut self, entry: &Entry<'_, D>) {
        if let Ok(place) = self.place(entry) {
            self.members[place].bindings -= 1;
            if self.members[place].bindings == 0 {
                self.members.remove(place);
            }
        }
    }

    fn place(&self, entry: &Entry<'_, D>) -> Result<usize, usize> {
        let rank = |target: &Target<D>| matches!(target, Target::Queue(_));
        self.members.binary_search_by(|member| match rank(&member.target).cmp(&rank(&entry.target)) {
            Ordering::Equal => (*member.name).cmp(entry.name),
            other => other,
        })
    }

    pub(super) fn route(&self, hash: u64, sink: &mut Sink<'_, D>) {
        if let Ok(count) = u64::try_from(self.members.len())
            && let Some(pick) = hash.checked_rem(count)
            && let Ok(pick) = usize::try_from(pick)
        {
            sink.add_one(self.members[pick].target);
        }
    }
}
