//! The task that monitors free disk space and process memory, for the alarms and the messages' budget.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leveret_broker::Broker;
use leveret_broker::alarms::{Resource, Seen};
use leveret_store::folder::keep_reserve;

use super::tasks::Tasks;

/// Check interval. The log may grow by some hundred megabytes in between, and allocates its files ahead.
const INTERVAL: Duration = Duration::from_secs(1);

/// Check interval while free disk space or the messages' memory is near its limit.
const CLOSE_INTERVAL: Duration = Duration::from_millis(100);

/// While the process uses much of its memory allowance, free memory is returned to the system at every Nth check.
const GIVE_BACK_EVERY: u64 = 5;

/// Runs for the broker's lifetime. The first check completes before anything listens.
pub(super) fn start(broker: Arc<Broker>, folder: &Path, tasks: &Arc<Tasks>) {
    let folder = folder.to_owned();
    let seen = look(&folder);
    keep_reserve(&folder, seen.disk_free.unwrap_or_default());
    broker.alarms.observe(seen);
    tasks.spawn("the watch over disk and memory", run(broker, folder));
}

async fn run(broker: Arc<Broker>, folder: PathBuf) {
    let (mut looks, mut much) = (0_u64, false);
    loop {
        let close =
            much || broker.alarms.is_disk_close() || broker.alarms.is_raised() || broker.memory().is_close();
        tokio::time::sleep(if close { CLOSE_INTERVAL } else { INTERVAL }).await;
        let seen = tokio::task::block_in_place(|| {
            let seen = look(&folder);
            keep_reserve(&folder, seen.disk_free.unwrap_or_default());
            looks += 1;
            much =
                seen.resident.is_some_and(|resident| resident > broker.alarms.limits().resident_max / 4 * 3);
            if much && looks.is_multiple_of(GIVE_BACK_EVERY) {
                leveret_platform::give_back();
            }
            seen
        });
        if let Some(resident) = seen.resident {
            broker.memory().observe(resident);
        }
        let relieved = broker.alarms.observe(seen);
        broker.store().save_space(broker.alarms.has(Resource::Disk));
        if relieved {
            broker.relieve();
        }
    }
}

fn look(folder: &Path) -> Seen {
    let disk = rustix::fs::statvfs(folder).ok();
    Seen { disk_free: disk.map(|disk| disk.f_bavail * disk.f_frsize), resident: leveret_platform::resident() }
}
