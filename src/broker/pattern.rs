//! Regular expressions that operators write: permissions, topic permissions, policies.
//!
//! Invariants: found anywhere in the text, as in `RabbitMQ`; a character is a byte and `\w` is ASCII, as there, unless the
//! pattern names others in a class; bounded in compiled size, and in steps where they look around (`^(?!amq\.)`), which is
//! what `RabbitMQ`'s engine knows beyond linear time. A match that takes too many steps is none.

use regex::bytes::Regex;

/// Compiled sizes in bytes that are tried in turn; the last is the largest that a pattern may have. A small one is
/// known to be small without a measurement that the library does not offer.
const COMPILED_BYTES: [usize; 3] = [4 << 10, 64 << 10, 512 << 10];

/// The largest compiled size, in bytes.
const COMPILED_BYTES_MAX: usize = COMPILED_BYTES[2];

/// What matching may cache for each thread, in bytes.
const CACHE_BYTES_MAX: usize = 64 << 10;

/// Steps back that one match may take.
const BACKTRACK_MAX: usize = 10_000;

/// Instructions of a pattern that looks around.
const INSTRUCTIONS_MAX: usize = 10_000;

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a regular expression: {why}")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    engine: Engine,
    bytes: usize,
}

#[derive(Debug)]
enum Engine {
    /// In time linear in the text.
    Linear(Regex),
    /// Looks around or back.
    Looking(Box<fancy_regex::Regex>),
}

impl Pattern {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        let linear = linear(pattern, false).or_else(|error| match error {
            regex::Error::Syntax(_) => linear(pattern, true),
            error => Err(error),
        });
        let why = match linear {
            Ok(pattern) => return Ok(pattern),
            Err(regex::Error::Syntax(why)) => last_line(&why),
            Err(error) => return Err(BadPattern { pattern: pattern.to_owned(), why: error.to_string() }),
        };
        let looking = fancy_regex::RegexBuilder::new(pattern)
            .backtrack_limit(BACKTRACK_MAX)
            .max_prog_size(INSTRUCTIONS_MAX)
            .delegate_size_limit(COMPILED_BYTES_MAX)
            .build();
        match looking {
            Ok(regex) => Ok(Self { engine: Engine::Looking(Box::new(regex)), bytes: COMPILED_BYTES_MAX }),
            Err(_) => Err(BadPattern { pattern: pattern.to_owned(), why }),
        }
    }

    /// Memory that it is counted with, in bytes: at least what it takes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the pattern is found anywhere in the text.
    pub fn is_match(&self, text: &[u8]) -> bool {
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(text),
            Engine::Looking(regex) => regex.is_match(&*String::from_utf8_lossy(text)).unwrap_or(false),
        }
    }
}

/// Compiles a pattern that is matched in linear time.
fn linear(pattern: &str, unicode: bool) -> Result<Pattern, regex::Error> {
    let mut compiled = Err(regex::Error::CompiledTooBig(COMPILED_BYTES_MAX));
    for bytes in COMPILED_BYTES {
        compiled = regex::bytes::RegexBuilder::new(pattern)
            .unicode(unicode)
            .size_limit(bytes)
            .dfa_size_limit(CACHE_BYTES_MAX)
            .build()
            .map(|regex| Pattern { engine: Engine::Linear(regex), bytes });
        if !matches!(compiled, Err(regex::Error::CompiledTooBig(_))) {
            break;
        }
    }
    compiled
}

/// The reason alone, out of a drawing of where it is.
fn last_line(why: &str) -> String {
    why.lines().last().unwrap_or(why).trim_start_matches("error: ").to_owned()
}

/// A permission's pattern: the empty one matches the empty text only. The two that most have cost nothing.
#[derive(Debug)]
pub(super) enum Permitting {
    Nothing,
    Everything,
    Matching(Pattern),
}

impl Permitting {
    pub(super) fn new(pattern: &str) -> Result<Self, BadPattern> {
        match pattern {
            "" => Ok(Self::Nothing),
            ".*" => Ok(Self::Everything),
            _ => Pattern::new(pattern).map(Self::Matching),
        }
    }

    pub(super) fn permits(&self, text: &[u8]) -> bool {
        match self {
            Self::Nothing => text.is_empty(),
            Self::Everything => true,
            Self::Matching(pattern) => pattern.is_match(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_found_anywhere_and_may_look_ahead() {
        for (pattern, text, found) in [
            ("b", "abc", true),
            ("^b", "abc", false),
            ("", "abc", true),
            (r"^(?!amq\.).*", "amq.gen-1", false),
            (r"^(?!amq\.).*", "orders", true),
            (r"(?<=\.)eu$", "orders.eu", true),
            (r"^(.+)-\1$", "a-a", true),
            (r"^(.+)-\1$", "a-b", false),
        ] {
            let compiled = Pattern::new(pattern).expect(pattern);
            assert_eq!(compiled.is_match(text.as_bytes()), found, "{pattern} in {text}");
        }
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused() {
        for pattern in ["(", "*", "[a", "(?!", "a{1000}{1000}", "(?s-u:.){60000}"] {
            let refused = Pattern::new(pattern).expect_err(pattern);
            assert!(refused.to_string().contains("is not a regular expression"), "{refused}");
            assert_eq!(refused.to_string().lines().count(), 1, "{refused}");
        }
    }

    #[test]
    fn a_character_is_a_byte_unless_the_pattern_names_others() {
        for (pattern, text, found) in [
            ("^.$", "\u{e4}", false),
            ("^..$", "\u{e4}", true),
            (r"^\w+$", "\u{e4}", false),
            ("^\u{e4}$", "\u{e4}", true),
            ("^[\u{e4}\u{f6}]$", "\u{f6}", true),
        ] {
            let compiled = Pattern::new(pattern).expect(pattern);
            assert_eq!(compiled.is_match(text.as_bytes()), found, "{pattern} in {text}");
        }
    }

    #[test]
    fn what_a_pattern_is_counted_with_bounds_what_it_takes() {
        let bytes = |pattern: &str| Pattern::new(pattern).expect("a pattern").bytes();
        for usual in ["^amq\\.", ".*", r"^(orders|bills)\.[a-z]+$", r"^\w+\.\w+$"] {
            assert_eq!(bytes(usual), COMPILED_BYTES[0], "{usual}");
        }
        assert!(bytes("(?s-u:.){4000}") > 200_000);
    }

    #[test]
    fn a_match_that_would_take_for_ever_is_none() {
        let pattern = Pattern::new(r"^(?=(a+)+$)(a|aa)+\1$").expect("a pattern");
        assert!(!pattern.is_match(format!("{}b", "a".repeat(200)).as_bytes()));
    }

    #[test]
    fn an_empty_permission_permits_the_empty_text_only() {
        let none = Permitting::new("").expect("a pattern");
        assert!(none.permits(b"") && !none.permits(b"a"));
    }

    #[test]
    fn what_everything_stands_for_is_found_in_every_text() {
        let (short, compiled) =
            (Permitting::new(".*").expect("a pattern"), Pattern::new(".*").expect("a pattern"));
        for text in [&b""[..], b"a", b"amq.default", b"\n", b"\xff\xfe"] {
            assert!(short.permits(text) && compiled.is_match(text), "{text:?}");
        }
    }
}
