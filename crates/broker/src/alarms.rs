//! Resource alarms: free disk space and resident memory against their limits. A raised alarm blocks publishers.
//!
//! Invariants: a raised alarm clears only well inside its limit, so that it does not flap; checking it costs one load.
//! Absent: the source of the readings, and their schedule.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Alarm thresholds. Both can change at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmLimits {
    /// Minimum free space on the data folder's file system, in bytes.
    pub disk_free_min: u64,
    /// Maximum resident memory of the process, in bytes.
    pub resident_max: u64,
}

impl AlarmLimits {
    /// Two preallocated log segments (64 MiB each), and as much again for the index and for compaction, which copies
    /// before it frees: acknowledgements can be written throughout.
    pub const DISK_FREE_MIN: u64 = 256 * 1024 * 1024;
}

impl Default for AlarmLimits {
    fn default() -> Self {
        Self { disk_free_min: Self::DISK_FREE_MIN, resident_max: u64::MAX }
    }
}

/// The latest readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Free space for the data folder in bytes; `None` if unknown.
    pub disk_free: Option<u64>,
    /// Resident memory of the process in bytes; `None` if unknown.
    pub resident: Option<u64>,
}

/// A resource with an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Memory.
    Memory,
    /// Disk.
    Disk,
}

impl Resource {
    const fn bit(self) -> u8 {
        match self {
            Self::Memory => 1,
            Self::Disk => 2,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        })
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Alarms {
    raised: AtomicU8,
    disk_free_min: AtomicU64,
    resident_max: AtomicU64,
    disk_free: AtomicU64,
    resident: AtomicU64,
}

impl Default for Alarms {
    fn default() -> Self {
        let AlarmLimits { disk_free_min, resident_max } = AlarmLimits::default();
        Self {
            raised: AtomicU8::new(0),
            disk_free_min: AtomicU64::new(disk_free_min),
            resident_max: AtomicU64::new(resident_max),
            disk_free: AtomicU64::new(0),
            resident: AtomicU64::new(0),
        }
    }
}

impl Alarms {
    /// Replaces the limits, effective from the next [`Alarms::observe`].
    pub fn set_limits(&self, limits: AlarmLimits) {
        self.disk_free_min.store(limits.disk_free_min, Ordering::Relaxed);
        self.resident_max.store(limits.resident_max, Ordering::Relaxed);
    }

    /// The limits in force.
    pub fn limits(&self) -> AlarmLimits {
        AlarmLimits {
            disk_free_min: self.disk_free_min.load(Ordering::Relaxed),
            resident_max: self.resident_max.load(Ordering::Relaxed),
        }
    }

    /// Raises and clears alarms according to `seen`, and logs the changes. Returns `true` if the last alarm was
    /// cleared, so that publishers may be notified. Not for concurrent callers.
    pub fn observe(&self, seen: Seen) -> bool {
        let limits = self.limits();
        let before = self.raised.load(Ordering::Relaxed);
        if let Some(free) = seen.disk_free {
            self.disk_free.store(free, Ordering::Relaxed);
            let limit = limits.disk_free_min;
            self.set(Resource::Disk, free < limit, free >= limit.saturating_add(limit / 10));
        }
        if let Some(resident) = seen.resident {
            self.resident.store(resident, Ordering::Relaxed);
            let limit = limits.resident_max;
            self.set(Resource::Memory, resident > limit, resident <= limit - limit / 20);
        }
        before != 0 && !self.is_raised()
    }

    fn set(&self, resource: Resource, raise: bool, clear: bool) {
        let raised = self.has(resource);
        if raise && !raised {
            self.raised.fetch_or(resource.bit(), Ordering::AcqRel);
            tracing::warn!("alarm: {}; publishers are held up", self.words(resource));
        } else if clear && raised {
            self.raised.fetch_and(!resource.bit(), Ordering::AcqRel);
            tracing::info!("alarm is over: {resource}");
        }
    }

    /// Whether publishers are blocked.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire) != 0
    }

    /// Whether the alarm for `resource` is raised.
    pub fn has(&self, resource: Resource) -> bool {
        self.raised.load(Ordering::Acquire) & resource.bit() != 0
    }

    /// The raised alarms, in words for publishers; `None` if there are none.
    pub fn reason(&self) -> Option<String> {
        if !self.is_raised() {
            return None;
        }
        let raised = [Resource::Memory, Resource::Disk].into_iter().filter(|resource| self.has(*resource));
        Some(raised.map(|resource| self.words(resource)).collect::<Vec<_>>().join("; "))
    }

    /// Starts as `RabbitMQ`'s reasons do.
    fn words(&self, resource: Resource) -> String {
        let mib = |bytes: u64| bytes >> 20;
        let limits = self.limits();
        match resource {
            Resource::Disk => format!(
                "low on disk: {} MiB free, the limit is {} MiB",
                mib(self.disk_free()),
                mib(limits.disk_free_min)
            ),
            Resource::Memory => format!(
                "low on memory: {} MiB in use, the limit is {} MiB",
                mib(self.resident()),
                mib(limits.resident_max)
            ),
        }
    }

    /// Free space for the data folder at the last reading, in bytes.
    pub fn disk_free(&self) -> u64 {
        self.disk_free.load(Ordering::Relaxed)
    }

    /// Resident memory of the process at the last reading, in bytes.
    pub fn resident(&self) -> u64 {
        self.resident.load(Ordering::Relaxed)
    }

    /// Whether free space is close enough to the limit to be checked more often.
    pub fn is_disk_close(&self) -> bool {
        self.disk_free() < self.limits().disk_free_min.saturating_mul(4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(free: u64) -> Seen {
        Seen { disk_free: Some(free), resident: None }
    }

    fn memory(resident: u64) -> Seen {
        Seen { disk_free: None, resident: Some(resident) }
    }

    #[test]
    fn the_disk_alarm_is_cleared_a_tenth_above_its_limit() {
        let alarms = Alarms::default();
        alarms.set_limits(AlarmLimits { disk_free_min: 1000, resident_max: u64::MAX });
        for (free, raised, over) in [
            (1000, false, false),
            (999, true, false),
            (1099, true, false),
            (1100, false, true),
            (1001, false, false),
        ] {
            assert_eq!(alarms.observe(disk(free)), over, "{free}");
            assert_eq!(alarms.has(Resource::Disk), raised, "{free}");
        }
    }

    #[test]
    fn the_memory_alarm_is_cleared_a_twentieth_below_its_limit() {
        let alarms = Alarms::default();
        alarms.set_limits(AlarmLimits { disk_free_min: 0, resident_max: 1000 });
        for (resident, raised) in [(1000, false), (1001, true), (951, true), (950, false)] {
            alarms.observe(memory(resident));
            assert_eq!(alarms.has(Resource::Memory), raised, "{resident}");
        }
    }

    #[test]
    fn all_reasons_are_told_and_publishers_wait_until_none_is_left() {
        let alarms = Alarms::default();
        alarms.set_limits(AlarmLimits { disk_free_min: 4 << 20, resident_max: 2 << 20 });
        assert_eq!(alarms.reason(), None);
        alarms.observe(Seen { disk_free: Some(1 << 20), resident: Some(3 << 20) });
        assert_eq!(
            alarms.reason().unwrap(),
            "low on memory: 3 MiB in use, the limit is 2 MiB; low on disk: 1 MiB free, the limit is 4 MiB"
        );
        assert!(!alarms.observe(memory(1 << 20)));
        assert!(alarms.is_raised());
        assert!(alarms.observe(disk(5 << 20)));
    }

    #[test]
    fn other_limits_count_at_the_next_look() {
        let alarms = Alarms::default();
        alarms.set_limits(AlarmLimits { disk_free_min: u64::MAX, resident_max: u64::MAX });
        alarms.observe(disk(1000));
        assert!(alarms.is_raised());
        alarms.set_limits(AlarmLimits { disk_free_min: 0, resident_max: u64::MAX });
        assert!(alarms.observe(disk(1000)));
    }
}
