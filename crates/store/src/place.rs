//! Where a record lies in the log: what the log and its index both know.

/// A place in the log. Ordered as the log is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Place {
    /// The segment's number.
    pub(crate) segment: u32,
    /// Offset of the record's head in it, in bytes.
    pub(crate) offset: u32,
}
