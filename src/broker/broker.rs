//! The broker: vhosts, users, the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;
use leveret_queues::store::{Pressure, RecoveredQueue, Store};
use leveret_queues::{Millis, QueueId};
use parking_lot::{Mutex, RwLock};

use super::alarms::Alarms;
use super::catalog::Catalog;
use super::deadlines::Ticks;
use super::definitions::DefinitionStore;
use super::graves::Graves;
use super::held::Held;
use super::limits::Limits;
use super::login_limiter::LoginLimiter;
use super::login_options::LoginOptions;
use super::lost::Lost;
use super::memory::Memory;
use super::names::ConnectionId;
use super::product::Product;
use super::queue_handle::{QueueEnvironment, QueueHandle, QueueStats};
use super::refusal::Refusal;
use super::registry::{ConnectionHandle, Registry};
use super::token::Tokens;
use super::turn::Turn;
use super::users::Users;
use super::vhost::{Vhost, VhostStats};
use super::waiting::{PublishWait, Waiting};

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
    pub login_limiter: LoginLimiter,
    /// Which tokens are taken in place of passwords, if any.
    pub tokens: Option<Arc<Tokens>>,
    pub(super) product: OnceLock<Product>,
    pub(super) vhosts: DashMap<String, Arc<Vhost>>,
    /// Held while users, permissions or vhosts are changed.
    pub(super) administration: Mutex<()>,
    pub(super) global_parameters: RwLock<BTreeMap<String, serde_json::Value>>,
    /// Counts of vhosts that are gone.
    pub retired_vhosts: VhostStats,
    pub(super) catalog: Catalog,
    pub(super) graves: Arc<Graves>,
    pub(super) lost: Lost,
    /// Queues that are to be deleted, once that can be kept.
    pub(super) undeleted: Mutex<Vec<Arc<QueueHandle>>>,
    environment: Arc<QueueEnvironment>,
    next_consumer: AtomicU64,
    /// Publishing connections that wait for the store.
    waiting: Arc<Waiting>,
    held: Arc<Held>,
}

/// Why a broker cannot start on what it found.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
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
#[derive(Default)]
pub struct Found {
    /// All definitions, by key.
    pub definitions: Vec<(Arc<str>, Arc<[u8]>)>,
    /// Definitions that were found too, but are of an older or damaged state.
    pub remnants: Vec<(Arc<str>, Arc<[u8]>)>,
    /// What the store holds of each queue.
    pub queues: HashMap<QueueId, RecoveredQueue>,
    /// A broker has started on this data before, so users that are missing were lost or deleted.
    pub started_before: bool,
}

impl Broker {
    /// Builds the broker from what was found, and what a first start needs.
    pub fn start(
        limits: Limits,
        login_options: LoginOptions,
        store: Arc<dyn Store>,
        definitions: Box<dyn DefinitionStore>,
        found: Found,
        clock: fn() -> Millis,
    ) -> Result<Arc<Self>, StartError> {
        let held = Held::new(limits.held_bytes_max, limits.message_bytes_max);
        let environment = Arc::new(QueueEnvironment {
            store,
            memory: Memory::new(limits.memory_bytes_max),
            deadlines: super::deadlines::Deadlines::default(),
            unreadable: std::sync::atomic::AtomicUsize::new(0),
            retired: Mutex::default(),
            adopted: RwLock::default(),
            clock,
            broker: std::sync::OnceLock::new(),
        });
        let broker = Arc::new(Self {
            limits: RwLock::new(Arc::new(limits)),
            users: Users::new(),
            registry: Registry::default(),
            alarms: Alarms::default(),
            login_limiter: LoginLimiter::new(login_options.login_failures_per_minute),
            tokens: login_options.tokens,
            vhosts: DashMap::new(),
            administration: Mutex::default(),
            global_parameters: RwLock::default(),
            retired_vhosts: VhostStats::default(),
            catalog: Catalog::new(definitions),
            graves: Arc::default(),
            lost: Lost::default(),
            undeleted: Mutex::default(),
            environment,
            next_consumer: AtomicU64::new(1),
            product: OnceLock::new(),
            waiting: Arc::default(),
            held,
        });
        let _ = broker.environment.broker.set(Arc::<Self>::downgrade(&broker));
        let started_before = found.started_before;
        broker.load(found)?;
        broker.provide_access(login_options.admin.as_ref(), started_before)?;
        Ok(broker)
    }

    /// Has it call itself so, from before the first client on. Once only.
    pub fn announce_as(&self, product: Product) {
        let _ = self.product.set(product);
    }

    /// How it calls itself.
    pub fn product(&self) -> &Product {
        self.product.get().unwrap_or(Product::ours())
    }

    /// Limits in force now.
    pub fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.read())
    }

    /// Has other limits from now on. What concerns a single connection holds for those that come.
    pub fn set_limits(&self, limits: Limits) {
        self.memory().allow(limits.memory_bytes_max);
        self.held.allow(limits.held_bytes_max, limits.message_bytes_max);
        *self.limits.write() = Arc::new(limits);
        self.relieve();
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

    /// What peers make us hold besides queued messages.
    pub fn held(&self) -> &Arc<Held> {
        &self.held
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

    /// One more publisher that may have to wait.
    pub fn publisher_waits(self: &Arc<Self>) -> PublishWait {
        let broker = Arc::clone(self);
        PublishWait::new(&self.waiting, Box::new(move || broker.publishers_must_wait()))
    }

    /// The store, or the memory of queues, has room again: publishers may go on.
    pub fn relieve(&self) {
        self.waiting.wake_all();
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
    }
}
