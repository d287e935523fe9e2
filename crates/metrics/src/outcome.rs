//! What a run gives.

use crate::aggregate::Aggregate;
use crate::breakdown::{ClassFigures, ModelFigures, Tenants};
use crate::client_side::ClientSide;
use crate::curve::LatencyCurves;
use crate::decisions::Decisions;
use crate::goodput::Goodput;
use crate::offload::OffloadFigures;
use crate::record::{Labels, RequestRecord};
use crate::saturation::Saturation;
use crate::sessions::SessionFigures;
use crate::splits::SplitFigures;
use crate::trace_summary::TraceSummary;
use blis_kernel::InstanceId;
use std::collections::BTreeMap;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnding {
    /// Every request ended.
    Completed,
    /// The horizon came first.
    HorizonReached,
    /// Nothing could happen any more although requests waited; says who waits for what.
    Deadlock(String),
}

/// Where every injected request went. The parts sum to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conservation {
    /// Requests that arrived.
    pub injected: u64,
    /// Got their answer.
    pub completed: u64,
    /// Missed their deadline.
    pub timed_out: u64,
    /// Could never be served.
    pub dropped_unservable: u64,
    /// Turned away at admission.
    pub rejected_by_admission: u64,
    /// Found the gateway queue full.
    pub rejected_by_gateway: u64,
    /// Left the gateway queue for more important requests.
    pub shed_from_gateway: u64,
    /// Waited too long in the gateway queue.
    pub expired_at_gateway: u64,
    /// Found no instance.
    pub rejected_by_routing: u64,
    /// Found no encode instance.
    pub rejected_by_encode: u64,
    /// Found no room at their decode instance.
    pub dropped_at_decode: u64,
    /// Taken away from their instances for more important requests.
    pub evicted: u64,
    /// Lost in a fault and not tried again.
    pub failed: u64,
    /// Waited in the gateway queue when the run ended.
    pub still_at_gateway: u64,
    /// Waited when the run ended.
    pub still_queued: u64,
    /// Ran when the run ended.
    pub still_running: u64,
    /// Were between two stages when the run ended.
    pub in_pipeline: u64,
}

impl Conservation {
    /// Whether the parts sum to the whole.
    pub fn holds(&self) -> bool {
        self.injected
            == self.completed
                + self.timed_out
                + self.dropped_unservable
                + self.rejected_by_admission
                + self.rejected_by_gateway
                + self.shed_from_gateway
                + self.expired_at_gateway
                + self.rejected_by_routing
                + self.rejected_by_encode
                + self.dropped_at_decode
                + self.evicted
                + self.failed
                + self.still_at_gateway
                + self.still_queued
                + self.still_running
                + self.in_pipeline
    }
}

/// Signs of trouble.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anomalies {
    /// Pairs of requests of one class of which the earlier took more than twice as long; only counted when the
    /// scheduler orders by priority.
    pub priority_inversions: u64,
    /// Instances whose mean wait queue is more than twice the mean of all.
    pub head_of_line_blocking: u64,
    /// Requests turned away at admission.
    pub rejected_by_admission: u64,
    /// Requests that were turned away at admission, shed from or expired in the gateway queue, or evicted, by SLO class;
    /// requests without one count as `standard`.
    pub shed: BTreeMap<String, u64>,
    /// Requests that found no instance.
    pub rejected_by_routing: u64,
    /// Requests that can never be served.
    pub dropped_unservable: u64,
    /// Requests whose deadline passed.
    pub timed_out: u64,
    /// Requests that the longest model length cut short.
    pub length_capped: u64,
    /// Requests in the gateway queue when the run ended.
    pub gateway_depth: u64,
    /// Requests that left the gateway queue for more important ones.
    pub gateway_shed: u64,
    /// Requests that found the gateway queue full.
    pub gateway_rejected: u64,
    /// Requests taken away from their instances for more important ones.
    pub gateway_evicted: u64,
    /// Requests that waited too long in the gateway queue.
    pub gateway_expired: u64,
    /// Requests that found no encode instance.
    pub rejected_by_encode: u64,
}

impl Anomalies {
    /// Whether any was seen.
    pub fn any(&self) -> bool {
        self.priority_inversions
            + self.head_of_line_blocking
            + self.rejected_by_admission
            + self.rejected_by_routing
            + self.dropped_unservable
            + self.timed_out
            + self.length_capped
            + self.gateway_depth
            + self.gateway_shed
            + self.gateway_rejected
            + self.gateway_evicted
            + self.gateway_expired
            + self.rejected_by_encode
            > 0
    }
}

/// How the KV caches did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KvFigures {
    /// Preemptions per completed request; 0 when none completed.
    pub preemption_rate: f64,
    /// Share of KV blocks found in the cache, unweighted mean over instances.
    pub cache_hit_rate: f64,
    /// Evictions from the CPU tier per block mirrored to it, or the share of the chain's promotions that found no room;
    /// unweighted mean over instances.
    pub thrashing_rate: f64,
}

/// Instances that come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FleetFigures {
    /// Instances that were asked for at first.
    pub started: u32,
    /// Most instances that took requests at once.
    pub peak_replicas: u32,
    /// Instances that were added.
    pub scale_ups: u64,
    /// Instances that were taken away.
    pub scale_downs: u64,
    /// Hours that instances had their GPUs, summed.
    pub instance_hours: f64,
    /// The same times their GPUs.
    pub gpu_hours: f64,
    /// What that costs: the instances' share of their nodes, at the nodes' price.
    pub cost: f64,
    /// The nodes, where empty ones are given back.
    pub nodes: Option<NodeFigures>,
}

/// What went wrong, and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultFigures {
    /// Crashes of instances that took requests or drained.
    pub crashes: u64,
    /// Times that such an instance became slow.
    pub slowdowns: u64,
    /// Transfers between prefill and decode instances that were lost on their way.
    pub lost_transfers: u64,
    /// Seconds in which instances were down, summed, until the end of the run.
    pub downtime_s: f64,
    /// Times that a fault, or an instance drained at once, took a request; each is tried again or fails.
    pub lost_requests: u64,
    /// Times that such a request was tried again.
    pub retries: u64,
    /// Times that a draining instance gave back a request that waited there.
    pub redirected: u64,
}

/// Nodes that come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeFigures {
    /// Nodes that were added.
    pub provisioned: u64,
    /// Nodes that were given back.
    pub released: u64,
    /// Hours that nodes were there, summed.
    pub node_hours: f64,
    /// What that costs, with or without instances on them.
    pub node_cost: f64,
}

/// Every request of a run, in order of arrival and then of name.
#[derive(Clone, Debug, PartialEq)]
pub struct PerRequest {
    /// The requests.
    pub records: Vec<RequestRecord>,
    /// What [`RequestRecord::labels`] refers to.
    pub labels: Vec<Labels>,
    /// What [`crate::SessionPlace::session`] refers to.
    pub session_names: Vec<String>,
}

/// What a run gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub ending: RunEnding,
    /// The step-time model, where it is told.
    pub latency_model: Option<&'static str>,
    /// All instances together.
    pub cluster: Aggregate,
    /// The latencies of [`Self::cluster`] in full.
    pub curves: LatencyCurves,
    /// Each instance, in order.
    pub instances: Vec<Aggregate>,
    /// Where every request went.
    pub conservation: Conservation,
    /// Signs of trouble.
    pub anomalies: Anomalies,
    /// How the KV caches did.
    pub kv: KvFigures,
    /// What the chains of KV tiers did, when there are any.
    pub offload: Option<OffloadFigures>,
    /// By SLO class; requests without one are called `default`.
    pub classes: BTreeMap<String, ClassFigures>,
    /// By model, of the requests that name one.
    pub models: BTreeMap<String, ModelFigures>,
    /// By tenant, when tenants got anything.
    pub tenants: Option<Tenants>,
    /// Against SLO targets, when a class that got requests has any.
    pub goodput: Option<Goodput>,
    /// Latencies as clients see them, when any client has a link.
    pub client_side: Option<ClientSide>,
    /// Whether the system kept up, when detectors were asked.
    pub saturation: Option<Saturation>,
    /// Of requests whose prompt and answer were processed by different instances, when there are any.
    pub splits: Option<SplitFigures>,
    /// Of instances that come and go, where they do.
    pub fleet: Option<FleetFigures>,
    /// Of faults, where there may be any.
    pub faults: Option<FaultFigures>,
    /// What the instances are called, in order.
    pub instance_names: Vec<String>,
    /// Of sessions, when there are any.
    pub sessions: Option<SessionFigures>,
    /// Of decisions, when they were counted.
    pub trace: Option<TraceSummary>,
    /// The decisions themselves, when they were kept.
    pub decisions: Option<Decisions>,
    /// Every request, when they were kept.
    pub requests: Option<PerRequest>,
}

impl Outcome {
    /// What an instance is called.
    pub fn instance_name(&self, instance: InstanceId) -> String {
        self.instance_names.get(instance.index()).cloned().unwrap_or_else(|| instance.to_string())
    }
}
