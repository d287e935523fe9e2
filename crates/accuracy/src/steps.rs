//! Single steps with their batches: `steps/*.csv.gz`.

use crate::cells::{Row, Table};
use crate::contexts::find_longest_contexts;
use crate::experiments;
use crate::folder::Folder;
use crate::point::{ALL, Load, Point, Server, TimedStep};
use blis_config::Diagnostic;
use std::collections::BTreeMap;

/// The set's name.
pub(crate) const SET: &str = "steps";

const SCHEDULER: &str = "steps/vllm-0.15.1-h100-steps.csv.gz";
const FORWARD: &str = "steps/fpm-forward-passes.csv.gz";
const FORWARD_RUNS: &str = "steps/fpm-forward-pass-runs.csv";

/// GPU of the forward passes, whose table does not name it.
const FORWARD_GPU: &str = "B300";

/// Steps of the scheduler: from the start of one to the start of the next, where both were sampled.
pub(crate) fn scheduler_steps(
    experiments: Option<&Table>,
    folder: &Folder<'_>,
) -> Result<Vec<Point>, Vec<Diagnostic>> {
    const COLUMNS: [&str; 7] = [
        "experiment_id",
        "batch_num_prefill_reqs",
        "batch_num_decode_reqs",
        "batch_prefill_tokens",
        "kv_blocks_total_gpu",
        "kv_blocks_free_gpu",
        "step_to_next_start_us",
    ];
    let path = folder.path.join(SCHEDULER);
    let (true, Some(experiments)) = (path.exists(), experiments) else { return Ok(Vec::new()) };
    let table = Table::read(&path, &COLUMNS)?;
    let mut problems = Vec::new();
    let mut runs: BTreeMap<&str, Vec<TimedStep>> = BTreeMap::new();
    for row in table.rows().filter(|row| !row.text("step_to_next_start_us").is_empty()) {
        runs.entry(row.text("experiment_id")).or_default().extend(scheduler_step(row, &mut problems));
    }
    let mut points = Vec::new();
    for (id, steps) in runs {
        let of = |row: &Row<'_>| {
            row.text("stage") == ALL
                && (row.text("per_request_trace") == id || row.text("source_folder") == id)
        };
        let settings = experiments.rows().find(of);
        let Some(settings) = settings else {
            problems.push(
                Diagnostic::new(format!("{} has no row of the run {id}", experiments::FILE))
                    .in_file(path.display().to_string()),
            );
            continue;
        };
        points.push(Point {
            set: SET.to_owned(),
            id: id.to_owned(),
            workload: settings.text("workload").to_owned(),
            provenance: format!("vLLM {}", settings.text("vllm_version")),
            server: experiments::server(settings, folder, &mut problems),
            load: Load::Steps(steps),
            measured: Vec::new(),
        });
    }
    if problems.is_empty() { Ok(points) } else { Err(problems) }
}

fn scheduler_step(row: Row<'_>, problems: &mut Vec<Diagnostic>) -> Option<TimedStep> {
    /// Tokens of a block of these servers.
    const BLOCK_TOKENS: f64 = 16.0;
    let (prefills, decodes) =
        (row.count("batch_num_prefill_reqs", problems)?, row.count("batch_num_decode_reqs", problems)?);
    let total = row.count("kv_blocks_total_gpu", problems)?;
    let used = total - row.count("kv_blocks_free_gpu", problems)?;
    // Blocks are counted for the whole batch: the decoding requests' share of them, less half of their last blocks.
    let share = decodes as f64 / (prefills + decodes).max(1) as f64;
    let tokens = used as f64 * BLOCK_TOKENS * share - decodes as f64 * BLOCK_TOKENS / 2.0;
    let measured_ms = row.real("step_to_next_start_us", problems)? / 1e3;
    let prefill_tokens = row.count("batch_prefill_tokens", problems)? as u64;
    (measured_ms > 0.0 && prefills + decodes > 0).then_some(TimedStep {
        prefills: prefills as u32,
        prefill_tokens,
        prefill_context_tokens: 0,
        decodes: decodes as u32,
        decode_context_tokens: tokens.max(0.0) as u64,
        longest_decode_context: None,
        measured_ms,
    })
}

/// Forward passes by run.
pub(crate) fn forward_passes(folder: &Folder<'_>) -> Result<Vec<Point>, Vec<Diagnostic>> {
    const COLUMNS: [&str; 7] = [
        "run",
        "sum_prefill_tokens",
        "num_prefill_requests",
        "sum_prefill_kv_tokens",
        "num_decode_requests",
        "sum_decode_kv_tokens",
        "latency_ms",
    ];
    let path = folder.path.join(FORWARD);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let settings = Table::read(&folder.path.join(FORWARD_RUNS), &["key", "run", "model", "tp", "dp", "ep"])?;
    let table = Table::read(&path, &COLUMNS)?;
    let mut problems = Vec::new();
    let mut runs: BTreeMap<&str, Vec<TimedStep>> = BTreeMap::new();
    // Sweeps begin with passes in which kernels are compiled.
    for row in table.rows().filter(|row| row.text("workload_segment") != "sweep") {
        let step = forward_pass(row, &mut problems);
        runs.entry(row.text("run")).or_default().extend(step);
    }
    for steps in runs.values_mut() {
        find_longest_contexts(steps);
    }
    let point = |row: Row<'_>, problems: &mut Vec<Diagnostic>| {
        let model = row.text("model");
        let server = Server {
            model: model.to_owned(),
            config: folder.model_config(model),
            gpu: folder.gpu(FORWARD_GPU),
            tp: row.count("tp", problems),
            engine: Server::vllm(row.text("vllm_version")),
            dp: row.count("dp", problems).filter(|dp| *dp > 1),
            expert_parallel: row.text("ep").eq_ignore_ascii_case("true"),
            max_num_seqs: row.count("max_num_seqs", problems),
            max_num_batched_tokens: row.count("max_num_batched_tokens", problems),
            block_tokens: row.count("block_size", problems),
            kv_cache_dtype: Some(row.text("kv_cache_dtype").to_owned()).filter(|name| !name.is_empty()),
            ..Server::default()
        };
        Point {
            set: SET.to_owned(),
            id: row.text("run").to_owned(),
            workload: "forward passes".to_owned(),
            provenance: format!("vLLM {}", row.text("vllm_version")),
            server,
            load: Load::Steps(runs.remove(row.text("key")).unwrap_or_default()),
            measured: Vec::new(),
        }
    };
    let mut point = point;
    let points = settings.rows().map(|row| point(row, &mut problems)).collect();
    if problems.is_empty() { Ok(points) } else { Err(problems) }
}

fn forward_pass(row: Row<'_>, problems: &mut Vec<Diagnostic>) -> Option<TimedStep> {
    let mut count = |column: &str| row.count(column, problems).unwrap_or_default() as u64;
    let step = TimedStep {
        prefills: count("num_prefill_requests") as u32,
        prefill_tokens: count("sum_prefill_tokens"),
        prefill_context_tokens: count("sum_prefill_kv_tokens"),
        decodes: count("num_decode_requests") as u32,
        decode_context_tokens: count("sum_decode_kv_tokens"),
        longest_decode_context: None,
        measured_ms: 0.0,
    };
    let measured_ms = row.real("latency_ms", problems)?;
    (measured_ms > 0.0 && step.prefills + step.decodes > 0).then_some(TimedStep { measured_ms, ..step })
}
