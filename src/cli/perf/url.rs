//! `amqp://user:password@host:port/vhost`.

use super::error::PerfError;

/// Where the broker is and how to log in. No `Debug`: it would print the password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct BrokerUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) vhost: String,
}

impl BrokerUrl {
    pub(super) fn parse(text: &str) -> Result<Self, PerfError> {
        if text.starts_with("amqps://") {
            return Err(PerfError::Option("--url: perf speaks plain AMQP only, not amqps://".into()));
        }
        let parsed: amq_protocol::uri::AMQPUri = text.parse().map_err(|why| {
            PerfError::Option(format!("--url: {why}; want amqp://user:password@host:port/vhost"))
        })?;
        Ok(Self {
            host: parsed.authority.host,
            port: parsed.authority.port,
            user: parsed.authority.userinfo.username,
            password: parsed.authority.userinfo.password,
            // No broker has a vhost without a name; a trailing slash means the default.
            vhost: if parsed.vhost.is_empty() { "/".to_owned() } else { parsed.vhost },
        })
    }

    /// The address and vhost, without the password.
    pub(super) fn shown(&self) -> String {
        format!("amqp://{}:{}/{}", self.host, self.port, self.vhost.replace('/', "%2f"))
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
        ] {
            let Ok(url) = BrokerUrl::parse(text) else { panic!("{text}") };
            assert_eq!((&*url.user, &*url.host, url.port, &*url.vhost), (user, host, port, vhost));
            assert_eq!(url.shown(), shown);
        }
        assert!(BrokerUrl::parse("http://localhost").is_err());
        assert!(BrokerUrl::parse("amqps://localhost").is_err());
    }
}
