//! The data folder: one process at a time, one format.
//!
//! Invariants: the lock lasts as long as the value and ends with the process, however it ends.
//! Absent: what is in the folder otherwise.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Version of the folder's layout.
pub const FORMAT: u32 = 1;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Someone else has it open.
    #[error("another broker (pid {pid}) uses this folder: {path}")]
    InUse {
        /// The folder.
        path: PathBuf,
        /// What the lock file says of the other process.
        pid: String,
    },
    /// It is of a version that this program does not know.
    #[error(
        "the data folder {path} has format {found:?}, this program knows format {FORMAT}: \
         use the version of the program that wrote it, or another folder"
    )]
    Format {
        /// The folder.
        path: PathBuf,
        /// What its format file says.
        found: String,
    },
    /// It cannot be read or written.
    #[error("the data folder {path}: {error}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A data folder that this process alone uses.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Folder {
    /// Makes the folder if needed, locks it and checks its format.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |error| FolderError::Io { path, error }
        };
        std::fs::create_dir_all(path).map_err(failed(path))?;
        let lock_path = path.join("LOCK");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = lock.read_to_string(&mut pid);
                return Err(FolderError::InUse { path: path.to_path_buf(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&lock_path)(error)),
        }
        let note = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        note(&mut lock).map_err(failed(&lock_path))?;
        check_format(path)?;
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn check_format(path: &Path) -> Result<(), FolderError> {
    let file = path.join("FORMAT");
    let io = |error| FolderError::Io { path: file.clone(), error };
    match std::fs::read_to_string(&file) {
        Ok(text) if text.trim() == FORMAT.to_string() => Ok(()),
        Ok(text) => Err(FolderError::Format { path: path.to_path_buf(), found: text.trim().to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_file(&file, format!("{FORMAT}\n").as_bytes()).map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}

/// Replaces a file so that after a crash it is the old or the new one, whole.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = path.with_extension("tmp");
    let mut file = File::create(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temp, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Renames `name` in `folder` to the first free `name.damaged-<n>`; the new name.
pub(crate) fn set_aside(folder: &Path, name: &str) -> io::Result<String> {
    for n in 1u32.. {
        let aside = format!("{name}.damaged-{n}");
        if !folder.join(&aside).exists() {
            std::fs::rename(folder.join(name), folder.join(&aside))?;
            File::open(folder)?.sync_all()?;
            return Ok(aside);
        }
    }
    Err(io::Error::other("no free name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_user_of_a_folder_is_refused_by_pid() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::open(dir.path()).unwrap();
        let error = Folder::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        drop(first);
        Folder::open(dir.path()).unwrap();
    }

    #[test]
    fn an_unknown_format_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("FORMAT"), "2\n").unwrap();
        let error = Folder::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("format \"2\""), "{error}");
    }

    #[test]
    fn what_is_set_aside_twice_gets_two_names() {
        let dir = tempfile::tempdir().unwrap();
        for expected in ["x.damaged-1", "x.damaged-2"] {
            std::fs::write(dir.path().join("x"), "").unwrap();
            assert_eq!(set_aside(dir.path(), "x").unwrap(), expected);
        }
    }
}
