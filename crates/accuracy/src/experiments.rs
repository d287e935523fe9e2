//! Runs of a load generator in stages: `ground-truth/experiments.csv` and the descriptions of its workloads.

use crate::cells::{Row, Table};
use crate::folder::Folder;
use crate::point::{ALL, Load, Measurement, Metric, Point, Server, Stage, Stages};
use blis_config::Diagnostic;
use std::collections::BTreeMap;

/// The file.
pub(crate) const FILE: &str = "ground-truth/experiments.csv";

const COLUMNS: [&str; 14] = [
    "id",
    "split",
    "model",
    "hardware",
    "tp",
    "workload",
    "stage",
    "stage_duration_s",
    "num_requests",
    "prompt_tokens_configured",
    "output_tokens_exact",
    "e2e_mean_ms",
    "ttft_mean_ms",
    "itl_mean_exact_ms",
];

/// The columns of what is measured.
const MEASURED: [(&str, Metric); 5] = [
    ("ttft_mean_ms", Metric::TtftMean),
    ("ttft_p99_ms", Metric::TtftP99),
    ("itl_mean_exact_ms", Metric::ItlMean),
    ("e2e_mean_ms", Metric::E2eMean),
    ("e2e_p99_ms", Metric::E2eP99),
];

/// The rows of the file, by run.
pub(crate) fn table(folder: &Folder<'_>) -> Result<Option<Table>, Vec<Diagnostic>> {
    let path = folder.path.join(FILE);
    if path.exists() { Table::read(&path, &COLUMNS).map(Some) } else { Ok(None) }
}

/// The settings of the server that a row is about.
pub(crate) fn server(row: Row<'_>, folder: &Folder<'_>, problems: &mut Vec<Diagnostic>) -> Server {
    let model = row.text("model");
    Server {
        model: model.to_owned(),
        config: folder.model_config(model),
        gpu: folder.gpu(row.text("hardware")),
        tp: row.count("tp", problems),
        pp: None,
        engine: Server::vllm(row.text("vllm_version")),
        dp: row.count("dp", problems).filter(|dp| *dp > 1),
        expert_parallel: row.count("ep", problems).is_some_and(|ep| ep > 1),
        max_num_seqs: row.count("max_num_seqs", problems),
        max_num_batched_tokens: row.count("max_num_batched_tokens", problems),
        max_model_len: row.count("max_model_len", problems),
        block_tokens: row.count("block_size", problems),
        kv_blocks: row.count("kv_blocks_gpu", problems),
        kv_cache_dtype: None,
        gpu_memory_utilization: row.real("gpu_mem_util", problems),
        stream_interval: None,
        recv_interval: None,
    }
}

/// One point per run.
pub(crate) fn points(table: &Table, folder: &Folder<'_>) -> Result<Vec<Point>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut runs: BTreeMap<(&str, &str), Vec<Row<'_>>> = BTreeMap::new();
    for row in table.rows() {
        runs.entry((row.text("split"), row.text("id"))).or_default().push(row);
    }
    let mut points = Vec::new();
    let mut prompts = BTreeMap::new();
    for ((split, id), rows) in runs {
        let Some(&whole) = rows.iter().find(|row| row.text("stage") == ALL) else {
            problems.push(rows[0].problem(format!("run {id} has no row of the stage \"{ALL}\"")));
            continue;
        };
        let workload = whole.text("workload");
        let described = prompts.entry(workload).or_insert_with(|| folder.workload(workload));
        let described = match described {
            Ok(described) => *described,
            Err(found) => {
                problems.append(found);
                continue;
            }
        };
        // Decoded and encoded again by the server, prompts grow: where that was not counted, as in other runs.
        let configured = whole.needed_count("prompt_tokens_configured", &mut problems).unwrap_or_default();
        let shared = whole.count("shared_prefix_tokens", &mut problems).unwrap_or_default();
        let prompt_tokens = whole
            .real("prompt_tokens_mean_measured", &mut problems)
            .or(described.prompt_tokens)
            .unwrap_or((configured.max(shared)) as f64);
        let staged = |row: &&Row<'_>| row.text("stage").parse::<u32>().is_ok();
        let mut stages = Vec::new();
        for row in rows.iter().filter(staged) {
            let requests = row.needed_count("num_requests", &mut problems);
            let duration_s = row.real("stage_duration_s", &mut problems);
            if let (Some(requests), Some(duration_s)) = (requests, duration_s) {
                stages.push(Stage { requests: requests as u64, duration_s });
            }
        }
        let output_tokens = whole.needed_count("output_tokens_exact", &mut problems).unwrap_or_default();
        let mut measured = Vec::new();
        for row in rows.iter().filter(|row| staged(row) || row.text("stage") == ALL) {
            for (column, metric) in MEASURED {
                let value = row.real(column, &mut problems).filter(|value| *value > 0.0);
                let part = row.text("stage").to_owned();
                measured.extend(value.map(|value| Measurement { part, metric, value }));
            }
        }
        if whole.text("kv_blocks_source") == "measured"
            && let Some(blocks) = whole.count("kv_blocks_gpu", &mut problems)
        {
            measured.push(Measurement {
                part: ALL.to_owned(),
                metric: Metric::KvBlocks,
                value: blocks as f64,
            });
        }
        points.push(Point {
            set: split.to_owned(),
            id: id.to_owned(),
            workload: workload.to_owned(),
            provenance: format!("vLLM {}", whole.text("vllm_version")),
            server: server(whole, folder, &mut problems),
            load: Load::Stages(Stages {
                stages,
                prompts: described.prompts,
                prompt_tokens: prompt_tokens.round() as u32,
                output_tokens: output_tokens as u32,
            }),
            measured,
        });
    }
    if problems.is_empty() { Ok(points) } else { Err(problems) }
}
