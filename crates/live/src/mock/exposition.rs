//! The account as Prometheus text, under vLLM's names.

use super::account::{Account, Histogram, Reason};
use std::fmt::{Display, Write};

/// What does not change while the server runs.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) model: String,
    pub(crate) block_tokens: u32,
    /// Adapters that an instance holds at once; `None` = requests may name none.
    pub(crate) max_lora: Option<u32>,
}

/// The state of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Gauges {
    pub(crate) running: u32,
    pub(crate) waiting: u32,
    /// Share of the KV blocks that running requests hold.
    pub(crate) kv_usage: f64,
    pub(crate) preemptions: u64,
    pub(crate) kv_blocks: u32,
    pub(crate) account: Account,
}

/// Adapters of requests in flight.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Adapters {
    pub(crate) running: Vec<String>,
    pub(crate) waiting: Vec<String>,
    /// Seconds since 1970.
    pub(crate) at: f64,
}

/// The state of the server.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) instances: Vec<Gauges>,
    pub(crate) adapters: Adapters,
}

/// A counter or a gauge.
type Number = fn(&Gauges) -> Value;
/// A histogram.
type Distribution = fn(&Account) -> &Histogram;

enum Value {
    Whole(u64),
    Real(f64),
}

impl Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(value) => write!(f, "{value}.0"),
            Self::Real(value) => write!(f, "{value:?}"),
        }
    }
}

const NUMBERS: &[(&str, &str, &str, Number)] = &[
    ("vllm:num_requests_running", "gauge", "Requests in the running batch.", |g| {
        Value::Whole(u64::from(g.running))
    }),
    ("vllm:num_requests_waiting", "gauge", "Requests that wait to be scheduled.", |g| {
        Value::Whole(u64::from(g.waiting))
    }),
    ("vllm:kv_cache_usage_perc", "gauge", "Share of the KV cache in use; 1 is all of it.", |g| {
        Value::Real(g.kv_usage)
    }),
    ("vllm:prefix_cache_queries_total", "counter", "Prompt tokens looked up in the prefix cache.", |g| {
        Value::Whole(g.account.prefix_queries)
    }),
    ("vllm:prefix_cache_hits_total", "counter", "Prompt tokens found in the prefix cache.", |g| {
        Value::Whole(g.account.prefix_hits)
    }),
    ("vllm:num_preemptions_total", "counter", "Requests that were preempted.", |g| {
        Value::Whole(g.preemptions)
    }),
    ("vllm:prompt_tokens_total", "counter", "Prompt tokens processed.", |g| {
        Value::Whole(g.account.prompt_tokens)
    }),
    ("vllm:prompt_tokens_cached_total", "counter", "Prompt tokens that the cache had.", |g| {
        Value::Whole(g.account.prompt_tokens_cached)
    }),
    ("vllm:generation_tokens_total", "counter", "Tokens generated.", |g| {
        Value::Whole(g.account.generation_tokens)
    }),
];

const DISTRIBUTIONS: &[(&str, &str, Distribution)] = &[
    ("vllm:time_to_first_token_seconds", "Time to first token.", |a| &a.time_to_first_token),
    ("vllm:inter_token_latency_seconds", "Time between tokens.", |a| &a.inter_token_latency),
    ("vllm:request_time_per_output_token_seconds", "Mean time between the tokens of a request.", |a| {
        &a.time_per_output_token
    }),
    ("vllm:e2e_request_latency_seconds", "Time from arrival to the last token.", |a| &a.e2e),
    ("vllm:request_queue_time_seconds", "Time until the first batch.", |a| &a.queue),
    ("vllm:request_prefill_time_seconds", "Time from the first batch to the first token.", |a| &a.prefill),
    ("vllm:request_decode_time_seconds", "Time from the first to the last token.", |a| &a.decode),
    ("vllm:request_inference_time_seconds", "Time from the first batch to the last token.", |a| &a.inference),
    ("vllm:request_prompt_tokens", "Prompt tokens of a request.", |a| &a.request_prompt_tokens),
    ("vllm:request_generation_tokens", "Tokens generated for a request.", |a| &a.request_generation_tokens),
    ("vllm:request_params_max_tokens", "Most tokens that a request allows.", |a| &a.request_max_tokens),
    (
        "vllm:request_prefill_kv_computed_tokens",
        "Prompt tokens of a request that the cache did not have.",
        |a| &a.request_prefill_tokens,
    ),
    ("vllm:request_params_n", "Choices that a request asks for.", |a| &a.request_n),
];

/// Every family.
pub(crate) fn write(identity: &Identity, snapshot: &Snapshot) -> String {
    let mut out = String::with_capacity(8_192 * snapshot.instances.len().max(1));
    let model = escaped(&identity.model);
    let labels: Vec<_> = (0..snapshot.instances.len())
        .map(|engine| format!("engine=\"{engine}\",model_name=\"{model}\""))
        .collect();
    let instances = || snapshot.instances.iter().zip(&labels);
    for (name, kind, help, value) in NUMBERS {
        head(&mut out, name, kind, help);
        for (gauges, labels) in instances() {
            let _ = writeln!(out, "{name}{{{labels}}} {}", value(gauges));
        }
    }
    let name = "vllm:request_success_total";
    head(&mut out, name, "counter", "Requests that ended.");
    for (gauges, labels) in instances() {
        for (reason, count) in Reason::NAMES.iter().zip(gauges.account.ended) {
            let _ = writeln!(out, "{name}{{{labels},finished_reason=\"{reason}\"}} {count}.0");
        }
    }
    for (name, help, histogram) in DISTRIBUTIONS {
        head(&mut out, name, "histogram", help);
        for (gauges, labels) in instances() {
            histogram(&gauges.account).write(&mut out, name, labels);
        }
    }
    let name = "vllm:cache_config_info";
    head(&mut out, name, "gauge", "The KV cache.");
    for (engine, gauges) in snapshot.instances.iter().enumerate() {
        let (block_size, blocks) = (identity.block_tokens, gauges.kv_blocks);
        let _ = writeln!(
            out,
            "{name}{{block_size=\"{block_size}\",cache_dtype=\"auto\",enable_prefix_caching=\"True\",\
             engine=\"{engine}\",num_cpu_blocks=\"None\",num_gpu_blocks=\"{blocks}\",\
             num_gpu_blocks_override=\"None\",prefix_caching_hash_algo=\"sha256\",sliding_window=\"None\"}} 1.0"
        );
    }
    if let Some(max_lora) = identity.max_lora {
        let name = "vllm:lora_requests_info";
        head(&mut out, name, "gauge", "Adapters of the requests that run and that wait.");
        let Adapters { running, waiting, at } = &snapshot.adapters;
        let (running, waiting) = (escaped(&running.join(",")), escaped(&waiting.join(",")));
        let _ = writeln!(
            out,
            "{name}{{max_lora=\"{max_lora}\",running_lora_adapters=\"{running}\",\
             waiting_lora_adapters=\"{waiting}\"}} {at:?}"
        );
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
