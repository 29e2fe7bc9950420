//! Who is connected: what an operator sees of connections and channels, and a way to end them.
//!
//! Invariants: a connection is listed from `connection.open-ok` until it has given everything back; a
//! channel is listed as long as its session holds its handle. Counters only grow and are read without
//! a lock.
//! Absent: sockets and sessions; both are reached through the traits [`ConnectionControl`] and [`Gauge`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use leveret_queues::Millis;
use parking_lot::Mutex;

use super::arguments::{FieldTable, get, text};
use super::channel_stats::ChannelStats;
use super::names::{ConnectionId, UserName, VhostName};
pub use super::quotas::QuotaUse;
use super::quotas::{Kind, Quotas};

/// Reaches a connection's tasks, from any thread.
pub trait ConnectionControl: Send + Sync {
    /// Has the client told `320 CONNECTION_FORCED` with this text, then closes the socket.
    fn close(&self, text: &str);

    /// Has its channels keep to the consumer timeouts that their queues have now.
    fn retime(&self);

    /// Has it let go of what it holds: all together hold too much, and it most.
    fn give_way(&self);
}

/// What a connection's outgoing side knows of its channels.
pub trait Gauge: Send + Sync {
    /// Messages that the channel has out unacknowledged.
    fn unacked(&self, channel: u16) -> usize;
    /// Bytes that wait for the client to read.
    fn waiting_bytes(&self) -> usize;
}

/// Bytes and system calls of one socket, and what was confirmed over it.
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
    /// A read brought `bytes`.
    pub fn add_received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// A write took `bytes`.
    pub fn add_sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a client's verified certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is, as RFC 2253 writes it.
    pub subject: String,
    /// Who gave it out, likewise.
    pub issuer: String,
    /// From when until when.
    pub validity: String,
    /// The user that logs in with it by EXTERNAL, if it names one.
    pub user: Option<String>,
}

/// How a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `tlsv1.2` or `tlsv1.3`.
    pub protocol: &'static str,
    /// Such as `ecdhe_rsa`; `any` with TLS 1.3, where it is not part of the suite.
    pub key_exchange: String,
    /// Such as `aes_256_gcm`.
    pub cipher: String,
    /// The client's certificate, if it showed one.
    pub certificate: Option<PeerCertificate>,
}

/// What is known of a connection when it opens.
pub struct ConnectionFacts {
    /// Unique in the process.
    pub id: ConnectionId,
    /// The client's end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// How it is encrypted, if it is.
    pub tls: Option<Arc<TlsFacts>>,
    /// Who logged in.
    pub user: UserName,
    /// Where.
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
    /// When.
    pub connected_at: Millis,
}

/// An open connection, as others see it.
pub struct ConnectionHandle {
    /// What was known when it opened.
    pub facts: ConnectionFacts,
    /// `client -> server`, as `RabbitMQ` names it.
    pub name: String,
    /// Bytes and confirms.
    pub traffic: Arc<Traffic>,
    /// Publishing is held up, and the client was told.
    pub blocked: AtomicBool,
    gauge: Arc<dyn Gauge>,
    remote: Arc<dyn ConnectionControl>,
    closing: AtomicBool,
    channels: Mutex<BTreeMap<u16, Weak<ChannelHandle>>>,
}

/// The name that a client gave itself: `connection_name` in its properties.
pub fn given_name(client_properties: &FieldTable) -> Option<&str> {
    get(client_properties, "connection_name").and_then(text)
}

impl ConnectionHandle {
    /// A connection that has just been opened.
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

    /// The name that the client gave itself.
    pub fn given_name(&self) -> Option<&str> {
        given_name(&self.facts.client_properties)
    }

    /// Ends it; `reason` is told to the client.
    pub fn close(&self, reason: &str) {
        self.closing.store(true, Ordering::Relaxed);
        self.remote.close(reason);
    }

    /// Consumer timeouts of queues that it consumes from have changed.
    pub fn retime(&self) {
        self.remote.retime();
    }

    /// It holds more than others can bear.
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

    /// Bytes that wait for the client to read.
    pub fn waiting_bytes(&self) -> usize {
        self.gauge.waiting_bytes()
    }

    /// Messages that a channel has out unacknowledged.
    pub fn unacked(&self, channel: u16) -> usize {
        self.gauge.unacked(channel)
    }
}

impl std::fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionHandle").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An open channel, as others see it. Its session sets the fields; it is listed until dropped.
#[derive(Debug)]
pub struct ChannelHandle {
    /// Its number.
    pub number: u16,
    /// Limit for consumers that start from now on; 0 for none.
    pub prefetch: AtomicU32,
    /// Limit of all its consumers together; 0 for none.
    pub global_prefetch: AtomicU32,
    /// Publishes are confirmed.
    pub confirm: AtomicBool,
    /// Publishes and acknowledgements wait for a commit.
    pub transactional: AtomicBool,
    /// Publishes that do.
    pub uncommitted: AtomicUsize,
    /// Acknowledgements that do.
    pub uncommitted_acks: AtomicUsize,
    /// Tells it from all others that there were.
    pub id: u64,
    /// What it did.
    pub stats: Arc<ChannelStats>,
    churn: Arc<Churn>,
    _quota: QuotaUse,
}

impl Drop for ChannelHandle {
    fn drop(&mut self) {
        self.churn.channels_closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// What came and went since the start.
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
    /// Channels that are open.
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
    /// What came and went.
    pub churn: Arc<Churn>,
    /// Confirms sent over connections that are gone.
    confirmed_before: AtomicU64,
    quotas: Quotas,
}

impl Registry {
    /// A connection is open.
    pub(super) fn opened(&self, handle: &Arc<ConnectionHandle>) {
        self.connections.insert(handle.facts.id, Arc::clone(handle));
        self.churn.connections_opened.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is gone.
    pub(super) fn ended(&self, id: ConnectionId) {
        if let Some((_, handle)) = self.connections.remove(&id) {
            let confirmed = handle.traffic.confirmed.load(Ordering::Relaxed);
            self.confirmed_before.fetch_add(confirmed, Ordering::Relaxed);
            self.churn.connections_closed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a user's connection, unless it has `max` already.
    pub(super) fn quota_use(&self, user: &UserName, max: Option<u64>) -> Option<QuotaUse> {
        self.quotas.take(user, Kind::Connection, max)
    }

    /// A channel is open on a connection, unless its user has `max` already. It is listed and counted until
    /// the handle is dropped.
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

    /// How many connections are open.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// The connection of that id.
    pub fn get(&self, id: ConnectionId) -> Option<Arc<ConnectionHandle>> {
        self.connections.get(&id).map(|handle| Arc::clone(&handle))
    }

    /// All connections, oldest first.
    pub fn connections(&self) -> Vec<Arc<ConnectionHandle>> {
        let mut all: Vec<_> = self.connections.iter().map(|handle| Arc::clone(&handle)).collect();
        all.sort_by_key(|handle| handle.facts.id);
        all
    }

    /// The open connection of that name; of several behind a proxy, which may have one, the first.
    pub fn connection_named(&self, name: &str) -> Option<Arc<ConnectionHandle>> {
        let named = self.connections.iter().filter(|handle| handle.name == name);
        named.map(|handle| Arc::clone(&handle)).min_by_key(|handle| handle.facts.id)
    }

    /// What waits for each connection to be read, in bytes.
    pub fn each_waiting(&self, mut each: impl FnMut(&Arc<ConnectionHandle>, usize)) {
        for handle in &self.connections {
            each(handle.value(), handle.waiting_bytes());
        }
    }

    /// Closes the connections for which `which` holds.
    pub fn close_where(&self, reason: &str, which: impl Fn(&ConnectionHandle) -> bool) {
        for handle in self.connections().into_iter().filter(|handle| which(handle)) {
            handle.close(reason);
        }
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
