//! `amqp://user:password@host:port/vhost`, and `amqps://` with TLS.

use std::path::Path;
use std::sync::Arc;

use amq_protocol::uri::{AMQPScheme, AMQPUri};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::error::PerfError;
use super::trust;

/// The broker's address and login. No `Debug`: it would print the password.
#[derive(Clone)]
pub(super) struct BrokerUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) vhost: String,
    tls: Option<Arc<ClientConfig>>,
}

impl BrokerUrl {
    /// Parses a URL; with TLS, trusts the public authorities.
    #[cfg(test)]
    pub(super) fn parse(text: &str) -> Result<Self, PerfError> {
        Self::trusting(text, None, false)
    }

    /// With TLS the broker's certificate must come from an authority in `ca_file`, from a public one without
    /// it, or from anyone if `insecure`.
    pub(super) fn trusting(text: &str, ca_file: Option<&Path>, insecure: bool) -> Result<Self, PerfError> {
        let parsed: AMQPUri = text.parse().map_err(|why| {
            PerfError::Option(format!("--url: {why}; want amqp://user:password@host:port/vhost"))
        })?;
        let tls = match parsed.scheme {
            AMQPScheme::AMQPS => Some(trust::config(ca_file, insecure)?),
            AMQPScheme::AMQP if ca_file.is_some() || insecure => {
                return Err(PerfError::Option("--ca-file and --insecure are for an amqps:// URL".into()));
            }
            AMQPScheme::AMQP => None,
        };
        Ok(Self {
            tls,
            host: parsed.authority.host,
            port: parsed.authority.port,
            user: parsed.authority.userinfo.username,
            password: parsed.authority.userinfo.password,
            // No broker has a vhost with an empty name; a trailing slash means the default.
            vhost: if parsed.vhost.is_empty() { "/".to_owned() } else { parsed.vhost },
        })
    }

    /// The address and vhost, without the password.
    pub(super) fn shown(&self) -> String {
        let scheme = if self.tls.is_some() { "amqps" } else { "amqp" };
        format!("{scheme}://{}:{}/{}", self.host, self.port, self.vhost.replace('/', "%2f"))
    }

    /// The client side of TLS, if used.
    pub(super) fn tls_connection(&self) -> Result<Option<ClientConnection>, PerfError> {
        let Some(config) = &self.tls else { return Ok(None) };
        let wrong = |why: String| PerfError::Option(format!("--url: {}: {why}", self.host));
        let name = ServerName::try_from(self.host.clone()).map_err(|why| wrong(why.to_string()))?;
        ClientConnection::new(config.clone(), name).map(Some).map_err(|why| wrong(why.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_read_with_defaults_and_shown_without_its_password() {
        for (text, user, host, port, vhost, shown) in [
            ("amqp://localhost", "guest", "localhost", 5672, "/", "amqp://localhost:5672/%2f"),
            (
                "amqp://me:se%40cret@10.0.0.1:5673/prod",
                "me",
                "10.0.0.1",
                5673,
                "prod",
                "amqp://10.0.0.1:5673/prod",
            ),
            (
                "amqp://guest:guest@127.0.0.1:5672/%2f",
                "guest",
                "127.0.0.1",
                5672,
                "/",
                "amqp://127.0.0.1:5672/%2f",
            ),
            ("amqps://localhost/x", "guest", "localhost", 5671, "x", "amqps://localhost:5671/x"),
        ] {
            let Ok(url) = BrokerUrl::parse(text) else { panic!("{text}") };
            assert_eq!((&*url.user, &*url.host, url.port, &*url.vhost), (user, host, port, vhost));
            assert_eq!(url.shown(), shown);
        }
        assert!(BrokerUrl::parse("http://localhost").is_err());
    }

    #[test]
    fn tls_is_for_amqps_alone_and_wants_certificates_in_its_file() {
        let failure = |text, file: Option<&str>, insecure| {
            BrokerUrl::trusting(text, file.map(Path::new), insecure).err().unwrap().to_string()
        };
        assert!(failure("amqp://localhost", Some("x"), false).contains("amqps://"));
        assert!(failure("amqp://localhost", None, true).contains("amqps://"));
        assert!(failure("amqps://localhost", Some("/none"), false).starts_with("--ca-file /none: "));
        assert!(failure("amqps://localhost", Some("/dev/null"), false).contains("no certificate"));
        let plain = BrokerUrl::parse("amqp://localhost").ok().unwrap();
        assert!(plain.tls_connection().unwrap().is_none());
        let anyone = BrokerUrl::trusting("amqps://localhost", None, true).ok().unwrap();
        assert!(anyone.tls_connection().unwrap().is_some());
    }
}
