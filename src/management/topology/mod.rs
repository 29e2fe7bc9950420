//! Topology against the broker's state: the difference (`topology/plan`), applying it (`topology/apply`), and drift
//! from the file given at startup (`topology/drift`).
//!
//! Invariants: exactly the plan is applied, or nothing; nothing is changed while anything is in conflict, unless the
//! caller asks to skip conflicts; all objects created in a vhost are created in one commit.

mod apply;
mod declared;
mod rules;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use leveret_broker::password;
use leveret_queues::Counts;
use leveret_topology::{Id, Kind, Options, Plan, Topology, World};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::access::Login;
use super::audit::{Note, noted};
use super::body::Unread;
use super::error::{Refused, Result};
use super::{Api, Shared, export};

pub use declared::DeclaredTopology;
pub(super) use declared::{Declared, drifted, start};

/// What is wished for.
#[derive(Deserialize, utoipa::ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
pub(super) struct Wish {
    /// Definitions, as `GET /api/definitions` gives them.
    topology: Map<String, Value>,
    /// Delete what is in the topology's vhosts and not in it.
    #[serde(default)]
    prune: bool,
    /// Delete vhosts that are not in it, too.
    #[serde(default)]
    prune_vhosts: bool,
    /// Delete even what holds messages or is in use.
    #[serde(default)]
    force: bool,
    /// Change queues and exchanges in ways that AMQP cannot: in place, with their messages, consumers and
    /// bindings.
    #[serde(default)]
    migrate: bool,
    /// Apply the rest, although something is in conflict or guarded.
    #[serde(default)]
    skip_conflicts: bool,
    /// The digest of the plan that was agreed to.
    digest: Option<String>,
}

impl Wish {
    fn options(&self) -> Options {
        Options {
            prune: self.prune,
            prune_vhosts: self.prune_vhosts,
            force: self.force,
            migrate: self.migrate,
        }
    }

    /// The wanted topology, and the plan that leads to it.
    fn planned(&self, api: &Shared, login: &Login) -> Result<(Topology, Plan)> {
        let wanted = leveret_topology::from_definitions(&Value::Object(self.topology.clone()));
        let mut wanted = wanted.map_err(|complaints| Refused::bad_request(complaints.join("; ")))?;
        let plan = planned(api, Some(login.user.as_str()), &mut wanted, self.options())?;
        Ok((wanted, plan))
    }
}

/// The broker as the [`World`] of a difference.
struct Live<'a> {
    api: &'a Shared,
    caller: Option<&'a str>,
}

impl World for Live<'_> {
    fn password_is(&self, user: &str, _: &Map<String, Value>, password: &str) -> bool {
        let record = self.api.broker.users.user(user);
        record.is_some_and(|record| password::verify(password.as_bytes(), &record.password_hash))
    }

    fn in_use(&self, id: &Id) -> Option<String> {
        let broker = &self.api.broker;
        let connected = |which: &dyn Fn(&leveret_broker::registry::ConnectionHandle) -> bool| {
            let count = broker.registry.connections().iter().filter(|connection| which(connection)).count();
            (count > 0).then(|| format!("{count} connections"))
        };
        match id.kind {
            Kind::Queue => {
                let counts = broker.vhost(&id.vhost)?.queue(id.part(0))?.counts();
                queue_in_use(&counts)
            }
            Kind::Exchange => {
                let held = broker.vhost(&id.vhost)?.delay_room(id.part(0))?.count();
                (held > 0).then(|| format!("{held} delayed messages"))
            }
            Kind::User => connected(&|connection| connection.facts.user.as_str() == id.part(0)),
            Kind::Vhost => {
                let vhost = broker.vhost(id.part(0))?;
                if vhost.record.read().protected {
                    return Some("it is protected from deletion".to_owned());
                }
                let messages: u64 = vhost.queues().iter().map(|queue| queue.counts().total()).sum();
                let held = (messages > 0).then(|| format!("{messages} messages"));
                held.or_else(|| connected(&|connection| connection.facts.vhost == vhost.name))
            }
            _ => None,
        }
    }

    fn caller(&self) -> Option<&str> {
        self.caller
    }
}

fn queue_in_use(counts: &Counts) -> Option<String> {
    match (counts.total(), counts.consumers) {
        (0, 0) => None,
        (messages, 0) => Some(format!("{messages} messages")),
        (messages, consumers) => Some(format!("{messages} messages, {consumers} consumers")),
    }
}

/// The broker's declared objects.
fn live(api: &Shared) -> Result<Topology> {
    let definitions = export::everything(api);
    leveret_topology::from_definitions(&definitions)
        .map_err(|complaints| Refused::unavailable(complaints.join("; ")))
}

fn planned(api: &Shared, caller: Option<&str>, wanted: &mut Topology, options: Options) -> Result<Plan> {
    let live = live(api)?;
    leveret_topology::settle_types(wanted, &live);
    Ok(leveret_topology::difference(wanted, &live, options, &Live { api, caller }))
}

/// Identifies a plan.
fn digest(plan: &Plan) -> String {
    let digest = Sha256::digest(plan.to_json().to_string());
    digest.iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn shown(plan: &Plan) -> Value {
    let mut shown = plan.to_json();
    shown["digest"] = json!(digest(plan));
    shown
}

/// `POST topology/plan`.
pub(super) async fn plan(State(api): State<Api>, login: Login, body: Unread) -> Result<Json<Value>> {
    login.administrator()?;
    let wish: Wish = body.object().await?;
    // Checking passwords is slow.
    let (_, plan) = tokio::task::block_in_place(|| wish.planned(&api, &login))?;
    Ok(Json(shown(&plan)))
}

/// `POST topology/apply`.
pub(super) async fn apply(State(api): State<Api>, login: Login, body: Unread) -> Result<Response> {
    login.administrator()?;
    let wish: Wish = body.object().await?;
    let plan = tokio::task::block_in_place(|| {
        let _one_at_a_time = api.topology.applying.lock();
        let (wanted, plan) = wish.planned(&api, &login)?;
        if wish.digest.as_ref().is_some_and(|agreed| *agreed != digest(&plan)) {
            return Err(Refused::conflict("the broker has changed since the plan was made; plan again"));
        }
        if let Some(step) = plan.steps.iter().find(|step| step.is_blocked() && !wish.skip_conflicts) {
            let why = step.why.as_deref().unwrap_or_default();
            return Err(Refused::conflict(format!("nothing was changed: {}: {why}", step.id)));
        }
        apply::apply(&api, &login, &wanted, &plan, wish.force)?;
        Ok(plan)
    })?;
    declared::note(&Arc::clone(&api));
    let changes = plan.steps.iter().filter(|step| !step.is_blocked()).count();
    let done = format!("applied a topology: {changes} changes, {} unchanged", plan.unchanged);
    Ok(noted(Json(shown(&plan)).into_response(), Note::Done(done)))
}

/// `GET topology/drift`.
pub(super) async fn drift(State(api): State<Api>, login: Login) -> Result<Json<Value>> {
    login.administrator()?;
    tokio::task::block_in_place(|| declared::drift(&api)).map(Json)
}
