//! Batch formation: who gets how many tokens in the next step.
//!
//! First the running requests, in batch order; then the wait queue. Running requests may evict one another for KV
//! blocks; nobody is admitted in a step with an eviction.

use crate::adapters::{self, Gate};
use crate::config::BatchFormation;
use crate::instance::{Fetching, Instance, SlotRef, Step};
use crate::kv::FetchAnswer;
use crate::request::{Ending, Pace, Place, Remote};
use blis_kernel::Tick;
use blis_latency::{Batch, Prefill};
use blis_policy::preemption::Running;

/// What a waiting request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Granted {
    /// So many tokens of its prompt from `start`, or one behind it, and the blocks for them.
    Tokens { start: u64, count: u64 },
    /// Nothing while its blocks are fetched from below the GPU.
    NotYet,
    /// Nothing: blocks are short.
    Refused,
}

/// A time, so many times as long where that is longer.
pub(crate) fn longer(base: Tick, factor: f64) -> Tick {
    if factor > 1.0 { Tick::trunc(base.as_us() as f64 * factor).max(Tick::ONE) } else { base }
}

impl Instance {
    /// A step starts at `now`: form the batch, ask the latency model, and either settle its effects at once (Q1) or
    /// when it ends.
    pub(crate) fn run_step(&mut self, now: Tick) {
        if !self.form_step(now) {
            return;
        }
        if self.pipeline.is_some() {
            return self.send_off(now);
        }
        let step_time = longer(self.step_time(), self.pace());
        let advance = (step_time + self.kv.take_transfer_latency()).max(Tick::ONE);
        let end = now + advance;
        if self.semantics.step_effects_at_start {
            self.settle(now, end);
        } else {
            self.step = Step::Running { start: now, end };
        }
    }

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

    /// What an instance does whose batch is empty although requests wait.
    #[cold]
    pub(crate) fn wait(&mut self, now: Tick) -> Step {
        // An instance that loads an adapter takes no empty steps.
        let is_loading = self.adapter_loaded_at < Tick::MAX;
        if !self.has_chain || (is_loading && self.semantics.waits_in_empty_steps) {
            return Step::Stalled;
        }
        let empty_step = longer(self.latency.step_time(&Batch::default()), self.pace()).max(Tick::ONE);
        let until = match self.kv.next_news(empty_step) {
            _ if self.fetch_found_no_room => now + empty_step,
            Tick::MAX => return Step::Stalled,
            // Each of those steps tries again, and counts that.
            _ if self.semantics.waits_in_empty_steps && self.head_was_refused => now + empty_step,
            news => news.max(now + Tick::ONE),
        };
        let empty_step = self.semantics.waits_in_empty_steps.then_some(empty_step);
        self.fetching = Fetching { since: now, until, empty_step };
        Step::Fetching
    }

    /// If the request at the head of the wait queue needs an adapter that is not resident, begins to load it; or the
    /// one without whose blocks the head goes nowhere.
    #[cold]
    fn ask_for_adapter(&mut self, now: Tick) {
        let slot = self.first_block_holder().or(self.waiting.front().map(|head| head.slot));
        let (Some(slot), Some(adapters)) = (slot, &mut self.adapters) else { return };
        let adapter = self.requests[slot as usize].adapter;
        if adapter == adapters::NONE {
            return;
        }
        let nobody_runs = self.batch.is_empty() && self.flying_requests == 0;
        if let Gate::Loading { until, lapsed } = adapters.gate(now, adapter, nobody_runs) {
            self.adapter_loaded_at = until;
            self.requests[slot as usize].asked_for_adapter = true;
            for waiting in self.waiting.iter().filter(|_| lapsed.is_some()) {
                let request = &mut self.requests[waiting.slot as usize];
                request.holds_adapter &= Some(request.adapter) != lapsed;
            }
        }
    }

    /// Who holds blocks for which the head of the wait queue waits while nobody runs, and needs an adapter himself.
    fn first_block_holder(&self) -> Option<u32> {
        self.adapter_first_for.filter(|&who| self.is_alive(who)).map(|who| who.slot)
    }

    /// Whether the request must wait for its adapter.
    #[cold]
    fn lacks_adapter(&self, slot: u32) -> bool {
        let adapter = self.requests[slot as usize].adapter;
        let adapters = self.adapters.as_ref();
        adapter != adapters::NONE && adapters.is_some_and(|adapters| !adapters.is_resident(adapter))
    }

    /// The request is admitted: it uses its adapter, and keeps it resident until it leaves.
    #[cold]
    fn hold_adapter(&mut self, slot: u32) {
        let request = &mut self.requests[slot as usize];
        if let Some(adapters) = &mut self.adapters
            && request.adapter != adapters::NONE
        {
            adapters.touch(request.adapter);
            if !std::mem::replace(&mut request.holds_adapter, true) {
                adapters.pin(request.adapter, std::mem::take(&mut request.asked_for_adapter));
            }
        }
    }

    /// A step with adapters takes longer: how many times as long.
    #[cold]
    pub(crate) fn adapter_factor(&mut self) -> f64 {
        let Some(mut adapters) = self.adapters.take() else { return 1.0 };
        let moves = !self.lockstep.is_paused;
        let scheduled = self.batch.iter().map(|&slot| &self.requests[slot as usize]).filter(|request| {
            match request.pace {
                Pace::Lockstep { .. } => moves,
                Pace::Prefill | Pace::Alone => request.scheduled > 0,
            }
        });
        let factor = adapters.step_factor(scheduled.map(|request| request.adapter));
        self.adapters = Some(adapters);
        if factor.is_finite() { factor } else { 1.0 }
    }

    /// Duration of the formed step according to the latency model.
    fn step_time(&mut self) -> Tick {
        let (decodes, context) = self.gather_work();
        let base = self.latency.step_time(&self.work(decodes, context));
        if self.has_extras { longer(base, self.adapter_factor()) } else { base }
    }

    /// What the formed step works on, given what [`Self::gather_work`] found.
    #[inline]
    pub(crate) fn work(&self, decodes: u64, decode_context_tokens: u64) -> Batch<'_> {
        Batch {
            prefills: &self.scratch_prefills,
            decodes,
            decode_context_tokens,
            longest_decode_context: self.scratch_longest,
            decode_contexts: &self.scratch_contexts,
            others: 0,
        }
    }

    /// Collects what the formed step works on; returns its decodes and the sum of their contexts.
    #[inline]
    pub(crate) fn gather_work(&mut self) -> (u64, u64) {
        self.scratch_prefills.clear();
        for &SlotRef { slot, .. } in &self.forward {
            let request = &self.requests[slot as usize];
            if request.scheduled > 0 {
                // A request admitted in this step still has no progress, even when its prefix was cached.
                let is_new = request.batch_sequence >= self.admitted_from && request.remote == Remote::No;
                let progress = if is_new { 0 } else { request.progress };
                self.scratch_prefills.push(Prefill {
                    prompt_tokens: request.target,
                    progress,
                    new_tokens: request.scheduled,
                });
            }
        }
        let (mut decodes, mut context) = if self.lockstep.is_paused {
            (0, 0)
        } else {
            (self.lockstep.members, self.lockstep.context_tokens)
        };
        for &slot in &self.alone {
            let request = &self.requests[slot as usize];
            if request.scheduled > 0 {
                decodes += 1;
                context += request.progress;
            }
        }
        if self.wants_longest_decode_context {
            self.scratch_longest = if self.lockstep.is_paused { 0 } else { self.longest_in_lockstep() };
            for &slot in &self.alone {
                let request = &self.requests[slot as usize];
                if request.scheduled > 0 {
                    self.scratch_longest = self.scratch_longest.max(request.progress);
                }
            }
        }
        self.scratch_contexts.clear();
        if self.wants_decode_contexts {
            for &slot in &self.batch {
                let request = &self.requests[slot as usize];
                let decodes = (matches!(request.pace, Pace::Lockstep { .. }) && !self.lockstep.is_paused)
                    || (request.pace == Pace::Alone
                        && request.scheduled > 0
                        && request.progress >= request.target);
                if decodes {
                    self.scratch_contexts.push(self.progress(slot));
                }
            }
        }
        (decodes, context)
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
    fn chunk(&self, missing: u64, budget: u64) -> u64 {
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

    fn push_forward(&mut self, slot: u32) {
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

    /// Allocates for the request at position `at` of the batch, evicting others or in the end itself while blocks are
    /// short. Returns its position after the evictions, or `None` when it was evicted.
    #[allow(clippy::too_many_arguments)] // the loop state of the one caller
    fn extend_or_evict(
        &mut self,
        now: Tick,
        slot: u32,
        mut at: usize,
        from: u64,
        tokens: u64,
        in_prefill: bool,
        budget: &mut u64,
        evicted: &mut bool,
    ) -> Option<usize> {
        loop {
            let extended = if in_prefill {
                self.kv.extend_prefill(slot, from, from + tokens, 0)
            } else {
                self.kv.extend_decode(slot, from)
            };
            if extended {
                return Some(at);
            }
            *evicted = true;
            if self.pipeline.is_some() && self.evict_in_flight(now) {
                continue;
            }
            let v = self.choose_victim();
            let victim = self.batch[v];
            *budget += std::mem::take(&mut self.requests[victim as usize].scheduled);
            self.preempt(victim, v);
            if v < at {
                at -= 1;
            }
            let gave_up_alone = victim == slot && self.batch.is_empty() && self.flying_requests == 0;
            if self.has_outgrown_the_cache(victim)
                || (gave_up_alone && self.can_never_grow(slot, from + tokens))
            {
                self.drop_evicted(now, victim);
            }
            if victim == slot {
                return None;
            }
        }
    }

    /// A request that was just evicted can never be served.
    pub(crate) fn drop_evicted(&mut self, now: Tick, slot: u32) {
        self.waiting.pop_front();
        self.kv.release(slot, 0);
        self.requests[slot as usize].recorded_ttft = Tick::MAX;
        self.counters.dropped_unservable += 1;
        self.leave(slot, Ending::Unservable, now);
    }

    /// Whether an evicted request must recompute more (Q14) than the whole cache holds.
    pub(crate) fn has_outgrown_the_cache(&self, slot: u32) -> bool {
        let blocks = self.requests[slot as usize].target.div_ceil(u64::from(self.config.block_tokens));
        blocks > u64::from(self.kv.capacity())
    }

    /// Whether a request that just evicted itself, alone in the batch, would do so for ever (Q10).
    fn can_never_grow(&mut self, slot: u32, tokens: u64) -> bool {
        let unbounded = self.config.horizon == Tick::MAX;
        let request = &mut self.requests[slot as usize];
        request.lone_evictions = request.lone_evictions.saturating_add(1);
        if unbounded && request.lone_evictions == u8::MAX {
            // A waiting request holds what it lacks (a reload in an allocation that was refused leaves that).
            return true;
        }
        let attempts = if !self.semantics.fully_cached_prompt_is_free {
            1
        } else if unbounded {
            // Where a fully cached prompt is free, the next attempt may hold less and succeed, but not the one after.
            3
        } else {
            // The reference goes on until the horizon.
            return false;
        };
        let size = u64::from(self.config.block_tokens);
        request.lone_evictions >= attempts && tokens.div_ceil(size) > u64::from(self.kv.capacity())
    }

    fn choose_victim(&self) -> usize {
        if self.victim.is_tail() {
            return self.batch.len() - 1;
        }
        let running: Vec<_> = self.batch.iter().map(|&slot| self.as_running(slot)).collect();
        self.victim.choose(&running)
    }

    /// What a preemption policy sees of a request.
    pub(crate) fn as_running(&self, slot: u32) -> Running {
        let request = &self.requests[slot as usize];
        Running { priority: request.priority, arrival: request.arrival }
    }

    /// The request goes back to the front of the wait queue.
    pub(crate) fn preempt(&mut self, slot: u32, position: usize) {
        self.counters.preemptions += 1;
        // A block that one generated token fills gets no key.
        let target = self.requests[slot as usize].target;
        let findable_blocks = if self.config.block_tokens == 1 { target as u32 } else { u32::MAX };
        if self.semantics.regenerate_after_preemption {
            self.withdraw_tokens(slot);
            self.lockstep_leave(slot);
            let request = &mut self.requests[slot as usize];
            request.itl.clear();
            request.lockstep_itl = Tick::ZERO;
            request.has_first_token = false;
        } else {
            self.leave_lockstep_alone(slot);
            let request = &mut self.requests[slot as usize];
            if request.progress >= request.target {
                request.target = request.progress + 1;
            }
        }
        self.kv.release(slot, findable_blocks);
        self.batch.remove(position);
        self.prefilling.retain(|&s| s != slot);
        self.alone.retain(|&s| s != slot);
        let request = &mut self.requests[slot as usize];
        request.progress = 0;
        request.pace = Pace::Prefill;
        let prompt_blocks = request.target / u64::from(self.config.block_tokens);
        self.kv.set_prompt_blocks(slot, prompt_blocks as u32);
        self.push_waiting(slot, true);
    }

    /// The wait queue, from its head, until somebody does not fit; those who wait for blocks from below the GPU are
    /// passed over. Then only those who hold their blocks already.
    fn admit(&mut self, now: Tick, mut budget: u64) {
        let mut passed_over = 0;
        let mut blocks_are_short = false;
        while budget > 0
            && self.batch_size() < self.config.max_num_seqs
            && let Some(head) = self.waiting.get(passed_over)
        {
            let slot = head.slot;
            let request = &self.requests[slot as usize];
            if (blocks_are_short && request.remote != Remote::Waiting)
                || (self.hides_unseen && !request.is_seen)
            {
                passed_over += 1;
                continue;
            }
            if self.has_extras {
                if self.kv.is_deferred(slot) {
                    passed_over += 1;
                    continue;
                }
                if self.lacks_adapter(slot) {
                    if self.batch.is_empty() && self.flying_requests == 0 && blocks_are_short {
                        let generation = self.requests[slot as usize].generation;
                        self.adapter_first_for = Some(SlotRef { slot, generation });
                    } else if self.first_block_holder().is_some_and(|holder| holder != slot) {
                        blocks_are_short = true;
                        continue;
                    }
                    return;
                }
            }
            let granted = match self.requests[slot as usize].remote {
                Remote::No => self.allocate_for_admission(slot, budget),
                Remote::Waiting | Remote::Used => self.allocate_for_remote(slot, budget),
            };
            let (start, tokens) = match granted {
                Granted::Tokens { start, count } => (start, count),
                Granted::NotYet => {
                    passed_over += 1;
                    continue;
                }
                Granted::Refused
                    if self.semantics.decode_part_saves_a_step || self.block_holders_waiting == 0 =>
                {
                    return;
                }
                Granted::Refused => {
                    blocks_are_short = true;
                    continue;
                }
            };
            self.waiting.remove(passed_over);
            if self.has_extras {
                self.kv.forget_deferral(slot);
                self.adapter_first_for = None;
                self.hold_adapter(slot);
                self.note_scheduled(slot, start, now);
            }
            budget -= tokens;
            let request = &mut self.requests[slot as usize];
            request.place = Place::Running;
            request.progress = start;
            request.scheduled = tokens;
            request.scheduling_delay = now - request.arrival;
            request.batch_sequence = self.next_batch_sequence;
            self.next_batch_sequence += 1;
            let decodes = start >= request.target && request.remote == Remote::Used;
            self.batch.push(slot);
            if decodes {
                self.decode_alone(slot, now);
            } else {
                self.prefilling.push(slot);
                self.push_forward(slot);
            }
        }
    }

    /// Blocks for the first chunk of a prompt.
    pub(crate) fn allocate_for_admission(&mut self, slot: u32, budget: u64) -> Granted {
        let size = u64::from(self.config.block_tokens);
        let target = self.requests[slot as usize].target;
        let findable =
            if self.semantics.fully_cached_prompt_is_free { target } else { target.saturating_sub(1) } / size;
        let mut cached = self.kv.cached_blocks(slot, findable as u32);
        if self.has_chain {
            match self.kv.fetch(slot, &self.requests[slot as usize].name, cached, findable as u32) {
                FetchAnswer::Nothing => {}
                FetchAnswer::Waits => return Granted::NotYet,
                FetchAnswer::NoRoom => {
                    self.fetch_found_no_room = true;
                    return Granted::Refused;
                }
            }
        }
        if self.kv.reload_for_admission(slot, cached, findable as u32) > 0 {
            cached = self.kv.cached_blocks(slot, findable as u32);
        }
        let start = u64::from(cached) * size;
        let count = self.chunk(target - start, budget);
        if self.kv.extend_prefill(slot, start, start + count, cached) {
            return Granted::Tokens { start, count };
        }
        self.head_was_refused = true;
        Granted::Refused
    }

    /// Puts a request that decodes alone into its list, in batch order.
    pub(crate) fn insert_alone(&mut self, slot: u32) {
        let sequence = self.requests[slot as usize].batch_sequence;
        let at = self.alone.partition_point(|&s| self.requests[s as usize].batch_sequence < sequence);
        self.alone.insert(at, slot);
    }
}
