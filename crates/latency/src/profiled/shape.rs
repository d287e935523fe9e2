//! What a transformer computes, operator by operator.

use crate::architecture::{Deployment, ModelArchitecture};
use crate::problem::{Checks, Problem};

/// How a linear layer holds its weights, and what it multiplies them with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WeightFormat {
    /// 16 bits, not quantised.
    #[default]
    Bf16,
    /// FP8 with one scale per tensor or channel, FP8 activations.
    Fp8,
    /// FP8 with one scale per block of weights, FP8 activations.
    Fp8Block,
    /// FP4 with FP8 scales, FP4 activations.
    Nvfp4,
    /// FP4 with power-of-two scales.
    Mxfp4,
    /// 8-bit integers, 16-bit activations.
    Int8,
    /// 4-bit integers, 16-bit activations.
    Int4,
}

impl WeightFormat {
    /// Bytes of one weight, with its share of the scales.
    pub fn bytes(self) -> f64 {
        match self {
            Self::Bf16 => 2.0,
            Self::Fp8 | Self::Fp8Block | Self::Int8 => 1.0,
            Self::Nvfp4 => 0.5625,
            Self::Mxfp4 | Self::Int4 => 0.53125,
        }
    }

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Fp8Block => "block-scaled fp8",
            Self::Nvfp4 => "nvfp4",
            Self::Mxfp4 => "mxfp4",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }
}

/// How the KV cache holds its elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvFormat {
    /// 16 bits.
    #[default]
    Bf16,
    /// 8 bits.
    Fp8,
}

impl KvFormat {
    /// What vLLM's names stand for: `auto` is the type of the activations.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "auto" | "bf16" | "bfloat16" => Some(Self::Bf16),
            "fp8" | "fp8_e4m3" | "fp8_e5m2" => Some(Self::Fp8),
            _ => None,
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> f64 {
        match self {
            Self::Bf16 => 2.0,
            Self::Fp8 => 1.0,
        }
    }
}

/// Normalisation of queries and keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QkNorm {
    /// None.
    #[default]
    None,
    /// Each head by itself.
    PerHead,
    /// All heads of a layer together: the GPUs of a tensor-parallel group sum over them in every layer.
    AcrossHeads,
}

/// Multi-head latent attention: the cache holds one latent vector per token, from which heads are unfolded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentAttention {
    /// Width of the queries' latent vector; 0 = queries are projected at once.
    pub q_rank: u32,
    /// Width of the cached latent vector.
    pub kv_rank: u32,
    /// Width of a head without rotation.
    pub nope_dim: u32,
    /// Width of the rotated part, cached once for all heads.
    pub rope_dim: u32,
    /// Width of a head's values.
    pub value_dim: u32,
}

/// Linear attention with a gated delta rule: a state per sequence in place of a cache that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearAttention {
    /// Layers that have it.
    pub layers: u32,
    /// Heads of keys.
    pub key_heads: u32,
    /// Heads of values.
    pub value_heads: u32,
    /// Width of a key head.
    pub key_dim: u32,
    /// Width of a value head.
    pub value_dim: u32,
}

/// What a transformer computes, read literally (the other models keep the reading that they were fitted with).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelShape {
    /// All layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Tokens in the vocabulary.
    pub vocabulary: u32,
    /// Query heads.
    pub heads: u32,
    /// Key/value heads.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Tokens that a windowed layer looks back on; 0 = no layer is windowed.
    pub window: u32,
    /// Layers with a sliding window.
    pub windowed_layers: u32,
    /// Layers with linear attention.
    pub linear_attention: Option<LinearAttention>,
    /// Latent attention in place of heads that are cached.
    pub latent_attention: Option<LatentAttention>,
    /// Normalisation of queries and keys.
    pub qk_norm: QkNorm,
    /// Whether the attention output passes a gate, which the query projection makes too.
    pub gated_attention: bool,
    /// Layers whose feed-forward network has experts.
    pub moe_layers: u32,
    /// Routed experts.
    pub experts: u32,
    /// Experts that each token visits.
    pub experts_per_token: u32,
    /// Width of an expert.
    pub expert_intermediate: u32,
    /// Width of all shared experts together; 0 = none.
    pub shared_intermediate: u32,
    /// Width of the other layers' feed-forward network.
    pub dense_intermediate: u32,
    /// Whether feed-forward networks have a gate beside the first projection.
    pub gated_mlp: bool,
    /// Weights of the attention's projections.
    pub attention_weights: WeightFormat,
    /// Weights of dense feed-forward networks and shared experts.
    pub dense_weights: WeightFormat,
    /// Weights of routed experts.
    pub expert_weights: WeightFormat,
}

impl ModelShape {
    /// What an architecture says; details that it does not have are absent.
    pub fn of(model: &ModelArchitecture) -> Self {
        let weights = match (model.weight_bytes_per_param, model.fp8_weights) {
            (0.0, _) => WeightFormat::Bf16,
            (_, true) => WeightFormat::Fp8,
            (bytes, false) if bytes <= 0.5 => WeightFormat::Int4,
            (bytes, false) if bytes <= 1.0 => WeightFormat::Int8,
            _ => WeightFormat::Bf16,
        };
        let moe_layers = match (model.is_moe(), model.moe_interleave_step) {
            (false, _) => 0,
            (true, 0 | 1) => model.layers.saturating_sub(model.dense_prefix_layers),
            (true, step) => model.layers / step,
        };
        let latent = model.is_mla().then_some(LatentAttention {
            q_rank: 0,
            kv_rank: model.kv_lora_rank,
            nope_dim: model.effective_head_dim(),
            rope_dim: model.qk_rope_head_dim,
            value_dim: model.effective_head_dim(),
        });
        Self {
            layers: model.layers,
            hidden: model.hidden,
            vocabulary: model.vocabulary,
            heads: model.heads,
            kv_heads: model.effective_kv_heads(),
            head_dim: model.effective_head_dim(),
            latent_attention: latent,
            moe_layers,
            experts: if model.is_moe() { model.experts } else { 0 },
            experts_per_token: model.experts_per_token,
            expert_intermediate: model.effective_expert_intermediate(),
            shared_intermediate: model.shared_expert_intermediate,
            dense_intermediate: model.effective_dense_intermediate(),
            gated_mlp: matches!(
                model.activation.as_str(),
                "" | "silu" | "swiglu" | "geglu" | "gelu_pytorch_tanh"
            ),
            attention_weights: weights,
            dense_weights: weights,
            expert_weights: weights,
            ..Self::default()
        }
    }

    /// What must hold of a model that is laid out like this.
    pub(crate) fn check(&self, deployment: &Deployment, checks: &mut Checks) {
        checks.positive("TP", deployment.tp.into());
        checks.positive("DP", deployment.dp.into());
        checks.positive("layers", self.layers.into());
        checks.positive("hidden size", self.hidden.into());
        checks.positive("attention heads", self.heads.into());
        checks.positive("head dimension", self.head_dim.into());
        checks.divisible("attention heads", self.heads, deployment.tp);
        if self.moe_layers < self.layers {
            checks.positive("intermediate size", self.dense_intermediate.into());
        }
        if self.moe_layers > 0 {
            checks.positive("expert width", self.expert_intermediate.into());
            let experts = self.experts;
            checks.require(self.experts_per_token > 0, Problem::NoExpertsPerToken { experts });
            checks.require(
                self.experts_per_token <= experts,
                Problem::TooManyExpertsPerToken { experts_per_token: self.experts_per_token, experts },
            );
        }
        checks.require(
            self.moe_layers > 0 || deployment.dp <= 1,
            Problem::DataParallelDense { dp: deployment.dp },
        );
    }

    /// Layers whose attention looks at all tokens before.
    pub fn full_attention_layers(&self) -> u32 {
        let linear = self.linear_attention.map_or(0, |linear| linear.layers);
        self.layers.saturating_sub(linear).saturating_sub(self.windowed_layers)
    }
}
