//! Changes the fixed settings of a queue in place: its messages, their holders and its consumers stay.

use leveret_message::ids::{Millis, Seq};

use super::entry::{Disk, Entry};
use super::{Effects, Outlet, PageCandidate, Queue, Settings};

impl<C> Queue<C> {
    /// Applies `settings`, including those otherwise fixed for the queue's life.
    ///
    /// Nothing moves: messages stay in their priority levels, so that only later messages of a higher priority
    /// overtake them. Consumers keep what they hold.
    ///
    /// Returns what the store must be told now: the persistent messages in memory of a queue that becomes durable,
    /// which count as stored from here on. Those whose bodies have left memory stay as they were when they arrived:
    /// void after a restart. `written_upto`: what the store has certainly written.
    pub fn change(
        &mut self,
        now: Millis,
        settings: Settings,
        written_upto: Seq,
        outlet: &mut (impl Outlet<C> + ?Sized),
        fx: &mut Effects,
    ) -> Vec<PageCandidate> {
        let untold = match (self.settings.durable, settings.durable) {
            (false, true) => self.persist(fx),
            (true, false) => {
                self.release(written_upto);
                Vec::new()
            }
            _ => Vec::new(),
        };
        if settings.single_active_consumer != self.settings.single_active_consumer
            && let Some(consumers) = self.consumers.as_deref_mut()
        {
            let elected = consumers.set_single_active(settings.single_active_consumer);
            fx.activity.extend(elected.map(|elected| (elected, true)));
        }
        self.settings = Settings {
            durable: settings.durable,
            max_priority: settings.max_priority,
            single_active_consumer: settings.single_active_consumer,
            ..self.settings
        };
        self.set_settings(now, settings, outlet, fx);
        untold
    }

    /// Hands persistent messages in memory to the store.
    fn persist(&mut self, fx: &mut Effects) -> Vec<PageCandidate> {
        let mut untold = Vec::new();
        let mut freed = 0;
        let mut seen = Seq(0);
        let mut tell = |entry: &mut Entry, handed_out: bool| {
            let (true, Disk::Never, Some(message)) = (entry.persistent, entry.disk, &entry.message) else {
                return;
            };
            // A copy: clones share one write state, and other queues may hold this message.
            let message = message.with_properties(message.properties(), message.meta());
            message.always_log();
            freed += entry.memory();
            entry.message = Some(message.clone());
            freed -= entry.memory();
            entry.disk = Disk::Told;
            if handed_out || entry.redelivered {
                seen = seen.max(entry.seq);
            }
            untold.push(PageCandidate {
                seq: entry.seq,
                message,
                priority_level: entry.priority_level,
                expires: entry.expires_option(),
                delivery_count: entry.delivery_count,
            });
        };
        for level in self.priority_levels.filled() {
            if let Some(priority_level) = self.priority_levels.get_mut(level) {
                priority_level.entries_mut().for_each(|entry| tell(entry, false));
            }
        }
        self.aside_mut().for_each(|entry| tell(entry, false));
        self.retrying_mut().for_each(|entry| tell(entry, false));
        self.unacked.iter_mut().for_each(|held| tell(&mut held.entry, true));
        self.counts.resident_bytes -= freed;
        if seen > self.delivered_upto {
            self.delivered_upto = seen;
            fx.delivered_upto = Some(seen);
        }
        untold.sort_unstable_by_key(|told| told.seq);
        untold
    }

    /// What the store knows stays known to it until settled; a restart forgets it.
    fn release(&mut self, written_upto: Seq) {
        self.paged_ever = true;
        let written = |entry: &mut Entry| {
            if entry.disk == Disk::Told && entry.seq <= written_upto {
                entry.disk = Disk::Written;
            }
        };
        for level in self.priority_levels.filled() {
            if let Some(priority_level) = self.priority_levels.get_mut(level) {
                priority_level.entries_mut().for_each(written);
            }
        }
        self.aside_mut().for_each(written);
        self.retrying_mut().for_each(written);
        self.unacked.iter_mut().for_each(|held| written(&mut held.entry));
    }
}
