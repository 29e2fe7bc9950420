//! What a user of the broker sees, tested against real broker processes.
//!
//! `conformance` speaks raw frames, one test per row of the protocol's rules, and runs against another broker too:
//! `LEVERET_TEST_URL=amqp://127.0.0.1:5672 cargo test --test it conformance`. Where that one differs is listed with the
//! reason in `known_differences`. The other modules start the broker's binary and use its data folder, log and signals.
//! No test depends on another; nothing sleeps where it can wait for a condition.

mod cli;
mod configuration;
mod conformance;
mod corruption;
mod crash;
mod crash_changes;
mod crash_tx;
mod delays;
mod descriptors;
mod faults;
mod forged;
mod harness;
mod hoards;
mod hostile;
mod known_differences;
mod lapin_client;
mod large_bodies;
mod limits;
mod logs;
mod long_names;
mod lost;
mod management;
mod own_rules;
mod permissions;
mod policies;
mod private;
mod proxy_protocol;
mod raw;
mod readme;
mod reload;
mod restart;
mod service;
mod startup;
mod tls;
mod tokens;
mod wait;
