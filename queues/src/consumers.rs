//! Which consumer is served next.
//!
//! Invariants: a consumer is in its level's `ready` exactly once if it can take a message, and not at all otherwise;
//! `takers` counts them. Blocked consumers cost nothing per message, and no search grows with the number of
//! consumers: a detached one keeps its entry until its turn comes or there are many such; with many priorities, the
//! levels with takers are tracked, and the succession of the active consumer is kept sorted.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};

use rustc_hash::FxHashMap;
use slab::Slab;

use super::effects::{AttachRefused, ConsumerId, ConsumerSpec, Outlet};

/// The consumer that holds a message. Outlives the consumer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Holder {
    slot: u32,
    /// Distinguishes a consumer from a later one in the same slot.
    serial: u32,
}

impl Holder {
    /// Taken by `basic.get`.
    pub(super) const NOBODY: Self = Self { slot: u32::MAX, serial: u32::MAX };
}

#[derive(Debug)]
pub(super) struct Consumer<C> {
    pub(super) spec: ConsumerSpec<C>,
    pub(super) unacked: u32,
    serial: u32,
    /// The outlet has no room.
    pub(super) blocked: bool,
    /// It is in `ready`.
    pub(super) queued: bool,
}

impl<C> Consumer<C> {
    pub(super) fn has_credit(&self) -> bool {
        self.spec.no_ack || self.spec.prefetch == 0 || self.unacked < self.spec.prefetch
    }
}

/// The effect of removing a consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Removed {
    /// No consumer has this id.
    Unknown,
    /// No consumer took its place.
    Passive,
    /// It was the single active one; this one is now.
    Succeeded(ConsumerId),
}

/// Consumers of one priority that can take a message, next one first.
#[derive(Debug)]
struct Level {
    priority: i32,
    members: u32,
    /// Slot and serial.
    ready: VecDeque<(u32, u32)>,
    /// Number of these whose consumers are gone.
    stale: usize,
}

impl Level {
    fn has_taker(&self) -> bool {
        self.ready.len() > self.stale
    }
}

/// Up to this many levels are searched linearly.
const FEW_LEVELS: usize = 8;

/// Stale entries of a level that are tolerated before it is cleaned up.
const STALE_MAX: usize = 32;

/// All consumers of a queue. Created with the first, dropped with the last.
#[derive(Debug)]
pub(super) struct Consumers<C> {
    slots: Slab<Consumer<C>>,
    by_id: FxHashMap<ConsumerId, u32>,
    /// Highest priority first.
    levels: Vec<Level>,
    /// With many levels: those with takers, and some that had.
    with_takers: BTreeSet<Reverse<i32>>,
    takers: usize,
    /// Single active consumer: the active one.
    active: Option<u32>,
    single_active: bool,
    /// With a single active consumer: all of them, by priority, then age; the slot comes last.
    succession: BTreeSet<(Reverse<i32>, u32, u32)>,
    #[cfg(test)]
    steps: usize,
}

impl<C> Consumers<C> {
    pub(super) fn new(single_active: bool) -> Self {
        Self {
            slots: Slab::new(),
            by_id: FxHashMap::default(),
            levels: Vec::new(),
            with_takers: BTreeSet::new(),
            takers: 0,
            active: None,
            single_active,
            succession: BTreeSet::new(),
            #[cfg(test)]
            steps: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn takers(&self) -> usize {
        self.takers
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Consumer<C>, bool)> {
        self.slots.iter().map(|(slot, consumer)| {
            let active = !self.single_active || self.active.map(|a| a as usize) == Some(slot);
            (consumer, active)
        })
    }

    /// Whether `spec` may be attached next to the existing consumers.
    pub(super) fn admits(&self, spec: &ConsumerSpec<C>) -> Result<(), AttachRefused> {
        if self.by_id.contains_key(&spec.id) {
            return Err(AttachRefused::DuplicateId);
        }
        let in_use = if spec.exclusive {
            !self.slots.is_empty()
        } else {
            // An exclusive consumer is alone.
            self.slots.len() == 1 && self.slots.iter().any(|(_, c)| c.spec.exclusive)
        };
        if in_use {
            return Err(AttachRefused::ExclusiveInUse);
        }
        Ok(())
    }

    /// Adds an admitted consumer. `true`: it became the active one.
    pub(super) fn insert(&mut self, spec: ConsumerSpec<C>, serial: u32) -> bool {
        let (id, priority) = (spec.id, spec.priority);
        let slot = self.slots.insert(Consumer { spec, unacked: 0, serial, blocked: false, queued: false });
        let slot = u32::try_from(slot).expect("fewer than 4 billion consumers");
        self.by_id.insert(id, slot);
        match self.level(priority) {
            Ok(found) => self.levels[found].members += 1,
            Err(place) => {
                let level = Level { priority, members: 1, ready: VecDeque::new(), stale: 0 };
                self.levels.insert(place, level);
                if self.levels.len() == FEW_LEVELS + 1 {
                    let taking = self.levels.iter().filter(|level| level.has_taker());
                    self.with_takers = taking.map(|level| Reverse(level.priority)).collect();
                }
            }
        }
        if self.single_active {
            self.succession.insert((Reverse(priority), serial, slot));
        }
        let elected = self.single_active && self.active.is_none();
        if elected {
            self.active = Some(slot);
        }
        self.offer(slot);
        elected
    }

    /// Removes a consumer.
    pub(super) fn remove(&mut self, id: ConsumerId) -> Removed {
        let Some(slot) = self.by_id.remove(&id) else {
            return Removed::Unknown;
        };
        let consumer = self.slots.remove(slot as usize);
        if let Ok(found) = self.level(consumer.spec.priority) {
            let level = &mut self.levels[found];
            level.members -= 1;
            if consumer.queued {
                level.stale += 1;
                self.takers -= 1;
            }
            if level.members == 0 {
                self.levels.remove(found);
            } else if level.stale > STALE_MAX.max(level.ready.len() / 2) {
                self.forget_stale(found);
            }
        }
        if self.single_active {
            self.succession.remove(&(Reverse(consumer.spec.priority), consumer.serial, slot));
        }
        if self.active != Some(slot) {
            return Removed::Passive;
        }
        self.active = self.elect();
        let Some(elected) = self.active else {
            return Removed::Passive;
        };
        self.offer(elected);
        Removed::Succeeded(self.slots[elected as usize].spec.id)
    }

    /// Removes stale entries from a level.
    fn forget_stale(&mut self, found: usize) {
        let (level, slots) = (&mut self.levels[found], &self.slots);
        #[cfg(test)]
        {
            self.steps += level.ready.len();
        }
        level.ready.retain(|place| is_current(slots, *place));
        level.stale = 0;
    }

    /// Switches single active consumer on or off. Returns the active consumer, if only one is.
    pub(super) fn set_single_active(&mut self, single_active: bool) -> Option<ConsumerId> {
        self.single_active = single_active;
        self.succession.clear();
        if single_active {
            let order = self.slots.iter().map(|(slot, consumer)| {
                let slot = u32::try_from(slot).expect("fewer than 4 billion consumers");
                (Reverse(consumer.spec.priority), consumer.serial, slot)
            });
            self.succession.extend(order);
        }
        self.active = if single_active { self.elect() } else { None };
        self.takers = 0;
        for level in &mut self.levels {
            level.ready.clear();
            level.stale = 0;
        }
        self.with_takers.clear();
        let slots: Vec<usize> = self.slots.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.slots[slot].queued = false;
            self.offer(u32::try_from(slot).expect("fewer than 4 billion consumers"));
        }
        self.active_id()
    }

    /// Highest priority, then oldest.
    fn elect(&self) -> Option<u32> {
        self.succession.first().map(|(.., slot)| *slot)
    }

    pub(super) fn active_id(&self) -> Option<ConsumerId> {
        self.active.map(|slot| self.slots[slot as usize].spec.id)
    }

    fn level(&self, priority: i32) -> Result<usize, usize> {
        self.levels.binary_search_by(|level| priority.cmp(&level.priority))
    }

    fn may_take(&self, slot: u32, consumer: &Consumer<C>) -> bool {
        !consumer.blocked && consumer.has_credit() && (!self.single_active || self.active == Some(slot))
    }

    /// Queues the consumer if it can take a message and is not queued yet.
    fn offer(&mut self, slot: u32) {
        let consumer = &self.slots[slot as usize];
        if consumer.queued || !self.may_take(slot, consumer) {
            return;
        }
        let (priority, serial) = (consumer.spec.priority, consumer.serial);
        if let Ok(found) = self.level(priority) {
            self.levels[found].ready.push_back((slot, serial));
            self.slots[slot as usize].queued = true;
            self.takers += 1;
            if self.levels.len() > FEW_LEVELS {
                self.with_takers.insert(Reverse(priority));
            }
        }
    }

    /// The highest level with a consumer that can take a message.
    fn taking_level(&mut self) -> Option<usize> {
        if self.levels.len() <= FEW_LEVELS {
            return self.levels.iter().position(Level::has_taker);
        }
        while let Some(&Reverse(priority)) = self.with_takers.first() {
            self.count_step();
            match self.level(priority) {
                Ok(found) if self.levels[found].has_taker() => return Some(found),
                _ => self.with_takers.pop_first(),
            };
        }
        None
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "counted in tests only"))]
    #[inline]
    fn count_step(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }

    /// The outlet has room again.
    pub(super) fn unblock(&mut self, id: ConsumerId) {
        if let Some(&slot) = self.by_id.get(&id) {
            self.slots[slot as usize].blocked = false;
            self.offer(slot);
        }
    }

    /// One message held by `holder` was settled or returned.
    pub(super) fn credit(&mut self, holder: Holder) {
        if let Some(consumer) = self.slots.get_mut(holder.slot as usize)
            && consumer.serial == holder.serial
        {
            consumer.unacked -= 1;
            if !consumer.queued {
                self.offer(holder.slot);
            }
        }
    }

    /// Selects the consumer of the next message, reserves room for it, uses up credit and advances the turn. The
    /// message must be delivered to the consumer returned.
    pub(super) fn take_turn(
        &mut self,
        bytes: u32,
        outlet: &mut (impl Outlet<C> + ?Sized),
    ) -> Option<(&Consumer<C>, Holder)> {
        let slot = loop {
            if self.takers == 0 {
                return None;
            }
            let found = self.taking_level()?;
            let level = &mut self.levels[found];
            let (slot, serial) = *level.ready.front()?;
            if level.stale > 0 && !is_current(&self.slots, (slot, serial)) {
                level.ready.pop_front();
                level.stale -= 1;
                continue;
            }
            let consumer = &mut self.slots[slot as usize];
            let room = outlet.reserve(&consumer.spec.handle, bytes as usize);
            consumer.blocked = !room;
            if room && !consumer.spec.no_ack {
                consumer.unacked += 1;
            }
            if !room || !consumer.has_credit() {
                consumer.queued = false;
                level.ready.pop_front();
                self.takers -= 1;
            } else if level.ready.len() > 1 {
                level.ready.rotate_left(1);
            }
            if room {
                break slot;
            }
        };
        let consumer = &self.slots[slot as usize];
        let serial = consumer.serial;
        Some((consumer, Holder { slot, serial }))
    }

    /// # Panics
    /// If an invariant does not hold. `held` counts held messages by holder.
    pub(super) fn check(&self, held: impl Fn(Holder) -> u32) {
        assert_eq!(self.slots.len(), self.by_id.len(), "consumers by id");
        let mut takers = 0;
        for (slot, consumer) in &self.slots {
            let slot = u32::try_from(slot).expect("slot");
            assert_eq!(self.by_id.get(&consumer.spec.id), Some(&slot));
            assert_eq!(consumer.queued, self.may_take(slot, consumer), "lined up if and only if it can take");
            takers += usize::from(consumer.queued);
            if !consumer.spec.no_ack && consumer.spec.prefetch != 0 {
                assert!(consumer.unacked <= consumer.spec.prefetch, "credit");
            }
            let serial = consumer.serial;
            assert_eq!(consumer.unacked, held(Holder { slot, serial }), "unacked");
            let level = &self.levels[self.level(consumer.spec.priority).expect("level")];
            let places = level.ready.iter().filter(|place| **place == (slot, serial)).count();
            assert_eq!(places, usize::from(consumer.queued), "lined up once");
        }
        assert_eq!(takers, self.takers, "takers");
        let members: u32 = self.levels.iter().map(|level| level.members).sum();
        assert_eq!(members as usize, self.slots.len(), "members of levels");
        assert!(self.levels.iter().all(|level| level.members > 0));
        for level in &self.levels {
            let stale = level.ready.iter().filter(|place| !is_current(&self.slots, **place)).count();
            assert_eq!(level.stale, stale, "places of those who left");
            let known = self.with_takers.contains(&Reverse(level.priority));
            assert!(self.levels.len() <= FEW_LEVELS || known || !level.has_taker(), "levels with takers");
        }
        let heirs = if self.single_active { self.slots.len() } else { 0 };
        assert_eq!(self.succession.len(), heirs, "succession");
        assert!(self.levels.is_sorted_by(|a, b| a.priority > b.priority));
        assert_eq!(self.active.is_some(), self.single_active && !self.slots.is_empty(), "one is active");
    }
}

/// Whether the entry belongs to a consumer that still exists.
fn is_current<C>(slots: &Slab<Consumer<C>>, (slot, serial): (u32, u32)) -> bool {
    slots.get(slot as usize).is_some_and(|consumer| consumer.serial == serial)
}

#[cfg(test)]
mod tests {
    use super::super::effects::Delivery;
    use super::*;

    struct Everyone;

    impl Outlet<()> for Everyone {
        fn reserve(&mut self, (): &(), _: usize) -> bool {
            true
        }

        fn deliver(&mut self, (): &(), _: Delivery) {}
    }

    fn consumers(count: u64, single_active: bool, priority: impl Fn(u64) -> i32) -> Consumers<()> {
        let mut consumers = Consumers::new(single_active);
        for id in 0..count {
            let spec = ConsumerSpec {
                id: ConsumerId(id),
                handle: (),
                no_ack: false,
                prefetch: 1,
                priority: priority(id),
                exclusive: false,
            };
            consumers.insert(spec, u32::try_from(id).expect("few"));
        }
        consumers
    }

    #[test]
    fn steps_of_leaving_grow_with_the_consumers_not_with_their_square() {
        for single_active in [false, true] {
            let steps = |count| {
                let mut consumers = consumers(count, single_active, |_| 0);
                (0..count).for_each(|id| {
                    consumers.remove(ConsumerId(id));
                });
                assert_eq!((consumers.len(), consumers.takers()), (0, 0));
                consumers.steps
            };
            for count in [1000, 4000, 16_000] {
                assert!(
                    steps(count) <= 3 * usize::try_from(count).expect("few"),
                    "{count}: {}",
                    steps(count)
                );
            }
        }
    }

    #[test]
    fn steps_of_a_turn_do_not_grow_with_the_priorities() {
        let steps = |count: u64| {
            let mut consumers = consumers(count, false, |id| i32::try_from(id).expect("few"));
            let mut held = Vec::new();
            while let Some((consumer, holder)) = consumers.take_turn(0, &mut Everyone) {
                held.push((consumer.spec.priority, holder));
            }
            assert!(held.is_sorted_by(|a, b| a.0 > b.0), "highest first");
            // Each time, the highest is credited and served, then the lowest.
            let (highest, lowest) = (held[0].1, held[held.len() - 1].1);
            for _ in 0..100 {
                consumers.credit(lowest);
                consumers.credit(highest);
                for expected in [highest, lowest] {
                    let turn = consumers.take_turn(0, &mut Everyone).map(|(_, holder)| holder);
                    assert_eq!(turn, Some(expected));
                }
            }
            consumers.steps
        };
        let (few, many) = (steps(100), steps(3200));
        // Each consumer once, and a few steps for each of the hundred rounds.
        assert!(many <= few + 3 * 3200, "{few} steps, {many} steps");
    }

    #[test]
    fn who_takes_the_place_of_one_that_left_has_no_turn_too_many() {
        let mut consumers = consumers(3, false, |_| 0);
        consumers.remove(ConsumerId(1));
        let spec = ConsumerSpec {
            id: ConsumerId(9),
            handle: (),
            no_ack: true,
            prefetch: 0,
            priority: 0,
            exclusive: false,
        };
        consumers.insert(spec, 9);
        consumers.check(|_| 0);
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.extend(consumers.take_turn(0, &mut Everyone).map(|(consumer, _)| consumer.spec.id.0));
        }
        assert_eq!(turns, [0, 2, 9, 9]);
    }
}
