//! Several batches in flight, where the model's layers lie on several stages.
//!
//! As in vLLM there are at most as many batches under way as stages. While there are fewer, and somebody can be scheduled,
//! another one is formed; it passes the stages in order and waits wherever the batch before it still is. A request decodes
//! in one batch at a time, because its next token depends on the one before; chunks of one prompt follow each other in
//! consecutive batches. When a batch comes out of the last stage it has its effects, and a batch of its requests is formed
//! at once, with those who wait and fit.
//!
//! The fields of [`Instance`] that describe a batch are those of the batch being formed or settled. The others lie here,
//! the oldest first, and are exchanged with it. When all stages have work, the youngest is in the fields.

use crate::instance::{Instance, SlotRef, Step};
use crate::lockstep::Lockstep;
use crate::request::{Pace, Request};
use crate::step::longer;
use blis_kernel::Tick;
use blis_latency::pipeline;
use std::collections::VecDeque;
use std::mem;

/// A batch on its way, and who decodes together in it.
#[derive(Debug)]
struct Lane {
    start: Tick,
    end: Tick,
    batch: Vec<u32>,
    prefilling: Vec<u32>,
    alone: Vec<u32>,
    forward: Vec<SlotRef>,
    lockstep: Lockstep,
}

/// The stages and the batches in them.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// When each stage has done all it was given.
    free_at: Vec<Tick>,
    flying: VecDeque<Lane>,
    /// Without requests.
    idle: Vec<Lane>,
}

impl Pipeline {
    /// `None` where there is one stage only.
    pub(crate) fn new(stages: Option<&pipeline::Pipeline>) -> Option<Box<Self>> {
        let count = stages.map_or(1, pipeline::Pipeline::stages);
        let new = || Self { free_at: vec![Tick::ZERO; count], flying: VecDeque::new(), idle: Vec::new() };
        (count > 1).then(|| Box::new(new()))
    }
}

impl Instance {
    fn stages(&mut self) -> &mut Pipeline {
        self.pipeline.as_mut().expect("there are several stages")
    }

    /// [`Instance::run_before`] with several batches in flight.
    #[cold]
    pub(crate) fn run_pipeline_before(&mut self, until: Tick, stop_at_end: bool) {
        let ended_before = self.ended.len();
        while self.run_next_of_pipeline(until) {
            if stop_at_end && self.ended.len() > ended_before {
                return;
            }
        }
    }

    fn run_next_of_pipeline(&mut self, until: Tick) -> bool {
        // Batches end before anything else happens at that time; the one in the fields is the youngest.
        let lands_next = self.landing_at < Tick::MAX && self.landing_at <= self.next_event_at();
        if !lands_next {
            return self.run_next(until);
        }
        if self.landing_at >= until || self.landing_at > self.config.horizon {
            return false;
        }
        self.land();
        true
    }

    /// The oldest batch comes out of the last stage.
    fn land(&mut self) {
        if let Step::Running { start, end } = self.step {
            self.park(start, end);
        } else {
            assert!(self.batch.is_empty(), "a batch lands while another one is being formed");
            let lane = self.replace_lane(None);
            self.stages().idle.push(lane);
        }
        let lane = self.stages().flying.pop_front().expect("a batch that lands");
        let (start, end) = (lane.start, lane.end);
        self.flying_requests -= lane.batch.len() as u32;
        self.replace_lane(Some(lane));
        self.landing_at = self.stages().flying.front().map_or(Tick::MAX, |lane| lane.end);
        self.clock = end;
        self.settle(start, end);
        if self.step == Step::None && self.more_can_be_sent() {
            self.step = Step::Due(end);
        }
    }

    /// The batch that was formed at `now` begins its way.
    pub(crate) fn send_off(&mut self, now: Tick) {
        let (decodes, context) = self.gather_work();
        let factor = self.adapter_factor() * self.pace();
        let latency = self.latency.clone();
        let model = latency.pipeline().expect("there are several stages");
        let mut at = now + self.kv.take_transfer_latency();
        let work = self.work(decodes, context);
        let hop = model.hop_time(&work);
        let times: Vec<_> = model.stage_times(&work).map(|time| longer(time, factor)).collect();
        let stages = self.stages();
        for (stage, time) in times.into_iter().enumerate() {
            at = at.max(stages.free_at[stage]) + time;
            stages.free_at[stage] = at;
            at += hop;
        }
        let end = stages.free_at.last().copied().unwrap_or(at);
        let is_full = stages.flying.len() + 1 == stages.free_at.len();
        self.pass_on_prompts();
        if is_full {
            self.step = Step::Running { start: now, end };
            return;
        }
        self.park(now, end);
        self.step = if self.more_can_be_sent() { Step::Due(now) } else { Step::None };
    }

    /// Nobody could be scheduled at `now`: no batch was formed.
    pub(crate) fn nothing_to_send(&mut self, now: Tick, evicted: bool) {
        self.counters.steps -= 1;
        self.counters.queue_length_sum -= self.waiting.len() as u64;
        self.step = match (self.waiting.is_empty(), evicted) {
            (true, _) => Step::None,
            (false, true) => Step::Due(now + Tick::ONE),
            (false, false) => self.wait(now),
        };
    }

    /// Whether it makes sense to form another batch while there is room for one.
    fn more_can_be_sent(&self) -> bool {
        let is_open = |slot: &u32| has_work_left(&self.requests[*slot as usize]);
        let mut flying = self.pipeline.iter().flat_map(|pipeline| &pipeline.flying);
        !self.waiting.is_empty() || flying.any(|lane| lane.prefilling.iter().chain(&lane.alone).any(is_open))
    }

    /// Of the prompts of the batch that is on its way, those that go on can do so in the next batch.
    fn pass_on_prompts(&mut self) {
        let requests = &mut self.requests;
        self.forward.retain(|who| {
            let request = &mut requests[who.slot as usize];
            let ends = request.progress + request.scheduled >= request.target;
            if !ends {
                request.progress += mem::take(&mut request.scheduled);
            }
            ends
        });
    }

    /// Who is in a batch in flight and has work that it does not do joins the batch being formed.
    pub(crate) fn take_over_work(&mut self) {
        let mut pipeline = self.pipeline.take().expect("there are several stages");
        for lane in &mut pipeline.flying {
            let requests = &self.requests;
            let is_open = |slot: &u32| has_work_left(&requests[*slot as usize]);
            if !lane.prefilling.iter().chain(&lane.alone).any(is_open) {
                continue;
            }
            let lists = [
                (&mut self.batch, &mut lane.batch),
                (&mut self.prefilling, &mut lane.prefilling),
                (&mut self.alone, &mut lane.alone),
            ];
            let before = lane_size(lists[0].1);
            for (own, its) in lists {
                own.extend(its.extract_if(.., |slot| is_open(slot)));
                own.sort_unstable_by_key(|&slot| requests[slot as usize].batch_sequence);
            }
            self.flying_requests -= before - lane_size(&lane.batch);
        }
        self.pipeline = Some(pipeline);
    }

    /// Everybody who runs.
    pub(crate) fn running(&self) -> impl Iterator<Item = u32> + '_ {
        let flying = self.pipeline.iter().flat_map(|pipeline| &pipeline.flying);
        self.batch.iter().chain(flying.flat_map(|lane| &lane.batch)).copied()
    }

    /// Takes a running request out of its batch, wherever that is.
    pub(crate) fn leave_its_batch(&mut self, slot: u32) {
        let lane = self.lane_of(slot);
        if let Some(lane) = lane {
            self.exchange_with_flying(lane);
        }
        self.withdraw_tokens(slot);
        self.leave_batch(slot);
        if let Some(lane) = lane {
            self.exchange_with_flying(lane);
        }
    }

    /// Which batch in flight a running request is in, if it is in one of those that lie here.
    fn lane_of(&self, slot: u32) -> Option<usize> {
        self.pipeline.as_ref()?.flying.iter().position(|lane| lane.batch.contains(&slot))
    }

    /// If of all who run the one to give way is in flight, evicts it. What its batch does for it is lost.
    #[cold]
    pub(crate) fn evict_in_flight(&mut self, now: Tick) -> bool {
        let mut running: Vec<u32> = self.running().collect();
        running.sort_unstable_by_key(|&slot| self.requests[slot as usize].batch_sequence);
        let victim = if self.victim.is_tail() {
            running.len() - 1
        } else {
            let views: Vec<_> = running.iter().map(|&slot| self.as_running(slot)).collect();
            self.victim.choose(&views)
        };
        let slot = running[victim];
        let Some(lane) = self.lane_of(slot) else { return false };
        // The accounts of the batch being formed are not those of the victim's.
        self.exchange_with_flying(lane);
        self.forward.retain(|who| who.slot != slot);
        self.requests[slot as usize].scheduled = 0;
        let position = self.batch.iter().position(|&other| other == slot).expect("a batch that was searched");
        self.preempt(slot, position);
        self.exchange_with_flying(lane);
        if self.has_outgrown_the_cache(slot) {
            self.drop_evicted(now, slot);
        }
        true
    }

    /// The batch in the fields lies here from now on, and no batch in them.
    fn park(&mut self, start: Tick, end: Tick) {
        self.flying_requests += self.batch.len() as u32;
        let fresh = self.stages().idle.pop();
        let lane = Lane { start, end, ..self.replace_lane(fresh) };
        self.stages().flying.push_back(lane);
        self.landing_at = self.stages().flying[0].end;
    }

    /// Puts a batch into the fields, an empty one for `None`; returns the one that was there.
    fn replace_lane(&mut self, lane: Option<Lane>) -> Lane {
        let block_tokens = self.config.block_tokens;
        let mut lane = lane.unwrap_or_else(|| Lane {
            start: Tick::ZERO,
            end: Tick::ZERO,
            batch: Vec::new(),
            prefilling: Vec::new(),
            alone: Vec::new(),
            forward: Vec::new(),
            lockstep: Lockstep::new(block_tokens),
        });
        self.swap(&mut lane);
        lane
    }

    fn swap(&mut self, lane: &mut Lane) {
        mem::swap(&mut self.batch, &mut lane.batch);
        mem::swap(&mut self.prefilling, &mut lane.prefilling);
        mem::swap(&mut self.alone, &mut lane.alone);
        mem::swap(&mut self.forward, &mut lane.forward);
        mem::swap(&mut self.lockstep, &mut lane.lockstep);
    }

    /// Exchanges the batch in the fields with one in flight; false when there is none there.
    pub(crate) fn exchange_with_flying(&mut self, lane: usize) -> bool {
        let Some(mut pipeline) = self.pipeline.take() else { return false };
        let found = pipeline.flying.get_mut(lane);
        let is_there = found.is_some();
        if let Some(lane) = found {
            self.flying_requests += self.batch.len() as u32;
            self.swap(lane);
            self.flying_requests -= self.batch.len() as u32;
        }
        self.pipeline = Some(pipeline);
        is_there
    }

    /// Forgets the oldest batch in flight, whose requests are gone.
    pub(crate) fn drop_flying(&mut self) {
        let lane = self.stages().flying.pop_front().expect("a batch in flight");
        assert!(lane.batch.is_empty(), "a batch with requests is dropped");
        self.landing_at = Tick::MAX;
    }
}

fn lane_size(batch: &[u32]) -> u32 {
    batch.len() as u32
}

/// Whether a request of a batch in flight could go on in another one: its next tokens do not depend on that batch.
fn has_work_left(request: &Request) -> bool {
    match request.pace {
        Pace::Lockstep { .. } => false,
        Pace::Prefill => request.progress < request.target && request.scheduled == 0,
        Pace::Alone => request.scheduled == 0,
    }
}
