//! Answers: single objects and lists, with the query options: filters, sorting, pages, columns (docs/http-api.md).

use std::cmp::Ordering;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::error::{Refused, Result};
use super::history;
pub(super) use super::paths::Query;

/// Default and maximum page size.
const PAGE_SIZE: usize = 100;
const PAGE_SIZE_MAX: usize = 500;

/// Compiled size limit of a regular expression from a query, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A list item.
pub(super) trait Item: Serialize {
    /// The value that `name` filters by, and the tie-breaker in sorting.
    fn name(&self) -> &str;

    /// The item as JSON, with samples of its past, for `columns` and history queries.
    fn with_past(&self) -> Result<Value> {
        value_of(self)
    }

    /// The sort key at a path, where it is available without serialising the item.
    fn sort_key(&self, _path: &str) -> Option<Value> {
        None
    }
}

impl Item for Value {
    fn name(&self) -> &str {
        self.get("name").and_then(Self::as_str).unwrap_or_default()
    }
}

fn json_response(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn written(value: &impl Serialize) -> Result<Response> {
    let failed = |error: serde_json::Error| Refused::unavailable(format!("cannot be shown: {error}"));
    Ok(json_response(serde_json::to_vec(value).map_err(failed)?))
}

/// One object, with only the requested columns.
pub(super) fn one(query: &Query, item: &impl Serialize) -> Result<Response> {
    match columns(query) {
        None => written(item),
        Some(columns) => written(&picked(&value_of(item)?, &columns)),
    }
}

/// 201 if new, 204 if it existed.
pub(super) fn put(new: bool) -> Response {
    if new { StatusCode::CREATED } else { StatusCode::NO_CONTENT }.into_response()
}

/// 204.
pub(super) fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// An item as JSON.
pub(super) fn value_of<T: Serialize + ?Sized>(item: &T) -> Result<Value> {
    serde_json::to_value(item).map_err(|error| Refused::unavailable(format!("cannot be shown: {error}")))
}

fn columns(query: &Query) -> Option<Vec<&str>> {
    let columns = query.get("columns").filter(|columns| !columns.is_empty())?;
    Some(columns.split(',').collect())
}

/// A list: filtered, sorted, paged, with the requested columns.
pub(super) fn list<T: Item>(query: &Query, items: Vec<T>) -> Result<Response> {
    let Some(page) = number(query, "page")? else {
        return match sort(query) {
            None => written(&shown(query, &items)?),
            Some(by) => {
                let length = items.len();
                written(&shown(query, &sorted(items, &by, length)?)?)
            }
        };
    };
    let page_size = number(query, "page_size")?.unwrap_or(PAGE_SIZE);
    if page == 0 || !(1..=PAGE_SIZE_MAX).contains(&page_size) {
        let why = format!("page must be 1 or more, page_size 1 to {PAGE_SIZE_MAX}");
        return Err(Refused::bad("invalid_pagination_parameters", why));
    }
    let total = items.len();
    let items = filtered(query, items)?;
    let filtered = items.len();
    let pages = filtered.div_ceil(page_size).max(1);
    if page > pages {
        let why = format!("Page out of range, page: {page} page size: {page_size}, len: {filtered}");
        return Err(Refused::bad("page_out_of_range", why));
    }
    let range = (page - 1) * page_size..filtered.min(page * page_size);
    let items = match sort(query) {
        None => items,
        Some(by) => sorted(items, &by, range.end)?,
    };
    let items = &items[range];
    written(&Page {
        filtered_count: filtered,
        item_count: items.len(),
        items: shown(query, items)?,
        page,
        page_count: pages,
        page_size,
        total_count: total,
    })
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names that RabbitMQ gives them")]
struct Page<'a, T> {
    filtered_count: usize,
    item_count: usize,
    items: Shown<'a, T>,
    page: usize,
    page_count: usize,
    page_size: usize,
    total_count: usize,
}

/// Whether a query sets this flag.
pub(super) fn asked(query: &Query, flag: &str) -> bool {
    query.get(flag).is_some_and(|value| value == "true")
}

fn number(query: &Query, name: &str) -> Result<Option<usize>> {
    let Some(text) = query.get(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Refused::bad_request(format!("{name} is not a number: {text}")))
}

fn filtered<T: Item>(query: &Query, mut items: Vec<T>) -> Result<Vec<T>> {
    let Some(name) = query.get("name").filter(|name| !name.is_empty()) else { return Ok(items) };
    if asked(query, "use_regex") {
        let regex = regex::RegexBuilder::new(name)
            .case_insensitive(true)
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|error| Refused::bad_request(format!("name is not a regular expression: {error}")))?;
        items.retain(|item| regex.is_match(item.name()));
    } else {
        let name = name.to_lowercase();
        items.retain(|item| item.name().to_lowercase().contains(&name));
    }
    Ok(items)
}

struct SortBy<'a> {
    path: &'a str,
    reverse: bool,
}

fn sort(query: &Query) -> Option<SortBy<'_>> {
    let path = query.get("sort").filter(|path| !path.is_empty())?;
    Some(SortBy { path, reverse: asked(query, "sort_reverse") })
}

/// Sorts only the first `wanted` items: sorting ten thousand to show eight is wasted work.
fn sorted<T: Item>(items: Vec<T>, by: &SortBy<'_>, wanted: usize) -> Result<Vec<T>> {
    let mut keyed = Vec::with_capacity(items.len());
    for (place, item) in items.into_iter().enumerate() {
        let key = match item.sort_key(by.path) {
            Some(key) => key,
            None if by.path == "name" => Value::String(item.name().to_owned()),
            None => at(&value_of(&item)?, by.path).cloned().unwrap_or_default(),
        };
        keyed.push((key, place, item));
    }
    let compare = |(a, place_a, item_a): &(Value, usize, T), (b, place_b, item_b): &(Value, usize, T)| {
        let order = compared(a, b);
        let order = if by.reverse { order.reverse() } else { order };
        order.then_with(|| item_a.name().cmp(item_b.name())).then(place_a.cmp(place_b))
    };
    if (1..keyed.len()).contains(&wanted) {
        keyed.select_nth_unstable_by(wanted - 1, compare);
        keyed.truncate(wanted);
    }
    keyed.sort_unstable_by(compare);
    Ok(keyed.into_iter().map(|(.., item)| item).collect())
}

/// Numbers before strings before the rest; absent values first.
fn compared(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        _ => 4,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}

/// The items of an answer.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a, T> {
    /// Serialised directly, without an intermediate value: the cheap way.
    Whole(&'a [T]),
    Picked(Vec<Value>),
}

fn shown<'a, T: Item>(query: &Query, items: &'a [T]) -> Result<Shown<'a, T>> {
    // Samples for a very long list would be unbounded.
    let past = items.len() <= PAGE_SIZE_MAX && history::asked_for(query);
    let whole = columns(query).is_none() && !past;
    Ok(if whole { Shown::Whole(items) } else { Shown::Picked(values(query, items)?) })
}

fn values<T: Item>(query: &Query, items: &[T]) -> Result<Vec<Value>> {
    let columns = columns(query);
    let pick = |item: &T| {
        let value = item.with_past()?;
        Ok(match &columns {
            Some(columns) => picked(&value, columns),
            None => value,
        })
    };
    items.iter().map(pick).collect()
}

/// Only the named members, nested ones by path.
fn picked(value: &Value, columns: &[&str]) -> Value {
    let mut picked = Map::new();
    for column in columns {
        if let Some(found) = at(value, column) {
            place(&mut picked, column, found);
        }
    }
    Value::Object(picked)
}

fn place(into: &mut Map<String, Value>, path: &str, value: &Value) {
    let Some((name, rest)) = path.split_once('.') else {
        into.insert(path.to_owned(), value.clone());
        return;
    };
    if let Value::Object(member) = into.entry(name).or_insert_with(|| Value::Object(Map::new())) {
        place(member, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query(text: &str) -> Query {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        axum::extract::Query(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    async fn body(text: &str, items: Vec<Value>) -> std::result::Result<Value, String> {
        let response = list(&query(text), items).map_err(|refused| refused.reason().to_owned())?;
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Ok(serde_json::from_slice(&bytes).unwrap())
    }

    fn items() -> Vec<Value> {
        [("b", 2), ("a", 10), ("c", 1)].map(|(name, n)| json!({"name": name, "s": {"n": n}})).to_vec()
    }

    /// Counts how often items are serialised.
    struct Costly<'a>(u32, &'a std::cell::Cell<u32>);

    impl Serialize for Costly<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
            self.1.set(self.1.get() + 1);
            json!({"n": self.0}).serialize(serializer)
        }
    }

    impl Item for Costly<'_> {
        fn name(&self) -> &'static str {
            ""
        }

        fn sort_key(&self, path: &str) -> Option<Value> {
            (path == "n").then(|| self.0.into())
        }
    }

    #[test]
    fn of_a_page_only_its_items_are_written_down() {
        for text in ["page=3&page_size=20", "page=3&page_size=20&sort=n", "page=1&page_size=20&columns=n"] {
            let written = std::cell::Cell::new(0);
            let items = (0..10_000).map(|n| Costly(n * 7919 % 10_000, &written)).collect();
            assert!(list(&query(text), items).is_ok());
            assert_eq!(written.get(), 20, "{text}");
        }
    }

    #[tokio::test]
    async fn sorting_is_by_value_nested_members_too() {
        let names = |value: Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|item| item.name().to_owned()).collect()
        };
        assert_eq!(names(body("sort=name", items()).await.unwrap()), ["a", "b", "c"]);
        assert_eq!(names(body("sort=s.n&sort_reverse=true", items()).await.unwrap()), ["a", "b", "c"]);
        assert_eq!(names(body("sort=s.n", items()).await.unwrap()), ["c", "b", "a"]);
    }

    #[tokio::test]
    async fn equals_are_in_the_order_of_their_names_on_any_page() {
        let items = || ["d", "b", "a", "c"].map(|name| json!({ "name": name, "n": 1 })).to_vec();
        for (page, want) in [(1, ["a", "b"]), (2, ["c", "d"])] {
            let text = format!("page={page}&page_size=2&sort=n&sort_reverse=true");
            let got = body(&text, items()).await.unwrap();
            assert_eq!([&got["items"][0]["name"], &got["items"][1]["name"]], want);
        }
    }

    #[tokio::test]
    async fn columns_keep_their_nesting() {
        let got = body("columns=s.n,nothing", items()).await.unwrap();
        assert_eq!(got[0], json!({"s": {"n": 2}}));
    }

    #[tokio::test]
    async fn pages_count_what_was_filtered() {
        let got = body("page=2&page_size=1&name=%5BAB%5D&use_regex=true", items()).await;
        assert!(got.is_err(), "the pattern is quoted still, so nothing matches: page 2 is out of range");
        let got = body("page=2&page_size=1&name=[AB]&use_regex=true&sort=name", items()).await.unwrap();
        assert_eq!(got["items"][0]["name"], "b");
        for (name, want) in [
            ("filtered_count", 2),
            ("item_count", 1),
            ("page_count", 2),
            ("page_size", 1),
            ("total_count", 3),
        ] {
            assert_eq!(got[name], want, "{name}");
        }
        let empty = body("page=1", Vec::new()).await.unwrap();
        assert_eq!((&empty["page_count"], &empty["item_count"]), (&json!(1), &json!(0)));
    }

    #[tokio::test]
    async fn impossible_pages_are_refused() {
        for text in ["page=0", "page=2", "page=x", "page=1&page_size=501", "page=1&name=(&use_regex=true"] {
            assert!(body(text, items()).await.is_err(), "{text}");
        }
    }
}
