//! Users, their passwords and their permissions (docs/semantics.md, Users and permissions).
//!
//! Passwords are stored as argon2id hashes; successful logins are cached in memory as keyed digests, since argon2 is
//! deliberately slow and clients reconnect often.

mod by_user;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use by_user::of_user;

use super::names::{ExchangeName, UserName, VhostName};
use super::operator_limits::OperatorLimits;
pub use super::password::hash_password;
use super::password::{is_slow, verify};
pub use super::pattern::BadPattern;
use super::pattern::Permitting;
use super::refusal::{Access, Refusal, Resource, Topic};
use super::token::{TokenRefused, VhostGrant};
use super::topic_permissions::{TopicPermissionRecord, TopicPermissions};

/// A user as stored. No `Debug`: it would print the hash.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct UserRecord {
    /// PHC string of the argon2id hash, or a hash in `RabbitMQ`'s format (see `password.rs`). Empty: no password
    /// matches.
    pub password_hash: String,
    /// `administrator`, `monitoring`, `management`, `policymaker`, `impersonator`.
    pub tags: Vec<String>,
}

/// A user's three regular expressions in a vhost, as stored. An empty one permits nothing.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct PermissionRecord {
    /// May declare and delete.
    pub configure: String,
    /// May publish and bind to.
    pub write: String,
    /// May consume and bind from.
    pub read: String,
}

impl PermissionRecord {
    /// Permits everything.
    pub fn all() -> Self {
        Self { configure: ".*".to_owned(), write: ".*".to_owned(), read: ".*".to_owned() }
    }
}

#[derive(Debug)]
struct Permission {
    record: PermissionRecord,
    configure: Permitting,
    write: Permitting,
    read: Permitting,
}

impl Permission {
    fn new(record: PermissionRecord) -> Result<Self, BadPattern> {
        Ok(Self {
            configure: Permitting::new(&record.configure)?,
            write: Permitting::new(&record.write)?,
            read: Permitting::new(&record.read)?,
            record,
        })
    }

    fn allows(&self, access: Access, name: &str) -> bool {
        let pattern = match access {
            Access::Configure => &self.configure,
            Access::Write => &self.write,
            Access::Read => &self.read,
        };
        pattern.permits(name.as_bytes())
    }
}

#[derive(Default)]
struct State {
    users: BTreeMap<String, UserRecord>,
    permissions: BTreeMap<(String, String), Arc<Permission>>,
    /// By user and vhost; non-empty ones only.
    topics: BTreeMap<(String, String), Arc<TopicPermissions>>,
    /// By user; non-empty ones only.
    limits: FxHashMap<String, OperatorLimits>,
}

/// All users and permissions.
pub struct Users {
    state: RwLock<State>,
    /// Incremented with every change, so that values derived from permissions can be dropped.
    revision: AtomicU64,
    remembered: Mutex<FxHashMap<String, [u8; 32]>>,
    /// Checking a password takes 19 MiB and a core: serialized against denial of service.
    verifying: Mutex<()>,
    key: [u8; 32],
}

/// Why a login failed; clients see no difference, the log does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefused {
    /// Unknown user, or wrong password.
    #[error("unknown user or wrong password")]
    Credentials,
    /// The default user may only log in from the local machine.
    #[error("user 'guest' can only connect via localhost")]
    LoopbackOnly,
    /// Too many failed logins from this address; the password was not checked.
    #[error("too many failed logins from this address")]
    TooManyFailures,
    /// The token was refused.
    #[error("{0}")]
    Token(TokenRefused),
}

/// A dummy hash that no password matches.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbA$UfD2rt9mYdZC5TkB1iBq6kJrTOxO8nN6kqkD4yM4p1k";

/// Maximum successful logins cached.
const REMEMBERED_MAX: usize = 10_000;

impl Default for Users {
    fn default() -> Self {
        Self::new()
    }
}

impl Users {
    /// No users.
    pub fn new() -> Self {
        Self {
            state: RwLock::default(),
            revision: AtomicU64::new(1),
            remembered: Mutex::default(),
            verifying: Mutex::default(),
            key: rand::random(),
        }
    }

    /// Incremented with every change.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Adds or replaces a user.
    pub fn put(&self, name: &str, record: UserRecord) {
        self.state.write().users.insert(name.to_owned(), record);
        self.remembered.lock().remove(name);
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// Adds or replaces a permission.
    pub fn permit(&self, user: &str, vhost: &str, record: PermissionRecord) -> Result<(), BadPattern> {
        let permission = Arc::new(Permission::new(record)?);
        let key = (user.to_owned(), vhost.to_owned());
        self.state.write().permissions.insert(key, permission);
        self.revision.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// A user's record.
    pub fn user(&self, name: &str) -> Option<UserRecord> {
        self.state.read().users.get(name).cloned()
    }

    /// A user's permission in a vhost, as stored.
    pub fn permission(&self, user: &str, vhost: &str) -> Option<PermissionRecord> {
        let key = (user.to_owned(), vhost.to_owned());
        self.state.read().permissions.get(&key).map(|permission| permission.record.clone())
    }

    /// All users, by name.
    pub fn all(&self) -> Vec<(String, UserRecord)> {
        self.state.read().users.iter().map(|(name, record)| (name.clone(), record.clone())).collect()
    }

    /// All permissions as `(user, vhost, record)`, sorted.
    pub fn permissions(&self) -> Vec<(String, String, PermissionRecord)> {
        let state = self.state.read();
        let all = state.permissions.iter();
        let mut all: Vec<_> = all
            .map(|((user, vhost), permission)| (user.clone(), vhost.clone(), permission.record.clone()))
            .collect();
        all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        all
    }

    /// Removes a user and its permissions.
    pub(super) fn remove(&self, name: &str) {
        let mut state = self.state.write();
        state.users.remove(name);
        for key in of_user(&state.permissions, name).map(Clone::clone).collect::<Vec<_>>() {
            state.permissions.remove(&key);
        }
        for key in of_user(&state.topics, name).map(Clone::clone).collect::<Vec<_>>() {
            state.topics.remove(&key);
        }
        state.limits.remove(name);
        drop(state);
        self.remembered.lock().remove(name);
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// Removes a permission.
    pub(super) fn forbid(&self, user: &str, vhost: &str) {
        self.state.write().permissions.remove(&(user.to_owned(), vhost.to_owned()));
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// Removes all permissions in a vhost.
    pub(super) fn forget_vhost(&self, name: &str) {
        let mut state = self.state.write();
        state.permissions.retain(|(_, vhost), _| vhost != name);
        state.topics.retain(|(_, vhost), _| vhost != name);
        drop(state);
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// A user's topic permissions in a vhost, by exchange.
    pub fn topic_permissions_of(&self, user: &str, vhost: &str) -> Vec<(String, TopicPermissionRecord)> {
        let key = (user.to_owned(), vhost.to_owned());
        self.state.read().topics.get(&key).map(|topics| topics.records().collect()).unwrap_or_default()
    }

    /// A user's topic permissions in a vhost, for checks and changes.
    pub(super) fn topics(&self, user: &str, vhost: &str) -> TopicPermissions {
        let topics = self.state.read().topics.get(&(user.to_owned(), vhost.to_owned())).cloned();
        topics.map(Arc::unwrap_or_clone).unwrap_or_default()
    }

    /// All topic permissions as `(user, vhost, exchange, record)`, sorted.
    pub fn topic_permissions(&self) -> Vec<(String, String, String, TopicPermissionRecord)> {
        let state = self.state.read();
        let mut all: Vec<_> = state
            .topics
            .iter()
            .flat_map(|((user, vhost), topics)| {
                topics.records().map(|(exchange, record)| (user.clone(), vhost.clone(), exchange, record))
            })
            .collect();
        all.sort_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));
        all
    }

    /// Replaces a user's topic permissions in a vhost.
    pub(super) fn set_topic_permissions(&self, user: &str, vhost: &str, topics: TopicPermissions) {
        let key = (user.to_owned(), vhost.to_owned());
        let mut state = self.state.write();
        if topics.is_empty() {
            state.topics.remove(&key);
        } else {
            state.topics.insert(key, Arc::new(topics));
        }
        drop(state);
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// The limits set on a user.
    pub fn limits(&self, name: &str) -> OperatorLimits {
        self.state.read().limits.get(name).cloned().unwrap_or_default()
    }

    /// One limit of a user, if set.
    pub(super) fn limit(&self, user: &str, name: &str) -> Option<u64> {
        self.state.read().limits.get(user)?.get(name)
    }

    /// Replaces the limits of a user.
    pub(super) fn set_limits(&self, name: &str, limits: OperatorLimits) {
        let mut state = self.state.write();
        if limits.is_empty() {
            state.limits.remove(name);
        } else {
            state.limits.insert(name.to_owned(), limits);
        }
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.state.read().users.is_empty()
    }

    /// Whether the same login is cached as successful.
    pub(super) fn remembers(&self, name: &str, password: &[u8]) -> bool {
        let state = self.state.read();
        let hash = state.users.get(name).map(|record| record.password_hash.as_str());
        hash.is_some_and(|hash| self.has_remembered(name, &self.digest(name, password, hash)))
    }

    /// Digests cannot be guessed, so comparison timing reveals nothing.
    fn has_remembered(&self, name: &str, digest: &[u8; 32]) -> bool {
        self.remembered.lock().get(name) == Some(digest)
    }

    /// As [`Users::login`], but only for cached logins: never slow. `None`: a full check is needed.
    pub fn login_again(
        &self,
        name: &str,
        password: &[u8],
        loopback: bool,
    ) -> Option<Result<UserName, LoginRefused>> {
        let record = self.user(name)?;
        let digest = self.digest(name, password, &record.password_hash);
        if !self.has_remembered(name, &digest) {
            return None;
        }
        if name == "guest" && !loopback {
            return Some(Err(LoginRefused::LoopbackOnly));
        }
        Some(Ok(UserName::new(name)))
    }

    /// Checks a password. `loopback`: the client is on the local machine. `in_turn`: whether to go on once earlier
    /// checks are done. May take tens of milliseconds.
    pub fn login(
        &self,
        name: &str,
        password: &[u8],
        loopback: bool,
        in_turn: impl FnOnce() -> bool,
    ) -> Result<UserName, LoginRefused> {
        let known = self.user(name);
        // Unknown users are checked against a dummy hash, so that timing does not reveal names.
        let hash = known.as_ref().map_or(NOBODY, |record| record.password_hash.as_str());
        let digest = self.digest(name, password, hash);
        if !self.has_remembered(name, &digest) {
            let one_at_a_time = self.verifying.lock();
            if !in_turn() {
                return Err(LoginRefused::TooManyFailures);
            }
            let right = verify(password, hash) && known.is_some();
            if !right && !is_slow(hash) {
                // Nor does timing reveal which hashes were imported.
                verify(password, NOBODY);
            }
            drop(one_at_a_time);
            if !right {
                return Err(LoginRefused::Credentials);
            }
            let mut remembered = self.remembered.lock();
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(name.to_owned(), digest);
        }
        if name == "guest" && !loopback {
            return Err(LoginRefused::LoopbackOnly);
        }
        Ok(UserName::new(name))
    }

    /// Logs in the user named by a verified certificate.
    pub fn login_certified(&self, name: &str, loopback: bool) -> Result<UserName, LoginRefused> {
        self.user(name).ok_or(LoginRefused::Credentials)?;
        if name == "guest" && !loopback {
            return Err(LoginRefused::LoopbackOnly);
        }
        Ok(UserName::new(name))
    }

    fn digest(&self, name: &str, password: &[u8], hash: &str) -> [u8; 32] {
        use sha2::Digest;
        let mut digest = sha2::Sha256::new();
        for part in [&self.key, name.as_bytes(), hash.as_bytes(), password] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

/// Checks that all three patterns are valid.
pub(super) fn check_patterns(record: &PermissionRecord) -> Result<(), BadPattern> {
    Permission::new(record.clone()).map(|_| ())
}

/// One user's rights in one vhost; held by a connection, refreshed when permissions change.
#[derive(Clone, Debug)]
pub struct AccessRights {
    /// The user.
    pub user: UserName,
    /// The vhost.
    pub vhost: VhostName,
    /// The user's tags.
    pub tags: Vec<String>,
    permission: Option<Arc<Permission>>,
    /// A token's permissions, in place of stored ones.
    grant: Option<Arc<VhostGrant>>,
    topics: Option<Arc<TopicPermissions>>,
    revision: u64,
}

impl AccessRights {
    /// The current rights of `user` in `vhost`. `None`: the user has none there, or no longer exists.
    pub fn of(users: &Users, user: &UserName, vhost: &VhostName) -> Option<Self> {
        let revision = users.revision();
        let state = users.state.read();
        let tags = state.users.get(user.as_str())?.tags.clone();
        let key = (user.as_str().to_owned(), vhost.as_str().to_owned());
        let permission = state.permissions.get(&key).cloned()?;
        let topics = state.topics.get(&key).cloned();
        let (user, vhost) = (user.clone(), vhost.clone());
        Some(Self { user, vhost, tags, permission: Some(permission), grant: None, topics, revision })
    }

    /// Rights granted by a token.
    pub(super) fn granted(
        user: &UserName,
        vhost: &VhostName,
        tags: Vec<String>,
        grant: Arc<VhostGrant>,
    ) -> Self {
        let (user, vhost) = (user.clone(), vhost.clone());
        Self { user, vhost, tags, permission: None, grant: Some(grant), topics: None, revision: 0 }
    }

    /// All rights in a vhost, for an administrator's operations on the vhost as a whole.
    pub fn unlimited(user: &UserName, vhost: &VhostName) -> Self {
        let permission = Permission::new(PermissionRecord::all()).ok().map(Arc::new);
        let (user, vhost) = (user.clone(), vhost.clone());
        Self { user, vhost, tags: Vec::new(), permission, grant: None, topics: None, revision: 0 }
    }

    /// Reloads permissions if they changed. Cheap otherwise.
    pub fn refresh(&mut self, users: &Users) {
        if self.revision == users.revision() || self.grant.is_some() {
            return;
        }
        if let Some(rights) = Self::of(users, &self.user, &self.vhost) {
            *self = rights;
        } else {
            self.permission = None;
            self.topics = None;
            self.revision = users.revision();
        }
    }

    /// Refuses to show a resource without any of configure, write or read permission.
    pub fn check_any(&self, resource: &Resource) -> Result<(), Refusal> {
        let refused = self.check(Access::Configure, resource);
        if refused.is_err()
            && [Access::Write, Access::Read].iter().any(|access| self.check(*access, resource).is_ok())
        {
            return Ok(());
        }
        refused
    }

    /// Whether routing keys are restricted on the exchange, if it is a topic exchange.
    pub(super) fn restrict_topics_of(&self, exchange: &str) -> bool {
        self.topics.as_ref().is_some_and(|topics| topics.concern(exchange))
            || self.grant.as_ref().is_some_and(|grant| grant.restricts_keys())
    }

    /// Refuses a routing key that is not permitted on a topic exchange.
    pub(super) fn check_topic(&self, access: Access, exchange: &str, key: &[u8]) -> Result<(), Refusal> {
        let permitted = match &self.grant {
            Some(grant) => grant.allows_key(access, exchange, key),
            None => self.topics.as_ref().is_none_or(|topics| topics.permit(access, exchange, key)),
        };
        if permitted {
            return Ok(());
        }
        Err(Refusal::Denied {
            access,
            resource: Resource::Topic(Box::new(Topic {
                exchange: ExchangeName::new(exchange),
                key: String::from_utf8_lossy(key).into_owned(),
            })),
            vhost: self.vhost.clone(),
            user: self.user.clone(),
        })
    }

    /// Refuses access that is not permitted. The default exchange is checked as `amq.default`.
    pub fn check(&self, access: Access, resource: &Resource) -> Result<(), Refusal> {
        let name = match resource {
            Resource::Exchange(name) if name.as_str().is_empty() => "amq.default",
            _ => resource.name(),
        };
        let allowed = match &self.grant {
            Some(grant) => grant.allows(access, name),
            None => self.permission.as_ref().is_some_and(|permission| permission.allows(access, name)),
        };
        if allowed {
            return Ok(());
        }
        Err(Refusal::Denied {
            access,
            resource: match resource {
                Resource::Exchange(_) => Resource::Exchange(super::names::ExchangeName::new(name)),
                other => other.clone(),
            },
            vhost: self.vhost.clone(),
            user: self.user.clone(),
        })
    }
}
