//! `GET events?watch=PATH&watch=..`: answers of the API as they change, one stream for a whole page.
//!
//! Invariants: what a stream sends is the answer of a `GET` by the same user at that moment, so it is refused as
//! that would be; an answer that has not changed is not sent again; all that may see the same share what was worked out
//! after a reading, one answer being worked out at a time; a stream has one answer on its way, not more; at most
//! [`STREAMS_MAX`] streams, [`PER_USER_MAX`] of a user, with [`WATCHED_MAX`] paths each; whoever does not read is cut off;
//! without listeners nothing is done.

use std::convert::Infallible;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use futures_util::stream;
use parking_lot::Mutex;
use rustc_hash::{FxBuildHasher, FxHashMap};
use serde_json::json;
use tokio::sync::{OnceCell, Semaphore, watch};
use tower_service::Service;

use super::Api;
use super::access::{Level, Login};
use super::error::{Refused, Result};
use super::server::From;
use super::visitors::{Piece, Visitor};
use crate::broker::names::UserName;

/// Streams at one time.
const STREAMS_MAX: usize = 128;

/// Streams of one user: tabs of a dashboard, and tools beside it.
const PER_USER_MAX: usize = 32;

/// Paths that one stream watches.
const WATCHED_MAX: usize = 16;

/// Bytes of an answer that is streamed; a larger one is told as an error.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of answers that are kept from one reading to the next for others to share; what goes beyond is worked out for
/// each stream.
const SHARED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long a client may take over a piece of an answer before it is cut off, in milliseconds.
const SLOW_MS: u64 = 15_000;

/// What may be watched: things that change by themselves.
const LIVE: [&str; 8] =
    ["overview", "nodes", "queues", "exchanges", "connections", "channels", "consumers", "vhosts"];

/// What all streams share.
pub(super) struct Streams {
    routes: OnceLock<Router>,
    answers: Mutex<Answers>,
    /// Working answers out is nobody's hurry: logins and other requests shall have their turn.
    working: Semaphore,
    open: Mutex<Vec<Weak<Pace>>>,
}

/// Who sees the same.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Viewer {
    /// Everything.
    Monitor,
    /// What one user sees.
    User(UserName),
}

/// The answers since one reading, by viewer and path.
#[derive(Default)]
struct Answers {
    reading: u64,
    known: FxHashMap<(Viewer, Uri), Arc<OnceCell<Arc<Answer>>>>,
    bytes: usize,
}

/// An answer as it goes out, and what tells whether it is another.
struct Answer {
    hash: u64,
    /// As an event, for the place that was asked for first.
    first: (usize, Bytes),
    /// The same for other places.
    others: Mutex<Vec<(usize, Bytes)>>,
}

/// What an event begins with.
fn begin(place: usize) -> String {
    format!("data: {{\"watch\":{place},")
}

impl Answer {
    fn new(place: usize, json: &str) -> Self {
        let event = format!("{}{json}}}\n\n", begin(place));
        Self { hash: FxBuildHasher.hash_one(json), first: (place, event.into()), others: Mutex::default() }
    }

    /// The event that tells it, for somebody who watches it at this place.
    fn event(&self, place: usize) -> Bytes {
        let (known, event) = &self.first;
        if *known == place {
            return event.clone();
        }
        let mut others = self.others.lock();
        if let Some((_, event)) = others.iter().find(|(known, _)| *known == place) {
            return event.clone();
        }
        let rest = &event[begin(*known).len()..];
        let event = Bytes::from([begin(place).as_bytes(), rest].concat());
        others.push((place, event.clone()));
        event
    }
}

/// How a stream's client gets on.
struct Pace {
    user: UserName,
    visitor: Option<Arc<Visitor>>,
    /// When it was handed what it has not taken yet, in milliseconds; 0 if there is nothing.
    handed: AtomicU64,
}

impl Pace {
    fn is_slow(&self, now: u64) -> bool {
        let handed = self.handed.load(Ordering::Relaxed);
        handed != 0 && now.saturating_sub(handed) >= SLOW_MS
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            routes: OnceLock::new(),
            answers: Mutex::default(),
            working: Semaphore::new(1),
            open: Mutex::default(),
        }
    }
}

impl Streams {
    /// Says what answers: known only when all routes are.
    pub(super) fn answer_with(&self, routes: Router) {
        let _ = self.routes.set(routes);
    }

    /// Where the answer is, or will be, unless too much is shared already.
    fn place(&self, reading: u64, viewer: &Viewer, uri: &Uri) -> Option<Arc<OnceCell<Arc<Answer>>>> {
        let mut answers = self.answers.lock();
        if answers.reading != reading {
            *answers = Answers { reading, ..Answers::default() };
        }
        let key = (viewer.clone(), uri.clone());
        if answers.bytes >= SHARED_BYTES_MAX && !answers.known.contains_key(&key) {
            return None;
        }
        Some(Arc::clone(answers.known.entry(key).or_default()))
    }

    fn shared(&self, reading: u64, bytes: usize) {
        let mut answers = self.answers.lock();
        if answers.reading == reading {
            answers.bytes += bytes;
        }
    }

    /// One more stream of a user.
    fn enter(&self, user: &UserName, visitor: Option<Arc<Visitor>>) -> Result<Arc<Pace>> {
        let mut open = self.open.lock();
        open.retain(|pace| pace.strong_count() > 0);
        if open.len() >= STREAMS_MAX {
            return Err(Refused::unavailable(format!("{STREAMS_MAX} streams of events are open already")));
        }
        let own = open.iter().filter_map(Weak::upgrade).filter(|pace| pace.user == *user).count();
        if own >= PER_USER_MAX {
            return Err(Refused::too_often(format!("{PER_USER_MAX} streams of this user are open already")));
        }
        let pace = Arc::new(Pace { user: user.clone(), visitor, handed: AtomicU64::new(0) });
        open.push(Arc::downgrade(&pace));
        Ok(pace)
    }

    /// Ends the streams of those that do not read.
    fn cut_off(&self, now: u64) {
        let open = self.open.lock().clone();
        for pace in open.iter().filter_map(Weak::upgrade).filter(|pace| pace.is_slow(now)) {
            if let Some(visitor) = &pace.visitor {
                tracing::info!(user = %pace.user, "a stream of events is not read, and cut off");
                visitor.end();
            }
        }
    }
}

/// Looks after each reading for clients that do not read, as long as the broker lives.
pub(super) async fn cut_off_slow(api: Api) {
    let mut readings = api.rates.readings();
    while readings.changed().await.is_ok() {
        api.streams.cut_off(api.broker.now().0);
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
    reading: u64,
    /// The path to look at next; all were looked at since the reading if there is none.
    place: usize,
    /// Something was said since the reading.
    told: bool,
    /// The event that goes out next.
    event: Option<Bytes>,
    pace: Arc<Pace>,
    ended: bool,
}

pub(super) async fn listen(
    State(api): State<Api>,
    login: Login,
    from: Option<Extension<From>>,
    visitor: Option<Extension<Arc<Visitor>>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let watched = watched(query.as_deref().unwrap_or_default())?;
    let pace = api.streams.enter(&login.user, visitor.map(|visitor| visitor.0))?;
    let routes = api.streams.routes.get().cloned().unwrap_or_default();
    let readings = api.rates.readings();
    let listener = Listener {
        api,
        routes,
        login,
        from: from.map(|from| from.0),
        headers,
        place: watched.len(),
        watched,
        readings,
        reading: 0,
        told: true,
        event: None,
        pace,
        ended: false,
    };
    let stream = stream::unfold(listener, |mut listener| async {
        let piece = listener.next().await?;
        Some((Ok::<_, Infallible>(piece), listener))
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
    /// The next event of what has changed. `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if self.pace.is_slow(self.api.broker.now().0) && !std::mem::replace(&mut self.ended, true) {
            return Some(Bytes::from_static(
                b"event: end\ndata: {\"reason\":\"the stream is read too slowly\"}\n\n",
            ));
        }
        if self.ended {
            return None;
        }
        self.pace.handed.store(0, Ordering::Relaxed);
        let event = loop {
            if let Some(event) = self.event.take() {
                break event;
            }
            if self.place < self.watched.len() {
                self.look().await;
            } else if self.told {
                self.readings.changed().await.ok()?;
                // The session may have ended, tags may have changed, the user may be gone.
                self.login = self.api.logged_in(&self.headers, self.from).await.ok()?;
                self.reading = *self.readings.borrow();
                (self.place, self.told) = (0, false);
            } else {
                // Tells that the stream lives, and finds out whether the client does.
                self.told = true;
                self.event = Some(Bytes::from_static(b":\n\n"));
            }
        };
        self.pace.handed.store(self.api.broker.now().0, Ordering::Relaxed);
        Some(event)
    }

    /// Looks at the next path.
    async fn look(&mut self) {
        let place = self.place;
        self.place += 1;
        let answer = self.answer(place).await;
        if self.watched[place].last.replace(answer.hash) == Some(answer.hash) {
            return;
        }
        self.told = true;
        let event = answer.event(place);
        let held = self.pace.visitor.as_ref().map(|visitor| visitor.holds(event.len() as u64));
        let Ok(piece) = held.transpose() else {
            // It is the one that has most on its way; said anew after the next reading.
            self.watched[place].last = None;
            return;
        };
        self.event = Some(Bytes::from_owner(OnItsWay { event, _piece: piece }));
    }

    async fn answer(&self, place: usize) -> Arc<Answer> {
        let uri = &self.watched[place].uri;
        let viewer = if self.login.is(Level::Monitoring) {
            Viewer::Monitor
        } else if !self.login.identity.is_stored() {
            // Tokens of one user may differ in what they allow.
            return Arc::new(self.ask(place, uri).await);
        } else {
            Viewer::User(self.login.user.clone())
        };
        let Some(shared) = self.api.streams.place(self.reading, &viewer, uri) else {
            return Arc::new(self.ask(place, uri).await);
        };
        let work_out = || async {
            let answer = Arc::new(self.ask(place, uri).await);
            self.api.streams.shared(self.reading, answer.first.1.len());
            answer
        };
        Arc::clone(shared.get_or_init(work_out).await)
    }

    async fn ask(&self, place: usize, uri: &Uri) -> Answer {
        // Never closed.
        let _turn = self.api.streams.working.acquire().await;
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
        Answer::new(place, &json)
    }
}

/// An event that is shared by those to whom it goes out, and counts for each.
struct OnItsWay {
    event: Bytes,
    _piece: Option<Piece>,
}

impl AsRef<[u8]> for OnItsWay {
    fn as_ref(&self) -> &[u8] {
        &self.event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_at_any_place() {
        let answer = Answer::new(3, "\"status\":200,\"body\":[]");
        for place in [3, 0, 15, 0] {
            let want = format!("data: {{\"watch\":{place},\"status\":200,\"body\":[]}}\n\n");
            assert_eq!(answer.event(place), want.as_bytes());
        }
        assert_eq!(answer.others.lock().len(), 2);
    }

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
