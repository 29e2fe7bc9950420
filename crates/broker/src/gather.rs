//! Groups a batch of messages by queue, so that each queue's lock is taken once per batch.
//!
//! Invariants: a queue is found in a bounded number of steps, however many there are; memory grown for a large batch is
//! not kept. Absent: operations on the queues.

use leveret_message::QueueId;
use rustc_hash::FxHashMap;

use super::queue_handle::Member;

/// Up to this many queues are searched linearly, newest first: most batches have one or a few.
const SEARCHED_MAX: usize = 8;

/// Member lists kept for reuse.
const SPARE_MAX: usize = 64;

/// A queue and its messages.
pub(super) struct Group<Q> {
    id: QueueId,
    pub(super) queue: Q,
    pub(super) members: Vec<Member>,
}

/// See the module documentation.
pub(super) struct Gather<Q> {
    groups: Vec<Group<Q>>,
    /// All groups, once there are too many for a linear search.
    index: FxHashMap<QueueId, usize>,
    /// Members of all groups.
    members: usize,
    spare: Vec<Vec<Member>>,
    #[cfg(test)]
    steps: usize,
}

impl<Q> Default for Gather<Q> {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            index: FxHashMap::default(),
            members: 0,
            spare: Vec::new(),
            #[cfg(test)]
            steps: 0,
        }
    }
}

impl<Q: Clone> Gather<Q> {
    /// Adds a message for the queue.
    #[inline]
    pub(super) fn add(&mut self, id: QueueId, queue: &Q, member: Member) {
        let at = self.find(id).unwrap_or_else(|| self.open(id, queue.clone()));
        self.groups[at].members.push(member);
        self.members += 1;
    }

    /// Number of gathered messages, counted once per queue.
    pub(super) const fn members(&self) -> usize {
        self.members
    }

    /// Takes all groups, to be returned through [`Gather::done`].
    pub(super) fn take(&mut self) -> Vec<Group<Q>> {
        self.index.clear();
        self.index.shrink_to(SPARE_MAX);
        self.members = 0;
        std::mem::take(&mut self.groups)
    }

    /// Keeps the memory of the groups for reuse, unless it is large.
    pub(super) fn done(&mut self, mut groups: Vec<Group<Q>>) {
        for mut group in groups.drain(..).take(SPARE_MAX.saturating_sub(self.spare.len())) {
            group.members.clear();
            self.spare.push(group.members);
        }
        if groups.capacity() <= SPARE_MAX {
            self.groups = groups;
        }
    }

    fn find(&mut self, id: QueueId) -> Option<usize> {
        if self.groups.len() > SEARCHED_MAX {
            // Usually the last one.
            self.count(1);
            let last = self.groups.last().filter(|last| last.id == id).map(|_| self.groups.len() - 1);
            return last.or_else(|| self.index.get(&id).copied());
        }
        let found = self.groups.iter().rposition(|group| group.id == id);
        self.count(self.groups.len() - found.unwrap_or(0));
        found
    }

    fn open(&mut self, id: QueueId, queue: Q) -> usize {
        let at = self.groups.len();
        let members = self.spare.pop().unwrap_or_default();
        self.groups.push(Group { id, queue, members });
        if at > SEARCHED_MAX {
            self.index.insert(id, at);
        } else if at == SEARCHED_MAX {
            self.index.extend(self.groups.iter().enumerate().map(|(at, group)| (group.id, at)));
        }
        at
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "counted in tests only"))]
    #[inline]
    fn count(&mut self, steps: usize) {
        #[cfg(test)]
        {
            self.steps += steps;
        }
        let _ = steps;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Member = Member { index: 0, only: false, sole: false };

    fn gathered(ids: impl Iterator<Item = u64>) -> Gather<u64> {
        let mut gather = Gather::default();
        ids.enumerate().for_each(|(index, id)| {
            let member = Member { index: u32::try_from(index).expect("few"), ..ONE };
            gather.add(QueueId(id), &id, member);
        });
        gather
    }

    #[test]
    fn each_queue_has_its_messages_in_order() {
        for queues in [1, 3, 8, 9, 10, 40] {
            let mut gather = gathered((0..400).map(|n| n * 7 % queues));
            assert_eq!(gather.members(), 400);
            let groups = gather.take();
            assert_eq!(groups.len() as u64, queues);
            for group in &groups {
                let want = (0..400u32).filter(|n| u64::from(*n) * 7 % queues == group.queue);
                assert!(group.members.iter().map(|member| member.index).eq(want), "{queues} queues");
            }
            gather.done(groups);
            assert_eq!((gather.members(), gather.take().len()), (0, 0));
        }
    }

    #[test]
    fn steps_grow_with_the_messages_not_with_the_queues() {
        let steps = |queues: u64| gathered((0..queues).chain(0..queues)).steps;
        let (few, many) = (steps(1000), steps(4000));
        assert!(many <= few * 4, "{few} steps for 1,000 queues, {many} for 4,000");
        assert!(many <= 4000 * 2 + 100, "{many}");
    }

    #[test]
    fn a_wide_batch_leaves_little_behind() {
        let mut gather = gathered(0..50_000);
        let groups = gather.take();
        gather.done(groups);
        assert!(gather.spare.len() <= SPARE_MAX && gather.groups.capacity() <= SPARE_MAX);
        assert!(gather.index.capacity() <= 2 * SPARE_MAX, "{}", gather.index.capacity());
    }
}
