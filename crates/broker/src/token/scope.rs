//! Permissions in a token's scopes, in `RabbitMQ`'s syntax: `read:vhost/queue`, `write:vhost/exchange/key`,
//! `configure:vhost/name`, `tag:administrator`. `*` is a wildcard, also within a word; other characters may be
//! percent-encoded, so `%2F` is the vhost `/` and `%2A` a star.

use percent_encoding::percent_decode_str;

use crate::refusal::Access;

/// A recognized scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// A user tag.
    Tag(String),
    /// A permission.
    Permission(Pattern),
}

/// A permission for all matching resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    access: Access,
    vhost: Wildcard,
    name: Wildcard,
    key: Wildcard,
}

impl Scope {
    /// Parses a scope without its prefix. `None`: it belongs to another application.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (what, rest) = text.split_once(':')?;
        let access = match what {
            "tag" => return Some(Self::Tag(rest.to_owned())),
            "configure" => Access::Configure,
            "write" => Access::Write,
            "read" => Access::Read,
            _ => return None,
        };
        let parts: Vec<_> = rest.split('/').collect();
        let (vhost, name, key) = match *parts {
            [vhost, name] => (vhost, name, "*"),
            [vhost, name, key] => (vhost, name, key),
            _ => return None,
        };
        let [vhost, name, key] = [vhost, name, key].map(Wildcard::parse);
        Some(Self::Permission(Pattern { access, vhost: vhost?, name: name?, key: key? }))
    }
}

impl Pattern {
    pub(super) fn fits_vhost(&self, vhost: &str) -> bool {
        self.vhost.fits(vhost.as_bytes())
    }

    /// Whether it allows this access to a queue or an exchange in a matching vhost.
    pub(super) fn allows(&self, access: Access, name: &str) -> bool {
        self.access == access && self.name.fits(name.as_bytes())
    }

    /// Whether it is restricted to certain routing keys.
    pub(super) fn restricts_keys(&self) -> bool {
        !self.key.0.iter().all(Vec::is_empty) || self.key.0.len() == 1
    }

    /// As `allows`, for a routing key on a topic exchange.
    pub(super) fn allows_key(&self, access: Access, name: &str, key: &[u8]) -> bool {
        self.allows(access, name) && self.key.fits(key)
    }
}

/// The literals between the stars.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wildcard(Vec<Vec<u8>>);

impl Wildcard {
    fn parse(pattern: &str) -> Option<Self> {
        let parts = pattern.split('*').map(|part| {
            let decoded: Vec<u8> = percent_decode_str(part).collect();
            // A percent sign outside of an escape is an error, and must not match by accident.
            let escapes = part.bytes().filter(|byte| *byte == b'%').count();
            (decoded.len() + 2 * escapes == part.len()).then_some(decoded)
        });
        parts.collect::<Option<_>>().map(Self)
    }

    fn fits(&self, text: &[u8]) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.first().is_some_and(|only| only == text);
        };
        let Some(rest) = text.strip_prefix(first.as_slice()) else { return false };
        let Some(mut rest) = rest.strip_suffix(last.as_slice()) else { return false };
        for part in middle.iter().filter(|part| !part.is_empty()) {
            let Some(at) = rest.windows(part.len()).position(|window| window == part.as_slice()) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_escapes_for_themselves() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("*", "anything", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("", "", true),
            ("", "a", false),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*b", "ab", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**", "x", true),
            ("%2F", "/", true),
            ("%2f", "/", true),
            ("%2A", "*", true),
            ("%2A", "x", false),
            ("q.#", "q.#", true),
        ] {
            assert_eq!(Wildcard::parse(pattern).unwrap().fits(text.as_bytes()), want, "{pattern} {text}");
        }
        assert_eq!(Wildcard::parse("100%"), None);
    }

    #[test]
    fn scopes_that_say_nothing_to_us_are_none() {
        for text in ["", "read", "read:", "read:a", "read:a/b/c/d", "list:a/b", "openid", "write:%/x"] {
            assert_eq!(Scope::parse(text), None, "{text:?}");
        }
        assert_eq!(Scope::parse("tag:administrator"), Some(Scope::Tag("administrator".to_owned())));
    }

    #[test]
    fn a_scope_allows_its_operation_on_its_names_only() {
        for (scope, access, vhost, name, key, want) in [
            ("read:*/*", Access::Read, "/", "q", "k", true),
            ("read:*/*", Access::Write, "/", "q", "k", false),
            ("read:*/*", Access::Configure, "/", "q", "k", false),
            ("write:%2F/x", Access::Write, "/", "x", "k", true),
            ("write:%2F/x", Access::Write, "/", "y", "k", false),
            ("write:%2F/x", Access::Write, "other", "x", "k", false),
            ("write:v/x/a.*", Access::Write, "v", "x", "a.b", true),
            ("write:v/x/a.*", Access::Write, "v", "x", "b.a", false),
            ("configure:v*/q*", Access::Configure, "v1", "q1", "", true),
        ] {
            let Some(Scope::Permission(pattern)) = Scope::parse(scope) else { panic!("{scope}") };
            let got = pattern.fits_vhost(vhost) && pattern.allows_key(access, name, key.as_bytes());
            assert_eq!(got, want, "{scope} {access:?} {vhost} {name} {key}");
        }
    }
}
