//! Who logged in, and where its rights come from: the stored ones of a user, or those that a token
//! grants as long as it lasts.

use std::sync::Arc;

use leveret_queues::Millis;

use super::names::{UserName, VhostName};
use super::token::Grant;
use super::users::{AccessRights, Users};

/// Someone who logged in.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name.
    pub user: UserName,
    /// What a token grants; without one, what is stored counts.
    grant: Option<Arc<Grant>>,
}

impl Identity {
    /// A user whose rights are stored.
    pub const fn stored(user: UserName) -> Self {
        Self { user, grant: None }
    }

    /// Somebody with a token.
    pub fn granted(user: UserName, grant: Grant) -> Self {
        Self { user, grant: Some(Arc::new(grant)) }
    }

    /// Whether the rights come from a token.
    pub const fn has_token(&self) -> bool {
        self.grant.is_some()
    }

    /// The tags that it has now.
    pub fn tags(&self, users: &Users) -> Vec<String> {
        match &self.grant {
            Some(grant) => grant.tags.clone(),
            None => users.user(self.user.as_str()).map(|record| record.tags).unwrap_or_default(),
        }
    }

    /// Whether it has permissions in a vhost.
    pub fn may_enter(&self, users: &Users, vhost: &str) -> bool {
        match &self.grant {
            Some(grant) => grant.may_enter(vhost),
            None => users.permission(self.user.as_str(), vhost).is_some(),
        }
    }

    /// What it may do in a vhost. `None`: not even enter it.
    pub fn rights(&self, users: &Users, vhost: &VhostName) -> Option<AccessRights> {
        match &self.grant {
            Some(grant) => grant.rights(&self.user, vhost),
            None => AccessRights::of(users, &self.user, vhost),
        }
    }

    /// When the token ends.
    pub fn expires(&self) -> Option<Millis> {
        self.grant.as_ref().and_then(|grant| grant.expires)
    }
}
