//! Messages, and the vocabulary that queues, store and protocols share.
//!
//! [`message`] is one allocation per message, [`ids`] are types that must not be mixed up, [`table`] and
//! [`properties`] read field tables and basic properties in place, [`stored`] is what queues and the store say to each
//! other.
//!
//! Invariants: no function here panics on bytes from outside, waits, or uses more memory than its input justifies.
//! Absent: queues, files, sockets, clocks, frames.

#![warn(clippy::print_stdout)]

pub mod cursor;
pub mod ids;
pub mod message;
pub mod properties;
pub mod short;
pub mod stored;
pub mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod values;

pub use ids::{Millis, QueueId, Seq};
pub use message::{Message, MessageLayout, MessageMeta};
pub use short::{Short, ShortRange, ShortText};
