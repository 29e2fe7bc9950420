//! The command line: commands and failure reporting.

pub mod check_data;
pub mod client;
pub mod config;
pub mod ctl;
pub mod generate;
pub mod healthcheck;
pub mod logging;
pub mod notify;
pub mod private;
pub mod rabbitmq;
pub mod reload;
pub mod serve;
pub mod topology;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Output of `--version`: build details. `-V` prints the version alone.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("BUILT_COMMIT"),
    "\ntarget: ",
    env!("BUILT_TARGET"),
    "\nfeatures: ",
    env!("BUILT_FEATURES")
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
    /// Run the broker (default).
    Serve(Box<config::ServeArgs>),
    /// Check the configuration and report every error.
    CheckConfig(Box<config::ServeArgs>),
    /// Show the configuration in force, an example file, or the reference of all keys.
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
    /// Show what a data folder holds and whether it is damaged; changes nothing.
    CheckData(check_data::CheckDataArgs),
    /// Check that the local broker is in service (exit code).
    Healthcheck(Box<config::ServeArgs>),
    /// Print completions for a shell.
    Completions(generate::CompletionsArgs),
    /// Write man pages into a folder.
    Man(generate::ManArgs),
    /// Generate load on a broker and measure it.
    Perf(Box<leveret_perf::PerfArgs>),
    /// Look at a running broker and change it, over its management API.
    #[command(after_help = EXIT_CODES)]
    Ctl(Box<ctl::CtlArgs>),
    /// Show what differs between a topology file and a running broker.
    #[command(after_help = EXIT_CODES)]
    Plan(Box<topology::PlanArgs>),
    /// Make a running broker match a topology file.
    #[command(after_help = EXIT_CODES)]
    Apply(Box<topology::ApplyArgs>),
    /// Write what a running broker has as a topology file.
    #[command(after_help = EXIT_CODES)]
    Export(Box<topology::ExportArgs>),
}

/// The exit codes that scripts can rely on.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 the broker refused, or it failed in the middle; 2 (of plan) file and broker differ; \
     3 nothing was asked of the broker: wrong usage, unreadable file, no connection, no login.";

/// Runs the command line. A failure is one line on standard error, and a non-zero exit code. `give_back` returns
/// free memory to the system; it may be called from any thread.
pub fn main(give_back: fn()) -> ExitCode {
    leveret_platform::gives_back_with(give_back);
    let mut given = std::env::args_os();
    if let Some(tool) = given.next().and_then(|name| rabbitmq::Tool::named(&name)) {
        let arguments: Vec<_> = given.map(|argument| argument.to_string_lossy().into_owned()).collect();
        return rabbitmq::run(tool, &arguments);
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // If this fails too, the error cannot be reported.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { client::NOT_ASKED } else { client::DONE });
        }
    };
    let outcome = match arguments.command {
        None => serve::run(&arguments.serve, &unknown_variables()),
        Some(Command::Serve(args)) => serve::run(&args, &unknown_variables()),
        Some(Command::CheckConfig(args)) => config::check(&args, unknown_variables()),
        Some(Command::Config { command }) => config::run(&command),
        Some(Command::CheckData(args)) => check_data::run(&args),
        Some(Command::Healthcheck(args)) => healthcheck::run(&args),
        Some(Command::Completions(args)) => {
            generate::completions(&args, Arguments::command()).map_err(Into::into)
        }
        Some(Command::Man(args)) => generate::man(&args, Arguments::command()).map_err(Into::into),
        Some(Command::Perf(args)) => leveret_perf::run(&args).map_err(Into::into),
        Some(Command::Ctl(args)) => return asked(ctl::run(&args).map(|()| client::DONE)),
        Some(Command::Plan(args)) => return asked(topology::plan(&args)),
        Some(Command::Apply(args)) => return asked(topology::apply(&args)),
        Some(Command::Export(args)) => return asked(topology::export(&args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If this fails too, the error cannot be reported.
            let _ = writeln!(std::io::stderr(), "leveret: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A count with its noun: `1 queue`, `2 queues`.
fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Environment variables that no command recognises.
fn unknown_variables() -> Vec<config::Problem> {
    config::unknown_variables(&Arguments::command(), config::variables())
}

/// The exit code of a command that queries a broker.
fn asked(outcome: Result<u8, client::Failure>) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "leveret: {failure}");
            failure.exit_code()
        }
    }
}
