//! The queue: who gets which message, in which order, and what becomes of the others.
//!
//! One [`Queue`] is one value. Its methods are the only way to change it; each takes the time where
//! it matters, pushes what the caller must do into [`Effects`], and hands deliveries to an
//! [`Outlet`].
//!
//! Invariants: a message is ready or unacknowledged, never both; ready messages keep publish order
//! within their priority, and what comes back returns to its old place; a consumer never holds more
//! than its prefetch; no consumer that could take a message waits while the front can be
//! delivered, once the caller has dispatched; no call works through more than a bounded number of
//! drops (what is left is due at once, see [`Queue::next_deadline`]).
//!
//! Absent: no clock, no locks, no async, no I/O, no randomness. A queue nobody uses has no heap.
//!
//! Who must dispatch: after [`attach`](Queue::attach), [`detach`](Queue::detach),
//! [`settle`](Queue::settle), [`reject`](Queue::reject), [`requeue`](Queue::requeue) and
//! [`unblock`](Queue::unblock) the caller calls [`dispatch`](Queue::dispatch), once for as many of them as it
//! likes. After any call it looks at [`next_deadline`](Queue::next_deadline).

mod browse;
mod change;
mod check;
mod consumers;
mod counts;
mod deliver;
mod effects;
mod entry;
mod letters;
mod limits;
mod paging;
mod priority_level;
mod priority_levels;
mod publish;
mod reading;
mod settings;
mod settle;
#[cfg(test)]
mod tests;
mod unacked;

pub use browse::{ConsumerView, Peeked};
pub use counts::Counts;
pub use effects::{
    AttachRefused, ConsumerId, ConsumerSpec, Delivery, Effects, GetReply, Gone, Got, Outlet, Published,
    PurgeMark, ReadAsk, Requeue, Token,
};
pub use paging::PageCandidate;
pub use settings::{Overflow, Settings};

use consumers::{Consumers, Removed};
use letters::Letters;
use priority_level::{Chunk, Cold};
use priority_levels::PriorityLevels;
use reading::Reading;
use unacked::Unacked;

use crate::ids::{Millis, Seq};
use crate::store::RecoveredQueue;

/// One queue. `C` is what the caller knows a consumer by.
#[derive(Debug)]
pub struct Queue<C> {
    settings: Settings,
    priority_levels: PriorityLevels,
    unacked: Unacked,
    consumers: Option<Box<Consumers<C>>>,
    counts: Counts,
    /// The last place given out.
    last_seq: Seq,
    /// Stored messages up to here may have been delivered.
    delivered_upto: Seq,
    /// What an earlier run may have delivered.
    recovered_upto: Seq,
    /// The read that is under way. In a box: most queues never read.
    reading: Option<Box<Reading>>,
    /// After a read that failed: not before this.
    retry_at: Millis,
    /// When the queue was last in use, for `x-expires`.
    last_used: Millis,
    /// Messages up to this place expire at this instant at the latest: a time to live came after them, or
    /// may have. What they were published with is not forgotten.
    all_expire: Option<(Seq, Millis)>,
    /// Given to the next consumer, to tell old from new.
    next_serial: u32,
    /// Drops were left undone because there were too many for one call.
    more_due: bool,
    /// Transient messages were handed out to be written and are not known to be written yet.
    paging_out: bool,
    /// The store knows of transient messages.
    paged_ever: bool,
    /// See [`Queue::hand_out_lean`].
    lean: Option<Seq>,
    letters: Option<Box<Letters>>,
}

impl<C> Queue<C> {
    /// An empty queue.
    pub fn new(settings: Settings, now: Millis) -> Self {
        Self {
            settings,
            priority_levels: PriorityLevels::default(),
            unacked: Unacked::default(),
            consumers: None,
            counts: Counts::default(),
            last_seq: Seq(0),
            delivered_upto: Seq(0),
            recovered_upto: Seq(0),
            reading: None,
            retry_at: Millis(0),
            last_used: now,
            all_expire: None,
            next_serial: 0,
            more_due: false,
            paging_out: false,
            paged_ever: false,
            lean: None,
            letters: None,
        }
    }

    /// A queue as the store found it: all its messages are on disk. [`Queue::next_deadline`] is
    /// due at once if there are any, because their rules are not known until the first is read.
    pub fn recover(settings: Settings, found: &RecoveredQueue, now: Millis) -> Self {
        let mut queue = Self::new(settings, now);
        queue.last_seq = found.last_seq.max(found.delivered_upto);
        queue.delivered_upto = found.delivered_upto;
        queue.recovered_upto = found.delivered_upto;
        for range in &found.ranges {
            // Only persistent messages survive a restart.
            let cold = Cold {
                first: range.first,
                last: range.last,
                count: range.count,
                bytes: range.bytes,
                persistent: range.count,
                persistent_bytes: range.bytes,
            };
            queue.last_seq = queue.last_seq.max(range.last);
            queue.counts.enter_cold(&cold);
            let priority_level = queue.priority_levels.make(range.priority_level);
            if let Some(Chunk::Cold(before)) = priority_level.rest.back_mut() {
                before.join(&cold);
            } else {
                priority_level.rest.push_back(Chunk::Cold(cold));
            }
            queue.priority_levels.note(range.priority_level);
        }
        queue.expire_all(now);
        queue.check_small();
        queue
    }

    /// The last place and the last use, if that is all there is to know of the queue besides its settings: nothing in it,
    /// nobody at it, no lease that ends. It can be made again by [`Queue::resume`].
    pub fn at_rest(&self) -> Option<(Seq, Millis)> {
        let idle = self.counts.ready == 0
            && self.counts.unacked == 0
            && self.consumers.is_none()
            && self.reading.is_none()
            && !self.more_due
            && !self.paging_out
            && self.settings.expires_ms.is_none();
        idle.then_some((self.last_seq, self.last_used))
    }

    /// A queue that was [at rest](Queue::at_rest).
    pub fn resume(settings: Settings, last_seq: Seq, last_used: Millis) -> Self {
        Self {
            last_seq,
            delivered_upto: last_seq,
            recovered_upto: last_seq,
            ..Self::new(settings, last_used)
        }
    }

    /// Whether the message at this place may have left the queue before the end after which it was recovered: where it
    /// is moved to it may be known already ([`MessageMeta::redelivered`](crate::MessageMeta::redelivered)).
    pub fn may_have_left(&self, seq: Seq) -> bool {
        seq <= self.recovered_upto
    }

    /// Attaches a consumer. Delivers nothing yet, so that the caller can say so (`consume-ok`)
    /// before it dispatches.
    ///
    /// # Errors
    /// If exclusive use stands against it.
    pub fn attach(
        &mut self,
        now: Millis,
        spec: ConsumerSpec<C>,
        fx: &mut Effects,
    ) -> Result<(), AttachRefused> {
        let single_active = self.settings.single_active_consumer;
        if single_active && spec.exclusive {
            return Err(AttachRefused::ExclusiveOnSingleActive);
        }
        let consumers = self.consumers.get_or_insert_with(|| Box::new(Consumers::new(single_active)));
        consumers.admits(&spec)?;
        let id = spec.id;
        if consumers.insert(spec, self.next_serial) {
            fx.activity.push((id, true));
        }
        self.next_serial = self.next_serial.wrapping_add(1);
        self.counts.consumers = consumers.len();
        self.last_used = now;
        self.check_small();
        Ok(())
    }

    /// Takes a consumer out; `false`: there is none of this id. What it holds stays
    /// unacknowledged: on `basic.cancel` that is right, on a closed channel the caller requeues it.
    ///
    /// With a single active consumer the next one takes over, and is served when the caller dispatches:
    /// after all consumers of a closed channel are out and what they held is back, else it would
    /// see later messages first, or one of those to be taken out would be served.
    pub fn detach(&mut self, now: Millis, id: ConsumerId, fx: &mut Effects) -> bool {
        let Some(consumers) = self.consumers.as_deref_mut() else {
            return false;
        };
        let removed = consumers.remove(id);
        if removed == Removed::Unknown {
            return false;
        }
        self.counts.consumers = consumers.len();
        if consumers.len() == 0 {
            self.consumers = None;
        }
        self.last_used = now;
        if let Removed::Succeeded(elected) = removed {
            fx.activity.push((elected, true));
        }
        self.check_small();
        true
    }

    /// The consumer's outlet has room again. The caller dispatches.
    pub fn unblock(&mut self, id: ConsumerId) {
        if let Some(consumers) = self.consumers.as_deref_mut() {
            consumers.unblock(id);
        }
        self.check_small();
    }

    /// What is here already lives as long as what comes now, at most.
    fn expire_all(&mut self, now: Millis) {
        self.all_expire = self.settings.message_ttl_ms.map(|ttl_ms| (self.last_seq, now.plus(ttl_ms)));
    }

    /// New settings, from a policy. What only [`Queue::change`] changes stays as it was. Messages that are
    /// here already expire when they would have, or after the new time to live if that is earlier.
    pub fn set_settings(
        &mut self,
        now: Millis,
        settings: Settings,
        outlet: &mut (impl Outlet<C> + ?Sized),
        fx: &mut Effects,
    ) {
        if settings.expires_ms != self.settings.expires_ms {
            self.last_used = now;
        }
        let ttl_changed = settings.message_ttl_ms != self.settings.message_ttl_ms;
        self.settings = Settings {
            durable: self.settings.durable,
            max_priority: self.settings.max_priority,
            single_active_consumer: self.settings.single_active_consumer,
            ..settings
        };
        if ttl_changed {
            self.expire_all(now);
        }
        self.dispatch(now, outlet, fx);
    }

    /// The queue is in use: declared again, for `x-expires`.
    pub fn touch(&mut self, now: Millis) {
        self.last_used = now;
    }

    /// When the queue itself expires unless it is used before; `None`: it does not, or is in use.
    pub fn idle_deadline(&self) -> Option<Millis> {
        let expires_ms = self.settings.expires_ms?;
        (self.counts.consumers == 0).then(|| self.last_used.plus(expires_ms))
    }

    /// Lets go of memory that an earlier load needed. For housekeeping of idle queues.
    pub fn shrink(&mut self) {
        self.priority_levels.shrink();
        self.unacked.shrink();
    }
}
