//! The logged-in identity and the source of its rights: a stored user's permissions, a token's grant while it is valid,
//! or the local machine's, which are unlimited.

use std::sync::Arc;

use leveret_message::Millis;

use super::names::{UserName, VhostName};
use super::token::Grant;
use super::users::{AccessRights, Users};

/// Name of the local machine's identity in texts, as in `RabbitMQ`.
const LOCAL: &str = "rmq-cli";

/// A logged-in identity.
#[derive(Clone, Debug)]
pub struct Identity {
    /// User name.
    pub user: UserName,
    rights: Rights,
}

#[derive(Clone, Debug)]
enum Rights {
    Stored,
    Granted(Arc<Grant>),
    All,
}

impl Identity {
    /// A user with stored rights.
    pub const fn stored(user: UserName) -> Self {
        Self { user, rights: Rights::Stored }
    }

    /// The bearer of a token.
    pub fn granted(user: UserName, grant: Grant) -> Self {
        Self { user, rights: Rights::Granted(Arc::new(grant)) }
    }

    /// Whoever acts on this machine as the broker's own system user. Must never be derived from network input.
    pub fn of_this_machine() -> Self {
        Self { user: UserName::new(LOCAL), rights: Rights::All }
    }

    /// Whether its rights are those of a stored user.
    pub const fn is_stored(&self) -> bool {
        matches!(self.rights, Rights::Stored)
    }

    /// Its current tags.
    pub fn tags(&self, users: &Users) -> Vec<String> {
        match &self.rights {
            Rights::Granted(grant) => grant.tags.clone(),
            Rights::Stored => users.user(self.user.as_str()).map(|record| record.tags).unwrap_or_default(),
            Rights::All => vec!["administrator".to_owned()],
        }
    }

    /// Whether it has permissions in a vhost.
    pub fn may_enter(&self, users: &Users, vhost: &str) -> bool {
        match &self.rights {
            Rights::Granted(grant) => grant.may_enter(vhost),
            Rights::Stored => users.permission(self.user.as_str(), vhost).is_some(),
            Rights::All => true,
        }
    }

    /// Its rights in a vhost. `None`: it may not even enter.
    pub fn rights(&self, users: &Users, vhost: &VhostName) -> Option<AccessRights> {
        match &self.rights {
            Rights::Granted(grant) => {
                let allowed = Arc::new(grant.in_vhost(vhost.as_str())?);
                Some(AccessRights::granted(&self.user, vhost, grant.tags.clone(), allowed))
            }
            Rights::Stored => AccessRights::of(users, &self.user, vhost),
            Rights::All => Some(AccessRights::unlimited(&self.user, vhost)),
        }
    }

    /// When the token expires.
    pub fn expires(&self) -> Option<Millis> {
        match &self.rights {
            Rights::Granted(grant) => grant.expires,
            Rights::Stored | Rights::All => None,
        }
    }
}
