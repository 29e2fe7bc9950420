//! Inputs and outputs of a router.

use std::sync::Arc;

use crate::kind::history_length;
use crate::{Args, InnerKind, Kind};

/// A client's exchange.declare.
#[derive(Clone, Debug, Default)]
pub struct ExchangeSpec<'a> {
    /// The type's name.
    pub kind: &'a str,
    /// Survives a restart.
    pub durable: bool,
    /// Deleted when the last binding from it is removed.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// The arguments.
    pub args: Args,
}

/// An exchange, as listed. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeInfo {
    /// The name; empty for the default exchange.
    pub name: Arc<str>,
    /// The type.
    pub kind: Kind,
    /// Survives a restart.
    pub durable: bool,
    /// Deleted when the last binding from it is removed.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// The arguments it was declared with.
    pub args: Args,
}

impl ExchangeInfo {
    /// Whether it is an `x-delayed-message` exchange.
    pub const fn delayed(&self) -> bool {
        self.kind.delayed
    }

    /// Number of messages the caller must keep for later bindings, if it is an `x-recent-history` exchange.
    pub fn history_length(&self) -> Option<u64> {
        (self.kind.inner == InnerKind::RecentHistory).then(|| history_length(&self.args))
    }
}

/// The destination of a binding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Destination<D, N = Arc<str>> {
    /// A registered queue.
    Queue(D),
    /// The exchange with this name.
    Exchange(N),
}

/// A binding, as listed. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding<D> {
    /// The source exchange; empty for implicit bindings.
    pub source: Arc<str>,
    /// The destination.
    pub destination: Destination<D>,
    /// The routing key, pattern or weight.
    pub key: Arc<str>,
    /// The arguments it was made with.
    pub args: Args,
    /// Both ends are durable, so it survives a restart.
    pub durable: bool,
}

/// Outcome of a successful declaration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Declared {
    /// The exchange is new.
    Created,
    /// An equivalent exchange existed.
    Existing,
}

/// Outcome of a successful bind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bound<D> {
    /// The binding is new.
    New(Binding<D>),
    /// The same binding existed.
    Existing,
}

/// What a change removed, in order of removal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removed<D> {
    /// Bindings, without the implicit ones.
    pub bindings: Vec<Binding<D>>,
    /// Exchanges: the deleted one, and those deleted automatically.
    pub exchanges: Vec<ExchangeInfo>,
}

impl<D> Default for Removed<D> {
    fn default() -> Self {
        Self { bindings: Vec::new(), exchanges: Vec::new() }
    }
}
