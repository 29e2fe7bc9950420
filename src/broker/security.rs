//! How users log in, and who is there at a first start.

use std::sync::Arc;

use super::broker::{Broker, StartError};
use super::definitions::{Changes, Key};
use super::token::Tokens;
use super::users::{PermissionRecord, UserRecord, hash_password};
use super::vhost::Vhost;

/// How users log in, and who the first one is.
pub struct Security {
    /// Logins from one address that may fail in a minute before it is held up; 0 for no limit.
    pub login_failures_per_minute: u32,
    /// Which tokens are taken in place of passwords.
    pub tokens: Option<Arc<Tokens>>,
    /// The user that a first start makes. Without it: guest, from this machine only.
    pub admin: Option<Admin>,
}

impl Default for Security {
    fn default() -> Self {
        Self { login_failures_per_minute: 30, tokens: None, admin: None }
    }
}

/// The first user. No `Debug`: it would print the password.
pub struct Admin {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl Broker {
    /// A first start has the vhost `/` and a user who may do everything there: the one that is given, or
    /// guest.
    pub(super) fn first_start(&self, admin: Option<&Admin>) -> Result<(), StartError> {
        let mut changes = Changes::default();
        if self.vhosts.is_empty() {
            self.vhosts.insert("/".to_owned(), Arc::new(Vhost::new("/")));
            changes.put(Key::vhost("/"), &serde_json::json!({}));
        }
        if self.users.is_empty() {
            let (name, password) = admin
                .map_or(("guest", &b"guest"[..]), |admin| (admin.name.as_str(), admin.password.as_bytes()));
            let record = UserRecord {
                password_hash: hash_password(password).map_err(|_| StartError::Randomness)?,
                tags: vec!["administrator".to_owned()],
            };
            changes.put(Key::user(name), &record);
            changes.put(Key::permission(name, "/"), &PermissionRecord::all());
            self.users.put(name, record);
            self.users
                .permit(name, "/", PermissionRecord::all())
                .map_err(|error| StartError::Storage(error.to_string()))?;
        }
        Ok(self.commit(&changes)?)
    }
}
