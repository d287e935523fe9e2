//! Random whole runs: models, GPUs, clusters, policies and workloads of any kind, and the laws that every run keeps.
//!
//! `BLIS_FUZZ_SCENARIOS` (default 10,000) says how many, `BLIS_FUZZ_SEED` where to start. A failure prints its seed and
//! the plan.

mod support;

use blis_cluster::plan::{
    AdmissionPlan, AutoscalerPlan, Delay, Detail, DisaggregationPlan, DrainPolicy, ElasticPlan, FaultKind,
    FaultPlan, FaultTarget, FlowControlPlan, InstanceKind, ModelPlan, NodePool, Plan, PoolSizes, RandomFault,
    RoutingPlan, ScheduledFault, TransferPlan, WarmUp, Workload,
};
use blis_cluster::{run, run_observed};
use blis_engine::{
    AdapterConfig, AdapterModel, BatchFormation, Channel, CpuTierConfig, DeviceModel, HostConfig,
    InstanceConfig, OffloadConfig, OffloadTierConfig, OverheadTier, RankBalancing, RankConfig,
};
use blis_kernel::rng::GoRand;
use blis_kernel::samplers::{ArrivalProcess, LengthSampler};
use blis_kernel::{InstanceId, Semantics, Tick};
use blis_latency::{
    Backend, Blackbox, Coefficients, CrossModel, Deployment, Fp8Rule, GpuSpec, LatencyModel,
    ModelArchitecture, MoeComm, Pipeline, Roofline, TrainedPhysics, TrainedRoofline,
};
use blis_metrics::{Outcome, RequestEnding, RequestRecord, RunEnding, SloTargets, Timeline};
use blis_policy::preemption::PreemptionKind;
use blis_policy::priority::SloTable;
use blis_policy::scheduling::SchedulerKind;
use blis_policy::{Configured, Entry, Range, Registry, Table};
use blis_workload::client::Conversation;
use blis_workload::content::HEAD_TOKENS;
use blis_workload::{
    Client, Content, Labels, Prefix, RequestEnd, RequestSource, RequestSpec, Segment, SessionId,
    SessionRound, Traffic,
};
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use support::records;

/// No scenario comes near it; twice in a row without one finished, and it is not the machine that was busy.
const LONGEST_SCENARIO: Duration = Duration::from_mins(1);

struct Dice(GoRand);

impl Dice {
    /// From `low` to `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.0.intn(high - low + 1)
    }

    fn real(&mut self, low: f64, high: f64) -> f64 {
        low + self.0.float64() * (high - low)
    }

    fn one_in(&mut self, n: i64) -> bool {
        self.0.intn(n) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.0.intn(from.len() as i64) as usize].clone()
    }
}

fn architecture(dice: &mut Dice) -> ModelArchitecture {
    let kv_heads = dice.pick(&[4, 8]);
    let heads = kv_heads * dice.pick(&[1, 4, 8]);
    let is_moe = dice.one_in(3);
    ModelArchitecture {
        layers: dice.between(1, 80) as u32,
        hidden: heads * dice.pick(&[64, 128]),
        vocabulary: 32_000,
        heads,
        kv_heads,
        intermediate: dice.between(1_000, 30_000) as u32,
        experts: if is_moe { dice.between(2, 64) as u32 } else { 0 },
        experts_per_token: if is_moe { dice.between(1, 2) as u32 } else { 0 },
        moe_interleave_step: u32::from(dice.one_in(3)),
        bytes_per_param: 2.0,
        weight_bytes_per_param: dice.pick(&[0.0, 0.5, 1.0]),
        fp8_weights: dice.one_in(2),
        ..ModelArchitecture::default()
    }
}

fn latency(dice: &mut Dice) -> Arc<dyn LatencyModel> {
    let model = architecture(dice);
    let gpu = GpuSpec {
        name: "GPU".to_owned(),
        fp16_tflops: dice.real(50.0, 2_000.0),
        fp8_tflops: dice.pick(&[0.0, 1_000.0]),
        fp8_sparse_tflops: None,
        hbm_tb_per_s: dice.real(0.5, 8.0),
        mfu_prefill: 0.5,
        mfu_decode: 0.3,
        memory_gib: Some(80.0),
        link_gb_per_s: None,
    };
    let tp = dice.pick(&[1, 2, 4]);
    let dp = if model.is_moe() { dice.pick(&[1, 2]) } else { 1 };
    let deployment = Deployment { dp, moe_comm: dice.pick(&MoeComm::ALL), ..Deployment::tensor_parallel(tp) };
    let rule = dice.pick(&[Fp8Rule::AnyOneByteWeight, Fp8Rule::Fp8WeightsOnly]);
    let alpha =
        vec![dice.pick(&[0.0, 100.0, 9_000.0]), dice.pick(&[0.0, 0.3, 700.0]), dice.pick(&[0.0, 1.7, 40.0])];
    let of = |beta: Vec<f64>| Coefficients { alpha: alpha.clone(), beta };
    let around_one = |dice: &mut Dice| (0..7).map(|_| dice.real(0.1, 1.5)).collect::<Vec<_>>();
    let without_tables: Vec<Backend> =
        Backend::ALL.into_iter().filter(|backend| *backend != Backend::Profiled).collect();
    match dice.pick(&without_tables) {
        Backend::Profiled => unreachable!("it needs measured kernels"),
        Backend::Blackbox => {
            let beta = vec![dice.real(0.0, 20_000.0), dice.real(0.0, 50.0), dice.real(0.0, 500.0)];
            Arc::new(Blackbox::new(&of(beta)).expect("valid"))
        }
        Backend::CrossModel => {
            let beta =
                vec![dice.real(0.0, 200.0), dice.real(0.0, 1.0), dice.real(0.0, 10.0), dice.real(0.0, 90.0)];
            Arc::new(CrossModel::new(&model, tp, &of(beta)).expect("valid"))
        }
        Backend::Roofline => Arc::new(Roofline::new(&model, &gpu, tp, &alpha, rule).expect("valid")),
        Backend::TrainedPhysics => {
            let beta = around_one(dice);
            Arc::new(TrainedPhysics::new(&model, &gpu, &deployment, &of(beta), rule).expect("valid"))
        }
        Backend::TrainedRoofline => {
            let beta = around_one(dice);
            Arc::new(TrainedRoofline::new(&model, &gpu, tp, &of(beta)).expect("valid"))
        }
    }
}

fn lengths(dice: &mut Dice, longest: i64) -> LengthSampler {
    let max = dice.between(1, longest);
    match dice.between(0, 2) {
        0 => LengthSampler::Constant { value: max },
        1 => LengthSampler::Gaussian { mean: max as f64 / 2.0, std_dev: max as f64 / 3.0, min: 1, max },
        _ => LengthSampler::Exponential { mean: max as f64 / 2.0, min: 1, max },
    }
}

fn client(dice: &mut Dice, index: i64, timeout: Option<Tick>, block_tokens: i64) -> Client {
    let per_us = dice.pick(&[2e-6, 2e-5, 2e-4, 2e-3]) * dice.real(0.5, 2.0);
    let process = dice.pick(&[ArrivalProcess::Constant, ArrivalProcess::Poisson]);
    let think_time = Tick::from_us(dice.pick(&[0, 1, 5_000, 200_000]));
    let traffic = if dice.one_in(4) {
        Traffic::Concurrency { users: dice.between(1, 6) as u32, think_time }
    } else {
        Traffic::Rate { per_us, process }
    };
    let is_rate = matches!(traffic, Traffic::Rate { .. });
    let labels = Labels {
        client: format!("client-{index}"),
        tenant: dice.pick(&["", "a", "b"]).to_owned(),
        slo_class: dice.pick(&["", "critical", "standard", "batch", "background"]).to_owned(),
        model: dice.pick(&["", "", "m", "m", "m", "other"]).to_owned(),
        adapter: dice.pick(&["", "a0", "a1", "a2"]).to_owned(),
        ..Labels::default()
    };
    let (longest_prompt, longest_answer) = (dice.pick(&[20, 200, 1_000]), dice.pick(&[2, 20, 80, 300]));
    let (input, output) = (lengths(dice, longest_prompt), lengths(dice, longest_answer));
    Client {
        prefix: dice.one_in(2).then(|| Prefix {
            group: dice.pick(&["p", "q"]).to_owned(),
            tokens: dice.pick(&[0, 1, block_tokens, 3 * block_tokens, 100]) as u32,
        }),
        timeout,
        conversation: (is_rate && dice.one_in(4)).then(|| Conversation {
            max_rounds: dice.between(1, 4) as u32,
            think_time,
            accumulates: dice.one_in(2),
            single_session: dice.one_in(4),
            closed_loop: dice.one_in(2),
        }),
        ..Client::new(labels, traffic, input, output)
    }
}

fn routing(dice: &mut Dice) -> RoutingPlan {
    let registry = Registry::built_in();
    let mut scorers = registry.scorers.entries().to_vec();
    dice.0.shuffle(&mut scorers);
    scorers.truncate(dice.between(1, 4) as usize);
    let name = if dice.one_in(2) { "weighted" } else { any(dice, &registry.routing).name };
    RoutingPlan {
        scorers: scorers.into_iter().map(|scorer| (scorer.with_defaults(), dice.real(0.1, 3.0))).collect(),
        ..support::routing(name)
    }
}

fn any<T: Copy>(dice: &mut Dice, table: &Table<T>) -> Entry<T> {
    dice.pick(table.entries())
}

/// The policy with parameters that matter to loads of a few requests and prompts of a few hundred tokens.
fn strict<T: Copy>(dice: &mut Dice, policy: Entry<T>) -> Configured<T> {
    let values: Vec<_> = policy
        .params
        .iter()
        .map(|param| {
            let value = match param.range {
                Range::Positive if param.default > 100.0 => dice.real(1.0, 5.0 * param.default),
                Range::Positive => dice.real(0.1, 2.0 * param.default),
                Range::NonNegative => dice.real(0.0, 2.0 * param.default + 1.0),
                Range::Fraction => dice.real(0.01, 1.0),
                Range::Share => dice.real(0.0, 1.0),
                Range::Count => dice.between(0, 10) as f64,
                Range::PositiveCount => dice.between(1, 10) as f64,
                Range::Integer => dice.between(-4, 5) as f64,
                Range::Finite => dice.real(-5.0, 5.0),
            };
            (param.name, value)
        })
        .collect();
    policy.with(&values).expect("values in range")
}

fn admission(dice: &mut Dice) -> AdmissionPlan {
    let registry = Registry::built_in();
    let policy = if dice.one_in(2) {
        registry.admission.get("always-admit").expect("the default")
    } else {
        any(dice, &registry.admission)
    };
    let budgets = if dice.one_in(4) { vec![("a".to_owned(), 0.0), ("b".to_owned(), 0.01)] } else { vec![] };
    AdmissionPlan { policy: strict(dice, policy), tenant_budgets: budgets.into_iter().collect() }
}

fn flow_control(dice: &mut Dice) -> FlowControlPlan {
    let registry = Registry::built_in();
    let limit = |dice: &mut Dice| dice.one_in(2).then(|| dice.between(1, 20) as u32);
    let (detector, order) = (any(dice, &registry.saturation), any(dice, &registry.dispatch_orders));
    let (fairness, usage_limit) = (any(dice, &registry.fairness), any(dice, &registry.usage_limits));
    FlowControlPlan {
        saturation: strict(dice, detector),
        order: strict(dice, order),
        fairness: strict(dice, fairness),
        usage_limit: strict(dice, usage_limit),
        slo_targets: BTreeMap::from([("critical".to_owned(), Tick::from_us(dice.between(1, 500_000)))]),
        max_depth: limit(dice),
        band_capacity: limit(dice),
        ttl: dice.one_in(3).then(|| Tick::from_us(dice.between(1, 2_000_000))),
        sheds: dice.one_in(2),
        evicts: dice.one_in(2),
        tick: Tick::from_us(dice.pick(&[1_000, 25_000, 400_000])),
    }
}

/// Pools of up to five instances each, like the others or with caches and step times of their own.
fn disaggregation(
    dice: &mut Dice,
    config: &InstanceConfig,
    like: &Arc<dyn LatencyModel>,
) -> DisaggregationPlan {
    let registry = Registry::built_in();
    let mut kind = || {
        let kv_blocks = config.kv_blocks * dice.pick(&[1, 1, 2, 4]) as u32 / 2;
        InstanceKind {
            config: InstanceConfig { kv_blocks: kv_blocks.max(1), ..config.clone() },
            latency: if dice.one_in(2) { like.clone() } else { latency(dice) },
        }
    };
    let (prefill, decode) = (kind(), kind());
    let mut own_routing = || dice.one_in(3).then(|| RoutingPlan { ..routing(dice) });
    let (prefill_routing, decode_routing) = (own_routing(), own_routing());
    let shared = dice.between(0, 1) as u32;
    let at_least = i64::from(1 - shared);
    let (decider, encode_decider) = (any(dice, &registry.deciders), any(dice, &registry.encode_deciders));
    DisaggregationPlan {
        pools: PoolSizes {
            prefill: dice.between(at_least, 2) as u32,
            decode: dice.between(at_least, 2) as u32,
            shared,
            encode: dice.between(0, 1) as u32,
        },
        prefill,
        decode,
        decider: strict(dice, decider),
        encode_decider: encode_decider.with_defaults(),
        prefill_routing,
        decode_routing,
        transfer: TransferPlan {
            bandwidth_bytes_per_us: dice.pick(&[0.1, 25_000.0]),
            base_latency_us: dice.pick(&[0.0, 0.4, 50.0, 100_000.0]),
            block_bytes: dice.pick(&[1.0, 10_000.0]),
            contention: dice.one_in(2),
        },
    }
}

/// Instances that come and go, on nodes or without.
fn elastic(dice: &mut Dice, config: &InstanceConfig, like: &Arc<dyn LatencyModel>) -> ElasticPlan {
    let registry = Registry::built_in();
    let delay = |dice: &mut Dice, mean_s: f64| Delay { mean_s, std_dev_s: dice.pick(&[0.0, mean_s]) };
    let tp = dice.between(1, 3) as u32;
    let node_pool = |dice: &mut Dice| NodePool {
        gpu: dice.pick(&["A", "B"]).to_owned(),
        gpus_per_node: dice.between(1, 8) as u32,
        nodes: dice.between(0, 3) as u32,
        min_nodes: dice.between(0, 2) as u32,
        max_nodes: dice.between(0, 5) as u32,
        release_after: dice.one_in(2).then(|| Tick::from_us(dice.pick(&[0, 30_000, 500_000]))),
        warm_up: warm_up(dice),
        provisioning_delay: delay(dice, 0.05),
        cost_per_hour: dice.real(0.0, 9.0),
        kind: InstanceKind {
            config: InstanceConfig {
                kv_blocks: (config.kv_blocks * dice.pick(&[1, 2, 4]) as u32 / 2).max(1),
                ..config.clone()
            },
            latency: like.clone(),
        },
    };
    let node_pools = (0..dice.between(0, 2)).map(|_| node_pool(dice)).collect();
    let policy = any(dice, &registry.autoscalers);
    let policy = strict(dice, policy);
    let interval = Tick::from_us(dice.pick(&[7_000, 100_000, 900_000]));
    ElasticPlan {
        gpu: "A".to_owned(),
        tp,
        node_pools,
        loading_delay: delay(dice, 0.1),
        warm_start: dice.one_in(2),
        autoscaler: (!dice.one_in(4)).then(|| AutoscalerPlan {
            policy,
            interval,
            up_window: Tick::from_us(dice.pick(&[0, 50_000])),
            down_window: Tick::from_us(dice.pick(&[0, 200_000])),
            actuation_delay: delay(dice, 0.02),
            min_replicas: dice.between(0, 2) as u32,
            max_replicas: dice.between(1, 9) as u32,
            drain: dice.pick(&[DrainPolicy::Wait, DrainPolicy::Redirect, DrainPolicy::Immediate]),
        }),
    }
}

fn warm_up(dice: &mut Dice) -> Option<WarmUp> {
    let requests = dice.between(0, 5) as u32;
    dice.one_in(3).then(|| WarmUp { requests, factor: dice.real(1.0, 5.0) })
}

/// Up to four scheduled faults of any kind, random ones every second or so, and transfers that get lost.
fn faults(dice: &mut Dice) -> FaultPlan {
    let slow = FaultKind::Slow { factor: dice.real(1.0, 6.0) };
    let targets = [
        FaultTarget::All,
        FaultTarget::Instance(dice.between(0, 4) as u32),
        FaultTarget::Prefill,
        FaultTarget::Decode,
        FaultTarget::Encode,
        FaultTarget::NodePool(dice.between(0, 1) as usize),
    ];
    let scheduled = (0..dice.between(0, 4)).map(|_| ScheduledFault {
        at: Tick::from_us(dice.pick(&[0, 1_000, 100_000, 1_000_000]) * dice.between(1, 5)),
        target: dice.pick(&targets),
        kind: dice.pick(&[FaultKind::Crash, FaultKind::Crash, slow, FaultKind::LostTransfers]),
        duration: Tick::from_us(dice.pick(&[0, 1, 5_000, 300_000, 20_000_000])),
    });
    let scheduled = scheduled.collect();
    let mut random = Vec::new();
    for kind in [FaultKind::Crash, slow] {
        if dice.one_in(3) {
            let mean_s = dice.pick(&[0.0, 0.01, 0.5]);
            let duration = Delay { mean_s, std_dev_s: dice.pick(&[0.0, mean_s]) };
            let per_instance_hour = dice.pick(&[60.0, 3_600.0, 40_000.0]);
            random.push(RandomFault { kind, per_instance_hour, duration });
        }
    }
    FaultPlan {
        scheduled,
        random,
        transfer_loss: dice.pick(&[0.0, 0.0, 0.2, 1.0]),
        max_retries: dice.pick(&[0, 1, 3, 100]),
    }
}

/// A plan, and how long its clients wait.
fn plan(seed: u64) -> (Plan, Option<Tick>) {
    let mut dice = Dice(GoRand::new(seed as i64));
    let dice = &mut dice;
    let semantics = dice.pick(&[Semantics::CORRECTED, Semantics::REFERENCE]);
    let block_tokens = dice.pick(&[1, 4, 16, 16, 32]);
    let timeout = dice.one_in(3).then(|| Tick::from_us(dice.pick(&[1, 20_000, 500_000, 10_000_000])));
    let clients = (0..dice.between(1, 3)).map(|n| client(dice, n, timeout, block_tokens)).collect();
    let horizon = if dice.one_in(4) { Tick::from_us(dice.between(1, 3_000_000)) } else { Tick::MAX };
    let description = blis_workload::Workload {
        seed: dice.between(-9, 1_000_000),
        clients,
        horizon: if dice.one_in(2) { horizon } else { Tick::MAX },
        max_requests: Some(dice.between(1, 60) as u64),
        bounds_follow_ups: dice.one_in(4),
    };
    let prompt_blocks = dice.pick(&[100, 400, 1_100]) / block_tokens;
    let declares_budgets = dice.one_in(2);
    let cpu_tier = dice.one_in(5).then(|| CpuTierConfig {
        blocks: dice.between(1, 2 * prompt_blocks) as u32,
        bandwidth_tokens_per_us: dice.pick(&[0.2, 100.0]),
        base_latency: Tick::from_us(dice.pick(&[0, 30])),
    });
    let offload = (cpu_tier.is_none() && dice.one_in(5)).then(|| Arc::new(chain(dice, prompt_blocks)));
    let mut instance = InstanceConfig {
        kv_blocks: match dice.between(0, 3) {
            0 => dice.between(1, prompt_blocks),
            1 | 2 => dice.between(prompt_blocks, 3 * prompt_blocks),
            _ => 100 * prompt_blocks,
        } as u32,
        block_tokens: block_tokens as u32,
        max_num_seqs: dice.pick(&[1, 4, 256]),
        max_num_batched_tokens: dice.pick(&[7, 300, 2_048]),
        long_prefill_token_threshold: dice.pick(&[0, 0, 50]),
        max_model_len: dice.pick(&[0, 0, 200, 1_200]),
        // Decoding requests stand still for prompts in the corrected reading only.
        batch_formation: if semantics == Semantics::CORRECTED && dice.one_in(3) {
            BatchFormation::PrefillFirst
        } else {
            BatchFormation::Mixed
        },
        scheduler: dice.pick(&[
            SchedulerKind::Fcfs,
            SchedulerKind::PriorityFcfs,
            SchedulerKind::Sjf,
            SchedulerKind::ReversePriority,
        ]),
        preemption: dice.pick(&[PreemptionKind::Fcfs, PreemptionKind::Priority]),
        cpu_tier,
        offload,
        adapters: dice.one_in(4).then(|| Arc::new(adapters(dice))),
        host: dice.one_in(3).then(|| HostConfig {
            front_end_workers: dice.between(1, 3) as u32,
            front_end_us: dice.pick(&[0.0, 300.0, 20_000.0]),
            front_end_us_per_token: dice.pick(&[0.0, 5.7]),
            schedules_ahead: dice.one_in(2),
            recv_interval: dice.pick(&[1, 1, 10]),
            output_us_per_token: dice.pick(&[0.0, 30.0, 2_000.0]),
            stream_interval: dice.pick(&[1, 20]),
        }),
        ranks: None,
        horizon,
        semantics,
    };
    let latency = match latency(dice) {
        // The reference's reading knows no stages, and no other formation of batches goes with them.
        stage
            if semantics == Semantics::CORRECTED
                && instance.batch_formation == BatchFormation::Mixed
                && dice.one_in(4) =>
        {
            let stages = vec![stage; dice.between(2, 4) as usize];
            Arc::new(Pipeline::of_stages(stages, dice.real(0.0, 50.0), dice.real(0.0, 0.5)))
        }
        whole => whole,
    };
    // Thrown with dice of their own, so that the other scenarios stay what they are.
    let rank_dice = &mut Dice(GoRand::new(seed as i64 ^ 0x7a_2c));
    if semantics == Semantics::CORRECTED && latency.pipeline().is_none() && rank_dice.one_in(3) {
        instance.ranks = Some(RankConfig {
            count: rank_dice.between(1, 4) as u32,
            balancing: rank_dice.pick(&[RankBalancing::LeastLoaded, RankBalancing::RoundRobin]),
        });
    }
    let disaggregation = dice.one_in(3).then(|| disaggregation(dice, &instance, &latency));
    let comes_and_goes = disaggregation.is_none() && dice.one_in(3);
    let elastic = comes_and_goes.then(|| elastic(dice, &instance, &latency));
    let delay = |dice: &mut Dice| Tick::from_us(dice.pick(&[0, 0, 0, 1, 700, 50_000]));
    let mut plan = Plan {
        semantics,
        seed: dice.between(0, 1_000),
        horizon,
        instances: match &disaggregation {
            None => dice.pick(&[1, 2, 3, 5, 8]),
            Some(DisaggregationPlan { pools, .. }) => {
                pools.prefill + pools.decode + pools.shared + pools.encode + dice.between(0, 1) as u32
            }
        },
        instance,
        latency,
        disaggregation,
        elastic,
        warm_up: None,
        starts_warm: false,
        faults: None,
        admission: admission(dice),
        flow_control: dice.one_in(3).then(|| flow_control(dice)),
        admission_latency: delay(dice),
        routing: routing(dice),
        routing_latency: delay(dice),
        snapshot_refresh_interval: delay(dice),
        cache_signal_delay: delay(dice),
        priorities: SloTable::default(),
        model: "m".to_owned(),
        further_models: Vec::new(),
        workload: Workload::new(move || {
            Box::new(Wrapped { declares_budgets, ..Wrapped::new(description.stream()) })
        }),
        trace: None,
        slo_targets: SloTargets::new(),
        saturation: None,
        detail: Detail::PerRequest,
    };
    plan.warm_up = warm_up(dice);
    plan.starts_warm = dice.one_in(3);
    plan.faults = dice.one_in(2).then(|| faults(dice));
    let knows_one_model = plan.disaggregation.is_some() || plan.elastic.is_some() || plan.faults.is_some();
    if !knows_one_model && plan.flow_control.is_none() && dice.one_in(2) {
        let kind = InstanceKind { config: plan.instance.clone(), latency: self::latency(dice) };
        let instances = dice.between(1, 3) as u32;
        plan.further_models = vec![ModelPlan { model: "other".to_owned(), instances, kind }];
    }
    (plan, timeout)
}

/// Up to four adapters, not all of which requests name, and fewer slots.
fn adapters(dice: &mut Dice) -> AdapterConfig {
    let count = dice.between(1, 4);
    let mut adapters = Vec::new();
    for n in 0..count {
        adapters.push(AdapterModel {
            name: format!("a{n}"),
            rank: dice.pick(&[8, 16, 64]),
            load_time: Tick::from_us(dice.pick(&[1, 2_500, 300_000])),
        });
    }
    AdapterConfig {
        adapters,
        capacity: dice.between(1, count) as u32,
        overhead: vec![OverheadTier { rank: 8, per_adapter: dice.pick(&[0.0, 0.1]) }],
    }
}

/// A chain of up to two devices, for prompts of `prompt_blocks` blocks.
fn chain(dice: &mut Dice, prompt_blocks: i64) -> OffloadConfig {
    let devices = dice.between(0, 2);
    let tiers = (0..devices).map(|_| {
        let base_latency = Tick::from_us(dice.pick(&[0, 80, 30_000]));
        let channel = Channel { bytes_per_us: dice.pick(&[1.0, 500.0, 7_000.0]), base_latency };
        OffloadTierConfig {
            read_threads: dice.between(1, 16) as u32,
            write_threads: dice.between(1, 16) as u32,
            device: DeviceModel {
                read: channel,
                write: channel,
                saturation_depth: dice.pick(&[1, 4]),
                single_transfer_fraction: dice.pick(&[1.0, 0.3]),
                jitter_stddev: dice.pick(&[0.0, 0.5]),
            },
        }
    });
    let tiers = tiers.collect();
    OffloadConfig {
        cpu_blocks: dice.between(1, 4 * prompt_blocks) as u64,
        block_bytes: 65_536,
        prompt_only: dice.one_in(2),
        seed: dice.between(0, 1_000),
        tiers,
    }
}

/// A stream that others see differently.
struct Wrapped {
    inner: Box<dyn RequestSource>,
    reactive: bool,
    /// Of every `of` requests, only number `nth` is sent.
    of: usize,
    nth: usize,
    /// Clients that do not declare a budget have their answers cut short at the longest model length.
    declares_budgets: bool,
    /// Prompts that begin with a shared prefix are told in a way that has all their blocks named.
    names_all_blocks: bool,
}

impl Wrapped {
    fn new(inner: Box<dyn RequestSource>) -> Self {
        Self {
            reactive: inner.is_reactive(),
            inner,
            of: 1,
            nth: 0,
            declares_budgets: true,
            names_all_blocks: false,
        }
    }

    fn seen(&self, mut request: RequestSpec) -> RequestSpec {
        if !self.declares_budgets {
            request.max_output_tokens = 0;
        }
        if self.names_all_blocks
            && let Content::Shared { prompt, .. } = &mut request.content
        {
            prompt.insert(1, Segment::Fresh { uid: 0, tokens: 0, head: [0; HEAD_TOKENS] });
        }
        request
    }
}

impl RequestSource for Wrapped {
    fn next_arrival(&mut self) -> Option<RequestSpec> {
        let skipped = |source: &mut Self, count| (0..count).all(|_| source.inner.next_arrival().is_some());
        if !skipped(self, self.nth) {
            return None;
        }
        let request = self.inner.next_arrival();
        skipped(self, self.of - 1 - self.nth);
        request.map(|request| self.seen(request))
    }

    fn is_reactive(&self) -> bool {
        self.reactive
    }

    fn on_end(&mut self, ended: SessionRound, at: Tick, end: RequestEnd) -> Option<RequestSpec> {
        let follow_up = self.inner.on_end(ended, at, end);
        assert!(follow_up.is_none() || self.inner.is_reactive(), "a stream that is not reactive reacts");
        follow_up.map(|request| self.seen(request))
    }

    fn labels(&self) -> &[Labels] {
        self.inner.labels()
    }

    fn session_name(&self, session: SessionId) -> &str {
        self.inner.session_name(session)
    }

    fn groups(&self) -> &[Vec<u32>] {
        self.inner.groups()
    }
}

/// A workload of the same requests as if their ends could bring others.
fn as_if_reactive(workload: &Workload) -> Workload {
    let workload = workload.clone();
    Workload::new(move || Box::new(Wrapped { reactive: true, ..Wrapped::new(workload.stream()) }))
}

/// A workload of the same requests whose blocks are all named.
fn with_all_blocks_named(workload: &Workload) -> Workload {
    let workload = workload.clone();
    Workload::new(move || Box::new(Wrapped { names_all_blocks: true, ..Wrapped::new(workload.stream()) }))
}

/// One of every `of` requests.
fn share(workload: &Workload, of: usize, nth: usize) -> Workload {
    let workload = workload.clone();
    Workload::new(move || Box::new(Wrapped { of, nth, ..Wrapped::new(workload.stream()) }))
}

fn check(seed: u64) {
    let (plan, timeout) = plan(seed);
    let outcome = run(&plan);
    check_endings(&plan, &outcome);
    let tokens: u64 = records(&outcome).iter().map(|r| u64::from(r.produced_tokens)).sum();
    assert_eq!(tokens, outcome.cluster.output_tokens, "tokens of all requests");
    for record in records(&outcome) {
        check_record(&plan, timeout, record, outcome.cluster.preemptions > 0);
    }
    check_looked_at(&plan, &outcome);

    let mut brief = run(&Plan { detail: Detail::Aggregate, ..plan.clone() });
    brief.requests.clone_from(&outcome.requests);
    assert_eq!(outcome, brief, "keeping records changes nothing else");

    let named = run(&Plan { workload: with_all_blocks_named(&plan.workload), ..plan.clone() });
    assert_eq!(outcome, named, "counting blocks is the same as naming them");

    let is_one_kind = plan.disaggregation.is_none() && plan.further_models.is_empty();
    if plan.instances == 1 && is_one_kind && plan.elastic.is_none() {
        let registry = Registry::built_in();
        let scorers: Vec<_> =
            registry.scorers.entries().iter().map(|&scorer| (scorer.with_defaults(), 1.0)).collect();
        for name in registry.routing.names() {
            let routing = RoutingPlan { scorers: scorers.clone(), ..support::routing(name) };
            let other = run(&Plan { routing, ..plan.clone() });
            assert_eq!(outcome, other, "one instance leaves {name} no choice");
        }
    }
    if !plan.workload.stream().is_reactive() {
        let in_order = run(&Plan { workload: as_if_reactive(&plan.workload), ..plan.clone() });
        assert_eq!(outcome, in_order, "clocks that lag show nothing");
        check_independence(&plan);
    }
}

/// The same plan gives the same outcome, whether somebody looks or not.
fn check_looked_at(plan: &Plan, outcome: &Outcome) {
    let mut timeline = Timeline::default();
    assert_eq!(*outcome, run_observed(plan, &mut timeline), "looking changes the outcome");
    let samples = timeline.samples();
    assert!(samples.windows(2).all(|two| two[0].arrived <= two[1].arrived && two[0].ended <= two[1].ended));
    for sample in samples {
        assert!(sample.ended <= sample.arrived, "more ended than arrived: {sample:?}");
        let ordered = sample.kv_least <= sample.kv_mean + 1e-9 && sample.kv_mean <= sample.kv_most + 1e-9;
        assert!(ordered && sample.kv_most <= 1.0, "{sample:?}");
    }
    let arrived = samples.last().map_or(0, |sample| sample.arrived);
    assert!(arrived <= outcome.conservation.injected);
}

/// Every request ends once, and only a horizon or a deadlock leaves any behind.
fn check_endings(plan: &Plan, outcome: &Outcome) {
    let c = &outcome.conservation;
    assert!(c.holds(), "requests are lost: {c:?}");
    assert_eq!(c.injected, records(outcome).len() as u64, "every request has a record");
    match &outcome.faults {
        Some(faults) => {
            assert_eq!(
                faults.lost_requests,
                faults.retries + c.failed,
                "who is lost is tried again or fails"
            );
        }
        None => assert_eq!(c.failed, 0, "a request fails without a fault"),
    }
    let left = c.still_queued + c.still_running + c.in_pipeline + c.still_at_gateway;
    match &outcome.ending {
        RunEnding::Completed => assert_eq!(left, 0, "a completed run leaves nobody behind"),
        RunEnding::HorizonReached => assert!(plan.horizon < Tick::MAX, "there is no horizon"),
        RunEnding::Deadlock(text) => assert!(
            nobody_may_be_left(plan)
                || (plan.instance.cpu_tier.is_some()
                    || plan.instance.offload.is_some()
                    || plan.disaggregation.is_some())
                    && plan.semantics.reload_without_credit,
            "only reloads that refused allocations leave with waiting requests, and requests that hold \
             the blocks that others wait for, may end so: {text}"
        ),
    }
    let names: std::collections::BTreeSet<_> = records(outcome).iter().map(|r| r.name.to_string()).collect();
    assert_eq!(names.len(), records(outcome).len(), "names are unique");
}

/// Whether the last instance may go, or none starts.
fn nobody_may_be_left(plan: &Plan) -> bool {
    plan.elastic.as_ref().is_some_and(|elastic| {
        let all_may_go = elastic
            .autoscaler
            .as_ref()
            .is_some_and(|scaler| scaler.min_replicas == 0 || plan.semantics.autoscaler_lets_everything_go);
        all_may_go || !elastic.node_pools.is_empty()
    })
}

/// A request's figures are in order and complete.
fn check_record(plan: &Plan, timeout: Option<Tick>, record: &RequestRecord, anybody_evicted: bool) {
    let keeps_failures = plan.disaggregation.is_some() && plan.semantics.failed_splits_have_latencies;
    if keeps_failures && record.ending != RequestEnding::Completed {
        return;
    }
    let zero_or_more = |t: Option<Tick>| t.is_none_or(|t| t >= Tick::ZERO);
    assert!(zero_or_more(record.scheduling_delay), "scheduled before it arrived: {record:?}");
    if let Some(ttft) = record.ttft {
        // Who was evicted may keep the first token of an attempt before the last admission.
        let in_order = record.scheduling_delay.is_some_and(|delay| delay <= ttft);
        assert!(in_order || anybody_evicted, "its first token comes before its admission: {record:?}");
    }
    let is_completed = record.ending == RequestEnding::Completed;
    assert_eq!(record.e2e.is_some(), is_completed, "who completed has a latency: {record:?}");
    if !is_completed {
        assert_eq!(record.produced_tokens, 0, "only completed requests count tokens: {record:?}");
        return;
    }
    let (ttft, e2e) = (record.ttft.expect("a first token"), record.e2e.expect("a latency"));
    assert!(e2e >= ttft, "it ends before its first token: {record:?}");
    if record.length_capped {
        assert!(record.produced_tokens < record.output_tokens, "capped at its full length: {record:?}");
    } else {
        assert_eq!(
            record.produced_tokens, record.output_tokens,
            "it got what it was planned to get: {record:?}"
        );
    }
    if let Some(timeout) = timeout
        && !plan.semantics.step_effects_at_start
    {
        let tokens = i64::from(record.produced_tokens.max(1));
        let own = plan.disaggregation.as_ref().map_or(&plan.latency, |own| &own.decode.latency);
        let further = plan.further_models.iter().map(|model| &model.kind.latency);
        let overheads = |latency: &Arc<dyn LatencyModel>| {
            let after = if record.output_tokens > 0 { latency.overheads().post_decode } else { Tick::ZERO };
            tokens * latency.overheads().output_token.as_us() + after.as_us()
        };
        let overheads = further.chain([own]).map(overheads).max().expect("a model");
        // What queues on its way out has left the server.
        let queues_outside = plan.instance.host.is_some_and(|host| host.output_us_per_token > 0.0);
        let left = record.left_at.filter(|_| queues_outside).map(|at| at - record.arrival);
        let served = left.unwrap_or(e2e).as_us() - overheads;
        assert!(served <= timeout.as_us(), "its client gave up long ago: {record:?}");
    }
}

/// In a fixed rotation, each instance does what it would do alone with its share.
fn check_independence(plan: &Plan) {
    let plan = Plan {
        routing: support::routing("round-robin"),
        admission: support::admission("always-admit", &[]),
        disaggregation: None,
        elastic: None,
        faults: None,
        further_models: Vec::new(),
        flow_control: None,
        admission_latency: Tick::ZERO,
        routing_latency: Tick::ZERO,
        ..plan.clone()
    };
    let together = run(&plan);
    if together.conservation.rejected_by_routing > 0 {
        return;
    }
    for nth in 0..plan.instances {
        let workload = share(&plan.workload, plan.instances as usize, nth as usize);
        let alone = run(&Plan { instances: 1, workload, ..plan.clone() });
        let mut own: Vec<_> =
            records(&together).iter().filter(|r| r.instance == Some(InstanceId(nth))).cloned().collect();
        for record in &mut own {
            record.instance = Some(InstanceId(0));
        }
        assert_eq!(own, records(&alone), "instance {nth} depends on the others");
        assert_eq!(
            together.instances[nth as usize], alone.instances[0],
            "instance {nth} depends on the others"
        );
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|e| panic!("{variable}: {e}")))
}

#[test]
fn whole_runs_keep_the_laws() {
    const THREADS: u64 = 2;
    let (count, first) = (number("BLIS_FUZZ_SCENARIOS", 10_000), number("BLIS_FUZZ_SEED", 0));
    let current: Arc<[AtomicU64]> = (0..THREADS).map(|_| AtomicU64::new(0)).collect();
    let (report, reports) = mpsc::channel();
    for thread in 0..THREADS {
        let (report, current) = (report.clone(), Arc::clone(&current));
        std::thread::spawn(move || {
            for seed in (first + thread..first + count).step_by(THREADS as usize) {
                current[thread as usize].store(seed, Ordering::Relaxed);
                let result = panic::catch_unwind(AssertUnwindSafe(|| check(seed)));
                if report.send(result.map_err(|_| seed)).is_err() {
                    return;
                }
            }
        });
    }
    drop(report);
    for _ in 0..count {
        match reports.recv_timeout(LONGEST_SCENARIO).or_else(|_| reports.recv_timeout(LONGEST_SCENARIO)) {
            Ok(Ok(())) => {}
            Ok(Err(seed)) => panic!("seed {seed}\n{:#?}", plan(seed).0),
            Err(waiting) => panic!("one of the seeds {current:?} has no end ({waiting})"),
        }
    }
}
