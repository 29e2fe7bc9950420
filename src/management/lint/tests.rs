//! Every rule, with a case in which it fires and one in which it does not; and what else must hold of the table.

use std::collections::BTreeSet;

use leveret_broker::survey::Leads;

use super::rules::{
    BACKLOG_MIN, CONNECTIONS_MANY, Found, GROWTH_MIN, OBJECTS_MAX, PREFETCH_MAX, RULES, STALL_S, UNACKED_MIN,
};
use super::snapshot::{
    ClientFacts, ConsumerFacts, DeadLetterFacts, ExchangeFacts, PolicyFacts, QueueFacts, Snapshot, VhostFacts,
};
use super::{Rule, json, report};

/// A queue to which no rule applies.
fn queue(name: &str) -> QueueFacts {
    QueueFacts { name: name.to_owned(), durable: true, bounded: true, ..QueueFacts::default() }
}

fn with_queues(queues: Vec<QueueFacts>) -> Snapshot {
    let vhost = VhostFacts { name: "v".to_owned(), queues, ..VhostFacts::default() };
    Snapshot { vhosts: vec![vhost], ..Snapshot::default() }
}

fn of_queue(change: impl FnOnce(&mut QueueFacts)) -> Snapshot {
    let mut queue = queue("q");
    change(&mut queue);
    with_queues(vec![queue])
}

fn of_exchange(change: impl FnOnce(&mut ExchangeFacts)) -> Snapshot {
    let mut exchange = ExchangeFacts { name: "x".to_owned(), outgoing: 1, ..ExchangeFacts::default() };
    change(&mut exchange);
    let vhost = VhostFacts { name: "v".to_owned(), exchanges: vec![exchange], ..VhostFacts::default() };
    Snapshot { vhosts: vec![vhost], ..Snapshot::default() }
}

fn of_policy(operator: bool, applies: bool) -> Snapshot {
    let policy = PolicyFacts { name: "p".to_owned(), operator, applies, ..PolicyFacts::default() };
    let vhost = VhostFacts { name: "v".to_owned(), policies: vec![policy], ..VhostFacts::default() };
    Snapshot { vhosts: vec![vhost], ..Snapshot::default() }
}

fn consumer(acks: bool, prefetch: u32, unacked: u64) -> ConsumerFacts {
    ConsumerFacts { tag: "c".to_owned(), acks, prefetch, unacked }
}

fn leading(name: &str, leads: Leads) -> QueueFacts {
    let dead_letters = Some(DeadLetterFacts { exchange: "dlx".to_owned(), leads });
    QueueFacts { dead_letters, ..queue(name) }
}

fn to(names: &[&str]) -> Leads {
    Leads::To(names.iter().map(|name| (*name).into()).collect())
}

fn cycle(limit: bool) -> Snapshot {
    let limited = QueueFacts { delivery_limit: limit, ..leading("b", to(&["c", "a"])) };
    with_queues(vec![leading("a", to(&["b"])), limited, queue("c")])
}

fn client(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let (user, host) = ("u".to_owned(), "h".to_owned());
    let client = ClientFacts { user, host, connections: 500, narrow: CONNECTIONS_MANY - 1, young: 9 };
    let mut snapshot = Snapshot { clients: vec![client], churn: [9.0, 9.0], ..Snapshot::default() };
    change(&mut snapshot);
    snapshot
}

fn stalled(change: impl FnOnce(&mut QueueFacts)) -> Snapshot {
    of_queue(|queue| {
        queue.ready = BACKLOG_MIN;
        queue.persistent = BACKLOG_MIN;
        queue.consumers = vec![consumer(true, 10, 10)];
        queue.acked = Some(false);
        change(queue);
    })
}

fn hoarding(unacked: u64, of: u64, ready: u64) -> Snapshot {
    of_queue(|queue| {
        (queue.unacked, queue.ready, queue.persistent) = (of, ready, of + ready);
        queue.acked = Some(true);
        queue.consumers = vec![consumer(true, 10, unacked), consumer(true, 10, of - unacked)];
    })
}

/// Rule, a snapshot in which it alone fires, and one in which nothing does.
fn cases() -> Vec<(&'static str, Snapshot, Snapshot)> {
    let alternate = |exists| of_exchange(|exchange| exchange.alternate = Some(("y".to_owned(), exists)));
    let growing = |bounded, fleeting, growth| {
        of_queue(|queue| {
            (queue.ready, queue.persistent) = (BACKLOG_MIN, BACKLOG_MIN);
            (queue.bounded, queue.fleeting, queue.growth) = (bounded, fleeting, growth);
            queue.consumers = vec![consumer(false, 0, 0)];
        })
    };
    let reading = |acks, prefetch| of_queue(|queue| queue.consumers = vec![consumer(acks, prefetch, 0)]);
    let used = |outgoing, published| {
        of_exchange(|exchange| (exchange.outgoing, exchange.published) = (outgoing, published))
    };
    vec![
        (
            "dead-letter-exchange-missing",
            with_queues(vec![leading("a", Leads::Missing)]),
            with_queues(vec![leading("a", Leads::Depends)]),
        ),
        ("alternate-exchange-missing", alternate(false), alternate(true)),
        (
            "dead-letters-unroutable",
            with_queues(vec![leading("a", Leads::Nowhere)]),
            with_queues(vec![leading("a", to(&["b"])), queue("b")]),
        ),
        ("dead-letter-loop", cycle(false), cycle(true)),
        (
            "queue-without-consumer",
            of_queue(|queue| (queue.ready, queue.persistent) = (BACKLOG_MIN, BACKLOG_MIN)),
            of_queue(|queue| (queue.ready, queue.persistent) = (BACKLOG_MIN - 1, BACKLOG_MIN - 1)),
        ),
        ("queue-stalled", stalled(|_| ()), stalled(|queue| queue.acked = Some(true))),
        ("queue-growing-without-limit", growing(false, true, GROWTH_MIN), growing(true, true, GROWTH_MIN)),
        ("consumer-hoards", hoarding(UNACKED_MIN, UNACKED_MIN, 0), hoarding(UNACKED_MIN / 2, UNACKED_MIN, 0)),
        ("prefetch-unlimited", reading(true, 0), reading(false, 0)),
        (
            "durable-queue-on-transient-exchange",
            of_queue(|queue| queue.transient_sources = vec!["x".into()]),
            of_queue(|_| ()),
        ),
        ("policy-without-effect", of_policy(false, false), of_policy(false, true)),
        ("operator-policy-without-effect", of_policy(true, false), of_policy(true, true)),
        ("connection-churn", client(|_| ()), client(|snapshot| snapshot.churn = [9.0, 0.0])),
        (
            "connections-many",
            client(|snapshot| (snapshot.churn, snapshot.clients[0].narrow) = ([0.0; 2], CONNECTIONS_MANY)),
            client(|snapshot| snapshot.churn = [0.0; 2]),
        ),
        (
            "queue-without-limit",
            of_queue(|queue| queue.bounded = false),
            of_queue(|queue| (queue.bounded, queue.fleeting) = (false, true)),
        ),
        (
            "transient-messages-in-durable-queue",
            of_queue(|queue| (queue.unacked, queue.persistent) = (5, 4)),
            of_queue(|queue| (queue.unacked, queue.persistent, queue.durable) = (5, 4, false)),
        ),
        ("prefetch-high", reading(true, PREFETCH_MAX + 1), reading(true, PREFETCH_MAX)),
        (
            "exchange-unused",
            of_exchange(|exchange| exchange.outgoing = 0),
            of_exchange(|exchange| (exchange.outgoing, exchange.referred_to) = (0, true)),
        ),
        ("exchange-without-binding", used(0, 1), used(1, 1)),
    ]
}

fn fired(snapshot: &Snapshot) -> Vec<&'static str> {
    let fires = |rule: &&Rule| {
        let mut found = Found::default();
        (rule.find)(snapshot, &mut found);
        found.count > 0
    };
    RULES.iter().filter(fires).map(|rule| rule.id).collect()
}

#[test]
fn each_rule_fires_alone_in_its_case_and_not_in_the_other() {
    let cases = cases();
    for (rule, fires, quiet) in &cases {
        assert_eq!(fired(fires), [*rule]);
        assert_eq!(fired(quiet), Vec::<&str>::new(), "{rule}");
    }
    let tested: BTreeSet<_> = cases.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(tested, RULES.iter().map(|rule| rule.id).collect(), "every rule has a case");
}

#[test]
fn what_is_not_known_or_still_moves_is_no_stall() {
    for quiet in [
        stalled(|queue| queue.acked = None),
        stalled(|queue| queue.delivered = 1.0),
        stalled(|queue| (queue.ready, queue.persistent) = (BACKLOG_MIN - 1, BACKLOG_MIN - 1)),
    ] {
        assert_eq!(fired(&quiet), Vec::<&str>::new());
    }
}

#[test]
fn few_held_messages_beside_many_ready_ones_are_no_hoard() {
    assert_eq!(fired(&hoarding(UNACKED_MIN, UNACKED_MIN, 2 * UNACKED_MIN)), Vec::<&str>::new());
}

#[test]
fn loops_are_named_in_order_once_each_and_a_queue_may_lead_to_itself() {
    let loops = |queues: Vec<QueueFacts>| {
        let report = report(&with_queues(queues));
        let finding = report["findings"].as_array().and_then(|findings| findings.first()).cloned();
        let objects = finding.map(|finding| finding["objects"].as_array().cloned().unwrap_or_default());
        let whys = objects.unwrap_or_default();
        whys.iter().map(|object| object["why"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(loops(vec![leading("a", to(&["a"]))]), ["a -> a"]);
    let three = vec![leading("a", to(&["b"])), leading("b", to(&["c"])), leading("c", to(&["a", "b"]))];
    assert_eq!(loops(three), ["a -> b -> c -> a"]);
    let apart = vec![leading("a", to(&["b"])), leading("b", to(&["a"])), leading("c", to(&["c", "a"]))];
    assert_eq!(loops(apart), ["a -> b -> a", "c -> c"]);
    assert_eq!(loops(vec![leading("a", to(&["gone"]))]), Vec::<String>::new());
    // A chain as long as a vhost may be deep does not exhaust the stack.
    let names: Vec<String> = (0..50_000).map(|number| format!("q{number:05}")).collect();
    let chain = names.iter().zip(names.iter().skip(1)).map(|(from, next)| leading(from, to(&[next])));
    assert_eq!(loops(chain.collect()), Vec::<String>::new());
}

#[test]
fn objects_are_counted_whole_and_the_first_are_listed() {
    let many =
        (0..OBJECTS_MAX + 5).map(|number| QueueFacts { bounded: false, ..queue(&format!("q{number}")) });
    let report = report(&with_queues(many.collect()));
    assert_eq!(report["findings"][0]["count"], OBJECTS_MAX + 5);
    assert_eq!(report["findings"][0]["objects"].as_array().map(Vec::len), Some(OBJECTS_MAX));
    assert_eq!(report["counts"], json!({ "error": 0, "warning": 0, "info": OBJECTS_MAX + 5 }));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures")]
fn ten_thousand_queues_are_examined_within_a_second() {
    let queues = (0..10_000).map(|number| QueueFacts {
        bounded: false,
        consumers: vec![consumer(true, 0, 0)],
        ..leading(&format!("q{number}"), to(&[&format!("q{}", (number + 1) % 10_000)]))
    });
    let snapshot = with_queues(queues.collect());
    let start = std::time::Instant::now();
    let report = report(&snapshot);
    let took = start.elapsed();
    assert!(report["findings"].as_array().is_some_and(|findings| findings.len() >= 3));
    assert!(took.as_millis() < 1000, "{took:?}");
}

#[test]
fn rules_are_in_order_of_severity() {
    assert!(RULES.is_sorted_by(|a, b| a.severity >= b.severity));
}

#[test]
fn the_dashboard_s_overview_uses_the_same_thresholds() {
    let script = include_str!("../../../management-ui/lib/attention.js");
    for (name, value) in [
        ("BACKLOG_MIN", BACKLOG_MIN.to_string()),
        ("UNACKED_MIN", UNACKED_MIN.to_string()),
        ("GROWTH_MIN", GROWTH_MIN.to_string()),
        ("STALL_S", STALL_S.to_string()),
    ] {
        assert!(script.contains(&format!("const {name} = {value};")), "{name} is {value} here");
    }
}
