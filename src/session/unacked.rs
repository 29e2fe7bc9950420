//! What a channel has out: delivery tags and the messages behind them (rabbitmq-semantics 2f).

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use leveret_queues::QueueId;
use leveret_queues::queue::Token;

use crate::broker::channel_stats::ChannelStats;
use crate::broker::queue_handle::QueueHandle;

/// What an acknowledgement names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckSet {
    /// One delivery.
    One(u64),
    /// All up to and including this delivery.
    UpTo(u64),
    /// All that are out.
    All,
}

impl AckSet {
    /// From the wire: tag 0 with `multiple` means all; without, it is a tag that never was.
    pub const fn from_wire(delivery_tag: u64, multiple: bool) -> Self {
        match (delivery_tag, multiple) {
            (0, true) => Self::All,
            (tag, true) => Self::UpTo(tag),
            (tag, false) => Self::One(tag),
        }
    }
}

/// The tag was never given out on this channel, or is settled already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown delivery tag {0}")]
pub struct UnknownTag(pub u64);

/// A delivery that waits for its acknowledgement.
#[derive(Clone, Debug)]
pub struct Unacked {
    /// Its delivery tag.
    pub tag: u64,
    /// The queue it came from.
    pub queue: Arc<QueueHandle>,
    /// What the queue knows it by.
    pub token: Token,
}

/// A tag, and what it names until that is settled.
type Out = (u64, Option<(Arc<QueueHandle>, Token)>);

/// The outgoing half of a channel.
pub(super) struct ChannelOut {
    /// Tells this channel from others with its number.
    pub(super) incarnation: u64,
    /// On its way to be closed.
    pub(super) muted: bool,
    /// The highest publish that was confirmed.
    pub(super) confirmed: u64,
    /// Runs of publishes behind that which were refused. Between two runs are some that wait for the store.
    refused: VecDeque<RangeInclusive<u64>>,
    pub(super) stats: Arc<ChannelStats>,
    next_tag: u64,
    /// By tag. Settled ones in the middle are left as `None` until they reach the front or are
    /// more than half of all.
    out: VecDeque<Out>,
    settled_inside: usize,
}

impl ChannelOut {
    pub(super) fn new(incarnation: u64, stats: Arc<ChannelStats>) -> Self {
        Self {
            incarnation,
            muted: false,
            confirmed: 0,
            refused: VecDeque::new(),
            stats,
            next_tag: 1,
            out: VecDeque::new(),
            settled_inside: 0,
        }
    }

    /// A publish is refused, the highest so far.
    pub(super) fn refuse(&mut self, publish: u64) {
        match self.refused.back_mut() {
            Some(run) if run.end() + 1 == publish => *run = *run.start()..=publish,
            _ => self.refused.push_back(publish..=publish),
        }
    }

    /// All up to `upto` are confirmed, but for those that were refused; tells how many that makes.
    pub(super) fn confirm(&mut self, upto: u64) -> u64 {
        let mut count = upto - self.confirmed;
        while let Some(run) = self.refused.pop_front_if(|run| *run.end() <= upto) {
            count -= run.end() - run.start() + 1;
        }
        self.confirmed = upto;
        count
    }

    /// Gives the next delivery its tag; with a token it waits for an acknowledgement.
    pub(super) fn deliver(&mut self, queue: &Arc<QueueHandle>, token: Option<Token>) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        if let Some(token) = token {
            self.out.push_back((tag, Some((Arc::clone(queue), token))));
        }
        tag
    }

    /// The tag of the next delivery.
    pub(super) const fn next_tag(&self) -> u64 {
        self.next_tag
    }

    /// What waits for its acknowledgement, by tag.
    pub(super) fn unacked(&self) -> impl Iterator<Item = (QueueId, u64)> {
        self.out.iter().filter_map(|(tag, entry)| entry.as_ref().map(|(queue, _)| (queue.id, *tag)))
    }

    pub(super) fn unacked_count(&self) -> usize {
        self.out.len() - self.settled_inside
    }

    pub(super) fn into_unacked(self) -> Vec<Unacked> {
        self.out.into_iter().filter_map(live).collect()
    }

    /// Takes out what `set` names, in delivery order.
    pub(super) fn take(&mut self, set: AckSet, into: &mut Vec<Unacked>) -> Result<(), UnknownTag> {
        match set {
            AckSet::All => {
                into.extend(self.out.drain(..).filter_map(live));
                self.settled_inside = 0;
                Ok(())
            }
            AckSet::One(tag) => {
                let index = self.find(tag)?;
                if index == 0 {
                    into.extend(self.out.pop_front().and_then(live));
                    self.trim();
                } else {
                    let (tag, entry) = &mut self.out[index];
                    into.extend(live((*tag, entry.take())));
                    self.settled_inside += 1;
                    self.compact();
                }
                Ok(())
            }
            AckSet::UpTo(tag) => {
                let index = self.find(tag)?;
                for entry in self.out.drain(..=index) {
                    match live(entry) {
                        Some(unacked) => into.push(unacked),
                        None => self.settled_inside -= 1,
                    }
                }
                self.trim();
                Ok(())
            }
        }
    }

    /// Puts back what was taken, under its old tags.
    pub(super) fn give_back(&mut self, unacked: impl Iterator<Item = Unacked>) {
        self.out.retain(|(_, entry)| entry.is_some());
        self.settled_inside = 0;
        self.out.extend(unacked.map(|entry| (entry.tag, Some((entry.queue, entry.token)))));
        self.out.make_contiguous().sort_unstable_by_key(|entry| entry.0);
    }

    fn find(&self, tag: u64) -> Result<usize, UnknownTag> {
        // Tags in a row, as they mostly are, are found by subtraction.
        let guess = self.out.front().and_then(|(first, _)| tag.checked_sub(*first));
        let guess = guess.and_then(|guess| usize::try_from(guess).ok());
        let index = match guess {
            Some(index) if self.out.get(index).is_some_and(|entry| entry.0 == tag) => index,
            _ => self.out.binary_search_by_key(&tag, |entry| entry.0).map_err(|_| UnknownTag(tag))?,
        };
        if self.out[index].1.is_some() { Ok(index) } else { Err(UnknownTag(tag)) }
    }

    fn trim(&mut self) {
        while self.out.front().is_some_and(|(_, entry)| entry.is_none()) {
            self.out.pop_front();
            self.settled_inside -= 1;
        }
    }

    fn compact(&mut self) {
        if self.settled_inside > 64 && self.settled_inside > self.out.len() / 2 {
            self.out.retain(|(_, entry)| entry.is_some());
            self.settled_inside = 0;
        }
    }
}

fn live((tag, entry): Out) -> Option<Unacked> {
    entry.map(|(queue, token)| Unacked { tag, queue, token })
}
