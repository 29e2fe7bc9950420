//! Lines of the log about a connection: whose it is.
//!
//! Absent: spans. Entering one for each read would cost the hot path; the fields are put together where a line is
//! written.

use super::connection::Connection;
use crate::broker::names::UserName;
use crate::broker::registry::given_name;

impl Connection {
    /// The name that the client gave the connection.
    pub fn client_name(&self) -> Option<&str> {
        given_name(&self.client.properties)
    }

    /// Who logged in.
    pub fn user_name(&self) -> Option<&str> {
        self.user().map(UserName::as_str)
    }

    /// The vhost that it is in.
    pub fn vhost_name(&self) -> Option<&str> {
        self.vhost.as_ref().map(|vhost| vhost.name.as_str())
    }
}

/// `tell!(warn, connection, "closing: {why}")`: a line with the connection's peer, name, user and vhost.
macro_rules! tell {
    ($level:ident, $connection:expr, $($rest:tt)+) => {
        tracing::$level!(
            peer = %$connection.peer.address,
            name = $connection.client_name(),
            user = $connection.user_name(),
            vhost = $connection.vhost_name(),
            $($rest)+
        )
    };
}

pub(crate) use tell;
