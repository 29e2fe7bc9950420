//! The command line: what can be asked of the binary, and how it says that it failed.

pub mod check_data;
pub mod config;
pub mod logging;
pub mod perf;
pub mod reload;
pub mod serve;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An AMQP 0-9-1 message broker.
#[derive(Debug, Parser)]
#[command(name = "leveret", version, about)]
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
        Some(Command::CheckConfig(args)) => config::check(&args).map_err(Into::into),
        Some(Command::Config { command }) => config::run(&command),
        Some(Command::CheckData(args)) => check_data::run(&args),
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
