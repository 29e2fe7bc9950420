//! Which queue has to be looked at when: expiring messages, idle queues, marks to be written. One
//! heap for all queues, so that an idle queue costs no timer. Time comes from outside.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::task::Waker;

use leveret_queues::Millis;
use parking_lot::Mutex;

use super::queue_handle::QueueHandle;

/// The instants at which queues want a tick.
#[derive(Default)]
pub struct Deadlines {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    heap: BinaryHeap<Reverse<Entry>>,
    timer: Option<Waker>,
}

struct Entry {
    at: Millis,
    queue: Weak<QueueHandle>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl Deadlines {
    /// Has `queue` ticked at `at`. Called under the queue's lock.
    pub(super) fn set(&self, at: Millis, queue: &Arc<QueueHandle>) {
        let mut state = self.state.lock();
        let earliest = state.heap.peek().is_none_or(|Reverse(first)| at < first.at);
        state.heap.push(Reverse(Entry { at, queue: Arc::downgrade(queue) }));
        if earliest && let Some(timer) = state.timer.take() {
            timer.wake();
        }
    }

    /// The earliest instant wanted, if any; `timer` is woken when an earlier one comes.
    pub fn earliest(&self, timer: &Waker) -> Option<Millis> {
        let mut state = self.state.lock();
        state.timer = Some(timer.clone());
        state.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes out the queues that are due at `now`.
    pub fn due(&self, now: Millis) -> Vec<Arc<QueueHandle>> {
        let mut state = self.state.lock();
        let mut due = Vec::new();
        while let Some(Reverse(entry)) = state.heap.peek() {
            if entry.at > now {
                break;
            }
            if let Some(Reverse(entry)) = state.heap.pop() {
                due.extend(entry.queue.upgrade());
            }
        }
        due
    }
}
