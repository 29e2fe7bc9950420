//! The check of a raw table before anyone walks or converts it: one pass, no recursion, no memory that grows with it.

use super::cursor::Cursor;
use super::table::{DEPTH_MAX, TableError, ValueRef, read_value};

/// Checks a table's contents (without the length in front) in one pass and returns how many values it holds on all
/// levels. Needs no memory that grows with the input.
pub fn validate(contents: &[u8]) -> Result<usize, TableError> {
    Nested::walk(Cursor::new(contents), true, false)
}

/// As [`validate`], and all names must be UTF-8.
pub(super) fn validate_text_names(contents: &[u8]) -> Result<usize, TableError> {
    Nested::walk(Cursor::new(contents), true, true)
}

/// As [`validate`], for what a single value holds.
pub(super) fn check_value(value: ValueRef<'_>) -> Result<(), TableError> {
    match value {
        ValueRef::Table(table) => Nested::walk(Cursor::new(table.contents()), true, false).map(|_| ()),
        ValueRef::Array(array) => Nested::walk(Cursor::new(array.contents()), false, false).map(|_| ()),
        _ => Ok(()),
    }
}

/// The containers that a walk is inside of: how much follows the container, and whether it is a table.
struct Nested<'a> {
    outer: [(Cursor<'a>, bool); DEPTH_MAX],
    depth: usize,
}

impl<'a> Nested<'a> {
    fn walk(mut rest: Cursor<'a>, mut is_table: bool, text_names: bool) -> Result<usize, TableError> {
        let mut stack = Self { outer: [(Cursor::new(&[]), false); DEPTH_MAX], depth: 1 };
        let mut values = 0;
        loop {
            while rest.is_empty() {
                stack.depth -= 1;
                if stack.depth == 0 {
                    return Ok(values);
                }
                (rest, is_table) = stack.outer[stack.depth];
            }
            if is_table {
                let name = rest.short().ok_or(TableError::Truncated)?;
                if text_names && std::str::from_utf8(name).is_err() {
                    return Err(TableError::NameNotUtf8);
                }
            }
            let letter = *rest.rest().first().ok_or(TableError::Truncated)?;
            if !b"StbBsuIilLfdDxTFAV".contains(&letter) {
                return Err(TableError::UnknownType(letter));
            }
            values += 1;
            let (inner, inner_is_table) = match read_value(&mut rest).ok_or(TableError::Truncated)? {
                ValueRef::Table(table) => (table.contents(), true),
                ValueRef::Array(array) => (array.contents(), false),
                _ => continue,
            };
            if stack.depth == DEPTH_MAX {
                return Err(TableError::TooDeep);
            }
            stack.outer[stack.depth] = (rest, is_table);
            stack.depth += 1;
            (rest, is_table) = (Cursor::new(inner), inner_is_table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize, letter: u8) -> Vec<u8> {
        let mut contents = Vec::new();
        for level in 1..depth {
            let mut outer =
                if level < depth - 1 && letter == b'A' { vec![letter] } else { vec![1, b'n', letter] };
            outer.extend(u32::try_from(contents.len()).unwrap().to_be_bytes());
            outer.append(&mut contents);
            contents = outer;
        }
        contents
    }

    #[test]
    fn depth_is_bounded() {
        for letter in [b'F', b'A'] {
            validate(&nested(DEPTH_MAX, letter)).unwrap();
            assert_eq!(validate(&nested(DEPTH_MAX + 1, letter)), Err(TableError::TooDeep));
            assert_eq!(validate(&nested(20_000, letter)), Err(TableError::TooDeep));
        }
    }

    #[test]
    fn bad_tables_are_named() {
        for (contents, want) in [
            (&b"\x05ab"[..], TableError::Truncated),
            (b"\x01a", TableError::Truncated),
            (b"\x01aS\0\0\0\x05abcd", TableError::Truncated),
            (b"\x01aI\0\0\0", TableError::Truncated),
            (b"\x01aU\0\0", TableError::UnknownType(b'U')),
            (b"\x01aF\0\0\0\x02\x05a", TableError::Truncated),
            (b"\x01aA\0\0\0\x01z", TableError::UnknownType(b'z')),
            (b"\x01aF\xff\xff\xff\xff", TableError::Truncated),
        ] {
            assert_eq!(validate(contents), Err(want), "{contents:?}");
        }
    }
}
