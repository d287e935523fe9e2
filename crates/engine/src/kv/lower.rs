//! What lies below the GPU's blocks, and how it gives them back.

use super::cpu_tier::CpuTier;
use super::offload::{Fetch, OffloadChain, OffloadFigures, Whereabouts};
use super::{Block, Hold, KvCache, Own, chained_key};
use crate::config::InstanceConfig;
use blis_kernel::{RequestName, Tick};

/// The level below.
#[derive(Debug)]
pub(super) enum Lower {
    /// One tier.
    Cpu(CpuTier),
    /// A chain of them.
    Chain(Box<OffloadChain>),
}

impl Lower {
    /// What the configuration asks for.
    ///
    /// # Panics
    /// When it asks for both.
    pub(super) fn new(config: &InstanceConfig) -> Option<Self> {
        assert!(config.cpu_tier.is_none() || config.offload.is_none(), "a CPU tier and a chain of tiers");
        let cpu = config.cpu_tier.map(|tier| Self::Cpu(CpuTier::new(tier, config.block_tokens)));
        cpu.or_else(|| Some(Self::Chain(Box::new(OffloadChain::new(config.offload.clone()?)))))
    }

    pub(super) fn misses(&self) -> u64 {
        match self {
            Self::Cpu(tier) => tier.misses(),
            Self::Chain(chain) => chain.misses(),
        }
    }

    pub(super) fn thrashing(&self) -> (u64, u64) {
        match self {
            Self::Cpu(tier) => tier.thrashing(),
            Self::Chain(chain) => chain.thrashing(),
        }
    }

    pub(super) fn take_latency(&mut self) -> Tick {
        match self {
            Self::Cpu(tier) => tier.take_latency(),
            Self::Chain(_) => Tick::ZERO,
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Cpu(tier) => tier.clear(),
            Self::Chain(chain) => chain.clear(),
        }
    }

    fn miss(&mut self) {
        match self {
            Self::Cpu(tier) => tier.miss(),
            Self::Chain(chain) => chain.miss(),
        }
    }

    fn holds(&self, key: u64) -> bool {
        match self {
            Self::Cpu(tier) => tier.holds(key),
            Self::Chain(chain) => chain.whereabouts(key) == Whereabouts::Cpu,
        }
    }

    fn reload(&mut self, key: u64) {
        match self {
            Self::Cpu(tier) => tier.reload(key),
            Self::Chain(chain) => chain.reload(key),
        }
    }
}

/// What the chain says to the admission of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchAnswer {
    /// Go on.
    Nothing,
    /// Its blocks come from a device: others first.
    Waits,
    /// They could, but there is no room: it goes on without them in the next step.
    NoRoom,
}

/// The keys of a chain from block `n` on when `before` is the key of the block in front of that.
fn keys_from(mut before: Option<u64>, keys: &[u64], n: usize) -> impl Iterator<Item = u64> {
    (n..keys.len()).map(move |n| {
        let key = chained_key(before, keys, n);
        before = Some(key);
        key
    })
}

impl KvCache {
    /// Tells how many full blocks the request's prompt has; only a lower tier asks.
    pub fn set_prompt_blocks(&mut self, slot: u32, count: u32) {
        if let Hold::Listed { prompt_blocks, .. } = &mut self.holds[slot as usize] {
            *prompt_blocks = count;
        }
    }

    /// Whether there is a chain of tiers.
    #[inline]
    pub fn has_chain(&self) -> bool {
        matches!(self.lower, Some(Lower::Chain(_)))
    }

    fn chain(&self) -> Option<&OffloadChain> {
        if let Some(Lower::Chain(chain)) = &self.lower { Some(chain) } else { None }
    }

    fn chain_mut(&mut self) -> Option<&mut OffloadChain> {
        if let Some(Lower::Chain(chain)) = &mut self.lower { Some(chain) } else { None }
    }

    /// A step is formed at `now`: transfers that have finished have their effect.
    pub fn begin_step(&mut self, now: Tick) {
        if let Some(chain) = self.chain_mut() {
            chain.begin_step(now);
        }
    }

    /// Looks how far the fetches of deferred requests are.
    pub fn poll_deferrals(&mut self) {
        if let Some(chain) = self.chain_mut() {
            chain.poll_deferrals();
        }
    }

    /// Whether the request waits for its blocks.
    pub fn is_deferred(&self, slot: u32) -> bool {
        self.chain().is_some_and(|chain| chain.waits(slot))
    }

    /// The request is admitted or gone.
    pub fn forget_deferral(&mut self, slot: u32) {
        if let Some(chain) = self.chain_mut() {
            chain.forget(slot);
        }
    }

    /// When a look at transfers and fetches can find something new, if the last look was now and a look takes `look`;
    /// [`Tick::MAX`] when nothing is on its way.
    pub fn next_news(&self, look: Tick) -> Tick {
        self.chain().map_or(Tick::MAX, |chain| chain.next_news(look))
    }

    pub(super) fn audit_chain(&self, is_over: bool) {
        if let Some(chain) = self.chain() {
            chain.audit(is_over);
        }
    }

    /// What the chain did, if there is one.
    pub fn offload_figures(&self) -> Option<OffloadFigures> {
        self.chain().map(OffloadChain::figures)
    }

    /// Before a request that waits is admitted with `cached` blocks of its prompt found: if one of the next blocks, up
    /// to block `end` of the prompt, is on a device or on its way from there, the request is put off.
    pub fn fetch(&mut self, slot: u32, name: &RequestName, cached: u32, end: u32) -> FetchAnswer {
        let Some(chain) = self.chain() else { return FetchAnswer::Nothing };
        let Hold::Listed { blocks, keys, prompt_blocks, .. } = &self.holds[slot as usize] else {
            unreachable!("slot {slot} is not listed")
        };
        if !chain.has_devices() || !blocks.is_empty() || chain.is_decided(slot) {
            return FetchAnswer::Nothing;
        }
        let end = end.min(*prompt_blocks) as usize;
        let before = (cached as usize).checked_sub(1).map(|last| keys[last]);
        let Some(fetch) = self.fetch_of(chain, keys_from(before, &keys[..end], cached as usize)) else {
            return FetchAnswer::Nothing;
        };
        let chain = self.chain_mut().expect("a chain that was seen");
        chain.defer(slot, name.to_string(), fetch);
        if chain.waits(slot) { FetchAnswer::Waits } else { FetchAnswer::NoRoom }
    }

    /// The first blocks among these that must come from a device.
    fn fetch_of(&self, chain: &OffloadChain, keys: impl Iterator<Item = u64>) -> Option<Fetch> {
        let mut keys = keys
            .skip_while(|key| self.index.contains_key(key) || chain.whereabouts(*key) == Whereabouts::Cpu);
        let first = keys.next()?;
        match chain.whereabouts(first) {
            Whereabouts::Arriving => Some(Fetch::Arriving(first)),
            Whereabouts::Device(tier) => {
                Some(Fetch::FromDevice { tier, keys: self.run_of(chain, tier, first, keys) })
            }
            Whereabouts::Cpu | Whereabouts::Nowhere => None,
        }
    }

    /// `first` and those of the next keys that the same device holds, up to one that is elsewhere.
    fn run_of(
        &self,
        chain: &OffloadChain,
        tier: usize,
        first: u64,
        next: impl Iterator<Item = u64>,
    ) -> Vec<u64> {
        let next = next.take_while(|key| {
            !self.index.contains_key(key) && chain.whereabouts(*key) == Whereabouts::Device(tier)
        });
        std::iter::once(first).chain(next).collect()
    }

    /// Before a prefill is sized: brings prompt blocks that only the level below holds back into free GPU blocks, from
    /// block `cached` up to block `end` or the first one that neither level has. The cached ones in front stay. Returns
    /// how many; none where every allocation reloads for itself.
    pub fn reload_for_admission(&mut self, slot: u32, cached: u32, end: u32) -> u32 {
        if self.lower.is_none() || self.reloads_in_allocations {
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
        self.reload(slot, cached, end, most)
    }

    /// Reloads at most `most` blocks, from block `cached` or the end of what the request holds up to block `end` of the
    /// prompt. A chain begins to fetch what comes next from a device.
    fn reload(&mut self, slot: u32, cached: u32, end: u32, most: u32) -> u32 {
        let Some(mut lower) = self.lower.take() else { return 0 };
        let Hold::Listed { blocks, keys, prompt_blocks, .. } = &mut self.holds[slot as usize] else {
            unreachable!("slot {slot} is not listed")
        };
        // The chain of keys goes on from the last block held or cached.
        let start = (cached as usize).max(blocks.len());
        let before = match blocks.last() {
            Some(&last) if blocks.len() > cached as usize => self.blocks[last as usize].key,
            _ => start.checked_sub(1).map(|last| keys[last]),
        };
        let end = (*prompt_blocks).min(end) as usize;
        let keys = std::mem::take(keys);
        let mut reloaded = 0;
        {
            let mut next = keys_from(before, &keys[..end], start);
            while let Some(key) = next.next() {
                if self.index.contains_key(&key) {
                    continue;
                }
                if !lower.holds(key) {
                    if let Lower::Chain(chain) = &mut lower
                        && let Whereabouts::Device(tier) = chain.whereabouts(key)
                    {
                        let run = self.run_of(chain, tier, key, next);
                        chain.promote(tier, run);
                    }
                    break;
                }
                if reloaded == most {
                    break;
                }
                lower.reload(key);
                self.take(1);
                let id = self.new_block(Block { references: 0, fill: self.block_tokens, key: None });
                self.publish(id, key);
                self.free.push_block(id);
                reloaded += 1;
            }
        }
        if let Hold::Listed { keys: place, .. } = &mut self.holds[slot as usize] {
            *place = keys;
        }
        self.lower = Some(lower);
        reloaded
    }

    /// An allocation of tokens `from .. to`, where there is a level below that reloads in allocations with a reload
    /// before it.
    pub(super) fn extend_tiered(
        &mut self,
        slot: u32,
        from: u64,
        to: u64,
        cached: u32,
        prefill: bool,
    ) -> bool {
        if !self.reloads_in_allocations {
            return self.extend_or_miss(slot, from, to - from, cached, prefill);
        }
        // What was found before the reload is claimed as it is, even where the reload took the block meanwhile.
        let mut cached_ids = Vec::new();
        if let Hold::Listed { keys, .. } = &self.holds[slot as usize] {
            self.find(&keys[..cached as usize], &mut cached_ids);
        }
        if self.reload(slot, cached, u32::MAX, self.free.len()) == 0 {
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

    /// A plain allocation; a refusal is a miss of the level below too.
    fn extend_or_miss(&mut self, slot: u32, from: u64, new: u64, cached: u32, prefill: bool) -> bool {
        let accepted = self.extend_listed(slot, from, new, cached, prefill);
        if !accepted && let Some(lower) = &mut self.lower {
            lower.miss();
        }
        accepted
    }

    /// Copies the full, keyed blocks of a request with a prompt of `input_tokens` to the level below; called for each
    /// member of the batch, in order.
    pub fn mirror(&mut self, slot: u32, input_tokens: u32, now: Tick) {
        let Hold::Listed { blocks, .. } = &self.holds[slot as usize] else { return };
        let Some(lower) = &mut self.lower else { return };
        let mut count = blocks.len();
        if let Lower::Chain(chain) = lower {
            chain.set_time(now);
            if chain.prompt_only() {
                count = count.min((input_tokens / self.block_tokens) as usize);
            }
        }
        for &id in &blocks[..count] {
            let block = &self.blocks[id as usize];
            if block.fill == self.block_tokens
                && let Some(key) = block.key
            {
                match lower {
                    Lower::Cpu(tier) => tier.store(key),
                    Lower::Chain(chain) => chain.store(key),
                }
            }
        }
    }
}
