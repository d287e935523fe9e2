//! Private blocks behind listed ones, and what preemptions leave of them in the free list.

use super::free_list::{EntryId, NONE};
use super::{Block, Hold, KvCache};

/// The leading blocks of a request whose other blocks are private.
#[derive(Debug)]
pub(super) struct Head {
    /// Keys of the chain.
    pub(super) keys: Box<[u64]>,
    /// Blocks held, in order.
    pub(super) blocks: Vec<u32>,
    /// How many of them are full.
    pub(super) full: usize,
    /// Runs in the free list from preemptions before the last one, with what was findable of each, oldest first: while
    /// the head was not cached as a whole, nobody could claim them, and they may reach further than the last.
    pub(super) older: Vec<(EntryId, u32)>,
}

impl Head {
    pub(super) fn new(keys: Box<[u64]>) -> Option<Box<Self>> {
        let any = !keys.is_empty();
        any.then(|| Box::new(Self { keys, blocks: Vec::new(), full: 0, older: Vec::new() }))
    }

    pub(super) fn len(head: Option<&Self>) -> u32 {
        head.map_or(0, |head| head.blocks.len() as u32)
    }
}

impl KvCache {
    /// How many leading private blocks of a request its runs in the free list hold. Calls `part` for each run with how
    /// many of its blocks these are: the newest copy of a block counts, and where that is gone the chain ends.
    pub(super) fn in_runs(
        &self,
        last: (EntryId, u32),
        older: &[(EntryId, u32)],
        mut part: impl FnMut(EntryId, u32),
    ) -> u32 {
        let mut found = 0;
        for &(run, findable) in std::iter::once(&last).chain(older.iter().rev()) {
            let there = self.free.run_len(run).min(findable);
            if there > found {
                part(run, there - found);
                found = there;
            }
            if there < findable && found < findable {
                break;
            }
        }
        found
    }

    pub(super) fn disown_older(&mut self, head: Option<Box<Head>>) {
        head.into_iter().flat_map(|head| head.older).for_each(|(run, _)| self.free.disown(run));
    }

    /// Private blocks behind listed ones. Nothing is detached here: no prompt is admitted without work.
    pub(super) fn extend_with_head(&mut self, slot: u32, from: u64, new: u64, cached: u32) -> bool {
        let size = u64::from(self.block_tokens);
        let Hold::Private { head: Some(mut head), mut tokens, mut blocks, saved, findable_blocks, detached } =
            std::mem::replace(&mut self.holds[slot as usize], Hold::Vacant)
        else {
            unreachable!("slot {slot} has no head")
        };
        let listed = (cached as usize).min(head.keys.len());
        let from_run = cached - listed as u32;
        let mut ids = std::mem::take(&mut self.scratch_cached);
        self.find(&head.keys[..listed], &mut ids);
        let room = u64::from(blocks) * size - tokens;
        let need = new.saturating_sub(room).div_ceil(size);
        let claims = ids.iter().filter(|&&id| self.blocks[id as usize].references == 0).count() as u64;
        let accepted = need + claims + u64::from(from_run) <= u64::from(self.free.len());
        let (mut saved, mut findable_blocks) = (saved, findable_blocks);
        if accepted && new > 0 {
            self.claim(&ids, &mut head.blocks);
            head.full += listed;
            if from_run > 0 {
                self.claim_from_runs((saved, findable_blocks), std::mem::take(&mut head.older), from_run);
                (saved, findable_blocks) = (NONE, 0);
                self.hits += u64::from(from_run);
            }
            blocks += cached;
            tokens += u64::from(cached) * size;
            assert_eq!(tokens, from, "a prompt with private blocks is stored in order");
            tokens += new;
            blocks += need as u32;
            self.misses += need;
            self.grow_head(&mut head, tokens, need);
            for run in std::mem::take(&mut self.own_runs_gone) {
                self.forget_run(Some(&mut head), &mut saved, &mut findable_blocks, run);
            }
        }
        self.scratch_cached = ids;
        let head = Some(head);
        self.holds[slot as usize] = Hold::Private { head, tokens, blocks, saved, findable_blocks, detached };
        accepted
    }

    /// Claims the first `count` private blocks that runs in the free list hold; what is left of these belongs to nobody.
    fn claim_from_runs(&mut self, last: (EntryId, u32), older: Vec<(EntryId, u32)>, mut count: u32) {
        let mut parts = Vec::with_capacity(1 + older.len());
        self.in_runs(last, &older, |run, part| parts.push((run, part)));
        for (run, _) in older.into_iter().chain([last]) {
            self.free.disown(run);
        }
        for (run, part) in parts {
            let claimed = part.min(count);
            count -= claimed;
            self.free.claim_from_run(run, claimed);
        }
    }

    /// Takes `need` blocks, the first of them for the head while that is not complete; `tokens` are stored afterwards.
    fn grow_head(&mut self, head: &mut Head, tokens: u64, mut need: u64) {
        while need > 0 && head.blocks.len() < head.keys.len() {
            self.take(1);
            need -= 1;
            head.blocks.push(self.new_block(Block { references: 1, fill: self.block_tokens, key: None }));
        }
        let full = ((tokens / u64::from(self.block_tokens)) as usize).min(head.blocks.len());
        for n in head.full..full {
            self.publish(head.blocks[n], head.keys[n]);
        }
        head.full = head.full.max(full);
        self.take(need as u32);
    }

    /// The last block of a run was taken.
    pub(super) fn run_is_gone(&mut self, owner: u32, run: EntryId) {
        match std::mem::replace(&mut self.holds[owner as usize], Hold::Vacant) {
            Hold::Private { mut head, tokens, blocks, mut saved, mut findable_blocks, detached } => {
                self.forget_run(head.as_deref_mut(), &mut saved, &mut findable_blocks, run);
                self.holds[owner as usize] =
                    Hold::Private { head, tokens, blocks, saved, findable_blocks, detached };
            }
            // It takes its own blocks, and its account is elsewhere meanwhile.
            Hold::Vacant => self.own_runs_gone.push(run),
            listed @ Hold::Listed { .. } => self.holds[owner as usize] = listed,
        }
    }

    /// A run is no more. What older runs hold of the same blocks is no use without it.
    fn forget_run(
        &mut self,
        head: Option<&mut Head>,
        saved: &mut EntryId,
        findable_blocks: &mut u32,
        run: EntryId,
    ) {
        let older = match head {
            Some(head) if *saved == run => std::mem::take(&mut head.older),
            Some(head) => {
                let at = head.older.iter().position(|&(older, _)| older == run);
                at.map(|at| head.older.drain(..=at).collect()).unwrap_or_default()
            }
            None => Vec::new(),
        };
        if *saved == run {
            (*saved, *findable_blocks) = (NONE, 0);
        }
        older.into_iter().filter(|&(older, _)| older != run).for_each(|(older, _)| self.free.disown(older));
    }
}

#[cfg(test)]
mod tests {
    use super::super::BlockKeys;
    use super::*;
    use crate::InstanceConfig;
    use blis_kernel::{Semantics, Tick};
    use blis_policy::preemption::PreemptionKind;
    use blis_policy::scheduling::SchedulerKind;

    fn cache_of_ten_blocks() -> KvCache {
        KvCache::new(&InstanceConfig {
            kv_blocks: 10,
            block_tokens: 16,
            max_num_seqs: 100,
            max_num_batched_tokens: 1000,
            long_prefill_token_threshold: 0,
            max_model_len: 0,
            batch_formation: crate::config::BatchFormation::Mixed,
            scheduler: SchedulerKind::Fcfs,
            preemption: PreemptionKind::Fcfs,
            cpu_tier: None,
            offload: None,
            adapters: None,
            host: None,
            ranks: None,
            horizon: Tick::MAX,
            semantics: Semantics::CORRECTED,
        })
    }

    /// Law: counting blocks is the same as naming them. A prompt of five blocks, the first of them shared, is preempted
    /// when it is stored as a whole. Another's copy of the shared block goes, so that nothing of it is found, and it is
    /// preempted again with two blocks. The third is still there from the first time.
    #[test]
    fn what_an_earlier_preemption_left_is_found_behind_what_the_last_one_left() {
        let whole = BlockKeys::Listed([7, 21, 22, 23, 24].into());
        for keys in [BlockKeys::Leading([7].into()), whole] {
            let mut cache = cache_of_ten_blocks();
            cache.register(0, keys);
            cache.register(1, BlockKeys::Listed([7].into()));
            cache.register(2, BlockKeys::Listed((100..105).collect()));
            assert!(cache.extend_prefill(0, 0, 80, 0) && cache.extend_prefill(1, 0, 16, 0));
            cache.release(1, u32::MAX);
            cache.release(0, u32::MAX);
            assert_eq!(cache.cached_blocks(0, 4), 4);
            assert!(cache.extend_prefill(2, 0, 80, 0));
            assert_eq!(cache.cached_blocks(0, 4), 0);
            assert!(cache.extend_prefill(0, 0, 32, 0));
            cache.release(0, u32::MAX);
            assert_eq!(cache.cached_blocks(0, 4), 3);
            assert!(cache.extend_prefill(0, 48, 80, 3));
            assert_eq!((cache.free_blocks(), cache.hits(), cache.misses()), (0, 3, 15));
            cache.release(0, u32::MAX);
            cache.release(2, u32::MAX);
            cache.audit(false);
        }
    }
}
