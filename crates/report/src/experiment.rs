//! Experiments that were kept: what was asked, and the rows that there are.

use crate::fields::{fields_csv, fields_table, json_rows, shown};
use blis_store::{Column, Contents, Damage, Experiment, Kind, Listed, Role, Value};
use serde_json::{Value as Json, json};
use std::cmp::Ordering;
use std::fmt::{Result, Write};
use std::path::Path;

/// Width of what is not a word of its own, characters.
const WIDTH: usize = 100;
/// Blanks between the columns of a table.
const GAP: usize = 3;

/// An experiment as it is shown.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// Its folder.
    pub path: &'a Path,
    /// What was asked.
    pub experiment: &'a Experiment,
    /// The rows, in the order to show them.
    pub contents: &'a Contents,
    /// How many of them.
    pub limit: usize,
    /// Which columns; without, all of them, and in a table for people those that matter most.
    pub columns: Option<Vec<usize>>,
    /// The column that the rows are in order of.
    pub sorted_by: Option<usize>,
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
                let line = format!("  {path:width$}  {value}");
                writeln!(out, "{}", line.trim_end())?;
            }
        }
        if !columns.is_empty() {
            writeln!(out)?;
        }
        for (role, plural) in [(Role::Setting, "settings"), (Role::Figure, "figures"), (Role::Note, "notes")]
        {
            for kind in [Kind::Flag, Kind::Integer, Kind::Real, Kind::Text] {
                let those = columns.iter().filter(|column| column.role == role && column.kind == kind);
                let names: Vec<_> = those.map(|column| column.name.clone()).collect();
                write_list(out, &format!("{plural} ({}):", kind.name()), &names)?;
            }
        }
        if rows.is_empty() { Ok(()) } else { self.write_rows(out) }
    }

    fn write_rows(&self, out: &mut String) -> Result {
        let (columns, rows) = (&self.experiment.columns, &self.contents.rows);
        let is_same = |column: usize| rows.iter().all(|row| row.values[column] == rows[0].values[column]);
        let (same, varied): (Vec<usize>, Vec<usize>) =
            (0..columns.len()).partition(|&column| rows.len() > 1 && is_same(column));
        let shown_columns = if let Some(columns) = &self.columns {
            columns.clone()
        } else {
            let told = same.into_iter().filter(|&column| rows[0].values[column] != Value::Empty);
            let told =
                told.map(|column| format!("{} {}", columns[column].name, shown(&rows[0].values[column])));
            write_list(out, "the same in all:", &told.collect::<Vec<_>>())?;
            self.what_matters(&varied)
        };
        if self.limit > 0 {
            let mut header = vec!["trial"];
            header.extend(shown_columns.iter().map(|&column| columns[column].name.as_str()));
            let rows: Vec<_> = self.rows(&shown_columns).collect();
            write!(out, "\n{}", fields_table(&header, rows.iter().map(Vec::as_slice)))?;
        }
        let more_rows = rows.len().saturating_sub(self.limit);
        if more_rows > 0 {
            writeln!(out, "and {}: --limit", counted(more_rows, "trial"))?;
        }
        let more_columns = varied.iter().filter(|column| !shown_columns.contains(column)).count();
        if more_columns > 0 && self.columns.is_none() {
            writeln!(out, "and {}: --columns names some, or all", counted(more_columns, "column"))?;
        }
        Ok(())
    }

    /// Of these columns the settings, the one of the order, the objectives, and of the others as many as there is room for.
    fn what_matters(&self, columns: &[usize]) -> Vec<usize> {
        let Experiment { columns: all, definition, .. } = self.experiment;
        let objectives = definition["objectives"].as_array().map_or(&[][..], Vec::as_slice);
        let is_objective = |name: &str| objectives.iter().any(|objective| objective["figure"] == name);
        let rank = |&column: &usize| match all[column].role {
            _ if self.sorted_by == Some(column) => 0,
            Role::Setting => 0,
            Role::Figure if is_objective(&all[column].name) => 0,
            Role::Note => 1,
            Role::Figure => 2,
        };
        let mut ranked = columns.to_vec();
        ranked.sort_by_key(rank);
        let mut width = "trial".len() + GAP;
        let has_room = |column: &usize| {
            let rows = self.contents.rows.iter().take(self.limit);
            let widths = rows.map(|row| shown(&row.values[*column]).chars().count());
            width += GAP + widths.chain([all[*column].name.chars().count()]).max().unwrap_or_default();
            rank(column) == 0 || width <= WIDTH
        };
        let mut chosen: Vec<usize> = ranked.into_iter().take_while(has_room).collect();
        chosen.sort_unstable();
        chosen
    }

    /// The rows to show with these columns, each with its trial first.
    fn rows(&self, columns: &[usize]) -> impl Iterator<Item = Vec<Value>> {
        self.contents.rows.iter().take(self.limit).map(|row| {
            let trial = Value::Integer(row.trial as i64);
            std::iter::once(trial).chain(columns.iter().map(|&column| row.values[column].clone())).collect()
        })
    }

    /// The columns and rows for programs.
    fn fields(&self) -> (Vec<&Column>, Vec<Vec<Value>>) {
        let all = &self.experiment.columns;
        let chosen = self.columns.clone().unwrap_or_else(|| (0..all.len()).collect());
        (chosen.iter().map(|&column| &all[column]).collect(), self.rows(&chosen).collect())
    }

    /// The same as one JSON document.
    pub fn document(&self) -> String {
        let Experiment { name, command, version, trials, definition, .. } = self.experiment;
        let (columns, rows) = self.fields();
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
            "columns": std::iter::once(trial).chain(columns.into_iter().map(column)).collect::<Json>(),
        });
        let mut text = format!("{head:#}");
        text.truncate(text.trim_end_matches(['\n', '}']).len());
        text + &format!(",\n  \"rows\": {}\n}}\n", json_rows(rows.iter().map(Vec::as_slice)))
    }

    /// The rows alone as CSV.
    pub fn csv(&self) -> String {
        let (columns, rows) = self.fields();
        let header: Vec<_> =
            std::iter::once("trial").chain(columns.iter().map(|column| column.name.as_str())).collect();
        fields_csv(&header, rows.iter().map(Vec::as_slice))
    }
}

fn counted(more: usize, what: &str) -> String {
    if more == 1 { format!("1 more {what}") } else { format!("{more} more {what}s") }
}

/// Items behind a heading, on as many lines as they need; nothing without items.
fn write_list(out: &mut String, heading: &str, items: &[String]) -> Result {
    let Some((last, first)) = items.split_last() else { return Ok(()) };
    let mut line = heading.to_owned();
    for item in first.iter().map(|item| format!("{item},")).chain([last.clone()]) {
        if line.chars().count() + 1 + item.chars().count() > WIDTH {
            writeln!(out, "{line}")?;
            " ".clone_into(&mut line);
        }
        line = line + " " + &item;
    }
    writeln!(out, "{line}")
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
    let word = |json: &Json| json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    let within = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let is_short = json.to_string().chars().count() <= WIDTH;
    match json {
        // Nothing was asked there.
        Json::Object(fields) if fields.is_empty() => {}
        Json::Array(items) if items.is_empty() => {}
        Json::Object(fields) if path.is_empty() || !is_short => {
            fields.iter().for_each(|(key, value)| flatten(&within(key), value, out));
        }
        // Words of a command line, names, numbers.
        Json::Array(items) if !items.iter().any(|item| item.is_array() || item.is_object()) => {
            out.push((path.to_owned(), items.iter().map(word).collect::<Vec<_>>().join(" ")));
        }
        Json::Array(items) if !is_short => {
            items.iter().enumerate().for_each(|(i, item)| flatten(&format!("{path}[{i}]"), item, out));
        }
        other => out.push((path.to_owned(), word(other))),
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
