//! Policy files: what they set, what goes before them, and what is wrong with them.

use blis_cluster::{
    Delay, DrainPolicy, FaultKind, FaultPlan, FaultTarget, RandomFault, ScheduledFault, WarmUp,
};
use blis_config::options::RunOptions;
use blis_config::policy_file::lay_under;
use blis_kernel::Tick;
use blis_policy::Registry;

fn laid_under(mut options: RunOptions, text: &str) -> RunOptions {
    lay_under(&mut options, text, "p.yaml", &Registry::built_in()).expect("a valid file");
    options
}

fn read(text: &str) -> RunOptions {
    laid_under(RunOptions::default(), text)
}

fn problems(text: &str) -> Vec<String> {
    let found = lay_under(&mut RunOptions::default(), text, "p.yaml", &Registry::built_in()).unwrap_err();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn every_block_reaches_its_options() {
    let options = read(
        "admission:
  policy: tier-shed
  tier_shed_threshold: 40
  slo_priorities: {batch: 0}
  slo_targets: {critical: 80000}
routing:
  policy: weighted
  scorers:
    - {name: precise-prefix-cache, weight: 3}
    - {name: active-requests, weight: 2}
scheduler: priority-fcfs
preemption: {policy: priority}
tenant_budgets: {team-a: 0.5}
flow_control: {saturation_detector: utilization, queue_depth_threshold: 2, request_ttl: 5000}
usage_limit: {policy: soft-reflective-ceiling}
",
    );
    let text = |option: &Option<String>| option.clone().unwrap_or_default();
    assert_eq!(text(&options.admission_policy), "tier-shed");
    assert_eq!(options.policy_file_params["tier-shed-threshold"], 40.0);
    assert_eq!(options.policy_file_params["queue-depth-threshold"], 2.0);
    assert_eq!(options.slo_priorities["batch"], 0);
    assert_eq!(options.gateway.slo_targets_us.as_ref().map(|targets| targets["critical"]), Some(80_000));
    assert_eq!(text(&options.routing_policy), "weighted");
    assert_eq!(text(&options.routing_scorers), "precise-prefix-cache:3,active-requests:2");
    assert_eq!(text(&options.scheduler), "priority-fcfs");
    assert_eq!(text(&options.preemption_policy), "priority");
    assert_eq!(options.tenant_budgets["team-a"], 0.5);
    assert_eq!((options.gateway.enabled, options.gateway.request_ttl_us), (Some(true), Some(5_000)));
    assert_eq!(text(&options.gateway.usage_limit_policy), "soft-reflective-ceiling");
}

#[test]
fn what_is_given_otherwise_goes_before_the_file() {
    let given = RunOptions { scheduler: Some("sjf".into()), ..RunOptions::default() };
    let options = laid_under(given, "scheduler: fcfs\nrouting: {policy: least-loaded}\n");
    assert_eq!(options.scheduler.as_deref(), Some("sjf"));
    assert_eq!(options.routing_policy.as_deref(), Some("least-loaded"));
}

/// A file that chooses `tier-shed` protects ranks of 3 and more unless it says otherwise.
#[test]
fn tier_shed_of_a_file_protects_standard_requests() {
    let least = |text| read(text).policy_file_params.get("tier-shed-min-priority").copied();
    assert_eq!(least("admission: {policy: tier-shed}"), Some(3.0));
    assert_eq!(least("admission: {policy: tier-shed, tier_shed_min_priority: 0}"), Some(0.0));
    assert_eq!(least("admission: {policy: always-admit}"), None);
}

#[test]
fn all_problems_are_named_with_their_places() {
    let found = problems(
        "admission:
  policy: tiershed
  gaie_kv_threshold: 1.5
  token_bucket_capacity: many
  slo_priorities: {gold: 101}
routing:
  scorers:
    - {name: queue-depth, weight: -1}
    - {name: queue-depht, weight: 1}
schedular: fcfs
tenant_budgets: {a: 2}
",
    );
    let expected = [
        "p.yaml:2:11: unknown admission policy \"tiershed\"",
        "p.yaml:3:22: admission.gaie_kv_threshold is 1.5; it must be above 0 and at most 1",
        "p.yaml:4:26: admission.token_bucket_capacity is \"many\"; it must be a finite number above 0",
        "p.yaml:5:26: admission.slo_priorities.gold is 101; it must be a whole number from -100 to 100",
        "p.yaml:8:35: routing.scorers[0].weight is -1; it must be a finite number above 0",
        "p.yaml:9:14: unknown scorer \"queue-depht\"; did you mean \"queue-depth\"?",
        "p.yaml:11:21: tenant_budgets.a is 2; it must be from 0 to 1",
        "p.yaml:10:12: unknown key \"schedular\"",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} / {expected}");
    }
}

#[test]
fn a_file_without_anything_is_a_mistake() {
    assert_eq!(problems(" \n"), ["p.yaml: the file is empty"]);
    assert_eq!(problems("fcfs"), ["p.yaml: the file holds \"fcfs\"; it must be a mapping"]);
}

#[test]
fn faults_reach_the_plan() {
    let options = read(
        "node_pools:
  - {name: spot, gpu_type: H100}
faults:
  on_failure: retry
  max_retries: 2
  scheduled:
    - {kind: crash, at_s: 60, duration_s: 30.5, instance: 1}
    - {kind: slow, factor: 2, at_s: 1, duration_s: 5, pool: spot}
    - {kind: lost_transfers, at_s: 7, pool: decode}
  random:
    crash: {per_instance_hour: 0.1, duration: {mean: 60, stddev: 5}}
    slow: {per_instance_hour: 0, factor: 3}
    lost_transfers: {probability: 0.25}
",
    );
    let plan = options.faults.expect("faults").plan;
    let s = |seconds: f64| Tick::trunc(seconds * 1e6);
    let fault =
        |at, target, kind, duration| ScheduledFault { at: s(at), target, kind, duration: s(duration) };
    let scheduled = [
        fault(60.0, FaultTarget::Instance(1), FaultKind::Crash, 30.5),
        fault(1.0, FaultTarget::NodePool(0), FaultKind::Slow { factor: 2.0 }, 5.0),
        fault(7.0, FaultTarget::Decode, FaultKind::LostTransfers, 0.0),
    ];
    let crash = RandomFault {
        kind: FaultKind::Crash,
        per_instance_hour: 0.1,
        duration: Delay { mean_s: 60.0, std_dev_s: 5.0 },
    };
    let expected =
        FaultPlan { scheduled: scheduled.to_vec(), random: vec![crash], transfer_loss: 0.25, max_retries: 2 };
    assert_eq!(plan, expected);
    let retries = |text| read(text).faults.expect("faults").plan.max_retries;
    assert_eq!((retries("faults: {}"), retries("faults: {on_failure: retry}")), (0, 3));
}

#[test]
fn every_problem_of_faults_has_its_place() {
    let found = problems(
        "faults:
  on_failure: ignore
  scheduled:
    - {kind: crash, at_s: -1, duration_s: 5}
    - {kind: slow, at_s: 1, duration_s: 5}
    - {kind: slwo, at_s: 1, factor: 2}
    - {kind: crash, at_s: 1, duration_s: 5, pool: decod}
    - {kind: crash, at_s: 1, duration_s: 5, pool: decode, instance: 1}
    - {kind: crash, at_s: 1, factor: 2}
  random:
    crash: {duration: {mean: 5}}
    lost_transfers: {probability: 2}
  rate: 5
",
    );
    let expected = [
        "p.yaml:2:15: unknown on_failure \"ignore\", known: fail, retry",
        "p.yaml:4:27: faults.scheduled[0].at_s is -1; it must be from 0 to 31536000",
        "p.yaml:5:7: faults.scheduled[1] has no factor",
        "p.yaml:6:14: unknown kind of fault \"slwo\"",
        "p.yaml:7:51: unknown pool \"decod\"",
        "p.yaml:8:51: faults.scheduled[4].pool has no place beside instance",
        "p.yaml:9:7: faults.scheduled[5] has no duration_s",
        "p.yaml:9:38: unknown key of faults.scheduled[5] \"factor\"",
        "p.yaml:11:12: faults.random.crash has no per_instance_hour",
        "p.yaml:12:35: faults.random.lost_transfers.probability is 2; it must be from 0 to 1",
        "p.yaml:13:9: unknown key of faults \"rate\"",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} / {expected}");
    }
    let without_retry = problems("faults: {max_retries: 2}");
    assert_eq!(without_retry, ["p.yaml:1:23: faults.max_retries needs on_failure: retry"]);
}

#[test]
fn starts_and_ends_of_instances_reach_their_options() {
    let options = read(
        "node_pools:
  - {name: a, gpu_type: H100, min_nodes: 2, release_after_s: 600, warm_up_request_count: 1, warm_up_ttft_factor: 2}
instance_lifecycle: {warm_up_request_count: 8, warm_up_ttft_factor: 1.5}
autoscaler: {drain: redirect}
",
    );
    let pool = &options.elastic.node_pools[0];
    assert_eq!((pool.min_nodes, pool.release_after_s), (2, Some(600.0)));
    assert_eq!(pool.warm_up, Some(WarmUp { requests: 1, factor: 2.0 }));
    assert_eq!(options.elastic.warm_up, Some(WarmUp { requests: 8, factor: 1.5 }));
    assert_eq!(options.elastic.drain, Some(DrainPolicy::Redirect));
    assert_eq!(
        problems("instance_lifecycle: {warm_up_request_count: 8}\nautoscaler: {drain: now}"),
        [
            "p.yaml:2:21: unknown drain policy \"now\", known: immediate, redirect, wait",
            "p.yaml:1:45: instance_lifecycle.warm_up_request_count needs warm_up_ttft_factor beside it",
        ]
    );
}

#[test]
fn further_models_have_instances_of_their_own() {
    let options =
        read("models:\n  - {name: qwen/qwen3-14b, replicas: 3, gpu: H100, tp: 2, pp: 2}\n  - {name: b}\n");
    let [first, second] = &options.models[..] else { panic!("two models") };
    assert_eq!(
        (first.name.as_str(), first.replicas, first.gpu.as_deref()),
        ("qwen/qwen3-14b", 3, Some("H100"))
    );
    assert_eq!((first.tp, first.pp), (Some(2), Some(2)));
    assert_eq!((second.replicas, second.tp, &second.gpu), (1, None, &None));
    let found = problems("models:\n  - {name: a, replicas: 0, colour: red}\n  - {replicas: 1}\n");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains("replicas") && found[0].starts_with("p.yaml:2:"), "{found:?}");
    assert!(found[1].contains("colour"), "{found:?}");
    assert!(found[2].contains("an entry of models has no name"), "{found:?}");
}
