//! The model: a broker's state as plain maps and vectors, and the rules of docs/compatibility.md and `RabbitMQ`
//! implemented a second time.
//!
//! It does not predict which consumer gets a message: it takes the clients' observations, and reports violations.

pub(crate) mod channel;
pub(crate) mod confirm;
pub(crate) mod crash;
pub(crate) mod declare;
pub(crate) mod letters;
pub(crate) mod queue;
pub(crate) mod route;
pub(crate) mod shape;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use channel::Channel;
use route::Binding;
use shape::{ExchangeShape, PolicyShape, QueueShape, Rules};

/// A peer's error, by reply code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused(pub(crate) u16);

/// The reason for which a queue dropped a message, and how often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Death {
    pub(crate) queue: String,
    pub(crate) reason: &'static str,
    pub(crate) count: u64,
}

/// A message as published or dead-lettered.
#[derive(Clone, Debug)]
pub(crate) struct Msg {
    pub(crate) body: String,
    pub(crate) exchange: String,
    pub(crate) key: String,
    pub(crate) persistent: bool,
    pub(crate) priority: u8,
    pub(crate) expiration: Option<u64>,
    /// Value of the header `h`.
    pub(crate) header: Option<i64>,
    /// Newest first.
    pub(crate) deaths: Vec<Death>,
    /// Whether it left its previous place before a crash, for where it goes now.
    pub(crate) left: Left,
}

/// Whether a message may have left its queue for others before a crash that brought it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    No,
    /// It may have: at its destination it may be flagged as redelivered.
    Maybe,
    /// It did: at its destination it must be flagged.
    Yes,
}

impl Msg {
    /// The same as the clients' sign.
    pub(crate) fn sign(&self) -> String {
        let deaths = self.deaths.iter().map(|d| format!("|{} {} {}", d.queue, d.reason, d.count));
        deaths.fold(self.body.clone(), |sign, death| sign + &death)
    }
}

/// The state of a message copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Ready,
    Out,
    /// Acknowledged, dropped or purged.
    Gone,
    /// Moved to the targets of a dead-letter exchange, possibly none.
    Moved,
}

/// A copy's index in the ledger.
pub(crate) type CopyId = usize;

/// A message in one queue.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) msg: Msg,
    pub(crate) queue: String,
    /// Distinguishes queues of the same name.
    pub(crate) birth: u64,
    /// The queue in which it died before; empty for a publisher's message.
    pub(crate) source: String,
    pub(crate) priority_level: u8,
    /// The step of its arrival, and its position among that step's arrivals.
    pub(crate) order: (u64, u64),
    pub(crate) expires: Option<u64>,
    pub(crate) redelivered: bool,
    /// Whether it left the queue before the last crash.
    pub(crate) left: Left,
    /// It has been delivered to a client.
    pub(crate) delivered: bool,
    /// Failed deliveries.
    pub(crate) count: u64,
    /// Persistent, in a durable queue.
    pub(crate) stored: bool,
    pub(crate) state: State,
    /// Number of syncs before its arrival, and before its removal.
    pub(crate) came: u64,
    pub(crate) went: Option<u64>,
    pub(crate) children: Vec<CopyId>,
}

/// A consumer of a queue.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) tag: String,
    pub(crate) client: usize,
    pub(crate) channel: u16,
    pub(crate) no_ack: bool,
    pub(crate) exclusive: bool,
    pub(crate) priority: i64,
    /// 0: unlimited.
    pub(crate) prefetch: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) birth: u64,
    pub(crate) shape: QueueShape,
    pub(crate) owner: Option<usize>,
    /// The policy that applies to it.
    pub(crate) policy: Option<PolicyShape>,
    /// Oldest first.
    pub(crate) consumers: Vec<Consumer>,
    /// Tag of the single active consumer.
    pub(crate) active: Option<String>,
    pub(crate) had_consumer: bool,
    /// In the order of delivery.
    pub(crate) ready: Vec<CopyId>,
    pub(crate) last_used: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Exchange {
    pub(crate) shape: ExchangeShape,
}

/// A received delivery that the model has not processed yet.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) client: usize,
    pub(crate) channel: u16,
    pub(crate) consumer: String,
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
    pub(crate) count: u64,
    pub(crate) sign: String,
}

/// A method that a client must have received, with some of its fields.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) client: usize,
    pub(crate) channel: u16,
    pub(crate) name: &'static str,
    pub(crate) fields: Vec<(&'static str, String)>,
}

/// A message to be dead-lettered: its copy, or the message itself if no queue accepted it.
pub(crate) enum Dead {
    Copy(CopyId),
    Refused(Msg, String),
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) now: u64,
    pub(crate) step: u64,
    places: u64,
    births: u64,
    pub(crate) syncs: u64,
    pub(crate) exchanges: BTreeMap<String, Exchange>,
    pub(crate) queues: BTreeMap<String, Queue>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) policies: BTreeMap<String, PolicyShape>,
    pub(crate) clients: BTreeMap<usize, BTreeMap<u16, Channel>>,
    /// Every copy that ever existed.
    pub(crate) ledger: Vec<Copy>,
    pub(crate) heard: Vec<Delivered>,
    pub(crate) replies: Vec<Reply>,
    /// Client, channel, tag.
    pub(crate) cancelled: BTreeSet<(usize, u16, String)>,
    dead: VecDeque<(Dead, &'static str)>,
    deletable: Vec<String>,
    /// Queues that could not be deleted yet.
    undeleted: Vec<String>,
    /// Contents of queues that reject excess messages, where the model cannot know the order of events: after a
    /// restart everything expired meanwhile is due at once, and either frees room for dead letters or comes too late.
    pub(crate) taken: BTreeMap<String, BTreeSet<String>>,
    /// Definitions cannot be stored at present.
    pub(crate) storage_fails: bool,
    /// The store has stopped: publishes may be refused.
    pub(crate) broken: bool,
    /// Violations found.
    pub(crate) faults: Vec<String>,
}

impl Model {
    pub(crate) fn new() -> Self {
        let mut model = Self::default();
        for (name, kind) in [
            ("", "direct"),
            ("amq.direct", "direct"),
            ("amq.fanout", "fanout"),
            ("amq.topic", "topic"),
            ("amq.headers", "headers"),
            ("amq.match", "headers"),
        ] {
            let shape = ExchangeShape { kind, durable: true, ..ExchangeShape::default() };
            model.exchanges.insert(name.to_owned(), Exchange { shape });
        }
        let trace =
            ExchangeShape { kind: "topic", durable: true, internal: true, ..ExchangeShape::default() };
        model.exchanges.insert("amq.rabbitmq.trace".to_owned(), Exchange { shape: trace });
        model
    }

    pub(crate) fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }

    pub(crate) fn channel(&mut self, client: usize, number: u16) -> &mut Channel {
        let channels = self.clients.get_mut(&client).expect("a connection");
        channels.get_mut(&number).expect("a channel")
    }

    pub(crate) fn reply(
        &mut self,
        (client, channel): (usize, u16),
        name: &'static str,
        fields: &[(&'static str, String)],
    ) {
        self.replies.push(Reply { client, channel, name, fields: fields.to_vec() });
    }

    /// A queue's effective rules, from its arguments and the policies.
    pub(crate) fn rules(&self, queue: &str) -> Rules {
        let queue = &self.queues[queue];
        queue.shape.rules(queue.policy.as_ref())
    }

    /// The policy for queues with this name.
    pub(crate) fn policy_of(&self, name: &str) -> Option<PolicyShape> {
        self.policies.values().filter(|policy| policy.applies(name)).max_by_key(|one| one.priority).cloned()
    }

    /// Ends a step: routes dead letters, and deletes unused queues.
    pub(crate) fn finish(&mut self) {
        while !self.dead.is_empty() || !self.deletable.is_empty() {
            for (dead, reason) in std::mem::take(&mut self.dead) {
                self.bury(dead, reason);
            }
            for queue in std::mem::take(&mut self.deletable) {
                if self.queues.get(&queue).is_none_or(|queue| !queue.consumers.is_empty()) {
                    continue;
                }
                if self.can_do(|model| model.remove_queue(&queue)).is_err() {
                    self.undeleted.push(queue);
                } else {
                    self.remove_queue(&queue);
                }
            }
        }
    }

    /// Invariants between two steps.
    pub(crate) fn check(&mut self) {
        for left in std::mem::take(&mut self.heard) {
            let why = self.why_not(&left);
            let Delivered { client, channel, consumer, sign, .. } = left;
            self.fault(format!(
                "client {client} got {sign:?} out of turn (channel {channel}, {consumer}{why})"
            ));
        }
        let names: Vec<String> = self.queues.keys().cloned().collect();
        for name in names {
            if let Some(head) = self.queues[&name].ready.first().copied()
                && let Some(idle) = self.taker(&name)
            {
                let sign = self.ledger[head].msg.sign();
                self.fault(format!("{sign:?} stays in {name} though {idle} could take it"));
            }
        }
    }
}
