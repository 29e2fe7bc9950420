//! `leveret ctl definitions`: exports and imports definitions, in `RabbitMQ`'s format.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::table::{self, Column};
use crate::cli::client::{Client, Failure, one_line, path};
use crate::cli::private;

/// Which way.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Definitions {
    /// Writes definitions to a file, or to standard output.
    Export {
        /// The file.
        file: Option<PathBuf>,
        /// Only of this vhost.
        #[arg(long, value_name = "NAME")]
        vhost: Option<String>,
    },
    /// Makes what a file of definitions says, and leaves alone what is there already.
    Import {
        /// The file.
        file: PathBuf,
        /// All into this vhost.
        #[arg(long, value_name = "NAME")]
        vhost: Option<String>,
        /// Only tell what would be made, and what cannot be.
        #[arg(long)]
        dry_run: bool,
    },
}

fn place(vhost: Option<&str>) -> String {
    path(["definitions"].into_iter().chain(vhost))
}

/// Exports or imports.
pub(super) fn run(
    client: &Client,
    what: &Definitions,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match what {
        Definitions::Export { file, vhost } => {
            let definitions = client.get(&place(vhost.as_deref()))?;
            let Some(file) = file else { return super::print_json(out, &definitions) };
            let text = serde_json::to_vec_pretty(&definitions)
                .map_err(|error| Failure::Failed(error.to_string()))?;
            private::write(file, &text)
                .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", file.display())))?;
            super::said(out, json, "exported to", &file.display().to_string())
        }
        Definitions::Import { file, vhost, dry_run } => {
            let unreadable = |why: String| Failure::Usage(format!("cannot read {}: {why}", file.display()));
            let bytes = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
            let given: Value =
                serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
            let query = if *dry_run { "?dry_run" } else { "" };
            let answer = client.post(&format!("{}{query}", place(vhost.as_deref())), &given);
            if let Err(Failure::Refused { json: refused, .. }) = &answer {
                conflicts(refused, json, out)?;
            }
            let answer = answer?;
            if *dry_run {
                return report(&answer, json, out);
            }
            super::said(out, json, "imported", &file.display().to_string())
        }
    }
}

fn conflicts(answer: &Value, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let rows = answer.get("conflicts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if json {
        return super::print_json(out, answer);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let columns = ["kind", "vhost", "name", "source", "destination", "reason"].map(Column::of);
    let mut rows = rows.to_vec();
    for reason in rows.iter_mut().filter_map(|row| row.get_mut("reason")) {
        *reason = reason.as_str().map(one_line).into();
    }
    Ok(table::write(out, &columns, &rows, table::terminal_width())?)
}

fn report(answer: &Value, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if json {
        return super::print_json(out, answer);
    }
    let rows = answer.get("create").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let unchanged = answer.get("unchanged").map(table::shown).unwrap_or_default();
    writeln!(out, "{} would be made, {unchanged} are there already", rows.len())?;
    let columns = ["kind", "vhost", "name", "source", "destination"].map(Column::of);
    if !rows.is_empty() {
        table::write(out, &columns, rows, table::terminal_width())?;
    }
    let refused = answer.get("conflicts").and_then(Value::as_array).map_or(0, Vec::len);
    if refused > 0 {
        writeln!(out, "\n{refused} would be refused")?;
        conflicts(answer, false, out)?;
    }
    Ok(())
}
