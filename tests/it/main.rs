//! The broker's user-visible behaviour, tested against real broker processes.
//!
//! `conformance` sends raw frames, one test per rule of the protocol, and can run against another broker:
//! `LEVERET_TEST_URL=amqp://127.0.0.1:5672 cargo test --test it conformance`. That broker's deviations are listed
//! with reasons in `known_differences`. The other modules start the broker's binary and use its data folder, log and
//! signals.
//! Tests are independent of each other; nothing sleeps where it can wait for a condition.

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
mod retry;
mod service;
mod startup;
mod tls;
mod tokens;
mod wait;
