//! Decoding in lockstep.
//!
//! Most requests get one token in every step from their first to their last. For them nothing is stored per step:
//! an instance counts its steps and sums its step times, and a request remembers the values at which it joined. Its
//! progress, its inter-token latencies, the blocks that it holds and the step in which it finishes all follow.

use crate::instance::{Instance, SlotRef};
use crate::request::Pace;
use blis_kernel::Tick;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// The instance's side of the account.
#[derive(Debug)]
pub(crate) struct Lockstep {
    block_tokens: u32,
    /// Requests that decode in lockstep.
    pub(crate) members: u64,
    /// Sum of their progress.
    pub(crate) context_tokens: u64,
    /// The largest progress of any of them; unless [`Self::has_lost_longest`].
    longest: u64,
    /// The member with the largest progress has left, and the next one was not looked for yet.
    has_lost_longest: bool,
    /// Steps formed.
    pub(crate) formed: u64,
    /// The step being formed or in flight is made of prompts: the members stand still.
    pub(crate) is_paused: bool,
    /// How long they have since the last settled step, microseconds.
    pause_us: i64,
    /// Of members that joined during that pause: how long it had lasted then, and how many they are.
    joined_in_pause: Vec<(i64, u64)>,
    /// `formed` modulo the block size.
    pub(crate) cycle: u32,
    /// Steps whose effects are settled.
    settled: u64,
    /// Sum of the inter-token latencies of all settled steps, microseconds.
    itl_us: i64,
    /// When the last settled step ended.
    last_end: Tick,
    /// Inter-token latency of each settled step since the oldest member joined.
    log: VecDeque<Tick>,
    log_start: u64,
    log_trim_at: usize,
    /// Private members that need a new block in the steps of each phase of the cycle.
    private_edges: Vec<u32>,
    /// Listed members, by the same phase.
    listed_edges: Vec<Vec<u32>>,
    listed_members: u64,
    finishes: BinaryHeap<Reverse<(u64, SlotRef)>>,
    /// The largest batch sequence of any member so far.
    pub(crate) last_sequence: u64,
    /// The members' KV accounts are up to date and not in the edges' lists (while a step is formed one by one).
    pub(crate) kv_detached: bool,
}

impl Lockstep {
    pub(crate) fn new(block_tokens: u32) -> Self {
        Self {
            block_tokens,
            members: 0,
            context_tokens: 0,
            longest: 0,
            has_lost_longest: false,
            formed: 0,
            is_paused: false,
            pause_us: 0,
            joined_in_pause: Vec::new(),
            cycle: 0,
            settled: 0,
            itl_us: 0,
            last_end: Tick::ZERO,
            log: VecDeque::new(),
            log_start: 0,
            log_trim_at: 1024,
            private_edges: vec![0; block_tokens as usize],
            listed_edges: Vec::new(),
            listed_members: 0,
            finishes: BinaryHeap::new(),
            last_sequence: 0,
            kv_detached: false,
        }
    }

    /// Private members that need a new block in the step being formed.
    #[inline]
    pub(crate) fn private_blocks_due(&self) -> u32 {
        self.private_edges[self.cycle as usize]
    }

    /// Whether a listed member fills or starts a block in the step being formed.
    #[inline]
    pub(crate) fn listed_edges_due(&self) -> bool {
        self.listed_members > 0
            && !(self.listed_edges[self.cycle as usize].is_empty()
                && self.listed_edges[self.following_phase()].is_empty())
    }

    /// Listed members that need a new block in the step being formed.
    #[inline]
    pub(crate) fn listed_blocks_due(&self) -> u32 {
        if self.listed_members == 0 { 0 } else { self.listed_edges[self.cycle as usize].len() as u32 }
    }

    /// Writes the listed members that fill or start a block in the step being formed.
    pub(crate) fn collect_listed_edges(&self, out: &mut Vec<u32>) {
        out.extend_from_slice(&self.listed_edges[self.cycle as usize]);
        if self.block_tokens > 1 {
            out.extend_from_slice(&self.listed_edges[self.following_phase()]);
        }
    }

    /// The phase whose members fill their block in the step being formed: they need a new one in the next.
    #[inline]
    fn following_phase(&self) -> usize {
        let next = self.cycle + 1;
        if next == self.block_tokens { 0 } else { next as usize }
    }

    /// A step is formed: every member has its token's place.
    #[inline]
    pub(crate) fn step_formed(&mut self) {
        if self.is_paused {
            return;
        }
        self.formed += 1;
        self.cycle = self.following_phase() as u32;
    }

    /// A step is settled: every member has its token, `itl` after the last one unless they stood still before. Tells
    /// `count` the inter-token latencies and how many they are.
    #[inline]
    pub(crate) fn step_settled(&mut self, itl: Tick, end: Tick, mut count: impl FnMut(Tick, u64)) {
        let itl = itl + Tick::from_us(std::mem::take(&mut self.pause_us));
        self.settled += 1;
        self.itl_us += itl.as_us();
        self.last_end = end;
        self.log.push_back(itl);
        self.context_tokens += self.members;
        self.longest += 1;
        let mut members = self.members;
        for (joined_at_us, newcomers) in self.joined_in_pause.drain(..) {
            members -= newcomers;
            count(itl - Tick::from_us(joined_at_us), newcomers);
        }
        if members > 0 {
            count(itl, members);
        }
    }

    /// A step of prompts is settled.
    #[cold]
    pub(crate) fn stood_still(&mut self, duration: Tick) {
        self.is_paused = false;
        if self.members > 0 {
            self.pause_us += duration.as_us();
        }
    }

    /// A member whose last step has been settled, if there is one; it may be gone by now.
    #[inline]
    pub(crate) fn pop_finished(&mut self) -> Option<SlotRef> {
        match self.finishes.peek() {
            Some(&Reverse((step, who))) if step <= self.settled => {
                self.finishes.pop();
                Some(who)
            }
            _ => None,
        }
    }

    /// Whether the log has grown so that it should be trimmed.
    #[inline]
    pub(crate) fn log_is_long(&self) -> bool {
        self.log.len() >= self.log_trim_at
    }

    fn log_since(&self, step: u64) -> impl Iterator<Item = Tick> + '_ {
        self.log.range((step - self.log_start) as usize..).copied()
    }
}

impl Instance {
    /// Tokens that a request has processed.
    #[inline]
    pub(crate) fn progress(&self, slot: u32) -> u64 {
        let request = &self.requests[slot as usize];
        match request.pace {
            Pace::Lockstep { joined_step, .. } => request.progress + (self.lockstep.settled - joined_step),
            Pace::Prefill | Pace::Alone => request.progress,
        }
    }

    /// The largest progress of any member; 0 without members.
    pub(crate) fn longest_in_lockstep(&mut self) -> u64 {
        if std::mem::take(&mut self.lockstep.has_lost_longest) {
            let members = self
                .batch
                .iter()
                .filter(|&&slot| matches!(self.requests[slot as usize].pace, Pace::Lockstep { .. }));
            self.lockstep.longest = members.map(|&slot| self.progress(slot)).max().unwrap_or(0);
        }
        if self.lockstep.members == 0 { 0 } else { self.lockstep.longest }
    }

    /// The request has its first token and decodes from the next step on.
    pub(crate) fn lockstep_join(&mut self, slot: u32) {
        let lockstep = &mut self.lockstep;
        debug_assert_eq!(lockstep.formed, lockstep.settled);
        let request = &mut self.requests[slot as usize];
        let finish = lockstep.settled + (request.finish_progress - request.progress);
        lockstep.finishes.push(Reverse((finish, SlotRef { slot, generation: request.generation })));
        lockstep.members += 1;
        lockstep.context_tokens += request.progress;
        if lockstep.members == 1 {
            (lockstep.longest, lockstep.has_lost_longest) = (0, false);
        }
        lockstep.longest = lockstep.longest.max(request.progress);
        lockstep.last_sequence = lockstep.last_sequence.max(request.batch_sequence);
        if lockstep.pause_us > 0 {
            match lockstep.joined_in_pause.last_mut() {
                Some((at_us, count)) if *at_us == lockstep.pause_us => *count += 1,
                _ => lockstep.joined_in_pause.push((lockstep.pause_us, 1)),
            }
        }
        request.pace = Pace::Lockstep {
            joined_step: lockstep.settled,
            joined_itl_us: lockstep.itl_us + lockstep.pause_us,
            joined_pause_us: lockstep.pause_us,
            kv_step: lockstep.formed,
            phase: 0,
        };
        let formed = self.lockstep.formed;
        self.kv_attach(slot, formed);
    }

    /// A member leaves that joined while the others stood still, and has had no token since.
    #[cold]
    fn forget_newcomer(&mut self, joined_at_us: i64) {
        let newcomers = &mut self.lockstep.joined_in_pause;
        let at = newcomers.iter().position(|(at, _)| *at == joined_at_us).expect("a newcomer is counted");
        newcomers[at].1 -= 1;
        if newcomers[at].1 == 0 {
            newcomers.remove(at);
        }
    }

    /// A member's inter-token latencies in lockstep.
    fn intervals(&self, joined_step: u64, joined_pause_us: i64) -> impl Iterator<Item = Tick> + '_ {
        let mut not_its_own = joined_pause_us;
        self.lockstep
            .log_since(joined_step)
            .map(move |itl| itl - Tick::from_us(std::mem::take(&mut not_its_own)))
    }

    /// Puts the member into the list of its block edges; its KV account is exact as of step `formed`.
    pub(crate) fn kv_attach(&mut self, slot: u32, formed: u64) {
        let size = u64::from(self.config.block_tokens);
        let new_phase = ((formed % size + size - self.kv.tokens(slot) % size) % size) as u32;
        let Pace::Lockstep { kv_step, phase, .. } = &mut self.requests[slot as usize].pace else {
            unreachable!("slot {slot} is not in lockstep")
        };
        (*kv_step, *phase) = (formed, new_phase);
        if self.kv.is_private(slot) {
            self.lockstep.private_edges[new_phase as usize] += 1;
        } else {
            if self.lockstep.listed_edges.is_empty() {
                self.lockstep.listed_edges.resize_with(size as usize, Vec::new);
            }
            self.lockstep.listed_members += 1;
            self.lockstep.listed_edges[new_phase as usize].push(slot);
        }
    }

    /// Brings the member's KV account up to date and takes it out of the list of block edges.
    pub(crate) fn kv_detach(&mut self, slot: u32) {
        let Pace::Lockstep { kv_step, phase, .. } = self.requests[slot as usize].pace else {
            unreachable!("slot {slot} is not in lockstep")
        };
        let steps = self.lockstep.formed - kv_step;
        if self.kv.is_private(slot) {
            self.kv.settle_private(slot, steps);
            self.lockstep.private_edges[phase as usize] -= 1;
        } else {
            self.kv.settle_listed(slot, steps);
            let edges = &mut self.lockstep.listed_edges[phase as usize];
            let at = edges.iter().position(|&s| s == slot).expect("a listed member is in its phase's list");
            edges.swap_remove(at);
            self.lockstep.listed_members -= 1;
        }
    }

    /// A listed member fills or starts a block in the step being formed; the caller has checked that blocks suffice.
    pub(crate) fn extend_listed_member(&mut self, slot: u32) {
        let position = self.progress(slot);
        let formed = self.lockstep.formed;
        let Pace::Lockstep { kv_step, .. } = &mut self.requests[slot as usize].pace else {
            unreachable!("slot {slot} is not in lockstep")
        };
        let steps = formed - std::mem::replace(kv_step, formed + 1);
        self.kv.settle_listed(slot, steps);
        let extended = self.kv.extend_decode(slot, position);
        assert!(extended, "blocks were counted before the step was formed");
    }

    /// The request leaves lockstep, if it was in it; its progress is current afterwards. Returns the number and sum
    /// of its inter-token latencies in lockstep.
    pub(crate) fn lockstep_leave(&mut self, slot: u32) -> Option<(u64, Tick)> {
        let Pace::Lockstep { joined_step, joined_itl_us, joined_pause_us, .. } =
            self.requests[slot as usize].pace
        else {
            return None;
        };
        let has_tokens = self.lockstep.settled > joined_step;
        if !has_tokens && joined_pause_us > 0 {
            self.forget_newcomer(joined_pause_us);
        }
        if !self.lockstep.kv_detached {
            self.kv_detach(slot);
        }
        let progress = self.progress(slot);
        self.lockstep.members -= 1;
        self.lockstep.context_tokens -= progress;
        self.lockstep.has_lost_longest |= progress == self.lockstep.longest;
        let request = &mut self.requests[slot as usize];
        request.progress = progress;
        request.pace = Pace::Prefill;
        request.lockstep_itl = Tick::ZERO;
        if has_tokens {
            request.last_token_at = self.lockstep.last_end;
            request.lockstep_itl = Tick::from_us(self.lockstep.itl_us - joined_itl_us);
        }
        Some((self.lockstep.settled - joined_step, request.lockstep_itl))
    }

    /// As [`Self::lockstep_leave`], for callers that need no figures.
    pub(crate) fn lockstep_leave_if_member(&mut self, slot: u32) {
        self.lockstep_leave(slot);
    }

    /// Takes back what the request has counted in the instance's inter-token latencies: only completed requests count.
    pub(crate) fn withdraw_tokens(&mut self, slot: u32) {
        if let Pace::Lockstep { joined_step, joined_pause_us, .. } = self.requests[slot as usize].pace {
            let intervals: Vec<Tick> = self.intervals(joined_step, joined_pause_us).collect();
            for itl in intervals {
                self.itl.remove(itl, 1);
            }
        }
    }

    /// The request goes on without the others, with its own list of inter-token latencies.
    pub(crate) fn leave_lockstep_alone(&mut self, slot: u32) {
        let Pace::Lockstep { joined_step, joined_pause_us, .. } = self.requests[slot as usize].pace else {
            return;
        };
        self.withdraw_tokens(slot);
        let itl = self.intervals(joined_step, joined_pause_us).collect();
        self.lockstep_leave(slot);
        let request = &mut self.requests[slot as usize];
        request.itl = itl;
        request.lockstep_itl = Tick::ZERO;
        request.pace = Pace::Alone;
    }

    /// The first of a running request's inter-token latencies.
    pub(crate) fn first_interval(&self, slot: u32) -> Option<Tick> {
        let request = &self.requests[slot as usize];
        match request.pace {
            Pace::Lockstep { joined_step, joined_pause_us, .. } => {
                self.intervals(joined_step, joined_pause_us).next()
            }
            Pace::Prefill | Pace::Alone => request.itl.first().copied(),
        }
    }

    /// Drops the part of the log from before any member joined.
    pub(crate) fn trim_log(&mut self) {
        let oldest = self
            .batch
            .iter()
            .filter_map(|&slot| match self.requests[slot as usize].pace {
                Pace::Lockstep { joined_step, .. } => Some(joined_step),
                Pace::Prefill | Pace::Alone => None,
            })
            .min()
            .unwrap_or(self.lockstep.settled);
        let lockstep = &mut self.lockstep;
        lockstep.log.drain(..(oldest - lockstep.log_start) as usize);
        lockstep.log_start = oldest;
        lockstep.log_trim_at = (2 * lockstep.log.len()).max(1024);
    }
}
