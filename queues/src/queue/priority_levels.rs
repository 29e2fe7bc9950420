//! All lanes of a queue: one inline, more only for queues with priorities.

use super::lane::Lane;

/// Lanes above the lowest, and which of all lanes hold something.
#[derive(Debug, Default)]
struct Upper {
    /// Lane 1 first; grown to the highest level used.
    lanes: Vec<Lane>,
    /// One bit per lane, lane 0 included.
    filled: [u64; 4],
}

/// The lanes by level. Level 0 always exists.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    base: Lane,
    upper: Option<Box<Upper>>,
}

impl Lanes {
    /// The lane of a level, made if need be.
    pub(super) fn make(&mut self, level: u8) -> &mut Lane {
        if level == 0 {
            return &mut self.base;
        }
        let lanes = &mut self.upper.get_or_insert_default().lanes;
        let index = usize::from(level) - 1;
        if lanes.len() <= index {
            lanes.resize_with(index + 1, Lane::default);
        }
        &mut lanes[index]
    }

    /// The lane of a level, if it was made.
    pub(super) fn get(&self, level: u8) -> Option<&Lane> {
        match level {
            0 => Some(&self.base),
            _ => self.upper.as_ref()?.lanes.get(usize::from(level) - 1),
        }
    }

    /// The lane of a level, if it was made.
    pub(super) fn get_mut(&mut self, level: u8) -> Option<&mut Lane> {
        match level {
            0 => Some(&mut self.base),
            _ => self.upper.as_mut()?.lanes.get_mut(usize::from(level) - 1),
        }
    }

    /// To be called after a lane was changed.
    pub(super) fn note(&mut self, level: u8) {
        let Some(filled) = self.get(level).map(|lane| !lane.is_empty()) else {
            return;
        };
        if let Some(upper) = self.upper.as_deref_mut() {
            let (word, bit) = (usize::from(level / 64), 1 << (level % 64));
            if filled {
                upper.filled[word] |= bit;
            } else {
                upper.filled[word] &= !bit;
            }
            // The base may have been filled before there was anything to note it in.
            if self.base.is_empty() {
                upper.filled[0] &= !1;
            } else {
                upper.filled[0] |= 1;
            }
        }
    }

    /// The highest lane that holds something.
    pub(super) fn top(&self) -> Option<u8> {
        match self.upper.as_deref() {
            None => (!self.base.is_empty()).then_some(0),
            Some(upper) => highest(&upper.filled),
        }
    }

    /// Levels that hold something, highest first.
    pub(super) fn filled(&self) -> impl Iterator<Item = u8> + use<> {
        let mut filled = match self.upper.as_deref() {
            None => [u64::from(!self.base.is_empty()), 0, 0, 0],
            Some(upper) => upper.filled,
        };
        std::iter::from_fn(move || {
            let level = highest(&filled)?;
            filled[usize::from(level / 64)] &= !(1 << (level % 64));
            Some(level)
        })
    }

    /// Frees what empty lanes take.
    pub(super) fn shrink(&mut self) {
        if self.top().is_none() {
            *self = Self::default();
        }
    }
}

fn highest(filled: &[u64; 4]) -> Option<u8> {
    let word = filled.iter().rposition(|word| *word != 0)?;
    let bit = filled[word].ilog2();
    u8::try_from(word * 64 + bit as usize).ok()
}
