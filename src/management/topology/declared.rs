//! The topology given at startup: applied before the first client is admitted, re-applied on reload, and compared
//! with the broker's state from then on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leveret_broker::identity::Identity;
use leveret_broker::names::UserName;
use leveret_broker::password;
use leveret_topology::{Kind, Options, OwnSecrets, Topology};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::access::Login;
use super::super::error::{Refused, Result};
use super::super::{Api, Shared};
use super::{apply, planned};

/// Interval of drift checks for metrics.
const COMPARED_EVERY: Duration = Duration::from_secs(15);

/// The file's contents.
struct Known {
    path: PathBuf,
    topology: Topology,
}

/// The declared topology, and how far the broker has drifted from it.
#[derive(Default)]
pub(in crate::management) struct Declared {
    known: Mutex<Option<Known>>,
    drifted: AtomicU64,
    /// Held while a topology is applied.
    pub(super) applying: Mutex<()>,
}

/// Re-applies the declared topology.
pub struct DeclaredTopology(pub(in crate::management) Api);

impl DeclaredTopology {
    /// Reads the file again and applies it; without a path nothing is declared from now on.
    ///
    /// # Errors
    /// The errors in the file; nothing is changed then.
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

/// Applies the file, if given, and monitors drift from now on.
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

/// Reads and applies. Conflicting objects are left as they are, logged, and reported as drift: refusing to start
/// because somebody changed a queue by hand helps nobody.
fn declare(api: &Shared, path: &Path) -> std::result::Result<(), String> {
    let mut wanted = leveret_topology::read(path, &OwnSecrets).map_err(|error| error.to_string())?;
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

/// Replaces plain passwords from the file by the hashes that the broker stored.
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

/// Number of declared objects that have drifted; `None` if none are declared.
pub(in crate::management) fn drifted(api: &Shared) -> Option<u64> {
    api.topology.known.lock().as_ref().map(|_| api.topology.drifted.load(Ordering::Relaxed))
}

/// Differences from the declared topology, with the places of the declarations.
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
