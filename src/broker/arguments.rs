//! Declared arguments as values: typed reads, comparison by class of type, and their names in
//! error texts (rabbitmq-semantics 2c).

pub use crate::wire::method::{AMQPValue as Value, FieldTable};

/// The value as a whole number, whatever its width.
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

/// The value as text, if it is a string of UTF-8.
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

/// A value as it stands in error texts.
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
        _ => serde_json::to_string(value).unwrap_or_default(),
    }
}

/// Whether two values are the same argument: numbers by value whatever their width.
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

/// The argument `name`, if it is there.
pub fn get<'a>(table: &'a FieldTable, name: &str) -> Option<&'a Value> {
    table.inner().get(name)
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
