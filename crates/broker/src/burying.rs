//! Dead letters at the end of a turn. A dead letter may push another message out of a full queue, so a single publish
//! can cause many thousands.
//!
//! Invariants: beyond [`BURIED_HERE`] they do not block the thread for others; waiting dead letters take little more
//! than [`WAITING_BYTES_MAX`], however many follow; up to that size, each queue's are sent in the order in which they
//! left it.

use std::collections::VecDeque;
use std::sync::Arc;

use leveret_exchanges::Origin;
use leveret_message::Message;
use leveret_message::Millis;
use leveret_message::stored::SettleReason;

use super::broker::Broker;
use super::dead_letter::dead_letter;
use super::publish::route;
use super::queue_handle::QueueHandle;
use super::transfer::Targets;
use super::turn::{Dead, Turn};

/// Dead letters buried per turn before the rest is moved aside.
const BURIED_HERE: usize = 1_024;

/// Memory of the dead letters waiting in a turn, in bytes. Beyond it, newly caused ones are buried first (depth first):
/// the tree of causes is only as deep as there are queues, but much wider.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Overhead per dead letter besides its message.
const OVERHEAD: usize = size_of::<Dead>();

/// Pending wake-ups are sent after this many dead letters.
const WOKEN_EVERY: usize = 256;

/// Waiting items, each with its memory in bytes.
struct Waiting<T> {
    line: VecDeque<(usize, T)>,
    bytes: usize,
    bytes_max: usize,
}

impl<T> Waiting<T> {
    fn new(bytes_max: usize) -> Self {
        Self { line: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Adds new items, oldest first: at the back while there is room, else at the front.
    fn take(&mut self, more: impl DoubleEndedIterator<Item = (usize, T)>) {
        let is_full = self.bytes > self.bytes_max;
        let bytes = &mut self.bytes;
        let counted = more.inspect(|(one, _)| *bytes += one);
        if is_full {
            counted.rev().for_each(|one| self.line.push_front(one));
        } else {
            self.line.extend(counted);
        }
    }

    fn next(&mut self) -> Option<T> {
        let (bytes, next) = self.line.pop_front()?;
        self.bytes -= bytes;
        Some(next)
    }
}

fn weighed(dead: Dead) -> (usize, Dead) {
    (OVERHEAD + dead.message.as_ref().map_or(0, Message::memory), dead)
}

impl Broker {
    /// Ends a turn: forwards dead letters, deletes queues no longer in use, wakes connections with output. No lock may
    /// be held.
    pub fn finish(&self, turn: &mut Turn) {
        if !turn.dead.is_empty() || !turn.deletable.is_empty() {
            self.pay_debts(turn);
        }
        turn.purged.clear();
        for consumer in std::mem::take(&mut turn.cancelled) {
            turn.owe_wake(consumer.sink.cancelled(&consumer));
        }
        turn.wake();
    }

    fn pay_debts(&self, turn: &mut Turn) {
        let mut waiting = Waiting::new(WAITING_BYTES_MAX);
        if self.pay_some(turn, &mut waiting, BURIED_HERE) {
            return;
        }
        turn.wake();
        let aside = turn.aside;
        aside.run(&mut || {
            while !self.pay_some(turn, &mut waiting, WOKEN_EVERY) {
                turn.wake();
            }
        });
    }

    /// Buries at most `most`, and deletes queues once none are left. Returns `true` when all is done.
    fn pay_some(&self, turn: &mut Turn, waiting: &mut Waiting<Dead>, most: usize) -> bool {
        for _ in 0..most {
            waiting.take(turn.dead.drain(..).map(weighed));
            if let Some(dead) = waiting.next() {
                self.bury(turn, dead);
                continue;
            }
            if turn.deletable.is_empty() {
                return true;
            }
            for queue in std::mem::take(&mut turn.deletable) {
                self.delete_idle(turn, &queue);
            }
        }
        false
    }

    /// Moves a dead message from its queue to the targets of the dead-letter exchange, in one step of the store.
    fn bury(&self, turn: &mut Turn, dead: Dead) {
        let source = Arc::clone(&dead.source);
        let Some(Dead { message: Some(message), reason, place, may_have_left, .. }) =
            source.letter_in_line(dead)
        else {
            return;
        };
        let settle = place.map(|(seq, _)| source.settled(seq, reason));
        let targets = self.dead_letter_targets(turn.now, &source, reason, &message, may_have_left);
        match targets {
            Some((message, targets)) => self.move_to(turn, &message, targets, |_| settle),
            None => self.move_to(turn, &message, Targets::default(), |_| settle),
        };
    }

    fn dead_letter_targets(
        &self,
        now: Millis,
        source: &QueueHandle,
        reason: SettleReason,
        message: &Message,
        may_have_left: bool,
    ) -> Option<(Message, Targets)> {
        let rule = source.dead_letter_rule()?;
        let vhost = self.vhost(source.vhost.as_str())?;
        vhost.stats.count_dead(reason);
        let letter = dead_letter(message, &source.name, reason, &rule, now, may_have_left);
        let mut keys = vec![letter.message.routing_key()];
        keys.extend(letter.more_keys.iter().map(Vec::as_slice));
        let mut queues = Vec::new();
        let exchange = rule.exchange.as_str().as_bytes();
        // A missing exchange drops the message, as a missing binding does.
        let routed = route(&vhost, now, &letter.message, exchange, &keys, Origin::Broker, |queue| {
            if letter.is_cycle(&queue.name) {
                tracing::warn!(
                    vhost = %queue.vhost, queue = %queue.name,
                    "message dropped: dead-lettering has come around to a queue that dropped it before, or goes on by itself without end"
                );
            } else {
                queues.push(Arc::clone(queue));
            }
        });
        let delay_rooms = routed.map(|routed| routed.delay_rooms).unwrap_or_default();
        let mut targets = Targets { queues, delay_rooms };
        let multiplied = if letter.is_automatic() {
            self.bound_copies(&vhost, source.name.as_str(), &letter.message, &mut targets)
        } else {
            None
        };
        Some((multiplied.unwrap_or(letter.message), targets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Peak of waiting bytes for `firsts` one-byte items when each causes as many others as its depth.
    fn peak(firsts: usize, depth: usize, bytes_max: usize) -> (usize, usize) {
        let mut waiting = Waiting::new(bytes_max);
        waiting.take(std::iter::repeat_n((1, depth), firsts));
        let (mut peak, mut count) = (0, 0);
        while let Some(depth) = waiting.next() {
            count += 1;
            waiting.take(std::iter::repeat_n((1, depth.saturating_sub(1)), depth));
            peak = peak.max(waiting.bytes);
        }
        assert_eq!(waiting.bytes, 0);
        (peak, count)
    }

    #[test]
    fn however_many_follow_few_wait() {
        let (unbounded, all) = peak(10, 8, usize::MAX);
        assert!(unbounded > 400_000, "{unbounded}");
        let (bounded, as_many) = peak(10, 8, 1000);
        assert!(bounded < 1000 + 8 * 8, "{bounded}");
        assert_eq!(all, as_many);
    }

    #[test]
    fn what_waits_goes_in_order() {
        let order = |bytes_max| {
            let mut waiting = Waiting::new(bytes_max);
            waiting.take([(1, 'a'), (1, 'b'), (1, 'c')].into_iter());
            let first = waiting.next();
            waiting.take([(1, 'x'), (1, 'y')].into_iter());
            first.into_iter().chain(std::iter::from_fn(|| waiting.next())).collect::<String>()
        };
        assert_eq!(order(2), "abcxy");
        assert_eq!(order(1), "axybc");
    }
}
