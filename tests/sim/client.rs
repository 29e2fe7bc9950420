//! A client of a session: sends frames, and records the answers.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use leveret_amqp091::session::outbox::{Next, Outbox, Writing};
use leveret_amqp091::session::{Connection, Outcome, Peer};
use leveret_broker::Broker;
use leveret_broker::names::ConnectionId;
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::registry::{PeerCertificate, TlsFacts};
use leveret_broker::turn::Turn;
use leveret_message::Millis;

use crate::codec::{decode_fields, decode_props};
use crate::spec::{self, MethodSpec};
use crate::value::{Reader, Table, Value};

/// A method sent by the broker, with its content.
pub(crate) struct Heard {
    pub(crate) channel: u16,
    pub(crate) spec: &'static MethodSpec,
    fields: Vec<(&'static str, Value)>,
    properties: Table,
    pub(crate) body: String,
}

impl std::fmt::Display for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.channel, self.spec.name)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))?;
        if self.spec.has_content() {
            write!(f, " << {}", self.sign())?;
        }
        Ok(())
    }
}

impl Heard {
    /// A field as text, whatever its type.
    pub(crate) fn text(&self, name: &str) -> String {
        match self.fields.iter().find(|(known, _)| *known == name) {
            Some((_, Value::Str(text))) => String::from_utf8_lossy(text).into_owned(),
            Some((_, Value::Int(_, number))) => number.to_string(),
            Some((_, Value::Bool(flag))) => flag.to_string(),
            other => panic!("{} has no {name}: {other:?}", self.spec.name),
        }
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().expect("a number")
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// Body and history, which together distinguish copies of a message in one queue.
    pub(crate) fn sign(&self) -> String {
        sign(&self.body, header(&self.properties, "x-death"))
    }

    /// Value of `x-delivery-count`; 0 if absent.
    pub(crate) fn delivery_count(&self) -> u64 {
        header(&self.properties, "x-delivery-count").map_or(0, |count| count.int().unsigned_abs())
    }
}

fn header<'a>(properties: &'a Table, name: &str) -> Option<&'a Value> {
    let headers = properties.iter().find(|(key, _)| key == "headers").map(|(_, value)| value)?;
    headers.get(name)
}

/// Like [`Heard::sign`], for a message read in place: from its wire-encoded properties.
pub(crate) fn sign_of(body: &[u8], properties: &[u8]) -> (String, u64) {
    let properties = decode_props(&mut Reader(properties));
    let body = String::from_utf8_lossy(body);
    let count = header(&properties, "x-delivery-count").map_or(0, |count| count.int().unsigned_abs());
    (sign(&body, header(&properties, "x-death")), count)
}

fn sign(body: &str, deaths: Option<&Value>) -> String {
    let mut sign = body.trim_end_matches('.').to_owned();
    for death in deaths.map_or(&[][..], Value::array) {
        let text = |key: &str| death.get(key).map(Value::str).unwrap_or_default();
        let count = death.get("count").map_or(0, Value::int);
        let _ = write!(sign, "|{} {} {count}", text("queue"), text("reason"));
    }
    sign
}

/// The outcome of a client's input.
pub(crate) enum Said {
    Done,
    /// A queue's head must be read first.
    Unread(Arc<QueueHandle>),
    /// Publishers wait for room.
    Waits,
}

pub(crate) struct Client {
    session: Connection,
    outbox: Arc<Outbox>,
    left: Vec<u8>,
    pub(crate) over: bool,
}

impl Client {
    /// Connects as a user authenticated by certificate, which avoids the deliberately slow password check.
    pub(crate) fn new(broker: &Arc<Broker>, id: u64) -> Self {
        let outbox = Outbox::new(1 << 20);
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
        let peer = Peer {
            address: SocketAddr::from(([127, 0, 0, 1], 40_000)),
            local: SocketAddr::from(([127, 0, 0, 1], 5671)),
            tls: Some(Arc::new(tls)),
        };
        let session = Connection::new(Arc::clone(broker), ConnectionId(id), peer, Arc::clone(&outbox));
        Self { session, outbox, left: Vec::new(), over: false }
    }

    /// Passes these octets to the broker.
    pub(crate) fn say(&mut self, now: Millis, octets: &[u8]) -> Said {
        self.left.extend_from_slice(octets);
        let mut may_block = false;
        while !self.over {
            let (used, outcome) = self.session.receive(now, &self.left, may_block);
            self.left.drain(..used);
            match outcome {
                Outcome::More => return Said::Done,
                Outcome::MayBlock | Outcome::Password => may_block = true,
                Outcome::Head(queue) => return Said::Unread(queue),
                Outcome::Throttled | Outcome::Waiting => return Said::Waits,
                Outcome::Over => {
                    self.session.lost(now);
                    self.over = true;
                }
            }
        }
        Said::Done
    }

    /// The socket is lost.
    pub(crate) fn lose(&mut self, now: Millis) {
        if !self.over {
            self.outbox.close();
            self.session.lost(now);
            self.over = true;
        }
    }

    /// The broker's output since the last call.
    pub(crate) fn listen(&mut self, now: Millis) -> Vec<Heard> {
        let context = Context::from_waker(Waker::noop());
        let mut writing = Writing::default();
        let mut octets = Vec::new();
        while let Poll::Ready(Next::Write) = self.outbox.poll_next(&context, &mut writing) {
            assert!(writing.bodies.is_empty(), "the bodies of a simulation are short");
            octets.extend_from_slice(&writing.frames);
            for consumer in self.outbox.written(&mut writing) {
                consumer.queue.unblock(&mut Turn::at(now), std::slice::from_ref(&consumer));
            }
        }
        let mut rest = Reader(&octets);
        let mut heard = Vec::new();
        while !rest.0.is_empty() {
            heard.push(method(&mut rest));
        }
        heard
    }
}

/// The next method with its content, which must be complete.
fn method(rest: &mut Reader<'_>) -> Heard {
    let (kind, channel, payload) = frame(rest);
    assert_eq!(kind, 1, "a method");
    let mut reader = Reader(payload);
    let mut number = || u16::try_from(reader.uint(2)).expect("a number");
    let spec = spec::by_number(number(), number()).expect("a method");
    let fields = decode_fields(spec, &mut reader);
    let mut heard = Heard { channel, spec, fields, properties: Table::new(), body: String::new() };
    if spec.has_content() {
        let (kind, of, payload) = frame(rest);
        assert_eq!((kind, of), (2, channel), "a content header");
        let mut reader = Reader(payload);
        reader.take(4);
        let size = usize::try_from(reader.uint(8)).expect("a size");
        heard.properties = decode_props(&mut reader);
        let mut body = Vec::new();
        while body.len() < size {
            let (kind, of, payload) = frame(rest);
            assert_eq!((kind, of), (3, channel), "a body frame");
            body.extend_from_slice(payload);
        }
        heard.body = String::from_utf8(body).expect("text");
    }
    heard
}

fn frame<'a>(rest: &mut Reader<'a>) -> (u8, u16, &'a [u8]) {
    let (kind, channel, size) = (rest.take(1)[0], rest.uint(2), rest.uint(4));
    let payload = rest.take(usize::try_from(size).expect("a size"));
    assert_eq!(rest.take(1)[0], 0xCE, "a frame's end");
    (kind, u16::try_from(channel).expect("a channel"), payload)
}
