//! The model and what it runs on.

use super::Surroundings;
use super::backend::{self, Backend};
use super::check::{Check, Source};
use super::coefficients::of_model;
use super::deployed::Deployed;
use super::host::Host as CpuSide;
use super::kv_blocks::{self, FALLBACK_KV_BLOCKS, MAX_KV_BLOCKS};
use crate::catalogue::Catalogue;
use crate::catalogue::search::{Origin, Search, find_model};
use crate::coefficients::CoefficientSet;
use crate::diagnostic::{Diagnostic, nearest};
use crate::model_config::ModelConfig;
use crate::options::RunOptions;
use blis_engine::{HostConfig, RankConfig};
use blis_kernel::Semantics;
use blis_latency::context_length::limit_to_kv_cache;
use blis_latency::kv_capacity::kv_bytes_per_token;
use blis_latency::pipeline::stage_layers;
use blis_latency::profiled::KvFormat;
use blis_latency::{Blackbox, Coefficients, GpuSpec, Hosted, LatencyModel, MoeBackend, MoeComm};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

/// Most GPUs of an instance in either direction.
const MAX_PARALLELISM: i64 = 65_536;

/// What the model is resolved from.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) options: &'a RunOptions,
    pub(super) catalogue: &'a Catalogue,
    pub(super) defaults_folder: &'a Path,
    pub(super) surroundings: &'a Surroundings<'a>,
    pub(super) semantics: Semantics,
    pub(super) block_tokens: u32,
    /// The GPU whose rates count, where that is not the one that the instance has (B6).
    pub(super) rates_of: Option<&'a str>,
    /// Overheads outside of steps of a model that has none of its own, where the cluster's model has some.
    pub(super) overheads: Option<&'a [f64]>,
    /// The coefficients that the user gives.
    pub(super) coefficients: Option<&'a CoefficientSet>,
    /// The CPU side of the servers.
    pub(super) host: &'a CpuSide,
    /// GPU memory kept for LoRA adapters.
    pub(super) adapter_reserved_bytes: i64,
}

/// What an instance runs and how long that takes.
#[derive(Debug)]
pub(super) struct Served {
    /// In lower case.
    pub(super) model: String,
    /// Name of the step-time model.
    pub(super) latency_model: &'static str,
    pub(super) latency: Arc<dyn LatencyModel>,
    /// KV blocks of a scheduler.
    pub(super) kv_blocks: u32,
    /// Data-parallel ranks with schedulers of their own.
    pub(super) ranks: Option<RankConfig>,
    /// The blocks as `--total-kv-blocks` counts them.
    pub(super) kv_blocks_as_given: u32,
    pub(super) max_model_len: u64,
    /// GPU type and GPUs, where they are known.
    pub(super) gpu: Option<String>,
    pub(super) tp: Option<u32>,
    /// GPUs of an instance: those of a stage, for every stage and every data-parallel rank.
    pub(super) gpus: u32,
    /// KV cache of one token on one GPU (of the stage with the most layers), where the model's configuration is known.
    pub(super) kv_bytes_per_token: Option<f64>,
    /// The CPU side before its batches, where it is modelled.
    pub(super) host: Option<HostConfig>,
    /// Whether its step times know what LoRA adapters cost.
    pub(super) knows_adapter_overhead: bool,
    /// The same in a few words, where the model's configuration is known.
    pub(super) deployed: Option<Deployed>,
}

/// What the options say, once they are in range.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) model: String,
    pub(super) backend: Backend,
    pub(super) coefficients: Option<Coefficients>,
    pub(super) pp: u32,
    pub(super) dp: u32,
    pub(super) expert_parallel: bool,
    pub(super) moe_comm: Option<MoeComm>,
    /// Kernels for experts, where they are named.
    pub(super) moe_backend: Option<MoeBackend>,
    pub(super) block_tokens: u32,
    pub(super) gpu_memory_utilization: f64,
    pub(super) kv_format: KvFormat,
    gpu: Option<String>,
    tp: Option<u32>,
    total_kv_blocks: Option<u32>,
    max_model_len: u64,
}

impl Wanted {
    /// Ranks with schedulers of their own. A scheduler with several stages has all ranks, as every one of the reference has.
    fn ranks(&self, context: &Context<'_>) -> Option<RankConfig> {
        let are_apart = self.dp > 1 && self.pp == 1 && context.semantics != Semantics::REFERENCE;
        are_apart.then_some(RankConfig { count: self.dp, balancing: context.host.balancing })
    }

    /// Ranks whose blocks a scheduler has.
    pub(super) fn ranks_of_a_scheduler(&self, context: &Context<'_>) -> u32 {
        if self.ranks(context).is_some() { 1 } else { self.dp }
    }

    /// How many times `--total-kv-blocks` a scheduler has: the option says what a rank has, but the reference takes it for
    /// all of them.
    fn times_given(&self, context: &Context<'_>) -> u32 {
        if context.semantics == Semantics::REFERENCE { 1 } else { self.ranks_of_a_scheduler(context) }
    }

    fn blocks_of_a_scheduler(&self, context: &Context<'_>, given: u32) -> u32 {
        given.saturating_mul(self.times_given(context)).min(MAX_KV_BLOCKS)
    }
}

/// A model on its GPUs.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) gpu: GpuSpec,
    pub(super) tp: u32,
    pub(super) config: ModelConfig,
}

/// Checks everything and builds the step-time model; `None` when something is wrong.
pub(super) fn served(check: &mut Check, context: &Context<'_>) -> Option<Served> {
    let wanted = wanted(check, context)?;
    let (gpu_name, tp, server_version) = deployment(check, context, &wanted);
    let gpu = gpu_name.as_deref().and_then(|name| gpu(check, context, &wanted, name));
    let config = config(check, context, &wanted);
    if wanted.backend == Backend::Blackbox {
        let host = gpu.zip(config).zip(tp).map(|((gpu, config), tp)| Host { gpu, tp, config });
        return blackbox(
            check,
            context,
            wanted,
            &Key { gpu: gpu_name?, tp: tp?, server_version },
            host.as_ref(),
        );
    }
    let host = Host { gpu: gpu?, tp: tp?, config: config? };
    let (latency_model, latency) = match context.rates_of {
        None => backend::latency(check, context, &wanted, &host)?,
        Some(name) => {
            let gpu = self::gpu(check, context, &wanted, name)?;
            let config = host.config.clone();
            backend::latency(check, context, &wanted, &Host { gpu, tp: host.tp, config })?
        }
    };
    let blocks = match wanted.total_kv_blocks {
        Some(blocks) => {
            if context.adapter_reserved_bytes > 0 {
                check.warn("--total-kv-blocks is as given: the memory of LoRA adapters is not taken off");
            }
            wanted.blocks_of_a_scheduler(context, blocks)
        }
        None => kv_blocks::computed(check, context, &wanted, &host)?,
    };
    let derived = host.config.positions.max_model_len();
    Some(finish(check, context, wanted, (latency_model, latency), (blocks, derived), Some(&host)))
}

fn wanted(check: &mut Check, context: &Context<'_>) -> Option<Wanted> {
    let options = context.options;
    let model = options.model.as_deref().unwrap_or_default().trim().to_lowercase();
    if model.is_empty() {
        check.problem(
            Diagnostic::new("--model is missing")
                .with_help("name the LLM to serve; blis models lists the known ones"),
        );
    } else {
        check.note("model", &model, Source::Given);
    }
    let coefficients = backend::coefficients(check, options);
    let backend = backend::backend(check, options, context.semantics, coefficients.as_ref());
    let tp = options.tp.filter(|tp| *tp != 0);
    let tp = tp.map(|tp| check.integer("tp", Some(tp), 1, 1..=MAX_PARALLELISM) as u32);
    let pp = check.integer("pp", options.pp, 1, 1..=MAX_PARALLELISM) as u32;
    if pp > 1 && context.semantics == Semantics::REFERENCE {
        check.problem(Diagnostic::new(
            "--pp does not go with --compat inference-sim, which knows no pipeline stages",
        ));
    }
    let dp = check.integer("dp", options.dp, 1, 1..=MAX_PARALLELISM) as u32;
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
    let kv_format = kv_format(check, context);
    let moe_backend = moe_backend(check, options);
    let max_model_len = check.integer("max-model-len", options.max_model_len, 0, 0..=i64::MAX) as u64;
    let backend = backend?;
    let knows_layers =
        matches!(backend, Backend::Auto | Backend::Profiled | Backend::TrainedPhysics | Backend::Roofline);
    if pp > 1 && !knows_layers {
        check.problem(Diagnostic::new(format!(
            "--pp needs --latency-model profiled, trained-physics or roofline; {} does not know what a layer takes",
            backend.name()
        )));
    }
    if !matches!(backend, Backend::Auto | Backend::Profiled | Backend::TrainedPhysics) {
        let name = backend.name();
        let mut refuse = |flag: &str, given: bool| {
            if given {
                check.problem(Diagnostic::new(format!(
                    "{flag} needs --latency-model profiled or trained-physics; {name} does not know data or expert parallelism"
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
        pp,
        dp,
        expert_parallel,
        moe_comm,
        moe_backend,
        block_tokens: context.block_tokens,
        gpu_memory_utilization,
        kv_format,
        total_kv_blocks,
        max_model_len,
    })
}

/// Which kernels run experts; none where nobody says.
fn moe_backend(check: &mut Check, options: &RunOptions) -> Option<MoeBackend> {
    let name = options.moe_backend.as_deref().filter(|name| !name.is_empty())?;
    let backend = MoeBackend::named(name);
    if backend.is_none() {
        let names = MoeBackend::ALL.map(MoeBackend::name);
        check.problem(Diagnostic::new(format!("--moe-backend is \"{name}\", must be {}", names.join(", "))));
    }
    backend.filter(|backend| *backend != MoeBackend::Auto)
}

/// How the KV cache holds its elements.
fn kv_format(check: &mut Check, context: &Context<'_>) -> KvFormat {
    let Some(name) = context.options.kv_cache_dtype.as_deref().filter(|name| !name.is_empty()) else {
        return KvFormat::default();
    };
    let format = KvFormat::named(name);
    if format.is_none() {
        check.problem(Diagnostic::new(format!(
            "--kv-cache-dtype is \"{name}\", must be auto, bf16 (bfloat16) or fp8 (fp8_e4m3, fp8_e5m2)"
        )));
    }
    let format = format.unwrap_or_default();
    if format != KvFormat::default() && context.semantics == Semantics::REFERENCE {
        check.problem(Diagnostic::new(format!(
            "--kv-cache-dtype {name} does not go with --compat inference-sim, whose KV cache has the model's type"
        )));
    }
    check.note("kv-cache-dtype", name, Source::Given);
    format
}

/// The GPU's figures; `None` when they are not known.
fn gpu(check: &mut Check, context: &Context<'_>, wanted: &Wanted, name: &str) -> Option<GpuSpec> {
    match context.catalogue.gpu(name) {
        Ok(gpu) => Some(gpu),
        // The blackbox model takes the name as a key of its coefficients only.
        Err(_) if wanted.backend == Backend::Blackbox => None,
        Err(problem) => {
            check.problem(Diagnostic { message: format!("--hardware: {}", problem.message), ..problem });
            None
        }
    }
}

/// The model's shape; `None` when it is not to be had.
fn config(check: &mut Check, context: &Context<'_>, wanted: &Wanted) -> Option<ModelConfig> {
    let search = Search {
        model: &wanted.model,
        folder: context.options.model_config_folder.as_deref(),
        defaults_folder: context.defaults_folder,
        cache: context.surroundings.cache,
        // A download is not worth the wait when the run cannot start anyway.
        hub: context.surroundings.hub.filter(|_| check.problems.is_empty()),
    };
    match find_model(context.catalogue, &search) {
        Ok(found) => {
            check.note("model-config", origin(&found.origin), Source::Catalogue);
            let mut config = found.config;
            if wanted.kv_format == KvFormat::Fp8 {
                config.architecture.kv_bytes_per_element = wanted.kv_format.bytes();
            }
            Some(config)
        }
        Err(_) if wanted.backend == Backend::Blackbox => None,
        Err(problems) => {
            let is_searched = search.hub.is_some() || context.surroundings.hub.is_none();
            if is_searched || search.folder.is_some() {
                check
                    .problems
                    .extend(problems.into_iter().map(|problem| with_near(problem, context, wanted)));
            }
            None
        }
    }
}

/// GPU, tensor parallelism and, for the blackbox model, the server version: as given, else as the catalogue has them.
fn deployment(
    check: &mut Check,
    context: &Context<'_>,
    wanted: &Wanted,
) -> (Option<String>, Option<u32>, String) {
    let Context { options, catalogue, .. } = context;
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
        let problem = problem.with_help(format!("GPU types are {}", catalogue.gpu_names().join(", ")));
        check.problem(with_near(problem, context, wanted));
    }
    let server_version = options.vllm_version.clone().or(legacy.map(|legacy| legacy.server_version));
    (gpu, tp, server_version.unwrap_or_default())
}

fn given_or_known<T: Display>(
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

/// What the coefficients of the blackbox model go by.
struct Key {
    gpu: String,
    tp: u32,
    server_version: String,
}

/// The regression model of earlier releases: it needs coefficients but no configuration.
fn blackbox(
    check: &mut Check,
    context: &Context<'_>,
    wanted: Wanted,
    key: &Key,
    host: Option<&Host>,
) -> Option<Served> {
    let set = of_model(context.coefficients, blis_latency::Backend::Blackbox);
    let own = wanted.coefficients.clone().or_else(|| set.map(|set| set.lists(&Coefficients::default())));
    let (coefficients, known_blocks) = match own {
        Some(own) => (own, None),
        None => match context.catalogue.blackbox(&wanted.model, &key.gpu, key.tp, &key.server_version) {
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
            backend::report(check, context.options, &invalid);
            return None;
        }
    };
    let recorded =
        known_blocks.filter(|blocks| *blocks > 0).map(|blocks| blocks.min(u64::from(MAX_KV_BLOCKS)) as u32);
    let blocks = match (wanted.total_kv_blocks.or(recorded), host) {
        (Some(blocks), _) => wanted.blocks_of_a_scheduler(context, blocks),
        (None, Some(host)) => kv_blocks::computed(check, context, &wanted, host)?,
        (None, None) => {
            check.warn(format!("{FALLBACK_KV_BLOCKS} KV blocks assumed; give --total-kv-blocks"));
            FALLBACK_KV_BLOCKS
        }
    };
    Some(finish(check, context, wanted, (Blackbox::NAME, latency), (blocks, 0), host))
}

fn finish(
    check: &mut Check,
    context: &Context<'_>,
    wanted: Wanted,
    (latency_model, latency): (&'static str, Arc<dyn LatencyModel>),
    (kv_blocks, derived_len): (u32, u64),
    host: Option<&Host>,
) -> Served {
    let cpu = context.host;
    let has_cpu = cpu.is_asked_for || (!latency.covers_host() && context.semantics != Semantics::REFERENCE);
    if has_cpu {
        check.settings.extend(cpu.unasked.settings.clone());
    }
    let layers = host.map_or(0, |host| host.config.architecture.layers);
    let latency: Arc<dyn LatencyModel> =
        if has_cpu { Arc::new(Hosted::new(latency, cpu.times.clone(), layers)) } else { latency };
    let knows_adapter_overhead = matches!(
        wanted.backend,
        Backend::Auto | Backend::Profiled | Backend::TrainedPhysics | Backend::Roofline
    );
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
    let bytes = |host: &Host| {
        let architecture = &host.config.architecture;
        let all = kv_bytes_per_token(architecture, host.tp).ok()?;
        let stages = stage_layers(architecture.layers, wanted.pp).into_iter();
        let most_layers = stages.map(|layers| layers.len()).max()?;
        let is_whole = most_layers == architecture.layers as usize;
        let share = if is_whole { 1.0 } else { most_layers as f64 / f64::from(architecture.layers) };
        Some(all * share)
    };
    let deployed = host.map(|host| Deployed::new(context, &wanted, host, latency_model, has_cpu));
    Served {
        deployed,
        gpus: host.map_or(1, |host| host.tp).saturating_mul(wanted.pp).saturating_mul(wanted.dp),
        ranks: wanted.ranks(context),
        kv_blocks_as_given: kv_blocks / wanted.times_given(context),
        model: wanted.model,
        latency_model,
        latency,
        kv_blocks,
        max_model_len,
        gpu: host.map(|host| host.gpu.name.clone()),
        tp: host.map(|host| host.tp),
        kv_bytes_per_token: host.and_then(bytes),
        host: has_cpu.then_some(cpu.config),
        knows_adapter_overhead,
    }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::File(path) => path.display().to_string(),
        Origin::Embedded => "built in".to_owned(),
        Origin::Hub(repository) => format!("model hub, {repository}"),
    }
}

/// The same problem with the known model that may have been meant, unless it is one of a file that was found.
fn with_near(problem: Diagnostic, context: &Context<'_>, wanted: &Wanted) -> Diagnostic {
    let names = context.catalogue.model_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match nearest(&wanted.model, &names) {
        Some(near) if near != wanted.model && problem.file.is_none() => {
            let help = problem.help.as_deref().unwrap_or_default();
            let help = format!("did you mean \"{near}\"? Otherwise {help}");
            problem.with_help(help)
        }
        _ => problem,
    }
}
