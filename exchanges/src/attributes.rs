//! What routing may read from a message besides its keys.

use crate::Value;

/// A message property that a consistent-hash exchange can hash on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Property {
    /// `message_id`.
    MessageId,
    /// `correlation_id`.
    CorrelationId,
    /// `timestamp`.
    Timestamp,
}

/// A message's headers and properties. Called only if a visited exchange needs them, so an implementation may parse
/// lazily.
pub trait Attributes {
    /// Calls `each` for every header, in the message's order.
    fn each_header(&self, each: &mut dyn FnMut(&[u8], Value<'_>));

    /// The property, if the message has it.
    fn property(&self, which: Property) -> Option<Value<'_>>;

    /// Whether a delayed-message exchange must hold this message: it has an `x-delay` in range. False once the
    /// message is released.
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

/// Parsed headers; no properties, no delay.
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
