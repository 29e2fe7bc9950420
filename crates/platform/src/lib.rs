//! Facts about the machine and its processes, from each operating system's own source.
//!
//! `linux.rs` reads `/proc` and is the one measured and tested; `portable.rs` uses the crate `sysinfo`, for macOS
//! and the BSDs. The feature `portable` selects it on Linux too, so that its tests run there. A fact that a system
//! does not provide is `None`, and the caller supplies the fallback. Absent: what the numbers are used for.

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod linux;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
use linux as system;
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
mod portable;
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
use portable as system;

use std::sync::OnceLock;
use std::time::Duration;

pub use system::{HALF_CLOSED, abstract_address, memory, open_files, reset_peak, resident, usage};

/// Resource usage of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User and system time of all its threads; in hundredths of a second on Linux.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub resident: u64,
    /// Peak resident memory, in bytes; the current value if the system keeps no record.
    pub resident_peak: u64,
}

static GIVE_BACK: OnceLock<fn()> = OnceLock::new();

/// Sets how free memory is returned to the system, which depends on the program's allocator. Only the first call
/// counts.
pub fn gives_back_with(give_back: fn()) {
    let _ = GIVE_BACK.set(give_back);
}

/// Returns free memory to the system, if a way was set.
pub fn give_back() {
    if let Some(give_back) = GIVE_BACK.get() {
        give_back();
    }
}

/// The machine's name.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_is_known() {
        let own = usage(None).unwrap();
        assert!(own.resident > 1 << 20 && own.resident_peak >= own.resident, "{own:?}");
        let other = usage(Some(std::process::id())).unwrap();
        assert!(other.cpu >= own.cpu && other.resident > 1 << 20, "{own:?} {other:?}");
        assert!(resident().unwrap() > 1 << 20);
    }

    #[test]
    fn work_shows_in_the_time_used() {
        let before = usage(None).unwrap().cpu;
        let mut sum = 0u64;
        while usage(None).unwrap().cpu < before + Duration::from_millis(30) {
            sum = std::hint::black_box((0..100_000).fold(sum, u64::wrapping_add));
        }
    }

    #[test]
    fn an_open_file_is_counted() {
        let Some(before) = open_files() else { return };
        let files: Vec<_> = (0..200).map(|_| std::fs::File::open(".").unwrap()).collect();
        assert!(open_files().unwrap() >= before.max(200), "{before}");
        drop(files);
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = usage(Some(4_294_967)).unwrap_err().to_string();
        assert!(error.contains("4294967"), "{error}");
    }

    #[test]
    fn the_machine_has_memory_and_a_name() {
        assert!(memory().unwrap() > 1 << 20);
        assert!(!hostname().is_empty());
    }
}
