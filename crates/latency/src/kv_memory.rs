//! KV blocks as vLLM counts them: what is left of each GPU's memory.
//!
//! ```text
//! weights   = L·(attention + MLP) · w / TP + embeddings · b / TP
//! attention = 2·d·H·dh + 2·d·KV·dh·max(1, TP/KV)
//! peak      = max(9 · 4 · sequences · V, tokens · (2·F/TP + 4·d) · b)
//! blocks    = (memory · utilisation − weights − peak − runtime − reservation / TP) div block bytes, less 1
//! ```
//!
//! Memory is what the driver reports of the GPU. The peak is that of the engine's trial run: the sampler sorts the logits of
//! as many requests as may run at once, which takes about nine times their size in 32-bit numbers, or a full step passes the
//! MLPs. The runtime (graphs, workspaces, collectives) and the nine are what logged block counts of nine models leave. One
//! block is kept by the engine.

use crate::architecture::ModelArchitecture;
use crate::kv_capacity::{KvCapacityError, kv_bytes_per_token};

/// Memory outside of weights and peak on a single GPU, GiB.
pub const SINGLE_GPU_RUNTIME_GIB: f64 = 0.35;
/// And on each of several that work together, GiB.
pub const GROUP_RUNTIME_GIB: f64 = 0.72;
/// Copies of the logits that sampling needs at once.
pub const LOGIT_COPIES: f64 = 9.0;

const GIB: f64 = (1_u64 << 30) as f64;

/// What a server with one pipeline stage and one data-parallel rank is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineMemory {
    /// Memory of one GPU as the driver reports it, GiB.
    pub usable_gib: f64,
    /// Share of it that the server may use; above 0, at most 1.
    pub gpu_memory_utilization: f64,
    /// GPUs that share each layer.
    pub tp: u32,
    /// Tokens per block.
    pub block_tokens: u32,
    /// Most requests in a batch.
    pub max_num_seqs: u32,
    /// Most tokens of a step.
    pub max_num_batched_tokens: u32,
    /// Bytes set aside for LoRA adapters.
    pub adapter_reserved_bytes: i64,
}

/// Bytes of the weights on each GPU.
fn weight_bytes(model: &ModelArchitecture, tp: f64) -> f64 {
    let of = f64::from;
    let d = of(model.hidden);
    let head_dim = of(model.effective_head_dim());
    let kv_copies = (tp / of(model.effective_kv_heads())).max(1.0);
    let attention = 2.0 * d * of(model.heads) * head_dim
        + 2.0 * d * of(model.effective_kv_heads()) * head_dim * kv_copies;
    let mlp = |width: u32| 3.0 * d * of(width);
    let dense_layers = of(model.dense_prefix_layers.min(model.layers));
    let mlps = if model.is_moe() {
        let moe = mlp(model.effective_expert_intermediate()) * of(model.experts)
            + mlp(model.shared_expert_intermediate)
            + d * of(model.experts);
        dense_layers * mlp(model.effective_dense_intermediate()) + (of(model.layers) - dense_layers) * moe
    } else {
        of(model.layers) * mlp(model.intermediate)
    };
    let embeddings = if model.tied_embeddings { 1.0 } else { 2.0 } * of(model.vocabulary) * d;
    let layers = (of(model.layers) * attention + mlps) * model.effective_weight_bytes();
    (layers + embeddings * model.bytes_per_param) / tp
}

/// The number of KV blocks; `None` where weights and peak leave no room for two.
///
/// # Errors
/// What makes no sense of the model or the group.
pub fn engine_kv_blocks(
    model: &ModelArchitecture,
    memory: &EngineMemory,
) -> Result<Option<u64>, KvCapacityError> {
    let block_bytes = (kv_bytes_per_token(model, memory.tp)? * f64::from(memory.block_tokens)).trunc();
    let tp = f64::from(memory.tp);
    let logits = f64::from(memory.max_num_seqs) * f64::from(model.vocabulary) * 4.0;
    let widths = 2.0 * f64::from(model.intermediate) / tp + 4.0 * f64::from(model.hidden);
    let step = f64::from(memory.max_num_batched_tokens) * widths * model.bytes_per_param;
    let runtime = if memory.tp == 1 { SINGLE_GPU_RUNTIME_GIB } else { GROUP_RUNTIME_GIB };
    let left = (memory.usable_gib * memory.gpu_memory_utilization - runtime) * GIB
        - weight_bytes(model, tp)
        - (LOGIT_COPIES * logits).max(step)
        - memory.adapter_reserved_bytes as f64 / tp;
    let blocks = if block_bytes > 0.0 { (left / block_bytes).trunc() } else { 0.0 };
    Ok((blocks >= 2.0).then(|| blocks as u64 - 1))
}

#[cfg(test)]
mod tests {
    use super::{EngineMemory, engine_kv_blocks};
    use crate::ModelArchitecture;

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
            block_tokens: 16,
            max_num_seqs: 128,
            max_num_batched_tokens: 2048,
            adapter_reserved_bytes: 0,
        }
    }

    fn blocks(memory: &EngineMemory) -> Option<u64> {
        engine_kv_blocks(&model(), memory).expect("a sound model")
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
}
