//! Declaring exchanges.

use super::*;

#[test]
fn vhost_starts_with_the_predeclared_exchanges() {
    let router = Vhost::new();
    let all: Vec<_> = router.exchanges().collect();
    assert_eq!(all.len(), 7);
    assert!(all.iter().all(|info| info.durable && !info.auto_delete));
    let internal = all.iter().filter(|info| info.internal);
    assert_eq!(internal.map(|info| &*info.name).collect::<Vec<_>>(), ["amq.rabbitmq.trace"]);
    for (name, kind) in [("", "direct"), ("amq.match", "headers"), ("amq.topic", "topic")] {
        assert_eq!(router.exchange(name).map(|info| info.kind.name()), Some(kind));
    }
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
    let other_args = [alternate(OwnedValue::text("ae")), ("x-foo", OwnedValue::int(1))];
    let more = ExchangeSpec { args: other_args.into_iter().collect(), ..base() };
    assert_eq!(router.declare("x", more), Ok(Declared::Existing));
    let args = |value| Args::from_iter([alternate(value)]);
    for (spec, wanted) in [
        (
            ExchangeSpec { kind: "topic", ..base() },
            "'type' for exchange 'x' in vhost 'v': received 'topic' but current is 'direct'",
        ),
        (
            ExchangeSpec { durable: false, ..base() },
            "'durable' for exchange 'x' in vhost 'v': received 'false' but current is 'true'",
        ),
        (
            ExchangeSpec { auto_delete: true, ..base() },
            "'auto_delete' for exchange 'x' in vhost 'v': received 'true' but current is 'false'",
        ),
        (
            ExchangeSpec { internal: true, ..base() },
            "'internal' for exchange 'x' in vhost 'v': received 'true' but current is 'false'",
        ),
        (
            ExchangeSpec { args: Args::EMPTY, ..base() },
            "'alternate-exchange' for exchange 'x' in vhost 'v': received none but current is the value 'ae' of type 'longstr'",
        ),
        (
            ExchangeSpec { args: args(OwnedValue::text("other")), ..base() },
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
    let unknown = router.declare("x", spec("magic", &[])).expect_err("unknown");
    assert_eq!(unknown.text("v"), "unknown exchange type 'magic'");
    let unknown = router.declare("amq.direct", spec("magic", &[])).expect_err("unknown");
    assert_eq!(unknown, Refusal::UnknownKind("magic".to_owned()));
    for (kind, args) in [
        ("direct", vec![("alternate-exchange", OwnedValue::int(1))]),
        ("x-delayed-message", vec![]),
        ("x-delayed-message", vec![("x-delayed-type", text("magic"))]),
        ("x-delayed-message", vec![("x-delayed-type", text("x-delayed-message"))]),
        ("x-delayed-message", vec![("x-delayed-type", OwnedValue::int(1))]),
        ("x-consistent-hash", vec![("hash-header", text("h")), ("hash-property", text("message_id"))]),
        ("x-consistent-hash", vec![("hash-property", text("nope"))]),
        ("x-consistent-hash", vec![("hash-header", OwnedValue::int(1))]),
        (
            "x-delayed-message",
            vec![("x-delayed-type", text("x-consistent-hash")), ("hash-property", text("nope"))],
        ),
        ("x-recent-history", vec![("x-recent-history-length", OwnedValue::int(0))]),
        ("x-recent-history", vec![("x-recent-history-length", text("5"))]),
    ] {
        let refused = router.declare("x", spec(kind, &args));
        assert!(matches!(refused, Err(Refusal::InvalidArgument(_))), "{kind} {args:?} {refused:?}");
    }
    assert!(router.exchange("x").is_none());
}
