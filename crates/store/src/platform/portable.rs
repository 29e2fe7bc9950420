//! Any Unix, with the standard library alone.

use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::os::unix::fs::FileExt;

/// Makes the file `len` bytes long. No blocks are reserved: a full disk shows when a batch is written, which is then
/// refused.
pub(crate) fn reserve(file: &File, len: u64) -> io::Result<()> {
    if len == 0 { Ok(()) } else { file.set_len(len) }
}

/// Writes some of the first part that is not empty; returns the number of bytes.
pub(crate) fn write_some_at(file: &File, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    match parts.iter().find(|part| !part.is_empty()) {
        Some(part) => file.write_at(part, offset),
        None => Ok(0),
    }
}

/// Would make the next read of this range ask the disk; not possible here.
pub(crate) fn forget_cached(_file: &File, _offset: u64, _len: u64) {}

/// Fills `bytes` with random numbers from the system.
pub(crate) fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    File::open("/dev/urandom")?.read_exact(bytes)
}
