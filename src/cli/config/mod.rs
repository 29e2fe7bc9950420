//! Settings: flags over environment variables over the configuration file over defaults, all under
//! the same names.
//!
//! Invariants: keys are defined only in the list in `keys.rs`; all problems are reported at once, each with its
//! location; a secret is never shown.

mod commands;
mod environment;
mod file;
mod flags;
mod keys;
mod machine;
pub mod node_name;
mod reference;
pub mod security;
pub mod setting;
pub mod table;

use std::fmt;
use std::path::{Path, PathBuf};

pub use commands::{ConfigCommand, check, run};
pub use environment::{names as variables, unknown as unknown_variables};
pub use flags::ServeArgs;
pub use keys::{Config, KEYS};
pub use setting::LogFormat;

use file::File;
use table::Key;

/// Origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Not set.
    Default,
    /// A line of the file.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A problem in the configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// An error in the file.
    #[error("{}:{line}:{column}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Character in the line, from 1.
        column: usize,
        /// The error.
        why: String,
    },
    /// A flag or an environment variable.
    #[error("{origin}: {why}")]
    Given {
        /// The flag or variable.
        origin: Origin,
        /// The error in its value.
        why: String,
    },
}

/// All problems, in the order of the file, then flags and variables.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Settings and their origins.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// In the order of [`KEYS`].
    origins: Vec<Origin>,
}

impl Loaded {
    /// Every key with the origin of its value.
    pub fn keys(&self) -> impl Iterator<Item = (&'static Key, &Origin)> {
        KEYS.iter().zip(&self.origins)
    }

    fn came_from(&mut self, key: &Key, origin: Origin) {
        let index = KEYS.iter().position(|other| other.name == key.name);
        if let Some(place) = index.and_then(|index| self.origins.get_mut(index)) {
            *place = origin;
        }
    }
}

/// Merges flags, environment (carried by the flags), file and defaults.
pub fn load(args: &ServeArgs) -> Result<Loaded, ConfigError> {
    let origins = vec![Origin::Default; KEYS.len()];
    let mut loaded = Loaded { config: Config::default(), origins };
    let mut problems = Vec::new();
    if let Some(path) = &args.config {
        match std::fs::read_to_string(path) {
            Ok(text) => problems.extend(load_file(path, &text, &mut loaded)),
            Err(error) => problems.push(Problem::Unreadable { path: path.clone(), why: error.to_string() }),
        }
    }
    for given in &args.given {
        let origin = if given.by_flag {
            Origin::Flag(format!("--{}", given.key.flag()))
        } else {
            Origin::Environment(given.key.variable())
        };
        match (given.key.set_text)(&mut loaded.config, &given.text) {
            Ok(()) => loaded.came_from(given.key, origin),
            Err(why) => problems.push(Problem::Given { origin, why }),
        }
    }
    if problems.is_empty() { Ok(loaded) } else { Err(ConfigError(problems)) }
}

/// The data folder set in a configuration file; `None`: the file is unreadable or invalid, or does not set it.
pub fn data_dir_in(path: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut loaded = Loaded { config: Config::default(), origins: vec![Origin::Default; KEYS.len()] };
    let problems = load_file(path, &text, &mut loaded);
    (problems.is_empty() && loaded.config.data_dir != Config::default().data_dir)
        .then_some(loaded.config.data_dir)
}

fn load_file(path: &Path, text: &str, loaded: &mut Loaded) -> Vec<Problem> {
    let File { found, mut problems, .. } = File::read(path, text, &mut loaded.config);
    for (key, line) in found {
        loaded.came_from(key, Origin::File(path.to_owned(), line));
    }
    problems.sort_by_key(|problem| match problem {
        Problem::File { line, column, .. } => (*line, *column),
        _ => (0, 0),
    });
    problems
}

#[cfg(test)]
mod tests;
