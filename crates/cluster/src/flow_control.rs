//! Flow control: the gateway queue at work.
//!
//! A request joins when admission lets it in. One request at most is dispatched whenever one joins, and at every tick
//! while any waits. Saturated instances may have to give up sheddable requests for those that wait.

use crate::gateway_queue::{GatewayQueue, Joined, Joining};
use crate::plan::{FlowControlPlan, Plan};
use crate::routing::Pool;
use crate::run::Cluster;
use blis_kernel::{InstanceId, Tick, TimerQueue};
use blis_metrics::RequestEnding;
use blis_policy::flow_control::{DispatchOrder, Fairness, Queued, UsageLimit};
use blis_policy::registry::Setup;
use blis_policy::saturation::{FleetView, SaturationDetector};
use blis_policy::{Params, Reads};
use blis_workload::RequestEnd;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

/// Ticks in which nothing happens before nothing ever will.
const TICKS_IN_VAIN: u64 = 1_000;

/// Why a request leaves the queue by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    TimeToLive,
    Deadline,
}

/// When a request went through the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    pub(crate) joined_at: Tick,
    pub(crate) dispatched_at: Option<Tick>,
}

impl Passage {
    /// Time in the queue of a request that was dispatched.
    pub(crate) fn delay(self) -> Option<Tick> {
        self.dispatched_at.map(|at| at - self.joined_at)
    }
}

/// Who is taken away first: the least important, of these who was dispatched last, of these who was routed last.
type EvictionKey = (i32, Reverse<Tick>, Reverse<u64>);

fn setup<'a>(plan: &'a Plan, params: &'a Params) -> Setup<'a> {
    Setup { params, semantics: plan.semantics, scorers: &[], seed: plan.seed, stream: "flow-control" }
}

/// The gateway queue with its policies and timers.
pub(crate) struct FlowControl {
    plan: FlowControlPlan,
    max_num_seqs: u32,
    queue: GatewayQueue,
    saturation: Box<dyn SaturationDetector>,
    order: Box<dyn DispatchOrder>,
    fairness: Box<dyn Fairness>,
    usage_limit: Box<dyn UsageLimit>,
    tick_at: Option<Tick>,
    /// Ticks since anything else happened.
    ticks_in_vain: u64,
    expiries: TimerQueue<(u64, Expiry)>,
    evictions: VecDeque<(Tick, EvictionKey, u32)>,
    /// Sheddable requests at the instances, by order of eviction.
    evictable: BTreeMap<EvictionKey, u32>,
    /// The same by handle.
    eviction_keys: BTreeMap<u32, EvictionKey>,
    routed: u64,
}

impl FlowControl {
    pub(crate) fn new(plan: &Plan, flow_control: &FlowControlPlan) -> Self {
        let order = (flow_control.order.entry.make)(&setup(plan, &flow_control.order.params));
        let seen_from_the_start = !plan.semantics.gateway_bands_as_seen;
        let ranks = plan.priorities.ranks().filter(|_| seen_from_the_start);
        let bands: Vec<_> =
            ranks.map(|rank| order.band(&Queued { rank, since: Tick::ZERO, slo_target: None })).collect();
        Self {
            queue: GatewayQueue::new(
                flow_control.max_depth,
                flow_control.band_capacity,
                flow_control.sheds,
                bands,
            ),
            saturation: (flow_control.saturation.entry.make)(&setup(plan, &flow_control.saturation.params)),
            order,
            fairness: (flow_control.fairness.entry.make)(&setup(plan, &flow_control.fairness.params)),
            usage_limit: (flow_control.usage_limit.entry.make)(&setup(
                plan,
                &flow_control.usage_limit.params,
            )),
            plan: flow_control.clone(),
            max_num_seqs: plan.instance.max_running(),
            tick_at: None,
            ticks_in_vain: 0,
            expiries: TimerQueue::default(),
            evictions: VecDeque::new(),
            evictable: BTreeMap::new(),
            eviction_keys: BTreeMap::new(),
            routed: 0,
        }
    }

    /// What it looks at.
    pub(crate) fn reads(&self) -> Reads {
        self.saturation.reads()
    }

    /// Requests in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn next_eviction_at(&self) -> Tick {
        self.evictions.front().map_or(Tick::MAX, |&(at, ..)| at)
    }

    pub(crate) fn next_expiry_at(&self) -> Tick {
        self.expiries.next_at()
    }

    pub(crate) fn next_tick_at(&self) -> Tick {
        self.tick_at.unwrap_or(Tick::MAX)
    }

    /// Takes out everybody who still waits.
    pub(crate) fn drain(&mut self) -> Vec<u32> {
        self.queue.drain()
    }

    /// A request left its instance.
    pub(crate) fn forget(&mut self, handle: u32) {
        if let Some(key) = self.eviction_keys.remove(&handle) {
            self.evictable.remove(&key);
        }
        self.evictions.retain(|&(_, _, victim)| victim != handle);
    }

    /// Timers of requests that no longer wait are not waited for.
    fn forget_timers_when_empty(&mut self) {
        if self.queue.is_empty() {
            self.expiries = TimerQueue::default();
        }
    }
}

impl Cluster<'_> {
    fn flow(&mut self) -> &mut FlowControl {
        self.flow_control.as_mut().expect("flow control is on")
    }

    /// A request that admission let in joins the queue.
    pub(crate) fn join_gateway_queue(&mut self, handle: u32, now: Tick) {
        let spec = &self.requests.get(handle).spec;
        let (labels, deadline) = (self.labels[spec.labels.0 as usize], spec.deadline);
        let flow = self.flow_control.as_mut().expect("flow control is on");
        let queued = Queued { rank: labels.rank, since: now, slo_target: labels.slo_target };
        let joined = flow.queue.join(Joining {
            handle,
            rank: labels.rank,
            tenant: labels.tenant,
            band: flow.order.band(&queued),
            key: flow.order.key(&queued),
        });
        let number = match joined {
            Joined::Refused => {
                self.trace_queue(handle, now, "it is full");
                return self.turn_away(handle, RequestEnding::RejectedByGateway, now);
            }
            Joined::InsteadOf(number, victim) => {
                self.trace_queue(victim, now, "a more important request took its place");
                self.turn_away(victim, RequestEnding::ShedFromGateway, now);
                number
            }
            Joined::Waits(number) => number,
        };
        self.requests.get_mut(handle).passage =
            Some(Box::new(Passage { joined_at: now, dispatched_at: None }));
        let flow = self.flow();
        if let Some(ttl) = flow.plan.ttl {
            flow.expiries.set(now + ttl, (number, Expiry::TimeToLive));
        }
        if let Some(deadline) = deadline {
            flow.expiries.set(deadline.max(now), (number, Expiry::Deadline));
        }
        self.try_to_dispatch(now);
    }

    /// Notes why a request that was let in goes no further.
    fn trace_queue(&mut self, handle: u32, now: Tick, reason: &str) {
        if let Some(log) = &mut self.decisions {
            log.queue(&self.requests.get(handle).spec.name, now, reason);
        }
    }

    /// One attempt: at most one request goes on, or one is taken away from an instance.
    fn try_to_dispatch(&mut self, now: Tick) {
        let flow = self.flow();
        if flow.queue.is_empty() {
            return;
        }
        flow.tick_at.get_or_insert(now + flow.plan.tick);
        let (reads_in_flight, evicts) = (flow.reads().in_flight, flow.plan.evicts);
        self.refresh_signals(now);
        if reads_in_flight || evicts {
            self.bring_up_to_date(now);
        }
        let flow = self.flow_control.as_mut().expect("flow control is on");
        let (columns, _) = self.signals.of(self.fleet.members(Pool::Routable));
        let saturation = flow.saturation.saturation(&FleetView {
            queue_depth: &columns.queue_depth,
            kv_utilization: &columns.kv_utilization,
            in_flight: &columns.in_flight,
            max_num_seqs: flow.max_num_seqs,
        });
        assert!(saturation.is_finite(), "a saturation detector says {saturation}");
        let somebody_matters = flow.queue.highest_rank().is_some_and(|rank| rank >= 0);
        if saturation >= 1.0 && evicts && somebody_matters && !flow.evictable.is_empty() {
            let (key, victim) = flow.evictable.pop_first().expect("a victim that was seen");
            flow.eviction_keys.remove(&victim);
            flow.evictions.push_back((now, key, victim));
            return;
        }
        let dispatched = flow.queue.dispatch(saturation, &mut *flow.usage_limit, &mut *flow.fairness);
        if let Some(handle) = dispatched {
            if let Some(passage) = &mut self.requests.get_mut(handle).passage {
                passage.dispatched_at = Some(now);
            }
            self.routings.push_back((now + self.plan.routing_latency, handle));
            self.flow().forget_timers_when_empty();
        }
    }

    /// The time between two attempts is over.
    pub(crate) fn dispatch_tick(&mut self, now: Tick) {
        let waiting = self.flow().queue.len();
        self.try_to_dispatch(now);
        let may_be_in_vain = self.gateway_is_quiet();
        if may_be_in_vain {
            // Nobody need have looked at the instances: they may be behind, with events that have long been due.
            self.bring_up_to_date(now);
        }
        let nothing_else_is_due = may_be_in_vain && self.nothing_but_ticks_is_due();
        let patience = self.plan.snapshot_refresh_interval + self.patience_with_fleet();
        let flow = self.flow();
        let in_vain = nothing_else_is_due && flow.queue.len() == waiting && flow.evictions.is_empty();
        flow.ticks_in_vain = if in_vain { flow.ticks_in_vain + 1 } else { 0 };
        // Whoever waits now waits for ever: nothing moves, and everybody has seen that.
        let is_stuck = flow.ticks_in_vain > TICKS_IN_VAIN
            && flow.ticks_in_vain.saturating_mul(flow.plan.tick.as_us() as u64) > patience.as_us() as u64;
        flow.tick_at = (!flow.queue.is_empty() && !is_stuck).then(|| now + flow.plan.tick);
    }

    /// A request has waited for too long, or until its client gave up.
    pub(crate) fn expire(&mut self, now: Tick) {
        let (_, (number, why)) = self.flow().expiries.pop().expect("an expiry that was seen");
        let Some(handle) = self.flow().queue.remove(number) else { return };
        self.flow().forget_timers_when_empty();
        match why {
            Expiry::TimeToLive => {
                self.trace_queue(handle, now, "it waited for too long");
                self.turn_away(handle, RequestEnding::ExpiredAtGateway, now);
            }
            Expiry::Deadline => {
                self.trace_queue(handle, now, "its deadline passed");
                self.end_at_gateway(handle, RequestEnding::TimedOut, now, RequestEnd::TimedOut);
            }
        }
    }

    /// A sheddable request that was given to an instance may be taken back.
    pub(crate) fn track_evictable(&mut self, handle: u32) {
        let request = self.requests.get(handle);
        let rank = self.labels[request.spec.labels.0 as usize].rank;
        let dispatched_at =
            request.passage.as_ref().and_then(|passage| passage.dispatched_at).unwrap_or(Tick::ZERO);
        let Some(flow) = &mut self.flow_control else { return };
        if !flow.plan.evicts || rank >= 0 {
            return;
        }
        flow.routed += 1;
        let key = (rank, Reverse(dispatched_at), Reverse(flow.routed));
        flow.evictable.insert(key, handle);
        flow.eviction_keys.insert(handle, key);
    }

    /// A request is taken away from its instance. One that is just entering is left alone, and may be taken later.
    pub(crate) fn evict(&mut self, now: Tick) {
        let (_, key, handle) = self.flow().evictions.pop_front().expect("an eviction that was seen");
        let InstanceId(index) = self.requests.get(handle).instance.expect("a request that was routed");
        let index = index as usize;
        if self.instances[index].evict(now, handle) {
            self.next_events.set(index, self.instances[index].next_event_at());
            self.collect_ended(index);
        } else if !self.plan.semantics.entering_victims_escape {
            let flow = self.flow();
            flow.evictable.insert(key, handle);
            flow.eviction_keys.insert(handle, key);
        }
    }
}
