//! Recorded vLLM servers, replayed: how far the simulator is off, by recording.
//!
//! The recordings lie beside the checkout where they exist (`../shared/data`, or what `BLIS_RECORDINGS` names): one row per
//! request, and a table of the servers' settings. Nothing is fitted to them here.
//!
//!     cargo bench -p blis --bench recordings

use blis::options::{TraceOptions, Traffic};
use blis::{RunOptions, report};
use blis_calibrate::{Calibration, ChunkTime, Metric, Settings, calibrate};
use blis_config::calibration_files::{read_results, read_trace};
use csv::StringRecord;
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The load generator of the recordings gave a request up after this long, µs.
const CLIENT_TIMEOUT_US: i64 = 300_000_000;

/// config.json of a model that was recorded but is not built in.
const LLAMA_2_70B: &str = r#"{"architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 8192,
    "intermediate_size": 28672, "max_position_embeddings": 4096, "num_attention_heads": 64, "num_hidden_layers": 80,
    "num_key_value_heads": 8, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32000}"#;

/// The cells of a row by the names of their columns.
type Row = BTreeMap<String, String>;

fn rows(text: impl Read) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(text);
    let names: StringRecord = reader.headers().expect("a row of names").clone();
    let row =
        |record: StringRecord| names.iter().zip(&record).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    reader.records().map(|record| row(record.expect("a row of the recording"))).collect()
}

fn number(row: &Row, column: &str) -> i64 {
    row[column].parse().unwrap_or_default()
}

/// The usual length of each prompt: about one request in a hundred was sent out of turn with a neighbour's prompt.
fn usual_lengths(recorded: &[Row]) -> BTreeMap<i64, i64> {
    let mut counts: BTreeMap<i64, BTreeMap<i64, u32>> = BTreeMap::new();
    for row in recorded.iter().filter(|row| number(row, "input_tokens") > 0) {
        *counts
            .entry(number(row, "prompt_id"))
            .or_default()
            .entry(number(row, "input_tokens"))
            .or_default() += 1;
    }
    let most = |lengths: BTreeMap<i64, u32>| {
        lengths.into_iter().max_by_key(|&(_, count)| count).map(|(tokens, _)| tokens)
    };
    counts.into_iter().filter_map(|(prompt, lengths)| Some((prompt, most(lengths)?))).collect()
}

/// The prompt that a row carries: the nearest one that has its length.
fn prompt(row: &Row, usual: &BTreeMap<i64, i64>) -> (i64, i64) {
    let (id, tokens) = (number(row, "prompt_id"), number(row, "input_tokens"));
    let prompts = usual.keys().max().map_or(1, |last| last + 1);
    let distance = |other: i64| (id - other).rem_euclid(prompts).min((other - id).rem_euclid(prompts));
    let fits = usual.iter().filter(|(_, usual)| tokens == 0 || **usual == tokens);
    let (&nearest, &length) =
        fits.min_by_key(|(other, _)| (distance(**other), **other)).expect("a prompt of that length");
    (nearest, length)
}

/// The recording as the rows of a trace. Equal prompts are prefix groups: all tokens but the last can be reused.
fn trace_rows(recorded: &[Row], output_tokens: i64) -> String {
    let usual = usual_lengths(recorded);
    let mut csv = String::from(
        "request_id,prefix_group,prefix_length,input_tokens,output_tokens,deadline_us,server_input_tokens,arrival_time_us,\
         send_time_us,first_chunk_time_us,last_chunk_time_us,status\n",
    );
    for (id, row) in recorded.iter().enumerate() {
        let (prompt, input) = prompt(row, &usual);
        let (arrival, ok) = (number(row, "arrival_us"), row["ok"] == "1");
        let after = |column: &str| if ok { arrival + number(row, column) } else { 0 };
        let (first, last, deadline) = (after("ttft_us"), after("e2e_us"), arrival + CLIENT_TIMEOUT_US);
        let status = if ok { "ok" } else { "timeout" };
        let prefix = input - 1;
        writeln!(
            csv,
            "{id},prompt_{prompt},{prefix},1,{output_tokens},{deadline},{input},{arrival},{arrival},{first},{last},{status}"
        )
        .expect("a text takes everything");
    }
    csv
}

/// The mean gap of each answered request as the times of two pieces: the client counted tokens wrongly, the server's
/// number of them is known.
fn gaps(recorded: &[Row], output_tokens: i64) -> Vec<ChunkTime> {
    let answered = recorded.iter().enumerate().filter(|(_, row)| row["ok"] == "1" && output_tokens > 1);
    answered
        .flat_map(|(id, row)| {
            let gap_us = (number(row, "e2e_us") - number(row, "ttft_us")) / (output_tokens - 1);
            [(0, 0), (1, gap_us)].map(|(index, at_us)| ChunkTime { request_id: id as i64, index, at_us })
        })
        .collect()
}

fn options(server: &Row, work: &Path, header: PathBuf, data: PathBuf) -> RunOptions {
    let model = server["model"].to_lowercase();
    let folder = work.join("llama-2-70b");
    let is_other = model == "meta-llama/llama-2-70b-hf";
    if is_other {
        fs::create_dir_all(&folder).expect("a folder for a configuration");
        fs::write(folder.join("config.json"), LLAMA_2_70B).expect("a configuration");
    }
    let count = |column: &str| Some(number(server, column));
    RunOptions {
        model: Some(model),
        model_config_folder: is_other.then_some(folder),
        hardware: Some(server["hardware"].clone()),
        tp: count("tp"),
        max_num_seqs: count("max_num_seqs"),
        max_num_batched_tokens: count("max_num_batched_tokens"),
        max_model_len: count("max_model_len"),
        block_size_in_tokens: count("block_size"),
        total_kv_blocks: count("kv_blocks_gpu"),
        per_request: true,
        traffic: Traffic::Trace(TraceOptions {
            header: Some(header),
            data: Some(data),
            ..TraceOptions::default()
        }),
        ..RunOptions::default()
    }
}

fn compare(recording: &Path, server: &Row, work: &Path) -> Calibration {
    let file = File::open(recording).expect("a recording");
    let recorded = rows(GzDecoder::new(file));
    let output_tokens = number(server, "output_tokens_exact");
    let (header, data) = (work.join("trace.yaml"), work.join("trace.csv"));
    let header_text = "trace_version: 3\ntime_unit: us\nmode: real\nwarm_up_requests: 0\n";
    let csv = trace_rows(&recorded, output_tokens);
    fs::write(&header, header_text).and_then(|()| fs::write(&data, &csv)).expect("a place for the trace");
    let plan =
        blis::plan(&options(server, work, header, data)).unwrap_or_else(|problems| panic!("{problems:?}"));
    let results = report::results_file(&blis::run(&plan));
    let results = read_results((results.as_bytes(), "results")).expect("our own file");
    let (trace, _, _) = read_trace((header_text.as_bytes(), "trace.yaml"), (csv.as_bytes(), "trace.csv"))
        .expect("our own file");
    calibrate(&trace, &results, &gaps(&recorded, output_tokens), &Settings::default())
        .expect("some answers on both sides")
}

/// The errors of one recording as a row of a table.
fn line(name: &str, calibration: &Calibration) -> String {
    let mut line = format!("{name:<44} {:>6}/{:<6}", calibration.buckets.matched, calibration.buckets.rows());
    for metric in [Metric::Ttft, Metric::Itl, Metric::E2e] {
        let errors = &calibration.metrics[&metric];
        for figure in [errors.mean, errors.p99] {
            write!(line, " {:>+8.1}%", figure.error() / figure.real * 100.0)
                .expect("a text takes everything");
        }
        write!(line, " {:>6.1}%", errors.mape * 100.0).expect("a text takes everything");
    }
    line + &format!("  {:?}", calibration.breakdown.ranked()[0].0)
}

#[allow(clippy::print_stdout, reason = "a bench tells its figures")]
fn main() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("BLIS_RECORDINGS").map_or(beside, PathBuf::from);
    let Ok(experiments) = File::open(folder.join("ground-truth/experiments.csv")) else {
        println!("no recordings in {}: nothing to replay", folder.display());
        return;
    };
    let servers = rows(experiments);
    let of =
        |name: &str| servers.iter().find(|row| row["stage"] == "all" && row["per_request_trace"] == name);
    let mut recordings: Vec<PathBuf> = fs::read_dir(folder.join("per-request"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    recordings.sort();
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("recordings");
    fs::create_dir_all(&work).expect("a place for traces");
    println!(
        "simulated less measured, of the mean and the 99th percentile, and MAPE; the last column is what to change first"
    );
    println!(
        "{:<44} {:>13} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7}",
        "recording", "compared", "TTFT", "p99", "MAPE", "ITL", "p99", "MAPE", "E2E", "p99", "MAPE"
    );
    for recording in recordings {
        let name = recording.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.trim_end_matches(".csv.gz");
        // Recordings without a line of settings come from other load generators.
        if let Some(server) = of(name) {
            println!("{}", line(name, &compare(&recording, server, &work)));
        }
    }
}
