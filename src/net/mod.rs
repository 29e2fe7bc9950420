//! Sockets, tasks and timers: the only code that awaits an AMQP socket, spawns a task or reads the clock for the
//! broker. The conversation itself is `session`'s.

mod clock;
mod connection;
mod control;
pub mod descriptors;
mod farewell;
mod handshakes;
pub mod jwks;
mod machine;
mod outboxes;
pub mod proxied;
mod reader;
pub mod server;
pub mod tasks;
mod timer;
pub mod tls;
mod watch;
mod writer;

pub use clock::now;
pub use server::{Server, ServerError};
