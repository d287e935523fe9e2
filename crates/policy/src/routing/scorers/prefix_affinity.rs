//! Where the prompt's beginning was routed before: leading blocks believed cached / full blocks of the prompt; 0 when
//! the prompt has no full block.
//!
//! Where a real router counts in larger blocks than the KV cache has, g KV blocks count as one, and only whole ones
//! count; it may look at the first m blocks only.
//!
//! The belief is the router's own: per instance an LRU set of block keys. Scoring touches nothing; the chosen
//! instance gets every block of the prompt, in prompt order. The router is never told about evictions.

use super::block_lru::BlockLru;
use crate::Reads;
use crate::registry::{Entry, MakeScorer, Param, Range};
use crate::routing::{PromptKeys, RequestView, RouterView, Scorer};
use blis_kernel::InstanceId;
use rustc_hash::FxHashMap;

const CAPACITY: &str = "prefix-affinity-capacity";
const GRANULARITY: &str = "prefix-affinity-granularity";
const MAX_BLOCKS: &str = "prefix-affinity-max-blocks";
const GROUP: usize = u64::BITS as usize;

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "prefix-affinity",
    summary: "leading prompt blocks routed there before",
    formula: "floor(c / g) / floor(n / g), c of the first n blocks believed cached",
    params: &[
        Param {
            name: CAPACITY,
            summary: "KV blocks that an instance is believed to hold at most",
            default: 10_000.0,
            range: Range::PositiveCount,
        },
        Param {
            name: GRANULARITY,
            summary: "KV blocks that count as one (g)",
            default: 1.0,
            range: Range::PositiveCount,
        },
        Param {
            name: MAX_BLOCKS,
            summary: "KV blocks of a prompt that are looked at (n at most); 0 = all",
            default: 0.0,
            range: Range::Count,
        },
    ],
    make: &|setup| {
        let get = |name| setup.params.get(name) as u32;
        let max_blocks = if get(MAX_BLOCKS) == 0 { u32::MAX } else { get(MAX_BLOCKS) };
        let (granularity, plain) = (get(GRANULARITY), PrefixAffinity::with_capacity(get(CAPACITY)));
        Box::new(PrefixAffinity { granularity, max_blocks, ..plain })
    },
};

/// `prefix-affinity`.
///
/// Next to the LRU sets it keeps the reverse: for each block which instances have it, as one bit each, so that a
/// prompt is looked up once for every 64 instances.
#[derive(Clone, Debug)]
pub struct PrefixAffinity {
    capacity_blocks: u32,
    granularity: u32,
    max_blocks: u32,
    sets: Vec<BlockLru>,
    holders: Vec<FxHashMap<u64, u64>>,
    /// Per group of instances: the candidates that hold every block seen so far. Only while scoring.
    matching: Vec<u64>,
    /// Per instance: leading blocks that it holds. Only while scoring.
    matched: Vec<u32>,
}

impl PrefixAffinity {
    /// Remembers at most `capacity_blocks` blocks per instance; at least 1.
    pub fn with_capacity(capacity_blocks: u32) -> Self {
        Self {
            capacity_blocks,
            granularity: 1,
            max_blocks: u32::MAX,
            sets: Vec::new(),
            holders: Vec::new(),
            matching: Vec::new(),
            matched: Vec::new(),
        }
    }

    /// The blocks that count: whole groups within the first `max_blocks`.
    fn counted<'a>(&self, keys: PromptKeys<'a>) -> PromptKeys<'a> {
        let blocks = (keys.blocks() as u32).min(self.max_blocks) / self.granularity * self.granularity;
        let shared = &keys.shared[..keys.shared.len().min(blocks as usize)];
        PromptKeys { shared, private_blocks: blocks - shared.len() as u32 }
    }

    /// Counts the leading blocks that each candidate holds into `self.matched`.
    fn match_prefix(&mut self, keys: &[u64], instances: &[InstanceId]) {
        self.matching.clear();
        self.matching.resize(self.holders.len(), 0);
        self.matched.clear();
        self.matched.resize(self.sets.len(), 0);
        for instance in instances.iter().filter(|i| i.index() < self.sets.len()) {
            self.matching[instance.index() / GROUP] |= 1 << (instance.index() % GROUP);
            self.matched[instance.index()] = keys.len() as u32;
        }
        for (group, (matching, holders)) in self.matching.iter_mut().zip(&self.holders).enumerate() {
            for (block, key) in keys.iter().enumerate() {
                if *matching == 0 {
                    break;
                }
                let holding = *matching & holders.get(key).copied().unwrap_or(0);
                let mut lost = *matching & !holding;
                while lost != 0 {
                    self.matched[group * GROUP + lost.trailing_zeros() as usize] = block as u32;
                    lost &= lost - 1;
                }
                *matching = holding;
            }
        }
    }
}

impl Scorer for PrefixAffinity {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        let keys = self.counted(view.request.keys);
        if keys.shared.is_empty() {
            out.fill(0.0);
            return;
        }
        self.match_prefix(keys.shared, view.instances);
        let blocks = f64::from(keys.blocks() as u32 / self.granularity);
        for (score, instance) in out.iter_mut().zip(view.instances) {
            let matched = self.matched.get(instance.index()).copied().unwrap_or(0);
            *score = f64::from(matched / self.granularity) / blocks;
        }
    }

    fn observe(&mut self, request: &RequestView<'_>, chosen: InstanceId) {
        let PromptKeys { shared, private_blocks } = self.counted(request.keys);
        let index = chosen.index();
        if index >= self.sets.len() {
            self.sets.resize(index + 1, BlockLru::new(self.capacity_blocks));
            self.holders.resize(index / GROUP + 1, FxHashMap::default());
        }
        let (set, holders) = (&mut self.sets[index], &mut self.holders[index / GROUP]);
        let bit = 1 << (index % GROUP);
        for &key in shared {
            if set.touch(key, |evicted| forget(holders, evicted, bit)) {
                *holders.entry(key).or_default() |= bit;
            }
        }
        if private_blocks > 0 {
            set.add_private(private_blocks, |key| forget(holders, key, bit));
        }
    }

    fn reads(&self) -> Reads {
        Reads::NONE
    }
}

/// Takes one instance off the holders of a block.
fn forget(holders: &mut FxHashMap<u64, u64>, key: u64, bit: u64) {
    let held_by = holders.get_mut(&key).expect("an evicted block has a holder");
    *held_by &= !bit;
    if *held_by == 0 {
        holders.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::tests::Sheet;
    use proptest::prelude::*;

    fn request(keys: &[u64]) -> RequestView<'_> {
        RequestView { input_tokens: 0, keys: PromptKeys::all_shared(keys), slo_rank: 3 }
    }

    fn scores(scorer: &mut PrefixAffinity, keys: &[u64], instances: usize) -> Vec<f64> {
        Sheet { keys: keys.to_vec(), ..Sheet::idle(instances) }.scores(scorer)
    }

    #[test]
    fn a_prompt_that_differs_in_its_second_block_matches_one_of_three() {
        let mut scorer = PrefixAffinity::with_capacity(10_000);
        scorer.observe(&request(&[1, 2]), InstanceId(0));
        assert_eq!(scores(&mut scorer, &[1, 12, 13], 2), [1.0 / 3.0, 0.0]);
        scorer.observe(&request(&[1, 12, 13]), InstanceId(1));
        assert_eq!(scores(&mut scorer, &[1, 12, 13], 2), [1.0 / 3.0, 1.0]);
    }

    #[test]
    fn a_prompt_without_full_blocks_scores_zero() {
        assert_eq!(scores(&mut PrefixAffinity::with_capacity(10_000), &[], 2), [0.0, 0.0]);
    }

    #[test]
    fn blocks_that_nobody_shares_count_in_the_length_of_the_prompt() {
        let mut scorer = PrefixAffinity::with_capacity(10_000);
        let keys = PromptKeys { shared: &[1, 2], private_blocks: 3 };
        scorer.observe(&RequestView { keys, ..request(&[]) }, InstanceId(0));
        let mut sheet = Sheet::idle(1);
        sheet.keys = vec![1, 2];
        let mut out = [f64::NAN];
        let view = sheet.view();
        let view = RouterView { request: RequestView { keys, ..view.request }, ..view };
        scorer.score(&view, &mut out);
        assert_eq!(out, [0.4]);
    }

    #[test]
    fn private_blocks_push_out_shared_ones() {
        let mut scorer = PrefixAffinity::with_capacity(4);
        scorer.observe(&request(&[1, 2]), InstanceId(0));
        let private = RequestView { keys: PromptKeys { shared: &[], private_blocks: 3 }, ..request(&[]) };
        scorer.observe(&private, InstanceId(0));
        // Block 1 left first, so the chain is broken although block 2 is still there.
        assert_eq!(scores(&mut scorer, &[1, 2], 1), [0.0]);
        assert_eq!(scores(&mut scorer, &[2], 1), [1.0]);
    }

    #[test]
    fn blocks_may_count_in_groups_and_only_the_first_ones() {
        let mut scorer = PrefixAffinity { granularity: 2, ..PrefixAffinity::with_capacity(100) };
        scorer.observe(&request(&[1, 2, 3, 4, 5]), InstanceId(0));
        // Three blocks match, of which one pair; the fifth block was never a whole pair.
        assert_eq!(scores(&mut scorer, &[1, 2, 3, 14, 15, 16, 17], 1), [1.0 / 3.0]);
        assert_eq!(scores(&mut scorer, &[1], 1), [0.0]);
        let mut scorer = PrefixAffinity { max_blocks: 2, ..PrefixAffinity::with_capacity(100) };
        scorer.observe(&request(&[1, 2, 3]), InstanceId(0));
        assert_eq!(scores(&mut scorer, &[1, 2, 9, 9], 1), [1.0]);
        assert_eq!(scores(&mut scorer, &[3], 1), [0.0], "the third block was not looked at");
    }

    proptest! {
        /// Looking up all instances at once gives what looking into each one's own set would.
        #[test]
        fn holders_agree_with_the_sets(
            routed in prop::collection::vec((0u32..70, prop::collection::vec(0u64..10, 0..6)), 0..60),
            asked in prop::collection::vec(0u64..10, 1..6),
        ) {
            let mut scorer = PrefixAffinity::with_capacity(5);
            let mut plain: Vec<Vec<u64>> = vec![Vec::new(); 70];
            for (instance, keys) in &routed {
                scorer.observe(&request(keys), InstanceId(*instance));
                let set = &mut plain[*instance as usize];
                for key in keys {
                    set.retain(|k| k != key);
                    set.push(*key);
                    if set.len() > 5 {
                        set.remove(0);
                    }
                }
            }
            let expected: Vec<_> = plain.iter()
                .map(|set| asked.iter().take_while(|k| set.contains(k)).count() as f64 / asked.len() as f64)
                .collect();
            prop_assert_eq!(scores(&mut scorer, &asked, 70), expected);
        }
    }
}
