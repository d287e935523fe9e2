//! A set of KV blocks that forgets the one touched longest ago when it is full.

use rustc_hash::FxHashMap;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    newer: u32,
    older: u32,
    key: u64,
    /// 0 for a block with a key; otherwise this node stands for so many blocks that nobody will ever ask for.
    private_blocks: u32,
}

/// Least-recently-used set of blocks. Blocks without a key take room like any other, but a whole run of them is one
/// node, as none of them is ever touched again; it shrinks from its oldest block.
#[derive(Clone, Debug)]
pub(super) struct BlockLru {
    capacity: u32,
    blocks: u32,
    nodes: Vec<Node>,
    unused: Vec<u32>,
    by_key: FxHashMap<u64, u32>,
    newest: u32,
    oldest: u32,
}

impl BlockLru {
    pub(super) fn new(capacity: u32) -> Self {
        assert!(capacity > 0, "an LRU set needs room for one block");
        Self {
            capacity,
            blocks: 0,
            nodes: Vec::new(),
            unused: Vec::new(),
            by_key: FxHashMap::default(),
            newest: NONE,
            oldest: NONE,
        }
    }

    /// Makes the block the newest; returns whether it is new to the set. Keys that leave for it go to `evicted`.
    pub(super) fn touch(&mut self, key: u64, evicted: impl FnMut(u64)) -> bool {
        if let Some(&node) = self.by_key.get(&key) {
            self.unlink(node);
            self.link_newest(node);
            return false;
        }
        self.make_room(1, evicted);
        let node = self.insert(key, 0);
        self.by_key.insert(key, node);
        self.blocks += 1;
        true
    }

    /// Adds `blocks` blocks, one after the other, that will never be touched again.
    pub(super) fn add_private(&mut self, blocks: u32, evicted: impl FnMut(u64)) {
        let kept = blocks.min(self.capacity);
        if kept > 0 {
            self.make_room(kept, evicted);
            self.insert(0, kept);
            self.blocks += kept;
        }
    }

    /// Drops the oldest blocks until `room` more fit.
    fn make_room(&mut self, room: u32, mut evicted: impl FnMut(u64)) {
        while self.blocks + room > self.capacity {
            let excess = self.blocks + room - self.capacity;
            let oldest = self.oldest;
            let node = &mut self.nodes[oldest as usize];
            if node.private_blocks > excess {
                node.private_blocks -= excess;
                self.blocks -= excess;
                return;
            }
            self.blocks -= node.private_blocks.max(1);
            if node.private_blocks == 0 {
                let key = node.key;
                self.by_key.remove(&key);
                evicted(key);
            }
            self.unlink(oldest);
            self.unused.push(oldest);
        }
    }

    fn insert(&mut self, key: u64, private_blocks: u32) -> u32 {
        let node = Node { newer: NONE, older: NONE, key, private_blocks };
        let index = if let Some(index) = self.unused.pop() {
            self.nodes[index as usize] = node;
            index
        } else {
            self.nodes.push(node);
            self.nodes.len() as u32 - 1
        };
        self.link_newest(index);
        index
    }

    fn link_newest(&mut self, index: u32) {
        let second = self.newest;
        let node = &mut self.nodes[index as usize];
        (node.newer, node.older) = (NONE, second);
        if second == NONE {
            self.oldest = index;
        } else {
            self.nodes[second as usize].newer = index;
        }
        self.newest = index;
    }

    fn unlink(&mut self, index: u32) {
        let Node { newer, older, .. } = self.nodes[index as usize];
        if newer == NONE {
            self.newest = older;
        } else {
            self.nodes[newer as usize].older = older;
        }
        if older == NONE {
            self.oldest = newer;
        } else {
            self.nodes[older as usize].newer = newer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same set, block by block: oldest first, blocks without a key as `None`.
    fn touch_plain(set: &mut Vec<Option<u64>>, capacity: usize, block: Option<u64>, gone: &mut Vec<u64>) {
        if let Some(at) = set.iter().position(|&b| b.is_some() && b == block) {
            set.remove(at);
        } else if set.len() == capacity {
            gone.extend(set.remove(0));
        }
        set.push(block);
    }

    fn contents(lru: &BlockLru) -> Vec<Option<u64>> {
        let (mut blocks, mut index) = (Vec::new(), lru.oldest);
        while index != NONE {
            let node = lru.nodes[index as usize];
            match node.private_blocks {
                0 => blocks.push(Some(node.key)),
                n => blocks.extend((0..n).map(|_| None)),
            }
            index = node.newer;
        }
        blocks
    }

    proptest! {
        /// A run of private blocks behaves as that many blocks added one by one.
        #[test]
        fn it_equals_a_block_by_block_lru(
            prompts in prop::collection::vec(
                prop_oneof![(1u32..12).prop_map(Err), prop::collection::vec(0u64..12, 0..8).prop_map(Ok)], 0..60),
            capacity in 1u32..10,
        ) {
            let mut lru = BlockLru::new(capacity);
            let mut plain = Vec::new();
            for prompt in prompts {
                let (mut gone, mut plain_gone) = (Vec::new(), Vec::new());
                match prompt {
                    Ok(keys) => for key in keys {
                        let fresh = !plain.contains(&Some(key));
                        prop_assert_eq!(lru.touch(key, |k| gone.push(k)), fresh);
                        touch_plain(&mut plain, capacity as usize, Some(key), &mut plain_gone);
                    },
                    Err(blocks) => {
                        lru.add_private(blocks, |k| gone.push(k));
                        for _ in 0..blocks {
                            touch_plain(&mut plain, capacity as usize, None, &mut plain_gone);
                        }
                    }
                }
                prop_assert_eq!(gone, plain_gone);
                prop_assert_eq!(contents(&lru), plain.clone());
                prop_assert_eq!(lru.blocks as usize, plain.len());
            }
        }
    }
}
