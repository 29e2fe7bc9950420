//! `leveret ctl list`: objects as tables.

use std::io::Write;

use clap::{Args, ValueEnum};
use leveret_topology::meant;
use serde_json::{Value, json};

use super::table::{self, Column};
use crate::cli::client::{Client, Failure, path, quoted};
use crate::management::Columns;

/// By what else connections and channels are known.
const CLIENT_NAMES: [&str; 2] = ["user_provided_name", "user"];

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Queues, their messages and consumers.
    Queues,
    /// Exchanges.
    Exchanges,
    /// Bindings.
    Bindings,
    /// Connections of clients.
    Connections,
    /// Channels of connections.
    Channels,
    /// Consumers of queues.
    Consumers,
    /// Virtual hosts.
    Vhosts,
    /// Users.
    Users,
    /// Permissions of users in vhosts.
    Permissions,
    /// Permissions for routing keys.
    TopicPermissions,
    /// Policies.
    Policies,
    /// Policies that limit what others say.
    OperatorPolicies,
    /// Runtime parameters.
    Parameters,
    /// Runtime parameters of the whole broker.
    GlobalParameters,
    /// Limits of vhosts and users.
    Limits,
}

impl Kind {
    /// The API path, and whether it can be limited to a vhost.
    fn place(self) -> (&'static str, bool) {
        match self {
            Self::Queues => ("queues", true),
            Self::Exchanges => ("exchanges", true),
            Self::Bindings => ("bindings", true),
            Self::Connections => ("connections", false),
            Self::Channels => ("channels", false),
            Self::Consumers => ("consumers", true),
            Self::Vhosts => ("vhosts", false),
            Self::Users => ("users", false),
            Self::Permissions => ("permissions", false),
            Self::TopicPermissions => ("topic-permissions", false),
            Self::Policies => ("policies", true),
            Self::OperatorPolicies => ("operator-policies", true),
            Self::Parameters => ("parameters", false),
            Self::GlobalParameters => ("global-parameters", false),
            Self::Limits => ("vhost-limits", true),
        }
    }

    /// Whether rows belong to clients, which have names of their own and a user.
    fn has_clients(self) -> bool {
        matches!(self, Self::Connections | Self::Channels)
    }

    /// Default columns.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Queues => &[
                "vhost",
                "name",
                "type",
                "durable",
                "messages_ready",
                "messages_unacknowledged",
                "messages_delayed_retry",
                "consumers",
                "policy",
                "state",
            ],
            Self::Exchanges => &["vhost", "name", "type", "durable", "auto_delete", "internal", "arguments"],
            Self::Bindings => {
                &["vhost", "source", "destination", "destination_type", "routing_key", "arguments"]
            }
            Self::Connections => &["name", "user_provided_name", "user", "vhost", "state", "channels", "ssl"],
            Self::Channels => &[
                "name",
                "user",
                "vhost",
                "state",
                "consumer_count",
                "prefetch_count",
                "messages_unacknowledged",
                "messages_unconfirmed",
            ],
            Self::Consumers => &[
                "queue.vhost",
                "queue.name",
                "consumer_tag",
                "ack_required",
                "prefetch_count",
                "exclusive",
                "active",
                "channel_details.name",
            ],
            Self::Vhosts => {
                &["name", "messages_ready", "messages_unacknowledged", "default_queue_type", "description"]
            }
            Self::Users => &["name", "tags"],
            Self::Permissions => &["vhost", "user", "configure", "write", "read"],
            Self::TopicPermissions => &["vhost", "user", "exchange", "write", "read"],
            Self::Policies | Self::OperatorPolicies => {
                &["vhost", "name", "pattern", "apply-to", "priority", "definition"]
            }
            Self::Parameters => &["component", "vhost", "name", "value"],
            Self::GlobalParameters => &["name", "value"],
            Self::Limits => &["vhost", "user", "value"],
        }
    }

    /// A column's name in the API, given that or its heading.
    fn path(self, name: &str) -> &str {
        let shown = self.columns();
        let titled = |path: &&&str| {
            let title = self.title(path);
            title.is_some_and(|title| title == name) || (title.is_none() && Column::of(path).title == name)
        };
        if shown.contains(&name) { name } else { shown.iter().find(titled).copied().unwrap_or(name) }
    }

    /// Titles of columns whose last path segment is ambiguous.
    fn title(self, path: &str) -> Option<&'static str> {
        match (self, path) {
            (_, "messages_ready") => Some("ready"),
            (_, "messages_unacknowledged") => Some("unacked"),
            (_, "messages_delayed_retry") => Some("retrying"),
            (_, "messages_unconfirmed") => Some("unconfirmed"),
            (_, "user_provided_name") => Some("client"),
            (_, "destination_type") => Some("type"),
            (_, "consumer_count") => Some("consumers"),
            (_, "prefetch_count") => Some("prefetch"),
            (_, "queue.name") => Some("queue"),
            (_, "channel_details.name") => Some("channel"),
            (Self::Connections, "ssl") => Some("tls"),
            _ => None,
        }
    }
}

/// What to list, and how.
#[derive(Clone, Debug, Args)]
pub(super) struct ListArgs {
    /// What to list.
    kind: Kind,
    /// Only in this vhost.
    #[arg(long, value_name = "NAME")]
    vhost: Option<String>,
    /// Only what has this in its name, connections and channels also in the client's name or the user; a regular
    /// expression.
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,
    /// These columns, by their headings or their names in the API, nested ones as in `message_stats.publish`.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// Sort by this column, named as for --columns.
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// Largest first.
    #[arg(long, requires = "sort")]
    reverse: bool,
}

/// Runs the command.
pub(super) fn run(client: &Client, args: &ListArgs, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let args = &ListArgs {
        columns: args.columns.iter().map(|name| args.kind.path(name).to_owned()).collect(),
        sort: args.sort.as_deref().map(|name| args.kind.path(name).to_owned()),
        ..args.clone()
    };
    let rows = rows(client, args, json)?;
    let named = args.columns.iter().map(|name| ("--columns", name));
    let named = named.chain(args.sort.iter().map(|name| ("--sort", name)));
    named.into_iter().try_for_each(|(flag, name)| known(args.kind, &rows, flag, name))?;
    if json {
        return super::print_json(out, &Value::Array(rows));
    }
    let columns = columns(args);
    Ok(table::write(out, &columns, &rows, table::terminal_width())?)
}

/// Refuses a column that neither we know nor any row has: other brokers have columns of their own.
fn known(kind: Kind, rows: &[Value], flag: &str, name: &str) -> Result<(), Failure> {
    let Some(columns) = Columns::of(kind.place().0) else { return Ok(()) };
    let column = Column::of(name);
    if columns.has(name) || rows.iter().any(|row| !column.value(row).is_null()) {
        return Ok(());
    }
    let hint = meant(name, &columns.names());
    Err(Failure::Usage(format!("{flag}: unknown column {name:?}{hint}")))
}

fn columns(args: &ListArgs) -> Vec<Column> {
    let defaults = args.kind.columns().iter().copied();
    let chosen = args.columns.iter().map(String::as_str);
    let paths: Vec<_> = if args.columns.is_empty() { defaults.collect() } else { chosen.collect() };
    let column = |path: &&str| {
        let column = Column::of(path);
        let title = args.kind.title(path).filter(|_| args.columns.is_empty());
        Column { title: title.map_or(column.title, str::to_owned), ..column }
    };
    paths.iter().map(column).collect()
}

fn rows(client: &Client, args: &ListArgs, json: bool) -> Result<Vec<Value>, Failure> {
    let (place, by_vhost) = args.kind.place();
    let named = args.name.as_deref().map(regex::Regex::new).transpose();
    let named = named.map_err(|error| Failure::Usage(format!("--name: {error}")))?;
    let mut query = Vec::new();
    let mut wanted: Vec<String> = args.columns.clone();
    if wanted.is_empty() && !json {
        wanted.extend(args.kind.columns().iter().copied().map(str::to_owned));
    }
    if !wanted.is_empty() && args.kind != Kind::Limits {
        // Filters need their columns, too.
        wanted.extend(["name".to_owned(), "vhost".to_owned()]);
        wanted.extend(args.sort.clone());
        if args.kind.has_clients() {
            wanted.extend(CLIENT_NAMES.map(str::to_owned));
        }
        query.push(format!(
            "columns={}",
            wanted.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(",")
        ));
    }
    if let Some(sort) = &args.sort {
        query.push(format!("sort={}&sort_reverse={}", quoted(sort), args.reverse));
    }
    let place = match &args.vhost {
        Some(vhost) if by_vhost => path([place, vhost.as_str()]),
        _ => path([place]),
    };
    let separator = if query.is_empty() { "" } else { "?" };
    let mut rows = client.list(&format!("{place}{separator}{}", query.join("&")))?;
    if args.kind == Kind::Limits {
        match client.list("/api/user-limits") {
            Ok(more) if args.vhost.is_none() => rows.extend(more),
            // Only administrators may list users.
            Ok(_) | Err(Failure::Refused { .. }) => {}
            Err(failure) => return Err(failure),
        }
    }
    rows.retain(|row| {
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let in_vhost = by_vhost || args.vhost.is_none() || text("vhost") == args.vhost.as_deref();
        let name = text("name").or_else(|| text("user")).or_else(|| text("consumer_tag")).unwrap_or("");
        let others = CLIENT_NAMES.iter().filter_map(|name| text(name)).filter(|_| args.kind.has_clients());
        in_vhost && named.as_ref().is_none_or(|regex| others.chain([name]).any(|name| regex.is_match(name)))
    });
    if args.kind == Kind::Parameters {
        // A vhost's limits are stored as a parameter, and listed as limits.
        rows.retain(|row| row.get("component") != Some(&json!("vhost-limits")));
    }
    Ok(rows)
}
