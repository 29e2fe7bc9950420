//! `RabbitMQ`'s extensions of AMQP 0-9-1.

use super::{Scene, conform};

mod alternate_exchange;
mod cc_bcc;
mod consumer_timeout;
mod dead_letter;
mod deduplication;
mod delayed;
mod delivery_limit;
mod exchange_bindings;
mod expiry;
mod hashing;
mod max_length;
mod priorities;
mod reply_to;
mod single_active;
mod transactions;
