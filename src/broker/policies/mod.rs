//! Policies (docs/semantics.md, Policies): settings for all queues and exchanges whose name matches, in force on those
//! that are there as soon as the call that sets one returns.
//!
//! Invariants: of each kind (a user's, an operator's) at most one policy applies to an object: the one with the
//! highest priority, of several the first by name. What a queue keeps to is worked out when it is declared and
//! when policies change, never per message. A change goes from queue to queue; no lock is held over all.
//! Deviations from `RabbitMQ`: a key that means nothing here is refused, not kept; classic queues know
//! delivery limits, so a policy that has one applies to them too; ties are decided by name, not by chance.

mod definition;
mod effective;
mod set;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use definition::{OverflowName, PolicyDefinition};
pub use effective::{Effective, Source, Sourced};
pub use set::{Matched, PolicySet};

pub use super::definitions::PolicyKind;
use super::pattern::Pattern;
use super::queue_kind::QueueKind;
use super::refusal::Refusal;

/// Policies of one kind in one vhost, at most: each is looked at when something is declared.
pub(super) const POLICIES_MAX: usize = 5000;

/// Memory that the patterns of one vhost's policies may be counted with, in bytes: enough for as many small ones as there
/// may be policies.
pub(super) const PATTERN_BYTES_MAX: usize = 48 << 20;

/// What a policy is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are RabbitMQ's")]
pub enum ApplyTo {
    #[default]
    All,
    Queues,
    ClassicQueues,
    QuorumQueues,
    Exchanges,
}

impl ApplyTo {
    const NAMES: [(&str, Self); 5] = [
        ("all", Self::All),
        ("queues", Self::Queues),
        ("classic_queues", Self::ClassicQueues),
        ("quorum_queues", Self::QuorumQueues),
        ("exchanges", Self::Exchanges),
    ];

    /// The meaning of `apply-to`. An error says what it may be.
    pub fn parse(name: &str) -> Result<Self, String> {
        if name == "streams" {
            return Err("apply-to 'streams' is not supported: there are no streams".to_owned());
        }
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, apply_to)| *apply_to).ok_or_else(|| {
            format!(
                "apply-to '{name}' unrecognised; should be one of: 'queues', 'classic_queues', \
                 'quorum_queues', 'exchanges', or 'all'"
            )
        })
    }

    const fn concerns(self, object: Object) -> bool {
        matches!(
            (self, object),
            (Self::All, _)
                | (Self::Queues, Object::Queue(_))
                | (Self::ClassicQueues, Object::Queue(QueueKind::Classic))
                | (Self::QuorumQueues, Object::Queue(QueueKind::Quorum))
                | (Self::Exchanges, Object::Exchange)
        )
    }
}

/// What a policy can apply to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    /// A queue of this kind.
    Queue(QueueKind),
    /// An exchange.
    Exchange,
}

/// A policy as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyRecord {
    /// Regular expression, found anywhere in a name.
    pub pattern: String,
    /// What it is for.
    pub apply_to: ApplyTo,
    /// The highest one applies.
    pub priority: i64,
    /// What it sets.
    pub definition: PolicyDefinition,
}

impl PolicyRecord {
    /// Checks what was given. The refusal's text is `RabbitMQ`'s where it has one.
    pub fn read(
        kind: PolicyKind,
        pattern: &str,
        apply_to: Option<&str>,
        priority: i64,
        definition: &Map<String, Value>,
    ) -> Result<Self, Refusal> {
        let invalid = |why: String| Refusal::Precondition(format!("Validation failed\n\n{why}\n"));
        Pattern::new(pattern).map_err(|error| {
            invalid(format!("pattern should be regular expression but is invalid: {}", error.why))
        })?;
        let apply_to = ApplyTo::parse(apply_to.unwrap_or("all")).map_err(invalid)?;
        let definition = PolicyDefinition::read(definition, kind).map_err(invalid)?;
        Ok(Self { pattern: pattern.to_owned(), apply_to, priority, definition })
    }
}

/// A policy of a vhost.
#[derive(Debug)]
pub struct Policy {
    /// Unique in the vhost among those of its kind.
    pub name: String,
    /// As stored.
    pub record: PolicyRecord,
    pattern: Pattern,
}

impl Policy {
    /// Compiles a stored policy.
    pub(in crate::broker) fn new(name: &str, record: PolicyRecord) -> Result<Self, Refusal> {
        let pattern = Pattern::new(&record.pattern);
        let pattern = pattern.map_err(|error| Refusal::Precondition(error.to_string()))?;
        Ok(Self { name: name.to_owned(), record, pattern })
    }

    /// Memory that its pattern is counted with, in bytes.
    pub(in crate::broker) const fn pattern_bytes(&self) -> usize {
        self.pattern.bytes()
    }

    fn applies_to(&self, object: Object, name: &str) -> bool {
        self.record.apply_to.concerns(object) && self.pattern.is_match(name.as_bytes())
    }
}
