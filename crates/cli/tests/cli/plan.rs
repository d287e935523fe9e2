//! `blis plan`: how many instances, what rate, with what.

use crate::support::{command, directory, refused, succeeded};
use serde_json::Value;

const MODEL: &str = "--model meta-llama/llama-3.1-8b-instruct --workload chatbot";

fn planned(words: &str) -> Value {
    let ran = succeeded(&format!("plan {MODEL} --num-requests 1500 --format json {words}"));
    serde_json::from_str(&ran.stdout).expect("one JSON document")
}

/// TTFT, 99th percentile, ms, of a run of its own.
fn ttft_p99_ms(instances: u64, rate: f64, seed: u64) -> f64 {
    let ran = succeeded(&format!(
        "run {MODEL} --num-requests 1500 --num-instances {instances} --rate {rate} --seed {seed} --format json"
    ));
    let document: Value = serde_json::from_str(&ran.stdout).expect("one JSON document");
    document["cluster"]["ttft_ms"]["p99"].as_f64().expect("a figure")
}

/// Law: the answer holds for a seed that the search never saw, and one instance less does not.
#[test]
fn the_fewest_instances_meet_the_slo_and_one_less_does_not() {
    let plan = planned("--rate 120 --slo ttft_p99<200ms");
    let best = &plan["choices"][0]["best"];
    let instances = best["instances"].as_u64().expect("an answer");
    assert_eq!((best["missed"].as_u64(), best["runs"].as_u64()), (Some(0), Some(20)));
    assert_eq!(plan["choices"][0]["one_step_less"]["instances"].as_u64(), Some(instances - 1));
    assert!(ttft_p99_ms(instances, 120.0, 7) < 200.0);
    let less = &plan["choices"][0]["one_step_less"];
    let fails = less["missed"].as_u64() > Some(0) || less["bound"].as_f64() > Some(1.0);
    assert!(fails, "{less}");
    assert!(ttft_p99_ms(instances / 2, 120.0, 7) >= 200.0);
}

#[test]
fn the_highest_rate_meets_the_slo_and_a_tenth_more_does_not() {
    let plan = planned("--num-instances 2 --slo ttft_p99<200ms");
    let rate = plan["choices"][0]["best"]["requests_per_s"].as_f64().expect("an answer");
    assert!(ttft_p99_ms(2, rate, 7) < 200.0);
    assert!(ttft_p99_ms(2, rate * 1.1, 7) >= 200.0);
}

/// Law: the number of threads changes nothing.
#[test]
fn the_answer_is_the_same_with_any_number_of_threads() {
    let words = format!(
        "plan {MODEL} --rate 90 --num-requests 800 --replications 4 --slo e2e_mean<3s,ttft_p99<100ms"
    );
    let with = |threads: &str| {
        let mut command = command();
        command.args(words.split_whitespace()).env("RAYON_NUM_THREADS", threads);
        command.output().expect("the program starts").stdout
    };
    let alone = with("1");
    assert!(!alone.is_empty());
    assert_eq!(alone, with("3"));
}

/// With prices the cheapest choice comes first, though others need fewer GPUs.
#[test]
fn choices_are_ranked_by_cost_where_all_have_a_price() {
    let plan = planned("--rate 60 --slo ttft_p99<500ms --try hardware=H100,A100-80 --price H100=9,A100-80=1");
    let names: Vec<_> =
        plan["choices"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["A100-80, TP 1", "H100, TP 1"]);
    let cost = |n: usize| plan["choices"][n]["cost_per_hour"].as_f64().unwrap();
    assert!(cost(0) < cost(1));
}

#[test]
fn nothing_within_the_limits_is_said_to_meet_an_impossible_slo() {
    let ran =
        succeeded(&format!("plan {MODEL} --rate 50 --num-requests 500 --max-instances 6 --slo ttft_p50<1us"));
    assert!(
        ran.stdout.starts_with("Nothing that was tried serves 50 requests/s with ttft_p50<1us."),
        "{}",
        ran.stdout
    );
}

#[test]
fn everything_wrong_with_a_question_is_told_at_once() {
    refused(
        &format!(
            "plan {MODEL} --rate 5 --num-instances 3 --slo ttft_p99<200,p50<1s --price H100 --try tp --replications 0"
        ),
        &[
            "give either --rate or --num-instances",
            "\"ttft_p99<200\": the limit must be a duration",
            "\"p50<1s\": there is no statistic",
            "--price: \"H100\" must be GPU=PRICE",
            "--try tp: must be NAME=VALUES",
            "--replications is 0; it must be from 1 to 10000",
        ],
    );
    refused(
        &format!("plan {MODEL} --rate 5 --slo ttft_p99<1s --try no-such-flag=1"),
        &["--try: there is no setting \"no-such-flag\""],
    );
    refused(&format!("plan {MODEL} --rate 5"), &["--slo is required"]);
}

/// With prefill and decode instances apart the answer says how many of each, and a run with these meets the SLO.
#[test]
fn instances_are_split_as_asked() {
    let plan =
        planned("--rate 60 --slo e2e_p99<20s,itl_p99<30ms --replications 4 --try pd-split=none,1:1,1:2");
    let choices = plan["choices"].as_array().expect("a list");
    assert_eq!(choices.len(), 3);
    let split =
        choices.iter().find(|choice| choice["name"].as_str().is_some_and(|name| name.contains("1:2")));
    let best = &split.expect("a choice")["best"];
    let instances = best["instances"].as_u64().expect("an answer");
    let prefill = (instances as f64 / 3.0).round().max(1.0) as u64;
    let decode = instances - prefill;
    assert_eq!(split.expect("a choice")["split"], format!("{prefill} prefill, {decode} decode"));
    let ran = succeeded(&format!(
        "run {MODEL} --num-requests 1500 --num-instances {instances} --prefill-instances {prefill} \
         --decode-instances {decode} --pd-decider always --rate 60 --seed 7 --format json"
    ));
    let document: Value = serde_json::from_str(&ran.stdout).expect("one JSON document");
    assert!(document["cluster"]["itl_ms"]["p99"].as_f64() < Some(30.0));
    refused(&format!("plan {MODEL} --rate 60 --slo e2e_mean<9s --pd-split 1"), &["PREFILL:DECODE", "1:3"]);
}

/// A workload file's own rate is what has to be served; its clients keep their shares at other rates.
#[test]
fn the_rate_of_a_workload_file_is_planned_for() {
    let folder = directory("plan-workload");
    let file = folder.join("w.yaml");
    let text = "version: \"2\"\naggregate_rate: 80\nnum_requests: 1500\nclients:\n  - id: a\n    rate_fraction: 1\n    \
                arrival: {process: poisson}\n    input_distribution: {type: constant, params: {value: 512}}\n    \
                output_distribution: {type: constant, params: {value: 128}}\n";
    std::fs::write(&file, text).expect("writable");
    let model = "--model meta-llama/llama-3.1-8b-instruct";
    let words = |rest: &str| {
        let file = file.display();
        format!("plan {model} --workload-spec {file} --slo e2e_p99<2s --replications 4 --format json {rest}")
    };
    let plan: Value = serde_json::from_str(&succeeded(&words("")).stdout).expect("one JSON document");
    assert_eq!(plan["requests_per_s"], 80);
    let of_file = plan["choices"][0]["best"]["instances"].as_u64().expect("an answer");
    let plan: Value =
        serde_json::from_str(&succeeded(&words("--rate 320")).stdout).expect("one JSON document");
    let of_four_times_as_much = plan["choices"][0]["best"]["instances"].as_u64().expect("an answer");
    assert!(of_four_times_as_much > 2 * of_file, "{of_file} {of_four_times_as_much}");
}

#[test]
fn a_choice_that_cannot_be_run_is_told_and_the_others_go_on() {
    let ran = succeeded(&format!("plan {MODEL} --rate 30 --slo e2e_mean<9s --replications 2 --try tp=1,3"));
    assert!(ran.stderr.contains("tp 3: "), "{}", ran.stderr);
    assert!(ran.stdout.contains("TP 1"), "{}", ran.stdout);
}
