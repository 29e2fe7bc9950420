//! Log lines about a connection, with its identity.
//!
//! Absent: spans. Entering one per read would burden the hot path; the fields are composed only when a line is
//! written.

/// `log_connection!(warn, connection, "closing: {why}")`: a line with the connection's peer, name, user and vhost.
#[macro_export]
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
