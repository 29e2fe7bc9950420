//! Generators of tables and properties, for property tests here and in the crates above.

use amq_protocol::protocol::basic::{AMQPProperties, gen_properties};
use proptest::prelude::*;

use crate::values::{AMQPValue, DecimalValue, FieldTable, ShortString};

/// Any encodable value, at most four levels deep.
pub fn value() -> impl Strategy<Value = AMQPValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i8>().prop_map(AMQPValue::ShortShortInt),
        any::<u8>().prop_map(AMQPValue::ShortShortUInt),
        any::<i16>().prop_map(AMQPValue::ShortInt),
        any::<u16>().prop_map(AMQPValue::ShortUInt),
        any::<i32>().prop_map(AMQPValue::LongInt),
        any::<u32>().prop_map(AMQPValue::LongUInt),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        (-1e6f32..1e6).prop_map(AMQPValue::Float),
        (-1e9f64..1e9).prop_map(AMQPValue::Double),
        any::<(u8, u32)>().prop_map(|(scale, value)| AMQPValue::DecimalValue(DecimalValue { scale, value })),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| AMQPValue::ByteArray(bytes.into())),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        Just(AMQPValue::Void),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| AMQPValue::FieldArray(items.into())),
            entries(inner).prop_map(AMQPValue::FieldTable),
        ]
    })
}

fn entries(value: impl Strategy<Value = AMQPValue>) -> impl Strategy<Value = FieldTable> {
    prop::collection::btree_map("[a-z\u{e9}-]{0,12}".prop_map(ShortString::from), value, 0..5)
        .prop_map(FieldTable::from)
}

/// Any encodable table.
pub fn table() -> impl Strategy<Value = FieldTable> {
    entries(value())
}

fn text() -> impl Strategy<Value = Option<ShortString>> {
    prop::option::of("[a-z0-9]{0,20}".prop_map(ShortString::from))
}

/// Any encodable properties.
pub fn properties() -> impl Strategy<Value = AMQPProperties> {
    (
        (text(), text(), prop::option::of(table()), any::<Option<u8>>(), any::<Option<u8>>(), text(), text()),
        (text(), text(), any::<Option<u64>>(), text(), text(), text(), text()),
    )
        .prop_map(|(early, late)| {
            let mut properties = AMQPProperties::default();
            macro_rules! set {
                ($value:expr, $with:ident) => {
                    if let Some(value) = $value {
                        properties = properties.$with(value);
                    }
                };
            }
            set!(early.0, with_content_type);
            set!(early.1, with_content_encoding);
            set!(early.2, with_headers);
            set!(early.3, with_delivery_mode);
            set!(early.4, with_priority);
            set!(early.5, with_correlation_id);
            set!(early.6, with_reply_to);
            set!(late.0, with_expiration);
            set!(late.1, with_message_id);
            set!(late.2, with_timestamp);
            set!(late.3, with_type);
            set!(late.4, with_user_id);
            set!(late.5, with_app_id);
            set!(late.6, with_cluster_id);
            properties
        })
}

/// Their encoded form, as a content header carries them.
///
/// # Panics
/// If they cannot be encoded, which memory alone can prevent.
pub fn raw(properties: &AMQPProperties) -> Vec<u8> {
    gen_properties(properties)(Vec::new().into()).expect("properties fit").into_inner().0
}
