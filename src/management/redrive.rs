//! `POST queues/:vhost/:queue/redrive`: moves a queue's messages back to where they came from, or to a named queue or
//! exchange; in order, all or the matching ones. Leveret only.
//!
//! Invariants: messages reported as moved are on disk; with events, progress is reported during the run, and a
//! disconnect ends it; messages that stay are back in place before the last report.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use leveret_broker::Broker;
use leveret_broker::queue_handle::{GetOutcome, QueueHandle};
use leveret_broker::redrive::{Destination, Only, Stays};
use leveret_broker::turn::Turn;
use leveret_queues::{Requeue, Token};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::access::{Entered, Login};
use super::body::Body;
use super::error::{Refused, Result};
use super::{Api, paths};

/// Maximum messages held because they stay; beyond it the run ends.
const KEPT_MAX: usize = 10_000;

/// Time limit of a request without events. The rest is left for the next one.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Interval of progress events.
const REPORT_EVERY: Duration = Duration::from_millis(250);

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    count: Option<u64>,
    queue: Option<String>,
    exchange: Option<String>,
    routing_key: Option<String>,
    #[serde(default)]
    #[schema(inline)]
    only: Meant,
}

#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Meant {
    queue: Option<String>,
    reason: Option<String>,
    routing_key: Option<String>,
}

/// Messages that could not be moved or do not match. Dropping this returns them to their places.
struct Kept {
    broker: Arc<Broker>,
    queue: Arc<QueueHandle>,
    tokens: Vec<Token>,
}

impl Kept {
    fn give_back(&mut self) {
        let mut turn = Turn::at(self.broker.now());
        self.queue.requeue(&mut turn, &std::mem::take(&mut self.tokens), Requeue::Recover);
        self.broker.finish(&mut turn);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn destination(entered: &Entered, wish: Wish) -> Result<Destination> {
    let to = match (wish.queue, wish.exchange, wish.routing_key) {
        (None, None, None) => Destination::Origin,
        (Some(queue), None, None) => {
            let name = paths::queue(&queue)?;
            entered.vhost.queue(name.as_str()).ok_or_else(|| Refused::not_found("queue_not_found"))?;
            Destination::Queue(name)
        }
        (None, Some(exchange), key) => {
            let name = paths::exchange(&exchange)?;
            entered.vhost.exchange(name.as_str()).ok_or_else(|| Refused::not_found("exchange_not_found"))?;
            let key = key.map(|key| paths::short_text("routing_key", &key)).transpose()?;
            Destination::Exchange(name, key)
        }
        _ => return Err(Refused::bad_request("say queue, or exchange and maybe routing_key, or nothing")),
    };
    to.check(&entered.rights)?;
    Ok(to)
}

/// One run over a queue.
struct Run {
    api: Api,
    entered: Entered,
    source: Arc<QueueHandle>,
    to: Destination,
    only: Only,
    /// Upper bound on messages still to be examined.
    left: u64,
    kept: Kept,
    moved: u64,
    stayed: u64,
    why: Option<String>,
    done: bool,
}

impl Run {
    /// Runs until finished or until a report is due.
    async fn go(&mut self, until: Instant) {
        while !self.done && Instant::now() < until {
            if let Err(refused) = self.one().await {
                self.why = Some(refused.reason().to_owned());
                self.done = true;
            }
        }
        if self.moved > 0 && !self.api.flushed().await {
            self.why = Some("the store cannot be written; see health/checks/alarms".to_owned());
            self.done = true;
        }
    }

    async fn one(&mut self) -> Result<()> {
        if self.left == 0 {
            self.done = true;
            return Ok(());
        }
        if self.kept.tokens.len() >= KEPT_MAX {
            self.why
                .get_or_insert_with(|| format!("{KEPT_MAX} messages that stay are in front of the others"));
            self.done = true;
            return Ok(());
        }
        let broker = &self.api.broker;
        let mut turn = Turn::at(broker.now());
        let got = self.source.get(&mut turn, false);
        broker.finish(&mut turn);
        let delivery = match got? {
            GetOutcome::Message(delivery, _) => delivery,
            GetOutcome::Empty => {
                self.done = true;
                return Ok(());
            }
            GetOutcome::NotYet => {
                poll_fn(|context| self.source.poll_head(context.waker())).await;
                return Ok(());
            }
        };
        self.left -= 1;
        if !self.only.means(&delivery.message) {
            self.kept.tokens.extend(delivery.token);
            return Ok(());
        }
        // Permissions may have changed since the start.
        self.entered.rights.refresh(&broker.users);
        let went = tokio::task::block_in_place(|| {
            let Entered { vhost, rights, .. } = &self.entered;
            let went = broker.redrive(vhost, rights, &mut turn, &self.source, &delivery, &self.to);
            broker.finish(&mut turn);
            went
        });
        match went {
            Ok(()) => self.moved += 1,
            Err(stays) => {
                self.kept.tokens.extend(delivery.token);
                self.stayed += 1;
                self.done |= !stays.is_of_this_message();
                self.why.get_or_insert_with(|| Stays::to_string(&stays));
            }
        }
        Ok(())
    }

    fn report(&mut self) -> Value {
        if self.done {
            tokio::task::block_in_place(|| self.kept.give_back());
        }
        json!({
            "moved": self.moved,
            "stayed": self.stayed,
            "reason": self.why.clone().or_else(|| self.source.read_problem()),
            "messages_ready": self.source.counts().ready,
            "done": self.done,
        })
    }
}

pub(super) async fn redrive(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    headers: HeaderMap,
    Body(mut wish): Body<Wish>,
) -> Result<Response> {
    let entered = api.enter(&login, &vhost)?;
    let source = api.broker.readable_queue(&entered.vhost, &entered.caller(), &paths::queue(&name)?)?;
    let only = std::mem::take(&mut wish.only);
    // Messages that arrive during the run, possibly moved ones dead-lettered again, are excluded.
    let left = wish.count.unwrap_or(u64::MAX).min(source.counts().ready);
    let to = destination(&entered, wish)?;
    let kept = Kept { broker: Arc::clone(&api.broker), queue: Arc::clone(&source), tokens: Vec::new() };
    let only = Only { queue: only.queue, reason: only.reason, routing_key: only.routing_key };
    let mut run =
        Run { api, entered, source, to, only, left, kept, moved: 0, stayed: 0, why: None, done: false };
    let wants_events = headers.get(ACCEPT).is_some_and(|accept| accept == "text/event-stream");
    if wants_events {
        let reports = stream::unfold(Some(run), |run| async {
            let mut run = run?;
            run.go(Instant::now() + REPORT_EVERY).await;
            let event = Event::default().data(run.report().to_string());
            Some((Ok::<_, Infallible>(event), Some(run).filter(|run| !run.done)))
        });
        return Ok(Sse::new(reports).into_response());
    }
    run.go(Instant::now() + TIME_MAX).await;
    let report = run.report();
    tokio::task::block_in_place(|| drop(run));
    Ok(Json(report).into_response())
}
