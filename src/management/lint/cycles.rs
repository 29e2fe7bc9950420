//! Cycles of queues through their dead letters.

use leveret_broker::survey::Leads;
use rustc_hash::FxHashMap;

use super::snapshot::QueueFacts;

/// Queues kept of one cycle.
const NAMED_MAX: usize = 10;

/// A cycle of queues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cycle<'a> {
    /// The queues in order, the first ten of them.
    pub(super) queues: Vec<&'a str>,
    /// One of its queues has a delivery limit.
    pub(super) limited: bool,
}

/// Where the search stands at a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    /// On the path from the start, at this place.
    Open(usize),
    Done,
}

/// Cycles of queues: at least one of every group of queues that lead to each other, and none whose last queue leads
/// back to a queue of a cycle found before.
pub(super) fn dead_letter_cycles(queues: &[QueueFacts]) -> Vec<Cycle<'_>> {
    let places: FxHashMap<&str, usize> =
        queues.iter().enumerate().map(|(place, queue)| (queue.name.as_str(), place)).collect();
    let next: Vec<Vec<usize>> = queues
        .iter()
        .map(|queue| match queue.dead_letters.as_ref().map(|to| &to.leads) {
            Some(Leads::To(names)) => names.iter().filter_map(|name| places.get(&**name).copied()).collect(),
            _ => Vec::new(),
        })
        .collect();
    let (mut marks, mut found) = (vec![Mark::New; queues.len()], vec![false; queues.len()]);
    let mut cycles = Vec::new();
    for start in 0..queues.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open(0);
        let mut path = vec![(start, 0)];
        while let Some((place, way)) = path.last_mut() {
            let (place, to) = (*place, next[*place].get(*way).copied());
            *way += 1;
            let Some(to) = to else {
                marks[place] = Mark::Done;
                path.pop();
                continue;
            };
            match marks[to] {
                Mark::New => {
                    marks[to] = Mark::Open(path.len());
                    path.push((to, 0));
                }
                Mark::Open(at) if !found[to] && !found[place] => {
                    let cycle = || path[at..].iter().map(|(place, _)| *place);
                    cycle().for_each(|place| found[place] = true);
                    cycles.push(Cycle {
                        queues: cycle().take(NAMED_MAX).map(|place| queues[place].name.as_str()).collect(),
                        limited: cycle().any(|place| queues[place].delivery_limit),
                    });
                }
                Mark::Open(_) | Mark::Done => {}
            }
        }
    }
    cycles
}
