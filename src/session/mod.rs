//! The AMQP conversation: connection and channel state, content assembly, outgoing frames. Between
//! `net`, which has the sockets, and `broker`, which has the queues.
//!
//! Absent: sockets, tasks, clocks, disk.

mod acking;
mod basic_methods;
mod channel;
mod closing;
pub mod connection;
mod content;
mod content_frames;
pub mod error;
mod exchange_methods;
mod handshake;
mod methods;
pub mod outbox;
pub mod overdue;
mod publishing;
mod queue_methods;
mod replies;
pub(crate) mod tell;
mod transaction;
pub mod unacked;

pub use connection::{Connection, Outcome, Peer};
