//! One client: its activity and its lengths.

use super::pmf::Pmf;

/// Every row describes ten minutes.
pub(super) const ROW_S: f64 = 600.0;
pub(super) const DAY_S: f64 = 86_400.0;

/// A process that a row can name besides poisson.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    Gamma,
    Weibull,
}

/// Ten minutes of a client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) start_s: f64,
    /// Requests per second, above 0.
    pub(super) rate: f64,
    /// `None` = poisson.
    pub(super) process: Option<Process>,
    /// Coefficient of variation of the gaps, if it is positive.
    pub(super) cv: Option<f64>,
    /// Shape and scale (s) of the process, if both are positive.
    pub(super) shape_and_scale: Option<(f64, f64)>,
}

impl Row {
    pub(super) fn time_of_day_s(&self) -> f64 {
        self.start_s.rem_euclid(DAY_S)
    }
}

/// The lengths of a client from some time on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lengths {
    pub(super) start_s: f64,
    /// Key of the window, as the file has it.
    pub(super) key: String,
    pub(super) input: Pmf,
    pub(super) output: Pmf,
    /// Share of an answer that is reasoning; empty when the file has none.
    pub(super) reason_ratio: Pmf,
}

/// A client.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chunk {
    /// When it sends anything and its lengths are known.
    pub(super) rows: Vec<Row>,
    /// In order of time.
    pub(super) lengths: Vec<Lengths>,
}

impl Chunk {
    /// Leaves out times without requests and times before the first known lengths.
    pub(super) fn new(rows: Vec<Row>, mut lengths: Vec<Lengths>) -> Self {
        lengths.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        let first = lengths.first().map_or(f64::INFINITY, |lengths| lengths.start_s);
        let rows = rows.into_iter().filter(|row| row.rate > 0.0 && row.start_s >= first).collect();
        Self { rows, lengths }
    }

    pub(super) fn has_reason_ratios(&self) -> bool {
        self.lengths.iter().any(|lengths| !lengths.reason_ratio.is_empty())
    }

    /// The lengths that hold at some time.
    pub(super) fn lengths_at(&self, at_s: f64) -> Option<&Lengths> {
        self.lengths.iter().rev().find(|lengths| lengths.start_s <= at_s)
    }

    /// The share of reasoning in the first window, by its key as text, that has one.
    pub(super) fn reason_ratio(&self) -> Option<&Pmf> {
        let with = self.lengths.iter().filter(|lengths| !lengths.reason_ratio.is_empty());
        with.min_by(|a, b| a.key.cmp(&b.key)).map(|lengths| &lengths.reason_ratio)
    }
}
