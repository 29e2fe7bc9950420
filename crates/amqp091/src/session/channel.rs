//! One channel: its settings, consumers and incomplete publish.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_broker::consumer::Consumer;
use leveret_broker::names::{ConsumerTag, QueueName};
use leveret_broker::registry::ChannelHandle;
use leveret_broker::shared_credit::SharedCredit;
use leveret_broker::turn::{NothingAppended, Turn};
use leveret_store::{Broken, Store, Synced, Waiter};
use rustc_hash::FxHashMap;

use super::content::Content;
use super::outbox::{Durable, Outbox};
use super::overdue::Watch;
use super::transaction::Transaction;

/// From this many consumers per channel on, starting another one sweeps those whose queue was deleted.
pub(super) const CONSUMERS_SWEPT: usize = 64;

/// One open channel.
pub(super) struct Channel {
    pub(super) number: u16,
    /// `channel.close` was sent: everything but its answer is ignored.
    pub(super) closing: bool,
    /// For `basic.*` and `queue.*` with an empty queue name.
    pub(super) last_queue: Option<QueueName>,
    /// Consumers whose queue was deleted stay until their tag is reused or a sweep removes them.
    pub(super) consumers: FxHashMap<ConsumerTag, Arc<Consumer>>,
    /// Number of consumers that triggers the next sweep.
    pub(super) consumers_swept: usize,
    /// Limit of consumers started from now on; 0 for none.
    pub(super) prefetch: u32,
    pub(super) shared_credit: Arc<SharedCredit>,
    /// Set by `confirm.select`.
    pub(super) confirms: Option<Confirms>,
    /// Set by `tx.select`.
    pub(super) tx: Option<Box<Transaction>>,
    /// The hidden queue of its direct reply-to consumer.
    pub(super) replies: Option<QueueName>,
    /// Closes the channel when a delivery stays unacknowledged too long.
    pub(super) watch: Option<Arc<Watch>>,
    /// A publish whose content is incomplete.
    pub(super) content: Option<Content>,
    pub(super) incarnation: u64,
    /// The channel as others see it.
    pub(super) handle: Arc<ChannelHandle>,
}

/// Publisher confirms of one channel.
pub(super) struct Confirms {
    /// Sequence number of the next publish; from 1.
    pub(super) next: u64,
    /// The highest publish whose confirm waits for the store.
    pub(super) registered: u64,
    pub(super) waiter: Arc<dyn Waiter>,
    channel: u16,
    incarnation: u64,
}

impl Confirms {
    /// Confirms all publishes up to `upto`: at once, or after the store's sync if it holds any of them.
    pub(super) fn upto(
        &mut self,
        upto: u64,
        nothing_appended: Option<NothingAppended>,
        store: &dyn Store,
        outbox: &Outbox,
        turn: &mut Turn,
    ) {
        match nothing_appended {
            Some(proof) if outbox.confirmed(self.channel) >= self.registered => {
                let proof = Ok(Durable::NothingAppended(proof));
                turn.owe_wake(outbox.confirm(self.channel, self.incarnation, upto, proof));
            }
            _ => {
                self.registered = upto;
                store.notify(&self.waiter, upto);
            }
        }
    }
}

impl Channel {
    pub(super) fn new(number: u16, incarnation: u64, handle: Arc<ChannelHandle>) -> Self {
        Self {
            number,
            closing: false,
            last_queue: None,
            consumers: FxHashMap::default(),
            consumers_swept: CONSUMERS_SWEPT,
            prefetch: 0,
            shared_credit: Arc::default(),
            confirms: None,
            tx: None,
            replies: None,
            watch: None,
            content: None,
            incarnation,
            handle,
        }
    }

    /// Publishes the size of the open transaction to the handle.
    pub(super) fn show_transaction(&self) {
        let (publishes, settles) =
            self.tx.as_ref().map_or((0, 0), |tx| (tx.publishes.len(), tx.settles.len()));
        self.handle.uncommitted.store(publishes, Ordering::Relaxed);
        self.handle.uncommitted_acks.store(settles, Ordering::Relaxed);
    }

    /// Bytes buffered on the channel: an incomplete publish, an open transaction.
    pub(super) fn held_bytes(&self) -> usize {
        let content = self.content.as_ref().map_or(0, Content::memory);
        content + self.tx.as_ref().map_or(0, |tx| tx.bytes())
    }

    /// From now on every publish is confirmed.
    pub(super) fn select_confirms(&mut self, outbox: &Arc<Outbox>) {
        self.handle.confirm.store(true, Ordering::Relaxed);
        let (channel, incarnation) = (self.number, self.incarnation);
        self.confirms.get_or_insert_with(|| {
            let waiter = Arc::new(ConfirmWaiter { outbox: Arc::clone(outbox), channel, incarnation });
            Confirms { next: 1, registered: 0, waiter, channel, incarnation }
        });
    }
}

/// Sends the confirm after the store's sync.
struct ConfirmWaiter {
    outbox: Arc<Outbox>,
    channel: u16,
    incarnation: u64,
}

impl Waiter for ConfirmWaiter {
    fn synced(&self, token: u64, outcome: Result<Synced, Broken>) {
        let writer = self.outbox.confirm(self.channel, self.incarnation, token, outcome.map(Durable::Synced));
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}
