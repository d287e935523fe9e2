//! What requests cost before anything is simulated.

#[path = "../tests/support/traffic.rs"]
mod traffic;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const REQUESTS: u64 = 100_000;

fn generation(c: &mut Criterion) {
    let mut group = c.benchmark_group("generate");
    group.sample_size(10).throughput(Throughput::Elements(REQUESTS));
    for (kind, _) in traffic::KINDS {
        let workload = traffic::workload(kind, REQUESTS);
        group.bench_function(kind, |b| {
            b.iter_batched(
                || workload.stream(),
                |mut source| traffic::count(&mut *source),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    let workload = traffic::workload("cohort", REQUESTS);
    let mut group = c.benchmark_group("prepare");
    group.sample_size(10).throughput(Throughput::Elements(workload.clients.len() as u64));
    group.bench_function("a cohort of 100,000", |b| b.iter_with_large_drop(|| workload.stream()));
    group.finish();
}

criterion_group!(benches, generation);
criterion_main!(benches);
