//! The router's refusals; texts are those of `RabbitMQ`, codes are the caller's.

use std::fmt::{self, Display};

/// Why a topology change was refused. Nothing changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// exchange.declare with an unknown type (406).
    UnknownKind(String),
    /// An exchange.declare argument with a bad type or value (406).
    InvalidArgument(String),
    /// exchange.declare of an existing exchange with a different field (406).
    Inequivalent {
        /// The exchange.
        exchange: String,
        /// The field or argument that differs.
        field: &'static str,
        /// The declared value, formatted for display.
        wanted: String,
        /// The exchange's value, formatted for display.
        current: String,
    },
    /// exchange.delete if-unused with bindings left (406).
    InUse(String),
    /// A binding that the source's type cannot match (406).
    InvalidBinding(String),
    /// An end of a binding, or the exchange to change, does not exist (404).
    NoSuchExchange(String),
    /// The queue to bind is not registered (404). The caller knows its name.
    NoSuchQueue,
    /// The default exchange can be neither bound, unbound nor deleted (403).
    DefaultExchange,
}

/// Why a message was not routed at all. A message without a destination is not an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RouteError {
    /// No exchange has this name (404).
    #[error("no such exchange")]
    NoSuchExchange,
    /// Clients may not publish to an internal exchange (403).
    #[error("the exchange is internal")]
    Internal,
}

impl Refusal {
    /// The text that `RabbitMQ` sends, without the name of the code, for an exchange of this virtual host.
    pub fn text(&self, vhost: &str) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text, Some(vhost));
        text
    }

    fn write(&self, to: &mut dyn fmt::Write, vhost: Option<&str>) -> fmt::Result {
        let place = fmt::from_fn(|f| match vhost {
            Some(vhost) => write!(f, " in vhost '{vhost}'"),
            None => Ok(()),
        });
        match self {
            Self::UnknownKind(kind) => write!(to, "unknown exchange type '{kind}'"),
            Self::InvalidArgument(text) | Self::InvalidBinding(text) => to.write_str(text),
            Self::Inequivalent { exchange, field, wanted, current } => write!(
                to,
                "inequivalent arg '{field}' for exchange '{exchange}'{place}: \
                 received {wanted} but current is {current}"
            ),
            Self::InUse(exchange) => write!(to, "exchange '{exchange}'{place} in use"),
            Self::NoSuchExchange(exchange) => write!(to, "no exchange '{exchange}'{place}"),
            Self::NoSuchQueue => write!(to, "no such queue{place}"),
            Self::DefaultExchange => to.write_str("operation not permitted on the default exchange"),
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, None)
    }
}
