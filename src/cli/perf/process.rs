//! A process's CPU time and memory, as `/proc` tells them.

use std::fs;
use std::path::PathBuf;

use super::clock;
use super::error::PerfError;

/// A process to watch.
#[derive(Clone, Debug)]
pub(super) struct Process {
    folder: PathBuf,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// User and system time of all its threads, in seconds; counted in hundredths.
    pub(super) cpu_seconds: f64,
    /// Resident memory in bytes.
    pub(super) rss: u64,
    /// Most resident memory so far, in bytes.
    pub(super) rss_peak: u64,
}

impl Process {
    pub(super) fn other(pid: u32) -> Self {
        Self { folder: PathBuf::from(format!("/proc/{pid}")) }
    }

    pub(super) fn own() -> Self {
        Self { folder: PathBuf::from("/proc/self") }
    }

    pub(super) fn usage(&self) -> Result<Usage, PerfError> {
        let read = |name: &str| {
            let path = self.folder.join(name);
            fs::read_to_string(&path).map_err(PerfError::io(format!("cannot read {}", path.display())))
        };
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        let odd = || PerfError::Option(format!("{} is not as expected", self.folder.display()));
        parse(&read("stat")?, &read("status")?, ticks_per_second).ok_or_else(odd)
    }

    /// Makes the peak start anew. Works for processes of the same user; else the peak is that since the process started.
    pub(super) fn reset_peak(&self) -> bool {
        fs::write(self.folder.join("clear_refs"), "5").is_ok()
    }
}

fn parse(stat: &str, status: &str, ticks_per_second: u64) -> Option<Usage> {
    // The second field is the program's name in brackets, and may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    let bytes = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
    };
    Some(Usage {
        cpu_seconds: clock::float(user + system) / clock::float(ticks_per_second),
        rss: bytes("VmRSS:")?,
        rss_peak: bytes("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_whatever_the_programs_name_is() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194304 9 0 0 0 150 50 7 7 20 0 4 0 1 2 3";
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let want = Usage { cpu_seconds: 2.0, rss: 1 << 20, rss_peak: 2 << 20 };
        assert_eq!(parse(stat, status, 100), Some(want));
        assert_eq!(parse("42 (x) S 1", status, 100), None);
        assert_eq!(parse(stat, "", 100), None);
    }

    #[test]
    fn own_process_can_be_read_and_a_missing_one_is_named() {
        assert!(Process::own().usage().unwrap().rss > 0);
        let error = Process::other(u32::MAX).usage().unwrap_err().to_string();
        assert!(error.contains("/proc/4294967295/stat"), "{error}");
    }
}
