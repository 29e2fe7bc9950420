//! Read-only views of a queue.

use leveret_message::ids::{Millis, Seq};
use leveret_message::message::Message;

use super::consumers::Consumers;
use super::entry::Entry;
use super::priority_level::Chunk;
use super::{ConsumerId, ConsumerSpec, Counts, Queue, Settings, Token};

/// One consumer, for the management API.
#[derive(Debug)]
pub struct ConsumerView<'a, C> {
    /// The spec it was attached with.
    pub spec: &'a ConsumerSpec<C>,
    /// Number of unacknowledged messages it holds.
    pub unacked: u32,
    /// Whether it is served; `false` only for consumers waiting behind a single active consumer.
    pub active: bool,
}

/// An item of a queue, for browsing.
#[derive(Debug)]
pub enum Peeked<'a> {
    /// A message.
    Message {
        /// Its sequence number.
        seq: Seq,
        /// Its priority level.
        priority_level: u8,
        /// The message; `None`: its body is on disk only.
        message: Option<&'a Message>,
        /// Body length in bytes.
        bytes: u32,
        /// Expiry, if any.
        expires: Option<Millis>,
        /// It was, or may have been, delivered before.
        redelivered: bool,
        /// Failed deliveries so far.
        delivery_count: u32,
        /// Earlier deliveries, failed or not.
        acquired_count: u32,
        /// It waits for its retry, which is due then.
        retry_due: Option<Millis>,
    },
    /// A range on disk. Counts as `count` towards what `peek` skips and shows.
    OnDisk {
        /// Its priority level.
        priority_level: u8,
        /// Lower bound of its sequence numbers.
        first: Seq,
        /// Its last sequence number.
        last: Seq,
        /// Number of messages.
        count: u64,
        /// Number of messages to skip at its start.
        skip: u64,
        /// Messages up to here may have been delivered before a restart.
        delivered_upto: Seq,
    },
}

impl<C> Queue<C> {
    /// What the queue holds.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether the store may know of messages in it.
    pub fn is_known_to_store(&self) -> bool {
        self.settings.durable || self.paged_ever
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the store was, or is being, told of an unacknowledged message.
    pub fn is_stored(&self, token: Token) -> bool {
        self.unacked.get(token).is_some_and(|held| held.entry.stored())
    }

    /// The last sequence number assigned.
    pub fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// All consumers, in no particular order.
    pub fn consumers(&self) -> impl Iterator<Item = ConsumerView<'_, C>> {
        let all = self.consumers.as_deref().into_iter();
        all.flat_map(Consumers::iter).map(|(consumer, active)| ConsumerView {
            spec: &consumer.spec,
            unacked: consumer.unacked,
            active,
        })
    }

    /// Single active consumer: the active one.
    pub fn active(&self) -> Option<ConsumerId> {
        self.consumers.as_deref()?.active_id()
    }

    /// Up to `n` messages after the first `from`: ready ones in delivery order, then those that wait for their retry, by
    /// due time. Skipped messages cost time as well: ask for pages, not the whole queue.
    pub fn peek(&self, from: u64, n: usize) -> Vec<Peeked<'_>> {
        let mut skip = from;
        let mut left = n as u64;
        let mut seen = Vec::new();
        for entry in self.aside() {
            if skip > 0 {
                skip -= 1;
            } else if left > 0 {
                left -= 1;
                seen.push(message(entry));
            }
        }
        for level in self.priority_levels.filled() {
            let Some(priority_level) = self.priority_levels.get(level) else {
                continue;
            };
            let near = priority_level.returned.values().chain(priority_level.head.iter());
            let far = priority_level.rest.iter().flat_map(|chunk| match chunk {
                Chunk::Warm(warm) => {
                    let warm: Box<dyn Iterator<Item = _>> = Box::new(warm.iter().map(message));
                    warm
                }
                Chunk::Cold(cold) => Box::new(std::iter::once(Peeked::OnDisk {
                    priority_level: level,
                    first: cold.first,
                    last: cold.last,
                    count: cold.count,
                    skip: 0,
                    delivered_upto: self.recovered_upto,
                })),
            });
            for mut peeked in near.map(message).chain(far) {
                if left == 0 {
                    return seen;
                }
                let count = match &peeked {
                    Peeked::Message { .. } => 1,
                    Peeked::OnDisk { count, .. } => *count,
                };
                if skip >= count {
                    skip -= count;
                    continue;
                }
                left = left.saturating_sub(count - skip);
                if let Peeked::OnDisk { skip: of_it, .. } = &mut peeked {
                    *of_it = skip;
                }
                skip = 0;
                seen.push(peeked);
            }
        }
        if left > 0 && self.counts.retrying > skip {
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            seen.extend(self.retrying().skip(skip).take(left).map(|(due, entry)| shown(entry, Some(due))));
        }
        seen
    }
}

fn message(entry: &Entry) -> Peeked<'_> {
    shown(entry, None)
}

fn shown(entry: &Entry, retry_due: Option<Millis>) -> Peeked<'_> {
    Peeked::Message {
        seq: entry.seq,
        priority_level: entry.priority_level,
        message: entry.message.as_ref(),
        bytes: entry.bytes,
        expires: entry.expires_option(),
        redelivered: entry.redelivered,
        delivery_count: entry.delivery_count,
        acquired_count: entry.acquired_count,
        retry_due,
    }
}
