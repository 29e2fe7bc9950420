//! Sets of sequence numbers of one queue, stored as runs.
//!
//! Invariants: runs neither overlap nor touch, so that their number is minimal. A step is one run visited. Absent:
//! which queue; why they are settled.

use std::collections::BTreeMap;

/// Settled sequence numbers, as first -> last.
#[derive(Default)]
pub(crate) struct Settled {
    runs: BTreeMap<u64, u64>,
    #[cfg(test)]
    pub(crate) steps: u64,
}

impl Settled {
    /// Adds `first..=last`.
    pub(crate) fn add(&mut self, mut first: u64, mut last: u64) {
        if first > last {
            return;
        }
        let reach = last.saturating_add(1);
        while let Some((&from, &to)) = self.runs.range(..=reach).next_back()
            && to.saturating_add(1) >= first
        {
            self.count_step();
            self.runs.remove(&from);
            first = first.min(from);
            last = last.max(to);
        }
        self.count_step();
        self.runs.insert(first, last);
    }

    /// Removes the runs that end before `seq`.
    pub(crate) fn forget_before(&mut self, seq: u64) {
        while let Some(passed) = self.runs.first_entry()
            && *passed.get() < seq
        {
            passed.remove();
            self.count_step();
        }
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "counted in tests only"))]
    pub(crate) fn count_step(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }

    pub(crate) fn has(&self, seq: u64) -> bool {
        let before = self.runs.range(..=seq).next_back();
        before.is_some_and(|(_, last)| *last >= seq)
    }

    /// Number of runs.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// The runs, ascending, as (first, last).
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(first, last)| (*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn turns_of_two_consumers_fill_each_others_gaps() {
        let mut settled = Settled::default();
        for block in (0..10_000).step_by(200) {
            for start in [block, block + 1] {
                for seq in (start..block + 200).step_by(2) {
                    settled.add(seq, seq);
                    assert!(settled.len() <= 101);
                }
            }
        }
        assert_eq!(settled.runs().collect::<Vec<_>>(), [(0, 9999)]);
    }

    proptest! {
        #[test]
        fn holds_exactly_what_was_added_in_the_fewest_runs(
            added in proptest::collection::vec((0u64..60, 0u64..8), 0..60),
        ) {
            let mut settled = Settled::default();
            let mut model = BTreeSet::new();
            for (first, count) in added {
                // A count of zero is an empty range, one before the first.
                if let Some(last) = (first + count).checked_sub(1) {
                    settled.add(first, last);
                }
                model.extend(first..first + count);
            }
            let fewest = model.iter().filter(|seq| **seq == 0 || !model.contains(&(**seq - 1))).count();
            prop_assert_eq!(settled.len(), fewest);
            let held: Vec<u64> = settled.runs().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(&held, &model.iter().copied().collect::<Vec<_>>());
            prop_assert!((0..80).all(|seq| settled.has(seq) == model.contains(&seq)));
        }
    }
}
