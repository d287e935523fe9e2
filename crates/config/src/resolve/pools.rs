//! Prefill and decode on instances of their own.

use super::check::{Check, POSITIVE, Source, is_positive};
use super::lora::Lora;
use super::model::{self, Context, Served};
use super::policies::Policies;
use crate::diagnostic::Diagnostic;
use crate::options::{PoolOptions, PoolOverrides, RunOptions};
use blis_cluster::{DisaggregationPlan, InstanceKind, PoolSizes, RoutingPlan, TransferPlan};
use blis_engine::{AdapterConfig, InstanceConfig};
use blis_latency::{Roofline, TrainedPhysics};
use blis_policy::Configured;
use blis_policy::registry::{self, MakeDecider, MakeEncodeDecider};
use std::sync::Arc;

/// What the options say of pools, once it is in range.
pub(super) struct WantedPools {
    pools: PoolSizes,
    decider: Configured<MakeDecider>,
    encode_decider: Configured<MakeEncodeDecider>,
    prefill_routing: Option<RoutingPlan>,
    decode_routing: Option<RoutingPlan>,
    bandwidth_gb_per_s: f64,
    base_latency_ms: f64,
    contention: bool,
    kv_bytes_per_token: Option<f64>,
}

/// Pools whose instances are known.
pub(super) struct Pools {
    wanted: WantedPools,
    prefill: Machine,
    decode: Machine,
    block_bytes: f64,
}

/// What an instance of a pool is.
struct Machine {
    served: Served,
    adapters: Option<Arc<AdapterConfig>>,
}

/// Reads what there is to read without the model.
pub(super) fn wanted(policies: &mut Policies<'_>, instances: u32) -> WantedPools {
    let (registry, options) = (policies.registry, &policies.options.pools);
    let pools = sizes(policies.check, options, instances);
    let decider = policies.policy(&registry.deciders, options.decider.as_deref());
    let encode_decider = policies.policy(&registry.encode_deciders, options.encode_decider.as_deref());
    let prefill_routing = scorers(policies, "prefill", &options.prefill);
    let decode_routing = scorers(policies, "decode", &options.decode);
    let check = &mut *policies.check;
    let finite = |value: f64| value.is_finite() && value >= 0.0;
    let wanted = WantedPools {
        pools,
        bandwidth_gb_per_s: check.real(
            "pd-transfer-bandwidth",
            options.transfer_bandwidth_gb_per_s,
            25.0,
            is_positive,
            POSITIVE,
        ),
        base_latency_ms: check.real(
            "pd-transfer-base-latency",
            options.transfer_base_latency_ms,
            0.05,
            finite,
            "a finite number of at least 0",
        ),
        contention: options.transfer_contention.unwrap_or(false),
        kv_bytes_per_token: options
            .kv_bytes_per_token
            .map(|bytes| check.real("pd-kv-bytes-per-token", Some(bytes), 1.0, is_positive, POSITIVE)),
        decider,
        encode_decider,
        prefill_routing,
        decode_routing,
    };
    wanted.question(check, options, registry);
    wanted
}

fn sizes(check: &mut Check, options: &PoolOptions, instances: u32) -> PoolSizes {
    let pools = PoolSizes {
        prefill: check.count("prefill-instances", options.prefill_instances, 0, 0),
        decode: check.count("decode-instances", options.decode_instances, 0, 0),
        shared: check.count("prefill-decode-instances", options.shared_instances, 0, 0),
        encode: check.count("encode-instances", options.encode_instances, 0, 0),
    };
    let all = [pools.prefill, pools.decode, pools.shared, pools.encode];
    let sum: u64 = all.iter().map(|&count| u64::from(count)).sum();
    if sum > u64::from(instances) {
        check.problem(
            Diagnostic::new(format!("the pools have {sum} instances, but --num-instances is {instances}"))
                .with_help("--num-instances counts all of them: prefill, decode, shared and encode"),
        );
    }
    if pools.shared == 0 && (pools.prefill == 0) != (pools.decode == 0) {
        let (given, missing) = if pools.prefill > 0 { ("prefill", "decode") } else { ("decode", "prefill") };
        check.problem(Diagnostic::new(format!(
            "--{given}-instances needs --{missing}-instances or --prefill-decode-instances"
        )));
    }
    if pools.encode > 0 && pools.prefill + pools.decode + pools.shared == 0 {
        check.problem(Diagnostic::new(
            "--encode-instances needs instances that generate answers: --decode-instances or \
             --prefill-decode-instances",
        ));
    }
    pools
}

fn scorers(policies: &mut Policies<'_>, pool: &str, overrides: &PoolOverrides) -> Option<RoutingPlan> {
    let text = overrides.routing_scorers.as_deref()?;
    let registry = policies.registry;
    match registry.parse_scorers(text) {
        Ok(scorers) => {
            policies.check.note(&format!("{pool}-routing-scorers"), text, Source::Given);
            let policy = registry.routing.get(registry::SCORING_ROUTER).ok()?.with_defaults();
            Some(RoutingPlan { policy, scorers })
        }
        Err(error) => {
            policies.check.problem(Diagnostic::new(format!("--{pool}-routing-scorers: {error}")));
            None
        }
    }
}

impl WantedPools {
    fn are_there(&self) -> bool {
        let PoolSizes { prefill, decode, shared, .. } = self.pools;
        prefill + decode + shared > 0
    }

    /// How pools choose that have a way of their own.
    pub(super) fn routing(&self) -> impl Iterator<Item = &RoutingPlan> {
        self.prefill_routing.iter().chain(&self.decode_routing)
    }

    /// Settings that do nothing, and those that need others.
    fn question(&self, check: &mut Check, options: &PoolOptions, registry: &registry::Registry) {
        let encodes = self.encode_decider.entry.name != registry.encode_deciders.axis.default;
        if encodes && self.pools.encode == 0 {
            check.problem(Diagnostic::new(format!(
                "--encode-decider {} needs --encode-instances",
                self.encode_decider.entry.name
            )));
        }
        if !encodes && self.pools.encode > 0 {
            check.warn("--encode-instances get no requests with --encode-decider never");
        }
        if self.are_there() {
            return;
        }
        if self.contention {
            check.problem(Diagnostic::new("--pd-transfer-contention needs prefill and decode instances"));
        }
        let splits = self.decider.entry.name != registry.deciders.axis.default;
        let of_pool = |pool: &PoolOverrides| {
            [
                pool.tp.is_some(),
                pool.pp.is_some(),
                pool.hardware.is_some(),
                pool.latency_model.is_some(),
                pool.max_model_len.is_some(),
                pool.routing_scorers.is_some(),
            ]
        };
        let names = ["tp", "pp", "hardware", "latency-model", "max-model-len", "routing-scorers"];
        let mut unused = Vec::new();
        for (pool, overrides) in [("prefill", &options.prefill), ("decode", &options.decode)] {
            let given = names.iter().zip(of_pool(overrides)).filter(|&(_, given)| given);
            unused.extend(given.map(|(name, _)| format!("{pool}-{name}")));
        }
        unused.extend(splits.then(|| "pd-decider".to_owned()));
        unused.extend(options.transfer_bandwidth_gb_per_s.map(|_| "pd-transfer-bandwidth".to_owned()));
        unused.extend(options.transfer_base_latency_ms.map(|_| "pd-transfer-base-latency".to_owned()));
        unused.extend(options.kv_bytes_per_token.map(|_| "pd-kv-bytes-per-token".to_owned()));
        for flag in unused {
            check.warn(format!("--{flag} is unused without --prefill-instances and --decode-instances"));
        }
    }

    /// What the instances of the pools are, given those of the cluster; `None` without pools.
    pub(super) fn machines(
        self,
        check: &mut Check,
        context: &Context<'_>,
        cluster: &Served,
        lora: &Lora,
    ) -> Option<Pools> {
        if !self.are_there() {
            return None;
        }
        let options = &context.options.pools;
        let prefill = machine(check, context, cluster, lora, "prefill", &options.prefill)?;
        let decode = machine(check, context, cluster, lora, "decode", &options.decode)?;
        let Some(bytes) = self.kv_bytes_per_token.or(prefill.served.kv_bytes_per_token) else {
            check.problem(
                Diagnostic::new(format!("the KV cache of a token of {} is not known", cluster.model))
                    .with_help("give --model-config-folder, or --pd-kv-bytes-per-token"),
            );
            return None;
        };
        let block_bytes = f64::from(context.block_tokens) * bytes;
        Some(Pools { wanted: self, prefill, decode, block_bytes })
    }
}

/// What an instance of a pool is.
fn machine(
    check: &mut Check,
    context: &Context<'_>,
    cluster: &Served,
    lora: &Lora,
    pool: &str,
    own: &PoolOverrides,
) -> Option<Machine> {
    for (name, value) in [("tp", own.tp), ("pp", own.pp), ("max-model-len", own.max_model_len)] {
        let name = format!("{pool}-{name}");
        value.map(|value| check.integer(&name, Some(value), 1, 1..=i64::MAX));
    }
    let texts = [("hardware", &own.hardware), ("latency-model", &own.latency_model)];
    for (name, value) in texts {
        if let Some(value) = value {
            check.note(&format!("{pool}-{name}"), value, Source::Given);
        }
    }
    // What a request costs outside of steps is the server's doing, not the step-time model's.
    let own_roofline = own.latency_model.as_deref() == Some(Roofline::NAME);
    let cluster_alpha = match (own_roofline, context.options.latency_model.as_deref()) {
        (true, None | Some(TrainedPhysics::NAME)) => Some(
            context
                .options
                .alpha_coeffs
                .clone()
                .unwrap_or_else(|| context.catalogue.trained_physics_coefficients().alpha),
        ),
        _ => None,
    };
    let same_memory = own.tp.is_none() && own.pp.is_none() && own.hardware.is_none();
    let options = RunOptions {
        tp: own.tp.or(cluster.tp.map(i64::from)),
        pp: own.pp.or(context.options.pp),
        hardware: own.hardware.clone().or(cluster.gpu.clone()).or(context.options.hardware.clone()),
        latency_model: own.latency_model.clone().or(context.options.latency_model.clone()),
        max_model_len: own.max_model_len.or(i64::try_from(cluster.max_model_len).ok()),
        total_kv_blocks: if same_memory {
            Some(i64::from(cluster.kv_blocks_as_given))
        } else {
            context.options.total_kv_blocks
        },
        alpha_coeffs: context.options.alpha_coeffs.clone().filter(|_| !own_roofline),
        beta_coeffs: context.options.beta_coeffs.clone().filter(|_| !own_roofline),
        ..context.options.clone()
    };
    let overheads = cluster_alpha.as_deref();
    let rates_of = cluster.gpu.as_deref().filter(|_| context.semantics.pool_hardware_is_a_label);
    let mut of_pool = Check::default();
    // The cluster's blocks have left the adapters their memory.
    let adapter_reserved_bytes = if same_memory { 0 } else { context.adapter_reserved_bytes };
    let of_instances = Context { options: &options, rates_of, overheads, adapter_reserved_bytes, ..*context };
    let served = model::served(&mut of_pool, &of_instances);
    let adapters =
        served.as_ref().and_then(|served| lora.config(&mut of_pool, served.knows_adapter_overhead));
    let problems = of_pool.problems.into_iter();
    check.problems.extend(
        problems.map(|problem| Diagnostic {
            message: format!("{pool} instances: {}", problem.message),
            ..problem
        }),
    );
    for warning in of_pool.warnings {
        if !check.warnings.iter().any(|known| known.message == warning.message) {
            check.warn(format!("{pool} instances: {}", warning.message));
        }
    }
    let served = served?;
    if !same_memory {
        check.note(&format!("{pool}-total-kv-blocks"), served.kv_blocks, Source::Computed);
    }
    Some(Machine { served, adapters })
}

impl Pools {
    /// How many instances each pool has, and what they are. Those that only encode are like those outside of pools.
    pub(super) fn groups(&self) -> [(u32, &Served); 2] {
        let sizes = &self.wanted.pools;
        [(sizes.prefill, &self.prefill.served), (sizes.decode + sizes.shared, &self.decode.served)]
    }

    /// The plan, when other instances are built like `instance`.
    pub(super) fn plan(self, instance: &InstanceConfig) -> DisaggregationPlan {
        let kind = |Machine { served, adapters }: Machine| InstanceKind {
            config: InstanceConfig {
                kv_blocks: served.kv_blocks,
                ranks: served.ranks,
                max_model_len: served.max_model_len,
                adapters,
                ..instance.clone()
            },
            latency: served.latency,
        };
        let wanted = self.wanted;
        DisaggregationPlan {
            pools: wanted.pools,
            prefill: kind(self.prefill),
            decode: kind(self.decode),
            decider: wanted.decider,
            encode_decider: wanted.encode_decider,
            prefill_routing: wanted.prefill_routing,
            decode_routing: wanted.decode_routing,
            transfer: TransferPlan {
                bandwidth_bytes_per_us: wanted.bandwidth_gb_per_s * 1000.0,
                base_latency_us: wanted.base_latency_ms * 1000.0,
                block_bytes: self.block_bytes,
                contention: wanted.contention,
            },
        }
    }
}
