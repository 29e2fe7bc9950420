//! Sets of binding targets.

use std::hash::Hash;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::QueueId;
use crate::exchange_id::ExchangeId;

/// The target of a binding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Target<D> {
    /// A queue.
    Queue(D),
    /// An exchange.
    Exchange(ExchangeId),
}

/// The targets of all bindings that match alike, each once however many bindings lead there. Queues are in one slice,
/// so that routing to them is one copy.
pub(crate) struct TargetSet<D> {
    queues: Bag<D>,
    exchanges: Option<Box<Bag<ExchangeId>>>,
}

impl<D> Default for TargetSet<D> {
    fn default() -> Self {
        Self { queues: Bag::default(), exchanges: None }
    }
}

impl<D: QueueId> TargetSet<D> {
    /// Adds one binding to `target`.
    pub(crate) fn add(&mut self, target: Target<D>) {
        match target {
            Target::Queue(queue) => self.queues.add(queue),
            Target::Exchange(exchange) => self.exchanges.get_or_insert_default().add(exchange),
        }
    }

    /// Removes one binding to `target`.
    pub(crate) fn remove(&mut self, target: Target<D>) {
        match target {
            Target::Queue(queue) => self.queues.remove(queue),
            Target::Exchange(exchange) => {
                if let Some(exchanges) = &mut self.exchanges {
                    exchanges.remove(exchange);
                    if exchanges.items.is_empty() {
                        self.exchanges = None;
                    }
                }
            }
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.items.is_empty() && self.exchanges.is_none()
    }

    #[inline]
    pub(crate) fn queues(&self) -> &[D] {
        &self.queues.items
    }

    #[inline]
    pub(crate) fn exchanges(&self) -> &[ExchangeId] {
        self.exchanges.as_ref().map_or(&[], |bag| &bag.items)
    }
}

/// Up to this many items, a linear search beats an index.
const LINEAR: usize = 16;

/// Items with a count each; adding and removing take constant time.
struct Bag<T> {
    items: SmallVec<[T; 4]>,
    more: Option<Box<More<T>>>,
}

struct More<T> {
    /// Index of each item. Empty while there are few.
    places: FxHashMap<T, usize>,
    /// Counts beyond the first.
    extra: FxHashMap<T, usize>,
}

impl<T> Default for Bag<T> {
    fn default() -> Self {
        Self { items: SmallVec::new(), more: None }
    }
}

impl<T: Copy + Eq + Hash> Bag<T> {
    fn add(&mut self, item: T) {
        if self.place_of(item).is_some() {
            *self.more().extra.entry(item).or_default() += 1;
            return;
        }
        let place = self.items.len();
        self.items.push(item);
        match &mut self.more {
            Some(more) if !more.places.is_empty() => {
                more.places.insert(item, place);
            }
            _ if place >= LINEAR => {
                let all = self.items.iter().enumerate();
                let places = all.map(|(place, item)| (*item, place)).collect();
                self.more().places = places;
            }
            _ => {}
        }
    }

    fn remove(&mut self, item: T) {
        let Some(place) = self.place_of(item) else {
            return;
        };
        if let Some(more) = &mut self.more
            && let Some(extra) = more.extra.get_mut(&item)
        {
            *extra -= 1;
            if *extra == 0 {
                more.extra.remove(&item);
            }
            return;
        }
        self.items.swap_remove(place);
        if let Some(more) = &mut self.more {
            if self.items.len() <= LINEAR / 2 {
                more.places = FxHashMap::default();
            } else if !more.places.is_empty() {
                more.places.remove(&item);
                if let Some(moved) = self.items.get(place) {
                    more.places.insert(*moved, place);
                }
            }
            if more.places.is_empty() && more.extra.is_empty() {
                self.more = None;
            }
        }
        if self.items.len() * 4 < self.items.capacity() {
            self.items.shrink_to_fit();
        }
    }

    fn place_of(&self, item: T) -> Option<usize> {
        match &self.more {
            Some(more) if !more.places.is_empty() => more.places.get(&item).copied(),
            _ => self.items.iter().position(|other| *other == item),
        }
    }

    fn more(&mut self) -> &mut More<T> {
        self.more.get_or_insert_with(|| {
            Box::new(More { places: FxHashMap::default(), extra: FxHashMap::default() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bag_behaves_like_a_map_of_counts(steps in prop::collection::vec((0..40_u8, any::<bool>()), 0..400)) {
            let mut bag = Bag::default();
            let mut model = std::collections::BTreeMap::new();
            for (item, add) in steps {
                if add {
                    bag.add(item);
                    *model.entry(item).or_insert(0) += 1;
                } else {
                    bag.remove(item);
                    if let Some(count) = model.get_mut(&item) {
                        *count -= 1;
                        if *count == 0 {
                            model.remove(&item);
                        }
                    }
                }
                let mut items = bag.items.to_vec();
                items.sort_unstable();
                prop_assert!(items.iter().eq(model.keys()));
            }
        }
    }
}
