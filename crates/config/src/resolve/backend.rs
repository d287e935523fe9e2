//! The step-time model: which one, with which coefficients.

use super::check::{Check, Source};
use super::coefficients::{disagree, of_model};
use super::composed::Composed;
use super::model::{Context, Host, Wanted};
use crate::catalogue::kernels;
use crate::coefficients::CoefficientSet;
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::options::RunOptions;
use blis_kernel::Semantics;
use blis_latency::profiled::{Composition, KernelTables, KvFormat, Tuning, WeightFormat};
use blis_latency::{
    Blackbox, CoefficientList, Coefficients, CrossModel, Deployment, Fp8Rule, InvalidModel, LatencyModel,
    MoeBackend, Physics, Pipeline, Problem, Profiled, Roofline, StageShare, TrainedPhysics, TrainedRoofline,
};
use std::sync::Arc;

/// The name of the choice between the models, which coefficients of one of them may meet.
pub(super) const AUTO: &str = "auto";
/// Ratio of roofline times up to which an operator is carried from a measured one without a warning.
const FAR_CARRIED: f64 = 4.0;

/// A step-time model by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    Blackbox,
    CrossModel,
    /// Profiled where operators were measured, else trained-physics.
    Auto,
    Profiled,
    Roofline,
    TrainedPhysics,
    TrainedRoofline,
}

impl Backend {
    /// All of them, with whether they are of earlier releases only.
    const ALL: [(&str, Self, bool); 7] = [
        (AUTO, Self::Auto, false),
        (Blackbox::NAME, Self::Blackbox, true),
        (CrossModel::NAME, Self::CrossModel, true),
        (Profiled::NAME, Self::Profiled, false),
        (Roofline::NAME, Self::Roofline, false),
        (TrainedPhysics::NAME, Self::TrainedPhysics, false),
        (TrainedRoofline::NAME, Self::TrainedRoofline, true),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, backend, _)| *backend == self).map_or("", |(name, ..)| name)
    }

    /// The model itself; `None` for the choice between them.
    fn known(self) -> Option<blis_latency::Backend> {
        blis_latency::Backend::ALL.into_iter().find(|known| known.name() == self.name())
    }
}

/// The coefficients that the user gives; both lists or none.
pub(super) fn coefficients(check: &mut Check, options: &RunOptions) -> Option<Coefficients> {
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

/// The step-time model: by name, else by the number of coefficients, else the default of the release that is followed.
pub(super) fn backend(
    check: &mut Check,
    options: &RunOptions,
    semantics: Semantics,
    coefficients: Option<&Coefficients>,
) -> Option<Backend> {
    let name = options.latency_model.as_deref().filter(|name| !name.is_empty());
    let backend = match (name, coefficients) {
        (Some(name), _) => named(check, name)?,
        (None, Some(given)) => fitting(check, given.beta.len())?,
        (None, None) if semantics == Semantics::REFERENCE => Backend::TrainedPhysics,
        (None, None) => Backend::Auto,
    };
    let takes_none = matches!(backend, Backend::Auto | Backend::Profiled | Backend::Roofline);
    if takes_none && (options.alpha_coeffs.is_some() || options.beta_coeffs.is_some()) {
        check.problem(
            Diagnostic::new(format!(
                "--latency-model {} takes no --alpha-coeffs and --beta-coeffs",
                backend.name()
            ))
            .with_help("leave the coefficients out, or use trained-physics"),
        );
    }
    check.note("latency-model", backend.name(), Source::of(name.is_some()));
    Some(backend)
}

fn named(check: &mut Check, name: &str) -> Option<Backend> {
    let Some((_, backend, is_legacy)) = Backend::ALL.into_iter().find(|(known, ..)| *known == name) else {
        let problem = unknown_name("latency model", name, Backend::ALL.into_iter().map(|(name, ..)| name));
        check.problem(Diagnostic { message: format!("--latency-model: {}", problem.message), ..problem });
        return None;
    };
    if is_legacy {
        check.warn(format!(
            "--latency-model {name} is deprecated: use trained-physics or roofline, which know more"
        ));
    }
    Some(backend)
}

/// The model that takes so many betas: those of earlier releases had three.
fn fitting(check: &mut Check, betas: usize) -> Option<Backend> {
    match betas {
        7.. => Some(Backend::TrainedPhysics),
        3 => {
            check.warn(
                "--beta-coeffs with three values is deprecated: they are those of --latency-model blackbox",
            );
            Some(Backend::Blackbox)
        }
        _ => {
            let allowed =
                "7 or more (trained-physics) or 3 (blackbox), or --latency-model must name the model";
            check.out_of_range("beta-coeffs", format!("a list of {betas} values"), allowed);
            None
        }
    }
}

/// Builds the model of step times, with its name; `None` when something is wrong.
pub(super) fn latency(
    check: &mut Check,
    context: &Context<'_>,
    wanted: &Wanted,
    host: &Host,
) -> Option<(&'static str, Arc<dyn LatencyModel>)> {
    let Context { options, catalogue, semantics, .. } = *context;
    let Host { gpu, tp, config } = host;
    let (architecture, tp) = (&config.architecture, *tp);
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
    let backend = match wanted.backend {
        Backend::Auto if context.catalogue.kernel_tables(&gpu.name).is_some() => Backend::Profiled,
        Backend::Auto => Backend::TrainedPhysics,
        named => named,
    };
    if options.perf_db.is_some() && backend != Backend::Profiled {
        check.warn(format!("--perf-db is unused: --latency-model is {}", backend.name()));
    }
    let lists_of_physics = lists_of_physics(context, wanted);
    let reads_shape = match backend {
        Backend::Profiled => true,
        Backend::TrainedPhysics => lists_of_physics.is_none(),
        _ => false,
    };
    if architecture.is_mla() && !reads_shape {
        check.warn(format!(
            "step times of {} are pessimistic: its latent KV cache is counted at full width",
            wanted.model
        ));
    }
    if wanted.kv_format != KvFormat::default() && !reads_shape {
        check.warn(format!(
            "--kv-cache-dtype counts for memory only: step times of {} know a KV cache of 16 bits",
            backend.name()
        ));
    }
    if wanted.pp > architecture.layers.max(1) {
        check.problem(Diagnostic::new(format!(
            "--pp is {}; {} has {} layers, and every stage needs one",
            wanted.pp, wanted.model, architecture.layers
        )));
        return None;
    }
    let staged = |stage: &dyn Fn(StageShare) -> Arc<dyn LatencyModel>| {
        Arc::new(Pipeline::new(architecture, gpu, tp, wanted.pp, stage)) as Arc<dyn LatencyModel>
    };
    let own = wanted.coefficients.clone();
    let deployment = Deployment {
        tp,
        dp: wanted.dp,
        expert_parallel: wanted.expert_parallel,
        moe_comm: wanted.moe_comm.unwrap_or_default(),
        moe_backend: wanted.moe_backend.unwrap_or(context.host.moe_backend),
    };
    let backend = match (backend, wanted.backend) {
        (Backend::Profiled, asked) => {
            match profiled(check, context, wanted, host, &deployment, asked == Backend::Auto) {
                Ok(Some(composed)) => {
                    meets_coefficients(check, context, wanted, Backend::Profiled);
                    let model = match wanted.pp {
                        1 => Arc::clone(&composed.model) as _,
                        _ => staged(&|share| Arc::new(composed.model.stage(share))),
                    };
                    return Some((Profiled::NAME, model));
                }
                Ok(None) => return None,
                Err(_) if asked == Backend::Auto => Backend::TrainedPhysics,
                Err(invalid) => {
                    report(check, options, &invalid);
                    return None;
                }
            }
        }
        (other, _) => other,
    };
    if let Some(moe_backend) = wanted.moe_backend {
        check.problem(Diagnostic::new(format!(
            "--moe-backend {} needs --latency-model profiled; {} does not know single kernels",
            moe_backend.name(),
            backend.name()
        )));
    }
    if wanted.backend == Backend::Auto {
        check.note("latency-model", format!("auto: {}", backend.name()), Source::Computed);
        meets_coefficients(check, context, wanted, backend);
    }
    let set = backend.known().and_then(|known| of_model(context.coefficients, known));
    let lists = |known: Coefficients| set.map(|set| set.lists(&known)).unwrap_or(known);
    let built: Result<Arc<dyn LatencyModel>, InvalidModel> = match backend {
        Backend::Roofline => {
            let none = Coefficients { alpha: vec![0.0; Coefficients::ALPHAS], beta: Vec::new() };
            let own = lists(none).alpha;
            let overheads = context.overheads.unwrap_or(&own);
            let gpu = &set.map_or_else(|| gpu.clone(), |set| set.rated(gpu));
            Roofline::new(architecture, gpu, tp, overheads, fp8_rule).map(|m| match wanted.pp {
                1 => Arc::new(m) as _,
                _ => staged(&|share| Arc::new(m.stage(share))),
            })
        }
        Backend::TrainedPhysics => {
            if let Some(known) = lists_of_physics {
                let coefficients = checked(check, own, known);
                let built = TrainedPhysics::new(architecture, gpu, &deployment, &coefficients, fp8_rule);
                built.map(|m| match wanted.pp {
                    1 => Arc::new(m) as _,
                    _ => staged(&|share| Arc::new(m.stage(share))),
                })
            } else {
                let factors = set.unwrap_or(&CoefficientSet::default()).factors();
                let built = Physics::new(&config.shape, gpu, &deployment, wanted.kv_format, &factors);
                built.map(|m| match wanted.pp {
                    1 => Arc::new(m) as _,
                    _ => staged(&|share| Arc::new(m.stage(share))),
                })
            }
        }
        Backend::CrossModel => {
            let coefficients = checked(check, own, lists(catalogue.crossmodel()));
            CrossModel::new(architecture, tp, &coefficients).map(|m| Arc::new(m) as _)
        }
        Backend::TrainedRoofline => {
            let coefficients = checked(check, own, lists(catalogue.trained_roofline()));
            TrainedRoofline::new(architecture, gpu, tp, &coefficients).map(|m| Arc::new(m) as _)
        }
        // Built without a configuration, or above.
        Backend::Blackbox | Backend::Auto | Backend::Profiled => return None,
    };
    let model = built.map_err(|invalid| report(check, options, &invalid)).ok()?;
    if backend == Backend::TrainedPhysics && semantics != Semantics::REFERENCE {
        let (value, source) = match (&wanted.coefficients, set, reads_shape) {
            (Some(_), ..) => ("lists", Source::Given),
            (None, Some(_), _) => ("factors", Source::Coefficients),
            (None, None, false) => ("lists of the defaults file", Source::Given),
            (None, None, true) => ("built-in factors", Source::Default),
        };
        check.note("step-coefficients", value, source);
    }
    Some((backend.name(), model))
}

/// Coefficients of trained-physics as lists, which are of the form that the reference fitted: the user's, and the
/// reference's own where that is followed.
fn lists_of_physics(context: &Context<'_>, wanted: &Wanted) -> Option<Coefficients> {
    let Context { catalogue, semantics, .. } = *context;
    let is_set = of_model(context.coefficients, blis_latency::Backend::TrainedPhysics).is_some();
    let known = match semantics {
        Semantics::REFERENCE => Some(catalogue.trained_physics_coefficients()),
        _ => catalogue.own_trained_physics().filter(|_| !is_set),
    };
    wanted.coefficients.clone().or(known)
}

/// What `auto` took must be what the given coefficients are of.
fn meets_coefficients(check: &mut Check, context: &Context<'_>, wanted: &Wanted, took: Backend) {
    let of = context.coefficients.and_then(|set| set.latency_model);
    if let Some(of) = of.filter(|of| wanted.backend == Backend::Auto && took.known() != Some(*of)) {
        disagree(check, of, &format!("--latency-model auto takes {} for {}", took.name(), wanted.model));
    }
}

/// The model of measured operators, with a word about those that were not measured in the shape needed; nothing when a
/// problem was found.
fn profiled(
    check: &mut Check,
    context: &Context<'_>,
    wanted: &Wanted,
    host: &Host,
    deployment: &Deployment,
    is_auto: bool,
) -> Result<Option<Arc<Composition>>, InvalidModel> {
    let Host { gpu, config, .. } = host;
    let Some(tables) = context.catalogue.kernel_tables(&gpu.name) else {
        check.problem(
            Diagnostic::new(format!("--latency-model profiled: no operators were measured on {}", gpu.name))
                .with_help(format!(
                    "GPUs with measured operators are {}; --perf-db takes others",
                    kernels::measured_gpus().join(", ")
                )),
        );
        return Ok(None);
    };
    if let Some(moe_backend) = wanted.moe_backend {
        moe_kernels(check, wanted, host, &tables, moe_backend);
    }
    // What a request costs outside of steps is the server's doing, whatever steps take.
    let known = context.catalogue.trained_physics_coefficients().alpha;
    let alpha = context.overheads.unwrap_or(&known);
    let known = blis_latency::Backend::Profiled;
    let tuning = match of_model(context.coefficients, known) {
        Some(set) => set.tuning(),
        None if context.semantics == Semantics::REFERENCE => Tuning::default(),
        None => CoefficientSet::default().tuning(),
    };
    let composed = Composed {
        shape: config.shape.clone(),
        gpu: gpu.clone(),
        deployment: *deployment,
        kv: wanted.kv_format,
        tables: Arc::downgrade(&tables),
        alpha: alpha.to_vec(),
        tuning,
    };
    let composed = composed.get(&tables)?;
    let name = if is_auto { "auto: profiled" } else { Profiled::NAME };
    check.note("latency-model", name, if is_auto { Source::Computed } else { Source::Given });
    check.note("kernel-tables", tables.source(), Source::Catalogue);
    if config.has_sparse_attention {
        check.warn(
            "step times count attention over all tokens; the model reads only those that its index picks",
        );
    }
    if let [(first, ratio), others @ ..] = composed.carried.as_slice() {
        let others = match others.len() {
            0 => String::new(),
            count => format!(", and {count} more"),
        };
        let carried = format!("{first} (x{ratio:.2}){others}");
        if *ratio > FAR_CARRIED {
            check.warn(format!(
                "extrapolated step times: not measured on {} in that shape, and carried far at the efficiency of the \
                 nearest one: {carried}",
                gpu.name
            ));
        }
        check.note("extrapolated-operators", carried, Source::Computed);
    }
    Ok(Some(composed))
}

/// What must hold where the kernels of experts are named.
fn moe_kernels(check: &mut Check, wanted: &Wanted, host: &Host, tables: &KernelTables, named: MoeBackend) {
    let shape = &host.config.shape;
    let name = named.name();
    let needed = "it chooses between kernels for experts of MXFP4 weights";
    if shape.moe_layers == 0 {
        check.problem(Diagnostic::new(format!("--moe-backend {name}: {needed}; {} is dense", wanted.model)));
    } else if shape.expert_weights != WeightFormat::Mxfp4 {
        let held = shape.expert_weights.name();
        check.problem(Diagnostic::new(format!(
            "--moe-backend {name}: {needed}; those of {} are in {held}",
            wanted.model
        )));
    } else if !tables.has_experts_of(named) {
        check.problem(
            Diagnostic::new(format!(
                "--moe-backend {name}: such kernels were not measured on {}",
                host.gpu.name
            ))
            .with_help("leave it out for the kernels that servers run there"),
        );
    } else {
        check.note("moe-backend", name, Source::Given);
    }
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
pub(super) fn report(check: &mut Check, options: &RunOptions, invalid: &InvalidModel) {
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
