//! `leveret ctl delete`: deletes objects.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::declare::{BindingArgs, InVhost};
use super::missing;
use crate::cli::client::{Client, Failure, path, quoted};
use crate::cli::counted;
use crate::cli::topology::agreed;

/// What was agreed to.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Agreed {
    /// Do not ask, even if messages are lost or it is your own user.
    #[arg(long)]
    yes: bool,
}

/// What to delete.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Delete {
    /// A virtual host with all that is in it.
    Vhost {
        /// Its name.
        name: String,
        #[command(flatten)]
        agreed: Agreed,
    },
    /// A queue with its messages.
    Queue {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: InVhost,
        /// Only if nobody consumes from it.
        #[arg(long)]
        if_unused: bool,
        /// Only if there are no messages in it.
        #[arg(long)]
        if_empty: bool,
        #[command(flatten)]
        agreed: Agreed,
    },
    /// An exchange with its bindings.
    Exchange {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: InVhost,
        /// Only if nothing is bound to it.
        #[arg(long)]
        if_unused: bool,
    },
    /// A binding: the one with this key and these arguments.
    Binding(BindingArgs),
    /// A user with its permissions.
    User {
        /// Its name.
        name: String,
        #[command(flatten)]
        agreed: Agreed,
    },
    /// A user's permissions in a vhost.
    Permission {
        /// The user.
        user: String,
        #[command(flatten)]
        place: InVhost,
    },
    /// A user's topic permissions in a vhost; all, or those for one exchange.
    TopicPermission {
        /// The user.
        user: String,
        /// The exchange.
        exchange: Option<String>,
        #[command(flatten)]
        place: InVhost,
    },
    /// A policy.
    Policy {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: InVhost,
    },
    /// A policy that caps what other policies may set.
    OperatorPolicy {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: InVhost,
    },
    /// A runtime parameter.
    Parameter {
        /// What it is for.
        component: String,
        /// Its name.
        name: String,
        #[command(flatten)]
        place: InVhost,
    },
    /// A runtime parameter of the whole broker.
    GlobalParameter {
        /// Its name.
        name: String,
    },
    /// A limit of a vhost.
    VhostLimit {
        /// Which: max-connections or max-queues.
        name: String,
        #[command(flatten)]
        place: InVhost,
    },
    /// A limit of a user.
    UserLimit {
        /// The user.
        user: String,
        /// Which: max-connections or max-channels.
        name: String,
    },
}

/// Deletes. A missing object is a failure, so that a wrong name is noticed.
pub(super) fn run(client: &Client, what: &Delete, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if let Some(question) = question(client, what)? {
        // Asked on standard error: standard output is for the answer.
        if !agreed(&mut io::stderr(), &question)? {
            return Err(Failure::Failed("nothing was deleted".to_owned()));
        }
    }
    let (place, name) = match what {
        Delete::Vhost { name, .. } => (path(["vhosts", name.as_str()]), format!("vhost {name}")),
        Delete::Queue { name, place, if_unused, if_empty, .. } => (
            format!(
                "{}?if-unused={if_unused}&if-empty={if_empty}",
                path(["queues", place.vhost.as_str(), name.as_str()])
            ),
            format!("queue {name}"),
        ),
        Delete::Exchange { name, place, if_unused } => (
            format!("{}?if-unused={if_unused}", path(["exchanges", place.vhost.as_str(), name.as_str()])),
            format!("exchange {name}"),
        ),
        Delete::Binding(args) => {
            let all = client.list(&args.path())?;
            let key =
                all.iter().find(|binding| args.is(binding)).and_then(|binding| binding.get("properties_key"));
            let Some(key) = key.and_then(Value::as_str) else {
                return Err(Failure::Failed("no binding with this key and these arguments".to_owned()));
            };
            (
                format!("{}/{}", args.path(), quoted(key)),
                format!("binding {} -> {}", args.source, args.destination),
            )
        }
        Delete::User { name, .. } => (path(["users", name.as_str()]), format!("user {name}")),
        Delete::Permission { user, place } => {
            (path(["permissions", place.vhost.as_str(), user.as_str()]), format!("permission of {user}"))
        }
        Delete::TopicPermission { user, exchange, place } => {
            let segments = ["topic-permissions", place.vhost.as_str(), user.as_str()];
            (path(segments.into_iter().chain(exchange.as_deref())), format!("topic permission of {user}"))
        }
        Delete::Policy { name, place } => {
            (path(["policies", place.vhost.as_str(), name.as_str()]), format!("policy {name}"))
        }
        Delete::OperatorPolicy { name, place } => (
            path(["operator-policies", place.vhost.as_str(), name.as_str()]),
            format!("operator policy {name}"),
        ),
        Delete::Parameter { component, name, place } => (
            path(["parameters", component.as_str(), place.vhost.as_str(), name.as_str()]),
            format!("parameter {component}/{name}"),
        ),
        Delete::GlobalParameter { name } => {
            (path(["global-parameters", name.as_str()]), format!("global parameter {name}"))
        }
        Delete::VhostLimit { name, place } => {
            (path(["vhost-limits", place.vhost.as_str(), name.as_str()]), format!("limit {name}"))
        }
        Delete::UserLimit { user, name } => {
            (path(["user-limits", user.as_str(), name.as_str()]), format!("limit {name} of {user}"))
        }
    };
    let count = client.delete(&place).map_err(|failure| missing::explained(client, &place, failure))?;
    super::said_with(out, json, "deleted", &name, "message", count)
}

/// What to ask before something is deleted that cannot be had again.
fn question(client: &Client, what: &Delete) -> Result<Option<String>, Failure> {
    let messages = |place: &str| match client.get(&format!("{place}?columns=messages")) {
        Ok(found) => Ok(found.get("messages").and_then(Value::as_u64).unwrap_or(0)),
        Err(failure) => Err(missing::explained(client, place, failure)),
    };
    let (name, held) = match what {
        Delete::Queue { name, place, if_empty: false, agreed: Agreed { yes: false }, .. } => {
            let place = path(["queues", place.vhost.as_str(), name.as_str()]);
            (format!("Queue {name}"), messages(&place)?)
        }
        Delete::Vhost { name, agreed: Agreed { yes: false } } => {
            (format!("Vhost {name}"), messages(&path(["vhosts", name.as_str()]))?)
        }
        Delete::User { name, agreed: Agreed { yes: false } } => {
            let me = client.get("/api/whoami")?;
            let own = me.get("name").and_then(Value::as_str) == Some(name);
            return Ok(own.then(|| format!("{name} is the user of this command. Delete it?")));
        }
        _ => return Ok(None),
    };
    Ok((held > 0).then(|| format!("{name} holds {}. Delete it with them?", counted(held, "message"))))
}
