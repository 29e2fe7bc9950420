//! Policies (docs/semantics.md, Policies): settings for all queues and exchanges with a matching name, in force on
//! existing ones when the call that sets them returns.
//!
//! Invariants: of each kind (user, operator) at most one policy applies to an object: the one with the highest
//! priority, ties broken by name. A queue's settings are computed when it is declared and when policies change, never
//! per message. A change is applied queue by queue; no lock is held over all.
//! Deviations from `RabbitMQ`: a key without meaning here is refused, not kept; classic queues support delivery limits
//! and delayed retries, so policies with these apply to them too; ties are broken by name, not at random.

mod definition;
mod effective;
mod set;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use definition::{OverflowName, PolicyDefinition, RetryTypeName};
pub use effective::{Effective, Source, Sourced};
pub use set::{Matched, PolicySet};

pub use super::definitions::PolicyKind;
use super::pattern::Pattern;
use super::queue_kind::QueueKind;
use super::refusal::Refusal;

/// Maximum policies of one kind per vhost: each is checked at every declaration.
pub(super) const POLICIES_MAX: usize = 5000;

/// Maximum accounted memory of the patterns of one vhost's policies, in bytes: enough for the maximum number of
/// policies with small patterns.
pub(super) const PATTERN_BYTES_MAX: usize = 48 << 20;

/// The objects a policy applies to.
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

    /// Parses `apply-to`. An error lists the valid values.
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

/// Kinds of objects with policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    /// A queue of this kind.
    Queue(QueueKind),
    /// An exchange.
    Exchange,
}

/// A policy in its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyRecord {
    /// Regular expression, matched anywhere in a name.
    pub pattern: String,
    /// The objects it applies to.
    pub apply_to: ApplyTo,
    /// The highest priority wins.
    pub priority: i64,
    /// The settings.
    pub definition: PolicyDefinition,
}

impl PolicyRecord {
    /// Validates a policy. The refusal text is `RabbitMQ`'s where it has one.
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
    /// Unique per vhost and kind.
    pub name: String,
    /// The stored form.
    pub record: PolicyRecord,
    pattern: Pattern,
}

impl Policy {
    /// Compiles a stored policy.
    pub(crate) fn new(name: &str, record: PolicyRecord) -> Result<Self, Refusal> {
        let pattern = Pattern::new(&record.pattern);
        let pattern = pattern.map_err(|error| Refusal::Precondition(error.to_string()))?;
        Ok(Self { name: name.to_owned(), record, pattern })
    }

    /// Accounted memory of its pattern, in bytes.
    pub(crate) const fn pattern_bytes(&self) -> usize {
        self.pattern.bytes()
    }

    fn applies_to(&self, object: Object, name: &str) -> bool {
        self.record.apply_to.concerns(object) && self.pattern.is_match(name.as_bytes())
    }
}
