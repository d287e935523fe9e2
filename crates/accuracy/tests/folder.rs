//! Folders of measurements made up for these tests.

use blis_accuracy::{
    ALL, Assessed, ClosedLoops, Dimension, Errors, Extras, Load, Measurements, Metric, Sample, Selection,
    assess, error_rows, read,
};
use blis_config::RunOptions;
use blis_policy::Registry;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const EXPERIMENTS: &str = "\
id,split,model,hardware,tp,workload,stage,stage_duration_s,num_requests,prompt_tokens_configured,output_tokens_exact,\
e2e_mean_ms,ttft_mean_ms,itl_mean_exact_ms,max_num_seqs,kv_blocks_gpu,kv_blocks_source,per_request_trace,vllm_version
run-1,dev,Qwen/Qwen3-14B,H100,1,chat,0,10,40,100,20,300,40,13,128,20000,measured,,0.15.1
run-1,dev,Qwen/Qwen3-14B,H100,1,chat,1,10,80,100,20,310,45,14,128,20000,measured,,0.15.1
run-1,dev,Qwen/Qwen3-14B,H100,1,chat,all,20,120,100,20,305,42,13.5,128,20000,measured,rec-1,0.15.1
run-2,dev,Qwen/Qwen3-14B,A100-80GB,2,chat,0,10,40,100,20,300,40,13,128,,,,0.15.1
run-2,dev,Qwen/Qwen3-14B,A100-80GB,2,chat,all,10,40,100,20,300,40,13,128,,,,0.15.1
run-3,excluded-overload,Qwen/Qwen3-14B,H100,1,chat,all,10,40,100,20,300,40,13,128,,,,0.15.1
run-4,dev,lab/unheard-of,H100,1,chat,0,10,40,100,20,300,40,13,128,,,,0.15.1
run-4,dev,lab/unheard-of,H100,1,chat,all,10,40,100,20,300,40,13,128,,,,0.15.1
";

const CHAT: &str = "name: chat\nas_executed:\n  distinct_prompts: 5\n  prompt_tokens_mean_measured:\n    a/b: 104\n    c/d: 108\n";

const RECORDING: &str = "\
index,arrival_us,prompt_id,input_tokens,output_tokens_client,ttft_us,e2e_us,ok
0,0,0,100,20,40000,290000,1
1,50000,1,110,20,42000,292000,1
2,90000,1,100,20,44000,294000,1
3,120000,0,100,20,46000,296000,1
4,200000,1,110,20,0,0,0
";

const SILICON: &str = "\
id,set,backend,backend_version,model,model_config,system,isl,osl,len_ratio_min,concurrency,num_requests,tp,\
max_num_seqs,ttft_ms,tpot_ms,notes,sample,measured
loop,closed,vllm,0.19.0,small,small,h100,64,32,0.5,4,40,1,64,20,5,,1,2026-04-08
other,closed,vllm,0.19.0,small,small,h100,64,32,0.5,4,40,1,64,20,5,,0,2026-04-08
odd,closed,vllm,0.19.0,small,small,h100,64,32,0.5,4,40,1,64,20,5,suspect: noise,1,2026-04-08
";

const SMALL: &str = r#"{"num_hidden_layers": 8, "hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 4,
    "intermediate_size": 4096, "vocab_size": 32000, "torch_dtype": "bfloat16"}"#;

const STEPS: &str = "\
experiment_id,batch_num_prefill_reqs,batch_num_decode_reqs,batch_prefill_tokens,kv_blocks_total_gpu,\
kv_blocks_free_gpu,step_to_next_start_us
rec-1,0,8,0,20000,19000,12000
rec-1,1,8,500,20000,18000,30000
rec-1,0,8,0,20000,19000,
";

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// A folder with everything.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    for sub in ["ground-truth/workloads", "per-request", "silicon", "steps", "model-configs"] {
        fs::create_dir_all(path.join(sub)).expect("a folder of this test");
    }
    let write = |name: &str, contents: &[u8]| fs::write(path.join(name), contents).expect("a file");
    write("ground-truth/experiments.csv", EXPERIMENTS.as_bytes());
    write("ground-truth/workloads/chat.yaml", CHAT.as_bytes());
    write("per-request/rec-1.csv.gz", &packed(RECORDING));
    write("per-request/strange.csv.gz", &packed(RECORDING));
    write("silicon/dev.csv", SILICON.as_bytes());
    write("model-configs/small.json", SMALL.as_bytes());
    write("steps/vllm-0.15.1-h100-steps.csv.gz", &packed(STEPS));
    path
}

fn only(sets: &[&str]) -> Selection {
    Selection { sets: sets.iter().map(|set| (*set).to_owned()).collect(), ..Selection::default() }
}

fn assessed(path: &Path, selection: &Selection) -> Vec<Assessed> {
    let points = read(path, selection).expect("a sound folder").points;
    assess(&points, &RunOptions::default(), &Registry::built_in(), Extras::default())
}

#[test]
fn every_layout_gives_its_points() {
    let path = folder("layouts");
    let Measurements { points, left_out } = read(&path, &Selection::default()).expect("a sound folder");
    let names: Vec<_> = points.iter().map(|point| (point.set.as_str(), point.id.as_str())).collect();
    assert_eq!(
        names,
        [
            ("closed", "loop"),
            ("dev", "run-1"),
            ("dev", "run-2"),
            ("dev", "run-4"),
            ("recordings", "rec-1"),
            ("steps", "rec-1"),
        ],
        "neither unmarked nor suspect rows, and no overloaded run that nobody asked for"
    );
    assert_eq!(points[2].server.gpu, "A100-80", "the catalogue's name");
    assert_eq!(left_out.len(), 1, "a recording without settings is told");
    assert_eq!(left_out[0].0, "strange");
    let Load::Stages(stages) = &points[1].load else { panic!("stages") };
    assert_eq!((stages.stages.len(), stages.prompts, stages.prompt_tokens), (2, 5, 106));
    let overloaded = read(&path, &only(&["excluded-overload"])).expect("a sound folder").points;
    assert_eq!(overloaded.len(), 1);
}

#[test]
fn a_selection_narrows_by_model_gpu_and_number() {
    let path = folder("selection");
    let count = |selection: Selection| read(&path, &selection).expect("a sound folder").points.len();
    assert_eq!(count(Selection { models: vec!["QWEN3".into()], ..Selection::default() }), 4);
    assert_eq!(count(Selection { gpus: vec!["a100-80".into()], ..Selection::default() }), 1);
    assert_eq!(count(Selection { limit: Some(2), ..only(&["dev"]) }), 2);
    let others = Selection { closed_loops: ClosedLoops::Others, ..only(&["closed"]) };
    assert_eq!(read(&path, &others).expect("a sound folder").points[0].id, "other");
    assert_eq!(count(Selection { closed_loops: ClosedLoops::All, ..only(&["closed"]) }), 2);
    let problems = read(&path, &only(&["devv"])).expect_err("no such set");
    assert!(problems[0].to_string().contains("did you mean \"dev\""), "{problems:?}");
}

#[test]
fn a_recording_keeps_its_arrivals_and_finds_the_prompts_that_were_swapped() {
    let path = folder("recording");
    let points = read(&path, &only(&["recordings"])).expect("a sound folder").points;
    let Load::Recorded { requests, output_tokens } = &points[0].load else { panic!("recorded") };
    let prompts: Vec<_> = requests.iter().map(|request| (request.prompt, request.prompt_tokens)).collect();
    assert_eq!(prompts, [(0, 100), (1, 110), (0, 100), (0, 100), (1, 110)]);
    assert_eq!((requests[2].arrival_us, *output_tokens), (90_000, 20));
    let value = |metric| points[0].measured.iter().find(|m| m.metric == metric).map(|m| m.value);
    assert_eq!(value(Metric::TtftMean), Some(43.0), "of the requests that were answered");
    assert_eq!(value(Metric::ItlMean), Some(250.0 / 19.0), "by the server's number of tokens");
}

#[test]
fn runs_are_simulated_in_parts_and_those_that_cannot_be_say_why() {
    let path = folder("simulated");
    let all = assessed(&path, &Selection::default());
    let of = |set: &str, id: &str| {
        &all.iter()
            .find(|point| (point.set.as_str(), point.id.as_str()) == (set, id))
            .expect("a point")
            .result
    };
    let run = of("dev", "run-1").as_ref().expect("simulated");
    let parts: Vec<_> =
        run.iter().filter(|s| s.metric == Metric::TtftMean).map(|s| s.part.as_str()).collect();
    assert_eq!(parts, ["0", "1", ALL]);
    assert!(run.iter().any(|sample| sample.metric == Metric::KvBlocks), "blocks were recorded");
    let e2e = |part: &str| {
        run.iter().find(|s| s.metric == Metric::E2eMean && s.part == part).expect("a figure").predicted
    };
    let mean = (e2e("0") * 40.0 + e2e("1") * 80.0) / 120.0;
    assert!((e2e(ALL) - mean).abs() < 1e-9 * mean, "the whole is the sum of its stages");
    assert!(of("dev", "run-2").as_ref().expect("simulated").iter().all(|s| s.metric != Metric::KvBlocks));
    assert!(of("dev", "run-4").as_ref().expect_err("unknown").contains("lab/unheard-of"));
    assert_eq!(of("closed", "loop").as_ref().expect("simulated").len(), 2);
    assert_eq!(of("steps", "rec-1").as_ref().expect("simulated").len(), 2, "two steps with known times");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let path = folder("threads");
    let with = |threads: usize| {
        let pool = pool_of(threads);
        pool.install(|| assessed(&path, &Selection::default()))
    };
    assert_eq!(with(1), with(3));
}

fn pool_of(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")
}

#[test]
fn errors_are_shares_of_what_was_measured() {
    let sample = |measured: f64, predicted: f64| Sample {
        part: ALL.to_owned(),
        metric: Metric::TtftMean,
        measured,
        predicted,
        band: None,
    };
    let samples = [sample(100.0, 110.0), sample(100.0, 80.0), sample(10.0, 14.0)];
    let errors = Errors::of(samples.iter()).expect("some");
    assert_eq!(errors.count, 3);
    assert!((errors.median - 0.2).abs() < 1e-12 && (errors.bias - 0.1).abs() < 1e-12);
    assert!((errors.mean - 0.7 / 3.0).abs() < 1e-12 && (errors.p90 - 0.36).abs() < 1e-12);
    assert_eq!(Errors::of([].iter()), None);
}

#[test]
fn tables_count_whole_runs_once_for_every_dimension() {
    let path = folder("tables");
    let rows = error_rows(&assessed(&path, &only(&["dev"])));
    let count = |by, key: &str, metric| {
        rows.iter().find(|r| r.by == by && r.key == key && r.metric == metric).map(|row| row.errors.count)
    };
    assert_eq!(count(Dimension::Overall, "", Metric::E2eMean), Some(2));
    assert_eq!(count(Dimension::Gpu, "H100", Metric::E2eMean), Some(1));
    assert_eq!(count(Dimension::Workload, "chat", Metric::KvBlocks), Some(1));
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    let path = folder("wrong");
    fs::write(
        path.join("silicon/dev.csv"),
        SILICON.replace(",64,32,0.5,4,40,1,64,20,5,,1,", ",many,32,0.5,,40,1,64,20,5,,1,"),
    )
    .expect("a file");
    fs::write(path.join("ground-truth/workloads/chat.yaml"), "name: chat\n").expect("a file");
    let problems = read(&path, &Selection::default()).expect_err("broken");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let has = |text: &str| told.iter().any(|problem| problem.contains(text));
    assert!(has("dev.csv:2: concurrency is empty"), "{told:?}");
    assert!(has("chat.yaml: as_executed.distinct_prompts is missing"), "{told:?}");
    fs::write(path.join("silicon/dev.csv"), "id,set\n").expect("a file");
    let problems = read(&path, &Selection::default()).expect_err("broken");
    assert!(problems.iter().any(|problem| problem.to_string().contains("column model is missing")));
    let empty = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nothing-here");
    assert!(
        read(&empty, &Selection::default()).expect_err("empty")[0].to_string().contains("no measurements")
    );
}

#[test]
fn a_trace_of_ones_own_is_a_point_in_parts_and_is_simulated_at_its_times() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("own");
    fs::create_dir_all(&path).expect("a folder of this test");
    let (header, rows) = (path.join("t.yaml"), path.join("t.csv"));
    fs::write(&header, "trace_version: 2\ntime_unit: us\nmode: real\nwarm_up_requests: 1\n").expect("a file");
    let mut text = "request_id,input_tokens,output_tokens,arrival_time_us,send_time_us,first_chunk_time_us,\
                    last_chunk_time_us,num_chunks,status\n"
        .to_owned();
    for id in 0..61 {
        let sent = 1_700_000_000_000_000_i64 + id * 50_000;
        let slow = if id == 0 { 900_000 } else { 30_000 + 1_000 * (id / 21) };
        let (arrival, last) = (id * 50_000, sent + slow + 100_000);
        writeln!(text, "{id},100,11,{arrival},{sent},{},{last},11,ok", sent + slow).expect("a text");
    }
    fs::write(&rows, text).expect("a file");
    let server = blis_accuracy::Server {
        model: "Qwen/Qwen3-14B".to_owned(),
        gpu: "H100".to_owned(),
        tp: Some(1),
        ..Default::default()
    };
    let point = blis_accuracy::trace(&header, &rows, server.clone()).expect("a sound trace");
    let value = |part: &str, metric| {
        point.measured.iter().find(|m| m.part == part && m.metric == metric).map(|m| m.value)
    };
    assert_eq!(value("all", Metric::ItlMean), Some(10.0));
    assert_eq!(
        value("0", Metric::TtftMean),
        Some(30.0),
        "the request that warmed the server up does not count"
    );
    assert_eq!(value("3", Metric::TtftMean), None, "20 requests at least");
    let all = assess(&[point], &RunOptions::default(), &Registry::built_in(), Extras::default());
    let samples = all[0].result.as_ref().expect("simulated");
    assert!(samples.iter().any(|sample| sample.part == "2" && sample.predicted > 1.0), "{samples:?}");

    fs::write(&rows, "request_id,input_tokens,output_tokens,arrival_time_us\n0,100,11,0\n").expect("a file");
    let problems = blis_accuracy::trace(&header, &rows, server).expect_err("no times");
    assert!(problems[0].to_string().contains("no answered request"), "{problems:?}");
}
