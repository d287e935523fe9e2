//! Reading the data of a trace.
//!
//! Columns are found by name in any order, so files of every release load: a column that is not there has its zero
//! value, one that is not known is ignored. Only a file without a row of names is read by position.

use super::problem::{TraceError, TraceProblem};
use super::row::{BlockRun, CORE_COLUMNS, Cell, REQUIRED, RunsId, TextId, TraceRow};
use super::{Trace, TraceHeader, blocks, send_base_us};
use csv::{ErrorKind, StringRecord};
use rustc_hash::FxHashMap;
use std::io::Read;

impl Trace {
    /// Reads the rows of a trace from `data`, comma-separated values.
    ///
    /// # Errors
    /// Everything that is wrong with the data, with line, column, value and what is allowed.
    pub fn read(header: TraceHeader, data: impl Read) -> Result<Self, TraceError> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(data);
        let mut builder = Builder { block_tokens: header.prefix_block_tokens, ..Builder::default() };
        let mut record = StringRecord::new();
        let mut layout: Option<Layout> = None;
        loop {
            match reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) => {}
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    builder.errors.push(TraceProblem::Unreadable { line, message: reason(&error) });
                    if matches!(error.kind(), ErrorKind::Utf8 { .. }) {
                        continue;
                    }
                    break;
                }
            }
            let line = record.position().map_or(0, csv::Position::line);
            match &layout {
                Some(layout) => builder.row(layout, &record, line),
                None if is_data(&record) => {
                    let layout = layout.insert(Layout::by_position());
                    builder.row(layout, &record, line);
                }
                None => match Layout::by_name(&record, &mut builder.errors) {
                    Some(found) => layout = Some(found),
                    // Without the needed columns every row would be reported.
                    None => break,
                },
            }
        }
        if layout.is_none() && builder.errors.is_empty() {
            builder.errors.push(TraceProblem::Empty);
        }
        builder.finish(header)
    }
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::Utf8 { .. } => "not UTF-8 text".to_owned(),
        ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// A first row of data begins with a request's number, a row of names does not.
fn is_data(record: &StringRecord) -> bool {
    record.get(0).is_some_and(|first| first.trim().parse::<i64>().is_ok())
}

type Column = super::row::Column<TextId, RunsId>;

/// Which columns a file has and where.
struct Layout {
    places: Vec<(usize, Column)>,
    /// Fields that a row needs.
    width: usize,
}

impl Layout {
    fn by_position() -> Self {
        Self {
            places: TraceRow::COLUMNS[..CORE_COLUMNS].iter().copied().enumerate().collect(),
            width: CORE_COLUMNS,
        }
    }

    fn by_name(names: &StringRecord, errors: &mut TraceError) -> Option<Self> {
        let mut places: Vec<(usize, Column)> = Vec::new();
        for (place, name) in names.iter().enumerate() {
            let name = name.trim_start_matches('\u{feff}').trim();
            let known = TraceRow::COLUMNS;
            let Some(&column) = known.iter().find(|column: &&Column| column.name == name) else { continue };
            if places.iter().any(|(_, known)| known.name == name) {
                errors.push(TraceProblem::RepeatedColumn { column: column.name });
            }
            places.push((place, column));
        }
        for column in REQUIRED {
            if places.iter().all(|(_, known)| known.name != column) {
                errors.push(TraceProblem::MissingColumn { column });
            }
        }
        let width = places.last().map_or(0, |(place, _)| place + 1);
        errors.is_empty().then_some(Self { places, width })
    }
}

struct Builder {
    rows: Vec<TraceRow>,
    texts: Vec<String>,
    ids: FxHashMap<String, TextId>,
    runs: Vec<BlockRun>,
    block_tokens: Option<u32>,
    errors: TraceError,
}

impl Default for Builder {
    fn default() -> Self {
        // The empty text comes first, so that it is the default.
        let ids = FxHashMap::from_iter([(String::new(), TextId(0))]);
        Self {
            rows: Vec::new(),
            texts: vec![String::new()],
            ids,
            runs: Vec::new(),
            block_tokens: None,
            errors: TraceError::default(),
        }
    }
}

impl Builder {
    fn row(&mut self, layout: &Layout, record: &StringRecord, line: u64) {
        if record.len() < layout.width {
            let (columns, needed) = (record.len(), layout.width);
            self.errors.push(TraceProblem::ShortRow { line, columns, needed });
            return;
        }
        let mut row = TraceRow::default();
        for &(place, column) in &layout.places {
            let value = &record[place];
            if let Err(allowed) = self.cell(&mut row, column.cell, value) {
                let value = value.to_owned();
                self.errors.push(TraceProblem::Value { line, column: column.name, value, allowed });
            }
        }
        let (deadline_us, arrival_us) = (row.deadline_us, row.arrival_us);
        if deadline_us > 0 && arrival_us > 0 && deadline_us < arrival_us {
            self.errors.push(TraceProblem::DeadlineBeforeArrival { line, deadline_us, arrival_us });
        }
        self.check_blocks(&row, line);
        self.rows.push(row);
    }

    /// Blocks have a known size and lie within the prompt.
    fn check_blocks(&mut self, row: &TraceRow, line: u64) {
        let blocks = blocks::count(row.blocks.of(&self.runs));
        if blocks == 0 {
            return;
        }
        let Some(block_tokens) = self.block_tokens else {
            self.errors.push(TraceProblem::BlocksOfUnknownSize { line });
            return;
        };
        if row.prefix_tokens > 0 {
            self.errors.push(TraceProblem::BlocksBehindPrefix { line, prefix_tokens: row.prefix_tokens });
        }
        let input_tokens = row.input_tokens;
        if (blocks - 1).saturating_mul(u64::from(block_tokens)) >= u64::from(input_tokens) {
            self.errors.push(TraceProblem::TooManyBlocks { line, blocks, block_tokens, input_tokens });
        }
    }

    /// Puts a value into its cell, or tells what is allowed there.
    fn cell(
        &mut self,
        row: &mut TraceRow,
        cell: Cell<TextId, RunsId>,
        value: &str,
    ) -> Result<(), &'static str> {
        let trimmed = value.trim();
        match cell {
            Cell::Integer(field) => *field(row) = trimmed.parse().map_err(|_| "an integer")?,
            Cell::Span(field) => *field(row) = span(trimmed)?,
            Cell::SpanOrEmpty(field) => *field(row) = if trimmed.is_empty() { 0 } else { span(trimmed)? },
            Cell::Count(field) => {
                *field(row) = trimmed.parse().map_err(|_| "an integer from 0 to 4294967295")?;
            }
            Cell::Flag(field) => {
                *field(row) = match trimmed {
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                    _ => return Err("true or false"),
                }
            }
            Cell::Ratio(field) => {
                *field(row) = trimmed
                    .parse()
                    .ok()
                    .filter(|ratio| (0.0..=1.0).contains(ratio))
                    .ok_or("a number from 0 to 1")?;
            }
            Cell::Text(field) => *field(row) = self.text(value),
            Cell::TrimmedText(field) => *field(row) = self.text(trimmed),
            Cell::Blocks(field) => *field(row) = self.blocks(trimmed)?,
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> TextId {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = TextId(self.texts.len() as u32);
        self.texts.push(text.to_owned());
        self.ids.insert(text.to_owned(), id);
        id
    }

    fn blocks(&mut self, text: &str) -> Result<RunsId, &'static str> {
        let first = self.runs.len();
        blocks::read(text, &mut self.runs)?;
        Ok(RunsId { first: first as u32, runs: (self.runs.len() - first) as u32 })
    }

    fn finish(self, header: TraceHeader) -> Result<Trace, TraceError> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let send_base_us = send_base_us(header.mode, &self.rows);
        Ok(Trace { header, rows: self.rows, texts: self.texts, runs: self.runs, send_base_us })
    }
}

fn span(value: &str) -> Result<i64, &'static str> {
    value.parse().ok().filter(|&span| span >= 0).ok_or("an integer of at least 0")
}
