//! A note of eight bytes in a file of its own, in one sector with its checksum, so that it is whole or unreadable.
//!
//! Absent: its meaning, and when it is synced; that is up to the owner.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::bytes::u32_at;
use crate::disk::{Disk, LogFile};

/// Length in bytes: magic, content, CRC32C of these.
const LEN: usize = 20;
/// The smallest allocation of a file system, in bytes, so that the note never needs room again.
const RESERVED: u64 = 4096;

/// Identifies a note.
pub(crate) struct Note {
    /// The file's name.
    pub(crate) name: &'static str,
    /// The file's first bytes.
    pub(crate) magic: [u8; 8],
}

/// The state of a note.
pub(crate) enum Found {
    /// No file.
    Missing,
    /// It cannot be read.
    Damaged,
    /// The content.
    Says([u8; 8]),
}

impl Note {
    pub(crate) fn read(&self, disk: &dyn Disk) -> io::Result<Found> {
        match disk.open(self.name) {
            Ok(file) => {
                let mut bytes = [0; LEN];
                let read = file.read_at(&mut bytes, 0)?;
                Ok(self.parse(&bytes[..read]).map_or(Found::Damaged, Found::Says))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
            Err(error) => Err(error),
        }
    }

    /// Opens its file, creating it if missing.
    pub(crate) fn open(&self, disk: &dyn Disk) -> io::Result<Arc<dyn LogFile>> {
        match disk.open(self.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(self.name, RESERVED),
            other => other,
        }
    }

    /// Writes the note to its file, without a sync.
    pub(crate) fn write(&self, file: &dyn LogFile, says: [u8; 8]) -> io::Result<()> {
        file.write_at(&mut [IoSlice::new(&self.encode(says))], 0)
    }

    fn parse(&self, bytes: &[u8]) -> Option<[u8; 8]> {
        let whole = bytes.len() == LEN
            && bytes.starts_with(&self.magic)
            && u32_at(bytes, 16) == crc32c::crc32c(&bytes[..16]);
        if whole { bytes[8..16].try_into().ok() } else { None }
    }

    fn encode(&self, says: [u8; 8]) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&self.magic);
        bytes[8..16].copy_from_slice(&says);
        let crc = crc32c::crc32c(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_whole_or_not_there() {
        let note = Note { name: "note", magic: *b"MAGICNOT" };
        let says = [7, 0, 0, 0, 24, 16, 0, 0];
        let bytes = note.encode(says);
        assert_eq!(note.parse(&bytes), Some(says));
        for at in 0..LEN {
            for bit in 0..8 {
                let mut flipped = bytes;
                flipped[at] ^= 1 << bit;
                assert_eq!(note.parse(&flipped), None, "byte {at}, bit {bit}");
            }
            assert_eq!(note.parse(&bytes[..at]), None);
        }
    }
}
