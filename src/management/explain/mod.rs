//! `GET` and `POST explain/:vhost`: what the broker would do with a message, hop by hop. Nothing is published.
//!
//! Whoever may see a vhost may ask, for its own permissions; for those of others, administrators.

mod schema;
mod words;

use axum::Json;
use axum::extract::{Path, State};
use leveret_broker::explain::{Arrival, Asked, DeadLetterWay, DuplicateCheck, Explained, Hop, Outcome};
use leveret_broker::names::UserName;
use leveret_broker::users::AccessRights;
use leveret_broker::vhost::Vhost;
use leveret_exchanges::{Reached, Why};
use leveret_message::Message;
use leveret_queues::Overflow;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::Login;
use super::answer::Query;
use super::body::{Unread, object};
use super::error::{Refused, Result};
use super::openapi::{Gives, Routes, body, whole};
use super::policies::name_of;
use super::publish::properties;
use super::queue_row::{date, kind};
use super::tables::legible;
use super::{Api, Shared, bindings, paths};

/// The routes.
pub(super) fn routes() -> Routes {
    let operations =
        whole("What would happen to a message, without publishing it", &schema::EXPLANATION, by_query)
            .query("exchange", "The exchange; the default exchange if nothing is said.")
            .query("routing_key", "The routing key.")
            .query("headers", "The headers, as a JSON object.")
            .query("user", "Whose permissions are checked; another user's for administrators only.")
            .post(
                "The same for a message with properties",
                body::<Question>(),
                Gives::One(&schema::EXPLANATION),
                by_body,
            );
    Routes::about("Diagnosis").at("/explain/{vhost}", operations)
}

#[derive(Deserialize, utoipa::ToSchema)]
struct Question {
    /// The exchange; the default exchange if nothing is said.
    #[serde(default)]
    exchange: String,
    #[serde(default)]
    routing_key: String,
    /// As of a publish: `headers`, `delivery_mode`, `priority`, `expiration` ...
    #[serde(default, deserialize_with = "object")]
    properties: Map<String, Value>,
    /// Size of the body, for limits in bytes.
    #[serde(default)]
    payload_bytes: u64,
    /// Whose permissions are checked; another user's for administrators only.
    #[serde(default)]
    user: Option<String>,
}

/// `GET explain/:vhost`.
async fn by_query(
    State(api): State<Api>,
    login: Login,
    Path(vhost): Path<String>,
    query: Query,
) -> Result<Json<Value>> {
    let given = |name: &str| query.get(name).cloned();
    let mut properties = Map::new();
    if let Some(text) = given("headers").filter(|text| !text.is_empty()) {
        let headers: Value = serde_json::from_str(&text)
            .map_err(|error| Refused::bad_request(format!("headers: not_json: {error}")))?;
        properties.insert("headers".to_owned(), headers);
    }
    let question = Question {
        exchange: given("exchange").unwrap_or_default(),
        routing_key: given("routing_key").unwrap_or_default(),
        properties,
        payload_bytes: 0,
        user: given("user"),
    };
    api.explained(&login, &vhost, &question).map(Json)
}

/// `POST explain/:vhost`.
async fn by_body(
    State(api): State<Api>,
    login: Login,
    Path(vhost): Path<String>,
    body: Unread,
) -> Result<Json<Value>> {
    api.seen(&login, &vhost)?;
    let question = body.object().await?;
    tokio::task::block_in_place(|| api.explained(&login, &vhost, &question)).map(Json)
}

impl Shared {
    fn explained(&self, login: &Login, vhost: &str, question: &Question) -> Result<Value> {
        let vhost = self.seen(login, vhost)?;
        let exchange = paths::exchange(&question.exchange)?;
        let key = paths::short_text("routing_key", &question.routing_key)?;
        let (user, rights) = self.publisher(login, &vhost, question.user.as_deref())?;
        let (raw, meta) = properties(&question.properties, login)?;
        let message = Message::new(exchange.short(), key.short(), &raw, &[], meta);
        let asked = Asked { message: &message, body_bytes: question.payload_bytes, rights: rights.as_ref() };
        let explained = self.broker.explain(&vhost, &asked);
        Ok(shown(&vhost, exchange.as_str(), &user, &explained))
    }

    fn publisher(
        &self,
        login: &Login,
        vhost: &Vhost,
        user: Option<&str>,
    ) -> Result<(UserName, Option<AccessRights>)> {
        let users = &self.broker.users;
        let Some(name) = user.filter(|name| !name.is_empty() && *name != login.user.as_str()) else {
            return Ok((login.user.clone(), login.identity.rights(users, &vhost.name)));
        };
        login.administrator()?;
        if users.user(name).is_none() {
            return Err(Refused::not_found("user_not_found"));
        }
        let name = UserName::new(&paths::short("user", name)?);
        let rights = AccessRights::of(users, &name, &vhost.name);
        Ok((name, rights))
    }
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refused => "refused",
        Outcome::Duplicate => "duplicate",
        Outcome::Rejected => "rejected",
        Outcome::Queued => "queued",
        Outcome::Held => "held",
        Outcome::Unroutable => "unroutable",
    }
}

fn texts(keys: &[Vec<u8>]) -> Vec<String> {
    keys.iter().map(|key| legible(key).into_owned()).collect()
}

fn shown(vhost: &Vhost, exchange: &str, user: &UserName, explained: &Explained) -> Value {
    let hops: Vec<Value> = explained.hops.iter().map(|one| hop(vhost, one, explained)).collect();
    let queues: Vec<Value> = explained.queues.iter().map(queue).collect();
    json!({
        "vhost": vhost.name.as_str(),
        "exchange": exchange,
        "routing_keys": texts(&explained.keys),
        "user": user.as_str(),
        "outcome": outcome(explained.outcome),
        "summary": words::summary(explained),
        "refusal": explained.refusal.as_ref().map(ToString::to_string),
        "permissions": {
            "enter": explained.permitted.enter,
            "write": explained.permitted.write,
            "topic": explained.permitted.topic,
        },
        "hops": hops,
        "hop_count": explained.hop_count,
        "queues": queues,
        "queue_count": explained.queue_count,
    })
}

fn duplicates(found: Option<&DuplicateCheck>) -> Value {
    found.map_or(
        Value::Null,
        |found| json!({ "header": found.header, "present": found.present, "duplicate": found.duplicate }),
    )
}

fn hop(vhost: &Vhost, hop: &Hop, explained: &Explained) -> Value {
    let (reached, from) = match &hop.reached {
        Reached::Published if hop.after_delay => ("release", None),
        Reached::Published => ("publish", None),
        Reached::Bound(from) => ("binding", Some(from)),
        Reached::Alternate(from) => ("alternate", Some(from)),
    };
    let list = |words: &[leveret_exchanges::Word]| -> Vec<Value> {
        words
            .iter()
            .map(|word| json!({ "pattern": word.pattern, "key": word.key, "matches": word.matches }))
            .collect()
    };
    let matched = hop
        .matched
        .iter()
        .map(|(binding, words)| json!({ "binding": bindings::shown(vhost, binding), "words": list(words) }));
    let missed = hop.missed.iter().map(|(binding, why)| {
        let (words, headers) = match why {
            Why::Words(words) => (list(words), Vec::new()),
            Why::Headers(headers) => (
                Vec::new(),
                headers
                    .iter()
                    .map(|header| json!({ "header": legible(&header.header), "absent": header.absent }))
                    .collect(),
            ),
            _ => (Vec::new(), Vec::new()),
        };
        json!({
            "binding": bindings::shown(vhost, binding),
            "why": words::why(why, binding, hop, explained),
            "words": words,
            "headers": headers,
        })
    });
    json!({
        "exchange": &*hop.exchange.name,
        "type": hop.exchange.kind.name(),
        "inner_type": hop.exchange.kind.inner.name(),
        "internal": hop.exchange.internal,
        "reached": reached,
        "from": from.map(|from| &**from),
        "after_delay": hop.after_delay,
        "held_until": hop.held_until.map(date),
        "picks_one": hop.picks_one,
        "remembers": hop.remembers,
        "deduplication": duplicates(hop.duplicates.as_ref()),
        "policy": name_of(hop.policies.policy.as_deref()),
        "operator_policy": name_of(hop.policies.operator.as_deref()),
        "alternate": hop.alternate.as_ref().map(|alternate| {
            json!({ "exchange": alternate.name, "exists": alternate.exists, "used": alternate.used })
        }),
        "matched": matched.collect::<Vec<_>>(),
        "matched_count": hop.matched_count,
        "unmatched": missed.collect::<Vec<_>>(),
        "unmatched_count": hop.missed_count,
        "unexamined_count": hop.unexamined,
    })
}

/// The name in `x-overflow`.
const fn overflow(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::DropHead => "drop-head",
        Overflow::RejectPublish => "reject-publish",
        Overflow::RejectPublishDeadLetter => "reject-publish-dlx",
    }
}

fn queue(arrival: &Arrival) -> Value {
    let (view, settings) = (&arrival.view, &arrival.view.settings);
    json!({
        "name": arrival.queue.name.as_str(),
        "type": kind(&arrival.queue).name(),
        "durable": settings.durable,
        "after_delay": arrival.after_delay,
        "policy": name_of(view.matched.policy.as_deref()),
        "operator_policy": name_of(view.matched.operator.as_deref()),
        "messages_ready": view.counts.ready,
        "messages_unacknowledged": view.counts.unacked,
        "consumers": view.counts.consumers,
        "written": arrival.written,
        "priority": arrival.priority,
        "ttl": arrival.ttl_ms,
        "max_length": settings.max_length,
        "max_length_bytes": settings.max_bytes,
        "overflow": overflow(settings.overflow),
        "full": arrival.full.is_some(),
        "delivery_limit": settings.delivery_limit,
        "deduplication": duplicates(arrival.duplicates.as_ref()),
        "dead_letters": arrival.dead_letters.as_ref().map(dead_letters),
        "effects": words::effects(arrival),
    })
}

fn dead_letters(way: &DeadLetterWay) -> Value {
    let queues: Vec<&str> = way.queues.iter().map(|queue| queue.name.as_str()).collect();
    json!({
        "exchange": way.exchange.as_str(),
        "exists": way.exists,
        "routing_keys": texts(&way.keys),
        "held": way.held,
        "queues": queues,
        "queue_count": way.queue_count,
        "cycle_count": way.cycles,
    })
}
