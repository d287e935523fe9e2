//! What serves, in a few words: for comparisons with servers that were measured.

use super::model::{Context, Host, Wanted};
use blis_latency::ModelArchitecture;

/// A model on its GPUs, and what its step times come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployed {
    /// In lower case.
    pub model: String,
    /// The shape of the model.
    pub architecture: ModelArchitecture,
    /// Bits of a weight, of an MoE model in its experts; with its share of the scales.
    pub weight_bits: f64,
    /// GPU type.
    pub gpu: String,
    /// GPUs that share a layer.
    pub tp: u32,
    /// Pipeline stages.
    pub pp: u32,
    /// Data-parallel ranks.
    pub dp: u32,
    /// Whether GPUs share the experts.
    pub expert_parallel: bool,
    /// The step-time model that is used; never a choice between several.
    pub latency_model: String,
    /// Release of the engine, where one is named.
    pub engine: Option<String>,
    /// Whether the CPU side is modelled.
    pub has_cpu: bool,
}

impl Deployed {
    pub(super) fn new(
        context: &Context<'_>,
        wanted: &Wanted,
        host: &Host,
        latency_model: &str,
        has_cpu: bool,
    ) -> Self {
        let shape = &host.config.shape;
        let format =
            if host.config.architecture.is_moe() { shape.expert_weights } else { shape.dense_weights };
        Self {
            weight_bits: format.bytes() * 8.0,
            model: wanted.model.clone(),
            architecture: host.config.architecture.clone(),
            gpu: host.gpu.name.clone(),
            tp: host.tp,
            pp: wanted.pp,
            dp: wanted.dp,
            expert_parallel: wanted.expert_parallel,
            latency_model: latency_model.to_owned(),
            engine: context.options.engine.clone().filter(|name| !name.is_empty()),
            has_cpu,
        }
    }
}
