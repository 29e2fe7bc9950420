//! Replacing an exchange in place.

use super::*;

#[test]
fn a_replaced_exchange_keeps_all_its_bindings_and_routes_as_the_new_one_does() {
    let mut router = vhost();
    declare(&mut router, "x", "direct", &[]);
    declare(&mut router, "y", "fanout", &[]);
    bind(&mut router, "x", "q1", "a.*");
    bind(&mut router, "x", "q2", "a.b");
    bind(&mut router, "y", "x", "");
    assert_eq!(route(&router, "x", "a.b"), [2]);
    let before = router.generation();
    let to_topic =
        ExchangeSpec { durable: true, ..spec("topic", &[("alternate-exchange", OwnedValue::text("y"))]) };
    assert_eq!(router.check_replacement("x", &to_topic), Ok(()));
    assert_eq!(route(&router, "x", "a.b"), [2], "a check changes nothing");
    assert_eq!(router.replace("x", to_topic.clone()), Ok(()));
    assert!(router.generation() > before);
    assert_eq!(route(&router, "x", "a.b"), [1, 2]);
    assert_eq!(route(&router, "y", "a.c"), [1]);
    assert_eq!(router.alternate("x"), Some("y"));
    assert_eq!(router.declare("x", to_topic), Ok(Declared::Existing));
    assert_eq!(router.binding_count(), 3);
    let durable: Vec<bool> = router.bindings_from("x").map(|binding| binding.durable).collect();
    assert_eq!(durable, [true, false], "q1 is durable, q2 is not");
    router.set_queue_durable(2, true);
    assert!(router.bindings_from("x").all(|binding| binding.durable));
    router.unbind("x", to("q1"), "a.*", &Args::EMPTY).expect("ok").expect("was there");
    assert_eq!(route(&router, "x", "a.b"), [2]);
    router.delete("x", false).expect("ok").expect("was there");
    assert_eq!(router.binding_count(), 0);
}

#[test]
fn what_cannot_become_the_new_one_stays_as_it_is() {
    let mut router = vhost();
    declare(&mut router, "x", "direct", &[]);
    bind(&mut router, "x", "q1", "key");
    let weights = router.replace("x", spec("x-consistent-hash", &[]));
    assert!(matches!(weights, Err(Refusal::InvalidBinding(_))), "{weights:?}");
    assert_eq!(router.replace("x", spec("no", &[])), Err(Refusal::UnknownKind("no".to_owned())));
    assert_eq!(router.replace("z", spec("no", &[])), Err(Refusal::NoSuchExchange("z".to_owned())));
    assert_eq!(router.replace("", spec("fanout", &[])), Err(Refusal::DefaultExchange));
    assert_eq!(route(&router, "x", "key"), [1]);
}
