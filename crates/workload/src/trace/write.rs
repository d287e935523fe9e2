//! Writing the data of a trace, row by row.

use super::blocks;
use super::row::{BLOCKS, BlockRun, CORE_COLUMNS, Cell, INSERTED, OwnRow};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Columns that are only written where they say something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionalColumns {
    /// `vllm_priority`.
    pub vllm_priority: bool,
    /// `slo_target_us`.
    pub slo_target: bool,
    /// `x_request_id`.
    pub x_request_id: bool,
    /// `adapter`.
    pub adapter: bool,
    /// `think_time_us`.
    pub think_time: bool,
    /// `prefix_blocks`.
    pub blocks: bool,
}

impl OptionalColumns {
    fn has(self, name: &str) -> bool {
        match name {
            "vllm_priority" => self.vllm_priority,
            "slo_target_us" => self.slo_target,
            "x_request_id" => self.x_request_id,
            "adapter" => self.adapter,
            "think_time_us" => self.think_time,
            BLOCKS => self.blocks,
            _ => true,
        }
    }
}

/// Writes a row of names, then one row per request.
pub struct TraceWriter<W: Write> {
    out: csv::Writer<W>,
    /// Places in the table of columns, in file order.
    columns: Vec<usize>,
    cell: String,
}

impl<W: Write> TraceWriter<W> {
    /// Begins with the names.
    ///
    /// # Errors
    /// As `out` fails.
    pub fn new(out: W, optional: OptionalColumns) -> io::Result<Self> {
        let columns = columns(optional);
        let mut out = csv::Writer::from_writer(out);
        out.write_record(columns.iter().map(|&at| OwnRow::COLUMNS[at].name))?;
        Ok(Self { out, columns, cell: String::new() })
    }

    /// Writes the next row.
    ///
    /// # Errors
    /// As `out` fails.
    pub fn write(&mut self, mut row: OwnRow<'_>) -> io::Result<()> {
        for &at in &self.columns {
            let text = text_of(&mut self.cell, &mut row, OwnRow::COLUMNS[at].cell);
            self.out.write_field(text)?;
        }
        Ok(self.out.write_record(None::<&[u8]>)?)
    }

    /// Ends; everything is written.
    ///
    /// # Errors
    /// As `out` fails.
    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// The columns of a file, in its order.
fn columns(optional: OptionalColumns) -> Vec<usize> {
    let table = OwnRow::COLUMNS;
    let place = |name: &str| table.iter().position(|column| column.name == name);
    let mut columns = Vec::new();
    for (at, column) in table[..CORE_COLUMNS].iter().enumerate() {
        columns.push(at);
        let inserted = INSERTED.iter().filter(|(_, after)| *after == column.name);
        columns.extend(inserted.filter(|(name, _)| optional.has(name)).filter_map(|(name, _)| place(name)));
    }
    columns.extend((CORE_COLUMNS..table.len()).filter(|&at| {
        let name = table[at].name;
        INSERTED.iter().all(|(inserted, _)| *inserted != name) && optional.has(name)
    }));
    columns
}

/// A cell's text; `buffer` holds it where the row does not.
fn text_of<'b, 'r: 'b>(
    buffer: &'b mut String,
    row: &mut OwnRow<'r>,
    cell: Cell<&'r str, &'r [BlockRun]>,
) -> &'b str {
    buffer.clear();
    // Writing to a text cannot fail.
    let _ = match cell {
        Cell::Text(field) | Cell::TrimmedText(field) => return field(row),
        Cell::Integer(field) | Cell::Span(field) | Cell::SpanOrEmpty(field) => {
            write!(buffer, "{}", field(row))
        }
        Cell::Count(field) => write!(buffer, "{}", field(row)),
        Cell::Flag(field) => write!(buffer, "{}", field(row)),
        Cell::Ratio(field) => write!(buffer, "{}", field(row)),
        Cell::Blocks(field) => {
            blocks::write(field(row), buffer);
            Ok(())
        }
    };
    buffer
}
