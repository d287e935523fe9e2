//! `--dp`: ranks with schedulers and KV caches of their own.

use crate::support::succeeded;
use serde_json::Value;

const MOE: &str = "run --model mistralai/mixtral-8x7b-v0.1 --hardware H100 --tp 2 --enable-expert-parallel";

/// Two requests at once, where a scheduler runs one.
fn second_waits_ms(words: &str) -> f64 {
    let words = format!("{MOE} --num-requests 2 --rate 1000 --max-num-seqs 1 --format json {words}");
    let shown: Value = serde_json::from_str(&succeeded(&words).stdout).expect("JSON");
    assert_eq!(shown["instances"].as_array().map(Vec::len), Some(1), "ranks are no instances");
    assert_eq!(shown["instances"][0]["completed_requests"], 2);
    shown["instances"][0]["scheduling_delay_ms"]["p99"].as_f64().expect("a figure")
}

#[test]
fn each_rank_runs_as_many_requests_as_a_scheduler_may() {
    let alone = second_waits_ms("--dp 1");
    assert!(alone > 1_000.0, "the second waits for the first one's answer: {alone} ms");
    for words in ["--dp 2", "--dp 2 --engine sglang", "--dp 2 --latency-model trained-physics"] {
        let waits = second_waits_ms(words);
        assert!(waits < 100.0, "{words}: {waits} ms, at most a step");
    }
    for words in ["--dp 2 --pp 2", "--dp 2 --compat inference-sim"] {
        let waits = second_waits_ms(words);
        assert!(waits > 1_000.0, "{words}: one scheduler has all ranks, {waits} ms");
    }
}

#[test]
fn kv_blocks_are_those_of_a_rank() {
    let blocks = |words: &str| -> u64 {
        let shown = succeeded(&format!("{MOE} --num-requests 1 --show-config {words}")).stderr;
        let line = shown.lines().find(|line| line.starts_with("total-kv-blocks "));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{words}: {shown}"))
    };
    // With the experts on four GPUs instead of two there is more room on each.
    let (two, four) = (blocks("--dp 2"), blocks("--dp 4"));
    assert!(two > blocks("") && four > two && four < 2 * two, "{two} of a rank of two, {four} of four");
    // A rank has what is given, and no request may be longer than that.
    let refused = |words: &str| {
        let words = format!(
            "{MOE} --num-requests 1 --total-kv-blocks 100 --prompt-tokens 2000 \
            --prompt-tokens-stdev 0 --prompt-tokens-min 2000 --prompt-tokens-max 2000 --format json {words}"
        );
        let shown: Value = serde_json::from_str(&succeeded(&words).stdout).expect("JSON");
        shown["instances"][0]["dropped_unservable"].as_u64().expect("a figure")
    };
    assert_eq!(refused("--dp 2"), 1, "2000 tokens are less than 200 blocks, and more than 100");
    assert_eq!(refused("--dp 2 --pp 2"), 0, "one scheduler has the blocks of both");
    assert_eq!(refused("--dp 2 --compat inference-sim"), 1, "there the blocks are all");
}
