//! Cost of routing one message, by exchange type and number of bindings. `memcpy` is the floor: copying a hundred
//! destinations.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use leveret_exchanges::{
    Args, Attributes, Destination, Envelope, NoAttributes, Origin, OwnedValue, Router, Scratch, Value,
};

/// A router with `count` queues, each bound to `exchange` with the key and arguments that `binding` returns.
fn router(exchange: &str, count: u32, binding: impl Fn(u32) -> (String, Args)) -> Router<u32> {
    let mut router = Router::new();
    for queue in 0..count {
        router.queue_named(format!("queue-{queue}"), queue, true);
        let (key, args) = binding(queue);
        let bound = router.bind(exchange, Destination::Queue(queue), &key, args);
        bound.expect("binds");
    }
    router
}

/// Routes the keys in turn; reports the mean number of destinations per key.
fn route(
    criterion: &mut Criterion,
    name: &str,
    router: &Router<u32>,
    exchange: &str,
    keys: &[String],
    attributes: &dyn Attributes,
) {
    let (mut scratch, mut out) = (Scratch::new(1), Vec::new());
    let mut next = 0;
    let mut one = |out: &mut Vec<u32>| {
        next = (next + 1) % keys.len();
        let envelope = Envelope {
            exchange: black_box(exchange.as_bytes()),
            keys: &[black_box(keys[next].as_bytes())],
            attributes,
            origin: Origin::Client,
        };
        router.route(&envelope, &mut scratch, out).expect("routes");
        out.len()
    };
    let matches: usize = (0..1000).map(|_| one(&mut out)).sum();
    let tenths = matches / 100;
    let name = format!("{name} ({}.{} matches)", tenths / 10, tenths % 10);
    criterion.bench_function(&name, |bencher| bencher.iter(|| one(black_box(&mut out))));
}

/// Deterministic pseudo-random number.
fn draw(index: u32, below: u32) -> u32 {
    let hash = (u64::from(index) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from((hash >> 40) % u64::from(below)).expect("below u32")
}

fn direct(criterion: &mut Criterion) {
    let key = |index: u32| format!("orders.created.{index}");
    let keys: Vec<String> = (0..1000).map(|index| key(draw(index, 100_000))).collect();
    let many = router("amq.direct", 100_000, |queue| (key(queue), Args::EMPTY));
    let name = "direct 100000";
    route(criterion, name, &many, "amq.direct", &keys, &NoAttributes);
    let names: Vec<String> = (0..1000).map(|index| format!("queue-{index}")).collect();
    let few = router("amq.direct", 1000, |queue| (key(queue), Args::EMPTY));
    route(criterion, "default 1000", &few, "", &names, &NoAttributes);
}

/// `region.device.metric` in a mix typical of device fleets: most patterns name a device, some use wildcards.
fn topic_pattern(index: u32, count: u32) -> String {
    let (region, device, metric) = (draw(index, 50), draw(index + 7, count), draw(index + 3, 20));
    match index % 10 {
        0..4 => format!("r{region}.d{device}.m{metric}"),
        4..7 => format!("r{region}.d{device}.*"),
        7 => format!("*.d{device}.#"),
        8 => format!("r{region}.d{device}.#.m{metric}"),
        _ => format!("#.d{device}.m{metric}"),
    }
}

fn topic(criterion: &mut Criterion) {
    for count in [1000, 100_000] {
        let router = router("amq.topic", count, |queue| (topic_pattern(queue, count), Args::EMPTY));
        let key = |index| topic_pattern(draw(index, count / 10) * 10, count);
        let keys: Vec<String> = (0..1000).map(key).collect();
        let name = format!("topic {count}");
        route(criterion, &name, &router, "amq.topic", &keys, &NoAttributes);
    }
}

fn headers(criterion: &mut Criterion) {
    let message: &[(&str, Value<'_>)] = &[
        ("type", Value::Str(b"order")),
        ("region", Value::Str(b"eu-3")),
        ("customer", Value::Int(23)),
        ("retries", Value::Int(0)),
        ("trace-id", Value::Str(b"4bf92f3577b34da6a3ce929d0e0e4736")),
    ];
    for count in [200, 1000] {
        // Every binding shares `type`, one in 20 the region, and one the customer as well.
        let all = router("amq.headers", count, |queue| {
            let region = OwnedValue::text(&format!("eu-{}", queue % 20));
            let customer = OwnedValue::int(i64::from(queue));
            let kind = OwnedValue::text("order");
            let args = [("type", kind), ("region", region), ("customer", customer)];
            (String::new(), args.into_iter().take(2 + queue as usize % 2).collect())
        });
        let name = format!("headers all {count}");
        route(criterion, &name, &all, "amq.headers", &[String::new()], &message);
        let any = router("amq.headers", count, |queue| {
            let customer = OwnedValue::int(i64::from(queue));
            let other = OwnedValue::text(&format!("node-{queue}"));
            let x_match = OwnedValue::text("any");
            let args = [("x-match", x_match), ("customer", customer), ("node", other)];
            (String::new(), args.into_iter().collect())
        });
        let name = format!("headers any {count}");
        route(criterion, &name, &any, "amq.headers", &[String::new()], &message);
    }
}

fn fanout(criterion: &mut Criterion) {
    let plain = router("amq.fanout", 100, |_| (String::new(), Args::EMPTY));
    let keys = [String::from("any")];
    route(criterion, "fanout 100", &plain, "amq.fanout", &keys, &NoAttributes);
    let from: Vec<u32> = (0..100).collect();
    let mut to = Vec::new();
    criterion.bench_function("memcpy 100", |bencher| {
        bencher.iter(|| {
            to.clear();
            to.extend_from_slice(black_box(&from));
            black_box(&mut to).len()
        });
    });
    let mut twice = router("amq.fanout", 100, |_| (String::new(), Args::EMPTY));
    for queue in 0..100 {
        let bound = twice.bind("amq.topic", Destination::Queue(queue), "#", Args::EMPTY);
        bound.expect("binds");
    }
    let to_topic = Destination::Exchange("amq.topic");
    let bound = twice.bind("amq.fanout", to_topic, "", Args::EMPTY);
    bound.expect("binds");
    let name = "fanout 100 and topic 100 behind it";
    route(criterion, name, &twice, "amq.fanout", &keys, &NoAttributes);
}

fn change(criterion: &mut Criterion) {
    for exchange in ["amq.direct", "amq.topic", "amq.fanout", "amq.headers"] {
        let args = |queue| Args::from_iter([("customer", OwnedValue::int(queue))]);
        let mut router =
            router(exchange, 100_000, |queue| (topic_pattern(queue, 100_000), args(i64::from(queue))));
        let name = format!("bind and unbind beside 100000, {exchange}");
        criterion.bench_function(&name, |bencher| {
            bencher.iter(|| {
                let queue = Destination::Queue(1);
                let bound = router.bind(exchange, queue, "new.*.key", args(-1));
                bound.expect("binds");
                let unbound = router.unbind(exchange, queue, "new.*.key", &args(-1));
                unbound.expect("unbinds")
            });
        });
    }
}

criterion_group!(benches, direct, topic, headers, fanout, change);
criterion_main!(benches);
