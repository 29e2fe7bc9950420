//! Refusals: a status, a code for programs, a text for people.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use leveret_broker::refusal::{Refusal, Resource};
use leveret_topology::Id;

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    status: StatusCode,
    error: &'static str,
    reason: String,
    /// The refused object of a topology, named as in plans.
    object: Option<String>,
    /// Adds an authentication challenge.
    challenge: bool,
    /// The path names nothing; `reason` says what is missing.
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

    /// The object named by the path does not exist. `RabbitMQ` always gives the same reason; what is missing is
    /// reported beside it.
    pub(super) fn not_found(reason: impl Into<String>) -> Self {
        Self { missing: true, ..Self::new(StatusCode::NOT_FOUND, "Object Not Found", reason) }
    }

    /// Unknown user, or wrong password.
    pub(super) fn who(reason: impl Into<String>) -> Self {
        Self { challenge: true, ..Self::new(StatusCode::UNAUTHORIZED, "not_authorized", reason) }
    }

    /// Known user without permission. `RabbitMQ` answers 401 here too, in the other spelling.
    pub(super) fn not_authorized(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not_authorised", reason)
    }

    pub(super) fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", reason)
    }

    /// The request is for another host.
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

    /// Too many requests of this kind.
    pub(super) fn too_often(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", reason)
    }

    /// The same refusal without an authentication challenge.
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

    /// The request conflicts with the current state.
    pub(super) fn conflict(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", reason)
    }

    /// The same refusal, prefixed with its subject.
    pub(super) fn about(self, what: &str) -> Self {
        Self { reason: format!("{what}: {}", self.reason), ..self }
    }

    /// The same refusal, for one object of a topology.
    pub(super) fn about_object(self, id: &Id) -> Self {
        let object = id.to_string();
        Self { object: Some(object.clone()), ..self.about(&object) }
    }

    /// The refused object of a topology.
    pub(super) fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// Whether the reason is a missing object.
    pub(super) fn is_missing(&self) -> bool {
        self.missing
    }

    /// The text for people.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

/// Maps the broker's refusals to statuses: the only such table.
impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let reason = refusal.to_string();
        match refusal {
            Refusal::NotFound { resource: Resource::Queue(_), .. } => Self::not_found("queue_not_found"),
            Refusal::NotFound { .. } => Self::not_found("exchange_not_found"),
            Refusal::NoVhost(_) => Self::not_found("vhost_not_found"),
            // Refusals that also close a channel with 403.
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
            // Clients may depend on the realm: curl's netrc and browsers' password stores use it.
            let realm = HeaderValue::from_static("Basic realm=\"RabbitMQ Management\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, realm);
        }
        response
    }
}

/// The missing object, in an answer that reports it.
#[derive(Clone)]
struct Missing(String);

/// The reason in every answer about a missing object.
const NOT_FOUND: &str = "Not Found";

/// Longest foreign refusal text passed on, in bytes.
const REASON_BYTES_MAX: usize = 4096;

/// Gives errors from below the handlers (bad paths, large bodies, wrong methods) the same form as ours, and answers
/// OPTIONS with the path's methods.
pub(super) async fn uniform(request: Request, next: Next) -> Response {
    let options = request.method() == Method::OPTIONS;
    let makes = [Method::PUT, Method::POST].contains(request.method());
    let response = next.run(request).await;
    // Requests that create something report what is missing; look-ups report only that it is not found.
    if let Some(Missing(what)) = response.extensions().get().filter(|_| makes) {
        return Refused::new(StatusCode::NOT_FOUND, "not_found", what.clone()).into_response();
    }
    let status = response.status();
    if options && status == StatusCode::METHOD_NOT_ALLOWED {
        // The path's own Allow header is added by an outer layer.
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
