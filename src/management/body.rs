//! Request bodies: JSON regardless of content type, as lenient as `RabbitMQ`.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::error::Refused;
use super::weighed::Counted;

/// A JSON object. An empty body and `null` count as an empty object.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        read(&bytes).map(Self).map_err(IntoResponse::into_response)
    }
}

/// A large body, read only after its sender is authorised.
pub(super) struct Unread(Request);

impl<S: Send + Sync> FromRequest<S> for Unread {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self(request))
    }
}

impl Unread {
    /// The bytes, up to the route's limit.
    pub(super) async fn bytes(self) -> Result<Bytes, Refused> {
        let counted = self.0.extensions().get().cloned();
        let read = Bytes::from_request(self.0, &()).await;
        let bytes = read.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refused::too_large(rejection.body_text()),
            _ => Refused::bad_request(rejection.body_text()),
        })?;
        weigh(counted, &bytes)?;
        Ok(bytes)
    }

    /// The bytes, or for a form the part `file`, as `RabbitMQ`'s dashboard sends it.
    pub(super) async fn file(self) -> Result<Bytes, Refused> {
        let kind = self.0.headers().get(CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/form-data")) {
            return self.bytes().await;
        }
        let counted = self.0.extensions().get().cloned();
        let form = Multipart::from_request(self.0, &()).await;
        let mut form = form.map_err(|rejection| Refused::bad_request(rejection.body_text()))?;
        while let Some(part) = form.next_field().await.map_err(|error| cut(&error))? {
            if part.name() == Some("file") {
                let bytes = part.bytes().await.map_err(|error| cut(&error))?;
                weigh(counted, &bytes)?;
                return Ok(bytes);
            }
        }
        Err(Refused::bad_request("the form has no part `file`"))
    }

    /// The bytes as a JSON object.
    pub(super) async fn object<T: DeserializeOwned>(self) -> Result<T, Refused> {
        read(&self.bytes().await?)
    }
}

/// Approximate memory per parsed value; its text may be as short as two bytes.
const VALUE_BYTES: u64 = 64;

/// Accounts for the memory that parsing a large text will take: many short values take a multiple of their text.
fn weigh(counted: Option<Counted>, text: &[u8]) -> Result<(), Refused> {
    let values = text.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{' | b':' | b'\n')).count() as u64;
    let bytes = text.len() as u64 + values * VALUE_BYTES;
    counted
        .map_or(Ok(()), |counted| counted.takes(bytes))
        .map_err(|why| Refused::unavailable(why.to_string()))
}

fn cut(error: &MultipartError) -> Refused {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refused::too_large(error.body_text()),
        _ => Refused::bad_request(error.body_text()),
    }
}

/// Reads a JSON object.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    let bytes = if [&b""[..], b"null"].contains(&bytes.trim_ascii()) { b"{}" } else { bytes };
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| Refused::bad_request(format!("not_json: {error}")))?;
    if !value.is_object() {
        return Err(Refused::bad_request("not_json: the body must be an object"));
    }
    object_of(value)
}

/// Deserialises a JSON value; a refusal names the offending member.
pub(super) fn object_of<T: DeserializeOwned>(value: Value) -> Result<T, Refused> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, why) = (error.path().to_string(), error.inner());
        if path == "." {
            Refused::bad_request(why.to_string())
        } else {
            Refused::bad_request(format!("{path}: {why}"))
        }
    })
}

/// `true`, `"true"`, or absent.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Bool(flag) => Ok(flag),
        Value::Null => Ok(false),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" || text.is_empty() => Ok(false),
        other => Err(serde::de::Error::custom(format!("not a boolean: {other}"))),
    }
}

/// Like [`flag`], but absence is not `false`.
pub(super) fn maybe_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    flag(deserializer).map(Some)
}

/// Default of a flag that is true when absent, unlike [`flag`]'s.
pub(super) const fn yes() -> bool {
    true
}

/// `5` or `"5"`.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = match &value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| serde::de::Error::custom(format!("not a whole number of zero or more: {value}")))
}

/// An object; `null`, an empty string and an empty array (PHP's encoding of an empty object) count as empty.
pub(super) fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        Value::Array(array) if array.is_empty() => Ok(Map::new()),
        Value::String(text) if text.is_empty() => Ok(Map::new()),
        other => Err(serde::de::Error::custom(format!("not an object: {other}"))),
    }
}

/// `["a", "b"]` or `"a, b"`.
pub(super) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            Ok(Some(words.map(str::to_owned).collect()))
        }
        Value::Array(array) => array
            .into_iter()
            .map(|word| match word {
                Value::String(word) => Ok(word),
                other => Err(serde::de::Error::custom(format!("not a text: {other}"))),
            })
            .collect::<Result<_, _>>()
            .map(Some),
        other => Err(serde::de::Error::custom(format!("not a list of texts: {other}"))),
    }
}
