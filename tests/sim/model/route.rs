//! Routing: bindings, exchange types, alternate exchanges.

use std::collections::BTreeSet;

use super::{Model, Msg};

/// A binding's header match.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Match {
    /// No arguments.
    #[default]
    Nothing,
    /// The header `h` has this value (x-match: all, with this one condition).
    All(i64),
    /// The header `h` has this value, or `i` has one that no message has.
    Any(i64),
}

impl Match {
    pub(crate) fn arguments(self) -> String {
        match self {
            Self::Nothing => "{}".to_owned(),
            Self::All(value) => format!("{{x-match:all,h:{value}}}"),
            Self::Any(value) => format!("{{x-match:any,h:{value},i:never}}"),
        }
    }

    fn matches(self, header: Option<i64>) -> bool {
        match self {
            Self::Nothing => true,
            Self::All(value) | Self::Any(value) => header == Some(value),
        }
    }
}

/// A binding's destination.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum End {
    Queue(String),
    Exchange(String),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Binding {
    pub(crate) source: String,
    pub(crate) end: End,
    pub(crate) key: String,
    pub(crate) matching: Match,
}

/// Matches a pattern's words against a key's: `*` is one word, `#` any number.
fn topic(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), None) => topic(rest, key),
        (Some((&"#", rest)), Some((_, later))) => topic(rest, key) || topic(pattern, later),
        (Some((word, rest)), Some((first, later))) => (*word == "*" || word == first) && topic(rest, later),
        _ => false,
    }
}

fn words(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split('.').collect() }
}

impl Model {
    /// The queues that a message to this exchange reaches; `None`: no such exchange.
    pub(crate) fn route(&self, exchange: &str, msg: &Msg) -> Option<BTreeSet<String>> {
        self.exchanges.get(exchange)?;
        let mut queues = BTreeSet::new();
        let mut visited = BTreeSet::new();
        let mut todo = vec![exchange.to_owned()];
        while let Some(name) = todo.pop() {
            let Some(exchange) = self.exchanges.get(&name) else { continue };
            if !visited.insert(name.clone()) {
                continue;
            }
            if name.is_empty() {
                queues.extend(self.queues.contains_key(&msg.key).then(|| msg.key.clone()));
                continue;
            }
            let ends: Vec<&End> = self
                .bindings
                .iter()
                .filter(|binding| binding.source == name && leads(exchange.shape.kind, binding, msg))
                .map(|binding| &binding.end)
                .collect();
            if ends.is_empty() {
                todo.extend(exchange.shape.alternate.map(str::to_owned));
            }
            for end in ends {
                match end {
                    End::Queue(queue) => {
                        queues.insert(queue.clone());
                    }
                    End::Exchange(exchange) => todo.push(exchange.clone()),
                }
            }
        }
        Some(queues)
    }
}

fn leads(kind: &str, binding: &Binding, msg: &Msg) -> bool {
    match kind {
        "direct" => binding.key == msg.key,
        "fanout" => true,
        "topic" => topic(&words(&binding.key), &words(&msg.key)),
        "headers" => binding.matching.matches(msg.header),
        other => panic!("no exchange type {other}"),
    }
}
