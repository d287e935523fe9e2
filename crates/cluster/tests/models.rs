//! Several models behind one gateway.

mod support;

use blis_cluster::plan::{InstanceKind, ModelPlan, Plan};
use blis_cluster::run;
use blis_kernel::{InstanceId, Tick};
use blis_latency::{Blackbox, Coefficients};
use blis_metrics::{RequestEnding, RequestRecord};
use std::sync::Arc;
use support::{Script, plan, records, request, routing, scripted, weighted};

/// Steps of 1000 µs on two instances of "m", and of 300 µs on three of "other".
fn two_models(requests: &[Script]) -> Plan {
    let coefficients = Coefficients { alpha: vec![0.0; 3], beta: vec![300.0, 0.0, 0.0] };
    let own = Plan { instances: 2, ..plan([1000.0, 0.0, 0.0], scripted(requests)) };
    let kind = InstanceKind {
        config: own.instance.clone(),
        latency: Arc::new(Blackbox::new(&coefficients).expect("valid coefficients")),
    };
    Plan { further_models: vec![ModelPlan { model: "other".to_owned(), instances: 3, kind }], ..own }
}

fn asks_for(model: &'static str, script: Script) -> Script {
    Script { model, ..script }
}

fn served_by(record: &RequestRecord) -> Option<u32> {
    record.instance.map(|InstanceId(number)| number)
}

#[test]
fn the_model_that_a_request_names_selects_the_instances_and_their_speed() {
    let of = |model| asks_for(model, request(0, 10, 1));
    let requests = [of("m"), of("other"), of("m"), of("other"), of("other"), of("other"), of("nobody's")];
    let outcome = run(&two_models(&requests));
    let records = records(&outcome);
    // Each model has a rotation of its own.
    let instances: Vec<_> = records.iter().map(served_by).collect();
    assert_eq!(instances, [Some(0), Some(2), Some(1), Some(3), Some(4), Some(2), None]);
    let ttft_us: Vec<_> = records.iter().map(|record| record.ttft.map(Tick::as_us)).collect();
    assert_eq!(ttft_us[..4], [Some(1000), Some(300), Some(1000), Some(300)]);
    assert_eq!(records[6].ending, RequestEnding::RejectedByRouting);
    assert_eq!(outcome.instances.len(), 5);
}

#[test]
fn a_request_that_names_no_model_goes_anywhere() {
    let requests: Vec<_> = (0..5).map(|n| request(n, 10, 1)).collect();
    let outcome = run(&two_models(&requests));
    let instances: Vec<_> = records(&outcome).iter().map(served_by).collect();
    assert_eq!(instances, [0, 1, 2, 3, 4].map(Some));
}

#[test]
fn two_models_in_one_cluster_are_two_clusters() {
    let shared = |n: i64| if n % 3 == 0 { 64 } else { 0 };
    let script = |n: i64| {
        let model = if n * n % 7 < 3 { "m" } else { "other" };
        let own = request(n * 211, 20 + (n * 37 % 300) as u32, 1 + (n * 53 % 90) as u32);
        Script { shared: shared(n), ..asks_for(model, own) }
    };
    let requests: Vec<_> = (0..400).map(script).collect();
    let routings = [
        routing("round-robin"),
        routing("least-loaded"),
        weighted("prefix-affinity:2,queue-depth:1"),
        weighted("precise-prefix-cache:2,kv-utilization:1,no-hit-lru:1"),
    ];
    for routing in routings {
        let together = Plan { routing, ..two_models(&requests) };
        let outcome = run(&together);
        for (number, model) in ["m", "other"].into_iter().enumerate() {
            let own: Vec<_> = requests.iter().copied().filter(|script| script.model == model).collect();
            let alone = Plan { workload: scripted(&own), further_models: Vec::new(), ..together.clone() };
            let (alone, first) = match together.further_models[..] {
                [ModelPlan { ref model, instances, ref kind }] if number == 1 => {
                    let (instance, latency) = (kind.config.clone(), kind.latency.clone());
                    (Plan { model: model.clone(), instances, instance, latency, ..alone }, together.instances)
                }
                _ => (alone, 0),
            };
            let figures = |record: &RequestRecord, first: u32| {
                (record.arrival, served_by(record).map(|n| n - first), record.ttft, record.e2e)
            };
            let of_model = |record: &&RequestRecord| requests[record.labels as usize].model == model;
            let expected = run(&alone);
            let expected: Vec<_> = records(&expected).iter().map(|record| figures(record, 0)).collect();
            let ours: Vec<_> =
                records(&outcome).iter().filter(of_model).map(|record| figures(record, first)).collect();
            assert_eq!(ours, expected, "{model}");
        }
    }
}
