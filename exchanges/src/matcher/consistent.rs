//! x-consistent-hash: one destination per hash, chosen by weight.
//!
//! Weighted rendezvous hashing: each member's score is derived from its name and the message's hash; the highest
//! wins. Shares are exactly proportional to the weights, adding or removing a member moves only its own share, and no
//! table grows with the weights. The price: routing looks at every member (2 ns each with equal weights, 10 ns
//! otherwise). With equal weights the derived numbers are compared directly, which gives the same order.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::QueueId;
use crate::matcher::{Entry, Sink};
use crate::stable_hash::{hash, mix};
use crate::targets::Target;

pub(crate) struct Consistent<D> {
    members: Vec<Member<D>>,
    places: FxHashMap<Target<D>, usize>,
    /// Number of members by weight.
    weights: BTreeMap<u64, usize>,
}

struct Member<D> {
    target: Target<D>,
    seed: u64,
    /// Sum over the target's bindings.
    weight: u64,
}

impl<D> Default for Consistent<D> {
    fn default() -> Self {
        Self { members: Vec::new(), places: FxHashMap::default(), weights: BTreeMap::new() }
    }
}

impl<D: QueueId> Consistent<D> {
    pub(super) fn add(&mut self, entry: &Entry<'_, D>) {
        let weight = weight(entry);
        let place = *self.places.entry(entry.target).or_insert_with(|| {
            let kind = u64::from(matches!(entry.target, Target::Queue(_)));
            self.members.push(Member {
                target: entry.target,
                seed: hash(entry.name.as_bytes()).wrapping_add(kind),
                weight: 0,
            });
            self.members.len() - 1
        });
        let before = self.members[place].weight;
        self.change_weight(place, before + weight);
    }

    pub(super) fn remove(&mut self, entry: &Entry<'_, D>) {
        let Some(place) = self.places.get(&entry.target).copied() else {
            return;
        };
        let left = self.members[place].weight.saturating_sub(weight(entry));
        self.change_weight(place, left);
        if left == 0 {
            self.places.remove(&entry.target);
            self.members.swap_remove(place);
            if let Some(moved) = self.members.get(place) {
                self.places.insert(moved.target, place);
            }
        }
    }

    fn change_weight(&mut self, place: usize, weight: u64) {
        let before = std::mem::replace(&mut self.members[place].weight, weight);
        if let Some(count) = self.weights.get_mut(&before) {
            *count -= 1;
            if *count == 0 {
                self.weights.remove(&before);
            }
        }
        if weight > 0 {
            *self.weights.entry(weight).or_default() += 1;
        }
    }

    pub(super) fn route(&self, hash: u64, sink: &mut Sink<'_, D>) {
        let members = self.members.iter();
        let draw = |member: &Member<D>| mix(member.seed ^ hash);
        // Ties go to the lower seed, not to the index, which depends on history.
        let winner = if self.weights.len() == 1 {
            members.max_by_key(|member| (draw(member), member.seed))
        } else {
            members.max_by(|a, b| {
                let by_score = score(draw(a), a.weight).total_cmp(&score(draw(b), b.weight));
                by_score.then(a.seed.cmp(&b.seed))
            })
        };
        if let Some(winner) = winner {
            sink.add_one(winner.target);
        }
    }
}

/// Exponential race: the hash as u in (0, 1), then weight / -ln u.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits of the draw are wanted; weights above 2^53 lose nothing that matters"
)]
fn score(draw: u64, weight: u64) -> f64 {
    let unit = ((draw >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    weight as f64 / -unit.ln()
}

/// The weight of a binding, checked when it was made.
fn weight<D>(entry: &Entry<'_, D>) -> u64 {
    crate::kind::weight(entry.key).map_or(0, u64::from)
}
