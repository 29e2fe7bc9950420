//! The one task that looks at the disk's free space and the process's memory, for the alarms and the messages' budget.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::broker::alarms::Seen;

/// How often it looks. The log may grow by some hundred megabytes meanwhile, and makes its files ahead.
const INTERVAL: Duration = Duration::from_secs(1);

/// The same while the disk's free space or the messages' memory is near its limit.
const CLOSE_INTERVAL: Duration = Duration::from_millis(100);

/// Looks for as long as the broker lives. The first look is made before anyone is listened to.
pub(super) fn start(broker: Arc<Broker>, folder: &Path) {
    let folder = folder.to_owned();
    broker.alarms.observe(look(&folder));
    tokio::spawn(run(broker, folder));
}

async fn run(broker: Arc<Broker>, folder: PathBuf) {
    loop {
        let close = broker.alarms.is_disk_close() || broker.alarms.is_raised() || broker.memory().is_close();
        tokio::time::sleep(if close { CLOSE_INTERVAL } else { INTERVAL }).await;
        let seen = tokio::task::block_in_place(|| look(&folder));
        if let Some(resident) = seen.resident {
            broker.memory().observe(resident);
        }
        if broker.alarms.observe(seen) {
            broker.relieve();
        }
    }
}

fn look(folder: &Path) -> Seen {
    let disk = rustix::fs::statvfs(folder).ok();
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    Seen {
        disk_free: disk.map(|disk| disk.f_bavail * disk.f_frsize),
        resident: pages.map(|pages| pages * rustix::param::page_size() as u64),
    }
}
