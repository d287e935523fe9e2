//! Long prompts in bursts: what prefill instances of their own do for those who are being answered, and what they cost.

use blis::options::{PoolOptions, Traffic, WorkloadOptions};
use blis::{Outcome, RunOptions};
use std::path::PathBuf;

fn outcome(prefill_instances: i64) -> Outcome {
    let scenarios = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let options = RunOptions {
        model: Some("meta-llama/llama-3.1-8b-instruct".into()),
        hardware: Some("H100".into()),
        tp: Some(1),
        num_instances: Some(4),
        max_num_batched_tokens: Some(16_384),
        routing_policy: Some("least-loaded".into()),
        pools: PoolOptions {
            prefill_instances: Some(prefill_instances),
            decode_instances: Some(if prefill_instances > 0 { 4 - prefill_instances } else { 0 }),
            decider: Some(if prefill_instances > 0 { "always" } else { "never" }.into()),
            ..PoolOptions::default()
        },
        traffic: Traffic::Synthesised(WorkloadOptions {
            spec: Some(scenarios.join("long-prompts.yaml")),
            ..WorkloadOptions::default()
        }),
        ..RunOptions::default()
    };
    let outcome = blis::run(&blis::plan(&options).expect("a valid scenario"));
    assert_eq!(outcome.conservation.completed, outcome.conservation.injected, "all are served");
    outcome
}

#[test]
fn prefill_instances_halve_the_worst_pauses_and_lengthen_the_first_wait() {
    let (together, apart) = (outcome(0).cluster, outcome(2).cluster);
    assert!(apart.itl_ms.p99 < 0.5 * together.itl_ms.p99, "pauses between tokens");
    assert!(apart.ttft_ms.p99 > 1.2 * together.ttft_ms.p99, "two instances process every prompt");
}
