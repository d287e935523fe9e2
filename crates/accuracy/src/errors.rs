//! What the errors of many points add up to.

use crate::assess::{Assessed, Sample};
use crate::point::{ALL, Metric};
use blis_kernel::stats;
use std::collections::BTreeMap;

/// By what a table of errors is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// Not at all.
    Overall,
    /// By model.
    Model,
    /// By GPU type.
    Gpu,
    /// By traffic.
    Workload,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Overall, Self::Model, Self::Gpu, Self::Workload];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overall => "overall",
            Self::Model => "model",
            Self::Gpu => "gpu",
            Self::Workload => "workload",
        }
    }

    fn key(self, point: &Assessed) -> &str {
        match self {
            Self::Overall => "",
            Self::Model => &point.model,
            Self::Gpu => &point.gpu,
            Self::Workload => &point.workload,
        }
    }
}

/// Errors of one metric, as shares of what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Errors {
    /// How many.
    pub count: usize,
    /// Median of their sizes.
    pub median: f64,
    /// Mean of their sizes.
    pub mean: f64,
    /// 90th percentile of their sizes.
    pub p90: f64,
    /// Their mean, with sign.
    pub bias: f64,
}

impl Errors {
    /// Of these; `None` without any.
    pub fn of<'a>(samples: impl Iterator<Item = &'a Sample>) -> Option<Self> {
        let errors: Vec<f64> = samples.map(Sample::error).collect();
        let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        (!sizes.is_empty()).then(|| Self {
            count: sizes.len(),
            median: stats::percentile(&sizes[..], 50.0),
            mean: stats::mean(&sizes[..]),
            p90: stats::percentile(&sizes[..], 90.0),
            bias: errors.iter().sum::<f64>() / errors.len() as f64,
        })
    }
}

/// A row of the tables of errors.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorRow {
    /// The set.
    pub set: String,
    /// By what it is split.
    pub by: Dimension,
    /// Which part of the set; empty = all of it.
    pub key: String,
    /// What.
    pub metric: Metric,
    /// The errors.
    pub errors: Errors,
}

/// The errors of whole runs by set and dimension, in order.
pub fn error_rows(assessed: &[Assessed]) -> Vec<ErrorRow> {
    let mut groups: BTreeMap<(&str, Dimension, &str, Metric), Vec<&Sample>> = BTreeMap::new();
    for point in assessed {
        for sample in point.result.iter().flatten().filter(|sample| sample.part == ALL) {
            for by in Dimension::ALL {
                groups.entry((&point.set, by, by.key(point), sample.metric)).or_default().push(sample);
            }
        }
    }
    let row = |((set, by, key, metric), samples): ((&str, _, &str, _), Vec<&Sample>)| {
        let errors = Errors::of(samples.into_iter())?;
        Some(ErrorRow { set: set.to_owned(), by, key: key.to_owned(), metric, errors })
    };
    groups.into_iter().filter_map(row).collect()
}
