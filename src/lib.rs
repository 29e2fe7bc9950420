//! Leveret: an AMQP 0-9-1 message broker.

pub mod broker;
pub mod net;
pub mod session;
pub mod wire;
