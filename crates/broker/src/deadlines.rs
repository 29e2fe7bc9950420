//! When each queue or delay room needs attention: expiring messages, idle queues, delayed messages. One ordered map
//! with at most one entry per object, so that an idle queue costs no timer. The time is passed in.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::task::Waker;

use leveret_message::Millis;
use parking_lot::Mutex;

use super::turn::Turn;

/// An object that can be ticked.
pub trait Ticks: Send + Sync {
    /// The scheduled instant has come.
    fn tick(self: Arc<Self>, turn: &mut Turn);
}

/// Scheduled ticks.
#[derive(Default)]
pub struct Deadlines {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By instant and address; the address cannot be reused while the weak reference exists.
    wanted: BTreeMap<(Millis, usize), Weak<dyn Ticks>>,
    timer: Option<Waker>,
}

impl Deadlines {
    /// Schedules a tick for `who` at `at`, replacing the one at `instead`. Called under the lock of `who`.
    pub(super) fn set<T: Ticks + 'static>(&self, at: Millis, instead: Option<Millis>, who: &Arc<T>) {
        let address = Arc::as_ptr(who).addr();
        let mut state = self.state.lock();
        if let Some(instead) = instead {
            state.wanted.remove(&(instead, address));
        }
        let earliest = state.wanted.first_key_value().is_none_or(|((first, _), _)| at < *first);
        let weak = Arc::downgrade(who);
        state.wanted.insert((at, address), weak);
        if earliest && let Some(timer) = state.timer.take() {
            timer.wake();
        }
    }

    /// Cancels the tick of `who` at `at`.
    pub(super) fn forget<T: Ticks + 'static>(&self, at: Millis, who: &Arc<T>) {
        self.state.lock().wanted.remove(&(at, Arc::as_ptr(who).addr()));
    }

    /// The earliest scheduled instant, if any; `timer` is woken when an earlier one is set.
    pub fn earliest(&self, timer: &Waker) -> Option<Millis> {
        let mut state = self.state.lock();
        state.timer = Some(timer.clone());
        state.wanted.first_key_value().map(|((at, _), _)| *at)
    }

    /// Removes and returns the objects due at `now`.
    pub fn due(&self, now: Millis) -> Vec<Arc<dyn Ticks>> {
        let mut state = self.state.lock();
        let mut due = Vec::new();
        while let Some(entry) = state.wanted.first_entry() {
            if entry.key().0 > now {
                break;
            }
            due.extend(entry.remove().upgrade());
        }
        due
    }
}
