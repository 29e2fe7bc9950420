//! Idle and busy queues: few of many have messages or consumers, and only those take the memory for it.
//!
//! Invariants: an idle queue has no messages, consumers, scheduled work or lease; operations that need more than its
//! counters make it busy; sequence numbers continue. Absent: the operations of a busy queue.

use std::sync::Arc;
use std::task::Waker;

use leveret_message::{Millis, Seq};
use leveret_queues::{Counts, Overflow, Queue};
use parking_lot::{MappedMutexGuard, MutexGuard};

use super::letters::UnreadLetters;
use super::{Installed, QueueHandle, QueueStats};
use crate::consumer::Consumer;
use crate::dead_letter::DeadLetterRule;
use crate::deduplication::Deduplication;
use crate::paging::Paging;
use crate::policies::Matched;
use crate::queue_options::InForce;
use crate::requeue_backoff::RequeueBackoff;

/// State of a busy queue.
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(super) struct Cell {
    pub(super) queue: Queue<Arc<Consumer>>,
    pub(super) dead_letter: Option<Arc<DeadLetterRule>>,
    pub(super) matched: Matched,
    /// Whether refused messages are dead-lettered (`reject-publish-dlx`).
    pub(super) refused_die: bool,
    pub(super) deduplication: Option<Box<Deduplication>>,
    pub(super) gone: bool,
    /// Set permanently when the queue becomes durable: messages routed before do not know that the store must be told.
    pub(super) became_durable: bool,
    pub(super) had_consumer: bool,
    /// Whether the store knows that the queue delivers.
    pub(super) served: bool,
    /// Its deletion could not be made durable, and is retried later, not at every tick.
    pub(super) undeleted: bool,
    /// The instant of the scheduled tick.
    pub(super) tick_at: Option<Millis>,
    pub(super) paging: Paging,
    pub(super) requeue_backoff: RequeueBackoff,
    pub(super) resident: u64,
    /// A `basic.get` found the head not in memory.
    pub(super) head_unready: Option<Box<Unready>>,
    /// Why the next messages cannot be read from disk.
    pub(super) unread: Option<Box<str>>,
    pub(super) unread_letters: Option<Box<UnreadLetters>>,
    /// Dead letters wait until they can be written; next check.
    pub(super) letters_again_at: Option<Millis>,
    /// Sequence numbers of damaged messages, in the store but no longer in the queue.
    pub(super) damaged: Vec<Seq>,
    pub(super) stats: QueueStats,
}

impl Cell {
    pub(super) fn head_may_be_ready(&mut self) {
        for client in self.head_unready.take().into_iter().flat_map(|unready| unready.clients) {
            client.wake();
        }
    }
}

/// State of waiting for the head to be read. Boxed, since most queues never need it.
#[derive(Default)]
pub(super) struct Unready {
    /// Clients with a waiting `basic.get`.
    pub(super) clients: Vec<Waker>,
}

/// An unused queue.
pub(super) struct Idle {
    /// `None`: default settings apart from durability.
    in_force: Option<Box<InForce>>,
    /// `None`: all counters are zero.
    stats: Option<Box<QueueStats>>,
    last_seq: Seq,
    last_used: Millis,
}

/// See the module documentation.
pub(super) enum State {
    Idle(Idle),
    Busy(Box<Cell>),
}

impl Idle {
    pub(super) fn touch(&mut self, now: Millis) {
        self.last_used = now;
    }

    pub(super) fn stats(&self) -> QueueStats {
        self.stats.as_deref().copied().unwrap_or_default()
    }

    pub(super) fn dead_letter(&self) -> Option<Arc<DeadLetterRule>> {
        self.in_force.as_ref()?.dead_letter.clone()
    }

    pub(super) fn matched(&self) -> Matched {
        self.in_force.as_ref().map(|in_force| in_force.matched.clone()).unwrap_or_default()
    }

    pub(super) fn in_force(&self, durable: bool) -> InForce {
        self.in_force.as_deref().cloned().unwrap_or_else(|| plain(durable))
    }

    pub(super) fn keep_to(&mut self, in_force: InForce, durable: bool) {
        self.in_force = unless_plain(in_force, durable);
    }
}

/// Settings of a queue without arguments and policies.
fn plain(durable: bool) -> InForce {
    let mut plain = InForce::default();
    plain.settings.durable = durable;
    plain
}

fn unless_plain(in_force: InForce, durable: bool) -> Option<Box<InForce>> {
    let InForce { settings, dead_letter, consumer_timeout_ms, matched } = &in_force;
    let plain = *settings == plain(durable).settings
        && dead_letter.is_none()
        && consumer_timeout_ms.is_none()
        && matched.same(&Matched::default());
    (!plain).then(|| Box::new(in_force))
}

impl State {
    pub(super) fn new(installed: Installed) -> Self {
        let Installed { in_force, deduplication, queue } = installed;
        if let (None, Some((last_seq, last_used))) = (&deduplication, queue.at_rest()) {
            let in_force = unless_plain(in_force, queue.settings().durable);
            return Self::Idle(Idle { in_force, stats: None, last_seq, last_used });
        }
        let mut cell = Cell::new(in_force, queue, QueueStats::default());
        cell.deduplication = deduplication.map(|rule| Box::new(Deduplication::new(rule)));
        Self::Busy(Box::new(cell))
    }

    pub(super) fn busy(&mut self, durable: bool) -> &mut Cell {
        if let Self::Idle(idle) = self {
            let in_force = idle.in_force(durable);
            let queue = Queue::resume(in_force.settings, idle.last_seq, idle.last_used);
            let cell = Cell::new(in_force, queue, idle.stats());
            *self = Self::Busy(Box::new(cell));
        }
        match self {
            Self::Busy(cell) => cell,
            Self::Idle(_) => unreachable!("it was made busy"),
        }
    }

    /// Makes the queue idle if possible.
    fn rest(&mut self, auto_delete: bool, consumer_timeout_ms: Option<u64>) {
        let Self::Busy(cell) = self else { return };
        let Some((last_seq, last_used)) = cell.queue.at_rest().filter(|_| cell.is_at_rest(auto_delete))
        else {
            let counts = cell.queue.counts();
            if counts.total() == 0 {
                cell.queue.shrink();
            }
            return;
        };
        let settings = *cell.queue.settings();
        let (dead_letter, matched) = (cell.dead_letter.take(), std::mem::take(&mut cell.matched));
        let in_force = InForce { settings, dead_letter, consumer_timeout_ms, matched };
        let stats = (cell.stats != QueueStats::default()).then(|| Box::new(cell.stats));
        let in_force = unless_plain(in_force, settings.durable);
        *self = Self::Idle(Idle { in_force, stats, last_seq, last_used });
    }
}

impl Cell {
    fn new(in_force: InForce, queue: Queue<Arc<Consumer>>, stats: QueueStats) -> Self {
        Self {
            queue,
            dead_letter: in_force.dead_letter,
            matched: in_force.matched,
            refused_die: in_force.settings.overflow == Overflow::RejectPublishDeadLetter,
            deduplication: None,
            gone: false,
            became_durable: false,
            had_consumer: false,
            served: false,
            undeleted: false,
            tick_at: None,
            paging: Paging::default(),
            requeue_backoff: RequeueBackoff::default(),
            resident: 0,
            head_unready: None,
            unread: None,
            unread_letters: None,
            letters_again_at: None,
            damaged: Vec::new(),
            stats,
        }
    }

    /// Whether the state besides the queue itself can be dropped.
    fn is_at_rest(&self, auto_delete: bool) -> bool {
        let may_go = auto_delete && self.had_consumer;
        !(self.gone || may_go || self.became_durable || self.undeleted)
            && self.deduplication.is_none()
            && self.tick_at.is_none()
            && self.head_unready.is_none()
            && self.unread.is_none()
            && self.unread_letters.is_none()
            && self.damaged.is_empty()
            && self.resident == 0
    }
}

impl QueueHandle {
    /// The busy state, locked.
    pub(super) fn busy(&self) -> MappedMutexGuard<'_, Cell> {
        MutexGuard::map(self.state.lock(), |state| state.busy(self.durable()))
    }

    /// Makes the queue idle if it is unused. Called periodically.
    pub(crate) fn rest(&self) {
        self.state.lock().rest(self.auto_delete(), self.consumer_timeout_ms());
    }

    /// Message and consumer counts.
    pub fn counts(&self) -> Counts {
        match &*self.state.lock() {
            State::Idle(_) => Counts::default(),
            State::Busy(cell) => cell.queue.counts(),
        }
    }

    /// Counters since its declaration.
    pub fn stats(&self) -> QueueStats {
        match &*self.state.lock() {
            State::Idle(idle) => idle.stats(),
            State::Busy(cell) => cell.stats,
        }
    }

    /// Its dead-letter target.
    pub fn dead_letter_rule(&self) -> Option<Arc<DeadLetterRule>> {
        match &*self.state.lock() {
            State::Idle(idle) => idle.dead_letter(),
            State::Busy(cell) => cell.dead_letter.clone(),
        }
    }

    /// The policies that apply to it.
    pub fn matched(&self) -> Matched {
        match &*self.state.lock() {
            State::Idle(idle) => idle.matched(),
            State::Busy(cell) => cell.matched.clone(),
        }
    }

    /// Renews the queue's lease (`x-expires`).
    pub fn touch(&self, now: Millis) {
        match &mut *self.state.lock() {
            State::Idle(idle) => idle.touch(now),
            State::Busy(cell) => cell.queue.touch(now),
        }
    }

    /// Whether it was deleted.
    pub fn is_gone(&self) -> bool {
        matches!(&*self.state.lock(), State::Busy(cell) if cell.gone)
    }
}

#[cfg(test)]
mod tests {
    use leveret_message::{Message, MessageMeta, Short};
    use leveret_queues::{Delivery, Effects, Outlet, Settings};

    use super::*;

    struct Nobody;

    impl Outlet<Arc<Consumer>> for Nobody {
        fn reserve(&mut self, _: &Arc<Consumer>, _: usize) -> bool {
            false
        }

        fn deliver(&mut self, _: &Arc<Consumer>, _: Delivery) {}
    }

    fn state(settings: Settings) -> State {
        let in_force = InForce { settings, ..InForce::default() };
        let queue = Queue::new(settings, Millis(1));
        State::new(Installed { in_force, deduplication: None, queue })
    }

    fn publish(cell: &mut Cell) {
        let message =
            Message::new(Short::EMPTY, Short::literal("q"), b"\0\0", b"body", MessageMeta::default());
        cell.queue.publish(Millis(2), message, &mut Nobody, &mut Effects::default());
        cell.stats.published += 1;
    }

    #[test]
    fn a_used_queue_rests_when_it_is_empty_and_its_places_and_counts_go_on() {
        let settings = Settings { durable: true, max_length: Some(5), ..Settings::default() };
        let mut state = state(settings);
        assert!(matches!(state, State::Idle(_)));
        publish(state.busy(true));
        state.rest(false, None);
        assert!(matches!(state, State::Busy(_)), "it holds a message");
        let before = state.busy(true).queue.last_seq();
        state.busy(true).queue.purge(&mut Effects::default());
        state.rest(false, None);
        assert!(matches!(state, State::Idle(_)));
        let cell = state.busy(true);
        assert_eq!((cell.queue.last_seq(), cell.stats.published), (before, 1));
        assert_eq!(*cell.queue.settings(), settings);
    }

    #[test]
    fn a_queue_with_a_lease_does_not_rest() {
        let mut state = state(Settings { expires_ms: Some(1000), ..Settings::default() });
        state.rest(false, None);
        assert!(matches!(state, State::Busy(_)));
    }

    #[test]
    fn an_auto_delete_queue_that_had_consumers_does_not_rest() {
        let mut state = state(Settings::default());
        state.busy(false).had_consumer = true;
        state.rest(true, None);
        assert!(matches!(state, State::Busy(_)), "it would forget that it may go");
    }
}
