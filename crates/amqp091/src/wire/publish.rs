//! basic.publish, parsed in place.

use std::ops::Range;

use leveret_message::cursor::Cursor;

use super::control::MethodError;

/// Bytes before the exchange's name: class (2), method (2), reserved (2), length (1).
const EXCHANGE_START: usize = 7;

/// The arguments of basic.publish, borrowed from the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// The exchange's name, at most 255 bytes; empty is the default exchange.
    pub exchange: &'a str,
    /// The routing key, at most 255 bytes.
    pub routing_key: &'a str,
    /// Return the message when no queue takes it.
    pub mandatory: bool,
    /// Unsupported, as in RabbitMQ: refused with 540.
    pub immediate: bool,
}

impl Publish<'_> {
    /// Range of the exchange's name in the payload.
    pub fn exchange_range(&self) -> Range<usize> {
        EXCHANGE_START..EXCHANGE_START + self.exchange.len()
    }

    /// Range of the routing key in the payload.
    pub fn routing_key_range(&self) -> Range<usize> {
        let start = EXCHANGE_START + self.exchange.len() + 1;
        start..start + self.routing_key.len()
    }
}

/// Parses the arguments; `arguments` starts after class and method.
#[inline]
pub(super) fn publish(arguments: Cursor<'_>) -> Result<Publish<'_>, MethodError> {
    let mut rest = arguments;
    let (Some(_), Some(exchange), Some(routing_key), Some(bits)) =
        (rest.u16(), rest.short(), rest.short(), rest.u8())
    else {
        return Err(MethodError::Truncated);
    };
    if !rest.is_empty() {
        return Err(MethodError::Trailing);
    }
    let (Ok(exchange), Ok(routing_key)) = (std::str::from_utf8(exchange), std::str::from_utf8(routing_key))
    else {
        return Err(MethodError::NotUtf8);
    };
    Ok(Publish { exchange, routing_key, mandatory: bits & 1 != 0, immediate: bits & 2 != 0 })
}
