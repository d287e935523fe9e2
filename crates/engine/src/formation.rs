//! Batch formation: who gets how many tokens in the next step.
//!
//! First the running requests, in batch order; then the wait queue. Running requests may evict one another for KV
//! blocks; nobody is admitted in a step with an eviction.

use crate::config::BatchFormation;
use crate::instance::{Instance, SlotRef, Step};
use crate::request::Pace;
use blis_kernel::Tick;

impl Instance {
    /// Forms the batch of the step that starts at `now`. False where there is none: what it does instead is in
    /// [`Self::step`].
    #[inline]
    pub(crate) fn form_step(&mut self, now: Tick) -> bool {
        if self.pipeline.is_some() {
            self.take_over_work();
        }
        if self.batch.is_empty() && self.waiting.is_empty() {
            self.step = Step::None;
            return false;
        }
        self.counters.steps += 1;
        if self.queue_is_dirty && !self.order.is_fifo() {
            self.order.sort(self.waiting.make_contiguous());
        }
        self.queue_is_dirty = false;
        if self.has_extras {
            self.kv.begin_step(now);
            self.ask_for_adapter(now);
        }
        let evicted = self.form(now);
        self.counters.queue_length_sum += self.waiting.len() as u64;
        if self.batch.is_empty() && (!evicted || self.pipeline.is_some()) {
            if self.adapter_first_for.is_some() {
                self.ask_for_adapter(now);
            }
            if self.pipeline.is_some() {
                self.nothing_to_send(now, evicted);
            } else {
                self.step = if self.waiting.is_empty() { Step::None } else { self.wait(now) };
            }
            return false;
        }
        self.lockstep.step_formed();
        self.counters.peak_kv_blocks = self.counters.peak_kv_blocks.max(self.kv.used_blocks());
        true
    }

    /// Forms the batch; returns whether anybody was evicted.
    fn form(&mut self, now: Tick) -> bool {
        self.forward.clear();
        self.admitted_from = self.next_batch_sequence;
        if self.skips_looks {
            self.look_for_requests();
        }
        let first = match self.config.batch_formation {
            BatchFormation::Mixed => Some(self.continue_running(now, true)),
            // Decoding requests take part once it is known that there are no prompts.
            BatchFormation::PrefillFirst => self.continue_prompts(now),
        };
        let (budget, mut evicted) = first.unwrap_or((u64::from(self.config.max_num_batched_tokens), false));
        if self.has_extras {
            self.kv.poll_deferrals();
            (self.fetch_found_no_room, self.head_was_refused) = (false, false);
        }
        if !evicted {
            self.admit(now, budget);
        }
        if self.config.batch_formation == BatchFormation::PrefillFirst {
            self.lockstep.is_paused = !self.forward.is_empty();
            if !self.lockstep.is_paused {
                evicted |= self.continue_running(now, false).1;
            }
        }
        if self.skips_looks {
            self.look_after_prompts();
        }
        assert!(self.batch_size() <= self.config.max_num_seqs, "the batch is larger than allowed");
        evicted
    }

    /// The running requests get what they can have, those in prefill too where `prompts`. Returns the budget left and
    /// whether anybody was evicted.
    #[inline]
    fn continue_running(&mut self, now: Tick, prompts: bool) -> (u64, bool) {
        if (prompts || self.prefilling.is_empty()) && self.blocks_and_budget_suffice() {
            (self.continue_in_bulk(), false)
        } else {
            self.continue_one_by_one(now, prompts)
        }
    }

    /// The running requests in prefill get what they can have, the others nothing. Returns the budget left and whether
    /// anybody was evicted; nothing when nobody is in prefill.
    fn continue_prompts(&mut self, now: Tick) -> Option<(u64, bool)> {
        for &slot in &self.alone {
            self.requests[slot as usize].scheduled = 0;
        }
        if self.prefilling.is_empty() {
            return None;
        }
        for &slot in &self.prefilling {
            self.requests[slot as usize].scheduled = 0;
        }
        let done = self.give_in_order(now, |in_prefill| in_prefill);
        self.push_scheduled_prompts();
        Some(done)
    }

    /// Tokens that a request in prefill gets with this much of the budget left.
    #[inline]
    pub(crate) fn chunk(&self, missing: u64, budget: u64) -> u64 {
        let threshold = u64::from(self.config.long_prefill_token_threshold);
        let wanted = if threshold > 0 { missing.min(threshold) } else { missing };
        wanted.min(budget)
    }

    /// Whether every running request can have what it would take, so that the order among them does not matter.
    fn blocks_and_budget_suffice(&self) -> bool {
        if self.kv.needs_listed_keys() {
            return false;
        }
        let mut budget = u64::from(self.config.max_num_batched_tokens);
        let decodes = self.lockstep.members + self.alone.len() as u64;
        if decodes > budget {
            return false;
        }
        budget -= decodes;
        let mut need = u64::from(self.lockstep.private_blocks_due() + self.lockstep.listed_blocks_due());
        for &slot in &self.alone {
            need += self.kv.blocks_for(slot, 1);
        }
        // Who of several takes a block first only shows where that deletes a key that another publishes (Q8).
        let takes_first = self.semantics.stale_index_delete && self.lockstep.private_blocks_due() > 0;
        let mut publishes_later = self.lockstep.listed_edges_due() || !self.alone.is_empty();
        if let Some(&first) = self.prefilling.first() {
            let last_decode = self
                .alone
                .last()
                .map_or(0, |&slot| self.requests[slot as usize].batch_sequence)
                .max(if self.lockstep.members > 0 { self.lockstep.last_sequence } else { 0 });
            let in_order = decodes == 0 || self.requests[first as usize].batch_sequence > last_decode;
            publishes_later |= !in_order;
            if !in_order && (self.lockstep.listed_edges_due() || !self.alone.is_empty()) {
                return false;
            }
            for &slot in &self.prefilling {
                let request = &self.requests[slot as usize];
                let missing = request.target - request.progress;
                let tokens = self.chunk(missing, budget);
                if !in_order && tokens < self.chunk(missing, u64::MAX) {
                    return false;
                }
                budget -= tokens;
                need += self.kv.blocks_for(slot, tokens);
            }
        }
        if takes_first && publishes_later && need > u64::from(self.kv.unnamed_blocks_at_head()) {
            return false;
        }
        need <= u64::from(self.kv.free_blocks())
    }

    /// Every running request gets what it would take. Returns the budget left.
    fn continue_in_bulk(&mut self) -> u64 {
        let mut budget = u64::from(self.config.max_num_batched_tokens);
        budget -= self.lockstep.members + self.alone.len() as u64;
        let private = self.lockstep.private_blocks_due();
        if private > 0 {
            self.kv.take_in_bulk(private);
        }
        let mut slots = std::mem::take(&mut self.scratch_slots);
        slots.clear();
        if self.lockstep.listed_edges_due() {
            self.lockstep.collect_listed_edges(&mut slots);
        }
        slots.extend_from_slice(&self.alone);
        if slots.len() > 1 {
            slots.sort_unstable_by_key(|&slot| self.requests[slot as usize].batch_sequence);
        }
        for &slot in &slots {
            if self.requests[slot as usize].pace == Pace::Alone {
                let position = self.requests[slot as usize].progress;
                let extended = self.kv.extend_decode(slot, position);
                assert!(extended, "blocks were counted before the step was formed");
                self.requests[slot as usize].scheduled = 1;
            } else {
                self.extend_listed_member(slot);
            }
        }
        self.scratch_slots = slots;
        for i in 0..self.prefilling.len() {
            let slot = self.prefilling[i];
            let request = &self.requests[slot as usize];
            let (from, missing) = (request.progress, request.target - request.progress);
            let tokens = self.chunk(missing, budget);
            budget -= tokens;
            self.requests[slot as usize].scheduled = tokens;
            if tokens > 0 {
                let extended = self.kv.extend_prefill(slot, from, from + tokens, 0);
                assert!(extended, "blocks were counted before the step was formed");
                self.push_forward(slot);
            }
        }
        budget
    }

    pub(crate) fn push_forward(&mut self, slot: u32) {
        let generation = self.requests[slot as usize].generation;
        self.forward.push(SlotRef { slot, generation });
    }

    /// The running requests in batch order, each taking from the budget and the blocks what is left, and evicting
    /// others when blocks run out. Returns the budget left and whether anybody was evicted.
    fn continue_one_by_one(&mut self, now: Tick, prompts: bool) -> (u64, bool) {
        for i in 0..self.batch.len() {
            let slot = self.batch[i];
            self.requests[slot as usize].scheduled = 0;
            if matches!(self.requests[slot as usize].pace, Pace::Lockstep { .. }) {
                self.kv_detach(slot);
            }
        }
        self.lockstep.kv_detached = true;

        let done = self.give_in_order(now, |in_prefill| prompts || !in_prefill);

        for i in 0..self.batch.len() {
            let slot = self.batch[i];
            if !matches!(self.requests[slot as usize].pace, Pace::Lockstep { .. }) {
                continue;
            }
            if self.requests[slot as usize].scheduled > 0 {
                let formed = self.lockstep.formed + 1;
                self.kv_attach(slot, formed);
            } else {
                self.leave_lockstep_alone(slot);
                self.insert_alone(slot);
            }
        }
        self.lockstep.kv_detached = false;
        self.push_scheduled_prompts();
        done
    }

    fn push_scheduled_prompts(&mut self) {
        for i in 0..self.prefilling.len() {
            let slot = self.prefilling[i];
            if self.requests[slot as usize].scheduled > 0 {
                self.push_forward(slot);
            }
        }
    }

    /// The running requests that `takes_part` (told whether one is in prefill) take what is left, in batch order.
    fn give_in_order(&mut self, now: Tick, takes_part: impl Fn(bool) -> bool) -> (u64, bool) {
        let mut budget = u64::from(self.config.max_num_batched_tokens);
        let mut evicted = false;
        let mut i = 0;
        while i < self.batch.len() && budget > 0 {
            let slot = self.batch[i];
            let request = &self.requests[slot as usize];
            let in_prefill = request.in_prefill();
            if !takes_part(in_prefill) {
                i += 1;
                continue;
            }
            let from = self.progress(slot);
            let tokens = if in_prefill { self.chunk(request.target - from, budget) } else { 1 };
            let Some(position) =
                self.extend_or_evict(now, slot, i, from, tokens, in_prefill, &mut budget, &mut evicted)
            else {
                break;
            };
            self.requests[slot as usize].scheduled = tokens;
            budget -= tokens;
            i = position + 1;
        }
        (budget, evicted)
    }

    /// Puts a request that decodes alone into its list, in batch order.
    pub(crate) fn insert_alone(&mut self, slot: u32) {
        let sequence = self.requests[slot as usize].batch_sequence;
        let at = self.alone.partition_point(|&s| self.requests[s as usize].batch_sequence < sequence);
        self.alone.insert(at, slot);
    }
}
