//! What a user asked for: every setting optional, nothing checked yet.
//!
//! The command line, a server or a script fills these in; [`crate::resolve()`] turns them into a plan in which nothing
//! is optional, or says everything that is wrong with them at once. Counts are signed, so that a negative one can be
//! reported by name.

use crate::coefficients::CoefficientSet;
use crate::diagnostic::Diagnostic;
use crate::slo_targets::SloFlags;
use blis_cluster::{DrainPolicy, FaultPlan, WarmUp};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Settings of a run. `Default` leaves everything to the catalogue and the built-in defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunOptions {
    /// Name of the model; looked up in lower case. Required.
    pub model: Option<String>,
    /// GPU type, a key of the hardware table; default from the catalogue's entry of the model.
    pub hardware: Option<String>,
    /// GPUs per instance that share each layer (tensor parallelism); 0 = from the catalogue.
    pub tp: Option<i64>,
    /// Pipeline stages per instance, each with GPUs of its own; default 1.
    pub pp: Option<i64>,
    /// Data-parallel ranks per instance (MoE models only); default 1.
    pub dp: Option<i64>,
    /// Spread experts over the ranks (MoE models only).
    pub enable_expert_parallel: Option<bool>,
    /// How tokens travel to their experts (MoE models only).
    pub moe_comm_backend: Option<String>,
    /// Directory with the model's `config.json`, or such a file by another name.
    pub model_config_folder: Option<PathBuf>,
    /// JSON table of GPUs.
    pub hardware_config: Option<PathBuf>,
    /// YAML file that replaces the built-in catalogue.
    pub defaults_filepath: Option<PathBuf>,

    /// Step-time model; default auto, and trained-physics as the reference.
    pub latency_model: Option<String>,
    /// Folder with measured operators in place of the built-in ones.
    pub perf_db: Option<PathBuf>,
    /// JSON file with coefficients of the step-time model and of the host, as `blis fit` writes it; it chooses the step-time model
    /// where none is named.
    pub coefficients: Option<PathBuf>,
    /// The same in memory, in place of a file.
    pub coefficient_set: Option<Arc<CoefficientSet>>,
    /// Overhead coefficients, µs.
    pub alpha_coeffs: Option<Vec<f64>>,
    /// Step-time coefficients.
    pub beta_coeffs: Option<Vec<f64>>,
    /// Server version, part of the key of the blackbox coefficients.
    pub vllm_version: Option<String>,

    /// Release of the serving engine whose defaults hold where nothing is given, such as `vllm-0.15.1`; default none.
    pub engine: Option<String>,
    /// The CPU side of the servers; default not modelled, but for step-time models that leave it out.
    pub host: HostOptions,

    /// Further models behind the same gateway, from the policy file.
    pub models: Vec<ModelOptions>,
    /// Number of instances; default 1.
    pub num_instances: Option<i64>,
    /// Most requests in a running batch; default 256.
    pub max_num_seqs: Option<i64>,
    /// Most tokens per step; default 2048.
    pub max_num_batched_tokens: Option<i64>,
    /// Most prompt tokens that one request may process per step; default 0 = no limit.
    pub long_prefill_token_threshold: Option<i64>,
    /// What prompts and decoding requests have of a step: `mixed` or `prefill-first`; default the engine's, else `mixed`.
    pub batch_formation: Option<String>,
    /// Longest prompt plus answer, tokens; 0 = derived from the model.
    pub max_model_len: Option<i64>,
    /// Order of the wait queue; default fcfs.
    pub scheduler: Option<String>,
    /// Who gives way when KV blocks run out; default fcfs.
    pub preemption_policy: Option<String>,

    /// KV blocks per instance, of several data-parallel ranks of each; default computed from GPU memory.
    pub total_kv_blocks: Option<i64>,
    /// Tokens per KV block; default 16.
    pub block_size_in_tokens: Option<i64>,
    /// Kernels for experts of MXFP4 weights: `auto`, `marlin` or `triton`; default auto.
    pub moe_backend: Option<String>,
    /// How the KV cache holds its elements: `auto` (as activations), `bf16` or `fp8`; default auto.
    pub kv_cache_dtype: Option<String>,
    /// Share of GPU memory that the server may use; default 0.9.
    pub gpu_memory_utilization: Option<f64>,
    /// Blocks of the CPU tier; default 0 = none.
    pub kv_cpu_blocks: Option<i64>,
    /// GPU utilisation above which blocks used to be offloaded, 0 to 1; checked, without effect on the mirror of full
    /// blocks that the CPU tier keeps.
    pub kv_offload_threshold: Option<f64>,
    /// Bandwidth of the CPU tier, tokens/µs; default 100.
    pub kv_transfer_bandwidth: Option<f64>,
    /// Added to every block reloaded from the CPU tier, µs; default 0.
    pub kv_transfer_base_latency_us: Option<i64>,
    /// YAML file with a chain of tiers below the GPU; default none.
    pub kv_offload_config: Option<PathBuf>,

    /// LoRA adapters.
    pub lora: LoraOptions,

    /// Who may enter; default always-admit.
    pub admission_policy: Option<String>,
    /// From arrival to the admission decision, µs; default 0.
    pub admission_latency_us: Option<i64>,
    /// Parameters of policies by name, as the registry has them, such as `token-bucket-capacity`.
    pub policy_params: BTreeMap<String, f64>,
    /// The same from a policy file: those that are not in `policy_params`.
    pub policy_file_params: BTreeMap<String, f64>,
    /// YAML file with policies and their parameters; what is given here goes before it.
    pub policy_config: Option<PathBuf>,
    /// Configuration file of an llm-d Endpoint Picker, instead of a policy file.
    pub epp_config: Option<PathBuf>,
    /// Ranks of SLO classes that differ from the built-in ones, -100 to 100.
    pub slo_priorities: BTreeMap<String, i32>,
    /// Shares of the fleet, 0 to 1, beyond which tenants lose their sheddable requests.
    pub tenant_budgets: BTreeMap<String, f64>,
    /// The gateway queue.
    pub gateway: GatewayOptions,
    /// Instances of their own for prompts and answers.
    pub pools: PoolOptions,
    /// Instances that come and go.
    pub elastic: ElasticOptions,
    /// What goes wrong; default nothing.
    pub faults: Option<FaultOptions>,
    /// Who serves a request; default round-robin.
    pub routing_policy: Option<String>,
    /// From admission to the routing decision, µs; default 0.
    pub routing_latency_us: Option<i64>,
    /// Scorers of weighted routing, `name:weight,…`.
    pub routing_scorers: Option<String>,
    /// Age that queue and batch figures may have, µs; default 50000.
    pub snapshot_refresh_interval_us: Option<i64>,
    /// Age that copies of the cache indexes may have, µs; default 50000.
    pub cache_signal_delay_us: Option<i64>,

    /// Where the requests come from.
    pub traffic: Traffic,

    /// Seed of every random stream; default 42.
    pub seed: Option<i64>,
    /// End of simulated time; default unlimited.
    pub horizon: Option<Horizon>,
    /// Reproduce the figures of inference-sim instead of the corrected ones.
    pub compat: Option<String>,
    /// What is traced of the decisions at the gateway: none or decisions; default none.
    pub trace_level: Option<String>,
    /// Best candidates that are noted with each routing decision; default 0, with `keep_decisions` all.
    pub counterfactual_k: Option<i64>,
    /// A summary of the decisions is wanted.
    pub summarize_trace: bool,
    /// Keep every decision.
    pub keep_decisions: bool,
    /// Weights of the fitness score, `key:weight,…`; default none. Synthesised traffic only.
    pub fitness_weights: Option<String>,
    /// What goodput is measured against; default what the trace or the workload file says.
    pub slo_targets: SloFlags,
    /// Detectors of saturation: names separated by commas, or `all`; default none.
    pub detectors: Option<String>,
    /// YAML file that tunes the detectors.
    pub saturation_config: Option<PathBuf>,
    /// Keep every verdict of the detectors, for a report.
    pub saturation_report: bool,
    /// Span before the last event from which the run gets its label, µs; default the window of backlog-drift when the
    /// file gives one, else 30 s.
    pub saturation_final_window_us: Option<i64>,
    /// Keep a record of every request, not only the aggregate figures.
    pub per_request: bool,

    /// Files that are given as texts: what is read when one of the paths above is a key here.
    pub texts: BTreeMap<PathBuf, String>,
}

/// The CPU side of a server, µs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostOptions {
    /// From the client to the front end and from the server's output to the client, together.
    pub latency_us: Option<f64>,
    /// Requests that the front end works on at once; default 1.
    pub front_end_workers: Option<i64>,
    /// What a request takes there.
    pub front_end_us: Option<f64>,
    /// And for each token of its prompt.
    pub front_end_us_per_token: Option<f64>,
    /// What the scheduler and the preparation of inputs take in every step.
    pub us_per_step: Option<f64>,
    /// And for each scheduled request.
    pub us_per_request: Option<f64>,
    /// And for each prompt token that is processed.
    pub us_per_prefill_token: Option<f64>,
    /// Of launching the kernels of a layer one by one, in steps with prompts.
    pub us_per_eager_layer: Option<f64>,
    /// What the front end takes for a streamed token.
    pub output_us_per_token: Option<f64>,
    /// Tokens of a streamed chunk behind the first; default 1.
    pub stream_interval: Option<i64>,
    /// Rounds from one look for new requests to the next; default 1.
    pub recv_interval: Option<i64>,
    /// Whether the next batch is formed while the GPU works on the one before; default the engine's.
    pub async_scheduling: Option<bool>,
    /// Largest batch of decoding requests that has a CUDA graph, 0 = none; default the engine's.
    pub cuda_graph_max: Option<i64>,
}

/// What goes wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultOptions {
    /// The faults, and what becomes of requests.
    pub plan: FaultPlan,
    /// Where the file says each of the scheduled ones.
    pub places: Vec<Diagnostic>,
}

/// Instances that come and go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ElasticOptions {
    /// Nodes by kind.
    pub node_pools: Vec<NodePoolOptions>,
    /// Time between two looks of the autoscaler, µs; 0 = there is none.
    pub interval_us: Option<f64>,
    /// Who decides; default saturation-v2.
    pub autoscaler: Option<String>,
    /// How long a wish for more must last, µs; default 0.
    pub up_window_us: Option<f64>,
    /// How long a wish for fewer must last, µs; default 0.
    pub down_window_us: Option<f64>,
    /// From a decision until it happens, mean and standard deviation, seconds.
    pub actuation_delay_s: (f64, f64),
    /// Fewest replicas; default 1.
    pub min_replicas: Option<i64>,
    /// Most replicas; default no limit.
    pub max_replicas: Option<i64>,
    /// From having GPUs until taking requests, mean and standard deviation, seconds.
    pub loading_delay_s: (f64, f64),
    /// Whether the first instances need not load.
    pub warm_start: Option<bool>,
    /// How instances do that have just started; default as ever.
    pub warm_up: Option<WarmUp>,
    /// What becomes of the requests of an instance that is to go; default wait.
    pub drain: Option<DrainPolicy>,
}

/// A further model behind the same gateway.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelOptions {
    /// Its name.
    pub name: String,
    /// Number of instances.
    pub replicas: i64,
    /// GPU type; default the model's.
    pub gpu: Option<String>,
    /// GPUs per pipeline stage; default the model's.
    pub tp: Option<i64>,
    /// Pipeline stages per instance; default 1.
    pub pp: Option<i64>,
    /// Directory with its `config.json`.
    pub model_config_folder: Option<PathBuf>,
    /// Longest prompt plus answer, tokens; default derived from the model.
    pub max_model_len: Option<i64>,
    /// KV blocks per instance; default computed from GPU memory.
    pub total_kv_blocks: Option<i64>,
}

/// Nodes of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodePoolOptions {
    /// Its name.
    pub name: String,
    /// GPU type.
    pub gpu: String,
    /// GPUs of a node.
    pub gpus_per_node: i64,
    /// Memory of a GPU, GiB.
    pub gpu_memory_gib: f64,
    /// Nodes at first.
    pub initial_nodes: i64,
    /// How many nodes stay.
    pub min_nodes: i64,
    /// Most nodes.
    pub max_nodes: i64,
    /// After how many seconds an empty node is given back; default never.
    pub release_after_s: Option<f64>,
    /// How instances do that have just started there; default as elsewhere.
    pub warm_up: Option<WarmUp>,
    /// From the wish for a node until it is there, mean and standard deviation, seconds.
    pub provisioning_delay_s: (f64, f64),
    /// Price of a node.
    pub cost_per_hour: f64,
}

/// Prefill and decode on instances of their own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolOptions {
    /// Instances that process prompts; default 0.
    pub prefill_instances: Option<i64>,
    /// Instances that generate answers; default 0.
    pub decode_instances: Option<i64>,
    /// Instances that do both; default 0.
    pub shared_instances: Option<i64>,
    /// Instances that encode what is not text; default 0.
    pub encode_instances: Option<i64>,
    /// Which requests are split; default never.
    pub decider: Option<String>,
    /// Which requests go through an encode instance; default never.
    pub encode_decider: Option<String>,
    /// Bandwidth of KV transfers, GB/s; default 25.
    pub transfer_bandwidth_gb_per_s: Option<f64>,
    /// Added to every transfer, ms; default 0.05.
    pub transfer_base_latency_ms: Option<f64>,
    /// Whether transfers share the bandwidth; default no.
    pub transfer_contention: Option<bool>,
    /// KV bytes of a token on one GPU, where they are not to follow from the model.
    pub kv_bytes_per_token: Option<f64>,
    /// What prefill instances have of their own.
    pub prefill: PoolOverrides,
    /// What decode and shared instances have of their own.
    pub decode: PoolOverrides,
}

/// What the instances of a pool have of their own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolOverrides {
    /// GPUs per pipeline stage.
    pub tp: Option<i64>,
    /// Pipeline stages per instance.
    pub pp: Option<i64>,
    /// GPU type.
    pub hardware: Option<String>,
    /// Step-time model.
    pub latency_model: Option<String>,
    /// Longest prompt plus answer, tokens.
    pub max_model_len: Option<i64>,
    /// Scorers that choose among them, `name:weight,…`.
    pub routing_scorers: Option<String>,
}

/// LoRA adapters: which there are, and what they cost where that differs from the file and the catalogue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoraOptions {
    /// YAML file that declares them; default none.
    pub config: Option<PathBuf>,
    /// How many an instance holds at once.
    pub adapter_capacity: Option<i64>,
    /// Fixed part of a load, µs.
    pub load_base_latency_us: Option<f64>,
    /// Loading bandwidth, bytes/µs.
    pub load_bandwidth_bytes_us: Option<f64>,
    /// GPU memory per unit of rank, bytes.
    pub footprint_bytes_per_rank: Option<f64>,
    /// Weight of the scorer lora-affinity beside those of weighted routing; default it is not added.
    pub scorer_weight: Option<f64>,
}

/// The queue between admission and routing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayOptions {
    /// Whether there is one; default no.
    pub enabled: Option<bool>,
    /// How full the instances are; default never.
    pub saturation_detector: Option<String>,
    /// Order of the queue; default fifo.
    pub dispatch_order: Option<String>,
    /// Whose turn it is; default global-strict.
    pub fairness_policy: Option<String>,
    /// Up to which saturation each class is served; default static-usage-limit.
    pub usage_limit_policy: Option<String>,
    /// Time to the first token that each class hopes for, µs.
    pub slo_targets_us: Option<BTreeMap<String, i64>>,
    /// Most requests in the queue; default 0 = no limit.
    pub max_queue_depth: Option<i64>,
    /// Most requests of a class in the queue; default 0 = no limit.
    pub band_capacity: Option<i64>,
    /// How long a request may wait, µs; default 0 = no limit.
    pub request_ttl_us: Option<i64>,
    /// Whether a full queue gives up a less important request for a more important one; default no.
    pub queue_shedding: Option<bool>,
    /// Whether saturated instances give up sheddable requests while others wait; default no.
    pub in_flight_eviction: Option<bool>,
    /// Time between attempts to dispatch, µs; default and 0 = 1000.
    pub dispatch_tick_us: Option<i64>,
}

/// End of simulated time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    /// At this many microseconds.
    Us(i64),
    /// Replay only: at twice the time of the last arrival.
    TwiceLastArrival,
}

/// Where requests come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// Made up from a few figures.
    Synthesised(WorkloadOptions),
    /// Read from a recorded trace.
    Trace(TraceOptions),
}

impl Default for Traffic {
    fn default() -> Self {
        Self::Synthesised(WorkloadOptions::default())
    }
}

/// Synthesised traffic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkloadOptions {
    /// Workload file. Of the settings below only `num_requests` and `timeout_s` then count, and only when given.
    pub spec: Option<PathBuf>,
    /// `distribution` (the figures below), or the name of a preset that brings its own lengths.
    pub workload: Option<String>,
    /// Requests per second; default 1.
    pub rate: Option<f64>,
    /// Number of requests; default 100, with `concurrency` unlimited.
    pub num_requests: Option<i64>,
    /// Closed-loop users instead of a rate; default 0 = none.
    pub concurrency: Option<i64>,
    /// Pause of a user between answer and next request, ms; default 0.
    pub think_time_ms: Option<i64>,
    /// Tokens that all prompts share; default 0.
    pub prefix_tokens: Option<i64>,
    /// Prompt length, tokens.
    pub prompt: LengthOptions,
    /// Answer length, tokens.
    pub output: LengthOptions,
    /// Seconds after which a client gives up; negative = never; default 300.
    pub timeout_s: Option<i64>,
}

/// A truncated normal distribution of lengths, tokens; defaults 512, 256, 2, 7000.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LengthOptions {
    /// Mean.
    pub mean: Option<i64>,
    /// Standard deviation.
    pub stdev: Option<i64>,
    /// Shortest.
    pub min: Option<i64>,
    /// Longest.
    pub max: Option<i64>,
}

/// A recorded trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceOptions {
    /// YAML header. Required.
    pub header: Option<PathBuf>,
    /// CSV rows. Required.
    pub data: Option<PathBuf>,
    /// `fixed` (the default): every row arrives at its recorded time. `closed-loop`: a round waits for the answer to the
    /// one before.
    pub session_mode: Option<String>,
    /// Pause between an answer and the next round instead of the recorded ones, ms; closed loop only, 0 = none given.
    pub think_time_ms: Option<i64>,
    /// The same as a distribution, see [`crate::think_time`].
    pub think_time_dist: Option<String>,
}
