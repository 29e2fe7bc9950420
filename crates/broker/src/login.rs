//! Login by password, token or certificate, with a limit on failures.

use std::net::IpAddr;

use leveret_message::Millis;

use super::broker::Broker;
use super::identity::Identity;
use super::login_limiter::Protocol;
use super::token::{Tokens, looks_like_token};
use super::users::LoginRefused;

/// Origin of a login.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The client's address.
    pub address: IpAddr,
    /// The protocol used.
    pub protocol: Protocol,
}

impl Origin {
    /// Whether the client is on the local machine.
    pub fn is_loopback(&self) -> bool {
        self.address.to_canonical().is_loopback()
    }
}

impl Broker {
    /// Checks a name and a password. The password may be a token, whose name then applies. May take tens of
    /// milliseconds.
    ///
    /// # Errors
    /// Why it is refused. The client must not learn more than that.
    pub fn login(&self, name: &str, password: &[u8], origin: Origin) -> Result<Identity, LoginRefused> {
        if let Some(outcome) = self.login_again(name, password, origin) {
            return outcome;
        }
        // Checked again in turn: earlier attempts may have failed meanwhile.
        let in_turn = || self.may_try(origin);
        let outcome = self.users.login(name, password, origin.is_loopback(), in_turn).map(Identity::stored);
        self.tried(origin, outcome)
    }

    /// Whether [`Broker::login`] would take tens of milliseconds.
    pub fn login_is_slow(&self, name: &str, password: &[u8], origin: Origin) -> bool {
        let token = self.tokens.is_some() && looks_like_token(password);
        !token && self.may_try(origin) && !self.users.remembers(name, password)
    }

    /// As [`Broker::login`], but only if it is fast. `None`: a full check is needed.
    pub fn login_again(
        &self,
        name: &str,
        password: &[u8],
        origin: Origin,
    ) -> Option<Result<Identity, LoginRefused>> {
        if !self.may_try(origin) {
            return Some(Err(LoginRefused::TooManyFailures));
        }
        if let Some(tokens) = &self.tokens
            && looks_like_token(password)
        {
            return Some(self.tried(origin, verified(tokens, password, self.now())));
        }
        let outcome = self.users.login_again(name, password, origin.is_loopback())?;
        Some(self.tried(origin, outcome.map(Identity::stored)))
    }

    /// Checks a token.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn login_with_token(&self, token: &[u8], origin: Origin) -> Result<Identity, LoginRefused> {
        if !self.may_try(origin) {
            return Err(LoginRefused::TooManyFailures);
        }
        let tokens = self.tokens.as_ref().ok_or(LoginRefused::Credentials);
        let outcome = tokens.and_then(|tokens| verified(tokens, token, self.now()));
        self.tried(origin, outcome)
    }

    /// Logs in the user named by a verified certificate.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn login_certified(&self, name: &str, origin: Origin) -> Result<Identity, LoginRefused> {
        let outcome = self.users.login_certified(name, origin.is_loopback()).map(Identity::stored);
        self.tried(origin, outcome)
    }

    fn may_try(&self, origin: Origin) -> bool {
        self.login_limiter.may_try(origin.address, self.now())
    }

    fn tried(
        &self,
        origin: Origin,
        outcome: Result<Identity, LoginRefused>,
    ) -> Result<Identity, LoginRefused> {
        if !matches!(outcome, Err(LoginRefused::TooManyFailures)) {
            self.login_limiter.tried(origin.address, origin.protocol, self.now(), outcome.is_ok());
        }
        outcome
    }
}

fn verified(tokens: &Tokens, token: &[u8], now: Millis) -> Result<Identity, LoginRefused> {
    let (user, grant) = tokens.verify(token, now).map_err(LoginRefused::Token)?;
    Ok(Identity::granted(user, grant))
}
