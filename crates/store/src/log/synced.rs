//! How far the log is known to be synced: a note in a file of its own beside the segments.
//!
//! Written after each sync of a segment, before any waiter is told, and itself synced only when a segment is begun.
//! So it is exact after the end of the process, however that happened, and after a power cut it is some seconds old.
//! Anything before its place that is not a record is damage, not a torn tail. Invariants: it never exceeds what a
//! sync covered. Absent: what to do about damage.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::format::Seal;
use crate::bytes::u32_at;
use crate::disk::{Disk, LogFile};
use crate::note::{Found, Note};
use crate::place::Place;

/// What is known of how far a segment was synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Synced {
    /// At least up to this offset.
    Upto(u32),
    /// The note is lost: what is whole is taken for synced, wherever it is.
    Unknown,
}

/// Its name in the log's folder.
pub(crate) const SYNCED_NAME: &str = "synced";
const NOTE: Note = Note { name: SYNCED_NAME, magic: *b"LEVRTSYN" };

/// Content of the note when the log was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Noted {
    /// Everything before this place was synced.
    Upto(Place),
    /// There is none, as in a folder of format 1.
    Missing,
    /// It cannot be read.
    Damaged,
}

impl Noted {
    /// Up to which offset `segment` was synced, as far as the note says.
    pub(crate) fn offset_in(self, segment: u32) -> u32 {
        match self {
            Self::Upto(place) if place.segment == segment => place.offset,
            _ => 0,
        }
    }

    /// What it says of a segment, should that be the newest; `None`: a later one was begun, so this one was closed.
    pub(crate) fn of(self, segment: u32, seal: Seal) -> Option<Synced> {
        match self {
            Self::Upto(place) if place.segment > segment => None,
            // Before version 2 there was no note.
            Self::Missing | Self::Damaged if seal.salted => Some(Synced::Unknown),
            _ => Some(Synced::Upto(self.offset_in(segment))),
        }
    }

    /// Reads the note in `disk`.
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Self> {
        Ok(match NOTE.read(disk)? {
            Found::Says(place) => Self::Upto(Place { segment: u32_at(&place, 0), offset: u32_at(&place, 4) }),
            Found::Missing => Self::Missing,
            Found::Damaged => Self::Damaged,
        })
    }
}

fn encode(place: Place) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&place.segment.to_le_bytes());
    bytes[4..].copy_from_slice(&place.offset.to_le_bytes());
    bytes
}

/// The note, kept up to date.
#[derive(Default)]
pub(crate) struct SyncedNote {
    file: Mutex<Option<Arc<dyn LogFile>>>,
    failing: AtomicBool,
}

impl SyncedNote {
    /// Segment `number` is about to be created: all before it is closed. Durable when it returns Ok, except for the
    /// name of the note's file, if that is new: the caller syncs the folder.
    pub(crate) fn begin(&self, disk: &dyn Disk, number: u32) -> io::Result<()> {
        let mut slot = self.file.lock();
        let file = match &*slot {
            Some(file) => Arc::clone(file),
            None => NOTE.open(disk)?,
        };
        let place = Place { segment: number, offset: 0 };
        NOTE.write(&*file, encode(place))?;
        file.sync_data()?;
        *slot = Some(file);
        Ok(())
    }

    /// Everything before `place` is synced. If the note cannot be written, it keeps its old value.
    pub(crate) fn set(&self, place: Place) {
        let Some(file) = &*self.file.lock() else { return };
        let result = NOTE.write(&**file, encode(place));
        if let Err(error) = &result
            && !self.failing.load(Ordering::Relaxed)
        {
            tracing::warn!(%error, "how far the message log is synced cannot be noted");
        }
        self.failing.store(result.is_err(), Ordering::Relaxed);
    }
}
