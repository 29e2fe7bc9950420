//! Routing does not allocate once its buffers have grown, and bindings are small.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use leveret_exchanges::{
    Args, Destination, Envelope, ExchangeSpec, NoAttributes, Origin, OwnedValue, Router, Scratch, Value,
};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "counting allocations needs an allocator")]
// SAFETY: every call is forwarded to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: guaranteed by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: guaranteed by the caller.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A single test: allocations of others in this process would be counted as well.
#[test]
fn routing_allocates_nothing_in_steady_state_and_bindings_stay_small() {
    let mut router = Router::new();
    for queue in 0..1000_u32 {
        router.queue_named(format!("queue-{queue}"), queue, true);
    }
    let all = ExchangeSpec { kind: "fanout", ..ExchangeSpec::default() };
    router.declare("all", all).expect("declares");
    for name in ["amq.topic", "amq.headers", "amq.direct"] {
        let bound = router.bind("all", Destination::Exchange(name), "", Args::EMPTY);
        bound.expect("binds");
    }
    for queue in 0..1000 {
        let to = Destination::Queue(queue);
        let number = Args::from_iter([("number", OwnedValue::int(i64::from(queue % 10)))]);
        for (exchange, key, args) in [
            ("amq.topic", format!("*.{}.#", queue % 10), Args::EMPTY),
            ("amq.topic", format!("#.{}", queue % 7), Args::EMPTY),
            ("amq.headers", String::new(), number),
            ("amq.direct", format!("{}", queue % 13), Args::EMPTY),
        ] {
            router.bind(exchange, to, &key, args).expect("binds");
        }
    }
    let keys: Vec<String> = (0..13).map(|key| format!("a.{key}.{}", key % 7)).collect();
    let headers: &[(&str, Value<'_>)] = &[("number", Value::Int(3))];
    let (mut scratch, mut out) = (Scratch::new(1), Vec::new());
    let mut round = || {
        for key in &keys {
            for keys in [&[key.as_bytes()][..], &[key.as_bytes(), b"3"]] {
                let envelope =
                    Envelope { exchange: b"all", keys, attributes: &headers, origin: Origin::Client };
                router.route(&envelope, &mut scratch, &mut out).expect("routes");
                assert!(out.len() >= 100, "{}", out.len());
            }
        }
    };
    round();
    let before = CALLS.load(Ordering::Relaxed);
    round();
    assert_eq!(CALLS.load(Ordering::Relaxed), before);

    bytes_per_binding("amq.direct", 450);
    bytes_per_binding("amq.topic", 600);
}

/// Bytes per binding, among a hundred thousand, with keys of about twenty bytes.
fn bytes_per_binding(exchange: &str, limit: usize) {
    let before = BYTES.load(Ordering::Relaxed);
    let mut router = Router::new();
    for queue in 0..1000_u32 {
        router.queue_named(format!("queue-{queue}"), queue, true);
    }
    for binding in 0..100_000_u32 {
        let key = format!("region.{binding}.*.sensor");
        let bound = router.bind(exchange, Destination::Queue(binding % 1000), &key, Args::EMPTY);
        bound.expect("binds");
    }
    let bytes = (BYTES.load(Ordering::Relaxed) - before) / 100_000;
    assert!(bytes < limit, "{exchange}: {bytes} bytes a binding");
    let (mut scratch, mut out) = (Scratch::new(1), Vec::new());
    let envelope = Envelope {
        exchange: exchange.as_bytes(),
        keys: &[b"region.77.*.sensor"],
        attributes: &NoAttributes,
        origin: Origin::Client,
    };
    router.route(&envelope, &mut scratch, &mut out).expect("routes");
    assert_eq!(out, [77]);
    for queue in 0..1000 {
        router.queue_gone(queue);
    }
    assert_eq!(router.binding_count(), 0);
}
