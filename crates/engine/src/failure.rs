//! An instance that fails, and one that gives its wait queue back.

use crate::instance::{Fetching, Instance, Step};
use crate::lockstep::Lockstep;
use crate::pipeline::Pipeline;
use crate::request::{Ending, Place};
use blis_kernel::{Tick, TimerQueue};

impl Instance {
    /// At `now` it loses everything: the requests that wait, run, enter or hold reserved blocks, the step in flight, the KV
    /// cache with the tiers below it, and the adapters. It goes on empty; its counters stay, but for the prompts of the
    /// requests that are lost. Every event before now must have run.
    pub fn fail(&mut self, now: Tick) {
        let lost_before = self.ended.len();
        for slot in self.running().collect::<Vec<_>>() {
            self.uncount(slot);
        }
        self.end_batch(Ending::Lost, now);
        while self.exchange_with_flying(0) {
            self.end_batch(Ending::Lost, now);
            self.drop_flying();
        }
        for waiting in std::mem::take(&mut self.waiting) {
            self.give_up(waiting.slot, Ending::Lost, now);
        }
        while let Some((_, slot)) = self.entering.pop() {
            self.give_up(slot, Ending::Lost, now);
        }
        for slot in 0..self.requests.len() as u32 {
            if self.requests[slot as usize].place == Place::Reserved {
                self.give_up(slot, Ending::Lost, now);
            }
        }
        if self.ended.len() > lost_before {
            self.clock = self.clock.max(now);
        }
        assert_eq!(self.kv.used_blocks(), 0, "an instance that lost its requests holds blocks");
        assert_eq!(self.batch_size(), 0, "an instance that lost its requests runs some");
        self.pipeline = Pipeline::new(self.latency.pipeline());
        self.landing_at = Tick::MAX;
        self.kv.audit(true);
        self.kv.clear();
        if let Some(adapters) = &mut self.adapters {
            adapters.audit(0);
            adapters.clear();
        }
        if let Some(host) = &mut self.host {
            host.restart();
        }
        self.adapter_loaded_at = Tick::MAX;
        self.lockstep = Lockstep::new(self.config.block_tokens);
        self.deadlines = TimerQueue::default();
        self.finishing.clear();
        self.queue_is_dirty = false;
        self.adapter_first_for = None;
        self.fetching = Fetching::default();
        self.step = Step::None;
    }

    /// Gives back the requests that wait and those that enter; those that run go on. Every event before `now` must have
    /// run.
    pub fn redirect_queue(&mut self, now: Tick) {
        self.stop_fetching(now);
        for waiting in std::mem::take(&mut self.waiting) {
            self.give_up(waiting.slot, Ending::Redirected, now);
        }
        while let Some((_, slot)) = self.entering.pop() {
            self.give_up(slot, Ending::Redirected, now);
        }
        self.retry_if_stalled(now);
    }

    /// A request that does not run leaves, as if it had never come.
    fn give_up(&mut self, slot: u32, ending: Ending, now: Tick) {
        self.uncount(slot);
        self.kv.release(slot, 0);
        self.leave(slot, ending, now);
    }

    /// Its prompt does not count any more.
    fn uncount(&mut self, slot: u32) {
        let request = &self.requests[slot as usize];
        if request.is_counted {
            self.counters.input_tokens -= u64::from(request.input);
        }
    }
}
