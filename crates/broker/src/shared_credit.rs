//! The channel-wide prefetch (`basic.qos` with `global`): a limit on the unacknowledged messages of all consumers of a
//! channel, and the order in which freed credit is given out.
//!
//! Rules, as in `RabbitMQ` up to 4.2: each delivery that needs an acknowledgement uses one credit, `basic.get` uses
//! none; without credit, consumers that do not acknowledge are blocked as well; queues with waiting consumers take
//! turns, so that none starves at any limit (`RabbitMQ` picks at random); within a queue, higher priorities come first.
//!
//! Invariants: a consumer waits at most once; whenever credit is free and a consumer waits, a hand-out is in progress
//! and will check again, or a tick is scheduled; each credit wakes one consumer, however many wait.
//! Absent: queue locks. This lock is taken inside a queue's, never the other way round.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use leveret_message::{Millis, QueueId};
use leveret_queues::ConsumerId;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::consumer::Consumer;
use super::deadlines::{Deadlines, Ticks};
use super::turn::Turn;

/// The shared prefetch limit of one channel's consumers.
#[derive(Debug, Default)]
pub struct SharedCredit {
    line: Mutex<Line<Arc<Consumer>>>,
    /// Read without the lock; 0 for no limit, and nothing is counted.
    limit: AtomicU32,
}

impl SharedCredit {
    /// The limit in force; 0 for none.
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets the limit (0 for none) while consumers hold `held` messages, and serves consumers that may continue.
    pub fn set_limit(&self, turn: &mut Turn, limit: u32, held: u32) {
        let first = {
            let mut line = self.line.lock();
            self.limit.store(limit, Ordering::Relaxed);
            line.limit = limit;
            line.held = held;
            line.next()
        };
        self.hand_out(turn, first);
    }

    /// Sets the limit immediately, and serves consumers that may continue at `at`, unless served earlier.
    pub fn set_limit_at(self: &Arc<Self>, deadlines: &Deadlines, at: Millis, limit: u32, held: u32) {
        let mut line = self.line.lock();
        self.limit.store(limit, Ordering::Relaxed);
        line.limit = limit;
        line.held = held;
        if line.is_free() && !line.turns.is_empty() {
            deadlines.set(at, line.tick_at.replace(at), self);
        }
    }

    /// Takes the credit for one delivery to `consumer`, or records that it waits.
    #[inline]
    pub fn take(&self, consumer: &Arc<Consumer>) -> bool {
        self.limit() == 0 || self.take_in_turn(consumer)
    }

    fn take_in_turn(&self, consumer: &Arc<Consumer>) -> bool {
        let asks = Asks {
            queue: consumer.queue.id,
            id: consumer.id,
            priority: consumer.priority,
            uses: !consumer.no_ack,
        };
        self.line.lock().take(asks, || Arc::clone(consumer))
    }

    /// Returns `count` credits: waiting consumers are served in turn.
    pub fn give_back(&self, turn: &mut Turn, count: usize) {
        if self.limit() == 0 {
            return;
        }
        let first = self.line.lock().give_back(u32::try_from(count).unwrap_or(u32::MAX));
        self.hand_out(turn, first);
    }

    /// Removes a consumer that ended.
    pub fn forget(&self, id: ConsumerId) {
        self.line.lock().forget(id);
    }

    fn hand_out(&self, turn: &mut Turn, first: Option<Vec<Arc<Consumer>>>) {
        let mut next = first;
        while let Some(consumers) = next {
            if let Some(consumer) = consumers.first() {
                consumer.queue.unblock(turn, &consumers);
            }
            next = self.line.lock().next();
        }
    }
}

impl Ticks for SharedCredit {
    fn tick(self: Arc<Self>, turn: &mut Turn) {
        let first = {
            let mut line = self.line.lock();
            line.tick_at = None;
            line.next()
        };
        self.hand_out(turn, first);
    }
}

/// A consumer that wants a message.
#[derive(Clone, Copy)]
struct Asks {
    queue: QueueId,
    id: ConsumerId,
    priority: i32,
    /// Whether the delivery needs an acknowledgement.
    uses: bool,
}

/// Order within a queue: highest priority first, then first come, first served.
type Place = (Reverse<i32>, u64);

/// Credit in use, and waiting consumers.
#[derive(Debug)]
struct Line<C> {
    limit: u32,
    held: u32,
    /// Queues with waiting consumers, next one first; the keys of `waiting`, each once.
    turns: VecDeque<QueueId>,
    waiting: FxHashMap<QueueId, BTreeMap<Place, (ConsumerId, C)>>,
    places: FxHashMap<ConsumerId, (QueueId, Place)>,
    /// The queue being served, and how much it may still take while others wait.
    serving: Option<(QueueId, u32)>,
    arrivals: u64,
    /// The instant of the scheduled tick for waiting consumers.
    tick_at: Option<Millis>,
}

impl<C> Default for Line<C> {
    fn default() -> Self {
        Self {
            limit: 0,
            held: 0,
            turns: VecDeque::new(),
            waiting: FxHashMap::default(),
            places: FxHashMap::default(),
            serving: None,
            arrivals: 0,
            tick_at: None,
        }
    }
}

impl<C> Line<C> {
    fn is_free(&self) -> bool {
        self.limit == 0 || self.held < self.limit
    }

    fn take(&mut self, asks: Asks, consumer: impl FnOnce() -> C) -> bool {
        let has_turn = matches!(self.serving, Some((queue, left)) if queue == asks.queue && left > 0);
        // No one overtakes waiting consumers: a hand-out reaches them before it ends.
        if self.is_free() && (has_turn || self.turns.is_empty()) {
            if asks.uses {
                self.held += 1;
                if let Some((_, left)) = &mut self.serving
                    && has_turn
                {
                    *left -= 1;
                }
            }
            return true;
        }
        if !self.places.contains_key(&asks.id) {
            self.arrivals += 1;
            let place = (Reverse(asks.priority), self.arrivals);
            self.places.insert(asks.id, (asks.queue, place));
            let queue = self.waiting.entry(asks.queue).or_insert_with(|| {
                self.turns.push_back(asks.queue);
                BTreeMap::new()
            });
            queue.insert(place, (asks.id, consumer()));
        }
        false
    }

    fn give_back(&mut self, count: u32) -> Option<Vec<C>> {
        self.held = self.held.saturating_sub(count);
        self.next()
    }

    /// The consumers to serve next, all of one queue; `None` if no one waits or no credit is free. They no longer wait.
    /// Their queue may take its share of the free credit, and queues up again if that is not enough.
    fn next(&mut self) -> Option<Vec<C>> {
        self.serving = None;
        while self.is_free() {
            let queue = self.turns.pop_front()?;
            let mut waiting = self.waiting.remove(&queue).unwrap_or_default();
            let free = if self.limit == 0 { u32::MAX } else { self.limit - self.held };
            let others = u32::try_from(self.turns.len()).unwrap_or(u32::MAX);
            let share = (free / others.saturating_add(1)).max(1);
            let mut served = Vec::new();
            while served.len() < share as usize
                && let Some((_, (id, consumer))) = waiting.pop_first()
            {
                self.places.remove(&id);
                served.push(consumer);
            }
            if !waiting.is_empty() {
                self.turns.push_back(queue);
                self.waiting.insert(queue, waiting);
            }
            // All of them may have left meanwhile.
            if !served.is_empty() {
                self.serving = Some((queue, share));
                return Some(served);
            }
        }
        None
    }

    fn forget(&mut self, id: ConsumerId) {
        if let Some((queue, place)) = self.places.remove(&id)
            && let Some(waiting) = self.waiting.get_mut(&queue)
        {
            waiting.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queues with a number of messages each, and one consumer per (queue, id, priority).
    struct World {
        line: Line<u64>,
        ready: Vec<u32>,
        consumers: Vec<(usize, u64, i32)>,
        delivered: Vec<u64>,
        woken: usize,
    }

    impl World {
        fn new(limit: u32, ready: &[u32], consumers: &[(usize, u64, i32)]) -> Self {
            let line = Line { limit, ..Line::default() };
            let (ready, consumers) = (ready.to_vec(), consumers.to_vec());
            let mut world = Self { line, ready, consumers, delivered: Vec::new(), woken: 0 };
            for (_, id, _) in world.consumers.clone() {
                world.serve(&[id]);
            }
            world
        }

        fn of(&self, id: u64) -> (usize, u64, i32) {
            *self.consumers.iter().find(|consumer| consumer.1 == id).expect("known")
        }

        /// Delivers what these consumers of one queue can take, in turn, highest priority first.
        fn serve(&mut self, consumers: &[u64]) {
            let mut able: Vec<_> = consumers.iter().map(|id| self.of(*id)).collect();
            able.sort_by_key(|consumer| Reverse(consumer.2));
            while let Some(&(queue, id, priority)) = able.first() {
                if self.ready[queue] == 0 {
                    return;
                }
                let asks = Asks { queue: QueueId(queue as u64), id: ConsumerId(id), priority, uses: true };
                if self.line.take(asks, || id) {
                    self.ready[queue] -= 1;
                    self.delivered.push(id);
                } else {
                    able.remove(0);
                }
            }
        }

        fn acknowledge(&mut self, count: u32) {
            let mut next = self.line.give_back(count);
            while let Some(consumers) = next {
                self.woken += consumers.len();
                self.serve(&consumers);
                next = self.line.next();
            }
            let waits = !self.line.turns.is_empty();
            assert!(!(self.line.is_free() && waits), "somebody waits though there is credit");
            assert!(self.line.held <= self.line.limit);
        }

        fn had(&self, id: u64) -> usize {
            self.delivered.iter().filter(|had| **had == id).count()
        }
    }

    #[test]
    fn queues_take_turns_whatever_the_limit_and_however_many_are_acknowledged_at_once() {
        for (limit, at_once) in [(1, 1), (2, 1), (2, 2), (10, 1), (10, 3), (10, 10), (100, 50)] {
            let mut world = World::new(limit, &[1000, 1000, 1000], &[(0, 1, 0), (1, 2, 0), (2, 3, 0)]);
            for _ in 0..600 / at_once {
                world.acknowledge(at_once);
            }
            let had = [1, 2, 3].map(|id| world.had(id));
            let (least, most) = (had.iter().min().expect("some"), had.iter().max().expect("some"));
            // The first one had all the credit that was free at the start.
            assert!(most - least <= limit as usize + 1, "limit {limit}, {at_once} at once: {had:?}");
        }
    }

    #[test]
    fn queues_share_alike_though_one_has_more_consumers() {
        let mut world = World::new(1, &[1000, 1000], &[(0, 1, 0), (0, 2, 0), (0, 3, 0), (1, 4, 0)]);
        for _ in 0..300 {
            world.acknowledge(1);
        }
        assert!(world.had(4).abs_diff(150) <= 1, "{}", world.had(4));
        assert!([1, 2, 3].iter().all(|id| world.had(*id).abs_diff(50) <= 1));
    }

    #[test]
    fn of_one_queue_the_higher_priority_goes_first() {
        let mut world = World::new(1, &[100], &[(0, 1, 0), (0, 2, 5)]);
        for _ in 0..50 {
            world.acknowledge(1);
        }
        assert_eq!((world.had(1), world.had(2)), (1, 50), "the first came before the other was there");
    }

    #[test]
    fn a_queue_that_has_nothing_leaves_its_turn_to_the_next() {
        let mut world = World::new(2, &[3, 100], &[(0, 1, 0), (1, 2, 0)]);
        for _ in 0..50 {
            world.acknowledge(1);
        }
        assert_eq!((world.had(1), world.had(2)), (3, 49));
    }

    #[test]
    fn a_credit_wakes_one_consumer_however_many_wait() {
        let woken = |waiting: u64| {
            let consumers: Vec<_> = (0..waiting).map(|id| (0, id, 0)).collect();
            let mut world = World::new(1, &[1_000_000], &consumers);
            for _ in 0..100 {
                world.acknowledge(1);
            }
            world.woken
        };
        assert_eq!((woken(10), woken(1000)), (100, 100));
    }

    #[test]
    fn without_acknowledgements_a_consumer_uses_no_credit_but_waits_for_some() {
        let mut line = Line { limit: 1, ..Line::default() };
        let asks = |id, uses| Asks { queue: QueueId(id), id: ConsumerId(id), priority: 0, uses };
        assert!((0..3).all(|_| line.take(asks(1, false), || 1)));
        assert!(line.take(asks(2, true), || 2));
        assert!(!line.take(asks(1, false), || 1));
        assert_eq!(line.give_back(1), Some(vec![1]));
        assert!(line.take(asks(1, false), || 1) && line.take(asks(1, false), || 1));
        assert_eq!((line.next(), line.held), (None, 0));
    }

    #[test]
    fn who_left_waits_no_longer() {
        let mut world = World::new(1, &[10, 10], &[(0, 1, 0), (1, 2, 0)]);
        world.line.forget(ConsumerId(1));
        world.acknowledge(1);
        assert_eq!(world.delivered, [1, 2]);
    }

    #[test]
    fn a_limit_that_is_lifted_serves_everybody() {
        let mut world = World::new(1, &[5, 5], &[(0, 1, 0), (1, 2, 0)]);
        world.line.limit = 0;
        world.line.held = 0;
        let mut next = world.line.next();
        while let Some(consumers) = next {
            world.serve(&consumers);
            next = world.line.next();
        }
        assert_eq!((world.had(1), world.had(2)), (5, 5));
    }
}
