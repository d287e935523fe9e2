//! The flags of `run` and `replay`, one file per topic.
//!
//! A group declares its flags, with their help, and fills its part of the options. Nothing is checked here except
//! that a number is a number: what a setting may be is decided in one place for every way of giving it.

pub(crate) mod analysis;
pub(crate) mod cluster;
mod decisions;
pub(crate) mod engine;
mod findings;
mod gateway;
pub(crate) mod intervals;
pub(crate) mod later;
mod lora;
pub(crate) mod measured;
pub(crate) mod model;
pub(crate) mod output;
pub(crate) mod policies;
mod pools;
pub(crate) mod prices;
pub(crate) mod server;
pub(crate) mod traffic;
mod value;

use analysis::AnalysisFiles;
use blis_config::RunOptions;
use clap::Args;
pub(crate) use findings::Findings;
use value::Reals;
pub(crate) use value::{Micros, Typed};

/// What is simulated: the cluster and its instances.
#[derive(Args, Debug)]
pub(crate) struct SystemFlags {
    #[command(flatten)]
    cluster: cluster::ClusterFlags,
    #[command(flatten)]
    gateway: gateway::GatewayFlags,
    #[command(flatten)]
    pools: pools::PoolFlags,
    #[command(flatten)]
    policy_params: policies::PolicyParams,
    #[command(flatten)]
    engine: engine::EngineFlags,
    #[command(flatten)]
    host: engine::HostFlags,
    #[command(flatten)]
    kv: engine::KvFlags,
    #[command(flatten)]
    lora: lora::LoraFlags,
    #[command(flatten)]
    latency: model::LatencyFlags,
}

/// The flags that have the same meaning on every command that simulates traffic.
#[derive(Args, Debug)]
pub(crate) struct SharedFlags {
    #[command(flatten)]
    system: SystemFlags,
    #[command(flatten)]
    simulation: output::SimulationFlags,
    #[command(flatten)]
    decisions: decisions::DecisionFlags,
    #[command(flatten)]
    fitness: analysis::FitnessFlags,
    #[command(flatten)]
    analysis: analysis::AnalysisFlags,
    #[command(flatten)]
    output: output::OutputFlags,
}

/// What a run of synthesised traffic is, for every command that makes such runs.
#[derive(Args, Debug)]
pub(crate) struct RunFlags {
    #[command(flatten)]
    model: model::ModelFlags,
    #[command(flatten)]
    workload: traffic::WorkloadFlags,
    #[command(flatten)]
    shared: SharedFlags,
}

impl RunFlags {
    /// The options, and what is shown.
    pub(crate) fn fill(self, findings: &mut Findings) -> (RunOptions, output::Output) {
        let mut options = RunOptions::default();
        self.model.fill(&mut options, findings);
        options.traffic = self.workload.into_traffic(findings);
        let output = self.shared.fill(&mut options, findings);
        (options, output)
    }
}

impl SystemFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        self.cluster.fill(options, findings);
        self.gateway.fill(options, findings);
        self.pools.fill(options, findings);
        self.policy_params.fill(options, findings);
        self.engine.fill(options, findings);
        self.host.fill(options, findings);
        self.kv.fill(options, findings);
        self.lora.fill(options, findings);
        self.latency.fill(options, findings);
    }
}

impl SharedFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) -> output::Output {
        self.system.fill(options, findings);
        self.simulation.fill(options, findings);
        let decision_trace = self.decisions.fill(options, findings);
        self.fitness.fill(options);
        let files = AnalysisFiles { decision_trace, ..self.analysis.fill(options, findings) };
        output::Output { files, ..self.output.read(findings) }
    }
}

/// An empty text asks for the default, as an unset variable in a script does.
pub(crate) fn text(given: Option<String>) -> Option<String> {
    given.filter(|text| !text.is_empty())
}
