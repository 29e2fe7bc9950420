//! Names in paths, and queries.

use std::borrow::Cow;
use std::collections::HashMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

use leveret_broker::names::{ExchangeName, QueueName, without_line_breaks};
use leveret_message::ShortText;
use leveret_message::short::SHORT_BYTES_MAX;

use super::error::{Refused, Result};

/// A query as received.
pub(super) type Query = axum::extract::Query<HashMap<String, String>>;

/// Left unencoded in a binding's key.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// Left unencoded in paths. In a binding's key `~` must be encoded.
const IN_PATHS: &AsciiSet = &UNRESERVED.remove(b'~');

/// The name of the default exchange in paths and bodies.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// Text that fits into an AMQP short string.
pub(super) fn short(what: &str, text: &str) -> Result<String> {
    if text.len() > SHORT_BYTES_MAX {
        return Err(too_long(what));
    }
    Ok(without_line_breaks(text))
}

/// The same for message properties: line breaks are allowed, unlike in names.
pub(super) fn short_text(what: &str, text: &str) -> Result<ShortText> {
    ShortText::new(text).ok_or_else(|| too_long(what))
}

fn too_long(what: &str) -> Refused {
    Refused::bad_request(format!("{what} is longer than {SHORT_BYTES_MAX} bytes"))
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

/// Drops a slash at the end of a path: `RabbitMQ` accepts one on any path, and some clients send it.
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

/// Percent-encodes one path segment.
pub(super) fn segment(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, IN_PATHS).into()
}

/// Quotes a routing key in a binding's key, as `RabbitMQ` does: a space is a plus sign.
pub(super) fn quoted(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string().replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
