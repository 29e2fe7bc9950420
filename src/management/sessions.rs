//! Login sessions: the dashboard keeps a cookie that scripts cannot read, and no password.
//!
//! Invariants: an id is 256 random bits, and only its digest is stored; a session is valid only for the host it was
//! opened for; sessions end when idle, at their maximum age, when their token expires, and as soon as their user is
//! changed or deleted; their number is bounded; a restart ends them all.

use axum::http::header::{COOKIE, HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leveret_message::Millis;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use leveret_broker::identity::Identity;
use leveret_broker::users::{UserRecord, Users};

/// Cookie name.
const COOKIE_NAME: &str = "leveret_session";

/// Maximum concurrent sessions; the longest idle one is evicted.
const SESSIONS_MAX: usize = 10_000;

/// Idle timeout, in milliseconds.
const IDLE_MS: u64 = 60 * 60 * 1000;

/// Maximum age, in milliseconds.
const AGE_MS: u64 = 12 * 60 * 60 * 1000;

type Id = [u8; 32];

struct Session {
    identity: Identity,
    /// The user as of the login; `None` for a token.
    record: Option<UserRecord>,
    ends: Millis,
    used: Millis,
}

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<FxHashMap<Id, Session>>);

/// The stored digest of a secret at a host.
fn digest(secret: &str, host: &str) -> Id {
    let mut digest = Sha256::new_with_prefix(secret);
    digest.update([0]);
    digest.update(host.to_ascii_lowercase());
    digest.finalize().into()
}

impl Sessions {
    /// Opens a session for this host. Returns its secret.
    pub(super) fn open(&self, identity: Identity, users: &Users, now: Millis, host: &str) -> String {
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<Id>());
        let record = users.user(identity.user.as_str()).filter(|_| identity.is_stored());
        let ends = Millis(now.0 + AGE_MS).min(identity.expires().unwrap_or(Millis(u64::MAX)));
        let mut sessions = self.0.lock();
        if sessions.len() >= SESSIONS_MAX {
            sessions.retain(|_, session| session.is_alive(now));
            let idlest = sessions.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| *id);
            if let Some(id) = idlest.filter(|_| sessions.len() >= SESSIONS_MAX) {
                sessions.remove(&id);
            }
        }
        sessions.insert(digest(&secret, host), Session { identity, record, ends, used: now });
        secret
    }

    /// The identity of the session, if the secret is valid at this host.
    pub(super) fn find(&self, secret: &str, users: &Users, now: Millis, host: &str) -> Option<Identity> {
        let id = digest(secret, host);
        let mut sessions = self.0.lock();
        let session = sessions.get_mut(&id)?;
        if session.is_alive(now) && session.is_of(users) {
            session.used = now;
            return Some(session.identity.clone());
        }
        sessions.remove(&id);
        None
    }

    /// Ends a session.
    pub(super) fn close(&self, secret: &str, host: &str) {
        self.0.lock().remove(&digest(secret, host));
    }
}

impl Session {
    fn is_alive(&self, now: Millis) -> bool {
        now < self.ends && now.0 < self.used.0.saturating_add(IDLE_MS)
    }

    /// Whether the user is unchanged since the login.
    fn is_of(&self, users: &Users) -> bool {
        !self.identity.is_stored() || users.user(self.identity.user.as_str()) == self.record
    }
}

/// The secret in the request's cookies.
pub(super) fn secret(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, secret)| (name == COOKIE_NAME).then_some(secret))
}

/// The cookie that carries a secret; `None` deletes it. Browsers send it only from this server's own pages.
pub(super) fn cookie(secret: Option<&str>, encrypted: bool) -> String {
    let age = if secret.is_some() { AGE_MS / 1000 } else { 0 };
    let secure = if encrypted { "; Secure" } else { "" };
    let secret = secret.unwrap_or_default();
    format!("{COOKIE_NAME}={secret}; Path=/api; HttpOnly; SameSite=Strict; Max-Age={age}{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_broker::names::UserName;

    fn users() -> Users {
        let users = Users::new();
        users.put("ann", UserRecord { password_hash: "x".to_owned(), tags: vec!["management".to_owned()] });
        users
    }

    fn ann() -> Identity {
        Identity::stored(UserName::new("ann"))
    }

    #[test]
    fn a_session_is_found_by_its_secret_until_it_is_closed() {
        let (sessions, users) = (Sessions::default(), users());
        let secret = sessions.open(ann(), &users, Millis(0), "h");
        assert_eq!(secret.len(), 43);
        assert!(sessions.find(&secret, &users, Millis(1), "h").is_some());
        assert!(sessions.find("guess", &users, Millis(1), "h").is_none());
        assert!(sessions.find(&secret, &users, Millis(1), "other").is_none(), "it is for one host");
        assert!(sessions.find(&secret, &users, Millis(1), "H").is_some(), "in any case of letters");
        sessions.close(&secret, "h");
        assert!(sessions.find(&secret, &users, Millis(1), "h").is_none());
    }

    #[test]
    fn a_session_ends_when_idle_and_when_old() {
        let (sessions, users) = (Sessions::default(), users());
        let idle = sessions.open(ann(), &users, Millis(0), "h");
        assert!(sessions.find(&idle, &users, Millis(IDLE_MS), "h").is_none());
        let busy = sessions.open(ann(), &users, Millis(0), "h");
        let mut now = 0;
        while now + IDLE_MS / 2 < AGE_MS {
            now += IDLE_MS / 2;
            assert!(sessions.find(&busy, &users, Millis(now), "h").is_some(), "{now}");
        }
        assert!(sessions.find(&busy, &users, Millis(AGE_MS), "h").is_none());
    }

    #[test]
    fn a_session_ends_with_any_change_of_its_user() {
        let (sessions, users) = (Sessions::default(), users());
        let secret = sessions.open(ann(), &users, Millis(0), "h");
        users.put("ann", UserRecord { password_hash: "y".to_owned(), tags: vec!["management".to_owned()] });
        assert!(sessions.find(&secret, &users, Millis(1), "h").is_none());
    }

    #[test]
    fn sessions_are_bounded_and_the_idlest_goes() {
        let (sessions, users) = (Sessions::default(), users());
        let first = sessions.open(ann(), &users, Millis(0), "h");
        let second = sessions.open(ann(), &users, Millis(1), "h");
        for number in 2..=SESSIONS_MAX {
            sessions.open(ann(), &users, Millis(number as u64), "h");
        }
        assert_eq!(sessions.0.lock().len(), SESSIONS_MAX);
        assert!(sessions.find(&first, &users, Millis(SESSIONS_MAX as u64), "h").is_none());
        assert!(sessions.find(&second, &users, Millis(SESSIONS_MAX as u64), "h").is_some());
    }

    #[test]
    fn the_cookie_is_told_from_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(secret(&headers), None);
        headers.insert(COOKIE, "a=b; leveret_session=s3cret; c=d".parse().unwrap());
        assert_eq!(secret(&headers), Some("s3cret"));
    }
}
