//! Prompts and answers on instances of their own.
//!
//! A request that is split passes a prefill instance, a transfer of its KV and a decode instance, which was chosen
//! first. In each of them it is one request of the cluster: the instances know parts.

mod link;
mod losses;
mod projection;

use crate::plan::{DisaggregationPlan, InstanceKind, Plan};
use crate::requests::InFlight;
use crate::routing::{Part, Pool, request_view};
use crate::run::Cluster;
use crate::signals::Columns;
use blis_engine::{Ended, Reservation};
use blis_kernel::{InstanceId, Tick};
use blis_metrics::{RequestEnding, RequestRecord, SplitRecord, SplitTally};
use blis_policy::disaggregation::{Decider, DeciderView, PoolView, Served, SplitTimes};
use blis_policy::encode::{EncodeDecider, EncodeView};
use blis_policy::routing::PrefixCache;
use blis_policy::{Reads, Setup};
use blis_workload::RequestEnd;
use link::Link;
use std::collections::VecDeque;

pub(crate) use projection::projected;

/// How far a split request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// At a prefill instance, or on its way there.
    Prefill,
    /// Its KV moves, or waits for room.
    Transfer,
    /// At its decode instance.
    Decode,
}

/// A request that is split.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) stage: Stage,
    pub(crate) decode: InstanceId,
    /// Who processes the prompt, once that is known.
    source: Option<InstanceId>,
    reservation: Option<Reservation>,
    /// The transfer under way will not arrive.
    is_spoilt: bool,
    times: SplitTimes,
    /// What the prefill instance said of its part.
    pub(crate) prefill: Option<Ended>,
}

/// What happens to a transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// The request's prompt is processed.
    Of(u32),
    /// The instance has given blocks back.
    Retry(u32),
}

/// The pools at work.
pub(crate) struct Disaggregation {
    plan: DisaggregationPlan,
    decider: Box<dyn Decider>,
    encode_decider: Box<dyn EncodeDecider>,
    pub(crate) prefill_routings: VecDeque<(Tick, u32)>,
    pub(crate) transfer_starts: VecDeque<(Tick, Start)>,
    link: Link,
    /// Requests whose prompt is processed and whose decode instance has no room, by instance.
    waiting_for_room: Vec<VecDeque<u32>>,
    tally: SplitTally,
}

impl Disaggregation {
    pub(crate) fn new(plan: &Plan) -> Option<Self> {
        let own = plan.disaggregation.clone()?;
        let setup = |params| Setup {
            params,
            semantics: plan.semantics,
            scorers: &[],
            seed: plan.seed,
            stream: "pd-decider",
        };
        Some(Self {
            decider: (own.decider.entry.make)(&setup(&own.decider.params)),
            encode_decider: (own.encode_decider.entry.make)(&setup(&own.encode_decider.params)),
            prefill_routings: VecDeque::new(),
            transfer_starts: VecDeque::new(),
            link: Link::new(own.transfer, plan.semantics.transfer_rate_is_fixed),
            waiting_for_room: vec![VecDeque::new(); plan.instances as usize],
            tally: SplitTally::default(),
            plan: own,
        })
    }

    /// What the decider looks at.
    pub(crate) fn reads(&self) -> Reads {
        self.decider.reads()
    }

    pub(crate) fn next_prefill_routing_at(&self) -> Tick {
        self.prefill_routings.front().map_or(Tick::MAX, |&(at, _)| at)
    }

    pub(crate) fn next_transfer_start_at(&self) -> Tick {
        self.transfer_starts.front().map_or(Tick::MAX, |&(at, _)| at)
    }

    pub(crate) fn next_transfer_end_at(&self) -> Tick {
        self.link.next_end_at()
    }

    /// Requests that are at no instance: on their way to one, and between prompt and transfer.
    pub(crate) fn drain(&mut self) -> (Vec<u32>, Vec<u32>) {
        let on_their_way = self.prefill_routings.drain(..).map(|(_, handle)| handle).collect();
        let starts = self.transfer_starts.drain(..).filter_map(|(_, start)| match start {
            Start::Of(handle) => Some(handle),
            Start::Retry(_) => None,
        });
        let between = starts.chain(self.waiting_for_room.iter_mut().flat_map(|queue| queue.drain(..)));
        (on_their_way, between.collect())
    }

    /// What the splits add up to.
    pub(crate) fn finish(mut self) -> SplitTally {
        self.tally.contention = self.plan.transfer.contention;
        self.tally.peak_transfers = self.link.peak;
        self.tally.transfer_starts = self.link.starts;
        self.tally.transfer_depth_sum = self.link.depth_sum;
        self.tally
    }
}

impl Cluster<'_> {
    fn pools(&mut self) -> &mut Disaggregation {
        self.disaggregation.as_mut().expect("there are pools")
    }

    /// A request finds its decode instance, and whether somebody else processes its prompt.
    pub(crate) fn route_to_pools(&mut self, handle: u32, now: Tick) {
        let Some(decode) = self.choose(Pool::Decode, handle, now) else {
            return self.turn_away(handle, RequestEnding::RejectedByRouting, now);
        };
        let splits = self.decides_to_split(handle, decode, now);
        if self.is_encoded(handle) && self.choose(Pool::Encode, handle, now).is_none() {
            return self.turn_away(handle, RequestEnding::RejectedByEncode, now);
        }
        if !splits {
            return self.hand_over(handle, decode, Part::Whole, now);
        }
        self.requests.get_mut(handle).split = Some(Box::new(Split {
            stage: Stage::Prefill,
            decode: InstanceId(decode as u32),
            source: None,
            reservation: None,
            is_spoilt: false,
            times: SplitTimes {
                prefill_from: now,
                prefill_until: now,
                transfer_from: now,
                transfer_until: now,
            },
            prefill: None,
        }));
        self.pools().tally.splits += 1;
        self.pools().prefill_routings.push_back((now, handle));
    }

    fn decides_to_split(&mut self, handle: u32, decode: usize, now: Tick) -> bool {
        let block_tokens = self.plan.instance.block_tokens;
        let pools = self.disaggregation.as_mut().expect("there are pools");
        let request = self.requests.get_mut(handle);
        let input_tokens = request.spec.input_tokens;
        let mut cached_blocks = Vec::new();
        if pools.decider.reads().cache {
            let view = request_view(&self.keys, input_tokens, block_tokens);
            let instance = [InstanceId(decode as u32)];
            self.signals.cache.cached_blocks(&view, &instance, &mut cached_blocks);
        }
        let cached_tokens = cached_blocks.first().copied().unwrap_or(0) * block_tokens;
        let blocks = f64::from(input_tokens.div_ceil(block_tokens));
        let transfer = &pools.plan.transfer;
        let transfer_us =
            transfer.base_latency_us + blocks * transfer.block_bytes / transfer.bandwidth_bytes_per_us;
        let decode_members = self.fleet.members(Pool::Decode);
        let chosen = decode_members.iter().position(|&i| i as usize == decode);
        let (prefill_pool, decode_pool) =
            self.signals.of_both(self.fleet.members(Pool::Prefill), decode_members);
        // Without anybody for prompts the decode instance does all.
        let somebody_is_up = !prefill_pool.instances.is_empty();
        let view = DeciderView {
            now,
            input_tokens,
            cached_tokens,
            transfer_time: Tick::trunc(transfer_us.ceil()),
            prefill: pool_view(prefill_pool),
            decode: pool_view(decode_pool),
            chosen: chosen.expect("the router chose among the decode instances"),
        };
        let splits = somebody_is_up && pools.decider.splits(&view);
        request.uncached_tokens = input_tokens - cached_tokens.min(input_tokens);
        splits
    }

    fn is_encoded(&mut self, handle: u32) -> bool {
        let spec = &self.requests.get(handle).spec;
        let media_tokens = spec.composition.as_ref().map_or(0, |composition| {
            composition.image_tokens + composition.audio_tokens + composition.video_tokens
        });
        let view = EncodeView { input_tokens: spec.input_tokens, media_tokens };
        let pools = self.pools();
        pools.plan.pools.encode > 0 && pools.encode_decider.encodes(&view)
    }

    /// The prompt of a split request finds its instance.
    pub(crate) fn route_prefill(&mut self, now: Tick) {
        let (_, handle) = self.pools().prefill_routings.pop_front().expect("a routing that was seen");
        self.bring_router_up_to_date(now);
        let Some(instance) = self.choose(Pool::Prefill, handle, now) else {
            return self.turn_away(handle, RequestEnding::RejectedByRouting, now);
        };
        let split = self.split(handle);
        split.times.prefill_from = now;
        split.source = Some(InstanceId(instance as u32));
        self.hand_over(handle, instance, Part::Prefill, now);
    }

    pub(crate) fn split(&mut self, handle: u32) -> &mut Split {
        self.requests.get_mut(handle).split.as_mut().expect("a split request")
    }

    /// The prompts of these requests are processed.
    pub(crate) fn prompts_are_done(&mut self, handles: &mut [(u32, Ended)], now: Tick) {
        if handles.len() > 1 {
            // Prompts of one step start to move in the order of their parts' names.
            handles.sort_by_cached_key(|(handle, _)| format!("{}_", self.requests.get(*handle).spec.name));
        }
        for (handle, ended) in handles {
            let split = self.split(*handle);
            split.stage = Stage::Transfer;
            split.prefill = Some(*ended);
            split.times.prefill_until = now;
            self.pools().transfer_starts.push_back((now, Start::Of(*handle)));
        }
    }

    /// An instance has given blocks back, perhaps enough for a transfer that waits for room.
    pub(crate) fn retry_transfers(&mut self, instance: usize, now: Tick) {
        if let Some(pools) = &mut self.disaggregation
            && !pools.waiting_for_room[instance].is_empty()
        {
            pools.transfer_starts.push_back((now, Start::Retry(instance as u32)));
        }
    }

    /// A prompt's KV starts to move if its decode instance has room.
    pub(crate) fn start_transfer(&mut self, now: Tick) {
        let (_, start) = self.pools().transfer_starts.pop_front().expect("a start that was seen");
        let instance = match start {
            Start::Retry(instance) => instance as usize,
            Start::Of(handle) => {
                let instance = self.split(handle).decode.index();
                if !self.fleet.is_up(instance) {
                    return self.lose_between(handle, now);
                }
                self.pools().waiting_for_room[instance].push_back(handle);
                instance
            }
        };
        self.bring_instance_up_to_date(instance, now);
        while let Some(&handle) = self.pools().waiting_for_room[instance].front() {
            if !self.reserve(handle, instance, now) {
                break;
            }
            self.pools().waiting_for_room[instance].pop_front();
        }
    }

    /// Sets blocks aside for a prompt and starts to move it. False: it has to wait for room.
    fn reserve(&mut self, handle: u32, instance: usize, now: Tick) -> bool {
        let spec = &self.requests.get(handle).spec;
        let blocks = spec.input_tokens.div_ceil(self.plan.instance.block_tokens);
        if !self.plan.semantics.full_decode_instance_drops && spec.deadline.is_some_and(|at| at <= now) {
            self.end_split(handle, RequestEnding::TimedOut, RequestEnd::TimedOut, now);
            return true;
        }
        let moves_all = self.plan.semantics.transfers_move_whole_prompts;
        let submission = self.submission(handle, Part::Decode);
        let Some(reservation) = self.instances[instance].reserve(submission, !moves_all) else {
            let never_fits = blocks > self.instances[instance].kv_blocks_of_a_rank();
            if never_fits || self.plan.semantics.full_decode_instance_drops {
                let counts = !self.plan.semantics.failed_splits_have_latencies;
                self.pools().tally.dropped_at_decode += u64::from(counts);
                self.end_split(handle, RequestEnding::DroppedAtDecode, RequestEnd::Dropped, now);
                return true;
            }
            return false;
        };
        let split = self.split(handle);
        split.reservation = Some(reservation);
        split.times.transfer_from = now;
        self.draw_loss(handle, now);
        self.pools().link.start(handle, u64::from(blocks - reservation.cached_blocks), now);
        true
    }

    /// A prompt's KV is at its decode instance.
    pub(crate) fn end_transfer(&mut self, now: Tick) {
        let handle = self.pools().link.pop(now);
        let split = self.split(handle);
        if split.is_spoilt {
            return self.transfer_was_lost(handle, now);
        }
        split.times.transfer_until = now;
        split.stage = Stage::Decode;
        let (times, instance) = (split.times, split.decode.index());
        let reservation = split.reservation.take().expect("blocks were set aside before the transfer");
        self.pools().tally.transferred(times.transfer_until - times.transfer_from);
        self.bring_instance_up_to_date(instance, now);
        self.count_at(instance, handle);
        self.instances[instance].enter_reserved(now, reservation);
        self.note_routed(handle, instance, now);
        self.next_events.set(instance, self.instances[instance].next_event_at());
        if self.instances[instance].has_ended() {
            self.collect_ended(instance);
        }
    }

    /// A split request ends between its instances.
    fn end_split(&mut self, handle: u32, ending: RequestEnding, end: RequestEnd, now: Tick) {
        self.requests.get_mut(handle).instance = Some(self.split(handle).decode);
        let keeps = self.plan.semantics.failed_splits_have_latencies;
        let request = self.requests.get(handle);
        let prefill = request.split.as_ref().and_then(|split| split.prefill);
        let latencies = SplitRecord {
            ttft: prefill.and_then(|part| part.ttft).filter(|_| keeps),
            e2e: keeps.then_some(now - request.spec.arrival),
            scheduling_delay: prefill.and_then(|part| part.scheduling_delay),
        };
        if let Some(ttft) = latencies.ttft {
            self.pools().tally.first_token(ttft);
        }
        self.end_with(handle, ending, now, end, latencies);
    }

    /// A request that the decider was asked about has a first token, and is over.
    pub(crate) fn tell_decider(&mut self, request: &InFlight, ttft: Tick, record: &RequestRecord) {
        let Some(pools) = &mut self.disaggregation else { return };
        if request.split.is_some() {
            pools.tally.first_token(ttft);
        }
        if record.ending == RequestEnding::Completed {
            pools.decider.observe(&Served {
                input_tokens: request.spec.input_tokens,
                uncached_tokens: request.uncached_tokens,
                output_tokens: request.spec.output_tokens,
                arrival: request.spec.arrival,
                ttft,
                itl_mean_us: record.itl_mean_us,
                split: request.split.as_ref().map(|split| split.times),
            });
        }
    }
}

fn pool_view(columns: &Columns) -> PoolView<'_> {
    PoolView {
        queue_depth: &columns.queue_depth,
        batch_size: &columns.batch_size,
        kv_utilization: &columns.kv_utilization,
        in_flight: &columns.in_flight,
    }
}

/// Whether one instance can be asked for a prompt and for its answer, and then know the blocks again: even blocks that no
/// other request shares need names.
pub(crate) fn parts_can_meet(plan: &Plan) -> bool {
    let begins_anew = plan.faults.as_ref().is_some_and(|faults| faults.max_retries > 0);
    plan.disaggregation.as_ref().is_some_and(|own| own.pools.shared > 0 || begins_anew)
}

/// What the instance at a place in the pools is built from.
pub(crate) fn kind(plan: &Plan, index: u32) -> InstanceKind {
    let whole = || InstanceKind { config: plan.instance.clone(), latency: plan.latency.clone() };
    let Some(DisaggregationPlan { pools, prefill, decode, .. }) = &plan.disaggregation else {
        return whole();
    };
    let kind = match index {
        i if i < pools.prefill => prefill,
        i if i < pools.prefill + pools.decode + pools.shared => decode,
        _ => return whole(),
    };
    kind.clone()
}
