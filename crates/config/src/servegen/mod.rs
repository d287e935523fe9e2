//! ServeGen data: what was measured of many real clients, as cohorts of a workload file.
//!
//! A folder holds one pair of files per client ("chunk"): its rate in every ten minutes, and the distributions of its
//! lengths every few hours.

mod chunk;
mod cohorts;
mod folder;
mod lengths;
mod pmf;
#[cfg(test)]
mod tests;

use crate::diagnostic::Diagnostic;
use crate::workload_file::schema::{Entry, File};
use crate::workload_file::writer::{VERSION, set, unplaced, whole};
use std::path::{Path, PathBuf};

/// Length of a period when nobody gives one, s.
pub(crate) const DEFAULT_WINDOW_S: i64 = 600;
/// Pause between two periods when nobody gives one, s.
pub(crate) const DEFAULT_DRAIN_S: i64 = 180;
/// Longest period and pause: three of both fit the clock.
pub(crate) const MAX_SPAN_S: i64 = 1_000_000_000;

/// How a folder becomes cohorts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) window_s: i64,
    pub(crate) drain_s: i64,
    /// Decides which ten minutes of a period stand for it, and which client belongs to which SLO class.
    pub(crate) seed: i64,
}

/// What a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Single requests at three times of day.
    Language,
    /// Reasoning models, at their busiest time.
    Reasoning,
}

/// The cohorts of a folder.
#[derive(Debug)]
pub(crate) struct Cohorts {
    pub(crate) kind: Kind,
    pub(crate) entries: Vec<Entry>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Reads a folder.
///
/// # Errors
/// Everything that is wrong with its files.
pub(crate) fn cohorts(settings: &Settings) -> Result<Cohorts, Vec<Diagnostic>> {
    let mut warnings = Vec::new();
    let chunks = folder::read(&settings.path, &mut warnings)?;
    let is_reasoning = chunks.first().is_some_and(chunk::Chunk::has_reason_ratios);
    let kind = if is_reasoning { Kind::Reasoning } else { Kind::Language };
    let entries = match kind {
        Kind::Language => cohorts::language(&chunks, settings),
        Kind::Reasoning => cohorts::reasoning(&chunks, settings),
    };
    match entries {
        Ok(entries) => Ok(Cohorts { kind, entries, warnings }),
        Err(problem) => Err(vec![in_folder(&settings.path, problem)]),
    }
}

/// A workload file of cohorts with rates of their own; what else it says is that of `file`.
pub(crate) fn file_of(file: &File, kind: Kind, entries: Vec<Entry>, seed: i64) -> File {
    let category = match kind {
        Kind::Language => file.category.clone(),
        Kind::Reasoning => set("reasoning".to_owned()),
    };
    File {
        version: set(VERSION.to_owned()),
        seed: whole(seed).map(|seed| seed.value),
        category,
        cohorts: Some(entries.into_iter().map(unplaced).collect()),
        aggregate_rate: set(0.0),
        servegen_data: None,
        ..file.clone()
    }
}

fn in_folder(path: &Path, problem: impl Into<String>) -> Diagnostic {
    Diagnostic::new(problem).in_file(path.display().to_string())
}
