//! Small private file systems for a test, to fill up or to break.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use super::cannot;

/// Set when a test runs again as root of a namespace.
const INSIDE: &str = "LEVERET_TEST_IN_NAMESPACE";

/// A file system mounted on a folder's `data`; unmounted on drop. Create it before the broker that uses it, so that
/// it is dropped later.
pub(super) struct Mount {
    folder: Arc<TempDir>,
    /// The source and mount options.
    source: Vec<String>,
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// Runs `test`, whose full name is `name`, where a tmpfs can be mounted: here, or again as root of its own namespace.
pub(super) fn where_possible(name: &str, test: impl FnOnce()) {
    let problem = match Mount::tmpfs("1m") {
        Ok(mount) => {
            drop(mount);
            return test();
        }
        Err(problem) => problem,
    };
    if std::env::var_os(INSIDE).is_some() || run("unshare", &["-rm", "true"]).is_err() {
        return cannot(&format!("{name} needs to mount a tmpfs: {problem}"));
    }
    let this = std::env::current_exe().expect("this program");
    let mut again = Command::new("unshare");
    again.arg("-rm").arg(this).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let status = again.status().expect("unshare");
    assert!(status.success(), "{name} in a namespace of its own: {status}");
}

impl Mount {
    /// A tmpfs of this size (`160m`).
    pub(super) fn tmpfs(size: &str) -> Result<Self, String> {
        let source = ["-t", "tmpfs", "-o", &format!("size={size}"), "none"];
        Self::new(Arc::new(TempDir::new().expect("a folder")), &source)
    }

    /// An ext4 of this size in a file, which becomes read-only at the first error.
    pub(super) fn ext4(size: &str) -> Result<Self, String> {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let image = folder.path().join("image");
        let image = image.to_str().expect("UTF-8");
        run("truncate", &["-s", size, image])?;
        run("mkfs.ext4", &["-q", "-m", "0", image])?;
        Self::new(folder, &["-t", "ext4", "-o", "loop,errors=remount-ro", image])
    }

    fn new(folder: Arc<TempDir>, source: &[&str]) -> Result<Self, String> {
        let source = source.iter().map(ToString::to_string).collect();
        let mount = Self { folder, source };
        fs::create_dir_all(mount.data()).expect("the mount point");
        mount.mount()?;
        Ok(mount)
    }

    fn mount(&self) -> Result<(), String> {
        let data = self.data();
        let source = self.source.iter().map(String::as_str);
        run("mount", &source.chain([data.to_str().expect("UTF-8")]).collect::<Vec<_>>())
    }

    /// The folder that contains the mount point `data`.
    pub(super) fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Triggers an ext4 error, as a failing disk would: read-only from now on, for any writer.
    pub(super) fn break_down(&self) -> Result<(), String> {
        let mounts = fs::read_to_string("/proc/mounts").map_err(|error| error.to_string())?;
        let data = self.data();
        let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let line = lines.find(|line| line.get(1).is_some_and(|at| Path::new(at) == data));
        let device = line.and_then(|line| line[0].strip_prefix("/dev/")).ok_or("its device is not known")?;
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        // The write itself fails: the file system is broken by then.
        let mut trigger = File::options().write(true).open(trigger).map_err(|error| error.to_string())?;
        drop(trigger.write(b"1"));
        Ok(())
    }

    /// Remounts it, which makes it writable again. It must not be in use.
    pub(super) fn again(&self) {
        run("umount", &[self.data().to_str().expect("UTF-8")]).expect("unmounted");
        self.mount().expect("mounted again");
    }

    fn filler(&self) -> PathBuf {
        self.data().join("filler")
    }

    /// Fills all free space except about this many bytes.
    pub(super) fn fill(&self, but: u64) {
        let free = rustix::fs::statvfs(self.data()).expect("statvfs");
        let mut rest = (free.f_bavail * free.f_frsize).saturating_sub(but);
        let mut file = File::options().append(true).create(true).open(self.filler()).expect("the filler");
        let block = vec![0; 1 << 20];
        while rest > 0 {
            let len = block.len().min(usize::try_from(rest).expect("64 bits"));
            match file.write(&block[..len]) {
                Ok(written) => rest -= written as u64,
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
                    break;
                }
            }
        }
    }

    /// Frees that space.
    pub(super) fn make_room(&self) {
        fs::remove_file(self.filler()).expect("the filler");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a killed process may still be exiting.
        drop(run("umount", &["-l", self.data().to_str().expect("UTF-8")]));
    }
}
