//! Outstanding deliveries of a channel: delivery tags and their messages (docs/semantics.md, Deliveries).

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use leveret_message::QueueId;
use leveret_queues::Token;

use leveret_broker::channel_stats::ChannelStats;
use leveret_broker::queue_handle::QueueHandle;

/// The deliveries that an acknowledgement names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckSet {
    /// One delivery.
    One(u64),
    /// All up to and including this delivery.
    UpTo(u64),
    /// All outstanding.
    All,
}

impl AckSet {
    /// From the wire: tag 0 with `multiple` means all; without, it is a tag never issued.
    pub const fn from_wire(delivery_tag: u64, multiple: bool) -> Self {
        match (delivery_tag, multiple) {
            (0, true) => Self::All,
            (tag, true) => Self::UpTo(tag),
            (tag, false) => Self::One(tag),
        }
    }
}

/// The tag was never issued on this channel, or is already settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown delivery tag {0}")]
pub struct UnknownTag(pub u64);

/// An unacknowledged delivery.
#[derive(Clone, Debug)]
pub struct Unacked {
    /// Its delivery tag.
    pub tag: u64,
    /// The queue it came from.
    pub queue: Arc<QueueHandle>,
    /// The queue's key for it.
    pub token: Token,
}

/// The outgoing half of a channel.
pub(super) struct ChannelOut {
    /// Distinguishes the channel from others with the same number.
    pub(super) incarnation: u64,
    /// The channel is closing.
    pub(super) muted: bool,
    /// The highest confirmed publish.
    pub(super) confirmed: u64,
    /// Runs of later publishes that were refused or returned, and answered at once. Between two runs are
    /// publishes that wait for the store.
    alone: VecDeque<RangeInclusive<u64>>,
    pub(super) stats: Arc<ChannelStats>,
    next_tag: u64,
    out: Tags<(Arc<QueueHandle>, Token)>,
    /// How many of these `basic.get` fetched.
    got: usize,
}

/// Outstanding entries, by tag.
struct Tags<E> {
    /// Settled entries in the middle remain as `None` until they reach the front or exceed half of all.
    out: VecDeque<(u64, Option<E>)>,
    settled_inside: usize,
    /// Entries searched one by one because the tag lookup missed.
    #[cfg(test)]
    steps: usize,
}

impl<E> Default for Tags<E> {
    fn default() -> Self {
        Self {
            out: VecDeque::new(),
            settled_inside: 0,
            #[cfg(test)]
            steps: 0,
        }
    }
}

impl ChannelOut {
    pub(super) fn new(incarnation: u64, stats: Arc<ChannelStats>) -> Self {
        Self {
            incarnation,
            muted: false,
            confirmed: 0,
            alone: VecDeque::new(),
            stats,
            next_tag: 1,
            out: Tags::default(),
            got: 0,
        }
    }

    /// A publish, the highest so far, is answered before those that wait.
    pub(super) fn settle_alone(&mut self, publish: u64) {
        match self.alone.back_mut() {
            Some(run) if run.end() + 1 == publish => *run = *run.start()..=publish,
            _ => self.alone.push_back(publish..=publish),
        }
    }

    /// Confirms all up to `upto`, except those answered alone; returns the number confirmed.
    pub(super) fn confirm(&mut self, upto: u64) -> u64 {
        let mut count = upto - self.confirmed;
        while let Some(run) = self.alone.pop_front_if(|run| *run.end() <= upto) {
            count -= run.end() - run.start() + 1;
        }
        self.confirmed = upto;
        count
    }

    /// Assigns the next delivery its tag; with a token it awaits acknowledgement.
    pub(super) fn deliver(&mut self, queue: &Arc<QueueHandle>, token: Option<Token>) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        if let Some(token) = token {
            self.got += usize::from(!token.is_with_consumer());
            self.out.push(tag, (Arc::clone(queue), token));
        }
        tag
    }

    /// The tag of the next delivery.
    pub(super) const fn next_tag(&self) -> u64 {
        self.next_tag
    }

    /// Unacknowledged deliveries, by tag.
    pub(super) fn unacked(&self) -> impl Iterator<Item = (QueueId, u64)> {
        self.out.iter().map(|(tag, (queue, _))| (queue.id, tag))
    }

    pub(super) fn unacked_count(&self) -> usize {
        self.out.len()
    }

    pub(super) fn held_by_consumers(&self) -> usize {
        self.out.len() - self.got
    }

    pub(super) fn into_unacked(self) -> Vec<Unacked> {
        self.out
            .out
            .into_iter()
            .filter_map(|(tag, entry)| entry.map(|entry| Unacked::new(tag, entry)))
            .collect()
    }

    /// Takes the deliveries named by `set`, in delivery order.
    pub(super) fn take(&mut self, set: AckSet, into: &mut Vec<Unacked>) -> Result<(), UnknownTag> {
        let got = &mut self.got;
        self.out.take(set, |tag, entry| {
            *got -= usize::from(!entry.1.is_with_consumer());
            into.push(Unacked::new(tag, entry));
        })
    }

    /// Puts taken deliveries back under their old tags.
    pub(super) fn give_back(&mut self, unacked: impl Iterator<Item = Unacked>) {
        let got = &mut self.got;
        self.out.give_back(unacked.map(|entry| {
            *got += usize::from(!entry.token.is_with_consumer());
            (entry.tag, (entry.queue, entry.token))
        }));
    }
}

impl Unacked {
    fn new(tag: u64, (queue, token): (Arc<QueueHandle>, Token)) -> Self {
        Self { tag, queue, token }
    }
}

impl<E> Tags<E> {
    fn push(&mut self, tag: u64, entry: E) {
        self.out.push_back((tag, Some(entry)));
    }

    fn len(&self) -> usize {
        self.out.len() - self.settled_inside
    }

    fn iter(&self) -> impl Iterator<Item = (u64, &E)> {
        self.out.iter().filter_map(|(tag, entry)| entry.as_ref().map(|entry| (*tag, entry)))
    }

    fn take(&mut self, set: AckSet, mut each: impl FnMut(u64, E)) -> Result<(), UnknownTag> {
        match set {
            AckSet::All => {
                for (tag, entry) in self.out.drain(..) {
                    if let Some(entry) = entry {
                        each(tag, entry);
                    }
                }
                self.settled_inside = 0;
            }
            AckSet::One(tag) => {
                let index = self.find(tag)?;
                if index == 0 {
                    if let Some((tag, Some(entry))) = self.out.pop_front() {
                        each(tag, entry);
                    }
                    self.trim();
                } else {
                    if let Some(entry) = self.out[index].1.take() {
                        each(tag, entry);
                    }
                    self.settled_inside += 1;
                    self.compact();
                }
            }
            AckSet::UpTo(tag) => {
                let index = self.find(tag)?;
                for (tag, entry) in self.out.drain(..=index) {
                    match entry {
                        Some(entry) => each(tag, entry),
                        None => self.settled_inside -= 1,
                    }
                }
                self.trim();
            }
        }
        Ok(())
    }

    /// Puts taken entries back. Mostly their slots still exist; otherwise all entries are sorted again, which
    /// happens only after more than half of them were taken, or at the front.
    fn give_back(&mut self, entries: impl Iterator<Item = (u64, E)>) {
        let mut rest = Vec::new();
        for (tag, entry) in entries {
            match self.out.binary_search_by_key(&tag, |entry| entry.0) {
                Ok(place) => {
                    self.settled_inside -= usize::from(self.out[place].1.is_none());
                    self.out[place].1 = Some(entry);
                }
                Err(_) => rest.push((tag, Some(entry))),
            }
        }
        let Some(last) = rest.iter().map(|entry| entry.0).max() else { return };
        rest.sort_unstable_by_key(|entry| entry.0);
        let before_all = self.out.front().is_none_or(|first| last < first.0);
        for entry in rest.into_iter().rev() {
            self.out.push_front(entry);
        }
        if !before_all {
            #[cfg(test)]
            {
                self.steps += self.out.len();
            }
            self.out.make_contiguous().sort_unstable_by_key(|entry| entry.0);
        }
    }

    fn find(&self, tag: u64) -> Result<usize, UnknownTag> {
        // Consecutive tags, the usual case, are found by subtraction.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, written naively.
    #[derive(Default)]
    struct Model {
        out: Vec<u64>,
    }

    impl Model {
        fn take(&mut self, set: AckSet) -> Option<Vec<u64>> {
            let names = |tag: u64| match set {
                AckSet::One(one) => tag == one,
                AckSet::UpTo(last) => tag <= last,
                AckSet::All => true,
            };
            if let AckSet::One(tag) | AckSet::UpTo(tag) = set
                && !self.out.contains(&tag)
            {
                return None;
            }
            let (taken, left) = self.out.iter().partition(|tag| names(**tag));
            self.out = left;
            Some(taken)
        }
    }

    fn any_set() -> impl Strategy<Value = AckSet> {
        prop_oneof![
            30 => (0u64..400).prop_map(AckSet::One),
            1 => (0u64..60).prop_map(AckSet::UpTo),
            1 => Just(AckSet::All),
        ]
    }

    proptest! {
        #[test]
        fn what_was_taken_comes_back_in_its_place(
            deliveries in 1u64..400, before in proptest::collection::vec(any_set(), 0..300),
            in_transaction in proptest::collection::vec(any_set(), 0..300),
        ) {
            let (mut out, mut model) = (Tags::default(), Model::default());
            for tag in 1..=deliveries {
                out.push(tag, tag);
                model.out.push(tag);
            }
            let mut gone = Vec::new();
            for set in before {
                let taken = out.take(set, |tag, entry| gone.push((tag, entry))).is_ok();
                prop_assert_eq!(taken, model.take(set).is_some());
            }
            let (mut taken, mut back) = (Vec::new(), Vec::new());
            for set in in_transaction {
                let ok = out.take(set, |tag, entry| taken.push((tag, entry))).is_ok();
                let named = model.take(set);
                prop_assert_eq!(ok, named.is_some());
                back.extend(named.into_iter().flatten());
            }
            prop_assert_eq!(taken.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), back.clone());
            out.give_back(taken.into_iter());
            model.out.extend(back);
            model.out.sort_unstable();
            prop_assert_eq!(out.len(), model.out.len());
            prop_assert_eq!(out.iter().map(|(tag, _)| tag).collect::<Vec<_>>(), model.out);
        }
    }

    #[test]
    fn giving_back_looks_at_what_comes_back_not_at_all_that_is_out() {
        let steps = |out_there: u64| {
            let mut out = Tags::default();
            (1..=out_there).for_each(|tag| out.push(tag, ()));
            for _ in 0..1000 {
                let mut taken = Vec::new();
                out.take(AckSet::One(out_there / 2), |tag, ()| taken.push((tag, ()))).expect("there");
                out.give_back(taken.into_iter());
                out.give_back(std::iter::empty());
            }
            out.steps
        };
        assert!(steps(64_000) <= steps(1000), "{} steps", steps(64_000));
    }
}
