//! Stored form of argument tables: JSON that preserves every value bit by bit.
//!
//! Values have the form that earlier versions wrote, except those that JSON cannot represent: NaN and infinite floats
//! are stored as bits. (Earlier versions wrote them as null, which is read as NaN.)

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::arguments::{FieldTable, Value};

/// A value that JSON can represent directly, or one containing something it cannot.
#[derive(Serialize)]
enum Written<'a> {
    FloatBits(u32),
    DoubleBits(u64),
    FieldArray(Vec<Written<'a>>),
    FieldTable(BTreeMap<&'a str, Written<'a>>),
    #[serde(untagged)]
    Plain(&'a Value),
}

#[derive(Deserialize)]
enum Read {
    FloatBits(u32),
    DoubleBits(u64),
    Float(Option<f32>),
    Double(Option<f64>),
    FieldArray(Vec<Read>),
    FieldTable(BTreeMap<String, Read>),
    #[serde(untagged)]
    Plain(Value),
}

fn table_of(table: &FieldTable) -> BTreeMap<&str, Written<'_>> {
    table.inner().iter().map(|(name, value)| (name.as_str(), written(value))).collect()
}

/// Whether a float survives the conversion to text, which is read as an f64.
fn survives(float: f32) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "this is what is to be found out")]
    let back = float.to_string().parse::<f64>().map(|wide| wide as f32);
    float.is_finite() && back.is_ok_and(|back| back.to_bits() == float.to_bits())
}

fn written(value: &Value) -> Written<'_> {
    match value {
        Value::Float(float) if !survives(*float) => Written::FloatBits(float.to_bits()),
        Value::Double(double) if !double.is_finite() => Written::DoubleBits(double.to_bits()),
        Value::FieldArray(array) => Written::FieldArray(array.as_slice().iter().map(written).collect()),
        Value::FieldTable(table) => Written::FieldTable(table_of(table)),
        plain => Written::Plain(plain),
    }
}

impl From<Read> for Value {
    fn from(read: Read) -> Self {
        match read {
            Read::FloatBits(bits) => Self::Float(f32::from_bits(bits)),
            Read::DoubleBits(bits) => Self::Double(f64::from_bits(bits)),
            Read::Float(float) => Self::Float(float.unwrap_or(f32::NAN)),
            Read::Double(double) => Self::Double(double.unwrap_or(f64::NAN)),
            Read::FieldArray(values) => {
                Self::FieldArray(values.into_iter().map(Self::from).collect::<Vec<_>>().into())
            }
            Read::FieldTable(table) => Self::FieldTable(read_table(table)),
            Read::Plain(value) => value,
        }
    }
}

fn read_table(read: BTreeMap<String, Read>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in read {
        table.insert(name.into(), value.into());
    }
    table
}

/// A table in this form, by itself.
pub(super) struct Stored<'a>(pub(super) &'a FieldTable);

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, to)
    }
}

/// For `#[serde(with = "stored_table")]`.
pub(super) fn serialize<S: Serializer>(table: &FieldTable, to: S) -> Result<S::Ok, S::Error> {
    table_of(table).serialize(to)
}

/// See [`serialize`].
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<FieldTable, D::Error> {
    Ok(read_table(BTreeMap::deserialize(from)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arguments::{from_args, to_args};
    use crate::definitions::{BindingDefinition, DestinationKind, Key};
    use leveret_message::values::DecimalValue;

    /// NaNs of any payload, infinities, zeros and denormals among others.
    fn bits64() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (any::<bool>(), any::<u64>())
                .prop_map(|(sign, low)| u64::from(sign) << 63 | 0x7ff0 << 48 | low & 0xf_ffff_ffff_ffff),
            prop_oneof![Just(0x7ff0 << 48), Just(0xfff0 << 48), Just(1), Just(1 << 63)],
        ]
    }

    fn bits32() -> impl Strategy<Value = u32> {
        prop_oneof![
            any::<u32>(),
            (any::<bool>(), any::<u32>())
                .prop_map(|(sign, low)| u32::from(sign) << 31 | 0x7f80 << 16 | low & 0x7f_ffff),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            any::<i8>().prop_map(Value::ShortShortInt),
            any::<u8>().prop_map(Value::ShortShortUInt),
            any::<i16>().prop_map(Value::ShortInt),
            any::<u16>().prop_map(Value::ShortUInt),
            any::<i32>().prop_map(Value::LongInt),
            any::<u32>().prop_map(Value::LongUInt),
            any::<i64>().prop_map(Value::LongLongInt),
            bits32().prop_map(|bits| Value::Float(f32::from_bits(bits))),
            bits64().prop_map(|bits| Value::Double(f64::from_bits(bits))),
            (any::<u8>(), any::<u32>())
                .prop_map(|(scale, value)| Value::DecimalValue(DecimalValue { scale, value })),
            any::<u64>().prop_map(Value::Timestamp),
            prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Value::LongString(bytes.into())),
            prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Value::ByteArray(bytes.into())),
            Just(Value::Void),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|values| Value::FieldArray(values.into())),
                prop::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|entries| Value::FieldTable(table(entries))),
            ]
        })
    }

    fn table(entries: BTreeMap<String, Value>) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert(name.into(), value);
        }
        table
    }

    /// The wire encoding: distinguishes equal floats with different bits.
    fn wire(table: &FieldTable) -> Vec<u8> {
        leveret_message::table::edit::table_contents(table)
    }

    #[derive(Serialize, Deserialize)]
    struct Owned(#[serde(with = "super")] FieldTable);

    fn binding(arguments: &FieldTable) -> BindingDefinition {
        BindingDefinition {
            vhost: "/".to_owned(),
            source: "x".to_owned(),
            destination: "q".to_owned(),
            destination_kind: DestinationKind::Queue,
            routing_key: "k".to_owned(),
            arguments: arguments.clone(),
        }
    }

    proptest! {
        #[test]
        fn every_table_comes_back_bit_by_bit(entries in prop::collection::btree_map(".{0,6}", value(), 0..6)) {
            let table = table(entries);
            let bytes = serde_json::to_vec(&Owned(table.clone())).unwrap();
            let Owned(back) = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(wire(&back), wire(&table), "{}", String::from_utf8_lossy(&bytes));
            // Also through the router's copy, by which a binding is found when it is removed.
            let routed = from_args(&to_args(&table));
            prop_assert_eq!(wire(&routed), wire(&table));
            prop_assert_eq!(Key::binding(&binding(&routed)), Key::binding(&binding(&back)));
            prop_assert_eq!(to_args(&table), to_args(&back));
        }
    }

    #[test]
    fn tables_as_deep_as_they_may_be_are_read_and_no_deeper_ones() {
        let mut deep = Value::Boolean(true);
        for _ in 0..leveret_message::table::DEPTH_MAX {
            deep = Value::FieldArray(
                vec![Value::FieldTable(table(BTreeMap::from([("a".to_owned(), deep)])))].into(),
            );
        }
        let arguments = table(BTreeMap::from([("deep".to_owned(), deep)]));
        let bytes = serde_json::to_vec(&binding(&arguments)).unwrap();
        let back: BindingDefinition = crate::definitions::read(&bytes).unwrap();
        assert_eq!(wire(&back.arguments), wire(&arguments));
        let refused = crate::definitions::read::<serde_json::Value>(&b"[".repeat(50_000));
        assert!(refused.is_err_and(|why| why.contains("nested deeper")));
    }

    #[test]
    fn what_earlier_versions_stored_is_read() {
        let old = r#"{"a":{"LongLongInt":5},"b":{"LongString":[104,255]},"c":{"Double":1.5},"d":{"Double":null},
            "e":{"Float":null},"f":{"FieldTable":{"g":{"FieldArray":[{"Boolean":true},"Void"]}}},
            "h":{"DecimalValue":{"scale":2,"value":7}},"i":{"ByteArray":[0,1]}}"#;
        let Owned(table) = serde_json::from_str(old).unwrap();
        let get = |name: &str| table.inner().get(name).unwrap();
        assert_eq!(get("a"), &Value::LongLongInt(5));
        assert_eq!(get("b"), &Value::LongString(vec![104, 255].into()));
        assert_eq!(get("c"), &Value::Double(1.5));
        assert!(matches!(get("d"), Value::Double(value) if value.is_nan()));
        assert!(matches!(get("e"), Value::Float(value) if value.is_nan()));
        let Value::FieldTable(inner) = get("f") else { panic!("a table") };
        let array = vec![Value::Boolean(true), Value::Void];
        assert_eq!(inner.inner().get("g"), Some(&Value::FieldArray(array.into())));
        assert_eq!(get("h"), &Value::DecimalValue(DecimalValue { scale: 2, value: 7 }));
        assert_eq!(get("i"), &Value::ByteArray(vec![0, 1].into()));
    }

    #[test]
    fn keys_of_bindings_are_those_of_earlier_versions() {
        let mut arguments = FieldTable::default();
        arguments.insert("x-match".into(), Value::LongString("all".into()));
        arguments.insert("n".into(), Value::Double(1.5));
        let before = serde_json::to_vec(&arguments).unwrap();
        assert_eq!(serde_json::to_vec(&Owned(arguments)).unwrap(), before);
    }
}
