//! `POST queues/:vhost/:queue/redrive`: messages of a queue go back to where they came from, or to a queue or
//! exchange that is named; in order, and so many at a time. Ours alone.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use leveret_queues::queue::{Requeue, Token};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Entered, Login};
use super::body::Body;
use super::error::{Refused, Result};
use super::{Api, paths};
use crate::broker::Broker;
use crate::broker::names::ExchangeName;
use crate::broker::queue_handle::{GetOutcome, QueueHandle};
use crate::broker::redrive::{Destination, Stays};
use crate::broker::refusal::{Access, Resource};
use crate::broker::turn::Turn;

/// Messages moved by one request, at most, and if nothing is said.
const COUNT_MAX: usize = 1_000;

/// How long one request may go on. What is left is for the next one.
const TIME_MAX: Duration = Duration::from_secs(5);

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    count: Option<usize>,
    queue: Option<String>,
    exchange: Option<String>,
    routing_key: Option<String>,
}

/// Messages that could not go. They return to their places when this is dropped.
struct Kept {
    broker: Arc<Broker>,
    queue: Arc<QueueHandle>,
    tokens: Vec<Token>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut turn = Turn::at(self.broker.now());
        self.queue.requeue(&mut turn, &self.tokens, Requeue::Recover);
        self.broker.finish(&mut turn);
    }
}

fn destination(entered: &Entered, wish: Wish) -> Result<Destination> {
    let write = |name: &ExchangeName| entered.rights.check(Access::Write, &Resource::Exchange(name.clone()));
    let default = ExchangeName::new("");
    Ok(match (wish.queue, wish.exchange, wish.routing_key) {
        (None, None, None) => {
            write(&default)?;
            Destination::Origin
        }
        (Some(queue), None, None) => {
            write(&default)?;
            let name = paths::queue(&queue)?;
            entered.vhost.queue(name.as_str()).ok_or_else(|| Refused::not_found("queue_not_found"))?;
            Destination::Queue(name)
        }
        (None, Some(exchange), key) => {
            let name = paths::exchange(&exchange)?;
            entered.vhost.exchange(name.as_str()).ok_or_else(|| Refused::not_found("exchange_not_found"))?;
            write(&name)?;
            let key = key.map(|key| paths::short("routing_key", &key)).transpose()?;
            Destination::Exchange(name, key)
        }
        _ => return Err(Refused::bad_request("say queue, or exchange and maybe routing_key, or nothing")),
    })
}

pub(super) async fn redrive(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    Body(wish): Body<Wish>,
) -> Result<Json<Value>> {
    let entered = api.enter(&login, &vhost)?;
    let source = api.broker.readable_queue(&entered.vhost, &entered.caller(), &paths::queue(&name)?)?;
    let count = wish.count.unwrap_or(COUNT_MAX).min(COUNT_MAX);
    let to = destination(&entered, wish)?;
    let until = tokio::time::Instant::now() + TIME_MAX;
    let mut kept = Kept { broker: Arc::clone(&api.broker), queue: Arc::clone(&source), tokens: Vec::new() };
    let (mut moved, mut why) = (0, None);
    while moved + kept.tokens.len() < count && tokio::time::Instant::now() < until {
        let mut turn = Turn::at(api.broker.now());
        let got = source.get(&mut turn, false);
        api.broker.finish(&mut turn);
        let delivery = match got? {
            GetOutcome::Message(delivery, _) => delivery,
            GetOutcome::Empty => break,
            GetOutcome::NotYet => {
                poll_fn(|context| source.poll_head(context.waker())).await;
                continue;
            }
        };
        let went = tokio::task::block_in_place(|| {
            let went = api.broker.redrive(&entered.vhost, &mut turn, &source, &delivery, &to);
            api.broker.finish(&mut turn);
            went
        });
        match went {
            Ok(()) => moved += 1,
            Err(stays) => {
                kept.tokens.extend(delivery.token);
                let stop = !stays.is_of_this_message();
                why.get_or_insert(stays);
                if stop {
                    break;
                }
            }
        }
    }
    if moved > 0 && !api.flushed().await {
        return Err(Refused::unavailable("the store cannot be written; see health/checks/alarms"));
    }
    let stayed = kept.tokens.len();
    tokio::task::block_in_place(|| drop(kept));
    Ok(Json(json!({
        "moved": moved,
        "stayed": stayed,
        "reason": why.map(|why: Stays| why.to_string()),
        "messages_ready": source.counts().ready,
    })))
}
