//! The rules of AMQP 0-9-1 as brokers implement them: code, level, blamed method, meaning of the text. One test per
//! rule.

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::Peer;
use crate::known_differences::DIFFERENCES;
use crate::raw::{Client, Heard};

mod acks;
mod channels;
mod confirms;
mod consumers;
mod default_exchange;
mod exchanges;
mod extensions;
mod frames;
mod handshake;
mod headers_exchange;
mod lifecycles;
mod locked_queues;
mod missing_things;
mod order;
mod pipelined;
mod prefetch;
mod properties;
mod queue_arguments;
mod redeclare;
mod returns;
mod routing;
mod shared_prefetch;

/// A test's environment: a broker, and a name prefix of its own, written `$`.
pub(crate) struct Scene {
    peer: Peer,
    prefix: String,
}

impl Scene {
    /// An open connection as guest, with channel 1 open.
    pub(crate) fn client(&self) -> Client {
        Client::open(self.peer.addr(), &self.prefix)
    }

    /// A TCP connection.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.peer.addr(), &self.prefix)
    }

    /// A connection after connection.start.
    pub(crate) fn start(&self) -> Client {
        Client::start(self.peer.addr(), &self.prefix)
    }

    /// A connection after connection.tune, which is also returned.
    pub(crate) fn tune(&self) -> (Client, Heard) {
        Client::tune(self.peer.addr(), &self.prefix)
    }

    /// An open connection with this frame size and heartbeat.
    pub(crate) fn client_with(&self, frame_max: u32, heartbeat: u16) -> Client {
        Client::open_with(self.peer.addr(), &self.prefix, frame_max, heartbeat)
    }
}

/// Runs one test. If a difference is listed for this broker, the test must fail: an outdated list is as wrong as a
/// broker.
#[track_caller]
pub(crate) fn conform<F: FnOnce(&mut Scene)>(test: F) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = type_name::<F>().trim_start_matches("it::conformance::").trim_end_matches("::{{closure}}");
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut scene = Scene { peer: Peer::shared(), prefix: format!("t{}.{number}.", std::process::id()) };
    let listed = DIFFERENCES.iter().find(|d| d.test == name && identity(&scene).starts_with(d.broker));
    let result = catch_unwind(AssertUnwindSafe(|| test(&mut scene)));
    match (result, listed) {
        (Err(panic), None) => resume_unwind(panic),
        (Ok(()), Some(d)) => panic!("listed as a difference of {}, but it conforms: {}", d.broker, d.reason),
        (Ok(()), None) | (Err(_), Some(_)) => {}
    }
}

fn identity(scene: &Scene) -> &'static str {
    static IDENTITY: OnceLock<String> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let mut client = scene.connect();
        client.bytes(b"AMQP\x00\x00\x09\x01");
        let start = client.hear("0 connection.start");
        let text = |key| start.field("server_properties").get(key).expect("named").str();
        format!("{} {}", text("product"), text("version"))
    })
}
