//! Keys in the order of their last use.

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    key: u64,
    older: u32,
    newer: u32,
}

/// A doubly linked list over an arena; a key is reached by the position that it got when it came in.
#[derive(Debug)]
pub(super) struct Recency {
    nodes: Vec<Node>,
    vacant: Vec<u32>,
    oldest: u32,
    newest: u32,
    len: usize,
}

impl Default for Recency {
    fn default() -> Self {
        Self { nodes: Vec::new(), vacant: Vec::new(), oldest: NONE, newest: NONE, len: 0 }
    }
}

impl Recency {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a key as the most recent and tells its position.
    pub(super) fn push(&mut self, key: u64) -> u32 {
        self.len += 1;
        let node = Node { key, older: NONE, newer: NONE };
        let at = if let Some(at) = self.vacant.pop() {
            self.nodes[at as usize] = node;
            at
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        };
        self.link_newest(at);
        at
    }

    /// Makes a key the most recent.
    pub(super) fn touch(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, at: u32) {
        self.unlink(at);
        self.vacant.push(at);
        self.len -= 1;
    }

    /// Takes the oldest key out.
    pub(super) fn pop_oldest(&mut self) -> Option<u64> {
        let node = self.nodes.get(self.oldest as usize).copied()?;
        self.remove(self.oldest);
        Some(node.key)
    }

    fn unlink(&mut self, at: u32) {
        let Node { older, newer, .. } = self.nodes[at as usize];
        if older == NONE {
            self.oldest = newer;
        } else {
            self.nodes[older as usize].newer = newer;
        }
        if newer == NONE {
            self.newest = older;
        } else {
            self.nodes[newer as usize].older = older;
        }
    }

    fn link_newest(&mut self, at: u32) {
        self.nodes[at as usize].older = self.newest;
        self.nodes[at as usize].newer = NONE;
        if self.newest == NONE {
            self.oldest = at;
        } else {
            self.nodes[self.newest as usize].newer = at;
        }
        self.newest = at;
    }
}
