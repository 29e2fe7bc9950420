//! Loading of stored definitions at startup, one by one.

use std::collections::HashSet;
use std::sync::Arc;

use leveret_message::QueueId;

use super::broker::{Broker, Found, StartError};
use super::definitions::{BindingDefinition, Changes, Key, rank, read};
use super::login_options::Admin;
use super::lost::{DECLARED, Notes};
use super::users::{PermissionRecord, UserRecord, hash_password};
use super::vhost::{Vhost, VhostRecord};

impl Broker {
    /// Loads recovered state. An unusable definition affects only itself.
    pub(super) fn load(&self, found: Found) -> Result<(), StartError> {
        let Found { definitions, remnants, mut queues, .. } = found;
        // Binding ends before bindings, vhosts first.
        let mut sorted: Vec<_> =
            definitions.iter().map(|(key, value)| (rank(key), &**key, &**value)).collect();
        sorted.sort_by_key(|(rank, key, _)| (*rank, *key));
        let mut changes = Changes::default();
        self.find_vhosts(&sorted, &mut changes);
        let mut notes = Notes::default();
        for (_, key, value) in sorted {
            let loaded = match Key::kind(key) {
                "gone" | "orphan" | "aside" => load_note(key, value, &mut notes),
                _ => self.put_in_place(key, value, &mut queues),
            };
            match loaded {
                Ok(()) => rename_binding(key, value, &mut changes),
                Err(why) => self.lost.is_unreadable(key, value, why),
            }
        }
        self.commit_or_owe(&changes);
        Ok(self.take_in_orphans(queues, notes, &remnants)?)
    }

    /// Creates the vhost `/` if there is no vhost. If there is no user, creates one with full access to it: the
    /// configured one, else guest, but only on a first start. Losing users must not open the broker to a well-known
    /// password.
    pub(super) fn provide_access(
        &self,
        admin: Option<&Admin>,
        started_before: bool,
    ) -> Result<(), StartError> {
        let mut changes = Changes::default();
        if self.vhosts.is_empty() {
            changes.put(Key::vhost("/"), &VhostRecord::default());
        }
        let lost = started_before || self.lost.has_kind("user");
        if self.users.is_empty() && admin.is_none() && lost {
            tracing::error!(
                "no user exists, and guest is created on a first start only: add one on this machine with \
                 `rabbitmqctl add_user`, or start with admin_user and admin_password set"
            );
        } else if self.users.is_empty() {
            let (name, password) = admin
                .map_or(("guest", &b"guest"[..]), |admin| (admin.name.as_str(), admin.password.as_bytes()));
            let record = UserRecord {
                password_hash: hash_password(password).map_err(|_| StartError::Randomness)?,
                tags: vec!["administrator".to_owned()],
            };
            changes.put(Key::user(name), &record);
            changes.put(Key::permission(name, "/"), &PermissionRecord::all());
        }
        Ok(self.change(&changes)?)
    }

    /// Creates vhosts that contain objects but whose own definition is lost.
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

    /// Number of queues and delay rooms whose next message cannot currently be read from disk.
    pub fn unreadable(&self) -> usize {
        self.environment().unreadable.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Loads notes about queues without a definition, or deleted.
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

/// Stores a binding under the key by which its removal will look it up: earlier versions derived different keys from
/// arguments that JSON cannot represent.
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
