//! Login settings, and the user of a first start.

use std::sync::Arc;

use super::token::Tokens;

/// Login settings, and the first user.
pub struct LoginOptions {
    /// Failed logins per minute from one address before further ones are refused; 0 for no limit.
    pub login_failures_per_minute: u32,
    /// Tokens accepted in place of passwords.
    pub tokens: Option<Arc<Tokens>>,
    /// The user created on a first start. Default: guest, from the local machine only.
    pub admin: Option<Admin>,
}

impl Default for LoginOptions {
    fn default() -> Self {
        Self { login_failures_per_minute: 30, tokens: None, admin: None }
    }
}

/// The first user. No `Debug`: it would print the password.
pub struct Admin {
    /// User name.
    pub name: String,
    /// Password.
    pub password: String,
}
