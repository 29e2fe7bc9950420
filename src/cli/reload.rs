//! Reload: on SIGHUP the configuration is read again, and keys that can change live take effect.
//!
//! Invariants: an invalid configuration changes nothing; the running settings adopt only keys that are
//! [`Change::Live`], so that other changes are reported at every reload until a restart.

use tokio::signal::unix::Signal;

use super::config::table::Change;
use super::config::{self, Config, KEYS, ServeArgs};

type Hook = Box<dyn Fn(&Config) -> Result<(), String> + Send>;

/// The actions of a reload.
pub struct Reload {
    args: ServeArgs,
    running: Config,
    hooks: Vec<(&'static str, Hook)>,
}

impl Reload {
    /// For a broker that runs with `running`, as loaded from `args`.
    pub fn new(args: ServeArgs, running: Config) -> Self {
        Self { args, running, hooks: Vec::new() }
    }

    /// Registers `hook`, called at each reload, changed or not: a file named by a key may have changed. It
    /// gets the settings now in force. If it fails, `what` keeps its state, and the failure is logged.
    pub fn on(&mut self, what: &'static str, hook: impl Fn(&Config) -> Result<(), String> + Send + 'static) {
        self.hooks.push((what, Box::new(hook)));
    }

    /// Reloads on each signal.
    pub async fn whenever(mut self, mut signal: Signal) {
        while signal.recv().await.is_some() {
            tokio::task::block_in_place(|| self.reload());
        }
    }

    fn reload(&mut self) {
        let loaded = match config::load(&self.args) {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!("reload: nothing changes, the configuration is wrong: {error}");
                return;
            }
        };
        let mut changed = 0;
        for (key, origin) in loaded.keys() {
            if key.is_same(&self.running, &loaded.config) {
                continue;
            }
            let [old, new] = [&self.running, &loaded.config].map(|config| {
                key.show(config).map_or_else(|| "not set".to_owned(), |value| value.to_string())
            });
            let path = key.path();
            if key.change == Change::Live {
                changed += 1;
                key.copy(&loaded.config, &mut self.running);
                tracing::info!("reload: {path} is {new} now, was {old} ({origin})");
            } else {
                tracing::warn!("reload: {path} stays {old}: {new} ({origin}) needs a restart");
            }
        }
        for (what, hook) in &self.hooks {
            if let Err(error) = hook(&self.running) {
                tracing::error!("reload: {what} stays as it was: {error}");
            }
        }
        tracing::info!("reload: done, {changed} of {} keys changed", KEYS.len());
    }
}
