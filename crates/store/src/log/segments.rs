//! The files of the log: which exist, how new ones are created, how old ones are removed.
//!
//! Invariants: numbers only grow; a file has its number as its name (durably) before anything in it is relied on; a
//! retired file is reused under a new number and with a new salt, so that nothing it held before is a record of it.
//! Absent: what is live in a segment (`index`), and its content.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::encode::next_file;
use super::format::{END_ROOM, Seal};
use super::head::{SEGMENT_HEAD, SegmentHead, read_head, seal, seal_1, segment_head};
use super::scan::{Scanned, Scanner};
use super::synced::{Noted, SyncedNote};
use crate::disk::{Disk, LogFile};
use crate::place::Place;

/// No segment ever reaches this number: a file planted with such a number must not exhaust ours.
const STRAY: u32 = u32::MAX - (1 << 20);

/// On a full disk a segment may be as short as this fraction of the usual length.
const SMALLEST: u32 = 64;

/// A readable segment.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn LogFile>,
    /// The seal of its records.
    pub(crate) seal: Seal,
    /// Bytes in use, once it is closed.
    pub(crate) used: Option<u32>,
}

/// The segment being written.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn LogFile>,
    /// The seal of its records.
    pub(crate) seal: Seal,
    /// Offset of the next record.
    pub(crate) offset: u32,
    /// Durable up to this offset.
    pub(crate) synced: u32,
    /// Capacity of the file in bytes.
    pub(crate) capacity: u32,
    /// The disk had no room for one of the usual length.
    pub(crate) last_room: bool,
    /// The file id noted in its messages.
    pub(crate) file_id: u32,
}

impl Writer {
    pub(crate) fn place(&self) -> Place {
        Place { segment: self.number, offset: self.offset }
    }
}

/// All segments.
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    segment_bytes: u32,
    files: Mutex<BTreeMap<u32, Segment>>,
    spares: Mutex<Vec<String>>,
    /// A file that becomes a segment only when the disk has no room for one: it takes what was in flight when
    /// publishers were stopped, what consumers settle, and what frees other segments.
    relief: Mutex<Option<String>>,
    /// Spares have numbers of their own: a retired segment's number may equal that of a spare made ahead.
    next_spare: AtomicU32,
    next: Mutex<u32>,
    note: SyncedNote,
    noted: Noted,
}

/// The file of a segment, relative to the data folder.
pub(crate) fn log_file(number: u32) -> String {
    format!("log/{}", segment_name(number))
}

pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:010}.seg")
}

/// The number in a segment's name.
pub(crate) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 10).then(|| digits.parse().ok())?
}

/// Why a segment file cannot be used as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// A version of the format unknown to this program.
    OtherVersion(u32),
    /// It was being created, from an empty file or from a retired one.
    Unfinished,
    /// It has the head of another segment.
    Another(u32),
    /// It has no head.
    Damaged,
}

/// A segment file that cannot be used as it is.
pub(crate) struct Unusable {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) why: Why,
    file: Arc<dyn LogFile>,
}

impl Segments {
    /// Opens all segment files of the folder and removes left-over spares.
    pub(crate) fn open(disk: Arc<dyn Disk>, segment_bytes: u32) -> io::Result<(Self, Vec<Unusable>)> {
        let mut files = BTreeMap::new();
        let mut unusable = Vec::new();
        let names = disk.list()?;
        for name in &names {
            if name.strip_suffix(".spare").is_some() {
                disk.remove(name)?;
            }
        }
        let numbers: Vec<u32> = names.iter().filter_map(|n| segment_number(n)).collect();
        let newest = numbers.iter().max().copied().unwrap_or(0);
        let noted = Noted::read(&*disk)?;
        for &number in &numbers {
            let name = segment_name(number);
            let file = disk.open(&name)?;
            // A file that had been synced was not being created.
            let newest = number == newest && noted.offset_in(number) == 0;
            // The head of a begun segment may be torn: it is synced before anything follows it.
            let begun = matches!(noted, Noted::Upto(place) if place.segment == number);
            let why = match read_head(&*file)? {
                SegmentHead::Number(found, seal) if found == number => {
                    files.insert(number, Segment { file, seal, used: None });
                    continue;
                }
                SegmentHead::OtherVersion(version) => Why::OtherVersion(version),
                // A retired file loses its old name before it gets a new head.
                SegmentHead::Number(found, _) if newest && !numbers.contains(&found) => Why::Unfinished,
                SegmentHead::Number(found, _) => Why::Another(found),
                SegmentHead::Invalid if newest && is_unused(&*file, begun)? => Why::Unfinished,
                SegmentHead::Invalid => Why::Damaged,
            };
            unusable.push(Unusable { name, number, why, file });
        }
        let next = if newest < STRAY {
            newest + 1
        } else {
            let used = files.keys().next_back().copied().unwrap_or(0);
            let noted = if let Noted::Upto(place) = noted { place.segment } else { 0 };
            used.max(noted).saturating_add(1)
        };
        let segments = Self {
            disk,
            segment_bytes,
            files: Mutex::new(files),
            spares: Mutex::new(Vec::new()),
            relief: Mutex::new(None),
            next_spare: AtomicU32::new(1),
            next: Mutex::new(next),
            note: SyncedNote::default(),
            noted,
        };
        Ok((segments, unusable))
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// How far the log was known to be synced when it was opened.
    pub(crate) fn noted(&self) -> Noted {
        self.noted
    }

    /// Everything before `place`, in the newest segment, is synced.
    pub(crate) fn note_synced(&self, place: Place) {
        self.note.set(place);
    }

    /// Numbers below this are taken.
    pub(crate) fn raise_next(&self, above: u32) {
        let mut next = self.next.lock();
        *next = (*next).max(above.saturating_add(1));
    }

    /// Accepts a file with a damaged head as the segment in its name, if possible: version 1 only, whose records are
    /// recognised by the number alone. Later versions are not read this way, since there a client could have written
    /// what looks like a record.
    pub(crate) fn adopt(&self, bad: &Unusable) -> io::Result<bool> {
        let salted = |(number, segment): (&u32, &Segment)| *number < bad.number && segment.seal.salted;
        if self.files.lock().iter().any(salted) {
            return Ok(false);
        }
        let seal = seal_1(bad.number);
        let mut scanner = Scanner::new(&*bad.file, seal)?;
        let readable =
            matches!(scanner.next_record()?, Some(Scanned::Record { .. })) || scanner.skip_damage()?;
        if readable {
            let segment = Segment { file: Arc::clone(&bad.file), seal, used: None };
            self.files.lock().insert(bad.number, segment);
        }
        Ok(readable)
    }

    pub(crate) fn get(&self, number: u32) -> Option<Segment> {
        self.files.lock().get(&number).cloned()
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.files.lock().keys().copied().collect()
    }

    pub(crate) fn all(&self) -> Vec<(u32, Segment)> {
        let files = self.files.lock();
        files.iter().map(|(n, s)| (*n, s.clone())).collect()
    }

    /// Notes how many bytes of a closed segment are in use.
    pub(crate) fn set_used(&self, number: u32, used: u32) {
        if let Some(segment) = self.files.lock().get_mut(&number) {
            segment.used = Some(used);
        }
    }

    /// Creates the next segment, with room for at least `wanted` bytes of records. `fresh`: not from a file that was
    /// used before.
    pub(crate) fn create(&self, wanted: u64, fresh: bool) -> io::Result<Writer> {
        let number = *self.next.lock();
        if number == u32::MAX {
            return Err(io::Error::other("no number is left for a segment of the log"));
        }
        let name = segment_name(number);
        let needed = wanted + u64::from(SEGMENT_HEAD) + u64::from(END_ROOM);
        let mut capacity = u32::try_from(needed).unwrap_or(u32::MAX);
        // After a longer group, room for the records of other queues that receive its messages as well.
        capacity = capacity.saturating_add(self.segment_bytes / SMALLEST).max(self.segment_bytes);
        let usual = capacity == self.segment_bytes && !fresh;
        let spare = if usual { self.spares.lock().pop() } else { None };
        let mut last_room = false;
        if let Some(spare) = spare {
            if let Err(error) = self.disk.rename(&spare, &name) {
                self.spares.lock().push(spare);
                return Err(error);
            }
        } else {
            (capacity, last_room) = self.make_room(&name, capacity, needed, usual)?;
        }
        self.note.begin(&*self.disk, number)?;
        // Before the head is written: a spare file could return under the name of its former segment.
        self.disk.sync_dir()?;
        let file = self.disk.open(&name)?;
        let salt = self.disk.salt()?;
        file.write_at(&mut [IoSlice::new(&segment_head(number, salt))], 0)?;
        // Synced alone, so that an incomplete head means that nothing follows it.
        file.sync_data()?;
        *self.next.lock() = number.saturating_add(1);
        let seal = seal(salt);
        let segment = Segment { file: Arc::clone(&file), seal, used: None };
        self.files.lock().insert(number, segment);
        Ok(Writer {
            number,
            file,
            seal,
            offset: SEGMENT_HEAD,
            synced: 0,
            capacity,
            last_room,
            file_id: next_file(),
        })
    }

    /// Creates the file of a segment: of `capacity` bytes; on a full disk the one reserved for that, if it
    /// `may_relieve`, or a smaller one, so that at least consumers' settles can be written, which frees other
    /// segments. Returns its length, and whether the disk was full.
    fn make_room(
        &self,
        name: &str,
        mut capacity: u32,
        needed: u64,
        may_relieve: bool,
    ) -> io::Result<(u32, bool)> {
        let least = u32::try_from(needed).unwrap_or(u32::MAX).max(self.segment_bytes / SMALLEST);
        let mut full = false;
        loop {
            match self.disk.create(name, u64::from(capacity)) {
                Ok(_) => return Ok((capacity, full)),
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    full = true;
                    let mut relief = self.relief.lock();
                    if may_relieve && let Some(kept) = &*relief {
                        self.disk.rename(kept, name)?;
                        *relief = None;
                        return Ok((self.segment_bytes, full));
                    }
                    if capacity <= least {
                        return Err(error);
                    }
                    capacity = (capacity / 4).max(least);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Number of preallocated files waiting to become the next segment.
    pub(crate) fn spares(&self) -> usize {
        self.spares.lock().len()
    }

    /// A name that no spare has had since the folder was opened.
    fn spare_name(&self) -> String {
        format!("{:010}.spare", self.next_spare.fetch_add(1, Ordering::Relaxed))
    }

    /// Preallocates a file for the next segment, if none waits.
    pub(crate) fn make_spare_if_none(&self) -> io::Result<()> {
        if self.spares() > 0 {
            return Ok(());
        }
        let name = self.spare_name();
        self.disk.create(&name, u64::from(self.segment_bytes))?;
        self.spares.lock().push(name);
        Ok(())
    }

    /// Ensures that a file for a full disk exists: a spare, or else a new one.
    pub(crate) fn make_relief_if_none(&self) -> io::Result<()> {
        let mut relief = self.relief.lock();
        if relief.is_none() {
            let spare = self.spares.lock().pop();
            if spare.is_some() {
                *relief = spare;
            } else {
                let name = self.spare_name();
                self.disk.create(&name, u64::from(self.segment_bytes))?;
                *relief = Some(name);
            }
        }
        Ok(())
    }

    /// Removes an unneeded segment from the log; keeps its file for reuse if there are fewer than `keep` of those.
    pub(crate) fn retire(&self, number: u32, keep: usize) -> io::Result<()> {
        let Some(segment) = self.get(number) else {
            return Ok(());
        };
        let name = segment_name(number);
        let reusable = segment.file.size()? == u64::from(self.segment_bytes);
        self.files.lock().remove(&number);
        let result = if reusable && self.spares.lock().len() < keep {
            let spare = self.spare_name();
            self.disk.rename(&name, &spare).map(|()| self.spares.lock().push(spare))
        } else {
            self.disk.remove(&name)
        };
        if result.is_err() {
            self.files.lock().insert(number, segment);
        }
        result
    }

    /// Removes spares beyond `keep`.
    pub(crate) fn trim_spares(&self, keep: usize) -> io::Result<()> {
        while let Some(name) = {
            let mut spares = self.spares.lock();
            if spares.len() > keep { spares.pop() } else { None }
        } {
            if let Err(error) = self.disk.remove(&name) {
                self.spares.lock().push(name);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Whether a file has been created and not written to, except for its head if `begun`.
fn is_unused(file: &dyn LogFile, begun: bool) -> io::Result<bool> {
    let mut bytes = vec![0; 1 << 16];
    let mut at = if begun { u64::from(SEGMENT_HEAD) } else { 0 };
    loop {
        let read = file.read_at(&mut bytes, at)?;
        if read == 0 {
            return Ok(true);
        }
        if bytes[..read].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::sim::{Faults, SimDisk};

    #[test]
    fn a_retired_segment_does_not_replace_a_spare_that_was_made_under_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let (segments, _) = Segments::open(disk, 64 << 10).unwrap();
        segments.make_spare_if_none().unwrap();
        let first = segments.create(0, true).unwrap();
        segments.retire(first.number, 2).unwrap();
        assert_eq!(segments.spares(), 2);
        for _ in 0..2 {
            segments.create(0, false).unwrap();
        }
    }

    #[test]
    fn a_power_cut_while_a_spare_becomes_a_segment_leaves_each_file_its_own_head() {
        for seed in 0..100 {
            let disk = SimDisk::new(seed);
            let (segments, _) = Segments::open(Arc::new(disk.clone()), 64 << 10).unwrap();
            for number in 1..=3 {
                assert_eq!(segments.create(0, true).unwrap().number, number);
            }
            segments.retire(1, 2).unwrap();
            // Neither the first file's new name nor the one after that need be durable.
            disk.set_faults(Faults { names: 2, ..Faults::default() });
            let made = segments.create(0, false).is_ok();
            disk.crash();
            let (segments, unusable) = Segments::open(Arc::new(disk), 64 << 10).unwrap();
            assert!(unusable.iter().all(|file| file.why == Why::Unfinished && !made), "seed {seed}");
            assert!([2, 3].iter().all(|number| segments.get(*number).is_some()), "seed {seed}");
        }
    }
}
