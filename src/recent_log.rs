//! The last lines of the log, for remote viewers.
//!
//! Invariants: never more than [`LINES_MAX`] lines and [`BYTES_MAX`] bytes; line numbers increase by one and are
//! unique in a process.
//! Absent: log output to standard error, and the JSON form of a line.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::Level;

/// Lines kept, at most.
pub const LINES_MAX: usize = 1_000;

/// Bytes of text kept, fields included, at most.
pub const BYTES_MAX: usize = 1 << 20;

/// Bytes of a line's message and of each field; longer text is truncated.
const TEXT_BYTES_MAX: usize = 4_096;

/// Fields per line.
const FIELDS_MAX: usize = 32;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in this process, from 1.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// Severity.
    pub level: Level,
    /// The module that wrote it.
    pub target: &'static str,
    /// The message.
    pub message: String,
    /// Fields, such as `peer`, `vhost`, `queue`.
    pub fields: Vec<(&'static str, String)>,
}

impl Line {
    /// An empty line; it is numbered when kept.
    pub fn new(timestamp: u64, level: Level, target: &'static str) -> Self {
        Self { seq: 0, timestamp, level, target, message: String::new(), fields: Vec::new() }
    }

    /// Adds a field; the field `message` is the message.
    pub fn add(&mut self, name: &'static str, mut text: String) {
        if text.len() > TEXT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        if name == "message" {
            self.message = text;
        } else if self.fields.len() < FIELDS_MAX {
            self.fields.push((name, text));
        }
    }

    fn bytes(&self) -> usize {
        let fields: usize = self.fields.iter().map(|(name, text)| name.len() + text.len()).sum();
        self.target.len() + self.message.len() + fields
    }
}

/// The last lines.
#[derive(Debug)]
pub struct RecentLog {
    lines: Mutex<Lines>,
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Arc<Line>>,
    bytes: usize,
    given: u64,
}

impl Default for RecentLog {
    fn default() -> Self {
        Self { lines: Mutex::default(), latest: watch::Sender::new(0) }
    }
}

impl RecentLog {
    /// Keeps a line, dropping the oldest ones if there is no room.
    pub fn keep(&self, mut line: Line) {
        let mut lines = self.lines.lock();
        lines.given += 1;
        line.seq = lines.given;
        lines.bytes += line.bytes();
        lines.kept.push_back(Arc::new(line));
        while lines.kept.len() > LINES_MAX || lines.bytes > BYTES_MAX {
            let Some(gone) = lines.kept.pop_front() else { break };
            lines.bytes -= gone.bytes();
        }
        self.latest.send_replace(lines.given);
    }

    /// Lines after number `after`, at least as severe as `level`, oldest first.
    pub fn after(&self, after: u64, level: Level) -> Vec<Arc<Line>> {
        let lines = self.lines.lock();
        let start = lines.kept.partition_point(|line| line.seq <= after);
        lines.kept.range(start..).filter(|line| line.level <= level).cloned().collect()
    }

    /// The number of the latest line, and its updates.
    pub fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, message: &str) -> Line {
        let mut line = Line::new(1, level, "test");
        line.add("message", message.to_owned());
        line
    }

    #[test]
    fn the_oldest_lines_go_when_there_are_too_many() {
        let log = RecentLog::default();
        for _ in 0..LINES_MAX + 7 {
            log.keep(line(Level::INFO, "x"));
        }
        let kept = log.after(0, Level::TRACE);
        assert_eq!((kept.len(), kept[0].seq), (LINES_MAX, 8));
        assert_eq!(log.after(1_000, Level::INFO).len(), 7);
        assert_eq!(*log.latest().borrow(), LINES_MAX as u64 + 7);
    }

    #[test]
    fn long_lines_are_cut_and_all_together_are_bounded() {
        let log = RecentLog::default();
        for _ in 0..LINES_MAX {
            log.keep(line(Level::INFO, &"\u{e9}".repeat(TEXT_BYTES_MAX)));
        }
        let kept = log.after(0, Level::TRACE);
        assert!(kept.iter().all(|line| line.message.len() == TEXT_BYTES_MAX));
        assert!(kept.len() * TEXT_BYTES_MAX <= BYTES_MAX && kept.len() > 200);
    }

    #[test]
    fn a_level_asks_for_lines_that_are_as_grave() {
        let log = RecentLog::default();
        for level in [Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR] {
            log.keep(line(level, "x"));
        }
        assert_eq!(log.after(0, Level::WARN).len(), 2);
        assert_eq!(log.after(0, Level::ERROR).len(), 1);
    }
}
