//! What an instance is built from.

use super::{Findings, Micros, Typed, text};
use blis_config::RunOptions;
use blis_config::options::HostOptions;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineFlags {
    /// Most requests in the running batch [default: 256]
    #[arg(long, value_name = "INT", alias = "max-num-running-reqs")]
    max_num_seqs: Option<Typed<i64>>,
    /// Most tokens per step [default: 2048]
    #[arg(long, value_name = "INT", alias = "max-num-scheduled-tokens")]
    max_num_batched_tokens: Option<Typed<i64>>,
    /// Most prompt tokens that one request may process per step (chunked prefill); 0 = no limit [default: 0]
    #[arg(long, value_name = "INT")]
    long_prefill_token_threshold: Option<Typed<i64>>,
    /// What prompts and decoding requests have of a step: mixed (chunks of prompts run beside the decoding requests, as in
    /// vLLM) or prefill-first (steps are made of prompts while there are any, as in SGLang) [default: as the engine,
    /// else mixed]
    #[arg(long, value_name = "NAME")]
    batch_formation: Option<String>,
    /// Longest prompt plus answer, tokens; 0 = derived from the model [default: 0]
    #[arg(long, value_name = "INT")]
    max_model_len: Option<Typed<i64>>,
    /// Order of the wait queue: {scheduler}
    #[arg(long, value_name = "NAME")]
    scheduler: Option<String>,
    /// Who gives way when KV blocks run out: {preemption-policy}
    #[arg(long, value_name = "NAME")]
    preemption_policy: Option<String>,
}

impl EngineFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        options.max_num_seqs = findings.value("--max-num-seqs", self.max_num_seqs);
        options.max_num_batched_tokens =
            findings.value("--max-num-batched-tokens", self.max_num_batched_tokens);
        options.long_prefill_token_threshold =
            findings.value("--long-prefill-token-threshold", self.long_prefill_token_threshold);
        options.batch_formation = text(self.batch_formation);
        options.max_model_len = findings.value("--max-model-len", self.max_model_len);
        options.scheduler = text(self.scheduler);
        options.preemption_policy = text(self.preemption_policy);
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Host")]
pub(crate) struct HostFlags {
    /// Serving engine whose defaults hold where no flag is given, vllm-0.8.5 to vllm-0.33.0, sglang-0.5.0 to sglang-0.5.23 or sglang: limits, share of GPU
    /// memory, formation of batches, scheduling ahead, CUDA graphs; the servers' CPUs are modelled then [default: none]
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,
    /// From the client to the front end and back from the server, together, µs or a duration
    #[arg(long, value_name = "TIME")]
    host_latency: Option<Typed<Micros>>,
    /// Requests that the front end (HTTP, template, tokenisation) works on at once [default: 1]
    #[arg(long, value_name = "INT")]
    front_end_workers: Option<Typed<i64>>,
    /// What a request takes in the front end, µs
    #[arg(long, value_name = "NUM")]
    front_end_us: Option<Typed<f64>>,
    /// And for each token of its prompt, µs
    #[arg(long, value_name = "NUM")]
    front_end_us_per_token: Option<Typed<f64>>,
    /// What the scheduler and the preparation of inputs take in every step, µs; for step-time models without it
    /// [default: 0]
    #[arg(long, value_name = "NUM")]
    host_step_us: Option<Typed<f64>>,
    /// And for each scheduled request, µs [default: 0]
    #[arg(long, value_name = "NUM")]
    host_step_us_per_request: Option<Typed<f64>>,
    /// And for each prompt token that is processed, µs [default: 0]
    #[arg(long, value_name = "NUM")]
    host_step_us_per_prefill_token: Option<Typed<f64>>,
    /// What launching the kernels of a layer takes in steps with prompts, which take that times the layers at least: for
    /// engines that process prompts without compiled graphs, µs [default: as the engine, else 0]
    #[arg(long, value_name = "NUM")]
    host_launch_us_per_layer: Option<Typed<f64>>,
    /// What the front end takes for each streamed chunk on its way out, µs; first tokens wait for those before them
    /// [default: 0]
    #[arg(long, value_name = "NUM")]
    host_output_us_per_token: Option<Typed<f64>>,
    /// Tokens of a streamed chunk; the first token of an answer goes out at once [default: 1]
    #[arg(long, value_name = "INT")]
    stream_interval: Option<Typed<i64>>,
    /// Rounds of the scheduler from one look for new requests to the next; it looks at once after a step with prompts and
    /// when it is idle [default: 1]
    #[arg(long, value_name = "INT")]
    recv_interval: Option<Typed<i64>>,
    /// Form the next batch while the GPU works on the one before [default: as the engine]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    async_scheduling: Option<Typed<bool>>,
    /// Largest batch of decoding requests that has a CUDA graph, and is padded to the size of one; 0 = none
    /// [default: as the engine]
    #[arg(long, value_name = "INT")]
    cuda_graph_max: Option<Typed<i64>>,
}

impl HostFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        options.engine = text(self.engine);
        options.host = HostOptions {
            latency_us: findings.micros("--host-latency", self.host_latency).map(|us| us as f64),
            front_end_workers: findings.value("--front-end-workers", self.front_end_workers),
            front_end_us: findings.value("--front-end-us", self.front_end_us),
            front_end_us_per_token: findings.value("--front-end-us-per-token", self.front_end_us_per_token),
            us_per_step: findings.value("--host-step-us", self.host_step_us),
            us_per_request: findings.value("--host-step-us-per-request", self.host_step_us_per_request),
            us_per_prefill_token: findings
                .value("--host-step-us-per-prefill-token", self.host_step_us_per_prefill_token),
            us_per_eager_layer: findings.value("--host-launch-us-per-layer", self.host_launch_us_per_layer),
            output_us_per_token: findings.value("--host-output-us-per-token", self.host_output_us_per_token),
            stream_interval: findings.value("--stream-interval", self.stream_interval),
            recv_interval: findings.value("--recv-interval", self.recv_interval),
            async_scheduling: findings.value("--async-scheduling", self.async_scheduling),
            cuda_graph_max: findings.value("--cuda-graph-max", self.cuda_graph_max),
        };
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "KV cache")]
pub(crate) struct KvFlags {
    /// KV blocks per instance, with --dp of each rank [default: computed from GPU memory]
    #[arg(long, value_name = "INT")]
    total_kv_blocks: Option<Typed<i64>>,
    /// Tokens per KV block [default: 16]
    #[arg(long, value_name = "INT")]
    block_size_in_tokens: Option<Typed<i64>>,
    /// Share of GPU memory that the server may use, above 0 and up to 1 [default: 0.9]
    #[arg(long, value_name = "NUM")]
    gpu_memory_utilization: Option<Typed<f64>>,
    /// Blocks of a second tier in CPU memory; 0 = none [default: 0]
    #[arg(long, value_name = "INT")]
    kv_cpu_blocks: Option<Typed<i64>>,
    /// GPU cache utilisation, 0 to 1, kept for older scripts: the CPU tier mirrors every full block [default: 0.9]
    #[arg(long, value_name = "NUM")]
    kv_offload_threshold: Option<Typed<f64>>,
    /// Bandwidth of the CPU tier, tokens per µs [default: 100]
    #[arg(long, value_name = "NUM")]
    kv_transfer_bandwidth: Option<Typed<f64>>,
    /// Added to every block that comes back from the CPU tier, µs or a duration [default: 0]
    #[arg(long, value_name = "TIME")]
    kv_transfer_base_latency: Option<Typed<Micros>>,
    /// YAML file with a chain of tiers below the GPU: CPU memory and devices [default: none]
    #[arg(long, value_name = "FILE")]
    kv_offload_config: Option<PathBuf>,
}

impl KvFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        options.total_kv_blocks = findings.value("--total-kv-blocks", self.total_kv_blocks);
        options.block_size_in_tokens = findings.value("--block-size-in-tokens", self.block_size_in_tokens);
        options.gpu_memory_utilization =
            findings.value("--gpu-memory-utilization", self.gpu_memory_utilization);
        options.kv_cpu_blocks = findings.value("--kv-cpu-blocks", self.kv_cpu_blocks);
        options.kv_offload_threshold = findings.value("--kv-offload-threshold", self.kv_offload_threshold);
        options.kv_transfer_bandwidth = findings.value("--kv-transfer-bandwidth", self.kv_transfer_bandwidth);
        options.kv_transfer_base_latency_us =
            findings.micros("--kv-transfer-base-latency", self.kv_transfer_base_latency);
        options.kv_offload_config = self.kv_offload_config.filter(|path| !path.as_os_str().is_empty());
    }
}
