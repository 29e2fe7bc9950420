//! The open transaction of a channel, buffered in memory.

use leveret_broker::prepared::Prepared;
use leveret_queues::Requeue;

use super::unacked::Unacked;

/// Approximate bytes of a buffered acknowledgement.
const SETTLE_BYTES: usize = size_of::<(How, Unacked)>();

/// The open transaction of one channel.
#[derive(Default)]
pub(super) struct Transaction {
    pub(super) publishes: Vec<Prepared>,
    pub(super) settles: Vec<(How, Unacked)>,
    bytes: usize,
}

/// How a delivery is settled at commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    Ack,
    Reject,
    Requeue(Requeue),
}

impl Transaction {
    /// Buffers a publish. Returns its memory in bytes.
    pub(super) fn put_publish(&mut self, prepared: Prepared) -> usize {
        let bytes = prepared.memory();
        self.bytes += bytes;
        self.publishes.push(prepared);
        bytes
    }

    /// Takes the buffered publishes. From here on none is held.
    pub(super) fn take_publishes(&mut self) -> Vec<Prepared> {
        self.bytes = 0;
        std::mem::take(&mut self.publishes)
    }

    /// Buffers settlements and leaves `settled` empty. Returns their memory in bytes.
    pub(super) fn put_settles(&mut self, how: How, settled: &mut Vec<Unacked>) -> usize {
        let bytes = settled.len() * SETTLE_BYTES;
        self.bytes += bytes;
        self.settles.extend(settled.drain(..).map(|unacked| (how, unacked)));
        bytes
    }

    /// Of the buffered settlements, those that count against the channel-wide limit of consumers.
    pub(super) fn held_by_consumers(&self) -> usize {
        self.settles.iter().filter(|(_, unacked)| unacked.token.is_with_consumer()).count()
    }

    /// Approximate bytes held.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The deliveries taken from the channel; the transaction's end returns them.
    pub(super) fn into_unacked(self) -> impl Iterator<Item = Unacked> {
        self.settles.into_iter().map(|(_, unacked)| unacked)
    }
}
