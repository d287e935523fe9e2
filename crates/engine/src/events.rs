//! The events of an instance.
//!
//! At one tick: the step in flight ends, requests enter the wait queue, the next step is formed, deadlines fire.

use crate::instance::{Instance, SlotRef, Step};
use crate::request::{Ending, Place};
use blis_kernel::Tick;

impl Instance {
    /// When its next event is due; [`Tick::MAX`] when nothing is.
    #[inline]
    pub fn next_event_at(&self) -> Tick {
        let step = match self.step {
            Step::Due(at) | Step::Running { end: at, .. } => at,
            Step::Fetching => self.fetching.next_step(self.fetching.until).0,
            Step::None | Step::Stalled => Tick::MAX,
        };
        let own = step.min(self.entering.next_at()).min(self.deadlines.next_at());
        own.min(self.adapter_loaded_at).min(self.landing_at)
    }

    /// Runs every event before `until`, and none after the horizon. With `stop_at_end`, returns after the first event
    /// in which a request left.
    pub fn run_before(&mut self, until: Tick, stop_at_end: bool) {
        if self.pipeline.is_some() {
            return self.run_pipeline_before(until, stop_at_end);
        }
        let ended_before = self.ended.len();
        while self.run_next(until) {
            if stop_at_end && self.ended.len() > ended_before {
                return;
            }
        }
    }

    /// Runs the next event if it is before `until`.
    #[inline]
    pub(crate) fn run_next(&mut self, until: Tick) -> bool {
        let due = |at: Tick| at < until && at <= self.config.horizon && at < Tick::MAX;
        let entry = self.entering.next_at();
        let deadline = self.deadlines.next_at();
        // An adapter is there after the requests that enter at the same time, and before the step that starts then.
        let loaded = self.adapter_loaded_at;
        let first = entry.min(loaded);
        match self.step {
            Step::Running { start, end } if end <= first && end <= deadline => {
                if !due(end) {
                    return false;
                }
                self.clock = end;
                self.settle(start, end);
                return true;
            }
            Step::Due(at) if at < first && at <= deadline => {
                if !due(at) {
                    return false;
                }
                self.clock = at;
                self.run_step(at);
                return true;
            }
            Step::Fetching => {
                let wait = self.fetching;
                let (at, empty_steps) = wait.next_step(wait.until);
                if at < first && at <= deadline {
                    if !due(at) {
                        return false;
                    }
                    self.count_empty_steps(empty_steps);
                    self.step = Step::Due(at);
                    return true;
                }
            }
            _ => {}
        }
        if first <= deadline {
            if !due(first) {
                return false;
            }
            self.run_entry();
        } else {
            if !due(deadline) {
                return false;
            }
            self.run_deadline();
        }
        true
    }

    /// When the next request enters, or an adapter is there.
    #[inline]
    pub(crate) fn next_entry_at(&self) -> Tick {
        self.entering.next_at().min(self.adapter_loaded_at)
    }

    /// When it would form its next batch; [`Tick::MAX`] when nobody waits for one.
    #[inline]
    pub(crate) fn next_step_at(&self) -> Tick {
        match self.step {
            Step::Due(at) => at,
            Step::Fetching => self.fetching.next_step(self.fetching.until).0,
            Step::None | Step::Stalled | Step::Running { .. } => Tick::MAX,
        }
    }

    /// The event of [`Self::next_entry_at`].
    #[inline]
    pub(crate) fn run_entry(&mut self) {
        let loaded = self.adapter_loaded_at;
        if loaded < self.entering.next_at() {
            self.clock = loaded;
            return self.adapter_loaded(loaded);
        }
        let (at, slot) = self.entering.pop().expect("a timer that was seen");
        self.clock = at;
        if self.host.is_some()
            && let Some(late) = self.is_late_until(slot, at)
        {
            self.entering.set(late, slot);
            return;
        }
        self.enqueue(at, slot);
    }

    /// The next deadline fires.
    #[inline]
    pub(crate) fn run_deadline(&mut self) {
        let (at, who) = self.deadlines.pop().expect("a timer that was seen");
        self.time_out(at, who);
    }

    /// The load of an adapter is done.
    #[cold]
    fn adapter_loaded(&mut self, now: Tick) {
        self.adapter_loaded_at = Tick::MAX;
        if let Some(adapters) = &mut self.adapters {
            adapters.loaded();
        }
        self.look_at_queue(now);
    }

    /// Section "enqueue": servability, past deadlines, the wait queue.
    fn enqueue(&mut self, now: Tick, slot: u32) {
        let longest = self.config.max_model_len;
        let request = &mut self.requests[slot as usize];
        let input = u64::from(request.input);
        if request.max_output == 0 && longest > 0 && input < longest {
            request.max_output = (longest - input) as i64;
        }
        let unservable = request.max_output < 0
            || (longest > 0 && input >= longest)
            || (longest > 0 && request.max_output > 0 && input + request.max_output as u64 > longest)
            || input.div_ceil(u64::from(self.config.block_tokens)) > u64::from(self.config.kv_blocks);
        if unservable {
            self.counters.dropped_unservable += 1;
            self.leave(slot, Ending::Unservable, now);
            self.look_at_queue(now);
            return;
        }
        self.counters.input_tokens += input;
        request.is_counted = true;
        let answer = u64::from(request.output.max(1)) - 1;
        request.finish_progress = input + answer;
        if longest > 0 && request.finish_progress > longest - 1 {
            request.finish_progress = longest - 1;
            request.capped = true;
        }
        if request.deadline <= now {
            self.counters.timed_out += 1;
            self.leave(slot, Ending::TimedOut, now);
            self.look_at_queue(now);
            return;
        }
        self.join_queue(slot, now);
    }

    /// The request joins the wait queue, until its deadline.
    pub(crate) fn join_queue(&mut self, slot: u32, now: Tick) {
        let request = &self.requests[slot as usize];
        if request.deadline < Tick::MAX && request.deadline <= self.config.horizon {
            let (deadline, who) = (request.deadline, SlotRef { slot, generation: request.generation });
            self.drop_dead_deadlines();
            self.deadlines.set(deadline, who);
        }
        self.stop_fetching(now);
        self.push_waiting(slot, false);
        self.look_at_queue(now);
    }

    /// A step starts if requests wait and none is due; one that could not start any request tries again.
    fn look_at_queue(&mut self, now: Tick) {
        if !self.waiting.is_empty() {
            self.stop_fetching(now);
            if matches!(self.step, Step::None | Step::Stalled) {
                self.step = Step::Due(now);
            }
        }
    }

    /// Something happens to the wait queue: if its requests wait for blocks, the next step at or after `now` does not
    /// wait for news of those.
    pub(crate) fn stop_fetching(&mut self, now: Tick) {
        if self.step == Step::Fetching {
            let (at, empty_steps) = self.fetching.next_step(now);
            self.count_empty_steps(empty_steps);
            self.step = Step::Due(at);
        }
    }

    /// So many steps were taken in which nothing could happen.
    #[cold]
    pub(crate) fn count_empty_steps(&mut self, count: u64) {
        self.counters.steps += count;
        self.counters.queue_length_sum += count * self.waiting.len() as u64;
    }

    /// Forgets deadlines of requests that are gone, so that the list follows the requests in flight.
    fn drop_dead_deadlines(&mut self) {
        while let Some((_, who)) = self.deadlines.peek() {
            if self.is_alive(*who) {
                break;
            }
            self.deadlines.pop();
        }
    }

    /// A deadline fires. One whose request is gone leaves no trace, not even in the clock.
    fn time_out(&mut self, now: Tick, who: SlotRef) {
        if !self.is_alive(who) {
            return;
        }
        self.clock = now;
        let slot = who.slot;
        self.counters.timed_out += 1;
        if self.requests[slot as usize].place == Place::Running {
            self.leave_its_batch(slot);
        } else {
            // Steps go before deadlines at the same time.
            let takes_empty_steps = self.fetching.empty_step.is_some();
            self.stop_fetching(if takes_empty_steps { now + Tick::ONE } else { now });
            self.waiting.retain(|w| w.slot != slot);
        }
        self.withdraw(slot, Ending::TimedOut, now);
    }
}
