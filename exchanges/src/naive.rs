//! The matching rules in their plainest form: for explanations, and for tests of the indexes.

use crate::kind::XMatch;
use crate::{Args, Attributes, Value};

/// The words of a key or pattern: split at dots; empty words count, but an empty key has none.
pub(crate) fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = key.split(|byte| *byte == b'.');
    words.take(if key.is_empty() { 0 } else { usize::MAX })
}

/// Whether a topic pattern matches a key, in time proportional to words of pattern times words of key.
pub(crate) fn topic(pattern: &[u8], key: &[u8]) -> bool {
    let key: Vec<&[u8]> = words(key).collect();
    // reached[n]: the pattern so far matches the first n words.
    let mut reached = vec![false; key.len() + 1];
    reached[0] = true;
    for part in words(pattern) {
        if part == b"#" {
            let from = reached.iter().position(|at| *at).unwrap_or(reached.len());
            reached[from..].fill(true);
        } else {
            for place in (0..key.len()).rev() {
                reached[place + 1] = reached[place] && (part == b"*" || part == key[place]);
            }
            reached[0] = false;
        }
    }
    reached[key.len()]
}

/// Whether the arguments of a headers binding match the headers.
pub(crate) fn headers(args: &Args, message: &(impl Attributes + ?Sized)) -> bool {
    let Ok(x_match) = XMatch::from_args(args) else {
        return false;
    };
    let mut nested = Vec::new();
    let mut matches = args.iter_as_given().filter(|(name, _)| x_match.counts(name)).map(|(name, wanted)| {
        let wanted = wanted.as_value(&mut nested);
        let mut found = false;
        message.each_header(&mut |header, value| {
            found |= header == name && (matches!(wanted, Value::Void) || value == wanted);
        });
        found
    });
    if x_match.any { matches.any(|matched| matched) } else { matches.all(|matched| matched) }
}
