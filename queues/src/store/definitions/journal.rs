//! The journal of definition changes since the last snapshot: appended, synced, then relied on.
//!
//! Invariants: a frame is whole (CRC32C) or not there; frames carry growing revisions; a frame
//! that could not be written and synced is cut off again. Absent: what the changes mean.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Change;
use crate::store::log::bytes::{u32_at, u64_at};

/// Bytes before a frame's payload: length, CRC.
const FRAME_HEAD: usize = 8;

/// All changes of one commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub(super) revision: u64,
    pub(super) changes: Vec<Change>,
}

impl Frame {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEAD]);
        out.extend_from_slice(&self.revision.to_le_bytes());
        for (key, value) in &self.changes {
            put(out, key.as_bytes());
            match value {
                Some(value) => {
                    out.push(1);
                    put(out, value);
                }
                None => out.push(0),
            }
        }
        let len = out.len() - start - FRAME_HEAD;
        let len = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
        out[start..start + 4].copy_from_slice(&len);
        let crc = crc(&out[start..]).to_le_bytes();
        out[start + 4..start + FRAME_HEAD].copy_from_slice(&crc);
    }

    /// The frame at the start of `bytes` and its length.
    fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        if bytes.len() < FRAME_HEAD + 8 {
            return None;
        }
        let end = FRAME_HEAD.checked_add(u32_at(bytes, 0) as usize)?;
        let frame = bytes.get(..end)?;
        if end < FRAME_HEAD + 8 || crc(frame) != u32_at(frame, 4) {
            return None;
        }
        let revision = u64_at(frame, FRAME_HEAD);
        let mut rest = &frame[FRAME_HEAD + 8..];
        let mut changes = Vec::new();
        while !rest.is_empty() {
            let key = String::from_utf8(take(&mut rest)?.to_vec()).ok()?;
            let (&present, after) = rest.split_first()?;
            rest = after;
            let value = match present {
                0 => None,
                _ => Some(take(&mut rest)?.to_vec()),
            };
            changes.push((key, value));
        }
        Some((Self { revision, changes }, end))
    }
}

/// Over the length and the payload.
fn crc(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[FRAME_HEAD..])
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    if rest.len() < 4 {
        return None;
    }
    let len = u32_at(rest, 0) as usize;
    let (bytes, after) = rest[4..].split_at_checked(len)?;
    *rest = after;
    Some(bytes)
}

/// What a journal file holds.
#[derive(Default)]
pub(super) struct Read {
    pub(super) frames: Vec<Frame>,
    /// Bytes of whole frames, from the start.
    pub(super) len: u64,
    /// Offsets of damage that later frames follow, hence not a torn end.
    pub(super) damaged: Vec<u64>,
}

/// Reads a journal; one that is not there is empty.
pub(super) fn read(path: &Path) -> io::Result<Read> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Read::default()),
        Err(error) => return Err(error),
    };
    let mut read = Read::default();
    let mut at = 0;
    let mut bad = None;
    while at < bytes.len() {
        if let Some((frame, len)) = Frame::decode(&bytes[at..]) {
            read.damaged.extend(bad.take());
            read.frames.push(frame);
            at += len;
            read.len = at as u64;
        } else {
            bad.get_or_insert(at as u64);
            at += 1;
        }
    }
    Ok(read)
}

/// The journal that is appended to.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Journal {
    /// Opens or creates it, cut to `len` bytes.
    pub(super) fn open(path: PathBuf, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        file.set_len(len)?;
        file.sync_all()?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(Self { path, file, len })
    }

    /// Appends and syncs. On error nothing of `frames` is there; if even that is not sure, the
    /// second value says so.
    pub(super) fn append(&mut self, frames: &[u8]) -> Result<(), (io::Error, bool)> {
        use std::os::unix::fs::FileExt;
        if let Err(error) = self.file.write_all_at(frames, self.len) {
            let cut = self.file.set_len(self.len).and_then(|()| self.file.sync_all());
            return Err((error, cut.is_err()));
        }
        // A failed sync leaves open what is on disk, so nothing more may be promised after it.
        self.file.sync_data().map_err(|error| (error, true))?;
        self.len += frames.len() as u64;
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Puts this one aside as `old` and goes on with an empty one.
    pub(super) fn rotate(&mut self, old: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, old)?;
        *self = Self::open(self.path.clone(), 0)?;
        Ok(())
    }
}

/// Writes `bytes` beside `path` and renames it there, so that it is always whole.
pub(super) fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let temp = path.with_extension("tmp");
    let mut file = io::BufWriter::new(File::create(&temp)?);
    write(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&temp, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
