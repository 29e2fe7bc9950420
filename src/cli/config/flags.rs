//! Flags and environment variables, generated from the table of keys.

use std::fmt;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::keys::KEYS;
use super::table::Key;

/// Values from the command line and the environment, unchecked.
#[derive(Clone, Default)]
pub struct ServeArgs {
    /// The configuration file.
    pub config: Option<PathBuf>,
    pub(super) given: Vec<Given>,
}

/// One value from the command line or the environment.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) key: &'static Key,
    pub(super) text: String,
    pub(super) by_flag: bool,
}

/// Names only: a value may be secret.
impl fmt::Debug for ServeArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.given.iter().map(|given| given.key.name).collect();
        f.debug_struct("ServeArgs").field("config", &self.config).field("given", &names).finish()
    }
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .env("LEVERET_CONFIG")
            .value_parser(clap::value_parser!(PathBuf))
            .help_heading("Configuration")
            .help("Configuration file (TOML)");
        KEYS.iter().fold(command.arg(config), |command, key| command.arg(argument(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(key: &'static Key) -> Arg {
    let argument = Arg::new(key.name)
        .long(key.flag())
        .env(key.variable())
        .hide_env_values(true)
        .value_name(key.form)
        .help_heading(key.group)
        .help(key.help())
        .long_help(key.long_help());
    if key.form == <bool as super::setting::Setting>::FORM {
        argument.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        argument
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self { config: matches.get_one::<PathBuf>("config").cloned(), given: Vec::new() };
        for key in KEYS {
            let Some(text) = matches.get_one::<String>(key.name) else { continue };
            let by_flag = matches.value_source(key.name) == Some(ValueSource::CommandLine);
            // Compose files unset a variable by making it empty.
            if by_flag || !text.is_empty() {
                args.given.push(Given { key, text: text.clone(), by_flag });
            }
        }
        args.config = args.config.filter(|path| !path.as_os_str().is_empty());
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
