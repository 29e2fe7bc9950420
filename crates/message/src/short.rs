//! Texts of at most 255 bytes: the limit of AMQP's short strings, the log's records and deliveries.
//!
//! Invariant: no value is longer, however it was made; so nothing that takes one can fail because of its length.
//! Absent: what the text names; whether it is UTF-8 (checked on entry).

use std::fmt;

/// Longest short string in bytes: its length is one octet (AMQP 0-9-1, 4.2.5.3).
pub const SHORT_BYTES_MAX: usize = u8::MAX as usize;

/// At most 255 bytes, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Short<'a>(&'a [u8]);

impl<'a> Short<'a> {
    /// Empty: the default exchange or an empty key.
    pub const EMPTY: Short<'static> = Short(&[]);

    /// `None`: too long.
    pub const fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() <= SHORT_BYTES_MAX { Some(Self(bytes)) } else { None }
    }

    /// A text of the program's own.
    ///
    /// # Panics
    /// If it is too long: a bug that its author sees.
    pub const fn literal(text: &'static str) -> Short<'static> {
        match Short::new(text.as_bytes()) {
            Some(short) => short,
            None => panic!("a literal of more than 255 bytes"),
        }
    }

    /// The bytes.
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Length in bytes.
    pub const fn count(self) -> u8 {
        #[expect(clippy::cast_possible_truncation, reason = "checked when it was made")]
        {
            self.0.len() as u8
        }
    }
}

/// A text of at most 255 bytes, owned.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ShortText(Box<str>);

impl ShortText {
    /// `None`: too long.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= SHORT_BYTES_MAX).then(|| Self(text.into()))
    }

    /// The text.
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, borrowed.
    pub const fn short(&self) -> Short<'_> {
        Short(self.0.as_bytes())
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The location of a short string in other bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShortRange {
    /// Offset of its first byte.
    pub start: u32,
    /// Length in bytes.
    pub count: u8,
}

impl ShortRange {
    /// Offset behind its last byte.
    pub const fn end(self) -> u32 {
        self.start.saturating_add(self.count as u32)
    }
}

/// The longest prefix of `text` that has at most 255 bytes and ends at a character boundary.
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHORT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_longer_than_255_bytes_is_short() {
        let long = "é".repeat(128);
        assert_eq!(Short::new(long.as_bytes()), None);
        assert_eq!(ShortText::new(&long), None);
        assert_eq!(cut(&long).len(), 254);
        let fits = "a".repeat(255);
        assert_eq!(Short::new(fits.as_bytes()).map(Short::count), Some(255));
        assert_eq!(cut(&fits), fits);
    }
}
