//! A message's headers and properties for the router, parsed on demand.

use leveret_exchanges::{Attributes, Property, Value};
use leveret_message::properties::{Field, Properties, headers_in};
use leveret_message::table::edit::rewrite;
use leveret_message::table::{TableRef, ValueRef};
use leveret_message::{Message, Millis};

use super::limits::TTL_MS_MAX;

/// Message attributes as the router reads them.
pub(super) struct MessageAttributes<'a> {
    pub(super) message: &'a Message,
    /// Decides whether the message is still to be held.
    pub(super) now: Millis,
}

/// The message's headers, if it has any.
pub(super) fn headers(message: &Message) -> Option<TableRef<'_>> {
    headers_in(message.properties())
}

fn routing_value(value: ValueRef<'_>) -> Value<'_> {
    match value {
        ValueRef::Void => Value::Void,
        ValueRef::Bool(value) => Value::Bool(value),
        ValueRef::F32(value) => Value::Float(f64::from(value)),
        ValueRef::F64(value) => Value::Float(value),
        ValueRef::Decimal { scale, value } => Value::Float(leveret_exchanges::decimal(scale, value)),
        ValueRef::Timestamp(at) => Value::Int(i64::try_from(at).unwrap_or(i64::MAX)),
        ValueRef::Table(table) => Value::Other { kind: b'F', raw: table.contents() },
        ValueRef::Array(array) => Value::Other { kind: b'A', raw: array.contents() },
        other => match (other.as_i64(), other.as_bytes()) {
            (Some(value), _) => Value::Int(value),
            (None, bytes) => Value::Str(bytes.unwrap_or_default()),
        },
    }
}

/// The instant until which a message is to be held: `x-deliver-at`, milliseconds since the epoch (a Leveret extension)
/// or a timestamp; else `x-delay`, milliseconds from now (docs/semantics.md, Delayed messages). Any integer, numeric
/// string or float is accepted. Values in the past, further away than [`TTL_MS_MAX`], or not numeric yield `None`.
pub(super) fn held_until(message: &Message, now: Millis) -> Option<Millis> {
    let table = headers(message)?;
    let due = match table.get(DELIVER_AT) {
        Some(ValueRef::Timestamp(seconds)) => seconds.checked_mul(1000).map(Millis),
        Some(value) => positive(value).map(Millis),
        None => None,
    };
    let due = due.or_else(|| table.get(DELAY).and_then(positive).map(|delay| now.plus(delay)))?;
    (due > now && due.0 - now.0 <= TTL_MS_MAX).then_some(due)
}

/// The headers of a released message: its delay is negated, so that a second exchange does not delay it again.
pub(super) fn released_headers(message: &Message) -> Option<Vec<u8>> {
    let table = headers(message)?;
    let value = table.get(DELAY)?;
    let delay = i64::try_from(positive(value)?).ok()?;
    let negated = match value {
        ValueRef::I32(delay) => ValueRef::I32(-delay),
        _ => ValueRef::I64(-delay),
    };
    Some(rewrite(table, &[(DELAY, Some(negated))]))
}

const DELAY: &str = "x-delay";
const DELIVER_AT: &str = "x-deliver-at";

fn positive(value: ValueRef<'_>) -> Option<u64> {
    let number = match value {
        ValueRef::F32(value) => whole(f64::from(value))?,
        ValueRef::F64(value) => whole(value)?,
        other => match other.as_i64() {
            Some(value) => value,
            None => other.as_str()?.trim().parse().ok()?,
        },
    };
    u64::try_from(number).ok().filter(|number| *number > 0)
}

fn whole(value: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked; the fraction is to go")]
    (value.abs() < 9.0e18).then_some(value as i64)
}

impl Attributes for MessageAttributes<'_> {
    fn each_header(&self, each: &mut dyn FnMut(&[u8], Value<'_>)) {
        if let Some(headers) = headers(self.message) {
            for (name, value) in headers {
                each(name, routing_value(value));
            }
        }
    }

    fn property(&self, which: Property) -> Option<Value<'_>> {
        let properties = Properties::parse(self.message.properties()).ok()?;
        match which {
            Property::MessageId => properties.text(Field::MessageId).map(Value::Str),
            Property::CorrelationId => properties.text(Field::CorrelationId).map(Value::Str),
            Property::Timestamp => {
                properties.timestamp().and_then(|at| i64::try_from(at).ok()).map(Value::Int)
            }
        }
    }

    fn wants_delay(&self) -> bool {
        held_until(self.message, self.now).is_some()
    }
}
