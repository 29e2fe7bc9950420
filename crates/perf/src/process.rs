//! A process whose CPU time and memory a measurement reports.

use leveret_platform as platform;

use super::error::PerfError;

/// A process to watch.
#[derive(Clone, Debug)]
pub(super) struct Process {
    /// `None` for this process.
    pid: Option<u32>,
}

/// Resource usage of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// User and system time of all its threads, in seconds.
    pub(super) cpu_seconds: f64,
    /// Resident memory in bytes.
    pub(super) rss: u64,
    /// Peak resident memory, in bytes.
    pub(super) rss_peak: u64,
}

impl Process {
    pub(super) fn other(pid: u32) -> Self {
        Self { pid: Some(pid) }
    }

    pub(super) fn own() -> Self {
        Self { pid: None }
    }

    pub(super) fn usage(&self) -> Result<Usage, PerfError> {
        let usage =
            platform::usage(self.pid).map_err(PerfError::io("cannot read what a process has used"))?;
        Ok(Usage { cpu_seconds: usage.cpu.as_secs_f64(), rss: usage.resident, rss_peak: usage.resident_peak })
    }

    /// Resets the peak; returns whether that worked.
    pub(super) fn reset_peak(&self) -> bool {
        self.pid.is_some_and(platform::reset_peak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_can_be_read_and_a_missing_one_is_named() {
        assert!(Process::own().usage().unwrap().rss > 0);
        let error = Process::other(u32::MAX).usage().unwrap_err().to_string();
        assert!(error.contains("4294967295"), "{error}");
    }
}
