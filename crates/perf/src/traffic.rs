//! Running publishers and consumers: the measurement itself.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use super::clock;
use super::consumer::Consumer;
use super::error::PerfError;
use super::interrupt;
use super::link::{GOODBYE_SECONDS, Link};
use super::meter::{Control, Counters, Latencies, Stage, Totals};
use super::process::{Process, Usage};
use super::publisher::Publisher;
use super::report::{Phase, Spent, grouped};
use super::requeuer::{self, Requeuer};
use super::settings::{ExchangeKind, Mode, Settings};
use super::topology;
use super::url::BrokerUrl;

/// Check interval for the end of counted work, in nanoseconds.
const LOOK: u64 = 10_000_000;

/// Interval between progress lines, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Counted work without progress for this long is over, in nanoseconds.
const STUCK: u64 = 10 * SECOND;

/// Stack size of a worker's thread in bytes: there may be a thousand of them, and none recurses.
const STACK: usize = 256 * 1024;

/// Common context of all measurements.
pub(super) struct Bench<'a> {
    pub(super) url: &'a BrokerUrl,
    pub(super) settings: &'a Settings,
    pub(super) broker: Option<&'a Process>,
    pub(super) quiet: bool,
}

enum Outcome {
    Confirms(Latencies),
    EndToEnd(Latencies),
    Requeued,
}

/// `None` if it failed, after reporting the error on its channel.
type Worker<'scope> = ScopedJoinHandle<'scope, Option<Outcome>>;

/// A worker's report while running: ready, or failed.
type News = Result<(), PerfError>;

impl Bench<'_> {
    /// Sets up and runs the measurements of the mode.
    pub(super) fn run(&self) -> Result<Vec<Phase>, PerfError> {
        let mut link = Link::connect(self.url)?;
        link.open_channel(topology::CHANNEL)?;
        let mode = self.settings.mode;
        if mode != Mode::Drain {
            topology::declare(&mut link, self.settings)?;
        }
        let mut phases = Vec::new();
        match mode {
            Mode::Fill => phases.push(self.fill()?),
            Mode::Drain => phases.push(self.drain(&mut link)?),
            Mode::FillDrain => {
                phases.push(self.fill()?);
                if phases[0].ended_by.is_none() {
                    phases.push(self.drain(&mut link)?);
                }
            }
            _ => phases.push(self.traffic()?),
        }
        let cleared = self.clear(link);
        // After a failure there may be nobody to clear up with, and the failure says more.
        if phases.iter().all(|phase| phase.ended_by.is_none()) {
            cleared?;
        }
        Ok(phases)
    }

    fn clear(&self, mut link: Link) -> Result<(), PerfError> {
        if self.settings.mode != Mode::Fill && !self.settings.keep {
            topology::delete(&mut link, self.settings)?;
            for index in 0..self.settings.requeuers {
                topology::delete_queue(&mut link, &requeuer::queue(self.settings, index))?;
            }
        }
        link.close(GOODBYE_SECONDS)
    }

    fn traffic(&self) -> Result<Phase, PerfError> {
        let copies =
            if self.settings.exchange == ExchangeKind::Fanout { self.settings.queues as u64 } else { 1 };
        let goal = match (self.settings.count, self.settings.consumers) {
            (None, _) => None,
            (Some(_), 0) => Some(0),
            (Some(count), _) => Some(count * copies),
        };
        self.measure("traffic", self.settings, goal)
    }

    fn fill(&self) -> Result<Phase, PerfError> {
        self.measure("fill", &Settings { consumers: 0, ..self.settings.clone() }, Some(0))
    }

    fn drain(&self, link: &mut Link) -> Result<Phase, PerfError> {
        let mut messages = 0;
        for index in 0..self.settings.queues {
            messages += u64::from(topology::messages(link, &self.settings.queue(index))?);
        }
        let settings = Settings { publishers: 0, requeuers: 0, rate: None, ..self.settings.clone() };
        let mut phase = self.measure("drain", &settings, Some(messages))?;
        // It would measure how long the messages lay in the queue.
        phase.end_to_end_latency_us = None;
        Ok(phase)
    }

    /// Runs workers. With `goal`, until all publishers are done and that many messages received; else for the
    /// configured time.
    fn measure(
        &self,
        name: &'static str,
        settings: &Settings,
        goal: Option<u64>,
    ) -> Result<Phase, PerfError> {
        let connections = settings.consumers.div_ceil(settings.consumers_per_connection);
        let counters: Vec<Counters> = (0..connections + settings.publishers + settings.requeuers)
            .map(|_| Counters::default())
            .collect();
        let control = Control::default();
        thread::scope(|scope| {
            let result = self.watch(scope, name, settings, goal, &counters, &control);
            // Also after a failure: the scope ends when all workers have.
            control.set(Stage::Stop);
            result
        })
    }

    fn watch<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        name: &'static str,
        settings: &'scope Settings,
        goal: Option<u64>,
        counters: &'scope [Counters],
        control: &'scope Control,
    ) -> Result<Phase, PerfError> {
        let (tell, news) = channel();
        let workers = self.launch(scope, settings, counters, control, &tell)?;
        drop(tell);
        for _ in 0..workers.len() {
            news.recv().map_err(|_| PerfError::Panicked)??;
        }
        if goal.is_none() && settings.warmup_seconds > 0 {
            control.set(Stage::Warmup);
            clock::sleep(settings.warmup_seconds * SECOND);
        }
        let peak_reset = self.broker.is_some_and(Process::reset_peak);
        let own = Process::own();
        let usages = || -> Result<(Option<Usage>, Usage), PerfError> {
            Ok((self.broker.map(Process::usage).transpose()?, own.usage()?))
        };
        let (before, from, start) = (usages()?, Totals::of(counters), clock::now());
        control.set(Stage::Measure);
        let ended = self.until_done(settings, goal, counters, &workers, &news, (start, from));
        let (end, warning, mut ended_by) = match ended {
            Ok((end, warning)) => (end, warning, None),
            // What was measured until then counts, whatever ended it.
            Err(why) => (clock::now(), None, Some(why)),
        };
        let totals = Totals::of(counters).since(from);
        let after = match usages() {
            // The broker's process may be gone.
            Err(_) if ended_by.is_some() => before,
            after => after?,
        };
        control.set(Stage::Stop);

        let spent = Spent {
            broker: before.0.zip(after.0).map(|(before, after)| (before, after, peak_reset)),
            own: (before.1, after.1),
        };
        let mut phase = Phase::new(name, clock::seconds(end - start), totals, &spent);
        let (mut confirms, mut end_to_end) = (Latencies::new(), Latencies::new());
        for worker in workers {
            match worker.join().map_err(|_| PerfError::Panicked)? {
                Some(Outcome::Confirms(latencies)) => confirms.merge(&latencies),
                Some(Outcome::EndToEnd(latencies)) => end_to_end.merge(&latencies),
                Some(Outcome::Requeued) | None => {}
            }
        }
        // A failure at the very end.
        ended_by = ended_by.or(news.try_iter().find_map(Result::err));
        phase.confirm_latency_us = confirms.percentiles();
        phase.end_to_end_latency_us = end_to_end.percentiles();
        phase.warnings.extend(warning);
        phase.end_early(ended_by);
        Ok(phase)
    }

    /// Starts all consumers, publishers and requeuers; each reports on `tell` when it is ready.
    fn launch<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        settings: &'scope Settings,
        counters: &'scope [Counters],
        control: &'scope Control,
        tell: &Sender<News>,
    ) -> Result<Vec<Worker<'scope>>, PerfError> {
        let connections = settings.consumers.div_ceil(settings.consumers_per_connection);
        let mut workers = Vec::new();
        for (index, own) in counters[..connections].iter().enumerate() {
            let own_tell = tell.clone();
            workers.push(spawn(scope, tell.clone(), move || {
                let first = index * settings.consumers_per_connection;
                let last = settings.consumers.min(first + settings.consumers_per_connection);
                let queues: Vec<_> =
                    (first..last).map(|consumer| settings.queue(consumer % settings.queues)).collect();
                let consumer = Consumer::prepare(self.url, settings, &queues, control, own)?;
                start(&own_tell, control);
                let mut latencies = Latencies::new();
                report(&own_tell, consumer.run(&mut latencies));
                Ok(Outcome::EndToEnd(latencies))
            })?);
        }
        for (index, own) in counters[connections..].iter().enumerate() {
            let own_tell = tell.clone();
            let share = settings.count.map(|count| share(count, index, settings.publishers));
            workers.push(spawn(scope, tell.clone(), move || {
                if index >= settings.publishers {
                    let requeuer = Requeuer::prepare(self.url, settings, index - settings.publishers)?;
                    start(&own_tell, control);
                    return requeuer.run(control, own).map(|()| Outcome::Requeued);
                }
                let mut latencies = Latencies::new();
                let publisher =
                    Publisher::prepare(self.url, settings, index, share, control, own, &mut latencies)?;
                start(&own_tell, control);
                report(&own_tell, publisher.run(settings, index));
                Ok(Outcome::Confirms(latencies))
            })?);
        }
        Ok(workers)
    }

    /// Waits for the end and shows progress. Returns the time it ended, and any anomaly.
    fn until_done(
        &self,
        settings: &Settings,
        goal: Option<u64>,
        counters: &[Counters],
        workers: &[Worker<'_>],
        news: &Receiver<News>,
        (start, from): (u64, Totals),
    ) -> Result<(u64, Option<String>), PerfError> {
        let first_publisher = settings.consumers.div_ceil(settings.consumers_per_connection);
        let publishers = &workers[first_publisher..][..settings.publishers];
        let (mut shown, mut last, mut moved) = ((start, from), from, start);
        loop {
            let now = clock::now();
            let totals = Totals::of(counters);
            if totals != last {
                (last, moved) = (totals, now);
            }
            if !self.quiet && now - shown.0 >= SECOND {
                progress(start, shown, (now, totals));
                shown = (now, totals);
            }
            let publishing = !publishers.iter().all(ScopedJoinHandle::is_finished);
            news.try_iter().collect::<News>()?;
            if interrupt::came() {
                return Err(PerfError::Interrupted);
            }
            match goal {
                None if now - start >= settings.seconds * SECOND => return Ok((now, None)),
                None => clock::sleep((start + settings.seconds * SECOND - now).min(SECOND / 10)),
                Some(goal) => {
                    let received = totals.since(from).received;
                    if !publishing && received >= goal {
                        return Ok((moved, None));
                    }
                    if now - moved > STUCK {
                        let (received, goal) = (grouped(received), grouped(goal));
                        let warning = format!("nothing moved for 10 s; received {received} of {goal}");
                        return Ok((moved, Some(warning)));
                    }
                    clock::sleep(LOOK);
                }
            }
        }
    }
}

/// Reports a worker's failure. What it has measured is kept.
fn report(tell: &Sender<News>, ended: Result<(), PerfError>) {
    if let Err(why) = ended {
        let _ = tell.send(Err(why));
    }
}

/// Reports a worker as ready, and waits for the others.
fn start(tell: &Sender<News>, control: &Control) {
    // The receiver is gone after another worker's failure; then the stage is Stop.
    let _ = tell.send(Ok(()));
    control.wait_for_start();
}

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    tell: Sender<News>,
    work: impl FnOnce() -> Result<Outcome, PerfError> + Send + 'scope,
) -> Result<Worker<'scope>, PerfError> {
    let work = move || work().map_err(|why| tell.send(Err(why))).ok();
    thread::Builder::new()
        .stack_size(STACK)
        .spawn_scoped(scope, work)
        .map_err(PerfError::io("cannot start a thread"))
}

/// The part of `count` sent by number `index` of `of` publishers.
fn share(count: u64, index: usize, of: usize) -> u64 {
    let of = of as u64;
    count / of.max(1) + u64::from((index as u64) < count % of.max(1))
}

fn progress(start: u64, before: (u64, Totals), after: (u64, Totals)) {
    let seconds = clock::seconds(after.0 - before.0);
    let step = after.1.since(before.1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, for display")]
    let rate = |count| grouped((clock::float(count) / seconds) as u64);
    let mut line = format!("{:>5.0} s", clock::seconds(after.0 - start));
    for (name, count) in [
        ("sent", step.sent),
        ("confirmed", step.confirmed),
        ("received", step.received),
        ("requeued", step.requeued),
        ("returned", step.returned),
        ("rejected", step.rejected),
    ] {
        if count > 0 {
            line = format!("{line}   {name} {:>11}/s", rate(count));
        }
    }
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (count, of) in [(10, 3), (2, 5), (0, 2), (1_000_000, 7)] {
            assert_eq!((0..of).map(|index| share(count, index, of)).sum::<u64>(), count);
        }
    }
}
