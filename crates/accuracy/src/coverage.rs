//! How many measurements lie within their bands.

use crate::assess::{Assessed, Sample};
use crate::point::{ALL, Metric};
use blis_kernel::stats;
use std::collections::BTreeMap;

/// Figures of whole runs and their bands.
#[derive(Clone, Debug, PartialEq)]
pub struct Coverage {
    /// The set; empty = all sets.
    pub set: String,
    /// What; `None` = everything.
    pub metric: Option<Metric>,
    /// How many have a band.
    pub count: usize,
    /// How many lie within it.
    pub within: usize,
    /// Median of (high - low) / (2 · simulated): about what a ± would say.
    pub half_width: f64,
}

/// What is within, of all sets and of each, of all figures and of each; nothing where there are no bands.
pub fn coverage_rows(assessed: &[Assessed]) -> Vec<Coverage> {
    let mut groups: BTreeMap<(&str, Option<Metric>), Vec<&Sample>> = BTreeMap::new();
    for point in assessed {
        for sample in point.result.iter().flatten() {
            if sample.part != ALL || sample.band.is_none() {
                continue;
            }
            for key in [("", None), ("", Some(sample.metric)), (&point.set, None)] {
                groups.entry(key).or_default().push(sample);
            }
            groups.entry((&point.set, Some(sample.metric))).or_default().push(sample);
        }
    }
    let row = |((set, metric), samples): ((&str, _), Vec<&Sample>)| {
        let bands = samples.iter().filter_map(|sample| Some((sample, sample.band?)));
        let within = bands.clone().filter(|(sample, band)| band.holds(sample.measured)).count();
        let width = |(sample, band): (&&Sample, blis_intervals::Band)| {
            (band.high - band.low) / (2.0 * sample.predicted.max(f64::MIN_POSITIVE))
        };
        let mut widths: Vec<f64> = bands.map(width).collect();
        widths.sort_by(f64::total_cmp);
        let half_width = stats::percentile(&widths[..], 50.0);
        Coverage { set: set.to_owned(), metric, count: samples.len(), within, half_width }
    };
    groups.into_iter().map(row).collect()
}
