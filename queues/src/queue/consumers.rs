//! Who is served next.
//!
//! Invariants: a consumer stands in its level's `ready` exactly once if it can take a message, and
//! not at all otherwise; `takers` counts them. Blocked consumers cost nothing per message.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use slab::Slab;

use super::effects::{AttachRefused, ConsumerId, ConsumerSpec, Outlet};

/// Which consumer holds a message. Outlives the consumer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Holder {
    slot: u32,
    /// Tells a consumer from a later one in the same slot.
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
    /// Stands in `ready`.
    pub(super) queued: bool,
}

impl<C> Consumer<C> {
    pub(super) fn has_credit(&self) -> bool {
        self.spec.no_ack || self.spec.prefetch == 0 || self.unacked < self.spec.prefetch
    }
}

/// What taking a consumer out changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Removed {
    /// There is none of this id.
    Unknown,
    /// Nobody took its place.
    Passive,
    /// It was the single active one; this one is now.
    Succeeded(ConsumerId),
}

/// Consumers of one priority that can take a message, next one first.
#[derive(Debug)]
struct Level {
    priority: i32,
    members: u32,
    ready: VecDeque<u32>,
}

/// All consumers of a queue. Made with the first, gone with the last.
#[derive(Debug)]
pub(super) struct Consumers<C> {
    slots: Slab<Consumer<C>>,
    by_id: FxHashMap<ConsumerId, u32>,
    /// Highest priority first.
    levels: Vec<Level>,
    takers: usize,
    /// Single active consumer: the one that is.
    active: Option<u32>,
    single_active: bool,
}

impl<C> Consumers<C> {
    pub(super) fn new(single_active: bool) -> Self {
        Self {
            slots: Slab::new(),
            by_id: FxHashMap::default(),
            levels: Vec::new(),
            takers: 0,
            active: None,
            single_active,
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

    /// Whether `spec` may come in beside those who are here.
    pub(super) fn admits(&self, spec: &ConsumerSpec<C>) -> Result<(), AttachRefused> {
        if self.by_id.contains_key(&spec.id) {
            return Err(AttachRefused::DuplicateId);
        }
        let in_use = if spec.exclusive {
            !self.slots.is_empty()
        } else {
            // An exclusive one is alone.
            self.slots.len() == 1 && self.slots.iter().any(|(_, c)| c.spec.exclusive)
        };
        if in_use {
            return Err(AttachRefused::ExclusiveInUse);
        }
        Ok(())
    }

    /// Takes an admitted consumer in. `true`: it became the active one.
    pub(super) fn insert(&mut self, spec: ConsumerSpec<C>, serial: u32) -> bool {
        let (id, priority) = (spec.id, spec.priority);
        let slot = self.slots.insert(Consumer { spec, unacked: 0, serial, blocked: false, queued: false });
        let slot = u32::try_from(slot).expect("fewer than 4 billion consumers");
        self.by_id.insert(id, slot);
        match self.level(priority) {
            Ok(found) => self.levels[found].members += 1,
            Err(place) => self.levels.insert(place, Level { priority, members: 1, ready: VecDeque::new() }),
        }
        let elected = self.single_active && self.active.is_none();
        if elected {
            self.active = Some(slot);
        }
        self.offer(slot);
        elected
    }

    /// Takes a consumer out.
    pub(super) fn remove(&mut self, id: ConsumerId) -> Removed {
        let Some(slot) = self.by_id.remove(&id) else {
            return Removed::Unknown;
        };
        let consumer = self.slots.remove(slot as usize);
        if let Ok(found) = self.level(consumer.spec.priority) {
            let level = &mut self.levels[found];
            level.members -= 1;
            if consumer.queued {
                level.ready.retain(|other| *other != slot);
                self.takers -= 1;
            }
            if level.members == 0 {
                self.levels.remove(found);
            }
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

    /// From now on only one of them is served, or all are. Returns who is active now, if it is one.
    pub(super) fn set_single_active(&mut self, single_active: bool) -> Option<ConsumerId> {
        self.single_active = single_active;
        self.active = if single_active { self.elect() } else { None };
        self.takers = 0;
        self.levels.iter_mut().for_each(|level| level.ready.clear());
        let slots: Vec<usize> = self.slots.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.slots[slot].queued = false;
            self.offer(u32::try_from(slot).expect("fewer than 4 billion consumers"));
        }
        self.active_id()
    }

    /// Highest priority, then oldest.
    fn elect(&self) -> Option<u32> {
        let best = self.slots.iter().min_by_key(|(_, c)| (std::cmp::Reverse(c.spec.priority), c.serial))?;
        u32::try_from(best.0).ok()
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

    /// Lines the consumer up if it can take a message and does not stand there yet.
    fn offer(&mut self, slot: u32) {
        let consumer = &self.slots[slot as usize];
        if consumer.queued || !self.may_take(slot, consumer) {
            return;
        }
        if let Ok(found) = self.level(consumer.spec.priority) {
            self.levels[found].ready.push_back(slot);
            self.slots[slot as usize].queued = true;
            self.takers += 1;
        }
    }

    /// The outlet has room again.
    pub(super) fn unblock(&mut self, id: ConsumerId) {
        if let Some(&slot) = self.by_id.get(&id) {
            self.slots[slot as usize].blocked = false;
            self.offer(slot);
        }
    }

    /// One message that `holder` held was settled or went back.
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

    /// Chooses who gets the next message, reserves room for it, uses up credit and moves the
    /// turn on. The message must be delivered to the one returned.
    pub(super) fn take_turn(
        &mut self,
        bytes: u32,
        outlet: &mut (impl Outlet<C> + ?Sized),
    ) -> Option<(&Consumer<C>, Holder)> {
        let slot = loop {
            if self.takers == 0 {
                return None;
            }
            let level = self.levels.iter_mut().find(|l| !l.ready.is_empty())?;
            let slot = *level.ready.front()?;
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
            let places = level.ready.iter().filter(|other| **other == slot).count();
            assert_eq!(places, usize::from(consumer.queued), "lined up once");
        }
        assert_eq!(takers, self.takers, "takers");
        let members: u32 = self.levels.iter().map(|level| level.members).sum();
        assert_eq!(members as usize, self.slots.len(), "members of levels");
        assert!(self.levels.iter().all(|level| level.members > 0));
        assert!(self.levels.is_sorted_by(|a, b| a.priority > b.priority));
        assert_eq!(self.active.is_some(), self.single_active && !self.slots.is_empty(), "one is active");
    }
}
