//! The database under the index: few calls, each of which may fail or panic inside.
//!
//! Invariants: `apply` is atomic; what was applied is durable when a later `sync` returned Ok. sled 0.34.7: `flush`
//! writes but does not sync, so its file is synced here; panics inside it are turned into errors. Absent: the meaning
//! of the keys.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::RwLock;

/// A change of one key: its new value, or `None` to remove it.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Why the database call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the index database: {text}")]
pub(crate) struct DbError {
    text: String,
    /// The file system refused (a full disk): it may work later, once reopened.
    pub(crate) io: bool,
}

impl DbError {
    /// A file system error.
    pub(crate) fn io(text: impl Into<String>) -> Self {
        Self { text: text.into(), io: true }
    }

    /// The content is invalid.
    pub(crate) fn damaged(text: impl Into<String>) -> Self {
        Self { text: text.into(), io: false }
    }
}

/// See the module.
pub(crate) trait Db: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError>;
    /// Calls `each` for every key with this `prefix`, in order.
    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), DbError>;
    /// Applies all of `changes` or none; a later change of a key wins.
    fn apply(&self, changes: &[Change]) -> Result<(), DbError>;
    /// Makes what was applied durable.
    fn sync(&self) -> Result<(), DbError>;
    /// Reopens it after an error, which sled keeps reporting until then.
    fn reopen(&self) -> Result<(), DbError>;
    /// Notes in the database's own folder that it had an error: what a later start finds in it may be older than what
    /// was synced (sled 0.34.7 after a full disk), so that start must not use it.
    fn distrust(&self) -> Result<(), DbError>;
    /// Removes everything in it.
    fn clear(&self) -> Result<(), DbError>;
    /// Bytes on disk.
    fn size(&self) -> u64;
    /// Whether nothing is made durable for now.
    fn lacks_room(&self) -> bool {
        false
    }
}

/// sled's message when another handle has the database.
const LOCKED: &str = "could not acquire lock";
const LOCK_TRIES: u32 = 200;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// The name of [`Db::distrust`]'s note in the database's folder.
const DISTRUSTED: &str = "distrusted";

/// Whether the database in the folder `path` is not to be relied on.
pub(crate) fn is_distrusted(path: &Path) -> bool {
    path.join(DISTRUSTED).exists()
}

/// sled, used in the way that was measured to survive power cuts.
pub(crate) struct Sled {
    path: PathBuf,
    segment_bytes: usize,
    cache_bytes: u64,
    open: RwLock<Option<Open>>,
}

struct Open {
    db: sled::Db,
    file: File,
}

impl Sled {
    /// Opens or creates the database in `path`. Its pages (16 records) must stay below a quarter of `segment_bytes`,
    /// or else sled moves them to files that it never syncs.
    pub(crate) fn open(path: &Path, segment_bytes: usize, cache_bytes: u64) -> Result<Self, DbError> {
        let sled = Self { path: path.to_path_buf(), segment_bytes, cache_bytes, open: RwLock::new(None) };
        sled.reopen()?;
        Ok(sled)
    }

    fn with<T>(&self, act: impl FnOnce(&Open) -> Result<T, sled::Error>) -> Result<T, DbError> {
        let open = self.open.read();
        let Some(open) = open.as_ref() else {
            return Err(DbError { text: "it is closed".into(), io: true });
        };
        guarded(|| act(open))
    }
}

/// Removes what sled left of a snapshot that it could not write (a full disk), which it would read as a damaged one.
/// Without it the older snapshot counts, or none is needed.
fn remove_unfinished_snapshots(path: &Path) -> io::Result<()> {
    let files = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    for file in files {
        let file = file?;
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// Whether the system refused, as opposed to invalid content.
fn is_systems_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{
        OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull, WouldBlock,
    };
    // After the first report of an error, sled passes on only its kind.
    error.raw_os_error().is_some()
        || error.to_string().contains(LOCKED)
        || matches!(
            error.kind(),
            OutOfMemory | PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull | WouldBlock
        )
}

/// Runs `act`; a panic inside sled becomes an error.
fn guarded<T>(act: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, DbError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(DbError {
            io: matches!(&error, sled::Error::Io(error) if is_systems_fault(error)),
            text: error.to_string(),
        }),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("it panicked");
            Err(DbError::damaged(text))
        }
    }
}

impl Db for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        self.with(|open| Ok(open.db.get(key)?.map(|value| value.to_vec())))
    }

    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), DbError> {
        self.with(|open| {
            for item in open.db.scan_prefix(prefix) {
                let (key, value) = item?;
                each(&key, &value);
            }
            Ok(())
        })
    }

    fn apply(&self, changes: &[Change]) -> Result<(), DbError> {
        self.with(|open| {
            let mut batch = sled::Batch::default();
            for (key, value) in changes {
                match value {
                    Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                    None => batch.remove(key.as_slice()),
                }
            }
            open.db.apply_batch(batch)
        })
    }

    fn sync(&self) -> Result<(), DbError> {
        self.with(|open| {
            open.db.flush()?;
            open.file.sync_data()?;
            Ok(())
        })
    }

    fn reopen(&self) -> Result<(), DbError> {
        let mut slot = self.open.write();
        if let Some(old) = slot.take() {
            // sled flushes on drop, and may panic there as anywhere.
            let _ = guarded(|| {
                drop(old);
                Ok(())
            });
        }
        let open = || {
            // sled would wait for a pipe's writer, or read a device without end.
            let conf = self.path.join("conf");
            if conf.exists() && !conf.is_file() {
                return Err(sled::Error::Unsupported(format!(
                    "{}: it is not a regular file",
                    conf.display()
                )));
            }
            remove_unfinished_snapshots(&self.path)?;
            let db = sled::Config::new()
                .path(&self.path)
                .cache_capacity(self.cache_bytes)
                .segment_size(self.segment_bytes)
                .flush_every_ms(Some(200))
                .open()?;
            db.flush()?;
            let file = File::options().read(true).write(true).open(self.path.join("db"))?;
            file.sync_all()?;
            File::open(self.path.join("conf"))?.sync_all()?;
            File::open(&self.path)?.sync_all()?;
            if let Some(parent) = self.path.parent() {
                File::open(parent)?.sync_all()?;
            }
            Ok(Open { db, file })
        };
        // sled's threads may hold its lock for a moment after it was dropped.
        let mut tries = LOCK_TRIES;
        *slot = loop {
            match guarded(open) {
                Ok(new) => break Some(new),
                Err(error) if error.io && tries > 0 && error.text.contains(LOCKED) => {
                    tries -= 1;
                    std::thread::park_timeout(LOCK_WAIT);
                }
                Err(error) => return Err(error),
            }
        };
        Ok(())
    }

    fn distrust(&self) -> Result<(), DbError> {
        let note = self.path.join(DISTRUSTED);
        let noted = File::create(note).and_then(|_| File::open(&self.path)?.sync_all());
        noted.map_err(|error| DbError::io(error.to_string()))
    }

    fn clear(&self) -> Result<(), DbError> {
        self.with(|open| open.db.clear())
    }

    fn size(&self) -> u64 {
        std::fs::metadata(self.path.join("db")).map_or(0, |meta| meta.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_could_not_be_written_harms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let db = Sled::open(folder.path(), 1 << 16, 1 << 20).unwrap();
        db.apply(&[(b"key".to_vec(), Some(b"value".to_vec()))]).unwrap();
        db.sync().unwrap();
        for left in ["", "ten bytes."] {
            std::fs::write(folder.path().join("snap.7FFFFFFFFFFFFFFF.generating"), left).unwrap();
            db.reopen().unwrap();
            assert_eq!(db.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
        }
    }
}
