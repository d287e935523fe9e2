//! By what a run is judged: fitness, goodput, saturation.

use crate::support::{RUN, Ran, command, directory, refused, succeeded};
use std::fs;
use std::path::{Path, PathBuf};

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

#[test]
fn goodput_is_measured_against_flags_over_what_the_trace_says() {
    let folder = with_trace("goodput_replay");
    let header = "trace_version: 3\ngoodput_slo_targets:\n  default: {ttft_ms: 0.001, e2e_ms: 1e9}\n";
    fs::write(folder.join("t.yaml"), header).unwrap();
    let from_header = in_folder(&folder, REPLAY).stdout;
    assert!(from_header.contains("\"slo_attainment\": 0,"), "{from_header}");
    assert!(from_header.contains("\"ttft\": 0,\n        \"e2e\": 1\n"), "{from_header}");
    assert!(from_header.contains("=== Per-SLO Metrics ==="), "one class with targets is shown");
    let easier = in_folder(&folder, &format!("{REPLAY} --slo-ttft default=10s")).stdout;
    assert!(easier.contains("\"slo_attainment\": 1,") && easier.contains("\"count\": 20,"), "{easier}");
    let none = in_folder(&folder, &format!("{REPLAY} --slo-ttft default=0s --slo-e2e default=0s")).stdout;
    assert!(!none.contains("slo_attainment"), "{none}");
    let json = in_folder(&folder, &format!("{REPLAY} --format json")).stdout;
    assert!(json.contains("\"goodput\": {\n    \"attainment\": 0,"), "{json}");
    let table = in_folder(&folder, &format!("{REPLAY} --format table")).stdout;
    assert!(table.contains("0.0 % ≤ 0.001") && table.contains("goodput 0.00 requests/s"), "{table}");
}

#[test]
fn bad_targets_are_refused_wherever_they_stand() {
    refused(
        &format!("{RUN} --slo-ttft standard=fast --slo-e2e batch"),
        &[
            "--slo-ttft: target of class \"standard\" is \"fast\"",
            "--slo-e2e: \"batch\" is not class=duration",
        ],
    );
    let folder = with_trace("bad_targets");
    let header = "trace_version: 3\ngoodput_slo_targets:\n  default: {ttft_ms: -1}\n";
    fs::write(folder.join("t.yaml"), header).unwrap();
    let output = command().args(REPLAY.split(' ')).current_dir(&folder).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("t.yaml:3:22: goodput_slo_targets.default.ttft_ms is -1"), "{stderr}");
    let spec =
        "version: '2'\naggregate_rate: 5\nnum_requests: 5\ngoodput_slo_targets: {batch: {e2e_ms: .nan}}\n";
    fs::write(folder.join("w.yaml"), format!("{spec}clients: []\n")).unwrap();
    let words = format!("run --model qwen/qwen3-14b --workload-spec {}/w.yaml", folder.display());
    refused(&words, &["goodput_slo_targets.batch.e2e_ms is NaN", "neither clients nor cohorts"]);
}

#[test]
fn a_class_that_no_request_has_is_named() {
    let ran = succeeded(&format!("{RUN} --slo-ttft critcal=50ms,default=1s"));
    assert!(ran.stderr.contains("no request has the SLO class critcal"), "{}", ran.stderr);
    assert!(ran.stdout.contains("\"slo_attainment\": 1,"), "{}", ran.stdout);
}

#[test]
fn detectors_label_a_run_and_report_every_verdict() {
    let folder = directory("detectors");
    let words = format!("{RUN} --detectors backlog-drift,composite,composite --saturation-report s.json");
    let ran = in_folder(&folder, &words);
    assert!(
        ran.stdout.contains("\"saturation\": {\n    \"backlog-drift\": \"STABLE\",\n    \"composite\": \"")
    );
    let report = fs::read_to_string(folder.join("s.json")).unwrap();
    assert_eq!(
        report.matches("\"detector\": \"composite\"").count(),
        80,
        "two events for each of 40 requests"
    );
    assert!(
        report.starts_with("{\n  \"final\": {\n    \"backlog-drift\": \"STABLE\"") && report.ends_with("}\n")
    );
    let names = succeeded(&format!("{RUN} --detectors all --format json")).stdout;
    assert!(names.contains("\"threshold\": \"STABLE\""), "{names}");
    let table = succeeded(&format!("{RUN} --detectors threshold --format table")).stdout;
    assert!(table.contains("saturation: threshold STABLE"), "{table}");
    let old = succeeded(&format!("{RUN} --post-hoc-detector threshold"));
    assert!(old.stderr.contains("--post-hoc-detector is deprecated: use --detectors"), "{}", old.stderr);
    assert_eq!(old.stdout, succeeded(&format!("{RUN} --detectors threshold")).stdout);
}

#[test]
fn a_tuned_threshold_changes_the_label() {
    let folder = directory("tuned_detectors");
    fs::write(folder.join("d.yaml"), "threshold: {threshold_ms: 10}\nbacklog_drift: {min_windows: 3}\n")
        .unwrap();
    let ran = in_folder(&folder, &format!("{RUN} --detectors all --saturation-config d.yaml"));
    assert!(ran.stdout.contains("\"threshold\": \"OVERLOADED\""), "{}", ran.stdout);
    assert!(ran.stderr.contains("window_size_sec is all that counts, not min_windows"), "{}", ran.stderr);
    fs::write(folder.join("empty.yaml"), "").unwrap();
    let same = in_folder(&folder, &format!("{RUN} --detectors all --saturation-config empty.yaml"));
    assert_eq!(same.stdout, succeeded(&format!("{RUN} --detectors all")).stdout);
}

#[test]
fn settings_of_detectors_need_detectors_and_make_sense() {
    refused(
        &format!("{RUN} --saturation-report s.json --saturation-final-window 5s --saturation-config d.yaml"),
        &[
            "--saturation-report needs --detectors",
            "--saturation-final-window needs",
            "--saturation-config needs",
        ],
    );
    refused(
        &format!("{RUN} --detectors all,treshold --saturation-final-window 0"),
        &["all stands alone", "--saturation-final-window is 0; it must be at least 1"],
    );
    refused(&format!("{RUN} --detectors treshold"), &["unknown detector \"treshold\"", "\"threshold\"?"]);
    refused(&format!("{RUN} --detectors ,"), &["--detectors is \",\"; it names no detector"]);
    let folder = directory("bad_detectors");
    let file = folder.join("d.yaml");
    let words = format!("{RUN} --detectors composite,threshold --saturation-config {}", file.display());
    fs::write(
        &file,
        "threshold: {threshold_ms: 0}\nbacklog_drift:\n  window_size_sec: -1\n  peak_ratio: 0\n  \
         saturated_drain_ratio: 0.99\n",
    )
    .unwrap();
    refused(
        &words,
        &[
            "d.yaml:1:27: threshold.threshold_ms is 0; it must be a finite number above 0",
            "d.yaml:3:3: backlog_drift tunes the detector backlog-drift, which --detectors leaves out",
            "d.yaml:3:20: backlog_drift.window_size_sec is -1",
            "d.yaml:4:15: backlog_drift.peak_ratio is 0",
            "d.yaml:5:26: backlog_drift.saturated_drain_ratio is 0.99; it must be at most",
        ],
    );
    fs::write(&file, "treshold: {}\n").unwrap();
    refused(&words, &["d.yaml:1:1: unknown key \"treshold\"", "did you mean \"threshold\"?"]);
}
