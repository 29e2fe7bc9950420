//! The files of the log: which there are, how a new one comes to be, how an old one goes.
//!
//! Invariants: numbers only grow; a file stands under its number (durably) before anything in it
//! is relied on; a retired file is reused under a new number, so its old records no longer match.
//! Absent: what is live in a segment (`index`), and what is in it.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::disk::{Disk, LogFile};
use super::format::{END_ROOM, Place, SEGMENT_HEAD, SegmentHead, parse_segment_head, segment_head};

/// On a full disk a segment may be as short as this part of the usual length.
const SMALLEST: u32 = 64;

/// A segment that can be read.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn LogFile>,
    /// Bytes in use, once it is closed.
    pub(crate) used: Option<u32>,
}

/// The segment that is written to.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn LogFile>,
    /// Where the next record goes.
    pub(crate) offset: u32,
    /// Up to where it is durable.
    pub(crate) synced: u32,
    /// Bytes that the file has room for.
    pub(crate) capacity: u32,
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
    /// Spares are numbered on their own: a retired segment's number may be that of a spare made ahead.
    next_spare: AtomicU32,
    next: Mutex<u32>,
}

pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:010}.seg")
}

/// The number in a segment's name.
pub(crate) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 10).then(|| digits.parse().ok())?
}

/// What was found of a segment file that cannot be used.
pub(crate) struct Unusable {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) why: SegmentHead,
    /// No later segment exists: it was being made when the power went.
    pub(crate) newest: bool,
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
        for number in numbers {
            let name = segment_name(number);
            let file = disk.open(&name)?;
            let mut head = [0; SEGMENT_HEAD as usize];
            let read = file.read_at(&mut head, 0)?;
            match parse_segment_head(&head[..read]) {
                SegmentHead::Number(found) if found == number => {
                    files.insert(number, Segment { file, used: None });
                }
                why => unusable.push(Unusable { name, number, why, newest: number == newest }),
            }
        }
        let segments = Self {
            disk,
            segment_bytes,
            files: Mutex::new(files),
            spares: Mutex::new(Vec::new()),
            next_spare: AtomicU32::new(1),
            next: Mutex::new(newest + 1),
        };
        Ok((segments, unusable))
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Numbers below this are taken.
    pub(crate) fn raise_next(&self, above: u32) {
        let mut next = self.next.lock();
        *next = (*next).max(above + 1);
    }

    /// Takes a file whose head is not right as segment `number`.
    pub(crate) fn adopt(&self, number: u32, file: Arc<dyn LogFile>) {
        let segment = Segment { file, used: None };
        self.files.lock().insert(number, segment);
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

    /// Makes the next segment, with room for at least `wanted` bytes of records. `fresh`: not
    /// from a file that was used before.
    pub(crate) fn create(&self, wanted: u64, fresh: bool) -> io::Result<Writer> {
        let number = *self.next.lock();
        let name = segment_name(number);
        let needed = wanted + u64::from(SEGMENT_HEAD) + u64::from(END_ROOM);
        let mut capacity = u32::try_from(needed.max(u64::from(self.segment_bytes)))
            .map_err(|_| io::Error::other("a group of records is over 4 GiB"))?;
        let spare = if capacity == self.segment_bytes && !fresh { self.spares.lock().pop() } else { None };
        if let Some(spare) = spare {
            if let Err(error) = self.disk.rename(&spare, &name) {
                self.spares.lock().push(spare);
                return Err(error);
            }
        } else {
            capacity = self.make_room(&name, capacity, needed)?;
        }
        // Before the head is written: a spare file could be back under the name of the segment that it was.
        self.disk.sync_dir()?;
        let file = self.disk.open(&name)?;
        file.write_at(&mut [IoSlice::new(&segment_head(number))], 0)?;
        // Synced alone, so that a head that is not whole means that nothing follows it.
        file.sync_data()?;
        *self.next.lock() = number + 1;
        let segment = Segment { file: Arc::clone(&file), used: None };
        self.files.lock().insert(number, segment);
        Ok(Writer { number, file, offset: SEGMENT_HEAD, synced: 0, capacity })
    }

    /// Makes the file of a segment: of `capacity` bytes, or smaller on a full disk, so that at least what
    /// consumers settle can be written, which frees other segments. Returns how long it is.
    fn make_room(&self, name: &str, mut capacity: u32, needed: u64) -> io::Result<u32> {
        let least = u32::try_from(needed).unwrap_or(u32::MAX).max(self.segment_bytes / SMALLEST);
        loop {
            match self.disk.create(name, u64::from(capacity)) {
                Ok(_) => return Ok(capacity),
                Err(error) if error.kind() == io::ErrorKind::StorageFull && capacity > least => {
                    capacity = (capacity / 4).max(least);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Segments are usually this long, in bytes.
    pub(crate) fn usual_bytes(&self) -> u32 {
        self.segment_bytes
    }

    /// Whether a preallocated file waits to become the next segment.
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

    /// Takes a segment that nobody needs any more out of the log; keeps its file for reuse if
    /// there are fewer than `keep` of those.
    pub(crate) fn retire(&self, number: u32, keep: usize) -> io::Result<()> {
        let Some(segment) = self.files.lock().remove(&number) else {
            return Ok(());
        };
        let name = segment_name(number);
        let reusable = segment.file.size()? == u64::from(self.segment_bytes);
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
            self.disk.remove(&name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::log::disk::RealDisk;
    use crate::store::sim::{Faults, SimDisk};

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
            // Neither the new name of the first file nor the one after that need be durable.
            disk.set_faults(Faults { names: 2, ..Faults::default() });
            let made = segments.create(0, false).is_ok();
            disk.crash();
            let (segments, unusable) = Segments::open(Arc::new(disk), 64 << 10).unwrap();
            assert!(unusable.iter().all(|file| file.newest && !made), "seed {seed}");
            assert!([2, 3].iter().all(|number| segments.get(*number).is_some()), "seed {seed}");
        }
    }
}
