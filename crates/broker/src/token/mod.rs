//! Tokens (JWT, OAuth 2) in place of passwords: issuer, subject, expiry and the permissions of their scopes,
//! interpreted as in `RabbitMQ`.
//!
//! Invariants: nothing in a token counts before its signature is verified with a key of the issuer; the key determines
//! the algorithm, so neither `none` nor a public key used as a secret is accepted; an unreadable expiry counts as
//! expired; a token's grant does not change while it is valid.
//! Absent: fetching keys, done by `net`; a clock.

mod scope;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use leveret_message::Millis;
use parking_lot::RwLock;
use serde_json::{Map, Value};

use super::names::UserName;
use super::refusal::Access;
use scope::{Pattern, Scope};

/// Maximum size of a token, in bytes.
const TOKEN_BYTES_MAX: usize = 32 * 1024;

/// Maximum keys per issuer.
const KEYS_MAX: usize = 100;

/// Maximum permissions per token.
const SCOPES_MAX: usize = 1000;

/// Tolerance for an issuer's clock ahead of ours, in milliseconds.
const AHEAD_MS: u64 = 60_000;

/// Token settings. No `Debug`: it would print the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// Required in `aud`.
    pub resource_server_id: String,
    /// Required in `iss`, if set.
    pub issuer: Option<String>,
    /// Prefix of our scopes, usually the resource server's id and a dot.
    pub scope_prefix: String,
    /// Another claim with scopes: a path separated by dots.
    pub additional_scopes_key: Option<String>,
    /// Claims that may hold the user name; the first one present counts.
    pub username_claims: Vec<String>,
    /// The secret for HS256; without it, HS256 is refused.
    pub hs256_key: Option<Vec<u8>>,
}

/// Why a token is refused. For the log only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Malformed, or with a wrong signature, issuer or audience.
    #[error("token: {0}")]
    Invalid(String),
    /// No known key could have signed it.
    #[error("token: no key is known for algorithm {0:?} and key id {1:?}")]
    NoKey(Algorithm, String),
    /// Expired, or its expiry is not a time.
    #[error("token: expired, or 'exp' is not a time")]
    Expired,
    /// Not valid yet.
    #[error("token: not valid yet")]
    TooEarly,
    /// None of the claims contains a name.
    #[error("token: no claim with the user's name")]
    Nameless,
}

/// What a token grants.
#[derive(Debug)]
pub struct Grant {
    /// The user's tags.
    pub tags: Vec<String>,
    /// Expiry, if any: a token without `exp` is valid until its key is withdrawn, as in `RabbitMQ`.
    pub expires: Option<Millis>,
    patterns: Vec<Pattern>,
}

/// What a token grants in one vhost.
#[derive(Debug)]
pub(super) struct VhostGrant(Vec<Pattern>);

impl Grant {
    /// Whether it grants anything in a vhost.
    pub fn may_enter(&self, vhost: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.fits_vhost(vhost))
    }

    /// Its permissions in a vhost, if any.
    pub(super) fn in_vhost(&self, vhost: &str) -> Option<VhostGrant> {
        let fitting = self.patterns.iter().filter(|pattern| pattern.fits_vhost(vhost));
        let fitting: Vec<_> = fitting.cloned().collect();
        (!fitting.is_empty()).then_some(VhostGrant(fitting))
    }
}

impl VhostGrant {
    pub(super) fn allows(&self, access: Access, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.allows(access, name))
    }

    /// Whether any permission is restricted to certain routing keys.
    pub(super) fn restricts_keys(&self) -> bool {
        self.0.iter().any(Pattern::restricts_keys)
    }

    pub(super) fn allows_key(&self, access: Access, exchange: &str, key: &[u8]) -> bool {
        self.0.iter().any(|pattern| pattern.allows_key(access, exchange, key))
    }
}

struct IssuerKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// See the module documentation.
pub struct Tokens {
    settings: TokenSettings,
    keys: RwLock<Arc<[IssuerKey]>>,
    /// A token named an unknown key.
    key_missed: AtomicBool,
}

/// Whether a password is to be treated as a token.
pub(super) fn looks_like_token(password: &[u8]) -> bool {
    password.starts_with(b"ey") && password.split(|byte| *byte == b'.').count() == 3
}

impl Tokens {
    /// Starts with no key other than that for HS256.
    pub fn new(settings: TokenSettings) -> Self {
        signature::install();
        Self { settings, keys: RwLock::new(Arc::new([])), key_missed: AtomicBool::new(false) }
    }

    /// Replaces the issuer's keys with those of a JWK set. Returns the number of usable keys.
    ///
    /// # Errors
    /// What is wrong with the set; the keys are then unchanged.
    pub fn set_keys(&self, json: &[u8]) -> Result<usize, String> {
        let set: JwkSet = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let signing = set
            .keys
            .iter()
            .filter(|jwk| !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)));
        let keys: Vec<_> = signing
            .filter_map(|jwk| {
                let algorithm = match &jwk.algorithm {
                    AlgorithmParameters::RSA(_) => Algorithm::RS256,
                    AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
                        Algorithm::ES256
                    }
                    AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                        Algorithm::EdDSA
                    }
                    _ => return None,
                };
                let key = DecodingKey::from_jwk(jwk).ok()?;
                Some(IssuerKey { id: jwk.common.key_id.clone(), algorithm, key })
            })
            .take(KEYS_MAX)
            .collect();
        if keys.is_empty() {
            return Err("there is no key for RS256, ES256 or EdDSA in it".to_owned());
        }
        let count = keys.len();
        *self.keys.write() = keys.into();
        Ok(count)
    }

    /// Whether a token named an unknown key since the last call.
    pub fn take_key_missed(&self) -> bool {
        self.key_missed.swap(false, Ordering::Relaxed)
    }

    /// The bearer of a token, and its grant.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, token: &[u8], now: Millis) -> Result<(UserName, Grant), TokenRefused> {
        let claims = self.claims(token)?;
        let time = |name: &str| claims.get(name).and_then(Value::as_f64).map(milliseconds);
        let expires = time("exp");
        if claims.contains_key("exp") && expires.is_none_or(|expires| expires <= now) {
            return Err(TokenRefused::Expired);
        }
        if time("nbf").is_some_and(|begins| begins.0 > now.0.saturating_add(AHEAD_MS)) {
            return Err(TokenRefused::TooEarly);
        }
        let names = self.settings.username_claims.iter();
        let mut names = names.filter_map(|name| claims.get(name)?.as_str());
        let name = names.find(|name| !name.is_empty()).ok_or(TokenRefused::Nameless)?;
        let (mut tags, mut patterns) = (Vec::new(), Vec::new());
        for scope in self.scopes(&claims).into_iter().take(SCOPES_MAX) {
            match scope {
                Scope::Tag(tag) => tags.push(tag),
                Scope::Permission(pattern) => patterns.push(pattern),
            }
        }
        Ok((UserName::new(name), Grant { tags, expires, patterns }))
    }

    /// The claims of a token with a valid signature, issuer and audience.
    fn claims(&self, token: &[u8]) -> Result<Map<String, Value>, TokenRefused> {
        let invalid = |error: jsonwebtoken::errors::Error| TokenRefused::Invalid(error.to_string());
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenRefused::Invalid(format!("longer than {TOKEN_BYTES_MAX} bytes")));
        }
        let header = jsonwebtoken::decode_header(token).map_err(invalid)?;
        if header.crit.is_some() {
            return Err(TokenRefused::Invalid("asks for an extension that is not known ('crit')".to_owned()));
        }
        let mut validation = Validation::new(header.alg);
        validation.set_required_spec_claims(&["aud"]);
        validation.set_audience(&[&self.settings.resource_server_id]);
        if let Some(issuer) = &self.settings.issuer {
            validation.set_issuer(&[issuer]);
            validation.set_required_spec_claims(&["aud", "iss"]);
        }
        // Checked against the clock passed in, not the library's.
        validation.validate_exp = false;
        let keys = Arc::clone(&self.keys.read());
        let id = header.kid.as_deref();
        let fits = |key: &&IssuerKey| {
            key.algorithm == header.alg && (id.is_none() || key.id.is_none() || key.id.as_deref() == id)
        };
        let secret = self.settings.hs256_key.as_deref().map(DecodingKey::from_secret);
        let secret = secret.iter().filter(|_| header.alg == Algorithm::HS256);
        let mut refused = None;
        for key in keys.iter().filter(fits).map(|key| &key.key).chain(secret) {
            match jsonwebtoken::decode(token, key, &validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(error) => refused = Some(invalid(error)),
            }
        }
        Err(refused.unwrap_or_else(|| {
            self.key_missed.store(true, Ordering::Relaxed);
            TokenRefused::NoKey(header.alg, id.unwrap_or_default().chars().take(100).collect())
        }))
    }

    fn scopes(&self, claims: &Map<String, Value>) -> Vec<Scope> {
        let mut texts = Vec::new();
        collect(claims.get("scope"), &mut texts);
        if let Some(path) = &self.settings.additional_scopes_key {
            let found = claims.get(path).or_else(|| {
                let mut parts = path.split('.');
                let first = claims.get(parts.next()?)?;
                parts.try_fold(first, |value, part| value.get(part))
            });
            match found {
                Some(Value::Object(by_server)) => {
                    collect(by_server.get(&self.settings.resource_server_id), &mut texts);
                }
                found => collect(found, &mut texts),
            }
        }
        let ours = texts.into_iter().filter_map(|text| text.strip_prefix(&self.settings.scope_prefix));
        ours.filter_map(Scope::parse).collect()
    }
}

/// Scopes are a list, or a string separated by spaces.
fn collect<'a>(value: Option<&'a Value>, texts: &mut Vec<&'a str>) {
    match value {
        Some(Value::String(text)) => texts.extend(text.split_ascii_whitespace()),
        Some(Value::Array(list)) => {
            texts.extend(list.iter().filter_map(Value::as_str).flat_map(str::split_ascii_whitespace));
        }
        _ => {}
    }
}

/// A token's timestamp, in seconds with an optional fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as it should")]
fn milliseconds(seconds: f64) -> Millis {
    Millis((seconds * 1000.0) as u64)
}
