//! Where converted rows go.

use crate::problem::Failure;
use blis_workload::trace::{BlockRun, OptionalColumns, OwnRow, TraceRow, TraceWriter};
use rustc_hash::FxHashMap;
use std::io::Write;

/// Takes rows, whose times are on any clock of the recording, in microseconds.
pub trait Sink {
    /// Takes a row that stands at `line` of the recording.
    ///
    /// # Errors
    /// It comes too late, or cannot be written.
    fn row(&mut self, row: OwnRow<'_>, line: u64) -> Result<(), Failure>;
}

/// What a recording says about itself as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Model that was served.
    pub model: Option<String>,
    /// Leading requests, in order of arrival, that only warmed the server up.
    pub warm_up_requests: u64,
    /// Requests left out because the recording does not say when they were sent or how long they are.
    pub left_out: u64,
}

/// What was converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows.
    pub requests: u64,
    /// Sum of prompt tokens.
    pub input_tokens: u64,
    /// Sum of answer tokens.
    pub output_tokens: u64,
    /// From the first arrival to the last, µs.
    pub span_us: i64,
}

impl Summary {
    fn add(&mut self, row: &OwnRow<'_>) {
        self.requests += 1;
        self.input_tokens += u64::from(row.input_tokens);
        self.output_tokens += u64::from(row.output_tokens);
        self.span_us = self.span_us.max(row.arrival_us);
    }
}

/// Moves all times of a row back by `origin_us`; those that are not known stay 0.
fn rebase<T, B>(row: &mut TraceRow<T, B>, origin_us: i64) {
    row.arrival_us = row.arrival_us.saturating_sub(origin_us);
    row.send_us = row.arrival_us;
    for at in [&mut row.first_chunk_us, &mut row.last_chunk_us, &mut row.deadline_us] {
        if *at != 0 {
            *at = at.saturating_sub(origin_us);
        }
    }
}

/// Writes rows as they come; they must come in order of time. Numbers them, and lets time begin with the first.
pub struct InOrder<W: Write> {
    writer: TraceWriter<W>,
    origin_us: Option<i64>,
    latest_us: i64,
    summary: Summary,
}

impl<W: Write> InOrder<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(out: W, columns: OptionalColumns) -> Result<Self, Failure> {
        let writer = TraceWriter::new(out, columns).map_err(Failure::Write)?;
        Ok(Self { writer, origin_us: None, latest_us: i64::MIN, summary: Summary::default() })
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<(W, Summary), Failure> {
        Ok((self.writer.finish().map_err(Failure::Write)?, self.summary))
    }
}

impl<W: Write> Sink for InOrder<W> {
    fn row(&mut self, mut row: OwnRow<'_>, line: u64) -> Result<(), Failure> {
        if row.arrival_us < self.latest_us {
            return Err(Failure::OutOfOrder { line });
        }
        self.latest_us = row.arrival_us;
        let origin_us = *self.origin_us.get_or_insert(row.arrival_us);
        rebase(&mut row, origin_us);
        row.request_id = self.summary.requests as i64;
        self.summary.add(&row);
        self.writer.write(row).map_err(Failure::Write)
    }
}

/// Keeps all rows and writes them in order of time, at equal times as they came.
#[derive(Debug, Default)]
pub struct Sorted {
    rows: Vec<TraceRow<u32, (usize, usize)>>,
    texts: Vec<String>,
    numbers: FxHashMap<String, u32>,
    runs: Vec<BlockRun>,
}

impl Sorted {
    fn text(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// Hands all rows on.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(mut self, sink: &mut dyn Sink) -> Result<(), Failure> {
        self.rows.sort_by_key(|row| row.arrival_us);
        for row in self.rows {
            let own = row.map(
                |number| self.texts[number as usize].as_str(),
                |(first, runs)| &self.runs[first..first + runs],
            );
            // Rows in order have no line that could be too early.
            sink.row(own, 0)?;
        }
        Ok(())
    }
}

impl Sink for Sorted {
    fn row(&mut self, row: OwnRow<'_>, _line: u64) -> Result<(), Failure> {
        let first = self.runs.len();
        self.runs.extend_from_slice(row.blocks);
        let row = row.map(|text| self.text(text), |blocks| (first, blocks.len()));
        self.rows.push(row);
        Ok(())
    }
}
