//! A compact time series: only changes are stored, as differences.
//!
//! Invariants: decoding from `base` always ends at `last`; an instant without a change takes no space; whatever
//! precedes the window is folded into `base`.
//! Absent: clocks, names, locks. Instants are step numbers chosen by the caller.

use std::collections::VecDeque;

/// A time series of `N` numbers.
#[derive(Clone, Debug)]
pub(super) struct Series<const N: usize> {
    base: Point<N>,
    last: Point<N>,
    /// For each change: steps since the previous one, which numbers changed, and by how much.
    changes: VecDeque<u8>,
}

/// The numbers at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Point<const N: usize> {
    pub(super) step: u64,
    pub(super) values: [u64; N],
}

/// Payload bits per encoded byte.
const BITS: u32 = 7;

fn put(bytes: &mut VecDeque<u8>, mut number: u64) {
    while number >= 1 << BITS {
        bytes.push_back((number & 0x7f) as u8 | 0x80);
        number >>= BITS;
    }
    bytes.push_back((number & 0x7f) as u8);
}

fn take(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0;
    for shift in 0..10 {
        let byte = bytes.next()?;
        number |= u64::from(byte & 0x7f) << (shift * BITS);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

/// Zigzag encoding: small for small differences of either sign.
fn zigzag(from: u64, to: u64) -> u64 {
    let by = to.wrapping_sub(from).cast_signed();
    ((by << 1) ^ (by >> 63)).cast_unsigned()
}

fn moved(from: u64, zigzag: u64) -> u64 {
    from.wrapping_add((zigzag >> 1) ^ (zigzag & 1).wrapping_neg())
}

fn change<const N: usize>(bytes: &mut impl Iterator<Item = u8>, at: &mut Point<N>) -> Option<()> {
    at.step += take(bytes)?;
    let which = take(bytes)?;
    for (place, value) in at.values.iter_mut().enumerate() {
        if which & (1 << place) != 0 {
            *value = moved(*value, take(bytes)?);
        }
    }
    Some(())
}

impl<const N: usize> Series<N> {
    const FITS: () = assert!(N <= 63, "which numbers changed is one bit each");

    /// A series that starts with these numbers.
    pub(super) fn new(step: u64, values: [u64; N]) -> Self {
        let () = Self::FITS;
        let first = Point { step, values };
        Self { base: first, last: first, changes: VecDeque::new() }
    }

    /// Adds the numbers at `step`; steps not later than the last change are ignored (the clock was set back). Drops
    /// changes older than `window` steps.
    pub(super) fn add(&mut self, step: u64, values: [u64; N], window: u64) {
        if values != self.last.values && step > self.last.step {
            put(&mut self.changes, step - self.last.step);
            let pairs = self.last.values.iter().zip(&values).enumerate();
            let changed = pairs.filter(|(_, (before, now))| before != now);
            put(&mut self.changes, changed.fold(0, |which, (place, _)| which | 1 << place));
            for (before, now) in self.last.values.iter().zip(&values).filter(|(before, now)| before != now) {
                put(&mut self.changes, zigzag(*before, *now));
            }
            self.last = Point { step, values };
        }
        self.forget_before(step.saturating_sub(window));
    }

    /// Drops the changes up to `step`, folding them into the base.
    pub(super) fn forget_before(&mut self, step: u64) {
        if self.base.step >= step || self.changes.is_empty() {
            return;
        }
        loop {
            let mut next = self.base;
            let mut bytes = self.changes.iter().copied();
            let before = bytes.len();
            if change(&mut bytes, &mut next).is_none() || next.step > step {
                break;
            }
            let used = before - bytes.len();
            self.changes.drain(..used);
            self.base = next;
        }
        if self.changes.is_empty() {
            self.changes.shrink_to_fit();
        }
    }

    /// Whether nothing changed within the window.
    pub(super) fn is_still(&self) -> bool {
        self.changes.is_empty()
    }

    /// The numbers at `to` and at every `by` steps before it, while known and not before `from`; newest last.
    pub(super) fn points(&self, from: u64, to: u64, by: u64) -> Vec<Point<N>> {
        let by = by.max(1);
        let from = from.max(self.base.step);
        let Some(span) = to.checked_sub(from) else { return Vec::new() };
        let first = to - span / by * by;
        let mut points = Vec::new();
        let (mut at, mut next) = (self.base, self.base);
        let mut bytes = self.changes.iter().copied();
        let mut more = change(&mut bytes, &mut next).is_some();
        let mut step = first;
        while step <= to {
            while more && next.step <= step {
                at = next;
                more = change(&mut bytes, &mut next).is_some();
            }
            points.push(Point { step, values: at.values });
            step += by;
        }
        points
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.changes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_may_fall_and_jump() {
        let mut series = Series::new(10, [5, u64::MAX]);
        series.add(11, [0, 0], 100);
        series.add(14, [u64::MAX, 1], 100);
        let values: Vec<_> = series.points(0, 15, 1).iter().map(|point| (point.step, point.values)).collect();
        let max = u64::MAX;
        let want = [[5, max], [0, 0], [0, 0], [0, 0], [max, 1], [max, 1]];
        assert_eq!(values, (10..).zip(want).collect::<Vec<_>>());
    }

    #[test]
    fn what_stands_still_costs_nothing() {
        let mut series = Series::new(0, [1, 2, 3]);
        for step in 1..1_000_000 {
            series.add(step, [1, 2, 3], 120);
        }
        assert_eq!(series.heap_bytes(), 0);
        assert!(series.is_still());
        assert_eq!(series.points(999_998, 1_000_000, 1).len(), 3);
    }

    #[test]
    fn a_busy_queue_costs_less_than_two_kilobytes_for_ten_minutes() {
        let mut series = Series::new(0, [0; 6]);
        for step in 1..10_000 {
            series.add(step, [step * 5000, step * 4900, step * 4900, 3, step % 700, step % 90], 120);
        }
        assert!(series.heap_bytes() <= 2048, "{}", series.heap_bytes());
        assert_eq!(series.points(0, 9_999, 1).len(), 121);
    }

    #[test]
    fn a_clock_that_is_set_back_adds_nothing() {
        let mut series = Series::new(100, [0]);
        series.add(101, [1], 50);
        series.add(60, [2], 50);
        assert_eq!(series.points(0, 101, 1).last().map(|point| point.values), Some([1]));
    }

    #[test]
    fn points_end_where_they_are_asked_to() {
        let mut series = Series::new(0, [0]);
        for step in 1..=10 {
            series.add(step, [step], 100);
        }
        let steps =
            |from, to, by| series.points(from, to, by).iter().map(|point| point.step).collect::<Vec<_>>();
        assert_eq!(steps(0, 10, 4), [2, 6, 10]);
        assert_eq!(steps(9, 10, 4), [10]);
        assert_eq!(steps(11, 10, 1), [] as [u64; 0]);
    }

    proptest! {
        #[test]
        fn it_tells_what_a_plain_list_tells(
            changes in prop::collection::vec((0_u64..4, any::<[u64; 3]>(), any::<bool>()), 0..60),
            window in 1_u64..40,
        ) {
            let mut series = Series::new(5, [7, 8, 9]);
            let mut plain = vec![Point { step: 5, values: [7, 8, 9] }];
            let mut step = 5;
            for (later, values, same) in changes {
                step += 1 + later;
                let values = if same { plain[plain.len() - 1].values } else { values };
                series.add(step, values, window);
                plain.push(Point { step, values });
            }
            for point in series.points(step.saturating_sub(window), step, 1) {
                let want = plain.iter().rev().find(|known| known.step <= point.step).unwrap();
                prop_assert_eq!(point.values, want.values);
            }
        }
    }
}
