//! Queue types and their properties, in one table.

use super::arguments::{FieldTable, text};

/// A queue's type (`x-queue-type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum QueueKind {
    /// A work queue.
    #[default]
    Classic,
    /// A work queue with the rules of `RabbitMQ`'s quorum queues.
    Quorum,
}

/// Properties of a queue type.
pub(super) struct Traits {
    name: &'static str,
    /// Whether it may be transient, exclusive, auto-delete, or named by the broker.
    pub(super) may_be_fleeting: bool,
    /// Default number of failed deliveries after which a message is dropped.
    pub(super) delivery_limit: Option<u32>,
    /// Whether redelivered messages carry the number of their earlier deliveries, failed or not (`x-acquired-count`).
    pub(super) tells_acquisitions: bool,
}

impl QueueKind {
    /// The argument with the type.
    pub const ARGUMENT: &'static str = "x-queue-type";

    /// All types.
    pub const ALL: [Self; 2] = [Self::Classic, Self::Quorum];

    /// The properties table.
    pub(super) const fn traits(self) -> Traits {
        match self {
            Self::Classic => Traits {
                name: "classic",
                may_be_fleeting: true,
                delivery_limit: None,
                tells_acquisitions: false,
            },
            // The limit is `RabbitMQ`'s since 4.0, the header since 4.3.
            Self::Quorum => Traits {
                name: "quorum",
                may_be_fleeting: false,
                delivery_limit: Some(20),
                tells_acquisitions: true,
            },
        }
    }

    /// The name that clients use.
    pub const fn name(self) -> &'static str {
        self.traits().name
    }

    /// A type by name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The type declared by these arguments, which are valid.
    pub fn of(arguments: &FieldTable) -> Self {
        arguments.inner().get(Self::ARGUMENT).and_then(text).and_then(Self::named).unwrap_or_default()
    }
}
