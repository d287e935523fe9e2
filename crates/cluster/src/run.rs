//! The event loop.
//!
//! Exactly one place decides what happens next: [`Cluster::next_event`]. At one tick all arrivals come first, then all
//! admissions, all routings, and the gateway queue's evictions, expiries and dispatch tick, and all of them before the
//! instances' own events. An instance's clock may lag: it is brought up to date when a decision reads it, when it gets a
//! request, or, where the end of a request can bring another, in global order of time. Before all that faults strike.

use crate::decisions::DecisionLog;
use crate::disaggregation::{self, Disaggregation};
use crate::faults::Faults;
use crate::fleet::Fleet;
use crate::flow_control::FlowControl;
use crate::live::Live;
use crate::next_events::NextEvents;
use crate::observer::{Observer, Progress, ProgressOnly};
use crate::plan::{AdmissionPlan, Detail, Plan};
use crate::requests::Requests;
use crate::routing::{Pool, Routers};
use crate::scaling::Scaler;
use crate::signals::Signals;
use blis_engine::{Ended, Replica};
use blis_kernel::{InstanceId, Tick, TimerQueue};
use blis_metrics::{
    AdapterCounts, InstanceFigures, OffloadFigures, Options, Outcome, Recorder, RequestEnding, RunEnding,
    RunFigures,
};
use blis_policy::admission::{Admission, AdmissionView, Decision, TenantBudget};
use blis_policy::registry::Setup;
use blis_policy::routing::LoadRule;
use blis_policy::scheduling::SchedulerKind;
use blis_policy::{Params, Reads};
use blis_workload::content::BlockHasher;
use blis_workload::{Labels, RequestSource, RequestSpec};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Requests between two calls of the progress callback.
const PROGRESS_EVERY_REQUESTS: u64 = 512;
/// Events of the gateway between two calls at most; some come at every look of a dispatcher or an autoscaler.
const PROGRESS_EVERY_EVENTS: u32 = 8_192;

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    run_with_progress(plan, &mut |_| {})
}

/// Runs a plan to its end and tells now and then how far it is. The callback cannot change anything.
pub fn run_with_progress(plan: &Plan, progress: &mut dyn FnMut(Progress)) -> Outcome {
    run_observed(plan, &mut ProgressOnly(progress))
}

/// Runs a plan to its end while somebody watches.
pub fn run_observed(plan: &Plan, observer: &mut dyn Observer) -> Outcome {
    Cluster::new(plan, observer).run()
}

/// What the gateway does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Fault,
    Loaded,
    Arrival,
    Admission,
    Retry,
    Routing,
    PrefillRouting,
    TransferStart,
    Eviction,
    TransferEnd,
    Expiry,
    DispatchTick,
    ScalingTick,
    Scaling,
}

/// What requests of one set of labels have in common for the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LabelFigures {
    pub(crate) rank: i32,
    pub(crate) priority: i32,
    /// Who serves them; `None` = nobody.
    pub(crate) served_by: Option<Pool>,
    /// Number of the LoRA adapter, if the instances know it.
    pub(crate) adapter: Option<u32>,
    /// Number of the tenant; tenants are numbered by name.
    pub(crate) tenant: u32,
    /// Time to the first token that requests hope for.
    pub(crate) slo_target: Option<Tick>,
}

/// What requests without a tenant count as at the gateway.
const UNNAMED_TENANT: &str = "default";

pub(crate) struct Cluster<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) source: Box<dyn RequestSource>,
    pub(crate) next_arrival: Option<RequestSpec>,
    pub(crate) follow_ups: TimerQueue<RequestSpec>,
    admissions: VecDeque<(Tick, u32)>,
    pub(crate) routings: VecDeque<(Tick, u32)>,
    /// Requests that an instance lost or gave back, on their way to another.
    pub(crate) retries: VecDeque<(Tick, u32)>,
    pub(crate) requests: Requests,
    pub(crate) instances: Vec<Replica>,
    pub(crate) fleet: Fleet,
    pub(crate) scaler: Option<Scaler>,
    pub(crate) faults: Option<Faults>,
    /// Instances that drain for ever (B3).
    pub(crate) stuck: Vec<usize>,
    pub(crate) next_events: NextEvents,
    pub(crate) signals: Signals,
    admission: Box<dyn Admission>,
    pub(crate) flow_control: Option<FlowControl>,
    pub(crate) routers: Routers,
    pub(crate) disaggregation: Option<Disaggregation>,
    /// What routers and deciders look at.
    pub(crate) reads_of_routers: Reads,
    /// What any policy looks at.
    pub(crate) reads: Reads,
    pub(crate) load: LoadRule,
    pub(crate) hasher: BlockHasher,
    pub(crate) keys_are_needed: bool,
    pub(crate) blocks_are_mixed: bool,
    pub(crate) keys: Vec<u64>,
    pub(crate) labels: Vec<LabelFigures>,
    /// Requests at the instances, by tenant; counted only where tenants have budgets.
    pub(crate) tenants_in_flight: Vec<u32>,
    pub(crate) recorder: Recorder,
    pub(crate) decisions: Option<DecisionLog>,
    pub(crate) injected: u64,
    pub(crate) ended: u64,
    /// Sessions seen so far; they are numbered from zero.
    sessions: u32,
    pub(crate) scratch_ended: Vec<Ended>,
    /// Who listens, where requests come from outside.
    pub(crate) live: Option<Live<'a>>,
    pub(crate) now: Tick,
    /// When the observer wants to know how the cluster stands.
    pub(crate) sample_at: Tick,
}

impl<'a> Cluster<'a> {
    pub(crate) fn new(plan: &'a Plan, observer: &'a mut dyn Observer) -> Self {
        let admission = make_admission(plan);
        let flow_control =
            plan.flow_control.as_ref().map(|flow_control| FlowControl::new(plan, flow_control));
        let gateway_reads = flow_control.as_ref().map_or(Reads::NONE, FlowControl::reads);
        let mut decisions = DecisionLog::new(plan);
        let routers = Routers::new(plan, decisions.is_some());
        let disaggregation = Disaggregation::new(plan);
        let deciders_reads = disaggregation.as_ref().map_or(Reads::NONE, Disaggregation::reads);
        let reads_of_routers = routers.reads().union(deciders_reads);
        let mut reads = admission.reads().union(reads_of_routers).union(gateway_reads);
        if let Some(log) = &decisions {
            reads = reads.union(log.reads());
        }
        let scaler = Scaler::new(plan);
        if scaler.is_some() {
            reads = reads.union(Reads::SNAPSHOT).union(Reads::IN_FLIGHT);
        }
        let (fleet, mut instances) = Fleet::new(plan);
        if let Some(log) = &mut decisions {
            for instance in &instances {
                log.add_instance(instance.kv_blocks());
            }
        }
        if reads.cache {
            instances.iter_mut().for_each(Replica::keep_index_journal);
        }
        fleet.begin_warm_up(&mut instances);
        let source = plan.workload.stream();
        let mut cluster = Self {
            hasher: BlockHasher::new(source.groups(), plan.instance.block_tokens),
            keys_are_needed: disaggregation::parts_can_meet(plan)
                || instances.first().is_some_and(Replica::needs_listed_keys),
            blocks_are_mixed: instances.first().is_some_and(Replica::mixes_blocks),
            signals: Signals::new(
                instances.len(),
                plan.instance.adapters.as_ref().map_or(0, |adapters| adapters.adapters.len()),
                plan.snapshot_refresh_interval,
                plan.cache_signal_delay,
                plan.semantics.signals_start_at_zero,
            ),
            recorder: Recorder::new(
                instances.len(),
                Options {
                    keep_records: plan.detail == Detail::PerRequest,
                    count_inversions: plan.instance.scheduler == SchedulerKind::PriorityFcfs,
                    slo_targets: plan.slo_targets.clone(),
                    saturation: plan.saturation.clone(),
                    splits: plan.disaggregation.is_some(),
                },
            ),
            plan,
            observer,
            source,
            next_arrival: None,
            follow_ups: TimerQueue::default(),
            admissions: VecDeque::new(),
            routings: VecDeque::new(),
            retries: VecDeque::new(),
            requests: Requests::default(),
            next_events: NextEvents::new(instances.len()),
            faults: Faults::new(plan, instances.len()),
            instances,
            fleet,
            scaler,
            stuck: Vec::new(),
            admission,
            flow_control,
            routers,
            disaggregation,
            reads_of_routers,
            reads,
            decisions,
            load: setup(plan, &plan.routing.policy.params, "").load(),
            keys: Vec::new(),
            labels: Vec::new(),
            tenants_in_flight: Vec::new(),
            injected: 0,
            sessions: 0,
            ended: 0,
            scratch_ended: Vec::new(),
            live: None,
            now: Tick::ZERO,
            sample_at: Tick::MAX,
        };
        cluster.sample_at = cluster.observer.next_sample_at();
        cluster.learn_labels();
        cluster.pull_arrival();
        cluster
    }

    fn run(mut self) -> Outcome {
        self.observer.begin(&*self.source);
        self.play_before(Tick::MAX);
        self.bring_up_to_date(Tick::MAX);
        self.finish()
    }

    /// Plays the gateway's events before `until`, none of them after the horizon, and those events of the instances
    /// that have to come before them.
    pub(crate) fn play_before(&mut self, until: Tick) {
        let until = until.min(self.plan.horizon + Tick::ONE);
        // Where the end of a request, or of its prompt, brings an event at the gateway, or tells that no fault matters.
        let reactive = self.source.is_reactive() || self.disaggregation.is_some() || self.faults.is_some();
        let mut told = self.injected;
        let mut events = 0;
        loop {
            let mut next = self.next_event();
            while self.sample_at < until {
                if reactive {
                    self.run_instances_in_order(&mut next, until.min(self.sample_at));
                }
                // The next event stays what it is: asking again would show what looking changed.
                if !self.sample_comes_before(next.map(|(at, _)| at)) {
                    break;
                }
                self.take_sample();
            }
            if reactive {
                self.run_instances_in_order(&mut next, until);
            }
            let Some((at, stage)) = next else { break };
            if at >= until {
                break;
            }
            assert!(at >= self.now, "the clock went back from {:?} to {at:?}", self.now);
            self.now = at;
            match stage {
                Stage::Fault => self.strike(at),
                Stage::Loaded => self.loaded(),
                Stage::Arrival => self.arrive(at),
                Stage::Admission => self.admit(at),
                Stage::Retry => self.retry(at),
                Stage::Routing => self.route(at),
                Stage::PrefillRouting => self.route_prefill(at),
                Stage::TransferStart => self.start_transfer(at),
                Stage::Eviction => self.evict(at),
                Stage::TransferEnd => self.end_transfer(at),
                Stage::Expiry => self.expire(at),
                Stage::DispatchTick => self.dispatch_tick(at),
                Stage::ScalingTick => self.scaling_tick(at),
                Stage::Scaling => self.scale(at),
            }
            events += 1;
            if self.injected >= told + PROGRESS_EVERY_REQUESTS || events >= PROGRESS_EVERY_EVENTS {
                told = self.injected;
                events = 0;
                let (now, injected, ended) = (self.now, self.injected, self.ended);
                self.observer.progress(Progress { now, injected, ended });
            }
        }
    }

    /// When the gateway's next event is due; [`Tick::MAX`] when nothing is.
    pub(crate) fn next_event_at(&self) -> Tick {
        self.next_event().map_or(Tick::MAX, |(at, _)| at)
    }

    /// The next event of the gateway: by time, then by stage; the source's own requests before follow-ups.
    #[inline]
    fn next_event(&self) -> Option<(Tick, Stage)> {
        let source = self.next_arrival.as_ref().map_or(Tick::MAX, |request| request.arrival);
        let arrival = source.min(self.follow_ups.next_at());
        let due = |queue: &VecDeque<(Tick, u32)>| queue.front().map_or(Tick::MAX, |&(at, _)| at);
        let mut next = (arrival, Stage::Arrival)
            .min((due(&self.admissions), Stage::Admission))
            .min((due(&self.routings), Stage::Routing));
        if let Some(flow) = &self.flow_control {
            next = next
                .min((flow.next_eviction_at(), Stage::Eviction))
                .min((flow.next_expiry_at(), Stage::Expiry))
                .min((flow.next_tick_at(), Stage::DispatchTick));
        }
        if let Some(pools) = &self.disaggregation {
            next = next
                .min((pools.next_prefill_routing_at(), Stage::PrefillRouting))
                .min((pools.next_transfer_start_at(), Stage::TransferStart))
                .min((pools.next_transfer_end_at(), Stage::TransferEnd));
        }
        if self.plan.elastic.is_some() || self.faults.is_some() {
            next = next.min((self.fleet.next_loaded_at(), Stage::Loaded));
            next = next.min((due(&self.retries), Stage::Retry));
        }
        if let Some(scaler) = &self.scaler {
            next = next
                .min((scaler.next_tick_at(), Stage::ScalingTick))
                .min((scaler.next_change_at(), Stage::Scaling));
        }
        if self.faults.is_some() {
            next = next.min((self.next_fault_at(next.0), Stage::Fault));
        }
        (next.0 < Tick::MAX).then_some(next)
    }

    /// Whether nothing is to come but looks of the gateway queue and the autoscaler at a cluster that stands still, and
    /// what the autoscaler does without a request that moves: that may go on for ever.
    pub(crate) fn nothing_but_ticks_is_due(&self) -> bool {
        self.next_events.first_at() == Tick::MAX && self.gateway_is_quiet()
    }

    /// The same of everything but the instances, which may be behind.
    pub(crate) fn gateway_is_quiet(&self) -> bool {
        let arrivals = self.next_arrival.is_none() && self.follow_ups.next_at() == Tick::MAX;
        let at_gateway = self.admissions.is_empty() && self.routings.is_empty();
        let timers = self.flow_control.as_ref().is_none_or(|flow| flow.next_expiry_at() == Tick::MAX);
        let pools = self.disaggregation.as_ref().is_none_or(|pools| {
            pools.next_prefill_routing_at() == Tick::MAX
                && pools.next_transfer_start_at() == Tick::MAX
                && pools.next_transfer_end_at() == Tick::MAX
        });
        arrivals && at_gateway && timers && pools
    }

    fn pull_arrival(&mut self) {
        self.next_arrival = self.source.next_arrival();
    }

    /// Takes in the source's labels.
    fn learn_labels(&mut self) {
        let tenant_of = |labels: &Labels| match labels.tenant.as_str() {
            "" => UNNAMED_TENANT.to_owned(),
            tenant => tenant.to_owned(),
        };
        let tenants: BTreeSet<_> = self.source.labels().iter().map(tenant_of).collect();
        let tenants: Vec<_> = tenants.into_iter().collect();
        self.tenants_in_flight = vec![0; tenants.len()];
        let class_targets = self.plan.flow_control.as_ref().map(|flow_control| &flow_control.slo_targets);
        for labels in self.source.labels() {
            let adapters = self.plan.instance.adapters.iter().flat_map(|adapters| &adapters.adapters);
            let adapter = adapters.map(|adapter| &adapter.name).position(|name| *name == labels.adapter);
            let class_target = class_targets.and_then(|targets| targets.get(&labels.slo_class));
            self.labels.push(LabelFigures {
                tenant: tenants.binary_search(&tenant_of(labels)).expect("a tenant that was listed") as u32,
                slo_target: labels.slo_target.or(class_target.copied()),
                adapter: adapter.map(|number| number as u32),
                rank: self.plan.priorities.rank(&labels.slo_class),
                priority: self.plan.priorities.priority(&labels.slo_class),
                served_by: served_by(self.plan, &labels.model),
            });
            self.recorder.add_labels(blis_metrics::Labels {
                slo_class: labels.slo_class.clone(),
                tenant: labels.tenant.clone(),
                model: labels.model.clone(),
                adapter: labels.adapter.clone(),
                network: labels.network,
            });
        }
    }

    fn arrive(&mut self, now: Tick) {
        let from_source = self.next_arrival.as_ref().is_some_and(|request| request.arrival == now);
        let spec = if from_source {
            let spec = self.next_arrival.take().expect("an arrival that was seen");
            self.pull_arrival();
            spec
        } else {
            self.follow_ups.pop().expect("a follow-up that was seen").1
        };
        let number = self.injected;
        self.injected += 1;
        self.sessions = self.sessions.max(spec.session.map_or(0, |place| place.session.0 + 1));
        let handle = self.requests.insert(spec, number);
        self.note_arrival(number, handle);
        self.admissions.push_back((now + self.plan.admission_latency, handle));
    }

    fn admit(&mut self, now: Tick) {
        let (_, handle) = self.admissions.pop_front().expect("an admission that was seen");
        self.refresh_signals(now);
        if self.admission.reads().in_flight {
            self.bring_up_to_date(now);
        }
        let request = &self.requests.get(handle).spec;
        let labels = self.labels[request.labels.0 as usize];
        let members = labels.served_by.map_or(&[][..], |pool| self.fleet.members(pool));
        let (columns, _) = self.signals.of(members);
        let decision = self.admission.admit(&AdmissionView {
            now,
            input_tokens: request.input_tokens,
            slo_class: &self.source.labels()[request.labels.0 as usize].slo_class,
            slo_rank: labels.rank,
            tenant: &self.source.labels()[request.labels.0 as usize].tenant,
            tenant_in_flight: self.tenants_in_flight[labels.tenant as usize],
            queue_depth: &columns.queue_depth,
            batch_size: &columns.batch_size,
            kv_utilization: &columns.kv_utilization,
            in_flight: &columns.in_flight,
            load: self.load,
        });
        if let Some(log) = &mut self.decisions {
            log.admission(&request.name, now, decision, &*self.admission);
        }
        match decision {
            Decision::Admit if self.flow_control.is_some() => self.join_gateway_queue(handle, now),
            Decision::Admit => self.routings.push_back((now + self.plan.routing_latency, handle)),
            Decision::Reject => self.turn_away(handle, RequestEnding::RejectedByAdmission, now),
        }
    }

    /// The signals that somebody looks at are read again when they are old enough.
    pub(crate) fn refresh_signals(&mut self, now: Tick) {
        let figures = self.reads.snapshot && self.signals.figures_are_due(now);
        let caches = self.reads.cache && self.signals.cache_is_due(now);
        if !figures && !caches {
            return;
        }
        self.bring_up_to_date(now);
        if figures {
            self.signals.read_figures(now, self.fleet.members(Pool::Routable), &self.instances);
        }
        if caches {
            self.signals.copy_caches(now, &mut self.instances);
        }
    }

    /// Every event of every instance before `now` has happened.
    pub(crate) fn bring_up_to_date(&mut self, now: Tick) {
        if self.next_events.first_at() >= now {
            return;
        }
        for index in 0..self.instances.len() {
            self.bring_instance_up_to_date(index, now);
        }
    }

    #[inline]
    pub(crate) fn bring_instance_up_to_date(&mut self, index: usize, now: Tick) {
        if self.next_events.at(index) < now {
            self.run_instance(index, now, false);
        }
    }

    /// Runs an instance's events before `until`, and takes in the requests that left. Returns whether there were any.
    fn run_instance(&mut self, index: usize, until: Tick, stop_at_end: bool) -> bool {
        let instance = &mut self.instances[index];
        instance.run_before(until, stop_at_end);
        self.next_events.set(index, instance.next_event_at());
        let any_left = instance.has_ended();
        if any_left {
            self.collect_ended(index);
        }
        any_left
    }

    /// Where an end can bring an arrival: runs the instances' events before the gateway's `next` event in order of time
    /// (the lower instance first at one tick) and before `until`, and follows `next` when an end brings an earlier one.
    fn run_instances_in_order(&mut self, next: &mut Option<(Tick, Stage)>, until: Tick) {
        loop {
            let gateway = next.map_or(until, |(at, _)| at.min(until));
            let first_at = self.next_events.first_at();
            if first_at >= gateway {
                return;
            }
            let (first, limit) = self.next_events.first_and_limit();
            if self.run_instance(first, gateway.min(limit), true) {
                *next = self.next_event();
            }
        }
    }

    pub(crate) fn finish(mut self) -> Outcome {
        let deadlock = self.instances.iter().position(Replica::is_deadlocked).map(|index| {
            let instance = &self.instances[index];
            format!(
                "{} has {} waiting and {} running requests and nothing that could free blocks for them",
                InstanceId(index as u32),
                instance.queue_depth(),
                instance.batch_size()
            )
        });
        let mut figures = Vec::new();
        for index in 0..self.instances.len() {
            let ended_at = self.instances[index].finish();
            self.collect_ended(index);
            let inter_token_latencies = self.instances[index].take_inter_token_latencies();
            let instance = &self.instances[index];
            let counters = instance.counters();
            let (cache_hits, cache_misses) = instance.cache_hits_and_misses();
            figures.push(InstanceFigures {
                ended_at,
                input_tokens: counters.input_tokens,
                output_tokens: counters.output_tokens,
                preemptions: counters.preemptions,
                kv_allocation_failures: counters.kv_allocation_failures,
                inter_token_latencies,
                steps: counters.steps,
                queue_length_sum: counters.queue_length_sum,
                cache_hits,
                cache_misses,
                kv_thrashing_rate: instance.kv_thrashing_rate(),
                adapters: adapter_counts(self.plan, instance),
                offload: instance.offload_figures().as_ref().map(offload_figures),
                kv_blocks: instance.kv_blocks(),
                peak_kv_blocks: counters.peak_kv_blocks,
            });
        }
        let at_gateway = self.flow_control.as_mut().map(FlowControl::drain).unwrap_or_default();
        let (to_prefill, between) =
            self.disaggregation.as_mut().map(Disaggregation::drain).unwrap_or_default();
        let admissions = std::mem::take(&mut self.admissions);
        let routings = std::mem::take(&mut self.routings);
        let retries = std::mem::take(&mut self.retries);
        let on_their_way = admissions.into_iter().chain(routings).chain(retries).map(|(_, handle)| handle);
        let on_their_way: Vec<_> = on_their_way.chain(to_prefill).collect();
        self.cut(at_gateway, RequestEnding::StillAtGateway);
        self.cut(on_their_way, RequestEnding::InPipeline);
        self.cut(between, RequestEnding::StillRunning);
        let all_arrived = self.next_arrival.is_none() && self.follow_ups.next_at() == Tick::MAX;
        let all_ended = self.ended == self.injected && all_arrived;
        let deadlock = deadlock.or_else(|| {
            let waits = !all_ended && self.plan.horizon == Tick::MAX;
            waits.then(|| "requests wait at the gateway and no instance takes any".to_owned())
        });
        let ending = match deadlock {
            Some(text) => RunEnding::Deadlock(text),
            None if all_ended => RunEnding::Completed,
            None => RunEnding::HorizonReached,
        };
        let session_names = if self.plan.detail == Detail::PerRequest {
            (0..self.sessions)
                .map(|n| self.source.session_name(blis_workload::SessionId(n)).to_owned())
                .collect()
        } else {
            Vec::new()
        };
        let end = figures.iter().map(|figures| figures.ended_at).max().unwrap_or_default();
        self.end_drained(end);
        let (trace, decisions) = self.decisions.map(DecisionLog::finish).unzip();
        self.recorder.finish(RunFigures {
            ending,
            injected: self.injected,
            instances: figures,
            session_names,
            trace,
            decisions: decisions.flatten(),
            splits: self.disaggregation.map(Disaggregation::finish),
            fleet: self.fleet.figures(end),
            faults: self.faults.map(|faults| faults.finish(end)),
            instance_names: self.fleet.names(),
            prefill_instances: self.fleet.flags(Pool::Prefill),
            decode_instances: self.fleet.flags(Pool::Decode),
        })
    }
}

/// What happened to each adapter at an instance.
fn adapter_counts(plan: &Plan, instance: &Replica) -> BTreeMap<String, AdapterCounts> {
    let adapters = plan.instance.adapters.iter().flat_map(|adapters| &adapters.adapters);
    let counts = instance.adapter_figures().into_iter().map(|figures| AdapterCounts {
        loads: figures.loads,
        evictions: figures.evictions,
        hits: figures.hits,
    });
    adapters.map(|adapter| adapter.name.clone()).zip(counts).collect()
}

/// What reports need of a chain of KV tiers.
fn offload_figures(chain: &blis_engine::OffloadFigures) -> OffloadFigures {
    OffloadFigures {
        stored_blocks: chain.stored_blocks,
        skipped_blocks: chain.skipped_blocks,
        reloaded_blocks: chain.reloaded_blocks,
        cpu_evictions: chain.cpu_evictions,
        promotions: chain.promotions,
        refused_promotions: chain.refused_promotions,
        deferrals: chain.deferrals,
        given_up: chain.given_up,
        waited: chain.waited,
        devices: chain.devices.iter().map(|device| (device.blocks_read, device.blocks_written)).collect(),
    }
}

fn setup<'a>(plan: &'a Plan, params: &'a Params, stream: &'static str) -> Setup<'a> {
    Setup { params, semantics: plan.semantics, scorers: &plan.routing.scorers, seed: plan.seed, stream }
}

/// Who serves requests for a model.
fn served_by(plan: &Plan, model: &str) -> Option<Pool> {
    if model.is_empty() || (plan.further_models.is_empty() && model == plan.model) {
        return Some(Pool::Routable);
    }
    let mut models = std::iter::once(&plan.model).chain(plan.further_models.iter().map(|other| &other.model));
    let number = models.position(|known| known == model)?;
    Some(Pool::Model(number as u32))
}

fn make_admission(plan: &Plan) -> Box<dyn Admission> {
    let AdmissionPlan { policy, tenant_budgets } = &plan.admission;
    let made = (policy.entry.make)(&setup(plan, &policy.params, "admission"));
    if tenant_budgets.is_empty() {
        return made;
    }
    let further: u32 = plan.further_models.iter().map(|model| model.instances).sum();
    let capacity = u64::from(plan.instances + further) * u64::from(plan.instance.max_running());
    Box::new(TenantBudget::new(made, tenant_budgets, capacity.max(1)))
}
