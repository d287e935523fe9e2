//! Experiments that were kept: what was asked, and the rows that there are.

use crate::fields::{fields_csv, fields_table, json_rows, shown};
use blis_store::{Column, Contents, Damage, Experiment, Kind, Listed, Role, Value};
use serde_json::{Value as Json, json};
use std::cmp::Ordering;
use std::fmt::{Result, Write};
use std::path::Path;

/// Longest part of a definition on one line, characters.
const ONE_LINE: usize = 60;

/// An experiment as it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Its folder.
    pub path: &'a Path,
    /// What was asked.
    pub experiment: &'a Experiment,
    /// The rows, in the order to show them.
    pub contents: &'a Contents,
    /// How many of them.
    pub limit: usize,
}

/// Rows by a column, those without a value last; equal ones stay as they were.
pub fn sort_rows(contents: &mut Contents, column: usize, descending: bool) {
    contents.rows.sort_by(|a, b| {
        let (a, b) = (&a.values[column], &b.values[column]);
        let order = match (a, b) {
            (Value::Empty, Value::Empty) => return Ordering::Equal,
            (Value::Empty, _) => return Ordering::Greater,
            (_, Value::Empty) => return Ordering::Less,
            (Value::Flag(a), Value::Flag(b)) => a.cmp(b),
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Real(a), Value::Real(b)) => a.total_cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            _ => unreachable!("a column has values of one kind"),
        };
        if descending { order.reverse() } else { order }
    });
}

impl Shown<'_> {
    /// For reading, ending in a newline. Columns in which all rows have the same are told once.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write_text(&mut out).expect("a string takes everything");
        out
    }

    fn write_text(&self, out: &mut String) -> Result {
        let Experiment { name, command, version, trials, columns, definition } = self.experiment;
        let rows = &self.contents.rows;
        writeln!(out, "{name}: blis {command} {version} in {}", self.path.display())?;
        writeln!(out, "{} trials are there", of_planned(rows.len() as u64, *trials))?;
        write_damage(out, &self.contents.damaged)?;
        let mut asked = Vec::new();
        flatten("", definition, &mut asked);
        if !asked.is_empty() {
            writeln!(out, "\nasked")?;
            let width = asked.iter().map(|(path, _)| path.chars().count()).max().unwrap_or_default();
            for (path, value) in asked {
                writeln!(out, "  {path:width$}  {value}")?;
            }
        }
        writeln!(out)?;
        for (role, plural) in [(Role::Setting, "settings"), (Role::Figure, "figures"), (Role::Note, "notes")]
        {
            let of_role = columns.iter().filter(|column| column.role == role);
            let named: Vec<_> =
                of_role.map(|column| format!("{} ({})", column.name, column.kind.name())).collect();
            if !named.is_empty() {
                writeln!(out, "{plural}: {}", named.join(", "))?;
            }
        }
        if !rows.is_empty() {
            self.write_rows(out, columns)?;
        }
        Ok(())
    }

    fn write_rows(&self, out: &mut String, columns: &[Column]) -> Result {
        let rows = &self.contents.rows;
        let is_same = |column: usize| rows.iter().all(|row| row.values[column] == rows[0].values[column]);
        let (same, varied): (Vec<usize>, Vec<usize>) =
            (0..columns.len()).partition(|&column| rows.len() > 1 && is_same(column));
        let told: Vec<_> = same
            .into_iter()
            .map(|column| (&columns[column].name, &rows[0].values[column]))
            .filter(|(_, value)| **value != Value::Empty)
            .map(|(name, value)| format!("{name} {}", shown(value)))
            .collect();
        if !told.is_empty() {
            writeln!(out, "the same in all: {}", told.join(", "))?;
        }
        if self.limit > 0 {
            let mut header = vec!["trial"];
            header.extend(varied.iter().map(|&column| columns[column].name.as_str()));
            let rows: Vec<_> = self.rows(&varied).collect();
            write!(out, "\n{}", fields_table(&header, rows.iter().map(Vec::as_slice)))?;
        }
        match rows.len().saturating_sub(self.limit) {
            0 => Ok(()),
            1 => writeln!(out, "and 1 more"),
            more => writeln!(out, "and {more} more"),
        }
    }

    /// The rows to show with these columns, each with its trial first.
    fn rows(&self, columns: &[usize]) -> impl Iterator<Item = Vec<Value>> {
        self.contents.rows.iter().take(self.limit).map(|row| {
            let trial = Value::Integer(row.trial as i64);
            std::iter::once(trial).chain(columns.iter().map(|&column| row.values[column].clone())).collect()
        })
    }

    fn all_rows(&self) -> Vec<Vec<Value>> {
        self.rows(&(0..self.experiment.columns.len()).collect::<Vec<_>>()).collect()
    }

    /// The same as one JSON document.
    pub fn document(&self) -> String {
        let Experiment { name, command, version, trials, columns, definition } = self.experiment;
        let trial = json!({"name": "trial", "kind": Kind::Integer.name(), "role": "trial"});
        let column = |column: &Column| json!({"name": column.name, "kind": column.kind.name(), "role": column.role.name()});
        let damaged = self.contents.damaged.iter().map(|damage| {
            json!({
                "file": damage.file.display().to_string(),
                "reason": damage.reason,
                "lost_trials": damage.lost,
            })
        });
        let head = json!({
            "folder": self.path.display().to_string(),
            "name": name,
            "command": command,
            "version": version,
            "planned_trials": trials,
            "trials": self.contents.rows.len(),
            "damaged": damaged.collect::<Json>(),
            "definition": definition,
            "columns": std::iter::once(trial).chain(columns.iter().map(column)).collect::<Json>(),
        });
        let mut text = format!("{head:#}");
        text.truncate(text.trim_end_matches(['\n', '}']).len());
        let rows = self.all_rows();
        text + &format!(",\n  \"rows\": {}\n}}\n", json_rows(rows.iter().map(Vec::as_slice)))
    }

    /// The rows alone as CSV.
    pub fn csv(&self) -> String {
        let mut header = vec!["trial"];
        header.extend(self.experiment.columns.iter().map(|column| column.name.as_str()));
        let rows = self.all_rows();
        fields_csv(&header, rows.iter().map(Vec::as_slice))
    }
}

fn of_planned(trials: u64, planned: Option<u64>) -> String {
    planned.map_or_else(|| trials.to_string(), |planned| format!("{trials} of {planned}"))
}

fn write_damage(out: &mut String, damaged: &[Damage]) -> Result {
    for Damage { file, reason, lost } in damaged {
        write!(out, "damaged: {}: {reason}", file.display())?;
        match lost.as_deref() {
            None => writeln!(out, "; which trials it had cannot be told")?,
            Some([]) => writeln!(out, "; no trial is lost")?,
            Some([trial]) => writeln!(out, "; trial {trial} is lost")?,
            Some(lost) => {
                let named: Vec<_> = lost.iter().take(10).map(u64::to_string).collect();
                let more = if lost.len() > named.len() { ", …" } else { "" };
                writeln!(out, "; {} trials are lost: {}{more}", lost.len(), named.join(", "))?;
            }
        }
    }
    Ok(())
}

/// The parts of a definition that fit on a line, with their paths.
fn flatten(path: &str, json: &Json, out: &mut Vec<(String, String)>) {
    let line = match json {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let within = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let is_short = line.chars().count() <= ONE_LINE;
    match json {
        Json::Object(fields) if path.is_empty() || !is_short => {
            fields.iter().for_each(|(key, value)| flatten(&within(key), value, out));
        }
        Json::Array(items) if !is_short => {
            items.iter().enumerate().for_each(|(i, item)| flatten(&format!("{path}[{i}]"), item, out));
        }
        _ => out.push((path.to_owned(), line)),
    }
}

/// The experiments of a folder as columns and rows, for a table, JSON or CSV.
pub fn experiments(listed: &[Listed]) -> ([&'static str; 7], Vec<Vec<Value>>) {
    let header = ["folder", "name", "command", "trials", "planned", "size_bytes", "state"];
    let text = |text: &str| Value::Text(text.to_owned());
    let row = |one: &Listed| {
        let folder = text(&one.path.display().to_string());
        let (folder_at, extent) = match &one.found {
            Ok(found) => found,
            Err(problem) => {
                let mut row = vec![folder];
                row.resize(header.len() - 1, Value::Empty);
                row.push(text(&problem.to_string()));
                return row;
            }
        };
        let Experiment { name, command, trials, .. } = folder_at.experiment();
        let missing = trials.map(|planned| planned.saturating_sub(extent.trials));
        let state = match (extent.damaged.len(), missing) {
            (1, _) => "1 damaged file".to_owned(),
            (0, Some(0)) => "complete".to_owned(),
            (0, Some(missing)) => format!("{missing} missing"),
            (0, None) => "open".to_owned(),
            (damaged, _) => format!("{damaged} damaged files"),
        };
        vec![
            folder,
            text(name),
            text(command),
            Value::Integer(extent.trials as i64),
            trials.map_or(Value::Empty, |trials| Value::Integer(trials as i64)),
            Value::Integer(extent.bytes as i64),
            Value::Text(state),
        ]
    };
    (header, listed.iter().map(row).collect())
}
