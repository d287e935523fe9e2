//! Converts files of `tests/recordings/data` in memory.

use blis_convert::{Failure, InOrder, Sink, Sorted, Summary};
use blis_workload::trace::{OptionalColumns, TraceMode};
use blis_workload::{Trace, TraceHeader};
use std::io::Cursor;

pub(crate) const COLUMNS: OptionalColumns = OptionalColumns {
    vllm_priority: false,
    slo_target: false,
    x_request_id: true,
    adapter: false,
    think_time: true,
    blocks: true,
};

/// A file of `tests/recordings/data`.
pub(crate) fn data(name: &str) -> Cursor<Vec<u8>> {
    let path = format!("{}/tests/recordings/data/{name}", env!("CARGO_MANIFEST_DIR"));
    Cursor::new(std::fs::read(path).unwrap())
}

/// The rows that a sink got, as a trace.
pub(crate) fn trace(rows: InOrder<Vec<u8>>) -> (Trace, Summary) {
    let (text, summary) = rows.finish().unwrap();
    let header = TraceHeader {
        trace_version: 3,
        mode: TraceMode::Real,
        prefix_block_tokens: Some(512),
        ..TraceHeader::default()
    };
    (Trace::read(header, text.as_slice()).unwrap(), summary)
}

/// Rows written as they are read.
pub(crate) fn in_order(
    read: impl FnOnce(&mut dyn Sink) -> Result<(), Failure>,
) -> Result<(Trace, Summary), Failure> {
    let mut rows = InOrder::new(Vec::new(), COLUMNS)?;
    read(&mut rows)?;
    Ok(trace(rows))
}

/// Rows that are sorted first, and what `read` says.
pub(crate) fn sorted<T>(
    read: impl FnOnce(&mut dyn Sink) -> Result<T, Failure>,
) -> Result<(Trace, Summary, T), Failure> {
    let mut sorted = Sorted::default();
    let facts = read(&mut sorted)?;
    let mut rows = InOrder::new(Vec::new(), COLUMNS)?;
    sorted.write(&mut rows)?;
    let (trace, summary) = trace(rows);
    Ok((trace, summary, facts))
}
