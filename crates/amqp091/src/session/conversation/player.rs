//! An in-memory broker with clients.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use leveret_broker::Broker;
use leveret_broker::broker::Found;
use leveret_broker::definitions::DefinitionStore;
use leveret_broker::limits::Limits;
use leveret_broker::login_options::LoginOptions;
use leveret_broker::names::ConnectionId;
use leveret_broker::registry::{PeerCertificate, TlsFacts};
use leveret_broker::users::PermissionRecord;
use leveret_broker::vhost::VhostRecord;
use leveret_message::Millis;
use leveret_store::memory::MemStore;
use parking_lot::Mutex;

use super::Packets;
use super::codec::{decode_fields, decode_props};
use super::script::{Expected, Line, Operator, fits};
use super::spec::{self, MethodSpec};
use super::value::{Reader, Table, Value};
use crate::session::error::{AmqpError, MethodId, ReplyCode};
use crate::session::outbox::{Next, Outbox, Writing};
use crate::session::{Connection, Outcome, Peer};

/// The time at which a conversation starts.
const NOW: Millis = Millis(1_000_000);

/// A definition.
type Entry = (Arc<str>, Arc<[u8]>);

/// In-memory definitions.
#[derive(Default)]
struct Unwritten {
    last_id: AtomicU64,
    written: Mutex<Vec<Entry>>,
}

/// The same for a broker; what it wrote can be looked at from outside.
struct Shared(Arc<Unwritten>);

impl DefinitionStore for Shared {
    fn commit(&self, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), String> {
        let written =
            changes.iter().filter_map(|(key, value)| Some((key.as_str().into(), value.as_deref()?.into())));
        self.0.written.lock().extend(written);
        Ok(())
    }

    fn next_id(&self) -> Result<u64, String> {
        Ok(self.0.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The definitions of a first start. Building them hashes a password, which is deliberately slow.
static FIRST: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let definitions = Arc::new(Unwritten::default());
    start(Vec::new(), Arc::new(MemStore::new()), Arc::clone(&definitions));
    definitions.written.lock().clone()
});

fn start(found: Vec<Entry>, store: Arc<MemStore>, definitions: Arc<Unwritten>) -> Arc<Broker> {
    let found = Found { definitions: found, ..Found::default() };
    let limits = Limits { channel_max: 5, consumers_per_channel_max: 3, ..Limits::default() };
    Broker::start(limits, LoginOptions::default(), store, Box::new(Shared(definitions)), found, || NOW)
        .unwrap()
}

/// The broker and its clients.
pub(super) struct Player {
    packets: Packets,
    broker: Arc<Broker>,
    store: Arc<MemStore>,
    now: Millis,
    /// The clients' address.
    from: IpAddr,
    clients: Vec<Client>,
}

struct Client {
    session: Connection,
    outbox: Arc<Outbox>,
    /// Bytes that the session has not consumed yet.
    left: Vec<u8>,
    over: bool,
    /// The script expects the end.
    over_expected: bool,
    inbox: VecDeque<Heard>,
}

/// A method sent by the broker, with its content.
struct Heard {
    channel: u16,
    spec: &'static MethodSpec,
    fields: Vec<(&'static str, Value)>,
    properties: Table,
    body: Option<String>,
}

impl std::fmt::Display for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.channel, self.spec.name)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))?;
        if !self.properties.is_empty() {
            write!(f, " with")?;
        }
        self.properties.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))?;
        self.body.iter().try_for_each(|body| write!(f, " << {body}"))
    }
}

impl Player {
    pub(super) fn new(packets: Packets) -> Self {
        let store = Arc::new(MemStore::new());
        let broker = start(FIRST.clone(), Arc::clone(&store), Arc::default());
        Self { packets, broker, store, now: NOW, from: Ipv4Addr::LOCALHOST.into(), clients: Vec::new() }
    }

    /// Sets the clients' address.
    pub(super) fn come_from(&mut self, address: IpAddr) {
        self.from = address;
    }

    /// Connects the client and sends the protocol header.
    pub(super) fn header(&mut self, client: usize) {
        assert_eq!(client, self.clients.len(), "clients come in order");
        let id = ConnectionId(client as u64 + 1);
        let outbox = Outbox::new(1 << 20);
        let address = SocketAddr::new(self.from, 40_000 + u16::try_from(client).unwrap());
        // A certificate avoids the password check, which is deliberately slow.
        let certificate = PeerCertificate {
            subject: "CN=guest".into(),
            issuer: "CN=ours".into(),
            validity: String::new(),
            user: Some("guest".into()),
        };
        let tls = TlsFacts {
            protocol: "tlsv1.3",
            key_exchange: "any".into(),
            cipher: "aes_256_gcm".into(),
            certificate: Some(certificate),
        };
        let peer =
            Peer { address, local: SocketAddr::from(([127, 0, 0, 1], 5671)), tls: Some(Arc::new(tls)) };
        let session = Connection::new(Arc::clone(&self.broker), id, peer, Arc::clone(&outbox));
        self.clients.push(Client {
            session,
            outbox,
            left: Vec::new(),
            over: false,
            over_expected: false,
            inbox: VecDeque::new(),
        });
        self.deliver(Some((client, vec![b"AMQP\0\0\x09\x01".to_vec()])));
    }

    /// Discards all output so far.
    pub(super) fn forget(&mut self) {
        for client in &mut self.clients {
            client.inbox.clear();
        }
    }

    /// Connects the client and opens channel 1.
    pub(super) fn open(&mut self, client: usize) {
        self.header(client);
        for line in [
            "C 0 connection.start-ok mechanism=EXTERNAL locale=en_US client_properties={capabilities:{consumer_cancel_notify:true}}",
            "C 0 connection.tune-ok channel_max=5 frame_max=4096",
            "C 0 connection.open virtual_host=/",
            "C 1 channel.open",
        ] {
            let Line::Said { frames, .. } = Line::parse(line) else { panic!("{line}") };
            self.deliver(Some((client, frames)));
        }
        let opened = self.clients[client].inbox.drain(..).next_back().map(|heard| heard.spec.name);
        assert_eq!(opened, Some("channel.open-ok"));
    }

    /// Delivers a packet, after checking that all earlier output was expected.
    #[track_caller]
    pub(super) fn send(&mut self, packet: Option<(usize, Vec<Vec<u8>>)>, script: &str) {
        if packet.is_some() {
            self.nothing_more(script);
        }
        self.deliver(packet);
    }

    /// Delivers a packet.
    #[track_caller]
    pub(super) fn deliver(&mut self, packet: Option<(usize, Vec<Vec<u8>>)>) {
        let Some((client, frames)) = packet else { return };
        if client == self.clients.len() {
            self.open(client);
        }
        let packets: Vec<Vec<u8>> = match self.packets {
            Packets::AsWritten => vec![frames.concat()],
            Packets::OfFrames => frames,
            Packets::OfOctets => frames.concat().into_iter().map(|octet| vec![octet]).collect(),
        };
        for packet in packets {
            self.clients[client].take(self.now, &packet);
        }
        self.store.sync();
        self.listen();
    }

    /// Sets the time since the start, after checking that all earlier output was expected.
    #[track_caller]
    pub(super) fn later(&mut self, ms: u64, script: &str) {
        self.nothing_more(script);
        self.now = NOW.plus(ms);
        self.broker.tick(self.now);
        self.listen();
    }

    fn listen(&mut self) {
        for client in &mut self.clients {
            client.listen(self.now);
        }
    }

    /// Performs an operator action.
    pub(super) fn operate(&self, act: &Operator) {
        let broker = &self.broker;
        match act {
            Operator::Permission([configure, write, read]) => {
                let [configure, write, read] = [configure, write, read].map(Clone::clone);
                let record = PermissionRecord { configure, write, read };
                broker.set_permission("guest", "/", &record).map(|_| ()).unwrap();
            }
            Operator::Vhost(name) => {
                broker.put_vhost(name, &VhostRecord::default()).map(|_| ()).unwrap();
            }
            Operator::VhostLimit(name, value) => broker.set_vhost_limit("/", name, Some(*value)).unwrap(),
            Operator::UserLimit(name, value) => broker.set_user_limit("guest", name, Some(*value)).unwrap(),
            Operator::Limit(name, value) => {
                let mut limits = Limits::clone(&broker.limits());
                match name.as_str() {
                    "exchanges_max" => limits.exchanges_max = Some(*value),
                    "channels_max" => limits.channels_max = Some(*value),
                    "connections_max" => limits.connections_max = *value,
                    "message_bytes_max" => limits.message_bytes_max = *value as u64,
                    _ => panic!("no limit: {name}"),
                }
                broker.set_limits(limits);
            }
        }
    }

    /// Drops a client's socket.
    pub(super) fn gone(&mut self, client: usize) {
        let client = &mut self.clients[client];
        client.session.lost(self.now);
        (client.over, client.over_expected) = (true, true);
        client.inbox.clear();
        self.listen();
    }

    /// An operator closes a client's connection.
    pub(super) fn shut(&mut self, client: usize) {
        let error = AmqpError::new(ReplyCode::ConnectionForced, MethodId::default(), "by an operator");
        self.clients[client].session.shut(self.now, &error);
        self.listen();
    }

    #[track_caller]
    pub(super) fn hear(&mut self, client: usize, expected: &Expected, script: &str) {
        if client == self.clients.len() {
            self.open(client);
        }
        let Some(heard) = self.clients[client].inbox.pop_front() else {
            panic!("nothing was said instead of\n  {}\n{}", expected.text, self.told(script));
        };
        let packets = self.packets;
        assert!(
            heard.is(expected),
            "expected {}\n     got {heard}\n{script}\nwith packets {packets:?}",
            expected.text
        );
    }

    #[track_caller]
    pub(super) fn ends(&mut self, client: usize, script: &str) {
        assert!(self.clients[client].over, "the conversation goes on\n{}", self.told(script));
        self.clients[client].over_expected = true;
    }

    #[track_caller]
    pub(super) fn nothing_more(&mut self, script: &str) {
        for client in &self.clients {
            assert!(client.inbox.is_empty(), "the broker said more\n{}", self.told(script));
            assert!(
                !client.over || client.over_expected,
                "the broker ended the conversation\n{}",
                self.told(script)
            );
        }
    }

    /// The script and the unexpected output.
    fn told(&self, script: &str) -> String {
        let mut text = format!("{script}\nwith packets {:?}", self.packets);
        for heard in self.clients.iter().flat_map(|client| &client.inbox) {
            let _ = write!(text, "\n  said: {heard}");
        }
        text
    }
}

impl Client {
    #[track_caller]
    fn take(&mut self, now: Millis, packet: &[u8]) {
        if self.over {
            return;
        }
        self.left.extend_from_slice(packet);
        let mut may_block = false;
        loop {
            let (used, outcome) = self.session.receive(now, &self.left, may_block);
            self.left.drain(..used);
            match outcome {
                Outcome::More => return,
                Outcome::MayBlock | Outcome::Password => may_block = true,
                Outcome::Over => {
                    self.session.lost(now);
                    self.over = true;
                    return;
                }
                Outcome::Head(_) | Outcome::Throttled | Outcome::Waiting => {
                    panic!("the broker waits: {outcome:?}")
                }
            }
        }
    }

    fn listen(&mut self, now: Millis) {
        let context = Context::from_waker(Waker::noop());
        let mut writing = Writing::default();
        let mut bytes = Vec::new();
        while let Poll::Ready(Next::Write) = self.outbox.poll_next(&context, &mut writing) {
            assert!(writing.bodies.is_empty(), "bodies in scripts are short");
            bytes.extend_from_slice(&writing.frames);
            for consumer in self.outbox.written(&mut writing) {
                let mut turn = leveret_broker::turn::Turn::at(now);
                consumer.queue.unblock(&mut turn, std::slice::from_ref(&consumer));
            }
        }
        let mut rest = Reader(&bytes);
        while !rest.0.is_empty() {
            let heard = next(&mut rest);
            self.inbox.push_back(heard);
        }
    }
}

/// The next method with its complete content.
fn next(rest: &mut Reader<'_>) -> Heard {
    let (kind, channel, payload) = frame(rest);
    assert_eq!(kind, 1, "a method");
    let mut reader = Reader(payload);
    let (class, id) = (reader.uint(2), reader.uint(2));
    let spec = spec::by_number(u16::try_from(class).unwrap(), u16::try_from(id).unwrap()).unwrap();
    let fields = decode_fields(spec, &mut reader);
    let (properties, body) = spec.has_content().then(|| content(rest, channel)).unzip();
    Heard { channel, spec, fields, properties: properties.unwrap_or_default(), body }
}

fn content(rest: &mut Reader<'_>, channel: u16) -> (Table, String) {
    let (kind, of, payload) = frame(rest);
    assert_eq!((kind, of), (2, channel), "a content header");
    let mut reader = Reader(payload);
    reader.take(4);
    let size = usize::try_from(reader.uint(8)).unwrap();
    let properties = decode_props(&mut reader);
    let mut body = Vec::new();
    while body.len() < size {
        let (kind, of, payload) = frame(rest);
        assert_eq!((kind, of), (3, channel), "a body frame");
        body.extend_from_slice(payload);
    }
    (properties, String::from_utf8(body).unwrap())
}

fn frame<'a>(rest: &mut Reader<'a>) -> (u8, u16, &'a [u8]) {
    let (kind, channel, size) = (rest.take(1)[0], rest.uint(2), rest.uint(4));
    let payload = rest.take(usize::try_from(size).unwrap());
    assert_eq!(rest.take(1)[0], 0xCE, "a frame's end");
    (kind, u16::try_from(channel).unwrap(), payload)
}

impl Heard {
    fn is(&self, expected: &Expected) -> bool {
        let field = |name: &str| self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let property =
            |name: &str| self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let same = expected.fields.iter().all(|(name, want)| field(name).is_some_and(|got| fits(got, want)));
        let has =
            expected.properties.iter().all(|(name, want)| property(name).is_some_and(|got| fits(got, want)));
        let lacks = expected.without.as_ref().is_none_or(|name| {
            property(name).or_else(|| property("headers").and_then(|headers| headers.get(name))).is_none()
        });
        let said = expected.saying.is_empty()
            || field("reply_text").is_some_and(|text| text.str().contains(&expected.saying));
        let body = expected.body.is_none() || expected.body == self.body;
        let method = self.channel == expected.channel && std::ptr::eq(self.spec, expected.spec);
        method && same && has && lacks && said && body
    }
}
