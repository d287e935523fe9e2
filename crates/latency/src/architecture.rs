//! The shape of a model, the figures of a GPU, and how the one is laid out over the other.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The shape of a transformer, as its publisher's `config.json` states it.
///
/// A 0 means that the file does not give the quantity; the methods below fill in what then holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelArchitecture {
    /// Transformer layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Tokens in the vocabulary.
    pub vocabulary: u32,
    /// Query heads.
    pub heads: u32,
    /// Key/value heads; 0 = as many as [`Self::heads`].
    pub kv_heads: u32,
    /// Head dimension where the file states it; 0 = hidden / heads.
    pub head_dim: u32,
    /// Width of the feed-forward network.
    pub intermediate: u32,
    /// Routed experts of an MoE layer; 0 or 1 = dense model.
    pub experts: u32,
    /// Experts that each token visits.
    pub experts_per_token: u32,
    /// Width of one expert; 0 = [`Self::intermediate`].
    pub expert_intermediate: u32,
    /// Experts that every token visits, where the file counts them.
    pub shared_experts: u32,
    /// Width of all shared experts together; 0 = none.
    pub shared_expert_intermediate: u32,
    /// Interleave step of MoE and dense layers; 0 = every layer is MoE.
    pub moe_interleave_step: u32,
    /// Width of the feed-forward network of the dense layers of an MoE model; 0 = [`Self::intermediate`].
    pub dense_intermediate: u32,
    /// Dense layers in front of the MoE layers. Counts for memory, not for step times, whose coefficients were
    /// fitted without it.
    pub dense_prefix_layers: u32,
    /// Width of the latent vector that multi-head latent attention (MLA) caches; 0 = not an MLA model.
    pub kv_lora_rank: u32,
    /// Width of the rotary key that MLA caches beside the latent vector.
    pub qk_rope_head_dim: u32,
    /// Activation function; empty = not stated.
    pub activation: String,
    /// Whether input and output embedding are one matrix.
    pub tied_embeddings: bool,
    /// Bytes per element of activations, and of the KV cache unless [`Self::kv_bytes_per_element`].
    pub bytes_per_param: f64,
    /// Bytes per element of the KV cache, where it holds another type than activations have; 0 = as those.
    pub kv_bytes_per_element: f64,
    /// Bytes per weight of a quantised model; 0 = not quantised.
    pub weight_bytes_per_param: f64,
    /// Whether the weights are FP8, as opposed to another one-byte type.
    pub fp8_weights: bool,
}

impl ModelArchitecture {
    /// Whether layers route tokens to experts: at least two experts.
    pub fn is_moe(&self) -> bool {
        self.experts >= 2
    }

    /// Whether the KV cache holds latent vectors.
    pub fn is_mla(&self) -> bool {
        self.kv_lora_rank > 0
    }

    /// MoE layers and dense layers; their sum is [`Self::layers`].
    ///
    /// An interleave step `s` is read as one MoE layer in every `s + 1`: the reading under which the shipped
    /// coefficients were fitted.
    pub fn layer_split(&self) -> (u32, u32) {
        let moe = match (self.is_moe(), self.moe_interleave_step) {
            (false, _) => 0,
            (true, 0) => self.layers,
            (true, step) => (u64::from(self.layers) / (u64::from(step) + 1)) as u32,
        };
        (moe, self.layers - moe)
    }

    /// Key/value heads with the default filled in.
    pub fn effective_kv_heads(&self) -> u32 {
        or(self.kv_heads, self.heads)
    }

    /// Head dimension with the default filled in, for memory; step times use hidden / heads throughout. 0 without
    /// heads.
    pub fn effective_head_dim(&self) -> u32 {
        or(self.head_dim, self.hidden.checked_div(self.heads).unwrap_or(0))
    }

    /// Width of one expert with the default filled in.
    pub fn effective_expert_intermediate(&self) -> u32 {
        or(self.expert_intermediate, self.intermediate)
    }

    /// Width of a dense layer's feed-forward network with the default filled in.
    pub fn effective_dense_intermediate(&self) -> u32 {
        or(self.dense_intermediate, self.intermediate)
    }

    /// Bytes per element of the KV cache with the default filled in.
    pub fn effective_kv_bytes(&self) -> f64 {
        if self.kv_bytes_per_element == 0.0 { self.bytes_per_param } else { self.kv_bytes_per_element }
    }

    /// Bytes per weight with the default filled in.
    pub fn effective_weight_bytes(&self) -> f64 {
        if self.weight_bytes_per_param == 0.0 { self.bytes_per_param } else { self.weight_bytes_per_param }
    }
}

fn or(stated: u32, otherwise: u32) -> u32 {
    if stated > 0 { stated } else { otherwise }
}

/// Figures of one GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuSpec {
    /// Name, as `--hardware` takes it.
    pub name: String,
    /// Dense FP16/BF16 peak rate, 10^12 FLOP/s.
    pub fp16_tflops: f64,
    /// Dense FP8 peak rate, 10^12 FLOP/s; 0 = no FP8 units.
    pub fp8_tflops: f64,
    /// The FP8 figure with 2:4 sparsity, where the reference takes it for the dense one.
    pub fp8_sparse_tflops: Option<f64>,
    /// Memory bandwidth, 10^12 B/s.
    pub hbm_tb_per_s: f64,
    /// Share of the peak rate that prefill reaches (roofline only).
    pub mfu_prefill: f64,
    /// Share of the peak rate that decode reaches (roofline only).
    pub mfu_decode: f64,
    /// Memory, GiB (2^30 bytes), where known.
    pub memory_gib: Option<f64>,
    /// Bandwidth from one GPU to another of the same node, one way, 10^9 B/s, where known.
    pub link_gb_per_s: Option<f64>,
}

impl GpuSpec {
    /// Peak rate for a model's weights, 10^12 FLOP/s.
    pub fn peak_tflops(&self, architecture: &ModelArchitecture, rule: Fp8Rule) -> f64 {
        let (takes_fp8, fp8_tflops) = match rule {
            Fp8Rule::AnyOneByteWeight => (
                architecture.effective_weight_bytes() == 1.0,
                self.fp8_sparse_tflops.unwrap_or(self.fp8_tflops),
            ),
            Fp8Rule::Fp8WeightsOnly => (architecture.fp8_weights, self.fp8_tflops),
        };
        if takes_fp8 && fp8_tflops > 0.0 { fp8_tflops } else { self.fp16_tflops }
    }
}

/// Which weights are computed at the FP8 rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fp8Rule {
    /// Any weight of one byte, also integers, at the GPU's sparse figure where the reference holds that one.
    AnyOneByteWeight,
    /// FP8 weights, at the dense figure.
    Fp8WeightsOnly,
}

/// How one instance is spread over GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// GPUs that share each layer (tensor parallelism); at least 1.
    pub tp: u32,
    /// Data-parallel ranks of an MoE model; at least 1.
    pub dp: u32,
    /// Whether experts are spread over all ranks whole. Experts' work is divided by TP x DP either way, so step times
    /// do not depend on it.
    pub expert_parallel: bool,
    /// How tokens travel to their experts when there is more than one rank.
    pub moe_comm: MoeComm,
    /// Which kernels run the experts, for measured operators.
    pub moe_backend: MoeBackend,
}

impl Deployment {
    /// One rank on `tp` GPUs.
    pub fn tensor_parallel(tp: u32) -> Self {
        Self {
            tp,
            dp: 1,
            expert_parallel: false,
            moe_comm: MoeComm::default(),
            moe_backend: MoeBackend::default(),
        }
    }
}

/// Kernels for experts of MXFP4 weights, where a GPU has several, by the serving engine's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MoeBackend {
    /// FlashInfer's on Blackwell, Marlin elsewhere, as servers are set up.
    #[default]
    Auto,
    /// `marlin`.
    Marlin,
    /// `triton`.
    Triton,
}

impl MoeBackend {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Marlin, Self::Triton];
    pub(crate) const MARLIN_MXFP4: &str = "marlin_mxfp4";
    pub(crate) const TRITON_MXFP4: &str = "triton_mxfp4";

    /// Name, as `--moe-backend` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Marlin => "marlin",
            Self::Triton => "triton",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|backend| backend.name() == name)
    }

    /// Its kernels in the tables, where it is a certain one.
    pub(crate) fn mxfp4_kernel(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Marlin => Some(Self::MARLIN_MXFP4),
            Self::Triton => Some(Self::TRITON_MXFP4),
        }
    }
}

/// Communication backends of MoE layers, by the serving engine's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MoeComm {
    /// `naive`.
    Naive,
    /// `allgather_reducescatter`.
    #[default]
    AllgatherReducescatter,
    /// `pplx`.
    Pplx,
    /// `deepep_high_throughput`.
    DeepepHighThroughput,
    /// `deepep_low_latency`.
    DeepepLowLatency,
    /// `mori`.
    Mori,
    /// `flashinfer_all2allv`.
    FlashinferAll2allv,
}

impl MoeComm {
    /// All backends.
    pub const ALL: [Self; 7] = [
        Self::Naive,
        Self::AllgatherReducescatter,
        Self::Pplx,
        Self::DeepepHighThroughput,
        Self::DeepepLowLatency,
        Self::Mori,
        Self::FlashinferAll2allv,
    ];

    /// Name, as `--moe-comm-backend` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::AllgatherReducescatter => "allgather_reducescatter",
            Self::Pplx => "pplx",
            Self::DeepepHighThroughput => "deepep_high_throughput",
            Self::DeepepLowLatency => "deepep_low_latency",
            Self::Mori => "mori",
            Self::FlashinferAll2allv => "flashinfer_all2allv",
        }
    }

    /// Whether only the routed tokens travel, as opposed to every token to every rank.
    pub fn is_all_to_all(self) -> bool {
        !matches!(self, Self::Naive | Self::AllgatherReducescatter)
    }
}

impl fmt::Display for MoeComm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MoeComm {
    type Err = UnknownMoeComm;

    /// The empty text is the default.
    fn from_str(name: &str) -> Result<Self, UnknownMoeComm> {
        if name.is_empty() {
            return Ok(Self::default());
        }
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| UnknownMoeComm { name: name.to_owned() })
    }
}

/// A name that no MoE communication backend has.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown MoE communication backend \"{name}\", known: {}", known_moe_comm())]
pub struct UnknownMoeComm {
    /// The name given.
    pub name: String,
}

fn known_moe_comm() -> String {
    let mut names = MoeComm::ALL.map(MoeComm::name);
    names.sort_unstable();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Fp8Rule, GpuSpec, ModelArchitecture, MoeComm};

    fn l40s() -> GpuSpec {
        GpuSpec {
            name: "L40S".into(),
            fp16_tflops: 362.05,
            fp8_tflops: 733.0,
            fp8_sparse_tflops: Some(1466.0),
            hbm_tb_per_s: 0.864,
            mfu_prefill: 0.32,
            mfu_decode: 0.08,
            memory_gib: Some(48.0),
            link_gb_per_s: None,
        }
    }

    #[test]
    fn only_fp8_weights_run_at_the_dense_fp8_rate_unless_the_reference_is_followed() {
        let weights = |bytes, fp8| ModelArchitecture {
            bytes_per_param: 2.0,
            weight_bytes_per_param: bytes,
            fp8_weights: fp8,
            ..ModelArchitecture::default()
        };
        let rates = |model: ModelArchitecture| {
            [Fp8Rule::Fp8WeightsOnly, Fp8Rule::AnyOneByteWeight].map(|rule| l40s().peak_tflops(&model, rule))
        };
        assert_eq!(rates(weights(1.0, true)), [733.0, 1466.0]);
        assert_eq!(rates(weights(1.0, false)), [362.05, 1466.0]);
        assert_eq!(rates(weights(0.5, false)), [362.05, 362.05]);
        assert_eq!(rates(weights(0.0, false)), [362.05, 362.05]);
        let no_fp8_units = GpuSpec { fp8_tflops: 0.0, fp8_sparse_tflops: None, ..l40s() };
        assert_eq!(no_fp8_units.peak_tflops(&weights(1.0, true), Fp8Rule::AnyOneByteWeight), 362.05);
    }

    #[test]
    fn the_layer_split_counts_one_moe_layer_in_every_step_plus_one() {
        let split = |experts, moe_interleave_step| {
            ModelArchitecture { layers: 48, experts, moe_interleave_step, ..ModelArchitecture::default() }
                .layer_split()
        };
        assert_eq!(split(0, 1), (0, 48));
        assert_eq!(split(1, 0), (0, 48));
        assert_eq!(split(16, 0), (48, 0));
        assert_eq!(split(16, 1), (24, 24));
    }

    #[test]
    fn an_unknown_moe_backend_is_answered_with_the_known_ones() {
        assert_eq!("".parse(), Ok(MoeComm::AllgatherReducescatter));
        assert_eq!("pplx".parse(), Ok(MoeComm::Pplx));
        assert_eq!(
            "nccl".parse::<MoeComm>().unwrap_err().to_string(),
            "unknown MoE communication backend \"nccl\", known: allgather_reducescatter, deepep_high_throughput, \
             deepep_low_latency, flashinfer_all2allv, mori, naive, pplx"
        );
    }
}
