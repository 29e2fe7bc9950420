//! Generates a seed's script: random, but mostly valid operations.

use std::collections::BTreeMap;

use leveret_store::sim::Rng;

use crate::model::channel::How;
use crate::model::route::{Binding, End, Match};
use crate::model::shape::{ExchangeShape, Overflow, PolicyShape, QueueShape};
use crate::script::{At, Op, Publish};

const QUEUES: [&str; 6] = ["a1", "a2", "b1", "b2", "c1", "c2"];
const EXCHANGES: [&str; 5] = ["x.direct", "x.fanout", "x.topic", "x.headers", "x.more"];
const KEYS: [&str; 6] = ["a1", "b1", "k.l", "k", "k.l.m", ""];
const PATTERNS: [&str; 6] = ["k.*", "#", "*.l.#", "k", "a1", "#.m"];
const KINDS: [&str; 4] = ["direct", "fanout", "topic", "headers"];
const POLICIES: [&str; 3] = ["low", "middle", "high"];

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[usize::try_from(rng.below(of.len() as u64)).expect("an index")]
}

fn some<T>(rng: &mut Rng, one_in: u64, value: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    if rng.one_in(one_in) { Some(value(rng)) } else { None }
}

/// The operations of a seed.
pub(crate) fn script(seed: u64) -> Vec<Op> {
    let mut rng = Rng::new(seed);
    let clients = 1 + rng.below(3);
    // Some runs declare few unusual things, so that more messages flow.
    let calm = rng.one_in(3);
    let mut author =
        Author { rng, clients, calm, queues: BTreeMap::new(), exchanges: BTreeMap::new(), repair: None };
    let mut ops = author.prelude();
    for _ in 0..60 + author.rng.below(140) {
        let op = author.op();
        ops.push(op);
    }
    ops
}

/// Remembers its declarations.
struct Author {
    rng: Rng,
    clients: u64,
    calm: bool,
    queues: BTreeMap<&'static str, QueueShape>,
    exchanges: BTreeMap<&'static str, ExchangeShape>,
    /// Number of operations until the definitions' storage works again.
    repair: Option<u64>,
}

impl Author {
    /// Declares something to publish to.
    fn prelude(&mut self) -> Vec<Op> {
        let mut ops = Vec::new();
        let queues = if self.calm { 2 } else { QUEUES.len() };
        for name in &QUEUES[..queues] {
            let op = self.declare_queue(name);
            ops.push(op);
        }
        for (number, name) in EXCHANGES.iter().enumerate() {
            let op = self.declare_exchange(number, name);
            ops.push(op);
        }
        for _ in 0..self.rng.below(12) {
            let at = self.at();
            ops.push(Op::Bind { at, binding: binding(&mut self.rng) });
        }
        for client in 0..usize::try_from(self.clients).expect("few") {
            ops.push(match self.rng.below(4) {
                0 => Op::TxSelect { at: (client, 1) },
                1 => Op::Sync,
                _ => Op::ConfirmSelect { at: (client, 1) },
            });
        }
        ops
    }

    fn at(&mut self) -> At {
        let client = usize::try_from(self.rng.below(self.clients)).expect("few");
        (client, 1 + u16::from(self.rng.one_in(3)))
    }

    fn queue(&mut self) -> &'static str {
        if self.calm { pick(&mut self.rng, &QUEUES[..2]) } else { pick(&mut self.rng, &QUEUES) }
    }

    /// Usually as declared before.
    fn declare_queue(&mut self, name: &'static str) -> Op {
        let at = self.at();
        let shape = match self.queues.get(name) {
            Some(shape) if !self.rng.one_in(6) => shape.clone(),
            _ => queue_shape(&mut self.rng, self.calm),
        };
        self.queues.insert(name, shape.clone());
        Op::DeclareQueue { at, name, shape }
    }

    fn declare_exchange(&mut self, number: usize, name: &'static str) -> Op {
        let at = self.at();
        let shape = match self.exchanges.get(name) {
            Some(shape) if !self.rng.one_in(6) => shape.clone(),
            _ => exchange_shape(&mut self.rng, number),
        };
        self.exchanges.insert(name, shape.clone());
        Op::DeclareExchange { at, name, shape }
    }

    fn op(&mut self) -> Op {
        match self.repair {
            Some(0) => {
                self.repair = None;
                return Op::Storage { fails: false };
            }
            Some(left) => self.repair = Some(left - 1),
            None => {}
        }
        match self.rng.below(100) {
            0..=20 => self.declaration(),
            21..=45 => {
                let at = self.at();
                let queue = self.queue();
                publish(&mut self.rng, at, queue, self.calm)
            }
            46..=81 => self.use_of_messages(),
            _ => self.event(),
        }
    }

    fn declaration(&mut self) -> Op {
        let (at, queue) = (self.at(), self.queue());
        let number = usize::try_from(self.rng.below(EXCHANGES.len() as u64)).expect("few");
        let exchange = EXCHANGES[number];
        let rng = &mut self.rng;
        match rng.below(21) {
            0..=7 => self.declare_queue(queue),
            8 => Op::FindQueue { at, name: queue },
            9 => Op::DeleteQueue { at, name: queue, if_unused: rng.one_in(3), if_empty: rng.one_in(3) },
            10 => Op::Purge { at, name: queue },
            11..=13 => self.declare_exchange(number, exchange),
            14 => Op::DeleteExchange { at, name: exchange, if_unused: rng.one_in(3) },
            15..=19 => Op::Bind { at, binding: binding(rng) },
            _ => Op::Unbind { at, binding: binding(rng) },
        }
    }

    fn use_of_messages(&mut self) -> Op {
        let (at, queue) = (self.at(), self.queue());
        let rng = &mut self.rng;
        let which = usize::try_from(rng.below(20)).expect("few");
        match rng.below(36) {
            0..=8 => Op::Consume {
                at,
                queue,
                no_ack: rng.one_in(4),
                exclusive: rng.one_in(12),
                priority: pick(rng, &[0, 0, 0, 1, 2]),
            },
            9..=10 => Op::Cancel { at, which },
            11..=15 => Op::Get { at, queue, no_ack: rng.one_in(3) },
            16..=28 => settle(rng, at, which),
            29 => Op::SettleAll { at, how: pick(rng, &[How::Ack, How::Reject, How::Requeue]) },
            30 => Op::Recover { at },
            31..=32 => Op::Qos { at, count: rng.below(4), shared: rng.one_in(3) },
            33 => Op::Commit { at },
            34 => Op::Rollback { at },
            _ => pick_mode(rng, at),
        }
    }

    fn event(&mut self) -> Op {
        let at = self.at();
        let client = at.0;
        let rng = &mut self.rng;
        match rng.below(18) {
            0 => Op::CloseChannel { at },
            1 => Op::CloseConnection { client },
            2 => Op::Disconnect { client },
            3..=4 => policy(rng),
            5..=8 => Op::Pass { ms: pick(rng, &[1, 10, 40, 100, 600]) },
            9 => Op::Rest,
            10 => {
                self.repair = Some(rng.below(6));
                Op::Storage { fails: true }
            }
            11 => Op::Crash { seed: rng.any() },
            12 if rng.one_in(4) => Op::FailedSync { seed: rng.any() },
            _ => Op::Sync,
        }
    }
}

fn pick_mode(rng: &mut Rng, at: At) -> Op {
    if rng.one_in(3) { Op::TxSelect { at } } else { Op::ConfirmSelect { at } }
}

fn queue_shape(rng: &mut Rng, calm: bool) -> QueueShape {
    let mut shape = QueueShape { durable: !rng.one_in(4), ..QueueShape::default() };
    if calm {
        return shape;
    }
    shape.quorum = rng.one_in(6);
    shape.exclusive = rng.one_in(8);
    shape.auto_delete = rng.one_in(6);
    shape.single_active = rng.one_in(6);
    shape.ttl = some(rng, 5, |rng| pick(rng, &[0, 15, 60]));
    shape.expires = some(rng, 12, |_| 500);
    shape.max_length = some(rng, 4, |rng| rng.below(4));
    shape.dead_letter = some(rng, 2, |rng| pick(rng, &["", "x.fanout", "amq.fanout", "x.topic"]));
    if shape.dead_letter.is_some() {
        shape.dead_key = some(rng, 2, |rng| pick(rng, &["a1", "b1", "k.l"]));
    }
    if !shape.quorum {
        shape.overflow = pick(rng, &[Overflow::DropHead, Overflow::Reject, Overflow::RejectDeadLetter]);
        shape.max_priority = some(rng, 5, |rng| pick(rng, &[1, 3]));
    }
    shape.delivery_limit = some(rng, 6, |rng| rng.below(3));
    shape
}

fn exchange_shape(rng: &mut Rng, number: usize) -> ExchangeShape {
    let kind = if rng.one_in(8) { pick(rng, &KINDS) } else { KINDS[number.min(3)] };
    ExchangeShape {
        kind,
        durable: !rng.one_in(3),
        auto_delete: rng.one_in(5),
        internal: rng.one_in(12),
        alternate: some(rng, 5, |rng| pick(rng, &EXCHANGES)),
    }
}

fn source(rng: &mut Rng) -> &'static str {
    if rng.one_in(3) {
        pick(rng, &["amq.direct", "amq.fanout", "amq.topic", "amq.headers"])
    } else {
        pick(rng, &EXCHANGES)
    }
}

fn binding(rng: &mut Rng) -> Binding {
    let end = if rng.one_in(4) {
        End::Exchange(pick(rng, &EXCHANGES).to_owned())
    } else {
        End::Queue(pick(rng, &QUEUES).to_owned())
    };
    let matching = match rng.below(3) {
        0 => Match::Nothing,
        1 => Match::All(pick(rng, &[1, 2])),
        _ => Match::Any(pick(rng, &[1, 2])),
    };
    let key = if rng.one_in(2) { pick(rng, &KEYS) } else { pick(rng, &PATTERNS) };
    Binding { source: source(rng).to_owned(), end, key: key.to_owned(), matching }
}

fn publish(rng: &mut Rng, at: At, queue: &'static str, calm: bool) -> Op {
    let how = Publish {
        persistent: !rng.one_in(4),
        mandatory: rng.one_in(4),
        priority: pick(rng, &[0, 0, 1, 2, 5]),
        expiration: if calm { None } else { some(rng, 6, |rng| pick(rng, &[0, 20, 70])) },
        header: some(rng, 2, |rng| pick(rng, &[1, 2])),
        size: pick(rng, &[0, 0, 0, 300, 3_000]),
    };
    let (exchange, key) = if rng.one_in(2) { ("", queue) } else { (source(rng), pick(rng, &KEYS)) };
    Op::Publish { at, count: 1 + rng.below(4), exchange, key, how }
}

fn settle(rng: &mut Rng, at: At, which: usize) -> Op {
    let which = if rng.one_in(50) { None } else { Some(which) };
    let how = pick(rng, &[How::Ack, How::Ack, How::Ack, How::Reject, How::Requeue]);
    Op::Settle { at, which, multiple: rng.one_in(3), how, reject: rng.one_in(2) }
}

fn policy(rng: &mut Rng) -> Op {
    let number = usize::try_from(rng.below(POLICIES.len() as u64)).expect("few");
    let name = POLICIES[number];
    if rng.one_in(3) {
        return Op::ClearPolicy { name };
    }
    let policy = PolicyShape {
        prefix: pick(rng, &["a", "b", "a1"]),
        priority: i64::try_from(number).expect("few"),
        max_length: some(rng, 2, |rng| 1 + rng.below(5)),
        dead_letter: Some(pick(rng, &["amq.fanout", "x.fanout"])),
    };
    Op::SetPolicy { name, policy }
}
