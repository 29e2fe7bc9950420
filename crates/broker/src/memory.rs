//! One budget for the bodies held in memory by all queues.
//!
//! The budget covers bodies; allocating, indexing and writing them costs more, depending on their size and on the order
//! in which they are freed. So the limit for bodies is adjusted until the whole process takes a sixteenth more than the
//! budget; it stays between half of the budget and all of it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes held and bytes allowed.
#[derive(Debug)]
pub struct Memory {
    held: AtomicU64,
    budget: AtomicU64,
    limit: AtomicU64,
    reads_ahead: AtomicU64,
    reads_late: AtomicU64,
}

impl Memory {
    /// An empty budget of `budget` bytes.
    pub fn new(budget: u64) -> Self {
        Self {
            held: AtomicU64::new(0),
            budget: AtomicU64::new(budget),
            limit: AtomicU64::new(first_limit(budget)),
            reads_ahead: AtomicU64::new(0),
            reads_late: AtomicU64::new(0),
        }
    }

    /// A queue's held bytes changed from `before` to `after`.
    pub(super) fn moved(&self, before: u64, after: u64) {
        if after >= before {
            self.held.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.held.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// A queue's read completed; `early`: before its messages in memory had run out.
    pub(super) fn read_back(&self, early: bool) {
        let counter = if early { &self.reads_ahead } else { &self.reads_late };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Disk reads that completed before they were needed, and those that completed after.
    pub fn reads(&self) -> (u64, u64) {
        (self.reads_ahead.load(Ordering::Relaxed), self.reads_late.load(Ordering::Relaxed))
    }

    /// Bytes held.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// The budget in bytes.
    pub fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed)
    }

    /// The current limit for bodies, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Replaces the budget.
    pub fn allow(&self, budget: u64) {
        self.budget.store(budget, Ordering::Relaxed);
        self.limit.store(first_limit(budget), Ordering::Relaxed);
    }

    /// Adjusts the limit to the process's `resident` bytes. For one caller at a time, a few times a second.
    pub fn observe(&self, resident: u64) {
        let (budget, limit) = (self.budget(), self.limit());
        let aim = budget.saturating_add(budget / 16);
        let moved = if resident > aim {
            limit.saturating_sub((resident - aim) / 4)
        } else if self.is_close() {
            // Not all free memory goes to bodies.
            limit.saturating_add((aim - resident) / 16)
        } else {
            limit
        };
        self.limit.store(moved.clamp(budget / 2, budget), Ordering::Relaxed);
    }

    /// Whether bodies are close to the limit, so that it should be checked often.
    pub fn is_close(&self) -> bool {
        self.held() > self.limit() / 4 * 3
    }

    /// Bytes that one queue may keep at its head when memory is short: enough to serve consumers while more is read.
    pub(super) fn share(&self) -> u64 {
        (self.budget() / 64).clamp(64 * 1024, 4 * 1024 * 1024)
    }

    /// Whether the limit is exceeded so far that publishers must wait.
    pub fn is_overdrawn(&self) -> bool {
        let limit = self.limit();
        self.held() > limit.saturating_add(limit / 16)
    }

    /// Whether queues should page bodies out.
    pub fn is_short(&self) -> bool {
        self.held() > self.limit()
    }
}

/// Before the process's other memory is known: about the final value for a backlog of 1 KiB messages.
const fn first_limit(budget: u64) -> u64 {
    budget / 8 * 5
}

#[cfg(test)]
mod tests {
    use super::Memory;

    const MIB: u64 = 1 << 20;

    /// The equilibrium of a process that takes `besides` and 1.3 times its bodies.
    fn settled(budget: u64, besides: u64) -> (u64, u64) {
        let memory = Memory::new(budget);
        let resident = |memory: &Memory| besides + memory.held() / 10 * 13;
        for _ in 0..1000 {
            memory.moved(memory.held(), memory.limit());
            memory.observe(resident(&memory));
        }
        (memory.limit(), resident(&memory))
    }

    #[test]
    fn the_process_takes_a_sixteenth_more_than_the_budget() {
        let (limit, resident) = settled(256 * MIB, 40 * MIB);
        assert!((266 * MIB..=276 * MIB).contains(&resident), "{resident} at {limit}");
    }

    #[test]
    fn bodies_keep_half_of_the_budget_whatever_else_takes_memory() {
        assert_eq!(settled(256 * MIB, 4096 * MIB).0, 128 * MIB);
    }

    #[test]
    fn the_limit_never_passes_the_budget() {
        let memory = Memory::new(64 * MIB);
        for _ in 0..1000 {
            memory.moved(memory.held(), memory.limit());
            memory.observe(memory.held());
        }
        assert_eq!(memory.limit(), 64 * MIB);
    }

    #[test]
    fn a_limit_that_nobody_comes_close_to_stays() {
        let memory = Memory::new(256 * MIB);
        memory.observe(40 * MIB);
        assert_eq!(memory.limit(), 160 * MIB);
    }
}
