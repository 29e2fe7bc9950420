//! Replaces an exchange, or changes a queue's durability, with all bindings kept.

use crate::exchange_id::ExchangeId;
use crate::kind::{self, Kind};
use crate::matcher::Matcher;
use crate::router::{ExchangeInfo, ExchangeSpec, Link, Router};
use crate::targets::Target;
use crate::{QueueId, Refusal, names};

impl<D: QueueId> Router<D> {
    /// Whether the exchange can become as `spec` says: all bindings from it must be valid there.
    pub fn check_replacement(&self, name: &str, spec: &ExchangeSpec<'_>) -> Result<(), Refusal> {
        self.replaceable(name, spec).map(|_| ())
    }

    /// Replaces an exchange under the same name; its bindings, from it and to it, stay.
    ///
    /// # Errors
    /// As [`Router::check_replacement`]; then nothing is changed.
    pub fn replace(&mut self, name: &str, spec: ExchangeSpec<'_>) -> Result<(), Refusal> {
        let (id, kind) = self.replaceable(name, &spec)?;
        let matcher = Matcher::new(kind.inner, &spec.args);
        let alternate = kind::alternate(&spec.args)?.map(Into::into);
        let exchange = self.at_mut(id);
        exchange.info = ExchangeInfo {
            name: exchange.info.name.clone(),
            kind,
            durable: spec.durable,
            auto_delete: spec.auto_delete,
            internal: spec.internal,
            args: spec.args,
        };
        exchange.alternate = alternate;
        exchange.matcher = matcher;
        for link in exchange.outgoing.clone() {
            self.enter(link);
        }
        self.generation += 1;
        Ok(())
    }

    /// Sets whether the queue survives a restart.
    pub fn set_queue_durable(&mut self, queue: D, durable: bool) {
        if let Some(known) = self.queues.get_mut(&queue) {
            known.durable = durable;
            self.generation += 1;
        }
    }

    fn replaceable(&self, name: &str, spec: &ExchangeSpec<'_>) -> Result<(ExchangeId, Kind), Refusal> {
        if names::is_default(name) {
            return Err(Refusal::DefaultExchange);
        }
        let id = self.id_of(name.as_bytes()).ok_or_else(|| Refusal::NoSuchExchange(name.to_owned()))?;
        let kind = Kind::declared(spec.kind, &spec.args)?;
        for link in &self.at(id).outgoing {
            let Link { target, key, args, .. } = &self.links[*link];
            kind.inner.check_binding(matches!(target, Target::Queue(_)), key, args)?;
        }
        Ok((id, kind))
    }
}
