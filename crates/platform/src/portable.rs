//! macOS and the BSDs, through the crate `sysinfo`.

use std::io;
use std::os::unix::net::SocketAddr;
use std::time::Duration;

use rustix::event::PollFlags;
use sysinfo::{MemoryRefreshKind, Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System};

use super::Usage;

/// Poll flag of a peer that has closed its side, unread bytes or not: not available everywhere.
pub const HALF_CLOSED: PollFlags = PollFlags::empty();

/// Resource usage of a process; of this one if `pid` is `None`.
pub fn usage(pid: Option<u32>) -> io::Result<Usage> {
    let pid = pid.unwrap_or_else(std::process::id);
    let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
    let seen = look(pid, kind, |process| Usage {
        cpu: Duration::from_millis(process.accumulated_cpu_time()),
        resident: process.memory(),
        resident_peak: process.memory(),
    });
    seen.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("the system shows no process {pid}")))
}

/// Only Linux allows this for another process.
pub fn reset_peak(_pid: u32) -> bool {
    false
}

/// Resident memory of this process, in bytes.
pub fn resident() -> Option<u64> {
    look(std::process::id(), ProcessRefreshKind::nothing().with_memory(), Process::memory)
        .filter(|bytes| *bytes > 0)
}

/// Number of files and sockets that this process has open.
pub fn open_files() -> Option<u64> {
    look(std::process::id(), ProcessRefreshKind::nothing(), Process::open_files)?.map(|count| count as u64)
}

fn look<T>(pid: u32, kind: ProcessRefreshKind, of: impl FnOnce(&Process) -> T) -> Option<T> {
    let pid = Pid::from_u32(pid);
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind.without_tasks());
    system.process(pid).map(of)
}

/// Memory available to this process, in bytes: the machine's.
pub fn memory() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    Some(system.total_memory()).filter(|bytes| *bytes > 0)
}

/// Abstract sockets exist only on Linux.
pub fn abstract_address(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no abstract sockets"))
}
