//! From the command line to the result.

use std::io::{self, Write};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::args::PerfArgs;
use super::error::PerfError;
use super::link::{Link, Server};
use super::presets::PRESETS;
use super::process::Process;
use super::report::Report;
use super::settings::{Mode, Settings};
use super::traffic::Bench;
use super::url::BrokerUrl;
use super::{churn, idle};

/// Measures what the options say and prints the result.
///
/// # Errors
/// Senseless options, a broker that cannot be reached or refuses, or a result that cannot be written.
pub fn run(args: &PerfArgs) -> Result<(), PerfError> {
    if args.list_presets {
        let lines = PRESETS
            .iter()
            .map(|preset| format!("{:<22}{}\n", preset.name, preset.about));
        return print(&lines.collect::<Vec<_>>().concat());
    }
    let settings = args.settings()?;
    let url = BrokerUrl::parse(&args.url)?;
    raise_file_limit();
    let broker = args.broker_pid.map(Process::other);
    let server = who_is_there(&url)?;
    let phases = measure(&url, &settings, broker.as_ref(), args.quiet)?;
    let report = Report {
        leveret: env!("CARGO_PKG_VERSION"),
        preset: args.preset.clone(),
        url: url.shown(),
        broker: server,
        settings,
        phases,
    };
    let json = || {
        let text = serde_json::to_string_pretty(&report);
        text.map(|text| text + "\n")
            .map_err(|why| PerfError::io("cannot write the result")(why.into()))
    };
    match args.json.as_deref() {
        Some("-") => print(&json()?),
        Some(path) => {
            std::fs::write(path, json()?).map_err(PerfError::io(format!("cannot write {path}")))?;
            print(&report.table())
        }
        None => print(&report.table()),
    }
}

fn measure(
    url: &BrokerUrl,
    settings: &Settings,
    broker: Option<&Process>,
    quiet: bool,
) -> Result<Vec<super::report::Phase>, PerfError> {
    match settings.mode {
        Mode::IdleConnections | Mode::IdleQueues => {
            Ok(vec![idle::run(url, settings, broker, quiet)?])
        }
        Mode::ChurnConnections | Mode::ChurnChannels | Mode::ChurnQueues => {
            Ok(vec![churn::run(url, settings, broker, quiet)?])
        }
        Mode::Traffic | Mode::Fill | Mode::Drain | Mode::FillDrain => Bench {
            url,
            settings,
            broker,
            quiet,
        }
        .run(),
    }
}

fn who_is_there(url: &BrokerUrl) -> Result<Server, PerfError> {
    let mut link = Link::connect(url)?;
    let server = std::mem::take(&mut link.server);
    link.close()?;
    Ok(server)
}

/// Thousands of connections need as many files; the soft limit is often 1,024. If that fails, connecting will say so.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}

fn print(text: &str) -> Result<(), PerfError> {
    io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(PerfError::io("cannot write to standard output"))
}
