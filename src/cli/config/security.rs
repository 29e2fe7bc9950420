//! Security settings, and their conversion for the broker and its listeners.

use std::fmt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use leveret_broker::login_options::Admin;
use leveret_broker::token::TokenSettings;
use toml::Value;
use toml::de::DeValue;

use super::Config;
use super::setting::Setting;
use crate::net::jwks::{KeySource, holds_login};
use crate::net::tls::{ClientCertificates, LoginFrom, TlsSettings};

/// Inconsistent keys, or an unreadable file named by one of them.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// One key requires another.
    #[error("{0}")]
    Incomplete(&'static str),
    /// A file cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: String,
    },
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Setting for Secret {
    const FORM: &'static str = "SECRET";
    const SECRET: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(Self(text.to_owned())) }
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        // An unquoted password of digits must not be shown either.
        value.as_str().map_or_else(|| Err("expected a string".to_owned()), Self::from_text)
    }

    fn show(&self) -> Option<Value> {
        Some(Value::String("(secret)".to_owned()))
    }
}

/// A URL without a login: it is shown, and its contents are public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(pub String);

impl Setting for PublicUrl {
    const FORM: &'static str = "URL";

    fn from_text(text: &str) -> Result<Self, String> {
        if holds_login(text) {
            return Err("a URL without user and password is expected".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> Option<Value> {
        Some(Value::String(self.0.clone()))
    }
}

impl Setting for IpNet {
    const FORM: &'static str = "NETWORK";

    fn from_text(text: &str) -> Result<Self, String> {
        let alone = || text.parse::<std::net::IpAddr>().map(Self::from);
        text.parse()
            .or_else(|_| alone())
            .map_err(|_| format!("{text:?} is neither an address nor a network like 10.0.0.0/8"))
    }

    fn show(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }
}

const CLIENTS: [(&str, ClientCertificates); 3] = [
    ("none", ClientCertificates::None),
    ("optional", ClientCertificates::Optional),
    ("required", ClientCertificates::Required),
];

impl Setting for ClientCertificates {
    const FORM: &'static str = "WORD";
    const WORDS: &'static [&'static str] = &["none", "optional", "required"];

    fn from_text(text: &str) -> Result<Self, String> {
        let found = CLIENTS.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| format!("expected none, optional or required, found {text:?}"))
    }

    fn show(&self) -> Option<Value> {
        let found = CLIENTS.iter().find(|(_, value)| value == self);
        found.map(|(word, _)| Value::String((*word).to_owned()))
    }
}

impl Setting for LoginFrom {
    const FORM: &'static str = "WORD";
    const WORDS: &'static [&'static str] =
        &["distinguished_name", "common_name", "san_dns", "san_email", "san_ip", "san_uri"];

    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| format!("expected one of {}, found {text:?}", Self::WORDS.join(", ")))
    }

    fn show(&self) -> Option<Value> {
        let found = Self::WORDS.iter().find(|word| Self::parse(word) == Some(*self));
        found.map(|word| Value::String((*word).to_owned()))
    }
}

/// A file's text without the trailing newline.
fn secret_in(path: &Path) -> Result<String, SecurityError> {
    let unreadable = |why: String| SecurityError::Unreadable { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err(unreadable("it is empty".to_owned())) } else { Ok(text.to_owned()) }
}

impl Config {
    /// TLS settings, if any listener uses TLS.
    ///
    /// # Errors
    /// A missing key.
    pub fn tls(&self) -> Result<Option<TlsSettings>, SecurityError> {
        let listeners = [self.amqps_listen, self.https_listen, self.metrics_tls_listen];
        let wanted = listeners.iter().any(Option::is_some);
        match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(wanted.then(|| TlsSettings {
                certificate: certificate.clone(),
                key: key.clone(),
                authorities: self.tls_ca.clone(),
                amqp_clients: self.tls_client_certificates,
                https_clients: self.tls_https_client_certificates,
                login_from: self.tls_login_from,
            })),
            (None, None) if !wanted => Ok(None),
            _ => Err(SecurityError::Incomplete(
                "TLS needs both tls.certificate and tls.key: amqps_listen, https_listen, metrics_tls_listen or one of them is set",
            )),
        }
    }

    /// The user created at first start.
    ///
    /// # Errors
    /// A missing password, or an unreadable password file.
    pub fn admin(&self) -> Result<Option<Admin>, SecurityError> {
        let password = match (&self.admin_password, &self.admin_password_file) {
            (Some(_), Some(_)) => {
                return Err(SecurityError::Incomplete(
                    "admin_password and admin_password_file: only one can be",
                ));
            }
            (Some(password), None) => password.0.clone(),
            (None, Some(path)) => secret_in(path)?,
            (None, None) if self.admin_user.is_none() => return Ok(None),
            (None, None) => {
                return Err(SecurityError::Incomplete(
                    "admin_user needs admin_password or admin_password_file",
                ));
            }
        };
        let name = self.admin_user.clone().unwrap_or_else(|| "admin".to_owned());
        Ok(Some(Admin { name, password }))
    }

    /// Token settings and the source of the keys, if tokens are accepted.
    ///
    /// # Errors
    /// A missing key, or an unreadable file.
    pub fn tokens(&self) -> Result<Option<(TokenSettings, Option<KeySource>)>, SecurityError> {
        let source = match (&self.oauth_jwks_url, &self.oauth_jwks_file) {
            (Some(_), Some(_)) => {
                return Err(SecurityError::Incomplete("oauth.jwks_url and oauth.jwks_file: only one can be"));
            }
            (Some(url), None) => {
                let source = KeySource::url(&url.0, self.oauth_jwks_ca.clone());
                Some(source.ok_or(SecurityError::Incomplete(
                    "oauth.jwks_url must begin with https://, or with http:// and this machine's name",
                ))?)
            }
            (None, Some(path)) => Some(KeySource::File(path.clone())),
            (None, None) => None,
        };
        let Some(resource_server_id) = self.oauth_resource_server_id.clone() else {
            if source.is_some() || self.oauth_hs256_key_file.is_some() {
                return Err(SecurityError::Incomplete("tokens need oauth.resource_server_id"));
            }
            return Ok(None);
        };
        if source.is_none() && self.oauth_hs256_key_file.is_none() {
            return Err(SecurityError::Incomplete(
                "oauth.resource_server_id needs oauth.jwks_url, oauth.jwks_file or oauth.hs256_key_file",
            ));
        }
        let secret = self.oauth_hs256_key_file.as_deref().map(secret_in).transpose()?;
        let prefix = self.oauth_scope_prefix.clone().unwrap_or_else(|| format!("{resource_server_id}."));
        let settings = TokenSettings {
            resource_server_id,
            issuer: self.oauth_issuer.clone(),
            scope_prefix: prefix,
            additional_scopes_key: self.oauth_additional_scopes_key.clone(),
            username_claims: self.oauth_username_claims.clone(),
            hs256_key: secret.map(String::into_bytes),
        };
        Ok(Some((settings, source)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::from_text("hunter2").unwrap();
        assert!(!format!("{secret:?} {:?}", secret.show()).contains("hunter2"));
    }

    #[test]
    fn a_url_that_is_shown_holds_no_login() {
        for (text, fits) in [
            ("https://issuer.example/keys", true),
            ("https://issuer.example/keys?for=a@b", true),
            ("https://me:hunter2@issuer.example/keys", false),
            ("https://hunter2@issuer.example", false),
        ] {
            let read = PublicUrl::from_text(text);
            assert_eq!(read.is_ok(), fits, "{text}");
            assert!(!read.is_err_and(|why| why.contains("hunter2")), "{text}");
        }
    }

    #[test]
    fn networks_may_be_single_addresses() {
        for (text, shown) in [("10.0.0.0/8", "10.0.0.0/8"), ("::1", "::1/128"), ("192.0.2.1", "192.0.2.1/32")]
        {
            assert_eq!(IpNet::from_text(text).unwrap().to_string(), shown);
        }
        assert!(IpNet::from_text("10.0.0.0/33").is_err() && IpNet::from_text("here").is_err());
    }

    #[test]
    fn half_of_a_pair_is_told() {
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config
        };
        assert!(with(|config| config.tls_key = Some("k".into())).tls().is_err());
        assert!(with(|config| config.amqps_listen = Some(([127, 0, 0, 1], 1).into())).tls().is_err());
        assert!(with(|config| config.admin_user = Some("a".to_owned())).admin().is_err());
        assert!(with(|config| config.oauth_jwks_file = Some("k".into())).tokens().is_err());
        assert!(with(|config| config.oauth_resource_server_id = Some("r".to_owned())).tokens().is_err());
        assert!(Config::default().tls().unwrap().is_none());
        assert!(Config::default().admin().unwrap().is_none());
        assert!(Config::default().tokens().unwrap().is_none());
    }

    #[test]
    fn an_admin_s_password_may_lie_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "pw\n").unwrap();
        let config = Config { admin_password_file: Some(file.path().to_owned()), ..Config::default() };
        let admin = config.admin().unwrap().unwrap();
        assert_eq!((admin.name.as_str(), admin.password.as_str()), ("admin", "pw"));
    }
}
