//! Churn: connections, channels or queues opened and closed per second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use leveret_amqp091::wire::method::FieldTable;

use super::clock;
use super::error::PerfError;
use super::interrupt;
use super::link::{GOODBYE_SECONDS, Link};
use super::meter::{Control, Latencies, Stage};
use super::process::Process;
use super::report::{Operations, Phase, Spent, grouped};
use super::settings::{Mode, Settings};
use super::topology;
use super::url::BrokerUrl;

const SECOND: u64 = 1_000_000_000;

/// One line of progress.
fn progress(what: &str, start: u64, per_second: u64) {
    eprintln!("{:>5.0} s   {what} {:>9}/s", clock::seconds(clock::now() - start), grouped(per_second));
}

/// What is opened and closed.
fn what(mode: Mode) -> &'static str {
    match mode {
        Mode::ChurnConnections => "connections",
        Mode::ChurnChannels => "channels",
        _ => "queues",
    }
}

/// Opens and closes on several threads for the configured time.
pub(super) fn run(
    url: &BrokerUrl,
    settings: &Settings,
    broker: Option<&Process>,
    quiet: bool,
) -> Result<Phase, PerfError> {
    let what = what(settings.mode);
    let arguments = topology::queue_arguments(&settings.queue_args)?;
    let (control, count) = (Control::default(), AtomicU64::new(0));
    let own = Process::own();
    thread::scope(|scope| {
        let arguments = &arguments;
        let (control, count) = (&control, &count);
        let workers: Vec<_> = (0..settings.threads)
            .map(|index| {
                scope.spawn(move || {
                    let mut latencies = Latencies::new();
                    let ended = turn_over(url, settings, index, arguments, control, (count, &mut latencies));
                    (latencies, ended)
                })
            })
            .collect();
        control.set(Stage::Warmup);
        clock::sleep(settings.warmup_seconds * SECOND);
        let usages =
            || -> Result<_, PerfError> { Ok((broker.map(Process::usage).transpose()?, own.usage()?)) };
        let (before, from, start) = (usages(), count.load(Ordering::Relaxed), clock::now());
        control.set(Stage::Measure);
        let mut shown = from;
        for _ in 0..settings.seconds {
            if interrupt::came() || workers.iter().any(thread::ScopedJoinHandle::is_finished) {
                break;
            }
            clock::sleep(SECOND);
            let now = count.load(Ordering::Relaxed);
            if !quiet {
                progress(what, start, now - shown);
            }
            shown = now;
        }
        let (after, done, end) = (usages(), count.load(Ordering::Relaxed) - from, clock::now());
        control.set(Stage::Stop);
        let mut latencies = Latencies::new();
        let mut ended_by = interrupt::came().then_some(PerfError::Interrupted);
        for worker in workers {
            let (measured, ended) = worker.join().map_err(|_| PerfError::Panicked)?;
            latencies.merge(&measured);
            ended_by = ended_by.or(ended.err());
        }
        match ended_by {
            Some(why) if done == 0 => return Err(why),
            _ => {}
        }
        let (before, seconds) = (before?, clock::seconds(end - start));
        let after = match after {
            // The broker's process may be gone.
            Err(_) if ended_by.is_some() => before,
            after => after?,
        };
        let operations = Operations {
            what,
            count: done,
            per_second: clock::float(done) / seconds,
            latency_us: latencies.percentiles(),
            bytes_each: None,
        };
        let spent = Spent {
            broker: before.0.zip(after.0).map(|(before, after)| (before, after, false)),
            own: (before.1, after.1),
        };
        let mut phase = Phase::of_operations("churn", seconds, operations, &spent);
        phase.end_early(ended_by);
        Ok(phase)
    })
}

/// One thread's cycles, each timed from its first request to the last response.
fn turn_over(
    url: &BrokerUrl,
    settings: &Settings,
    index: usize,
    arguments: &FieldTable,
    control: &Control,
    (count, latencies): (&AtomicU64, &mut Latencies),
) -> Result<(), PerfError> {
    let mut link = Link::connect(url)?;
    if settings.mode == Mode::ChurnQueues {
        link.open_channel(topology::CHANNEL)?;
    }
    let queue = settings.queue(index);
    while !control.stopped() {
        let start = clock::now();
        match settings.mode {
            Mode::ChurnConnections => {
                let mut link = Link::connect(url)?;
                link.open_channel(1)?;
                link.close(GOODBYE_SECONDS)?;
            }
            Mode::ChurnChannels => {
                link.open_channel(1)?;
                link.close_channel(1)?;
            }
            _ => {
                topology::declare_queue(&mut link, &queue, settings.durable, arguments)?;
                topology::delete_queue(&mut link, &queue)?;
            }
        }
        if control.measuring() {
            latencies.record(clock::now() - start);
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
    link.close(GOODBYE_SECONDS)
}
