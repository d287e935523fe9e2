//! What a run shows and writes.

use crate::support::{RUN, Ran, command, directory, succeeded};
use std::fs;
use std::path::Path;

#[test]
fn the_same_words_give_the_same_bytes() {
    let words = format!("{RUN} --num-instances 3 --routing-policy weighted --prefix-tokens 64");
    let first = succeeded(&words);
    assert_eq!(first, succeeded(&words));
    assert_ne!(first.stdout, succeeded(&format!("{words} --seed 43")).stdout, "a seed matters");
}

#[test]
fn text_has_one_block_per_instance_and_one_for_the_cluster() {
    let header = "=== Simulation Metrics ===\n{\n";
    let ran = succeeded(&format!("{RUN} --num-instances 2"));
    assert_eq!(ran.stdout.matches(header).count(), 3);
    assert!(ran.stdout.contains("\"instance_id\": \"instance_1\""));
    assert_eq!(ran.stderr, "", "a plain run has nothing to complain about");
    let quiet = succeeded(&format!("{RUN} --num-instances 2 --quiet-instances"));
    assert_eq!(quiet.stdout.matches(header).count(), 1);
    assert!(ran.stdout.ends_with(&quiet.stdout));
}

#[test]
fn json_is_one_document_and_a_table_is_for_people() {
    for words in ["--format json", "--output json", "--format=json"] {
        let json = succeeded(&format!("{RUN} {words}")).stdout;
        assert!(json.starts_with("{\n") && json.ends_with("}\n") && !json.contains("==="), "{words}");
    }
    let table = succeeded(&format!("{RUN} --format table")).stdout;
    assert!(table.contains("time to first token") && !table.contains("==="));
}

#[test]
fn both_readings_run_and_differ() {
    let words = format!("{RUN} --num-instances 3 --routing-policy least-loaded");
    let corrected = succeeded(&words);
    let reference = succeeded(&format!("{words} --compat inference-sim"));
    assert!(reference.stdout.contains("\"completed_requests\": 40"));
    assert_ne!(corrected.stdout, reference.stdout);
}

#[test]
fn every_setting_can_be_shown_with_its_source() {
    let ran = succeeded(&format!("{RUN} --show-config"));
    let line = |name: &str| {
        ran.stderr.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_default().to_owned()
    };
    assert!(line("rate").ends_with("20  (given)"));
    assert!(line("hardware").ends_with("H100  (from the catalogue)"));
    assert!(line("total-kv-blocks").ends_with("(computed)"));
    assert!(line("max-model-len").ends_with("131072  (from the model's configuration)"));
    assert!(line("scheduler").ends_with("fcfs  (default)"));
    assert_eq!(ran.stdout, succeeded(RUN).stdout);
}

#[test]
fn auto_takes_measured_kernels_where_there_are_any_and_says_which_model_it_took() {
    let chosen = |words: &str| {
        let ran = succeeded(&format!("{RUN} --latency-model {words} --show-config"));
        let line = ran.stderr.lines().find(|line| line.starts_with("latency-model ")).map(str::to_owned);
        (line.unwrap_or_default(), ran.stdout)
    };
    let (auto, of_auto) = chosen("auto");
    let (profiled, of_profiled) = chosen("profiled");
    assert!(auto.ends_with("auto: profiled  (computed)"), "{auto}");
    assert!(profiled.ends_with("profiled  (given)"), "{profiled}");
    assert_eq!(of_auto, of_profiled);
    let (elsewhere, of_elsewhere) = chosen("auto --hardware MI300X");
    assert!(elsewhere.ends_with("auto: trained-physics  (computed)"), "{elsewhere}");
    assert_eq!(of_elsewhere, chosen("trained-physics --hardware MI300X").1);
}

#[test]
fn numbers_come_in_every_usual_notation_and_the_last_occurrence_counts() {
    let plain = succeeded(&format!("{RUN} --horizon 1500000 --snapshot-refresh-interval 0"));
    for words in [
        "--horizon 1.5s --snapshot-refresh-interval=0",
        "--horizon 1_500_000 --snapshot-refresh-interval 0x0",
        "--horizon 15e5 --snapshot-refresh-interval 0ms",
        "--horizon 3 --snapshot-refresh-interval 9 --horizon 1500ms --snapshot-refresh-interval 0us",
    ] {
        assert_eq!(succeeded(&format!("{RUN} {words}")), plain, "{words}");
    }
}

#[test]
fn older_spellings_work_and_say_so() {
    let now = succeeded(&format!("{RUN} --max-num-seqs 5 --max-num-batched-tokens 700"));
    let then = succeeded(&format!("{RUN} --max-num-running-reqs 5 --max-num-scheduled-tokens 700"));
    assert_eq!(then.stdout, now.stdout);
    assert_eq!(then.stderr.matches("is deprecated").count(), 2, "{}", then.stderr);
    assert!(then.stderr.contains("--max-num-running-reqs is deprecated: use --max-num-seqs"));
    let roofline = succeeded(&format!("{RUN} --roofline"));
    assert_eq!(roofline.stdout, succeeded(&format!("{RUN} --latency-model roofline")).stdout);
    assert_ne!(roofline.stdout, succeeded(RUN).stdout);
    let betas = succeeded(&format!("{RUN} --alpha-coeffs 900,0.8,15 --beta-coeffs 5200,14,30"));
    let named = format!(
        "{RUN} --latency-model blackbox --alpha-coeffs 900,0.8,15 --beta-coeffs 5200,14 --beta-coeffs 30"
    );
    assert_eq!(betas.stdout, succeeded(&named).stdout);
    let silent = succeeded(&format!("{RUN} --roofline --log error"));
    assert_eq!(silent.stderr, "");
}

#[test]
fn unused_flags_are_named() {
    for (flags, mention) in [
        ("--workload chatbot --prompt-tokens 9", "--prompt-tokens is unused: --workload chatbot"),
        ("--think-time-ms 5", "--think-time-ms is unused without --concurrency"),
        ("--routing-scorers queue-depth:1", "--routing-scorers is unused with --routing-policy round-robin"),
        ("--token-bucket-capacity 5", "--token-bucket-capacity is unused: it is a parameter of token-bucket"),
        ("--queue-shedding", "--queue-shedding is unused without --flow-control"),
        ("--moe-comm-backend pplx", "--moe-comm-backend pplx is unused"),
    ] {
        let ran = succeeded(&format!("{RUN} {flags}"));
        assert!(
            ran.stderr.starts_with("warning: ") && ran.stderr.contains(mention),
            "{flags}: {}",
            ran.stderr
        );
    }
}

#[test]
fn listings_name_what_is_built_in() {
    assert!(succeeded("models").stdout.contains("qwen/qwen3-14b"));
    assert!(succeeded("hardware").stdout.contains("H100"));
    assert!(succeeded("presets").stdout.contains("chatbot"));
    for format in ["", " --json", " --markdown"] {
        assert!(succeeded(&format!("policies{format}")).stdout.contains("token-bucket-capacity"));
    }
}

fn in_folder(folder: &Path, words: &str) -> Ran {
    let ran: Ran = command().args(words.split_whitespace()).current_dir(folder).output().unwrap().into();
    assert_eq!(ran.code, 0, "blis {words}: {}", ran.stderr);
    ran
}

#[test]
fn metrics_hold_every_request_and_leave_standard_output_as_it_is() {
    let folder = directory("metrics");
    let ran = in_folder(&folder, &format!("{RUN} --metrics-path m.json"));
    assert_eq!(ran, succeeded(RUN));
    let metrics = fs::read_to_string(folder.join("m.json")).unwrap();
    assert_eq!(metrics.matches("\"requestID\": ").count(), 40);
    let old = in_folder(&folder, &format!("{RUN} --results-path old.json"));
    assert!(old.stderr.contains("--results-path is deprecated: use --metrics-path"));
    assert_eq!(fs::read_to_string(folder.join("old.json")).unwrap(), metrics);
}

#[test]
fn a_trace_is_replayed_to_its_end() {
    let folder = directory("replay");
    fs::write(folder.join("t.yaml"), "trace_version: 3\ntime_unit: us\nmode: generated\n").unwrap();
    let rows: Vec<_> = (0..20).map(|i| format!("{i},{},300,{}", 100 + i, i * 1000)).collect();
    let rows = rows.join("\n");
    fs::write(folder.join("t.csv"), format!("request_id,input_tokens,output_tokens,arrival_time_us\n{rows}"))
        .unwrap();
    let replay = "replay --model meta-llama/llama-3.1-8b-instruct --trace-header t.yaml --trace-data t.csv";
    let ran = in_folder(&folder, &format!("{replay} --results-path r.json --metrics-path m.json"));
    assert!(ran.stdout.contains("\"completed_requests\": 20"), "{}", ran.stdout);
    let results = fs::read_to_string(folder.join("r.json")).unwrap();
    assert_eq!(results.matches("\"request_id\": ").count(), 20);
    let cut = in_folder(&folder, &format!("{replay} --horizon auto2x"));
    assert!(cut.stdout.contains("\"completed_requests\": 0"), "twice 19 ms is short: {}", cut.stdout);
    assert!(cut.stderr.contains("no request completed"));
}

#[test]
fn files_in_the_working_directory_replace_the_built_in_figures() {
    let folder = directory("own_defaults");
    fs::write(
        folder.join("defaults.yaml"),
        "workloads:\n  notes: {prompt_tokens: 10, prompt_tokens_stdev: 0, prompt_tokens_min: 10, \
         prompt_tokens_max: 10, output_tokens: 5, output_tokens_stdev: 0, output_tokens_min: 5, \
         output_tokens_max: 5}\n",
    )
    .unwrap();
    let ran = in_folder(&folder, "run --model qwen/qwen3-14b --workload notes --num-requests 7");
    assert!(ran.stdout.contains("\"total_input_tokens\": 70"), "{}", ran.stdout);
}
