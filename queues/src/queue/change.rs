//! The queue becomes another one, with all that is in it: its messages, who holds them, who consumes.

use super::entry::{Disk, Entry};
use super::{Effects, Outlet, PageCandidate, Queue, Settings};
use crate::ids::{Millis, Seq};

impl<C> Queue<C> {
    /// From now on the queue keeps to `settings`, those that are otherwise fixed for its life as well.
    ///
    /// Nothing leaves its place: messages stay in the priority levels that they stand in, so that what comes later
    /// with a higher priority overtakes them and nothing else does. What a consumer holds it goes on holding.
    ///
    /// Returned is what the store has to be told now: the persistent messages in memory of a queue that
    /// becomes durable, which count as stored from here on. Those whose bodies have left memory stay what they
    /// were when they came: void after a restart. `written_upto`: what the store has certainly written.
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

    /// Has what is persistent and in memory told to the store.
    fn persist(&mut self, fx: &mut Effects) -> Vec<PageCandidate> {
        let mut untold = Vec::new();
        let mut freed = 0;
        let mut seen = Seq(0);
        let mut tell = |entry: &mut Entry, handed_out: bool| {
            let (true, Disk::Never, Some(message)) = (entry.persistent, entry.disk, &entry.message) else {
                return;
            };
            // A copy: whether a message is to be written is told by the message itself, and other queues may
            // hold this one.
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
        self.unacked.iter_mut().for_each(|held| tell(&mut held.entry, true));
        self.counts.resident_bytes -= freed;
        if seen > self.delivered_upto {
            self.delivered_upto = seen;
            fx.delivered_upto = Some(seen);
        }
        untold.sort_unstable_by_key(|told| told.seq);
        untold
    }

    /// What the store knows it goes on knowing until it is settled; a restart forgets it.
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
        self.unacked.iter_mut().for_each(|held| written(&mut held.entry));
    }
}
