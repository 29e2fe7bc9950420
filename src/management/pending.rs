//! The part of an import for one vhost: durable objects in one commit, the rest after it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use leveret_broker::batch::{Batch, NewExchange, NewQueue, Part};
use leveret_broker::bindings::BindingRequest;
use leveret_broker::exchanges::ExchangeRequest;
use leveret_broker::names::UserName;
use leveret_broker::queues::QueueRequest;
use leveret_broker::refusal::Refusal;
use leveret_broker::turn::Turn;
use leveret_broker::users::AccessRights;
use leveret_broker::vhost::Vhost;
use leveret_broker::{Broker, Caller};

/// The objects of a vhost that are decided together.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) batch: Batch,
    /// The index in the file of each part's definition.
    pub(super) places: HashMap<Part, usize>,
    /// Exchanges and queues of the batch, and transient ones, as the file defines them.
    pub(super) said: HashMap<(&'static str, String), Value>,
    /// Transient objects, with their indices in the file: created after the batch, one by one.
    pub(super) exchanges: Vec<(usize, NewExchange)>,
    pub(super) queues: Vec<(usize, NewQueue)>,
    pub(super) bindings: Vec<(usize, BindingRequest)>,
}

impl Pending {
    /// For a dry run: transient objects are checked after the rest of the batch.
    pub(super) fn all_in_batch(&mut self) {
        let (batch, places) = (&mut self.batch, &mut self.places);
        for (at, exchange) in self.exchanges.drain(..) {
            places.insert(Part::Exchange(batch.exchanges.len()), at);
            batch.exchanges.push(exchange);
        }
        for (at, queue) in self.queues.drain(..) {
            places.insert(Part::Queue(batch.queues.len()), at);
            batch.queues.push(queue);
        }
        for (at, binding) in self.bindings.drain(..) {
            places.insert(Part::Binding(batch.bindings.len()), at);
            batch.bindings.push(binding);
        }
    }

    /// Creates the transient objects, as a user with all permissions here. By index in the file.
    pub(super) fn make_transient(
        self,
        broker: &Broker,
        vhost: &Arc<Vhost>,
        user: &UserName,
    ) -> Vec<(usize, Result<(), Refusal>)> {
        let rights = AccessRights::unlimited(user, &vhost.name);
        let caller = Caller { rights: &rights, connection: None };
        let mut made = Vec::new();
        for (at, exchange) in self.exchanges {
            let request = ExchangeRequest {
                kind: &exchange.kind,
                durable: false,
                auto_delete: exchange.auto_delete,
                internal: exchange.internal,
                arguments: &exchange.arguments,
            };
            made.push((at, broker.declare_exchange(vhost, &caller, &exchange.name, &request)));
        }
        for (at, queue) in self.queues {
            let request = QueueRequest {
                passive: false,
                durable: false,
                exclusive: false,
                auto_delete: queue.auto_delete,
                arguments: &queue.arguments,
            };
            let mut turn = Turn::at(broker.now());
            let declared = broker.declare_queue(vhost, &caller, &mut turn, &queue.name, &request);
            broker.finish(&mut turn);
            made.push((at, declared.map(|_| ())));
        }
        for (at, binding) in self.bindings {
            made.push((at, broker.bind(vhost, &caller, &binding)));
        }
        made
    }
}
