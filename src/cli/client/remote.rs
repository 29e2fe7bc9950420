//! The broker and login of a command: flags shared by `ctl`, `plan`, `apply` and `export`.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::login::{self, Secret};
use super::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, Client, Failure};

/// The user created at first start.
const DEFAULT_USER: &str = "guest";

/// Which broker, and as whom. To be flattened last, as its heading is for all that come behind it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Broker")]
pub struct Remote {
    /// The broker's management API.
    #[arg(
        long,
        value_name = "URL",
        env = "LEVERET_URL",
        default_value = "http://127.0.0.1:15672",
        global = true
    )]
    url: String,
    /// User name [default: guest, or the one in the URL].
    // An id of its own: subcommands have arguments called user.
    #[arg(id = "login", long = "user", value_name = "NAME", env = "LEVERET_USER", global = true)]
    user: Option<String>,
    /// The password; without one, a terminal is asked.
    #[arg(long, value_name = "PASSWORD", env = "LEVERET_PASSWORD", hide_env_values = true, global = true)]
    password: Option<Secret>,
    /// A file whose first line is the password.
    #[arg(
        long,
        value_name = "FILE",
        env = "LEVERET_PASSWORD_FILE",
        conflicts_with = "password",
        global = true
    )]
    password_file: Option<PathBuf>,
    /// Certificates (PEM) to trust instead of the public ones, for https.
    #[arg(long, value_name = "FILE", env = "LEVERET_CA_FILE", global = true)]
    ca_file: Option<PathBuf>,
}

/// A URL, separated from any user and password in it.
struct Place {
    base: String,
    user: Option<String>,
    password: Option<String>,
}

fn place(url: &str) -> Result<Place, Failure> {
    // Its login must not reach the terminal.
    let shown = url.rsplit_once('@').map_or(url, |(_, host)| host);
    let wrong = |why: &str| Failure::Usage(format!("--url {shown}: {why}"));
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("must begin with http:// or https://"))?;
    if !["http", "https"].contains(&scheme) {
        return Err(wrong("must begin with http:// or https://"));
    }
    let end = rest.find('/').unwrap_or(rest.len());
    let (login, host) = rest[..end].rsplit_once('@').map_or((None, &rest[..end]), |(l, h)| (Some(l), h));
    if host.is_empty() {
        return Err(wrong("no host"));
    }
    let unquoted = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        None => (None, None),
        Some((user, "")) => (Some(unquoted(user)), None),
        Some((user, password)) => (Some(unquoted(user)), Some(unquoted(password))),
    };
    let path = rest[end..].trim_end_matches('/').trim_end_matches("/api");
    Ok(Place { base: format!("{scheme}://{host}{path}"), user, password })
}

impl Remote {
    /// The same login for another URL, which may contain its own.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// The broker and login given in the environment.
    pub fn of_environment() -> Result<Self, Failure> {
        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            remote: Remote,
        }
        let parsed = <Alone as clap::Parser>::try_parse_from(["leveret"]);
        parsed.map(|alone| alone.remote).map_err(|error| Failure::Usage(error.to_string()))
    }

    /// From a URL, a login, and the certificates to trust.
    pub fn of(url: String, user: String, password: Secret, ca_file: Option<PathBuf>) -> Self {
        Self { url, user: Some(user), password: Some(password), password_file: None, ca_file }
    }

    /// A client; prompts for a password if one is needed and a terminal is available. Does not connect yet.
    pub fn client(&self) -> Result<Client, Failure> {
        self.client_within(None)
    }

    /// [`Remote::client`] with a timeout for the start of each response.
    pub fn client_within(&self, timeout: Option<Duration>) -> Result<Client, Failure> {
        let place = place(&self.url)?;
        let user = place.user.or_else(|| self.user.clone()).unwrap_or_else(|| DEFAULT_USER.to_owned());
        let password = match (place.password, &self.password, &self.password_file) {
            (Some(password), ..) => password.into(),
            (None, Some(password), _) => password.clone(),
            (None, None, Some(file)) => login::from_file(file)?,
            (None, None, None) if user == DEFAULT_USER => DEFAULT_USER.to_owned().into(),
            (None, None, None) => login::from_person(&format!("Password of {user}:"))?,
        };
        let encoded = STANDARD.encode(format!("{user}:{}", password.reveal()));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("leveret/", env!("CARGO_PKG_VERSION")))
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(timeout.unwrap_or(ANSWER_TIMEOUT)))
            .tls_config(TlsConfig::builder().root_certs(self.trusted()?).build())
            .build()
            .new_agent();
        Ok(Client { agent, base: place.base, login: Some(format!("Basic {encoded}")) })
    }

    fn trusted(&self) -> Result<RootCerts, Failure> {
        let Some(file) = &self.ca_file else { return Ok(RootCerts::WebPki) };
        let wrong = |why: String| Failure::Usage(format!("--ca-file {}: {why}", file.display()));
        let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        let mut certificates: Vec<Certificate<'static>> = Vec::new();
        for item in parse_pem(&bytes) {
            if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(error.to_string()))? {
                certificates.push(certificate);
            }
        }
        if certificates.is_empty() {
            return Err(wrong("no certificate in it".to_owned()));
        }
        Ok(RootCerts::new_with_certs(&certificates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_who_asks_and_end_as_it_likes() {
        for (url, base, user, password) in [
            ("http://h:1", "http://h:1", None, None),
            ("http://h:1/api/", "http://h:1", None, None),
            ("https://a%40b:c%3A@h/mq/", "https://h/mq", Some("a@b"), Some("c:")),
            ("http://a@h", "http://h", Some("a"), None),
        ] {
            let place = place(url).unwrap();
            assert_eq!(place.base, base, "{url}");
            assert_eq!((place.user.as_deref(), place.password.as_deref()), (user, password), "{url}");
        }
        for wrong in ["h:1", "amqp://h", "http://", "http:///x"] {
            assert!(matches!(place(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
        let Err(failure) = place("amqp://a:s3cret@h") else { panic!("another scheme") };
        assert!(!failure.to_string().contains("s3cret"), "{failure}");
    }
}
