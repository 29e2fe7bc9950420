//! Field-table values: borrowed as in a message, owned as in arguments.
//!
//! Two equalities, never mixed: [`Value`] compares meaning (any integer width, 1 equals 1.0), as headers exchanges
//! match; [`OwnedValue`] compares type and value, as bindings are identified.

use std::hash::{Hash, Hasher};

use crate::Args;

/// A header's value as encoded in a message. Compared by value: integers of all widths and timestamps are one type, a
/// float equals the integer it represents exactly, a string never equals a number.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// No value (`V`). In a binding: the header need only be present.
    Void,
    /// `t`.
    Bool(bool),
    /// Every integer type and timestamps, if in range; larger ones become [`Value::Other`].
    Int(i64),
    /// `f` and `d`.
    Float(f64),
    /// Long strings (`S`) and byte arrays (`x`).
    Str(&'a [u8]),
    /// Anything else, compared byte for byte.
    Other {
        /// The type byte on the wire.
        kind: u8,
        /// The payload after the type byte; for tables and arrays without their four-byte length.
        raw: &'a [u8],
    },
}

impl Value<'_> {
    /// The value in its canonical form for comparison: integral floats become integers.
    fn canonical(self) -> Self {
        match self {
            Self::Float(float) => exact_integer(float).map_or(self, Self::Int),
            other => other,
        }
    }
}

/// A decimal (`D`) as compared, in messages and in bindings alike.
pub fn decimal(scale: u8, unscaled: u32) -> f64 {
    f64::from(unscaled) / 10_f64.powi(i32::from(scale))
}

/// The integer that a float represents exactly, if any.
fn exact_integer(float: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "integral and within i64 by the check before")]
    (float.fract() == 0.0 && (-BOUND..BOUND).contains(&float)).then_some(float as i64)
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self.canonical(), other.canonical()) {
            (Value::Void, Value::Void) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::Other { kind: a, raw: x }, Value::Other { kind: b, raw: y }) => a == b && x == y,
            _ => false,
        }
    }
}

impl Eq for Value<'_> {}

impl Hash for Value<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.canonical() {
            Value::Void => 0_u8.hash(state),
            Value::Bool(value) => (1_u8, value).hash(state),
            Value::Int(value) => (2_u8, value).hash(state),
            Value::Float(value) => (3_u8, value.to_bits()).hash(state),
            Value::Str(bytes) => (4_u8, bytes).hash(state),
            Value::Other { kind, raw } => (5_u8, kind, raw).hash(state),
        }
    }
}

/// An argument value with its original type byte, so that it can be returned unchanged.
///
/// Nested values recurse on drop and encoding: whoever builds them bounds their depth.
#[derive(Clone, Debug)]
pub enum OwnedValue {
    /// `V`.
    Void,
    /// `t`.
    Bool(bool),
    /// `b` `B` `s` `u` `I` `i` `l` `L` and `T` (timestamp).
    Int {
        /// The type byte on the wire.
        kind: u8,
        /// The value.
        value: i64,
    },
    /// `f` and `d`.
    Float {
        /// The type byte on the wire.
        kind: u8,
        /// The value; an `f` is widened.
        value: f64,
    },
    /// `S` and `x`.
    Str {
        /// The type byte on the wire.
        kind: u8,
        /// The bytes, which need not be UTF-8.
        bytes: Box<[u8]>,
    },
    /// `A`.
    Array(Vec<OwnedValue>),
    /// `F`.
    Table(Args),
    /// Decimals, integers above `i64::MAX`, and unknown types.
    Other {
        /// The type byte on the wire.
        kind: u8,
        /// The payload after the type byte.
        raw: Box<[u8]>,
    },
}

impl OwnedValue {
    /// A long string.
    pub fn text(text: &str) -> Self {
        Self::Str { kind: b'S', bytes: text.as_bytes().into() }
    }

    /// A 64-bit integer (`l`).
    pub const fn int(value: i64) -> Self {
        Self::Int { kind: b'l', value }
    }

    /// The type byte on the wire.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Void => b'V',
            Self::Bool(_) => b't',
            Self::Array(_) => b'A',
            Self::Table(_) => b'F',
            Self::Int { kind, .. }
            | Self::Float { kind, .. }
            | Self::Str { kind, .. }
            | Self::Other { kind, .. } => *kind,
        }
    }

    /// `RabbitMQ`'s name for the type in its error texts.
    pub const fn kind_name(&self) -> &'static str {
        match self.kind() {
            b'V' => "void",
            b't' => "bool",
            b'b' => "byte",
            b'B' => "unsignedbyte",
            b's' => "short",
            b'u' => "unsignedshort",
            b'I' => "signedint",
            b'i' => "unsignedint",
            b'l' | b'L' => "long",
            b'T' => "timestamp",
            b'f' => "float",
            b'd' => "double",
            b'S' => "longstr",
            b'x' => "binary",
            b'D' => "decimal",
            b'A' => "array",
            b'F' => "table",
            _ => "unknown",
        }
    }

    /// The text of a long string that is UTF-8; `None` for any other value.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Str { kind: b'S', bytes } => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The integer, of any width; timestamps do not count.
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int { kind: b'T', .. } => None,
            Self::Int { value, .. } => Some(*value),
            _ => None,
        }
    }

    /// The value in the form used for header comparison. `nested` holds the bytes of a table or array.
    pub(crate) fn as_value<'a>(&'a self, nested: &'a mut Vec<u8>) -> Value<'a> {
        match self {
            Self::Array(_) | Self::Table(_) => {
                nested.clear();
                self.encode_items(nested);
                Value::Other { kind: self.kind(), raw: nested }
            }
            plain => plain.as_plain(),
        }
    }

    /// The same for anything but tables and arrays, which become [`Value::Void`].
    pub(crate) fn as_plain(&self) -> Value<'_> {
        match self {
            Self::Void | Self::Array(_) | Self::Table(_) => Value::Void,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int { value, .. } => Value::Int(*value),
            Self::Float { value, .. } => Value::Float(*value),
            Self::Str { bytes, .. } => Value::Str(bytes),
            Self::Other { kind: b'D', raw } => match **raw {
                [scale, a, b, c, d] => Value::Float(decimal(scale, u32::from_be_bytes([a, b, c, d]))),
                _ => Value::Other { kind: b'D', raw },
            },
            Self::Other { kind, raw } => Value::Other { kind: *kind, raw },
        }
    }

    /// Appends the items of a table or array in wire form (spec 4.2.5.5), without the length.
    fn encode_items(&self, to: &mut Vec<u8>) {
        match self {
            Self::Array(items) => items.iter().for_each(|item| item.encode(to)),
            Self::Table(table) => {
                for (name, value) in table.iter_as_given() {
                    to.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
                    to.extend_from_slice(name);
                    value.encode(to);
                }
            }
            _ => self.encode(to),
        }
    }

    fn encode(&self, to: &mut Vec<u8>) {
        to.push(self.kind());
        match self {
            Self::Void => {}
            Self::Bool(value) => to.push(u8::from(*value)),
            Self::Int { kind, value } => {
                let width = match kind {
                    b'b' | b'B' => 1,
                    b's' | b'u' => 2,
                    b'I' | b'i' => 4,
                    _ => 8,
                };
                to.extend_from_slice(&value.to_be_bytes()[8 - width..]);
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "an f was widened from f32, so narrowing is exact"
            )]
            Self::Float { kind: b'f', value } => {
                to.extend_from_slice(&(*value as f32).to_be_bytes());
            }
            Self::Float { value, .. } => to.extend_from_slice(&value.to_be_bytes()),
            Self::Str { bytes, .. } => {
                push_length(to, bytes.len());
                to.extend_from_slice(bytes);
            }
            Self::Array(_) | Self::Table(_) => {
                let start = to.len();
                push_length(to, 0);
                self.encode_items(to);
                let length = u32::try_from(to.len() - start - 4).unwrap_or(u32::MAX);
                to[start..start + 4].copy_from_slice(&length.to_be_bytes());
            }
            Self::Other { raw, .. } => to.extend_from_slice(raw),
        }
    }
}

fn push_length(to: &mut Vec<u8>, length: usize) {
    to.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

impl PartialEq for OwnedValue {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind()
            && match (self, other) {
                (Self::Void, Self::Void) => true,
                (Self::Bool(a), Self::Bool(b)) => a == b,
                (Self::Int { value: a, .. }, Self::Int { value: b, .. }) => a == b,
                (Self::Float { value: a, .. }, Self::Float { value: b, .. }) => a.to_bits() == b.to_bits(),
                (Self::Str { bytes: a, .. }, Self::Str { bytes: b, .. })
                | (Self::Other { raw: a, .. }, Self::Other { raw: b, .. }) => a == b,
                (Self::Array(a), Self::Array(b)) => a == b,
                (Self::Table(a), Self::Table(b)) => a == b,
                _ => false,
            }
    }
}

impl Eq for OwnedValue {}

impl Hash for OwnedValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind().hash(state);
        match self {
            Self::Void => {}
            Self::Bool(value) => value.hash(state),
            Self::Int { value, .. } => value.hash(state),
            Self::Float { value, .. } => value.to_bits().hash(state),
            Self::Str { bytes, .. } => bytes.hash(state),
            Self::Array(items) => items.hash(state),
            Self::Table(table) => table.hash(state),
            Self::Other { raw, .. } => raw.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_equality_ignores_width_and_integral_floats_but_not_type() {
        for (a, b, equal) in [
            (Value::Int(1), Value::Float(1.0), true),
            (Value::Int(0), Value::Float(-0.0), true),
            (Value::Int(1), Value::Float(1.5), false),
            (Value::Float(1.5), Value::Float(1.5), true),
            (Value::Int(i64::MAX), Value::Float(9.3e18), false),
            (Value::Int(1), Value::Str(b"1"), false),
            (Value::Bool(true), Value::Int(1), false),
            (Value::Void, Value::Void, true),
            (Value::Str(b"a"), Value::Other { kind: b'F', raw: b"a" }, false),
        ] {
            assert_eq!(a == b, equal, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_decimal_of_a_binding_is_what_one_of_a_message_is() {
        let owned = OwnedValue::Other { kind: b'D', raw: [2, 0, 0, 0, 125].into() };
        assert_eq!(owned.as_plain(), Value::Float(decimal(2, 125)));
        assert_eq!(owned.as_plain(), Value::Float(1.25));
        assert_ne!(owned.as_plain(), Value::Int(1));
    }

    #[test]
    fn owned_equality_minds_the_wire_type() {
        let int = |kind| OwnedValue::Int { kind, value: 7 };
        assert_eq!(int(b'l'), int(b'l'));
        assert_ne!(int(b'l'), int(b'I'));
    }

    #[test]
    fn nested_value_has_the_bytes_of_the_wire() {
        let inner = Args::from_iter([("n", OwnedValue::Int { kind: b's', value: -2 })]);
        let array = OwnedValue::Array(vec![OwnedValue::text("hi"), OwnedValue::Table(inner)]);
        let mut nested = Vec::new();
        let Value::Other { kind, raw } = array.as_value(&mut nested) else {
            panic!("an array is raw");
        };
        assert_eq!(kind, b'A');
        assert_eq!(raw, b"S\0\0\0\x02hiF\0\0\0\x05\x01ns\xff\xfe");
    }
}
