//! Memory cost to the broker of an idle connection or queue.

use leveret_amqp091::wire::method::{AMQPClass, queue, short_string};

use super::clock;
use super::error::PerfError;
use super::link::{GOODBYE_SECONDS, Link};
use super::process::{Process, Usage};
use super::report::{Operations, Phase, Spent, grouped};
use super::settings::{Mode, Settings};
use super::topology;
use super::url::BrokerUrl;

/// Queues declared between two progress lines.
const STEP: usize = 2000;

/// Creates N of them, leaves them idle, and reports the memory taken by each.
pub(super) fn run(
    url: &BrokerUrl,
    settings: &Settings,
    broker: Option<&Process>,
    quiet: bool,
) -> Result<Phase, PerfError> {
    // The broker's memory is read after it has settled, which takes the place of the warm-up.
    let settle = settings.warmup_seconds * 1_000_000_000;
    // Memory that a first connection loads is not a cost of the later ones.
    let mut link = Link::connect(url)?;
    link.open_channel(topology::CHANNEL)?;
    clock::sleep(settle);
    let own = Process::own();
    let (before, own_before, start) = (broker.map(Process::usage).transpose()?, own.usage()?, clock::now());
    let mut connections = Vec::new();
    let what = if settings.mode == Mode::IdleQueues {
        declare(&mut link, settings, quiet)?;
        "queues"
    } else {
        for index in 0..settings.idle {
            connections.push(Link::connect(url)?);
            if !quiet && (index + 1) % 1000 == 0 {
                eprintln!("{} connections", grouped(index as u64 + 1));
            }
        }
        "connections"
    };
    let end = clock::now();
    clock::sleep(settle);
    let (after, own_after) = (broker.map(Process::usage).transpose()?, own.usage()?);
    connections.into_iter().try_for_each(|link| link.close(GOODBYE_SECONDS))?;
    if settings.mode == Mode::IdleQueues && !settings.keep {
        topology::pipeline(&mut link, settings.idle, |index, nowait| {
            let delete = queue::Delete {
                queue: short_string(&settings.queue(index)),
                nowait,
                ..queue::Delete::default()
            };
            AMQPClass::Queue(queue::AMQPMethod::Delete(delete))
        })?;
    }
    link.close(GOODBYE_SECONDS)?;
    let count = settings.idle as u64;
    let seconds = clock::seconds(end - start);
    let operations = Operations {
        what,
        count,
        per_second: clock::float(count) / seconds,
        latency_us: None,
        bytes_each: before.zip(after).map(|(before, after)| bytes_each(before, after, count)),
    };
    let spent = Spent {
        broker: before.zip(after).map(|(before, after)| (before, after, false)),
        own: (own_before, own_after),
    };
    let mut phase = Phase::of_operations("idle", seconds, operations, &spent);
    if broker.is_none() {
        phase.warnings.push("without --broker-pid there is no memory to tell of".to_owned());
    }
    Ok(phase)
}

fn declare(link: &mut Link, settings: &Settings, quiet: bool) -> Result<(), PerfError> {
    let arguments = topology::queue_arguments(&settings.queue_args)?;
    for start in (0..settings.idle).step_by(STEP) {
        let count = STEP.min(settings.idle - start);
        topology::pipeline(link, count, |index, nowait| {
            AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
                queue: short_string(&settings.queue(start + index)),
                durable: settings.durable,
                nowait,
                arguments: arguments.clone(),
                ..queue::Declare::default()
            }))
        })?;
        if !quiet {
            eprintln!("{} queues", grouped((start + count) as u64));
        }
    }
    Ok(())
}

fn bytes_each(before: Usage, after: Usage, count: u64) -> f64 {
    clock::float(after.rss.saturating_sub(before.rss)) / clock::float(count.max(1))
}
