//! The CPU tier: a second level that mirrors full, keyed GPU blocks and gives them back before an allocation.

use super::recency::Recency;
use crate::config::CpuTierConfig;
use blis_kernel::Tick;
use rustc_hash::FxHashMap;

/// The keys that the tier holds, in the order of their last use.
#[derive(Debug)]
pub(super) struct CpuTier {
    capacity: usize,
    latency_per_block: Tick,
    positions: FxHashMap<u64, u32>,
    recency: Recency,
    pending_latency: Tick,
    misses: u64,
    stored: u64,
    evicted: u64,
}

impl CpuTier {
    /// Reloading one block takes `base + ceil(block_tokens / bandwidth)`; the bandwidth is in tokens per microsecond.
    pub(super) fn new(config: CpuTierConfig, block_tokens: u32) -> Self {
        let transfer = (f64::from(block_tokens) / config.bandwidth_tokens_per_us).ceil();
        Self {
            capacity: config.blocks as usize,
            latency_per_block: config.base_latency + Tick::trunc(transfer),
            positions: FxHashMap::default(),
            recency: Recency::default(),
            pending_latency: Tick::ZERO,
            misses: 0,
            stored: 0,
            evicted: 0,
        }
    }

    /// Its content is lost; the counters stay.
    pub(super) fn clear(&mut self) {
        self.positions.clear();
        self.recency = Recency::default();
        self.pending_latency = Tick::ZERO;
    }

    pub(super) fn misses(&self) -> u64 {
        self.misses
    }

    /// An allocation was refused with nothing to reload.
    pub(super) fn miss(&mut self) {
        self.misses += 1;
    }

    pub(super) fn thrashing(&self) -> (u64, u64) {
        (self.evicted, self.stored)
    }

    pub(super) fn take_latency(&mut self) -> Tick {
        std::mem::take(&mut self.pending_latency)
    }

    pub(super) fn holds(&self, key: u64) -> bool {
        self.positions.contains_key(&key)
    }

    /// The GPU takes a copy of a block that the tier holds; the step in which it does so takes longer.
    pub(super) fn reload(&mut self, key: u64) {
        self.touch(key);
        self.pending_latency += self.latency_per_block;
    }

    /// Makes a held key the most recent; false when it is not held.
    fn touch(&mut self, key: u64) -> bool {
        let Some(&at) = self.positions.get(&key) else { return false };
        self.recency.touch(at);
        true
    }

    /// Stores a key as the most recent, in place of the oldest when the tier is full.
    pub(super) fn store(&mut self, key: u64) {
        if self.touch(key) {
            return;
        }
        self.stored += 1;
        if self.recency.len() == self.capacity
            && let Some(oldest) = self.recency.pop_oldest()
        {
            self.positions.remove(&oldest);
            self.evicted += 1;
        }
        self.positions.insert(key, self.recency.push(key));
    }
}
