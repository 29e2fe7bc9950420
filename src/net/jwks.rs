//! Token signing keys from a file or over HTTPS, reloaded periodically.
//!
//! Invariants: a set that cannot be read or used leaves the current keys in place; a set is bounded in bytes, a
//! fetch in time; keys come over HTTPS, or from this machine.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

use leveret_broker::token::Tokens;

/// Largest key set, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Interval for reading a file, for retrying a failed URL, and for a fetch after a token with an unknown key.
const SOON: Duration = Duration::from_secs(10);

/// Source of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// A URL, and the file of the authorities accepted for its server's certificate.
    Url(String, Option<PathBuf>),
}

impl KeySource {
    /// A URL, if it can be trusted: over HTTPS, or on this machine.
    pub fn url(url: &str, authorities: Option<PathBuf>) -> Option<Self> {
        let local = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"];
        let trusted = url.starts_with("https://") || local.iter().any(|start| url.starts_with(start));
        (trusted && !holds_login(url)).then(|| Self::Url(url.to_owned(), authorities))
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => {
                let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
                let mut bytes = Vec::new();
                let read = file.take(BYTES_MAX).read_to_end(&mut bytes);
                read.map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(bytes)
            }
            Self::Url(url, authorities) => {
                fetch(url, authorities.as_deref()).map_err(|error| format!("{url}: {error}"))
            }
        }
    }
}

/// Whether a URL has a login in front of its host.
pub fn holds_login(url: &str) -> bool {
    let behind = url.split_once("://").map_or(url, |(_, rest)| rest);
    behind.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

fn fetch(url: &str, authorities: Option<&Path>) -> Result<Vec<u8>, String> {
    let mut tls = TlsConfig::builder();
    if let Some(path) = authorities {
        let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let certificates: Vec<Certificate<'static>> = ureq::tls::parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        tls = tls.root_certs(RootCerts::Specific(Arc::new(certificates)));
    }
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH_TIMEOUT))
        .https_only(url.starts_with("https://"))
        .max_redirects(3)
        .tls_config(tls.build())
        .build()
        .new_agent();
    let mut answer = agent.get(url).call().map_err(|error| error.to_string())?;
    answer.body_mut().with_config().limit(BYTES_MAX).read_to_vec().map_err(|error| error.to_string())
}

/// Keeps `tokens` supplied with keys; never ends. A URL is fetched every `refresh`, and sooner when a token names
/// an unknown key.
pub async fn keep(tokens: Arc<Tokens>, source: KeySource, refresh: Duration) {
    let mut known = Err(String::new());
    let mut ask_again = Instant::now();
    loop {
        if tokens.take_key_missed() || matches!(source, KeySource::File(_)) || Instant::now() >= ask_again {
            let source = source.clone();
            let read = tokio::task::spawn_blocking(move || source.read()).await;
            let read = read.unwrap_or_else(|error| Err(error.to_string()));
            ask_again = Instant::now() + if read.is_ok() { refresh } else { SOON };
            supply(&tokens, &mut known, read);
        }
        tokio::time::sleep(SOON).await;
    }
}

/// Passes on new keys; each result is logged once.
fn supply(tokens: &Tokens, known: &mut Result<Vec<u8>, String>, read: Result<Vec<u8>, String>) {
    if read == *known {
        return;
    }
    match read.as_deref().map_err(Clone::clone).and_then(|bytes| tokens.set_keys(bytes)) {
        Ok(count) => tracing::info!("keys for tokens read: {count}"),
        Err(why) => tracing::error!("keys for tokens stay as they were: {why}"),
    }
    *known = read;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for (url, want) in [
            ("https://issuer.example/keys", true),
            ("http://127.0.0.1:8080/keys", true),
            ("http://localhost:8080/keys", true),
            ("http://localhost.evil.example/keys", false),
            ("http://issuer.example/keys", false),
            ("http://localhost:8080@evil.example/keys", false),
            ("https://user:password@issuer.example/keys", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(KeySource::url(url, None).is_some(), want, "{url}");
        }
    }
}
