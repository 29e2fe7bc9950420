//! Shared parts of the store tests.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leveret_message::stored::{SettleReason, Stored};
use leveret_message::{Message, MessageMeta, QueueId, Seq, Short};
use leveret_store::{Broken, ReadWish, Record, Store, Synced, Unread, Waiter};

/// What a waiter was told.
pub(crate) type Told = (u64, Result<Synced, Broken>);

struct Listener(Mutex<Sender<Told>>);

impl Waiter for Listener {
    fn synced(&self, token: u64, outcome: Result<Synced, Broken>) {
        let _ = self.0.lock().unwrap().send((token, outcome));
    }
}

pub(crate) fn waiter() -> (Arc<dyn Waiter>, Receiver<Told>) {
    let (sender, receiver) = channel();
    (Arc::new(Listener(Mutex::new(sender))), receiver)
}

/// Long enough for any disk; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

pub(crate) fn message(body: &[u8]) -> Message {
    let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
    Message::new(Short::literal("amq.topic"), Short::literal("a.key"), b"\x10\0\x02", body, meta)
}

pub(crate) fn enqueue(queue: u64, seq: u64, message: &Message) -> Record {
    Record::Enqueue {
        queue: QueueId(queue),
        seq: Seq(seq),
        message: message.clone(),
        priority_level: 0,
        expires: None,
        transient: false,
        sole: false,
    }
}

pub(crate) fn settle(queue: u64, first: u64, count: u64) -> Record {
    Record::Settle { queue: QueueId(queue), first: Seq(first), count, reason: SettleReason::Acked }
}

pub(crate) fn wish(queue: u64, from: u64, to: u64) -> ReadWish {
    ReadWish {
        queue: QueueId(queue),
        priority_level: 0,
        from: Seq(from),
        to: Seq(to),
        max_messages: usize::MAX,
        max_bytes: usize::MAX,
    }
}

pub(crate) fn ask(store: &dyn Store, wish: ReadWish) -> Receiver<Result<Vec<Stored>, Unread>> {
    let (sender, receiver) = channel();
    store.read(wish, Box::new(move |answer| sender.send(answer).unwrap()));
    receiver
}

pub(crate) fn seqs(stored: &[Stored]) -> Vec<u64> {
    stored.iter().map(|s| s.seq.0).collect()
}
