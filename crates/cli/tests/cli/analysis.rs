//! By what a run is judged: fitness.

use crate::support::{Ran, blis, command, directory, refused};
use std::fs;
use std::path::{Path, PathBuf};

const RUN: &str = "run --model meta-llama/llama-3.1-8b-instruct --rate 20 --num-requests 40 --output-tokens 60 \
                   --output-tokens-stdev 20";

#[track_caller]
fn succeeded(words: &str) -> Ran {
    let ran = blis(words);
    assert_eq!(ran.code, 0, "blis {words}: {}", ran.stderr);
    ran
}

#[track_caller]
fn in_folder(folder: &Path, words: &str) -> Ran {
    let ran: Ran = command().args(words.split_whitespace()).current_dir(folder).output().unwrap().into();
    assert_eq!(ran.code, 0, "blis {words}: {}", ran.stderr);
    ran
}

/// A folder with a trace of twenty requests, t.yaml and t.csv.
fn with_trace(name: &str) -> PathBuf {
    let folder = directory(name);
    fs::write(folder.join("t.yaml"), "trace_version: 3\n").unwrap();
    let rows: Vec<_> = (0..20).map(|i| format!("{i},{},300,{}", 100 + i, i * 1000)).collect();
    let rows = rows.join("\n");
    fs::write(folder.join("t.csv"), format!("request_id,input_tokens,output_tokens,arrival_time_us\n{rows}"))
        .unwrap();
    folder
}

const REPLAY: &str =
    "replay --model meta-llama/llama-3.1-8b-instruct --trace-header t.yaml --trace-data t.csv";

#[test]
fn a_fitness_score_is_shown_in_every_format() {
    let words = format!("{RUN} --fitness-weights throughput:1,p99_ttft:0.5");
    let text = succeeded(&words).stdout;
    assert!(text.contains("=== Fitness Evaluation ===\nScore: 0."), "{text}");
    assert!(text.contains("\n  p99_ttft: 0.") && text.contains("\n  throughput: 0."), "{text}");
    assert!(
        succeeded(&format!("{words} --format json")).stdout.contains("\"fitness\": {\n    \"score\": 0.")
    );
    assert!(succeeded(&format!("{words} --format table")).stdout.contains("\nfitness 0."));
}

#[test]
fn fitness_weights_are_checked_before_anything_runs() {
    let weights = "speed:1,throughput,p99_e2e:-1";
    let faults =
        ["unknown fitness key \"speed\"", "\"throughput\" is not key:value", "\"p99_e2e\" is \"-1\""];
    refused(&format!("{RUN} --fitness-weights {weights}"), &faults);
    refused(&format!("{REPLAY} --fitness-weights {weights}"), &faults);
}

#[test]
fn a_replay_says_that_it_has_no_fitness_score() {
    let folder = with_trace("fitness_replay");
    let ran = in_folder(&folder, &format!("{REPLAY} --fitness-weights throughput:1"));
    assert!(ran.stderr.contains("--fitness-weights is unused"), "{}", ran.stderr);
    assert_eq!(ran.stdout, in_folder(&folder, REPLAY).stdout);
}
