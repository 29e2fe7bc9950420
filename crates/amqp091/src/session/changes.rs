//! The log of what clients change: what takes messages or definitions away from everybody at info, the rest at debug.
//! Applications declare and bind at every start, and come and go with exclusive queues of their own.

use std::fmt;

use leveret_broker::bindings::BindingRequest;

use super::connection::Connection;
use crate::log_connection;

impl Connection {
    /// A queue was deleted or purged. `own`: it is exclusive to this connection.
    pub(super) fn log_emptied(&self, done: &str, queue: &str, messages: u64, own: bool) {
        if own {
            log_connection!(debug, self, "{done} queue: {queue}, messages: {messages}");
        } else {
            log_connection!(info, self, "{done} queue: {queue}, messages: {messages}");
        }
    }

    /// An exchange was deleted.
    pub(super) fn log_deleted_exchange(&self, exchange: &str) {
        log_connection!(info, self, "deleted exchange: {exchange}");
    }

    /// Something was declared.
    pub(super) fn log_declared(&self, what: &str, name: impl fmt::Display) {
        log_connection!(debug, self, "declared {what}: {name}");
    }

    /// Bindings were made or removed.
    pub(super) fn log_bindings<'a>(&self, done: &str, bindings: impl Iterator<Item = &'a BindingRequest>) {
        for BindingRequest { source, destination, routing_key, .. } in bindings {
            log_connection!(debug, self, "{done} binding: {source}, {destination}, {routing_key}");
        }
    }
}
