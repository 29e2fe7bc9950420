//! Topic exchanges: a trie over words.
//!
//! Patterns without wildcards are whole keys in a map; the trie holds the others. A key is walked as a set of nodes,
//! word by word. A `#` node, once reached, stays reached: its bindings match at once, and only patterns that continue
//! after it are examined again for each further word. Each node is entered at most once per word, so a walk costs at
//! most words times nodes, however many `#` there are. `#.#` is stored as `#`, which is equivalent.

use hashbrown::HashMap;

use crate::QueueId;
use crate::matcher::Sink;
use crate::matcher::direct::Direct;
use crate::naive::words;
use crate::scratch::TopicWork;
use crate::targets::{Target, TargetSet};

const ROOT: u32 = 0;
/// No node: the root is never a child.
const NONE: u32 = 0;

pub(crate) struct Topic<D> {
    exact: Direct<D>,
    /// Words of the trie's patterns. Clients choose the contents of both maps, hence secret seeds.
    words: HashMap<Box<[u8]>, Word>,
    free_words: Vec<u32>,
    next_word: u32,
    nodes: Vec<Node<D>>,
    free_nodes: Vec<u32>,
    /// (node, word) to the child. One table for the edges of all nodes: most have one or none.
    edges: HashMap<(u32, u32), u32>,
}

struct Word {
    id: u32,
    edges: u32,
}

struct Node<D> {
    targets: TargetSet<D>,
    star: u32,
    many: u32,
    literals: u32,
}

/// One component of a pattern, and of the path to a node.
#[derive(Clone, Copy)]
enum Part<'a> {
    Word(&'a [u8]),
    Star,
    Many,
}

impl<D> Default for Node<D> {
    fn default() -> Self {
        Self { targets: TargetSet::default(), star: NONE, many: NONE, literals: 0 }
    }
}

impl<D: QueueId> Node<D> {
    const fn is_leaf(&self) -> bool {
        self.star == NONE && self.many == NONE && self.literals == 0
    }
}

impl<D> Default for Topic<D> {
    fn default() -> Self {
        Self {
            exact: Direct::default(),
            words: HashMap::new(),
            free_words: Vec::new(),
            next_word: 0,
            nodes: vec![Node::default()],
            free_nodes: Vec::new(),
            edges: HashMap::new(),
        }
    }
}

fn has_wildcard(pattern: &str) -> bool {
    words(pattern.as_bytes()).any(|word| word == b"*" || word == b"#")
}

/// The components of a pattern, with adjacent `#` merged.
fn parts(pattern: &str) -> impl Iterator<Item = Part<'_>> {
    let mut after_many = false;
    words(pattern.as_bytes()).filter_map(move |word| {
        let part = match word {
            b"#" if after_many => return None,
            b"#" => Part::Many,
            b"*" => Part::Star,
            word => Part::Word(word),
        };
        after_many = matches!(part, Part::Many);
        Some(part)
    })
}

impl<D: QueueId> Topic<D> {
    pub(super) fn add(&mut self, pattern: &str, target: Target<D>) {
        if !has_wildcard(pattern) {
            self.exact.add(pattern, target);
            return;
        }
        let mut node = ROOT;
        for part in parts(pattern) {
            node = match self.child(node, part) {
                NONE => self.add_child(node, part),
                child => child,
            };
        }
        self.nodes[node as usize].targets.add(target);
    }

    pub(super) fn remove(&mut self, pattern: &str, target: Target<D>) {
        if !has_wildcard(pattern) {
            self.exact.remove(pattern, target);
            return;
        }
        let mut way = Vec::new();
        let mut node = ROOT;
        for part in parts(pattern) {
            let child = self.child(node, part);
            if child == NONE {
                return;
            }
            way.push((node, part, child));
            node = child;
        }
        self.nodes[node as usize].targets.remove(target);
        for (parent, part, child) in way.into_iter().rev() {
            let node = &self.nodes[child as usize];
            if !node.is_leaf() || !node.targets.is_empty() {
                break;
            }
            self.remove_child(parent, part, child);
        }
    }

    fn child(&self, node: u32, part: Part<'_>) -> u32 {
        match part {
            Part::Star => self.nodes[node as usize].star,
            Part::Many => self.nodes[node as usize].many,
            Part::Word(word) => {
                let word = self.words.get(word).map(|word| word.id);
                let edge = word.and_then(|word| self.edges.get(&(node, word)));
                edge.copied().unwrap_or(NONE)
            }
        }
    }

    fn add_child(&mut self, node: u32, part: Part<'_>) -> u32 {
        let child = self.free_nodes.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 nodes fit into memory")
        });
        let parent = &mut self.nodes[node as usize];
        match part {
            Part::Star => parent.star = child,
            Part::Many => parent.many = child,
            Part::Word(word) => {
                parent.literals += 1;
                let word = self.words.entry(word.into()).or_insert_with(|| Word {
                    id: self.free_words.pop().unwrap_or_else(|| {
                        self.next_word += 1;
                        self.next_word
                    }),
                    edges: 0,
                });
                word.edges += 1;
                self.edges.insert((node, word.id), child);
            }
        }
        child
    }

    fn remove_child(&mut self, node: u32, part: Part<'_>, child: u32) {
        let parent = &mut self.nodes[node as usize];
        match part {
            Part::Star => parent.star = NONE,
            Part::Many => parent.many = NONE,
            Part::Word(text) => {
                parent.literals -= 1;
                if let Some(word) = self.words.get_mut(text) {
                    self.edges.remove(&(node, word.id));
                    word.edges -= 1;
                    if word.edges == 0 {
                        self.free_words.push(word.id);
                        self.words.remove(text);
                    }
                }
            }
        }
        self.nodes[child as usize] = Node::default();
        self.free_nodes.push(child);
    }

    pub(super) fn route(&self, key: &[u8], states: &mut TopicWork, sink: &mut Sink<'_, D>) {
        if !self.exact.is_empty() {
            self.exact.route(key, sink);
        }
        if self.nodes[ROOT as usize].is_leaf() {
            return;
        }
        states.active.clear();
        states.many.clear();
        states.roaming.clear();
        let mut active = std::mem::take(&mut states.active);
        let mut next = std::mem::take(&mut states.next);
        self.enter(ROOT, &mut active, states, sink);
        for word in words(key) {
            let word = self.words.get(word).map(|word| word.id);
            next.clear();
            // A `#` reached by this word takes part from the next word on.
            let roaming = states.roaming.len();
            for node in &active {
                self.step(*node, word, &mut next, states, sink);
            }
            for place in 0..roaming {
                self.step(states.roaming[place], word, &mut next, states, sink);
            }
            std::mem::swap(&mut active, &mut next);
            if active.is_empty() && states.roaming.is_empty() {
                break;
            }
        }
        for node in &active {
            sink.add(&self.nodes[*node as usize].targets);
        }
        states.active = active;
        states.next = next;
    }

    /// Follows `word` from `node`; no id: no pattern has this word.
    #[inline]
    fn step(
        &self,
        node: u32,
        word: Option<u32>,
        next: &mut Vec<u32>,
        states: &mut TopicWork,
        sink: &mut Sink<'_, D>,
    ) {
        let from = &self.nodes[node as usize];
        if from.star != NONE {
            self.enter(from.star, next, states, sink);
        }
        if from.literals > 0
            && let Some(word) = word
            && let Some(child) = self.edges.get(&(node, word))
        {
            self.enter(*child, next, states, sink);
        }
    }

    /// Enters `node`, and with it a `#` child, which may match zero words.
    #[inline]
    fn enter(&self, node: u32, reached: &mut Vec<u32>, states: &mut TopicWork, sink: &mut Sink<'_, D>) {
        reached.push(node);
        let many = self.nodes[node as usize].many;
        if many != NONE && states.many.insert(many) {
            let node = &self.nodes[many as usize];
            sink.add(&node.targets);
            if !node.is_leaf() {
                states.roaming.push(many);
            }
        }
    }
}
