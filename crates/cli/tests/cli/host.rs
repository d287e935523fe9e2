//! `--engine` and the flags of the servers' CPUs.

use crate::support::{RUN, refused, succeeded};
use serde_json::Value;

fn figures(words: &str) -> Value {
    serde_json::from_str(&succeeded(&format!("{RUN} --format json {words}")).stdout).expect("JSON")
}

fn ttft_mean(words: &str) -> f64 {
    figures(words)["cluster"]["ttft_ms"]["mean"].as_f64().expect("a figure")
}

#[test]
fn an_engine_sets_limits_that_flags_go_before_and_says_so() {
    let shown = succeeded(&format!("{RUN} --engine vllm-0.15.1 --max-num-seqs 64 --show-config")).stderr;
    let line = |name: &str| {
        shown.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap_or_default().to_owned()
    };
    assert!(line("max-num-batched-tokens").contains("8192"), "{shown}");
    assert!(line("max-num-batched-tokens").contains("engine"), "{shown}");
    assert!(line("max-num-seqs").contains("64") && !line("max-num-seqs").contains("engine"), "{shown}");
    assert!(line("async-scheduling").contains("true"), "{shown}");
    assert!(line("cuda-graph-max").contains("128"), "twice as many as run: {shown}");
}

#[test]
fn the_front_end_and_batches_formed_ahead_show_in_the_time_to_the_first_token() {
    let base = ttft_mean("--front-end-us 0 --front-end-us-per-token 0 --async-scheduling=false");
    let ahead = ttft_mean("--front-end-us 0 --front-end-us-per-token 0 --async-scheduling");
    let slow = ttft_mean("--front-end-us 20000 --front-end-us-per-token 0 --async-scheduling=false");
    assert!(ahead > base, "{ahead} after {base}");
    assert!(slow >= base + 19.0, "{slow} after {base}");
    let crowded = ttft_mean("--front-end-us 60000 --async-scheduling=false");
    let staffed = ttft_mean("--front-end-us 60000 --async-scheduling=false --front-end-workers 8");
    assert!(
        crowded > staffed + 100.0,
        "20 requests per second are too many for one worker: {crowded}, {staffed}"
    );
}

#[test]
fn figures_that_make_no_sense_are_refused_together() {
    refused(
        "run --model qwen/qwen3-14b --engine vllm-9 --front-end-workers 0 --host-step-us -1",
        &[
            "--engine is \"vllm-9\"",
            "vllm-0.8.5 to vllm-0.33.0",
            "--front-end-workers is 0",
            "--host-step-us is -1",
        ],
    );
    refused(
        "run --model qwen/qwen3-14b --engine vllm-0.15.1 --compat inference-sim",
        &["do not go with --compat"],
    );
}

#[test]
fn sglang_processes_prompts_first_and_says_so() {
    let shown = succeeded(&format!("{RUN} --engine sglang-0.5.9 --show-config")).stderr;
    let line = |name: &str| {
        shown.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap_or_default().to_owned()
    };
    for (name, value) in [
        ("batch-formation", "prefill-first"),
        ("block-size-in-tokens", "1"),
        ("host-launch-us-per-layer", "3000"),
    ] {
        assert!(line(name).contains(value) && line(name).contains("engine"), "{name}: {shown}");
    }
    let shown = succeeded(&format!("{RUN} --engine sglang --batch-formation mixed --show-config")).stderr;
    let words = |name: &str| {
        shown
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find(|words| words.first() == Some(&name))
    };
    assert_eq!(words("batch-formation").expect("a setting")[1], "mixed");
    assert_eq!(words("host-launch-us-per-layer").expect("a setting")[1], "0");
}

#[test]
fn requests_wait_for_looks_and_tokens_for_their_way_out() {
    let host = "--front-end-us 0 --front-end-us-per-token 0";
    let base = ttft_mean(host);
    assert!(ttft_mean(&format!("{host} --recv-interval 30")) > 1.5 * base, "after {base}");
    let slow = ttft_mean(&format!("{host} --host-output-us-per-token 1000"));
    let in_chunks = ttft_mean(&format!("{host} --host-output-us-per-token 1000 --stream-interval 20"));
    assert!(slow > in_chunks && in_chunks > base + 0.9, "{slow}, {in_chunks}, {base}");
}

#[test]
fn formations_that_do_not_go_with_the_rest_are_refused() {
    refused(
        "run --model qwen/qwen3-14b --batch-formation first",
        &["it must be one of mixed, prefill-first"],
    );
    let first = "--batch-formation prefill-first";
    refused(&format!("run --model qwen/qwen3-14b {first} --pp 2"), &["does not go with --pp"]);
    refused(
        &format!("run --model qwen/qwen3-14b {first} --compat inference-sim"),
        &["does not go with --compat"],
    );
    refused(
        "run --model qwen/qwen3-14b --recv-interval 0 --stream-interval 0",
        &["--recv-interval is 0", "--stream-interval is 0"],
    );
}
