//! Publishing.

use leveret_message::ids::Millis;
use leveret_message::message::Message;

use super::entry::{Disk, Entry, NEVER, body_bytes};
use super::{Effects, Outlet, Overflow, Published, Queue};

impl<C> Queue<C> {
    /// Takes a message: hands it to a waiting consumer, or else keeps it, within the limits.
    pub fn publish(
        &mut self,
        now: Millis,
        message: Message,
        outlet: &mut (impl Outlet<C> + ?Sized),
        fx: &mut Effects,
    ) -> Published {
        let bytes = body_bytes(&message);
        // Before consumers are considered: a limit of 0 refuses everything.
        if self.settings.overflow != Overflow::DropHead && self.over_limit(1, u64::from(bytes)) {
            let wanted = self.settings.overflow == Overflow::RejectPublishDeadLetter;
            return Published::Refused { dead_letter: wanted && self.settings.dead_letters };
        }
        let meta = message.meta();
        let priority_level = self.settings.priority_level(meta.priority);
        let ttl = self.settings.ttl_ms(meta.expiration_ms);
        let seq = self.last_seq.next();
        self.last_seq = seq;
        let entry = Entry {
            message: Some(message),
            seq,
            expires: ttl.map_or(NEVER, |ttl| now.plus(ttl)),
            delivery_count: 0,
            acquired_count: 0,
            bytes,
            priority_level,
            persistent: meta.persistent,
            redelivered: meta.redelivered,
            disk: if meta.persistent && self.settings.durable { Disk::Told } else { Disk::Never },
        };
        let expires = entry.expires_option();
        let published = Published::Enqueued { seq, priority_level, expires };
        let entry = if self.counts.ready == 0 {
            match self.pass_on(entry, outlet, fx) {
                Ok(passed) => return if passed { Published::Passed } else { published },
                Err(entry) => entry,
            }
        } else {
            entry
        };
        self.counts.enter(&entry);
        self.counts.add_ready(&entry);
        self.priority_levels.make(priority_level).push(entry);
        self.priority_levels.note(priority_level);
        if self.over_limit(0, 0) || expires.is_some_and(|at| at <= now) {
            self.trim(now, fx);
        }
        if self.takers() > 0 {
            self.dispatch(now, outlet, fx);
        }
        self.check_small();
        published
    }
}
