//! The key that identifies a binding among those with the same two ends, in lists and paths.
//!
//! Invariant: bindings that can coexist have different keys, whatever the types of their arguments: the broker
//! distinguishes a 32-bit 5 from a 64-bit 5, as `RabbitMQ` does, so the key does too.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leveret_broker::arguments::{FieldTable, Value};
use leveret_broker::listing::BindingView;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

use super::paths;

/// Digest bytes of the arguments included in a key.
const DIGEST_BYTES: usize = 12;

/// `~` if routing key and arguments are empty, else the quoted routing key, and a digest of the arguments if there
/// are any.
pub(super) fn of(binding: &BindingView) -> String {
    if binding.arguments.inner().is_empty() {
        if binding.routing_key.is_empty() {
            return "~".to_owned();
        }
        return paths::quoted(&binding.routing_key);
    }
    let mut digest = Sha256::new();
    table_into(&mut digest, &binding.arguments);
    let digest = URL_SAFE_NO_PAD.encode(&digest.finalize()[..DIGEST_BYTES]);
    format!("{}~{digest}", paths::quoted(&binding.routing_key))
}

/// Finds the binding named by a path segment, already decoded once. Most clients encode the key they were given, some
/// treat it as encoded already, and some encode the routing key themselves, a space as `%20`; if the segment is ambiguous,
/// the key itself wins, then the routing key.
pub(super) fn find(bindings: Vec<BindingView>, segment: &str) -> Option<BindingView> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(Cow::into_owned);
    let (mut second, mut third) = (None, None);
    for binding in bindings {
        let key = of(&binding);
        if key == segment {
            return Some(binding);
        }
        let Ok(text) = decoded(&key.replace('+', " ")) else { continue };
        if text == segment {
            second = second.or(Some(binding));
        } else if decoded(segment) == Ok(text) {
            third = third.or(Some(binding));
        }
    }
    second.or(third)
}

/// Lengths precede what they count, and types precede values, so that no two tables hash the same bytes.
fn table_into(digest: &mut Sha256, table: &FieldTable) {
    digest.update(table.inner().len().to_be_bytes());
    for (name, value) in table.inner() {
        bytes_into(digest, name.as_str().as_bytes());
        value_into(digest, value);
    }
}

fn bytes_into(digest: &mut Sha256, bytes: &[u8]) {
    digest.update(bytes.len().to_be_bytes());
    digest.update(bytes);
}

fn value_into(digest: &mut Sha256, value: &Value) {
    let mut fixed = |kind: u8, bytes: &[u8]| {
        digest.update([kind]);
        digest.update(bytes);
    };
    match value {
        Value::Void => fixed(b'V', &[]),
        Value::Boolean(value) => fixed(b't', &[u8::from(*value)]),
        Value::ShortShortInt(value) => fixed(b'b', &value.to_be_bytes()),
        Value::ShortShortUInt(value) => fixed(b'B', &value.to_be_bytes()),
        Value::ShortInt(value) => fixed(b's', &value.to_be_bytes()),
        Value::ShortUInt(value) => fixed(b'u', &value.to_be_bytes()),
        Value::LongInt(value) => fixed(b'I', &value.to_be_bytes()),
        Value::LongUInt(value) => fixed(b'i', &value.to_be_bytes()),
        Value::LongLongInt(value) => fixed(b'l', &value.to_be_bytes()),
        Value::Timestamp(value) => fixed(b'T', &value.to_be_bytes()),
        Value::Float(value) => fixed(b'f', &value.to_bits().to_be_bytes()),
        Value::Double(value) => fixed(b'd', &value.to_bits().to_be_bytes()),
        Value::DecimalValue(value) => {
            fixed(b'D', &[value.scale]);
            digest.update(value.value.to_be_bytes());
        }
        // The broker stores both as one type.
        Value::ShortString(text) => {
            digest.update(b"S");
            bytes_into(digest, text.as_str().as_bytes());
        }
        Value::LongString(text) => {
            digest.update(b"S");
            bytes_into(digest, text.as_bytes());
        }
        Value::ByteArray(bytes) => {
            digest.update(b"x");
            bytes_into(digest, bytes.as_slice());
        }
        Value::FieldTable(table) => {
            digest.update(b"F");
            table_into(digest, table);
        }
        Value::FieldArray(array) => {
            digest.update(b"A");
            digest.update(array.as_slice().len().to_be_bytes());
            array.as_slice().iter().for_each(|value| value_into(digest, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::tables;
    use super::*;
    use leveret_amqp091::wire::method::DecimalValue;
    use leveret_broker::arguments::same_binding;
    use leveret_broker::definitions::DestinationKind;

    fn with(key: &str, arguments: FieldTable) -> BindingView {
        BindingView {
            source: "x".into(),
            kind: DestinationKind::Queue,
            destination: "q".into(),
            routing_key: key.into(),
            arguments,
            durable: true,
        }
    }

    fn binding(key: &str, arguments: &serde_json::Value) -> BindingView {
        with(key, tables::table(arguments.as_object().unwrap()).unwrap())
    }

    fn found(keys: &[&str], segment: &str) -> Option<String> {
        let bindings = keys.iter().map(|key| binding(key, &json!({}))).collect();
        find(bindings, segment).map(|binding| binding.routing_key.to_string())
    }

    #[test]
    fn the_key_of_a_binding_tells_key_and_arguments() {
        assert_eq!(of(&binding("", &json!({}))), "~");
        assert_eq!(of(&binding("a.b/c ~", &json!({}))), "a.b%2Fc+%7E");
        let (one, two) = (binding("k", &json!({"a": 1})), binding("k", &json!({"a": 2})));
        assert!(of(&one).starts_with("k~"));
        assert_ne!(of(&one), of(&two));
        assert_eq!(of(&one), of(&one.clone()));
    }

    #[test]
    fn the_key_itself_wins_over_what_it_reads_unquoted() {
        assert_eq!(found(&["a b"], "a+b").as_deref(), Some("a b"));
        assert_eq!(found(&["a b"], "a%20b").as_deref(), Some("a b"));
        assert_eq!(found(&["a b"], "a b").as_deref(), Some("a b"));
        assert_eq!(found(&["a b"], "a"), None);
        for order in [["a/b", "a%2Fb"], ["a%2Fb", "a/b"]] {
            assert_eq!(found(&order, "a%2Fb").as_deref(), Some("a/b"));
            assert_eq!(found(&order, "a%252Fb").as_deref(), Some("a%2Fb"));
            assert_eq!(found(&order, "a/b").as_deref(), Some("a/b"));
        }
        for order in [["~", ""], ["", "~"]] {
            assert_eq!(found(&order, "~").as_deref(), Some(""));
            assert_eq!(found(&order, "%7E").as_deref(), Some("~"));
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let small = 0_u8..3;
        let leaf = prop_oneof![
            Just(Value::Void),
            any::<bool>().prop_map(Value::Boolean),
            small.clone().prop_map(Value::ShortShortUInt),
            small.clone().prop_map(|v| Value::ShortShortInt(v.cast_signed())),
            small.clone().prop_map(|v| Value::ShortInt(v.into())),
            small.clone().prop_map(|v| Value::ShortUInt(v.into())),
            small.clone().prop_map(|v| Value::LongInt(v.into())),
            small.clone().prop_map(|v| Value::LongUInt(v.into())),
            small.clone().prop_map(|v| Value::LongLongInt(v.into())),
            small.clone().prop_map(|v| Value::Timestamp(v.into())),
            small.clone().prop_map(|v| Value::Float(v.into())),
            small.clone().prop_map(|v| Value::Double(v.into())),
            (small.clone(), small)
                .prop_map(|(scale, v)| Value::DecimalValue(DecimalValue { scale, value: v.into() })),
            prop::collection::vec(prop_oneof![Just(b'0'), Just(b'1'), any::<u8>()], 0..3).prop_flat_map(
                |bytes| prop_oneof![
                    Just(Value::LongString(bytes.clone().into())),
                    Just(Value::ByteArray(bytes.into()))
                ]
            ),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(|list| Value::FieldArray(list.into())),
                tables(inner).prop_map(Value::FieldTable),
            ]
        })
    }

    fn tables(values: impl Strategy<Value = Value>) -> impl Strategy<Value = FieldTable> {
        prop::collection::btree_map("[ab~]{0,2}", values, 0..3).prop_map(|map| {
            let mut table = FieldTable::default();
            for (name, value) in map {
                table.insert(name.as_str().into(), value);
            }
            table
        })
    }

    proptest! {
        #[test]
        fn bindings_have_one_key_if_and_only_if_they_are_one_binding(
            keys in ("[a~%/ ]{0,3}", "[a~%/ ]{0,3}"),
            arguments in (tables(values()), tables(values())),
        ) {
            let (one, two) = (with(&keys.0, arguments.0), with(&keys.1, arguments.1));
            let same = one.routing_key == two.routing_key && same_binding(&one.arguments, &two.arguments);
            prop_assert_eq!(of(&one) == of(&two), same);
            // A client that encodes the keys from lists reaches each binding.
            for wanted in [&one, &two] {
                let found = find(vec![one.clone(), two.clone()], &of(wanted)).expect("it is there");
                prop_assert_eq!(of(&found), of(wanted));
            }
        }
    }
}
