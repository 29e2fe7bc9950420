//! Routing: (exchange, routing keys, headers) in, destinations out.
//!
//! One [`Router`] holds the exchanges and bindings of one virtual host. [`Router::route`] returns a message's
//! destinations; every other method changes or lists the topology.
//!
//! Invariants:
//! - A queue appears at most once in a result, however many bindings, keys and exchanges lead to it; each exchange is
//!   visited once, so cycles of bindings or alternates terminate.
//! - Both ends of a binding exist: removing an exchange or queue removes its bindings.
//! - The implicit bindings of the default exchange are exactly the registered queues.
//! - Every change that can alter a result raises [`Router::generation`].
//! - Routing does not allocate once its [`Scratch`] has grown to the topology's size.
//! - The same calls give the same results: the only randomness is the seed of a [`Scratch`].
//!
//! Costs: bind and unbind are linear in the length of the key (modulus-hash: the number of members); removing a
//! queue, in the number of its bindings; routing, in the number of matches and, for headers, of the message's headers
//! (consistent-hash: the number of members).
//!
//! Absent: queues (a destination is a small id chosen by the caller), permissions, name policing beyond the
//! predicates in [`names`], messages, delaying and remembering them, I/O, clocks, locks, async.

#![warn(clippy::print_stdout)]

mod args;
mod attributes;
mod exchange_id;
mod federation;
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
pub use exchange_id::ExchangeId;
pub use kind::{InnerKind, Kind};
pub use refusal::{Refusal, RouteError};
pub use router::{
    Alternate, Binding, Bound, Declared, Destination, Envelope, ExchangeInfo, ExchangeSpec, ExplainLimits,
    Explanation, Match, Mismatch, Miss, Origin, Reached, Removed, RouteInfo, Router, Visit, Why, Word,
};
pub use scratch::Scratch;
pub use value::{OwnedValue, Value, decimal};

/// The caller's id for a queue: small, and unique while the queue is registered.
pub trait QueueId: Copy + Eq + Hash + Debug {}

impl<T: Copy + Eq + Hash + Debug> QueueId for T {}
