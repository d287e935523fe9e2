//! Instances that come and go.

use super::check::{Check, Source};
use super::model::{self, Context, Served};
use super::policies::Policies;
use crate::catalogue::Catalogue;
use crate::diagnostic::Diagnostic;
use crate::options::{ElasticOptions, NodePoolOptions, RunOptions, Traffic};
use blis_cluster::{AutoscalerPlan, Delay, ElasticPlan, InstanceKind, NodePool};
use blis_engine::InstanceConfig;
use blis_kernel::{Semantics, Tick};

/// Nodes of one kind whose instances are known.
pub(super) struct Machines {
    pools: Vec<(NodePoolOptions, Served)>,
    gpu: String,
    gpus_per_instance: u32,
}

/// The autoscaler, if there is one.
pub(super) fn autoscaler(policies: &mut Policies<'_>, semantics: Semantics) -> Option<AutoscalerPlan> {
    let (registry, options) = (policies.registry, &policies.options.elastic);
    let interval_us = options.interval_us.unwrap_or(0.0);
    if !(interval_us.is_finite() && interval_us >= 0.0) {
        let name = "model-autoscaler-interval-us";
        policies.check.out_of_range(name, interval_us, "a finite number of at least 0");
        return None;
    }
    if interval_us == 0.0 {
        if options.autoscaler.is_some() {
            policies.check.warn("--autoscaler is unused without --model-autoscaler-interval-us");
        }
        return None;
    }
    if matches!(policies.options.traffic, Traffic::Trace(_)) && semantics == Semantics::REFERENCE {
        policies.check.problem(Diagnostic::new(
            "--model-autoscaler-interval-us: replay has no autoscaler with --compat inference-sim",
        ));
    }
    policies.check.note("model-autoscaler-interval-us", interval_us, Source::Given);
    let policy = policies.policy(&registry.autoscalers, options.autoscaler.as_deref());
    let thresholds = ["scale-up-threshold", "scale-down-boundary"].map(|name| {
        let is_there = policy.entry.params.iter().any(|param| param.name == name);
        is_there.then(|| policy.params.get(name))
    });
    if let [Some(up), Some(down)] = thresholds
        && down >= up
    {
        let problem = format!("scale-down-boundary is {down}; it must be below scale-up-threshold, {up}");
        policies.check.problem(Diagnostic::new(problem));
    }
    let window = |us: Option<f64>| Tick::trunc(us.unwrap_or(0.0));
    let min_replicas = options.min_replicas.unwrap_or(1).max(0) as u32;
    let max_replicas = options.max_replicas.map_or(u32::MAX, |most| most.max(0) as u32);
    if max_replicas < min_replicas {
        let problem =
            format!("autoscaler.max_replicas is {max_replicas}; it must be at least {min_replicas}");
        policies.check.problem(Diagnostic::new(problem));
    }
    Some(AutoscalerPlan {
        policy,
        interval: Tick::trunc(interval_us).max(Tick::ONE),
        up_window: window(options.up_window_us),
        down_window: window(options.down_window_us),
        actuation_delay: delay(options.actuation_delay_s),
        min_replicas,
        max_replicas,
        drain: options.drain.unwrap_or_default(),
    })
}

fn delay((mean_s, std_dev_s): (f64, f64)) -> Delay {
    Delay { mean_s, std_dev_s }
}

/// What instances on the nodes are, given those of the cluster; `None` where nobody comes or goes.
pub(super) fn machines(
    check: &mut Check,
    context: &Context<'_>,
    cluster: &Served,
    autoscales: bool,
    has_pools: bool,
) -> Option<Machines> {
    let options = &context.options.elastic;
    if options.node_pools.is_empty() && !autoscales {
        // Those that stay start too.
        let warm_start = options.warm_start.filter(|_| options.warm_up.is_some());
        let (interval_us, warm_up) = (options.interval_us, options.warm_up);
        let is_set = *options != ElasticOptions { interval_us, warm_start, warm_up, ..Default::default() };
        if is_set {
            check.warn("instance_lifecycle and autoscaler are unused without node_pools and an interval");
        }
        return None;
    }
    if has_pools {
        check.problem(
            Diagnostic::new("prefill and decode instances do not come and go").with_help(
                "leave out node_pools and the autoscaler, or the --prefill-… and --decode-… flags",
            ),
        );
        return None;
    }
    if !options.node_pools.is_empty()
        && matches!(context.options.traffic, Traffic::Trace(_))
        && context.semantics == Semantics::REFERENCE
    {
        check.problem(Diagnostic::new("node_pools: replay has none with --compat inference-sim"));
    }
    let mut pools = Vec::new();
    for pool in &options.node_pools {
        pools.push((pool.clone(), machine(check, context, cluster, pool)?));
    }
    let gpus = cluster.gpus;
    let room: i64 =
        options.node_pools.iter().map(|p| p.initial_nodes * (p.gpus_per_node / i64::from(gpus))).sum();
    let wanted = context.options.num_instances.unwrap_or(1);
    if !pools.is_empty() && room < wanted {
        check.warn(format!(
            "only {room} of {wanted} instances find {gpus} GPUs on one of the initial nodes; the others do not start"
        ));
    }
    Some(Machines { pools, gpu: cluster.gpu.clone().unwrap_or_default(), gpus_per_instance: gpus })
}

/// What an instance on a node is: the model on the node's GPUs.
fn machine(
    check: &mut Check,
    context: &Context<'_>,
    cluster: &Served,
    pool: &NodePoolOptions,
) -> Option<Served> {
    let catalogue: Catalogue = context.catalogue.clone().with_gpu_memory(&pool.gpu, pool.gpu_memory_gib);
    let options = RunOptions {
        tp: cluster.tp.map(i64::from),
        hardware: Some(pool.gpu.clone()),
        max_model_len: i64::try_from(cluster.max_model_len).ok(),
        ..context.options.clone()
    };
    let rates_of = cluster.gpu.as_deref().filter(|_| context.semantics.pool_hardware_is_a_label);
    let mut own = Check::default();
    let context = Context { options: &options, catalogue: &catalogue, rates_of, ..*context };
    let served = model::served(&mut own, &context);
    let name = &pool.name;
    check.problems.extend(
        own.problems.into_iter().map(|problem| Diagnostic {
            message: format!("node pool {name}: {}", problem.message),
            ..problem
        }),
    );
    for warning in own.warnings {
        if !check.warnings.iter().any(|known| known.message == warning.message) {
            check.warn(format!("node pool {name}: {}", warning.message));
        }
    }
    served
}

impl Machines {
    /// The plan, when other instances are built like `instance`.
    pub(super) fn plan(
        self,
        options: &ElasticOptions,
        instance: &InstanceConfig,
        autoscaler: Option<AutoscalerPlan>,
    ) -> ElasticPlan {
        let node_pool = |(pool, served): (NodePoolOptions, Served)| NodePool {
            gpu: pool.gpu,
            gpus_per_node: pool.gpus_per_node as u32,
            nodes: pool.initial_nodes as u32,
            min_nodes: pool.min_nodes as u32,
            max_nodes: pool.max_nodes as u32,
            release_after: pool.release_after_s.map(|s| Tick::trunc(s * 1e6)),
            warm_up: pool.warm_up.or(options.warm_up),
            provisioning_delay: delay(pool.provisioning_delay_s),
            cost_per_hour: pool.cost_per_hour,
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
        ElasticPlan {
            gpu: self.gpu,
            tp: self.gpus_per_instance,
            node_pools: self.pools.into_iter().map(node_pool).collect(),
            loading_delay: delay(options.loading_delay_s),
            warm_start: options.warm_start.unwrap_or(false),
            autoscaler,
        }
    }
}
