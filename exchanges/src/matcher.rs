//! One index per exchange: from key and headers to the targets of matching bindings.

mod consistent;
mod direct;
mod headers;
mod modulus;
mod topic;

use std::sync::Arc;

use crate::exchange_id::ExchangeId;
use crate::federation::Horizon;
use crate::kind::{HashBy, InnerKind};
use crate::scratch::MatchWork;
use crate::seen::Seen;
use crate::targets::{Target, TargetSet};
use crate::{Args, Attributes, QueueId, Value, stable_hash};

/// What an index keeps of a binding.
pub(crate) struct Entry<'a, D> {
    pub(crate) target: Target<D>,
    /// The target's name: hashes must not depend on ids, which change across restarts.
    pub(crate) name: &'a Arc<str>,
    pub(crate) key: &'a str,
    pub(crate) args: &'a Args,
}

/// The parts of a message that matching reads.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    /// At least one: the routing key, then the keys of CC and BCC.
    pub(crate) keys: &'a [&'a [u8]],
    pub(crate) attributes: &'a dyn Attributes,
}

impl<'a> Question<'a> {
    /// The key the message was published with.
    fn first_key(self) -> &'a [u8] {
        self.keys.first().copied().unwrap_or_default()
    }
}

/// Collects matches.
pub(crate) struct Sink<'a, D> {
    pub(crate) out: &'a mut Vec<D>,
    pub(crate) exchanges: &'a mut Vec<ExchangeId>,
    /// With several keys: the sets already added, so that none is added once per key and the result never outgrows
    /// the bindings.
    pub(crate) sets: Option<&'a mut Seen<usize>>,
    /// Number of pieces that `out` was built from. A single piece has no duplicates.
    pub(crate) pieces: usize,
    /// Whether anything matched since this was last reset.
    pub(crate) hit: bool,
}

impl<D: QueueId> Sink<'_, D> {
    #[inline]
    fn add(&mut self, set: &TargetSet<D>) {
        if set.is_empty() {
            return;
        }
        self.hit = true;
        if let Some(sets) = &mut self.sets
            && !sets.insert(std::ptr::from_ref(set).addr())
        {
            return;
        }
        if !set.queues().is_empty() {
            self.pieces += 1;
            self.out.extend_from_slice(set.queues());
        }
        self.exchanges.extend_from_slice(set.exchanges());
    }

    fn add_one(&mut self, target: Target<D>) {
        self.hit = true;
        match target {
            Target::Queue(queue) => {
                self.pieces += 1;
                self.out.push(queue);
            }
            Target::Exchange(exchange) => self.exchanges.push(exchange),
        }
    }
}

/// The index of one exchange.
pub(crate) enum Matcher<D> {
    Direct(direct::Direct<D>),
    Topic(topic::Topic<D>),
    Headers(headers::Headers<D>),
    Fanout(TargetSet<D>),
    Random(TargetSet<D>),
    Consistent(HashBy, consistent::Consistent<D>),
    Modulus(modulus::Modulus<D>),
    /// Without a horizon nothing is forwarded; it is checked at declaration.
    Federation(Option<Horizon>, TargetSet<D>),
}

impl<D: QueueId> Matcher<D> {
    /// An empty index for an exchange with checked arguments.
    pub(crate) fn new(kind: InnerKind, args: &Args) -> Self {
        match kind {
            InnerKind::Direct => Self::Direct(direct::Direct::default()),
            InnerKind::Topic => Self::Topic(topic::Topic::default()),
            InnerKind::Headers => Self::Headers(headers::Headers::default()),
            InnerKind::Fanout | InnerKind::RecentHistory => Self::Fanout(TargetSet::default()),
            InnerKind::Random | InnerKind::LocalRandom => Self::Random(TargetSet::default()),
            InnerKind::ConsistentHash => Self::Consistent(
                HashBy::from_args(args).unwrap_or(HashBy::Key),
                consistent::Consistent::default(),
            ),
            InnerKind::ModulusHash => Self::Modulus(modulus::Modulus::default()),
            InnerKind::FederationUpstream => {
                Self::Federation(Horizon::from_args(args).ok(), TargetSet::default())
            }
        }
    }

    /// Whether the result depends on the key alone.
    #[inline]
    pub(crate) const fn depends_on_key_only(&self) -> bool {
        match self {
            Self::Direct(_) | Self::Topic(_) | Self::Fanout(_) | Self::Modulus(_) => true,
            Self::Consistent(by, _) => matches!(by, HashBy::Key),
            Self::Headers(_) | Self::Random(_) | Self::Federation(..) => false,
        }
    }

    /// Whether it picks one of its bindings, rather than all that match.
    pub(crate) const fn picks_one(&self) -> bool {
        matches!(self, Self::Random(_) | Self::Consistent(..) | Self::Modulus(_))
    }

    /// The queue with this binding key, for the default exchange's index.
    pub(crate) fn only_queue(&self, key: &[u8]) -> Option<D> {
        match self {
            Self::Direct(direct) => direct.queue(key),
            _ => None,
        }
    }

    pub(crate) fn add(&mut self, entry: &Entry<'_, D>) {
        match self {
            Self::Direct(direct) => direct.add(entry.key, entry.target),
            Self::Topic(topic) => topic.add(entry.key, entry.target),
            Self::Headers(headers) => headers.add(entry.args, entry.target),
            Self::Fanout(set) | Self::Random(set) | Self::Federation(_, set) => set.add(entry.target),
            Self::Consistent(_, members) => members.add(entry),
            Self::Modulus(members) => members.add(entry),
        }
    }

    pub(crate) fn remove(&mut self, entry: &Entry<'_, D>) {
        match self {
            Self::Direct(direct) => direct.remove(entry.key, entry.target),
            Self::Topic(topic) => topic.remove(entry.key, entry.target),
            Self::Headers(headers) => headers.remove(entry.args, entry.target),
            Self::Fanout(set) | Self::Random(set) | Self::Federation(_, set) => set.remove(entry.target),
            Self::Consistent(_, members) => members.remove(entry),
            Self::Modulus(members) => members.remove(entry),
        }
    }

    #[inline]
    pub(crate) fn route(&self, question: Question<'_>, work: &mut MatchWork, sink: &mut Sink<'_, D>) {
        match self {
            Self::Direct(direct) => {
                for key in question.keys {
                    direct.route(key, sink);
                }
            }
            Self::Topic(topic) => {
                for key in question.keys {
                    topic.route(key, &mut work.topic, sink);
                }
            }
            Self::Headers(headers) => {
                headers.route(question.attributes, &mut work.satisfied, sink);
            }
            Self::Fanout(set) => sink.add(set),
            Self::Random(set) => pick_random(set, work, sink),
            Self::Federation(horizon, set) => {
                if horizon.as_ref().is_some_and(|horizon| horizon.reaches(question.attributes)) {
                    sink.add(set);
                }
            }
            Self::Consistent(by, members) => members.route(hash(by, question), sink),
            Self::Modulus(members) => {
                members.route(stable_hash::hash(question.first_key()), sink);
            }
        }
    }
}

fn pick_random<D: QueueId>(set: &TargetSet<D>, work: &mut MatchWork, sink: &mut Sink<'_, D>) {
    let (queues, exchanges) = (set.queues(), set.exchanges());
    let count = queues.len() + exchanges.len();
    if count == 0 {
        return;
    }
    let pick = scale(work.random(), count);
    sink.add_one(
        queues
            .get(pick)
            .map_or_else(|| Target::Exchange(exchanges[pick - queues.len()]), |queue| Target::Queue(*queue)),
    );
}

/// Maps a hash uniformly to a number below `count`.
#[expect(clippy::cast_possible_truncation, reason = "the high half of the product is below count")]
const fn scale(hash: u64, count: usize) -> usize {
    ((hash as u128 * count as u128) >> 64) as usize
}

/// The hash of the selected part of the message. Messages that lack it share one hash, so they all go to one
/// destination.
fn hash(by: &HashBy, question: Question<'_>) -> u64 {
    match by {
        HashBy::Key => stable_hash::hash(question.first_key()),
        HashBy::Header(wanted) => {
            let mut found = None;
            question.attributes.each_header(&mut |name, value| {
                if found.is_none() && *name == **wanted {
                    found = Some(hash_value(value));
                }
            });
            found.unwrap_or_else(|| hash_value(Value::Void))
        }
        HashBy::Property(which) => {
            let value = question.attributes.property(*which);
            hash_value(value.unwrap_or(Value::Void))
        }
    }
}

fn hash_value(value: Value<'_>) -> u64 {
    match value {
        Value::Void => stable_hash::mix(1),
        Value::Bool(value) => stable_hash::mix(2 + u64::from(value)),
        Value::Int(value) => stable_hash::hash(&value.to_be_bytes()),
        Value::Float(value) => stable_hash::hash(&value.to_bits().to_be_bytes()),
        Value::Str(bytes) | Value::Other { raw: bytes, .. } => stable_hash::hash(bytes),
    }
}
