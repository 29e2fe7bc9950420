//! From the command line to the result.

use std::io::{self, Write};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::args::PerfArgs;
use super::error::PerfError;
use super::link::{GOODBYE_SECONDS, Link, Server};
use super::presets::PRESETS;
use super::process::Process;
use super::report::Report;
use super::settings::{Mode, Settings};
use super::traffic::Bench;
use super::url::BrokerUrl;
use super::{churn, idle, interrupt, relay};

/// Runs the measurement and prints the result.
///
/// # Errors
/// Invalid options, a broker that is unreachable or refuses, or a result that cannot be written.
pub fn run(args: &PerfArgs) -> Result<(), PerfError> {
    if args.list_presets {
        let lines = PRESETS.iter().map(|preset| format!("{:<22}{}\n", preset.name, preset.about));
        return print(&lines.collect::<Vec<_>>().concat());
    }
    if let Some(address) = &args.relay {
        return relay::run(address, |address| eprintln!("relaying at {address}"));
    }
    let mut settings = args.settings()?;
    // Two runs on one broker must not delete each other's queues; what is filled is drained by a run of its own.
    if args.prefix.is_none() && !matches!(settings.mode, Mode::Fill | Mode::Drain) {
        settings.prefix = format!("{}-{:08x}", settings.prefix, rand::random::<u32>());
    }
    let url = BrokerUrl::trusting(&args.url, args.trust.ca_file.as_deref(), args.trust.insecure)?;
    raise_file_limit();
    let broker = args.broker_pid.map(Process::other);
    let server = who_is_there(&url)?;
    interrupt::watch();
    let mut phases = measure(&url, &settings, broker.as_ref(), args.quiet)?;
    let ended_by = phases.iter_mut().find_map(|phase| phase.ended_by.take());
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
        text.map(|text| text + "\n").map_err(|why| PerfError::io("cannot write the result")(why.into()))
    };
    match args.json.as_deref() {
        Some("-") => print(&json()?)?,
        Some(path) => {
            std::fs::write(path, json()?).map_err(PerfError::io(format!("cannot write {path}")))?;
            print(&report.table())?;
        }
        None => print(&report.table())?,
    }
    ended_by.map_or(Ok(()), Err)
}

fn measure(
    url: &BrokerUrl,
    settings: &Settings,
    broker: Option<&Process>,
    quiet: bool,
) -> Result<Vec<super::report::Phase>, PerfError> {
    match settings.mode {
        Mode::IdleConnections | Mode::IdleQueues => Ok(vec![idle::run(url, settings, broker, quiet)?]),
        Mode::ChurnConnections | Mode::ChurnChannels | Mode::ChurnQueues => {
            Ok(vec![churn::run(url, settings, broker, quiet)?])
        }
        Mode::Traffic | Mode::Fill | Mode::Drain | Mode::FillDrain => {
            Bench { url, settings, broker, quiet }.run()
        }
    }
}

fn who_is_there(url: &BrokerUrl) -> Result<Server, PerfError> {
    let mut link = Link::connect(url)?;
    let server = std::mem::take(&mut link.server);
    link.close(GOODBYE_SECONDS)?;
    Ok(server)
}

/// Thousands of connections need as many files; the soft limit is often 1,024. If raising it fails, connecting
/// reports the error.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn print(text: &str) -> Result<(), PerfError> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(PerfError::io("cannot write to standard output"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(settings: &Settings) -> Result<Vec<crate::report::Phase>, PerfError> {
        let url = BrokerUrl::parse(&relay::start())?;
        measure(&url, settings, Some(&Process::own()), true)
    }

    #[test]
    fn counted_traffic_arrives_in_full_with_its_latencies() {
        for (size, ack_every) in [(16, 0), (1024, 3), (20_000, 1)] {
            let settings = Settings {
                size,
                ack_every,
                publishers: 2,
                count: Some(501),
                confirm: Some(20),
                rate: Some(5000),
                ..Settings::default()
            };
            let phases = phases(&settings).unwrap();
            let [phase] = &phases[..] else { panic!() };
            let totals = phase.totals;
            assert_eq!((totals.sent, totals.confirmed, totals.received), (501, 501, 501), "{size}");
            assert_eq!(phase.confirm_latency_us.unwrap().samples, 501);
            assert_eq!(phase.end_to_end_latency_us.unwrap().samples, 501);
            assert!(phase.warnings.is_empty() && phase.seconds > 0.09, "{}", phase.seconds);
            assert!(phase.broker.is_some());
        }
    }

    #[test]
    fn timed_traffic_is_measured_for_its_time() {
        let settings = Settings { seconds: 1, warmup_seconds: 0, size: 0, ..Settings::default() };
        let phases = phases(&settings).unwrap();
        let [phase] = &phases[..] else { panic!() };
        assert!(phase.seconds >= 1.0 && phase.totals.received > 0);
        assert!(phase.end_to_end_latency_us.is_none() && phase.confirm_latency_us.is_none());
    }

    #[test]
    fn what_is_filled_in_is_drained() {
        let settings =
            Settings { mode: Mode::FillDrain, count: Some(300), confirm: Some(7), ..Settings::default() };
        let phases = phases(&settings).unwrap();
        let [fill, drain] = &phases[..] else { panic!() };
        assert_eq!((fill.name, fill.totals.confirmed, fill.totals.received), ("fill", 300, 0));
        assert_eq!((drain.name, drain.totals.sent, drain.totals.received), ("drain", 0, 300));
        assert!(drain.end_to_end_latency_us.is_none());
    }

    #[test]
    fn churn_and_idle_count_what_they_made() {
        for (mode, what) in [
            (Mode::ChurnConnections, "connections"),
            (Mode::ChurnChannels, "channels"),
            (Mode::ChurnQueues, "queues"),
            (Mode::IdleConnections, "connections"),
            (Mode::IdleQueues, "queues"),
        ] {
            let settings = Settings { mode, seconds: 1, warmup_seconds: 0, idle: 20, ..Settings::default() };
            let phases = phases(&settings).unwrap();
            let operations = phases[0].operations.as_ref().unwrap();
            assert_eq!(operations.what, what);
            assert!(operations.count >= 20, "{mode:?} {}", operations.count);
        }
    }

    #[test]
    fn refusal_ends_the_measurement_in_the_brokers_words() {
        for settings in [
            Settings { exchange: crate::settings::ExchangeKind::Topic, ..Settings::default() },
            Settings {
                requeuers: 1,
                publishers: 0,
                consumers: 20,
                consumers_per_connection: 20,
                ..Settings::default()
            },
        ] {
            let error = phases(&settings).err().unwrap().to_string();
            assert!(error.contains("540 NOT_IMPLEMENTED") || error.contains("9 channels"), "{error}");
        }
    }

    #[test]
    fn no_broker_is_one_clear_error() {
        let url = BrokerUrl::parse("amqp://127.0.0.1:1").unwrap();
        let error = measure(&url, &Settings::default(), None, true).err().unwrap().to_string();
        assert!(error.starts_with("cannot connect to 127.0.0.1:1: "), "{error}");
    }
}
