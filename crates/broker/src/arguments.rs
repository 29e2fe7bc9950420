//! Declared arguments as values: typed reads, comparison by class of type, and names in error texts (docs/semantics.md,
//! Declaring again).

use leveret_exchanges::{Args, OwnedValue};
use leveret_message::short::SHORT_BYTES_MAX;

use leveret_message::values::DecimalValue;
pub use leveret_message::values::{AMQPValue as Value, FieldTable};

/// The value as an integer of any width.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::ShortShortInt(v) => Some(i64::from(*v)),
        Value::ShortShortUInt(v) => Some(i64::from(*v)),
        Value::ShortInt(v) => Some(i64::from(*v)),
        Value::ShortUInt(v) => Some(i64::from(*v)),
        Value::LongInt(v) => Some(i64::from(*v)),
        Value::LongUInt(v) => Some(i64::from(*v)),
        Value::LongLongInt(v) => Some(*v),
        _ => None,
    }
}

/// The value as text, if it is a UTF-8 string.
pub fn text(value: &Value) -> Option<&str> {
    match value {
        Value::LongString(v) => std::str::from_utf8(v.as_bytes()).ok(),
        Value::ShortString(v) => Some(v.as_str()),
        _ => None,
    }
}

/// `RabbitMQ`'s name of a value's type.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Boolean(_) => "bool",
        Value::ShortShortInt(_) => "byte",
        Value::ShortShortUInt(_) => "unsignedbyte",
        Value::ShortInt(_) => "short",
        Value::ShortUInt(_) => "unsignedshort",
        Value::LongInt(_) => "signedint",
        Value::LongUInt(_) => "unsignedint",
        Value::LongLongInt(_) => "long",
        Value::Float(_) => "float",
        Value::Double(_) => "double",
        Value::DecimalValue(_) => "decimal",
        Value::ShortString(_) | Value::LongString(_) => "longstr",
        Value::FieldArray(_) => "array",
        Value::Timestamp(_) => "timestamp",
        Value::FieldTable(_) => "table",
        Value::ByteArray(_) => "binary",
        Value::Void => "void",
    }
}

/// A value as shown in error texts.
pub fn value_text(value: &Value) -> String {
    if let Some(number) = integer(value) {
        return number.to_string();
    }
    if let Some(text) = text(value) {
        return text.to_owned();
    }
    match value {
        Value::Boolean(v) => v.to_string(),
        Value::Float(v) => v.to_string(),
        Value::Double(v) => v.to_string(),
        Value::Timestamp(v) => v.to_string(),
        Value::ByteArray(bytes) => String::from_utf8_lossy(bytes.as_slice()).into_owned(),
        Value::FieldArray(values) => {
            let values: Vec<_> = values.as_slice().iter().map(typed).collect();
            format!("[{}]", values.join(","))
        }
        Value::FieldTable(table) => {
            let field = |(name, value): (&_, &Value)| {
                let typed = typed(value);
                format!("{{<<\"{name}\">>,{}", typed.strip_prefix('{').unwrap_or(&typed))
            };
            let fields: Vec<_> = table.inner().iter().map(field).collect();
            format!("[{}]", fields.join(","))
        }
        _ => "undefined".to_owned(),
    }
}

/// A value with its type, as it stands inside of tables and arrays in `RabbitMQ`'s error texts.
fn typed(value: &Value) -> String {
    match text(value) {
        Some(text) => format!("{{longstr,<<{text:?}>>}}"),
        None => format!("{{{},{}}}", type_name(value), value_text(value)),
    }
}

/// Whether two values are the same argument: numbers compare by value, whatever their width.
pub fn same_value(a: &Value, b: &Value) -> bool {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => match (text(a), text(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
        _ => false,
    }
}

/// The refusal of an exchange name or key that is too long to be stored in messages.
pub(super) fn too_long(text: &str) -> String {
    format!("{{value_too_long,{}}}: at most {SHORT_BYTES_MAX} bytes", text.len())
}

/// Whether two bindings that differ at most in these arguments are the same: types count, as in `RabbitMQ`.
pub fn same_binding(a: &FieldTable, b: &FieldTable) -> bool {
    to_args(a) == to_args(b)
}

/// The argument `name`, if present.
pub fn get<'a>(table: &'a FieldTable, name: &str) -> Option<&'a Value> {
    table.inner().get(name)
}

/// A table in the router's form.
pub(super) fn to_args(table: &FieldTable) -> Args {
    Args::new(table.inner().iter().map(|(name, value)| (name.as_str().as_bytes().into(), to_owned(value))))
}

fn to_owned(value: &Value) -> OwnedValue {
    let int = |kind: u8, value: i64| OwnedValue::Int { kind, value };
    match value {
        Value::Boolean(v) => OwnedValue::Bool(*v),
        Value::ShortShortInt(v) => int(b'b', i64::from(*v)),
        Value::ShortShortUInt(v) => int(b'B', i64::from(*v)),
        Value::ShortInt(v) => int(b's', i64::from(*v)),
        Value::ShortUInt(v) => int(b'u', i64::from(*v)),
        Value::LongInt(v) => int(b'I', i64::from(*v)),
        Value::LongUInt(v) => int(b'i', i64::from(*v)),
        Value::LongLongInt(v) => int(b'l', *v),
        Value::Timestamp(v) => match i64::try_from(*v) {
            Ok(v) => int(b'T', v),
            Err(_) => OwnedValue::Other { kind: b'T', raw: v.to_be_bytes().into() },
        },
        #[expect(clippy::cast_possible_truncation, reason = "whether that gives the same is the question")]
        Value::Float(v) if (f64::from(*v) as f32).to_bits() != v.to_bits() => {
            // A signalling NaN does not survive widening.
            OwnedValue::Other { kind: b'f', raw: v.to_be_bytes().into() }
        }
        Value::Float(v) => OwnedValue::Float { kind: b'f', value: f64::from(*v) },
        Value::Double(v) => OwnedValue::Float { kind: b'd', value: *v },
        Value::ShortString(v) => OwnedValue::text(v.as_str()),
        Value::LongString(v) => OwnedValue::Str { kind: b'S', bytes: v.as_bytes().into() },
        Value::ByteArray(v) => OwnedValue::Str { kind: b'x', bytes: v.as_slice().into() },
        Value::FieldArray(v) => OwnedValue::Array(v.as_slice().iter().map(to_owned).collect()),
        Value::FieldTable(v) => OwnedValue::Table(to_args(v)),
        Value::DecimalValue(v) => {
            let mut raw = vec![v.scale];
            raw.extend(v.value.to_be_bytes());
            OwnedValue::Other { kind: b'D', raw: raw.into() }
        }
        Value::Void => OwnedValue::Void,
    }
}

/// The router's form back as a table, as declared.
pub(super) fn from_args(args: &Args) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in args.iter_as_given() {
        table.insert(String::from_utf8_lossy(name).as_ref().into(), from_owned(value));
    }
    table
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the kind says that the value was of this width"
)]
fn from_owned(value: &OwnedValue) -> Value {
    match value {
        OwnedValue::Void => Value::Void,
        OwnedValue::Bool(v) => Value::Boolean(*v),
        OwnedValue::Int { kind, value } => match kind {
            b'b' => Value::ShortShortInt(*value as i8),
            b'B' => Value::ShortShortUInt(*value as u8),
            b's' => Value::ShortInt(*value as i16),
            b'u' => Value::ShortUInt(*value as u16),
            b'I' => Value::LongInt(*value as i32),
            b'i' => Value::LongUInt(*value as u32),
            b'T' => Value::Timestamp(*value as u64),
            _ => Value::LongLongInt(*value),
        },
        OwnedValue::Float { kind: b'f', value } => Value::Float(*value as f32),
        OwnedValue::Float { value, .. } => Value::Double(*value),
        OwnedValue::Str { kind: b'x', bytes } => Value::ByteArray(bytes.to_vec().into()),
        OwnedValue::Str { bytes, .. } => Value::LongString(bytes.to_vec().into()),
        OwnedValue::Array(values) => {
            Value::FieldArray(values.iter().map(from_owned).collect::<Vec<_>>().into())
        }
        OwnedValue::Table(args) => Value::FieldTable(from_args(args)),
        OwnedValue::Other { kind: b'f', raw } => {
            Value::Float(raw.first_chunk().map_or(0.0, |raw| f32::from_be_bytes(*raw)))
        }
        OwnedValue::Other { kind: b'T', raw } => {
            Value::Timestamp(raw.first_chunk().map_or(0, |raw| u64::from_be_bytes(*raw)))
        }
        OwnedValue::Other { raw, .. } => {
            let (scale, digits) = raw.split_first().unwrap_or((&0, &[]));
            let value = digits.first_chunk().map_or(0, |raw| u32::from_be_bytes(*raw));
            Value::DecimalValue(DecimalValue { scale: *scale, value })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_in_any_width_and_never_a_string() {
        assert!(same_value(&Value::ShortShortInt(5), &Value::LongLongInt(5)));
        assert!(!same_value(&Value::LongInt(5), &Value::LongString("5".into())));
        assert!(!same_value(&Value::LongInt(5), &Value::LongInt(6)));
        assert!(same_value(&Value::LongString("a".into()), &Value::LongString("a".into())));
    }
}
