//! Model, hardware and step-time model.

use super::{Findings, Reals, Typed, text};
use blis_config::RunOptions;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "Model and hardware")]
pub(crate) struct ModelFlags {
    /// Model to serve, for example qwen/qwen3-14b (see `blis models`) [required]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// GPU type (see `blis hardware`) [default: the model's]
    #[arg(long, value_name = "GPU")]
    hardware: Option<String>,
    /// GPUs per instance that share every layer (tensor parallelism) [default: the model's]
    #[arg(long, value_name = "INT")]
    tp: Option<Typed<i64>>,
    /// Pipeline stages per instance, each with --tp GPUs and its share of the layers [default: 1]
    #[arg(long, value_name = "INT")]
    pp: Option<Typed<i64>>,
    /// Data-parallel ranks per instance, each with a scheduler and a KV cache of its own; MoE models only [default: 1]
    #[arg(long, value_name = "INT")]
    dp: Option<Typed<i64>>,
    /// Spread the experts over all ranks; MoE models only
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_expert_parallel: Option<Typed<bool>>,
    /// How tokens travel to their experts: naive, allgather_reducescatter, pplx, deepep_high_throughput,
    /// deepep_low_latency, mori or flashinfer_all2allv; MoE models with --dp above 1 only
    #[arg(long, value_name = "NAME")]
    moe_comm_backend: Option<String>,
    /// Directory with the model's config.json [default: built in, else downloaded]
    #[arg(long, value_name = "DIR")]
    model_config_folder: Option<PathBuf>,
    /// JSON table of GPUs [default: built in]
    #[arg(long, value_name = "FILE")]
    hardware_config: Option<PathBuf>,
    /// YAML file with models, presets and coefficients [default: ./defaults.yaml when there is one, else built in]
    #[arg(long, value_name = "FILE")]
    defaults_filepath: Option<PathBuf>,
}

impl ModelFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        options.model = text(self.model);
        options.hardware = text(self.hardware);
        options.tp = findings.value("--tp", self.tp);
        options.pp = findings.value("--pp", self.pp);
        options.dp = findings.value("--dp", self.dp);
        options.enable_expert_parallel =
            findings.value("--enable-expert-parallel", self.enable_expert_parallel);
        options.moe_comm_backend = text(self.moe_comm_backend);
        options.model_config_folder = self.model_config_folder;
        options.hardware_config = self.hardware_config;
        options.defaults_filepath = self.defaults_filepath;
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Step times")]
pub(crate) struct LatencyFlags {
    /// Step-time model: profiled (composed of measured operators), trained-physics, roofline, or auto: profiled where
    /// operators were measured, else trained-physics; still accepted from older releases: blackbox, crossmodel,
    /// trained-roofline [default: auto; trained-physics with --compat inference-sim]
    #[arg(long, value_name = "NAME")]
    latency_model: Option<String>,
    /// Directory with measured operators, written by scripts/kernel_tables.py, for the profiled model
    /// [default: built in]
    #[arg(long, value_name = "DIR")]
    perf_db: Option<PathBuf>,
    /// Kernels for experts of MXFP4 weights (gpt-oss), for the profiled model: marlin or triton [default: auto: on Hopper
    /// marlin, with --engine sglang triton, elsewhere what was measured there]
    #[arg(long, value_name = "NAME")]
    moe_backend: Option<String>,
    /// How the KV cache holds its elements: auto (as activations), bf16 or fp8 [default: auto]
    #[arg(long, value_name = "NAME")]
    kv_cache_dtype: Option<String>,
    /// JSON file with coefficients of the step-time model and of the host, as `blis fit` writes it; it chooses the step-time
    /// model where --latency-model is not given [default: built in]
    #[arg(long, value_name = "FILE")]
    coefficients: Option<PathBuf>,
    /// Overhead coefficients, µs, separated by commas; goes with --beta-coeffs [default: built in]
    #[arg(long, value_name = "LIST")]
    alpha_coeffs: Vec<Typed<Reals>>,
    /// Step-time coefficients, separated by commas; goes with --alpha-coeffs [default: built in]
    #[arg(long, value_name = "LIST")]
    beta_coeffs: Vec<Typed<Reals>>,
    /// Deprecated spelling of --latency-model roofline
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    roofline: Option<Typed<bool>>,
    /// Key of the blackbox coefficients of earlier releases
    #[arg(long, hide = true, value_name = "TEXT")]
    vllm_version: Option<String>,
}

impl LatencyFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        let roofline = findings.value("--roofline", self.roofline) == Some(true);
        options.latency_model = text(self.latency_model).or_else(|| roofline.then(|| "roofline".to_owned()));
        options.perf_db = self.perf_db;
        options.moe_backend = text(self.moe_backend);
        options.kv_cache_dtype = text(self.kv_cache_dtype);
        options.coefficients = self.coefficients.filter(|path| !path.as_os_str().is_empty());
        options.alpha_coeffs = joined("--alpha-coeffs", self.alpha_coeffs, findings);
        options.beta_coeffs = joined("--beta-coeffs", self.beta_coeffs, findings);
        options.vllm_version = text(self.vllm_version);
    }
}

/// A list may be given in several pieces.
fn joined(flag: &str, pieces: Vec<Typed<Reals>>, findings: &mut Findings) -> Option<Vec<f64>> {
    let mut all = None;
    for piece in pieces {
        let Reals(reals) = findings.value(flag, Some(piece))?;
        all.get_or_insert_with(Vec::new).extend(reals);
    }
    all
}
