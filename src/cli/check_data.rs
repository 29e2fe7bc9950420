//! `leveret check-data`: what a data folder's message log holds, read without a broker and without
//! changing anything.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use leveret_queues::store::log::inspect;

/// What to look at.
#[derive(Clone, Debug, Args)]
pub struct CheckDataArgs {
    /// The data folder; no broker may be using it.
    #[arg(default_value = "leveret-data")]
    folder: PathBuf,
}

/// Why the check says no.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{0} is not a folder")]
    NoFolder(PathBuf),
    #[error("{0} places are damaged")]
    Damaged(usize),
}

/// Prints what is there. Damage is an error, so that scripts can tell.
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
    writeln!(out, "\n{:>10} {:>12} {:>14} {:>12}", "queue", "messages", "body bytes", "last place")?;
    for (queue, found) in &report.queues {
        writeln!(out, "{:>10} {:>12} {:>14} {:>12}", queue.0, found.messages, found.bytes, found.last_seq)?;
    }
    for finding in &report.findings {
        writeln!(out, "damaged: {finding}")?;
    }
    Ok(report.findings.len())
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
    fn a_folder_that_is_not_there_is_an_error() {
        let args = CheckDataArgs { folder: PathBuf::from("/nonexistent/leveret") };
        assert!(run(&args).unwrap_err().to_string().contains("is not a folder"));
    }
}
