//! A folder of ServeGen data as cohorts.

use super::{Converted, finish};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::resolve::check::Check;
use crate::servegen::{self, DEFAULT_DRAIN_S, DEFAULT_WINDOW_S, Kind, MAX_SPAN_S, Settings};
use crate::workload_file::schema::{Entry, File};
use crate::workload_file::writer::whole;
use std::path::PathBuf;

const SEED: i64 = 42;
const TIMES: [&str; 3] = ["midnight", "morning", "afternoon"];

/// How a folder becomes a workload file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServegenOptions {
    /// The folder. Required.
    pub path: Option<PathBuf>,
    /// Length of a period, s; default 600.
    pub window_duration_s: Option<i64>,
    /// Pause between two periods, s; default 180.
    pub drain_timeout_s: Option<i64>,
    /// The one period to keep, which then begins at 0; default all three.
    pub time: Option<String>,
}

/// The folder's clients as cohorts of a workload file.
///
/// # Errors
/// Everything that is wrong with the options and the files.
pub fn servegen(options: &ServegenOptions) -> Result<Converted, Vec<Diagnostic>> {
    let mut check = Check::default();
    let window_s =
        check.integer("window-duration-seconds", options.window_duration_s, DEFAULT_WINDOW_S, 1..=MAX_SPAN_S);
    let drain_s =
        check.integer("drain-timeout-seconds", options.drain_timeout_s, DEFAULT_DRAIN_S, 0..=MAX_SPAN_S);
    if let Some(time) = options.time.as_deref().filter(|time| !TIMES.contains(time)) {
        check.problem(unknown_name("value of --time", time, TIMES));
    }
    let Some(path) = options.path.clone() else {
        check.problem(Diagnostic::new("--path is missing"));
        return Err(check.problems);
    };
    if !check.problems.is_empty() {
        return Err(check.problems);
    }
    let made = servegen::cohorts(&Settings { path, window_s, drain_s, seed: SEED })?;
    let entries = match &options.time {
        None => made.entries,
        Some(time) if made.kind == Kind::Reasoning => {
            let message =
                format!("--time {time} is for language data; reasoning data has one period, its busiest");
            return Err(vec![Diagnostic::new(message)]);
        }
        Some(time) => only(made.entries, time)?,
    };
    finish(&servegen::file_of(&File::default(), made.kind, entries, SEED), made.warnings)
}

/// The cohorts of one period, from 0 on.
fn only(mut entries: Vec<Entry>, time: &str) -> Result<Vec<Entry>, Vec<Diagnostic>> {
    let prefix = format!("{time}-");
    entries.retain(|entry| entry.id.as_ref().is_some_and(|id| id.starts_with(&prefix)));
    if entries.is_empty() {
        return Err(vec![Diagnostic::new(format!("--time {time}: no client is active then"))]);
    }
    for spike in entries.iter_mut().filter_map(|entry| entry.spike.as_mut()) {
        spike.value.start_time_us = whole(0);
    }
    Ok(entries)
}
