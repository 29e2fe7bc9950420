//! `GET events?watch=PATH&watch=..`: answers of the API as they change, one stream for a whole page.
//!
//! Invariants: what a stream sends is the answer of a `GET` by the same user at that moment, so it is refused as
//! that would be; an answer that has not changed is not sent again; viewers of one user share what was worked out
//! after a reading; at most [`STREAMS_MAX`] streams with [`WATCHED_MAX`] paths each; without listeners nothing is
//! done.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use axum::body::{Body, to_bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use futures_util::stream;
use parking_lot::Mutex;
use rustc_hash::{FxBuildHasher, FxHashMap};
use serde_json::json;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, watch};
use tower_service::Service;

use super::Api;
use super::access::Login;
use super::error::{Refused, Result};
use super::server::From;
use crate::broker::names::UserName;

/// Streams at one time.
const STREAMS_MAX: usize = 128;

/// Paths that one stream watches.
const WATCHED_MAX: usize = 16;

/// Bytes of an answer that is streamed; a larger one is told as an error.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What may be watched: things that change by themselves.
const LIVE: [&str; 8] =
    ["overview", "nodes", "queues", "exchanges", "connections", "channels", "consumers", "vhosts"];

/// What all streams share.
pub(super) struct Streams {
    routes: OnceLock<Router>,
    room: Arc<Semaphore>,
    answers: Mutex<Answers>,
}

/// The answers since one reading, by user and path.
#[derive(Default)]
struct Answers {
    reading: u64,
    known: FxHashMap<(UserName, Uri), Arc<OnceCell<Arc<Answer>>>>,
}

/// An answer as it goes out, and what tells whether it is another.
struct Answer {
    json: String,
    hash: u64,
}

impl Default for Streams {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(STREAMS_MAX));
        Self { routes: OnceLock::new(), room, answers: Mutex::default() }
    }
}

impl Streams {
    /// Says what answers: known only when all routes are.
    pub(super) fn answer_with(&self, routes: Router) {
        let _ = self.routes.set(routes);
    }

    /// Where the answer of this user is, or will be.
    fn place(&self, reading: u64, user: &UserName, uri: &Uri) -> Arc<OnceCell<Arc<Answer>>> {
        let mut answers = self.answers.lock();
        if answers.reading != reading {
            *answers = Answers { reading, known: FxHashMap::default() };
        }
        Arc::clone(answers.known.entry((user.clone(), uri.clone())).or_default())
    }
}

/// One path, and what was last said of it.
struct Watched {
    uri: Uri,
    last: Option<u64>,
}

struct Listener {
    api: Api,
    routes: Router,
    login: Login,
    from: Option<From>,
    headers: HeaderMap,
    watched: Vec<Watched>,
    readings: watch::Receiver<u64>,
    _room: OwnedSemaphorePermit,
}

pub(super) async fn listen(
    State(api): State<Api>,
    login: Login,
    from: Option<Extension<From>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let watched = watched(query.as_deref().unwrap_or_default())?;
    let room = Arc::clone(&api.streams.room).try_acquire_owned();
    let room =
        room.map_err(|_| Refused::unavailable(format!("{STREAMS_MAX} streams of events are open already")))?;
    let routes = api.streams.routes.get().cloned().unwrap_or_default();
    let readings = api.rates.readings();
    let listener = Listener {
        api,
        routes,
        login,
        from: from.map(|from| from.0),
        headers,
        watched,
        readings,
        _room: room,
    };
    let stream = stream::unfold(listener, |mut listener| async {
        let text = listener.next().await?;
        Some((Ok::<_, Infallible>(text), listener))
    });
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response())
}

fn watched(query: &str) -> Result<Vec<Watched>> {
    let mut watched = Vec::new();
    for value in query.split('&').filter_map(|pair| pair.strip_prefix("watch=")) {
        let path = percent_encoding::percent_decode_str(value).decode_utf8();
        let path = path.map_err(|_| Refused::bad_request("watch is not UTF-8"))?;
        let first = path.split(['/', '?']).next().unwrap_or_default();
        let uri = format!("/{path}").parse::<Uri>().ok().filter(|_| LIVE.contains(&first));
        let uri = uri.ok_or_else(|| Refused::bad_request(format!("{path} cannot be watched")))?;
        watched.push(Watched { uri, last: None });
    }
    if watched.is_empty() || watched.len() > WATCHED_MAX {
        return Err(Refused::bad_request(format!("watch 1 to {WATCHED_MAX} paths")));
    }
    Ok(watched)
}

impl Listener {
    /// What has changed since the last time, after the next reading. `None` ends the stream.
    async fn next(&mut self) -> Option<String> {
        self.readings.changed().await.ok()?;
        // The session may have ended, tags may have changed, the user may be gone.
        self.login = self.api.logged_in(&self.headers, self.from).await.ok()?;
        let reading = *self.readings.borrow();
        let mut text = String::new();
        for place in 0..self.watched.len() {
            let answer = self.answer(reading, place).await;
            if self.watched[place].last.replace(answer.hash) != Some(answer.hash) {
                let _ = write!(text, "data: {{\"watch\":{place},{}}}\n\n", answer.json);
            }
        }
        if text.is_empty() {
            // Tells that the stream lives, and finds out whether the client does.
            text.push_str(":\n\n");
        }
        Some(text)
    }

    async fn answer(&self, reading: u64, place: usize) -> Arc<Answer> {
        let uri = &self.watched[place].uri;
        // Tokens of one user may differ in what they allow.
        if self.login.identity.has_token() {
            return Arc::new(self.ask(uri).await);
        }
        let shared = self.api.streams.place(reading, &self.login.user, uri);
        Arc::clone(shared.get_or_init(|| async { Arc::new(self.ask(uri).await) }).await)
    }

    async fn ask(&self, uri: &Uri) -> Answer {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri.clone();
        request.extensions_mut().insert(self.login.clone());
        let Ok(response) = self.routes.clone().call(request).await;
        let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
        let body = body.ok().and_then(|bytes| String::from_utf8(bytes.into()).ok());
        let json = match body {
            // On one line, as all that we write.
            Some(body) if is_json => format!("\"status\":{status},\"body\":{body}"),
            Some(text) => format!("\"status\":{status},\"body\":{}", json!({ "reason": text })),
            None => {
                "\"status\":413,\"body\":{\"reason\":\"the answer is too large to be watched\"}".to_owned()
            }
        };
        let hash = FxBuildHasher.hash_one(&json);
        Answer { json, hash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lives_can_be_watched_and_not_too_much() {
        for (query, want) in [
            ("watch=overview", Some(1)),
            ("watch=queues%2F%252F%2Fa%3Flengths_age%3D60&watch=nodes", Some(2)),
            ("", None),
            ("watch=", None),
            ("watch=definitions", None),
            ("watch=users", None),
            ("watch=../api/users", None),
        ] {
            assert_eq!(watched(query).ok().map(|watched| watched.len()), want, "{query}");
        }
        assert!(watched(&"watch=overview&".repeat(17)).is_err());
        let quoted = watched("watch=queues%2F%252F%2Fa%3Fx%3D1").map(|watched| watched[0].uri.to_string());
        assert_eq!(quoted.ok().as_deref(), Some("/queues/%2F/a?x=1"));
    }
}
