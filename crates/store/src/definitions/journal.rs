//! The journal of definition changes since the last snapshot: appended, synced, then relied on.
//!
//! Files are numbered and never reused, renamed or appended to by a later run. Each begins with two copies of its
//! head, which holds a random salt that seeds all checksums of the file: old bytes on the disk, or bytes that a
//! client stored as a value, are never taken for a frame.
//!
//! Invariants: a frame is whole (CRC32C) or absent; frames carry increasing revisions; the first frame of a file
//! voids whatever earlier files hold from its revision on, as that was never acknowledged.
//! Absent: the meaning of the changes.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::Change;
use crate::bytes::{u32_at, u64_at};
use crate::disk::{Disk, LogFile};

/// Bytes before a frame's payload: length, checksum of the payload, checksum of these two.
const FRAME_HEAD: usize = 12;
/// The same in files without a head: length, checksum of length and payload.
const OLD_FRAME_HEAD: usize = 8;

const MAGIC: &[u8; 8] = b"LVRTDEFJ";
/// Length of one copy: magic, salt, base revision, checksum.
const COPY: usize = 8 + 8 + 8 + 4;
/// Bytes before the first frame.
const FILE_HEAD: usize = 2 * COPY;

const PREFIX: &str = "definitions.journal.";
/// File names of earlier versions, older first.
const OLD_NAMES: [&str; 2] = ["definitions.journal.old", "definitions.journal"];

/// All changes of one commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub(super) revision: u64,
    pub(super) changes: Vec<Change>,
}

impl Frame {
    /// Appends the frame, encoded for a file with this salt.
    pub(super) fn encode(&self, salt: u64, out: &mut Vec<u8>) {
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
        let payload = start + FRAME_HEAD;
        let len = u32::try_from(out.len() - payload).unwrap_or(u32::MAX).to_le_bytes();
        out[start..start + 4].copy_from_slice(&len);
        let crc = salted(salt, &out[payload..]).to_le_bytes();
        out[start + 4..start + 8].copy_from_slice(&crc);
        let crc = salted(salt, &out[start..start + 8]).to_le_bytes();
        out[start + 8..payload].copy_from_slice(&crc);
    }

    fn of_payload(payload: &[u8]) -> Option<Self> {
        let mut changes = Vec::new();
        let mut rest = payload.get(8..)?;
        while !rest.is_empty() {
            changes.push(change(&mut rest)?);
        }
        Some(Self { revision: u64_at(payload, 0), changes })
    }
}

fn change(rest: &mut &[u8]) -> Option<Change> {
    let key = String::from_utf8(take(rest)?.to_vec()).ok()?;
    let (&present, after) = rest.split_first()?;
    *rest = after;
    let value = match present {
        0 => None,
        _ => Some(take(rest)?.to_vec()),
    };
    Some((key, value))
}

fn salted(salt: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), bytes)
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

/// What is found at an offset of a file.
enum Found {
    /// A frame, and its length in bytes.
    Frame(Frame, usize),
    /// The start of a frame that continues beyond the end of the file.
    Torn,
    /// A frame's head, followed by bytes that are not as written; the length in bytes.
    Damaged(usize),
    /// Nothing readable.
    Nothing,
}

/// The encoding of a file's frames.
#[derive(Clone, Copy)]
enum Form {
    Salted(u64),
    Old,
}

impl Form {
    fn find(self, bytes: &[u8]) -> Found {
        match self {
            Self::Salted(salt) => find(salt, bytes),
            Self::Old => find_old(bytes),
        }
    }
}

fn find(salt: u64, bytes: &[u8]) -> Found {
    let Some(head) = bytes.get(..FRAME_HEAD) else { return Found::Torn };
    if salted(salt, &head[..8]) != u32_at(head, 8) {
        return Found::Nothing;
    }
    let end = FRAME_HEAD.saturating_add(u32_at(head, 0) as usize);
    let Some(payload) = bytes.get(FRAME_HEAD..end) else { return Found::Torn };
    let frame = (salted(salt, payload) == u32_at(head, 4)).then(|| Frame::of_payload(payload)).flatten();
    frame.map_or(Found::Damaged(end), |frame| Found::Frame(frame, end))
}

fn find_old(bytes: &[u8]) -> Found {
    let Some(head) = bytes.get(..OLD_FRAME_HEAD) else { return Found::Torn };
    let end = OLD_FRAME_HEAD.saturating_add(u32_at(head, 0) as usize);
    let Some(payload) = bytes.get(OLD_FRAME_HEAD..end) else { return Found::Torn };
    let whole = crc32c::crc32c_append(crc32c::crc32c(&head[..4]), payload) == u32_at(head, 4);
    match whole.then(|| Frame::of_payload(payload)).flatten() {
        Some(frame) => Found::Frame(frame, end),
        None => Found::Nothing,
    }
}

/// Damage in a file: bytes that once were a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Damage {
    /// The file.
    pub(super) file: String,
    /// Offset in bytes.
    pub(super) offset: u64,
    /// Keys that are still readable there.
    pub(super) keys: Vec<String>,
}

/// The combined content of all journal files.
#[derive(Default)]
pub(super) struct Read {
    /// By revision.
    pub(super) frames: Vec<Frame>,
    pub(super) damaged: Vec<Damage>,
    /// The highest revision mentioned anywhere in them.
    pub(super) top: u64,
    /// Names of the files.
    pub(super) files: Vec<String>,
    /// A number above that of any file.
    pub(super) next: u64,
}

/// Reads all journal files in the folder.
pub(super) fn read(disk: &dyn Disk) -> io::Result<Read> {
    let names = disk.list()?;
    let mut numbered: Vec<(u64, String)> = names.iter().filter_map(|name| numbered(name)).collect();
    numbered.sort_unstable();
    let mut read = Read {
        next: numbered.iter().rfind(|(number, _)| *number < STRAY).map_or(1, |(number, _)| number + 1),
        ..Read::default()
    };
    let old = OLD_NAMES.iter().filter(|old| names.iter().any(|name| name == **old));
    let files = old.map(|name| (*name).to_owned()).chain(numbered.into_iter().map(|(_, name)| name));
    for name in files {
        let bytes = whole(disk, &name)?;
        read.add(&name, &bytes);
        read.files.push(name);
    }
    Ok(read)
}

/// Number of frames and of damaged places in a file.
#[cfg(feature = "testing")]
pub(super) fn read_bytes(bytes: &[u8]) -> (usize, usize) {
    let mut read = Read::default();
    read.add("definitions.journal.1", bytes);
    (read.frames.len(), read.damaged.len())
}

/// No journal ever reaches this number: a file planted with such a number must not exhaust ours.
const STRAY: u64 = u64::MAX - (1 << 32);

fn numbered(name: &str) -> Option<(u64, String)> {
    let number = name.strip_prefix(PREFIX)?.parse().ok()?;
    Some((number, name.to_owned()))
}

/// All bytes of a file.
pub(super) fn whole(disk: &dyn Disk, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(name)?;
    let len = usize::try_from(file.size()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

impl Read {
    fn add(&mut self, name: &str, bytes: &[u8]) {
        let head = bytes.chunks_exact(COPY).take(2).find_map(parse_head);
        let (form, start) = match head {
            Some((salt, base)) => {
                self.top = self.top.max(base);
                (Form::Salted(salt), FILE_HEAD)
            }
            // A file that was being created when the power failed holds nothing that was relied on.
            None if numbered(name).is_some() => {
                if bytes.iter().skip(FILE_HEAD).any(|byte| *byte != 0) {
                    self.damaged.push(Damage { file: name.into(), offset: 0, keys: Vec::new() });
                }
                return;
            }
            None => (Form::Old, 0),
        };
        self.add_frames(name, bytes, form, start);
    }

    fn add_frames(&mut self, name: &str, bytes: &[u8], form: Form, start: usize) {
        let mut at = start;
        let mut bad: Option<Damage> = None;
        let mut first = true;
        // The last frame may be one that was never acknowledged; it is damage if frames follow it or its length is
        // complete.
        let mut certain = false;
        while at < bytes.len() {
            match form.find(&bytes[at..]) {
                Found::Frame(frame, len) => {
                    self.damaged.extend(bad.take());
                    if std::mem::take(&mut first) {
                        self.frames.retain(|earlier| earlier.revision < frame.revision);
                    }
                    self.top = self.top.max(frame.revision);
                    self.frames.push(frame);
                    at += len;
                    certain = false;
                }
                Found::Damaged(len) => {
                    let payload = &bytes[at + FRAME_HEAD..at + len];
                    self.damaged.extend(bad.take());
                    self.damaged.push(Damage { file: name.into(), offset: at as u64, keys: keys(payload) });
                    at += len;
                }
                Found::Torn if bad.is_none() && matches!(form, Form::Salted(_)) => {
                    // Its head is whole, or too short to be one: it was being written.
                    return;
                }
                Found::Torn | Found::Nothing => {
                    certain |= matches!(form, Form::Salted(_));
                    bad.get_or_insert_with(|| Damage {
                        file: name.into(),
                        offset: at as u64,
                        keys: Vec::new(),
                    });
                    at += 1;
                }
            }
        }
        if certain {
            self.damaged.extend(bad);
        }
    }
}

/// Salt and base revision.
fn parse_head(copy: &[u8]) -> Option<(u64, u64)> {
    let whole = copy.starts_with(MAGIC) && crc32c::crc32c(&copy[..COPY - 4]) == u32_at(copy, COPY - 4);
    whole.then(|| (u64_at(copy, 8), u64_at(copy, 16)))
}

/// Keys at the front of a damaged payload, as far as they are readable.
fn keys(payload: &[u8]) -> Vec<String> {
    let mut rest = payload.get(8..).unwrap_or_default();
    let mut keys = Vec::new();
    while let Some((key, _)) = change(&mut rest) {
        keys.push(key);
    }
    keys
}

/// The journal being appended to.
pub(super) struct Journal {
    name: String,
    file: Arc<dyn LogFile>,
    salt: u64,
    len: u64,
}

impl Journal {
    /// Creates the file with that number, durably. On error the file may exist, without a frame.
    pub(super) fn create(disk: &dyn Disk, number: u64, base: u64) -> io::Result<Self> {
        let salt = disk.salt()?.to_bytes();
        let mut copy = Vec::with_capacity(COPY);
        copy.extend_from_slice(MAGIC);
        copy.extend_from_slice(&salt);
        copy.extend_from_slice(&base.to_le_bytes());
        copy.extend_from_slice(&crc32c::crc32c(&copy).to_le_bytes());
        let name = format!("{PREFIX}{number}");
        let file = disk.create(&name, 0)?;
        let made = file
            .write_at(&mut [IoSlice::new(&copy), IoSlice::new(&copy)], 0)
            .and_then(|()| file.sync_data())
            .and_then(|()| disk.sync_dir());
        if let Err(error) = made {
            // Without a frame it says nothing, so it may stay.
            let _ = disk.remove(&name);
            return Err(error);
        }
        Ok(Self { name, file, salt: u64::from_le_bytes(salt), len: FILE_HEAD as u64 })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn salt(&self) -> u64 {
        self.salt
    }

    /// Whether it has no frame.
    pub(super) fn is_empty(&self) -> bool {
        self.len == FILE_HEAD as u64
    }

    /// Appends and syncs. After an error it is unknown which of `frames` will survive.
    pub(super) fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        self.file.write_at(&mut [IoSlice::new(frames)], self.len)?;
        self.file.sync_data()?;
        self.len += frames.len() as u64;
        Ok(())
    }

    /// Cuts off what was not appended completely; on success none of it can survive.
    pub(super) fn cut(&self) -> io::Result<()> {
        self.file.set_len(self.len)?;
        self.file.sync_data()
    }
}

/// Replaces a file atomically: after a crash it is the old or the new one.
pub(super) fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temp = format!("{name}.tmp");
    let file = disk.create(&temp, 0)?;
    file.write_at(&mut [IoSlice::new(bytes)], 0)?;
    file.sync_data()?;
    disk.rename(&temp, name)?;
    disk.sync_dir()
}
