//! How requests leave: early, or because the run ends. Those that complete leave in `settle.rs`.

use crate::instance::{Fetching, Instance, Step};
use crate::request::{Ended, Ending, Place, Remote, known};
use blis_kernel::Tick;

impl Instance {
    /// Takes a waiting or running request away, as the gateway wishes at `now`, which must not be before the events
    /// already run. Returns false, with nothing changed, when it is neither: it is still entering or has left.
    pub fn evict(&mut self, now: Tick, handle: u32) -> bool {
        let is_it = |slot: u32| self.requests[slot as usize].handle == handle;
        let running = || self.running().find(|&slot| is_it(slot));
        if let Some(at) = self.waiting.iter().position(|waiting| is_it(waiting.slot)) {
            self.stop_fetching(now);
            let slot = self.waiting.remove(at).expect("a position that was found").slot;
            self.withdraw(slot, Ending::Evicted, now);
        } else if let Some(slot) = running() {
            self.leave_its_batch(slot);
            self.withdraw(slot, Ending::Evicted, now);
        } else {
            return false;
        }
        self.clock = self.clock.max(now);
        true
    }

    /// A request that left queue and batch early gives its blocks back.
    pub(crate) fn withdraw(&mut self, slot: u32, ending: Ending, now: Tick) {
        self.kv.release(slot, 0);
        self.leave(slot, ending, now);
        if self.step == Step::None && self.batch.is_empty() && !self.waiting.is_empty() {
            self.step = Step::Due(now);
        }
        self.retry_if_stalled(now);
    }

    /// Blocks were given back: whoever waits for them tries again.
    pub(crate) fn retry_if_stalled(&mut self, now: Tick) {
        if self.step == Step::Stalled {
            self.step = if self.waiting.is_empty() { Step::None } else { Step::Due(now) };
        }
    }

    /// The request is gone; its slot is vacant.
    pub(crate) fn leave(&mut self, slot: u32, ending: Ending, at: Tick) {
        let request = &self.requests[slot as usize];
        let decoding = request.itl.iter().fold(request.lockstep_itl, |sum, &itl| sum + itl);
        let ended = Ended {
            handle: request.handle,
            ending,
            at,
            ttft: known(request.recorded_ttft),
            last_token: known(request.recorded_ttft).map(|ttft| ttft + decoding),
            e2e: None,
            itl_mean_us: 0.0,
            scheduling_delay: known(request.scheduling_delay),
            output_tokens: 0,
            first_interval: None,
        };
        self.leave_with(slot, ended);
    }

    pub(crate) fn leave_with(&mut self, slot: u32, ended: Ended) {
        self.vacate(slot);
        self.ended.push(ended);
    }

    /// The slot is free again; its request holds nothing.
    pub(crate) fn vacate(&mut self, slot: u32) {
        self.kv.forget(slot);
        if self.has_chain {
            self.kv.forget_deferral(slot);
        }
        let request = &mut self.requests[slot as usize];
        if request.remote == Remote::Waiting && request.place == Place::Waiting {
            self.block_holders_waiting -= 1;
        }
        if std::mem::take(&mut request.holds_adapter)
            && let Some(adapters) = &mut self.adapters
        {
            adapters.unpin(request.adapter);
        }
        request.place = Place::Vacant;
        request.itl = Vec::new();
        self.vacant.push(slot);
    }

    /// Ends the run: every request that is left ends as what it is doing. Returns the simulated end.
    pub fn finish(&mut self) -> Tick {
        if let (Step::Fetching, Fetching { since, until, empty_step: Some(length) }) =
            (self.step, self.fetching)
        {
            // It took empty steps up to the horizon.
            let count = (self.config.horizon.min(until) - since).as_us() / length.as_us();
            self.count_empty_steps(count as u64);
            self.clock = self.clock.max(since + Tick::from_us(count * length.as_us()));
        }
        let end = self.clock.max(self.left_at).min(self.config.horizon);
        self.end_batch(Ending::StillRunning, end);
        while self.exchange_with_flying(0) {
            self.end_batch(Ending::StillRunning, end);
            self.drop_flying();
        }
        for waiting in std::mem::take(&mut self.waiting) {
            self.kv.release(waiting.slot, 0);
            self.leave(waiting.slot, Ending::StillQueued, end);
        }
        while let Some((_, slot)) = self.entering.pop() {
            self.leave(slot, Ending::StillEntering, end);
        }
        for slot in 0..self.requests.len() as u32 {
            if self.requests[slot as usize].place == Place::Reserved {
                self.kv.release(slot, 0);
                self.leave(slot, Ending::StillReserved, end);
            }
        }
        self.step = Step::None;
        self.kv.audit(true);
        if let Some(adapters) = &self.adapters {
            adapters.audit(0);
        }
        assert_eq!(self.kv.used_blocks(), 0, "an instance without requests holds blocks");
        end
    }

    /// The batch's requests leave.
    pub(crate) fn end_batch(&mut self, ending: Ending, end: Tick) {
        for slot in std::mem::take(&mut self.batch) {
            self.withdraw_tokens(slot);
            self.lockstep_leave_if_member(slot);
            self.kv.release(slot, 0);
            self.leave(slot, ending, end);
        }
        self.prefilling.clear();
        self.alone.clear();
        self.forward.clear();
        assert_eq!(self.lockstep.members, 0, "an instance without requests decodes");
    }
}
