//! Tables of measurements: columns by name, cells with their places.

use blis_config::Diagnostic;
use csv::StringRecord;
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A table.
pub(crate) struct Table {
    file: String,
    columns: BTreeMap<String, usize>,
    rows: Vec<(u64, StringRecord)>,
}

/// A row of it.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    table: &'a Table,
    line: u64,
    cells: &'a StringRecord,
}

impl Table {
    /// Reads a file, packed if its name ends in `.gz`; it must have these columns.
    pub(crate) fn read(path: &Path, columns: &[&str]) -> Result<Self, Vec<Diagnostic>> {
        let file = path.display().to_string();
        let opened = File::open(path)
            .map_err(|error| vec![Diagnostic::new(format!("cannot be read: {error}")).in_file(&file)])?;
        let packed = path.extension().is_some_and(|extension| extension == "gz");
        if packed {
            Self::parse(file, GzDecoder::new(opened), columns)
        } else {
            Self::parse(file, opened, columns)
        }
    }

    pub(crate) fn parse(file: String, data: impl Read, needed: &[&str]) -> Result<Self, Vec<Diagnostic>> {
        let mut reader = csv::Reader::from_reader(data);
        let unreadable = |error: csv::Error| {
            let line = error.position().map(|position| position.line() as u32);
            vec![Diagnostic { line, ..Diagnostic::new(error.to_string()).in_file(&file) }]
        };
        let names = reader.headers().map_err(unreadable)?.clone();
        let columns: BTreeMap<String, usize> =
            names.iter().enumerate().map(|(index, name)| (name.to_owned(), index)).collect();
        let missing: Vec<Diagnostic> = needed
            .iter()
            .filter(|name| !columns.contains_key(**name))
            .map(|name| Diagnostic::new(format!("column {name} is missing")).in_file(&file).at(1, 1))
            .collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let mut rows = Vec::new();
        for record in reader.into_records() {
            let record = record.map_err(unreadable)?;
            rows.push((record.position().map_or(0, csv::Position::line), record));
        }
        Ok(Self { file, columns, rows })
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, cells)| Row { table: self, line: *line, cells })
    }
}

impl<'a> Row<'a> {
    /// A cell; empty where there is no such column.
    pub(crate) fn text(self, column: &str) -> &'a str {
        self.table.columns.get(column).and_then(|index| self.cells.get(*index)).unwrap_or("").trim()
    }

    fn parsed<T: std::str::FromStr>(
        self,
        column: &str,
        allowed: &str,
        fits: impl Fn(&T) -> bool,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<T> {
        let text = self.text(column);
        if text.is_empty() {
            return None;
        }
        let value = text.parse().ok().filter(fits);
        if value.is_none() {
            problems.push(self.problem(format!("{column} is \"{text}\"; it must be {allowed}")));
        }
        value
    }

    /// A number of at least 0; `None` where there is none.
    pub(crate) fn real(self, column: &str, problems: &mut Vec<Diagnostic>) -> Option<f64> {
        let fits = |value: &f64| value.is_finite() && *value >= 0.0;
        self.parsed(column, "a number of at least 0", fits, problems)
    }

    /// A whole number of at least 0, which may be written with a fraction of 0; `None` where there is none.
    pub(crate) fn count(self, column: &str, problems: &mut Vec<Diagnostic>) -> Option<i64> {
        let fits = |value: &f64| value.fract() == 0.0 && (0.0..1e15).contains(value);
        self.parsed(column, "a whole number of at least 0", fits, problems).map(|value| value as i64)
    }

    /// A whole number that has to be there.
    pub(crate) fn needed_count(self, column: &str, problems: &mut Vec<Diagnostic>) -> Option<i64> {
        if self.text(column).is_empty() {
            problems
                .push(self.problem(format!("{column} is empty; it must be a whole number of at least 0")));
        }
        self.count(column, problems)
    }

    pub(crate) fn problem(self, message: String) -> Diagnostic {
        let line = u32::try_from(self.line).ok();
        Diagnostic { line, ..Diagnostic::new(message).in_file(&self.table.file) }
    }
}
