//! The CPU tier: a second level that mirrors full, keyed GPU blocks and gives them back before an allocation.

use super::{Block, Hold, KvCache, Own, chained_key};
use crate::config::CpuTierConfig;
use blis_kernel::Tick;
use rustc_hash::FxHashMap;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    key: u64,
    older: u32,
    newer: u32,
}

/// The keys that the tier holds, oldest use first.
#[derive(Debug)]
pub(super) struct CpuTier {
    capacity: usize,
    latency_per_block: Tick,
    reloads_in_allocations: bool,
    positions: FxHashMap<u64, u32>,
    nodes: Vec<Node>,
    oldest: u32,
    newest: u32,
    pending_latency: Tick,
    misses: u64,
    stored: u64,
    evicted: u64,
}

impl CpuTier {
    /// Reloading one block takes `base + ceil(block_tokens / bandwidth)`; the bandwidth is in tokens per microsecond.
    pub(super) fn new(config: CpuTierConfig, reloads_in_allocations: bool, block_tokens: u32) -> Self {
        let transfer = (f64::from(block_tokens) / config.bandwidth_tokens_per_us).ceil();
        Self {
            capacity: config.blocks as usize,
            latency_per_block: config.base_latency + Tick::trunc(transfer),
            reloads_in_allocations,
            positions: FxHashMap::default(),
            nodes: Vec::new(),
            oldest: NONE,
            newest: NONE,
            pending_latency: Tick::ZERO,
            misses: 0,
            stored: 0,
            evicted: 0,
        }
    }

    pub(super) fn misses(&self) -> u64 {
        self.misses
    }

    pub(super) fn thrashing_rate(&self) -> f64 {
        if self.stored == 0 { 0.0 } else { self.evicted as f64 / self.stored as f64 }
    }

    pub(super) fn take_latency(&mut self) -> Tick {
        std::mem::take(&mut self.pending_latency)
    }

    fn unlink(&mut self, id: u32) {
        let Node { older, newer, .. } = self.nodes[id as usize];
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

    fn link_newest(&mut self, id: u32) {
        self.nodes[id as usize].older = self.newest;
        self.nodes[id as usize].newer = NONE;
        if self.newest == NONE {
            self.oldest = id;
        } else {
            self.nodes[self.newest as usize].newer = id;
        }
        self.newest = id;
    }

    /// Makes a held key the most recent; false when it is not held.
    fn touch(&mut self, key: u64) -> bool {
        let Some(&id) = self.positions.get(&key) else { return false };
        if self.newest != id {
            self.unlink(id);
            self.link_newest(id);
        }
        true
    }

    /// Stores a key as the most recent, in place of the oldest when the tier is full.
    fn store(&mut self, key: u64) {
        if self.touch(key) {
            return;
        }
        self.stored += 1;
        let id = if self.positions.len() == self.capacity {
            let id = self.oldest;
            self.unlink(id);
            self.positions.remove(&self.nodes[id as usize].key);
            self.evicted += 1;
            self.nodes[id as usize].key = key;
            id
        } else {
            self.nodes.push(Node { key, older: NONE, newer: NONE });
            (self.nodes.len() - 1) as u32
        };
        self.positions.insert(key, id);
        self.link_newest(id);
    }
}

impl KvCache {
    /// Tells how many full blocks the request's prompt has; only a lower tier asks.
    pub fn set_prompt_blocks(&mut self, slot: u32, count: u32) {
        if let Hold::Listed { prompt_blocks, .. } = &mut self.holds[slot as usize] {
            *prompt_blocks = count;
        }
    }

    /// Before a prefill is sized: brings prompt blocks that only the CPU tier holds back into free GPU blocks, from
    /// block `cached` up to the first one that neither level has. The cached ones in front stay. Returns how many;
    /// none where every allocation reloads for itself.
    pub fn reload_for_admission(&mut self, slot: u32, cached: u32) -> u32 {
        if self.cpu.as_ref().is_none_or(|cpu| cpu.reloads_in_allocations) {
            return 0;
        }
        let mut most = self.free.len();
        if let Hold::Listed { keys, .. } = &self.holds[slot as usize] {
            for key in &keys[..cached as usize] {
                let id = self.index[key];
                if self.blocks[id as usize].references == 0 {
                    self.free.unlink_block(id);
                    self.free.push_block(id);
                    most -= 1;
                }
            }
        }
        self.reload(slot, cached, most)
    }

    /// Reloads at most `most` blocks, from block `cached` or the end of what the request holds.
    fn reload(&mut self, slot: u32, cached: u32, most: u32) -> u32 {
        let Some(mut cpu) = self.cpu.take() else { return 0 };
        let Hold::Listed { blocks, keys, prompt_blocks, .. } = &mut self.holds[slot as usize] else {
            unreachable!("slot {slot} is not listed")
        };
        // The chain goes on from the last block held or cached.
        let start = (cached as usize).max(blocks.len());
        let mut before = match blocks.last() {
            Some(&last) if blocks.len() > cached as usize => self.blocks[last as usize].key,
            _ => start.checked_sub(1).map(|last| keys[last]),
        };
        let end = *prompt_blocks as usize;
        let keys = std::mem::take(keys);
        let mut reloaded = 0;
        for n in start..end {
            let key = chained_key(before, &keys, n);
            before = Some(key);
            if self.index.contains_key(&key) {
                continue;
            }
            if reloaded == most || !cpu.touch(key) {
                break;
            }
            self.take(1);
            let id = self.new_block(Block { references: 0, fill: self.block_tokens, key: None });
            self.publish(id, key);
            self.free.push_block(id);
            cpu.pending_latency += cpu.latency_per_block;
            reloaded += 1;
        }
        if let Hold::Listed { keys: place, .. } = &mut self.holds[slot as usize] {
            *place = keys;
        }
        self.cpu = Some(cpu);
        reloaded
    }

    /// An allocation of tokens `from .. to`, where the tier reloads in allocations with a reload before it.
    pub(super) fn extend_tiered(
        &mut self,
        slot: u32,
        from: u64,
        to: u64,
        cached: u32,
        prefill: bool,
    ) -> bool {
        if !self.cpu.as_ref().is_some_and(|cpu| cpu.reloads_in_allocations) {
            return self.extend_or_miss(slot, from, to - from, cached, prefill);
        }
        // What was found before the reload is claimed as it is, even where the reload took the block meanwhile.
        let mut cached_ids = Vec::new();
        if let Hold::Listed { keys, .. } = &self.holds[slot as usize] {
            self.find(&keys[..cached as usize], &mut cached_ids);
        }
        if self.reload(slot, cached, self.free.len()) == 0 {
            return self.extend_or_miss(slot, from, to - from, cached, prefill);
        }
        let size = u64::from(self.block_tokens);
        let Hold::Listed { mut blocks, mut tokens, keys, prompt_blocks, mut ahead_tokens } =
            std::mem::replace(&mut self.holds[slot as usize], Hold::Vacant)
        else {
            unreachable!("slot {slot} is not listed")
        };
        let found = self.leading_cached(&keys, prompt_blocks as usize);
        let covered = found as u64 * size;
        let mut own =
            Own { blocks: &mut blocks, tokens: &mut tokens, keys: &keys, ahead_tokens: &mut ahead_tokens };
        let accepted = if covered <= from {
            self.grow(&mut own, from, to - from, &cached_ids, prefill)
        } else {
            let low = if own.blocks.is_empty() { 0 } else { from.div_ceil(size) as usize };
            let high = if covered >= to { (to.div_ceil(size) as usize).min(found) } else { found };
            self.find(&keys[..found], &mut cached_ids);
            self.claim_for(&mut own, cached_ids.get(low..high).unwrap_or_default());
            // Blocks in front that it holds twice count as to be claimed, though they are not.
            covered >= to || self.grow(&mut own, covered, to - covered, &cached_ids, prefill)
        };
        self.holds[slot as usize] = Hold::Listed { blocks, tokens, keys, prompt_blocks, ahead_tokens };
        accepted
    }

    /// A plain allocation; a refusal is a miss of the tier too.
    fn extend_or_miss(&mut self, slot: u32, from: u64, new: u64, cached: u32, prefill: bool) -> bool {
        let accepted = self.extend_listed(slot, from, new, cached, prefill);
        if !accepted && let Some(cpu) = &mut self.cpu {
            cpu.misses += 1;
        }
        accepted
    }

    /// Mirrors the full, keyed blocks of a request into the CPU tier; called for each member of the batch, in order.
    pub fn mirror(&mut self, slot: u32) {
        let Some(cpu) = &mut self.cpu else { return };
        let Hold::Listed { blocks, .. } = &self.holds[slot as usize] else { return };
        for &id in blocks {
            let block = &self.blocks[id as usize];
            if block.fill == self.block_tokens
                && let Some(key) = block.key
            {
                cpu.store(key);
            }
        }
    }
}
