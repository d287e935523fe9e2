//! Data-parallel ranks: several schedulers whose steps are taken together.
//!
//! Each rank is an engine of its own, with its own wait queue, limits, KV cache and tiers below it, prefix cache and adapters. What ranks
//! share are the front end and the experts of the model: in every layer all ranks exchange tokens, so nobody is ahead of the others. A wave
//! begins when a rank has work and none runs; every rank that has work forms a batch, the others take part with nothing
//! (vLLM's dummy batch), and it lasts as long as the step-time model says for all batches together
//! ([`LatencyModel::step_time_of_ranks`]). A request that comes to an idle rank meanwhile waits for its end.
//!
//! At one tick: the wave ends on all ranks, requests enter, the next wave is formed, deadlines fire; the lower rank first.
//!
//! A request stays on the rank that it is handed to ([`RankBalancing`]). Who gets it is decided when it comes, by what there is then; the
//! real front end of vLLM knows what waits and runs from reports, ten a second, and counts what it has sent itself since.

use crate::adapters::AdapterFigures;
use crate::config::{CpuTierConfig, InstanceConfig, RankBalancing, RankConfig};
use crate::host::Host;
use crate::instance::{Counters, Instance, Step, rate};
use crate::journal::Happening;
use crate::kv::IndexChange;
use crate::kv::offload::OffloadFigures;
use crate::pacing::WarmUp;
use crate::request::{Ended, Reservation, Submission};
use crate::step::longer;
use blis_kernel::{DurationHistogram, Semantics, Tick};
use blis_latency::{Batch, LatencyModel};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A waiting request weighs as much as this many running ones (vLLM).
const WAITING_WEIGHT: u32 = 4;

/// What an event is, in the order of one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    WaveEnds,
    Entry,
    WaveBegins,
    Deadline,
}

/// The ranks of one instance.
pub struct Ranks {
    ranks: Vec<Instance>,
    latency: Arc<dyn LatencyModel>,
    balancing: RankBalancing,
    /// Who is next where ranks take turns.
    turn: usize,
    /// Requests at each rank, wherever there.
    in_flight: Vec<u32>,
    front_end: Option<Box<Host>>,
    /// When the wave in flight ends; [`Tick::MAX`]: there is none.
    wave_end: Tick,
    /// When the last one ended.
    free_at: Tick,
    horizon: Tick,
    waves: u64,
    queue_length_sum: u64,
    peak_kv_blocks: u32,
    /// First requests after a start that are still to come.
    cold_requests: u32,
    ended: Vec<Ended>,
    /// On how many ranks a block of each key is, if somebody wants to know.
    index: Option<FxHashMap<u64, u32>>,
    /// Decodes and the sum of their contexts of each rank in the wave being formed.
    formed: Vec<Option<(u64, u64)>>,
}

impl Ranks {
    /// Idle ranks, each of which is built from `config`.
    ///
    /// # Panics
    /// With stages, without ranks, or under the reference's reading of when steps have their effects and what waits.
    pub fn new(config: &InstanceConfig, ranks: RankConfig, latency: Arc<dyn LatencyModel>) -> Self {
        assert!(ranks.count > 0, "an instance has ranks");
        assert!(latency.pipeline().is_none(), "ranks of several stages");
        let Semantics { step_effects_at_start, waits_in_empty_steps, .. } = config.semantics;
        assert!(
            !step_effects_at_start && !waits_in_empty_steps,
            "ranks under the reference's reading of steps"
        );
        let config = of_a_rank(config, ranks.count);
        let (front_end, horizon) = (config.host.map(|host| Box::new(Host::new(host))), config.horizon);
        let count = ranks.count as usize;
        Self {
            ranks: (0..count).map(|_| Instance::new(config.clone(), Arc::clone(&latency))).collect(),
            latency,
            balancing: ranks.balancing,
            turn: 0,
            in_flight: vec![0; count],
            front_end,
            wave_end: Tick::MAX,
            free_at: Tick::ZERO,
            horizon,
            waves: 0,
            queue_length_sum: 0,
            peak_kv_blocks: 0,
            cold_requests: 0,
            ended: Vec::new(),
            index: None,
            formed: Vec::new(),
        }
    }

    /// The ranks by themselves, to look at.
    pub fn ranks(&self) -> &[Instance] {
        &self.ranks
    }

    fn sum(&self, of: impl Fn(&Instance) -> u32) -> u32 {
        self.ranks.iter().map(of).sum()
    }

    pub(crate) fn queue_depth(&self) -> u32 {
        self.sum(Instance::queue_depth)
    }

    pub(crate) fn batch_size(&self) -> u32 {
        self.sum(Instance::batch_size)
    }

    pub(crate) fn kv_utilization(&self) -> f64 {
        f64::from(self.sum(|rank| rank.kv.used_blocks())) / f64::from(self.kv_blocks())
    }

    pub(crate) fn kv_blocks(&self) -> u32 {
        self.sum(Instance::kv_blocks)
    }

    pub(crate) fn kv_tokens(&self) -> u64 {
        self.ranks.iter().map(Instance::kv_tokens).sum()
    }

    pub(crate) fn counters(&self) -> Counters {
        let of = |count: fn(&Counters) -> u64| self.ranks.iter().map(|rank| count(rank.counters())).sum();
        Counters {
            completed: of(|rank| rank.completed),
            dropped_unservable: of(|rank| rank.dropped_unservable),
            timed_out: of(|rank| rank.timed_out),
            length_capped: of(|rank| rank.length_capped),
            preemptions: of(|rank| rank.preemptions),
            kv_allocation_failures: of(|rank| rank.kv_allocation_failures),
            input_tokens: of(|rank| rank.input_tokens),
            output_tokens: of(|rank| rank.output_tokens),
            steps: self.waves,
            queue_length_sum: self.queue_length_sum,
            peak_kv_blocks: self.peak_kv_blocks,
        }
    }

    pub(crate) fn take_inter_token_latencies(&mut self) -> DurationHistogram {
        let mut all = DurationHistogram::default();
        for rank in &mut self.ranks {
            all.merge(&rank.take_inter_token_latencies());
        }
        all
    }

    pub(crate) fn clock(&self) -> Tick {
        self.ranks.iter().map(Instance::clock).max().unwrap_or_default()
    }

    pub(crate) fn cache_hits_and_misses(&self) -> (u64, u64) {
        self.ranks.iter().map(Instance::cache_hits_and_misses).fold((0, 0), add)
    }

    pub(crate) fn kv_thrashing_rate(&self) -> f64 {
        rate(self.ranks.iter().map(|rank| rank.kv.thrashing()).fold((0, 0), add))
    }

    pub(crate) fn has_adapter(&self, adapter: u32) -> bool {
        self.ranks.iter().any(|rank| rank.has_adapter(adapter))
    }

    pub(crate) fn adapter_figures(&self) -> Vec<AdapterFigures> {
        let mut all = self.ranks[0].adapter_figures().to_vec();
        for rank in &self.ranks[1..] {
            for (sum, own) in all.iter_mut().zip(rank.adapter_figures()) {
                sum.loads += own.loads;
                sum.evictions += own.evictions;
                sum.hits += own.hits;
            }
        }
        all
    }

    pub(crate) fn offload_figures(&self) -> Option<OffloadFigures> {
        let mut all = self.ranks[0].offload_figures()?;
        for own in self.ranks[1..].iter().filter_map(Instance::offload_figures) {
            all.add(&own);
        }
        Some(all)
    }

    pub(crate) fn keep_index_journal(&mut self) {
        self.ranks.iter_mut().for_each(Instance::keep_index_journal);
        self.index = Some(FxHashMap::default());
    }

    /// A key is there as soon as one rank has it, and gone when none has.
    pub(crate) fn drain_index_journal(&mut self, mut tell: impl FnMut(IndexChange)) {
        let Some(index) = &mut self.index else { return };
        for rank in &mut self.ranks {
            for change in rank.drain_index_journal() {
                match change {
                    IndexChange::Added(key) => {
                        let holders = index.entry(key).or_default();
                        *holders += 1;
                        if *holders == 1 {
                            tell(change);
                        }
                    }
                    IndexChange::Removed(key) => {
                        let holders = index.get_mut(&key).expect("a removed key was added before");
                        *holders -= 1;
                        if *holders == 0 {
                            index.remove(&key);
                            tell(change);
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn drain_ended(&mut self) -> std::vec::Drain<'_, Ended> {
        self.ended.drain(..)
    }

    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    pub(crate) fn submit(&mut self, now: Tick, request: Submission) {
        let through = self.front_end.as_mut().map_or(now, |host| host.pass(now, request.input_tokens));
        let rank = self.first_choice();
        self.hand_to(rank);
        self.mark_cold(rank);
        self.ranks[rank].submit_behind(now, through, request);
    }

    /// A request is at this rank from now on.
    fn hand_to(&mut self, rank: usize) {
        self.in_flight[rank] += 1;
        self.turn = (rank + 1) % self.ranks.len();
    }

    fn load(&self, rank: usize) -> u32 {
        let running = self.ranks[rank].batch_size();
        WAITING_WEIGHT * (self.in_flight[rank] - running) + running
    }

    fn first_choice(&self) -> usize {
        match self.balancing {
            RankBalancing::LeastLoaded => {
                (0..self.ranks.len()).min_by_key(|&rank| self.load(rank)).unwrap_or(0)
            }
            RankBalancing::RoundRobin => self.turn,
        }
    }

    /// All ranks, the one that should get a request first.
    fn choices(&self) -> Vec<usize> {
        let count = self.ranks.len();
        let mut ranks: Vec<usize> = (0..count).collect();
        match self.balancing {
            RankBalancing::LeastLoaded => ranks.sort_by_key(|&rank| self.load(rank)),
            RankBalancing::RoundRobin => ranks.rotate_left(self.turn),
        }
        ranks
    }

    /// The next of the instance's first requests is one of the rank's.
    fn mark_cold(&mut self, rank: usize) {
        if self.cold_requests > 0 {
            self.cold_requests -= 1;
            self.ranks[rank].pacing.expect_cold();
        }
    }

    /// The first rank by preference that has room.
    pub(crate) fn reserve(&mut self, request: &Submission, reuses_cache: bool) -> Option<Reservation> {
        self.choices().into_iter().find_map(|rank| {
            let reservation = self.ranks[rank].reserve(request.clone(), reuses_cache)?;
            self.hand_to(rank);
            Some(Reservation { rank: rank as u32, ..reservation })
        })
    }

    pub(crate) fn cancel(&mut self, now: Tick, reservation: Reservation) {
        let rank = reservation.rank as usize;
        self.ranks[rank].cancel(now, reservation);
        self.in_flight[rank] -= 1;
    }

    pub(crate) fn enter_reserved(&mut self, now: Tick, reservation: Reservation) {
        let rank = reservation.rank as usize;
        self.mark_cold(rank);
        self.ranks[rank].enter_reserved(now, reservation);
        self.collect(rank);
    }

    /// Takes in the requests that left a rank.
    fn collect(&mut self, rank: usize) {
        let left = &mut self.ranks[rank].ended;
        if !left.is_empty() {
            self.in_flight[rank] -= left.len() as u32;
            self.ended.append(left);
        }
    }

    fn next_event(&self) -> (Tick, Part, usize) {
        let mut next = (self.wave_end, Part::WaveEnds, 0);
        for (number, rank) in self.ranks.iter().enumerate() {
            next = next.min((rank.next_entry_at(), Part::Entry, number)).min((
                rank.deadlines.next_at(),
                Part::Deadline,
                number,
            ));
            if self.wave_end == Tick::MAX {
                next = next.min((rank.next_step_at().max(self.free_at), Part::WaveBegins, 0));
            }
        }
        next
    }

    pub(crate) fn next_event_at(&self) -> Tick {
        self.next_event().0
    }

    pub(crate) fn run_before(&mut self, until: Tick, stop_at_end: bool) {
        let ended_before = self.ended.len();
        loop {
            let (at, part, rank) = self.next_event();
            if at >= until || at > self.horizon || at == Tick::MAX {
                return;
            }
            match part {
                Part::WaveEnds => self.end_wave(),
                Part::WaveBegins => self.begin_wave(at),
                Part::Entry => {
                    self.ranks[rank].run_entry();
                    self.collect(rank);
                }
                Part::Deadline => {
                    self.ranks[rank].run_deadline();
                    self.collect(rank);
                }
            }
            if stop_at_end && self.ended.len() > ended_before {
                return;
            }
        }
    }

    /// The wave has its effects on all ranks.
    fn end_wave(&mut self) {
        self.free_at = std::mem::replace(&mut self.wave_end, Tick::MAX);
        for number in 0..self.ranks.len() {
            let rank = &mut self.ranks[number];
            if let Step::Running { start, end } = rank.step {
                rank.clock = end;
                rank.settle(start, end);
                self.collect(number);
            }
        }
    }

    /// Every rank that has work forms a batch; if any does, a wave begins.
    fn begin_wave(&mut self, now: Tick) {
        let attempts = |ranks: &[Instance]| ranks.iter().map(|rank| rank.counters.steps).sum::<u64>();
        let attempts_before = attempts(&self.ranks);
        self.formed.clear();
        let (mut adapters, mut pace, mut transfers) = (1.0_f64, 1.0_f64, Tick::ZERO);
        for number in 0..self.ranks.len() {
            let rank = &mut self.ranks[number];
            let mut work = None;
            if rank.next_step_at() <= now {
                rank.clock = now;
                rank.step = Step::Due(now);
                if rank.form_step(now) {
                    work = Some(rank.gather_work());
                    if rank.has_extras {
                        adapters = adapters.max(rank.adapter_factor());
                    }
                    pace = pace.max(rank.pace());
                    transfers = transfers.max(rank.kv.take_transfer_latency());
                }
                self.collect(number);
            }
            self.formed.push(work);
        }
        if attempts(&self.ranks) > attempts_before {
            self.waves += 1;
            self.queue_length_sum += u64::from(self.queue_depth());
        }
        if self.formed.iter().all(Option::is_none) {
            return;
        }
        self.peak_kv_blocks = self.peak_kv_blocks.max(self.sum(|rank| rank.kv.used_blocks()));
        let works = self.ranks.iter().zip(&self.formed);
        let batches: Vec<Batch<'_>> = works
            .map(|(rank, work)| match *work {
                Some((decodes, context)) => rank.work(decodes, context),
                None => Batch::default(),
            })
            .collect();
        let step_time = longer(longer(self.latency.step_time_of_ranks(&batches), adapters), pace);
        let end = now + (step_time + transfers).max(Tick::ONE);
        for (rank, _) in self.ranks.iter_mut().zip(&self.formed).filter(|(_, work)| work.is_some()) {
            rank.step = Step::Running { start: now, end };
        }
        self.wave_end = end;
    }

    pub(crate) fn evict(&mut self, now: Tick, handle: u32) -> bool {
        let Some(rank) = (0..self.ranks.len()).find(|&rank| self.ranks[rank].evict(now, handle)) else {
            return false;
        };
        self.collect(rank);
        true
    }

    pub(crate) fn fail(&mut self, now: Tick) {
        for rank in 0..self.ranks.len() {
            self.ranks[rank].fail(now);
            self.collect(rank);
        }
        if let Some(host) = &mut self.front_end {
            host.restart();
        }
        self.wave_end = Tick::MAX;
    }

    pub(crate) fn redirect_queue(&mut self, now: Tick) {
        for rank in 0..self.ranks.len() {
            self.ranks[rank].redirect_queue(now);
            self.collect(rank);
        }
    }

    pub(crate) fn set_slowness(&mut self, factor: f64) {
        self.ranks.iter_mut().for_each(|rank| rank.set_slowness(factor));
    }

    /// The first requests are those of the instance, whichever rank they come to.
    pub(crate) fn begin_warm_up(&mut self, warm_up: WarmUp) {
        self.cold_requests = warm_up.requests;
        self.ranks.iter_mut().for_each(|rank| rank.begin_warm_up(WarmUp { requests: 0, ..warm_up }));
    }

    pub(crate) fn keep_journal(&mut self) {
        self.ranks.iter_mut().for_each(Instance::keep_journal);
    }

    /// Rank by rank: in order of time for every request.
    pub(crate) fn take_journal(&mut self) -> Vec<Happening> {
        self.ranks.iter_mut().flat_map(Instance::take_journal).collect()
    }

    pub(crate) fn is_deadlocked(&self) -> bool {
        self.ranks.iter().any(Instance::is_deadlocked)
    }

    pub(crate) fn finish(&mut self) -> Tick {
        let clock = self.clock();
        let mut end = Tick::ZERO;
        for rank in 0..self.ranks.len() {
            self.ranks[rank].clock = clock;
            end = end.max(self.ranks[rank].finish());
            self.collect(rank);
        }
        self.wave_end = Tick::MAX;
        assert!(self.in_flight.iter().all(|&count| count == 0), "ranks lose requests: {:?}", self.in_flight);
        end
    }
}

/// What a rank is built from: it has its share of the CPU tier. A chain is of a GPU, and each rank has GPUs of its own.
fn of_a_rank(config: &InstanceConfig, count: u32) -> InstanceConfig {
    let cpu_tier = config.cpu_tier.map(|tier| CpuTierConfig { blocks: (tier.blocks / count).max(1), ..tier });
    InstanceConfig { ranks: None, cpu_tier, ..config.clone() }
}

fn add(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0 + b.0, a.1 + b.1)
}
