//! Features that do not exist here: empty lists for reads, refusals for writes.

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use super::Api;
use super::access::{Level, Login};
use super::answer::{self, Query};
use super::error::{Refused, Result};

/// An empty list for any user.
pub(super) async fn none(_: Login, query: Query) -> Result<Response> {
    answer::list(&query, Vec::<Value>::new())
}

/// An empty list of a vhost's objects.
pub(super) async fn none_in_vhost(
    State(api): State<Api>,
    login: Login,
    Path(vhost): Path<String>,
    query: Query,
) -> Result<Response> {
    api.seen(&login, &vhost)?;
    answer::list(&query, Vec::<Value>::new())
}

/// An object of a kind that does not exist here.
pub(super) async fn missing(_: Login, _: Path<(String, String)>) -> Refused {
    Refused::not_found("object_not_found")
}

/// A setting that cannot be set.
pub(super) async fn unsupported(login: Login, _: Path<(String, String)>) -> Result<Response> {
    login.must_be(Level::Policymaker)?;
    Err(Refused::bad("not_supported", "there are no shovels"))
}
