//! Further models behind the same gateway.

use super::check::Check;
use super::model::{self, Context, Served};
use crate::diagnostic::Diagnostic;
use crate::options::{ModelOptions, RunOptions};
use blis_cluster::{InstanceKind, ModelPlan};
use blis_engine::InstanceConfig;
use blis_kernel::Semantics;

/// Further models whose instances are known, with how many there are of each.
pub(super) type FurtherModels = Vec<(u32, Served)>;

/// What else a cluster has that several models do not go with.
pub(super) struct Beside {
    pub(super) pools: bool,
    pub(super) comes_and_goes: bool,
    pub(super) gateway_queue: bool,
    pub(super) adapters: bool,
    pub(super) offload: bool,
    pub(super) faults: bool,
}

/// What instances of the models of the policy file are; `None` when something is wrong with them.
pub(super) fn further_models(
    check: &mut Check,
    context: &Context<'_>,
    cluster: &Served,
    beside: &Beside,
) -> Option<FurtherModels> {
    let models = &context.options.models;
    if models.is_empty() {
        return Some(Vec::new());
    }
    let excluded = [
        (beside.pools, "prefill and decode instances, whose transfers are of one model"),
        (beside.comes_and_goes, "node_pools and the autoscaler, which know instances of one model"),
        (beside.gateway_queue, "--flow-control, whose queue looks at all instances as one"),
        (beside.adapters, "--lora-config, whose adapters are of one model"),
        (beside.offload, "--kv-offload-config, whose tiers are sized for one model"),
        (beside.faults, "faults, whose targets are instances of one model"),
        (context.semantics == Semantics::REFERENCE, "--compat inference-sim, which has one model"),
    ];
    for (_, what) in excluded.into_iter().filter(|(is_there, _)| *is_there) {
        check.problem(Diagnostic::new(format!("models does not go with {what}")));
    }
    let mut names = vec![cluster.model.clone()];
    let mut resolved = Some(Vec::new());
    for own in models {
        let name = own.name.trim().to_lowercase();
        if names.contains(&name) {
            check.problem(Diagnostic::new(format!("models: {name} is there twice (--model counts too)")));
        }
        names.push(name);
        match (served(check, context, own), &mut resolved) {
            (Some(served), Some(models)) => models.push((own.replicas as u32, served)),
            _ => resolved = None,
        }
    }
    resolved
}

/// What an instance of a model is.
fn served(check: &mut Check, context: &Context<'_>, own: &ModelOptions) -> Option<Served> {
    let options = RunOptions {
        model: Some(own.name.clone()),
        hardware: own.gpu.clone(),
        tp: own.tp,
        pp: own.pp,
        dp: None,
        enable_expert_parallel: None,
        moe_comm_backend: None,
        model_config_folder: own.model_config_folder.clone(),
        max_model_len: own.max_model_len,
        total_kv_blocks: own.total_kv_blocks,
        ..context.options.clone()
    };
    let mut of_model = Check::default();
    let served = model::served(&mut of_model, &Context { options: &options, ..*context });
    let name = &own.name;
    check.problems.extend(
        of_model
            .problems
            .into_iter()
            .map(|problem| Diagnostic { message: format!("models: {name}: {}", problem.message), ..problem }),
    );
    for warning in of_model.warnings {
        if !check.warnings.iter().any(|known| known.message == warning.message) {
            check.warn(format!("models: {name}: {}", warning.message));
        }
    }
    check.notices.extend(
        of_model
            .notices
            .into_iter()
            .map(|notice| Diagnostic { message: format!("models: {name}: {}", notice.message), ..notice }),
    );
    served
}

/// The plan of each, when other instances are built like `instance`.
pub(super) fn plans(models: FurtherModels, instance: &InstanceConfig) -> Vec<ModelPlan> {
    let plan = |(instances, served): (u32, Served)| ModelPlan {
        model: served.model,
        instances,
        kind: InstanceKind {
            config: InstanceConfig {
                kv_blocks: served.kv_blocks,
                ranks: served.ranks,
                max_model_len: served.max_model_len,
                ..instance.clone()
            },
            latency: served.latency,
        },
    };
    models.into_iter().map(plan).collect()
}
