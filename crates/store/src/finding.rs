//! What is found wrong with files when a store is opened.

use std::fmt;

use leveret_message::QueueId;

/// A problem found when a store was opened. What it does not name is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file, relative to the data folder.
    pub file: String,
    /// Offset in bytes, if known.
    pub offset: Option<u64>,
    /// The affected queue, if known.
    pub queue: Option<QueueId>,
    /// Number of messages or records affected, if known; otherwise 0.
    pub count: u64,
    /// What is wrong and what was done about it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(offset) = self.offset {
            write!(f, ", offset {offset}")?;
        }
        if let Some(queue) = self.queue {
            write!(f, ", {queue}")?;
        }
        write!(f, ": {}", self.what)
    }
}
