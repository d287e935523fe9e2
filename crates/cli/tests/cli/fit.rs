//! `blis fit`.

use crate::support::{blis, blis_words, directory, refused};
use std::fmt::Write;
use std::fs;

const LLAMA: &str = "--model meta-llama/llama-3.1-8b-instruct --hardware H100 --tp 1";

/// Steps that take 10 ms and 0.1 ms for every request, of as many requests as there are CUDA graphs for.
fn log() -> String {
    let mut text =
        "prefills,prefill_tokens,prefill_context_tokens,decodes,decode_context_tokens,step_ms\n".to_owned();
    for n in 0..40 {
        let decodes = [1, 2, 4, 8, 16, 24, 32, 40][n % 8];
        let ms = 10.0 + 0.1 * f64::from(decodes);
        writeln!(text, "0,0,0,{decodes},{},{ms}", decodes * 10).expect("a text takes everything");
    }
    text
}

#[test]
fn coefficients_fitted_to_a_log_of_steps_are_taken_by_other_commands() {
    let folder = directory("fit");
    let (steps, out) = (folder.join("steps.csv"), folder.join("c.json"));
    fs::write(&steps, log()).expect("a file");
    let (steps, out) = (steps.display().to_string(), out.display().to_string());
    let fit = format!(
        "fit --step-log {steps} {LLAMA} --latency-model trained-physics --parameters request_us,step_us --out {out} \
         --fix overlap=1 --note synthetic --cross-validate none"
    );
    let ran = blis(&fit);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("Coefficients of trained-physics"), "{}", ran.stdout);
    let written = fs::read_to_string(&out).expect("the file");
    let set: serde_json::Value = serde_json::from_str(&written).expect("JSON");
    let value = |name: &str| {
        let all = set["coefficients"].as_array().expect("a list");
        all.iter().find(|own| own["name"] == name).expect(name)["value"].as_f64().expect("a number")
    };
    assert!((value("request_us") - 100.0).abs() < 5.0, "{}", value("request_us"));
    assert_eq!(set["covariance"]["of"], serde_json::json!(["request_us", "step_us"]));
    assert_eq!(set["provenance"]["notes"][0], "synthetic");
    assert!(set["provenance"]["files"]["steps.csv"].is_string());
    assert_eq!(blis(&fit).stdout, ran.stdout, "the same again");
    assert_eq!(fs::read_to_string(&out).expect("the file"), written);

    let json = blis(&format!("{fit} --format json")).stdout;
    let document: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(document["coefficients"], set);

    let run = |more: &[&str]| {
        let words: Vec<&str> =
            ["run"].into_iter().chain(LLAMA.split(' ')).chain(more.iter().copied()).collect();
        blis_words(&words)
    };
    let with = run(&["--coefficients", &out, "--num-requests", "5", "--show-config"]);
    assert_eq!(with.code, 0, "{}", with.stderr);
    let shown = format!("{}{}", with.stdout, with.stderr);
    assert!(shown.contains("from the coefficients"), "{shown}");
    assert_ne!(with.stdout, run(&["--num-requests", "5"]).stdout);
}

#[test]
fn what_cannot_be_fitted_is_refused_with_everything_that_is_wrong() {
    refused(
        "fit --latency-model auto --fix beta2 --bounds beta3=1 --cross-validate gpus --steps -1",
        &[
            "unknown latency model to fit \"auto\"",
            "--fix is \"beta2\"; it must be NAME=VALUE",
            "--bounds is \"beta3=1\"; it must be NAME=LEAST..MOST",
            "unknown value of --cross-validate \"gpus\"",
            "--steps is -1",
        ],
    );
    refused("fit", &["there are no measurements"]);
    refused("fit --trace-header t.yaml --model x", &["they go in pairs"]);
    let path = directory("fit-refused").join("s.csv");
    fs::write(&path, log() + "1,-5,0,0,0,1\n0,0,0,0,0,2\n").expect("a file");
    refused(
        &format!("fit --step-log {} {LLAMA}", path.display()),
        &["s.csv:42: prefill_tokens is \"-5\"", "s.csv:43: a step needs requests"],
    );
    refused(
        &format!("run {LLAMA} --coefficients {}", path.with_file_name("none.json").display()),
        &["--coefficients: cannot read"],
    );
}
