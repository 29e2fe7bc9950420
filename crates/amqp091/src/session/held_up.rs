//! Buffered publishes of a connection.
//!
//! Invariants: first in, first out; whether a channel has any is known without a search.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::content::Publication;

/// Publishes carried out together, at most.
const BATCH_MAX: usize = 512;

/// See the module.
#[derive(Default)]
pub(super) struct HeldUp {
    /// Whether publishes are buffered.
    pub(super) on: bool,
    waiting: VecDeque<(u16, Publication)>,
    /// Count per channel.
    counts: FxHashMap<u16, usize>,
    bytes: usize,
}

impl HeldUp {
    /// Bytes buffered.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is buffered.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a channel has buffered publishes.
    pub(super) fn has(&self, channel: u16) -> bool {
        self.counts.contains_key(&channel)
    }

    /// The channel of the first publish.
    pub(super) fn first(&self) -> Option<u16> {
        self.waiting.front().map(|(channel, _)| *channel)
    }

    /// Adds a publish. Returns its size in bytes.
    pub(super) fn push(&mut self, channel: u16, outgoing: Publication) -> usize {
        let bytes = outgoing.message.memory();
        self.bytes += bytes;
        *self.counts.entry(channel).or_default() += 1;
        self.waiting.push_back((channel, outgoing));
        bytes
    }

    /// Takes the first publishes, up to a change of channel.
    pub(super) fn next_run(&mut self) -> Vec<Publication> {
        let mut run = Vec::new();
        let Some(channel) = self.first() else { return run };
        while run.len() < BATCH_MAX
            && let Some((_, outgoing)) = self.waiting.pop_front_if(|(number, _)| *number == channel)
        {
            self.bytes -= outgoing.message.memory();
            run.push(outgoing);
        }
        if let Some(count) = self.counts.get_mut(&channel) {
            *count -= run.len();
            if *count == 0 {
                self.counts.remove(&channel);
            }
        }
        run
    }

    /// Takes all publishes of one channel.
    pub(super) fn split_off(&mut self, channel: u16) -> Self {
        let mut gone = Self::default();
        if !self.has(channel) {
            return gone;
        }
        let all = std::mem::take(&mut self.waiting);
        (self.counts, self.bytes) = (FxHashMap::default(), 0);
        for (number, outgoing) in all {
            let to = if number == channel { &mut gone } else { &mut *self };
            to.push(number, outgoing);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use leveret_message::{Message, MessageMeta, Short};

    use super::*;

    fn outgoing(body: &str) -> Publication {
        let message =
            Message::new(Short::EMPTY, Short::literal("q"), b"\0\0", body.as_bytes(), MessageMeta::default());
        Publication { message, mandatory: false, headers: false, asks_reply: false }
    }

    fn texts(held: &mut HeldUp) -> Vec<String> {
        let run = held.next_run();
        run.iter().map(|outgoing| String::from_utf8_lossy(outgoing.message.body()).into_owned()).collect()
    }

    #[test]
    fn publishes_come_out_in_order_by_runs_of_a_channel() {
        let mut held = HeldUp::default();
        for (channel, body) in [(1, "a"), (1, "b"), (2, "c"), (1, "d")] {
            held.push(channel, outgoing(body));
        }
        assert!(held.has(1) && held.has(2) && !held.has(3));
        assert_eq!(texts(&mut held), ["a", "b"]);
        assert!(held.has(1));
        assert_eq!(texts(&mut held), ["c"]);
        assert!(!held.has(2));
        assert_eq!(texts(&mut held), ["d"]);
        assert!(held.is_empty() && held.bytes() == 0 && !held.has(1));
    }

    #[test]
    fn a_channel_s_end_takes_its_own_out() {
        let mut held = HeldUp::default();
        for (channel, body) in [(1, "a"), (2, "b"), (1, "c")] {
            held.push(channel, outgoing(body));
        }
        let all = held.bytes();
        let mut gone = held.split_off(1);
        assert_eq!(held.bytes() + gone.bytes(), all);
        assert_eq!(texts(&mut gone), ["a", "c"]);
        assert_eq!(texts(&mut held), ["b"]);
        assert!(held.split_off(7).is_empty());
    }
}
