//! What a cluster sees of an instance, whether it has one scheduler or a rank each of several.

use crate::adapters::AdapterFigures;
use crate::config::InstanceConfig;
use crate::instance::{Counters, Instance};
use crate::journal::Happening;
use crate::kv::IndexChange;
use crate::kv::offload::OffloadFigures;
use crate::pacing::WarmUp;
use crate::ranks::Ranks;
use crate::request::{Ended, Reservation, Submission};
use blis_kernel::{DurationHistogram, Tick};
use blis_latency::LatencyModel;
use std::sync::Arc;

/// A serving instance. Figures of one with several ranks are sums over them; its steps are the waves that they take together, its
/// peaks those of all together.
#[allow(clippy::large_enum_variant)] // nearly all are the large one
pub enum Replica {
    /// One scheduler.
    One(Instance),
    /// Several, whose steps are taken together.
    Ranks(Box<Ranks>),
}

/// The same of both.
macro_rules! of {
    ($replica:expr, $it:ident => $what:expr) => {
        match $replica {
            Replica::One($it) => $what,
            Replica::Ranks($it) => $what,
        }
    };
}

impl Replica {
    /// An idle instance.
    pub fn new(config: InstanceConfig, latency: Arc<dyn LatencyModel>) -> Self {
        match config.ranks {
            None => Self::One(Instance::new(config, latency)),
            Some(ranks) => Self::Ranks(Box::new(Ranks::new(&config, ranks, latency))),
        }
    }

    /// One of its schedulers: what all of them have in common.
    #[inline]
    fn first(&self) -> &Instance {
        match self {
            Self::One(instance) => instance,
            Self::Ranks(ranks) => &ranks.ranks()[0],
        }
    }

    /// Requests waiting.
    #[inline]
    pub fn queue_depth(&self) -> u32 {
        of!(self, it => it.queue_depth())
    }

    /// Requests running.
    #[inline]
    pub fn batch_size(&self) -> u32 {
        of!(self, it => it.batch_size())
    }

    /// Share of the KV blocks in use, 0 to 1.
    #[inline]
    pub fn kv_utilization(&self) -> f64 {
        of!(self, it => it.kv_utilization())
    }

    /// KV blocks that it has.
    pub fn kv_blocks(&self) -> u32 {
        of!(self, it => it.kv_blocks())
    }

    /// KV blocks that a single request can have.
    pub fn kv_blocks_of_a_rank(&self) -> u32 {
        self.first().kv_blocks()
    }

    /// Tokens that its KV cache holds.
    pub fn kv_tokens(&self) -> u64 {
        of!(self, it => it.kv_tokens())
    }

    /// See [`Instance::post_decode_overhead`].
    #[inline]
    pub fn post_decode_overhead(&self) -> Tick {
        self.first().post_decode_overhead()
    }

    /// See [`Instance::token_processing_time`].
    pub fn token_processing_time(&self) -> Tick {
        self.first().token_processing_time()
    }

    /// Its counters so far.
    pub fn counters(&self) -> Counters {
        match self {
            Self::One(instance) => instance.counters().clone(),
            Self::Ranks(ranks) => ranks.counters(),
        }
    }

    /// See [`Instance::take_inter_token_latencies`].
    pub fn take_inter_token_latencies(&mut self) -> DurationHistogram {
        of!(self, it => it.take_inter_token_latencies())
    }

    /// The time of its last event.
    #[inline]
    pub fn clock(&self) -> Tick {
        of!(self, it => it.clock())
    }

    /// Block claims served from the cache, and those that were not.
    pub fn cache_hits_and_misses(&self) -> (u64, u64) {
        of!(self, it => it.cache_hits_and_misses())
    }

    /// See [`Instance::kv_thrashing_rate`].
    pub fn kv_thrashing_rate(&self) -> f64 {
        of!(self, it => it.kv_thrashing_rate())
    }

    /// Whether the adapter of this number is resident, on some rank.
    #[inline]
    pub fn has_adapter(&self, adapter: u32) -> bool {
        of!(self, it => it.has_adapter(adapter))
    }

    /// What happened to each adapter, by number; empty without adapters.
    pub fn adapter_figures(&self) -> Vec<AdapterFigures> {
        match self {
            Self::One(instance) => instance.adapter_figures().to_vec(),
            Self::Ranks(ranks) => ranks.adapter_figures(),
        }
    }

    /// What the chains of tiers below the GPUs did, if there are any.
    pub fn offload_figures(&self) -> Option<OffloadFigures> {
        of!(self, it => it.offload_figures())
    }

    /// See [`Instance::needs_listed_keys`].
    pub fn needs_listed_keys(&self) -> bool {
        self.first().needs_listed_keys()
    }

    /// See [`Instance::mixes_blocks`].
    pub fn mixes_blocks(&self) -> bool {
        self.first().mixes_blocks()
    }

    /// From now on remember changes of the prefix caches' indexes.
    pub fn keep_index_journal(&mut self) {
        of!(self, it => it.keep_index_journal());
    }

    /// Tells the changes since the last call, oldest first: which keys are on some rank.
    pub fn drain_index_journal(&mut self, tell: impl FnMut(IndexChange)) {
        match self {
            Self::One(instance) => instance.drain_index_journal().for_each(tell),
            Self::Ranks(ranks) => ranks.drain_index_journal(tell),
        }
    }

    /// Requests that left since the last call, in order of leaving.
    #[inline]
    pub fn drain_ended(&mut self) -> std::vec::Drain<'_, Ended> {
        of!(self, it => it.drain_ended())
    }

    /// Whether any request left since the last drain.
    #[inline]
    pub fn has_ended(&self) -> bool {
        of!(self, it => it.has_ended())
    }

    /// Hands a request over at `now`. Every event before now must have run, and none after it.
    #[inline]
    pub fn submit(&mut self, now: Tick, request: Submission) {
        of!(self, it => it.submit(now, request));
    }

    /// When its next event is due; [`Tick::MAX`] when nothing is.
    #[inline]
    pub fn next_event_at(&self) -> Tick {
        of!(self, it => it.next_event_at())
    }

    /// Runs every event before `until`, and none after the horizon. With `stop_at_end`, returns after the first event
    /// in which requests left.
    #[inline]
    pub fn run_before(&mut self, until: Tick, stop_at_end: bool) {
        of!(self, it => it.run_before(until, stop_at_end));
    }

    /// See [`Instance::evict`].
    pub fn evict(&mut self, now: Tick, handle: u32) -> bool {
        of!(self, it => it.evict(now, handle))
    }

    /// See [`Instance::reserve`]: on the first rank, by preference, that has room.
    pub fn reserve(&mut self, request: Submission, reuses_cache: bool) -> Option<Reservation> {
        match self {
            Self::One(instance) => instance.reserve(request, reuses_cache),
            Self::Ranks(ranks) => ranks.reserve(&request, reuses_cache),
        }
    }

    /// See [`Instance::cancel`].
    pub fn cancel(&mut self, now: Tick, reservation: Reservation) {
        of!(self, it => it.cancel(now, reservation));
    }

    /// See [`Instance::enter_reserved`].
    pub fn enter_reserved(&mut self, now: Tick, reservation: Reservation) {
        of!(self, it => it.enter_reserved(now, reservation));
    }

    /// See [`Instance::fail`]: ranks fail together.
    pub fn fail(&mut self, now: Tick) {
        of!(self, it => it.fail(now));
    }

    /// See [`Instance::redirect_queue`].
    pub fn redirect_queue(&mut self, now: Tick) {
        of!(self, it => it.redirect_queue(now));
    }

    /// See [`Instance::set_slowness`].
    pub fn set_slowness(&mut self, factor: f64) {
        of!(self, it => it.set_slowness(factor));
    }

    /// See [`Instance::begin_warm_up`]: the first requests are those of all ranks together.
    pub fn begin_warm_up(&mut self, warm_up: WarmUp) {
        of!(self, it => it.begin_warm_up(warm_up));
    }

    /// See [`Instance::keep_journal`].
    pub fn keep_journal(&mut self) {
        of!(self, it => it.keep_journal());
    }

    /// What happened since the last call, about each request oldest first.
    pub fn take_journal(&mut self) -> Vec<Happening> {
        of!(self, it => it.take_journal())
    }

    /// See [`Instance::is_deadlocked`]: whether that holds for some rank.
    pub fn is_deadlocked(&self) -> bool {
        of!(self, it => it.is_deadlocked())
    }

    /// Ends the run: every request that is left ends as what it is doing. Returns the simulated end.
    pub fn finish(&mut self) -> Tick {
        of!(self, it => it.finish())
    }
}
