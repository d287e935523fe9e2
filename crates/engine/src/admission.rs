//! Who of the wait queue is admitted into the batch being formed: blocks and adapters.

use crate::adapters::{self, Gate};
use crate::instance::{Instance, SlotRef};
use crate::kv::FetchAnswer;
use crate::request::{Place, Remote};
use blis_kernel::Tick;

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

impl Instance {
    /// If the request at the head of the wait queue needs an adapter that is not resident, begins to load it; or the
    /// one without whose blocks the head goes nowhere.
    #[cold]
    pub(crate) fn ask_for_adapter(&mut self, now: Tick) {
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

    /// The wait queue, from its head, until somebody does not fit; those who wait for blocks from below the GPU are
    /// passed over. Then only those who hold their blocks already.
    pub(crate) fn admit(&mut self, now: Tick, mut budget: u64) {
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
}
