//! Shell completions and man pages, generated from the command line's definition.

use std::io;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

/// For which shell.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Where to put man pages.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// A folder; one file for each command.
    folder: PathBuf,
}

/// Prints the completions.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> io::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "leveret", &mut text);
    io::Write::write_all(&mut io::stdout().lock(), &text)
}

/// Writes `leveret.1`, `leveret-serve.1` and so on.
pub fn man(args: &ManArgs, command: Command) -> io::Result<()> {
    std::fs::create_dir_all(&args.folder)?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), &args.folder)
}
