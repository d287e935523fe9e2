//! What a trace says about itself as a whole.

use std::collections::BTreeMap;

/// Format versions that can be read.
pub const TRACE_VERSIONS: [u32; 2] = [2, 3];

/// Header of a trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceHeader {
    /// Format version, one of [`TRACE_VERSIONS`].
    pub trace_version: u32,
    /// How the unit of all times is spelled.
    pub time_unit: TimeUnit,
    /// When it was recorded, RFC 3339.
    pub created_at: Option<String>,
    /// How it came about.
    pub mode: TraceMode,
    /// Leading requests that an analysis leaves out.
    pub warm_up_requests: u64,
    /// Seed of the workload it was made from.
    pub workload_seed: Option<i64>,
    /// File or preset of the workload it was made from.
    pub workload_spec: Option<String>,
    /// What the prompt lengths of a session's rounds count.
    pub context_growth: ContextGrowth,
    /// Tokens of a block of the column `prefix_blocks`, at least 1; an extension of the format.
    pub prefix_block_tokens: Option<u32>,
    /// The server that was observed.
    pub server: Option<RecordedServer>,
    /// Round trip to that server, milliseconds; present but unknown = `Some(None)`.
    pub network_rtt_ms: Option<Option<f64>>,
    /// Goodput thresholds by SLO class.
    pub goodput_slo_targets: BTreeMap<String, GoodputTarget>,
    /// Offload configuration of the recorded run, all values resolved.
    pub kv_offload: Option<RecordedKvOffload>,
    /// KV cache counters of the observed server.
    pub observed_kv_metrics: Option<ObservedKvMetrics>,
}

/// The unit of all times; both spellings mean microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// `microseconds`, as simulators write it.
    #[default]
    Microseconds,
    /// `us`, as observers write it.
    Us,
}

/// How a trace came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceMode {
    /// Simulated from a workload.
    #[default]
    Generated,
    /// Observed at a real server.
    Real,
    /// Simulated from another trace.
    Replayed,
}

/// What the prompt lengths of a session's rounds count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContextGrowth {
    /// All prompt tokens behind the prefix.
    #[default]
    None,
    /// `accumulate`: only the tokens that the round adds to the conversation so far.
    Accumulate,
}

/// The server that was observed, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedServer {
    /// Kind of server, such as `vllm`.
    pub kind: Option<String>,
    /// Model it served.
    pub model: Option<String>,
    /// Tensor-parallel size.
    pub tensor_parallel: Option<u32>,
    /// Most sequences in a batch.
    pub max_num_seqs: Option<u32>,
    /// KV block size, tokens.
    pub block_size: Option<u32>,
    /// Share of GPU memory in use, 0 to 1.
    pub gpu_memory_utilization: Option<f64>,
    /// Longest sequence, tokens.
    pub max_model_len: Option<u64>,
}

/// Latency thresholds of one SLO class, milliseconds; 0 = not gated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GoodputTarget {
    /// Time to first token.
    pub ttft_ms: f64,
    /// Time between tokens.
    pub itl_ms: f64,
    /// Whole request.
    pub e2e_ms: f64,
}

/// Offload configuration of a recorded run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedKvOffload {
    /// Size of the CPU tier, bytes.
    pub cpu_bytes_to_use: i64,
    /// Size of one block, bytes.
    pub per_block_bytes: i64,
    /// Tokens per block.
    pub block_size: i64,
    /// Blocks per transferred chunk.
    pub blocks_per_chunk: i64,
    /// Tokens per content hash.
    pub tokens_per_hash: i64,
    /// Eviction policy of the CPU tier.
    pub eviction_policy: String,
    /// Whether only prompt blocks are offloaded.
    pub offload_prompt_only: bool,
    /// Whether KV events carry their content.
    pub self_describing_kv_events: bool,
    /// Tiers behind the CPU.
    pub secondary_tiers: Vec<RecordedSecondaryTier>,
}

/// One tier behind the CPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedSecondaryTier {
    /// Kind of tier.
    pub kind: String,
    /// Where it keeps its files.
    pub root_dir: String,
    /// Reader threads.
    pub n_read_threads: i64,
    /// Writer threads.
    pub n_write_threads: i64,
    /// Who shares it.
    pub locality: String,
    /// Whether it emits KV events.
    pub enable_kv_events: bool,
    /// Whether it goes around the page cache.
    pub direct_io: bool,
    /// Class of device.
    pub device_class: String,
    /// Bytes per microsecond.
    pub read_bandwidth: f64,
    /// Bytes per microsecond.
    pub write_bandwidth: f64,
    /// Microseconds per transfer.
    pub base_latency: f64,
    /// Transfers in flight that use the full bandwidth.
    pub saturation_queue_depth: i64,
    /// Share of the bandwidth that one transfer gets.
    pub single_transfer_fraction: f64,
    /// Standard deviation of the latency, microseconds.
    pub latency_jitter_stddev: f64,
}

/// KV cache counters of an observed server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedKvMetrics {
    /// Which counters: `tiered` or `gpu-prefix-cache-fallback`.
    pub source: String,
    /// Share of queried blocks that were cached, 0 to 1.
    pub hit_rate: f64,
    /// Cached blocks.
    pub block_hits: i64,
    /// Queried blocks.
    pub block_queries: i64,
    /// Time spent loading, seconds.
    pub read_time_total: f64,
    /// Time spent storing, seconds.
    pub write_time_total: f64,
    /// Source revision of the server.
    pub vllm_commit: String,
}
