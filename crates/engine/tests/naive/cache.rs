//! The KV cache with every block and every token spelled out: reference counts, contents, a free list, and the CPU
//! tier that mirrors it.

use super::chain::{Chain, Place};
use crate::common::Scenario;
use blis_engine::OffloadFigures;
use blis_kernel::Semantics;
use std::collections::BTreeMap;

/// A chained block key: the number of (key of the block before, tokens) in the order of first use; 0 is no key.
pub type Key = usize;

#[derive(Clone, Debug, Default)]
struct Block {
    count: u32,
    content: Vec<u32>,
    key: Key,
}

struct Tier {
    capacity: usize,
    tokens_per_us: f64,
    base_us: i64,
    /// Oldest first.
    keys: Vec<Key>,
    pending_us: i64,
    misses: u64,
    stored: u64,
    evicted: u64,
}

/// The tokens that an allocation is about.
#[derive(Clone, Copy)]
pub struct Prompt<'a> {
    /// Whose blocks.
    pub request: usize,
    /// Prompt and answer.
    pub chain: &'a [u32],
    /// How many of them are processed before the next one is generated.
    pub target: usize,
    /// Whether that is still going on.
    pub in_prefill: bool,
}

impl Prompt<'_> {
    fn prompt(&self) -> &[u32] {
        &self.chain[..self.target]
    }
}

pub struct Cache {
    size: usize,
    blocks: Vec<Block>,
    free: Vec<usize>,
    index: BTreeMap<Key, usize>,
    owned: BTreeMap<usize, Vec<usize>>,
    key_numbers: BTreeMap<(Key, Vec<u32>), Key>,
    stale_delete: bool,
    tier: Option<Tier>,
    pub chain: Option<Chain>,
    reloads_in_allocations: bool,
    hits: u64,
    misses: u64,
    has_misaligned_blocks: bool,
}

impl Cache {
    pub fn new(scenario: &Scenario, semantics: Semantics) -> Self {
        let (blocks, size) = (scenario.kv_blocks, scenario.block_tokens);
        Self {
            size: size as usize,
            blocks: vec![Block::default(); blocks as usize],
            free: (0..blocks as usize).collect(),
            index: BTreeMap::new(),
            owned: BTreeMap::new(),
            key_numbers: BTreeMap::new(),
            stale_delete: semantics.stale_index_delete,
            reloads_in_allocations: semantics.reload_without_credit,
            chain: scenario.offload.clone().map(Chain::new),
            tier: scenario.cpu_tier.map(|t| Tier {
                capacity: t.blocks as usize,
                tokens_per_us: t.bandwidth_tokens_per_us,
                base_us: t.base_latency.as_us(),
                keys: Vec::new(),
                pending_us: 0,
                misses: 0,
                stored: 0,
                evicted: 0,
            }),
            hits: 0,
            misses: 0,
            has_misaligned_blocks: false,
        }
    }

    /// Whether any block held tokens that belong to two blocks of their chain: a reload in an allocation of less than
    /// a block claims the whole block, and the tokens that follow are stored behind it. Only their spelling says
    /// whether two such blocks are the same.
    pub fn has_misaligned_blocks(&self) -> bool {
        self.has_misaligned_blocks
    }

    pub fn used(&self) -> usize {
        self.blocks.len() - self.free.len()
    }

    /// Hits, and misses of both levels.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        let tier = self.tier.as_ref().map_or(0, |t| t.misses);
        (self.hits, self.misses + tier + self.chain.as_ref().map_or(0, |chain| chain.figures.misses))
    }

    pub fn thrashing_rate(&self) -> f64 {
        if let Some(chain) = &self.chain {
            let refused = chain.figures.refused_promotions as f64;
            let all = refused + chain.figures.promotions as f64;
            return if all > 0.0 { refused / all } else { 0.0 };
        }
        match &self.tier {
            Some(t) if t.stored > 0 => t.evicted as f64 / t.stored as f64,
            _ => 0.0,
        }
    }

    pub fn offload_figures(&self) -> Option<OffloadFigures> {
        let chain = self.chain.as_ref()?;
        Some(OffloadFigures { cpu_blocks: chain.held() as u64, ..chain.figures.clone() })
    }

    pub fn take_transfer_us(&mut self) -> i64 {
        self.tier.as_mut().map_or(0, |t| std::mem::take(&mut t.pending_us))
    }

    fn key(&mut self, before: Key, tokens: &[u32]) -> Key {
        let next = self.key_numbers.len() + 1;
        *self.key_numbers.entry((before, tokens.to_vec())).or_insert(next)
    }

    fn full_blocks<'a>(&self, tokens: &'a [u32]) -> Vec<&'a [u32]> {
        tokens.chunks_exact(self.size).collect()
    }

    /// 11.3: the leading blocks of a prompt that the index names.
    pub fn prefix(&mut self, prompt: &[u32]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut key = 0;
        for tokens in self.full_blocks(prompt) {
            key = self.key(key, tokens);
            match self.index.get(&key) {
                Some(&block) => found.push(block),
                None => break,
            }
        }
        found
    }

    /// Takes the head of the free list.
    fn take_head(&mut self) -> usize {
        let id = self.free.remove(0);
        let key = std::mem::take(&mut self.blocks[id].key);
        self.blocks[id].content.clear();
        if key != 0 && (self.stale_delete || self.index.get(&key) == Some(&id)) {
            self.index.remove(&key);
        }
        id
    }

    fn claim(&mut self, request: usize, cached: &[usize]) {
        for &id in cached {
            if self.blocks[id].count == 0 {
                self.free.retain(|&f| f != id);
            }
            self.blocks[id].count += 1;
            self.hits += 1;
            self.owned.entry(request).or_default().push(id);
        }
    }

    /// 11.4, and 12.1 before it: room for tokens `from .. to`. False, with the GPU level unchanged, when refused.
    pub fn allocate(&mut self, who: Prompt<'_>, from: usize, to: usize, cached: &[usize]) -> bool {
        if self.tier.is_none() && self.chain.is_none() {
            return self.allocate_gpu(who, from, to, cached);
        }
        let end = self.full_blocks(who.prompt()).len();
        if !self.reloads_in_allocations || self.reload(who, cached, end, self.free.len()) == 0 {
            let accepted = self.allocate_gpu(who, from, to, cached);
            match (&mut self.tier, &mut self.chain) {
                (Some(tier), _) if !accepted => tier.misses += 1,
                (_, Some(chain)) if !accepted => chain.figures.misses += 1,
                _ => {}
            }
            return accepted;
        }
        self.allocate_after_reload(who, from, to, cached)
    }

    fn allocate_gpu(&mut self, who: Prompt<'_>, from: usize, to: usize, cached: &[usize]) -> bool {
        let tokens = &who.chain[from..to];
        let own = self.owned.get(&who.request).cloned().unwrap_or_default();
        let last_holds = own.last().map(|&id| self.blocks[id].content.len());
        if who.in_prefill {
            let mut extra = tokens.len();
            if let Some(held) = last_holds
                && held > 0
                && held < self.size
            {
                extra -= extra.min(self.size - held);
            }
            let need = extra.div_ceil(self.size);
            let claims = cached.iter().filter(|&&id| self.blocks[id].count == 0).count();
            if need + claims > self.free.len() {
                return false;
            }
        } else if last_holds.is_none_or(|held| held == self.size) && self.free.is_empty() {
            return false;
        }
        if tokens.is_empty() {
            return true;
        }
        if !self.owned.contains_key(&who.request) {
            self.claim(who.request, cached);
            self.owned.entry(who.request).or_default();
        }
        let stored: usize = self.owned[&who.request].iter().map(|&id| self.blocks[id].content.len()).sum();
        self.has_misaligned_blocks |= stored % self.size != from % self.size;
        self.fill(who, tokens);
        true
    }

    /// Puts tokens into the last block and then into new ones.
    fn fill(&mut self, who: Prompt<'_>, mut tokens: &[u32]) {
        let own = self.owned[&who.request].clone();
        if let Some(&last) = own.last() {
            let held = self.blocks[last].content.len();
            if held > 0 && held < self.size {
                let (fits, rest) = tokens.split_at(tokens.len().min(self.size - held));
                self.blocks[last].content.extend_from_slice(fits);
                tokens = rest;
                if self.blocks[last].content.len() == self.size {
                    let before = if own.len() > 1 { self.blocks[own[own.len() - 2]].key } else { 0 };
                    let content = self.blocks[last].content.clone();
                    let key = self.key(before, &content);
                    self.blocks[last].key = key;
                    self.index.insert(key, last);
                }
            }
        }
        let mut before = own.last().map_or(0, |&last| self.blocks[last].key);
        for part in tokens.chunks(self.size) {
            let id = self.take_head();
            self.misses += 1;
            self.blocks[id].content = part.to_vec();
            self.blocks[id].count = 1;
            if part.len() == self.size && who.in_prefill {
                before = self.key(before, part);
                self.blocks[id].key = before;
                self.index.insert(before, id);
            }
            self.owned.get_mut(&who.request).expect("an owner").push(id);
        }
    }

    /// 11.5.
    pub fn release(&mut self, request: usize) {
        for id in self.owned.remove(&request).unwrap_or_default().into_iter().rev() {
            self.blocks[id].count -= 1;
            if self.blocks[id].count == 0 {
                self.free.push(id);
            }
        }
    }

    /// Q5 corrected: the reload comes once, before a prefill is sized, spares the cached blocks in front, and brings only
    /// blocks that can be used: those before block `end`.
    pub fn reload_for_admission(&mut self, who: Prompt<'_>, cached: &[usize], end: usize) {
        if (self.tier.is_none() && self.chain.is_none()) || self.reloads_in_allocations {
            return;
        }
        let mut most = self.free.len();
        for &id in cached {
            if self.blocks[id].count == 0 {
                self.free.retain(|&f| f != id);
                self.free.push(id);
                most -= 1;
            }
        }
        self.reload(who, cached, end, most);
    }

    /// The keys of the prompt's blocks from `start` up to `end`, with their tokens.
    fn keys_from<'a>(
        &mut self,
        who: Prompt<'a>,
        mut before: Key,
        start: usize,
        end: usize,
    ) -> Vec<(Key, &'a [u32])> {
        let blocks: Vec<&'a [u32]> = who.chain[..who.target].chunks_exact(self.size).collect();
        let mut keys = Vec::new();
        for tokens in blocks.into_iter().take(end).skip(start) {
            before = self.key(before, tokens);
            keys.push((before, tokens));
        }
        keys
    }

    /// The leading keys that this device holds and nothing above it.
    fn run_on(&self, tier: usize, keys: &[(Key, &[u32])]) -> Vec<Key> {
        let chain = self.chain.as_ref().expect("a chain");
        keys.iter()
            .map(|&(key, _)| key)
            .take_while(|key| !self.index.contains_key(key) && chain.place(*key) == Place::Device(tier))
            .collect()
    }

    /// 13.5: whether the request must wait for blocks below block `end`. `None`: it need not. `Some(false)`: it need
    /// not, as there is no room, but not in this step.
    pub fn fetch(&mut self, who: Prompt<'_>, name: &str, cached: &[usize], end: usize) -> Option<bool> {
        let before = cached.last().map_or(0, |&id| self.blocks[id].key);
        let has_devices = self.chain.as_ref()?.has_devices();
        let owns = self.owned.get(&who.request).is_some_and(|own| !own.is_empty());
        if !has_devices || owns || self.chain.as_ref()?.record(who.request) == Some(false) {
            return None;
        }
        let keys = self.keys_from(who, before, cached.len(), end);
        for (i, &(key, _)) in keys.iter().enumerate() {
            if self.index.contains_key(&key) {
                continue;
            }
            let chain = self.chain.as_mut()?;
            return match chain.place(key) {
                Place::Cpu => continue,
                Place::Nowhere => None,
                Place::Arriving => Some(chain.defer(who.request, name, None, vec![key])),
                Place::Device(tier) => {
                    let run = self.run_on(tier, &keys[i..]);
                    Some(self.chain.as_mut()?.defer(who.request, name, Some(tier), run))
                }
            };
        }
        None
    }

    /// 12.1 and 13.5: prompt blocks that only a lower tier holds come back into free blocks, at most `most`, from
    /// before block `end`. Returns how many.
    fn reload(&mut self, who: Prompt<'_>, cached: &[usize], end: usize, most: usize) -> usize {
        let own = self.owned.get(&who.request).cloned().unwrap_or_default();
        let mut start = cached.len();
        let mut before = cached.last().map_or(0, |&id| self.blocks[id].key);
        if own.len() > start {
            start = own.len();
            before = self.blocks[own[own.len() - 1]].key;
        }
        let mut reloaded = 0;
        let keys = self.keys_from(who, before, start, end);
        for (i, &(key, tokens)) in keys.iter().enumerate() {
            if self.index.contains_key(&key) {
                continue;
            }
            if let Some(chain) = &mut self.chain {
                if let Place::Device(tier) = chain.place(key) {
                    let run = self.run_on(tier, &keys[i..]);
                    self.chain.as_mut().expect("a chain").promote(tier, &run);
                    break;
                }
                if chain.place(key) != Place::Cpu || reloaded == most {
                    break;
                }
                chain.touch(key);
                chain.figures.reloaded_blocks += 1;
            }
            if let Some(tier) = &mut self.tier {
                if !tier.keys.contains(&key) || reloaded == most {
                    break;
                }
                tier.keys.retain(|&k| k != key);
                tier.keys.push(key);
                tier.pending_us += tier.base_us + (self.size as f64 / tier.tokens_per_us).ceil() as i64;
            }
            let id = self.take_head();
            self.blocks[id].content = tokens.to_vec();
            self.blocks[id].key = key;
            self.index.insert(key, id);
            self.free.push(id);
            reloaded += 1;
        }
        reloaded
    }

    /// 12.2.
    fn allocate_after_reload(&mut self, who: Prompt<'_>, from: usize, to: usize, cached: &[usize]) -> bool {
        let found = self.prefix(who.prompt());
        let covered = found.len() * self.size;
        if covered <= from {
            return self.allocate_gpu(who, from, to, cached);
        }
        let low = if self.owned.contains_key(&who.request) { from.div_ceil(self.size) } else { 0 };
        if covered >= to {
            let high = to.div_ceil(self.size).min(found.len());
            self.claim(who.request, found.get(low..high).unwrap_or_default());
            return true;
        }
        self.claim(who.request, &found[low..]);
        self.allocate_gpu(who, covered, to, &found)
    }

    /// 12.3: copies of a request's full blocks.
    pub fn mirror(&mut self, request: usize, input: usize, now: i64) {
        if let Some(chain) = &mut self.chain {
            chain.now = now;
            let own = self.owned.get(&request).cloned().unwrap_or_default();
            let count = if chain.prompt_only() { own.len().min(input / self.size) } else { own.len() };
            for id in own.into_iter().take(count) {
                let block = &self.blocks[id];
                if block.content.len() == self.size && block.key != 0 {
                    chain.store(block.key);
                }
            }
        }
        let Some(tier) = &mut self.tier else { return };
        for &id in self.owned.get(&request).into_iter().flatten() {
            let block = &self.blocks[id];
            if block.content.len() < self.size || block.key == 0 {
                continue;
            }
            if tier.keys.contains(&block.key) {
                tier.keys.retain(|&k| k != block.key);
            } else {
                if tier.keys.len() == tier.capacity {
                    tier.keys.remove(0);
                    tier.evicted += 1;
                }
                tier.stored += 1;
            }
            tier.keys.push(block.key);
        }
    }

    /// Every block is free or in use, and counted as often as it is owned.
    pub fn check(&self) {
        for (id, block) in self.blocks.iter().enumerate() {
            let owners = self.owned.values().flatten().filter(|&&o| o == id).count();
            let listed = self.free.iter().filter(|&&f| f == id).count();
            assert_eq!(block.count as usize, owners, "block {id} is counted wrong");
            assert_eq!(listed, usize::from(owners == 0), "block {id} is lost or listed twice");
        }
        if let Some(chain) = &self.chain {
            chain.check();
        }
    }
}
