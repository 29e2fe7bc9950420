//! The committer: takes everything waiting, writes it in one go, syncs once, and answers the waiters.
//!
//! Invariants: a batch is whole groups; a position is durable only after a sync that covers it returned Ok; the
//! waiters of a failed sync are told that it failed, and what it covered is written again to another file before
//! anything after it counts; records stay in memory until they are synced. Absent: threads (the caller steps it),
//! queues' state.

use std::io;
use std::time::Duration;

use leveret_message::stored::SettleReason;

use super::append_queue::{Costs, Extra, Waiting, extra_cost};
use super::core::Core;
use super::encode::{Encoder, end_mark, record_bound};
use super::format::{END_ROOM, EntryHead, record_len};
use super::scan::{Scanned, Scanner};
use super::segments::Writer;
use super::walk::close_at;
use crate::Record;
use crate::index::{Entry, Event};
use crate::metrics::timed;
use crate::place::Place;

/// Records that the committer has taken and that are not durable yet.
#[derive(Default)]
pub(crate) struct Inflight {
    pub(crate) waiting: Waiting,
    /// Position before the first record.
    base: u64,
    next_group: usize,
    next_extra: usize,
    /// Records and extras before these no longer count towards the limit of waiting bytes.
    freed_records: usize,
    freed_extras: usize,
}

impl Inflight {
    fn all_encoded(&self) -> bool {
        self.next_group == self.waiting.groups.len() && self.next_extra == self.waiting.extras.len()
    }

    fn next_record(&self) -> usize {
        match self.next_group {
            0 => 0,
            n => self.waiting.groups[n - 1],
        }
    }

    /// Records that are not in the log's files yet.
    pub(crate) fn unwritten(&self) -> &[Record] {
        &self.waiting.records[self.next_record()..]
    }

    /// Drops what is durable: everything written so far. Returns the number of groups and extras.
    fn forget(&mut self) -> (usize, usize) {
        let forgotten = (self.next_group, self.next_extra);
        let records = self.next_record();
        self.waiting.records.drain(..records);
        self.waiting.groups.drain(..self.next_group);
        for end in &mut self.waiting.groups {
            *end -= records;
        }
        self.waiting.extras.drain(..self.next_extra);
        self.base += records as u64;
        self.next_group = 0;
        self.next_extra = 0;
        self.freed_records = self.freed_records.saturating_sub(records);
        self.freed_extras = self.freed_extras.saturating_sub(forgotten.1);
        forgotten
    }
}

/// A batch that is encoded and not written yet.
struct Slice {
    /// Position of its last record.
    position: u64,
    groups_end: usize,
    extras_end: usize,
    freed: usize,
    records: u64,
    elided: u64,
    /// Bytes of messages that are moved out of sparse segments.
    moved_bytes: u64,
    /// Something in it must be synced at once.
    eager: bool,
}

/// What remains to be done after a failed sync.
#[derive(Clone, Copy)]
struct Rewrite {
    /// Number of groups and extras, from the first, still to be made durable.
    groups: usize,
    extras: usize,
    /// The segment whose sync failed.
    from: u32,
}

/// How much of what was written is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Durable {
    All,
    /// Everything in the current segment, but not yet everything that a failed sync left uncertain.
    Part,
    Unknown,
}

/// The outcome of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Something was done; there may be more.
    Worked,
    /// Nothing to do, except a sync after this time.
    Idle(Option<Duration>),
    /// Writing failed; try again after this time.
    Retry(Duration),
    /// The store is broken.
    Broken,
}

/// See the module.
pub(crate) struct Committer {
    encoder: Encoder,
    events: Vec<Event>,
    writer: Option<Writer>,
    slice: Option<Slice>,
    written: u64,
    unsynced_since: Option<Duration>,
    records_since_sync: u64,
    /// A sync failed, and this must be written again before anything else counts.
    rewrite: Option<Rewrite>,
    retry: Duration,
}

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

impl Committer {
    pub(crate) fn new() -> Self {
        Self {
            encoder: Encoder::new(),
            events: Vec::new(),
            writer: None,
            slice: None,
            written: 0,
            unsynced_since: None,
            records_since_sync: 0,
            rewrite: None,
            retry: RETRY_FIRST,
        }
    }

    /// One batch: encode, write, sync if needed, answer. `now` only has to be monotonic.
    pub(crate) fn step(&mut self, core: &Core, now: Duration) -> Step {
        if core.append_queue.is_broken() {
            return Step::Broken;
        }
        let mut eager = false;
        if self.slice.is_none()
            && let Err(error) = self.prepare(core)
        {
            return self.failed_write(core, &error);
        }
        if core.append_queue.is_broken() {
            return Step::Broken;
        }
        let worked = self.slice.is_some();
        if let Some(slice) = &self.slice {
            eager = slice.eager;
            if let Err(error) = self.write() {
                return self.failed_write(core, &error);
            }
            self.finish_write(core, now);
        }
        let waited = core.append_queue.has_waiter_upto(self.written);
        match self.unsynced_since {
            Some(since) => {
                let age = now.saturating_sub(since);
                if eager || waited || self.rewrite.is_some() || age >= core.options.lazy_sync_after {
                    self.sync(core);
                    return Step::Worked;
                }
                if !worked {
                    let left = core.options.lazy_sync_after.saturating_sub(age);
                    return Step::Idle(Some(left));
                }
            }
            None => {
                if (worked || waited) && self.forget(core) {
                    core.append_queue.set_durable(self.written);
                }
            }
        }
        if worked { Step::Worked } else { Step::Idle(None) }
    }

    /// Takes waiting work and encodes the next batch of it, if there is one.
    fn prepare(&mut self, core: &Core) -> io::Result<()> {
        {
            let mut inflight = core.inflight.lock();
            if inflight.all_encoded() && !core.append_queue.take(&mut inflight.waiting) {
                return Ok(());
            }
        }
        loop {
            let wanted = {
                let mut inflight = core.inflight.lock();
                if inflight.all_encoded() {
                    return Ok(());
                }
                match self.encode(&mut inflight, core.options.batch_bytes) {
                    Ok(slice) => {
                        self.slice = Some(slice);
                        return Ok(());
                    }
                    Err(wanted) => wanted,
                }
            };
            self.roll(core, wanted)?;
            if core.append_queue.is_broken() {
                return Ok(());
            }
        }
    }

    /// Encodes groups until the batch is long enough or the segment full. `Err`: not even the first group fits; it
    /// needs that many bytes.
    fn encode(&mut self, inflight: &mut Inflight, batch_bytes: usize) -> Result<Slice, u64> {
        let first_record = inflight.next_record();
        let mut slice = Slice {
            position: inflight.base + first_record as u64,
            groups_end: inflight.next_group,
            extras_end: inflight.next_extra,
            freed: 0,
            records: 0,
            elided: 0,
            moved_bytes: 0,
            eager: false,
        };
        self.events.clear();
        let mark = record_len(8) as u64;
        let room = self.writer.as_ref().map_or(0, |writer| {
            u64::from(writer.capacity - writer.offset).saturating_sub(u64::from(END_ROOM))
        });
        if let Some(writer) = &self.writer {
            if let Some(Rewrite { from, .. }) = self.rewrite {
                let by = writer.number;
                self.events.push(Event::Rewritten { from, by });
            }
            self.encoder.start(writer.seal, writer.offset, writer.file_id);
            self.encoder.batch(writer.synced);
        }
        let mut from = first_record;
        while slice.groups_end < inflight.waiting.groups.len() {
            if self.encoder.len() as usize >= batch_bytes {
                return Ok(slice);
            }
            let end = inflight.waiting.groups[slice.groups_end];
            let group = &mut inflight.waiting.records[from..end];
            let fits = self.writer.is_some()
                && u64::from(self.encoder.len()) + self.encoder.group_bound(group, false) <= room;
            if !fits {
                let wanted = mark + self.encoder.group_bound(group, true);
                return if slice.groups_end > inflight.next_group { Ok(slice) } else { Err(wanted) };
            }
            let mut costs = Costs::default();
            for (index, record) in group.iter_mut().enumerate() {
                let cost = costs.of(record);
                if from + index >= inflight.freed_records {
                    slice.freed += cost;
                }
                self.put(record, &mut slice);
            }
            self.encoder.end_group();
            slice.position += (end - from) as u64;
            slice.groups_end += 1;
            from = end;
        }
        while slice.extras_end < inflight.waiting.extras.len() {
            if self.encoder.len() as usize >= batch_bytes {
                return Ok(slice);
            }
            let extra = &mut inflight.waiting.extras[slice.extras_end];
            let bound = extra_bound(extra);
            if self.writer.is_none() || u64::from(self.encoder.len()) + bound > room {
                let empty =
                    slice.groups_end == inflight.next_group && slice.extras_end == inflight.next_extra;
                return if empty { Err(mark + bound) } else { Ok(slice) };
            }
            if slice.extras_end >= inflight.freed_extras {
                slice.freed += extra_cost(extra);
            }
            self.put_extra(extra, &mut slice);
            self.encoder.end_group();
            slice.extras_end += 1;
        }
        Ok(slice)
    }

    fn put(&mut self, record: &mut Record, slice: &mut Slice) {
        if let Record::Enqueue { queue, seq, message, priority_level, expires, transient, sole } = record {
            if *sole {
                if !message.take_for_log() {
                    slice.elided += 1;
                    // Stays left out if the batch has to be written again.
                    *record =
                        Record::Settle { queue: *queue, first: *seq, count: 0, reason: SettleReason::Acked };
                    return;
                }
                *sole = false;
            }
            slice.records += 1;
            slice.eager |= !*transient;
            let at = EntryHead {
                queue: *queue,
                seq: *seq,
                priority_level: *priority_level,
                expires: *expires,
                transient: *transient,
            };
            let entry = self.put_message(&at, message, false);
            self.events.push(Event::Enqueue {
                queue: at.queue,
                priority_level: at.priority_level,
                transient: at.transient,
                entry,
            });
        } else {
            self.put_plain(record, slice);
        }
    }

    fn put_message(
        &mut self,
        at: &EntryHead,
        message: &leveret_message::message::Message,
        moved: bool,
    ) -> Entry {
        let written = self.encoder.enqueue(at, message, moved);
        let segment = self.writer.as_ref().map_or(0, |writer| writer.number);
        Entry {
            seq: at.seq.0,
            place: Place { segment, offset: written.offset },
            len: written.len,
            body_len: u32::try_from(message.body_len()).unwrap_or(u32::MAX),
            expires: at.expires,
            delivery_count: 0,
            shared: written.shared,
            dead: false,
        }
    }

    fn put_plain(&mut self, record: &Record, slice: &mut Slice) {
        let by = self.writer.as_ref().map_or(0, |writer| writer.number);
        let event = match *record {
            Record::Settle { count: 0, .. } | Record::Enqueue { .. } => return,
            Record::Settle { queue, first, count, .. } => Event::Settle { queue, first, count, by },
            Record::Delivered { queue, upto } => Event::Delivered { queue, upto },
            Record::Returned { queue, seq, count } => Event::Returned { queue, seq, count },
            Record::Purge { queue, upto, ref kept } => Event::Purge { queue, upto, kept: kept.clone(), by },
            Record::Gone { queue } => Event::Gone { queue },
        };
        slice.records += 1;
        self.encoder.plain(record);
        self.events.push(event);
    }

    fn put_extra(&mut self, extra: &Extra, slice: &mut Slice) {
        match extra {
            Extra::Moved { at, message, since } => {
                slice.records += 1;
                let entry = self.put_message(at, message, true);
                slice.moved_bytes += if entry.shared { 0 } else { u64::from(entry.len) };
                self.events.push(Event::Moved {
                    queue: at.queue,
                    priority_level: at.priority_level,
                    transient: at.transient,
                    entry,
                    since: *since,
                });
            }
            Extra::AllMoved => self.events.push(Event::AllMoved),
            Extra::Carry { records, from, about, whole } => {
                for record in records {
                    self.put_plain(record, slice);
                }
                let by = self.writer.as_ref().map_or(0, |writer| writer.number);
                self.events.push(Event::Carried { from: *from, about: about.clone(), by, whole: *whole });
            }
        }
    }

    fn write(&self) -> io::Result<()> {
        if let (Some(slice), Some(writer)) = (&self.slice, &self.writer)
            && slice.records > 0
        {
            let mut pieces = self.encoder.pieces();
            writer.file.write_at(&mut pieces, u64::from(writer.offset))?;
        }
        Ok(())
    }

    fn finish_write(&mut self, core: &Core, now: Duration) {
        let Some(slice) = self.slice.take() else {
            return;
        };
        if self.retry != RETRY_FIRST {
            core.append_queue.set_write_failed(None);
            self.retry = RETRY_FIRST;
        }
        let metrics = &core.metrics;
        metrics.elided.add(slice.elided);
        if let Some(writer) = &mut self.writer {
            if slice.records > 0 {
                let len = self.encoder.len();
                writer.offset += len;
                metrics.commits.add(1);
                metrics.records.add(slice.records);
                metrics.bytes_written.add(u64::from(len));
                metrics.compacted_bytes.add(slice.moved_bytes);
                self.records_since_sync += slice.records;
                self.unsynced_since.get_or_insert(now);
                self.events.push(Event::Upto(writer.place()));
            }
            core.events.lock().append(&mut self.events);
        }
        self.encoder.clear();
        self.written = slice.position;
        {
            let mut inflight = core.inflight.lock();
            inflight.next_group = slice.groups_end;
            inflight.next_extra = slice.extras_end;
            let records = inflight.next_record();
            inflight.freed_records = inflight.freed_records.max(records);
            inflight.freed_extras = inflight.freed_extras.max(slice.extras_end);
        }
        core.append_queue.set_written(slice.position, slice.freed);
    }

    fn failed_write(&mut self, core: &Core, error: &io::Error) -> Step {
        core.metrics.write_failures.add(1);
        core.append_queue.set_write_failed(Some(format!("the message log cannot be written: {error}")));
        let wait = self.retry;
        self.retry = (self.retry * 2).min(RETRY_MAX);
        Step::Retry(wait)
    }

    /// Syncs what is written, if anything is not synced. Returns whether all of it is durable now.
    pub(crate) fn sync(&mut self, core: &Core) -> bool {
        self.sync_file(core) == Durable::All
    }

    fn sync_file(&mut self, core: &Core) -> Durable {
        if core.append_queue.is_broken() {
            return Durable::Unknown;
        }
        let Some(writer) = self.writer.as_mut().filter(|_| self.unsynced_since.is_some()) else {
            return if self.rewrite.is_none() { Durable::All } else { Durable::Part };
        };
        let (result, took) = timed(|| writer.file.sync_data());
        core.metrics.sync_latency_us.record(took);
        if let Err(error) = result {
            self.sync_failed(core, &error);
            return Durable::Unknown;
        }
        writer.synced = writer.offset;
        core.segments.note_synced(writer.place());
        core.metrics.syncs.add(1);
        core.metrics.group_size.record(self.records_since_sync);
        self.records_since_sync = 0;
        self.unsynced_since = None;
        if !self.forget(core) {
            return Durable::Part;
        }
        core.append_queue.set_durable(self.written);
        Durable::All
    }

    /// Drops records that are durable: all that are written. Returns whether nothing is left that a failed sync made
    /// uncertain.
    fn forget(&mut self, core: &Core) -> bool {
        let (groups, extras) = core.inflight.lock().forget();
        if let Some(slice) = &mut self.slice {
            slice.groups_end -= groups;
            slice.extras_end -= extras;
        }
        if let Some(rewrite) = &mut self.rewrite {
            rewrite.groups = rewrite.groups.saturating_sub(groups);
            rewrite.extras = rewrite.extras.saturating_sub(extras);
            if rewrite.groups > 0 || rewrite.extras > 0 {
                return false;
            }
            self.rewrite = None;
        }
        true
    }

    /// A sync failed: the fate of what it covered is unknown. Its waiters are told so; the file is cut back to what
    /// an earlier sync covered; the records are written again to a new file.
    fn sync_failed(&mut self, core: &Core, error: &io::Error) {
        core.metrics.sync_failures.add(1);
        tracing::error!(%error, "fdatasync of the message log failed; those publishes are refused");
        core.append_queue.fail_upto(self.written);
        let again = self.rewrite.is_some();
        self.slice = None;
        let Some(writer) = self.writer.take() else {
            return;
        };
        let cut = if again {
            Err(io::Error::other("a second fdatasync in a row failed"))
        } else {
            abandon(core, &writer)
        };
        if let Err(error) = cut {
            tracing::error!(%error, "the message log is given up until the next start");
            core.append_queue.set_broken();
            return;
        }
        self.unsynced_since = None;
        self.records_since_sync = 0;
        let mut inflight = core.inflight.lock();
        self.rewrite =
            Some(Rewrite { groups: inflight.next_group, extras: inflight.next_extra, from: writer.number });
        inflight.next_group = 0;
        inflight.next_extra = 0;
    }

    /// Closes the current segment and creates the next.
    fn roll(&mut self, core: &Core, wanted: u64) -> io::Result<()> {
        if let Some(writer) = &self.writer {
            let mark = end_mark(writer.seal, writer.offset, writer.synced);
            writer.file.write_at(&mut [io::IoSlice::new(&mark)], u64::from(writer.offset))?;
            // Synced before the next segment is begun: unsynced data never spans two files.
            self.unsynced_since.get_or_insert(Duration::ZERO);
            // What must be written again may exceed one segment.
            if self.sync_file(core) == Durable::Unknown {
                return Ok(());
            }
        }
        if let Some(writer) = self.writer.take() {
            core.segments.set_used(writer.number, writer.offset + END_ROOM);
        }
        let writer = core.segments.create(wanted, self.rewrite.is_some())?;
        if writer.last_room {
            let reason = "no room for the next segment of the message log";
            core.append_queue.set_short_of_space(Some(reason.to_owned()));
        }
        self.writer = Some(writer);
        Ok(())
    }

    /// Free bytes in the current segment.
    pub(crate) fn room(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| u64::from(writer.capacity - writer.offset))
    }

    /// Makes everything durable and closes the segment. Returns whether that succeeded.
    pub(crate) fn close(&mut self, core: &Core) -> bool {
        if !self.sync(core) {
            return false;
        }
        let Some(writer) = self.writer.take() else { return true };
        close_at(&*writer.file, writer.seal, writer.offset).and_then(|_| writer.file.sync_data()).is_ok()
    }
}

/// Cuts a segment whose sync failed back to what is known to be durable, and verifies that.
fn abandon(core: &Core, writer: &Writer) -> io::Result<()> {
    if writer.synced == 0 {
        return core.segments.retire(writer.number, 0).and_then(|()| core.segments.disk().sync_dir());
    }
    let used = close_at(&*writer.file, writer.seal, writer.synced)?;
    writer.file.sync_data()?;
    core.segments.set_used(writer.number, used);
    let mut scanner = Scanner::new(&*writer.file, writer.seal)?;
    while let Some(found) = scanner.next_record()? {
        if let Scanned::Bad { offset } = found {
            tracing::error!(
                segment = writer.number,
                offset,
                "the segment whose fdatasync failed is damaged here"
            );
            scanner.skip_damage()?;
        }
    }
    Ok(())
}

fn extra_bound(extra: &Extra) -> u64 {
    match extra {
        Extra::Moved { message, .. } => record_len(super::format::enqueue_payload(message)) as u64,
        Extra::AllMoved => 0,
        Extra::Carry { records, .. } => records.iter().map(record_bound).sum(),
    }
}
