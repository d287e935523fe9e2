//! `blis accuracy`.

use crate::support::{blis_words, directory, refused};
use std::fs;

const EXPERIMENTS: &str = "\
id,split,model,hardware,tp,workload,stage,stage_duration_s,num_requests,prompt_tokens_configured,output_tokens_exact,\
e2e_mean_ms,ttft_mean_ms,itl_mean_exact_ms
run-1,dev,Qwen/Qwen3-14B,H100,1,chat,0,10,40,100,20,300,40,13
run-1,dev,Qwen/Qwen3-14B,H100,1,chat,all,10,40,100,20,300,40,13
run-2,dev,Qwen/Qwen3-14B,Abacus,1,chat,0,10,40,100,20,300,40,13
run-2,dev,Qwen/Qwen3-14B,Abacus,1,chat,all,10,40,100,20,300,40,13
";

#[test]
fn a_folder_of_measured_runs_gives_tables_figures_and_a_page() {
    let folder = directory("accuracy");
    let truth = folder.join("ground-truth");
    fs::create_dir_all(truth.join("workloads")).expect("a folder");
    fs::write(truth.join("experiments.csv"), EXPERIMENTS).expect("a file");
    fs::write(truth.join("workloads/chat.yaml"), "as_executed:\n  distinct_prompts: 5\n").expect("a file");
    let (page, folder) = (folder.join("page.md"), folder.display().to_string());
    let text = blis_words(&["accuracy", &folder, "--markdown", &page.display().to_string()]);
    assert_eq!(text.code, 0, "{}", text.stderr);
    assert!(text.stdout.contains("TTFT mean"), "{}", text.stdout);
    assert!(
        text.stdout.contains("run-2 (--hardware: "),
        "what cannot be simulated says why: {}",
        text.stdout
    );
    let written = fs::read_to_string(&page).expect("the page");
    assert!(written.contains("![ttft-mean](page/ttft-mean.svg)"), "{written}");
    let plot = fs::read_to_string(page.with_file_name("page").join("ttft-mean.svg")).expect("the plot");
    assert!(plot.starts_with("<svg") && plot.contains("measured, ms"));

    let csv = blis_words(&["accuracy", &folder, "--format", "csv"]).stdout;
    assert!(csv.contains("dev,run-1,Qwen/Qwen3-14B,H100,chat,0,ttft_mean_ms,1,40,"), "{csv}");
    let json = blis_words(&["accuracy", &folder, "--format", "json"]).stdout;
    let document: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(document["points"][0]["figures"][0]["measured"], 40.0);
    assert!(document["points"][1]["not_simulated"].is_string());
}

#[test]
fn measured_runs_make_a_table_for_bands_and_show_what_bands_hold() {
    let folder = directory("accuracy-bands");
    let truth = folder.join("ground-truth");
    fs::create_dir_all(truth.join("workloads")).expect("a folder");
    fs::write(truth.join("experiments.csv"), EXPERIMENTS).expect("a file");
    fs::write(truth.join("workloads/chat.yaml"), "as_executed:\n  distinct_prompts: 5\n").expect("a file");
    let (table, page) = (folder.join("table.csv"), folder.join("page.md"));
    let (table, folder) = (table.display().to_string(), folder.display().to_string());
    let words = ["accuracy", &folder, "--latency-model", "auto"];
    let made = blis_words(&[&words[..], &["--validation", &table]].concat());
    assert_eq!(made.code, 0, "{}", made.stderr);
    let rows = fs::read_to_string(&table).expect("the table");
    assert_eq!(rows.lines().count(), 2, "the run that can be simulated: {rows}");
    assert!(
        rows.contains("dev,qwen/qwen3-14b,0,16,") && rows.contains(",H100,1,1,profiled,vllm,1,"),
        "{rows}"
    );

    let bands = ["--intervals", "--interval-draws", "10", "--interval-table", &table];
    let page = page.display().to_string();
    let text = blis_words(&[&words[..], &bands, &["--markdown", &page]].concat());
    assert_eq!(text.code, 0, "{}", text.stderr);
    assert!(text.stdout.contains("Measured figures within their 5–95 % bands"), "{}", text.stdout);
    assert!(fs::read_to_string(&page).expect("the page").contains("## Within their bands"));
    let json = blis_words(&[&words[..], &bands, &["--format", "json"]].concat()).stdout;
    let document: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(document["coverage"][0]["count"], 3, "E2E, TTFT and ITL of the whole run");
    assert!(document["points"][0]["figures"][0]["high"].is_number());
}

#[test]
fn a_folder_without_measurements_and_limits_that_make_no_sense_are_refused() {
    refused("accuracy .", &["no measurements"]);
    refused("accuracy . --limit 0 --format pdf", &["--limit is 0", "unknown value of --format \"pdf\""]);
}
