//! Names as they stand in paths, and the key that names a binding there.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Digest;

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

use super::error::{Refused, Result};
use super::tables::Table;
use crate::broker::listing::BindingView;
use crate::broker::names::{ExchangeName, QueueName, without_line_breaks};

/// What stays as it is in a binding's key.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The same, and what else may stand in a path unquoted. A binding's key needs it quoted.
const IN_PATHS: &AsciiSet = &UNRESERVED.remove(b'~');

/// The name of the default exchange in paths and bodies.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// Text that fits where AMQP has a short string.
pub(super) fn short(what: &str, text: &str) -> Result<String> {
    if text.len() > 255 {
        return Err(Refused::bad_request(format!("{what} is longer than 255 bytes")));
    }
    Ok(without_line_breaks(text))
}

/// A queue's name from a path.
pub(super) fn queue(name: &str) -> Result<QueueName> {
    Ok(QueueName::new(&short("queue name", name)?))
}

/// An exchange's name from a path.
pub(super) fn exchange(name: &str) -> Result<ExchangeName> {
    let name = if name == DEFAULT_EXCHANGE { "" } else { name };
    Ok(ExchangeName::new(&short("exchange name", name)?))
}

/// Drops a slash at the end of a path: `RabbitMQ` takes one behind any, and some clients write it.
pub(super) fn without_last_slash(uri: &mut Uri) {
    let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty() && !path.ends_with('/'))
    else {
        return;
    };
    let text = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(text).ok();
    if let Ok(shorter) = Uri::from_parts(parts) {
        *uri = shorter;
    }
}

/// Quotes one segment of a path.
pub(super) fn segment(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, IN_PATHS).into()
}

/// Quotes a routing key in a binding's.
fn quoted(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, UNRESERVED).into()
}

/// What names a binding among those with the same two ends: `~` for no key and no arguments, else the
/// quoted key, and a digest of the arguments if there are any.
pub(super) fn properties_key(binding: &BindingView) -> String {
    if binding.arguments.inner().is_empty() {
        if binding.routing_key.is_empty() {
            return "~".to_owned();
        }
        return quoted(&binding.routing_key).into_owned();
    }
    // The table is sorted by name, so its text is always the same.
    let text = serde_json::to_vec(&Table(&binding.arguments)).unwrap_or_default();
    let digest = sha2::Sha256::digest(text);
    format!("{}~{}", quoted(&binding.routing_key), URL_SAFE_NO_PAD.encode(&digest[..12]))
}

/// Whether a segment of a path, already unquoted once, names the binding. Some clients quote the key
/// that they were given, some take it as quoted already.
pub(super) fn names_binding(segment: &str, binding: &BindingView) -> bool {
    let key = properties_key(binding);
    segment == key || percent_decode_str(&key).decode_utf8().is_ok_and(|key| key == segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::definitions::DestinationKind;
    use serde_json::json;

    fn binding(key: &str, arguments: &serde_json::Value) -> BindingView {
        BindingView {
            source: "x".into(),
            kind: DestinationKind::Queue,
            destination: "q".into(),
            routing_key: key.into(),
            arguments: super::super::tables::table(arguments.as_object().unwrap()).unwrap(),
            durable: true,
        }
    }

    #[test]
    fn the_key_of_a_binding_tells_key_and_arguments() {
        assert_eq!(properties_key(&binding("", &json!({}))), "~");
        assert_eq!(properties_key(&binding("a.b/c ~", &json!({}))), "a.b%2Fc%20%7E");
        let (one, two) = (binding("k", &json!({"a": 1})), binding("k", &json!({"a": 2})));
        assert!(properties_key(&one).starts_with("k~"));
        assert_ne!(properties_key(&one), properties_key(&two));
        assert_eq!(properties_key(&one), properties_key(&one.clone()));
    }

    #[test]
    fn one_slash_at_the_end_says_nothing() {
        for (given, want) in [
            ("/api/queues/", "/api/queues"),
            ("/api/queues/%2F/?sort=name", "/api/queues/%2F?sort=name"),
            ("http://a:1/api/queues/", "http://a:1/api/queues"),
            ("/api/queues//", "/api/queues//"),
            ("/", "/"),
            ("/api/queues", "/api/queues"),
        ] {
            let mut uri = given.parse().unwrap();
            without_last_slash(&mut uri);
            assert_eq!(uri.to_string(), want);
        }
    }

    #[test]
    fn a_binding_is_found_by_its_key_quoted_once_or_twice() {
        let binding = binding("a b", &json!({}));
        assert!(names_binding("a%20b", &binding) && names_binding("a b", &binding));
        assert!(!names_binding("a", &binding));
    }
}
