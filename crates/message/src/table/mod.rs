//! Field tables and arrays as raw bytes, read in place.
//!
//! A table is kept in its encoded form; [`TableRef`] and [`ArrayRef`] walk it. [`validate`] checks a whole table
//! once, without recursion; walking unchecked bytes is safe too, and ends at the first malformed ones. The type
//! letters are RabbitMQ's (`S I i D T F A b B s u d f l L t x V`), where `s` is a 16-bit integer and both `l` and
//! `L` are signed 64-bit. Names need not be UTF-8 here, as in RabbitMQ; they must be for conversion to a
//! [`FieldTable`]. Of entries with equal names the first counts, as in RabbitMQ.

mod check;
pub mod edit;

use thiserror::Error;

use crate::cursor::Cursor;
use crate::values::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
pub use check::{validate, validate_text_names};

/// Levels of tables and arrays in a converted table, the outermost included: arguments and client properties. Our
/// choice: bounds the recursion of converting, comparing, printing and dropping them, and the nesting of
/// definitions in JSON, YAML and TOML. Headers of messages are bounded by their frame only.
pub const DEPTH_MAX: usize = 64;

/// Why bytes are not a valid table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// A length or value exceeds its container.
    #[error("field table is shorter than its contents say")]
    Truncated,
    /// A type letter unknown to RabbitMQ, too.
    #[error("unknown field type {0:#04x}")]
    UnknownType(u8),
    /// Deeper than [`DEPTH_MAX`].
    #[error("field table is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// A field's name is not UTF-8.
    #[error("field name is not UTF-8")]
    NameNotUtf8,
}

/// One value of a table or an array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l` or `L`
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: `value` with `scale` decimal digits.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// `S`
    LongString(&'a [u8]),
    /// `x`
    Bytes(&'a [u8]),
    /// `T`, in seconds since the Unix epoch.
    Timestamp(u64),
    /// `F`
    Table(TableRef<'a>),
    /// `A`
    Array(ArrayRef<'a>),
    /// `V`
    Void,
}

impl<'a> ValueRef<'a> {
    /// The value of an integer of any width and sign; no other type is one (a boolean, a timestamp are not).
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Self::I8(value) => Some(value.into()),
            Self::U8(value) => Some(value.into()),
            Self::I16(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::I32(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::I64(value) => Some(value),
            _ => None,
        }
    }

    /// The bytes of a long string.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::LongString(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a long string that is UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// A boolean.
    pub fn as_bool(self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A table.
    pub fn as_table(self) -> Option<TableRef<'a>> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// An array.
    pub fn as_array(self) -> Option<ArrayRef<'a>> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    fn convert(self, depth: usize) -> Result<AMQPValue, TableError> {
        Ok(match self {
            Self::Bool(value) => AMQPValue::Boolean(value),
            Self::I8(value) => AMQPValue::ShortShortInt(value),
            Self::U8(value) => AMQPValue::ShortShortUInt(value),
            Self::I16(value) => AMQPValue::ShortInt(value),
            Self::U16(value) => AMQPValue::ShortUInt(value),
            Self::I32(value) => AMQPValue::LongInt(value),
            Self::U32(value) => AMQPValue::LongUInt(value),
            Self::I64(value) => AMQPValue::LongLongInt(value),
            Self::F32(value) => AMQPValue::Float(value),
            Self::F64(value) => AMQPValue::Double(value),
            Self::Decimal { scale, value } => AMQPValue::DecimalValue(DecimalValue { scale, value }),
            Self::LongString(bytes) => AMQPValue::LongString(bytes.into()),
            Self::Bytes(bytes) => AMQPValue::ByteArray(bytes.into()),
            Self::Timestamp(value) => AMQPValue::Timestamp(value),
            Self::Table(_) | Self::Array(_) if depth == DEPTH_MAX => AMQPValue::Void,
            Self::Table(table) => AMQPValue::FieldTable(table.convert(depth + 1)?),
            Self::Array(array) => AMQPValue::FieldArray(array.convert(depth + 1)?),
            Self::Void => AMQPValue::Void,
        })
    }
}

/// A table's contents, without the four-octet length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableRef<'a> {
    bytes: &'a [u8],
}

impl<'a> TableRef<'a> {
    /// Validates `contents` (without length prefix) as a table.
    pub fn new(contents: &'a [u8]) -> Result<Self, TableError> {
        validate(contents)?;
        Ok(Self { bytes: contents })
    }

    /// Wraps `contents` validated before, such as the headers of an accepted message.
    #[inline]
    pub fn assume_valid(contents: &'a [u8]) -> Self {
        Self { bytes: contents }
    }

    /// The contents, without length prefix.
    pub fn contents(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there is no entry.
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Its entries in order, as name and value. Stops at malformed bytes.
    #[inline]
    pub fn iter(self) -> TableIter<'a> {
        TableIter { rest: Cursor::new(self.bytes) }
    }

    /// The value of the first entry with that name. Walks the table.
    pub fn get(self, name: &str) -> Option<ValueRef<'a>> {
        self.iter().find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
    }

    /// An owned copy in `amq-protocol`'s type, sorted by name. Levels below [`DEPTH_MAX`] become void.
    pub fn to_field_table(self) -> Result<FieldTable, TableError> {
        validate(self.bytes)?;
        self.convert(1)
    }

    fn convert(self, depth: usize) -> Result<FieldTable, TableError> {
        let mut table = FieldTable::default();
        for (name, value) in self {
            let name = std::str::from_utf8(name).map_err(|_| TableError::NameNotUtf8)?;
            if !table.contains_key(name) {
                table.insert(ShortString::from(name), value.convert(depth)?);
            }
        }
        Ok(table)
    }
}

impl<'a> IntoIterator for TableRef<'a> {
    type Item = (&'a [u8], ValueRef<'a>);
    type IntoIter = TableIter<'a>;

    fn into_iter(self) -> TableIter<'a> {
        self.iter()
    }
}

/// Iterates over a table's entries.
#[derive(Clone, Debug)]
pub struct TableIter<'a> {
    rest: Cursor<'a>,
}

impl<'a> TableIter<'a> {
    /// The next entry with its encoded bytes.
    #[inline]
    pub(crate) fn next_raw(&mut self) -> Option<(&'a [u8], ValueRef<'a>, &'a [u8])> {
        let before = self.rest.rest();
        let name = self.rest.short()?;
        let value = read_value(&mut self.rest)?;
        let raw = &before[..before.len() - self.rest.rest().len()];
        Some((name, value, raw))
    }
}

impl<'a> Iterator for TableIter<'a> {
    type Item = (&'a [u8], ValueRef<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_raw().map(|(name, value, _)| (name, value))
    }
}

/// An array's contents, without the four-octet length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArrayRef<'a> {
    bytes: &'a [u8],
}

impl<'a> ArrayRef<'a> {
    /// Wraps `contents` (without length prefix) validated before or built here.
    #[inline]
    pub fn assume_valid(contents: &'a [u8]) -> Self {
        Self { bytes: contents }
    }

    /// The contents, without length prefix.
    pub fn contents(self) -> &'a [u8] {
        self.bytes
    }

    /// Its values in order. Stops at malformed bytes.
    #[inline]
    pub fn iter(self) -> ArrayIter<'a> {
        ArrayIter { rest: Cursor::new(self.bytes) }
    }

    fn convert(self, depth: usize) -> Result<FieldArray, TableError> {
        let mut array = FieldArray::default();
        for value in self {
            array.push(value.convert(depth)?);
        }
        Ok(array)
    }
}

impl<'a> IntoIterator for ArrayRef<'a> {
    type Item = ValueRef<'a>;
    type IntoIter = ArrayIter<'a>;

    fn into_iter(self) -> ArrayIter<'a> {
        self.iter()
    }
}

/// Iterates over an array's values.
#[derive(Clone, Debug)]
pub struct ArrayIter<'a> {
    rest: Cursor<'a>,
}

impl<'a> Iterator for ArrayIter<'a> {
    type Item = ValueRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<ValueRef<'a>> {
        read_value(&mut self.rest)
    }
}

/// Parses a type letter and its value; nested containers are returned unparsed.
#[inline]
pub(super) fn read_value<'a>(rest: &mut Cursor<'a>) -> Option<ValueRef<'a>> {
    Some(match rest.u8()? {
        b'S' => ValueRef::LongString(rest.long()?),
        b't' => ValueRef::Bool(rest.u8()? != 0),
        b'b' => ValueRef::I8(rest.u8()?.cast_signed()),
        b'B' => ValueRef::U8(rest.u8()?),
        b's' => ValueRef::I16(rest.u16()?.cast_signed()),
        b'u' => ValueRef::U16(rest.u16()?),
        b'I' => ValueRef::I32(rest.u32()?.cast_signed()),
        b'i' => ValueRef::U32(rest.u32()?),
        b'l' | b'L' => ValueRef::I64(rest.u64()?.cast_signed()),
        b'f' => ValueRef::F32(f32::from_bits(rest.u32()?)),
        b'd' => ValueRef::F64(f64::from_bits(rest.u64()?)),
        b'D' => ValueRef::Decimal { scale: rest.u8()?, value: rest.u32()? },
        b'x' => ValueRef::Bytes(rest.long()?),
        b'T' => ValueRef::Timestamp(rest.u64()?),
        b'F' => ValueRef::Table(TableRef { bytes: rest.long()? }),
        b'A' => ValueRef::Array(ArrayRef { bytes: rest.long()? }),
        b'V' => ValueRef::Void,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::edit::table_contents;
    use crate::testing::table;
    use amq_protocol::types::parsing::parse_field_table;
    use proptest::prelude::*;

    #[test]
    fn all_integer_widths_read_as_one_and_nothing_else_does() {
        let contents =
            b"\x01ab\xff\x01bB\xff\x01cs\xff\xfe\x01du\xff\xff\x01eI\xff\xff\xff\xff\x01fi\xff\xff\xff\xff\
            \x01gl\0\0\0\0\0\0\0\x09\x01hL\xff\xff\xff\xff\xff\xff\xff\xfd\x01it\x01\x01jT\0\0\0\0\0\0\0\x01";
        let table = TableRef::new(contents).unwrap();
        for (name, want) in [
            ("a", Some(-1)),
            ("b", Some(255)),
            ("c", Some(-2)),
            ("d", Some(65_535)),
            ("e", Some(-1)),
            ("f", Some(4_294_967_295)),
            ("g", Some(9)),
            ("h", Some(-3)),
            ("i", None),
            ("j", None),
        ] {
            assert_eq!(table.get(name).unwrap().as_i64(), want, "{name}");
        }
        assert_eq!(table.get("z"), None);
        assert_eq!(validate(contents), Ok(10));
    }

    #[test]
    fn first_of_two_equal_names_counts() {
        let table = TableRef::new(b"\x01at\x01\x01at\0").unwrap();
        assert_eq!(table.get("a"), Some(ValueRef::Bool(true)));
        assert_eq!(table.to_field_table().unwrap().inner().get("a"), Some(&AMQPValue::Boolean(true)));
    }

    #[test]
    fn name_that_is_not_utf8_can_be_read_but_not_converted() {
        let table = TableRef::new(b"\x01\xffV").unwrap();
        assert_eq!(table.iter().next(), Some((&b"\xff"[..], ValueRef::Void)));
        assert_eq!(table.to_field_table(), Err(TableError::NameNotUtf8));
    }

    #[test]
    fn what_is_deeper_than_can_be_converted_is_void() {
        let mut contents: Vec<u8> = b"\x01nt\x01".to_vec();
        for _ in 0..10_000 {
            let length = u32::try_from(contents.len()).unwrap().to_be_bytes();
            contents = [&b"\x01nF"[..], &length, &contents].concat();
        }
        let mut table = TableRef::new(&contents).unwrap().to_field_table().unwrap();
        let mut levels = 1;
        while let Some(AMQPValue::FieldTable(inner)) = table.inner().get("n") {
            table = inner.clone();
            levels += 1;
        }
        assert_eq!((levels, table.inner().get("n")), (DEPTH_MAX, Some(&AMQPValue::Void)));
    }

    proptest! {
        #[test]
        fn a_table_reads_as_amq_protocol_reads_it(table in table()) {
            let contents = table_contents(&table);
            let raw = TableRef::new(&contents).unwrap();
            prop_assert_eq!(raw.iter().count(), table.inner().len());
            prop_assert_eq!(&raw.to_field_table().unwrap(), &table);
            let mut prefixed = u32::try_from(contents.len()).unwrap().to_be_bytes().to_vec();
            prefixed.extend(&contents);
            let (rest, theirs) = parse_field_table(&prefixed[..]).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(theirs, table);
        }

        #[test]
        fn random_bytes_are_refused_exactly_when_amq_protocol_refuses_them(
            bytes in prop::collection::vec(prop_oneof![
                4 => Just(0u8), 2 => 1u8..6,
                4 => prop::sample::select(b"StbBsuIilLfdDxTFAV".to_vec()), 1 => any::<u8>()], 0..40)
        ) {
            let mut prefixed = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
            prefixed.extend(&bytes);
            let ours = TableRef::new(&bytes).and_then(TableRef::to_field_table);
            // Only they know 'U'; of two equal names, each side may pick another.
            match (ours, parse_field_table(&prefixed[..])) {
                (Err(TableError::UnknownType(b'U')) | Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
            }
        }

        #[test]
        fn walking_unchecked_bytes_ends(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let table = TableRef::assume_valid(&bytes);
            prop_assert!(table.iter().count() <= bytes.len());
            prop_assert!(ArrayRef::assume_valid(&bytes).iter().count() <= bytes.len());
            let _ = table.get("a");
        }
    }
}
