//! Rules of the router, row by row.

use super::*;
use crate::{Attributes, NoAttributes, OwnedValue, Property, RouteError, Scratch, Value};

type Vhost = Router<u32>;
type Headers<'a> = [(&'a str, Value<'a>)];

/// A vhost with queues `q1`..`q9` of ids 1..9, odd ones durable.
fn vhost() -> Vhost {
    let mut router = Router::new();
    for queue in 1..10 {
        assert!(router.queue_named(&format!("q{queue}"), queue, queue % 2 == 1));
    }
    router
}

fn declare(router: &mut Vhost, name: &str, kind: &str, args: &[(&str, OwnedValue)]) {
    let spec = spec(kind, args);
    assert_eq!(router.declare(name, spec), Ok(Declared::Created), "{name}");
}

fn declare_auto_delete(router: &mut Vhost, name: &str) {
    let auto_delete = ExchangeSpec {
        auto_delete: true,
        ..spec("fanout", &[])
    };
    assert_eq!(router.declare(name, auto_delete), Ok(Declared::Created));
}

fn spec<'a>(kind: &'a str, args: &[(&str, OwnedValue)]) -> ExchangeSpec<'a> {
    ExchangeSpec {
        kind,
        args: args.iter().cloned().collect(),
        ..ExchangeSpec::default()
    }
}

fn to<'a>(destination: &'a str) -> Destination<u32, &'a str> {
    match destination.strip_prefix('q').map(str::parse) {
        Some(Ok(queue)) => Destination::Queue(queue),
        _ => Destination::Exchange(destination),
    }
}

#[track_caller]
fn bind(router: &mut Vhost, source: &str, destination: &str, key: &str) {
    let bound = router.bind(source, to(destination), key, Args::EMPTY);
    assert!(matches!(bound, Ok(Bound::New(_))), "{bound:?}");
}

/// Routes, checks against the explanation, and returns the result sorted.
#[track_caller]
fn route_with(
    router: &Vhost,
    exchange: &str,
    keys: &[&str],
    attributes: &dyn Attributes,
) -> Vec<u32> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    let envelope = Envelope {
        exchange: exchange.as_bytes(),
        keys: &keys,
        attributes,
        origin: Origin::Client,
    };
    let (mut scratch, mut out) = (Scratch::new(7), vec![99]);
    router
        .route(&envelope, &mut scratch, &mut out)
        .expect("routes");
    out.sort_unstable();
    let explained = router
        .explain(&envelope, &mut Scratch::new(7))
        .expect("explains");
    let mut queues = explained.queues;
    queues.sort_unstable();
    assert_eq!(out, queues, "index and rule disagree on {keys:?}");
    out
}

#[track_caller]
fn route(router: &Vhost, exchange: &str, key: &str) -> Vec<u32> {
    route_with(router, exchange, &[key], &NoAttributes)
}

fn info(router: &Vhost, exchange: &str, attributes: &dyn Attributes) -> RouteInfo {
    let envelope = Envelope {
        exchange: exchange.as_bytes(),
        keys: &[b"k"],
        attributes,
        origin: Origin::Client,
    };
    let routed = router.route(&envelope, &mut Scratch::new(1), &mut Vec::new());
    routed.expect("routes")
}

fn names(removed: &Removed<u32>) -> Vec<&str> {
    removed.exchanges.iter().map(|info| &*info.name).collect()
}

#[test]
fn vhost_starts_with_the_predeclared_exchanges() {
    let router = Vhost::new();
    let all: Vec<_> = router.exchanges().collect();
    assert_eq!(all.len(), 7);
    assert!(all.iter().all(|info| info.durable && !info.auto_delete));
    let internal = all.iter().filter(|info| info.internal);
    assert_eq!(
        internal.map(|info| &*info.name).collect::<Vec<_>>(),
        ["amq.rabbitmq.trace"]
    );
    for (name, kind) in [
        ("", "direct"),
        ("amq.match", "headers"),
        ("amq.topic", "topic"),
    ] {
        assert_eq!(
            router.exchange(name).map(|info| info.kind.name()),
            Some(kind)
        );
    }
}

#[test]
fn default_exchange_routes_by_queue_name_until_the_queue_is_gone() {
    let mut router = vhost();
    assert_eq!(route(&router, "", "q3"), [3]);
    assert_eq!(route(&router, "", "nobody"), []);
    assert_eq!(
        route_with(&router, "", &["q3", "q4", "q3"], &NoAttributes),
        [3, 4]
    );
    assert_eq!(router.queue("q3"), Some(3));
    router.queue_gone(3);
    assert_eq!(route(&router, "", "q3"), []);
    assert_eq!(router.queue("q3"), None);
    assert!(!router.queue_named("q4", 3, true), "name is taken");
    assert!(!router.queue_named("new", 4, true), "id is taken");
    assert!(router.queue_named("q3", 3, true));
}

#[test]
fn default_exchange_cannot_be_bound_unbound_deleted_or_given_an_alternate() {
    let mut router = vhost();
    let refused = Refusal::DefaultExchange;
    assert_eq!(
        router.bind("", to("q1"), "k", Args::EMPTY),
        Err(refused.clone())
    );
    assert_eq!(
        router.bind("amq.fanout", to(""), "k", Args::EMPTY),
        Err(refused.clone())
    );
    assert_eq!(
        router.unbind("", to("q1"), "q1", &Args::EMPTY),
        Err(refused.clone())
    );
    assert_eq!(router.delete("", false), Err(refused.clone()));
    assert_eq!(router.set_policy_alternate("", Some("x")), Err(refused));
    assert_eq!(route(&router, "", "q1"), [1]);
}

#[test]
fn topic_patterns_match_word_by_word_with_empty_words_counting() {
    for (pattern, key, wanted) in [
        ("a.b", "a.b", true),
        ("a.b", "a.b.", false),
        ("", "", true),
        ("", "a", false),
        ("*", "", false),
        ("#", "", true),
        ("#", "a.b.c", true),
        ("*", "a", true),
        ("*", "a.b", false),
        ("*.*", ".", true),
        ("*", ".", false),
        ("a.*", "a", false),
        ("a.*", "a.", true),
        ("a.*", "a.b", true),
        ("a.#", "a", true),
        ("a.#", "a.b.c", true),
        ("a.#", "ab", false),
        ("#.a", "a", true),
        ("#.a", "b.a", true),
        ("#.a", "a.b", false),
        ("a..b", "a..b", true),
        ("a.*.b", "a..b", true),
        ("a.#.b", "a..b", true),
        ("a.#.b", "a.b", true),
        ("a.#.b", "a.b.b.b", true),
        ("a.#.b", "a.b.c", false),
        ("#.#", "", true),
        ("#.#.a", "x.a", true),
        ("#.*", "", false),
        ("#.*", "a", true),
        ("*.#", "", false),
        ("*.#.*", "a", false),
        ("*.#.*", "a.b", true),
        ("#.*.#.a", "a", false),
        ("#.*.#.a", "b.c.a", true),
        ("a*", "ab", false),
        ("a*.#", "a*.x", true),
        ("*.stock.#", "usd.stock", true),
        ("#.a.#.a.#", "a.b.a", true),
        ("#.a.#.a.#", "a.b", false),
    ] {
        let mut router = vhost();
        bind(&mut router, "amq.topic", "q1", pattern);
        assert_eq!(
            route(&router, "amq.topic", key).len(),
            usize::from(wanted),
            "{pattern} {key}"
        );
        // Beside others that share words and wildcards.
        for other in [
            "#.z",
            "*.z",
            "a.z",
            "a.#.z",
            "a.*.z",
            "#.a.#.z",
            "*.stock.z",
        ] {
            bind(&mut router, "amq.topic", "q2", other);
        }
        assert_eq!(
            route(&router, "amq.topic", key).len(),
            usize::from(wanted),
            "{pattern} {key}"
        );
        let unbound = router.unbind("amq.topic", to("q1"), pattern, &Args::EMPTY);
        assert_eq!(
            unbound.map(|removed| removed.map(|all| all.bindings.len())),
            Ok(Some(1))
        );
        assert_eq!(route(&router, "amq.topic", key), []);
    }
}

#[test]
fn topic_with_many_hashes_takes_polynomial_time() {
    let mut router = vhost();
    // 85 times `#.a`, then a word that no key has: a backtracking matcher never ends here.
    let pattern = format!("{}never", "#.a.".repeat(62));
    bind(&mut router, "amq.topic", "q1", &pattern);
    for depth in 0..60 {
        bind(
            &mut router,
            "amq.topic",
            "q2",
            &format!("{}#.never", "#.*.".repeat(depth)),
        );
        bind(
            &mut router,
            "amq.topic",
            "q3",
            &format!("{}b.#.a", "#.a.".repeat(depth)),
        );
    }
    let key = "a.".repeat(126) + "b.a";
    assert_eq!(key.len(), 255);
    assert_eq!(route(&router, "amq.topic", &key), [3]);
    assert_eq!(route(&router, "amq.topic", &".".repeat(255)), []);
}

fn hold(any: &[(&str, OwnedValue)], headers: &Headers<'_>) -> bool {
    let mut router = vhost();
    let args: Args = any.iter().cloned().collect();
    // Neighbours that share predicates must not matter.
    let neighbour = Args::from_iter([("a", OwnedValue::int(1)), ("zz", OwnedValue::int(2))]);
    let bound = router.bind("amq.headers", to("q2"), "", neighbour);
    assert!(bound.is_ok());
    router
        .bind("amq.headers", to("q1"), "", args.clone())
        .expect("binds");
    let matched = route_with(&router, "amq.headers", &["ignored"], &HeadersOnly(headers));
    let removed = router
        .unbind("amq.headers", to("q1"), "", &args)
        .expect("unbinds");
    assert!(removed.is_some());
    assert_eq!(
        route_with(&router, "amq.headers", &["x"], &HeadersOnly(headers)),
        []
    );
    matched == [1]
}

struct HeadersOnly<'a>(&'a Headers<'a>);

impl Attributes for HeadersOnly<'_> {
    fn each_header(&self, each: &mut dyn FnMut(&[u8], Value<'_>)) {
        self.0.each_header(each);
    }
    fn property(&self, which: Property) -> Option<Value<'_>> {
        self.0.property(which)
    }
    fn wants_delay(&self) -> bool {
        self.0.wants_delay()
    }
}

#[test]
fn headers_bindings_match_row_by_row() {
    let text = OwnedValue::text;
    let narrow = |value| OwnedValue::Int { kind: b'b', value };
    let a1 = ("a", Value::Int(1));
    let b2 = ("b", Value::Int(2));
    let x = |x_match: &str| ("x-match", text(x_match));
    let wants_a1 = ("a", OwnedValue::int(1));
    let wants_b2 = ("b", OwnedValue::int(2));
    let x_1 = ("x-1", OwnedValue::int(1));
    let has_x_1 = ("x-1", Value::Int(1));
    let rows: &[(&[(&str, OwnedValue)], &Headers<'_>, bool)] = &[
        // absent x-match is all
        (&[wants_a1.clone(), wants_b2.clone()], &[a1, b2], true),
        (
            &[wants_a1.clone(), wants_b2.clone()],
            &[b2, ("c", Value::Void), a1],
            true,
        ),
        (&[wants_a1.clone(), wants_b2.clone()], &[a1], false),
        (
            &[x("all"), wants_a1.clone(), wants_b2.clone()],
            &[a1],
            false,
        ),
        (&[x("any"), wants_a1.clone(), wants_b2.clone()], &[a1], true),
        (
            &[x("any"), wants_a1.clone(), wants_b2.clone()],
            &[("c", Value::Int(1))],
            false,
        ),
        // no effective arguments
        (&[], &[], true),
        (&[], &[a1], true),
        (&[x("all")], &[a1], true),
        (&[x("any")], &[a1], false),
        (&[x("any")], &[], false),
        (&[x("any-with-x")], &[a1], false),
        (&[x("all-with-x")], &[], true),
        // x- arguments are skipped, unless -with-x
        (&[x("all"), x_1.clone()], &[], true),
        (&[x("any"), x_1.clone()], &[has_x_1], false),
        (&[x("all-with-x"), x_1.clone()], &[], false),
        (&[x("all-with-x"), x_1.clone()], &[has_x_1], true),
        (
            &[x("any-with-x"), x_1.clone(), wants_a1.clone()],
            &[has_x_1],
            true,
        ),
        (&[x("all"), x_1, wants_a1.clone()], &[a1], true),
        // void is presence
        (&[("a", OwnedValue::Void)], &[a1], true),
        (&[("a", OwnedValue::Void)], &[("a", Value::Void)], true),
        (&[("a", OwnedValue::Void)], &[b2], false),
        (
            &[("a", OwnedValue::Void), wants_b2.clone()],
            &[a1, b2],
            true,
        ),
        (&[("a", OwnedValue::Void), wants_b2.clone()], &[a1], false),
        (&[wants_a1.clone()], &[("a", Value::Void)], false),
        // by value: any integer width, numbers, never text
        (&[("a", narrow(1))], &[a1], true),
        (
            &[(
                "a",
                OwnedValue::Float {
                    kind: b'f',
                    value: 1.0,
                },
            )],
            &[a1],
            true,
        ),
        (
            &[(
                "a",
                OwnedValue::Float {
                    kind: b'd',
                    value: 1.5,
                },
            )],
            &[("a", Value::Float(1.5))],
            true,
        ),
        (&[("a", text("1"))], &[a1], false),
        (&[("a", text("x"))], &[("a", Value::Str(b"x"))], true),
        (
            &[("a", OwnedValue::Bool(true))],
            &[("a", Value::Bool(true))],
            true,
        ),
        (&[("a", OwnedValue::Bool(true))], &[a1], false),
        // nested values, byte for byte
        (
            &[("a", OwnedValue::Array(vec![OwnedValue::Bool(true)]))],
            &[(
                "a",
                Value::Other {
                    kind: b'A',
                    raw: b"t\x01",
                },
            )],
            true,
        ),
        // names are case-sensitive
        (&[wants_a1], &[("A", Value::Int(1))], false),
    ];
    for (args, headers, wanted) in rows {
        assert_eq!(hold(args, headers), *wanted, "{args:?} {headers:?}");
    }
}

#[test]
fn headers_binding_with_a_bad_x_match_is_refused() {
    let mut router = vhost();
    for bad in [
        OwnedValue::text("some"),
        OwnedValue::int(1),
        OwnedValue::Void,
    ] {
        let args = Args::from_iter([("x-match", bad)]);
        let bound = router.bind("amq.match", to("q1"), "", args.clone());
        assert!(
            matches!(bound, Err(Refusal::InvalidBinding(_))),
            "{bound:?}"
        );
        assert!(
            router.bind("amq.direct", to("q1"), "", args).is_ok(),
            "only headers mind"
        );
    }
}

#[test]
fn several_keys_route_to_the_union_each_queue_once() {
    let mut router = vhost();
    for (queue, key) in [("q1", "a"), ("q2", "b"), ("q1", "b"), ("q3", "c")] {
        bind(&mut router, "amq.direct", queue, key);
        bind(&mut router, "amq.topic", queue, &format!("#.{key}"));
    }
    for exchange in ["amq.direct", "amq.topic"] {
        assert_eq!(
            route_with(&router, exchange, &["a", "b", "a", "z"], &NoAttributes),
            [1, 2]
        );
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
    let removed = router
        .delete("x", false)
        .expect("deletes")
        .expect("was there");
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
    assert_eq!(
        route(&router, "x", "three"),
        [],
        "a missing alternate is ignored"
    );
    declare(&mut router, "z", "fanout", &alternate("x"));
    assert_eq!(
        route(&router, "x", "three"),
        [],
        "a loop of alternates ends"
    );
    bind(&mut router, "z", "q3", "");
    assert_eq!(route(&router, "x", "three"), [3]);
    // An exchange reached by a binding has its alternate, too.
    bind(&mut router, "amq.fanout", "x", "");
    assert_eq!(route(&router, "amq.fanout", "three"), [3]);
    // A match on an exchange that was visited before is a match: no alternate.
    bind(&mut router, "x", "amq.fanout", "four");
    assert_eq!(route(&router, "amq.fanout", "four"), []);
    let mut scratch = Scratch::new(1);
    let envelope = Envelope {
        exchange: b"x",
        keys: &[b"three"],
        attributes: &NoAttributes,
        origin: Origin::Client,
    };
    let explained = router.explain(&envelope, &mut scratch).expect("explains");
    let way: Vec<_> = explained
        .visits
        .iter()
        .map(|visit| &*visit.exchange)
        .collect();
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
    declare(
        &mut router,
        "y",
        "direct",
        &[("alternate-exchange", OwnedValue::text("x"))],
    );
    assert_eq!(router.set_policy_alternate("y", Some("")), Ok(()));
    assert_eq!(router.alternate("y"), Some("x"));
    let missing = router.set_policy_alternate("no", None);
    assert_eq!(missing, Err(Refusal::NoSuchExchange("no".to_owned())));
}

#[test]
fn auto_delete_exchanges_go_with_their_last_binding_and_cascade() {
    let mut router = vhost();
    for name in ["x", "y", "z"] {
        declare_auto_delete(&mut router, name);
    }
    bind(&mut router, "x", "y", "");
    bind(&mut router, "y", "z", "");
    bind(&mut router, "z", "q1", "");
    bind(&mut router, "z", "q2", "");
    let removed = router
        .unbind("z", to("q2"), "", &Args::EMPTY)
        .expect("ok")
        .expect("was there");
    assert!(removed.exchanges.is_empty());
    let removed = router.queue_gone(1);
    assert_eq!(names(&removed), ["z", "y", "x"]);
    assert_eq!(removed.bindings.len(), 3);
    assert_eq!(router.exchange_count(), 7);
    assert_eq!(router.binding_count(), 0);
}

#[test]
fn auto_delete_exchange_never_bound_or_only_a_destination_stays() {
    let mut router = vhost();
    declare_auto_delete(&mut router, "x");
    bind(&mut router, "amq.fanout", "x", "");
    let removed = router
        .unbind("amq.fanout", to("x"), "", &Args::EMPTY)
        .expect("ok")
        .expect("was there");
    assert!(removed.exchanges.is_empty());
    let missing = router.unbind("x", to("q1"), "", &Args::EMPTY);
    assert_eq!(missing, Ok(None));
    assert!(router.exchange("x").is_some());
    // Bound to itself only, it goes once.
    bind(&mut router, "x", "x", "");
    let removed = router
        .unbind("x", to("x"), "", &Args::EMPTY)
        .expect("ok")
        .expect("was there");
    assert_eq!(names(&removed), ["x"]);
}

#[test]
fn deleting_a_destination_exchange_removes_its_bindings_and_orphaned_sources() {
    let mut router = vhost();
    declare_auto_delete(&mut router, "source");
    declare(&mut router, "x", "fanout", &[]);
    bind(&mut router, "source", "x", "");
    bind(&mut router, "x", "x", "self");
    bind(&mut router, "x", "q1", "");
    let in_use = router.delete("x", true);
    assert_eq!(in_use, Err(Refusal::InUse("x".to_owned())));
    let removed = router
        .delete("x", false)
        .expect("deletes")
        .expect("was there");
    assert_eq!(names(&removed), ["x", "source"]);
    assert_eq!(removed.bindings.len(), 3);
    assert_eq!(router.delete("x", true), Ok(None));
    assert_eq!(router.bindings_to(to("q1")).count(), 1, "the implicit one");
}

#[test]
fn redeclaration_compares_type_flags_and_alternate_only() {
    let mut router = vhost();
    let base = || ExchangeSpec {
        durable: true,
        ..spec("direct", &[("alternate-exchange", OwnedValue::text("ae"))])
    };
    assert_eq!(router.declare("x", base()), Ok(Declared::Created));
    let generation = router.generation();
    let alternate = |value| ("alternate-exchange", value);
    let other_args = [
        alternate(OwnedValue::text("ae")),
        ("x-foo", OwnedValue::int(1)),
    ];
    let more = ExchangeSpec {
        args: other_args.into_iter().collect(),
        ..base()
    };
    assert_eq!(router.declare("x", more), Ok(Declared::Existing));
    let args = |value| Args::from_iter([alternate(value)]);
    for (spec, wanted) in [
        (
            ExchangeSpec {
                kind: "topic",
                ..base()
            },
            "'type' for exchange 'x' in vhost 'v': received 'topic' but current is 'direct'",
        ),
        (
            ExchangeSpec {
                durable: false,
                ..base()
            },
            "'durable' for exchange 'x' in vhost 'v': received 'false' but current is 'true'",
        ),
        (
            ExchangeSpec {
                auto_delete: true,
                ..base()
            },
            "'auto_delete' for exchange 'x' in vhost 'v': received 'true' but current is 'false'",
        ),
        (
            ExchangeSpec {
                internal: true,
                ..base()
            },
            "'internal' for exchange 'x' in vhost 'v': received 'true' but current is 'false'",
        ),
        (
            ExchangeSpec {
                args: Args::EMPTY,
                ..base()
            },
            "'alternate-exchange' for exchange 'x' in vhost 'v': received none but current is the value 'ae' of type 'longstr'",
        ),
        (
            ExchangeSpec {
                args: args(OwnedValue::text("other")),
                ..base()
            },
            "'alternate-exchange' for exchange 'x' in vhost 'v': received the value 'other' of type 'longstr' but current is the value 'ae' of type 'longstr'",
        ),
    ] {
        let refusal = router.declare("x", spec).expect_err("differs");
        assert_eq!(refusal.text("v"), format!("inequivalent arg {wanted}"));
    }
    assert_eq!(router.generation(), generation, "nothing changed");
}

#[test]
fn declarations_with_bad_types_or_arguments_are_refused() {
    let mut router = vhost();
    let text = OwnedValue::text;
    let unknown = router
        .declare("x", spec("magic", &[]))
        .expect_err("unknown");
    assert_eq!(unknown.text("v"), "unknown exchange type 'magic'");
    let unknown = router
        .declare("amq.direct", spec("magic", &[]))
        .expect_err("unknown");
    assert_eq!(unknown, Refusal::UnknownKind("magic".to_owned()));
    for (kind, args) in [
        ("direct", vec![("alternate-exchange", OwnedValue::int(1))]),
        ("x-delayed-message", vec![]),
        ("x-delayed-message", vec![("x-delayed-type", text("magic"))]),
        (
            "x-delayed-message",
            vec![("x-delayed-type", text("x-delayed-message"))],
        ),
        (
            "x-delayed-message",
            vec![("x-delayed-type", OwnedValue::int(1))],
        ),
        (
            "x-consistent-hash",
            vec![
                ("hash-header", text("h")),
                ("hash-property", text("message_id")),
            ],
        ),
        ("x-consistent-hash", vec![("hash-property", text("nope"))]),
        (
            "x-consistent-hash",
            vec![("hash-header", OwnedValue::int(1))],
        ),
        (
            "x-delayed-message",
            vec![
                ("x-delayed-type", text("x-consistent-hash")),
                ("hash-property", text("nope")),
            ],
        ),
        (
            "x-recent-history",
            vec![("x-recent-history-length", OwnedValue::int(0))],
        ),
        (
            "x-recent-history",
            vec![("x-recent-history-length", text("5"))],
        ),
    ] {
        let refused = router.declare("x", spec(kind, &args));
        assert!(
            matches!(refused, Err(Refusal::InvalidArgument(_))),
            "{kind} {args:?} {refused:?}"
        );
    }
    assert!(router.exchange("x").is_none());
}

#[test]
fn bindings_need_both_ends_and_are_identified_by_all_four_parts() {
    let mut router = vhost();
    let no = |name: &str| Err(Refusal::NoSuchExchange(name.to_owned()));
    assert_eq!(router.bind("no", to("q1"), "", Args::EMPTY), no("no"));
    assert_eq!(
        router.bind("amq.direct", to("no"), "", Args::EMPTY),
        no("no")
    );
    assert_eq!(
        router.bind("amq.direct", to("q77"), "", Args::EMPTY),
        Err(Refusal::NoSuchQueue)
    );
    let args = |kind| Args::from_iter([("a", OwnedValue::Int { kind, value: 1 })]);
    bind(&mut router, "amq.direct", "q1", "k");
    let again = router.bind("amq.direct", to("q1"), "k", Args::EMPTY);
    assert_eq!(again, Ok(Bound::Existing));
    for kind in [b'l', b'I'] {
        let bound = router.bind("amq.direct", to("q1"), "k", args(kind));
        assert!(
            matches!(bound, Ok(Bound::New(_))),
            "types of arguments matter"
        );
    }
    assert_eq!(route(&router, "amq.direct", "k"), [1]);
    for (left, removed) in [(2, Args::EMPTY), (1, args(b'l')), (0, args(b'I'))] {
        assert!(
            router
                .unbind("amq.direct", to("q1"), "k", &removed)
                .is_ok_and(|gone| gone.is_some())
        );
        assert_eq!(router.bindings_from("amq.direct").count(), left);
        assert_eq!(route(&router, "amq.direct", "k").is_empty(), left == 0);
    }
    assert_eq!(
        router.unbind("amq.direct", to("q1"), "k", &Args::EMPTY),
        Ok(None)
    );
    assert_eq!(router.unbind("no", to("q77"), "k", &Args::EMPTY), Ok(None));
}

#[test]
fn binding_is_durable_only_between_durable_ends() {
    let mut router = vhost();
    declare(&mut router, "transient", "fanout", &[]);
    for (source, destination, durable) in [
        ("amq.fanout", "q1", true),
        ("amq.fanout", "q2", false),
        ("transient", "q1", false),
        ("amq.fanout", "transient", false),
        ("amq.fanout", "amq.topic", true),
    ] {
        let bound = router.bind(source, to(destination), "", Args::EMPTY);
        let Ok(Bound::New(binding)) = bound else {
            panic!("{bound:?}");
        };
        assert_eq!(binding.durable, durable, "{source} {destination}");
    }
}

#[test]
fn internal_exchange_is_closed_to_clients_but_not_to_the_broker() {
    let mut router = vhost();
    bind(&mut router, "amq.rabbitmq.trace", "q1", "#");
    let envelope = |exchange, origin| Envelope {
        exchange,
        keys: &[b"k"],
        attributes: &NoAttributes,
        origin,
    };
    let (mut scratch, mut out) = (Scratch::new(1), Vec::new());
    let trace = b"amq.rabbitmq.trace";
    let refused = router.route(&envelope(trace, Origin::Client), &mut scratch, &mut out);
    assert_eq!(refused, Err(RouteError::Internal));
    assert!(
        router
            .route(&envelope(trace, Origin::Broker), &mut scratch, &mut out)
            .is_ok()
    );
    assert_eq!(out, [1]);
    let missing = router.route(&envelope(b"no", Origin::Broker), &mut scratch, &mut out);
    assert_eq!(missing, Err(RouteError::NoSuchExchange));
    assert!(out.is_empty(), "no stale result");
}

#[test]
fn result_is_cacheable_unless_more_than_the_key_decides() {
    let mut router = vhost();
    let text = OwnedValue::text;
    declare(&mut router, "hash", "x-consistent-hash", &[]);
    declare(
        &mut router,
        "hash-header",
        "x-consistent-hash",
        &[("hash-header", text("h"))],
    );
    declare(&mut router, "modulus", "x-modulus-hash", &[]);
    declare(&mut router, "random", "x-random", &[]);
    declare(&mut router, "history", "x-recent-history", &[]);
    declare(
        &mut router,
        "delayed",
        "x-delayed-message",
        &[("x-delayed-type", text("direct"))],
    );
    declare(
        &mut router,
        "to-random",
        "direct",
        &[("alternate-exchange", text("random"))],
    );
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
        assert_eq!(
            info(&router, exchange, &NoAttributes).cacheable,
            cacheable,
            "{exchange}"
        );
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
    assert!(
        router
            .exchange("delayed")
            .is_some_and(ExchangeInfo::delayed)
    );
    bind(&mut router, "delayed", "q1", "#.k");
    bind(&mut router, "amq.fanout", "q2", "");
    bind(&mut router, "amq.direct", "delayed", "k");
    bind(&mut router, "amq.direct", "q3", "k");
    assert_eq!(route_with(&router, "delayed", &["k"], &Waits(false)), [1]);
    assert_eq!(route_with(&router, "delayed", &["k"], &Waits(true)), []);
    assert!(info(&router, "delayed", &Waits(true)).delayed);
    assert!(!info(&router, "delayed", &Waits(false)).delayed);
    // Behind another exchange it holds its share only.
    assert_eq!(route_with(&router, "amq.direct", &["k"], &Waits(true)), [3]);
    assert_eq!(
        route_with(&router, "amq.direct", &["k"], &Waits(false)),
        [1, 3]
    );
    assert!(info(&router, "amq.direct", &Waits(true)).delayed);
}

#[test]
fn recent_history_exchange_routes_to_all_and_reports_itself() {
    let mut router = vhost();
    declare(
        &mut router,
        "history",
        "x-recent-history",
        &[("x-recent-history-length", OwnedValue::int(5))],
    );
    declare(&mut router, "default", "x-recent-history", &[]);
    let length = |name| router.exchange(name).and_then(ExchangeInfo::history_length);
    assert_eq!(
        (length("history"), length("default"), length("amq.direct")),
        (Some(5), Some(20), None)
    );
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
        (0..4000)
            .map(|key| route(router, "hash", &format!("key-{key}"))[0])
            .collect()
    };
    let share = |routed: &[u32], queue| routed.iter().filter(|to| **to == queue).count();
    let before = all(&router);
    assert!(
        (900..1100).contains(&share(&before, 1)),
        "{}",
        share(&before, 1)
    );
    assert!(
        (1850..2150).contains(&share(&before, 3)),
        "{}",
        share(&before, 3)
    );
    router.queue_gone(2);
    let after = all(&router);
    for (before, after) in before.iter().zip(&after) {
        assert!(
            before == after || *before == 2,
            "only the share of the lost queue moves"
        );
    }
    // A second binding adds to the weight.
    bind(&mut router, "hash", "q1", "7");
    assert!(share(&all(&router), 1) > 3000);
    router
        .unbind("hash", to("q1"), "7", &Args::EMPTY)
        .expect("unbinds");
    assert_eq!(all(&router), after);
    assert_eq!(
        router.queue_gone(1).bindings.len() + router.queue_gone(3).bindings.len(),
        2
    );
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
        declare(
            &mut router,
            name,
            "x-consistent-hash",
            &[(name, OwnedValue::text(by))],
        );
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
            router
                .unbind("modulus", to(queue), "b", &Args::EMPTY)
                .expect("unbinds");
        }
        router.queue_gone(9);
        results.push(
            keys.iter()
                .map(|key| route(&router, "modulus", key)[0])
                .collect::<Vec<_>>(),
        );
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
        assert!(
            matches!(bound, Err(Refusal::InvalidBinding(_))),
            "{bound:?}"
        );
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
            router
                .route(&envelope, &mut scratch, &mut out)
                .expect("routes");
            assert_eq!(out.len(), 1);
            seen[out[0] as usize] += 1;
        }
        let picked = seen.iter().filter(|count| **count > 800);
        assert_eq!(picked.count(), count, "{seen:?}");
    }
}

#[test]
fn generation_rises_with_every_change_and_only_then() {
    let mut router = vhost();
    let mut last = router.generation();
    let mut rose = |router: &Vhost| {
        let rose = router.generation() > last;
        last = router.generation();
        rose
    };
    declare(&mut router, "x", "fanout", &[]);
    assert!(rose(&router));
    bind(&mut router, "x", "q1", "");
    assert!(rose(&router));
    let _ = router.bind("x", to("q1"), "", Args::EMPTY);
    let _ = router.declare("x", spec("fanout", &[]));
    let _ = router.unbind("x", to("q2"), "", &Args::EMPTY);
    let _ = router.delete("no", false);
    router.queue_gone(77);
    assert!(!rose(&router));
    let _ = router.unbind("x", to("q1"), "", &Args::EMPTY);
    assert!(rose(&router));
    router.queue_gone(1);
    assert!(rose(&router));
    let _ = router.delete("x", true);
    assert!(rose(&router));
}

#[test]
fn lists_show_implicit_and_explicit_bindings() {
    let mut router = vhost();
    bind(&mut router, "amq.topic", "q1", "a.*");
    bind(&mut router, "amq.topic", "amq.fanout", "#");
    assert_eq!(router.bindings().count(), 9 + 2);
    assert_eq!(router.bindings_from("").count(), 9);
    assert_eq!(router.bindings_from("amq.topic").count(), 2);
    assert_eq!(router.bindings_from("no").count(), 0);
    let to_q1: Vec<_> = router.bindings_to(to("q1")).collect();
    let shown: Vec<_> = to_q1
        .iter()
        .map(|binding| (&*binding.source, &*binding.key))
        .collect();
    assert_eq!(shown, [("", "q1"), ("amq.topic", "a.*")]);
    assert_eq!(router.bindings_to(to("amq.fanout")).count(), 1);
    assert_eq!(router.queue_name(1).map(|name| &**name), Some("q1"));
    assert_eq!(router.bindings_to(to("q77")).count(), 0);
}
