//! `leveret check-data`: the contents of a data folder's message log, read offline and without changing anything.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use leveret_message::QueueId;
use leveret_store::definitions::peek;
use leveret_store::folder::{FolderError, Watched, is_data_folder};
use leveret_store::log::{QueueReport, inspect};
use serde_json::Value;

use super::counted;

/// Entries of a folder looked at for a hint.
const NEAR_MAX: usize = 1_000;

/// What to look at.
#[derive(Clone, Debug, Args)]
pub struct CheckDataArgs {
    /// The data folder, or a copy; refused while a broker uses it.
    #[arg(default_value = "leveret-data")]
    folder: PathBuf,
}

/// Why the check fails.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{0} is not a folder")]
    NoFolder(PathBuf),
    #[error("{folder} is not a data folder, as it has no file FORMAT{hint}")]
    NoData { folder: PathBuf, hint: String },
    #[error("{0}; stop it, or check a copy of the folder")]
    InUse(FolderError),
    #[error("the data folder is damaged")]
    Damaged,
}

/// Prints the contents and a verdict. Damage is an error, so that scripts can detect it.
pub fn run(args: &CheckDataArgs) -> Result<(), Box<dyn std::error::Error>> {
    if !args.folder.is_dir() {
        return Err(CheckError::NoFolder(args.folder.clone()).into());
    }
    if !is_data_folder(&args.folder) {
        let hint = near(&args.folder).map(|near| format!("; did you mean {}?", near.display()));
        let (folder, hint) = (args.folder.clone(), hint.unwrap_or_default());
        return Err(CheckError::NoData { folder, hint }.into());
    }
    let _no_broker = Watched::open(&args.folder).map_err(|error| match error {
        FolderError::InUse { .. } => Box::<dyn std::error::Error>::from(CheckError::InUse(error)),
        error => error.into(),
    })?;
    let damaged = print(&args.folder, &mut io::stdout().lock())?;
    if damaged > 0 { Err(CheckError::Damaged.into()) } else { Ok(()) }
}

/// A data folder in or around a folder that is none.
fn near(folder: &Path) -> Option<PathBuf> {
    let inside = std::fs::read_dir(folder).ok()?.take(NEAR_MAX).flatten().map(|entry| entry.path());
    let around = folder.canonicalize().ok();
    let around = around.iter().flat_map(|folder| folder.ancestors().skip(1).take(2)).map(Path::to_owned);
    inside.chain(around).find(|path| is_data_folder(path))
}

/// What a message's queue id stands for.
enum Name {
    Queue {
        vhost: String,
        name: String,
    },
    /// Delayed messages of an exchange.
    Delayed {
        vhost: String,
        name: String,
    },
    Deleted,
}

impl Name {
    /// Vhost and name, for the table.
    fn shown(&self) -> (&str, String) {
        match self {
            Self::Queue { vhost, name } => (vhost, name.clone()),
            Self::Delayed { vhost, name } => (vhost, format!("(delayed by exchange {name})")),
            Self::Deleted => ("", "(deleted)".to_owned()),
        }
    }
}

fn print(folder: &Path, out: &mut impl Write) -> Result<usize, Box<dyn std::error::Error>> {
    let report = inspect(folder)?;
    let names = names(folder)?;
    writeln!(out, "{:>14} {:>12} {:>12} {:>10}", "segment", "file bytes", "bytes used", "records")?;
    for segment in &report.segments {
        let (file, length, used) = (&segment.file, segment.file_bytes, segment.used_bytes);
        writeln!(out, "{file:>14} {length:>12} {used:>12} {:>10}", segment.records)?;
    }
    let rows: Vec<_> =
        report.queues.iter().filter_map(|(id, found)| row(*id, found, names.as_ref())).collect();
    let width = rows.iter().map(|(_, vhost, _)| vhost.chars().count()).max().unwrap_or(0).max("vhost".len());
    writeln!(out, "\n{:>12} {:>14}  {:<width$}  queue", "messages", "body bytes", "vhost")?;
    for (QueueReport { messages, bytes, .. }, vhost, name) in &rows {
        writeln!(out, "{messages:>12} {bytes:>14}  {vhost:<width$}  {name}")?;
    }
    if names.is_none() {
        writeln!(
            out,
            "\nThe definitions cannot be read completely without the broker; queues are shown by number."
        )?;
    }
    writeln!(out)?;
    for finding in &report.findings {
        writeln!(out, "damaged: {finding}")?;
    }
    let queues = names
        .as_ref()
        .map_or(rows.len(), |names| names.values().filter(|name| matches!(name, Name::Queue { .. })).count());
    let messages: u64 = report.queues.values().map(|found| found.messages).sum();
    let content = format!("{}, {}", counted(queues as u64, "queue"), counted(messages, "message"));
    match report.findings.len() {
        0 => writeln!(out, "Whole: {content}")?,
        places => writeln!(out, "Damaged: {}; readable: {content}", counted(places as u64, "place"))?,
    }
    Ok(report.findings.len())
}

/// A queue's line: counts, vhost, name. `None`: there is nothing to tell.
fn row<'a>(
    id: QueueId,
    found: &'a QueueReport,
    names: Option<&'a HashMap<u64, Name>>,
) -> Option<(&'a QueueReport, &'a str, String)> {
    let (vhost, name) = match names.map(|names| names.get(&id.0)) {
        Some(Some(name)) => name.shown(),
        Some(None) if found.messages > 0 => {
            ("", format!("(number {}, no definition: kept, see `leveret ctl lost`)", id.0))
        }
        Some(None) => return None,
        None => ("", format!("(number {})", id.0)),
    };
    Some((found, vhost, name))
}

/// What the ids of the definitions stand for. `None`: they cannot be read completely.
fn names(folder: &Path) -> io::Result<Option<HashMap<u64, Name>>> {
    let Some(definitions) = peek(folder)? else { return Ok(None) };
    let names = definitions.iter().filter_map(|(key, value)| {
        let mut parts = key.split('\0');
        let kind = parts.next()?;
        if kind == "gone" {
            return Some((parts.next()?.parse().ok()?, Name::Deleted));
        }
        let [vhost, name] = [parts.next()?, parts.next()?].map(|part| part.escape_debug().to_string());
        let name = match kind {
            "queue" => Name::Queue { vhost, name },
            "delay" => Name::Delayed { vhost, name },
            _ => return None,
        };
        Some((serde_json::from_slice::<Value>(value).ok()?.get("id")?.as_u64()?, name))
    });
    Ok(Some(names.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(folder: &Path) -> (usize, String) {
        let mut out = Vec::new();
        let damaged = print(folder, &mut out).unwrap();
        (damaged, String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_empty_folder_holds_nothing_and_is_not_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let (damaged, text) = printed(folder.path());
        assert_eq!((damaged, text.lines().last()), (0, Some("Whole: 0 queues, 0 messages")));
    }

    #[test]
    fn queues_are_named_and_those_without_a_definition_too() {
        use leveret_message::{Message, MessageMeta, Seq, Short};
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
        let (damaged, text) = printed(folder.path());
        let has = |words: &[&str]| {
            let line = text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == words);
            assert!(line, "{words:?} in {text}");
        };
        has(&["1", "1", "/", "orders"]);
        assert!(text.contains("(number 8, no definition"), "{text}");
        assert_eq!((damaged, text.lines().last()), (0, Some("Whole: 1 queue, 2 messages")));
    }

    #[test]
    fn a_folder_that_holds_no_data_is_refused_with_the_nearest_that_does() {
        let check = |folder: PathBuf| run(&CheckDataArgs { folder }).map_err(|error| error.to_string());
        let missing = check(PathBuf::from("/nonexistent/leveret")).unwrap_err();
        assert!(missing.contains("is not a folder"), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        let refused = check(folder.path().to_owned()).unwrap_err();
        assert!(refused.contains("no file FORMAT") && !refused.contains("did you mean"), "{refused}");
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join("log")).unwrap();
        std::fs::write(data.join("FORMAT"), "1\n").unwrap();
        let near = format!("did you mean {}?", data.display());
        assert!(check(folder.path().to_owned()).unwrap_err().ends_with(&near));
        assert!(check(data.join("log")).unwrap_err().contains("did you mean"));
        check(data).unwrap();
    }
}
