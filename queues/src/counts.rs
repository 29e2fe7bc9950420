//! Totals of a queue, updated by every step so that reading them is free.

use super::entry::Entry;
use super::priority_level::Cold;

/// What a queue holds. Bytes are body bytes unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Messages waiting for a consumer, including expired ones behind the head.
    pub ready: u64,
    /// Their bytes.
    pub ready_bytes: u64,
    /// Number of ready messages whose body is on disk only.
    pub away: u64,
    /// Messages held unacknowledged by a consumer (or `basic.get`).
    pub unacked: u64,
    /// Their bytes.
    pub unacked_bytes: u64,
    /// Messages waiting for their retry.
    pub retrying: u64,
    /// Their bytes.
    pub retrying_bytes: u64,
    /// Persistent messages, whatever they wait for.
    pub persistent: u64,
    /// Their bytes.
    pub persistent_bytes: u64,
    /// Memory held by all messages.
    pub resident_bytes: u64,
    /// Consumers attached.
    pub consumers: usize,
}

impl Counts {
    /// All messages of the queue.
    pub fn total(&self) -> u64 {
        self.ready + self.unacked + self.retrying
    }

    /// Body bytes of all messages of the queue.
    pub fn total_bytes(&self) -> u64 {
        self.ready_bytes + self.unacked_bytes + self.retrying_bytes
    }

    /// A message is added.
    pub(super) fn enter(&mut self, entry: &Entry) {
        self.resident_bytes += entry.memory();
        if entry.persistent {
            self.persistent += 1;
            self.persistent_bytes += u64::from(entry.bytes);
        }
    }

    /// A message leaves for good.
    pub(super) fn leave(&mut self, entry: &Entry) {
        self.resident_bytes -= entry.memory();
        if entry.persistent {
            self.persistent -= 1;
            self.persistent_bytes -= u64::from(entry.bytes);
        }
    }

    pub(super) fn add_ready(&mut self, entry: &Entry) {
        self.ready += 1;
        self.ready_bytes += u64::from(entry.bytes);
        self.away += u64::from(entry.message.is_none());
    }

    pub(super) fn take_ready(&mut self, entry: &Entry) {
        self.ready -= 1;
        self.ready_bytes -= u64::from(entry.bytes);
        self.away -= u64::from(entry.message.is_none());
    }

    pub(super) fn add_unacked(&mut self, entry: &Entry) {
        self.unacked += 1;
        self.unacked_bytes += u64::from(entry.bytes);
    }

    pub(super) fn take_unacked(&mut self, entry: &Entry) {
        self.unacked -= 1;
        self.unacked_bytes -= u64::from(entry.bytes);
    }

    pub(super) fn add_retrying(&mut self, entry: &Entry) {
        self.retrying += 1;
        self.retrying_bytes += u64::from(entry.bytes);
    }

    pub(super) fn take_retrying(&mut self, entry: &Entry) {
        self.retrying -= 1;
        self.retrying_bytes -= u64::from(entry.bytes);
    }

    /// A range on disk is added.
    pub(super) fn enter_cold(&mut self, cold: &Cold) {
        self.ready += cold.count;
        self.ready_bytes += cold.bytes;
        self.away += cold.count;
        self.persistent += cold.persistent;
        self.persistent_bytes += cold.persistent_bytes;
    }

    /// A range on disk leaves for good, or is to be counted anew.
    pub(super) fn leave_cold(&mut self, cold: &Cold) {
        self.ready -= cold.count;
        self.ready_bytes -= cold.bytes;
        self.away -= cold.count;
        self.persistent -= cold.persistent;
        self.persistent_bytes -= cold.persistent_bytes;
    }
}
