//! A consumer that requeues everything, endlessly: measures its cost to the broker, and whether others are still
//! served.

use leveret_amqp091::wire::hot_out::nack;

use super::batch::Batch;
use super::consumer::subscribe;
use super::deliveries::{Event, Walker};
use super::error::PerfError;
use super::link::{GOODBYE_SECONDS, Link, Wait};
use super::meter::{Control, Counters, add};
use super::settings::{ExchangeKind, Settings};
use super::topology;
use super::url::BrokerUrl;

/// Messages in a requeuer's queue.
const MESSAGES: u64 = 100;

/// Prefetch of a requeuer.
const PREFETCH: u16 = 10;

/// The queue of requeuer number `index`.
pub(super) fn queue(settings: &Settings, index: usize) -> String {
    format!("{}-requeue-{index}", settings.prefix)
}

pub(super) struct Requeuer {
    link: Link,
}

impl Requeuer {
    /// Declares a queue, fills it, and consumes from it.
    pub(super) fn prepare(url: &BrokerUrl, settings: &Settings, index: usize) -> Result<Self, PerfError> {
        let queue = queue(settings, index);
        let mut link = Link::connect(url)?;
        link.open_channel(topology::CHANNEL)?;
        topology::delete_queue(&mut link, &queue)?;
        topology::declare_queue(
            &mut link,
            &queue,
            settings.durable,
            &topology::queue_arguments(&settings.queue_args)?,
        )?;
        // A batch for the default exchange, whose routing key is this queue's name.
        let own = Settings {
            prefix: queue[..queue.len() - format!("-{index}").len()].to_owned(),
            queues: index + 1,
            exchange: ExchangeKind::Default,
            size: settings.size.min(1024),
            ..settings.clone()
        };
        let batch = Batch::new(&own, index, link.frame_max);
        for _ in 0..MESSAGES {
            link.write(batch.bytes(0..1))?;
        }
        subscribe(&mut link, 2, &queue, PREFETCH, false)?;
        Ok(Self { link })
    }

    /// Requeues until told to stop.
    pub(super) fn run(mut self, control: &Control, counters: &Counters) -> Result<(), PerfError> {
        let (mut walker, mut nacks) = (Walker::default(), Vec::new());
        while !control.stopped() {
            if !self.link.fill(Wait::Tick)? {
                continue;
            }
            let mut requeued = 0;
            let done = walker.walk(self.link.data(), self.link.frame_max, |event| {
                if let Event::Delivered { channel, delivery_tag, .. } = event {
                    nack(&mut nacks, channel, delivery_tag, false, true);
                    requeued += 1;
                }
            })?;
            self.link.consume(done);
            add(&counters.requeued, requeued);
            if !self.link.write_unless(&nacks, || control.stopped())? {
                return Ok(());
            }
            nacks.clear();
        }
        // The broker's answer to the close does not matter any more.
        let _ = self.link.close(GOODBYE_SECONDS);
        Ok(())
    }
}
