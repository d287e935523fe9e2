//! Plans that scenarios start from, and requests that are written out one by one.

#![allow(dead_code, missing_docs, clippy::missing_panics_doc, unreachable_pub)]

use blis_cluster::plan::{
    AdmissionPlan, Detail, DisaggregationPlan, FlowControlPlan, InstanceKind, Plan, PoolSizes, RoutingPlan,
    TransferPlan, Workload,
};
use blis_engine::{BatchFormation, InstanceConfig};
use blis_kernel::samplers::{ArrivalProcess, LengthSampler};
use blis_kernel::{RequestName, Semantics, Tick};
use blis_latency::{Blackbox, Coefficients};
use blis_metrics::{Outcome, RequestRecord, SloTargets};
use blis_policy::Registry;
use blis_policy::preemption::PreemptionKind;
use blis_policy::priority::SloTable;
use blis_policy::scheduling::SchedulerKind;
use blis_workload::{
    Client, Content, Labels, LabelsId, RequestEnd, RequestSource, RequestSpec, Segment, SessionId,
    SessionRound, Traffic,
};
use std::sync::Arc;

pub const BLOCK_TOKENS: u32 = 16;

/// One instance without any limit that matters, first come first served, whose steps take `beta_us[0]`
/// + `beta_us[1]` · prefill tokens + `beta_us[2]` · decode tokens.
pub fn plan(beta_us: [f64; 3], workload: Workload) -> Plan {
    let coefficients = Coefficients { alpha: vec![0.0; 3], beta: beta_us.to_vec() };
    Plan {
        semantics: Semantics::CORRECTED,
        seed: 42,
        horizon: Tick::MAX,
        instances: 1,
        instance: InstanceConfig {
            kv_blocks: 1 << 20,
            block_tokens: BLOCK_TOKENS,
            max_num_seqs: 256,
            max_num_batched_tokens: 1 << 20,
            long_prefill_token_threshold: 0,
            max_model_len: 0,
            batch_formation: BatchFormation::Mixed,
            scheduler: SchedulerKind::Fcfs,
            preemption: PreemptionKind::Fcfs,
            cpu_tier: None,
            offload: None,
            adapters: None,
            host: None,
            ranks: None,
            horizon: Tick::MAX,
            semantics: Semantics::CORRECTED,
        },
        latency: Arc::new(Blackbox::new(&coefficients).expect("valid coefficients")),
        admission: admission("always-admit", &[]),
        disaggregation: None,
        elastic: None,
        warm_up: None,
        starts_warm: false,
        faults: None,
        flow_control: None,
        admission_latency: Tick::ZERO,
        routing: routing("round-robin"),
        routing_latency: Tick::ZERO,
        snapshot_refresh_interval: Tick::ZERO,
        cache_signal_delay: Tick::ZERO,
        priorities: SloTable::default(),
        model: "m".to_owned(),
        further_models: Vec::new(),
        workload,
        trace: None,
        slo_targets: SloTargets::new(),
        saturation: None,
        detail: Detail::PerRequest,
    }
}

/// The same plan, cut off at `horizon`.
pub fn until(mut plan: Plan, horizon: Tick) -> Plan {
    plan.horizon = horizon;
    plan.instance.horizon = horizon;
    plan
}

/// The same plan under another reading of the mechanisms.
pub fn under(mut plan: Plan, semantics: Semantics) -> Plan {
    plan.semantics = semantics;
    plan.instance.semantics = semantics;
    plan
}

pub fn weighted(scorers: &str) -> RoutingPlan {
    let scorers = Registry::built_in().parse_scorers(scorers).expect("valid scorers");
    RoutingPlan { scorers, ..routing("weighted") }
}

/// A routing policy by name; one that scores has the default scorers.
pub fn routing(name: &str) -> RoutingPlan {
    let registry = Registry::built_in();
    let scorers = registry.parse_scorers("").expect("valid scorers");
    RoutingPlan { policy: registry.routing.get(name).expect("a router").with_defaults(), scorers }
}

/// An admission policy by name.
pub fn admission(name: &str, params: &[(&str, f64)]) -> AdmissionPlan {
    let policy = Registry::built_in().admission.get(name).expect("an admission policy");
    policy.with(params).expect("parameters in range").into()
}

/// A gateway queue that lets each instance have one request at a time; an attempt to dispatch every millisecond.
pub fn one_at_a_time(order: &str) -> FlowControlPlan {
    let registry = Registry::built_in();
    let detector = registry.saturation.get("concurrency").expect("a detector");
    FlowControlPlan {
        saturation: detector.with(&[("max-concurrency", 1.0)]).expect("parameters in range"),
        order: registry.dispatch_orders.get(order).expect("an order").with_defaults(),
        fairness: registry.fairness.get("").expect("the default").with_defaults(),
        usage_limit: registry.usage_limits.get("").expect("the default").with_defaults(),
        slo_targets: std::collections::BTreeMap::new(),
        max_depth: None,
        band_capacity: None,
        ttl: None,
        sheds: false,
        evicts: false,
        tick: Tick::from_us(1_000),
    }
}

/// The same plan with as many prefill as decode instances, where every request is split: a block of KV takes 100 µs to
/// move, and every transfer 50 µs more.
pub fn in_pools(mut plan: Plan, each: u32) -> Plan {
    let registry = Registry::built_in();
    let kind = InstanceKind { config: plan.instance.clone(), latency: plan.latency.clone() };
    plan.instances = 2 * each;
    plan.disaggregation = Some(DisaggregationPlan {
        pools: PoolSizes { prefill: each, decode: each, ..PoolSizes::default() },
        prefill: kind.clone(),
        decode: kind,
        decider: registry.deciders.get("always").expect("a decider").with_defaults(),
        encode_decider: registry.encode_deciders.get("").expect("the default").with_defaults(),
        prefill_routing: None,
        decode_routing: None,
        transfer: TransferPlan {
            bandwidth_bytes_per_us: 10.0,
            base_latency_us: 50.0,
            block_bytes: 1_000.0,
            contention: false,
        },
    });
    plan
}

pub fn constant(value: i64) -> LengthSampler {
    LengthSampler::Constant { value }
}

pub fn exponential(mean: f64) -> LengthSampler {
    LengthSampler::Exponential { mean, min: 0, max: 0 }
}

/// A client that sends at `per_s` requests per second with exponential gaps.
pub fn poisson(per_s: f64, input: LengthSampler, output: LengthSampler) -> Client {
    let labels = Labels { client: "client".to_owned(), ..Labels::default() };
    let traffic = Traffic::Rate { per_us: per_s / 1e6, process: ArrivalProcess::Poisson };
    Client::new(labels, traffic, input, output)
}

/// The first `requests` requests of these clients.
pub fn synthetic(seed: i64, requests: u64, clients: Vec<Client>) -> Workload {
    let (horizon, max_requests) = (Tick::MAX, Some(requests));
    let description =
        blis_workload::Workload { seed, clients, horizon, max_requests, bounds_follow_ups: false };
    Workload::new(move || description.stream())
}

/// A request whose prompt begins with `shared` tokens that every such request begins with; the rest is its own.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    pub arrival_us: i64,
    pub shared: u32,
    pub own: u32,
    pub output: u32,
    pub deadline_us: Option<i64>,
    pub slo_class: &'static str,
    pub model: &'static str,
}

/// A request that shares nothing, has no deadline and no class.
pub fn request(arrival_us: i64, input: u32, output: u32) -> Script {
    Script { arrival_us, shared: 0, own: input, output, deadline_us: None, slo_class: "", model: "" }
}

/// Requests in order of arrival, named `request_0`, `request_1`, …
pub fn scripted(requests: &[Script]) -> Workload {
    let requests = requests.to_vec();
    Workload::new(move || {
        let longest = requests.iter().map(|r| r.shared).max().unwrap_or(0);
        Box::new(Scripted {
            requests: requests.clone(),
            next: 0,
            labels: requests
                .iter()
                .map(|r| Labels {
                    slo_class: r.slo_class.to_owned(),
                    model: r.model.to_owned(),
                    ..Labels::default()
                })
                .collect(),
            groups: vec![(0..longest).collect()],
        })
    })
}

struct Scripted {
    requests: Vec<Script>,
    next: usize,
    labels: Vec<Labels>,
    groups: Vec<Vec<u32>>,
}

impl RequestSource for Scripted {
    fn next_arrival(&mut self) -> Option<RequestSpec> {
        let script = *self.requests.get(self.next)?;
        let uid = self.next as u64;
        self.next += 1;
        let fresh = Segment::Fresh { uid, tokens: script.own, head: [uid as u32; 4] };
        let prompt = match (script.shared, script.own) {
            (0, _) => vec![fresh],
            (tokens, 0) => vec![Segment::Group { group: blis_workload::GroupId(0), tokens }],
            (tokens, _) => vec![Segment::Group { group: blis_workload::GroupId(0), tokens }, fresh],
        };
        Some(RequestSpec {
            arrival: Tick::from_us(script.arrival_us),
            name: RequestName::Indexed(uid),
            input_tokens: script.shared + script.own,
            output_tokens: script.output,
            max_output_tokens: script.output,
            deadline: script.deadline_us.map(Tick::from_us),
            content: Content::Shared { prompt, answer_uid: uid },
            labels: LabelsId(uid as u32),
            session: None,
            composition: None,
        })
    }

    fn is_reactive(&self) -> bool {
        false
    }

    fn on_end(&mut self, _: SessionRound, _: Tick, _: RequestEnd) -> Option<RequestSpec> {
        None
    }

    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn session_name(&self, _: SessionId) -> &'static str {
        unreachable!("no scripted request belongs to a session")
    }

    fn groups(&self) -> &[Vec<u32>] {
        &self.groups
    }
}

/// Every request of a run that kept them, in order of arrival.
pub fn records(outcome: &Outcome) -> &[RequestRecord] {
    &outcome.requests.as_ref().expect("records were kept").records
}
