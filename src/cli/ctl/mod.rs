//! `leveret ctl`: inspects and changes a broker, over the management API.
//!
//! Tables for people by default, JSON with `--json`. Exit codes as in [`super::client::Failure`].

mod declare;
mod definitions;
mod delete;
mod explain;
mod lint;
mod list;
mod lost;
mod messages;
mod missing;
mod status;
mod table;

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::client::{Client, Failure, Remote, path};
use super::counted;

/// What to ask of a broker.
#[derive(Clone, Debug, Args)]
pub struct CtlArgs {
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// What the broker is and how it is doing.
    Status,
    /// List things.
    List(list::ListArgs),
    /// Show one thing with all that is known of it.
    Show(ShowArgs),
    /// Make something, or change it.
    #[command(subcommand)]
    Declare(Box<declare::Declare>),
    /// Delete something.
    #[command(subcommand)]
    Delete(delete::Delete),
    /// Drop the messages of a queue that no consumer holds.
    Purge(messages::PurgeArgs),
    /// What would happen to a message, step by step; nothing is published.
    Explain(explain::ExplainArgs),
    /// What is likely a mistake; exit code 1 if a warning or an error is found.
    Lint(lint::LintArgs),
    /// Make messages ready that wait for their retry.
    #[command(subcommand)]
    Release(messages::Release),
    /// Publish a message.
    Publish(messages::PublishArgs),
    /// Show messages at the head of a queue; --ack removes them.
    Get(messages::GetArgs),
    /// Close connections.
    #[command(subcommand)]
    Close(Close),
    /// Definitions of everything, or of one vhost, as RabbitMQ writes them.
    #[command(subcommand)]
    Definitions(definitions::Definitions),
    /// What has lost its definition: queues to adopt or discard, and what cannot be read.
    #[command(subcommand)]
    Lost(lost::Lost),
}

#[derive(Clone, Debug, Args)]
struct ShowArgs {
    kind: Shown,
    name: String,
    /// The vhost it is in.
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shown {
    Queue,
    Exchange,
    Vhost,
    User,
    Connection,
    Channel,
    Policy,
    OperatorPolicy,
}

#[derive(Clone, Debug, Subcommand)]
enum Close {
    /// One connection.
    Connection {
        /// Its name, or the client's, as `list connections` shows them.
        name: String,
        /// Told to the client, and logged.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// All connections of a user.
    User {
        /// The user's name.
        name: String,
        /// Told to the clients, and logged.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// Runs the command.
pub fn run(args: &CtlArgs) -> Result<(), Failure> {
    let client = args.remote.client()?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = ask(&client, args, &mut out);
    // A closed output pipe is no failure.
    match outcome.and_then(|()| Ok(out.flush()?)) {
        Err(Failure::Failed(why)) if why.contains("Broken pipe") => Ok(()),
        outcome => outcome,
    }
}

fn ask(client: &Client, args: &CtlArgs, out: &mut impl Write) -> Result<(), Failure> {
    let json = args.json;
    match &args.command {
        Command::Status => status::run(client, json, out),
        Command::List(args) => list::run(client, args, json, out),
        Command::Show(args) => show(client, args, json, out),
        Command::Declare(what) => declare::run(client, what, json, out),
        Command::Delete(what) => delete::run(client, what, json, out),
        Command::Purge(args) => messages::purge(client, args, json, out),
        Command::Explain(args) => explain::run(client, args, json, out),
        Command::Lint(args) => lint::run(client, args, json, out),
        Command::Release(what) => messages::release(client, what, json, out),
        Command::Publish(args) => messages::publish(client, args, json, out),
        Command::Get(args) => messages::get(client, args, json, out),
        Command::Close(what) => close(client, what, json, out),
        Command::Definitions(what) => definitions::run(client, what, json, out),
        Command::Lost(what) => lost::run(client, what, json, out),
    }
}

fn show(client: &Client, args: &ShowArgs, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let (vhost, name) = (args.vhost.as_str(), args.name.as_str());
    let place = match args.kind {
        Shown::Queue => path(["queues", vhost, name]),
        Shown::Exchange => path(["exchanges", vhost, name]),
        Shown::Vhost => path(["vhosts", name]),
        Shown::User => path(["users", name]),
        Shown::Connection => path(["connections", name]),
        Shown::Channel => path(["channels", name]),
        Shown::Policy => path(["policies", vhost, name]),
        Shown::OperatorPolicy => path(["operator-policies", vhost, name]),
    };
    let shown = match client.get(&place) {
        Err(failure) if failure.is_not_found() && matches!(args.kind, Shown::Connection) => {
            client.get(&path(["connections", &missing::connection(client, name, failure)?]))?
        }
        shown => shown.map_err(|failure| missing::explained(client, &place, failure))?,
    };
    if json {
        return print_json(out, &shown);
    }
    let members = shown.as_object().into_iter().flatten();
    let (lists, plain): (Vec<_>, Vec<_>) = members.partition(|(_, value)| is_list_of_objects(value));
    let rows: Vec<Value> =
        plain.iter().map(|(name, value)| serde_json::json!({ "name": name, "value": value })).collect();
    let columns = ["name", "value"].map(table::Column::of);
    table::write(out, &columns, &rows, table::terminal_width())?;
    for (name, list) in lists {
        let rows = list.as_array().map(Vec::as_slice).unwrap_or_default();
        writeln!(out, "\n{name}")?;
        table::write(out, &columns_of(name, rows), rows, table::terminal_width())?;
    }
    Ok(())
}

fn is_list_of_objects(value: &Value) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_object))
}

/// The columns of a list inside something shown; of what is not chosen, those of its first row.
fn columns_of(list: &str, rows: &[Value]) -> Vec<table::Column> {
    const CONSUMER: [&str; 6] = [
        "consumer_tag",
        "channel_details.name",
        "channel_details.user",
        "ack_required",
        "prefetch_count",
        "active",
    ];
    if list == "consumer_details" {
        let column = |path: &str| {
            let column = table::Column::of(path);
            let title = if path == "channel_details.name" { "channel" } else { &column.title };
            table::Column { title: title.trim_end_matches("_count").to_owned(), ..column }
        };
        return CONSUMER.map(column).to_vec();
    }
    let first = rows.first().and_then(Value::as_object);
    first.into_iter().flatten().map(|(name, _)| table::Column::of(name)).collect()
}

fn close(client: &Client, what: &Close, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let close = |place: &str, reason: &Option<String>| {
        let reason = reason.as_deref().unwrap_or("closed by an operator with leveret ctl");
        client.call_with("DELETE", place, None, &[("x-reason", reason)]).map(|answer| answer.count)
    };
    match what {
        Close::Connection { name, reason } => {
            match close(&path(["connections", name.as_str()]), reason) {
                Err(failure) if failure.is_not_found() => {
                    close(&path(["connections", &missing::connection(client, name, failure)?]), reason)?;
                }
                closed => {
                    closed?;
                }
            }
            said(out, json, "closed", name)
        }
        Close::User { name, reason } => {
            match close(&path(["connections", "username", name.as_str()]), reason)? {
                Some(0) => Err(missing::connections_of(client, name)),
                count => said_with(out, json, "closed connections of", name, "connection", count),
            }
        }
    }
}

/// Reports an action as a line, or as JSON.
fn said(out: &mut impl Write, json: bool, done: &str, what: &str) -> Result<(), Failure> {
    if json {
        print_json(out, &serde_json::json!({ "done": done, "what": what }))
    } else {
        Ok(writeln!(out, "{done} {what}")?)
    }
}

/// The same with the number of messages or connections that it was about.
fn said_with(
    out: &mut impl Write,
    json: bool,
    done: &str,
    what: &str,
    noun: &str,
    count: Option<u64>,
) -> Result<(), Failure> {
    let Some(count) = count else { return said(out, json, done, what) };
    if json {
        let mut all = serde_json::json!({ "done": done, "what": what });
        all[format!("{noun}s")] = count.into();
        print_json(out, &all)
    } else {
        Ok(writeln!(out, "{done} {what}: {}", counted(count, noun))?)
    }
}

/// Pretty-printed JSON.
fn print_json(out: &mut impl Write, value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(writeln!(out, "{text}")?)
}

/// A JSON object from the command line.
fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("a JSON object is wanted, as in '{{\"key\": 1}}', not {other}")),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}
