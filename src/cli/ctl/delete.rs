//! `leveret ctl delete`: deletes objects.

use std::io::Write;

use clap::Subcommand;
use serde_json::Value;

use super::declare::{BindingArgs, InVhost};
use crate::cli::client::{Client, Failure, path, quoted};

/// What to delete.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Delete {
    /// A virtual host with all that is in it.
    Vhost {
        /// Its name.
        name: String,
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
    let (place, name) = match what {
        Delete::Vhost { name } => (path(["vhosts", name.as_str()]), format!("vhost {name}")),
        Delete::Queue { name, place, if_unused, if_empty } => (
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
        Delete::User { name } => (path(["users", name.as_str()]), format!("user {name}")),
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
    client.delete(&place)?;
    super::said(out, json, "deleted", &name)
}
