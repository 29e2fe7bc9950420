//! How users log in, and who is there at a first start.

use std::sync::Arc;

use super::token::Tokens;

/// How users log in, and who the first one is.
pub struct LoginOptions {
    /// Logins from one address that may fail in a minute before it is held up; 0 for no limit.
    pub login_failures_per_minute: u32,
    /// Which tokens are taken in place of passwords.
    pub tokens: Option<Arc<Tokens>>,
    /// The user that a first start makes. Without it: guest, from this machine only.
    pub admin: Option<Admin>,
}

impl Default for LoginOptions {
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
