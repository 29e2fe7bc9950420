//! The methods of class exchange.

use leveret_broker::Caller;
use leveret_broker::bindings::BindingRequest;
use leveret_broker::definitions::DestinationKind;
use leveret_broker::exchanges::ExchangeRequest;
use leveret_broker::names::{ExchangeName, without_line_breaks};
use leveret_broker::refusal::Refusal;

use super::connection::Connection;
use super::error::{MethodId, refused};
use super::row::Answered;
use crate::wire::method::{AMQPClass, FieldTable, ShortString, exchange};

impl Connection {
    pub(super) fn exchange_method(&mut self, number: u16, method: exchange::AMQPMethod, id: MethodId) {
        use exchange::AMQPMethod as M;
        match method {
            M::Declare(declare) if declare.passive => {
                let name = ExchangeName::new(&without_line_breaks(declare.exchange.as_str()));
                match self.as_caller(|broker, vhost, caller, _| broker.find_exchange(vhost, caller, &name)) {
                    Ok(()) if declare.nowait => {}
                    Ok(()) => self.send_exchange(number, M::DeclareOk(exchange::DeclareOk {})),
                    Err(refusal) => self.fail_on(number, &refused(&refusal, id)),
                }
            }
            M::Declare(_) | M::Delete(_) | M::Bind(_) | M::Unbind(_) => {
                self.carry_out(number, vec![AMQPClass::Exchange(method)], id);
            }
            _ => self.unimplemented(id),
        }
    }

    /// Declares exchanges, up to the first refused.
    pub(super) fn declare_exchanges(&mut self, number: u16, declares: &[exchange::Declare]) -> Answered {
        let requests = declares.iter().map(|declare| {
            let request = ExchangeRequest {
                kind: declare.kind.as_str(),
                durable: declare.durable,
                auto_delete: declare.auto_delete,
                internal: declare.internal,
                arguments: &declare.arguments,
            };
            (ExchangeName::new(&without_line_breaks(declare.exchange.as_str())), request)
        });
        let requests: Vec<_> = requests.collect();
        let row = self
            .as_caller(|broker, vhost, caller, _| Ok(broker.declare_exchanges(vhost, caller, &requests)))?;
        for (name, _) in requests.iter().take(row.done.len()) {
            self.log_declared("exchange", name);
        }
        for _ in declares.iter().zip(row.done).filter(|(declare, ())| !declare.nowait) {
            self.send_exchange(number, exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}));
        }
        row.refused.map_or(Ok(()), Err)
    }

    /// Deletes exchanges, up to the first refused.
    pub(super) fn delete_exchanges(&mut self, number: u16, deletes: &[exchange::Delete]) -> Answered {
        let name = |delete: &exchange::Delete| {
            (ExchangeName::new(&without_line_breaks(delete.exchange.as_str())), delete.if_unused)
        };
        let requests: Vec<_> = deletes.iter().map(name).collect();
        let there: Vec<_> = requests.iter().map(|(name, _)| self.has_exchange(name)).collect();
        let row =
            self.as_caller(|broker, vhost, caller, _| Ok(broker.delete_exchanges(vhost, caller, &requests)))?;
        // One that was not there counts as deleted, and is no change.
        for ((name, _), _) in requests.iter().zip(there).take(row.done.len()).filter(|(_, there)| *there) {
            self.log_deleted_exchange(name.as_str());
        }
        for _ in deletes.iter().zip(row.done).filter(|(delete, ())| !delete.nowait) {
            self.send_exchange(number, exchange::AMQPMethod::DeleteOk(exchange::DeleteOk {}));
        }
        row.refused.map_or(Ok(()), Err)
    }

    /// Binds exchanges, up to the first refused.
    pub(super) fn bind_exchanges(&mut self, number: u16, binds: &[exchange::Bind]) -> Answered {
        let request = |bind: &exchange::Bind| {
            exchange_binding(&bind.source, &bind.destination, &bind.routing_key, &bind.arguments)
        };
        let requests: Vec<_> = binds.iter().map(request).collect();
        let row = self.as_caller(|broker, vhost, caller, _| Ok(broker.bind_all(vhost, caller, &requests)))?;
        self.log_bindings("added", requests.iter().take(row.done.len()));
        for _ in binds.iter().zip(row.done).filter(|(bind, ())| !bind.nowait) {
            self.send_exchange(number, exchange::AMQPMethod::BindOk(exchange::BindOk {}));
        }
        row.refused.map_or(Ok(()), Err)
    }

    /// Unbinds exchanges, up to the first refused.
    pub(super) fn unbind_exchanges(&mut self, number: u16, unbinds: &[exchange::Unbind]) -> Answered {
        let request = |unbind: &exchange::Unbind| {
            exchange_binding(&unbind.source, &unbind.destination, &unbind.routing_key, &unbind.arguments)
        };
        let requests: Vec<_> = unbinds.iter().map(request).collect();
        let row =
            self.as_caller(|broker, vhost, caller, _| Ok(broker.unbind_all(vhost, caller, &requests)))?;
        self.log_bindings("removed", requests.iter().take(row.done.len()));
        for _ in unbinds.iter().zip(row.done).filter(|(unbind, ())| !unbind.nowait) {
            self.send_exchange(number, exchange::AMQPMethod::UnbindOk(exchange::UnbindOk {}));
        }
        row.refused.map_or(Ok(()), Err)
    }

    fn has_exchange(&self, name: &ExchangeName) -> bool {
        self.vhost.as_ref().is_some_and(|vhost| vhost.exchange(name.as_str()).is_some())
    }

    fn send_exchange(&mut self, number: u16, answer: exchange::AMQPMethod) {
        self.send(number, &AMQPClass::Exchange(answer));
    }

    /// Calls the broker as this connection's user, with the user's current rights.
    pub(super) fn as_caller<T>(
        &mut self,
        call: impl FnOnce(
            &std::sync::Arc<leveret_broker::Broker>,
            &std::sync::Arc<leveret_broker::vhost::Vhost>,
            &Caller<'_>,
            &mut leveret_broker::turn::Turn,
        ) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (Some(vhost), Some(rights)) = (&self.vhost, &mut self.rights) else {
            return Err(Refusal::NoVhost(String::new()));
        };
        rights.refresh(&self.broker.users);
        let caller = Caller { rights, connection: Some(self.id) };
        call(&self.broker, vhost, &caller, &mut self.turn)
    }
}

fn exchange_binding(
    source: &ShortString,
    destination: &ShortString,
    routing_key: &ShortString,
    arguments: &FieldTable,
) -> BindingRequest {
    BindingRequest {
        source: ExchangeName::new(&without_line_breaks(source.as_str())),
        kind: DestinationKind::Exchange,
        destination: without_line_breaks(destination.as_str()),
        routing_key: routing_key.as_str().to_owned(),
        arguments: arguments.clone(),
    }
}
