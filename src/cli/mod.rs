//! The command line: what can be asked of the binary, and how it says that it failed.

pub mod check_data;
pub mod config;
pub mod generate;
pub mod healthcheck;
pub mod logging;
pub mod notify;
pub mod perf;
pub mod reload;
pub mod serve;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// What `--version` says: what the binary was built from. `-V` is the version alone.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("LEVERET_COMMIT"),
    "\ntarget: ",
    env!("LEVERET_TARGET"),
    "\nfeatures: ",
    env!("LEVERET_FEATURES")
);

/// An AMQP 0-9-1 message broker.
#[derive(Debug, Parser)]
#[command(name = "leveret", version, long_version = LONG_VERSION, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: config::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker (what happens without a command, too).
    Serve(Box<config::ServeArgs>),
    /// Check the configuration and tell everything that is wrong with it.
    CheckConfig(Box<config::ServeArgs>),
    /// Show the configuration in force, an example file, or the reference of all keys.
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
    /// Show what a data folder holds and whether it is damaged; changes nothing.
    CheckData(check_data::CheckDataArgs),
    /// Ask the broker on this machine whether it is in service; the exit code says it.
    Healthcheck(Box<config::ServeArgs>),
    /// Print completions for a shell.
    Completions(generate::CompletionsArgs),
    /// Write man pages into a folder.
    Man(generate::ManArgs),
    /// Generate load on a broker and measure it.
    Perf(Box<perf::PerfArgs>),
}

/// Runs what the command line asks for. A failure is one line on standard error, and a non-zero
/// exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        None => serve::run(&arguments.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::CheckConfig(args)) => config::check(&args),
        Some(Command::Config { command }) => config::run(&command),
        Some(Command::CheckData(args)) => check_data::run(&args),
        Some(Command::Healthcheck(args)) => healthcheck::run(&args),
        Some(Command::Completions(args)) => {
            generate::completions(&args, Arguments::command()).map_err(Into::into)
        }
        Some(Command::Man(args)) => generate::man(&args, Arguments::command()).map_err(Into::into),
        Some(Command::Perf(args)) => perf::run(&args).map_err(Into::into),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told if this fails, too.
            let _ = writeln!(std::io::stderr(), "leveret: {error}");
            ExitCode::FAILURE
        }
    }
}
