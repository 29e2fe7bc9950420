//! Why a binding matches a message or not, in terms of the rule itself: words of a topic pattern, headers.

use crate::kind::XMatch;
use crate::naive::words;
use crate::{Args, Attributes, Value};

/// Maximum headers listed for one binding.
const HEADERS_MAX: usize = 20;

/// Why a binding does not match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// The routing key is not the binding key.
    Key,
    /// The topic pattern, compared word by word with the first key. The last entry is the one that does not match.
    Words(Vec<Word>),
    /// Headers that do not match, at most 20. With `x-match` `any`, none of them does.
    Headers(Vec<Mismatch>),
    /// The exchange picks one of its bindings, and picked another.
    NotPicked,
    /// An `x-federation-upstream` exchange: the message has reached its hop limit, or already passed the other end.
    Horizon,
}

/// A word of a topic pattern beside the words of the key that it covers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// The word of the pattern; empty where the pattern has ended and the key continues.
    pub pattern: String,
    /// What stands there in the key: one word, for `#` any number of words. `None`: the key has ended.
    pub key: Option<String>,
    /// Whether they match.
    pub matches: bool,
}

/// A header that does not match a binding's argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The header's name.
    pub header: Box<[u8]>,
    /// The message lacks it; otherwise its value differs.
    pub absent: bool,
}

/// Compares a topic pattern with a key word by word, up to the first word that does not match. In time and memory
/// proportional to words of pattern times words of key.
pub(super) fn compare_words(pattern: &[u8], key: &[u8]) -> Vec<Word> {
    let (parts, key): (Vec<&[u8]>, Vec<&[u8]>) = (words(pattern).collect(), words(key).collect());
    // reached[i][n]: the first i parts match the first n words.
    let mut reached = vec![vec![false; key.len() + 1]; parts.len() + 1];
    reached[0][0] = true;
    for (at, part) in parts.iter().enumerate() {
        for place in 0..=key.len() {
            reached[at + 1][place] = if *part == b"#" {
                reached[at][..=place].contains(&true)
            } else {
                place > 0 && reached[at][place - 1] && (*part == b"*" || *part == key[place - 1])
            };
        }
    }
    let whole = reached[parts.len()][key.len()];
    let last = reached.iter().rposition(|row| row.contains(&true)).unwrap_or(0);
    let ends = || reached[last].iter().enumerate().filter(|(_, at)| **at).map(|(place, _)| place);
    // A `#` may have covered all words: the one behind it is then compared with the last.
    let before_end = ends().rfind(|place| *place < key.len());
    let place = if whole { key.len() } else { before_end.or_else(|| ends().next_back()).unwrap_or(0) };
    let mut compared = covered(&parts, &key, &reached, last, place);
    if !whole {
        let (pattern, rest) = match parts.get(last) {
            Some(part) => (text(part), key.get(place).map(|word| text(word))),
            None => (String::new(), Some(text(&key[place..].join(&b'.')))),
        };
        compared.push(Word { pattern, key: rest, matches: false });
    }
    compared
}

/// The first `last` parts, each with the words it covers, where they match the first `place` words.
fn covered(
    parts: &[&[u8]],
    key: &[&[u8]],
    reached: &[Vec<bool>],
    last: usize,
    mut place: usize,
) -> Vec<Word> {
    let mut compared = Vec::with_capacity(last + 1);
    for at in (0..last).rev() {
        let from = if parts[at] == b"#" {
            reached[at][..=place].iter().rposition(|at| *at).unwrap_or(place)
        } else {
            place.saturating_sub(1)
        };
        let words = text(&key[from..place].join(&b'.'));
        compared.push(Word { pattern: text(parts[at]), key: Some(words), matches: true });
        place = from;
    }
    compared.reverse();
    compared
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The arguments of a headers binding that the message does not satisfy.
pub(super) fn compare_headers(args: &Args, message: &dyn Attributes) -> Vec<Mismatch> {
    let Ok(x_match) = XMatch::from_args(args) else { return Vec::new() };
    let (mut nested, mut found) = (Vec::new(), Vec::new());
    for (name, wanted) in args.iter_as_given().filter(|(name, _)| x_match.counts(name)) {
        let wanted = wanted.as_value(&mut nested);
        let (mut present, mut equal) = (false, false);
        message.each_header(&mut |header, value| {
            if header == name {
                present = true;
                equal |= matches!(wanted, Value::Void) || value == wanted;
            }
        });
        if !equal {
            found.push(Mismatch { header: name.into(), absent: !present });
            if found.len() == HEADERS_MAX {
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive;

    /// `part=words`, with `!` before the one that does not match, and `-` where the key has ended.
    fn shown(pattern: &str, key: &str) -> String {
        let words = compare_words(pattern.as_bytes(), key.as_bytes()).into_iter().map(|word| {
            let sign = if word.matches { "" } else { "!" };
            format!("{sign}{}={}", word.pattern, word.key.as_deref().unwrap_or("-"))
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_pattern_is_compared_word_by_word_up_to_the_first_that_differs() {
        for (pattern, key, want) in [
            ("a.b", "a.b", "a=a b=b"),
            ("a.*.c", "a.b.d", "a=a *=b !c=d"),
            ("a.*", "a", "a=a !*=-"),
            ("a", "a.b.c", "a=a !=b.c"),
            ("b.#", "a.b", "!b=a"),
            ("#.c", "a.b", "#=a !c=b"),
            ("a.#", "a.b.c", "a=a #=b.c"),
            ("a.#.c", "a.c", "a=a #= c=c"),
            ("#", "", "#="),
            ("", "", ""),
            ("a", "", "!a=-"),
            ("", "a", "!=a"),
            ("*.*", "x.", "*=x *="),
        ] {
            assert_eq!(shown(pattern, key), want, "{pattern} against {key}");
        }
    }

    proptest! {
        #[test]
        fn all_words_match_exactly_if_the_pattern_does(
            pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "#"]), 0..6),
            key in prop::collection::vec(prop::sample::select(vec!["a", "b", ""]), 0..6),
        ) {
            let (pattern, key) = (pattern.join("."), key.join("."));
            let compared = compare_words(pattern.as_bytes(), key.as_bytes());
            let matches = compared.iter().all(|word| word.matches);
            prop_assert_eq!(matches, naive::topic(pattern.as_bytes(), key.as_bytes()), "{} {}", pattern, key);
            prop_assert!(compared.iter().filter(|word| !word.matches).count() <= 1);
        }
    }
}
