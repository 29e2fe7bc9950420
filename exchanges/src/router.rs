//! One virtual host's exchanges and bindings: the state, and the lifecycle of exchanges.

mod bindings;
mod explain;
mod listing;
mod plan;
mod replace;
mod route;
mod types;
mod why;

use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use rustc_hash::FxHashMap;
use slab::Slab;

use crate::exchange_id::ExchangeId;
use crate::kind::{self, Kind};
use crate::matcher::Matcher;
use crate::targets::Target;
use crate::{Args, QueueId, Refusal, names};

pub use explain::{Alternate, ExplainLimits, Explanation, Match, Miss, Reached, Visit};
pub use route::{Envelope, Origin, RouteInfo};
pub use types::{Binding, Bound, Declared, Destination, ExchangeInfo, ExchangeSpec, Removed};
pub use why::{Mismatch, Why, Word};

/// The exchanges and bindings of one virtual host. See the crate documentation for the invariants.
pub struct Router<D> {
    exchanges: Slab<Exchange<D>>,
    names: HashMap<Box<[u8]>, ExchangeId>,
    queues: FxHashMap<D, Queue>,
    links: Slab<Link<D>>,
    /// Bindings by their full identity.
    identities: HashTable<usize>,
    hasher: DefaultHashBuilder,
    generation: u64,
}

struct Exchange<D> {
    info: ExchangeInfo,
    /// From the argument, which overrides the policy.
    alternate: Option<Box<str>>,
    policy_alternate: Option<Box<str>>,
    matcher: Matcher<D>,
    outgoing: Vec<usize>,
    incoming: Vec<usize>,
}

struct Queue {
    name: Arc<str>,
    durable: bool,
    incoming: Vec<usize>,
}

/// A binding, with its indexes in the lists of both ends.
struct Link<D> {
    source: ExchangeId,
    target: Target<D>,
    key: Arc<str>,
    args: Args,
    place_at_source: usize,
    place_at_target: usize,
}

impl<D: QueueId> Default for Router<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: QueueId> Router<D> {
    /// A virtual host with its [predeclared](names::PREDECLARED) exchanges.
    pub fn new() -> Self {
        let mut router = Self {
            exchanges: Slab::new(),
            names: HashMap::new(),
            queues: FxHashMap::default(),
            links: Slab::new(),
            identities: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            generation: 0,
        };
        for (name, inner, internal) in names::PREDECLARED {
            let kind = Kind { inner, delayed: false };
            router.create(ExchangeInfo {
                name: name.into(),
                kind,
                durable: true,
                auto_delete: false,
                internal,
                args: Args::EMPTY,
            });
        }
        router
    }

    /// Raised by every change that can alter a result: a result found under another generation is stale.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Creates an exchange, or checks that the existing one is equivalent: type, the three flags and
    /// `alternate-exchange` are compared, other arguments are not.
    pub fn declare(&mut self, name: &str, spec: ExchangeSpec<'_>) -> Result<Declared, Refusal> {
        let Some(exchange) = self.exchange_named(name) else {
            let kind = Kind::declared(spec.kind, &spec.args)?;
            self.create(ExchangeInfo {
                name: name.into(),
                kind,
                durable: spec.durable,
                auto_delete: spec.auto_delete,
                internal: spec.internal,
                args: spec.args,
            });
            return Ok(Declared::Created);
        };
        let info = &exchange.info;
        let flag = |flag: bool| if flag { "true" } else { "false" };
        for (field, wanted, current) in [
            ("type", spec.kind, info.kind.name()),
            ("durable", flag(spec.durable), flag(info.durable)),
            ("auto_delete", flag(spec.auto_delete), flag(info.auto_delete)),
            ("internal", flag(spec.internal), flag(info.internal)),
        ] {
            if wanted != current {
                if field == "type" && !Kind::exists(wanted) {
                    return Err(Refusal::UnknownKind(wanted.to_owned()));
                }
                return Err(Refusal::Inequivalent {
                    exchange: name.to_owned(),
                    field,
                    wanted: format!("'{wanted}'"),
                    current: format!("'{current}'"),
                });
            }
        }
        kind::alternate(&spec.args)?;
        kind::same_alternate(name, &info.args, &spec.args)?;
        Ok(Declared::Existing)
    }

    /// Deletes an exchange with its bindings, and any auto-delete exchanges that thereby lose their last binding.
    /// `None` if it does not exist, which is not an error.
    pub fn delete(&mut self, name: &str, if_unused: bool) -> Result<Option<Removed<D>>, Refusal> {
        if names::is_default(name) {
            return Err(Refusal::DefaultExchange);
        }
        let Some(id) = self.id_of(name.as_bytes()) else {
            return Ok(None);
        };
        if if_unused && !self.at(id).outgoing.is_empty() {
            return Err(Refusal::InUse(name.to_owned()));
        }
        let mut removed = Removed::default();
        self.remove_exchanges(vec![id], &mut removed);
        Ok(Some(removed))
    }

    /// Sets or clears an exchange's alternate exchange from a policy. An `alternate-exchange` argument overrides it.
    /// The default exchange has none.
    pub fn set_policy_alternate(&mut self, name: &str, alternate: Option<&str>) -> Result<(), Refusal> {
        if names::is_default(name) {
            return Err(Refusal::DefaultExchange);
        }
        let id = self.id_of(name.as_bytes()).ok_or_else(|| Refusal::NoSuchExchange(name.to_owned()))?;
        let exchange = self.at_mut(id);
        if exchange.policy_alternate.as_deref() != alternate {
            exchange.policy_alternate = alternate.map(Into::into);
            self.generation += 1;
        }
        Ok(())
    }

    fn create(&mut self, info: ExchangeInfo) {
        let entry = self.exchanges.vacant_entry();
        let id = u32::try_from(entry.key()).expect("fewer than 2^32 exchanges fit into memory");
        self.names.insert(info.name.as_bytes().into(), ExchangeId(id));
        let alternate = kind::alternate(&info.args).ok().flatten();
        entry.insert(Exchange {
            alternate: alternate.map(Into::into),
            policy_alternate: None,
            matcher: Matcher::new(info.kind.inner, &info.args),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            info,
        });
        self.generation += 1;
    }

    /// Removes these exchanges and everything that depends on them.
    fn remove_exchanges(&mut self, mut doomed: Vec<ExchangeId>, removed: &mut Removed<D>) {
        while let Some(id) = doomed.pop() {
            let exchange = self.at(id);
            let links = [&*exchange.outgoing, &*exchange.incoming].concat();
            for link in links {
                // A binding from an exchange to itself is in both lists.
                if self.links.contains(link) {
                    let orphan = self.remove_link(link, removed);
                    doomed.extend(orphan.filter(|orphan| *orphan != id));
                }
            }
            let gone = self.exchanges.remove(id.0 as usize);
            self.names.remove(gone.info.name.as_bytes());
            removed.exchanges.push(gone.info);
            self.generation += 1;
        }
    }

    fn id_of(&self, name: &[u8]) -> Option<ExchangeId> {
        self.names.get(name).copied()
    }

    fn exchange_named(&self, name: &str) -> Option<&Exchange<D>> {
        self.id_of(name.as_bytes()).map(|id| self.at(id))
    }

    /// The exchange with this id, which is known to exist.
    fn at(&self, id: ExchangeId) -> &Exchange<D> {
        &self.exchanges[id.0 as usize]
    }

    fn at_mut(&mut self, id: ExchangeId) -> &mut Exchange<D> {
        &mut self.exchanges[id.0 as usize]
    }
}

impl<D> Exchange<D> {
    fn alternate(&self) -> Option<&str> {
        let policy = self.policy_alternate.as_deref();
        self.alternate.as_deref().or(policy)
    }
}

#[cfg(test)]
mod tests;
