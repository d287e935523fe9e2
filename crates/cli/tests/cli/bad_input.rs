//! What cannot be simulated is refused with the flag or file, the value and what is allowed, and nothing on standard
//! output.

use crate::support::{blis, command, directory, refused};
use std::fs;

const LLAMA: &str = "--model meta-llama/llama-3.1-8b-instruct";

#[test]
fn numbers_out_of_range_are_named_with_their_range() {
    for (flags, mention) in [
        ("--rate -3", "--rate is -3; it must be a finite number above 0"),
        ("--rate 0", "--rate is 0;"),
        ("--rate nan", "--rate is NaN;"),
        ("--rate inf", "--rate is inf;"),
        ("--num-requests -1", "--num-requests is -1; it must be at least 0"),
        ("--total-kv-blocks 0", "--total-kv-blocks is 0; it must be from 1 to"),
        ("--block-size-in-tokens 0", "--block-size-in-tokens is 0;"),
        ("--num-instances 0", "--num-instances is 0;"),
        ("--num-instances -2", "--num-instances is -2;"),
        ("--max-num-seqs 0", "--max-num-seqs is 0;"),
        ("--max-num-batched-tokens 0", "--max-num-batched-tokens is 0;"),
        ("--long-prefill-token-threshold -1", "--long-prefill-token-threshold is -1;"),
        ("--max-model-len -1", "--max-model-len is -1;"),
        ("--gpu-memory-utilization 1.5", "--gpu-memory-utilization is 1.5; it must be above 0 and at most 1"),
        ("--tp -1", "--tp is -1;"),
        ("--pp 0", "--pp is 0;"),
        ("--pp 33", "--pp is 33; meta-llama/llama-3.1-8b-instruct has 32 layers"),
        (
            "--pp 2 --latency-model crossmodel",
            "--pp needs --latency-model profiled, trained-physics or roofline",
        ),
        (
            "--latency-model profiled --hardware MI300X",
            "--latency-model profiled: no operators were measured on MI300X",
        ),
        (
            "--latency-model profiled --perf-db no-such-folder",
            "--perf-db no-such-folder: no tables of a known GPU",
        ),
        (
            "--latency-model profiled --alpha-coeffs 1,2,3 --beta-coeffs 1,2,3,4,5,6,7",
            "--latency-model profiled takes no --alpha-coeffs and --beta-coeffs",
        ),
        ("--pp 2 --compat inference-sim", "--pp does not go with --compat inference-sim"),
        ("--intervals --interval-draws 3", "--interval-draws is 3; it must be between 10 and 1000"),
        ("--interval-draws 20", "--interval-draws goes with --intervals"),
        ("--intervals --interval-table no-such-file", "--interval-table: cannot read no-such-file"),
        ("--intervals --compat inference-sim", "--intervals does not go with --compat"),
        ("--dp 0", "--dp is 0;"),
        ("--timeout 0", "--timeout is 0;"),
        ("--horizon 0", "--horizon is 0;"),
        ("--horizon -5s", "--horizon is -5000000;"),
        ("--horizon 99999999999999999999", "--horizon is"),
        ("--think-time-ms -1", "--think-time-ms is -1;"),
        ("--concurrency -1", "--concurrency is -1;"),
        ("--prompt-tokens 0", "--prompt-tokens is 0;"),
        ("--output-tokens 9000", "--output-tokens is 9000; it must be from 2 to 7000"),
        ("--prompt-tokens-min 600", "--prompt-tokens is 512; it must be from 600 to 7000"),
        ("--kv-cpu-blocks -1", "--kv-cpu-blocks is -1;"),
        ("--kv-offload-threshold 2", "--kv-offload-threshold is 2; it must be from 0 to 1"),
        ("--kv-cpu-blocks 5 --kv-transfer-bandwidth 0", "--kv-transfer-bandwidth is 0;"),
        ("--snapshot-refresh-interval -1", "--snapshot-refresh-interval is -1;"),
        ("--admission-policy token-bucket --token-bucket-capacity nan", "--token-bucket-capacity is NaN;"),
        ("--seed 1.5", "--seed is \"1.5\"; it must be a whole number"),
    ] {
        refused(&format!("run {LLAMA} {flags}"), &[mention]);
    }
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    for (flags, mentions) in [
        ("--hardware TPU-9 --tp 1", &["--hardware: unknown GPU \"TPU-9\"", "H100"][..]),
        ("--hardware h100", &["did you mean \"H100\"?"]),
        ("--latency-model psychic", &["--latency-model: unknown latency model \"psychic\"", "roofline"]),
        ("--scheduler lifo", &["--scheduler: unknown scheduler \"lifo\"", "fcfs"]),
        ("--preemption-policy rank", &["--preemption-policy", "\"rank\"", "priority"]),
        ("--admission-policy allways-admit", &["did you mean \"always-admit\"?"]),
        ("--routing-policy random", &["--routing-policy", "\"random\"", "round-robin"]),
        ("--routing-policy weighted --routing-scorers vibes:2", &["--routing-scorers", "scorer \"vibes\""]),
        ("--routing-policy weighted --routing-scorers queue-depth:-1", &["--routing-scorers", "-1"]),
        ("--moe-comm-backend nccl", &["--moe-comm-backend", "\"nccl\"", "pplx"]),
        ("--workload haiku", &["--workload", "\"haiku\"", "chatbot"]),
        ("--compat vllm", &["--compat", "\"vllm\"", "inference-sim"]),
        ("--format yaml", &["--format", "\"yaml\"", "json"]),
    ] {
        refused(&format!("run {LLAMA} {flags}"), mentions);
    }
}

#[test]
fn a_model_has_to_be_named_and_known() {
    refused("run --rate 5", &["--model is missing"]);
    refused("run --model=", &["--model is missing"]);
    refused("run --model no-such-model --hardware H100 --tp 1", &["no-such-model", "--model-config-folder"]);
    refused("run --model qwen/qwen3-14", &["--hardware and --tp", "did you mean \"qwen/qwen3-14b\"?"]);
    refused("run --model ../../etc --hardware H100 --tp 1", &["must not contain \"..\""]);
}

#[test]
fn a_model_has_to_fit_its_gpus() {
    let big = "run --model meta-llama/llama-3.1-70b-instruct --hardware L40S --tp 1";
    refused(big, &["does not fit --hardware L40S --tp 1", "GPUs are needed", "--total-kv-blocks"]);
    refused(&format!("run {LLAMA} --tp 3"), &["--tp is 3; it must divide the attention heads"]);
    refused(&format!("run {LLAMA} --dp 2"), &["--dp is 2", "dense", "--num-instances"]);
    refused(&format!("run {LLAMA} --enable-expert-parallel"), &["--enable-expert-parallel", "MoE"]);
    refused(
        &format!("run {LLAMA} --latency-model roofline --dp 2"),
        &["--dp needs --latency-model profiled or trained-physics"],
    );
}

#[test]
fn coefficients_come_in_pairs_of_the_right_size() {
    let seven = "--beta-coeffs 1,2,3,4,5,6,7";
    for (flags, mention) in [
        ("--alpha-coeffs 1,2,3", "--alpha-coeffs is given without --beta-coeffs"),
        (seven, "--beta-coeffs is given without --alpha-coeffs"),
        ("--alpha-coeffs 1,2,3 --beta-coeffs 1,2", "--beta-coeffs is a list of 2 values"),
        ("--alpha-coeffs 1,2,3 --beta-coeffs 1,2,3,4,nan,6,7", "--beta-coeffs[4] is NaN"),
        ("--alpha-coeffs 1,-2,3 --beta-coeffs 1,2,3,4,5,6,7", "--alpha-coeffs[1] is -2"),
        ("--alpha-coeffs 1 --beta-coeffs 1,2,3,4,5,6,7", "--alpha-coeffs has 1 values"),
        (
            "--latency-model trained-physics --alpha-coeffs 1,2,3 --beta-coeffs 1,2,3",
            "--beta-coeffs has 3 values",
        ),
        ("--latency-model roofline --alpha-coeffs 1,2,3 --beta-coeffs 1,2,3,4,5,6,7", "roofline takes no"),
        ("--alpha-coeffs 1,,3", "--alpha-coeffs is \"1,,3\""),
    ] {
        refused(&format!("run {LLAMA} {flags}"), &[mention]);
    }
}

#[test]
fn a_workload_has_to_end_and_to_have_one_kind_of_load() {
    refused(&format!("run {LLAMA} --num-requests 0"), &["--num-requests", "--horizon"]);
    refused(
        &format!("run {LLAMA} --concurrency 4 --rate 3 --num-requests 9"),
        &["--concurrency 4 and --rate"],
    );
    refused(&format!("run {LLAMA} --horizon auto2x"), &["auto2x", "replay"]);
    refused(
        &format!("run {LLAMA} --workload-spec none.yaml --concurrency 2 --rate 3"),
        &["--concurrency 2 and --workload-spec are both given", "--workload-spec: cannot read none.yaml"],
    );
}

#[test]
fn files_are_named_with_what_is_wrong_in_them() {
    let folder = directory("bad_files");
    let broken = [
        ("half.json", "{\"num_hidden_layers\": 32,\n"),
        ("list.json", "[]"),
        ("empty.json", "{}"),
        ("heads.json", "{\"num_hidden_layers\": 2, \"hidden_size\": -4, \"num_attention_heads\": \"two\"}"),
    ];
    for (name, text) in broken {
        let config = folder.join(name.trim_end_matches(".json"));
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("config.json"), text).unwrap();
        let words =
            format!("run --model my/model --hardware H100 --tp 1 --model-config-folder {}", config.display());
        refused(&words, &["config.json:"]);
    }
    refused(&format!("run {LLAMA} --model-config-folder {}/none", folder.display()), &["none/config.json"]);
    refused(&format!("run {LLAMA} --defaults-filepath none.yaml"), &["--defaults-filepath", "none.yaml"]);
    refused(&format!("run {LLAMA} --hardware-config none.json"), &["--hardware-config", "none.json"]);
    let defaults = folder.join("defaults.yaml");
    fs::write(&defaults, "defaults: {}\nwork_loads: {}\n").unwrap();
    let words = format!("run {LLAMA} --defaults-filepath {}", defaults.display());
    refused(&words, &["defaults.yaml:2:1: unknown key \"work_loads\"", "did you mean \"workloads\"?"]);
    let gpus = folder.join("gpus.json");
    fs::write(&gpus, "{\"BOX\": {\"TFlopsPeak\": 0, \"BwPeakTBs\": 1}}").unwrap();
    refused(
        &format!("run {LLAMA} --hardware-config {}", gpus.display()),
        &["gpus.json", "BOX.TFlopsPeak is 0"],
    );
}

#[test]
fn a_replay_needs_both_files_of_a_trace() {
    refused(&format!("replay {LLAMA}"), &["--trace-header is missing", "--trace-data is missing"]);
    refused(
        &format!("replay {LLAMA} --trace-header none.yaml --trace-data none.csv"),
        &["--trace-header: cannot read none.yaml", "--trace-data: cannot read none.csv"],
    );
    let folder = directory("bad_trace");
    let (header, data) = (folder.join("t.yaml"), folder.join("t.csv"));
    let replay =
        format!("replay {LLAMA} --trace-header {} --trace-data {}", header.display(), data.display());
    fs::write(&data, "request_id,input_tokens,output_tokens,arrival_time_us\n0,5,x,0\n1,-5,5,0\n").unwrap();
    fs::write(&header, "trace_version: 9\nmode: dreamt\n").unwrap();
    refused(&replay, &["t.yaml:1:16: trace_version is 9; it must be 2 or 3", "t.yaml:2:7", "\"dreamt\""]);
    fs::write(&header, "trace_version: 3\nkv_offload: {cpu_bytes_to_use: 5}\n").unwrap();
    refused(&replay, &["t.yaml:2:13: key \"per_block_bytes\" is missing in kv_offload"]);
    fs::write(
        &header,
        "trace_version: 3\nkv_offload: {cpu_bytes_to_use: 5, per_block_bytes: 1, block_size: 16, secondary_tiers: 7}\n",
    )
    .unwrap();
    refused(&replay, &["t.yaml:2:88: kv_offload.secondary_tiers is 7; it must be a list"]);
    fs::write(&header, "trace_version: 3\ntime_units: us\n").unwrap();
    refused(&replay, &["t.yaml:2:1: unknown key \"time_units\"", "did you mean \"time_unit\"?"]);
    fs::write(&header, "trace_version: 3\n").unwrap();
    refused(&replay, &["t.csv:2: ", "`x`", "t.csv:3: ", "`-5`"]);
}

#[test]
fn a_chain_of_kv_tiers_fits_the_run() {
    let folder = directory("bad_offload");
    let chain = folder.join("o.yaml");
    let run = format!("run {LLAMA} --kv-offload-config {}", chain.display());
    refused(&run, &["--kv-offload-config: cannot read", "o.yaml"]);
    fs::write(&chain, "kv_offload:\n  cpu_bytes_to_use: 1000000000\n").unwrap();
    refused(
        &format!("{run} --kv-cpu-blocks 5"),
        &["--kv-cpu-blocks and --kv-offload-config exclude each other"],
    );
    fs::write(&chain, "kv_offload:\n  cpu_bytes_to_use: 2000000\n").unwrap();
    refused(&run, &["kv_offload.cpu_bytes_to_use is 2000000; a block of the model takes 2097152 bytes"]);
    fs::write(&chain, "kv_offload:\n  cpu_bytes_to_use: 3e9\n  block_size: 8\n").unwrap();
    refused(&run, &["o.yaml:3:15: kv_offload.block_size is 8; blocks of the GPU have 16 tokens"]);
    let (header, data) = (folder.join("t.yaml"), folder.join("t.csv"));
    fs::write(&header, "trace_version: 3\n").unwrap();
    fs::write(&data, "request_id,input_tokens,output_tokens,arrival_time_us\n0,5,5,0\n").unwrap();
    fs::write(&chain, "kv_offload:\n  cpu_bytes_to_use: 1000000000\n").unwrap();
    let trace = format!("--trace-header {} --trace-data {}", header.display(), data.display());
    refused(
        &format!("replay {LLAMA} {trace} --kv-offload-config {}", chain.display()),
        &["--kv-offload-config does not fit the trace"],
    );
    fs::write(
        &header,
        "trace_version: 3\nkv_offload: {cpu_bytes_to_use: 9000000, per_block_bytes: 3000000, block_size: 16}\n",
    )
    .unwrap();
    refused(
        &format!("replay {LLAMA} {trace} --kv-offload-config {}", chain.display()),
        &["--kv-offload-config differs from the kv_offload of the trace's header"],
    );
    let ran = blis(&format!("replay {LLAMA} {trace}"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("=== KV Offload ==="), "{}", ran.stdout);
}

#[test]
fn output_files_are_checked_before_the_run_and_never_overwrite_its_input() {
    refused(
        &format!("run {LLAMA} --metrics-path no/such/folder/m.json"),
        &["--metrics-path", "no/such/folder"],
    );
    refused(&format!("run {LLAMA} --metrics-path ."), &["--metrics-path"]);
    let folder = directory("outputs");
    fs::write(folder.join("t.yaml"), "trace_version: 3\n").unwrap();
    fs::write(folder.join("t.csv"), "request_id,input_tokens,output_tokens,arrival_time_us\n0,5,5,0\n")
        .unwrap();
    let replay = |outputs: &str| {
        let words = format!("replay {LLAMA} --trace-header t.yaml --trace-data t.csv {outputs}");
        command().args(words.split(' ')).current_dir(&folder).output().unwrap()
    };
    for (outputs, mention) in [
        ("--metrics-path t.csv", "--metrics-path is t.csv, which this run reads"),
        ("--results-path ./t.yaml", "--results-path is ./t.yaml, which this run reads"),
        ("--metrics-path m.json --results-path m.json", "--metrics-path and --results-path are both m.json"),
    ] {
        let output = replay(outputs);
        assert!(!output.status.success() && output.stdout.is_empty(), "{outputs}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(mention), "{output:?}");
    }
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "a refused run leaves no file behind: {names:?}");
}
