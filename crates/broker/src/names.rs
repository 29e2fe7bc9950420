//! Names of vhosts, exchanges, queues and consumers: at most 255 bytes of UTF-8, cheap to clone, distinct types.
//! Checked once on entry; trusted afterwards.
//!
//! Invariant: no name exceeds 255 bytes, so no frame or record can fail for its length.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use leveret_message::Short;
use leveret_message::short::{SHORT_BYTES_MAX, cut};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a name checked by the caller, who refuses one that is too long with its own message. A longer one
            /// is truncated.
            pub fn new(name: &str) -> Self {
                debug_assert!(name.len() <= SHORT_BYTES_MAX, "a name of {} bytes came in", name.len());
                Self(Arc::from(cut(name)))
            }

            /// The name in the form used in messages.
            pub fn short(&self) -> Short<'_> {
                Short::new(self.0.as_bytes()).unwrap_or_default()
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The same text as an untyped string, without a copy.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(
    /// A virtual host.
    VhostName
);
name!(
    /// A queue within a vhost.
    QueueName
);
name!(
    /// An exchange within a vhost; empty for the default exchange.
    ExchangeName
);
name!(
    /// A consumer on a channel.
    ConsumerTag
);
name!(
    /// An authenticated user.
    UserName
);

/// One client connection since the process started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(pub u64);

/// Whether clients may not create this name because its prefix is reserved for the broker.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("amq.")
}

/// Removes line breaks, as `RabbitMQ` does for names in declare, bind and delete.
pub fn without_line_breaks(name: &str) -> String {
    name.chars().filter(|c| *c != '\r' && *c != '\n').collect()
}
