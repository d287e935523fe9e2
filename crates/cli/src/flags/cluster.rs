//! Instances, admission and routing.

use super::{Findings, Micros, Typed, text};
use blis_config::RunOptions;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "Cluster: admission and routing")]
pub(crate) struct ClusterFlags {
    /// Number of instances [default: 1]
    #[arg(long, value_name = "INT")]
    num_instances: Option<Typed<i64>>,
    /// YAML file with policies and their parameters; flags go before it
    #[arg(long, value_name = "FILE")]
    policy_config: Option<PathBuf>,
    /// Configuration file of an llm-d Endpoint Picker (kind EndpointPickerConfig) instead of --policy-config; what it says
    /// and is not modelled is refused by line
    #[arg(long, value_name = "FILE")]
    epp_config: Option<PathBuf>,
    /// Who may enter: {admission-policy}
    #[arg(long, value_name = "NAME")]
    admission_policy: Option<String>,
    /// From arrival to the admission decision, µs or a duration [default: 0]
    #[arg(long, value_name = "TIME")]
    admission_latency: Option<Typed<Micros>>,
    /// Who serves a request: {routing-policy}
    #[arg(long, value_name = "NAME")]
    routing_policy: Option<String>,
    /// Scorers of weighted routing as name:weight,…; names are {routing-scorers} [default: {default-scorers}]
    #[arg(long, value_name = "SCORERS")]
    routing_scorers: Option<String>,
    /// From admission to the routing decision, µs or a duration [default: 0]
    #[arg(long, value_name = "TIME")]
    routing_latency: Option<Typed<Micros>>,
    /// Age that the router's queue and batch figures may have, µs or a duration; 0 = always fresh, which was the
    /// default up to release 0.7.12 [default: 50000]
    #[arg(long, value_name = "TIME")]
    snapshot_refresh_interval: Option<Typed<Micros>>,
    /// Age that the router's copies of the cache indexes may have, µs or a duration; 0 = always fresh [default: 50000]
    #[arg(long, value_name = "TIME")]
    cache_signal_delay: Option<Typed<Micros>>,
}

impl ClusterFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        options.num_instances = findings.value("--num-instances", self.num_instances);
        options.admission_policy = text(self.admission_policy);
        options.admission_latency_us = findings.micros("--admission-latency", self.admission_latency);
        options.policy_config = self.policy_config.filter(|path| !path.as_os_str().is_empty());
        options.epp_config = self.epp_config.filter(|path| !path.as_os_str().is_empty());
        options.routing_policy = text(self.routing_policy);
        options.routing_scorers = text(self.routing_scorers);
        options.routing_latency_us = findings.micros("--routing-latency", self.routing_latency);
        options.snapshot_refresh_interval_us =
            findings.micros("--snapshot-refresh-interval", self.snapshot_refresh_interval);
        options.cache_signal_delay_us = findings.micros("--cache-signal-delay", self.cache_signal_delay);
    }
}
