//! Consumers: one or more per connection and thread, each on its own channel.

use leveret_amqp091::wire::hot_out::ack;
use leveret_amqp091::wire::method::{AMQPClass, FieldTable, basic};

use super::clock;
use super::deliveries::{Event, Walker};
use super::error::PerfError;
use super::link::{GOODBYE_SECONDS, Link, Wait, name};
use super::meter::{Control, Counters, Latencies, add};
use super::settings::Settings;
use super::url::BrokerUrl;

/// At unlimited rate, one in N deliveries has its latency recorded: recording costs about as much as all the rest.
const SAMPLE_EVERY: u64 = 8;

pub(super) struct Consumer<'a> {
    link: Link,
    walker: Walker,
    /// Per channel: deliveries since the last ack, and the last delivery tag.
    unacked: Vec<(u32, u64)>,
    ack_every: u32,
    /// One in N deliveries is sampled.
    sample_every: u64,
    control: &'a Control,
    counters: &'a Counters,
}

impl<'a> Consumer<'a> {
    /// Connects and consumes from these queues, one channel each.
    pub(super) fn prepare(
        url: &BrokerUrl,
        settings: &Settings,
        queues: &[String],
        control: &'a Control,
        counters: &'a Counters,
    ) -> Result<Self, PerfError> {
        let mut link = Link::connect(url)?;
        for (channel, queue) in (1..=link.channel_max).zip(queues) {
            subscribe(&mut link, channel, queue, settings.prefetch, settings.ack_every == 0)?;
        }
        if queues.len() > usize::from(link.channel_max) {
            let most = link.channel_max;
            return Err(PerfError::Option(format!(
                "--consumers-per-connection: the broker allows {most} channels"
            )));
        }
        Ok(Self {
            link,
            walker: Walker::default(),
            unacked: vec![(0, 0); queues.len() + 1],
            ack_every: settings.ack_every,
            sample_every: if settings.rate.is_some() { 1 } else { SAMPLE_EVERY },
            control,
            counters,
        })
    }

    /// Consumes until told to stop; records end-to-end latencies.
    pub(super) fn run(mut self, latencies: &mut Latencies) -> Result<(), PerfError> {
        let (mut acks, mut until_sample) = (Vec::new(), 0);
        let control = self.control;
        while !control.stopped() {
            if self.link.fill(Wait::Tick)? {
                let (now, measuring) = (clock::now(), control.measuring());
                let (unacked, ack_every) = (&mut self.unacked, self.ack_every);
                let mut received = 0;
                let done = self.walker.walk(self.link.data(), self.link.frame_max, |event| {
                    let Event::Delivered { channel, delivery_tag, stamp } = event else {
                        return;
                    };
                    received += 1;
                    if until_sample == 0 {
                        until_sample = self.sample_every;
                        if let (true, Some(stamp)) = (measuring, stamp) {
                            latencies.record(now.saturating_sub(stamp));
                        }
                    }
                    until_sample -= 1;
                    if ack_every > 0
                        && let Some((count, last)) = unacked.get_mut(usize::from(channel))
                    {
                        (*count, *last) = (*count + 1, delivery_tag);
                        if *count == ack_every {
                            ack(&mut acks, channel, delivery_tag, ack_every > 1);
                            *count = 0;
                        }
                    }
                })?;
                self.link.consume(done);
                add(&self.counters.received, received);
            } else {
                // Idle: settle the remaining deliveries, so that a queue can become empty.
                self.ack_rest(&mut acks);
            }
            if !acks.is_empty() {
                if !self.link.write_unless(&acks, || control.stopped())? {
                    return Ok(());
                }
                acks.clear();
            }
        }
        // The broker's answer to the close does not matter any more.
        let _ = self.link.close(GOODBYE_SECONDS);
        Ok(())
    }

    fn ack_rest(&mut self, acks: &mut Vec<u8>) {
        for (channel, (count, last)) in (0..).zip(&mut self.unacked) {
            if std::mem::take(count) > 0 {
                ack(acks, channel, *last, true);
            }
        }
    }
}

/// Opens a channel and consumes from a queue on it.
pub(super) fn subscribe(
    link: &mut Link,
    channel: u16,
    queue: &str,
    prefetch: u16,
    no_ack: bool,
) -> Result<(), PerfError> {
    link.open_channel(channel)?;
    if prefetch > 0 {
        let qos = basic::Qos { prefetch_count: prefetch, global: false };
        link.call(channel, &AMQPClass::Basic(basic::AMQPMethod::Qos(qos)))?;
    }
    let consume = basic::Consume {
        queue: name(queue),
        consumer_tag: name(&format!("perf-{channel}")),
        no_local: false,
        no_ack,
        exclusive: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    link.write_method(channel, &AMQPClass::Basic(basic::AMQPMethod::Consume(consume)))
}
