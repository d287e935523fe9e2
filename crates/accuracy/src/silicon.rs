//! Servers under a closed loop of users: `silicon/dev.csv`.

use crate::cells::{Row, Table};
use crate::folder::Folder;
use crate::point::{ALL, Load, Measurement, Metric, Point, Server};
use blis_config::Diagnostic;

const FILE: &str = "silicon/dev.csv";

const COLUMNS: [&str; 14] = [
    "id",
    "set",
    "model",
    "model_config",
    "system",
    "isl",
    "osl",
    "len_ratio_min",
    "concurrency",
    "num_requests",
    "ttft_ms",
    "tpot_ms",
    "notes",
    "sample",
];

/// Which closed loops are wanted: some are marked as a sample of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClosedLoops {
    /// Those of the sample.
    #[default]
    Marked,
    /// Those beside it.
    Others,
    /// All.
    All,
}

impl ClosedLoops {
    /// Each with its name.
    pub const NAMES: [(&str, Self); 3] =
        [("marked", Self::Marked), ("others", Self::Others), ("all", Self::All)];

    fn take(self, is_marked: bool) -> bool {
        match self {
            Self::Marked => is_marked,
            Self::Others => !is_marked,
            Self::All => true,
        }
    }
}

/// One point per row that is wanted and not suspect.
pub(crate) fn points(folder: &Folder<'_>, loops: ClosedLoops) -> Result<Vec<Point>, Vec<Diagnostic>> {
    let path = folder.path.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let table = Table::read(&path, &COLUMNS)?;
    let mut problems = Vec::new();
    let wanted = table
        .rows()
        .filter(|row| loops.take(row.text("sample") == "1") && !row.text("notes").contains("suspect"));
    let points: Vec<Point> = wanted.filter_map(|row| point(row, folder, &mut problems)).collect();
    if problems.is_empty() { Ok(points) } else { Err(problems) }
}

/// A release of SGLang as `--engine` takes it. Builds without a number are of the months before 0.5.10.
fn sglang(version: &str) -> String {
    let is_numbered = version.starts_with("0.5.");
    format!("sglang-{}", if is_numbered { version } else { "0.5.9" })
}

fn point(row: Row<'_>, folder: &Folder<'_>, problems: &mut Vec<Diagnostic>) -> Option<Point> {
    let lengths = |column: &str, problems: &mut Vec<Diagnostic>| {
        let most = row.needed_count(column, problems)?;
        let ratio = row.real("len_ratio_min", problems).unwrap_or(1.0);
        Some((((most as f64 * ratio) as i64).clamp(1, most.max(1)), most.max(1)))
    };
    let config = row.text("model_config");
    let server = Server {
        model: config.to_owned(),
        config: folder.model_config(config),
        gpu: folder.gpu(row.text("system")),
        tp: row.count("tp", problems),
        pp: row.count("pp", problems).filter(|pp| *pp > 1),
        engine: match row.text("backend") {
            "vllm" => Server::vllm(row.text("backend_version")),
            "sglang" => Some(sglang(row.text("backend_version"))),
            // Of other engines there are no presets.
            _ => None,
        },
        stream_interval: row.count("stream_interval", problems),
        recv_interval: row.count("recv_interval", problems),
        dp: row.count("dp", problems).filter(|dp| *dp > 1),
        expert_parallel: row.count("ep", problems).is_some_and(|ep| ep > 1),
        max_num_seqs: row.count("max_num_seqs", problems),
        max_num_batched_tokens: row.count("max_num_batched_tokens", problems),
        max_model_len: row.count("max_model_len", problems),
        block_tokens: row.count("block_size", problems),
        kv_blocks: None,
        kv_cache_dtype: Some(row.text("kv_dtype").to_owned()).filter(|name| !name.is_empty()),
        gpu_memory_utilization: row.real("gpu_memory_utilization", problems),
    };
    let load = Load::ClosedLoop {
        users: row.needed_count("concurrency", problems)? as u32,
        requests: row.needed_count("num_requests", problems)? as u64,
        prompt_tokens: lengths("isl", problems)?,
        output_tokens: lengths("osl", problems)?,
    };
    let measured = [("ttft_ms", Metric::TtftMean), ("tpot_ms", Metric::ItlMean)]
        .into_iter()
        .filter_map(|(column, metric)| {
            let value = row.real(column, problems).filter(|value| *value > 0.0)?;
            Some(Measurement { part: ALL.to_owned(), metric, value })
        })
        .collect();
    Some(Point {
        set: row.text("set").to_owned(),
        id: row.text("id").to_owned(),
        workload: format!("{}x{}", row.text("isl"), row.text("osl")),
        provenance: [
            format!("{} {}", row.text("backend"), row.text("backend_version")).trim(),
            row.text("measured"),
        ]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(", "),
        server,
        load,
        measured,
    })
}
