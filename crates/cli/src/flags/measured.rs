//! Which runs of a folder of measurements are used.

use super::output::one_of;
use super::{Findings, Typed, text};
use blis::{Diagnostic, RunOptions};
use blis_accuracy::{ClosedLoops, Point, Selection};
use clap::Args;

#[derive(Args, Debug)]
#[command(next_help_heading = "Measured")]
pub(crate) struct MeasuredFlags {
    /// Sets of DIR to use, separated by commas [default: all but excluded-overload]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sets: Vec<String>,
    /// Models of DIR, by parts of their names, separated by commas [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    models: Vec<String>,
    /// GPU types of DIR, separated by commas [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    gpus: Vec<String>,
    /// Most runs of a set of DIR, spread over it [default: all]
    #[arg(long, value_name = "INT")]
    limit: Option<Typed<i64>>,
    /// Closed loops of DIR to use: marked (those that silicon/dev.csv marks as its sample), others (those beside it) or all
    /// [default: marked]
    #[arg(long, value_name = "NAME")]
    closed_loops: Option<String>,
    /// Seed of arrivals and lengths that were not recorded [default: 42]
    #[arg(long, value_name = "INT")]
    seed: Option<Typed<i64>>,
}

impl MeasuredFlags {
    /// The runs to use; the seed goes into the options.
    pub(crate) fn read(self, base: &mut RunOptions, findings: &mut Findings) -> Selection {
        base.seed = findings.value("--seed", self.seed);
        let limit = findings.value("--limit", self.limit);
        if let Some(limit) = limit.filter(|limit| *limit < 1) {
            findings.add(Diagnostic::new(format!("--limit is {limit}; it must be at least 1")));
        }
        let words = |list: Vec<String>| list.into_iter().filter(|word| !word.is_empty()).collect();
        Selection {
            sets: words(self.sets),
            models: words(self.models),
            gpus: words(self.gpus),
            limit: limit.and_then(|limit| usize::try_from(limit).ok()),
            closed_loops: one_of(
                "value of --closed-loops",
                text(self.closed_loops),
                &ClosedLoops::NAMES,
                findings,
            ),
        }
    }
}

/// A release that is named goes for all runs, in place of the one that each was measured with.
pub(crate) fn use_named_engine(base: &RunOptions, points: &mut [Point]) {
    if base.engine.is_some() {
        for point in points {
            point.server.engine = None;
        }
    }
}
