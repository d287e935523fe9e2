//! What a run is like: the model, the machine, the engine and the load, as numbers that can be compared.

use blis_config::Deployed;
use blis_latency::ModelArchitecture;
use blis_metrics::Outcome;

/// A configuration under its load.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configuration {
    /// Model.
    pub model: String,
    /// Whether its layers route tokens to experts.
    pub is_moe: bool,
    /// Bits of a weight, with its share of the scales.
    pub weight_bits: f64,
    /// Parameters that a token meets, 10^9.
    pub active_b: f64,
    /// GPU type.
    pub gpu: String,
    /// GPUs that share a layer.
    pub tp: u32,
    /// GPUs of an instance: those of all stages and ranks.
    pub gpus: u32,
    /// The step-time model.
    pub latency_model: String,
    /// The serving engine, without its release.
    pub engine: String,
    /// Whether the CPU side is simulated.
    pub has_cpu: bool,
    /// Requests in an instance on average, those that wait included.
    pub requests: f64,
    /// Mean tokens of a prompt.
    pub prompt_tokens: f64,
    /// Mean tokens of an answer.
    pub output_tokens: f64,
    /// Share of the time of a request that passes before its first step.
    pub waiting: f64,
}

/// The engine whose ways are simulated where none is named.
const USUAL_ENGINE: &str = "vllm";

impl Configuration {
    /// Of a run that was simulated.
    pub fn of(deployed: &Deployed, outcome: &Outcome) -> Self {
        let cluster = &outcome.cluster;
        let instances = outcome.instances.len().max(1) as f64;
        let each = |tokens: u64| tokens as f64 / cluster.completed.max(1) as f64;
        let share = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
        Self {
            model: deployed.model.clone(),
            is_moe: deployed.architecture.is_moe(),
            weight_bits: deployed.weight_bits,
            active_b: active_parameters(&deployed.architecture) / 1e9,
            gpu: deployed.gpu.clone(),
            tp: deployed.tp,
            gpus: deployed.tp.saturating_mul(deployed.pp).saturating_mul(deployed.dp),
            latency_model: deployed.latency_model.clone(),
            engine: Self::engine_family(deployed.engine.as_deref().unwrap_or_default()),
            has_cpu: deployed.has_cpu,
            requests: share(cluster.completed as f64 * cluster.e2e_ms.mean / 1e3, cluster.duration_s)
                / instances,
            prompt_tokens: each(cluster.input_tokens),
            output_tokens: each(cluster.output_tokens),
            waiting: share(cluster.scheduling_delay_ms.mean, cluster.e2e_ms.mean),
        }
    }

    /// The engine of a release such as `vllm-0.15.1` or `SGLang 0.5.9`; without a name the one whose ways are simulated.
    pub fn engine_family(release: &str) -> String {
        let name: String = release.chars().take_while(char::is_ascii_alphabetic).collect();
        if name.is_empty() { USUAL_ENGINE.to_owned() } else { name.to_lowercase() }
    }
}

/// Parameters that a token meets: attention, the experts that it visits, and one embedding.
fn active_parameters(a: &ModelArchitecture) -> f64 {
    let real = |value: u32| f64::from(value);
    let (hidden, head) = (real(a.hidden), real(a.effective_head_dim()));
    let attention = 2.0 * hidden * head * (real(a.heads) + real(a.effective_kv_heads()));
    let network = |width: f64| 3.0 * hidden * width;
    let (moe, dense) = a.layer_split();
    let visited = real(a.experts_per_token) * real(a.effective_expert_intermediate())
        + real(a.shared_expert_intermediate);
    let dense_width = real(if a.is_moe() { a.effective_dense_intermediate() } else { a.intermediate });
    real(a.layers) * attention
        + real(moe) * network(visited)
        + real(dense) * network(dense_width)
        + hidden * real(a.vocabulary)
}

#[cfg(test)]
mod tests {
    use super::{Configuration, active_parameters};
    use blis_latency::ModelArchitecture;

    #[test]
    fn parameters_are_those_that_publishers_state() {
        let dense = ModelArchitecture {
            layers: 32,
            hidden: 4096,
            vocabulary: 128_256,
            heads: 32,
            kv_heads: 8,
            intermediate: 14_336,
            ..ModelArchitecture::default()
        };
        let billions = active_parameters(&dense) / 1e9;
        assert!((7.3..8.1).contains(&billions), "Llama 3.1 8B: {billions}");
        let moe = ModelArchitecture { experts: 8, experts_per_token: 2, vocabulary: 32_000, ..dense };
        let billions = active_parameters(&moe) / 1e9;
        assert!((12.3..13.2).contains(&billions), "Mixtral 8x7B: {billions}");
    }

    #[test]
    fn an_engine_is_known_by_its_name() {
        assert_eq!(Configuration::engine_family("vllm-0.15.1"), "vllm");
        assert_eq!(Configuration::engine_family("sglang 0.5.9, 2026-04-08"), "sglang");
        assert_eq!(Configuration::engine_family("vLLM 0.15.1"), "vllm");
        assert_eq!(Configuration::engine_family(""), "vllm");
    }
}
