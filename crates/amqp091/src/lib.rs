//! AMQP 0-9-1: the [wire format](wire) and the [conversation](session) of a connection.
//!
//! Absent: sockets, tasks, clocks, disk; HTTP.

#![warn(clippy::print_stdout)]

pub mod session;
pub mod wire;
