//! Measurements of one's own: recorded traces, and logs of steps.

use crate::cells::{Row, Table};
use crate::point::{ALL, Load, Measurement, Metric, Point, Server, TimedStep};
use blis_config::Diagnostic;
use blis_config::calibration_files::read_trace;
use blis_kernel::Tick;
use blis_kernel::stats;
use blis_workload::Trace;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The columns of a log of steps.
pub const STEP_COLUMNS: [&str; 6] =
    ["prefills", "prefill_tokens", "prefill_context_tokens", "decodes", "decode_context_tokens", "step_ms"];

/// Requests that a part of a trace has at least, and parts that it has at most.
const LEAST_OF_PART: usize = 20;
const MOST_PARTS: usize = 8;

/// A recorded trace (TraceV2: a YAML header and CSV rows) as a point: its requests arrive as they were sent. Its figures are
/// means over the answered requests, of all and of equally many one after the other. Requests that warmed the server up do not
/// count.
///
/// # Errors
/// Everything that is wrong with the files, and traces without times.
pub fn trace(header: &Path, rows: &Path, server: Server) -> Result<Point, Vec<Diagnostic>> {
    let bytes = |path: &Path| {
        fs::read(path).map_err(|error| {
            vec![Diagnostic::new(format!("cannot be read: {error}")).in_file(path.display().to_string())]
        })
    };
    let (header_name, rows_name) = (header.display().to_string(), rows.display().to_string());
    let (trace, ..) = read_trace((&bytes(header)?, &header_name), (&bytes(rows)?, &rows_name))?;
    let timed = timed(&trace);
    if timed.is_empty() {
        let problem = "has no answered request with send_time_us, first_chunk_time_us and last_chunk_time_us";
        return Err(vec![Diagnostic::new(problem).in_file(rows_name)]);
    }
    let count = (timed.len() / LEAST_OF_PART).clamp(1, MOST_PARTS);
    let starts: Vec<usize> = (0..count).map(|part| part * timed.len() / count).collect();
    let ends: Vec<Tick> =
        starts.iter().skip(1).map(|&start| Tick::from_us(timed[start].arrival.as_us() - 1)).collect();
    let mut measured = figures(ALL, &timed);
    if count > 1 {
        for (part, &start) in starts.iter().enumerate() {
            let end = starts.get(part + 1).copied().unwrap_or(timed.len());
            measured.extend(figures(&part.to_string(), &timed[start..end]));
        }
    }
    let name = rows.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Point {
        set: "traces".to_owned(),
        workload: name.clone(),
        id: name,
        provenance: trace.header.created_at.clone().unwrap_or_default(),
        server,
        load: Load::Trace { trace: Arc::new(trace), ends },
        measured,
    })
}

/// An answered request, ms.
struct Timed {
    arrival: Tick,
    ttft: f64,
    e2e: f64,
    output_tokens: u32,
}

/// In order of arrival.
fn timed(trace: &Trace) -> Vec<Timed> {
    let warm_up = i64::try_from(trace.header.warm_up_requests).unwrap_or(i64::MAX);
    let mut timed: Vec<Timed> = trace
        .rows()
        .iter()
        .filter(|row| row.request_id >= warm_up && matches!(trace.text(row.status), "ok" | ""))
        .filter(|row| row.send_us > 0 && row.first_chunk_us > row.send_us)
        .filter(|row| row.last_chunk_us >= row.first_chunk_us)
        .map(|row| Timed {
            arrival: trace.injection(row),
            ttft: (row.first_chunk_us - row.send_us) as f64 / 1e3,
            e2e: (row.last_chunk_us - row.send_us) as f64 / 1e3,
            output_tokens: row.output_tokens,
        })
        .collect();
    timed.sort_by_key(|one| one.arrival);
    timed
}

fn figures(part: &str, timed: &[Timed]) -> Vec<Measurement> {
    let mean = |values: Vec<f64>| (!values.is_empty()).then(|| stats::mean(&values[..]));
    let gaps = timed
        .iter()
        .filter(|one| one.output_tokens > 1)
        .map(|one| (one.e2e - one.ttft) / f64::from(one.output_tokens - 1));
    [
        (Metric::TtftMean, mean(timed.iter().map(|one| one.ttft).collect())),
        (Metric::ItlMean, mean(gaps.collect())),
        (Metric::E2eMean, mean(timed.iter().map(|one| one.e2e).collect())),
    ]
    .into_iter()
    .filter_map(|(metric, value)| {
        let value = value.filter(|value| *value > 0.0)?;
        Some(Measurement { part: part.to_owned(), metric, value })
    })
    .collect()
}

/// A log of steps: CSV with [`STEP_COLUMNS`], packed where its name ends in `.gz`; other columns are left alone.
///
/// # Errors
/// Everything that is wrong with it.
pub fn step_log(path: &Path, server: Server) -> Result<Point, Vec<Diagnostic>> {
    let table = Table::read(path, &STEP_COLUMNS)?;
    let mut problems = Vec::new();
    let steps: Vec<TimedStep> = table.rows().filter_map(|row| step(row, &mut problems)).collect();
    if steps.is_empty() && problems.is_empty() {
        problems.push(Diagnostic::new("has no step").in_file(path.display().to_string()));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Point {
        set: "step-logs".to_owned(),
        workload: name.clone(),
        id: name,
        provenance: String::new(),
        server,
        load: Load::Steps(steps),
        measured: Vec::new(),
    })
}

fn step(row: Row<'_>, problems: &mut Vec<Diagnostic>) -> Option<TimedStep> {
    let [prefills, prefill_tokens, prefill_context, decodes, decode_context, took] = STEP_COLUMNS;
    let before = problems.len();
    let mut count = |column: &str| row.needed_count(column, problems).unwrap_or_default();
    let step = TimedStep {
        prefills: count(prefills) as u32,
        prefill_tokens: count(prefill_tokens) as u64,
        prefill_context_tokens: count(prefill_context) as u64,
        decodes: count(decodes) as u32,
        decode_context_tokens: count(decode_context) as u64,
        longest_decode_context: None,
        measured_ms: 0.0,
    };
    let measured_ms = row.real(took, problems).unwrap_or_default();
    if problems.len() > before {
        return None;
    }
    if measured_ms <= 0.0 || step.prefills + step.decodes == 0 {
        problems.push(row.problem("a step needs requests and a time above 0".to_owned()));
        return None;
    }
    Some(TimedStep { measured_ms, ..step })
}
