//! Writing of field tables: from `amq-protocol`'s types, value by value, and as an edited copy of a raw table.

use super::{ArrayRef, TableRef, ValueRef};
use crate::values::{AMQPValue, FieldTable};

/// Appends a type letter and a value to a table's or an array's contents.
pub fn put_value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Bool(value) => out.extend([b't', value.into()]),
        ValueRef::I8(value) => out.extend([b'b', value.cast_unsigned()]),
        ValueRef::U8(value) => out.extend([b'B', value]),
        ValueRef::I16(value) => put_fixed(out, b's', &value.to_be_bytes()),
        ValueRef::U16(value) => put_fixed(out, b'u', &value.to_be_bytes()),
        ValueRef::I32(value) => put_fixed(out, b'I', &value.to_be_bytes()),
        ValueRef::U32(value) => put_fixed(out, b'i', &value.to_be_bytes()),
        ValueRef::I64(value) => put_fixed(out, b'l', &value.to_be_bytes()),
        ValueRef::F32(value) => put_fixed(out, b'f', &value.to_be_bytes()),
        ValueRef::F64(value) => put_fixed(out, b'd', &value.to_be_bytes()),
        ValueRef::Decimal { scale, value } => {
            out.extend([b'D', scale]);
            out.extend(value.to_be_bytes());
        }
        ValueRef::LongString(bytes) => put_long(out, b'S', bytes),
        ValueRef::Bytes(bytes) => put_long(out, b'x', bytes),
        ValueRef::Timestamp(value) => put_fixed(out, b'T', &value.to_be_bytes()),
        ValueRef::Table(table) => put_long(out, b'F', table.contents()),
        ValueRef::Array(array) => put_long(out, b'A', array.contents()),
        ValueRef::Void => out.push(b'V'),
    }
}

/// Appends an entry to a table's contents. A name longer than 255 bytes is truncated.
pub fn put_entry(out: &mut Vec<u8>, name: &[u8], value: ValueRef<'_>) {
    let count = u8::try_from(name.len()).unwrap_or(u8::MAX);
    out.push(count);
    out.extend(&name[..count.into()]);
    put_value(out, value);
}

fn put_fixed(out: &mut Vec<u8>, letter: u8, bytes: &[u8]) {
    out.push(letter);
    out.extend(bytes);
}

/// A long string that exceeds its length field is truncated; nothing that fits a frame is.
fn put_long(out: &mut Vec<u8>, letter: u8, bytes: &[u8]) {
    let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.push(letter);
    out.extend(count.to_be_bytes());
    out.extend(&bytes[..count as usize]);
}

/// A table's contents as raw bytes, without length prefix.
///
/// Recurses to the depth of `table`; tables from the wire have at most [`super::DEPTH_MAX`] levels.
pub fn table_contents(table: &FieldTable) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in table {
        out.push(u8::try_from(name.as_str().len()).unwrap_or(u8::MAX));
        out.extend(name.as_str().bytes().take(u8::MAX.into()));
        put_owned(&mut out, value);
    }
    out
}

fn put_owned(out: &mut Vec<u8>, value: &AMQPValue) {
    let nested;
    let value = match value {
        AMQPValue::Boolean(value) => ValueRef::Bool(*value),
        AMQPValue::ShortShortInt(value) => ValueRef::I8(*value),
        AMQPValue::ShortShortUInt(value) => ValueRef::U8(*value),
        AMQPValue::ShortInt(value) => ValueRef::I16(*value),
        AMQPValue::ShortUInt(value) => ValueRef::U16(*value),
        AMQPValue::LongInt(value) => ValueRef::I32(*value),
        AMQPValue::LongUInt(value) => ValueRef::U32(*value),
        AMQPValue::LongLongInt(value) => ValueRef::I64(*value),
        AMQPValue::Float(value) => ValueRef::F32(*value),
        AMQPValue::Double(value) => ValueRef::F64(*value),
        AMQPValue::DecimalValue(decimal) => ValueRef::Decimal { scale: decimal.scale, value: decimal.value },
        // Has no letter in RabbitMQ's dialect.
        AMQPValue::ShortString(text) => ValueRef::LongString(text.as_str().as_bytes()),
        AMQPValue::LongString(text) => ValueRef::LongString(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => ValueRef::Bytes(bytes.as_slice()),
        AMQPValue::Timestamp(value) => ValueRef::Timestamp(*value),
        AMQPValue::FieldTable(table) => {
            nested = table_contents(table);
            ValueRef::Table(TableRef::assume_valid(&nested))
        }
        AMQPValue::FieldArray(array) => {
            let mut contents = Vec::new();
            for item in array.as_slice() {
                put_owned(&mut contents, item);
            }
            nested = contents;
            ValueRef::Array(ArrayRef::assume_valid(&nested))
        }
        AMQPValue::Void => ValueRef::Void,
    };
    put_value(out, value);
}

/// A copy of `table`'s contents with changes: each name is removed (`None`) or given a new value. Other entries
/// keep their bytes and order; a replacement keeps its entry's position, a new entry is appended. Later entries
/// with a changed name are removed.
pub fn rewrite(table: TableRef<'_>, changes: &[(&str, Option<ValueRef<'_>>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(table.contents().len() + 64);
    let mut seen = vec![false; changes.len()];
    let mut entries = table.iter();
    while let Some((name, _, raw)) = entries.next_raw() {
        let Some(index) = changes.iter().position(|(changed, _)| changed.as_bytes() == name) else {
            out.extend(raw);
            continue;
        };
        if let (Some(value), false) = (changes[index].1, seen[index]) {
            put_entry(&mut out, name, value);
        }
        seen[index] = true;
    }
    for ((name, value), seen) in changes.iter().zip(seen) {
        if let (Some(value), false) = (value, seen) {
            put_entry(&mut out, name.as_bytes(), *value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{table, value};
    use amq_protocol::types::generation::gen_field_table;
    use proptest::prelude::*;

    #[test]
    fn rewrite_replaces_in_place_removes_and_appends() {
        let before = b"\x01at\x01\x01bV\x01ct\0\x01bV\x01dV";
        let after = rewrite(
            TableRef::new(before).unwrap(),
            &[("b", Some(ValueRef::U8(7))), ("d", None), ("e", Some(ValueRef::I8(-1))), ("f", None)],
        );
        assert_eq!(after, b"\x01at\x01\x01bB\x07\x01ct\0\x01eb\xff");
    }

    proptest! {
        #[test]
        fn table_contents_agree_with_amq_protocol(table in table()) {
            let theirs = gen_field_table(&table)(Vec::new().into()).unwrap().into_inner().0;
            prop_assert_eq!(&table_contents(&table)[..], &theirs[4..]);
        }

        #[test]
        fn rewrite_does_what_insert_and_remove_do(table in table(), name in "[a-z]{0,2}", change in prop::option::of(value())) {
            let contents = table_contents(&table);
            let mut encoded = vec![0];
            let change_ref = change.as_ref().map(|value| {
                put_owned(&mut encoded, value);
                TableRef::assume_valid(&encoded).iter().next().unwrap().1
            });
            let after = rewrite(TableRef::assume_valid(&contents), &[(&name, change_ref)]);
            let mut want = table.inner().clone();
            match change {
                Some(value) => want.insert(name.as_str().into(), value),
                None => want.remove(name.as_str()),
            };
            prop_assert_eq!(TableRef::new(&after).unwrap().to_field_table().unwrap(), FieldTable::from(want));
        }
    }
}
