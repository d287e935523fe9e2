//! Two models of different size behind one gateway: each request is served by instances of its model.

use blis::RunOptions;
use blis::options::{GatewayOptions, Traffic, WorkloadOptions};
use std::path::Path;

fn options() -> RunOptions {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    RunOptions {
        model: Some("meta-llama/llama-3.1-8b-instruct".into()),
        num_instances: Some(2),
        policy_config: Some(scenarios.join("two-models-policy.yaml")),
        traffic: Traffic::Synthesised(WorkloadOptions {
            spec: Some(scenarios.join("two-models.yaml")),
            timeout_s: Some(-1),
            ..WorkloadOptions::default()
        }),
        ..RunOptions::default()
    }
}

#[test]
fn every_request_is_served_by_its_model() {
    let outcome = blis::run(&blis::plan(&options()).expect("a valid scenario"));
    assert_eq!(outcome.conservation.completed, outcome.conservation.injected, "nobody is turned away");
    let models: Vec<_> =
        outcome.models.iter().map(|(name, figures)| (name.as_str(), figures.ttft_us.count)).collect();
    let [(large, few), (small, many)] = models[..] else { panic!("two models: {models:?}") };
    assert!(large.contains("70b") && small.contains("8b"));
    let of_instances: Vec<_> = outcome.instances.iter().map(|instance| instance.completed).collect();
    let [a, b, c, d] = of_instances[..] else { panic!("four instances") };
    assert_eq!((a + b, c + d), (many, few));
}

#[test]
fn what_knows_one_model_only_is_refused_beside_several() {
    let refused = RunOptions {
        gateway: GatewayOptions { enabled: Some(true), ..GatewayOptions::default() },
        model: Some("meta-llama/llama-3.1-70b-instruct".into()),
        hardware: Some("H100".into()),
        tp: Some(4),
        ..options()
    };
    let problems: Vec<_> = blis::plan(&refused).unwrap_err().iter().map(ToString::to_string).collect();
    let told = |part: &str| problems.iter().any(|problem| problem.contains(part));
    assert!(told("models does not go with --flow-control"), "{problems:?}");
    assert!(told("models: meta-llama/llama-3.1-70b-instruct is there twice"), "{problems:?}");
}
