//! One of four instances crashes for a minute: what it takes with it.

use blis::options::{Traffic, WorkloadOptions};
use blis::{Outcome, RunOptions};
use std::path::PathBuf;

fn outcome(policy_file: &str) -> Outcome {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let options = RunOptions {
        model: Some("meta-llama/llama-3.1-8b-instruct".into()),
        hardware: Some("H100".into()),
        tp: Some(1),
        num_instances: Some(4),
        policy_config: Some(root.join(policy_file)),
        traffic: Traffic::Synthesised(WorkloadOptions {
            spec: Some(root.join("scenarios/faults.yaml")),
            timeout_s: Some(-1),
            ..WorkloadOptions::default()
        }),
        ..RunOptions::default()
    };
    blis::run(&blis::plan(&options).expect("a valid scenario"))
}

#[test]
fn requests_of_a_crashed_instance_begin_anew_and_all_are_served() {
    let outcome = outcome("scenarios/faults-policy.yaml");
    let faults = outcome.faults.expect("there are faults");
    assert_eq!((faults.crashes, faults.downtime_s), (1, 60.0));
    assert_eq!((faults.lost_requests, outcome.conservation.failed), (faults.retries, 0));
    assert!((50..=1_000).contains(&faults.retries), "{} requests were on the instance", faults.retries);
    assert_eq!((outcome.conservation.injected, outcome.conservation.completed), (24_000, 24_000));
    let ttft = outcome.cluster.ttft_ms;
    assert!(ttft.p99 > 10.0 * ttft.p50, "three instances have the load of four for a minute: {ttft:?}");
}

#[test]
fn the_example_has_a_crash_a_slowdown_and_cold_starts() {
    let faults = outcome("examples/faults-policy.yaml").faults.expect("there are faults");
    assert_eq!((faults.crashes, faults.slowdowns), (1, 1));
    assert!(faults.retries > 0);
}
