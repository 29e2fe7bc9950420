//! Paths through several exchanges.

use super::*;

#[test]
fn several_keys_route_to_the_union_each_queue_once() {
    let mut router = vhost();
    for (queue, key) in [("q1", "a"), ("q2", "b"), ("q1", "b"), ("q3", "c")] {
        bind(&mut router, "amq.direct", queue, key);
        bind(&mut router, "amq.topic", queue, &format!("#.{key}"));
    }
    for exchange in ["amq.direct", "amq.topic"] {
        assert_eq!(route_with(&router, exchange, &["a", "b", "a", "z"], &NoAttributes), [1, 2]);
        assert_eq!(route_with(&router, exchange, &["z"], &NoAttributes), []);
    }
}

#[test]
fn exchange_loops_end_and_each_queue_gets_one_copy() {
    let mut router = vhost();
    for name in ["x", "y", "z"] {
        declare(&mut router, name, "fanout", &[]);
    }
    for (source, destination) in [
        ("x", "y"),
        ("y", "z"),
        ("z", "x"),
        ("x", "x"),
        ("x", "z"),
        ("x", "q1"),
        ("y", "q1"),
        ("z", "q1"),
        ("z", "q2"),
    ] {
        bind(&mut router, source, destination, "k");
    }
    for name in ["x", "y", "z"] {
        assert_eq!(route(&router, name, "k"), [1, 2]);
    }
    let removed = router.delete("x", false).expect("deletes").expect("was there");
    assert_eq!(removed.bindings.len(), 5);
    assert_eq!(route(&router, "z", "k"), [1, 2]);
}

#[test]
fn alternates_are_followed_where_nothing_matched() {
    let mut router = vhost();
    let alternate = |name| [("alternate-exchange", OwnedValue::text(name))];
    declare(&mut router, "x", "direct", &alternate("y"));
    declare(&mut router, "y", "direct", &alternate("z"));
    bind(&mut router, "x", "q1", "one");
    bind(&mut router, "y", "q2", "two");
    assert_eq!(route(&router, "x", "one"), [1]);
    assert_eq!(route(&router, "x", "two"), [2]);
    assert_eq!(route(&router, "x", "three"), [], "a missing alternate is ignored");
    declare(&mut router, "z", "fanout", &alternate("x"));
    assert_eq!(route(&router, "x", "three"), [], "a loop of alternates ends");
    bind(&mut router, "z", "q3", "");
    assert_eq!(route(&router, "x", "three"), [3]);
    // An exchange reached through a binding also uses its alternate.
    bind(&mut router, "amq.fanout", "x", "");
    assert_eq!(route(&router, "amq.fanout", "three"), [3]);
    // A match on an exchange visited before is a match: no alternate.
    bind(&mut router, "x", "amq.fanout", "four");
    assert_eq!(route(&router, "amq.fanout", "four"), []);
    let mut scratch = Scratch::new(1);
    let envelope =
        Envelope { exchange: b"x", keys: &[b"three"], attributes: &NoAttributes, origin: Origin::Client };
    let explained = router.explain(&envelope, &mut scratch, ExplainLimits::NONE).expect("explains");
    let way: Vec<_> = explained.visits.iter().map(|visit| &*visit.exchange.name).collect();
    assert_eq!(way, ["x", "y", "z"]);
    assert_eq!(explained.visits[1].reached, Reached::Alternate("x".into()));
}

#[test]
fn alternate_of_a_policy_yields_to_the_argument_and_can_be_the_default_exchange() {
    let mut router = vhost();
    declare(&mut router, "x", "direct", &[]);
    let before = router.generation();
    assert_eq!(router.set_policy_alternate("x", Some("")), Ok(()));
    assert!(router.generation() > before);
    assert_eq!(route(&router, "x", "q4"), [4]);
    assert_eq!(router.set_policy_alternate("x", None), Ok(()));
    assert_eq!(route(&router, "x", "q4"), []);
    declare(&mut router, "y", "direct", &[("alternate-exchange", OwnedValue::text("x"))]);
    assert_eq!(router.set_policy_alternate("y", Some("")), Ok(()));
    assert_eq!(router.alternate("y"), Some("x"));
    let missing = router.set_policy_alternate("no", None);
    assert_eq!(missing, Err(Refusal::NoSuchExchange("no".to_owned())));
}

#[test]
fn internal_exchange_is_closed_to_clients_but_not_to_the_broker() {
    let mut router = vhost();
    bind(&mut router, "amq.rabbitmq.trace", "q1", "#");
    let envelope = |exchange, origin| Envelope { exchange, keys: &[b"k"], attributes: &NoAttributes, origin };
    let (mut scratch, mut out) = (Scratch::new(1), Vec::new());
    let trace = b"amq.rabbitmq.trace";
    let refused = router.route(&envelope(trace, Origin::Client), &mut scratch, &mut out);
    assert_eq!(refused, Err(RouteError::Internal));
    assert!(router.route(&envelope(trace, Origin::Broker), &mut scratch, &mut out).is_ok());
    assert_eq!(out, [1]);
    let missing = router.route(&envelope(b"no", Origin::Broker), &mut scratch, &mut out);
    assert_eq!(missing, Err(RouteError::NoSuchExchange));
    assert!(out.is_empty(), "no stale result");
}
