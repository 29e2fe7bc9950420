//! What routing may ask of a message beyond its keys.

use crate::Value;

/// A property of a message that a consistent-hash exchange can spread by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Property {
    /// `message_id`.
    MessageId,
    /// `correlation_id`.
    CorrelationId,
    /// `timestamp`.
    Timestamp,
}

/// A message's headers and properties. Nothing here is called unless an exchange on the way needs
/// it, so an implementation may parse at the call.
pub trait Attributes {
    /// Calls `each` with every header, in the message's order.
    fn each_header(&self, each: &mut dyn FnMut(&[u8], Value<'_>));

    /// The property, if the message has it.
    fn property(&self, which: Property) -> Option<Value<'_>>;

    /// Whether a delayed-message exchange must hold this message: it has an `x-delay` in range.
    /// False again when the message is released.
    fn wants_delay(&self) -> bool;
}

/// A message without headers and properties.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAttributes;

impl Attributes for NoAttributes {
    fn each_header(&self, _: &mut dyn FnMut(&[u8], Value<'_>)) {}

    fn property(&self, _: Property) -> Option<Value<'_>> {
        None
    }

    fn wants_delay(&self) -> bool {
        false
    }
}

/// Headers that are parsed already; no properties, no delay.
impl<N: AsRef<[u8]>> Attributes for &[(N, Value<'_>)] {
    fn each_header(&self, each: &mut dyn FnMut(&[u8], Value<'_>)) {
        for (name, value) in *self {
            each(name.as_ref(), *value);
        }
    }

    fn property(&self, _: Property) -> Option<Value<'_>> {
        None
    }

    fn wants_delay(&self) -> bool {
        false
    }
}
