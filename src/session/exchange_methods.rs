//! The methods of class exchange.

use super::connection::Connection;
use super::error::{MethodId, refused};
use crate::broker::Caller;
use crate::broker::bindings::BindingRequest;
use crate::broker::definitions::DestinationKind;
use crate::broker::exchanges::ExchangeRequest;
use crate::broker::names::{ExchangeName, without_line_breaks};
use crate::broker::refusal::Refusal;
use crate::wire::method::{AMQPClass, exchange};

impl Connection {
    pub(super) fn exchange_method(&mut self, number: u16, method: exchange::AMQPMethod, id: MethodId) {
        use exchange::AMQPMethod as M;
        let outcome = match method {
            M::Declare(declare) => {
                let name = ExchangeName::new(&without_line_breaks(declare.exchange.as_str()));
                let answer = (!declare.nowait).then_some(M::DeclareOk(exchange::DeclareOk {}));
                self.as_caller(|broker, vhost, caller, _| {
                    if declare.passive {
                        return broker.find_exchange(vhost, caller, &name);
                    }
                    let request = ExchangeRequest {
                        kind: declare.kind.as_str(),
                        durable: declare.durable,
                        auto_delete: declare.auto_delete,
                        internal: declare.internal,
                        arguments: &declare.arguments,
                    };
                    broker.declare_exchange(vhost, caller, &name, &request)
                })
                .map(|()| answer)
            }
            M::Delete(delete) => {
                let name = ExchangeName::new(&without_line_breaks(delete.exchange.as_str()));
                let answer = (!delete.nowait).then_some(M::DeleteOk(exchange::DeleteOk {}));
                self.as_caller(|broker, vhost, caller, _| {
                    broker.delete_exchange(vhost, caller, &name, delete.if_unused)
                })
                .map(|()| answer)
            }
            M::Bind(bind) => {
                let answer = (!bind.nowait).then_some(M::BindOk(exchange::BindOk {}));
                let request = BindingRequest {
                    source: ExchangeName::new(&without_line_breaks(bind.source.as_str())),
                    kind: DestinationKind::Exchange,
                    destination: without_line_breaks(bind.destination.as_str()),
                    routing_key: bind.routing_key.as_str().to_owned(),
                    arguments: bind.arguments,
                };
                self.as_caller(|broker, vhost, caller, _| broker.bind(vhost, caller, &request))
                    .map(|()| answer)
            }
            M::Unbind(unbind) => {
                let answer = (!unbind.nowait).then_some(M::UnbindOk(exchange::UnbindOk {}));
                let request = BindingRequest {
                    source: ExchangeName::new(&without_line_breaks(unbind.source.as_str())),
                    kind: DestinationKind::Exchange,
                    destination: without_line_breaks(unbind.destination.as_str()),
                    routing_key: unbind.routing_key.as_str().to_owned(),
                    arguments: unbind.arguments,
                };
                self.as_caller(|broker, vhost, caller, _| broker.unbind(vhost, caller, &request))
                    .map(|()| answer)
            }
            _ => return self.unimplemented(id),
        };
        match outcome {
            Ok(Some(answer)) => self.send(number, &AMQPClass::Exchange(answer)),
            Ok(None) => {}
            Err(refusal) => self.fail_on(number, &refused(&refusal, id)),
        }
    }

    /// Calls the broker in the name of this connection's user, with its current rights.
    pub(super) fn as_caller<T>(
        &mut self,
        call: impl FnOnce(
            &std::sync::Arc<crate::broker::Broker>,
            &std::sync::Arc<crate::broker::vhost::Vhost>,
            &Caller<'_>,
            &mut crate::broker::turn::Turn,
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
