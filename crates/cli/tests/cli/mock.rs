//! The server at the pace of a simulated cluster, as a program.

use crate::support::{Ran, command, directory, refused};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Four seconds before the first step, which takes 200 ms as every other one: so slow that a busy machine does not count.
const TIMING: &str =
    "--model qwen/qwen3-14b --latency-model blackbox --alpha-coeffs 4000000,0,0 --beta-coeffs 200000,0,0";

/// A running server and its address.
fn start(flags: &str) -> (Child, String) {
    let mut child = command()
        .args(format!("mock --port 0 {TIMING} {flags}").split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}"));
    (child, address.to_owned())
}

/// Stops a server as a supervisor would.
fn stop(child: Child) -> Ran {
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    child.wait_with_output().expect("an end").into()
}

#[cfg(unix)]
#[test]
fn it_tells_where_it_listens_and_ends_with_a_signal() {
    let (child, address) = start("--served-model-name m,n --log error");
    let mut connection = TcpStream::connect(&address).expect("a connection");
    let request = "GET /v1/models HTTP/1.1\r\nhost: mock\r\nconnection: close\r\n\r\n";
    connection.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"id\":\"n\""), "{answer}");
    let ran = stop(child);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(
        ran.stderr.ends_with(
            "served 0 requests and 0 tokens, which were late by 0.000 ms on average and 0.0 ms at most\n"
        ),
        "{}",
        ran.stderr
    );
}

/// Law: what is measured at 20 requests per second is what the same cluster gives in simulated time.
#[cfg(unix)]
#[test]
fn the_loop_closes_on_it() {
    let folder = directory("loop-closes-on-mock");
    let (child, address) = start("--log error");
    let words = format!(
        "loop --server-url http://{address} {TIMING} --rate 20 --num-requests 80 --warmup-requests 5 --record-itl \
         --prompt-tokens 50 --prompt-tokens-stdev 10 --output-tokens 20 --output-tokens-stdev 5 --out x"
    );
    let ran: Ran = command()
        .args(words.split_whitespace())
        .current_dir(&folder)
        .output()
        .expect("the program starts")
        .into();
    stop(child);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("75 of 75 requests compared\n"), "{}", ran.stdout);
    let report = fs::read_to_string(folder.join("x.report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    for metric in ["ttft", "e2e"] {
        let error =
            report["metrics"][metric]["workload_level"]["mean_percent_error"].as_f64().expect("a number");
        assert!(error.abs() <= 0.02, "{metric}: {error}\n{}", ran.stdout);
    }
}

#[test]
fn everything_that_is_wrong_is_told_before_it_listens() {
    refused(
        "mock --model qwen/qwen3-14b --port 70000 --speedup 0 --shutdown-timeout -1s --output-tokens 0 --num-instances 0 \
         --log loud",
        &[
            "--port must be",
            "--speedup is 0",
            "--shutdown-timeout",
            "output-tokens",
            "num-instances",
            "value of --log",
        ],
    );
    refused("mock --model qwen/qwen3-14b --rate 5", &["unknown flag --rate of blis mock"]);
    refused("mock --model qwen/qwen3-14b --compat inference-sim", &["unknown flag --compat"]);
}
