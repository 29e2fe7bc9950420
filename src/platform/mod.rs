//! What the operating system tells of the machine and of processes, in each system's own way.
//!
//! `linux.rs` reads `/proc` and is what is measured and tested; `portable.rs` asks the crate `sysinfo`, for macOS and the
//! BSDs. The feature `portable` takes it on Linux too, so that its tests run there. What a system does not tell is `None`,
//! and whoever asks says what then holds. Absent: what the numbers are for.

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

pub(crate) use system::{HALF_CLOSED, abstract_address, memory, open_files, reset_peak, resident, usage};

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time of all its threads; Linux counts hundredths of a second.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) resident: u64,
    /// Most resident memory so far, in bytes; the present one where the system keeps no record of it.
    pub(crate) resident_peak: u64,
}

static GIVE_BACK: OnceLock<fn()> = OnceLock::new();

/// How memory that is free is returned to the system, which depends on the program's allocator. Counts once.
pub(crate) fn gives_back_with(give_back: fn()) {
    let _ = GIVE_BACK.set(give_back);
}

/// Returns memory that is free to the system, if it is known how.
pub(crate) fn give_back() {
    if let Some(give_back) = GIVE_BACK.get() {
        give_back();
    }
}

/// The machine's name.
pub(crate) fn hostname() -> String {
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
