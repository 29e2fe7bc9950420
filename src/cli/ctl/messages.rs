//! `leveret ctl publish`, `get`, `purge` and `release`.

use std::io::{Read, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::declare::InVhost;
use super::missing;
use super::object;
use super::table::{self, Column};
use crate::cli::client::{Client, Failure, path};

/// What to purge.
#[derive(Clone, Debug, Args)]
pub(super) struct PurgeArgs {
    /// The queue.
    queue: String,
    #[command(flatten)]
    place: InVhost,
}

/// What to release.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Release {
    /// All of a queue's.
    Retries {
        /// The queue.
        queue: String,
        #[command(flatten)]
        place: InVhost,
    },
}

/// What to publish.
#[derive(Clone, Debug, Args)]
pub(super) struct PublishArgs {
    /// The routing key; with the default exchange, the queue.
    key: String,
    /// The body.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    body: Option<String>,
    /// A file with the body; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The exchange.
    #[arg(long, value_name = "NAME", default_value = "amq.default")]
    exchange: String,
    /// Properties, as a JSON object: `{"delivery_mode": 2, "headers": {"a": 1}}`.
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}")]
    properties: Map<String, Value>,
    #[command(flatten)]
    place: InVhost,
}

/// What to look at, or take.
#[derive(Clone, Debug, Args)]
pub(super) struct GetArgs {
    /// The queue.
    queue: String,
    /// At most so many messages.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    count: u64,
    /// Take them for good.
    #[arg(long)]
    ack: bool,
    /// Show at most so many bytes of each body.
    #[arg(long, value_name = "BYTES")]
    truncate: Option<u64>,
    #[command(flatten)]
    place: InVhost,
}

/// Drops the messages that nobody holds.
pub(super) fn purge(
    client: &Client,
    args: &PurgeArgs,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let place = path(["queues", args.place.vhost.as_str(), args.queue.as_str(), "contents"]);
    let count = client.delete(&place).map_err(|failure| missing::explained(client, &place, failure))?;
    super::said_with(out, json, "purged", &args.queue, "message", count)
}

/// Makes messages ready before their retry is due.
pub(super) fn release(
    client: &Client,
    what: &Release,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let Release::Retries { queue, place } = what;
    let answer = client
        .post(&path(["queues", place.vhost.as_str(), queue.as_str(), "retry", "release"]), &json!({}))?;
    let count = answer.get("released").and_then(Value::as_u64).unwrap_or(0);
    super::said(out, json, "released", &format!("retries of {queue}: {count}"))
}

/// Publishes; an unroutable message is a failure.
pub(super) fn publish(
    client: &Client,
    args: &PublishArgs,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let body = match &args.file {
        None => args.body.clone().unwrap_or_default().into_bytes(),
        Some(file) if file.as_os_str() == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            bytes
        }
        Some(file) => std::fs::read(file)
            .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", file.display())))?,
    };
    let (payload, encoding) = match String::from_utf8(body) {
        Ok(text) => (text, "string"),
        Err(bytes) => (STANDARD.encode(bytes.as_bytes()), "base64"),
    };
    let publication = json!({
        "properties": args.properties, "routing_key": args.key, "payload": payload, "payload_encoding": encoding,
    });
    let place = path(["exchanges", args.place.vhost.as_str(), args.exchange.as_str(), "publish"]);
    let answer = client.post(&place, &publication)?;
    if answer.get("routed") != Some(&json!(true)) {
        let why = format!("no queue took the message: exchange {}, key {}", args.exchange, args.key);
        return Err(Failure::Failed(why));
    }
    super::said(out, json, "published", &args.key)
}

/// Shows messages, and consumes them if requested.
pub(super) fn get(client: &Client, args: &GetArgs, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let mode = if args.ack { "ack_requeue_false" } else { "peek" };
    let mut wish = json!({ "count": args.count, "ackmode": mode, "encoding": "auto" });
    if let Some(bytes) = args.truncate {
        wish["truncate"] = json!(bytes);
    }
    let place = path(["queues", args.place.vhost.as_str(), args.queue.as_str(), "get"]);
    let messages =
        client.post(&place, &wish).map_err(|failure| missing::explained(client, &place, failure))?;
    if json {
        return super::print_json(out, &messages);
    }
    let columns =
        ["exchange", "routing_key", "redelivered", "payload_bytes", "properties", "payload"].map(Column::of);
    let rows = messages.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(table::write(out, &columns, rows, table::terminal_width())?)
}
