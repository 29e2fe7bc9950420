//! Messages waiting in an `x-delayed-message` exchange: list, get, drop, release, reschedule. Leveret only.
//!
//! Listing and dropping need the read permission, as getting from and purging a queue do; releasing and rescheduling
//! also need write.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use leveret_broker::delay::PendingId;
use leveret_broker::delay_room::DelayRoom;
use leveret_broker::refusal::{Access, Refusal, Resource};
use leveret_broker::turn::Turn;
use leveret_message::{Message, Millis, Seq};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::access::Login;
use super::answer::{self, Query};
use super::body::Body;
use super::error::{Refused, Result};
use super::{Api, Shared, get, paths};

/// Default and maximum page size: the bodies of all messages may have to be read.
const PAGE_SIZE: usize = 50;
const PAGE_SIZE_MAX: usize = 100;

/// Default limit on the body bytes shown.
const BODY_BYTES: usize = 64 * 1024;

/// The latest due time that clients can read exactly as a JSON number.
const DUE_MAX: u64 = 1 << 53;

impl Shared {
    fn delay_room(
        &self,
        login: &Login,
        vhost: &str,
        exchange: &str,
        wanted: &[Access],
    ) -> Result<Arc<DelayRoom>> {
        let entered = self.enter(login, vhost)?;
        let name = paths::exchange(exchange)?;
        entered.vhost.exchange(name.as_str()).ok_or_else(|| Refused::not_found("exchange_not_found"))?;
        for access in wanted {
            entered.rights.check(*access, &Resource::Exchange(name.clone()))?;
        }
        let delay_room = entered.vhost.delay_room(name.as_str());
        delay_room.ok_or_else(|| Refused::not_found("this exchange does not delay messages"))
    }
}

fn text(id: PendingId) -> String {
    format!("{}-{}", id.due.0, id.seq.0)
}

fn id(text: &str) -> Result<PendingId> {
    let parsed = text.split_once('-').and_then(|(due, seq)| {
        Some(PendingId { due: Millis(due.parse().ok()?), seq: Seq(seq.parse().ok()?) })
    });
    parsed.ok_or_else(|| Refused::bad_request(format!("{text} does not name a delayed message")))
}

fn gone(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::Precondition(text) => Refused::not_found(text),
        other => other.into(),
    }
}

/// `None`: the message is no longer waiting.
async fn look(delay_room: &Arc<DelayRoom>, id: PendingId) -> Option<Message> {
    let (answer, message) = oneshot::channel();
    delay_room.look(id, move |message| drop(answer.send(message)));
    message.await.ok().flatten()
}

fn shown(id: PendingId, message: &Message) -> Value {
    json!({
        "id": text(id),
        "due": id.due.0,
        "routing_key": String::from_utf8_lossy(message.routing_key()),
        "properties": get::properties(message.properties()),
        "payload_bytes": message.body_len(),
        "persistent": message.meta().persistent,
    })
}

/// `GET exchanges/:vhost/:exchange/delayed`: by due time, one page after `after` at a time.
pub(super) async fn list(
    State(api): State<Api>,
    login: Login,
    Path((vhost, exchange)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Value>> {
    let delay_room = api.delay_room(&login, &vhost, &exchange, &[Access::Read])?;
    let size = query.get("page_size").map_or(Ok(PAGE_SIZE), |size| size.parse());
    let size = size.ok().filter(|size| (1..=PAGE_SIZE_MAX).contains(size));
    let size = size.ok_or_else(|| Refused::bad_request(format!("page_size must be 1 to {PAGE_SIZE_MAX}")))?;
    let after = query.get("after").map(|after| id(after)).transpose()?;
    let mut ids = delay_room.list(after, size + 1);
    let more = ids.len() > size;
    ids.truncate(size);
    let mut items = Vec::with_capacity(ids.len());
    for id in &ids {
        items.extend(look(&delay_room, *id).await.map(|message| shown(*id, &message)));
    }
    let next = ids.last().filter(|_| more).map(|id| text(*id));
    Ok(Json(json!({ "total": delay_room.count(), "items": items, "next": next })))
}

/// `GET exchanges/:vhost/:exchange/delayed/:id`: includes up to `truncate` bytes of the body.
pub(super) async fn one(
    State(api): State<Api>,
    login: Login,
    Path((vhost, exchange, name)): Path<(String, String, String)>,
    query: Query,
) -> Result<Json<Value>> {
    let delay_room = api.delay_room(&login, &vhost, &exchange, &[Access::Read])?;
    let id = id(&name)?;
    let message =
        look(&delay_room, id).await.ok_or_else(|| Refused::not_found("the message waits no longer"))?;
    let truncate = query.get("truncate").and_then(|bytes| bytes.parse().ok()).unwrap_or(BODY_BYTES);
    let (payload, encoding) = get::payload(message.body(), Some(truncate), get::Encoding::Auto);
    let mut shown = shown(id, &message);
    shown["payload"] = payload.into();
    shown["payload_encoding"] = encoding.into();
    Ok(Json(shown))
}

/// `DELETE exchanges/:vhost/:exchange/delayed/:id`: drops the message.
pub(super) async fn cancel(
    State(api): State<Api>,
    login: Login,
    Path((vhost, exchange, name)): Path<(String, String, String)>,
) -> Result<Response> {
    let delay_room = api.delay_room(&login, &vhost, &exchange, &[Access::Read])?;
    let id = id(&name)?;
    api.change(|turn, done| delay_room.cancel(turn, id).inspect(|()| done(true))).await
}

/// `POST exchanges/:vhost/:exchange/delayed/:id/release`: routes the message now, as if it were due.
pub(super) async fn release(
    State(api): State<Api>,
    login: Login,
    Path((vhost, exchange, name)): Path<(String, String, String)>,
) -> Result<Response> {
    let delay_room = api.delay_room(&login, &vhost, &exchange, &[Access::Read, Access::Write])?;
    let id = id(&name)?;
    api.change(|turn, done| delay_room.release_now(turn, id, done)).await
}

/// Another time: an instant in milliseconds since 1970, or so many from now.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Time {
    due: Option<u64>,
    delay: Option<u64>,
}

/// `PUT exchanges/:vhost/:exchange/delayed/:id`: gives the message a new due time, and a new id.
pub(super) async fn reschedule(
    State(api): State<Api>,
    login: Login,
    Path((vhost, exchange, name)): Path<(String, String, String)>,
    Body(time): Body<Time>,
) -> Result<Response> {
    let delay_room = api.delay_room(&login, &vhost, &exchange, &[Access::Read, Access::Write])?;
    let id = id(&name)?;
    let due = match (time.due, time.delay) {
        (Some(due), None) => due,
        (None, Some(delay)) => api.broker.now().0.saturating_add(delay),
        _ => return Err(Refused::bad_request("say either due or delay, in milliseconds")),
    };
    if due > DUE_MAX {
        return Err(Refused::bad_request("due is too far away"));
    }
    api.change(|turn, done| delay_room.reschedule(turn, id, Millis(due), done)).await
}

type Done = Box<dyn FnOnce(bool) + Send>;

impl Shared {
    /// Returns when the change is on disk.
    async fn change(
        &self,
        work: impl FnOnce(&mut Turn, Done) -> std::result::Result<(), Refusal>,
    ) -> Result<Response> {
        let (done, found) = oneshot::channel();
        tokio::task::block_in_place(|| {
            let mut turn = Turn::at(self.broker.now());
            let worked = work(
                &mut turn,
                Box::new(move |found| {
                    let _ = done.send(found);
                }),
            );
            self.broker.finish(&mut turn);
            worked
        })
        .map_err(gone)?;
        if found.await.unwrap_or_default() && self.flushed().await {
            Ok(answer::done())
        } else {
            Err(Refused::unavailable("the store cannot be read or written; see health/checks/alarms"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let pending = PendingId { due: Millis(1_700_000_000_000), seq: Seq(42) };
        assert_eq!(id(&text(pending)), Ok(pending));
        for wrong in ["", "1", "1-", "-1", "a-b", "1-2-3", "99999999999999999999-1"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }
}
