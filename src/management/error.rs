//! What a request is refused with: a status, a word for programs, a text for people.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::broker::refusal::{Refusal, Resource};
use crate::topology::Id;

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    status: StatusCode,
    error: &'static str,
    reason: String,
    /// What of a topology is refused, as plans name it.
    object: Option<String>,
    /// Who is it? Asks for a login.
    challenge: bool,
    /// The path leads to nothing; `reason` says what is missing.
    missing: bool,
}

pub(super) type Result<T> = std::result::Result<T, Refused>;

impl Refused {
    fn new(status: StatusCode, error: &'static str, reason: impl Into<String>) -> Self {
        Self { status, error, reason: reason.into(), object: None, challenge: false, missing: false }
    }

    pub(super) fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", reason)
    }

    pub(super) fn bad(error: &'static str, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, reason)
    }

    /// What the path names is not there. `RabbitMQ` says the same for anything; what is missing stands beside it.
    pub(super) fn not_found(reason: impl Into<String>) -> Self {
        Self { missing: true, ..Self::new(StatusCode::NOT_FOUND, "Object Not Found", reason) }
    }

    /// Nobody, or not with this password.
    pub(super) fn who(reason: impl Into<String>) -> Self {
        Self { challenge: true, ..Self::new(StatusCode::UNAUTHORIZED, "not_authorized", reason) }
    }

    /// Known, but not allowed to. `RabbitMQ` answers 401 here too, in the other spelling.
    pub(super) fn not_authorized(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not_authorised", reason)
    }

    pub(super) fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", reason)
    }

    /// The request is for somebody else.
    pub(super) fn misdirected() -> Self {
        let reason = format!(
            "the request is for a host that this broker is not known to be; if it is, name it in {}",
            super::hosts::KEY
        );
        Self::new(StatusCode::MISDIRECTED_REQUEST, "misdirected_request", reason)
    }

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason)
    }

    /// Too many of the kind.
    pub(super) fn too_often(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", reason)
    }

    /// The same, without asking for a login.
    pub(super) fn quietly(self) -> Self {
        Self { challenge: false, ..self }
    }

    pub(super) fn precondition(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", reason)
    }

    pub(super) fn too_large(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", reason)
    }

    pub(super) fn too_late() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took too long")
    }

    /// What is asked for does not fit what is there.
    pub(super) fn conflict(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", reason)
    }

    /// The same refusal, saying what it is about.
    pub(super) fn about(self, what: &str) -> Self {
        Self { reason: format!("{what}: {}", self.reason), ..self }
    }

    /// The same refusal of one thing of a topology.
    pub(super) fn about_object(self, id: &Id) -> Self {
        let object = id.to_string();
        Self { object: Some(object.clone()), ..self.about(&object) }
    }

    /// What of a topology is refused.
    pub(super) fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// Whether something is refused for not being there.
    pub(super) fn is_missing(&self) -> bool {
        self.missing
    }

    /// The text for people.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

/// The broker's refusals as statuses: the one table.
impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let reason = refusal.to_string();
        match refusal {
            Refusal::NotFound { resource: Resource::Queue(_), .. } => Self::not_found("queue_not_found"),
            Refusal::NotFound { .. } => Self::not_found("exchange_not_found"),
            Refusal::NoVhost(_) => Self::not_found("vhost_not_found"),
            // What closes a channel with 403, too.
            Refusal::Denied { .. }
            | Refusal::VhostDenied { .. }
            | Refusal::ExclusiveUse { .. }
            | Refusal::ReservedName(_)
            | Refusal::DefaultExchange
            | Refusal::SystemExchange(..)
            | Refusal::InternalExchange(..)
            | Refusal::Forbidden(_) => Self::not_authorized(reason),
            Refusal::Storage(_) => Self::unavailable(reason),
            _ => Self::bad_request(reason),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.error, "reason": self.reason });
        let missing = self.missing.then(|| Missing(self.reason.clone()));
        if self.missing {
            body["reason"] = NOT_FOUND.into();
            body["missing"] = self.reason.into();
        }
        if let Some(object) = self.object {
            body["object"] = object.into();
        }
        let mut response = (self.status, Json(body)).into_response();
        if let Some(missing) = missing {
            response.extensions_mut().insert(missing);
        }
        if self.challenge {
            // Clients may look for it: curl's netrc and browsers' stores keep passwords by realm.
            let realm = HeaderValue::from_static("Basic realm=\"RabbitMQ Management\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, realm);
        }
        response
    }
}

/// What is not there, in an answer that says so.
#[derive(Clone)]
struct Missing(String);

/// The reason of every answer about something that is missing.
const NOT_FOUND: &str = "Not Found";

/// Longest text of a refusal that is not ours, in bytes.
const REASON_BYTES_MAX: usize = 4096;

/// Gives errors that come from below the handlers (bad paths, large bodies, wrong methods) the same
/// form as ours, and answers OPTIONS with the methods that the path knows.
pub(super) async fn uniform(request: Request, next: Next) -> Response {
    let options = request.method() == Method::OPTIONS;
    let makes = [Method::PUT, Method::POST].contains(request.method());
    let response = next.run(request).await;
    // Whoever is to make something is told what it lacks; whoever looks for something, that it is not there.
    if let Some(Missing(what)) = response.extensions().get().filter(|_| makes) {
        return Refused::new(StatusCode::NOT_FOUND, "not_found", what.clone()).into_response();
    }
    let status = response.status();
    if options && status == StatusCode::METHOD_NOT_ALLOWED {
        // The path's own Allow is added behind us.
        return StatusCode::OK.into_response();
    }
    let json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, REASON_BYTES_MAX).await.unwrap_or_default();
    let reason = match String::from_utf8_lossy(&text) {
        text if text.is_empty() => status.canonical_reason().unwrap_or_default().to_owned(),
        text => text.into_owned(),
    };
    let error = match status {
        StatusCode::NOT_FOUND => "Object Not Found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "payload_too_large",
        _ if status.is_server_error() => "internal_error",
        _ => "bad_request",
    };
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    let body = Json(json!({ "error": error, "reason": reason })).into_response();
    let kind = body.headers().get(CONTENT_TYPE).cloned();
    parts.headers.extend(kind.map(|kind| (CONTENT_TYPE, kind)));
    Response::from_parts(parts, body.into_body())
}
