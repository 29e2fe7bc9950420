//! Redefining a queue under its name, for which AMQP offers only delete and redeclare.
//!
//! Invariants: its id in the store stays, so that no message is moved, lost or duplicated; publishers, consumers and
//! their unacknowledged messages see only the new rules.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_queues::{Overflow, Settings};
use leveret_store::Record;

use super::{Cell, QueueHandle, counts_told};
use crate::deduplication::{Deduplication, DeduplicationRule};
use crate::queue_kind::QueueKind;
use crate::queue_options::{InForce, QueueSpec};
use crate::turn::Turn;

impl QueueHandle {
    /// Changes the queue's declaration; the definition is already on disk. Messages that become durable are reported to
    /// the store.
    pub(crate) fn change(
        self: &Arc<Self>,
        turn: &mut Turn,
        spec: QueueSpec,
        in_force: InForce,
        deduplication: Option<DeduplicationRule>,
    ) {
        self.enter(turn, |cell, work| {
            if cell.gone {
                return;
            }
            let before = DeduplicationRule::read(&self.arguments()).ok().flatten();
            if deduplication != before {
                cell.deduplication = deduplication.map(|rule| Box::new(Deduplication::new(rule)));
            }
            cell.became_durable |= spec.durable && !self.durable();
            self.durable.store(spec.durable, Ordering::Relaxed);
            if cell.became_durable && cell.had_consumer {
                self.serves(cell);
            }
            self.auto_delete.store(spec.auto_delete, Ordering::Relaxed);
            *self.arguments.write() = spec.arguments;
            let settings = self.follow(cell, in_force);
            let written_upto = cell.paging.written_upto();
            let untold = cell.queue.change(work.now, settings, written_upto, &mut work.outlet, work.effects);
            for message in untold {
                cell.paging.logged(message.seq);
                work.records.push(Record::Enqueue {
                    queue: self.id,
                    seq: message.seq,
                    message: message.message,
                    priority_level: message.priority_level,
                    expires: message.expires,
                    transient: false,
                    sole: false,
                });
                if message.delivery_count > 0 {
                    let (seq, count) = (message.seq, message.delivery_count);
                    work.records.push(Record::Returned { queue: self.id, seq, count });
                }
            }
        });
    }

    /// Applies everything in force except the queue's own settings, which are returned to the caller.
    pub(super) fn follow(&self, cell: &mut Cell, in_force: InForce) -> Settings {
        self.note_rules(&in_force);
        let InForce { settings, dead_letter, matched, .. } = in_force;
        cell.matched = matched;
        cell.dead_letter = dead_letter;
        cell.refused_die = settings.overflow == Overflow::RejectPublishDeadLetter;
        settings
    }

    /// Updates the values read without the lock.
    pub(super) fn note_rules(&self, in_force: &InForce) {
        self.consumer_timeout_ms.store(in_force.consumer_timeout_ms.unwrap_or(0), Ordering::Relaxed);
        let kind = QueueKind::of(&self.arguments());
        self.tells_counts.store(counts_told(in_force, kind), Ordering::Relaxed);
    }
}
