//! The queue's rules, one by one. Here: the test bench.

mod change;
mod consumers;
mod limits;
mod order;
mod paging;
mod retry;

use std::collections::{HashMap, HashSet};

use leveret_message::message::{Message, MessageMeta};
use leveret_message::short::Short;
use leveret_message::stored::{ColdRange, SettleReason, Stored};

use super::*;

/// Records deliveries; refuses consumers as told.
#[derive(Default)]
struct Desk {
    out: Vec<(u64, Delivery)>,
    shut: HashSet<u64>,
    /// Room left, where limited.
    room: HashMap<u64, usize>,
}

impl Outlet<u64> for Desk {
    fn reserve(&mut self, consumer: &u64, _bytes: usize) -> bool {
        if let Some(room) = self.room.get_mut(consumer) {
            if *room == 0 {
                return false;
            }
            *room -= 1;
        }
        !self.shut.contains(consumer)
    }

    fn deliver(&mut self, consumer: &u64, delivery: Delivery) {
        self.out.push((*consumer, delivery));
    }
}

/// A queue with its surroundings.
struct Bench {
    q: Queue<u64>,
    desk: Desk,
    fx: Effects,
    now: Millis,
}

fn bench(settings: Settings) -> Bench {
    Bench {
        q: Queue::new(settings, Millis(1000)),
        desk: Desk::default(),
        fx: Effects::default(),
        now: Millis(1000),
    }
}

fn plain() -> Bench {
    bench(Settings::default())
}

fn durable() -> Settings {
    Settings { durable: true, ..Settings::default() }
}

fn message(body: &str, meta: MessageMeta) -> Message {
    Message::new(Short::literal("x"), Short::literal("key"), b"\0\0", body.as_bytes(), meta)
}

fn persistent() -> MessageMeta {
    MessageMeta { persistent: true, ..MessageMeta::default() }
}

impl Bench {
    fn publish_meta(&mut self, body: &str, meta: MessageMeta) -> Published {
        let message = message(body, meta);
        self.q.publish(self.now, message, &mut self.desk, &mut self.fx)
    }

    fn publish(&mut self, body: &str) -> Published {
        self.publish_meta(body, MessageMeta::default())
    }

    fn publish_all(&mut self, bodies: &[&str]) {
        for body in bodies {
            self.publish(body);
        }
    }

    fn spec(id: u64) -> ConsumerSpec<u64> {
        ConsumerSpec {
            id: ConsumerId(id),
            handle: id,
            no_ack: false,
            prefetch: 0,
            priority: 0,
            exclusive: false,
        }
    }

    fn attach(&mut self, spec: ConsumerSpec<u64>) {
        self.q.attach(self.now, spec, &mut self.fx).expect("attached");
    }

    fn dispatch(&mut self) {
        self.q.dispatch(self.now, &mut self.desk, &mut self.fx);
    }

    fn consume(&mut self, spec: ConsumerSpec<u64>) {
        self.attach(spec);
        self.dispatch();
    }

    /// Deliveries since the last call: consumer and body.
    fn seen(&mut self) -> Vec<(u64, String)> {
        let body = |d: &Delivery| String::from_utf8_lossy(d.message.body()).into_owned();
        let out = std::mem::take(&mut self.desk.out);
        out.iter().map(|(c, d)| (*c, body(d))).collect()
    }

    fn bodies(&mut self) -> String {
        self.seen().into_iter().map(|(_, body)| body).collect::<Vec<_>>().join(" ")
    }

    fn takers(&mut self) -> Vec<u64> {
        self.seen().into_iter().map(|(consumer, _)| consumer).collect()
    }

    /// Takes the tokens of past deliveries and clears the list.
    fn tokens(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.desk.out).into_iter().filter_map(|(_, delivery)| delivery.token).collect()
    }

    fn get(&mut self) -> Option<Delivery> {
        match self.q.get(self.now, false, &mut self.fx) {
            GetReply::Got(got) => Some(got.delivery),
            GetReply::Empty | GetReply::NotYet => None,
        }
    }

    /// Empties the queue by `basic.get`, without acknowledging.
    fn drain(&mut self) -> String {
        let mut all = Vec::new();
        while let Some(delivery) = self.get() {
            all.push(String::from_utf8_lossy(delivery.message.body()).into_owned());
        }
        all.join(" ")
    }

    fn requeue(&mut self, tokens: &[Token], cause: Requeue) {
        self.q.requeue(self.now, tokens, cause, &mut self.fx);
    }

    fn settle(&mut self, tokens: &[Token]) {
        self.q.settle(tokens, &mut self.fx);
    }

    fn reject(&mut self, tokens: &[Token]) {
        self.q.reject(self.now, tokens, &mut self.fx);
    }

    fn tick_at(&mut self, now: u64) {
        self.now = Millis(now);
        self.q.tick(self.now, &mut self.desk, &mut self.fx);
    }

    /// Drops what can be dropped behind `keep` bytes, as if everything were written.
    fn page_out(&mut self, keep: u64) -> u64 {
        self.q.page_out(keep, Seq(u64::MAX), true)
    }

    /// Answers the outstanding read with what `live` returns for each sequence number.
    fn answer(&mut self, live: impl Fn(u64) -> Option<Result<Message, String>>) -> ReadAsk {
        let asked = self.fx.read.take().expect("something is asked for");
        let stored = (asked.from.0..=asked.to.0)
            .filter_map(|seq| {
                Some(Stored { seq: Seq(seq), message: live(seq)?, expires: None, delivery_count: 0 })
            })
            .take(asked.max_messages)
            .collect();
        self.q.fetched(self.now, stored, asked, &mut self.desk, &mut self.fx);
        asked
    }

    fn gone(&mut self) -> Vec<(u64, SettleReason, bool)> {
        let gone = std::mem::take(&mut self.fx.gone);
        gone.iter().map(|g| (g.seq.0, g.reason, g.dead_letter)).collect()
    }
}
