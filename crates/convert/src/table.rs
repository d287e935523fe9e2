//! Tables of comma-separated values whose columns have names.

use crate::problem::{Failure, Problem, Problems};
use csv::{ErrorKind, StringRecord};
use std::fmt::Display;
use std::io::Read;

/// A row with what is wrong with it.
pub(crate) struct Row<'a> {
    record: &'a StringRecord,
    places: &'a [Option<usize>],
    names: &'a [&'static str],
    pub(crate) line: u64,
    problems: &'a mut Problems,
}

impl Row<'_> {
    /// The text in a column; empty when the table does not have it.
    pub(crate) fn text(&self, column: usize) -> &str {
        self.places[column].and_then(|place| self.record.get(place)).unwrap_or_default().trim()
    }

    /// What `read` makes of it; otherwise a problem.
    pub(crate) fn value<T>(
        &mut self,
        column: usize,
        read: impl FnOnce(&str) -> Option<T>,
        allowed: impl Display,
    ) -> Option<T> {
        let value = read(self.text(column));
        if value.is_none() {
            let (name, text) = (self.names[column], self.text(column));
            let message = format!("column `{name}`: `{text}` is not {allowed}");
            self.problems.push(Problem::at(self.line, message));
        }
        value
    }

    /// A number of tokens.
    pub(crate) fn tokens(&mut self, column: usize) -> Option<u32> {
        self.value(column, |text| text.parse().ok(), "an integer from 0 to 4294967295")
    }
}

/// Reads a table: `names` are the columns, of which the first `needed` must be there. `row` sees every row, and says
/// nothing about one with problems.
pub(crate) fn read(
    input: impl Read,
    names: &[&'static str],
    needed: usize,
    mut row: impl FnMut(&mut Row<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
    let mut problems = Problems::default();
    let mut record = StringRecord::new();
    let mut layout: Option<(Vec<Option<usize>>, usize)> = None;
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                match error.into_kind() {
                    ErrorKind::Utf8 { .. } => problems.push(Problem::at(line, "not UTF-8 text")),
                    ErrorKind::Io(error) => return Err(Failure::Read(error)),
                    _ => problems.push(Problem::at(line, "not comma-separated values")),
                }
                continue;
            }
        }
        let line = record.position().map_or(0, csv::Position::line);
        let Some((places, width)) = &layout else {
            layout = Some(places(&record, line, names, needed)?);
            continue;
        };
        if record.len() < *width {
            let message = format!("{} columns; expected at least {width}", record.len());
            problems.push(Problem::at(line, message));
            continue;
        }
        row(&mut Row { record: &record, places, names, line, problems: &mut problems })?;
    }
    if layout.is_none() && problems.is_empty() {
        let needed = names[..needed].join(", ");
        return Err(Problem::of_file(format!("the file is empty; expected columns {needed}")).into());
    }
    problems.check()
}

/// Where the columns stand, and how many a row needs.
fn places(
    record: &StringRecord,
    line: u64,
    names: &[&'static str],
    needed: usize,
) -> Result<(Vec<Option<usize>>, usize), Failure> {
    let found =
        |name: &str| record.iter().position(|column| column.trim_start_matches('\u{feff}').trim() == name);
    let places: Vec<_> = names.iter().map(|name| found(name)).collect();
    let mut problems = Problems::default();
    for (name, _) in names[..needed].iter().zip(&places).filter(|(_, place)| place.is_none()) {
        let all = names[..needed].join(", ");
        problems.push(Problem::at(line, format!("no column `{name}`; the columns {all} are needed")));
    }
    problems.check()?;
    let width = places[..needed].iter().flatten().max().map_or(0, |last| last + 1);
    Ok((places, width))
}
