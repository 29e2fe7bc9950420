//! The priority levels of a queue: one inline, more only for queues with priorities.

use super::priority_level::PriorityLevel;

/// Levels above the lowest, and which levels hold messages.
#[derive(Debug, Default)]
struct Upper {
    /// Level 1 first; grown to the highest level used.
    priority_levels: Vec<PriorityLevel>,
    /// One bit per level, 0 included.
    filled: [u64; 4],
}

/// By number. Level 0 always exists.
#[derive(Debug, Default)]
pub(super) struct PriorityLevels {
    base: PriorityLevel,
    upper: Option<Box<Upper>>,
}

impl PriorityLevels {
    /// The level with this number, created if missing.
    pub(super) fn make(&mut self, level: u8) -> &mut PriorityLevel {
        if level == 0 {
            return &mut self.base;
        }
        let priority_levels = &mut self.upper.get_or_insert_default().priority_levels;
        let index = usize::from(level) - 1;
        if priority_levels.len() <= index {
            priority_levels.resize_with(index + 1, PriorityLevel::default);
        }
        &mut priority_levels[index]
    }

    /// The level with this number, if it exists.
    pub(super) fn get(&self, level: u8) -> Option<&PriorityLevel> {
        match level {
            0 => Some(&self.base),
            _ => self.upper.as_ref()?.priority_levels.get(usize::from(level) - 1),
        }
    }

    /// The level with this number, if it exists.
    pub(super) fn get_mut(&mut self, level: u8) -> Option<&mut PriorityLevel> {
        match level {
            0 => Some(&mut self.base),
            _ => self.upper.as_mut()?.priority_levels.get_mut(usize::from(level) - 1),
        }
    }

    /// To be called after a level was changed.
    pub(super) fn note(&mut self, level: u8) {
        let Some(filled) = self.get(level).map(|priority_level| !priority_level.is_empty()) else {
            return;
        };
        if let Some(upper) = self.upper.as_deref_mut() {
            let (word, bit) = (usize::from(level / 64), 1 << (level % 64));
            if filled {
                upper.filled[word] |= bit;
            } else {
                upper.filled[word] &= !bit;
            }
            // The base level may have been filled before `upper` existed to record it.
            if self.base.is_empty() {
                upper.filled[0] &= !1;
            } else {
                upper.filled[0] |= 1;
            }
        }
    }

    /// The highest level that holds messages.
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

    /// Frees the memory of empty levels.
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
