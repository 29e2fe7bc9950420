//! A file's contents before interpretation: values with their lines, whatever the file's language.

/// Maximum nesting; deeper files are refused.
pub(super) const DEPTH_MAX: usize = 80;

/// Maximum values per file, aliases counted as often as they are used.
pub(super) const NODES_MAX: usize = 4_000_000;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) content: Content,
}

/// A node's content.
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

/// May be a password, so the number is not repeated.
pub(super) const OUT_OF_RANGE: &str = "the number is out of range; a text needs quotes";

impl Content {
    /// The integer in `digits`, signed or not; `None` if it is none, or exceeds 64 bits.
    pub(super) fn whole(digits: &str, radix: u32) -> Option<Self> {
        let signed = i64::from_str_radix(digits, radix).map(Self::Whole);
        signed.or_else(|_| u64::from_str_radix(digits, radix).map(Self::Large)).ok()
    }
}

/// A map key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) line: usize,
    pub(super) text: String,
}

/// An error in a file, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// From 1; 0 if it concerns the whole file.
    pub(super) line: usize,
    /// The keys that lead to the error.
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
