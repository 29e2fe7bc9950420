//! `leveret config` and `leveret check-config`.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::Subcommand;
use serde_json::json;

use super::{ConfigError, Loaded, Origin, Problem, ServeArgs, load, reference};

type Failure = Box<dyn std::error::Error>;

/// What to tell of the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the values that a broker started like this would have, and where each comes from.
    Show {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where values come from.
        #[command(flatten)]
        args: Box<ServeArgs>,
    },
    /// Print a configuration file with every key, its default, its unit and what it is for.
    Example,
    /// Print the reference of all keys, in Markdown.
    Reference,
}

/// Runs the command.
pub fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let text = match command {
        ConfigCommand::Show { json: true, args } => as_json(&load(args)?)?,
        ConfigCommand::Show { json: false, args } => as_text(&load(args)?),
        ConfigCommand::Example => reference::example(),
        ConfigCommand::Reference => reference::markdown(),
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

/// `leveret check-config`: reports success, or every problem. `unknown`: unrecognised variables.
pub fn check(args: &ServeArgs, unknown: Vec<Problem>) -> Result<(), Failure> {
    let loaded = load(args)?;
    if !unknown.is_empty() {
        return Err(ConfigError(unknown).into());
    }
    loaded.config.tls()?;
    loaded.config.admin()?;
    loaded.config.tokens()?;
    let set = loaded.keys().filter(|(_, origin)| **origin != Origin::Default).count();
    // If this fails, no output is left to report it; the exit code does.
    let _ =
        writeln!(io::stdout(), "the configuration is right: {set} keys set, the others at their defaults");
    Ok(())
}

/// As a configuration file, with origins in comments.
fn as_text(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut table = None;
    for (key, origin) in loaded.keys() {
        if key.table != table {
            table = key.table;
            let _ = write!(text, "\n[{}]\n", table.unwrap_or_default());
        }
        let value = match key.show(&loaded.config) {
            Some(value) => format!("{} = {value}", key.leaf()),
            None => format!("# {} is not set", key.leaf()),
        };
        let _ = writeln!(text, "{value:<48} # {origin}");
    }
    text
}

fn as_json(loaded: &Loaded) -> Result<String, serde_json::Error> {
    let keys: Vec<_> = loaded
        .keys()
        .map(|(key, origin)| {
            let origin = match origin {
                Origin::Default => json!({"kind": "default"}),
                Origin::File(path, line) => json!({"kind": "file", "file": path, "line": line}),
                Origin::Environment(name) => json!({"kind": "environment", "name": name}),
                Origin::Flag(name) => json!({"kind": "flag", "name": name}),
            };
            let value = key.show(&loaded.config);
            json!({"key": key.path(), "value": value, "unit": key.unit, "origin": origin})
        })
        .collect();
    Ok(serde_json::to_string_pretty(&keys)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Config;

    #[test]
    fn what_is_shown_can_be_used_as_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leveret.toml");
        std::fs::write(&path, as_text(&load(&ServeArgs::default()).unwrap())).unwrap();
        let again = load(&ServeArgs { config: Some(path), ..ServeArgs::default() }).unwrap();
        assert_eq!(again.config, Config::default());
    }
}
