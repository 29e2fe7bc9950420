//! What the broker refuses, in its own words. `session` turns each into a reply code and a level.

use super::names::{ExchangeName, QueueName, UserName, VhostName};

/// Configure, write or read: the three permissions of a user in a vhost.
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
    /// As it stands in error texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// A queue, an exchange or a routing key, as it is named in error texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resource {
    /// A queue.
    Queue(QueueName),
    /// An exchange.
    Exchange(ExchangeName),
    /// A routing key, when topic permissions refuse it.
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

    /// The bare name.
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

/// Why a request was refused. The texts are `RabbitMQ`'s where it has one
/// (docs/semantics.md, Errors).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The queue or exchange does not exist.
    #[error("no {resource} in vhost '{vhost}'")]
    NotFound {
        /// What was looked for.
        resource: Resource,
        /// Where.
        vhost: VhostName,
    },
    /// Empty queue name, and nothing was declared on this channel.
    #[error("no previously declared queue")]
    NoLastQueue,
    /// A permission is missing.
    #[error("{} access to {resource} in vhost '{vhost}' refused for user '{user}'", access.as_str())]
    Denied {
        /// The missing permission.
        access: Access,
        /// What it was asked for.
        resource: Resource,
        /// Where.
        vhost: VhostName,
        /// Who asked.
        user: UserName,
    },
    /// An exclusive queue of another connection.
    #[error(
        "cannot obtain exclusive access to locked queue '{queue}' in vhost '{vhost}'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."
    )]
    ExclusiveToAnother {
        /// The queue.
        queue: QueueName,
        /// Where.
        vhost: VhostName,
    },
    /// Another consumer has, or would prevent, exclusive use.
    #[error("queue '{queue}' in vhost '{vhost}' in exclusive use")]
    ExclusiveUse {
        /// The queue.
        queue: QueueName,
        /// Where.
        vhost: VhostName,
    },
    /// Declared again with something different.
    #[error(
        "inequivalent arg '{field}' for {resource} in vhost '{vhost}': received {received} but current is {current}"
    )]
    Inequivalent {
        /// The differing field or argument.
        field: String,
        /// What was declared.
        resource: Resource,
        /// Where.
        vhost: VhostName,
        /// The new value.
        received: String,
        /// The value it has.
        current: String,
    },
    /// An argument with a wrong type or value.
    #[error("invalid arg '{argument}' for {resource} in vhost '{vhost}': {why}")]
    InvalidArgument {
        /// The argument.
        argument: String,
        /// What was declared.
        resource: Resource,
        /// Where.
        vhost: VhostName,
        /// What is wrong.
        why: String,
    },
    /// An argument that has to be the name of an exchange.
    #[error("invalid type '{given}' for arg '{argument}' in {resource} in vhost '{vhost}'")]
    ArgumentType {
        /// The argument.
        argument: &'static str,
        /// The type that it has.
        given: &'static str,
        /// What was declared.
        resource: Resource,
        /// Where.
        vhost: VhostName,
    },
    /// Any other precondition that does not hold; the text says all.
    #[error("{0}")]
    Precondition(String),
    /// The exchange type does not exist.
    #[error("unknown exchange type '{0}'")]
    UnknownExchangeType(String),
    /// A name with the prefix that the broker keeps for itself.
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
    /// Something a user may not do at all; the text says what.
    #[error("{0}")]
    Forbidden(String),
    /// Deleting with `if_unused` what is in use.
    #[error("{resource} in vhost '{vhost}' in use")]
    InUse {
        /// What.
        resource: Resource,
        /// Where.
        vhost: VhostName,
    },
    /// Deleting with `if_empty` what is not empty.
    #[error("queue '{queue}' in vhost '{vhost}' not empty")]
    NotEmpty {
        /// The queue.
        queue: QueueName,
        /// Where.
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
    /// A limit on connections, channels or consumers is reached; the connection must go.
    #[error("{0}")]
    NotAllowed(String),
    /// A client asks for something that is not implemented here.
    #[error("{0}")]
    NotImplemented(String),
    /// Stable storage refused; nothing was changed.
    #[error("could not be stored: {0}")]
    Storage(String),
}
