//! `GET events?watch=PATH&watch=..`: answers of the API as they change, one stream for a whole page.
//!
//! Invariants: a stream sends what a `GET` by the same user would return at that moment, including refusals; an
//! unchanged answer is not sent again; viewers with the same rights share the answers computed after a reading, and
//! one answer is computed at a time; a stream has at most one answer in flight; at most [`STREAMS_MAX`] streams,
//! [`PER_USER_MAX`] per user, with [`WATCHED_MAX`] paths each; clients that do not read are disconnected; without
//! streams no work is done.

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
use leveret_broker::names::UserName;
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

/// Maximum concurrent streams.
const STREAMS_MAX: usize = 128;

/// Maximum streams per user: dashboard tabs, and tools beside them.
const PER_USER_MAX: usize = 32;

/// Maximum paths watched by one stream.
const WATCHED_MAX: usize = 16;

/// Maximum size of a streamed answer; a larger one is reported as an error.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of answers kept between readings for sharing; answers beyond it are computed per stream.
const SHARED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long a client may take to read part of an answer before it is disconnected, in milliseconds.
const SLOW_MS: u64 = 15_000;

/// Paths that may be watched: things that change by themselves.
const LIVE: [&str; 8] =
    ["overview", "nodes", "queues", "exchanges", "connections", "channels", "consumers", "vhosts"];

/// State shared by all streams.
pub(super) struct Streams {
    routes: OnceLock<Router>,
    answers: Mutex<Answers>,
    /// Computing answers has low priority: logins and other requests must get their turn.
    working: Semaphore,
    open: Mutex<Vec<Weak<Pace>>>,
}

/// Viewers that see the same answers.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Viewer {
    /// Everything.
    Monitor,
    /// A single user's view.
    User(UserName),
}

/// The answers since one reading, by viewer and path.
#[derive(Default)]
struct Answers {
    reading: u64,
    known: FxHashMap<(Viewer, Uri), Arc<OnceCell<Arc<Answer>>>>,
    bytes: usize,
}

/// An encoded answer, and the hash that detects changes.
struct Answer {
    hash: u64,
    /// Encoded as an event, for the first place that requested it.
    first: (usize, Bytes),
    /// The same for other places.
    others: Mutex<Vec<(usize, Bytes)>>,
}

/// The start of an event.
fn begin(place: usize) -> String {
    format!("data: {{\"watch\":{place},")
}

impl Answer {
    fn new(place: usize, json: &str) -> Self {
        let event = format!("{}{json}}}\n\n", begin(place));
        Self { hash: FxBuildHasher.hash_one(json), first: (place, event.into()), others: Mutex::default() }
    }

    /// The event for a client that watches the answer at this place.
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

/// A stream client's progress.
struct Pace {
    user: UserName,
    visitor: Option<Arc<Visitor>>,
    /// When the client was handed data that it has not taken yet, in milliseconds; 0 if none is pending.
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
    /// Sets the router that produces the answers: available only once all routes are built.
    pub(super) fn answer_with(&self, routes: Router) {
        let _ = self.routes.set(routes);
    }

    /// The cell that holds or will hold the answer; `None` if too much is shared already.
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

    /// Registers a stream for a user.
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

    /// Ends the streams of clients that do not read.
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

/// After each reading disconnects clients that do not read, for the life of the broker.
pub(super) async fn cut_off_slow(api: Api) {
    let mut readings = api.rates.readings();
    while readings.changed().await.is_ok() {
        api.streams.cut_off(api.broker.now().0);
    }
}

/// A watched path, and the last answer sent for it.
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
    /// The path to check next; `None` if all were checked since the reading.
    place: usize,
    /// An event was sent since the reading.
    told: bool,
    /// The event to send next.
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
    /// The next event for a changed answer. `None` ends the stream.
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
                // The session may have ended, tags may have changed, the user may be deleted.
                self.login = self.api.logged_in(&self.headers, self.from).await.ok()?;
                self.reading = *self.readings.borrow();
                (self.place, self.told) = (0, false);
            } else {
                // A keep-alive, which also detects a client that has gone.
                self.told = true;
                self.event = Some(Bytes::from_static(b":\n\n"));
            }
        };
        self.pace.handed.store(self.api.broker.now().0, Ordering::Relaxed);
        Some(event)
    }

    /// Checks the next path.
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
            // This account has the most data in flight; the answer is sent again after the next reading.
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
            // Tokens of one user may grant different rights.
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
            // On a single line, like all JSON written here.
            Some(body) if is_json => format!("\"status\":{status},\"body\":{body}"),
            Some(text) => format!("\"status\":{status},\"body\":{}", json!({ "reason": text })),
            None => {
                "\"status\":413,\"body\":{\"reason\":\"the answer is too large to be watched\"}".to_owned()
            }
        };
        Answer::new(place, &json)
    }
}

/// An event shared by the streams that send it, and accounted to each.
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
