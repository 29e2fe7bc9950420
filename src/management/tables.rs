//! AMQP tables as JSON and back. JSON integers become 64-bit ones, as in `RabbitMQ`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leveret_broker::arguments::{FieldTable, Value};
use leveret_message::table::DEPTH_MAX;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value as Json};

use super::error::{Refused, Result};

/// A table that serialises as a JSON object.
pub(super) struct Table<'a>(pub(super) &'a FieldTable);

struct Field<'a>(&'a Value);

impl Serialize for Table<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.inner().len()))?;
        for (name, value) in self.0.inner() {
            map.serialize_entry(name.as_str(), &Field(value))?;
        }
        map.end()
    }
}

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 {
            Value::Void => serializer.serialize_unit(),
            Value::Boolean(value) => serializer.serialize_bool(*value),
            Value::Float(value) if !value.is_finite() => serializer.serialize_str(no_number((*value).into())),
            Value::Double(value) if !value.is_finite() => serializer.serialize_str(no_number(*value)),
            Value::Float(value) => serializer.serialize_f32(*value),
            Value::Double(value) => serializer.serialize_f64(*value),
            Value::Timestamp(value) => serializer.serialize_u64(*value),
            Value::DecimalValue(value) => {
                serializer.serialize_f64(f64::from(value.value) / 10_f64.powi(i32::from(value.scale)))
            }
            Value::LongString(text) => serializer.serialize_str(&legible(text.as_bytes())),
            Value::ShortString(text) => serializer.serialize_str(text.as_str()),
            Value::ByteArray(bytes) => serializer.serialize_str(&legible(bytes.as_slice())),
            Value::FieldTable(table) => Table(table).serialize(serializer),
            Value::FieldArray(array) => {
                let mut list = serializer.serialize_seq(Some(array.as_slice().len()))?;
                for value in array.as_slice() {
                    list.serialize_element(&Field(value))?;
                }
                list.end()
            }
            number => match leveret_broker::arguments::integer(number) {
                Some(number) => serializer.serialize_i64(number),
                None => serializer.serialize_unit(),
            },
        }
    }
}

/// Bytes as text; non-UTF-8 as shown by `RabbitMQ`.
pub(super) fn legible(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => format!("Not UTF-8, base64 is: {}", STANDARD.encode(bytes)).into(),
    }
}

/// Values without a JSON number are shown as strings, which are accepted back.
fn no_number(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// A JSON object as a table.
pub(super) fn table(object: &Map<String, Json>) -> Result<FieldTable> {
    table_at(object, 1)
}

fn table_at(object: &Map<String, Json>, depth: usize) -> Result<FieldTable> {
    if depth > DEPTH_MAX {
        return Err(Refused::bad_request(format!("nested deeper than {DEPTH_MAX}")));
    }
    let mut table = FieldTable::default();
    for (name, value) in object {
        if name.len() > 255 {
            return Err(Refused::bad_request("a key is longer than 255 bytes"));
        }
        table.insert(name.as_str().into(), field(value, depth)?);
    }
    Ok(table)
}

fn field(value: &Json, depth: usize) -> Result<Value> {
    Ok(match value {
        Json::Null => Value::Void,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::LongLongInt(number),
            (None, Some(number)) => Value::Double(number),
            (None, None) => return Err(Refused::bad_request(format!("number out of range: {number}"))),
        },
        Json::String(text) => Value::LongString(text.as_str().into()),
        Json::Array(_) if depth >= DEPTH_MAX => {
            return Err(Refused::bad_request(format!("nested deeper than {DEPTH_MAX}")));
        }
        Json::Array(array) => {
            let fields: Result<Vec<_>> = array.iter().map(|value| field(value, depth + 1)).collect();
            Value::FieldArray(fields?.into())
        }
        Json::Object(object) => Value::FieldTable(table_at(object, depth + 1)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn there_and_back(value: &Json) -> Json {
        let table = table(value.as_object().unwrap()).unwrap();
        serde_json::to_value(Table(&table)).unwrap()
    }

    #[test]
    fn json_survives_the_way_through_a_table() {
        let value = json!({"a": 1, "b": -1.5, "c": "x", "d": [1, {"e": null}], "f": {"g": true}});
        assert_eq!(there_and_back(&value), value);
    }

    #[test]
    fn what_is_no_number_is_shown_as_text_which_is_taken_back() {
        let mut table = FieldTable::default();
        table.insert("a".into(), Value::Double(f64::NAN));
        table.insert("b".into(), Value::Float(f32::INFINITY));
        table.insert("c".into(), Value::FieldArray(vec![Value::Double(f64::NEG_INFINITY)].into()));
        let shown = serde_json::to_value(Table(&table)).unwrap();
        assert_eq!(shown, json!({"a": "NaN", "b": "Infinity", "c": ["-Infinity"]}));
        assert_eq!(there_and_back(&shown), shown);
    }

    #[test]
    fn what_no_table_can_hold_is_refused() {
        let nested = |levels| (0..levels).fold(json!(1), |deep, _| json!({ "a": deep }));
        assert!(table(nested(DEPTH_MAX).as_object().unwrap()).is_ok());
        assert!(table(nested(DEPTH_MAX + 1).as_object().unwrap()).is_err());
        let long = json!({ "k".repeat(256): 1 });
        assert!(table(long.as_object().unwrap()).is_err());
    }
}
