//! Lifecycle of exchanges, queues and bindings.

use super::*;

#[test]
fn default_exchange_routes_by_queue_name_until_the_queue_is_gone() {
    let mut router = vhost();
    assert_eq!(route(&router, "", "q3"), [3]);
    assert_eq!(route(&router, "", "nobody"), []);
    assert_eq!(route_with(&router, "", &["q3", "q4", "q3"], &NoAttributes), [3, 4]);
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
    assert_eq!(router.bind("", to("q1"), "k", Args::EMPTY), Err(refused.clone()));
    assert_eq!(router.bind("amq.fanout", to(""), "k", Args::EMPTY), Err(refused.clone()));
    assert_eq!(router.unbind("", to("q1"), "q1", &Args::EMPTY), Err(refused.clone()));
    assert_eq!(router.delete("", false), Err(refused.clone()));
    assert_eq!(router.set_policy_alternate("", Some("x")), Err(refused));
    assert_eq!(route(&router, "", "q1"), [1]);
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
    let removed = router.unbind("z", to("q2"), "", &Args::EMPTY).expect("ok").expect("was there");
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
    let removed = router.unbind("amq.fanout", to("x"), "", &Args::EMPTY).expect("ok").expect("was there");
    assert!(removed.exchanges.is_empty());
    let missing = router.unbind("x", to("q1"), "", &Args::EMPTY);
    assert_eq!(missing, Ok(None));
    assert!(router.exchange("x").is_some());
    // Bound only to itself, it is removed once.
    bind(&mut router, "x", "x", "");
    let removed = router.unbind("x", to("x"), "", &Args::EMPTY).expect("ok").expect("was there");
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
    let removed = router.delete("x", false).expect("deletes").expect("was there");
    assert_eq!(names(&removed), ["x", "source"]);
    assert_eq!(removed.bindings.len(), 3);
    assert_eq!(router.delete("x", true), Ok(None));
    assert_eq!(router.bindings_to(to("q1")).count(), 1, "the implicit one");
}

#[test]
fn bindings_need_both_ends_and_are_identified_by_all_four_parts() {
    let mut router = vhost();
    let no = |name: &str| Err(Refusal::NoSuchExchange(name.to_owned()));
    assert_eq!(router.bind("no", to("q1"), "", Args::EMPTY), no("no"));
    assert_eq!(router.bind("amq.direct", to("no"), "", Args::EMPTY), no("no"));
    assert_eq!(router.bind("amq.direct", to("q77"), "", Args::EMPTY), Err(Refusal::NoSuchQueue));
    let args = |kind| Args::from_iter([("a", OwnedValue::Int { kind, value: 1 })]);
    bind(&mut router, "amq.direct", "q1", "k");
    let again = router.bind("amq.direct", to("q1"), "k", Args::EMPTY);
    assert_eq!(again, Ok(Bound::Existing));
    for kind in [b'l', b'I'] {
        let bound = router.bind("amq.direct", to("q1"), "k", args(kind));
        assert!(matches!(bound, Ok(Bound::New(_))), "types of arguments matter");
    }
    assert_eq!(route(&router, "amq.direct", "k"), [1]);
    for (left, removed) in [(2, Args::EMPTY), (1, args(b'l')), (0, args(b'I'))] {
        assert!(router.unbind("amq.direct", to("q1"), "k", &removed).is_ok_and(|gone| gone.is_some()));
        assert_eq!(router.bindings_from("amq.direct").count(), left);
        assert_eq!(route(&router, "amq.direct", "k").is_empty(), left == 0);
    }
    assert_eq!(router.unbind("amq.direct", to("q1"), "k", &Args::EMPTY), Ok(None));
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
    let shown: Vec<_> = to_q1.iter().map(|binding| (&*binding.source, &*binding.key)).collect();
    assert_eq!(shown, [("", "q1"), ("amq.topic", "a.*")]);
    assert_eq!(router.bindings_to(to("amq.fanout")).count(), 1);
    assert_eq!(router.queue_name(1).map(|name| &**name), Some("q1"));
    assert_eq!(router.bindings_to(to("q77")).count(), 0);
}

#[test]
fn router_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Vhost>();
}
