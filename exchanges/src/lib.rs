//! Routing: (exchange, routing keys, headers) in, destinations out.
//!
//! One [`Router`] holds the exchanges and bindings of one virtual host. [`Router::route`] answers
//! who gets a message; everything else changes or lists the topology.
//!
//! Invariants:
//! - Each queue is in a result once, whatever the number of bindings, keys and exchanges on the way;
//!   each exchange is visited once, so loops of bindings or alternates end.
//! - A binding's ends exist: an exchange or queue that goes takes its bindings along.
//! - The implicit bindings of the default exchange are exactly the registered queues.
//! - Every change that can alter a result raises [`Router::generation`].
//! - Routing allocates nothing once its [`Scratch`] has grown to the topology's size.
//! - The same calls give the same results: the only randomness is the seed of a [`Scratch`].
//!
//! Costs: bind and unbind follow the length of the key (modulus-hash exchanges: the number of their
//! members); a queue's end follows its own bindings; routing follows the matches and, for headers,
//! the headers of the message (consistent-hash: the number of members).
//!
//! Absent: queues (a destination is a small id the caller chose), permissions, name policing beyond
//! the predicates in [`names`], messages, delaying and remembering them, I/O, clocks, locks, async.

#![warn(clippy::print_stdout)]

mod args;
mod attributes;
mod kind;
mod matcher;
mod naive;
pub mod names;
mod refusal;
mod router;
mod scratch;
mod seen;
mod stable_hash;
mod targets;
mod value;

use std::fmt::Debug;
use std::hash::Hash;

pub use args::Args;
pub use attributes::{Attributes, NoAttributes, Property};
pub use kind::{InnerKind, Kind};
pub use refusal::{Refusal, RouteError};
pub use router::{
    Binding, Bound, Declared, Destination, Envelope, ExchangeId, ExchangeInfo, ExchangeSpec, Explanation,
    Origin, Reached, Removed, RouteInfo, Router, Visit,
};
pub use scratch::Scratch;
pub use value::{OwnedValue, Value, decimal};

/// What the caller uses to name a queue: small, and unique as long as the queue is registered.
pub trait QueueId: Copy + Eq + Hash + Debug {}

impl<T: Copy + Eq + Hash + Debug> QueueId for T {}
