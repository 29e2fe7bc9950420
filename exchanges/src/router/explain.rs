//! Why a message goes where it goes. The walk is that of `route`, through the same indexes; every binding is then
//! compared with the rule itself, so that an explanation is also a check of the index.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::exchange_id::ExchangeId;
use crate::kind::InnerKind;
use crate::naive::words;
use crate::router::route::{Step, Watch};
use crate::router::why::{Why, Word, compare_headers, compare_words};
use crate::router::{Binding, Envelope, ExchangeInfo, Link, Router};
use crate::targets::Target;
use crate::{QueueId, RouteError, Scratch, naive, names};

/// How a message is routed, step by step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation<D> {
    /// The exchanges visited, in order; the first of them, if there are more than the limit.
    pub visits: Vec<Visit<D>>,
    /// Number of exchanges visited.
    pub visit_count: usize,
    /// The destinations, each once: the result of [`Router::route`], without limit.
    pub queues: Vec<D>,
}

/// One exchange that a message visits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Visit<D> {
    /// The exchange.
    pub exchange: ExchangeInfo,
    /// How the message reached it.
    pub reached: Reached,
    /// The message is held here because it has a delay; no binding is examined.
    pub held: bool,
    /// The exchange picks one of its bindings; those to the same destination count as matching.
    pub picks_one: bool,
    /// The first matching bindings.
    pub matched: Vec<Match<D>>,
    /// Number of matching bindings.
    pub matched_count: usize,
    /// The first bindings that do not match. The default exchange's implicit bindings are only counted.
    pub missed: Vec<Miss<D>>,
    /// Number of bindings that do not match.
    pub missed_count: usize,
    /// Number of bindings not examined because the limit on work was reached. The destinations are complete all the
    /// same.
    pub unexamined: usize,
    /// The alternate exchange in force.
    pub alternate: Option<Alternate>,
}

/// A matching binding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match<D> {
    /// The binding.
    pub binding: Binding<D>,
    /// For a topic exchange: each word of the pattern, with the words of the key that it covers.
    pub words: Vec<Word>,
}

/// A binding that does not match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Miss<D> {
    /// The binding.
    pub binding: Binding<D>,
    /// Why not.
    pub why: Why,
}

/// An alternate exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alternate {
    /// Its name.
    pub name: String,
    /// Whether it exists.
    pub exists: bool,
    /// Whether the message goes there, as no binding matched.
    pub used: bool,
}

/// How a message reached an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reached {
    /// It was published to the exchange.
    Published,
    /// Through a binding from this exchange.
    Bound(Arc<str>),
    /// As the alternate of this exchange, where nothing matched.
    Alternate(Arc<str>),
}

/// Bounds of an explanation.
#[derive(Clone, Copy, Debug)]
pub struct ExplainLimits {
    /// Maximum visits in the result.
    pub visits: usize,
    /// Maximum matching bindings listed for each visit, and others.
    pub listed: usize,
    /// Maximum comparisons (of keys, of words, of headers). Bindings beyond are not examined.
    pub work: u64,
}

impl ExplainLimits {
    /// No bounds.
    pub const NONE: Self = Self { visits: usize::MAX, listed: usize::MAX, work: u64::MAX };
}

/// A visit as the walk reports it.
struct Recorded<D> {
    id: ExchangeId,
    reached: Reached,
    held: bool,
    hit: bool,
    targets: FxHashSet<Target<D>>,
}

/// Records a walk.
struct Recorder<'r, D> {
    router: &'r Router<D>,
    /// How the exchanges that are yet to be visited were reached. The walk takes the one found last first, so the last
    /// entry is the one that counts.
    reached: FxHashMap<ExchangeId, Reached>,
    visits: Vec<Recorded<D>>,
    visit_count: usize,
    visits_max: usize,
}

impl<D: QueueId> Watch<D> for Recorder<'_, D> {
    fn visited(&mut self, id: ExchangeId, step: Step<'_, D>) {
        self.visit_count += 1;
        let reached = self.reached.remove(&id).unwrap_or(Reached::Published);
        let name = || Arc::clone(&self.router.at(id).info.name);
        let mut recorded = Recorded { id, reached, held: false, hit: false, targets: FxHashSet::default() };
        match step {
            Step::Held => recorded.held = true,
            Step::Matched { queues, exchanges } => {
                recorded.hit = true;
                self.reached.extend(exchanges.iter().map(|to| (*to, Reached::Bound(name()))));
                recorded.targets.extend(queues.iter().copied().map(Target::Queue));
                recorded.targets.extend(exchanges.iter().copied().map(Target::Exchange));
            }
            Step::Unmatched { alternate } => {
                self.reached.extend(alternate.map(|to| (to, Reached::Alternate(name()))));
            }
        }
        if self.visits.len() < self.visits_max {
            self.visits.push(recorded);
        }
    }
}

impl<D: QueueId> Router<D> {
    /// Routes like [`Router::route`], with the same result, and explains each step. Examines every binding of every
    /// visited exchange, within `limits`.
    pub fn explain(
        &self,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch<D>,
        limits: ExplainLimits,
    ) -> Result<Explanation<D>, RouteError> {
        let mut recorder = Recorder {
            router: self,
            reached: FxHashMap::default(),
            visits: Vec::new(),
            visit_count: 0,
            visits_max: limits.visits,
        };
        let mut queues = Vec::new();
        self.walk(envelope, scratch, &mut queues, &mut recorder)?;
        let mut examiner = Examiner { router: self, envelope, limits, left: limits.work, headers: 0 };
        envelope.attributes.each_header(&mut |_, _| examiner.headers += 1);
        let visits = recorder.visits.into_iter().map(|recorded| examiner.visit(recorded)).collect();
        Ok(Explanation { visits, visit_count: recorder.visit_count, queues })
    }
}

/// Compares bindings with a message.
struct Examiner<'a, D> {
    router: &'a Router<D>,
    envelope: &'a Envelope<'a>,
    limits: ExplainLimits,
    /// Comparisons left.
    left: u64,
    /// Number of the message's headers.
    headers: u64,
}

impl<D: QueueId> Examiner<'_, D> {
    fn visit(&mut self, recorded: Recorded<D>) -> Visit<D> {
        let exchange = self.router.at(recorded.id);
        let alternate = exchange.alternate().map(|name| {
            let exists = self.router.id_of(name.as_bytes()).is_some();
            let used = exists && !recorded.held && !recorded.hit;
            Alternate { name: name.to_owned(), exists, used }
        });
        let mut visit = Visit {
            exchange: exchange.info.clone(),
            reached: recorded.reached,
            held: recorded.held,
            picks_one: exchange.matcher.picks_one(),
            matched: Vec::new(),
            matched_count: 0,
            missed: Vec::new(),
            missed_count: 0,
            unexamined: 0,
            alternate,
        };
        if recorded.held {
            return visit;
        }
        if names::is_default(&exchange.info.name) {
            self.implicit(&recorded.targets, &mut visit);
            return visit;
        }
        for (place, id) in exchange.outgoing.iter().enumerate() {
            let link = &self.router.links[*id];
            let led_to = recorded.targets.contains(&link.target);
            let cost = if led_to { self.cost(visit.exchange.kind.inner, link) } else { 1 };
            let Some(left) = self.left.checked_sub(cost) else {
                visit.unexamined = exchange.outgoing.len() - place;
                break;
            };
            self.left = left;
            self.examine(link, led_to, &mut visit);
        }
        visit
    }

    /// The default exchange: its bindings are the queues.
    fn implicit(&self, targets: &FxHashSet<Target<D>>, visit: &mut Visit<D>) {
        for target in targets {
            if let Target::Queue(queue) = target
                && let Some(name) = self.router.queue_name(*queue)
            {
                visit.matched_count += 1;
                if visit.matched.len() < self.limits.listed {
                    let binding = self.router.show_implicit(name, *queue);
                    visit.matched.push(Match { binding, words: Vec::new() });
                }
            }
        }
        visit.missed_count = self.router.queues.len() - visit.matched_count;
    }

    /// Comparisons needed to test a binding.
    fn cost(&self, kind: InnerKind, link: &Link<D>) -> u64 {
        let words_of = |text: &[u8]| words(text).count() as u64 + 1;
        match kind {
            InnerKind::Topic => {
                let keys: u64 = self.envelope.keys.iter().map(|key| words_of(key)).sum();
                words_of(link.key.as_bytes()) * keys
            }
            InnerKind::Headers => (link.args.len() as u64 + 1) * (self.headers + 1),
            _ => self.envelope.keys.len() as u64 + 1,
        }
    }

    /// `led_to`: the message goes to the binding's destination, through this binding or another.
    fn examine(&self, link: &Link<D>, led_to: bool, visit: &mut Visit<D>) {
        let kind = visit.exchange.kind.inner;
        let first = self.envelope.keys.first().copied().unwrap_or_default();
        if led_to && self.matches(kind, link) {
            visit.matched_count += 1;
            if visit.matched.len() < self.limits.listed {
                let pattern = link.key.as_bytes();
                let mut keys = self.envelope.keys.iter().filter(|_| kind == InnerKind::Topic);
                let key = keys.find(|key| naive::topic(pattern, key));
                let words = key.map(|key| compare_words(pattern, key)).unwrap_or_default();
                visit.matched.push(Match { binding: self.router.show(link), words });
            }
            return;
        }
        visit.missed_count += 1;
        if visit.missed.len() < self.limits.listed {
            let why = match kind {
                InnerKind::Direct => Why::Key,
                InnerKind::Topic => Why::Words(compare_words(link.key.as_bytes(), first)),
                InnerKind::Headers => Why::Headers(compare_headers(&link.args, self.envelope.attributes)),
                InnerKind::FederationUpstream => Why::Horizon,
                _ => Why::NotPicked,
            };
            visit.missed.push(Miss { binding: self.router.show(link), why });
        }
    }

    /// Whether the binding itself matches, by the rule in its plainest form.
    fn matches(&self, kind: InnerKind, link: &Link<D>) -> bool {
        let key = link.key.as_bytes();
        match kind {
            InnerKind::Direct => self.envelope.keys.contains(&key),
            InnerKind::Topic => self.envelope.keys.iter().any(|given| naive::topic(key, given)),
            InnerKind::Headers => naive::headers(&link.args, self.envelope.attributes),
            _ => true,
        }
    }
}
