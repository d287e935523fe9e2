//! Traces that are written and replayed.

use super::support::{command, directory, refused};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const LLAMA: &str = "--model meta-llama/llama-3.1-8b-instruct";

const WORKLOAD: &str = "\
version: \"2\"
seed: 5
aggregate_rate: 4
num_requests: 40
clients:
  - id: chat
    tenant_id: desk
    slo_class: standard
    rate_fraction: 1
    prefix_group: manual
    prefix_length: 64
    arrival: {process: poisson}
    input_distribution: {type: gaussian, params: {mean: 140, std_dev: 60, min: 16, max: 500}}
    output_distribution: {type: gaussian, params: {mean: 30, std_dev: 10, min: 8, max: 60}}
    reasoning:
      multi_turn: {max_rounds: 4, think_time_us: 300000, context_growth: accumulate}
";

#[track_caller]
fn ran(folder: &Path, words: &str) -> String {
    let output = command().args(words.split(' ')).current_dir(folder).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "blis {words}: {errors}");
    errors
}

/// The requests of a metrics file by session and round.
fn requests(path: &Path) -> BTreeMap<(String, u64), Value> {
    let document: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let place =
        |r: &Value| (r["session_id"].as_str().unwrap().to_owned(), r["round_index"].as_u64().unwrap());
    document["requests"].as_array().unwrap().iter().map(|r| (place(r), r.clone())).collect()
}

/// Law: a run and the replay of its trace serve every request alike, in fixed mode because all arrivals are recorded, in
/// a closed loop because pauses and lengths are.
#[test]
fn a_run_and_the_replay_of_its_trace_agree() {
    let folder = directory("run_then_replay");
    fs::write(folder.join("w.yaml"), WORKLOAD).unwrap();
    ran(&folder, &format!("run {LLAMA} --workload-spec w.yaml --trace-output one --metrics-path one.json"));
    let one = requests(&folder.join("one.json"));
    assert!(one.len() > 30, "{} requests", one.len());
    let header = fs::read_to_string(folder.join("one.yaml")).unwrap();
    assert_eq!(
        header,
        "trace_version: 3\ntime_unit: microseconds\nmode: generated\nwarm_up_requests: 0\nworkload_seed: 5\n"
    );
    for mode in ["fixed", "closed-loop"] {
        ran(
            &folder,
            &format!(
                "replay {LLAMA} --trace-header one.yaml --trace-data one.csv --session-mode {mode} \
                 --metrics-path two.json --trace-output two"
            ),
        );
        let two = requests(&folder.join("two.json"));
        assert_eq!(one.len(), two.len());
        for (place, a) in &one {
            let b = &two[place];
            assert_eq!(a["num_prefill_tokens"], b["num_prefill_tokens"], "{mode}: {a} and {b}");
            assert_eq!(a["num_decode_tokens"], b["num_decode_tokens"], "{mode}: {a} and {b}");
            // The last token of an answer is repeated by the next round of a recording, not by that of a live
            // session; where that fills a block, one block more is cached, and times differ by a little.
            let at = |r: &Value| r["arrived_at"].as_f64().unwrap();
            assert!((at(a) - at(b)).abs() < 0.05, "{mode}: {a} and {b}");
        }
        let trace = |file: &str| -> Vec<Vec<String>> {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            let wanted = |line: &str| line.split(',').take(18).map(str::to_owned).collect();
            text.lines().map(wanted).collect()
        };
        let (first, again) = (trace("one.csv"), trace("two.csv"));
        assert_eq!(first.len(), again.len());
        if mode == "fixed" {
            assert_eq!(first, again, "all that does not depend on how the requests were served");
        }
    }
}

/// Law: whatever arrives stands in the trace, with how it ended.
#[test]
fn refused_and_unfinished_requests_are_in_the_trace() {
    let folder = directory("unfinished");
    let statuses = |words: &str| -> Vec<String> {
        ran(&folder, &format!("run {LLAMA} --num-requests 20 --rate 10 --trace-output t {words}"));
        let text = fs::read_to_string(folder.join("t.csv")).unwrap();
        let mut rows = text.lines();
        let at = rows.next().unwrap().split(',').position(|name| name == "status").unwrap();
        rows.map(|row| row.split(',').nth(at).unwrap().to_owned()).collect()
    };
    assert_eq!(statuses("--admission-policy reject-all"), ["incomplete"; 20]);
    let cut = statuses("--horizon 1500000");
    assert_eq!(cut.len(), 15, "one every tenth of a second");
    assert!(cut.contains(&"incomplete".to_owned()));
    assert!(statuses("--timeout 1").contains(&"timeout".to_owned()));
}

#[test]
fn a_trace_is_never_written_over_what_is_read() {
    let folder = directory("trace_over_input");
    fs::write(folder.join("w.yaml"), WORKLOAD).unwrap();
    let words = format!(
        "run {LLAMA} --workload-spec {0}/w.yaml --trace-output {0}/w --metrics-path {0}/w.csv",
        folder.display()
    );
    refused(&words, &["--trace-output is", "w.yaml, which this run reads", "w.csv; name two files"]);
    assert_eq!(fs::read_to_string(folder.join("w.yaml")).unwrap(), WORKLOAD);
}

#[test]
fn a_closed_loop_needs_rounds_in_order() {
    let folder = directory("rounds");
    fs::write(folder.join("t.yaml"), "trace_version: 3\n").unwrap();
    let data = "request_id,session_id,round_index,input_tokens,output_tokens,arrival_time_us\n";
    fs::write(folder.join("t.csv"), format!("{data}0,a,0,5,5,0\n1,a,2,5,5,9\n")).unwrap();
    let replay = format!(
        "replay {LLAMA} --trace-header {0}/t.yaml --trace-data {0}/t.csv --session-mode",
        folder.display()
    );
    refused(
        &format!("{replay} closed-loop"),
        &["session `a`: round 1 is expected where round_index is 2; rounds count from 0"],
    );
    refused(
        &format!("{replay} open"),
        &["unknown value of --session-mode \"open\", known: closed-loop, fixed"],
    );
    refused(
        &format!("{replay} fixed --think-time-ms 5 --think-time-dist lognormal:mu=1"),
        &[
            "--think-time-ms needs --session-mode closed-loop",
            "--think-time-dist needs --session-mode closed-loop",
            "exclude each other",
            "--think-time-dist lognormal:mu=1: sigma is missing",
        ],
    );
    fs::write(folder.join("t.csv"), format!("{data}0,,0,5,5,0\n")).unwrap();
    let errors = ran(&folder, &format!("{replay} closed-loop"));
    assert!(errors.contains("no row of the trace belongs to a session"), "{errors}");
}

#[test]
fn recorded_blocks_need_a_size() {
    let folder = directory("blocks");
    let data = "request_id,input_tokens,output_tokens,arrival_time_us,prefix_blocks\n0,1000,5,0,0-1\n1,1000,5,9,0-x\n";
    fs::write(folder.join("t.csv"), data).unwrap();
    let replay = format!("replay {LLAMA} --trace-header {0}/t.yaml --trace-data {0}/t.csv", folder.display());
    fs::write(folder.join("t.yaml"), "trace_version: 3\nprefix_block_tokens: 0\n").unwrap();
    refused(&replay, &["t.yaml:2:22: prefix_block_tokens is 0; it must be from 1 to"]);
    fs::write(folder.join("t.yaml"), "trace_version: 3\n").unwrap();
    refused(&replay, &[".csv:2: column `prefix_blocks`: blocks of unknown size", ".csv:3: ", "`0-x`"]);
}
