//! A set that is cheap to clear, for duplicates within one route.

use std::hash::{BuildHasher, Hash};

use rustc_hash::FxBuildHasher;

/// Up to this many items, a linear search beats hashing.
const LINEAR: usize = 12;

/// The items seen since the last [`Seen::clear`], in insertion order. Few are searched linearly; more go to an
/// open-addressing table with stamped slots, so that clearing costs nothing however large the table has grown.
#[derive(Debug)]
pub(crate) struct Seen<T> {
    items: Vec<T>,
    /// (stamp, index in `items`); valid only with the current stamp. The length is a power of two.
    slots: Vec<(u32, u32)>,
    /// Number of slots in use, less one; a power of two less one. Zero: no table yet.
    mask: usize,
    stamp: u32,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { items: Vec::new(), slots: Vec::new(), mask: 0, stamp: 0 }
    }
}

impl<T: Copy + Eq + Hash> Seen<T> {
    /// Clears the set.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.mask = 0;
    }

    /// Adds the item; false if it was already in the set.
    #[inline]
    pub(crate) fn insert(&mut self, item: T) -> bool {
        if self.items.len() < LINEAR {
            if self.items.contains(&item) {
                return false;
            }
            self.items.push(item);
            return true;
        }
        self.insert_hashed(item)
    }

    fn insert_hashed(&mut self, item: T) -> bool {
        if self.items.len() * 2 > self.mask {
            self.build_table();
        }
        let mut slot = self.slot_of(item);
        while let Some(place) = self.place_at(slot) {
            if self.items[place] == item {
                return false;
            }
            slot = (slot + 1) & self.mask;
        }
        self.slots[slot] = (self.stamp, place_u32(self.items.len()));
        self.items.push(item);
        true
    }

    /// Enters all items into a table with room for four times as many.
    fn build_table(&mut self) {
        let size = (self.items.len() * 4).next_power_of_two();
        if self.slots.len() < size {
            self.slots.resize(size, (0, 0));
        }
        self.mask = size - 1;
        self.stamp = self.stamp.checked_add(1).unwrap_or_else(|| {
            self.slots.fill((0, 0));
            1
        });
        for place in 0..self.items.len() {
            let mut slot = self.slot_of(self.items[place]);
            while self.place_at(slot).is_some() {
                slot = (slot + 1) & self.mask;
            }
            self.slots[slot] = (self.stamp, place_u32(place));
        }
    }

    fn place_at(&self, slot: usize) -> Option<usize> {
        let (stamp, place) = self.slots[slot];
        (stamp == self.stamp).then_some(place as usize)
    }

    #[expect(clippy::cast_possible_truncation, reason = "only the low bits, under the mask, are wanted")]
    fn slot_of(&self, item: T) -> usize {
        FxBuildHasher.hash_one(item) as usize & self.mask
    }
}

fn place_u32(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^32 destinations")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_reports_each_item_once_and_forgets_on_clear() {
        let mut seen = Seen::default();
        for round in 0..3 {
            for item in 0..500_u32 {
                assert!(seen.insert(item * 64), "round {round}");
                assert!(!seen.insert(item * 64));
                assert!(!seen.insert(0));
            }
            seen.clear();
        }
    }

    #[test]
    fn seen_stamp_wraps_without_ghosts() {
        let mut seen = Seen { stamp: u32::MAX - 1, ..Seen::default() };
        for _ in 0..4 {
            assert!((0..100_u32).all(|item| seen.insert(item)));
            seen.clear();
        }
    }
}
