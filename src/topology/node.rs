//! What a file holds, before it is understood: values with the lines they stand on, whatever the
//! language they were written in.

/// Nested deeper, a file is refused.
pub(super) const DEPTH_MAX: usize = 80;

/// Values in one file, aliases counted as often as they are used.
pub(super) const NODES_MAX: usize = 4_000_000;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) content: Content,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Null,
    Bool(bool),
    Whole(i64),
    /// A whole number above `i64::MAX`.
    Large(u64),
    Broken(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// It may be a password, so it is not repeated.
pub(super) const OUT_OF_RANGE: &str = "the number is out of range; a text needs quotes";

impl Content {
    /// The whole number that `digits` are, with a sign or without; `None`: they are none, or have more than 64 bits.
    pub(super) fn whole(digits: &str, radix: u32) -> Option<Self> {
        let signed = i64::from_str_radix(digits, radix).map(Self::Whole);
        signed.or_else(|_| u64::from_str_radix(digits, radix).map(Self::Large)).ok()
    }
}

/// What a value is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) line: usize,
    pub(super) text: String,
}

/// Why something in a file cannot be used, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Counted from 1; 0 if it is about the whole file.
    pub(super) line: usize,
    /// Keys that lead there.
    pub(super) path: Vec<String>,
    pub(super) why: String,
}

impl Wrong {
    pub(super) fn at(line: usize, why: impl Into<String>) -> Self {
        Self { line, path: Vec::new(), why: why.into() }
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path.join("."))?;
        }
        f.write_str(&self.why)
    }
}

impl std::error::Error for Wrong {}
