//! More adapters than slots: routing by adapter keeps requests from waiting for loads.

use blis::RunOptions;
use blis::options::{LoraOptions, Traffic, WorkloadOptions};
use std::path::Path;

/// Loads, hits and the mean time to first token, ms, with this weight of the scorer: the medians of ten seeds, since a queue
/// that has once formed in front of the loads stays.
fn served(scorer_weight: Option<f64>) -> (u64, u64, f64) {
    let mut runs: Vec<_> = (1..=10).map(|seed| of_seed(scorer_weight, seed)).collect();
    runs.sort_by_key(|(loads, ..)| *loads);
    let (loads, hits, _) = runs[runs.len() / 2];
    runs.sort_by(|(.., a), (.., b)| a.total_cmp(b));
    (loads, hits, runs[runs.len() / 2].2)
}

fn of_seed(scorer_weight: Option<f64>, seed: i64) -> (u64, u64, f64) {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let options = RunOptions {
        model: Some("meta-llama/llama-3.1-8b-instruct".into()),
        num_instances: Some(3),
        seed: Some(seed),
        routing_policy: Some("weighted".into()),
        lora: LoraOptions {
            config: Some(scenarios.join("lora-adapters.yaml")),
            scorer_weight,
            ..LoraOptions::default()
        },
        traffic: Traffic::Synthesised(WorkloadOptions {
            spec: Some(scenarios.join("lora.yaml")),
            timeout_s: Some(-1),
            ..WorkloadOptions::default()
        }),
        ..RunOptions::default()
    };
    let outcome = blis::run(&blis::plan(&options).expect("a valid scenario"));
    let completed = outcome.conservation.completed;
    assert_eq!(completed, outcome.conservation.injected, "nobody is lost");
    let counts = || outcome.cluster.adapters.values().map(|adapter| adapter.counts);
    let (loads, hits): (u64, u64) = (counts().map(|c| c.loads).sum(), counts().map(|c| c.hits).sum());
    assert_eq!(loads + hits, completed, "every request has its load or finds its adapter");
    for instance in &outcome.instances {
        let resident: i64 =
            instance.adapters.values().map(|a| a.counts.loads as i64 - a.counts.evictions as i64).sum();
        assert!((0..=2).contains(&resident), "{resident} adapters in two slots");
    }
    (loads, hits, outcome.cluster.ttft_ms.mean)
}

#[test]
fn requests_that_go_where_their_adapter_is_wait_less() {
    let (blind_loads, _, blind_ttft_ms) = served(None);
    let (loads, hits, ttft_ms) = served(Some(3.0));
    assert!(loads * 3 < blind_loads && loads * 3 < hits, "{loads} loads, {blind_loads} without the scorer");
    assert!(ttft_ms * 10.0 < blind_ttft_ms, "{ttft_ms} ms, {blind_ttft_ms} without the scorer");
    let (light_loads, _, light_ttft_ms) = served(Some(0.3));
    assert!(
        light_loads * 10 > blind_loads * 9,
        "with little weight the other scorers decide: {light_loads} loads"
    );
    assert!(light_ttft_ms > 10.0 * ttft_ms);
}
