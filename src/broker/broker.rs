//! The broker: vhosts, users, the store, and the end of every turn.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;
use leveret_exchanges::Origin;
use leveret_queues::queue::Queue;
use leveret_queues::store::{Pressure, Record, RecoveredQueue, Store};
use leveret_queues::{Millis, QueueId};
use parking_lot::{Mutex, RwLock};

use super::alarms::Alarms;
use super::arguments::to_args;
use super::attempts::Attempts;
use super::attributes::{held_until, released_headers};
use super::copies;
use super::dead_letter::dead_letter;
use super::deadlines::Ticks;
use super::deduplication::DeduplicationRule;
use super::definitions::{
    BindingDefinition, Changes, DefinitionStore, DelayDefinition, ExchangeDefinition, Key, QueueDefinition,
    rank,
};
use super::global_parameters::GlobalParameters;
use super::holder::Holder;
use super::limits::Limits;
use super::memory::Memory;
use super::names::{ConnectionId, ExchangeName, QueueName};
use super::policies::apply_to_exchange;
use super::publish::route;
use super::queue_handle::{Installed, QueueEnvironment, QueueHandle, QueueSpec, QueueStats, move_message};
use super::queue_options;
use super::refusal::Refusal;
use super::registry::{ConnectionHandle, Registry};
use super::security::Security;
use super::token::Tokens;
use super::turn::{Dead, Turn};
use super::users::{PermissionRecord, UserRecord, Users};
use super::vhost::{Vhost, VhostStats};

/// Everything that all connections share.
pub struct Broker {
    limits: RwLock<Arc<Limits>>,
    /// Users and permissions.
    pub users: Users,
    /// Who is connected.
    pub registry: Registry,
    /// Too little disk or memory to take more.
    pub alarms: Alarms,
    /// Logins that were tried.
    pub attempts: Attempts,
    /// Which tokens are taken in place of passwords, if any.
    pub tokens: Option<Arc<Tokens>>,
    pub(super) vhosts: DashMap<String, Arc<Vhost>>,
    /// Held while users, permissions or vhosts are changed.
    pub(super) administration: Mutex<()>,
    pub(super) global_parameters: GlobalParameters,
    /// Counts of vhosts that are gone.
    pub retired_vhosts: VhostStats,
    definitions: Box<dyn DefinitionStore>,
    environment: Arc<QueueEnvironment>,
    next_consumer: AtomicU64,
    /// Publishing connections that wait for the store.
    waiting: Mutex<Vec<Waker>>,
}

/// Why a broker cannot start on what it found.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A stored definition cannot be understood.
    #[error("stored definition {key:?} cannot be used: {why}")]
    Definition {
        /// Its key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// Stable storage failed.
    #[error("{0}")]
    Storage(String),
    /// The operating system gave no randomness for a password's salt.
    #[error("no randomness to hash a password with")]
    Randomness,
}

impl From<Refusal> for StartError {
    fn from(refusal: Refusal) -> Self {
        Self::Storage(refusal.to_string())
    }
}

/// What was found on stable storage.
pub struct Found {
    /// All definitions, by key.
    pub definitions: Vec<(Arc<str>, Arc<[u8]>)>,
    /// What the store holds of each queue.
    pub queues: HashMap<QueueId, RecoveredQueue>,
}

impl Broker {
    /// Builds the broker from what was found, and what a first start needs.
    pub fn start(
        limits: Limits,
        security: Security,
        store: Arc<dyn Store>,
        definitions: Box<dyn DefinitionStore>,
        found: Found,
        clock: fn() -> Millis,
    ) -> Result<Arc<Self>, StartError> {
        let environment = Arc::new(QueueEnvironment {
            store,
            memory: Memory::new(limits.memory_bytes_max),
            deadlines: super::deadlines::Deadlines::default(),
            retired: Mutex::default(),
            clock,
            broker: std::sync::OnceLock::new(),
        });
        let broker = Arc::new(Self {
            limits: RwLock::new(Arc::new(limits)),
            users: Users::new(),
            registry: Registry::default(),
            alarms: Alarms::default(),
            attempts: Attempts::new(security.login_failures_per_minute),
            tokens: security.tokens,
            vhosts: DashMap::new(),
            administration: Mutex::default(),
            global_parameters: GlobalParameters::default(),
            retired_vhosts: VhostStats::default(),
            definitions,
            environment,
            next_consumer: AtomicU64::new(1),
            waiting: Mutex::default(),
        });
        let _ = broker.environment.broker.set(Arc::downgrade(&broker));
        broker.load(found, clock())?;
        broker.first_start(security.admin.as_ref())?;
        Ok(broker)
    }

    fn load(&self, found: Found, now: Millis) -> Result<(), StartError> {
        let Found { definitions, mut queues } = found;
        // Ends before bindings, vhosts before all.
        let mut sorted: Vec<_> =
            definitions.iter().map(|(key, value)| (rank(key), &**key, &**value)).collect();
        sorted.sort_by_key(|(rank, key, _)| (*rank, *key));
        for (_, key, value) in sorted {
            self.load_one(key, value, &mut queues, now)
                .map_err(|why| StartError::Definition { key: key.replace('\0', " "), why })?;
        }
        Ok(())
    }

    pub(super) fn load_one(
        &self,
        key: &str,
        value: &[u8],
        queues: &mut HashMap<QueueId, RecoveredQueue>,
        now: Millis,
    ) -> Result<(), String> {
        fn read<'a, T: serde::Deserialize<'a>>(value: &'a [u8]) -> Result<T, String> {
            serde_json::from_slice(value).map_err(|error| error.to_string())
        }
        match Key::kind(key) {
            "vhost" => {
                let name = Key::part(key, 0);
                let vhost = Vhost::new(name);
                *vhost.record.write() = read(value)?;
                self.vhosts.insert(name.to_owned(), Arc::new(vhost));
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
                let mut topology = vhost.topology.write();
                topology.router.declare(&stored.name, spec).map_err(|refusal| refusal.to_string())?;
                let rule = DeduplicationRule::read(&stored.arguments)
                    .map_err(|(name, why)| format!("{name}: {why}"))?;
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
                let holder = Holder::new(id, &vhost.name, &exchange, true, &self.environment);
                if let Some(found) = queues.remove(&id) {
                    let count = found.ranges.iter().map(|range| range.count).sum();
                    holder.restore(found.last_seq, count, now);
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

    /// Limits in force now.
    pub fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.read())
    }

    /// Has other limits from now on. What concerns a single connection holds for those that come.
    pub fn set_limits(&self, limits: Limits) {
        self.memory().allow(limits.memory_bytes_max);
        *self.limits.write() = Arc::new(limits);
        self.relieve();
    }

    /// Makes changes durable; nothing to do if there are none.
    pub(super) fn commit(&self, changes: &Changes) -> Result<(), Refusal> {
        if changes.is_empty() {
            return Ok(());
        }
        self.definitions.commit(changes.as_slice()).map_err(Refusal::Storage)
    }

    pub(super) fn next_queue_id(&self) -> Result<u64, Refusal> {
        self.definitions.next_id().map_err(Refusal::Storage)
    }

    pub(super) const fn environment(&self) -> &Arc<QueueEnvironment> {
        &self.environment
    }

    /// The vhost of that name.
    pub fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts.get(name).map(|vhost| Arc::clone(&vhost))
    }

    /// All vhosts, by name.
    pub fn vhosts(&self) -> Vec<Arc<Vhost>> {
        let mut vhosts: Vec<_> = self.vhosts.iter().map(|vhost| Arc::clone(&vhost)).collect();
        vhosts.sort_by(|a, b| a.name.cmp(&b.name));
        vhosts
    }

    /// Ids of all durable queues and waiting rooms, whose messages the store has to keep.
    pub fn durable_queue_ids(&self) -> HashSet<QueueId> {
        let queues = self.vhosts.iter().flat_map(|vhost| vhost.queues());
        let queues = queues.filter(|queue| queue.durable()).map(|queue| queue.id);
        let holders = self.vhosts.iter().flat_map(|vhost| vhost.holders());
        queues.chain(holders.filter(|holder| holder.durable()).map(|holder| holder.id)).collect()
    }

    /// Where messages are made to survive.
    pub fn store(&self) -> &dyn Store {
        &*self.environment.store
    }

    /// Bodies held in memory, and how many may be.
    pub fn memory(&self) -> &Memory {
        &self.environment.memory
    }

    /// Has `who` ticked at `at`, instead of at `instead`. Called under the lock of `who`.
    pub fn tick_at<T: Ticks + 'static>(&self, at: Millis, instead: Option<Millis>, who: &Arc<T>) {
        self.environment.deadlines.set(at, instead, who);
    }

    /// What queues want to be ticked for.
    pub fn deadlines(&self) -> &super::deadlines::Deadlines {
        &self.environment.deadlines
    }

    /// A name that no one else has: prefix and 22 characters of randomness.
    pub fn generated_name(&self, prefix: &str) -> String {
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()))
    }

    /// A number for a new consumer.
    pub fn next_consumer_id(&self) -> u64 {
        self.next_consumer.fetch_add(1, Ordering::Relaxed)
    }

    /// Connections that are open.
    pub fn open_connections(&self) -> usize {
        self.registry.len()
    }

    /// A connection has reached `connection.open-ok`.
    pub fn connection_opened(&self, vhost: &Vhost, handle: &Arc<ConnectionHandle>) {
        self.registry.opened(handle);
        // Whoever deletes the vhost marks it first, then closes the connections that it finds.
        if vhost.gone.load(Ordering::Acquire) {
            handle.close(&format!("vhost '{}' is deleted", vhost.name));
        }
    }

    /// A connection that was opened is not there any more.
    pub fn connection_ended(&self, id: ConnectionId) {
        self.registry.ended(id);
    }

    /// The wall clock.
    pub fn now(&self) -> Millis {
        (self.environment.clock)()
    }

    /// Counts of queues that are gone.
    pub fn retired_queues(&self) -> QueueStats {
        *self.environment.retired.lock()
    }

    /// Whether publishers are to be read from no further.
    pub fn publishers_must_wait(&self) -> bool {
        self.alarms.is_raised()
            || self.environment.memory.is_overdrawn()
            || self.environment.store.pressure() != Pressure::None
    }

    /// Ready when publishers may go on; otherwise `waker` is woken when they may.
    pub fn poll_publish(&self, waker: &Waker) -> Poll<()> {
        if !self.publishers_must_wait() {
            return Poll::Ready(());
        }
        self.waiting.lock().push(waker.clone());
        // The relief may have come before the waker was noted.
        if self.publishers_must_wait() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// The store, or the memory of queues, has room again: publishers may go on.
    pub fn relieve(&self) {
        for waker in std::mem::take(&mut *self.waiting.lock()) {
            waker.wake();
        }
    }

    /// Ticks whatever asked for an instant that has come.
    pub fn tick(&self, now: Millis) {
        let mut turn = Turn::at(now);
        for due in self.environment.deadlines.due(now) {
            due.tick(&mut turn);
            self.finish(&mut turn);
        }
    }

    /// Has all queues give memory back, if they hold too much together. Called now and then, for
    /// queues that nobody touches.
    pub fn relieve_memory(&self, now: Millis) {
        let mut turn = Turn::at(now);
        for queue in self.vhosts.iter().flat_map(|vhost| vhost.queues_and_hidden()) {
            if !self.environment.memory.is_short() {
                break;
            }
            queue.page_out(&mut turn);
            self.finish(&mut turn);
        }
        if !self.environment.memory.is_overdrawn() {
            self.relieve();
        }
    }

    /// Ends a turn: sends dead letters on, deletes queues that nobody needs any more, wakes whoever
    /// has something to write. No lock may be held.
    pub fn finish(&self, turn: &mut Turn) {
        while !turn.dead.is_empty() || !turn.deletable.is_empty() {
            for dead in std::mem::take(&mut turn.dead) {
                self.bury(turn, dead);
            }
            for queue in std::mem::take(&mut turn.deletable) {
                self.delete_idle(turn, &queue);
            }
        }
        turn.purged.clear();
        for consumer in std::mem::take(&mut turn.cancelled) {
            turn.owe_wake(consumer.sink.cancelled(&consumer));
        }
        turn.wake();
    }

    /// Moves a dead message from its queue to the targets of the dead-letter exchange, in one step
    /// of the store.
    fn bury(&self, turn: &mut Turn, dead: Dead) {
        let Dead { source, message, reason, place } = dead;
        let message = match (message, place) {
            (Some(message), _) => message,
            (None, Some((seq, lane))) => return source.read_dead(seq, lane, reason),
            (None, None) => return,
        };
        let settle = place.map(|(seq, _)| source.settled(seq, reason));
        let targets = self.dead_letter_targets(turn.now, &source, reason, &message);
        match targets {
            Some((message, targets)) => self.move_to(turn, &message, targets, |_| settle),
            None => self.move_to(turn, &message, Targets::default(), |_| settle),
        };
    }

    fn dead_letter_targets(
        &self,
        now: Millis,
        source: &QueueHandle,
        reason: leveret_queues::store::SettleReason,
        message: &leveret_queues::Message,
    ) -> Option<(leveret_queues::Message, Targets)> {
        let rule = source.dead_letter_rule()?;
        let vhost = self.vhost(source.vhost.as_str())?;
        vhost.stats.count_dead(reason);
        let letter = dead_letter(message, &source.name, reason, &rule, now);
        let mut keys = vec![letter.message.routing_key()];
        keys.extend(letter.more_keys.iter().map(Vec::as_slice));
        let mut queues = Vec::new();
        let exchange = rule.exchange.as_str().as_bytes();
        // A missing exchange drops the message, as a missing binding does.
        let routed = route(&vhost, now, &letter.message, exchange, &keys, Origin::Broker, |queue| {
            if letter.is_cycle(&queue.name) {
                tracing::warn!(
                    vhost = %queue.vhost, queue = %queue.name,
                    "message dropped: dead-lettering has come around to a queue that dropped it before"
                );
            } else {
                queues.push(Arc::clone(queue));
            }
        });
        let holders = routed.map(|routed| routed.holders).unwrap_or_default();
        Some((letter.message.clone(), Targets { queues, holders }))
    }

    /// Routes a message whose delay is over, and moves it from its holder to its queues in one step
    /// of the store.
    pub(super) fn release(
        &self,
        turn: &mut Turn,
        holder: &Holder,
        due: Millis,
        message: &leveret_queues::Message,
        settle: Option<Record>,
    ) {
        let headers = released_headers(message);
        // In any case a copy: whether a message is to be written is told by the message itself.
        let mut message = match headers {
            Some(headers) => copies::with_headers(message, &headers),
            None => message.with_properties(message.properties(), message.meta()),
        };
        let copies = copies::keys(&message).ok().flatten();
        let mut keys = vec![message.routing_key()];
        keys.extend(copies.iter().flat_map(|copies| copies.keys.iter().map(Vec::as_slice)));
        let mut queues = Vec::new();
        if let Some(vhost) = self.vhost(holder.vhost.as_str()) {
            // The clock may have been set back; the message does not wait again.
            let now = turn.now.max(due);
            let exchange = holder.exchange.as_str().as_bytes();
            // An exchange that is gone meanwhile drops the message, as a missing binding does.
            let _ = route(&vhost, now, &message, exchange, &keys, Origin::Broker, |queue| {
                queues.push(Arc::clone(queue));
            });
        }
        if let Some(without) = copies.and_then(|copies| copies.without_bcc) {
            message = without;
        }
        self.move_to(turn, &message, Targets { queues, holders: Vec::new() }, |_| settle);
    }

    /// Moves a message to queues and waiting rooms, and out of where it was, in one step of the store.
    /// `settle` hears whether any of them took it. Returns the same.
    pub(super) fn move_to(
        &self,
        turn: &mut Turn,
        message: &leveret_queues::Message,
        targets: Targets,
        settle: impl FnOnce(bool) -> Option<Record>,
    ) -> bool {
        let Targets { queues, mut holders } = targets;
        // Holders' locks come before queues', in order of their ids.
        holders.sort_by_key(|holder| holder.id);
        let mut admissions = Vec::new();
        for holder in &holders {
            let due = held_until(message, turn.now).unwrap_or(turn.now);
            let own = message.with_properties(message.properties(), message.meta());
            admissions.extend(holder.admit(turn, own, due));
        }
        let held = !admissions.is_empty();
        let taken = move_message(turn, &self.environment, message, queues, |taken| settle(taken || held));
        for admission in admissions {
            admission.done(true);
        }
        taken || held
    }
}

/// Where the broker moves a message.
#[derive(Default)]
pub(super) struct Targets {
    pub(super) queues: Vec<Arc<QueueHandle>>,
    pub(super) holders: Vec<Arc<Holder>>,
}
