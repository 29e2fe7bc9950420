//! Who logged in, and where its rights come from: the stored ones of a user, those that a token grants as long as it
//! lasts, or the machine's own, which are all.

use std::sync::Arc;

use leveret_queues::Millis;

use super::names::{UserName, VhostName};
use super::token::Grant;
use super::users::{AccessRights, Users};

/// Who acts on this machine, in texts. `RabbitMQ`'s name for it.
const LOCAL: &str = "rmq-cli";

/// Someone who logged in.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name.
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
    /// A user whose rights are stored.
    pub const fn stored(user: UserName) -> Self {
        Self { user, rights: Rights::Stored }
    }

    /// Somebody with a token.
    pub fn granted(user: UserName, grant: Grant) -> Self {
        Self { user, rights: Rights::Granted(Arc::new(grant)) }
    }

    /// Who may act on this machine as the broker's own system user does. Never to be made of anything that came over a
    /// network.
    pub fn of_this_machine() -> Self {
        Self { user: UserName::new(LOCAL), rights: Rights::All }
    }

    /// Whether there is a stored user whose rights these are.
    pub const fn is_stored(&self) -> bool {
        matches!(self.rights, Rights::Stored)
    }

    /// The tags that it has now.
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

    /// What it may do in a vhost. `None`: not even enter it.
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

    /// When the token ends.
    pub fn expires(&self) -> Option<Millis> {
        match &self.rights {
            Rights::Granted(grant) => grant.expires,
            Rights::Stored | Rights::All => None,
        }
    }
}
