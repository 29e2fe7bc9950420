//! Kinds of queues: what each accepts and brings along, in one table.

use super::arguments::{FieldTable, text};

/// What a queue was declared as (`x-queue-type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum QueueKind {
    /// A work queue.
    #[default]
    Classic,
    /// A work queue with the rules of `RabbitMQ`'s quorum queues.
    Quorum,
}

/// What a kind is like.
pub(super) struct Traits {
    name: &'static str,
    /// It may be transient, exclusive, deleted with its last consumer, or named by the broker.
    pub(super) may_be_fleeting: bool,
    /// Failed deliveries after which it drops a message, if nothing else is said.
    pub(super) delivery_limit: Option<u32>,
}

impl QueueKind {
    /// The argument that says it.
    pub const ARGUMENT: &'static str = "x-queue-type";

    /// All of them.
    pub const ALL: [Self; 2] = [Self::Classic, Self::Quorum];

    /// The table.
    pub(super) const fn traits(self) -> Traits {
        match self {
            Self::Classic => Traits { name: "classic", may_be_fleeting: true, delivery_limit: None },
            // The limit is `RabbitMQ`'s since 4.0.
            Self::Quorum => Traits { name: "quorum", may_be_fleeting: false, delivery_limit: Some(20) },
        }
    }

    /// As clients call it.
    pub const fn name(self) -> &'static str {
        self.traits().name
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What a queue with these arguments, which are sound, was declared as.
    pub fn of(arguments: &FieldTable) -> Self {
        arguments.inner().get(Self::ARGUMENT).and_then(text).and_then(Self::named).unwrap_or_default()
    }
}
