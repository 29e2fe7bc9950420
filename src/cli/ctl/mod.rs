//! `leveret ctl`: inspects and changes a broker, over the management API.
//!
//! Tables for people by default, JSON with `--json`. Exit codes as in [`super::client::Failure`].

mod declare;
mod definitions;
mod delete;
mod list;
mod lost;
mod messages;
mod status;
mod table;

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::client::{Client, Failure, Remote, path};

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
    /// One connection, by the name that `list connections` shows.
    Connection {
        /// Its name.
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
    let shown = client.get(&place)?;
    if json {
        return print_json(out, &shown);
    }
    let members = shown.as_object().into_iter().flatten();
    let rows: Vec<Value> =
        members.map(|(name, value)| serde_json::json!({ "name": name, "value": value })).collect();
    let columns = ["name", "value"].map(table::Column::of);
    Ok(table::write(out, &columns, &rows, table::terminal_width())?)
}

fn close(client: &Client, what: &Close, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let (place, reason, name) = match what {
        Close::Connection { name, reason } => (path(["connections", name.as_str()]), reason, name),
        Close::User { name, reason } => (path(["connections", "username", name.as_str()]), reason, name),
    };
    let headers: Vec<_> = reason.iter().map(|reason| ("x-reason", reason.as_str())).collect();
    client.call_with("DELETE", &place, None, &headers)?;
    said(out, json, "closed", name)
}

/// Reports an action as a line, or as JSON.
fn said(out: &mut impl Write, json: bool, done: &str, what: &str) -> Result<(), Failure> {
    if json {
        print_json(out, &serde_json::json!({ "done": done, "what": what }))
    } else {
        Ok(writeln!(out, "{done} {what}")?)
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
