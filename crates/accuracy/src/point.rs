//! A measured run: the server, its load and what was measured.

use blis_config::RunOptions;
use blis_config::options::HostOptions;
use blis_kernel::Tick;
use blis_workload::Trace;
use std::path::PathBuf;
use std::sync::Arc;

/// The part of a run that is the whole of it.
pub const ALL: &str = "all";

/// A measured run.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Which set it belongs to, such as `eval-dev`.
    pub set: String,
    /// Its name within the set.
    pub id: String,
    /// What traffic it got, for tables.
    pub workload: String,
    /// When it was measured and with which server, as far as that is known, for documents.
    pub provenance: String,
    /// What was measured with.
    pub server: Server,
    /// What it got to do.
    pub load: Load,
    /// What was measured; of steps, this is in [`Load::Steps`].
    pub measured: Vec<Measurement>,
}

/// What a folder has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurements {
    /// Its points.
    pub points: Vec<Point>,
    /// Files that cannot be used, with the reason.
    pub left_out: Vec<(String, String)>,
}

/// A server, as far as its settings are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    /// Model.
    pub model: String,
    /// Its configuration, where the folder has it.
    pub config: Option<PathBuf>,
    /// GPU type.
    pub gpu: String,
    /// GPUs that share a layer.
    pub tp: Option<i64>,
    /// Pipeline stages.
    pub pp: Option<i64>,
    /// Release of the engine, as `--engine` takes it, where it is one that is known.
    pub engine: Option<String>,
    /// Tokens of a streamed chunk.
    pub stream_interval: Option<i64>,
    /// Rounds from one look for new requests to the next.
    pub recv_interval: Option<i64>,
    /// Data-parallel ranks.
    pub dp: Option<i64>,
    /// Whether GPUs share the experts.
    pub expert_parallel: bool,
    /// Most requests in a batch.
    pub max_num_seqs: Option<i64>,
    /// Most tokens of a step.
    pub max_num_batched_tokens: Option<i64>,
    /// Longest prompt plus answer.
    pub max_model_len: Option<i64>,
    /// Tokens of a KV block.
    pub block_tokens: Option<i64>,
    /// KV blocks, where they were recorded.
    pub kv_blocks: Option<i64>,
    /// How its KV cache holds elements, as `--kv-cache-dtype` takes it.
    pub kv_cache_dtype: Option<String>,
    /// Share of GPU memory that it may use.
    pub gpu_memory_utilization: Option<f64>,
}

impl Server {
    /// A release of vLLM as `--engine` takes it; `None` for what is no numbered release.
    pub(crate) fn vllm(version: &str) -> Option<String> {
        let is_numbered = version.contains('.') && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        is_numbered.then(|| format!("vllm-{version}"))
    }

    /// The options of a run with this server; what it does not say is as in `base`.
    pub fn options(&self, base: &RunOptions) -> RunOptions {
        RunOptions {
            model: Some(self.model.to_lowercase()),
            model_config_folder: self.config.clone().or_else(|| base.model_config_folder.clone()),
            hardware: Some(self.gpu.clone()).filter(|gpu| !gpu.is_empty()).or_else(|| base.hardware.clone()),
            tp: self.tp.or(base.tp),
            pp: self.pp.or(base.pp),
            engine: self.engine.clone().or_else(|| base.engine.clone()),
            dp: self.dp.or(base.dp),
            enable_expert_parallel: self.expert_parallel.then_some(true).or(base.enable_expert_parallel),
            max_num_seqs: self.max_num_seqs.or(base.max_num_seqs),
            max_num_batched_tokens: self.max_num_batched_tokens.or(base.max_num_batched_tokens),
            max_model_len: self.max_model_len.or(base.max_model_len),
            block_size_in_tokens: self.block_tokens.or(base.block_size_in_tokens),
            total_kv_blocks: self.kv_blocks.or(base.total_kv_blocks),
            kv_cache_dtype: self.kv_cache_dtype.clone().or_else(|| base.kv_cache_dtype.clone()),
            gpu_memory_utilization: self.gpu_memory_utilization.or(base.gpu_memory_utilization),
            host: self.host_options(base),
            ..base.clone()
        }
    }

    /// How a server streams and looks for requests belongs to the engine: it is left out where that is.
    fn host_options(&self, base: &RunOptions) -> HostOptions {
        let of_engine = |interval: Option<i64>| interval.filter(|_| self.engine.is_some());
        HostOptions {
            stream_interval: base.host.stream_interval.or(of_engine(self.stream_interval)),
            recv_interval: base.host.recv_interval.or(of_engine(self.recv_interval)),
            ..base.host.clone()
        }
    }
}

/// What a server got to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// Random arrivals.
    Stages(Stages),
    /// Recorded arrivals.
    Recorded {
        /// The requests, in order of arrival.
        requests: Vec<RecordedRequest>,
        /// Tokens of every answer.
        output_tokens: u32,
    },
    /// Users that send their next request when they have the answer to the last.
    ClosedLoop {
        /// How many.
        users: u32,
        /// Requests of all of them.
        requests: u64,
        /// Least and most tokens of a prompt.
        prompt_tokens: (i64, i64),
        /// Least and most tokens of an answer.
        output_tokens: (i64, i64),
    },
    /// A recorded trace.
    Trace {
        /// Its rows, which arrive as they were sent.
        trace: Arc<Trace>,
        /// Where one part of it ends and the next begins.
        ends: Vec<Tick>,
    },
    /// Single steps.
    Steps(Vec<TimedStep>),
}

/// Requests at random times, stage by stage, with a few prompts that are sent in turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Stages {
    /// The stages; each begins when the one before is answered.
    pub stages: Vec<Stage>,
    /// Different prompts.
    pub prompts: u32,
    /// Tokens of a prompt.
    pub prompt_tokens: u32,
    /// Tokens of an answer.
    pub output_tokens: u32,
}

/// A stage of load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Requests in it.
    pub requests: u64,
    /// How long they are sent, seconds.
    pub duration_s: f64,
}

/// A request as it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedRequest {
    /// When it was sent, µs.
    pub arrival_us: i64,
    /// Which prompt it carried.
    pub prompt: i64,
    /// Tokens of that.
    pub prompt_tokens: u32,
}

/// A step as it was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimedStep {
    /// Requests in prefill.
    pub prefills: u32,
    /// Tokens that they add.
    pub prefill_tokens: u64,
    /// Tokens that they had in the KV cache before.
    pub prefill_context_tokens: u64,
    /// Requests that decode.
    pub decodes: u32,
    /// Tokens that they had in the KV cache before.
    pub decode_context_tokens: u64,
    /// The largest share of one request in those, where it is known.
    pub longest_decode_context: Option<u64>,
    /// What it took, ms.
    pub measured_ms: f64,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Mean time to the first token, ms.
    TtftMean,
    /// Its 99th percentile, ms.
    TtftP99,
    /// Mean over requests of (end to end - time to first token) / (answer tokens - 1), ms.
    ItlMean,
    /// Mean time to the last token, ms.
    E2eMean,
    /// Its 99th percentile, ms.
    E2eP99,
    /// Time of one step, ms.
    Step,
    /// KV blocks that the server found room for.
    KvBlocks,
}

impl Metric {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 7] = [
        Self::TtftMean,
        Self::TtftP99,
        Self::ItlMean,
        Self::E2eMean,
        Self::E2eP99,
        Self::Step,
        Self::KvBlocks,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::TtftMean => "ttft_mean_ms",
            Self::TtftP99 => "ttft_p99_ms",
            Self::ItlMean => "itl_mean_ms",
            Self::E2eMean => "e2e_mean_ms",
            Self::E2eP99 => "e2e_p99_ms",
            Self::Step => "step_ms",
            Self::KvBlocks => "kv_blocks",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::TtftMean => "TTFT mean",
            Self::TtftP99 => "TTFT p99",
            Self::ItlMean => "ITL mean",
            Self::E2eMean => "E2E mean",
            Self::E2eP99 => "E2E p99",
            Self::Step => "step",
            Self::KvBlocks => "KV blocks",
        }
    }
}

/// One figure of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Which part of the run: [`ALL`], or the number of a stage.
    pub part: String,
    /// What.
    pub metric: Metric,
    /// How much.
    pub value: f64,
}
