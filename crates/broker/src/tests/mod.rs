//! The broker over definitions that fail on command, or are damaged.

mod cascade;
mod failing;
mod lost;
mod moved;
mod room;
mod rows;
mod short_memory;
mod wide;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use leveret_message::stored::RecoveredQueue;
use leveret_message::{Message, MessageMeta, Millis, QueueId, Short};
use leveret_store::Store;
use parking_lot::Mutex;

use super::Caller;
use super::arguments::{FieldTable, Value};
use super::bindings::BindingRequest;
use super::broker::{Broker, Found};
use super::definitions::{DefinitionStore, DestinationKind};
use super::exchanges::ExchangeRequest;
use super::limits::Limits;
use super::login_options::LoginOptions;
use super::names::{ExchangeName, QueueName, UserName, VhostName};
use super::publish::{Incoming, Publisher};
use super::queues::QueueRequest;
use super::refusal::Refusal;
use super::turn::{Aside, Turn};
use super::users::AccessRights;
use super::vhost::Vhost;

/// Stored definitions in memory.
#[derive(Clone, Default)]
struct Kept {
    map: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    next: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
    commits: Arc<AtomicU64>,
}

impl DefinitionStore for Kept {
    fn commit(&self, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), String> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if self.fails.load(Ordering::Relaxed) {
            return Err("No space left on device".to_owned());
        }
        let mut map = self.map.lock();
        for (key, value) in changes {
            match value {
                Some(value) => map.insert(key.clone(), value.clone()),
                None => map.remove(key),
            };
        }
        Ok(())
    }

    fn next_id(&self) -> Result<u64, String> {
        Ok(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl Kept {
    fn found(&self, queues: HashMap<QueueId, RecoveredQueue>) -> Found {
        let map = self.map.lock();
        let definitions = map.iter().map(|(key, value)| (key.as_str().into(), value.as_slice().into()));
        Found { definitions: definitions.collect(), queues, ..Found::default() }
    }

    fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    fn has(&self, kind: &str) -> bool {
        self.map.lock().keys().any(|key| key.split('\0').next() == Some(kind))
    }
}

thread_local! {
    /// Number of times this test moved work aside.
    static ASIDE: Cell<usize> = const { Cell::new(0) };
}

fn clock() -> Millis {
    Millis(1_000)
}

/// A broker and its stored definitions.
struct Bench {
    broker: Arc<Broker>,
    definitions: Kept,
}

impl Bench {
    fn start(store: Arc<dyn Store>, definitions: &Kept, found: Found) -> Self {
        let own = Box::new(definitions.clone());
        let broker =
            Broker::start(Limits::default(), LoginOptions::default(), store, own, found, clock).unwrap();
        Self { broker, definitions: definitions.clone() }
    }

    fn vhost(&self) -> Arc<Vhost> {
        self.broker.vhost("/").unwrap()
    }

    fn as_guest<T>(&self, act: impl FnOnce(&Arc<Vhost>, &Caller<'_>) -> T) -> T {
        let (user, vhost) = (UserName::new("guest"), VhostName::new("/"));
        let rights = AccessRights::of(&self.broker.users, &user, &vhost).unwrap();
        act(&self.vhost(), &Caller { rights: &rights, connection: None })
    }

    fn queue(&self, name: &str, auto_delete: bool) -> Result<(), Refusal> {
        self.queue_with(name, auto_delete, &FieldTable::default())
    }

    fn queue_with(&self, name: &str, auto_delete: bool, arguments: &FieldTable) -> Result<(), Refusal> {
        let request =
            QueueRequest { passive: false, durable: true, exclusive: false, auto_delete, arguments };
        self.as_guest(|vhost, caller| {
            let mut turn = Turn::at(clock());
            let name = QueueName::new(name);
            self.broker.declare_queue(vhost, caller, &mut turn, &name, &request).map(|_| ())
        })
    }

    fn exchange(&self, name: &str, kind: &str, auto_delete: bool) -> Result<(), Refusal> {
        let mut arguments = FieldTable::default();
        if kind == "x-delayed-message" {
            arguments.insert("x-delayed-type".into(), Value::LongString("fanout".into()));
        }
        let request =
            ExchangeRequest { kind, durable: true, auto_delete, internal: false, arguments: &arguments };
        self.as_guest(|vhost, caller| {
            self.broker.declare_exchange(vhost, caller, &ExchangeName::new(name), &request)
        })
    }

    fn bind(&self, source: &str, kind: DestinationKind, destination: &str) -> Result<(), Refusal> {
        self.as_guest(|vhost, caller| self.broker.bind(vhost, caller, &binding(source, kind, destination)))
    }

    fn unbind(&self, source: &str, kind: DestinationKind, destination: &str) -> Result<(), Refusal> {
        self.as_guest(|vhost, caller| self.broker.unbind(vhost, caller, &binding(source, kind, destination)))
    }

    fn delete_queue(&self, name: &str) -> Result<u64, Refusal> {
        self.as_guest(|vhost, caller| {
            let mut turn = Turn::at(clock());
            self.broker.delete_queue(vhost, caller, &mut turn, &QueueName::new(name), false, false)
        })
    }

    fn delete_exchange(&self, name: &str) -> Result<(), Refusal> {
        self.as_guest(|vhost, caller| {
            self.broker.delete_exchange(vhost, caller, &ExchangeName::new(name), false)
        })
    }

    /// Publishes as guest, and finishes the turn. Returns the number of messages not refused.
    fn publish(&self, mut turn: Turn, incoming: impl Iterator<Item = Incoming>) -> usize {
        let (user, vhost) = (UserName::new("guest"), VhostName::new("/"));
        let mut rights = AccessRights::of(&self.broker.users, &user, &vhost).unwrap();
        let mut publisher = Publisher::default();
        let (fates, refusal) =
            publisher.publish(&self.broker, &self.vhost(), &mut rights, &mut turn, incoming);
        assert!(refusal.is_none());
        let taken = fates.len();
        self.broker.finish(&mut turn);
        taken
    }

    /// Number of times work is moved aside when `messages` messages are published to exchange `x` at once.
    fn asides(&self, messages: usize) -> usize {
        let incoming = (0..messages).map(|_| {
            let message =
                Message::new(Short::literal("x"), Short::literal("k"), b"\0\0", b"m", MessageMeta::default());
            Incoming { message, headers: false, mandatory: false }
        });
        let mut turn = Turn::at(clock());
        turn.does_aside(Aside(|work| {
            ASIDE.set(ASIDE.get() + 1);
            work();
        }));
        let before = ASIDE.get();
        assert_eq!(self.publish(turn, incoming), messages);
        ASIDE.get() - before
    }

    /// All definitions, as lines.
    fn world(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for vhost in self.broker.vhosts() {
            lines.insert(format!("vhost {} {:?} {:?}", vhost.name, vhost.record.read(), vhost.limits.read()));
            for exchange in vhost.exchanges() {
                let delay_room = vhost.delay_room(&exchange.name).map(|delay_room| delay_room.id);
                lines.insert(format!("{} {exchange:?} {delay_room:?}", vhost.name));
            }
            for queue in vhost.queues() {
                lines.insert(format!(
                    "{} queue {} {} gone {}",
                    vhost.name,
                    queue.name,
                    queue.id,
                    queue.is_gone()
                ));
            }
            for binding in vhost.bindings() {
                lines.insert(format!("{} {binding:?}", vhost.name));
            }
            for kind in [super::policies::PolicyKind::User, super::policies::PolicyKind::Operator] {
                for policy in vhost.policies().of(kind) {
                    lines.insert(format!("{} {kind:?} {} {:?}", vhost.name, policy.name, policy.record));
                }
            }
        }
        let users = &self.broker.users;
        for (name, record) in users.all() {
            lines.insert(format!("user {name} {:?} {:?}", record.tags, users.limits(&name)));
        }
        lines.extend(users.permissions().iter().map(|permission| format!("{permission:?}")));
        lines.extend(users.topic_permissions().iter().map(|permission| format!("{permission:?}")));
        lines.extend(self.broker.global_parameters().iter().map(|parameter| format!("{parameter:?}")));
        lines
    }
}

fn binding(source: &str, kind: DestinationKind, destination: &str) -> BindingRequest {
    BindingRequest {
        source: ExchangeName::new(source),
        kind,
        destination: destination.to_owned(),
        routing_key: "k".to_owned(),
        arguments: FieldTable::default(),
    }
}
