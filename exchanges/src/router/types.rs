//! What goes into and comes out of a router.

use std::sync::Arc;

use crate::kind::history_length;
use crate::{Args, InnerKind, Kind};

/// What a client asks for in exchange.declare.
#[derive(Clone, Debug, Default)]
pub struct ExchangeSpec<'a> {
    /// The type's name.
    pub kind: &'a str,
    /// Survives a restart.
    pub durable: bool,
    /// Goes when the last binding from it is removed.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// The arguments.
    pub args: Args,
}

/// An exchange, as a list shows it. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeInfo {
    /// The name; empty for the default exchange.
    pub name: Arc<str>,
    /// The type.
    pub kind: Kind,
    /// Survives a restart.
    pub durable: bool,
    /// Goes when the last binding from it is removed.
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

    /// How many messages the caller must keep for later bindings, if it is an `x-recent-history`
    /// exchange.
    pub fn history_length(&self) -> Option<u64> {
        (self.kind.inner == InnerKind::RecentHistory).then(|| history_length(&self.args))
    }
}

/// Where a binding leads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Destination<D, N = Arc<str>> {
    /// A registered queue.
    Queue(D),
    /// The exchange of that name.
    Exchange(N),
}

/// A binding, as a list shows it. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding<D> {
    /// The exchange it leads from; empty for the implicit ones.
    pub source: Arc<str>,
    /// Where it leads.
    pub destination: Destination<D>,
    /// The routing key, pattern or weight.
    pub key: Arc<str>,
    /// The arguments it was made with.
    pub args: Args,
    /// Both ends are durable, so it survives a restart.
    pub durable: bool,
}

/// How a declaration succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Declared {
    /// The exchange is new.
    Created,
    /// An equivalent exchange was there.
    Existing,
}

/// How a binding succeeded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bound<D> {
    /// The binding is new.
    New(Binding<D>),
    /// The same binding was there.
    Existing,
}

/// What went with a change, in the order in which it went.
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
