//! A step: its batch is formed, timed, and has its effects.

use crate::instance::{Fetching, Instance, SlotRef, Step};
use crate::request::{Pace, Remote};
use blis_kernel::Tick;
use blis_latency::{Batch, Prefill};

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
    pub(crate) fn step_time(&mut self) -> Tick {
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
}
