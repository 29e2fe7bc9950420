//! The extension types, and which results may be cached.

use super::*;

#[test]
fn result_is_cacheable_unless_more_than_the_key_decides() {
    let mut router = vhost();
    let text = OwnedValue::text;
    declare(&mut router, "hash", "x-consistent-hash", &[]);
    declare(&mut router, "hash-header", "x-consistent-hash", &[("hash-header", text("h"))]);
    declare(&mut router, "modulus", "x-modulus-hash", &[]);
    declare(&mut router, "random", "x-random", &[]);
    declare(&mut router, "history", "x-recent-history", &[]);
    declare(&mut router, "delayed", "x-delayed-message", &[("x-delayed-type", text("direct"))]);
    declare(&mut router, "to-random", "direct", &[("alternate-exchange", text("random"))]);
    for (exchange, cacheable) in [
        ("amq.direct", true),
        ("amq.topic", true),
        ("amq.fanout", true),
        ("hash", true),
        ("modulus", true),
        ("amq.headers", false),
        ("hash-header", false),
        ("random", false),
        ("history", false),
        ("delayed", false),
        ("to-random", false),
    ] {
        assert_eq!(info(&router, exchange, &NoAttributes).cacheable, cacheable, "{exchange}");
    }
}

struct Waits(bool);

impl Attributes for Waits {
    fn each_header(&self, _: &mut dyn FnMut(&[u8], Value<'_>)) {}
    fn property(&self, _: Property) -> Option<Value<'_>> {
        None
    }
    fn wants_delay(&self) -> bool {
        self.0
    }
}

#[test]
fn delayed_exchange_holds_what_waits_and_routes_the_rest_as_its_inner_type() {
    let mut router = vhost();
    let args = [
        ("x-delayed-type", OwnedValue::text("topic")),
        ("alternate-exchange", OwnedValue::text("amq.fanout")),
    ];
    declare(&mut router, "delayed", "x-delayed-message", &args);
    assert!(router.exchange("delayed").is_some_and(ExchangeInfo::delayed));
    bind(&mut router, "delayed", "q1", "#.k");
    bind(&mut router, "amq.fanout", "q2", "");
    bind(&mut router, "amq.direct", "delayed", "k");
    bind(&mut router, "amq.direct", "q3", "k");
    assert_eq!(route_with(&router, "delayed", &["k"], &Waits(false)), [1]);
    assert_eq!(route_with(&router, "delayed", &["k"], &Waits(true)), []);
    assert!(info(&router, "delayed", &Waits(true)).delayed);
    assert!(!info(&router, "delayed", &Waits(false)).delayed);
    // Behind another exchange it holds only its own share.
    assert_eq!(route_with(&router, "amq.direct", &["k"], &Waits(true)), [3]);
    assert_eq!(route_with(&router, "amq.direct", &["k"], &Waits(false)), [1, 3]);
    assert!(info(&router, "amq.direct", &Waits(true)).delayed);
}

#[test]
fn recent_history_exchange_routes_to_all_and_reports_itself() {
    let mut router = vhost();
    declare(&mut router, "history", "x-recent-history", &[("x-recent-history-length", OwnedValue::int(5))]);
    declare(&mut router, "default", "x-recent-history", &[]);
    let length = |name| router.exchange(name).and_then(ExchangeInfo::history_length);
    assert_eq!((length("history"), length("default"), length("amq.direct")), (Some(5), Some(20), None));
    bind(&mut router, "history", "q1", "x");
    assert_eq!(route(&router, "history", "any"), [1]);
    assert!(info(&router, "history", &NoAttributes).remembered);
    assert!(!info(&router, "amq.fanout", &NoAttributes).remembered);
}

#[test]
fn consistent_hash_follows_weights_and_moves_only_what_it_must() {
    let mut router = vhost();
    declare(&mut router, "hash", "x-consistent-hash", &[]);
    for bad in ["0", "-1", "x", "", "1.5", "99999999999"] {
        let bound = router.bind("hash", to("q1"), bad, Args::EMPTY);
        assert!(matches!(bound, Err(Refusal::InvalidBinding(_))), "{bad}");
    }
    bind(&mut router, "hash", "q1", "1");
    bind(&mut router, "hash", "q2", "1");
    bind(&mut router, "hash", "q3", "2");
    let all = |router: &Vhost| -> Vec<u32> {
        (0..4000).map(|key| route(router, "hash", &format!("key-{key}"))[0]).collect()
    };
    let share = |routed: &[u32], queue| routed.iter().filter(|to| **to == queue).count();
    let before = all(&router);
    assert!((900..1100).contains(&share(&before, 1)), "{}", share(&before, 1));
    assert!((1850..2150).contains(&share(&before, 3)), "{}", share(&before, 3));
    router.queue_gone(2);
    let after = all(&router);
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || *before == 2, "only the share of the lost queue moves");
    }
    // A second binding adds to the weight.
    bind(&mut router, "hash", "q1", "7");
    assert!(share(&all(&router), 1) > 3000);
    router.unbind("hash", to("q1"), "7", &Args::EMPTY).expect("unbinds");
    assert_eq!(all(&router), after);
    assert_eq!(router.queue_gone(1).bindings.len() + router.queue_gone(3).bindings.len(), 2);
    assert_eq!(route(&router, "hash", "key"), []);
}

#[test]
fn consistent_hash_spreads_by_header_or_property_where_told() {
    struct Message(Option<i64>);
    impl Attributes for Message {
        fn each_header(&self, each: &mut dyn FnMut(&[u8], Value<'_>)) {
            if let Some(header) = self.0 {
                each(b"h", Value::Int(header));
            }
        }
        fn property(&self, which: Property) -> Option<Value<'_>> {
            assert_eq!(which, Property::Timestamp);
            self.0.map(Value::Int)
        }
        fn wants_delay(&self) -> bool {
            false
        }
    }
    let mut router = vhost();
    for (name, by) in [("hash-header", "h"), ("hash-property", "timestamp")] {
        declare(&mut router, name, "x-consistent-hash", &[(name, OwnedValue::text(by))]);
        bind(&mut router, name, "q1", "1");
        bind(&mut router, name, "q2", "1");
        let to = |value, key| route_with(&router, name, &[key], &Message(value))[0];
        assert!((0..50).all(|value| to(Some(value), "a") == to(Some(value), "b")));
        assert!((0..50).any(|value| to(Some(value), "a") != to(Some(0), "a")));
        assert_eq!(to(None, "a"), to(None, "b"));
    }
}

#[test]
fn modulus_hash_does_not_depend_on_the_order_of_bindings() {
    let keys: Vec<String> = (0..300).map(|key| format!("k{key}")).collect();
    let mut results = Vec::new();
    for order in [["q1", "q2", "q3"], ["q3", "q1", "q2"]] {
        let mut router = vhost();
        declare(&mut router, "modulus", "x-modulus-hash", &[]);
        bind(&mut router, "modulus", "q9", "");
        for queue in order {
            bind(&mut router, "modulus", queue, "a");
            bind(&mut router, "modulus", queue, "b");
            router.unbind("modulus", to(queue), "b", &Args::EMPTY).expect("unbinds");
        }
        router.queue_gone(9);
        results.push(keys.iter().map(|key| route(&router, "modulus", key)[0]).collect::<Vec<_>>());
    }
    assert_eq!(results[0], results[1]);
    assert!((1..4).all(|queue| results[0].iter().filter(|to| **to == queue).count() > 60));
}

#[test]
fn random_exchanges_pick_one_of_all_destinations() {
    let mut router = vhost();
    for kind in ["x-random", "x-local-random"] {
        declare(&mut router, kind, kind, &[]);
        bind(&mut router, kind, "q1", "");
        bind(&mut router, kind, "q2", "");
    }
    bind(&mut router, "amq.fanout", "q3", "");
    bind(&mut router, "x-random", "amq.fanout", "any key");
    for (destination, key) in [("q3", "key"), ("amq.fanout", "")] {
        let bound = router.bind("x-local-random", to(destination), key, Args::EMPTY);
        assert!(matches!(bound, Err(Refusal::InvalidBinding(_))), "{bound:?}");
    }
    let (mut scratch, mut out) = (Scratch::new(3), Vec::new());
    for (exchange, count) in [("x-random", 3), ("x-local-random", 2)] {
        let mut seen = [0; 4];
        for _ in 0..3000 {
            let envelope = Envelope {
                exchange: exchange.as_bytes(),
                keys: &[b"k"],
                attributes: &NoAttributes,
                origin: Origin::Client,
            };
            router.route(&envelope, &mut scratch, &mut out).expect("routes");
            assert_eq!(out.len(), 1);
            seen[out[0] as usize] += 1;
        }
        let picked = seen.iter().filter(|count| **count > 800);
        assert_eq!(picked.count(), count, "{seen:?}");
    }
}
