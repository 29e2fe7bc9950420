//! How much memory the process may use: the least of what the machine and its control groups have.

use std::fs;
use std::path::Path;

use crate::broker::limits::Limits;

/// In bytes. Where nothing is known, so much that 40 % of it are the broker's default.
pub(super) fn memory() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = limits(Path::new("/sys/fs/cgroup"), &own);
    machine.into_iter().chain(groups).min().unwrap_or(Limits::default().memory_bytes_max / 2 * 5)
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What the process's group (version 2) and those above it are limited to. In a container the group's own
/// path may not be there; the root is then the container's.
fn limits(root: &Path, own: &str) -> Vec<u64> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let group = root.join(path);
    let up = group.ancestors().take_while(|folder| folder.starts_with(root));
    up.filter_map(|folder| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
