//! The broker with sessions and an in-memory store, driven by random clients, checked against a plain model.
//!
//! A seed determines a script: declarations, messages, disconnects, failing storage, crashes. Everything runs in one
//! thread under a clock that the script advances, so that failures are reproducible. `LEVERET_SIM_SEEDS` is the
//! number of seeds to try, `LEVERET_SIM_SEED` a single seed, or with both the first one.

mod author;
mod client;
#[path = "../it/raw/codec.rs"]
mod codec;
mod judge;
#[path = "../../crates/amqp091/src/session/conversation/script.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "what is expected is said by the model; scripts are our own"
)]
mod lines;
mod messages;
mod model;
mod play;
mod script;
mod shrink;
#[path = "../it/raw/spec.rs"]
mod spec;
#[path = "../it/raw/value.rs"]
mod value;
mod world;

use std::collections::BTreeMap;

use shrink::run;

/// Default number of seeds.
const SEEDS: u64 = 150;

/// Seeds that have found a bug, and which.
const FOUND: &[(u64, &str)] = &[
    (17, "a queue whose deletion could not be kept asked to be ticked again and again"),
    (2013, "a queue was idle from its consumer's last words on, not from when they were lost"),
    (4240, "what two channels of a connection held came back out of order"),
];

fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn what_clients_see_is_what_the_rules_say() {
    let (first, count) = match (variable("LEVERET_SIM_SEED"), variable("LEVERET_SIM_SEEDS")) {
        (Some(seed), count) => (seed, count.unwrap_or(1)),
        (None, count) => (0, count.unwrap_or(SEEDS)),
    };
    let mut seen = BTreeMap::new();
    for seed in first..first.saturating_add(count) {
        for (what, often) in run(seed) {
            *seen.entry(what).or_insert(0_u64) += often;
        }
    }
    println!("{count} seeds from {first} on pass; what came up: {seen:#?}");
}

#[test]
fn seeds_that_found_something() {
    for (seed, _) in FOUND {
        run(*seed);
    }
}
