//! The run itself and what it shows.

use super::analysis::AnalysisFiles;
use super::intervals::WantedIntervals;
use super::{Findings, Typed, text};
use crate::logger::Level;
use crate::report_file::ReportFlag;
use blis_config::RunOptions;
use blis_config::diagnostic::unknown_name;
use blis_config::options::Horizon;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "Simulation")]
pub(crate) struct SimulationFlags {
    /// Seed of every random stream [default: 42]
    #[arg(long, value_name = "INT")]
    seed: Option<Typed<i64>>,
    /// End of simulated time, µs or a duration (for replay also auto2x: twice the last arrival)
    /// [default: until every request has ended]
    #[arg(long, value_name = "TIME")]
    horizon: Option<Typed<Horizon>>,
    /// inference-sim: give that program's figures, known defects included, instead of the corrected ones
    #[arg(long, value_name = "NAME")]
    compat: Option<String>,
}

impl SimulationFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        options.seed = findings.value("--seed", self.seed);
        options.horizon = findings.value("--horizon", self.horizon);
        options.compat = text(self.compat);
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputFlags {
    /// What standard output shows: text (sections with JSON figures), json (one document) or table (for people)
    /// [default: text]
    #[arg(long, value_name = "NAME", alias = "output")]
    format: Option<String>,
    /// Show the whole cluster only, not every instance
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    quiet_instances: Option<Typed<bool>>,
    /// Show every setting of the run, with where it comes from, on standard error
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    show_config: Option<Typed<bool>>,
    /// Least serious message to show on standard error: trace, debug, info, warn, error, fatal or panic
    /// [default: warn]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    #[command(flatten)]
    report: ReportFlag,
}

/// How standard output shows an outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// Sections.
    #[default]
    Text,
    /// One document.
    Json,
    /// Columns.
    Table,
}

/// What is shown and where.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) quiet_instances: bool,
    pub(crate) show_config: bool,
    pub(crate) log: Level,
    pub(crate) files: AnalysisFiles,
    /// Bands.
    pub(crate) intervals: Option<WantedIntervals>,
    /// The page.
    pub(crate) report: Option<PathBuf>,
}

impl OutputFlags {
    pub(crate) fn read(self, findings: &mut Findings) -> Output {
        const FORMATS: [(&str, Format); 3] =
            [("text", Format::Text), ("json", Format::Json), ("table", Format::Table)];
        Output {
            format: one_of("value of --format", text(self.format), &FORMATS, findings),
            quiet_instances: findings.value("--quiet-instances", self.quiet_instances).unwrap_or_default(),
            show_config: findings.value("--show-config", self.show_config).unwrap_or_default(),
            files: AnalysisFiles::default(),
            report: self.report.path(),
            intervals: None,
            log: one_of("value of --log", text(self.log).map(|l| l.to_lowercase()), &Level::NAMES, findings),
        }
    }
}

/// One of some words; one that is not known is noted.
pub(crate) fn one_of<T: Copy + Default>(
    what: &str,
    given: Option<String>,
    known: &[(&str, T)],
    findings: &mut Findings,
) -> T {
    let Some(given) = given else { return T::default() };
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == given) {
        return *value;
    }
    findings.add(unknown_name(what, &given, known.iter().map(|(name, _)| *name)));
    T::default()
}
