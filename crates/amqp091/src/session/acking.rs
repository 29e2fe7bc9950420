//! Acknowledgements, rejections, recovery (docs/semantics.md, Deliveries).

use leveret_broker::channel_stats;
use leveret_queues::Requeue;

use super::closing::by_queue;
use super::connection::Connection;
use super::error::{AmqpError, MethodId, ReplyCode};
use super::transaction::How;
use super::unacked::{AckSet, Unacked, UnknownTag};

const ACK: MethodId = MethodId(60, 80);

impl Connection {
    /// `basic.ack`. Buffered, so that consecutive acks become one call on the queue.
    pub(super) fn ack(&mut self, number: u16, tag: u64, multiple: bool) {
        if !self.batch.messages.is_empty() || (self.acked_on != number && !self.acked.is_empty()) {
            self.flush();
        }
        let set = AckSet::from_wire(tag, multiple);
        if let Err(unknown) = self.outbox.take_acked(number, set, &mut self.acked) {
            self.flush();
            self.unknown_tag(number, unknown, ACK);
            return;
        }
        self.acked_on = number;
        if self.acked.len() >= ACKS_MAX {
            self.flush();
        }
    }

    pub(super) fn flush_acks(&mut self) {
        let mut acked = std::mem::take(&mut self.acked);
        let number = self.acked_on;
        let count = acked.len();
        if self.buffer_settles_in_transaction(number, How::Ack, &mut acked) {
            self.acked = acked;
            return;
        }
        let freed = self.credit_used(number, acked.iter());
        by_queue(&mut acked, |queue, tokens| queue.settle(&mut self.turn, tokens));
        self.acked = acked;
        self.count_acked(number, count);
        self.credit(number, freed);
    }

    pub(super) fn count_acked(&self, number: u16, count: usize) {
        if let Some(open) = self.channels.get(&number) {
            channel_stats::add(&open.handle.stats.acked, count as u64);
        }
    }

    /// How much of the channel-wide limit, if any, these use.
    pub(super) fn credit_used<'a>(&self, number: u16, unacked: impl Iterator<Item = &'a Unacked>) -> usize {
        let limited = self.channels.get(&number).is_some_and(|open| open.shared_credit.limit() > 0);
        if limited { unacked.filter(|entry| entry.token.is_with_consumer()).count() } else { 0 }
    }

    /// The channel-wide limit has room for `count` more: consumers stalled on it resume.
    pub(super) fn credit(&mut self, number: u16, count: usize) {
        if count > 0
            && let Some(open) = self.channels.get(&number)
        {
            open.shared_credit.give_back(&mut self.turn, count);
        }
    }

    /// `basic.nack` and `basic.reject`.
    pub(super) fn nack(&mut self, number: u16, tag: u64, multiple: bool, requeue: bool, method: MethodId) {
        let set = AckSet::from_wire(tag, multiple);
        let mut taken = Vec::new();
        if let Err(unknown) = self.outbox.take_acked(number, set, &mut taken) {
            self.unknown_tag(number, unknown, method);
            return;
        }
        let freed = self.credit_used(number, taken.iter());
        let cause = if method == MethodId(60, 90) { Requeue::Reject } else { Requeue::Nack };
        let how = if requeue { How::Requeue(cause) } else { How::Reject };
        if self.buffer_settles_in_transaction(number, how, &mut taken) {
            return;
        }
        if requeue {
            self.requeue(taken, cause);
        } else {
            by_queue(&mut taken, |queue, tokens| queue.reject(&mut self.turn, tokens));
        }
        self.credit(number, freed);
    }

    /// `basic.recover`: requeues everything outstanding on the channel.
    pub(super) fn recover(&mut self, number: u16) {
        let mut taken = Vec::new();
        // `AckSet::All` never yields an unknown tag.
        let _ = self.outbox.take_acked(number, AckSet::All, &mut taken);
        let freed = self.credit_used(number, taken.iter());
        self.requeue(taken, Requeue::Recover);
        self.credit(number, freed);
    }

    fn unknown_tag(&mut self, number: u16, unknown: UnknownTag, method: MethodId) {
        let error = AmqpError::new(ReplyCode::PreconditionFailed, method, unknown.to_string());
        self.fail_on(number, &error);
    }
}

/// Buffered acknowledgements, at most.
const ACKS_MAX: usize = 4096;
