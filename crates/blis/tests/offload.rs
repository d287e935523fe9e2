//! Conversations whose KV blocks do not stay on the GPU: which tiers below it are worth having.

use blis::RunOptions;
use blis::options::{Traffic, WorkloadOptions};
use std::path::{Path, PathBuf};

/// Hit rate and mean time to the first token of later rounds, ms, with this chain of tiers.
fn later_rounds(chain: Option<PathBuf>) -> (f64, f64) {
    let options = RunOptions {
        model: Some("meta-llama/llama-3.1-8b-instruct".into()),
        total_kv_blocks: Some(4000),
        kv_offload_config: chain,
        traffic: Traffic::Synthesised(WorkloadOptions {
            spec: Some(root().join("scenarios/offload.yaml")),
            timeout_s: Some(-1),
            ..WorkloadOptions::default()
        }),
        ..RunOptions::default()
    };
    let outcome = blis::run(&blis::plan(&options).expect("a valid scenario"));
    assert_eq!(outcome.conservation.completed, outcome.conservation.injected, "nobody is lost");
    let sessions = outcome.sessions.expect("conversations");
    (outcome.kv.cache_hit_rate, sessions.ttft_warm_ms.mean)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A variant of the example, which has 8 GB of CPU memory and an NVMe drive.
fn variant(name: &str, change: impl Fn(&str) -> String) -> PathBuf {
    let text = std::fs::read_to_string(root().join("examples/kv-offload.yaml")).expect("the example");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, change(&text)).expect("the directory for temporary files is writable");
    path
}

#[test]
fn blocks_are_worth_keeping_where_reading_them_is_faster_than_computing_them() {
    let cpu_only = |text: &str| text.split("  secondary_tiers").next().unwrap_or_default().to_owned();
    let (no_hits, nothing) = later_rounds(None);
    let small = later_rounds(Some(variant("cpu8.yaml", cpu_only)));
    let (hits, large) =
        later_rounds(Some(variant("cpu32.yaml", |text| cpu_only(text).replace("8000000000", "32000000000"))));
    let (drive_hits, drive) = later_rounds(Some(root().join("examples/kv-offload.yaml")));
    let (_, store) = later_rounds(Some(variant("s3.yaml", |text| text.replace("nvme_gen4", "s3"))));
    assert!(
        small.0 < 1.05 * no_hits && small.1 > 0.95 * nothing,
        "too little CPU memory is like none: {small:?}"
    );
    assert!(large < 0.7 * nothing, "{large} ms with CPU memory, {nothing} without");
    assert!(no_hits < 0.1 && hits > 0.6 && drive_hits > 0.6, "{no_hits}, {hits}, {drive_hits}");
    assert!(drive < 0.9 * nothing && nothing * 2.0 < store, "{nothing}, {drive}, {store}");
}
