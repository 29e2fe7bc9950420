//! A message's headers and properties as the router asks for them: parsed only when it asks.

use leveret_exchanges::{Attributes, Property, Value};
use leveret_queues::Message;

use crate::wire::properties::{Field, Properties};
use crate::wire::table::{TableRef, ValueRef};

/// Looks into a message for the router.
pub(super) struct MessageAttributes<'a>(pub(super) &'a Message);

impl MessageAttributes<'_> {
    fn properties(&self) -> Option<Properties<'_>> {
        // Checked where the message entered.
        Properties::parse(self.0.properties()).ok()
    }
}

/// The message's headers, if it has any.
pub(super) fn headers(message: &Message) -> Option<TableRef<'_>> {
    Properties::parse(message.properties()).ok()?.headers()
}

fn routing_value(value: ValueRef<'_>) -> Value<'_> {
    match value {
        ValueRef::Void => Value::Void,
        ValueRef::Bool(value) => Value::Bool(value),
        ValueRef::F32(value) => Value::Float(f64::from(value)),
        ValueRef::F64(value) => Value::Float(value),
        ValueRef::Decimal { scale, value } => Value::Float(f64::from(value) / 10_f64.powi(i32::from(scale))),
        ValueRef::Timestamp(at) => Value::Int(i64::try_from(at).unwrap_or(i64::MAX)),
        ValueRef::Table(table) => Value::Other { kind: b'F', raw: table.contents() },
        ValueRef::Array(array) => Value::Other { kind: b'A', raw: array.contents() },
        other => match (other.as_i64(), other.as_bytes()) {
            (Some(value), _) => Value::Int(value),
            (None, bytes) => Value::Str(bytes.unwrap_or_default()),
        },
    }
}

/// The delay that an `x-delay` header asks for, in milliseconds: any integer, a number as text, or
/// a float (rabbitmq-semantics 2p).
pub(super) fn delay_ms(message: &Message) -> Option<u64> {
    let value = headers(message)?.get("x-delay")?;
    let delay = match value {
        ValueRef::F32(value) => whole(f64::from(value))?,
        ValueRef::F64(value) => whole(value)?,
        other => match other.as_i64() {
            Some(value) => value,
            None => other.as_str()?.trim().parse().ok()?,
        },
    };
    u64::try_from(delay).ok().filter(|delay| *delay > 0)
}

fn whole(value: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked; the fraction is to go")]
    (value.abs() < 9.0e18).then_some(value as i64)
}

impl Attributes for MessageAttributes<'_> {
    fn each_header(&self, each: &mut dyn FnMut(&[u8], Value<'_>)) {
        if let Some(headers) = self.properties().and_then(|properties| properties.headers()) {
            for (name, value) in headers {
                each(name, routing_value(value));
            }
        }
    }

    fn property(&self, which: Property) -> Option<Value<'_>> {
        let properties = Properties::parse(self.0.properties()).ok()?;
        match which {
            Property::MessageId => properties.text(Field::MessageId).map(Value::Str),
            Property::CorrelationId => properties.text(Field::CorrelationId).map(Value::Str),
            Property::Timestamp => {
                properties.timestamp().and_then(|at| i64::try_from(at).ok()).map(Value::Int)
            }
        }
    }

    fn wants_delay(&self) -> bool {
        delay_ms(self.0).is_some()
    }
}
