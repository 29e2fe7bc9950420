//! The last lines of the log: at once, or streamed (Leveret only; `RabbitMQ` has no such endpoint).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::stream;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tracing::Level;

use super::Api;
use super::access::{self, Login};
use super::answer::Query;
use super::error::{Refused, Result};
use super::server::From;
use crate::recent_log::{Line, RecentLog};

/// Maximum clients following the log.
const FOLLOWERS_MAX: usize = 32;

/// Maximum duration of one stream; the client then reconnects, and its login is checked anew.
const FOLLOWING_MAX: Duration = Duration::from_mins(10);

/// How often a follower's access is re-checked while no lines arrive; each line triggers a check.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

static FOLLOWERS: Semaphore = Semaphore::const_new(FOLLOWERS_MAX);

/// `/logs`: the buffered lines.
pub(super) async fn all(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    login.must_be(access::Level::Monitoring)?;
    let (after, level) = (number(&query, "after")?.unwrap_or(0), level(&query)?);
    let lines = api.facts.process.log.after(after, level);
    let first = api.facts.process.log.after(0, Level::TRACE).first().map_or(0, |line| line.seq);
    let latest = *api.facts.process.log.latest().borrow();
    let lines: Vec<_> = lines.iter().map(|line| shown(line)).collect();
    Ok(Json(json!({ "lines": lines, "first": first, "latest": latest })).into_response())
}

/// `/livelog`: buffered and new lines, as server-sent events whose ids are line numbers.
pub(super) async fn follow(
    State(api): State<Api>,
    login: Login,
    from: Option<Extension<From>>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response> {
    login.must_be(access::Level::Monitoring)?;
    let level = level(&query)?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let after = last.or(number(&query, "after")?).unwrap_or(0);
    let room = FOLLOWERS.try_acquire().map_err(|_| Refused::unavailable("too many follow the log"))?;
    let log = Arc::clone(&api.facts.process.log);
    // A number from before a restart: all lines are new to this client.
    let after = if after > *log.latest().borrow() { 0 } else { after };
    let viewer =
        Viewer { revision: api.broker.users.revision(), api, from: from.map(|from| from.0), headers };
    let follower =
        Follower { latest: log.latest(), log, after, level, lines: VecDeque::new(), viewer, _room: room };
    let end = tokio::time::Instant::now() + FOLLOWING_MAX;
    let events = stream::unfold(follower, move |mut follower| async move {
        let line = tokio::time::timeout_at(end, follower.next()).await.ok()??;
        if !follower.viewer.may_look(false).await {
            return None;
        }
        let event = Event::default().id(line.seq.to_string()).data(shown(&line).to_string());
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

struct Follower {
    log: Arc<RecentLog>,
    latest: watch::Receiver<u64>,
    after: u64,
    level: Level,
    lines: VecDeque<Arc<Line>>,
    viewer: Viewer,
    _room: SemaphorePermit<'static>,
}

impl Follower {
    async fn next(&mut self) -> Option<Arc<Line>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            let latest = *self.latest.borrow_and_update();
            if latest > self.after {
                self.lines.extend(self.log.after(self.after, self.level));
                self.after = self.lines.back().map_or(latest, |line| line.seq.max(latest));
            } else {
                match tokio::time::timeout(LOOK_INTERVAL, self.latest.changed()).await {
                    Ok(changed) => changed.ok()?,
                    Err(_) if self.viewer.may_look(true).await => {}
                    Err(_) => return None,
                }
            }
        }
    }
}

/// A client following the log.
struct Viewer {
    api: Api,
    from: Option<From>,
    headers: HeaderMap,
    /// Revision of the users at the last check.
    revision: u64,
}

impl Viewer {
    /// Whether the user still exists and is a monitor. `always`: check even if no user was changed, as sessions and
    /// tokens expire by themselves.
    async fn may_look(&mut self, always: bool) -> bool {
        let revision = self.api.broker.users.revision();
        if !always && revision == self.revision {
            return true;
        }
        self.revision = revision;
        let login = self.api.logged_in(&self.headers, self.from).await;
        login.is_ok_and(|login| login.is(access::Level::Monitoring))
    }
}

fn number(query: &Query, name: &str) -> Result<Option<u64>> {
    let wrong = |_| Refused::bad_request(format!("{name} must be a whole number"));
    query.get(name).map(|text| text.parse().map_err(wrong)).transpose()
}

/// The lowest severity to show.
fn level(query: &Query) -> Result<Level> {
    match query.get("level").map_or("trace", String::as_str) {
        "error" => Ok(Level::ERROR),
        "warn" | "warning" => Ok(Level::WARN),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        _ => Err(Refused::bad_request("level must be error, warn, info, debug or trace")),
    }
}

fn shown(line: &Line) -> Value {
    let fields: Map<_, _> =
        line.fields.iter().map(|(name, text)| ((*name).to_owned(), Value::from(text.as_str()))).collect();
    json!({
        "seq": line.seq,
        "timestamp": line.timestamp,
        "level": line.level.as_str().to_ascii_lowercase(),
        "target": line.target,
        "message": line.message,
        "fields": fields,
    })
}
