//! Who gives way when KV blocks run out.

use crate::instance::Instance;
use crate::request::{Ending, Pace};
use blis_kernel::Tick;
use blis_policy::preemption::Running;

impl Instance {
    /// Allocates for the request at position `at` of the batch, evicting others or in the end itself while blocks are
    /// short. Returns its position after the evictions, or `None` when it was evicted.
    #[allow(clippy::too_many_arguments)] // the loop state of the one caller
    pub(crate) fn extend_or_evict(
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
}
