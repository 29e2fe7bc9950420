//! The data folder: one process at a time, one format.
//!
//! Invariants: the lock lives as long as the value and ends with the process, however it ends; the room that a start
//! needs is reserved while there is plenty, and released when it is needed.
//! Absent: the folder's other content.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Version of the folder's layout.
pub const FORMAT: u32 = 1;

/// Holds [`FORMAT`].
const FORMAT_FILE: &str = "FORMAT";

/// Locked while a broker uses the folder; holds its process id.
const LOCK: &str = "LOCK";

/// Marks a folder that a broker has started on.
const STARTED: &str = "STARTED";

/// Most bytes read by [`read_small`].
const SMALL_BYTES_MAX: u64 = 64 << 10;

/// Reserves room for a start on a full disk.
const RESERVE: &str = "reserve";

/// Its size: the two databases, each with segments of 4 MiB that are copied before they are freed, and the log's next
/// file, which can be as short as 1 MiB.
pub const RESERVE_BYTES: u64 = 16 << 20;

/// Least free bytes to open anything: new data is in files of its own.
const LEAST_BYTES: u64 = 1 << 20;

/// With less than this free, the index is kept in memory: opening it on disk writes up to 5 MiB, and the database of
/// definitions comes after it.
pub(crate) const INDEX_BYTES: u64 = 12 << 20;

/// The same for the database of definitions.
pub(crate) const DEFINITIONS_BYTES: u64 = 6 << 20;

/// With this much free, databases in memory move to the disk.
pub(crate) const DATABASES_BYTES: u64 = 24 << 20;

/// Mode of new files: for the broker's user only.
pub(crate) const PRIVATE: u32 = 0o600;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it open.
    #[error("another broker (pid {pid}) uses this folder: {path}")]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process, as named in the lock file.
        pid: String,
    },
    /// It has a version unknown to this program.
    #[error(
        "the data folder {path} has format {found:?}, this program knows format {FORMAT}: \
         use the version of the program that wrote it, or another folder"
    )]
    Format {
        /// The folder.
        path: PathBuf,
        /// Content of its format file.
        found: String,
    },
    /// Too little room on its disk; description.
    #[error("{0}")]
    NoRoom(String),
    /// It cannot be read or written.
    #[error("the data folder {path}: {error}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

/// A data folder used by this process only.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// It was a data folder before.
    known: bool,
    /// Holds the lock.
    _lock: File,
}

impl Folder {
    /// Creates the folder if needed, locks it and checks its format.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |error| FolderError::Io { path, error }
        };
        create(path).map_err(failed(path))?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(failed(&lock_path)(error)),
        }
        let note = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        // On a full disk it says less, which is no reason not to start.
        let _ = note(&mut lock);
        let known = check_format(path).map_err(|error| match (&error, lacks_room(path)) {
            (FolderError::Io { .. }, Some(why)) => FolderError::NoRoom(why),
            _ => error,
        })?;
        Ok(Self { path: path.to_path_buf(), known, _lock: lock })
    }

    /// Whether a broker has started on it before: then anything missing was lost.
    pub fn was_started(&self) -> bool {
        self.path.join(STARTED).exists()
    }

    /// Notes durably that a broker has started on it. If that fails, it is logged, and the next start takes itself
    /// for the first.
    pub fn note_started(&self) {
        if !self.was_started()
            && let Err(error) = write_file(&self.path.join(STARTED), b"")
        {
            tracing::warn!(%error, "that this data folder was started on could not be noted");
        }
    }

    /// Frees the room reserved for a start. To be called before anything else in the folder is opened.
    pub fn release_reserve(&self) {
        match std::fs::remove_file(self.path.join(RESERVE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the room that is kept for a start could not be used");
            }
            _ => {}
        }
    }

    /// Removes access that earlier versions gave to others: messages, names and password hashes. Returns the files
    /// whose permissions were narrowed, and those that could not be.
    pub fn keep_private(&self) -> Narrowed {
        let mut narrowed = Narrowed::default();
        // Not a folder that others share: it is theirs, or anybody's.
        if self.known
            && std::fs::metadata(&self.path).is_ok_and(|meta| meta.permissions().mode() & STICKY == 0)
        {
            narrowed.narrow(&self.path);
        }
        narrowed.entries_of(&self.path, DEPTH_MAX);
        narrowed
    }

    /// An additional explanation, for when something in it could not be opened because there is hardly any room.
    pub fn lacks_room(&self) -> Option<String> {
        lacks_room(&self.path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a folder is a data folder.
pub fn is_data_folder(path: &Path) -> bool {
    path.join(FORMAT_FILE).is_file()
}

/// A data folder that no broker uses, and none starts on while this exists. Nothing in it is changed.
#[derive(Debug)]
pub struct Watched {
    _lock: Option<File>,
}

impl Watched {
    /// Checks the format, and shares the lock with others that only look. A copy may lack the lock file.
    ///
    /// # Errors
    /// Another process uses it as a broker does, its format is another, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |path: PathBuf| |error| FolderError::Io { path, error };
        let file = path.join(FORMAT_FILE);
        let found = read_small(&file).map_err(failed(file))?;
        if found.trim() != FORMAT.to_string() {
            return Err(FolderError::Format { path: path.to_path_buf(), found: found.trim().to_owned() });
        }
        let file = path.join(LOCK);
        let mut lock = match File::open(&file) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { _lock: None }),
            Err(error) => return Err(failed(file)(error)),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(Self { _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(error)) => Err(failed(file)(error)),
        }
    }
}

fn in_use(path: &Path, lock: &mut File) -> FolderError {
    let mut pid = String::new();
    let _ = lock.read_to_string(&mut pid);
    FolderError::InUse { path: path.to_path_buf(), pid: pid.trim().to_owned() }
}

/// Why there is too little room for a start in the folder `path`, if so.
fn lacks_room(path: &Path) -> Option<String> {
    let free = free(path);
    (free < LEAST_BYTES).then(|| {
        let (path, needed) = (path.display(), LEAST_BYTES >> 20);
        format!(
            "{free} bytes are free in the data folder {path}, and a start needs {needed} MiB: \
             make room on that disk, or move the folder to a larger one"
        )
    })
}

/// Bytes free for this user on the disk of `path`; `u64::MAX` where the system does not report it.
pub(crate) fn free(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Reserves room for the next start in the data folder `path`, unless that is done already or `free`, in bytes, is
/// low. Costs one look at the folder if it is done.
pub fn keep_reserve(path: &Path, free: u64) {
    let file = path.join(RESERVE);
    if free < 2 * RESERVE_BYTES || file.exists() {
        return;
    }
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(&file);
    let kept = made.and_then(|made| super::platform::reserve(&made, RESERVE_BYTES));
    if let Err(error) = kept {
        tracing::warn!(%error, "no room could be kept for a start on a full disk");
        let _ = std::fs::remove_file(&file);
    }
}

/// Greatest depth of nested folders in the data folder.
const DEPTH_MAX: u32 = 4;
/// Mode bits for a file's group and all others.
const OTHERS: u32 = 0o077;
/// Mode bit of folders where everyone may have their own files, such as `/tmp`.
const STICKY: u32 = 0o1000;

/// The result of [`Folder::keep_private`].
#[derive(Debug, Default)]
pub struct Narrowed {
    /// Files and folders that others cannot read any more.
    pub done: Vec<PathBuf>,
    /// Those whose permissions cannot be changed, with the reason.
    pub failed: Vec<(PathBuf, String)>,
}

impl Narrowed {
    fn narrow(&mut self, path: &Path) {
        let narrowed = std::fs::metadata(path).and_then(|meta| {
            let mode = meta.permissions().mode();
            if mode & OTHERS == 0 {
                return Ok(false);
            }
            std::fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS)).map(|()| true)
        });
        match narrowed {
            Ok(true) => self.done.push(path.to_path_buf()),
            Ok(false) => {}
            Err(error) => self.failed.push((path.to_path_buf(), error.to_string())),
        }
    }

    fn entries_of(&mut self, folder: &Path, depth: u32) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries.flatten(),
            Err(error) => return self.failed.push((folder.to_path_buf(), error.to_string())),
        };
        for entry in entries {
            // Of a link itself, not of its target.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_symlink() || !(meta.is_dir() || meta.is_file()) {
                continue;
            }
            let path = entry.path();
            self.narrow(&path);
            if meta.is_dir() && depth > 0 {
                self.entries_of(&path, depth - 1);
            }
        }
    }
}

/// Creates a folder readable by its owner only, with its parents, durably; nothing if it exists.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    // The parent of a relative path's first component is the empty path.
    let parent =
        path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    if let Some(parent) = parent {
        create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    parent.map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Whether the folder is already marked as one of ours.
fn check_format(path: &Path) -> Result<bool, FolderError> {
    let file = path.join(FORMAT_FILE);
    let io = |error| FolderError::Io { path: file.clone(), error };
    match read_small(&file) {
        Ok(text) if text.trim() == FORMAT.to_string() => Ok(true),
        Ok(text) => Err(FolderError::Format { path: path.to_path_buf(), found: text.trim().to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_file(&file, format!("{FORMAT}\n").as_bytes()).map_err(io).map(|()| false)
        }
        Err(error) => Err(io(error)),
    }
}

/// Reads a text file of at most 64 KiB.
///
/// # Errors
/// It is longer, is not a regular file (opening a pipe would wait for a writer), or cannot be read.
pub fn read_small(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(SMALL_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SMALL_BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {SMALL_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Replaces a file atomically: after a crash it is the old or the new one, whole.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temp, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Renames `name` in `folder` to the first free `name.damaged-<n>`; returns the new name.
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

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_folder_and_its_files_are_for_the_owner_alone_and_old_ones_become_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/with its parent");
        let folder = Folder::open(&path).unwrap();
        assert_eq!(
            (mode(&path), mode(&path.join("FORMAT")), mode(&path.join("LOCK"))),
            (0o700, 0o600, 0o600)
        );
        assert!(folder.keep_private().done.is_empty());

        let inner = path.join("definitions");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("db"), "").unwrap();
        for (path, wide) in [(&path, 0o755), (&inner, 0o755), (&inner.join("db"), 0o644)] {
            std::fs::set_permissions(path, Permissions::from_mode(wide)).unwrap();
        }
        // What existed before the broker keeps its mode at first.
        assert_eq!(folder.keep_private().done, [inner.clone(), inner.join("db")]);
        drop(folder);
        let narrowed = Folder::open(&path).unwrap().keep_private();
        assert_eq!(narrowed.done, std::slice::from_ref(&path));
        assert_eq!(mode(&path), 0o700);
        assert!(narrowed.failed.is_empty());
        assert_eq!((mode(&inner), mode(&inner.join("db"))), (0o700, 0o600));
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
