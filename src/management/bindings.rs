//! Bindings: list, get, create, delete. Bindings with the same two ends are told apart by their properties key
//! (`binding_key`).

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use leveret_broker::bindings::BindingRequest;
use leveret_broker::definitions::DestinationKind;
use leveret_broker::listing::BindingView;
use leveret_broker::names::ExchangeName;
use leveret_broker::vhost::Vhost;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::{Login, OneOrAll};
use super::answer::{self, Query};
use super::body::{Body, object};
use super::error::{Refused, Result};
use super::tables::Table;
use super::{Api, binding_key, paths, tables};

fn kind_name(kind: DestinationKind) -> &'static str {
    match kind {
        DestinationKind::Queue => "queue",
        DestinationKind::Exchange => "exchange",
    }
}

/// A binding as shown in lists.
pub(super) fn shown(vhost: &Vhost, binding: &BindingView) -> Value {
    json!({
        "source": &*binding.source,
        "vhost": vhost.name.as_str(),
        "destination": &*binding.destination,
        "destination_type": kind_name(binding.kind),
        "routing_key": &*binding.routing_key,
        "arguments": Table(&binding.arguments),
        "properties_key": binding_key::of(binding),
    })
}

/// An absent queue, exchange or vhost has no bindings, as in `RabbitMQ`. Users who may not see a vhost do not learn
/// whether it exists.
fn bindings_of(
    api: &Api,
    login: &Login,
    vhost: &str,
    query: &Query,
    bindings: impl FnOnce(&Vhost) -> Vec<BindingView>,
) -> Result<Response> {
    let rows = match api.seen(login, vhost) {
        Ok(vhost) => bindings(&vhost).iter().map(|binding| shown(&vhost, binding)).collect(),
        Err(refused) if refused.is_missing() => Vec::new(),
        Err(refused) => return Err(refused),
    };
    answer::list(query, rows)
}

fn rows(api: &Api, login: &Login, vhost: &OneOrAll) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for vhost in api.one_or_all(login, vhost)? {
        rows.extend(vhost.bindings().iter().map(|binding| shown(&vhost, binding)));
    }
    Ok(rows)
}

/// `GET bindings` and `GET bindings/:vhost`.
pub(super) async fn list(
    State(api): State<Api>,
    login: Login,
    vhost: OneOrAll,
    query: Query,
) -> Result<Response> {
    answer::list(&query, rows(&api, &login, &vhost)?)
}

/// `GET queues/:vhost/:queue/bindings`.
pub(super) async fn of_queue(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    bindings_of(&api, &login, &vhost, &query, |vhost| vhost.bindings_to(DestinationKind::Queue, &name))
}

fn known(vhost: &Vhost, name: &str) -> Result<ExchangeName> {
    let name = paths::exchange(name)?;
    match vhost.exchange(name.as_str()) {
        Some(_) => Ok(name),
        None => Err(Refused::not_found("exchange_not_found")),
    }
}

/// `GET exchanges/:vhost/:exchange/bindings/source`.
pub(super) async fn from_exchange(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    let name = paths::exchange(&name)?;
    bindings_of(&api, &login, &vhost, &query, |vhost| vhost.bindings_from(name.as_str()))
}

/// `GET exchanges/:vhost/:exchange/bindings/destination`.
pub(super) async fn to_exchange(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    let name = paths::exchange(&name)?;
    bindings_of(&api, &login, &vhost, &query, |vhost| {
        vhost.bindings_to(DestinationKind::Exchange, name.as_str())
    })
}

/// Both ends, as given in a path.
struct Ends {
    source: ExchangeName,
    kind: DestinationKind,
    destination: String,
}

fn ends(vhost: &Vhost, source: &str, kind: &str, destination: &str) -> Result<Ends> {
    let source = known(vhost, source)?;
    match kind_of(kind)? {
        DestinationKind::Queue => {
            let name = paths::queue(destination)?.as_str().to_owned();
            vhost.queue(&name).ok_or_else(|| Refused::not_found("queue_not_found"))?;
            Ok(Ends { source, kind: DestinationKind::Queue, destination: name })
        }
        DestinationKind::Exchange => {
            let name = known(vhost, destination)?.as_str().to_owned();
            Ok(Ends { source, kind: DestinationKind::Exchange, destination: name })
        }
    }
}

fn kind_of(letter: &str) -> Result<DestinationKind> {
    match letter {
        "q" => Ok(DestinationKind::Queue),
        "e" => Ok(DestinationKind::Exchange),
        _ => Err(Refused::not_found("the destination is of type q or e")),
    }
}

impl Ends {
    fn between(&self, vhost: &Vhost) -> Vec<BindingView> {
        let mut bindings = vhost.bindings_to(self.kind, &self.destination);
        bindings.retain(|binding| &*binding.source == self.source.as_str());
        bindings
    }

    fn named(&self, vhost: &Vhost, key: &str) -> Result<BindingView> {
        binding_key::find(self.between(vhost), key).ok_or_else(|| Refused::not_found("binding_not_found"))
    }

    fn request(&self, binding: BindingView) -> BindingRequest {
        BindingRequest {
            source: self.source.clone(),
            kind: self.kind,
            destination: self.destination.clone(),
            routing_key: binding.routing_key.to_string(),
            arguments: binding.arguments,
        }
    }
}

type FourNames = Path<(String, String, String, String)>;
type FiveNames = Path<(String, String, String, String, String)>;

/// `GET bindings/:vhost/e/:exchange/:type/:destination`.
pub(super) async fn between(
    State(api): State<Api>,
    login: Login,
    Path((vhost, source, kind, destination)): FourNames,
    query: Query,
) -> Result<Response> {
    let (source, kind) = (paths::exchange(&source)?, kind_of(&kind)?);
    let destination = match kind {
        DestinationKind::Queue => destination,
        DestinationKind::Exchange => paths::exchange(&destination)?.as_str().to_owned(),
    };
    let ends = Ends { source, kind, destination };
    bindings_of(&api, &login, &vhost, &query, |vhost| ends.between(vhost))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct Properties {
    #[serde(default)]
    routing_key: String,
    #[serde(default, deserialize_with = "object")]
    arguments: Map<String, Value>,
}

/// `POST bindings/:vhost/e/:exchange/:type/:destination`.
pub(super) async fn post(
    State(api): State<Api>,
    login: Login,
    Path((vhost, source, kind, destination)): FourNames,
    Body(body): Body<Properties>,
) -> Result<Response> {
    let entered = api.enter(&login, &vhost)?;
    let ends = ends(&entered.vhost, &source, &kind, &destination)?;
    let binding = BindingView {
        source: ends.source.as_str().into(),
        kind: ends.kind,
        destination: ends.destination.as_str().into(),
        routing_key: paths::short("routing_key", &body.routing_key)?.into(),
        arguments: tables::table(&body.arguments)?,
        durable: false,
    };
    let key = binding_key::of(&binding);
    tokio::task::block_in_place(|| {
        api.broker.bind(&entered.vhost, &entered.caller(), &ends.request(binding))
    })?;
    // Relative to the request's own path, as in RabbitMQ: its clients parse it.
    let location = format!("{}/{}", paths::segment(&destination), paths::segment(&key));
    Ok((StatusCode::CREATED, [(LOCATION, location)]).into_response())
}

/// `GET bindings/:vhost/e/:exchange/:type/:destination/:properties`.
pub(super) async fn get(
    State(api): State<Api>,
    login: Login,
    Path((vhost, source, kind, destination, key)): FiveNames,
    query: Query,
) -> Result<Response> {
    let vhost = api.seen(&login, &vhost)?;
    let binding = ends(&vhost, &source, &kind, &destination)?.named(&vhost, &key)?;
    answer::one(&query, &shown(&vhost, &binding))
}

/// `DELETE bindings/:vhost/e/:exchange/:type/:destination/:properties`.
pub(super) async fn delete(
    State(api): State<Api>,
    login: Login,
    Path((vhost, source, kind, destination, key)): FiveNames,
) -> Result<Response> {
    let entered = api.enter(&login, &vhost)?;
    let ends = ends(&entered.vhost, &source, &kind, &destination)?;
    let request = ends.request(ends.named(&entered.vhost, &key)?);
    tokio::task::block_in_place(|| api.broker.unbind(&entered.vhost, &entered.caller(), &request))?;
    Ok(answer::done())
}
