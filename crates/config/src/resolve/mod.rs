//! From what a user asked for to a plan in which nothing is optional.
//!
//! Everything is checked before anything is given up, so that all problems are told at once. Precedence of values: as
//! given, else from files, else from the catalogue, else the default named beside the option.

mod analysis;
mod backend;
pub(crate) mod check;
mod cluster;
mod coefficients;
mod composed;
mod decisions;
mod deployed;
mod elastic;
mod engine;
mod faults;
pub mod files;
mod gpus;
mod host;
mod kv_blocks;
mod lora;
mod model;
mod models;
pub mod observation;
mod offload;
mod policies;
mod pools;
mod saturation;
mod session_replay;
pub(crate) mod trace;
mod workload;

pub use check::{Setting, Source};
pub use deployed::Deployed;
pub use gpus::Gpus;

use crate::catalogue::search::ModelHub;
use crate::catalogue::{Catalogue, Preset, kernels};
use crate::coefficients::CoefficientSet;
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::options::{Horizon, RunOptions, Traffic};
use crate::workload_file::AdapterReference;
use crate::{edit, epp, policy_file};
use blis_cluster::{Detail, Plan, Workload};
use blis_engine::InstanceConfig;
use blis_kernel::{Semantics, Tick};
use blis_metrics::{FitnessWeights, SloTargets};
use blis_policy::Registry;
use blis_workload::trace::{RowNumbers, TRACE_VERSIONS, TimeUnit, TraceHeader, TraceMode};
use blis_workload::{NormalLengths, Trace};
use check::Check;
use model::Context;
use models::Beside;
use policies::Policies;
use std::borrow::Cow;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub(crate) use workload::Lengths;

const DEFAULT_SEED: i64 = 42;
/// Age that the router's figures may have unless the user says otherwise, µs.
const DEFAULT_SIGNAL_AGE_US: i64 = 50_000;
/// The name of the reference's reading.
const COMPAT: &str = "inference-sim";
/// Most instances of a cluster.
const MAX_INSTANCES: i64 = 1_000_000;
/// Name of the defaults file that is looked for in the working directory.
const DEFAULTS_FILE: &str = "defaults.yaml";
/// Name of the table of GPUs that is looked for beside the defaults file.
const HARDWARE_FILE: &str = "hardware_config.json";

/// What lies around the program. `Default` is a program that touches no network.
#[derive(Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// Where configurations of published models come from.
    pub hub: Option<&'a dyn ModelHub>,
    /// Where earlier downloads lie.
    pub cache: Option<&'a Path>,
    /// Policies; the built-in ones when absent.
    pub policies: Option<&'a Registry>,
}

/// A plan, and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The run.
    pub plan: Plan,
    /// The step-time model, where outcomes tell it: the reference's do not.
    pub latency_model: Option<&'static str>,
    /// By what the outcome is to be rated; empty when it is not.
    pub fitness: FitnessWeights,
    /// GPUs of all instances that there are at first, by type.
    pub gpus: Vec<Gpus>,
    /// What serves, where the model's configuration is known; the first of several models.
    pub deployed: Option<Deployed>,
    /// The coefficients that were given as a set.
    pub coefficients: Option<Arc<CoefficientSet>>,
    /// How many requests there will be, where that is known before the run.
    pub requests: Option<u64>,
    /// What a trace of the run says about it as a whole.
    pub trace_header: TraceHeader,
    /// How the rows of such a trace are numbered.
    pub row_numbers: RowNumbers,
    /// What the user should know.
    pub warnings: Vec<Diagnostic>,
    /// What may interest the user: values taken from the catalogue.
    pub notices: Vec<Diagnostic>,
    /// Every setting with its value and where that comes from, sorted by name.
    pub settings: Vec<Setting>,
}

/// Checks the options, reads the files they name and builds the plan.
///
/// # Errors
/// Everything that is wrong with the options and the files.
pub fn resolve(options: &RunOptions, surroundings: &Surroundings<'_>) -> Result<Resolved, Vec<Diagnostic>> {
    resolve_all(options, surroundings).map_err(|problems| edit::without_lines(options, problems))
}

fn resolve_all(options: &RunOptions, surroundings: &Surroundings<'_>) -> Result<Resolved, Vec<Diagnostic>> {
    let mut check = Check { texts: options.texts.clone(), ..Check::default() };
    let registry = surroundings.policies.map_or_else(|| Cow::Owned(Registry::built_in()), Cow::Borrowed);
    let options = &with_policy_file(&mut check, options, &registry);
    let semantics = semantics(&mut check, options);
    let seed = options.seed.unwrap_or(DEFAULT_SEED);
    check.note("seed", seed, Source::of(options.seed.is_some()));
    let instances = check.integer("num-instances", options.num_instances, 1, 1..=MAX_INSTANCES) as u32;
    let (mut catalogue, defaults_folder) = catalogue(&mut check, options.defaults_filepath.as_deref());
    let beside = defaults_folder.join(HARDWARE_FILE);
    hardware(&mut check, options.hardware_config.as_deref(), &beside, &mut catalogue);
    if let Some(folder) = &options.perf_db {
        kernel_tables(&mut check, folder, &mut catalogue);
    }
    let mut options = options.clone();
    let coefficients = coefficients::given(&mut check, &mut options, semantics);
    let set = coefficients.as_ref().map(|given| given.set.as_ref());
    let (engine, of_engine) = engine::lay_under(&mut check, &mut options, &catalogue).unzip();
    let options = &options;

    let mut policies = Policies::new(&mut check, options, &registry);
    let admission = policies.admission();
    let routing = policies.routing();
    let flow_control = policies.flow_control(semantics);
    let pools = pools::wanted(&mut policies, instances);
    let autoscaler = elastic::autoscaler(&mut policies, semantics);
    let priorities = policies.priorities();
    let scheduler = policies.policy(&registry.schedulers, options.scheduler.as_deref()).entry.make;
    let preemption = policies.policy(&registry.preemption, options.preemption_policy.as_deref()).entry.make;
    policies.warn_of_unused_params();
    let admission_latency = cluster::span(&mut check, "admission-latency", options.admission_latency_us, 0);
    let routing_latency = cluster::span(&mut check, "routing-latency", options.routing_latency_us, 0);
    let snapshot_refresh_interval = cluster::span(
        &mut check,
        "snapshot-refresh-interval",
        options.snapshot_refresh_interval_us,
        DEFAULT_SIGNAL_AGE_US,
    );
    let cache_signal_delay =
        cluster::span(&mut check, "cache-signal-delay", options.cache_signal_delay_us, DEFAULT_SIGNAL_AGE_US);

    let max_num_seqs = check.count("max-num-seqs", options.max_num_seqs, 256, 1);
    let max_num_batched_tokens =
        check.count("max-num-batched-tokens", options.max_num_batched_tokens, 2048, 1);
    let long_prefill_token_threshold =
        check.count("long-prefill-token-threshold", options.long_prefill_token_threshold, 0, 0);
    let batch_formation = engine::batch_formation(&mut check, options, semantics);
    let block_tokens = check.count("block-size-in-tokens", options.block_size_in_tokens, 16, 1);
    let cpu_tier = cluster::cpu_tier(&mut check, options);
    let offload_file = offload::from_file(&mut check, options, &catalogue, block_tokens);

    let host =
        host::host(&mut check, options, set, engine, semantics, (max_num_seqs, max_num_batched_tokens));

    let trace = decisions::trace(&mut check, options);
    let fitness = analysis::fitness(&mut check, options);
    let saturation = saturation::settings(&mut check, options);

    let lora = lora::lora(&mut check, options, &catalogue);
    let scorers = iter::once(&routing).chain(pools.routing()).map(|routing| &routing.scorers);
    lora::warn_of_idle_scorer(&mut check, scorers, &lora);

    let traffic = traffic(&mut check, options, &catalogue, seed, semantics);
    let horizon = traffic.horizon;
    let slo_targets = analysis::slo_targets(&mut check, options, traffic.slo_targets);
    let context = Context {
        options,
        catalogue: &catalogue,
        defaults_folder: &defaults_folder,
        surroundings,
        semantics,
        block_tokens,
        rates_of: None,
        overheads: None,
        coefficients: set,
        host: &host,
        adapter_reserved_bytes: lora.reserved_bytes,
    };
    let served = model::served(&mut check, &context);
    let served_model = served.as_ref().map(|served| served.model.as_str());
    let is_replay = matches!(options.traffic, Traffic::Trace(_));
    lora.check_references(&mut check, served_model, &traffic.adapters, is_replay);
    let adapters = served.as_ref().and_then(|served| lora.config(&mut check, served.knows_adapter_overhead));
    let mut recorded_offload =
        offload::chosen(&mut check, options, offload_file, &traffic.trace_header, block_tokens);
    let offload = recorded_offload.as_mut().zip(served.as_ref()).and_then(|(recorded, served)| {
        offload::config(&mut check, recorded, served.kv_bytes_per_token, seed)
    });
    let pools = served.as_ref().and_then(|served| pools.machines(&mut check, &context, served, &lora));
    let machines = served.as_ref().and_then(|served| {
        elastic::machines(&mut check, &context, served, autoscaler.is_some(), pools.is_some())
    });
    let faults = faults::faults(&mut check, options, instances, machines.is_some());
    let further_models = served.as_ref().and_then(|served| {
        let beside = Beside {
            pools: pools.is_some(),
            comes_and_goes: machines.is_some(),
            gateway_queue: options.gateway.enabled == Some(true),
            adapters: adapters.is_some(),
            offload: offload.is_some(),
            faults: faults.is_some(),
        };
        models::further_models(&mut check, &context, served, &beside)
    });

    let (Some(workload), Some(served), Some(further_models), true) =
        (traffic.workload, served, further_models, check.problems.is_empty())
    else {
        return Err(check.problems);
    };
    let trace_header = TraceHeader {
        goodput_slo_targets: trace::header_targets(&slo_targets),
        kv_offload: recorded_offload,
        ..traffic.trace_header
    };
    let instance = InstanceConfig {
        kv_blocks: served.kv_blocks,
        block_tokens,
        max_num_seqs,
        max_num_batched_tokens,
        long_prefill_token_threshold,
        max_model_len: served.max_model_len,
        batch_formation,
        scheduler,
        preemption,
        cpu_tier,
        offload,
        adapters,
        host: served.host,
        ranks: served.ranks,
        horizon,
        semantics,
    };
    let gpus = gpus::at_first(instances, &served, pools.as_ref(), &further_models);
    let further_models = models::plans(further_models, &instance);
    let latency_model = (semantics != Semantics::REFERENCE).then_some(served.latency_model);
    let plan = Plan {
        semantics,
        seed,
        horizon,
        instances,
        disaggregation: pools.map(|pools| pools.plan(&instance)),
        elastic: machines.map(|machines| machines.plan(&options.elastic, &instance, autoscaler)),
        warm_up: options.elastic.warm_up,
        starts_warm: options.elastic.warm_start.unwrap_or(false),
        faults,
        instance,
        latency: served.latency,
        admission,
        admission_latency,
        flow_control,
        routing,
        routing_latency,
        snapshot_refresh_interval,
        cache_signal_delay,
        priorities,
        model: served.model,
        further_models,
        workload,
        trace,
        slo_targets,
        saturation,
        detail: if options.per_request { Detail::PerRequest } else { Detail::Aggregate },
    };
    engine::note(&mut check, &of_engine.unwrap_or_default());
    coefficients::note(&mut check, coefficients.as_ref());
    let settings = check.settings.into_values().collect();
    Ok(Resolved {
        plan,
        latency_model,
        fitness,
        gpus,
        deployed: served.deployed,
        coefficients: coefficients.map(|given| given.set),
        requests: traffic.requests,
        trace_header,
        row_numbers: traffic.row_numbers,
        warnings: check.warnings,
        notices: check.notices,
        settings,
    })
}

/// The options with the policy file's under them.
fn with_policy_file(check: &mut Check, options: &RunOptions, registry: &Registry) -> RunOptions {
    let mut options = options.clone();
    if let Some(path) = options.epp_config.clone() {
        with_epp_file(check, &mut options, &path, registry);
    }
    let Some(path) = options.policy_config.clone() else { return options };
    if let Some(text) = read(check, "--policy-config", &path, true) {
        check.note("policy-config", path.display(), Source::Given);
        match policy_file::lay_under(&mut options, &text, &path.display().to_string(), registry) {
            Ok(warnings) => check.warnings.extend(warnings),
            Err(problems) => check.problems.extend(problems),
        }
    }
    options
}

fn with_epp_file(check: &mut Check, options: &mut RunOptions, path: &Path, registry: &Registry) {
    if options.policy_config.is_some() {
        check.problem(Diagnostic::new("--epp-config and --policy-config both say what the policies are"));
    }
    let Some(text) = read(check, "--epp-config", path, true) else { return };
    check.note("epp-config", path.display(), Source::Given);
    match epp::lay_under(options, &text, &path.display().to_string(), registry) {
        Ok(mapped) => {
            check.notices.extend(mapped.notices);
            check.warnings.extend(mapped.warnings);
        }
        Err(problems) => check.problems.extend(problems),
    }
}

fn semantics(check: &mut Check, options: &RunOptions) -> Semantics {
    match options.compat.as_deref() {
        None => Semantics::CORRECTED,
        Some(name) => {
            check.note("compat", name, Source::Given);
            if name != COMPAT {
                check.problem(unknown_name("value of --compat", name, [COMPAT]));
            }
            Semantics::REFERENCE
        }
    }
}

/// The built-in knowledge with the user's defaults file over it, and the folder in which that lies or would lie.
pub(crate) fn catalogue(check: &mut Check, given: Option<&Path>) -> (Catalogue, PathBuf) {
    let path = given.unwrap_or(Path::new(DEFAULTS_FILE));
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut catalogue = Catalogue::embedded();
    if let Some(text) = read(check, "--defaults-filepath", path, given.is_some()) {
        check.note("defaults-filepath", path.display(), Source::of(given.is_some()));
        match Catalogue::embedded().with_defaults_file(&text, &path.display().to_string()) {
            Ok(laid_over) => catalogue = laid_over,
            Err(problems) => check.problems.extend(problems),
        }
    }
    (catalogue, folder)
}

/// Lays the user's table of GPUs over what is known. `beside`: where one may lie that nobody names.
fn hardware(check: &mut Check, given: Option<&Path>, beside: &Path, catalogue: &mut Catalogue) {
    let path = given.unwrap_or(beside);
    if let Some(text) = read(check, "--hardware-config", path, given.is_some()) {
        check.note("hardware-config", path.display(), Source::of(given.is_some()));
        match catalogue.clone().with_hardware_file(&text, &path.display().to_string()) {
            Ok(laid_over) => *catalogue = laid_over,
            Err(problems) => check.problems.extend(problems),
        }
    }
}

/// Takes the tables of measured operators in a folder in place of the built-in ones.
fn kernel_tables(check: &mut Check, folder: &Path, catalogue: &mut Catalogue) {
    let mut names = Vec::new();
    for gpu in catalogue.gpu_names() {
        let path = folder.join(kernels::file_name(&gpu));
        let shown = path.display().to_string();
        match fs::read(&path).map(|bytes| kernels::unpacked(&bytes, &shown)) {
            Ok(Ok(tables)) => {
                *catalogue = std::mem::take(catalogue).with_kernel_tables(&gpu, tables);
                names.push(gpu);
            }
            Ok(Err(problem)) => check.problem(problem),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => check.problem(Diagnostic::new(format!("--perf-db: cannot read {shown}: {error}"))),
        }
    }
    if names.is_empty() && check.problems.is_empty() {
        check.problem(
            Diagnostic::new(format!(
                "--perf-db {}: no tables of a known GPU (h100.kern, …)",
                folder.display()
            ))
            .with_help("scripts/kernel_tables.py writes them from an installed aiconfigurator-core"),
        );
    }
    check.note("perf-db", format!("{}: {}", folder.display(), names.join(", ")), Source::Given);
}

/// A file's text. One that the user names has to be there.
fn read(check: &mut Check, flag: &str, path: &Path, is_required: bool) -> Option<String> {
    if let Some(text) = check.texts.get(path) {
        return Some(text.clone());
    }
    match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_required => None,
        Err(error) => {
            check.problem(Diagnostic::new(format!("{flag}: cannot read {}: {error}", path.display())));
            None
        }
    }
}

/// What arrives.
struct ResolvedTraffic {
    /// `None` when something is wrong with it.
    workload: Option<Workload>,
    /// How many requests, where that is known.
    requests: Option<u64>,
    /// End of simulated time.
    horizon: Tick,
    trace_header: TraceHeader,
    row_numbers: RowNumbers,
    /// LoRA adapters that requests name, and where.
    adapters: Vec<AdapterReference>,
    /// What the file that describes it says about goodput.
    slo_targets: SloTargets,
}

impl ResolvedTraffic {
    fn synthesised(workload: Option<blis_workload::Workload>, requests: Option<u64>, horizon: Tick) -> Self {
        Self {
            requests,
            horizon,
            trace_header: TraceHeader {
                workload_seed: workload.as_ref().map(|workload| workload.seed),
                ..new_header(TraceMode::Generated)
            },
            row_numbers: RowNumbers::Counted,
            adapters: Vec::new(),
            slo_targets: SloTargets::new(),
            workload: workload.map(|workload| Workload::new(move || workload.stream())),
        }
    }

    fn replayed(workload: Option<Workload>, trace: Option<&Trace>, horizon: Tick) -> Self {
        let highest = trace.and_then(|trace| trace.rows().iter().map(|row| row.request_id).max());
        Self {
            workload,
            requests: trace.map(|trace| trace.rows().len() as u64),
            horizon,
            trace_header: trace.map_or_else(TraceHeader::default, |trace| TraceHeader {
                trace_version: TRACE_VERSION,
                time_unit: TimeUnit::Microseconds,
                created_at: None,
                mode: TraceMode::Replayed,
                ..trace.header.clone()
            }),
            adapters: trace.map(trace::adapters).unwrap_or_default(),
            slo_targets: trace.map(|trace| trace::slo_targets(&trace.header)).unwrap_or_default(),
            row_numbers: RowNumbers::Recorded { first_new: highest.unwrap_or(-1).saturating_add(1) },
        }
    }
}

/// The version of traces that are written.
const TRACE_VERSION: u32 = TRACE_VERSIONS[TRACE_VERSIONS.len() - 1];

/// The header of a trace that nothing is known about.
pub fn new_header(mode: TraceMode) -> TraceHeader {
    TraceHeader { trace_version: TRACE_VERSION, mode, ..TraceHeader::default() }
}

/// The requests and the end of simulated time.
fn traffic(
    check: &mut Check,
    options: &RunOptions,
    catalogue: &Catalogue,
    seed: i64,
    semantics: Semantics,
) -> ResolvedTraffic {
    match &options.traffic {
        Traffic::Synthesised(wanted) => {
            if options.horizon == Some(Horizon::TwiceLastArrival) {
                check.problem(Diagnostic::new(
                    "--horizon auto2x needs a trace: only replay knows the last arrival",
                ));
            }
            let horizon = horizon(check, options);
            if let Some(path) = &wanted.spec {
                let given = options.horizon.map(|_| horizon);
                let file = workload::from_file(check, wanted, path, options.seed, given);
                let (adapters, file) =
                    file.map(|file| (file.adapters, (file.workload, file.slo_targets))).unzip();
                let adapters = adapters.unwrap_or_default();
                let (workload, slo_targets) = file.unzip();
                // Conversations that wait for answers send more than the bound, which counts them differently.
                let counts = |workload: &&blis_workload::Workload| {
                    !workload.clients.iter().any(|c| c.conversation.is_some_and(|c| c.closed_loop))
                };
                let requests = workload.as_ref().filter(counts).and_then(|workload| workload.max_requests);
                let horizon = workload.as_ref().map_or(horizon, |workload| workload.horizon);
                let slo_targets = slo_targets.unwrap_or_default();
                let traffic = ResolvedTraffic::synthesised(workload, requests, horizon);
                return ResolvedTraffic { adapters, slo_targets, ..traffic };
            }
            let preset = |name: &str| catalogue.preset(name).map(|preset| lengths(&preset));
            let workload = workload::synthesised(check, wanted, preset, seed, horizon).workload();
            let requests = workload.max_requests;
            ResolvedTraffic::synthesised(Some(workload), requests, horizon)
        }
        Traffic::Trace(wanted) => {
            let trace = trace::read(check, wanted).map(Arc::new);
            let horizon = match (options.horizon, &trace) {
                (Some(Horizon::TwiceLastArrival), Some(trace)) => {
                    let horizon = trace.auto_horizon();
                    check.note("horizon", horizon.as_us(), Source::Computed);
                    horizon
                }
                _ => horizon(check, options),
            };
            let workload = session_replay::replay(check, wanted, trace.as_ref(), seed, horizon, semantics);
            ResolvedTraffic::replayed(workload, trace.as_deref(), horizon)
        }
    }
}

fn horizon(check: &mut Check, options: &RunOptions) -> Tick {
    if let Some(Horizon::Us(us)) = options.horizon {
        return Tick::from_us(check.integer("horizon", Some(us), i64::MAX, 1..=i64::MAX));
    }
    check.note("horizon", "unlimited", Source::Default);
    Tick::MAX
}

/// The lengths of a preset.
pub(crate) fn lengths(preset: &Preset) -> Lengths {
    let signed = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let normal = |mean: u64, std_dev: u64, min: u64, max: u64| NormalLengths {
        mean: signed(mean),
        std_dev: signed(std_dev),
        min: signed(min),
        max: signed(max),
    };
    Lengths {
        prefix_tokens: signed(preset.prefix_tokens),
        prompt: normal(
            preset.prompt_tokens,
            preset.prompt_tokens_stdev,
            preset.prompt_tokens_min,
            preset.prompt_tokens_max,
        ),
        output: normal(
            preset.output_tokens,
            preset.output_tokens_stdev,
            preset.output_tokens_min,
            preset.output_tokens_max,
        ),
    }
}
