//! Requests whose prompt another instance processes.
//!
//! Blocks are reserved while the KV is on its way; when it is here the request joins the wait queue. Its last prompt
//! token is computed here again, which gives the first token. Under B7 it decodes at once instead, and the first of its
//! steps counts both as a first token that somebody else had and as one of its own.

use crate::admission::Granted;
use crate::instance::Instance;
use crate::request::{Ending, Pace, Place, Remote, Reservation, Submission};
use blis_kernel::Tick;

impl Instance {
    /// Sets blocks aside for the whole prompt, with what the prefix cache has of it when `reuses_cache`. `None`, with
    /// nothing changed, when blocks are short. Every event before now must have run.
    pub fn reserve(&mut self, request: Submission, reuses_cache: bool) -> Option<Reservation> {
        let input = u64::from(request.input_tokens);
        let size = u64::from(self.config.block_tokens);
        let slot = self.occupy(request);
        let cached_blocks = if reuses_cache {
            self.kv.cached_blocks(slot, (input.saturating_sub(1) / size) as u32)
        } else {
            0
        };
        if !self.kv.extend_prefill(slot, u64::from(cached_blocks) * size, input, cached_blocks) {
            // A reload from a lower tier leaves what it found, even in an allocation that is refused.
            self.kv.release(slot, 0);
            self.vacate(slot);
            return None;
        }
        let request = &mut self.requests[slot as usize];
        request.place = Place::Reserved;
        request.remote = Remote::Waiting;
        Some(Reservation { rank: 0, slot, cached_blocks })
    }

    /// Gives the blocks of a reservation back at `now`. What should have come in them has not: nobody finds it.
    pub fn cancel(&mut self, now: Tick, reservation: Reservation) {
        self.kv.unname(reservation.slot, reservation.cached_blocks);
        self.kv.release(reservation.slot, 0);
        self.vacate(reservation.slot);
        self.retry_if_stalled(now);
    }

    /// The KV of a reservation is here: the request waits from now on, unless its deadline has passed.
    pub fn enter_reserved(&mut self, now: Tick, reservation: Reservation) {
        let slot = reservation.slot;
        self.clock = self.clock.max(now);
        self.mark_cold(slot);
        self.set_finish_of_remote(slot);
        if self.requests[slot as usize].deadline <= now {
            self.counters.timed_out += 1;
            self.kv.release(slot, 0);
            self.leave(slot, Ending::TimedOut, now);
            self.retry_if_stalled(now);
            return;
        }
        self.block_holders_waiting += 1;
        self.join_queue(slot, now);
    }

    fn set_finish_of_remote(&mut self, slot: u32) {
        let longest = self.config.max_model_len;
        let decodes_at_once = self.semantics.decode_part_saves_a_step;
        let request = &mut self.requests[slot as usize];
        let input = u64::from(request.input);
        request.finish_progress = input + u64::from(request.output.max(1)) - 1;
        // Nobody looks at the length before its first step.
        let earliest = if decodes_at_once { input + 1 } else { input };
        let limit = longest.saturating_sub(1).max(earliest);
        if longest > 0 && request.finish_progress > limit {
            request.finish_progress = limit;
            request.capped = true;
        }
    }

    /// What a request with a remote prompt gets in the step that admits it.
    pub(crate) fn allocate_for_remote(&mut self, slot: u32, budget: u64) -> Granted {
        let decodes_at_once = self.semantics.decode_part_saves_a_step;
        let request = &mut self.requests[slot as usize];
        let target = request.target;
        if request.remote == Remote::Used {
            // After a preemption the KV is gone.
            if !decodes_at_once {
                request.remote = Remote::No;
                return self.allocate_for_admission(slot, budget);
            }
            if self.kv.extend_prefill(slot, 0, 1, 0) {
                return Granted::Tokens { start: 0, count: 1 };
            }
            return Granted::Refused;
        }
        if decodes_at_once && !self.kv.extend_decode(slot, target) {
            return Granted::Refused;
        }
        self.requests[slot as usize].remote = Remote::Used;
        self.block_holders_waiting -= 1;
        let start = if decodes_at_once { target } else { target - 1 };
        Granted::Tokens { start, count: 1 }
    }

    /// A request that is admitted at `now` decodes in this step already.
    pub(crate) fn decode_alone(&mut self, slot: u32, now: Tick) {
        let request = &mut self.requests[slot as usize];
        request.pace = Pace::Alone;
        request.last_token_at = now;
        self.insert_alone(slot);
    }
}
