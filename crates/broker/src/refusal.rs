//! The broker's refusals. `session` maps each to a reply code and a level.

use super::names::{ExchangeName, QueueName, UserName, VhostName};

/// The three permissions of a user in a vhost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Declare and delete.
    Configure,
    /// Publish to an exchange, bind to a queue.
    Write,
    /// Consume, get, purge, bind from an exchange.
    Read,
}

impl Access {
    /// As shown in error texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// A queue, an exchange or a routing key, for error texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resource {
    /// A queue.
    Queue(QueueName),
    /// An exchange.
    Exchange(ExchangeName),
    /// A routing key refused by topic permissions.
    Topic(Box<Topic>),
}

/// A routing key of a topic exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topic {
    /// The exchange.
    pub exchange: ExchangeName,
    /// The key.
    pub key: String,
}

impl Resource {
    /// `queue`, `exchange` or `topic`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Exchange(_) => "exchange",
            Self::Topic(_) => "topic",
        }
    }

    /// The name alone.
    pub fn name(&self) -> &str {
        match self {
            Self::Queue(name) => name.as_str(),
            Self::Exchange(name) => name.as_str(),
            Self::Topic(topic) => &topic.key,
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} '{}'", self.kind(), self.name())?;
        match self {
            Self::Topic(topic) => write!(f, " in exchange '{}'", topic.exchange),
            _ => Ok(()),
        }
    }
}

/// Why a request was refused. The texts are `RabbitMQ`'s where it has one (docs/semantics.md, Errors).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The queue or exchange does not exist.
    #[error("no {resource} in vhost '{vhost}'")]
    NotFound {
        /// The missing resource.
        resource: Resource,
        /// Its vhost.
        vhost: VhostName,
    },
    /// Empty queue name, with no queue declared on this channel before.
    #[error("no previously declared queue")]
    NoLastQueue,
    /// A permission is missing.
    #[error("{} access to {resource} in vhost '{vhost}' refused for user '{user}'", access.as_str())]
    Denied {
        /// The missing permission.
        access: Access,
        /// The resource.
        resource: Resource,
        /// Its vhost.
        vhost: VhostName,
        /// The user.
        user: UserName,
    },
    /// The queue is exclusive to another connection.
    #[error(
        "cannot obtain exclusive access to locked queue '{queue}' in vhost '{vhost}'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."
    )]
    ExclusiveToAnother {
        /// The queue.
        queue: QueueName,
        /// Its vhost.
        vhost: VhostName,
    },
    /// Another consumer has exclusive use, or prevents it.
    #[error("queue '{queue}' in vhost '{vhost}' in exclusive use")]
    ExclusiveUse {
        /// The queue.
        queue: QueueName,
        /// Its vhost.
        vhost: VhostName,
    },
    /// Redeclared with different properties.
    #[error(
        "inequivalent arg '{field}' for {resource} in vhost '{vhost}': received {received} but current is {current}"
    )]
    Inequivalent {
        /// The differing field or argument.
        field: String,
        /// The declared resource.
        resource: Resource,
        /// Its vhost.
        vhost: VhostName,
        /// The new value.
        received: String,
        /// The current value.
        current: String,
    },
    /// An argument has a wrong type or value.
    #[error("invalid arg '{argument}' for {resource} in vhost '{vhost}': {why}")]
    InvalidArgument {
        /// The argument.
        argument: String,
        /// The declared resource.
        resource: Resource,
        /// Its vhost.
        vhost: VhostName,
        /// The error.
        why: String,
    },
    /// An argument must be the name of an exchange.
    #[error("invalid type '{given}' for arg '{argument}' in {resource} in vhost '{vhost}'")]
    ArgumentType {
        /// The argument.
        argument: &'static str,
        /// Its actual type.
        given: &'static str,
        /// The declared resource.
        resource: Resource,
        /// Its vhost.
        vhost: VhostName,
    },
    /// Any other failed precondition; the text describes it.
    #[error("{0}")]
    Precondition(String),
    /// The exchange type does not exist.
    #[error("unknown exchange type '{0}'")]
    UnknownExchangeType(String),
    /// The name has a reserved prefix.
    #[error("{} name '{}' contains reserved prefix 'amq.*'", .0.kind(), .0.name())]
    ReservedName(Resource),
    /// Declare, delete, bind or unbind on the default exchange.
    #[error("operation not permitted on the default exchange")]
    DefaultExchange,
    /// Deleting a predeclared exchange.
    #[error("deletion of system exchange '{0}' in vhost '{1}' not allowed")]
    SystemExchange(ExchangeName, VhostName),
    /// Publishing to an internal exchange.
    #[error("cannot publish to internal exchange '{0}' in vhost '{1}'")]
    InternalExchange(ExchangeName, VhostName),
    /// An operation denied to the user altogether; the text names it.
    #[error("{0}")]
    Forbidden(String),
    /// Deletion with `if_unused` of a resource in use.
    #[error("{resource} in vhost '{vhost}' in use")]
    InUse {
        /// The resource.
        resource: Resource,
        /// Its vhost.
        vhost: VhostName,
    },
    /// Deletion with `if_empty` of a queue that is not empty.
    #[error("queue '{queue}' in vhost '{vhost}' not empty")]
    NotEmpty {
        /// The queue.
        queue: QueueName,
        /// Its vhost.
        vhost: VhostName,
    },
    /// The vhost does not exist.
    #[error("vhost {0} not found")]
    NoVhost(String),
    /// The user has no permissions in the vhost.
    #[error("access to vhost '{vhost}' refused for user '{user}'")]
    VhostDenied {
        /// The vhost.
        vhost: String,
        /// The user.
        user: UserName,
    },
    /// A limit on connections, channels or consumers is reached; the connection must be closed.
    #[error("{0}")]
    NotAllowed(String),
    /// The requested feature is not implemented.
    #[error("{0}")]
    NotImplemented(String),
    /// Stable storage failed; nothing was changed.
    #[error("could not be stored: {0}")]
    Storage(String),
}
