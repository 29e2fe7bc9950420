//! `leveret ctl lost`: queues without definitions, and definitions that cannot be read.

use std::io::Write;

use clap::Subcommand;
use serde_json::{Value, json};

use super::table::{self, Column};
use crate::cli::client::{Client, Failure, path};

/// What to do about what is lost.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Lost {
    /// List queues with messages that have no definition.
    Queues,
    /// List definitions that cannot be read.
    Definitions,
    /// Make a queue of one, with all its messages. They do not expire.
    Adopt {
        /// Its id, as `lost queues` shows it.
        id: u64,
        /// The queue's name.
        name: String,
        /// The vhost that it comes into.
        #[arg(long, value_name = "NAME", default_value = "/")]
        vhost: String,
    },
    /// Drop one with all its messages, for good.
    Discard {
        /// Its id, as `lost queues` shows it.
        id: u64,
    },
}

/// Lists, adopts or discards.
pub(super) fn run(client: &Client, what: &Lost, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    match what {
        Lost::Queues => {
            let columns =
                ["id", "messages", "message_bytes", "last_known.kind", "last_known.vhost", "last_known.name"];
            listed(client, &path(["lost", "queues"]), &columns.map(Column::of), json, out)
        }
        Lost::Definitions => listed(
            client,
            &path(["lost", "definitions"]),
            &["definition", "reason"].map(Column::of),
            json,
            out,
        ),
        Lost::Adopt { id, name, vhost } => {
            client
                .put(&path(["lost", "queues", &id.to_string()]), &json!({ "vhost": vhost, "name": name }))?;
            super::said(out, json, "adopted as queue", name)
        }
        Lost::Discard { id } => {
            client.delete(&path(["lost", "queues", &id.to_string()]))?;
            super::said(out, json, "discarded", &id.to_string())
        }
    }
}

fn listed(
    client: &Client,
    path: &str,
    columns: &[Column],
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let rows = client.get(path)?;
    if json {
        return super::print_json(out, &rows);
    }
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Value> = rows.iter().map(flat).collect();
    Ok(table::write(out, columns, &rows, table::terminal_width())?)
}

/// Adds the members of `last_known` to the row.
fn flat(row: &Value) -> Value {
    let mut flat = row.clone();
    for name in ["kind", "vhost", "name"] {
        if let Some(known) = row.get("last_known").and_then(|known| known.get(name)) {
            flat[format!("last_known.{name}")] = known.clone();
        }
    }
    flat
}
