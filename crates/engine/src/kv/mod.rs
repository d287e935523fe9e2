//! The KV cache of one instance.
//!
//! A block is in use while its reference count is above zero and in the free list otherwise. A free block keeps its
//! content, and can be claimed again by its key, until it is taken from the head of the list; released blocks join
//! the tail, a request's last block first. So eviction is least recently released first.
//!
//! Two representations share one free list:
//! - **Listed** blocks have an identity and a chained key; the index finds them. They serve every prompt that somebody
//!   else might repeat.
//! - **Private** blocks hold what nobody else repeats. Nobody looks them up but their own request after a preemption, so
//!   they are counted, not named: a request's private blocks enter the free list as one run. A prompt may begin with
//!   listed blocks that others share and go on with private ones.

mod cpu_tier;
mod free_list;
mod head;
mod lower;
pub mod offload;
mod recency;

use crate::config::InstanceConfig;
use blis_kernel::Tick;
use free_list::{EntryId, FreeList, NONE, Taken};
use head::Head;
pub use lower::FetchAnswer;
use lower::Lower;
use rustc_hash::FxHashMap;

/// How a prompt's blocks are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockKeys {
    /// The chained keys of the leading blocks that other prompts may share; all of them are full blocks of the prompt.
    /// The blocks behind them, of which there is at least the one that the prompt ends in, nobody else repeats.
    Leading(Box<[u64]>),
    /// Others may repeat any of them. The chained key of every full block of prompt and answer, in order.
    Listed(Box<[u64]>),
}

/// A change of the index, for those who keep a copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexChange {
    /// The key can be found from now on.
    Added(u64),
    /// The key can no longer be found.
    Removed(u64),
}

/// What one request holds.
#[derive(Debug)]
enum Hold {
    Vacant,
    Private {
        /// The leading blocks that are listed, if any can be.
        head: Option<Box<Head>>,
        /// Tokens stored.
        tokens: u64,
        /// Blocks held, the head's included.
        blocks: u32,
        /// The run that an earlier preemption left in the free list.
        saved: EntryId,
        /// How many leading blocks of that run are full blocks of the prompt's chain, if none was recycled.
        findable_blocks: u32,
        /// The blocks held do not start at the prompt's start (Q4), so nobody finds them later.
        detached: bool,
    },
    Listed {
        /// Blocks held, in order.
        blocks: Vec<u32>,
        /// Tokens stored in them.
        tokens: u64,
        /// Keys of the chain.
        keys: Box<[u64]>,
        /// How many of them are blocks of the prompt.
        prompt_blocks: u32,
        /// How much further in the chain its last token stands than in the blocks: the blocks start inside the prompt
        /// (Q4), or a reload came in between. Wraps when it is less far.
        ahead_tokens: u64,
    },
}

/// A listed block.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    references: u32,
    fill: u32,
    key: Option<u64>,
}

/// The KV cache.
#[derive(Debug)]
pub struct KvCache {
    capacity: u32,
    block_tokens: u32,
    stale_index_delete: bool,
    free: FreeList,
    blocks: Vec<Block>,
    index: FxHashMap<u64, u32>,
    holds: Vec<Hold>,
    lower: Option<Lower>,
    /// Whether every allocation reloads for itself, and not only an admission (Q5).
    reloads_in_allocations: bool,
    hits: u64,
    misses: u64,
    journal: Option<Vec<IndexChange>>,
    scratch_cached: Vec<u32>,
    /// Runs of the request whose account is being extended that it has just used up itself.
    own_runs_gone: Vec<EntryId>,
}

impl KvCache {
    /// The empty cache of an instance.
    pub fn new(config: &InstanceConfig) -> Self {
        Self {
            capacity: config.kv_blocks,
            block_tokens: config.block_tokens,
            stale_index_delete: config.semantics.stale_index_delete,
            free: FreeList::new(config.kv_blocks),
            blocks: Vec::new(),
            index: FxHashMap::default(),
            holds: Vec::new(),
            lower: Lower::new(config),
            reloads_in_allocations: config.semantics.reload_without_credit,
            hits: 0,
            misses: 0,
            journal: None,
            scratch_cached: Vec::new(),
            own_runs_gone: Vec::new(),
        }
    }

    /// From now on, remember changes of the index for [`Self::drain_journal`].
    pub fn keep_journal(&mut self) {
        self.journal = Some(Vec::new());
    }

    /// The changes of the index since the last call, oldest first.
    pub fn drain_journal(&mut self) -> impl Iterator<Item = IndexChange> + '_ {
        self.journal.iter_mut().flat_map(|journal| journal.drain(..))
    }

    /// Blocks in total.
    #[inline]
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Blocks that nobody uses.
    #[inline]
    pub fn free_blocks(&self) -> u32 {
        self.free.len()
    }

    /// Blocks that can be taken before one with a key is taken.
    pub fn unnamed_blocks_at_head(&self) -> u32 {
        self.free.run_at_head()
    }

    /// Blocks in use.
    #[inline]
    pub fn used_blocks(&self) -> u32 {
        self.capacity - self.free.len()
    }

    /// Block claims served from the cache.
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// Blocks taken anew, plus allocations that found nothing in a lower tier either.
    pub fn misses(&self) -> u64 {
        self.misses + self.lower.as_ref().map_or(0, Lower::misses)
    }

    /// Blocks that the CPU tier evicted, and those stored in it; or promotions of the chain that found no room, and those
    /// wanted; zeros without either.
    pub fn thrashing(&self) -> (u64, u64) {
        self.lower.as_ref().map_or((0, 0), Lower::thrashing)
    }

    /// Whether every prompt must come with keys, because a lower tier looks at them.
    pub fn needs_listed_keys(&self) -> bool {
        self.lower.is_some()
    }

    /// The transfer latency of reloads since the last call.
    pub fn take_transfer_latency(&mut self) -> Tick {
        self.lower.as_mut().map_or(Tick::ZERO, Lower::take_latency)
    }

    /// What is cached is lost, here and below; the counters stay. Nobody may hold anything.
    pub fn clear(&mut self) {
        for id in 0..self.blocks.len() as u32 {
            self.unpublish(id);
        }
        assert!(self.index.is_empty(), "the index names blocks without content");
        self.blocks.clear();
        self.free = FreeList::new(self.capacity);
        if let Some(lower) = &mut self.lower {
            lower.clear();
        }
    }

    /// Starts to keep account of a request. A slot is free again after [`Self::forget`].
    pub fn register(&mut self, slot: u32, keys: BlockKeys) {
        let slot = slot as usize;
        if slot >= self.holds.len() {
            self.holds.resize_with(slot + 1, || Hold::Vacant);
        }
        assert!(matches!(self.holds[slot], Hold::Vacant), "slot {slot} is registered twice");
        self.holds[slot] = match keys {
            BlockKeys::Leading(keys) => {
                assert!(self.lower.is_none(), "a lower tier needs keys");
                let head = Head::new(keys);
                Hold::Private { head, tokens: 0, blocks: 0, saved: NONE, findable_blocks: 0, detached: false }
            }
            BlockKeys::Listed(keys) => Hold::Listed {
                blocks: Vec::new(),
                tokens: 0,
                prompt_blocks: keys.len() as u32,
                keys,
                ahead_tokens: 0,
            },
        };
    }

    /// Ends the account of a request that holds nothing any more.
    pub fn forget(&mut self, slot: u32) {
        match std::mem::replace(&mut self.holds[slot as usize], Hold::Vacant) {
            Hold::Private { head, blocks, saved, .. } => {
                assert_eq!(blocks, 0, "slot {slot} is forgotten while it holds blocks");
                self.free.disown(saved);
                self.disown_older(head);
            }
            Hold::Listed { blocks, .. } => {
                assert!(blocks.is_empty(), "slot {slot} is forgotten while it holds blocks");
            }
            Hold::Vacant => panic!("slot {slot} is not registered"),
        }
    }

    /// Whether the request's blocks are counted only.
    #[inline]
    pub fn is_private(&self, slot: u32) -> bool {
        matches!(self.holds[slot as usize], Hold::Private { .. })
    }

    /// Tokens stored for the request.
    #[inline]
    pub fn tokens(&self, slot: u32) -> u64 {
        match &self.holds[slot as usize] {
            Hold::Private { tokens, .. } | Hold::Listed { tokens, .. } => *tokens,
            Hold::Vacant => 0,
        }
    }

    /// Blocks held by the request.
    pub fn blocks_held(&self, slot: u32) -> u32 {
        match &self.holds[slot as usize] {
            Hold::Private { blocks, .. } => *blocks,
            Hold::Listed { blocks, .. } => blocks.len() as u32,
            Hold::Vacant => 0,
        }
    }

    /// How many leading full blocks of the prompt are cached, at most `limit`.
    pub fn cached_blocks(&self, slot: u32, limit: u32) -> u32 {
        match &self.holds[slot as usize] {
            Hold::Private { head, saved, findable_blocks, .. } => {
                let keys = head.as_ref().map_or(&[][..], |head| &head.keys);
                let leading = self.leading_cached(keys, limit as usize) as u32;
                if (leading as usize) < keys.len() {
                    return leading;
                }
                let older = head.as_ref().map_or(&[][..], |head| &head.older);
                let behind = self.in_runs((*saved, *findable_blocks), older, |_, _| ());
                (leading + behind).min(limit)
            }
            Hold::Listed { keys, .. } => self.leading_cached(keys, limit as usize) as u32,
            Hold::Vacant => 0,
        }
    }

    /// How many leading keys of `keys` the index holds, at most `limit`.
    fn leading_cached(&self, keys: &[u64], limit: usize) -> usize {
        keys.iter().take(limit).take_while(|key| self.index.contains_key(key)).count()
    }

    /// New blocks that a request needs to store tokens `tokens .. tokens + new`.
    #[inline]
    fn blocks_needed(&self, held_tokens: u64, held_blocks: u32, new: u64) -> u64 {
        let room = u64::from(held_blocks) * u64::from(self.block_tokens) - held_tokens;
        new.saturating_sub(room).div_ceil(u64::from(self.block_tokens))
    }

    /// New blocks that the request would need for `new` more tokens, with nothing cached to claim.
    #[inline]
    pub fn blocks_for(&self, slot: u32, new: u64) -> u64 {
        self.blocks_needed(self.tokens(slot), self.blocks_held(slot), new)
    }

    /// Stores prompt tokens `from .. to`; the first `cached` blocks of the prompt are claimed from the cache first
    /// when the request holds nothing yet. Returns false, with nothing changed, when blocks are short.
    ///
    /// `from` must be what the request holds plus what it claims; with `from == to` nothing happens (Q4).
    pub fn extend_prefill(&mut self, slot: u32, from: u64, to: u64, cached: u32) -> bool {
        if self.lower.is_some() {
            return self.extend_tiered(slot, from, to, cached, true);
        }
        self.extend_gpu(slot, from, to - from, cached, true)
    }

    /// Stores the token at `position`, a generated one. Returns false, with nothing changed, when blocks are short.
    pub fn extend_decode(&mut self, slot: u32, position: u64) -> bool {
        if self.lower.is_some() {
            return self.extend_tiered(slot, position, position + 1, 0, false);
        }
        self.extend_gpu(slot, position, 1, 0, false)
    }

    fn extend_gpu(&mut self, slot: u32, from: u64, new: u64, cached: u32, prefill: bool) -> bool {
        let size = u64::from(self.block_tokens);
        match &mut self.holds[slot as usize] {
            Hold::Private { head: Some(_), .. } => self.extend_with_head(slot, from, new, cached),
            Hold::Private { head: None, tokens, blocks, saved, findable_blocks, detached } => {
                let claims = if new > 0 { cached } else { 0 };
                let room = u64::from(*blocks) * size - *tokens;
                let need = new.saturating_sub(room).div_ceil(size);
                if need + u64::from(cached) > u64::from(self.free.len()) {
                    return false;
                }
                if claims > 0 {
                    self.free.claim_from_run(*saved, claims);
                    *saved = NONE;
                    *findable_blocks = 0;
                    self.hits += u64::from(claims);
                }
                *blocks += claims + need as u32;
                *tokens += u64::from(claims) * size;
                *detached |= *tokens != from;
                *tokens += new;
                self.misses += need;
                self.take(need as u32);
                true
            }
            Hold::Listed { .. } => self.extend_listed(slot, from, new, cached, prefill),
            Hold::Vacant => unreachable!("slot {slot} is not registered"),
        }
    }

    fn extend_listed(&mut self, slot: u32, from: u64, new: u64, cached: u32, prefill: bool) -> bool {
        let Hold::Listed { mut blocks, mut tokens, keys, prompt_blocks, mut ahead_tokens } =
            std::mem::replace(&mut self.holds[slot as usize], Hold::Vacant)
        else {
            unreachable!("slot {slot} is not listed")
        };
        let mut cached_ids = std::mem::take(&mut self.scratch_cached);
        self.find(&keys[..cached as usize], &mut cached_ids);
        let mut own =
            Own { blocks: &mut blocks, tokens: &mut tokens, keys: &keys, ahead_tokens: &mut ahead_tokens };
        let accepted = self.grow(&mut own, from, new, &cached_ids, prefill);
        self.scratch_cached = cached_ids;
        self.holds[slot as usize] = Hold::Listed { blocks, tokens, keys, prompt_blocks, ahead_tokens };
        accepted
    }

    fn grow(&mut self, own: &mut Own<'_>, from: u64, new: u64, cached: &[u32], prefill: bool) -> bool {
        let size = self.block_tokens;
        let room = own.blocks.last().map_or(0, |&b| u64::from(size - self.blocks[b as usize].fill));
        let need = new.saturating_sub(room).div_ceil(u64::from(size));
        let claims = cached.iter().filter(|&&id| self.blocks[id as usize].references == 0).count();
        if need + claims as u64 > u64::from(self.free.len()) {
            return false;
        }
        if new == 0 {
            return true;
        }
        if own.blocks.is_empty() {
            self.claim_for(own, cached);
        }
        let ahead = from.wrapping_sub(*own.tokens);
        let goes_on = std::mem::replace(own.ahead_tokens, ahead) == ahead;
        *own.tokens += new;
        let mut left = new;
        if let Some(&last) = own.blocks.last() {
            let block = &mut self.blocks[last as usize];
            let taken = u64::from(size - block.fill).min(left);
            if taken > 0 {
                block.fill += taken as u32;
                left -= taken;
                if block.fill == size {
                    let key = self.key(own, own.blocks.len() - 1, from + new - left, goes_on);
                    self.publish(last, key);
                }
            }
        }
        while left > 0 {
            let fill = left.min(u64::from(size)) as u32;
            left -= u64::from(fill);
            self.misses += 1;
            self.take(1);
            let id = self.new_block(Block { references: 1, fill, key: None });
            if fill == size && prefill {
                let key = self.key(own, own.blocks.len(), from + new - left, true);
                self.publish(id, key);
            }
            own.blocks.push(id);
        }
        true
    }

    /// The key of the `n`-th block held, which is full, when its tokens end at `end` of the chain and lie there in one
    /// run or not.
    fn key(&self, own: &Own<'_>, n: usize, end: u64, in_one_run: bool) -> u64 {
        let before = n.checked_sub(1).and_then(|n| self.blocks[own.blocks[n] as usize].key);
        let size = u64::from(self.block_tokens);
        let in_chain = end.div_ceil(size) as usize - 1;
        if in_one_run && end.is_multiple_of(size) {
            return chained_key(before, own.keys, in_chain);
        }
        // A block that holds parts of several blocks of the chain: nobody else comes to the same content.
        let near = own.keys.get(in_chain).or(own.keys.last()).copied().unwrap_or(0);
        mixed_key(mixed_key(before.unwrap_or(0), near), end)
    }

    /// Writes the blocks that the index names for these keys, all of which it holds.
    fn find(&self, keys: &[u64], out: &mut Vec<u32>) {
        out.clear();
        out.extend(keys.iter().map(|key| self.index[key]));
    }

    fn claim_for(&mut self, own: &mut Own<'_>, cached: &[u32]) {
        self.claim(cached, own.blocks);
        *own.tokens += cached.len() as u64 * u64::from(self.block_tokens);
    }

    /// Claims cached blocks, in order.
    fn claim(&mut self, cached: &[u32], held: &mut Vec<u32>) {
        for &id in cached {
            let block = &mut self.blocks[id as usize];
            if block.references == 0 {
                self.free.unlink_block(id);
            }
            block.references += 1;
        }
        held.extend_from_slice(cached);
        self.hits += cached.len() as u64;
    }

    /// A block with an identity; the caller has taken one from the free list.
    fn new_block(&mut self, block: Block) -> u32 {
        let id = self.free.new_block_id();
        if id as usize >= self.blocks.len() {
            self.blocks.resize(id as usize + 1, Block::default());
        }
        self.blocks[id as usize] = block;
        id
    }

    /// The block is full: it can be found by its key from now on.
    fn publish(&mut self, id: u32, key: u64) {
        self.blocks[id as usize].key = Some(key);
        if self.index.insert(key, id).is_none() {
            self.log(IndexChange::Added(key));
        }
    }

    fn log(&mut self, change: IndexChange) {
        if let Some(journal) = &mut self.journal {
            journal.push(change);
        }
    }

    /// Takes `count` blocks from the head of the free list; what they held can no longer be found.
    #[inline]
    fn take(&mut self, mut count: u32) {
        while count > 0 {
            match self.free.take(count) {
                Taken::Run { count: taken, owner } => {
                    count -= taken;
                    if let Some((owner, run)) = owner {
                        self.run_is_gone(owner, run);
                    }
                }
                Taken::Block(id) => {
                    count -= 1;
                    self.unpublish(id);
                }
            }
        }
    }

    fn unpublish(&mut self, id: u32) {
        if let Some(key) = self.blocks[id as usize].key.take()
            && (self.stale_index_delete || self.index.get(&key) == Some(&id))
            && self.index.remove(&key).is_some()
        {
            self.log(IndexChange::Removed(key));
        }
    }

    /// Nobody finds the blocks that the request holds any more, but for the first `kept` and those that others hold too.
    pub fn unname(&mut self, slot: u32, kept: u32) {
        let held = match &self.holds[slot as usize] {
            Hold::Private { head, .. } => head.as_ref().map_or(&[][..], |head| &head.blocks),
            Hold::Listed { blocks, .. } => blocks,
            Hold::Vacant => unreachable!("slot {slot} is not registered"),
        };
        let is_own = |id: &&u32| self.blocks[**id as usize].references == 1;
        let own: Vec<_> = held.iter().skip(kept as usize).filter(is_own).copied().collect();
        for id in own {
            self.unpublish(id);
        }
    }

    /// Gives back everything that the request holds, its last block first. A private request finds its full blocks
    /// again, at most `findable_limit` of them, as long as nobody else takes them.
    pub fn release(&mut self, slot: u32, findable_limit: u32) {
        match &mut self.holds[slot as usize] {
            Hold::Private { head, tokens, blocks, saved, findable_blocks, detached } => {
                let listed = Head::len(head.as_deref());
                let count = std::mem::take(blocks) - listed;
                let detached = std::mem::take(detached);
                let full = std::mem::take(tokens) / u64::from(self.block_tokens);
                let in_head = head.as_ref().map_or(0, |head| head.keys.len() as u32);
                let findable = findable_limit.min(full as u32).saturating_sub(in_head);
                if count > 0 && findable_limit > in_head && !detached {
                    match head {
                        Some(head) if *findable_blocks > findable => {
                            head.older.push((*saved, *findable_blocks));
                        }
                        _ => self.free.disown(*saved),
                    }
                    *saved = self.free.push_run(count, Some(slot));
                    *findable_blocks = findable;
                } else if count > 0 {
                    self.free.push_run(count, None);
                }
                if let Some(head) = head {
                    head.full = 0;
                    let mut blocks = std::mem::take(&mut head.blocks);
                    self.release_listed(&mut blocks);
                    // The vector goes back with its allocation, for the request's next admission.
                    if let Hold::Private { head: Some(head), .. } = &mut self.holds[slot as usize] {
                        head.blocks = blocks;
                    }
                }
            }
            Hold::Listed { blocks, tokens, ahead_tokens, .. } => {
                *tokens = 0;
                *ahead_tokens = 0;
                let mut blocks = std::mem::take(blocks);
                self.release_listed(&mut blocks);
                // The vector goes back with its allocation, for the request's next admission.
                if let Hold::Listed { blocks: empty, .. } = &mut self.holds[slot as usize] {
                    *empty = blocks;
                }
            }
            Hold::Vacant => unreachable!("slot {slot} is not registered"),
        }
    }

    /// Gives back listed blocks, the last first.
    fn release_listed(&mut self, blocks: &mut Vec<u32>) {
        while let Some(id) = blocks.pop() {
            let block = &mut self.blocks[id as usize];
            block.references -= 1;
            if block.references > 0 {
                continue;
            }
            if block.key.is_some() {
                self.free.push_block(id);
            } else {
                self.free.free_block_id(id);
                self.free.push_run(1, None);
            }
        }
    }

    /// A private request stored one token in each of `steps` steps, and the blocks for them were taken in bulk by
    /// [`Self::take_in_bulk`].
    #[inline]
    pub fn settle_private(&mut self, slot: u32, steps: u64) {
        let Hold::Private { tokens, blocks, .. } = &mut self.holds[slot as usize] else {
            unreachable!("slot {slot} is not private")
        };
        *tokens += steps;
        *blocks = tokens.div_ceil(u64::from(self.block_tokens)) as u32;
    }

    /// A listed request stored one token in each of `steps` steps without touching a block's edge (those steps went
    /// through [`Self::extend_decode`]).
    #[inline]
    pub fn settle_listed(&mut self, slot: u32, steps: u64) {
        let Hold::Listed { tokens, blocks, .. } = &mut self.holds[slot as usize] else {
            unreachable!("slot {slot} is not listed")
        };
        *tokens += steps;
        if let Some(&last) = blocks.last() {
            self.blocks[last as usize].fill += steps as u32;
        }
    }

    /// Takes blocks for private requests that cross a block's edge in this step; the caller has checked that there
    /// are enough.
    #[inline]
    pub fn take_in_bulk(&mut self, count: u32) {
        self.misses += u64::from(count);
        self.take(count);
    }

    /// Checks that every block is either free or held, and counted as often as it is held, and the same of the chain
    /// below. `is_over`: nobody may be waiting for blocks any more.
    ///
    /// # Panics
    /// When it is not.
    pub fn audit(&self, is_over: bool) {
        self.audit_chain(is_over);
        let mut references = vec![0u32; self.blocks.len()];
        let mut private = 0u64;
        for hold in &self.holds {
            match hold {
                Hold::Private { head, blocks, .. } => {
                    private += u64::from(*blocks - Head::len(head.as_deref()));
                    for &b in head.iter().flat_map(|head| &head.blocks) {
                        references[b as usize] += 1;
                    }
                }
                Hold::Listed { blocks, .. } => {
                    for &b in blocks {
                        references[b as usize] += 1;
                    }
                }
                Hold::Vacant => {}
            }
        }
        let listed = references.iter().filter(|&&r| r > 0).count() as u64;
        let free = self.free.audit();
        assert_eq!(free, u64::from(self.free.len()), "the free list's length is counted wrong");
        assert_eq!(listed + private + free, u64::from(self.capacity), "blocks are lost or held twice");
        for (id, &held) in references.iter().enumerate() {
            if held > 0 {
                assert_eq!(self.blocks[id].references, held, "block {id} is counted wrong");
            }
        }
    }
}

/// The key of the `n`-th block of a chain when `before` is the key of the block in front of it: the chain's own key
/// when that is the chain's own block.
fn chained_key(before: Option<u64>, keys: &[u64], n: usize) -> u64 {
    let own_before = n.checked_sub(1).map(|n| keys[n]);
    if before == own_before { keys[n] } else { mixed_key(before.unwrap_or(0), keys[n]) }
}

fn mixed_key(before: u64, key: u64) -> u64 {
    [before, key].iter().fold(0x9e37_79b9_7f4a_7c15, |mixed: u64, &part| {
        (mixed ^ part).rotate_left(29).wrapping_mul(0xd6e8_feb8_6659_fd93)
    })
}

/// What a listed request holds, taken out of its place so that the cache itself can be borrowed.
struct Own<'a> {
    blocks: &'a mut Vec<u32>,
    tokens: &'a mut u64,
    keys: &'a [u64],
    ahead_tokens: &'a mut u64,
}
