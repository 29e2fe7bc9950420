//! The log of changes over HTTP: one line for each request that changed something, with the user, the change and the
//! peer. Names and counts only; bodies, which may hold secrets, never reach it.
//!
//! Bounds: names are cut at [`NAME_CHARS_MAX`]; `cli::logging::flood` limits the rate, for removals separately, so
//! that a script that declares thousands of queues hides no deletion.

use std::borrow::Cow;

use axum::extract::{MatchedPath, Request};
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use percent_encoding::percent_decode_str;

use super::access::Login;
use super::server::{From, FromThisMachine};

/// Longest name in a line, in characters.
const NAME_CHARS_MAX: usize = 255;

/// Most names in a line.
const NAMES_MAX: usize = 10;

/// Says how many messages were dropped, or how many connections closed. `RabbitMQ`'s answers have no body to put it in.
pub const COUNT: HeaderName = HeaderName::from_static("leveret-count");

/// Paths below `/api`, what they are about, and which of their parameters name it.
const OBJECTS: [(&str, &str, &[&str]); 20] = [
    ("/queues/{vhost}/{name}", "queue", &["name"]),
    ("/queues/{vhost}/{name}/contents", "queue", &["name"]),
    ("/exchanges/{vhost}/{name}", "exchange", &["name"]),
    ("/exchanges/{vhost}/{name}/delayed/{id}", "delayed message", &["name", "id"]),
    ("/bindings/{vhost}/e/{source}/{kind}/{destination}", "binding", &["source", "destination"]),
    (
        "/bindings/{vhost}/e/{source}/{kind}/{destination}/{properties}",
        "binding",
        &["source", "destination", "properties"],
    ),
    ("/vhosts/{vhost}", "vhost", &["vhost"]),
    ("/users/{user}", "user", &["user"]),
    ("/permissions/{vhost}/{user}", "permissions of user", &["user"]),
    ("/topic-permissions/{vhost}/{user}", "topic permissions of user", &["user"]),
    ("/topic-permissions/{vhost}/{user}/{exchange}", "topic permission of user", &["user", "exchange"]),
    ("/policies/{vhost}/{name}", "policy", &["name"]),
    ("/operator-policies/{vhost}/{name}", "operator policy", &["name"]),
    ("/parameters/{component}/{vhost}/{name}", "parameter", &["component", "name"]),
    ("/global-parameters/{name}", "global parameter", &["name"]),
    ("/vhost-limits/{vhost}/{limit}", "vhost limit", &["limit"]),
    ("/user-limits/{user}/{limit}", "user limit", &["user", "limit"]),
    ("/connections/{name}", "connection", &["name"]),
    ("/connections/username/{user}", "connections of user", &["user"]),
    ("/cluster-name", "cluster name", &[]),
];

/// Last segments of paths that change no definition: messages in and out, and questions asked by POST.
const NO_CHANGE: [&str; 4] = ["/publish", "/get", "/plan", "/explain/{vhost}"];

/// What a handler knows better than the path does.
#[derive(Clone, Debug)]
pub(super) enum Note {
    /// Nothing was changed, or the change has a line of its own.
    Nothing,
    /// What was done, whatever the status.
    Done(String),
}

/// Attaches a note to an answer.
pub(super) fn noted(mut response: Response, note: Note) -> Response {
    response.extensions_mut().insert(note);
    response
}

/// Attaches the number of dropped messages or closed connections to an answer.
pub(super) fn counted(mut response: Response, count: u64) -> Response {
    response.headers_mut().insert(COUNT, HeaderValue::from(count));
    response
}

/// Logs what a request of a logged-in user has changed.
pub(super) async fn log(request: Request, next: Next) -> Response {
    let Some(change) = Change::of(&request) else { return next.run(request).await };
    let response = next.run(request).await;
    change.log(&response);
    response
}

/// A request that may change something.
struct Change {
    method: Method,
    uri: Uri,
    route: MatchedPath,
    login: Login,
    peer: String,
}

impl Change {
    fn of(request: &Request) -> Option<Self> {
        if request.method().is_safe() {
            return None;
        }
        let known = request.extensions();
        let (login, route): (&Login, &MatchedPath) = (known.get()?, known.get()?);
        if NO_CHANGE.iter().any(|end| route.as_str().ends_with(end)) {
            return None;
        }
        let peer = match (known.get::<FromThisMachine>(), known.get::<From>()) {
            (None, Some(from)) => from.address.to_string(),
            _ => "local socket".to_owned(),
        };
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Some(Self { method, uri, route: route.clone(), login: login.clone(), peer })
    }

    fn log(&self, response: &Response) {
        let done = match response.extensions().get() {
            Some(Note::Nothing) => return,
            Some(Note::Done(done)) => done.clone(),
            None if !response.status().is_success() => return,
            None => self.words(response),
        };
        let (user, peer) = (self.login.user.as_str(), &self.peer);
        let vhost = self.parameter("vhost");
        let vhost = vhost.as_deref();
        if self.method == Method::DELETE {
            tracing::info!(user, %peer, vhost, "{done}");
        } else {
            tracing::info!(user, %peer, vhost, "{done}");
        }
    }

    /// What was done, from method and path.
    fn words(&self, response: &Response) -> String {
        let template = self.route.as_str().trim_start_matches("/api");
        let object = OBJECTS.iter().find(|(path, ..)| *path == template);
        let Some((path, noun, named)) = object else { return format!("{} {}", self.method, self.path()) };
        let verb = match self.method {
            Method::DELETE if path.ends_with("/contents") => "purged",
            Method::DELETE if path.starts_with("/connections") => "closed",
            Method::DELETE => "deleted",
            _ if response.status() == StatusCode::CREATED => "declared",
            _ => "updated",
        };
        let shown: Vec<_> = named.iter().filter_map(|name| self.parameter(name)).collect();
        let separator = if shown.is_empty() { "" } else { ": " };
        let count = response.headers().get(COUNT).and_then(|count| count.to_str().ok());
        let count = count.map_or_else(String::new, |count| {
            format!(", {}: {count}", if path.starts_with("/queues") { "messages" } else { "connections" })
        });
        format!("{verb} {noun}{separator}{}{count}", shown.join(", "))
    }

    fn path(&self) -> Cow<'_, str> {
        cut(percent_decode_str(self.uri.path()).decode_utf8_lossy())
    }

    /// A parameter of the path, decoded.
    fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        let is_it = |part: &str| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) == Some(name);
        let at = self.route.as_str().split('/').position(is_it)?;
        let segment = self.uri.path().split('/').nth(at)?;
        Some(cut(percent_decode_str(segment).decode_utf8_lossy()))
    }
}

/// The first few names, for a line.
pub(super) fn names(all: &[String]) -> String {
    let shown: Vec<_> = all.iter().take(NAMES_MAX).map(|name| cut(name.into())).collect();
    let more = if all.len() > NAMES_MAX { ", ..." } else { "" };
    shown.join(", ") + more
}

fn cut(name: Cow<'_, str>) -> Cow<'_, str> {
    match name.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}...", &name[..end])),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(cut("ü".repeat(255).into()), "ü".repeat(255));
        assert_eq!(cut("ü".repeat(256).into()), format!("{}...", "ü".repeat(255)));
    }
}
