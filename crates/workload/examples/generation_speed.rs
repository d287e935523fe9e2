//! Prints what one request costs to generate: `cargo run --release -p blis-workload --example generation_speed`.

#![allow(clippy::print_stdout)]

use blis_kernel::Tick;
use blis_kernel::rng::GoRand;
use blis_workload::{NormalLengths, SyntheticLoad, SyntheticParams, VOCABULARY};
use std::hint::black_box;
use std::time::Instant;

const REQUESTS: u64 = 1_000_000;

fn main() {
    let lengths = |tokens| NormalLengths { mean: tokens, std_dev: tokens / 2, min: 2, max: 7_000 };
    for (name, tokens, prefix_tokens) in
        [("512/512", 512, 0), ("512/512 behind a prefix", 512, 256), ("1/1", 1, 0)]
    {
        let params = SyntheticParams {
            client: "distribution".to_owned(),
            load: SyntheticLoad::Rate { per_s: 1_000.0 },
            prompt_tokens: lengths(tokens),
            output_tokens: lengths(tokens),
            prefix_tokens,
            timeout: None,
            horizon: Tick::MAX,
            max_requests: Some(REQUESTS),
            seed: 42,
        };
        let mut source = params.workload().stream();
        let start = Instant::now();
        let mut drawn = 0;
        while let Some(request) = source.next_arrival() {
            drawn += u64::from(request.input_tokens - prefix_tokens + request.output_tokens);
            black_box(request);
        }
        let total_ns = start.elapsed().as_nanos() as f64;
        let mut rng = GoRand::new(42);
        let start = Instant::now();
        for _ in 0..REQUESTS {
            rng.skip_intn(VOCABULARY, (drawn / REQUESTS) as usize);
        }
        let draws_ns = start.elapsed().as_nanos() as f64;
        black_box(rng);
        println!(
            "{name}: {:.0} ns per request, of which {:.0} ns for {} token draws ({:.2} ns each)",
            total_ns / REQUESTS as f64,
            draws_ns / REQUESTS as f64,
            drawn / REQUESTS,
            draws_ns / drawn as f64,
        );
    }
}
