//! KV blocks as vLLM counts them: what is left of each GPU's memory.
//!
//! ```text
//! weights   = Σ matrices · bytes of a weight in their format / GPUs that share them
//! attention = d·H·dh·(gated ? 3 : 2) + 2·d·KV·dh·max(1, TP/KV)
//! MLA       = d·q + q·H·(nope + rope) / TP + d·(c + rope) + c·H·(nope + v) / TP + H·v·d / TP
//! linear    = d·(2·K·dk + 2·V·dv) + V·dv·d
//! peak      = max(9 · 4 · sequences · V, tokens · (2·F/TP + 4·d) · b)
//! blocks    = (memory · utilisation − weights − peak − runtime − reservation / TP) div block bytes, less 1
//! ```
//!
//! Memory is what the driver reports of the GPU. The peak is that of the engine's trial run: the sampler sorts the logits of
//! as many requests as may run at once, which takes about nine times their size in 32-bit numbers, or a full step passes the
//! MLPs. Attention and dense MLPs are shared by the GPUs of a tensor-parallel group, routed experts by those of all data-parallel
//! ranks. The runtime (graphs, workspaces, collectives) and the nine are what logged block counts of nine models leave. One
//! block is kept by the engine.

use crate::architecture::ModelArchitecture;
use crate::kv_capacity::{KvCapacityError, kv_bytes_per_token};
use crate::profiled::{LinearAttention, ModelShape};

/// Memory outside of weights and peak on a single GPU, GiB.
pub const SINGLE_GPU_RUNTIME_GIB: f64 = 0.35;
/// And on each of several that work together, GiB.
pub const GROUP_RUNTIME_GIB: f64 = 0.72;
/// Copies of the logits that sampling needs at once.
pub const LOGIT_COPIES: f64 = 9.0;

const GIB: f64 = (1_u64 << 30) as f64;

/// What a server with one pipeline stage is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineMemory {
    /// Memory of one GPU as the driver reports it, GiB.
    pub usable_gib: f64,
    /// Share of it that the server may use; above 0, at most 1.
    pub gpu_memory_utilization: f64,
    /// GPUs that share each layer.
    pub tp: u32,
    /// Data-parallel ranks, which share the experts.
    pub dp: u32,
    /// Tokens per block.
    pub block_tokens: u32,
    /// Most requests in a batch.
    pub max_num_seqs: u32,
    /// Most tokens of a step.
    pub max_num_batched_tokens: u32,
    /// Bytes set aside for LoRA adapters.
    pub adapter_reserved_bytes: i64,
}

/// Bytes of the weights on each GPU. Embeddings are never quantised.
fn weight_bytes(model: &ModelArchitecture, shape: &ModelShape, memory: &EngineMemory) -> f64 {
    let of = f64::from;
    let (tp, d) = (of(memory.tp), of(shape.hidden));
    let mlp = |width: u32| if shape.gated_mlp { 3.0 } else { 2.0 } * d * of(width);
    let linear_layers = shape.linear_attention.map_or(0, |linear| linear.layers);
    let attention = (of(shape.layers - linear_layers.min(shape.layers)) * softmax_attention(shape, tp)
        + shape.linear_attention.map_or(0.0, |linear| linear_attention(linear, d, tp)))
        * shape.attention_weights.bytes();
    let dense_layers = of(shape.layers.saturating_sub(shape.moe_layers));
    let dense = (dense_layers * mlp(shape.dense_intermediate)
        + of(shape.moe_layers) * mlp(shape.shared_intermediate))
        / tp
        * shape.dense_weights.bytes();
    let experts = of(shape.moe_layers) * mlp(shape.expert_intermediate) * of(shape.experts)
        / (tp * of(memory.dp))
        * shape.expert_weights.bytes();
    let routers = of(shape.moe_layers) * d * of(shape.experts) / tp * model.bytes_per_param;
    let embeddings = if model.tied_embeddings { 1.0 } else { 2.0 } * of(shape.vocabulary) * d / tp;
    attention + dense + experts + routers + embeddings * model.bytes_per_param
}

/// Weights of a layer's attention on each GPU.
fn softmax_attention(shape: &ModelShape, tp: f64) -> f64 {
    let of = f64::from;
    let (d, heads) = (of(shape.hidden), of(shape.heads));
    if let Some(latent) = shape.latent_attention {
        let (rank, rope, nope) = (of(latent.kv_rank), of(latent.rope_dim), of(latent.nope_dim));
        let value = of(latent.value_dim);
        let queries = match latent.q_rank {
            0 => d * heads * (nope + rope) / tp,
            q => d * of(q) + of(q) * heads * (nope + rope) / tp,
        };
        return queries + d * (rank + rope) + rank * heads * (nope + value) / tp + heads * value * d / tp;
    }
    let (kv_heads, head_dim) = (of(shape.kv_heads), of(shape.head_dim));
    let kv_copies = (tp / kv_heads).max(1.0);
    let gates = if shape.gated_attention { 3.0 } else { 2.0 };
    (gates * d * heads * head_dim + 2.0 * d * kv_heads * head_dim * kv_copies) / tp
}

/// Weights of all layers with linear attention on each GPU.
fn linear_attention(linear: LinearAttention, d: f64, tp: f64) -> f64 {
    let keys = f64::from(linear.key_heads) * f64::from(linear.key_dim);
    let values = f64::from(linear.value_heads) * f64::from(linear.value_dim);
    f64::from(linear.layers) * d * (2.0 * keys + 3.0 * values) / tp
}

/// The number of KV blocks of a data-parallel rank; `None` where weights and peak leave no room for two.
///
/// # Errors
/// What makes no sense of the model or the group.
pub fn engine_kv_blocks(
    model: &ModelArchitecture,
    shape: &ModelShape,
    memory: &EngineMemory,
) -> Result<Option<u64>, KvCapacityError> {
    let per_token = kv_bytes_per_token(model, memory.tp)?;
    // Layers with linear attention keep a state per sequence, and nothing per token.
    let per_token = match shape.linear_attention {
        Some(linear) => per_token * (1.0 - f64::from(linear.layers) / f64::from(model.layers)),
        None => per_token,
    };
    let block_bytes = (per_token * f64::from(memory.block_tokens)).trunc();
    let tp = f64::from(memory.tp);
    let logits = f64::from(memory.max_num_seqs) * f64::from(model.vocabulary) * 4.0;
    let widths = 2.0 * f64::from(model.intermediate) / tp + 4.0 * f64::from(model.hidden);
    let step = f64::from(memory.max_num_batched_tokens) * widths * model.bytes_per_param;
    let runtime = if memory.tp == 1 { SINGLE_GPU_RUNTIME_GIB } else { GROUP_RUNTIME_GIB };
    let left = (memory.usable_gib * memory.gpu_memory_utilization - runtime) * GIB
        - weight_bytes(model, shape, memory)
        - (LOGIT_COPIES * logits).max(step)
        - memory.adapter_reserved_bytes as f64 / tp;
    let blocks = if block_bytes > 0.0 { (left / block_bytes).trunc() } else { 0.0 };
    Ok((blocks >= 2.0).then(|| blocks as u64 - 1))
}

#[cfg(test)]
mod tests {
    use super::{EngineMemory, engine_kv_blocks};
    use crate::ModelArchitecture;
    use crate::profiled::{ModelShape, WeightFormat};

    /// 10 layers of 4·1024² + 3·1024·4096 weights, embeddings of 2·32000·1024.
    fn model() -> ModelArchitecture {
        ModelArchitecture {
            layers: 10,
            hidden: 1024,
            vocabulary: 32_000,
            heads: 8,
            kv_heads: 8,
            intermediate: 4096,
            bytes_per_param: 2.0,
            ..ModelArchitecture::default()
        }
    }

    fn memory(usable_gib: f64, tp: u32) -> EngineMemory {
        EngineMemory {
            usable_gib,
            gpu_memory_utilization: 0.9,
            tp,
            dp: 1,
            block_tokens: 16,
            max_num_seqs: 128,
            max_num_batched_tokens: 2048,
            adapter_reserved_bytes: 0,
        }
    }

    fn blocks(memory: &EngineMemory) -> Option<u64> {
        engine_kv_blocks(&model(), &ModelShape::of(&model()), memory).expect("a sound model")
    }

    #[test]
    fn blocks_are_what_weights_peak_and_runtime_leave() {
        // 8.65 GiB less 466,616,320 bytes of weights and 147,456,000 of logits, by 655,360 a block, less one.
        assert_eq!(blocks(&memory(10.0, 1)), Some(13_234));
        let more_requests = EngineMemory { max_num_seqs: 1024, ..memory(10.0, 1) };
        assert_eq!(blocks(&more_requests), Some(13_234 - 1_575), "seven times 128 more logits");
        let adapters = EngineMemory { adapter_reserved_bytes: 655_360 * 10, ..memory(10.0, 1) };
        assert_eq!(blocks(&adapters), Some(13_224));
    }

    #[test]
    fn gpus_that_share_a_layer_hold_more_blocks_than_one() {
        let (one, two) = (blocks(&memory(10.0, 1)).expect("room"), blocks(&memory(10.0, 2)).expect("room"));
        assert!(two > 2 * one - 1_500 && two < 2 * one + 1_500, "{one}, {two}");
    }

    #[test]
    fn without_room_for_a_block_beside_the_kept_one_there_is_no_count() {
        assert_eq!(blocks(&memory(1.0, 1)), None);
    }

    #[test]
    fn every_kind_of_layer_takes_what_its_format_takes() {
        let bf16 = ModelShape::of(&model());
        let fp4 = ModelShape { dense_weights: WeightFormat::Nvfp4, ..bf16.clone() };
        let of = |shape: &ModelShape| {
            engine_kv_blocks(&model(), shape, &memory(10.0, 1)).expect("a sound model").expect("room")
        };
        // 10 layers of 3·1024·4096 weights take 2 - 0.5625 bytes less each; a block takes 655,360 bytes.
        assert_eq!(of(&fp4) - of(&bf16), (10.0 * 3.0 * 1024.0 * 4096.0 * 1.4375 / 655_360.0) as u64);
    }

    #[test]
    fn ranks_share_the_experts_and_nothing_else() {
        let moe =
            ModelArchitecture { experts: 16, experts_per_token: 2, expert_intermediate: 512, ..model() };
        let of = |dp: u32| {
            let memory = EngineMemory { dp, ..memory(10.0, 1) };
            engine_kv_blocks(&moe, &ModelShape::of(&moe), &memory).expect("a sound model").expect("room")
        };
        // Of 10 layers with 16 experts of 3·1024·512 weights, one rank of two holds half, at 2 bytes each.
        let gained = 10.0 * 16.0 * 3.0 * 1024.0 * 512.0 / 655_360.0;
        assert!(((of(2) - of(1)) as f64 - gained).abs() <= 1.0, "{} for {gained}", of(2) - of(1));
    }
}
