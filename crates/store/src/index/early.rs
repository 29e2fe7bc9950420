//! Sequence numbers settled before their message arrives: between calls of one queue, log order is not sequence
//! order.
//!
//! Invariants: what has been passed by is forgotten.

use crate::settled::Settled;

/// See the module.
#[derive(Default)]
pub(super) struct Early(Settled);

impl Early {
    /// Marks `first..=last` as settled.
    pub(super) fn add(&mut self, first: u64, last: u64) {
        self.0.add(first, last);
    }

    /// Whether the message `seq`, which arrives now, is settled. Sequence numbers arrive in order.
    pub(super) fn takes(&mut self, seq: u64) -> bool {
        self.0.count_step();
        let settled = self.0.has(seq);
        if !settled {
            self.0.forget_before(seq);
        }
        settled
    }

    /// The runs, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.runs()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_settled_before_it_comes_is_known_however_it_was_told() {
        for seed in 0..200_u64 {
            let mut random = seed;
            let mut next = |below: u64| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % below
            };
            let (mut early, mut settled) = (Early::default(), BTreeSet::new());
            for _ in 0..30 {
                let first = 1 + next(60);
                let last = first + next(5);
                early.add(first, last);
                settled.extend(first..=last);
            }
            let told: Vec<u64> = early.iter().flat_map(|(first, last)| first..=last).collect();
            assert!(told.iter().eq(&settled), "stretches overlap with seed {seed}");
            for seq in 1..70 {
                assert_eq!(early.takes(seq), settled.contains(&seq), "{seq} with seed {seed}");
            }
        }
    }

    #[test]
    fn it_takes_as_many_steps_however_much_there_is() {
        let steps = |places: u64| {
            let mut early = Early::default();
            (0..places).map(|n| n * 7 % places * 2 + 1).for_each(|place| early.add(place, place));
            (1..=places).for_each(|seq| assert!(early.takes(seq) || seq % 2 == 0));
            early.0.steps
        };
        assert!(steps(10_001) <= 4 * 10_001, "{}", steps(10_001));
    }
}
