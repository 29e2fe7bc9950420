//! Lines of the log about a connection: whose it is.
//!
//! Absent: spans. Entering one for each read would cost the hot path; the fields are put together where a line is
//! written.

/// `log_connection!(warn, connection, "closing: {why}")`: a line with the connection's peer, name, user and vhost.
macro_rules! log_connection {
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

pub(crate) use log_connection;
