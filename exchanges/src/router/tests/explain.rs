//! Explanations: the reasons they give, and their limits.

use super::*;

fn explain(
    router: &Vhost,
    exchange: &str,
    key: &str,
    attributes: &dyn Attributes,
    limits: ExplainLimits,
) -> Explanation<u32> {
    let keys = [key.as_bytes()];
    let envelope =
        Envelope { exchange: exchange.as_bytes(), keys: &keys, attributes, origin: Origin::Client };
    router.explain(&envelope, &mut Scratch::new(1), limits).expect("explains")
}

fn whys(explained: &Explanation<u32>) -> Vec<&Why> {
    explained.visits.iter().flat_map(|visit| &visit.missed).map(|miss| &miss.why).collect()
}

#[test]
fn each_type_says_in_its_own_terms_why_a_binding_does_not_match() {
    let mut router = vhost();
    bind(&mut router, "amq.direct", "q1", "other");
    bind(&mut router, "amq.topic", "q1", "a.c");
    let args = [("h", OwnedValue::int(1)), ("absent", OwnedValue::int(2)), ("same", OwnedValue::int(3))];
    router.bind("amq.headers", to("q1"), "", args.into_iter().collect()).expect("binds");
    declare(&mut router, "hash", "x-consistent-hash", &[]);
    bind(&mut router, "hash", "q1", "1");
    bind(&mut router, "hash", "q2", "1");
    let headers: &[(&str, Value<'_>)] = &[("h", Value::Int(9)), ("same", Value::Int(3))];
    let told = |exchange| explain(&router, exchange, "a.b", &headers, ExplainLimits::NONE);
    assert_eq!(whys(&told("amq.direct")), [&Why::Key]);
    let word = |pattern: &str, key: &str, matches| Word {
        pattern: pattern.to_owned(),
        key: Some(key.to_owned()),
        matches,
    };
    assert_eq!(whys(&told("amq.topic")), [&Why::Words(vec![word("a", "a", true), word("c", "b", false)])]);
    let mismatch = |header: &str, absent| Mismatch { header: header.as_bytes().into(), absent };
    let wanted = Why::Headers(vec![mismatch("h", false), mismatch("absent", true)]);
    assert_eq!(whys(&told("amq.headers")), [&wanted]);
    let hashed = told("hash");
    assert_eq!(whys(&hashed), [&Why::NotPicked]);
    assert!(hashed.visits[0].picks_one && hashed.queues.len() == 1);
}

#[test]
fn words_of_a_matching_pattern_are_shown_with_what_they_cover() {
    let mut router = vhost();
    bind(&mut router, "amq.topic", "q1", "a.#");
    let explained = explain(&router, "amq.topic", "a.b.c", &NoAttributes, ExplainLimits::NONE);
    let words = &explained.visits[0].matched[0].words;
    assert_eq!((words[1].pattern.as_str(), words[1].key.as_deref()), ("#", Some("b.c")));
}

#[test]
fn an_alternate_is_named_whether_it_exists_and_is_used_or_not() {
    let mut router = vhost();
    declare(&mut router, "x", "direct", &[("alternate-exchange", OwnedValue::text("amq.fanout"))]);
    declare(&mut router, "y", "direct", &[("alternate-exchange", OwnedValue::text("none"))]);
    bind(&mut router, "x", "q1", "k");
    bind(&mut router, "amq.fanout", "q2", "");
    for (exchange, key, exists, used) in
        [("x", "k", true, false), ("x", "other", true, true), ("y", "k", false, false)]
    {
        let explained = explain(&router, exchange, key, &NoAttributes, ExplainLimits::NONE);
        let alternate = explained.visits[0].alternate.as_ref().expect("an alternate");
        assert_eq!((alternate.exists, alternate.used), (exists, used), "{exchange} {key}");
    }
}

#[test]
fn a_way_through_several_exchanges_names_the_one_before_each() {
    let mut router = vhost();
    for (source, destination) in [("amq.fanout", "amq.topic"), ("amq.topic", "amq.direct")] {
        bind(&mut router, source, destination, "#");
    }
    bind(&mut router, "amq.direct", "amq.fanout", "k");
    let explained = explain(&router, "amq.fanout", "k", &NoAttributes, ExplainLimits::NONE);
    let reached: Vec<_> = explained.visits.iter().map(|visit| &visit.reached).collect();
    let bound = |name: &str| Reached::Bound(name.into());
    assert_eq!(reached, [&Reached::Published, &bound("amq.fanout"), &bound("amq.topic")], "a loop is cut");
    let limits = ExplainLimits { visits: 2, ..ExplainLimits::NONE };
    let few = explain(&router, "amq.fanout", "k", &NoAttributes, limits);
    assert_eq!((few.visits.len(), few.visit_count), (2, 3));
}

#[test]
fn limits_bound_what_is_listed_and_examined_but_not_the_destinations() {
    let mut router = vhost();
    for queue in 1..10 {
        bind(&mut router, "amq.direct", &format!("q{queue}"), if queue % 2 == 0 { "k" } else { "other" });
    }
    let few = explain(
        &router,
        "amq.direct",
        "k",
        &NoAttributes,
        ExplainLimits { listed: 2, ..ExplainLimits::NONE },
    );
    let visit = &few.visits[0];
    assert_eq!((visit.matched.len(), visit.matched_count), (2, 4));
    assert_eq!((visit.missed.len(), visit.missed_count, visit.unexamined), (2, 5, 0));
    assert_eq!(few.queues.len(), 4);
    let lazy =
        explain(&router, "amq.direct", "k", &NoAttributes, ExplainLimits { work: 5, ..ExplainLimits::NONE });
    let visit = &lazy.visits[0];
    assert!(visit.unexamined > 0);
    assert_eq!(visit.matched_count + visit.missed_count + visit.unexamined, 9);
    assert_eq!(lazy.queues.len(), 4);
}

#[test]
fn the_default_exchange_counts_other_queues_without_listing_them() {
    let router = vhost();
    let explained = explain(&router, "", "q4", &NoAttributes, ExplainLimits::NONE);
    let visit = &explained.visits[0];
    assert_eq!((visit.matched.len(), visit.missed.len(), visit.missed_count), (1, 0, 8));
    assert_eq!(explained.queues, [4]);
}

#[test]
fn a_hundred_thousand_patterns_of_nine_words_are_counted_whole_within_ten_million_comparisons() {
    let mut router = vhost();
    for number in 0..99_999 {
        bind(&mut router, "amq.topic", "q1", &format!("a.b.c.d.e.f.g.*.{number}"));
    }
    bind(&mut router, "amq.topic", "q2", "#");
    let limits = ExplainLimits { visits: 20, listed: 100, work: 10_000_000 };
    let explained = explain(&router, "amq.topic", "a.b.c.d.e.f.g.h.7", &NoAttributes, limits);
    let visit = &explained.visits[0];
    assert_eq!((visit.matched_count, visit.missed_count, visit.unexamined), (2, 99_998, 0));
    assert_eq!((visit.missed.len(), explained.queues.len()), (100, 2));
}
