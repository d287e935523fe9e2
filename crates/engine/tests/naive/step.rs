//! A step: its order of requests, its batch, its duration, its effects, its completions.

use super::cache::Prompt;
use super::{Event, Naive, State};
use blis_engine::{BatchFormation, Ended, Ending};
use blis_kernel::Tick;
use blis_latency::{Batch, Prefill};
use blis_policy::preemption::PreemptionKind;
use blis_policy::scheduling::SchedulerKind;

impl Naive<'_> {
    /// Section 6.
    pub(super) fn step(&mut self, now: i64) {
        self.step_pending = false;
        if self.batch.is_empty() && self.queue.is_empty() {
            return;
        }
        self.counters.steps += 1;
        self.sort_queue();
        self.fetch_found_no_room = false;
        if let Some(chain) = &mut self.cache.chain {
            chain.begin_step(now);
        }
        self.ask_for_adapter(now);
        let anybody_evicted = self.form_batch(now);
        self.counters.queue_length_sum += self.queue.len() as u64;
        if self.batch.is_empty() && !anybody_evicted {
            // Q11: whoever waits does so for the next event, or for blocks on their way.
            self.wait_for_blocks(now);
            return;
        }
        let model_us = self.step_time();
        let advance = (model_us + self.cache.take_transfer_us()).max(1);
        self.counters.peak_kv_blocks = self.counters.peak_kv_blocks.max(self.cache.used() as u32);
        if self.semantics.step_effects_at_start {
            self.have_effects(now, now + advance);
        } else {
            self.step_pending = true;
            self.running_until = Some(now + advance);
            self.schedule(now + advance, Event::StepEnd { start: now });
        }
    }

    /// 14.2.
    fn ask_for_adapter(&mut self, now: i64) {
        let (Some(&head), Some(adapters)) = (self.queue.first(), &mut self.adapters) else { return };
        if let Some(adapter) = self.scenario.requests[head].adapter
            && let Some(load_us) = adapters.gate(head, adapter, &self.batch)
        {
            self.schedule(now + load_us, Event::AdapterLoaded);
        }
    }

    /// 13.6: an empty batch, and requests that wait.
    fn wait_for_blocks(&mut self, now: i64) {
        let look = self.scenario.latency.step_time(&Batch::default()).as_us().max(1);
        let Some(chain) = &self.cache.chain else { return };
        let is_loading = self.adapters.as_ref().is_some_and(|adapters| adapters.loading.is_some());
        if is_loading && self.semantics.waits_in_empty_steps {
            return;
        }
        let news = if self.fetch_found_no_room { Some(now + look) } else { chain.next_news(look) };
        if self.queue.is_empty() || news.is_none() {
            return;
        }
        if self.semantics.waits_in_empty_steps {
            self.schedule_step(now + look);
        } else {
            let at = news.expect("news").max(now + 1);
            self.schedule(at, Event::Look(self.counters.steps));
        }
    }

    /// The step that began at `start` is over.
    pub(super) fn finish_step(&mut self, start: i64, now: i64) {
        self.step_pending = false;
        self.running_until = None;
        self.have_effects(start, now);
    }

    /// Steps 7 to 10 of section 6.
    fn have_effects(&mut self, start: i64, end: i64) {
        self.execute(start, end);
        for r in self.batch.clone() {
            self.cache.mirror(r, self.requests[r].input, self.clock);
        }
        self.complete(end);
        let is_loading = self.adapters.as_ref().is_some_and(|adapters| adapters.loading.is_some());
        let waits_for_load = is_loading && self.semantics.step_effects_at_start;
        if !self.batch.is_empty() || (!self.queue.is_empty() && !waits_for_load) {
            self.schedule_step(end);
        }
    }

    fn priority(&self, r: usize) -> i32 {
        self.scenario.priorities.priority(&self.scenario.requests[r].slo_class)
    }

    /// 5.1.
    fn sort_queue(&mut self) {
        let mut queue = std::mem::take(&mut self.queue);
        let tie = |r: usize| {
            let request = &self.scenario.requests[r];
            (request.arrival_us, request.id.as_bytes())
        };
        match self.scenario.scheduler {
            SchedulerKind::Fcfs => {}
            SchedulerKind::PriorityFcfs => queue.sort_by_key(|&r| (self.priority(r), tie(r))),
            SchedulerKind::Sjf => queue.sort_by_key(|&r| (self.requests[r].input, tie(r))),
            SchedulerKind::ReversePriority => queue.sort_by_key(|&r| (-self.priority(r), tie(r))),
            SchedulerKind::Own(_) => unreachable!("scenarios name built-in orders"),
        }
        self.queue = queue;
    }

    /// Section 7. Returns whether anybody was evicted.
    fn form_batch(&mut self, now: i64) -> bool {
        for &r in &self.batch {
            self.requests[r].new_tokens = 0;
            self.requests[r].newly_admitted = false;
        }
        let mut budget = self.scenario.max_num_batched_tokens as usize;
        self.look_for_requests();
        let prompts_first = self.scenario.batch_formation == BatchFormation::PrefillFirst;
        let mut anybody_evicted =
            self.continue_running(now, &mut budget, |prefill| prefill || !prompts_first);
        if let Some(chain) = &mut self.cache.chain {
            chain.poll();
        }
        if !anybody_evicted {
            self.admit(now, budget);
        }
        if prompts_first && !self.has_prompts() {
            // Nobody has a prompt to process: the others have the step.
            let mut budget = self.scenario.max_num_batched_tokens as usize;
            anybody_evicted |= self.continue_running(now, &mut budget, |prefill| !prefill);
        }
        self.had_prompts = self.has_prompts();
        assert!(self.batch.len() <= self.scenario.max_num_seqs as usize);
        let given: usize = self.batch.iter().map(|&r| self.requests[r].new_tokens).sum();
        assert!(given <= self.scenario.max_num_batched_tokens as usize);
        anybody_evicted
    }

    fn has_prompts(&self) -> bool {
        self.batch.iter().map(|&r| &self.requests[r]).any(|r| r.new_tokens > 0 && r.progress < r.target)
    }

    /// New requests are looked for every so many rounds, after one with prompts, and by an idle instance.
    fn look_for_requests(&mut self) {
        let interval = self.scenario.host.map_or(1, |host| host.recv_interval);
        self.rounds += 1;
        if self.rounds >= interval || self.had_prompts || self.batch.is_empty() {
            self.rounds = 0;
            self.seen.extend(&self.queue);
        }
    }

    /// When clients have the tokens of a step, after those of the step before.
    fn deliver(&mut self, start: i64, end: i64) -> (i64, i64) {
        let Some(host) = self.scenario.host.filter(|host| host.output_us_per_token > 0.0) else {
            return (start, end);
        };
        let (mut first, mut others) = (0, 0);
        for request in self.batch.iter().map(|&r| &self.requests[r]) {
            let ends_prefill = request.progress < request.target && request.computed >= request.target;
            let decodes = request.progress >= request.target && request.new_tokens > 0;
            match (ends_prefill, request.first_token) {
                (true, None) => first += 1,
                _ if ends_prefill || decodes => others += 1,
                _ => {}
            }
        }
        let chunks = f64::from(first) + f64::from(others) / f64::from(host.stream_interval);
        let before = self.delivered_at.max(start);
        self.delivered_at = self.delivered_at.max(end) + (host.output_us_per_token * chunks) as i64;
        (before, self.delivered_at)
    }

    /// How much of `missing` prompt tokens the chunk limit, the budget and the longest length allow.
    fn chunk(&self, missing: usize, done: usize, budget: usize) -> usize {
        let (limit, longest) =
            (self.scenario.long_prefill_token_threshold as usize, self.scenario.max_model_len as usize);
        let mut n = missing;
        if 0 < limit && limit < n {
            n = limit;
        }
        n = n.min(budget);
        if longest > 0 {
            n = n.min((longest - 1).saturating_sub(done));
        }
        n
    }

    /// 7.1.
    fn continue_running(&mut self, now: i64, budget: &mut usize, takes_part: impl Fn(bool) -> bool) -> bool {
        let longest = self.scenario.max_model_len as usize;
        let mut anybody_evicted = false;
        let mut i = 0;
        while i < self.batch.len() {
            if *budget == 0 {
                break;
            }
            let r = self.batch[i];
            let (progress, target) = (self.requests[r].progress, self.requests[r].target);
            if !takes_part(progress < target) {
                i += 1;
                continue;
            }
            let n = if progress < target {
                self.chunk(target - progress, progress, *budget)
            } else if self.requests[r].output > 0 && (longest == 0 || progress + 1 < longest) {
                1
            } else {
                i += 1;
                continue;
            };
            let (accepted, adjustment) = self.allocate_or_evict(now, r, n, i, budget, &mut anybody_evicted);
            i -= adjustment;
            if !accepted {
                break;
            }
            *budget -= n;
            self.requests[r].new_tokens = n;
            self.requests[r].computed += n;
            i += 1;
        }
        anybody_evicted
    }

    /// 7.4.
    fn allocate_or_evict(
        &mut self,
        now: i64,
        r: usize,
        n: usize,
        i: usize,
        budget: &mut usize,
        anybody_evicted: &mut bool,
    ) -> (bool, usize) {
        let mut adjustment = 0;
        loop {
            let request = &self.requests[r];
            let who = Prompt {
                request: r,
                chain: &request.chain,
                target: request.target,
                in_prefill: request.progress < request.target,
            };
            if self.cache.allocate(who, request.progress, request.progress + n, &[]) {
                return (true, adjustment);
            }
            if self.batch.is_empty() {
                return (false, adjustment);
            }
            *anybody_evicted = true;
            let wanted = request.progress + n;
            let v = self.choose_victim();
            let victim = self.batch.remove(v);
            if v < i - adjustment {
                adjustment += 1;
            }
            *budget += std::mem::take(&mut self.requests[victim].new_tokens);
            self.evict(victim);
            let needs = self.requests[victim].target.div_ceil(self.scenario.block_tokens as usize);
            let is_too_large = needs > self.scenario.kv_blocks as usize;
            let is_alone = victim == r && self.batch.is_empty();
            if is_too_large || (is_alone && self.can_never_grow(r, wanted)) {
                self.queue.retain(|&q| q != victim);
                self.requests[victim].recorded_ttft = None;
                self.counters.dropped_unservable += 1;
                self.end(victim, Ending::Unservable, now);
            }
            if victim == r {
                return (false, adjustment);
            }
        }
    }

    fn choose_victim(&self) -> usize {
        let mut victim = self.batch.len() - 1;
        if self.scenario.preemption == PreemptionKind::Priority {
            for i in (0..victim).rev() {
                let urgency = |i: usize| {
                    let r = self.batch[i];
                    (self.priority(r), self.scenario.requests[r].arrival_us)
                };
                if urgency(i) > urgency(victim) {
                    victim = i;
                }
            }
        }
        victim
    }

    fn evict(&mut self, r: usize) {
        self.counters.preemptions += 1;
        let request = &mut self.requests[r];
        if self.semantics.regenerate_after_preemption {
            request.itl.clear();
            request.first_token = None;
        } else if request.progress >= request.target {
            // Q14: with the token that its last step gave it.
            request.target = request.progress + 1;
        }
        request.state = State::Queued;
        request.progress = 0;
        request.computed = 0;
        self.cache.release(r);
        self.queue.insert(0, r);
    }

    /// Q10: whether a request that evicted itself, alone in the batch, would do so for ever.
    fn can_never_grow(&mut self, r: usize, tokens: usize) -> bool {
        self.requests[r].lone_evictions += 1;
        if self.scenario.horizon == Tick::MAX && self.requests[r].lone_evictions == 255 {
            return true;
        }
        let attempts = match (self.semantics.fully_cached_prompt_is_free, self.scenario.horizon) {
            (false, _) => 1,
            (true, Tick::MAX) => 3,
            (true, _) => return false,
        };
        let blocks = tokens.div_ceil(self.scenario.block_tokens as usize);
        self.requests[r].lone_evictions >= attempts && blocks > self.scenario.kv_blocks as usize
    }

    /// 7.3.
    fn admit(&mut self, now: i64, mut budget: usize) {
        let size = self.scenario.block_tokens as usize;
        let mut skipped = 0;
        while self.batch.len() < self.scenario.max_num_seqs as usize
            && self.queue.len() > skipped
            && budget > 0
        {
            let r = self.queue[skipped];
            if !self.seen.contains(&r) {
                skipped += 1;
                continue;
            }
            if self.cache.chain.as_ref().is_some_and(|chain| chain.record(r) == Some(true)) {
                skipped += 1;
                continue;
            }
            let adapter = self.scenario.requests[r].adapter;
            if let (Some(adapters), Some(adapter)) = (&self.adapters, adapter)
                && !adapters.is_resident(adapter)
            {
                return;
            }
            let cached = self.cached_prefix(r);
            let request = &self.requests[r];
            let who = Prompt { request: r, chain: &request.chain, target: request.target, in_prefill: true };
            let usable = if self.semantics.fully_cached_prompt_is_free {
                request.target
            } else {
                request.target.saturating_sub(1)
            };
            match self.cache.fetch(who, &self.scenario.requests[r].id, &cached, usable / size) {
                None => {}
                Some(true) => {
                    skipped += 1;
                    continue;
                }
                Some(false) => {
                    self.fetch_found_no_room = true;
                    return;
                }
            }
            self.cache.reload_for_admission(who, &cached, usable / size);
            let cached = self.cached_prefix(r);
            let start = cached.len() * size;
            let request = &self.requests[r];
            let n = self.chunk(request.target - start, start, budget);
            let who = Prompt { request: r, chain: &request.chain, target: request.target, in_prefill: true };
            if !self.cache.allocate(who, start, start + n, &cached) {
                return;
            }
            if let Some(chain) = &mut self.cache.chain {
                chain.forget(r);
            }
            budget -= n;
            self.queue.remove(skipped);
            self.batch.push(r);
            if let (Some(adapters), Some(adapter)) = (&mut self.adapters, adapter) {
                adapters.admit(r, adapter);
            }
            let arrival = self.scenario.requests[r].arrival_us;
            let request = &mut self.requests[r];
            request.state = State::Running;
            request.new_tokens = n;
            request.newly_admitted = true;
            request.computed = start + n;
            request.scheduling_delay = Some(now - arrival);
        }
    }

    fn cached_prefix(&mut self, r: usize) -> Vec<usize> {
        let request = &self.requests[r];
        let mut cached = self.cache.prefix(&request.chain[..request.target]);
        if !self.semantics.fully_cached_prompt_is_free {
            cached.truncate(request.target.saturating_sub(1) / self.scenario.block_tokens as usize);
        }
        cached
    }

    /// 8, steps 1 and 2.
    fn step_time(&self) -> i64 {
        let mut prefills = Vec::new();
        let mut contexts = Vec::new();
        for &r in &self.batch {
            let request = &self.requests[r];
            if request.new_tokens == 0 {
                continue;
            }
            if request.progress < request.target {
                prefills.push(Prefill {
                    prompt_tokens: request.target as u64,
                    progress: request.progress as u64,
                    new_tokens: request.new_tokens as u64,
                });
            } else {
                contexts.push(request.progress as u64);
            }
        }
        let latency = &self.scenario.latency;
        let longest = contexts.iter().copied().max().filter(|_| latency.wants_longest_decode_context());
        let batch = Batch {
            prefills: &prefills,
            decodes: contexts.len() as u64,
            decode_context_tokens: contexts.iter().sum(),
            longest_decode_context: longest.unwrap_or(0),
            decode_contexts: if latency.wants_decode_contexts() { &contexts } else { &[] },
            others: 0,
        };
        let base = latency.step_time(&batch).as_us();
        let Some(adapters) = &self.adapters else { return base };
        let scheduled = self.batch.iter().filter(|&&r| self.requests[r].new_tokens > 0);
        let factor =
            adapters.step_factor(&scheduled.filter_map(|&r| self.scenario.requests[r].adapter).collect());
        if factor > 1.0 { ((base as f64 * factor) as i64).max(1) } else { base }
    }

    /// 8, steps 3 and 4.
    fn execute(&mut self, start: i64, end: i64) {
        let otp = self.scenario.latency.overheads().output_token.as_us();
        let (start, end) = self.deliver(start, end);
        for &r in &self.batch {
            let request = &mut self.requests[r];
            let since_last_token = end - request.last_token_at + otp;
            let in_prefill = request.progress < request.target;
            if in_prefill {
                request.progress = request.computed;
            } else if request.new_tokens > 0 {
                request.progress += 1;
                let counts_idle_steps = !self.semantics.idle_steps_uncounted;
                request.itl.push(if counts_idle_steps { since_last_token } else { end - start + otp });
                request.last_token_at = end;
            }
            if request.progress == request.target && request.first_token.is_none() {
                let ttft = end + otp - self.scenario.requests[r].arrival_us;
                request.first_token = Some(ttft);
                request.recorded_ttft = Some(ttft);
                request.last_token_at = end;
            } else if in_prefill && request.progress == request.target {
                // Q14: a token between two others, whatever it took to get it.
                request.itl.push(since_last_token);
                request.last_token_at = end;
            }
        }
    }

    /// Section 9.
    fn complete(&mut self, end: i64) {
        let longest = self.scenario.max_model_len as usize;
        for r in std::mem::take(&mut self.batch) {
            let request = &self.requests[r];
            let (input, output, progress) = (request.input, request.output, request.progress);
            let is_finished = progress >= input + output.max(1) - 1;
            let is_capped = !is_finished && longest > 0 && progress >= longest - 1;
            if is_finished {
                if output > 0 && progress < input + output {
                    let who = Prompt {
                        request: r,
                        chain: &request.chain,
                        target: request.target,
                        in_prefill: false,
                    };
                    if !self.cache.allocate(who, progress, progress + 1, &[]) {
                        self.counters.kv_allocation_failures += 1;
                    }
                }
            } else if is_capped {
                self.counters.length_capped += 1;
            } else {
                self.batch.push(r);
                continue;
            }
            self.cache.release(r);
            self.schedule(end, Event::Left);
            self.record(r, end, if is_capped { Ending::LengthCapped } else { Ending::Completed });
        }
    }

    /// The figures of a completed request.
    fn record(&mut self, r: usize, end: i64, ending: Ending) {
        let request = &self.requests[r];
        let total: i64 = request.itl.iter().sum();
        for &us in &request.itl {
            *self.itl.entry(us).or_default() += 1;
        }
        let mut generated = request.progress - request.input;
        if generated < request.output {
            generated += 1;
        }
        self.counters.completed += 1;
        self.counters.output_tokens += generated as u64;
        let post_decode =
            if request.output > 0 { self.scenario.latency.overheads().post_decode.as_us() } else { 0 };
        let first_token = request.first_token.expect("a first token");
        let intervals = request.itl.len();
        let ended = Ended {
            first_interval: None,
            handle: r as u32,
            ending,
            at: Tick::from_us(end),
            ttft: request.recorded_ttft.map(Tick::from_us),
            last_token: Some(Tick::from_us(first_token + total)),
            e2e: Some(Tick::from_us(first_token + total + post_decode)),
            itl_mean_us: if intervals == 0 { 0.0 } else { total as f64 / intervals as f64 },
            scheduling_delay: request.scheduling_delay.map(Tick::from_us),
            output_tokens: generated as u32,
        };
        self.end_as(r, ended);
    }
}
