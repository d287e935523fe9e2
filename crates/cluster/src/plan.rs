//! Everything a run needs, with nothing optional left.

pub use crate::fault_plan::{DrainPolicy, FaultKind, FaultPlan, FaultTarget, RandomFault, ScheduledFault};
use blis_engine::InstanceConfig;
pub use blis_engine::WarmUp;
use blis_kernel::{Semantics, Tick};
use blis_latency::LatencyModel;
use blis_metrics::{SloTargets, saturation};
use blis_policy::Configured;
use blis_policy::priority::SloTable;
use blis_policy::registry::{
    MakeAdmission, MakeAutoscaler, MakeDecider, MakeDetector, MakeEncodeDecider, MakeFairness, MakeOrder,
    MakeRouter, MakeUsageLimit, Scorers,
};
use blis_workload::RequestSource;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// A run, resolved: the same plan gives the same outcome, byte for byte.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which reading of the mechanisms.
    pub semantics: Semantics,
    /// Seeds every random stream of the cluster (the workload carries its own).
    pub seed: i64,
    /// No event after this one runs; [`Tick::MAX`] = until everything is finished.
    pub horizon: Tick,
    /// Number of instances; at least 1.
    pub instances: u32,
    /// What each instance is built from.
    pub instance: InstanceConfig,
    /// Step times.
    pub latency: Arc<dyn LatencyModel>,
    /// Who may enter.
    pub admission: AdmissionPlan,
    /// From arrival to the admission decision.
    pub admission_latency: Tick,
    /// Instances of their own for prompts and for answers, if there are.
    pub disaggregation: Option<DisaggregationPlan>,
    /// How instances come and go, if they do. Not together with pools.
    pub elastic: Option<ElasticPlan>,
    /// How instances do that have just started, where they are not on nodes.
    pub warm_up: Option<WarmUp>,
    /// Whether those that are there at the beginning started long ago.
    pub starts_warm: bool,
    /// What goes wrong, if anything does.
    pub faults: Option<FaultPlan>,
    /// Where requests wait between admission and routing, if they do.
    pub flow_control: Option<FlowControlPlan>,
    /// Who serves a request.
    pub routing: RoutingPlan,
    /// From admission to the routing decision.
    pub routing_latency: Tick,
    /// How old queue, batch and KV figures may be when the router reads them; zero = always fresh.
    pub snapshot_refresh_interval: Tick,
    /// How old the router's copies of the cache indexes may be; zero = always fresh.
    pub cache_signal_delay: Tick,
    /// Importance of each SLO class.
    pub priorities: SloTable,
    /// The model that the instances serve, as requests name it (lower case).
    pub model: String,
    /// Further models behind the same gateway, whose instances come after the others. Not together with pools, instances
    /// that come and go, faults or a gateway queue.
    pub further_models: Vec<ModelPlan>,
    /// The requests.
    pub workload: Workload,
    /// Which decisions are traced; `None` = none.
    pub trace: Option<TracePlan>,
    /// What goodput is measured against.
    pub slo_targets: SloTargets,
    /// Whether and how saturation is detected afterwards.
    pub saturation: Option<saturation::Settings>,
    /// How much is kept of each request.
    pub detail: Detail,
}

/// The instances of one model.
#[derive(Clone, Debug)]
pub struct ModelPlan {
    /// The model, as requests name it (lower case).
    pub model: String,
    /// Number of instances; at least 1.
    pub instances: u32,
    /// What they are built from; blocks have as many tokens as those of the other instances.
    pub kind: InstanceKind,
}

/// What instances are built from.
#[derive(Clone, Debug)]
pub struct InstanceKind {
    /// Limits and policies.
    pub config: InstanceConfig,
    /// Step times.
    pub latency: Arc<dyn LatencyModel>,
}

/// Pools of instances with different parts in a request. Instances are dealt out in this order, from the first;
/// those that are left have no part and get no requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSizes {
    /// They process prompts.
    pub prefill: u32,
    /// They generate answers.
    pub decode: u32,
    /// They do both.
    pub shared: u32,
    /// They encode what is not text.
    pub encode: u32,
}

/// Prefill and decode on instances of their own.
#[derive(Clone, Debug)]
pub struct DisaggregationPlan {
    /// Who does what.
    pub pools: PoolSizes,
    /// What prefill instances are built from.
    pub prefill: InstanceKind,
    /// What decode and shared instances are built from.
    pub decode: InstanceKind,
    /// Which requests are split.
    pub decider: Configured<MakeDecider>,
    /// Which requests go through an encode instance.
    pub encode_decider: Configured<MakeEncodeDecider>,
    /// Who gets a prompt, where that is another policy than the cluster's.
    pub prefill_routing: Option<RoutingPlan>,
    /// Who gets an answer, where that is another policy than the cluster's.
    pub decode_routing: Option<RoutingPlan>,
    /// How KV travels.
    pub transfer: TransferPlan,
}

/// How KV travels from a prefill to a decode instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransferPlan {
    /// Bytes per microsecond; above zero.
    pub bandwidth_bytes_per_us: f64,
    /// Added to every transfer.
    pub base_latency_us: f64,
    /// Bytes of one KV block on one GPU of a prefill instance.
    pub block_bytes: f64,
    /// Whether transfers share the bandwidth.
    pub contention: bool,
}

/// Instances that come and go, on nodes that there are so many of.
#[derive(Clone, Debug)]
pub struct ElasticPlan {
    /// GPU type of instances that are not on a node.
    pub gpu: String,
    /// GPUs per instance; above zero.
    pub tp: u32,
    /// Nodes by kind, in order of preference; without any, instances need none.
    pub node_pools: Vec<NodePool>,
    /// From the time that an instance has its GPUs until it takes requests.
    pub loading_delay: Delay,
    /// Whether those that are there at first take requests at once.
    pub warm_start: bool,
    /// Who decides how many there are; `None` = they stay.
    pub autoscaler: Option<AutoscalerPlan>,
}

/// Nodes of one kind.
#[derive(Clone, Debug)]
pub struct NodePool {
    /// GPU type.
    pub gpu: String,
    /// GPUs of each node; above zero.
    pub gpus_per_node: u32,
    /// Nodes that are there at first.
    pub nodes: u32,
    /// How many nodes stay.
    pub min_nodes: u32,
    /// Most nodes that there may be.
    pub max_nodes: u32,
    /// From the wish for another node until it is there.
    pub provisioning_delay: Delay,
    /// What a node costs.
    pub cost_per_hour: f64,
    /// After which time an empty node beyond those that stay is given back; `None` = never.
    pub release_after: Option<Tick>,
    /// What an instance on it is built from.
    pub kind: InstanceKind,
    /// How instances do that have just started on it.
    pub warm_up: Option<WarmUp>,
}

/// A delay that may vary: normally distributed, at least 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delay {
    /// Its mean, seconds.
    pub mean_s: f64,
    /// Its standard deviation, seconds; 0 = it is always the mean.
    pub std_dev_s: f64,
}

impl Delay {
    /// A time that no draw exceeds. The generator's normal draws stay below 3.45 + 53 ln 2 / 3.44, which is 14.2.
    pub fn longest(self) -> Tick {
        Tick::trunc((self.mean_s + 15.0 * self.std_dev_s.max(0.0)).max(0.0) * 1e6)
    }
}

/// Who decides how many instances there are.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoscalerPlan {
    /// The policy.
    pub policy: Configured<MakeAutoscaler>,
    /// Time between two looks; above zero.
    pub interval: Tick,
    /// How long a wish for more must last.
    pub up_window: Tick,
    /// How long a wish for fewer must last.
    pub down_window: Tick,
    /// From a decision until it happens.
    pub actuation_delay: Delay,
    /// Fewest replicas that stay.
    pub min_replicas: u32,
    /// Most replicas.
    pub max_replicas: u32,
    /// What becomes of the requests of an instance that is to go.
    pub drain: DrainPolicy,
}

/// A description of traffic that can be streamed any number of times.
#[derive(Clone)]
pub struct Workload(Arc<dyn Fn() -> Box<dyn RequestSource> + Send + Sync>);

impl Workload {
    /// Wraps a description; `stream` starts it from its beginning.
    pub fn new(stream: impl Fn() -> Box<dyn RequestSource> + Send + Sync + 'static) -> Self {
        Self(Arc::new(stream))
    }

    /// A fresh stream of its requests.
    pub fn stream(&self) -> Box<dyn RequestSource> {
        (self.0)()
    }
}

impl Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Workload")
    }
}

/// Who may enter.
#[derive(Clone, Debug, PartialEq)]
pub struct AdmissionPlan {
    /// The policy.
    pub policy: Configured<MakeAdmission>,
    /// Shares of the fleet, 0 to 1, beyond which tenants lose their sheddable requests before the policy is asked.
    pub tenant_budgets: BTreeMap<String, f64>,
}

impl From<Configured<MakeAdmission>> for AdmissionPlan {
    fn from(policy: Configured<MakeAdmission>) -> Self {
        Self { policy, tenant_budgets: BTreeMap::new() }
    }
}

/// Who serves a request.
#[derive(Clone, Debug)]
pub struct RoutingPlan {
    /// The policy.
    pub policy: Configured<MakeRouter>,
    /// Scorers with their weights, in order, for a policy that scores.
    pub scorers: Scorers,
}

/// The gateway queue.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowControlPlan {
    /// How full the instances are.
    pub saturation: Configured<MakeDetector>,
    /// Order of the queue.
    pub order: Configured<MakeOrder>,
    /// Whose turn it is.
    pub fairness: Configured<MakeFairness>,
    /// Up to which saturation each class is served.
    pub usage_limit: Configured<MakeUsageLimit>,
    /// Time to the first token that a class hopes for, where its requests do not say.
    pub slo_targets: BTreeMap<String, Tick>,
    /// Most requests in the queue, if there is a limit.
    pub max_depth: Option<u32>,
    /// Most requests in a band, if there is a limit.
    pub band_capacity: Option<u32>,
    /// How long a request may wait, if there is a limit.
    pub ttl: Option<Tick>,
    /// Whether a full queue gives up a less important request for a more important one.
    pub sheds: bool,
    /// Whether saturated instances give up sheddable requests while others wait.
    pub evicts: bool,
    /// Time between attempts to dispatch while requests wait; above zero.
    pub tick: Tick,
}

/// What is traced of the decisions at the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracePlan {
    /// Best candidates that are noted with each routing decision; with 0 nothing is known of what a choice gave up.
    pub candidates: u32,
    /// Keep every decision, not only what they add up to.
    pub keep_decisions: bool,
}

/// How much is kept of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Only what the aggregate figures need (a few dozen bytes).
    Aggregate,
    /// A record of every request.
    PerRequest,
}
