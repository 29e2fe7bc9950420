//! Validation of a raw table before it is walked or converted: one pass, no recursion.

use super::{DEPTH_MAX, TableError, ValueRef, read_value};
use crate::cursor::Cursor;

/// Validates a table's contents (without length prefix) in one pass and returns the number of values at all
/// levels, of any depth: a message's headers are walked, not converted. Allocates only beyond six levels, some
/// bytes for each.
pub fn validate(contents: &[u8]) -> Result<usize, TableError> {
    Nested::default().walk(contents, usize::MAX, false)
}

/// As [`validate`], for tables to be converted: all names must be UTF-8, and at most [`DEPTH_MAX`] levels are
/// allowed.
pub fn validate_text_names(contents: &[u8]) -> Result<usize, TableError> {
    Nested::default().walk(contents, DEPTH_MAX, true)
}

/// Nesting depth that a walk handles without allocating: `x-death` has two.
const COMMON_DEPTH: usize = 6;

/// An enclosing container of a walk: the bytes after the inner one, and whether it is a table.
type Outer<'a> = (Cursor<'a>, bool);

/// The enclosing containers of a walk, without the innermost.
struct Nested<'a> {
    first: [Outer<'a>; COMMON_DEPTH],
    deeper: Vec<Outer<'a>>,
    count: usize,
}

impl Default for Nested<'_> {
    fn default() -> Self {
        Self { first: [(Cursor::new(&[]), false); COMMON_DEPTH], deeper: Vec::new(), count: 0 }
    }
}

impl<'a> Nested<'a> {
    fn enter(&mut self, outer: Outer<'a>) {
        match self.first.get_mut(self.count) {
            Some(place) => *place = outer,
            None => self.deeper.push(outer),
        }
        self.count += 1;
    }

    fn leave(&mut self) -> Option<Outer<'a>> {
        self.count = self.count.checked_sub(1)?;
        self.deeper.pop().or_else(|| self.first.get(self.count).copied())
    }

    fn walk(&mut self, contents: &'a [u8], depth_max: usize, text_names: bool) -> Result<usize, TableError> {
        let mut rest = Cursor::new(contents);
        let mut is_table = true;
        let mut values = 0;
        loop {
            while rest.is_empty() {
                match self.leave() {
                    Some(outer) => (rest, is_table) = outer,
                    None => return Ok(values),
                }
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
            if self.count + 1 >= depth_max {
                return Err(TableError::TooDeep);
            }
            self.enter((rest, is_table));
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
    fn depth_is_bounded_for_what_is_converted_only() {
        for letter in [b'F', b'A'] {
            validate_text_names(&nested(DEPTH_MAX, letter)).unwrap();
            for depth in [DEPTH_MAX + 1, DEPTH_MAX + 2, 5_000] {
                let contents = nested(depth, letter);
                assert_eq!(validate_text_names(&contents), Err(TableError::TooDeep));
                assert_eq!(validate(&contents), Ok(depth - 1));
                let cut = [&contents[..contents.len() - 1], b"?"].concat();
                assert!(validate(&cut).is_err(), "{depth}");
            }
        }
    }

    #[test]
    fn what_stands_behind_deep_containers_is_checked_too() {
        let mut contents = nested(100, b'F');
        contents.extend(b"\x01zI\0\0\0\x05");
        assert_eq!(validate(&contents), Ok(100));
        contents.extend(b"\x01y?");
        assert_eq!(validate(&contents), Err(TableError::UnknownType(b'?')));
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
