//! Stored definitions come back at a start, one by one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use leveret_queues::queue::Queue;
use leveret_queues::store::RecoveredQueue;
use leveret_queues::{Millis, QueueId, Seq};

use super::arguments::to_args;
use super::broker::{Broker, Found, StartError};
use super::deduplication::DeduplicationRule;
use super::definitions::{
    BindingDefinition, Changes, DelayDefinition, ExchangeDefinition, Key, QueueDefinition, rank, read,
};
use super::holder::Holder;
use super::lost::{DECLARED, Notes};
use super::names::{ExchangeName, QueueName};
use super::policy_changes::apply_to_exchange;
use super::queue_handle::Installed;
use super::queue_options::{self, QueueSpec};
use super::security::Admin;
use super::users::{PermissionRecord, UserRecord, hash_password};
use super::vhost::{Vhost, VhostRecord};

impl Broker {
    /// Takes in what was found on stable storage. What of it cannot be used costs itself only.
    pub(super) fn load(&self, found: Found, now: Millis) -> Result<(), StartError> {
        let Found { definitions, remnants, mut queues } = found;
        // Ends before bindings, vhosts before all.
        let mut sorted: Vec<_> =
            definitions.iter().map(|(key, value)| (rank(key), &**key, &**value)).collect();
        sorted.sort_by_key(|(rank, key, _)| (*rank, *key));
        let mut changes = Changes::default();
        self.find_vhosts(&sorted, &mut changes);
        let mut notes = Notes::default();
        for (_, key, value) in sorted {
            let loaded = match Key::kind(key) {
                "gone" | "orphan" | "aside" => load_note(key, value, &mut notes),
                _ => self.load_one(key, value, &mut queues, now),
            };
            match loaded {
                Ok(()) => rename_binding(key, value, &mut changes),
                Err(why) => self.lost.is_unreadable(key, value, why),
            }
        }
        self.commit_or_owe(&changes);
        Ok(self.take_in_orphans(queues, notes, &remnants)?)
    }

    /// A first start has the vhost `/` and a user who may do everything there: the one that is given, or
    /// guest.
    pub(super) fn first_start(&self, admin: Option<&Admin>) -> Result<(), StartError> {
        let mut changes = Changes::default();
        if self.vhosts.is_empty() {
            self.vhosts.insert("/".to_owned(), Arc::new(Vhost::new("/")));
            changes.put(Key::vhost("/"), &serde_json::json!({}));
        }
        // Whose users cannot be read, gets no guest with a password that everybody knows.
        if self.users.is_empty() && (admin.is_some() || !self.lost.has_kind("user")) {
            let (name, password) = admin
                .map_or(("guest", &b"guest"[..]), |admin| (admin.name.as_str(), admin.password.as_bytes()));
            let record = UserRecord {
                password_hash: hash_password(password).map_err(|_| StartError::Randomness)?,
                tags: vec!["administrator".to_owned()],
            };
            changes.put(Key::user(name), &record);
            changes.put(Key::permission(name, "/"), &PermissionRecord::all());
            self.users.put(name, record);
            self.users
                .permit(name, "/", PermissionRecord::all())
                .map_err(|error| StartError::Storage(error.to_string()))?;
        }
        Ok(self.commit(&changes)?)
    }

    /// Makes the vhosts that something is declared in, and whose own definition is lost.
    fn find_vhosts(&self, sorted: &[(u8, &str, &[u8])], changes: &mut Changes) {
        let known: HashSet<_> = sorted
            .iter()
            .filter(|(_, key, _)| Key::kind(key) == "vhost")
            .map(|(_, key, _)| Key::part(key, 0))
            .collect();
        for (_, key, _) in sorted {
            let declared = DECLARED.contains(&Key::kind(key));
            let name = Key::part(key, 0);
            if declared && !known.contains(name) && self.vhost(name).is_none() {
                tracing::error!(
                    "the definition of vhost '{name}' is lost; it is made anew for what is in it"
                );
                self.vhosts.insert(name.to_owned(), Arc::new(Vhost::new(name)));
                changes.put(Key::vhost(name), &VhostRecord::default());
            }
        }
    }

    pub(super) fn load_one(
        &self,
        key: &str,
        value: &[u8],
        queues: &mut HashMap<QueueId, RecoveredQueue>,
        now: Millis,
    ) -> Result<(), String> {
        match Key::kind(key) {
            "vhost" => {
                let name = Key::part(key, 0);
                let vhost = Arc::new(Vhost::new(name));
                // Whatever it says of itself, what is in it is not to go with it.
                self.vhosts.insert(name.to_owned(), Arc::clone(&vhost));
                *vhost.record.write() = read(value)?;
            }
            "user" => self.users.put(Key::part(key, 0), read::<UserRecord>(value)?),
            "permission" => {
                let record = read::<PermissionRecord>(value)?;
                self.users
                    .permit(Key::part(key, 0), Key::part(key, 1), record)
                    .map_err(|error| error.to_string())?;
            }
            "exchange" => {
                let stored: ExchangeDefinition = read(value)?;
                let vhost = self.vhost(&stored.vhost).ok_or("its vhost is missing")?;
                let spec = leveret_exchanges::ExchangeSpec {
                    kind: &stored.kind,
                    durable: true,
                    auto_delete: stored.auto_delete,
                    internal: stored.internal,
                    args: to_args(&stored.arguments),
                };
                let rule = DeduplicationRule::read(&stored.arguments)
                    .map_err(|(name, why)| format!("{name}: {why}"))?;
                let mut topology = vhost.topology.write();
                topology.router.declare(&stored.name, spec).map_err(|refusal| refusal.to_string())?;
                topology.install_features(&stored.name, rule, None);
                apply_to_exchange(&mut topology, &vhost.policies(), &stored.name);
            }
            "queue" => {
                let stored: QueueDefinition = read(value)?;
                let vhost = self.vhost(&stored.vhost).ok_or("its vhost is missing")?;
                let name = QueueName::new(&stored.name);
                let id = stored.id();
                let spec = QueueSpec {
                    durable: true,
                    auto_delete: stored.auto_delete,
                    exclusive_owner: None,
                    hidden: false,
                    arguments: stored.arguments,
                };
                let options = queue_options::read(&name, &vhost.name, &spec, false)
                    .map_err(|refusal| refusal.to_string())?;
                let in_force = options.in_force(vhost.policies().matched(options.object(), name.as_str()));
                if let Some(upto) = stored.adopted_upto {
                    self.environment().adopted(id, Seq(upto));
                }
                let queue = match queues.remove(&id) {
                    Some(found) => Queue::recover(in_force.settings, &found, now),
                    None => Queue::new(in_force.settings, now),
                };
                let deduplication = options.deduplication;
                self.install_queue(&vhost, id, &name, spec, Installed { in_force, deduplication, queue });
            }
            "delay" => {
                let stored: DelayDefinition = read(value)?;
                let vhost = self.vhost(&stored.vhost).ok_or("its vhost is missing")?;
                let exchange = ExchangeName::new(&stored.exchange);
                let id = QueueId(stored.id);
                let holder = Holder::new(id, &vhost.name, &exchange, true, self.environment());
                if let Some(found) = queues.remove(&id) {
                    holder.restore(&found, now);
                }
                let mut topology = vhost.topology.write();
                let features = topology.features.entry(exchange.as_str().as_bytes().into());
                features.or_default().holder = Some(holder);
            }
            "binding" => {
                let stored: BindingDefinition = read(value)?;
                let vhost = self.vhost(&stored.vhost).ok_or("its vhost is missing")?;
                let mut topology = vhost.topology.write();
                let end = match stored.destination_kind {
                    super::definitions::DestinationKind::Queue => {
                        let slot = topology.by_name.get(stored.destination.as_str());
                        leveret_exchanges::Destination::Queue(*slot.ok_or("its queue is missing")?)
                    }
                    super::definitions::DestinationKind::Exchange => {
                        leveret_exchanges::Destination::Exchange(stored.destination.as_str())
                    }
                };
                let args = to_args(&stored.arguments);
                topology
                    .router
                    .bind(&stored.source, end, &stored.routing_key, args)
                    .map_err(|refusal| refusal.to_string())?;
            }
            _ => return self.load_rule(key, value),
        }
        Ok(())
    }

    /// Queues and delayed exchanges whose next message the disk does not give at present.
    pub fn unreadable(&self) -> usize {
        self.environment().unreadable.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Takes in what is stored about queues that have no definition, or no longer.
fn load_note(key: &str, value: &[u8], notes: &mut Notes) -> Result<(), String> {
    if Key::kind(key) == "aside" {
        return Ok(());
    }
    let id = Key::part(key, 0).parse().map(QueueId).map_err(|error| format!("its id: {error}"))?;
    if Key::kind(key) == "gone" {
        notes.graves.insert(id);
        return Ok(());
    }
    let known = read(value)?;
    notes.orphans.insert(id, known);
    Ok(())
}

/// Gives a binding the key by which it will be found when it goes: earlier versions derived others from arguments
/// that JSON cannot hold.
fn rename_binding(key: &str, value: &[u8], changes: &mut Changes) {
    if Key::kind(key) != "binding" {
        return;
    }
    if let Ok(stored) = read::<BindingDefinition>(value)
        && !Key::binding(&stored).is(key)
    {
        changes.remove_stored(key);
        changes.put(Key::binding(&stored), &stored);
    }
}
