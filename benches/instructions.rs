//! A message's whole path without sockets: bytes into a publisher's connection, out of a consumer's outbox.
//! `instructions SCENARIO COUNT` processes COUNT messages and exits; under callgrind, two counts yield the cost per
//! message (`tests/instructions.py`). Without arguments it processes a few of each, as a smoke test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Waker};

use leveret_amqp091::session::Connection;
use leveret_amqp091::session::connection::Peer;
use leveret_amqp091::session::outbox::{Outbox, Writing};
use leveret_amqp091::wire::control::write_method;
use leveret_amqp091::wire::hot_out::put_body;
use leveret_amqp091::wire::method::{AMQPClass, AMQPValue, FieldTable, basic, channel, connection, queue};
use leveret_broker::Broker;
use leveret_broker::broker::Found;
use leveret_broker::definitions::DefinitionStore;
use leveret_broker::limits::Limits;
use leveret_broker::login_options::LoginOptions;
use leveret_broker::names::ConnectionId;
use leveret_broker::turn::Turn;
use leveret_message::Millis;
use leveret_store::memory::MemStore;

const FRAME_MAX: u32 = 131_072;
/// Messages per socket read.
const BATCH: usize = 64;
const NOW: Millis = Millis(1_700_000_000_000);

/// Discards definitions.
struct Nowhere;

impl DefinitionStore for Nowhere {
    fn commit(&self, _: &[(String, Option<Vec<u8>>)]) -> Result<(), String> {
        Ok(())
    }

    fn next_id(&self) -> Result<u64, String> {
        Ok(1)
    }
}

/// A connection, and the bytes sent to it.
struct Client {
    connection: Connection,
    outbox: Arc<Outbox>,
    writing: Writing,
}

impl Client {
    fn new(broker: &Arc<Broker>, id: u64) -> Self {
        let outbox = Outbox::new(1 << 20);
        let local = SocketAddr::from(([127, 0, 0, 1], 1));
        let peer = Peer { address: local, local, tls: None };
        let connection = Connection::new(Arc::clone(broker), ConnectionId(id), peer, Arc::clone(&outbox));
        let mut client = Self { connection, outbox, writing: Writing::default() };
        client.send(b"AMQP\0\0\x09\x01");
        client.call(
            0,
            &AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
                client_properties: FieldTable::default(),
                mechanism: "PLAIN".into(),
                response: "\0guest\0guest".into(),
                locale: "en_US".into(),
            })),
        );
        client.call(
            0,
            &AMQPClass::Connection(connection::AMQPMethod::TuneOk(connection::TuneOk {
                channel_max: 8,
                frame_max: FRAME_MAX,
                heartbeat: 0,
            })),
        );
        client.call(
            0,
            &AMQPClass::Connection(connection::AMQPMethod::Open(connection::Open {
                virtual_host: "/".into(),
            })),
        );
        client.call(1, &AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
        client
    }

    fn call(&mut self, channel: u16, method: &AMQPClass) {
        let mut bytes = Vec::new();
        write_method(&mut bytes, channel, method);
        self.send(&bytes);
    }

    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (used, _) = self.connection.receive(NOW, bytes, true);
            assert!(used > 0, "the connection takes its bytes");
            bytes = &bytes[used..];
        }
    }

    /// Takes the pending output, as the writer does; returns its size in bytes.
    fn take(&mut self) -> usize {
        let context = Context::from_waker(Waker::noop());
        let mut bytes = 0;
        while self.outbox.poll_next(&context, &mut self.writing).is_ready() {
            bytes += self.writing.frames.len();
            bytes += self.writing.bodies.iter().map(|piece| piece.range.len()).sum::<usize>();
            for consumer in self.outbox.written(&mut self.writing) {
                consumer.queue.unblock(&mut Turn::at(NOW), std::slice::from_ref(&consumer));
            }
        }
        bytes
    }
}

/// The messages of a scenario, and their path.
struct Scenario {
    name: &'static str,
    exchange: &'static str,
    body_bytes: usize,
    headers: bool,
    /// Non-matching bindings, beside the matching one.
    bindings: usize,
    /// Whether each batch is acknowledged.
    ack: bool,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "transient-16b",
        exchange: "amq.direct",
        body_bytes: 16,
        headers: false,
        bindings: 0,
        ack: false,
    },
    Scenario {
        name: "transient-1k",
        exchange: "amq.direct",
        body_bytes: 1024,
        headers: false,
        bindings: 0,
        ack: false,
    },
    Scenario {
        name: "ack-1k",
        exchange: "amq.direct",
        body_bytes: 1024,
        headers: false,
        bindings: 0,
        ack: true,
    },
    Scenario {
        name: "topic-1000",
        exchange: "amq.topic",
        body_bytes: 256,
        headers: false,
        bindings: 1000,
        ack: false,
    },
    Scenario {
        name: "headers-200",
        exchange: "amq.headers",
        body_bytes: 256,
        headers: true,
        bindings: 200,
        ack: false,
    },
];

fn table(key: &str, value: &str) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(key.into(), AMQPValue::LongString(value.into()));
    table
}

fn bind(client: &mut Client, scenario: &Scenario, routing_key: &str, arguments: FieldTable) {
    client.call(
        1,
        &AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
            queue: "q".into(),
            exchange: scenario.exchange.into(),
            routing_key: routing_key.into(),
            nowait: false,
            arguments,
        })),
    );
}

fn publishes(scenario: &Scenario) -> Vec<u8> {
    let properties: Vec<u8> = if scenario.headers {
        let mut contents = vec![4];
        contents.extend(b"kindS\0\0\0\x04this");
        let length = u32::try_from(contents.len()).expect("small");
        [b"\x20\0".as_slice(), &length.to_be_bytes(), &contents].concat()
    } else {
        b"\0\0".to_vec()
    };
    let publish = AMQPClass::Basic(basic::AMQPMethod::Publish(basic::Publish {
        exchange: scenario.exchange.into(),
        routing_key: "orders.created.eu".into(),
        ..basic::Publish::default()
    }));
    let mut out = Vec::new();
    for _ in 0..BATCH {
        write_method(&mut out, 1, &publish);
        out.extend([2, 0, 1]);
        out.extend(u32::try_from(12 + properties.len()).expect("small").to_be_bytes());
        out.extend([0, 60, 0, 0]);
        out.extend((scenario.body_bytes as u64).to_be_bytes());
        out.extend(&properties);
        out.push(0xCE);
        put_body(&mut out, 1, &vec![7; scenario.body_bytes], FRAME_MAX);
    }
    out
}

fn carry(scenario: &Scenario, count: usize) {
    let found = Found::default();
    let broker = Broker::start(
        Limits::default(),
        LoginOptions::default(),
        Arc::new(MemStore::new()),
        Box::new(Nowhere),
        found,
        || NOW,
    )
    .expect("a broker");
    let mut publisher = Client::new(&broker, 1);
    let mut consumer = Client::new(&broker, 2);
    consumer.call(
        1,
        &AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
            queue: "q".into(),
            ..queue::Declare::default()
        })),
    );
    bind(&mut consumer, scenario, "orders.created.eu", table("kind", "this"));
    for other in 0..scenario.bindings {
        bind(&mut consumer, scenario, &format!("other.{other}.*"), table("kind", &format!("other-{other}")));
    }
    let mut consume = basic::Consume { queue: "q".into(), ..basic::Consume::default() };
    consume.no_ack = !scenario.ack;
    consumer.call(1, &AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
    consumer.take();
    let batch = publishes(scenario);
    let mut carried = 0;
    while carried < count {
        publisher.send(&batch);
        carried += BATCH;
        let bytes = consumer.take();
        assert!(bytes > BATCH * scenario.body_bytes, "{}: all are delivered", scenario.name);
        if scenario.ack {
            let ack = basic::Ack { delivery_tag: carried as u64, multiple: true };
            consumer.call(1, &AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let (name, count) = (arguments.next(), arguments.next());
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(10 * BATCH);
    for scenario in SCENARIOS {
        if name.as_deref().is_none_or(|name| name == scenario.name) {
            carry(scenario, count);
        }
    }
}
