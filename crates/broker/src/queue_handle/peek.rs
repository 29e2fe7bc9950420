//! Reading messages without consuming them.
//!
//! Invariants: nothing changes: no position, count or lease; bodies only on disk are read for the caller and do not
//! return to memory.

use std::sync::Arc;

use leveret_message::stored::Stored;
use leveret_message::{Message, Millis, Seq};
use leveret_queues::Peeked;
use leveret_store::{ReadWish, Unread};

use super::{QueueHandle, State};
use crate::refusal::Refusal;

/// Content of a range of a queue.
#[derive(Debug)]
pub enum Peek {
    /// A message in memory.
    Here(PeekedMessage),
    /// Messages whose bodies must be [read](QueueHandle::read_range).
    OnDisk(DiskRange),
}

/// A peeked message.
#[derive(Debug)]
pub struct PeekedMessage {
    /// As delivered to a consumer.
    pub message: Message,
    /// It was, or may have been, delivered before.
    pub redelivered: bool,
    /// It waits for its retry.
    pub retry: Option<Retry>,
}

/// A retry that a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// When it is due.
    pub due: Millis,
    /// Failed deliveries so far.
    pub delivery_count: u32,
}

/// Messages on disk, in delivery order.
#[derive(Clone, Copy, Debug)]
pub struct DiskRange {
    priority_level: u8,
    from: Seq,
    to: Seq,
    delivered_upto: Seq,
    redelivered: bool,
    acquired_count: u32,
    retry: Option<Retry>,
    /// Messages to skip at the start.
    pub skip: u64,
}

/// Maximum messages per read.
const READ_MESSAGES: usize = 1_024;

/// Maximum bytes of bodies per read.
const READ_BYTES: usize = 1024 * 1024;

/// Result of a range read: messages, and the rest of the range.
type RangeRead = (Vec<PeekedMessage>, Option<DiskRange>);

impl QueueHandle {
    /// Up to `count` messages after the first `skip`, ready ones first, then those that wait for their retry, by due time;
    /// and the total number of both. Skipped ones also cost time under the queue's lock.
    pub fn peek(&self, now: Millis, skip: u64, count: usize) -> Result<(Vec<Peek>, u64), Refusal> {
        let state = self.state.lock();
        let State::Busy(cell) = &*state else { return Ok((Vec::new(), 0)) };
        if cell.gone {
            return Err(self.not_found());
        }
        let lives = |expires: &Option<Millis>| expires.is_none_or(|at| at > now);
        let seen = cell.queue.peek(skip, count).into_iter().filter_map(|peeked| match peeked {
            Peeked::Message { expires, .. } if !lives(&expires) => None,
            Peeked::Message {
                message: Some(message),
                redelivered,
                delivery_count,
                acquired_count,
                retry_due,
                ..
            } => {
                let counted = self.counted(message, delivery_count, acquired_count);
                let message = counted.unwrap_or_else(|| message.clone());
                let retry = retry_due.map(|due| Retry { due, delivery_count });
                Some(Peek::Here(PeekedMessage { message, redelivered, retry }))
            }
            Peeked::Message {
                seq,
                priority_level,
                redelivered,
                delivery_count,
                acquired_count,
                retry_due,
                ..
            } => Some(Peek::OnDisk(DiskRange {
                priority_level,
                from: seq,
                to: seq,
                delivered_upto: Seq(0),
                redelivered,
                acquired_count,
                retry: retry_due.map(|due| Retry { due, delivery_count }),
                skip: 0,
            })),
            Peeked::OnDisk { priority_level, first, last, skip, delivered_upto, .. } => {
                Some(Peek::OnDisk(DiskRange {
                    priority_level,
                    from: first,
                    to: last,
                    delivered_upto,
                    redelivered: false,
                    acquired_count: 0,
                    retry: None,
                    skip,
                }))
            }
        });
        let counts = cell.queue.counts();
        Ok((seen.collect(), counts.ready + counts.retrying))
    }

    /// Reads up to `count` messages at the start of a range, after those to skip. `then` is called on a store thread,
    /// with `None` if the store cannot be read.
    pub fn read_range(
        self: &Arc<Self>,
        now: Millis,
        range: DiskRange,
        count: usize,
        then: impl FnOnce(Option<RangeRead>) + Send + 'static,
    ) {
        let wanted = usize::try_from(range.skip).unwrap_or(usize::MAX).saturating_add(count);
        let wish = ReadWish {
            queue: self.id,
            priority_level: range.priority_level,
            from: range.from,
            to: range.to,
            max_messages: wanted.min(READ_MESSAGES),
            max_bytes: READ_BYTES,
        };
        let this = Arc::clone(self);
        let answer = move |read: Result<Vec<Stored>, Unread>| {
            then(read.ok().map(|stored| this.seen(now, range, stored)));
        };
        self.environment.store.read(wish, Box::new(answer));
    }

    fn seen(&self, now: Millis, range: DiskRange, stored: Vec<Stored>) -> RangeRead {
        let passed = (stored.len() as u64).min(range.skip);
        let next = stored.last().map(|last| last.seq.next()).filter(|next| *next <= range.to);
        let rest = next.map(|from| DiskRange { from, skip: range.skip - passed, ..range });
        let wanted = stored.into_iter().skip(usize::try_from(passed).unwrap_or(usize::MAX));
        let seen = wanted.filter(|found| found.expires.is_none_or(|at| at > now)).filter_map(|found| {
            // Damage is reported on delivery, or by a check of the files.
            let message = found.message.ok()?;
            let known =
                found.seq <= range.delivered_upto || found.delivery_count > 0 || message.meta().redelivered;
            let acquired_count = found.delivery_count.max(range.acquired_count);
            let counted = self.counted(&message, found.delivery_count, acquired_count);
            Some(PeekedMessage {
                message: counted.unwrap_or(message),
                redelivered: range.redelivered || known,
                retry: range.retry,
            })
        });
        (seen.collect(), rest)
    }
}
