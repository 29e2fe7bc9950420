//! `POST queues/:vhost/:queue/get`: messages are taken first, and requeued or settled once all are taken
//! (docs/http-api.md). `peek`, Leveret only, reads them in place.

use std::future::poll_fn;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leveret_broker::Broker;
use leveret_broker::queue_handle::{GetOutcome, Peek, PeekedMessage, QueueHandle, Retry};
use leveret_broker::turn::Turn;
use leveret_message::Message;
use leveret_message::properties::Properties;
use leveret_queues::{Requeue, Token};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::access::Login;
use super::body::{Body, number};
use super::error::{Refused, Result};
use super::tables::Table;
use super::{Api, paths};
use crate::net::tasks::ASIDE;

/// Maximum body bytes in one answer; further messages wait for the next request.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Maximum messages in one answer.
const ANSWER_MESSAGES_MAX: u64 = 10_000;

/// Maximum offset of a peek.
const PEEK_OFFSET_MAX: u64 = 100_000;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct Wish {
    #[serde(deserialize_with = "number")]
    count: u64,
    #[schema(inline)]
    ackmode: AckMode,
    #[schema(inline)]
    encoding: Encoding,
    truncate: Option<usize>,
    offset: Option<u64>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum AckMode {
    /// Nothing is taken.
    Peek,
    AckRequeueTrue,
    AckRequeueFalse,
    RejectRequeueTrue,
    RejectRequeueFalse,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Encoding {
    Auto,
    Base64,
}

/// Messages taken from a queue. Dropping this requeues them: a client that disconnects midway takes none.
struct Taken {
    broker: Arc<Broker>,
    queue: Arc<QueueHandle>,
    tokens: Vec<Token>,
    end: AckMode,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.tokens.is_empty() {
            return;
        }
        let mut turn = Turn::at(self.broker.now());
        turn.does_aside(ASIDE);
        match self.end {
            AckMode::AckRequeueFalse => self.queue.settle(&mut turn, &self.tokens),
            AckMode::RejectRequeueFalse => self.queue.reject(&mut turn, &self.tokens),
            AckMode::Peek | AckMode::AckRequeueTrue | AckMode::RejectRequeueTrue => {
                self.queue.requeue(&mut turn, &self.tokens, Requeue::Nack);
            }
        }
        self.broker.finish(&mut turn);
    }
}

pub(super) async fn get(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    Body(wish): Body<Wish>,
) -> Result<Json<Vec<Value>>> {
    let entered = api.enter(&login, &vhost)?;
    let name = paths::queue(&name)?;
    let queue = api.broker.readable_queue(&entered.vhost, &entered.caller(), &name)?;
    if wish.ackmode == AckMode::Peek {
        return peek(&api, &queue, &wish).await.map(Json);
    }
    if wish.offset.is_some() {
        return Err(Refused::bad_request("offset goes with ackmode peek only"));
    }
    let mut taken = Taken {
        broker: Arc::clone(&api.broker),
        queue: Arc::clone(&queue),
        tokens: Vec::new(),
        end: AckMode::RejectRequeueTrue,
    };
    let mut shown = Vec::new();
    let mut bytes = 0;
    let count = wish.count.min(ANSWER_MESSAGES_MAX);
    while (shown.len() as u64) < count && bytes < ANSWER_BYTES_MAX {
        let mut turn = Turn::at(api.broker.now());
        turn.does_aside(ASIDE);
        let got = queue.get(&mut turn, false);
        api.broker.finish(&mut turn);
        match got? {
            GetOutcome::Message(delivery, left) => {
                taken.tokens.extend(delivery.token);
                bytes += delivery.message.body_len();
                let counted = queue.with_counts(&delivery);
                let message = counted.as_ref().unwrap_or(&delivery.message);
                shown.push(shown_as(message, delivery.redelivered, None, left, &wish));
            }
            GetOutcome::Empty => break,
            GetOutcome::NotYet => poll_fn(|context| queue.poll_head(context.waker())).await,
        }
    }
    taken.end = wish.ackmode;
    tokio::task::block_in_place(|| drop(taken));
    Ok(Json(shown))
}

/// Messages in place, after the first `offset`.
async fn peek(api: &Api, queue: &Arc<QueueHandle>, wish: &Wish) -> Result<Vec<Value>> {
    let offset = wish.offset.unwrap_or(0);
    if offset > PEEK_OFFSET_MAX {
        return Err(Refused::bad_request(format!("offset is at most {PEEK_OFFSET_MAX}")));
    }
    let now = api.broker.now();
    let count = usize::try_from(wish.count.min(ANSWER_MESSAGES_MAX)).unwrap_or(usize::MAX);
    let (places, all) = queue.peek(now, offset, count)?;
    let (mut shown, mut bytes) = (Vec::new(), 0);
    let mut show = |seen: PeekedMessage| {
        if shown.len() < count && bytes < ANSWER_BYTES_MAX {
            bytes += seen.message.body_len();
            let left = all.saturating_sub(offset + shown.len() as u64 + 1);
            shown.push(shown_as(&seen.message, seen.redelivered, seen.retry, left, wish));
        }
        (bytes < ANSWER_BYTES_MAX).then(|| count - shown.len()).filter(|left| *left > 0)
    };
    let mut left = Some(count);
    for place in places {
        let mut range = match place {
            Peek::Here(seen) => {
                left = show(seen);
                None
            }
            Peek::OnDisk(range) => Some(range),
        };
        while let (Some(here), Some(count)) = (range, left) {
            let (answer, read) = oneshot::channel();
            queue.read_range(now, here, count, move |read| drop(answer.send(read)));
            let read = read.await.ok().flatten();
            let (found, rest) = read
                .ok_or_else(|| Refused::unavailable("the store cannot be read; see health/checks/alarms"))?;
            for seen in found {
                left = show(seen);
            }
            range = rest;
        }
        if left.is_none() {
            break;
        }
    }
    Ok(shown)
}

/// A body, possibly truncated, and its encoding.
pub(super) fn payload(body: &[u8], truncate: Option<usize>, encoding: Encoding) -> (String, &'static str) {
    let cut = &body[..body.len().min(truncate.unwrap_or(usize::MAX))];
    let text = (encoding == Encoding::Auto).then(|| std::str::from_utf8(cut).ok()).flatten();
    match text {
        Some(text) => (text.to_owned(), "string"),
        None => (STANDARD.encode(cut), "base64"),
    }
}

fn shown_as(message: &Message, redelivered: bool, retry: Option<Retry>, left: u64, wish: &Wish) -> Value {
    let body = message.body();
    let (payload, encoding) = payload(body, wish.truncate, wish.encoding);
    let mut shown = json!({
        "payload_bytes": body.len(),
        "redelivered": redelivered,
        "exchange": String::from_utf8_lossy(message.exchange()),
        "routing_key": String::from_utf8_lossy(message.routing_key()),
        "message_count": left,
        "properties": properties(message.properties()),
        "payload": payload,
        "payload_encoding": encoding,
    });
    if let Some(retry) = retry {
        shown["retry_due"] = retry.due.0.into();
        shown["delivery_count"] = retry.delivery_count.into();
    }
    shown
}

/// A message's properties, under `RabbitMQ`'s names.
pub(super) fn properties(raw: &[u8]) -> Value {
    let mut shown = Map::new();
    let Ok(properties) = Properties::parse(raw) else { return Value::Object(shown) };
    for (name, field) in super::publish::TEXTS {
        if let Some(text) = properties.text(field) {
            shown.insert(name.to_owned(), json!(super::tables::legible(text)));
        }
    }
    if let Some(headers) = properties.headers().and_then(|headers| headers.to_field_table().ok()) {
        shown.insert("headers".to_owned(), json!(Table(&headers)));
    }
    for (name, value) in [
        ("delivery_mode", properties.delivery_mode().map(u64::from)),
        ("priority", properties.priority().map(u64::from)),
        ("timestamp", properties.timestamp()),
    ] {
        if let Some(value) = value {
            shown.insert(name.to_owned(), json!(value));
        }
    }
    Value::Object(shown)
}
