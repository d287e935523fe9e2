//! How sure the figures are.

use super::{Findings, Typed};
use crate::Exit;
use blis_config::Diagnostic;
use blis_intervals::{Validation, parse};
use clap::Args;
use std::fs;
use std::path::PathBuf;

/// Fewest and most runs for bands: of fewer there is no 95th percentile.
const DRAWS: std::ops::RangeInclusive<i64> = 10..=1_000;

#[derive(Args, Debug)]
#[command(next_help_heading = "Intervals")]
pub(crate) struct IntervalFlags {
    /// Give 5–95 % bands of the figures, from runs with other step times; says where nothing like the run was ever measured
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    intervals: Option<Typed<bool>>,
    /// Runs made for the bands; goes with --intervals [default: 32, of accuracy 20 for each point]
    #[arg(long, value_name = "INT")]
    interval_draws: Option<Typed<i64>>,
    /// Table of measured configurations, written by blis accuracy --validation, to take the bands from; goes with
    /// --intervals [default: built in]
    #[arg(long, value_name = "FILE")]
    interval_table: Option<PathBuf>,
}

/// Bands as they are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedIntervals {
    /// How many runs.
    pub(crate) draws: u32,
    /// Where the table lies, if it is not the built-in one.
    pub(crate) table: Option<PathBuf>,
}

impl IntervalFlags {
    /// What is wanted, if anything is.
    pub(crate) fn read(self, default: u32, findings: &mut Findings) -> Option<WantedIntervals> {
        let is_wanted = findings.value("--intervals", self.intervals) == Some(true);
        let draws = findings.value("--interval-draws", self.interval_draws);
        let table = self.interval_table.filter(|path| !path.as_os_str().is_empty());
        if let Some(draws) = draws.filter(|draws| !DRAWS.contains(draws)) {
            let (least, most) = DRAWS.into_inner();
            let problem = format!("--interval-draws is {draws}; it must be between {least} and {most}");
            findings.add(Diagnostic::new(problem));
        }
        for (flag, is_given) in [("--interval-draws", draws.is_some()), ("--interval-table", table.is_some())]
        {
            if is_given && !is_wanted {
                findings.add(Diagnostic::new(format!("{flag} goes with --intervals, which is not given")));
            }
        }
        let draws = draws.and_then(|draws| u32::try_from(draws).ok()).unwrap_or(default);
        is_wanted.then_some(WantedIntervals { draws, table })
    }
}

impl WantedIntervals {
    /// The table to take bands from.
    ///
    /// # Errors
    /// It cannot be read, or what is wrong in it.
    pub(crate) fn table(&self) -> Result<Validation, Exit> {
        let Some(path) = &self.table else { return Ok(Validation::embedded()) };
        let file = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|error| Diagnostic::new(format!("--interval-table: cannot read {file}: {error}")))?;
        Ok(Validation::new(parse(&text, &file).map_err(Exit::Problems)?))
    }
}
