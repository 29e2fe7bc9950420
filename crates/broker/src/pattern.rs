//! Regular expressions written by operators: permissions, topic permissions, policies.
//!
//! Invariants: a match anywhere in the text counts, as in `RabbitMQ`; a character is a byte and `\w` is ASCII, as
//! there, unless a class in the pattern names others; compiled size is bounded, and so are the steps of patterns with
//! lookaround (`^(?!amq\.)`), the part of `RabbitMQ`'s syntax that has no linear-time match. A match that takes too
//! many steps fails.

use regex::bytes::Regex;

/// Size limits for compilation in bytes, tried in turn; the last is the maximum. Trying small limits first bounds a
/// pattern's size, which the library does not report.
const COMPILED_BYTES: [usize; 3] = [4 << 10, 64 << 10, 512 << 10];

/// Maximum compiled size, in bytes.
const COMPILED_BYTES_MAX: usize = COMPILED_BYTES[2];

/// Maximum match cache per thread, in bytes.
const CACHE_BYTES_MAX: usize = 64 << 10;

/// Maximum backtracking steps per match.
const BACKTRACK_MAX: usize = 10_000;

/// Maximum instructions of a pattern with lookaround.
const INSTRUCTIONS_MAX: usize = 10_000;

/// An invalid pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a regular expression: {why}")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// The error.
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
    /// Linear-time matching.
    Linear(Regex),
    /// With lookaround or backreferences.
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

    /// Accounted memory in bytes: an upper bound.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the pattern matches anywhere in the text.
    pub fn is_match(&self, text: &[u8]) -> bool {
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(text),
            Engine::Looking(regex) => regex.is_match(&*String::from_utf8_lossy(text)).unwrap_or(false),
        }
    }
}

/// Compiles a pattern for linear-time matching.
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

/// The error message without the marked-up pattern above it.
fn last_line(why: &str) -> String {
    why.lines().last().unwrap_or(why).trim_start_matches("error: ").to_owned()
}

/// A permission's pattern: the empty one matches only the empty text. The two most common ones cost nothing.
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
