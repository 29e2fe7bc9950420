//! Registry of open connections and channels: their state for operators, and a way to close them.
//!
//! Invariants: a connection is listed from `connection.open-ok` until it has released everything; a channel is listed
//! while its session holds its handle. Counters only grow and are read without a lock.
//! Absent: sockets and sessions; both are reached through the traits [`ConnectionControl`] and [`Gauge`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use leveret_message::Millis;
use parking_lot::Mutex;

use super::arguments::{FieldTable, get, text};
use super::channel_stats::ChannelStats;
use super::names::{ConnectionId, UserName, VhostName};
pub use super::quotas::QuotaUse;
use super::quotas::{Kind, Quotas};

/// Controls a connection's tasks, from any thread.
pub trait ConnectionControl: Send + Sync {
    /// Sends the client `320 CONNECTION_FORCED` with this text, then closes the socket.
    fn close(&self, text: &str);

    /// Has its channels adopt the current consumer timeouts of their queues.
    fn retime(&self);

    /// Has it release the memory it holds: the total is too high, and its share the largest.
    fn give_way(&self);
}

/// The outgoing side of a connection, as far as it concerns its channels.
pub trait Gauge: Send + Sync {
    /// Unacknowledged messages of the channel.
    fn unacked(&self, channel: u16) -> usize;
    /// Bytes not yet read by the client.
    fn waiting_bytes(&self) -> usize;
}

/// Traffic of one socket: bytes, system calls, and confirms sent.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes read.
    pub received_bytes: AtomicU64,
    /// Reads.
    pub received: AtomicU64,
    /// Bytes written.
    pub sent_bytes: AtomicU64,
    /// Writes.
    pub sent: AtomicU64,
    /// Publishes confirmed.
    pub confirmed: AtomicU64,
}

impl Traffic {
    /// Counts a read of `bytes`.
    pub fn add_received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a write of `bytes`.
    pub fn add_sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// Contents of a client's verified certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Subject, in RFC 2253 form.
    pub subject: String,
    /// Issuer, in the same form.
    pub issuer: String,
    /// Validity period.
    pub validity: String,
    /// The user for EXTERNAL logins, if the certificate names one.
    pub user: Option<String>,
}

/// Encryption of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `tlsv1.2` or `tlsv1.3`.
    pub protocol: &'static str,
    /// Such as `ecdhe_rsa`; `any` with TLS 1.3, whose suites do not include it.
    pub key_exchange: String,
    /// Such as `aes_256_gcm`.
    pub cipher: String,
    /// The client's certificate, if presented.
    pub certificate: Option<PeerCertificate>,
}

/// Properties of a connection when it opens.
pub struct ConnectionFacts {
    /// Process-unique.
    pub id: ConnectionId,
    /// Client address.
    pub peer: SocketAddr,
    /// Local address.
    pub local: SocketAddr,
    /// Encryption, if any.
    pub tls: Option<Arc<TlsFacts>>,
    /// Logged-in user.
    pub user: UserName,
    /// Its vhost.
    pub vhost: VhostName,
    /// SASL mechanism.
    pub mechanism: String,
    /// `client-properties`.
    pub client_properties: Arc<FieldTable>,
    /// Negotiated.
    pub channel_max: u16,
    /// Negotiated, in bytes.
    pub frame_max: u32,
    /// Negotiated heartbeat in seconds; 0 for none.
    pub heartbeat_s: u16,
    /// Time of opening.
    pub connected_at: Millis,
}

/// An open connection, as seen by others.
pub struct ConnectionHandle {
    /// Properties at opening.
    pub facts: ConnectionFacts,
    /// `client -> server`, as `RabbitMQ` names it.
    pub name: String,
    /// Traffic counters.
    pub traffic: Arc<Traffic>,
    /// Publishing is blocked, and the client was notified.
    pub blocked: AtomicBool,
    gauge: Arc<dyn Gauge>,
    remote: Arc<dyn ConnectionControl>,
    closing: AtomicBool,
    channels: Mutex<BTreeMap<u16, Weak<ChannelHandle>>>,
}

/// The client-provided name: `connection_name` in its properties.
pub fn given_name(client_properties: &FieldTable) -> Option<&str> {
    get(client_properties, "connection_name").and_then(text)
}

impl ConnectionHandle {
    /// A connection that was just opened.
    pub fn new(
        facts: ConnectionFacts,
        traffic: Arc<Traffic>,
        gauge: Arc<dyn Gauge>,
        remote: Arc<dyn ConnectionControl>,
    ) -> Arc<Self> {
        let name = format!("{} -> {}", facts.peer, facts.local);
        Arc::new(Self {
            facts,
            name,
            traffic,
            blocked: AtomicBool::new(false),
            gauge,
            remote,
            closing: AtomicBool::new(false),
            channels: Mutex::default(),
        })
    }

    /// The client-provided name.
    pub fn given_name(&self) -> Option<&str> {
        given_name(&self.facts.client_properties)
    }

    /// Closes the connection; `reason` is sent to the client.
    pub fn close(&self, reason: &str) {
        self.closing.store(true, Ordering::Relaxed);
        self.remote.close(reason);
    }

    /// Consumer timeouts of queues it consumes from have changed.
    pub fn retime(&self) {
        self.remote.retime();
    }

    /// Has it release the memory it holds.
    pub fn give_way(&self) {
        self.remote.give_way();
    }

    /// `running`, `blocked` or `closing`.
    pub fn state(&self) -> &'static str {
        if self.closing.load(Ordering::Relaxed) {
            "closing"
        } else if self.blocked.load(Ordering::Relaxed) {
            "blocked"
        } else {
            "running"
        }
    }

    /// Open channels, by number.
    pub fn channels(&self) -> Vec<Arc<ChannelHandle>> {
        self.channels.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Bytes not yet read by the client.
    pub fn waiting_bytes(&self) -> usize {
        self.gauge.waiting_bytes()
    }

    /// Unacknowledged messages of a channel.
    pub fn unacked(&self, channel: u16) -> usize {
        self.gauge.unacked(channel)
    }
}

impl std::fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionHandle").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An open channel, as seen by others. Its session sets the fields; it is listed until dropped.
#[derive(Debug)]
pub struct ChannelHandle {
    /// Channel number.
    pub number: u16,
    /// Prefetch limit for new consumers; 0 for none.
    pub prefetch: AtomicU32,
    /// Prefetch limit for all its consumers together; 0 for none.
    pub global_prefetch: AtomicU32,
    /// Whether publishes are confirmed.
    pub confirm: AtomicBool,
    /// Whether publishes and acknowledgements are transactional.
    pub transactional: AtomicBool,
    /// Publishes waiting for a commit.
    pub uncommitted: AtomicUsize,
    /// Acknowledgements waiting for a commit.
    pub uncommitted_acks: AtomicUsize,
    /// Process-unique, never reused.
    pub id: u64,
    /// Message counters.
    pub stats: Arc<ChannelStats>,
    churn: Arc<Churn>,
    _quota: QuotaUse,
}

impl Drop for ChannelHandle {
    fn drop(&mut self) {
        self.churn.channels_closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Objects created and deleted since the start.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the names say all")]
pub struct Churn {
    pub connections_opened: AtomicU64,
    pub connections_closed: AtomicU64,
    pub channels_opened: AtomicU64,
    pub channels_closed: AtomicU64,
    pub queues_declared: AtomicU64,
    pub queues_created: AtomicU64,
    pub queues_deleted: AtomicU64,
}

impl Churn {
    /// Number of open channels.
    pub fn open_channels(&self) -> usize {
        let closed = self.channels_closed.load(Ordering::Relaxed);
        let open = self.channels_opened.load(Ordering::Relaxed).saturating_sub(closed);
        usize::try_from(open).unwrap_or(usize::MAX)
    }
}

/// All open connections.
#[derive(Debug, Default)]
pub struct Registry {
    connections: DashMap<ConnectionId, Arc<ConnectionHandle>>,
    /// Objects created and deleted.
    pub churn: Arc<Churn>,
    /// Confirms sent over closed connections.
    confirmed_before: AtomicU64,
    quotas: Quotas,
}

impl Registry {
    /// A connection was opened.
    pub(super) fn opened(&self, handle: &Arc<ConnectionHandle>) {
        self.connections.insert(handle.facts.id, Arc::clone(handle));
        self.churn.connections_opened.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection has ended.
    pub(super) fn ended(&self, id: ConnectionId) {
        if let Some((_, handle)) = self.connections.remove(&id) {
            let confirmed = handle.traffic.confirmed.load(Ordering::Relaxed);
            self.confirmed_before.fetch_add(confirmed, Ordering::Relaxed);
            self.churn.connections_closed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a user's connection, unless the user already has `max`.
    pub(super) fn quota_use(&self, user: &UserName, max: Option<u64>) -> Option<QuotaUse> {
        self.quotas.take(user, Kind::Connection, max)
    }

    /// Registers a channel, unless its user already has `max`. It is listed and counted until the handle is dropped.
    pub(super) fn channel_opened(
        &self,
        connection: ConnectionId,
        user: &UserName,
        number: u16,
        max: Option<u64>,
    ) -> Option<Arc<ChannelHandle>> {
        let quota_use = self.quotas.take(user, Kind::Channel, max)?;
        let churn = Arc::clone(&self.churn);
        let id = churn.channels_opened.fetch_add(1, Ordering::Relaxed);
        let channel = Arc::new(ChannelHandle {
            number,
            prefetch: AtomicU32::new(0),
            global_prefetch: AtomicU32::new(0),
            confirm: AtomicBool::new(false),
            transactional: AtomicBool::new(false),
            uncommitted: AtomicUsize::new(0),
            uncommitted_acks: AtomicUsize::new(0),
            id,
            stats: Arc::default(),
            churn,
            _quota: quota_use,
        });
        if let Some(connection) = self.get(connection) {
            connection.channels.lock().insert(number, Arc::downgrade(&channel));
        }
        Some(channel)
    }

    /// Number of open connections.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there are no connections.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// A connection by id.
    pub fn get(&self, id: ConnectionId) -> Option<Arc<ConnectionHandle>> {
        self.connections.get(&id).map(|handle| Arc::clone(&handle))
    }

    /// All connections, oldest first.
    pub fn connections(&self) -> Vec<Arc<ConnectionHandle>> {
        let mut all: Vec<_> = self.connections.iter().map(|handle| Arc::clone(&handle)).collect();
        all.sort_by_key(|handle| handle.facts.id);
        all
    }

    /// An open connection by name; the first if several behind a proxy share it.
    pub fn connection_named(&self, name: &str) -> Option<Arc<ConnectionHandle>> {
        let named = self.connections.iter().filter(|handle| handle.name == name);
        named.map(|handle| Arc::clone(&handle)).min_by_key(|handle| handle.facts.id)
    }

    /// Bytes not yet read by the client, for each connection.
    pub fn each_waiting(&self, mut each: impl FnMut(&Arc<ConnectionHandle>, usize)) {
        for handle in &self.connections {
            each(handle.value(), handle.waiting_bytes());
        }
    }

    /// Closes the connections that match `which`; returns how many.
    pub fn close_where(&self, reason: &str, which: impl Fn(&ConnectionHandle) -> bool) -> u64 {
        let mut closed = 0;
        for handle in self.connections().into_iter().filter(|handle| which(handle)) {
            handle.close(reason);
            closed += 1;
        }
        closed
    }

    /// Publishes confirmed since the start, on all connections.
    pub fn confirmed(&self) -> u64 {
        let now: u64 =
            self.connections.iter().map(|handle| handle.traffic.confirmed.load(Ordering::Relaxed)).sum();
        now + self.confirmed_before.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;
    impl ConnectionControl for Nothing {
        fn close(&self, _text: &str) {}
        fn retime(&self) {}
        fn give_way(&self) {}
    }
    impl Gauge for Nothing {
        fn unacked(&self, _channel: u16) -> usize {
            0
        }
        fn waiting_bytes(&self) -> usize {
            0
        }
    }

    fn handle(id: u64) -> Arc<ConnectionHandle> {
        let facts = ConnectionFacts {
            id: ConnectionId(id),
            peer: ([127, 0, 0, 1], 40000).into(),
            local: ([127, 0, 0, 1], 5672).into(),
            tls: None,
            user: UserName::new("guest"),
            vhost: VhostName::new("/"),
            mechanism: "PLAIN".to_owned(),
            client_properties: Arc::default(),
            channel_max: 10,
            frame_max: 4096,
            heartbeat_s: 0,
            connected_at: Millis(0),
        };
        ConnectionHandle::new(facts, Arc::default(), Arc::new(Nothing), Arc::new(Nothing))
    }

    #[test]
    fn a_channel_is_listed_until_its_handle_is_dropped() {
        let registry = Registry::default();
        let connection = handle(1);
        registry.opened(&connection);
        let user = UserName::new("guest");
        let channel = registry.channel_opened(ConnectionId(1), &user, 3, Some(1));
        assert!(channel.is_some() && registry.channel_opened(ConnectionId(1), &user, 4, Some(1)).is_none());
        assert_eq!(connection.channels().len(), 1);
        drop(channel);
        assert!(connection.channels().is_empty());
        assert_eq!(registry.churn.channels_closed.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn confirms_of_a_connection_that_is_gone_are_still_counted() {
        let registry = Registry::default();
        let connection = handle(1);
        registry.opened(&connection);
        connection.traffic.confirmed.store(5, Ordering::Relaxed);
        assert_eq!(registry.confirmed(), 5);
        registry.ended(ConnectionId(1));
        registry.ended(ConnectionId(1));
        assert_eq!((registry.confirmed(), registry.len()), (5, 0));
    }
}
