//! What the open transaction of a channel has put aside, in memory.

use leveret_queues::queue::Requeue;

use super::unacked::Unacked;
use crate::broker::prepared::Prepared;

/// What an acknowledgement costs while it waits, near enough.
const SETTLE_BYTES: usize = size_of::<(How, Unacked)>();

/// The open transaction of one channel.
#[derive(Default)]
pub(super) struct Transaction {
    pub(super) publishes: Vec<Prepared>,
    pub(super) settles: Vec<(How, Unacked)>,
    bytes: usize,
}

/// How a delivery is settled at the commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    Ack,
    Reject,
    Requeue(Requeue),
}

impl Transaction {
    /// Puts a publish aside. Returns the memory that it takes.
    pub(super) fn put_publish(&mut self, prepared: Prepared) -> usize {
        let bytes = prepared.memory();
        self.bytes += bytes;
        self.publishes.push(prepared);
        bytes
    }

    /// What is to be published. From here on nothing is held.
    pub(super) fn take_publishes(&mut self) -> Vec<Prepared> {
        self.bytes = 0;
        std::mem::take(&mut self.publishes)
    }

    /// Puts settlements aside, and leaves `settled` empty. Returns the memory that they take.
    pub(super) fn put_settles(&mut self, how: How, settled: &mut Vec<Unacked>) -> usize {
        let bytes = settled.len() * SETTLE_BYTES;
        self.bytes += bytes;
        self.settles.extend(settled.drain(..).map(|unacked| (how, unacked)));
        bytes
    }

    /// Of what it is to settle, what consumers still hold by the channel-wide limit.
    pub(super) fn held_by_consumers(&self) -> usize {
        self.settles.iter().filter(|(_, unacked)| unacked.token.is_with_consumer()).count()
    }

    /// Memory held, near enough.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it has taken out of the channel; its end gives it back.
    pub(super) fn into_unacked(self) -> impl Iterator<Item = Unacked> {
        self.settles.into_iter().map(|(_, unacked)| unacked)
    }
}
