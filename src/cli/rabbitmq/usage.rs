//! How a command is called: its name, words and options, without what it does.

use super::Tool;

/// How a command is called.
pub(super) struct Usage {
    pub(super) name: &'static str,
    /// Initials of the tools that have it: the second parts of their names.
    pub(super) tools: &'static str,
    /// Usage after the name.
    pub(super) after: &'static str,
    /// Minimum and maximum number of words.
    pub(super) words: (usize, usize),
    /// Its own options.
    pub(super) options: &'static [&'static str],
}

impl Usage {
    /// The usage line.
    pub(super) fn line(&self, tool: Tool) -> String {
        format!("{} [--node <node>] [--longnames] [--quiet] {} {}", tool.name(), self.name, self.after)
            .trim_end()
            .to_owned()
    }
}
