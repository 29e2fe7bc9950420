//! One message in a queue. 40 bytes; 48 in the slab of held ones.

use leveret_message::ids::{Millis, Seq};
use leveret_message::message::Message;

/// The message does not expire.
pub(super) const NEVER: Millis = Millis(u64::MAX);

/// A message in a queue.
#[derive(Debug)]
pub(super) struct Entry {
    /// `None`: the body is on disk only.
    pub(super) message: Option<Message>,
    pub(super) seq: Seq,
    /// [`NEVER`] if it does not expire.
    pub(super) expires: Millis,
    /// Failed deliveries.
    pub(super) delivery_count: u32,
    /// Deliveries that ended in a return. Those that were not failures are forgotten by a restart.
    pub(super) acquired_count: u32,
    /// Body length.
    pub(super) bytes: u32,
    pub(super) priority_level: u8,
    pub(super) persistent: bool,
    pub(super) redelivered: bool,
    pub(super) disk: Disk,
}

/// What the store knows of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disk {
    /// Nothing.
    Never,
    /// It was told of it. A settle record is owed when the message goes.
    Told,
    /// It has certainly written it.
    Written,
}

const _: () = assert!(size_of::<Entry>() == 40);

impl Entry {
    /// Memory held by the message in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.message.as_ref().map_or(0, |m| m.memory() as u64)
    }

    pub(super) fn expires_option(&self) -> Option<Millis> {
        (self.expires != NEVER).then_some(self.expires)
    }

    /// Whether the body can be read back if it is dropped now.
    pub(super) fn pageable(&self, durable_queue: bool, written_upto: Seq) -> bool {
        let logged = self.persistent && durable_queue && self.seq <= written_upto;
        self.message.is_some() && (self.disk == Disk::Written || logged)
    }

    /// Whether the store knows of it.
    pub(super) fn stored(&self) -> bool {
        self.disk != Disk::Never
    }

    /// The transient record requested for it is written.
    pub(super) fn paged(&mut self, durable_queue: bool) {
        if self.disk == Disk::Told && !(self.persistent && durable_queue) {
            self.disk = Disk::Written;
        }
    }
}

/// A body's length as stored in entries. The protocol limits bodies to 512 MiB.
pub(super) fn body_bytes(message: &Message) -> u32 {
    u32::try_from(message.body_len()).unwrap_or(u32::MAX)
}
