//! Delivery: pushed to consumers, or fetched by `basic.get`.

use leveret_message::ids::{Millis, Seq};
use leveret_message::message::Message;
use leveret_message::stored::SettleReason;

use super::consumers::{Consumers, Holder};
use super::entry::Entry;
use super::limits::Budget;
use super::priority_level::{Front, PriorityLevel};
use super::unacked::Unacked;
use super::{Counts, Delivery, Effects, GetReply, Gone, Got, Outlet, Queue, Token};

impl<C> Queue<C> {
    /// Number of consumers that can take a message now.
    pub(super) fn takers(&self) -> usize {
        self.consumers.as_deref().map_or(0, Consumers::takers)
    }

    /// The front of all priority levels, with its level.
    pub(super) fn front(&self) -> Option<(u8, Front)> {
        let level = self.priority_levels.top()?;
        let mut front = self.priority_levels.get(level)?.front()?;
        if let Some((upto, at)) = self.all_expire
            && let Front::Entry { seq, expires, .. } = &mut front
            && *seq <= upto
        {
            *expires = at.min(*expires);
        }
        Some((level, front))
    }

    /// Removes the front of a priority level from the ready messages.
    pub(super) fn pop(&mut self, level: u8) -> Option<Entry> {
        let entry = self.priority_levels.get_mut(level)?.pop()?;
        self.priority_levels.note(level);
        self.counts.take_ready(&entry);
        Some(entry)
    }

    /// Drops what is due, delivers as much as consumers take, and asks the store for what they will want next.
    pub fn dispatch(&mut self, now: Millis, outlet: &mut (impl Outlet<C> + ?Sized), fx: &mut Effects) {
        let mut budget = Budget::default();
        self.release_due_retries(now);
        self.trim_within(now, self.takers() > 0, &mut budget, fx);
        while let Some((level, Front::Entry { expires, bytes, here: true, .. })) = self.front() {
            if expires <= now {
                self.trim_within(now, self.takers() > 0, &mut budget, fx);
                if self.more_due || self.front_waits() {
                    break;
                }
                continue;
            }
            if self.retries.is_some() && self.takers() > 0 && self.retry_after_restart(now, level) {
                continue;
            }
            let Some(consumers) = self.consumers.as_deref_mut() else {
                break;
            };
            let Some((consumer, holder)) = consumers.take_turn(bytes, outlet) else {
                break;
            };
            let Some(entry) = self.priority_levels.get_mut(level).and_then(PriorityLevel::pop) else {
                break;
            };
            self.priority_levels.note(level);
            self.counts.take_ready(&entry);
            let till = HandOut {
                unacked: &mut self.unacked,
                counts: &mut self.counts,
                delivered_upto: &mut self.delivered_upto,
                durable: self.settings.durable,
                lean: self.lean,
            };
            if let Some(delivery) = till.hand_out(entry, holder, consumer.spec.no_ack, fx) {
                outlet.deliver(&consumer.spec.handle, delivery);
            }
        }
        self.wish(now, self.counts.consumers > 0, fx);
        self.check_small();
    }

    /// [`Queue::dispatch`] after time has passed.
    pub fn tick(&mut self, now: Millis, outlet: &mut (impl Outlet<C> + ?Sized), fx: &mut Effects) {
        self.dispatch(now, outlet, fx);
    }

    /// Gives a new message straight to a waiting consumer. `Ok(true)`: it needs no acknowledgement. `Err`: no
    /// consumer waits.
    pub(super) fn pass_on(
        &mut self,
        entry: Entry,
        outlet: &mut (impl Outlet<C> + ?Sized),
        fx: &mut Effects,
    ) -> Result<bool, Entry> {
        let Some(consumers) = self.consumers.as_deref_mut() else {
            return Err(entry);
        };
        let Some((consumer, holder)) = consumers.take_turn(entry.bytes, outlet) else {
            return Err(entry);
        };
        let no_ack = consumer.spec.no_ack;
        let (seq, redelivered) = (entry.seq, entry.redelivered);
        let delivery = if no_ack {
            let Some(message) = entry.message else {
                return Ok(true);
            };
            Delivery { message, token: None, seq, redelivered, delivery_count: 0, acquired_count: 0 }
        } else {
            let Some(message) = entry.message.clone() else {
                return Ok(false);
            };
            self.counts.enter(&entry);
            self.counts.add_unacked(&entry);
            if entry.stored() {
                self.delivered_upto = seq;
                fx.delivered_upto = Some(seq);
            }
            let token = Some(self.unacked.hold(entry, holder));
            Delivery { message, token, seq, redelivered, delivery_count: 0, acquired_count: 0 }
        };
        outlet.deliver(&consumer.spec.handle, delivery);
        self.check_small();
        Ok(no_ack)
    }

    /// `basic.get`: takes the front. Counts as use of the queue.
    pub fn get(&mut self, now: Millis, no_ack: bool, fx: &mut Effects) -> GetReply {
        self.last_used = now;
        self.release_due_retries(now);
        let mut budget = Budget::default();
        self.trim_within(now, true, &mut budget, fx);
        while let Some((level, Front::Entry { here: true, expires, .. })) = self.front()
            && expires > now
            && self.retry_after_restart(now, level)
        {
            self.trim_within(now, true, &mut budget, fx);
        }
        let reply = match self.front() {
            None => GetReply::Empty,
            // An expired front remains if there are more drops than one call may do, or if it has to wait.
            Some((level, Front::Entry { here: true, expires, .. })) if expires > now => {
                let entry = self.pop(level);
                let till = HandOut {
                    unacked: &mut self.unacked,
                    counts: &mut self.counts,
                    delivered_upto: &mut self.delivered_upto,
                    durable: self.settings.durable,
                    lean: self.lean,
                };
                match entry.and_then(|entry| till.hand_out(entry, Holder::NOBODY, no_ack, fx)) {
                    Some(delivery) => {
                        // Nothing expired is left behind it.
                        self.trim_within(now, true, &mut Budget::default(), fx);
                        GetReply::Got(Got { delivery, ready_left: self.counts.ready })
                    }
                    None => GetReply::Empty,
                }
            }
            Some(_) => GetReply::NotYet,
        };
        self.wish(now, true, fx);
        self.check_small();
        reply
    }

    /// The message that a token names, if its body is in memory.
    pub fn held(&self, token: Token) -> Option<&Message> {
        self.unacked.get(token)?.entry.message.as_ref()
    }
}

/// The parts of a queue that delivering a message changes, apart from priority levels and consumers.
struct HandOut<'a> {
    unacked: &'a mut Unacked,
    counts: &'a mut Counts,
    delivered_upto: &'a mut Seq,
    durable: bool,
    lean: Option<Seq>,
}

impl HandOut<'_> {
    /// Makes a delivery of a message just taken from the ready ones. `None`: its body is not in memory, which the
    /// caller has ruled out.
    fn hand_out(self, mut entry: Entry, holder: Holder, no_ack: bool, fx: &mut Effects) -> Option<Delivery> {
        let (seq, redelivered) = (entry.seq, entry.redelivered);
        let (delivery_count, acquired_count) = (entry.delivery_count, entry.acquired_count);
        let (message, token) = if no_ack {
            self.counts.leave(&entry);
            let message = if entry.stored() {
                let kept = entry.message.clone();
                fx.gone.push(gone(entry, SettleReason::Acked, false));
                kept?
            } else {
                entry.message.take()?
            };
            (message, None)
        } else {
            let message = if self.lean.is_some_and(|upto| entry.pageable(self.durable, upto)) {
                self.counts.resident_bytes -= entry.memory();
                entry.message.take()?
            } else {
                entry.message.clone()?
            };
            self.counts.add_unacked(&entry);
            if entry.stored() && seq > *self.delivered_upto {
                *self.delivered_upto = seq;
                fx.delivered_upto = Some(seq);
            }
            (message, Some(self.unacked.hold(entry, holder)))
        };
        Some(Delivery { message, token, seq, redelivered, delivery_count, acquired_count })
    }
}

/// The report of a message that is gone.
pub(super) fn gone(entry: Entry, reason: SettleReason, dead_letter: bool) -> Gone {
    Gone {
        stored: entry.stored(),
        seq: entry.seq,
        expires: entry.expires_option(),
        message: entry.message,
        reason,
        dead_letter,
        priority_level: entry.priority_level,
        delivery_count: entry.delivery_count,
    }
}
