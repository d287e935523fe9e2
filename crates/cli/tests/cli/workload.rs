//! `blis workload`: descriptions of traffic.

use crate::support::{blis_words, refused};
use serde_json::Value;

fn testdata(file: &str) -> String {
    format!("{}/../../testdata/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn described(words: &[&str]) -> Value {
    let ran = blis_words(&[&["workload", "describe", "--format", "json"], words].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("the document is JSON")
}

/// Law: the figures are those of the requests that a run of the same file would send.
#[test]
fn a_workload_file_is_described() {
    let file = testdata("parity/wl-chat-accumulate/workload.yaml");
    let all = described(&[&file]);
    assert_eq!(all["requests"], 115);
    assert_eq!(all["requests_per_session"]["mean"], 5);
    let sources = &all["prompt_token_sources"];
    let sum: u64 =
        ["new", "shared_prefixes", "earlier_rounds"].map(|key| sources[key].as_u64().unwrap()).iter().sum();
    assert_eq!(all["prompt_tokens"]["sum"], sum);
    let bins = all["rate"].as_array().unwrap();
    assert_eq!(bins.iter().map(|bin| bin["requests"].as_u64().unwrap()).sum::<u64>(), 115);
    assert_eq!(all["slo_classes"][0]["requests"], 115);
    let cut = described(&[&file, "--max-requests", "10"]);
    assert_eq!((&cut["requests"], &cut["is_cut"]), (&Value::from(10), &Value::from(true)));
}

#[test]
fn a_table_fits_a_terminal() {
    let file = testdata("parity/wl-arrivals-all/workload.yaml");
    let ran = blis_words(&["workload", "describe", &file]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for wanted in ["140 requests from 4 clients", "critical", "█"] {
        assert!(ran.stdout.contains(wanted), "no {wanted} in {}", ran.stdout);
    }
    assert!(ran.stdout.lines().skip(1).all(|line| line.chars().count() <= 80), "{}", ran.stdout);
}

#[test]
fn a_trace_is_described_from_its_two_files() {
    let (header, rows) = (testdata("replay/sessions.yaml"), testdata("replay/sessions.csv"));
    assert_eq!(described(&[&header, "--trace-data", &rows])["requests"], 87);
    refused(&format!("workload describe {header}"), &["whose rows are missing", "--trace-data"]);
    let spec = testdata("parity/wl-arrivals-all/workload.yaml");
    refused(&format!("workload describe {spec} --trace-data {rows}"), &["beside a workload file"]);
}

#[test]
fn everything_wrong_with_a_description_is_told_at_once() {
    refused(
        "workload describe none.yaml --fromat json --max-requests 0 --itl-ms -1",
        &[
            "unknown flag --fromat of blis workload describe; did you mean --format?",
            "--max-requests is 0",
            "--itl-ms is -1",
            "cannot read none.yaml",
        ],
    );
}
