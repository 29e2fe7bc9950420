//! Queues: who gets a message next, and how it survives.
//!
//! [`message`] and [`ids`] are shared by both halves. [`queue`] is the pure state machine: no clock, no sockets, no
//! disk, no async. [`store`] is the interface to stable storage, with the log + sled behind it; only that code syncs
//! files.
//!
//! Absent: exchange names as anything but bytes of a message, AMQP frames, tokio.

#![warn(clippy::print_stdout)]

pub mod ids;
pub mod message;
pub mod queue;
pub mod short;
pub mod store;

pub use ids::{Millis, QueueId, Seq};
pub use message::{Message, MessageLayout, MessageMeta};
pub use short::{Short, ShortRange, ShortText};
