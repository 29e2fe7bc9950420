//! One budget for the bodies that all queues hold in memory.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes held and bytes allowed.
#[derive(Debug)]
pub struct Memory {
    held: AtomicU64,
    budget: AtomicU64,
    reads_ahead: AtomicU64,
    reads_late: AtomicU64,
}

impl Memory {
    /// Nothing held, `budget` bytes allowed.
    pub fn new(budget: u64) -> Self {
        Self {
            held: AtomicU64::new(0),
            budget: AtomicU64::new(budget),
            reads_ahead: AtomicU64::new(0),
            reads_late: AtomicU64::new(0),
        }
    }

    /// A queue held `before` bytes and now holds `after`.
    pub(super) fn moved(&self, before: u64, after: u64) {
        if after >= before {
            self.held.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.held.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// A queue's read came back; `early`: before its messages in memory had run out.
    pub(super) fn read_back(&self, early: bool) {
        let counter = if early { &self.reads_ahead } else { &self.reads_late };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads from disk that came back before they were needed, and those that came back after.
    pub fn reads(&self) -> (u64, u64) {
        (self.reads_ahead.load(Ordering::Relaxed), self.reads_late.load(Ordering::Relaxed))
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes allowed.
    pub fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed)
    }

    /// Allows another number of bytes.
    pub fn allow(&self, budget: u64) {
        self.budget.store(budget, Ordering::Relaxed);
    }

    /// What one queue may keep of its head when memory is short, in bytes: enough to serve its
    /// consumers while more is read.
    pub(super) fn share(&self) -> u64 {
        (self.budget() / 64).clamp(64 * 1024, 4 * 1024 * 1024)
    }

    /// Whether so much is held beyond the budget that publishers have to wait for it to be given back.
    pub fn is_overdrawn(&self) -> bool {
        self.held() > self.budget() + self.budget() / 16
    }

    /// Whether queues should give bodies back to the disk.
    pub fn is_short(&self) -> bool {
        self.held() > self.budget()
    }
}
