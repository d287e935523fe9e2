//! Policy files: what they set, what goes before them, and what is wrong with them.

use blis_config::options::RunOptions;
use blis_config::policy_file::lay_under;
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
