//! Dead letters: where a queue sends what it drops.

use super::names::ExchangeName;

/// Where the dead letters of a queue go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterRule {
    /// The dead-letter exchange; may be the default exchange. If it does not exist, dead letters
    /// are dropped.
    pub exchange: ExchangeName,
    /// Replaces the message's own routing keys.
    pub routing_key: Option<String>,
}
