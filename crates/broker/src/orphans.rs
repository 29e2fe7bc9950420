//! Orphaned queues, whose definitions are lost: found at startup, then adopted or discarded (`lost.rs`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use leveret_message::stored::RecoveredQueue;
use leveret_message::{QueueId, Seq};
use leveret_store::Record;

use super::apply::Recovered;
use super::arguments::{FieldTable, Value, get};
use super::broker::Broker;
use super::definitions::{Changes, Key, QueueDefinition};
use super::lost::{Notes, Orphan, Unreadable, is_declared_in};
use super::names::QueueName;
use super::queue_options::{self, QueueSpec};
use super::refusal::{Refusal, Resource};
use super::vhost::Vhost;

/// Maximum orphans named individually in the log.
const TOLD_MAX: usize = 100;

/// Target of an adoption.
#[derive(Clone, Debug)]
pub struct Adoption<'a> {
    /// Queue name.
    pub name: &'a QueueName,
    /// Arguments; `None` for its former ones.
    pub arguments: Option<FieldTable>,
}

impl Broker {
    /// All unreadable definitions.
    pub fn unreadable_definitions(&self) -> Vec<Unreadable> {
        self.lost.unreadable.lock().values().cloned().collect()
    }

    /// All orphans by id: queues with messages but no definition.
    pub fn orphans(&self) -> Vec<Orphan> {
        self.lost.orphans.lock().values().cloned().collect()
    }

    /// Sorts stored queues without a definition: deleted ones are dropped, all others kept.
    pub(super) fn take_in_orphans(
        &self,
        queues: HashMap<QueueId, RecoveredQueue>,
        notes: Notes,
        remnants: &[(Arc<str>, Arc<[u8]>)],
    ) -> Result<(), Refusal> {
        let known = self.lost.known(remnants);
        let mut changes = Changes::default();
        let mut gone = Vec::new();
        let mut orphans = BTreeMap::new();
        for (id, found) in queues {
            let (messages, bytes) =
                found.ranges.iter().fold((0, 0), |(m, b), range| (m + range.count, b + range.bytes));
            if messages == 0 || notes.graves.contains(&id) {
                gone.push(Record::Gone { queue: id });
                continue;
            }
            let stored = notes.orphans.get(&id);
            let last_known = stored.or_else(|| known.get(&id)).cloned();
            if let (None, Some(last_known)) = (stored, &last_known) {
                changes.put(Key::orphan(id), last_known);
            }
            orphans.insert(id, Orphan { id, messages, bytes, last_known, found });
        }
        for id in notes.orphans.keys().filter(|id| !orphans.contains_key(id)) {
            changes.remove(Key::orphan(*id));
        }
        tell(&orphans);
        *self.lost.orphans.lock() = orphans;
        self.commit_or_owe(&changes);
        if !gone.is_empty() {
            let told = self.store().append_each(&mut gone);
            told.map_err(|broken| Refusal::Storage(broken.to_string()))?;
        }
        self.graves.bury(self.store(), notes.graves);
        Ok(())
    }

    /// Turns an orphan into a queue of the vhost, with all its messages, which do not expire. Durable on return.
    pub fn adopt(&self, vhost: &Vhost, id: QueueId, adoption: &Adoption<'_>) -> Result<(), Refusal> {
        let name = adoption.name;
        super::queues::check_name(name)?;
        let _change = vhost.change()?;
        let resource = Resource::Queue(name.clone());
        if name.as_str().is_empty() {
            return Err(Refusal::Precondition("a queue without a name".to_owned()));
        }
        if vhost.queue(name.as_str()).is_some() {
            return Err(Refusal::Precondition(format!("{resource} is there already")));
        }
        let mut orphans = self.lost.orphans.lock();
        let orphan = orphans.get(&id).ok_or_else(|| no_orphan(id))?;
        let spec = QueueSpec {
            durable: true,
            auto_delete: false,
            exclusive_owner: None,
            hidden: false,
            arguments: arguments_of(orphan, adoption),
        };
        queue_options::read(name, &vhost.name, &spec, false)?;
        let adopted_upto = last_place(&orphan.found);
        let mut changes = Changes::default();
        let definition = QueueDefinition {
            vhost: vhost.name.as_str().to_owned(),
            name: name.as_str().to_owned(),
            id: id.0,
            auto_delete: false,
            arguments: spec.arguments,
            adopted_upto: Some(adopted_upto.0),
        };
        changes.put(Key::queue(&vhost.name, name), &definition);
        changes.remove(Key::orphan(id));
        self.commit(&changes)?;
        let mut recovered = Recovered::from([(id, orphan.found.clone())]);
        self.apply_with(&changes, |_| true, &mut recovered).map_err(Refusal::Storage)?;
        orphans.remove(&id);
        self.read_again(vhost);
        Ok(())
    }

    /// Retries bindings whose queue was missing.
    fn read_again(&self, vhost: &Vhost) {
        let mut unreadable = self.lost.unreadable.lock();
        unreadable.retain(|key, one| {
            let binding = Key::kind(key) == "binding" && is_declared_in(key, vhost.name.as_str());
            !binding || self.put_in_place(key, &one.bytes, &mut Recovered::new()).is_err()
        });
        vhost.changed();
    }

    /// Drops an orphan's messages. Durable on return.
    pub fn discard_orphan(&self, id: QueueId) -> Result<u64, Refusal> {
        let mut orphans = self.lost.orphans.lock();
        let orphan = orphans.get(&id).ok_or_else(|| no_orphan(id))?;
        let (vhost, name) = match &orphan.last_known {
            Some(known) => (known.vhost.clone(), known.name.clone()),
            None => (String::new(), String::new()),
        };
        let messages = orphan.messages;
        let mut changes = Changes::default();
        changes.put(Key::grave(id), &super::graves::Grave { vhost, name });
        changes.remove(Key::orphan(id));
        self.commit_removal(changes)?;
        orphans.remove(&id);
        drop(orphans);
        let told = self.store().append(&mut vec![Record::Gone { queue: id }]);
        if told.is_ok() {
            self.graves.bury(self.store(), [id]);
        }
        Ok(messages)
    }
}

fn no_orphan(id: QueueId) -> Refusal {
    Refusal::Precondition(format!("there is no {id} without a definition"))
}

fn last_place(found: &RecoveredQueue) -> Seq {
    let ends = found.ranges.iter().map(|range| range.last);
    ends.max().unwrap_or_default().max(found.last_seq)
}

/// The requested or former arguments, with all the priority levels its messages have.
fn arguments_of(orphan: &Orphan, adoption: &Adoption<'_>) -> FieldTable {
    const MAX_PRIORITY: &str = "x-max-priority";
    let had = orphan.last_known.as_ref().map(|known| known.arguments.clone());
    let mut arguments = adoption.arguments.clone().or(had).unwrap_or_default();
    let highest = orphan.found.ranges.iter().map(|range| range.priority_level).max().unwrap_or(0);
    if highest > 0 && get(&arguments, MAX_PRIORITY).is_none() {
        arguments.insert(MAX_PRIORITY.into(), Value::LongInt(i32::from(highest)));
    }
    arguments
}

fn tell(orphans: &BTreeMap<QueueId, Orphan>) {
    for orphan in orphans.values().take(TOLD_MAX) {
        let was = match &orphan.last_known {
            Some(known) if known.delayed => {
                format!("delayed messages of exchange '{}' in vhost '{}'", known.name, known.vhost)
            }
            Some(known) => format!("queue '{}' in vhost '{}'", known.name, known.vhost),
            None => "unknown queue".to_owned(),
        };
        let messages = orphan.messages;
        tracing::error!("{}: {messages} messages without a definition, kept (was: {was})", orphan.id);
    }
    if !orphans.is_empty() {
        tracing::error!(
            "{} queues have lost their definitions: see `leveret ctl lost`, where they can be adopted or discarded",
            orphans.len()
        );
    }
}
