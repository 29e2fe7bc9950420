//! The meaning of records in the plainest form: a queue's durable state is the fold over its records.
//!
//! Invariants: folding a record twice, or a settle of an absent message, changes nothing. The in-memory store is
//! built on it, and tests compare the log store with it.
//! Absent: limits on memory.

use std::collections::BTreeMap;

use leveret_message::ids::{Millis, QueueId, Seq};
use leveret_message::message::Message;
use leveret_message::stored::{ColdRange, RecoveredQueue, Stored};

use super::{ReadWish, Record};

/// A live message.
#[derive(Clone, Debug)]
pub struct FoldedMessage {
    /// The message.
    pub message: Message,
    /// Its priority level.
    pub priority_level: u8,
    /// Expiry, if any.
    pub expires: Option<Millis>,
    /// Void after a restart.
    pub transient: bool,
    /// Failed deliveries.
    pub delivery_count: u32,
}

/// One queue's state.
#[derive(Clone, Debug, Default)]
pub struct FoldedQueue {
    /// Live messages by sequence number.
    pub live: BTreeMap<Seq, FoldedMessage>,
    /// The highest sequence number named by a record.
    pub last_seq: Seq,
    /// Everything up to here may have been delivered.
    pub delivered_upto: Seq,
}

/// State of all queues.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    /// Queues that have had a record and are not deleted.
    pub queues: BTreeMap<QueueId, FoldedQueue>,
}

impl Fold {
    /// Applies one record.
    pub fn apply(&mut self, record: &Record) {
        let queue = |fold: &mut Self, id: QueueId, seq: Seq| {
            let queue = fold.queues.entry(id).or_default();
            queue.last_seq = queue.last_seq.max(seq);
        };
        match record {
            Record::Enqueue { queue: id, seq, message, priority_level, expires, transient, .. } => {
                queue(self, *id, *seq);
                let delivery_count =
                    self.get(*id).and_then(|queue| queue.live.get(seq)).map_or(0, |old| old.delivery_count);
                let folded = FoldedMessage {
                    message: message.clone(),
                    priority_level: *priority_level,
                    expires: *expires,
                    transient: *transient,
                    delivery_count,
                };
                self.queues.entry(*id).or_default().live.insert(*seq, folded);
            }
            Record::Settle { queue: id, first, count, .. } => {
                if *count == 0 {
                    return;
                }
                let last = Seq(first.0.saturating_add(count - 1));
                queue(self, *id, last);
                let live = &mut self.queues.entry(*id).or_default().live;
                live.retain(|seq, _| *seq < *first || *seq > last);
            }
            Record::Delivered { queue: id, upto } => {
                queue(self, *id, *upto);
                let queue = self.queues.entry(*id).or_default();
                queue.delivered_upto = queue.delivered_upto.max(*upto);
            }
            Record::Returned { queue: id, seq, count } => {
                let live = self.queues.get_mut(id).and_then(|q| q.live.get_mut(seq));
                if let Some(message) = live {
                    message.delivery_count = *count;
                }
            }
            Record::Purge { queue: id, upto, kept } => {
                queue(self, *id, *upto);
                let live = &mut self.queues.entry(*id).or_default().live;
                live.retain(|seq, _| *seq > *upto || kept.binary_search(seq).is_ok());
            }
            Record::Gone { queue: id } => {
                self.queues.remove(id);
            }
        }
    }

    fn get(&self, id: QueueId) -> Option<&FoldedQueue> {
        self.queues.get(&id)
    }

    /// The effect of a restart: transient messages are void.
    pub fn restart(&mut self) {
        for queue in self.queues.values_mut() {
            queue.live.retain(|_, message| !message.transient);
        }
    }

    /// Answers a read.
    pub fn read(&self, wish: &ReadWish) -> Vec<Stored> {
        let Some(queue) = self.get(wish.queue) else {
            return Vec::new();
        };
        if wish.from > wish.to {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut bytes = 0usize;
        let range = queue.live.range(wish.from..=wish.to);
        for (seq, live) in range.filter(|(_, live)| live.priority_level == wish.priority_level) {
            if found.len() == wish.max_messages || (!found.is_empty() && bytes > wish.max_bytes) {
                break;
            }
            bytes = bytes.saturating_add(live.message.body_len());
            found.push(Stored {
                seq: *seq,
                message: Ok(live.message.clone()),
                expires: live.expires,
                delivery_count: live.delivery_count,
            });
        }
        found
    }
}

impl FoldedQueue {
    /// As a store reports it on opening: one range per priority level.
    pub fn recovered(&self) -> RecoveredQueue {
        let mut priority_levels: BTreeMap<u8, ColdRange> = BTreeMap::new();
        for (seq, live) in &self.live {
            let range = priority_levels.entry(live.priority_level).or_insert(ColdRange {
                priority_level: live.priority_level,
                first: *seq,
                last: *seq,
                count: 0,
                bytes: 0,
            });
            range.last = *seq;
            range.count += 1;
            range.bytes += live.message.body_len() as u64;
        }
        RecoveredQueue {
            ranges: priority_levels.into_values().collect(),
            last_seq: self.last_seq,
            delivered_upto: self.delivered_upto,
        }
    }
}
