//! Six replays of one trace with the reference: every request's figures, and the printed ones.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/replay-cases")
}

fn rows(file: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// Figures in milliseconds or ratios, printed with all digits.
fn same(expected: f64, got: f64) -> bool {
    (expected - got).abs() <= 1e-9 * expected.abs()
}

fn check(case: &str, flags: &str) -> Vec<String> {
    let metrics = std::env::temp_dir().join(format!("blis-replay-case-{case}-{}.json", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_blis"))
        .args(["replay", "--compat", "inference-sim", "--trace-header", "trace-1.yaml"])
        .args(["--trace-data", "trace-1.csv", "--horizon", "auto2x", "--metrics-path"])
        .arg(&metrics)
        .args(flags.split(' '))
        .current_dir(folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "case {case}: {}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&metrics).unwrap()).unwrap();
    std::fs::remove_file(&metrics).unwrap();

    let mut found = Vec::new();
    let requests = document["requests"].as_array().unwrap();
    for row in rows(&format!("expected-{case}.csv")) {
        let name = format!("request_{}", row[0]);
        let request =
            requests.iter().find(|r| r["requestID"] == name.as_str()).expect("every row is replayed");
        for (column, key) in [(3, "ttft_ms"), (4, "e2e_ms"), (5, "itl_ms"), (6, "scheduling_delay_ms")] {
            let expected = row[column].parse::<f64>().unwrap_or(0.0) / 1000.0;
            let got = request[key].as_f64().unwrap();
            if !same(expected, got) {
                found.push(format!("case {case}, {name} {key}: expected {expected}, got {got}"));
            }
        }
    }
    for row in rows("summary.csv").iter().filter(|row| row[0] == case) {
        let expected: f64 = row[2].parse().unwrap();
        // Figures that the metrics file does not carry are printed as sections; the parity selection covers those.
        let Some(got) = document.get(&row[1]).and_then(Value::as_f64) else { continue };
        if !same(expected, got) {
            found.push(format!("case {case}, {}: expected {expected}, got {got}", row[1]));
        }
    }
    found
}

#[test]
fn replays_give_the_references_figures_for_every_request() {
    let cases = rows("flags.csv");
    assert_eq!(cases.len(), 6);
    let found: Vec<_> = cases.iter().flat_map(|case| check(&case[0], &case[1])).collect();
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}
