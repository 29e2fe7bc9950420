//! Opening and closing a session: see `sessions`.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, extract::FromRequest};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;

use super::Api;
use super::error::{Refused, Result};
use super::server::From;
use super::sessions;
use super::{access, answer};

/// Who logs in: JSON, or a form as `RabbitMQ` takes it.
#[derive(Default, Deserialize, utoipa::ToSchema)]
pub(super) struct Credentials {
    username: String,
    password: String,
}

impl Credentials {
    fn from_form(text: &str) -> Option<Self> {
        let mut credentials = Self::default();
        for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            let spaced = value.replace('+', " ");
            let value = percent_decode_str(&spaced).decode_utf8().ok()?.into_owned();
            match name {
                "username" => credentials.username = value,
                "password" => credentials.password = value,
                _ => {}
            }
        }
        Some(credentials)
    }
}

impl FromRequest<Api> for Credentials {
    type Rejection = Refused;

    async fn from_request(request: Request, api: &Api) -> Result<Self> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let unreadable = || Refused::bad_request("username and password, as JSON or as a form");
        let text = String::from_request(request, api).await.map_err(|_| unreadable())?;
        if form {
            Self::from_form(&text).ok_or_else(unreadable)
        } else {
            serde_json::from_str(&text).map_err(|_| unreadable())
        }
    }
}

/// `POST login`: answers like `GET whoami`, with a session cookie.
pub(super) async fn login(
    State(api): State<Api>,
    Extension(from): Extension<From>,
    headers: HeaderMap,
    credentials: Credentials,
) -> Result<Response> {
    let password = credentials.password.as_bytes();
    let identity = api.by_password(&credentials.username, password, from).await.map_err(Refused::quietly)?;
    let login = api.admitted(identity.clone())?;
    let secret = api.sessions.open(identity, &api.broker.users, api.broker.now(), access::host(&headers));
    let cookie = sessions::cookie(Some(&secret), from.encrypted);
    let body = Json(json!({ "name": login.user.as_str(), "tags": &*login.tags }));
    Ok((StatusCode::OK, [(SET_COOKIE, cookie)], body).into_response())
}

/// `POST logout`: ends the cookie's session, if there is one.
pub(super) async fn logout(
    State(api): State<Api>,
    Extension(from): Extension<From>,
    headers: HeaderMap,
) -> Response {
    if let Some(secret) = sessions::secret(&headers) {
        api.sessions.close(secret, access::host(&headers));
    }
    let mut response = answer::done();
    if let Ok(cookie) = sessions::cookie(None, from.encrypted).parse() {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_unquoted() {
        let form = Credentials::from_form("username=a%40b&other&password=p+w%26&x=y").unwrap();
        assert_eq!((form.username.as_str(), form.password.as_str()), ("a@b", "p w&"));
        assert!(Credentials::from_form("username=%ff").is_none());
    }
}
