//! The few file operations that the log needs, so that a simulated disk can replace them.
//!
//! Invariants: a write is whole or an error; nothing is durable before `sync_data` (bytes) or `sync_dir` (names)
//! returned Ok. Absent: any knowledge of what the bytes mean.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::folder::{self, PRIVATE};
use crate::platform;
use crate::salt::Salt;

/// One open file of the log.
pub(crate) trait LogFile: Send + Sync {
    /// Writes all of `parts`, one after the other, at `offset`. On error nothing may be assumed about the bytes
    /// there.
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Fills `buf` from `offset`; fewer bytes only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes the next read of this range ask the disk itself, where supported.
    fn forget_cached(&self, offset: u64, len: u64);
    /// Makes everything written so far survive a power cut.
    fn sync_data(&self) -> io::Result<()>;
    /// Truncates the file or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Length of the file in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// A flat folder of files.
pub(crate) trait Disk: Send + Sync {
    /// Creates an empty file of `len` bytes with its space reserved; replaces an existing one.
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn LogFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;
    /// Renames a file, replacing any file of the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes creations, renames and removals survive a power cut.
    fn sync_dir(&self) -> io::Result<()>;
    /// A secret salt for a new use of a file.
    fn salt(&self) -> io::Result<Salt>;
    /// Identifies the current boot of the system, if available: within one boot, what was written and not synced is
    /// still there.
    fn boot(&self) -> Option<[u8; 16]>;
}

/// A folder of the real file system.
pub(crate) struct RealDisk {
    dir: PathBuf,
}

impl RealDisk {
    /// Opens the folder `dir`, creating it (and syncing its parent) if missing.
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        folder::create(dir)?;
        Ok(Self { dir: dir.to_path_buf() })
    }
}

/// An error that needs an operator, with its file. Other errors are distinguished by their codes.
fn named(error: io::Error, path: &Path) -> io::Error {
    match error.kind() {
        io::ErrorKind::IsADirectory | io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        }
        _ => error,
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn LogFile>> {
        let path = self.dir.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(PRIVATE)
            .open(&path)
            .map_err(|error| named(error, &path))?;
        if let Err(error) = platform::reserve(&file, len) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let path = self.dir.join(name);
        let file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(|error| named(error, &path))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{}: it is not a regular file", path.display())));
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            // A file moved to another disk may be a link.
            if std::fs::metadata(entry.path()).is_ok_and(|found| found.is_file()) {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn salt(&self) -> io::Result<Salt> {
        Salt::new()
    }

    fn boot(&self) -> Option<[u8; 16]> {
        platform::boot_id()
    }
}

struct RealFile(File);

impl LogFile for RealFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        let mut rest = parts;
        while rest.iter().any(|part| !part.is_empty()) {
            match platform::write_some_at(&self.0, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.0.read_at(&mut buf[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn forget_cached(&self, offset: u64, len: u64) {
        platform::forget_cached(&self.0, offset, len);
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
