//! The topology that the broker was started with: applied before the first client is let in, again on
//! reload, and compared with what is there ever since.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::access::Login;
use super::super::error::{Refused, Result};
use super::super::{Api, Shared};
use super::{apply, planned};
use crate::broker::identity::Identity;
use crate::broker::names::UserName;
use crate::broker::password;
use crate::topology::{self, Kind, Options, OwnSecrets, Topology};

/// How often what is there is compared with what is declared, for metrics.
const COMPARED_EVERY: Duration = Duration::from_secs(15);

/// What the file says.
struct Known {
    path: PathBuf,
    topology: Topology,
}

/// What is declared, and how far what is there has gone from it.
#[derive(Default)]
pub(in crate::management) struct Declared {
    known: Mutex<Option<Known>>,
    drifted: AtomicU64,
    /// Held while a topology is applied.
    pub(super) applying: Mutex<()>,
}

/// Has the declared topology applied again.
pub struct DeclaredTopology(pub(in crate::management) Api);

impl DeclaredTopology {
    /// Reads the file again and applies it; without one nothing is declared from now on.
    ///
    /// # Errors
    /// What is wrong with the file; then nothing is changed.
    pub fn reload(&self, path: Option<&Path>) -> std::result::Result<(), String> {
        let Some(path) = path else {
            *self.0.topology.known.lock() = None;
            return Ok(());
        };
        declare(&self.0, path)
    }
}

impl std::fmt::Debug for DeclaredTopology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeclaredTopology")
    }
}

/// Applies the file, if there is one, and compares with what is declared from now on.
pub(in crate::management) fn start(api: &Api, path: Option<&Path>) -> std::result::Result<(), String> {
    if let Some(path) = path {
        tokio::task::block_in_place(|| declare(api, path))?;
    }
    let api = Arc::downgrade(api);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(COMPARED_EVERY);
        loop {
            ticks.tick().await;
            let Some(api) = api.upgrade() else { return };
            tokio::task::block_in_place(|| note(&api));
        }
    });
    Ok(())
}

/// Reads and applies. What is in conflict is left as it is, said in the log, and seen as drift: a broker
/// that does not start because somebody changed a queue by hand helps nobody.
fn declare(api: &Shared, path: &Path) -> std::result::Result<(), String> {
    let mut wanted = topology::read(path, &OwnSecrets).map_err(|error| error.to_string())?;
    let _one_at_a_time = api.topology.applying.lock();
    let user = UserName::new("topology");
    let tags = Arc::new(["administrator".to_owned()]);
    let login = Login { user: user.clone(), tags, identity: Identity::stored(user) };
    let said = |wanted: &Topology, refused: Refused| {
        let place = refused.object().and_then(|object| wanted.place_of(object));
        let place = place.map_or_else(|| path.display().to_string(), ToString::to_string);
        format!("{place}: {}", refused.reason())
    };
    let plan = planned(api, None, &mut wanted, Options::default());
    let plan = plan.map_err(|refused| said(&wanted, refused))?;
    for step in plan.steps.iter().filter(|step| step.is_blocked()) {
        let place = wanted.objects.get(&step.id).and_then(|object| object.place.as_ref());
        let place = place.map_or_else(|| path.display().to_string(), ToString::to_string);
        tracing::error!("topology: {place}: {}: {}", step.id, step.why.as_deref().unwrap_or_default());
    }
    apply::apply(api, &login, &wanted, &plan, false).map_err(|refused| said(&wanted, refused))?;
    let done = plan.steps.iter().filter(|step| !step.is_blocked()).count();
    tracing::info!("topology: {}: {done} changes, {} unchanged", path.display(), plan.unchanged);
    forget_passwords(api, &mut wanted);
    *api.topology.known.lock() = Some(Known { path: path.to_owned(), topology: wanted });
    note(api);
    Ok(())
}

/// What was a password in the file is from now on the hash that the broker has of it.
fn forget_passwords(api: &Shared, wanted: &mut Topology) {
    for (id, object) in wanted.objects.iter_mut().filter(|(id, _)| id.kind == Kind::User) {
        if object.body.remove("password").is_some()
            && let Some(record) = api.broker.users.user(id.part(0))
        {
            let (hash, _) = password::exported(&record.password_hash);
            object.body.insert("password_hash".to_owned(), json!(hash));
        }
    }
}

/// Compares, for metrics.
pub(super) fn note(api: &Shared) {
    let mut known = api.topology.known.lock();
    if let Some(known) = &mut *known
        && let Ok(plan) = planned(api, None, &mut known.topology, Options::default())
    {
        api.topology.drifted.store(plan.steps.len() as u64, Ordering::Relaxed);
    }
}

/// How many declared objects are not as declared; `None` if none are declared.
pub(in crate::management) fn drifted(api: &Shared) -> Option<u64> {
    api.topology.known.lock().as_ref().map(|_| api.topology.drifted.load(Ordering::Relaxed))
}

/// What differs from the declared topology, with the places where it is declared.
pub(super) fn drift(api: &Shared) -> Result<Value> {
    let mut known = api.topology.known.lock();
    let Some(Known { path, topology }) = &mut *known else {
        return Ok(json!({ "declared": false, "drift": 0, "steps": [] }));
    };
    let plan = planned(api, None, topology, Options::default())?;
    api.topology.drifted.store(plan.steps.len() as u64, Ordering::Relaxed);
    let steps = plan.steps.iter().map(|step| {
        let place = topology.objects.get(&step.id).and_then(|object| object.place.as_ref());
        let mut shown = step.to_json();
        shown["place"] = json!(place.map(ToString::to_string));
        shown
    });
    Ok(json!({
        "declared": true,
        "file": path.display().to_string(),
        "drift": plan.steps.len(),
        "unchanged": plan.unchanged,
        "steps": steps.collect::<Vec<_>>(),
    }))
}
