//! The broker: vhosts, users, the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;
use leveret_message::stored::RecoveredQueue;
use leveret_message::{Millis, QueueId};
use leveret_store::{Pressure, Store};
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

/// State shared by all connections.
pub struct Broker {
    limits: RwLock<Arc<Limits>>,
    /// Users and permissions.
    pub users: Users,
    /// Open connections.
    pub registry: Registry,
    /// Disk and memory alarms.
    pub alarms: Alarms,
    /// Login attempts.
    pub login_limiter: LoginLimiter,
    /// Tokens accepted in place of passwords, if any.
    pub tokens: Option<Arc<Tokens>>,
    pub(super) product: OnceLock<Product>,
    pub(super) vhosts: DashMap<String, Arc<Vhost>>,
    /// Held while users, permissions or vhosts change.
    pub(super) administration: Mutex<()>,
    pub(super) global_parameters: RwLock<BTreeMap<String, serde_json::Value>>,
    /// Totals of deleted vhosts.
    pub retired_vhosts: VhostStats,
    pub(super) catalog: Catalog,
    pub(super) graves: Arc<Graves>,
    pub(super) lost: Lost,
    /// Queues whose deletion is still to be made durable.
    pub(super) undeleted: Mutex<Vec<Arc<QueueHandle>>>,
    environment: Arc<QueueEnvironment>,
    next_consumer: AtomicU64,
    /// Publishing connections waiting for the store.
    waiting: Arc<Waiting>,
    held: Arc<Held>,
}

/// Why a broker cannot start from the recovered state.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Stable storage failed.
    #[error("{0}")]
    Storage(String),
    /// The operating system provided no randomness for a password's salt.
    #[error("no randomness to hash a password with")]
    Randomness,
}

impl From<Refusal> for StartError {
    fn from(refusal: Refusal) -> Self {
        Self::Storage(refusal.to_string())
    }
}

/// State recovered from stable storage.
#[derive(Default)]
pub struct Found {
    /// All definitions, by key.
    pub definitions: Vec<(Arc<str>, Arc<[u8]>)>,
    /// Older or damaged definitions that were also found.
    pub remnants: Vec<(Arc<str>, Arc<[u8]>)>,
    /// The store's contents by queue.
    pub queues: HashMap<QueueId, RecoveredQueue>,
    /// A broker has started on this data before, so missing users were lost or deleted.
    pub started_before: bool,
}

impl Broker {
    /// Builds the broker from the recovered state, and adds what a first start needs.
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

    /// Sets the announced product. At most once, before the first client.
    pub fn announce_as(&self, product: Product) {
        let _ = self.product.set(product);
    }

    /// The announced product.
    pub fn product(&self) -> &Product {
        self.product.get().unwrap_or(Product::ours())
    }

    /// Limits in force now.
    pub fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.read())
    }

    /// Replaces the limits. Per-connection limits apply to new connections.
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

    /// The message store.
    pub fn store(&self) -> &dyn Store {
        &*self.environment.store
    }

    /// The memory budget for message bodies.
    pub fn memory(&self) -> &Memory {
        &self.environment.memory
    }

    /// Schedules a tick for `who` at `at`, replacing the one at `instead`. Called under the lock of `who`.
    pub fn tick_at<T: Ticks + 'static>(&self, at: Millis, instead: Option<Millis>, who: &Arc<T>) {
        self.environment.deadlines.set(at, instead, who);
    }

    /// Scheduled ticks of queues.
    pub fn deadlines(&self) -> &super::deadlines::Deadlines {
        &self.environment.deadlines
    }

    /// A unique name: prefix and 22 random characters.
    pub fn generated_name(&self, prefix: &str) -> String {
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()))
    }

    /// A new consumer id.
    pub fn next_consumer_id(&self) -> u64 {
        self.next_consumer.fetch_add(1, Ordering::Relaxed)
    }

    /// Number of open connections.
    pub fn open_connections(&self) -> usize {
        self.registry.len()
    }

    /// A connection has reached `connection.open-ok`.
    pub fn connection_opened(&self, vhost: &Vhost, handle: &Arc<ConnectionHandle>) {
        self.registry.opened(handle);
        // Deleting a vhost marks it first, then closes the connections it finds.
        if vhost.gone.load(Ordering::Acquire) {
            handle.close(&format!("vhost '{}' is deleted", vhost.name));
        }
    }

    /// An opened connection has ended.
    pub fn connection_ended(&self, id: ConnectionId) {
        self.registry.ended(id);
    }

    /// Budget for memory held on behalf of peers, other than queued messages.
    pub fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// The wall clock.
    pub fn now(&self) -> Millis {
        (self.environment.clock)()
    }

    /// Totals of deleted queues.
    pub fn retired_queues(&self) -> QueueStats {
        *self.environment.retired.lock()
    }

    /// Whether to stop reading from publishers.
    pub fn publishers_must_wait(&self) -> bool {
        self.alarms.is_raised()
            || self.environment.memory.is_overdrawn()
            || self.environment.store.pressure() != Pressure::None
    }

    /// Registers a publisher that may have to wait.
    pub fn publisher_waits(self: &Arc<Self>) -> PublishWait {
        let broker = Arc::clone(self);
        PublishWait::new(&self.waiting, Box::new(move || broker.publishers_must_wait()))
    }

    /// The store or the queues' memory has room again: wakes waiting publishers.
    pub fn relieve(&self) {
        self.waiting.wake_all();
    }

    /// Runs all ticks due at `now`.
    pub fn tick(&self, now: Millis) {
        let mut turn = Turn::at(now);
        for due in self.environment.deadlines.due(now) {
            due.tick(&mut turn);
            self.finish(&mut turn);
        }
    }

    /// Has all queues release memory if their total is over the limit. Called periodically, for queues without traffic.
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
