//! Where requests come from: made up (`run`) or recorded (`replay`).

use super::{Findings, Typed, text};
use blis_config::options::{LengthOptions, TraceOptions, Traffic, WorkloadOptions};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "Workload")]
pub(crate) struct WorkloadFlags {
    /// YAML file that describes the traffic; of the flags below only --num-requests and --timeout then count
    #[arg(long, value_name = "FILE")]
    workload_spec: Option<PathBuf>,
    /// Preset that brings its own lengths (see `blis presets`), or distribution for the flags below
    /// [default: distribution]
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// Requests per second [default: 1]
    #[arg(long, value_name = "NUM")]
    rate: Option<Typed<f64>>,
    /// Number of requests; 0 = until the horizon [default: 100, with --concurrency 0]
    #[arg(long, value_name = "INT")]
    num_requests: Option<Typed<i64>>,
    /// Closed-loop users, each waiting for its answer, instead of --rate; 0 = none [default: 0]
    #[arg(long, value_name = "INT")]
    concurrency: Option<Typed<i64>>,
    /// Pause of a user between an answer and its next request, ms [default: 0]
    #[arg(long, value_name = "INT")]
    think_time_ms: Option<Typed<i64>>,
    #[command(flatten)]
    lengths: LengthFlags,
    /// Simulated seconds after which a client gives up; negative = never [default: 300]
    #[arg(long, value_name = "INT")]
    timeout: Option<Typed<i64>>,
    /// Accepted from older scripts: requests are always made as they are needed
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    lazy_generation: Option<Typed<bool>>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Workload")]
pub(crate) struct LengthFlags {
    /// Tokens that all prompts begin with [default: 0]
    #[arg(long, value_name = "INT")]
    prefix_tokens: Option<Typed<i64>>,
    /// Mean prompt length, tokens [default: 512]
    #[arg(long, value_name = "INT")]
    prompt_tokens: Option<Typed<i64>>,
    /// Standard deviation of the prompt length, tokens [default: 256]
    #[arg(long, value_name = "INT")]
    prompt_tokens_stdev: Option<Typed<i64>>,
    /// Shortest prompt, tokens [default: 2]
    #[arg(long, value_name = "INT")]
    prompt_tokens_min: Option<Typed<i64>>,
    /// Longest prompt, tokens [default: 7000]
    #[arg(long, value_name = "INT")]
    prompt_tokens_max: Option<Typed<i64>>,
    /// Mean answer length, tokens [default: 512]
    #[arg(long, value_name = "INT")]
    output_tokens: Option<Typed<i64>>,
    /// Standard deviation of the answer length, tokens [default: 256]
    #[arg(long, value_name = "INT")]
    output_tokens_stdev: Option<Typed<i64>>,
    /// Shortest answer, tokens [default: 2]
    #[arg(long, value_name = "INT")]
    output_tokens_min: Option<Typed<i64>>,
    /// Longest answer, tokens [default: 7000]
    #[arg(long, value_name = "INT")]
    output_tokens_max: Option<Typed<i64>>,
}

impl LengthFlags {
    pub(crate) fn fill(self, options: &mut WorkloadOptions, findings: &mut Findings) {
        options.prefix_tokens = findings.value("--prefix-tokens", self.prefix_tokens);
        options.prompt = LengthOptions {
            mean: findings.value("--prompt-tokens", self.prompt_tokens),
            stdev: findings.value("--prompt-tokens-stdev", self.prompt_tokens_stdev),
            min: findings.value("--prompt-tokens-min", self.prompt_tokens_min),
            max: findings.value("--prompt-tokens-max", self.prompt_tokens_max),
        };
        options.output = LengthOptions {
            mean: findings.value("--output-tokens", self.output_tokens),
            stdev: findings.value("--output-tokens-stdev", self.output_tokens_stdev),
            min: findings.value("--output-tokens-min", self.output_tokens_min),
            max: findings.value("--output-tokens-max", self.output_tokens_max),
        };
    }
}

impl WorkloadFlags {
    pub(crate) fn into_traffic(self, findings: &mut Findings) -> Traffic {
        findings.value("--lazy-generation", self.lazy_generation);
        let mut options = WorkloadOptions {
            spec: self.workload_spec.filter(|path| !path.as_os_str().is_empty()),
            workload: text(self.workload),
            rate: findings.value("--rate", self.rate),
            num_requests: findings.value("--num-requests", self.num_requests),
            concurrency: findings.value("--concurrency", self.concurrency),
            think_time_ms: findings.value("--think-time-ms", self.think_time_ms),
            timeout_s: findings.value("--timeout", self.timeout),
            ..WorkloadOptions::default()
        };
        self.lengths.fill(&mut options, findings);
        Traffic::Synthesised(options)
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Trace")]
pub(crate) struct TraceFlags {
    /// YAML header of the trace [required]
    #[arg(long, value_name = "FILE")]
    trace_header: Option<PathBuf>,
    /// CSV rows of the trace [required]
    #[arg(long, value_name = "FILE")]
    trace_data: Option<PathBuf>,
    /// When the later rounds of a session are sent: at their recorded times (fixed), or when the answer before has come
    /// and the user has paused (closed-loop) [default: fixed]
    #[arg(long, value_name = "NAME")]
    session_mode: Option<String>,
    /// Pause between an answer and the session's next request instead of the recorded one, ms (closed-loop only)
    #[arg(long, value_name = "INT")]
    think_time_ms: Option<Typed<i64>>,
    /// The same as a distribution: constant:value=T or lognormal:mu=NUM,sigma=NUM[,min=T][,max=T], with mu and sigma of
    /// the logarithm of seconds and T in ms, or with a unit (closed-loop only)
    #[arg(long, value_name = "DIST")]
    think_time_dist: Option<String>,
    /// Accepted from older scripts; without effect on a trace
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    lazy_generation: Option<Typed<bool>>,
}

impl TraceFlags {
    pub(crate) fn into_traffic(self, findings: &mut Findings) -> Traffic {
        findings.value("--lazy-generation", self.lazy_generation);
        Traffic::Trace(TraceOptions {
            header: self.trace_header,
            data: self.trace_data,
            session_mode: text(self.session_mode),
            think_time_ms: findings.value("--think-time-ms", self.think_time_ms),
            think_time_dist: text(self.think_time_dist),
        })
    }
}
