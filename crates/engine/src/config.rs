//! What an instance is built from.

use crate::adapters::AdapterConfig;
use crate::host::HostConfig;
use crate::kv::offload::OffloadConfig;
use blis_kernel::{Semantics, Tick};
use blis_policy::preemption::PreemptionKind;
use blis_policy::scheduling::SchedulerKind;
use std::sync::Arc;

/// Limits and policies of one instance.
#[derive(Clone, Debug)]
pub struct InstanceConfig {
    /// Blocks of the GPU's KV cache; at least 1.
    pub kv_blocks: u32,
    /// Tokens per block; at least 1.
    pub block_tokens: u32,
    /// Most requests in the running batch; at least 1.
    pub max_num_seqs: u32,
    /// Most tokens per step; at least 1.
    pub max_num_batched_tokens: u32,
    /// Most prompt tokens that one request may process per step; 0 = no limit.
    pub long_prefill_token_threshold: u32,
    /// Longest prompt plus answer, tokens; 0 = unlimited.
    pub max_model_len: u64,
    /// What prompts and decoding requests have of a step.
    pub batch_formation: BatchFormation,
    /// Order of the wait queue.
    pub scheduler: SchedulerKind,
    /// Who gives way when blocks run out.
    pub preemption: PreemptionKind,
    /// The CPU tier that mirrors full blocks, when there is one.
    pub cpu_tier: Option<CpuTierConfig>,
    /// The chain of tiers below the GPU, when there is one; not beside a CPU tier.
    pub offload: Option<Arc<OffloadConfig>>,
    /// LoRA adapters, when requests may name any.
    pub adapters: Option<Arc<AdapterConfig>>,
    /// The CPU side of the server, where it is modelled.
    pub host: Option<HostConfig>,
    /// Data-parallel ranks, each of which has everything else of this by itself, but for the front end, and for an even part of
    /// the CPU tier; `None` = one scheduler, however many ranks step times are of.
    pub ranks: Option<RankConfig>,
    /// No event after this one runs; deadlines beyond it are not scheduled.
    pub horizon: Tick,
    /// Which reading of the mechanisms.
    pub semantics: Semantics,
}

impl InstanceConfig {
    /// Most requests that run at once, on all ranks.
    pub fn max_running(&self) -> u32 {
        self.max_num_seqs.saturating_mul(self.ranks.map_or(1, |ranks| ranks.count))
    }
}

/// What prompts and decoding requests have of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchFormation {
    /// Chunks of prompts run in one step with the decoding requests, which go first: chunked prefill as in vLLM.
    #[default]
    Mixed,
    /// While there are prompts to process, steps are made of those, and the decoding requests stand still: prefill first,
    /// as in SGLang. Not with several pipeline stages, nor under another reading than the corrected one.
    PrefillFirst,
}

/// Data-parallel ranks of an instance; see [`crate::Ranks`]. Not with several pipeline stages, nor under the
/// reference's reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankConfig {
    /// How many; at least 1.
    pub count: u32,
    /// Who gets a request.
    pub balancing: RankBalancing,
}

/// Which rank gets a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RankBalancing {
    /// The one with the least 4 · waiting + running requests, the first of equals: vLLM's front end.
    #[default]
    LeastLoaded,
    /// One after the other: SGLang's controller.
    RoundRobin,
}

/// The CPU tier of `--kv-cpu-blocks`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuTierConfig {
    /// Capacity, blocks; at least 1.
    pub blocks: u32,
    /// Bandwidth, tokens per microsecond; finite and above 0.
    pub bandwidth_tokens_per_us: f64,
    /// Added to every reloaded block.
    pub base_latency: Tick,
}
