//! Three times the load that the instances can serve: what a gateway queue does for the requests that matter.

use blis::RunOptions;
use blis::options::{Traffic, WorkloadOptions};
use std::path::PathBuf;

/// Time to the first token within which critical requests are to be served, µs.
const TARGET_US: f64 = 2e6;

/// The 99th percentile of the time to the first token of critical requests, µs.
fn critical_ttft_p99_us(policy_config: Option<PathBuf>) -> f64 {
    let scenarios = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let options = RunOptions {
        model: Some("qwen/qwen3-14b".into()),
        num_instances: Some(2),
        routing_policy: Some("least-loaded".into()),
        policy_config: policy_config.map(|file| scenarios.join(file)),
        traffic: Traffic::Synthesised(WorkloadOptions {
            spec: Some(scenarios.join("overload.yaml")),
            timeout_s: Some(-1),
            ..WorkloadOptions::default()
        }),
        ..RunOptions::default()
    };
    let outcome = blis::run(&blis::plan(&options).expect("a valid scenario"));
    assert_eq!(outcome.conservation.completed, outcome.conservation.injected, "all are served in the end");
    outcome.classes["critical"].ttft_us.p99
}

#[test]
fn a_gateway_queue_keeps_critical_requests_within_their_target() {
    assert!(critical_ttft_p99_us(Some("overload-policy.yaml".into())) <= TARGET_US);
    assert!(critical_ttft_p99_us(None) > 50.0 * TARGET_US, "without it they wait like everybody else");
}
