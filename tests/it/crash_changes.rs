//! Repeated kill -9 amid dead-lettering, purges, acknowledgements that must persist, declares and deletes.
//! `LEVERET_CRASH_ROUNDS` sets the number of rounds.
//!
//! Each actor has its own queues and records each request before sending it, and each answer. What precedes a
//! confirmed publish on the same channel is on disk, since the log keeps the order of appends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::crash::{connect, rounds};
use crate::harness::Broker;
use crate::raw::{Client, Heard};
use crate::wait;

/// State shared by all actors of a round.
struct Stage {
    addr: SocketAddr,
    dying: AtomicBool,
    confirms: AtomicU64,
}

impl Stage {
    fn connect(&self) -> Option<Client> {
        let mut c = connect(self.addr, &self.dying)?;
        c.say("confirm.select");
        c.try_next()?;
        Some(c)
    }

    /// Publishes a persistent message to a queue and waits for its confirm; `None` if the broker is gone.
    fn publish(&self, c: &mut Client, queue: &str, number: u64) -> Option<()> {
        self.publish_to(c, &format!("routing_key={queue}"), number)
    }

    fn publish_to(&self, c: &mut Client, to: &str, number: u64) -> Option<()> {
        c.publish_with(to, "delivery_mode=2", format!("{number:>10}{}", "x".repeat((number % 900) as usize)));
        let ack = c.try_next()?;
        assert_eq!(ack.spec.name, "basic.ack");
        self.confirms.fetch_add(1, Ordering::SeqCst);
        Some(())
    }
}

fn number(heard: &Heard) -> u64 {
    String::from_utf8_lossy(&heard.body[..10]).trim().parse().expect("a number")
}

fn ask(c: &mut Client, text: &str) -> Option<Heard> {
    c.say(text);
    c.try_next()
}

/// A queue's messages, in order, with their redelivered flags; nothing is acknowledged.
fn content(c: &mut Client, queue: &str) -> Vec<(u64, bool)> {
    let mut found = Vec::new();
    loop {
        c.say(&format!("basic.get queue={queue}"));
        let heard = c.next();
        if heard.spec.name == "basic.get-empty" {
            break;
        }
        found.push((number(&heard), heard.field("redelivered").int() == 1));
    }
    let numbers: BTreeSet<_> = found.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), found.len(), "{queue}: something is there twice: {found:?}");
    found
}

/// Dead-letters messages from one queue to two others, one step each.
#[derive(Default)]
struct DeadLetters {
    next: u64,
    confirmed: BTreeSet<u64>,
}

impl DeadLetters {
    fn prepare(c: &mut Client) {
        c.declare(
            "queue=dl.source durable arguments={x-dead-letter-exchange:amq.direct,x-dead-letter-routing-key:dl}",
        );
        for target in ["dl.one", "dl.two"] {
            c.declare(&format!("queue={target} durable"));
            c.ask(&format!("queue.bind queue={target} exchange=amq.direct routing_key=dl"), "queue.bind-ok");
        }
    }

    fn act(&mut self, stage: &Stage) -> Option<()> {
        let mut c = stage.connect()?;
        loop {
            for _ in 0..7 {
                let n = self.next;
                self.next += 1;
                stage.publish(&mut c, "dl.source", n)?;
                self.confirmed.insert(n);
            }
            for _ in 0..5 {
                let got = ask(&mut c, "basic.get queue=dl.source")?;
                if got.spec.name == "basic.get-ok" {
                    c.say(&format!("basic.reject delivery_tag={}", got.tag()));
                }
            }
        }
    }

    /// Each message is in the source, or in both targets.
    fn check(&mut self, c: &mut Client) {
        let numbers = |found: Vec<(u64, bool)>| found.into_iter().map(|(n, _)| n).collect::<BTreeSet<_>>();
        let source = numbers(content(c, "dl.source"));
        let (one, two) = (numbers(content(c, "dl.one")), numbers(content(c, "dl.two")));
        assert_eq!(one, two, "a dead letter goes to all targets or to none");
        let both: Vec<_> = source.intersection(&one).collect();
        assert!(both.is_empty(), "in the source and in the targets: {both:?}");
        let lost: Vec<_> =
            self.confirmed.iter().filter(|n| !source.contains(n) && !one.contains(n)).collect();
        assert!(lost.is_empty(), "confirmed and in no place: {lost:?}");
        // Unconfirmed messages that were found count as confirmed from now on.
        self.confirmed.extend(source.iter().chain(&one));
    }
}

/// Fills and purges a queue in turn.
#[derive(Default)]
struct Purges {
    next: u64,
    confirmed: BTreeSet<u64>,
    /// Messages whose purge was requested.
    asked: BTreeSet<u64>,
    /// Messages whose purge is on disk.
    gone: BTreeSet<u64>,
}

impl Purges {
    fn act(&mut self, stage: &Stage) -> Option<()> {
        let mut c = stage.connect()?;
        loop {
            for _ in 0..9 {
                let purged: Vec<_> = self.asked.iter().copied().collect();
                let n = self.next;
                self.next += 1;
                stage.publish(&mut c, "purged", n)?;
                // The confirm covers all earlier purges.
                self.gone.extend(purged);
                self.confirmed.insert(n);
            }
            self.asked.extend(0..self.next);
            ask(&mut c, "queue.purge queue=purged")?;
        }
    }

    fn check(&mut self, c: &mut Client) {
        let found: BTreeSet<_> = content(c, "purged").into_iter().map(|(number, _)| number).collect();
        let back: Vec<_> = found.intersection(&self.gone).collect();
        assert!(back.is_empty(), "purged, and back: {back:?}");
        let lost: Vec<_> =
            self.confirmed.iter().filter(|n| !self.asked.contains(n) && !found.contains(n)).collect();
        assert!(lost.is_empty(), "confirmed, not purged and not there: {lost:?}");
        self.confirmed.extend(&found);
        self.asked.retain(|number| !found.contains(number));
    }
}

/// Takes messages; acknowledges some, and leaves some with the consumer.
#[derive(Default)]
struct Acks {
    next: u64,
    confirmed: BTreeSet<u64>,
    asked: BTreeSet<u64>,
    gone: BTreeSet<u64>,
    /// Unacknowledged, as recorded by the store.
    held: BTreeSet<u64>,
}

impl Acks {
    fn act(&mut self, stage: &Stage) -> Option<()> {
        let mut c = stage.connect()?;
        loop {
            let (acked, mut held): (Vec<_>, Vec<_>) = (self.asked.iter().copied().collect(), Vec::new());
            for n in 0..4 {
                let got = ask(&mut c, "basic.get queue=acked")?;
                if got.spec.name != "basic.get-ok" {
                    break;
                }
                if n < 3 {
                    self.asked.insert(number(&got));
                    c.say(&format!("basic.ack delivery_tag={}", got.tag()));
                } else {
                    held.push(number(&got));
                }
            }
            for _ in 0..5 {
                let n = self.next;
                self.next += 1;
                stage.publish(&mut c, "acked", n)?;
                self.confirmed.insert(n);
            }
            self.gone.extend(acked);
            self.held.extend(held);
        }
    }

    fn check(&mut self, c: &mut Client) {
        let found: BTreeMap<_, _> = content(c, "acked").into_iter().collect();
        let back: Vec<_> = self.gone.iter().filter(|n| found.contains_key(n)).collect();
        assert!(back.is_empty(), "acknowledged on disk, and back: {back:?}");
        let lost: Vec<_> =
            self.confirmed.iter().filter(|n| !self.asked.contains(n) && !found.contains_key(n)).collect();
        assert!(lost.is_empty(), "confirmed, not acknowledged and not there: {lost:?}");
        let unmarked: Vec<_> = self.held.iter().filter(|n| found.get(n) == Some(&false)).collect();
        assert!(unmarked.is_empty(), "were held by a consumer, and are not marked: {unmarked:?}");
        self.confirmed.extend(found.keys());
        self.asked.retain(|number| !found.contains_key(number));
        self.held.clear();
    }
}

/// The state of an exchange with its queue, binding and message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// Requested, but not fully answered.
    Between,
    There,
    Gone,
}

/// Creates and deletes exchanges and queues.
#[derive(Default)]
struct Definitions {
    next: u64,
    lives: BTreeMap<u64, Life>,
}

impl Definitions {
    fn act(&mut self, stage: &Stage) -> Option<()> {
        let mut c = stage.connect()?;
        loop {
            let n = self.next;
            self.next += 1;
            self.lives.insert(n, Life::Between);
            ask(&mut c, &format!("exchange.declare exchange=def.{n} type=topic durable"))?;
            ask(&mut c, &format!("queue.declare queue=def.{n} durable arguments={{x-max-length:100}}"))?;
            ask(&mut c, &format!("queue.bind queue=def.{n} exchange=def.{n} routing_key=a.#"))?;
            stage.publish_to(&mut c, &format!("exchange=def.{n} routing_key=a.b"), n)?;
            self.lives.insert(n, Life::There);
            if let Some(old) = n.checked_sub(5)
                && self.lives.get(&old) == Some(&Life::There)
            {
                self.lives.insert(old, Life::Between);
                ask(&mut c, &format!("exchange.delete exchange=def.{old}"))?;
                ask(&mut c, &format!("queue.delete queue=def.{old}"))?;
                self.lives.insert(old, Life::Gone);
            }
        }
    }

    fn check(&mut self, c: &mut Client) {
        for (n, life) in &self.lives {
            match life {
                Life::There => {
                    c.ask(
                        &format!("exchange.declare exchange=def.{n} type=topic durable passive"),
                        "exchange.declare-ok",
                    );
                    assert_eq!(c.counts(&format!("def.{n}")).0, 1, "the message of def.{n}");
                    // Checks that the binding exists as well.
                    c.publish_with(&format!("exchange=def.{n} routing_key=a.c mandatory"), "", "y");
                    c.wait_ready(&format!("def.{n}"), 2);
                    assert_eq!(number(&c.take(&format!("def.{n}"))), *n);
                    c.take(&format!("def.{n}"));
                }
                Life::Gone => {
                    for line in [
                        format!("exchange.declare exchange=def.{n} type=topic durable passive"),
                        format!("queue.declare queue=def.{n} passive"),
                    ] {
                        c.say(&line);
                        let method = line.split(' ').next().expect("a method");
                        c.channel_closes(404, method, "NOT_FOUND");
                        c.open_channel(1);
                    }
                }
                Life::Between => {}
            }
            c.delete(&format!("def.{n}"));
            c.ask(&format!("exchange.delete exchange=def.{n}"), "exchange.delete-ok");
        }
        self.lives.clear();
    }
}

#[test]
fn dead_letters_purges_acks_and_definitions_hold_through_kill_9() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    DeadLetters::prepare(&mut c);
    c.declare("queue=purged durable");
    c.declare("queue=acked durable");
    c.close();
    let mut letters = DeadLetters::default();
    let mut purges = Purges::default();
    let mut acks = Acks::default();
    let mut definitions = Definitions::default();
    for round in 0..rounds() {
        let stage = Stage { addr: broker.amqp, dying: AtomicBool::new(false), confirms: AtomicU64::new(0) };
        // A different moment each round, measured in confirms, not time.
        let enough = 150 + round * 37 % 400;
        thread::scope(|scope| {
            let stage = &stage;
            let (letters, purges, acks) = (&mut letters, &mut purges, &mut acks);
            let definitions = &mut definitions;
            scope.spawn(move || letters.act(stage));
            scope.spawn(move || purges.act(stage));
            scope.spawn(move || acks.act(stage));
            scope.spawn(move || definitions.act(stage));
            let done = wait::within(wait::LIMIT, || stage.confirms.load(Ordering::SeqCst) >= enough);
            stage.dying.store(true, Ordering::SeqCst);
            broker.kill();
            assert!(done, "round {round}: too few confirms");
        });
        broker.start_again();
        // One connection each: unacknowledged messages are requeued when it closes.
        letters.check(&mut broker.client());
        purges.check(&mut broker.client());
        acks.check(&mut broker.client());
        definitions.check(&mut broker.client());
    }
}
