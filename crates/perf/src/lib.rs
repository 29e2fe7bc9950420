//! `leveret perf`: a load generator for any AMQP 0-9-1 broker.
//!
//! It shares its machine with the broker under test, so its cost per message counts: raw sockets, one thread per
//! connection, publishes encoded once and sent by the thousand in one write, deliveries counted by walking frames.
//! Invariants: nothing is counted before the warm-up is over; a rate is the difference of two readings of the same
//! counters; every printed number is also in the JSON. Absent: the broker's own code beyond [`leveret_amqp091::wire`].

mod args;
mod batch;
mod churn;
mod clock;
mod confirms;
mod consumer;
mod deliveries;
mod error;
mod idle;
mod interrupt;
mod link;
mod meter;
mod presets;
mod process;
mod publisher;
mod relay;
mod report;
mod requeuer;
mod run;
mod schedule;
mod settings;
mod stream;
mod topology;
mod traffic;
mod trust;
mod url;

pub use args::PerfArgs;
pub use error::PerfError;
pub use run::run;
