//! Whole runs, from options to outcome: the cases of `docs/performance.md` (the million-request case is too long to
//! repeat; its tenth stands for it).

use blis::RunOptions;
use blis::options::{LengthOptions, Traffic, WorkloadOptions};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

struct Case {
    name: &'static str,
    requests: u64,
    options: RunOptions,
}

fn weighted(name: &'static str, requests: u64, instances: u64, rate: f64) -> Case {
    let traffic =
        WorkloadOptions { rate: Some(rate), num_requests: Some(requests as i64), ..Default::default() };
    Case {
        name,
        requests,
        options: RunOptions {
            model: Some("qwen/qwen3-14b".into()),
            num_instances: Some(instances as i64),
            routing_policy: Some("weighted".into()),
            traffic: Traffic::Synthesised(traffic),
            ..RunOptions::default()
        },
    }
}

/// Users that send their next request when the last one ends; 1024 prompt and 128 output tokens.
fn closed_loop(name: &'static str, requests: u64, instances: u64, users: u64) -> Case {
    let traffic = WorkloadOptions {
        concurrency: Some(users as i64),
        num_requests: Some(requests as i64),
        prompt: LengthOptions { mean: Some(1024), stdev: Some(0), ..Default::default() },
        output: LengthOptions { mean: Some(128), stdev: Some(0), ..Default::default() },
        ..Default::default()
    };
    let mut case = weighted(name, requests, instances, 1.0);
    case.options.traffic = Traffic::Synthesised(traffic);
    case
}

fn runs(c: &mut Criterion) {
    let cases = vec![
        weighted("100 requests, 1 instance", 100, 1, 1.0),
        weighted("10,000 requests, 4 instances", 10_000, 4, 80.0),
        weighted("50,000 requests, 16 instances", 50_000, 16, 320.0),
        weighted("100,000 requests, 64 instances", 100_000, 64, 1280.0),
        closed_loop("closed loop, 64 users, 1 instance", 50_000, 1, 64),
        closed_loop("closed loop, 4,096 users, 64 instances", 200_000, 64, 4096),
    ];
    let mut group = c.benchmark_group("run");
    group.sample_size(10);
    for case in cases {
        group.throughput(Throughput::Elements(case.requests));
        group.bench_function(case.name, |b| {
            let plan = || blis::plan(&case.options).expect("the options are in range");
            b.iter_batched(plan, |plan| blis::run(&plan), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, runs);
criterion_main!(benches);
