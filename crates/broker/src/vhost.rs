//! A virtual host: its exchanges, bindings, queues and connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use leveret_exchanges::{ExchangeInfo, InnerKind, Router};
use leveret_message::stored::SettleReason;
use parking_lot::{Mutex, MutexGuard, RwLock};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use slab::Slab;

use super::deduplication::DeduplicationRule;
use super::delay_room::DelayRoom;
use super::exchange_features::ExchangeFeatures;
use super::exchange_stats::ExchangeStats;
use super::message_sizes::MessageSizes;
use super::names::{ConnectionId, QueueName, VhostName};
use super::operator_limits::{MAX_CONNECTIONS, MAX_QUEUES, OperatorLimits};
use super::policies::PolicySet;
use super::queue_handle::QueueHandle;
use super::refusal::{Access, Refusal};
use super::users::AccessRights;

/// A vhost's stored properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VhostRecord {
    /// Free text.
    pub description: String,
    /// Free-form tags.
    pub tags: Vec<String>,
    /// Type of queues declared without one; `classic` if not set.
    pub default_queue_type: Option<String>,
    /// Whether it is protected from deletion.
    pub protected: bool,
    /// Whether tracing is on: stored and reported only.
    pub tracing: bool,
}

/// Publish counters since the start.
#[derive(Debug, Default)]
pub struct VhostStats {
    /// Messages published by clients.
    pub published: AtomicU64,
    /// Mandatory messages returned as unroutable.
    pub returned: AtomicU64,
    /// Messages dropped as unroutable.
    pub dropped: AtomicU64,
    /// Messages published on channels with confirms.
    pub published_confirm: AtomicU64,
    /// Sizes of published messages.
    pub sizes: MessageSizes,
    /// Messages dead-lettered: expired, rejected, over a length limit, over the delivery limit.
    pub dead_lettered: [AtomicU64; 4],
    /// Dead-letter copies not made because of the limit on copies.
    pub copies_left_out: AtomicU64,
}

impl VhostStats {
    /// Counts a dead-lettered message.
    pub(super) fn count_dead(&self, reason: SettleReason) {
        let place = match reason {
            SettleReason::Expired => 0,
            SettleReason::Acked | SettleReason::Rejected | SettleReason::Purged => 1,
            SettleReason::MaxLength => 2,
            SettleReason::DeliveryLimit => 3,
        };
        self.dead_lettered[place].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds another's counts.
    pub fn add(&self, other: &Self) {
        self.sizes.add(&other.sizes);
        for (sum, more) in self.dead_lettered.iter().zip(&other.dead_lettered) {
            sum.fetch_add(more.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        for (sum, more) in [
            (&self.published, &other.published),
            (&self.returned, &other.returned),
            (&self.dropped, &other.dropped),
            (&self.published_confirm, &other.published_confirm),
            (&self.copies_left_out, &other.copies_left_out),
        ] {
            sum.fetch_add(more.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// One virtual host.
pub struct Vhost {
    /// Its name.
    pub name: VhostName,
    /// Counters.
    pub stats: VhostStats,
    /// Stored properties.
    pub record: RwLock<VhostRecord>,
    /// Limits set on it.
    pub limits: RwLock<OperatorLimits>,
    /// Its policies; replaced as a whole.
    pub(super) policies: RwLock<Arc<PolicySet>>,
    /// Held until a policy change is in force everywhere; locked before `changes`.
    pub(super) policy_changes: Mutex<()>,
    /// Deleted; set under `changes`.
    pub(super) gone: AtomicBool,
    pub(super) topology: RwLock<Topology>,
    /// Incremented whenever routing may have changed.
    pub(super) generation: AtomicU64,
    /// Held while definitions change, so that changes are serialized.
    pub(super) changes: Mutex<()>,
    pub(super) connections: Mutex<FxHashSet<ConnectionId>>,
}

/// The vhost's queues and exchanges.
#[derive(Default)]
pub(super) struct Topology {
    pub(super) router: Router<u32>,
    /// By slot, the router's id of a queue.
    pub(super) queues: Slab<Arc<QueueHandle>>,
    /// Number of hidden queues.
    pub(super) hidden: usize,
    pub(super) by_name: FxHashMap<QueueName, u32>,
    /// By exchange, for those with features besides routing.
    pub(super) features: FxHashMap<Box<[u8]>, ExchangeFeatures>,
    /// By exchange, for those that were published to.
    pub(super) stats: FxHashMap<Box<[u8]>, Arc<ExchangeStats>>,
}

impl Topology {
    pub(super) fn queue(&self, name: &str) -> Option<&Arc<QueueHandle>> {
        self.by_name.get(name).and_then(|slot| self.queues.get(*slot as usize))
    }
}

impl Topology {
    /// Installs a new exchange's features besides routing, from its arguments and type.
    pub(super) fn install_features(
        &mut self,
        exchange: &str,
        deduplication: Option<DeduplicationRule>,
        delay_room: Option<Arc<DelayRoom>>,
    ) {
        let history = self.router.exchange(exchange).and_then(ExchangeInfo::history_length);
        if let Some(features) = ExchangeFeatures::of(deduplication, history, delay_room) {
            self.features.insert(exchange.as_bytes().into(), features);
        }
    }
}

impl Vhost {
    /// An empty vhost, not registered yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: VhostName::new(name),
            stats: VhostStats::default(),
            record: RwLock::default(),
            limits: RwLock::default(),
            policies: RwLock::default(),
            policy_changes: Mutex::default(),
            gone: AtomicBool::new(false),
            topology: RwLock::default(),
            generation: AtomicU64::new(1),
            changes: Mutex::default(),
            connections: Mutex::default(),
        }
    }

    /// Begins a change of definitions; refused if the vhost is deleted.
    pub(super) fn change(&self) -> Result<MutexGuard<'_, ()>, Refusal> {
        let change = self.changes.lock();
        if self.gone.load(Ordering::Acquire) {
            return Err(Refusal::NoVhost(self.name.as_str().to_owned()));
        }
        Ok(change)
    }

    /// Invalidates cached routes.
    pub(super) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// A queue by name.
    pub fn queue(&self, name: &str) -> Option<Arc<QueueHandle>> {
        self.topology.read().queue(name).cloned()
    }

    /// All declared queues, unordered.
    pub fn queues(&self) -> Vec<Arc<QueueHandle>> {
        let topology = self.topology.read();
        let listed = topology.queues.iter().filter(|(_, queue)| !queue.hidden);
        listed.map(|(_, queue)| Arc::clone(queue)).collect()
    }

    /// All queues, including those of direct reply-to.
    pub(super) fn queues_and_hidden(&self) -> Vec<Arc<QueueHandle>> {
        self.topology.read().queues.iter().map(|(_, queue)| Arc::clone(queue)).collect()
    }

    /// The delay room of an exchange, if it delays.
    pub fn delay_room(&self, exchange: &str) -> Option<Arc<DelayRoom>> {
        self.topology.read().features.get(exchange.as_bytes())?.delay_room.clone()
    }

    /// All delay rooms, unordered.
    pub fn delay_rooms(&self) -> Vec<Arc<DelayRoom>> {
        self.topology.read().features.values().filter_map(|features| features.delay_room.clone()).collect()
    }

    /// Counts a connection, unless the limit is reached: then returns the limit.
    pub(super) fn connection_comes(&self, id: ConnectionId) -> Result<(), u64> {
        let max = self.limits.read().get(MAX_CONNECTIONS);
        let mut connections = self.connections.lock();
        match max {
            Some(max) if connections.len() as u64 >= max => Err(max),
            _ => {
                connections.insert(id);
                Ok(())
            }
        }
    }

    /// Refuses one more queue after `more` planned ones if the limit is reached, under the given limits instead of the
    /// vhost's, if any.
    pub(super) fn has_room_for_queue_behind(
        &self,
        name: &QueueName,
        more: usize,
        limits: Option<&OperatorLimits>,
    ) -> Result<(), Refusal> {
        let max = limits.map_or_else(|| self.limits.read().get(MAX_QUEUES), |limits| limits.get(MAX_QUEUES));
        let Some(max) = max else { return Ok(()) };
        if ((self.queue_count() + more) as u64) < max {
            return Ok(());
        }
        Err(Refusal::Precondition(format!(
            "cannot declare queue '{name}': queue limit in vhost '{}' ({max}) is reached",
            self.name
        )))
    }

    /// As above, for many at once.
    pub(super) fn has_room_for_queues(
        &self,
        more: usize,
        limits: Option<&OperatorLimits>,
    ) -> Result<(), Refusal> {
        let max = limits.map_or_else(|| self.limits.read().get(MAX_QUEUES), |limits| limits.get(MAX_QUEUES));
        let Some(max) = max else { return Ok(()) };
        if more == 0 || self.queue_count() as u64 + more as u64 <= max {
            return Ok(());
        }
        Err(Refusal::Precondition(format!(
            "cannot declare {more} queues: queue limit in vhost '{}' ({max}) would be exceeded",
            self.name
        )))
    }

    /// A connection has ended.
    pub fn connection_ended(&self, id: ConnectionId) {
        self.connections.lock().remove(&id);
    }

    /// Counters of an exchange that was published to.
    pub fn exchange_stats(&self, exchange: &str) -> Option<Arc<ExchangeStats>> {
        self.topology.read().stats.get(exchange.as_bytes()).cloned()
    }

    /// Counters of all exchanges that were published to, unordered.
    pub fn all_exchange_stats(&self) -> Vec<Arc<ExchangeStats>> {
        self.topology.read().stats.values().cloned().collect()
    }

    /// Counters of an exchange about to be published to. If the exchange does not exist, they are visible nowhere.
    pub(super) fn stats_for_publish(&self, exchange: &[u8]) -> Arc<ExchangeStats> {
        if let Some(known) = self.topology.read().stats.get(exchange) {
            return Arc::clone(known);
        }
        let mut topology = self.topology.write();
        let exists = std::str::from_utf8(exchange).is_ok_and(|name| topology.router.exchange(name).is_some());
        if exists {
            Arc::clone(topology.stats.entry(exchange.into()).or_insert_with(ExchangeStats::new))
        } else {
            ExchangeStats::new()
        }
    }

    /// Refuses routing keys not permitted to the caller on an exchange, if it routes by topic. Costs nothing without
    /// topic permissions.
    pub(super) fn check_topics<'a>(
        &self,
        rights: &AccessRights,
        access: Access,
        exchange: &str,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Refusal> {
        if !rights.restrict_topics_of(exchange) {
            return Ok(());
        }
        let topology = self.topology.read();
        let found = topology.router.exchange(exchange);
        if found.is_none_or(|exchange| exchange.kind.inner != InnerKind::Topic) {
            return Ok(());
        }
        drop(topology);
        keys.into_iter().try_for_each(|key| rights.check_topic(access, exchange, key))
    }
}

impl std::fmt::Debug for Vhost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vhost").field("name", &self.name).finish_non_exhaustive()
    }
}
