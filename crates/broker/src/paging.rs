//! Tracks which part of a queue the store has written, so that its bodies can be paged out.

use std::collections::VecDeque;

use leveret_message::Seq;
use leveret_store::{Position, Store};

/// Tracks one queue's appends until they are written.
#[derive(Debug, Default)]
pub(super) struct Paging {
    /// Last sequence number of the append in progress.
    last: Seq,
    /// Appends not known to be written yet: position, and last sequence number.
    marks: VecDeque<(Position, Seq)>,
    written_upto: Seq,
    /// End of the last page-out.
    paged_upto: Seq,
    /// The queue has received messages that are not logged.
    pub(super) has_transients: bool,
    /// Bytes held after the last page-out, or the minimum since.
    left: u64,
    /// Position of the last append of transient messages.
    transients: Option<Position>,
}

/// Minimum new messages that justify a page-out.
const WORTHWHILE: u64 = 256;

impl Paging {
    /// A message is about to be appended.
    pub(super) const fn logged(&mut self, seq: Seq) {
        self.last = seq;
    }

    /// The recorded messages are appended at `position`.
    pub(super) fn appended(&mut self, position: Option<Position>, store: &dyn Store) {
        let newest = self.marks.back().map_or(self.written_upto, |(_, seq)| *seq);
        let Some(position) = position.filter(|_| self.last > newest) else { return };
        self.follow(store);
        self.marks.push_back((position, self.last));
    }

    fn follow(&mut self, store: &dyn Store) {
        let written = store.written();
        while let Some((_, seq)) = self.marks.pop_front_if(|(at, _)| *at <= written) {
            self.written_upto = seq;
        }
    }

    /// Up to which sequence number persistent messages are in the log's files, if another page-out is worthwhile.
    pub(super) fn worthwhile(&mut self, store: &dyn Store) -> Option<Seq> {
        self.follow(store);
        let all = self.marks.is_empty() && self.written_upto > self.paged_upto;
        if !all && self.written_upto.0 < self.paged_upto.0 + WORTHWHILE {
            return None;
        }
        self.paged_upto = self.written_upto;
        Some(self.written_upto)
    }

    /// Whether the queue, now holding `resident` bytes, has grown by more than `by` since the last page-out: by reads,
    /// if nothing new was written.
    pub(super) fn grown(&mut self, resident: u64, by: u64) -> bool {
        self.left = self.left.min(resident);
        resident - self.left > by
    }

    /// A page-out left `resident` bytes.
    pub(super) const fn paged_out(&mut self, resident: u64) {
        self.left = resident;
    }

    /// Up to which sequence number persistent messages are known to be written.
    pub(super) const fn written_upto(&self) -> Seq {
        self.written_upto
    }

    /// Transient messages were appended.
    pub(super) const fn transients_appended(&mut self, position: Option<Position>) {
        self.transients = position;
    }

    /// Whether those are now in the log's files; returns `true` once.
    pub(super) fn transients_written(&mut self, store: &dyn Store) -> bool {
        self.transients.take_if(|at| *at <= store.written()).is_some()
    }
}
