//! Measuring a real server.

use crate::server;
use crate::support::{Ran, command, directory, refused};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn at(folder: &Path, words: &str) -> Ran {
    command().args(words.split_whitespace()).current_dir(folder).output().unwrap().into()
}

const LENGTHS: &str = "--prompt-tokens 30 --prompt-tokens-stdev 5 --output-tokens 12 --output-tokens-stdev 3";

fn observe(flags: &str) -> String {
    observe_at(server::start(), flags)
}

fn observe_at(address: SocketAddr, flags: &str) -> String {
    format!(
        "observe --server-url http://{address} --model m --trace-header t.yaml --trace-data t.csv {flags} {LENGTHS}"
    )
}

/// The JSON block of standard output.
fn figures(stdout: &str) -> Value {
    let json = stdout.split_once("=== Simulation Metrics ===\n").unwrap().1;
    let end = json.find("\n}").unwrap() + 2;
    serde_json::from_str(&json[..end]).unwrap()
}

/// Law: what was measured is a trace that a replay takes.
#[test]
fn an_observation_can_be_replayed() {
    let folder = directory("observe-replay");
    let ran = at(
        &folder,
        &observe(
            "--rate 40 --num-requests 40 --record-itl --warmup-requests 4 --rtt-ms 0.5 --scrape-kv-metrics",
        ),
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let figures = figures(&ran.stdout);
    assert_eq!((&figures["completed_requests"], &figures["injected_requests"]), (&36.into(), &36.into()));
    let ttft_ms = figures["ttft_mean_ms"].as_f64().unwrap();
    assert!((100.0..200.0).contains(&ttft_ms), "{ttft_ms}");
    assert!(
        ran.stdout.contains("=== Sending ===\nSent: 40\nRecorded: 36\nLate (ms): p50="),
        "{}",
        ran.stdout
    );
    // Counters that do not move are no reason to fail.
    assert!(
        ran.stderr.contains("the KV cache was not measured: vllm:prefix_cache_queries did not change"),
        "{}",
        ran.stderr
    );
    let header = fs::read_to_string(folder.join("t.yaml")).unwrap();
    for line in [
        "mode: real",
        "time_unit: us",
        "warm_up_requests: 4",
        "    type: vllm",
        "    model: m",
        "measured_rtt_ms: 0.5",
    ] {
        assert!(header.contains(line), "{header}");
    }
    let pieces = fs::read_to_string(folder.join("t.itl.csv")).unwrap();
    let rows = fs::read_to_string(folder.join("t.csv")).unwrap();
    assert_eq!(rows.lines().count(), 37);
    assert!(rows.lines().nth(1).unwrap().starts_with("4,"), "{rows}");

    let replay =
        "replay --model qwen/qwen3-14b --trace-header t.yaml --trace-data t.csv --results-path r.json";
    let replayed = at(&folder, replay);
    assert_eq!(replayed.code, 0, "{}", replayed.stderr);
    let duration = self::figures(&replayed.stdout)["vllm_estimated_duration_s"].as_f64().unwrap();
    assert!((0.5..30.0).contains(&duration), "simulated time is that of the measurement: {duration}");
    let calibrate = "calibrate --trace-header t.yaml --trace-data t.csv --sim-results r.json --itl-data t.itl.csv --report c.json";
    let calibrated = at(&folder, calibrate);
    assert_eq!(calibrated.code, 0, "{}", calibrated.stderr);
    assert!(calibrated.stdout.starts_with("36 of 36 requests compared\n"), "{}", calibrated.stdout);
    assert!(pieces.lines().count() > 36 * 2);
}

/// Law: an interrupt ends the sending; what was measured until then is kept.
#[cfg(unix)]
#[test]
fn an_interrupt_keeps_what_was_measured() {
    let folder = directory("observe-interrupt");
    let (address, begun) = server::start_counting();
    let words = observe_at(address, "--rate 50 --num-requests 100000");
    let child = command()
        .args(words.split_whitespace())
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while begun.load(Ordering::SeqCst) < 60 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("\nInterrupted: the rest was not sent\n"), "{}{}", ran.stdout, ran.stderr);
    let rows = fs::read_to_string(folder.join("t.csv")).unwrap();
    let ok = rows.lines().filter(|row| row.contains(",ok,")).count();
    assert!((1..10_000).contains(&ok), "{ok} answers");
}

/// Law: with the step times of the server, the simulator is the server.
#[test]
fn the_loop_closes() {
    let folder = directory("loop-closes");
    let address = server::start();
    // What a request takes beside its steps, and a step.
    let timing = "--latency-model blackbox --alpha-coeffs 85000,0,0 --beta-coeffs 15000,0,0";
    let words = format!(
        "loop --server-url http://{address} --model qwen/qwen3-14b --server-model m --rate 20 --num-requests 60 \
         --record-itl --out x --report x.html {LENGTHS} {timing}"
    );
    let ran = at(&folder, &words);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("60 of 60 requests compared\n"), "{}", ran.stdout);
    let report: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("x.report.json")).unwrap()).unwrap();
    for (metric, most) in [("ttft", 0.3), ("itl", 0.5), ("e2e", 0.4)] {
        let error = report["metrics"][metric]["workload_level"]["mean_percent_error"].as_f64().unwrap();
        assert!(error < most, "{metric}: {error}\n{}", ran.stdout);
    }
    for suffix in ["yaml", "csv", "itl.csv", "results.json", "metrics.json"] {
        assert!(folder.join(format!("x.{suffix}")).exists(), "{suffix}");
    }
    let page = fs::read_to_string(folder.join("x.html")).unwrap();
    assert!(page.contains("60 of 60 requests were compared: TTFT is off by "), "{page}");
    // A simulator that is four times as slow is told what is wrong with it.
    let slow = words.replace("15000,0,0", "60000,0,0").replace("--out x", "--out y --max-mape 0.5");
    let ran = at(&folder, &slow);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(
        ran.stdout.contains("\n1. +")
            && ran.stdout.contains("decode coefficients: 60.00 ms per token instead of "),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("error: --max-mape: E2E MAPE is "), "{}", ran.stderr);
}

#[test]
fn everything_that_is_wrong_is_told_before_anything_is_sent() {
    refused(
        "observe --server-url ftp://x --api-format grpc --timeout 0 --max-concurrency 0 --warmup-requests -1 --rtt-ms -1 \
         --no-streaming --record-itl --vllm-commit abc --prewarm-duration 5 --trace-data t.csv",
        &[
            "--server-url: \"ftp://x\" has a scheme",
            "--api-format \"grpc\"",
            "--timeout is 0; it must be from 1 to 86400",
            "--max-concurrency is 0; it must be from 1",
            "--warmup-requests is -1; it must be at least 0",
            "--rtt-ms is -1",
            "--prewarm-duration is \"5\"; it must be a duration with its unit",
            "--no-streaming and --record-itl are both given",
            "need --scrape-kv-metrics",
            "--model is missing",
            "--trace-header is missing",
            "nothing says what to send",
        ],
    );
    let traffic = |flags: &str, mention: &str| {
        let all = "observe --server-url http://x --model m --trace-header h --trace-data d";
        refused(&format!("{all} {flags}"), &[mention]);
    };
    traffic("--rate 5", "the workload never ends");
    traffic("--rate 5 --concurrency 2 --num-requests 5", "--rate are both given");
    traffic("--workload chatbot --num-requests 5", "--workload needs --rate");
    traffic("--workload chatbot --workload-spec w.yaml --num-requests 5", "--workload and --workload-spec");
    traffic("--concurrency 2 --num-requests 5 --think-time-dist lognormal:mu=0,sigma=1", "is not available");
    traffic(
        "--concurrency 2 --num-requests 5 --think-time-dist constant:value=5 --think-time-ms 4",
        "give one",
    );
    refused(
        "loop --server-url http://x --rate 5 --num-requests 3",
        &["--model is missing", "--out is missing"],
    );
}
