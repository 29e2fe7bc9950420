//! Linux: `/proc`, control groups (version 2), abstract sockets.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::PollFlags;

use super::Usage;

/// Poll flag of a peer that has closed its side, unread bytes or not.
pub const HALF_CLOSED: PollFlags = PollFlags::RDHUP;

/// Resource usage of a process; of this one if `pid` is `None`.
pub fn usage(pid: Option<u32>) -> io::Result<Usage> {
    let folder = folder(pid);
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    };
    let odd = || io::Error::other(format!("{} is not as expected", folder.display()));
    parse(&read("stat")?, &read("status")?, rustix::param::clock_ticks_per_second()).ok_or_else(odd)
}

/// Resets a process's peak of resident memory. Works for processes of the same user; otherwise the peak counts
/// from the process's start.
pub fn reset_peak(pid: u32) -> bool {
    fs::write(folder(Some(pid)).join("clear_refs"), "5").is_ok()
}

fn folder(pid: Option<u32>) -> PathBuf {
    pid.map_or_else(|| PathBuf::from("/proc/self"), |pid| PathBuf::from(format!("/proc/{pid}")))
}

fn parse(stat: &str, status: &str, ticks_per_second: u64) -> Option<Usage> {
    // The second field is the program's name in brackets, with arbitrary contents.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    let bytes = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
    };
    Some(Usage {
        cpu: Duration::from_millis((user + system) * 1000 / ticks_per_second.max(1)),
        resident: bytes("VmRSS:")?,
        resident_peak: bytes("VmHWM:")?,
    })
}

/// Resident memory of this process, in bytes. Read many times a second.
pub fn resident() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let pages = pages.split(' ').nth(1)?.parse::<u64>().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Number of files and sockets that this process has open.
pub fn open_files() -> Option<u64> {
    fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64)
}

/// Memory available to this process, in bytes: the least of the machine's and its control groups' limits.
pub fn memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = limits(Path::new("/sys/fs/cgroup"), &own);
    machine.into_iter().chain(groups).min()
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Limits of the process's control group (version 2) and its ancestors. In a container the group's own path may
/// not exist; the root is then the container's.
fn limits(root: &Path, own: &str) -> Vec<u64> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let group = root.join(path);
    let up = group.ancestors().take_while(|folder| folder.starts_with(root));
    up.filter_map(|folder| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok()).collect()
}

/// The address of an abstract socket: named, but not in the file system.
pub fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_whatever_the_programs_name_is() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194304 9 0 0 0 150 50 7 7 20 0 4 0 1 2 3";
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let want = Usage { cpu: Duration::from_secs(2), resident: 1 << 20, resident_peak: 2 << 20 };
        assert_eq!(parse(stat, status, 100), Some(want));
        assert_eq!(parse("42 (x) S 1", status, 100), None);
        assert_eq!(parse(stat, "", 100), None);
    }

    #[test]
    fn the_machine_has_what_the_kernel_says() {
        assert_eq!(total("MemTotal:       16384 kB\nMemFree: 1 kB"), Some(16 << 20));
        assert_eq!(total("nothing"), None);
    }

    #[test]
    fn every_group_above_the_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let service = root.path().join("system.slice/leveret.service");
        fs::create_dir_all(&service).unwrap();
        fs::write(service.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("system.slice/memory.max"), "2000\n").unwrap();
        fs::write(root.path().join("memory.max"), "3000\n").unwrap();
        assert_eq!(limits(root.path(), "0::/system.slice/leveret.service\n"), [2000, 3000]);
        assert_eq!(limits(root.path(), "0::/gone\n"), [3000]);
        assert_eq!(limits(root.path(), ""), [3000]);
    }
}
