//! Applies a plan, in dependency order.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use leveret_broker::Caller;
use leveret_broker::arguments::FieldTable;
use leveret_broker::batch::{Batch, Changed, NewExchange, NewQueue, Part};
use leveret_broker::bindings::BindingRequest;
use leveret_broker::definitions::DestinationKind;
use leveret_broker::names::{ExchangeName, QueueName};
use leveret_broker::operator_limits::{LimitsOf, OperatorLimits};
use leveret_broker::policies::PolicyKind;
use leveret_broker::turn::Turn;
use leveret_broker::users::AccessRights;
use leveret_broker::vhost::Vhost;
use leveret_topology::{Action, Id, Kind, Object, Plan, Step, Topology, to_definitions};
use serde_json::{Map, Value, json};

use super::super::access::Login;
use super::super::error::{Refused, Result};
use super::super::{Shared, import, parameters, tables};
use super::rules;

/// The state of a run.
struct Work<'a> {
    api: &'a Shared,
    login: &'a Login,
    wanted: &'a Topology,
    force: bool,
}

/// Performs all steps that are not blocked. On failure the completed steps stay: applying again continues from there.
pub(super) fn apply(api: &Shared, login: &Login, wanted: &Topology, plan: &Plan, force: bool) -> Result<()> {
    let work = Work { api, login, wanted, force };
    let steps: Vec<&Step> = plan.steps.iter().filter(|step| !step.is_blocked()).collect();
    let (deletions, made): (Vec<&Step>, Vec<&Step>) =
        steps.into_iter().partition(|step| step.action == Action::Delete);
    // Global objects and the vhosts themselves come first: objects in a vhost may depend on them.
    for step in made.iter().filter(|step| is_global(step.id.kind)) {
        told(&step.id, || work.set(&step.id))?;
    }
    let in_vhosts: Vec<&Step> = made.into_iter().filter(|step| !is_global(step.id.kind)).collect();
    let vhosts: BTreeSet<&str> = in_vhosts.iter().map(|step| step.id.vhost.as_str()).collect();
    for vhost in vhosts {
        let of_vhost = in_vhosts.iter().copied().filter(|step| step.id.vhost == vhost);
        work.make(vhost, &of_vhost.collect::<Vec<_>>())?;
    }
    // Dependents are deleted before what they depend on.
    let mut deletions: Vec<&Id> = deletions.into_iter().map(|step| &step.id).collect();
    deletions.sort_by_key(|id| std::cmp::Reverse(id.kind));
    for id in deletions {
        told(id, || work.delete(id))?;
        tracing::info!(user = login.user.as_str(), "topology: deleted {id}");
    }
    Ok(())
}

fn is_global(kind: Kind) -> bool {
    matches!(kind, Kind::Vhost | Kind::User | Kind::UserLimits | Kind::GlobalParameter)
}

fn flag(body: &Map<String, Value>, name: &str) -> bool {
    body.get(name) == Some(&json!(true))
}

fn arguments(body: &Map<String, Value>) -> Result<FieldTable> {
    match body.get("arguments").and_then(Value::as_object) {
        Some(arguments) => tables::table(arguments),
        None => Ok(FieldTable::default()),
    }
}

/// Adds the object to a refusal.
fn told<T>(id: &Id, work: impl FnOnce() -> Result<T>) -> Result<T> {
    work().map_err(|refused| refused.about_object(id))
}

impl Work<'_> {
    fn object(&self, id: &Id) -> Result<&Object> {
        self.wanted
            .objects
            .get(id)
            .ok_or_else(|| Refused::unavailable(format!("{id} is not in the topology")))
    }

    /// Creates or changes one object, the way an import does.
    fn set(&self, id: &Id) -> Result<()> {
        let mut object = self.object(id)?.clone();
        match id.kind {
            Kind::UserLimits => {
                let limits =
                    object.body.iter().filter_map(|(name, value)| Some((name.clone(), value.as_i64()?)));
                let limits = OperatorLimits::new(LimitsOf::User, limits.collect())?;
                return Ok(self.api.broker.set_user_limits(id.part(0), &limits)?);
            }
            // A user without a password in the topology keeps its own.
            Kind::User
                if !["password", "password_hash"].iter().any(|name| object.body.contains_key(*name)) =>
            {
                if let Some(record) = self.api.broker.users.user(id.part(0)) {
                    let (hash, algorithm) = leveret_broker::password::exported(&record.password_hash);
                    object.body.insert("password_hash".to_owned(), json!(hash));
                    object.body.insert("hashing_algorithm".to_owned(), json!(algorithm));
                }
            }
            _ => {}
        }
        let mut one = Topology::default();
        one.objects.insert(id.clone(), object);
        let definitions = to_definitions(&one);
        let lists = definitions.as_object().into_iter().flatten();
        for (kind, list) in lists.filter(|(_, list)| list.is_array()) {
            for definition in list.as_array().into_iter().flatten() {
                import::one(self.api, self.login, kind, definition.clone())?;
            }
        }
        Ok(())
    }

    fn parameter(&self, component: &str, vhost: &str, name: &str, value: Option<Value>) -> Result<()> {
        parameters::set(self.api, self.login, component, vhost, name, value)
    }

    fn vhost(&self, name: &str) -> Result<Arc<Vhost>> {
        self.api.broker.vhost(name).ok_or_else(|| Refused::not_found(format!("no vhost '{name}'")))
    }

    /// Creates all durable objects in one commit, then the transient ones.
    fn make(&self, vhost: &str, steps: &[&Step]) -> Result<()> {
        let place = self.vhost(vhost)?;
        let (mut batch, mut others) = (Batch::default(), Vec::new());
        let mut named = HashMap::new();
        for step in steps {
            let part = told(&step.id, || self.put(&mut batch, &place, step))?;
            match part {
                Some(part) => drop(named.insert(part, &step.id)),
                None => others.push(&step.id),
            }
        }
        self.api.broker.declare_batch(&place, &batch).map_err(|refused| {
            let refusal = Refused::from(*refused.refusal);
            match refused.part.and_then(|part| named.get(&part)) {
                Some(id) => refusal.about_object(id),
                None => refusal.about(&format!("vhost {vhost}")),
            }
        })?;
        for id in others {
            told(id, || self.set(id))?;
        }
        Ok(())
    }

    /// Adds the step to the batch, if it can be in one.
    fn put(&self, batch: &mut Batch, vhost: &Vhost, step: &Step) -> Result<Option<Part>> {
        let id = &step.id;
        let body = &self.object(id)?.body;
        let durable = flag(body, "durable");
        let migrates = step.action == Action::Migrate;
        Ok(Some(match id.kind {
            Kind::Queue if migrates => {
                batch.changed_queues.push(Changed { durable, to: queue(id, body)? });
                Part::ChangedQueue(batch.changed_queues.len() - 1)
            }
            Kind::Exchange if migrates => {
                batch.changed_exchanges.push(Changed { durable, to: exchange(id, body)? });
                Part::ChangedExchange(batch.changed_exchanges.len() - 1)
            }
            Kind::Queue if durable => {
                batch.queues.push(queue(id, body)?);
                Part::Queue(batch.queues.len() - 1)
            }
            Kind::Exchange if durable => {
                batch.exchanges.push(exchange(id, body)?);
                Part::Exchange(batch.exchanges.len() - 1)
            }
            Kind::Binding if self.lasts(vhost, id) => {
                batch.bindings.push(request(id)?);
                Part::Binding(batch.bindings.len() - 1)
            }
            Kind::Queue | Kind::Exchange | Kind::Binding => return Ok(None),
            _ => {
                batch.rules.push(rules::rule(id, body)?);
                Part::Rule(batch.rules.len() - 1)
            }
        }))
    }

    /// Whether both ends of a binding are durable, and the exchange does nothing with a new binding but route.
    fn lasts(&self, vhost: &Vhost, id: &Id) -> bool {
        let Some(binding) = id.as_binding() else { return false };
        let durable = |kind: Kind, name: &str| match self.wanted.objects.get(&Id::new(kind, &id.vhost, name))
        {
            Some(object) => flag(&object.body, "durable"),
            None if kind == Kind::Queue => vhost.queue(name).is_some_and(|queue| queue.durable()),
            None => vhost.exchange(name).is_some_and(|exchange| exchange.durable),
        };
        let remembers =
            vhost.exchange(&binding.source).is_some_and(|exchange| exchange.history_length().is_some());
        let kind = if binding.to_exchange { Kind::Exchange } else { Kind::Queue };
        !remembers && durable(Kind::Exchange, &binding.source) && durable(kind, &binding.destination)
    }

    /// Deletes, checking the guards once more unless forced.
    fn delete(&self, id: &Id) -> Result<()> {
        let broker = &self.api.broker;
        match id.kind {
            Kind::Vhost => broker.delete_vhost(id.part(0), broker.now()).map(|_| ())?,
            Kind::User => broker.delete_user(id.part(0)).map(|_| ())?,
            Kind::UserLimits => {
                let none = OperatorLimits::new(LimitsOf::User, std::collections::BTreeMap::new())?;
                broker.set_user_limits(id.part(0), &none)?;
            }
            Kind::GlobalParameter => broker.clear_global_parameter(id.part(0)).map(|_| ())?,
            Kind::VhostLimits => self.parameter("vhost-limits", &id.vhost, "limits", None)?,
            Kind::OperatorPolicy => self.parameter("operator_policy", &id.vhost, id.part(0), None)?,
            Kind::Policy => {
                broker.delete_policy(&id.vhost, PolicyKind::User, id.part(0)).map(|_| ())?;
            }
            Kind::Parameter => self.parameter(id.part(0), &id.vhost, id.part(1), None)?,
            Kind::Permission => broker.clear_permission(id.part(0), &id.vhost).map(|_| ())?,
            Kind::TopicPermission => {
                broker.clear_topic_permissions(id.part(0), &id.vhost, Some(id.part(1))).map(|_| ())?;
            }
            Kind::Exchange | Kind::Queue | Kind::Binding => self.undeclare(id)?,
        }
        Ok(())
    }

    fn undeclare(&self, id: &Id) -> Result<()> {
        let (broker, vhost) = (&self.api.broker, self.vhost(&id.vhost)?);
        let rights = AccessRights::unlimited(&self.login.user, &vhost.name);
        let caller = Caller { rights: &rights, connection: None };
        match id.kind {
            Kind::Binding => broker.unbind(&vhost, &caller, &request(id)?)?,
            Kind::Exchange => {
                broker.delete_exchange(&vhost, &caller, &ExchangeName::new(id.part(0)), false)?;
            }
            _ => {
                let mut turn = Turn::at(broker.now());
                let guarded = !self.force;
                let name = QueueName::new(id.part(0));
                let deleted = broker.delete_queue(&vhost, &caller, &mut turn, &name, guarded, guarded);
                broker.finish(&mut turn);
                deleted?;
            }
        }
        Ok(())
    }
}

fn queue(id: &Id, body: &Map<String, Value>) -> Result<NewQueue> {
    Ok(NewQueue {
        name: QueueName::new(&super::super::paths::short("queue name", id.part(0))?),
        auto_delete: flag(body, "auto_delete"),
        arguments: arguments(body)?,
    })
}

fn exchange(id: &Id, body: &Map<String, Value>) -> Result<NewExchange> {
    Ok(NewExchange {
        name: ExchangeName::new(&super::super::paths::short("exchange name", id.part(0))?),
        kind: body.get("type").and_then(Value::as_str).unwrap_or_default().to_owned(),
        auto_delete: flag(body, "auto_delete"),
        internal: flag(body, "internal"),
        arguments: arguments(body)?,
    })
}

fn request(id: &Id) -> Result<BindingRequest> {
    let binding = id.as_binding().unwrap_or_default();
    Ok(BindingRequest {
        source: ExchangeName::new(&super::super::paths::short("source", &binding.source)?),
        kind: if binding.to_exchange { DestinationKind::Exchange } else { DestinationKind::Queue },
        destination: super::super::paths::short("destination", &binding.destination)?,
        routing_key: super::super::paths::short("routing_key", &binding.routing_key)?,
        arguments: tables::table(&binding.arguments)?,
    })
}
