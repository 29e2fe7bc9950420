//! Authentication and authorisation of requests (docs/semantics.md, Users and permissions).
//!
//! Invariants: no handler runs without a login except for the paths in [`PUBLIC`]; at most [`CHECKS_MAX`] passwords
//! are checked at a time, whatever the number of requests; a modifying request is refused if the browser reports that
//! another site made it.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::Method;
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leveret_broker::Caller;
use leveret_broker::identity::Identity;
use leveret_broker::names::{UserName, VhostName};
use leveret_broker::users::{AccessRights, LoginRefused};
use leveret_broker::vhost::Vhost;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::error::{Refused, Result};
use super::server::{From, FromThisMachine};
use super::visitors::Visitor;
use super::{Api, Shared, sessions};

/// Paths that need no login: login and logout, probes, and what is the same for every broker; nothing that reveals
/// users or messages.
pub(super) const PUBLIC: [&str; 8] = [
    "/api/login",
    "/api/logout",
    "/api/openapi.json",
    "/api/version",
    "/api/health/checks/reached-target-cluster-size",
    "/api/health/checks/is-in-service",
    "/api/health/checks/ready-to-serve-clients",
    "/api/health/checks/below-node-connection-limit",
];

/// Whether a path needs no login.
pub(super) fn is_public(path: &str) -> bool {
    PUBLIC.contains(&path)
}

/// Whether a path is answered even on reserved connections: probes and logins.
pub(super) fn is_always_answered(path: &str) -> bool {
    let needed = ["/api/health/", "/api/healthchecks/", "/api/aliveness-test/", "/api/whoami", "/api/auth/"];
    is_public(path) || needed.iter().any(|start| path.starts_with(start))
}

/// Concurrent password checks: each takes a core and 19 MiB for some tens of milliseconds.
const CHECKS_MAX: usize = 1;

/// Maximum requests waiting for a password check.
const WAITING_MAX: usize = 64;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The queue for the slow password check.
pub(super) struct Logins {
    checks: Semaphore,
    waiting: Semaphore,
}

impl Default for Logins {
    fn default() -> Self {
        Self { checks: Semaphore::new(CHECKS_MAX), waiting: Semaphore::new(WAITING_MAX) }
    }
}

/// The vhost of the path, for answers about one or all.
pub(super) type OneOrAll = Option<Path<String>>;

/// The user of a request.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) user: UserName,
    pub(super) tags: Arc<[String]>,
    pub(super) identity: Identity,
}

/// The access level granted by a tag; each includes [`Level::Management`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    Management,
    Policymaker,
    Monitoring,
    Administrator,
}

impl Level {
    fn tags(self) -> &'static [&'static str] {
        match self {
            Self::Management => &["management", "policymaker", "monitoring", "administrator"],
            Self::Policymaker => &["policymaker", "administrator"],
            Self::Monitoring => &["monitoring", "administrator"],
            Self::Administrator => &["administrator"],
        }
    }

    fn refusal(self) -> &'static str {
        match self {
            Self::Management => "Not management user",
            Self::Policymaker => "Not policymaker user",
            Self::Monitoring => "Not monitor user",
            Self::Administrator => "Not administrator user",
        }
    }
}

impl Login {
    /// Whether one of the user's tags grants this level.
    pub(super) fn is(&self, level: Level) -> bool {
        self.tags.iter().any(|tag| level.tags().contains(&tag.as_str()))
    }

    /// Refuses users without a tag that grants this level.
    pub(super) fn must_be(&self, level: Level) -> Result<()> {
        if self.is(level) { Ok(()) } else { Err(Refused::not_authorized(level.refusal())) }
    }

    /// Refuses all but administrators.
    pub(super) fn administrator(&self) -> Result<()> {
        self.must_be(Level::Administrator)
    }
}

impl<S: Sync> FromRequestParts<S> for Login {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refused::who("Login failed"))
    }
}

/// The broker caller for an HTTP request.
pub(super) struct Entered {
    pub(super) vhost: Arc<Vhost>,
    pub(super) rights: AccessRights,
}

impl Entered {
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller { rights: &self.rights, connection: None }
    }
}

impl Shared {
    /// The vhost, for reading: monitors see all, others those where they have permissions.
    pub(super) fn seen(&self, login: &Login, name: &str) -> Result<Arc<Vhost>> {
        if !login.is(Level::Monitoring) && !login.identity.may_enter(&self.broker.users, name) {
            return Err(Refused::not_authorized("User not authorized to access virtual host"));
        }
        self.broker.vhost(name).ok_or_else(|| Refused::not_found("vhost_not_found"))
    }

    /// All vhosts that the user may see.
    pub(super) fn all_seen(&self, login: &Login) -> Vec<Arc<Vhost>> {
        let mut vhosts = self.broker.vhosts();
        if !login.is(Level::Monitoring) {
            vhosts.retain(|vhost| login.identity.may_enter(&self.broker.users, vhost.name.as_str()));
        }
        vhosts
    }

    /// The vhost of the path, or all that the user may see.
    pub(super) fn one_or_all(&self, login: &Login, name: &OneOrAll) -> Result<Vec<Arc<Vhost>>> {
        match name {
            Some(Path(name)) => Ok(vec![self.seen(login, name)?]),
            None => Ok(self.all_seen(login)),
        }
    }

    /// The vhost, for operations in it: even administrators need permissions there.
    pub(super) fn enter(&self, login: &Login, name: &str) -> Result<Entered> {
        let rights = login.identity.rights(&self.broker.users, &VhostName::new(name));
        match (self.broker.vhost(name), rights) {
            (Some(vhost), Some(rights)) => Ok(Entered { vhost, rights }),
            (None, _) if login.is(Level::Monitoring) => Err(Refused::not_found("vhost_not_found")),
            _ => Err(Refused::not_authorized("User not authorized to access virtual host")),
        }
    }

    /// Authenticates a request by password, token or session.
    pub(super) async fn logged_in(&self, headers: &HeaderMap, from: Option<From>) -> Result<Login> {
        let from = from.ok_or_else(|| Refused::who("Login failed"))?;
        let identity = if let Some(header) = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes) {
            match (credentials(header), bearer(header)) {
                (Some((name, password)), _) => self.by_password(&name, &password, from).await?,
                (None, Some(token)) => {
                    let outcome = self.broker.login_with_token(token, from.origin());
                    outcome.map_err(|why| refused("a token", from, &why))?
                }
                (None, None) => return Err(Refused::who("Login failed")),
            }
        } else {
            let secret = sessions::secret(headers).ok_or_else(|| Refused::who("Login failed"))?;
            let found = self.sessions.find(secret, &self.broker.users, self.broker.now(), host(headers));
            found.ok_or_else(|| Refused::who("The session has ended"))?
        };
        self.admitted(identity)
    }

    /// Admits users with a tag that grants use of the API.
    pub(super) fn admitted(&self, identity: Identity) -> Result<Login> {
        let tags = identity.tags(&self.broker.users);
        let login = Login { user: identity.user.clone(), tags: tags.into(), identity };
        login.must_be(Level::Management)?;
        Ok(login)
    }

    /// Checks a user name and password, or a token in the password's place.
    pub(super) async fn by_password(&self, name: &str, password: &[u8], from: From) -> Result<Identity> {
        let origin = from.origin();
        let outcome = if let Some(outcome) = self.broker.login_again(name, password, origin) {
            outcome
        } else {
            let waiting = self.logins.waiting.try_acquire();
            let too_many = |_| Refused::unavailable("too many logins are being checked; try again later");
            let _waiting = waiting.map_err(too_many)?;
            let _check = self.logins.checks.acquire().await;
            tokio::task::block_in_place(|| self.broker.login(name, password, origin))
        };
        outcome.map_err(|why| refused(name, from, &why))
    }
}

fn refused(name: &str, from: From, why: &LoginRefused) -> Refused {
    // Throttled attempts are numerous, and were logged before.
    if *why == LoginRefused::TooManyFailures {
        tracing::debug!(peer = %from.address, "http login refused: {why}");
    } else {
        tracing::warn!(peer = %from.address, user = %name, "http login refused: {why}");
    }
    match why {
        LoginRefused::Credentials | LoginRefused::Token(_) => Refused::who("Login failed"),
        LoginRefused::LoopbackOnly if from.led_here => Refused::misdirected(),
        LoginRefused::LoopbackOnly => Refused::who("User can only log in via localhost"),
        LoginRefused::TooManyFailures => {
            Refused::too_often("too many logins from this address have failed; try again in a minute")
        }
    }
}

/// The host that a request is for; empty if it names none.
pub(super) fn host(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn credentials(header: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((name, decoded[colon + 1..].to_vec()))
}

/// Admits requests of authenticated users, and those that need no login: the dashboard's files reveal nothing of the
/// broker.
pub(super) async fn guard(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let api_path = path == "/api" || path.starts_with("/api/");
    if api_path && !request.method().is_safe() && crossed(request.headers()) {
        return Refused::forbidden("a page of another site made this request").into_response();
    }
    if request.method() == Method::OPTIONS || !api_path || is_public(path) {
        return next.run(request).await;
    }
    let login = match request.extensions().get() {
        Some(FromThisMachine) => api.admitted(Identity::of_this_machine()),
        None => api.logged_in(request.headers(), request.extensions().get().copied()).await,
    };
    match login {
        Ok(login) => {
            if let Some(visitor) = request.extensions().get::<Arc<Visitor>>() {
                visitor.is_known(login.user.as_str());
            }
            let takes_turns = request.method().is_safe() && !is_always_answered(request.uri().path());
            let turn = if takes_turns { api.turns.take(login.user.as_str()).await } else { None };
            request.extensions_mut().insert(login);
            match turn {
                // Building a long list is slow, and would keep a runtime worker from polling sockets.
                Some(turn) => tokio::task::block_in_place(|| {
                    let response = Handle::current().block_on(next.run(request));
                    drop(turn);
                    response
                }),
                None => next.run(request).await,
            }
        }
        Err(refused) if by_script(request.headers()) => refused.quietly().into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// Whether another site made the request: browsers attach stored passwords and cookies to those, but report the
/// origin.
fn crossed(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) else {
        // Every browser that supports cookies sends Origin with modifying requests.
        return headers.get(AUTHORIZATION).is_none() && sessions::secret(headers).is_some();
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    origin.split_once("://").map(|(_, place)| place) != host
}

/// Whether the request comes from a page's script, which handles refusals itself: a challenge would make the browser
/// prompt for a password.
fn by_script(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-dest").is_some_and(|purpose| purpose == "empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn credentials_may_hold_colons_and_any_case_of_the_scheme() {
        let encoded = format!("bAsIc {}", STANDARD.encode("me:a:b"));
        assert_eq!(credentials(encoded.as_bytes()), Some(("me".to_owned(), b"a:b".to_vec())));
        for wrong in ["", "Basic", "Basic ?", "Bearer abc", "Basic bWU="] {
            assert_eq!(credentials(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn another_site_s_request_is_told_by_what_browsers_send() {
        for (pairs, want) in [
            (&[][..], false),
            (&[("origin", "http://a:1"), ("host", "a:1")], false),
            (&[("origin", "http://b:1"), ("host", "a:1")], true),
            (&[("origin", "null"), ("host", "a:1")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("cookie", "leveret_session=x")], true),
            (&[("cookie", "leveret_session=x"), ("origin", "http://a:1"), ("host", "a:1")], false),
            (&[("cookie", "leveret_session=x"), ("authorization", "Basic eDp5")], false),
            (&[("cookie", "other=x")], false),
        ] {
            assert_eq!(crossed(&headers(pairs)), want, "{pairs:?}");
        }
    }
}
