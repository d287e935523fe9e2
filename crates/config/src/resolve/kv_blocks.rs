//! KV blocks that fit into the GPUs' memory.

use super::check::{Check, Source};
use super::model::{Context, Host, Wanted};
use crate::diagnostic::Diagnostic;
use blis_latency::kv_capacity::{KvCapacityError, KvCapacityInputs, TensorParallelMemory, kv_blocks};
use blis_latency::kv_memory::{EngineMemory, engine_kv_blocks};

/// KV blocks when they are neither given nor computable.
pub(super) const FALLBACK_KV_BLOCKS: u32 = 1_000_000;
/// Most KV blocks of a scheduler, so that their tables fit into memory.
pub(super) const MAX_KV_BLOCKS: u32 = 100_000_000;

/// Blocks of one scheduler; `None` when something is wrong.
pub(super) fn computed(
    check: &mut Check,
    context: &Context<'_>,
    wanted: &Wanted,
    host: &Host,
) -> Option<u32> {
    let Host { gpu, tp, config } = host;
    let tp = *tp;
    let Some(gpu_memory_gib) = gpu.memory_gib else {
        check.warn(format!(
            "the memory of GPU {} is not known: {FALLBACK_KV_BLOCKS} KV blocks assumed; give --total-kv-blocks",
            gpu.name
        ));
        return Some(FALLBACK_KV_BLOCKS);
    };
    if let Some(blocks) = as_the_engine_counts(context, wanted, host) {
        let blocks = blocks.min(u64::from(MAX_KV_BLOCKS));
        check.note("total-kv-blocks", blocks, Source::Computed);
        return Some(blocks as u32);
    }
    let inputs = KvCapacityInputs {
        gpu_memory_gib,
        tp,
        pp: wanted.pp,
        dp: wanted.ranks_of_a_scheduler(context),
        block_tokens: wanted.block_tokens,
        gpu_memory_utilization: wanted.gpu_memory_utilization,
        adapter_reserved_bytes: context.adapter_reserved_bytes,
    };
    let rule = if context.semantics.kv_blocks_from_whole_group {
        TensorParallelMemory::WholeGroup
    } else {
        TensorParallelMemory::PerGpu
    };
    match kv_blocks(&config.architecture, &inputs, rule) {
        Ok(capacity) => {
            let blocks = capacity.blocks.min(u64::from(MAX_KV_BLOCKS));
            check.note("total-kv-blocks", blocks, Source::Computed);
            Some(blocks as u32)
        }
        Err(KvCapacityError::ExpertCountUnknown) => {
            check.warn(format!(
                "{}: {FALLBACK_KV_BLOCKS} KV blocks assumed; give --total-kv-blocks",
                KvCapacityError::ExpertCountUnknown
            ));
            Some(FALLBACK_KV_BLOCKS)
        }
        Err(error) => {
            check.problem(
                Diagnostic::new(format!(
                    "{} does not fit --hardware {} --tp {tp}: {error}",
                    wanted.model, gpu.name
                ))
                .with_help("give more or larger GPUs, or --total-kv-blocks"),
            );
            None
        }
    }
}

/// Blocks as vLLM counts them, where that is close to logged counts: on GPUs whose memory is known as the driver reports it.
/// `None` elsewhere, and where the engine would find no room.
fn as_the_engine_counts(context: &Context<'_>, wanted: &Wanted, host: &Host) -> Option<u64> {
    let Host { gpu, tp, config } = host;
    if wanted.pp > 1 || context.semantics.kv_blocks_from_whole_group {
        return None;
    }
    let memory = EngineMemory {
        usable_gib: context.catalogue.usable_memory_gib(&gpu.name)?,
        gpu_memory_utilization: wanted.gpu_memory_utilization,
        tp: *tp,
        dp: wanted.dp,
        block_tokens: wanted.block_tokens,
        max_num_seqs: context.host.limits.0,
        max_num_batched_tokens: context.host.limits.1,
        adapter_reserved_bytes: context.adapter_reserved_bytes,
    };
    let per_rank = engine_kv_blocks(&config.architecture, &config.shape, &memory).ok()??;
    Some(per_rank.saturating_mul(u64::from(wanted.ranks_of_a_scheduler(context))))
}
