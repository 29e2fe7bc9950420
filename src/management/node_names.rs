//! The node's current and former names: tools remember a node's name and keep using it after a rename.
//!
//! The names are the lines of a small file in the data folder, newest last.

use std::io;
use std::path::Path;

use leveret_store::folder::read_small;

/// The file in the data folder.
const FILE: &str = "node-names";

/// Names remembered; the oldest are dropped first.
const REMEMBERED_MAX: usize = 32;

/// The node's current name, and every name it answers to.
pub(super) struct NodeNames {
    pub(super) current: String,
    others: Vec<String>,
}

fn host() -> String {
    let host = leveret_platform::hostname();
    if host.is_empty() { "localhost".to_owned() } else { host }
}

impl NodeNames {
    /// `said` is the configured name; the default is derived from the host name. If the folder cannot be written to,
    /// nothing is remembered.
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
        // Names that tools guess: RabbitMQ's on this host, and on any host.
        let short = host.split('.').next().unwrap_or(host);
        for host in [host, short, "localhost"] {
            others.extend(["leveret", "rabbit"].map(|name| format!("{name}@{host}")));
        }
        Self { current, others }
    }

    /// Whether this is one of the node's names.
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
