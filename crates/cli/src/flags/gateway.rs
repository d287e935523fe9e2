//! The gateway queue.

use super::value::ClassTimes;
use super::{Findings, Micros, Typed, text};
use blis_config::RunOptions;
use clap::{ArgAction, Args};

#[derive(Args, Debug)]
#[command(next_help_heading = "Cluster: gateway queue (flow control)")]
pub(crate) struct GatewayFlags {
    /// Let requests wait at the gateway until the instances have room for them
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    flow_control: Option<Typed<bool>>,
    /// How full the instances are: {saturation-detector}
    #[arg(long, value_name = "NAME")]
    saturation_detector: Option<String>,
    /// Who goes first: {dispatch-order}
    #[arg(long, value_name = "NAME")]
    dispatch_order: Option<String>,
    /// Whose turn it is among tenants: {fairness-policy}
    #[arg(long, value_name = "NAME")]
    fairness_policy: Option<String>,
    /// Up to which saturation each class is served: {usage-limit-policy}
    #[arg(long, value_name = "NAME")]
    usage_limit_policy: Option<String>,
    /// Time to the first token that a class hopes for, as class=TIME,…; for --dispatch-order slo-deadline
    #[arg(long, value_name = "TIMES")]
    slo_targets: Option<Typed<ClassTimes>>,
    /// Most requests in the queue; 0 = no limit [default: 0]
    #[arg(long, value_name = "INT")]
    max_gateway_queue_depth: Option<Typed<i64>>,
    /// Most requests of a class in the queue; 0 = no limit [default: 0]
    #[arg(long, value_name = "INT")]
    per_band_capacity: Option<Typed<i64>>,
    /// How long a request may wait in the queue, µs or a duration; 0 = no limit [default: 0]
    #[arg(long, value_name = "TIME")]
    request_ttl: Option<Typed<Micros>>,
    /// A full queue gives up a less important request for a more important one
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    queue_shedding: Option<Typed<bool>>,
    /// Saturated instances give up sheddable requests while others wait
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    in_flight_eviction: Option<Typed<bool>>,
    /// Time between attempts to dispatch while requests wait, µs or a duration [default: 1000]
    #[arg(long, value_name = "TIME")]
    dispatch_tick_interval: Option<Typed<Micros>>,
}

impl GatewayFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        let gateway = &mut options.gateway;
        gateway.enabled = findings.value("--flow-control", self.flow_control);
        gateway.saturation_detector = text(self.saturation_detector);
        gateway.dispatch_order = text(self.dispatch_order);
        gateway.fairness_policy = text(self.fairness_policy);
        gateway.usage_limit_policy = text(self.usage_limit_policy);
        let targets = findings.value("--slo-targets", self.slo_targets);
        gateway.slo_targets_us = targets.map(|ClassTimes(targets)| targets);
        gateway.max_queue_depth = findings.value("--max-gateway-queue-depth", self.max_gateway_queue_depth);
        gateway.band_capacity = findings.value("--per-band-capacity", self.per_band_capacity);
        gateway.request_ttl_us = findings.micros("--request-ttl", self.request_ttl);
        gateway.queue_shedding = findings.value("--queue-shedding", self.queue_shedding);
        gateway.in_flight_eviction = findings.value("--in-flight-eviction", self.in_flight_eviction);
        gateway.dispatch_tick_us = findings.micros("--dispatch-tick-interval", self.dispatch_tick_interval);
    }
}
