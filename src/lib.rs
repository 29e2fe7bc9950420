//! Leveret: an AMQP 0-9-1 message broker.

#![warn(clippy::print_stdout)]

pub mod cli;
pub mod management;
pub mod net;
pub mod recent_log;
