//! Definitions as exported by `RabbitMQ`: of everything, or of one vhost (docs/http-api.md).
//! Omitted: exclusive queues, predeclared exchanges, the default exchange's implicit bindings.

use axum::extract::{Path, State};
use axum::response::Response;
use leveret_broker::definitions::DestinationKind;
use leveret_broker::listing::exchange_arguments;
use leveret_broker::policies::PolicyKind;
use leveret_broker::vhost::Vhost;
use serde_json::{Map, Value, json};

use super::access::{Level, Login};
use super::answer::{self, Query};
use super::error::{Refused, Result};
use super::node_info::COMPATIBLE_WITH;
use super::tables::Table;
use super::{Api, Shared, accounts};

/// `GET definitions`.
pub(super) async fn cluster(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    login.administrator()?;
    answer::one(&query, &everything(&api))
}

/// `GET definitions/:vhost`.
pub(super) async fn of_vhost(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    may_see(&api, &login, &name)?;
    let vhost = api.seen(&login, &name)?;
    let mut shown = head(&api, "single_virtual_host");
    let record = vhost.record.read().clone();
    shown.insert("original_vhost_name".to_owned(), json!(name));
    shown.insert("metadata".to_owned(), json!({ "description": record.description, "tags": record.tags }));
    shown.insert("description".to_owned(), json!(record.description));
    shown.insert("default_queue_type".to_owned(), json!(record.default_queue_type));
    shown.insert("limits".to_owned(), json!(&*vhost.limits.read()));
    let mut declared = Declared::default();
    declared.add(&vhost, false);
    declared.write(&mut shown);
    answer::one(&query, &Value::Object(shown))
}

/// A vhost's definitions are visible to administrators, and to policymakers with access to it.
fn may_see(api: &Shared, login: &Login, vhost: &str) -> Result<()> {
    if login.is(Level::Administrator) {
        return Ok(());
    }
    login.must_be(Level::Policymaker)?;
    if login.identity.may_enter(&api.broker.users, vhost) {
        Ok(())
    } else {
        Err(Refused::not_authorized("User not authorized to access virtual host"))
    }
}

fn head(api: &Shared, format: &str) -> Map<String, Value> {
    let cluster = api.broker.cluster_name();
    let product = api.broker.product();
    let compatible_with = product.rabbitmq_version().unwrap_or(COMPATIBLE_WITH);
    let explanation = format!("Definitions of cluster '{cluster}'");
    let mut shown = Map::new();
    for (name, value) in [
        ("rabbit_version", compatible_with),
        ("rabbitmq_version", compatible_with),
        ("product_name", &product.name),
        ("product_version", &product.version),
        ("rabbitmq_definition_format", format),
        ("original_cluster_name", &cluster),
        ("explanation", &explanation),
    ] {
        shown.insert(name.to_owned(), json!(value));
    }
    shown
}

/// Declared objects.
#[derive(Default)]
struct Declared {
    queues: Vec<Value>,
    exchanges: Vec<Value>,
    bindings: Vec<Value>,
    parameters: Vec<Value>,
    policies: Vec<Value>,
}

impl Declared {
    fn add(&mut self, vhost: &Vhost, with_vhost: bool) {
        let place = |mut value: Value| {
            if with_vhost && let Some(object) = value.as_object_mut() {
                object.insert("vhost".to_owned(), json!(vhost.name.as_str()));
            }
            value
        };
        for mut parameter in super::parameters::of_vhost(vhost) {
            if !with_vhost && let Some(object) = parameter.as_object_mut() {
                object.remove("vhost");
            }
            self.parameters.push(parameter);
        }
        for policy in vhost.policies().of(PolicyKind::User) {
            let mut policy = super::policies::shown(vhost, policy);
            if !with_vhost && let Some(object) = policy.as_object_mut() {
                object.remove("vhost");
            }
            self.policies.push(policy);
        }
        let mut queues = vhost.queues();
        queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let exclusive = |name: &str| {
            queues
                .binary_search_by(|queue| queue.name.as_str().cmp(name))
                .is_ok_and(|found| queues[found].exclusive_owner.is_some())
        };
        for queue in queues.iter().filter(|queue| queue.exclusive_owner.is_none()) {
            self.queues.push(place(json!({
                "name": queue.name.as_str(),
                "durable": queue.durable(),
                "auto_delete": queue.auto_delete(),
                "arguments": Table(&queue.arguments()),
            })));
        }
        let own = |exchange: &leveret_exchanges::ExchangeInfo| {
            !exchange.name.is_empty() && !leveret_exchanges::names::is_predeclared(&exchange.name)
        };
        for exchange in vhost.exchanges().iter().filter(|exchange| own(exchange)) {
            self.exchanges.push(place(json!({
                "name": &*exchange.name,
                "type": exchange.kind.name(),
                "durable": exchange.durable,
                "auto_delete": exchange.auto_delete,
                "internal": exchange.internal,
                "arguments": Table(&exchange_arguments(exchange)),
            })));
        }
        for binding in vhost.bindings() {
            let to_queue = binding.kind == DestinationKind::Queue;
            if binding.source.is_empty() || (to_queue && exclusive(&binding.destination)) {
                continue;
            }
            self.bindings.push(place(json!({
                "source": &*binding.source,
                "destination": &*binding.destination,
                "destination_type": if to_queue { "queue" } else { "exchange" },
                "routing_key": &*binding.routing_key,
                "arguments": Table(&binding.arguments),
            })));
        }
    }

    fn write(self, shown: &mut Map<String, Value>) {
        shown.insert("queues".to_owned(), Value::Array(self.queues));
        shown.insert("exchanges".to_owned(), Value::Array(self.exchanges));
        shown.insert("bindings".to_owned(), Value::Array(self.bindings));
        shown.insert("parameters".to_owned(), Value::Array(self.parameters));
        shown.insert("policies".to_owned(), Value::Array(self.policies));
    }
}

/// All definitions.
pub(super) fn everything(api: &Shared) -> Value {
    let mut shown = head(api, "cluster");
    let users = &api.broker.users;
    let all: Vec<_> =
        users.all().iter().map(|(name, record)| accounts::exported(api, name, record)).collect();
    shown.insert("users".to_owned(), json!(all));
    let all = users.permissions();
    let all: Vec<_> =
        all.iter().map(|(user, vhost, record)| accounts::permission(user, vhost, record)).collect();
    shown.insert("permissions".to_owned(), json!(all));
    let mut declared = Declared::default();
    let mut vhosts = Vec::new();
    for vhost in api.broker.vhosts() {
        let record = vhost.record.read().clone();
        vhosts.push(json!({
            "name": vhost.name.as_str(),
            "description": record.description,
            "tags": record.tags,
            "default_queue_type": record.default_queue_type,
            "metadata": { "description": record.description, "tags": record.tags },
            "limits": &*vhost.limits.read(),
            "tracing": record.tracing,
        }));
        declared.add(&vhost, true);
    }
    shown.insert("vhosts".to_owned(), json!(vhosts));
    let topics = users.topic_permissions().into_iter().map(|(user, vhost, exchange, record)| {
        super::topic_permissions::shown(&user, &vhost, &exchange, &record)
    });
    shown.insert("topic_permissions".to_owned(), Value::Array(topics.collect()));
    shown.insert("global_parameters".to_owned(), Value::Array(super::parameters::global(api)));
    declared.write(&mut shown);
    Value::Object(shown)
}
