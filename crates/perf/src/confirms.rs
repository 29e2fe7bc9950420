//! Unconfirmed publishes: their number and send times.

use super::error::PerfError;

/// Ratio of the span between the oldest unconfirmed publish and the next to the window: brokers may confirm out of
/// order.
const SPREAD: u64 = 4;

/// A publisher's unconfirmed publishes.
#[derive(Debug)]
pub(super) struct Window {
    size: u64,
    /// Send times, by sequence number modulo length; 0 for confirmed ones.
    times: Box<[u64]>,
    oldest: u64,
    next: u64,
    outstanding: u64,
}

impl Window {
    pub(super) fn new(size: u32) -> Self {
        let size = u64::from(size);
        let places = usize::try_from((size * SPREAD).next_power_of_two()).unwrap_or(usize::MAX);
        Self { size, times: vec![0; places].into(), oldest: 1, next: 1, outstanding: 0 }
    }

    /// How many more publishes may be sent now.
    pub(super) fn room(&self) -> u64 {
        (self.size - self.outstanding).min(self.times.len() as u64 - (self.next - self.oldest))
    }

    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding
    }

    fn place(&self, sequence: u64) -> usize {
        // The length is a power of two that fits a usize.
        usize::try_from(sequence & (self.times.len() as u64 - 1)).unwrap_or(0)
    }

    /// Records a publish sent at `time`.
    pub(super) fn sent(&mut self, time: u64) {
        let place = self.place(self.next);
        self.times[place] = time.max(1);
        self.next += 1;
        self.outstanding += 1;
    }

    /// Handles a confirm; reports the send time of each publish it settles. Returns the number settled.
    pub(super) fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        mut tell: impl FnMut(u64),
    ) -> Result<u64, PerfError> {
        let last = if multiple && tag == 0 { self.next - 1 } else { tag };
        if last >= self.next || (tag == 0 && !multiple) {
            return Err(PerfError::Protocol(format!("a confirm of {tag}, which was not published")));
        }
        let first = if multiple { self.oldest } else { tag };
        let mut settled = 0;
        for sequence in first.max(self.oldest)..=last {
            let place = self.place(sequence);
            let time = std::mem::take(&mut self.times[place]);
            if time != 0 {
                settled += 1;
                tell(time);
            }
        }
        self.outstanding -= settled;
        while self.oldest < self.next && self.times[self.place(self.oldest)] == 0 {
            self.oldest += 1;
        }
        Ok(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn unknown_confirm_is_refused() {
        let mut window = Window::new(4);
        window.sent(10);
        assert!(window.settle(2, false, |_| {}).is_err());
        assert!(window.settle(0, false, |_| {}).is_err());
        assert_eq!(window.settle(1, false, |_| {}).unwrap(), 1);
        assert_eq!(window.settle(1, false, |_| {}).unwrap(), 0);
    }

    proptest! {
        #[test]
        fn window_settles_what_a_map_would(
            size in 1u32..9,
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), any::<bool>()), 0..200)
        ) {
            let (mut window, mut model, mut next) = (Window::new(size), BTreeMap::new(), 1);
            for (publish, which, multiple) in steps {
                if publish && window.room() > 0 {
                    window.sent(next * 10);
                    model.insert(next, next * 10);
                    next += 1;
                } else if !model.is_empty() {
                    let tag = *model.keys().nth(which.index(model.len())).unwrap();
                    let mut told = Vec::new();
                    window.settle(tag, multiple, |time| told.push(time)).unwrap();
                    let want: Vec<_> = if multiple {
                        let later = model.split_off(&(tag + 1));
                        std::mem::replace(&mut model, later).into_values().collect()
                    } else {
                        model.remove(&tag).into_iter().collect()
                    };
                    prop_assert_eq!(told, want);
                }
                prop_assert_eq!(window.outstanding(), model.len() as u64);
                prop_assert!(window.outstanding() + window.room() <= u64::from(size));
                let oldest = model.keys().next().copied().unwrap_or(next);
                prop_assert!(window.room() > 0 || model.len() == size as usize || next - oldest >= 4 * u64::from(size));
            }
        }
    }
}
