//! `rabbitmqctl`, `rabbitmq-diagnostics`, `rabbitmq-plugins`, `rabbitmq-queues`, `rabbitmq-upgrade` and
//! `rabbitmqadmin`: the binary's behaviour when called by one of these names. For playbooks, health checks and
//! habits made for `RabbitMQ`.
//!
//! Invariants: everything uses the management API; outputs, texts and exit codes are those of `RabbitMQ` 3.10's
//! tools where their subject exists here; a command without meaning here fails with a line that says so, or
//! succeeds if there is nothing to do. No password is ever printed.

mod admin;
mod checks;
mod commands;
mod eval;
mod fault;
mod format;
mod job;
mod limits;
mod line;
mod lists;
mod node;
mod objects;
mod permissions;
mod plugins;
mod policies;
mod reach;
mod status;
mod usage;
mod users;
mod vhosts;

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use fault::Fault;
use job::Job;
use line::Line;

/// The tool that the binary was called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `rabbitmqctl`.
    Ctl,
    /// `rabbitmq-diagnostics`.
    Diagnostics,
    /// `rabbitmq-plugins`.
    Plugins,
    /// `rabbitmq-queues`.
    Queues,
    /// `rabbitmq-upgrade`.
    Upgrade,
    /// `rabbitmqadmin`, as of `RabbitMQ` 3.
    Admin,
}

impl Tool {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Ctl, "rabbitmqctl"),
        (Self::Diagnostics, "rabbitmq-diagnostics"),
        (Self::Plugins, "rabbitmq-plugins"),
        (Self::Queues, "rabbitmq-queues"),
        (Self::Upgrade, "rabbitmq-upgrade"),
        (Self::Admin, "rabbitmqadmin"),
    ];

    /// The tool with this name; `path` is the binary's as called.
    pub fn named(path: &OsStr) -> Option<Self> {
        let name = Path::new(path).file_name()?;
        Self::ALL.into_iter().find(|(_, known)| name == *known).map(|(tool, _)| tool)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(tool, _)| *tool == self).map_or("", |(_, name)| name)
    }
}

/// Runs the command as the tool would.
pub fn run(tool: Tool, arguments: &[String]) -> ExitCode {
    let done = if tool == Tool::Admin { admin::run(arguments) } else { command(tool, arguments) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            if !fault.text.is_empty() {
                // If this fails too, the error cannot be reported.
                let _ = writeln!(std::io::stderr(), "{}", fault.text);
            }
            ExitCode::from(fault.code)
        }
    }
}

fn command(tool: Tool, arguments: &[String]) -> Result<(), Fault> {
    let line = Line::read(arguments);
    let Some(name) = line.words.first().map(String::as_str) else {
        return match (line.has("version"), line.has("help")) {
            (true, _) => node::version(&Job::new(tool, line, None)),
            (false, true) => commands::help(tool, None),
            (false, false) => Err(commands::overview(tool, None)),
        };
    };
    if name == "help" {
        return commands::help(tool, line.words.get(1).map(String::as_str));
    }
    let Some(command) = commands::find(tool, name) else { return Err(commands::overview(tool, Some(name))) };
    if line.has("help") {
        return commands::help(tool, Some(name));
    }
    let line = line.checked(tool, &command.usage)?;
    let job = Job::new(tool, line, Some(&command.usage));
    (command.act)(&job)?;
    job.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_binary_says_which_tool_it_is() {
        for (path, want) in [
            ("rabbitmqctl", Some(Tool::Ctl)),
            ("/usr/sbin/rabbitmq-diagnostics", Some(Tool::Diagnostics)),
            ("./rabbitmqadmin", Some(Tool::Admin)),
            ("leveret", None),
            ("/usr/bin/rabbitmqctl2", None),
            ("", None),
        ] {
            assert_eq!(Tool::named(OsStr::new(path)), want, "{path}");
        }
    }
}
