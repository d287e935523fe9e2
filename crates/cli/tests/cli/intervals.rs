//! `--intervals`.

use crate::support::{RUN, blis_words, command, directory, succeeded};
use serde_json::Value;
use std::fs;

const HEAD: &str = "set,model,moe,weight_bits,active_b,gpu,tp,gpus,latency_model,engine,cpu,requests,prompt_tokens,\
                    output_tokens,waiting,step,ttft_mean,ttft_p99,itl_mean,e2e_mean,e2e_p99";

fn document(words: &str) -> Value {
    serde_json::from_str(&succeeded(&format!("{RUN} --format json {words}")).stdout).expect("JSON")
}

/// A table of four models whose residuals have this size.
fn table(name: &str, residual: f64) -> String {
    let path = directory(name).join("table.csv");
    let row = |n: u32| {
        let signed = if n.is_multiple_of(2) { residual } else { -residual };
        format!(
            "own,m{n},0,16,8,H100,1,1,profiled,vllm,1,10,500,60,0,{signed},{signed},{signed},0,0,{signed}\n"
        )
    };
    let rows: String = (0..4).map(row).collect();
    fs::write(&path, format!("{HEAD}\n{rows}")).expect("a file");
    path.display().to_string()
}

#[test]
fn every_figure_gets_a_band_that_says_where_it_comes_from() {
    let words = "--latency-model auto --hardware H100 --tp 1 --intervals";
    let found = document(words);
    let intervals = &found["intervals"];
    assert_eq!((&intervals["level"], &intervals["draws"]), (&Value::from(0.9), &Value::from(32)));
    let ttft = &intervals["figures"]["ttft_mean_ms"];
    let (low, high) = (ttft["low"].as_f64().expect("low"), ttft["high"].as_f64().expect("high"));
    assert!(0.0 < low && low < high, "{low} to {high}");
    assert!(intervals["figures"]["requests_per_s"]["low"].is_number());
    assert!(intervals["nearest_measured"][0]["distance"].is_number());
    assert_eq!(document("--latency-model auto --hardware H100 --tp 1")["cluster"], found["cluster"]);

    let table = succeeded(&format!("{RUN} {words} --format table")).stdout;
    assert!(table.contains("5–95 % (ms)") && table.contains("nearest measured, "), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let text = succeeded(&format!("{RUN} {words}")).stdout;
    assert!(text.contains("=== Intervals ===") && text.contains("5–95 % (ms)"), "{text}");
    let page = directory("intervals").join("page.html");
    succeeded(&format!("{RUN} {words} --report {}", page.display()));
    let page = fs::read_to_string(page).expect("the page");
    assert!(page.contains("How sure it is") && page.contains("95th percentile"));
}

/// Law: larger errors of measured configurations make wider bands; without errors bands are the figures.
#[test]
fn the_table_decides_how_wide_bands_are() {
    let width = |residual: f64| {
        let table = table(&format!("intervals-{residual}"), residual);
        let words =
            format!("--latency-model auto --hardware H100 --tp 1 --intervals --interval-table {table}");
        let found = document(&words);
        let band = &found["intervals"]["figures"]["e2e_p99_ms"];
        let (low, high) = (band["low"].as_f64().unwrap(), band["high"].as_f64().unwrap());
        (high - low, low, found["cluster"]["e2e_ms"]["p99"].as_f64().unwrap())
    };
    let (none, small, large) = (width(0.0), width(0.05), width(0.2));
    assert!(none.0.abs() < 1e-9 && (none.1 - none.2).abs() < 1e-9, "{none:?}");
    assert!(none.0 < small.0 && small.0 < large.0);
}

#[test]
fn a_run_unlike_all_that_were_measured_says_why() {
    let run = succeeded(&format!(
        "{RUN} --hardware MI300X --tp 1 --latency-model trained-physics --intervals --format json"
    ));
    let document: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let warning = document["intervals"]["warning"].as_str().expect("a warning");
    for part in ["no run on MI300X was measured", "--latency-model trained-physics"] {
        assert!(warning.contains(part), "{warning}");
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
}

/// Law: the same bytes with any number of threads.
#[test]
fn threads_do_not_change_bands() {
    let words = format!("{RUN} --latency-model auto --hardware H100 --tp 1 --intervals --format json");
    let with = |threads: &str| {
        let words = words.split_whitespace();
        command().args(words).env("RAYON_NUM_THREADS", threads).output().expect("it starts").stdout
    };
    assert!(!with("1").is_empty());
    assert_eq!(with("1"), with("4"));
}

#[test]
fn coefficients_that_are_not_known_exactly_make_bands_wider() {
    let folder = directory("intervals-posterior");
    let file = |name: &str, variance: f64| {
        let path = folder.join(name);
        let text = format!(
            r#"{{"version": 1, "latency_model": "profiled",
                "coefficients": [{{"name": "NAME", "value": 1.0, "lower": 0.2, "upper": 5.0}}],
                "covariance": {{"of": ["NAME"], "matrix": [[{variance}]]}}}}"#
        );
        fs::write(&path, text.replace("NAME", FACTOR)).expect("a file");
        path.display().to_string()
    };
    let table = table("intervals-exact", 0.0);
    let width = |file: String| {
        let ran = blis_words(
            &[
                &RUN.split_whitespace().collect::<Vec<_>>()[..],
                &[
                    "--format",
                    "json",
                    "--hardware",
                    "H100",
                    "--tp",
                    "1",
                    "--coefficients",
                    &file,
                    "--intervals",
                    "--interval-table",
                    &table,
                ],
            ]
            .concat(),
        );
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let document: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let band = &document["intervals"]["figures"]["itl_mean_ms"];
        band["high"].as_f64().unwrap() - band["low"].as_f64().unwrap()
    };
    assert!(width(file("exact.json", 0.0)).abs() < 1e-9);
    assert!(width(file("open.json", 0.04)) > 0.1);
}

/// A factor on the times of measured kernels.
const FACTOR: &str = "gemm";
