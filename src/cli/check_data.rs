//! `leveret check-data`: the contents of a data folder's message log, read offline and without changing anything.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use leveret_store::definitions::peek;
use leveret_store::log::{QueueReport, inspect};
use serde_json::Value;

/// What to look at.
#[derive(Clone, Debug, Args)]
pub struct CheckDataArgs {
    /// The data folder; no broker may be using it.
    #[arg(default_value = "leveret-data")]
    folder: PathBuf,
}

/// Why the check fails.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{0} is not a folder")]
    NoFolder(PathBuf),
    #[error("{0} places are damaged")]
    Damaged(usize),
}

/// Prints the contents. Damage is an error, so that scripts can detect it.
pub fn run(args: &CheckDataArgs) -> Result<(), Box<dyn std::error::Error>> {
    if !args.folder.is_dir() {
        return Err(CheckError::NoFolder(args.folder.clone()).into());
    }
    let damaged = print(&args.folder, &mut io::stdout().lock())?;
    if damaged > 0 { Err(CheckError::Damaged(damaged).into()) } else { Ok(()) }
}

fn print(folder: &Path, out: &mut impl Write) -> Result<usize, Box<dyn std::error::Error>> {
    let report = inspect(folder)?;
    writeln!(out, "{:>14} {:>12} {:>12} {:>10}", "segment", "file bytes", "bytes used", "records")?;
    for segment in &report.segments {
        let (file, length, used) = (&segment.file, segment.file_bytes, segment.used_bytes);
        writeln!(out, "{file:>14} {length:>12} {used:>12} {:>10}", segment.records)?;
    }
    let names = names(folder)?;
    writeln!(out, "\n{:>10} {:>12} {:>14} {:>12}  name", "queue", "messages", "body bytes", "last place")?;
    for (queue, found) in &report.queues {
        let name = match &names {
            Some(names) => match names.get(&queue.0) {
                Some(name) => name.as_str(),
                None if found.messages > 0 => "(no definition: kept, see `leveret ctl lost`)",
                None => "",
            },
            None => "",
        };
        let QueueReport { messages, bytes, last_seq } = found;
        writeln!(out, "{:>10} {messages:>12} {bytes:>14} {last_seq:>12}  {name}", queue.0)?;
    }
    if names.is_none() {
        writeln!(out, "snapshot and journal do not tell all definitions: names are left out")?;
    }
    for finding in &report.findings {
        writeln!(out, "damaged: {finding}")?;
    }
    Ok(report.findings.len())
}

/// Names of queues, and of exchanges that hold delayed messages, by id. `None`: unknown.
fn names(folder: &Path) -> io::Result<Option<HashMap<u64, String>>> {
    let Some(definitions) = peek(folder)? else { return Ok(None) };
    let queues = definitions.iter().filter_map(|(key, value)| {
        let mut parts = key.split('\0');
        let kind = parts.next()?;
        let id = match kind {
            "queue" | "delay" => serde_json::from_slice::<Value>(value).ok()?.get("id")?.as_u64()?,
            "gone" => return Some((parts.next()?.parse().ok()?, "(deleted)".to_owned())),
            _ => return None,
        };
        let names: Vec<_> = parts.map(|part| part.escape_debug().to_string()).collect();
        Some((id, format!("{kind} {}", names.join(" "))))
    });
    Ok(Some(queues.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_holds_nothing_and_is_not_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = Vec::new();
        assert_eq!(print(folder.path(), &mut out).unwrap(), 0);
        assert!(String::from_utf8(out).unwrap().contains("queue"));
    }

    #[test]
    fn queues_are_named_and_those_without_a_definition_too() {
        use leveret_message::{Message, MessageMeta, QueueId, Seq, Short};
        use leveret_store::definitions::Definitions;
        use leveret_store::log::{LogStore, Options};
        use leveret_store::{Record, Store};

        let folder = tempfile::tempdir().unwrap();
        let (definitions, _) = Definitions::open(folder.path()).unwrap();
        let value = br#"{"vhost":"/","name":"orders","id":7}"#.to_vec();
        definitions.commit(&[("queue\0/\0orders".to_owned(), Some(value))]).unwrap();
        let (store, _) = LogStore::open(folder.path(), &Options::default()).unwrap();
        let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
        for queue in [7, 8] {
            let message = Message::new(Short::literal(""), Short::literal("k"), &[0, 0], b"x", meta);
            let record = Record::Enqueue {
                queue: QueueId(queue),
                seq: Seq(1),
                message,
                priority_level: 0,
                expires: None,
                transient: false,
                sole: false,
            };
            store.append(&mut vec![record]).unwrap();
        }
        store.close().unwrap();
        drop(definitions);
        let mut out = Vec::new();
        print(folder.path(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let line = |id: &str| text.lines().find(|line| line.trim_start().starts_with(id)).unwrap().to_owned();
        assert!(line("7 ").ends_with("queue / orders"), "{text}");
        assert!(line("8 ").contains("no definition"), "{text}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let args = CheckDataArgs { folder: PathBuf::from("/nonexistent/leveret") };
        assert!(run(&args).unwrap_err().to_string().contains("is not a folder"));
    }
}
