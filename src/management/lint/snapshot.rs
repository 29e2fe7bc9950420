//! What the rules see of a broker: plain data.

use std::sync::Arc;

use leveret_broker::survey::Leads;

/// Everything that one lint looks at.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) vhosts: Vec<VhostFacts>,
    /// Connections by client: the same user at the same address.
    pub(super) clients: Vec<ClientFacts>,
    /// Connections opened and closed per second on the whole broker; zero for users who may not see all of them.
    pub(super) churn: [f64; 2],
}

/// A virtual host.
#[derive(Debug, Default)]
pub(super) struct VhostFacts {
    pub(super) name: String,
    pub(super) queues: Vec<QueueFacts>,
    pub(super) exchanges: Vec<ExchangeFacts>,
    pub(super) policies: Vec<PolicyFacts>,
}

/// A queue.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(super) struct QueueFacts {
    pub(super) name: String,
    pub(super) durable: bool,
    /// Exclusive or auto-delete: it goes with its clients.
    pub(super) fleeting: bool,
    pub(super) ready: u64,
    pub(super) unacked: u64,
    /// Of both, those that survive a restart if the queue does.
    pub(super) persistent: u64,
    /// Length, time to live or idle time is limited.
    pub(super) bounded: bool,
    pub(super) delivery_limit: bool,
    /// Messages per second by which it grows.
    pub(super) growth: f64,
    /// Deliveries per second, `basic.get` included.
    pub(super) delivered: f64,
    /// Whether anything was acknowledged within [`super::rules::STALL_S`]; `None` if that is not known.
    pub(super) acked: Option<bool>,
    pub(super) consumers: Vec<ConsumerFacts>,
    pub(super) dead_letters: Option<DeadLetterFacts>,
    /// Transient exchanges that it is bound to.
    pub(super) transient_sources: Vec<Arc<str>>,
}

/// Where a queue's dead letters go.
#[derive(Debug)]
pub(super) struct DeadLetterFacts {
    pub(super) exchange: String,
    pub(super) leads: Leads,
}

/// A consumer.
#[derive(Debug, Default)]
pub(super) struct ConsumerFacts {
    pub(super) tag: String,
    pub(super) unacked: u64,
    /// It acknowledges.
    pub(super) acks: bool,
    /// The lower of its own prefetch and its channel's; 0 for no limit.
    pub(super) prefetch: u32,
}

/// An exchange.
#[derive(Debug, Default)]
pub(super) struct ExchangeFacts {
    pub(super) name: String,
    /// Every vhost has it.
    pub(super) predeclared: bool,
    /// It is the alternate of another exchange, or a queue's dead-letter exchange.
    pub(super) referred_to: bool,
    pub(super) outgoing: usize,
    pub(super) incoming: usize,
    /// Messages published to it since the start.
    pub(super) published: u64,
    /// Its alternate exchange, and whether that exists.
    pub(super) alternate: Option<(String, bool)>,
}

/// A policy.
#[derive(Debug, Default)]
pub(super) struct PolicyFacts {
    pub(super) name: String,
    pub(super) operator: bool,
    pub(super) pattern: String,
    /// In force for at least one object.
    pub(super) applies: bool,
}

/// A client: one user at one address.
#[derive(Debug, Default)]
pub(super) struct ClientFacts {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) connections: usize,
    /// Of these, those with at most one channel.
    pub(super) narrow: usize,
    /// Of these, those opened within [`super::rules::YOUNG_S`].
    pub(super) young: usize,
}
