//! Leveret: an AMQP 0-9-1 message broker.

#![warn(clippy::print_stdout)]

pub mod broker;
pub mod cli;
pub mod management;
pub mod net;
mod platform;
pub mod recent_log;
pub mod session;
pub mod topology;
pub mod wire;
