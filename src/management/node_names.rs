//! What the node is called, and has been: tools keep a node's name, and ask by it after another was given.
//!
//! The names are lines of a small file in the data folder, the newest last.

use std::io;
use std::path::Path;

use leveret_queues::store::folder::read_small;

use crate::platform;

/// The file in the data folder.
const FILE: &str = "node-names";

/// Names that are remembered; the oldest go first.
const REMEMBERED_MAX: usize = 32;

/// The node's name now, and all that it answers to.
pub(super) struct NodeNames {
    pub(super) current: String,
    others: Vec<String>,
}

fn host() -> String {
    let host = platform::hostname();
    if host.is_empty() { "localhost".to_owned() } else { host }
}

impl NodeNames {
    /// The names of a node that is called so now, or by its host if nothing is said. A folder that cannot be written to
    /// remembers nothing.
    pub(super) fn of(said: Option<&str>, folder: &Path) -> Self {
        Self::with(said, &host(), folder)
    }

    fn with(said: Option<&str>, host: &str, folder: &Path) -> Self {
        let current = said.map_or_else(|| format!("leveret@{host}"), str::to_owned);
        let path = folder.join(FILE);
        let text = read_small(&path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("the node's earlier names cannot be read: {}: {error}", path.display());
            }
            String::new()
        });
        let mut others: Vec<String> = text.lines().map(str::to_owned).collect();
        if others.last() != Some(&current) {
            others.retain(|name| *name != current);
            others.push(current.clone());
            others.drain(..others.len().saturating_sub(REMEMBERED_MAX));
            if let Err(error) = written(&path, &others) {
                tracing::warn!("the node's name is not remembered: {}: {error}", path.display());
            }
        }
        // What tools guess: RabbitMQ's name on this host, and on any.
        let short = host.split('.').next().unwrap_or(host);
        for host in [host, short, "localhost"] {
            others.extend(["leveret", "rabbit"].map(|name| format!("{name}@{host}")));
        }
        Self { current, others }
    }

    /// Whether a name is one of the node's.
    pub(super) fn has(&self, name: &str) -> bool {
        name == self.current || self.others.iter().any(|other| other == name)
    }
}

fn written(path: &Path, names: &[String]) -> io::Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, names.join("\n") + "\n")?;
    std::fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_answers_to_what_it_was_called_and_to_what_tools_guess() {
        let folder = tempfile::tempdir().unwrap();
        let named = |said: Option<&str>| NodeNames::with(said, "h.example", folder.path());
        assert_eq!(named(None).current, "leveret@h.example");
        assert_eq!(named(Some("mq@a")).current, "mq@a");
        let now = named(Some("mq@b"));
        assert_eq!(now.current, "mq@b");
        for name in ["mq@a", "mq@b", "leveret@h.example", "rabbit@h.example", "rabbit@h", "rabbit@localhost"]
        {
            assert!(now.has(name), "{name}");
        }
        for name in ["mq@c", "", "rabbit@other", "mq@a\n"] {
            assert!(!now.has(name), "{name:?}");
        }
    }

    #[test]
    fn the_oldest_names_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=REMEMBERED_MAX {
            NodeNames::with(Some(&format!("n@{number}")), "h", folder.path());
        }
        let now = NodeNames::with(None, "h", folder.path());
        assert!(!now.has("n@0") && !now.has("n@1") && now.has("n@2"));
    }
}
