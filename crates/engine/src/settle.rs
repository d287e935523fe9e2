//! The effects of a step: tokens, first tokens, completions.

use crate::instance::{Instance, SlotRef, Step};
use crate::journal::Happening;
use crate::request::{Ended, Ending, Pace, Remote, known};
use blis_kernel::Tick;

impl Instance {
    /// The step of `start .. end` has its effects. Called at its end, or at its start under Q1.
    pub(crate) fn settle(&mut self, start: Tick, end: Tick) {
        if self.has_extras {
            self.note_decoded(end);
        }
        let (before, seen) = if self.has_deliveries { self.deliver(start, end) } else { (start, end) };
        let itl = seen - before + self.overheads.output_token;
        if self.lockstep.is_paused {
            self.lockstep.stood_still(seen - before);
        } else {
            let counted = &mut self.itl;
            self.lockstep.step_settled(itl, seen, |itl, tokens| counted.add(itl, tokens));
        }
        for i in 0..self.alone.len() {
            let slot = self.alone[i];
            let request = &mut self.requests[slot as usize];
            if request.scheduled == 0 {
                continue;
            }
            let latency = if self.semantics.idle_steps_uncounted {
                itl
            } else {
                seen - request.last_token_at + self.overheads.output_token
            };
            request.itl.push(latency);
            request.last_token_at = seen;
            request.progress += 1;
            if request.progress >= request.finish_progress {
                self.finishing.push(slot);
            }
        }
        while let Some(who) = self.lockstep.pop_finished() {
            // An entry from before a preemption comes too early.
            let request = &self.requests[who.slot as usize];
            let is_finished = self.is_alive(who)
                && matches!(request.pace, Pace::Lockstep { .. })
                && self.progress(who.slot) >= request.finish_progress;
            if is_finished {
                self.finishing.push(who.slot);
            }
        }
        self.settle_prefill(end, seen);
        if self.kv.needs_listed_keys() {
            for i in 0..self.batch.len() {
                let slot = self.batch[i];
                self.kv.mirror(slot, self.requests[slot as usize].input, self.clock);
            }
        }
        if !self.finishing.is_empty() {
            self.complete_finished(end);
        }
        if self.lockstep.log_is_long() {
            self.trim_log();
        }
        // Under Q1 the load of an adapter, once done, does not wait for the step that goes on.
        let waits_for_load = self.adapter_loaded_at < Tick::MAX && self.semantics.step_effects_at_start;
        let is_idle = self.batch.is_empty() && (self.waiting.is_empty() || waits_for_load);
        self.step = if is_idle { Step::None } else { Step::Due(end) };
    }

    /// Prompt tokens of the step; whoever has processed its whole prompt gets a token, which its client sees at `seen`.
    fn settle_prefill(&mut self, end: Tick, seen: Tick) {
        if self.forward.is_empty() {
            return;
        }
        let forward = std::mem::take(&mut self.forward);
        for &who in &forward {
            if !self.is_alive(who) {
                continue;
            }
            let slot = who.slot;
            let request = &mut self.requests[slot as usize];
            request.progress += std::mem::take(&mut request.scheduled);
            if request.progress < request.target {
                continue;
            }
            if let Some(journal) = &mut self.journal {
                journal.push(Happening::Token { handle: request.handle, at: end });
            }
            let resumed = std::mem::replace(&mut request.has_first_token, true);
            if resumed {
                request.itl.push(seen - request.last_token_at + self.overheads.output_token);
            } else {
                let ttft = seen + self.overheads.output_token - request.arrival;
                request.recorded_ttft = ttft;
            }
            request.last_token_at = seen;
            if request.progress >= request.finish_progress {
                self.finishing.push(slot);
                continue;
            }
            if resumed {
                request.pace = Pace::Alone;
                self.insert_alone(slot);
            } else {
                self.lockstep_join(slot);
            }
        }
        self.forward = forward;
        self.forward.clear();
        let requests = &self.requests;
        self.prefilling.retain(|&slot| {
            let request = &requests[slot as usize];
            request.progress < request.target && !matches!(request.pace, Pace::Lockstep { .. })
        });
    }

    /// The finishing requests leave, in batch order.
    fn complete_finished(&mut self, end: Tick) {
        let mut finishing = std::mem::take(&mut self.finishing);
        if finishing.len() > 1 {
            finishing.sort_unstable_by_key(|&slot| self.requests[slot as usize].batch_sequence);
        }
        for &slot in &finishing {
            remove_member(&mut self.batch, slot);
            if !self.alone.is_empty() {
                self.alone.retain(|&s| s != slot);
            }
            self.complete(slot, end);
        }
        finishing.clear();
        self.finishing = finishing;
    }

    /// A request has its last token.
    fn complete(&mut self, slot: u32, end: Tick) {
        let first_interval = if self.requests[slot as usize].remote == Remote::Used {
            self.first_interval(slot)
        } else {
            None
        };
        let lockstep = self.lockstep_leave(slot);
        let request = &self.requests[slot as usize];
        let (intervals, total) = lockstep.unwrap_or_else(|| {
            for &itl in &request.itl {
                self.itl.add(itl, 1);
            }
            (request.itl.len() as u64, request.itl.iter().fold(Tick::ZERO, |sum, &itl| sum + itl))
        });
        let (input, output) = (u64::from(request.input), u64::from(request.output));
        let (progress, capped) = (request.progress, request.capped);
        // The last token takes a slot too, though nobody reads it (Q6).
        if !capped && output > 0 && progress < input + output && !self.kv.extend_decode(slot, progress) {
            self.counters.kv_allocation_failures += 1;
        }
        self.kv.release(slot, 0);
        let generated = (progress - input + 1).min(output);
        let request = &self.requests[slot as usize];
        // Without a first token of its own (B7), its latencies count from its admission here.
        let first_token = known(request.recorded_ttft);
        let overhead = if output > 0 { self.overheads.post_decode } else { Tick::ZERO };
        let last_token = first_token.unwrap_or_default() + total;
        let ended = Ended {
            handle: request.handle,
            ending: if capped { Ending::LengthCapped } else { Ending::Completed },
            at: end,
            ttft: first_token,
            last_token: Some(last_token),
            e2e: Some(last_token + overhead),
            itl_mean_us: if intervals == 0 { 0.0 } else { total.as_us() as f64 / intervals as f64 },
            scheduling_delay: known(request.scheduling_delay),
            output_tokens: generated as u32,
            first_interval,
        };
        self.counters.completed += 1;
        self.counters.length_capped += u64::from(capped);
        self.counters.output_tokens += generated;
        if end <= self.config.horizon {
            self.left_at = self.left_at.max(end);
        }
        self.leave_with(slot, ended);
    }

    /// Takes a running request out of the batch and its lists; its KV account is current afterwards.
    pub(crate) fn leave_batch(&mut self, slot: u32) {
        self.lockstep_leave(slot);
        remove_member(&mut self.batch, slot);
        self.prefilling.retain(|&s| s != slot);
        self.alone.retain(|&s| s != slot);
        self.forward.retain(|&SlotRef { slot: s, .. }| s != slot);
    }
}

/// Takes `slot` out of the batch; the others keep their order.
fn remove_member(batch: &mut Vec<u32>, slot: u32) {
    let at = batch.iter().position(|&s| s == slot).expect("a running request is in the batch");
    batch.remove(at);
}
