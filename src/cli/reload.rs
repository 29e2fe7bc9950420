//! Reload: on SIGHUP the configuration is read again, and what can change live does.
//!
//! Invariants: a configuration that is wrong changes nothing; the running settings only take over keys that are
//! [`Change::Live`], so that others are told of at every reload until a restart.

use tokio::signal::unix::Signal;

use super::config::table::Change;
use super::config::{self, Config, KEYS, ServeArgs};

type Hook = Box<dyn Fn(&Config) -> Result<(), String> + Send>;

/// What a reload carries out.
pub struct Reload {
    args: ServeArgs,
    running: Config,
    hooks: Vec<(&'static str, Hook)>,
}

impl Reload {
    /// For a broker that runs with `running`, which `args` led to.
    pub fn new(args: ServeArgs, running: Config) -> Self {
        Self { args, running, hooks: Vec::new() }
    }

    /// Has `hook` called at each reload, changed or not: what a key names (a file) may have changed. It gets
    /// the settings that hold from now on. When it fails, `what` stays as it was, and the log says so.
    pub fn on(&mut self, what: &'static str, hook: impl Fn(&Config) -> Result<(), String> + Send + 'static) {
        self.hooks.push((what, Box::new(hook)));
    }

    /// Reloads whenever the signal comes.
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
