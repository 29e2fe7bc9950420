//! The server's host names. A third party's page can point its own name at the server's address (DNS rebinding); the
//! browser then treats the server's answers as the third party's. The name in `Host` gives the attack away.
//!
//! Names without a dot, and addresses, cannot be a third party's, so they are always accepted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::Request;
use axum::http::header::HOST;

/// The configuration key for further names, used in messages.
pub(super) const KEY: &str = "http_allowed_hosts";

/// The accepted names.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    allowed: Arc<[String]>,
    /// Loopback listener, or names configured: other names are refused.
    strict: bool,
}

impl Hosts {
    /// `allowed`: names beside the built-in ones; `*.example.com` covers all subdomains.
    pub(super) fn new(allowed: &[String], listening: SocketAddr) -> Self {
        let strict = !allowed.is_empty() || listening.ip().to_canonical().is_loopback();
        let own = leveret_platform::hostname();
        let names = allowed.iter().map(String::as_str).chain([own.trim()]).map(str::to_ascii_lowercase);
        Self { allowed: names.collect(), strict }
    }

    /// Whether requests for other names are refused; if not, only what a third party's page could do with them is.
    pub(super) const fn is_strict(&self) -> bool {
        self.strict
    }

    /// Whether this is an accepted name, with or without a port.
    pub(super) fn has(&self, host: &str) -> bool {
        let name = name_of(host);
        let address = name.trim_start_matches('[').trim_end_matches(']');
        if address.parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        !name.contains('.')
            || name.ends_with(".localhost")
            || self.allowed.iter().any(|allowed| match allowed.strip_prefix('*') {
                Some(end) => name.ends_with(end),
                None => *allowed == name,
            })
    }
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
        }
        _ => host,
    }
}

/// The host that a request is for; `None` if it names none, which no browser does.
pub(super) fn host_of<B>(request: &Request<B>) -> Option<&str> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str());
    }
    request.headers().get(HOST).map(|host| host.to_str().unwrap_or("not.a.name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(allowed: &[&str], listening: &str) -> Hosts {
        let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        Hosts::new(&allowed, listening.parse().unwrap())
    }

    #[test]
    fn addresses_and_names_that_no_stranger_has_are_ours() {
        let hosts = hosts(&["Mq.Example.com"], "127.0.0.1:1");
        for host in [
            "localhost",
            "localhost:15672",
            "LOCALHOST:1",
            "mq",
            "mq:15672",
            "127.0.0.1",
            "127.0.0.1:15672",
            "10.1.2.3:15672",
            "[::1]",
            "[::1]:15672",
            "::1",
            "0.0.0.0:1",
            "a.localhost:1",
            "mq.example.com",
            "MQ.EXAMPLE.COM:15672",
            "mq.example.com.",
        ] {
            assert!(hosts.has(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:15672",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "mq.example.com.evil.example",
            "x.mq.example.com",
            "evil.example.",
            "[::1].evil.example:1",
        ] {
            assert!(!hosts.has(host), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused_where_only_this_machine_asks_or_names_were_given() {
        for (allowed, listening, strict) in [
            (&[][..], "127.0.0.1:1", true),
            (&[], "[::1]:1", true),
            (&[], "0.0.0.0:1", false),
            (&[], "[::]:1", false),
            (&[], "10.1.2.3:1", false),
            (&["mq.example.com"], "0.0.0.0:1", true),
        ] {
            assert_eq!(hosts(allowed, listening).is_strict(), strict, "{allowed:?} {listening}");
        }
        assert!(hosts(&["*"], "127.0.0.1:1").has("any.example"));
        let below = hosts(&["*.example.com"], "127.0.0.1:1");
        assert!(below.has("mq.example.com:1") && !below.has("evil-example.com"));
    }

    #[test]
    fn the_host_is_the_target_s_if_it_names_one() {
        let request = |uri: &str, host: Option<&str>| {
            let mut request = Request::builder().uri(uri);
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            host_of(&request.body(()).unwrap()).map(str::to_owned)
        };
        assert_eq!(request("/x", Some("a:1")).as_deref(), Some("a:1"));
        assert_eq!(request("http://b:2/x", Some("a:1")).as_deref(), Some("b:2"));
        assert_eq!(request("/x", None), None);
    }
}
