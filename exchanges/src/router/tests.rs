//! The router's rules, case by case.

mod declare;
mod explain;
mod headers;
mod kinds;
mod lifecycle;
mod replace;
mod topic;
mod ways;

use super::*;
use crate::{Attributes, NoAttributes, OwnedValue, Property, RouteError, Scratch, Value};

type Vhost = Router<u32>;

/// A vhost with queues `q1`..`q9` with ids 1..9, odd ones durable.
fn vhost() -> Vhost {
    let mut router = Router::new();
    for queue in 1..10 {
        assert!(router.queue_named(format!("q{queue}"), queue, queue % 2 == 1));
    }
    router
}

fn declare(router: &mut Vhost, name: &str, kind: &str, args: &[(&str, OwnedValue)]) {
    let spec = spec(kind, args);
    assert_eq!(router.declare(name, spec), Ok(Declared::Created), "{name}");
}

fn declare_auto_delete(router: &mut Vhost, name: &str) {
    let auto_delete = ExchangeSpec { auto_delete: true, ..spec("fanout", &[]) };
    assert_eq!(router.declare(name, auto_delete), Ok(Declared::Created));
}

fn spec<'a>(kind: &'a str, args: &[(&str, OwnedValue)]) -> ExchangeSpec<'a> {
    ExchangeSpec { kind, args: args.iter().cloned().collect(), ..ExchangeSpec::default() }
}

fn to(destination: &str) -> Destination<u32, &str> {
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
fn route_with(router: &Vhost, exchange: &str, keys: &[&str], attributes: &dyn Attributes) -> Vec<u32> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    let envelope =
        Envelope { exchange: exchange.as_bytes(), keys: &keys, attributes, origin: Origin::Client };
    let (mut scratch, mut out) = (Scratch::new(7), vec![99]);
    router.route(&envelope, &mut scratch, &mut out).expect("routes");
    let explained = router.explain(&envelope, &mut Scratch::new(7), ExplainLimits::NONE).expect("explains");
    assert_eq!(out, explained.queues, "explanation of {keys:?}");
    out.sort_unstable();
    assert_eq!(out, named(&explained), "index and rule disagree on {keys:?}");
    out
}

/// The queues of the bindings that match, each once, sorted.
fn named(explained: &Explanation<u32>) -> Vec<u32> {
    let matched = explained.visits.iter().flat_map(|visit| &visit.matched);
    let queues = matched.filter_map(|matched| match matched.binding.destination {
        Destination::Queue(queue) => Some(queue),
        Destination::Exchange(_) => None,
    });
    let mut queues: Vec<u32> = queues.collect();
    queues.sort_unstable();
    queues.dedup();
    queues
}

#[track_caller]
fn route(router: &Vhost, exchange: &str, key: &str) -> Vec<u32> {
    route_with(router, exchange, &[key], &NoAttributes)
}

fn info(router: &Vhost, exchange: &str, attributes: &dyn Attributes) -> RouteInfo {
    let envelope =
        Envelope { exchange: exchange.as_bytes(), keys: &[b"k"], attributes, origin: Origin::Client };
    let result = router.route(&envelope, &mut Scratch::new(1), &mut Vec::new());
    result.expect("routes")
}

fn names(removed: &Removed<u32>) -> Vec<&str> {
    removed.exchanges.iter().map(|info| &*info.name).collect()
}
