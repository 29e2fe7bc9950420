//! The AMQP conversation: connection and channel state, content assembly, outgoing frames. Between `net`, which
//! owns the sockets, and `broker`, which owns the queues.
//!
//! Absent: sockets, tasks, clocks, disk.

mod acking;
mod basic_methods;
mod changes;
mod channel;
mod closing;
pub mod connection;
mod content;
mod content_frames;
#[cfg(test)]
mod conversation;
pub mod error;
mod exchange_methods;
mod exclusive;
mod going_on;
mod handshake;
mod held_up;
mod holding;
mod left;
mod log_connection;
mod methods;
pub mod outbox;
pub mod overdue;
mod publishing;
mod queue_methods;
mod replies;
mod row;
mod timeouts;
mod transaction;
mod tx_methods;
pub mod unacked;
mod weighing;

pub use connection::{Connection, Outcome, Peer};
