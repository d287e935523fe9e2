//! Files that describe traffic, whichever kind they are.

use crate::diagnostic::Diagnostic;
use crate::resolve::trace;
use crate::workload_file::{self, Overrides};
use blis_workload::RequestSource;
use std::sync::Arc;

/// Seed of a replay when nobody gives one.
const DEFAULT_REPLAY_SEED: i64 = 42;

/// The requests that a file describes.
pub struct TrafficFile {
    /// The requests.
    pub source: Box<dyn RequestSource>,
    /// What the file's author should know.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a workload file, or the header of a trace together with its rows. `file` and `rows` are contents and names.
///
/// # Errors
/// Everything that is wrong with them.
pub fn read(
    file: (&[u8], &str),
    rows: Option<(&[u8], &str)>,
    seed: Option<i64>,
) -> Result<TrafficFile, Vec<Diagnostic>> {
    let (bytes, name) = file;
    let text =
        std::str::from_utf8(bytes).map_err(|_| vec![Diagnostic::new("is not UTF-8 text").in_file(name)])?;
    if is_trace_header(text) {
        let Some(rows) = rows else {
            let problem = Diagnostic::new("is the header of a trace, whose rows are missing").in_file(name);
            return Err(vec![problem.with_help("name them with --trace-data")]);
        };
        let (header, warnings) = trace::header(text, name)?;
        let trace = trace::with_rows(header, rows.0, rows.1)?;
        let source = Arc::new(trace).stream(seed.unwrap_or(DEFAULT_REPLAY_SEED));
        return Ok(TrafficFile { source, warnings });
    }
    let overrides = Overrides { seed, ..Overrides::default() };
    let file = workload_file::read(text, name, overrides)?;
    if let Some((_, rows)) = rows {
        let problem = Diagnostic::new("rows of a trace are given beside a workload file").in_file(rows);
        return Err(vec![problem.with_help("name the trace's header instead of the workload file")]);
    }
    Ok(TrafficFile { source: file.workload.stream(), warnings: file.warnings })
}

/// Whether a YAML text is the header of a trace: no other file of ours says `trace_version`.
pub fn is_trace_header(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("trace_version") || line.starts_with("\"trace_version\""))
}
