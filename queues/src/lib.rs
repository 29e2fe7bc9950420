//! The queue: who gets which message, in which order, and what becomes of the others.
//!
//! One [`Queue`] is one value. Its methods are the only way to change it; each takes the time where it matters,
//! pushes what the caller must do into [`Effects`], and hands deliveries to an [`Outlet`].
//!
//! Invariants: a message is ready, unacknowledged or waiting for its retry, never two of these; ready messages keep publish order within their
//! priority, and returned messages resume their old place; a consumer never holds more than its prefetch; once the
//! caller has dispatched, no consumer that could take a message waits while the front can be delivered; no call does
//! more than a bounded number of drops (the rest is due at once, see [`Queue::next_deadline`]).
//!
//! Absent: no clock, no locks, no async, no I/O, no randomness. An unused queue has no heap memory.
//!
//! Dispatching: after [`attach`](Queue::attach), [`detach`](Queue::detach), [`settle`](Queue::settle),
//! [`reject`](Queue::reject), [`requeue`](Queue::requeue) and [`unblock`](Queue::unblock) the caller calls
//! [`dispatch`](Queue::dispatch), once for any number of them. After any call it checks
//! [`next_deadline`](Queue::next_deadline).

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
mod retry;
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
pub use settings::{DelayedRetry, Overflow, RetryType, Settings};

use consumers::{Consumers, Removed};
use letters::Letters;
use priority_level::{Chunk, Cold};
use priority_levels::PriorityLevels;
use reading::Reading;
use retry::Retries;
use unacked::Unacked;

use leveret_message::ids::{Millis, Seq};
use leveret_message::stored::RecoveredQueue;

/// One queue. `C` is the caller's handle for a consumer.
#[derive(Debug)]
pub struct Queue<C> {
    settings: Settings,
    priority_levels: PriorityLevels,
    unacked: Unacked,
    consumers: Option<Box<Consumers<C>>>,
    counts: Counts,
    /// The last sequence number assigned.
    last_seq: Seq,
    /// Stored messages up to here may have been delivered.
    delivered_upto: Seq,
    /// What an earlier run may have delivered.
    recovered_upto: Seq,
    /// The read under way. Boxed: most queues never read.
    reading: Option<Box<Reading>>,
    /// After a failed read: no retry before this.
    retry_at: Millis,
    /// When the queue was last used, for `x-expires`.
    last_used: Millis,
    /// Messages up to this sequence number expire at this instant at the latest: a time to live was set after they
    /// arrived, or may have been. Their own expiry is kept.
    all_expire: Option<(Seq, Millis)>,
    /// Serial of the next consumer, to distinguish it from earlier ones.
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
    /// Most queues have no messages that wait for a retry.
    retries: Option<Box<Retries>>,
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
            retries: None,
        }
    }

    /// A queue recovered from the store: all its messages are on disk. If there are any, [`Queue::next_deadline`] is
    /// due at once, because their rules are unknown until the first is read.
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
        if settings.delayed_retry.is_some() && !found.ranges.is_empty() {
            queue.retries = Some(Box::new(Retries::recovered(now)));
        }
        queue.check_small();
        queue
    }

    /// The last sequence number and the last use, if the queue has no other state besides its settings: no messages,
    /// no consumers, no lease that ends. [`Queue::resume`] makes it again.
    pub fn at_rest(&self) -> Option<(Seq, Millis)> {
        let idle = self.counts.total() == 0
            && self.consumers.is_none()
            && self.reading.is_none()
            && !self.more_due
            && !self.paging_out
            && self.settings.expires_ms.is_none();
        idle.then_some((self.last_seq, self.last_used))
    }

    /// Restores a queue that was [at rest](Queue::at_rest).
    pub fn resume(settings: Settings, last_seq: Seq, last_used: Millis) -> Self {
        Self {
            last_seq,
            delivered_upto: last_seq,
            recovered_upto: last_seq,
            ..Self::new(settings, last_used)
        }
    }

    /// Whether this message may have left the queue before the end after which it was recovered: its destination may
    /// know it already ([`MessageMeta::redelivered`](leveret_message::MessageMeta::redelivered)).
    pub fn may_have_left(&self, seq: Seq) -> bool {
        seq <= self.recovered_upto
    }

    /// Attaches a consumer. Delivers nothing yet, so that the caller can send `consume-ok` before it dispatches.
    ///
    /// # Errors
    /// If exclusive use forbids it.
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

    /// Removes a consumer; `false`: no consumer has this id. What it holds stays unacknowledged: right for
    /// `basic.cancel`; for a closed channel the caller requeues it.
    ///
    /// With a single active consumer the next one takes over, and is served when the caller dispatches: after all
    /// consumers of a closed channel are removed and their messages are requeued, or else it would see later messages
    /// first, or a consumer about to be removed would be served.
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

    /// What is already queued lives at most as long as what arrives now.
    fn expire_all(&mut self, now: Millis) {
        self.all_expire = self.settings.message_ttl_ms.map(|ttl_ms| (self.last_seq, now.plus(ttl_ms)));
    }

    /// Applies new settings, from a policy. What only [`Queue::change`] changes stays as it was. Messages already
    /// queued expire when they would have, or after the new time to live if that is earlier. Messages that wait for their
    /// retry keep their due time; all are released if retries are no longer delayed.
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
            self.expire_retries();
        }
        if self.settings.delayed_retry.is_none() {
            self.release_retries();
        }
        self.dispatch(now, outlet, fx);
    }

    /// The queue was used: declared again, for `x-expires`.
    pub fn touch(&mut self, now: Millis) {
        self.last_used = now;
    }

    /// When the queue itself expires unless it is used before; `None`: it does not, or is in use.
    pub fn idle_deadline(&self) -> Option<Millis> {
        let expires_ms = self.settings.expires_ms?;
        (self.counts.consumers == 0).then(|| self.last_used.plus(expires_ms))
    }

    /// Frees memory that an earlier load needed. For housekeeping of idle queues.
    pub fn shrink(&mut self) {
        self.priority_levels.shrink();
        self.unacked.shrink();
    }
}
