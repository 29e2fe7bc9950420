//! What can be declared: arguments and policies as plain values, their text in a method, and their meaning.

use std::fmt::Write as _;

/// Overflow behaviour of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Overflow {
    #[default]
    DropHead,
    Reject,
    RejectDeadLetter,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the bits of queue.declare")]
pub(crate) struct QueueShape {
    pub(crate) durable: bool,
    pub(crate) exclusive: bool,
    pub(crate) auto_delete: bool,
    pub(crate) quorum: bool,
    pub(crate) single_active: bool,
    pub(crate) ttl: Option<u64>,
    pub(crate) expires: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) overflow: Overflow,
    pub(crate) dead_letter: Option<&'static str>,
    pub(crate) dead_key: Option<&'static str>,
    pub(crate) max_priority: Option<u8>,
    pub(crate) delivery_limit: Option<u64>,
}

/// A queue's effective rules.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) ttl: Option<u64>,
    pub(crate) expires: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) overflow: Overflow,
    pub(crate) dead_letter: Option<&'static str>,
    pub(crate) dead_key: Option<&'static str>,
    pub(crate) delivery_limit: Option<u64>,
}

/// Default limit on failed deliveries in a quorum queue.
const QUORUM_DELIVERY_LIMIT: u64 = 20;

impl QueueShape {
    /// The arguments of `queue.declare`.
    pub(crate) fn arguments(&self) -> String {
        let mut text = String::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = write!(text, "{}{name}:{value}", if text.is_empty() { "" } else { "," });
            }
        };
        put("x-queue-type", self.quorum.then(|| "quorum".to_owned()));
        put("x-single-active-consumer", self.single_active.then(|| "true".to_owned()));
        put("x-message-ttl", self.ttl.map(|n| n.to_string()));
        put("x-expires", self.expires.map(|n| n.to_string()));
        put("x-max-length", self.max_length.map(|n| n.to_string()));
        let overflow = match self.overflow {
            Overflow::DropHead => None,
            Overflow::Reject => Some("reject-publish"),
            Overflow::RejectDeadLetter => Some("reject-publish-dlx"),
        };
        put("x-overflow", overflow.map(str::to_owned));
        put("x-dead-letter-exchange", self.dead_letter.map(|name| format!("{name:?}")));
        put("x-dead-letter-routing-key", self.dead_key.map(str::to_owned));
        put("x-max-priority", self.max_priority.map(|n| n.to_string()));
        put("x-delivery-limit", self.delivery_limit.map(|n| n.to_string()));
        format!("{{{text}}}")
    }

    /// Whether it survives a restart.
    pub(crate) fn survives(&self) -> bool {
        self.durable && !self.exclusive
    }

    /// Whether it is invalid: a quorum queue must be durable.
    pub(crate) fn is_wrong(&self) -> bool {
        (self.quorum && (!self.survives() || self.auto_delete))
            || (self.dead_key.is_some() && self.dead_letter.is_none())
    }

    /// Whether declaring `other` matches this one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let normal = |shape: &Self| Self { durable: shape.survives(), ..shape.clone() };
        normal(self) == normal(other)
    }

    /// Combined with a policy: the argument takes precedence where only one can apply, else the lower number.
    pub(crate) fn rules(&self, policy: Option<&PolicyShape>) -> Rules {
        let lower = |own: Option<u64>, other: Option<u64>| own.into_iter().chain(other).min();
        let own_dead = self.dead_letter.is_some();
        let policy_dead = policy.and_then(|policy| policy.dead_letter);
        let default_limit = self.quorum.then_some(QUORUM_DELIVERY_LIMIT);
        Rules {
            ttl: self.ttl,
            expires: self.expires,
            max_length: lower(self.max_length, policy.and_then(|policy| policy.max_length)),
            overflow: self.overflow,
            dead_letter: if own_dead { self.dead_letter } else { policy_dead },
            dead_key: if own_dead { self.dead_key } else { None },
            delivery_limit: self.delivery_limit.or(default_limit),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct ExchangeShape {
    pub(crate) kind: &'static str,
    pub(crate) durable: bool,
    pub(crate) auto_delete: bool,
    pub(crate) internal: bool,
    pub(crate) alternate: Option<&'static str>,
}

impl ExchangeShape {
    /// The arguments of `exchange.declare`.
    pub(crate) fn arguments(&self) -> String {
        self.alternate.map_or_else(|| "{}".to_owned(), |name| format!("{{alternate-exchange:{name}}}"))
    }
}

/// A policy for queues with this name prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PolicyShape {
    pub(crate) prefix: &'static str,
    pub(crate) priority: i64,
    pub(crate) max_length: Option<u64>,
    pub(crate) dead_letter: Option<&'static str>,
}

impl PolicyShape {
    pub(crate) fn applies(&self, queue: &str) -> bool {
        queue.starts_with(self.prefix)
    }
}
