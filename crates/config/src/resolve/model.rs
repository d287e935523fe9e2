//! The model, what it runs on, its step times, its KV capacity.

use super::Surroundings;
use super::check::{Check, Source};
use crate::catalogue::Catalogue;
use crate::catalogue::search::{Origin, Search, find_model};
use crate::diagnostic::{Diagnostic, nearest, unknown_name};
use crate::model_config::ModelConfig;
use crate::options::RunOptions;
use blis_kernel::Semantics;
use blis_latency::context_length::limit_to_kv_cache;
use blis_latency::kv_capacity::{KvCapacityError, KvCapacityInputs, TensorParallelMemory, kv_blocks};
use blis_latency::{
    Blackbox, CoefficientList, Coefficients, CrossModel, Deployment, Fp8Rule, GpuSpec, InvalidModel,
    LatencyModel, MoeComm, Problem, Roofline, TrainedPhysics, TrainedRoofline,
};
use std::path::Path;
use std::sync::Arc;

/// KV blocks when they are neither given nor computable.
const FALLBACK_KV_BLOCKS: u64 = 1_000_000;
/// Most KV blocks of an instance, so that their tables fit into memory.
pub(super) const MAX_KV_BLOCKS: u32 = 100_000_000;
/// Most GPUs of an instance in either direction.
const MAX_PARALLELISM: u32 = 65_536;

/// A step-time model by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    Blackbox,
    CrossModel,
    Roofline,
    TrainedPhysics,
    TrainedRoofline,
}

impl Backend {
    /// All of them, with whether they are of earlier releases only.
    const ALL: [(&str, Self, bool); 5] = [
        (Blackbox::NAME, Self::Blackbox, true),
        (CrossModel::NAME, Self::CrossModel, true),
        (Roofline::NAME, Self::Roofline, false),
        (TrainedPhysics::NAME, Self::TrainedPhysics, false),
        (TrainedRoofline::NAME, Self::TrainedRoofline, true),
    ];

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, backend, _)| *backend == self).map_or("", |(name, ..)| name)
    }
}

/// What an instance runs and how long that takes.
#[derive(Debug)]
pub(super) struct Served {
    /// In lower case.
    pub(super) model: String,
    pub(super) latency: Arc<dyn LatencyModel>,
    pub(super) kv_blocks: u32,
    pub(super) max_model_len: u64,
}

/// What the flags say, once they are in range.
struct Wanted {
    model: String,
    backend: Backend,
    /// Where the user says so.
    gpu: Option<String>,
    tp: Option<u32>,
    coefficients: Option<Coefficients>,
    dp: u32,
    expert_parallel: bool,
    moe_comm: Option<MoeComm>,
    /// What the block count depends on.
    block_tokens: u32,
    gpu_memory_utilization: f64,
    total_kv_blocks: Option<u32>,
    max_model_len: u64,
}

/// Checks everything and builds the step-time model; `None` when something is wrong.
pub(super) fn served(
    check: &mut Check,
    options: &RunOptions,
    catalogue: &Catalogue,
    defaults_folder: &Path,
    surroundings: &Surroundings<'_>,
    semantics: Semantics,
    block_tokens: u32,
) -> Option<Served> {
    let wanted = wanted(check, options, block_tokens)?;
    let (gpu_name, tp, server_version) = deployment(check, options, catalogue, &wanted);
    let gpu = gpu_name.as_deref().and_then(|name| match catalogue.gpu(name) {
        Ok(gpu) => Some(gpu),
        // The blackbox model takes the name as the key of its coefficients only.
        Err(_) if wanted.backend == Backend::Blackbox => None,
        Err(problem) => {
            check.problem(Diagnostic { message: format!("--hardware: {}", problem.message), ..problem });
            None
        }
    });

    // A download is not worth the wait when the run cannot start anyway.
    let hub = if check.problems.is_empty() { surroundings.hub } else { None };
    let search = Search {
        model: &wanted.model,
        folder: options.model_config_folder.as_deref(),
        defaults_folder,
        cache: surroundings.cache,
        hub,
    };
    let config = match find_model(catalogue, &search) {
        Ok(found) => {
            check.note("model-config", origin(&found.origin), Source::Catalogue);
            Some(found.config)
        }
        Err(_) if wanted.backend == Backend::Blackbox => None,
        Err(problems) => {
            if check.problems.is_empty() {
                check
                    .problems
                    .extend(problems.into_iter().map(|problem| with_near(problem, &wanted.model, catalogue)));
            }
            None
        }
    };

    let tp = tp?;
    if wanted.backend == Backend::Blackbox {
        return blackbox(
            check,
            catalogue,
            wanted,
            &gpu_name?,
            gpu.as_ref(),
            tp,
            &server_version?,
            config,
            semantics,
        );
    }
    let (gpu, config) = (gpu?, config?);
    let latency = latency(check, options, catalogue, &wanted, &gpu, tp, &config, semantics)?;
    let blocks = match wanted.total_kv_blocks {
        Some(blocks) => blocks,
        None => computed_blocks(check, &wanted, &gpu, tp, &config, semantics)?,
    };
    let derived = config.positions.max_model_len();
    Some(finish(check, wanted, latency, blocks, derived))
}

fn wanted(check: &mut Check, options: &RunOptions, block_tokens: u32) -> Option<Wanted> {
    let model = options.model.as_deref().unwrap_or_default().trim().to_lowercase();
    if model.is_empty() {
        check.problem(
            Diagnostic::new("--model is missing")
                .with_help("name the LLM to serve; blis models lists the known ones"),
        );
    } else {
        check.note("model", &model, Source::Given);
    }
    let coefficients = coefficients(check, options);
    let backend = backend(check, options, coefficients.as_ref());
    let tp = options.tp.filter(|tp| *tp != 0);
    let tp = tp.map(|tp| check.integer("tp", Some(tp), 1, 1..=i64::from(MAX_PARALLELISM)) as u32);
    let dp = check.integer("dp", options.dp, 1, 1..=i64::from(MAX_PARALLELISM)) as u32;
    let expert_parallel = options.enable_expert_parallel == Some(true);
    let moe_comm = options.moe_comm_backend.as_deref().and_then(|name| match name.parse() {
        Ok(moe_comm) => Some(moe_comm),
        Err(problem) => {
            check.problem(Diagnostic::new(format!("--moe-comm-backend: {problem}")));
            None
        }
    });
    let total_kv_blocks = options
        .total_kv_blocks
        .map(|blocks| check.integer("total-kv-blocks", Some(blocks), 1, 1..=i64::from(MAX_KV_BLOCKS)) as u32);
    let gpu_memory_utilization = check.real(
        "gpu-memory-utilization",
        options.gpu_memory_utilization,
        0.9,
        |share| share > 0.0 && share <= 1.0,
        "above 0 and at most 1",
    );
    let max_model_len = check.integer("max-model-len", options.max_model_len, 0, 0..=i64::MAX) as u64;
    let backend = backend?;
    if backend != Backend::TrainedPhysics {
        let name = backend.name();
        let mut refuse = |flag: &str, given: bool| {
            if given {
                check.problem(Diagnostic::new(format!(
                    "{flag} needs --latency-model trained-physics; {name} does not know data or expert parallelism"
                )));
            }
        };
        refuse("--dp", dp > 1);
        refuse("--enable-expert-parallel", expert_parallel);
        refuse("--moe-comm-backend", moe_comm.is_some());
    }
    (!model.is_empty()).then_some(Wanted {
        model,
        backend,
        gpu: options.hardware.clone(),
        tp,
        coefficients,
        dp,
        expert_parallel,
        moe_comm,
        block_tokens,
        gpu_memory_utilization,
        total_kv_blocks,
        max_model_len,
    })
}

/// The coefficients that the user gives; both lists or none.
fn coefficients(check: &mut Check, options: &RunOptions) -> Option<Coefficients> {
    for (name, values) in [("alpha-coeffs", &options.alpha_coeffs), ("beta-coeffs", &options.beta_coeffs)] {
        for (i, &value) in values.iter().flatten().enumerate() {
            if !(value.is_finite() && value >= 0.0) {
                check.out_of_range(&format!("{name}[{i}]"), value, "a finite number of at least 0");
            }
        }
    }
    match (&options.alpha_coeffs, &options.beta_coeffs) {
        (Some(alpha), Some(beta)) => Some(Coefficients { alpha: alpha.clone(), beta: beta.clone() }),
        (None, None) => None,
        (given, _) => {
            let (given, missing) = if given.is_some() { ("alpha", "beta") } else { ("beta", "alpha") };
            check.problem(
                Diagnostic::new(format!("--{given}-coeffs is given without --{missing}-coeffs"))
                    .with_help("coefficients are fitted together: give both or neither"),
            );
            None
        }
    }
}

/// The step-time model: by name, else by the number of coefficients, else the default.
fn backend(check: &mut Check, options: &RunOptions, coefficients: Option<&Coefficients>) -> Option<Backend> {
    let name = options.latency_model.as_deref().filter(|name| !name.is_empty());
    let backend = match (name, coefficients) {
        (Some(name), _) => match Backend::ALL.into_iter().find(|(known, ..)| *known == name) {
            Some((_, backend, is_legacy)) => {
                if is_legacy {
                    check.warn(format!(
                        "--latency-model {name} is deprecated: use trained-physics or roofline, which know more"
                    ));
                }
                backend
            }
            None => {
                let known = Backend::ALL.into_iter().map(|(name, ..)| name);
                let problem = unknown_name("latency model", name, known);
                check.problem(Diagnostic {
                    message: format!("--latency-model: {}", problem.message),
                    ..problem
                });
                return None;
            }
        },
        (None, None) => Backend::TrainedPhysics,
        (None, Some(given)) => match given.beta.len() {
            3 => {
                check.warn(
                    "--beta-coeffs with three values is deprecated: they are those of --latency-model blackbox",
                );
                Backend::Blackbox
            }
            0..7 => {
                check.out_of_range(
                    "beta-coeffs",
                    format!("a list of {}", given.beta.len()),
                    "7 or more values (trained-physics) or 3 (blackbox), or name the --latency-model",
                );
                return None;
            }
            _ => Backend::TrainedPhysics,
        },
    };
    if backend == Backend::Roofline && (options.alpha_coeffs.is_some() || options.beta_coeffs.is_some()) {
        check.problem(
            Diagnostic::new("--latency-model roofline takes no --alpha-coeffs and --beta-coeffs")
                .with_help("leave the coefficients out, or use trained-physics"),
        );
    }
    check.note("latency-model", backend.name(), if name.is_some() { Source::Given } else { Source::Default });
    Some(backend)
}

/// GPU, tensor parallelism and, for the blackbox model, the server version: as given, else as the catalogue has them.
fn deployment(
    check: &mut Check,
    options: &RunOptions,
    catalogue: &Catalogue,
    wanted: &Wanted,
) -> (Option<String>, Option<u32>, Option<String>) {
    let entry = catalogue.model_entry(&wanted.model).unwrap_or_default();
    let legacy = entry.legacy.filter(|_| wanted.backend == Backend::Blackbox);
    let (known_gpu, known_tp) = match &legacy {
        Some(legacy) => (Some(legacy.gpu.clone()), Some(legacy.tp)),
        None => (entry.gpu, entry.tp),
    };
    let mut missing = Vec::new();
    let gpu = given_or_known(check, "hardware", wanted.gpu.clone(), known_gpu, &mut missing);
    let tp = given_or_known(check, "tp", wanted.tp, known_tp, &mut missing);
    if !missing.is_empty() {
        let model = &wanted.model;
        let problem =
            Diagnostic::new(format!("{} missing: model \"{model}\" has no defaults", missing.join(" and ")));
        check.problem(problem.with_help(format!("GPU types are {}", catalogue.gpu_names().join(", "))));
    }
    let server_version = options.vllm_version.clone().or(legacy.map(|legacy| legacy.server_version));
    (gpu, tp, server_version.or_else(|| Some(String::new())))
}

fn given_or_known<T: std::fmt::Display>(
    check: &mut Check,
    name: &str,
    given: Option<T>,
    known: Option<T>,
    missing: &mut Vec<String>,
) -> Option<T> {
    if let Some(given) = given {
        check.note(name, &given, Source::Given);
        return Some(given);
    }
    match &known {
        Some(known) => {
            check.notice(format!("--{name} is not given: {known}, the default of the model"));
            check.note(name, known, Source::Catalogue);
        }
        None => missing.push(format!("--{name}")),
    }
    known
}

/// Builds the model of step times; `None` when something is wrong.
fn latency(
    check: &mut Check,
    options: &RunOptions,
    catalogue: &Catalogue,
    wanted: &Wanted,
    gpu: &GpuSpec,
    tp: u32,
    config: &ModelConfig,
    semantics: Semantics,
) -> Option<Arc<dyn LatencyModel>> {
    let architecture = &config.architecture;
    let fp8_rule =
        if semantics.fp8_rate_for_any_byte { Fp8Rule::AnyOneByteWeight } else { Fp8Rule::Fp8WeightsOnly };
    let dense = !architecture.is_moe();
    if wanted.expert_parallel && dense {
        check.problem(Diagnostic::new(format!(
            "--enable-expert-parallel needs an MoE model; {} is dense",
            wanted.model
        )));
    }
    if let Some(moe_comm) = wanted.moe_comm
        && (dense || wanted.dp == 1)
    {
        let why = if dense { "the model is dense" } else { "there is one rank (--dp 1)" };
        check.warn(format!("--moe-comm-backend {moe_comm} is unused: {why}"));
    }
    if architecture.is_mla() {
        check.warn(format!(
            "step times of {} are pessimistic: its latent KV cache is counted at full width",
            wanted.model
        ));
    }
    let own = wanted.coefficients.clone();
    let built: Result<Arc<dyn LatencyModel>, InvalidModel> = match wanted.backend {
        Backend::Roofline => Roofline::new(architecture, gpu, tp, &[0.0; Coefficients::ALPHAS], fp8_rule)
            .map(|m| Arc::new(m) as _),
        Backend::TrainedPhysics => {
            let deployment = Deployment {
                tp,
                dp: wanted.dp,
                expert_parallel: wanted.expert_parallel,
                moe_comm: wanted.moe_comm.unwrap_or_default(),
            };
            let coefficients = checked(check, own, catalogue.trained_physics_coefficients());
            TrainedPhysics::new(architecture, gpu, &deployment, &coefficients, fp8_rule)
                .map(|m| Arc::new(m) as _)
        }
        Backend::CrossModel => {
            let coefficients = checked(check, own, catalogue.crossmodel());
            CrossModel::new(architecture, tp, &coefficients).map(|m| Arc::new(m) as _)
        }
        Backend::TrainedRoofline => {
            let coefficients = checked(check, own, catalogue.trained_roofline());
            TrainedRoofline::new(architecture, gpu, tp, &coefficients).map(|m| Arc::new(m) as _)
        }
        // Built without a configuration.
        Backend::Blackbox => return None,
    };
    built.map_err(|invalid| report(check, options, &invalid)).ok()
}

/// The user's coefficients or the catalogue's, with a word about those that are all zero.
fn checked(check: &mut Check, given: Option<Coefficients>, known: Coefficients) -> Coefficients {
    let is_own = given.is_some();
    let coefficients = given.unwrap_or(known);
    let is_zero = |list: &[f64]| list.iter().all(|value| *value == 0.0);
    if is_zero(&coefficients.beta) && !is_own {
        check.problem(
            Diagnostic::new("the coefficients of the defaults file are all 0, so that steps take no time")
                .with_help("give --alpha-coeffs and --beta-coeffs"),
        );
    }
    if is_zero(&coefficients.alpha) {
        check.warn("the alpha coefficients are all 0: requests have no overhead outside their steps");
    }
    coefficients
}

/// What a step-time model says of its inputs, in terms of the flags.
fn report(check: &mut Check, options: &RunOptions, invalid: &InvalidModel) {
    for problem in &invalid.problems {
        let list = |list: &CoefficientList| match list {
            CoefficientList::Alpha => "--alpha-coeffs",
            CoefficientList::Beta => "--beta-coeffs",
        };
        let backend = invalid.backend;
        check.problem(match problem {
            Problem::TooFewCoefficients { list: which, given, needed } => Diagnostic::new(format!(
                "{} has {given} values; --latency-model {backend} needs at least {needed}",
                list(which)
            )),
            // Said when the flags were read.
            Problem::Coefficient { .. } if options.alpha_coeffs.is_some() => continue,
            Problem::NotDivisible { quantity, value, tp } => Diagnostic::new(format!(
                "--tp is {tp}; it must divide the {quantity} of the model, of which there are {value}"
            )),
            Problem::DataParallelDense { dp } => Diagnostic::new(format!(
                "--dp is {dp}; it must be 1 for a dense model (only MoE models spread experts over ranks)"
            ))
            .with_help("give --num-instances for more replicas"),
            other => Diagnostic::new(format!("--latency-model {backend}: {other}")),
        });
    }
}

/// Blocks that fit into the GPUs' memory; `None` when something is wrong.
fn computed_blocks(
    check: &mut Check,
    wanted: &Wanted,
    gpu: &GpuSpec,
    tp: u32,
    config: &ModelConfig,
    semantics: Semantics,
) -> Option<u32> {
    let Some(gpu_memory_gib) = gpu.memory_gib else {
        check.warn(format!(
            "the memory of GPU {} is not known: {FALLBACK_KV_BLOCKS} KV blocks assumed; give --total-kv-blocks",
            gpu.name
        ));
        return Some(FALLBACK_KV_BLOCKS as u32);
    };
    let inputs = KvCapacityInputs {
        gpu_memory_gib,
        tp,
        dp: wanted.dp,
        block_tokens: wanted.block_tokens,
        gpu_memory_utilization: wanted.gpu_memory_utilization,
        adapter_reserved_bytes: 0,
    };
    let rule = if semantics.kv_blocks_from_whole_group {
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
            Some(FALLBACK_KV_BLOCKS as u32)
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

/// The regression model of earlier releases: it needs coefficients but no configuration.
fn blackbox(
    check: &mut Check,
    catalogue: &Catalogue,
    wanted: Wanted,
    gpu_name: &str,
    gpu: Option<&GpuSpec>,
    tp: u32,
    server_version: &str,
    config: Option<ModelConfig>,
    semantics: Semantics,
) -> Option<Served> {
    let (coefficients, known_blocks) = match &wanted.coefficients {
        Some(own) => (own.clone(), None),
        None => match catalogue.blackbox(&wanted.model, gpu_name, tp, server_version) {
            Ok(row) => (row.coefficients, row.total_kv_blocks),
            Err(problem) => {
                check.problem(problem);
                return None;
            }
        },
    };
    let latency = match Blackbox::new(&coefficients) {
        Ok(model) => Arc::new(model),
        Err(invalid) => {
            report(check, &RunOptions::default(), &invalid);
            return None;
        }
    };
    let recorded =
        known_blocks.filter(|blocks| *blocks > 0).map(|blocks| blocks.min(u64::from(MAX_KV_BLOCKS)) as u32);
    let blocks = match (wanted.total_kv_blocks.or(recorded), gpu, &config) {
        (Some(blocks), ..) => blocks,
        (None, Some(gpu), Some(config)) => computed_blocks(check, &wanted, gpu, tp, config, semantics)?,
        (None, ..) => {
            check.warn(format!("{FALLBACK_KV_BLOCKS} KV blocks assumed; give --total-kv-blocks"));
            FALLBACK_KV_BLOCKS as u32
        }
    };
    Some(finish(check, wanted, latency, blocks, 0))
}

fn finish(
    check: &mut Check,
    wanted: Wanted,
    latency: Arc<dyn LatencyModel>,
    kv_blocks: u32,
    derived_len: u64,
) -> Served {
    let length = if wanted.max_model_len > 0 { wanted.max_model_len } else { derived_len };
    let max_model_len = limit_to_kv_cache(length, u64::from(kv_blocks), wanted.block_tokens);
    if max_model_len < length {
        check.warn(format!(
            "the longest sequence is {max_model_len} tokens instead of {length}: that is what {kv_blocks} KV blocks hold"
        ));
    }
    let source = if max_model_len < length { Source::Computed } else { Source::ModelConfig };
    if wanted.max_model_len == 0 || max_model_len < length {
        check.note("max-model-len", max_model_len, source);
    }
    Served { model: wanted.model, latency, kv_blocks, max_model_len }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::File(path) => path.display().to_string(),
        Origin::Embedded => "built in".to_owned(),
        Origin::Hub(repository) => format!("model hub, {repository}"),
    }
}

fn with_near(problem: Diagnostic, model: &str, catalogue: &Catalogue) -> Diagnostic {
    let names = catalogue.model_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match nearest(model, &names) {
        Some(near) if near != model => {
            problem.with_help(format!("did you mean \"{near}\"? Or give --model-config-folder"))
        }
        _ => problem,
    }
}
