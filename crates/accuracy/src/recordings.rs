//! Runs of which every request was recorded: `per-request/*.csv.gz`.

use crate::cells::{Row, Table};
use crate::experiments;
use crate::folder::Folder;
use crate::point::{ALL, Load, Measurement, Measurements, Metric, Point, RecordedRequest};
use blis_config::Diagnostic;
use blis_kernel::stats;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The set's name.
pub(crate) const SET: &str = "recordings";

const COLUMNS: [&str; 7] = ["index", "arrival_us", "prompt_id", "input_tokens", "ttft_us", "e2e_us", "ok"];

/// One point per recording that has a line of settings, and the others with the reason why they are left out.
pub(crate) fn points(table: &Table, folder: &Folder<'_>) -> Result<Measurements, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let (mut points, mut left_out) = (Vec::new(), Vec::new());
    let mut files: Vec<PathBuf> = fs::read_dir(folder.path.join("per-request"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.sort();
    for file in files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(name) = name.strip_suffix(".csv.gz") else { continue };
        let of = |row: &Row<'_>| row.text("stage") == ALL && row.text("per_request_trace") == name;
        let Some(settings) = table.rows().find(of) else {
            let reason = format!("{} has no line of its server's settings", experiments::FILE);
            left_out.push((name.to_owned(), reason));
            continue;
        };
        match point(&file, name, settings, folder) {
            Ok(point) => points.push(point),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(Measurements { points, left_out }) } else { Err(problems) }
}

fn point(file: &Path, name: &str, settings: Row<'_>, folder: &Folder<'_>) -> Result<Point, Vec<Diagnostic>> {
    let table = Table::read(file, &COLUMNS)?;
    let mut problems = Vec::new();
    let recorded: Vec<Recorded> = table.rows().filter_map(|row| Recorded::read(row, &mut problems)).collect();
    let output_tokens = settings.needed_count("output_tokens_exact", &mut problems).unwrap_or_default();
    let server = experiments::server(settings, folder, &mut problems);
    let usual = usual_lengths(&recorded);
    if usual.is_empty() {
        problems.push(Diagnostic::new("no request has a length").in_file(file.display().to_string()));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let requests = recorded.iter().map(|request| request.with_prompt(&usual)).collect();
    Ok(Point {
        set: SET.to_owned(),
        id: name.to_owned(),
        workload: settings.text("workload").to_owned(),
        provenance: format!("vLLM {}", settings.text("vllm_version")),
        server,
        load: Load::Recorded { requests, output_tokens: output_tokens as u32 },
        measured: measured(&recorded, output_tokens),
    })
}

/// A row of a recording.
struct Recorded {
    arrival_us: i64,
    prompt: i64,
    /// 0 = not known.
    prompt_tokens: i64,
    /// Times to the first token and to the last, of a request that was answered.
    answered_us: Option<(i64, i64)>,
}

impl Recorded {
    fn read(row: Row<'_>, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let (ttft, e2e) = (row.count("ttft_us", problems), row.count("e2e_us", problems));
        Some(Self {
            arrival_us: row.needed_count("arrival_us", problems)?,
            prompt: row.needed_count("prompt_id", problems)?,
            prompt_tokens: row.count("input_tokens", problems).unwrap_or_default(),
            answered_us: ttft.zip(e2e).filter(|_| row.text("ok") == "1"),
        })
    }

    /// With the prompt that it carried: the nearest one that has its length.
    fn with_prompt(&self, usual: &BTreeMap<i64, i64>) -> RecordedRequest {
        let prompts = usual.keys().max().map_or(1, |last| last + 1);
        let distance = |other: i64| {
            (self.prompt - other).rem_euclid(prompts).min((other - self.prompt).rem_euclid(prompts))
        };
        let fits =
            usual.iter().filter(|(_, tokens)| self.prompt_tokens == 0 || **tokens == self.prompt_tokens);
        let nearest = fits.min_by_key(|(other, _)| (distance(**other), **other));
        let (prompt, tokens) = nearest.map_or((self.prompt, self.prompt_tokens), |(p, t)| (*p, *t));
        RecordedRequest { arrival_us: self.arrival_us, prompt, prompt_tokens: tokens.max(1) as u32 }
    }
}

/// The usual length of each prompt: about one request in a hundred was sent out of turn with a neighbour's prompt.
fn usual_lengths(recorded: &[Recorded]) -> BTreeMap<i64, i64> {
    let mut counts: BTreeMap<i64, BTreeMap<i64, u32>> = BTreeMap::new();
    for request in recorded.iter().filter(|request| request.prompt_tokens > 0) {
        *counts.entry(request.prompt).or_default().entry(request.prompt_tokens).or_default() += 1;
    }
    let most = |lengths: BTreeMap<i64, u32>| {
        lengths.into_iter().max_by_key(|&(_, count)| count).map(|(tokens, _)| tokens)
    };
    counts.into_iter().filter_map(|(prompt, lengths)| Some((prompt, most(lengths)?))).collect()
}

/// The figures of the answered requests. The client counted tokens wrongly; the server's number of them is known.
fn measured(recorded: &[Recorded], output_tokens: i64) -> Vec<Measurement> {
    let answered: Vec<(i64, i64)> = recorded.iter().filter_map(|request| request.answered_us).collect();
    if answered.is_empty() {
        return Vec::new();
    }
    let sorted = |of: fn(&(i64, i64)) -> i64| {
        let mut values: Vec<f64> = answered.iter().map(|times| of(times) as f64 / 1e3).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (ttft, e2e) = (sorted(|times| times.0), sorted(|times| times.1));
    let decoding = sorted(|times| times.1 - times.0);
    let mut figures = vec![
        (Metric::TtftMean, stats::mean(&ttft[..])),
        (Metric::TtftP99, stats::percentile(&ttft[..], 99.0)),
        (Metric::E2eMean, stats::mean(&e2e[..])),
        (Metric::E2eP99, stats::percentile(&e2e[..], 99.0)),
    ];
    if output_tokens > 1 {
        figures.push((Metric::ItlMean, stats::mean(&decoding[..]) / (output_tokens - 1) as f64));
    }
    let measurement = |(metric, value)| Measurement { part: ALL.to_owned(), metric, value };
    figures.into_iter().map(measurement).collect()
}
