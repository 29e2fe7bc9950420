//! `POST exchanges/:vhost/:exchange/publish`: a mandatory publish with a confirm.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use leveret_broker::expiration::expiration_ms;
use leveret_broker::names::ExchangeName;
use leveret_broker::publish::{Fate, Incoming, Publisher};
use leveret_broker::refusal::{Access, Refusal, Resource};
use leveret_broker::turn::Turn;
use leveret_message::properties::{Field, PropertiesEdit};
use leveret_message::table::TableRef;
use leveret_message::table::edit::table_contents;
use leveret_message::{Message, MessageMeta};
use leveret_store::{Broken, Synced, Waiter};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::access::Login;
use super::body::{Unread, object};
use super::error::{Refused, Result};
use super::{Api, Shared, paths, tables};

/// The text properties, by their names in JSON.
pub(super) const TEXTS: [(&str, Field); 10] = [
    ("content_type", Field::ContentType),
    ("content_encoding", Field::ContentEncoding),
    ("correlation_id", Field::CorrelationId),
    ("reply_to", Field::ReplyTo),
    ("expiration", Field::Expiration),
    ("message_id", Field::MessageId),
    ("type", Field::Type),
    ("user_id", Field::UserId),
    ("app_id", Field::AppId),
    ("cluster_id", Field::ClusterId),
];

/// How long a publish may wait while publishers are blocked.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bodies of at least this size are kept separate instead of being copied behind the message's other parts.
const APART_BYTES: usize = 32 * 1024;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct Publication {
    #[serde(default, deserialize_with = "object")]
    properties: Map<String, Value>,
    routing_key: String,
    payload: String,
    #[schema(inline)]
    payload_encoding: Encoding,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    String,
    Base64,
}

struct Done(Mutex<Option<oneshot::Sender<bool>>>);

impl Waiter for Done {
    fn synced(&self, _token: u64, outcome: std::result::Result<Synced, Broken>) {
        if let Some(done) = self.0.lock().take() {
            let _ = done.send(outcome.is_ok());
        }
    }
}

pub(super) async fn publish(
    State(api): State<Api>,
    login: Login,
    Path((vhost, exchange)): Path<(String, String)>,
    body: Unread,
) -> Result<Json<Value>> {
    let mut entered = api.enter(&login, &vhost)?;
    let exchange = paths::exchange(&exchange)?;
    // Checked before any routing, so that the answer does not depend on the key.
    entered.rights.check(Access::Write, &Resource::Exchange(exchange.clone()))?;
    let (message, headers) = api.message(&login, &exchange, body.object().await?)?;
    let waiting = api.broker.publisher_waits();
    let room = poll_fn(|context| waiting.poll(context.waker()));
    if tokio::time::timeout(PATIENCE, room).await.is_err() {
        return Err(Refused::unavailable("publishing is blocked; see health/checks/alarms"));
    }
    let (done, synced) = oneshot::channel();
    let (fate, refusal) = {
        let mut turn = Turn::at(api.broker.now());
        let mut publisher = Publisher::default();
        let incoming = std::iter::once(Incoming { message, headers, mandatory: true });
        let (fates, refusal) =
            publisher.publish(&api.broker, &entered.vhost, &mut entered.rights, &mut turn, incoming);
        let fate = fates.pop();
        if turn.unstorable {
            let _ = done.send(false);
        } else if turn.appended {
            let waiter: Arc<dyn Waiter> = Arc::new(Done(Mutex::new(Some(done))));
            api.broker.store().notify(&waiter, 1);
        } else {
            let _ = done.send(true);
        }
        tokio::task::block_in_place(|| api.broker.finish(&mut turn));
        (fate, refusal)
    };
    if let Some(refusal) = refusal {
        return Err(unpublished(refusal));
    }
    let routed = match fate {
        Some(Fate::Accepted) => true,
        Some(Fate::Returned(_)) => false,
        Some(Fate::Refused) | None => return Err(unable()),
    };
    match synced.await {
        Ok(true) => Ok(Json(json!({ "routed": routed }))),
        _ => Err(unable()),
    }
}

impl Shared {
    /// Waits until all changes so far are on disk. `false`: they never will be.
    pub(super) async fn flushed(&self) -> bool {
        let (done, synced) = oneshot::channel();
        let waiter: Arc<dyn Waiter> = Arc::new(Done(Mutex::new(Some(done))));
        self.broker.store().notify(&waiter, 1);
        synced.await.unwrap_or_default()
    }
}

/// For `RabbitMQ` a missing exchange is not a missing path but the reason of a channel closure.
fn unpublished(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::NotFound { .. } => Refused::bad_request(format!("404 NOT_FOUND - {refusal}")),
        Refusal::InternalExchange(..) => Refused::bad_request(format!("403 ACCESS_REFUSED - {refusal}")),
        other => other.into(),
    }
}

fn unable() -> Refused {
    Refused::bad_request("Unable to publish message. Check queue limits.")
}

impl Shared {
    fn message(
        &self,
        login: &Login,
        exchange: &ExchangeName,
        publication: Publication,
    ) -> Result<(Message, bool)> {
        let key = paths::short_text("routing_key", &publication.routing_key)?;
        let body = match publication.payload_encoding {
            Encoding::String => publication.payload.into_bytes(),
            Encoding::Base64 => STANDARD
                .decode(publication.payload)
                .map_err(|error| Refused::bad_request(format!("payload is not base64: {error}")))?,
        };
        let max = self.broker.limits().message_bytes_max;
        if body.len() as u64 > max {
            let text = format!("message size {} is larger than configured max size {max}", body.len());
            return Err(Refusal::Precondition(text).into());
        }
        let (raw, meta) = properties(&publication.properties, login)?;
        let headers = publication.properties.contains_key("headers");
        let (exchange, key) = (exchange.short(), key.short());
        let message = if body.len() < APART_BYTES {
            Message::new(exchange, key, &raw, &body, meta)
        } else {
            Message::with_large_body(exchange, key, &raw, Bytes::from(body), meta)
        };
        Ok((message, headers))
    }
}

fn whole(name: &str, value: &Value) -> Result<u64> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| Refused::bad_request(format!("{name} is not a whole number: {value}")))
}

fn octet(name: &str, value: &Value) -> Result<u8> {
    let number = whole(name, value)?;
    u8::try_from(number).map_err(|_| Refused::bad_request(format!("{name} is larger than 255")))
}

/// Encoded properties, and the metadata that queues need of them.
pub(super) fn properties(given: &Map<String, Value>, login: &Login) -> Result<(Vec<u8>, MessageMeta)> {
    let unreadable = |error: &dyn std::fmt::Display| Refused::bad_request(format!("properties: {error}"));
    let mut edit = PropertiesEdit::new(&[]).map_err(|error| unreadable(&error))?;
    let mut meta = MessageMeta::default();
    let mut headers = Vec::new();
    for (name, value) in given {
        match name.as_str() {
            "headers" => {
                let given = object(value).map_err(|why| Refused::bad_request(format!("headers: {why}")))?;
                headers = table_contents(&tables::table(&given)?);
                TableRef::new(&headers).map_err(|error| unreadable(&error))?;
            }
            "delivery_mode" => {
                let mode = octet(name, value)?;
                if ![1, 2].contains(&mode) {
                    return Err(Refused::bad_request(format!("delivery_mode is 1 or 2, not {mode}")));
                }
                meta.persistent = mode == 2;
                edit.set_delivery_mode(mode);
            }
            "priority" => {
                let priority = octet(name, value)?;
                meta.priority = Some(priority);
                edit.set_priority(priority);
            }
            "timestamp" => {
                edit.set_timestamp(whole(name, value)?);
            }
            _ => {
                let field = TEXTS.iter().find(|(known, _)| known == name).map(|(_, field)| *field);
                // Unknown properties are ignored, as in RabbitMQ.
                let Some(field) = field else { continue };
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    _ => return Err(Refused::bad_request(format!("{name} is not a text"))),
                };
                if text.len() > 255 {
                    return Err(Refused::bad_request(format!("{name} is longer than 255 bytes")));
                }
                check(field, &text, login, &mut meta)?;
                edit.set_text(field, text.as_bytes());
            }
        }
    }
    if given.contains_key("headers") {
        edit.set_headers(&headers);
    }
    Ok((edit.finish(), meta))
}

fn check(field: Field, text: &str, login: &Login, meta: &mut MessageMeta) -> Result<()> {
    if field == Field::Expiration {
        meta.expiration_ms = Some(expiration_ms(text.as_bytes()).map_err(Refused::bad_request)?);
    }
    let impersonates = login.tags.iter().any(|tag| tag == "impersonator");
    if field == Field::UserId && text != login.user.as_str() && !impersonates {
        let user = login.user.as_str();
        return Err(Refused::bad_request(format!(
            "user_id property set to '{text}' but authenticated user was '{user}'"
        )));
    }
    Ok(())
}
