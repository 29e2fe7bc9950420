//! A publisher: one connection, one thread.

use leveret_amqp091::wire::method::{AMQPClass, confirm};

use super::batch::{Batch, CHANNEL};
use super::clock;
use super::confirms::Window;
use super::deliveries::{Event, Walker};
use super::error::PerfError;
use super::link::{Link, Wait};
use super::meter::{Control, Counters, Latencies, add};
use super::schedule::Schedule;
use super::settings::Settings;
use super::url::BrokerUrl;

/// Interval in nanoseconds at which a publisher that expects no confirms checks for input.
const LOOK_NANOSECONDS: u64 = 100_000_000;

/// How long the broker may take, after the stop, to process what was sent.
const DIGEST_SECONDS: u64 = 30;

pub(super) struct Publisher<'a> {
    link: Link,
    walker: Walker,
    batch: Batch,
    /// Index of the next message in the batch.
    turn: usize,
    window: Option<Window>,
    schedule: Option<Schedule>,
    /// Messages still to send, if limited.
    left: Option<u64>,
    latencies: &'a mut Latencies,
    control: &'a Control,
    counters: &'a Counters,
}

impl<'a> Publisher<'a> {
    /// Connects. `left` is this publisher's share of a limited number of messages.
    pub(super) fn prepare(
        url: &BrokerUrl,
        settings: &Settings,
        index: usize,
        left: Option<u64>,
        control: &'a Control,
        counters: &'a Counters,
        latencies: &'a mut Latencies,
    ) -> Result<Self, PerfError> {
        let mut link = Link::connect(url)?;
        link.open_channel(CHANNEL)?;
        if settings.confirm.is_some() {
            let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
            link.call(CHANNEL, &AMQPClass::Confirm(select))?;
        }
        Ok(Self {
            batch: Batch::new(settings, index, link.frame_max),
            link,
            walker: Walker::default(),
            turn: 0,
            window: settings.confirm.map(Window::new),
            schedule: None,
            left,
            latencies,
            control,
            counters,
        })
    }

    /// Publishes until told to stop or until everything is sent and confirmed.
    pub(super) fn run(mut self, settings: &Settings, index: usize) -> Result<(), PerfError> {
        self.schedule =
            settings.rate.map(|rate| Schedule::new(clock::now(), rate, index, settings.publishers));
        let mut last_look = clock::now();
        while !self.control.stopped() {
            let now = clock::now();
            let room = self.window.as_ref().map_or(u64::MAX, Window::room);
            let due = self.schedule.as_ref().map_or(u64::MAX, |schedule| schedule.due(now));
            let may = room.min(due).min(self.left.unwrap_or(u64::MAX));
            if may > 0 && !self.send(may, now)? {
                return Ok(());
            }
            let outstanding = self.window.as_ref().map_or(0, Window::outstanding);
            if self.left == Some(0) && outstanding == 0 {
                return self.finish();
            }
            if self.window.is_some() {
                let wait = match &self.schedule {
                    Some(schedule) if room > may => Wait::Until(schedule.next(now)),
                    _ if self.window.as_ref().is_some_and(|window| window.room() > 0)
                        && self.left != Some(0) =>
                    {
                        Wait::No
                    }
                    _ => Wait::Tick,
                };
                self.listen(wait)?;
            } else {
                if may == 0 {
                    let wake = self.schedule.as_ref().map_or(now, |schedule| schedule.next(now));
                    clock::sleep(wake.saturating_sub(clock::now()).min(LOOK_NANOSECONDS));
                }
                if now - last_look > LOOK_NANOSECONDS {
                    last_look = now;
                    self.listen(Wait::No)?;
                }
            }
        }
        // If it takes longer, the remainder may appear in the next measurement; this one is unaffected.
        let _ = self.link.close(DIGEST_SECONDS);
        Ok(())
    }

    /// Sends up to `may` messages; `false` if told to stop while the broker accepted nothing for long.
    fn send(&mut self, may: u64, now: u64) -> Result<bool, PerfError> {
        let run = self.batch.run(self.turn, may);
        let count = run.len() as u64;
        for index in run.clone() {
            let time = self.schedule.as_mut().map_or(now, |schedule| schedule.stamp(now));
            self.batch.stamp(index, time);
            if let Some(window) = &mut self.window {
                window.sent(time);
            }
        }
        let control = self.control;
        if !self.link.write_unless(self.batch.bytes(run.clone()), || control.stopped())? {
            return Ok(false);
        }
        add(&self.counters.sent, count);
        if let Some(left) = &mut self.left {
            *left -= count;
        }
        self.turn = run.end % self.batch.len();
        Ok(true)
    }

    /// Handles the broker's input.
    fn listen(&mut self, wait: Wait) -> Result<(), PerfError> {
        if !self.link.fill(wait)? {
            return Ok(());
        }
        let (now, measuring) = (clock::now(), self.control.measuring());
        let (mut confirmed, mut rejected, mut returned) = (0, 0, 0);
        let (window, latencies) = (&mut self.window, &mut *self.latencies);
        let mut failure = None;
        let done = self.walker.walk(self.link.data(), self.link.frame_max, |event| match event {
            Event::Confirmed { delivery_tag, multiple, positive } => {
                let Some(window) = window else { return };
                let settled = window.settle(delivery_tag, multiple, |sent| {
                    if measuring {
                        latencies.record(now.saturating_sub(sent));
                    }
                });
                match settled {
                    Ok(settled) if positive => confirmed += settled,
                    Ok(settled) => rejected += settled,
                    Err(why) => failure = Some(why),
                }
            }
            Event::Returned => returned += 1,
            Event::Blocked(blocked) => {
                eprintln!("the broker {} publishers", if blocked { "blocks" } else { "no longer blocks" });
            }
            Event::Delivered { .. } => {}
        })?;
        self.link.consume(done);
        add(&self.counters.confirmed, confirmed);
        add(&self.counters.rejected, rejected);
        add(&self.counters.returned, returned);
        failure.map_or(Ok(()), Err)
    }

    /// Closes in order: everything sent has been processed when this returns.
    fn finish(mut self) -> Result<(), PerfError> {
        self.link.close_channel(CHANNEL)?;
        self.link.close(DIGEST_SECONDS)
    }
}
