//! What routing needs besides the topology: reusable buffers, and randomness.

use crate::exchange_id::ExchangeId;
use crate::seen::Seen;
use crate::stable_hash::mix;

/// Buffers and randomness for [`Router::route`](crate::Router::route). One per routing thread, not one per
/// connection: it grows to the largest result seen.
#[derive(Debug)]
pub struct Scratch<D> {
    /// Destinations in the result.
    pub(crate) queues: Seen<D>,
    /// Addresses of target sets in the result; used with several keys only.
    pub(crate) sets: Seen<usize>,
    pub(crate) visited: Seen<ExchangeId>,
    pub(crate) pending: Vec<ExchangeId>,
    pub(crate) work: MatchWork,
    pub(crate) delayed: Vec<ExchangeId>,
    pub(crate) histories: Vec<ExchangeId>,
}

/// The matchers' part.
#[derive(Debug, Default)]
pub(crate) struct MatchWork {
    pub(crate) topic: TopicWork,
    /// Headers: the predicates that the message satisfies.
    pub(crate) satisfied: Vec<u32>,
    random: u64,
}

/// States of the walk through a topic trie.
#[derive(Debug, Default)]
pub(crate) struct TopicWork {
    pub(crate) active: Vec<u32>,
    pub(crate) next: Vec<u32>,
    /// `#` nodes reached, which stay reached.
    pub(crate) many: Seen<u32>,
    /// Those from which patterns continue.
    pub(crate) roaming: Vec<u32>,
}

impl<D> Scratch<D> {
    /// Empty buffers. `seed` determines the picks of random exchanges.
    pub fn new(seed: u64) -> Self {
        Self {
            queues: Seen::default(),
            sets: Seen::default(),
            visited: Seen::default(),
            pending: Vec::new(),
            work: MatchWork { random: seed, ..MatchWork::default() },
            delayed: Vec::new(),
            histories: Vec::new(),
        }
    }

    /// The exchanges that must hold the last routed message because of its delay. They did not route it.
    pub fn delayed(&self) -> &[ExchangeId] {
        &self.delayed
    }

    /// The recent-history exchanges that the last routed message passed.
    pub fn histories(&self) -> &[ExchangeId] {
        &self.histories
    }
}

impl MatchWork {
    /// The next pseudo-random number (splitmix64).
    pub(crate) const fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }
}
