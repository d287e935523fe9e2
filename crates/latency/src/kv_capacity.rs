//! How many KV blocks fit beside the weights.
//!
//! ```text
//! bytes per token and GPU = L·2·dh·KV·b / TP          MLA: L·(latent rank + rope dim)·b, on every GPU
//! block bytes = trunc(bytes per token · tokens per block)
//! params      = V·d + L·(d·(d + 2·kvd) + d·d + 2·d) + mlp + (tied ? 0 : V·d) + d          kvd = KV·dh
//! mlp         = L·3·d·F                                                              dense
//!             = K·3·d·Fd + (L − K)·(3·d·Fe·N + 3·d·Fs + N·d)                         MoE, K dense layers in front
//! available   = memory · utilisation · TP
//! overhead    = trunc(params·w) + (MoE ? 8.0 : 5.5) GiB + (TP = 1 ? 0.15 : 0.6) GiB · TP + reservation
//! blocks      = trunc((available − overhead) / sharers) div block bytes, times DP for MoE
//! ```
//!
//! With several pipeline stages each has TP GPUs, its layers, and the whole activations; the embedding lies on the first
//! stage, the output layer on the last (which has a copy of a tied embedding), and the fullest stage says how many blocks
//! there are, for every stage holds its layers' part of every block.
//!
//! `sharers` is TP: each GPU holds its own part of a block in its own memory. The reference takes 1, and thereby sets
//! the memory of the whole group against the bytes of one GPU ([`TensorParallelMemory`]).

use crate::architecture::ModelArchitecture;
use crate::pipeline::stage_layers;
use std::ops::Range;
use thiserror::Error;

/// Activation memory of a dense model, GiB.
pub const DENSE_ACTIVATION_GIB: f64 = 5.5;
/// Activation memory of an MoE model, GiB.
pub const MOE_ACTIVATION_GIB: f64 = 8.0;
/// Memory outside PyTorch on a single GPU, GiB.
pub const SINGLE_GPU_RUNTIME_GIB: f64 = 0.15;
/// Memory outside PyTorch on each GPU of several that work together, GiB.
pub const GROUP_RUNTIME_GIB: f64 = 0.6;
/// Activation functions whose MLP has the three matrices that the parameter count assumes.
pub const GATED_ACTIVATIONS: [&str; 4] = ["geglu", "silu", "situ", "swiglu"];

const GIB: f64 = (1_u64 << 30) as f64;

/// Whose memory holds a block of a tensor-parallel group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorParallelMemory {
    /// One GPU's part of a block against the memory of the whole group: the reference's count, about TP times too
    /// large.
    WholeGroup,
    /// One GPU's part of a block against that GPU's memory.
    PerGpu,
}

/// What a server is given.
#[derive(Clone, Debug, PartialEq)]
pub struct KvCapacityInputs {
    /// Memory of one GPU, GiB.
    pub gpu_memory_gib: f64,
    /// GPUs that share each layer.
    pub tp: u32,
    /// Pipeline stages, each with TP GPUs.
    pub pp: u32,
    /// Data-parallel ranks.
    pub dp: u32,
    /// Tokens per block.
    pub block_tokens: u32,
    /// Share of the memory that the server may use; above 0, at most 1.
    pub gpu_memory_utilization: f64,
    /// Bytes set aside for LoRA adapters.
    pub adapter_reserved_bytes: i64,
}

/// What fits, and what the rest of the memory goes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvCapacity {
    /// KV blocks of the instance; at least 1.
    pub blocks: u64,
    /// Bytes of one block on one GPU (of the fullest stage).
    pub block_bytes: u64,
    /// Where the group's memory goes (that of the fullest stage).
    pub memory: MemoryUse,
}

/// Memory of a tensor-parallel group, GiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryUse {
    /// What the server may use.
    pub available_gib: f64,
    /// Weights.
    pub weights_gib: f64,
    /// Activations.
    pub activation_gib: f64,
    /// Memory outside PyTorch.
    pub runtime_gib: f64,
    /// Set aside for LoRA adapters.
    pub adapters_gib: f64,
}

impl MemoryUse {
    /// Everything but KV blocks.
    pub fn overhead_gib(&self) -> f64 {
        self.weights_gib + self.activation_gib + self.runtime_gib + self.adapters_gib
    }
}

/// Why no block count can be given.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum KvCapacityError {
    /// A setting is outside its range.
    #[error("{setting} is {value}, must be {allowed}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// Its range, in words.
        allowed: &'static str,
    },
    /// The activation function is not one of [`GATED_ACTIVATIONS`], so the number of MLP matrices is unknown.
    #[error("activation \"{name}\" is not known to be gated, known: {}", GATED_ACTIVATIONS.join(", "))]
    Activation {
        /// Its name.
        name: String,
    },
    /// The model is an MoE model by its other fields but does not count its experts. The caller may go on with a
    /// block count of its own.
    #[error(
        "the model has shared experts or experts per token but no expert count \
         (num_experts, n_routed_experts, num_local_experts, ...)"
    )]
    ExpertCountUnknown,
    /// Something cannot be dealt out evenly.
    #[error("{quantity} is {value}, must be divisible by {divisor_name} {divisor}")]
    NotDivisible {
        /// What is dealt out.
        quantity: &'static str,
        /// How much of it.
        value: u32,
        /// Among whom.
        divisor_name: &'static str,
        /// How many.
        divisor: u32,
    },
    /// The model has more parameters than can be counted.
    #[error("the model's parameter count exceeds 2^64")]
    TooLarge,
    /// One GPU's share of the weights never leaves room.
    #[error(
        "{per_gpu_gib:.2} GiB usable per GPU do not even hold its runtime ({GROUP_RUNTIME_GIB} GiB): \
         the model cannot fit even with increased TP"
    )]
    GpuTooSmall {
        /// What the server may use of one GPU, GiB.
        per_gpu_gib: f64,
    },
    /// Weights and overheads fill the memory.
    #[error(
        "no memory is left for the KV cache: {:.2} GiB are available, weights take {:.2} GiB, activations {:.2} GiB, \
         runtime {:.2} GiB, adapters {:.2} GiB; at least {min_gpus} GPUs are needed",
        memory.available_gib, memory.weights_gib, memory.activation_gib, memory.runtime_gib, memory.adapters_gib
    )]
    InsufficientMemory {
        /// Where the memory went.
        memory: MemoryUse,
        /// Fewest GPUs on which something is left.
        min_gpus: u64,
    },
    /// Less than one block fits.
    #[error("{left_gib:.4} GiB left beside the weights hold no KV block of {block_bytes} bytes")]
    NoBlockFits {
        /// Memory left, GiB.
        left_gib: f64,
        /// Bytes of a block.
        block_bytes: u64,
    },
}

/// KV cache bytes of one token on one GPU.
///
/// # Errors
/// The first quantity of the model or the group that makes no sense.
pub fn kv_bytes_per_token(model: &ModelArchitecture, tp: u32) -> Result<f64, KvCapacityError> {
    positive("TP", tp)?;
    positive("layers", model.layers)?;
    positive("attention heads", model.heads)?;
    positive("hidden size", model.hidden)?;
    positive_real("bytes per parameter", model.bytes_per_param)?;
    let layers = f64::from(model.layers);
    if model.is_mla() {
        let latent = f64::from(model.kv_lora_rank) + f64::from(model.qk_rope_head_dim);
        return Ok(layers * latent * model.effective_kv_bytes());
    }
    if model.head_dim == 0 {
        divisible("hidden size", model.hidden, "attention heads", model.heads)?;
    }
    let kv_heads = model.effective_kv_heads();
    if kv_heads >= tp {
        divisible("KV heads", kv_heads, "TP", tp)?;
    }
    let head_dim = f64::from(model.effective_head_dim());
    Ok(layers * 2.0 * head_dim * f64::from(kv_heads) * model.effective_kv_bytes() / f64::from(tp))
}

/// KV blocks of one instance.
///
/// # Errors
/// The first input that makes no sense, or how the memory falls short.
pub fn kv_blocks(
    model: &ModelArchitecture,
    inputs: &KvCapacityInputs,
    rule: TensorParallelMemory,
) -> Result<KvCapacity, KvCapacityError> {
    check(model, inputs)?;
    let per_token = kv_bytes_per_token(model, inputs.tp)?;
    if inputs.pp == 1 {
        let whole = Stage { layers: 0..model.layers, is_first: true, is_last: true };
        return blocks_of_stage(model, inputs, rule, per_token, &whole);
    }
    if inputs.pp > model.layers {
        return Err(setting("PP", f64::from(inputs.pp), "at most the number of layers"));
    }
    let mut fullest: Option<KvCapacity> = None;
    for (index, layers) in stage_layers(model.layers, inputs.pp).into_iter().enumerate() {
        let stage = Stage { layers, is_first: index == 0, is_last: index + 1 == inputs.pp as usize };
        let own = blocks_of_stage(model, inputs, rule, per_token * stage.share_of(model), &stage)?;
        if fullest.is_none_or(|fullest| own.blocks < fullest.blocks) {
            fullest = Some(own);
        }
    }
    Ok(fullest.expect("there are stages"))
}

/// The layers whose weights and KV lie on one group of GPUs.
struct Stage {
    layers: Range<u32>,
    is_first: bool,
    is_last: bool,
}

impl Stage {
    fn share_of(&self, model: &ModelArchitecture) -> f64 {
        f64::from(self.layers.end - self.layers.start) / f64::from(model.layers)
    }
}

fn blocks_of_stage(
    model: &ModelArchitecture,
    inputs: &KvCapacityInputs,
    rule: TensorParallelMemory,
    per_token: f64,
    stage: &Stage,
) -> Result<KvCapacity, KvCapacityError> {
    let block_bytes = (per_token * f64::from(inputs.block_tokens)) as u64;
    if block_bytes == 0 {
        return Err(setting("bytes per KV block", 0.0, "at least 1"));
    }

    let tp = f64::from(inputs.tp);
    let parameters = parameters(model, stage).ok_or(KvCapacityError::TooLarge)?;
    let weight_bytes = (parameters as f64 * model.effective_weight_bytes()).trunc();
    let is_alone = inputs.tp == 1 && inputs.pp == 1;
    let runtime_per_gpu_gib = if is_alone { SINGLE_GPU_RUNTIME_GIB } else { GROUP_RUNTIME_GIB };
    let memory = MemoryUse {
        available_gib: inputs.gpu_memory_gib * inputs.gpu_memory_utilization * tp,
        weights_gib: weight_bytes / GIB,
        activation_gib: if model.is_moe() { MOE_ACTIVATION_GIB } else { DENSE_ACTIVATION_GIB },
        runtime_gib: runtime_per_gpu_gib * tp,
        adapters_gib: inputs.adapter_reserved_bytes as f64 / GIB * stage.share_of(model),
    };
    let left_gib = memory.available_gib - memory.overhead_gib();
    if left_gib <= 0.0 {
        return Err(insufficient(inputs, memory));
    }

    let left_bytes = match rule {
        TensorParallelMemory::WholeGroup => left_gib * GIB,
        TensorParallelMemory::PerGpu => left_gib * GIB / tp,
    } as u64;
    let blocks = left_bytes / block_bytes;
    if blocks == 0 {
        return Err(KvCapacityError::NoBlockFits { left_gib, block_bytes });
    }
    let ranks = if model.is_moe() { u64::from(inputs.dp) } else { 1 };
    Ok(KvCapacity { blocks: blocks.saturating_mul(ranks), block_bytes, memory })
}

fn insufficient(inputs: &KvCapacityInputs, memory: MemoryUse) -> KvCapacityError {
    let per_gpu_gib = inputs.gpu_memory_gib * inputs.gpu_memory_utilization;
    let room_gib = per_gpu_gib - GROUP_RUNTIME_GIB;
    if room_gib <= 0.0 {
        return KvCapacityError::GpuTooSmall { per_gpu_gib };
    }
    let needed_gib = memory.weights_gib + memory.activation_gib + memory.adapters_gib;
    let min_gpus = (needed_gib / room_gib).ceil() as u64 * u64::from(inputs.pp);
    KvCapacityError::InsufficientMemory { memory, min_gpus }
}

/// Number of weights of a stage; `None` if it exceeds 64 bits.
fn parameters(model: &ModelArchitecture, stage: &Stage) -> Option<u64> {
    let wide = u128::from;
    let d = wide(model.hidden);
    let layers = wide(stage.layers.end - stage.layers.start);
    let kv_width = wide(model.effective_kv_heads()) * wide(model.effective_head_dim());
    let embedding = wide(model.vocabulary) * d;
    let attention = d * (d + 2 * kv_width) + d * d + 2 * d;
    let mlp = |width: u32| 3 * d * wide(width);
    let mlps = if model.is_moe() {
        let dense_layers =
            wide(model.dense_prefix_layers.clamp(stage.layers.start, stage.layers.end) - stage.layers.start);
        let experts = wide(model.experts);
        let moe_layer = mlp(model.effective_expert_intermediate())
            .checked_mul(experts)?
            .checked_add(mlp(model.shared_expert_intermediate) + experts * d)?;
        (dense_layers * mlp(model.effective_dense_intermediate()))
            .checked_add((layers - dense_layers).checked_mul(moe_layer)?)?
    } else {
        layers * mlp(model.intermediate)
    };
    // A tied embedding is one matrix only where both of its users are.
    let has_output_matrix = stage.is_last && !(model.tied_embeddings && stage.is_first);
    let total = (if stage.is_first { embedding } else { 0 })
        .checked_add(layers.checked_mul(attention)?)?
        .checked_add(mlps)?
        .checked_add(if has_output_matrix { embedding } else { 0 })?
        .checked_add(if stage.is_last { d } else { 0 })?;
    u64::try_from(total).ok()
}

fn check(model: &ModelArchitecture, inputs: &KvCapacityInputs) -> Result<(), KvCapacityError> {
    let utilization = inputs.gpu_memory_utilization;
    if !(utilization > 0.0 && utilization <= 1.0) {
        return Err(setting("GPU memory utilization", utilization, "above 0 and at most 1"));
    }
    if inputs.adapter_reserved_bytes < 0 {
        return Err(setting(
            "adapter reservation (bytes)",
            inputs.adapter_reserved_bytes as f64,
            "0 or more",
        ));
    }
    positive("tokens per block", inputs.block_tokens)?;
    positive("PP", inputs.pp)?;
    positive("DP", inputs.dp)?;
    positive("intermediate size", model.intermediate)?;
    positive("vocabulary size", model.vocabulary)?;
    positive_real("GPU memory (GiB)", inputs.gpu_memory_gib)?;
    if model.weight_bytes_per_param != 0.0 {
        positive_real("bytes per weight", model.weight_bytes_per_param)?;
    }
    if !model.activation.is_empty() && !GATED_ACTIVATIONS.contains(&model.activation.as_str()) {
        return Err(KvCapacityError::Activation { name: model.activation.clone() });
    }
    if model.experts == 0 && (model.experts_per_token > 0 || model.shared_experts > 0) {
        return Err(KvCapacityError::ExpertCountUnknown);
    }
    Ok(())
}

fn setting(setting: &'static str, value: f64, allowed: &'static str) -> KvCapacityError {
    KvCapacityError::Setting { setting, value, allowed }
}

fn positive(name: &'static str, value: u32) -> Result<(), KvCapacityError> {
    if value > 0 { Ok(()) } else { Err(setting(name, 0.0, "at least 1")) }
}

fn positive_real(name: &'static str, value: f64) -> Result<(), KvCapacityError> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(setting(name, value, "finite and greater than 0"))
    }
}

fn divisible(
    quantity: &'static str,
    value: u32,
    divisor_name: &'static str,
    divisor: u32,
) -> Result<(), KvCapacityError> {
    if value.is_multiple_of(divisor) {
        Ok(())
    } else {
        Err(KvCapacityError::NotDivisible { quantity, value, divisor_name, divisor })
    }
}
