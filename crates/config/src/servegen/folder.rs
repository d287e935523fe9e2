//! The files of a folder: `chunk-<id>-trace.csv` (start s, rate, cv, pattern, shape, scale s; no header) and
//! `chunk-<id>-dataset.json` (windows by their start in seconds).

use super::chunk::{Chunk, Lengths, Process, Row};
use super::{in_folder, pmf};
use crate::diagnostic::Diagnostic;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const TRACE: &str = "-trace.csv";
const DATASET: &str = "-dataset.json";
/// Columns without shape and scale, which belong together.
const LEAST_COLUMNS: usize = 4;

/// All clients, in the order of the names of their files.
pub(super) fn read(folder: &Path, warnings: &mut Vec<Diagnostic>) -> Result<Vec<Chunk>, Vec<Diagnostic>> {
    let unreadable = |error: std::io::Error| vec![in_folder(folder, format!("cannot be read: {error}"))];
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        let has_kind = name.ends_with(TRACE) || name.ends_with(DATASET);
        if name.starts_with("chunk-") && has_kind {
            names.insert(name);
        }
    }
    let mut problems = Vec::new();
    let mut chunks = Vec::new();
    for name in &names {
        let Some(stem) = name.strip_suffix(TRACE) else {
            let trace = format!("{}{TRACE}", name.trim_end_matches(DATASET));
            if !names.contains(&trace) {
                warnings.push(in_folder(&folder.join(name), format!("is unused: there is no {trace}")));
            }
            continue;
        };
        let dataset = format!("{stem}{DATASET}");
        if !names.contains(&dataset) {
            warnings.push(in_folder(&folder.join(name), format!("is unused: there is no {dataset}")));
            continue;
        }
        let rows = rows(&folder.join(name), warnings);
        let lengths = lengths(&folder.join(&dataset), warnings);
        match (rows, lengths) {
            (Ok(rows), Ok(lengths)) => chunks.push(Chunk::new(rows, lengths)),
            (rows, lengths) => problems.extend(rows.err().into_iter().chain(lengths.err())),
        }
    }
    if problems.is_empty() && chunks.iter().all(|chunk| chunk.rows.is_empty()) {
        let message = if chunks.is_empty() {
            format!("has no pair of files chunk-…{TRACE} and chunk-…{DATASET}")
        } else {
            "has no client with a rate above 0 while its lengths are known".to_owned()
        };
        problems.push(in_folder(folder, message));
    }
    if problems.is_empty() { Ok(chunks) } else { Err(problems) }
}

fn rows(path: &Path, warnings: &mut Vec<Diagnostic>) -> Result<Vec<Row>, Diagnostic> {
    let unreadable = |error: &dyn std::fmt::Display| in_folder(path, format!("cannot be read: {error}"));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| unreadable(&error))?;
    let (mut rows, mut skipped, mut with_five) = (Vec::new(), 0, 0);
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(&error))?;
        let number =
            |column: usize| record.get(column)?.parse::<f64>().ok().filter(|number| number.is_finite());
        let first = number(0).zip(number(1)).zip(number(2)).filter(|_| record.len() >= LEAST_COLUMNS);
        let Some(((start_s, rate), cv)) = first else {
            skipped += 1;
            continue;
        };
        with_five += usize::from(record.len() == LEAST_COLUMNS + 1);
        let positive = |column| number(column).filter(|&number| number > 0.0);
        let process = match record.get(3).unwrap_or_default().to_lowercase().as_str() {
            "gamma" => Some(Process::Gamma),
            "weibull" => Some(Process::Weibull),
            _ => None,
        };
        let shape_and_scale = positive(4).zip(positive(5));
        rows.push(Row { start_s, rate, process, cv: Some(cv).filter(|&cv| cv > 0.0), shape_and_scale });
    }
    if skipped > 0 {
        let message =
            format!("{skipped} rows are skipped: they lack columns, or start, rate or cv is no number");
        warnings.push(in_folder(path, message));
    }
    if with_five > 0 {
        let message = format!("{with_five} rows have a shape without a scale, which is unused");
        warnings.push(in_folder(path, message));
    }
    Ok(rows)
}

fn lengths(path: &Path, warnings: &mut Vec<Diagnostic>) -> Result<Vec<Lengths>, Diagnostic> {
    let text =
        fs::read_to_string(path).map_err(|error| in_folder(path, format!("cannot be read: {error}")))?;
    let windows: serde_json::Map<String, Value> = serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line() as u32, error.column() as u32);
        in_folder(path, error.to_string()).at(line, column)
    })?;
    let mut all = Vec::new();
    for (key, window) in windows {
        let Some(start_s) = key.trim().parse::<f64>().ok().filter(|start| start.is_finite()) else {
            warnings.push(in_folder(path, format!("window \"{key}\" is skipped: its key is no number")));
            continue;
        };
        let member = |name: &str| match window.get(name) {
            None | Some(Value::Null) => Ok(pmf::Pmf::new()),
            Some(Value::String(text)) => pmf::parse(text)
                .map_err(|problem| in_folder(path, format!("window {key}, {name}: {problem}"))),
            Some(other) => Err(in_folder(path, format!("window {key}, {name} is {other}; it must be text"))),
        };
        let (input, output, reason_ratio) =
            (member("input_tokens")?, member("output_tokens")?, member("reason_ratio")?);
        if let Some((share, _)) = reason_ratio.iter().find(|(share, _)| !(0.0..=1.0).contains(share)) {
            let message = format!("window {key}, reason_ratio: {share} is not a share from 0 to 1");
            return Err(in_folder(path, message));
        }
        if !input.is_empty() && !output.is_empty() {
            all.push(Lengths { start_s, key, input, output, reason_ratio });
        }
    }
    Ok(all)
}
