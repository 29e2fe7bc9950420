//! `leveret ctl declare`: creates objects, or updates those that can be changed.

use std::io::Write;
use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};
use leveret_topology::meant;
use serde_json::{Map, Value, json};

use super::object;
use crate::cli::client::{Client, Failure, Secret, password_from_file, password_from_person, path};

/// The vhost that something is in.
#[derive(Clone, Debug, Args)]
pub(super) struct InVhost {
    /// The vhost it is in.
    #[arg(long, value_name = "NAME", default_value = "/")]
    pub(super) vhost: String,
}

/// Flags that default to yes, so that `--durable=false` says no.
#[derive(Clone, Debug, Args)]
pub(super) struct Durable {
    /// It survives a restart.
    #[arg(long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1, default_missing_value = "true")]
    durable: bool,
    /// It goes when nobody uses it any more.
    #[arg(long)]
    auto_delete: bool,
}

/// Arguments as AMQP knows them.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Arguments, as a JSON object.
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}")]
    arguments: Map<String, Value>,
}

/// What to make.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Declare {
    /// A virtual host.
    Vhost {
        /// Its name.
        name: String,
        /// For people.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// For people.
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        tags: Option<Vec<String>>,
        /// The type of queues that do not say theirs: classic or quorum.
        #[arg(long, value_name = "TYPE")]
        default_queue_type: Option<String>,
    },
    /// A queue.
    Queue {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: InVhost,
        /// classic or quorum.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        #[command(flatten)]
        durable: Durable,
        #[command(flatten)]
        arguments: Arguments,
    },
    /// An exchange.
    Exchange {
        /// Its name.
        name: String,
        /// direct, fanout, topic, headers, or another that the broker knows.
        #[arg(long = "type", value_name = "TYPE", default_value = "direct")]
        kind: String,
        #[command(flatten)]
        place: InVhost,
        #[command(flatten)]
        durable: Durable,
        /// Clients may not publish to it.
        #[arg(long)]
        internal: bool,
        #[command(flatten)]
        arguments: Arguments,
    },
    /// A binding from an exchange to a queue, or to another exchange.
    Binding(BindingArgs),
    /// A user; one that is there keeps what is not given.
    User {
        /// Its name.
        name: String,
        /// administrator, monitoring, policymaker, management, impersonator; others are refused, as they grant
        /// nothing.
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        tags: Option<Vec<String>>,
        /// The new password; `-`: a terminal is asked.
        #[arg(long, value_name = "PASSWORD", conflicts_with_all = ["new_password_file", "password_hash"])]
        new_password: Option<Secret>,
        /// A file whose first line is the new password.
        #[arg(long, value_name = "FILE", conflicts_with = "password_hash")]
        new_password_file: Option<PathBuf>,
        /// The new password's hash, as `RabbitMQ` exports it.
        #[arg(long, value_name = "HASH")]
        password_hash: Option<String>,
    },
    /// What a user may do in a vhost: regular expressions of names.
    Permission {
        /// The user.
        user: String,
        #[command(flatten)]
        place: InVhost,
        /// May declare and delete.
        #[arg(long, value_name = "PATTERN", default_value = ".*")]
        configure: String,
        /// May publish and bind to.
        #[arg(long, value_name = "PATTERN", default_value = ".*")]
        write: String,
        /// May consume and bind from.
        #[arg(long, value_name = "PATTERN", default_value = ".*")]
        read: String,
    },
    /// Which routing keys a user may use with a topic exchange.
    TopicPermission {
        /// The user.
        user: String,
        /// The exchange.
        exchange: String,
        #[command(flatten)]
        place: InVhost,
        /// May publish with.
        #[arg(long, value_name = "PATTERN", default_value = ".*")]
        write: String,
        /// May bind with.
        #[arg(long, value_name = "PATTERN", default_value = ".*")]
        read: String,
    },
    /// A policy.
    Policy(PolicyArgs),
    /// A policy that caps what other policies may set.
    OperatorPolicy(PolicyArgs),
    /// A runtime parameter.
    Parameter {
        /// What it is for.
        component: String,
        /// Its name.
        name: String,
        /// Its value, as JSON.
        #[arg(value_parser = json_value)]
        value: Value,
        #[command(flatten)]
        place: InVhost,
    },
    /// A runtime parameter of the whole broker.
    GlobalParameter {
        /// Its name.
        name: String,
        /// Its value, as JSON.
        #[arg(value_parser = json_value)]
        value: Value,
    },
    /// A limit of a vhost: max-connections or max-queues.
    VhostLimit {
        /// Which.
        name: String,
        /// At most so many; -1: no limit.
        #[arg(allow_negative_numbers = true)]
        value: i64,
        #[command(flatten)]
        place: InVhost,
    },
    /// A limit of a user: max-connections or max-channels.
    UserLimit {
        /// The user.
        user: String,
        /// Which.
        name: String,
        /// At most so many; -1: no limit.
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
}

/// A binding.
#[derive(Clone, Debug, Args)]
pub(super) struct BindingArgs {
    /// The exchange it leads from.
    pub(super) source: String,
    /// The queue it leads to.
    pub(super) destination: String,
    /// Routing key or pattern.
    #[arg(long, value_name = "KEY", default_value = "")]
    pub(super) key: String,
    /// It leads to an exchange.
    #[arg(long)]
    pub(super) to_exchange: bool,
    #[command(flatten)]
    pub(super) place: InVhost,
    #[command(flatten)]
    pub(super) arguments: Arguments,
}

impl BindingArgs {
    /// The API path of all bindings between the two.
    pub(super) fn path(&self) -> String {
        let kind = if self.to_exchange { "e" } else { "q" };
        let source = if self.source.is_empty() { "amq.default" } else { &self.source };
        path(["bindings", self.place.vhost.as_str(), "e", source, kind, self.destination.as_str()])
    }

    /// Whether `binding` is the one meant.
    pub(super) fn is(&self, binding: &Value) -> bool {
        binding.get("routing_key").and_then(Value::as_str) == Some(&self.key)
            && binding.get("arguments").and_then(Value::as_object) == Some(&self.arguments.arguments)
    }
}

/// A policy.
#[derive(Clone, Debug, Args)]
pub(super) struct PolicyArgs {
    /// Its name.
    name: String,
    /// Names it applies to; a regular expression.
    #[arg(long, value_name = "PATTERN")]
    pattern: String,
    /// What it says, as a JSON object.
    #[arg(long, value_name = "JSON", value_parser = object)]
    definition: Map<String, Value>,
    /// all, queues, exchanges, `classic_queues` or `quorum_queues`.
    #[arg(long, value_name = "KIND", default_value = "all")]
    apply_to: String,
    /// The highest one that matches applies.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    priority: i64,
    #[command(flatten)]
    place: InVhost,
}

impl PolicyArgs {
    fn put(&self, client: &Client, place: &str) -> Result<bool, Failure> {
        let body = json!({
            "pattern": self.pattern, "definition": self.definition, "apply-to": self.apply_to,
            "priority": self.priority,
        });
        client.put(&path([place, self.place.vhost.as_str(), self.name.as_str()]), &body)
    }
}

fn json_value(text: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("not JSON (a text needs quotes, as in '\"text\"'): {error}"))
}

/// Runs the command.
pub(super) fn run(client: &Client, what: &Declare, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let (new, name) = declare(client, what)?;
    super::said(out, json, if new { "declared" } else { "updated" }, &name)
}

fn declare(client: &Client, what: &Declare) -> Result<(bool, String), Failure> {
    Ok(match what {
        Declare::Vhost { name, description, tags, default_queue_type } => {
            let mut body = Map::new();
            body.extend(description.iter().map(|text| ("description".to_owned(), json!(text))));
            body.extend(tags.iter().map(|tags| ("tags".to_owned(), json!(tags))));
            body.extend(default_queue_type.iter().map(|kind| ("default_queue_type".to_owned(), json!(kind))));
            (client.put(&path(["vhosts", name.as_str()]), &body.into())?, format!("vhost {name}"))
        }
        Declare::Queue { name, place, kind, durable, arguments } => {
            let mut arguments = arguments.arguments.clone();
            if let Some(kind) = kind {
                arguments.insert("x-queue-type".to_owned(), json!(kind));
            }
            let body = json!({
                "durable": durable.durable, "auto_delete": durable.auto_delete, "arguments": arguments,
            });
            let place = path(["queues", place.vhost.as_str(), name.as_str()]);
            (client.put(&place, &body)?, format!("queue {name}"))
        }
        Declare::Exchange { name, kind, place, durable, internal, arguments } => {
            let body = json!({
                "type": kind, "durable": durable.durable, "auto_delete": durable.auto_delete,
                "internal": internal, "arguments": arguments.arguments,
            });
            let place = path(["exchanges", place.vhost.as_str(), name.as_str()]);
            (client.put(&place, &body)?, format!("exchange {name}"))
        }
        Declare::Binding(args) => {
            let body = json!({ "routing_key": args.key, "arguments": args.arguments.arguments });
            client.post(&args.path(), &body)?;
            (true, format!("binding {} -> {}", args.source, args.destination))
        }
        Declare::User { name, .. } => {
            let (new, no_password) = user(client, what)?;
            let hint = if no_password { ", which cannot log in without --new-password" } else { "" };
            (new, format!("user {name}{hint}"))
        }
        Declare::Permission { user, place, configure, write, read } => {
            let body = json!({ "configure": configure, "write": write, "read": read });
            let place = path(["permissions", place.vhost.as_str(), user.as_str()]);
            (client.put(&place, &body)?, format!("permission of {user}"))
        }
        Declare::TopicPermission { user, exchange, place, write, read } => {
            let body = json!({ "exchange": exchange, "write": write, "read": read });
            let place = path(["topic-permissions", place.vhost.as_str(), user.as_str()]);
            (client.put(&place, &body)?, format!("topic permission of {user} for {exchange}"))
        }
        Declare::Policy(args) => (args.put(client, "policies")?, format!("policy {}", args.name)),
        Declare::OperatorPolicy(args) => {
            (args.put(client, "operator-policies")?, format!("operator policy {}", args.name))
        }
        Declare::Parameter { component, name, value, place } => {
            let body = json!({ "value": value });
            let place = path(["parameters", component.as_str(), place.vhost.as_str(), name.as_str()]);
            (client.put(&place, &body)?, format!("parameter {component}/{name}"))
        }
        Declare::GlobalParameter { name, value } => {
            let place = path(["global-parameters", name.as_str()]);
            (client.put(&place, &json!({ "value": value }))?, format!("global parameter {name}"))
        }
        Declare::VhostLimit { name, value, place } => {
            let place = path(["vhost-limits", place.vhost.as_str(), name.as_str()]);
            (client.put(&place, &json!({ "value": value }))?, format!("limit {name}"))
        }
        Declare::UserLimit { user, name, value } => {
            let place = path(["user-limits", user.as_str(), name.as_str()]);
            (client.put(&place, &json!({ "value": value }))?, format!("limit {name} of {user}"))
        }
    })
}

/// The tags that grant something.
const TAGS: [&str; 5] = ["administrator", "monitoring", "policymaker", "management", "impersonator"];

/// Whether the user is new, and whether it has no password.
fn user(client: &Client, what: &Declare) -> Result<(bool, bool), Failure> {
    let Declare::User { name, tags, new_password, new_password_file, password_hash } = what else {
        return Ok((false, false));
    };
    let given = tags.iter().flatten().map(|tag| tag.trim()).filter(|tag| !tag.is_empty());
    if let Some(unknown) = given.into_iter().find(|tag| !TAGS.contains(tag)) {
        return Err(Failure::Usage(format!("--tags: unknown tag {unknown:?}{}", meant(unknown, &TAGS))));
    }
    let place = path(["users", name.as_str()]);
    let old = match client.get(&place) {
        Ok(old) => Some(old),
        Err(failure) if failure.is_not_found() => None,
        Err(failure) => return Err(failure),
    };
    let mut body = Map::new();
    for member in ["tags", "password_hash", "hashing_algorithm"] {
        let kept = old.as_ref().and_then(|old| old.get(member)).cloned();
        body.extend(kept.map(|value| (member.to_owned(), value)));
    }
    let tags = tags.as_ref().map(|tags| json!(tags));
    let tags = tags.or_else(|| body.remove("tags")).unwrap_or_else(|| json!([]));
    body.insert("tags".to_owned(), tags);
    let password = match (new_password, new_password_file) {
        (Some(password), _) if password.reveal() == "-" => {
            Some(password_from_person(&format!("New password of {name}:"))?)
        }
        (Some(password), _) => Some(password.clone()),
        (None, Some(file)) => Some(password_from_file(file)?),
        (None, None) => None,
    };
    if password.is_some() || password_hash.is_some() {
        body.remove("password_hash");
        body.remove("hashing_algorithm");
    }
    body.extend(password.map(|password| ("password".to_owned(), json!(password.reveal()))));
    body.extend(password_hash.iter().map(|hash| ("password_hash".to_owned(), json!(hash))));
    let given = |name: &str| body.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let no_password = !given("password") && !given("password_hash");
    Ok((client.put(&place, &body.into())?, no_password))
}
