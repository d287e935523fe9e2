//! How many instances does a rate need? Doubles their number until 99 of 100 requests get their first token in time.
//!
//! `cargo run --release -p blis --example instances`

#![allow(clippy::print_stdout, reason = "an example shows its answer")]

use blis::options::{RunOptions, Traffic, WorkloadOptions};

const LIMIT_MS: f64 = 100.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for instances in [1, 2, 4, 8, 16] {
        let options = RunOptions {
            model: Some("qwen/qwen3-14b".into()),
            num_instances: Some(instances),
            routing_policy: Some("weighted".into()),
            traffic: Traffic::Synthesised(WorkloadOptions {
                rate: Some(60.0),
                num_requests: Some(2000),
                ..WorkloadOptions::default()
            }),
            ..RunOptions::default()
        };
        let plan = blis::plan(&options).map_err(|problems| problems[0].clone())?;
        let outcome = blis::run(&plan);
        let ttft_p99_ms = outcome.cluster.ttft_ms.p99;
        println!("{instances:>2} instances: TTFT p99 {ttft_p99_ms:.1} ms");
        if ttft_p99_ms <= LIMIT_MS {
            break;
        }
    }
    Ok(())
}
