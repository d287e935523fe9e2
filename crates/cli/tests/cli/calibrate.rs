//! Simulated against measured.

use crate::support::{Ran, command, directory, refused};
use std::fs;
use std::path::{Path, PathBuf};

const CALIBRATE: &str =
    "calibrate --trace-header t.yaml --trace-data t.csv --sim-results results.json --report r.json";

fn at(folder: &Path, words: &str) -> Ran {
    command().args(words.split_whitespace()).current_dir(folder).output().unwrap().into()
}

/// A run's trace as the measured side and its replay as the simulated one.
fn loop_of(name: &str, replay_flags: &str) -> PathBuf {
    let folder = directory(name);
    let run = "run --model meta-llama/llama-3.1-8b-instruct --rate 5 --num-requests 60 --output-tokens 40 \
               --output-tokens-stdev 15 --trace-output t";
    let replay = "replay --model meta-llama/llama-3.1-8b-instruct --trace-header t.yaml --trace-data t.csv \
                  --results-path results.json --metrics-path metrics.json";
    for words in [run.to_owned(), format!("{replay} {replay_flags}")] {
        let ran = at(&folder, &words);
        assert_eq!(ran.code, 0, "{words}: {}", ran.stderr);
    }
    folder
}

/// Law: a simulator that is the server has no error, and nothing is to change. What follows the last token is the only
/// part of the end-to-end latency that a trace does not hold.
#[test]
fn the_replay_of_a_run_is_the_run() {
    let folder = loop_of("calibrate-same", "");
    let ran = at(&folder, &format!("{CALIBRATE} --max-mape 0.01"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert!(ran.stdout.starts_with("60 of 60 requests compared\n"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("no part of the simulator is off by more than 2 % of the measured E2E\n"));
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("r.json")).unwrap()).unwrap();
    assert_eq!(report["trace_info"]["matched_pairs"], 60);
    assert_eq!(report["metrics"]["ttft"]["request_level"]["quality"], "excellent");
}

/// Law: the gate names each latency that fails, and by how much; the report is written all the same.
#[test]
fn a_wrong_simulator_fails_the_gate() {
    let folder =
        loop_of("calibrate-wrong", "--latency-model blackbox --alpha-coeffs 0,0,0 --beta-coeffs 20000,0,0");
    let ran = at(&folder, &format!("{CALIBRATE} --max-mape 0.05"));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for metric in ["E2E", "TTFT"] {
        let said = format!("error: --max-mape: {metric} MAPE is ");
        let line = ran.stderr.lines().find(|line| line.starts_with(&said)).unwrap_or_default();
        assert!(line.ends_with(" more than the 5.00 % allowed"), "{}", ran.stderr);
    }
    assert!(ran.stdout.contains("\n1. +"), "{}", ran.stdout);
    assert!(ran.stdout.contains("decode coefficients: 20.00 ms per token instead of "), "{}", ran.stdout);
    assert!(folder.join("r.json").exists());
    let ran = at(&folder, CALIBRATE);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.starts_with("warning: TTFT MAPE is "), "{}", ran.stderr);
    assert_eq!(at(&folder, &format!("{CALIBRATE} --fail-on-exceed")).code, 3);
}

#[test]
fn everything_that_is_wrong_is_told() {
    refused(
        "calibrate --network-rtt-us -5 --max-mape -1 --sim-metrics-blind b.json --trace-data absent.csv",
        &[
            "--trace-header is missing",
            "--sim-results is missing",
            "--report is missing",
            "--network-rtt-us is -5; it must be at least 0, or -1",
            "--max-mape is -1; it must be a finite number, at least 0",
            "--sim-metrics-blind goes with --adapter-reference",
            "--trace-data: cannot read absent.csv",
        ],
    );
    refused("calibrate --adapter-reference a.json", &["--sim-metrics is missing", "--report is missing"]);
}

#[test]
fn a_report_replaces_none_of_its_inputs() {
    let folder = loop_of("calibrate-input", "");
    let before = fs::read(folder.join("results.json")).unwrap();
    let ran = at(&folder, &CALIBRATE.replace("r.json", "results.json"));
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("--report is results.json, which this run reads"), "{}", ran.stderr);
    assert_eq!(fs::read(folder.join("results.json")).unwrap(), before);
}

/// Law: counters of tiers are compared with a simulation of tiers, and with nothing else.
#[test]
fn counters_of_tiers_need_tiers_in_a_replay() {
    let folder = loop_of("calibrate-tiers", "");
    let header = fs::read_to_string(folder.join("t.yaml")).unwrap();
    let tiered = "observed_kv_metrics:\n    source: tiered\n    hit_rate: 0.5\n    block_hits: 5\n    block_queries: 10\n";
    fs::write(folder.join("t.yaml"), header.replace("mode: generated", "mode: real") + tiered).unwrap();
    let replay = "replay --model qwen/qwen3-14b --trace-header t.yaml --trace-data t.csv";
    let ran = at(&folder, replay);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("source of the trace's header is tiered, but no tiers are simulated"),
        "{}",
        ran.stderr
    );
    let ran = at(&folder, &format!("{CALIBRATE} --sim-metrics metrics.json"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("prefix-cache hits: measured 50.0 %"), "{}", ran.stdout);
}
